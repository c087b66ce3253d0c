//! How a session comes to be: opened, told how to behave, and counted among the living.

use std::time::Duration;

use postgres::{NoTls, SimpleQueryMessage};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::client::Client;
use super::session::{Backend, Session};
use super::{error, tls};
use crate::config::PostgresSettings;
use crate::store::{Lane, StoreError, StoreErrorKind};

/// The advisory lock that every session of a node holds, shared, as long as it lives: "fortifun" in ASCII. Whoever gets it alone
/// knows that no node is alive.
pub(super) const PRESENCE_LOCK: i64 = i64::from_be_bytes(*b"fortifun");

/// A silent server is asked for a sign of life after this long, this often, and given up after that many.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// What was sent must be acknowledged by the server's kernel within this time, or the connection is lost.
const USER_TIMEOUT: Duration = Duration::from_secs(20);
/// What a statement's answer may take beyond the time that the server gives the statement.
const SLACK: Duration = Duration::from_secs(2);

/// A session that takes part: it holds [`PRESENCE_LOCK`], and on [`Lane::Read`] nothing can be written in it.
///
/// # Errors
///
/// [`StoreErrorKind::Unavailable`], saying why.
pub(super) fn open(settings: &PostgresSettings, lane: Lane) -> Result<Session, StoreError> {
    let joined = format!("SELECT pg_advisory_lock_shared({PRESENCE_LOCK})");
    opened(settings, lane, &joined)
}

/// A session that watches from aside: it does not hold [`PRESENCE_LOCK`].
///
/// # Errors
///
/// As [`open`].
pub(super) fn open_aside(settings: &PostgresSettings) -> Result<Session, StoreError> {
    opened(settings, Lane::Write, "")
}

/// Everything that a session is told is one script: one round trip.
fn opened(settings: &PostgresSettings, lane: Lane, last: &str) -> Result<Session, StoreError> {
    let role = match lane {
        Lane::Write => "write",
        Lane::Read => "read",
    };
    let mut config = config(settings, role)?;
    let (mode, connector) = encryption(settings, &config)?;
    // Each host may take its time; then this ends, whatever they have answered so far.
    let patience = Duration::from_millis(settings.connect_timeout_ms);
    let all_hosts = patience * config.get_hosts().len().max(1) as u32;
    let mut client =
        Client::connect(config.ssl_mode(mode), connector, all_hosts).map_err(error::at_connect)?;
    client.set_patience(patience);
    let script = format!(
        "{}; SELECT pid, backend_start FROM pg_stat_get_activity(pg_backend_pid()); {last}",
        behaviour(settings, lane)
    );
    let told = client.simple_query(&script).map_err(error::at_connect)?;
    let backend = told.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some(Backend { pid: row.get(0)?.parse().ok()?, started: row.get(1)?.to_owned() })
        }
        _ => None,
    });
    let backend = backend.ok_or_else(|| StoreError {
        kind: StoreErrorKind::Unavailable,
        detail: "the server does not say who serves us".to_owned(),
    })?;
    // The server ends a statement by itself, where it can.
    client.set_patience(Duration::from_millis(settings.statement_timeout_ms) + SLACK);
    Ok(Session::new(client, backend))
}

/// A connection that was told nothing yet. Where the URL names no application, it is called `fortifun-` and its `role`; the
/// URL's name takes the word's place.
///
/// # Errors
///
/// [`StoreErrorKind::Denied`] or [`StoreErrorKind::Unavailable`], saying why.
pub(in crate::store) fn connect(
    settings: &PostgresSettings,
    role: &str,
) -> Result<postgres::Client, StoreError> {
    let mut config = config(settings, role)?;
    let (mode, connector) = encryption(settings, &config)?;
    let config = postgres::Config::from(config.ssl_mode(mode).clone());
    let opened = match connector {
        Some(connector) => config.connect(connector),
        None => config.connect(NoTls),
    };
    opened.map_err(error::at_connect)
}

/// What `tls` says, but that a socket of this machine is not encrypted, as libpq has it.
fn encryption(
    settings: &PostgresSettings,
    config: &Config,
) -> Result<(SslMode, Option<MakeRustlsConnect>), StoreError> {
    if config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_))) {
        return Ok((SslMode::Disable, None));
    }
    tls::connector(settings)
}

fn config(settings: &PostgresSettings, role: &str) -> Result<Config, StoreError> {
    let unreadable = |why: &str| StoreError {
        kind: StoreErrorKind::Unavailable,
        detail: format!("the database's URL: {why}"),
    };
    let url = std::str::from_utf8(settings.url.expose()).map_err(|_| unreadable("not UTF-8"))?;
    let mut config: Config =
        url.parse().map_err(|error: postgres::Error| unreadable(&error.to_string()))?;
    let name = format!("{}-{role}", config.get_application_name().unwrap_or("fortifun"));
    config
        .application_name(&name)
        .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
        .keepalives(true)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES)
        .tcp_user_timeout(USER_TIMEOUT);
    Ok(config)
}

/// How a session behaves.
///
/// Plans are made once, for any argument, and must not rest on how few rows a table had at that moment: whole tables are never
/// read, and nothing is compiled. Whoever waits for a lock gives up before the statement does, and says so; a transaction that
/// its owner has forgotten ends by itself. `fortifun.writer` tells the tables' triggers that this session keeps the added columns
/// true by itself.
fn behaviour(settings: &PostgresSettings, lane: Lane) -> String {
    let statement_ms = settings.statement_timeout_ms;
    let lock_ms = statement_ms.div_ceil(2);
    // A writer leaves it as it is: a database may be closed for writes by its operator.
    let read_only = match lane {
        Lane::Write => "",
        Lane::Read => "SET default_transaction_read_only = on;",
    };
    format!(
        "SET plan_cache_mode = force_generic_plan;
         SET enable_seqscan = off;
         SET enable_bitmapscan = off;
         SET enable_mergejoin = off;
         SET jit = off;
         SET statement_timeout = {statement_ms};
         SET lock_timeout = {lock_ms};
         SET idle_in_transaction_session_timeout = {statement_ms};
         {read_only}
         SET default_transaction_isolation = 'read committed';
         SET TimeZone = 'UTC';
         SET fortifun.writer = 'on'"
    )
}
