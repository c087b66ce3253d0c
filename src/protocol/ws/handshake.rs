//! The opening handshake, the server's side (RFC 6455 §4.2).
//!
//! Works on header lines as `(name, value)` pairs in the order received, however they were parsed, and may walk them
//! more than once; nothing is collected. What a subprotocol means, who may connect and which `Host` or `Origin` is
//! welcome is decided by others. No extension is negotiated.

/// The one protocol version there is, as `Sec-WebSocket-Version` tells it (RFC 6455 §4.4).
pub const VERSION: &str = "13";

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade<'h> {
    /// No WebSocket: a request like any other.
    No,
    /// A WebSocket, asked for wrongly.
    Bad(BadHandshake),
    /// A WebSocket.
    Yes(Offer<'h>),
}

/// A request to upgrade that is in order. The subprotocols it offers are told by [`subprotocols`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer<'h> {
    /// `Sec-WebSocket-Key`: 24 characters, base64 of 16 bytes.
    pub key: &'h str,
}

/// Why a request to upgrade is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHandshake {
    /// The method is not GET (RFC 6455 §4.2.1 item 1).
    #[error("a WebSocket is opened with GET")]
    Method,
    /// `Host` is missing or there twice (item 2).
    #[error("exactly one Host header is required")]
    Host,
    /// `Connection` does not name `upgrade` (item 4).
    #[error("the Connection header must name upgrade")]
    Connection,
    /// `Sec-WebSocket-Key` is missing, there twice or not base64 of 16 bytes (item 5).
    #[error("Sec-WebSocket-Key must be the base64 of 16 bytes")]
    Key,
    /// `Sec-WebSocket-Version` is missing, there twice or not 13 (item 6, §4.4).
    #[error("Sec-WebSocket-Version must be 13")]
    Version,
}

impl BadHandshake {
    /// The HTTP status: 426, whose answer carries `Sec-WebSocket-Version: 13` ([`VERSION`]), or 400.
    pub const fn status(self) -> u16 {
        match self {
            Self::Version => 426,
            Self::Method | Self::Host | Self::Connection | Self::Key => 400,
        }
    }
}

/// Judges a request: its `method`, the `x` of its `HTTP/1.x`, its header lines.
///
/// Lists may be spread over several lines (RFC 9110 §5.3). HTTP/1.0 knows no upgrade (§7.8), so that one asked for in
/// it is none.
pub fn judge<'h>(
    method: &str,
    http_minor: u8,
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
) -> Upgrade<'h> {
    let (mut upgrade, mut connection) = (false, false);
    let (mut host, mut version, mut key) = (Line::None, Line::None, Line::None);
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("upgrade") {
            upgrade |= names(value, "websocket");
        } else if name.eq_ignore_ascii_case("connection") {
            connection |= names(value, "upgrade");
        } else if name.eq_ignore_ascii_case("host") {
            host.add(value);
        } else if name.eq_ignore_ascii_case("sec-websocket-version") {
            version.add(value);
        } else if name.eq_ignore_ascii_case("sec-websocket-key") {
            key.add(value);
        }
    }
    if !upgrade || http_minor == 0 {
        return Upgrade::No;
    }
    if method != "GET" {
        return Upgrade::Bad(BadHandshake::Method);
    }
    if !matches!(host, Line::One(_)) {
        return Upgrade::Bad(BadHandshake::Host);
    }
    if !connection {
        return Upgrade::Bad(BadHandshake::Connection);
    }
    if !matches!(version, Line::One(value) if value == VERSION.as_bytes()) {
        return Upgrade::Bad(BadHandshake::Version);
    }
    match key {
        Line::One(key) if is_base64_of_16_bytes(key) => {
            let key = std::str::from_utf8(key).expect("base64 is ASCII");
            Upgrade::Yes(Offer { key })
        }
        _ => Upgrade::Bad(BadHandshake::Key),
    }
}

/// The subprotocols that a request offers, most wanted first (RFC 6455 §4.2.1 item 8), from all lines of
/// `Sec-WebSocket-Protocol`. Lines that are not UTF-8 offer nothing.
pub fn subprotocols<'h>(
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
) -> impl Iterator<Item = &'h str> {
    headers
        .into_iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol"))
        .filter_map(|(_, value)| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(',').map(str::trim))
        .filter(|name| !name.is_empty())
}

/// The `Sec-WebSocket-Accept` that answers `key`: 28 characters of base64 (RFC 6455 §4.2.2 item 5.4).
pub fn accept_key(key: &str) -> String {
    tungstenite::handshake::derive_accept_key(key.as_bytes())
}

