//! What operators ask of the bus, one question at a time: who is in which group, how its servers are, and one event to send. No
//! threads and no queues; each question has connections of its own.

mod groups;
mod health;
mod hosts;
mod round_trip;
mod send;

use std::time::Duration;

use redis::{Cmd, FromRedisValue, Pipeline, Value};

use super::link::{Endpoint, Fault, Link};
use super::pubsub::{cluster, endpoints};
use super::{Clock, Kind, Random, Settings, Unusable};
use crate::channel::bus::{Envelope, Fresh, Names, Uniques};
use crate::ids::NodeId;

pub use super::link::Fault as BusFault;
pub use groups::GroupCount;
pub use health::{BufferLimit, BusHealth, HostReport, Info};
pub use send::{SendError, Sent};

/// How long an answer may take: a server with many groups is asked for all of them at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the server calls the connections.
const NAME: &str = "fortifun-admin";
/// Names in one question.
const CHUNK: usize = 1_000;

/// See the module.
pub struct Admin {
    me: NodeId,
    kind: Kind,
    names: Names,
    envelope: Envelope,
    /// The servers of the settings, or nodes of a cluster that know its masters.
    named: Vec<Endpoint>,
    is_cluster: bool,
    clock: Clock,
    random: Random,
}

/// A server of the bus that could not be asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct Trouble {
    /// Which, without user and password.
    pub place: String,
    /// Why.
    pub fault: Fault,
}

impl Admin {
    /// An administrator of the bus with these settings, who is `me` while that is asked. Nothing is connected yet.
    ///
    /// # Errors
    /// A host's address or a file of certificates is none.
    pub fn new(
        settings: &Settings,
        me: NodeId,
        clock: Clock,
        random: Random,
    ) -> Result<Self, Unusable> {
        let is_cluster = settings.is_cluster();
        let named = if is_cluster { cluster::seeds(settings)? } else { endpoints(settings)? };
        Ok(Self {
            me,
            kind: settings.kind,
            names: Names::new(&settings.prefix, settings.conversation),
            envelope: Envelope::new(
                settings.layer(),
                settings.format,
                settings.keys.iter().map(|key| &*key.0),
            ),
            named,
            is_cluster,
            clock,
            random,
        })
    }

    /// Runs `ask` on a connection to `endpoint`.
    fn on<T>(
        &self,
        endpoint: &Endpoint,
        ask: impl FnOnce(&mut Link) -> Result<T, Fault>,
    ) -> Result<T, Trouble> {
        Link::open(endpoint, NAME, &self.clock)
            .and_then(|mut link| ask(&mut link))
            .map_err(|fault| Trouble { place: endpoint.shown().to_owned(), fault })
    }

    /// What makes one message unlike every other.
    fn fresh(&self) -> Fresh {
        let now = (self.clock)().wall;
        let [first, second] = [(self.random)(), (self.random)()];
        let mut iv = [0; 16];
        iv[..8].copy_from_slice(&first.to_be_bytes());
        iv[8..].copy_from_slice(&second.to_be_bytes());
        let salt = ((self.random)() as u32).to_be_bytes();
        Fresh { unique: Uniques::new(now.0 as u64, salt).take(), iv, now }
    }
}

/// The answer to one command.
fn ask<T: FromRedisValue>(link: &mut Link, command: &Cmd) -> Result<T, Fault> {
    let answers = link.query(&command.get_packed_command(), 1, PATIENCE)?;
    read(answers.into_iter().next().unwrap_or_default())
}

/// The answers to the commands of a pipeline, errors among them.
fn ask_all(link: &mut Link, pipe: &Pipeline) -> Result<Vec<Value>, Fault> {
    link.query(&pipe.get_packed_pipeline(), pipe.len(), PATIENCE)
}

fn read<T: FromRedisValue>(answer: Value) -> Result<T, Fault> {
    match answer {
        Value::ServerError(error) => Err(Fault::of_server(&error)),
        answer => {
            redis::from_redis_value(answer).map_err(|error| Fault::Protocol(error.to_string()))
        }
    }
}
