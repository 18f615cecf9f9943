//! The operator's calls: nodes, shards, moves, where an entity lives, the audit log.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct OpsNode {
    /// Its configured id.
    pub id: String,
    /// `alive` or `dead`.
    pub state: String,
    /// Which of its boots.
    #[ts(type = "number")]
    pub incarnation: u64,
    /// Where other nodes reach it.
    pub address: String,
    /// How long ago the answering node saw it renew its lease, milliseconds; null before it was seen.
    #[ts(type = "number | null")]
    pub beat_age_ms: Option<u64>,
    /// Shards it owns.
    pub shards: usize,
    /// Entities in its memory; null when it did not say.
    pub entities: Option<usize>,
    /// Commands it has admitted and not yet answered; null when it did not say.
    pub queued: Option<usize>,
    /// Whether it gets no further shards.
    pub cordoned: bool,
    /// Whether all its shards are on their way to other nodes, or gone.
    pub draining: bool,
    /// Whether it plans the moves now.
    pub steward: bool,
    /// Whether it gave this answer.
    pub answering: bool,
}

/// One shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct OpsShard {
    /// Its number.
    pub id: u32,
    /// Its owner; empty while it has none.
    pub owner: String,
    /// Under which epoch.
    #[ts(type = "number")]
    pub epoch: u64,
    /// `owned`, `draining` (handed over to `target`), or `orphan` (its owner is dead).
    pub state: String,
    /// Where it is moving to.
    pub target: Option<String>,
    /// Whether it stays where it is until it is unpinned.
    pub pinned: bool,
    /// Entities in memory; null when the owner did not say.
    pub entities: Option<usize>,
}

/// One move of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct OpsMove {
    /// Its id; empty in a dry run.
    pub id: String,
    /// The shard.
    pub shard: u32,
    /// The giver.
    pub from: String,
    /// The taker.
    pub to: String,
    /// `planned` (a dry run), `waiting`, `running`, `done`, `failed` or `cancelled`.
    pub state: String,
    /// Who or what asked for it: `order`, `drain` or `rebalance`.
    pub cause: String,
    /// Why it failed or was cancelled.
    pub detail: String,
    /// When it was asked for, RFC 3339.
    pub asked_at: String,
    /// When it began.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// Moves that an order led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct OpsMoves {
    /// The moves; none when nothing has to move.
    pub moves: Vec<OpsMove>,
}

/// Whether moves are begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct OpsPlanning {
    /// Whether an operator has it that no further moves begin.
    pub paused: bool,
}

/// Where an entity lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct OpsEntity {
    /// The organization.
    pub tenant: String,
    /// Its kind.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its shard.
    pub shard: u32,
    /// The shard's owner.
    pub owner: String,
    /// Under which epoch.
    #[ts(type = "number")]
    pub epoch: u64,
    /// The shard's state.
    pub state: String,
}

/// One call of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct OpsAuditEntry {
    /// When, RFC 3339.
    pub at: String,
    /// Who: `ops.token`, or a platform administrator's id.
    pub actor: String,
    /// Which call, such as `shards.move`.
    pub action: String,
    /// On what, such as `shard 17`.
    pub resource: String,
    /// With which arguments.
    pub detail: String,
    /// `accepted`, or the problem's code.
    pub outcome: String,
    /// Through which node.
    pub node: String,
}
