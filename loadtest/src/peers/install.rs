//! Laying a peer's files into the cache, and making a server of them there, once.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use indicatif::ProgressBar;

use super::recipe::{Recipe, Tool};

/// The file that says of which files the server was made.
const STAMP: &str = ".made";
/// The file that is locked meanwhile.
const LOCK: &str = ".lock";
/// Lines of what a tool said that are told where it fails.
const LINES_MAX: usize = 20;

/// A peer that is there.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    /// Where it works.
    pub(crate) folder: PathBuf,
    /// Its program.
    pub(crate) program: PathBuf,
    /// What its program is told.
    pub(crate) args: Vec<String>,
}

/// Makes the peer below `cache`, or finds it there, made of the same files; `bar` tells what is being done.
///
/// # Errors
///
/// A tool is missing, which the error names, or fails; then the error ends in what it said.
pub(crate) fn install(
    recipe: &Recipe,
    cache: &Path,
    bar: &ProgressBar,
) -> anyhow::Result<Installed> {
    let folder = cache.join(recipe.name);
    // Two that make the same peer at once would take its packages from under each other: the second one waits for the first, and
    // finds it made. The system lets go of the lock of one that was killed.
    let lock = fs::create_dir_all(&folder).and_then(|()| File::create(folder.join(LOCK)));
    let lock = lock.with_context(|| format!("cannot write into {}", folder.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", folder.display()))?;
    lay(recipe, &folder).with_context(|| format!("cannot write into {}", folder.display()))?;
    let folder = folder.canonicalize().context("the cache is gone")?;
    let (stamp, made_of) = (folder.join(STAMP), fingerprint(recipe));
    if fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == made_of) {
        return Ok(installed(recipe, folder));
    }
    for step in steps(recipe.tool) {
        bar.set_message(format!("{}: {}", recipe.name, step.words.join(" ")));
        bar.tick();
        run(&step, &folder).with_context(|| format!("cannot make the peer {}", recipe.name))?;
    }
    // Last, so that what was not made to its end is made anew.
    fs::write(&stamp, made_of).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(installed(recipe, folder))
}

/// One call of a tool.
struct Step {
    words: &'static [&'static str],
    /// What to do where the tool is not there.
    mend: &'static str,
}

fn steps(tool: Tool) -> Vec<Step> {
    match tool {
        Tool::Npm { .. } => vec![Step {
            words: &["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"],
            mend: "it comes with Node 20 or newer: apt-get install nodejs npm",
        }],
        Tool::Cargo { .. } => vec![Step {
            words: &["cargo", "build", "--release", "--locked", "--target-dir", "target"],
            mend: "it comes with Rust",
        }],
        Tool::Python => vec![
            Step {
                words: &["python3", "-m", "venv", "venv"],
                mend: "apt-get install python3-venv",
            },
            Step {
                words: &[
                    "venv/bin/pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--requirement",
                    "requirements.txt",
                ],
                mend: "apt-get install python3-venv",
            },
        ],
    }
}

fn run(step: &Step, folder: &Path) -> anyhow::Result<()> {
    let (program, args) = step.words.split_first().expect("a step has words");
    let output = Command::new(program_in(folder, program))
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("`{program}` is not there: {}", step.mend)
        }
        output => output.with_context(|| format!("cannot start {program}"))?,
    };
    if output.status.success() {
        return Ok(());
    }
    let mut told = String::from_utf8_lossy(&output.stdout).into_owned();
    told.push_str(&String::from_utf8_lossy(&output.stderr));
    bail!("`{}` failed ({}):\n{}", step.words.join(" "), output.status, tail(&told));
}

/// Writes each file that is not there as it should be, so that nothing is made anew for nothing.
fn lay(recipe: &Recipe, folder: &Path) -> std::io::Result<()> {
    for (path, content) in recipe.files {
        let path = folder.join(path);
        if fs::read_to_string(&path).is_ok_and(|there| there == *content) {
            continue;
        }
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, content)?;
    }
    Ok(())
}

fn installed(recipe: &Recipe, folder: PathBuf) -> Installed {
    let (program, args): (PathBuf, &[&str]) = match recipe.tool {
        Tool::Npm { runtime } => (program_in(&folder, runtime), &["server.js"]),
        Tool::Cargo { program } => (folder.join("target/release").join(program), &[]),
        Tool::Python => (folder.join("venv/bin/uvicorn"), &UVICORN),
    };
    Installed { folder, program, args: args.iter().map(|&arg| arg.to_owned()).collect() }
}

/// One worker, as every peer is one process; no compression, pings as often as ours, no line of log for each request.
const UVICORN: [&str; 13] = [
    "fortifun.asgi:application",
    "--loop=uvloop",
    "--http=httptools",
    "--ws=websockets-sansio",
    "--ws-per-message-deflate=false",
    "--ws-max-size=65536",
    "--ws-ping-interval=25",
    "--ws-ping-timeout=50",
    "--lifespan=off",
    "--backlog=4096",
    "--workers=1",
    "--no-access-log",
    "--log-level=warning",
];

/// A name with a folder in it lies below `folder`, another one in `PATH`.
fn program_in(folder: &Path, name: &str) -> PathBuf {
    if name.contains('/') { folder.join(name) } else { PathBuf::from(name) }
}

fn fingerprint(recipe: &Recipe) -> String {
    let mut hasher = DefaultHasher::new();
    recipe.files.hash(&mut hasher);
    for step in steps(recipe.tool) {
        step.words.hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

/// The last lines.
fn tail(told: &str) -> String {
    let lines: Vec<_> = told.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES_MAX)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: Recipe = Recipe {
        name: "tried",
        package: None,
        tool: Tool::Cargo { program: "tried" },
        files: &[("src/a.rs", "one"), ("b", "two")],
    };

    #[test]
    fn files_are_laid_once_and_mended() {
        let cache = tempfile::tempdir().expect("a temporary folder can be made");
        let path = cache.path().join("src/a.rs");
        lay(&RECIPE, cache.path()).expect("the folder is ours");
        let first = fs::metadata(&path).expect("it was laid").modified().expect("files have times");
        lay(&RECIPE, cache.path()).expect("the folder is ours");
        let second =
            fs::metadata(&path).expect("it is there").modified().expect("files have times");
        assert_eq!(first, second);
        fs::write(&path, "other").expect("the folder is ours");
        lay(&RECIPE, cache.path()).expect("the folder is ours");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "one");
    }

    #[test]
    fn a_tool_that_is_missing_is_named_and_one_that_fails_is_heard() {
        let folder = Path::new("/");
        let missing = Step { words: &["no-such-tool"], mend: "buy one" };
        let error = run(&missing, folder).expect_err("there is no such tool").to_string();
        assert_eq!(error, "`no-such-tool` is not there: buy one");
        let failing = Step { words: &["sh", "-c", "echo why >&2; exit 3"], mend: "" };
        let error = run(&failing, folder).expect_err("it fails").to_string();
        assert!(error.ends_with("why") && error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn what_is_made_of_other_files_is_made_anew() {
        let other = Recipe { files: &[("src/a.rs", "one"), ("b", "2")], ..RECIPE };
        assert_ne!(fingerprint(&RECIPE), fingerprint(&other));
        assert_eq!(fingerprint(&RECIPE), fingerprint(&RECIPE));
    }
}
