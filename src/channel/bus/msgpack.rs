//! A message's map as msgpack, in the forms that Python's `msgpack` writes by default: each number and length in its shortest,
//! texts as texts, never as binary.

use rmp::Marker;
use rmp::encode;

use super::envelope::Flaw;
use super::value::{Fields, Value};
use crate::limits::{BUS_DEPTH_MAX, BUS_VALUES_MAX};

const GROWS: &str = "a Vec takes every byte";

/// Appends the header of a map with `len` entries.
pub(super) fn write_map_len(out: &mut Vec<u8>, len: u32) {
    encode::write_map_len(out, len).expect(GROWS);
}

/// Appends the header of a list with `len` entries.
pub(super) fn write_list_len(out: &mut Vec<u8>, len: usize) {
    encode::write_array_len(out, len as u32).expect(GROWS);
}

/// Appends a text.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    encode::write_str(out, text).expect(GROWS);
}

/// Appends the entries of `fields`, without the header that counts them.
pub(super) fn write_entries(out: &mut Vec<u8>, fields: &Fields) {
    for (key, value) in fields.iter() {
        write_text(out, key);
        write(out, value);
    }
}

/// Reads a message: one map and nothing after it.
pub(super) fn read(bytes: &[u8]) -> Result<Fields, Flaw> {
    let mut reader = Reader { rest: bytes, values_left: BUS_VALUES_MAX };
    let fields = match reader.value(0)? {
        Value::Map(fields) => fields,
        other => return Err(Flaw::NotAMap(other.kind())),
    };
    if reader.rest.is_empty() { Ok(fields) } else { Err(Flaw::Trailing(reader.rest.len())) }
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => encode::write_nil(out).expect(GROWS),
        Value::Bool(value) => encode::write_bool(out, *value).expect(GROWS),
        Value::Int(value) => {
            encode::write_sint(out, *value).expect(GROWS);
        }
        Value::Uint(value) => {
            encode::write_uint(out, *value).expect(GROWS);
        }
        Value::Float(value) => encode::write_f64(out, *value).expect(GROWS),
        Value::Text(text) => write_text(out, text),
        Value::List(list) => {
            write_list_len(out, list.len());
            for value in list {
                write(out, value);
            }
        }
        Value::Map(fields) => {
            write_map_len(out, fields.len() as u32);
            write_entries(out, fields);
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    /// Values that may still come.
    values_left: usize,
}

impl<'a> Reader<'a> {
    /// The next value, within `depth` lists and maps.
    fn value(&mut self, depth: usize) -> Result<Value, Flaw> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Flaw::TooManyValues)?;
        Ok(match self.marker()? {
            Marker::Null => Value::Null,
            Marker::True => Value::Bool(true),
            Marker::False => Value::Bool(false),
            Marker::FixPos(value) => Value::Int(value.into()),
            Marker::FixNeg(value) => Value::Int(value.into()),
            Marker::U8 => Value::Int(u8::from_be_bytes(self.array()?).into()),
            Marker::U16 => Value::Int(u16::from_be_bytes(self.array()?).into()),
            Marker::U32 => Value::Int(u32::from_be_bytes(self.array()?).into()),
            Marker::U64 => u64::from_be_bytes(self.array()?).into(),
            Marker::I8 => Value::Int(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => Value::Int(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => Value::Int(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => Value::Int(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Value::Float(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Value::Float(f64::from_be_bytes(self.array()?)),
            Marker::FixArray(len) => self.list(len.into(), depth)?,
            Marker::Array16 => self.list_of(2, depth)?,
            Marker::Array32 => self.list_of(4, depth)?,
            Marker::FixMap(len) => self.map(len.into(), depth)?,
            Marker::Map16 => self.map_of(2, depth)?,
            Marker::Map32 => self.map_of(4, depth)?,
            marker => match self.text(marker)? {
                Some(text) => Value::Text(text),
                None => return Err(Flaw::Unknown(kind(marker))),
            },
        })
    }

    /// The text that `marker` begins; `None` where it begins something else.
    fn text(&mut self, marker: Marker) -> Result<Option<String>, Flaw> {
        let len = match marker {
            Marker::FixStr(len) => len.into(),
            Marker::Str8 => self.len(1)?,
            Marker::Str16 => self.len(2)?,
            Marker::Str32 => self.len(4)?,
            _ => return Ok(None),
        };
        let text = std::str::from_utf8(self.bytes(len)?).map_err(|_| Flaw::NotUtf8)?;
        Ok(Some(text.to_owned()))
    }

    fn list_of(&mut self, width: usize, depth: usize) -> Result<Value, Flaw> {
        let len = self.len(width)?;
        self.list(len, depth)
    }

    fn list(&mut self, len: usize, depth: usize) -> Result<Value, Flaw> {
        let depth = deeper(depth)?;
        // A value takes a byte at least; a length that lies makes no room for itself.
        let mut list = Vec::with_capacity(len.min(self.rest.len()).min(self.values_left));
        for _ in 0..len {
            list.push(self.value(depth)?);
        }
        Ok(Value::List(list))
    }

    fn map_of(&mut self, width: usize, depth: usize) -> Result<Value, Flaw> {
        let len = self.len(width)?;
        self.map(len, depth)
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<Value, Flaw> {
        let depth = deeper(depth)?;
        let mut fields = Vec::with_capacity(len.min(self.rest.len() / 2).min(self.values_left));
        for _ in 0..len {
            let marker = self.marker()?;
            let key = self.text(marker)?.ok_or_else(|| Flaw::Key(kind(marker)))?;
            fields.push((key, self.value(depth)?));
        }
        Ok(Value::Map(fields.into_iter().collect()))
    }

    fn marker(&mut self) -> Result<Marker, Flaw> {
        Ok(Marker::from_u8(u8::from_be_bytes(self.array()?)))
    }

    /// A length of `width` bytes, at most 4.
    fn len(&mut self, width: usize) -> Result<usize, Flaw> {
        Ok(self.bytes(width)?.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Flaw::Cut)?;
        self.rest = rest;
        Ok(*array)
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Flaw> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Flaw::Cut)?;
        self.rest = rest;
        Ok(bytes)
    }
}

fn deeper(depth: usize) -> Result<usize, Flaw> {
    if depth < BUS_DEPTH_MAX { Ok(depth + 1) } else { Err(Flaw::TooDeep) }
}

/// What `marker` begins, for people.
const fn kind(marker: Marker) -> &'static str {
    match marker {
        Marker::Null => "nil",
        Marker::True | Marker::False => "boolean",
        Marker::FixPos(_)
        | Marker::FixNeg(_)
        | Marker::U8
        | Marker::U16
        | Marker::U32
        | Marker::U64
        | Marker::I8
        | Marker::I16
        | Marker::I32
        | Marker::I64 => "integer",
        Marker::F32 | Marker::F64 => "float",
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => "text",
        Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => "binary",
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => "array",
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => "map",
        Marker::Reserved => "reserved byte",
        Marker::FixExt1
        | Marker::FixExt2
        | Marker::FixExt4
        | Marker::FixExt8
        | Marker::FixExt16
        | Marker::Ext8
        | Marker::Ext16
        | Marker::Ext32 => "extension",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::channel::bus::golden::{bytes, section};
    use crate::channel::bus::value::tests::fields;

    fn written(fields: &Fields) -> Vec<u8> {
        let mut out = Vec::new();
        write_map_len(&mut out, fields.len() as u32);
        write_entries(&mut out, fields);
        out
    }

    #[test]
    fn every_form_is_written_and_read_as_python_does() {
        for entry in section("forms") {
            let payload = bytes(&entry["payload"]);
            let fields = read(&payload).unwrap();
            let json = serde_json::to_value(fields.get("value")).unwrap();
            assert_eq!(json, entry["value"], "{}", entry["name"]);
            assert_eq!(written(&fields), payload, "{}", entry["name"]);
        }
    }

    #[test]
    fn a_text_of_any_length_survives() {
        for len in [0, 31, 32, 255, 256, 65_535, 65_536, 70_000] {
            let fields: Fields = [("a", "x".repeat(len).into())].into();
            assert_eq!(read(&written(&fields)).unwrap(), fields);
        }
    }

    #[test]
    fn single_precision_is_widened() {
        let fields = read(b"\x81\xa1a\xca\x3f\x00\x00\x00").unwrap();
        assert_eq!(fields, [("a", Value::Float(0.5))].into());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let deep = |depth: usize| [b"\x81\xa1a".repeat(depth), vec![0]].concat();
        let many = |count: usize| {
            let len = (count as u32).to_be_bytes();
            [&b"\x81\xa1a\xdd"[..], &len, &vec![0; count]].concat()
        };
        assert!(read(&deep(BUS_DEPTH_MAX)).is_ok());
        assert!(read(&many(BUS_VALUES_MAX - 2)).is_ok());
        for (payload, flaw) in [
            (b"".to_vec(), Flaw::Cut),
            (b"\x81".to_vec(), Flaw::Cut),
            (b"\x81\xa1".to_vec(), Flaw::Cut),
            (b"\x81\xa1a".to_vec(), Flaw::Cut),
            (b"\x81\xa1a\xcd\x01".to_vec(), Flaw::Cut),
            (b"\x81\xa1a\xdb\xff\xff\xff\xffx".to_vec(), Flaw::Cut),
            (b"\xdf\xff\xff\xff\xff".to_vec(), Flaw::Cut),
            (b"\x81\xa1a\xdd\xff\xff\xff\xff\x01".to_vec(), Flaw::Cut),
            (b"\x01".to_vec(), Flaw::NotAMap("number")),
            (b"\x90".to_vec(), Flaw::NotAMap("array")),
            (b"\xc4\x01x".to_vec(), Flaw::Unknown("binary")),
            (b"\x81\xa1a\xc4\x01x".to_vec(), Flaw::Unknown("binary")),
            (b"\x81\xa1a\xd6\xff\x00\x00\x00\x00".to_vec(), Flaw::Unknown("extension")),
            (b"\x81\xa1a\xc1".to_vec(), Flaw::Unknown("reserved byte")),
            (b"\x81\x01\x02".to_vec(), Flaw::Key("integer")),
            (b"\x81\xc4\x01x\x02".to_vec(), Flaw::Key("binary")),
            (b"\x81\xc0\x02".to_vec(), Flaw::Key("nil")),
            (b"\x81\xa1\xff\x02".to_vec(), Flaw::NotUtf8),
            (b"\x81\xa1a\xa1\xff".to_vec(), Flaw::NotUtf8),
            (b"\x80\x00\x00".to_vec(), Flaw::Trailing(2)),
            (deep(BUS_DEPTH_MAX + 1), Flaw::TooDeep),
            (many(BUS_VALUES_MAX - 1), Flaw::TooManyValues),
        ] {
            assert_eq!(read(&payload), Err(flaw), "{:02x?}", &payload[..payload.len().min(20)]);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in fields()) {
            prop_assert_eq!(read(&written(&fields)).unwrap(), fields);
        }

        #[test]
        fn a_message_that_was_cut_is_refused(fields in fields(), at in any::<prop::sample::Index>()) {
            let whole = written(&fields);
            let cut = &whole[..at.index(whole.len())];
            prop_assert_eq!(read(cut), Err(Flaw::Cut));
        }

        #[test]
        fn any_bytes_are_read_or_refused(payload in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&payload);
        }

        #[test]
        fn a_flipped_byte_is_read_or_refused(fields in fields(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut payload = written(&fields);
            let at = at.index(payload.len());
            payload[at] = to;
            let _ = read(&payload);
        }
    }
}
