use super::*;
use crate::model::{MessageId, Seq};

const AT: Timestamp = Timestamp(1_704_067_200_000_000);

fn encoder() -> Encoder {
    Encoder::new("/media/")
}

fn card() -> Card {
    Card { id: UserId(2), username: "jane".into(), profile_picture: Some("p.png".into()) }
}

fn view(conversation: Option<ConversationId>) -> MatchView {
    let other = Profile {
        card: card(),
        first_name: "Jane".into(),
        last_name: String::new(),
        bio: None,
        location: Some("Lyon".into()),
        is_online: true,
        last_activity: Some(AT),
    };
    MatchView { id: MatchId(9), created_at: AT, is_active: true, other, conversation }
}

fn check(body: &[u8], json: &str) {
    assert_eq!(std::str::from_utf8(body).unwrap(), json);
}

const PROFILE: &str = r#""id":2,"username":"jane","first_name":"Jane","last_name":"","profile_picture":"/media/p.png","bio":null,"location":"Lyon","is_online":true,"last_activity":"2024-01-01T00:00:00Z""#;

#[test]
fn lists_of_matches_are_written_as_the_contract_shows_them() {
    let (with, without) = (view(Some(ConversationId(4))), view(None));
    let recent = |id: &str| {
        format!(
            r#"{{{PROFILE},"match_created_at":"2024-01-01T00:00:00Z","match_id":9,"conversation_id":{id}}}"#
        )
    };
    check(
        &encoder().recent_matches_body(&[with.clone(), without]),
        &format!("[{},{}]", recent("4"), recent("null")),
    );
    let result = format!(
        r#"{{"id":9,"created_at":"2024-01-01T00:00:00Z","is_active":true,"matched_user":{{{PROFILE}}}}}"#
    );
    check(
        &encoder().matches_body(
            &MatchPage { count: 3, results: vec![with] },
            Some("/m?page=2"),
            None,
        ),
        &format!(r#"{{"count":3,"next":"/m?page=2","previous":null,"results":[{result}]}}"#),
    );
}

#[test]
fn a_like_says_whether_it_made_a_match() {
    let made = Match { id: MatchId(9), conversation: ConversationId(4), created_at: AT };
    check(&encoder().liked_body("Liked.", None), r#"{"detail":"Liked.","is_match":false}"#);
    check(
        &encoder().liked_body("Matched.", Some((&made, &card()))),
        r#"{"detail":"Matched.","is_match":true,"match":{"id":9,"conversation_id":4,"user":{"id":2,"username":"jane","profile_picture":"/media/p.png"},"created_at":"2024-01-01T00:00:00Z"}}"#,
    );
}

#[test]
fn arrays_are_bare_and_hold_the_frames_own_shapes() {
    let message = Message {
        id: MessageId(1),
        conversation: ConversationId(4),
        seq: Seq(1),
        sender: card(),
        content: "hi".into(),
        created_at: AT,
        is_read: true,
        attachment: None,
        client_id: None,
    };
    let conversation = Conversation {
        id: ConversationId(4),
        participants: vec![card()],
        created_at: AT,
        updated_at: AT,
        is_active: true,
        last_message: None,
        last_seq: Seq(0),
        unread_count: 0,
    };
    let shown = r#"{"id":1,"conversation_id":4,"seq":1,"sender":{"id":2,"username":"jane","profile_picture":"/media/p.png"},"content":"hi","created_at":"2024-01-01T00:00:00Z","is_read":true,"attachment":null,"client_id":null}"#;
    check(&encoder().message_body(&message), shown);
    check(&encoder().messages_body(&[message.clone(), message]), &format!("[{shown},{shown}]"));
    check(&encoder().messages_body(&[]), "[]");
    let shown = r#"{"id":4,"participants":[{"id":2,"username":"jane","profile_picture":"/media/p.png"}],"created_at":"2024-01-01T00:00:00Z","updated_at":"2024-01-01T00:00:00Z","is_active":true,"last_message":null,"last_seq":0,"unread_count":0}"#;
    check(&encoder().conversation_body(&conversation), shown);
    check(&encoder().conversations_body(&[conversation]), &format!("[{shown}]"));
}

#[test]
fn a_detail_is_an_object() {
    check(&detail_body("Done \"so\"."), r#"{"detail":"Done \"so\"."}"#);
}

#[test]
fn requests_are_read() {
    assert_eq!(
        new_conversation(br#"{"participant_id":7,"message":" hi ","client_id":"c"}"#),
        Ok(NewConversation {
            participant: UserId(7),
            message: "hi".into(),
            client_id: Some("c".into())
        })
    );
    assert_eq!(
        new_message(br#"{"content":"hi","attachment":null,"x":1}"#),
        Ok(NewMessage { content: "hi".into(), attachment: None, client_id: None })
    );
    assert_eq!(target(br#"{"user_id":7}"#), Ok(UserId(7)));
}

#[test]
fn a_bad_request_names_the_field() {
    let says = |fault: Fault<'_>| (fault.code, fault.message.into_owned());
    let field = |message: &str| (ErrorCode::InvalidField, message.to_owned());
    for (body, wrong) in [
        (&br#"{"message":"hi"}"#[..], "participant_id: missing"),
        (
            br#"{"participant_id":"7","message":"hi"}"#,
            "participant_id: expected an integer, got string",
        ),
        (br#"{"participant_id":0,"message":"hi"}"#, "participant_id: expected at least 1"),
        (br#"{"participant_id":7}"#, "message: missing"),
        (br#"{"participant_id":7,"message":" "}"#, "message: empty"),
        (
            br#"{"participant_id":7,"message":"a","client_id":""}"#,
            "client_id: expected 1 to 64 bytes",
        ),
    ] {
        assert_eq!(says(new_conversation(body).unwrap_err()), field(wrong));
    }
    assert_eq!(says(new_message(b"{}").unwrap_err()), field("content: missing"));
    assert_eq!(says(target(b"{}").unwrap_err()), field("user_id: missing"));
    let carried = new_message(br#"{"client_id":"c1"}"#).unwrap_err();
    assert_eq!(carried.client_id.as_deref(), Some("c1"));
    for (body, code) in [
        (&b"{\"user_id\":\xff}"[..], ErrorCode::InvalidJson),
        (b"", ErrorCode::InvalidJson),
        (b"[]", ErrorCode::InvalidCommand),
    ] {
        assert_eq!(target(body).unwrap_err().code, code);
    }
}

#[test]
fn an_idempotency_key_is_bounded_as_a_client_id_is() {
    assert_eq!(check_idempotency_key("k"), Ok(()));
    assert!(check_idempotency_key(&"k".repeat(64)).is_ok());
    for key in ["", &"k".repeat(65), "\0"] {
        let fault = check_idempotency_key(key).unwrap_err();
        assert!(fault.message.starts_with("Idempotency-Key: "));
    }
}
