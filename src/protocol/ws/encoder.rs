//! Whole server frames (RFC 6455 §5.2, §6.1): unmasked, unfragmented, header and payload in one block.
//!
//! A frame is built once and shared by all its receivers; a clone of the returned [`Bytes`] is a pointer and a count.

use bytes::{Buf, Bytes};

use super::frame::{CONTROL_PAYLOAD_BYTES_MAX, FIN, LEN_16, LEN_64, MASK, Opcode};
use super::{CloseCode, mask};

/// Longest header of a server's frame: two bytes and a 64-bit length.
pub const HEADER_BYTES_MAX: usize = 10;

/// Longest reason of a close: what the code leaves of a control frame.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_PAYLOAD_BYTES_MAX - 2;

/// A ping without payload, the heartbeat. For `Bytes::from_static`, which allocates nothing.
pub const PING: &[u8] = &[FIN | Opcode::Ping as u8, 0];

/// A pong without payload. For `Bytes::from_static`.
pub const PONG: &[u8] = &[FIN | Opcode::Pong as u8, 0];

/// A close without a code: the answer to one. For `Bytes::from_static`.
pub const CLOSE: &[u8] = &[FIN | Opcode::Close as u8, 0];

/// A text frame. One allocation of its exact size.
pub fn text(text: &str) -> Bytes {
    whole(Opcode::Text, text.as_bytes())
}

/// A binary frame. One allocation of its exact size.
pub fn binary(payload: &[u8]) -> Bytes {
    whole(Opcode::Binary, payload)
}

/// A text frame whose payload `fill` appends, which may be serialised straight into its place: the header is written
/// before it afterwards and the payload never moves.
///
/// `payload_capacity` is how many bytes to make room for; more make the block grow. `fill` must append UTF-8 and leave
/// what is in the vector alone.
pub fn text_with(payload_capacity: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut block = Vec::with_capacity(HEADER_BYTES_MAX + payload_capacity);
    block.extend_from_slice(&[0; HEADER_BYTES_MAX]);
    fill(&mut block);
    let (room, payload) =
        block.split_first_chunk_mut::<HEADER_BYTES_MAX>().expect("`fill` only appends");
    debug_assert!(std::str::from_utf8(payload).is_ok(), "a text is UTF-8");
    let len = header(Opcode::Text, payload.len(), room);
    let unused = HEADER_BYTES_MAX - len;
    room.copy_within(..len, unused);
    let mut frame = Bytes::from(block);
    frame.advance(unused);
    frame
}

/// The text of a whole unmasked text frame, as the functions above make it; `None` where `frame` is no such frame.
pub fn text_of(frame: &[u8]) -> Option<&str> {
    let (&[first, short], rest) = frame.split_first_chunk()?;
    if first != FIN | Opcode::Text as u8 {
        return None;
    }
    let (len, payload) = match short {
        LEN_16 => {
            let (len, payload) = rest.split_first_chunk()?;
            (u64::from(u16::from_be_bytes(*len)), payload)
        }
        LEN_64 => {
            let (len, payload) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*len), payload)
        }
        short => (u64::from(short), rest),
    };
    if payload.len() as u64 != len {
        return None;
    }
    std::str::from_utf8(payload).ok()
}

/// A ping. What `payload` has beyond 125 bytes is left out.
pub fn ping(payload: &[u8]) -> Bytes {
    if payload.is_empty() { Bytes::from_static(PING) } else { control(Opcode::Ping, payload) }
}

/// A pong; answers a ping when `payload` is the ping's (§5.5.3). What it has beyond 125 bytes is left out.
pub fn pong(payload: &[u8]) -> Bytes {
    if payload.is_empty() { Bytes::from_static(PONG) } else { control(Opcode::Pong, payload) }
}

