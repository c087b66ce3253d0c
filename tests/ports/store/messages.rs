//! Messages: stored once, placed without holes, read, paged.

use fortifun_realtime::model::{ConversationId, MessageId, Refused, Seq, UserId};
use fortifun_realtime::store::{Page, Reply, Request};

use super::world::{Line, World, append, append_as};
use super::{Rule, rules};

pub(crate) const RULES: &[Rule] = rules![
    a_message_is_answered_as_it_is_stored,
    an_attachment_is_kept_and_an_empty_one_is_none,
    a_known_client_id_stores_nothing_and_answers_the_stored_message,
    a_client_id_belongs_to_one_conversation_and_one_sender,
    a_repeat_is_told_so_even_after_a_block,
    who_may_not_speak_is_refused,
    reading_marks_every_earlier_message_of_others,
    reading_backwards_or_again_changes_nothing,
    who_may_not_read_marks_nothing,
    a_message_is_read_where_it_was_said,
    history_pages_both_ways,
    history_is_for_participants,
];

fn history(user: UserId, conversation: ConversationId, page: Page, limit: usize) -> Request {
    Request::History { user, conversation, page, limit }
}

fn a_message_is_answered_as_it_is_stored(world: &mut World) {
    let (a, b, talk) = world.talk();
    let Reply::Appended { message, participants, duplicate } =
        world.reply(&append_as(talk, b, "héllo ✓", "k"))
    else {
        panic!("not appended");
    };
    assert_eq!((message.seq, message.conversation), (Seq(2), talk));
    assert_eq!((&*message.sender.username, message.sender.id), ("bea", b));
    assert_eq!((message.created_at, message.is_read), (world.now, false));
    assert_eq!(participants, [a, b]);
    assert!(!duplicate);
    let Reply::History { messages, last_seq } = world.reply(&history(a, talk, Page::Latest, 1))
    else {
        panic!("no history");
    };
    assert_eq!((messages, last_seq), (vec![message], Seq(2)));
}

fn an_attachment_is_kept_and_an_empty_one_is_none(world: &mut World) {
    let (a, _, talk) = world.talk();
    for (given, kept) in [(Some("a/b c.png"), Some("a/b c.png")), (Some(""), None), (None, None)] {
        let request = Request::Append {
            conversation: talk,
            sender: a,
            content: "look".to_owned(),
            attachment: given.map(str::to_owned),
            client_id: None,
        };
        let Reply::Appended { message, .. } = world.reply(&request) else { panic!() };
        assert_eq!(message.attachment.as_deref(), kept);
        let Reply::History { messages, .. } = world.reply(&history(a, talk, Page::Latest, 1))
        else {
            panic!()
        };
        assert_eq!(messages, [message]);
    }
}

fn a_known_client_id_stores_nothing_and_answers_the_stored_message(world: &mut World) {
    let (a, b, talk) = world.talk();
    let Reply::Appended { message: first, .. } = world.reply(&append_as(talk, a, "once", "k"))
    else {
        panic!()
    };
    world.say(talk, a, "between");
    let stored = world.backdoor.tables();
    let Reply::Appended { message, participants, duplicate } =
        world.reply(&append_as(talk, a, "another text", "k"))
    else {
        panic!()
    };
    assert!(duplicate);
    assert_eq!((message, participants), (first, vec![a, b]));
    assert_eq!(world.backdoor.tables(), stored);
}

fn a_client_id_belongs_to_one_conversation_and_one_sender(world: &mut World) {
    let (a, b, talk) = world.talk();
    let c = world.user("cleo");
    let other = world.opened(a, c).conversation.id;
    for request in [
        append_as(talk, a, "1", "k"),
        append_as(talk, b, "2", "k"),
        append_as(other, a, "3", "k"),
        append_as(talk, a, "4", "K"),
    ] {
        let reply = world.reply(&request);
        assert!(matches!(reply, Reply::Appended { duplicate: false, .. }), "{reply:?}");
    }
}

fn a_repeat_is_told_so_even_after_a_block(world: &mut World) {
    let (a, b, talk) = world.talk();
    world.reply(&append_as(talk, a, "once", "k"));
    world.reply(&Request::Block { blocker: b, blocked: a });
    let reply = world.reply(&append_as(talk, a, "once", "k"));
    assert!(matches!(reply, Reply::Appended { duplicate: true, .. }), "{reply:?}");
    assert_eq!(world.refusal(&append_as(talk, a, "twice", "l")), Refused::Silenced);
}

fn who_may_not_speak_is_refused(world: &mut World) {
    let (a, b, talk) = world.talk();
    let stranger = world.user("cleo");
    let nowhere = ConversationId(99);
    let may_speak = |user, conversation| Request::MaySpeak { user, conversation };
    for (user, place, why) in [
        (a, nowhere, Refused::ConversationNotFound),
        (stranger, talk, Refused::NotParticipant),
        (UserId(99), talk, Refused::NotParticipant),
    ] {
        assert_eq!(world.refusal(&append(place, user, "x")), why);
        assert_eq!(world.refusal(&may_speak(user, place)), why);
    }
    assert_eq!(world.reply(&may_speak(a, talk)), Reply::MaySpeak(vec![a, b]));
    world.reply(&Request::Block { blocker: a, blocked: b });
    for user in [a, b] {
        assert_eq!(world.refusal(&append(talk, user, "x")), Refused::Silenced);
        assert_eq!(world.refusal(&may_speak(user, talk)), Refused::Silenced);
    }
    world.reply(&Request::Unblock { blocker: a, blocked: b });
    world.say(talk, b, "again");
    world.reply(&Request::Leave { conversation: talk, user: b });
    for user in [a, b] {
        assert_eq!(world.refusal(&append(talk, user, "x")), Refused::ConversationNotFound);
        assert_eq!(world.refusal(&may_speak(user, talk)), Refused::ConversationNotFound);
    }
}

