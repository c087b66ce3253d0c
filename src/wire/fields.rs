//! A flat JSON object, read once: every field that some command or request knows, whatever type the client gave it.
//!
//! A field of the wrong type is no error of the parse, so that one pass both decodes what is right and explains what is
//! wrong, and `ref` is known whatever else is. Of a key given twice the last counts, as in `JSON.parse`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::{Fault, Flaw};
use crate::limits::{
    ATTACHMENT_CHARS_MAX, CLIENT_ID_BYTES_MAX, CONTENT_CHARS_MAX, PING_TIMESTAMP_BYTES_MAX,
    REF_BYTES_MAX,
};

/// A field's value.
#[derive(Clone, PartialEq, Default, Debug)]
pub(super) enum Value<'a> {
    /// The object has no such key.
    #[default]
    Missing,
    Null,
    Bool(bool),
    /// Written without fraction or exponent, and within 64 bits.
    Integer(i64),
    /// Any other number.
    Number,
    /// Borrowed from the text where it held no escape.
    Text(Cow<'a, str>),
    Array,
    Object,
}

/// The methods that check a value take it, and leave [`Value::Missing`].
impl<'a> Value<'a> {
    /// What it is, in JSON's words.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "nothing",
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Integer(_) | Self::Number => "number",
            Self::Text(_) => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }

    /// True exactly when the client gave nothing, or `null`.
    pub(super) const fn is_absent(&self) -> bool {
        matches!(self, Self::Missing | Self::Null)
    }

    /// The flaw of a field called `name` that had to be `what`.
    fn flaw(&self, name: &str, what: &str) -> Flaw {
        match self {
            Self::Missing => Flaw::field(name, "missing"),
            Self::Number => Flaw::field(name, format_args!("expected {what}")),
            other => Flaw::field(name, format_args!("expected {what}, got {}", other.kind())),
        }
    }

    /// A text, as written.
    pub(super) fn text(&mut self, name: &str) -> Result<Cow<'a, str>, Flaw> {
        match std::mem::take(self) {
            Self::Text(text) => Ok(text),
            other => Err(other.flaw(name, "a string")),
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, name: &str) -> Result<bool, Flaw> {
        match std::mem::take(self) {
            Self::Bool(value) => Ok(value),
            other => Err(other.flaw(name, "true or false")),
        }
    }

    /// An integer of at least `min`. Ids are JSON integers, as the server writes them: a decimal string is refused.
    pub(super) fn integer(&mut self, name: &str, min: i64) -> Result<i64, Flaw> {
        match std::mem::take(self) {
            Self::Integer(value) if value >= min => Ok(value),
            Self::Integer(_) => Err(Flaw::field(name, format_args!("expected at least {min}"))),
            other => Err(other.flaw(name, "an integer")),
        }
    }

    /// A row's id.
    pub(super) fn id(&mut self, name: &str) -> Result<i64, Flaw> {
        self.integer(name, 1)
    }

    /// A row's id, or nothing.
    pub(super) fn optional_id(&mut self, name: &str) -> Result<Option<i64>, Flaw> {
        if self.is_absent() { Ok(None) } else { self.id(name).map(Some) }
    }

    /// A message's text: trimmed of Unicode whitespace, 1 to [`CONTENT_CHARS_MAX`] characters, no NUL (Postgres has none).
    pub(super) fn content(&mut self, name: &str) -> Result<Cow<'a, str>, Flaw> {
        let content = trimmed(self.text(name)?);
        if content.is_empty() {
            return Err(Flaw::field(name, "empty"));
        }
        if content.len() > CONTENT_CHARS_MAX && content.chars().count() > CONTENT_CHARS_MAX {
            return Err(Flaw::field(name, format_args!("over {CONTENT_CHARS_MAX} characters")));
        }
        if memchr::memchr(0, content.as_bytes()).is_some() {
            return Err(Flaw::field(name, "holds a NUL"));
        }
        Ok(content)
    }

    /// The client's word for a command, at most [`REF_BYTES_MAX`] bytes.
    pub(super) fn reference(&mut self) -> Result<Option<Cow<'a, str>>, Flaw> {
        if self.is_absent() {
            return Ok(None);
        }
        let text = self.text("ref")?;
        if text.len() > REF_BYTES_MAX {
            return Err(Flaw::field("ref", format_args!("over {REF_BYTES_MAX} bytes")));
        }
        Ok(Some(text))
    }

    /// The client's word for a message, see [`check_client_id`].
    pub(super) fn client_id(&mut self) -> Result<Option<Cow<'a, str>>, Flaw> {
        if self.is_absent() {
            return Ok(None);
        }
        let text = self.text("client_id")?;
        check_client_id("client_id", &text)?;
        Ok(Some(text))
    }

    /// An `http` or `https` URL of at most [`ATTACHMENT_CHARS_MAX`] characters; an empty text is nothing. Other schemes are
    /// refused, because clients open what they are shown.
    pub(super) fn attachment(&mut self) -> Result<Option<Cow<'a, str>>, Flaw> {
        const NAME: &str = "attachment";
        if self.is_absent() {
            return Ok(None);
        }
        let url = trimmed(self.text(NAME)?);
        if url.is_empty() {
            return Ok(None);
        }
        if url.chars().count() > ATTACHMENT_CHARS_MAX {
            return Err(Flaw::field(NAME, format_args!("over {ATTACHMENT_CHARS_MAX} characters")));
        }
        if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Flaw::field(NAME, "holds whitespace or a control character"));
        }
        let is_web = ["http://", "https://"].iter().any(|scheme| {
            url.len() > scheme.len()
                && url.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
        });
        if is_web { Ok(Some(url)) } else { Err(Flaw::field(NAME, "expected an http or https URL")) }
    }
}

