//! `fortifun user`: users of the store, for development and for stores that Django does not fill.

use std::io::{self, Write as _};

use anyhow::bail;

use super::settings::{SettingArgs, load};
use crate::model::{Refused, UserId};
use crate::server;
use crate::store::{Failure, Lane, Outcome, Reply, Request, Store};
use crate::time::Timestamp;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Add a user, and print the id; with --count, as many numbered ones, and print the first id and the last.
    Add(AddArgs),
}

/// Whom to add.
#[derive(Debug, clap::Args)]
pub(super) struct AddArgs {
    /// The name to log in by; 1 to 150 characters, not digits alone.
    name: String,
    /// First name.
    #[arg(long, default_value = "")]
    first_name: String,
    /// Last name.
    #[arg(long, default_value = "")]
    last_name: String,
    /// Add NAME1, NAME2 … up to this number, for load tests.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    count: Option<u32>,
}

pub(super) fn run(command: &Command, settings: &SettingArgs) -> anyhow::Result<()> {
    let Command::Add(args) = command;
    check_name(&args.name)?;
    let config = load(settings)?;
    let mut store = server::open_store(&config, Lane::Write)?;
    if let Some(count) = args.count {
        let (first, last) = add_many(&mut *store, args, count, super::wall_clock())?;
        writeln!(io::stdout(), "{first} {last}")?;
        return Ok(());
    }
    let names = [&args.name, &args.first_name, &args.last_name];
    match add(&mut *store, names.map(String::as_str), super::wall_clock())? {
        Some(id) => writeln!(io::stdout(), "{id}")?,
        None => bail!("NAME: `{}` is taken", args.name),
    }
    Ok(())
}

/// Digits alone would be taken for an id by `token --user`.
fn check_name(name: &str) -> anyhow::Result<()> {
    if !(1..=150).contains(&name.chars().count()) {
        bail!("NAME: must be 1 to 150 characters long");
    }
    if name.bytes().all(|b| b.is_ascii_digit()) {
        bail!("NAME: must not be digits alone, which name an id");
    }
    Ok(())
}

/// Adds a user by username, first and last name; `None` where the username is taken.
pub(super) fn add(
    store: &mut dyn Store,
    [username, first_name, last_name]: [&str; 3],
    now: Timestamp,
) -> anyhow::Result<Option<UserId>> {
    let request = Request::AddUser {
        username: username.to_owned(),
        first_name: first_name.to_owned(),
        last_name: last_name.to_owned(),
    };
    match commit_one(store, request, now) {
        Ok(Reply::UserAdded(card)) => Ok(Some(card.id)),
        Ok(other) => bail!("the store answered {other:?} to a new user"),
        Err(Failure::Refused(Refused::NameTaken)) => Ok(None),
        Err(failure) => Err(as_error(failure)),
    }
}

/// Adds NAME1 up to NAME`count`, a thousand in a transaction; returns the first id and the last.
fn add_many(
    store: &mut dyn Store,
    args: &AddArgs,
    count: u32,
    now: Timestamp,
) -> anyhow::Result<(UserId, UserId)> {
    let mut ids = Vec::new();
    let numbers: Vec<u32> = (1..=count).collect();
    for chunk in numbers.chunks(1_000) {
        let name = |number| Request::AddUser {
            username: format!("{}{number}", args.name),
            first_name: args.first_name.clone(),
            last_name: args.last_name.clone(),
        };
        let batch: Vec<Request> = chunk.iter().map(name).collect();
        for (number, outcome) in chunk.iter().zip(store.commit(&batch, now)?) {
            match outcome {
                Ok(Reply::UserAdded(card)) => ids.push(card.id),
                Ok(other) => bail!("the store answered {other:?} to a new user"),
                Err(Failure::Refused(Refused::NameTaken)) => {
                    bail!("NAME: `{}{number}` is taken", args.name)
                }
                Err(failure) => return Err(as_error(failure)),
            }
        }
    }
    match ids[..] {
        [only] => Ok((only, only)),
        [first, .., last] => Ok((first, last)),
        [] => bail!("--count: must be at least 1"),
    }
}

/// Carries out one write.
pub(super) fn commit_one(store: &mut dyn Store, request: Request, now: Timestamp) -> Outcome {
    let outcomes = store.commit(&[request], now)?;
    outcomes.into_iter().next().expect("a batch has as many outcomes as requests")
}

/// A failure as an error that has its exit code.
pub(super) fn as_error(failure: Failure) -> anyhow::Error {
    match failure {
        Failure::Refused(refused) => anyhow::anyhow!("the store refused: {refused:?}"),
        Failure::Store(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_neither_empty_nor_long_nor_an_id() {
        for (name, is_good) in [
            ("alice", true),
            ("7up", true),
            ("é", true),
            ("", false),
            ("42", false),
            (&"x".repeat(151), false),
        ] {
            assert_eq!(check_name(name).is_ok(), is_good, "{name}");
        }
    }
}
