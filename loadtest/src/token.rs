//! Access tokens as djangorestframework-simplejwt issues them, signed with the server's own key.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

/// Signs tokens; all of one run expire together.
pub(crate) struct Signer {
    key: EncodingKey,
    issued_at: u64,
    expires_at: u64,
}

impl Signer {
    /// `secret` is the server's `SECRET_KEY`; tokens are valid for `ttl_s` seconds from `now`, seconds since 1970.
    pub(crate) fn new(secret: &[u8], now: u64, ttl_s: u64) -> Self {
        Self { key: EncodingKey::from_secret(secret), issued_at: now, expires_at: now + ttl_s }
    }

    /// A token of `user`.
    pub(crate) fn token(&self, user: i64) -> String {
        #[derive(Serialize)]
        struct Claims {
            token_type: &'static str,
            exp: u64,
            iat: u64,
            jti: String,
            user_id: String,
        }
        let claims = Claims {
            token_type: "access",
            exp: self.expires_at,
            iat: self.issued_at,
            jti: format!("{user:032x}"),
            user_id: user.to_string(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key)
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
}
