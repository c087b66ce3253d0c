//! The decoder of one connection: bytes in, requests out, one at a time.

use std::borrow::Cow;
use std::fmt;

use super::body::Body;
use super::framing::Framing;
use super::{Head, Limits, RequestError, Version, scan};

/// The interim response to [`Event::ExpectContinue`] (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One pointer a connection. At rest, which is between requests, it owns nothing; a request that
/// is cut keeps its bytes here until the rest comes, bounded by the [`Limits`].
///
/// ```text
///              cut               head complete            body complete
///   at rest ---------> Head -----------------------> Body ---------------> at rest
///      |                |  (at once where it is whole) |
///      +----------------+------- RequestError ---------+----------------> Refused
/// ```
#[derive(Default)]
pub struct Decoder(Option<Box<Partial>>);

/// What a connection brought.
#[derive(Debug)]
pub enum Event<'a> {
    /// A request whose client waits for [`CONTINUE`] before it sends the body: write that at once,
    /// then go on reading. Comes at most once a request, and not when a part of the body is in
    /// already (RFC 9110 §10.1.1).
    ExpectContinue,
    /// A whole request.
    Request(Request<'a>),
}

/// A request with its whole body. Both borrow the receive buffer where they lie whole in it (a
/// chunked body never does). `Debug` shows neither fields nor body.
#[derive(Clone)]
pub struct Request<'a> {
    /// Request line and header fields.
    pub head: Head<'a>,
    /// The body, empty where there is none; at most [`Limits::body_bytes`].
    pub body: Cow<'a, [u8]>,
}

