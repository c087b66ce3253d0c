//! How sessions begin, are ordered about, wait and end.

use super::world::*;
use crate::chat::{Admit, Opening, Pending, Session};
use crate::model::{
    Command, ConnRef, Control, ConversationId, Endpoint, Seq, ShardId, Topic, UserId,
};

const CONVERSATION: Endpoint = Endpoint::Conversation(HERE);

#[test]
fn a_session_fits_its_slot_and_owns_nothing_at_rest() {
    assert!(size_of::<Session>() <= 104, "{}", size_of::<Session>());
    for endpoint in [Endpoint::Chat, CONVERSATION, Endpoint::Notifications] {
        let world = World::on(endpoint);
        assert!(world.session.extra.is_none(), "{endpoint:?}");
    }
}

#[test]
fn a_session_begins_by_joining_then_hello_then_how_the_others_are() {
    let cases: [(Endpoint, bool, &[&str]); 6] = [
        (
            Endpoint::Chat,
            true,
            &["join user_1_notifications", "join general_chat_notifications", "hello"],
        ),
        (Endpoint::Chat, false, &["join user_1_notifications", "join general_chat_notifications"]),
        (Endpoint::Notifications, true, &["join user_1_notifications", "hello"]),
        (Endpoint::Notifications, false, &["join user_1_notifications"]),
        (CONVERSATION, true, &["hello 120", "user_status 2 online"]),
        (CONVERSATION, false, &[]),
    ];
    for (endpoint, v1, expected) in cases {
        let (_, effects) = World::opened(&Opening { v1, ..opening(endpoint) });
        assert_eq!(effects, expected, "{endpoint:?} v1={v1}");
    }
}

#[test]
fn what_came_while_deciding_is_not_lost() {
    let mut pending = Pending::default();
    pending.hold(Seq(120));
    let (_, effects) = World::opened(&Opening { pending, ..opening(CONVERSATION) });
    assert_eq!(effects, ["hello 120", "user_status 2 online"], "the store had seen 120");

    pending.hold(Seq(122));
    pending.hold(Seq(121));
    let (mut world, effects) = World::opened(&Opening { pending, ..opening(CONVERSATION) });
    let page = "ask history 456 After(Seq(120)) 32";
    assert_eq!(effects, ["hello 120", "user_status 2 online", page]);
    assert_eq!(live(&mut world, HERE, 123), Admit::Hold);
    let effects = world.reads(history(HERE, 121..=123, 123));
    assert_eq!(effects, ["message 121", "message 122", "message 123"], "a repair says nothing");
    assert_eq!(live(&mut world, HERE, 124), Admit::Deliver);
    assert!(world.session.extra.is_none());
}

#[test]
fn orders_that_came_while_deciding_are_carried_out() {
    let ordered = |control| {
        let mut pending = Pending::default();
        pending.on_control(ME, control);
        World::opened(&Opening { pending, ..opening(CONVERSATION) })
    };
    for (control, expected) in [
        (Control::Evict { user: ME, code: 4403 }, "close 4403"),
        (Control::Disband { code: 4404 }, "close 4404"),
    ] {
        assert_eq!(ordered(control).1, [expected]);
    }
    assert!(ordered(Control::Silence(true)).0.session.silenced);
    assert_eq!(ordered(Control::Evict { user: OTHER, code: 4403 }).1.len(), 2);
}

#[test]
fn orders_are_for_whom_they_name() {
    let cases: [(Control, &[&str]); 4] = [
        (Control::Evict { user: ME, code: 4403 }, &["close 4403"]),
        (Control::Evict { user: OTHER, code: 4403 }, &[]),
        (Control::Disband { code: 4404 }, &["close 4404"]),
        (Control::Unwatch(OTHER), &[]),
    ];
    for (control, expected) in cases {
        assert_eq!(World::on(CONVERSATION).hears(control), expected, "{control:?}");
    }
}

