//! Places for the messages of a server that tells none: those of a conversation are numbered as its sessions first hear them. So a
//! session that hears them in another order, or not all, is found out.

use std::collections::HashMap;

use crate::pairs::Pair;
use crate::wire::{Message, User};

/// Places that were given.
#[derive(Default)]
pub(super) struct Unnumbered {
    seqs: HashMap<String, u64>,
    /// By conversation.
    last: HashMap<i64, u64>,
}

impl Unnumbered {
    /// The message whose content was told in the conversation of `pair`, sent by `sender`.
    pub(super) fn message(
        &mut self,
        pair: Pair,
        sender: i64,
        content: &str,
        id: i64,
    ) -> Message<'static> {
        let last = self.last.entry(pair.conversation).or_default();
        let seq = *self.seqs.entry(content.to_owned()).or_insert_with(|| {
            *last += 1;
            *last
        });
        Message {
            id,
            conversation_id: pair.conversation,
            seq,
            sender: User { id: sender },
            content: content.to_owned().into(),
            client_id: client_id(content).map(str::to_owned),
        }
    }
}

/// The name of the message, which its content begins with.
pub(super) fn client_id(content: &str) -> Option<&str> {
    let (_, rest) = content.split_once('"')?;
    rest.split_once('"').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn a_message_has_one_place_whoever_hears_it() {
        let pair = Pair { conversation: 7, users: [1, 2] };
        let mut all = Unnumbered::default();
        let mut hear = |name: &str| {
            let message = all.message(pair, 1, &wire::content(name, 60), 3);
            assert_eq!(message.client_id.as_deref(), Some(name));
            message.seq
        };
        assert_eq!([hear("r-0"), hear("r-1"), hear("r-0")], [1, 2, 1]);
    }
}
