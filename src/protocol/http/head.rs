//! The head of a request: request line and header fields, checked once, then looked up.

use std::borrow::Cow;
use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::target::{self, Parts};
use super::{Limits, RequestError, host};

/// A head that passed every check that needs no body. It borrows the receive buffer, or owns its
/// bytes where they came in pieces.
///
/// Text from the peer: methods, names and targets are ASCII; field values are any bytes but
/// control characters (RFC 9110 §5.5). `Debug` shows no field and no token, because both may be
/// secrets.
#[derive(Clone)]
pub struct Head<'a> {
    bytes: Cow<'a, [u8]>,
    method: Range<usize>,
    target: Range<usize>,
    parts: Parts,
    version: Version,
    fields: Vec<Field>,
}

/// The versions spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: closes after a response unless asked to stay.
    Http10,
    /// HTTP/1.1: stays unless asked to close.
    Http11,
}

/// What of a request decides how its response is written. Small, so that it can wait with the
/// connection while a worker makes the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// True exactly when the method is `HEAD`: no body follows the head.
    pub head_only: bool,
    /// True exactly when the connection stays open after the response.
    pub keep_alive: bool,
    /// True exactly when the client spoke HTTP/1.0, to which staying open must be said.
    pub http_10: bool,
}

impl Exchange {
    /// After a request that could not be read: the response is the last.
    pub const LAST: Self = Self { head_only: false, keep_alive: false, http_10: false };
}

/// Where a field stands in `Head::bytes`.
#[derive(Clone, Debug)]
struct Field {
    name: Range<u32>,
    value: Range<u32>,
}

impl<'a> Head<'a> {
    /// Parses a head that ends in its empty line.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the request line, the fields or `Host`; framing is checked by
    /// [`Framing`](super::framing::Framing).
    pub(super) fn parse(bytes: Cow<'a, [u8]>, limits: &Limits) -> Result<Self, RequestError> {
        let mut fields = [const { MaybeUninit::uninit() }; Limits::HEADERS_MAX];
        let fields = &mut fields[..limits.headers.min(Limits::HEADERS_MAX)];
        let mut parsed = httparse::Request::new(&mut []);
        let complete = match parsed.parse_with_uninit_headers(&bytes, fields) {
            Ok(httparse::Status::Complete(len)) => len == bytes.len(),
            Ok(httparse::Status::Partial) => false,
            Err(error) => return Err(refusal(error, &bytes)),
        };
        let (true, Some(method), Some(target), Some(version)) =
            (complete, parsed.method, parsed.path, parsed.version)
        else {
            return Err(RequestError::BadRequestLine);
        };
        if target.len() > limits.target_bytes {
            return Err(RequestError::TargetTooLong);
        }
        let parts = target::split(target, method)?;
        let place = |part: &[u8]| {
            let start = part.as_ptr().addr() - bytes.as_ptr().addr();
            start..start + part.len()
        };
        let place_of = |part: &[u8]| {
            let place = place(part);
            place.start as u32..place.end as u32
        };
        let fields = parsed.headers.iter().map(|field| Field {
            name: place_of(field.name.as_bytes()),
            // An empty value may point behind its line; its place says nothing.
            value: if field.value.is_empty() { 0..0 } else { place_of(field.value) },
        });
        let fields = fields.collect();
        let (method, target) = (place(method.as_bytes()), place(target.as_bytes()));
        let version = if version == 0 { Version::Http10 } else { Version::Http11 };
        let head = Self { bytes, method, target, parts, version, fields };
        head.check_host()?;
        Ok(head)
    }

    /// The method, case-sensitive (RFC 9110 §9.1).
    pub fn method(&self) -> &str {
        self.ascii(self.method.clone())
    }

    /// The request target as it was sent. For logs, see [`target::redacted`].
    pub fn target(&self) -> &str {
        self.ascii(self.target.clone())
    }

    /// The path, not decoded: begins with `/`, or is `*`.
    pub fn path(&self) -> &str {
        let path = self.part(&self.parts.path);
        if path.is_empty() { "/" } else { path }
    }

    /// What stands behind the `?`, not decoded.
    pub fn query(&self) -> Option<&str> {
        self.parts.query.as_ref().map(|query| self.part(query))
    }

    /// The value of the query's first parameter of that name, decoded.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        target::query_value(self.query()?, name)
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whom the request is for, with the port if given: the authority of an absolute-form target,
    /// which overrules `Host` (RFC 9112 §3.2.2), else `Host`. `None` only in HTTP/1.0.
    pub fn host(&self) -> Option<&str> {
        match &self.parts.authority {
            Some(authority) => Some(self.part(authority)),
            None => self.header("host"),
        }
    }

