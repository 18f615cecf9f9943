//! `/api/messages`: webhooks of message providers. Nothing is read out of one before its signature is believed.
//!
//! Each address exists bare and with the name of a connection (`/:connection_id`), which several accounts of one provider need. A signature that is
//! bad, missing or cannot be checked is 401. A repeat is 200 and changes nothing, found by the provider's id of the message. Twilio signs no time;
//! WhatsApp's messages carry one, and what is older than a week or from the future is passed over.

use axum::extract::{OriginalUri, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use colloquy_actors::domain::conversation::MessageStatus;
use colloquy_actors::domain::ids::{AgentId, TenantId};
use colloquy_actors::domain::lines::{Connection, Lines, NewNumber, Provider};
use colloquy_actors::domain::vocabulary::Channel;
use colloquy_actors::messages::inbound::{self, Heard, Incoming, Received};
use colloquy_actors::messages::{connection_id, read_connection_id};
use colloquy_actors::telephony::error::{Malformed, Unverified};
use colloquy_actors::telephony::retell::signature as retell;
use colloquy_actors::telephony::twilio::form::Form;
use colloquy_actors::telephony::twilio::keywords::Channel as Carried;
use colloquy_actors::telephony::twilio::messages::{Address, IncomingMessage};
use colloquy_actors::telephony::twilio::receipts::{MessageStatus as TwilioStatus, Receipt};
use colloquy_actors::telephony::twilio::signature::{self, Covered};
use colloquy_actors::telephony::whatsapp::incoming::{self, Content, Event, Status};
use colloquy_actors::telephony::whatsapp::verify;
use colloquy_actors::{ActorError, lines};
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, AppState};
use crate::body::Query;
use crate::problem::{Problem, Result};

/// The answer that says nothing in TwiML: what is to be said leaves by itself.
const NOTHING: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>";

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(twilio))
        .routes(routes!(twilio_of))
        .routes(routes!(twilio_status))
        .routes(routes!(twilio_status_of))
        .routes(routes!(whatsapp_challenge, whatsapp))
        .routes(routes!(whatsapp_challenge_of, whatsapp_of))
}

/// Twilio: a message came in, SMS or WhatsApp. The number it went to says whose it is.
#[utoipa::path(post, path = "/api/messages/twilio", tag = "messages", responses((status = 200, content_type = "text/xml"), (status = 401)))]
async fn twilio(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let form = form(&body)?;
    let to = form.get("To").map(Address::read).ok_or_else(|| unverified(Unverified::NoKey))?;
    let account = account_at(&app, &to.number, form.get("AccountSid")).await?;
    twilio_heard(&app, account, &uri, &headers, &form).await
}

/// Twilio: a message came in, for this account.
#[utoipa::path(post, path = "/api/messages/twilio/{connection_id}", tag = "messages", params(("connection_id" = String, Path)), responses((status = 200, content_type = "text/xml"), (status = 401)))]
async fn twilio_of(
    State(app): State<App>,
    Path(connection): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let account = account_of(&app, &connection).await?;
    twilio_heard(&app, account, &uri, &headers, &form(&body)?).await
}

/// What became of a message that we sent.
#[derive(Debug, Deserialize)]
struct About {
    /// The conversation.
    c: String,
    /// The message.
    m: String,
    /// The part of it.
    #[serde(default)]
    p: u32,
}

