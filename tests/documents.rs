//! The documents say what the code does: tables, names, numbers, commands and paths, held against their source.
//!
//! `UPDATE_DOCS=1 cargo test --test documents` writes the tables anew.

#[path = "architecture/floors.rs"]
mod floors;
#[path = "documents/tables.rs"]
mod tables;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fortifun_realtime::config::{Kind, SETTINGS, groups};
use fortifun_realtime::metrics::{Handshake, families};
use fortifun_realtime::rest::ROUTES;
use tables::{grouped, limits, prose, refreshed};

const DOCUMENTS: &[&str] = &["README.md", "ARCHITECTURE.md", "tuning.md", "CONTRIBUTING.md"];
const MODEL: &str = include_str!("../src/model.rs");
const SQLITE: &str = include_str!("../src/store/sqlite/connection.rs");
const ANSWER: &str = include_str!("../src/model/answer.rs");
/// Names in capitals that are no settings: variables of tests and tools, and words of the systems around.
const OTHER_NAMES: &[&str] = &[
    "FORTIFUN_CONFIG",
    "FORTIFUN_BIN",
    "UPDATE_COUNTS",
    "UPDATE_DOCS",
    "SIM_SEED",
    "SIM_SEEDS",
    "CARGO_TARGET_DIR",
    "TCP_NODELAY",
    "TCP_USER_TIMEOUT",
    "CONN_MAX_AGE",
    "CHANNEL_LAYERS",
    "SO_REUSEPORT",
    "IOV_MAX",
    "SIGTERM",
    "SIGINT",
    "EMFILE",
    "ENFILE",
    "READABLE",
    "WRITABLE",
    "CHANGELOG",
    "CONTRIBUTING",
    "LICENSE",
];

/// Names that begin as metrics do, and are none: the library, and tables.
const OTHER_FORTIFUNS: &[&str] = &[
    "fortifun_realtime",
    "fortifun_migration",
    "fortifun_node",
    "fortifun_presence",
    "fortifun_revocation",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[track_caller]
fn check(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "whoever runs the test asks for new tables")]
fn tables_are_as_the_code_has_them() {
    let is_asked_for = std::env::var_os("UPDATE_DOCS").is_some();
    for name in DOCUMENTS {
        let (old, new) = (read(name), refreshed(&read(name)));
        if old != new {
            assert!(is_asked_for, "{name}: run UPDATE_DOCS=1 cargo test --test documents");
            fs::write(root().join(name), new).unwrap();
        }
    }
}

#[test]
fn every_setting_metric_and_limit_has_its_table() {
    let tuning = read("tuning.md");
    let tables = groups().into_iter().map(|group| format!("settings {group}"));
    for table in tables.chain(["metrics".to_owned(), "limits".to_owned()]) {
        assert_eq!(tuning.matches(&format!("<!-- table: {table} -->")).count(), 1, "{table}");
    }
    assert!(read("README.md").contains("<!-- table: settings -->"));
    assert!(read("ARCHITECTURE.md").contains("<!-- table: floors -->"));
}

#[test]
fn every_number_has_its_cost_told() {
    let prose = prose(&read("tuning.md"));
    let numbers =
        SETTINGS.iter().filter(|s| matches!(s.kind, Kind::Integer { .. } | Kind::Real { .. }));
    let broken: Vec<String> = numbers
        .filter(|setting| !prose.contains(&format!("`{}`", setting.name)))
        .map(|setting| format!("tuning.md says nothing of what {} costs", setting.name))
        .collect();
    check(&broken);
}

#[test]
fn names_in_capitals_are_settings_or_limits() {
    let limits = limits();
    let is_known = |word: &str| {
        let is_setting = |s: &fortifun_realtime::config::Setting| {
            s.name == word || s.file_name().is_some_and(|file| file == word)
        };
        SETTINGS.iter().any(is_setting)
            || limits.iter().any(|(name, ..)| *name == word)
            || OTHER_NAMES.contains(&word)
    };
    let mut broken = Vec::new();
    for name in DOCUMENTS {
        for word in read(name).split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let is_name = word.contains('_') && word.starts_with(|c: char| c.is_ascii_uppercase());
            let is_capital = word.chars().all(|c| !c.is_ascii_lowercase());
            if is_name && is_capital && !is_known(word) {
                broken.push(format!("{name}: {word} is no setting and no limit"));
            }
        }
    }
    check(&broken);
}