fn reading_marks_every_earlier_message_of_others(world: &mut World) {
    let (a, b, talk) = world.talk();
    let second = world.say(talk, a, "second");
    let answer = world.say(talk, b, "answer");
    let third = world.say(talk, a, "third");
    let Reply::MarkedRead { reader, newly, at, message, conversation, participants } =
        world.reply(&Request::MarkRead { conversation: talk, reader: b, message: answer.id })
    else {
        panic!()
    };
    assert_eq!((reader.id, &*reader.username, newly, at), (b, "bea", 2, world.now));
    assert_eq!((message, conversation, participants), (answer.id, talk, vec![a, b]));
    let tables = world.backdoor.tables();
    let read = |line: &&Line| line.is_read;
    let read: Vec<_> = tables.messages.iter().filter(read).map(|line| line.seq).collect();
    assert_eq!(read, [Seq(1), second.seq]);
    assert_eq!(tables.reads, [(MessageId(1), b), (second.id, b)]);
    assert_eq!(world.newly(talk, b, third.id), 1);
    assert_eq!(world.newly(talk, a, third.id), 1);
}

fn reading_backwards_or_again_changes_nothing(world: &mut World) {
    let (a, b, talk) = world.talk();
    let second = world.say(talk, a, "second");
    assert_eq!(world.newly(talk, b, second.id), 2);
    let stored = world.backdoor.tables();
    assert_eq!(world.newly(talk, b, second.id), 0);
    assert_eq!(world.newly(talk, b, MessageId(1)), 0);
    assert_eq!(world.newly(talk, a, second.id), 0);
    assert_eq!(world.backdoor.tables(), stored);
}

fn who_may_not_read_marks_nothing(world: &mut World) {
    let (a, b, talk) = world.talk();
    let stranger = world.user("cleo");
    let message = MessageId(1);
    let mark = |reader, conversation| Request::MarkRead { conversation, reader, message };
    assert_eq!(world.refusal(&mark(stranger, talk)), Refused::NotParticipant);
    assert_eq!(world.refusal(&mark(b, ConversationId(99))), Refused::ConversationNotFound);
    world.reply(&Request::Block { blocker: a, blocked: b });
    assert_eq!(world.refusal(&mark(b, talk)), Refused::NotParticipant);
    world.reply(&Request::Unblock { blocker: a, blocked: b });
    world.reply(&Request::Leave { conversation: talk, user: a });
    assert_eq!(world.refusal(&mark(b, talk)), Refused::ConversationNotFound);
}

fn a_message_is_read_where_it_was_said(world: &mut World) {
    let (a, b, talk) = world.talk();
    let c = world.user("cleo");
    let elsewhere = world.opened(c, b).message;
    for message in [elsewhere.id, MessageId(99)] {
        let request = Request::MarkRead { conversation: talk, reader: b, message };
        assert_eq!(world.refusal(&request), Refused::MessageNotFound);
    }
    assert_eq!(world.newly(talk, a, MessageId(1)), 0);
}

fn history_pages_both_ways(world: &mut World) {
    let (a, b, talk) = world.talk();
    for n in 2..=10 {
        world.say(talk, if n % 2 == 0 { a } else { b }, &n.to_string());
    }
    for (page, limit, expect) in [
        (Page::Latest, 3, vec![8, 9, 10]),
        (Page::Latest, 50, (1..=10).collect()),
        (Page::Latest, 0, vec![]),
        (Page::Before(Seq(8)), 3, vec![5, 6, 7]),
        (Page::Before(Seq(3)), 3, vec![1, 2]),
        (Page::Before(Seq(1)), 3, vec![]),
        (Page::Before(Seq(-5)), 3, vec![]),
        (Page::Before(Seq(i64::MAX)), 2, vec![9, 10]),
        (Page::Before(Seq(i64::MIN)), 2, vec![]),
        (Page::After(Seq(0)), 3, vec![1, 2, 3]),
        (Page::After(Seq(-5)), 2, vec![1, 2]),
        (Page::After(Seq(8)), 3, vec![9, 10]),
        (Page::After(Seq(10)), 3, vec![]),
        (Page::After(Seq(i64::MAX)), 3, vec![]),
        (Page::After(Seq(0)), usize::MAX, (1..=10).collect()),
    ] {
        assert_eq!(world.seqs(&history(b, talk, page, limit)), expect, "{page:?} {limit}");
    }
}

fn history_is_for_participants(world: &mut World) {
    let (a, b, talk) = world.talk();
    let stranger = world.user("cleo");
    let latest = |user, conversation| history(user, conversation, Page::Latest, 50);
    assert_eq!(world.refusal(&latest(stranger, talk)), Refused::NotParticipant);
    assert_eq!(world.refusal(&latest(a, ConversationId(99))), Refused::ConversationNotFound);
    world.reply(&Request::Block { blocker: a, blocked: b });
    assert_eq!(world.refusal(&latest(b, talk)), Refused::NotParticipant);
    assert_eq!(world.seqs(&latest(a, talk)), [1]);
    world.reply(&Request::Leave { conversation: talk, user: a });
    assert_eq!(world.refusal(&latest(a, talk)), Refused::ConversationNotFound);
}
