//! Brings the file to this version's tables: forward only, each migration once, none changed after it ran.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::StoreError;

use super::fault;

/// "CLQY": what `file` shows for the database and what tells it from any other SQLite file.
const APPLICATION_ID: i64 = 0x434c_5159;

struct Migration {
    name: &'static str,
    sql: &'static str,
}

/// In order; the number of a migration is its place from 1. A migration that was released never changes.
const MIGRATIONS: &[Migration] = &[
    Migration { name: "0001_journal", sql: include_str!("migrations/0001_journal.sql") },
    Migration { name: "0002_cluster", sql: include_str!("migrations/0002_cluster.sql") },
    Migration { name: "0003_rows_of_an_entity", sql: include_str!("migrations/0003_rows_of_an_entity.sql") },
];

const LEDGER: &str = "CREATE TABLE migration (
    number        INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL,
    checksum      TEXT    NOT NULL,
    applied_at_ms INTEGER NOT NULL
) STRICT";

/// Makes sure that the file is ours, applies what is missing, and compares the resulting tables with what the migrations make.
pub(super) fn run(connection: &mut Connection, file: &Path) -> Result<(), StoreError> {
    identify(connection, file)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(format!(
            "{} cannot use a write-ahead log (journal mode {mode})",
            file.display()
        )));
    }
    apply(connection, MIGRATIONS)?;
    let mut fresh = Connection::open_in_memory()?;
    apply(&mut fresh, MIGRATIONS)?;
    if schema(connection)? != schema(&fresh)? {
        return Err(fault::corrupt(file.display().to_string(), "its tables are not those that its migrations made"));
    }
    Ok(())
}

fn identify(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    let found: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if found == APPLICATION_ID || (found == 0 && tables == 0) {
        return Ok(());
    }
    let text =
        format!("{} is the database of another program: move it away, or choose another data folder", file.display());
    Err(StoreError::Incompatible(text))
}

fn apply(connection: &mut Connection, migrations: &[Migration]) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let exists = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migration'";
    if transaction.query_row(exists, [], |_| Ok(())).optional()?.is_none() {
        transaction.execute_batch(LEDGER)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    let applied: Vec<(i64, String, String)> = transaction
        .prepare("SELECT number, name, checksum FROM migration ORDER BY number")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    if let Some((_, name, _)) = applied.get(migrations.len()) {
        let text = format!(
            "this data was written by a newer Colloquy (it has migration {name}): start that version or restore a backup"
        );
        return Err(StoreError::Incompatible(text));
    }
    for (place, (number, name, checksum)) in applied.iter().enumerate() {
        let ours = &migrations[place];
        if *number != place as i64 + 1 || *name != ours.name || *checksum != checksum_of(ours) {
            let text = format!(
                "migration {name} ran with another content than this version has as {}: start the version that wrote this data or restore a backup",
                ours.name
            );
            return Err(StoreError::Incompatible(text));
        }
    }
    for (place, migration) in migrations.iter().enumerate().skip(applied.len()) {
        transaction.execute_batch(migration.sql)?;
        transaction.execute(
            "INSERT INTO migration (number, name, checksum, applied_at_ms) VALUES (?1, ?2, ?3, CAST(unixepoch('subsec') * 1000 AS INTEGER))",
            (place as i64 + 1, migration.name, checksum_of(migration)),
        )?;
    }
    transaction.commit().map_err(fault::of_commit)
}

fn checksum_of(migration: &Migration) -> String {
    blake3::hash(migration.sql.as_bytes()).to_hex().to_string()
}

/// Type, name, table and text of a table or index; automatic indexes have no text.
type Object = (String, String, String, Option<String>);

/// Every table and index as it was created.
fn schema(connection: &Connection) -> Result<Vec<Object>, StoreError> {
    // sqlite_stat tables appear when someone runs ANALYZE; they are no harm.
    let mut statement = connection.prepare(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration = Migration { name: "0001_a", sql: "CREATE TABLE a (x)" };
    const SECOND: Migration = Migration { name: "0002_b", sql: "CREATE TABLE b (x)" };

    fn apply_in_turn(first: &[Migration], second: &[Migration]) -> Result<(), StoreError> {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, first).unwrap();
        apply(&mut connection, second)
    }

    #[test]
    fn a_later_version_adds_its_migrations_and_runs_none_twice() {
        assert_eq!(apply_in_turn(&[FIRST], &[FIRST, SECOND]), Ok(()));
        assert_eq!(apply_in_turn(&[FIRST, SECOND], &[FIRST, SECOND]), Ok(()));
    }

    #[test]
    fn an_earlier_version_refuses_newer_data_and_says_what_to_do() {
        let Err(StoreError::Incompatible(text)) = apply_in_turn(&[FIRST, SECOND], &[FIRST]) else { panic!("accepted") };
        assert!(text.contains("newer Colloquy") && text.contains("0002_b") && text.contains("backup"), "{text}");
    }

    #[test]
    fn a_changed_migration_is_refused() {
        let changed = Migration { name: "0001_a", sql: "CREATE TABLE a (y)" };
        let Err(StoreError::Incompatible(text)) = apply_in_turn(&[FIRST], &[changed, SECOND]) else {
            panic!("accepted")
        };
        assert!(text.contains("0001_a"), "{text}");
    }

    #[test]
    fn a_failing_migration_leaves_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        let broken = Migration { name: "0002_b", sql: "CREATE TABLE b (x); CREATE TABLE b (x)" };
        assert!(apply(&mut connection, &[FIRST, broken]).is_err());
        assert!(schema(&connection).unwrap().is_empty());
    }

    #[test]
    fn a_folder_of_before_there_were_clusters_keeps_its_facts_and_checks_no_key() {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, &MIGRATIONS[..1]).unwrap();
        connection.execute("INSERT INTO cluster (one, name, shards) VALUES (1, 'old', 64)", []).unwrap();
        apply(&mut connection, MIGRATIONS).unwrap();
        let sql = "SELECT name, shards, schema, key_check FROM cluster";
        let read = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
        assert_eq!(read, Ok(("old".to_owned(), 64, 1, String::new())));
    }

    #[test]
    fn every_migration_file_is_listed_in_order() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sqlite/migrations");
        let mut files: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let listed: Vec<String> = MIGRATIONS.iter().map(|migration| format!("{}.sql", migration.name)).collect();
        assert_eq!(files, listed);
        for (place, file) in files.iter().enumerate() {
            assert!(file.starts_with(&format!("{:04}_", place + 1)), "{file}");
        }
    }
}