/// A limit is written as `` `NAME` (1,024 …) ``.
#[test]
fn limits_are_told_with_their_value() {
    let mut told = 0;
    let mut broken = Vec::new();
    for document in DOCUMENTS {
        let text = prose(&read(document));
        for (name, value, _) in limits() {
            for (_, after) in text
                .match_indices(&format!("`{name}` ("))
                .map(|(at, mark)| text.split_at(at + mark.len()))
            {
                told += 1;
                let is_right = [grouped(value), value.to_string()].iter().any(|number| {
                    let rest = after.strip_prefix(number.as_str());
                    rest.is_some_and(|rest| {
                        !rest.starts_with(|c: char| c == ',' || c.is_ascii_digit())
                    })
                });
                if !is_right {
                    let said: String = after.chars().take(12).collect();
                    broken.push(format!("{document}: {name} is {value}, not `{said}`"));
                }
            }
        }
    }
    check(&broken);
    assert!(told >= 10, "{told} limits are told of");
}

#[test]
fn the_rest_table_is_that_of_the_routes() {
    let readme = read("README.md");
    let mut told = BTreeSet::new();
    for cell in readme.lines().filter_map(|line| line.strip_prefix("| `")) {
        let Some((cell, _)) = cell.split_once('`') else { continue };
        let Some((method, rest)) = cell.split_once(" /") else { continue };
        if ["GET", "POST", "DELETE"].contains(&method) {
            let path = rest.split([' ', '?']).next().unwrap();
            told.insert(format!("{method} /{path}"));
        }
    }
    let served = ROUTES.iter().filter(|route| !route.path.starts_with("/ws/"));
    let served: BTreeSet<String> =
        served.map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(told, served);
    for socket in ROUTES.iter().filter(|route| route.path.starts_with("/ws/")) {
        let path = socket.path.replace("{id}", "<id>");
        assert!(readme.contains(&format!("`{path}`")), "README.md: {path}");
    }
}

#[test]
fn close_codes_are_those_of_the_code() {
    let declared = MODEL
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub const ")?.split_once(": u16 = "));
    let own: BTreeSet<u16> =
        declared.map(|(_, code)| code.trim_end_matches(';').parse().unwrap()).collect();
    assert!(own.len() >= 8);
    let readme = read("README.md");
    let told: BTreeSet<u16> = readme
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-' && c != '.' && c != ',')
        .filter(|word| word.len() == 4 && word.starts_with("44"))
        .filter_map(|word| word.parse().ok())
        .collect();
    assert_eq!(told, own);
    for code in ["1000", "1001", "1002", "1003", "1007", "1009", "1011", "1012", "1013"] {
        assert!(readme.contains(code), "{code}");
    }
}

#[test]
fn codes_of_errors_and_refusals_are_told() {
    let codes =
        ANSWER.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""));
    let codes: Vec<&str> = codes.map(|(_, code)| code.trim_end_matches("\",")).collect();
    assert_eq!(codes.len(), 10);
    let readme = read("README.md");
    let line = readme.lines().find(|line| line.contains("`invalid_json`")).unwrap();
    let told: Vec<&str> = line
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.contains('_') || *word == "busy" || *word == "forbidden")
        .collect();
    assert_eq!(told, codes, "the line of README.md that begins with invalid_json");
    let not_told = ["accepted", "upgrade_required", "unavailable", "timed_out"];
    for code in Handshake::NAMES.iter().filter(|name| !not_told.contains(name)) {
        assert!(readme.contains(&format!("`{code}`")), "README.md: {code}");
    }
}

#[test]
fn metrics_named_in_prose_exist() {
    let known: BTreeSet<String> =
        families().map(fortifun_realtime::metrics::Family::exposed_name).collect();
    let mut broken = Vec::new();
    for name in DOCUMENTS {
        for word in read(name).split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| word.strip_suffix(end))
                .unwrap_or(word);
            let is_metric = word.starts_with("fortifun_") && !OTHER_FORTIFUNS.contains(&word);
            if is_metric && !known.contains(word) && !known.contains(base) {
                broken.push(format!("{name}: there is no metric {word}"));
            }
        }
    }
    check(&broken);
}

