//! What a session missed, against a model: in every order of commits, deliveries, reads and replies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::world::*;
use crate::chat::{Admit, Opening, Pending, Then};
use crate::model::{Command, ConversationId, Endpoint, Seq};
use crate::store::{Outcome, Page, Reply, Request};

const CONVERSATION: Endpoint = Endpoint::Conversation(HERE);
const THERE: ConversationId = ConversationId(9);

/// One session, the store and the way between them, each at its own pace.
struct Net {
    world: World,
    /// The newest place of each conversation.
    committed: BTreeMap<ConversationId, i64>,
    /// Published and not yet arrived.
    pipe: VecDeque<Live>,
    /// Read and not yet answered.
    served: Vec<(Then, Outcome)>,
    /// What the client got, in order.
    got: BTreeMap<ConversationId, Vec<i64>>,
    /// Conversations that the client was told to resume, and from where.
    holes: Vec<(ConversationId, i64)>,
}

enum Live {
    Message(ConversationId, i64),
    /// The session's own message, which comes with the outcome.
    Echo(Then, Box<Reply>),
}

impl Net {
    fn new(world: World, committed: &[(ConversationId, i64)]) -> Self {
        let mut net = Self {
            world,
            committed: committed.iter().copied().collect(),
            pipe: VecDeque::new(),
            served: Vec::new(),
            got: BTreeMap::new(),
            holes: Vec::new(),
        };
        net.world.frames.clear();
        net
    }

    fn commit(&mut self, conversation: ConversationId) -> i64 {
        let newest = self.committed.get_mut(&conversation).expect("a conversation of the model");
        *newest += 1;
        *newest
    }

    /// The oldest request that waits is carried out: what it sees is what is committed now.
    fn serve(&mut self) {
        if self.world.asked.is_empty() {
            return;
        }
        match self.world.asked.remove(0) {
            (Request::History { conversation, page: Page::After(after), limit, .. }, then) => {
                let newest = self.committed[&conversation];
                let page = (after.0 + 1..=newest).take(limit);
                self.served.push((then, Ok(history(conversation, page, newest))));
            }
            (Request::Append { conversation, .. }, then) => {
                let seq = self.commit(conversation);
                let reply = appended(message(conversation, seq), false);
                self.pipe.push_back(Live::Echo(then, Box::new(reply)));
            }
            (request, _) => unreachable!("{request:?}"),
        }
    }

    fn deliver(&mut self) {
        match self.pipe.pop_front() {
            None => return,
            Some(Live::Echo(then, reply)) => _ = self.world.completes(then, Ok(*reply)),
            Some(Live::Message(conversation, seq)) => {
                match live(&mut self.world, conversation, seq) {
                    Admit::Deliver => self.got.entry(conversation).or_default().push(seq),
                    Admit::Gap => _ = self.world.misses(),
                    Admit::Skip | Admit::Hold => {}
                }
            }
        }
        self.take_frames();
    }

    fn reply(&mut self, at: usize) {
        if !self.served.is_empty() {
            let (then, outcome) = self.served.remove(at % self.served.len());
            self.world.completes(then, outcome);
            self.take_frames();
        }
    }

    fn fail(&mut self, is_full: bool) {
        let first = self
            .world
            .asked
            .iter()
            .position(|(request, _)| matches!(request, Request::History { .. }));
        let Some(at) = first else { return };
        let (_, then) = self.world.asked.remove(at);
        if is_full {
            self.world.finds_full(then);
        } else {
            self.world.completes(then, Err(unavailable()));
        }
        self.take_frames();
    }

    fn take_frames(&mut self) {
        for frame in std::mem::take(&mut self.world.frames) {
            let json = json(&frame);
            let number = |pointer| json.pointer(pointer).and_then(serde_json::Value::as_i64);
            match json["type"].as_str() {
                Some("message" | "new_message") => {
                    let conversation = number("/message/conversation_id").expect("an id");
                    let seq = number("/message/seq").expect("a place");
                    self.got.entry(ConversationId(conversation)).or_default().push(seq);
                }
                Some("resumed") if json["complete"] == false => {
                    let conversation = number("/conversation_id").expect("an id");
                    self.holes.push((
                        ConversationId(conversation),
                        number("/last_seq").expect("a place"),
                    ));
                }
                _ => {}
            }
        }
    }

