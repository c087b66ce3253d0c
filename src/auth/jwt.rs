//! JSON Web Tokens (RFC 7519) as djangorestframework-simplejwt writes access tokens: HS256 and nothing else.
//!
//! The crate checks the signature, `aud` and `iss`; time and the claims of simplejwt are checked here, against the caller's
//! clock and without leeway. A token is read once: its header only where it is not one of those that nearly all have, its claims
//! only after its signature.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, crypto, decode_header,
};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

use super::{Revocations, Stamp};
use crate::model::UserId;
use crate::time::Timestamp;

/// The longest token that is looked at, bytes; simplejwt's have about 230.
pub const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// The headers of HS256 that PyJWT and most others write, and nothing else in them: `{"alg":"HS256","typ":"JWT"}` and the other way
/// around.
const PLAIN_HEADERS: [&str; 2] =
    ["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9"];

/// 9999-12-31T23:59:59Z, the last instant of RFC 3339; a later `exp` counts as this one.
const LAST_SECOND: i64 = 253_402_300_799;

/// What a valid token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claims {
    /// Who: `user_id`, positive.
    pub user: UserId,
    /// The first instant at which the token is no longer valid.
    pub expires_at: Timestamp,
    /// `iat`.
    pub issued_at: Option<Timestamp>,
    /// The token's own name.
    pub jti: Option<Box<str>>,
}

/// Why nobody is known to be asking. Says nothing of the token's content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum AuthError {
    /// The request has no token.
    #[error("no token was given")]
    Missing,
    /// Not a token of ours, not an access token, or not valid yet.
    #[error("the token is not valid")]
    Invalid,
    /// It was valid once.
    #[error("the token has expired")]
    Expired,
    /// It was taken back, or all of its user's were.
    #[error("the token was revoked")]
    Revoked,
}

impl AuthError {
    /// The code in problem details and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Invalid | Self::Revoked => "token_invalid",
            Self::Expired => "token_expired",
        }
    }
}

/// Verifies tokens. Built once; its `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Verifier {
    keys: Vec<DecodingKey>,
    /// Whom a token must name, where that is configured.
    parties: Option<Validation>,
    revocations: Arc<Revocations>,
}

impl Verifier {
    /// `secrets` are the accepted keys, the current one first; empty ones are left out, since anybody can sign with those.
    /// A token must name `audience` and `issuer` where they are given; else `aud` and `iss` are not looked at.
    pub fn new(secrets: &[&[u8]], audience: Option<String>, issuer: Option<String>) -> Self {
        let names_parties = audience.is_some() || issuer.is_some();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = audience.is_some();
        validation.required_spec_claims.clear();
        if let Some(audience) = audience {
            validation.required_spec_claims.insert("aud".to_owned());
            validation.set_audience(&[audience]);
        }
        if let Some(issuer) = issuer {
            validation.required_spec_claims.insert("iss".to_owned());
            validation.set_issuer(&[issuer]);
        }
        let usable = secrets.iter().filter(|secret| !secret.is_empty());
        let keys = usable.map(|secret| DecodingKey::from_secret(secret)).collect();
        let parties = names_parties.then_some(validation);
        Self { keys, parties, revocations: Arc::default() }
    }

    /// The same, refusing what is in `revocations` as well.
    #[must_use]
    pub fn with_revocations(self, revocations: Arc<Revocations>) -> Self {
        Self { revocations, ..self }
    }

    /// What is refused though it has not expired.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Verifies `token` at `now`. Cost: about a microsecond, and as much again for each accepted key.
    ///
    /// # Errors
    ///
    /// [`AuthError::Missing`] for an empty token; [`AuthError::Expired`] where only `exp` is against it; [`AuthError::Revoked`]
    /// where nothing else is.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Missing);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(AuthError::Invalid);
        }
        let claims = self.signed_claims(token)?.check(now)?;
        if self.revocations.revokes(claims.user, Stamp::of(&claims)) {
            return Err(AuthError::Revoked);
        }
        Ok(claims)
    }

    /// What `token` claims, if one of the keys signed that, for the parties that it must name.
    fn signed_claims(&self, token: &str) -> Result<RawClaims, AuthError> {
        let key = self.signer(token).ok_or(AuthError::Invalid)?;
        let claims = match &self.parties {
            None => insecure_decode_claims(token),
            Some(parties) => jsonwebtoken::decode(token, key, parties).map(|data| data.claims),
        };
        claims.map_err(|_| AuthError::Invalid)
    }

    /// The first key that signed `token` with HS256.
    fn signer(&self, token: &str) -> Option<&DecodingKey> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, _) = message.rsplit_once('.')?;
        if !PLAIN_HEADERS.contains(&header) {
            let header = decode_header(token).ok()?;
            // RFC 7515 §4.1.11: extensions that must be understood, and are not.
            if header.alg != Algorithm::HS256 || header.crit.is_some() {
                return None;
            }
        }
        let has_signed = |key: &&DecodingKey| {
            crypto::verify(signature, message.as_bytes(), key, Algorithm::HS256).unwrap_or(false)
        };
        self.keys.iter().find(has_signed)
    }
}

