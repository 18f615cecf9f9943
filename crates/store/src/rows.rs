//! Projections: list rows with their contribution to live numbers, written after the append they follow from.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{EntityKey, StoreError};

/// A projected row: a pure function of one entity's state at `seq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The tenant.
    pub tenant: String,
    /// The list, such as `conversations`.
    pub list: String,
    /// Immutable order key, Unix milliseconds: usually when the entity was created.
    pub at_ms: i64,
    /// The row's id, unique within `(tenant, list)`: the entity's id, or `<entity id>/<part>` where an entity has several rows in a list,
    /// which is how erasing an entity finds its rows.
    pub id: String,
    /// The entity's sequence number that this row reflects; a lower or equal `version()` never replaces it.
    pub seq: u64,
    /// The version of the code that made the row: a rebuilt view replaces an older one at the same `seq`.
    pub view_version: u16,
    /// What a list shows (JSON, sealed where personal). `None` is a tombstone: gone from lists, numbers kept.
    pub body: Option<Bytes>,
    /// The entity's whole contribution to its tenant's numbers (JSON without personal data).
    pub numbers: Option<Bytes>,
}

impl Row {
    /// What decides which of two writes of a row wins: `seq·2¹⁶ + view_version`.
    pub fn version(&self) -> u64 {
        (self.seq << 16) | u64::from(self.view_version)
    }
}

/// Where a list continues: strictly after (that is, older than) this position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// The last row's order key.
    pub at_ms: i64,
    /// The last row's id.
    pub id: String,
}

/// A stretch of a list, newest first, ties by id ascending.
#[derive(Clone, Debug, Default)]
pub struct Range {
    /// Only rows with `at_ms >= from_ms`.
    pub from_ms: Option<i64>,
    /// Only rows with `at_ms < to_ms`.
    pub to_ms: Option<i64>,
    /// Continue behind this row.
    pub after: Option<After>,
    /// At most this many rows.
    pub limit: usize,
}

/// Projected rows. Writes carry their version, so a replay or a zombie cannot take a row back.
#[async_trait]
pub trait Rows: Send + Sync {
    /// Writes rows; each replaces a stored row only if its [`Row::version`] is higher.
    async fn put(&self, rows: &[Row]) -> Result<(), StoreError>;
    /// Rows of a list, newest first; tombstones are left out. A row without a body is one that is damaged: it stands where it stood, with nothing in
    /// it, so that one damaged row neither hides the others nor is missed by nobody.
    async fn list(&self, tenant: &str, list: &str, range: &Range) -> Result<Vec<Row>, StoreError>;
    /// One row by id; a tombstone is `None`.
    async fn get(&self, tenant: &str, list: &str, id: &str) -> Result<Option<Row>, StoreError>;
    /// All rows of a list including tombstones in id order after `after_id`: what a recount reads. A row without a sequence number is one that is
    /// damaged: nothing of it can be counted.
    async fn scan(
        &self,
        tenant: &str,
        list: &str,
        after_id: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;
}

/// Whether a row with this id (in the entity's tenant) is one of the entity's.
pub(crate) fn belongs_to(row_id: &str, key: &EntityKey) -> bool {
    row_id.strip_prefix(&*key.id).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
