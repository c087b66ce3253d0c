//! Tests of the loader as a whole.

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// PEM, as far as the loader looks at it.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

/// Loads with these three layers above the defaults.
fn load(file: &str, env: &[(&str, &str)], flags: &[(Key, &str)]) -> Result<Config, ConfigErrors> {
    Config::load(&Sources {
        file: Some(file),
        env: &|name| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
        flags: &flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
        read_file: &|path| match path {
            "/run/secret" => Ok(format!("{KEY}\n")),
            "/etc/ca.pem" => Ok(AUTHORITY.to_owned()),
            "/etc/empty.pem" => Ok("nothing here\n".to_owned()),
            "/etc/broken.pem" => Ok("-----BEGIN CERTIFICATE-----\n*\n".to_owned()),
            _ => Err("no such file".to_owned()),
        },
        machine: Machine { cores: 4, descriptors_max: 20_000, random: [0xab; 32] },
    })
}

/// The lines told for settings that must be refused.
fn refused(file: &str, env: &[(&str, &str)]) -> Vec<String> {
    load(file, env, &[]).unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn without_settings_the_defaults_hold() {
    let config = load("", &[("SECRET_KEY", KEY)], &[]).unwrap();
    assert_eq!(config.net.address().to_string(), "0.0.0.0:8000");
    assert_eq!(config.net.shards, 4);
    assert_eq!(config.conn.connections_max, 20_000 - 256);
    assert_eq!(config.conn.per_ip_max, Some(1_000));
    assert_eq!(config.conn.connects_per_ip, Some(Rate { per_second: 200.0, burst: 400 }));
    assert_eq!((config.conn.heartbeat_ms, config.conn.handshake_timeout_ms), (25_000, 10_000));
    assert_eq!(
        (config.conn.outbound_bytes_max, config.conn.outbound_soft_bytes),
        (1 << 20, 1 << 18)
    );
    assert_eq!(config.chat.messages, Rate { per_second: 5.0, burst: 10 });
    assert_eq!(config.chat.commands, Rate { per_second: 20.0, burst: 40 });
    assert_eq!(config.store.database, Database::Sqlite("fortifun.db".into()));
    assert_eq!(config.auth.secret.expose(), KEY.as_bytes());
    assert!(!config.debug && !config.echo && config.warnings.is_empty());
    assert_eq!(config.log, LogSettings { is_json: false, level: LogLevel::Info });
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let file = "port = 1\nheartbeat_s = 1\nshards = 1\nallowed_hosts = ['a.example', 'b.example']";
    let env = [("SECRET_KEY", KEY), ("PORT", "2"), ("HEARTBEAT_S", "2")];
    let config = load(file, &env, &[(Key::Port, "3")]).unwrap();
    assert_eq!((config.net.port, config.conn.heartbeat_ms, config.net.shards), (3, 2_000, 1));
    assert!(config.net.allowed_hosts.allows_host("b.example"));
    let origin = |key: Key| config.effective[key as usize].origin;
    assert_eq!(origin(Key::Port), Origin::Flag);
    assert_eq!(origin(Key::HeartbeatS), Origin::Environment);
    assert_eq!(origin(Key::Shards), Origin::File);
    assert_eq!(origin(Key::Host), Origin::Default);
}

#[test]
fn an_unknown_key_of_the_file_is_refused_and_the_nearest_named() {
    let told = refused("heartbeats = 3\n[chat]\nx = 1", &[("SECRET_KEY", KEY)]);
    assert_eq!(told.len(), 2);
    assert_eq!(told[1], "heartbeats: no such setting; did you mean `heartbeat_s`? (from the file)");
    assert!(told[0].starts_with("chat: no such setting"), "{}", told[0]);
}

#[test]
fn all_errors_are_told_at_once_each_naming_its_key() {
    let env = [
        ("PORT", "65536"),
        ("SHARDS", "0"),
        ("HOST", "example.com"),
        ("DEBUG", "maybe"),
        ("MESSAGES_PER_SECOND", "NaN"),
        ("LOG_LEVEL", "loud"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,10.0.0.0/40"),
        ("REDIS_URL", "redis://:hunter2@cache/x"),
        ("CHANNEL_LAYER", "post"),
        ("DATABASE_URL", "postgres://me:hunter2@db/app?sslkey=x"),
        ("MEDIA_URL", "media"),
        ("CONNECTIONS_MAX", "-1"),
        ("WELCOME_MESSAGE", "  "),
    ];
    let told = refused("", &env);
    for (name, _) in env {
        assert_eq!(
            told.iter().filter(|line| line.starts_with(&format!("{name}: "))).count(),
            1,
            "{name}"
        );
    }
    assert!(told.iter().any(|line| line.starts_with("SECRET_KEY: must be set with DEBUG off")));
    assert_eq!(told.len(), env.len() + 1);
    assert!(told.iter().any(|line| line
        == "PORT: must be a whole number from 0 to 65535 (`65536` from the environment)"));
    assert!(told.iter().all(|line| !line.contains("hunter2") && !line.contains('\n')), "{told:#?}");
}

#[test]
fn a_secret_is_long_enough_or_debug_is_on() {
    let short = "short-and-secret";
    let told = refused("", &[("SECRET_KEY", short)]);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("SECRET_KEY: must be at least 32 bytes") && !told[0].contains(short)
    );
    assert!(
        refused("", &[("SECRET_KEY", KEY), ("SECRET_KEY_PREVIOUS", short)])[0]
            .starts_with("SECRET_KEY_PREVIOUS: ")
    );
    let config = load("", &[("SECRET_KEY", short), ("DEBUG", "True")], &[]).unwrap();
    assert_eq!(config.warnings.len(), 1);
    let made_up = load("", &[("DEBUG", "1")], &[]).unwrap();
    assert_eq!(made_up.auth.secret.expose(), "ab".repeat(32).as_bytes());
    assert!(made_up.warnings[0].starts_with("SECRET_KEY: not set"));
}

#[test]
fn debug_on_allows_what_django_allows_then() {
    let config = load("debug = true", &[], &[]).unwrap();
    assert!(config.net.allowed_hosts.allows_host("app.localhost:3000"));
    let config = load("debug = true", &[("ALLOWED_HOSTS", "a.example")], &[]).unwrap();
    assert!(!config.net.allowed_hosts.allows_host("localhost"));
}

#[test]
fn a_secret_may_come_from_a_file_and_not_from_two_places() {
    let config = load("", &[("SECRET_KEY_FILE", "/run/secret")], &[]).unwrap();
    assert_eq!(config.auth.secret.expose(), KEY.as_bytes());
    let config = load(
        "secret_key = 'of the file, and replaced by the environment'",
        &[("SECRET_KEY_FILE", "/run/secret")],
        &[],
    )
    .unwrap();
    assert_eq!(config.auth.secret.expose(), KEY.as_bytes());
    let told = refused("", &[("SECRET_KEY_FILE", "/run/secret"), ("SECRET_KEY", KEY)]);
    assert!(told[0].starts_with("SECRET_KEY_FILE: set either this or SECRET_KEY"), "{}", told[0]);
    let told = refused("secret_key_file = '/nowhere'", &[]);
    assert!(told[0].starts_with("SECRET_KEY_FILE: cannot be read: no such file"), "{}", told[0]);
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (env, line) in [
        (
            ("OUTBOUND_SOFT_BYTES", "1048576"),
            "OUTBOUND_SOFT_BYTES: must be less than OUTBOUND_BYTES",
        ),
        (("MESSAGE_BYTES", "1048576"), "MESSAGE_BYTES: must be less than OUTBOUND_BYTES"),
        (("MESSAGES_BURST", "76"), "MESSAGES_BURST: must refill within 15 s"),
        (("WRITE_WORKERS", "2"), "WRITE_WORKERS: must be 1 with SQLite"),
    ] {
        let told = refused("", &[("SECRET_KEY", KEY), env]);
        assert!(told.len() == 1 && told[0].starts_with(line), "{told:?}");
    }
    // A value that is wrong by itself is told once, and not compared.
    let env = [("SECRET_KEY", KEY), ("OUTBOUND_BYTES", "1"), ("OUTBOUND_SOFT_BYTES", "2000000")];
    assert_eq!(refused("", &env).len(), 1);
}

#[test]
fn a_database_in_memory_is_for_benchmarks_and_says_so() {
    let url = ("DATABASE_URL", "memory:?users=7");
    let told = refused("", &[("SECRET_KEY", KEY), url]);
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("DATABASE_URL: ") && told[0].contains("ECHO"), "{told:?}");
    let env = [("SECRET_KEY", KEY), ("ECHO", "1"), url];
    let config = load("", &env, &[]).unwrap();
    assert_eq!(config.store.database, Database::Memory { users: 7 });
    assert_eq!(config.store.write_workers, 1);
    assert!(config.warnings[0].contains("NOTHING IS KEPT"), "{:?}", config.warnings);
}

