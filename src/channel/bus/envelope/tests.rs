//! Against what channels_redis wrote, and against bytes that nobody wrote.

use proptest::prelude::*;

use super::*;
use crate::channel::bus::golden::{bytes, section};
use crate::channel::bus::value::tests::fields;

/// 2024-01-01T00:00:00Z, and a little: when the golden messages were made.
const NOW: Timestamp = Timestamp(1_704_067_200_250_000);
const CORE: Layer = Layer::Core { expiry_s: 60 };

fn fresh() -> Fresh {
    Fresh { unique: *b"abcdefghijkl", iv: [7; 16], now: NOW }
}

/// The envelope that an entry of the golden file was sealed in.
fn envelope_of(entry: &serde_json::Value) -> Envelope {
    let layer = if entry["layer"] == "core" { CORE } else { Layer::PubSub };
    let format = if entry["format"] == "json" { Format::Json } else { Format::Msgpack };
    let keys = entry["keys"].as_array().unwrap().iter();
    Envelope::new(layer, format, keys.map(|key| key.as_str().unwrap()))
}

/// What an entry's message is, and which channels it names.
fn expected(entry: &serde_json::Value) -> (Fields, Vec<String>) {
    let mut fields = Fields::from_json(entry["message"].to_string().as_bytes()).unwrap();
    let named = fields.take(CHANNELS_KEY).map_or(Vec::new(), |named| channels(named).unwrap());
    (fields, named)
}

/// As JSON without an order, as `serde_json::Value` keeps it.
fn unordered(fields: &Fields) -> serde_json::Value {
    serde_json::to_value(fields).unwrap()
}

#[test]
fn what_channels_redis_sealed_is_opened() {
    for entry in section("payloads") {
        let opened = envelope_of(&entry).open(&bytes(&entry["payload"]), NOW).unwrap();
        let (fields, channels) = expected(&entry);
        assert_eq!(unordered(&opened.fields), unordered(&fields));
        assert_eq!(opened.channels, channels);
    }
}

/// Byte for byte, where the format leaves no choice: then what reads the library's messages reads ours.
#[test]
fn what_is_sealed_is_what_channels_redis_seals() {
    let mut compared = 0;
    for entry in section("payloads") {
        let theirs = bytes(&entry["payload"]);
        let envelope = envelope_of(&entry);
        let opened = envelope.open(&theirs, NOW).unwrap();
        if entry["format"] == "json" || entry["message"][CHANNELS_KEY].is_string() {
            continue;
        }
        let channels: Vec<&str> = opened.channels.iter().map(|channel| &**channel).collect();
        let to = match &channels[..] {
            [] => Recipients::Listeners,
            channels => Recipients::Channels(channels),
        };
        let (prefix, body) =
            if envelope.layer == CORE { theirs.split_at(12) } else { (&[][..], &theirs[..]) };
        let mut fresh = fresh();
        if !prefix.is_empty() {
            fresh.unique = prefix.try_into().unwrap();
        }
        if envelope.keys.is_some() {
            use base64::Engine as _;
            let token = base64::engine::general_purpose::URL_SAFE.decode(body).unwrap();
            fresh.iv = token[9..25].try_into().unwrap();
        }
        let ours = envelope.seal(&envelope.pack(&opened.fields), to, &fresh);
        assert_eq!(ours, theirs, "{entry}");
        compared += 1;
    }
    assert!(compared >= 12, "{compared}");
}

#[test]
fn what_went_through_redis_is_opened() {
    for entry in section("sent") {
        let core = Envelope::new(CORE, Format::Msgpack, []);
        let opened = core.open(&bytes(&entry["core"]["payload"]), NOW).unwrap();
        assert_eq!(unordered(&opened.fields), entry["message"]);
        assert_eq!(opened.channels, [entry["core"]["channel"].as_str().unwrap()]);
        let pubsub = Envelope::new(Layer::PubSub, Format::Msgpack, []);
        let opened = pubsub.open(&bytes(&entry["pubsub"]["payload"]), NOW).unwrap();
        assert_eq!(unordered(&opened.fields), entry["message"]);
        assert!(opened.channels.is_empty());
    }
}

