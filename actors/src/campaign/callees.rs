//! The entity of a slice's callees: who is called, under a key of its own, so that one of them can be erased.

use std::sync::Arc;

use colloquy_cluster::Client;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::Entity;
use colloquy_domain::Principal;
use colloquy_domain::campaign::callees::{self as domain, Callee, Callees, Command, Reply};
use colloquy_domain::campaign::slice;
use colloquy_domain::ids::TenantId;

use super::SliceEntity;
use crate::ActorError;
use crate::core::{Core, ask, pure_core};

/// The kind `campaign_callees`. It is sealed; erasing it is how a person's number and name go.
pub struct CalleesEntity;

impl Core for CalleesEntity {
    type Plain = Command;
}

impl Entity for CalleesEntity {
    pure_core!(campaign::callees, Callees, 1, 1, true);

    type Effect = std::convert::Infallible;

    async fn run(self: Arc<Self>, effect: Self::Effect, _handle: EffectHandle) {
        match effect {}
    }
}

/// The generation that a slice's callees stand under.
pub(crate) async fn book(client: &Client, tenant: &TenantId, slice: &str) -> Result<u32, ActorError> {
    match ask::<SliceEntity>(client, &Principal::system(tenant.clone()), slice, slice::Command::Book).await? {
        slice::Reply::Book { book } => Ok(book),
        slice::Reply::Done
        | slice::Reply::Dial(_)
        | slice::Reply::DoNotDial
        | slice::Reply::Brief(_)
        | slice::Reply::State(_) => Err(ActorError::Failed),
    }
}

/// Everybody of a generation; nobody if it was erased.
pub(crate) async fn all(client: &Client, tenant: &TenantId, slice: &str, book: u32) -> Result<Callees, ActorError> {
    match asked(client, tenant, slice, book, Command::All).await {
        Ok(Reply::All(callees)) => Ok(*callees),
        Ok(Reply::Done | Reply::One { .. }) => Err(ActorError::Failed),
        Err(error) if is_gone(&error) => Ok(Callees::default()),
        Err(error) => Err(error),
    }
}

/// One of them; none if erased.
pub(crate) async fn one(
    client: &Client,
    tenant: &TenantId,
    slice: &str,
    target: u32,
) -> Result<Option<Callee>, ActorError> {
    let mut before = None;
    loop {
        let book = book(client, tenant, slice).await?;
        match asked(client, tenant, slice, book, Command::One { target }).await {
            Ok(Reply::One { who }) => return Ok(who),
            Ok(Reply::Done | Reply::All(_)) => return Err(ActorError::Failed),
            // Between asking for the generation and asking it, another one may have begun.
            Err(error) if is_gone(&error) && before != Some(book) => before = Some(book),
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Asks a generation of a slice's callees.
pub(crate) async fn asked(
    client: &Client,
    tenant: &TenantId,
    slice: &str,
    book: u32,
    command: Command,
) -> Result<Reply, ActorError> {
    let by = Principal::system(tenant.clone());
    ask::<CalleesEntity>(client, &by, &domain::id(slice, book), command).await
}

/// Whether what was asked was erased.
pub(crate) fn is_gone(error: &ActorError) -> bool {
    matches!(error, ActorError::Rejected(colloquy_domain::Rejection::NotFound { .. }))
}
