//! What only the SQLite adapter promises: refusing what it must not open, a full disk, erased bytes, backups.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use colloquy_store::journal::{Append, Snapshot};
use colloquy_store::rows::Row;
use colloquy_store::sqlite::{self, FILE_NAME, SqliteConfig};
use colloquy_store::{EntityKey, Store, StoreError};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;

fn open(dir: &Path) -> Result<Store, StoreError> {
    sqlite::open(dir, SqliteConfig::default())
}

fn refusal(dir: &Path) -> StoreError {
    match open(dir) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

fn key(id: &str) -> EntityKey {
    EntityKey::new("acme", "conversation", id)
}

async fn append(store: &Store, id: &str, event: Bytes) -> Result<(), StoreError> {
    let claimed = store.journal.claim(&key(id), 1).await?;
    let append = Append { id: Uuid::new_v4(), events: vec![event], wake: None };
    store.journal.append(&key(id), claimed.claim, claimed.last_seq, append).await
}

async fn events(store: &Store, id: &str) -> usize {
    store.journal.load(&key(id), 0, usize::MAX).await.unwrap().len()
}

/// A folder with one conversation of three events, closed.
async fn closed() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    for _ in 0..3 {
        append(&store, "a", Bytes::from_static(b"hello")).await.unwrap();
    }
    dir
}

#[tokio::test]
async fn a_second_process_is_told_who_uses_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let StoreError::Unavailable(text) = refusal(dir.path()) else { panic!() };
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    drop(store);
    open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_clean_close_leaves_one_file_and_no_log() {
    let dir = closed().await;
    assert!(!dir.path().join("colloquy.db-wal").exists());
    assert_eq!(events(&open(dir.path()).unwrap(), "a").await, 3);
}

#[tokio::test]
async fn data_of_a_newer_version_is_refused_with_what_to_do() {
    let dir = closed().await;
    let db = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    db.execute("INSERT INTO migration SELECT max(number) + 1, 'later', 'x', 0 FROM migration", []).unwrap();
    drop(db);
    let StoreError::Incompatible(text) = refusal(dir.path()) else { panic!() };
    assert!(text.contains("newer Colloquy") && text.contains("restore a backup"), "{text}");
}

#[tokio::test]
async fn tables_that_someone_changed_are_refused() {
    for change in ["DROP INDEX entity_by_hash", "ALTER TABLE event ADD COLUMN mine TEXT", "CREATE TABLE mine (x)"] {
        let dir = closed().await;
        Connection::open(dir.path().join(FILE_NAME)).unwrap().execute_batch(change).unwrap();
        assert!(matches!(refusal(dir.path()), StoreError::Corrupt { .. }), "{change}");
    }
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = fs::read(&file).unwrap();
    assert!(matches!(refusal(dir.path()), StoreError::Incompatible(_)));
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    for content in [
        &b"x"[..],
        b"SQLite format 3\0",
        &[0; 8192],
        &[b'a'; 8192],
        b"SQLite format 2\0 and more than a hundred bytes of text that is nothing like the header of a database file",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE_NAME);
        fs::write(&file, content).unwrap();
        let StoreError::Corrupt { place, detail } = refusal(dir.path()) else { panic!() };
        assert!(
            place.contains(FILE_NAME) && detail.contains("not a database") && detail.contains(".recover"),
            "{place}: {detail}"
        );
        assert_eq!(fs::read(&file).unwrap(), content);
    }
}

#[tokio::test]
async fn a_database_cut_short_is_refused() {
    let dir = closed().await;
    let file = dir.path().join(FILE_NAME);
    let content = fs::read(&file).unwrap();
    for length in [content.len() - 1, content.len() - 4096, 4096, 100] {
        fs::write(&file, &content[..length]).unwrap();
        assert!(matches!(refusal(dir.path()), StoreError::Corrupt { .. }), "{length} bytes");
    }
    // Empty is what a new file looks like, unless a log says that it was not.
    fs::write(&file, []).unwrap();
    fs::write(dir.path().join("colloquy.db-wal"), [1; 5000]).unwrap();
    assert!(matches!(refusal(dir.path()), StoreError::Corrupt { .. }));
    assert_eq!(fs::read(dir.path().join("colloquy.db-wal")).unwrap().len(), 5000);
}

