//! Which hosts and origins are ours: Django's `ALLOWED_HOSTS`, read as Django reads it.

use std::net::Ipv6Addr;

/// What Django allows with `DEBUG` on and `ALLOWED_HOSTS` empty.
pub const DEBUG_HOSTS: [&str; 3] = [".localhost", "127.0.0.1", "[::1]"];

/// Patterns of `ALLOWED_HOSTS`: a host (`example.com`), a domain and all below it
/// (`.example.com`), or everything (`*`). An IPv6 address stands in brackets. No pattern, no host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    any: bool,
    /// Lower case.
    patterns: Vec<String>,
}

impl AllowedHosts {
    /// From the patterns as the operator wrote them; empty ones are left out.
    pub fn new<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Self {
        let mut allowed = Self::default();
        for pattern in patterns {
            match pattern.as_ref().trim() {
                "" => {}
                "*" => allowed.any = true,
                pattern => allowed.patterns.push(pattern.to_ascii_lowercase()),
            }
        }
        allowed
    }

    /// True exactly when a `Host` value (a port is left out of the comparison) names an allowed
    /// host. A malformed one is not allowed even by `*`.
    pub fn allows_host(&self, host: &str) -> bool {
        domain(host).is_some_and(|domain| self.matches(domain))
    }

    /// True exactly when an `Origin` value (`https://app.example.com:8443`, RFC 6454 §7) names an
    /// allowed host, whatever its scheme: hybrid apps have schemes of their own. `null` and other
    /// opaque origins have no host, so only `*` allows them.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.any || origin_host(origin).is_some_and(|domain| self.matches(domain))
    }

    /// True exactly when any host is allowed: `*` is among the patterns.
    pub fn is_any(&self) -> bool {
        self.any
    }

    fn matches(&self, domain: &str) -> bool {
        self.any || self.patterns.iter().any(|pattern| is_same_domain(domain, pattern))
    }
}

/// True exactly when the bytes can be `host [":" port]` of a URI (RFC 3986 §3.2), looking at the
/// alphabet only and leaving out the sub-delimiters that no real host has.
pub(super) fn is_authority(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%:[]".contains(byte))
}

/// The host of a `Host` value without port and final dot; `None` where Django finds it malformed:
/// a name of letters, digits, dots and hyphens, or an IPv6 address in brackets, then perhaps a
/// port.
fn domain(host: &str) -> Option<&str> {
    let (domain, port) = match host.rfind(']') {
        Some(bracket) => host.split_at(bracket + 1),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port_is_fine = match port.strip_prefix(':') {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    let address = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let domain_is_fine = if let Some(address) = address {
        address.parse::<Ipv6Addr>().is_ok()
    } else {
        let in_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        !domain.is_empty() && domain.bytes().all(in_name)
    };
    if port_is_fine && domain_is_fine {
        Some(domain.strip_suffix('.').unwrap_or(domain)).filter(|domain| !domain.is_empty())
    } else {
        None
    }
}

/// The host of `scheme "://" host [":" port]`.
fn origin_host(origin: &str) -> Option<&str> {
    let (scheme, host) = origin.split_once("://")?;
    let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let scheme_is_fine = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(in_scheme);
    if scheme_is_fine { domain(host) } else { None }
}

/// `pattern` is in lower case. `.example.com` matches `example.com` and every name that ends in
/// `.example.com`.
fn is_same_domain(domain: &str, pattern: &str) -> bool {
    let Some(parent) = pattern.strip_prefix('.') else {
        return domain.eq_ignore_ascii_case(pattern);
    };
    let ends_with = |suffix: &str| {
        domain
            .len()
            .checked_sub(suffix.len())
            .and_then(|start| domain.get(start..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    domain.eq_ignore_ascii_case(parent) || ends_with(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, allowed: &[&str], refused: &[&str]) {
        let hosts = AllowedHosts::new([pattern]);
        for host in allowed {
            assert!(hosts.allows_host(host), "{pattern} {host}");
            assert!(hosts.allows_origin(&format!("https://{host}")), "{pattern} {host}");
        }
        for host in refused {
            assert!(!hosts.allows_host(host), "{pattern} {host}");
        }
    }

    #[test]
    fn a_host_is_matched_without_port_case_and_final_dot() {
        check(
            "Example.com",
            &["example.com", "EXAMPLE.com", "example.com:8000", "example.com.", "example.com.:1"],
            &["a.example.com", "example.org", "xexample.com", "example.com.evil.org", ""],
        );
    }

    #[test]
    fn a_leading_dot_stands_for_the_domain_and_all_below() {
        check(
            ".example.com",
            &["example.com", "a.example.com:8443", "A.B.Example.COM", "a.example.com."],
            &["xexample.com", "example.com.org", ".com", "com", "é.example.com"],
        );
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        check("[::1]", &["[::1]", "[::1]:8000"], &["::1", "[::1", "[::1]8000", "[::2]", "::1]"]);
    }

    #[test]
    fn a_star_allows_every_host_that_is_one() {
        check(
            "*",
            &["example.com", "127.0.0.1:80", "[2001:db8::1]"],
            &["", ":80", ".", "a:", "a:b", "a:80:80", "a b", "a/b", "u@a", "[zz]", "[::1]x", "a_b"],
        );
    }

    #[test]
    fn no_pattern_allows_no_host() {
        check("", &[], &["example.com", ""]);
        assert!(!AllowedHosts::default().allows_origin("https://example.com"));
    }

    #[test]
    fn debug_hosts_are_this_machine() {
        let hosts = AllowedHosts::new(DEBUG_HOSTS);
        for host in ["localhost:8000", "a.localhost", "127.0.0.1", "[::1]:8000"] {
            assert!(hosts.allows_host(host), "{host}");
        }
        assert!(!hosts.allows_host("example.com"));
    }

    #[test]
    fn an_origin_is_allowed_by_its_host() {
        let hosts = AllowedHosts::new([".example.com", "localhost"]);
        for origin in [
            "https://a.example.com:8443",
            "http://EXAMPLE.com",
            "capacitor://localhost",
            "ionic://localhost",
        ] {
            assert!(hosts.allows_origin(origin), "{origin}");
        }
        for origin in [
            "null",
            "",
            "https://evil.org",
            "https://",
            "://localhost",
            "localhost",
            "file://",
            "https://evil.org/.example.com",
            "https://evil.org?.example.com",
            "https://user@localhost",
            "https://localhost/",
            "1x://localhost",
            "h t://localhost",
            "https://example.com.evil.org",
            "https://evil.org#.example.com",
        ] {
            assert!(!hosts.allows_origin(origin), "{origin}");
        }
        assert!(AllowedHosts::new(["*"]).allows_origin("null"));
    }
}
