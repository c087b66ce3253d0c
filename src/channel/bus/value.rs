//! A message on the bus as a value, and JSON to and from it. Keys keep their order, so that a text that was taken apart is put
//! together as it was.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use crate::limits::{BUS_DEPTH_MAX, BUS_VALUES_MAX};

/// What msgpack and JSON both can say.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number above [`i64::MAX`].
    Uint(u64),
    /// Any other number. In JSON one that is not finite becomes `null`.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A map.
    Map(Fields),
}

/// A map with texts as keys, in the order they came. Where a key is there twice the last counts.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Fields(Vec<(String, Value)>);

impl Value {
    /// What it is, in JSON's words.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) | Self::Uint(_) | Self::Float(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Map(_) => "object",
        }
    }

    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The whole number within 64 bits with a sign, where it is one.
    pub const fn as_int(&self) -> Option<i64> {
        if let Self::Int(int) = self { Some(*int) } else { None }
    }

    /// The map, where it is one.
    pub const fn as_map(&self) -> Option<&Fields> {
        if let Self::Map(fields) = self { Some(fields) } else { None }
    }

    /// The list, where it is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }
}

impl Fields {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The object that `json` is.
    ///
    /// # Errors
    /// It is no JSON, no object, too deep or too large.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let fields = Self::deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(fields)
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Takes `key` out, and what it had.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.0.extract_if(.., |(name, _)| name == key).map(|(_, value)| value).last()
    }

    /// Adds a key that is not there yet, as the last one.
    pub fn push(&mut self, key: &str, value: impl Into<Value>) {
        self.0.push((key.to_owned(), value.into()));
    }

    /// The same, before all others.
    pub fn push_first(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(0, (key.to_owned(), value.into()));
    }

    /// The keys and values, in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// True exactly when there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, Value)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl<const N: usize> From<[(&str, Value); N]> for Fields {
    fn from(fields: [(&str, Value); N]) -> Self {
        fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::Uint(value), Self::Int)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Fields> for Value {
    fn from(value: Fields) -> Self {
        Self::Map(value)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Uint(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => serializer.collect_seq(list),
            Self::Map(fields) => fields.serialize(serializer),
        }
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let left = Cell::new(BUS_VALUES_MAX);
        match (Seed { left: &left, depth: 0 }).deserialize(deserializer)? {
            Value::Map(fields) => Ok(fields),
            other => {
                Err(de::Error::custom(format_args!("expected an object, got {}", other.kind())))
            }
        }
    }
}

/// Reads one value within the bounds of a message.
#[derive(Clone, Copy)]
struct Seed<'b> {
    /// Values that may still come.
    left: &'b Cell<usize>,
    /// Lists and maps around it.
    depth: usize,
}

impl Seed<'_> {
    /// For what is in a list or a map.
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > BUS_DEPTH_MAX {
            return Err(E::custom(format_args!("more than {BUS_DEPTH_MAX} deep")));
        }
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(de::Error::custom(format_args!("more than {BUS_VALUES_MAX} values")));
        };
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(inside)? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let mut fields = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            fields.push((key, map.next_value_seed(inside)?));
        }
        Ok(Value::Map(Fields(fields)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any message of moderate size, with finite numbers.
    pub(in crate::channel::bus) fn fields() -> impl Strategy<Value = Fields> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            prop::num::f64::NORMAL.prop_map(Value::Float),
            any::<String>().prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|fields| Value::Map(Fields(fields))),
            ]
        });
        prop::collection::vec((any::<String>(), value), 0..20).prop_map(Fields)
    }

    fn nested(depth: usize) -> String {
        format!("{}0{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
    }

    #[test]
    fn json_beyond_the_bounds_is_refused_by_name() {
        assert!(Fields::from_json(nested(BUS_DEPTH_MAX).as_bytes()).is_ok());
        let many = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(BUS_VALUES_MAX));
        for (json, named) in [
            (nested(BUS_DEPTH_MAX + 1), "64 deep"),
            (many, "65536 values"),
            ("[]".into(), "expected an object, got array"),
            ("{} x".into(), "trailing"),
            (r#"{"a":NaN}"#.into(), "expected value"),
            (String::new(), "EOF"),
        ] {
            let error = Fields::from_json(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn of_a_key_given_twice_the_last_counts() {
        let mut fields = Fields::from_json(br#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(fields.get("a"), Some(&Value::Int(3)));
        assert_eq!(fields.take("a"), Some(Value::Int(3)));
        assert_eq!(fields, [("b", Value::Int(2))].into());
        assert_eq!(fields.take("a"), None);
    }

    proptest! {
        #[test]
        fn json_comes_back_as_it_was(fields in fields()) {
            let json = serde_json::to_string(&fields).unwrap();
            let read = Fields::from_json(json.as_bytes()).unwrap();
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
    }
}
