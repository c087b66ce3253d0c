//! What a request says: its body, its query, its idempotency key.

use std::borrow::Cow;

use super::then::Asked;
use super::{Ctx, problem};
use crate::model::UserId;
use crate::protocol::http::{Head, Response};
use crate::wire;

/// Reads one authenticated request. Errors: the response that refuses it.
pub(super) type Ask = fn(&Call<'_>) -> Result<Asked, Response>;

/// A request and who asks.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) head: &'a Head<'a>,
    pub(super) body: &'a [u8],
    pub(super) user: UserId,
    /// Those of the path, positive.
    pub(super) ids: [i64; 2],
    pub(super) ctx: &'a Ctx<'a>,
}

impl<'a> Call<'a> {
    /// The body read by `decode`.
    ///
    /// # Errors
    ///
    /// 415 where it is said to be other than plain JSON, 400 where it is.
    pub(super) fn json<T>(
        &self,
        decode: impl FnOnce(&'a [u8]) -> Result<T, wire::Fault<'a>>,
    ) -> Result<T, Response> {
        let is_json = |media_type: &str| media_type.eq_ignore_ascii_case("application/json");
        let is_plain = |coding: &str| coding.eq_ignore_ascii_case("identity");
        let is_readable = self.head.media_type().is_some_and(is_json)
            && self.head.header("content-encoding").is_none_or(is_plain);
        // Nothing at all is of no type; that it is missing is the better answer.
        if !is_readable && !self.body.is_empty() {
            return Err(problem::unsupported_media_type());
        }
        decode(self.body).map_err(|fault| problem::fault(&fault))
    }

    /// The query's number of that name, at least `min`.
    ///
    /// # Errors
    ///
    /// 400 naming the parameter.
    pub(super) fn number(&self, name: &'static str, min: i64) -> Result<Option<i64>, Response> {
        let Some(text) = self.head.query_value(name) else { return Ok(None) };
        match decimal(&text) {
            Some(number) if number >= min => Ok(Some(number)),
            _ => {
                let expected = format!("{name}: expected an integer of at least {min}");
                Err(problem::invalid_field(name, expected))
            }
        }
    }

    /// The message's `client_id`: the body's own, or else the `Idempotency-Key` header's
    /// (draft-ietf-httpapi-idempotency-key-header), whose quotes are not part of it.
    ///
    /// # Errors
    ///
    /// 400: the header is not 1 to 64 visible ASCII characters.
    pub(super) fn client_id(&self, own: Option<Cow<'_, str>>) -> Result<Option<String>, Response> {
        const NAME: &str = "Idempotency-Key";
        if let Some(own) = own {
            return Ok(Some(own.into_owned()));
        }
        let Some((_, value)) = self.head.fields().find(|(name, _)| name.eq_ignore_ascii_case(NAME))
        else {
            return Ok(None);
        };
        let key =
            str::from_utf8(value).ok().filter(|key| key.bytes().all(|b| b.is_ascii_graphic()));
        let Some(key) = key else {
            let expected = format!("{NAME}: expected visible ASCII characters");
            return Err(problem::invalid_field(NAME, expected));
        };
        let key = unquoted(key);
        wire::rest::check_idempotency_key(key).map_err(|fault| problem::fault(&fault))?;
        Ok(Some(key.to_owned()))
    }
}

/// Decimal digits alone: no sign, no space.
pub(super) fn decimal(text: &str) -> Option<i64> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_decimal)
}

/// The content of a string without escapes (RFC 9651 §3.3.3); anything else as it is.
fn unquoted(key: &str) -> &str {
    let content = key.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    content.filter(|content| !content.contains(['"', '\\'])).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_key_is_its_content() {
        for (key, content) in [
            ("\"8e03\"", "8e03"),
            ("8e03", "8e03"),
            ("\"", "\""),
            ("\"\"", ""),
            ("\"a\"b\"", "\"a\"b\""),
            ("\"a\\\"", "\"a\\\""),
        ] {
            assert_eq!(unquoted(key), content);
        }
    }

    #[test]
    fn a_number_is_digits_alone() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("9223372036854775807"), Some(i64::MAX));
        for text in ["", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "9223372036854775808", "١"] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }
}
