//! `nginx.conf` before a real node.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use crate::{deployed, seconds};

const HOST: &str = "chat.example.com";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
const MEND: &str = "nginx is needed: `scripts/test.sh` installs it, `apt-get install nginx` does";

/// A child that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ports and nodes in the place of those that the configuration names.
struct Places<'a> {
    http: u16,
    https: u16,
    nodes: [&'a str; 2],
}

/// Writes the configuration into `folder`, for whoever runs this and with a certificate of its own; nothing else is changed.
fn write_configuration(folder: &Path, places: &Places<'_>) {
    let openssl = Command::new("openssl")
        .current_dir(folder)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-subj", "/CN=test", "-addext", &format!("subjectAltName=DNS:{HOST}")])
        .output()
        .expect("openssl is needed: apt-get install openssl");
    assert!(openssl.status.success(), "{}", String::from_utf8_lossy(&openssl.stderr));
    let mut text = deployed("nginx.conf");
    let mut replace = |from: &str, to: &str| {
        assert!(text.contains(from), "nginx.conf has no `{from}`");
        text = text.replace(from, to);
    };
    let within = |name: &str| folder.join(name).display().to_string();
    replace("/etc/ssl/fortifun/chat.example.com.pem", &within("cert.pem"));
    replace("/etc/ssl/fortifun/chat.example.com.key", &within("key.pem"));
    replace("/var/log/nginx/access.log", &within("access.log"));
    replace("listen 80;", &format!("listen 127.0.0.1:{};", places.http));
    replace("listen 443 ssl backlog=4096;", &format!("listen 127.0.0.1:{} ssl;", places.https));
    replace("listen [::]:80;", "");
    replace("listen [::]:443 ssl backlog=4096;", "");
    replace("server fortifun-1:8000 ", &format!("server {} ", places.nodes[0]));
    replace("server fortifun-2:8000 ", &format!("server {} ", places.nodes[1]));
    // Where root alone may write, unless told otherwise.
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {};", within(kind)));
    replace("http {\n", &format!("http {{\n{}\n", folders.join("\n")));
    fs::write(folder.join("nginx.conf"), text).unwrap();
}

fn nginx(folder: &Path) -> Command {
    // Debian's is where root alone looks for programs.
    let path = format!("{}:/usr/sbin:/sbin", option_env!("PATH").unwrap_or("/usr/bin:/bin"));
    let mut command = Command::new("nginx");
    let pid =
        format!("pid {}; daemon off; master_process off;", folder.join("nginx.pid").display());
    command.env("PATH", path).arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
    command.arg("-e").arg("stderr").args(["-g", &pid]);
    command
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn nginx_takes_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = ["127.0.0.1:8001", "127.0.0.1:8002"];
    write_configuration(folder.path(), &Places { http: free_port(), https: free_port(), nodes });
    let told = nginx(folder.path()).arg("-t").output().expect(MEND);
    let lines = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.status.success(), "{lines}");
    let has_trouble = |line: &&str| line.contains("[warn]") || line.contains("[emerg]");
    let troubles: Vec<&str> = lines.lines().filter(has_trouble).collect();
    assert!(troubles.is_empty(), "{troubles:#?}");
}

#[test]
fn nginx_is_more_patient_than_the_node_behind_it() {
    let text = deployed("nginx.conf");
    let in_sockets = text.split("location /ws/ {").nth(1).unwrap();
    let timeout = |text: &str, name: &str| seconds(text.split(&format!("{name} ")).nth(1).unwrap());
    let heartbeat_s = default_of("HEARTBEAT_S");
    assert!(timeout(in_sockets, "proxy_read_timeout") > 2 * heartbeat_s);
    assert!(timeout(in_sockets, "proxy_send_timeout") > 2 * heartbeat_s);
    let in_api = text.split("location /api/v1/ {").nth(1).unwrap();
    let decide_s = fortifun_realtime::limits::DECIDE_MS / 1_000;
    assert!(timeout(in_api, "proxy_read_timeout") > decide_s);
    let upstream = text.split("upstream fortifun {").nth(1).unwrap();
    assert!(timeout(upstream, "keepalive_timeout") < default_of("IDLE_HTTP_S"));
}

fn default_of(name: &str) -> u64 {
    let setting = fortifun_realtime::config::SETTINGS.iter().find(|s| s.name == name).unwrap();
    setting.default_text().parse().unwrap()
}

/// A node with people in it, and a token of each: alice has the id 1, dave the id 4.
struct Node {
    address: String,
    tokens: [String; 4],
    _process: Process,
}

