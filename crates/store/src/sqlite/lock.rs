//! One process per data folder: two would both believe to be the only owner of every shard.

use std::fs::{self, File, TryLockError};
use std::io::{Seek, Write};
use std::path::Path;

use crate::StoreError;

/// Held as long as this value lives; the kernel releases it when the process ends, however it ends.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("lock");
        let unavailable = |error: std::io::Error| StoreError::Unavailable(format!("{}: {error}", path.display()));
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(unavailable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Unavailable(in_use(dir, &path)));
            }
            Err(TryLockError::Error(error)) => return Err(unavailable(error)),
        }
        let mut note = || -> std::io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        // The id only makes the other process's message clearer; a full disk must not keep anyone from reading.
        if let Err(error) = note() {
            tracing::debug!(%error, "process id not noted in the lock file");
        }
        Ok(Self { _file: file })
    }
}

fn in_use(dir: &Path, lock: &Path) -> String {
    let process = fs::read_to_string(lock).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let who = process.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"));
    format!("{} is in use by {who}: stop it first, or choose another data folder", dir.display())
}
