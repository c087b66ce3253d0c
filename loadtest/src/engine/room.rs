//! What the sessions of one room hear, checked as it comes and cheaply: the first session to hear a message has it read and
//! compared with what was said; the others must hear the same bytes, each message once, in the same order.

use std::collections::VecDeque;
use std::time::Duration;

use crate::dialect::{Dialect, Said};
use crate::wire;

/// Told of a wrong text, at most, bytes.
const TEXT_BYTES_MAX: usize = 200;

/// A room and its sessions.
pub(crate) struct Room {
    dialect: Dialect,
    /// Length of what is said, bytes.
    bytes: usize,
    /// By session: how many messages it has heard.
    heard: Vec<u64>,
    /// Sessions that are to hear every message.
    hearers: u32,
    /// The last `seq` when the sessions came.
    joined_at: u64,
    /// How many messages all have heard.
    over: u64,
    /// Messages that some have heard and not all, the oldest first.
    under_way: VecDeque<Message>,
    /// By publisher who has said something here: what nobody has heard yet, the oldest first.
    said: Vec<(usize, VecDeque<Sent>)>,
}

/// A message that was sent.
struct Sent {
    /// Its number among its publisher's.
    n: u64,
    /// When it was sent, or meant to be.
    since: Duration,
}

/// A message that is being heard.
struct Message {
    text: Box<str>,
    publisher: usize,
    since: Duration,
    /// Sessions that are still to hear it.
    left: u32,
}

/// What came of a text.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// A session heard a message that was sent or meant to be at `since`; the last one to do so names its publisher.
    Message {
        /// When it was sent, or meant to be.
        since: Duration,
        /// Who said it, once all have heard it.
        over: Option<usize>,
    },
    /// It tells of something else.
    Aside,
    /// It is wrong.
    Fault(String),
}

impl Room {
    /// `joined_at` is, by session, the last `seq` when it came. Sessions for which `is_stopped` do not count.
    pub(crate) fn new(
        dialect: Dialect,
        bytes: usize,
        joined_at: &[u64],
        is_stopped: impl Fn(usize) -> bool,
    ) -> Self {
        let hearers = (0..joined_at.len()).filter(|session| !is_stopped(*session)).count();
        Self {
            dialect,
            bytes,
            heard: vec![0; joined_at.len()],
            hearers: hearers as u32,
            joined_at: joined_at.first().copied().unwrap_or(0),
            over: 0,
            under_way: VecDeque::new(),
            said: Vec::new(),
        }
    }

    /// Publisher `publisher` says its number `n` here.
    pub(crate) fn say(&mut self, publisher: usize, n: u64, since: Duration) {
        let sent = Sent { n, since };
        match self.said.iter_mut().find(|(known, _)| *known == publisher) {
            Some((_, queue)) => queue.push_back(sent),
            None => self.said.push((publisher, VecDeque::from([sent]))),
        }
    }

    /// Session `session` hears `text`.
    pub(crate) fn hear(&mut self, session: usize, text: &str) -> Heard {
        let place = (self.heard[session] - self.over) as usize;
        match self.under_way.get(place) {
            Some(message) if *message.text == *text || !self.dialect.is_checked() => {}
            Some(_) => return self.wrong(session, text),
            None => match self.begin(text) {
                Ok(true) => {}
                Ok(false) => return Heard::Aside,
                Err(fault) => return Heard::Fault(format!("session {session}: {fault}")),
            },
        }
        self.heard[session] += 1;
        let message = &mut self.under_way[place];
        message.left = message.left.saturating_sub(1);
        let (since, is_over) = (message.since, message.left == 0);
        // All hear in the same order, so the oldest is the first that all have heard.
        let over = is_over.then(|| {
            let message = self.under_way.pop_front();
            self.over += 1;
            message.map_or(0, |message| message.publisher)
        });
        Heard::Message { since, over }
    }

    /// How many messages were said and not heard by all.
    pub(crate) fn waiting(&self) -> usize {
        self.under_way.len() + self.said.iter().map(|(_, queue)| queue.len()).sum::<usize>()
    }

    /// A message that no session has heard before. False: it is none.
    fn begin(&mut self, text: &str) -> Result<bool, String> {
        let Some(said) = Said::read(self.dialect, text)? else { return Ok(false) };
        let expected = self.joined_at + self.over + self.under_way.len() as u64 + 1;
        if said.seq.is_some_and(|seq| seq != expected) {
            return Err(format!("seq {expected} was due: {}", short(text)));
        }
        let (publisher, sent) = self.find(&said)?;
        let text = if self.dialect.is_checked() { text } else { "" };
        self.under_way.push_back(Message {
            text: text.into(),
            publisher,
            since: sent.since,
            left: self.hearers,
        });
        Ok(true)
    }

    /// Who said it, and when: it must be the next that its publisher said here.
    fn find(&mut self, said: &Said<'_>) -> Result<(usize, Sent), String> {
        if !self.dialect.is_checked() {
            let oldest = self.said.iter_mut().filter(|(_, queue)| !queue.is_empty());
            let oldest = oldest.min_by_key(|(_, queue)| queue[0].since);
            let (publisher, queue) = oldest.ok_or("a message that nobody sent")?;
            return queue.pop_front().map(|sent| (*publisher, sent)).ok_or_else(String::new);
        }
        let content = &*said.content;
        let (publisher, n) =
            named(content).ok_or_else(|| format!("a message of nobody: {}", short(content)))?;
        if content != self.content(publisher, n) {
            return Err(format!("another content than was sent: {}", short(content)));
        }
        let queue = self.said.iter_mut().find(|(known, _)| *known == publisher);
        let next = queue.and_then(|(_, queue)| {
            let is_next = queue.front().is_some_and(|sent| sent.n == n);
            is_next.then(|| queue.pop_front())?
        });
        let sent =
            next.ok_or_else(|| format!("{} is not the next of its publisher", short(content)))?;
        Ok((publisher, sent))
    }

