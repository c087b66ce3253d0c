//! What the command line, and the scenario behind it, told a run.

use clap::{ArgMatches, Command};
use serde_json::Value;

/// Flags that are no parameters of a run: a secret, and those that say where others are.
const SILENT: [&str; 4] = ["secret", "secret_file", "scenario", "smoke"];

/// The flags of the subcommand that have a value, in the order of its help; `matches` came of `command`. Left out are flags of
/// all subcommands, switches that are off, and secrets.
pub(crate) fn told(command: &Command, matches: &ArgMatches) -> Vec<(String, Value)> {
    let Some((name, matches)) = matches.subcommand() else { return Vec::new() };
    let Some(subcommand) = command.find_subcommand(name) else { return Vec::new() };
    let own = subcommand.get_arguments().filter(|argument| {
        let id = argument.get_id().as_str();
        !argument.is_global_set() && !SILENT.contains(&id) && argument.get_long().is_some()
    });
    own.filter_map(|argument| {
        let values = matches.try_get_raw(argument.get_id().as_str()).ok()??;
        let words: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
        let name = argument.get_long()?.replace('-', " ");
        (words[..] != ["false"]).then(|| (name, value(&words.join(", "))))
    })
    .collect()
}

/// A number where it is one.
fn value(word: &str) -> Value {
    match serde_json::from_str(word) {
        Ok(Value::Number(number)) => number.into(),
        Ok(Value::Bool(true)) => "yes".into(),
        _ => word.into(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Args;

    #[test]
    fn flags_are_told_and_secrets_are_not() {
        let words = "fortifun-loadtest --json crash --secret hidden --pairs 3 --conversation 1:2,3 --ledger x";
        let matches = Args::command().get_matches_from(words.split(' '));
        let told = told(&Args::command(), &matches);
        let of = |name: &str| told.iter().find(|(own, _)| own == name).map(|(_, value)| value);
        assert_eq!(of("pairs"), Some(&3.into()));
        assert_eq!(of("writers"), Some(&4.into()));
        assert_eq!(of("conversation"), Some(&"1:2,3".into()));
        assert_eq!(of("first user"), None);
        assert_eq!(of("json"), None);
        assert!(!format!("{told:?}").contains("hidden"));
    }

    #[test]
    fn a_switch_is_told_where_it_is_on() {
        let told = |words: &str| {
            let matches = Args::command().get_matches_from(words.split(' '));
            told(&Args::command(), &matches).into_iter().find(|(name, _)| name == "sqlite")
        };
        let words = "fortifun-loadtest commits";
        assert_eq!(told(words), None);
        assert_eq!(told(&format!("{words} --sqlite")), Some(("sqlite".into(), "yes".into())));
    }
}
