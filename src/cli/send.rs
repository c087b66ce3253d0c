//! `fortifun send`: one event to one group of the bus, as Django's `group_send` sends it.

use std::io::{self, Write as _};

use super::settings::{SettingArgs, load};
use crate::config::{ChannelKind, Config, ConfigError, ConfigErrors, Key, Origin};
use crate::server::{self, Bus, SendError, Sent};

/// What, and whom to.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The group, as `user_7_notifications`, `chat_456` or `general_chat_notifications`.
    #[arg(long, value_name = "GROUP")]
    group: String,
    /// The event: a JSON object whose `type` names a handler. A consumer of Django without that handler ends.
    #[arg(long, value_name = "JSON")]
    event: String,
}

pub(super) fn run(args: &Args, settings: &SettingArgs) -> anyhow::Result<()> {
    let config = load(settings)?;
    let sent = bus(&config)?.send(&args.group, &args.event).map_err(as_error)?;
    writeln!(io::stdout(), "{}", told(&sent, config.channel.kind))?;
    if let Some(why) = &sent.unheard {
        writeln!(io::stderr(), "warning: no socket gets it: {why}")?;
    }
    Ok(())
}

/// The configured bus.
///
/// # Errors
///
/// There is none, or its settings are wrong.
pub(super) fn bus(config: &Config) -> anyhow::Result<Bus> {
    let none = || {
        let why = "`memory` has no bus that another process could reach; set REDIS_URL";
        usage(Key::ChannelLayer.setting().name, why)
    };
    Ok(server::bus(config)?.ok_or_else(none)?)
}

fn told(sent: &Sent, kind: ChannelKind) -> String {
    let Sent { to, full, .. } = sent;
    let plural = if *to == 1 { "" } else { "s" };
    match kind {
        ChannelKind::RedisCore if *full > 0 => {
            format!("sent to {to} queue{plural}; {full} had no room")
        }
        ChannelKind::RedisCore => format!("sent to {to} queue{plural}"),
        ChannelKind::RedisPubSub | ChannelKind::Memory => format!("sent to {to} receiver{plural}"),
    }
}

fn as_error(error: SendError) -> anyhow::Error {
    let flag = match &error {
        SendError::Group => "--group",
        SendError::Json(_) | SendError::NoType | SendError::PrivateType(_) => "--event",
        SendError::Trouble(_) => return error.into(),
    };
    usage(flag, &error.to_string()).into()
}

fn usage(key: &str, why: &str) -> ConfigErrors {
    let (key, why) = (key.to_owned(), why.to_owned());
    ConfigErrors(vec![ConfigError { key, value: String::new(), why, origin: Origin::Default }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_went_is_told() {
        let sent = |to, full| Sent { to, full, unheard: None };
        for (sent, kind, line) in [
            (sent(0, 0), ChannelKind::RedisPubSub, "sent to 0 receivers"),
            (sent(1, 0), ChannelKind::RedisPubSub, "sent to 1 receiver"),
            (sent(2, 0), ChannelKind::RedisCore, "sent to 2 queues"),
            (sent(1, 3), ChannelKind::RedisCore, "sent to 1 queue; 3 had no room"),
        ] {
            assert_eq!(told(&sent, kind), line);
        }
    }

    #[test]
    fn what_is_wrong_names_the_flag_or_the_setting() {
        for (error, start) in [
            (SendError::Group, "--group: the group's name is none"),
            (SendError::NoType, "--event: the event has no `type`"),
            (SendError::Json("EOF".to_owned()), "--event: the event is no JSON object: EOF"),
        ] {
            assert!(as_error(error).to_string().starts_with(start));
        }
        let config = Config::from_pairs(&[("DEBUG", "1")]).unwrap();
        let told = bus(&config).err().unwrap().to_string();
        assert!(told.starts_with("CHANNEL_LAYER: `memory` has no bus"), "{told}");
    }
}
