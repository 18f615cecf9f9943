//! The binary `colloquy-loadtest`: starts its own server, plays visitors, dashboards and a model server against it, and prints what it measured.

mod api;
mod cluster;
mod error;
mod floor;
mod floor_calls;
mod http_client;
mod open_loop;
mod options;
mod report;
mod retell;
mod scenarios;
mod server;
mod site;
mod socket;
mod spread;
mod stand_in;
mod turn;
mod usage;
mod wording;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Error, Result};
use crate::options::{Options, ScenarioArguments};
use crate::report::{Measured, Report};

/// Measures a release build of Colloquy on this machine; nothing outside loopback is touched.
#[derive(Parser)]
#[command(name = "colloquy-loadtest", version)]
#[command(
    after_help = "Build both binaries in release mode first (`make bench` does). `--scale 0.01 --seconds 5` is a quick try."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every scenario, one after the other
    All(ScenarioArguments),
    /// Turns arriving at a fixed rate in many open conversations, beside a stateless proxy to the same model server
    ChatTurns(ScenarioArguments),
    /// Idle widget sockets, each with a live conversation
    ChatIdle(ScenarioArguments),
    /// Many dashboards of one organization while facts come in
    LiveFanout(ScenarioArguments),
    /// Concurrent telephone calls in Retell's protocol, with interruptions and lost connections
    Calls(ScenarioArguments),
    /// A campaign against a simulated carrier that loses, doubles and delays what it tells
    Campaign(ScenarioArguments),
    /// Crawling, indexing and searching
    Knowledge(ScenarioArguments),
    /// Starting on a large journal
    Start(ScenarioArguments),
    /// The widget's size and its first open on a slow processor
    Widget(ScenarioArguments),
    /// Live chats on three nodes while shards move, nodes drain and roll; needs a CQL server (scripts/bench.sh starts one)
    Move(ScenarioArguments),
    /// kill -9 of one node of three under load; needs a CQL server
    Crash(ScenarioArguments),
    /// What a turn costs with the journal in the CQL store, on one node and on three, beside SQLite; needs a CQL server
    Journal(ScenarioArguments),
    /// An ask between two nodes, measured by the benchmark of the cluster crate; scripts/bench.sh brings its rows
    Remote(ScenarioArguments),
    /// The floor: a stateless proxy to a model server (started by the scenarios themselves)
    #[command(hide = true)]
    FloorProxy {
        /// The model server's address
        #[arg(long)]
        upstream: std::net::SocketAddr,
    },
    /// The floor: telephone calls answered straight from a model server (started by the scenarios themselves)
    #[command(hide = true)]
    FloorCalls {
        /// The model server's address
        #[arg(long)]
        upstream: std::net::SocketAddr,
    },
    /// The floor: sockets that say nothing (started by the scenarios themselves)
    #[command(hide = true)]
    FloorSockets,
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime could be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Leaving this block drops what was under way, and with it every process started here.
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = run(Cli::parse().command) => outcome,
            () = told_to_stop() => Err(Error::Stopped),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.with_causes());
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    let (scenarios, arguments) = match command {
        Command::All(arguments) => (scenarios::ALL.to_vec(), arguments),
        Command::ChatTurns(arguments) => (vec![scenarios::Scenario::ChatTurns], arguments),
        Command::ChatIdle(arguments) => (vec![scenarios::Scenario::ChatIdle], arguments),
        Command::LiveFanout(arguments) => (vec![scenarios::Scenario::LiveFanout], arguments),
        Command::Calls(arguments) => (vec![scenarios::Scenario::Calls], arguments),
        Command::Campaign(arguments) => (vec![scenarios::Scenario::Campaign], arguments),
        Command::Knowledge(arguments) => (vec![scenarios::Scenario::Knowledge], arguments),
        Command::Start(arguments) => (vec![scenarios::Scenario::Start], arguments),
        Command::Widget(arguments) => (vec![scenarios::Scenario::Widget], arguments),
        Command::Move(arguments) => (vec![scenarios::Scenario::Move], arguments),
        Command::Crash(arguments) => (vec![scenarios::Scenario::Crash], arguments),
        Command::Journal(arguments) => (vec![scenarios::Scenario::Journal], arguments),
        Command::Remote(arguments) if arguments.rows.is_none() => {
            return Err(Error::Setup(
                "this scenario is measured inside the cluster crate: run scripts/bench.sh remote".into(),
            ));
        }
        Command::Remote(arguments) => (Vec::new(), arguments),
        Command::FloorProxy { upstream } => return floor::serve(upstream).await,
        Command::FloorCalls { upstream } => return floor_calls::serve(upstream).await,
        Command::FloorSockets => return floor::serve_sockets().await,
    };
    let write: Option<PathBuf> = arguments.write.clone();
    let options = Options::from_arguments(&arguments)?;
    // Read before anything is measured: a run of an hour must not end at a file that is not there.
    let measured = arguments.rows.as_deref().map(Measured::read).transpose()?.unwrap_or_default();
    let mut report = Report::new(options.scale, options.seconds, report::Machine::look(&options));
    measured.into_iter().for_each(|row| row.add_to(&mut report));
    let mut failed = Vec::new();
    for scenario in scenarios {
        eprintln!("==> {scenario}");
        match scenario.run(&options, &mut report).await {
            Ok(()) => {}
            Err(error) => {
                let why = error.with_causes();
                eprintln!("error: {scenario}: {why}");
                report.failed(scenario.name(), &why);
                failed.push(scenario.name());
            }
        }
    }
    let text = report.markdown();
    println!("{text}");
    if let Some(file) = write {
        std::fs::write(&file, &text)
            .map_err(|source| Error::io(format!("could not write {}", file.display()), source))?;
    }
    if failed.is_empty() { Ok(()) } else { Err(Error::ScenariosFailed(failed.join(", "))) }
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
