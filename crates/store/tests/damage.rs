//! No damage to the files makes an acknowledged append vanish or change in silence: it is there, or an error says that it is not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use bytes::Bytes;
use colloquy_store::journal::{Append, Snapshot};
use colloquy_store::rows::Row;
use colloquy_store::sqlite::{self, FILE_NAME, SqliteConfig};
use colloquy_store::{EntityKey, Store, StoreError};
use proptest::prelude::*;
use uuid::Uuid;

const LOG: &str = "colloquy.db-wal";

type Files = Vec<(&'static str, Vec<u8>)>;

struct Written {
    /// Events per entity, as acknowledged.
    journals: BTreeMap<String, Vec<Bytes>>,
    /// The files of a process that was killed while its log held most of it.
    killed: Files,
    /// The files after a clean close.
    closed: Files,
}

static WRITTEN: LazyLock<Written> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = sqlite::open(dir.path(), SqliteConfig::default()).unwrap();
    let journals = runtime.block_on(fill(&store));
    let take =
        |names: &[&'static str]| names.iter().map(|name| (*name, fs::read(dir.path().join(name)).unwrap())).collect();
    let killed = take(&[FILE_NAME, LOG]);
    drop(store);
    Written { journals, killed, closed: take(&[FILE_NAME]) }
});

fn key(id: &str) -> EntityKey {
    EntityKey::new("acme", "conversation", id)
}

/// Enough entities and events that every tree has inner pages or several leaves, in many small transactions.
async fn fill(store: &Store) -> BTreeMap<String, Vec<Bytes>> {
    let mut journals: BTreeMap<String, Vec<Bytes>> = BTreeMap::new();
    for round in 0..4_usize {
        for entity in 0..60_usize {
            let id = format!("conversation-{entity:03}-with-a-name-that-fills-pages");
            let claimed = store.journal.claim(&key(&id), 1).await.unwrap();
            let events: Vec<Bytes> = (0..1 + entity % 3)
                .map(|n| Bytes::from(vec![(round * 60 + n) as u8; 20 + 300 * (entity % 4)]))
                .collect();
            let append =
                Append { id: Uuid::from_u128((round * 100 + entity) as u128), events: events.clone(), wake: None };
            store.journal.append(&key(&id), claimed.claim, claimed.last_seq, append).await.unwrap();
            let journal = journals.entry(id.clone()).or_default();
            journal.extend(events);
            if entity % 5 == 0 {
                let snapshot = Snapshot { seq: journal.len() as u64, bytes: Bytes::from(vec![7; 100]) };
                store.journal.save_snapshot(&key(&id), snapshot).await.unwrap();
                let body = Some(Bytes::from_static(b"{}"));
                let row = Row {
                    tenant: "acme".into(),
                    list: "l".into(),
                    at_ms: 1,
                    id,
                    seq: round as u64,
                    view_version: 0,
                    body,
                    numbers: None,
                };
                store.rows.put(&[row]).await.unwrap();
            }
        }
    }
    journals
}

/// Opens damaged files, reads every journal, writes to some and reads again.
fn check(files: &Files) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(read_all(dir.path()))
}

async fn read_all(dir: &Path) -> Result<(), String> {
    let store = match sqlite::open(dir, SqliteConfig { readers: 1, ..SqliteConfig::default() }) {
        Ok(store) => store,
        Err(StoreError::Corrupt { .. } | StoreError::Incompatible(_) | StoreError::Unavailable(_)) => return Ok(()),
        Err(error) => return Err(format!("refused with {error:?}")),
    };
    for (id, expected) in &WRITTEN.journals {
        compare(&store, id, expected).await?;
    }
    // A takeover must not start a journal anew, and what it then writes must stand beside what was there.
    for (id, expected) in WRITTEN.journals.iter().step_by(7) {
        let claimed = match store.journal.claim(&key(id), 2).await {
            Ok(claimed) => claimed,
            Err(StoreError::Corrupt { .. } | StoreError::Unavailable(_)) => continue,
            Err(error) => return Err(format!("claim of {id} failed with {error:?}")),
        };
        if claimed.last_seq != expected.len() as u64 {
            return Err(format!("{id} claimed at {} instead of {}", claimed.last_seq, expected.len()));
        }
        let more = Append { id: Uuid::nil(), events: vec![Bytes::from_static(b"more")], wake: None };
        if store.journal.append(&key(id), claimed.claim, claimed.last_seq, more).await.is_ok() {
            let expected = [&expected[..], &[Bytes::from_static(b"more")]].concat();
            compare(&store, id, &expected).await?;
        }
    }
    Ok(())
}

