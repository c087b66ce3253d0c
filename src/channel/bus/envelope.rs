//! From a message to the bytes that Redis carries, and back: serialised, encrypted where keys are configured, and with the core
//! layer after twelve bytes that make it unlike any other.

use std::fmt;

use super::fernet::{Keys, TokenFlaw};
use super::msgpack;
use super::value::{Fields, Value};
use crate::limits::{BUS_DEPTH_MAX, BUS_MESSAGE_BYTES_MAX, BUS_VALUES_MAX};
use crate::time::Timestamp;

/// Bytes before a message of the core layer.
const UNIQUE_BYTES: usize = 12;
/// The key that tells, with the core layer, which channels of a process a message is for.
const CHANNELS_KEY: &str = "__asgi_channel__";
/// How long after its expiry an encrypted message is still read, seconds.
const EXPIRY_SLACK_S: u32 = 10;

/// Which of channels_redis' layers is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    /// `channels_redis.pubsub.RedisPubSubChannelLayer`.
    PubSub,
    /// `channels_redis.core.RedisChannelLayer`.
    Core {
        /// How long a message waits in a queue, seconds: its `expiry`.
        expiry_s: u32,
    },
}

/// How a message is written: `serializer_format` in Django's settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// `msgpack`, unless told otherwise.
    #[default]
    Msgpack,
    /// `json`.
    Json,
}

/// Seals and opens the messages of one deployment. Cannot be cloned: it holds its keys.
pub struct Envelope {
    layer: Layer,
    format: Format,
    keys: Option<Keys>,
}

/// A message serialised once, whoever it will be sealed for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packed {
    /// How many entries there are.
    len: u32,
    /// The entries of its map in the envelope's format, without what stands around them.
    entries: Vec<u8>,
}

/// Whom a message is for, as the message itself says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recipients<'a> {
    /// Whoever listens: the pub/sub layer.
    Listeners,
    /// The channels of one process: what the core layer's `group_send` puts into its queue.
    Channels(&'a [&'a str]),
}

/// What makes one message on the wire unlike every other. It is asked for and not made here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fresh {
    /// With the core layer: see [`Uniques`].
    pub unique: [u8; UNIQUE_BYTES],
    /// Random, for encryption; anything where there are no keys.
    pub iv: [u8; 16],
    /// The clock.
    pub now: Timestamp,
}

/// Counts out the bytes before messages of the core layer.
///
/// The library draws them at random: two members of a sorted set must differ. Of messages with one score Redis takes the
/// least first, so that counting keeps the order of those that one thread sends within its clock's resolution.
#[derive(Clone, Debug)]
pub struct Uniques {
    next: u64,
    salt: [u8; 4],
}

/// A message that arrived.
#[derive(Clone, PartialEq, Debug)]
pub struct Opened {
    /// The message.
    pub fields: Fields,
    /// With the core layer, which channels of this process it is for.
    pub channels: Vec<String>,
}