#[test]
fn silence_ends_typing_and_lasts_until_it_is_lifted() {
    let typing = || Command::Typing { conversation: None, is_typing: true };
    let mut world = World::on(CONVERSATION);
    world.says(typing());
    assert_eq!(world.hears(Control::Silence(true)), OVER);
    assert_eq!(world.says(typing()), ["error forbidden"]);
    assert_eq!(world.hears(Control::Silence(false)), [""; 0]);
    assert_eq!(world.says(typing()), BEGUN);
}

#[test]
fn a_token_is_told_of_before_it_expires_and_ends_the_session_when_it_does() {
    let mut world = World::on(Endpoint::Chat);
    assert_eq!(world.due_in(), (TTL_S as u64 - 60) * 1_000);
    assert_eq!(world.wakes((TTL_S as u64 - 60) * 1_000 - 1), [""; 0], "too early");
    assert_eq!(world.wakes(1), ["token_expiring"]);
    assert_eq!(world.due_in(), 60_000);
    assert_eq!(world.wakes(59_999), [""; 0]);
    assert_eq!(world.wakes(1), ["close 4401"]);
}

#[test]
fn a_client_of_the_seed_is_not_told_that_its_token_expires() {
    let (mut world, _) = World::opened(&Opening { v1: false, ..opening(Endpoint::Chat) });
    assert_eq!(world.due_in(), TTL_S as u64 * 1_000);
    assert_eq!(world.wakes(TTL_S as u64 * 1_000 - 1), [""; 0]);
    assert_eq!(world.wakes(1), ["close 4401"]);
}

#[test]
fn a_fresh_token_of_the_same_user_keeps_the_session() {
    let mut world = World::on(Endpoint::Notifications);
    world.wakes((TTL_S as u64 - 60) * 1_000);
    let token = world.token(SECRET, ME, TTL_S);
    assert_eq!(world.asks("r", Command::Auth { token: token.into() }), ["auth_ok", "ack r"]);
    assert_eq!(world.due_in(), (TTL_S as u64 - 60) * 1_000, "and it is told again");
}

#[test]
fn a_token_that_is_not_good_leaves_the_session_as_it_was() {
    let mut world = World::on(Endpoint::Chat);
    let due_in = world.due_in();
    for (token, code) in [
        (world.token(SECRET, OTHER, TTL_S), "forbidden"),
        (world.token(b"a foreign secret of 32 bytes....", ME, TTL_S), "invalid_field"),
        (world.token(SECRET, ME, -1), "invalid_field"),
        (String::new(), "invalid_field"),
    ] {
        let effects = world.asks("r", Command::Auth { token: token.into() });
        assert_eq!(effects, [format!("error {code} r")]);
        assert_eq!(world.due_in(), due_in);
    }
}

#[test]
fn typing_ends_by_itself_and_with_the_socket() {
    let typing = |is_typing| Command::Typing { conversation: None, is_typing };
    let mut world = World::on(CONVERSATION);
    assert_eq!(world.asks("r", typing(true)), [BEGUN[0], BEGUN[1], "ack r"]);
    assert_eq!(world.due_in(), 10_000);
    world.pass(4_000);
    assert_eq!(world.says(typing(true)), BEGUN, "shown again, it lasts longer");
    assert_eq!(world.wakes(9_999), [""; 0]);
    assert_eq!(world.wakes(1), OVER);
    assert_eq!(world.ends(), ["leave chat_456"], "once is enough");

    let mut world = World::on(CONVERSATION);
    world.says(typing(true));
    assert_eq!(world.ends(), [OVER[0], OVER[1], "leave chat_456"]);
}

