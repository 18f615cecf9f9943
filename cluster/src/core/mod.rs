//! The synchronous machines: no IO, no clock, no tokio. Each is driven by `on(now, Input, &mut Vec<Output>)`.
//!
//! [`activation`] is one entity's life in memory, [`lease`] a node's right to act, [`router`] the way to an entity's owner, [`view`] what the
//! lease tables say, [`membership`] who lives, [`handoff`] which shards are ours, [`steward`] which ones are to move.

pub mod activation;
pub mod handoff;
pub mod lease;
pub mod membership;
pub mod router;
pub mod steward;
pub mod view;
