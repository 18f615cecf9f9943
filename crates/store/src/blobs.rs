//! Large opaque values by path, over a folder or an object store.

use async_trait::async_trait;
use bytes::Bytes;

use crate::StoreError;

/// Opaque values by slash-separated path (`[A-Za-z0-9._-]` segments, none of them `.` or `..`); other paths are [`StoreError::Invalid`].
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Writes a value durably, replacing what was there.
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError>;
    /// Reads a value.
    async fn get(&self, path: &str) -> Result<Option<Bytes>, StoreError>;
    /// Deletes a value; missing is fine.
    async fn delete(&self, path: &str) -> Result<(), StoreError>;
    /// All paths below the folder `prefix` (empty: all), sorted.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;
}

/// Longest path: within what file systems and object stores take.
pub const PATH_MAX_BYTES: usize = 1024;

/// Longest segment of a path: file names end at 255 bytes, one is kept for the marker of [`crate::folder`].
pub const SEGMENT_MAX_BYTES: usize = 254;

pub(crate) fn check_path(path: &str) -> Result<(), StoreError> {
    let plain = |segment: &str| {
        (1..=SEGMENT_MAX_BYTES).contains(&segment.len())
            && segment != "."
            && segment != ".."
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if path.len() <= PATH_MAX_BYTES && path.split('/').all(plain) {
        Ok(())
    } else {
        Err(StoreError::Invalid(format!("blob path {path:?} is not made of segments of [A-Za-z0-9._-]")))
    }
}

/// The prefix that all paths below a folder share: empty for everything.
pub(crate) fn folder_of(prefix: &str) -> Result<String, StoreError> {
    let folder = prefix.strip_suffix('/').unwrap_or(prefix);
    if folder.is_empty() && prefix.is_empty() {
        return Ok(String::new());
    }
    check_path(folder)?;
    Ok(format!("{folder}/"))
}
