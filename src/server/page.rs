//! The page at `/`: put together once, given fresh tokens at every request.

use std::fmt::Write as _;

use bytes::Bytes;

use super::DemoUser;
use crate::auth::jwt::Issuer;
use crate::config::AuthSettings;
use crate::shard::node::Page;
use crate::time::Now;
use crate::wire;

/// How long a token of the page is valid, seconds.
const TOKEN_TTL_S: i64 = 3_600;

const HTML: &str = include_str!("../web/page.html");
const DEMO_MARKER: &str = "<!--DEMO_CONFIG-->";
/// Each marker in the page and what goes in its place.
const FILES: [(&str, &str); 6] = [
    ("/*STYLE*/", include_str!("../web/page.css")),
    ("/*BUS*/", include_str!("../web/realtime-bus.js")),
    ("/*DOM*/", include_str!("../web/dom.js")),
    ("/*THREAD*/", include_str!("../web/thread.js")),
    ("/*PANEL*/", include_str!("../web/panel.js")),
    ("/*PAGE*/", include_str!("../web/page.js")),
];

/// The page where two users chat side by side.
pub(super) struct DemoPage {
    /// Before and after the place of the users.
    html: (String, String),
    users: Vec<DemoUser>,
    auth: AuthSettings,
}

#[derive(serde::Serialize)]
struct Config<'a> {
    users: Vec<User<'a>>,
}

#[derive(serde::Serialize)]
struct User<'a> {
    id: i64,
    username: &'a str,
    first_name: &'a str,
    token: String,
}

impl DemoPage {
    /// The page for `users`; with none, it asks for two tokens.
    pub(super) fn new(users: Vec<DemoUser>, auth: AuthSettings) -> Self {
        let page = FILES
            .iter()
            .fold(HTML.to_owned(), |page, (marker, file)| page.replacen(marker, file, 1));
        let (before, after) = page.split_once(DEMO_MARKER).unwrap_or((&page, ""));
        Self { html: (before.to_owned(), after.to_owned()), users, auth }
    }

    fn config(&self, now: Now) -> String {
        if self.users.is_empty() {
            return DEMO_MARKER.to_owned();
        }
        let auth = &self.auth;
        let issuer = Issuer {
            secret: auth.secret.expose(),
            audience: auth.audience.as_deref(),
            issuer: auth.issuer.as_deref(),
        };
        let token = |user: &DemoUser| {
            let jti = u128::from(getrandom::u64().unwrap_or_default());
            issuer.issue(user.id, TOKEN_TTL_S, now.wall, jti)
        };
        let users = self.users.iter().map(|user| User {
            id: user.id.0,
            username: &user.username,
            first_name: &user.first_name,
            token: token(user),
        });
        let json = wire::rest::body(&Config { users: users.collect() });
        // Nothing in the JSON can end the script element it stands in.
        String::from_utf8_lossy(&json).replace('<', "\\u003c")
    }
}

impl Page for DemoPage {
    fn render(&self, now: Now) -> (Bytes, String) {
        let mut nonce = String::new();
        for word in [getrandom::u64(), getrandom::u64()] {
            // Writing to a String does not fail.
            let _ = write!(nonce, "{:016x}", word.unwrap_or_default());
        }
        let (before, after) = &self.html;
        let html = format!("{before}{}{after}", self.config(now));
        let html = html
            .replace("<script>", &format!("<script nonce=\"{nonce}\">"))
            .replace("<style>", &format!("<style nonce=\"{nonce}\">"));
        let policy = format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
             img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        (html.into(), policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn auth() -> AuthSettings {
        let secret = Secret::new(&"s".repeat(32));
        AuthSettings { secret, previous: None, audience: None, issuer: None }
    }
    use crate::ids::UserId;

    #[test]
    fn every_marker_is_replaced_and_only_users_become_json() {
        let user = DemoUser {
            id: UserId(1),
            username: "</script><b>".to_owned(),
            first_name: String::new(),
        };
        let page = DemoPage::new(vec![user], auth());
        let (html, policy) = page.render(Now::default());
        let html = std::str::from_utf8(&html).unwrap();
        for (marker, _) in FILES {
            assert!(
                HTML.contains(marker) && !html.contains(&format!("<script>{marker}")),
                "{marker}"
            );
        }
        assert!(!html.contains("</script><b>") && html.contains("\\u003c/script>\\u003cb>"));
        assert!(!html.contains(DEMO_MARKER) && policy.contains("default-src 'none'"));
        assert_eq!(html.matches("<script nonce=").count(), 5);
    }

    #[test]
    fn without_users_the_page_is_told_so() {
        let page = DemoPage::new(Vec::new(), auth());
        let (html, _) = page.render(Now::default());
        assert!(std::str::from_utf8(&html).unwrap().contains(DEMO_MARKER));
    }
}
