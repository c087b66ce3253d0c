//! The floors and bans of `ARCHITECTURE.md`, held against every file of `src/`. A rule that fails names file and line.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, and says where")]

#[path = "architecture/floors.rs"]
mod floors;
#[path = "architecture/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use floors::FLOORS;
use source::{Source, files, sources};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Rooms that take time and bytes as arguments: they open nothing, read no clock, log nothing and start no thread.
const SANS_IO: &[&str] = &[
    "src/auth",
    "src/chat",
    "src/conn",
    "src/gate",
    "src/ids",
    "src/limits",
    "src/model",
    "src/protocol",
    "src/rest",
    "src/time",
    "src/wire",
    "src/worker/batch",
    "src/channel/bus",
    "src/channel/registry",
    "src/shard/core",
    "src/shard/timers",
    "src/shard/table",
    "src/shard/groups",
];
/// What a room without I/O does not name.
const IO_PATHS: &[&str] = &[
    "std::env",
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
];
/// The same, by words that need no path.
const IO_WORDS: &[&str] = &[
    "Instant",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "tracing",
    "log::",
    "getrandom",
    "rusqlite",
    "mio",
    "socket2",
    "libc",
    "rustix",
    "crossbeam_channel",
    "println!",
    "eprintln!",
];
/// What no file has.
const BANNED: &[(&str, &str)] = &[
    (".unwrap()", "`expect` says why it cannot fail"),
    ("async fn", "a shard blocks in `Io::poll` and nowhere else"),
    ("Rc<RefCell", "tables are indexed, not shared"),
    ("Arc<Mutex<Connection", "a connection belongs to one shard"),
    ("static mut", "there are no globals"),
    ("lazy_static", "there are no globals"),
    ("OnceLock", "there are no globals"),
    ("todo!", "nothing is left open"),
    ("unimplemented!", "nothing is left open"),
    ("dbg!", "that is for the desk"),
    ("unsafe", "no benchmark has asked for it"),
];
/// Where clocks are read: the event loop's system, and the commands' own.
const CLOCKS: &[&str] = &["src/shard/mio_io.rs", "src/cli.rs", "src/cli/doctor.rs"];
/// Where sockets are: those of clients, and those to Redis.
const SOCKETS: &[&str] = &["src/shard/mio_io.rs", "src/channel/redis/link/stream.rs"];
/// Files that may pass 500 lines, each for its reason.
const LONG: &[(&str, &str)] =
    &[("src/web/realtime-bus.js", "one file, so that it can be copied into any client")];

fn all() -> Vec<Source> {
    let sources = sources(Path::new(ROOT));
    assert!(sources.len() > 100, "the sources were found");
    sources
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().rev().position(|floor| floor.modules.contains(&room))
}

fn is_in(path: &str, rooms: &[&str]) -> bool {
    rooms.iter().any(|room| {
        path.strip_prefix(room)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest == ".rs")
    })
}

