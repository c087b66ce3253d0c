//! Batches: in order, all or nothing, refusals harmless.

use fortifun_realtime::model::{ConversationId, Refused, Seq};
use fortifun_realtime::store::{Failure, Page, Reply, Request, StoreErrorKind};

use super::world::{World, add_user, append, append_as, like};
use super::{Rule, rules};

pub(crate) const RULES: &[Rule] = rules![
    an_empty_batch_is_nothing,
    outcomes_come_in_the_order_of_requests,
    a_request_sees_what_its_batch_did_before,
    refusals_leave_no_holes,
    a_repeat_within_a_batch_is_a_repeat,
    a_broken_constraint_undoes_the_batch,
    a_batch_may_hold_reads,
    a_write_is_not_read,
];

fn an_empty_batch_is_nothing(world: &mut World) {
    assert_eq!(world.commit(&[]), Ok(vec![]));
}

fn outcomes_come_in_the_order_of_requests(world: &mut World) {
    let (a, b, talk) = world.talk();
    let batch: Vec<_> =
        (0..200).map(|n| append(talk, if n % 3 == 0 { a } else { b }, &n.to_string())).collect();
    let outcomes = world.commit(&batch).unwrap();
    assert_eq!(outcomes.len(), batch.len());
    for (n, outcome) in (0..).zip(outcomes) {
        let Ok(Reply::Appended { message, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!((message.seq, &*message.content), (Seq(n + 2), &*n.to_string()));
        assert_eq!(message.created_at, world.now);
    }
}

fn a_request_sees_what_its_batch_did_before(world: &mut World) {
    let (a, b) = world.two();
    let talk = ConversationId(1);
    let batch = [
        append(talk, a, "too early"),
        like(a, b),
        like(b, a),
        append(talk, a, "in time"),
        Request::Leave { conversation: talk, user: a },
        append(talk, b, "too late"),
    ];
    let outcomes = world.commit(&batch).unwrap();
    let refused = Err(Failure::Refused(Refused::ConversationNotFound));
    assert_eq!((&outcomes[0], &outcomes[5]), (&refused, &refused));
    assert!(outcomes[1..5].iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(world.backdoor.tables().messages.len(), 2);
}

fn refusals_leave_no_holes(world: &mut World) {
    let (a, b, talk) = world.talk();
    let stranger = world.user("cleo");
    for size in 1..=12 {
        let batch: Vec<_> = (0..size)
            .flat_map(|n| {
                [
                    append(talk, a, "kept"),
                    append(talk, stranger, "refused"),
                    append_as(talk, b, "kept once", &format!("{size} {}", n / 2)),
                    append(ConversationId(99), a, "refused"),
                    like(a, a),
                ]
            })
            .collect();
        world.commit(&batch).unwrap();
    }
    let tables = world.backdoor.tables();
    let places: Vec<_> = tables.messages.iter().map(|line| line.seq.0).collect();
    let kept = tables.messages.iter().filter(|line| line.content == "kept").count();
    assert_eq!(kept, 78);
    assert_eq!(places, (1..=places.len() as i64).collect::<Vec<_>>());
    assert!(tables.messages.iter().all(|line| line.content != "refused"));
}

fn a_repeat_within_a_batch_is_a_repeat(world: &mut World) {
    let (a, _, talk) = world.talk();
    let outcomes = world.commit(&vec![append_as(talk, a, "once", "k"); 3]).unwrap();
    let duplicates: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(Reply::Appended { message, duplicate, .. }) => (message.seq.0, *duplicate),
            _ => panic!("{outcome:?}"),
        })
        .collect();
    assert_eq!(duplicates, [(2, false), (2, true), (2, true)]);
}

fn a_broken_constraint_undoes_the_batch(world: &mut World) {
    let (a, b, talk) = world.talk();
    let wide = Request::Append {
        conversation: talk,
        sender: a,
        content: "wide".to_owned(),
        attachment: Some("é".repeat(101)),
        client_id: None,
    };
    let before = world.backdoor.tables();
    for poison in [wide, add_user(""), add_user(&"n".repeat(151))] {
        let batch = [append(talk, a, "1"), like(a, b), like(b, a), poison, append(talk, a, "2")];
        assert_eq!(world.commit(&batch), Err(StoreErrorKind::Poisoned));
        assert_eq!(world.backdoor.tables(), before);
    }
    assert_eq!(world.say(talk, a, "next").seq, Seq(2));
    world.user(&"é".repeat(150));
}

fn a_batch_may_hold_reads(world: &mut World) {
    let (a, _, talk) = world.talk();
    let latest = Request::History { user: a, conversation: talk, page: Page::Latest, limit: 9 };
    let outcomes = world.commit(&[append(talk, a, "second"), latest]).unwrap();
    let Ok(Reply::History { messages, last_seq }) = &outcomes[1] else { panic!("{outcomes:?}") };
    assert_eq!((messages.len(), *last_seq), (2, Seq(2)));
}

fn a_write_is_not_read(world: &mut World) {
    let (a, _, talk) = world.talk();
    let before = world.backdoor.tables();
    assert_eq!(world.misread(&append(talk, a, "x")), StoreErrorKind::Internal);
    assert_eq!(world.backdoor.tables(), before);
}
