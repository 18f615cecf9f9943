//! An adapter under test, and small builders that the cases share.

use std::path::Path;

use bytes::Bytes;
use colloquy_store::journal::{Append, Claim};
use colloquy_store::sqlite::SqliteConfig;
use colloquy_store::{EntityKey, Store, memory, sqlite};
use tempfile::TempDir;
use uuid::Uuid;

/// A store that can be closed, killed and opened again.
pub(crate) trait Fixture {
    /// A fresh, empty store.
    async fn open() -> Self;
    /// The store as it is open now. Clones must be gone before [`Fixture::reopen`] and [`Fixture::crash`].
    fn store(&self) -> &Store;
    /// Closes and opens it.
    async fn reopen(&mut self);
    /// Opens what a process leaves that is killed now.
    async fn crash(&mut self);
}

/// The memory store knows neither end nor crash: it is checked for all else.
pub(crate) struct Memory(Store);

impl Fixture for Memory {
    async fn open() -> Self {
        Self(memory::open())
    }

    fn store(&self) -> &Store {
        &self.0
    }

    async fn reopen(&mut self) {}

    async fn crash(&mut self) {}
}

pub(crate) struct Sqlite {
    store: Option<Store>,
    dir: TempDir,
}

impl Sqlite {
    fn start(dir: TempDir) -> Self {
        let store = sqlite::open(dir.path(), SqliteConfig::default()).unwrap();
        Self { store: Some(store), dir }
    }
}

impl Fixture for Sqlite {
    async fn open() -> Self {
        Self::start(tempfile::tempdir().unwrap())
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    async fn reopen(&mut self) {
        self.store = None;
        self.store = Some(sqlite::open(self.dir.path(), SqliteConfig::default()).unwrap());
    }

    async fn crash(&mut self) {
        // The files as the kernel has them now are what a killed process leaves: nothing was told to close.
        let left = tempfile::tempdir().unwrap();
        copy(self.dir.path(), left.path());
        *self = Self::start(left);
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(crate) fn key(id: &str) -> EntityKey {
    EntityKey::new("acme", "conversation", id)
}

pub(crate) fn append(events: &[&str]) -> Append {
    let events = events.iter().map(|event| Bytes::copy_from_slice(event.as_bytes())).collect();
    Append { id: Uuid::new_v4(), events, wake: None }
}

/// Claims under epoch 1 and appends, asserting success.
pub(crate) async fn write(store: &Store, key: &EntityKey, events: &[&str]) -> Claim {
    let claimed = store.journal.claim(key, 1).await.unwrap();
    store.journal.append(key, claimed.claim, claimed.last_seq, append(events)).await.unwrap();
    claimed.claim
}

/// All events as text, asserting that their numbers go up from 1 without gaps.
pub(crate) async fn read(store: &Store, key: &EntityKey) -> Vec<String> {
    let records = store.journal.load(key, 0, usize::MAX).await.unwrap();
    for (place, record) in records.iter().enumerate() {
        assert_eq!(record.seq, place as u64 + 1);
    }
    records.iter().map(|record| String::from_utf8(record.bytes.to_vec()).unwrap()).collect()
}