#[test]
fn a_chat_session_leaves_all_it_joined() {
    let mut world = World::on(Endpoint::Chat);
    world.says(Command::Subscribe { topic: Topic::UserStatus, on: true, users: vec![OTHER] });
    world.answers(Ok(crate::store::Reply::Watched(vec![status(OTHER)])));
    world.says(Command::Typing { conversation: Some(HERE), is_typing: true });
    world.answers(Ok(may_speak()));
    assert_eq!(
        world.ends(),
        [
            "publish chat_456 Conversation: typing user1 false (sheddable)",
            "publish user_2_notifications Activity: typing user1 false (sheddable)",
            "leave user_1_notifications",
            "leave general_chat_notifications",
            "leave presence_2",
        ]
    );
    let mut world = World::on(Endpoint::Notifications);
    assert_eq!(world.ends(), [format!("leave {}", own_group())]);
}

#[test]
fn a_session_gets_what_it_has_not_muted_and_is_not_excepted_from() {
    let stranger = ConnRef { shard: ShardId(1), ..me() };
    let mut world = World::on(Endpoint::Chat);
    for topic in [Topic::Matches, Topic::Messages, Topic::OwnMessages, Topic::UserStatus] {
        assert_eq!(world.session.admits(me(), topic, None, None), Admit::Deliver);
        assert_eq!(world.session.admits(me(), topic, None, Some(stranger)), Admit::Deliver);
        assert_eq!(world.session.admits(me(), topic, None, Some(me())), Admit::Skip);
    }
    let mute = |topic, on| Command::Subscribe { topic, on, users: vec![] };
    assert_eq!(world.says(mute(Topic::Messages, false)), ["unsubscribed message_notifications"]);
    for topic in [Topic::Messages, Topic::OwnMessages] {
        assert_eq!(world.session.admits(me(), topic, None, None), Admit::Skip);
    }
    assert_eq!(world.session.admits(me(), Topic::Matches, None, None), Admit::Deliver);
    world.says(mute(Topic::Messages, true));
    assert_eq!(world.session.admits(me(), Topic::OwnMessages, None, None), Admit::Deliver);
    // What the user wrote elsewhere is no notification.
    let mut world = World::on(Endpoint::Notifications);
    assert_eq!(world.session.admits(me(), Topic::OwnMessages, None, None), Admit::Skip);
    let place = Some((ConversationId(9), Seq(77)));
    assert_eq!(world.session.admits(me(), Topic::Messages, place, None), Admit::Deliver);
}

#[test]
fn presence_is_watched_as_far_as_the_store_allows() {
    let users = vec![OTHER, UserId(3), OTHER];
    let watch = |on, users| Command::Subscribe { topic: Topic::UserStatus, on, users };
    let mut world = World::on(Endpoint::Chat);
    assert_eq!(
        world.asks("r", watch(true, users)),
        ["ask watch [UserId(2), UserId(3), UserId(2)]"]
    );
    assert_eq!(
        world.answers(Ok(crate::store::Reply::Watched(vec![status(OTHER)]))),
        ["join presence_2", "subscribed user_status [2]", "user_status 2 online", "ack r"]
    );
    assert_eq!(world.hears(Control::Unwatch(UserId(3))), [""; 0]);
    assert_eq!(world.hears(Control::Unwatch(OTHER)), ["leave presence_2"]);
    assert!(world.session.extra.is_none());
    assert_eq!(world.says(watch(true, vec![])), ["subscribed user_status []"]);
}

#[test]
fn whoever_blocks_while_the_store_is_asked_is_not_watched() {
    let watch = |on, users| Command::Subscribe { topic: Topic::UserStatus, on, users };
    let found = || Ok(crate::store::Reply::Watched(vec![status(OTHER), status(UserId(3))]));
    let mut world = World::on(Endpoint::Chat);
    world.says(watch(true, vec![OTHER, UserId(3)]));
    world.hears(Control::Unwatch(OTHER));
    assert_eq!(
        world.answers(found()),
        ["join presence_3", "subscribed user_status [3]", "user_status 3 online"]
    );
    // The same with an unsubscription that comes before the answer.
    world.says(watch(true, vec![OTHER, UserId(3)]));
    let effects = world.says(watch(false, vec![]));
    assert_eq!(effects, ["leave presence_3", "unsubscribed user_status []"]);
    assert_eq!(world.answers(found()), ["subscribed user_status []"]);
}
