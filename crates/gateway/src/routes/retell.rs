//! `/api/voice/retell/webhook`: what Retell tells of calls, and its question who answers one. Nothing is read out of a delivery before its signature is
//! believed; what came late, twice or in the wrong order changes nothing that stands, and a call that nobody knows is 204 like all others.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use colloquy_actors::calls;
use colloquy_actors::campaign::hear as slices;
use colloquy_actors::domain::call::Carrier;
use colloquy_actors::domain::lines::Provider;
use colloquy_actors::lines;
use colloquy_actors::retell::hear;
use colloquy_actors::telephony::error::Unverified;
use colloquy_actors::telephony::retell::object::Call;
use colloquy_actors::telephony::retell::webhook::{Delivery, Event, InboundAnswer, InboundCall, read};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::messages::{Account, account, account_of, malformed, unverified};
use crate::app::{App, AppState};
use crate::problem::Result;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(webhook)).routes(routes!(webhook_of))
}

/// Retell: something happened to a call, or somebody calls in. The number of ours says whose it is.
#[utoipa::path(post, path = "/api/voice/retell/webhook", tag = "voice", responses((status = 200), (status = 204), (status = 401)))]
async fn webhook(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Response> {
    // Which key to check with follows from what is not believed yet; nothing else does.
    let numbers = match read(&body).map_err(|_| unverified(Unverified::Malformed))? {
        Delivery::Call(event) => [event.call.to_number, event.call.from_number],
        Delivery::Inbound(call) => [Some(call.to_number), None],
        Delivery::Other(_) => return Err(unverified(Unverified::NoKey)),
    };
    for number in numbers.iter().flatten() {
        for provider in [Provider::Retell, Provider::SimulatedRetell] {
            if let Some(tenant) = lines::home(&app.actors.client, provider, number).await? {
                let account = account(&app, provider, tenant).await?;
                // Two of our organizations may call each other: only one of them has the key.
                if account.believe_retell(&headers, &body, app.now_ms()).is_ok() {
                    return delivered(&app, &account, &headers, &body).await;
                }
            }
        }
    }
    Err(unverified(Unverified::NoKey))
}

/// Retell: something happened to a call, or somebody calls in, for this account.
#[utoipa::path(post, path = "/api/voice/retell/webhook/{connection_id}", tag = "voice", params(("connection_id" = String, Path)), responses((status = 200), (status = 204), (status = 401)))]
async fn webhook_of(
    State(app): State<App>,
    Path(connection): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let account = account_of(&app, &connection).await?;
    delivered(&app, &account, &headers, &body).await
}

async fn delivered(app: &AppState, account: &Account, headers: &HeaderMap, body: &[u8]) -> Result<Response> {
    account.believe_retell(headers, body, app.now_ms())?;
    match read(body).map_err(malformed)? {
        Delivery::Call(event) => match event.event {
            Event::CallStarted | Event::CallEnded | Event::CallAnalyzed => told(app, account, &event.call).await?,
            // The socket has the words already, and knows of transfers because it orders them.
            Event::TranscriptUpdated
            | Event::TransferStarted
            | Event::TransferBridged
            | Event::TransferCancelled
            | Event::TransferEnded
            | Event::CallInbound
            | Event::SmsInbound
            | Event::Other(_) => {}
        },
        Delivery::Inbound(call) => return Ok(answer(account, &call)),
        Delivery::Other(_) => {}
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Tells the call, and the slice that made it. Both take what they do not know yet.
async fn told(app: &AppState, account: &Account, call: &Call) -> Result<()> {
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    for news in hear::news(tools, call) {
        calls::told(client, tools, &account.tenant, Carrier::Retell, &call.call_id, news).await?;
    }
    if hear::is_recorded(call) {
        calls::fetch::recorded(client, tools, &account.tenant, Carrier::Retell, &call.call_id).await?;
    }
    let Some(dialled) = hear::dialled(call) else { return Ok(()) };
    for report in hear::reports(tools, call) {
        if !slices::tell(client, &account.tenant, &dialled, report).await? {
            tracing::info!(campaign = %dialled.campaign, "a callback about a call that is not open was passed over");
        }
    }
    Ok(())
}

/// Who answers a call: the agent of the number that was called, whatever it is bound to at Retell. Where that is not known, Retell decides.
fn answer(account: &Account, call: &InboundCall) -> Response {
    let number = account.called(&call.to_number);
    let there = number.and_then(|number| account.agents_there().find(|(own, _)| **own == number.agent));
    let answer = InboundAnswer { override_agent_id: there.map(|(_, id)| id.clone()), ..InboundAnswer::default() };
    ([(header::CONTENT_TYPE, "application/json")], answer.to_text()).into_response()
}
