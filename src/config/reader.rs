//! Turns merged texts into typed values, and gathers what is wrong instead of stopping at it.

use std::net::IpAddr;

use super::error::{ConfigError, Origin};
use super::settings::{Fallback, Key, Kind};
use super::sources::{Values, shown};

/// The merged values, and the errors so far.
pub(super) struct Reader {
    pub(super) values: Values,
    pub(super) errors: Vec<ConfigError>,
}

impl Reader {
    /// True exactly when somebody set `key`.
    pub(super) fn is_set(&self, key: Key) -> bool {
        self.values[key as usize].as_ref().is_some_and(|raw| raw.origin != Origin::Default)
    }

    /// The text of a setting; `None` where it is not set, or empty.
    pub(super) fn text(&mut self, key: Key) -> Option<String> {
        let text = self.values[key as usize].as_ref()?.text.clone();
        if let Kind::Text { chars_max } = key.setting().kind
            && (text.chars().count() > chars_max || text.contains('\0'))
        {
            self.refuse(key, "");
        }
        Some(text).filter(|text| !text.is_empty())
    }

    /// A whole number within its bounds; its fixed default, or else `fallback`, where it is not set or wrong.
    pub(super) fn integer(&mut self, key: Key, fallback: u64) -> u64 {
        let Kind::Integer { min, max } = key.setting().kind else {
            unreachable!("{key:?} is declared a whole number")
        };
        self.parsed(key, fallback, |text| {
            text.parse().ok().filter(|number| (min..=max).contains(number))
        })
    }

    /// A number within its bounds, or else its default.
    pub(super) fn real(&mut self, key: Key) -> f64 {
        let Kind::Real { min, max } = key.setting().kind else {
            unreachable!("{key:?} is declared a number")
        };
        self.parsed(key, min, |text| {
            text.parse().ok().filter(|number| (min..=max).contains(number))
        })
    }

    /// Django's spellings of true and false.
    pub(super) fn boolean(&mut self, key: Key) -> bool {
        self.parsed(key, false, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
            "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
            _ => None,
        })
    }

    /// An address to listen on; brackets around IPv6 are taken off.
    pub(super) fn address(&mut self, key: Key) -> IpAddr {
        self.parsed(key, IpAddr::from([0, 0, 0, 0]), |text| {
            text.trim_start_matches('[').trim_end_matches(']').parse().ok()
        })
    }

    /// One of the words of a [`Kind::Choice`], by its place among them.
    pub(super) fn choice(&mut self, key: Key) -> usize {
        let Kind::Choice(words) = key.setting().kind else {
            unreachable!("{key:?} is declared a choice")
        };
        self.parsed(key, 0, |text| words.iter().position(|word| word.eq_ignore_ascii_case(text)))
    }

    /// The entries of a list, each read by `T`; those that cannot be are told one by one.
    pub(super) fn list<T>(
        &mut self,
        key: Key,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Vec<T> {
        let text = self.text(key).unwrap_or_default();
        super::network::entries(&text)
            .filter_map(|entry| {
                parse(entry).map_err(|why| self.refuse(key, &format!("`{entry}` {why}"))).ok()
            })
            .collect()
    }

    /// Notes that `key` is wrong; an empty `why` says what its kind accepts.
    pub(super) fn refuse(&mut self, key: Key, why: &str) {
        let setting = key.setting();
        let why = if why.is_empty() { format!("must be {}", setting.kind) } else { why.to_owned() };
        let (value, origin) = match &self.values[key as usize] {
            Some(raw) => (shown(setting, &raw.text), raw.origin),
            None => (String::new(), Origin::Default),
        };
        self.errors.push(ConfigError { key: setting.name.to_owned(), value, why, origin });
    }

    /// Notes that `key` is wrong beside the others, unless one of `keys` is known to be wrong by itself.
    pub(super) fn require(&mut self, holds: bool, keys: &[Key], why: &str) {
        let is_known = |e: &ConfigError| keys.iter().any(|key| key.setting().name == e.key);
        if !holds && !self.errors.iter().any(is_known) {
            self.refuse(keys[0], why);
        }
    }

    fn parsed<T>(&mut self, key: Key, fallback: T, parse: impl Fn(&str) -> Option<T>) -> T {
        if let Some(raw) = &self.values[key as usize] {
            if let Some(value) = parse(raw.text.trim()) {
                return value;
            }
            self.refuse(key, "");
        }
        match key.setting().default {
            Fallback::Is(text) => parse(text).unwrap_or(fallback),
            Fallback::Derived(_) | Fallback::Unset => fallback,
        }
    }
}
