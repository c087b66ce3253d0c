//! A Postgres URL, taken apart as dj-database-url and libpq do, and refused where those would guess.

use std::error::Error as _;
use std::path::PathBuf;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::secret::Secret;

/// Where Debian's Postgres has its socket: the host where a URL names none.
const SOCKET_FOLDER: &str = "/var/run/postgresql";
/// Seconds that `connect_timeout` may say: those of `DATABASE_CONNECT_TIMEOUT_S`.
pub(super) const CONNECT_TIMEOUT_S: std::ops::RangeInclusive<u64> = 1..=60;

/// What a URL says.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct PostgresUrl {
    /// Everything that the other fields do not say, as [`postgres::Config`] parses it.
    pub(super) url: Secret,
    /// `sslmode`.
    pub(super) tls: Option<TlsMode>,
    /// `sslrootcert`.
    pub(super) root_cert: Option<RootCert>,
    /// `connect_timeout`, s.
    pub(super) connect_timeout_s: Option<u64>,
}

/// What `sslrootcert` names.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum RootCert {
    /// `system`: the authorities that this machine trusts.
    System,
    /// A PEM file.
    File(PathBuf),
}

/// What `sslmode` says, in libpq's words and meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server can; nobody is verified.
    Prefer,
    /// Always encrypted; nobody is verified, unless there is a CA file: then as `VerifyCa`.
    Require,
    /// Always encrypted; the certificate must be of a trusted authority.
    VerifyCa,
    /// Always encrypted; the certificate must be of a trusted authority and name the host.
    VerifyFull,
}

impl TlsMode {
    /// The word of `sslmode`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl PostgresUrl {
    /// Takes apart what follows the scheme and its colon.
    ///
    /// # Errors
    ///
    /// What is wrong, for the operator; it quotes nothing that may be a password.
    pub(super) fn parse(rest: &str) -> Result<Self, String> {
        let rest =
            rest.strip_prefix("//").ok_or("must be as postgres://user:password@host:5432/name")?;
        let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, name) = before_query.split_once('/').unwrap_or((before_query, ""));
        // One of them unescaped in a password would make a host of the password's end.
        if rest.contains('#') || name.contains('@') || query.contains('@') {
            return Err("has one of / ? # @ where it cannot be told from the URL's own: \
                        write %2F %3F %23 %40"
                .to_owned());
        }
        if name.is_empty() {
            return Err("must name the database, as postgres://user:password@host/name".to_owned());
        }
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        if !hosts.is_empty()
            && hosts.split(',').any(|host| host.is_empty() || host.starts_with(':'))
        {
            return Err("has an empty host".to_owned());
        }
        let mut url = "postgres://".to_owned();
        if let Some(credentials) = credentials {
            url.push_str(&credentials.replace('@', "%40"));
            url.push('@');
        }
        url.push_str(hosts);
        url.push('/');
        url.push_str(name);
        let mut said =
            Self { url: Secret::new(""), tls: None, root_cert: None, connect_timeout_s: None };
        let mut passed: Vec<(String, String)> = Vec::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            said.take(&key, &value, &mut passed)?;
        }
        if hosts.is_empty() {
            passed.push(("host".to_owned(), SOCKET_FOLDER.to_owned()));
        }
        // Of several hosts one is a standby, which nobody can write to.
        if hosts.contains(',') && passed.iter().all(|(key, _)| key != "target_session_attrs") {
            passed.push(("target_session_attrs".to_owned(), "read-write".to_owned()));
        }
        for (number, (key, value)) in passed.iter().enumerate() {
            url.push(if number == 0 { '?' } else { '&' });
            url.push_str(key);
            url.push('=');
            url.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
        if let Err(error) = url.parse::<postgres::Config>() {
            // Its source names the part that is wrong and never quotes it.
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            return Err(format!("cannot be read: {why}"));
        }
        said.url = Secret::new(&url);
        Ok(said)
    }

    /// Takes one parameter of the query; what `postgres::Config` is to know goes to `passed`.
    fn take(
        &mut self,
        key: &str,
        value: &str,
        passed: &mut Vec<(String, String)>,
    ) -> Result<(), String> {
        match (key, value) {
            ("sslmode", _) => self.tls = Some(tls_mode(value)?),
            ("sslrootcert", "") => return Err("has an empty sslrootcert".to_owned()),
            ("sslrootcert", "system") => self.root_cert = Some(RootCert::System),
            ("sslrootcert", _) => self.root_cert = Some(RootCert::File(value.into())),
            ("connect_timeout", _) => {
                let seconds = value.parse().ok().filter(|s| CONNECT_TIMEOUT_S.contains(s));
                let (min, max) = (CONNECT_TIMEOUT_S.start(), CONNECT_TIMEOUT_S.end());
                self.connect_timeout_s = Some(seconds.ok_or_else(|| {
                    format!("has a connect_timeout that is not a whole number from {min} to {max}")
                })?);
            }
            ("target_session_attrs", "primary") => {
                passed.push((key.to_owned(), "read-write".to_owned()));
            }
            ("target_session_attrs", "any" | "read-write")
            | ("application_name" | "options" | "channel_binding" | "load_balance_hosts", _) => {
                passed.push((key.to_owned(), value.to_owned()));
            }
            ("target_session_attrs", _) => {
                return Err("has a target_session_attrs other than any, read-write and primary: \
                            this server writes"
                    .to_owned());
            }
            _ => return Err(format!("has a parameter `{key}`, which is not known here")),
        }
        Ok(())
    }
}

