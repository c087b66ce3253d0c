//! Users: added, found, admitted, here or away, watched.

use fortifun_realtime::model::{ConversationId, MessageId, NodeId, Refused, Seq, UserId};
use fortifun_realtime::store::{Admission, Page, Reply, Request, Status};

use super::world::{World, add_user};
use super::{Rule, rules};

pub(crate) const RULES: &[Rule] = rules![
    a_name_belongs_to_one_user,
    a_user_is_found_by_their_exact_name,
    who_is_not_active_is_not_admitted,
    who_is_no_longer_active_takes_part_in_nothing,
    a_participant_is_admitted_with_the_others,
    who_may_not_enter_is_refused,
    the_blocker_is_admitted_silenced_and_the_blocked_is_not,
    presence_is_kept_and_told_to_active_conversations,
    one_watches_those_one_talks_with,
    after_a_reset_nobody_is_here,
];

fn admit(user: UserId, conversation: Option<ConversationId>) -> Request {
    Request::Admit { user, conversation }
}

impl World {
    fn admission(&mut self, user: UserId, conversation: ConversationId) -> Admission {
        match self.reply(&admit(user, Some(conversation))) {
            Reply::Admitted { conversation: Some(admission), .. } => admission,
            reply => panic!("{reply:?}"),
        }
    }

    fn presence(&mut self, user: UserId, is_online: bool) -> Vec<ConversationId> {
        match self.reply(&Request::SetPresence { user, is_online, node: NodeId(1) }) {
            Reply::Presence { user: card, is_online: online, at, conversations, .. } => {
                assert_eq!((card.id, online, at), (user, is_online, self.now));
                conversations
            }
            reply => panic!("{reply:?}"),
        }
    }

    fn watched(&mut self, user: UserId, users: &[UserId]) -> Vec<Status> {
        match self.reply(&Request::Watch { user, users: users.to_vec() }) {
            Reply::Watched(statuses) => statuses,
            reply => panic!("{reply:?}"),
        }
    }
}

fn a_name_belongs_to_one_user(world: &mut World) {
    let (a, b) = world.two();
    assert_eq!((a, b), (UserId(1), UserId(2)));
    assert_eq!(world.refusal(&add_user("ada")), Refused::NameTaken);
    assert_eq!(world.user("Ada"), UserId(3));
    world.ping();
}

fn a_user_is_found_by_their_exact_name(world: &mut World) {
    let (a, _) = world.two();
    let find = |username: &str| Request::FindUser { username: username.to_owned() };
    let Reply::UserAdded(card) = world.reply(&find("ada")) else { panic!() };
    assert_eq!((card.id, &*card.username, card.profile_picture), (a, "ada", None));
    for name in ["ADA", "ad", "", "nobody"] {
        assert_eq!(world.refusal(&find(name)), Refused::UserNotFound);
    }
    world.backdoor.deactivate(a);
    assert_eq!(world.refusal(&find("ada")), Refused::UserNotFound);
}

fn who_is_not_active_is_not_admitted(world: &mut World) {
    let (a, _, talk) = world.talk();
    let Reply::Admitted { user, conversation: None } = world.reply(&admit(a, None)) else {
        panic!()
    };
    assert_eq!(&*user.username, "ada");
    world.backdoor.deactivate(a);
    for request in [admit(a, None), admit(a, Some(talk)), admit(UserId(99), None)] {
        assert_eq!(world.refusal(&request), Refused::UserNotFound);
    }
}

fn who_is_no_longer_active_takes_part_in_nothing(world: &mut World) {
    let (a, b, talk) = world.talk();
    let Reply::MaySpeak(all) = world.reply(&Request::MaySpeak { user: a, conversation: talk })
    else {
        panic!()
    };
    assert_eq!(all, [a, b]);
    world.backdoor.deactivate(a);
    for request in [
        Request::Append {
            conversation: talk,
            sender: a,
            content: "still here".to_owned(),
            attachment: None,
            client_id: None,
        },
        Request::MarkRead { conversation: talk, reader: a, message: MessageId(1) },
        Request::Leave { conversation: talk, user: a },
        Request::MaySpeak { user: a, conversation: talk },
        Request::Conversation { user: a, conversation: talk },
        Request::History { user: a, conversation: talk, page: Page::Latest, limit: 5 },
    ] {
        assert_eq!(world.refusal(&request), Refused::UserNotFound, "{request:?}");
    }
}

