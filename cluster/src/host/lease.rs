//! Keeps the node's lease: sends renewals, and lets the node go quiet or stop when they fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use colloquy_store::{StoreError, leases::NodeRow, leases::NodeState};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::NodeInner;
use super::node::Fate;
use crate::core::lease::{Beat, Input, Lease, Output};
use crate::telemetry;

/// When nothing but an answer can move the lease: a time that does not come, milliseconds.
const NEVER_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// Runs the lease of one incarnation until the node stops or the lease is lost.
pub(super) async fn run(node: Arc<NodeInner>, me: NodeRow, mut lease: Lease, stop: CancellationToken) {
    let (answered, mut answers) = mpsc::channel(1); // One renewal is under way at a time.
    let last_beat = Arc::new(AtomicU64::new(me.beat));
    let mut alarm = node.monotonic_ms();
    loop {
        let input = tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(node.started() + Duration::from_millis(alarm)) => Input::Tick,
            Some(input) = answers.recv() => input,
        };
        let mut out = Vec::new();
        lease.on(node.monotonic_ms(), input, &mut out);
        node.lease_is_valid_until(lease.valid_until_ms());
        // Without an alarm only an answer moves the lease.
        alarm = node.monotonic_ms() + NEVER_MS;
        for output in out {
            match output {
                Output::SendBeat => {
                    let (node, me, answered) = (node.clone(), me.clone(), answered.clone());
                    let last_beat = last_beat.clone();
                    tokio::spawn(async move {
                        let sent_ms = node.monotonic_ms();
                        let beat = beat(&node, &me, &last_beat).await;
                        // The lease has ended meanwhile: nobody waits for its renewal.
                        let _ = answered.send(Input::Beat { sent_ms, beat }).await;
                    });
                }
                Output::Suspend => {
                    tracing::warn!("the lease ran out; nothing is answered until it is renewed")
                }
                Output::Resume => tracing::info!("the lease is renewed"),
                Output::StopAll => {
                    tracing::error!("the lease was refused: this incarnation is dead");
                    node.lose(Fate::LeaseLost("the renewal of the node's lease was refused".to_owned()));
                    return;
                }
                Output::Alarm { at_ms } => alarm = at_ms,
            }
        }
    }
}

async fn beat(node: &NodeInner, me: &NodeRow, last_beat: &AtomicU64) -> Beat {
    let limit = Duration::from_millis(node.limits().store_timeout_ms);
    let renewed = tokio::time::timeout(limit, node.store().leases.beat(&me.id, me.incarnation)).await;
    let beat = match renewed {
        Ok(Ok(number)) => {
            // It stands, but there was no room to write it down.
            if last_beat.swap(number, Ordering::Relaxed) == number {
                node.storage_was_full();
            }
            Beat::Renewed
        }
        // An unreachable store and a refusal are the same error; the table tells them apart.
        Ok(Err(StoreError::Unavailable(_) | StoreError::Fenced(_))) => match is_dead(node, me).await {
            Some(true) => Beat::Refused,
            Some(false) | None => Beat::Unanswered,
        },
        Ok(Err(_)) | Err(_) => Beat::Unanswered,
    };
    let outcome = match beat {
        Beat::Renewed => "renewed",
        Beat::Refused => "refused",
        Beat::Unanswered => "unanswered",
    };
    metrics::counter!(telemetry::BEATS, "outcome" => outcome).increment(1);
    beat
}

/// Whether this incarnation was declared dead or replaced; `None` when the store does not say.
async fn is_dead(node: &NodeInner, me: &NodeRow) -> Option<bool> {
    let nodes = node.store().leases.nodes().await.ok()?;
    let row = nodes.into_iter().find(|row| row.id == me.id);
    Some(row.is_none_or(|row| row.incarnation != me.incarnation || row.state == NodeState::Dead))
}

/// A monotonic clock in milliseconds since the node's start.
pub(super) fn since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
