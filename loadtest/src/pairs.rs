//! Who talks with whom, and where: given as a list, or found out from the server.

use std::fmt;
use std::str::FromStr;

use anyhow::Context;

use crate::args::{PairSource, Users};
use crate::http::Connection;
use crate::output;
use crate::rest;
use crate::target::Target;

/// Two users and their conversation; written `conversation:userA,userB`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pair {
    /// The conversation.
    pub(crate) conversation: i64,
    /// Its participants.
    pub(crate) users: [i64; 2],
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (conversation, users) = text.split_once(':')?;
            let (first, second) = users.split_once(',')?;
            let users = [first.trim().parse().ok()?, second.trim().parse().ok()?];
            Some(Self { conversation: conversation.trim().parse().ok()?, users })
        };
        read().ok_or_else(|| format!("{text:?} is not conversation:userA,userB"))
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { conversation, users: [first, second] } = self;
        write!(f, "{conversation}:{first},{second}")
    }
}

impl Pair {
    /// Reads one pair a line; empty lines are passed over.
    pub(crate) fn parse_lines(text: &str) -> Result<Vec<Self>, String> {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::parse).collect()
    }
}

/// The pairs that `source` names; conversations that are not given are looked up.
///
/// # Errors
///
/// None is named, or two users have no active conversation.
pub(crate) fn find(source: &PairSource, target: &Target) -> anyhow::Result<Vec<Pair>> {
    let mut pairs = source.conversation.clone();
    if let Some(path) = &source.conversations_file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        pairs.extend(Pair::parse_lines(&text).map_err(anyhow::Error::msg)?);
    }
    let couples = couples(&source.users, source.pairs)?;
    let bar = output::bar(couples.len() as u64, "looking conversations up");
    let mut connection = Connection::new(target);
    for [first, second] in couples {
        let known = rest::conversations(&mut connection, first)?;
        let found = known.iter().find(|c| c.is_active && c.has(second)).with_context(|| {
            format!("users {first} and {second} have no conversation: run `seed` first")
        })?;
        pairs.push(Pair { conversation: found.id, users: [first, second] });
        bar.inc(1);
    }
    bar.finish_and_clear();
    anyhow::ensure!(
        !pairs.is_empty(),
        "name who talks: --conversation, --conversations-file, --users or --first-user with --pairs"
    );
    Ok(pairs)
}

/// Two users after two, from the list or the range; at most `pairs`.
///
/// # Errors
///
/// A list with an odd number of users, or with fewer than `pairs` asks for.
pub(crate) fn couples(users: &Users, pairs: Option<usize>) -> anyhow::Result<Vec<[i64; 2]>> {
    let (listed, []) = users.users.as_chunks::<2>() else {
        anyhow::bail!("--users names an odd number of users");
    };
    if !listed.is_empty() {
        let wanted = pairs.unwrap_or(listed.len());
        let listed = listed.get(..wanted).context("--users names fewer than --pairs")?;
        return Ok(listed.to_vec());
    }
    let Some(first) = users.first_user else { return Ok(Vec::new()) };
    let couple = |n: usize| [first + 2 * n as i64, first + 2 * n as i64 + 1];
    Ok((0..pairs.unwrap_or(1)).map(couple).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_read_as_it_is_written() {
        let pair = Pair { conversation: 5, users: [1, 2] };
        assert_eq!(pair.to_string(), "5:1,2");
        assert_eq!("5:1,2".parse(), Ok(pair));
        assert_eq!(Pair::parse_lines("5:1,2\n\n 5: 1, 2 \n"), Ok(vec![pair, pair]));
        for text in ["", "5", "5:1", "5:1,x", "a:1,2", "5:1,2,3"] {
            assert!(text.parse::<Pair>().is_err(), "{text}");
        }
    }

    #[test]
    fn users_are_taken_two_by_two() {
        let users = |listed: &[i64], first_user| Users { users: listed.to_vec(), first_user };
        let listed = couples(&users(&[1, 2, 5, 6], None), None).unwrap();
        assert_eq!(listed, [[1, 2], [5, 6]]);
        assert_eq!(couples(&users(&[1, 2, 5, 6], None), Some(1)).unwrap(), [[1, 2]]);
        assert_eq!(couples(&users(&[], Some(10)), Some(2)).unwrap(), [[10, 11], [12, 13]]);
        assert_eq!(couples(&users(&[], None), Some(2)).unwrap(), [[0; 2]; 0]);
        assert!(couples(&users(&[1], None), None).is_err());
        assert!(couples(&users(&[1, 2], None), Some(2)).is_err());
    }
}
