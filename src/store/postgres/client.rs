//! A synchronous client whose waits end.
//!
//! Drives `tokio_postgres` as the `postgres` crate does, and adds what that has not: a deadline on each wait. Timeouts of the
//! server bound its work, and the kernel's bound a silent network; neither bounds a server that is stopped, sits on a dead disk
//! or waits for a replica that is gone.

use std::future::{self, Future};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use postgres::types::ToSql;
use postgres::{NoTls, Row, SimpleQueryMessage, Statement};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Config, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server, or the connection to it.
    Told(postgres::Error),
    /// Nothing came for so long: the connection is not to be used again.
    Late(Duration),
    /// No event loop could be made for it.
    Runtime(std::io::Error),
}

impl From<postgres::Error> for Fault {
    fn from(error: postgres::Error) -> Self {
        Self::Told(error)
    }
}

/// One connection.
pub(super) struct Client {
    asks: tokio_postgres::Client,
    /// None when the connection has ended.
    wire: Option<Wire>,
    runtime: Runtime,
    patience: Duration,
}

/// What moves bytes while somebody waits.
type Wire = Pin<Box<dyn Future<Output = Result<(), postgres::Error>> + Send>>;

impl Client {
    /// Connects within `patience`, encryption and password included.
    pub(super) fn connect(
        config: &Config,
        tls: Option<MakeRustlsConnect>,
        patience: Duration,
    ) -> Result<Self, Fault> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Fault::Runtime)?;
        let no_wire = &mut None;
        let (asks, wire) = if let Some(tls) = tls {
            let (asks, wire) = within(&runtime, patience, no_wire, config.connect(tls))?;
            (asks, boxed(wire))
        } else {
            let (asks, wire) = within(&runtime, patience, no_wire, config.connect(NoTls))?;
            (asks, boxed(wire))
        };
        Ok(Self { asks, wire: Some(wire), runtime, patience })
    }

    /// From now on a wait ends after `patience`.
    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Prepares `sql`.
    pub(super) fn prepare(&mut self, sql: &str) -> Result<Statement, Fault> {
        let Self { asks, wire, runtime, patience } = self;
        within(runtime, *patience, wire, asks.prepare(sql))
    }

    /// The rows of `statement`.
    pub(super) fn query(
        &mut self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        let Self { asks, wire, runtime, patience } = self;
        within(runtime, *patience, wire, asks.query(statement, params))
    }

    /// Runs `statement` and counts the rows it changed.
    pub(super) fn execute(
        &mut self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Fault> {
        let Self { asks, wire, runtime, patience } = self;
        within(runtime, *patience, wire, asks.execute(statement, params))
    }

    /// Runs statements without parameters.
    pub(super) fn batch_execute(&mut self, sql: &str) -> Result<(), Fault> {
        let Self { asks, wire, runtime, patience } = self;
        within(runtime, *patience, wire, asks.batch_execute(sql))
    }

    /// The same, and what they return, as text.
    pub(super) fn simple_query(&mut self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Fault> {
        let Self { asks, wire, runtime, patience } = self;
        within(runtime, *patience, wire, asks.simple_query(sql))
    }
}

fn boxed<T>(wire: tokio_postgres::Connection<Socket, T>) -> Wire
where
    tokio_postgres::Connection<Socket, T>:
        Future<Output = Result<(), postgres::Error>> + Send + 'static,
{
    Box::pin(wire)
}

/// Waits for `answer`, and moves the connection's bytes meanwhile.
fn within<T>(
    runtime: &Runtime,
    patience: Duration,
    wire: &mut Option<Wire>,
    answer: impl Future<Output = Result<T, postgres::Error>>,
) -> Result<T, Fault> {
    let mut answer = pin!(answer);
    let both = future::poll_fn(|cx| {
        if let Some(moving) = wire
            && let Poll::Ready(end) = moving.as_mut().poll(cx)
        {
            *wire = None;
            // Says more than the answer would: that the connection is closed.
            end?;
        }
        answer.as_mut().poll(cx)
    });
    // Within the runtime: a timer belongs to one.
    let waited = runtime.block_on(async { tokio::time::timeout(patience, both).await });
    waited.map_err(|_| Fault::Late(patience))?.map_err(Fault::Told)
}
