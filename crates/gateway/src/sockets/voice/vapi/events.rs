//! `POST /api/voice/vapi/webhook`: what Vapi posts about its calls. Nothing is done before its secret is believed; then the answer is always 200, because
//! Vapi takes anything else for an outage: what cannot be read or is new is passed over.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use colloquy_actors::calls;
use colloquy_actors::domain::Principal;
use colloquy_actors::domain::call::{self, CallStatus, Carrier, Command, PROVIDER_CALL_CHARS_MAX};
use colloquy_actors::domain::contact_guard::{Address, ConsentKind};
use colloquy_actors::domain::ids::TenantId;
use colloquy_actors::domain::lines::Provider;
use colloquy_actors::domain::text::fill;
use colloquy_actors::domain::vocabulary::Channel;
use colloquy_actors::messages::{connection_id, read_connection_id};
use colloquy_actors::telephony::call::CallEnd;
use colloquy_actors::telephony::error::Unverified;
use colloquy_actors::telephony::vapi::server::{
    self, Assistant, CallStatus as VapiStatus, Delivery, Message, Report, ToolCall,
};
use colloquy_actors::{ActorError, guard};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::chat::heard;
use super::{SOCKET, answerer, answers, believed, connection, known};
use crate::app::{App, AppState};
use crate::chat;
use crate::problem::Result;
use crate::routes::messages::unverified;

/// The tool by which an assistant whose words are not ours looks something up here.
const SEARCH: &str = "search_knowledge";
/// Passages of one answer to it, and characters of each: a model reads them before it speaks.
const PASSAGES: usize = 3;
const PASSAGE_CHARS: usize = 700;
/// The longest question, characters.
const QUESTION_CHARS_MAX: usize = 1_000;
/// Said to a caller whom nobody answers.
const CLOSED: &str = "This number is not in service at the moment. Please try again later.";
/// An answer that says nothing.
const NOTHING: &str = "{}";

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(bare)).routes(routes!(of_account))
}

/// Vapi: something about a call. The number that was called says whose it is.
#[utoipa::path(post, path = "/api/voice/vapi/webhook", tag = "calls", responses((status = 200, content_type = "application/json"), (status = 401)))]
async fn bare(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Response> {
    // Which secret to check with follows from what is not believed yet; nothing else does.
    let number = server::read(&body).ok().and_then(|delivery| delivery.phone_number);
    let number = number.ok_or_else(|| unverified(Unverified::NoKey))?;
    let (tenant, _) = answerer(&app, &number).await?.ok_or_else(|| unverified(Unverified::NoKey))?;
    taken(&app, &tenant, &headers, &body).await
}

/// Vapi: something about a call, for this account.
#[utoipa::path(post, path = "/api/voice/vapi/webhook/{connection_id}", tag = "calls", params(("connection_id" = String, Path)), responses((status = 200, content_type = "application/json"), (status = 401)))]
async fn of_account(
    State(app): State<App>,
    Path(connection): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    match read_connection_id(&connection) {
        Some((Provider::Vapi, tenant)) => taken(&app, &tenant, &headers, &body).await,
        Some(_) | None => Err(unverified(Unverified::NoKey)),
    }
}

async fn taken(app: &AppState, tenant: &TenantId, headers: &HeaderMap, body: &[u8]) -> Result<Response> {
    if !believed(app, tenant, headers, body).await? {
        return Err(unverified(Unverified::Wrong));
    }
    let answer = match server::read(body) {
        Ok(delivery) => match said(app, tenant, delivery).await {
            Ok(answer) => answer,
            // What the rules refuse will be refused again.
            Err(ActorError::Rejected(rejection)) => {
                tracing::info!(%tenant, %rejection, "what Vapi tells of a call was refused");
                NOTHING.to_owned()
            }
            Err(error) => return Err(error.into()),
        },
        Err(problem) => {
            tracing::info!(%tenant, %problem, "a message of Vapi was passed over");
            NOTHING.to_owned()
        }
    };
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], answer).into_response())
}

/// What a delivery leads to, and the answer to it.
async fn said(app: &AppState, tenant: &TenantId, delivery: Delivery) -> std::result::Result<String, ActorError> {
    let id = delivery.call_id.clone().filter(|id| id.chars().count() <= PROVIDER_CALL_CHARS_MAX);
    match &delivery.message {
        Message::AssistantRequest => return asked_who(app, tenant, &delivery, id).await,
        Message::ToolCalls(calls) => return looked_up(app, tenant, id, calls).await,
        Message::TransferDestinationRequest => return whereto(app, tenant, id).await,
        Message::CampaignPredial { number, .. } => return may_call(app, tenant, number.as_deref()).await,
        Message::StatusUpdate { .. }
        | Message::EndOfCall(_)
        | Message::UserInterrupted
        | Message::Transcript { .. }
        | Message::Speech { .. }
        | Message::Other(_) => {}
    }
    let Some(id) = id else { return Ok(NOTHING.to_owned()) };
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    for news in news(&delivery.message) {
        calls::told(client, tools, tenant, Carrier::Vapi, &id, news).await?;
    }
    carried(app, tenant, &id).await?;
    Ok(NOTHING.to_owned())
}

