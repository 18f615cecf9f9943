//! What `ractor_cluster` sees of a node: one remotable actor whose message is a batch of bytes, and the events of its sessions.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use ractor::message::{BoxedDowncastErr, SerializedMessage};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_cluster::NodeEventSubscription;
use ractor_cluster::node::NodeServerSessionInformation;

use super::cluster::Shared;
use crate::telemetry;

/// The process group of the gateways: how each finds the other's.
pub(super) const GROUP: &str = "colloquy-gateway";

/// The name of the one message.
const BATCH: &str = "batch";

/// What a call is answered with: there is none, but a caller of another version must not wait for ever.
const NO_CALLS: &[u8] = b"this gateway takes batches only";

/// The gateway's message.
pub(super) enum GatewayMsg {
    /// A batch of packets.
    Batch(Vec<u8>),
    /// What this version does not know.
    Foreign,
}

impl ractor::Message for GatewayMsg {
    fn serializable() -> bool {
        true
    }

    fn serialize(self) -> Result<SerializedMessage, BoxedDowncastErr> {
        match self {
            Self::Batch(args) => Ok(SerializedMessage::Cast { variant: BATCH.to_owned(), args, metadata: None }),
            Self::Foreign => Err(BoxedDowncastErr),
        }
    }

    /// Never fails: an actor ends with a message it cannot read, and this one must outlive whatever its peers send.
    fn deserialize(message: SerializedMessage) -> Result<Self, BoxedDowncastErr> {
        Ok(match message {
            SerializedMessage::Cast { variant, args, .. } if variant == BATCH => Self::Batch(args),
            SerializedMessage::Call { reply, .. } => {
                drop(reply.send(NO_CALLS.to_vec())); // The caller may be gone.
                Self::Foreign
            }
            SerializedMessage::Cast { .. } | SerializedMessage::CallReply(..) => Self::Foreign,
        })
    }
}

/// The gateway.
pub(super) struct Gateway;

impl Actor for Gateway {
    type Msg = GatewayMsg;
    type State = Weak<Shared>;
    type Arguments = Weak<Shared>;

    async fn pre_start(
        &self,
        myself: ActorRef<GatewayMsg>,
        shared: Weak<Shared>,
    ) -> Result<Weak<Shared>, ActorProcessingErr> {
        ractor::pg::join(GROUP.to_owned(), vec![myself.get_cell()]);
        Ok(shared)
    }

    async fn handle(
        &self,
        _myself: ActorRef<GatewayMsg>,
        message: GatewayMsg,
        shared: &mut Weak<Shared>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            GatewayMsg::Batch(bytes) => {
                if let Some(shared) = shared.upgrade() {
                    shared.take(Bytes::from(bytes));
                }
            }
            GatewayMsg::Foreign => {
                metrics::counter!(telemetry::TRANSPORT_UNDECODABLE, "what" => "message").increment(1);
                tracing::warn!("a message for the gateway is not of this version");
            }
        }
        Ok(())
    }
}

/// How `ractor_cluster`'s events call a connection.
pub(super) fn label(link: u64) -> String {
    format!("{link:016x}")
}

/// Tells the transport what becomes of its connections.
pub(super) struct Events(pub(super) Weak<Shared>);

impl Events {
    fn tell(&self, session: &NodeServerSessionInformation, what: impl FnOnce(&Arc<Shared>, u64)) {
        if let Some(shared) = self.0.upgrade()
            && let Ok(link) = u64::from_str_radix(&session.peer_addr, 16)
        {
            what(&shared, link);
        }
    }
}

impl NodeEventSubscription for Events {
    fn node_session_opened(&self, _session: NodeServerSessionInformation) {}

    fn node_session_disconnected(&self, session: NodeServerSessionInformation) {
        self.tell(&session, Shared::session_gone);
    }

    fn node_session_authenticated(&self, _session: NodeServerSessionInformation) {}

    fn node_session_ready(&self, session: NodeServerSessionInformation) {
        // The peer's groups came before it said that it is ready.
        let gateway = ractor::pg::get_members(&GROUP.to_owned())
            .into_iter()
            .find(|cell| !cell.get_id().is_local() && cell.get_id().node() == session.node_id);
        self.tell(&session, |shared, link| shared.session_ready(link, gateway.map(ActorRef::from)));
    }
}
