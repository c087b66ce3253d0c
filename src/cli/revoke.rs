//! `fortifun revoke`: tokens taken back before they expire.

use std::io::{self, Write as _};

use anyhow::bail;

use super::settings::{SettingArgs, load};
use super::user::{as_error, commit_one};
use crate::limits::JTI_BYTES_MAX;
use crate::model::{Refused, Revoked, UserId};
use crate::server;
use crate::store::{Failure, Lane, Reply, Request, Store};
use crate::time::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// Which tokens.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// All tokens of the user of this id that were issued by now.
    #[arg(long, value_name = "ID", required_unless_present = "jti", conflicts_with = "jti", value_parser = clap::value_parser!(i64).range(1..))]
    user: Option<i64>,
    /// The one token with this `jti`.
    #[arg(long, value_name = "JTI", value_parser = parse_jti)]
    jti: Option<String>,
    /// How long this is remembered, days; at least as long as any of your tokens is valid.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    keep_days: u32,
}

pub(super) fn run(args: &Args, settings: &SettingArgs) -> anyhow::Result<()> {
    let config = load(settings)?;
    let mut store = server::open_store(&config, Lane::Write)?;
    let told = revoke(&mut *store, args, super::wall_clock())?;
    writeln!(io::stdout(), "{told}")?;
    Ok(())
}

/// Stores the revocation, and says what holds from then on.
fn revoke(store: &mut dyn Store, args: &Args, now: Timestamp) -> anyhow::Result<String> {
    let until = now.plus_ms(i64::from(args.keep_days) * DAY_MS);
    let (revoked, whose) = match (args.user, &args.jti) {
        (Some(id), _) => {
            let second = Timestamp::from_unix_seconds(now.unix_seconds());
            let whose = format!("tokens of user {id} that were issued by {second}");
            (Revoked::User(UserId(id)), whose)
        }
        (None, Some(jti)) => (Revoked::Token(jti.as_str().into()), format!("the token `{jti}`")),
        (None, None) => bail!("--user or --jti must say which tokens"),
    };
    match commit_one(store, Request::Revoke { revoked, until }, now) {
        Ok(Reply::Done) => {}
        Ok(other) => bail!("the store answered {other:?} to a revocation"),
        Err(Failure::Refused(Refused::UserNotFound)) => {
            bail!("--user: there is no user {}", args.user.unwrap_or_default())
        }
        Err(failure) => return Err(as_error(failure)),
    }
    Ok(format!(
        "revoked: {whose}; every node closes its sockets within a second; kept until {until}"
    ))
}

fn parse_jti(text: &str) -> Result<String, String> {
    if (1..=JTI_BYTES_MAX).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be 1 to {JTI_BYTES_MAX} bytes long"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    const NOW: Timestamp = Timestamp(1_700_000_000_500_000);

    fn args(user: Option<i64>, jti: Option<&str>) -> Args {
        Args { user, jti: jti.map(str::to_owned), keep_days: 2 }
    }

    #[test]
    fn what_was_revoked_is_said_and_who_is_nobody_is_named() {
        let mut store = MemoryStore::new();
        let told = revoke(&mut store, &args(Some(7), None), NOW).unwrap_err().to_string();
        assert_eq!(told, "--user: there is no user 7");
        crate::cli::user::add(&mut store, ["alice", "", ""], NOW).unwrap();
        let told = revoke(&mut store, &args(Some(1), None), NOW).unwrap();
        assert!(told.contains("user 1 that were issued by 2023-11-14T22:13:20Z"), "{told}");
        let told = revoke(&mut store, &args(None, Some("abc")), NOW).unwrap();
        assert!(told.contains("`abc`") && told.ends_with("2023-11-16T22:13:20.500000Z"), "{told}");
        let Ok(Reply::Revocations(all)) = store.read(&Request::Revocations { after: 0 }, NOW)
        else {
            panic!()
        };
        assert_eq!(all[0].revoked, Revoked::User(UserId(1)));
        assert_eq!(all[1].revoked, Revoked::Token("abc".into()));
    }

    #[test]
    fn a_jti_has_its_bounds() {
        assert!(parse_jti("a").is_ok() && parse_jti(&"x".repeat(JTI_BYTES_MAX)).is_ok());
        assert!(parse_jti("").is_err() && parse_jti(&"x".repeat(JTI_BYTES_MAX + 1)).is_err());
    }
}