fn a_participant_is_admitted_with_the_others(world: &mut World) {
    let (a, b, talk) = world.talk();
    let admission = world.admission(b, talk);
    assert_eq!((admission.id, admission.last_seq, admission.silenced), (talk, Seq(1), false));
    let [other] = &admission.others[..] else { panic!("{admission:?}") };
    assert_eq!((other.user.id, other.is_online, other.last_activity), (a, false, None));
    world.presence(a, true);
    let here = Some(world.now);
    let other = world.admission(b, talk).others.remove(0);
    assert_eq!((other.is_online, other.last_activity), (true, here));
}

fn who_may_not_enter_is_refused(world: &mut World) {
    let (a, _, talk) = world.talk();
    let stranger = world.user("cleo");
    let nowhere = admit(a, Some(ConversationId(99)));
    assert_eq!(world.refusal(&nowhere), Refused::ConversationNotFound);
    assert_eq!(world.refusal(&admit(stranger, Some(talk))), Refused::NotParticipant);
    world.reply(&Request::Leave { conversation: talk, user: a });
    assert_eq!(world.refusal(&admit(a, Some(talk))), Refused::ConversationNotFound);
}

fn the_blocker_is_admitted_silenced_and_the_blocked_is_not(world: &mut World) {
    let (a, b, talk) = world.talk();
    world.reply(&Request::Block { blocker: a, blocked: b });
    let admission = world.admission(a, talk);
    assert_eq!((admission.silenced, admission.others), (true, vec![]));
    assert_eq!(world.refusal(&admit(b, Some(talk))), Refused::NotParticipant);
}

fn presence_is_kept_and_told_to_active_conversations(world: &mut World) {
    let (a, b, first) = world.talk();
    let (c, d) = (world.user("cleo"), world.user("dora"));
    let second = world.opened(c, a).conversation.id;
    let left = world.opened(a, d).conversation.id;
    world.reply(&Request::Leave { conversation: left, user: d });
    assert_eq!(world.presence(a, true), [first, second]);
    world.reply(&Request::Block { blocker: b, blocked: a });
    assert_eq!(world.presence(a, false), [second]);
    assert_eq!(world.presence(b, true), []);
    assert_eq!(world.presence(d, true), []);
    let request = Request::SetPresence { user: UserId(99), is_online: true, node: NodeId(1) };
    assert_eq!(world.refusal(&request), Refused::UserNotFound);
    world.backdoor.deactivate(a);
    assert_eq!(world.presence(a, false), [second]);
}

fn one_watches_those_one_talks_with(world: &mut World) {
    let (a, b, _) = world.talk();
    let (c, d) = (world.user("cleo"), world.user("dora"));
    let stranger = world.user("eva");
    world.opened(c, a);
    let left = world.opened(a, d).conversation.id;
    world.reply(&Request::Leave { conversation: left, user: d });
    world.presence(c, true);
    let everyone = [stranger, d, c, c, b, a, UserId(99)];
    let seen = world.watched(a, &everyone);
    let found: Vec<_> = seen.iter().map(|status| (status.user.id, status.is_online)).collect();
    assert_eq!(found, [(b, false), (c, true)]);
    assert_eq!(world.watched(a, &[]), []);
    assert_eq!(world.watched(UserId(99), &everyone), []);
    world.reply(&Request::Block { blocker: b, blocked: a });
    world.reply(&Request::Block { blocker: a, blocked: c });
    assert_eq!(world.watched(a, &everyone), []);
}

fn after_a_reset_nobody_is_here(world: &mut World) {
    let (a, b, talk) = world.talk();
    world.presence(a, true);
    let here = world.now;
    world.backdoor.reset_presence();
    let other = world.admission(b, talk).others.remove(0);
    assert_eq!((other.is_online, other.last_activity), (false, Some(here)));
}
