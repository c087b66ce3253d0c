//! What a node asks that may have missed something: how conversations stand, what was said since, where messages are.

use fortifun_realtime::model::{ConversationId, MessageId, Seq, Standing, UserId};
use fortifun_realtime::store::{Reply, Request};
use fortifun_realtime::time::Timestamp;

use super::world::{World, append};
use super::{Rule, rules};

pub(crate) const RULES: &[Rule] = rules![
    a_standing_tells_the_newest_place_whether_it_is_active_and_who_blocks_whom,
    what_does_not_stand_is_left_out_and_what_is_asked_twice_is_told_once,
    what_was_said_since_is_told_with_everyone_it_concerns,
    what_was_said_since_is_told_page_by_page,
    what_one_may_not_read_is_not_told,
    a_conversation_of_several_who_ask_is_told_once,
    messages_are_found_where_they_are,
];

impl World {
    fn standings(&mut self, conversations: &[i64]) -> Vec<Standing> {
        let conversations = conversations.iter().copied().map(ConversationId).collect();
        match self.reply(&Request::Standings { conversations }) {
            Reply::Standings(standings) => standings,
            reply => panic!("{reply:?}"),
        }
    }

    /// Conversations and places of what `users` are told.
    fn since(
        &mut self,
        users: &[UserId],
        since: Timestamp,
        after: Option<(i64, i64)>,
        limit: usize,
    ) -> Vec<(i64, i64)> {
        let after = after.map(|(conversation, seq)| (ConversationId(conversation), Seq(seq)));
        match self.reply(&Request::Since { users: users.to_vec(), since, after, limit }) {
            Reply::Since(said) => {
                said.iter().map(|(message, _)| (message.conversation.0, message.seq.0)).collect()
            }
            reply => panic!("{reply:?}"),
        }
    }
}

fn a_standing_tells_the_newest_place_whether_it_is_active_and_who_blocks_whom(world: &mut World) {
    let (a, b, talk) = world.talk();
    world.say(talk, b, "second");
    let fresh = Standing { conversation: talk, last_seq: Seq(2), is_active: true, blocks: vec![] };
    assert_eq!(world.standings(&[talk.0]), std::slice::from_ref(&fresh));
    world.reply(&Request::Block { blocker: b, blocked: a });
    assert_eq!(world.standings(&[talk.0])[0].blocks, [(b, a)]);
    world.reply(&Request::Block { blocker: a, blocked: b });
    assert_eq!(world.standings(&[talk.0])[0].blocks, [(a, b), (b, a)]);
    world.reply(&Request::Unblock { blocker: b, blocked: a });
    world.reply(&Request::Unblock { blocker: a, blocked: b });
    assert_eq!(world.standings(&[talk.0]), std::slice::from_ref(&fresh));
    // A block of somebody elsewhere is not this conversation's.
    let c = world.user("cleo");
    world.reply(&Request::Block { blocker: a, blocked: c });
    assert_eq!(world.standings(&[talk.0]), std::slice::from_ref(&fresh));
    world.reply(&Request::Leave { conversation: talk, user: a });
    assert_eq!(world.standings(&[talk.0]), [Standing { is_active: false, ..fresh }]);
}

fn what_does_not_stand_is_left_out_and_what_is_asked_twice_is_told_once(world: &mut World) {
    let (a, _, talk) = world.talk();
    let c = world.user("cleo");
    let other = world.opened(a, c).conversation.id;
    let found = world.standings(&[99, other.0, talk.0, other.0, -1]);
    let ids: Vec<_> = found.iter().map(|standing| standing.conversation).collect();
    assert_eq!(ids, [talk, other]);
    assert_eq!(world.standings(&[]), []);
}