#[track_caller]
fn check(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn every_module_has_its_floor_and_every_floor_its_modules() {
    let rooms: BTreeSet<String> =
        all().iter().map(|source| source.room().to_owned()).filter(|room| room != "lib").collect();
    let listed: Vec<&str> = FLOORS.iter().flat_map(|floor| floor.modules).copied().collect();
    let unique: BTreeSet<String> = listed.iter().map(|room| (*room).to_owned()).collect();
    assert_eq!(rooms, unique);
    assert_eq!(listed.len(), unique.len(), "a module is on one floor");
    assert!(FLOORS.iter().all(|floor| !floor.what.is_empty()));
}

#[test]
fn imports_go_down() {
    let mut broken = Vec::new();
    for source in all().iter().filter(|source| source.room() != "lib") {
        let own = floor(source.room()).unwrap();
        for named in source.paths().iter().filter(|named| named.path[0] == "crate") {
            let Some(room) = named.path.get(1) else { continue };
            match floor(room) {
                Some(other) if room != source.room() && other >= own => {
                    broken.push(format!(
                        "{}:{}: imports {room}, which is not below it",
                        source.path, named.line
                    ));
                }
                Some(_) => {}
                None => broken.push(format!("{}:{}: {room} is no module", source.path, named.line)),
            }
        }
    }
    check(&broken);
}

#[test]
fn only_the_wiring_names_implementations_of_ports() {
    let sources = all();
    let mut implementations = Vec::new();
    for source in &sources {
        for port in ["Store for ", "ChannelLayer for "] {
            for (at, _) in source.code.match_indices(port) {
                let name = source.code[at + port.len()..].chars();
                implementations.push(name.take_while(|c| c.is_alphanumeric()).collect::<String>());
            }
        }
    }
    assert!(implementations.len() >= 3, "{implementations:?}");
    let mut broken = Vec::new();
    for source in sources.iter().filter(|s| !["store", "channel", "server"].contains(&s.room())) {
        for name in &implementations {
            let lines = source.lines_with(name);
            broken.extend(lines.iter().map(|line| format!("{}:{line}: names {name}", source.path)));
        }
        for named in source.paths() {
            let [root, room, inside, ..] = &named.path[..] else { continue };
            let is_module = inside.starts_with(|c: char| c.is_lowercase()) && inside != "self";
            if root == "crate" && (room == "store" || room == "channel") && is_module {
                broken.push(format!("{}:{}: names {room}::{inside}", source.path, named.line));
            }
        }
    }
    check(&broken);
}

#[test]
fn rooms_without_io_have_none() {
    let mut broken = Vec::new();
    for source in all().iter().filter(|source| is_in(&source.path, SANS_IO)) {
        for named in source.paths() {
            let path = named.path.join("::");
            let is_io =
                |banned: &&&str| path == **banned || path.starts_with(&format!("{banned}::"));
            if let Some(banned) = IO_PATHS.iter().find(is_io) {
                broken.push(format!("{}:{}: names {banned}", source.path, named.line));
            }
        }
        for word in IO_WORDS {
            let lines = source.lines_with(word);
            broken.extend(lines.iter().map(|line| format!("{}:{line}: names {word}", source.path)));
        }
    }
    for room in SANS_IO {
        assert!(all().iter().any(|source| is_in(&source.path, &[room])), "{room} is there");
    }
    check(&broken);
}

#[test]
fn sockets_and_clocks_are_touched_in_one_place() {
    let mut broken = Vec::new();
    for source in all() {
        let is_at = |allowed: &[&str]| allowed.contains(&source.path.as_str());
        let mut ban = |word: &str| {
            let lines = source.lines_with(word);
            broken.extend(lines.iter().map(|line| format!("{}:{line}: names {word}", source.path)));
        };
        if !is_at(&["src/shard/mio_io.rs"]) {
            ["mio", "socket2", "epoll"].into_iter().for_each(&mut ban);
        }
        if !is_at(SOCKETS) {
            ban("TcpStream");
        }
        if !is_at(CLOCKS) {
            ["Instant", "SystemTime::now"].into_iter().for_each(&mut ban);
        }
    }
    check(&broken);
}

#[test]
fn what_is_banned_is_nowhere() {
    let mut broken = Vec::new();
    for source in all() {
        for (word, why) in BANNED {
            for line in source.lines_with(word) {
                broken.push(format!("{}:{line}: {word}: {why}", source.path));
            }
        }
        if !source.is_introduced {
            broken.push(format!("{}: does not open with what it does", source.path));
        }
    }
    check(&broken);
}

#[test]
fn files_are_short_and_named_for_what_they_do() {
    let mut broken = Vec::new();
    let mut long = Vec::new();
    for folder in ["src", "tests", "benches", "loadtest"] {
        for file in files(&Path::new(ROOT).join(folder), &["rs", "js", "mjs", "sh"]) {
            let path = file.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned();
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            let is_allowed = LONG.iter().any(|(allowed, _)| *allowed == path);
            match lines > 500 {
                true if is_allowed => long.push(path.clone()),
                true => broken.push(format!("{path}: {lines} lines: it has taken a second job")),
                false => {}
            }
            let name = file.file_stem().unwrap().to_str().unwrap();
            if ["mod", "util", "utils", "helper", "helpers", "common", "misc"].contains(&name) {
                broken.push(format!("{path}: `{name}` says nothing"));
            }
        }
    }
    for (path, _) in LONG {
        if !long.iter().any(|found| found == path) {
            broken.push(format!("{path}: is short enough now; take it from the list"));
        }
    }
    check(&broken);
}

#[test]
fn the_load_harness_does_not_know_the_servers_code() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("loadtest/Cargo.toml")).unwrap();
    assert!(!manifest.contains("fortifun-realtime"));
    let broken: Vec<String> = files(&Path::new(ROOT).join("loadtest"), &["rs"])
        .iter()
        .filter(|file| fs::read_to_string(file).unwrap().contains("fortifun_realtime"))
        .map(|file| file.display().to_string())
        .collect();
    check(&broken);
}
