//! Keeps the number of entities in memory under its cap: those used least recently leave first. Idle ones leave by themselves.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::NodeInner;
use crate::core::activation::Input;
use crate::telemetry;

/// How often the number is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One in this many is freed beyond what is needed, so that a node at its cap does not look for victims all the time.
const HEADROOM: usize = 20;

/// Watches the number until the node stops.
pub(super) async fn run(node: Arc<NodeInner>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        metrics::gauge!(telemetry::LEASE_VALID).set(if node.holds_lease() { 1.0 } else { 0.0 });
        metrics::gauge!(telemetry::QUEUED).set(u32::try_from(node.queued()).map_or(f64::MAX, f64::from));
        let cap = node.limits().resident;
        let here = node.directory().len();
        if here > cap {
            for key in node.directory().least_recent(here - cap + cap / HEADROOM) {
                // One that has work stays; the next look finds others.
                node.directory().nudge(&key, Input::Passivate);
            }
        }
    }
}