fn what_was_said_since_is_told_with_everyone_it_concerns(world: &mut World) {
    let (a, b, talk) = world.talk();
    let second = world.say(talk, b, "second");
    let third = world.say(talk, a, "third");
    let request =
        Request::Since { users: vec![b], since: second.created_at, after: None, limit: 10 };
    let expect = vec![(second, vec![a, b]), (third.clone(), vec![a, b])];
    assert_eq!(world.reply(&request), Reply::Since(expect));
    assert_eq!(world.since(&[a], third.created_at, None, 10), [(1, 3)]);
    let later = Timestamp(third.created_at.0 + 1);
    assert_eq!(world.since(&[a], later, None, 10), []);
    assert_eq!(world.since(&[], Timestamp(0), None, 10), []);
}

fn what_was_said_since_is_told_page_by_page(world: &mut World) {
    let (a, b, talk) = world.talk();
    let c = world.user("cleo");
    let other = world.opened(c, a).conversation.id;
    let since = world.say(talk, b, "2").created_at;
    for n in 0..4 {
        let batch = [append(talk, a, &n.to_string()), append(other, a, &n.to_string())];
        world.commit(&batch).unwrap();
    }
    let all = [(1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (2, 2), (2, 3), (2, 4), (2, 5)];
    assert_eq!(world.since(&[a], since, None, usize::MAX), all);
    for limit in [1, 2, 3, 5, 9, 10] {
        let mut told = Vec::new();
        loop {
            let page = world.since(&[a], since, told.last().copied(), limit);
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            told.extend(page);
        }
        assert_eq!(told, all, "pages of {limit}");
    }
    assert_eq!(world.since(&[a], since, None, 0), []);
    assert_eq!(world.since(&[c], since, Some((1, 9)), 9), [(2, 2), (2, 3), (2, 4), (2, 5)]);
    assert_eq!(world.since(&[a], since, Some((2, 5)), 9), []);
    assert_eq!(world.since(&[a], since, Some((3, 0)), 9), []);
}

fn what_one_may_not_read_is_not_told(world: &mut World) {
    let (a, b, talk) = world.talk();
    let stranger = world.user("cleo");
    let told = |world: &mut World, user| !world.since(&[user], Timestamp(0), None, 9).is_empty();
    assert!(told(world, a) && told(world, b) && !told(world, stranger));
    assert!(!told(world, UserId(99)));
    world.reply(&Request::Block { blocker: a, blocked: b });
    assert!(told(world, a) && !told(world, b), "who blocks goes on reading");
    world.reply(&Request::Unblock { blocker: a, blocked: b });
    world.backdoor.deactivate(b);
    assert!(told(world, a) && !told(world, b));
    world.reply(&Request::Leave { conversation: talk, user: a });
    assert!(!told(world, a));
}

fn a_conversation_of_several_who_ask_is_told_once(world: &mut World) {
    let (a, b, _) = world.talk();
    let c = world.user("cleo");
    world.opened(c, b);
    assert_eq!(world.since(&[c, b, a, b], Timestamp(0), None, 9), [(1, 1), (2, 1)]);
    // What one of them may read is told, though it is hidden from another.
    world.reply(&Request::Block { blocker: a, blocked: b });
    assert_eq!(world.since(&[a, b], Timestamp(0), None, 9), [(1, 1), (2, 1)]);
    assert_eq!(world.since(&[b], Timestamp(0), None, 9), [(2, 1)]);
}

fn messages_are_found_where_they_are(world: &mut World) {
    let (a, b, talk) = world.talk();
    let second = world.say(talk, b, "second");
    let c = world.user("cleo");
    let elsewhere = world.opened(a, c).message;
    let messages = vec![elsewhere.id, MessageId(99), second.id, second.id, MessageId(-1)];
    let expect = vec![(second.id, talk, Seq(2)), (elsewhere.id, elsewhere.conversation, Seq(1))];
    assert_eq!(world.reply(&Request::Places { messages }), Reply::Places(expect));
    assert_eq!(world.reply(&Request::Places { messages: vec![] }), Reply::Places(vec![]));
}