/// The settings of Postgres that these variables make.
fn postgres(env: &[(&str, &str)]) -> (StoreSettings, PostgresSettings) {
    let store = load("", &[&[("SECRET_KEY", KEY)], env].concat(), &[]).unwrap().store;
    let Database::Postgres(settings) = &store.database else { panic!("{store:?}") };
    (store.clone(), (**settings).clone())
}

#[test]
fn postgres_has_two_writers_and_libpqs_defaults() {
    let (store, settings) = postgres(&[("DATABASE_URL", "postgres://me@db/app")]);
    assert_eq!((store.write_workers, store.read_workers), (2, 2));
    assert_eq!((settings.tls, &settings.ca_file), (TlsMode::Prefer, &None));
    assert_eq!((settings.connect_timeout_ms, settings.statement_timeout_ms), (5_000, 10_000));
    let env = [("DATABASE_URL", "postgis://me@db/app"), ("WRITE_WORKERS", "7")];
    assert_eq!(postgres(&env).0.write_workers, 7);
}

#[test]
fn what_is_set_by_name_holds_against_the_url() {
    let url = "postgres://db/app?connect_timeout=9&sslrootcert=/etc/ca.pem&sslmode=verify-ca";
    let (_, by_url) = postgres(&[("DATABASE_URL", url)]);
    assert_eq!(by_url.connect_timeout_ms, 9_000);
    assert_eq!(by_url.ca_file.as_deref(), Some("/etc/ca.pem".as_ref()));
    assert_eq!(by_url.tls, TlsMode::VerifyCa);
    let url = url.replace("ca.pem", "nowhere");
    let env = [
        ("DATABASE_URL", url.as_str()),
        ("DATABASE_CONNECT_TIMEOUT_S", "5"),
        ("DATABASE_CA_FILE", "/etc/ca.pem"),
    ];
    assert_eq!(postgres(&env).1.connect_timeout_ms, 5_000);
}

