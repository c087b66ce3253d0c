//! Redis URLs as Django's settings write them, taken apart and refused where the driver would guess.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::network::split_port;
use super::secret::Secret;

/// One Redis server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisHost {
    /// Where it is, who asks, and which database, as the `redis` crate parses it.
    pub url: Secret,
    /// Where it is, for people: `redis.example:6379/0`. No user, no password.
    pub place: String,
    /// True exactly when the connection is encrypted: `rediss://`.
    pub is_tls: bool,
    /// True exactly when it is a node of a Redis Cluster: `redis+cluster://`.
    pub is_cluster: bool,
}

/// The port where a URL names none.
const PORT: &str = "6379";
/// How a URL is written.
const FORM: &str = "must be as redis://user:password@host:6379/0";

/// The hosts of a comma-separated list, in its order: Django's `hosts` must list them alike.
///
/// # Errors
///
/// What is wrong, for the operator; it quotes nothing that may be a password.
pub(super) fn parse_list(list: &str) -> Result<Vec<RedisHost>, String> {
    let urls: Vec<&str> = super::network::entries(list).collect();
    let numbered = |(number, url): (usize, &&str)| {
        let which = if urls.len() == 1 { String::new() } else { format!("(URL {}) ", number + 1) };
        let is_cut = number > 0 && !url.contains("://");
        if is_cut {
            return Err(format!("{which}is no URL; a comma within a password is written %2C"));
        }
        RedisHost::parse(url).map_err(|why| format!("{which}{why}"))
    };
    let hosts = urls.iter().enumerate().map(numbered).collect::<Result<Vec<_>, _>>()?;
    for (number, host) in hosts.iter().enumerate() {
        if hosts[..number].iter().any(|other| other.place == host.place) {
            return Err(format!("names {} twice", host.place));
        }
    }
    if hosts.iter().any(|host| host.is_cluster != hosts[0].is_cluster) {
        return Err("names nodes of a Redis Cluster and other servers".to_owned());
    }
    match hosts.len() {
        0 => Err(FORM.to_owned()),
        _ => Ok(hosts),
    }
}

impl RedisHost {
    fn parse(url: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = url.split_once("://") else { return Err(FORM.to_owned()) };
        match scheme {
            "redis" | "rediss" => Self::parse_tcp(rest, scheme),
            "unix" => Self::parse_unix(rest),
            "redis+cluster" | "rediss+cluster" => Self::parse_cluster(rest, scheme),
            "redis+sentinel" | "sentinel" => {
                Err("names a Sentinel, which is not spoken; name the \
                server by an address that follows the primary"
                    .to_owned())
            }
            _ => Err("no such scheme; use redis://, or rediss:// for TLS, or unix://".to_owned()),
        }
    }

    /// One node of a cluster, of which the others are heard.
    fn parse_cluster(rest: &str, scheme: &str) -> Result<Self, String> {
        let host = Self::parse_tcp(rest, scheme)?;
        if host.place.ends_with("/0") {
            Ok(Self { is_cluster: true, ..host })
        } else {
            Err("names a database, and a Redis Cluster has none but 0".to_owned())
        }
    }

    /// `rest` is what follows `scheme` and its slashes.
    fn parse_tcp(rest: &str, scheme: &str) -> Result<Self, String> {
        let is_tls = scheme.starts_with("rediss");
        let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = before_query.split_once('/').unwrap_or((before_query, ""));
        // One of them unescaped in a password would make a host of the password's end.
        if rest.contains('#') || path.contains('@') || query.contains('@') {
            return Err("has one of / ? # @ where it cannot be told from the URL's own: \
                        write %2F %3F %23 %40"
                .to_owned());
        }
        let (credentials, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (host, port) = split_port(place).ok_or_else(|| {
            if place.is_empty() { "must name a host".to_owned() } else { FORM.to_owned() }
        })?;
        if host.contains('*') {
            return Err("must name a host".to_owned());
        }
        let port = port.unwrap_or(PORT);
        if !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err("has a port that is none".to_owned());
        }
        let mut said = Said::default();
        said.take_credentials(credentials)?;
        said.take_database(path)?;
        said.take_query(query, is_tls)?;
        let credentials = said.credentials();
        let database = said.database;
        Ok(Self {
            url: Secret::new(&format!("{scheme}://{credentials}{host}:{port}/{database}")),
            place: format!("{host}:{port}/{database}"),
            is_tls,
            is_cluster: false,
        })
    }

