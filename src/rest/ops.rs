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
    uncached(200, &BTreeMap::from([("status", "ok")]))
}

/// 200 where `failing` is empty, else 503. `failing` names what is not ready (`store`, `draining`) and says why.
pub fn readyz(failing: &[(&str, &str)]) -> Response {
    let status = if failing.is_empty() { "ready" } else { "not_ready" };
    let members = failing.iter().copied().chain([("status", status)]);
    let members: BTreeMap<_, _> = members.collect();
    uncached(if failing.is_empty() { 200 } else { 503 }, &members)
}

fn uncached(status: u16, members: &BTreeMap<&str, &str>) -> Response {
    Response::json(status, wire::rest::body(members)).header("Cache-Control", "no-store")
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
        check(&readyz(&[]), 200, r#"{"status":"ready"}"#);
        check(
            &readyz(&[("store", "unavailable"), ("draining", "since SIGTERM")]),
            503,
            r#"{"draining":"since SIGTERM","status":"not_ready","store":"unavailable"}"#,
        );
    }
}
