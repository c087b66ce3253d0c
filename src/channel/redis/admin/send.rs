//! One event to one group, as Django's `group_send` sends it.

use super::{Admin, Fault, Kind, Link, Trouble, ask, ask_all, read};
use crate::channel::bus::{
    Address, Dropped, Fields, Packed, Recipients, Value, inbound, is_group_name, queue_name,
};
use crate::ids::NodeId;
use crate::time::Timestamp;

/// Where an event went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// With the pub/sub layer, the connections that it was handed to; with the core layer, the queues that took it.
    pub to: u64,
    /// Queues that had no room for it; none with the pub/sub layer.
    pub full: u64,
    /// Why no socket gets it, though consumers of Django may; `None` where those in the group do.
    pub unheard: Option<String>,
}

/// Why an event was not sent.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// Channels would not take the group's name.
    #[error("the group's name is none: use letters, digits, `-`, `_` and `.`, fewer than 100")]
    Group,
    /// The event is not a JSON object.
    #[error("the event is no JSON object: {0}")]
    Json(String),
    /// Its `type` is not there, empty, or no text.
    #[error("the event has no `type`: name the handler, as \"type\":\"system_alert\"")]
    NoType,
    /// Its `type` begins with `_`, once dots are underscores.
    #[error("the event's type `{0}` is private: Channels refuses a handler that begins with `_`")]
    PrivateType(String),
    /// A server could not be asked.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Puts a message into each of the queues `KEYS`, unless that is full; what is too old goes first. Answers how many had room.
///
/// `ARGV`: what is older goes, the capacity, the expiry, the score; then a message for each queue.
const DEPOSIT: &str = r"
local taken = 0
for i, queue in ipairs(KEYS) do
    redis.call('ZREMRANGEBYSCORE', queue, 0, ARGV[1])
    if redis.call('ZCARD', queue) < tonumber(ARGV[2]) then
        redis.call('ZADD', queue, ARGV[4], ARGV[4 + i])
        redis.call('EXPIRE', queue, ARGV[3])
        taken = taken + 1
    end
end
return taken
";

/// What the core layer allows.
#[derive(Clone, Copy)]
struct Terms {
    capacity: u32,
    expiry_s: u32,
    group_expiry_s: u32,
}

impl Admin {
    /// Sends the event that `json` is to `group`.
    ///
    /// # Errors
    /// Says what is wrong with the group or the event, or which server could not be asked.
    pub fn send(&self, group: &str, json: &str) -> Result<Sent, SendError> {
        if !is_group_name(group) {
            return Err(SendError::Group);
        }
        let event = event(json)?;
        let packed = self.envelope.pack(&event);
        let (to, full) = match self.kind {
            Kind::PubSub => (self.publish(group, &packed)?, 0),
            Kind::Core { capacity, expiry_s, group_expiry_s } => {
                self.deposit(group, &packed, Terms { capacity, expiry_s, group_expiry_s })?
            }
        };
        Ok(Sent { to, full, unheard: unheard(group, event, self.me) })
    }

    fn publish(&self, group: &str, packed: &Packed) -> Result<u64, Trouble> {
        let channel = self.names.pubsub(group);
        let bytes = self.envelope.seal(packed, Recipients::Listeners, &self.fresh());
        let hosts = self.hosts()?;
        let publish = hosts.words.publish;
        self.on(hosts.of(&channel)?, |link| ask(link, redis::cmd(publish).arg(&channel).arg(bytes)))
    }

    fn deposit(&self, group: &str, packed: &Packed, terms: Terms) -> Result<(u64, u64), Trouble> {
        let now = (self.clock)().wall;
        let key = self.names.members_key(group);
        let hosts = self.hosts()?;
        let members = self.on(hosts.of(group)?, |link| members(link, &key, now, terms))?;
        let (mut to, mut queues) = (0, 0);
        for (host, endpoint) in hosts.endpoints.iter().enumerate() {
            let readers: Vec<(&str, Vec<&str>)> = readers(&members)
                .into_iter()
                .filter(|(queue, _)| hosts.route.host(queue) == Some(host))
                .collect();
            if readers.is_empty() {
                continue;
            }
            queues += readers.len() as u64;
            // As a node sends it: whoever may not load scripts may still run them.
            let mut call = redis::cmd("EVAL");
            call.arg(DEPOSIT).arg(readers.len());
            for (queue, _) in &readers {
                call.arg(self.names.queue_key(queue));
            }
            let oldest = now.unix_seconds() - i64::from(terms.expiry_s);
            call.arg(oldest).arg(terms.capacity).arg(terms.expiry_s).arg(score(now));
            for (_, channels) in &readers {
                let to = Recipients::Channels(channels);
                call.arg(self.envelope.seal(packed, to, &self.fresh()));
            }
            to += self.on(endpoint, |link| ask::<u64>(link, &call))?;
        }
        Ok((to, queues - to))
    }
}

