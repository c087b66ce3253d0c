//! What is broken, and when: drawn from the seed before the run begins.

use std::time::Duration;

use crate::rng::Rng;

/// The part of a run in which things are broken; the rest is for what has to be mended.
const FROM: f64 = 0.04;
const TO: f64 = 0.90;
/// How long Redis is down, seconds.
const REDIS_DOWN_S: (f64, f64) = (0.5, 5.0);
/// How long a node that was killed stays away, seconds; its start comes on top.
const NODE_DOWN_S: (f64, f64) = (0.2, 2.0);
/// How much of the time until the next one of its kind something may be down.
const DOWN_PART_MAX: f64 = 0.8;

/// How often each thing is broken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Amounts {
    /// Redis is killed and started again.
    pub(super) redis_kills: u32,
    /// Connections are cut.
    pub(super) cuts: u32,
    /// A node is killed and started again.
    pub(super) node_kills: u32,
}

/// One thing that is broken.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Step {
    /// From the start of the run.
    pub(super) at: Duration,
    /// What.
    pub(super) act: Act,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Act {
    /// Redis is killed, and started again after so long.
    KillRedis(Duration),
    /// Redis ends connections of this type: `pubsub` or `normal`.
    CutRedis(&'static str),
    /// One client in ten loses its connection.
    CutClients,
    /// A node is killed, and started again after so long.
    KillNode(usize, Duration),
}

/// The steps of a run of that length with so many nodes, in their order.
pub(super) fn plan(seed: u64, nodes: usize, length: Duration, amounts: Amounts) -> Vec<Step> {
    let mut rng = Rng::of(seed, "plan");
    let mut steps = Vec::new();
    for (count, kind) in [(amounts.redis_kills, 0), (amounts.cuts, 1), (amounts.node_kills, 2)] {
        let each = length.as_secs_f64() * (TO - FROM) / f64::from(count.max(1));
        for n in 0..count {
            let start = length.as_secs_f64() * FROM + each * f64::from(n);
            let part = rng.between(0.0, 1.0 - DOWN_PART_MAX);
            let node = rng.below(nodes);
            let mut down = |(from, to): (f64, f64)| {
                Duration::from_secs_f64(rng.between(from, to).min(each * DOWN_PART_MAX))
            };
            let act = match kind {
                0 => Act::KillRedis(down(REDIS_DOWN_S)),
                1 => [Act::CutRedis("pubsub"), Act::CutClients, Act::CutRedis("normal")]
                    [n as usize % 3],
                _ => Act::KillNode(node, down(NODE_DOWN_S)),
            };
            steps.push(Step { at: Duration::from_secs_f64(start + each * part), act });
        }
    }
    steps.sort_by_key(|step| step.at);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(300);
    const AMOUNTS: Amounts = Amounts { redis_kills: 10, cuts: 10, node_kills: 5 };

    #[test]
    fn the_same_seed_gives_the_same_plan() {
        let of = |seed| plan(seed, 3, LENGTH, AMOUNTS);
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn everything_that_was_asked_for_is_broken_in_order_and_mended_before_the_end() {
        for seed in 0..50 {
            for length in [LENGTH, Duration::from_secs(20)] {
                let steps = plan(seed, 3, length, AMOUNTS);
                assert!(steps.is_sorted_by_key(|step| step.at));
                let (mut redis, mut cuts, mut nodes) = (Vec::new(), 0, Vec::new());
                for Step { at, act } in steps {
                    match act {
                        Act::KillRedis(down) => redis.push((at, down)),
                        Act::KillNode(node, down) => {
                            assert!(node < 3);
                            nodes.push((at, down));
                        }
                        Act::CutRedis(_) | Act::CutClients => cuts += 1,
                    }
                }
                assert_eq!((redis.len(), cuts, nodes.len()), (10, 10, 5));
                for all in [redis, nodes] {
                    for two in all.windows(2) {
                        assert!(two[0].0 + two[0].1 <= two[1].0, "one at a time: {two:?}");
                    }
                    let (at, down) = all[all.len() - 1];
                    assert!(at + down < length.mul_f64(0.91));
                    assert!(all.iter().all(|(_, down)| *down <= Duration::from_secs(5)));
                }
            }
        }
    }

    #[test]
    fn where_nothing_is_to_be_broken_there_is_no_step() {
        assert_eq!(plan(7, 3, LENGTH, Amounts::default()), []);
    }
}
