//! How fast one address may connect, and how many connections it may have. Shared by all shards.
//!
//! IPv4 counts by address, IPv6 by /64, since that is what one household or host is given (RFC 6177 §2); an IPv4 address in
//! IPv6's clothes (RFC 4291 §2.5.5.2) is the IPv4 address. An address is remembered while it has a connection, and until its
//! bucket is full again.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU64;

use foldhash::fast::FixedState;
use parking_lot::Mutex;

use super::{Bucket, Rate};
use crate::time::Mono;

/// Parts, each under its own lock.
const PARTS: usize = 64;
/// From the end of an address's last connection to the first look whether it may be forgotten.
const IDLE_MS: u64 = 10_000;
/// Addresses looked at in one call: more than one call adds, so that the work never piles up.
const LOOKS_PER_CALL: usize = 4;

/// The addresses that are connected, or were a moment ago.
#[derive(Debug)]
pub struct Addresses {
    parts: Box<[Mutex<Part>]>,
    connects: Rate,
    open_max: u32,
}

/// Whose connection it is, as far as addresses tell: give it back with [`Addresses::release`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AddressKey(NonZeroU64);

/// Why an address may not connect now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// Too many new connections a second. It is counted all the same, since it stays until it has been told.
    Rate(AddressKey),
    /// Too many open ones; nothing is counted.
    Open,
}

impl AddressKey {
    /// The address without what one household can choose of it.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(NonZeroU64::MIN.saturating_add(u64::from(u32::from(v4)))),
            // No IPv4 address is mistaken for one of these: 0::/31 is not assigned to anybody.
            IpAddr::V6(v6) => Self(NonZeroU64::MIN.saturating_add((u128::from(v6) >> 64) as u64)),
        }
    }
}

impl Addresses {
    /// `connects` for each address, and `open_max` connections of it at once (0 counts as 1). `seed` keeps a peer that can choose its address
    /// from choosing its place in the table.
    pub fn new(connects: Rate, open_max: u32, seed: u64) -> Self {
        let part = || {
            let slots = HashMap::with_hasher(FixedState::with_seed(seed));
            Mutex::new(Part { slots, idle: VecDeque::new() })
        };
        Self {
            parts: std::iter::repeat_with(part).take(PARTS).collect(),
            connects,
            open_max: open_max.max(1),
        }
    }

    /// Counts a new connection from `address`. Cost: a lock and a hash look-up.
    ///
    /// # Errors
    ///
    /// The address may not connect now.
    pub fn admit(&self, address: IpAddr, now: Mono) -> Result<AddressKey, Over> {
        let key = AddressKey::of(address);
        let mut part = self.part(key).lock();
        part.forget_idle(now);
        let slot = part.slots.entry(key).or_default();
        if slot.open >= self.open_max {
            return Err(Over::Open);
        }
        slot.open += 1;
        slot.bucket.take(now, &self.connects).map(|()| key).map_err(|_| Over::Rate(key))
    }

    /// A connection that [`Self::admit`] counted has ended.
    pub fn release(&self, key: AddressKey, now: Mono) {
        let mut part = self.part(key).lock();
        if let Some(slot) = part.slots.get_mut(&key) {
            slot.open = slot.open.saturating_sub(1);
            if slot.open == 0 {
                part.look_later(key, now);
            }
        }
        part.forget_idle(now);
    }

    /// Addresses remembered, for metrics.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().slots.len()).sum()
    }

    /// True exactly when no address is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn part(&self, key: AddressKey) -> &Mutex<Part> {
        // Fibonacci hashing: neighbours, and the /64s of one block, spread alike.
        let mixed = key.0.get().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        &self.parts[(mixed >> 32) as usize % PARTS]
    }
}

#[derive(Debug)]
struct Part {
    slots: HashMap<AddressKey, Slot, FixedState>,
    /// Addresses to look at, and when, in the order of time.
    idle: VecDeque<(Mono, AddressKey)>,
}

#[derive(Default, Debug)]
struct Slot {
    bucket: Bucket,
    /// When it is looked at; older pairs in [`Part::idle`] mean nothing.
    look_at: Mono,
    open: u32,
}

