//! `/api/integrations` and `/api/voice/numbers`: accounts at providers, and the numbers that agents answer at.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use colloquy_actors::domain::campaign::number::is_country;
use colloquy_actors::domain::contact_guard::Address;
use colloquy_actors::domain::ids::AgentId;
use colloquy_actors::domain::lines::view::{ConnectionView, LinesView, NumberView};
use colloquy_actors::domain::lines::{
    self as domain, Command, Credentials, NewNumber, Provider, Reply, Template, simulated,
};
use colloquy_actors::domain::principal::Role;
use colloquy_actors::domain::vocabulary::Channel;
use colloquy_actors::lines::{ask_lines, register};
use colloquy_actors::messages::{connection_id, inbound, trial};
use colloquy_actors::{numbers, retell};
use colloquy_wire::messages as wire;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::agents::only_agent;
use crate::accounts::fresh_id;
use crate::app::{App, AppState};
use crate::auth::Console;
use crate::body::{Json, Query};
use crate::listing;
use crate::problem::{Problem, Result};
use crate::tokens::hex;

/// Numbers of one check: each is a question to the provider, and somebody waits.
const CHECKED_MAX: usize = 20;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(integrations))
        .routes(routes!(connect))
        .routes(routes!(disconnect))
        .routes(routes!(check))
        .routes(routes!(list, create))
        .routes(routes!(provision))
        .routes(routes!(update))
        .routes(routes!(test))
        .routes(routes!(give_up))
}

/// Accounts at message and voice providers, with the webhook addresses to enter there. No key is ever shown.
#[utoipa::path(get, path = "/api/integrations", tag = "numbers", responses((status = 200, body = Value)))]
async fn integrations(State(app): State<App>, console: Console) -> Result<Json<Value>> {
    console.need(Role::Rep, "see the connected accounts")?;
    let connections = view(&app, &console).await?.connections;
    let mut items = Vec::with_capacity(connections.len());
    for connection in &connections {
        items.push(shown(&app, &console, connection).await?);
    }
    Ok(listing::whole(items))
}

/// Connect an account, or replace its keys. They are tried first: what the provider refuses is not kept.
#[utoipa::path(post, path = "/api/integrations/{provider}/connect", tag = "numbers", params(("provider" = String, Path)), request_body = wire::Connect, responses((status = 200, body = Value)))]
async fn connect(
    State(app): State<App>,
    console: Console,
    Path(provider): Path<String>,
    Json(body): Json<wire::Connect>,
) -> Result<Json<Value>> {
    console.need(Role::Admin, "connect an account")?;
    unbound(&console, "connect an account")?;
    let provider = provider_of(&provider)?;
    let tools = &app.actors.tools;
    let before = tools.lines(&app.actors.client, console.tenant()).await?;
    let known = before.connections.get(&provider).map(|connection| connection.credentials.verify_token.clone());
    let text = |value: Option<String>| value.unwrap_or_default().trim().to_owned();
    let or = |given: String, usual: &str| if given.is_empty() { usual.to_owned() } else { given };
    let credentials = match provider {
        Provider::Twilio => {
            Credentials { account: text(body.account_sid), token: text(body.auth_token), ..Credentials::default() }
        }
        // Nobody has an account there: what is left out is what `colloquy carrier` takes unless it is told otherwise.
        Provider::Simulated => Credentials {
            account: or(text(body.account_sid), simulated::ACCOUNT),
            token: or(text(body.auth_token), simulated::TOKEN),
            ..Credentials::default()
        },
        Provider::Retell | Provider::SimulatedRetell => {
            let usual = if provider == Provider::SimulatedRetell { simulated::RETELL_KEY } else { "" };
            let token = or(text(body.api_key), usual);
            // Another key of what is connected is taken for one of the same account: what calls over it goes on being paced together.
            let account = before.connections.get(&provider).map(|connection| connection.credentials.account.clone());
            let account = account.unwrap_or_else(|| retell::fingerprint(tools, &token));
            Credentials { account, token, signing: text(body.webhook_key), ..Credentials::default() }
        }
        Provider::Whatsapp => Credentials {
            token: text(body.access_token),
            signing: text(body.app_secret),
            // Meta's console asks for it; it names the account, so that the bare address finds it too.
            verify_token: known.unwrap_or_else(|| {
                format!("{}.{}", connection_id(provider, console.tenant()), hex(&rand::random::<[u8; 16]>()))
            }),
            ..Credentials::default()
        },
        Provider::Vapi => {
            Credentials { token: text(body.api_key), signing: text(body.server_secret), ..Credentials::default() }
        }
    };
    domain::check(provider, &credentials)?;
    inbound::try_account(tools, provider, &credentials, None, app.now_ms())
        .await
        .map_err(|said| Problem::conflict("account_refused", said))?;
    let command = Command::Connect { provider, credentials: Box::new(credentials) };
    ask_lines(&app.actors.client, tools, &console.by, command).await?;
    let view = view(&app, &console).await?;
    let connection = view.connections.iter().find(|connection| connection.provider == provider);
    let connection = connection.ok_or_else(|| Problem::not_found("integration"))?;
    Ok(Json(shown(&app, &console, connection).await?))
}

