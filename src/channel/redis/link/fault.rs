//! Why a connection to Redis is of no use, in words for people.

use std::io;

use redis::{RedisError, ServerError};

/// See the module. Nothing of it says a password.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// Nobody answers there.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It does not answer in time: whether it did what was asked is not known.
    #[error("it does not answer in time")]
    Silent,
    /// The connection ended: the same.
    #[error("the connection ended: {0}")]
    Closed(String),
    /// Its certificate is not trusted, or it does not speak TLS.
    #[error("TLS: {0}")]
    Tls(String),
    /// User, password or permissions.
    #[error("it denies access: {0}")]
    Denied(String),
    /// It answers, and with an error.
    #[error("it refuses: {0}")]
    Refused(String),
    /// It says something that Redis would not say.
    #[error("it does not speak Redis' protocol: {0}")]
    Protocol(String),
}

impl Fault {
    /// What an answer that is an error means.
    pub fn of_server(error: &ServerError) -> Self {
        let detail = error.details().unwrap_or_default();
        match error.code() {
            "WRONGPASS" => Self::Denied("the user or the password is wrong".to_owned()),
            "NOAUTH" => Self::Denied("it wants a password, and none is set".to_owned()),
            "NOPERM" => Self::Denied(format!("the user lacks a permission: {detail}")),
            "DENIED" => Self::Denied(
                "it is in protected mode, and serves its own machine only, until it has a password"
                    .to_owned(),
            ),
            "ERR" if detail.contains("without any password configured") => {
                Self::Denied("a password is set, and it wants none".to_owned())
            }
            "LOADING" => Self::Refused("it is still reading its data from disk".to_owned()),
            "ERR" => Self::Refused(detail.to_owned()),
            code => Self::Refused(format!("{code} {detail}")),
        }
    }

    /// What an error of the crate's parser means.
    pub(super) fn of_redis(error: &RedisError) -> Self {
        if error.is_io_error() {
            // Its words carry no kind, and the two that matter are these.
            return if error.is_connection_dropped() {
                Self::Closed("the other end closed it".to_owned())
            } else {
                Self::Closed(error.to_string())
            };
        }
        Self::Protocol(error.detail().unwrap_or("it cannot be read").to_owned())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Silent,
            io::ErrorKind::InvalidData => Self::Tls(error.to_string()),
            _ => Self::Closed(error.to_string()),
        }
    }
}
