//! Writes every call of people and keys that changes something into their organization's audit log, refused ones too, before it is answered.
//!
//! It is noted before it is run: if the node ends in the middle, the log says that nobody knows what became of it. Who signs in, out and up is written
//! by `accounts`, for the calls and the forms alike.
//!
//! What a call is named follows from its path, so that a new route is in the log without anybody thinking of it. An entry holds who, what, when and from
//! where, and the names of changed fields: never a value, so neither secrets nor words of visitors can get in.

use std::net::IpAddr;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use colloquy_actors::cluster::trace;
use colloquy_actors::domain::audit::{ActorKind, Entry};
use colloquy_actors::domain::ids::{TenantId, UserId};
use colloquy_actors::domain::{Actor, Principal, tenant};
use colloquy_actors::{ActorError, audit};
use serde_json::Value;
use tracing::Instrument as _;

use crate::accounts::{account_of, fresh_id};
use crate::app::{App, AppState};
use crate::problem::Problem;
use crate::{auth, body};

/// Names of changed fields in one entry.
const FIELDS_MAX: usize = 20;
/// The longest name of a field that is kept, bytes: those of the contract are shorter.
const FIELD_BYTES_MAX: usize = 40;
/// The largest answer that is looked into for the id of what was made, bytes.
const ANSWER_MAX: u64 = 256 * 1024;

/// Calls that are no GET and yet in no log, and why.
pub(crate) const EXEMPT: [(&str, &str); 11] = [
    ("/api/chat", "visitors'"),
    ("/api/leads/capture", "visitors'"),
    ("/api/cron/", "the operator's, with a secret of the installation"),
    ("/api/ops/", "the operators' own log"),
    ("/api/auth/", "before there is an organization; `accounts` writes who signs in, out and up"),
    ("/api/agents/{id}/search", "reads only"),
    ("/api/integrations/{provider}/check", "asks only"),
    ("/api/conversations/{id}/read", "one's own mark"),
    ("/api/notifications/read", "one's own mark"),
    ("/api/messages/", "providers of messages call these, signed"),
    ("/api/voice/", "carriers and vendors call these, signed; people's calls of it are listed below"),
];

/// Calls under an exempt path that are in the log.
const LOGGED: [&str; 5] = [
    "/api/auth/switch",
    "/api/voice/numbers",
    "/api/voice/provision-number",
    "/api/voice/release-number",
    "/api/voice/calls",
];

/// What a call does, by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Thing and what is done to it.
    pub(crate) action: String,
    /// The kind of thing.
    pub(crate) kind: String,
    /// The place of its id among the parameters of the path; none for what has no id yet, or none at all.
    parameter: Option<usize>,
    /// Whether the answer names what was made.
    makes: bool,
}

/// What a call is named in the log; none for one that is in no log.
pub(crate) fn named(method: &Method, path: &str) -> Option<Named> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) || !path.starts_with("/api/") {
        return None;
    }
    let logged = LOGGED.iter().any(|known| path == *known || path.starts_with(&format!("{known}/")));
    let exempt = |prefix: &str| match prefix.strip_suffix('/') {
        Some(folder) => path.starts_with(prefix) || path == folder,
        None => path == prefix || prefix == "/api/chat" && path.starts_with("/api/chat/"),
    };
    if !logged && EXEMPT.iter().any(|(prefix, _)| exempt(prefix)) {
        return None;
    }
    let own = |action: &str, kind: &str, parameter, makes| {
        Some(Named { action: action.to_owned(), kind: kind.to_owned(), parameter, makes })
    };
    match (method.as_str(), path) {
        ("POST", "/api/auth/switch") => return own("session.switched", "user", None, false),
        ("POST", "/api/scrape") => return own("agent.scrape", "agent", None, false),
        ("POST", "/api/embed") => return own("agent.retrain", "agent", None, false),
        ("POST", "/api/agents/{id}/versions/{n}/restore") => return own("agent.restored", "agent", Some(0), false),
        ("POST", "/api/platform/knowledge") => return own("source.created", "source", None, true),
        _ => {}
    }
    let parts: Vec<&str> = path.trim_start_matches("/api/").split('/').collect();
    let last_parameter = parts.iter().rposition(|part| part.starts_with('{'));
    let parameters = parts.iter().filter(|part| part.starts_with('{')).count();
    let (kind, behind) = match last_parameter {
        Some(at) => (parts.get(at.wrapping_sub(1)).copied().unwrap_or("thing"), &parts[at + 1..]),
        None => ("", &parts[..]),
    };
    // Below the thing itself: a list that something is added to, or what is done to the thing.
    let (lists, verb): (Vec<&str>, Option<&str>) = match behind.split_last() {
        Some((last, before)) if !is_list(last) => (before.to_vec(), Some(last)),
        _ => (behind.to_vec(), None),
    };
    let list = lists.iter().rev().find(|part| is_list(part)).copied();
    let thing =
        singular(list.unwrap_or(if kind.is_empty() { behind.last().copied().unwrap_or("thing") } else { kind }));
    let done = match (method.as_str(), verb, list) {
        ("POST", None, Some(_)) => "created".to_owned(),
        ("DELETE", _, _) => "deleted".to_owned(),
        ("PATCH" | "PUT", _, _) => "updated".to_owned(),
        // A thing there is one of, such as a secret: it is made, not done.
        ("POST", Some(_), None) if kind.is_empty() => "created".to_owned(),
        (_, Some(verb), _) => verb.replace('-', "_"),
        (_, None, _) => "changed".to_owned(),
    };
    let parameter = if list.is_none() { parameters.checked_sub(1) } else { None };
    Some(Named { action: format!("{thing}.{done}"), kind: thing, parameter, makes: done == "created" })
}

