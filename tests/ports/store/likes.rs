//! Likes, the matches they complete, and blocks.

use fortifun_realtime::model::{MatchPage, NodeId, Refused, UserId};
use fortifun_realtime::store::{Reply, Request};
use fortifun_realtime::time::Timestamp;

use super::world::{BEGINNING, WELCOME, World, like};
use super::{Rule, rules};

pub(crate) const RULES: &[Rule] = rules![
    two_likes_in_either_order_make_one_match,
    a_match_keeps_the_conversation_they_have,
    a_match_makes_the_conversation_they_left_active_again,
    who_may_not_like_is_refused,
    taking_a_like_back_ends_the_match_and_liking_again_makes_it_anew,
    taking_back_a_like_that_was_not_given_ends_nothing,
    a_block_ends_the_match_and_takes_both_likes,
    a_block_of_both_is_lifted_by_both,
    who_may_not_block_is_refused,
    recent_matches_are_newest_first_and_not_older,
    matches_are_paged_and_counted,
    a_match_shows_the_other_and_where_they_talk,
];

fn recent(user: UserId, since: Timestamp) -> Request {
    Request::RecentMatches { user, since, limit: 100 }
}

impl World {
    fn page(&mut self, request: &Request) -> MatchPage {
        match self.reply(request) {
            Reply::Matches(page) => page,
            reply => panic!("{reply:?}"),
        }
    }

    /// The others of `user`'s recent matches.
    fn recent(&mut self, user: UserId) -> Vec<UserId> {
        let page = self.page(&recent(user, BEGINNING));
        assert_eq!(page.count, page.results.len() as u64);
        page.results.iter().map(|view| view.other.card.id).collect()
    }

    fn matched(&mut self, a: UserId, b: UserId) {
        self.like(a, b);
        self.like(b, a).expect("the second like makes the match");
    }
}

fn two_likes_in_either_order_make_one_match(world: &mut World) {
    let (a, b) = world.two();
    let (c, d) = (world.user("cleo"), world.user("dora"));
    for (first, second) in [(a, b), (d, c)] {
        assert_eq!(world.like(first, second), None);
        let made = world.like(second, first).unwrap();
        let welcome = made.welcome.unwrap();
        assert_eq!((welcome.sender.id, &*welcome.content), (second, WELCOME));
        assert_eq!((welcome.conversation, welcome.seq.0), (made.made.conversation, 1));
        assert_eq!(made.made.created_at, world.now);
        assert_eq!(world.refusal(&like(first, second)), Refused::AlreadyLiked);
        assert_eq!(world.refusal(&like(second, first)), Refused::AlreadyLiked);
        world.say(made.made.conversation, first, "hello");
    }
    let tables = world.backdoor.tables();
    assert_eq!(tables.matches, [(a, b, true), (c, d, true)]);
    assert_eq!(tables.conversations.len(), 2);
}

fn a_match_keeps_the_conversation_they_have(world: &mut World) {
    let (a, b, talk) = world.talk();
    world.like(a, b);
    let made = world.like(b, a).unwrap();
    assert_eq!((made.made.conversation, made.welcome), (talk, None));
    assert_eq!(world.backdoor.tables().messages.len(), 1);
}

fn a_match_makes_the_conversation_they_left_active_again(world: &mut World) {
    let (a, b, talk) = world.talk();
    world.reply(&Request::Leave { conversation: talk, user: a });
    world.like(a, b);
    let made = world.like(b, a).unwrap();
    assert_eq!((made.made.conversation, made.welcome), (talk, None));
    world.say(talk, a, "hello again");
}

fn who_may_not_like_is_refused(world: &mut World) {
    let (a, b) = world.two();
    let gone = world.user("gone");
    world.backdoor.deactivate(gone);
    let unlike = |liker, liked| Request::Unlike { liker, liked };
    for (liker, liked, why) in [
        (a, a, Refused::Oneself),
        (UserId(99), UserId(99), Refused::Oneself),
        (a, UserId(99), Refused::UserNotFound),
        (UserId(99), a, Refused::UserNotFound),
        (a, gone, Refused::UserNotFound),
        (gone, a, Refused::UserNotFound),
    ] {
        assert_eq!(world.refusal(&like(liker, liked)), why);
        assert_eq!(world.refusal(&unlike(liker, liked)), why);
    }
    world.reply(&Request::Block { blocker: b, blocked: a });
    assert_eq!(world.refusal(&like(a, b)), Refused::UserBlocked);
    assert_eq!(world.refusal(&like(b, a)), Refused::UserBlocked);
}

fn taking_a_like_back_ends_the_match_and_liking_again_makes_it_anew(world: &mut World) {
    let (a, b) = world.two();
    world.like(a, b);
    let first = world.like(b, a).unwrap().made;
    assert_eq!(world.reply(&Request::Unlike { liker: a, liked: b }), Reply::Done);
    assert_eq!((world.recent(a), world.recent(b)), (vec![], vec![]));
    assert_eq!(world.backdoor.tables().likes, [(b, a)]);
    world.say(first.conversation, b, "still here");
    let again = world.like(a, b).unwrap();
    assert_eq!((again.made.id, again.made.conversation), (first.id, first.conversation));
    assert_eq!((again.made.created_at, again.welcome), (world.now, None));
    assert_eq!(world.backdoor.tables().matches, [(a, b, true)]);
    let page = world.page(&recent(b, world.now));
    assert_eq!(page.results[0].created_at, world.now);
}