    /// As redis-py: `unix://user@/path/to.sock?db=0&password=…`.
    fn parse_unix(rest: &str) -> Result<Self, String> {
        let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (credentials, path) = before_query.rsplit_once('@').unwrap_or(("", before_query));
        if rest.contains('#') || query.contains('@') {
            return Err("has one of # @ where it cannot be told from the URL's own: \
                        write %23 %40"
                .to_owned());
        }
        let path = PathBuf::from(decoded(path, "a path")?.as_ref());
        if !path.is_absolute() {
            return Err("must name a socket, as unix:///run/redis/redis.sock?db=0".to_owned());
        }
        let mut said = Said::default();
        said.take_credentials(credentials)?;
        said.take_query(query, false)?;
        let database = said.database;
        Ok(Self {
            url: Secret::new(&said.unix_url(&path)),
            place: format!("{}?db={database}", path.display()),
            is_tls: false,
            is_cluster: false,
        })
    }
}

/// What a URL says beside the place.
#[derive(Default)]
struct Said {
    user: String,
    password: String,
    database: u16,
}

impl Said {
    fn take_credentials(&mut self, text: &str) -> Result<(), String> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        self.user = decoded(user, "a user")?.into_owned();
        self.password = decoded(password, "a password")?.into_owned();
        Ok(())
    }

    fn take_database(&mut self, text: &str) -> Result<(), String> {
        if !text.is_empty() {
            self.database =
                text.parse().map_err(|_| "has a database that is no number, as /0".to_owned())?;
        }
        Ok(())
    }

    /// The parameters that redis-py takes and that change something here.
    fn take_query(&mut self, query: &str, is_tls: bool) -> Result<(), String> {
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match (&*key, &*value) {
                ("db", _) => self.take_database(&value)?,
                ("username", _) => self.user = value.into_owned(),
                ("password", _) => self.password = value.into_owned(),
                ("ssl_cert_reqs", "required") if is_tls => {}
                ("ssl_cert_reqs", _) if is_tls => {
                    return Err("has an ssl_cert_reqs that trusts whoever answers; name the \
                                server's authority in REDIS_CA_FILE instead"
                        .to_owned());
                }
                // How redis-py waits is not how this program waits.
                (
                    "socket_timeout"
                    | "socket_connect_timeout"
                    | "socket_keepalive"
                    | "health_check_interval"
                    | "max_connections"
                    | "retry_on_timeout"
                    | "client_name"
                    | "protocol",
                    _,
                ) => {}
                _ => return Err(format!("has a parameter `{key}`, which is not known here")),
            }
        }
        if self.password.is_empty() && !self.user.is_empty() {
            return Err("has a user and no password".to_owned());
        }
        Ok(())
    }

    fn credentials(&self) -> String {
        if self.password.is_empty() {
            return String::new();
        }
        format!("{}:{}@", encoded(&self.user), encoded(&self.password))
    }

    fn unix_url(&self, path: &Path) -> String {
        let path = path.to_string_lossy();
        let path: Vec<String> = path.split('/').map(encoded).collect();
        let mut url = format!("unix://{}?db={}", path.join("/"), self.database);
        for (key, value) in [("user", &self.user), ("pass", &self.password)] {
            if !value.is_empty() {
                url.extend(["&", key, "=", &encoded(value)]);
            }
        }
        url
    }
}

