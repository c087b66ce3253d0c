//! Where one Redis is, and what it wants to hear first: what an address in the settings says.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::{ConnectionAddr, IntoConnectionInfo as _, Pipeline, Value};

use super::fault::Fault;
use super::stream::Stream;
use super::tls::Trust;
use crate::channel::redis::{HostUrl, Unusable};

/// A Redis, and as whom it is spoken to.
#[derive(Clone)]
pub struct Endpoint {
    place: Place,
    user: Option<String>,
    password: Option<String>,
    db: i64,
    /// For people.
    shown: String,
}

#[derive(Clone)]
enum Place {
    Tcp { host: String, port: u16 },
    Tls { host: String, port: u16, trust: Trust },
    Unix(PathBuf),
}

impl Endpoint {
    /// What `url` says, as redis-py reads it:
    ///
    /// | | |
    /// |---|---|
    /// | `redis://[[user]:password@]host[:port][/db]` | in clear; `?db=` as well |
    /// | `rediss://…` | encrypted; the certificate must be for the host and by an authority of `ca_file`, or of `?ssl_ca_certs=`, or of the system's |
    /// | `unix:///path[?db=]` | a socket of this machine |
    ///
    /// User and password may also be told by `?username=` and `?password=`.
    ///
    /// # Errors
    /// It is none of these, asks not to look at certificates, or its authorities cannot be read.
    pub fn parse(url: &HostUrl, ca_file: Option<&Path>) -> Result<Self, Unusable> {
        let shown = url.redacted();
        let unusable = |why: &dyn fmt::Display| Unusable(format!("{shown}: {why}"));
        let parsed = redis::parse_redis_url(&url.0)
            .ok_or_else(|| unusable(&"not of the form redis://, rediss:// or unix://"))?;
        let asked = |name: &str| {
            let mut pairs = parsed.query_pairs();
            pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
        };
        let is_lax = asked("ssl_cert_reqs").is_some_and(|wanted| wanted != "required")
            || asked("ssl_check_hostname").is_some_and(|wanted| is_no(&wanted))
            || parsed.fragment() == Some("insecure");
        if is_lax {
            return Err(unusable(&"certificates are always looked at: name their authority"));
        }
        let (db, user, password) = (asked("db"), asked("username"), asked("password"));
        let ca_file = asked("ssl_ca_certs").map(PathBuf::from).or(ca_file.map(Path::to_path_buf));
        let info = parsed.into_connection_info().map_err(|error| unusable(&words(&error)))?;
        let place = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Place::Tcp { host: host.clone(), port: *port },
            ConnectionAddr::TcpTls { host, port, .. } => {
                let trust = Trust { ca_file };
                // Said at start rather than at the first connection.
                trust.config().map_err(|error| unusable(&error))?;
                Place::Tls { host: host.clone(), port: *port, trust }
            }
            ConnectionAddr::Unix(path) => Place::Unix(path.clone()),
            _ => return Err(unusable(&"an address of another kind")),
        };
        let redis = info.redis_settings();
        let user = user.or(redis.username().map(str::to_owned));
        let password = password.or(redis.password().map(str::to_owned));
        let db = match db {
            Some(db) => db.parse().map_err(|_| unusable(&"its `db` is no number"))?,
            None => redis.db(),
        };
        Ok(Self { place, user, password, db, shown })
    }

    /// The address without user and password, for people.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Another place, where the same is said.
    #[must_use]
    pub fn at(&self, host: &str, port: u16) -> Self {
        let host = host.to_owned();
        let (scheme, place) = match &self.place {
            Place::Tls { trust, .. } => ("rediss", Place::Tls { host, port, trust: trust.clone() }),
            Place::Tcp { .. } | Place::Unix(_) => ("redis", Place::Tcp { host, port }),
        };
        let shown = match &place {
            Place::Tcp { host, port } | Place::Tls { host, port, .. } => {
                format!("{scheme}://{host}:{port}")
            }
            Place::Unix(path) => path.display().to_string(),
        };
        Self { place, shown, ..self.clone() }
    }

    /// Its host's name or address; nothing for a socket of this machine.
    pub fn host(&self) -> &str {
        match &self.place {
            Place::Tcp { host, .. } | Place::Tls { host, .. } => host,
            Place::Unix(_) => "",
        }
    }

    /// The number of its database. Channels of pub/sub are the same in all of them.
    pub const fn db(&self) -> i64 {
        self.db
    }

    pub(super) fn connect(&self, wait: Duration) -> Result<Stream, Fault> {
        match &self.place {
            Place::Tcp { host, port } => Stream::tcp(host, *port, wait),
            Place::Tls { host, port, trust } => Stream::tls(host, *port, wait, trust),
            Place::Unix(path) => Stream::unix(path),
        }
    }

    /// What a connection says first: who it is, its database, its `name`; at last whether it is served.
    pub(super) fn greeting(&self, name: &str) -> Pipeline {
        let mut greeting = redis::pipe();
        if let Some(password) = &self.password {
            greeting.cmd("AUTH").arg(self.user.as_deref()).arg(password);
        }
        if self.db != 0 {
            greeting.cmd("SELECT").arg(self.db);
        }
        greeting.cmd("CLIENT").arg("SETNAME").arg(name);
        greeting.cmd("PING");
        greeting
    }

    /// What the `answers` to [`Self::greeting`] mean. A name that it may not give itself, and a `PING` that it may not send, do
    /// not matter.
    pub(super) fn check(&self, answers: &[Value]) -> Result<(), Fault> {
        let needed = usize::from(self.password.is_some()) + usize::from(self.db != 0);
        for (at, answer) in answers.iter().enumerate() {
            match answer {
                Value::ServerError(error) if at < needed || error.code() != "NOPERM" => {
                    return Err(Fault::of_server(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// The crate's words without what was in the address.
fn words(error: &redis::RedisError) -> String {
    error.to_string().split(": ").next().unwrap_or_default().to_owned()
}

fn is_no(text: &str) -> bool {
    ["0", "f", "false", "n", "no"].contains(&&*text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Endpoint, Unusable> {
        Endpoint::parse(&HostUrl(url.to_owned()), None)
    }

    /// What is said first, one command a line.
    fn greeting(endpoint: &Endpoint) -> String {
        let greeting = endpoint.greeting("me").get_packed_pipeline();
        let text = String::from_utf8(greeting).unwrap();
        let words =
            text.split("\r\n").filter(|word| !word.starts_with(['$', '*'])).collect::<Vec<_>>();
        words.join(" ").trim().to_owned()
    }

    #[test]
    fn an_address_says_where_and_as_whom() {
        for (url, place, first) in [
            ("redis://h", "h:6379", ""),
            ("redis://h:1/2", "h:1", "SELECT 2 "),
            ("redis://h:1?db=3", "h:1", "SELECT 3 "),
            ("redis://:p%40ss@h:1/0", "h:1", "AUTH p@ss "),
            ("redis://app:secret@[::1]:1/4", "::1:1", "AUTH app secret SELECT 4 "),
            ("rediss://app:secret@h?ssl_cert_reqs=required", "tls h:6379", "AUTH app secret "),
            ("unix:///run/r.sock?db=1", "/run/r.sock", "SELECT 1 "),
            ("unix:///run/r.sock?username=app&password=p%40ss", "/run/r.sock", "AUTH app p@ss "),
        ] {
            let endpoint = parse(url).unwrap();
            let found = match &endpoint.place {
                Place::Tcp { host, port } => format!("{host}:{port}"),
                Place::Tls { host, port, .. } => format!("tls {host}:{port}"),
                Place::Unix(path) => path.display().to_string(),
            };
            assert_eq!(found, place, "{url}");
            assert_eq!(greeting(&endpoint), format!("{first}CLIENT SETNAME me PING"), "{url}");
            let told = format!("{endpoint:?}");
            assert!(!told.contains("ss@") && !told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        for (url, why) in [
            ("http://app:secret@h", "http://h: not of the form"),
            ("secret", "?: not of the form"),
            ("redis://app:secret@h/x", "redis://h/x: Invalid database number"),
            ("redis://app:secret@h?db=x", "its `db` is no number"),
            ("redis://app:secret@0.0.0.0", "wildcard"),
            ("rediss://app:secret@h?ssl_cert_reqs=none", "certificates are always looked at"),
            ("rediss://app:secret@h?ssl_check_hostname=False", "certificates are always"),
            ("rediss://app:secret@h#insecure", "certificates are always looked at"),
            ("rediss://app:secret@h?ssl_ca_certs=/none.pem", "/none.pem"),
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
