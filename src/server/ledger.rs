//! What the channel layer asks of the store, to find what it missed: a connection of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::channel::{Delivery, Ledger, Unavailable};
use crate::chat;
use crate::limits::{BUS_CHECK_MAX, BUS_PUBLISHED_MS};
use crate::model::{ConversationId, Message, MessageId, Seq, Standing, UserId};
use crate::shard::mio_io::Clock;
use crate::store::{Failure, Reply, Request, Store};
use crate::time::Timestamp;
use crate::wire::Encoder;
use crate::worker::commits::Commits;

/// Messages in one answer to [`Request::Since`].
const PAGE: usize = BUS_CHECK_MAX;

/// The ledger that a store keeps.
pub(super) struct StoreLedger {
    store: Box<dyn Store>,
    encoder: Encoder,
    clock: Clock,
    commits: Commits,
}

impl StoreLedger {
    /// Reads from `store`; events are encoded as the workers encode them.
    pub(super) fn new(
        store: Box<dyn Store>,
        encoder: Encoder,
        clock: Clock,
        commits: Commits,
    ) -> Self {
        Self { store, encoder, clock, commits }
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, Unavailable> {
        let now = self.clock.now().wall;
        // A panic in a store costs one answer, and not the thread that brings up what was missed.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.store.read(request, now)));
        match outcome {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(Failure::Store(error))) => Err(Unavailable(error.to_string())),
            Ok(Err(Failure::Refused(refused))) => Err(Unavailable(format!("refused: {refused:?}"))),
            Err(_) => Err(Unavailable("the store panicked".to_owned())),
        }
    }

    /// Hands `f` what the worker that committed `message` published.
    fn publish(&self, message: Message, participants: Vec<UserId>, f: &mut dyn FnMut(Delivery)) {
        let committed_at = Some(message.created_at);
        let reply = Reply::Appended { message, participants, duplicate: false };
        chat::publication(&reply, None, &self.encoder, &mut |mut delivery| {
            delivery.committed_at = committed_at;
            f(delivery);
        });
    }
}

impl Ledger for StoreLedger {
    fn standings(
        &mut self,
        conversations: &[ConversationId],
    ) -> Result<Vec<Standing>, Unavailable> {
        let conversations = conversations.to_vec();
        match self.ask(&Request::Standings { conversations })? {
            Reply::Standings(standings) => Ok(standings),
            other => Err(strange(&other)),
        }
    }

    fn since(
        &mut self,
        users: &[UserId],
        since: Timestamp,
        f: &mut dyn FnMut(Delivery),
    ) -> Result<(), Unavailable> {
        let mut after = None;
        loop {
            let request = Request::Since { users: users.to_vec(), since, after, limit: PAGE };
            let page = match self.ask(&request)? {
                Reply::Since(page) => page,
                other => return Err(strange(&other)),
            };
            // What this node's own workers have committed of it, they publish first: each sender has the echo then.
            self.commits.wait(Duration::from_millis(BUS_PUBLISHED_MS));
            let is_last = page.len() < PAGE;
            for (message, participants) in page {
                after = Some((message.conversation, message.seq));
                self.publish(message, participants, f);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn places(
        &mut self,
        messages: &[MessageId],
    ) -> Result<Vec<(MessageId, ConversationId, Seq)>, Unavailable> {
        match self.ask(&Request::Places { messages: messages.to_vec() })? {
            Reply::Places(places) => Ok(places),
            other => Err(strange(&other)),
        }
    }
}

fn strange(reply: &Reply) -> Unavailable {
    Unavailable(format!("the store answered {reply:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Payload;
    use crate::model::Group;
    use crate::store::memory::MemoryStore;

    /// A ledger over a conversation of two in which this many messages were said, one a microsecond from 1,000 on.
    fn ledger(messages: i64) -> (StoreLedger, [UserId; 2], ConversationId) {
        let mut store = MemoryStore::default();
        let mut commit =
            |request, at| store.commit(&[request], Timestamp(at)).unwrap().pop().unwrap().unwrap();
        let users = ["alice", "bob"].map(|name| {
            let [username, first_name, last_name] = [name, "", ""].map(str::to_owned);
            match commit(Request::AddUser { username, first_name, last_name }, 0) {
                Reply::UserAdded(card) => card.id,
                other => panic!("{other:?}"),
            }
        });
        let open = Request::Open {
            creator: users[0],
            participant: users[1],
            content: "first".to_owned(),
            client_id: None,
        };
        let conversation = match commit(open, 1) {
            Reply::Opened(opened) => opened.conversation.id,
            other => panic!("{other:?}"),
        };
        for number in 1..messages {
            let append = Request::Append {
                conversation,
                sender: users[0],
                content: number.to_string(),
                attachment: None,
                client_id: None,
            };
            commit(append, 1_000 + number);
        }
        let encoder = Encoder::new("/media/");
        let commits = Commits::default();
        let ledger = StoreLedger::new(Box::new(store), encoder, Clock::start(), commits);
        (ledger, users, conversation)
    }

    fn places(ledger: &mut StoreLedger, user: UserId, since: i64) -> Vec<(Group, i64)> {
        let mut told = Vec::new();
        ledger
            .since(&[user], Timestamp(since), &mut |delivery| {
                let Payload::Frame { place: Some((_, seq)), except: None, .. } = delivery.payload
                else {
                    panic!("{delivery:?}")
                };
                assert!(delivery.committed_at.is_some());
                told.push((delivery.group, seq.0));
            })
            .unwrap();
        told
    }

    #[test]
    fn what_was_said_since_is_told_as_its_worker_told_it_over_all_pages() {
        let count = 2 * PAGE as i64 + 1;
        let (mut ledger, [alice, bob], conversation) = ledger(count);
        let told = places(&mut ledger, bob, 0);
        let of = |group: Group| -> Vec<i64> {
            told.iter().filter(|(to, _)| *to == group).map(|(_, seq)| *seq).collect()
        };
        let all: Vec<i64> = (1..=count).collect();
        for group in [Group::Conversation(conversation), Group::User(alice), Group::User(bob)] {
            assert!(of(group) == all, "{group:?}: {} messages", of(group).len());
        }
        assert_eq!(places(&mut ledger, bob, 1_000 + count).len(), 0);
    }

    #[test]
    fn what_a_worker_is_about_to_publish_is_told_after_it() {
        let (mut ledger, [alice, _], _) = ledger(2);
        let writer = ledger.commits.writer();
        writer.begin();
        let (says, heard) = crossbeam_channel::unbounded();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                places(&mut ledger, alice, 0);
                says.send("told").unwrap();
            });
            let early = heard.recv_timeout(Duration::from_millis(50));
            says.send("published").unwrap();
            writer.end();
            assert!(early.is_err());
        });
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["published", "told"]);
    }

    #[test]
    fn standings_and_places_are_the_stores() {
        let (mut ledger, _, conversation) = ledger(3);
        let standings = ledger.standings(&[conversation, ConversationId(99)]).unwrap();
        assert_eq!(standings.len(), 1);
        assert_eq!((standings[0].last_seq, standings[0].is_active), (Seq(3), true));
        let found = ledger.places(&[MessageId(1), MessageId(77)]).unwrap();
        assert_eq!(found, [(MessageId(1), conversation, Seq(1))]);
    }
}
