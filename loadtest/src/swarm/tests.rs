//! Against a server of tungstenite's.

use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::{CloseFrame, WebSocket};
use tungstenite::{Bytes, Message};

use super::*;

type Peer = WebSocket<TcpStream>;

/// A server for one session, which `serve` plays after the handshake.
fn server(serve: impl FnOnce(&mut Peer) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        #[expect(clippy::result_large_err, reason = "tungstenite's signature")]
        let select = |request: &Request, mut response: Response| -> Result<_, ErrorResponse> {
            if let Some(offered) = request.headers().get("Sec-WebSocket-Protocol") {
                response.headers_mut().insert("Sec-WebSocket-Protocol", offered.clone());
            }
            Ok(response)
        };
        serve(&mut tungstenite::accept_hdr(stream, select).unwrap());
    });
    (address, thread)
}

fn upgrade() -> Upgrade {
    Upgrade { path: "/ws/chat/".into(), token: "t".into(), is_v1: true }
}

/// What happens until the session's end, each in words.
fn told(swarm: &mut Swarm, mut on: impl FnMut(&mut Swarm, &str)) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..100 {
        while let Some((key, happening)) = swarm.next() {
            assert_eq!(key, Key(0));
            let words = match happening {
                Happening::Opened => "opened".to_owned(),
                Happening::Text(text) => text.to_owned(),
                Happening::Ended(ending) => {
                    all.push(ending.to_string());
                    return all;
                }
            };
            on(swarm, &words);
            all.push(words);
        }
        swarm.wait(Duration::from_millis(200)).unwrap();
    }
    panic!("the session did not end: {all:?}");
}

fn run(serve: impl FnOnce(&mut Peer) + Send + 'static) -> (Swarm, Vec<String>) {
    let (address, thread) = server(serve);
    let mut swarm = Swarm::new().unwrap();
    let source = Some("127.0.0.3:0".parse().unwrap());
    swarm.connect(address, "h", source, &upgrade()).unwrap();
    let all = told(&mut swarm, |swarm, words| {
        if words == "opened" {
            swarm.send(Key(0), "hello");
        }
    });
    thread.join().unwrap();
    (swarm, all)
}

#[test]
fn texts_come_in_order_pings_are_answered_and_a_close_is_told() {
    let (swarm, all) = run(|peer| {
        assert_eq!(peer.get_ref().peer_addr().unwrap().ip().to_string(), "127.0.0.3");
        assert_eq!(peer.read().unwrap(), Message::text("hello"));
        peer.send(Message::text("one")).unwrap();
        let part = |data, opcode, fin| {
            Message::Frame(Frame::message(Bytes::from_static(data), OpCode::Data(opcode), fin))
        };
        peer.send(part(b"t", Data::Text, false)).unwrap();
        peer.send(Message::Ping(Bytes::from_static(b"p"))).unwrap();
        peer.send(part(b"wo", Data::Continue, true)).unwrap();
        peer.send(Message::text("x".repeat(200_000))).unwrap();
        assert_eq!(peer.read().unwrap(), Message::Pong(Bytes::from_static(b"p")));
        let frame = CloseFrame { code: CloseCode::from(4_401), reason: "gone".into() };
        peer.close(Some(frame)).unwrap();
        assert!(matches!(peer.read(), Ok(Message::Close(Some(f))) if f.code == 4_401.into()));
    });
    let long = "x".repeat(200_000);
    assert_eq!(all, ["opened", "one", "two", long.as_str(), "closed with 4401 gone"]);
    assert_eq!((swarm.pings(), swarm.open()), (1, 0));
}

#[test]
fn a_cut_connection_is_told_after_what_came_before_it() {
    let (swarm, all) = run(|peer| {
        peer.read().unwrap();
        peer.send(Message::text("last words")).unwrap();
    });
    assert_eq!(all, ["opened", "last words", "lost: the connection was cut"]);
    assert_eq!(swarm.open(), 0);
}

#[test]
fn a_text_that_is_not_utf8_ends_the_session() {
    let (_, all) = run(|peer| {
        peer.read().unwrap();
        let bad = Frame::message(Bytes::from_static(b"\xff"), OpCode::Data(Data::Text), true);
        peer.send(Message::Frame(bad)).unwrap();
        // Until the client hangs up.
        while peer.read().is_ok() {}
    });
    assert_eq!(all, ["opened", "the server broke RFC 6455: Utf8"]);
}

#[test]
fn a_port_where_nobody_listens_is_told() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut swarm = Swarm::new().unwrap();
    swarm.connect(address, "h", None, &upgrade()).unwrap();
    let all = told(&mut swarm, |_, _| {});
    assert!(all[0].starts_with("lost: "), "{all:?}");
}

/// A key, and a certificate by it for 127.0.0.1.
fn certificate(folder: &std::path::Path) {
    let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
                -keyout key.pem -out cert.pem -subj /CN=localhost \
                -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    let made = std::process::Command::new("openssl")
        .current_dir(folder)
        .args(line.split_ascii_whitespace())
        .output()
        .expect("certificates are made by `openssl`: apt-get install openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// What is told by a server that speaks TLS, echoes one long text and closes.
fn told_through_tls(trust: impl FnOnce(&std::path::Path) -> Tls) -> Vec<String> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let cert = CertificateDer::from_pem_file(folder.path().join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.path().join("key.pem")).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let connection = ServerConnection::new(std::sync::Arc::new(config)).unwrap();
        // A client that does not believe the certificate is gone.
        let Ok(mut peer) = tungstenite::accept(StreamOwned::new(connection, stream)) else {
            return;
        };
        let text = peer.read().unwrap();
        peer.send(text).unwrap();
        peer.close(None).unwrap();
        while peer.read().is_ok() {}
    });
    let mut swarm = Swarm::new().unwrap();
    swarm.set_tls(Some(trust(&folder.path().join("cert.pem"))));
    let upgrade = Upgrade { path: "/".into(), token: String::new(), is_v1: false };
    swarm.connect(address, "h", None, &upgrade).unwrap();
    let long = "x".repeat(300_000);
    let all = told(&mut swarm, |swarm, words| {
        if words == "opened" {
            swarm.send(Key(0), &long);
        }
    });
    drop(swarm);
    thread.join().unwrap();
    all
}

#[test]
fn through_tls_texts_come_as_without() {
    use crate::tls::Trust;
    let long = "x".repeat(300_000);
    let right = ["opened", long.as_str(), "closed with 1005 "];
    let by_file = |file: &std::path::Path| {
        Tls::new("127.0.0.1", Trust { ca_file: Some(file), is_anybody: false }).unwrap()
    };
    assert_eq!(told_through_tls(by_file), right);
    let anybody =
        |_: &_| Tls::new("another.name", Trust { ca_file: None, is_anybody: true }).unwrap();
    assert_eq!(told_through_tls(anybody), right);
    let other_name = |file: &std::path::Path| {
        Tls::new("another.name", Trust { ca_file: Some(file), is_anybody: false }).unwrap()
    };
    let all = told_through_tls(other_name);
    assert!(all[0].starts_with("lost: ") && all[0].contains("certificate"), "{all:?}");
}