/// Appends the answer that opens the WebSocket (§4.2.2). `subprotocol`, if one is selected, must be one that the
/// client offered.
pub fn write_accept(offer: &Offer<'_>, subprotocol: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\n\
          Upgrade: websocket\r\n\
          Connection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    out.extend_from_slice(accept_key(offer.key).as_bytes());
    if let Some(subprotocol) = subprotocol {
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(subprotocol.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// A header that may be there once.
enum Line<'h> {
    None,
    One(&'h [u8]),
    Many,
}

impl<'h> Line<'h> {
    fn add(&mut self, value: &'h [u8]) {
        *self = match self {
            Self::None => Self::One(value.trim_ascii()),
            _ => Self::Many,
        };
    }
}

/// True exactly when the comma-separated `list` has `token`, in any case.
fn names(list: &[u8], token: &str) -> bool {
    list.split(|&byte| byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// 16 bytes are 22 characters and two of padding (RFC 4648 §4). The four bits that the last character has too many
/// are not judged (§3.5 leaves it open).
fn is_base64_of_16_bytes(key: &[u8]) -> bool {
    key.len() == 24
        && key[..22].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        && key[22..] == *b"=="
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// The request of RFC 6455 §1.2.
    const SAMPLE: &[(&str, &str)] = &[
        ("Host", "server.example.com"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Origin", "http://example.com"),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
        ("Sec-WebSocket-Version", "13"),
    ];

    fn pairs<'h>(
        headers: &'h [(&'h str, &'h str)],
    ) -> impl Iterator<Item = (&'h str, &'h [u8])> + 'h {
        headers.iter().map(|(name, value)| (*name, value.as_bytes()))
    }

    /// The sample with the lines named `name` replaced by `lines` of that name.
    #[track_caller]
    fn check(name: &'static str, lines: &[&str], expect: Upgrade<'_>) {
        let mut headers: Vec<_> =
            SAMPLE.iter().copied().filter(|(line, _)| !line.eq_ignore_ascii_case(name)).collect();
        headers.extend(lines.iter().map(|value| (name, *value)));
        assert_eq!(judge("GET", 1, pairs(&headers)), expect, "{name}: {lines:?}");
    }

    const YES: Upgrade<'_> = Upgrade::Yes(Offer { key: KEY });

    #[test]
    fn the_sample_of_section_1_2_is_accepted() {
        assert_eq!(judge("GET", 1, pairs(SAMPLE)), YES);
        let mut out = Vec::new();
        write_accept(&Offer { key: KEY }, Some("chat"), &mut out);
        assert_eq!(
            std::str::from_utf8(&out).unwrap(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
        );
    }

    #[test]
    fn without_a_subprotocol_none_is_told() {
        let mut out = Vec::new();
        write_accept(&Offer { key: KEY }, None, &mut out);
        assert!(out.ends_with(b"xOo=\r\n\r\n"));
    }

    #[test]
    fn names_and_tokens_are_compared_in_any_case() {
        check("upgrade", &["WebSocket"], YES);
        check("CONNECTION", &["keep-alive, UPGRADE"], YES);
        check("sec-websocket-key", &[KEY], YES);
    }

    #[test]
    fn lists_may_be_spread_over_lines() {
        check("Connection", &["keep-alive", "Upgrade"], YES);
        check("Connection", &["Upgrade", "keep-alive"], YES);
        check("Upgrade", &["h2c", "websocket"], YES);
    }

    #[test]
    fn a_request_that_names_no_websocket_is_none() {
        check("Upgrade", &[], Upgrade::No);
        check("Upgrade", &["h2c"], Upgrade::No);
        check("Upgrade", &["websockets"], Upgrade::No);
        assert_eq!(judge("GET", 0, pairs(SAMPLE)), Upgrade::No, "HTTP/1.0");
    }

    #[test]
    fn each_requirement_of_section_4_2_1_is_required() {
        let bad = Upgrade::Bad;
        assert_eq!(judge("POST", 1, pairs(SAMPLE)), bad(BadHandshake::Method));
        check("Host", &[], bad(BadHandshake::Host));
        check("Host", &["a", "b"], bad(BadHandshake::Host));
        check("Connection", &[], bad(BadHandshake::Connection));
        check("Connection", &["keep-alive, upgraded"], bad(BadHandshake::Connection));
        for version in [&[][..], &["8"], &["13, 8"], &["13", "13"], &["130"]] {
            check("Sec-WebSocket-Version", version, bad(BadHandshake::Version));
        }
        for key in [
            &[][..],
            &[KEY, KEY],
            &[""],
            &["dGhlIHNhbXBsZSBub25jZQ"],
            &["dGhlIHNhbXBsZSBub25jZQA="],
            &["dGhlIHNhbXBsZSBub25jZQAA"],
            &["dGhlIHNhbXBsZSBub25j-Q=="],
            &["dGhlIHNhbXBsZSBub25jZZZZZQ=="],
        ] {
            check("Sec-WebSocket-Key", key, bad(BadHandshake::Key));
        }
    }

    #[test]
    fn white_space_around_a_value_is_no_part_of_it() {
        check("Sec-WebSocket-Key", &[" dGhlIHNhbXBsZSBub25jZQ==\t"], YES);
        check("Sec-WebSocket-Version", &[" 13 "], YES);
    }

    #[test]
    fn only_a_wrong_version_is_426() {
        assert_eq!(BadHandshake::Version.status(), 426);
        for bad in
            [BadHandshake::Method, BadHandshake::Host, BadHandshake::Connection, BadHandshake::Key]
        {
            assert_eq!(bad.status(), 400, "{bad:?}");
        }
    }

    #[test]
    fn subprotocols_of_all_lines_are_offered_in_order() {
        let headers = [
            ("Sec-WebSocket-Protocol", "fortifun.v1, bearer.ey.J0-_x,,"),
            ("Host", "fortifun.v9"),
            ("sec-websocket-protocol", " last"),
        ];
        let offered: Vec<_> = subprotocols(pairs(&headers)).collect();
        assert_eq!(offered, ["fortifun.v1", "bearer.ey.J0-_x", "last"]);
        assert_eq!(subprotocols([("Sec-WebSocket-Protocol", &b"\xff"[..])]).count(), 0);
    }
}
