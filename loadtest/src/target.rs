//! The server under load: its address, its name, and who may talk to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use anyhow::{Context, bail, ensure};

use crate::args::Server;
use crate::clock;
use crate::tls::{Tls, Trust};
use crate::token::Signer;

/// How long tokens for a server of this run's own are valid.
const LOCAL_TTL_S: u64 = 86_400;

/// Where the server is and how tokens for it are signed.
pub(crate) struct Target {
    /// Its first address.
    pub(crate) address: SocketAddr,
    /// The value of `Host`.
    pub(crate) host: String,
    /// Tokens for its users.
    pub(crate) signer: Signer,
    /// How it is known, where it speaks TLS.
    pub(crate) tls: Option<Tls>,
    /// How many addresses behind 127.0.0.1 the first one is that clients bind.
    pub(crate) first_source: u32,
}

impl Target {
    /// Resolves the URL and reads the secret.
    pub(crate) fn new(server: &Server) -> anyhow::Result<Self> {
        let secret = match (&server.secret, &server.secret_file) {
            (_, Some(path)) => std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
            (Some(secret), None) => secret.clone(),
            (None, None) => bail!("give --secret-file, --secret or SECRET_KEY"),
        };
        ensure!(!secret.is_empty(), "the secret is empty");
        let signer = Signer::new(secret.as_bytes(), clock::unix().as_secs(), server.token_ttl_s);
        Self::at(&server.url, signer, Trust::default())
    }

    /// Resolves the URL; `signer` has tokens for its users, and `trust` says whom a server must prove to be that speaks TLS.
    pub(crate) fn at(url: &str, signer: Signer, trust: Trust<'_>) -> anyhow::Result<Self> {
        let (is_tls, host) = host(url)?;
        let address = host
            .to_socket_addrs()
            .with_context(|| format!("cannot resolve {host}"))?
            .next()
            .with_context(|| format!("{host} has no address"))?;
        let name = host.rsplit_once(':').map_or(&*host, |(name, _)| name);
        let tls = is_tls.then(|| Tls::new(name, trust)).transpose()?;
        Ok(Self { address, host, signer, tls, first_source: 0 })
    }

    /// A server of this run's own, for whose users `secret` signs.
    pub(crate) fn local(address: SocketAddr, secret: &str) -> Self {
        let signer = Signer::new(secret.as_bytes(), clock::unix().as_secs(), LOCAL_TTL_S);
        Self { address, host: address.to_string(), signer, tls: None, first_source: 0 }
    }

    /// The address that client `n` of many binds, `sources` different ones in turn from the first on, each with ports and limits
    /// of its own; `None` where the server is not on this machine.
    pub(crate) fn source(&self, n: u32, sources: u32) -> Option<SocketAddr> {
        let IpAddr::V4(address) = self.address.ip() else { return None };
        address.is_loopback().then(|| {
            let source = Ipv4Addr::from_bits(
                Ipv4Addr::LOCALHOST.to_bits() + self.first_source + n % sources.max(1),
            );
            SocketAddr::from((source, 0))
        })
    }
}

/// Whether a URL without a path speaks TLS, and its `host:port`.
fn host(url: &str) -> anyhow::Result<(bool, String)> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (is_tls, port) = match scheme {
        "ws" | "http" => (false, 80),
        "wss" | "https" => (true, 443),
        _ => bail!("{url}: only ws://, wss://, http:// and https:// URLs are spoken"),
    };
    let host = rest.trim_end_matches('/');
    ensure!(!host.is_empty() && !host.contains('/'), "{url}: give the URL without a path");
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Ok((is_tls, if has_port { host.to_owned() } else { format!("{host}:{port}") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_give_host_and_port() {
        for (url, expected) in [
            ("ws://127.0.0.1:8000", "127.0.0.1:8000"),
            ("http://localhost:9/", "localhost:9"),
            ("ws://[::1]:8000", "[::1]:8000"),
            ("ws://localhost", "localhost:80"),
        ] {
            assert_eq!(host(url).unwrap(), (false, expected.to_owned()), "{url}");
        }
        assert_eq!(host("wss://a.b/").unwrap(), (true, "a.b:443".to_owned()));
        for url in ["ftp://localhost", "localhost:8000", "ws://", "ws://localhost/ws/chat"] {
            assert!(host(url).is_err(), "{url}");
        }
    }

    #[test]
    fn sources_take_turns_on_loopback_only() {
        let target = |address: &str| Target {
            address: address.parse().unwrap(),
            host: String::new(),
            signer: Signer::new(b"k", 0, 1),
            tls: None,
            first_source: 0,
        };
        let local = target("127.0.0.1:8000");
        let sources: Vec<_> =
            (0..4).map(|n| local.source(n, 3).unwrap().ip().to_string()).collect();
        assert_eq!(sources, ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"]);
        assert_eq!(target("10.0.0.1:8000").source(0, 3), None);
        assert_eq!(target("[::1]:8000").source(0, 3), None);
    }
}
