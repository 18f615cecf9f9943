//! A runtime for sharded, journaled actors: it knows entities as (tenant, kind, id) and bytes, and no business word.
//!
//! Two layers: [`core`] holds synchronous machines without IO (`on(now, Input, &mut Vec<Output>)`), [`host`] drives them with
//! ractor and tokio. Business code implements [`entity::Entity`] and talks through [`client::Client`].
//!
//! Reading order: [`entity`], [`frame`], [`client`], [`effect`], [`trace`]; then [`core`], [`record`], [`seal`]; then [`host`], [`redis`].

pub mod client;
pub mod clock;
pub mod core;
pub mod effect;
pub mod entity;
pub mod error;
pub mod frame;
pub mod host;
pub mod record;
pub mod redis;
pub mod seal;
pub mod telemetry;
pub mod trace;

pub use client::{Ask, Client};
pub use colloquy_store as store;
pub use colloquy_store::EntityKey;
pub use error::{AskError, ClusterError};
pub use host::{Fate, Node, NodeConfig, Registry};
