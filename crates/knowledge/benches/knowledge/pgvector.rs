//! The peer: pgvector in a PostgreSQL of its own, on a Unix socket in a temporary folder, over the same vectors and questions.
//!
//! It is used where it is installed and left out where it is not; nothing is installed for it. `PG_CONFIG` names another PostgreSQL.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::rows::{Row, Rows, Samples};
use crate::vectors::{DIMENSION, Searched, WANTED};

/// Questions asked before any is counted, so that everything is in memory.
const WARM_UP: usize = 20;
/// How long PostgreSQL may take until it answers.
const READY: Duration = Duration::from_secs(30);
/// The superuser of the temporary database.
const USER: &str = "bench";

/// A PostgreSQL that ends, with all it holds, when this is dropped.
struct Postgres {
    programs: PathBuf,
    folder: tempfile::TempDir,
    server: Option<Child>,
}

/// How the peer did.
struct Found {
    times: Samples,
    recall: f64,
}

/// Adds a row for each size that was searched here.
pub(crate) fn measure(rows: &mut Rows, ours: &[Searched]) {
    for searched in ours {
        let count = searched.rows.len();
        let row = |value, beside, samples| Row {
            figure: format!("pgvector's time for {count} chunks, by ours"),
            value,
            unit: "times",
            goal: Some(("at_least", 10.0)),
            beside,
            samples,
        };
        match programs().and_then(|programs| peer(&programs, searched)) {
            Ok((found, how)) => {
                let times = found.times.at_us(0.5) / searched.p50_us;
                let beside = format!(
                    "pgvector {how}: p50 {:.0} µs of execution, recall {:.1} %; ours p50 {:.1} µs, recall {:.1} %",
                    found.times.at_us(0.5),
                    found.recall,
                    searched.p50_us,
                    searched.recall
                );
                rows.add(row(Ok(times), beside, Some(found.times)));
            }
            Err(reason) => rows.add(row(Err(reason), String::new(), None)),
        }
    }
}

/// The faster of its two ways that finds as much as is asked of ours: every row, and its graph.
fn peer(programs: &Path, searched: &Searched) -> Result<(Found, &'static str), String> {
    let postgres = Postgres::start(programs)?;
    postgres.load(searched)?;
    let exact = postgres.search(searched)?;
    postgres.run("graph.sql", "CREATE INDEX ON chunks USING hnsw (v vector_ip_ops); ANALYZE chunks;")?;
    let graph = postgres.search(searched)?;
    // Its graph may find less at its default settings; that is shown beside its time.
    Ok(if graph.times.at_us(0.5) < exact.times.at_us(0.5) {
        (graph, "with its graph (HNSW)")
    } else {
        (exact, "scanning")
    })
}

/// The folder of PostgreSQL's programs, if pgvector is installed for it.
fn programs() -> Result<PathBuf, String> {
    let asked = std::env::var("PG_CONFIG").unwrap_or_else(|_| "pg_config".into());
    let ask = |what: &str| -> Option<PathBuf> {
        let output = Command::new(&asked).arg(what).output().ok().filter(|output| output.status.success())?;
        Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    };
    let missing = || "PostgreSQL with pgvector is not installed here".to_owned();
    let (programs, shared) = ask("--bindir").zip(ask("--sharedir")).ok_or_else(missing)?;
    if !shared.join("extension/vector.control").is_file() {
        return Err("PostgreSQL is installed here, but pgvector is not".into());
    }
    if !programs.join("postgres").is_file() { Err(missing()) } else { Ok(programs) }
}

