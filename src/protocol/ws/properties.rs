//! Rules of the codec that hold for any bytes.

use std::borrow::Cow;
use std::path::Path;

use proptest::prelude::*;

use super::encoder::client_frame;
use super::{CloseCode, Decoder, Input, Limits, Opcode, ProtocolError};

const LIMITS: Limits = Limits { text_bytes: 2_000, binary_bytes: 1_000, fragments: 6 };

/// What came of a stream: its inputs up to the first error or close.
#[derive(Debug, PartialEq)]
struct Outcome {
    inputs: Vec<Input<'static>>,
    error: Option<ProtocolError>,
}

/// Decodes `bytes` received in reads of the `sizes`, which are repeated, as a connection would.
fn receive(bytes: &[u8], sizes: &[usize], limits: &Limits) -> Outcome {
    let mut outcome = Outcome { inputs: Vec::new(), error: None };
    let mut decoder = Decoder::default();
    let mut bytes = bytes.to_vec();
    let mut unread = &mut bytes[..];
    let mut sizes = sizes.iter().cycle();
    while !unread.is_empty() {
        let size = sizes.next().map_or(unread.len(), |size| (*size).clamp(1, unread.len()));
        let mut read = unread.split_off_mut(..size).unwrap();
        while let Some(next) = decoder.next(&mut read, limits) {
            match next {
                Ok(close @ Input::Close(..)) => {
                    outcome.inputs.push(owned(close));
                    return outcome;
                }
                Ok(input) => outcome.inputs.push(owned(input)),
                Err(error) => {
                    outcome.error = Some(error);
                    return outcome;
                }
            }
        }
        assert!(read.is_empty(), "all bytes are used up before more are asked for");
    }
    outcome
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

/// One frame, whatever came before it and whatever it holds.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        2 => Just(Opcode::Text),
        1 => Just(Opcode::Binary),
        2 => Just(Opcode::Continuation),
        1 => Just(Opcode::Ping),
        1 => Just(Opcode::Pong),
        3 => Just(Opcode::Close),
    ];
    let payload = prop_oneof![
        1 => any_text().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        2 => (any_close_code(), any_text()).prop_map(|(code, reason)| {
            [&code.to_be_bytes()[..], reason.as_bytes()].concat()
        }),
        1 => (120..600_usize).prop_map(|len| vec![b'x'; len]),
    ];
    (opcode, any::<bool>(), any::<[u8; 4]>(), payload).prop_map(|(opcode, fin, key, payload)| {
        let mut bytes = Vec::new();
        client_frame(opcode, fin || opcode.is_control(), key, &payload, &mut bytes);
        bytes
    })
}

/// A stream of frames: mostly in order, sometimes with a byte changed, one inserted or the end cut off.
pub(super) fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let in_order =
        (any_fragmented(), any::<[u8; 4]>()).prop_map(|((whole, cuts, controls), key)| {
            let mut bytes = Vec::new();
            write(&whole, &cuts, &controls, key, &mut bytes);
            bytes
        });
    let damage = prop_oneof![
        1 => Just(None),
        1 => (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8).prop_map(Some),
    ];
    let frames = prop::collection::vec(prop_oneof![5 => in_order, 1 => any_frame()], 1..5);
    (frames, damage).prop_map(|(frames, damage)| {
        let mut bytes = frames.concat();
        if let Some((at, byte, kind)) = damage {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] ^= byte,
                1 => bytes.insert(at, byte),
                2 => bytes.truncate(at),
                // A header is likelier to tell the two apart than a payload.
                _ => bytes[at % 2] ^= 1 << (byte % 8),
            }
        }
        bytes
    })
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,20}", "[aé€😀]{0,12}"]
}

fn any_close_code() -> impl Strategy<Value = u16> {
    prop_oneof![3 => Just(1000_u16), 1 => 990..1020_u16, 1 => 2990..5010_u16]
}

/// A text or binary in fragments, with control frames between them.
fn any_fragmented() -> impl Strategy<Value = (Input<'static>, Vec<usize>, Vec<Input<'static>>)> {
    let whole = prop_oneof![
        "[a-zé€😀]{0,60}".prop_map(|text| Input::Text(Cow::Owned(text))),
        prop::collection::vec(any::<u8>(), 0..200)
            .prop_map(|binary| Input::Binary(Cow::Owned(binary))),
    ];
    let control = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..126).prop_map(|p| Input::Ping(Cow::Owned(p))),
        prop::collection::vec(any::<u8>(), 0..126).prop_map(|p| Input::Pong(Cow::Owned(p))),
    ];
    (whole, prop::collection::vec(0..200_usize, 0..5), prop::collection::vec(control, 0..4))
}