/// Whether a part of a path names a list of things, such as `agents`.
fn is_list(part: &str) -> bool {
    part.ends_with('s') && !part.ends_with("ss") && !matches!(part, "preferences" | "settings" | "status")
}

/// The name of one thing of a list.
fn singular(part: &str) -> String {
    let name = part.replace('-', "_");
    match name.as_str() {
        "organizations" | "tenants" => "organization".to_owned(),
        "preferences" | "settings" | "status" => name,
        "dnc" => "do_not_contact".to_owned(),
        _ if name.ends_with("ies") => format!("{}y", &name[..name.len() - 3]),
        _ if is_list(&name) => name[..name.len() - 1].to_owned(),
        _ => name,
    }
}

/// The middleware: inside of the one that repeats answers, so that a repeated answer is one entry.
pub async fn recorded(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let Some(named) = named(request.method(), &path) else { return next.run(request).await };
    // A keyed request has a task of its own already; any other gets one, so that who hangs up leaves no call without its entry.
    let keyed = request.method() == Method::POST && request.headers().contains_key("idempotency-key");
    let tasks = app.sockets.tasks.clone();
    let work = async move { run(&app, named, &path, request, next).await }.in_current_span();
    if keyed {
        return work.await;
    }
    let running = match trace::current() {
        Some(trace) => tasks.spawn(trace::within(trace, work)),
        None => tasks.spawn(work),
    };
    running.await.unwrap_or_else(|_| Problem::from(ActorError::Failed).into_response())
}

