//! The ScyllaDB adapter under the contract, on whatever CQL server the tests were given.

use std::sync::Arc;

use colloquy_store::Store;
use colloquy_store::folder::Folder;
use tempfile::TempDir;

use crate::fixture::Fixture;

#[path = "../cql/mod.rs"]
mod cql;

use cql::Keyspace;

pub(crate) struct Scylla {
    store: Store,
    /// Stores of processes that "crashed": nobody closed their sessions.
    crashed: Vec<Store>,
    keyspace: Keyspace,
    dir: TempDir,
}

impl Scylla {
    async fn connect(&self) -> Store {
        let blobs = self.store.blobs.clone();
        colloquy_store::scylla::open(&self.keyspace.config(), blobs).await.unwrap()
    }
}

impl Fixture for Scylla {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Arc::new(Folder::open(dir.path()).unwrap());
        let keyspace = Keyspace::take().await;
        let store = colloquy_store::scylla::open(&keyspace.config(), blobs).await.unwrap();
        Self { store, crashed: Vec::new(), keyspace, dir }
    }

    fn store(&self) -> &Store {
        assert!(self.dir.path().exists());
        &self.store
    }

    async fn reopen(&mut self) {
        self.store = self.connect().await;
    }

    async fn crash(&mut self) {
        let store = self.connect().await;
        self.crashed.push(std::mem::replace(&mut self.store, store));
    }
}