/// Twilio: what became of a message that we sent. The address it calls names the message, under the signature.
#[utoipa::path(post, path = "/api/messages/twilio/status", tag = "messages", responses((status = 204), (status = 401)))]
async fn twilio_status(
    State(app): State<App>,
    Query(about): Query<About>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode> {
    let form = form(&body)?;
    let from = form.get("From").map(Address::read).ok_or_else(|| unverified(Unverified::NoKey))?;
    let account = account_at(&app, &from.number, form.get("AccountSid")).await?;
    twilio_received(&app, account, &uri, &headers, &form, about).await
}

/// Twilio: what became of a message that we sent, for this account.
#[utoipa::path(post, path = "/api/messages/twilio/status/{connection_id}", tag = "messages", params(("connection_id" = String, Path)), responses((status = 204), (status = 401)))]
async fn twilio_status_of(
    State(app): State<App>,
    Path(connection): Path<String>,
    Query(about): Query<About>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode> {
    let account = account_of(&app, &connection).await?;
    twilio_received(&app, account, &uri, &headers, &form(&body)?, about).await
}

/// WhatsApp: Meta makes sure of this address when a webhook is set up.
#[utoipa::path(get, path = "/api/messages/whatsapp", tag = "messages", responses((status = 200, content_type = "text/plain"), (status = 403)))]
async fn whatsapp_challenge(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response> {
    let query = query.unwrap_or_default();
    // The word that Meta repeats to us begins with the account's name.
    let token = url_field(&query, "hub.verify_token").unwrap_or_default();
    let connection = token.split_once('.').map(|(connection, _)| connection.to_owned()).unwrap_or_default();
    challenge(&app, &connection, &query).await
}

/// WhatsApp: Meta makes sure of this account's address.
#[utoipa::path(get, path = "/api/messages/whatsapp/{connection_id}", tag = "messages", params(("connection_id" = String, Path)), responses((status = 200, content_type = "text/plain"), (status = 403)))]
async fn whatsapp_challenge_of(
    State(app): State<App>,
    Path(connection): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    challenge(&app, &connection, &query.unwrap_or_default()).await
}

/// WhatsApp: messages came in, or something became of ours. The number says whose they are.
#[utoipa::path(post, path = "/api/messages/whatsapp", tag = "messages", responses((status = 200), (status = 401)))]
async fn whatsapp(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<StatusCode> {
    // Which key to check with follows from what is not believed yet; nothing else does.
    let events = incoming::read(&body).map_err(malformed)?;
    let number = events.first().map(number_of).ok_or_else(|| unverified(Unverified::NoKey))?.to_owned();
    let tenant = lines::home(&app.actors.client, Provider::Whatsapp, &number).await?;
    let tenant = tenant.ok_or_else(|| unverified(Unverified::NoKey))?;
    let account = account(&app, Provider::Whatsapp, tenant).await?;
    whatsapp_events(&app, account, &headers, &body).await
}

/// WhatsApp: messages came in, or something became of ours, for this account.
#[utoipa::path(post, path = "/api/messages/whatsapp/{connection_id}", tag = "messages", params(("connection_id" = String, Path)), responses((status = 200), (status = 401)))]
async fn whatsapp_of(
    State(app): State<App>,
    Path(connection): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode> {
    let account = account_of(&app, &connection).await?;
    whatsapp_events(&app, account, &headers, &body).await
}

/// An account whose webhook is answered.
pub(crate) struct Account {
    pub(crate) tenant: TenantId,
    pub(crate) provider: Provider,
    lines: Arc<Lines>,
}

impl Account {
    /// Checks Retell's signature over the body and its time. The key with the webhook badge signs, where another one was named.
    pub(crate) fn believe_retell(&self, headers: &HeaderMap, body: &[u8], now_ms: i64) -> Result<()> {
        if !self.provider.as_retell() {
            return Err(unverified(Unverified::NoKey));
        }
        let keys = &self.connection()?.credentials;
        let given = [&keys.signing, &keys.token].into_iter().filter(|key| !key.is_empty());
        let keys: Vec<_> = given.map(|key| key.clone().into()).collect();
        let header = headers.get(retell::HEADER).and_then(|value| value.to_str().ok());
        retell::verify(&keys.iter().collect::<Vec<_>>(), body, header, now_ms).map_err(unverified)
    }

    /// What Retell calls the agents that we made in this account.
    pub(crate) fn agents_there(&self) -> impl Iterator<Item = (&AgentId, &String)> {
        self.lines.agents.get(&self.provider).into_iter().flatten()
    }

    fn connection(&self) -> Result<&Connection> {
        self.lines.connections.get(&self.provider).ok_or_else(|| unverified(Unverified::NoKey))
    }
}

/// The account that an address names. An unknown one has no key to check with, and says no more than that.
pub(crate) async fn account_of(app: &AppState, connection: &str) -> Result<Account> {
    let (provider, tenant) = read_connection_id(connection).ok_or_else(|| unverified(Unverified::NoKey))?;
    account(app, provider, tenant).await
}

pub(crate) async fn account(app: &AppState, provider: Provider, tenant: TenantId) -> Result<Account> {
    let lines = app.actors.tools.lines(&app.actors.client, &tenant).await?;
    Ok(Account { tenant, provider, lines })
}

/// The account that a number of ours belongs to, if it is the one that asks.
pub(crate) async fn account_at(app: &AppState, number: &str, sid: Option<&str>) -> Result<Account> {
    for provider in [Provider::Twilio, Provider::Simulated] {
        let Some(tenant) = lines::home(&app.actors.client, provider, number).await? else { continue };
        let account = account(app, provider, tenant).await?;
        let same = account.connection().is_ok_and(|known| Some(known.credentials.account.as_str()) == sid);
        if same {
            return Ok(account);
        }
    }
    Err(unverified(Unverified::NoKey))
}

pub(crate) fn form(body: &[u8]) -> Result<Form> {
    Form::read(body).map_err(malformed)
}

/// Whether its webhooks are signed as Twilio signs them: a key of another provider's must not pass for one.
fn as_twilio(provider: Provider) -> bool {
    match provider {
        Provider::Twilio | Provider::Simulated => true,
        Provider::Whatsapp | Provider::Retell | Provider::SimulatedRetell | Provider::Vapi => false,
    }
}

/// Checks a signature of Twilio over the public address and the form.
pub(crate) fn believe(app: &AppState, account: &Account, uri: &Uri, headers: &HeaderMap, form: &Form) -> Result<()> {
    if !as_twilio(account.provider) {
        return Err(unverified(Unverified::NoKey));
    }
    let token = account.connection()?.credentials.token.clone().into();
    let asked = uri.path_and_query().map_or_else(|| uri.path(), |path| path.as_str());
    let url = format!("{}{asked}", app.settings.api_url);
    let given = headers.get(signature::HEADER).and_then(|value| value.to_str().ok());
    signature::verify(&[&token], &url, Covered::Form(form), given).map_err(unverified)
}

impl Account {
    /// A number of this account, as its provider names it.
    pub(crate) fn called(&self, number: &str) -> Option<&NewNumber> {
        self.lines.called(self.provider, number).map(|(_, known)| &known.is)
    }

    /// As its pacer is named: what calls over it is paced together, whoever's it is.
    pub(crate) fn pacer(&self) -> Result<String> {
        Ok(format!("{}:{}", self.provider.word(), self.connection()?.credentials.account))
    }

    /// Its name in addresses.
    pub(crate) fn connection_id(&self) -> String {
        connection_id(self.provider, &self.tenant)
    }
}

/// Checks Twilio's signature of the handshake of a socket over its public address.
pub(crate) fn believe_socket(app: &AppState, account: &Account, uri: &Uri, headers: &HeaderMap) -> Result<()> {
    if !as_twilio(account.provider) {
        return Err(unverified(Unverified::NoKey));
    }
    let token = account.connection()?.credentials.token.clone().into();
    let url = format!("{}{}", app.settings.api_url.replacen("http", "ws", 1), uri.path());
    let given = headers.get(signature::HEADER).and_then(|value| value.to_str().ok());
    signature::verify(&[&token], &url, Covered::Address, given).map_err(unverified)
}

async fn twilio_heard(
    app: &AppState,
    account: Account,
    uri: &Uri,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Response> {
    believe(app, &account, uri, headers, form)?;
    let message = IncomingMessage::read(form).map_err(malformed)?;
    let (_, number) =
        account.lines.called(account.provider, &message.to.number).ok_or_else(|| Problem::not_found("number"))?;
    let incoming = Incoming {
        number: number.is.clone(),
        channel: channel(message.from.channel),
        message: message.message_sid,
        from: message.from.number,
        name: message.profile_name,
        text: message.text,
        attachments: message.media.into_iter().map(|media| media.url).collect(),
        at_ms: None,
    };
    take(app, &account.tenant, incoming).await?;
    Ok(([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], NOTHING).into_response())
}

async fn twilio_received(
    app: &AppState,
    account: Account,
    uri: &Uri,
    headers: &HeaderMap,
    form: &Form,
    about: About,
) -> Result<StatusCode> {
    believe(app, &account, uri, headers, form)?;
    let receipt = Receipt::read(form).map_err(malformed)?;
    // "queued" and the like say no more than that Twilio has it.
    let status = match receipt.status {
        TwilioStatus::Delivered | TwilioStatus::PartiallyDelivered => MessageStatus::Delivered,
        TwilioStatus::Read => MessageStatus::Read,
        TwilioStatus::Undelivered | TwilioStatus::Failed | TwilioStatus::Canceled => MessageStatus::Failed,
        TwilioStatus::Accepted
        | TwilioStatus::Scheduled
        | TwilioStatus::Queued
        | TwilioStatus::Sending
        | TwilioStatus::Sent => MessageStatus::Sent,
        TwilioStatus::Receiving | TwilioStatus::Received | TwilioStatus::Other(_) => return Ok(StatusCode::NO_CONTENT),
    };
    let received = Received {
        conversation: about.c,
        message: about.m.into(),
        part: about.p,
        provider_id: receipt.message_sid,
        status,
        error: receipt.error_code.filter(|_| status == MessageStatus::Failed),
    };
    inbound::received(&app.actors.client, &app.actors.tools, &account.tenant, received).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn challenge(app: &AppState, connection: &str, query: &str) -> Result<Response> {
    let refused = |_| Problem::forbidden("The verify token does not fit.");
    let account = account_of(app, connection).await.map_err(|_| refused(Unverified::NoKey))?;
    let token = account.connection().ok().map(|known| known.credentials.verify_token.clone().into());
    let challenge = verify::challenge(query, token.as_ref()).map_err(refused)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], challenge).into_response())
}

async fn whatsapp_events(app: &AppState, account: Account, headers: &HeaderMap, body: &[u8]) -> Result<StatusCode> {
    if account.provider != Provider::Whatsapp {
        return Err(unverified(Unverified::NoKey));
    }
    let secret = account.connection()?.credentials.signing.clone().into();
    let given = headers.get(verify::HEADER).and_then(|value| value.to_str().ok());
    verify::verify(&[&secret], body, given).map_err(unverified)?;
    let mut missed = None;
    for event in incoming::read(body).map_err(malformed)? {
        // One that cannot be taken now must not keep the others out: Meta sends all of it again.
        if let Err(error) = whatsapp_event(app, &account, event).await {
            missed = Some(error);
        }
    }
    missed.map_or(Ok(StatusCode::OK), Err)
}

async fn whatsapp_event(app: &AppState, account: &Account, event: Event) -> Result<()> {
    match event {
        Event::Message { phone_number_id, id, from, at_s, profile_name, reply_to: _, content } => {
            // A number that is not registered here is nobody's: 200, because Meta would say it again for a week.
            let Some((_, number)) = account.lines.called(Provider::Whatsapp, &phone_number_id) else { return Ok(()) };
            let (text, attachments) = words(content);
            let incoming = Incoming {
                number: number.is.clone(),
                channel: Channel::Whatsapp,
                message: id,
                from,
                name: profile_name,
                text,
                attachments,
                at_ms: at_s.map(|seconds| seconds.saturating_mul(1000)),
            };
            take(app, &account.tenant, incoming).await
        }
        Event::Receipt { id, status, error_code, reference, .. } => {
            let mut parts = reference.as_deref().unwrap_or_default().splitn(3, '/');
            let (Some(conversation), Some(message), Some(Ok(part))) =
                (parts.next(), parts.next(), parts.next().map(str::parse))
            else {
                return Ok(()); // Not of a message of ours.
            };
            let status = match status {
                Status::Sent => MessageStatus::Sent,
                Status::Delivered => MessageStatus::Delivered,
                Status::Read => MessageStatus::Read,
                Status::Failed => MessageStatus::Failed,
                Status::Other(_) => return Ok(()),
            };
            let received = Received {
                conversation: conversation.to_owned(),
                message: message.into(),
                part,
                provider_id: id,
                status,
                error: error_code,
            };
            Ok(inbound::received(&app.actors.client, &app.actors.tools, &account.tenant, received).await?)
        }
    }
}

async fn take(app: &AppState, tenant: &TenantId, incoming: Incoming) -> Result<()> {
    match inbound::heard(&app.actors.client, &app.actors.tools, tenant, incoming).await {
        Ok(Heard::Stands { conversation, repeated }) => {
            tracing::debug!(%conversation, repeated, "a message came in over a carrier");
            Ok(())
        }
        Ok(Heard::PassedOver) => {
            tracing::info!(%tenant, "a message from a carrier was passed over: too old, empty, or from nobody who can be answered");
            Ok(())
        }
        // A message that the rules refuse will be refused again: the provider is not to repeat it.
        Err(ActorError::Rejected(rejection)) => {
            tracing::warn!(%tenant, %rejection, "a message from a carrier was refused");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Words and references to what is attached.
fn words(content: Content) -> (String, Vec<String>) {
    match content {
        Content::Text(text) => (text, Vec::new()),
        Content::Media { kind, media_id, mime_type: _, caption } => {
            (caption.unwrap_or_default(), vec![format!("whatsapp:{kind}:{media_id}")])
        }
        Content::Location { latitude, longitude } => (format!("[location {latitude}, {longitude}]"), Vec::new()),
        // A reaction or an order is nothing to answer.
        Content::Other(_) => (String::new(), Vec::new()),
    }
}

fn number_of(event: &Event) -> &str {
    match event {
        Event::Message { phone_number_id, .. } | Event::Receipt { phone_number_id, .. } => phone_number_id,
    }
}

fn channel(channel: Carried) -> Channel {
    match channel {
        Carried::Sms => Channel::Sms,
        Carried::Whatsapp => Channel::Whatsapp,
    }
}

/// The value of a query field, decoded.
fn url_field(query: &str, name: &str) -> Option<String> {
    Form::read(query.as_bytes()).ok()?.get(name).map(str::to_owned)
}

/// 401, and nothing else is said.
pub(crate) fn unverified(_: Unverified) -> Problem {
    Problem::unauthorized("The signature of this webhook is missing or cannot be verified.")
}

/// 400 for what was signed, or could not be looked into far enough to find the key.
pub(crate) fn malformed(error: Malformed) -> Problem {
    Problem::bad_request("malformed_webhook", format!("This webhook cannot be read: {error}."))
}
