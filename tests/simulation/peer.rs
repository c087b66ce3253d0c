//! The client's side of both protocols: what a server may send, and nothing else.

use fortifun_realtime::protocol::ws::Opcode;
use fortifun_realtime::protocol::ws::encoder::client_frame;

use crate::rng::Rng;

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) closes: bool,
}

/// The first response of `bytes`, which is taken from them; `None` where it is not whole. The responses to `HEAD` are not asked
/// for here.
pub(crate) fn take_answer(bytes: &mut Vec<u8>) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
    let mut lines = head.split("\r\n");
    let status = lines.next().expect("a first line");
    let status = status.strip_prefix("HTTP/1.1 ").expect("the version").get(..3);
    let status: u16 = status.and_then(|code| code.parse().ok()).expect("three digits");
    let mut length = None;
    let mut closes = false;
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").expect("a header line");
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse::<usize>().expect("a length")),
            "connection" => closes = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let length = match (status, length) {
        (100 | 101 | 204, None) => 0,
        (_, length) => length.expect("every response says its length"),
    };
    if bytes.len() < end + length {
        return None;
    }
    let body = bytes[end..end + length].to_vec();
    bytes.drain(..end + length);
    Some(Answer { status, body, closes })
}

/// A server's frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// The first frame of `bytes`, which is taken from them; `None` where it is not whole.
pub(crate) fn take_frame(bytes: &mut Vec<u8>) -> Option<Frame> {
    let [first, second, ..] = bytes[..] else { return None };
    assert_eq!(first & 0xF0, 0x80, "the server sends whole frames without extensions");
    assert!(second & 0x80 == 0, "a server does not mask");
    let (head, length) = match second {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().expect("two bytes")).into()),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().expect("eight bytes"))),
        short => (2, u64::from(short)),
    };
    let end = head + length as usize;
    if bytes.len() < end {
        return None;
    }
    let opcode = first & 0x0F;
    assert!(matches!(opcode, 1 | 8 | 9 | 10), "opcode {opcode} is nothing the server says");
    let payload = bytes[head..end].to_vec();
    bytes.drain(..end);
    Some(Frame { opcode, payload })
}

/// A text, sometimes in fragments with a ping between them.
pub(crate) fn text(text: &str, rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    if bytes.len() > 2 && rng.chance(100) {
        let cut = 1 + rng.index(bytes.len() - 1);
        client_frame(Opcode::Text, false, key(rng), &bytes[..cut], &mut out);
        if rng.chance(500) {
            client_frame(Opcode::Ping, true, key(rng), b"amid", &mut out);
        }
        client_frame(Opcode::Continuation, true, key(rng), &bytes[cut..], &mut out);
    } else {
        client_frame(Opcode::Text, true, key(rng), bytes, &mut out);
    }
    out
}

pub(crate) fn frame(opcode: Opcode, payload: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    client_frame(opcode, true, key(rng), payload, &mut out);
    out
}

fn key(rng: &mut Rng) -> [u8; 4] {
    (rng.word() as u32).to_be_bytes()
}

/// The request for a socket.
pub(crate) fn handshake(target: &str, token: &str, is_v1: bool, by_header: bool) -> Vec<u8> {
    let mut head = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost:8000\r\nUpgrade: websocket\r\n\
         Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    if is_v1 {
        head.push_str("Sec-WebSocket-Protocol: fortifun.v1");
    }
    head.push_str(match (is_v1, by_header) {
        (true, false) => ", bearer.",
        (true, true) => "\r\nAuthorization: Bearer ",
        (false, _) => "Authorization: Bearer ",
    });
    head.push_str(token);
    head.push_str("\r\n\r\n");
    head.into_bytes()
}
