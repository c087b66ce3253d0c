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

/// `url` with what stands between `//` and `@` replaced: `postgres://[redacted]@host/name`.
pub fn redact_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority_len = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password may hold an unescaped `/`: where an `@` follows, everything before the last one is taken for it.
    match rest.rfind('@') {
        Some(at) if at < authority_len || scheme != "sqlite" => {
            format!("{scheme}://{REDACTED}{}", &rest[at..])
        }
        _ => url.to_owned(),
    }
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
            ("sqlite:///a@b.db", "sqlite:///a@b.db"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(redact_url(url), shown);
        }
    }
}
