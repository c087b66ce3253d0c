//! `fortifun.env.example` and `compose.yaml`, held against the settings that there are.

use std::collections::BTreeMap;

use fortifun_realtime::config::SETTINGS;
use fortifun_realtime::rest::ROUTES;
use saphyr::{LoadableYamlNode as _, Yaml};

use crate::{STOP_S, deployed, fortifun, seconds};

/// What `compose.yaml` alone reads.
const OF_COMPOSE: [&str; 2] = ["POSTGRES_PASSWORD", "REDIS_PASSWORD"];

/// The lines `NAME=value` of the example; with those that are commented out, where `all`.
fn example(all: bool) -> Vec<(String, String)> {
    let text = deployed("fortifun.env.example");
    let uncommented = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_uppercase()) && all => {
            let name = rest.split('=').next()?;
            let is_name = name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
            (is_name && rest.contains('=')).then(|| rest.to_owned())
        }
        Some(_) => None,
        None => Some(line.to_owned()).filter(|line| !line.is_empty() && !line.starts_with('#')),
    };
    let pair = |line: String| {
        let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("`{line}` sets nothing"));
        (name.to_owned(), value.to_owned())
    };
    text.lines().filter_map(uncommented).map(pair).collect()
}

fn is_setting(name: &str) -> bool {
    SETTINGS.iter().any(|s| s.name == name || s.file_name().is_some_and(|file| file == name))
}

#[test]
fn the_example_lacks_its_secrets_alone() {
    let settings = example(false);
    let told = fortifun(&["check-config"], &settings);
    let told = String::from_utf8(told.stderr).unwrap();
    let errors: Vec<&str> = told.lines().filter(|line| line.starts_with("fortifun: ")).collect();
    assert!(errors.len() == 1 && errors[0].starts_with("fortifun: SECRET_KEY: "), "{told}");
    for all in [false, true] {
        let mut settings = example(all);
        settings.push(("SECRET_KEY".into(), "0123456789abcdefghijklmnopqrstuv".into()));
        let told = fortifun(&["check-config"], &settings);
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    }
}

#[test]
fn the_example_sets_what_exists_and_shows_defaults_as_they_are() {
    let set: Vec<String> = example(false).into_iter().map(|(name, _)| name).collect();
    for (name, value) in example(true) {
        assert!(is_setting(&name) || OF_COMPOSE.contains(&&*name), "{name}");
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else { continue };
        let is_number = value.bytes().all(|b| b.is_ascii_digit()) && !value.is_empty();
        if !set.contains(&name) && is_number && !setting.default_text().contains(' ') {
            assert_eq!(value, setting.default_text(), "{name} is said to be the default");
        }
    }
}

/// Text with `${NAME:?}` replaced as compose does, and each name told to `seen`.
fn interpolated(text: &str, seen: &mut Vec<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once(":?}").expect("a variable that must be set");
        out.extend([before, "secret"]);
        seen.push(name.to_owned());
        rest = after;
    }
    out + rest
}

/// A mapping with what its `<<` says.
fn merged<'a>(node: &'a Yaml<'a>) -> BTreeMap<&'a str, &'a Yaml<'a>> {
    let mut members = BTreeMap::new();
    let mapping = node.as_mapping().expect("a mapping");
    for (key, value) in mapping {
        if key.as_str() == Some("<<") {
            members.extend(merged(value));
        }
    }
    for (key, value) in mapping {
        if key.as_str() != Some("<<") {
            members.insert(key.as_str().expect("keys are texts"), value);
        }
    }
    members
}

#[test]
fn compose_starts_nodes_with_settings_that_hold_and_in_an_order_that_exists() {
    let mut variables = Vec::new();
    let text = interpolated(&deployed("compose.yaml").replace("$$", "$"), &mut variables);
    let documents = Yaml::load_from_str(&text).unwrap();
    let [document] = &documents[..] else { panic!("one document") };
    let whole = merged(document);
    let services = merged(whole["services"]);
    let example = example(false);
    for variable in &variables {
        assert!(example.iter().any(|(name, value)| name == variable && value.is_empty()));
    }
    let mut nodes = 0;
    for (name, service) in &services {
        let service = merged(service);
        let needs = service.get("depends_on").map(|needs| merged(needs)).unwrap_or_default();
        for (other, need) in needs {
            let condition = merged(need)["condition"].as_str().unwrap();
            let asks_for_health = condition == "service_healthy";
            assert!(
                asks_for_health || condition == "service_completed_successfully",
                "{condition}"
            );
            assert!(services.contains_key(other), "{name} waits for {other}, which is not there");
            let is_watched = merged(services[other]).contains_key("healthcheck");
            assert!(is_watched || !asks_for_health, "{name} waits for {other}'s health");
        }
        for network in service["networks"].as_sequence().unwrap() {
            assert!(merged(whole["networks"]).contains_key(network.as_str().unwrap()));
        }
        if service["image"].as_str() != Some("fortifun") {
            continue;
        }
        nodes += 1;
        let mut settings: BTreeMap<String, String> = example.iter().cloned().collect();
        settings.insert("SECRET_KEY".into(), "0123456789abcdefghijklmnopqrstuv".into());
        for (key, value) in merged(service["environment"]) {
            assert!(is_setting(key), "{name}: {key}");
            settings.insert(key.to_owned(), value.as_str().expect("a text").to_owned());
        }
        let settings: Vec<_> = settings.into_iter().collect();
        let told = fortifun(&["check-config"], &settings);
        assert!(told.status.success(), "{name}: {}", String::from_utf8_lossy(&told.stderr));
        assert!(told.stderr.is_empty(), "{}", String::from_utf8_lossy(&told.stderr));
        assert!(seconds(service["stop_grace_period"].as_str().unwrap()) > STOP_S);
    }
    assert_eq!(nodes, 3, "two nodes, and one that migrates");
    assert!(text.contains("GET /readyz HTTP/1.0"));
    assert!(ROUTES.iter().any(|route| route.path == "/readyz"));
    let upstream = deployed("nginx.conf");
    for name in ["fortifun-1", "fortifun-2"] {
        assert!(services.contains_key(name) && upstream.contains(&format!("server {name}:8000 ")));
    }
}
