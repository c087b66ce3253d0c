//! UTF-8 that comes in pieces.
//!
//! RFC 6455 §8.1 makes invalid UTF-8 fatal, and §5.6 lets a fragment end in the middle of a character. [`TextBuffer`]
//! validates each byte once, when it arrives: what is valid grows as a `String`, so that the finished text needs no
//! second look, and at most three bytes of a cut character wait beside it. A byte that can no longer become UTF-8 is
//! refused at once, however much of its frame is still to come.

use super::ProtocolError::{self, InvalidUtf8};

/// A text that is still coming in. Grows with what arrived, never with what was announced.
#[derive(Debug, Default)]
pub(super) struct TextBuffer {
    text: String,
    /// The first `cut_len` bytes are the beginning of a character whose end has not come; room for its last byte.
    cut: [u8; 4],
    cut_len: usize,
}

impl TextBuffer {
    /// Bytes that arrived so far.
    pub(super) fn byte_len(&self) -> usize {
        self.text.len() + self.cut_len
    }

    /// Appends what arrived. `Err(InvalidUtf8)` as soon as no continuation could make the bytes valid; the buffer is
    /// of no use then.
    pub(super) fn push(&mut self, mut chunk: &[u8]) -> Result<(), ProtocolError> {
        while self.cut_len > 0 {
            let Some((&byte, rest)) = chunk.split_first() else { return Ok(()) };
            chunk = rest;
            self.cut[self.cut_len] = byte;
            self.cut_len += 1;
            if let Some(character) = valid_or_cut(&self.cut[..self.cut_len])? {
                self.text.push_str(character);
                self.cut_len = 0;
            }
        }
        let (whole, tail) = chunk.split_at(chunk.len() - cut_character_len(chunk));
        self.text.push_str(simdutf8::basic::from_utf8(whole).map_err(|_| InvalidUtf8)?);
        if !tail.is_empty() {
            valid_or_cut(tail)?;
            self.cut[..tail.len()].copy_from_slice(tail);
            self.cut_len = tail.len();
        }
        Ok(())
    }

    /// The whole text. `Err(InvalidUtf8)` if it ends within a character.
    pub(super) fn finish(self) -> Result<String, ProtocolError> {
        if self.cut_len == 0 { Ok(self.text) } else { Err(InvalidUtf8) }
    }
}

/// `bytes` as text; `None` if they are the beginning of a character.
fn valid_or_cut(bytes: &[u8]) -> Result<Option<&str>, ProtocolError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.error_len().is_none() => Ok(None),
        Err(_) => Err(InvalidUtf8),
    }
}

/// How many bytes at the end of `bytes`, 0 to 3, are a character's lead and fewer continuations than it calls for.
fn cut_character_len(bytes: &[u8]) -> usize {
    for (behind, byte) in bytes.iter().rev().take(3).enumerate() {
        let called_for = match byte {
            0x80..=0xBF => continue,
            0x00..=0x7F => 1,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
        };
        return if called_for > behind + 1 { behind + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<String, ProtocolError> {
        let mut buffer = TextBuffer::default();
        for piece in pieces {
            buffer.push(piece)?;
        }
        buffer.finish()
    }

    /// How many bytes of `bytes`, given one at a time, are taken before one is refused.
    fn taken(bytes: &[u8]) -> usize {
        let mut buffer = TextBuffer::default();
        bytes.iter().take_while(|byte| buffer.push(std::slice::from_ref(byte)).is_ok()).count()
    }

    #[test]
    fn a_byte_that_cannot_become_utf8_is_refused_at_once() {
        assert_eq!(taken(b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80"), 6, "beyond U+10FFFF");
        assert_eq!(taken(b"\xed\xa0\x80"), 1, "a surrogate");
        assert_eq!(taken(b"\xc0\xaf"), 0, "overlong in two");
        assert_eq!(taken(b"\xe0\x80\xaf"), 1, "overlong in three");
        assert_eq!(taken(b"\xf0\x80\x80\xaf"), 1, "overlong in four");
        assert_eq!(taken(b"\x80"), 0, "a lone continuation");
        assert_eq!(taken(b"\xff"), 0, "no lead at all");
        assert_eq!(taken(b"\xf0\x9f\x98\x80"), 4, "a whole emoji");
    }

    #[test]
    fn a_text_that_ends_within_a_character_is_refused_at_the_end() {
        for cut in 1..4 {
            let emoji = &"😀".as_bytes()[..cut];
            assert_eq!(in_pieces([b"a", emoji]), Err(InvalidUtf8));
            assert_eq!(in_pieces([b"a", emoji, b""]), Err(InvalidUtf8));
        }
    }

    #[test]
    fn bytes_of_a_cut_character_count() {
        let mut buffer = TextBuffer::default();
        buffer.push(b"a\xf0\x9f").unwrap();
        assert_eq!(buffer.byte_len(), 3);
        buffer.push(b"\x98\x80").unwrap();
        assert_eq!(buffer.byte_len(), 5);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn pieces_are_judged_as_std_judges_the_whole(
            text in any::<String>(),
            damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
            size in 1..9_usize,
        ) {
            let mut bytes = text.into_bytes();
            if let Some((at, byte)) = damage && !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let expect = std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| InvalidUtf8);
            prop_assert_eq!(in_pieces(bytes.chunks(size)), expect.clone());
            prop_assert_eq!(in_pieces([&bytes[..]]), expect);
        }

        #[test]
        fn a_piece_is_refused_exactly_when_std_sees_an_error_that_is_not_a_cut(
            bytes in prop::collection::vec(prop::sample::select(
                &[0x41, 0x80, 0x90, 0xa0, 0xbf, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5][..]), 0..8),
        ) {
            let mut buffer = TextBuffer::default();
            let refused = match std::str::from_utf8(&bytes) {
                Ok(_) => false,
                Err(error) => error.error_len().is_some(),
            };
            prop_assert_eq!(buffer.push(&bytes).is_err(), refused);
        }
    }
}
