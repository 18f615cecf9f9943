//! A process that is killed at any moment under load leaves a folder that opens and holds every append it acknowledged, each once.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use colloquy_store::journal::Append;
use colloquy_store::sqlite::{self, SqliteConfig};
use colloquy_store::{EntityKey, Store};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Set for the process that is to be killed: its data folder.
const FOLDER: &str = "COLLOQUY_TEST_FOLDER";

const KILLS: usize = 20;
const WRITERS: usize = 16;

fn open(dir: &Path) -> Store {
    // A small log is folded all the time, so that kills meet that too.
    sqlite::open(dir, SqliteConfig { log_bytes: 128 << 10, ..SqliteConfig::default() }).unwrap()
}

fn key(writer: usize) -> EntityKey {
    EntityKey::new("acme", "conversation", writer.to_string())
}

/// Not a test of its own: what the killed process runs. It says `ack <writer> <seq>` after each append until it is killed.
#[tokio::test]
async fn child() {
    let Ok(dir) = std::env::var(FOLDER) else {
        return;
    };
    let store = open(Path::new(&dir));
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        tasks.spawn(async move {
            let claimed = store.journal.claim(&key(writer), 1).await.unwrap();
            for seq in claimed.last_seq.. {
                let event = Bytes::from(format!("{writer} {} {}", seq + 1, "x".repeat(writer * 50)));
                let append = Append { id: Uuid::new_v4(), events: vec![event], wake: None };
                store.journal.append(&key(writer), claimed.claim, seq, append).await.unwrap();
                writeln!(std::io::stdout(), "ack {writer} {}", seq + 1).unwrap();
            }
        });
    }
    tasks.join_all().await;
}

fn start(dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env(FOLDER, dir).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[tokio::test]
async fn twenty_kills_lose_and_double_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<usize, u64> = BTreeMap::new();
    for kill in 0..KILLS {
        let mut child = start(dir.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acks = 0;
        for line in lines {
            let line = line.unwrap();
            let Some((_, ack)) = line.split_once("ack ") else {
                continue;
            };
            let (writer, seq) = ack.split_once(' ').unwrap();
            let (writer, seq): (usize, u64) = (writer.parse().unwrap(), seq.parse().unwrap());
            assert_eq!(acknowledged.insert(writer, seq).unwrap_or_default(), seq - 1, "kill {kill}: {line}");
            acks += 1;
            if acks == 1 + kill * 37 {
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success());
        assert!(acks > kill * 37, "kill {kill}: the child ended by itself after {acks} acks");

        let store = open(dir.path());
        for writer in 0..WRITERS {
            let records = store.journal.load(&key(writer), 0, usize::MAX).await.unwrap();
            let promised = acknowledged.get(&writer).copied().unwrap_or_default();
            assert!(
                records.len() as u64 >= promised,
                "kill {kill}: writer {writer} has {} of {promised}",
                records.len()
            );
            for (place, record) in records.iter().enumerate() {
                assert!(record.bytes.starts_with(format!("{writer} {} ", place + 1).as_bytes()), "kill {kill}");
            }
            // An append whose answer was killed may stand; the next process goes on behind it.
            acknowledged.insert(writer, records.len() as u64);
        }
    }
}
