//! What a reply tells, and to whom.

use bytes::Bytes;

use crate::channel::{Delivery, Payload};
use crate::model::{
    Card, ConnRef, Control, ConversationId, Event, Group, Message, Seq, Topic, UserId, close,
};
use crate::store::{Gone, Made, Opened, Reply};
use crate::time::Timestamp;
use crate::wire::Encoder;

/// Hands `f` the deliveries of a committed `reply`, in their order; each event is encoded once. `from` is the session that
/// asked: it gets its own message by the frame that is returned, which goes with the outcome to
/// [`complete`](super::complete()).
///
/// Called by the thread that committed, in commit order, so that the order of deliveries is that of commits.
pub fn publication(
    reply: &Reply,
    from: Option<ConnRef>,
    encoder: &Encoder,
    f: &mut dyn FnMut(Delivery),
) -> Option<Bytes> {
    let mut to = Publisher { encoder, f };
    match reply {
        Reply::Appended { message, participants, duplicate } if !duplicate => {
            return Some(to.message(message, participants, from));
        }
        Reply::MarkedRead { conversation, message, reader, newly, at, participants }
            if *newly > 0 =>
        {
            let (conversation, message, at) = (*conversation, *message, *at);
            let event = Event::ReadReceipt { conversation, message, reader, at };
            let frame = encoder.event(&event);
            for user in participants {
                to.frame(Group::User(*user), Topic::Activity, frame.clone(), None, None);
            }
            to.frame(Group::Conversation(conversation), Topic::Conversation, frame, None, None);
        }
        Reply::Liked { liker, liked, made } => to.like(liker, liked, made.as_deref()),
        Reply::Blocked { blocker, blocked, conversations } => {
            to.block(*blocker, *blocked, conversations);
        }
        Reply::Unblocked { conversations } => {
            for conversation in conversations {
                to.control(Group::Conversation(*conversation), Control::Silence(false));
            }
        }
        Reply::Opened(opened) => to.opened(opened),
        Reply::Left { conversation } => {
            let disband = Control::Disband { code: close::NOT_FOUND };
            to.control(Group::Conversation(*conversation), disband);
        }
        Reply::Presence { user, is_online, is_changed: true, at, conversations } => {
            to.presence(user, *is_online, *at, conversations);
        }
        Reply::Lease { offline, .. } => {
            for Gone { user, at, conversations } in offline {
                to.presence(user, false, *at, conversations);
            }
        }
        Reply::Appended { .. }
        | Reply::MarkedRead { .. }
        | Reply::Presence { .. }
        | Reply::UserAdded(_)
        | Reply::Admitted { .. }
        | Reply::MaySpeak(_)
        | Reply::Watched(_)
        | Reply::History { .. }
        | Reply::Conversations(_)
        | Reply::Matches(_)
        | Reply::Revocations(_)
        | Reply::Standings(_)
        | Reply::Since(_)
        | Reply::Places(_)
        | Reply::Done => {}
    }
    None
}

struct Publisher<'a> {
    encoder: &'a Encoder,
    f: &'a mut dyn FnMut(Delivery),
}

/// Where a stored message stands.
type Place = Option<(ConversationId, Seq)>;

impl Publisher<'_> {
    /// To the conversation; to the other participants; to the sender's other devices. Returns the conversation's frame.
    fn message(
        &mut self,
        message: &Message,
        participants: &[UserId],
        from: Option<ConnRef>,
    ) -> Bytes {
        let place = Some((message.conversation, message.seq));
        let [told, news] = self.encoder.message(message);
        let echo = told.clone();
        let group = Group::Conversation(message.conversation);
        self.frame(group, Topic::Conversation, told, place, None);
        for user in participants {
            let is_sender = *user == message.sender.id;
            let topic = if is_sender { Topic::OwnMessages } else { Topic::Messages };
            let except = from.filter(|_| is_sender);
            self.frame(Group::User(*user), topic, news.clone(), place, except);
        }
        echo
    }

    fn like(&mut self, liker: &Card, liked: &Card, made: Option<&Made>) {
        let Some(Made { made, welcome }) = made else {
            return self.event(Group::User(liked.id), Topic::Matches, &Event::NewLike { liker });
        };
        for (user, other) in [(liker, liked), (liked, liker)] {
            let event = Event::NewMatch { made, other };
            self.event(Group::User(user.id), Topic::Matches, &event);
        }
        if let Some(welcome) = welcome {
            self.message(welcome, &[liker.id, liked.id], None);
        }
    }

    /// Both fall silent, the blocked one's sockets close, and neither watches the other any more.
    fn block(&mut self, blocker: UserId, blocked: UserId, conversations: &[ConversationId]) {
        for conversation in conversations {
            let group = Group::Conversation(*conversation);
            self.control(group, Control::Silence(true));
            self.control(group, Control::Evict { user: blocked, code: close::FORBIDDEN });
        }
        self.control(Group::User(blocker), Control::Unwatch(blocked));
        self.control(Group::User(blocked), Control::Unwatch(blocker));
    }

    fn opened(&mut self, opened: &Opened) {
        let Opened { conversation, for_participant, message, duplicate } = opened;
        let creator = message.sender.id;
        let participants: Vec<UserId> =
            conversation.participants.iter().map(|card| card.id).collect();
        if let Some(for_participant) = for_participant {
            for user in &participants {
                let view = if *user == creator { conversation } else { for_participant };
                let event = Event::ConversationCreated(view);
                self.event(Group::User(*user), Topic::Other, &event);
            }
        }
        if !duplicate {
            self.message(message, &participants, None);
        }
    }

    fn presence(
        &mut self,
        user: &Card,
        is_online: bool,
        at: Timestamp,
        conversations: &[ConversationId],
    ) {
        let event = Event::UserStatus { user, is_online, last_activity: Some(at), at };
        let frame = self.encoder.event(&event);
        let mut tell = |group, topic| {
            let frame = frame.clone();
            let payload =
                Payload::Frame { frame, topic, place: None, except: None, sheddable: true };
            (self.f)(Delivery::new(group, payload));
        };
        tell(Group::Presence(user.id), Topic::UserStatus);
        for conversation in conversations {
            tell(Group::Conversation(*conversation), Topic::Conversation);
        }
    }

    fn event(&mut self, group: Group, topic: Topic, event: &Event<'_>) {
        let frame = self.encoder.event(event);
        self.frame(group, topic, frame, None, None);
    }

    fn frame(
        &mut self,
        group: Group,
        topic: Topic,
        frame: Bytes,
        place: Place,
        except: Option<ConnRef>,
    ) {
        let payload = Payload::Frame { frame, topic, place, except, sheddable: false };
        (self.f)(Delivery::new(group, payload));
    }

    fn control(&mut self, group: Group, control: Control) {
        (self.f)(Delivery::new(group, Payload::Control(control)));
    }
}
