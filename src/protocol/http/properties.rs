//! Properties of the decoder over random input, and the committed corpus replayed.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::{Decoder, Event, Limits, Request, RequestError};

/// What a decoder told, without what depends on how the input was cut.
type Told = Result<Vec<(String, Vec<u8>)>, RequestError>;

/// Small, so that random input passes every bound.
const TIGHT: Limits = Limits { head_bytes: 256, headers: 8, target_bytes: 64, body_bytes: 300 };

/// Feeds the parts and checks on the way what holds for every input.
fn decode<'p>(parts: impl IntoIterator<Item = &'p [u8]>, limits: &Limits) -> (Told, Decoder) {
    let mut decoder = Decoder::new();
    let mut requests = Vec::new();
    for part in parts {
        let mut pos = 0;
        loop {
            let before = pos;
            let event = decoder.next(part, &mut pos, limits);
            assert!((before..=part.len()).contains(&pos));
            assert!(decoder.kept_bytes() <= limits.head_bytes + limits.body_bytes);
            match event {
                None => break assert_eq!(pos, part.len()),
                Some(Ok(Event::ExpectContinue)) => assert_eq!(pos, part.len()),
                Some(Ok(Event::Request(Request { head, body }))) => {
                    assert!(pos > before && body.len() <= limits.body_bytes);
                    let fields: Vec<_> = head.fields().collect();
                    let text = format!("{} {} {fields:?}", head.method(), head.target());
                    requests.push((text, body.into_owned()));
                }
                Some(Err(error)) => {
                    let mut pos = 0;
                    assert!(decoder.next(part, &mut pos, limits).is_none());
                    assert_eq!(pos, part.len());
                    return (Err(error), decoder);
                }
            }
        }
    }
    (Ok(requests), decoder)
}

/// Cuts the bytes at the given places, taken modulo their number.
fn cut<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let mut start = 0;
    let between = |end| &bytes[std::mem::replace(&mut start, end)..end];
    places.into_iter().map(between).collect()
}

/// A body in chunks of the given sizes, the last chunk of which is what is left.
fn chunk(body: &[u8], sizes: &[usize], extension: &str, trailer: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    for size in sizes.iter().copied().chain([usize::MAX]) {
        let (chunk, left) = rest.split_at(size.min(rest.len()));
        rest = left;
        if !chunk.is_empty() {
            out.extend(format!("{:X}{extension}\r\n", chunk.len()).bytes());
            out.extend_from_slice(chunk);
            out.extend(b"\r\n");
        }
    }
    out.extend(format!("0\r\n{trailer}\r\n").bytes());
    out
}

/// A valid request and the body that it carries.
fn request() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let body = prop::collection::vec(any::<u8>(), 0..200);
    let sizes = prop::collection::vec(1..40usize, 0..6);
    let framing =
        (0..3, sizes, "( ?;[a-z]{0,5}(=[a-z]{1,3})?)?", "(X-[a-z]{1,4}: [a-z ]{0,9}\r\n)?");
    let head = (
        "[A-Z]{1,6}",
        "/[a-z0-9/]{0,20}(\\?[a-z=&]{0,9})?",
        "(X-[a-z]{1,4}: [ -~]{0,20}\r\n){0,3}",
    );
    ("(\r\n){0,2}", head, body, framing, any::<bool>()).prop_map(
        |(blank, (method, target, fields), body, (kind, sizes, extension, trailer), expect)| {
            let expect = if expect { "Expect: 100-continue\r\n" } else { "" };
            let (length, content, body) = match kind {
                0 => (String::new(), Vec::new(), Vec::new()),
                1 => (format!("Content-Length: {}\r\n", body.len()), body.clone(), body),
                _ => {
                    let content = chunk(&body, &sizes, &extension, &trailer);
                    ("Transfer-Encoding: chunked\r\n".to_owned(), content, body)
                }
            };
            let line = format!("{blank}{method} {target} HTTP/1.1\r\nHost: a.b\r\n");
            let head = format!("{line}{expect}{fields}{length}\r\n");
            ([head.into_bytes(), content].concat(), body)
        },
    )
}

/// Bytes that look like HTTP more often than random ones do.
fn almost_http() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "Host: a\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        ":",
        "5",
        "a",
        "0\r\n\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
        "5\r\nhello\r\n",
        ";x=y",
        "HTTP/1.0",
        "Connection: close\r\n",
        "\0",
        "é",
    ]);
    let word = prop_oneof![
        9 => word.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(word, 0..30).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_cutting_of_a_pipelined_stream_gives_the_same_requests(
        requests in prop::collection::vec(request(), 1..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let limits = Limits::default();
        let stream: Vec<u8> = requests.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let (whole, decoder) = decode([stream.as_slice()], &limits);
        prop_assert!(decoder.at_rest());
        let (by_cuts, decoder) = decode(cut(&stream, &cuts), &limits);
        prop_assert!(decoder.at_rest());
        let (by_bytes, decoder) = decode(stream.chunks(1), &limits);
        prop_assert!(decoder.at_rest());
        prop_assert_eq!(&whole, &by_cuts);
        prop_assert_eq!(&whole, &by_bytes);
        let bodies: Vec<_> = whole.unwrap().into_iter().map(|(_, body)| body).collect();
        let expect: Vec<_> = requests.into_iter().map(|(_, body)| body).collect();
        prop_assert_eq!(bodies, expect);
    }

    #[test]
    fn any_bytes_are_told_the_same_however_cut_and_bounded(
        bytes in prop_oneof![almost_http(), prop::collection::vec(any::<u8>(), 0..600)],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let (whole, _) = decode([bytes.as_slice()], &TIGHT);
        let (by_cuts, _) = decode(cut(&bytes, &cuts), &TIGHT);
        let (by_bytes, _) = decode(bytes.chunks(1), &TIGHT);
        prop_assert_eq!(&whole, &by_cuts);
        prop_assert_eq!(&whole, &by_bytes);
    }

    #[test]
    fn a_chunked_body_decodes_to_what_was_encoded(
        body in prop::collection::vec(any::<u8>(), 0..300),
        sizes in prop::collection::vec(1..100usize, 0..10),
        step in 1..50usize,
    ) {
        let head = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let stream = [head.as_slice(), &chunk(&body, &sizes, "", "")].concat();
        let (told, decoder) = decode(stream.chunks(step), &TIGHT);
        prop_assert!(decoder.at_rest());
        prop_assert_eq!(told.unwrap().pop().map(|(_, decoded)| decoded), Some(body));
    }
}

/// Each file of the corpus says in its name what it must give: `ok-N-…` N whole requests and
/// nothing left, `cut-N-…` N and the beginning of another, `STATUS-code-…` a refusal.
#[test]
fn the_corpus_gives_what_its_names_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/http_corpus");
    let mut replayed = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        for step in [usize::MAX, 1, 7] {
            let (told, decoder) = decode(bytes.chunks(step), &Limits::default());
            let told = match told {
                Ok(requests) if decoder.at_rest() => format!("ok-{}", requests.len()),
                Ok(requests) => format!("cut-{}", requests.len()),
                Err(error) => format!("{}-{}", error.status(), error.code()),
            };
            assert!(name == told || name.starts_with(&format!("{told}-")), "{name} gave {told}");
        }
        replayed += 1;
    }
    assert!(replayed >= 20, "only {replayed} files in the corpus");
}