    /// The value of the first field of that name, case-insensitive, without the whitespace around
    /// it. `None` if there is none or it is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.raw_values(name).next().and_then(|value| str::from_utf8(value).ok())
    }

    /// The values of all fields of that name in order; those that are not UTF-8 are left out.
    pub fn values<'h>(&'h self, name: &str) -> impl DoubleEndedIterator<Item = &'h str> {
        self.raw_values(name).filter_map(|value| str::from_utf8(value).ok())
    }

    /// All fields in order: name as sent, value as bytes.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| (self.name(field), self.value(field)))
    }

    /// True exactly when a comma-separated list field (all its lines together, RFC 9110 §5.3)
    /// has that token, case-insensitive.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.raw_values(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The media type of the body without parameters, as sent: compare it case-insensitively.
    pub fn media_type(&self) -> Option<&str> {
        let value = self.header("content-type")?;
        Some(value.split_once(';').map_or(value, |(media_type, _)| media_type).trim())
    }

    /// True exactly when the connection may stay open after the response (RFC 9112 §9.3).
    pub fn keep_alive(&self) -> bool {
        match self.version {
            _ if self.has_token("connection", "close") => false,
            Version::Http10 => self.has_token("connection", "keep-alive"),
            Version::Http11 => true,
        }
    }

    /// True exactly when the request asks to speak WebSocket from here on (RFC 6455 §4.2.1). In
    /// HTTP/1.0 nothing can be asked so (RFC 9110 §7.8).
    pub fn wants_websocket(&self) -> bool {
        self.version == Version::Http11
            && self.has_token("connection", "upgrade")
            && self.has_token("upgrade", "websocket")
    }

    /// How the response to this request is to be written.
    pub fn exchange(&self) -> Exchange {
        Exchange {
            head_only: self.method() == "HEAD",
            keep_alive: self.keep_alive(),
            http_10: self.version == Version::Http10,
        }
    }

    /// The values of all fields of that name, as bytes.
    pub(super) fn raw_values<'h>(
        &'h self,
        name: &str,
    ) -> impl DoubleEndedIterator<Item = &'h [u8]> {
        // A handshake looks up ten names: they are compared as bytes, and only what is found is looked at.
        let is_named =
            move |field: &&Field| self.name_bytes(field).eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(is_named).map(|field| self.value(field))
    }

    pub(super) fn into_owned(self) -> Head<'static> {
        let Self { bytes, method, target, parts, version, fields } = self;
        Head { bytes: Cow::Owned(bytes.into_owned()), method, target, parts, version, fields }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// One `Host` in HTTP/1.1, at most one in HTTP/1.0, and well-formed (RFC 9112 §3.2). Two that
    /// differ are how a request for one site is let in as one for another.
    fn check_host(&self) -> Result<(), RequestError> {
        let mut values = self.raw_values("host");
        let (first, second) = (values.next(), values.next());
        let required = self.version == Version::Http11;
        let fine = match first {
            None => !required,
            Some(value) => second.is_none() && host::is_authority(value),
        };
        let authority = self.parts.authority.as_ref().map(|authority| self.part(authority));
        if fine && authority.is_none_or(|authority| host::is_authority(authority.as_bytes())) {
            Ok(())
        } else {
            Err(RequestError::BadHost)
        }
    }

    /// A part of the target; nothing else of it is looked at, for a token in the query is long.
    fn part(&self, place: &Range<usize>) -> &str {
        self.ascii(self.target.start + place.start..self.target.start + place.end)
    }

    fn ascii(&self, place: Range<usize>) -> &str {
        str::from_utf8(&self.bytes[place]).expect("httparse hands these parts out as str")
    }

    fn name(&self, field: &Field) -> &str {
        self.ascii(field.name.start as usize..field.name.end as usize)
    }

    fn name_bytes(&self, field: &Field) -> &[u8] {
        &self.bytes[field.name.start as usize..field.name.end as usize]
    }

    fn value(&self, field: &Field) -> &[u8] {
        &self.bytes[field.value.start as usize..field.value.end as usize]
    }
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("method", &self.method())
            .field("target", &target::redacted(self.target()))
            .field("version", &self.version)
            .field("fields", &self.fields.len())
            .finish_non_exhaustive()
    }
}

