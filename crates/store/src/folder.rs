//! Blobs as files below a folder, durable when [`Blobs::put`] returns.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    StoreError,
    blobs::{Blobs, check_path, folder_of},
    limits,
};

/// What the folder is called inside of a data folder.
pub const NAME: &str = "blobs";

/// Ends the file name of every blob. It is no character of a blob path, so that `a` and `a/b` can both exist and nothing else in the folder is taken for a blob.
const MARKER: char = '~';

/// Blobs below one folder. What is unfinished has one process that may use it; whoever opens it makes sure of that.
pub struct Folder {
    root: PathBuf,
    /// Where values are written before they are renamed into place: on the same file system, emptied at open.
    unfinished: PathBuf,
    written: AtomicU64,
    /// Held while a folder is made: whoever finds it there may rely on its name being durable.
    making: Arc<Mutex<()>>,
}

impl Folder {
    /// Opens `<dir>/blobs`, creating it if needed, and drops what an earlier process left unfinished.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::prepare(dir, dir.join(NAME), dir.join("blobs-unfinished"))
    }

    /// Opens `<dir>/blobs` beside the other nodes of a cluster that use the same folder, and drops what this one left unfinished. Whole values appear at
    /// once under their names, so nodes need not know of each other.
    pub fn shared(dir: &Path, node: &str) -> Result<Self, StoreError> {
        if node.is_empty() || !node.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            return Err(StoreError::Invalid(format!("the node id {node:?} is not made of [A-Za-z0-9._-]")));
        }
        let create = fs::create_dir_all(dir);
        create.map_err(|error| fault(dir, &error))?;
        Self::prepare(dir, dir.join(NAME), dir.join(format!("blobs-unfinished-{node}")))
    }

    fn prepare(dir: &Path, root: PathBuf, unfinished: PathBuf) -> Result<Self, StoreError> {
        let prepare = || -> io::Result<()> {
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?;
            }
            fs::create_dir_all(&unfinished)?;
            fs::create_dir_all(&root)?;
            sync_dir(dir)
        };
        prepare().map_err(|error| fault(&root, &error))?;
        Ok(Self { root, unfinished, written: AtomicU64::new(0), making: Arc::default() })
    }

    fn file_of(&self, path: &str) -> Result<PathBuf, StoreError> {
        check_path(path)?;
        let mut file = self.root.join(path).into_os_string();
        file.push(MARKER.to_string());
        Ok(file.into())
    }
}

#[async_trait]
impl Blobs for Folder {
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        let file = self.file_of(path)?;
        limits::size("a blob", bytes.len(), limits::BLOB_MAX_BYTES)?;
        let unfinished = self.unfinished.join(self.written.fetch_add(1, Ordering::Relaxed).to_string());
        let (root, making) = (self.root.clone(), self.making.clone());
        blocking(move || {
            write_whole(&root, &making, &unfinished, &file, &bytes).map_err(|error| {
                // The value is not in place; what was written of it only takes space, and open() drops it if this fails too.
                let _ = fs::remove_file(&unfinished);
                fault(&file, &error)
            })
        })
        .await
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        let file = self.file_of(path)?;
        blocking(move || match fs::read(&file) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(fault(&file, &error)),
        })
        .await
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        let file = self.file_of(path)?;
        blocking(move || {
            let remove = || -> io::Result<()> {
                fs::remove_file(&file)?;
                file.parent().map_or(Ok(()), sync_dir)
            };
            match remove() {
                Err(error) if !is_missing(&error) => Err(fault(&file, &error)),
                Ok(()) | Err(_) => Ok(()),
            }
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let folder = folder_of(prefix)?;
        let root = self.root.clone();
        blocking(move || {
            let mut found = Vec::new();
            collect(&root.join(&folder), &folder, &mut found).map_err(|error| fault(&root, &error))?;
            found.sort();
            Ok(found)
        })
        .await
    }
}

/// Copies the blobs of the data folder `dir` into the data folder `to`, also while a process uses `dir`; those that are in `to` already are not
/// copied again. Returns how many were copied. A blob that vanishes meanwhile is left out.
///
/// # Errors
/// [`StoreError::Full`] and [`StoreError::Unavailable`], with the file.
pub fn copy(dir: &Path, to: &Path) -> Result<u64, StoreError> {
    let (from, to) = (dir.join(NAME), to.join(NAME));
    let mut paths = Vec::new();
    collect(&from, "", &mut paths).map_err(|error| fault(&from, &error))?;
    fs::create_dir_all(&to).map_err(|error| fault(&to, &error))?;
    let mut copied = 0;
    for path in paths {
        let name = format!("{path}{MARKER}");
        let (source, target) = (from.join(&name), to.join(&name));
        if target.exists() {
            continue;
        }
        let whole = || -> io::Result<bool> {
            let bytes = match fs::read(&source) {
                Err(error) if is_missing(&error) => return Ok(false),
                bytes => bytes?,
            };
            let parent = target.parent().unwrap_or(&to);
            fs::create_dir_all(parent)?;
            let mut out = File::create(&target)?;
            out.write_all(&bytes)?;
            out.sync_all()?;
            sync_dir(parent)?;
            Ok(true)
        };
        copied += u64::from(whole().map_err(|error| fault(&target, &error))?);
    }
    Ok(copied)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::Unknown(format!("the blob task ended: {error}"))),
    }
}

/// Bytes first, name second, each synced: after a crash there is the old value or the whole new one.
fn write_whole(root: &Path, making: &Mutex<()>, unfinished: &Path, file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut out = File::create(unfinished)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    drop(out);
    let parent = file.parent().unwrap_or(root);
    let made = making.lock().unwrap_or_else(PoisonError::into_inner);
    if !parent.is_dir() {
        fs::create_dir_all(parent)?;
        // A new folder's name lives in its parent, up to the root that open() made durable.
        for folder in parent.ancestors().skip(1).take_while(|folder| folder.starts_with(root)) {
            sync_dir(folder)?;
        }
    }
    drop(made);
    fs::rename(unfinished, file)?;
    sync_dir(parent)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn collect(dir: &Path, prefix: &str, found: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if is_missing(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let kind = entry.file_type()?;
        match name.strip_suffix(MARKER) {
            Some(name) if kind.is_file() => found.push(format!("{prefix}{name}")),
            None if kind.is_dir() => collect(&entry.path(), &format!("{prefix}{name}/"), found)?,
            Some(_) | None => {}
        }
    }
    Ok(())
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn fault(file: &Path, error: &io::Error) -> StoreError {
    let text = format!("{}: {error}", file.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(text),
        _ => StoreError::Unavailable(text),
    }
}