/// A request of which a part is in.
enum Partial {
    /// A head without its end: at most [`Limits::head_bytes`], all of them scanned.
    Head(Vec<u8>),
    /// A head, and a body without its end.
    Body(Head<'static>, Body),
    /// Reading stopped for good.
    Refused,
}

impl Decoder {
    /// At rest.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Reads on in `buf`, the receive buffer, from `*pos` on, and moves `*pos` behind what was
    /// read. `None`: all of `buf` is read and more is needed. A request: `*pos` is just behind its
    /// last byte, so what follows is the next request, or WebSocket frames after an upgrade. A
    /// caller that cannot take another request before it answered this one stops calling and keeps
    /// the rest of `buf` itself.
    ///
    /// The cost is linear in the bytes, however they are cut, and only those of a cut request or a
    /// chunked body are copied.
    ///
    /// # Errors
    ///
    /// The request is malformed or too large. `*pos` is at the end of `buf`, and every later call
    /// takes all and gives `None`: nothing behind a broken request is believed.
    pub fn next<'a>(
        &mut self,
        buf: &'a [u8],
        pos: &mut usize,
        limits: &Limits,
    ) -> Option<Result<Event<'a>, RequestError>> {
        let event = match self.0.as_deref_mut() {
            None | Some(Partial::Head(_)) => self.read_head(buf, pos, limits),
            Some(Partial::Body(..)) => self.read_body(buf, pos, limits),
            Some(Partial::Refused) => {
                *pos = buf.len();
                Ok(None)
            }
        };
        if event.is_err() {
            *pos = buf.len();
            self.0 = Some(Box::new(Partial::Refused));
        }
        event.transpose()
    }

    /// True exactly when no request is begun: an idle connection, not a slow one.
    pub fn at_rest(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes kept of a request that is cut.
    pub fn kept_bytes(&self) -> usize {
        match self.0.as_deref() {
            None | Some(Partial::Refused) => 0,
            Some(Partial::Head(kept)) => kept.len(),
            Some(Partial::Body(head, body)) => head.len() + body.len(),
        }
    }

    fn read_head<'a>(
        &mut self,
        buf: &'a [u8],
        pos: &mut usize,
        limits: &Limits,
    ) -> Result<Option<Event<'a>>, RequestError> {
        let kept = match self.0.as_deref() {
            Some(Partial::Head(kept)) => kept.as_slice(),
            _ => &[],
        };
        let fresh = &buf[*pos..];
        let fresh = &fresh[..fresh.len().min(limits.head_bytes.saturating_sub(kept.len()))];
        if kept.is_empty() && fresh.first().is_some_and(|first| !may_begin_a_head(*first)) {
            return Err(RequestError::BadRequestLine);
        }
        let Some(end) = scan::head_end(kept, fresh)? else {
            if kept.len() + fresh.len() >= limits.head_bytes {
                return Err(scan::too_large(kept, fresh));
            }
            *pos = buf.len();
            self.keep(fresh);
            return Ok(None);
        };
        let fresh = &fresh[..end];
        *pos += end;
        let bytes = match self.0.take().map(|partial| *partial) {
            Some(Partial::Head(mut kept)) => {
                kept.extend_from_slice(fresh);
                Cow::Owned(kept)
            }
            _ => Cow::Borrowed(fresh),
        };
        let head = Head::parse(bytes, limits)?;
        let framing = Framing::of(&head, limits)?;
        let expects_continue = expects_continue(&head)?;
        match framing {
            Framing::Empty => Ok(Some(Event::Request(Request { head, body: Cow::Borrowed(&[]) }))),
            Framing::Length(length) if length <= buf.len() - *pos => {
                let body = Cow::Borrowed(&buf[*pos..*pos + length]);
                *pos += length;
                Ok(Some(Event::Request(Request { head, body })))
            }
            _ => self.begin_body(head, Body::new(framing), expects_continue, buf, pos, limits),
        }
    }

    fn begin_body<'a>(
        &mut self,
        head: Head<'a>,
        mut body: Body,
        expects_continue: bool,
        buf: &'a [u8],
        pos: &mut usize,
        limits: &Limits,
    ) -> Result<Option<Event<'a>>, RequestError> {
        let waits = expects_continue && *pos == buf.len();
        if body.read(buf, pos, limits)? {
            return Ok(Some(Event::Request(Request { head, body: Cow::Owned(body.into_bytes()) })));
        }
        self.0 = Some(Box::new(Partial::Body(head.into_owned(), body)));
        Ok(waits.then_some(Event::ExpectContinue))
    }

    fn read_body<'a>(
        &mut self,
        buf: &'a [u8],
        pos: &mut usize,
        limits: &Limits,
    ) -> Result<Option<Event<'a>>, RequestError> {
        let Some(Partial::Body(_, body)) = self.0.as_deref_mut() else { return Ok(None) };
        if !body.read(buf, pos, limits)? {
            return Ok(None);
        }
        let Some(Partial::Body(head, body)) = self.0.take().map(|partial| *partial) else {
            return Ok(None);
        };
        Ok(Some(Event::Request(Request { head, body: Cow::Owned(body.into_bytes()) })))
    }

    /// Copies a part of a head aside; nothing costs nothing.
    fn keep(&mut self, fresh: &[u8]) {
        match self.0.as_deref_mut() {
            Some(Partial::Head(kept)) => kept.extend_from_slice(fresh),
            _ if fresh.is_empty() => {}
            _ => self.0 = Some(Box::new(Partial::Head(fresh.to_vec()))),
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("at_rest", &self.at_rest())
            .field("kept_bytes", &self.kept_bytes())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("head", &self.head)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A method is a token (RFC 9110 §9.1), and empty lines may precede it. A TLS or a binary client
/// learns at its first byte that it knocked at the wrong door.
fn may_begin_a_head(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~\r\n".contains(&byte)
}

/// Whether the client waits for 100 Continue (RFC 9110 §10.1.1). HTTP/1.0 knows no expectations.
fn expects_continue(head: &Head<'_>) -> Result<bool, RequestError> {
    if head.version() == Version::Http10 {
        return Ok(false);
    }
    let mut expected = false;
    for value in head.raw_values("expect") {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(RequestError::ExpectationFailed);
        }
        expected = true;
    }
    Ok(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

    /// All that one buffer gives, as text.
    fn read(decoder: &mut Decoder, buf: &[u8], pos: &mut usize) -> Option<String> {
        decoder.next(buf, pos, &Limits::default()).map(|event| match event {
            Err(error) => format!("{error:?}"),
            Ok(Event::ExpectContinue) => "continue".to_owned(),
            Ok(Event::Request(Request { head, body })) => {
                format!("{} {} {}", head.method(), head.target(), String::from_utf8_lossy(&body))
            }
        })
    }

    fn check(parts: &[&str], expect: &[&str]) {
        let mut decoder = Decoder::new();
        let mut events = Vec::new();
        for part in parts {
            let mut pos = 0;
            while let Some(event) = read(&mut decoder, part.as_bytes(), &mut pos) {
                events.push(event);
            }
            assert_eq!(pos, part.len());
        }
        assert_eq!(events, expect, "{parts:?}");
    }

    #[test]
    fn a_decoder_at_rest_is_one_pointer() {
        assert_eq!(size_of::<Decoder>(), size_of::<usize>());
        let mut decoder = Decoder::new();
        let mut pos = 0;
        assert_eq!(read(&mut decoder, GET.as_bytes(), &mut pos).as_deref(), Some("GET /a "));
        assert!(decoder.at_rest());
        assert_eq!(read(&mut decoder, GET.as_bytes(), &mut pos), None);
        assert!(decoder.at_rest());
    }

    #[test]
    fn a_whole_request_is_not_copied() {
        let bytes = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi, more".as_slice();
        let mut pos = 0;
        let event = Decoder::new().next(bytes, &mut pos, &Limits::default());
        let Some(Ok(Event::Request(Request { head, body: Cow::Borrowed(body) }))) = event else {
            panic!("{event:?}");
        };
        assert_eq!(body, b"hi");
        assert!(bytes.as_ptr_range().contains(&head.target().as_ptr()));
        assert_eq!(&bytes[pos..], b", more");
    }

    #[test]
    fn a_cut_request_leaves_what_follows_it() {
        let bytes = format!("{GET}\u{1}\u{5}");
        for cut in 1..GET.len() {
            let (first, second) = bytes.as_bytes().split_at(cut);
            let (mut decoder, mut pos) = (Decoder::new(), 0);
            assert_eq!(read(&mut decoder, first, &mut pos), None);
            assert_eq!((pos, decoder.kept_bytes(), decoder.at_rest()), (cut, cut, false));
            pos = 0;
            assert_eq!(read(&mut decoder, second, &mut pos).as_deref(), Some("GET /a "));
            assert_eq!(&second[pos..], "\u{1}\u{5}".as_bytes());
            assert!(decoder.at_rest());
        }
    }

    #[test]
    fn requests_follow_each_other() {
        let post = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        let chunks = "PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                      3\r\nabc\r\n0\r\n\r\n";
        let all = format!("{GET}\r\n{post}\r\n\r\n{chunks}{GET}");
        let expect = ["GET /a ", "POST /b hello", "PUT /c abc", "GET /a "];
        check(&[&all], &expect);
        let bytes: Vec<_> = all.split_inclusive(|_| true).collect();
        check(&bytes, &expect);
    }

    /// RFC 9112 §2.2.
    #[test]
    fn two_empty_lines_before_a_request_are_ignored_and_a_third_is_not() {
        check(&["\r\n\r\n", GET], &["GET /a "]);
        check(&["\r", "\n", "\r\n", GET], &["GET /a "]);
        check(&["\r\n\r\n\r\n", GET], &["BadRequestLine"]);
        check(&["\r\n", "\r\n", "\r", "\n"], &["BadRequestLine"]);
    }

    #[test]
    fn nothing_behind_a_broken_request_is_believed() {
        check(&["GET / HTTP/1.1\r\nHost : a\r\n\r\n", GET, GET], &["BadHeader"]);
        check(&["GET / HTTP/1.1\n", GET], &["BareLineFeed"]);
        let broken = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\n";
        check(&[&format!("{broken}{GET}"), GET], &["BadChunk"]);
    }

    #[test]
    fn a_binary_client_is_refused_at_its_first_byte() {
        check(&["\x16\x03\x01"], &["BadRequestLine"]);
        check(&[" "], &["BadRequestLine"]);
        check(&["\0"], &["BadRequestLine"]);
    }

    #[test]
    fn a_head_is_bounded_to_the_byte() {
        let limits = Limits { head_bytes: 40, ..Limits::default() };
        let check = |head: &str, expect: Option<RequestError>| {
            for step in [1, 7, 100] {
                let mut decoder = Decoder::new();
                let mut outcome = None;
                for part in head.as_bytes().chunks(step) {
                    let mut pos = 0;
                    if let Some(event) = decoder.next(part, &mut pos, &limits) {
                        outcome = Some(event.map(|_| ()));
                        break;
                    }
                    assert!(decoder.kept_bytes() < limits.head_bytes);
                }
                assert_eq!(outcome, Some(expect.map_or(Ok(()), Err)), "{head:?} by {step}");
            }
        };
        let head = |filler: usize| {
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(filler))
        };
        assert_eq!(head(8).len(), 40);
        check(&head(8), None);
        check(&head(9), Some(RequestError::HeadTooLarge));
        check(&format!("GET /{}", "x".repeat(40)), Some(RequestError::TargetTooLong));
    }

    /// RFC 9110 §10.1.1.
    #[test]
    fn a_client_that_waits_is_told_once_to_go_on() {
        let head =
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
        check(&[head, "h", "i"], &["continue", "POST / hi"]);
        check(&[&head[..30], &head[30..], "hi"], &["continue", "POST / hi"]);
        check(&[&format!("{head}h"), "i"], &["POST / hi"]);
        check(&[&format!("{head}hi")], &["POST / hi"]);
        check(&[&head.replace("Content-Length: 2\r\n", "")], &["POST / "]);
        check(&[&head.replace("100-Continue", "200-ok")], &["ExpectationFailed"]);
        check(&[&head.replace("100-Continue", "100-continue, x")], &["ExpectationFailed"]);
        check(&[&head.replace("HTTP/1.1", "HTTP/1.0"), "hi"], &["POST / hi"]);
        check(&[&head.replace("Length: 2", "Length: 9999999")], &["BodyTooLarge"]);
        let chunked = head.replace("Content-Length: 2", "Transfer-Encoding: chunked");
        check(&[&chunked, "2\r\nhi\r\n", "0\r\n\r\n"], &["continue", "POST / hi"]);
    }

    #[test]
    fn a_body_costs_what_came_and_not_what_was_announced() {
        let mut decoder = Decoder::new();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx";
        assert_eq!(read(&mut decoder, head.as_bytes(), &mut 0), None);
        assert_eq!(decoder.kept_bytes(), head.len());
    }
}
