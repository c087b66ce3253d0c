//! A client of HTTP/1.1 that sends what it is told to, right or wrong.

use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::PATIENCE;

/// One connection.
pub(crate) struct Http {
    stream: TcpStream,
    received: Vec<u8>,
}

/// One response.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Http {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, received: Vec::new() }
    }

    /// Sends bytes; a server that has closed already is no error, what it answered is read all the same.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Sends a request with a token and a JSON body, where they are given, and reads the response.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<&serde_json::Value>,
    ) -> Answer {
        self.send(request(method, path, token, body));
        self.answer(method == "HEAD")
    }

    /// The next response; a response to `HEAD` has no body, whatever its length says.
    pub(crate) fn answer(&mut self, is_head: bool) -> Answer {
        self.try_answer(is_head).expect("the connection ended before a response")
    }

    /// As [`Http::answer`]; `None` where the connection ended instead.
    pub(crate) fn try_answer(&mut self, is_head: bool) -> Option<Answer> {
        let head_len = loop {
            if let Some(at) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.receive() {
                assert!(self.received.is_empty(), "half a head: {:?}", self.received);
                return None;
            }
        };
        let head = String::from_utf8(self.received[..head_len].to_vec()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        let has_body = !is_head && status >= 200 && status != 204 && status != 304;
        let body_len = if has_body {
            answer.header("content-length").expect("a length").parse().unwrap()
        } else {
            0
        };
        while self.received.len() < head_len + body_len {
            assert!(self.receive(), "half a body");
        }
        answer.body = self.received[head_len..head_len + body_len].to_vec();
        self.received.drain(..head_len + body_len);
        Some(answer)
    }

    /// True exactly when the server ends the connection and has said nothing more before.
    pub(crate) fn is_ended(&mut self) -> bool {
        self.received.is_empty() && !self.receive()
    }

    /// True exactly when nothing comes in this time, and no end either.
    pub(crate) fn hears_nothing_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let result = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        matches!(result, Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()))
    }

    /// True exactly when something came; false at the end of the connection.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                true
            }
            // What we sent after its end made it reset: an end all the same.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing within {PATIENCE:?}: {error}"),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} {:?} {:.2000}", self.status, self.headers, body)
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The `code` of a problem document (RFC 9457), whose `status` has to be the response's.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        for member in ["type", "title", "detail"] {
            assert!(problem[member].is_string(), "{member}: {self:?}");
        }
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// A whole request; the empty token is none.
pub(crate) fn request(
    method: &str,
    path: &str,
    token: &str,
    body: Option<&serde_json::Value>,
) -> String {
    let authorization =
        if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let (fields, body) = match body {
        Some(body) => {
            let body = body.to_string();
            let len = body.len();
            (format!("Content-Type: application/json\r\nContent-Length: {len}\r\n"), body)
        }
        None => (String::new(), String::new()),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}{fields}\r\n{body}")
}

/// A handshake; `fields` are whole lines.
pub(crate) fn handshake(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
}
