//! Brings the keyspace to this version's tables: forward only, each statement once, one node at a time, none changed after it ran.
//!
//! A data definition cannot be undone, so a file is a row of statements that only add (`IF NOT EXISTS`), and the ledger says after each how
//! far it came: a node that dies in between leaves a file that the next one finishes.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::response::query_result::QueryRowsResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::unprepared::Statement;
use scylla::statement::{Consistency, SerialConsistency};
use tokio::time::Instant;
use uuid::Uuid;

use crate::StoreError;

use super::{ScyllaConfig, fault};

/// One file of `migrations/`.
#[derive(Clone, Copy)]
struct Migration {
    name: &'static str,
    cql: &'static str,
}

/// In order; the number of a migration is its place from 1. A migration that was released never changes.
const MIGRATIONS: &[Migration] =
    &[Migration { name: "0001_store", cql: include_str!("../../../../migrations/0001_store.cql") }];

/// How long a lock is held without a sign of life. Longer than a statement takes; it is taken anew before each.
const LOCK_MS: i64 = 90_000;

/// How long a start waits for another node's migrations.
const WAIT: Duration = Duration::from_secs(300);

/// How often a waiting start looks.
const LOOK: Duration = Duration::from_millis(500);

/// Makes the keyspace where there is none, and applies what is missing.
pub(super) async fn run(session: &Session, config: &ScyllaConfig) -> Result<(), StoreError> {
    apply(&Runner::new(session, config), MIGRATIONS).await
}

async fn apply(runner: &Runner<'_>, migrations: &[Migration]) -> Result<(), StoreError> {
    // The usual start finds everything done and needs no lock.
    if runner.is_begun().await? && next(&runner.known_ledger().await?, migrations)?.is_none() {
        return Ok(());
    }
    runner.create().await?;
    runner.lock().await?;
    let applied = runner.apply(migrations).await;
    let unlocked = runner.unlock().await;
    applied.and(unlocked)
}

/// One row of the ledger.
struct Done {
    number: i32,
    name: String,
    checksum: String,
    /// How many of its statements ran.
    statements: i32,
}

/// The first statement that has not run, as places in `migrations` and in its file. Refuses what another version did.
fn next(ledger: &[Done], migrations: &[Migration]) -> Result<Option<(usize, usize)>, StoreError> {
    if let Some(done) = ledger.get(migrations.len()) {
        let text = format!(
            "this keyspace was written by a newer Colloquy (it has migration {}): start that version or restore a backup",
            done.name
        );
        return Err(StoreError::Incompatible(text));
    }
    for (place, migration) in migrations.iter().enumerate() {
        let Some(done) = ledger.get(place) else {
            return Ok(Some((place, 0)));
        };
        if usize::try_from(done.number) != Ok(place + 1)
            || done.name != migration.name
            || done.checksum != checksum_of(migration)
        {
            let text = format!(
                "migration {} ran with another content than this version has as {}: start the version that wrote this keyspace or restore a backup",
                done.name, migration.name
            );
            return Err(StoreError::Incompatible(text));
        }
        let ran = usize::try_from(done.statements).unwrap_or_default();
        if ran < statements(migration.cql).len() {
            return Ok(Some((place, ran)));
        }
    }
    Ok(None)
}

fn checksum_of(migration: &Migration) -> String {
    blake3::hash(migration.cql.as_bytes()).to_hex().to_string()
}

/// The statements of a file: comments are lines of their own, a semicolon ends a statement.
fn statements(cql: &str) -> Vec<String> {
    let lines = cql.lines().filter(|line| !line.trim_start().starts_with("--"));
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

/// A statement of a file with its table named in full.
fn in_keyspace(statement: &str, keyspace: &str) -> Result<String, StoreError> {
    for opening in ["CREATE TABLE IF NOT EXISTS ", "ALTER TABLE "] {
        if let Some(rest) = statement.strip_prefix(opening) {
            return Ok(format!("{opening}{keyspace}.{rest}"));
        }
    }
    Err(StoreError::Incompatible(format!("a migration has a statement that only adds to no table: {statement}")))
}

struct Runner<'a> {
    session: &'a Session,
    config: &'a ScyllaConfig,
    owner: Uuid,
}

