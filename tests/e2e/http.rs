//! HTTP/1.1 as RFC 9110 and RFC 9112 want it of a server, and nothing that two servers could read in two ways.

use serde_json::json;

use crate::support::http::request;
use crate::support::server::UNLIMITED;
use crate::support::users::Pair;
use crate::support::{Http, Server};

#[test]
fn a_connection_is_kept_and_requests_may_come_together_or_in_pieces() {
    let server = Server::with(UNLIMITED);
    let Pair { alice, conversation, .. } = server.pair();
    let path = format!("/api/v1/conversations/{conversation}/messages/");
    let mut http = Http::connect(server.address);
    let say = |n: usize| {
        request("POST", &path, &alice.token, Some(&json!({"content": format!("message {n}")})))
    };
    // Thirty at once: answered in their order, one after the other.
    let pipelined: String = (0..10)
        .flat_map(|n| [say(n), request("GET", "/healthz", "", None), say(n + 100)])
        .collect();
    http.send(&pipelined);
    for n in 0..10 {
        assert_eq!(http.answer(false).json()["content"], format!("message {n}"));
        assert_eq!(http.answer(false).json(), json!({"status": "ok"}));
        assert_eq!(http.answer(false).json()["content"], format!("message {}", n + 100));
    }
    // One byte at a time.
    for byte in say(999).as_bytes() {
        http.send([*byte]);
    }
    let answer = http.answer(false);
    assert_eq!(answer.json()["content"], "message 999");
    assert_eq!(answer.header("connection"), None);
    assert!(answer.header("date").unwrap().ends_with(" GMT"));
    http.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(http.answer(false).header("connection"), Some("close"));
    assert!(http.is_ended());
}

