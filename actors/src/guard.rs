//! The contact guard entity, its list rows, and how senders ask it.

use std::sync::Arc;

use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Entity, Message};
use colloquy_cluster::store::rows::Row;
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::Principal;
use colloquy_domain::campaign::slice;
use colloquy_domain::contact_guard::{
    self, Address, Command, ContactGuard, Event, MessageRequest, Purpose, Reach, Reply, Source, Verdict,
};
use colloquy_domain::ids::TenantId;
use colloquy_domain::local_time::rfc3339;
use colloquy_domain::vocabulary::Channel;
use serde_json::json;

use crate::core::{Core, ask, message, pure_core, pure_work};
use crate::{ActorError, Tools, feed};

/// The list of entries that hold.
pub const LIST: &str = "do_not_contact";
/// The list of the consent ledger.
pub const CONSENTS: &str = "consents";
const VIEW_VERSION: u16 = 1;

/// The kind `contact_guard`. It is sealed.
pub struct ContactGuardEntity;

impl Core for ContactGuardEntity {
    type Plain = contact_guard::Command;
}

impl Entity for ContactGuardEntity {
    pure_core!(contact_guard, ContactGuard, 1, 1, true);
    pure_work!(contact_guard, Effect, |state| state.tenant.clone());

    fn rows(&self, key: &EntityKey, state: &ContactGuard, seq: u64) -> Vec<Row> {
        let row = |list: &str, id: String, at_ms: i64, body| Row {
            tenant: key.tenant.to_string(),
            list: list.to_owned(),
            at_ms,
            id,
            seq,
            view_version: VIEW_VERSION,
            body,
            numbers: None,
        };
        let entries = state.entries.iter().map(|entry| {
            let id = entry_id(&key.id, entry.reach, entry.source);
            let shown = json!({
                "id": id,
                "channel": entry.reach,
                "address": state.masked,
                "reason": entry.reason,
                "source": entry.source,
                "by": entry.by,
                "created_at": rfc3339(entry.since_ms),
                "expires_at": entry.expires_ms.map(rfc3339),
            });
            // A row that is gone must be said to be gone.
            let body = if entry.lifted_ms.is_none() { feed::encode(&shown) } else { None };
            row(LIST, id, entry.listed_ms, body)
        });
        let consents = state.consents.iter().map(|consent| {
            let id = format!("{}.{}", key.id, consent.n);
            let shown = json!({
                "id": id,
                "kind": consent.kind,
                "granted": consent.granted,
                "address": state.masked,
                "text": consent.text,
                "source": consent.source,
                "by": consent.by,
                "captured_at": rfc3339(consent.at_ms),
            });
            row(CONSENTS, id, consent.at_ms, feed::encode(&shown))
        });
        entries.chain(consents).collect()
    }

    fn outbox(&self, key: &EntityKey, state: &ContactGuard, event: &Event, at: At) -> Vec<Message> {
        // Calls that may still be queued at a carrier are taken back.
        contact_guard::stopped(state, event, at.at_ms)
            .into_iter()
            .filter_map(|dial| {
                let (index, target) = dial.target.split_once('.')?;
                let command = slice::Command::Forbidden { target: target.parse().ok()?, attempt: dial.attempt };
                let id = slice::id(&dial.campaign.into(), index.parse().ok()?);
                Some(message(&key.tenant, slice::KIND, &id, command))
            })
            .collect()
    }

    async fn run(self: Arc<Self>, effect: Self::Effect, _handle: EffectHandle) {
        match effect {}
    }
}

/// The id of an entry, from which its guard can be found.
fn entry_id(guard: &str, reach: Reach, source: Source) -> String {
    format!("{guard}.{}.{}", reach.word(), source.word())
}

/// What an entry's id names.
pub fn read_entry_id(id: &str) -> Option<(&str, Reach, Source)> {
    let mut parts = id.split('.');
    let (guard, reach, source) = (parts.next()?, parts.next()?, parts.next()?);
    let well_formed = guard.len() == 32 && guard.bytes().all(|byte| byte.is_ascii_hexdigit()) && parts.next().is_none();
    let reach = Reach::ALL.into_iter().find(|known| known.word() == reach)?;
    let source = Source::ALL.into_iter().find(|known| known.word() == source)?;
    well_formed.then_some((guard, reach, source))
}

/// Asks the guard of an address.
pub async fn ask_guard(
    client: &Client,
    tools: &Tools,
    by: &Principal,
    address: &Address,
    command: Command,
) -> Result<Reply, ActorError> {
    ask::<ContactGuardEntity>(client, by, &address.id(&tools.contact_key), command).await
}

/// May this message be sent?
pub async fn may_send(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    address: &Address,
    message: String,
    channel: Channel,
    purpose: Purpose,
) -> Result<Verdict, ActorError> {
    let request = MessageRequest { masked: address.masked(), message, channel, purpose };
    let by = Principal::system(tenant.clone());
    match ask_guard(client, tools, &by, address, Command::AuthorizeMessage(Box::new(request))).await? {
        Reply::Verdict { verdict } => Ok(verdict),
        Reply::Consent { .. } | Reply::Done | Reply::State(_) => Err(ActorError::Failed),
    }
}

/// What is known of an address.
pub async fn known(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    address: &Address,
) -> Result<ContactGuard, ActorError> {
    match ask_guard(client, tools, &Principal::system(tenant.clone()), address, Command::Get).await? {
        Reply::State(state) => Ok(*state),
        Reply::Verdict { .. } | Reply::Consent { .. } | Reply::Done => Err(ActorError::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entrys_id_names_its_guard_and_nothing_else_does() {
        let guard = "0123456789abcdef0123456789abcdef";
        let id = entry_id(guard, Reach::Phone, Source::Keyword);
        assert_eq!(read_entry_id(&id), Some((guard, Reach::Phone, Source::Keyword)));
        for bad in
            ["", "x.phone.keyword", guard, &format!("{guard}.phone"), &format!("{guard}.all.staff"), &format!("{id}.x")]
        {
            assert_eq!(read_entry_id(bad), None, "{bad}");
        }
    }
}