#[test]
fn commands_and_flags_exist() {
    let help = |args: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_fortifun")).args(args).arg("--help").output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (_, top) = help(&[]);
    let commands = top.split_once("Commands:\n").unwrap().1.split("\n\n").next().unwrap();
    let commands: Vec<&str> =
        commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"serve") && commands.contains(&"doctor"), "{commands:?}");
    let (mut seen, mut broken) = (BTreeSet::new(), Vec::new());
    for name in DOCUMENTS {
        for line in read(name).lines() {
            for (_, call) in
                line.match_indices("fortifun ").map(|(at, mark)| line.split_at(at + mark.len()))
            {
                // A command begins its line or its code; "of `fortifun` is" is a sentence.
                let before = line[..line.len() - call.len()].trim_start();
                let before = before.strip_suffix("fortifun ").unwrap();
                let is_code =
                    before.is_empty() || before.ends_with('`') || before.ends_with("/bin/");
                let words: Vec<&str> = call
                    .split(['`', '#', '|', '>', '&'])
                    .next()
                    .unwrap()
                    .split_whitespace()
                    .collect();
                let Some(command) = words.first().filter(|_| is_code) else { continue };
                if !commands.contains(command) {
                    broken.push(format!("{name}: there is no `fortifun {command}`"));
                    continue;
                }
                seen.insert((*command).to_owned());
                let args = if *command == "user" { vec!["user", "add"] } else { vec![*command] };
                let (_, told) = help(&args);
                for flag in words.iter().filter_map(|word| word.strip_prefix("--")) {
                    let flag = flag.split(['=', ']']).next().unwrap();
                    if !told.contains(&format!("--{flag}")) {
                        broken.push(format!("{name}: `fortifun {command}` has no --{flag}"));
                    }
                }
            }
        }
    }
    check(&broken);
    assert!(seen.len() >= 6, "{seen:?}");
}

/// In backticks or as a link: whatever begins with a folder of this repository, or is a document in it.
#[test]
fn paths_lead_somewhere() {
    let folders = ["src/", "tests/", "benches/", "loadtest/", "scripts/", ".ci/"];
    let mut broken = Vec::new();
    for name in DOCUMENTS.iter().copied().chain(["CHANGELOG.md"]) {
        let text = read(name);
        let coded = text.split('`').skip(1).step_by(2);
        let linked = text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap());
        for path in coded.chain(linked) {
            let path = path.split([' ', ':']).next().unwrap();
            let is_document = !path.contains('/')
                && [".md", ".toml"].iter().any(|end| path.ends_with(end))
                && !path.starts_with('.');
            let is_ours = folders.iter().any(|folder| path.starts_with(folder));
            if (is_ours || is_document)
                && !path.contains(['*', '<', '{', '…'])
                && !root().join(path).exists()
            {
                broken.push(format!("{name}: {path} is not there"));
            }
        }
    }
    check(&broken);
}

#[test]
fn the_code_map_names_every_module() {
    let map = read("ARCHITECTURE.md");
    let broken: Vec<String> = floors::FLOORS
        .iter()
        .flat_map(|floor| floor.modules)
        .filter(|module| !map.contains(&format!("{module}.rs")))
        .map(|module| format!("ARCHITECTURE.md: {module}.rs is not in the code map"))
        .collect();
    check(&broken);
    let row = map.lines().find(|line| line.starts_with("| `shard/`")).unwrap();
    let broken: Vec<String> = fs::read_dir(root().join("src/shard"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| !row.contains(&format!("`{name}`")))
        .map(|name| format!("ARCHITECTURE.md: shard/{name}.rs is not in the code map"))
        .collect();
    check(&broken);
}

#[test]
fn what_sqlite_is_told_is_what_tuning_says() {
    let pragmas: Vec<u64> = SQLITE
        .lines()
        .filter_map(|line| line.trim().strip_prefix("PRAGMA ")?.split_once(" = "))
        .filter(|(name, _)| {
            ["cache_size", "mmap_size", "wal_autocheckpoint", "journal_size_limit"].contains(name)
        })
        .map(|(_, value)| value.trim_matches(['-', ';']).parse().unwrap())
        .collect();
    let [writer, 0, pages, log, reader, 0] = pragmas[..] else { panic!("{pragmas:?}") };
    let tuning = read("tuning.md");
    let told = tuning.split("## SQLite").nth(1).unwrap().replace('\n', " ");
    for said in [
        format!("a page cache of {writer} KiB for the writer and {reader} KiB for each reader"),
        "Nothing is mapped".to_owned(),
        format!(
            "a checkpoint at every {} pages of log, which is cut to {} MiB",
            grouped(pages),
            log >> 20
        ),
    ] {
        assert!(told.contains(&said), "tuning.md does not say: {said}");
    }
}

#[test]
fn the_changelog_knows_this_version() {
    assert!(read("CHANGELOG.md").contains(&format!("## [{}]", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn both_licences_are_there_as_the_manifest_says() {
    assert!(read("Cargo.toml").contains("license = \"MIT OR Apache-2.0\""));
    assert!(read("LICENSE-MIT").contains("Permission is hereby granted, free of charge"));
    assert!(read("LICENSE-APACHE").contains("Version 2.0, January 2004"));
    assert!(Path::new(&root()).join("deny.toml").exists());
}
