//! The carrier's own log, JSON lines: what it was asked, what it took, what became of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use crate::{lock, now_ms};

/// A log, or none.
pub(crate) struct Log(Option<Mutex<File>>);

impl Log {
    /// Opens it for more lines.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(|path| OpenOptions::new().create(true).append(true).open(path)).transpose()?;
        Ok(Self(file.map(Mutex::new)))
    }

    /// Writes a line with the time.
    pub(crate) fn line(&self, mut what: Value) {
        let Some(file) = &self.0 else { return };
        what["at_ms"] = now_ms().into();
        let text = format!("{what}\n");
        if let Err(error) = lock(file).write_all(text.as_bytes()) {
            eprintln!("the carrier's log: {error}");
        }
    }
}
