//! The layers a setting may come from, merged into one text a setting. Reads nothing itself: the shell hands in what it read.

use std::collections::BTreeMap;

use super::error::{ConfigError, Origin};
use super::secret::{REDACTED, redact_url, redact_urls};
use super::settings::{Fallback, Key, Kind, SETTINGS, Setting, by_toml_key, nearest_toml_key};

/// Finds a value by its name in the environment.
type ValueOf<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads the file at a path; the error is for people.
pub(super) type ReadFile<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Everything that decides the settings.
pub struct Sources<'a> {
    /// The text of the settings file (TOML), where there is one.
    pub file: Option<&'a str>,
    /// A variable of the environment.
    pub env: ValueOf<'a>,
    /// What the command line set.
    pub flags: &'a BTreeMap<Key, String>,
    /// Reads a file that a setting names; the error is for people.
    pub read_file: ReadFile<'a>,
    /// What the defaults are derived from.
    pub machine: Machine,
}

/// What the loader must know of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Threads that run at once.
    pub cores: usize,
    /// Descriptors that this process may open.
    pub descriptors_max: u64,
    /// Fresh random bytes, to make up a `SECRET_KEY` of where `DEBUG` allows it.
    pub random: [u8; 32],
}

/// A value as it was written, and by whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Raw {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// One value a setting, by [`Key`]; `None` where nothing sets it and it has no fixed default.
pub(super) type Values = Vec<Option<Raw>>;

/// Merges the layers: a flag wins over the environment, that over the file, that over the default. An empty variable of the
/// environment counts as not set.
pub(super) fn merge(sources: &Sources<'_>, errors: &mut Vec<ConfigError>) -> Values {
    let mut values: Values = SETTINGS
        .iter()
        .map(|setting| match setting.default {
            Fallback::Is(text) => Some(Raw { text: text.to_owned(), origin: Origin::Default }),
            Fallback::Derived(_) | Fallback::Unset => None,
        })
        .collect();
    let file = sources.file.map(|text| parse_file(text, errors)).unwrap_or_default();
    let from_file = |name: &str| file.get(&name.to_ascii_lowercase()).cloned();
    let from_env = |name: &str| (sources.env)(name).filter(|value| !value.is_empty());
    for setting in SETTINGS {
        let layers: [(Origin, ValueOf<'_>); 2] =
            [(Origin::File, &from_file), (Origin::Environment, &from_env)];
        for (origin, value_of) in layers {
            if let Some(text) = of_layer(setting, origin, value_of, sources, errors) {
                values[setting.key as usize] = Some(Raw { text, origin });
            }
        }
        if let Some(text) = sources.flags.get(&setting.key) {
            values[setting.key as usize] = Some(Raw { text: text.clone(), origin: Origin::Flag });
        }
    }
    values
}

/// What one layer says of a setting, directly or through its `_FILE` variant.
fn of_layer(
    setting: &Setting,
    origin: Origin,
    value_of: ValueOf<'_>,
    sources: &Sources<'_>,
    errors: &mut Vec<ConfigError>,
) -> Option<String> {
    let direct = value_of(setting.name);
    let Some(file_name) = setting.file_name() else { return direct };
    let Some(path) = value_of(&file_name) else { return direct };
    let mut refuse = |why: String| {
        errors.push(ConfigError { key: file_name.clone(), value: path.clone(), why, origin });
        None
    };
    if direct.is_some() {
        return refuse(format!("set either this or {}, not both", setting.name));
    }
    match (sources.read_file)(&path) {
        Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(why) => refuse(format!("cannot be read: {why}")),
    }
}

/// The file's values as text, by key. Arrays become comma-separated lists.
fn parse_file(text: &str, errors: &mut Vec<ConfigError>) -> BTreeMap<String, String> {
    let mut refuse = |key: &str, value: String, why: String| {
        errors.push(ConfigError { key: key.to_owned(), value, why, origin: Origin::File });
    };
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            // `message` names what was expected; the full text would quote the line, and with it a secret.
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            refuse(
                "--config",
                String::new(),
                format!("line {line}: {}", one_line(error.message())),
            );
            return BTreeMap::new();
        }
    };
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let Some((setting, is_file_name)) = by_toml_key(&key) else {
            let hint = nearest_toml_key(&key)
                .map_or_else(String::new, |known| format!("; did you mean `{known}`?"));
            refuse(&key, String::new(), format!("no such setting{hint}"));
            continue;
        };
        if let Some(text) = scalar(&value) {
            values.insert(key, text);
            continue;
        }
        let value = value.to_string();
        let shown = if is_file_name { value } else { shown(setting, &value) };
        refuse(&key, shown, format!("must be {}", setting.kind));
    }
    values
}

/// A TOML value as the environment would write it; `None` for a table, a date, or an array of anything but texts.
fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(items) => items
            .iter()
            .map(toml::Value::as_str)
            .collect::<Option<Vec<_>>>()
            .map(|all| all.join(",")),
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

/// `value` as it may be shown.
pub(super) fn shown(setting: &Setting, value: &str) -> String {
    match setting.kind {
        Kind::Secret { .. } | Kind::Secrets => REDACTED.to_owned(),
        Kind::Url => redact_url(value),
        Kind::Urls => redact_urls(value),
        _ => one_line(value),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