#[tokio::test]
async fn a_damaged_log_is_refused_and_opens_only_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let killed = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    for _ in 0..9 {
        append(&store, "a", Bytes::from_static(b"hello")).await.unwrap();
    }
    for file in [FILE_NAME, "colloquy.db-wal"] {
        fs::copy(dir.path().join(file), killed.path().join(file)).unwrap();
    }
    let log = killed.path().join("colloquy.db-wal");
    let mut damaged = fs::read(&log).unwrap();
    let middle = damaged.len() * 3 / 4;
    damaged[middle] ^= 4;
    fs::write(&log, &damaged).unwrap();

    let StoreError::Corrupt { place, detail } = refusal(killed.path()) else { panic!() };
    assert!(
        place.ends_with("colloquy.db-wal") && detail.contains("accept_damaged_log") && detail.contains("backup"),
        "{place}: {detail}"
    );
    assert_eq!(fs::read(&log).unwrap(), damaged);

    let store =
        sqlite::open(killed.path(), SqliteConfig { accept_damaged_log: true, ..SqliteConfig::default() }).unwrap();
    assert_eq!(fs::read(killed.path().join("colloquy.db-wal.damaged")).unwrap(), damaged);
    let left = events(&store, "a").await;
    assert!((1..9).contains(&left), "{left}");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_serves_reads_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let config = SqliteConfig { max_bytes: Some(2 << 20), ..SqliteConfig::default() };
    let store = sqlite::open(dir.path(), config.clone()).unwrap();
    // Something that can be given back later.
    let answer = Bytes::from(vec![1; 200 << 10]);
    for key in ["1", "2"] {
        store.answers.begin("s", key, [0; 32], 0).await.unwrap();
        store.answers.finish("s", key, answer.clone(), 100).await.unwrap();
    }
    let event = Bytes::from(vec![2; 50 << 10]);
    let mut written = 0;
    let full = loop {
        match append(&store, "a", event.clone()).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100, "never full");
    };
    assert!(matches!(full, StoreError::Full(_)), "{full}");
    assert!(written > 10);
    for _ in 0..3 {
        assert!(matches!(append(&store, "a", event.clone()).await, Err(StoreError::Full(_))));
        assert_eq!(events(&store, "a").await, written);
    }
    // In one transaction with what does not fit, what fits is written.
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let (store, event) = (store.clone(), event.clone());
        tasks.spawn(async move {
            if task % 2 == 0 {
                assert!(matches!(append(&store, "a", event).await, Err(StoreError::Full(_) | StoreError::Fenced(_))));
            } else {
                append(&store, &format!("small {task}"), Bytes::from_static(b"x")).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(events(&store, "small 3").await, 1);

    assert_eq!(store.answers.sweep(100).await.unwrap(), 2);
    append(&store, "a", event.clone()).await.unwrap();
    assert_eq!(events(&store, "a").await, written + 1);
    drop(store);
    let store = sqlite::open(dir.path(), config).unwrap();
    assert_eq!(events(&store, "a").await, written + 1);
}

#[tokio::test]
async fn erased_bytes_are_in_no_file_when_destroy_returns() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let secret: Bytes = (0..120_u8).map(|n| n.wrapping_mul(83) ^ 0x5a).collect();
    // Any part of it counts: freed space is partly overwritten by whatever comes next.
    let parts: Vec<&[u8]> = secret.chunks(8).collect();
    let holds = |what: &str| {
        let files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        let found = files.filter(|path| fs::read(path).unwrap().windows(8).any(|window| parts.contains(&window)));
        assert_eq!(found.count() > 0, what == "before", "{what}");
    };
    for id in ["a", "b", "c"] {
        store
            .keys
            .get_or_insert(&key(id), if id == "b" { secret.clone() } else { Bytes::from_static(b"other") })
            .await
            .unwrap();
    }
    holds("before");
    store.keys.destroy(&key("b")).await.unwrap();
    holds("after");
    assert_eq!(store.keys.get(&key("a")).await.unwrap(), Some(Bytes::from_static(b"other")));
}

#[tokio::test]
async fn more_than_may_wait_is_refused_and_what_was_accepted_stands() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    // One runtime thread: all of these are handed over before any answer is read, at several times the bytes that may wait.
    let event = Bytes::from(vec![0; 1 << 20]);
    let mut claims = Vec::new();
    for task in 0..200 {
        claims.push(store.journal.claim(&key(&task.to_string()), 1).await.unwrap().claim);
    }
    let mut tasks = JoinSet::new();
    for (task, claim) in claims.into_iter().enumerate() {
        let append = Append { id: Uuid::new_v4(), events: vec![event.clone()], wake: None };
        let store = store.clone();
        tasks.spawn(async move { (task, store.journal.append(&key(&task.to_string()), claim, 0, append).await) });
    }
    let mut refused = 0;
    for (task, result) in tasks.join_all().await {
        match result {
            Ok(()) => assert_eq!(events(&store, &task.to_string()).await, 1),
            Err(StoreError::Unavailable(_)) => {
                refused += 1;
                assert_eq!(events(&store, &task.to_string()).await, 0);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!((1..200).contains(&refused), "{refused} refused");
    append(&store, "after", Bytes::from_static(b"x")).await.unwrap();
}

#[tokio::test]
async fn the_log_does_not_grow_without_bound() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = 1 << 20;
    let store = sqlite::open(dir.path(), SqliteConfig { log_bytes: wanted, ..SqliteConfig::default() }).unwrap();
    let event = Bytes::from(vec![0; 512 << 10]);
    let mut largest = 0;
    for _ in 0..40 {
        append(&store, "a", event.clone()).await.unwrap();
        largest = largest.max(fs::metadata(dir.path().join("colloquy.db-wal")).map_or(0, |log| log.len()));
    }
    // Four times what is wanted is where the writer stops to fold it, and one transaction may stand above that.
    assert!(largest > wanted / 2 && largest < 5 * wanted, "{largest} bytes");
}

#[tokio::test]
async fn a_backup_taken_while_in_use_opens_as_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    append(&store, "a", Bytes::from_static(b"1")).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    sqlite::backup(dir.path(), &copy.path().join(FILE_NAME)).unwrap();
    append(&store, "a", Bytes::from_static(b"2")).await.unwrap();
    assert!(matches!(sqlite::backup(dir.path(), &copy.path().join(FILE_NAME)), Err(StoreError::Invalid(_))));
    assert_eq!(events(&open(copy.path()).unwrap(), "a").await, 1);
    drop(store);
    sqlite::backup(dir.path(), &copy.path().join("second.db")).unwrap();
    assert_eq!(events(&open(dir.path()).unwrap(), "a").await, 2);
}

#[tokio::test]
async fn unfinished_blobs_of_a_killed_process_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("blobs-unfinished")).unwrap();
    fs::write(dir.path().join("blobs-unfinished/0"), b"half").unwrap();
    let store = open(dir.path()).unwrap();
    assert_eq!(fs::read_dir(dir.path().join("blobs-unfinished")).unwrap().count(), 0);
    store.blobs.put("a/b", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(fs::read_dir(dir.path().join("blobs-unfinished")).unwrap().count(), 0);
    assert_eq!(store.blobs.list("").await.unwrap(), ["a/b"]);
}