impl Node {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fortifun"))
            .args(["demo", "--port", "0", "--allowed-hosts", HOST])
            .args(["--trusted-proxies", "127.0.0.1/32"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let process = Process(child);
        let page = lines.next().expect("a demo says where its page is");
        let address = page.strip_prefix("page http://").unwrap().trim_end_matches('/').to_owned();
        let tokens = ["alice", "bob", "carol", "dave"].map(|name| {
            let line = lines.next().expect("a demo prints the token of each");
            line.strip_prefix(name).unwrap().trim().to_owned()
        });
        Self { address, tokens, _process: process }
    }
}

/// A running nginx, and what vouches for it.
struct Proxy {
    http: u16,
    https: u16,
    trust: Arc<ClientConfig>,
    _process: Process,
    folder: TempDir,
}

impl Proxy {
    fn before(nodes: [&str; 2]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let places = Places { http: free_port(), https: free_port(), nodes };
        write_configuration(folder.path(), &places);
        let process = Process(nginx(folder.path()).spawn().expect(MEND));
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", places.https)).is_err() {
            assert!(start.elapsed() < PATIENCE, "nginx does not listen");
            std::thread::yield_now();
        }
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(folder.path().join("cert.pem")).unwrap();
        roots.add(certificate).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let trust = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let Places { http, https, .. } = places;
        Self { http, https, trust: Arc::new(trust), _process: process, folder }
    }

    /// Sends `request` with TLS and reads until `end` is among what came.
    fn ask(&self, request: &str, end: &str) -> String {
        let name = ServerName::try_from(HOST).unwrap();
        let tls = ClientConnection::new(Arc::clone(&self.trust), name).unwrap();
        exchange(StreamOwned::new(tls, connected(self.https)), request, end)
    }
}

fn connected(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn exchange(mut stream: impl Read + Write, request: &str, end: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    stream.flush().unwrap();
    let mut came = String::new();
    let mut buffer = [0; 4_096];
    while !came.contains(end) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => came.push_str(&String::from_utf8_lossy(&buffer[..read])),
            Err(error) => panic!("{error} after: {came}"),
        }
    }
    came
}

#[test]
fn sockets_and_requests_reach_a_node_although_the_other_is_gone() {
    let node = Node::start();
    let gone = format!("127.0.0.1:{}", free_port());
    let proxy = Proxy::before([&gone, &node.address]);
    let ask = |line: &str, token: &str, body: &str| {
        let head =
            format!("Host: {HOST}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n");
        let of_body =
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        let request = format!("{line} HTTP/1.1\r\n{head}{of_body}\r\n{body}");
        proxy.ask(&request, "nothing: until the end")
    };
    let [alice, _, _, dave] = &node.tokens;
    let get = |path: &str| ask(&format!("GET {path}"), alice, "");
    for _ in 0..3 {
        let list = get("/api/v1/conversations/");
        assert!(list.starts_with("HTTP/1.1 200 ") && list.contains("\"participants\""), "{list}");
    }
    for (token, user) in [(dave, 1), (alice, 4)] {
        let line = "POST /api/v1/matching/like/";
        let told = ask(line, token, &format!("{{\"user_id\":{user}}}"));
        assert!(told.contains("\"is_match\"") || told.contains("already_liked"), "{told}");
    }
    // The node knows how it is called outside.
    let page = get("/api/v1/matching/matches/?page_size=1");
    assert!(page.contains(&format!("\"https://{HOST}/api/v1/matching/matches/?")), "{page}");
    assert!(get("/readyz").contains(r#"{"status":"ok"}"#));
    assert!(get("/metrics").starts_with("HTTP/1.1 404 "));

    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: fortifun.v1\r\n";
    let request = format!("GET /ws/chat/?token={alice} HTTP/1.1\r\nHost: {HOST}\r\n{upgrade}\r\n");
    let socket = proxy.ask(&request, "\"type\":\"hello\"");
    assert!(socket.starts_with("HTTP/1.1 101 ") && socket.contains("\"hello\""), "{socket}");

    let plain = "GET /ws/chat/ HTTP/1.1\r\nHost: chat.example.com\r\nConnection: close\r\n\r\n";
    let moved = exchange(connected(proxy.http), plain, "nothing: until the end");
    assert!(
        moved.starts_with("HTTP/1.1 301 ") && moved.contains("https://chat.example.com/ws/chat/")
    );

    let log = fs::read_to_string(proxy.folder.path().join("access.log")).unwrap();
    assert!(log.contains("\"GET /ws/chat/\"") && !log.contains(&**alice), "{log}");
}
