//! Who sends, and what is a fault in what sessions hear.

use super::*;

/// Two users of conversation 7 with one session each, of whom the first has sent one message.
fn chat() -> Chat {
    let mut chat = Chat {
        run: "r".to_owned(),
        dialect: Dialect::Fortifun,
        unnumbered: Unnumbered::default(),
        mix: Mix::new(0.0, 0.0, 1),
        outbox: Vec::new(),
        all: 1,
        due: None,
        turns: vec![0],
        tally: Tally::default(),
        measured_from: 0,
        bytes: 20,
        patience: Duration::ZERO,
        pairs: vec![Pair { conversation: 7, users: [1, 2] }],
        per_user: 1,
        places: vec![None; 2],
        orders: vec![Order::new(7)],
        joined_at: vec![None],
        sent: vec![Sent { session: 0, intended: Duration::from_millis(5), is_answered: false }],
        is_cut: false,
        heard: 0,
        foreign: 0,
        refused: 0,
        lag: latencies(),
        echo: latencies(),
        delivery: latencies(),
        faults: Faults::default(),
    };
    for session in 0..2 {
        let hello = r#"{"type":"hello","conversation":{"id":7,"last_seq":3}}"#;
        chat.on(Key(session), Happening::Text(hello), Duration::ZERO);
    }
    chat
}

fn event(seq: u64, sender: i64, client_id: &str, content: &str) -> String {
    serde_json::json!({
        "type": "message",
        "message": {
            "id": seq, "conversation_id": 7, "seq": seq, "sender": { "id": sender },
            "content": content, "client_id": client_id,
        },
    })
    .to_string()
}

fn right() -> String {
    event(4, 1, "r-0", &wire::content("r-0", 20))
}

fn hear(chat: &mut Chat, session: usize, text: &str) {
    chat.on(Key(session), Happening::Text(text), Duration::from_millis(8));
}

/// Faults where both sessions hear `text` in place of the right event.
fn faults(text: &str) -> usize {
    let mut chat = chat();
    hear(&mut chat, 0, text);
    hear(&mut chat, 1, text);
    chat.check_heard();
    chat.faults.count()
}

#[test]
fn a_message_that_all_hear_is_right_and_timed_from_its_intended_moment() {
    let mut chat = chat();
    hear(&mut chat, 0, &right());
    assert!(!chat.is_done());
    hear(&mut chat, 1, &right());
    assert!(chat.is_done());
    chat.check_joined();
    chat.check_heard();
    assert!(chat.faults.is_empty(), "{:?}", chat.faults);
    assert_eq!((chat.echo.max(), chat.delivery.max(), chat.joined_at[0]), (3_001, 3_001, Some(3)));
}

#[test]
fn what_is_not_as_it_was_sent_is_a_fault() {
    assert_eq!(faults(&right()), 0);
    assert_eq!(faults(&event(4, 1, "r-0", "other")), 2);
    assert_eq!(faults(&event(4, 2, "r-0", &wire::content("r-0", 20))), 2);
    // A hole at both, and seq 4 missing at both.
    assert_eq!(faults(&event(5, 1, "r-0", &wire::content("r-0", 20))), 4);
    assert_eq!(faults("{}"), 3);
    // Another's message is none, but ours is missing.
    assert_eq!(faults(&event(4, 1, "x-0", "other")), 1);
}

#[test]
fn silence_at_one_session_is_a_fault() {
    let mut chat = chat();
    hear(&mut chat, 0, &right());
    chat.check_heard();
    assert_eq!(chat.faults.count(), 1);
}

#[test]
fn a_refusal_an_end_and_a_missing_hello_are_faults() {
    let mut chat = chat();
    hear(&mut chat, 0, r#"{"type":"error","code":"rate_limited","client_id":"r-0"}"#);
    assert_eq!((chat.faults.count(), chat.refused, chat.is_done()), (1, 1, true));
    let ending = crate::swarm::Ending::Closed(1_011, String::new());
    chat.on(Key(1), Happening::Ended(ending), Duration::ZERO);
    assert!(chat.is_cut && chat.faults.count() == 2);
    chat.places[1] = None;
    chat.check_joined();
    assert_eq!(chat.faults.count(), 3);
}

#[test]
fn pairs_sides_and_sessions_take_turns() {
    let mut chat = chat();
    chat.pairs.push(Pair { conversation: 8, users: [3, 4] });
    chat.per_user = 2;
    let turns: Vec<_> = (0..8).map(|n| chat.sender(n)).collect();
    assert_eq!(turns, [0, 4, 2, 6, 1, 5, 3, 7]);
    assert_eq!((chat.owner(1), chat.owner(6)), ((0, 1), (1, 4)));
}

#[test]
fn without_places_a_message_that_comes_twice_or_in_another_order_is_a_fault() {
    let text = |n: usize| {
        let content = wire::content(&format!("r-{n}"), 20);
        serde_json::json!({"type": "message", "message": {"id": n, "content": content}}).to_string()
    };
    let faults = |heard: [&[usize]; 2]| {
        let mut chat = chat();
        chat.dialect = Dialect::Django;
        chat.orders = vec![Order::new(7)];
        chat.places = vec![None; 2];
        let sent = || Sent { session: 0, intended: Duration::ZERO, is_answered: false };
        chat.sent = vec![sent(), sent()];
        (0..2).for_each(|session| chat.on_hello(session, Some(0)));
        for (session, numbers) in heard.into_iter().enumerate() {
            for n in numbers {
                hear(&mut chat, session, &text(*n));
            }
        }
        chat.check_heard();
        chat.faults.count()
    };
    assert_eq!(faults([&[0, 1], &[0, 1]]), 0);
    assert!(faults([&[0, 1], &[1, 0]]) > 0);
    assert!(faults([&[0, 1], &[0, 0, 1]]) > 0);
    assert!(faults([&[0, 1], &[0]]) > 0);
}

#[test]
fn in_a_closed_loop_a_pair_sends_again_when_its_sender_has_heard() {
    let mut chat = chat();
    chat.due = Some(std::collections::VecDeque::new());
    hear(&mut chat, 1, &right());
    assert_eq!(chat.due.as_ref().map(std::collections::VecDeque::len), Some(0));
    hear(&mut chat, 0, &right());
    assert_eq!(chat.due.as_ref().map(|due| due[0]), Some(0));
    assert_eq!((chat.tally.echoed, chat.tally.delivered), (1, 1));
}
