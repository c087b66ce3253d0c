//! Which master of a Redis Cluster has which slot. Pure.

use redis::Value;

use crate::channel::redis::link::Fault;

/// How many slots there are.
const SLOTS: usize = 16_384;
/// A slot that no master has.
const NOBODY: u16 = u16::MAX;

/// A map of a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::channel::redis) struct Slots {
    /// Host and port of each master, in order.
    masters: Vec<(String, u16)>,
    /// By slot, which of them.
    owners: Vec<u16>,
}

impl Slots {
    /// The slot of `channel`: CRC-16 of it, or of what stands within its first braces, of 16,384.
    pub(in crate::channel::redis) fn of(channel: &str) -> u16 {
        let tag = channel
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'))
            .map(|(tag, _)| tag)
            .filter(|tag| !tag.is_empty());
        crc16(tag.unwrap_or(channel).as_bytes()) % SLOTS as u16
    }

    /// What `CLUSTER SLOTS` answered at the node called `asked`, which may not know its own name.
    ///
    /// # Errors
    /// It is no such answer, or nobody has a slot.
    pub(super) fn read(answer: &Value, asked: &str) -> Result<Self, Fault> {
        let unknown = || Fault::Protocol("no map of a cluster".to_owned());
        let ranges = match answer {
            Value::Array(ranges) => ranges,
            Value::ServerError(error) => return Err(Fault::of_server(error)),
            _ => return Err(unknown()),
        };
        let mut found = Vec::new();
        for range in ranges {
            let Value::Array(range) = range else { return Err(unknown()) };
            let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &range[..] else {
                return Err(unknown());
            };
            let [host, Value::Int(port), ..] = &master[..] else { return Err(unknown()) };
            let host = match host {
                Value::BulkString(host) => str::from_utf8(host).map_err(|_| unknown())?,
                Value::Nil => asked,
                _ => return Err(unknown()),
            };
            let host = if host.is_empty() { asked } else { host };
            let port = u16::try_from(*port).map_err(|_| unknown())?;
            let is_range = 0 <= *first && first <= last && *last < SLOTS as i64;
            if !is_range {
                return Err(unknown());
            }
            found.push(((host.to_owned(), port), *first as usize..=*last as usize));
        }
        let mut masters: Vec<(String, u16)> = found.iter().map(|(who, _)| who.clone()).collect();
        masters.sort();
        masters.dedup();
        if masters.is_empty() || masters.len() >= usize::from(NOBODY) {
            return Err(Fault::Refused("nobody has a slot of the cluster".to_owned()));
        }
        let mut owners = vec![NOBODY; SLOTS];
        for (who, range) in found {
            let at = masters.binary_search(&who).expect("it was put there");
            owners[range].fill(at as u16);
        }
        Ok(Self { masters, owners })
    }

    /// The master of `slot`, by its place among them; `None` where nobody has it.
    pub(in crate::channel::redis) fn master(&self, slot: u16) -> Option<usize> {
        let owner = self.owners.get(usize::from(slot)).filter(|owner| **owner != NOBODY)?;
        Some(usize::from(*owner))
    }

    /// Host and port of each master.
    pub(in crate::channel::redis) fn masters(&self) -> &[(String, u16)] {
        &self.masters
    }
}

/// CRC-16 as XMODEM has it: polynomial 0x1021, from 0, not reflected.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64, host: Value, port: i64) -> Value {
        let master = Value::Array(vec![host, Value::Int(port), Value::BulkString(b"id".to_vec())]);
        let replica = Value::Array(vec![Value::BulkString(b"r".to_vec()), Value::Int(1)]);
        Value::Array(vec![Value::Int(first), Value::Int(last), master, replica])
    }

    fn host(name: &str) -> Value {
        Value::BulkString(name.into())
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        for (channel, slot) in [("foo", 12_182), ("bar", 5_061), ("", 0), ("a{foo}b{bar}", 12_182)]
        {
            assert_eq!(Slots::of(channel), slot, "{channel}");
        }
        assert_eq!(Slots::of("{}foo"), crc16(b"{}foo") % 16_384, "empty braces do not count");
    }

    #[test]
    fn a_map_says_who_has_what() {
        let answer = Value::Array(vec![
            range(0, 99, host("b"), 7001),
            range(100, 199, host(""), 7000),
            range(300, 300, host("b"), 7001),
            range(400, 16_383, Value::Nil, 7000),
        ]);
        let slots = Slots::read(&answer, "asked").unwrap();
        assert_eq!(slots.masters(), [("asked".to_owned(), 7000), ("b".to_owned(), 7001)]);
        for (slot, master) in [
            (0, Some(1)),
            (99, Some(1)),
            (100, Some(0)),
            (200, None),
            (300, Some(1)),
            (301, None),
            (16_383, Some(0)),
            (16_384, None),
        ] {
            assert_eq!(slots.master(slot), master, "{slot}");
        }
    }

    #[test]
    fn what_is_no_map_is_refused() {
        for answer in [
            Value::Nil,
            Value::Array(Vec::new()),
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![Value::Array(vec![Value::Int(0), Value::Int(1)])]),
            Value::Array(vec![range(5, 4, host("a"), 1)]),
            Value::Array(vec![range(-1, 4, host("a"), 1)]),
            Value::Array(vec![range(0, 16_384, host("a"), 1)]),
            Value::Array(vec![range(0, 1, host("a"), 70_000)]),
            Value::Array(vec![range(0, 1, Value::Int(1), 1)]),
        ] {
            assert!(Slots::read(&answer, "asked").is_err(), "{answer:?}");
        }
    }
}