async fn run(app: &AppState, named: Named, path: &str, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let before = auth::known(app, &parts).await;
    let token = if before.is_none() { auth::token(&parts).map(str::to_owned) } else { None };
    let address = auth::address(app, &parts).to_string();
    let parameters = parameters(path, parts.uri.path());
    let (fields, body) = match fields(app, &parts, body).await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let who = before.as_ref().and_then(|by| actor(by).map(|(kind, id)| (by.tenant.clone(), kind, id)));
    let named_id = named.parameter.and_then(|at| parameters.get(at).cloned()).unwrap_or_default();
    let mut entry = Entry {
        action: named.action,
        resource_kind: named.kind,
        resource_id: named_id,
        address: Some(address),
        ..Entry::default()
    };
    if let Some((_, kind, id)) = &who {
        (entry.actor_kind, entry.actor_id) = (*kind, id.clone());
    }
    let begun = match &who {
        Some((tenant, ..)) => match begin(app, tenant, &entry).await {
            Ok(begun) => Some(begun),
            // What cannot be noted now is not done now: an error to repeat is better than a change that nobody can find.
            Err(error) if passes(&error) => return Problem::from(error).into_response(),
            // A log that will not be there by waiting stops no work: what it says then stands in this one.
            Err(error) => {
                lost(tenant, &error, &entry);
                None
            }
        },
        None => None,
    };
    let response = next.run(Request::from_parts(parts, body)).await;
    let (answer, response) = look_into(response, named.makes).await;
    entry.done = response.status().is_success() || response.status().is_redirection();
    entry.detail = if entry.done { fields } else { Some(code(&response)) };
    if entry.resource_id.is_empty() && named.makes {
        entry.resource_id = answer["id"].as_str().unwrap_or_default().to_owned();
    }
    let tenant = match who {
        Some((tenant, ..)) => {
            if entry.resource_kind == "user" && entry.resource_id.is_empty() {
                entry.resource_id.clone_from(&entry.actor_id);
            }
            // What the caller was told to wait for would fill the log at the speed of the asking.
            let told = response.status() != StatusCode::TOO_MANY_REQUESTS || first(app, &tenant, &entry);
            if !told {
                end(app, begun, None).await;
                return response;
            }
            tenant
        }
        // Nobody was let in: whose credentials these were, as far as they tell.
        None if response.status() == StatusCode::UNAUTHORIZED => {
            let Some((tenant, kind, id)) = claimed(app, token.as_deref()).await else { return response };
            (entry.actor_kind, entry.actor_id) = (kind, id);
            if !first(app, &tenant, &entry) {
                return response;
            }
            tenant
        }
        None => return response,
    };
    if path.starts_with("/api/admin/") && entry.done && !entry.resource_id.is_empty() {
        // It is the organization it happened to that must see it.
        end(app, begun, None).await;
        let tenant = TenantId(entry.resource_id.clone());
        record(app, &tenant, Entry { actor_kind: ActorKind::Operator, ..entry }).await;
    } else if let Some(begun) = begun {
        end(app, Some(begun), Some(entry)).await;
    } else {
        record(app, &tenant, entry).await;
    }
    response
}

/// Whether the same refusal of the same caller was not told a moment ago.
fn first(app: &AppState, tenant: &TenantId, entry: &Entry) -> bool {
    let key = (tenant.as_str(), &entry.actor_id, &entry.action, entry.detail.as_deref());
    app.limits.refused.take(key, app.now_ms()).is_ok()
}

/// Whose credentials were refused: a session that has ended, or a key of an organization that is revoked or whose secret is wrong. A token that we did
/// not sign and a key that nobody made are nobody's.
async fn claimed(app: &AppState, token: Option<&str>) -> Option<(TenantId, ActorKind, String)> {
    let token = token?;
    if let Some(access) = app.tokens.signed_access(token) {
        return Some((access.org, ActorKind::User, access.sub.0));
    }
    let (tenant, key) = auth::key_of(token)?;
    let by = Principal::system(tenant.clone());
    match app.actors.tenant(&by, tenant::Command::Keys).await {
        Ok(tenant::Reply::Keys { items }) if items.iter().any(|known| known.id == key) => {
            Some((tenant, ActorKind::ApiKey, key.0))
        }
        Ok(_) | Err(_) => None,
    }
}

/// Notes a call before it is run.
async fn begin(app: &AppState, tenant: &TenantId, entry: &Entry) -> Result<audit::Begun, ActorError> {
    audit::begin(&app.actors.client, tenant, fresh_id(), entry.clone()).await
}

/// Whether waiting helps.
fn passes(error: &ActorError) -> bool {
    match error {
        ActorError::Busy { .. } | ActorError::Unknown | ActorError::Unavailable(_) => true,
        ActorError::Rejected(_) | ActorError::StorageFull | ActorError::Damaged(_) | ActorError::Failed => false,
    }
}

async fn end(app: &AppState, begun: Option<audit::Begun>, entry: Option<Entry>) {
    let Some(begun) = begun else { return };
    if let Err(error) = audit::end(&app.actors.client, begun.clone(), entry.clone()).await {
        lost(begun.tenant(), &error, &entry.unwrap_or_default());
    }
}

/// Writes down what somebody did by a call that changes nothing.
pub(crate) async fn by(app: &AppState, by: &Principal, entry: Entry) {
    if let Some((kind, id)) = actor(by) {
        record(app, &by.tenant, Entry { actor_kind: kind, actor_id: id, ..entry }).await;
    }
}

/// Writes down what was done, or refused, as a whole.
pub(crate) async fn record(app: &AppState, tenant: &TenantId, entry: Entry) {
    if let Err(error) = audit::record(&app.actors.client, tenant, entry.clone()).await {
        lost(tenant, &error, &entry);
    }
}

fn lost(tenant: &TenantId, error: &ActorError, entry: &Entry) {
    tracing::error!(target: "colloquy::audit", %tenant, %error, ?entry, "a call could not be written to the audit log; it stands in this log");
}

