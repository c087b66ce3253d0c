//! Scenarios: named sets of flags in TOML, one built in for each subcommand that has any, others in files.
//!
//! A key is the name of a flag with `_` for `-`; `about` says what the scenario is for, and the table `smoke` holds what is
//! different in the small. What counts, the strongest first: flags, `smoke`, the file of `--scenario`, what is built in.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, bail};
use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _};
use toml::{Table, Value};

use crate::args::{self, Args};

/// Those that are built in, by subcommand.
const BUILT_IN: &[(&str, &str)] = &[
    ("idle", include_str!("../scenarios/idle.toml")),
    ("chat", include_str!("../scenarios/chat.toml")),
    ("match", include_str!("../scenarios/match.toml")),
    ("churn", include_str!("../scenarios/churn.toml")),
    ("nodes", include_str!("../scenarios/nodes.toml")),
    ("handshakes", include_str!("../scenarios/handshakes.toml")),
    ("echo", include_str!("../scenarios/echo.toml")),
    ("fanout", include_str!("../scenarios/fanout.toml")),
    ("slow", include_str!("../scenarios/slow.toml")),
    ("storm", include_str!("../scenarios/storm.toml")),
    ("soak", include_str!("../scenarios/soak.toml")),
];
/// Keys that are no flags.
const ABOUT: &str = "about";
const SMOKE: &str = "smoke";

/// Reads the command line, with the scenarios' values where it says nothing.
///
/// # Errors
///
/// A scenario that cannot be read or has a key that no flag has. What is wrong with the command line itself is told as clap
/// tells it, and ends the program.
pub(crate) fn parse(words: Vec<OsString>) -> anyhow::Result<Args> {
    let mut command = Args::command();
    for (name, text) in BUILT_IN {
        let table = read(text).with_context(|| format!("the scenario {name}"))?;
        command = with_defaults(command, name, &table)?;
    }
    // Which scenario and how large must be known before the flags can be understood.
    let lenient = command.clone().ignore_errors(true).try_get_matches_from(&words);
    if let Some((name, chosen)) = lenient.as_ref().ok().and_then(ArgMatches::subcommand) {
        command = with_chosen(command, name, chosen)?;
    }
    let matches = command.clone().get_matches_from(words);
    let mut args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    args.told = args::told(&command, &matches);
    Ok(args)
}

/// Adds the file that is named and the values of the small scenario.
fn with_chosen(mut command: Command, name: &str, chosen: &ArgMatches) -> anyhow::Result<Command> {
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
    let Some((_, built_in)) = built_in else { return Ok(command) };
    let mut smoke = small(&read(built_in)?);
    if let Some(path) = chosen.get_one::<std::path::PathBuf>("scenario") {
        let table = read_file(path)?;
        command =
            with_defaults(command, name, &table).with_context(|| path.display().to_string())?;
        smoke = small(&table).or(smoke);
    }
    if chosen.get_flag(SMOKE) {
        let smoke = smoke.with_context(|| format!("{name} has no scenario in small"))?;
        command = with_defaults(command, name, &smoke)?;
    }
    Ok(command)
}

fn small(table: &Table) -> Option<Table> {
    table.get(SMOKE).and_then(Value::as_table).cloned()
}

fn read_file(path: &Path) -> anyhow::Result<Table> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    read(&text).with_context(|| path.display().to_string())
}

fn read(text: &str) -> anyhow::Result<Table> {
    text.parse().context("it is not TOML")
}

/// `command` with the values of `table` as defaults of the flags of its subcommand `name`.
///
/// # Errors
///
/// A key that no flag has, or a value that is neither a number, a text, a truth nor a list of those.
fn with_defaults(command: Command, name: &str, table: &Table) -> anyhow::Result<Command> {
    let subcommand = command.find_subcommand(name).context("a scenario of no subcommand")?;
    let mut defaults = Vec::new();
    for (key, value) in table {
        if key == ABOUT || (key == SMOKE && value.is_table()) {
            continue;
        }
        let flag = key.replace('_', "-");
        let argument = subcommand.get_arguments().find(|argument| {
            argument.get_long() == Some(&*flag) && argument.get_id() != "scenario"
        });
        let Some(argument) = argument else { bail!("unknown key: {key}") };
        let values = word(value).with_context(|| format!("the value of {key}"))?;
        defaults.push((argument.get_id().clone(), values));
    }
    Ok(command.mut_subcommand(name, |subcommand| {
        defaults.into_iter().fold(subcommand, |subcommand, (id, value)| {
            subcommand.mut_arg(id, |argument| argument.default_value(value).required(false))
        })
    }))
}

/// A value as it stands on a command line.
fn word(value: &Value) -> anyhow::Result<String> {
    Ok(match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(is_so) => is_so.to_string(),
        Value::Array(values) => {
            values.iter().map(word).collect::<anyhow::Result<Vec<_>>>()?.join(",")
        }
        Value::Datetime(_) | Value::Table(_) => bail!("a number, a text, a truth or a list"),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn echo(words: &[&str]) -> anyhow::Result<args::Echo> {
        let words = ["fortifun-loadtest", "echo"].iter().chain(words).map(OsString::from);
        match parse(words.collect())?.command {
            args::Command::Echo(echo) => Ok(echo),
            _ => panic!("another subcommand"),
        }
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn every_scenario_that_is_built_in_is_whole_and_has_a_small_one() {
        for (name, text) in BUILT_IN {
            let table = read(text).unwrap();
            assert!(table.get(ABOUT).is_some_and(Value::is_str), "{name} says what it is for");
            for more in [&[][..], &["--smoke"]] {
                let words = [&["fortifun-loadtest", name][..], more].concat();
                parse(words.iter().map(OsString::from).collect()).unwrap();
            }
        }
    }

    #[test]
    fn a_flag_counts_more_than_a_file_and_a_file_more_than_what_is_built_in() {
        let built_in = echo(&[]).unwrap();
        let own = file("about = \"x\"\nbytes = 77\nrate = 12.5\n");
        let path = own.path().to_str().unwrap();
        let filed = echo(&["--scenario", path]).unwrap();
        assert_eq!((filed.bytes, filed.rate), (77, Some(12.5)));
        assert_eq!(filed.sessions, built_in.sessions);
        assert_eq!(echo(&["--scenario", path, "--bytes", "99"]).unwrap().bytes, 99);
        assert!(echo(&["--smoke"]).unwrap().time.duration_s < built_in.time.duration_s);
        let own = file("[smoke]\nbytes = 55\n");
        let path = own.path().to_str().unwrap();
        assert_eq!(echo(&["--scenario", path, "--smoke"]).unwrap().bytes, 55);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        for (text, error) in [
            ("colour = 1", "unknown key: colour"),
            ("[smoke]\nshape = 1", "unknown key: shape"),
            ("scenario = \"x\"", "unknown key: scenario"),
            ("bytes = 1979-05-27", "the value of bytes"),
            ("bytes", "it is not TOML"),
        ] {
            let own = file(text);
            let words = ["--smoke", "--scenario", own.path().to_str().unwrap()];
            let found = format!("{:#}", echo(&words).err().unwrap());
            assert!(found.contains(error), "{text}: {found}");
        }
    }
}
