//! From the command line to a checked [`Config`]: the flags of the settings table, and the shell that reads the rest.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::thread;

use clap::{Arg, ArgMatches, Command};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{
    Config, ConfigError, ConfigErrors, Key, Kind, Machine, Origin, SETTINGS, Setting, Sources,
};

/// The flags that every command takes: one a setting, and `--config`.
#[derive(Clone, Default, Debug)]
pub(super) struct SettingArgs {
    /// The settings file.
    pub(super) config: Option<String>,
    /// Values by setting.
    pub(super) flags: BTreeMap<Key, String>,
    /// Files that hold values, by setting.
    pub(super) flag_files: BTreeMap<Key, String>,
}

/// Reads the environment, the settings file and the machine, and checks what comes of it.
///
/// # Errors
///
/// [`ConfigErrors`].
pub(super) fn load(args: &SettingArgs) -> anyhow::Result<Config> {
    load_with(args, &variable, args.config.clone().or_else(|| variable("FORTIFUN_CONFIG")))
}

/// As [`load`], with another environment, and the settings file that is named.
pub(super) fn load_with(
    args: &SettingArgs,
    env: &dyn Fn(&str) -> Option<String>,
    file: Option<String>,
) -> anyhow::Result<Config> {
    let file = file.filter(|path| !path.is_empty());
    let file = file.map(|path| read_file(&path).map_err(|why| unreadable("--config", &path, &why)));
    let mut flags = args.flags.clone();
    for (key, path) in &args.flag_files {
        let name = key.setting().file_name().expect("only settings with a file have this flag");
        let text = read_file(path).map_err(|why| unreadable(&name, path, &why))?;
        flags.insert(*key, text.trim_end_matches(['\r', '\n']).to_owned());
    }
    Ok(Config::load(&Sources {
        file: file.transpose()?.as_deref(),
        env,
        flags: &flags,
        read_file: &read_file,
        machine: machine()?,
    })?)
}

/// A variable of the environment; `None` where it is not set or not Unicode.
#[expect(clippy::disallowed_methods, reason = "the shell that the loader reads the environment by")]
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn machine() -> anyhow::Result<Machine> {
    Ok(Machine {
        cores: thread::available_parallelism().map_or(1, NonZero::get),
        descriptors_max: raise_descriptor_limit(),
        random: super::random()?,
    })
}

/// Raises this process's limit of open descriptors as far as it may, and returns it. The limit that is usual at login,
/// 1,024, is kept low for programs that use `select`, which this one does not.
fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where it cannot be raised the old limit holds, and `doctor` says so.
    let _ = setrlimit(Resource::Nofile, wanted);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn read_file(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| error.to_string())
}

fn unreadable(key: &str, path: &str, why: &str) -> ConfigErrors {
    let why = format!("cannot be read: {why}");
    let key = key.to_owned();
    ConfigErrors(vec![ConfigError { key, value: path.to_owned(), why, origin: Origin::Flag }])
}

impl clap::Args for SettingArgs {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .global(true)
            .help("Settings file (TOML); its keys are the settings' names in lower case [env: FORTIFUN_CONFIG]");
        SETTINGS.iter().fold(command.arg(file), |command, setting| {
            command.args([flag_of(setting), file_flag_of(setting)].into_iter().flatten())
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The flag of a setting; left out of `-h`, which would be mostly settings.
fn flag_of(setting: &'static Setting) -> Option<Arg> {
    let default = match setting.default_text() {
        "" => String::new(),
        text => format!("; default: {text}"),
    };
    let help = format!("{} [{}; env: {}{default}]", setting.doc, setting.kind, setting.name);
    let arg = Arg::new(setting.name)
        .long(setting.flag()?)
        .value_name(if setting.unit.is_empty() { "VALUE" } else { setting.unit })
        .help(help)
        .help_heading(setting.group)
        .hide_short_help(true)
        .global(true);
    Some(match setting.kind {
        // `--debug` alone says true; a value needs its `=`, so that an argument behind it is not taken for one.
        Kind::Boolean => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg.allow_hyphen_values(true),
    })
}

/// The flag that names the file of a setting.
fn file_flag_of(setting: &'static Setting) -> Option<Arg> {
    let name = setting.file_name()?;
    let flag = name.to_ascii_lowercase().replace('_', "-");
    let mut arg = Arg::new(name)
        .long(flag)
        .value_name("FILE")
        .help(format!("File that holds {}", setting.name))
        .help_heading(setting.group)
        .hide_short_help(true)
        .global(true);
    if setting.flag().is_some() {
        arg = arg.conflicts_with(setting.name);
    }
    Some(arg)
}

impl clap::FromArgMatches for SettingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let text = |id: &str| matches.get_one::<String>(id).cloned();
        Ok(Self {
            config: text("config"),
            flags: SETTINGS
                .iter()
                .filter(|setting| setting.flag().is_some())
                .filter_map(|setting| Some((setting.key, text(setting.name)?)))
                .collect(),
            flag_files: SETTINGS
                .iter()
                .filter_map(|setting| Some((setting.key, text(&setting.file_name()?)?)))
                .collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
