//! Against real servers: who is let in, what is said where not, and that every wait ends.

#![expect(clippy::disallowed_methods, reason = "a test is a shell: it reads clocks")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fortifun_fixtures::Redis;

use super::*;
use crate::channel::redis::HostUrl;
use crate::time::{Now, Timestamp};

fn clock() -> Clock {
    let start = Instant::now();
    Arc::new(move || Now {
        mono: Mono(start.elapsed().as_millis() as u64),
        wall: Timestamp::default(),
    })
}

fn endpoint(url: &str, ca_file: Option<&Path>) -> Endpoint {
    Endpoint::parse(&HostUrl(url.to_owned()), ca_file).unwrap()
}

fn open(url: &str) -> Result<Link, Fault> {
    Link::open(&endpoint(url, None), "tester", &clock())
}

/// Why there is no connection, in the words that people get.
fn why(url: &str) -> String {
    let why = open(url).map(drop).unwrap_err().to_string();
    assert!(!why.contains("secret"), "{why}");
    why
}

#[test]
fn a_connection_is_named_and_in_its_database() {
    let server = Redis::start();
    let mut link = open(&format!("{}/3", server.url().trim_end_matches('/'))).unwrap();
    let listed: String = redis::cmd("CLIENT").arg("LIST").query(&mut link).unwrap();
    assert!(listed.contains("name=tester") && listed.contains(" db=3 "), "{listed}");
    let (set, got): (String, i64) =
        redis::pipe().cmd("SET").arg("k").arg(7).cmd("GET").arg("k").query(&mut link).unwrap();
    assert_eq!((&*set, got), ("OK", 7));
    assert_eq!(server.command(&["EXISTS", "k"]).integer(), 0, "it is in another database");
    let script = redis::Script::new("return ARGV[1]");
    assert_eq!(script.arg("x").invoke::<String>(&mut link).unwrap(), "x");
    let failed = redis::cmd("INCR").arg("k").arg("k").query::<i64>(&mut link).unwrap_err();
    assert!(failed.to_string().contains("wrong number of arguments"), "{failed}");
    assert!(link.is_open() && link.check_connection());
}

#[test]
fn whoever_is_not_let_in_hears_why() {
    let server = Redis::start_with(&["--requirepass", "secret"]);
    let (plain, place) = (server.url(), server.url());
    let place = place.trim_start_matches("redis://");
    assert!(why(&plain).contains("it wants a password, and none is set"));
    let wrong = why(&format!("redis://:secret2@{place}"));
    assert!(wrong.contains("the user or the password is wrong"), "{wrong}");
    assert!(open(&format!("redis://:secret@{place}")).is_ok());
    let far = why(&format!("redis://:secret@{}/99", place.trim_end_matches('/')));
    assert!(far.contains("DB index is out of range"), "{far}");
    // Nothing but what is needed, so neither CLIENT nor PING.
    let rights =
        ["ACL", "SETUSER", "app", "on", ">secret", "-@all", "+publish", "resetchannels", "&asgi*"];
    server.command(&rights);
    let mut link = open(&format!("redis://app:secret@{place}")).unwrap();
    let mut publish = |channel: &str| {
        let command = redis::cmd("PUBLISH").arg(channel).arg("x").get_packed_command();
        link.query(&command, 1, ANSWER).unwrap().remove(0)
    };
    assert_eq!(publish("asgi__group__chat_1"), Value::Int(0));
    let Value::ServerError(error) = publish("elsewhere") else { panic!("it may not") };
    let told = Fault::of_server(&error).to_string();
    assert!(told.contains("the user lacks a permission") && told.contains("channel"), "{told}");

    let open_server = Redis::start();
    let place = open_server.url();
    let needless = why(&format!("redis://:secret@{}", place.trim_start_matches("redis://")));
    assert!(needless.contains("a password is set, and it wants none"), "{needless}");
}

