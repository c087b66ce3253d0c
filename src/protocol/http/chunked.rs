//! The chunked transfer coding (RFC 9112 §7.1), decoded byte by byte across any cuts.

use super::{Limits, RequestError};

/// Sixteen hexadecimal digits hold every 64-bit size; more are padding.
const SIZE_DIGITS_MAX: u8 = 16;

/// Decodes one chunked body. Extensions and trailers are bounded and dropped (§7.1.1 and §7.1.2
/// allow both); their bytes share one bound of [`Limits::head_bytes`], so that a body of one-byte
/// chunks cannot carry megabytes of extensions.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunked {
    state: State,
    /// Of the size being read, then of the chunk that is left.
    size: usize,
    overhead_bytes: usize,
}

/// What the next byte is. Every line ends in CRLF: a CR is always followed by its LF, and an LF
/// alone is refused (§2.2 allows it in heads only).
///
/// ```text
/// Size -> [BeforeExtension | Extension] -> SizeEnd -> Data -> DataCr -> DataLf -> Size
///                                             | size 0
///                                             v
///                               [TrailerStart -> Trailer -> TrailerEnd]* -> Last -> Done
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A digit of the size, of which there were this many.
    Size(u8),
    /// Whitespace between size and `;` ("bad" whitespace, which §7.1.1 makes us accept).
    BeforeExtension,
    /// Inside an extension.
    Extension,
    /// The LF behind a size line.
    SizeEnd,
    /// Content.
    Data,
    /// The CR behind content.
    DataCr,
    /// The LF behind content.
    DataLf,
    /// The first byte of a trailer field, or the CR of the empty line.
    TrailerStart,
    /// Inside a trailer field.
    Trailer,
    /// The LF behind a trailer field.
    TrailerEnd,
    /// The LF of the empty line.
    Last,
    /// Nothing: the body is complete.
    #[default]
    Done,
}

impl Chunked {
    /// At the start of a body.
    pub(super) fn new() -> Self {
        Self { state: State::Size(0), size: 0, overhead_bytes: 0 }
    }

    /// Appends the content in `buf` from `*pos` on to `body` and moves `*pos` behind what was
    /// read: to the end of `buf`, or just behind the body. True exactly when it is complete.
    ///
    /// # Errors
    ///
    /// `BadChunk`, `ChunkOverhead`, or `BodyTooLarge` as soon as a size line says so.
    pub(super) fn decode(
        &mut self,
        buf: &[u8],
        pos: &mut usize,
        body: &mut Vec<u8>,
        limits: &Limits,
    ) -> Result<bool, RequestError> {
        while self.state != State::Done && *pos < buf.len() {
            if self.state == State::Data {
                let len = self.size.min(buf.len() - *pos);
                body.extend_from_slice(&buf[*pos..*pos + len]);
                *pos += len;
                self.size -= len;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.state = self.on_byte(buf[*pos])?;
                *pos += 1;
                if self.state == State::Data
                    && self.size > limits.body_bytes.saturating_sub(body.len())
                {
                    return Err(RequestError::BodyTooLarge);
                }
                if self.overhead_bytes > limits.head_bytes {
                    return Err(RequestError::ChunkOverhead);
                }
            }
        }
        Ok(self.state == State::Done)
    }

    fn on_byte(&mut self, byte: u8) -> Result<State, RequestError> {
        match (self.state, byte) {
            (State::Size(digits), _) if byte.is_ascii_hexdigit() => self.on_digit(digits, byte),
            (State::Size(1..) | State::BeforeExtension, b';') => Ok(State::Extension),
            (State::Size(1..) | State::BeforeExtension, b' ' | b'\t') => {
                self.overhead_bytes += 1;
                Ok(State::BeforeExtension)
            }
            (State::Size(1..) | State::Extension, b'\r') => Ok(State::SizeEnd),
            (State::Extension, _) if is_text(byte) => {
                self.overhead_bytes += 1;
                Ok(State::Extension)
            }
            (State::SizeEnd, b'\n') if self.size == 0 => Ok(State::TrailerStart),
            (State::SizeEnd, b'\n') => Ok(State::Data),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size(0)),
            (State::TrailerStart, b'\r') => Ok(State::Last),
            (State::TrailerStart, _) if is_text(byte) && !matches!(byte, b' ' | b'\t') => {
                self.overhead_bytes += 1;
                Ok(State::Trailer)
            }
            (State::Trailer, b'\r') => Ok(State::TrailerEnd),
            (State::Trailer, _) if is_text(byte) => {
                self.overhead_bytes += 1;
                Ok(State::Trailer)
            }
            (State::TrailerEnd, b'\n') => Ok(State::TrailerStart),
            (State::Last, b'\n') => Ok(State::Done),
            _ => Err(RequestError::BadChunk),
        }
    }

    /// Hexadecimal digits only: no sign, no `0x`, no underscore.
    fn on_digit(&mut self, digits: u8, byte: u8) -> Result<State, RequestError> {
        if digits == SIZE_DIGITS_MAX {
            return Err(RequestError::BadChunk);
        }
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            _ => (byte | 0x20) - b'a' + 10,
        };
        // The chunk before left 0 here, and 16 digits fit 64 bits; a smaller `usize` saturates,
        // which is beyond every limit.
        self.size = self.size.saturating_mul(16).saturating_add(usize::from(digit));
        Ok(State::Size(digits + 1))
    }
}