/// Whoever posts about a call carries it. Vapi posts several times a second: the call is told as often as a socket would.
async fn carried(app: &AppState, tenant: &TenantId, id: &str) -> std::result::Result<(), ActorError> {
    let Some(call) = known(app, tenant, id).await? else { return Ok(()) };
    let since_ms = call.carried_ms.map_or(i64::MAX, |carried| app.now_ms().saturating_sub(carried));
    if !call.status.over() && since_ms >= call::CARRIED_EVERY_MS {
        let by = Principal::system(tenant.clone());
        calls::carried(&app.actors.client, &by, &call.id, SOCKET).await;
    }
    Ok(())
}

/// What the call is told.
fn news(message: &Message) -> Vec<Command> {
    let ended = |end: CallEnd, report: &Report| {
        let spoke_ms = report.started_ms.zip(report.ended_ms).map(|(from, to)| to.saturating_sub(from).max(0));
        let end = call::End {
            status: status(end),
            reason: report.ended_reason.clone(),
            spoke_ms,
            cost_micros: report.cost_micros,
        };
        let machine = (end.status == Some(CallStatus::Voicemail)).then_some(Command::Machine);
        machine.into_iter().chain([Command::Ended(Box::new(end))]).collect()
    };
    match message {
        Message::StatusUpdate { status: VapiStatus::Ended, ended_reason } => {
            let report = Report { ended_reason: ended_reason.clone(), ..Report::default() };
            // Without a reason the report says how it ended.
            if report.ended_reason.is_some() { ended(report.end(), &report) } else { Vec::new() }
        }
        Message::EndOfCall(report) => ended(report.end(), report),
        Message::StatusUpdate { .. }
        | Message::AssistantRequest
        | Message::ToolCalls(_)
        | Message::TransferDestinationRequest
        | Message::CampaignPredial { .. }
        | Message::UserInterrupted
        | Message::Transcript { .. }
        | Message::Speech { .. }
        | Message::Other(_) => Vec::new(),
    }
}

fn status(end: CallEnd) -> Option<CallStatus> {
    match end {
        // How it went decides.
        CallEnd::Completed => None,
        CallEnd::Voicemail => Some(CallStatus::Voicemail),
        CallEnd::NoAnswer | CallEnd::Busy | CallEnd::Declined | CallEnd::Canceled => Some(CallStatus::Missed),
        CallEnd::Transferred => Some(CallStatus::Transferred),
        CallEnd::InvalidNumber | CallEnd::Failed => Some(CallStatus::Failed),
    }
}

/// Who answers a call: the agent of the number that was called. The call begins, and its greeting stands.
async fn asked_who(
    app: &AppState,
    tenant: &TenantId,
    delivery: &Delivery,
    id: Option<String>,
) -> std::result::Result<String, ActorError> {
    let nobody = || Ok(server::no_assistant(CLOSED));
    let (Some(number), Some(id)) = (delivery.phone_number.as_deref(), id) else { return nobody() };
    let Some((owner, agent)) = answerer(app, number).await? else { return nobody() };
    let Some(account) = connection(app, tenant).await?.filter(|_| owner == *tenant) else { return nobody() };
    let Ok(agent) = chat::reach(app, &agent).await else { return nobody() };
    if !answers(&agent) {
        return nobody();
    }
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let (person, line) = (delivery.customer_number.clone(), delivery.phone_number.clone());
    let live = calls::begin(client, tools, tenant, &agent.now, heard(&agent, false, person, line, id)).await?;
    let by = Principal::system(tenant.clone());
    calls::attach(client, &by, &live.call, SOCKET).await?;
    let state = calls::conversation_of(client, &by, &live).await?;
    let first = state.messages.iter().find(|message| message.call.as_ref() == Some(&live.call));
    let api = &app.settings.api_url;
    let assistant = Assistant {
        name: &agent.now.config.name,
        greeting: first.map_or("", |message| message.content.as_str()),
        model_url: &format!("{api}/api/voice/vapi/{}", calls::socket_key(tools, &agent.id)),
        server_url: &format!("{api}/api/voice/vapi/webhook/{}", connection_id(Provider::Vapi, tenant)),
    };
    Ok(server::transient(assistant, &account.credentials.signing.into()))
}

/// Where a call goes that is handed on: where the conversation wants it, else to the business's own telephone.
async fn whereto(app: &AppState, tenant: &TenantId, id: Option<String>) -> std::result::Result<String, ActorError> {
    let found = match id {
        Some(id) => known(app, tenant, &id).await?,
        None => None,
    };
    let Some(call) = found else { return Ok(server::no_assistant("The call is not known here.")) };
    let asked = call.transfer.as_ref().map(|transfer| transfer.to.clone());
    let to = match (asked, &call.is) {
        (Some(to), _) => Some(to),
        (None, Some(is)) => {
            let agent = app.actors.tools.agent(&app.actors.client, tenant, &is.agent_id).await?;
            agent.config.escalation_phone.clone()
        }
        (None, None) => None,
    };
    Ok(match to {
        // What is said first was said already.
        Some(to) => server::transfer(&to, None),
        None => server::no_assistant("Nobody can take the call right now."),
    })
}

