//! The base framing (RFC 6455 §5.2): opcodes and the header of a client's frame.

use super::ProtocolError;

/// Longest header: two bytes, a 64-bit length, a masking key.
pub const HEADER_BYTES_MAX: usize = 14;

/// Longest payload of a close, ping or pong (RFC 6455 §5.5).
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

pub(super) const FIN: u8 = 0x80;
pub(super) const MASK: u8 = 0x80;
const RSV: u8 = 0x70;

/// The second byte's length that announces a 16-bit one, and a 64-bit one.
pub(super) const LEN_16: u8 = 126;
pub(super) const LEN_64: u8 = 127;

/// What a frame is. Opcodes 3 to 7 and 11 to 15 are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// The next fragment of the text or binary that was begun.
    Continuation = 0,
    /// A text, or its first fragment.
    Text = 1,
    /// A binary, or its first fragment.
    Binary = 2,
    /// The last frame of its sender.
    Close = 8,
    /// To be answered with a pong of the same payload.
    Ping = 9,
    /// The answer to a ping, or a sign of life.
    Pong = 10,
}

impl Opcode {
    /// The opcode of a header's first byte; `None` if it is reserved.
    pub const fn of(first_byte: u8) -> Option<Self> {
        Some(match first_byte & 0x0F {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// True exactly for close, ping and pong (RFC 6455 §5.5).
    pub const fn is_control(self) -> bool {
        self as u8 & 0x08 != 0
    }
}

/// The header of a frame that a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The last, or only, frame of its text or binary.
    pub fin: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// Bytes of payload: below 2^63, and at most 125 for a control frame.
    pub payload_len: u64,
    /// What the payload is XORed with.
    pub masking_key: [u8; 4],
}

impl Header {
    /// Reads the header at the beginning of `bytes`: it and its length in bytes, or `None` if it is cut.
    ///
    /// Judges each byte as soon as it is there, in their order, so that a cut header fails no later and no otherwise
    /// than a whole one. Fails with the errors of RFC 6455 §5.1, §5.2 and §5.5 that a header alone can show.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some((&first, bytes)) = bytes.split_first() else { return Ok(None) };
        if first & RSV != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let opcode = Opcode::of(first).ok_or(ProtocolError::ReservedOpcode)?;
        let fin = first & FIN != 0;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::ControlFragmented);
        }
        let Some((&second, bytes)) = bytes.split_first() else { return Ok(None) };
        if second & MASK == 0 {
            return Err(ProtocolError::Unmasked);
        }
        let short_len = second & !MASK;
        if opcode.is_control() && usize::from(short_len) > CONTROL_PAYLOAD_BYTES_MAX {
            return Err(ProtocolError::ControlTooLong);
        }
        let Some((payload_len, len_bytes)) = extended_len(short_len, bytes)? else {
            return Ok(None);
        };
        let Some(&masking_key) = bytes[len_bytes..].first_chunk() else { return Ok(None) };
        Ok(Some((Self { fin, opcode, payload_len, masking_key }, 2 + len_bytes + 4)))
    }
}

/// The payload's length and how many of `bytes` told it (0, 2 or 8), or `None` if they are cut.
#[inline]
fn extended_len(short_len: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    match short_len {
        LEN_16 => {
            let Some(&len) = bytes.first_chunk() else { return Ok(None) };
            let len = u16::from_be_bytes(len);
            if len < u16::from(LEN_16) {
                return Err(ProtocolError::LengthNotMinimal);
            }
            Ok(Some((len.into(), 2)))
        }
        LEN_64 => {
            let Some(&len) = bytes.first_chunk() else { return Ok(None) };
            let len = u64::from_be_bytes(len);
            if len >> 63 != 0 {
                return Err(ProtocolError::LengthTopBit);
            }
            if u16::try_from(len).is_ok() {
                return Err(ProtocolError::LengthNotMinimal);
            }
            Ok(Some((len, 8)))
        }
        _ => Ok(Some((short_len.into(), 0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [1, 2, 3, 4];

    fn header(start: &[u8]) -> Vec<u8> {
        [start, &KEY].concat()
    }

    #[track_caller]
    fn check(start: &[u8], fin: bool, opcode: Opcode, payload_len: u64) {
        let bytes = header(start);
        let expect = Header { fin, opcode, payload_len, masking_key: KEY };
        for cut in 0..bytes.len() {
            assert_eq!(Header::parse(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
        assert_eq!(Header::parse(&bytes), Ok(Some((expect, bytes.len()))));
        assert!(bytes.len() <= HEADER_BYTES_MAX);
    }

    /// `start` fails, and does so at its last byte already.
    #[track_caller]
    fn check_refused(start: &[u8], expect: ProtocolError) {
        assert_eq!(Header::parse(&start[..start.len() - 1]), Ok(None));
        assert_eq!(Header::parse(start), Err(expect));
        assert_eq!(Header::parse(&header(start)), Err(expect));
    }

    #[test]
    fn the_three_forms_of_length_are_read() {
        check(&[0x81, 0x80], true, Opcode::Text, 0);
        check(&[0x02, 0xFD], false, Opcode::Binary, 125);
        check(&[0x80, 0xFE, 0, 126], true, Opcode::Continuation, 126);
        check(&[0x81, 0xFE, 0xFF, 0xFF], true, Opcode::Text, 65_535);
        check(&[0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0], true, Opcode::Text, 65_536);
        check(&[0x81, 0xFF, 0x7F, 0, 0, 0, 0, 0, 0, 0], true, Opcode::Text, 0x7F << 56);
    }

    #[test]
    fn control_frames_are_read() {
        check(&[0x88, 0x80], true, Opcode::Close, 0);
        check(&[0x89, 0xFD], true, Opcode::Ping, 125);
        check(&[0x8A, 0x81], true, Opcode::Pong, 1);
    }

    #[test]
    fn each_reserved_bit_is_refused() {
        for bit in [0x40, 0x20, 0x10] {
            check_refused(&[0x81 | bit], ProtocolError::ReservedBits);
        }
    }

    #[test]
    fn each_reserved_opcode_is_refused() {
        for opcode in (3..=7).chain(11..=15) {
            check_refused(&[0x80 | opcode], ProtocolError::ReservedOpcode);
        }
    }

    #[test]
    fn an_unmasked_frame_is_refused() {
        check_refused(&[0x81, 0x05], ProtocolError::Unmasked);
    }

    #[test]
    fn a_fragmented_control_frame_is_refused() {
        for opcode in [0x08, 0x09, 0x0A] {
            check_refused(&[opcode], ProtocolError::ControlFragmented);
        }
    }

    #[test]
    fn a_control_frame_over_125_bytes_is_refused() {
        for opcode in [0x88, 0x89, 0x8A] {
            check_refused(&[opcode, 0xFE], ProtocolError::ControlTooLong);
            check_refused(&[opcode, 0xFF], ProtocolError::ControlTooLong);
        }
    }

    #[test]
    fn a_length_in_more_bytes_than_needed_is_refused() {
        check_refused(&[0x81, 0xFE, 0, 125], ProtocolError::LengthNotMinimal);
        check_refused(&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], ProtocolError::LengthNotMinimal);
    }

    #[test]
    fn a_length_with_the_top_bit_is_refused() {
        check_refused(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], ProtocolError::LengthTopBit);
    }
}