/// What may stand in a line: no control character but the tab (RFC 9110 §5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { head_bytes: 32, headers: 1, target_bytes: 1, body_bytes: 20 };

    /// Decodes whole, then byte by byte; both must agree. Gives the body and what is left.
    fn decode(input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, RequestError> {
        let run = |step: usize| {
            let (mut chunked, mut body, mut total) = (Chunked::new(), Vec::new(), 0);
            for part in input.chunks(step) {
                let mut pos = 0;
                let done = chunked.decode(part, &mut pos, &mut body, &LIMITS)?;
                total += pos;
                if done {
                    return Ok(Some((body, input.len() - total)));
                }
                assert_eq!(pos, part.len());
            }
            Ok(None)
        };
        let whole = run(input.len().max(1));
        assert_eq!(whole, run(1), "{:?}", input.escape_ascii().to_string());
        whole
    }

    fn check(input: &str, expect: Result<Option<(&str, usize)>, RequestError>) {
        let expect = expect.map(|done| done.map(|(body, left)| (body.as_bytes().to_vec(), left)));
        assert_eq!(decode(input.as_bytes()), expect, "{input:?}");
    }

    #[test]
    fn chunks_are_joined_and_the_end_is_exact() {
        check("0\r\n\r\n", Ok(Some(("", 0))));
        check("5\r\nhello\r\n0\r\n\r\n", Ok(Some(("hello", 0))));
        check("5\r\nhello\r\nA\r\n, world!!!\r\n0\r\n\r\nGET", Ok(Some(("hello, world!!!", 3))));
        check("00000a\r\n0123456789\r\n000\r\n\r\n0", Ok(Some(("0123456789", 1))));
        check("2\r\n\r\n\r\n0\r\n\r\n", Ok(Some(("\r\n", 0))));
        check("5\r\nhello\r\n0\r\n", Ok(None));
        check("", Ok(None));
    }

    /// RFC 9112 §7.1.1, §7.1.2.
    #[test]
    fn extensions_and_trailers_are_dropped() {
        check("2;a\r\nhi\r\n0;b=\"c\"\r\n\r\n", Ok(Some(("hi", 0))));
        check("2 \t;a=b;c\r\nhi\r\n0\r\nX: y\r\nZ: é\r\n\r\nrest", Ok(Some(("hi", 4))));
    }

    #[test]
    fn extensions_and_trailers_share_a_bound() {
        check(&format!("1;{}\r\n", "x".repeat(32)), Ok(None));
        check(&format!("1;{}\r\n", "x".repeat(33)), Err(RequestError::ChunkOverhead));
        let chunk = format!("1;{}\r\nA\r\n", "x".repeat(16));
        check(&format!("{chunk}{chunk}0\r\n\r\n"), Ok(Some(("AA", 0))));
        check(&format!("{chunk}{chunk}0\r\nX"), Err(RequestError::ChunkOverhead));
        check(&format!("1{}", " ".repeat(33)), Err(RequestError::ChunkOverhead));
        check(&format!("0\r\n{}", "X:y\r\n".repeat(11)), Err(RequestError::ChunkOverhead));
    }

    /// RFC 9112 §7.1: `chunk-size = 1*HEXDIG`, lines end in CRLF.
    #[test]
    fn a_broken_chunk_is_refused() {
        for input in [
            "\r\n",
            ";a\r\n",
            " 5\r\n",
            "\t5\r\n",
            "5 \r\n",
            "5\t\r\n",
            "+5\r\n",
            "-5\r\n",
            "0x5\r\n",
            "5_0\r\n",
            "5h\r\n",
            "g\r\n",
            "\n",
            "5\n",
            "5\rhello",
            "5\r\r\n",
            "5;a\n",
            "5;a\rb",
            "5;\0",
            "5;a\x7f",
            "5 5\r\n",
            "5,5\r\n",
            "5\r\nhello\n",
            "5\r\nhello\r\r",
            "5\r\nhello!",
            "5\r\nhello0\r\n",
            "0\r\n\n",
            "0\r\n\rX",
            "0\r\nX: y\n",
            "0\r\nX: y\rz",
            "0\r\n X: y\r\n",
            "0\r\n\tX",
            "0\r\nX\0",
            "5\r\nhello\r\n\r\n",
            "00000000000000005\r\n",
            "10000000000000000\r\n",
            "FFFFFFFFFFFFFFFFF\r\n",
        ] {
            check(input, Err(RequestError::BadChunk));
        }
    }

    #[test]
    fn a_body_is_too_large_as_soon_as_a_size_says_so() {
        check("14\r\n", Ok(None));
        check("15\r\n", Err(RequestError::BodyTooLarge));
        check("FFFFFFFFFFFFFFFF\r\n", Err(RequestError::BodyTooLarge));
        let ten = "a\r\n0123456789\r\n";
        check(&format!("{ten}{ten}"), Ok(None));
        check(&format!("{ten}{ten}1\r\n"), Err(RequestError::BodyTooLarge));
        check(&format!("{ten}b\r\n"), Err(RequestError::BodyTooLarge));
    }
}
