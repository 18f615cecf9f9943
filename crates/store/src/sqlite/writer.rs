//! The one thread that writes: it takes what is waiting, runs it in one transaction, and answers after COMMIT.
//!
//! One `fdatasync` is thus shared by all who wait for it (group commit). A second thread copies the log into the file while
//! the writer goes on, so that the writer itself has only a short rest to copy before it truncates the log.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::StoreError;

use super::fault;

/// Writes that may wait: some 300 ms of work at the rate that a slow disk still reaches. Whoever would wait longer is told to come back.
const QUEUE: usize = 8_192;

/// Bytes that may wait: four of the largest snapshots, or sixteen of the largest appends.
const QUEUE_MAX_BYTES: u32 = 64 << 20;

/// What a waiting write costs beside its payload.
const JOB_BYTES: u32 = 512;

/// Jobs in one transaction. Beyond this the shared fdatasync is a small part of the cost, and the first caller waits longer for nothing.
const GROUP: usize = 512;

/// Payload in one transaction: its pages are kept in memory until COMMIT.
const GROUP_MAX_BYTES: usize = 16 << 20;

/// A log this many times larger than wanted is folded by the writer itself, however long callers wait for it: the copier cannot keep up.
const LOG_HARD_FACTOR: u64 = 4;

/// How long a write that nobody waits for may wait for one that somebody does, to share its fdatasync: list rows, wake rows and snapshots are
/// more than half of all writes, and a list may trail by milliseconds.
const PATIENCE: Duration = Duration::from_millis(5);

/// A log that did not grow for this long is folded into the file, so that a quiet machine has little to recover.
const IDLE: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    /// `None` only while dropping.
    queue: Option<mpsc::SyncSender<Box<dyn Job>>>,
    space: Arc<Semaphore>,
    threads: Vec<JoinHandle<()>>,
}

/// The write-ahead log and how large it should become.
#[derive(Clone)]
pub(super) struct Log {
    pub(super) path: PathBuf,
    pub(super) wanted_bytes: u64,
}

impl Log {
    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |log| log.len())
    }
}

/// What a caller needs of a write besides that it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Somebody waits for it.
    Soon,
    /// It may wait for others to share a commit with.
    Sometime,
    /// What it overwrote must be gone from the log as well.
    Gone,
}

trait Job: Send {
    fn bytes(&self) -> usize;
    fn need(&self) -> Need;
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct TypedJob<T, F> {
    work: F,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    need: Need,
    /// Returned when the job was answered.
    space: OwnedSemaphorePermit,
}

impl<T: Send, F: FnMut(&Connection) -> Result<T, StoreError> + Send> Job for TypedJob<T, F> {
    fn bytes(&self) -> usize {
        self.space.num_permits()
    }

    fn need(&self) -> Need {
        self.need
    }

    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let result = (self.work)(connection);
        let outcome = result.as_ref().map(|_| ()).map_err(StoreError::clone);
        self.result = Some(result);
        outcome
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        // When the group failed, a refusal may rest on another job that was undone too: the group's error is the truth for all.
        let Self { result, reply, .. } = *self;
        let result = committed.and_then(|()| result.unwrap_or_else(|| Err(stopped())));
        // The caller may have gone meanwhile; its write stands.
        let _ = reply.send(result);
    }
}

impl Writer {
    /// Takes the connection that writes and one that copies the log.
    pub(super) fn start(connection: Connection, copier: Connection, log: Log) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::sync_channel(QUEUE);
        // One notice is enough: the copier looks at the log's size itself.
        let (grown, notices) = mpsc::sync_channel(1);
        let truncate = Arc::new(AtomicBool::new(false));
        let wanted = truncate.clone();
        let mut writer =
            Self { queue: Some(queue), space: Arc::new(Semaphore::new(QUEUE_MAX_BYTES as usize)), threads: Vec::new() };
        let unavailable = |error: std::io::Error| StoreError::Unavailable(error.to_string());
        let same = log.clone();
        let write = thread::Builder::new().name("store-write".to_owned());
        writer
            .threads
            .push(write.spawn(move || write_all(&connection, &jobs, &same, &grown, &wanted)).map_err(unavailable)?);
        let copy = thread::Builder::new().name("store-copy".to_owned());
        writer.threads.push(copy.spawn(move || copy_log(&copier, &truncate, &log, &notices)).map_err(unavailable)?);
        Ok(writer)
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        need: Need,
        work: impl FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let busy = || StoreError::Unavailable("too many writes are waiting".to_owned());
        let cost = u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(JOB_BYTES);
        let space = self.space.clone().try_acquire_many_owned(cost).map_err(|_| busy())?;
        let (reply, answer) = oneshot::channel();
        let job = TypedJob { work, result: None, reply, need, space };
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.try_send(Box::new(job)).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => busy(),
            mpsc::TrySendError::Disconnected(_) => stopped(),
        })?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Unknown("the writing thread ended".to_owned())))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has already dropped its connection.
            let _ = thread.join();
        }
    }
}

