//! A fixed number of threads that read, each with its own connection, fed from one bounded queue.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::StoreError;

use super::connect;

/// Reads that may wait. At some 20 µs a read this is a fifth of a second of four readers' work: whoever would wait longer is told to come back.
const QUEUE: usize = 16_384;

type Job = Box<dyn FnOnce(&Connection) + Send>;

pub(super) struct Readers {
    /// `None` only while dropping.
    queue: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn start(file: &Path, count: usize) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::channel::<Job>(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut readers = Self { queue: Some(sender), threads: Vec::with_capacity(count) };
        for number in 0..count {
            let connection = connect(file)?;
            connection.pragma_update(None, "query_only", true)?;
            let receiver = receiver.clone();
            let thread = thread::Builder::new().name(format!("store-read-{number}"));
            let spawned = thread.spawn(move || {
                // Whoever holds the lock waits for the next job; the others wait for the lock.
                let next = || receiver.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
                while let Some(job) = next() {
                    job(&connection);
                }
            });
            readers.threads.push(spawned.map_err(|error| StoreError::Unavailable(error.to_string()))?);
        }
        Ok(readers)
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            if !reply.is_closed() {
                // The caller may have gone meanwhile; then nobody wants the answer.
                let _ = reply.send(in_transaction(connection, work));
            }
        });
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Unavailable("too many reads are waiting".to_owned()),
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A reader that panicked has already dropped its connection.
            let _ = thread.join();
        }
    }
}

/// All statements of one read see the same state.
fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let result = work(connection);
    if !connection.is_autocommit() {
        connection.prepare_cached("COMMIT")?.execute([])?;
    }
    result
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the store was closed".to_owned())
}
