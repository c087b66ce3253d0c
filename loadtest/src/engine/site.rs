//! The server under load, with the users and conversations that a run needs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use fortifun_fixtures::{Database, Durability, Postgres};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::pin::pin;
use super::together::Shared;
use crate::args::Site as Args;
use crate::clock;
use crate::dialect::{Dialect, Place};
use crate::http::Connection;
use crate::launch::{self, Launched, RAISED, await_port};
use crate::output;
use crate::pairs::Pair;
use crate::procfs;
use crate::rest;
use crate::run::{parallel, run_name};
use crate::swarm::Swarm;
use crate::target::Target;
use crate::tls::Trust;
use crate::token::{Signer, Tokens};

/// How long a server that is watched by others may take to listen again.
const RESTART_PATIENCE: Duration = Duration::from_secs(60);
/// How long a killed process may take to be gone.
const DEATH_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked for.
const DEATH_PAUSE: Duration = Duration::from_millis(5);
/// Connections that open conversations.
const CONCURRENCY: usize = 32;
/// What is said first in each conversation.
const FIRST: &str = "Salut !";
/// Settings of a started server besides [`RAISED`]: any number of sessions of a user, and the echo socket.
const OWN: [(&str, &str); 3] = [("CONNECTIONS_PER_USER", "10000"), ("ECHO", "1"), ("DRAIN_S", "0")];

/// What a run needs of its server.
#[derive(Clone, Copy, Default)]
pub(crate) struct Needs {
    /// Users.
    pub(crate) users: u32,
    /// The first of them, where the server runs already.
    pub(crate) first_user: i64,
    /// Length of the frames on the wire that a program of the dialect raw is told.
    pub(crate) frames: Option<Frames>,
}

/// Lengths of frames on the wire, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frames {
    /// What a client sends, its header and masking key included.
    pub(crate) inward: usize,
    /// What the server sends, its header included.
    pub(crate) outward: usize,
}

/// A server, and how it is reached.
pub(crate) struct Site {
    /// How it is spoken to.
    pub(crate) dialect: Dialect,
    /// Where it is.
    pub(crate) target: Target,
    first_user: i64,
    /// Those who have tokens, where these were made elsewhere.
    users: Option<Vec<i64>>,
    pid: Option<u32>,
    /// True exactly where another process of the run started it.
    is_joined: bool,
    own: Option<Own>,
}

/// A server that this run started; it goes before its database.
struct Own {
    server: Option<Launched>,
    program: PathBuf,
    settings: Vec<(String, String)>,
    cores: Option<String>,
    secret: String,
    database: Option<Database>,
    postgres: Option<Postgres>,
    folder: Option<TempDir>,
}

impl Site {
    /// Finds the server or starts it, and adds the users to one that was started. Then keeps the clients on their core.
    ///
    /// # Errors
    ///
    /// A program is missing or fails, or nothing says who the users are.
    pub(crate) fn set(args: &Args, needs: Needs) -> anyhow::Result<Self> {
        let site = match &args.url {
            Some(url) => Self::found(args, url, needs)?,
            None if args.dialect == Dialect::Fortifun => Self::started(args, needs)?,
            None => Self::peer(args, needs)?,
        };
        if let Some(core) = args.client_core {
            pin(core)?;
        }
        Ok(site)
    }

    /// Sockets that speak as the server does.
    pub(crate) fn swarm(&self) -> std::io::Result<Swarm> {
        let mut swarm = Swarm::new()?;
        swarm.set_key(self.dialect.fixed_key());
        swarm.set_tls(self.target.tls.clone());
        Ok(swarm)
    }

    /// The server's process, where it is on this machine.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The server, as a report names it.
    pub(crate) fn name(&self) -> String {
        let own = self.own.as_ref().map(|own| own.program.display().to_string());
        own.unwrap_or_else(|| self.target.host.clone())
    }

