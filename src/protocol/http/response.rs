//! Responses: made without knowing the request, written as the request wants it.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Exchange, Problem, RequestError};

/// A response with its whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: Bytes,
}

impl Response {
    /// A response without a body. `Content-Length`, `Connection` and `Date` are not headers to
    /// set: they are written by [`encode_head`](Self::encode_head).
    pub fn new(status: u16) -> Self {
        debug_assert!((100..=999).contains(&status), "a status has three digits: {status}");
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// A response with a body of that media type.
    pub fn with_body(
        status: u16,
        media_type: impl Into<Cow<'static, str>>,
        body: impl Into<Bytes>,
    ) -> Self {
        let mut response = Self::new(status).header("Content-Type", media_type);
        response.body = body.into();
        response
    }

    /// JSON that is already encoded.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::with_body(status, "application/json", body)
    }

    /// Text in UTF-8.
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self::with_body(status, "text/plain; charset=utf-8", body)
    }

    /// A problem (RFC 9457). A 401 names the scheme that is wanted (RFC 9110 §11.6.1).
    pub fn problem(problem: &Problem) -> Self {
        let response =
            Self::with_body(problem.status(), "application/problem+json", problem.to_json());
        if problem.status() == 401 {
            response.header("WWW-Authenticate", "Bearer")
        } else {
            response
        }
    }

    /// The answer to a request that could not be read; written with [`Exchange::LAST`].
    pub fn refusal(error: RequestError) -> Self {
        Self::problem(&Problem::from(error))
    }

    /// Adds a header field. Control characters in the value are left out, so that a value made of
    /// peer input cannot end its line and begin another (RFC 9110 §5.5).
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.push_header(name, value.into());
        self
    }

    /// `Retry-After` in seconds (RFC 9110 §10.2.3).
    #[must_use]
    pub fn retry_after(self, delay_s: u64) -> Self {
        self.header("Retry-After", delay_s.to_string())
    }

    /// `Allow`, which a 405 has to carry (RFC 9110 §15.5.6).
    #[must_use]
    pub fn allow(self, methods: &'static str) -> Self {
        self.header("Allow", methods)
    }

    /// Adds header fields, such as those of [`cors`](super::cors).
    #[must_use]
    pub fn headers(
        mut self,
        headers: impl IntoIterator<Item = (&'static str, Cow<'static, str>)>,
    ) -> Self {
        for (name, value) in headers {
            self.push_header(name, value);
        }
        self
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body; shared, not copied.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The value of the first header field of that name, case-insensitive.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Appends the response to `out`: the head and, where one may follow, the body. `date` is a
    /// whole `Date` value, see [`date`](super::date).
    pub fn encode(&self, out: &mut Vec<u8>, exchange: Exchange, date: Option<&str>) {
        self.encode_head(out, exchange, date);
        if self.body_follows(exchange) {
            out.extend_from_slice(&self.body);
        }
    }

    /// Appends the head alone, for a caller that sends the body as its own shared buffer.
    ///
    /// `Content-Length` is always there, for `HEAD` as for `GET` (RFC 9110 §8.6), except on 1xx,
    /// 204 and 304. `Connection` says what the version does not imply (RFC 9112 §9.3, §9.6); on a
    /// 1xx, which ends no exchange, it is left to the caller.
    pub fn encode_head(&self, out: &mut Vec<u8>, exchange: Exchange, date: Option<&str>) {
        out.reserve(256);
        push_all(out, &["HTTP/1.1 ", &self.status.to_string(), " ", reason_phrase(self.status)]);
        for (name, value) in &self.headers {
            push_all(out, &["\r\n", name, ": ", value]);
        }
        if let Some(date) = date {
            push_all(out, &["\r\nDate: ", date]);
        }
        if has_content(self.status) {
            push_all(out, &["\r\nContent-Length: ", &self.body.len().to_string()]);
        }
        if self.status >= 200 {
            match exchange {
                Exchange { keep_alive: false, .. } => push_all(out, &["\r\nConnection: close"]),
                Exchange { http_10: true, .. } => push_all(out, &["\r\nConnection: keep-alive"]),
                _ => {}
            }
        }
        out.extend_from_slice(b"\r\n\r\n");
    }

    /// True exactly when the body goes on the wire behind the head.
    pub fn body_follows(&self, exchange: Exchange) -> bool {
        !exchange.head_only && has_content(self.status)
    }

    fn push_header(&mut self, name: &'static str, value: Cow<'static, str>) {
        debug_assert!(is_token(name), "a header field's name is a token: {name:?}");
        let value = if value.contains(is_unsafe) {
            Cow::Owned(value.chars().filter(|char| !is_unsafe(*char)).collect())
        } else {
            value
        };
        self.headers.push((name, value));
    }
}

