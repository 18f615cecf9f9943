//! What the crate itself can be measured by: the scan, the graph, memory, the local embedder, and pgvector beside them where it is installed.
//!
//! `cargo bench -p colloquy-knowledge -- --rows FILE [--scale F]` writes one JSON object a line, which `colloquy-loadtest --rows FILE`
//! puts into its table. Without `--bench`, which cargo adds, nothing is measured: running all targets as tests stays quick.

mod embedding;
mod memory;
mod pgvector;
mod rows;
mod vectors;

use std::path::PathBuf;
use std::process::ExitCode;

use rows::Rows;

/// What a run was asked to do.
struct Wanted {
    rows: Option<PathBuf>,
    /// Sizes as a fraction of the goals'.
    scale: f64,
    measure: bool,
}

fn main() -> ExitCode {
    one_thread_a_pass();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [memory::ARGUMENT, kind, held] = arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        return ended(memory::hold(kind, held));
    }
    let wanted = match wanted(arguments.into_iter()) {
        Ok(wanted) => wanted,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::FAILURE;
        }
    };
    if !wanted.measure {
        return ExitCode::SUCCESS;
    }
    ended(measure(&wanted))
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

fn ended(outcome: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(wanted: &Wanted) -> Result<(), Box<dyn std::error::Error>> {
    let mut rows = Rows::default();
    let ours = vectors::measure(&mut rows, wanted.scale)?;
    pgvector::measure(&mut rows, &ours);
    drop(ours);
    memory::measure(&mut rows, wanted.scale)?;
    embedding::measure(&mut rows, wanted.scale)?;
    if let Some(file) = &wanted.rows {
        rows.write(file)?;
    }
    Ok(())
}

fn wanted(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut wanted = Wanted { rows: None, scale: 1.0, measure: false };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--bench" => wanted.measure = true,
            "--rows" => wanted.rows = Some(value()?.into()),
            "--scale" => {
                let scale: f64 = value()?.parse().map_err(|_| "--scale needs a number".to_owned())?;
                wanted.scale = scale.clamp(0.0001, 1.0);
            }
            unknown => return Err(format!("{unknown} is not known; there are --rows FILE and --scale F")),
        }
    }
    Ok(wanted)
}
