//! A WebSocket client: tungstenite over a socket with deadlines.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket};

use super::{PATIENCE, Server, User};

/// One open socket.
pub(crate) struct Ws {
    socket: WebSocket<TcpStream>,
    /// The subprotocol that the server selected.
    pub(crate) subprotocol: Option<String>,
    /// True exactly when [`Ws::next`] returns `user_status` too. Whoever comes and goes is told at a moment of its own, so
    /// most tests would rather not hear of it.
    pub(crate) hears_presence: bool,
}

/// What came.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Got {
    /// A text with JSON in it.
    Event(Value),
    /// A close frame.
    Closed(u16, String),
    /// The end of the connection, without a close frame.
    Lost,
}

impl Ws {
    /// A session of `user` that knows the extensions; its `hello` is read already.
    pub(crate) fn v1(server: &Server, user: &User, path: &str) -> Self {
        Self::v1_with_hello(server, user, path).0
    }

    /// A session that knows the extensions, and its `hello`.
    pub(crate) fn v1_with_hello(server: &Server, user: &User, path: &str) -> (Self, Value) {
        let mut ws = Self::v1_token(server, &user.token, path);
        assert_eq!(ws.subprotocol.as_deref(), Some("fortifun.v1"));
        let hello = ws.expect("hello");
        (ws, hello)
    }

    /// A socket that offers `fortifun.v1` and a token beside it; nothing is read yet.
    pub(crate) fn v1_token(server: &Server, token: &str, path: &str) -> Self {
        Self::open(server.address, path, Some(&format!("fortifun.v1, bearer.{token}"))).unwrap()
    }

    /// A session of `user` as the first clients open one: the token in the query, and no subprotocol.
    pub(crate) fn plain(server: &Server, user: &User, path: &str) -> Self {
        let joint = if path.contains('?') { '&' } else { '?' };
        Self::open(server.address, &format!("{path}{joint}token={}", user.token), None).unwrap()
    }

    /// Opens a socket; the error is the status of the refusal.
    pub(crate) fn open(
        address: SocketAddr,
        path: &str,
        subprotocols: Option<&str>,
    ) -> Result<Self, u16> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream, path, subprotocols)
    }

    /// As [`Ws::open`], over a connection that is open already.
    pub(crate) fn over(
        stream: TcpStream,
        path: &str,
        subprotocols: Option<&str>,
    ) -> Result<Self, u16> {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut request = format!("ws://localhost{path}").into_client_request().unwrap();
        if let Some(offered) = subprotocols {
            let offered = HeaderValue::from_str(offered).unwrap();
            request.headers_mut().insert("Sec-WebSocket-Protocol", offered);
        }
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        match tungstenite::client::client_with_config(request, stream, Some(config)) {
            Ok((socket, response)) => {
                let selected = response.headers().get("Sec-WebSocket-Protocol");
                let subprotocol = selected.map(|value| value.to_str().unwrap().to_owned());
                Ok(Self { socket, subprotocol, hears_presence: false })
            }
            Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(other) => panic!("{path}: {other}"),
        }
    }

    /// Sends a command.
    pub(crate) fn send(&mut self, command: &Value) {
        self.send_text(&command.to_string());
    }

    /// Sends a text; a server that has closed already is no error, what it said is read all the same.
    pub(crate) fn send_text(&mut self, text: &str) {
        let _ = self.try_send(Message::text(text));
    }

    /// Sends a binary.
    pub(crate) fn send_binary(&mut self, bytes: &[u8]) {
        let _ = self.try_send(Message::binary(bytes.to_vec()));
    }

    /// Sends a frame of any kind; false where the connection is over.
    pub(crate) fn try_send(&mut self, message: Message) -> bool {
        self.socket.send(message).is_ok()
    }

    /// What comes next, whatever it is.
    pub(crate) fn got(&mut self) -> Got {
        self.got_within(PATIENCE).unwrap_or_else(|| panic!("nothing within {PATIENCE:?}"))
    }

    /// What comes next; `None` where nothing does in time.
    pub(crate) fn got_within(&mut self, patience: Duration) -> Option<Got> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.socket.get_ref().set_read_timeout(Some(left)).unwrap();
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    return Some(Got::Event(serde_json::from_str(&text).unwrap()));
                }
                Ok(Message::Close(frame)) => {
                    // The answer to the close frame leaves with this.
                    let _ = self.socket.flush();
                    let told = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                    let (code, reason) = told.unwrap_or((1005, String::new()));
                    return Some(Got::Closed(code, reason));
                }
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(other) => panic!("an unexpected frame: {other:?}"),
                Err(Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return Some(Got::Lost),
            }
        }
    }

    /// The next event, which has to come; see [`Ws::hears_presence`].
    pub(crate) fn next(&mut self) -> Value {
        loop {
            match self.got() {
                Got::Event(event) if event["type"] == "user_status" && !self.hears_presence => {}
                Got::Event(event) => return event,
                other => panic!("expected an event: {other:?}"),
            }
        }
    }

    /// The next event, which has to be of this type.
    pub(crate) fn expect(&mut self, kind: &str) -> Value {
        let event = self.next();
        assert_eq!(event["type"], kind, "{event}");
        event
    }

    /// The next event of this type; others before it are dropped.
    pub(crate) fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next();
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// The `error` that comes next, whose `code` has to be this.
    pub(crate) fn expect_error(&mut self, code: &str) -> Value {
        let error = self.expect("error");
        assert_eq!(error["code"], code, "{error}");
        error
    }

    /// The code of the close frame; events before it are dropped.
    pub(crate) fn closed(&mut self) -> u16 {
        loop {
            match self.got() {
                Got::Event(_) => {}
                Got::Closed(code, _) => return code,
                Got::Lost => return 1006,
            }
        }
    }

    /// Everything that was on its way to this session when this is called: what comes before the answer to a `ping`.
    pub(crate) fn drain(&mut self) -> Vec<Value> {
        static NONCE: AtomicU64 = AtomicU64::new(1);
        let nonce = format!("nonce-{}", NONCE.fetch_add(1, Ordering::Relaxed));
        self.send(&json!({"type": "ping", "timestamp": nonce}));
        let mut events = Vec::new();
        loop {
            let event = self.next();
            if event["type"] == "pong" && event["timestamp"] == nonce.as_str() {
                return events;
            }
            events.push(event);
        }
    }

    /// Fails where anything is on its way to this session.
    pub(crate) fn expect_nothing(&mut self) {
        let events = self.drain();
        assert!(events.is_empty(), "expected nothing: {events:?}");
    }

    /// Sends a message and waits until it is committed; returns its `ack`. What else comes before that is dropped.
    pub(crate) fn say(&mut self, command: &Value) -> Value {
        static REFERENCE: AtomicU64 = AtomicU64::new(1);
        let reference = format!("say-{}", REFERENCE.fetch_add(1, Ordering::Relaxed));
        let mut command = command.clone();
        command["ref"] = reference.clone().into();
        self.send(&command);
        loop {
            let event = self.next();
            if event["ref"] == reference.as_str() {
                assert_eq!(event["type"], "ack", "{event}");
                return event;
            }
        }
    }

    /// Says goodbye, and waits for the server's.
    pub(crate) fn close(mut self) {
        let _ = self.socket.close(None);
        self.closed();
    }

    /// The connection under the socket.
    pub(crate) fn stream(&self) -> &TcpStream {
        self.socket.get_ref()
    }
}
