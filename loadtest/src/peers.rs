//! The servers that `compare` holds beside each other: what each is made of, and what it speaks.
//!
//! Their sources are part of this program (`loadtest/peers/`). `install` lays them into a cache and makes them there by the
//! package manager of their world, `start` runs them, each beside what it needs (`world`).

mod install;
mod ready;
mod recipe;
mod start;
mod world;

use clap::ValueEnum;

pub(crate) use self::install::{Installed, install};
pub(crate) use self::recipe::Recipe;
pub(crate) use self::start::{Running, start};

/// A server that can be measured.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, ValueEnum)]
pub(crate) enum Peer {
    /// This project's server.
    Fortifun,
    /// The limit: the same input and output by epoll alone, without WebSocket.
    Raw,
    /// Bun's server, uWebSockets inside.
    Bun,
    /// Node with the package `ws`.
    NodeWs,
    /// Node with Socket.IO, over its WebSocket transport.
    Socketio,
    /// axum with tungstenite, on one thread of tokio.
    Axum,
    /// fastwebsockets behind hyper, on one thread of tokio.
    Fastwebsockets,
    /// Django Channels with Redis and Postgres, on uvicorn.
    Django,
}

impl Peer {
    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fortifun => "fortifun",
            Self::Raw => "raw",
            Self::Bun => "bun",
            Self::NodeWs => "node-ws",
            Self::Socketio => "socketio",
            Self::Axum => "axum",
            Self::Fastwebsockets => "fastwebsockets",
            Self::Django => "django",
        }
    }

    /// The name of what clients speak with it, as `--dialect` takes it.
    pub(crate) const fn dialect(self) -> &'static str {
        match self {
            Self::Fortifun => "fortifun",
            Self::Raw => "raw",
            Self::Bun | Self::NodeWs | Self::Axum | Self::Fastwebsockets => "plain",
            Self::Socketio => "socketio",
            Self::Django => "django",
        }
    }

    /// True exactly when it knows users, conversations and stored messages.
    pub(crate) const fn has_a_store(self) -> bool {
        matches!(self, Self::Fortifun | Self::Django)
    }

    /// True exactly when a scenario starts it by itself: it knows the settings, users or lengths of frames that are needed.
    pub(crate) const fn is_started_by_scenarios(self) -> bool {
        matches!(self, Self::Fortifun | Self::Raw)
    }

    /// How it is made; `None` of this project's server, which is there.
    pub(crate) fn recipe(self) -> Option<&'static Recipe> {
        recipe::of(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        for peer in Peer::value_variants() {
            let value = peer.to_possible_value().expect("no peer is hidden");
            assert_eq!(value.get_name(), peer.name());
        }
    }

    #[test]
    fn every_peer_but_our_own_has_a_recipe() {
        for peer in Peer::value_variants() {
            assert_eq!(peer.recipe().is_none(), *peer == Peer::Fortifun, "{peer:?}");
        }
    }
}