/// What access tokens are signed with.
#[derive(Clone, Copy)]
pub struct Issuer<'a> {
    /// `SECRET_KEY`.
    pub secret: &'a [u8],
    /// `aud`, where one is configured.
    pub audience: Option<&'a str>,
    /// `iss`, where one is configured.
    pub issuer: Option<&'a str>,
}

impl Issuer<'_> {
    /// An access token of `user`, valid for `ttl_s` seconds from `now`, as simplejwt 5.5.1 and later write one: `user_id` is a
    /// decimal string, `jti` 32 hexadecimal digits.
    pub fn issue(&self, user: UserId, ttl_s: i64, now: Timestamp, jti: u128) -> String {
        #[derive(Serialize)]
        struct Access<'a> {
            token_type: &'static str,
            exp: i64,
            iat: i64,
            jti: String,
            user_id: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            aud: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            iss: Option<&'a str>,
        }
        let iat = now.unix_seconds();
        let claims = Access {
            token_type: AccessToken::NAME,
            exp: iat.saturating_add(ttl_s),
            iat,
            jti: format!("{jti:032x}"),
            user_id: user.to_string(),
            aud: self.audience,
            iss: self.issuer,
        };
        let key = EncodingKey::from_secret(self.secret);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
            .expect("HMAC takes a key of any length, and the claims are plain")
    }
}

/// [`Issuer::issue`] where neither `aud` nor `iss` is configured.
pub fn issue(secret: &[u8], user: UserId, ttl_s: i64, now: Timestamp, jti: u128) -> String {
    Issuer { secret, audience: None, issuer: None }.issue(user, ttl_s, now, jti)
}

/// The claims as a token holds them; unknown ones are ignored, a repeated one is refused.
#[derive(Deserialize)]
struct RawClaims {
    exp: NumericDate,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    jti: Option<Box<str>>,
    user_id: Subject,
    #[serde(default, rename = "token_type")]
    _token_type: AccessToken,
}

impl RawClaims {
    fn check(self, now: Timestamp) -> Result<Claims, AuthError> {
        if self.nbf.is_some_and(|nbf| nbf.at() > now) {
            return Err(AuthError::Invalid);
        }
        if self.exp.at() <= now {
            return Err(AuthError::Expired);
        }
        Ok(Claims {
            user: self.user_id.0,
            expires_at: self.exp.at(),
            issued_at: self.iat.map(NumericDate::at),
            jti: self.jti,
        })
    }
}

/// Seconds since the epoch (RFC 7519 §2), a fraction cut off as PyJWT does, and none past [`LAST_SECOND`].
#[derive(Clone, Copy)]
struct NumericDate(i64);

impl NumericDate {
    const fn at(self) -> Timestamp {
        Timestamp::from_unix_seconds(self.0)
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numeric;
        impl Visitor<'_> for Numeric {
            type Value = NumericDate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of seconds")
            }

            fn visit_i64<E>(self, seconds: i64) -> Result<NumericDate, E> {
                Ok(NumericDate(seconds.min(LAST_SECOND)))
            }

            fn visit_u64<E>(self, seconds: u64) -> Result<NumericDate, E> {
                Ok(NumericDate(seconds.min(LAST_SECOND as u64) as i64))
            }

            fn visit_f64<E>(self, seconds: f64) -> Result<NumericDate, E> {
                // The cast saturates.
                Ok(NumericDate((seconds as i64).min(LAST_SECOND)))
            }
        }
        deserializer.deserialize_any(Numeric)
    }
}

/// `user_id`: a positive integer, or its decimal digits as newer versions write it.
struct Subject(UserId);

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Id;
        impl Visitor<'_> for Id {
            type Value = Subject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a positive integer or its digits")
            }

            fn visit_u64<E: Error>(self, id: u64) -> Result<Subject, E> {
                match i64::try_from(id) {
                    Ok(id) if id > 0 => Ok(Subject(UserId(id))),
                    _ => Err(E::custom("out of range")),
                }
            }

            fn visit_str<E: Error>(self, digits: &str) -> Result<Subject, E> {
                if !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(E::custom("not digits"));
                }
                self.visit_u64(digits.parse().map_err(E::custom)?)
            }
        }
        deserializer.deserialize_any(Id)
    }
}

/// `token_type`: `access` where it is there at all; a refresh token opens nothing.
#[derive(Default)]
struct AccessToken;

impl AccessToken {
    const NAME: &'static str = "access";
}

impl<'de> Deserialize<'de> for AccessToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = AccessToken;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the text access")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<AccessToken, E> {
                if name == AccessToken::NAME {
                    Ok(AccessToken)
                } else {
                    Err(E::custom("another type"))
                }
            }
        }
        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests;
