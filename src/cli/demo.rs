//! `fortifun demo`: a server with a store of its own and four users who have met.
//!
//! Of the environment it reads where to listen and how to log, and nothing else: the users of a demo never get into the
//! database that `DATABASE_URL` names.

mod people;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::settings::{SettingArgs, load_with, variable};
use super::{serve, token, wall_clock};
use crate::config::{ConfigError, ConfigErrors, Key, Origin};
use crate::server::{self, DemoUser, Hooks};
use crate::store::Lane;

/// How long the printed tokens are valid, s.
const TTL_S: i64 = 7 * 86_400;
/// What the environment may say to a demo.
const VARIABLES: &[&str] = &["HOST", "PORT", "SHARDS", "LOG_FORMAT", "LOG_LEVEL"];

/// Where the demo keeps its store.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the store and its key, kept for the next time; without it a temporary one, removed at the end.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args, settings: &SettingArgs) -> anyhow::Result<()> {
    refuse_other_stores(settings)?;
    let folder = Folder::open(args.data_dir.as_deref())?;
    let config =
        load_with(&with_own_store(settings, &folder)?, &environment, settings.config.clone())?;
    let now = wall_clock();
    server::migrate(&config, &mut |_| {})?;
    let users =
        people::seed(&mut *server::open_store(&config, Lane::Write)?, &config.chat.welcome, now)?;
    let mut tokens = Vec::with_capacity(users.len());
    for DemoUser { id, username, .. } in &users {
        let jti = u128::from_le_bytes(super::random()?);
        let token = token::issue(&config.auth, *id, TTL_S, now, jti);
        tokens.push(format!("{username} {token}"));
    }
    let (log, metrics) = serve::observe(&config)?;
    let hooks = Hooks {
        metrics,
        on_ready: Box::new(move |address| announce(address, &tokens)),
        demo_users: users,
    };
    let served = server::run(config, hooks);
    drop(log);
    drop(folder);
    served
}

/// Prints the page's address and one line of name and token a user.
fn announce(address: SocketAddr, tokens: &[String]) {
    let mut out = io::stdout().lock();
    let page = format!("page {}\n{}\n", page_url(address), tokens.join("\n"));
    // The demo goes on without anybody who listens.
    let _ = out.write_all(page.as_bytes()).and_then(|()| out.flush());
}

/// An address that a browser on this machine can open.
fn page_url(address: SocketAddr) -> String {
    let host = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}/", SocketAddr::new(host, address.port()))
}

fn environment(name: &str) -> Option<String> {
    VARIABLES.contains(&name).then(|| variable(name))?
}

/// The settings of a demo: `DEBUG`, a store and a key of its own, and this machine alone unless another `HOST` is asked for.
fn with_own_store(settings: &SettingArgs, folder: &Folder) -> anyhow::Result<SettingArgs> {
    let mut own = settings.clone();
    let path = folder.path.join("demo.db");
    let path = path.to_str().context("--data-dir: must be UTF-8")?;
    own.flags.insert(Key::DatabaseUrl, sqlite_url(path));
    own.flags.insert(Key::SecretKey, folder.secret()?);
    own.flags.insert(Key::Debug, "true".to_owned());
    // Who stops a demo wants to see it start again, not its clients spread over half a minute.
    own.flags.entry(Key::DrainS).or_insert_with(|| "2".to_owned());
    if environment("HOST").is_none() {
        own.flags.entry(Key::Host).or_insert_with(|| "127.0.0.1".to_owned());
    }
    Ok(own)
}