    /// Ends the server at once, as `kill -9` does.
    ///
    /// # Errors
    ///
    /// Its process is not known, or is another user's.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(own) = &mut self.own {
            own.server = None;
            return Ok(());
        }
        let pid = self.pid.context("a server that is to be killed must be known: --server-pid")?;
        kill(pid)
    }

    /// Starts it again, on the same port, and waits until it listens. A server that this run did not start, whoever watches it
    /// starts again.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        let Some(own) = &mut self.own else {
            self.pid = None;
            return await_port(self.target.address, RESTART_PATIENCE);
        };
        let port = self.target.address.port();
        let server = own.serve(port)?;
        self.pid = Some(server.pid());
        own.server = Some(server);
        Ok(())
    }

    /// The Postgres that this run started.
    pub(crate) fn postmaster(&self) -> Option<u32> {
        self.own.as_ref()?.postgres.as_ref()?.pid()
    }

    /// True exactly where the process that started this one has started the server.
    pub(crate) fn is_joined(&self) -> bool {
        self.is_joined
    }

    /// True exactly where this run started the server, and its users with it.
    pub(crate) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// The user of that number, from 0.
    pub(crate) fn user(&self, n: u32) -> i64 {
        match &self.users {
            _ if !self.dialect.has_people() => 0,
            Some(users) => users[n as usize],
            None => self.first_user + i64::from(n),
        }
    }

    /// So many conversations, each of two users of its own; those that are not there are opened.
    ///
    /// # Errors
    ///
    /// The server refuses.
    pub(crate) fn pairs(&self, count: u32) -> anyhow::Result<Vec<Pair>> {
        if !self.dialect.has_people() {
            let room = |n| Pair { conversation: i64::from(n) + 1, users: [0; 2] };
            return Ok((0..count).map(room).collect());
        }
        let bar = output::bar(u64::from(count), "opening conversations");
        let pairs = parallel(
            count as usize,
            CONCURRENCY,
            || Connection::new(&self.target),
            |connection, n| {
                let users = [self.user(2 * n as u32), self.user(2 * n as u32 + 1)];
                let opened = rest::open_conversation(connection, users[0], users[1], FIRST)?;
                bar.inc(1);
                Ok(Pair { conversation: opened.id, users })
            },
        );
        bar.finish_and_clear();
        pairs
    }

    /// Places of `sessions` in each of the conversations, half of each of its users.
    pub(crate) fn rooms(pairs: &[Pair], sessions: u32) -> Vec<Place> {
        let of_pair = |pair: &Pair| {
            let Pair { conversation: room, users } = *pair;
            (0..sessions as usize).map(move |n| Place::Room { room, user: users[n % 2] })
        };
        pairs.iter().flat_map(of_pair).collect()
    }

    /// How the processes that this one starts find the server.
    ///
    /// # Errors
    ///
    /// This run did not start it.
    pub(crate) fn shared(&self, pairs: &[Pair]) -> anyhow::Result<Shared> {
        let own = self.own.as_ref().context("several processes load a server that is started")?;
        Ok(Shared {
            address: self.target.address.to_string(),
            secret: own.secret.clone(),
            first_user: self.first_user,
            pairs: pairs.iter().map(|pair| (pair.conversation, pair.users)).collect(),
        })
    }

    /// The server of the process that started this one.
    ///
    /// # Errors
    ///
    /// It did not say where that is.
    pub(crate) fn joined(args: &Args, shared: &Shared) -> anyhow::Result<Self> {
        let address = shared.address.parse().context("no address of a server")?;
        if let Some(core) = args.client_core {
            pin(core)?;
        }
        Ok(Self {
            dialect: args.dialect,
            target: Target::local(address, &shared.secret),
            first_user: shared.first_user,
            users: None,
            pid: None,
            is_joined: true,
            own: None,
        })
    }

    /// One that runs already.
    fn found(args: &Args, url: &str, needs: Needs) -> anyhow::Result<Self> {
        let (signer, users) = match &args.tokens_file {
            Some(path) => {
                let tokens = Tokens::read(path)?;
                let users = tokens.users();
                let need = needs.users as usize;
                ensure!(
                    users.len() >= need,
                    "{need} users are needed and {} have tokens",
                    users.len()
                );
                (Signer::Known(tokens), Some(users))
            }
            None => (Signer::new(&secret(args)?, clock::unix().as_secs(), args.token_ttl_s), None),
        };
        let trust = Trust { ca_file: args.ca_file.as_deref(), is_anybody: args.insecure };
        Ok(Self {
            dialect: args.dialect,
            target: Target::at(url, signer, trust)?,
            first_user: needs.first_user,
            users,
            pid: args.server_pid,
            is_joined: false,
            own: None,
        })
    }

    /// A server of our own with a database of its own.
    fn started(args: &Args, needs: Needs) -> anyhow::Result<Self> {
        let program = launch::program(args.server.as_deref())?;
        let mut own = Own {
            server: None,
            program,
            settings: Vec::new(),
            cores: args.server_core.clone(),
            secret: launch::secret(),
            database: None,
            postgres: None,
            folder: None,
        };
        let url = own.database(args.database_url.as_deref(), needs.users)?;
        let named = [("DATABASE_URL", &*url), ("SECRET_KEY", &*own.secret.clone())];
        let all = RAISED.iter().chain(&OWN).chain(&named);
        own.settings = all.map(|(name, value)| ((*name).into(), (*value).into())).collect();
        own.settings.extend(args.settings.iter().cloned());
        let first_user = own.people(&url, needs.users)?;
        let server = own.serve(0)?;
        let target = Target::local(server.address, &own.secret);
        let pid = Some(server.pid());
        own.server = Some(server);
        Ok(Self {
            dialect: args.dialect,
            target,
            first_user,
            users: None,
            pid,
            is_joined: false,
            own: Some(own),
        })
    }

    /// A program that listens where it is told.
    fn peer(args: &Args, needs: Needs) -> anyhow::Result<Self> {
        let path = args.server.as_deref().context("name the peer's program by --server")?;
        ensure!(
            args.dialect != Dialect::Django,
            "the Django server and its database are started by hand, or by `compare`: --url"
        );
        let program = launch::program(Some(path))?;
        let mut settings = args.settings.clone();
        if let (Dialect::Raw, Some(frames)) = (args.dialect, needs.frames) {
            settings.extend(frames.settings());
        }
        let server = Launched::peer(&program, &settings, args.server_core.as_deref())?;
        let target = Target::local(server.address, "");
        let pid = Some(server.pid());
        let own = Own {
            server: Some(server),
            program,
            settings,
            cores: args.server_core.clone(),
            secret: String::new(),
            database: None,
            postgres: None,
            folder: None,
        };
        Ok(Self {
            dialect: args.dialect,
            target,
            first_user: 0,
            users: None,
            pid,
            is_joined: false,
            own: Some(own),
        })
    }
}