async fn compare(store: &Store, id: &str, expected: &[Bytes]) -> Result<(), String> {
    match store.journal.load(&key(id), 0, usize::MAX).await {
        Ok(records) => {
            let found: Vec<Bytes> = records.into_iter().map(|record| record.bytes).collect();
            if found == expected {
                Ok(())
            } else {
                Err(format!("{id}: {} events of {}, or others", found.len(), expected.len()))
            }
        }
        Err(StoreError::Corrupt { .. } | StoreError::Unavailable(_)) => Ok(()),
        Err(error) => Err(format!("{id}: {error:?}")),
    }
}

/// Where to damage a file: anywhere, or in the first bytes of a page, where its structure is.
fn place(length: usize) -> impl Strategy<Value = usize> {
    let page = 4096;
    prop_oneof![
        2 => 0..length,
        2 => (0..length / page, 0..64_usize).prop_map(move |(number, offset)| number * page + offset),
        1 => 0..length.min(page),
    ]
}

fn damaged(files: &Files, file: usize, place: usize, mask: u8) -> Files {
    let mut files = files.clone();
    files[file].1[place] ^= mask;
    files
}

/// `PROPTEST_CASES=5000` looks longer than there is time for in every run.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100)
}

#[test]
fn undamaged_files_are_read_whole() {
    for files in [&WRITTEN.killed, &WRITTEN.closed] {
        assert_eq!(check(files), Ok(()));
    }
    assert!(WRITTEN.killed[1].1.len() > 1 << 20, "the log holds the data");
}

#[test]
fn a_name_damaged_in_any_one_index_or_row_is_noticed() {
    let content = &WRITTEN.closed[0].1;
    for id in WRITTEN.journals.keys().step_by(6) {
        let found: Vec<usize> =
            (0..content.len() - id.len()).filter(|at| content[*at..].starts_with(id.as_bytes())).collect();
        assert!(found.len() >= 2, "{id} is in the table and in an index");
        for at in found {
            // In the number, so that it reads like another conversation's name.
            let files = damaged(&WRITTEN.closed, 0, at + "conversation-00".len(), 8);
            assert_eq!(check(&files), Ok(()), "{id} damaged at {at}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_database_never_loses_an_append_in_silence(place in place(WRITTEN.closed[0].1.len()), mask in 1..=255_u8) {
        prop_assert_eq!(check(&damaged(&WRITTEN.closed, 0, place, mask)), Ok(()));
    }

    #[test]
    fn a_damaged_log_never_loses_an_append_in_silence(place in place(WRITTEN.killed[1].1.len()), mask in 1..=255_u8) {
        prop_assert_eq!(check(&damaged(&WRITTEN.killed, 1, place, mask)), Ok(()));
    }

    #[test]
    fn a_log_cut_short_keeps_a_prefix_and_opens(cut in 0..WRITTEN.killed[1].1.len()) {
        let mut files = WRITTEN.killed.clone();
        files[1].1.truncate(cut);
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in &files {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = sqlite::open(dir.path(), SqliteConfig::default()).unwrap();
            for (id, expected) in &WRITTEN.journals {
                let found = store.journal.load(&key(id), 0, usize::MAX).await.unwrap();
                assert!(expected.iter().zip(&found).all(|(expected, found)| *expected == found.bytes), "{id}");
            }
        });
    }
}
