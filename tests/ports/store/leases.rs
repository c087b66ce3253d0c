//! Who is here on which node, and which nodes are alive.

use fortifun_realtime::limits::LEASE_REAP_MAX;
use fortifun_realtime::model::{ConversationId, NodeId, UserId};
use fortifun_realtime::store::{Gone, Reply, Request};

use super::world::{World, add_user};
use super::{Rule, rules};

pub(crate) const RULES: &[Rule] = rules![
    whoever_is_on_two_nodes_leaves_with_the_last,
    a_batch_judges_each_change_by_the_one_before,
    a_lease_is_held_from_one_renewal_to_the_next,
    users_that_only_a_dead_node_had_go_offline_once,
    a_node_that_asked_for_no_lease_yet_counts_as_alive_for_a_while,
    whoever_comes_back_to_a_node_that_was_given_up_is_kept,
    a_dead_nodes_users_leave_in_shares,
    after_a_reset_nobodys_lease_is_held,
];

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(u128::MAX - 1);
const C: NodeId = NodeId(1 << 64);

fn set(user: UserId, node: NodeId, is_online: bool) -> Request {
    Request::SetPresence { user, is_online, node }
}

fn lease(node: NodeId, lease_s: u32, reap: bool) -> Request {
    Request::Lease { node, lease_s, reap }
}

/// Whether the user is online, and whether that is new.
fn state(reply: &Reply) -> (bool, bool) {
    match reply {
        Reply::Presence { is_online, is_changed, .. } => (*is_online, *is_changed),
        reply => panic!("{reply:?}"),
    }
}

impl World {
    fn come(&mut self, user: UserId, node: NodeId) -> (bool, bool) {
        state(&self.reply(&set(user, node, true)))
    }

    fn go(&mut self, user: UserId, node: NodeId) -> (bool, bool) {
        state(&self.reply(&set(user, node, false)))
    }

    /// Renews a lease; whether it was held.
    fn renew(&mut self, node: NodeId) -> bool {
        let Reply::Lease { was_held, offline, has_more } = self.reply(&lease(node, 3_600, false))
        else {
            panic!()
        };
        assert_eq!((offline, has_more), (vec![], false), "nobody was looked for");
        was_held
    }

    fn end(&mut self, node: NodeId) {
        self.reply(&lease(node, 0, false));
    }

    /// Who is found to be gone, and whether there are more.
    fn reap(&mut self, node: NodeId) -> (Vec<UserId>, bool) {
        match self.reply(&lease(node, 3_600, true)) {
            Reply::Lease { offline, has_more, .. } => {
                assert!(offline.iter().all(|gone| gone.at == self.now));
                (offline.into_iter().map(|gone| gone.user.id).collect(), has_more)
            }
            reply => panic!("{reply:?}"),
        }
    }

    fn is_online(&mut self, user: UserId, seen_by: UserId) -> bool {
        let Reply::Watched(seen) = self.reply(&Request::Watch { user: seen_by, users: vec![user] })
        else {
            panic!()
        };
        seen[0].is_online
    }
}

fn whoever_is_on_two_nodes_leaves_with_the_last(world: &mut World) {
    let (a, b, _) = world.talk();
    world.renew(A);
    world.renew(B);
    assert_eq!(world.come(a, A), (true, true));
    assert_eq!(world.come(a, B), (true, false));
    assert_eq!(world.come(a, B), (true, false), "told again");
    assert_eq!(world.go(a, A), (true, false), "closing one changes nothing");
    assert!(world.is_online(a, b));
    assert_eq!(world.go(a, A), (true, false));
    assert_eq!(world.go(a, B), (false, true));
    assert!(!world.is_online(a, b));
    assert_eq!(world.go(a, B), (false, false));
}

fn a_batch_judges_each_change_by_the_one_before(world: &mut World) {
    let (a, b) = world.two();
    world.renew(A);
    world.renew(B);
    let batch = [
        set(a, A, true),
        set(b, A, true),
        set(a, B, true),
        set(a, A, false),
        set(b, A, false),
        set(a, B, false),
        set(a, B, true),
    ];
    let outcomes = world.commit(&batch).unwrap();
    let states: Vec<_> = outcomes.iter().map(|outcome| state(outcome.as_ref().unwrap())).collect();
    let expect = [
        (true, true),
        (true, true),
        (true, false),
        (true, false),
        (false, true),
        (false, true),
        (true, true),
    ];
    assert_eq!(states, expect);
}

