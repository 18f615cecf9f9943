//! What very many agents' knowledge takes in memory: a fraction is held at once and the rest is multiplied.

use std::process::{Command, Stdio};

use colloquy_knowledge::index::{AgentIndex, EmbedderInfo, IndexedChunk, Parts, Precision, Vectors};
use colloquy_knowledge::words::Language;

use crate::embedding::text;
use crate::rows::{Row, Rows};
use crate::vectors::{DIMENSION, near_theme};

/// The goal's agents, each with this many chunks, and megabytes for all.
const AGENTS: usize = 10_000;
const CHUNKS: usize = 1_000;
const GOAL_MB: f64 = 5.0 * 1024.0;
/// Agents held at once: enough that what the program takes otherwise does not count.
const VECTORS_HELD: usize = 100;
const INDICES_HELD: usize = 10;
/// Words of a chunk of 500 tokens.
const WORDS: usize = 330;

/// What one agent's share is measured of.
#[derive(Clone, Copy)]
enum Kind {
    Vectors,
    Compact,
    Exact,
}

/// The argument that makes this program the process that is measured.
pub(crate) const ARGUMENT: &str = "--memory-of";

/// Measures vectors alone and whole indices, each in a process of its own: memory that was given back here would hide growth.
pub(crate) fn measure(rows: &mut Rows, scale: f64) -> Result<(), Box<dyn std::error::Error>> {
    for (kind, full) in [(Kind::Vectors, VECTORS_HELD), (Kind::Compact, INDICES_HELD), (Kind::Exact, INDICES_HELD)] {
        let held = ((full as f64 * scale) as usize).max(2);
        let mut child = Command::new(std::env::current_exe()?);
        child.args([ARGUMENT, kind.name(), &held.to_string()]);
        // Large pieces are given back to the system as soon as they are free, so that what is left is what is held.
        child.env("MALLOC_MMAP_THRESHOLD_", "65536").env("MALLOC_TRIM_THRESHOLD_", "65536").stderr(Stdio::inherit());
        let output = child.output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let mut numbers = said.split_whitespace().map(str::parse::<usize>);
        let (Some(Ok(grown)), Some(Ok(counted))) = (numbers.next(), numbers.next()) else {
            return Err(format!("the process that holds {} agents said {said:?}", held).into());
        };
        rows.add(row(kind.in_words(), grown, counted, held));
    }
    rows.note(
        "The memory of 10,000 agents is extrapolated from the resident memory of the agents named in its row. A node holds whole indices, with their texts, up to `knowledge.index_cache_mb`, and loads the others from disk when they are asked.",
    );
    Ok(())
}

/// The measured process: holds what is asked for and prints by how much it grew and what it counts itself.
pub(crate) fn hold(kind: &str, held: &str) -> Result<(), Box<dyn std::error::Error>> {
    let kind = Kind::named(kind).ok_or("no such kind")?;
    let held: usize = held.parse()?;
    let one = |agent: usize| -> Vec<Vec<Vec<f32>>> {
        (0..CHUNKS).map(|chunk| vec![near_theme((agent * CHUNKS + chunk) as u64)]).collect()
    };
    let index = |agent: usize, precision| AgentIndex::build(parts(agent, one(agent), precision));
    // Built once before: what building itself needs is there then, and does not count.
    let (grown, counted) = match kind {
        Kind::Vectors => {
            let build = |agent| Vectors::build(DIMENSION, &one(agent), Precision::Compact);
            grown(held, build, Vectors::bytes_used)?
        }
        Kind::Compact => grown(held, |agent| index(agent, Precision::Compact), AgentIndex::bytes_used)?,
        Kind::Exact => grown(held, |agent| index(agent, Precision::Exact), AgentIndex::bytes_used)?,
    };
    println!("{grown} {counted}");
    Ok(())
}

fn grown<T>(
    held: usize,
    build: impl Fn(usize) -> colloquy_knowledge::Result<T>,
    bytes_used: impl Fn(&T) -> usize,
) -> Result<(usize, usize), Box<dyn std::error::Error>> {
    let _warm = build(0)?;
    let before = resident_bytes()?;
    let kept = (0..held).map(build).collect::<Result<Vec<T>, _>>()?;
    let grown = resident_bytes()?.saturating_sub(before);
    Ok((grown, kept.iter().map(bytes_used).sum()))
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        [Self::Vectors, Self::Compact, Self::Exact].into_iter().find(|kind| kind.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Vectors => "vectors",
            Self::Compact => "compact",
            Self::Exact => "exact",
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Vectors => "vectors alone, 8 bits a number",
            Self::Compact => "whole indices with texts and keywords, 8 bits a number",
            Self::Exact => "whole indices with texts and keywords, exact numbers too",
        }
    }
}

fn row(what: &str, grown: usize, counted: usize, held: usize) -> Row {
    let megabytes = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    Row {
        figure: format!("10,000 agents × 1,000 chunks: {what}"),
        value: Ok(megabytes(grown) / held as f64 * AGENTS as f64),
        unit: "megabytes",
        goal: Some(("at_most", GOAL_MB)),
        beside: format!(
            "extrapolated from {held} agents: {:.1} MB resident, {:.1} MB by their own count",
            megabytes(grown),
            megabytes(counted)
        ),
        samples: None,
    }
}

fn parts(agent: usize, chunk_vectors: Vec<Vec<Vec<f32>>>, precision: Precision) -> Parts {
    let chunk = |number: usize| IndexedChunk {
        id: format!("{agent:08}-{number:08}"),
        text: text((agent * CHUNKS + number) as u64, WORDS),
        title: format!("Service {number}"),
        section: "What we do".into(),
        source_url: format!("https://www.example.com/service/{number}"),
        language: Language::English,
    };
    Parts {
        version: 1,
        embedder: Some(EmbedderInfo { id: "local/bench".into(), dimension: DIMENSION }),
        chunks: (0..CHUNKS).map(chunk).collect(),
        chunk_vectors,
        precision,
        ..Parts::default()
    }
}

/// VmRSS of /proc/self/status (proc(5)).
fn resident_bytes() -> std::io::Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| std::io::Error::other("/proc/self/status names no VmRSS"))
}
