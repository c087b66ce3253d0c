//! Real clients for a running `fortifun`: they load it, measure it, and check what it says while they do.
//!
//! Knows only what travels on the wire, never the server's code. Exit status: 0, all is well; 1, the server was wrong (the
//! report names each fault) or a condition of `--fail-if` held; 2, the run could not take place.

use std::process::ExitCode;

mod args;
mod clock;
mod compare;
mod dialect;
mod engine;
mod failif;
mod faults;
mod html;
mod http;
mod launch;
mod ledger;
mod order;
mod output;
mod pace;
mod pairs;
mod peers;
mod plot;
mod procfs;
mod report;
mod rest;
mod rng;
mod run;
mod said;
mod scenario;
mod scrape;
mod stored;
mod swarm;
mod target;
mod tls;
mod token;
mod usage;
mod wire;
mod ws;

fn main() -> ExitCode {
    let args = match scenario::parse(std::env::args_os().collect()) {
        Ok(args) => args,
        Err(error) => {
            output::complain(&error);
            return ExitCode::from(2);
        }
    };
    let clock = clock::Clock::start();
    let report = match args.command {
        args::Command::Handshakes(args) => run::handshakes::run(&args, &clock),
        args::Command::Echo(args) => run::echo::run(&args, &clock),
        args::Command::Fanout(args) => run::fanout::run(&args, &clock),
        args::Command::Slow(args) => run::slow::run(&args, &clock),
        args::Command::Storm(args) => run::storm::run(&args, &clock),
        args::Command::Soak(args) => run::soak::run(&args, &clock),
        args::Command::Compare(args) => run::compare::run(&args),
        args::Command::Chat(args) => run::chat::run(&args, &clock),
        args::Command::Idle(args) => run::idle::run(&args, &clock),
        args::Command::Match(args) => run::likes::run(&args, &clock),
        args::Command::Crash(args) => run::crash::run(&args, &clock),
        args::Command::Verify(args) => run::verify::run(&args),
        args::Command::Seed(args) => run::seed::run(&args, &clock),
        args::Command::Commits(args) => run::commits::run(&args, &clock),
        args::Command::Nodes(args) => run::nodes::run(&args, &clock),
        args::Command::Latency(args) => run::latency::run(&args, &clock),
        args::Command::Publishes(args) => run::publishes::run(&args, &clock),
        args::Command::Churn(args) => run::churn::run(&args, &clock),
    };
    match report.and_then(|report| output::deliver(report, args.told, &args.output)) {
        Ok(is_ok) => ExitCode::from(u8::from(!is_ok)),
        Err(error) => {
            output::complain(&error);
            ExitCode::from(2)
        }
    }
}
