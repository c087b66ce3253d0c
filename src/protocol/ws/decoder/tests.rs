//! Rules of the decoder by example. Any bytes in any chunking are in `properties`, agreement with tungstenite is in
//! `oracle`.

use super::*;
use crate::protocol::ws::encoder::client_frame;

const LIMITS: Limits = Limits { text_bytes: 1_000, binary_bytes: 2_000, fragments: 4 };
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Frames one after another, as a client sends them: opcode, FIN, payload.
fn frames(frames: &[(Opcode, bool, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (opcode, fin, payload) in frames {
        client_frame(*opcode, *fin, KEY, payload, &mut bytes);
    }
    bytes
}

/// All inputs of `bytes`, received as `chunk` bytes a read, up to the first error.
fn decode_with(
    bytes: &[u8],
    chunk: usize,
    limits: &Limits,
) -> (Vec<Input<'static>>, Option<ProtocolError>) {
    let mut decoder = Decoder::default();
    let mut inputs = Vec::new();
    for read in bytes.to_vec().chunks_mut(chunk.max(1)) {
        let mut read = read;
        while let Some(next) = decoder.next(&mut read, limits) {
            match next {
                Ok(input) => inputs.push(owned(input)),
                Err(error) => return (inputs, Some(error)),
            }
        }
        assert!(read.is_empty(), "all bytes are used up before more are asked for");
    }
    (inputs, None)
}

fn owned(input: Input<'_>) -> Input<'static> {
    match input {
        Input::Text(text) => Input::Text(Cow::Owned(text.into_owned())),
        Input::Binary(binary) => Input::Binary(Cow::Owned(binary.into_owned())),
        Input::Ping(payload) => Input::Ping(Cow::Owned(payload.into_owned())),
        Input::Pong(payload) => Input::Pong(Cow::Owned(payload.into_owned())),
        Input::Close(code, reason) => Input::Close(code, Cow::Owned(reason.into_owned())),
    }
}

#[track_caller]
fn check(bytes: &[u8], expect: &[Input<'static>]) {
    for chunk in [bytes.len(), 1, 2, 3, 7] {
        let (inputs, error) = decode_with(bytes, chunk, &LIMITS);
        assert_eq!((&inputs[..], error), (expect, None), "{chunk} bytes a read");
    }
}

#[track_caller]
fn check_refused(bytes: &[u8], expect: ProtocolError) {
    for chunk in [bytes.len(), 1, 2, 3, 7] {
        let (_, error) = decode_with(bytes, chunk, &LIMITS);
        assert_eq!(error, Some(expect), "{chunk} bytes a read");
    }
}

fn text(text: &str) -> Input<'static> {
    Input::Text(Cow::Owned(text.to_owned()))
}

fn ping(payload: &[u8]) -> Input<'static> {
    Input::Ping(Cow::Owned(payload.to_vec()))
}

fn close(code: u16, reason: &str) -> Input<'static> {
    Input::Close(CloseCode::new(code), Cow::Owned(reason.to_owned()))
}

#[test]
fn a_decoder_is_one_pointer() {
    assert_eq!(size_of::<Decoder>(), size_of::<usize>());
}

#[test]
fn the_masked_hello_of_section_5_7_is_a_text() {
    check(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", &[text("Hello")]);
}

#[test]
fn a_whole_frame_is_borrowed_where_it_lies_and_leaves_the_decoder_at_rest() {
    let mut bytes = frames(&[
        (Opcode::Text, true, b"one"),
        (Opcode::Ping, true, b"two"),
        (Opcode::Binary, true, b"three"),
        (Opcode::Close, true, b"\x03\xe8four"),
    ]);
    let range = bytes.as_ptr_range();
    let mut decoder = Decoder::default();
    let mut rest = &mut bytes[..];
    let mut kept = Vec::new();
    while let Some(input) = decoder.next(&mut rest, &LIMITS) {
        assert!(decoder.is_at_rest());
        kept.push(input.unwrap());
    }
    for input in &kept {
        let payload = match input {
            Input::Text(Cow::Borrowed(text)) | Input::Close(_, Cow::Borrowed(text)) => {
                text.as_bytes()
            }
            Input::Binary(Cow::Borrowed(payload)) | Input::Ping(Cow::Borrowed(payload)) => payload,
            other => panic!("{other:?} is not borrowed"),
        };
        assert!(range.contains(&payload.as_ptr()));
    }
    assert_eq!(kept.len(), 4);
}

#[test]
fn a_cut_frame_is_put_together_and_leaves_the_decoder_at_rest() {
    let bytes = frames(&[(Opcode::Text, true, b"Hello"), (Opcode::Ping, true, b"there")]);
    for cut in 1..bytes.len() {
        let mut bytes = bytes.clone();
        let (mut first, mut second) = bytes.split_at_mut(cut);
        let mut decoder = Decoder::default();
        let mut inputs = Vec::new();
        while let Some(input) = decoder.next(&mut first, &LIMITS) {
            inputs.push(input.unwrap());
        }
        assert_eq!(decoder.is_at_rest(), cut == 11, "cut at {cut}");
        while let Some(input) = decoder.next(&mut second, &LIMITS) {
            inputs.push(input.unwrap());
        }
        assert!(decoder.is_at_rest());
        assert_eq!(inputs, [text("Hello"), ping(b"there")]);
    }
}

#[test]
fn fragments_become_one_and_control_frames_pass_between_them() {
    check(
        &frames(&[
            (Opcode::Text, false, b"Hel\xc3"),
            (Opcode::Ping, true, b"?"),
            (Opcode::Continuation, false, b""),
            (Opcode::Pong, true, b"!"),
            (Opcode::Continuation, true, b"\xa9lo"),
            (Opcode::Text, true, b""),
            (Opcode::Close, true, b"\x0f\xa1bye"),
        ]),
        &[
            ping(b"?"),
            Input::Pong(Cow::Borrowed(b"!")),
            text("Hel\u{e9}lo"),
            text(""),
            close(4001, "bye"),
        ],
    );
}

#[test]
fn all_forms_of_length_are_read() {
    for len in [0, 125, 126, 1_000] {
        let payload = vec![b'x'; len];
        let expect = text(std::str::from_utf8(&payload).unwrap());
        check(&frames(&[(Opcode::Text, true, &payload)]), &[expect]);
    }
    let payload = vec![0xEE; 70_000];
    let bytes = frames(&[(Opcode::Binary, true, &payload)]);
    let limits = Limits { binary_bytes: 70_000, ..LIMITS };
    for chunk in [bytes.len(), 65_536, 4_096] {
        let (inputs, error) = decode_with(&bytes, chunk, &limits);
        assert_eq!((inputs, error), (vec![Input::Binary(Cow::Borrowed(&payload[..]))], None));
    }
}

#[test]
fn a_close_without_a_payload_has_no_code() {
    check(&frames(&[(Opcode::Close, true, b"")]), &[Input::Close(None, Cow::Borrowed(""))]);
}

#[test]
fn headers_that_break_the_framing_are_refused() {
    for (bytes, expect) in [
        (&b"\xc1\x80\0\0\0\0"[..], ProtocolError::ReservedBits),
        (b"\x83\x80\0\0\0\0", ProtocolError::ReservedOpcode),
        (b"\x81\x05Hello", ProtocolError::Unmasked),
        (b"\x81\xfe\0\x01\0\0\0\0x", ProtocolError::LengthNotMinimal),
        (b"\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0", ProtocolError::LengthTopBit),
        (b"\x09\x80\0\0\0\0", ProtocolError::ControlFragmented),
        (b"\x89\xfe\0\x7e\0\0\0\0", ProtocolError::ControlTooLong),
    ] {
        check_refused(bytes, expect);
        // Also where the fragments of a text are expected.
        check_refused(&[&frames(&[(Opcode::Text, false, b"a")]), bytes].concat(), expect);
    }
}

#[test]
fn a_continuation_of_nothing_is_refused() {
    check_refused(
        &frames(&[(Opcode::Continuation, true, b"")]),
        ProtocolError::ContinuationUnexpected,
    );
    check_refused(
        &frames(&[
            (Opcode::Text, false, b"a"),
            (Opcode::Continuation, true, b"b"),
            (Opcode::Continuation, true, b"c"),
        ]),
        ProtocolError::ContinuationUnexpected,
    );
}

#[test]
fn a_new_text_or_binary_within_a_fragmented_one_is_refused() {
    for opcode in [Opcode::Text, Opcode::Binary] {
        check_refused(
            &frames(&[(Opcode::Text, false, b"a"), (opcode, true, b"b")]),
            ProtocolError::ContinuationExpected,
        );
    }
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    for payload in [&b"\xff"[..], b"a\xc3", b"\xed\xa0\x80", b"\xc0\xaf"] {
        check_refused(&frames(&[(Opcode::Text, true, payload)]), ProtocolError::InvalidUtf8);
    }
    check_refused(
        &frames(&[(Opcode::Text, false, b"a\xc3"), (Opcode::Continuation, true, b"")]),
        ProtocolError::InvalidUtf8,
    );
    check(&frames(&[(Opcode::Binary, true, b"\xff")]), &[Input::Binary(Cow::Borrowed(b"\xff"))]);
}

#[test]
fn bad_utf8_is_refused_before_its_frame_is_whole() {
    let bytes = frames(&[(Opcode::Text, true, b"abc\xf4\x90\x80\x80defgh")]);
    let until = 6 + 5;
    assert_eq!(decode_with(&bytes[..until - 1], 1, &LIMITS).1, None);
    assert_eq!(decode_with(&bytes[..until], 1, &LIMITS).1, Some(ProtocolError::InvalidUtf8));
    assert_eq!(decode_with(&bytes[..until], until, &LIMITS).1, Some(ProtocolError::InvalidUtf8));
}

#[test]
fn a_close_payload_that_breaks_the_rules_is_refused() {
    for (payload, expect) in [
        (&b"\x03"[..], ProtocolError::CloseTruncated),
        (b"\x03\xed", ProtocolError::CloseCodeInvalid),
        (b"\x03\xe8\xc3", ProtocolError::InvalidUtf8),
    ] {
        check_refused(&frames(&[(Opcode::Close, true, payload)]), expect);
    }
}

#[test]
fn what_exceeds_a_limit_is_refused_at_its_header() {
    for (opcode, max) in [(Opcode::Text, 1_000), (Opcode::Binary, 2_000)] {
        let fits = frames(&[(opcode, true, &vec![b'x'; max])]);
        assert_eq!(decode_with(&fits, fits.len(), &LIMITS).0.len(), 1);
        let exceeds = frames(&[(opcode, true, &vec![b'x'; max + 1])]);
        check_refused(&exceeds[..8], ProtocolError::TooLong);

        let half = vec![b'x'; max / 2];
        let fits = [(opcode, false, &half[..]), (Opcode::Continuation, true, &half)];
        assert_eq!(decode_with(&frames(&fits), 100, &LIMITS).0.len(), 1);
        let half = &frames(&[(opcode, false, &half)]);
        let exceeds = frames(&[(Opcode::Continuation, true, &vec![b'x'; max / 2 + 1])]);
        check_refused(&[half, &exceeds[..8]].concat(), ProtocolError::TooLong);
    }
    check_refused(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", ProtocolError::TooLong);
}

#[test]
fn bytes_of_a_cut_character_count_towards_the_limit() {
    let limits = Limits { text_bytes: 3, ..LIMITS };
    let first = (Opcode::Text, false, &b"a\xc3"[..]);
    let fits = frames(&[first, (Opcode::Continuation, true, b"\xa9")]);
    assert_eq!(decode_with(&fits, 1, &limits), (vec![text("a\u{e9}")], None));
    let exceeds = frames(&[first, (Opcode::Continuation, true, b"\xa9b")]);
    assert_eq!(decode_with(&exceeds, 1, &limits), (vec![], Some(ProtocolError::TooLong)));
}

#[test]
fn more_fragments_than_the_limit_are_refused() {
    let mut fragments = vec![(Opcode::Text, false, &b""[..])];
    fragments.extend([(Opcode::Continuation, false, &b""[..]); 3]);
    check(&frames(&fragments), &[]);
    fragments.push((Opcode::Continuation, true, b""));
    check_refused(&frames(&fragments), ProtocolError::TooManyFragments);
    // Frames that are no fragments of it do not count.
    let mut whole = vec![(Opcode::Text, true, &b""[..]); 10];
    whole.extend([(Opcode::Ping, true, &b""[..]); 10]);
    assert_eq!(decode_with(&frames(&whole), 60, &LIMITS).0.len(), 20);
}

#[test]
fn an_announced_length_reserves_nothing() {
    let limits = Limits { binary_bytes: 16 << 20, ..LIMITS };
    let mut bytes = b"\x82\xff\0\0\0\0\x01\0\0\0\0\0\0\0abc".to_vec();
    let mut decoder = Decoder::default();
    assert!(decoder.next(&mut &mut bytes[..], &limits).is_none());
    match decoder.partial.unwrap().assembly.unwrap().body {
        Body::Binary(binary) => assert!((3..=64).contains(&binary.capacity())),
        Body::Text(_) => panic!("a binary"),
    }
}

#[test]
fn after_an_error_the_same_error_is_given() {
    let mut decoder = Decoder::default();
    for _ in 0..3 {
        let mut bytes = frames(&[(Opcode::Continuation, true, b"x"), (Opcode::Text, true, b"y")]);
        let mut bytes = &mut bytes[..];
        for _ in 0..3 {
            let error = Some(Err(ProtocolError::ContinuationUnexpected));
            assert_eq!(decoder.next(&mut bytes, &LIMITS), error);
        }
    }
}