/// What is known here, for a model that asks for it as a tool.
async fn looked_up(
    app: &AppState,
    tenant: &TenantId,
    id: Option<String>,
    calls: &[ToolCall],
) -> std::result::Result<String, ActorError> {
    let call = match id {
        Some(id) => known(app, tenant, &id).await?,
        None => None,
    };
    let agent = call.and_then(|call| call.is).map(|is| is.agent_id);
    let mut results = Vec::with_capacity(calls.len());
    for call in calls {
        let question = ["query", "question"].iter().find_map(|name| call.arguments.get(name)?.as_str());
        let question = question.map(str::trim).filter(|question| !question.is_empty());
        let result = match (&agent, question) {
            _ if call.name != SEARCH => Err(format!("`{}` is no tool here; there is `{SEARCH}`.", call.name)),
            (None, _) => Err("The call is not known here.".to_owned()),
            (Some(_), None) => Err("`query` is missing.".to_owned()),
            (Some(agent), Some(question)) => {
                let question: String = question.chars().take(QUESTION_CHARS_MAX).collect();
                let (client, tools) = (&app.actors.client, &app.actors.tools);
                let found = tools.knowledge.search(client, tenant, agent, false, &question, PASSAGES).await?;
                let variables = tools.agent(client, tenant, agent).await?.variables.clone();
                let faqs = found.faqs.iter().map(|faq| fill(&faq.answer, &variables));
                let passages = found.passages.iter().map(|passage| fill(&passage.text, &variables));
                let clip = |text: String| text.chars().take(PASSAGE_CHARS).collect::<String>();
                let texts: Vec<String> = faqs.chain(passages).take(PASSAGES).map(clip).collect();
                Ok(if texts.is_empty() { "Nothing is known about that.".to_owned() } else { texts.join(" / ") })
            }
        };
        results.push((call, result));
    }
    Ok(server::tool_results(&results))
}

/// Whether a campaign of Vapi's may call a person: not who is on the list, or has withdrawn the consent.
async fn may_call(app: &AppState, tenant: &TenantId, number: Option<&str>) -> std::result::Result<String, ActorError> {
    // Whom nobody names nobody can have forbidden; but then nobody knows either.
    let Some(address) = number.and_then(|number| Address::phone(number).ok()) else {
        return Ok(server::eligible(false));
    };
    let known = guard::known(&app.actors.client, &app.actors.tools, tenant, &address).await?;
    let blocked = known.blocked(Channel::Voice, app.now_ms()).is_some();
    let withdrawn = [ConsentKind::Calls, ConsentKind::AiCalls]
        .into_iter()
        .any(|kind| known.consent(kind).is_some_and(|consent| !consent.granted));
    Ok(server::eligible(!blocked && !withdrawn))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Message {
        server::read(body.as_bytes()).expect("a delivery").message
    }

    fn end(message: &Message) -> Option<call::End> {
        news(message).into_iter().find_map(|news| match news {
            Command::Ended(end) => Some(*end),
            _ => None,
        })
    }

    #[test]
    fn an_end_says_how_long_why_and_for_how_much() {
        let report = read(
            r#"{"message":{"type":"end-of-call-report","call":{"id":"c"},"endedReason":"customer-ended-call","cost":0.05,"startedAt":1700000000000,"endedAt":1700000061000}}"#,
        );
        let told = end(&report).expect("an end");
        assert_eq!((told.status, told.spoke_ms, told.cost_micros), (None, Some(61_000), Some(50_000)));
        assert_eq!(told.reason.as_deref(), Some("customer-ended-call"));
    }

    #[test]
    fn a_machine_and_a_transfer_are_told_apart_and_a_bare_end_waits_for_the_report() {
        let of = |reason: &str| {
            read(&format!(
                r#"{{"message":{{"type":"status-update","status":"ended","endedReason":"{reason}","call":{{"id":"c"}}}}}}"#
            ))
        };
        assert_eq!(news(&of("voicemail")).first(), Some(&Command::Machine));
        for (reason, status) in [
            ("assistant-forwarded-call", CallStatus::Transferred),
            ("customer-busy", CallStatus::Missed),
            ("pipeline-error-x", CallStatus::Failed),
        ] {
            assert_eq!(end(&of(reason)).and_then(|end| end.status), Some(status), "{reason}");
        }
        assert_eq!(news(&of("")), Vec::new());
        assert_eq!(news(&read(r#"{"message":{"type":"status-update","status":"ringing"}}"#)), Vec::new());
    }
}
