//! Permits: taken before a message is sent, because ractor's mailboxes are unbounded; given back with the answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use metrics::{Counter, Gauge};

use super::config::Limits;
use crate::telemetry;

/// What is queued on a node.
pub(super) struct Admission {
    commands: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
    shards: Vec<Shard>,
    limits: Limits,
}

/// What is counted of a shard.
#[derive(Default)]
struct Shard {
    queued: Arc<AtomicUsize>,
    /// Made at its first command, so that `/metrics` names the shards in use only.
    metrics: OnceLock<ShardMetrics>,
}

struct ShardMetrics {
    commands: Counter,
    queued: Gauge,
    resident: Gauge,
}

impl Shard {
    fn metrics(&self, shard: u32) -> &ShardMetrics {
        self.metrics.get_or_init(|| {
            let shard = shard.to_string();
            ShardMetrics {
                commands: metrics::counter!(telemetry::SHARD_COMMANDS, "shard" => shard.clone()),
                queued: metrics::gauge!(telemetry::SHARD_QUEUED, "shard" => shard.clone()),
                resident: metrics::gauge!(telemetry::SHARD_RESIDENT, "shard" => shard),
            }
        })
    }
}

/// The right to be queued; dropped with the answer.
pub(crate) struct Permit {
    held: [(Arc<AtomicUsize>, usize); 4],
    queued: Gauge,
}

impl Admission {
    pub(super) fn new(shards: u32, limits: Limits) -> Self {
        Self {
            commands: Arc::default(),
            bytes: Arc::default(),
            shards: (0..shards).map(|_| Shard::default()).collect(),
            limits,
        }
    }

    /// How many commands are queued.
    pub(super) fn queued(&self) -> usize {
        self.commands.load(Ordering::Relaxed)
    }

    /// A permit for a command of `bytes` to an entity whose queue is counted by `entity`; `None` when something is full.
    pub(super) fn admit(&self, shard: u32, entity: &Arc<AtomicUsize>, bytes: usize) -> Option<Permit> {
        let number = shard;
        let shard = self.shards.get(shard as usize)?;
        let wanted = [
            (entity, 1, self.limits.queued_per_entity),
            (&shard.queued, 1, self.limits.queued_per_shard),
            (&self.commands, 1, self.limits.queued_per_node),
            (&self.bytes, bytes, self.limits.queued_bytes),
        ];
        for (taken, (counter, amount, limit)) in wanted.iter().enumerate() {
            if counter.fetch_add(*amount, Ordering::AcqRel) + amount > *limit {
                for (counter, amount, _) in &wanted[..=taken] {
                    counter.fetch_sub(*amount, Ordering::AcqRel);
                }
                return None;
            }
        }
        let metrics = shard.metrics(number);
        metrics.commands.increment(1);
        metrics.queued.increment(1);
        Some(Permit {
            held: wanted.map(|(counter, amount, _)| (counter.clone(), amount)),
            queued: metrics.queued.clone(),
        })
    }

    /// How many entities of a shard are in memory.
    pub(super) fn resident(&self, shard: u32) -> Gauge {
        self.shards.get(shard as usize).map_or_else(Gauge::noop, |own| own.metrics(shard).resident.clone())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        for (counter, amount) in &self.held {
            counter.fetch_sub(*amount, Ordering::AcqRel);
        }
        self.queued.decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_takes_nothing_and_a_dropped_permit_gives_back() {
        let limits = Limits { queued_per_entity: 2, queued_bytes: 100, ..Limits::default() };
        let admission = Admission::new(1, limits);
        let entity = Arc::default();
        let first = admission.admit(0, &entity, 60).expect("room");
        assert!(admission.admit(0, &entity, 60).is_none(), "bytes");
        let second = admission.admit(0, &entity, 40).expect("the refused one took nothing");
        assert!(admission.admit(0, &entity, 0).is_none(), "commands of one entity");
        assert_eq!(admission.queued(), 2);
        drop((first, second));
        assert_eq!(admission.queued(), 0);
        assert_eq!(entity.load(Ordering::Relaxed), 0);
        assert!(admission.admit(7, &entity, 1).is_none(), "no such shard");
    }
}