fn tls_mode(word: &str) -> Result<TlsMode, &'static str> {
    use TlsMode::{Disable, Prefer, Require, VerifyCa, VerifyFull};
    if word == "allow" {
        return Err("has sslmode=allow, which encrypts only where the server insists: \
                    use prefer, or better verify-full");
    }
    [Disable, Prefer, Require, VerifyCa, VerifyFull]
        .into_iter()
        .find(|mode| mode.name() == word)
        .ok_or("has an sslmode other than disable, prefer, require, verify-ca and verify-full")
}

#[cfg(test)]
mod tests {
    use super::*;
    use postgres::config::{Host, TargetSessionAttrs};

    fn parse(url: &str) -> (PostgresUrl, postgres::Config) {
        let said = PostgresUrl::parse(url.strip_prefix("postgres:").unwrap()).unwrap();
        let config = str::from_utf8(said.url.expose()).unwrap().parse().unwrap();
        (said, config)
    }

    #[test]
    fn names_and_passwords_are_percent_decoded() {
        let (said, config) = parse("postgres://m%40e:p%2Fw%23@:%25%3F@db.example:6000/my%20app");
        assert_eq!(config.get_user(), Some("m@e"));
        assert_eq!(config.get_password(), Some(&b"p/w#@:%?"[..]));
        assert_eq!(config.get_dbname(), Some("my app"));
        assert_eq!(config.get_hosts(), [Host::Tcp("db.example".to_owned())]);
        assert_eq!(config.get_ports(), [6000]);
        assert_eq!((said.tls, said.root_cert, said.connect_timeout_s), (None, None, None));
    }

    #[test]
    fn a_socket_is_a_host_and_the_default_where_none_is_named() {
        for (url, folder) in [
            ("postgres:///app", SOCKET_FOLDER),
            ("postgres://me@/app", SOCKET_FOLDER),
            ("postgres://me@%2Ftmp%2Fpg/app", "/tmp/pg"),
        ] {
            assert_eq!(parse(url).1.get_hosts(), [Host::Unix(folder.into())], "{url}");
        }
    }

    #[test]
    fn of_several_hosts_the_one_is_meant_that_takes_writes() {
        let attributes = |url| parse(url).1.get_target_session_attrs();
        assert_eq!(attributes("postgres://a,b:6000/app"), TargetSessionAttrs::ReadWrite);
        assert_eq!(attributes("postgres://a/app"), TargetSessionAttrs::Any);
        let any = "postgres://a,b/app?target_session_attrs=any";
        assert_eq!(attributes(any), TargetSessionAttrs::Any);
        let primary = "postgres://a/app?target_session_attrs=primary";
        assert_eq!(attributes(primary), TargetSessionAttrs::ReadWrite);
        assert_eq!(parse("postgres://a,b:6000/app").1.get_ports(), [5432, 6000]);
    }

    #[test]
    fn parameters_are_taken_or_passed_on() {
        let (said, config) = parse(
            "postgres://a/app?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&connect_timeout=7\
             &application_name=chat+eu&options=-c%20work_mem%3D8MB",
        );
        assert_eq!(said.tls, Some(TlsMode::VerifyFull));
        assert_eq!(said.root_cert, Some(RootCert::File("/etc/ca.pem".into())));
        assert_eq!(said.connect_timeout_s, Some(7));
        assert_eq!(config.get_application_name(), Some("chat eu"));
        assert_eq!(config.get_options(), Some("-c work_mem=8MB"));
        let (said, _) = parse("postgres://a/app?sslrootcert=system&sslmode=require");
        assert_eq!((said.tls, said.root_cert), (Some(TlsMode::Require), Some(RootCert::System)));
    }

    #[test]
    fn what_is_not_understood_is_refused_and_no_password_told() {
        for (url, why) in [
            ("postgres:db/app", "must be as postgres://"),
            ("postgres://me:hunter2@db", "must name the database"),
            ("postgres://me:hunter2@db/", "must name the database"),
            ("postgres://me:hunt/er2@db/app", "write %2F"),
            ("postgres://me:hunt?er2@db/app", "write %2F"),
            ("postgres://me:hunt#er2@db/app", "write %2F"),
            ("postgres://me:hunter2/app", "invalid value for option `port`"),
            ("postgres://me@db:99999/app", "invalid value for option `port`"),
            ("postgres://me@a,,b/app", "an empty host"),
            ("postgres://me@:5432/app", "an empty host"),
            ("postgres://me@db/app?sslmode=allow", "only where the server insists"),
            ("postgres://me@db/app?sslmode=always", "an sslmode other than"),
            ("postgres://me@db/app?sslrootcert=", "an empty sslrootcert"),
            ("postgres://me@db/app?connect_timeout=0", "from 1 to 60"),
            ("postgres://me@db/app?connect_timeout=soon", "from 1 to 60"),
            ("postgres://me@db/app?target_session_attrs=read-only", "this server writes"),
            ("postgres://me@db/app?load_balance_hosts=x", "`load_balance_hosts`"),
            ("postgres://me@db/app?sslkey=a", "a parameter `sslkey`"),
            ("postgres://me@db/app?password=hunter2", "a parameter `password`"),
            ("postgres://me@db/app?pool", "a parameter `pool`"),
            ("postgres://me@db/%FF", "utf-8"),
        ] {
            let told = PostgresUrl::parse(url.strip_prefix("postgres:").unwrap()).unwrap_err();
            assert!(told.contains(why), "{url}: {told}");
            assert!(!told.contains("hunt") && !told.contains("er2"), "{told}");
        }
    }
}
