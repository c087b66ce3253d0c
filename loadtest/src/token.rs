//! Access tokens as djangorestframework-simplejwt issues them, signed with the server's own key.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where tokens come from.
pub(crate) enum Signer {
    /// They are signed here; all of one run expire together.
    Key {
        /// The server's key.
        key: Box<EncodingKey>,
        /// Seconds since 1970.
        issued_at: u64,
        /// The same.
        expires_at: u64,
    },
    /// They were made elsewhere.
    Known(Tokens),
}

/// Tokens that were made elsewhere, by user.
pub(crate) struct Tokens(BTreeMap<i64, String>);

impl Tokens {
    /// Reads a file with one token a line; empty lines are passed over.
    ///
    /// # Errors
    ///
    /// It cannot be read, or a line is no token that names a user.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut tokens = BTreeMap::new();
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let user = user(line.trim()).with_context(|| format!("line {}: no token", n + 1))?;
            tokens.insert(user, line.trim().to_owned());
        }
        anyhow::ensure!(!tokens.is_empty(), "no tokens");
        Ok(Self(tokens))
    }

    /// Those who have one, in order.
    pub(crate) fn users(&self) -> Vec<i64> {
        self.0.keys().copied().collect()
    }
}

/// Whom a token names; whether it is valid, its server knows.
fn user(token: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct Claims {
        user_id: Value,
    }
    let claims = jsonwebtoken::dangerous::insecure_decode::<Claims>(token).ok()?.claims;
    match claims.user_id {
        Value::Number(id) => id.as_i64(),
        Value::String(id) => id.parse().ok(),
        _ => None,
    }
}

impl Signer {
    /// `secret` is the server's `SECRET_KEY`; tokens are valid for `ttl_s` seconds from `now`, seconds since 1970.
    pub(crate) fn new(secret: &[u8], now: u64, ttl_s: u64) -> Self {
        let key = Box::new(EncodingKey::from_secret(secret));
        Self::Key { key, issued_at: now, expires_at: now + ttl_s }
    }

    /// A token of `user`; an empty one where it was to be made elsewhere and is not there.
    pub(crate) fn token(&self, user: i64) -> String {
        #[derive(Serialize)]
        struct Claims {
            token_type: &'static str,
            exp: u64,
            iat: u64,
            jti: String,
            user_id: String,
        }
        let (key, issued_at, expires_at) = match self {
            Self::Known(Tokens(tokens)) => return tokens.get(&user).cloned().unwrap_or_default(),
            Self::Key { key, issued_at, expires_at } => (key, *issued_at, *expires_at),
        };
        let claims = Claims {
            token_type: "access",
            exp: expires_at,
            iat: issued_at,
            jti: format!("{user:032x}"),
            user_id: user.to_string(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, key)
            .expect("HMAC takes a key of any length, and the claims are plain")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_user_and_its_end() {
        use jsonwebtoken::{DecodingKey, Validation};
        let token = Signer::new(b"a key of the server", 1_000, 60).token(7);
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        let key = DecodingKey::from_secret(b"a key of the server");
        let claims =
            jsonwebtoken::decode::<serde_json::Value>(&token, &key, &validation).unwrap().claims;
        assert_eq!((&claims["user_id"], &claims["exp"]), (&"7".into(), &1_060.into()));
        assert_eq!(claims["token_type"], "access");
        let other = DecodingKey::from_secret(b"another key");
        assert!(jsonwebtoken::decode::<serde_json::Value>(&token, &other, &validation).is_err());
    }

    #[test]
    fn tokens_of_elsewhere_are_found_by_the_user_whom_they_name() {
        let token = |user| Signer::new(b"another's key", 1_000, 60).token(user);
        let text = format!("{}\n\n  {}  \n", token(9), token(4));
        let tokens = Tokens::parse(&text).unwrap();
        assert_eq!(tokens.users(), [4, 9]);
        let signer = Signer::Known(tokens);
        assert_eq!((signer.token(4), signer.token(5)), (token(4), String::new()));
        assert!(Tokens::parse("").is_err() && Tokens::parse("x").is_err());
    }
}
