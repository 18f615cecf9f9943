//! The runtime's metrics: names, what they mean, and bounded labels.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Appends by kind and outcome (`ok`, `fenced`, `conflict`, `unknown`, `full`, `other`).
pub const APPENDS: &str = "colloquy_appends_total";
/// Seconds an append took by kind.
pub const APPEND_SECONDS: &str = "colloquy_append_seconds";
/// Commands per append by kind.
pub const BATCH_COMMANDS: &str = "colloquy_append_batch_commands";
/// States loaded into memory by kind.
pub const ACTIVATIONS: &str = "colloquy_activations_total";
/// Entities in memory by kind.
pub const RESIDENT: &str = "colloquy_resident_entities";
/// Commands admitted and not yet answered on this node.
pub const QUEUED: &str = "colloquy_queued_commands";
/// Commands taken by shard.
pub const SHARD_COMMANDS: &str = "colloquy_shard_commands_total";
/// Commands admitted and not yet answered by shard.
pub const SHARD_QUEUED: &str = "colloquy_shard_queued_commands";
/// Entities in memory by shard.
pub const SHARD_RESIDENT: &str = "colloquy_shard_resident_entities";
/// Answers by kind and outcome.
pub const ANSWERS: &str = "colloquy_answers_total";
/// Effects whose tasks run on this node.
pub const EFFECTS: &str = "colloquy_effect_tasks";
/// Seconds an effect's task ran, by kind and outcome (`done`, `cancelled`, `panicked`).
pub const EFFECT_SECONDS: &str = "colloquy_effect_seconds";
/// Durable timers fired by kind.
pub const TIMERS: &str = "colloquy_timers_fired_total";
/// Activations that found effects without a task, by kind.
pub const RECOVERIES: &str = "colloquy_recoveries_total";
/// Panics of an entity's own code by kind.
pub const PANICS: &str = "colloquy_entity_panics_total";
/// Activations that another claim ended, by kind.
pub const FENCED: &str = "colloquy_fenced_total";
/// Entities whose stored data could not be folded, by kind.
pub const UNREADABLE: &str = "colloquy_unreadable_total";
/// Entities that could not be served because a newer version wrote their journals, by kind.
pub const NEWER: &str = "colloquy_newer_journals_total";
/// Row writes that the store refused for good, by kind.
pub const ROWS_REFUSED: &str = "colloquy_rows_refused_total";
/// Lease renewals by outcome (`renewed`, `refused`, `unanswered`).
pub const BEATS: &str = "colloquy_lease_beats_total";
/// 1 while this node's lease is valid.
pub const LEASE_VALID: &str = "colloquy_lease_valid";
/// 1 for each shard this node owns (several nodes only).
pub const SHARD_OWNED: &str = "colloquy_shard_owned";
/// The epoch of each shard this node owns (several nodes only).
pub const SHARD_EPOCH: &str = "colloquy_shard_epoch";
/// Seconds from when a shard was marked to move until its new owner was written down.
pub const HANDOFF_SECONDS: &str = "colloquy_handoff_seconds";
/// Shards that left this node by outcome (`handed_over`, `abandoned`), and attempts to take one that did not succeed (`not_taken`).
pub const HANDOFFS: &str = "colloquy_handoffs_total";
/// Frames that came for a shard under another epoch than it is served under here.
pub const STALE_ROUTES: &str = "colloquy_stale_routes_total";
/// Seconds since each other living node's beat was seen to move.
pub const BEAT_AGE: &str = "colloquy_beat_age_seconds";
/// Looks at the lease tables by outcome (`read`, `failed`).
pub const LOOKS: &str = "colloquy_membership_looks_total";
/// 1 while this node is steward.
pub const STEWARD: &str = "colloquy_steward";
/// Watchers that fell behind and must re-sync.
pub const WATCH_LAGGED: &str = "colloquy_watch_lagged_total";
/// Watch items for other nodes by outcome (`sent`, `dropped`).
pub const FANOUT_PUBLISHED: &str = "colloquy_fanout_published_total";
/// Watch items from other nodes by outcome (`delivered`, `unreadable`).
pub const FANOUT_RECEIVED: &str = "colloquy_fanout_received_total";
/// 1 while watch items travel between nodes.
pub const FANOUT_UP: &str = "colloquy_fanout_up";
/// Parts of watchers told to ask their owners because items may have been lost.
pub const FANOUT_CATCH_UPS: &str = "colloquy_fanout_catch_ups_total";
/// Actions told to the counts all nodes share, by outcome (`allowed`, `refused`, `failed`, `dropped`).
pub const SHARED_SPENDS: &str = "colloquy_shared_limit_spends_total";
/// Connections to peers that can be used.
pub const TRANSPORT_SESSIONS: &str = "colloquy_transport_sessions";
/// Dials of peers by outcome (`connected`, `preferred`, `refused`, `failed`).
pub const TRANSPORT_DIALS: &str = "colloquy_transport_dials_total";
/// Packets by direction (`in`, `out`).
pub const TRANSPORT_FRAMES: &str = "colloquy_transport_frames_total";
/// Batches by direction.
pub const TRANSPORT_BATCHES: &str = "colloquy_transport_batches_total";
/// Bytes of batches by direction.
pub const TRANSPORT_BYTES: &str = "colloquy_transport_bytes_total";
/// Frames and answers refused because a window is full, by reason (`frames`, `bytes`, `serving`, `answers`).
pub const TRANSPORT_REFUSED: &str = "colloquy_transport_window_refusals_total";
/// Seconds since a connected peer was heard of, by peer.
pub const TRANSPORT_BEAT_AGE: &str = "colloquy_transport_beat_age_seconds";
/// What could not be read, by what it was (`batch`, `packet`, `kind`, `message`).
pub const TRANSPORT_UNDECODABLE: &str = "colloquy_transport_undecodable_total";
/// Incoming connections that came to nothing, by what was wrong (`refused`, `refused there`, `connection`, `too many`).
pub const TRANSPORT_STRANGERS: &str = "colloquy_transport_strangers_total";

