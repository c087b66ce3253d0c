//! One session that heard seq 4 and missed two messages.

use super::*;

fn comeback() -> Comeback {
    let place = Place::Room { room: 9, user: 1 };
    let upgrade = Upgrade { path: String::new(), token: String::new(), is_v1: true };
    let session = Session {
        missed: Missed { place, after: 4, upgrade },
        next: 5,
        said: [0, 1],
        tries: 0,
        connected_at: Duration::ZERO,
        is_back: false,
        is_waiting: false,
        is_open: false,
    };
    Comeback {
        sessions: vec![session],
        missed: 2,
        base: Duration::from_secs(1),
        most: Duration::from_secs(3),
        patience: Duration::from_secs(1),
        killed_at: Duration::ZERO,
        next: BinaryHeap::new(),
        asks: BinaryHeap::new(),
        put_off: 0,
        owners: HashMap::from([(Key(7), 0)]),
        back: 0,
        tries: 0,
        doubles: 0,
        told_by_rest: 0,
        took: latencies(),
        resume: latencies(),
        failures: HashMap::new(),
        faults: Faults::default(),
    }
}

fn message(seq: u64, content: &str) -> String {
    let content = serde_json::to_string(content).unwrap();
    format!(
        r#"{{"type":"message","message":{{"id":1,"conversation_id":9,"seq":{seq},
        "sender":{{"id":1}},"content":{content},"client_id":null}}}}"#
    )
}

const RESUMED: &str = r#"{"type":"resumed","conversation_id":9,"last_seq":6,"complete":true}"#;

/// What is wrong and what came twice, where these messages come and then the end of the resume.
fn check(seqs: &[u64], faults: usize, doubles: u64) {
    let (mut comeback, mut rng) = (comeback(), Rng::new(1));
    let mut on =
        |text: &str| comeback.on(Key(7), Happening::Text(text), Duration::from_secs(2), &mut rng);
    let resume = on(r#"{"type":"hello","conversation":{"id":9,"last_seq":6}}"#);
    assert_eq!(resume.as_deref(), Some(r#"{"type":"resume","after_seq":4}"#));
    for seq in seqs {
        let n = seq.saturating_sub(5);
        on(&message(*seq, &content(n as usize % 2, n, BYTES)));
    }
    on(RESUMED);
    assert_eq!((comeback.faults.count(), comeback.doubles), (faults, doubles), "{seqs:?}");
    assert_eq!((comeback.back, comeback.took.len()), (1, 1));
}

#[test]
fn all_that_was_missed_comes_once_and_in_order() {
    check(&[5, 6], 0, 0);
    check(&[5, 5, 6], 0, 1);
    check(&[5], 1, 0);
    check(&[6], 1, 0);
    check(&[], 1, 0);
}

#[test]
fn the_two_may_be_heard_in_either_order_and_each_in_their_own() {
    let hear = |numbers: [u64; 3]| {
        let mut comeback = comeback();
        for (seq, n) in (5..).zip(numbers) {
            let text = message(seq, &content(n as usize % 2, n, BYTES));
            comeback.on(Key(7), Happening::Text(&text), Duration::ZERO, &mut Rng::new(1));
        }
        comeback.faults.count()
    };
    assert_eq!((hear([1, 0, 2]), hear([0, 2, 1]), hear([2, 0, 1])), (0, 0, 1));
}

#[test]
fn another_content_is_a_fault() {
    let mut comeback = comeback();
    comeback.on(Key(7), Happening::Text(&message(5, "x")), Duration::ZERO, &mut Rng::new(1));
    assert_eq!(comeback.faults.count(), 1);
}

#[test]
fn a_session_that_fails_waits_longer_each_time_up_to_a_bound() {
    let (mut comeback, mut rng) = (comeback(), Rng::new(3));
    for bound in [1, 2, 3, 3] {
        for _ in 0..100 {
            comeback.schedule(0, Duration::ZERO, &mut rng);
            let Reverse((at, _)) = comeback.next.pop().unwrap();
            assert!(at < Duration::from_secs(bound), "{at:?}");
        }
        comeback.sessions[0].tries += 1;
    }
    let ended = Happening::Ended(Ending::Lost(String::new()));
    assert_eq!(comeback.on(Key(7), ended, Duration::ZERO, &mut rng), None);
    assert_eq!((comeback.next.len(), comeback.failures["lost"]), (1, 1));
}

#[test]
fn who_is_told_to_wait_asks_again() {
    let (mut comeback, mut rng) = (comeback(), Rng::new(3));
    let busy = r#"{"type":"error","code":"busy","temporary":true,"retry_after_ms":100}"#;
    let more = r#"{"type":"resumed","conversation_id":9,"last_seq":5,"complete":false}"#;
    for text in [busy, more] {
        comeback.on(Key(7), Happening::Text(text), Duration::ZERO, &mut rng);
        comeback.on(Key(7), Happening::Text(text), Duration::ZERO, &mut rng);
        let Reverse((at, key)) = comeback.asks.pop().unwrap();
        assert!(key == Key(7) && at >= Duration::from_millis(100), "{at:?}");
        assert!(comeback.asks.is_empty(), "it asks once");
        comeback.sessions[0].is_waiting = false;
    }
    assert_eq!((comeback.back, comeback.faults.count()), (0, 0));
}

#[test]
fn where_there_is_no_resume_the_history_brings_a_session_back() {
    for (numbers, faults) in [(&[0, 1][..], 0), (&[1], 1), (&[], 1)] {
        let mut comeback = comeback();
        let contents = || Ok(numbers.iter().map(|n| content(*n as usize % 2, *n, BYTES)).collect());
        let read = || Read { session: 0, contents: contents() };
        comeback.on_history(read(), None, Duration::from_secs(2));
        assert_eq!(comeback.back, 0, "it is not connected");
        comeback.sessions[0].is_open = true;
        comeback.on_history(read(), None, Duration::from_secs(2));
        assert_eq!((comeback.back, comeback.faults.count()), (1, faults), "{numbers:?}");
        assert_eq!(comeback.told_by_rest, numbers.len() as u64);
    }
}