impl Postgres {
    fn start(programs: &Path) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut postgres = Self { programs: programs.to_owned(), folder, server: None };
        let data = postgres.folder.path().join("data");
        std::fs::create_dir(&data).map_err(|error| error.to_string())?;
        // PostgreSQL refuses to run as root.
        let other = if postgres.folder.path().metadata().is_ok_and(|about| about.uid() == 0) {
            Some(unprivileged()?)
        } else {
            None
        };
        if let Some((user, group)) = other {
            for path in [postgres.folder.path(), data.as_path()] {
                chown(path, Some(user), Some(group)).map_err(|error| error.to_string())?;
            }
        }
        let command = |name: &str| {
            let mut command = Command::new(programs.join(name));
            command.arg("-D").arg(&data).current_dir(&data).stdin(Stdio::null()).stdout(Stdio::null());
            if let Some((user, group)) = other {
                command.uid(user).gid(group);
            }
            command
        };
        let made = command("initdb").args(["-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"]).output();
        let made = made.map_err(|error| format!("initdb: {error}"))?;
        if !made.status.success() {
            return Err(format!("initdb: {}", first_line(&made.stderr)));
        }
        let mut server = command("postgres");
        server.arg("-k").arg(postgres.folder.path());
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "shared_buffers=512MB",
            "maintenance_work_mem=1GB",
            "jit=off",
            "max_parallel_workers_per_gather=0",
        ] {
            server.args(["-c", setting]);
        }
        let server = server.stderr(Stdio::null()).spawn().map_err(|error| format!("postgres: {error}"))?;
        postgres.server = Some(server);
        let begun = Instant::now();
        loop {
            match postgres.run("ready.sql", "CREATE EXTENSION vector;") {
                Ok(_) => return Ok(postgres),
                Err(error) if begun.elapsed() > READY => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn load(&self, searched: &Searched) -> Result<(), String> {
        let path = self.folder.path().join("rows.sql");
        let write = || -> std::io::Result<()> {
            let mut out = BufWriter::new(std::fs::File::create(&path)?);
            writeln!(out, "CREATE TABLE chunks (id int PRIMARY KEY, v vector({DIMENSION}));\nCOPY chunks FROM STDIN;")?;
            for (id, row) in searched.rows.iter().enumerate() {
                writeln!(out, "{id}\t{}", literal(row))?;
            }
            writeln!(out, "\\.\nANALYZE chunks;")?;
            out.flush()
        };
        write().map_err(|error| error.to_string())?;
        self.psql(&path).map(drop)
    }

    fn search(&self, searched: &Searched) -> Result<Found, String> {
        // Vectors have length 1: their inner product is their cosine, and cheaper. Its own time of execution is counted, without parsing.
        let ask = |query: &[f32]| format!("SELECT id FROM chunks ORDER BY v <#> '{}' LIMIT {WANTED}", literal(query));
        let mut script = String::new();
        for at in (0..WARM_UP).map(|at| at % searched.exact.len().max(1)).chain(0..searched.exact.len()) {
            let (query, _) = &searched.exact[at];
            let _ = writeln!(script, "EXPLAIN (ANALYZE, TIMING OFF) {};", ask(&searched.queries[*query])); // Writing to a string cannot fail.
        }
        let times = self.run("timed.sql", &script)?;
        let times: Vec<Duration> = times
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Execution Time: ")?.strip_suffix(" ms")?.parse::<f64>().ok())
            .skip(WARM_UP)
            .map(|ms| Duration::from_secs_f64(ms / 1e3))
            .collect();
        if times.len() != searched.exact.len() {
            return Err(format!("pgvector timed {} of {} searches", times.len(), searched.exact.len()));
        }
        let mut script = String::new();
        for (query, _) in &searched.exact {
            let _ = writeln!(
                script,
                "SELECT string_agg(id::text, ',') FROM ({}) AS found;",
                ask(&searched.queries[*query])
            ); // As above.
        }
        let found = self.run("found.sql", &script)?;
        let right: usize = found
            .lines()
            .zip(&searched.exact)
            .map(|(line, (_, expected))| {
                line.split(',').filter(|id| id.trim().parse().is_ok_and(|id: usize| expected.contains(&id))).count()
            })
            .sum();
        let recall = right as f64 / (searched.exact.len() * WANTED) as f64 * 100.0;
        Ok(Found { times: Samples::sorted(times), recall })
    }

    fn run(&self, name: &str, script: &str) -> Result<String, String> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, script).map_err(|error| error.to_string())?;
        self.psql(&path)
    }

    fn psql(&self, script: &Path) -> Result<String, String> {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", "postgres", "-h"]);
        command.arg(self.folder.path()).arg("-f").arg(script).stdin(Stdio::null());
        let output = command.output().map_err(|error| format!("psql: {error}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!("psql: {}", first_line(&output.stderr)))
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // Its folder goes with it, so there is nothing to shut down in order.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// The user that Debian makes for PostgreSQL, or the one that owns nothing.
fn unprivileged() -> Result<(u32, u32), String> {
    let users = std::fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
    let of = |name: &str| {
        let fields: Vec<&str> = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').collect();
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    of("postgres")
        .or_else(|| of("nobody"))
        .ok_or_else(|| "PostgreSQL does not run as root, and there is no other user".into())
}

fn literal(vector: &[f32]) -> String {
    let mut out = String::with_capacity(vector.len() * 10);
    for value in vector {
        out.push(if out.is_empty() { '[' } else { ',' });
        let _ = write!(out, "{value:.6}"); // Writing to a string cannot fail.
    }
    out.push(']');
    out
}

fn first_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).lines().next().unwrap_or("no reason given").to_owned()
}
