//! The binary `colloquy`: command line and life cycle.

mod backup;
mod carrier;
mod catalog;
mod cluster;
mod operate;
mod ops;
mod program;
mod quickstart;
mod secrets;
mod serve;
mod settings;
mod telemetry;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::settings::Settings;

/// Many small allocations on several threads are what a turn is made of; the system's allocator spends a fifth of its time on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Answers a business's website chat: paste an address, pick a trade, and a receptionist that knows the site talks to visitors.
#[derive(Parser)]
#[command(name = "colloquy", version, propagate_version = true)]
#[command(
    after_help = "First steps:\n  colloquy serve                                                   start on http://127.0.0.1:8080, data under ./data\n  colloquy quickstart --url https://your.site --vertical salon_spa   in a second terminal: a receptionist for your site\n\nEvery setting is explained in config/colloquy.toml."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start this node and serve until it is told to stop (SIGTERM or Ctrl-C drains it first)
    Serve {
        /// Settings on top of the defaults (TOML)
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print the effective settings, secrets masked
    Config {
        /// Settings on top of the defaults (TOML)
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Copy the data of a running or stopped server into a new folder, as it is at one moment
    Backup(backup::Arguments),
    /// Create an organization and an agent on a running server, learn a website and print the chat page's address
    Quickstart(quickstart::Arguments),
    /// Operate a running cluster: nodes, shards, moves, drains (see docs/guides/cluster.md)
    Ops(operate::Arguments),
    /// Start a simulated carrier that speaks Twilio's and Retell's sides and reaches nobody: for trying calls and campaigns without an account
    Carrier(carrier::Arguments),
    /// Turn a PDF on standard input into text, under memory and time limits (used by the server itself)
    #[command(name = "extract-pdf", hide = true)]
    ExtractPdf,
}

fn main() -> ExitCode {
    one_thread_a_pass();
    // Libraries bring two providers of cryptography; this one is used wherever none is named. It cannot be set already: this is the first call.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match Cli::parse().command {
        Command::Serve { config } => Settings::load(config.as_deref()).map_err(|e| e.to_string()).and_then(serve::run),
        Command::Config { config } => {
            Settings::load(config.as_deref()).map_err(|e| e.to_string()).map(|s| print!("{}", s.masked()))
        }
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Quickstart(arguments) => quickstart::run(&arguments),
        Command::Ops(arguments) => operate::run(&arguments),
        Command::Carrier(arguments) => carrier::run(arguments),
        Command::ExtractPdf => return colloquy_knowledge::extract::pdf::child_main(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            for line in message.lines() {
                eprintln!("error: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Keeps the embedder's matrix library to one thread a pass; passes are spread over threads instead.
#[expect(
    unsafe_code,
    reason = "the environment may be changed while this is the only thread, and the library can be told in no other way"
)]
fn one_thread_a_pass() {
    for name in colloquy_knowledge::embed::THREAD_VARIABLES {
        if std::env::var_os(name).is_none() {
            // SAFETY: called first in `main`, so no other thread reads the environment.
            unsafe { std::env::set_var(name, "1") };
        }
    }
}
