//! Cross-origin requests (the Fetch standard, "HTTP extensions"): which pages may read our answers.

use std::borrow::Cow;

use super::{Head, Response};

/// A header field to add to a response.
pub type Field = (&'static str, Cow<'static, str>);

/// Request methods a page may use.
const METHODS: &str = "GET, POST, DELETE, OPTIONS, HEAD";
/// Request fields a page may set.
const REQUEST_FIELDS: &str = "authorization, content-type, idempotency-key";
/// Response fields a page may read, beside the few it always may.
const RESPONSE_FIELDS: &str = "Link, Retry-After, RateLimit, RateLimit-Policy";
/// How long a browser may remember a preflight, in seconds.
const MAX_AGE_S: &str = "600";

/// The origins of `CORS_ALLOWED_ORIGINS`: a list such as `https://app.example.com`, or `*`. Empty
/// means that no page of another origin reads anything. Identity travels in `Authorization`,
/// never in cookies, so credentials mode is not allowed and `*` gives nothing away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    any: bool,
    origins: Vec<String>,
}

impl Policy {
    /// From the origins as the operator wrote them; empty ones and a final slash are left out.
    pub fn new<O: AsRef<str>>(origins: impl IntoIterator<Item = O>) -> Self {
        let mut policy = Self::default();
        for origin in origins {
            match origin.as_ref().trim().trim_end_matches('/') {
                "" => {}
                "*" => policy.any = true,
                origin => policy.origins.push(origin.to_owned()),
            }
        }
        policy
    }

    /// The answer to a preflight, `None` if the request is none: `OPTIONS` with `Origin` and
    /// `Access-Control-Request-Method`. A foreign origin gets the same 204 without permissions.
    pub fn preflight(&self, head: &Head<'_>) -> Option<Response> {
        let origin = head.header("origin")?;
        if head.method() != "OPTIONS" || head.header("access-control-request-method").is_none() {
            return None;
        }
        let response = Response::new(204).headers(self.vary());
        Some(match self.permission(origin) {
            None => response,
            Some(permission) => response
                .headers([permission])
                .header("Access-Control-Allow-Methods", METHODS)
                .header("Access-Control-Allow-Headers", REQUEST_FIELDS)
                .header("Access-Control-Max-Age", MAX_AGE_S),
        })
    }

    /// What to add to every other response, a refusal included. `origin` is the request's
    /// `Origin`. With a list, `Vary` is added even without one: a cache must not give a page the
    /// answer that was made for another (RFC 9110 §12.5.5).
    pub fn fields(&self, origin: Option<&str>) -> impl Iterator<Item = Field> + use<> {
        let permission = origin.and_then(|origin| self.permission(origin));
        let expose = permission
            .is_some()
            .then_some(("Access-Control-Expose-Headers", Cow::Borrowed(RESPONSE_FIELDS)));
        self.vary().into_iter().chain(permission).chain(expose)
    }

    /// Scheme and host of an origin are case-insensitive, and it has nothing else.
    fn permission(&self, origin: &str) -> Option<Field> {
        const NAME: &str = "Access-Control-Allow-Origin";
        if self.any {
            return Some((NAME, Cow::Borrowed("*")));
        }
        let listed = self.origins.iter().any(|listed| listed.eq_ignore_ascii_case(origin));
        listed.then(|| (NAME, Cow::Owned(origin.to_owned())))
    }

    /// Answers depend on the origin exactly when there is a list.
    fn vary(&self) -> Option<Field> {
        let depends = !self.any && !self.origins.is_empty();
        depends.then_some(("Vary", Cow::Borrowed("Origin")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http::{Decoder, Event, Limits};

    fn check_fields(policy: &Policy, origin: Option<&str>, expect: &[(&str, &str)]) {
        let fields: Vec<_> = policy.fields(origin).collect();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(fields, expect, "{origin:?}");
    }

    fn preflight(policy: &Policy, method: &str, fields: &str) -> Option<Response> {
        let bytes = format!("{method} /api/v1/x/ HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let event = Decoder::new().next(bytes.as_bytes(), &mut 0, &Limits::default());
        let Some(Ok(Event::Request(request))) = event else { panic!("{event:?}") };
        policy.preflight(&request.head)
    }

    #[test]
    fn a_listed_origin_is_named_and_others_are_not() {
        let policy = Policy::new(["https://app.example.com/", " https://b.example.com ", ""]);
        let vary = ("Vary", "Origin");
        let expose = ("Access-Control-Expose-Headers", RESPONSE_FIELDS);
        for origin in ["https://app.example.com", "https://b.example.com"] {
            let allow = ("Access-Control-Allow-Origin", origin);
            check_fields(&policy, Some(origin), &[vary, allow, expose]);
        }
        for origin in [
            "null",
            "*",
            "",
            "https://app.example",
            "https://app.example.com.evil.org",
            "http://app.example.com",
        ] {
            check_fields(&policy, Some(origin), &[vary]);
        }
        check_fields(&policy, None, &[vary]);
    }

    #[test]
    fn a_star_allows_all_alike() {
        let policy = Policy::new(["*"]);
        let allow = ("Access-Control-Allow-Origin", "*");
        let expose = ("Access-Control-Expose-Headers", RESPONSE_FIELDS);
        check_fields(&policy, Some("null"), &[allow, expose]);
        check_fields(&policy, None, &[]);
        let policy = Policy::new(["https://app.example.com", "*"]);
        check_fields(&policy, Some("null"), &[allow, expose]);
    }

    #[test]
    fn no_list_allows_nothing() {
        check_fields(&Policy::default(), Some("https://app.example.com"), &[]);
    }

    #[test]
    fn a_preflight_is_answered_with_what_is_allowed() {
        let policy = Policy::new(["https://app.example.com"]);
        let asks = "Access-Control-Request-Method: DELETE\r\n";
        let origin = "Origin: https://app.example.com\r\n";
        let response = preflight(&policy, "OPTIONS", &format!("{origin}{asks}")).unwrap();
        assert_eq!(response.status(), 204);
        for (name, expect) in [
            ("Access-Control-Allow-Origin", "https://app.example.com"),
            ("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS, HEAD"),
            ("Access-Control-Allow-Headers", "authorization, content-type, idempotency-key"),
            ("Access-Control-Max-Age", "600"),
            ("Vary", "Origin"),
        ] {
            assert_eq!(response.header_value(name), Some(expect));
        }
        let foreign = preflight(&policy, "OPTIONS", &format!("Origin: https://b\r\n{asks}"));
        assert_eq!(foreign, Some(Response::new(204).header("Vary", "Origin")));
        assert_eq!(preflight(&policy, "OPTIONS", origin), None);
        assert_eq!(preflight(&policy, "OPTIONS", asks), None);
        assert_eq!(preflight(&policy, "POST", &format!("{origin}{asks}")), None);
    }
}
