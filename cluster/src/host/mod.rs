//! The asynchronous half: drives the machines of [`crate::core`] with ractor and tokio.
//!
//! Reading order: [`config`], [`registry`], [`node`], `inner` (the parts of a node and how a frame passes through them), `directory`,
//! `admission`, `shard`, `entity_actor`, `storage`, `timers`, `effects`, [`watch`], [`fanout`], `resident`, `lease`, `passivate`, [`transport`]; of several
//! nodes: `ownership` (which shards are ours), `members` (who lives, what moves), `control` (what nodes say about themselves), [`ops`].

mod admission;
pub mod config;
mod control;
mod directory;
mod effects;
mod entity_actor;
pub mod fanout;
mod inner;
mod lease;
mod members;
pub mod node;
pub mod ops;
mod ownership;
mod passivate;
pub mod registry;
mod resident;
mod shard;
mod storage;
mod timers;
pub mod transport;
pub mod watch;

pub use config::{Limits, NodeConfig};
pub(crate) use inner::NodeInner;
pub use node::{Fate, Node, NodeStatus};
pub use registry::Registry;
