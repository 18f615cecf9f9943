//! What a call that was made is for, for whoever answers it: the campaign's orders as they are now, and what its list says of the person.

use colloquy_cluster::Client;
use colloquy_domain::Principal;
use colloquy_domain::campaign::dialled::Dialled;
use colloquy_domain::campaign::slice::{CallBrief, Command, Reply};
use colloquy_domain::conversation::Errand;
use colloquy_domain::ids::TenantId;

use super::{SliceEntity, callees};
use crate::ActorError;
use crate::core::ask;

/// The orders of a dial; none once it is settled, or if it is no dial of ours.
pub async fn brief(client: &Client, tenant: &TenantId, dialled: &Dialled) -> Result<Option<CallBrief>, ActorError> {
    let command = Command::Brief { target: dialled.target, attempt: dialled.attempt };
    let by = Principal::system(tenant.clone());
    match ask::<SliceEntity>(client, &by, &dialled.slice_id(), command).await {
        Ok(Reply::Brief(brief)) => Ok(Some(*brief)),
        Ok(_) => Err(ActorError::Failed),
        Err(ActorError::Rejected(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the call to this person is for. Who was erased meanwhile is called by no name.
pub(crate) async fn of(
    client: &Client,
    tenant: &TenantId,
    dialled: &Dialled,
    person: Option<&str>,
) -> Result<Option<Errand>, ActorError> {
    let Some(brief) = brief(client, tenant, dialled).await? else { return Ok(None) };
    let who = callees::one(client, tenant, &dialled.slice_id(), dialled.target).await?;
    // A carrier that has put us through to somebody else tells a stranger nothing about the person on the list.
    let who = who.filter(|who| Some(who.phone.as_str()) == person);
    Ok(Some(Errand::of(dialled, brief, who)))
}
