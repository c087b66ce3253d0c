//! The database of a run with its users and conversations, and the servers on it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use fortifun_fixtures::{Database, Durability, Postgres};
use postgres::{Client, NoTls};
use tempfile::TempDir;

use crate::args::Commits;
use crate::http::Connection;
use crate::launch::{self, Launched, RAISED};
use crate::output;
use crate::pairs::Pair;
use crate::procfs;
use crate::rest;
use crate::run::{parallel, run_name};
use crate::target::Target;

/// Connections that open conversations.
const CONCURRENCY: usize = 8;
/// Room as a server of production has it: what is read and written stays in memory, and a run is not interrupted by checkpoints.
const ROOM: [&str; 3] = ["shared_buffers=256MB", "max_wal_size=4GB", "checkpoint_timeout=15min"];
/// What is said first in each conversation.
const FIRST: &str = "Salut !";
/// All that a run needs; what was started for it ends with it.
pub(super) struct Stage {
    /// Its database, as the settings name it.
    pub(super) url: String,
    /// The conversations and who talks in them.
    pub(super) pairs: Vec<Pair>,
    /// Threads of its servers that commit.
    pub(super) write_workers: u16,
    /// The process whose children commit, where it is on this machine.
    pub(super) postmaster: Option<u32>,
    program: PathBuf,
    secret: String,
    settings: Vec<(String, String)>,
    _kept: Kept,
}

/// What exists for this run only; it goes in this order.
#[derive(Default)]
struct Kept {
    _database: Option<Database>,
    server: Option<Postgres>,
    _folder: Option<TempDir>,
}

impl Stage {
    /// Makes the database, brings its tables up to date, and adds `conversations` with two new users each.
    ///
    /// # Errors
    ///
    /// A program is missing or fails.
    pub(super) fn set(args: &Commits, conversations: u32) -> anyhow::Result<Self> {
        let program = launch::program(args.server.as_deref())?;
        let (kept, url) = database(args)?;
        let postmaster = match &kept.server {
            Some(server) => server.pid(),
            None => postmaster(&url)?,
        };
        let secret = launch::secret();
        let write_workers = args.write_workers.unwrap_or(default_write_workers(&url));
        let workers = write_workers.to_string();
        let own = [
            ("DATABASE_URL", url.as_str()),
            ("SECRET_KEY", &secret),
            ("WRITE_WORKERS", &workers),
            ("DRAIN_S", "0"),
        ];
        let settings = own.iter().chain(&RAISED);
        let mut settings: Vec<_> =
            settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        settings.extend(args.settings.iter().cloned());
        let pairs = Vec::new();
        let mut stage =
            Self { url, pairs, write_workers, postmaster, program, secret, settings, _kept: kept };
        launch::output(&stage.program, &["migrate"], &stage.settings)?;
        stage.pairs = stage.people(conversations)?;
        Ok(stage)
    }

    /// Starts a server with these settings besides the run's own.
    pub(super) fn serve(&self, settings: &[(&str, &str)]) -> anyhow::Result<(Launched, Target)> {
        let mut all = self.settings.clone();
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let server = Launched::serve(&self.program, &all)?;
        let target = Target::local(server.address, &self.secret);
        Ok((server, target))
    }

    /// Where the program lies.
    pub(super) fn folder(&self) -> &Path {
        self.program.parent().unwrap_or(Path::new("."))
    }

    /// A plain client of the database.
    pub(super) fn connect(&self) -> anyhow::Result<Client> {
        connect(&self.url)
    }

    fn people(&self, conversations: u32) -> anyhow::Result<Vec<Pair>> {
        let name = format!("load-{}-", run_name());
        let first = launch::add_users(&self.program, &self.settings, &name, 2 * conversations)?;
        let (_server, target) = self.serve(&[])?;
        let bar = output::bar(u64::from(conversations), "opening conversations");
        let pairs = parallel(
            conversations as usize,
            CONCURRENCY,
            || Connection::new(&target),
            |connection, n| {
                let users = [first + 2 * n as i64, first + 2 * n as i64 + 1];
                let opened = rest::open_conversation(connection, users[0], users[1], FIRST)?;
                bar.inc(1);
                Ok(Pair { conversation: opened.id, users })
            },
        );
        bar.finish_and_clear();
        pairs
    }
}

/// The database that was named, or one made for this run, and its URL.
fn database(args: &Commits) -> anyhow::Result<(Kept, String)> {
    if let Some(url) = &args.database_url {
        return Ok((Kept::default(), url.clone()));
    }
    let folder = tempfile::Builder::new().prefix("fortifun-commits-").tempdir()?;
    if args.sqlite {
        let url = format!("sqlite:///{}", folder.path().join("load.db").display());
        return Ok((Kept { _folder: Some(folder), ..Kept::default() }, url));
    }
    ensure!(
        Postgres::is_installed(),
        "Postgres is not installed: apt-get install postgresql, or --database-url, or --sqlite"
    );
    // The server's user makes its socket here, and clients of any user open it.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777))?;
    let sockets = folder.path().display().to_string();
    let folder_of_sockets = format!("unix_socket_directories={sockets}");
    let settings: Vec<&str> = ROOM.into_iter().chain([&*folder_of_sockets]).collect();
    let server = Postgres::start_with(Durability::Full, &settings);
    let database = server.database();
    let url = if args.unix_socket {
        let host = sockets.replace('/', "%2F");
        format!("postgres://postgres@{host}:{}/{}", server.port(), database.name())
    } else {
        database.url()
    };
    let kept = Kept { _database: Some(database), server: Some(server), _folder: Some(folder) };
    Ok((kept, url))
}

/// `WRITE_WORKERS` where nobody sets it.
fn default_write_workers(url: &str) -> u16 {
    if url.starts_with("sqlite:") { 1 } else { 2 }
}

/// The parent of the process that serves a connection to `url`, where it is on this machine and a Postgres.
fn postmaster(url: &str) -> anyhow::Result<Option<u32>> {
    if url.starts_with("sqlite:") {
        return Ok(None);
    }
    let pid: i32 = connect(url)?.query_one("SELECT pg_backend_pid()", &[])?.get(0);
    Ok(procfs::parent_of(pid.cast_unsigned(), "postgres"))
}

fn connect(url: &str) -> anyhow::Result<Client> {
    Client::connect(url, NoTls).context("a plain client cannot connect to the database")
}
