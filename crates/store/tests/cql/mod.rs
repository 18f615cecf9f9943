//! What the tests against a CQL server share: where it is, and keyspaces to work in.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use colloquy_store::scylla::{ScyllaConfig, ScyllaTimeouts};
use futures::future::try_join_all;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use uuid::Uuid;

/// Names the servers, as `scripts/cql-server run` sets it.
const SERVERS: &str = "COLLOQUY_TEST_CQL";

/// Keyspaces that a finished test left and that the next one may empty and use: to make one takes longer than most tests.
static LEFT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The servers' addresses. Without a server a test fails: one that is skipped proves nothing.
pub(crate) fn servers() -> Vec<String> {
    match std::env::var(SERVERS) {
        Ok(servers) => servers.split(',').map(str::to_owned).collect(),
        Err(_) => panic!(
            "this test needs a CQL server: run `make test`, or `scripts/cql-server run -- cargo test -p colloquy-store --features scylla`"
        ),
    }
}

/// A keyspace of this test's own, empty.
pub(crate) struct Keyspace {
    pub(crate) name: String,
}

impl Keyspace {
    /// One that was used before if there is one.
    pub(crate) async fn take() -> Self {
        let left = LEFT.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match left {
            None => Self::fresh(),
            // Emptying a table does not empty what Paxos remembers: where there are replicas, one that missed a commit gets it afterwards.
            // So it is dropped there: some dozens of keyspaces are more than small servers bear.
            Some(name) if servers().len() > 1 => {
                discard(&name).await;
                Self::fresh()
            }
            Some(name) => {
                empty(&name).await;
                Self { name }
            }
        }
    }

    /// One that nobody used.
    pub(crate) fn fresh() -> Self {
        Self { name: format!("test_{}", Uuid::new_v4().simple()) }
    }

    /// How a store over it is opened.
    pub(crate) fn config(&self) -> ScyllaConfig {
        let second = Duration::from_secs(1);
        // A loaded test machine takes its time; what is tested here is not that.
        let timeouts = ScyllaTimeouts {
            connect: 10 * second,
            write: 20 * second,
            lwt: 20 * second,
            read: 20 * second,
            recovery: 60 * second,
            settle: 40 * second,
        };
        let replication = servers().len() as u8;
        ScyllaConfig { replication, timeouts, ..ScyllaConfig::new(servers(), &*self.name) }
    }
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            LEFT.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.name));
        }
    }
}

/// Drops a keyspace. A loaded server may need longer for it than it waits; the keyspace is in nobody's way then.
async fn discard(name: &str) {
    if let Err(error) = session().await.query_unpaged(format!("DROP KEYSPACE IF EXISTS {name}"), ()).await {
        eprintln!("{name}: {error}");
    }
}

/// A session without a store.
pub(crate) async fn session() -> Session {
    SessionBuilder::new().known_nodes(servers()).fetch_schema_metadata(false).build().await.unwrap()
}

async fn empty(keyspace: &str) {
    let session = session().await;
    let cql = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let tables = session.query_unpaged(cql, (keyspace,)).await.unwrap().into_rows_result().unwrap();
    let tables: Vec<(String,)> = tables.rows().unwrap().map(Result::unwrap).collect();
    let data = tables.iter().filter(|(table,)| !table.starts_with("migration"));
    let truncated = data.map(|(table,)| session.query_unpaged(format!("TRUNCATE {keyspace}.{table}"), ()));
    try_join_all(truncated).await.unwrap();
}
