//! Processor time that a program and its children spend between two moments, in their own code and in the kernel.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::procfs;

/// Times of a program's processes up to a moment, by process.
pub(crate) struct Usage(HashMap<u32, Times>);

#[derive(Clone, Copy)]
struct Times {
    /// Exact.
    total: Duration,
    /// In its own code and in the kernel, to the kernel's tick.
    parts: [Duration; 2],
}

/// Processor time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(crate) struct Spent {
    /// In its own code.
    pub(crate) user: Duration,
    /// In the kernel.
    pub(crate) system: Duration,
}

impl Usage {
    /// Of process `pid` and its children up to now.
    ///
    /// # Errors
    ///
    /// There is no such process here.
    pub(crate) fn read(pid: u32) -> anyhow::Result<Self> {
        let mut all = HashMap::from([(pid, Times::read(pid)?)]);
        // A child that ends meanwhile is not counted.
        let children = procfs::family(pid).into_iter().skip(1);
        all.extend(children.filter_map(|child| Some((child, Times::read(child).ok()?))));
        Ok(Self(all))
    }

    /// Of this process up to now, and not of what it started.
    pub(crate) fn own() -> anyhow::Result<Self> {
        let pid = std::process::id();
        Ok(Self(HashMap::from([(pid, Times::read(pid)?)])))
    }

    /// What was spent from `before` to this moment. One that has ended since is not counted.
    pub(crate) fn since(&self, before: &Self) -> Spent {
        let mut spent = Spent::default();
        for (pid, now) in &self.0 {
            let then = before.0.get(pid).copied();
            let then = then.unwrap_or(Times { total: Duration::ZERO, parts: [Duration::ZERO; 2] });
            let total = now.total.saturating_sub(then.total);
            let part = |n: usize| now.parts[n].saturating_sub(then.parts[n]);
            let (user, system) = (part(0), part(1));
            // The kernel tells the whole exactly, and the parts to its tick.
            let share = user.as_secs_f64() / (user + system).as_secs_f64().max(1e-9);
            let in_user = if user.is_zero() { Duration::ZERO } else { total.mul_f64(share) };
            spent.user += in_user;
            spent.system += total.saturating_sub(in_user);
        }
        spent
    }
}

impl Times {
    fn read(pid: u32) -> anyhow::Result<Self> {
        Ok(Self { total: procfs::cpu(pid)?, parts: procfs::user_and_system(pid)? })
    }
}

impl Spent {
    /// All of it.
    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn usage(times: &[(u32, u32, u32, u32)]) -> Usage {
        let of = |(pid, total, user, system): &(u32, u32, u32, u32)| {
            (*pid, Times { total: MS * *total, parts: [MS * *user, MS * *system] })
        };
        Usage(times.iter().map(of).collect())
    }

    #[test]
    fn the_whole_is_exact_and_divided_as_the_ticks_are() {
        let before = usage(&[(1, 100, 50, 50), (2, 10, 10, 0)]);
        let after = usage(&[(1, 204, 80, 120), (3, 8, 0, 10)]);
        let spent = after.since(&before);
        assert_eq!((spent.user.as_micros(), spent.system.as_micros()), (31_200, 80_800));
        assert_eq!(spent.total(), 112 * MS);
    }

    #[test]
    fn this_process_spends_time() {
        let before = Usage::own().unwrap();
        let busy = (0..20_000_000_u64).fold(0, |sum: u64, n| std::hint::black_box(sum ^ n));
        let spent = Usage::own().unwrap().since(&before);
        assert!(spent.total() > Duration::ZERO, "{busy}");
        assert!(Usage::read(u32::MAX).is_err());
    }
}