/// Registers the descriptions with whatever recorder is installed.
pub fn describe() {
    describe_counter!(APPENDS, "Journal appends by entity kind and outcome");
    describe_histogram!(APPEND_SECONDS, Unit::Seconds, "How long a journal append took, by entity kind");
    describe_histogram!(BATCH_COMMANDS, Unit::Count, "Commands decided into one append, by entity kind");
    describe_counter!(ACTIVATIONS, "Entity states loaded into memory, by kind");
    describe_gauge!(RESIDENT, "Entities in memory, by kind");
    describe_gauge!(QUEUED, "Commands admitted and not yet answered");
    describe_counter!(SHARD_COMMANDS, "Commands taken, by shard");
    describe_gauge!(SHARD_QUEUED, "Commands admitted and not yet answered, by shard");
    describe_gauge!(SHARD_RESIDENT, "Entities in memory, by shard");
    describe_counter!(ANSWERS, "Answers to commands, by entity kind and outcome");
    describe_gauge!(EFFECTS, "Effect tasks running");
    describe_histogram!(EFFECT_SECONDS, Unit::Seconds, "How long an effect's task ran, by entity kind and outcome");
    describe_counter!(TIMERS, "Durable timers fired, by entity kind");
    describe_counter!(RECOVERIES, "Activations that found effects without a task, by entity kind");
    describe_counter!(PANICS, "Panics of entity code, by kind");
    describe_counter!(FENCED, "Activations ended by another claim, by entity kind");
    describe_counter!(UNREADABLE, "Entities whose stored data could not be folded, by kind");
    describe_counter!(NEWER, "Entities not served because a newer version wrote their journals, by kind");
    describe_counter!(ROWS_REFUSED, "Row writes the store refused for good, by entity kind");
    describe_counter!(BEATS, "Lease renewals by outcome");
    describe_gauge!(LEASE_VALID, "1 while this node's lease is valid");
    describe_gauge!(SHARD_OWNED, "1 for each shard this node owns");
    describe_gauge!(SHARD_EPOCH, "Epoch of each shard this node owns");
    describe_histogram!(
        HANDOFF_SECONDS,
        Unit::Seconds,
        "From the mark on a shard until its new owner was written down"
    );
    describe_counter!(HANDOFFS, "Shards that left this node, by outcome");
    describe_counter!(STALE_ROUTES, "Frames for a shard under another epoch than it is served under");
    describe_gauge!(BEAT_AGE, Unit::Seconds, "Since another living node's beat was seen to move, by node");
    describe_counter!(LOOKS, "Looks at the lease tables, by outcome");
    describe_gauge!(STEWARD, "1 while this node is steward");
    describe_counter!(WATCH_LAGGED, "Watchers that fell behind and must re-sync");
    describe_counter!(FANOUT_PUBLISHED, "Watch items published to other nodes, by outcome");
    describe_counter!(FANOUT_RECEIVED, "Watch items received from other nodes, by outcome");
    describe_gauge!(FANOUT_UP, "1 while watch items travel between nodes");
    describe_counter!(FANOUT_CATCH_UPS, "Parts of watchers told to ask their owners because items may have been lost");
    describe_counter!(SHARED_SPENDS, "Actions told to the rate limits that all nodes share, by outcome");
    describe_gauge!(TRANSPORT_SESSIONS, "Connections to peers that can be used");
    describe_counter!(TRANSPORT_DIALS, "Dials of peers by outcome");
    describe_counter!(TRANSPORT_FRAMES, "Packets between nodes by direction");
    describe_counter!(TRANSPORT_BATCHES, "Batches between nodes by direction");
    describe_counter!(TRANSPORT_BYTES, Unit::Bytes, "Bytes between nodes by direction");
    describe_counter!(TRANSPORT_REFUSED, "Frames and answers refused because a window to a peer is full, by reason");
    describe_gauge!(TRANSPORT_BEAT_AGE, Unit::Seconds, "How long ago a connected peer was heard of, by peer");
    describe_counter!(TRANSPORT_UNDECODABLE, "What peers sent and could not be read, by what it was");
    describe_counter!(TRANSPORT_STRANGERS, "Incoming connections that came to nothing, by what was wrong");
}
