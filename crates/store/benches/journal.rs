//! What an append costs in the CQL store beside SQLite, in one run on one machine: alone, one after the other, and from many entities at once.
//!
//! `scripts/cql-server run -- cargo bench -p colloquy-store --features scylla --bench journal -- --rows FILE [--seconds N]` writes one JSON object a line,
//! which `colloquy-loadtest --rows FILE` puts into its table. Without `--bench`, which cargo adds, nothing is measured.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use colloquy_store::folder::Folder;
use colloquy_store::journal::Append;
use colloquy_store::scylla::ScyllaConfig;
use colloquy_store::sqlite::SqliteConfig;
use colloquy_store::{EntityKey, Store};
use serde_json::{Value, json};
use uuid::Uuid;

/// A turn's event with an answer of some sentences.
const EVENT_BYTES: usize = 700;
/// Entities that append at once: as many conversations as a busy node has in work.
const AT_ONCE: usize = 64;
/// How long each way is measured unless told otherwise, seconds.
const SECONDS: u64 = 10;
/// Appends of an entity before it counts.
const WARM_UP: u64 = 20;
/// Ticks of the clock that Linux tells processor time in.
const TICKS: f64 = 100.0;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome<()> {
    let (mut rows, mut seconds, mut wanted): (Option<PathBuf>, u64, bool) = (None, SECONDS, false);
    let mut left = arguments.iter();
    while let Some(argument) = left.next() {
        match argument.as_str() {
            "--bench" => wanted = true,
            "--rows" => rows = Some(left.next().ok_or("--rows needs a file")?.into()),
            "--seconds" => seconds = left.next().ok_or("--seconds needs a number")?.parse()?,
            unknown => return Err(format!("{unknown} is not known; there are --rows FILE and --seconds N").into()),
        }
    }
    if !wanted {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let lines = runtime.block_on(measure(Duration::from_secs(seconds)))?;
    if let Some(file) = rows {
        let mut out = std::fs::File::create(file)?;
        for line in lines {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

async fn measure(time: Duration) -> Outcome<Vec<Value>> {
    let servers = std::env::var("COLLOQUY_TEST_CQL")
        .map_err(|_| "this needs a CQL server: run scripts/bench.sh journal, or behind `scripts/cql-server run --`")?;
    let servers: Vec<String> = servers.split(',').map(str::to_owned).collect();
    let processes = std::env::var("COLLOQUY_TEST_CQL_PROCESSES").unwrap_or_default();
    let processes: Vec<String> = processes.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
    // Beside the build, because a memory file system would make every sync free.
    let here = std::env::current_exe()?.parent().map(PathBuf::from).unwrap_or_default();
    let dir = tempfile::Builder::new().prefix("colloquy-journal-").tempdir_in(here)?;
    let sqlite = colloquy_store::sqlite::open(&dir.path().join("sqlite"), SqliteConfig::default())?;
    let mut config = ScyllaConfig::new(servers, format!("bench_{}", Uuid::new_v4().simple()));
    config.replication = 1;
    let blobs = Arc::new(Folder::open(dir.path())?);
    let cql = colloquy_store::scylla::open(&config, blobs).await?;
    let mut lines = Vec::new();
    for (what, writers) in [("one after the other", 1), ("64 entities at once", AT_ONCE)] {
        let beside = appends(&sqlite, writers, time, &[]).await?;
        let ours = appends(&cql, writers, time, &processes).await?;
        for (name, one, other) in [("SQLite", &beside, None), ("CQL", &ours, Some(&beside))] {
            let ratio = other.map_or(String::new(), |other| {
                format!(
                    "; SQLite p50 {:.2} ms, p99 {:.2} ms, {:.0}/s",
                    other.millis(0.5),
                    other.millis(0.99),
                    other.per_second()
                )
            });
            let store = one.server_us().map_or(String::new(), |us| format!(", the server {us:.0} µs"));
            let beside = format!(
                "{:.0}/s; processor time each: this process {:.0} µs{store}{ratio}",
                one.per_second(),
                one.own_us()
            );
            eprintln!("    append, {name}, {what}, p50: {:.2} ms  ({beside})", one.millis(0.5));
            lines.push(json!({
                "scenario": "journal", "figure": format!("an append of {EVENT_BYTES} B, {name}, {what}, p50"), "unit": "millis",
                "value": one.millis(0.5), "beside": beside, "percentiles_us": one.percentiles(),
            }));
        }
    }
    lines.push(json!({
        "scenario": "journal",
        "note": "appends through the store's own interface, acknowledged when durable; the CQL server is one Apache Cassandra on this machine that syncs its commit log with each batch, with one copy: on three servers each append has round trips between them on top",
    }));
    Ok(lines)
}

/// What appends came to.
struct Appends {
    sorted_us: Vec<u64>,
    took: Duration,
    own: f64,
    server: Option<f64>,
}

impl Appends {
    fn at(&self, part: f64) -> f64 {
        let place = ((self.sorted_us.len() as f64 * part) as usize).min(self.sorted_us.len().saturating_sub(1));
        self.sorted_us.get(place).copied().unwrap_or_default() as f64
    }

    fn millis(&self, part: f64) -> f64 {
        self.at(part) / 1e3
    }

    fn per_second(&self) -> f64 {
        self.sorted_us.len() as f64 / self.took.as_secs_f64()
    }

    fn own_us(&self) -> f64 {
        self.own * 1e6 / self.sorted_us.len().max(1) as f64
    }

    fn server_us(&self) -> Option<f64> {
        self.server.map(|used| used * 1e6 / self.sorted_us.len().max(1) as f64)
    }

    fn percentiles(&self) -> Value {
        json!({ "p50": self.at(0.5), "p95": self.at(0.95), "p99": self.at(0.99), "max": self.at(1.0), "count": self.sorted_us.len() })
    }
}

/// Appends without a pause from so many entities, each its own one after the other.
async fn appends(store: &Store, writers: usize, time: Duration, processes: &[String]) -> Outcome<Appends> {
    let mut ready = Vec::new();
    for _ in 0..writers {
        let key = EntityKey::new("bench", "conversation", &*Uuid::new_v4().simple().to_string());
        let claimed = store.journal.claim(&key, 1).await?;
        let (claim, mut seq) = (claimed.claim, claimed.last_seq);
        for _ in 0..WARM_UP {
            store.journal.append(&key, claim, seq, append()).await?;
            seq += 1;
        }
        ready.push((key, claim, seq));
    }
    let server = |processes: &[String]| -> Outcome<Option<f64>> {
        let used: Vec<f64> = processes.iter().map(|process| cpu_s(process)).collect::<Outcome<_>>()?;
        Ok((!used.is_empty()).then(|| used.iter().sum()))
    };
    let (own, before) = (cpu_s("self")?, server(processes)?);
    let begun = Instant::now();
    let mut writing = tokio::task::JoinSet::new();
    for (key, claim, mut seq) in ready {
        let store = store.clone();
        writing.spawn(async move {
            let mut took_us = Vec::new();
            while begun.elapsed() < time {
                let one = Instant::now();
                store.journal.append(&key, claim, seq, append()).await?;
                seq += 1;
                took_us.push(u64::try_from(one.elapsed().as_micros())?);
            }
            Outcome::Ok(took_us)
        });
    }
    let mut sorted_us = Vec::new();
    while let Some(ended) = writing.join_next().await {
        sorted_us.extend(ended??);
    }
    let took = begun.elapsed();
    sorted_us.sort_unstable();
    let server = server(processes)?.zip(before).map(|(after, before)| after - before);
    Ok(Appends { sorted_us, took, own: cpu_s("self")? - own, server })
}

fn append() -> Append {
    Append { id: Uuid::new_v4(), events: vec![Bytes::from(vec![b'x'; EVENT_BYTES])], wake: None }
}

/// Processor time of a process so far, from /proc/<pid>/stat (proc(5)).
fn cpu_s(process: &str) -> Outcome<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit_once(')').ok_or("a stat of an unknown shape")?.1.split_whitespace().skip(11).take(2);
    let ticks: f64 = fields.map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / TICKS)
}
