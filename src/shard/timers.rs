//! A hashed timer wheel (Varghese and Lauck, 1987, scheme 6): one deadline for each connection, in 12 bytes beside the table.
//!
//! A deadline that moves later costs nothing: the owner lets the old one fire and sets the new one then. Deadlines beyond one
//! turn of the wheel fire once a turn, and their owner does the same.

use crate::time::Mono;

/// Milliseconds in one bucket: deadlines fire up to this much late.
pub const GRAIN_MS: u64 = 32;
const BUCKETS: usize = 1024;
const NONE: u32 = u32::MAX;

/// Deadlines by slot index.
#[derive(Debug)]
pub struct Wheel {
    /// Head of each bucket's list.
    heads: Box<[u32; BUCKETS]>,
    /// One bit a bucket: not empty.
    occupied: [u64; BUCKETS / 64],
    links: Vec<Link>,
    /// How many are set.
    armed: usize,
    /// The first tick not yet expired.
    cursor: u64,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    prev: u32,
    next: u32,
    /// `NONE` when not in the wheel.
    bucket: u32,
}

const UNLINKED: Link = Link { prev: NONE, next: NONE, bucket: NONE };

impl Wheel {
    /// An empty wheel whose time begins at `now`.
    pub fn new(now: Mono) -> Self {
        Self {
            heads: Box::new([NONE; BUCKETS]),
            occupied: [0; BUCKETS / 64],
            links: Vec::new(),
            armed: 0,
            cursor: now.0 / GRAIN_MS,
        }
    }

    /// Slot `index` fires at `at`, or up to [`GRAIN_MS`] later; an earlier setting is forgotten. O(1).
    pub fn set(&mut self, index: u32, at: Mono) {
        self.cancel(index);
        if self.links.len() <= index as usize {
            self.links.resize(index as usize + 1, UNLINKED);
        }
        // Rounded up, so that nothing fires early; clamped, so that what is due at once fires at the next expiry and what is
        // far away fires within this turn of the wheel.
        let tick = at.0.div_ceil(GRAIN_MS).clamp(self.cursor, self.cursor + BUCKETS as u64 - 1);
        let bucket = tick as usize % BUCKETS;
        let next = self.heads[bucket];
        if let Some(link) = self.links.get_mut(next as usize) {
            link.prev = index;
        }
        self.links[index as usize] = Link { prev: NONE, next, bucket: bucket as u32 };
        self.heads[bucket] = index;
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
        self.armed += 1;
    }

    /// Slot `index` does not fire. O(1).
    pub fn cancel(&mut self, index: u32) {
        let Some(&link) = self.links.get(index as usize) else { return };
        if link.bucket == NONE {
            return;
        }
        let bucket = link.bucket as usize;
        match self.links.get_mut(link.prev as usize) {
            Some(prev) => prev.next = link.next,
            None => self.heads[bucket] = link.next,
        }
        if let Some(next) = self.links.get_mut(link.next as usize) {
            next.prev = link.prev;
        }
        if self.heads[bucket] == NONE {
            self.occupied[bucket / 64] &= !(1 << (bucket % 64));
        }
        self.links[index as usize] = UNLINKED;
        self.armed -= 1;
    }

    /// Moves time to `now` and appends the slots that fire to `fired`. They are no longer set.
    pub fn expire(&mut self, now: Mono, fired: &mut Vec<u32>) {
        let before = fired.len();
        let end = now.0 / GRAIN_MS + 1;
        let ticks = end.saturating_sub(self.cursor).min(BUCKETS as u64);
        for tick in self.cursor..self.cursor + ticks {
            let bucket = tick as usize % BUCKETS;
            let mut index = std::mem::replace(&mut self.heads[bucket], NONE);
            self.occupied[bucket / 64] &= !(1 << (bucket % 64));
            while index != NONE {
                fired.push(index);
                index = std::mem::replace(&mut self.links[index as usize], UNLINKED).next;
            }
        }
        self.cursor = self.cursor.max(end);
        self.armed -= fired.len() - before;
    }

    /// How many are set.
    pub fn armed(&self) -> usize {
        self.armed
    }

    /// Milliseconds from `now` until something fires; `None` when nothing is set.
    pub fn until_next(&self, now: Mono) -> Option<u64> {
        let start = self.cursor as usize % BUCKETS;
        // The word that holds the cursor is looked at twice: from the cursor on, and, after a whole turn, before it.
        (0..=BUCKETS / 64).find_map(|step| {
            let word = (start / 64 + step) % (BUCKETS / 64);
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= u64::MAX << (start % 64);
            } else if step == BUCKETS / 64 {
                bits &= !(u64::MAX << (start % 64));
            }
            (bits != 0).then(|| {
                let bucket = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (bucket + BUCKETS - start) % BUCKETS;
                ((self.cursor + ahead as u64) * GRAIN_MS).saturating_sub(now.0)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn nothing_fires_early_and_nothing_late_by_more_than_a_grain() {
        let mut wheel = Wheel::new(Mono(1_000));
        wheel.set(3, Mono(1_100));
        let mut fired = Vec::new();
        wheel.expire(Mono(1_099), &mut fired);
        assert!(fired.is_empty());
        assert!(wheel.until_next(Mono(1_099)).expect("one is set") <= 1 + GRAIN_MS);
        wheel.expire(Mono(1_100 + GRAIN_MS), &mut fired);
        assert_eq!(fired, [3]);
        assert_eq!(wheel.until_next(Mono(1_200)), None);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Set(u32, u64),
        Cancel(u32),
        Pass(u64),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            (0u32..40, 0u64..90_000).prop_map(|(i, ms)| Op::Set(i, ms)),
            (0u32..40).prop_map(Op::Cancel),
            prop_oneof![0u64..200, 0u64..50_000].prop_map(Op::Pass),
        ];
        proptest::collection::vec(op, 1..200)
    }

    proptest! {
        #[test]
        fn a_wheel_whose_owner_re_arms_is_a_sorted_list(ops in ops()) {
            let mut now = 5_000u64;
            let mut wheel = Wheel::new(Mono(now));
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            for op in ops {
                match op {
                    Op::Set(index, ms) => {
                        wheel.set(index, Mono(now + ms));
                        model.insert(index, now + ms);
                    }
                    Op::Cancel(index) => {
                        wheel.cancel(index);
                        model.remove(&index);
                    }
                    Op::Pass(ms) => {
                        now += ms;
                        let mut fired = Vec::new();
                        wheel.expire(Mono(now), &mut fired);
                        for index in fired {
                            let due = model[&index];
                            if due > now {
                                wheel.set(index, Mono(due));
                            } else {
                                model.remove(&index);
                            }
                        }
                        for (index, due) in &model {
                            prop_assert!(*due + GRAIN_MS > now, "slot {} was due at {} and it is {}", index, due, now);
                        }
                    }
                }
                prop_assert_eq!(wheel.armed(), model.len());
                match (wheel.until_next(Mono(now)), model.values().min()) {
                    (None, None) => {}
                    (Some(ms), Some(&due)) => prop_assert!(now + ms <= due.max(now) + GRAIN_MS),
                    (next, due) => prop_assert!(false, "wheel says {:?}, model {:?}", next, due),
                }
            }
        }
    }
}
