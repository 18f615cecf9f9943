//! Journal, projections, leases, unique values and blobs: the traits every adapter keeps, and the adapters.
//!
//! Reading order: [`key`], [`journal`], [`wake`], [`rows`], [`leases`], [`unique`], [`answers`], [`keys`], [`blobs`], [`error`], [`limits`];
//! then the adapters [`memory`], [`sqlite`], `scylla` (feature `scylla`) and, for blobs, [`folder`] and `s3` (feature `s3`). This crate knows an entity as `(tenant, kind, id)` and bytes.

pub mod answers;
pub mod blobs;
mod checksum;
pub mod error;
pub mod folder;
pub mod journal;
pub mod key;
pub mod keys;
pub mod leases;
pub mod limits;
pub mod memory;
pub mod rows;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "scylla")]
pub mod scylla;
pub mod sqlite;
pub mod unique;
pub mod wake;

use std::sync::Arc;

pub use error::StoreError;
pub use key::EntityKey;

/// Everything a node needs from a store, as one value that is cheap to clone.
///
/// Each part is a trait object so that the runtime is compiled once, whatever the adapter.
#[derive(Clone)]
pub struct Store {
    /// The only truth: events per entity, fenced by claims.
    pub journal: Arc<dyn journal::Journal>,
    /// Which entities of a shard have unfinished work.
    pub wake: Arc<dyn wake::WakeList>,
    /// List rows and live-number contributions, folded from journals.
    pub rows: Arc<dyn rows::Rows>,
    /// Who is alive and who owns which shard.
    pub leases: Arc<dyn leases::Leases>,
    /// Values that may exist once, such as an e-mail address.
    pub unique: Arc<dyn unique::Unique>,
    /// First answers to requests that carried an idempotency key.
    pub answers: Arc<dyn answers::Answers>,
    /// A data key per entity with personal data; destroying it erases the entity's past.
    pub keys: Arc<dyn keys::EntityKeys>,
    /// Large opaque values: uploads, page texts, vectors.
    pub blobs: Arc<dyn blobs::Blobs>,
}
