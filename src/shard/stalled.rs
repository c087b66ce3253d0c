//! Requests that found their write queue full: a line of waiting before each worker, so that the first to come is the first to
//! get in, and one worker that lags keeps nobody from another.

use std::collections::VecDeque;

use crate::ids::ConnKey;
use crate::worker::{Job, NotQueued, Queues};

/// See the module. At most one request of each connection: it is not read from meanwhile.
#[derive(Debug, Default)]
pub struct Stalled {
    /// By write worker; as many as have ever been needed.
    lines: Vec<VecDeque<Job>>,
    len: usize,
}

impl Stalled {
    /// `job` waits for its worker, after those that came before.
    pub fn push(&mut self, job: Job, queues: &Queues) {
        let worker = queues.writer_of(&job.request);
        if self.lines.len() <= worker {
            self.lines.resize_with(worker + 1, VecDeque::new);
        }
        self.lines[worker].push_back(job);
        self.len += 1;
    }

    /// Queues what there is room for, and appends the connections that may read on to `freed`. Costs one try in vain for each
    /// worker whose queue is still full.
    pub fn retry(&mut self, queues: &Queues, freed: &mut Vec<ConnKey>) {
        for line in &mut self.lines {
            while let Some(job) = line.pop_front() {
                let from = job.from;
                match queues.submit(job) {
                    Ok(()) => {
                        self.len -= 1;
                        freed.extend(from.map(|from| from.key));
                    }
                    Err(why) => {
                        let (NotQueued::Full(job) | NotQueued::Stopped(job)) = *why;
                        line.push_front(job);
                        break;
                    }
                }
            }
        }
    }

    /// Requests that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True exactly when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ConnRef, NodeId, ShardId, UserId};
    use crate::store::Request;
    use crate::worker::{Ticket, queues_of};

    fn job(user: i64) -> Job {
        let key = ConnKey { index: user as u32, generation: 0 };
        let from = Some(ConnRef { shard: ShardId(0), key });
        let request = Request::SetPresence { user: UserId(user), is_online: true, node: NodeId(1) };
        Job { request, from, ticket: Ticket::Nobody }
    }

    #[test]
    fn who_came_first_gets_in_first_and_a_worker_that_lags_holds_up_its_own_alone() {
        let (queues, workload) = queues_of(2, 1, 1);
        let mut stalled = Stalled::default();
        let mut freed = Vec::new();
        (0..2).for_each(|user| queues.submit(job(user)).unwrap());
        (2..40).for_each(|user| stalled.push(job(user), &queues));
        for place in 0..19 {
            stalled.retry(&queues, &mut freed);
            assert!(freed.is_empty() && stalled.len() == 38 - place);
            workload.write[1].try_recv().unwrap();
            stalled.retry(&queues, &mut freed);
            let next = freed.pop().expect("there was room for one");
            assert_eq!(next.index as usize, 3 + 2 * place);
        }
        drop(workload);
        stalled.retry(&queues, &mut freed);
        assert!(freed.is_empty() && stalled.len() == 19, "without workers all stay");
    }
}
