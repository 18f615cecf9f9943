//! Erasing people from campaigns: the callees of a slice go on in another generation without them, and the key of the one before is destroyed.

use std::collections::BTreeSet;
use std::time::Duration;

use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::store::rows::After;
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::campaign::callees::{self as people, Callee, Callees};
use colloquy_domain::campaign::core::Command;
use colloquy_domain::campaign::slice as calls;
use colloquy_domain::campaign::target::Standing;
use colloquy_domain::ids::{CampaignId, TenantId};
use colloquy_domain::{Principal, Rejection, text};
use serde_json::{Value, json};

use super::{CampaignEntity, KEPT, SliceEntity, callees, import, pages, slice_of};
use crate::ActorError;
use crate::core::{Asked, ask};

/// Campaigns looked at in one go.
const BATCH: usize = 100;
/// The pause while a list is being read: whoever is on it is looked for when that is done.
const IMPORT_PAUSE: Duration = Duration::from_millis(500);
/// How often it is looked again: an import takes minutes at most. After that the erasure is tried anew.
const IMPORT_LOOKS: u32 = 600;

/// Erases a person from every campaign, deleted ones too. How many targets that were.
pub(crate) async fn person(
    client: &Client,
    tenant: &TenantId,
    leads: &BTreeSet<String>,
    is_about: impl Fn(&Value) -> bool,
) -> Result<u64, String> {
    let mut erased = 0;
    let mut after: Option<After> = None;
    loop {
        let rows = pages(client, tenant.as_str(), KEPT, &mut after, BATCH).await.map_err(|error| error.to_string())?;
        if rows.is_empty() {
            return Ok(erased);
        }
        for (id, _) in rows {
            let campaign = CampaignId(id);
            if !campaign.is_single_call() {
                read(client, tenant, &campaign).await?;
            }
            let mut index = 0;
            while let Some(count) = from_slice(client, tenant, &campaign, index, leads, &is_about).await? {
                erased += count;
                index += 1;
            }
        }
    }
}

/// Takes everybody off the lists of the next campaigns that ended before then; how many people that were, and none once there is no further campaign.
/// Counts and outcomes stay, numbers and names go.
pub(crate) async fn expired(
    client: &Client,
    tenant: &TenantId,
    before_ms: i64,
    after: &mut Option<After>,
) -> Result<Option<u64>, ActorError> {
    let rows = pages(client, tenant.as_str(), KEPT, after, BATCH).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut erased = 0;
    for (id, _) in rows {
        let campaign = CampaignId(id);
        if !has_ended(client, tenant, &campaign, before_ms).await? {
            continue;
        }
        let mut index = 0;
        let everybody = |_: &Value| true;
        while let Some(count) = from_slice(client, tenant, &campaign, index, &BTreeSet::new(), &everybody)
            .await
            .map_err(ActorError::Unavailable)?
        {
            erased += count;
            index += 1;
        }
        delete_files(client, tenant, &campaign).await.map_err(ActorError::Unavailable)?;
    }
    Ok(Some(erased))
}