#[tokio::test]
async fn an_altered_or_missing_row_is_named() {
    let dir = closed().await;
    let store = open(dir.path()).unwrap();
    let bytes = Bytes::from_static(b"content");
    store.journal.save_snapshot(&key("a"), Snapshot { seq: 3, bytes: bytes.clone() }).await.unwrap();
    store.keys.get_or_insert(&key("a"), bytes.clone()).await.unwrap();
    let row = Row {
        tenant: "acme".into(),
        list: "l".into(),
        at_ms: 1,
        id: "a".into(),
        seq: 3,
        view_version: 1,
        body: Some(bytes),
        numbers: None,
    };
    store.rows.put(&[row]).await.unwrap();
    drop(store);
    let content = fs::read(dir.path().join(FILE_NAME)).unwrap();

    for (change, place) in [
        ("DELETE FROM event WHERE seq = 1", "acme/conversation/a at 1"),
        ("DELETE FROM event WHERE seq = 2", "acme/conversation/a at 2"),
        ("DELETE FROM event WHERE seq = 3", "acme/conversation/a at 3"),
        ("UPDATE event SET seq = 20 WHERE seq = 2", "acme/conversation/a at 2"),
        ("UPDATE event SET bytes = x'00' WHERE seq = 1", "acme/conversation/a at 1"),
        ("UPDATE event SET epoch = 9 WHERE seq = 2", "acme/conversation/a at 2"),
        ("UPDATE event SET append_id = zeroblob(16) WHERE seq = 3", "acme/conversation/a at 3"),
        ("UPDATE event SET append_id = x'' WHERE seq = 3", "acme/conversation/a at 3"),
        ("UPDATE entity SET last_seq = 2", "acme/conversation/a"),
        ("UPDATE entity SET last_seq = -1", "acme/conversation/a"),
        ("UPDATE entity SET epoch = 0", "acme/conversation/a"),
        ("UPDATE snapshot SET seq = 2", "the snapshot of acme/conversation/a"),
        ("UPDATE list_row SET body = x'00'", "row acme/l/a"),
        ("UPDATE list_row SET at_ms = 2", "row acme/l/a"),
        ("UPDATE entity_key SET wrapped = x'00'", "the data key of acme/conversation/a"),
    ] {
        fs::write(dir.path().join(FILE_NAME), &content).unwrap();
        Connection::open(dir.path().join(FILE_NAME)).unwrap().execute_batch(change).unwrap();
        let store = open(dir.path()).unwrap();
        // In pages of two, so that a gap cannot hide behind the end of one.
        let outcomes = [
            store.journal.load(&key("a"), 0, 2).await.map(|_| ()),
            store.journal.load(&key("a"), 2, 2).await.map(|_| ()),
            store.journal.load_snapshot(&key("a")).await.map(|_| ()),
            // A damaged row stands in a scan without its content.
            store.rows.scan("acme", "l", None, 9).await.and_then(|rows| match rows.iter().find(|row| row.seq == 0) {
                Some(row) => {
                    Err(StoreError::Corrupt { place: format!("row acme/l/{}", row.id), detail: String::new() })
                }
                None => Ok(()),
            }),
            store.keys.get(&key("a")).await.map(|_| ()),
        ];
        let places: Vec<&str> = outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Err(StoreError::Corrupt { place, .. }) => Some(place.as_str()),
                Err(error) => panic!("{change}: {error}"),
                Ok(()) => None,
            })
            .collect();
        assert!(places.iter().any(|found| found.starts_with(place)), "{change}: {places:?}");
    }
}