/// Why bytes are no message. None of it is the receiver's fault, and all of it is counted and dropped.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Flaw {
    /// Longer than a message may be.
    #[error("{0} bytes, and a message has at most {BUS_MESSAGE_BYTES_MAX}")]
    TooLong(usize),
    /// With the core layer, not even the bytes before a message.
    #[error("{0} bytes, and {UNIQUE_BYTES} stand before a message")]
    NoPrefix(usize),
    /// It could not be decrypted.
    #[error("decrypting it: {0}")]
    Token(#[from] TokenFlaw),
    /// It ends too early.
    #[error("it ends within a value")]
    Cut,
    /// It is a value of another kind.
    #[error("expected a map, got {0}")]
    NotAMap(&'static str),
    /// A map has something else than texts as keys.
    #[error("a map's key is not text but {0}")]
    Key(&'static str),
    /// A value that JSON cannot say.
    #[error("a value of the kind {0}")]
    Unknown(&'static str),
    /// A text is not one.
    #[error("a text that is not UTF-8")]
    NotUtf8,
    /// Lists and maps within each other.
    #[error("more than {BUS_DEPTH_MAX} deep")]
    TooDeep,
    /// More than a message may hold.
    #[error("more than {BUS_VALUES_MAX} values")]
    TooManyValues,
    /// Something follows it.
    #[error("{0} bytes after it")]
    Trailing(usize),
    /// The same, of a message in JSON.
    #[error("{0}")]
    Json(String),
    /// `__asgi_channel__` is neither a text nor a list of texts.
    #[error("`{CHANNELS_KEY}` is neither a channel nor a list of channels")]
    Channels,
}

impl Envelope {
    /// `keys` are Django's `symmetric_encryption_keys`: the first encrypts, each decrypts; without any, nothing is encrypted.
    pub fn new<'a>(layer: Layer, format: Format, keys: impl IntoIterator<Item = &'a str>) -> Self {
        Self { layer, format, keys: Keys::new(keys) }
    }

    /// Serialises `fields`, once for however many times it is sealed.
    pub fn pack(&self, fields: &Fields) -> Packed {
        let mut entries = Vec::with_capacity(512);
        match self.format {
            Format::Msgpack => msgpack::write_entries(&mut entries, fields),
            Format::Json => {
                serde_json::to_writer(&mut entries, fields).expect("a Vec takes every byte");
                entries.pop();
                entries.remove(0);
            }
        }
        Packed { len: fields.len() as u32, entries }
    }

    /// The bytes that Redis carries.
    pub fn seal(&self, packed: &Packed, to: Recipients<'_>, fresh: &Fresh) -> Vec<u8> {
        let mut out = Vec::with_capacity(UNIQUE_BYTES + packed.entries.len() + 128);
        if let Layer::Core { .. } = self.layer {
            out.extend_from_slice(&fresh.unique);
        }
        match &self.keys {
            None => self.write(packed, to, &mut out),
            Some(keys) => {
                let mut plain = Vec::with_capacity(packed.entries.len() + 128);
                self.write(packed, to, &mut plain);
                out.extend_from_slice(keys.seal(&plain, fresh.now, fresh.iv).as_bytes());
            }
        }
        out
    }

    /// The message that `bytes` are.
    ///
    /// # Errors
    /// Names what is wrong with them; never panics.
    pub fn open(&self, bytes: &[u8], now: Timestamp) -> Result<Opened, Flaw> {
        if bytes.len() > BUS_MESSAGE_BYTES_MAX {
            return Err(Flaw::TooLong(bytes.len()));
        }
        // The pub/sub layer tells its serializer of no expiry, so that nothing it encrypted is ever too old.
        let (body, ttl_s) = match self.layer {
            Layer::PubSub => (bytes, None),
            Layer::Core { expiry_s } => (
                bytes.get(UNIQUE_BYTES..).ok_or(Flaw::NoPrefix(bytes.len()))?,
                Some(i64::from(expiry_s) + i64::from(EXPIRY_SLACK_S)),
            ),
        };
        let mut fields = match &self.keys {
            None => self.read(body)?,
            Some(keys) => self.read(&keys.open(body, now, ttl_s)?)?,
        };
        let channels = fields.take(CHANNELS_KEY).map_or(Ok(Vec::new()), channels)?;
        Ok(Opened { fields, channels })
    }

    fn write(&self, packed: &Packed, to: Recipients<'_>, out: &mut Vec<u8>) {
        match self.format {
            Format::Msgpack => {
                let Recipients::Channels(channels) = to else {
                    msgpack::write_map_len(out, packed.len);
                    return out.extend_from_slice(&packed.entries);
                };
                msgpack::write_map_len(out, packed.len + 1);
                out.extend_from_slice(&packed.entries);
                msgpack::write_text(out, CHANNELS_KEY);
                msgpack::write_list_len(out, channels.len());
                for channel in channels {
                    msgpack::write_text(out, channel);
                }
            }
            Format::Json => {
                out.push(b'{');
                out.extend_from_slice(&packed.entries);
                if let Recipients::Channels(channels) = to {
                    let comma = if packed.len > 0 { "," } else { "" };
                    out.extend_from_slice(format!("{comma}\"{CHANNELS_KEY}\":").as_bytes());
                    serde_json::to_writer(&mut *out, channels).expect("a Vec takes every byte");
                }
                out.push(b'}');
            }
        }
    }

    fn read(&self, body: &[u8]) -> Result<Fields, Flaw> {
        match self.format {
            Format::Msgpack => msgpack::read(body),
            Format::Json => Fields::from_json(body).map_err(|error| Flaw::Json(error.to_string())),
        }
    }
}

/// What `__asgi_channel__` says: a list from `group_send`, a text from `send`.
fn channels(value: Value) -> Result<Vec<String>, Flaw> {
    match value {
        Value::Text(channel) => Ok(vec![channel]),
        Value::List(list) => list
            .into_iter()
            .map(|channel| match channel {
                Value::Text(channel) => Ok(channel),
                _ => Err(Flaw::Channels),
            })
            .collect(),
        _ => Err(Flaw::Channels),
    }
}

impl fmt::Debug for Envelope {
    /// Says nothing of the keys but whether there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("layer", &self.layer)
            .field("format", &self.format)
            .field("is_encrypted", &self.keys.is_some())
            .finish()
    }
}

impl Uniques {
    /// Counts from `first` on, which must be more than any earlier life of this process counted to: its start in microseconds
    /// since 1970. `salt` tells it from other senders: random, or part of the node's id.
    pub const fn new(first: u64, salt: [u8; 4]) -> Self {
        Self { next: first, salt }
    }

    /// The next twelve bytes, greater than those before.
    pub fn take(&mut self) -> [u8; UNIQUE_BYTES] {
        let mut unique = [0; UNIQUE_BYTES];
        unique[..8].copy_from_slice(&self.next.to_be_bytes());
        unique[8..].copy_from_slice(&self.salt);
        self.next = self.next.wrapping_add(1);
        unique
    }
}

#[cfg(test)]
mod tests;
