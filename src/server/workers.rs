//! The worker threads, and what they are connected to.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::channel::ChannelLayer;
use crate::config::Config;
use crate::metrics::Registry;
use crate::shard::inbox::{Inbox, Note};
use crate::shard::mio_io::Clock;
use crate::store::Lane;
use crate::wire::Encoder;
use crate::worker::batch::BatchLimits;
use crate::worker::commits::Commits;
use crate::worker::{Surroundings, Worker, Workload};

use super::condition::Condition;
use super::stores::Opener;
use super::threads;

/// What workers are connected to.
pub(super) struct Links {
    pub(super) channel: Arc<dyn ChannelLayer>,
    pub(super) encoder: Encoder,
    pub(super) inboxes: Vec<Inbox>,
    pub(super) clock: Clock,
    pub(super) condition: Arc<Condition>,
    pub(super) commits: Commits,
    pub(super) opener: Opener,
}

/// Starts the write and read workers, each with a database connection of its own.
pub(super) fn start(
    config: &Config,
    workload: Workload,
    links: &Links,
    metrics: &Arc<Registry>,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let batch = BatchLimits { requests: config.store.batch_max, age_ms: config.store.batch_age_ms };
    let mut started = Vec::new();
    for (number, queue) in workload.write.into_iter().enumerate() {
        let store = links.opener.open(Lane::Write)?;
        let worker = Worker::new(store, batch, surroundings(links, metrics));
        let worker = worker.seen_by(links.commits.writer());
        started.push(threads::spawn(format!("write-{number}"), move || worker.run_writes(&queue))?);
    }
    for number in 0..config.store.read_workers {
        let store = links.opener.open(Lane::Read)?;
        let worker = Worker::new(store, batch, surroundings(links, metrics));
        let queue = workload.read.clone();
        started.push(threads::spawn(format!("read-{number}"), move || worker.run_reads(&queue))?);
    }
    Ok(started)
}

fn surroundings(links: &Links, metrics: &Registry) -> Surroundings {
    let (inboxes, rung) = (links.inboxes.clone(), links.inboxes.clone());
    let clock = links.clock;
    Surroundings {
        channel: Arc::clone(&links.channel),
        encoder: links.encoder.clone(),
        answer: Box::new(move |answered| {
            let shard = usize::from(answered.to.shard.0);
            inboxes[shard].queue(Note::Answered(Box::new(answered)), true);
        }),
        ring: Box::new(move || rung.iter().for_each(Inbox::ring)),
        report: links.condition.report(move || clock.now().mono),
        clock: Box::new(move || clock.now()),
        pause: Box::new(pause),
        metrics: metrics.block(),
    }
}

/// Full jitter: two workers that were in each other's way come back at different times.
#[expect(clippy::disallowed_methods, reason = "a worker may wait; a shard may not")]
fn pause(ms: u64) {
    let jitter = getrandom::u64().unwrap_or(ms) % ms.max(1);
    std::thread::sleep(Duration::from_millis(ms / 2 + jitter));
}
