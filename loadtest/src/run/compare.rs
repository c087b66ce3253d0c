//! `compare`: the same scenario against several servers in turns.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{Compare as Args, Compared};
use crate::compare::{base, check, comparison, failed, figures, people, turns};
use crate::launch;
use crate::output::{self, Report};
use crate::peers::{Installed, Peer, Running, install, start};
use crate::report::{Figures, Subject};

/// How often it is looked whether a server was killed.
const TEND: Duration = Duration::from_millis(20);
/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let contenders = contenders(args)?;
    let names: Vec<_> = contenders.iter().map(|contender| contender.name.clone()).collect();
    let base = base(&names, args.base.as_deref())?;
    let program = std::env::current_exe().context("where is this program?")?;
    let mut subjects: Vec<_> = contenders.iter().map(Contender::subject).collect();
    let rounds = usize::from(args.rounds);
    let bar = output::bar((rounds * contenders.len()) as u64, args.scenario.name());
    bar.enable_steady_tick(TICK);
    for turn in turns(rounds, contenders.len()) {
        let contender = &contenders[turn];
        bar.set_message(format!("{} {}", args.scenario.name(), contender.name));
        let run = contender.measure(&program, args);
        if !run.ok {
            output::say(&bar, format_args!("{} FAILED: {}", contender.name, run.faults.join("; ")));
        }
        subjects[turn].runs.push(run);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut report = Report::new("compare");
    report.parameter("rounds", args.rounds);
    if let Some(core) = &args.server_core {
        report.parameter("server core", core.clone());
    }
    if let Some(core) = args.client_core {
        report.parameter("client core", core);
    }
    report.parameter("scenario flags", args.flags.join(" "));
    report.compare(comparison(args.scenario, base, subjects));
    Ok(report)
}

/// One that takes part.
struct Contender {
    name: String,
    version: String,
    peer: Peer,
    installed: Installed,
}

/// All who take part; those that have to be made are.
fn contenders(args: &Args) -> anyhow::Result<Vec<Contender>> {
    if !args.builds.is_empty() {
        let build = |(n, path): (usize, &PathBuf)| {
            let program = launch::program(Some(path))?;
            let version = format!("{} ({})", version(&program)?, path.display());
            Ok(Contender::own(format!("build {}", n + 1), version, program))
        };
        return args.builds.iter().enumerate().map(build).collect();
    }
    check(args.scenario, &args.peers)?;
    let bar = spinner();
    let made = args.peers.iter().map(|peer| contender(*peer, args, &bar)).collect();
    bar.finish_and_clear();
    made
}

fn contender(peer: Peer, args: &Args, bar: &ProgressBar) -> anyhow::Result<Contender> {
    let name = peer.name().to_owned();
    let Some(recipe) = peer.recipe() else {
        let program = launch::program(args.server.as_deref())?;
        return Ok(Contender::own(name, version(&program)?, program));
    };
    let installed = install(recipe, &args.cache, bar)?;
    Ok(Contender { name, version: recipe.version(), peer, installed })
}

impl Contender {
    fn own(name: String, version: String, program: PathBuf) -> Self {
        let installed = Installed { folder: PathBuf::from("."), program, args: Vec::new() };
        Self { name, version, peer: Peer::Fortifun, installed }
    }

    fn subject(&self) -> Subject {
        Subject { name: self.name.clone(), version: self.version.clone(), runs: Vec::new() }
    }

    /// One run of the scenario against a server that was started for it. What goes wrong fails this run, and no other.
    fn measure(&self, program: &Path, args: &Args) -> Figures {
        self.try_measure(program, args)
            .unwrap_or_else(|error| failed(args.scenario, vec![format!("{error:#}")], 1))
    }

    fn try_measure(&self, program: &Path, args: &Args) -> anyhow::Result<Figures> {
        let mut child = launch::command(program, None);
        child.args([args.scenario.name(), "--json", "--dialect", self.peer.dialect()]);
        // What the environment says is for this program.
        child.env_remove("FORTIFUN_BIN").env_remove("SECRET_KEY");
        if let Some(core) = args.client_core {
            child.args(["--client-core", &core.to_string()]);
        }
        let mut server = if self.peer.is_started_by_scenarios() {
            self.tell_program(&mut child, args);
            None
        } else {
            let cores = args.server_core.as_deref();
            let server = start(self.peer, &self.installed, args.users, cores)?;
            child.args(["--url", &format!("ws://{}", server.address)]);
            child.args(["--server-pid", &server.pid().to_string()]);
            if let Some(secret) = server.secret() {
                child.env("SECRET_KEY", secret);
                child.args(people(args.scenario, &args.flags));
            }
            Some(server)
        };
        child.args(&args.flags).stdin(Stdio::null());
        let tended = server.as_mut().filter(|_| args.scenario == Compared::Storm);
        let output = output(child, tended).context("cannot run this program again")?;
        let mut figures = figures(args.scenario, &output);
        if let Some(ended) = server.and_then(|mut server| server.ended()) {
            figures = failed(args.scenario, [vec![ended], figures.faults].concat(), 1);
        }
        Ok(figures)
    }

    /// Which server the scenario starts.
    fn tell_program(&self, child: &mut Command, args: &Args) {
        child.arg("--server").arg(&self.installed.program);
        if let Some(cores) = &args.server_core {
            child.args(["--server-core", cores]);
        }
        if self.peer != Peer::Fortifun {
            return;
        }
        let stored = args.scenario.needs_a_store().then_some("postgres");
        if let Some(url) = args.database_url.as_deref().or(stored) {
            child.args(["--database-url", url]);
        }
        // One thread with sockets, as every peer has one; a setting that is named later counts more.
        child.args(["--set", "SHARDS=1"]);
        for (name, value) in &args.settings {
            child.args(["--set", &format!("{name}={value}")]);
        }
    }
}

/// Runs `child` to its end; the server that it kills meanwhile is started again.
fn output(mut child: Command, tended: Option<&mut Running>) -> anyhow::Result<Output> {
    let Some(server) = tended else { return Ok(child.output()?) };
    thread::scope(|scope| {
        let run = scope.spawn(move || child.output());
        while !run.is_finished() {
            server.tend()?;
            thread::park_timeout(TEND);
        }
        Ok(run.join().expect("it returns its errors")?)
    })
}

fn version(program: &Path) -> anyhow::Result<String> {
    let told = launch::output(program, &["--version"], &[])?;
    let version = told.split_whitespace().next_back().unwrap_or_default().to_owned();
    ensure!(!version.is_empty(), "{} tells no version", program.display());
    Ok(version)
}

fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
        .expect("the template is constant");
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(TICK);
    bar
}