/// httparse's word for it in ours. What is no token of the grammar is a bad request line, unless
/// a version is what is wrong and it has the form of one (RFC 9112 §2.3).
fn refusal(error: httparse::Error, bytes: &[u8]) -> RequestError {
    match error {
        httparse::Error::TooManyHeaders => RequestError::TooManyHeaders,
        httparse::Error::Version if names_a_version(bytes) => RequestError::VersionNotSupported,
        httparse::Error::Version | httparse::Error::Token | httparse::Error::Status => {
            RequestError::BadRequestLine
        }
        httparse::Error::HeaderName | httparse::Error::HeaderValue | httparse::Error::NewLine => {
            RequestError::BadHeader
        }
    }
}

/// True exactly when the request line has three parts, the last of which is `HTTP/` digit `.`
/// digit.
fn names_a_version(bytes: &[u8]) -> bool {
    let line = bytes.trim_ascii_start().split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|byte| *byte == b' ');
    let (version, more) = (parts.nth(2), parts.next());
    more.is_none()
        && matches!(version, Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<Head<'_>, RequestError> {
        Head::parse(Cow::Borrowed(head.as_bytes()), &Limits::default())
    }

    fn check_refused(head: &str, expect: RequestError) {
        assert_eq!(parse(head).map(|head| head.target().to_owned()), Err(expect), "{head:?}");
    }

    #[test]
    fn a_head_is_looked_up_by_name_whatever_the_case() {
        let head = parse(
            "POST /a/b?token=t&x=%20 HTTP/1.1\r\nhOST: example.com:80\r\nX-A:  one \t\r\nEmpty:\r\n\
             x-a: two\r\nContent-Type: Application/JSON; charset=utf-8\r\n\r\n",
        );
        let head = head.unwrap();
        assert_eq!((head.method(), head.path()), ("POST", "/a/b"));
        assert_eq!(head.query(), Some("token=t&x=%20"));
        assert_eq!(head.query_value("x").as_deref(), Some(" "));
        assert_eq!(head.version(), Version::Http11);
        assert_eq!(head.host(), Some("example.com:80"));
        assert_eq!(head.header("X-a"), Some("one"));
        assert_eq!(head.header("empty"), Some(""));
        assert_eq!(head.values("x-A").collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(head.media_type(), Some("Application/JSON"));
        assert_eq!(head.header("none"), None);
        assert_eq!(head.fields().count(), 5);
        assert_eq!(head.fields().next(), Some(("hOST", b"example.com:80".as_slice())));
    }

    #[test]
    fn values_that_are_not_utf8_are_bytes() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX-City: Orl\xe9ans\r\n\r\n";
        let head = Head::parse(Cow::Borrowed(bytes), &Limits::default()).unwrap();
        assert_eq!(head.header("x-city"), None);
        assert_eq!(head.fields().nth(1), Some(("X-City", b"Orl\xe9ans".as_slice())));
    }

    /// RFC 9112 §3.2.2.
    #[test]
    fn the_authority_of_an_absolute_target_overrules_host() {
        let head = parse("GET http://real:81?q HTTP/1.1\r\nHost: other\r\n\r\n").unwrap();
        assert_eq!((head.host(), head.path(), head.query()), (Some("real:81"), "/", Some("q")));
        check_refused("GET http://real/ HTTP/1.1\r\n\r\n", RequestError::BadHost);
        check_refused("GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n", RequestError::BadHost);
    }

    /// RFC 9112 §3.2.
    #[test]
    fn host_is_given_once_in_http_1_1() {
        check_refused("GET / HTTP/1.1\r\n\r\n", RequestError::BadHost);
        check_refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", RequestError::BadHost);
        check_refused("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", RequestError::BadHost);
        for host in ["a b", "a/b", "u@a", "a,b", "a\tb", "a\\b", "a?b", "a#b"] {
            check_refused(
                &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
                RequestError::BadHost,
            );
        }
        assert_eq!(parse("GET / HTTP/1.0\r\n\r\n").unwrap().host(), None);
        assert_eq!(parse("GET / HTTP/1.1\r\nHost:\r\n\r\n").unwrap().host(), Some(""));
        let head = parse("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n").unwrap();
        assert_eq!(head.host(), Some("[::1]:80"));
    }

    /// RFC 9112 §3, §2.3.
    #[test]
    fn a_malformed_request_line_is_refused() {
        for line in [
            "",
            "GET",
            "GET /",
            "GET / ",
            "GET  / HTTP/1.1",
            "GET /  HTTP/1.1",
            "GET / HTTP/1.1 ",
            " GET / HTTP/1.1",
            "G@T / HTTP/1.1",
            "G(T / HTTP/1.1",
            "G\tT / HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "GET / http/1.1",
            "GET / HTTP/1",
            "GET / HTTP/1.10",
            "GET / HTTP/11",
            "GET / HTTPS/1.1",
            "GET /\0 HTTP/1.1",
            "GET /\rx HTTP/1.1",
            "GET / HTTP/1.1\rx",
        ] {
            let error = parse(&format!("{line}\r\nHost: a\r\n\r\n")).map(|_| ()).unwrap_err();
            assert_eq!(error.status(), 400, "{line:?} {error:?}");
        }
        for version in ["2.0", "0.9", "3.0", "1.2"] {
            let head = format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n");
            check_refused(&head, RequestError::VersionNotSupported);
        }
        check_refused("PRI * HTTP/2.0\r\n\r\n", RequestError::VersionNotSupported);
        check_refused("GET é HTTP/1.1\r\nHost: a\r\n\r\n", RequestError::BadTarget);
    }

    /// RFC 9112 §5.1 (no whitespace before the colon), §5.2 (obs-fold), §2.2 (whitespace before
    /// the first field, bare CR), RFC 9110 §5.5 (control characters).
    #[test]
    fn a_malformed_header_field_is_refused() {
        for fields in [
            "Host: a\r\nX : b",
            "Host: a\r\nX\t: b",
            "Host : a",
            "Host: a\r\nX: b\r\n c",
            "Host: a\r\nX: b\r\n\tc",
            "Host: a\r\nX:\r\n c",
            " Host: a",
            "\tHost: a",
            " \r\nHost: a",
            "Host: a\r\nX: b\rc",
            "Host: a\r\nX\r: b",
            "Host: a\r\nX: b\r",
            "Host: a\r\nX: b\0c",
            "Host: a\r\nX: b\x0bc",
            "Host: a\r\nX: b\x7fc",
            "Host: a\r\n: b",
            "Host: a\r\nX",
            "Host: a\r\nX;: b",
            "Host: a\r\nX\0: b",
            "Host: a\r\nXé: b",
            "Host: a\r\n\r",
        ] {
            check_refused(&format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n"), RequestError::BadHeader);
        }
    }

    #[test]
    fn limits_of_a_head_hold_to_the_one() {
        let limits = Limits { headers: 3, target_bytes: 5, ..Limits::default() };
        let check = |target: &str, fields: usize, expect: Result<(), RequestError>| {
            let head = format!(
                "GET {target} HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "X: y\r\n".repeat(fields - 1)
            );
            let parsed = Head::parse(Cow::Borrowed(head.as_bytes()), &limits).map(|_| ());
            assert_eq!(parsed, expect, "{target} with {fields} fields");
        };
        check("/aaaa", 3, Ok(()));
        check("/aaaaa", 3, Err(RequestError::TargetTooLong));
        check("/aaaa", 4, Err(RequestError::TooManyHeaders));
    }

    /// RFC 9112 §9.3.
    #[test]
    fn a_connection_stays_open_as_its_version_and_options_say() {
        for (version, connection, expect) in [
            ("1.1", "", true),
            ("1.1", "close", false),
            ("1.1", "CLOSE", false),
            ("1.1", "keep-alive, Close", false),
            ("1.1", "closed", true),
            ("1.0", "", false),
            ("1.0", "Keep-Alive", true),
            ("1.0", "keep-alive, close", false),
        ] {
            let head =
                format!("HEAD / HTTP/{version}\r\nHost: a\r\nConnection: {connection}\r\n\r\n");
            let exchange = parse(&head).unwrap().exchange();
            let http_10 = version == "1.0";
            assert_eq!(exchange, Exchange { head_only: true, keep_alive: expect, http_10 });
        }
    }

    #[test]
    fn a_head_can_be_shown_without_its_secrets() {
        let head = "GET /?token=s3cret HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cret\r\n\r\n";
        let shown = format!("{:?}", parse(head).unwrap());
        assert!(shown.contains("token=[redacted]") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn an_upgrade_to_websocket_needs_both_fields() {
        let wants = |fields: &str| {
            parse(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"))
                .unwrap()
                .wants_websocket()
        };
        assert!(wants("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket"));
        assert!(wants("Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: h2c, websocket"));
        assert!(!wants("Upgrade: websocket"));
        assert!(!wants("Connection: upgrade"));
        assert!(!wants("Connection: upgrade\r\nUpgrade: h2c"));
        let old = "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert!(!parse(old).unwrap().wants_websocket());
    }
}