fn taking_back_a_like_that_was_not_given_ends_nothing(world: &mut World) {
    let (a, b) = world.two();
    world.like(a, b);
    assert_eq!(world.reply(&Request::Unlike { liker: b, liked: a }), Reply::Done);
    assert_eq!(world.backdoor.tables().likes, [(a, b)]);
    world.like(b, a).expect("the first like still stands");
}

fn a_block_ends_the_match_and_takes_both_likes(world: &mut World) {
    let (a, b) = world.two();
    world.matched(a, b);
    let talk = world.backdoor.tables().conversations[0];
    for _ in 0..2 {
        let reply = world.reply(&Request::Block { blocker: a, blocked: b });
        let conversations = vec![talk];
        assert_eq!(reply, Reply::Blocked { blocker: a, blocked: b, conversations });
    }
    let tables = world.backdoor.tables();
    assert_eq!((tables.likes, tables.blocks), (vec![], vec![(a, b)]));
    assert_eq!(tables.matches, [(a, b, false)]);
    assert_eq!((world.recent(a), world.recent(b)), (vec![], vec![]));
    world.reply(&Request::Unblock { blocker: a, blocked: b });
    world.matched(b, a);
    assert_eq!(world.backdoor.tables().matches, [(a, b, true)]);
}

fn a_block_of_both_is_lifted_by_both(world: &mut World) {
    let (a, b, talk) = world.talk();
    let unblock = |blocker, blocked| Request::Unblock { blocker, blocked };
    world.reply(&Request::Leave { conversation: talk, user: a });
    world.reply(&Request::Block { blocker: a, blocked: b });
    let reply = world.reply(&Request::Block { blocker: b, blocked: a });
    assert_eq!(reply, Reply::Blocked { blocker: b, blocked: a, conversations: vec![talk] });
    let lifted = |conversations| Reply::Unblocked { conversations };
    assert_eq!(world.reply(&unblock(a, b)), lifted(vec![]));
    assert_eq!(world.refusal(&like(a, b)), Refused::UserBlocked);
    assert_eq!(world.reply(&unblock(b, a)), lifted(vec![talk]));
    assert_eq!(world.reply(&unblock(b, a)), lifted(vec![talk]));
    world.like(a, b);
}

fn who_may_not_block_is_refused(world: &mut World) {
    let a = world.user("ada");
    for (blocker, blocked, why) in [
        (a, a, Refused::Oneself),
        (a, UserId(99), Refused::UserNotFound),
        (UserId(99), a, Refused::UserNotFound),
    ] {
        assert_eq!(world.refusal(&Request::Block { blocker, blocked }), why);
        assert_eq!(world.refusal(&Request::Unblock { blocker, blocked }), why);
    }
}

fn recent_matches_are_newest_first_and_not_older(world: &mut World) {
    let (a, b) = world.two();
    let (c, d) = (world.user("cleo"), world.user("dora"));
    world.matched(a, c);
    let since = world.now;
    world.matched(d, a);
    world.matched(a, b);
    assert_eq!(world.recent(a), [b, d, c]);
    let count = |world: &mut World, since| world.page(&recent(a, since)).count;
    assert_eq!(count(world, since), 3);
    assert_eq!(count(world, Timestamp(since.0 + 1)), 2);
    let few = Request::RecentMatches { user: a, since, limit: 1 };
    assert_eq!(world.page(&few).count, 1);
    assert_eq!(world.refusal(&recent(UserId(99), since)), Refused::UserNotFound);
}

fn matches_are_paged_and_counted(world: &mut World) {
    let a = world.user("ada");
    let others: Vec<_> = (0..5).map(|n| world.user(&format!("other{n}"))).collect();
    for &other in &others {
        world.matched(a, other);
    }
    world.reply(&Request::Unlike { liker: others[4], liked: a });
    for (offset, limit, expect) in [
        (0, 2, vec![others[3], others[2]]),
        (2, 2, vec![others[1], others[0]]),
        (3, 9, vec![others[0]]),
        (4, 2, vec![]),
        (0, 0, vec![]),
    ] {
        let page = world.page(&Request::Matches { user: a, offset, limit });
        let found: Vec<_> = page.results.iter().map(|view| view.other.card.id).collect();
        assert_eq!((page.count, found), (4, expect));
    }
    let request = Request::Matches { user: UserId(99), offset: 0, limit: 9 };
    assert_eq!(world.refusal(&request), Refused::UserNotFound);
}

fn a_match_shows_the_other_and_where_they_talk(world: &mut World) {
    let (a, b) = world.two();
    world.like(a, b);
    let made = world.like(b, a).unwrap().made;
    world.reply(&Request::SetPresence { user: b, is_online: true, node: NodeId(1) });
    let here = world.now;
    let view = world.page(&recent(a, BEGINNING)).results.remove(0);
    assert_eq!((view.id, view.created_at, view.is_active), (made.id, made.created_at, true));
    assert_eq!((&*view.other.card.username, &*view.other.first_name), ("bea", "First"));
    assert_eq!((view.other.is_online, view.other.last_activity), (true, Some(here)));
    assert_eq!(view.conversation, Some(made.conversation));
    world.reply(&Request::Leave { conversation: made.conversation, user: a });
    let page = world.page(&Request::Matches { user: b, offset: 0, limit: 9 });
    assert_eq!(page.results[0].conversation, None);
}
