//! The import of a campaign: reads a stored file or leads in pieces and fills slices, each with its callees. Trying again changes nothing that was done.

use colloquy_cluster::EntityKey;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::store::rows::After;
use colloquy_domain::campaign::callees::{self as people, Callee, Listed};
use colloquy_domain::campaign::core::{Campaign, Command, Import, Imported, Source};
use colloquy_domain::campaign::import::{Format, Importer, LeadFilter};
use colloquy_domain::campaign::limits::{SLICE_TARGETS, TARGETS_MAX};
use colloquy_domain::campaign::slice as calls;
use colloquy_domain::campaign::target::NewTarget;
use colloquy_domain::contact_guard::Address;
use colloquy_domain::ids::{LeadId, TenantId};
use colloquy_domain::{Principal, Rejection, lead};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::{CampaignEntity, SliceEntity, callees, pages};
use crate::core::{Asked, ask};
use crate::lead::LeadEntity;
use crate::{ActorError, Tools};

/// Bytes that are read between two slices: targets do not pile up.
const PIECE_BYTES: usize = 64 * 1024;
/// Rows of leads read in one go.
const LEADS_BATCH: usize = 200;
/// What leads may come to as a stored list, bytes: as much as the largest file.
const LEADS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The pause before a step is tried again, and how often: a node that owns a slice comes back, and a list that is being rewritten is done, within seconds.
const AGAIN: Duration = Duration::from_millis(500);
const TRIES: u32 = 120;

/// Leads as they were when the import began: a second try must find the same ones in the same order.
#[derive(Default, Serialize, Deserialize)]
struct Selection {
    targets: Vec<Selected>,
    result: Imported,
}

/// One of them.
#[derive(Serialize, Deserialize)]
struct Selected {
    phone: String,
    zones: Vec<String>,
    name: Option<String>,
    fields: BTreeMap<String, String>,
    lead_id: Option<LeadId>,
}

/// Where the files of a campaign lie.
pub fn folder(tenant: &str, campaign: &str) -> String {
    format!("campaigns/{}/{}", segment(tenant), segment(campaign))
}

