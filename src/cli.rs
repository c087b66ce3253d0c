//! The command line: what is asked, with which settings, and what the shell is told at the end.
//!
//! This is the shell around the library: the only place that reads arguments, the environment, files of settings and, for a
//! command that needs it, the clock.

mod check_config;
mod demo;
mod doctor;
mod exit;
mod groups;
mod migrate;
mod revoke;
mod send;
mod serve;
mod settings;
mod token;
mod user;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Parser, Subcommand};

use crate::time::Timestamp;
use settings::SettingArgs;

/// The realtime tier of a dating app in one binary: chat, matches and presence over WebSocket and REST.
///
/// Settings come from flags, the environment, a TOML file and defaults, in this order of precedence; `check-config` shows
/// which one won.
#[derive(Debug, Parser)]
#[command(name = "fortifun", version, after_help = exit::HELP, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: SettingArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until it is told to stop (SIGTERM or SIGINT: drain; twice: at once).
    Serve,
    /// Run a server with four users in a store of its own, and print their tokens and the page's address.
    Demo(demo::Args),
    /// Bring the database's tables up to this version.
    Migrate(migrate::Args),
    /// Print the settings as they hold, and where each comes from.
    CheckConfig,
    /// Add users.
    #[command(subcommand)]
    User(user::Command),
    /// Print a JWT of a user.
    Token(token::Args),
    /// Refuse tokens from now on, and close the sockets that they opened, on every node.
    Revoke(revoke::Args),
    /// Look for what is wrong with the settings, the database, the channel layer and the machine, and say what mends it.
    Doctor,
    /// List the groups of the channel layer, and how many listen to each.
    Groups(groups::Args),
    /// Send one event to a group of the channel layer.
    Send(send::Args),
}

/// Runs the command that `args` name, the program's own name first, and returns what the shell is told.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell when help or complaint cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { exit::Code::Usage } else { exit::Code::Done }.into();
        }
    };
    let done = match cli.command {
        Command::Serve => serve::run(&cli.settings),
        Command::Demo(args) => demo::run(&args, &cli.settings),
        Command::Migrate(args) => migrate::run(&args, &cli.settings),
        Command::CheckConfig => check_config::run(&cli.settings),
        Command::User(command) => user::run(&command, &cli.settings),
        Command::Token(args) => token::run(&args, &cli.settings),
        Command::Revoke(args) => revoke::run(&args, &cli.settings),
        Command::Doctor => doctor::run(&cli.settings),
        Command::Groups(args) => groups::run(&args, &cli.settings),
        Command::Send(args) => send::run(&args, &cli.settings),
    };
    match done {
        Ok(()) => exit::Code::Done.into(),
        Err(error) => exit::tell(&error).into(),
    }
}

/// The clock on the wall.
#[expect(clippy::disallowed_methods, reason = "a command's own clock, read once and passed down")]
fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since_epoch.as_micros() as i64)
}

/// So many fresh random bytes.
fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system has no random bytes: {error}"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Key;
    use clap::CommandFactory as _;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["fortifun"], args].concat())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_are_taken_before_and_after_the_command() {
        for args in [
            &["--port", "9", "serve", "--debug", "--config", "a.toml"][..],
            &["serve", "--config=a.toml", "--port=9", "--debug=true"],
        ] {
            let settings = parse(args).unwrap().settings;
            assert_eq!(settings.flags[&Key::Port], "9");
            assert_eq!(settings.flags[&Key::Debug], "true");
            assert_eq!(settings.config.as_deref(), Some("a.toml"));
            assert_eq!(settings.flags.len(), 2);
        }
        let nested = parse(&["user", "add", "--echo", "alice", "--port", "1"]).unwrap();
        assert_eq!(nested.settings.flags[&Key::Echo], "true");
        assert!(matches!(nested.command, Command::User(user::Command::Add(_))));
    }

    #[test]
    fn a_secret_has_no_flag_and_its_file_has_one() {
        assert!(parse(&["serve", "--secret-key", "x"]).is_err());
        let settings = parse(&["serve", "--secret-key-file", "/run/secret"]).unwrap().settings;
        assert_eq!(settings.flag_files[&Key::SecretKey], "/run/secret");
        assert!(settings.flags.is_empty());
    }

    #[test]
    fn exit_codes_are_documented() {
        let help = Cli::command().render_help().to_string();
        for line in ["0  done", "1  ", "2  ", "3  ", "4  "] {
            assert!(help.contains(line), "{line}");
        }
    }
}
