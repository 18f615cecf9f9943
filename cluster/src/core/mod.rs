//! The synchronous machines: no IO, no clock, no tokio. Each is driven by `on(now, Input, &mut Vec<Output>)`.
//!
//! [`activation`] is one entity's life in memory, [`lease`] a node's right to act, [`router`] the way to an entity's owner.

pub mod activation;
pub mod lease;
pub mod router;
