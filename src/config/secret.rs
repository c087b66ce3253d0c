//! Values that are never shown.

use std::fmt;
use std::sync::Arc;

/// A secret text. `Debug` and `Display` show `[redacted]`; a clone shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes `text` into keeping.
    pub fn new(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The bytes themselves, to sign or verify with.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// What is shown in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// `url` with what stands between `//` and `@` replaced, `postgres://[redacted]@host/name`, and with it whatever else may be
/// a password: what stands where a port should, and parameters that are called so.
pub fn redact_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    if scheme == "sqlite" {
        return url.to_owned();
    }
    // A password may hold an unescaped `/`: where an `@` follows, everything before the last one is taken for it.
    let (credentials, rest) = match rest.rfind('@') {
        Some(at) => (REDACTED, &rest[at..]),
        None => ("", rest),
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = place.split('/').next().unwrap_or_default();
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    if credentials.is_empty() && !port.bytes().all(|b| b.is_ascii_digit() || b == b']') {
        return format!("{scheme}://{REDACTED}");
    }
    let mut shown = format!("{scheme}://{credentials}{place}");
    for (number, parameter) in query.split('&').filter(|one| !one.is_empty()).enumerate() {
        shown.push(if number == 0 { '?' } else { '&' });
        match parameter.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("password") => {
                shown.extend([name, "=", REDACTED]);
            }
            _ => shown.push_str(parameter),
        }
    }
    shown
}

/// As [`redact_url`], of several URLs with commas between them. Where one is none, a password may hold the comma: then they
/// are taken for one URL.
pub fn redact_urls(urls: &str) -> String {
    let each: Vec<&str> = urls.split(',').map(str::trim).filter(|url| !url.is_empty()).collect();
    if each.iter().all(|url| url.contains("://")) {
        let shown: Vec<String> = each.into_iter().map(redact_url).collect();
        return shown.join(",");
    }
    redact_url(urls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("correct horse");
        assert_eq!(format!("{secret:?} {secret}"), "[redacted] [redacted]");
        assert_eq!(secret.expose(), b"correct horse");
    }

    #[test]
    fn a_url_loses_its_password() {
        for (url, shown) in [
            ("postgres://me:pw@db/app", "postgres://[redacted]@db/app"),
            ("postgres://me:p/w@db/app", "postgres://[redacted]@db/app"),
            ("redis://:pw@[::1]:6379/0", "redis://[redacted]@[::1]:6379/0"),
            ("redis://host:6379/0", "redis://host:6379/0"),
            ("redis://[::1]/0", "redis://[::1]/0"),
            ("postgres://me:pw", "postgres://[redacted]"),
            ("postgres://me:pw/app", "postgres://[redacted]"),
            ("postgres://db/app?password=pw&a=1", "postgres://db/app?password=[redacted]&a=1"),
            ("sqlite:///a@b.db", "sqlite:///a@b.db"),
            ("sqlite:///a.db?x=1", "sqlite:///a.db?x=1"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(redact_url(url), shown);
        }
    }
    #[test]
    fn each_of_several_urls_loses_its_password() {
        for (urls, shown) in [
            ("redis://:pw@a,redis://b/1", "redis://[redacted]@a,redis://b/1"),
            ("redis://:pw@a, redis://:pw@b", "redis://[redacted]@a,redis://[redacted]@b"),
            ("redis://:p,w@a", "redis://[redacted]@a"),
            ("redis://:p,w@a,redis://:x@b", "redis://[redacted]@b"),
            ("redis://me:p,redis://w", "redis://[redacted],redis://w"),
            ("", ""),
        ] {
            assert_eq!(redact_urls(urls), shown);
        }
    }
}