fn refuse_other_stores(settings: &SettingArgs) -> Result<(), ConfigErrors> {
    let keys = [Key::DatabaseUrl, Key::SecretKey, Key::RedisUrl];
    let is_set =
        |key: &Key| settings.flags.contains_key(key) || settings.flag_files.contains_key(key);
    let errors: Vec<_> = keys
        .into_iter()
        .filter(is_set)
        .map(|key| ConfigError {
            key: key.setting().name.to_owned(),
            value: String::new(),
            why: "must not be set: a demo has a store of its own; see --data-dir".to_owned(),
            origin: Origin::Flag,
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(ConfigErrors(errors)) }
}

fn sqlite_url(path: &str) -> String {
    const RESERVED: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#');
    format!("sqlite:///{}", utf8_percent_encode(path, RESERVED))
}

/// Where the demo keeps its store; removed at the end where nobody asked to keep it.
struct Folder {
    path: PathBuf,
    is_kept: bool,
}

impl Folder {
    fn open(kept: Option<&Path>) -> anyhow::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        let folder = if let Some(path) = kept {
            Self { path: path.to_owned(), is_kept: true }
        } else {
            let name = format!("fortifun-demo-{:016x}", u64::from_le_bytes(super::random()?));
            Self { path: std::env::temp_dir().join(name), is_kept: false }
        };
        builder
            .recursive(folder.is_kept)
            .create(&folder.path)
            .with_context(|| format!("--data-dir: cannot make {}", folder.path.display()))?;
        Ok(folder)
    }

    /// The key that signs this folder's tokens; made the first time, so that tokens outlive the process.
    fn secret(&self) -> anyhow::Result<String> {
        let path = self.path.join("secret_key");
        let told = || format!("--data-dir: cannot keep {}", path.display());
        match fs::read_to_string(&path) {
            Ok(secret) => return Ok(secret.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(told),
        }
        let secret = super::random::<32>()?.map(|byte| format!("{byte:02x}")).concat();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .with_context(told)?;
        file.write_all(secret.as_bytes()).with_context(told)?;
        Ok(secret)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed is left to the system, which empties its temporary folder.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Database};
    use std::os::unix::fs::PermissionsExt as _;

    fn load_for(folder: &Folder, settings: &SettingArgs) -> anyhow::Result<Config> {
        load_with(&with_own_store(settings, folder)?, &|_| None, None)
    }

    #[test]
    fn a_demo_has_a_store_and_a_key_of_its_own_that_last() {
        let place = tempfile::tempdir().unwrap();
        let kept = place.path().join("with #1 % and space");
        let first = Folder::open(Some(&kept)).unwrap();
        let config = load_for(&first, &SettingArgs::default()).unwrap();
        assert_eq!(config.store.database, Database::Sqlite(kept.join("demo.db")));
        assert!(config.debug && config.net.host.is_loopback());
        assert_eq!(config.auth.secret.expose().len(), 64);
        drop(first);
        let again = Folder::open(Some(&kept)).unwrap();
        let secret = load_for(&again, &SettingArgs::default()).unwrap().auth.secret;
        assert_eq!(secret, config.auth.secret);
        let mode = fs::metadata(kept.join("secret_key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_temporary_folder_is_private_and_removed() {
        let folder = Folder::open(None).unwrap();
        folder.secret().unwrap();
        let path = folder.path.clone();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_demo_refuses_another_store() {
        let flags = [(Key::DatabaseUrl, "sqlite:///live.db".to_owned())].into();
        let settings = SettingArgs { flags, ..SettingArgs::default() };
        let told = refuse_other_stores(&settings).unwrap_err().to_string();
        assert!(told.starts_with("DATABASE_URL: must not be set"), "{told}");
        assert_eq!(refuse_other_stores(&SettingArgs::default()), Ok(()));
    }

    #[test]
    fn the_page_can_be_opened_from_this_machine() {
        for (address, url) in [
            ("0.0.0.0:8000", "http://127.0.0.1:8000/"),
            ("[::]:1", "http://127.0.0.1:1/"),
            ("192.0.2.1:80", "http://192.0.2.1:80/"),
            ("[::1]:80", "http://[::1]:80/"),
        ] {
            assert_eq!(page_url(address.parse().unwrap()), url);
        }
    }
}
