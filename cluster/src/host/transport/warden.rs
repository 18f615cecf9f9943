//! Notices when a part of the transport ends that should not: a node whose gateway is gone would go on renewing its lease and hear nobody.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::watch;

/// What broke first, once something has. Cheap to clone; all clones are the same.
#[derive(Clone, Default)]
pub(super) struct Breakage(Arc<watch::Sender<Option<String>>>);

impl Breakage {
    /// Tells it. What broke first stands: the rest is its consequence.
    pub(super) fn tell(&self, what: String) {
        self.0.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                tracing::error!(what, "the transport is broken");
                *known = Some(what);
            }
            first
        });
    }

    /// Ends when something has broken.
    pub(super) async fn happened(self) -> String {
        let mut told = self.0.subscribe();
        match told.wait_for(Option::is_some).await.map(|known| known.clone()) {
            Ok(Some(what)) => what,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Runs a task of the transport; that it panics is a breakage.
    pub(super) fn spawn(&self, what: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let breakage = self.clone();
        tokio::spawn(async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                breakage.tell(format!("{what} panicked"));
            }
        });
    }
}

/// Supervises the actors of the transport. They end only when it is stopped, and then it is not told.
pub(super) struct Warden;

impl Actor for Warden {
    type Msg = ();
    type State = Breakage;
    type Arguments = Breakage;

    async fn pre_start(&self, _myself: ActorRef<()>, breakage: Breakage) -> Result<Breakage, ActorProcessingErr> {
        Ok(breakage)
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<()>,
        event: SupervisionEvent,
        breakage: &mut Breakage,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(who, error) => {
                breakage.tell(format!("{} failed: {error}", name(&who)));
            }
            SupervisionEvent::ActorTerminated(who, _, reason) => {
                breakage.tell(format!("{} ended: {}", name(&who), reason.unwrap_or_else(|| "nobody says why".into())));
            }
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_)
            | SupervisionEvent::PidLifecycleEvent(_) => {}
        }
        Ok(())
    }
}

/// What the transport calls an actor of its own; there are two.
fn name(who: &ractor::ActorCell) -> &'static str {
    if who.is_message_type_of::<super::gateway::GatewayMsg>() == Some(true) { "the gateway" } else { "ractor_cluster" }
}