    /// What publisher `publisher` says as its number `n`.
    pub(crate) fn content(&self, publisher: usize, n: u64) -> String {
        content(publisher, n, self.bytes)
    }

    /// Another text than the message that is due.
    fn wrong(&mut self, session: usize, text: &str) -> Heard {
        match Said::read(self.dialect, text) {
            Ok(None) => Heard::Aside,
            Ok(Some(_)) => Heard::Fault(format!(
                "session {session} heard another message than the others: {}",
                short(text)
            )),
            Err(fault) => Heard::Fault(format!("session {session}: {fault}")),
        }
    }
}

/// What publisher `publisher` says as its number `n`, `bytes` long.
pub(crate) fn content(publisher: usize, n: u64, bytes: usize) -> String {
    wire::content(&format!("{publisher}-{n}"), bytes)
}

/// The publisher and the number in a content.
pub(crate) fn named(content: &str) -> Option<(usize, u64)> {
    let (_, rest) = content.split_once('"')?;
    let (name, _) = rest.split_once('"')?;
    let (publisher, n) = name.split_once('-')?;
    Some((publisher.parse().ok()?, n.parse().ok()?))
}

fn short(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 60;
    const SINCE: Duration = Duration::from_millis(7);

    /// Two sessions, in whose room publisher 0 said numbers 0 to 2.
    fn room() -> Room {
        let mut room = Room::new(Dialect::Plain, BYTES, &[0, 0], |_| false);
        (0..3).for_each(|n| room.say(0, n, SINCE));
        room
    }

    fn hear(room: &mut Room, session: usize, n: u64) -> Heard {
        room.hear(session, &content(0, n, BYTES))
    }

    const TOLD: Heard = Heard::Message { since: SINCE, over: None };
    const OVER: Heard = Heard::Message { since: SINCE, over: Some(0) };

    fn is_fault(heard: &Heard) -> bool {
        matches!(heard, Heard::Fault(_))
    }

    #[test]
    fn a_message_is_over_when_all_have_heard_it() {
        let mut room = room();
        assert_eq!((hear(&mut room, 0, 0), hear(&mut room, 0, 1)), (TOLD, TOLD));
        assert_eq!((hear(&mut room, 1, 0), room.waiting()), (OVER, 2));
        assert_eq!((hear(&mut room, 1, 1), hear(&mut room, 1, 2)), (OVER, TOLD));
        assert_eq!((hear(&mut room, 0, 2), room.waiting()), (OVER, 0));
    }

    #[test]
    fn a_message_that_is_left_out_is_a_fault_for_the_first_and_for_others() {
        assert!(is_fault(&hear(&mut room(), 0, 1)));
        let mut room = room();
        assert_eq!((hear(&mut room, 0, 0), hear(&mut room, 0, 1)), (TOLD, TOLD));
        assert!(is_fault(&hear(&mut room, 1, 1)));
    }

    #[test]
    fn a_message_that_comes_twice_is_a_fault_for_the_first_and_for_others() {
        let mut room = room();
        assert_eq!(hear(&mut room, 0, 0), TOLD);
        assert!(is_fault(&hear(&mut room, 0, 0)));
        assert_eq!((hear(&mut room, 1, 0), hear(&mut room, 0, 1)), (OVER, TOLD));
        assert!(is_fault(&hear(&mut room, 1, 0)));
    }

    #[test]
    fn a_content_that_was_not_sent_is_a_fault() {
        let other = content(0, 0, BYTES).replace('a', "b");
        assert!(is_fault(&room().hear(0, &other)));
        assert!(is_fault(&room().hear(0, "x")));
    }

    #[test]
    fn a_seq_that_is_not_the_next_is_a_fault() {
        let event = |seq: u64| {
            let content = serde_json::to_string(&content(0, 0, BYTES)).unwrap();
            format!(
                r#"{{"type":"message","message":{{"id":1,"conversation_id":4,"seq":{seq},
                "sender":{{"id":1}},"content":{content},"client_id":null}}}}"#
            )
        };
        let room = || {
            let mut room = Room::new(Dialect::Fortifun, BYTES, &[4], |_| false);
            room.say(0, 0, SINCE);
            room
        };
        assert_eq!(room().hear(0, &event(5)), OVER);
        assert!(is_fault(&room().hear(0, &event(6))));
        assert_eq!(room().hear(0, r#"{"type":"user_status"}"#), Heard::Aside);
    }

    #[test]
    fn sessions_that_do_not_read_are_not_waited_for() {
        let mut room = Room::new(Dialect::Plain, BYTES, &[0, 0], |session| session == 1);
        room.say(3, 0, SINCE);
        assert_eq!(
            room.hear(0, &content(3, 0, BYTES)),
            Heard::Message { since: SINCE, over: Some(3) }
        );
    }

    #[test]
    fn what_is_not_looked_at_is_counted_from_the_oldest_on() {
        let mut room = Room::new(Dialect::Raw, BYTES, &[0], |_| false);
        room.say(1, 0, 2 * SINCE);
        room.say(0, 0, SINCE);
        assert_eq!(room.hear(0, "x"), Heard::Message { since: SINCE, over: Some(0) });
        assert_eq!(room.hear(0, "x"), Heard::Message { since: 2 * SINCE, over: Some(1) });
        assert!(is_fault(&room.hear(0, "x")));
    }
}
