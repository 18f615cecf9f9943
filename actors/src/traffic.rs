//! The traffic entity: visits of one agent in one day.

use std::sync::Arc;

use colloquy_cluster::EntityKey;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{Entity, Message};
use colloquy_cluster::store::rows::Row;
use colloquy_domain::traffic::{self, Traffic};
use serde_json::json;

use crate::core::{Core, pure_core};
use crate::feed;

/// The list that days are projected into, for their numbers.
pub const LIST: &str = "traffic";
const VIEW_VERSION: u16 = 1;

/// The kind `traffic`.
pub struct TrafficEntity;

impl Core for TrafficEntity {
    type Plain = traffic::Command;
}

impl Entity for TrafficEntity {
    pure_core!(traffic, Traffic, 1, 1, false);

    type Effect = std::convert::Infallible;

    fn rows(&self, key: &EntityKey, state: &Traffic, seq: u64) -> Vec<Row> {
        if state.agent.as_str().is_empty() {
            return Vec::new();
        }
        vec![Row {
            tenant: key.tenant.to_string(),
            list: LIST.to_owned(),
            at_ms: state.since_ms,
            id: key.id.to_string(),
            seq,
            view_version: VIEW_VERSION,
            body: feed::encode(&json!({ "agent_id": state.agent })),
            numbers: feed::encode(&feed::Contribution {
                agent: state.agent.to_string(),
                numbers: state.numbers.clone(),
            }),
        }]
    }

    fn tell(&self, key: &EntityKey, rows: &[Row]) -> Vec<Message> {
        feed::tell(key, rows)
    }

    async fn run(self: Arc<Self>, effect: Self::Effect, _handle: EffectHandle) {
        match effect {}
    }
}