fn decoded<'a>(text: &'a str, what: &str) -> Result<Cow<'a, str>, String> {
    let text = percent_decode_str(text).decode_utf8();
    let text = text.map_err(|_| format!("has {what} that is not UTF-8"))?;
    if text.contains('\0') { Err(format!("has {what} with a NUL in it")) } else { Ok(text) }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo as _;

    use super::*;

    fn parse(list: &str) -> Vec<(RedisHost, redis::ConnectionInfo)> {
        let hosts = parse_list(list).unwrap();
        let read = |host: RedisHost| {
            let url = str::from_utf8(host.url.expose()).unwrap().to_owned();
            (host, url.into_connection_info().unwrap())
        };
        hosts.into_iter().map(read).collect()
    }

    #[test]
    fn a_url_says_where_who_and_which_database() {
        for (url, place, user, password, database) in [
            ("redis://cache", "cache:6379/0", None, None, 0),
            ("redis://cache:7000/3", "cache:7000/3", None, None, 3),
            ("redis://:p%2Cw@cache", "cache:6379/0", None, Some("p,w"), 0),
            ("redis://me:p%40%2Fw@10.0.0.1/1", "10.0.0.1:6379/1", Some("me"), Some("p@/w"), 1),
            ("redis://me:p@w@cache", "cache:6379/0", Some("me"), Some("p@w"), 0),
            ("redis://[::1]:7000?db=2", "[::1]:7000/2", None, None, 2),
            (
                "rediss://me:pw@cache?ssl_cert_reqs=required",
                "cache:6379/0",
                Some("me"),
                Some("pw"),
                0,
            ),
            ("unix:///run/my%20redis.sock", "/run/my redis.sock?db=0", None, None, 0),
            (
                "unix://me@/run/r.sock?db=4&password=p%26w",
                "/run/r.sock?db=4",
                Some("me"),
                Some("p&w"),
                4,
            ),
        ] {
            let (host, info) = parse(url).pop().unwrap();
            assert_eq!(host.place, place);
            assert_eq!(host.is_tls, url.starts_with("rediss:"));
            let settings = info.redis_settings();
            assert_eq!(settings.username(), user, "{url}");
            assert_eq!(settings.password(), password, "{url}");
            assert_eq!(settings.db(), database, "{url}");
            let is_tls =
                matches!(info.addr(), redis::ConnectionAddr::TcpTls { insecure: false, .. });
            assert_eq!(is_tls, host.is_tls);
        }
    }

    #[test]
    fn several_keep_their_order() {
        let places: Vec<String> = parse("redis://b, redis://:x@a:1/1 ,redis://c,")
            .into_iter()
            .map(|(host, _)| host.place)
            .collect();
        assert_eq!(places, ["b:6379/0", "a:1/1", "c:6379/0"]);
    }

    #[test]
    fn nodes_of_a_cluster_are_named_as_such() {
        let list = "rediss+cluster://me:pw@a:7000,rediss+cluster://me:pw@b";
        let hosts = parse_list(list).unwrap();
        let text = |host: &RedisHost| str::from_utf8(host.url.expose()).unwrap().to_owned();
        let urls = ["rediss+cluster://me:pw@a:7000/0", "rediss+cluster://me:pw@b:6379/0"];
        assert_eq!(hosts.iter().map(text).collect::<Vec<_>>(), urls);
        assert!(hosts.iter().all(|host| host.is_cluster && host.is_tls));
        assert!(!parse("rediss://a")[0].0.is_cluster);
    }

    #[test]
    fn what_is_not_understood_is_refused_and_no_password_told() {
        for (list, why) in [
            ("cache:6379", "must be as redis://"),
            (",", "must be as redis://"),
            ("redis://", "must name a host"),
            ("redis://me:hunter2@", "must name a host"),
            ("redis://me:hunter2", "must be as redis://"),
            ("redis://*", "must name a host"),
            ("redis://cache:0", "a port that is none"),
            ("redis://cache:70000", "a port that is none"),
            ("redis://cache/chat", "a database that is no number"),
            ("redis://cache/0/1", "a database that is no number"),
            ("redis://cache?db=x", "a database that is no number"),
            ("redis://me:hunt/er2@cache", "write %2F"),
            ("redis://me:hunt#er2@cache", "write %2F"),
            ("redis://me@cache", "a user and no password"),
            ("redis://me:hunt,er2@cache", "URL 1) must be as redis://"),
            ("redis://a,hunter2@b", "URL 2) is no URL; a comma"),
            ("redis://a,redis://b:x", "(URL 2) must be as redis://"),
            ("redis://a,redis://:hunter2@a", "names a:6379/0 twice"),
            ("redis+cluster://a,redis://b", "nodes of a Redis Cluster and other servers"),
            ("rediss+cluster://a/1", "has none but 0"),
            ("sentinel://a", "Sentinel"),
            ("http://a", "no such scheme"),
            ("rediss://a?ssl_cert_reqs=none", "REDIS_CA_FILE"),
            ("redis://a?ssl_cert_reqs=none", "a parameter `ssl_cert_reqs`"),
            ("redis://a?color=red", "a parameter `color`"),
            ("redis://:%FF@a", "a password that is not UTF-8"),
            ("unix://run/redis.sock", "must name a socket"),
        ] {
            let told = parse_list(list).unwrap_err();
            assert!(told.contains(why), "{list}: {told}");
            assert!(!told.contains("hunt") && !told.contains("er2"), "{told}");
        }
    }
}
