//! The four users of a demo: alice and bob are matched and have talked, carol likes alice, dave is new.

use anyhow::bail;

use crate::cli::{token, user};
use crate::model::{ConversationId, UserId};
use crate::server::DemoUser;
use crate::store::{Failure, Reply, Request, Store};
use crate::time::Timestamp;

const PEOPLE: [(&str, &str); 4] =
    [("alice", "Alice"), ("bob", "Bob"), ("carol", "Carol"), ("dave", "Dave")];

/// What alice (true) and bob have said.
const HISTORY: [(bool, &str); 4] = [
    (true, "Hi Bob! Is that your dog in the picture?"),
    (false, "It is, and he insists on being in every one of them."),
    (true, "Then he had better come along for a walk some time."),
    (false, "Saturday? He is free, I asked."),
];

/// Makes the users, their likes and their talk, unless they are there, and returns the users.
///
/// What the users have done since stands: a like that was taken back is given again, a blocked one is not.
pub(super) fn seed(
    store: &mut dyn Store,
    welcome: &str,
    now: Timestamp,
) -> anyhow::Result<Vec<DemoUser>> {
    let mut users = Vec::with_capacity(PEOPLE.len());
    for (username, first_name) in PEOPLE {
        let id = match user::add(store, [username, first_name, ""], now)? {
            Some(id) => id,
            None => token::find(store, username, now)?,
        };
        users.push(DemoUser {
            id,
            username: username.to_owned(),
            first_name: first_name.to_owned(),
        });
    }
    let (alice, bob, carol) = (users[0].id, users[1].id, users[2].id);
    for (liker, liked) in [(alice, bob), (bob, alice), (carol, alice)] {
        attempt(store, Request::Like { liker, liked, welcome: welcome.into() }, now)?;
    }
    let Some(conversation) = shared(store, alice, bob, now)? else { return Ok(users) };
    for (index, (is_alice, content)) in HISTORY.into_iter().enumerate() {
        let said = Request::Append {
            conversation,
            sender: if is_alice { alice } else { bob },
            content: content.to_owned(),
            attachment: None,
            // Known the second time, when nothing is stored.
            client_id: Some(format!("demo-{index}")),
        };
        attempt(store, said, now)?;
    }
    Ok(users)
}

/// Carries out one write; a refusal is none of the demo's business.
fn attempt(store: &mut dyn Store, request: Request, now: Timestamp) -> anyhow::Result<()> {
    match user::commit_one(store, request, now) {
        Ok(_) | Err(Failure::Refused(_)) => Ok(()),
        Err(failure) => Err(user::as_error(failure)),
    }
}

/// Where two users who are matched talk.
fn shared(
    store: &mut dyn Store,
    user: UserId,
    other: UserId,
    now: Timestamp,
) -> anyhow::Result<Option<ConversationId>> {
    match store.read(&Request::Matches { user, offset: 0, limit: 100 }, now) {
        Ok(Reply::Matches(page)) => Ok(page
            .results
            .iter()
            .find(|found| found.other.card.id == other)
            .and_then(|found| found.conversation)),
        Ok(reply) => bail!("the store answered {reply:?} to a question for matches"),
        Err(failure) => Err(user::as_error(failure)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Card, MatchId, MatchPage, MatchView, Profile, Refused};
    use crate::store::{Outcome, StoreError};

    /// Knows names, likes and `client_id`s, and what was stored of each.
    #[derive(Default)]
    struct Names {
        users: Vec<String>,
        likes: Vec<(i64, i64)>,
        said: Vec<(i64, String)>,
    }

    fn card(id: i64, username: &str) -> Card {
        Card { id: UserId(id), username: username.into(), profile_picture: None }
    }

    impl Names {
        fn one(&mut self, request: &Request) -> Outcome {
            match request {
                Request::AddUser { username, .. } if self.users.contains(username) => {
                    Err(Refused::NameTaken.into())
                }
                Request::AddUser { username, .. } => {
                    self.users.push(username.clone());
                    Ok(Reply::UserAdded(card(self.users.len() as i64, username)))
                }
                Request::FindUser { username } => {
                    let place = self.users.iter().position(|own| own == username);
                    let place = place.ok_or(Refused::UserNotFound)?;
                    Ok(Reply::UserAdded(card(place as i64 + 1, username)))
                }
                Request::Like { liker, liked, .. } if self.likes.contains(&(liker.0, liked.0)) => {
                    Err(Refused::AlreadyLiked.into())
                }
                Request::Like { liker, liked, .. } => {
                    self.likes.push((liker.0, liked.0));
                    Ok(Reply::Done)
                }
                Request::Append { sender, client_id: Some(client_id), .. } => {
                    let said = (sender.0, client_id.clone());
                    if !self.said.contains(&said) {
                        self.said.push(said);
                    }
                    Ok(Reply::Done)
                }
                Request::Matches { .. } => Ok(Reply::Matches(self.matches_of_the_first())),
                other => unreachable!("a demo asks for nothing like {other:?}"),
            }
        }

        fn matches_of_the_first(&self) -> MatchPage {
            let others =
                self.likes.iter().filter(|(a, b)| *a == 1 && self.likes.contains(&(*b, 1)));
            let view = |other: i64| MatchView {
                id: MatchId(1),
                created_at: Timestamp(0),
                is_active: true,
                other: Profile {
                    card: card(other, "x"),
                    first_name: String::new(),
                    last_name: String::new(),
                    bio: None,
                    location: None,
                    is_online: false,
                    last_activity: None,
                },
                conversation: Some(ConversationId(9)),
            };
            let results: Vec<_> = others.map(|(_, other)| view(*other)).collect();
            MatchPage { count: results.len() as u64, results }
        }
    }

    impl Store for Names {
        fn commit(&mut self, batch: &[Request], _: Timestamp) -> Result<Vec<Outcome>, StoreError> {
            Ok(batch.iter().map(|request| self.one(request)).collect())
        }

        fn settle(
            &mut self,
            batch: &[Request],
            _: Timestamp,
        ) -> Result<Vec<Option<Reply>>, StoreError> {
            unreachable!("every commit of {batch:?} is answered")
        }

        fn read(&mut self, request: &Request, _: Timestamp) -> Outcome {
            self.one(request)
        }

        fn ping(&mut self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[test]
    fn sowing_twice_is_sowing_once() {
        let mut store = Names::default();
        let users = seed(&mut store, "hello", Timestamp(0)).unwrap();
        assert_eq!(users.iter().map(|user| user.id.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(users[3].first_name, "Dave");
        assert_eq!(seed(&mut store, "hello", Timestamp(1)).unwrap(), users);
        assert_eq!(store.users.len(), 4);
        assert_eq!(store.likes, [(1, 2), (2, 1), (3, 1)]);
        assert_eq!(store.said.len(), HISTORY.len());
    }
}
