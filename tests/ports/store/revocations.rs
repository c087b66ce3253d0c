//! Tokens that are refused.

use fortifun_realtime::limits::JTI_BYTES_MAX;
use fortifun_realtime::model::{Refused, Revocation, Revoked, UserId};
use fortifun_realtime::store::{Reply, Request, StoreErrorKind};
use fortifun_realtime::time::Timestamp;

use super::world::World;
use super::{Rule, rules};

pub(crate) const RULES: &[Rule] = rules![
    revocations_are_read_once_each_in_their_order,
    a_revocation_that_has_ended_is_not_told,
    nobody_is_revoked_who_was_never_here,
    a_name_that_is_none_is_not_stored,
];

const LATE: Timestamp = Timestamp(4_000_000_000_000_000);

impl World {
    fn revoke(&mut self, revoked: Revoked, until: Timestamp) -> Timestamp {
        assert_eq!(self.reply(&Request::Revoke { revoked, until }), Reply::Done);
        self.now
    }

    fn revocations(&mut self, after: i64) -> Vec<Revocation> {
        match self.reply(&Request::Revocations { after }) {
            Reply::Revocations(found) => found,
            reply => panic!("{reply:?}"),
        }
    }
}

fn token(jti: &str) -> Revoked {
    Revoked::Token(jti.into())
}

fn revocations_are_read_once_each_in_their_order(world: &mut World) {
    let (a, _) = world.two();
    world.backdoor.deactivate(a);
    assert_eq!(world.revocations(0), []);
    let long = "é".repeat(JTI_BYTES_MAX / 2);
    let first = world.revoke(Revoked::User(a), LATE);
    let second = world.revoke(token(&long), LATE);
    let all = world.revocations(0);
    let revocation = |id, revoked, at| Revocation { id, revoked, at, until: LATE };
    let expect = [revocation(1, Revoked::User(a), first), revocation(2, token(&long), second)];
    assert_eq!(all, expect);
    assert_eq!(world.revocations(1), expect[1..]);
    assert_eq!(world.revocations(2), []);
    // The same once more is one more.
    world.revoke(Revoked::User(a), LATE);
    assert_eq!(world.revocations(2)[0].id, 3);
}

fn a_revocation_that_has_ended_is_not_told(world: &mut World) {
    let (a, _) = world.two();
    let soon = world.now.plus_ms(3_000);
    world.revoke(Revoked::User(a), soon);
    world.revoke(token("x"), LATE);
    assert_eq!(world.revocations(0).len(), 2);
    world.revoke(token("y"), LATE);
    let left: Vec<_> = world.revocations(0).into_iter().map(|revocation| revocation.id).collect();
    assert_eq!(left, [2, 3], "it ended at {soon}, now {}", world.now);
}

fn nobody_is_revoked_who_was_never_here(world: &mut World) {
    let request = Request::Revoke { revoked: Revoked::User(UserId(99)), until: LATE };
    assert_eq!(world.refusal(&request), Refused::UserNotFound);
    assert_eq!(world.revocations(0), []);
}

fn a_name_that_is_none_is_not_stored(world: &mut World) {
    for jti in [String::new(), "x".repeat(JTI_BYTES_MAX + 1), "é".repeat(JTI_BYTES_MAX / 2 + 1)] {
        let request = Request::Revoke { revoked: token(&jti), until: LATE };
        assert_eq!(world.commit(&[request]), Err(StoreErrorKind::Poisoned));
    }
    assert_eq!(world.revocations(0), []);
}