fn write_all(
    connection: &Connection,
    jobs: &mpsc::Receiver<Box<dyn Job>>,
    log: &Log,
    grown: &mpsc::SyncSender<()>,
    truncate: &AtomicBool,
) {
    loop {
        let first = match jobs.recv_timeout(IDLE) {
            Ok(job) => Some(job),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        };
        if let Some(first) = first {
            commit(connection, gather(first, jobs, PATIENCE));
        }
        let log_bytes = log.bytes();
        if truncate.swap(false, Ordering::AcqRel) || log_bytes > log.wanted_bytes.saturating_mul(LOG_HARD_FACTOR) {
            truncate_log(connection);
        } else if log_bytes > log.wanted_bytes {
            // Full means that a notice is waiting already; closed cannot be before this thread ends.
            let _ = grown.try_send(());
        }
    }
    truncate_log(connection);
}

/// What is waiting, up to the size of a group. While all of it is patient, it waits for something that is not.
fn gather(first: Box<dyn Job>, jobs: &mpsc::Receiver<Box<dyn Job>>, patience: Duration) -> Vec<Box<dyn Job>> {
    let (mut bytes, mut patient) = (first.bytes(), first.need() == Need::Sometime);
    let until = Instant::now() + patience;
    let mut group = vec![first];
    while group.len() < GROUP && bytes < GROUP_MAX_BYTES {
        let next = match jobs.try_recv() {
            Ok(job) => Ok(job),
            Err(_) if patient => jobs.recv_timeout(until.saturating_duration_since(Instant::now())).map_err(drop),
            Err(_) => Err(()),
        };
        let Ok(job) = next else { break };
        bytes += job.bytes();
        patient &= job.need() == Need::Sometime;
        group.push(job);
    }
    group
}

/// Commits jobs together. When the disk is full or a statement broke the transaction, each is tried alone: what still fits is written.
fn commit(connection: &Connection, mut jobs: Vec<Box<dyn Job>>) {
    if jobs.is_empty() {
        return;
    }
    // Another program that holds the write lock makes all wait once, not each in turn.
    let begun = connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([]));
    let ran = match &begun {
        Ok(_) => run_group(connection, &mut jobs),
        Err(_) => Ok(()),
    };
    match begun.map_err(StoreError::from).and(ran.clone()) {
        Err(error) if ran.is_err() && jobs.len() > 1 && !matches!(error, StoreError::Unknown(_)) => {
            for job in jobs {
                commit(connection, vec![job]);
            }
        }
        committed => {
            if jobs.iter().any(|job| job.need() == Need::Gone) {
                truncate_log(connection);
            }
            for job in jobs {
                job.answer(committed.clone());
            }
        }
    }
}

/// Runs jobs in the open transaction and ends it, one way or the other.
fn run_group(connection: &Connection, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let statement = |sql: &'static str| connection.prepare_cached(sql)?.execute([]);
    for job in jobs {
        let ran = statement("SAVEPOINT job").map_err(StoreError::from).and_then(|_| job.run(connection));
        let closed = match &ran {
            Ok(()) => statement("RELEASE job").map(|_| ()).map_err(StoreError::from),
            Err(error) if connection.is_autocommit() || breaks_group(error) => Err(error.clone()),
            // Only this job failed: undo what it did, the others stand.
            Err(_) => statement("ROLLBACK TO job")
                .and_then(|_| statement("RELEASE job"))
                .map(|_| ())
                .map_err(StoreError::from),
        };
        if let Err(error) = closed {
            roll_back(connection);
            return Err(error);
        }
    }
    statement("COMMIT").map(|_| ()).map_err(|error| {
        roll_back(connection);
        fault::of_commit(error)
    })
}

