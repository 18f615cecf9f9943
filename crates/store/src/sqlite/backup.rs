//! A copy of the database while it is in use.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::StoreError;

use super::{BUSY_WAIT, FILE_NAME, beside, fault, lock::Lock, wal};

/// Writes a compact copy of the database in `dir` to the new file `to`, as it is at one moment, also while a process uses the folder.
/// Blobs are not in it: see [`crate::folder::copy`].
///
/// A second process may read beside the one that holds the folder: the log's index is shared, and a reader sees one moment. It must not fold
/// the log into the file, which is why it only reads and leaves the log alone when it ends, even if the other process died meanwhile.
///
/// # Errors
/// [`StoreError::Invalid`] when `to` exists, [`StoreError::Corrupt`] when the database cannot be read whole.
pub fn backup(dir: &Path, to: &Path) -> Result<(), StoreError> {
    if to.exists() {
        return Err(StoreError::Invalid(format!("{} exists already", to.display())));
    }
    let file = dir.join(FILE_NAME);
    // Looked at first: taking the lock of a folder that is none would make one.
    if !file.exists() {
        return Err(StoreError::Unavailable(format!("{} does not exist", file.display())));
    }
    // Nobody uses the folder: then this is who opens the log first. Somebody does: then it was checked.
    let lock = Lock::take(dir);
    if lock.is_ok() {
        wal::check(&file, false)?;
    }
    let unavailable = |error: std::io::Error| StoreError::Unavailable(format!("{}: {error}", to.display()));
    let unfinished = beside(to, ".unfinished");
    if unfinished.exists() {
        fs::remove_file(&unfinished).map_err(unavailable)?;
    }
    let access = if lock.is_ok() { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
    let source = Connection::open_with_flags(&file, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    source.busy_timeout(BUSY_WAIT)?;
    if lock.is_err() {
        source.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    }
    // SQLite writes into an empty file, and would make one for everybody to read.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).map_err(unavailable)?;
    let name = unfinished.to_str().ok_or_else(|| StoreError::Invalid(format!("{} is not UTF-8", to.display())))?;
    source.execute("VACUUM INTO ?1", [name]).map_err(|error| fault::at(file.display(), error))?;
    drop(source);
    let finish = || {
        File::open(&unfinished)?.sync_all()?;
        fs::rename(&unfinished, to)?;
        to.parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    finish().map_err(unavailable)
}