    /// Everything under way arrives; a client that was told of a hole resumes.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if let Some((conversation, after)) = self.holes.pop() {
                self.world.pass(1_000);
                self.world.says(resume(&[(Some(conversation), after)]));
            }
            self.serve();
            self.reply(0);
            self.deliver();
            let is_quiet = self.world.asked.is_empty()
                && self.served.is_empty()
                && self.pipe.is_empty()
                && self.holes.is_empty();
            if is_quiet {
                // A repair that failed is tried again by time alone.
                let due = self.world.due_in();
                if due > 60_000 {
                    return;
                }
                self.world.wakes(due);
            }
        }
        panic!("it never comes to rest");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Deliveries are lost, repeated and swapped, repairs fail: a conversation's socket gets each message once, in order.
    #[test]
    fn a_conversation_socket_gets_each_message_once_and_in_order(
        since in proptest::option::of(0_i64..=120),
        pending in 118_i64..=124,
        ops in proptest::collection::vec((0_u8..10, 0_usize..4), 0..120),
    ) {
        let mut held = Pending::default();
        held.hold(Seq(pending));
        let since_seq = since.map(Seq);
        let opened = Opening { pending: held, since: since_seq, ..opening(CONVERSATION) };
        let mut net = Net::new(World::opened(&opened).0, &[(HERE, pending.max(120))]);
        let mut is_resumed = since.is_none();
        for (op, at) in ops {
            match op {
                0..=2 => {
                    let seq = net.commit(HERE);
                    net.pipe.push_back(Live::Message(HERE, seq));
                }
                3..=4 => net.deliver(),
                5 => net.serve(),
                6 => net.reply(at),
                // The first resume is the client's: if it failed, the client would see some twice.
                7 if is_resumed => net.fail(at % 2 == 0),
                8 => match at {
                    0 => _ = net.pipe.pop_back(),
                    1 if net.pipe.len() > 1 => net.pipe.swap(0, 1),
                    2 => {
                        if let Some(Live::Message(conversation, seq)) = net.pipe.front() {
                            let repeat = Live::Message(*conversation, *seq);
                            net.pipe.push_back(repeat);
                        }
                    }
                    _ => {}
                },
                _ => {
                    let due = net.world.due_in().min(2_000);
                    net.world.wakes(due);
                    net.take_frames();
                }
            }
            is_resumed = is_resumed
                || net.world.session.extra.as_ref().is_none_or(|extra| !extra.is_resuming(HERE));
        }
        // One more message shows what was lost at the end.
        let last = net.commit(HERE);
        net.pipe.push_back(Live::Message(HERE, last));
        net.settle();
        let expected: Vec<i64> = (since.unwrap_or(120) + 1..=last).collect();
        prop_assert_eq!(&net.got[&HERE], &expected);
        prop_assert!(net.world.session.extra.is_none());
    }

    /// A chat socket that resumes three conversations, while others write and it writes itself.
    #[test]
    fn a_chat_socket_gets_each_message_once_and_in_order(
        since in proptest::collection::vec(0_i64..=70, 3),
        ops in proptest::collection::vec((0_u8..8, 0_usize..3), 0..120),
    ) {
        let all = [HERE, THERE, ConversationId(10)];
        let mut net = Net::new(World::on(Endpoint::Chat), &all.map(|id| (id, 70)));
        let after: Vec<_> = all.iter().zip(&since).map(|(id, seq)| (Some(*id), *seq)).collect();
        net.world.says(resume(&after));
        for (op, at) in ops {
            match op {
                0..=1 => {
                    let seq = net.commit(all[at]);
                    net.pipe.push_back(Live::Message(all[at], seq));
                }
                2 => {
                    net.world.says(Command::Message {
                        conversation: Some(all[at]),
                        content: "hi".into(),
                        client_id: None,
                        attachment: None,
                    });
                }
                3..=4 => net.deliver(),
                5 => net.serve(),
                _ => net.reply(at),
            }
        }
        net.settle();
        for (id, since) in all.iter().zip(since) {
            let got = net.got.get(id).cloned().unwrap_or_default();
            prop_assert_eq!(got, (since + 1..=net.committed[id]).collect::<Vec<_>>(), "{:?}", id);
        }
    }
}

proptest! {
    // Each replays thousands of messages.
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever fails and however much is missing, a client that resumes when it is told to has everything in the end.
    #[test]
    fn a_client_that_resumes_when_told_to_misses_nothing(
        is_chat in any::<bool>(),
        ops in proptest::collection::vec((0_u8..8, 0_usize..3), 0..60),
    ) {
        let endpoint = if is_chat { Endpoint::Chat } else { CONVERSATION };
        let mut net = Net::new(World::on(endpoint), &[(HERE, 2_500)]);
        net.world.session.place = crate::chat::place::Place::live(Seq(2_500));
        net.world.says(resume(&[(Some(HERE), 300)]));
        for (op, at) in ops {
            match op {
                0 => {
                    let seq = net.commit(HERE);
                    net.pipe.push_back(Live::Message(HERE, seq));
                }
                1 => net.deliver(),
                2..=3 => net.serve(),
                4..=5 => net.reply(at),
                6 => net.fail(at == 0),
                _ => {
                    if let Some((conversation, after)) = net.holes.pop() {
                        net.world.says(resume(&[(Some(conversation), after)]));
                    }
                }
            }
        }
        net.settle();
        let got: BTreeSet<i64> = net.got[&HERE].iter().copied().collect();
        prop_assert_eq!(got, (301..=net.committed[&HERE]).collect::<BTreeSet<_>>());
    }
}