/// Writes the frames of one text or binary cut at `cuts`, a control frame after each fragment but the last.
fn write(
    whole: &Input<'_>,
    cuts: &[usize],
    controls: &[Input<'_>],
    key: [u8; 4],
    out: &mut Vec<u8>,
) {
    let (mut opcode, payload) = match whole {
        Input::Text(text) => (Opcode::Text, text.as_bytes()),
        Input::Binary(binary) => (Opcode::Binary, &binary[..]),
        _ => panic!("a text or a binary"),
    };
    let mut cuts: Vec<_> = cuts.iter().map(|cut| (*cut).min(payload.len())).collect();
    cuts.sort_unstable();
    let mut controls = controls.iter();
    let mut start = 0;
    for cut in cuts {
        client_frame(opcode, false, key, &payload[start..cut], out);
        (opcode, start) = (Opcode::Continuation, cut);
        match controls.next() {
            Some(Input::Ping(payload)) => client_frame(Opcode::Ping, true, key, payload, out),
            Some(Input::Pong(payload)) => client_frame(Opcode::Pong, true, key, payload, out),
            _ => {}
        }
    }
    client_frame(opcode, true, key, &payload[start..], out);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_chunking_gives_the_same_inputs_and_the_same_error(
        bytes in any_stream(),
        sizes in prop::collection::vec(1..40_usize, 1..6),
    ) {
        let whole = receive(&bytes, &[], &LIMITS);
        prop_assert_eq!(&receive(&bytes, &sizes, &LIMITS), &whole);
        prop_assert_eq!(&receive(&bytes, &[1], &LIMITS), &whole);
    }

    #[test]
    fn any_bytes_in_any_chunking_give_the_same(
        mut bytes in prop::collection::vec(any::<u8>(), 0..80),
        likely in any::<bool>(),
        sizes in prop::collection::vec(1..9_usize, 1..6),
    ) {
        if likely && bytes.len() > 1 {
            // Past the first checks, so that lengths and payloads are reached.
            bytes[0] &= 0x8f;
            bytes[1] |= 0x80;
        }
        let whole = receive(&bytes, &[], &LIMITS);
        prop_assert_eq!(receive(&bytes, &sizes, &LIMITS), whole);
    }

    #[test]
    fn what_is_encoded_is_decoded_whatever_the_fragments(
        sent in prop::collection::vec(any_fragmented(), 1..4),
        key: [u8; 4],
        sizes in prop::collection::vec(1..100_usize, 1..6),
    ) {
        let (mut bytes, mut expect) = (Vec::new(), Vec::new());
        for (whole, cuts, controls) in &sent {
            write(whole, cuts, controls, key, &mut bytes);
            expect.extend(controls.iter().take(cuts.len()).cloned());
            expect.push(whole.clone());
        }
        let outcome = receive(&bytes, &sizes, &LIMITS);
        prop_assert_eq!(outcome, Outcome { inputs: expect, error: None });
    }

    #[test]
    fn no_close_code_that_may_travel_is_lost(code in 1000..5000_u16, reason in any_text()) {
        let Some(code) = CloseCode::new(code) else { return Ok(()) };
        // A server's frame has its payload behind two bytes.
        let frame = super::encoder::close(code, &reason);
        let mut bytes = Vec::new();
        client_frame(Opcode::Close, true, [1, 2, 3, 4], &frame[2..], &mut bytes);
        let expect = Input::Close(Some(code), Cow::Borrowed(&reason));
        prop_assert_eq!(receive(&bytes, &[5], &LIMITS).inputs, vec![expect]);
    }
}

/// Inputs that were worth keeping, one file each. What is found by fuzzing is added to them.
#[test]
fn the_corpus_gives_the_same_in_any_chunking() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/ws_corpus");
    let mut files = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let whole = receive(&bytes, &[], &LIMITS);
        for sizes in [&[1][..], &[2], &[3, 1, 4, 1, 5, 9, 2, 6], &[13, 1], &[64, 7]] {
            assert_eq!(receive(&bytes, sizes, &LIMITS), whole, "{}: {sizes:?}", path.display());
        }
        files += 1;
    }
    assert!(files >= 8, "{} holds the seeds", corpus.display());
}