#[test]
fn head_is_get_without_a_body() {
    let server = Server::start();
    let Pair { alice, .. } = server.pair();
    let mut http = Http::connect(server.address);
    for path in ["/api/v1/conversations/", "/healthz", "/nothing"] {
        let got = http.ask("GET", path, &alice.token, None);
        let head = http.ask("HEAD", path, &alice.token, None);
        assert_eq!((head.status, head.body.len()), (got.status, 0), "{path}");
        assert_eq!(head.header("content-length"), got.header("content-length"), "{path}");
        assert_eq!(head.header("content-type"), got.header("content-type"), "{path}");
    }
    assert_eq!(http.ask("GET", "/healthz", "", None).status, 200, "nothing was left over");
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let server = Server::start();
    let mut http = Http::connect(server.address);
    http.send("GET /healthz HTTP/1.0\r\n\r\n");
    let answer = http.answer(false);
    assert_eq!((answer.status, answer.text()), (200, r#"{"status":"ok"}"#));
    assert!(http.is_ended());
    let mut http = Http::connect(server.address);
    http.send("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = http.answer(false);
    if answer.header("connection").is_some_and(|told| told.eq_ignore_ascii_case("keep-alive")) {
        http.send("GET /healthz HTTP/1.0\r\n\r\n");
        assert_eq!(http.answer(false).status, 200);
    }
    assert!(http.is_ended());
}

#[test]
fn whoever_expects_100_continue_gets_it_before_the_body_is_sent() {
    let server = Server::start();
    let Pair { alice, conversation, .. } = server.pair();
    let path = format!("/api/v1/conversations/{conversation}/messages/");
    let whole = request("POST", &path, &alice.token, Some(&json!({"content": "patient"})));
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    let mut http = Http::connect(server.address);
    http.send(format!("{head}\r\nExpect: 100-continue\r\n\r\n"));
    assert_eq!(http.answer(false).status, 100);
    http.send(body);
    assert_eq!(http.answer(false).json()["content"], "patient");
    http.send(format!("{head}\r\nExpect: 200-ok\r\n\r\n"));
    assert_eq!(http.answer(false).status, 417);
    assert!(http.is_ended());
}

#[test]
fn a_body_may_come_in_chunks() {
    let server = Server::start();
    let Pair { alice, conversation, .. } = server.pair();
    let head = |more: &str| {
        format!(
            "POST /api/v1/conversations/{conversation}/messages/ HTTP/1.1\r\nHost: localhost\r\n\
             Authorization: Bearer {}\r\nContent-Type: application/json\r\n{more}\r\n",
            alice.token
        )
    };
    let mut http = Http::connect(server.address);
    let chunked = head("Transfer-Encoding: chunked\r\n");
    http.send(format!(
        "{chunked}5;a=b\r\n{{\"con\r\nC\r\ntent\":\"cut\"}}\r\n0\r\nX-Trailer: 1\r\n\r\n"
    ));
    let answer = http.answer(false);
    assert_eq!(answer.json()["content"], "cut", "{}", answer.text());
    assert_eq!(http.ask("GET", "/healthz", "", None).status, 200);
    // Over 1 MiB in all, however it is framed.
    let size = 1024 * 1024 + 1;
    let mut http = Http::connect(server.address);
    http.send(head(&format!("Content-Length: {size}\r\n")));
    assert_eq!(http.answer(false).status, 413);
    assert!(http.is_ended());
    let mut http = Http::connect(server.address);
    http.send(format!("{chunked}{size:x}\r\n"));
    assert_eq!(http.answer(false).status, 413);
    assert!(http.is_ended());
}

#[test]
fn what_two_servers_could_read_in_two_ways_is_refused_and_ends_the_connection() {
    let server = Server::start();
    let post = "POST /api/v1/matching/like/ HTTP/1.1\r\nHost: localhost\r\n";
    let smuggled = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (told, request, status) in [
        ("both lengths", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        ("a list of lengths", "Content-Length: 5, 5\r\n\r\nhello", 400),
        ("a signed length", "Content-Length: +5\r\n\r\nhello", 400),
        ("chunked twice", "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
        ("not quite chunked", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        ("another coding", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("a bad chunk size", "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", 400),
        ("a signed chunk size", "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", 400),
        ("an endless chunk size", "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400),
        ("bare LF in a chunk", "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", 400),
        ("a folded line", "X-A: 1\r\n 2\r\n\r\n", 400),
        ("bare LF in the head", "X-A: 1\nX-B: 2\r\n\r\n", 400),
        ("whitespace before the colon", "Content-Length : 5\r\n\r\nhello", 400),
        ("a NUL", "X-A: \0\r\n\r\n", 400),
        ("two hosts", "Host: localhost\r\n\r\n", 400),
    ] {
        let mut http = Http::connect(server.address);
        http.send(format!("{post}{request}{smuggled}"));
        let answer = http.answer(false);
        assert_eq!(answer.status, status, "{told}: {}", answer.text());
        answer.code();
        assert_eq!(answer.header("connection"), Some("close"), "{told}");
        assert!(http.is_ended(), "{told}: what was smuggled in is not answered");
    }
    for (told, request, status) in [
        ("no host", "GET /healthz HTTP/1.1\r\n\r\n", 400),
        ("HTTP/0.9", "GET /healthz\r\n\r\n", 400),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n", 400),
    ] {
        let mut http = Http::connect(server.address);
        http.send(request);
        assert_eq!(http.answer(false).status, status, "{told}");
        assert!(http.is_ended(), "{told}");
    }
    let mut http = Http::connect(server.address);
    http.send(format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(5_000)));
    assert_eq!(http.answer(false).status, 414);
    let mut http = Http::connect(server.address);
    http.send(format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-A: {}\r\n\r\n", "a".repeat(9_000)));
    assert_eq!(http.answer(false).status, 431);
    assert!(http.is_ended());
}

#[test]
fn pages_of_listed_origins_may_read_and_no_others() {
    let server = Server::with(&[("CORS_ALLOWED_ORIGINS", "https://app.test")]);
    let alice = &server.users(&["alice"])[0];
    let mut http = Http::connect(server.address);
    let mut ask = |method: &str, origin: &str, more: &str| {
        http.send(format!(
            "{method} /api/v1/conversations/ HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\
             Authorization: Bearer {}\r\n{more}\r\n",
            alice.token
        ));
        http.answer(false)
    };
    let preflight = "Access-Control-Request-Method: POST\r\n\
                     Access-Control-Request-Headers: authorization, content-type\r\n";
    let answer = ask("OPTIONS", "https://app.test", preflight);
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.test"));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("authorization"));
    let answer = ask("GET", "https://app.test", "");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.test"));
    assert!(answer.header("access-control-expose-headers").unwrap().contains("Link"));
    assert_eq!(answer.header("vary"), Some("Origin"));
    for method in ["OPTIONS", "GET"] {
        let answer = ask(method, "https://evil.test", if method == "GET" { "" } else { preflight });
        assert_eq!(answer.header("access-control-allow-origin"), None, "{method}");
        assert_eq!(answer.header("access-control-allow-methods"), None, "{method}");
    }
}