impl Part {
    fn look_later(&mut self, key: AddressKey, now: Mono) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        slot.look_at = now.plus(IDLE_MS);
        self.idle.push_back((slot.look_at, key));
    }

    fn forget_idle(&mut self, now: Mono) {
        for _ in 0..LOOKS_PER_CALL {
            let Some(&(at, key)) = self.idle.front() else { return };
            if at > now {
                return;
            }
            self.idle.pop_front();
            let Some(slot) = self.slots.get(&key) else { continue };
            if slot.open > 0 || slot.look_at != at {
                continue;
            }
            if slot.bucket.is_full(now) {
                self.slots.remove(&key);
            } else {
                self.look_later(key, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("a test's address")
    }

    #[test]
    fn addresses_count_by_what_one_household_is_given() {
        let same = [
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::9", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ];
        for (one, other, is_same) in same {
            let keys = (AddressKey::of(address(one)), AddressKey::of(address(other)));
            assert_eq!(keys.0 == keys.1, is_same, "{one} {other}");
        }
    }

    #[test]
    fn an_address_connects_no_faster_than_its_rate() {
        let addresses = Addresses::new(Rate::new(2.0, 3), 100, 7);
        let (here, there) = (address("10.0.0.1"), address("10.0.0.2"));
        for _ in 0..3 {
            assert!(addresses.admit(here, Mono(0)).is_ok());
        }
        assert_eq!(addresses.admit(here, Mono(0)), Err(Over::Rate(AddressKey::of(here))));
        assert!(addresses.admit(there, Mono(0)).is_ok());
        assert!(addresses.admit(here, Mono(500)).is_ok());
    }

    #[test]
    fn reconnecting_does_not_refill_an_address() {
        let addresses = Addresses::new(Rate::new(0.01, 2), 100, 7);
        let here = address("10.0.0.1");
        for at in [0, 1] {
            let key = addresses.admit(here, Mono(at)).unwrap();
            addresses.release(key, Mono(at));
        }
        assert!(matches!(addresses.admit(here, Mono(60_000)), Err(Over::Rate(_))));
    }

    #[test]
    fn connections_that_come_too_fast_are_among_those_that_are_open() {
        let addresses = Addresses::new(Rate::new(0.01, 1), 3, 7);
        let here = address("10.0.0.1");
        assert!(addresses.admit(here, Mono(0)).is_ok());
        for _ in 0..2 {
            assert!(matches!(addresses.admit(here, Mono(0)), Err(Over::Rate(_))));
        }
        assert_eq!(addresses.admit(here, Mono(0)), Err(Over::Open));
        addresses.release(AddressKey::of(here), Mono(0));
        assert!(matches!(addresses.admit(here, Mono(0)), Err(Over::Rate(_))));
    }

    #[test]
    fn an_address_has_no_more_open_connections_than_allowed_and_a_refusal_counts_nothing() {
        let addresses = Addresses::new(Rate::UNLIMITED, 2, 7);
        let here = address("2001:db8::1");
        let keys = [(); 2].map(|()| addresses.admit(here, Mono(0)).unwrap());
        for _ in 0..5 {
            assert_eq!(addresses.admit(here, Mono(0)), Err(Over::Open));
        }
        addresses.release(keys[0], Mono(1));
        assert!(addresses.admit(here, Mono(1)).is_ok());
        assert_eq!(addresses.admit(here, Mono(1)), Err(Over::Open));
    }

    #[test]
    fn an_address_that_is_gone_is_forgotten_and_one_that_is_connected_is_not() {
        let addresses = Addresses::new(Rate::new(1.0, 1), 10, 7);
        let stays = addresses.admit(address("10.9.9.9"), Mono(0)).unwrap();
        for host in 0..10_000_u32 {
            let key = addresses.admit(IpAddr::V4(host.into()), Mono(0)).unwrap();
            addresses.release(key, Mono(0));
        }
        assert_eq!(addresses.len(), 10_001);
        // Others come and go, and sweep as they do.
        for host in 20_000..30_000_u32 {
            let key = addresses.admit(IpAddr::V4(host.into()), Mono(IDLE_MS)).unwrap();
            addresses.release(key, Mono(IDLE_MS));
        }
        assert_eq!(addresses.len(), 10_001);
        addresses.release(stays, Mono(IDLE_MS));
    }
}
