//! Calls that Vapi carries: it asks for each turn as an OpenAI client would ([`chat`]), and posts what happens to the call ([`events`]).
//!
//! Nothing is kept between two requests: a turn is known by call, number and words, so that it is answered once wherever and however often it is
//! asked for, and any frontend goes on with any call.

mod chat;
mod events;

use axum::http::HeaderMap;
use colloquy_actors::ActorError;
use colloquy_actors::calls;
use colloquy_actors::domain::Principal;
use colloquy_actors::domain::call::{Call, Carrier};
use colloquy_actors::domain::ids::TenantId;
use colloquy_actors::domain::lines::{Connection, Provider};
use colloquy_actors::domain::vocabulary::AgentStatus;
use colloquy_actors::lines;
use colloquy_actors::telephony::vapi::secret::{self, Given, SECRET_HEADER, SIGNATURE_HEADER};
use utoipa_axum::router::OpenApiRouter;

use crate::app::{App, AppState};
use crate::chat::Reached;

/// Names the connection of a call: all requests are the same one, which no other takes the place of.
const SOCKET: &str = "vapi";

/// The routes of this folder.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(chat::routes()).merge(events::routes())
}

/// Whether a request proves itself with the secret of this organization's account at Vapi.
async fn believed(app: &AppState, tenant: &TenantId, headers: &HeaderMap, body: &[u8]) -> Result<bool, ActorError> {
    let Some(connection) = connection(app, tenant).await? else { return Ok(false) };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let given =
        Given { authorization: text("authorization"), secret: text(SECRET_HEADER), signature: text(SIGNATURE_HEADER) };
    let proven = secret::verify(&[&connection.credentials.signing.into()], given, body);
    if let Err(problem) = &proven {
        tracing::debug!(%tenant, %problem, "a request in Vapi's name was not believed");
    }
    Ok(proven.is_ok())
}

/// An organization's account at Vapi.
async fn connection(app: &AppState, tenant: &TenantId) -> Result<Option<Connection>, ActorError> {
    let lines = app.actors.tools.lines(&app.actors.client, tenant).await?;
    Ok(lines.connections.get(&Provider::Vapi).cloned())
}

/// Whose number this is, and which agent answers there.
async fn answerer(app: &AppState, number: &str) -> Result<Option<(TenantId, String)>, ActorError> {
    let Some(tenant) = lines::home(&app.actors.client, Provider::Vapi, number).await? else { return Ok(None) };
    let known = app.actors.tools.lines(&app.actors.client, &tenant).await?;
    let agent = known.called(Provider::Vapi, number).map(|(_, number)| number.is.agent.to_string());
    Ok(agent.map(|agent| (tenant, agent)))
}

/// Whether an agent answers the telephone.
fn answers(agent: &Reached) -> bool {
    agent.now.config.voice_enabled && agent.now.status == AgentStatus::Active && !agent.now.suspended
}

/// A call of Vapi's, if anybody has heard of it.
async fn known(app: &AppState, tenant: &TenantId, provider_call_id: &str) -> Result<Option<Call>, ActorError> {
    let call = calls::id(&app.actors.tools, tenant, Carrier::Vapi, provider_call_id);
    calls::find(&app.actors.client, &Principal::system(tenant.clone()), &call).await
}
