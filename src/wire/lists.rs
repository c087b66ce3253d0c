//! The two fields that hold more than a scalar: `user_ids` and `after`. Bounded, whatever the client sends.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::Flaw;
use super::fields::Value;
use crate::limits::{RESUME_CONVERSATIONS_MAX, SUBSCRIBE_USERS_MAX};
use crate::model::{ConversationId, Seq, UserId};

/// A `user_status` subscription's users, 1 to [`SUBSCRIBE_USERS_MAX`]; each once, in the order given.
pub(super) fn user_ids(raw: Option<&RawValue>) -> Result<Vec<UserId>, Flaw> {
    const NAME: &str = "user_ids";
    let Some(raw) = raw else { return Err(Flaw::field(NAME, "missing")) };
    match serde_json::from_str(raw.get()) {
        Ok(Users::Listed(users)) => Ok(users),
        Ok(Users::OutOfBounds) => {
            Err(Flaw::field(NAME, format_args!("expected 1 to {SUBSCRIBE_USERS_MAX} ids")))
        }
        Ok(Users::Malformed) | Err(_) => Err(Flaw::field(NAME, "expected an array of ids")),
    }
}

/// A `resume`'s `after`: an object of `seq` by conversation id, at most [`RESUME_CONVERSATIONS_MAX`].
pub(super) fn places(raw: &RawValue) -> Result<Vec<(Option<ConversationId>, Seq)>, Flaw> {
    match serde_json::from_str(raw.get()) {
        Ok(Places::Listed(places)) => Ok(places),
        Ok(Places::OutOfBounds) => Err(too_many_places()),
        Ok(Places::Malformed) | Err(_) => {
            Err(Flaw::field(AFTER, "expected an object of seq by conversation id"))
        }
    }
}

/// Adds a place; the last one of a conversation counts.
pub(super) fn place(
    places: &mut Vec<(Option<ConversationId>, Seq)>,
    conversation: Option<ConversationId>,
    seq: Seq,
) -> Result<(), Flaw> {
    if let Some(known) = places.iter_mut().find(|(known, _)| *known == conversation) {
        known.1 = seq;
    } else if places.len() < RESUME_CONVERSATIONS_MAX {
        places.push((conversation, seq));
    } else {
        return Err(too_many_places());
    }
    Ok(())
}

const AFTER: &str = "after";

fn too_many_places() -> Flaw {
    Flaw::field(AFTER, format_args!("over {RESUME_CONVERSATIONS_MAX} conversations"))
}

enum Users {
    Listed(Vec<UserId>),
    OutOfBounds,
    Malformed,
}

enum Places {
    Listed(Vec<(Option<ConversationId>, Seq)>),
    OutOfBounds,
    Malformed,
}

impl<'de> Deserialize<'de> for Users {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(UsersVisitor)
    }
}

struct UsersVisitor;

impl<'de> Visitor<'de> for UsersVisitor {
    type Value = Users;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of ids")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Users, A::Error> {
        let mut users = Vec::new();
        let mut given = 0;
        let fault = loop {
            match seq.next_element::<Value<'de>>()? {
                None if users.is_empty() => return Ok(Users::OutOfBounds),
                None => return Ok(Users::Listed(users)),
                Some(_) if given == SUBSCRIBE_USERS_MAX => break Users::OutOfBounds,
                Some(Value::Integer(id)) if id > 0 => {
                    given += 1;
                    if !users.contains(&UserId(id)) {
                        users.push(UserId(id));
                    }
                }
                Some(_) => break Users::Malformed,
            }
        };
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(fault)
    }
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PlacesVisitor)
    }
}

struct PlacesVisitor;

impl<'de> Visitor<'de> for PlacesVisitor {
    type Value = Places;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of seq by conversation id")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Places, A::Error> {
        let mut places = Vec::new();
        let fault = loop {
            let Some(entry) = map.next_entry::<Value<'de>, Value<'de>>()? else {
                return Ok(Places::Listed(places));
            };
            let (Value::Text(key), Value::Integer(seq @ 0..)) = entry else {
                break Places::Malformed;
            };
            let Some(id) = decimal_id(&key) else { break Places::Malformed };
            if place(&mut places, Some(ConversationId(id)), Seq(seq)).is_err() {
                break Places::OutOfBounds;
            }
        };
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(fault)
    }
}

/// A row's id as an object's key: digits alone, without a leading zero.
fn decimal_id(key: &str) -> Option<i64> {
    let is_canonical = key.bytes().all(|b| b.is_ascii_digit()) && !key.starts_with('0');
    if is_canonical { key.parse().ok() } else { None }
}
