//! What operators and their machines ask.

use std::collections::BTreeMap;

use crate::protocol::http::Response;
use crate::wire;

/// A request that the server answers itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ops {
    /// Is the process alive? See [`healthz`].
    Healthz,
    /// May clients be sent here? See [`readyz`].
    Readyz,
    /// Prometheus' text.
    Metrics,
    /// The page for people.
    Page,
}

/// 200: whoever gets this answer knows that the loop turns.
pub fn healthz() -> Response {
    uncached(200, wire::rest::body(&wire::rest::Health { status: "ok", failing: None }))
}

/// A part of a node that clients need.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// To other nodes and Django. Without it a node serves its own clients, and brings up what it missed later.
    ChannelLayer,
    /// No failure: the node moves its clients away.
    Draining,
    /// The database.
    Store,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::ChannelLayer => "channel_layer",
            Self::Draining => "draining",
            Self::Store => "store",
        }
    }
}

/// `failing` says what is not well and why. 200 where clients may be sent here: nothing fails (`ok`), or the channel layer alone
/// (`degraded`), which fails for all nodes at once, and a balancer that took them all away would leave nobody. Else 503.
pub fn readyz(failing: &[(Part, &str)]) -> Response {
    let names = || failing.iter().map(|(part, why)| (part.name(), *why)).collect();
    let (status, word) = match failing {
        [] => (200, "ok"),
        _ if failing.iter().all(|(part, _)| *part == Part::ChannelLayer) => (200, "degraded"),
        _ => (503, "not_ready"),
    };
    let failing: Option<BTreeMap<&str, &str>> = (!failing.is_empty()).then(names);
    uncached(status, wire::rest::body(&wire::rest::Health { status: word, failing }))
}

fn uncached(status: u16, body: Vec<u8>) -> Response {
    Response::json(status, body).header("Cache-Control", "no-store")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(response: &Response, status: u16, body: &str) {
        assert_eq!(response.status(), status);
        assert_eq!(response.body(), body);
        assert_eq!(response.header_value("Cache-Control"), Some("no-store"));
    }

    #[test]
    fn what_is_not_ready_is_named() {
        check(&healthz(), 200, r#"{"status":"ok"}"#);
        check(&readyz(&[]), 200, r#"{"status":"ok"}"#);
        check(
            &readyz(&[(Part::ChannelLayer, "cache:6379: refused")]),
            200,
            r#"{"status":"degraded","failing":{"channel_layer":"cache:6379: refused"}}"#,
        );
        check(
            &readyz(&[(Part::Store, "unavailable")]),
            503,
            r#"{"status":"not_ready","failing":{"store":"unavailable"}}"#,
        );
        check(
            &readyz(&[(Part::ChannelLayer, "refused"), (Part::Draining, "since SIGTERM")]),
            503,
            r#"{"status":"not_ready","failing":{"channel_layer":"refused","draining":"since SIGTERM"}}"#,
        );
    }
}