#[test]
fn the_core_layer_reads_a_token_until_its_expiry_and_ten_seconds_and_pubsub_for_ever() {
    let fields: Fields = [("type", "x".into())].into();
    for (layer, seconds, is_read) in [
        (CORE, 70, true),
        (CORE, 71, false),
        (Layer::Core { expiry_s: 5 }, 15, true),
        (Layer::Core { expiry_s: 5 }, 16, false),
        (Layer::PubSub, 1_000_000, true),
    ] {
        let envelope = Envelope::new(layer, Format::Msgpack, ["k"]);
        let sealed = envelope.seal(&envelope.pack(&fields), Recipients::Listeners, &fresh());
        let opened = envelope.open(&sealed, NOW.plus_ms(seconds * 1_000));
        assert_eq!(opened.is_ok(), is_read, "{layer:?} after {seconds} s");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let clear = Envelope::new(CORE, Format::Msgpack, []);
    let secret = Envelope::new(Layer::PubSub, Format::Msgpack, ["k"]);
    let json = Envelope::new(Layer::PubSub, Format::Json, []);
    let long = vec![0; BUS_MESSAGE_BYTES_MAX + 1];
    let sealed = clear.seal(&clear.pack(&Fields::new()), Recipients::Listeners, &fresh());
    for (envelope, payload, flaw) in [
        (&clear, &long[..], Flaw::TooLong(long.len())),
        (&clear, &b"abc"[..], Flaw::NoPrefix(3)),
        (&clear, &b"abcdefghijkl"[..], Flaw::Cut),
        (&clear, &b"abcdefghijkl\x81\xb0__asgi_channel__\x01"[..], Flaw::Channels),
        (&clear, &b"abcdefghijkl\x81\xb0__asgi_channel__\x91\xc0"[..], Flaw::Channels),
        (&secret, &b"\x80"[..], Flaw::Token(TokenFlaw::Malformed)),
        (&secret, &sealed, Flaw::Token(TokenFlaw::Malformed)),
    ] {
        assert_eq!(envelope.open(payload, NOW), Err(flaw));
    }
    assert!(matches!(json.open(b"\x80", NOW), Err(Flaw::Json(_))));
}

#[test]
fn threads_share_an_envelope() {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Envelope>();
}

#[test]
fn keys_are_not_shown() {
    let shown = format!("{:?}", Envelope::new(CORE, Format::Msgpack, ["hush"]));
    assert!(shown.contains("is_encrypted: true") && !shown.contains("hush"), "{shown}");
}

#[test]
fn messages_of_one_score_stay_in_order() {
    let mut uniques = Uniques::new(255, *b"node");
    let taken: Vec<[u8; 12]> = (0..600).map(|_| uniques.take()).collect();
    assert!(taken.is_sorted_by(|one, next| one < next));
    assert_eq!(taken[0], *b"\0\0\0\0\0\0\0\xffnode");
}

fn envelopes() -> Vec<Envelope> {
    let mut all = Vec::new();
    for layer in [Layer::PubSub, CORE] {
        for format in [Format::Msgpack, Format::Json] {
            all.push(Envelope::new(layer, format, []));
            all.push(Envelope::new(layer, format, ["k"]));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_is_opened(mut fields in fields(), channels in prop::collection::vec(".{0,20}", 0..4)) {
        fields.take(CHANNELS_KEY);
        for envelope in envelopes() {
            let packed = envelope.pack(&fields);
            let named: Vec<&str> = channels.iter().map(|channel| &**channel).collect();
            for to in [Recipients::Listeners, Recipients::Channels(&named)] {
                let opened = envelope.open(&envelope.seal(&packed, to, &fresh()), NOW).unwrap();
                // A number like 1e20 is whole in JSON's text and a float here: texts are compared.
                prop_assert_eq!(unordered(&opened.fields).to_string(), unordered(&fields).to_string());
                let is_named = to != Recipients::Listeners;
                prop_assert_eq!(&opened.channels[..], if is_named { &channels[..] } else { &[] });
            }
        }
    }

    #[test]
    fn any_bytes_are_opened_or_refused(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        for envelope in envelopes() {
            let _ = envelope.open(&payload, NOW);
        }
    }

    #[test]
    fn any_json_is_opened_or_refused(payload in r#"[{}\[\]",:0-9a-z\\. -]{0,80}"#) {
        let _ = Envelope::new(Layer::PubSub, Format::Json, []).open(payload.as_bytes(), NOW);
    }
}