/// A close (§5.5.1). A reason of more than 123 bytes ends at the last character that fits.
pub fn close(code: CloseCode, reason: &str) -> Bytes {
    let mut end = reason.len().min(CLOSE_REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = [0; CONTROL_PAYLOAD_BYTES_MAX];
    payload[..2].copy_from_slice(&code.get().to_be_bytes());
    payload[2..2 + end].copy_from_slice(&reason.as_bytes()[..end]);
    control(Opcode::Close, &payload[..2 + end])
}

/// Writes the header of a whole server frame with `payload_len` bytes of payload to the front of `out`: its length, 2,
/// 4 or 10.
#[inline]
pub fn header(opcode: Opcode, payload_len: usize, out: &mut [u8; HEADER_BYTES_MAX]) -> usize {
    out[0] = FIN | opcode as u8;
    if payload_len < usize::from(LEN_16) {
        out[1] = payload_len as u8;
        2
    } else if let Ok(len) = u16::try_from(payload_len) {
        out[1] = LEN_16;
        out[2..4].copy_from_slice(&len.to_be_bytes());
        4
    } else {
        out[1] = LEN_64;
        out[2..].copy_from_slice(&(payload_len as u64).to_be_bytes());
        HEADER_BYTES_MAX
    }
}

/// Appends a client's frame, masked with `masking_key`, to `out`: for load generators and tests. It is the caller's
/// to send a sensible order of fragments.
pub fn client_frame(
    opcode: Opcode,
    fin: bool,
    masking_key: [u8; 4],
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let mut head = [0; HEADER_BYTES_MAX];
    let len = header(opcode, payload.len(), &mut head);
    if !fin {
        head[0] &= !FIN;
    }
    head[1] |= MASK;
    out.reserve(len + masking_key.len() + payload.len());
    out.extend_from_slice(&head[..len]);
    out.extend_from_slice(&masking_key);
    let start = out.len();
    out.extend_from_slice(payload);
    mask::apply(&mut out[start..], masking_key);
}

fn control(opcode: Opcode, payload: &[u8]) -> Bytes {
    whole(opcode, &payload[..payload.len().min(CONTROL_PAYLOAD_BYTES_MAX)])
}

fn whole(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut head = [0; HEADER_BYTES_MAX];
    let len = header(opcode, payload.len(), &mut head);
    let mut frame = Vec::with_capacity(len + payload.len());
    frame.extend_from_slice(&head[..len]);
    frame.extend_from_slice(payload);
    Bytes::from(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use tungstenite::protocol::frame::FrameHeader;
    use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

    /// `frame` as tungstenite reads it: opcode and payload.
    #[track_caller]
    fn read(frame: &[u8]) -> (OpCode, &[u8]) {
        let mut cursor = Cursor::new(frame);
        let (header, len) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
        assert!(header.is_final && header.mask.is_none());
        assert!(!header.rsv1 && !header.rsv2 && !header.rsv3);
        let start = cursor.position() as usize;
        assert_eq!(header.len(len), start, "the length is in its shortest form");
        assert_eq!(frame.len(), start + len as usize);
        (header.opcode, &frame[start..])
    }

    #[test]
    fn the_unmasked_hello_of_section_5_7_is_written() {
        assert_eq!(&text("Hello")[..], b"\x81\x05Hello");
    }

    #[test]
    fn each_length_takes_its_shortest_form() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload = "x".repeat(len);
            assert_eq!(read(&text(&payload)), (OpCode::Data(Data::Text), payload.as_bytes()));
            let frame = binary(payload.as_bytes());
            assert_eq!(read(&frame), (OpCode::Data(Data::Binary), payload.as_bytes()));
            for capacity in [0, len, len + 100] {
                let filled = text_with(capacity, |out| out.extend_from_slice(payload.as_bytes()));
                assert_eq!(filled, text(&payload), "{len} bytes, room for {capacity}");
            }
        }
    }

    #[test]
    fn a_text_is_read_back_and_nothing_else_is() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = "x".repeat(len);
            let frame = text(&payload);
            assert_eq!(text_of(&frame), Some(&*payload));
            assert_eq!(text_of(&frame[..frame.len() - 1]), None, "cut");
            assert_eq!(text_of(&[&frame[..], b"x"].concat()), None, "something after it");
        }
        let mut masked = Vec::new();
        client_frame(Opcode::Text, true, [0; 4], b"x", &mut masked);
        for other in
            [&b""[..], b"\x81", b"\x81\x7e\x01", PING, b"\x82\x01x", b"\x81\x01\xff", &masked]
        {
            assert_eq!(text_of(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_payload_that_fits_is_not_moved() {
        let mut written_at = std::ptr::null();
        let frame = text_with(200, |out| {
            out.extend_from_slice(&[b'x'; 200]);
            written_at = out[HEADER_BYTES_MAX..].as_ptr();
        });
        assert_eq!(frame[4..].as_ptr(), written_at);
    }

    #[test]
    fn control_frames_without_payload_are_shared_and_static() {
        assert_eq!(ping(b"").as_ptr(), PING.as_ptr());
        assert_eq!(pong(b"").as_ptr(), PONG.as_ptr());
        assert_eq!(read(PING), (OpCode::Control(Control::Ping), &b""[..]));
        assert_eq!(read(PONG), (OpCode::Control(Control::Pong), &b""[..]));
        assert_eq!(read(CLOSE), (OpCode::Control(Control::Close), &b""[..]));
    }

    #[test]
    fn control_frames_carry_at_most_125_bytes() {
        assert_eq!(read(&ping(b"ab")), (OpCode::Control(Control::Ping), &b"ab"[..]));
        assert_eq!(read(&pong(&[7; 125])), (OpCode::Control(Control::Pong), &[7; 125][..]));
        assert_eq!(read(&pong(&[7; 126])), (OpCode::Control(Control::Pong), &[7; 125][..]));
    }

    #[test]
    fn a_long_close_reason_ends_at_a_character() {
        let close = |reason: &str| close(CloseCode::NORMAL, reason);
        assert_eq!(read(&close("bye")).1, b"\x03\xe8bye");
        assert_eq!(read(&close("")).1, b"\x03\xe8");
        assert_eq!(read(&close(&"x".repeat(200))).1.len(), 125);
        for shift in 0..3 {
            let frame = close(&("x".repeat(shift) + &"€".repeat(42)));
            let reason = std::str::from_utf8(&read(&frame).1[2..]).unwrap();
            assert_eq!(reason.chars().count(), shift + (123 - shift) / 3);
        }
    }

    #[test]
    fn a_client_frame_is_masked() {
        let mut out = vec![0xAA];
        client_frame(Opcode::Text, true, [0x37, 0xfa, 0x21, 0x3d], b"Hello", &mut out);
        assert_eq!(out, b"\xaa\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        out.clear();
        client_frame(Opcode::Continuation, false, [0; 4], b"", &mut out);
        assert_eq!(out, [0x00, 0x80, 0, 0, 0, 0]);
    }
}
