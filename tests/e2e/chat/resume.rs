//! Coming back: everything that was missed, in order, once, and then what is live.

use std::thread;

use fortifun_realtime::ids::{ConversationId, UserId};
use fortifun_realtime::store::Request;
use serde_json::{Value, json};

use crate::support::server::UNLIMITED;
use crate::support::users::Pair;
use crate::support::{Server, User, Ws};

/// Stores messages of `sender` behind the server's back.
fn store(server: &Server, sender: &User, conversation: i64, count: usize) {
    let append = |number| Request::Append {
        conversation: ConversationId(conversation),
        sender: UserId(sender.id),
        content: format!("message {number}"),
        attachment: None,
        client_id: None,
    };
    let requests: Vec<_> = (0..count).map(append).collect();
    assert!(server.commit(&requests).iter().all(Result::is_ok));
}

/// Reads what a resume replays: `seq` by `seq` from `from` on, up to its `resumed`.
fn replayed(ws: &mut Ws, kind: &str, from: i64) -> (i64, Value) {
    let mut next = from;
    loop {
        let event = ws.next();
        if event["type"] == "resumed" {
            return (next, event);
        }
        assert_eq!((&event["type"], &event["message"]["seq"]), (&json!(kind), &json!(next)));
        next += 1;
    }
}

#[test]
fn a_resume_replays_what_was_missed_in_the_live_form() {
    let server = Server::start();
    let Pair { alice, bob, conversation } = server.pair();
    let other = server.matched(&alice, &server.users(&["carol"])[0]);
    store(&server, &bob, conversation, 119);
    store(&server, &alice, other, 2);
    let path = format!("/ws/conversations/{conversation}/");
    let resumed = |id: i64, last_seq: i64| json!({"type": "resumed", "conversation_id": id, "last_seq": last_seq, "complete": true});
    let (mut ws, hello) = Ws::v1_with_hello(&server, &alice, &path);
    assert_eq!(hello["conversation"]["last_seq"], 120);
    ws.send(&json!({"type": "resume", "after_seq": 20, "ref": "r"}));
    assert_eq!(replayed(&mut ws, "message", 21), (121, resumed(conversation, 120)));
    assert_eq!(ws.expect("ack")["ref"], "r");
    // Nothing missing, and more than there is.
    for after in [120, 5_000] {
        ws.send(&json!({"type": "resume", "after_seq": after}));
        assert_eq!(ws.expect("resumed"), resumed(conversation, 120));
    }
    let mut since = Ws::v1(&server, &alice, &format!("{path}?since=118"));
    assert_eq!(replayed(&mut since, "message", 119), (121, resumed(conversation, 120)));
    let mut plain = Ws::plain(&server, &bob, &format!("{path}?since=119"));
    assert_eq!(replayed(&mut plain, "message", 120), (121, resumed(conversation, 120)));
    // On the chat socket, several conversations at once, as news.
    let mut chat = Ws::v1(&server, &alice, "/ws/chat/");
    let after = json!({conversation.to_string(): 110, other.to_string(): 0});
    chat.send(&json!({"type": "resume", "after": after, "ref": "r"}));
    assert_eq!(replayed(&mut chat, "new_message", 111), (121, resumed(conversation, 120)));
    assert_eq!(replayed(&mut chat, "new_message", 1), (4, resumed(other, 3)));
    assert_eq!(chat.expect("ack")["ref"], "r");
    let query = format!("/ws/chat/?since={conversation}:119,{other}:3");
    let mut since = Ws::v1(&server, &alice, &query);
    assert_eq!(replayed(&mut since, "new_message", 120), (121, resumed(conversation, 120)));
    assert_eq!(replayed(&mut since, "new_message", 4), (4, resumed(other, 3)));
    for mut ws in [ws, plain, chat, since] {
        ws.expect_nothing();
    }
}

#[test]
fn a_resume_of_more_than_a_thousand_is_cut_and_goes_on_where_it_was() {
    let server = Server::start();
    let Pair { alice, bob, conversation } = server.pair();
    store(&server, &bob, conversation, 1_200);
    let path = format!("/ws/conversations/{conversation}/");
    let mut ws = Ws::v1(&server, &alice, &format!("{path}?since=0"));
    let (next, resumed) = replayed(&mut ws, "message", 1);
    assert!((1_000..1_050).contains(&(next - 1)), "{next}");
    assert_eq!((&resumed["complete"], &resumed["last_seq"]), (&json!(false), &json!(next - 1)));
    ws.send(&json!({"type": "resume", "after_seq": next - 1}));
    let (end, resumed) = replayed(&mut ws, "message", next);
    assert_eq!(
        (end, &resumed["complete"], &resumed["last_seq"]),
        (1_202, &json!(true), &json!(1_201))
    );
    let mut chat = Ws::v1(&server, &alice, "/ws/chat/");
    chat.send(&json!({"type": "resume", "after": {conversation.to_string(): 0}}));
    let (next, resumed) = replayed(&mut chat, "new_message", 1);
    assert_eq!((&resumed["complete"], &resumed["last_seq"]), (&json!(false), &json!(next - 1)));
}

/// Readers come and go while somebody talks: each sees every message after its place, once and in order.
#[test]
fn a_resume_joins_what_is_live_without_gap_or_repeat() {
    const MESSAGES: i64 = 300;
    let server = Server::with(UNLIMITED);
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    thread::scope(|scope| {
        let mut mouth = Ws::v1(&server, &bob, &path);
        scope.spawn(move || {
            for _ in 0..MESSAGES {
                mouth.say(&json!({"type": "message", "content": "m"}));
            }
        });
        let mut seen = 1;
        let mut visits = 0;
        while seen < MESSAGES + 1 {
            let mut ws = if visits % 2 == 0 {
                Ws::plain(&server, &alice, &format!("{path}?since={seen}"))
            } else {
                let mut ws = Ws::plain(&server, &alice, &path);
                ws.send(&json!({"type": "resume", "after_seq": seen}));
                ws
            };
            visits += 1;
            // Before the resume was read, what is live may come first.
            let mut is_resumed = false;
            let stay = seen + 15;
            while seen < stay.min(MESSAGES + 1) || !is_resumed {
                let event = ws.next();
                if event["type"] == "resumed" {
                    is_resumed = true;
                    assert!(event["last_seq"].as_i64().unwrap() >= seen.min(stay));
                    continue;
                }
                let seq = event["message"]["seq"].as_i64().unwrap();
                if seq > seen {
                    if seq == seen + 1 {
                        seen = seq;
                    } else {
                        assert!(!is_resumed, "a gap: {seq} after {seen}");
                    }
                } else {
                    assert!(!is_resumed, "a repeat: {seq} after {seen}");
                }
            }
        }
        println!("{visits} visits");
    });
}
