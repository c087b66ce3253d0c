//! A text becomes a whole server frame in one allocation.

use bytes::Bytes;
use serde::Serialize;

/// The longest header of an unmasked frame (RFC 6455 §5.2).
const HEADER_BYTES_MAX: usize = 10;
/// FIN, no extension, opcode 1.
const FIN_TEXT: u8 = 0x81;

/// The JSON of `value` as one unmasked text frame (RFC 6455 §5.1: a server does not mask).
///
/// `capacity` is a guess at the JSON's length, bytes; a good one saves a second allocation. The header is written once the
/// length is known, right before the text, and the unused bytes before it are cut off.
pub(super) fn text(value: &impl Serialize, capacity: usize) -> Bytes {
    text_with(capacity, |buffer| super::shapes::write(buffer, value))
}

/// The same of whatever `write` appends.
pub(super) fn text_with(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut buffer = Vec::with_capacity(HEADER_BYTES_MAX + capacity);
    buffer.resize(HEADER_BYTES_MAX, 0);
    write(&mut buffer);
    let start = place_header(&mut buffer);
    Bytes::from(buffer).slice(start..)
}

/// Writes the header of the text that follows the first [`HEADER_BYTES_MAX`] bytes, and returns where it begins. The length
/// takes its shortest form, as RFC 6455 §5.2 demands.
fn place_header(buffer: &mut [u8]) -> usize {
    let payload_len = buffer.len() - HEADER_BYTES_MAX;
    if payload_len < 126 {
        buffer[8..10].copy_from_slice(&[FIN_TEXT, payload_len as u8]);
        8
    } else if let Ok(short) = u16::try_from(payload_len) {
        buffer[6..8].copy_from_slice(&[FIN_TEXT, 126]);
        buffer[8..10].copy_from_slice(&short.to_be_bytes());
        6
    } else {
        buffer[..2].copy_from_slice(&[FIN_TEXT, 127]);
        buffer[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
        0
    }
}

/// The text of a frame that was made here.
pub(super) fn payload(frame: &[u8]) -> &[u8] {
    match frame[1] {
        127 => &frame[10..],
        126 => &frame[4..],
        _ => &frame[2..],
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tungstenite::protocol::frame::FrameHeader;
    use tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::*;

    #[test]
    fn another_implementation_reads_the_header_at_every_width() {
        // The JSON of a text is two bytes longer: the quotes.
        for payload_len in [2_usize, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537] {
            let frame = text(&"x".repeat(payload_len - 2), payload_len);
            let mut cursor = Cursor::new(&frame[..]);
            let (header, len) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
            assert_eq!(len, payload_len as u64);
            assert!(header.is_final && !(header.rsv1 || header.rsv2 || header.rsv3));
            assert_eq!((header.opcode, header.mask), (OpCode::Data(Data::Text), None));
            let payload = &frame[cursor.position() as usize..];
            assert_eq!(payload, super::payload(&frame));
            assert_eq!(payload.len(), payload_len);
            assert!(payload.starts_with(b"\"") && payload.ends_with(b"\""));
        }
    }

    #[test]
    fn a_text_within_the_guess_is_not_moved() {
        let frame = text(&"x".repeat(1_000), 1_100);
        let again = frame.clone();
        assert_eq!(frame.as_ptr(), again.as_ptr(), "receivers share the bytes");
    }
}
