//! Having read a message, and every earlier one.

use serde_json::{Value, json};

use crate::support::users::Pair;
use crate::support::{Server, User, Ws};

fn unread(server: &Server, user: &User) -> Value {
    server.json("/api/v1/conversations/", &user.token)[0]["unread_count"].clone()
}

#[test]
fn a_receipt_covers_what_came_before_and_a_repeat_is_silent() {
    let server = Server::start();
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let mut writer = Ws::plain(&server, &alice, &path);
    let mut reader = Ws::v1(&server, &bob, &path);
    let mut writer_chat = Ws::v1(&server, &alice, "/ws/chat/");
    let mut plain_chat = Ws::plain(&server, &alice, "/ws/chat/");
    let say = json!({"type": "message", "content": "m"});
    let ids: Vec<_> = (0..4).map(|_| writer.say(&say)["message_id"].clone()).collect();
    reader.drain();
    writer_chat.drain();
    plain_chat.drain();
    writer.drain();
    assert_eq!(unread(&server, &bob), 4);
    reader.send(&json!({"type": "read_receipt", "message_id": ids[2], "ref": "r"}));
    let told = writer.expect("read_receipt");
    assert!(told["timestamp"].as_str().unwrap().ends_with('Z'));
    let mut bare = told.clone();
    bare.as_object_mut().unwrap().remove("timestamp");
    assert_eq!(
        bare,
        json!({"type": "read_receipt", "conversation_id": conversation, "message_id": ids[2],
            "user_id": bob.id, "username": "bob"})
    );
    assert_eq!(reader.expect("read_receipt"), told);
    assert_eq!(reader.expect("ack")["ref"], "r");
    assert_eq!(writer_chat.expect("read_receipt"), told);
    plain_chat.expect_nothing();
    assert_eq!(unread(&server, &bob), 1);
    let history =
        server.json(&format!("/api/v1/conversations/{conversation}/messages/"), &alice.token);
    let by_alice = history.as_array().unwrap().iter().filter(|m| m["sender"]["id"] == alice.id);
    let read: Vec<_> = by_alice.map(|m| m["is_read"].as_bool().unwrap()).collect();
    assert_eq!(read, [true, true, true, false]);
    // Neither the same nor an earlier one is news.
    for id in [&ids[2], &ids[0]] {
        reader.send(&json!({"type": "read_receipt", "message_id": id, "ref": "again"}));
        assert_eq!(reader.expect("ack")["ref"], "again");
    }
    writer.expect_nothing();
    // By REST it is the same, and told the same.
    let mark = format!(
        "/api/v1/conversations/{conversation}/messages/{}/mark_read/",
        ids[3].as_i64().unwrap()
    );
    assert_eq!(server.ask("POST", &mark, &bob.token, None).status, 200);
    assert_eq!(writer.expect("read_receipt")["message_id"], ids[3]);
    assert_eq!(reader.expect("read_receipt")["message_id"], ids[3]);
    assert_eq!(unread(&server, &bob), 0);
}

#[test]
fn a_receipt_of_a_message_elsewhere_changes_nothing() {
    let server = Server::start();
    let Pair { alice, bob, conversation } = server.pair();
    let others = server.users(&["carol", "dave"]);
    let elsewhere = server.matched(&others[0], &others[1]);
    let mut there = Ws::v1(&server, &others[0], &format!("/ws/conversations/{elsewhere}/"));
    let id = there.say(&json!({"type": "message", "content": "elsewhere"}))["message_id"].clone();
    let mut ws = Ws::v1(&server, &alice, &format!("/ws/conversations/{conversation}/"));
    let mut chat = Ws::v1(&server, &bob, "/ws/chat/");
    for id in [id, json!(1_000_000)] {
        ws.send(&json!({"type": "read_receipt", "message_id": id, "ref": "r"}));
        assert_eq!(ws.expect_error("not_found")["ref"], "r");
        let on_chat = json!({"type": "read_receipt", "message_id": id, "ref": "c",
            "conversation_id": conversation});
        chat.send(&on_chat);
        assert_eq!(chat.expect_error("not_found")["ref"], "c");
    }
    there.expect_nothing();
}
