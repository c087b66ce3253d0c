//! `fortifun groups`: who is in which group of the bus.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::send::bus;
use super::settings::{SettingArgs, load};
use crate::server::GroupCount;

/// Which groups, and how they are written.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Also what nodes tell each other, where Django does not listen.
    #[arg(long)]
    all: bool,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, settings: &SettingArgs) -> anyhow::Result<()> {
    let mut groups = bus(&load(settings)?)?.groups()?;
    groups.retain(|group| args.all || !group.is_own());
    let text = if args.json { json(&groups) } else { table(&groups) };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// One line a group, and one that counts them.
fn table(groups: &[GroupCount]) -> String {
    let width = groups.iter().map(|group| group.name.len()).max().unwrap_or_default();
    let mut table = groups.iter().fold(String::new(), |mut table, GroupCount { name, members }| {
        writeln!(table, "{name:width$}  {members}").expect("a String takes what is written to it");
        table
    });
    let members: u64 = groups.iter().map(|group| group.members).sum();
    writeln!(table, "groups: {}, members: {members}", groups.len())
        .expect("a String takes what is written to it");
    table
}

fn json(groups: &[GroupCount]) -> String {
    let each = groups.iter().map(
        |GroupCount { name, members }| serde_json::json!({ "group": name, "members": members }),
    );
    format!("{}\n", each.collect::<serde_json::Value>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(name: &str, members: u64) -> GroupCount {
        GroupCount { name: name.to_owned(), members }
    }

    #[test]
    fn groups_are_told_to_people_and_to_programs() {
        let groups = [count("chat_456", 12), count("user_7_notifications", 1)];
        assert_eq!(
            table(&groups),
            "chat_456              12\nuser_7_notifications  1\ngroups: 2, members: 13\n"
        );
        assert_eq!(
            json(&groups),
            "[{\"group\":\"chat_456\",\"members\":12},{\"group\":\"user_7_notifications\",\"members\":1}]\n"
        );
        assert_eq!((table(&[]), json(&[])), ("groups: 0, members: 0\n".into(), "[]\n".into()));
    }
}