#[test]
fn a_certificate_must_be_by_an_authority_that_is_named() {
    let server = Redis::start_tls(&[]);
    let ours = server.ca_file();
    let mut link = Link::open(&endpoint(&server.url(), Some(&ours)), "tester", &clock()).unwrap();
    let large = vec![b'x'; 300_000];
    let echoed: Vec<u8> = redis::cmd("ECHO").arg(&large).query(&mut link).unwrap();
    assert_eq!(echoed, large);
    assert!(link.receive(Duration::from_millis(20)).unwrap().is_none());
    assert!(link.check_connection(), "it is of use after a wait for nothing");
    let in_url = format!("{}?ssl_ca_certs={}", server.url(), ours.display());
    assert!(open(&in_url).is_ok());
    let unknown = why(&server.url());
    assert!(unknown.starts_with("TLS: ") && unknown.contains("UnknownIssuer"), "{unknown}");
    let clear = format!("redis://127.0.0.1:{}", server.port());
    assert!(open(&clear).is_err());
    let plain = Redis::start();
    let endpoint = endpoint(&plain.url().replace("redis://", "rediss://"), Some(&ours));
    let told = Link::open(&endpoint, "tester", &clock()).map(drop).unwrap_err();
    assert_eq!(told, Fault::Silent, "it takes the greeting for the beginning of a command");
}

#[test]
fn a_socket_of_the_machine_is_spoken_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.sock");
    let server = Redis::start_with(&["--unixsocket", path.to_str().unwrap()]);
    let mut link = open(&format!("unix://{}?db=2", path.display())).unwrap();
    redis::cmd("SET").arg("k").arg(1).exec(&mut link).unwrap();
    assert_eq!(server.command(&["EXISTS", "k"]).integer(), 0);
    assert!(why("unix:///nowhere/r.sock").contains("cannot be reached: /nowhere/r.sock"));
}

#[test]
fn nobody_is_waited_for_without_end() {
    let mut server = Redis::start();
    let (mut link, mut other) = (open(&server.url()).unwrap(), open(&server.url()).unwrap());
    let begin = Instant::now();
    assert_eq!(link.receive(Duration::from_millis(50)).unwrap(), None);
    assert!(begin.elapsed() < Duration::from_secs(1));
    server.freeze();
    let begin = Instant::now();
    let ping = redis::cmd("PING").get_packed_command();
    assert_eq!(link.query(&ping, 1, Duration::from_millis(300)), Err(Fault::Silent));
    assert!((300..1_500).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    assert!(
        link.query(&ping, 1, ANSWER).is_err(),
        "what came late is not taken for another's answer"
    );
    let begin = Instant::now();
    assert_eq!(open(&server.url()).map(drop), Err(Fault::Silent));
    assert!(begin.elapsed() < Duration::from_secs(5));
    // More than the kernel takes for somebody who does not read.
    let begin = Instant::now();
    assert_eq!(other.send(&vec![b'x'; 64 << 20]), Err(Fault::Silent));
    assert!(begin.elapsed() < Duration::from_secs(6));
    server.thaw();
    let mut link = open(&server.url()).unwrap();
    server.kill();
    let ended = link.query(&ping, 1, ANSWER).unwrap_err();
    assert!(matches!(ended, Fault::Closed(_)), "{ended}");
    assert!(why(&server.url()).contains("cannot be reached"));
}

#[test]
fn what_comes_in_parts_is_read_whole() {
    let server = Redis::start();
    let mut link = open(&server.url()).unwrap();
    link.send(&redis::cmd("SUBSCRIBE").arg("c").get_packed_command()).unwrap();
    let Some(Value::Array(_)) = link.receive(ANSWER).unwrap() else { panic!("confirmed") };
    for len in [1, 100_000, 3_000_000] {
        assert_eq!(link.receive(Duration::from_millis(5)).unwrap(), None);
        let payload = "x".repeat(len);
        server.command(&["PUBLISH", "c", &payload]);
        let value = loop {
            if let Some(value) = link.receive(Duration::from_millis(1)).unwrap() {
                break value;
            }
        };
        let text = |text: &str| Value::BulkString(text.into());
        assert!(value == Value::Array(vec![text("message"), text("c"), text(&payload)]));
    }
}

#[test]
fn who_speaks_otherwise_is_told_from_redis() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let mut rest = Vec::new();
        drop(std::io::Read::read_to_end(&mut stream, &mut rest));
    });
    let told = why(&url);
    assert!(told.starts_with("it does not speak Redis' protocol"), "{told}");
    server.join().unwrap();
}
