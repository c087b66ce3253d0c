//! Frames (RFC 6455 §5.2): a server's are decoded, a client's are encoded.

use std::ops::Range;

use super::{PAYLOAD_BYTES_MAX, Violation};

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Opcode {
    /// More of a fragmented message.
    Continuation = 0,
    /// UTF-8.
    Text = 1,
    /// Any bytes.
    Binary = 2,
    /// The last frame.
    Close = 8,
    /// To be answered with a pong.
    Ping = 9,
    /// The answer to a ping.
    Pong = 10,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// True exactly for close, ping and pong.
    pub(crate) fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// A whole frame at the front of some bytes.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    /// Its message ends with it.
    pub(crate) fin: bool,
    /// What it is.
    pub(crate) opcode: Opcode,
    /// Where its payload is; it ends where the frame ends.
    pub(crate) payload: Range<usize>,
}

/// The frame at the front of `bytes`; `None`: there is more to come.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Frame>, Violation> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(Violation::ReservedBit);
    }
    let fin = first & 0x80 != 0;
    let opcode = Opcode::from_bits(first & 0x0f).ok_or(Violation::Opcode)?;
    if second & 0x80 != 0 {
        return Err(Violation::Masked);
    }
    let short = u64::from(second & 0x7f);
    if opcode.is_control() && (!fin || short > 125) {
        return Err(Violation::Control);
    }
    let (len, start, least) = match short {
        126 => match rest.first_chunk::<2>() {
            Some(len) => (u64::from(u16::from_be_bytes(*len)), 4, 126),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(len) => (u64::from_be_bytes(*len), 10, 65_536),
            None => return Ok(None),
        },
        len => (len, 2, 0),
    };
    if len < least || len > PAYLOAD_BYTES_MAX as u64 {
        return Err(Violation::Length);
    }
    let end = start + len as usize;
    Ok((bytes.len() >= end).then_some(Frame { fin, opcode, payload: start..end }))
}

/// Appends one unfragmented, masked frame. `key` is fresh for each (§5.3).
pub(crate) fn encode(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], key: [u8; 4]) {
    out.push(0x80 | opcode as u8);
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=65_535 => {
            out.push(0x80 | 0x7e);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 0x7f);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    let (words, rest) = out[start..].as_chunks_mut::<4>();
    let mask = u32::from_ne_bytes(key);
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ mask).to_ne_bytes();
    }
    rest.iter_mut().zip(key).for_each(|(byte, mask)| *byte ^= mask);
}

/// The code and reason of a close frame's payload; 1005 where it is empty (§7.1.5).
pub(crate) fn close_code(payload: &[u8]) -> Result<(u16, &str), Violation> {
    if payload.is_empty() {
        return Ok((1_005, ""));
    }
    let (code, reason) = payload.split_first_chunk::<2>().ok_or(Violation::Close)?;
    let reason = std::str::from_utf8(reason).map_err(|_| Violation::Close)?;
    Ok((u16::from_be_bytes(*code), reason))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tungstenite::protocol::frame::Frame as Theirs;
    use tungstenite::protocol::frame::FrameHeader;
    use tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::*;

    #[test]
    fn a_frame_of_every_length_is_read_as_tungstenite_writes_it() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut bytes = Vec::new();
            let theirs = Theirs::message(payload.clone(), OpCode::Data(Data::Text), true);
            theirs.format(&mut bytes).unwrap();
            bytes.extend_from_slice(b"more");
            let frame = decode(&bytes).unwrap().unwrap();
            assert_eq!((frame.fin, frame.opcode), (true, Opcode::Text));
            assert_eq!(bytes[frame.payload.clone()], payload);
            assert_eq!(frame.payload.end, bytes.len() - 4);
            for cut in [0, 1, 2, 3, 9, frame.payload.end - 1] {
                let cut = cut.min(frame.payload.end - 1);
                assert_eq!(decode(&bytes[..cut]), Ok(None), "{len} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_frame_of_every_length_is_written_as_tungstenite_reads_it() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let key = [1, 2, 3, 255];
            let mut bytes = Vec::new();
            encode(&mut bytes, Opcode::Ping, &payload, key);
            let mut cursor = Cursor::new(&bytes);
            let (header, read) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
            assert_eq!((header.mask, read), (Some(key), len));
            let masked = &bytes[cursor.position() as usize..];
            assert!(
                masked.iter().zip(&payload).enumerate().all(|(i, (m, p))| m ^ key[i % 4] == *p)
            );
            assert_eq!(masked.len(), payload.len());
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        for (bytes, violation) in [
            (&[0xc1, 0][..], Violation::ReservedBit),
            (&[0x83, 0], Violation::Opcode),
            (&[0x81, 0x81], Violation::Masked),
            (&[0x89, 126], Violation::Control),
            (&[0x09, 0], Violation::Control),
            (&[0x81, 126, 0, 125], Violation::Length),
            (&[0x81, 127, 0, 0, 0, 0, 0, 0, 255, 255], Violation::Length),
            (&[0x81, 127, 0, 0, 0, 0, 0, 0x10, 0, 1], Violation::Length),
        ] {
            assert_eq!(decode(bytes), Err(violation), "{bytes:?}");
        }
    }

    #[test]
    fn a_close_frame_has_a_code_or_nothing() {
        assert_eq!(close_code(b""), Ok((1_005, "")));
        assert_eq!(close_code(&[0x11, 0x31, b'x']), Ok((4_401, "x")));
        assert_eq!(close_code(&[3]), Err(Violation::Close));
        assert_eq!(close_code(&[3, 232, 255]), Err(Violation::Close));
    }
}