/// An id as a part of a path: ids are of letters, digits, points and dashes; anything else would be refused by the store.
fn segment(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

/// Runs one try.
pub(super) async fn run(tools: &Tools, handle: &EffectHandle, import: Import) {
    let tenant = TenantId::from(&*handle.key().tenant);
    let filled = tokio::select! {
        filled = fill(tools, handle, &tenant, &import) => filled,
        () = handle.cancelled() => return,
    };
    let (slices, result) = match filled {
        Ok(done) => done,
        Err(why) => {
            tracing::warn!(campaign = %handle.key().id, import = import.n, why, "a list could not be read");
            (BTreeMap::new(), Imported::failed(why))
        }
    };
    let command = Command::Imported { n: import.n, attempt: import.attempt, slices, result: Box::new(result) };
    let by = Principal::system(tenant);
    match handle.command::<CampaignEntity>(Asked { by, command }).await {
        Ok(_) => {
            let mut files = vec![selection_path(handle.key(), import.n)];
            if let Source::File { path, .. } = import.source {
                files.push(path);
            }
            for path in files {
                if let Err(error) = handle.client().store().blobs.delete(&path).await {
                    tracing::warn!(campaign = %handle.key().id, %error, "a list that was read could not be deleted; it goes with its campaign");
                }
            }
        }
        Err(error) => {
            tracing::warn!(campaign = %handle.key().id, ?error, "the end of an import could not be written down");
        }
    }
}

async fn fill(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    import: &Import,
) -> Result<(BTreeMap<String, u32>, Imported), String> {
    let client = handle.client();
    let state = super::state(client, &Principal::system(tenant.clone()), &handle.key().id)
        .await
        .map_err(|error| said(&error))?;
    let mut filler = Filler {
        tools,
        handle,
        tenant,
        import: import.n,
        index: import.first_slice,
        holds: import.in_first,
        waiting: Vec::new(),
        slices: BTreeMap::new(),
    };
    let result = match &import.source {
        Source::File { path, csv } => {
            let stored = client.get_blob(handle.key(), path).await.map_err(|error| error.to_string())?;
            let bytes = stored.ok_or("the list is not there any more; bring it again")?;
            let mut importer = importer(&state, import, Some(*csv), known(handle, tenant, import).await?);
            for piece in bytes.chunks(PIECE_BYTES) {
                importer.feed(piece).map_err(|problem| problem.to_string())?;
                filler.take(importer.take()).await?;
            }
            let (rest, result) = importer.finish().map_err(|problem| problem.to_string())?;
            filler.take(rest).await?;
            result
        }
        Source::Leads { filter } => {
            let selection = selection(handle, tenant, &state, import, filter).await?;
            filler.take(selection.targets.into_iter().map(listed).collect()).await?;
            selection.result
        }
        Source::Lead { lead, not_after_ms } => {
            let mut importer = importer(&state, import, None, known(handle, tenant, import).await?);
            if let Some(lead) = lead_state(handle, tenant, lead.as_str()).await? {
                importer.lead(&lead);
            }
            let (mut targets, result) = importer.finish().map_err(|problem| problem.to_string())?;
            for target in &mut targets {
                target.not_after_ms = Some(*not_after_ms);
            }
            filler.take(targets).await?;
            result
        }
    };
    filler.flush().await?;
    Ok((filler.slices, result))
}

fn importer(state: &Campaign, import: &Import, csv: Option<bool>, known: HashSet<String>) -> Importer {
    let full = u32::try_from(SLICE_TARGETS).unwrap_or(u32::MAX);
    let room = TARGETS_MAX.saturating_sub(import.first_slice.saturating_mul(full).saturating_add(import.in_first));
    let country = state.settings.default_country.clone();
    match csv {
        Some(true) => Importer::new(Format::Csv, known, room, country),
        Some(false) => Importer::new(Format::Json, known, room, country),
        None => Importer::of_leads(known, room, country),
    }
}

/// The numbers that the campaign had before this import.
async fn known(handle: &EffectHandle, tenant: &TenantId, import: &Import) -> Result<HashSet<String>, String> {
    let mut known = HashSet::new();
    for index in 0..=import.first_slice {
        let id = calls::id(&handle.key().id.to_string().into(), index);
        let book = callees::book(handle.client(), tenant, &id).await.map_err(|error| said(&error))?;
        let all = callees::all(handle.client(), tenant, &id, book).await.map_err(|error| said(&error))?;
        let before = all.people.into_iter().flatten().filter(|who| who.import < import.n);
        known.extend(before.map(|who| who.phone));
    }
    Ok(known)
}

/// The leads of an import, selected once and kept until it is done.
async fn selection(
    handle: &EffectHandle,
    tenant: &TenantId,
    state: &Campaign,
    import: &Import,
    filter: &LeadFilter,
) -> Result<Selection, String> {
    let client = handle.client();
    let path = selection_path(handle.key(), import.n);
    if let Some(bytes) = client.get_blob(handle.key(), &path).await.map_err(|error| error.to_string())? {
        return serde_json::from_slice(&bytes).map_err(|error| error.to_string());
    }
    let mut importer = importer(state, import, None, known(handle, tenant, import).await?);
    let mut after: Option<After> = None;
    loop {
        let rows = pages(client, tenant.as_str(), crate::lead::LIST, &mut after, LEADS_BATCH).await;
        let rows = rows.map_err(|error| said(&error))?;
        for (id, _) in &rows {
            if let Some(lead) = lead_state(handle, tenant, id).await?
                && filter.matches(&lead)
            {
                importer.lead(&lead);
            }
        }
        if rows.is_empty() {
            break;
        }
    }
    let (targets, result) = importer.finish().map_err(|problem| problem.to_string())?;
    let targets = targets
        .into_iter()
        .map(|one| Selected {
            phone: one.phone,
            zones: one.zones,
            name: one.name,
            fields: one.fields,
            lead_id: one.lead_id,
        })
        .collect();
    let selection = Selection { targets, result };
    let bytes = serde_json::to_vec(&selection).map_err(|error| error.to_string())?;
    if bytes.len() > LEADS_BYTES_MAX {
        return Err(format!("these leads come to more than {LEADS_BYTES_MAX} bytes; select fewer"));
    }
    client.put_blob(handle.key(), &path, &bytes).await.map_err(|error| error.to_string())?;
    Ok(selection)
}

fn listed(one: Selected) -> Listed {
    let Selected { phone, zones, name, fields, lead_id } = one;
    Listed { phone, zones, name, fields, lead_id, contact_id: None, not_after_ms: None }
}

fn selection_path(campaign: &EntityKey, import: u32) -> String {
    format!("{}/leads-{import}", folder(&campaign.tenant, &campaign.id))
}

async fn lead_state(handle: &EffectHandle, tenant: &TenantId, id: &str) -> Result<Option<lead::State>, String> {
    match ask::<LeadEntity>(handle.client(), &Principal::system(tenant.clone()), id, lead::Command::Get).await {
        Ok(lead::Reply::State(state)) => Ok(Some(*state)),
        Ok(lead::Reply::Done | lead::Reply::FollowUp { .. }) | Err(ActorError::Rejected(_)) => Ok(None),
        Err(error) => Err(said(&error)),
    }
}

/// Fills slices one after the other.
struct Filler<'a> {
    tools: &'a Tools,
    handle: &'a EffectHandle,
    tenant: &'a TenantId,
    import: u32,
    index: u32,
    /// Targets the slice has from before.
    holds: u32,
    waiting: Vec<Listed>,
    slices: BTreeMap<String, u32>,
}

