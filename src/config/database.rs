//! The database, as a URL names it.

use std::fmt::Write as _;
use std::path::PathBuf;

use postgres::config::Host;

use super::postgres_url::{PostgresUrl, TlsMode};
use super::secret::Secret;

/// A database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Database {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A Postgres server.
    Postgres(Box<PostgresSettings>),
    /// Nothing that lasts: the server's own memory, for benchmarks.
    Memory {
        /// How many users it begins with; their ids are 1 to this.
        users: u32,
    },
}

/// A Postgres server, and how it is spoken to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PostgresSettings {
    /// Hosts, ports, user, password and database, as [`postgres::Config`] parses them; without what the other fields say.
    pub url: Secret,
    /// Whether the connection is encrypted, and who is trusted.
    pub tls: TlsMode,
    /// PEM file of the authorities that are trusted; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take to open, ms.
    pub connect_timeout_ms: u64,
    /// How long a statement may run, ms.
    pub statement_timeout_ms: u64,
}

/// Users that `memory:` may begin with.
const MEMORY_USERS_MAX: u32 = 10_000_000;

/// What a URL says by itself, before other settings are looked at.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Named {
    Sqlite(PathBuf),
    Postgres(PostgresUrl),
    Memory { users: u32 },
}

impl Named {
    /// Reads a URL as dj-database-url does. Of SQLite: three slashes and a relative path, or four and an absolute one.
    ///
    /// # Errors
    ///
    /// What is wrong, for the operator; it quotes nothing that may be a password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err("must be a URL, as sqlite:///fortifun.db".to_owned());
        };
        match scheme {
            "sqlite" => sqlite_path(rest).map(Self::Sqlite).map_err(str::to_owned),
            "memory" => {
                memory_users(rest).map(|users| Self::Memory { users }).map_err(str::to_owned)
            }
            "postgres" | "postgresql" | "postgis" => PostgresUrl::parse(rest).map(Self::Postgres),
            _ => {
                Err("no such database; use sqlite:///path or postgres://user@host/name".to_owned())
            }
        }
    }
}

impl PostgresSettings {
    /// The database and its hosts, for people: `app at db1:5432, db2:5432`.
    pub fn place(&self) -> String {
        let url = str::from_utf8(self.url.expose()).ok();
        let Some(config) = url.and_then(|url| url.parse::<postgres::Config>().ok()) else {
            return "a server".to_owned();
        };
        let mut place = format!("{} at ", config.get_dbname().unwrap_or_default());
        for (number, host) in config.get_hosts().iter().enumerate() {
            let port = config.get_ports().get(number).copied().unwrap_or(5432);
            let comma = if number == 0 { "" } else { ", " };
            match host {
                Host::Tcp(host) if host.contains(':') => write!(place, "{comma}[{host}]:{port}"),
                Host::Tcp(host) => write!(place, "{comma}{host}:{port}"),
                Host::Unix(folder) => write!(place, "{comma}{}", folder.display()),
            }
            .expect("a String takes what is written to it");
        }
        place
    }
}

/// `rest` is what follows `memory:`: nothing, or how many users there are.
fn memory_users(rest: &str) -> Result<u32, &'static str> {
    if rest.is_empty() {
        return Ok(0);
    }
    rest.strip_prefix("?users=")
        .and_then(|count| count.parse().ok())
        .filter(|count| *count <= MEMORY_USERS_MAX)
        .ok_or("takes `?users=` and a whole number up to 10000000, or nothing")
}

/// `rest` is what follows `sqlite:`.
fn sqlite_path(rest: &str) -> Result<PathBuf, &'static str> {
    let path = rest
        .strip_prefix("///")
        .ok_or("must have three slashes and a relative path, or four and an absolute one")?;
    if path.contains(['?', '#']) {
        return Err("takes a path and nothing after it");
    }
    let path = percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| "has a path that is not UTF-8")?;
    match path.as_ref() {
        "" | ":memory:" => Err("must name a file: nothing is kept in memory"),
        path if path.contains('\0') => Err("has a path with a NUL in it"),
        path => Ok(PathBuf::from(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_url_is_read_as_dj_database_url_reads_it() {
        for (url, path) in [
            ("sqlite:///chat.db", "chat.db"),
            ("sqlite:///data/chat.db", "data/chat.db"),
            ("sqlite:////var/lib/chat.db", "/var/lib/chat.db"),
            ("sqlite:///with%20space%3F%23.db", "with space?#.db"),
        ] {
            assert_eq!(Named::parse(url), Ok(Named::Sqlite(PathBuf::from(path))));
        }
    }

    #[test]
    fn memory_begins_with_as_many_users_as_are_asked_for() {
        for (url, users) in
            [("memory:", 0), ("memory:?users=0", 0), ("memory:?users=10000000", 10_000_000)]
        {
            assert_eq!(Named::parse(url), Ok(Named::Memory { users }));
        }
    }

    #[test]
    fn a_database_that_cannot_be_used_is_refused() {
        for (url, why) in [
            ("mysql://db/app", "no such database"),
            ("chat.db", "must be a URL"),
            ("sqlite://chat.db", "three slashes"),
            ("sqlite://", "three slashes"),
            ("sqlite:///", "must name a file"),
            ("sqlite:///:memory:", "must name a file"),
            ("sqlite:///a.db?mode=ro", "nothing after it"),
            ("memory:?users=10000001", "up to 10000000"),
            ("memory://", "takes `?users=`"),
            ("memory:?users=", "takes `?users=`"),
        ] {
            let told = Named::parse(url).unwrap_err();
            assert!(told.contains(why), "{url}: {told}");
        }
    }

    #[test]
    fn a_place_names_database_and_hosts_and_no_user() {
        for (url, place) in [
            ("postgres://me:pw@db.example:6000/app", "app at db.example:6000"),
            ("postgresql://me:pw@a,[::1]:6000/app", "app at a:5432, [::1]:6000"),
            ("postgres:///app", "app at /var/run/postgresql"),
        ] {
            let Ok(Named::Postgres(named)) = Named::parse(url) else { panic!("{url}") };
            let settings = PostgresSettings {
                url: named.url,
                tls: TlsMode::Prefer,
                ca_file: None,
                connect_timeout_ms: 1,
                statement_timeout_ms: 1,
            };
            assert_eq!(settings.place(), place);
        }
    }
}