/// Who is in the group at `key`, after those went that are in it for too long.
fn members(link: &mut Link, key: &str, now: Timestamp, terms: Terms) -> Result<Vec<String>, Fault> {
    let oldest = now.unix_seconds() - i64::from(terms.group_expiry_s);
    let mut pipe = redis::pipe();
    pipe.cmd("ZREMRANGEBYSCORE").arg(key).arg(0).arg(oldest);
    pipe.cmd("ZRANGE").arg(key).arg(0).arg(-1);
    let mut answers = ask_all(link, &pipe)?.into_iter();
    read::<redis::Value>(answers.next().unwrap_or_default())?;
    read(answers.next().unwrap_or_default())
}

/// The queues that the members read, and which of them read each.
fn readers(members: &[String]) -> Vec<(&str, Vec<&str>)> {
    let mut readers: Vec<(&str, Vec<&str>)> = Vec::new();
    for channel in members {
        let queue = queue_name(channel);
        match readers.iter_mut().find(|(name, _)| *name == queue) {
            Some((_, channels)) => channels.push(channel),
            None => readers.push((queue, vec![channel])),
        }
    }
    readers
}

/// Seconds since 1970 with six digits of fraction.
fn score(at: Timestamp) -> String {
    format!("{}.{:06}", at.unix_seconds(), at.0.rem_euclid(1_000_000))
}

/// The event, where a consumer of Django's could have a handler for it.
fn event(json: &str) -> Result<Fields, SendError> {
    let fields =
        Fields::from_json(json.as_bytes()).map_err(|error| SendError::Json(error.to_string()))?;
    match fields.get("type").and_then(Value::as_text) {
        None | Some("") => Err(SendError::NoType),
        Some(kind) if kind.starts_with(['_', '.']) => Err(SendError::PrivateType(kind.to_owned())),
        Some(_) => Ok(fields),
    }
}

/// Why no node hands `event` to sockets of `group`.
fn unheard(group: &str, event: Fields, me: NodeId) -> Option<String> {
    let Some(address) = Address::parse(group) else {
        return Some("sockets are in no group of this name".to_owned());
    };
    match inbound(address, event, me) {
        Ok(_) => None,
        Err(Dropped::NoField(field)) => {
            Some(format!("sockets need its field `{field}`, which is not there or of another kind"))
        }
        Err(dropped) => Some(format!("nodes drop it: {dropped}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_django_could_not_handle_is_refused() {
        assert!(event(r#"{"type":"system.alert","data":{}}"#).is_ok());
        for (json, error) in [
            (r#"{"data":{}}"#, SendError::NoType),
            (r#"{"type":7}"#, SendError::NoType),
            (r#"{"type":""}"#, SendError::NoType),
            (r#"{"type":"_private"}"#, SendError::PrivateType("_private".to_owned())),
            (r#"{"type":".private"}"#, SendError::PrivateType(".private".to_owned())),
        ] {
            assert_eq!(event(json), Err(error), "{json}");
        }
        for json in ["", "{", "[]", "7", r#"{"type":"a"} x"#] {
            let error = event(json).unwrap_err().to_string();
            assert!(error.starts_with("the event is no JSON object: "), "{error}");
        }
    }

    #[test]
    fn whether_sockets_hear_it_is_known_before() {
        let told = |group: &str, json: &str| unheard(group, event(json).unwrap(), NodeId(1));
        assert_eq!(told("user_7_notifications", r#"{"type":"system_alert","data":{}}"#), None);
        let lacking = told("chat_7", r#"{"type":"chat_message"}"#).unwrap();
        assert!(lacking.contains("field `message`"), "{lacking}");
        let elsewhere = told("room_7", r#"{"type":"chat_message"}"#).unwrap();
        assert!(elsewhere.contains("no group of this name"), "{elsewhere}");
    }

    #[test]
    fn members_of_one_process_share_a_queue() {
        let members = ["specific.a!1", "specific.b!1", "specific.a!2", "plain"].map(str::to_owned);
        assert_eq!(
            readers(&members),
            [
                ("specific.a!", vec!["specific.a!1", "specific.a!2"]),
                ("specific.b!", vec!["specific.b!1"]),
                ("plain", vec!["plain"]),
            ]
        );
    }
}