/// Take an account away: nothing is sent over it any more, and its webhooks are not believed. Not while calls or campaigns use its numbers.
#[utoipa::path(delete, path = "/api/integrations/{provider}/disconnect", tag = "numbers", params(("provider" = String, Path)), responses((status = 204), (status = 409)))]
async fn disconnect(State(app): State<App>, console: Console, Path(provider): Path<String>) -> Result<StatusCode> {
    console.need(Role::Admin, "disconnect an account")?;
    unbound(&console, "disconnect an account")?;
    let provider = provider_of(&provider)?;
    numbers::account_is_free(&app.actors.client, &app.actors.tools, console.tenant(), provider).await?;
    let command = Command::Disconnect { provider };
    ask_lines(&app.actors.client, &app.actors.tools, &console.by, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ask a connected account's provider whether it takes the keys now, and whether it knows the numbers that are registered with it.
#[utoipa::path(post, path = "/api/integrations/{provider}/check", tag = "numbers", params(("provider" = String, Path)), responses((status = 200, body = Value), (status = 409)))]
async fn check(State(app): State<App>, console: Console, Path(provider): Path<String>) -> Result<Json<Value>> {
    console.need(Role::Rep, "check a connected account")?;
    unbound(&console, "check a connected account")?;
    let provider = provider_of(&provider)?;
    let tools = &app.actors.tools;
    let lines = tools.lines(&app.actors.client, console.tenant()).await?;
    let credentials = &domain::connected(&lines, provider)?.credentials;
    inbound::try_account(tools, provider, credentials, None, app.now_ms())
        .await
        .map_err(|said| Problem::conflict("account_refused", said))?;
    let mut numbers = Vec::new();
    for known in lines.numbers.values().filter(|known| known.is.provider == provider).take(CHECKED_MAX) {
        let tried = inbound::try_account(tools, provider, credentials, Some(&known.is), app.now_ms()).await;
        numbers.push(json!({ "number": known.is.number, "ok": tried.is_ok(), "error": tried.err() }));
    }
    Ok(Json(json!({ "ok": true, "numbers": numbers })))
}

/// The organization's numbers, oldest first.
#[utoipa::path(get, path = "/api/voice/numbers", tag = "numbers", responses((status = 200, body = Value)))]
async fn list(State(app): State<App>, console: Console) -> Result<Json<Value>> {
    let only = only_agent(&console);
    let numbers = view(&app, &console).await?.numbers;
    let mine = |number: &NumberView| only.as_ref().is_none_or(|only| *only == number.agent_id);
    Ok(listing::whole(numbers.into_iter().filter(mine).collect::<Vec<_>>()))
}

/// Register a number of a connected account and say which agent answers there. The provider is asked whether it is yours; at Retell it is set up
/// whole: the same call again changes nothing, or does what could not be done the first time.
#[utoipa::path(post, path = "/api/voice/numbers", tag = "numbers", request_body = wire::NewNumber, responses((status = 201, body = Value)))]
async fn create(State(app): State<App>, console: Console, Json(body): Json<wire::NewNumber>) -> Result<Response> {
    console.need(Role::Manager, "register a number")?;
    unbound(&console, "register a number")?;
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let provider = provider_of(&body.provider).map_err(|_| {
        Problem::field("provider", "must be twilio, whatsapp, retell, vapi, simulated or simulated_retell")
    })?;
    let agent = agent_of(&app, &console, &body.agent_id).await?;
    let number = NewNumber {
        number: body.number.trim().to_owned(),
        provider,
        external_id: body.phone_number_id,
        agent,
        template: body.whatsapp_template.map(template),
    };
    let lines = tools.lines(client, console.tenant()).await?;
    let connection = domain::connected(&lines, provider)?;
    let known = lines.numbers.values().any(|known| known.is == number);
    if !known {
        inbound::try_account(tools, provider, &connection.credentials, Some(&number), app.now_ms())
            .await
            .map_err(|said| Problem::conflict("number_refused", said))?;
    }
    let id = register(client, tools, &console.by, number).await?;
    if provider.as_retell() {
        // What stands in the way is told, and stands with the number: the same call again goes on from there.
        retell::setup::number(client, tools, console.tenant(), &id).await?;
    }
    Ok((StatusCode::CREATED, Json(json!(one(&app, &console, &id).await?))).into_response())
}

/// Buy a number of a connected account and let an agent answer there; its calls and messages come here at once. One that was bought before and got
/// lost on the way is taken first.
#[utoipa::path(post, path = "/api/voice/provision-number", tag = "numbers", request_body = wire::ProvisionNumber, responses((status = 201, body = Value), (status = 409)))]
async fn provision(
    State(app): State<App>,
    console: Console,
    Json(body): Json<wire::ProvisionNumber>,
) -> Result<Response> {
    console.need(Role::Admin, "buy a number")?;
    unbound(&console, "buy a number")?;
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let agent = agent_of(&app, &console, &body.agent_id).await?;
    let country = body.country.unwrap_or_else(|| "US".to_owned()).to_uppercase();
    if !is_country(&country) {
        return Err(Problem::field("country", "must be a country of two letters such as US"));
    }
    if body.area_code.is_some_and(|code| code == 0 || code > 99_999) {
        return Err(Problem::field("area_code", "must be the first digits behind the country's, such as 415"));
    }
    let lines = tools.lines(client, console.tenant()).await?;
    let provider = match body.provider.as_deref().map(Provider::of) {
        Some(Some(provider @ (Provider::Twilio | Provider::Simulated))) => provider,
        Some(_) => return Err(Problem::field("provider", "must be twilio or simulated")),
        None if lines.connections.contains_key(&Provider::Twilio) => Provider::Twilio,
        None if lines.connections.contains_key(&Provider::Simulated) => Provider::Simulated,
        None => Provider::Twilio,
    };
    let id = numbers::provision(client, tools, &console.by, provider, agent, &country, body.area_code).await?;
    Ok((StatusCode::CREATED, Json(json!(one(&app, &console, &id).await?))).into_response())
}

/// Let another agent answer at a number, or send another template.
#[utoipa::path(patch, path = "/api/voice/numbers/{id}", tag = "numbers", params(("id" = String, Path)), request_body = wire::NumberPatch, responses((status = 200, body = Value)))]
async fn update(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Json(body): Json<wire::NumberPatch>,
) -> Result<Json<Value>> {
    console.need(Role::Manager, "say who answers at a number")?;
    let before = one(&app, &console, &id).await?;
    let agent = match body.agent_id {
        Some(agent) => agent_of(&app, &console, &agent).await?,
        None => before.agent_id,
    };
    let command = Command::Assign { id: id.clone(), agent, template: body.whatsapp_template.map(template) };
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    ask_lines(client, tools, &console.by, command).await?;
    if before.provider.as_retell() {
        retell::setup::number(client, tools, console.tenant(), &id).await?;
    }
    Ok(Json(json!(one(&app, &console, &id).await?)))
}

/// Send a text message from a number, to try it. Who must not be contacted is refused.
#[utoipa::path(post, path = "/api/voice/numbers/{id}/test", tag = "numbers", params(("id" = String, Path)), request_body = wire::TestMessage, responses((status = 202, body = Value), (status = 409)))]
async fn test(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Json(body): Json<wire::TestMessage>,
) -> Result<(StatusCode, Json<Value>)> {
    console.need(Role::Rep, "send a test message")?;
    let shown = one(&app, &console, &id).await?;
    let to = Address::phone(body.to.trim())
        .map_err(|_| Problem::field("to", "must be an international number such as +14155550100"))?;
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let lines = tools.lines(client, console.tenant()).await?;
    let number = lines.numbers.get(&id).ok_or_else(|| Problem::not_found("number"))?;
    let agent = tools.agent(client, console.tenant(), &shown.agent_id).await?;
    let words = format!("This is a test message: {} answers at this number.", agent.config.name);
    // Each is one message: the guard counts it, and a repeat of the request is answered before it comes here.
    let name = format!("test/{id}/{}", fresh_id());
    let sent =
        trial::text(client, tools, console.tenant(), &number.is, &to, name, words.clone(), async || Ok(())).await?;
    Ok((
        StatusCode::ACCEPTED,
        Json(json!({ "id": sent, "from": number.is.number, "to": body.to.trim(), "text": words })),
    ))
}

#[derive(Debug, Deserialize)]
struct Which {
    number: Option<String>,
}

/// Give a number up. One that was bought from here goes back to its provider; any other stays yours there, bound to what it was bound to before. Not while
/// calls or campaigns use it.
#[utoipa::path(delete, path = "/api/voice/release-number", tag = "numbers", params(("number" = String, Query)), responses((status = 204), (status = 409)))]
async fn give_up(State(app): State<App>, console: Console, Query(which): Query<Which>) -> Result<StatusCode> {
    console.need(Role::Admin, "give up a number")?;
    unbound(&console, "give up a number")?;
    // A plus in a query is a space to whoever decodes it.
    let given = which.number.ok_or_else(|| Problem::field("number", "must say which number"))?;
    let digits = given.trim().trim_start_matches('+');
    let numbers = view(&app, &console).await?.numbers;
    let theirs: Vec<&NumberView> = numbers
        .iter()
        .filter(|number| number.number.trim_start_matches('+') == digits || number.id == digits)
        .collect();
    if theirs.is_empty() {
        return Err(Problem::not_found("number"));
    }
    for number in theirs {
        numbers::give_up(&app.actors.client, &app.actors.tools, &console.by, &number.id).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn view(app: &AppState, console: &Console) -> Result<LinesView> {
    match ask_lines(&app.actors.client, &app.actors.tools, &console.by, Command::View).await? {
        Reply::View(view) => Ok(*view),
        Reply::Done | Reply::Number { .. } | Reply::Agent { .. } | Reply::State(_) => Err(Problem::not_found("number")),
    }
}

async fn one(app: &AppState, console: &Console, id: &str) -> Result<NumberView> {
    let only = only_agent(console);
    let numbers = view(app, console).await?.numbers;
    let found = numbers.into_iter().find(|number| number.id == id);
    found
        .filter(|number| only.as_ref().is_none_or(|only| *only == number.agent_id))
        .ok_or_else(|| Problem::not_found("number"))
}

/// An agent of this organization.
pub(crate) async fn agent_of(app: &AppState, console: &Console, id: &str) -> Result<AgentId> {
    let id = AgentId::from(id);
    let wrong = || Problem::field("agent_id", "must be an agent of your organization");
    if only_agent(console).is_some_and(|only| only != id) || id.as_str().is_empty() {
        return Err(wrong());
    }
    match app.actors.tools.agent(&app.actors.client, console.tenant(), &id).await {
        Ok(_) => Ok(id),
        Err(colloquy_actors::ActorError::Rejected(_)) => Err(wrong()),
        Err(error) => Err(error.into()),
    }
}

/// Accounts and the list of numbers are the whole organization's: a key that speaks for one agent has no say in them.
fn unbound(console: &Console, what: &str) -> Result<()> {
    match only_agent(console) {
        Some(_) => Err(Problem::forbidden(format!("A key that is bound to one agent cannot {what}."))),
        None => Ok(()),
    }
}

fn provider_of(word: &str) -> Result<Provider> {
    Provider::of(word).ok_or_else(|| Problem::not_found("integration"))
}

fn template(template: wire::WhatsappTemplate) -> Template {
    Template { name: template.name, language: template.language }
}

/// An account with what to enter at its provider. The word that Meta repeats to us is for those who set it up.
async fn shown(app: &AppState, console: &Console, connection: &ConnectionView) -> Result<Value> {
    let id = connection_id(connection.provider, console.tenant());
    let folder = match connection.provider {
        Provider::Twilio | Provider::Simulated => "twilio",
        Provider::Whatsapp => "whatsapp",
        Provider::Retell | Provider::SimulatedRetell => "retell",
        Provider::Vapi => "vapi",
    };
    let mut body = json!(connection);
    body["connection_id"] = json!(id);
    // Without `messages.simulated_url` there is no simulated carrier to connect.
    body["available"] = json!(app.actors.tools.carriers.base(connection.provider).is_some());
    if connection.provider.as_retell() || connection.provider == Provider::Vapi {
        // Retell's is entered there by us, with each agent.
        body["webhook_url"] = json!(format!("{}/api/voice/{folder}/webhook/{id}", app.settings.api_url));
        return Ok(body);
    }
    body["webhook_url"] = json!(format!("{}/api/messages/{folder}/{id}", app.settings.api_url));
    if connection.provider.carries(Channel::Voice) {
        body["voice_url"] = json!(format!("{}/api/voice/{folder}/voice/{id}", app.settings.api_url));
    }
    if connection.provider == Provider::Whatsapp && console.by.at_least(Role::Admin) {
        let lines = app.actors.tools.lines(&app.actors.client, console.tenant()).await?;
        body["verify_token"] =
            json!(lines.connections.get(&connection.provider).map(|known| known.credentials.verify_token.clone()));
    }
    Ok(body)
}
