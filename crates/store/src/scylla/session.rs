//! The connection to the CQL servers: how long each kind of statement may take, how sure it must be, and how it is run.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::{Session, TlsContext};
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::policies::timestamp_generator::MonotonicTimestampGenerator;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;
use uuid::Uuid;

use crate::StoreError;

use super::{ScyllaConfig, fault, statements::Statements, tls};

/// Locks that keep this process's own conditional statements to one partition one after the other: Paxos lets racing ones fail and repeat.
/// Partitions that share one wait for each other needlessly, which is rare with this many.
const LOCKS: usize = 4096;

/// The name of a column that every answer to a conditional statement has.
const APPLIED: &str = "[applied]";

/// The four ways in which statements are run.
pub(super) struct Profiles {
    /// Plain writes, which carry their own time stamps and may be repeated.
    pub(super) write: ExecutionProfileHandle,
    /// Conditional statements: never repeated by the driver.
    pub(super) lwt: ExecutionProfileHandle,
    /// What somebody waits for.
    pub(super) read: ExecutionProfileHandle,
    /// Journals and scans, which may be long.
    pub(super) recovery: ExecutionProfileHandle,
}

impl Profiles {
    fn new(config: &ScyllaConfig) -> Self {
        let policy = DefaultPolicy::builder().prefer_datacenter(config.datacenter.clone()).token_aware(true).build();
        let profile = |timeout: Duration| {
            ExecutionProfile::builder()
                .consistency(Consistency::LocalQuorum)
                .serial_consistency(Some(SerialConsistency::LocalSerial))
                .load_balancing_policy(policy.clone())
                .request_timeout(Some(timeout))
        };
        let once = Arc::new(FallthroughRetryPolicy::new());
        let timeouts = &config.timeouts;
        Self {
            write: profile(timeouts.write).build().into_handle(),
            lwt: profile(timeouts.lwt).retry_policy(once).build().into_handle(),
            read: profile(timeouts.read).build().into_handle(),
            recovery: profile(timeouts.recovery).build().into_handle(),
        }
    }
}

/// An open store: session, statements and what must be kept between calls.
pub(super) struct Cql {
    pub(super) session: Session,
    pub(super) statements: Statements,
    /// How long conditional statements that settle by themselves are repeated.
    patience: Duration,
    locks: Box<[Mutex<()>]>,
}

impl Cql {
    pub(super) async fn prepare(session: Session, config: &ScyllaConfig) -> Result<Self, StoreError> {
        let settled = Instant::now() + config.timeouts.settle;
        let statements = loop {
            match Statements::prepare(&session, &config.keyspace, &Profiles::new(config)).await {
                // The keyspace or a table was made a moment ago, and one of several servers has not heard of it yet.
                Err(StoreError::Incompatible(why)) if why.contains("exist") && Instant::now() < settled => {
                    tokio::time::sleep(LONGEST_PAUSE).await;
                }
                prepared => break prepared?,
            }
        };
        let locks = (0..LOCKS).map(|_| Mutex::new(())).collect();
        Ok(Self { session, statements, patience: config.timeouts.settle, locks })
    }

