//! What nodes share through Redis: watch items for each other's watchers, and counts for rate limits. Never the truth: killed or slow, nothing
//! durable changes, watchers catch up from the owners, limits hold per node, and it heals by itself.
//!
//! Reading order: this file (the connection), `fanout`, `limits`, `wire`.

mod fanout;
mod limits;
mod wire;

use std::time::Duration;

use fred::prelude::{Builder, Client, ClientLike, Config, ReconnectPolicy};
pub use limits::{SharedCounts, Verdict};

use crate::error::ClusterError;
use crate::host::fanout::FanoutFactory;

/// How long connecting may take, and how long a command may, before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a connection may owe an answer before it is closed and made anew.
const UNRESPONSIVE_AFTER: Duration = Duration::from_secs(3);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The first and the longest wait between two tries to connect, milliseconds, and what is added at random so that nodes do not return as one.
const RETRY_MS: (u32, u32, u32) = (100, 2_000, 100);
/// Messages waiting to be taken from a connection: minutes of a busy board; beyond it watchers re-sync.
const UNREAD_MESSAGES: usize = 16_384;

/// A node's connections to Redis: one that publishes and counts, one that is subscribed.
#[derive(Clone)]
pub struct Redis {
    cluster: String,
    commands: Client,
    messages: Client,
}

impl Redis {
    /// Opens the connections to `url` (`redis://[user:password@]host:port[/database]`, `rediss://` for TLS, `redis-cluster://`) for a cluster of
    /// this name. Does not wait for them: a node starts and serves without Redis. Fails on a URL that is none.
    pub fn connect(url: &str, cluster: &str) -> Result<Self, ClusterError> {
        let config = Config::from_url(url)
            // What is wrong, without the URL: it may hold a password.
            .map_err(|error| ClusterError::Node(format!("redis.url is not understood: {}", error.details())))?;
        let (commands, messages) = (client(config.clone())?, client(config)?);
        // The tasks end with their clients.
        drop((commands.connect(), messages.connect()));
        Ok(Self { cluster: cluster.to_owned(), commands, messages })
    }

    /// The way of watch items to other nodes, for [`crate::NodeConfig`].
    pub fn fanout(&self) -> FanoutFactory {
        fanout::factory(self.clone())
    }

    /// Counts shared by all nodes, for rate limits.
    pub fn counts(&self) -> SharedCounts {
        SharedCounts::start(self.commands.clone(), &self.cluster)
    }

    /// Ends the connections.
    pub async fn close(&self) {
        // What is still under way is of no use to a node that leaves.
        drop(self.commands.quit().await);
        drop(self.messages.quit().await);
    }
}

fn client(config: Config) -> Result<Client, ClusterError> {
    let (first_ms, longest_ms, jitter_ms) = RETRY_MS;
    let mut policy = ReconnectPolicy::new_exponential(0, first_ms, longest_ms, 2);
    policy.set_jitter(jitter_ms);
    Builder::from_config(Config { fail_fast: false, ..config })
        .with_connection_config(|connection| {
            connection.connection_timeout = PATIENCE;
            connection.internal_command_timeout = PATIENCE;
            // A message or a count that comes late is worth nothing: it is never sent twice.
            connection.max_command_attempts = 1;
            connection.unresponsive.max_timeout = Some(UNRESPONSIVE_AFTER);
            connection.unresponsive.interval = LOOK_EVERY;
            connection.tcp.nodelay = Some(true);
        })
        .with_performance_config(|performance| {
            performance.default_command_timeout = PATIENCE;
            performance.broadcast_channel_capacity = UNREAD_MESSAGES;
        })
        .set_policy(policy)
        .build()
        .map_err(|error| ClusterError::Node(format!("the Redis client could not be made: {}", error.details())))
}
