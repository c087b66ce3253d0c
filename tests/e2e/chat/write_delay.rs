//! `WRITE_DELAY_MS`: what is said in a busy group waits for company, in order, and for a bounded time.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::server::UNLIMITED;
use crate::support::users::Pair;
use crate::support::{Server, Ws};

const DELAY: Duration = Duration::from_millis(800);

#[test]
fn what_follows_waits_and_leaves_together_in_order() {
    let server = Server::with(&[UNLIMITED, &[("WRITE_DELAY_MS", "800")]].concat());
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let mut bobs = Ws::v1(&server, &bob, &path);
    let mut alices = Ws::v1(&server, &alice, &path);
    // Until everybody has heard who is here.
    while bobs.got_within(DELAY * 2).is_some() {}
    // A machine that takes long to store four messages says nothing of what waited.
    let is_told = (0..20).any(|_| {
        let began = Instant::now();
        alices.send(&json!({"type": "message", "content": "first"}));
        assert_eq!(bobs.expect("message")["message"]["content"], "first");
        for n in 1..5 {
            alices.say(&json!({"type": "message", "content": format!("message {n}")}));
        }
        let is_told = began.elapsed() < DELAY / 4;
        let early = bobs.got_within(DELAY / 4);
        assert!(!is_told || early.is_none(), "{early:?} before its time");
        if is_told {
            for n in 1..5 {
                assert_eq!(bobs.expect("message")["message"]["content"], format!("message {n}"));
            }
            assert!(began.elapsed() > DELAY / 2, "after {:?}", began.elapsed());
        }
        // A conversation that was calm for a while is not busy.
        while bobs.got_within(DELAY * 2).is_some() {}
        is_told
    });
    assert!(is_told, "the store is too slow for this test");
}

#[test]
fn whatever_else_is_sent_to_a_session_takes_along_what_waits_for_it() {
    let say = |n: u32| json!({"type": "message", "content": format!("message {n}")});
    within_a_window(&[], |alices, bobs| {
        alices.say(&say(1));
        // The answer to a ping stands behind what waits.
        let before = bobs.drain();
        assert_eq!(before.len(), 1, "{before:?}");
        assert_eq!(before[0]["message"]["content"], "message 1");
        // A close does, too.
        alices.say(&say(2));
        bobs.send_text("x".repeat(70_000).as_str());
        assert_eq!(bobs.expect("message")["message"]["content"], "message 2");
        assert_eq!(bobs.closed(), 1009);
    });
}

#[test]
fn a_crowd_that_hears_much_is_not_held_up() {
    // A quarter of the soft bound may wait, here 4 KiB.
    within_a_window(&[("OUTBOUND_SOFT_BYTES", "16384")], |alices, bobs| {
        for n in 1..30 {
            alices.send(&json!({"type": "message", "content": format!("{n:0500}")}));
        }
        (1..20).for_each(|_| drop(bobs.expect("message")));
    });
}

/// Lets alice speak and bob listen in a conversation whose window of a second has begun. What they do must be over before that at
/// least once in five times: on a busy machine other things take as long.
fn within_a_window(settings: &[(&str, &str)], mut what: impl FnMut(&mut Ws, &mut Ws)) {
    let server = Server::with(&[UNLIMITED, &[("WRITE_DELAY_MS", "1000")], settings].concat());
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let mut once = || {
        let mut bobs = Ws::v1(&server, &bob, &path);
        let mut alices = Ws::v1(&server, &alice, &path);
        alices.say(&json!({"type": "message", "content": "first"}));
        bobs.expect("message");
        let began = Instant::now();
        what(&mut alices, &mut bobs);
        began.elapsed()
    };
    let took: Vec<Duration> =
        (0..5).map(|_| once()).take_while(|took| took.as_millis() >= 900).collect();
    assert!(took.len() < 5, "each time it took as long as the window: {took:?}");
}