/// What somebody did about their own login, by a call or a form, in the organization it was for.
pub(crate) async fn person(app: &AppState, from: IpAddr, tenant: &TenantId, user: &UserId, action: &str) {
    record(app, tenant, own(from, user, action, None)).await;
}

/// A login that was refused, in the organization that its owner works in. In a task of its own: the answer's time does not tell whether the address
/// is known.
pub(crate) fn refused(app: &App, from: IpAddr, user: UserId, code: &'static str) {
    let app = app.clone();
    tokio::spawn(async move {
        let Ok(account) = account_of(&app, &user).await else { return };
        let Some(tenant) = account.default_organization_id.map(TenantId) else { return };
        let entry = own(from, &user, "session.started", Some(code));
        if first(&app, &tenant, &entry) {
            record(&app, &tenant, entry).await;
        }
    });
}

fn own(from: IpAddr, user: &UserId, action: &str, refused: Option<&str>) -> Entry {
    Entry {
        actor_kind: ActorKind::User,
        actor_id: user.0.clone(),
        action: action.to_owned(),
        resource_kind: "user".to_owned(),
        resource_id: user.0.clone(),
        done: refused.is_none(),
        detail: refused.map(str::to_owned),
        address: Some(from.to_string()),
        ..Entry::default()
    }
}

/// What is refused says why by a code of the contract.
#[derive(Clone, Debug)]
pub(crate) struct Code(pub(crate) String);

fn code(response: &Response) -> String {
    response.extensions().get::<Code>().map_or_else(|| response.status().as_u16().to_string(), |code| code.0.clone())
}

fn actor(by: &Principal) -> Option<(ActorKind, String)> {
    match &by.actor {
        Actor::User { id, .. } => Some((ActorKind::User, id.0.clone())),
        Actor::ApiKey { id, .. } => Some((ActorKind::ApiKey, id.0.clone())),
        Actor::Platform { id } => Some((ActorKind::Operator, id.0.clone())),
        Actor::Visitor { .. } | Actor::System => None,
    }
}

/// The values of a path's parameters, in order.
fn parameters(pattern: &str, path: &str) -> Vec<String> {
    let given = pattern.split('/').zip(path.split('/')).filter(|(part, _)| part.starts_with('{'));
    given.map(|(_, value)| value.to_owned()).collect()
}

/// The names of the fields of a JSON body, and the body to go on with.
async fn fields(app: &AppState, parts: &Parts, body: Body) -> Result<(Option<String>, Body), Problem> {
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // A list is passed on as it comes: its lines are nobody's fields.
    if !kind.to_ascii_lowercase().contains("json") || crate::is_upload(parts.uri.path(), kind) {
        return Ok((None, body));
    }
    let bytes = to_bytes(body, app.settings.body_bytes_max).await.map_err(|error| {
        if body::stalled(&error) {
            body::too_slow()
        } else {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                format!("The body is larger than {} bytes.", app.settings.body_bytes_max),
            )
        }
    })?;
    let read: Option<Value> = serde_json::from_slice(&bytes).ok();
    let names = read.as_ref().and_then(Value::as_object).map(|object| names(object.keys()));
    Ok((names.filter(|names| !names.is_empty()), Body::from(bytes)))
}