impl Filler<'_> {
    async fn take(&mut self, targets: Vec<Listed>) -> Result<(), String> {
        for target in targets {
            self.waiting.push(target);
            if self.waiting.len() + usize::try_from(self.holds).unwrap_or(0) >= SLICE_TARGETS {
                self.flush().await?;
                (self.index, self.holds) = (self.index + 1, 0);
            }
        }
        Ok(())
    }

    /// Gives what waits to the slice that is being filled: first who they are, then that they are to be called.
    async fn flush(&mut self) -> Result<(), String> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let count = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        let split = |one: Listed| {
            let guard = Address::Phone(one.phone.clone()).id(&self.tools.contact_key);
            one.split(guard, self.import)
        };
        let (targets, people): (Vec<NewTarget>, Vec<Callee>) =
            std::mem::take(&mut self.waiting).into_iter().map(split).unzip();
        let mut tries = 0;
        while let Err(error) = self.give(&targets, &people).await {
            tries += 1;
            let for_good = match &error {
                // Somebody is being erased from it: there is another generation in a moment.
                ActorError::Rejected(Rejection::Conflict { .. }) => false,
                ActorError::Rejected(_) | ActorError::Damaged(_) | ActorError::Failed => true,
                ActorError::Busy { .. }
                | ActorError::Unknown
                | ActorError::StorageFull
                | ActorError::Unavailable(_) => false,
            };
            if for_good || tries >= TRIES {
                return Err(said(&error));
            }
            tokio::time::sleep(AGAIN).await;
        }
        self.slices.insert(self.index.to_string(), self.holds.saturating_add(count));
        Ok(())
    }

    async fn give(&self, targets: &[NewTarget], people: &[Callee]) -> Result<(), ActorError> {
        let client = self.handle.client();
        let campaign = self.handle.key().id.to_string().into();
        let id = calls::id(&campaign, self.index);
        let book = callees::book(client, self.tenant, &id).await?;
        let add = people::Command::Add { import: self.import, people: people.to_vec() };
        match callees::asked(client, self.tenant, &id, book, add).await {
            Ok(_) => {}
            // Erased between the two questions.
            Err(error) if callees::is_gone(&error) => return Err(ActorError::Busy { retry_after_ms: 0 }),
            Err(error) => return Err(error),
        }
        let add = calls::Command::Add { campaign, index: self.index, import: self.import, targets: targets.to_vec() };
        ask::<SliceEntity>(client, &Principal::system(self.tenant.clone()), &id, add).await?;
        Ok(())
    }
}

/// In words, for whoever brought the list.
fn said(error: &ActorError) -> String {
    match error {
        ActorError::Rejected(rejection) => rejection.to_string(),
        ActorError::Busy { .. }
        | ActorError::Unknown
        | ActorError::StorageFull
        | ActorError::Damaged(_)
        | ActorError::Unavailable(_)
        | ActorError::Failed => error.to_string(),
    }
}
