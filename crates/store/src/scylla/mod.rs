//! The durable store of a cluster: a keyspace of ScyllaDB, or of Apache Cassandra 5, which speaks the same protocol.
//!
//! # The tables
//!
//! They are made by the files of `migrations/`, which this version carries inside (`migrate.rs`).
//!
//! | table | what | written by |
//! |---|---|---|
//! | `journal` | the events of an entity in buckets; claim, epoch and last number as static columns of each bucket | conditional statements only |
//! | `snapshot`, `snapshot_part` | newest folded state; what exceeds a cell is in parts | plain writes |
//! | `wake` | unfinished work per shard; one row per entity and epoch | plain writes |
//! | `list_row`, `list_time`, `list_stretch` | projections by id, by time, and which stretches of time there are | writes with the row's version as time stamp |
//! | `entity_key` | wrapped data keys; without the key once destroyed | conditional statements only |
//! | `unique_value`, `answer` | reserved values; first answers | conditional statements only |
//! | `answer_run` | which answers there may be, to find expired ones | plain writes |
//! | `cluster`, `node`, `shard` | leases | conditional statements only |
//! | `migration`, `migration_lock` | which files ran, with their checksums; who runs them now | conditional statements only |
//!
//! # What makes it safe
//!
//! * **One atomic step**: an append is one conditional batch in one partition, `IF claim = mine AND last_seq = expected AND closed = false`.
//!   Paxos orders all of them, so after another claim no earlier append can take effect, however late it arrives.
//! * **A full bucket is closed by the append that fills it**; the next append begins the next bucket under the condition that nobody did.
//!   A closed bucket never changes again, so the claim, the epoch and the number it ends with are known for good.
//! * **A time-out is not a no.** An append that was sent and not answered is [`StoreError::Unknown`]: the caller claims again, which ends
//!   what may still be under way, and looks for the append's id. The driver repeats no conditional statement. What this adapter repeats
//!   itself (claims, leases, reservations) looks at what is there each time and carries a fresh mark to know its own write by.
//! * **Reads** are at LocalQuorum and see everything acknowledged; what decides something is read at LocalSerial, which completes what was
//!   agreed on and not yet written. A gap that a read sees is read again that way before it is called damage.
//! * Heads, events, snapshots, rows and keys carry a CRC-32C over their own name and content, checked at every read.
//! * Time stamps of plain writes come from this process and only rise. Nodes' clocks must agree to within a second or so: the wake list's
//!   rows name the epoch, so that clocks decide only between writes of one owner.
//!
//! # What the server must offer
//!
//! Lightweight transactions with conditions on static columns in batches, serial reads, `USING TIMESTAMP`, static columns. ScyllaDB does
//! not do the first on tablets in all versions: the keyspace is created without. Not used: counters, materialized views, secondary
//! indexes, ALLOW FILTERING, batches over partitions, TTL. ScyllaDB refuses time stamps more than three days ahead, so an entity
//! has at most some 27 thousand million events there.

mod answers;
mod fault;
mod heads;
mod journal;
mod keys;
mod leases;
mod merge;
mod migrate;
mod rows;
mod session;
mod snapshots;
mod statements;
mod tls;
mod unique;
mod wake;

use std::sync::Arc;
use std::time::Duration;

pub use tls::ScyllaTls;

use self::session::Cql;
use crate::{Store, StoreError, blobs::Blobs, limits};

/// Where the servers are and how they are used.
#[derive(Clone, Debug)]
pub struct ScyllaConfig {
    /// Some of the servers, `host:port`; the others are learned from them.
    pub nodes: Vec<String>,
    /// The keyspace, `[a-z][a-z0-9_]*`; it is created when it does not exist.
    pub keyspace: String,
    /// The data centre whose servers are used and that holds the copies.
    pub datacenter: String,
    /// How many copies of everything a new keyspace keeps. An existing keyspace keeps what it has.
    pub replication: u8,
    /// User and password, where the servers ask for them.
    pub login: Option<ScyllaLogin>,
    /// TLS, where the servers speak it.
    pub tls: Option<ScyllaTls>,
    /// How long things may take.
    pub timeouts: ScyllaTimeouts,
}

/// A user of the servers.
#[derive(Clone)]
pub struct ScyllaLogin {
    /// The role's name.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl std::fmt::Debug for ScyllaLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScyllaLogin").field("user", &self.user).finish_non_exhaustive()
    }
}