impl Own {
    /// The URL of the database that was asked for; a private one is made.
    fn database(&mut self, url: Option<&str>, users: u32) -> anyhow::Result<String> {
        Ok(match url {
            None => {
                let folder = tempfile::Builder::new().prefix("fortifun-load-").tempdir()?;
                let url = format!("sqlite:///{}", folder.path().join("load.db").display());
                self.folder = Some(folder);
                url
            }
            Some("memory:") => format!("memory:?users={users}"),
            Some("postgres") => {
                ensure!(
                    Postgres::is_installed(),
                    "Postgres is not installed: apt-get install postgresql"
                );
                let postgres = Postgres::start(Durability::Full);
                let database = postgres.database();
                let url = database.url();
                (self.database, self.postgres) = (Some(database), Some(postgres));
                url
            }
            Some(url) => url.to_owned(),
        })
    }

    /// Brings the tables up to date and adds the users; the first one's id.
    fn people(&self, url: &str, users: u32) -> anyhow::Result<i64> {
        if url.starts_with("memory:") {
            return Ok(1);
        }
        launch::output(&self.program, &["migrate"], &self.settings)?;
        if users == 0 {
            return Ok(1);
        }
        let prefix = format!("load-{}-", run_name());
        launch::add_users(&self.program, &self.settings, &prefix, users)
    }

    fn serve(&self, port: u16) -> anyhow::Result<Launched> {
        Launched::serve_on(&self.program, &self.settings, (port, self.cores.as_deref()))
    }
}

/// Kills process `pid`, and waits until it listens no more.
fn kill(pid: u32) -> anyhow::Result<()> {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no process id")?;
    kill_process(process, Signal::KILL).with_context(|| format!("cannot kill process {pid}"))?;
    let clock = clock::Clock::start();
    while procfs::is_alive(pid) {
        ensure!(clock.now() < DEATH_PATIENCE, "process {pid} does not die");
        std::thread::park_timeout(DEATH_PAUSE);
    }
    Ok(())
}

/// The key that tokens are signed with; nothing where nobody asks for tokens.
fn secret(args: &Args) -> anyhow::Result<Vec<u8>> {
    Ok(match (&args.secret_file, &args.secret) {
        (Some(path), _) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .trim_end_matches(['\r', '\n'])
            .into(),
        (None, Some(secret)) => secret.clone().into(),
        (None, None) if args.dialect.has_people() => {
            bail!("give --secret-file, --secret, SECRET_KEY or --tokens-file")
        }
        (None, None) => Vec::new(),
    })
}

impl Frames {
    /// Those of texts of so many bytes.
    pub(crate) fn of_texts(inward: usize, outward: usize) -> Self {
        let header = |len: usize| match len {
            0..=125 => 2,
            126..=65_535 => 4,
            _ => 10,
        };
        Self { inward: header(inward) + 4 + inward, outward: header(outward) + outward }
    }

    /// What a program that answers with fixed bytes is told.
    fn settings(self) -> [(String, String); 3] {
        let accept =
            tungstenite::handshake::derive_accept_key(crate::dialect::FIXED_KEY.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\
             Sec-WebSocket-Accept: {accept}\\r\\n\\r\\n"
        );
        [
            ("IN_BYTES".to_owned(), self.inward.to_string()),
            ("OUT_BYTES".to_owned(), self.outward.to_string()),
            ("ANSWER".to_owned(), answer),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_their_headers_and_masks() {
        assert_eq!(Frames::of_texts(100, 100), Frames { inward: 106, outward: 102 });
        assert_eq!(Frames::of_texts(300, 300), Frames { inward: 308, outward: 304 });
        let [(_, inward), (_, outward), (_, answer)] = Frames::of_texts(100, 100).settings();
        assert_eq!((&*inward, &*outward), ("106", "102"));
        assert!(answer.ends_with("\\r\\n\\r\\n") && !answer.contains('\r'));
    }

    #[test]
    fn a_killed_process_is_gone_though_nobody_has_asked_how_it_ended() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let killed = kill(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        killed.unwrap();
        assert!(kill(0).is_err());
    }

    #[test]
    fn the_sessions_of_a_conversation_are_shared_by_its_users() {
        let pairs = [Pair { conversation: 9, users: [3, 4] }];
        let rooms = Site::rooms(&pairs, 3);
        let user = |n: usize| match rooms[n] {
            Place::Room { room: 9, user } => user,
            _ => panic!("another place"),
        };
        assert_eq!((rooms.len(), user(0), user(1), user(2)), (3, 3, 4, 3));
    }
}
