//! Agreement with tungstenite, on streams of whole frames, in order and out of order, sound and damaged.
//!
//! Where the two are known to differ, we are the stricter ones or look earlier:
//!
//! - tungstenite takes lengths in more bytes than needed; RFC 6455 §5.2 forbids them. In a control frame the longer
//!   form alone tells that there is too much.
//! - tungstenite reports a close code that may not travel as a close with 1002; here it is an error with that code.
//! - tungstenite counts 1014, which IANA registered after the RFC, among the codes that may not travel.
//! - tungstenite looks at a frame when it is whole, we at each byte as it comes. Streams are therefore cut behind
//!   their last whole frame.

use std::borrow::Cow;
use std::io::{self, Cursor, Read, Write};

use proptest::prelude::*;
use tungstenite::error::ProtocolError as OracleError;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::properties::any_stream;
use super::{CloseCode, Decoder, Input, Limits, ProtocolError};

const BYTES_MAX: usize = 500;
const LIMITS: Limits =
    Limits { text_bytes: BYTES_MAX, binary_bytes: BYTES_MAX, fragments: u32::MAX };

/// How a stream ended.
#[derive(Debug, PartialEq, Clone, Copy)]
enum End {
    Bytes,
    Close,
    Error,
}

struct Stream(Cursor<Vec<u8>>);

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(bytes: &[u8]) -> (Vec<Input<'static>>, End) {
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .max_message_size(Some(BYTES_MAX))
        .max_frame_size(Some(BYTES_MAX));
    let stream = Stream(Cursor::new(bytes.to_vec()));
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, Some(config));
    let mut inputs = Vec::new();
    loop {
        inputs.push(match socket.read() {
            Ok(Message::Text(text)) => Input::Text(Cow::Owned(text.as_str().to_owned())),
            Ok(Message::Binary(binary)) => Input::Binary(Cow::Owned(binary.to_vec())),
            Ok(Message::Ping(payload)) => Input::Ping(Cow::Owned(payload.to_vec())),
            Ok(Message::Pong(payload)) => Input::Pong(Cow::Owned(payload.to_vec())),
            Ok(Message::Close(close)) => {
                let (code, reason) = close.map_or((None, String::new()), |close| {
                    (CloseCode::new(close.code.into()), close.reason.as_str().to_owned())
                });
                inputs.push(Input::Close(code, Cow::Owned(reason)));
                return (inputs, End::Close);
            }
            Ok(Message::Frame(_)) => unreachable!("is never read"),
            Err(Error::Protocol(OracleError::ResetWithoutClosingHandshake)) => {
                return (inputs, End::Bytes);
            }
            Err(_) => return (inputs, End::Error),
        });
    }
}

fn ours(bytes: &mut [u8]) -> (Vec<Input<'_>>, End, Option<ProtocolError>) {
    let mut decoder = Decoder::default();
    let mut unread = bytes;
    let mut inputs = Vec::new();
    while let Some(next) = decoder.next(&mut unread, &LIMITS) {
        match next {
            Ok(input) => {
                let closes = matches!(input, Input::Close(..));
                inputs.push(input);
                if closes {
                    return (inputs, End::Close, None);
                }
            }
            Err(error) => return (inputs, End::Error, Some(error)),
        }
    }
    (inputs, End::Bytes, None)
}

/// Shortens `bytes` to whole frames, and a last header that is refused before its payload is looked at.
fn keep_whole_frames(bytes: &mut Vec<u8>) {
    let mut end = 0;
    loop {
        let mut cursor = Cursor::new(&bytes[end..]);
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((_, len))) if len > BYTES_MAX as u64 => {
                end += cursor.position() as usize;
                break;
            }
            Ok(Some((_, len))) => {
                let frame_len = cursor.position() as usize + len as usize;
                if end + frame_len > bytes.len() {
                    break;
                }
                end += frame_len;
            }
            Ok(None) => break,
            Err(_) => return,
        }
    }
    bytes.truncate(end);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn tungstenite_sees_the_same_inputs_and_the_same_end(mut bytes in any_stream()) {
        keep_whole_frames(&mut bytes);
        let (mut their_inputs, their_end) = theirs(&bytes);
        let (our_inputs, our_end, error) = ours(&mut bytes);
        match error {
            Some(ProtocolError::LengthNotMinimal | ProtocolError::ControlTooLong) => {
                prop_assert!(their_inputs.starts_with(&our_inputs));
                return Ok(());
            }
            Some(ProtocolError::CloseCodeInvalid) => {
                let violation = (Some(CloseCode::PROTOCOL_ERROR), "Protocol violation");
                if let Some(Input::Close(code, reason)) = their_inputs.last() {
                    prop_assert_eq!((*code, &reason[..]), violation);
                    their_inputs.pop();
                }
            }
            _ => {
                if let (Some(Input::Close(code, _)), End::Close) = (our_inputs.last(), our_end)
                    && code.is_some_and(|code| code.get() == 1014)
                {
                    return Ok(());
                }
                prop_assert_eq!(our_end, their_end, "{:?}", error);
            }
        }
        prop_assert_eq!(our_inputs, their_inputs);
    }
}