fn a_lease_is_held_from_one_renewal_to_the_next(world: &mut World) {
    assert!(!world.renew(A), "the first");
    assert!(world.renew(A));
    world.end(A);
    assert!(!world.renew(A), "it had ended");
    assert!(world.renew(A));
    assert!(!world.renew(B), "each its own");
}

fn users_that_only_a_dead_node_had_go_offline_once(world: &mut World) {
    let (a, b, talk) = world.talk();
    let (c, d) = (world.user("cleo"), world.user("dora"));
    for node in [A, B, C] {
        world.renew(node);
    }
    for user in [a, b, c] {
        world.come(user, A);
    }
    world.come(b, B);
    world.come(c, C);
    world.come(d, B);
    assert_eq!(world.reap(B), (vec![], false), "all are alive");
    world.end(A);
    world.end(C);
    // Who reaps has a lease of its own from then on, held or not.
    let Reply::Lease { offline, has_more, was_held } = world.reply(&lease(B, 3_600, true)) else {
        panic!()
    };
    assert!(was_held && !has_more);
    let told: Vec<(UserId, &[ConversationId])> = offline
        .iter()
        .map(|Gone { user, conversations, .. }| (user.id, &conversations[..]))
        .collect();
    assert_eq!(told, [(a, &[talk][..]), (c, &[])]);
    assert!(!world.is_online(a, b) && world.is_online(b, a));
    assert_eq!(world.reap(B), (vec![], false), "once");
    assert_eq!(world.go(b, B), (false, true), "the dead one does not have them any more");
}

fn a_node_that_asked_for_no_lease_yet_counts_as_alive_for_a_while(world: &mut World) {
    let (a, b) = world.two();
    world.renew(B);
    world.come(a, A);
    world.come(b, A);
    world.come(b, B);
    assert_eq!(world.go(b, B), (true, false));
    assert_eq!(world.reap(B), (vec![], false));
    assert!(!world.renew(A), "it never asked");
    world.end(A);
    assert_eq!(world.reap(B), (vec![a, b], false));
}

fn whoever_comes_back_to_a_node_that_was_given_up_is_kept(world: &mut World) {
    let (a, b) = world.two();
    world.renew(A);
    world.renew(B);
    world.come(a, A);
    world.come(b, A);
    world.end(A);
    assert_eq!(world.come(b, A), (true, false), "it is here, whatever its lease");
    assert_eq!(world.reap(B), (vec![a, b], false));
    assert_eq!(world.come(a, A), (true, true));
    assert!(!world.renew(A), "so it tells all of them again");
    assert_eq!(world.come(b, A), (true, true));
    assert_eq!(world.reap(B), (vec![], false));
    assert_eq!(world.go(a, A), (false, true));
}

fn a_dead_nodes_users_leave_in_shares(world: &mut World) {
    let count = LEASE_REAP_MAX + 7;
    let adds: Vec<_> = (0..count).map(|n| add_user(&format!("user{n}"))).collect();
    world.commit(&adds).unwrap();
    let users: Vec<_> = (1..=count as i64).map(UserId).collect();
    world.renew(A);
    let comes: Vec<_> = users.iter().map(|user| set(*user, A, true)).collect();
    world.commit(&comes).unwrap();
    world.end(A);
    world.renew(B);
    let (first, rest) = users.split_at(LEASE_REAP_MAX);
    assert_eq!(world.reap(B), (first.to_vec(), true));
    assert_eq!(world.reap(B), (rest.to_vec(), false));
    assert_eq!(world.reap(B), (vec![], false));
}

fn after_a_reset_nobodys_lease_is_held(world: &mut World) {
    let (a, _) = world.two();
    world.renew(A);
    world.come(a, A);
    world.backdoor.reset_presence();
    // It was alive all the while.
    assert_eq!(world.come(a, A), (true, true));
    world.backdoor.reset_presence();
    assert!(!world.renew(A));
    assert_eq!(world.go(a, A), (false, false));
}
