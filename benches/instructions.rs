//! Instructions that the server's steps take, counted by callgrind, and held to the table of `benches/instructions.toml`.
//!
//! `cargo counts` counts them, and fails where one takes more than the table allows. Where that
//! is meant, `UPDATE_COUNTS=1` before the same command writes the table anew. Counts are of one compiler and one kind of
//! processor: anywhere else they are told, and fail nothing.
//!
//! Without `--count`, as `cargo test --benches` and `cargo bench` call it, every case runs once and nothing is counted: what they
//! build is not what the table is of.

#[path = "instructions/callgrind.rs"]
mod callgrind;
#[path = "instructions/cases.rs"]
mod cases;
#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "each bench has some of it")]
mod crowd;
#[path = "instructions/table.rs"]
mod table;

use std::collections::BTreeMap;
use std::process::ExitCode;

use cases::{CASES, Case};
use table::{Table, Verdict};

/// As the server has it: what a step allocates is part of what it costs.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [callgrind::RUN, name] => {
            let case =
                CASES.iter().find(|case| case.name == name).expect("only cases are asked for");
            collected(case.rounds, &mut *warm(case));
            ExitCode::SUCCESS
        }
        ref others if others.contains(&"--count") => count(),
        _ => {
            for case in CASES {
                drop(warm(case));
            }
            say(&format!("test result: ok. {} passed; 0 failed; 0 ignored", CASES.len()));
            ExitCode::SUCCESS
        }
    }
}

/// The only function in which callgrind counts, with all that it calls.
#[inline(never)]
fn collected(rounds: u64, round: &mut dyn FnMut()) {
    for _ in 0..rounds {
        round();
    }
}

/// A round of `case`, run once: what is made at first use has been made.
fn warm(case: &Case) -> Box<dyn FnMut()> {
    let mut round = (case.prepare)();
    round();
    round
}

/// Counts every case, and compares the counts with the table, or writes it.
#[expect(clippy::disallowed_methods, reason = "a bench has no config")]
fn count() -> ExitCode {
    let counts: BTreeMap<&str, u64> =
        CASES.iter().map(|case| (case.name, callgrind::count(case))).collect();
    if std::env::var_os("UPDATE_COUNTS").is_some() {
        for (name, count) in &counts {
            say(&format!("{name:<24} {count:>8}"));
        }
        table::write(&counts);
        return ExitCode::SUCCESS;
    }
    let table = Table::read();
    let is_comparable = table.is_made_here();
    let mut failed = 0;
    for (name, &found) in &counts {
        let verdict = table.judge(name, found);
        failed += usize::from(verdict.is_failure());
        say(&format!("{name:<24} {found:>8}  {verdict}"));
    }
    let gone: Vec<_> = table.names().filter(|name| !counts.contains_key(name)).collect();
    for name in &gone {
        say(&format!("{name:<24} {:>8}  {}", "-", Verdict::Gone));
    }
    failed += gone.len();
    if !is_comparable {
        let (there, here) = (table.made_with(), table::here());
        say(&format!("nothing is held to the table: it is of {there}, and this is {here}"));
        say(&format!("test result: ok. 0 passed; 0 failed; {} ignored", counts.len()));
        return ExitCode::SUCCESS;
    }
    let passed = counts.len() + gone.len() - failed;
    let word = if failed == 0 { "ok" } else { "FAILED" };
    if failed > 0 {
        say("where this is meant: UPDATE_COUNTS=1 cargo counts");
    }
    say(&format!("test result: {word}. {passed} passed; {failed} failed; 0 ignored"));
    ExitCode::from(u8::from(failed > 0))
}

#[expect(clippy::print_stdout, reason = "a program that reports")]
fn say(line: &str) {
    println!("{line}");
}
