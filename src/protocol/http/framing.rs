//! How long a request's body is: the one question on which two parsers must never differ.

use super::{Head, Limits, RequestError, Version};

/// The framing of a body (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// No body, or an empty one.
    Empty,
    /// That many bytes, at least one and at most the limit.
    Length(usize),
    /// Chunks (RFC 9112 §7.1).
    Chunked,
}

impl Framing {
    /// Reads `Content-Length` and `Transfer-Encoding`.
    ///
    /// # Errors
    ///
    /// Everything that RFC 9112 §6.1 to §6.3 calls faulty, and everything that it lets a server
    /// repair: both fields at once (§6.1), `Content-Length` repeated or as a list even of equal
    /// values, or not just digits (§6.2, §6.3 rule 5), a transfer coding in HTTP/1.0 (§6.1), other
    /// codings than `chunked` (501 if it ends in `chunked`, else 400: §6.1, §6.3 rule 4), and a
    /// length beyond the limit.
    pub(super) fn of(head: &Head<'_>, limits: &Limits) -> Result<Self, RequestError> {
        let mut lengths = head.raw_values("content-length");
        let (length, another_length) = (lengths.next(), lengths.next());
        match (length, has_coding(head)) {
            (Some(_), true) => Err(RequestError::LengthConflict),
            (Some(_), false) if another_length.is_some() => Err(RequestError::BadContentLength),
            (Some(value), false) => match content_length(value)? {
                0 => Ok(Self::Empty),
                length if length > limits.body_bytes => Err(RequestError::BodyTooLarge),
                length => Ok(Self::Length(length)),
            },
            (None, false) => Ok(Self::Empty),
            (None, true) if head.version() == Version::Http10 => {
                Err(RequestError::BadTransferEncoding)
            }
            (None, true) => transfer_coding(head),
        }
    }
}

fn has_coding(head: &Head<'_>) -> bool {
    head.raw_values("transfer-encoding").next().is_some()
}

/// All lines of `Transfer-Encoding` are one list (RFC 9110 §5.3); `chunked` ends it, once.
fn transfer_coding(head: &Head<'_>) -> Result<Framing, RequestError> {
    let (mut codings, mut chunked, mut ends_chunked) = (0, 0, false);
    for line in head.raw_values("transfer-encoding") {
        for coding in line.split(|byte| *byte == b',') {
            ends_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
            chunked += usize::from(ends_chunked);
            codings += 1;
        }
    }
    match (ends_chunked, chunked, codings) {
        (true, 1, 1) => Ok(Framing::Chunked),
        (true, 1, _) => Err(RequestError::UnsupportedTransferEncoding),
        _ => Err(RequestError::BadTransferEncoding),
    }
}

/// `1*DIGIT` and nothing else. A number beyond `usize` is a number, and too large.
fn content_length(value: &[u8]) -> Result<usize, RequestError> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(RequestError::BadContentLength);
    }
    value
        .iter()
        .try_fold(0usize, |length, digit| {
            length.checked_mul(10)?.checked_add(usize::from(digit - b'0'))
        })
        .ok_or(RequestError::BodyTooLarge)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn check(version: &str, fields: &str, expect: Result<Framing, RequestError>) {
        let limits = Limits { body_bytes: 1000, ..Limits::default() };
        let head = format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        let head = Head::parse(Cow::Borrowed(head.as_bytes()), &limits).unwrap();
        assert_eq!(Framing::of(&head, &limits), expect, "{fields:?}");
    }

    /// RFC 9112 §6.2 and §6.3 rules 6 and 7.
    #[test]
    fn a_length_is_one_decimal_number() {
        check("1.1", "", Ok(Framing::Empty));
        check("1.1", "Content-Length: 0\r\n", Ok(Framing::Empty));
        check("1.1", "content-length:5\r\n", Ok(Framing::Length(5)));
        check("1.0", "Content-Length:\t 005 \r\n", Ok(Framing::Length(5)));
        check("1.1", "Content-Length: 1000\r\n", Ok(Framing::Length(1000)));
        for value in
            ["", "+5", "-5", "5 5", "5;", "0x5", "5a", "a", "5.0", "5e1", "\"5\"", "5_0", "\u{665}"]
        {
            let fields = format!("Content-Length: {value}\r\n");
            check("1.1", &fields, Err(RequestError::BadContentLength));
        }
    }

    /// RFC 9112 §6.3 rule 5: even a list of equal values is refused.
    #[test]
    fn a_repeated_length_is_refused() {
        for fields in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5\r\ncontent-length: 5\r\n",
            "Content-Length: 5, 6\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: 5,\r\n",
        ] {
            check("1.1", fields, Err(RequestError::BadContentLength));
        }
    }

    /// RFC 9110 §15.5.14; a number beyond any integer is only larger.
    #[test]
    fn a_length_beyond_the_limit_is_too_large() {
        for value in ["1001", "18446744073709551616", "18446744073709551621", &"9".repeat(400)] {
            let fields = format!("Content-Length: {value}\r\n");
            check("1.1", &fields, Err(RequestError::BodyTooLarge));
        }
    }

    /// RFC 9112 §6.1 and §6.3 rule 3.
    #[test]
    fn a_length_and_a_transfer_coding_exclude_each_other() {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
            "Transfer-Encoding:\r\nContent-Length: 5\r\n",
        ] {
            check("1.1", fields, Err(RequestError::LengthConflict));
            check("1.0", fields, Err(RequestError::LengthConflict));
        }
    }

    /// RFC 9112 §6.1 and §6.3 rule 4.
    #[test]
    fn the_only_transfer_coding_is_chunked() {
        check("1.1", "Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked));
        check("1.1", "transfer-encoding:Chunked \r\n", Ok(Framing::Chunked));
        for fields in [
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: ,chunked\r\n",
        ] {
            check("1.1", fields, Err(RequestError::UnsupportedTransferEncoding));
        }
        for value in [
            "",
            "gzip",
            "identity",
            "xchunked",
            "chunked,",
            "chunked, gzip",
            "chunked, chunked",
            "chunked;a=b",
            "\"chunked\"",
            "chunked chunked",
            "chunked\r\nTransfer-Encoding: chunked",
            "chunked\r\nTransfer-Encoding: identity",
        ] {
            let fields = format!("Transfer-Encoding: {value}\r\n");
            check("1.1", &fields, Err(RequestError::BadTransferEncoding));
        }
    }

    /// RFC 9112 §6.1: HTTP/1.0 has no transfer codings.
    #[test]
    fn a_transfer_coding_in_http_1_0_is_refused() {
        check("1.0", "Transfer-Encoding: chunked\r\n", Err(RequestError::BadTransferEncoding));
    }
}
