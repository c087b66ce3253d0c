use super::*;

const PAIRS: [Pair; 1] = [Pair { conversation: 7, users: [1, 2] }];

fn talk() -> Talk<'static> {
    let mut talk = Talk {
        run: "r".to_owned(),
        pairs: &PAIRS,
        manner: Manner { bytes: 40, in_flight: 1, sides: 2 },
        senders: vec![Sender::default(), Sender::default()],
        is_sending: true,
        since: Duration::ZERO,
        echo: latencies(),
        echoed: 0,
        delivered: 0,
        faults: Faults::default(),
    };
    for session in 0..2 {
        let hello = r#"{"type":"hello","conversation":{"id":7,"last_seq":4}}"#;
        assert!(!talk.hear(Key(session), Happening::Text(hello), Duration::ZERO));
    }
    talk.senders[0].waiting.push_back((0, Duration::from_micros(100)));
    talk.senders[0].seqs.push(None);
    talk
}

/// Session `session` hears the message `client_id` of user 1.
fn hear(talk: &mut Talk<'_>, session: usize, seq: u64, client_id: &str) -> bool {
    let text = format!(
        r#"{{"type":"message","message":{{"id":9,"conversation_id":7,"seq":{seq},"sender":{{"id":1}},
        "content":"c","client_id":"{client_id}"}}}}"#
    );
    talk.hear(Key(session), Happening::Text(&text), Duration::from_micros(350))
}

#[test]
fn an_echo_is_counted_and_followed_by_the_next_message() {
    let mut talk = talk();
    assert!(hear(&mut talk, 0, 5, "r-0-0"));
    assert!(!talk.is_level());
    assert!(!hear(&mut talk, 1, 5, "r-0-0"));
    assert!(talk.is_level() && talk.faults.is_empty());
    assert_eq!((talk.echoed, talk.delivered, talk.echo.max()), (1, 1, 250));
    let [(joined, sights)] = &talk.sights()[..] else { panic!("one pair") };
    assert_eq!((*joined, sights.len()), (4, 1));
    assert_eq!((sights[0].seq, sights[0].sender, &*sights[0].client_id), (5, 1, "r-0-0"));
    assert_eq!(sights[0].content, wire::hash(&wire::content("r-0-0", 40)));
}

#[test]
fn nothing_follows_when_nobody_sends_any_more() {
    let mut talk = talk();
    talk.is_sending = false;
    assert!(!hear(&mut talk, 0, 5, "r-0-0"));
    assert_eq!(talk.echoed, 1);
}

#[test]
fn a_message_sent_before_the_count_has_no_latency() {
    let mut talk = talk();
    talk.count_from(Duration::from_micros(101));
    hear(&mut talk, 0, 5, "r-0-0");
    assert_eq!((talk.echoed, talk.echo.len()), (1, 0));
}

#[test]
fn what_a_session_hears_wrong_is_a_fault() {
    let wrong: [fn(&mut Talk<'_>) -> bool; 4] = [
        |talk| hear(talk, 0, 6, "r-0-0"),
        |talk| hear(talk, 0, 4, "r-0-0"),
        |talk| hear(talk, 0, 5, "r-0-1"),
        |talk| hear(talk, 0, 5, "r-0-0") && hear(talk, 0, 6, "r-0-0"),
    ];
    for (number, wrong) in wrong.into_iter().enumerate() {
        let mut talk = talk();
        wrong(&mut talk);
        assert_eq!(talk.faults.count(), 1, "{number}");
    }
    for text in [r#"{"type":"error","code":"rate_limited"}"#, "{"] {
        let mut talk = talk();
        talk.hear(Key(1), Happening::Text(text), Duration::ZERO);
        assert_eq!(talk.faults.count(), 1, "{text}");
    }
}
