//! The durable store on one machine: a folder with one SQLite file, its write-ahead log, blobs, and a lock.
//!
//! # The folder
//!
//! ```text
//! <dir>/lock               held with flock(2) while a process uses the folder; contains its process id
//! <dir>/colloquy.db        the SQLite file (application id "CLQY", 4 KiB pages)
//! <dir>/colloquy.db-wal    committed transactions that are not yet in colloquy.db; never delete it
//! <dir>/colloquy.db-shm    SQLite's index of the log; rebuilt when missing
//! <dir>/blobs/             large values, see [`crate::folder`]
//! ```
//!
//! # The tables
//!
//! | table | what | found by |
//! |---|---|---|
//! | `entity` | one row per entity: claim, epoch, `last_seq` | `(tenant, kind, id)`, and by a hash of it |
//! | `event` | the journal; rows are only ever added, at the end | `(entity, seq)` |
//! | `snapshot` | newest folded state per entity | entity number |
//! | `wake` | unfinished work per shard | `(shard, tenant, kind, id)` |
//! | `list_row` | projections; `version = seq·2¹⁶ + view_version` guards writes | `(tenant, list, id)`, and by time without tombstones |
//! | `entity_key` | wrapped data keys; NULL once destroyed | `(tenant, kind, id)` |
//! | `unique_value`, `answer` | reserved values; first answers | `(scope, …)` |
//! | `cluster`, `node`, `shard` | leases | |
//! | `migration` | which files of `migrations/` ran, with their checksums | |
//!
//! # What makes it safe
//!
//! * One writer thread commits many jobs in one transaction (`synchronous=FULL`); a caller hears of success after COMMIT (`writer.rs`).
//! * Before SQLite opens the log, `wal.rs` reads it: SQLite itself silently drops committed transactions behind a flipped bit. Since
//!   the log is truncated and not rewritten in place after a checkpoint, a killed process leaves at most an incomplete last frame.
//! * Events, entities, snapshots, rows and keys carry a CRC-32C over their own name and content, checked at every read. A journal's
//!   events must be without gaps up to `entity.last_seq`; an entity that one index does not know must be unknown to the other too.
//!   So damage to the file is an error that names the place, never a shorter journal. There is no scan of all data at open: a large
//!   file would not be ready in time, and every read checks what it uses.
//! * `secure_delete` overwrites erased data keys in the file; the log that held them is truncated before `destroy` answers.

mod answers;
mod backup;
mod fault;
mod journal;
mod keys;
mod leases;
mod lock;
mod migrate;
mod readers;
mod rows;
mod unique;
mod wake;
mod wal;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

pub use backup::backup;

use self::writer::Need;
use crate::{Store, StoreError, folder::Folder};

/// The name of the database file in the data folder.
pub const FILE_NAME: &str = "colloquy.db";

/// How many different statements a connection keeps prepared: this adapter has fewer than 64.
const STATEMENTS: usize = 64;

/// How long SQLite waits for a lock between our own connections, such as the writer for a reader's last page before it truncates the log.
const BUSY_WAIT: Duration = Duration::from_millis(200);

/// What an operator may want otherwise.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// Threads that read, each with its own connection. More help only when the file is larger than memory.
    pub readers: usize,
    /// Most bytes the database may take; `None` for as many as the disk has. Above it writes are refused with [`StoreError::Full`].
    pub max_bytes: Option<u64>,
    /// Size of the write-ahead log at which it is folded into the file. Smaller means more disk syncs that writers feel, larger a longer
    /// start after a crash, which reads all of it (some 30 ms for the default).
    pub log_bytes: u64,
    /// Open although the write-ahead log is damaged, and lose what was committed behind the damage. The damaged log is kept as a copy.
    pub accept_damaged_log: bool,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self { readers: 4, max_bytes: None, log_bytes: 32 << 20, accept_damaged_log: false }
    }
}

/// Opens or creates the store in `dir`. Blocks while it reads the log and migrates.
///
/// The folder stays locked until the last clone of the store is dropped; that drop waits for the writer's queue and a last checkpoint.
///
/// # Errors
/// [`StoreError::Unavailable`] when another process uses the folder or it cannot be read, [`StoreError::Corrupt`] when a file is damaged,
/// [`StoreError::Incompatible`] when it was written by a newer version or is not ours. Nothing is changed in these cases.
pub fn open(dir: &Path, config: SqliteConfig) -> Result<Store, StoreError> {
    std::fs::create_dir_all(dir).map_err(|error| StoreError::Unavailable(format!("{}: {error}", dir.display())))?;
    let lock = lock::Lock::take(dir)?;
    let file = dir.join(FILE_NAME);
    wal::check(&file, config.accept_damaged_log)?;
    let mut connection = connect(&file)?;
    migrate::run(&mut connection, &file)?;
    if let Some(max_bytes) = config.max_bytes {
        limit_size(&connection, max_bytes)?;
    }
    let log = writer::Log { path: wal::log_of(&file), wanted_bytes: config.log_bytes };
    let writer = writer::Writer::start(connection, connect(&file)?, log)?;
    let readers = readers::Readers::start(&file, config.readers.max(1))?;
    let blobs = Arc::new(Folder::open(dir)?);
    let sqlite = Arc::new(Sqlite { readers, writer, _lock: lock });
    Ok(Store {
        journal: sqlite.clone(),
        wake: sqlite.clone(),
        rows: sqlite.clone(),
        leases: sqlite.clone(),
        unique: sqlite.clone(),
        answers: sqlite.clone(),
        keys: sqlite,
        blobs,
    })
}

/// One open folder. The fields are dropped in this order: readers let go of the log, the writer folds it into the file, then the lock goes.
struct Sqlite {
    readers: readers::Readers,
    writer: writer::Writer,
    _lock: lock::Lock,
}

impl Sqlite {
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.run(work).await
    }

    /// Runs `work` in the writer's next transaction. It may run twice: again alone when its group could not be committed.
    async fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(bytes, Need::Soon, work).await
    }

    /// As [`Sqlite::write`], for what nobody waits for: it may wait some milliseconds for others to share a commit with.
    async fn write_sometime<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(bytes, Need::Sometime, work).await
    }

    /// As [`Sqlite::write`], and answers only when the write-ahead log no longer holds what the work overwrote.
    async fn erase<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(0, Need::Gone, work).await
    }
}

fn connect(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // cell_size_check finds damaged pages when they are read. Pages stay in memory until COMMIT (no spill), so that the log never holds
    // pages of a transaction that was rolled back. Checkpoints are the writer's business.
    connection.execute_batch(
        "PRAGMA cell_size_check = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA secure_delete = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_spill = OFF;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;",
    )?;
    Ok(connection)
}

fn limit_size(connection: &Connection, max_bytes: u64) -> Result<(), StoreError> {
    let page_size: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = i64::try_from(max_bytes).unwrap_or(i64::MAX) / page_size.max(1);
    connection.pragma_update_and_check(None, "max_page_count", pages.max(1), |_| Ok(()))?;
    Ok(())
}

/// The path of a file beside the database file, such as `colloquy.db-wal`.
fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
