//! Who is in which group.

use std::collections::BTreeMap;

use super::{Admin, CHUNK, Fault, Kind, Link, Trouble, ask, ask_all, read};
use crate::channel::redis::pubsub::route::Words;

/// A group, and how many are in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupCount {
    /// Its name.
    pub name: String,
    /// With the pub/sub layer, the connections that listen; with the core layer, its members. A node counts once, however many
    /// sessions it has in the group; of Django's processes each counts with the core layer once a consumer.
    pub members: u64,
}

/// Stands before the names by which nodes speak among themselves.
const OWN: &str = "fortifun.";

impl GroupCount {
    /// True exactly when Django does not listen there: nodes alone do.
    pub fn is_own(&self) -> bool {
        self.name.starts_with(OWN)
    }
}

impl Admin {
    /// Every group that has somebody in it, by name.
    ///
    /// # Errors
    /// One of the servers could not be asked.
    pub fn groups(&self) -> Result<Vec<GroupCount>, Trouble> {
        let mut counts = BTreeMap::new();
        let hosts = self.hosts()?;
        for endpoint in &hosts.endpoints {
            self.on(endpoint, |link| match self.kind {
                Kind::PubSub => self.listened_to(link, hosts.words, &mut counts),
                Kind::Core { group_expiry_s, .. } => self.joined(link, group_expiry_s, &mut counts),
            })?;
        }
        counts.retain(|_, members| *members > 0);
        Ok(counts.into_iter().map(|(name, members)| GroupCount { name, members }).collect())
    }

    fn listened_to(
        &self,
        link: &mut Link,
        words: &Words,
        counts: &mut BTreeMap<String, u64>,
    ) -> Result<(), Fault> {
        let pattern = format!("{}*", escaped(&self.names.pubsub("")));
        let mut command = redis::cmd("PUBSUB");
        let channels: Vec<String> = ask(link, command.arg(words.list).arg(pattern))?;
        for chunk in channels.chunks(CHUNK) {
            let mut command = redis::cmd("PUBSUB");
            command.arg(words.count);
            for channel in chunk {
                command.arg(channel);
            }
            for (channel, listeners) in ask::<Vec<(String, u64)>>(link, &command)? {
                if let Some(name) = self.names.of_pubsub(&channel) {
                    *counts.entry(name.to_owned()).or_default() += listeners;
                }
            }
        }
        Ok(())
    }

    /// Members that the library would still send to.
    fn joined(
        &self,
        link: &mut Link,
        group_expiry_s: u32,
        counts: &mut BTreeMap<String, u64>,
    ) -> Result<(), Fault> {
        let start = self.names.members_key("");
        let oldest = (self.clock)().wall.unix_seconds() - i64::from(group_expiry_s);
        let mut cursor = 0_u64;
        loop {
            let mut command = redis::cmd("SCAN");
            command.arg(cursor).arg("MATCH").arg(format!("{}*", escaped(&start)));
            command.arg("COUNT").arg(CHUNK);
            let (next, keys): (u64, Vec<String>) = ask(link, &command)?;
            let mut pipe = redis::pipe();
            for key in &keys {
                pipe.cmd("ZCOUNT").arg(key).arg(format!("({oldest}")).arg("+inf");
            }
            for (key, answer) in keys.iter().zip(ask_all(link, &pipe)?) {
                // A key of another kind under this name is nobody's group.
                let members = read(answer).unwrap_or(0);
                // A scan may tell of one key twice.
                counts.insert(key[start.len()..].to_owned(), members);
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}

/// `text` as a pattern of Redis that matches it alone.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut pattern, c| {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(c);
        pattern
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_no_pattern() {
        for (prefix, pattern) in [("asgi", "asgi"), ("a*b?[c]\\", "a\\*b\\?\\[c\\]\\\\")] {
            assert_eq!(escaped(prefix), pattern);
        }
    }
}