/// Names that can only be names: what else stands before a colon may be anybody's words.
fn names<'a>(keys: impl Iterator<Item = &'a String>) -> String {
    let is_name = |key: &&String| {
        key.len() <= FIELD_BYTES_MAX && !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    keys.filter(is_name).take(FIELDS_MAX).cloned().collect::<Vec<_>>().join(", ")
}

/// A small JSON answer, and the response as it was.
async fn look_into(response: Response, wanted: bool) -> (Value, Response) {
    let small = response.body().size_hint().exact().is_some_and(|bytes| bytes <= ANSWER_MAX);
    if !wanted || !small || !response.status().is_success() {
        return (Value::Null, response);
    }
    let (parts, body) = response.into_parts();
    match to_bytes(body, usize::try_from(ANSWER_MAX).unwrap_or(usize::MAX)).await {
        Ok(bytes) => {
            let answer = serde_json::from_slice(&bytes).unwrap_or_default();
            (answer, Response::from_parts(parts, Body::from(bytes)))
        }
        Err(_) => (Value::Null, Problem::from(ActorError::Failed).into_response()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, path: &str) -> (String, Option<usize>) {
        let named = named(&method.parse().unwrap(), path).unwrap_or_else(|| panic!("{method} {path} is in no log"));
        (named.action, named.parameter)
    }

    #[test]
    fn a_change_waits_for_a_log_that_will_be_there_and_for_no_other() {
        for (error, waits) in [
            (ActorError::Busy { retry_after_ms: 200 }, true),
            (ActorError::Unknown, true),
            (ActorError::Unavailable("the store does not answer".to_owned()), true),
            (ActorError::Damaged("corrupt data in a segment".to_owned()), false),
            (ActorError::StorageFull, false),
            (ActorError::Failed, false),
        ] {
            assert_eq!(passes(&error), waits, "{error}");
        }
    }

    #[test]
    fn calls_are_named_by_what_they_do_to_what() {
        for (method, path, action, parameter) in [
            ("POST", "/api/agents", "agent.created", None),
            ("PATCH", "/api/agents/{id}", "agent.updated", Some(0)),
            ("DELETE", "/api/agents/{id}", "agent.deleted", Some(0)),
            ("POST", "/api/agents/{id}/duplicate", "agent.duplicate", Some(0)),
            ("POST", "/api/agents/{id}/versions/{n}/restore", "agent.restored", Some(0)),
            ("POST", "/api/agents/{id}/sources", "source.created", None),
            ("PATCH", "/api/agents/{id}/sources/{sid}", "source.updated", Some(1)),
            ("POST", "/api/agents/{id}/faqs/generate", "faq.generate", None),
            ("POST", "/api/conversations/{id}/takeover", "conversation.takeover", Some(0)),
            ("POST", "/api/conversations/{id}/messages", "message.created", None),
            ("PATCH", "/api/organization", "organization.updated", None),
            ("POST", "/api/organization/identity-secret", "identity_secret.created", None),
            ("PATCH", "/api/me/preferences", "preferences.updated", None),
            ("DELETE", "/api/team/members/{id}", "member.deleted", Some(0)),
            ("POST", "/api/team/invitations/accept", "invitation.accept", None),
            ("POST", "/api/api-keys", "api_key.created", None),
            ("POST", "/api/privacy/erasures", "erasure.created", None),
            ("PATCH", "/api/admin/tenants/{id}", "organization.updated", Some(0)),
            ("POST", "/api/auth/switch", "session.switched", None),
            ("POST", "/api/calling/campaigns/{id}/start", "campaign.start", Some(0)),
            ("DELETE", "/api/integrations/{provider}/disconnect", "integration.deleted", Some(0)),
            ("POST", "/api/voice/calls/{id}/hangup", "call.hangup", Some(0)),
            ("POST", "/api/voice/numbers/{id}/test", "number.test", Some(0)),
        ] {
            assert_eq!(of(method, path), (action.to_owned(), parameter), "{method} {path}");
        }
    }

    #[test]
    fn what_reads_or_is_not_of_people_is_in_no_log() {
        for (method, path) in [
            ("GET", "/api/agents"),
            ("POST", "/api/chat"),
            ("POST", "/api/chat/{conversation_id}/rating"),
            ("POST", "/api/leads/capture"),
            ("POST", "/api/agents/{id}/search"),
            ("POST", "/api/integrations/{provider}/check"),
            ("POST", "/api/conversations/{id}/read"),
            ("POST", "/api/cron/auto-sync"),
            ("POST", "/api/auth/refresh"),
            ("POST", "/api/auth/login"),
            ("POST", "/api/ops/pause"),
            ("POST", "/api/voice/retell/webhook"),
            ("POST", "/signup"),
        ] {
            assert_eq!(named(&method.parse().unwrap(), path), None, "{method} {path}");
        }
    }

    #[test]
    fn only_names_of_fields_are_kept() {
        let keys = ["name", "escalation_email", "Call me: 217-555-0133", "", "password"].map(str::to_owned);
        assert_eq!(names(keys.iter()), "name, escalation_email, password");
        let many: Vec<String> = (0..100).map(|_| "x".to_owned()).collect();
        assert_eq!(names(many.iter()).split(", ").count(), FIELDS_MAX);
    }

    #[test]
    fn parameters_are_read_from_the_path() {
        let found = parameters("/api/agents/{id}/sources/{sid}", "/api/agents/a1/sources/s2");
        assert_eq!(found, ["a1", "s2"]);
    }
}