/// Whether everything about a campaign, or a single call, was over before then.
async fn has_ended(
    client: &Client,
    tenant: &TenantId,
    campaign: &CampaignId,
    before_ms: i64,
) -> Result<bool, ActorError> {
    if campaign.is_single_call() {
        let slice = match slice_of(client, tenant, campaign, 0).await {
            Ok((slice, _)) => slice,
            Err(ActorError::Rejected(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        let done = slice.targets.iter().all(|target| matches!(target.standing, Standing::Done { .. }));
        return Ok(done && slice.now_ms < before_ms);
    }
    let by = Principal::system(tenant.clone());
    match super::state(client, &by, campaign.as_str()).await {
        Ok(state) => Ok(state.ended_ms.is_some_and(|ended_ms| ended_ms < before_ms)
            && super::is_over(state.status)
            && state.import.is_none()),
        Err(ActorError::Rejected(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits until a campaign reads no list, and destroys what is left of lists it has read.
async fn read(client: &Client, tenant: &TenantId, campaign: &CampaignId) -> Result<(), String> {
    for _ in 0..IMPORT_LOOKS {
        match super::state(client, &Principal::system(tenant.clone()), campaign.as_str()).await {
            Ok(state) if state.import.is_some() => tokio::time::sleep(IMPORT_PAUSE).await,
            Ok(_) | Err(ActorError::Rejected(_)) => return delete_files(client, tenant, campaign).await,
            Err(error) => return Err(error.to_string()),
        }
    }
    Err("a campaign is still reading a list".to_owned())
}

async fn delete_files(client: &Client, tenant: &TenantId, campaign: &CampaignId) -> Result<(), String> {
    let blobs = &client.store().blobs;
    let files = blobs.list(&import::folder(tenant.as_str(), campaign.as_str())).await;
    for path in files.map_err(|error| error.to_string())? {
        blobs.delete(&path).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Erases the person from one slice; none when there is no such slice.
async fn from_slice(
    client: &Client,
    tenant: &TenantId,
    campaign: &CampaignId,
    index: u32,
    leads: &BTreeSet<String>,
    is_about: &impl Fn(&Value) -> bool,
) -> Result<Option<u64>, String> {
    let by = Principal::system(tenant.clone());
    let id = calls::id(campaign, index);
    let mut erased = 0;
    loop {
        let (slice, known) = match slice_of(client, tenant, campaign, index).await {
            Ok(both) => both,
            Err(ActorError::Rejected(Rejection::NotFound { .. })) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let lead = |target: usize| slice.targets.get(target).and_then(|one| one.who.lead_id.as_ref());
        let theirs = |target: usize, who: &Callee| {
            lead(target).is_some_and(|lead| leads.contains(lead.as_str()))
                || is_about(&json!({ "phone": who.phone }))
                || who.fields.values().any(|value| names(value, is_about))
        };
        let places = |people: &[Option<Callee>]| -> Vec<usize> {
            let all = people.iter().enumerate();
            all.filter(|(at, who)| who.as_ref().is_some_and(|who| theirs(*at, who))).map(|(at, _)| at).collect()
        };
        let found = places(&known);
        if found.is_empty() {
            return Ok(Some(erased));
        }
        let targets = found.iter().filter_map(|at| u32::try_from(*at).ok()).collect();
        command(client, &by, &id, calls::Command::Erase { targets }).await?;
        // Nobody is added any more; who was added in the last moment goes along.
        callee(client, tenant, &id, slice.book, people::Command::Close).await?;
        let mut next = callees::all(client, tenant, &id, slice.book).await.map_err(|error| error.to_string())?;
        for at in places(&next.people) {
            next.people[at] = None;
            erased += 1;
        }
        let next = Box::new(Callees { closed: false, ..next });
        callee(client, tenant, &id, slice.book + 1, people::Command::Open { callees: next }).await?;
        command(client, &by, &id, calls::Command::Rebook { book: slice.book + 1 }).await?;
        let old = EntityKey::new(tenant.as_str(), people::KIND, people::id(&id, slice.book));
        client.erase(&old).await.map_err(|error| error.to_string())?;
        // An earlier try may have opened this generation with somebody still in it: looked at again.
    }
}

/// Whether a value of a list names the person, whatever its column is called: a second number, an address in a remark.
fn names(value: &str, is_about: &impl Fn(&Value) -> bool) -> bool {
    text::emails(value).iter().any(|email| is_about(&json!({ "email": email.value })))
        || text::phones(value).iter().any(|phone| is_about(&json!({ "phone": phone.value })))
        || is_about(&json!({ "email": value, "phone": value }))
}

async fn command(client: &Client, by: &Principal, id: &str, command: calls::Command) -> Result<(), String> {
    ask::<SliceEntity>(client, by, id, command).await.map(|_| ()).map_err(|error| error.to_string())
}

async fn callee(
    client: &Client,
    tenant: &TenantId,
    slice: &str,
    book: u32,
    command: people::Command,
) -> Result<(), String> {
    callees::asked(client, tenant, slice, book, command).await.map(|_| ()).map_err(|error| error.to_string())
}

/// Forgets everybody on the list of a deleted campaign.
pub(super) async fn forget(handle: &EffectHandle, slices: u32) {
    let tenant = TenantId::from(&*handle.key().tenant);
    let campaign = CampaignId(handle.key().id.to_string());
    let forgotten = async {
        for index in 0..slices {
            let id = calls::id(&campaign, index);
            let book = callees::book(handle.client(), &tenant, &id).await.map_err(|error| error.to_string())?;
            let key = EntityKey::new(tenant.as_str(), people::KIND, people::id(&id, book));
            handle.client().erase(&key).await.map_err(|error| error.to_string())?;
        }
        delete_files(handle.client(), &tenant, &campaign).await
    };
    let outcome: Result<(), String> = forgotten.await;
    if let Err(error) = outcome {
        // It stays wanted: the next activation tries again.
        tracing::warn!(%campaign, error, "a deleted campaign's list could not be erased yet");
        return;
    }
    let by = Principal::system(tenant);
    if let Err(error) = handle.command::<CampaignEntity>(Asked { by, command: Command::Forgotten }).await {
        tracing::warn!(%campaign, ?error, "that a deleted campaign's list is erased could not be written down");
    }
}

#[cfg(test)]
mod tests {
    use colloquy_domain::tenant::{ErasureWho, Whom};

    use super::*;

    #[test]
    fn a_person_is_found_in_whatever_column_a_list_names_them() {
        let key = [5; 32];
        let who = ErasureWho {
            email: Some("jo@example.com".into()),
            phone: Some("+442079460123".into()),
            ..ErasureWho::default()
        };
        let whom = Whom::of(&who, &key);
        let is_about = |row: &Value| {
            let text = |name: &str| row[name].as_str().map(str::to_owned);
            whom.is(&ErasureWho { email: text("email"), phone: text("phone"), visitor_id: None }, &key)
        };
        for value in [
            "Jo@Example.com",
            "write to jo@example.com",
            "+44 (0)20 7946 0123",
            "home 0044 20 7946 0123, mobile +41791234567",
        ] {
            assert!(names(value, &is_about), "{value}");
        }
        for value in ["", "joe@example.com", "+442079460124", "7946 0123"] {
            assert!(!names(value, &is_about), "{value}");
        }
    }
}
