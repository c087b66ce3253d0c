//! Any requests in any batches: a store answers as the memory store does, and keeps the same rows.

use fortifun_realtime::model::{ConversationId, MessageId, NodeId, Revoked, Seq, UserId};
use fortifun_realtime::store::{Page, Request};
use fortifun_realtime::time::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::world::{BEGINNING, WELCOME, World, add_user, memory};

/// Users that are there from the start; one id more is nobody's.
const USERS: i64 = 4;

/// What happens to both stores.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Request>),
    Read(Request),
    Deactivate(UserId),
    ResetPresence,
    /// Time passes.
    Pause(i64),
}

/// Lives many short histories in the store that `make` makes and in the memory store.
pub(crate) fn check(make: &dyn Fn() -> World) {
    let mut runner =
        TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(64) });
    let histories = prop::collection::vec(step(), 1..40);
    let verdict = runner.run(&histories, |steps| {
        let (mut model, mut store) = (memory(), make());
        let users: Vec<_> = (1..=USERS).map(|n| add_user(&format!("user{n}"))).collect();
        prop_assert_eq!(store.commit(&users), model.commit(&users));
        // A first lease would end by the one clock and not by the other.
        prop_assert_eq!(store.commit(&leases()), model.commit(&leases()));
        for step in &steps {
            match step {
                Step::Commit(batch) => {
                    prop_assert_eq!(store.commit(batch), model.commit(batch));
                    let at = model.now;
                    prop_assert_eq!(store.settle(batch, at), model.settle(batch, at));
                }
                Step::Read(request) => prop_assert_eq!(store.ask(request), model.ask(request)),
                Step::Deactivate(user) => {
                    store.backdoor.deactivate(*user);
                    model.backdoor.deactivate(*user);
                }
                Step::Pause(minutes) => {
                    for world in [&mut store, &mut model] {
                        world.now = world.now.plus_ms(minutes * 60_000);
                    }
                }
                Step::ResetPresence => {
                    store.backdoor.reset_presence();
                    model.backdoor.reset_presence();
                    prop_assert_eq!(store.commit(&leases()), model.commit(&leases()));
                }
            }
        }
        prop_assert_eq!(store.backdoor.tables(), model.backdoor.tables());
        for request in everything() {
            prop_assert_eq!(store.ask(&request), model.ask(&request), "{:?}", request);
        }
        Ok(())
    });
    if let Err(error) = verdict {
        panic!("{error}");
    }
}

/// Every view that every user can have.
fn everything() -> Vec<Request> {
    let users: Vec<_> = (1..=USERS + 1).map(UserId).collect();
    let conversations: Vec<_> = (1..=6).map(ConversationId).collect();
    let mut requests = vec![
        Request::Revocations { after: 0 },
        Request::Standings { conversations: conversations.clone() },
        Request::Places { messages: (1..=40).map(MessageId).collect() },
    ];
    for &user in &users {
        requests.extend([
            Request::Admit { user, conversation: None },
            Request::Watch { user, users: users.clone() },
            Request::Conversations { user, limit: 100 },
            Request::RecentMatches { user, since: BEGINNING, limit: 100 },
            Request::Matches { user, offset: 0, limit: 100 },
            Request::Since { users: vec![user], since: BEGINNING, after: None, limit: 1_000 },
        ]);
        for &conversation in &conversations {
            requests.extend([
                Request::Admit { user, conversation: Some(conversation) },
                Request::MaySpeak { user, conversation },
                Request::Conversation { user, conversation },
                Request::History { user, conversation, page: Page::Latest, limit: 1_000 },
            ]);
        }
    }
    requests
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => prop::collection::vec(write(), 1..10).prop_map(Step::Commit),
        1 => prop::collection::vec(prop_oneof![write(), read(), wide()], 1..10).prop_map(Step::Commit),
        6 => read().prop_map(Step::Read),
        1 => user().prop_map(Step::Deactivate),
        1 => Just(Step::ResetPresence),
        2 => (1..90i64).prop_map(Step::Pause),
    ]
}

fn user() -> impl Strategy<Value = UserId> {
    prop_oneof![8 => 1..=2i64, 4 => 1..=USERS, 1 => Just(USERS + 1)].prop_map(UserId)
}

fn conversation() -> impl Strategy<Value = ConversationId> {
    prop_oneof![3 => Just(1), 2 => 1..=4i64].prop_map(ConversationId)
}

fn message() -> impl Strategy<Value = MessageId> {
    (1..=20i64).prop_map(MessageId)
}

fn client_id() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[a-d]")
}

