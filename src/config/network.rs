//! Hosts, origins and proxies as an operator writes them. What they mean is `protocol::http`'s matter.

use std::net::Ipv6Addr;

use crate::protocol::http::forwarded::IpNet;
use crate::protocol::http::host::AllowedHosts;

/// The patterns of a comma-separated `ALLOWED_HOSTS`.
///
/// # Errors
///
/// The entry that is none, and why.
pub(super) fn parse_hosts(list: &str) -> Result<AllowedHosts, (String, &'static str)> {
    for entry in entries(list) {
        check_host(&entry.to_ascii_lowercase()).map_err(|why| (entry.to_owned(), why))?;
    }
    Ok(AllowedHosts::new(entries(list)))
}

fn check_host(host: &str) -> Result<(), &'static str> {
    if host == "*" {
        return Ok(());
    }
    if host.contains("://") || host.contains('/') {
        return Err("is a URL where a host is meant");
    }
    if !host.starts_with('[') && host.parse::<Ipv6Addr>().is_ok() {
        return Err("is an IPv6 address and must stand in brackets");
    }
    match split_port(host) {
        Some((_, Some(_))) => Err("has a port; any port is allowed"),
        Some((name, None)) if !name.contains('*') => Ok(()),
        _ => Err("is not a host"),
    }
}

/// A network of trusted proxies.
///
/// # Errors
///
/// What is wrong, for the operator.
pub(super) fn parse_network(text: &str) -> Result<IpNet, &'static str> {
    text.parse().map_err(|_| "is not an IP address or a network like 10.0.0.0/8")
}

/// A web origin (RFC 6454 §6.1) in lower case: scheme, host and, where it is not the scheme's own, port.
///
/// # Errors
///
/// What is wrong, for the operator.
pub(super) fn parse_origin(text: &str) -> Result<String, &'static str> {
    let origin = text.to_ascii_lowercase();
    let host = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"))
        .ok_or("does not begin with https:// or http://")?;
    match split_port(host) {
        _ if host.contains(['/', '?', '#', '@', '*']) => Err("is more than scheme, host and port"),
        None => Err("names no host"),
        Some(_) => Ok(origin),
    }
}

/// The entries of a comma-separated list, trimmed, without the empty ones.
pub(super) fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// The host without its port, and the port; `None` where it is no host. An IPv6 address keeps its brackets.
pub(super) fn split_port(host: &str) -> Option<(&str, Option<&str>)> {
    let end = match host.strip_prefix('[') {
        Some(inner) => {
            let close = inner.find(']')?;
            inner[..close].parse::<Ipv6Addr>().ok()?;
            close + 2
        }
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, rest) = host.split_at(end);
    let port = match rest {
        "" => None,
        _ => Some(rest.strip_prefix(':').filter(|port| port.bytes().all(|b| b.is_ascii_digit()))?),
    };
    let is_host = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:*".contains(&b));
    is_host.then_some((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_no_host_is_refused() {
        for list in
            ["https://a.example", "a.example/path", "a.example:80", "::1", "a b", "*.example"]
        {
            assert_eq!(parse_hosts(list).unwrap_err().0, list);
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (text, origin) in [
            ("https://App.example.com", Ok("https://app.example.com".to_owned())),
            ("http://localhost:3000", Ok("http://localhost:3000".to_owned())),
            ("https://app.example.com/", Err("is more than scheme, host and port")),
            ("*", Err("does not begin with https:// or http://")),
            ("https://", Err("names no host")),
        ] {
            assert_eq!(parse_origin(text), origin);
        }
    }
}