/// The reason phrase of a status code (RFC 9110 §15, RFC 6585); empty if it is none of ours.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

fn has_content(status: u16) -> bool {
    status >= 200 && status != 204 && status != 304
}

fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_unsafe(char: char) -> bool {
    char.is_ascii_control() && char != '\t'
}

fn push_all(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Exchange = Exchange { head_only: false, keep_alive: true, http_10: false };

    fn check(response: &Response, exchange: Exchange, date: Option<&str>, expect: &str) {
        let mut out = b"before".to_vec();
        response.encode(&mut out, exchange, date);
        assert_eq!(String::from_utf8(out).unwrap(), format!("before{expect}"));
    }

    #[test]
    fn a_response_says_what_its_exchange_needs() {
        let response = Response::json(200, "[]");
        let start = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let length = "Content-Length: 2\r\n";
        check(&response, OPEN, None, &format!("{start}{length}\r\n[]"));
        check(&response, OPEN, Some("now"), &format!("{start}Date: now\r\n{length}\r\n[]"));
        let close = "Connection: close\r\n";
        check(&response, Exchange::LAST, None, &format!("{start}{length}{close}\r\n[]"));
        let stay = "Connection: keep-alive\r\n";
        let exchange = Exchange { http_10: true, ..OPEN };
        check(&response, exchange, None, &format!("{start}{length}{stay}\r\n[]"));
        let exchange = Exchange { http_10: true, ..Exchange::LAST };
        check(&response, exchange, None, &format!("{start}{length}{close}\r\n[]"));
    }

    /// RFC 9110 §8.6, §9.3.2.
    #[test]
    fn a_response_to_head_has_the_length_and_not_the_body() {
        let expect = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n\
                      Content-Length: 5\r\n\r\n";
        let exchange = Exchange { head_only: true, ..OPEN };
        check(&Response::text(404, "gone!"), exchange, None, expect);
    }

    /// RFC 9110 §8.6.
    #[test]
    fn some_statuses_have_no_content() {
        check(&Response::new(204), OPEN, None, "HTTP/1.1 204 No Content\r\n\r\n");
        check(&Response::new(304), OPEN, None, "HTTP/1.1 304 Not Modified\r\n\r\n");
        check(&Response::new(200), OPEN, None, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let switching = Response::new(101).header("Connection", "Upgrade");
        let expect = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n";
        check(&switching, Exchange::LAST, None, expect);
    }

    #[test]
    fn a_value_cannot_begin_another_line() {
        let response = Response::new(204).header("X", "a\r\nSet-Cookie: b\0\n\x7f\tc é".to_owned());
        assert_eq!(response.header_value("x"), Some("aSet-Cookie: b\tc é"));
        let expect = "HTTP/1.1 204 No Content\r\nX: aSet-Cookie: b\tc é\r\n\r\n";
        check(&response, OPEN, None, expect);
    }

    #[test]
    fn refusals_carry_their_headers() {
        let problem = Problem::new(401, "token_missing", "Authentication is required.");
        assert_eq!(Response::problem(&problem).header_value("WWW-Authenticate"), Some("Bearer"));
        let problem = Problem::new(429, "rate_limited", "Too many.");
        let response = Response::problem(&problem).retry_after(7);
        assert_eq!(response.header_value("Retry-After"), Some("7"));
        assert_eq!(response.header_value("Content-Type"), Some("application/problem+json"));
        assert_eq!(response.header_value("WWW-Authenticate"), None);
        assert_eq!(Response::new(405).allow("GET, HEAD").header_value("allow"), Some("GET, HEAD"));
    }

    #[test]
    fn every_refusal_has_a_reason_phrase() {
        for status in [400, 413, 414, 417, 431, 501, 505] {
            assert_ne!(reason_phrase(status), "");
        }
        assert_eq!(reason_phrase(299), "");
    }
}
