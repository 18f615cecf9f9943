//! The inbox entity: one person in one organization. Its row tells the live feed which marks changed, for that person's screens only.

use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Cx, Decision, Entity, Message};
use colloquy_cluster::store::rows::Row;
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::ids::{ConversationId, TenantId, UserId};
use colloquy_domain::inbox::{self, Command, Event, Inbox, Marks, Reply, Seen};
use colloquy_domain::{Actor, Principal, Rejection};
use serde_json::json;

use crate::core::{Asked, Core, ask, context, decided};
use crate::{ActorError, Tools, feed};

/// The list that inboxes are projected into, for the live feed.
pub const LIST: &str = "inboxes";
const VIEW_VERSION: u16 = 1;

/// The kind `inbox`.
pub struct InboxEntity;

impl Core for InboxEntity {
    type Plain = Command;
}

impl Entity for InboxEntity {
    const KIND: &'static str = inbox::KIND;
    const STATE_VERSION: u32 = 1;
    const EVENT_VERSION: u32 = 1;
    const PERSONAL: bool = false;

    type State = Inbox;
    type Command = Asked<Command>;
    type Event = Event;
    type Reply = Reply;
    type Rejection = Rejection;
    type Effect = std::convert::Infallible;

    fn decide(&self, state: &Inbox, cx: &Cx, asked: Asked<Command>) -> Result<Decision<Event, Reply>, Rejection> {
        let context = context(cx, asked.by)?;
        // A person has one inbox, and sees no other.
        if matches!(&context.principal.actor, Actor::User { id, .. } if id.as_str() != &*cx.key.id) {
            return Err(Rejection::not_found(inbox::KIND));
        }
        inbox::decide(state, &context, asked.command).map(decided)
    }

    fn apply(state: &mut Inbox, event: &Event, at: At) {
        inbox::apply(state, event, at.seq, at.at_ms);
    }

    fn rows(&self, key: &EntityKey, state: &Inbox, seq: u64) -> Vec<Row> {
        vec![Row {
            tenant: key.tenant.to_string(),
            list: LIST.to_owned(),
            at_ms: 0,
            id: key.id.to_string(),
            seq,
            view_version: VIEW_VERSION,
            body: feed::encode(&json!({ "read": state.recent })),
            numbers: None,
        }]
    }

    fn tell(&self, key: &EntityKey, rows: &[Row]) -> Vec<Message> {
        feed::tell(key, rows)
    }

    fn watched(&self, _key: &EntityKey, _state: &Inbox, event: &Event, _at: At) -> Option<Bytes> {
        feed::encode(event)
    }

    async fn run(self: Arc<Self>, effect: Self::Effect, _handle: EffectHandle) {
        match effect {}
    }
}

/// What somebody has read, from the node's copy.
pub async fn marks(client: &Client, tools: &Tools, tenant: &TenantId, user: &UserId) -> Result<Arc<Marks>, ActorError> {
    let key = key(tenant, user);
    let load = async {
        let by = Principal::system(tenant.clone());
        match ask::<InboxEntity>(client, &by, user.as_str(), Command::Marks).await? {
            Reply::Marks { marks } => Ok(marks),
            Reply::Done | Reply::Seen { .. } => Err(ActorError::Failed),
        }
    };
    tools.marks.get(client, &key, load).await
}

/// Sets a person's own mark: read up to a place, or unread.
pub async fn mark(
    client: &Client,
    tools: &Tools,
    by: &Principal,
    user: &UserId,
    conversation: ConversationId,
    started_ms: i64,
    read: Option<u64>,
) -> Result<(), ActorError> {
    let command = match read {
        Some(seq) => Command::Read { conversation, seq, started_ms },
        None => Command::Unread { conversation, started_ms },
    };
    ask::<InboxEntity>(client, by, user.as_str(), command).await?;
    // This node hears of it by itself too, but perhaps only after who asked has asked again.
    tools.marks.drop(&key(&by.tenant, user));
    Ok(())
}

/// Which notices somebody has read.
pub(crate) async fn seen(client: &Client, tenant: &TenantId, user: &UserId) -> Result<Seen, ActorError> {
    match ask::<InboxEntity>(client, &Principal::system(tenant.clone()), user.as_str(), Command::Seen).await? {
        Reply::Seen { seen } => Ok(seen),
        Reply::Done | Reply::Marks { .. } => Err(ActorError::Failed),
    }
}

/// Notes that somebody has read notices: these, and all up to one.
pub async fn see(client: &Client, by: &Principal, user: &UserId, seqs: Vec<u64>, upto: u64) -> Result<(), ActorError> {
    ask::<InboxEntity>(client, by, user.as_str(), Command::See { seqs, upto }).await?;
    Ok(())
}

/// The key of a person's inbox.
pub fn key(tenant: &TenantId, user: &UserId) -> EntityKey {
    EntityKey::new(tenant.as_str(), inbox::KIND, user.as_str())
}