fn write() -> impl Strategy<Value = Request> {
    prop_oneof![
        8 => (conversation(), user(), "[a-zé ]{1,8}", prop::option::of("[a-c]{0,2}"), client_id()).prop_map(
            |(conversation, sender, content, attachment, client_id)| Request::Append {
                conversation, sender, content, attachment, client_id,
            }
        ),
        4 => (conversation(), user(), message()).prop_map(
            |(conversation, reader, message)| Request::MarkRead { conversation, reader, message }
        ),
        5 => (user(), user()).prop_map(
            |(liker, liked)| Request::Like { liker, liked, welcome: WELCOME.into() }
        ),
        2 => (user(), user()).prop_map(|(liker, liked)| Request::Unlike { liker, liked }),
        1 => (user(), user()).prop_map(|(blocker, blocked)| Request::Block { blocker, blocked }),
        2 => (user(), user()).prop_map(|(blocker, blocked)| Request::Unblock { blocker, blocked }),
        3 => (user(), user(), client_id()).prop_map(|(creator, participant, client_id)| {
            Request::Open { creator, participant, content: "first".to_owned(), client_id }
        }),
        1 => (conversation(), user()).prop_map(
            |(conversation, user)| Request::Leave { conversation, user }
        ),
        4 => (user(), any::<bool>(), node()).prop_map(
            |(user, is_online, node)| Request::SetPresence { user, is_online, node }
        ),
        2 => lease(),
        1 => (revoked(), until()).prop_map(|(revoked, until)| Request::Revoke { revoked, until }),
        1 => "user[1-8]".prop_map(|username| add_user(&username)),
    ]
}

const NODES: [NodeId; 3] = [NodeId(1), NodeId(1 << 100), NodeId(u128::MAX)];

/// Outlasts a history, whichever clock is asked.
const LEASE_S: u32 = 1_000_000_000;

/// One for each node.
fn leases() -> Vec<Request> {
    NODES.map(|node| Request::Lease { node, lease_s: LEASE_S, reap: false }).to_vec()
}

fn node() -> impl Strategy<Value = NodeId> {
    prop::sample::select(&NODES)
}

/// Some end at once.
fn lease() -> impl Strategy<Value = Request> {
    let lease_s = prop_oneof![2 => Just(LEASE_S), 1 => Just(0)];
    (node(), lease_s, any::<bool>()).prop_map(|(node, lease_s, reap)| Request::Lease {
        node,
        lease_s,
        reap,
    })
}

fn revoked() -> impl Strategy<Value = Revoked> {
    prop_oneof![user().prop_map(Revoked::User), "[a-c]".prop_map(|jti| Revoked::Token(jti.into()))]
}

fn until() -> impl Strategy<Value = Timestamp> {
    (0..60i64).prop_map(|seconds| BEGINNING.plus_ms(seconds * 1_000))
}

/// What breaks a constraint, unless it is refused before.
fn wide() -> impl Strategy<Value = Request> {
    (conversation(), user()).prop_map(|(conversation, sender)| Request::Append {
        conversation,
        sender,
        content: "wide".to_owned(),
        attachment: Some("x".repeat(101)),
        client_id: None,
    })
}

fn read() -> impl Strategy<Value = Request> {
    let page = prop_oneof![
        Just(Page::Latest),
        (-1..12i64).prop_map(|seq| Page::Before(Seq(seq))),
        (-1..12i64).prop_map(|seq| Page::After(Seq(seq))),
    ];
    let since = || (0..40i64).prop_map(|seconds| BEGINNING.plus_ms(seconds * 1_000));
    let after = prop::option::of((conversation(), (-1..12i64).prop_map(Seq)));
    prop_oneof![
        (user(), prop::option::of(conversation()))
            .prop_map(|(user, conversation)| Request::Admit { user, conversation }),
        (user(), conversation())
            .prop_map(|(user, conversation)| Request::MaySpeak { user, conversation }),
        (user(), prop::collection::vec(user(), 0..5))
            .prop_map(|(user, users)| Request::Watch { user, users }),
        (user(), conversation(), page, 0..6usize).prop_map(|(user, conversation, page, limit)| {
            Request::History { user, conversation, page, limit }
        }),
        (user(), 0..4usize).prop_map(|(user, limit)| Request::Conversations { user, limit }),
        (user(), conversation())
            .prop_map(|(user, conversation)| Request::Conversation { user, conversation }),
        (user(), since(), 0..4usize).prop_map(|(user, since, limit): (_, Timestamp, _)| {
            Request::RecentMatches { user, since, limit }
        }),
        (user(), 0..3usize, 0..4usize).prop_map(|(user, offset, limit)| Request::Matches {
            user,
            offset,
            limit
        }),
        "user[0-9]".prop_map(|username| Request::FindUser { username }),
        (0..4i64).prop_map(|after| Request::Revocations { after }),
        prop::collection::vec(conversation(), 0..5)
            .prop_map(|conversations| Request::Standings { conversations }),
        prop::collection::vec(message(), 0..5).prop_map(|messages| Request::Places { messages }),
        (prop::collection::vec(user(), 0..4), since(), after, 0..6usize)
            .prop_map(|(users, since, after, limit)| Request::Since { users, since, after, limit }),
    ]
}