fn breaks_group(error: &StoreError) -> bool {
    match error {
        StoreError::Full(_) | StoreError::Unknown(_) => true,
        StoreError::Unavailable(_)
        | StoreError::Fenced(_)
        | StoreError::Conflict { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Incompatible(_)
        | StoreError::Erased(_)
        | StoreError::Invalid(_)
        | StoreError::TooLarge { .. } => false,
    }
}

fn roll_back(connection: &Connection) {
    // SQLite rolls back by itself after some errors; then there is nothing left to undo.
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
}

/// Folds the log into the file and cuts it to nothing. A reader in the middle of a long read can prevent it for now; it is tried again when the log has grown.
fn truncate_log(connection: &Connection) {
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    match busy {
        Ok(false) => {}
        Ok(true) => {
            tracing::debug!("the write-ahead log is still being read and was not truncated")
        }
        Err(error) => {
            tracing::warn!(%error, "the write-ahead log could not be folded into the file")
        }
    }
}

fn copy_log(connection: &Connection, truncate: &AtomicBool, log: &Log, notices: &mpsc::Receiver<()>) {
    let mut seen = 0;
    loop {
        let wanted = match notices.recv_timeout(IDLE) {
            Ok(()) => {
                // PASSIVE copies beside readers and the writer and waits for nobody.
                if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
                    tracing::warn!(%error, "the write-ahead log could not be copied into the file");
                }
                true
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let now = log.bytes();
                let idle = now > 0 && now == seen;
                seen = now;
                idle
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        };
        if wanted {
            // The writer sees it after its next group, or when it has had nothing to do for a while.
            truncate.store(true, Ordering::Release);
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the store was closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = oneshot::Receiver<Result<(), StoreError>>;

    fn job(work: impl FnMut(&Connection) -> Result<(), StoreError> + Send + 'static) -> (Box<dyn Job>, Answer) {
        let (reply, answer) = oneshot::channel();
        let space = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        (Box::new(TypedJob { work, result: None, reply, need: Need::Soon, space }), answer)
    }

    fn insert(value: i64) -> impl Fn(&Connection) -> Result<(), StoreError> {
        move |db| Ok(db.execute("INSERT INTO t VALUES (?1)", [value]).map(|_| ())?)
    }

    /// Runs three jobs of which the second inserts and then does `second`; returns what stands and what each was told.
    fn run(
        second: impl Fn(&Connection) -> Result<(), StoreError> + Send + 'static,
    ) -> (Vec<i64>, Vec<Result<(), StoreError>>) {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (x)").unwrap();
        let jobs = [
            job(insert(1)),
            job(move |db| {
                insert(2)(db)?;
                second(db)
            }),
            job(insert(3)),
        ];
        let (jobs, answers): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
        commit(&db, jobs);
        assert!(db.is_autocommit());
        let stands = db
            .prepare("SELECT x FROM t ORDER BY x")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        (stands, answers.into_iter().map(|mut answer| answer.try_recv().unwrap()).collect())
    }

    #[tokio::test]
    async fn when_the_thread_dies_the_outcome_is_unknown_and_then_the_store_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log { path: dir.path().join("none"), wanted_bytes: 1 };
        let open = || Connection::open_in_memory().unwrap();
        let writer = Writer::start(open(), open(), log).unwrap();
        let died: Result<(), _> = writer.run(0, Need::Soon, |_| panic!("on purpose")).await;
        assert!(matches!(died, Err(StoreError::Unknown(_))), "{died:?}");
        // The channel closes a moment after the answer was lost, while the thread unwinds: a write in between is lost as well.
        let closed = async {
            loop {
                match writer.run(0, Need::Soon, |_| Ok(())).await {
                    Err(StoreError::Unavailable(_)) => break,
                    Err(StoreError::Unknown(_)) => tokio::task::yield_now().await,
                    other => panic!("a dead thread answered {other:?}"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), closed).await.unwrap();
    }

    #[test]
    fn patient_writes_wait_for_one_that_is_not_and_for_no_longer_than_a_moment() {
        let (queue, jobs) = mpsc::sync_channel(QUEUE);
        let send = |need: Need| {
            let (reply, _) = oneshot::channel();
            let space = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            let work = |_: &Connection| Ok(());
            let job: Box<dyn Job> = Box::new(TypedJob { work, result: None, reply, need, space });
            queue.send(job).unwrap();
        };
        let group = |patience| gather(jobs.recv().unwrap(), &jobs, patience).len();
        let for_ever = Duration::from_secs(3600);
        send(Need::Soon);
        assert_eq!(group(for_ever), 1, "what somebody waits for is written at once");
        send(Need::Sometime);
        let begun = Instant::now();
        assert!(group(PATIENCE) == 1 && begun.elapsed() >= PATIENCE, "alone it waits, but not for ever");
        for need in [Need::Sometime, Need::Sometime, Need::Soon] {
            send(need);
        }
        assert_eq!(group(for_ever), 3, "they share a commit");
    }

    #[test]
    fn jobs_of_one_group_all_stand() {
        assert_eq!(run(|_| Ok(())), (vec![1, 2, 3], vec![Ok(()), Ok(()), Ok(())]));
    }

    #[test]
    fn a_failing_job_undoes_itself_and_nothing_else() {
        let refusal = StoreError::Invalid("no".to_owned());
        let told = vec![Ok(()), Err(refusal.clone()), Ok(())];
        assert_eq!(run(move |_| Err(refusal.clone())), (vec![1, 3], told));
    }

    #[test]
    fn a_job_that_finds_the_disk_full_does_not_take_the_others_with_it() {
        let full = StoreError::Full("no".to_owned());
        let told = vec![Ok(()), Err(full.clone()), Ok(())];
        assert_eq!(run(move |_| Err(full.clone())), (vec![1, 3], told));
    }

    #[test]
    fn a_transaction_that_sqlite_itself_rolled_back_is_run_again_without_the_job_that_broke_it() {
        let (stands, told) = run(|db| {
            db.execute_batch("ROLLBACK").unwrap();
            Err(StoreError::Unavailable("broken".to_owned()))
        });
        assert_eq!(stands, [1, 3]);
        assert_eq!(told, [Ok(()), Err(StoreError::Unavailable("broken".to_owned())), Ok(())]);
    }
}
