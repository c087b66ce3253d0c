//! The commands by which operators look at the bus, against a private Redis: `doctor`, `groups` and `send`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::TcpListener;
use std::process::{Command, Output};

use fortifun_fixtures::{Redis, RedisCluster, Reply};

const LAYERS: [&str; 2] = ["redis-pubsub", "redis-core"];

const EVENT: &str = r#"{"type":"system.alert","data":{}}"#;

/// Seconds since 1970, as a score.
fn now() -> String {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().to_string()
}

/// Runs the program on the bus at `urls`.
fn fortifun(urls: &str, layer: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fortifun"))
        .args(args)
        .env_clear()
        .env("SECRET_KEY", "0123456789abcdefghijklmnopqrstuv")
        .env("DATABASE_URL", "sqlite:////nowhere/chat.db")
        .env("REDIS_URL", urls)
        .env("CHANNEL_LAYER", layer)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What `doctor` says of the bus, and under it what mends it.
fn doctor(urls: &str, layer: &str) -> Vec<String> {
    let told = text(&fortifun(urls, layer, &["doctor"]).stdout);
    let mut lines: Vec<String> = Vec::new();
    let mut is_of_bus = false;
    for line in told.lines() {
        if line.starts_with("      -> ") {
            if is_of_bus {
                lines.push(line.trim().to_owned());
            }
        } else {
            is_of_bus = line.contains("  channel layer: ");
            if is_of_bus {
                lines.push(line.to_owned());
            }
        }
    }
    lines
}

#[track_caller]
fn expect_line(lines: &[String], verdict: &str, part: &str) {
    let is_it = |line: &&String| line.starts_with(verdict) && line.contains(part);
    assert!(lines.iter().any(|line| is_it(&line)), "{verdict} {part}: {lines:#?}");
}

#[test]
fn a_bus_that_is_well_has_nothing_to_mend_and_keeps_nothing_of_it() {
    let servers = [Redis::start(), Redis::start()];
    let urls = servers.each_ref().map(Redis::url).join(",");
    for layer in LAYERS {
        let lines = doctor(&urls, layer);
        assert!(lines.iter().all(|line| line.starts_with("ok  ")), "{lines:#?}");
        for server in &servers {
            let port = format!(":{}/0: a message came back in ", server.port());
            expect_line(&lines, "ok", &port);
        }
    }
    for server in &servers {
        assert_eq!(server.command(&["DBSIZE"]), Reply::Integer(0));
    }
}

#[test]
fn a_user_without_rights_has_them_after_what_doctor_says() {
    let server = Redis::start();
    server.command(&[
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">secret",
        "resetkeys",
        "resetchannels",
        "-@all",
    ]);
    let url = server.url_as("app", "secret");
    for layer in LAYERS {
        let lines = doctor(&url, layer);
        expect_line(&lines, "fail", "a message did not come back");
        expect_line(&lines, "warn", "this user may not ask how it is");
        for mend in lines.iter().filter_map(|line| line.strip_prefix("-> redis-cli ACL SETUSER … "))
        {
            let rules = mend.split(' ').map(|rule| rule.trim_matches('\''));
            let words: Vec<&str> = ["ACL", "SETUSER", "app"].into_iter().chain(rules).collect();
            server.command(&words);
        }
        let lines = doctor(&url, layer);
        assert!(lines.iter().all(|line| line.starts_with("ok  ")), "{lines:#?}");
        let members = "specific.0123456789abcdef0123456789abcdef!x";
        server.command(&["ZADD", "asgi:group:chat_7", &now(), members]);
        for args in [&["groups"][..], &["send", "--group", "chat_7", "--event", EVENT]] {
            let output = fortifun(&url, layer, args);
            assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        }
        server.command(&["ACL", "SETUSER", "app", "resetkeys", "resetchannels", "-@all"]);
    }
    let lines = doctor(&server.url_as("app", "wrong"), LAYERS[0]);
    expect_line(&lines, "fail", "the user or the password is wrong");
    assert!(!lines.concat().contains("wrong@"), "{lines:#?}");
}

#[test]
fn what_would_lose_messages_is_told() {
    let server = Redis::start_with(&[
        "--maxmemory",
        "100mb",
        "--maxmemory-policy",
        "allkeys-lru",
        "--client-output-buffer-limit",
        "pubsub 1mb 512kb 60",
    ]);
    expect_line(&doctor(&server.url(), LAYERS[1]), "warn", "allkeys-lru");
    expect_line(&doctor(&server.url(), LAYERS[0]), "warn", "pubsub is 1 MiB, 0 MiB for 60 s");
    let nobody = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let urls = format!("{},redis://{nobody}", server.url());
    for layer in LAYERS {
        expect_line(&doctor(&urls, layer), "fail", &format!("{nobody}/0: it cannot be reached"));
    }
}

#[test]
fn encryption_and_tls_change_nothing_about_a_round_trip() {
    let server = Redis::start_tls(&[]);
    let ca_file = server.ca_file();
    for layer in LAYERS {
        let flags = ["doctor", "--redis-ca-file", ca_file.to_str().unwrap()];
        let told = text(&fortifun(&server.url(), layer, &flags).stdout);
        assert!(told.contains("a message came back in "), "{told}");
        let told = doctor(&server.url(), layer);
        expect_line(&told, "fail", "TLS: ");
    }
}

#[test]
fn groups_are_listed_with_who_is_in_them() {
    let server = Redis::start();
    let expect = |layer, flags: &[&str], text: &str| {
        let output = fortifun(&server.url(), layer, &[&["groups"], flags].concat());
        assert!(output.status.success(), "{}", self::text(&output.stderr));
        assert_eq!(self::text(&output.stdout), text, "{layer} {flags:?}");
    };
    expect("redis-core", &[], "groups: 0, members: 0\n");
    let now: u64 = now().parse().unwrap();
    for (group, member, age) in [
        ("chat_7", "specific.a!1", 0),
        ("chat_7", "specific.b!1", 60),
        ("chat_7", "specific.c!1", 86_401),
        ("user_1_notifications", "specific.a!1", 5),
        ("presence_1", "specific.a!1", 86_401),
        ("fortifun.chat_7", "specific.a!fortifun.chat_7", 0),
    ] {
        let (key, score) = (format!("asgi:group:{group}"), (now - age).to_string());
        server.command(&["ZADD", &key, &score, member]);
    }
    server.command(&["SET", "asgi:group:other", "no group"]);
    expect(
        "redis-core",
        &[],
        "chat_7                2\nuser_1_notifications  1\ngroups: 2, members: 3\n",
    );
    expect(
        "redis-core",
        &["--json", "--all"],
        "[{\"group\":\"chat_7\",\"members\":2},{\"group\":\"fortifun.chat_7\",\"members\":1},\
         {\"group\":\"user_1_notifications\",\"members\":1}]\n",
    );
    expect("redis-pubsub", &["--all"], "groups: 0, members: 0\n");
    let memory = fortifun("", "memory", &["groups"]);
    assert_eq!(memory.status.code(), Some(2));
    assert!(text(&memory.stderr).contains("CHANNEL_LAYER: `memory` has no bus"));
}

#[test]
fn an_event_goes_where_the_group_is_and_says_so() {
    let servers = [Redis::start(), Redis::start()];
    let urls = servers.each_ref().map(Redis::url).join(",");
    let send = |layer, args: &[&str]| fortifun(&urls, layer, &[&["send"], args].concat());
    let alert = ["--group", "user_7_notifications", "--event", EVENT];
    assert_eq!(text(&send("redis-pubsub", &alert).stdout), "sent to 0 receivers\n");
    let now = now();
    // On both, since which of them has the group is for its name to say.
    for server in &servers {
        for member in ["specific.a!1", "specific.a!2", "specific.b!1", "specific.c!1"] {
            server.command(&["ZADD", "asgi:group:user_7_notifications", &now, member]);
        }
    }
    let told = text(&send("redis-core", &alert).stdout);
    assert_eq!(told, "sent to 3 queues\n");
    let queued = |queue: &str| {
        let of = |server: &Redis| match server.command(&["ZCARD", queue]) {
            Reply::Integer(count) => count,
            other => panic!("{other:?}"),
        };
        servers.iter().map(of).sum::<i64>()
    };
    assert_eq!(["asgispecific.a!", "asgispecific.b!", "asgispecific.c!"].map(queued), [1, 1, 1]);
    let full = [&alert[..], &["--channel-capacity", "1"]].concat();
    assert_eq!(text(&send("redis-core", &full).stdout), "sent to 0 queues; 3 had no room\n");
}

#[test]
fn an_event_that_nobody_could_handle_is_refused_and_named() {
    let server = Redis::start();
    for (group, event, code, part) in [
        ("a b", r#"{"type":"x"}"#, 2, "--group: the group's name is none"),
        ("chat_7", "{", 2, "--event: the event is no JSON object"),
        ("chat_7", "[1]", 2, "--event: the event is no JSON object"),
        ("chat_7", "{}", 2, "--event: the event has no `type`"),
        ("chat_7", r#"{"type":"_x"}"#, 2, "--event: the event's type `_x` is private"),
        ("chat_7", r#"{"type":"chat_message"}"#, 0, "warning: no socket gets it: sockets need"),
        ("room_7", r#"{"type":"x"}"#, 0, "warning: no socket gets it: sockets are in no group"),
    ] {
        for layer in LAYERS {
            let output =
                fortifun(&server.url(), layer, &["send", "--group", group, "--event", event]);
            let told = text(&output.stderr);
            assert!(told.contains(part), "{group} {event}: {told}");
            assert_eq!(output.status.code(), Some(code), "{told}");
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_one_line_without_its_password() {
    let nobody = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let url = format!("redis://:hunter2@{nobody}");
    for args in [&["groups"][..], &["send", "--group", "chat_7", "--event", r#"{"type":"x"}"#]] {
        let output = fortifun(&url, LAYERS[0], args);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("fortifun: ")).collect();
        assert!(lines.len() == 1 && lines[0].contains("cannot be reached"), "{told}");
        assert!(!told.contains("hunter2"));
    }
}

#[test]
fn a_redis_cluster_is_asked_master_by_master() {
    let cluster = RedisCluster::start(0);
    // One is enough to find the others by.
    let url = &cluster.urls()[1];
    let lines = doctor(url, LAYERS[0]);
    assert!(lines.iter().all(|line| line.starts_with("ok  ")), "{lines:#?}");
    for master in &cluster.nodes {
        for part in ["answers in ", "version 7.", "client-output-buffer-limit pubsub is "] {
            expect_line(&lines, "ok", &format!(":{}: {part}", master.port()));
        }
        expect_line(&lines, "ok", &format!(":{}: a message came back in ", master.port()));
    }
    let send = ["send", "--group", "chat_7", "--event", EVENT];
    let sent = fortifun(url, LAYERS[0], &send);
    assert_eq!(text(&sent.stdout), "sent to 0 receivers\n", "{}", text(&sent.stderr));
    let groups = fortifun(url, LAYERS[0], &["groups"]);
    assert_eq!(text(&groups.stdout), "groups: 0, members: 0\n", "{}", text(&groups.stderr));
    let core = fortifun(url, LAYERS[1], &send);
    assert_eq!(core.status.code(), Some(2));
    assert!(text(&core.stderr).contains("CHANNEL_LAYER: "), "{}", text(&core.stderr));
    // As a server by itself it is known for what it is.
    expect_line(&doctor(&cluster.nodes[0].url(), LAYERS[0]), "->", "redis+cluster://");
}

#[test]
fn a_user_of_a_redis_cluster_has_rights_after_what_doctor_says() {
    let cluster = RedisCluster::start(0);
    let tell = |words: &[&str]| {
        for node in &cluster.nodes {
            node.command(&[&["ACL", "SETUSER", "app"], words].concat());
        }
    };
    tell(&["on", ">secret", "resetkeys", "resetchannels", "-@all", "+@connection"]);
    let url = cluster.urls()[0].replacen("://", "://app:secret@", 1);
    let lines = doctor(&url, LAYERS[0]);
    expect_line(&lines, "fail", "the user lacks a permission");
    let mend = lines.iter().find_map(|line| line.split_once("redis-cli ACL SETUSER … ")).unwrap().1;
    tell(&mend.split(' ').map(|rule| rule.trim_matches('\'')).collect::<Vec<_>>());
    let lines = doctor(&url, LAYERS[0]);
    expect_line(&lines, "ok", "a message came back");
    assert!(!lines.iter().any(|line| line.starts_with("fail")), "{lines:#?}");
}
