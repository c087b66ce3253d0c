//! Which paths there are, and what each method does there.

use super::input::Ask;
use super::ops::Ops;
use super::{conversations, matching, messages};
use crate::protocol::http::target;

/// One thing that can be asked.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// `GET`, `POST` or `DELETE`; `HEAD` goes where `GET` does.
    pub method: &'static str,
    /// As documented; `{…}` stands for an id. The final slash is optional in requests.
    pub path: &'static str,
    /// The label of the path in metrics.
    pub name: &'static str,
    /// True exactly when a request takes one message of its user's allowance.
    pub is_limited: bool,
    action: Action,
}

/// What a route leads to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    /// A question to the store, of an authenticated user.
    Ask(Ask),
    /// A matter of the server's own.
    Ops(Ops),
    /// A WebSocket, which plain HTTP cannot have.
    Socket,
}

/// The label of a path that is none of ours.
pub const UNKNOWN: &str = "unknown";

/// Everything that can be asked; routes of one path stand together.
pub const ROUTES: &[Route] = &[
    ask("GET", "/api/v1/conversations/", "conversations", conversations::list),
    ask("POST", "/api/v1/conversations/", "conversations", conversations::open).limited(),
    ask("GET", "/api/v1/conversations/{id}/", "conversation", conversations::one),
    ask("GET", "/api/v1/conversations/{id}/messages/", "messages", messages::history),
    ask("POST", "/api/v1/conversations/{id}/messages/", "messages", messages::send).limited(),
    ask(
        "POST",
        "/api/v1/conversations/{id}/messages/{message_id}/mark_read/",
        "mark_read",
        messages::mark_read,
    ),
    ask("DELETE", "/api/v1/conversations/{id}/leave/", "leave", conversations::leave),
    ask("GET", "/api/v1/matching/recent-matches/", "recent_matches", matching::recent),
    ask("GET", matching::MATCHES, "matches", matching::list),
    ask("POST", "/api/v1/matching/like/", "like", matching::like).limited(),
    ask("POST", "/api/v1/matching/unlike/", "unlike", matching::unlike),
    ask("POST", "/api/v1/matching/block/", "block", matching::block),
    ask("POST", "/api/v1/matching/unblock/", "unblock", matching::unblock),
    get("/healthz", "healthz", Action::Ops(Ops::Healthz)),
    get("/readyz", "readyz", Action::Ops(Ops::Readyz)),
    get("/metrics", "metrics", Action::Ops(Ops::Metrics)),
    get("/", "page", Action::Ops(Ops::Page)),
    get("/ws/chat/", "ws_chat", Action::Socket),
    get("/ws/conversations/{id}/", "ws_conversation", Action::Socket),
    get("/ws/notifications/", "ws_notifications", Action::Socket),
];

/// The metrics label of a request's path (not decoded, without query): one of a fixed few, [`UNKNOWN`] included.
pub fn route_name(path: &str) -> &'static str {
    find(path).map_or(UNKNOWN, |found| found.routes[0].name)
}

/// A known path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// All routes of the path; at least one.
    routes: &'static [Route],
    /// The ids in it, in order; 0 behind the last.
    pub(super) ids: [i64; 2],
}

/// The routes of a path. An id that is no positive 64-bit integer in decimal digits is another path, as it is to Django.
pub(super) fn find(path: &str) -> Option<Found> {
    let mut start = 0;
    while let Some(route) = ROUTES.get(start) {
        let rest = &ROUTES[start..];
        let len = rest.iter().take_while(|other| other.path == route.path).count();
        if let Some(ids) = ids(path, route.path) {
            return Some(Found { routes: &rest[..len], ids });
        }
        start += len;
    }
    None
}

impl Found {
    /// What `method` does here, and whether it is limited.
    pub(super) fn action(&self, method: &str) -> Option<(Action, bool)> {
        let method = if method == "HEAD" { "GET" } else { method };
        let route = self.routes.iter().find(|route| route.method == method)?;
        Some((route.action, route.is_limited))
    }

    /// True exactly when load balancers and collectors ask here.
    pub(super) fn is_probe(&self) -> bool {
        matches!(self.routes[0].action, Action::Ops(_)) && !self.is_page()
    }

    /// True exactly when this is the page for people.
    pub(super) fn is_page(&self) -> bool {
        matches!(self.routes[0].action, Action::Ops(Ops::Page))
    }