#[test]
fn whoever_names_an_authority_has_the_server_verified() {
    let ca = ("DATABASE_CA_FILE", "/etc/ca.pem");
    for (query, ca_file, tls) in [
        ("", Some(ca), TlsMode::VerifyFull),
        ("?sslrootcert=system", None, TlsMode::VerifyFull),
        ("?sslmode=require", Some(ca), TlsMode::Require),
    ] {
        let url = format!("postgres://db/app{query}");
        let env: Vec<_> = ca_file.into_iter().chain([("DATABASE_URL", url.as_str())]).collect();
        assert_eq!(postgres(&env).1.tls, tls, "{query}");
    }
    for (query, ca_file, told) in [
        ("?sslmode=prefer", "/etc/ca.pem", "DATABASE_CA_FILE: names whom to trust, and sslmode"),
        ("", "/nowhere.pem", "DATABASE_CA_FILE: names /nowhere.pem, which cannot be read: no such"),
        ("", "/etc/empty.pem", "DATABASE_CA_FILE: names /etc/empty.pem, which holds no cert"),
        ("", "/etc/broken.pem", "DATABASE_CA_FILE: names /etc/broken.pem, which is broken PEM"),
        ("?sslrootcert=/nowhere", "", "DATABASE_URL: names /nowhere, which cannot be read: no"),
    ] {
        let url = format!("postgres://db/app{query}");
        let env = [("SECRET_KEY", KEY), ("DATABASE_URL", &url), ("DATABASE_CA_FILE", ca_file)];
        let lines = refused("", &env);
        assert!(lines.len() == 1 && lines[0].starts_with(told), "{lines:?}");
    }
}

#[test]
fn nothing_that_is_shown_holds_a_secret() {
    let config = load("", &[("SECRET_KEY", KEY), ("SECRET_KEY_PREVIOUS", KEY)], &[]).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains(KEY));
    assert_eq!(config.effective[Key::SecretKey as usize].value, REDACTED);
    let url = ("DATABASE_URL", "postgres://me:hunter2@db/app");
    let config = load("", &[("SECRET_KEY", KEY), url], &[]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let Database::Postgres(settings) = &config.store.database else { unreachable!() };
    assert!(settings.url.expose().ends_with(b":hunter2@db/app"));
}

#[test]
fn a_broken_file_is_refused_without_quoting_it() {
    for line in
        ["secret_key = hunter2", "secret_key = 'x' hunter2", "hunter2", "a = 1\na = 'hunter2'"]
    {
        let told = refused(line, &[("SECRET_KEY", KEY)]);
        assert!(!told.concat().contains("hunter2"), "{told:?}");
    }
    let told = refused("port = 1\nsecret_key = 'hunter2", &[("SECRET_KEY", KEY)]);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("--config: line 2: ") && !told[0].contains("hunter2"),
        "{}",
        told[0]
    );
    let told = refused("secret_key = ['hunter2', 3]", &[("SECRET_KEY", KEY)]);
    assert!(
        told[0].starts_with("secret_key: must be") && !told[0].contains("hunter2"),
        "{}",
        told[0]
    );
}

#[test]
fn zero_switches_the_limits_of_an_address_off() {
    let env =
        [("SECRET_KEY", KEY), ("CONNECTIONS_PER_IP", "0"), ("CONNECTS_PER_SECOND_PER_IP", "0")];
    let config = load("", &env, &[]).unwrap();
    assert_eq!((config.conn.per_ip_max, config.conn.connects_per_ip), (None, None));
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let config = load("", &[("SECRET_KEY", KEY), ("REDIS_URL", ""), ("PORT", "")], &[]).unwrap();
    assert_eq!(config.net.port, 8_000);
}

#[test]
fn every_number_is_refused_just_outside_its_bounds() {
    for setting in SETTINGS {
        let Kind::Integer { min, max } = setting.kind else { continue };
        let below = if min == 0 { "-1".to_owned() } else { (min - 1).to_string() };
        for value in [below, (max + 1).to_string(), "1.5".to_owned(), "1k".to_owned()] {
            let told = refused("", &[("SECRET_KEY", KEY), (setting.name, &value)]);
            assert!(told[0].starts_with(&format!("{}: must be", setting.name)), "{told:?}");
        }
    }
}