    /// Waits until no other conditional statement of this process is under way for `partition`.
    pub(super) async fn alone(&self, partition: &(impl Hash + ?Sized)) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        partition.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or_default();
        self.locks[place].lock().await
    }

    /// Starts the count of tries of something that is repeated until it is settled.
    pub(super) fn tries(&self) -> Tries {
        Tries { until: Instant::now() + self.patience, pause: FIRST_PAUSE }
    }

    /// Runs a plain write.
    pub(super) async fn write(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<(), StoreError> {
        self.session.execute_unpaged(statement, values).await.map_err(fault::of_repeatable)?;
        Ok(())
    }

    /// Runs a conditional statement; `false` when its condition did not hold.
    pub(super) async fn swap(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<bool, StoreError> {
        let answer = self.session.execute_unpaged(statement, values).await.map_err(fault::of_conditional)?;
        applied(answer)
    }

    /// Runs statements of one partition of which some are conditional as one step; `false` when a condition did not hold.
    pub(super) async fn swap_all(&self, statements: Vec<(PreparedStatement, Values<'_>)>) -> Result<bool, StoreError> {
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_execution_profile_handle(Some(self.statements.lwt.clone()));
        let mut values = Vec::with_capacity(statements.len());
        for (statement, row) in statements {
            batch.append_statement(statement);
            values.push(row);
        }
        let answer = self.session.batch(&batch, values).await.map_err(fault::of_conditional)?;
        applied(answer)
    }

    /// The first row of an answer.
    pub(super) async fn row<R>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Option<R>, StoreError>
    where
        R: for<'a> DeserializeRow<'a, 'a>,
    {
        let answer = self.session.execute_unpaged(statement, values).await.map_err(fault::of_repeatable)?;
        Ok(answer.into_rows_result()?.maybe_first_row::<R>()?)
    }

    /// All rows of an answer, page by page.
    pub(super) async fn rows<R>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'a, 'b> DeserializeRow<'a, 'b> + 'static,
    {
        let pager = self.session.execute_iter(statement.clone(), values).await.map_err(fault::of_pager)?;
        pager.rows_stream::<R>()?.try_collect().await.map_err(fault::of_next_row)
    }
}

/// The values of one statement of a batch.
pub(super) type Values<'a> = Box<dyn SerializeRow + Send + Sync + 'a>;

/// Opens a session that knows the cluster's nodes. The keyspace need not exist.
pub(super) async fn connect(config: &ScyllaConfig) -> Result<Session, StoreError> {
    let profile = Profiles::new(config).read;
    let mut builder = SessionBuilder::new()
        .known_nodes(&config.nodes)
        .default_execution_profile_handle(profile)
        .timestamp_generator(Arc::new(MonotonicTimestampGenerator::new()))
        .keyspaces_to_fetch([config.keyspace.clone()])
        .fetch_schema_metadata(true)
        .connection_timeout(config.timeouts.connect)
        .schema_agreement_timeout(config.timeouts.recovery)
        .tcp_nodelay(true);
    if let Some(login) = &config.login {
        builder = builder.user(&login.user, &login.password);
    }
    if let Some(files) = &config.tls {
        builder = builder.tls_context(Some(TlsContext::Rustls023(tls::client(files)?)));
    }
    builder.build().await.map_err(|error| fault::of_session(config, &error))
}

/// Whether a conditional statement's condition held.
pub(super) fn applied(answer: QueryResult) -> Result<bool, StoreError> {
    let rows = answer.into_rows_result()?;
    // What other columns there are and how many rows differs between servers and with the answer.
    let place = rows.column_specs().iter().position(|column| column.name() == APPLIED);
    let row: Option<scylla::value::Row> = rows.maybe_first_row()?;
    let value = place.and_then(|place| row?.columns.into_iter().nth(place)?);
    value
        .and_then(|value| value.as_boolean())
        .ok_or_else(|| StoreError::Unknown(format!("the server's answer to a conditional statement has no {APPLIED}")))
}

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How often something was tried that may be tried again because it looks at what is there each time.
pub(super) struct Tries {
    until: Instant,
    pause: Duration,
}

impl Tries {
    /// Waits before the next try; `error` when there is none. Only outcomes that another look can settle are tried again.
    pub(super) async fn again(&mut self, error: StoreError) -> Result<(), StoreError> {
        let again = matches!(error, StoreError::Unknown(_) | StoreError::Unavailable(_));
        if !again || Instant::now() + self.pause >= self.until {
            return Err(error);
        }
        // Random, so that two nodes that got into each other's way do not do so again.
        let share = f64::from(Uuid::new_v4().as_bytes()[0]) / 255.0;
        tokio::time::sleep(self.pause.mul_f64(0.5 + share / 2.0)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

/// What a conditional statement that lost against another one is told when it lost too often.
pub(super) fn contended(what: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("too many others change {what} at the same time"))
}