    /// The value of `Allow` (RFC 9110 §10.2.1).
    pub(super) fn allow(&self) -> String {
        let mut allow = String::new();
        for route in self.routes {
            allow.push_str(if route.method == "GET" { "GET, HEAD" } else { route.method });
            allow.push_str(", ");
        }
        allow + "OPTIONS"
    }
}

impl Route {
    const fn limited(self) -> Self {
        Self { is_limited: true, ..self }
    }
}

const fn ask(method: &'static str, path: &'static str, name: &'static str, ask: Ask) -> Route {
    Route { method, path, name, is_limited: false, action: Action::Ask(ask) }
}

const fn get(path: &'static str, name: &'static str, action: Action) -> Route {
    Route { method: "GET", path, name, is_limited: false, action }
}

/// The ids in `path` if `pattern` is its form.
fn ids(path: &str, pattern: &str) -> Option<[i64; 2]> {
    let (mut ids, mut count) = ([0; 2], 0);
    let mut parts = target::segments(without_slash(path));
    for expected in without_slash(pattern).strip_prefix('/')?.split('/') {
        let part = parts.next()?.ok()?;
        if expected.starts_with('{') {
            ids[count] = id(&part)?;
            count += 1;
        } else if part != expected {
            return None;
        }
    }
    if parts.next().is_none() { Some(ids) } else { None }
}

fn id(digits: &str) -> Option<i64> {
    let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|id| is_decimal && *id > 0)
}

/// The path without its one final slash, unless that is all of it.
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').filter(|rest| !rest.is_empty() && !rest.ends_with('/')).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_found_with_and_without_its_final_slash() {
        for route in ROUTES {
            let path = route.path.replace("{id}", "7").replace("{message_id}", "9");
            for path in [path.clone(), without_slash(&path).to_owned()] {
                let found = find(&path).unwrap();
                assert_eq!(found.routes[0].path, route.path, "{path}");
                assert!(found.action(route.method).is_some(), "{path}");
                assert_eq!(route_name(&path), route.name, "{path}");
                let ids = if route.path.contains("{m") {
                    [7, 9]
                } else {
                    [if route.path.contains('{') { 7 } else { 0 }, 0]
                };
                assert_eq!(found.ids, ids, "{path}");
            }
        }
    }

    #[test]
    fn one_path_has_one_name_and_its_routes_stand_together() {
        for (index, route) in ROUTES.iter().enumerate() {
            let same: Vec<_> =
                (0..ROUTES.len()).filter(|i| ROUTES[*i].path == route.path).collect();
            assert!(same.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{}", route.path);
            assert!(same.iter().all(|i| ROUTES[*i].name == route.name), "{}", route.path);
            let twins = ROUTES[..index]
                .iter()
                .filter(|other| (other.path, other.method) == (route.path, route.method));
            assert_eq!(twins.count(), 0, "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn other_paths_are_unknown() {
        for path in [
            "//",
            "*",
            "/api",
            "/api/v1/",
            "/api/v1/conversations//",
            "//api/v1/conversations/",
            "/API/v1/conversations/",
            "/api/v1/conversations/x/",
            "/api/v1/conversations/0/",
            "/api/v1/conversations/-7/",
            "/api/v1/conversations/+7/",
            "/api/v1/conversations/7.0/",
            "/api/v1/conversations/9223372036854775808/",
            "/api/v1/conversations/7/messages/9/",
            "/api/v1/conversations/7%2Fmessages/",
            "/api/v1/conversations/%/",
            "/api/v1/conversations/7/../8/",
            "/healthz/x",
            "/ws/",
            "/favicon.ico",
        ] {
            assert!(find(path).is_none(), "{path}");
            assert_eq!(route_name(path), UNKNOWN);
        }
    }

    #[test]
    fn a_path_is_compared_decoded() {
        assert_eq!(route_name("/api/v1/%63onversations/%37"), "conversation");
    }

    #[test]
    fn allow_names_every_method_of_a_path() {
        for (path, allow) in [
            ("/api/v1/conversations/", "GET, HEAD, POST, OPTIONS"),
            ("/api/v1/conversations/7/leave/", "DELETE, OPTIONS"),
            ("/api/v1/matching/like/", "POST, OPTIONS"),
            ("/metrics", "GET, HEAD, OPTIONS"),
        ] {
            assert_eq!(find(path).unwrap().allow(), allow);
        }
    }
}
