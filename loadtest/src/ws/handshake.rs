//! The opening handshake (RFC 6455 §4.1): what a client asks and how it checks the answer.

use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;

use super::Violation;

/// The subprotocol whose first frame is `hello`.
const SUBPROTOCOL: &str = "fortifun.v1";
/// The longest head of an answer, bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header lines of an answer.
const HEADERS_MAX: usize = 64;

/// One handshake to be made.
#[derive(Clone, Debug)]
pub(crate) struct Upgrade {
    /// Path and query.
    pub(crate) path: String,
    /// Proves the user; empty where the endpoint asks for none.
    pub(crate) token: String,
    /// Whether `fortifun.v1` is offered.
    pub(crate) is_v1: bool,
}

impl Upgrade {
    /// The request's bytes, and the accept key that must be answered; `key` in place of a fresh one where it is given.
    pub(crate) fn request(&self, host: &str, key: Option<&str>) -> (Vec<u8>, Box<str>) {
        let key = key.map_or_else(generate_key, str::to_owned);
        let mut head = format!(
            "GET {} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n",
            self.path
        );
        if !self.token.is_empty() {
            head.push_str("Authorization: Bearer ");
            head.push_str(&self.token);
            head.push_str("\r\n");
        }
        if self.is_v1 {
            head.push_str("Sec-WebSocket-Protocol: ");
            head.push_str(SUBPROTOCOL);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        (head.into_bytes(), derive_accept_key(key.as_bytes()).into_boxed_str())
    }
}

/// What the server says to a handshake.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// 101; frames begin behind so many bytes.
    Accepted(usize),
    /// Anything else, with what has come of its body.
    Refused(u16, String),
}

/// The answer at the front of `bytes`; `None`: there is more to come. `accept_key` and `is_v1` are the request's.
pub(crate) fn read_answer(
    bytes: &[u8],
    accept_key: &str,
    is_v1: bool,
) -> Result<Option<Answer>, Violation> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        _ => return Err(Violation::Head),
    };
    let status = response.code.ok_or(Violation::Head)?;
    if status != 101 {
        let body = String::from_utf8_lossy(&bytes[len..]).into_owned();
        return Ok(Some(Answer::Refused(status, body)));
    }
    let value = |name: &str| {
        let header = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let upgrades = value("Upgrade").is_some_and(|name| name.eq_ignore_ascii_case("websocket"));
    if !upgrades || value("Sec-WebSocket-Accept") != Some(accept_key) {
        return Err(Violation::AcceptKey);
    }
    if value("Sec-WebSocket-Protocol") != is_v1.then_some(SUBPROTOCOL) {
        return Err(Violation::Subprotocol);
    }
    Ok(Some(Answer::Accepted(len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept_key: &str, more: &str) -> String {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\
             Sec-WebSocket-Accept: {accept_key}\r\n{more}\r\n"
        )
    }

    #[test]
    fn an_answer_is_checked_against_the_request() {
        let head = accepted("right", "sec-websocket-protocol: fortifun.v1\r\n");
        let bytes = format!("{head}frames");
        let accepted_v1 = Ok(Some(Answer::Accepted(head.len())));
        assert_eq!(read_answer(bytes.as_bytes(), "right", true), accepted_v1);
        assert_eq!(read_answer(&bytes.as_bytes()[..head.len() - 1], "right", true), Ok(None));
        assert_eq!(read_answer(bytes.as_bytes(), "wrong", true), Err(Violation::AcceptKey));
        assert_eq!(read_answer(bytes.as_bytes(), "right", false), Err(Violation::Subprotocol));
        let plain = accepted("right", "");
        assert_eq!(read_answer(plain.as_bytes(), "right", true), Err(Violation::Subprotocol));
        assert!(matches!(read_answer(plain.as_bytes(), "right", false), Ok(Some(_))));
        assert_eq!(read_answer(b"SSH-2.0-x\r\n", "right", false), Err(Violation::Head));
    }

    #[test]
    fn a_refusal_keeps_its_status_and_body() {
        let answer = read_answer(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n{}", "", true);
        assert_eq!(answer, Ok(Some(Answer::Refused(401, "{}".into()))));
    }

    #[test]
    fn a_request_carries_token_and_subprotocol_only_where_they_are() {
        let mut upgrade = Upgrade { path: "/ws/chat/".into(), token: "t".into(), is_v1: true };
        let (request, accept_key) = upgrade.request("h:1", None);
        let request = String::from_utf8(request).unwrap();
        assert!(request.starts_with("GET /ws/chat/ HTTP/1.1\r\nHost: h:1\r\n"));
        assert!(request.contains("\r\nAuthorization: Bearer t\r\n"));
        assert!(request.ends_with("\r\nSec-WebSocket-Protocol: fortifun.v1\r\n\r\n"));
        let key = request.lines().find_map(|l| l.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        assert_eq!(*accept_key, *derive_accept_key(key.as_bytes()));
        upgrade.token.clear();
        upgrade.is_v1 = false;
        let plain = String::from_utf8(upgrade.request("h:1", None).0).unwrap();
        assert!(!plain.contains("Bearer") && !plain.contains("Protocol"));
    }
}
