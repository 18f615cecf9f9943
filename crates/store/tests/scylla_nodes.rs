//! Three servers of which one and then two are killed: the journal goes on with two, refuses in time with one, and loses nothing.
#![cfg(feature = "scylla")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use colloquy_store::journal::{Append, Claimed};
use colloquy_store::scylla::{ScyllaConfig, ScyllaTimeouts, open};
use colloquy_store::{EntityKey, Store, StoreError, memory};
use tempfile::TempDir;
use uuid::Uuid;

/// How long a cluster may take to notice that a server is gone or back.
const PATIENCE: Duration = Duration::from_secs(120);

/// Three servers of this test's own.
struct Servers(TempDir);

impl Servers {
    fn start() -> (Self, Vec<String>) {
        let servers = Self(tempfile::tempdir().unwrap());
        let addresses = servers.run(&["start", "--nodes", "3", "--port", "auto"]);
        (servers, addresses.trim().split(',').map(str::to_owned).collect())
    }

    fn run(&self, arguments: &[&str]) -> String {
        let script: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/cql-server");
        let folder = self.0.path().join("servers");
        let output = Command::new(script).args(arguments).arg("--dir").arg(folder).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.run(&["remove"]);
    }
}

/// Appends numbers to one journal, as an owner does: what has no answer is looked for under a new claim.
struct Owner {
    store: Store,
    key: EntityKey,
    claimed: Claimed,
    written: u64,
    /// The append whose outcome is not known.
    open: Option<Uuid>,
}

impl Owner {
    async fn append(&mut self) -> Result<(), StoreError> {
        if let Some(id) = self.open {
            self.claimed = self.store.journal.claim(&self.key, 1).await?;
            let behind = self.store.journal.load(&self.key, self.written, 9).await?;
            self.open = None;
            if let Some(record) = behind.first() {
                assert_eq!((behind.len(), record.append_id), (1, id));
                self.written += 1;
                return Ok(());
            }
        }
        let events = vec![Bytes::from((self.written + 1).to_string())];
        let append = Append { id: Uuid::new_v4(), events, wake: None };
        let id = append.id;
        let appended = self.store.journal.append(&self.key, self.claimed.claim, self.written, append).await;
        match &appended {
            Ok(()) => self.written += 1,
            Err(StoreError::Unknown(_)) => self.open = Some(id),
            Err(_) => {}
        }
        appended
    }

    /// Appends until it works.
    async fn append_patiently(&mut self) {
        let until = Instant::now() + PATIENCE;
        while let Err(error) = self.append().await {
            assert!(matches!(error, StoreError::Unknown(_) | StoreError::Unavailable(_)), "{error}");
            assert!(Instant::now() < until, "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_may_die_and_two_refuse_in_time_and_nothing_is_lost() {
    let (servers, nodes) = tokio::task::spawn_blocking(Servers::start).await.unwrap();
    let second = Duration::from_secs(1);
    let timeouts =
        ScyllaTimeouts { lwt: 6 * second, settle: 6 * second, read: 6 * second, ..ScyllaTimeouts::default() };
    let config = ScyllaConfig { timeouts, ..ScyllaConfig::new(nodes, "three") };
    let store = open(&config, memory::open().blobs).await.unwrap();
    let key = EntityKey::new("acme", "conversation", "a");
    let claimed = store.journal.claim(&key, 1).await.unwrap();
    let mut owner = Owner { store: store.clone(), key: key.clone(), claimed, written: 0, open: None };
    for _ in 0..5 {
        owner.append_patiently().await;
    }
    servers.run(&["kill", "3"]);
    for _ in 0..5 {
        owner.append_patiently().await;
    }
    servers.run(&["kill", "2"]);
    let started = Instant::now();
    let refused = owner.append().await;
    assert!(matches!(refused, Err(StoreError::Unknown(_) | StoreError::Unavailable(_))), "{refused:?}");
    let refused = owner.store.journal.load(&key, 0, 9).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let refused = owner.store.journal.claim(&key, 1).await.map(drop);
    assert!(matches!(refused, Err(StoreError::Unknown(_) | StoreError::Unavailable(_))), "{refused:?}");
    assert!(started.elapsed() < Duration::from_secs(60), "refused after {:?}", started.elapsed());

    // What the dead one had is back with it.
    servers.run(&["start", "2"]);
    // The claim that was refused may have taken effect all the same.
    owner.open.get_or_insert(Uuid::nil());
    for _ in 0..5 {
        owner.append_patiently().await;
    }
    servers.run(&["start", "3"]);
    owner.append_patiently().await;
    let records = store.journal.load(&key, 0, usize::MAX).await.unwrap();
    let found: Vec<(u64, Bytes)> = records.into_iter().map(|record| (record.seq, record.bytes)).collect();
    let expected: Vec<(u64, Bytes)> =
        (1..=owner.written).map(|number| (number, Bytes::from(number.to_string()))).collect();
    assert_eq!(found, expected);
    assert!(owner.written >= 16, "{}", owner.written);
}