/// A `client_id` has 1 to [`CLIENT_ID_BYTES_MAX`] bytes and no NUL; `name` is the field or header that it came in.
pub(super) fn check_client_id(name: &str, text: &str) -> Result<(), Flaw> {
    if text.is_empty() || text.len() > CLIENT_ID_BYTES_MAX {
        let bounds = format_args!("expected 1 to {CLIENT_ID_BYTES_MAX} bytes");
        return Err(Flaw::field(name, bounds));
    }
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Err(Flaw::field(name, "holds a NUL"));
    }
    Ok(())
}

/// A `ping`'s timestamp: a scalar of at most [`PING_TIMESTAMP_BYTES_MAX`] bytes, as it was written.
pub(super) fn timestamp(raw: Option<&RawValue>) -> Result<Option<Cow<'_, str>>, Flaw> {
    const NAME: &str = "timestamp";
    let Some(text) = raw.map(RawValue::get) else { return Ok(None) };
    if text.starts_with(['{', '[']) {
        return Err(Flaw::field(NAME, "expected a string or a number"));
    }
    if text.len() > PING_TIMESTAMP_BYTES_MAX {
        return Err(Flaw::field(NAME, format_args!("over {PING_TIMESTAMP_BYTES_MAX} bytes")));
    }
    Ok(Some(Cow::Borrowed(text)))
}

/// The text without the whitespace around it; copied only where it is both owned and padded.
fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

macro_rules! fields {
    ($($field:ident: $type:ty = $name:literal),+ $(,)?) => {
        /// The fields of all commands and requests.
        #[derive(Default, Debug)]
        pub(super) struct Fields<'a> {
            $(pub(super) $field: $type,)+
        }

        #[expect(non_camel_case_types, reason = "one variant per field, by its name")]
        #[derive(serde::Deserialize)]
        #[serde(field_identifier)]
        enum Key {
            $(#[serde(rename = $name)] $field,)+
            #[serde(other)]
            unknown,
        }

        /// Fills the fields in place: they are large, and moving them would cost more than reading them.
        impl<'de> Visitor<'de> for &mut Fields<'de> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
                while let Some(key) = map.next_key()? {
                    match key {
                        $(Key::$field => self.$field = map.next_value()?,)+
                        Key::unknown => _ = map.next_value::<IgnoredAny>()?,
                    }
                }
                Ok(())
            }
        }

        /// The first field that is JSON by its grammar and yet cannot be read: a text with half a surrogate pair.
        #[derive(serde::Deserialize)]
        struct Raw<'a> {
            $(#[serde(borrow, default, rename = $name)] $field: Option<&'a RawValue>,)+
        }

        impl<'a> Raw<'a> {
            fn unreadable(&self) -> Option<&'static str> {
                let all = [$(($name, self.$field),)+];
                all.into_iter().find_map(|(name, raw)| {
                    serde_json::from_str::<Value<'a>>(raw?.get()).is_err().then_some(name)
                })
            }
        }
    };
}

fields! {
    kind: Value<'a> = "type",
    reference: Value<'a> = "ref",
    client_id: Value<'a> = "client_id",
    content: Value<'a> = "content",
    message: Value<'a> = "message",
    attachment: Value<'a> = "attachment",
    conversation: Value<'a> = "conversation_id",
    message_id: Value<'a> = "message_id",
    is_typing: Value<'a> = "is_typing",
    subscription_type: Value<'a> = "subscription_type",
    user_ids: Option<&'a RawValue> = "user_ids",
    after_seq: Value<'a> = "after_seq",
    after: Option<&'a RawValue> = "after",
    timestamp: Option<&'a RawValue> = "timestamp",
    token: Value<'a> = "token",
    user: Value<'a> = "user_id",
    participant: Value<'a> = "participant_id",
}

impl<'a> Fields<'a> {
    /// Reads `text`, an object.
    pub(super) fn read(&mut self, text: &'a str) -> Result<(), Fault<'a>> {
        let mut json = serde_json::Deserializer::from_str(text);
        json.deserialize_map(self).and_then(|()| json.end()).map_err(|error| explain(text, &error))
    }
}

/// Why `text` could not be read. Reads it again: this is the path of broken clients.
fn explain<'a>(text: &'a str, error: &serde_json::Error) -> Fault<'a> {
    let whole = || serde_json::from_str::<IgnoredAny>(text);
    if error.is_data() {
        let flaw = match whole() {
            Ok(_) => Flaw::command("expected an object".into()),
            Err(error) => Flaw::json(&error),
        };
        return flaw.of(Value::Missing, Value::Missing);
    }
    let Ok(raw) = serde_json::from_str::<Raw<'a>>(text) else {
        return Flaw::json(error).of(Value::Missing, Value::Missing);
    };
    let flaw = match raw.unreadable() {
        Some(name) => Flaw::field(name, "holds half a surrogate pair, or a number out of range"),
        None => Flaw::json(error),
    };
    let read = |raw: Option<&'a RawValue>| {
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    };
    flaw.of(read(raw.reference), read(raw.client_id))
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(value).map_or(Value::Number, Value::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Number)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Object)
    }
}
