//! What goes into the ledger, what is sent again, and what is a fault.

use super::*;
use crate::ledger;

fn crash(name: &str) -> (Crash, std::path::PathBuf) {
    let path = std::env::temp_dir().join(format!("fortifun-crash-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let pairs = [Pair { conversation: 7, users: [1, 2] }];
    let mut crash = Crash::new(&pairs, 2, 4, Ledger::open(&path).unwrap());
    for session in 0..2 {
        let hello = r#"{"type":"hello","conversation":{"id":7,"last_seq":3}}"#;
        crash.on(Key(session), Happening::Text(hello), Duration::ZERO);
    }
    (crash, path)
}

fn hear(crash: &mut Crash, session: usize, seq: u64, client_id: &str, content: &str) {
    let text = serde_json::json!({
        "type": "message",
        "message": {
            "id": seq, "conversation_id": 7, "seq": seq, "sender": { "id": 1 },
            "content": content, "client_id": client_id,
        },
    });
    crash.on(Key(session), Happening::Text(&text.to_string()), Duration::ZERO);
}

#[test]
fn every_sight_is_recorded_and_a_death_is_no_fault() {
    let (mut crash, path) = crash("sights");
    let client_id = format!("{}-0-0", crash.run);
    crash.writers[0].waiting.extend([0, 1]);
    hear(&mut crash, 0, 4, &client_id, &said(&client_id, 0));
    hear(&mut crash, 1, 4, &client_id, &said(&client_id, 0));
    for session in 0..2 {
        let cut = Ending::Lost("the connection was cut".to_owned());
        crash.on(Key(session), Happening::Ended(cut), Duration::ZERO);
    }
    let record = ledger::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(record.sights.len(), 2);
    assert_eq!((record.sights[0].seq, &record.sights[0].client_id), (4, &client_id));
    let report = crash.report(Duration::from_secs(1));
    assert!(report.faults.is_empty(), "{:?}", report.faults);
}

#[test]
fn a_hole_another_content_and_silence_are_faults() {
    let (mut crash, path) = crash("faults");
    std::fs::remove_file(&path).unwrap();
    let client_id = format!("{}-0-0", crash.run);
    crash.writers[0].waiting.extend([0, 1]);
    hear(&mut crash, 0, 5, &client_id, "something else");
    assert_eq!(crash.faults.count(), 2, "{:?}", crash.faults);
    assert!(!crash.is_level());
    // One message without its echo, and two sessions with gaps.
    assert_eq!(crash.report(Duration::from_secs(1)).faults.count(), 5);
}

#[test]
fn what_is_refused_for_now_is_sent_again_after_the_pause() {
    let (mut crash, path) = crash("again");
    std::fs::remove_file(&path).unwrap();
    crash.writers[1].waiting.insert(5);
    let error = |code: &str, temporary: bool| {
        serde_json::json!({ "type": "error", "code": code, "client_id": format!("{}-1-5", crash.run),
            "temporary": temporary, "retry_after_ms": 300 })
        .to_string()
    };
    let (limited, forbidden) = (error("rate_limited", true), error("forbidden", false));
    crash.on(Key(1), Happening::Text(&limited), Duration::from_millis(50));
    let writer = &crash.writers[1];
    assert_eq!((writer.again.front(), writer.waiting.len()), (Some(&5), 0));
    assert_eq!(writer.pause_until, Duration::from_millis(350));
    assert!(crash.faults.is_empty());
    crash.on(Key(1), Happening::Text(&forbidden), Duration::ZERO);
    assert_eq!(crash.faults.count(), 1);
}

#[test]
fn client_ids_are_told_apart_by_run_and_writer() {
    assert_eq!(own("a-b", 1, "a-b-1-20"), Some(20));
    for other in ["a-b-2-20", "a-c-1-20", "a-b-1", "a-b-1-x", "x"] {
        assert_eq!(own("a-b", 1, other), None, "{other}");
    }
}