/// How long a kind of statement may take before its outcome counts as not known.
#[derive(Clone, Debug)]
pub struct ScyllaTimeouts {
    /// Opening a connection.
    pub connect: Duration,
    /// Plain writes.
    pub write: Duration,
    /// Conditional statements. Longer than the server's own limit, so that its answer is heard rather than guessed.
    pub lwt: Duration,
    /// Reads of single rows and stretches of lists.
    pub read: Duration,
    /// Journals, scans and migrations.
    pub recovery: Duration,
    /// For how long claims, leases and reservations are tried again after an unknown outcome.
    pub settle: Duration,
}

impl Default for ScyllaTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            write: Duration::from_secs(3),
            lwt: Duration::from_secs(3),
            read: Duration::from_secs(3),
            recovery: Duration::from_secs(20),
            settle: Duration::from_secs(10),
        }
    }
}

impl ScyllaConfig {
    /// A keyspace with three copies in the data centre `datacenter1`, without login or TLS.
    pub fn new(nodes: Vec<String>, keyspace: impl Into<String>) -> Self {
        Self {
            nodes,
            keyspace: keyspace.into(),
            datacenter: "datacenter1".to_owned(),
            replication: 3,
            login: None,
            tls: None,
            timeouts: ScyllaTimeouts::default(),
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let first = self.keyspace.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        // 48 is what Cassandra takes as a keyspace's name.
        if !first || !self.keyspace.bytes().all(plain) || self.keyspace.len() > 48 {
            return Err(StoreError::Invalid(format!(
                "the keyspace {:?} is not made of up to 48 of [a-z0-9_] with a letter first",
                self.keyspace
            )));
        }
        let quoted = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
        if self.datacenter.is_empty() || !self.datacenter.bytes().all(quoted) {
            return Err(StoreError::Invalid(format!(
                "the data centre {:?} is not made of [A-Za-z0-9_.:-]",
                self.datacenter
            )));
        }
        limits::name("a data centre", &self.datacenter)?;
        if self.nodes.is_empty() {
            return Err(StoreError::Invalid("no CQL server is named".to_owned()));
        }
        if self.replication == 0 {
            return Err(StoreError::Invalid("a keyspace keeps at least one copy".to_owned()));
        }
        Ok(())
    }
}

/// Opens the keyspace, creates or migrates it when needed, and prepares every statement. Large values go to `blobs`.
///
/// # Errors
/// [`StoreError::Invalid`] for a setting that cannot be right, [`StoreError::Unavailable`] when the servers cannot be reached,
/// [`StoreError::Incompatible`] when the keyspace was written by a newer version or its migrations are not this version's.
pub async fn open(config: &ScyllaConfig, blobs: Arc<dyn Blobs>) -> Result<Store, StoreError> {
    config.check()?;
    let session = session::connect(config).await?;
    migrate::run(&session, config).await?;
    // The driver routes by the keyspace's replication, which it read before the keyspace was there.
    session.refresh_metadata().await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let cql = Arc::new(Cql::prepare(session, config).await?);
    let heads = Arc::new(heads::Heads::new(cql.clone()));
    let snapshots = snapshots::Snapshots::new(cql.clone());
    let rows = Arc::new(rows::ListRows::new(cql.clone()));
    let journal = journal::EventJournal::new(cql.clone(), heads, snapshots.clone());
    Ok(Store {
        journal: Arc::new(journal),
        wake: cql.clone(),
        rows: rows.clone(),
        leases: cql.clone(),
        unique: cql.clone(),
        answers: cql.clone(),
        keys: Arc::new(keys::DataKeys::new(cql, snapshots, rows)),
        blobs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_right_are_refused_by_name() {
        let good = ScyllaConfig::new(vec!["127.0.0.1:9042".to_owned()], "colloquy");
        good.check().unwrap();
        let refused = |config: ScyllaConfig| {
            let Err(StoreError::Invalid(text)) = config.check() else { panic!("{config:?} was taken") };
            text
        };
        for keyspace in ["", "1a", "_a", "a-b", "A", "a;b", "a b", &"a".repeat(49)] {
            assert!(
                refused(ScyllaConfig { keyspace: keyspace.to_owned(), ..good.clone() }).contains("keyspace"),
                "{keyspace}"
            );
        }
        for datacenter in ["", "a'b", "a b", "a}"] {
            let text = refused(ScyllaConfig { datacenter: datacenter.to_owned(), ..good.clone() });
            assert!(text.contains("data centre"), "{datacenter}: {text}");
        }
        assert!(refused(ScyllaConfig { nodes: Vec::new(), ..good.clone() }).contains("server"));
        assert!(refused(ScyllaConfig { replication: 0, ..good }).contains("copy"));
    }

    #[test]
    fn a_password_is_not_shown() {
        let login = ScyllaLogin { user: "ann".to_owned(), password: "hunter2".to_owned() };
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}
