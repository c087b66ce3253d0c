//! `fortifun token`: a JWT of a user, as Django's simplejwt would issue it.

use std::io::{self, Write as _};

use anyhow::bail;

use super::settings::{SettingArgs, load};
use super::user::as_error;
use crate::auth::jwt::Issuer;
use crate::config::{AuthSettings, Config, ConfigError, ConfigErrors, Key, Origin};
use crate::model::{Refused, UserId};
use crate::server;
use crate::store::{Failure, Lane, Reply, Request, Store};
use crate::time::Timestamp;

/// Whose token, and for how long.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Username, or id where it is digits alone.
    #[arg(long, value_name = "NAME|ID")]
    user: String,
    /// How long it is valid: a number and s, m, h or d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_ttl)]
    ttl: i64,
}

pub(super) fn run(args: &Args, settings: &SettingArgs) -> anyhow::Result<()> {
    let config = load(settings)?;
    refuse_made_up_secret(&config)?;
    let mut store = server::open_store(&config, Lane::Read)?;
    let now = super::wall_clock();
    let user = find(&mut *store, &args.user, now)?;
    let jti = u128::from_le_bytes(super::random()?);
    writeln!(io::stdout(), "{}", issue(&config.auth, user, args.ttl, now, jti))?;
    Ok(())
}

/// With `DEBUG` on a key may have been made up, for this process alone: nobody would accept what it signs.
fn refuse_made_up_secret(config: &Config) -> Result<(), ConfigErrors> {
    let origin = config.effective[Key::SecretKey as usize].origin;
    if origin != Origin::Default {
        return Ok(());
    }
    let key = Key::SecretKey.setting().name.to_owned();
    let why = "must be set, to the key of the server that the token is for".to_owned();
    Err(ConfigErrors(vec![ConfigError { key, value: String::new(), why, origin }]))
}

/// An access token of `user`, valid for `ttl_s` seconds from `now`, in the form of simplejwt 5.5.1 and later.
pub(super) fn issue(
    auth: &AuthSettings,
    user: UserId,
    ttl_s: i64,
    now: Timestamp,
    jti: u128,
) -> String {
    let (audience, issuer) = (auth.audience.as_deref(), auth.issuer.as_deref());
    Issuer { secret: auth.secret.expose(), audience, issuer }.issue(user, ttl_s, now, jti)
}

/// The active user that `name_or_id` names.
pub(super) fn find(
    store: &mut dyn Store,
    name_or_id: &str,
    now: Timestamp,
) -> anyhow::Result<UserId> {
    let request = match name_or_id.parse() {
        Ok(id) => Request::Admit { user: UserId(id), conversation: None },
        Err(_) => Request::FindUser { username: name_or_id.to_owned() },
    };
    match store.read(&request, now) {
        Ok(Reply::UserAdded(card) | Reply::Admitted { user: card, .. }) => Ok(card.id),
        Ok(other) => bail!("the store answered {other:?} to a search for a user"),
        Err(Failure::Refused(Refused::UserNotFound)) => {
            bail!("--user: there is no active user `{name_or_id}`")
        }
        Err(failure) => Err(as_error(failure)),
    }
}

/// Seconds of `90s`, `15m`, `1h` or `7d`.
fn parse_ttl(text: &str) -> Result<i64, String> {
    let seconds = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3_600,
        Some(b'd') => 86_400,
        _ => return Err("must be a number and s, m, h or d, as 1h".to_owned()),
    };
    let number: u32 = text[..text.len() - 1]
        .parse()
        .map_err(|_| "must be a whole number and s, m, h or d, as 1h".to_owned())?;
    Ok(i64::from(number) * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h", 3_600), ("7d", 604_800)] {
            assert_eq!(parse_ttl(text), Ok(seconds));
        }
        for text in ["", "h", "1", "1.5h", "-1h", "1 h", "1w", "é"] {
            assert!(parse_ttl(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_is_signed_with_a_key_that_was_made_up() {
        let config = Config::from_pairs(&[("DEBUG", "1")]).unwrap();
        let told = refuse_made_up_secret(&config).unwrap_err().to_string();
        assert!(told.starts_with("SECRET_KEY: must be set"), "{told}");
        let config = Config::from_pairs(&[("DEBUG", "1"), ("SECRET_KEY", "short")]).unwrap();
        assert_eq!(refuse_made_up_secret(&config), Ok(()));
    }

    #[test]
    fn a_token_is_what_the_settings_ask_of_one() {
        const SECRET: &str = "0123456789abcdef0123456789abcdef";
        let pairs = [("SECRET_KEY", SECRET), ("JWT_AUDIENCE", "app"), ("JWT_ISSUER", "us")];
        let auth = Config::from_pairs(&pairs).unwrap().auth;
        let now = Timestamp::from_unix_seconds(4_000_000_000);
        let token = issue(&auth, UserId(7), 60, now, 0xabc);
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&["app"]);
        validation.set_issuer(&["us"]);
        let key = DecodingKey::from_secret(SECRET.as_bytes());
        let claims =
            jsonwebtoken::decode::<serde_json::Value>(&token, &key, &validation).unwrap().claims;
        assert_eq!(
            claims,
            serde_json::json!({
                "token_type": "access", "exp": 4_000_000_060_i64, "iat": 4_000_000_000_i64,
                "jti": "00000000000000000000000000000abc", "user_id": "7", "aud": "app", "iss": "us",
            })
        );
    }
}
