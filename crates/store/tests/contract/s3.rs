//! Blobs in a bucket under the contract, beside the journal in memory.

use std::sync::Arc;

use colloquy_store::{Store, memory};

use crate::fixture::Fixture;

#[path = "../s3/server.rs"]
#[expect(dead_code, reason = "its faults are for the tests of its own")]
mod server;

use server::Server;

pub(crate) struct Bucket {
    store: Store,
    server: Server,
}

impl Fixture for Bucket {
    async fn open() -> Self {
        let server = Server::start().await;
        let store = Store { blobs: Arc::new(server.bucket().await), ..memory::open() };
        Self { store, server }
    }

    fn store(&self) -> &Store {
        &self.store
    }

    async fn reopen(&mut self) {
        self.store.blobs = Arc::new(self.server.bucket().await);
    }

    async fn crash(&mut self) {
        self.reopen().await;
    }
}