impl<'a> Runner<'a> {
    fn new(session: &'a Session, config: &'a ScyllaConfig) -> Self {
        Self { session, config, owner: Uuid::new_v4() }
    }

    fn statement(&self, cql: &str, consistency: Consistency) -> Statement {
        let mut statement = Statement::new(cql.replace("$.", &format!("{}.", self.config.keyspace)));
        statement.set_consistency(consistency);
        statement.set_serial_consistency(Some(SerialConsistency::LocalSerial));
        statement.set_request_timeout(Some(self.config.timeouts.recovery));
        statement
    }

    /// Reads, and reads again for as long as a claim is tried: servers that have just agreed on a table, or whose other nodes ask for the same row
    /// at the same time, may answer late, and that is no reason not to start.
    async fn read(
        &self,
        cql: &str,
        consistency: Consistency,
        values: impl SerializeRow,
    ) -> Result<QueryRowsResult, StoreError> {
        let deadline = Instant::now() + self.config.timeouts.settle;
        loop {
            let answer = self.session.query_unpaged(self.statement(cql, consistency), &values).await;
            match answer.map_err(fault::of_repeatable) {
                Ok(answer) => return Ok(answer.into_rows_result()?),
                Err(error @ StoreError::Unavailable(_)) if Instant::now() < deadline => {
                    tracing::debug!(%error, "read again");
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A conditional statement; what it left open is known to whoever reads again.
    async fn swap(&self, cql: &str, values: impl SerializeRow) -> Result<bool, StoreError> {
        let statement = self.statement(cql, Consistency::LocalQuorum);
        let answer = self.session.query_unpaged(statement, values).await.map_err(fault::of_conditional)?;
        super::session::applied(answer)
    }

    /// Runs a data definition and waits until all servers have it.
    async fn define(&self, cql: &str) -> Result<(), StoreError> {
        let settled = Instant::now() + self.config.timeouts.settle;
        loop {
            let statement = self.statement(cql, Consistency::LocalQuorum);
            match self.session.query_unpaged(statement, ()).await.map_err(fault::of_repeatable) {
                Ok(_) => return self.agree().await,
                // What it stands in was made a moment ago, and one of several servers has not heard of it yet.
                Err(StoreError::Incompatible(why)) if is_unheard_of(&why) && Instant::now() < settled => {
                    self.agree().await?;
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until all servers know the same keyspaces and tables.
    async fn agree(&self) -> Result<(), StoreError> {
        let agreed = self.session.await_schema_agreement().await;
        agreed
            .map(|_| ())
            .map_err(|error| StoreError::Unavailable(format!("the servers do not agree on the tables: {error}")))
    }

    async fn has(&self, cql: &str, values: impl SerializeRow) -> Result<bool, StoreError> {
        Ok(self.read(cql, Consistency::LocalQuorum, values).await?.rows_num() > 0)
    }

    async fn is_begun(&self) -> Result<bool, StoreError> {
        let cql = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'migration'";
        self.has(cql, (&self.config.keyspace,)).await
    }

    /// The keyspace and the two tables of the runner itself.
    async fn create(&self) -> Result<(), StoreError> {
        let keyspace = &self.config.keyspace;
        let exists = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
        if self.has(exists, (keyspace,)).await? {
            // Another node has just made it, perhaps, and the next statement may go to a server that has not heard of it.
            self.agree().await?;
        } else {
            let copies = format!("'{}': {}", self.config.datacenter, self.config.replication);
            let scylla = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system' AND table_name = 'scylla_local'";
            // ScyllaDB makes tablets by default and does conditional statements on them in its latest versions only; Cassandra knows no tablets.
            let tablets = if self.has(scylla, ()).await? { " AND tablets = {'enabled': false}" } else { "" };
            self.define(&format!(
                "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', {copies}}}{tablets}"
            ))
            .await?;
        }
        self.define(
            "CREATE TABLE IF NOT EXISTS $.migration (one int, number int, name text, checksum text, statements int, PRIMARY KEY ((one), number))",
        )
        .await?;
        self.define("CREATE TABLE IF NOT EXISTS $.migration_lock (one int PRIMARY KEY, owner uuid, until_ms bigint)")
            .await
    }

    /// The ledger, also when a server lists its table already and does not take statements for it yet, or another server has not heard of it: two
    /// nodes that start at the same time.
    async fn known_ledger(&self) -> Result<Vec<Done>, StoreError> {
        let deadline = Instant::now() + self.config.timeouts.settle;
        loop {
            match self.ledger().await {
                Err(StoreError::Incompatible(_)) if Instant::now() < deadline => {
                    self.agree().await?;
                    tokio::time::sleep(LOOK).await;
                }
                read => return read,
            }
        }
    }

    async fn ledger(&self) -> Result<Vec<Done>, StoreError> {
        let cql = "SELECT number, name, checksum, statements FROM $.migration WHERE one = 1";
        let answer = self.read(cql, Consistency::LocalSerial, ()).await?;
        let mut ledger = Vec::new();
        for row in answer.rows::<(i32, String, String, i32)>()? {
            let (number, name, checksum, statements) = row?;
            ledger.push(Done { number, name, checksum, statements });
        }
        Ok(ledger)
    }

    /// Waits for the lock: until its owner gives it back, or has not been heard of for too long.
    async fn lock(&self) -> Result<(), StoreError> {
        let (deadline, settled) = (Instant::now() + WAIT, Instant::now() + self.config.timeouts.settle);
        loop {
            match self.take_lock().await {
                Ok(true) => return Ok(()),
                Ok(false) | Err(StoreError::Unknown(_)) if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
                // One of several servers has not heard of the new table yet.
                Err(StoreError::Incompatible(_)) if Instant::now() < settled => {
                    self.agree().await?;
                    tokio::time::sleep(LOOK).await;
                }
                Ok(false) => {
                    let text =
                        format!("another node has been migrating {} for {} s", self.config.keyspace, WAIT.as_secs());
                    return Err(StoreError::Unavailable(text));
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn take_lock(&self) -> Result<bool, StoreError> {
        let cql = "SELECT owner, until_ms FROM $.migration_lock WHERE one = 1";
        let answer = self.read(cql, Consistency::LocalSerial, ()).await?;
        let until_ms = now_ms() + LOCK_MS;
        match answer.maybe_first_row::<(Uuid, i64)>()? {
            None => {
                let cql = "INSERT INTO $.migration_lock (one, owner, until_ms) VALUES (1, ?, ?) IF NOT EXISTS";
                self.swap(cql, (self.owner, until_ms)).await
            }
            Some((owner, until)) if owner == self.owner || until <= now_ms() => {
                let cql =
                    "UPDATE $.migration_lock SET owner = ?, until_ms = ? WHERE one = 1 IF owner = ? AND until_ms = ?";
                self.swap(cql, (self.owner, until_ms, owner, until)).await
            }
            Some(_) => Ok(false),
        }
    }

    async fn unlock(&self) -> Result<(), StoreError> {
        match self.swap("DELETE FROM $.migration_lock WHERE one = 1 IF owner = ?", (self.owner,)).await {
            // Held by nobody or by another one by now; or it runs out by itself.
            Ok(_) | Err(StoreError::Unknown(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn apply(&self, migrations: &[Migration]) -> Result<(), StoreError> {
        let deadline = Instant::now() + WAIT;
        while let Some((place, ran)) = next(&self.ledger().await?, migrations)? {
            match self.step(&migrations[place], place, ran).await {
                Ok(()) => {}
                // The ledger says how far it came.
                Err(StoreError::Unknown(_)) if Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Runs one statement of a file and notes that it ran.
    async fn step(&self, migration: &Migration, place: usize, ran: usize) -> Result<(), StoreError> {
        if !self.take_lock().await? {
            return Err(StoreError::Unavailable(format!("another node migrates {} too", self.config.keyspace)));
        }
        let number = place as i32 + 1;
        if ran == 0 {
            let cql = "INSERT INTO $.migration (one, number, name, checksum, statements) VALUES (1, ?, ?, ?, 0) IF NOT EXISTS";
            self.swap(cql, (number, migration.name, checksum_of(migration))).await?;
        }
        let all = statements(migration.cql);
        tracing::info!(migration = migration.name, statement = ran + 1, of = all.len(), "migrating");
        self.define(&in_keyspace(&all[ran], &self.config.keyspace)?).await?;
        let cql = "UPDATE $.migration SET statements = ? WHERE one = 1 AND number = ? IF statements = ?";
        self.swap(cql, (ran as i32 + 1, number, ran as i32)).await?;
        Ok(())
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Whether a server refuses a statement because it does not know the keyspace or table.
fn is_unheard_of(why: &str) -> bool {
    ["doesn't exist", "does not exist", "unconfigured table"].iter().any(|said| why.contains(said))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const FIRST: Migration = Migration { name: "0001_a", cql: "CREATE TABLE IF NOT EXISTS a (x int PRIMARY KEY);" };
    const SECOND: Migration =
        Migration { name: "0002_b", cql: "-- Two; of them.\nALTER TABLE a ADD y int;\nALTER TABLE a ADD z int;" };

    fn done(number: i32, migration: &Migration, statements: i32) -> Done {
        Done { number, name: migration.name.to_owned(), checksum: checksum_of(migration), statements }
    }

    #[test]
    fn what_is_missing_is_found_also_in_the_middle_of_a_file() {
        let all = [FIRST, SECOND];
        for (ledger, expected) in [
            (vec![], Some((0, 0))),
            (vec![done(1, &FIRST, 0)], Some((0, 0))),
            (vec![done(1, &FIRST, 1)], Some((1, 0))),
            (vec![done(1, &FIRST, 1), done(2, &SECOND, 1)], Some((1, 1))),
            (vec![done(1, &FIRST, 1), done(2, &SECOND, 2)], None),
        ] {
            assert_eq!(next(&ledger, &all), Ok(expected));
        }
    }

    #[test]
    fn an_earlier_version_refuses_newer_data_and_says_what_to_do() {
        let ledger = [done(1, &FIRST, 1), done(2, &SECOND, 2)];
        let Err(StoreError::Incompatible(text)) = next(&ledger, &[FIRST]) else { panic!("accepted") };
        assert!(text.contains("newer Colloquy") && text.contains("0002_b") && text.contains("backup"), "{text}");
    }

    #[test]
    fn a_changed_migration_is_refused() {
        let changed = Migration { name: "0001_a", cql: "CREATE TABLE IF NOT EXISTS a (y int PRIMARY KEY);" };
        let Err(StoreError::Incompatible(text)) = next(&[done(1, &FIRST, 1)], &[changed, SECOND]) else {
            panic!("accepted")
        };
        assert!(text.contains("0001_a"), "{text}");
    }

    #[test]
    fn every_migration_file_is_listed_in_order_and_only_adds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
        let mut files: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let listed: Vec<String> = MIGRATIONS.iter().map(|migration| format!("{}.cql", migration.name)).collect();
        assert_eq!(files, listed);
        for (place, migration) in MIGRATIONS.iter().enumerate() {
            assert!(migration.name.starts_with(&format!("{:04}_", place + 1)), "{}", migration.name);
            for statement in statements(migration.cql) {
                in_keyspace(&statement, "k").unwrap();
            }
        }
        assert!(in_keyspace("DROP TABLE a", "k").is_err());
    }
}
