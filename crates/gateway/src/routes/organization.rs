//! `/api/me`, `/api/organization(s)`, `/api/team/*`, `/api/api-keys`, `/api/admin/tenants`: people and what they belong to.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use colloquy_actors::domain::account;
use colloquy_actors::domain::check;
use colloquy_actors::domain::ids::{ApiKeyId, InvitationId, TenantId, UserId};
use colloquy_actors::domain::principal::{Actor, Principal, Role};
use colloquy_actors::domain::tenant::{self, Command, KeyKind, Person, Reply};
use colloquy_actors::signup;
use colloquy_wire::accounts as wire;
use colloquy_wire::common::ListQuery;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::{self, account_of, fresh_id, profile_of};
use crate::app::{App, AppState};
use crate::auth::{Address, Console, PUBLISHABLE_KEY_PREFIX, PlatformAdmin, SECRET_KEY_PREFIX};
use crate::body::{Json, Query};
use crate::etag;
use crate::listing;
use crate::mails;
use crate::problem::{Problem, Result};
use crate::routes::dev::{MAILBOX, reads_mailbox};
use crate::routes::notifications;
use crate::tokens::{fresh_secret, hash_secret};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(me))
        .routes(routes!(preferences, set_preferences))
        .routes(routes!(create))
        .routes(routes!(show, update))
        .routes(routes!(identity_secret))
        .routes(routes!(members))
        .routes(routes!(set_role, remove_member))
        .routes(routes!(invitations, invite))
        .routes(routes!(revoke_invitation))
        .routes(routes!(accept))
        .routes(routes!(decline))
        .routes(routes!(keys, create_key))
        .routes(routes!(revoke_key))
        .routes(routes!(tenants, create_tenant))
        .routes(routes!(show_tenant, update_tenant))
}

/// Who is signed in, in which organization.
#[utoipa::path(get, path = "/api/me", tag = "accounts", responses((status = 200, body = Value)))]
async fn me(
    State(app): State<App>,
    Address(address): Address,
    headers: HeaderMap,
    console: Console,
) -> Result<Json<Value>> {
    let account = account_of(&app, console.user()?).await?;
    let organization = organization_of(&app, &console.by).await?;
    Ok(Json(json!({
        "user": account.user,
        "organization": organization,
        "role": console.by.role(),
        "organizations": account.organizations,
        "mail_recorded": app.settings.mail_recorded,
        "mailbox": reads_mailbox(&app, address, &headers).then_some(MAILBOX),
        "csrf_token": console.session.as_deref().map(|session| app.tokens.csrf(session)),
    })))
}

/// The signed-in person's preferences.
#[utoipa::path(get, path = "/api/me/preferences", tag = "accounts", responses((status = 200, body = Value)))]
async fn preferences(State(app): State<App>, console: Console) -> Result<Json<Value>> {
    let command = account::Command::SetPreferences { patch: json!({}) };
    preferences_of(&app, &console, command).await
}

/// Change preferences by a JSON merge patch.
#[utoipa::path(patch, path = "/api/me/preferences", tag = "accounts", request_body = Value, responses((status = 200, body = Value)))]
async fn set_preferences(State(app): State<App>, console: Console, Json(patch): Json<Value>) -> Result<Json<Value>> {
    notifications::check(&patch)?;
    preferences_of(&app, &console, account::Command::SetPreferences { patch }).await
}

/// Found a further organization.
#[utoipa::path(post, path = "/api/organizations", tag = "accounts", request_body = wire::NewOrganization, responses((status = 201, body = Value)))]
async fn create(State(app): State<App>, console: Console, Json(body): Json<wire::NewOrganization>) -> Result<Response> {
    if app.settings.single_tenant && app.actors.has_tenants().await? {
        return Err(Problem::conflict("signup_closed", "This installation serves one organization."));
    }
    if body.name.trim().is_empty() {
        return Err(Problem::field("name", "must not be empty"));
    }
    let account = account_of(&app, console.user()?).await?;
    let owner = Person { user: account.user.id, name: account.user.name, email: account.user.email };
    let organization = signup::found(
        &app.actors.client,
        TenantId(fresh_id()),
        owner,
        profile_of(&body),
        app.settings.plan.clone(),
        tenant::DeploymentMode::MultiTenant,
        None,
    )
    .await?;
    Ok((StatusCode::CREATED, Json(organization)).into_response())
}

/// The organization.
#[utoipa::path(get, path = "/api/organization", tag = "accounts", responses((status = 200, body = Value)))]
async fn show(State(app): State<App>, console: Console) -> Result<Response> {
    let organization = organization_of(&app, &console.by).await?;
    Ok(etag::tagged(&organization, organization["version"].as_u64().unwrap_or_default()))
}

/// Change the organization by a JSON merge patch; `If-Match` guards against overwriting.
#[utoipa::path(patch, path = "/api/organization", tag = "accounts", request_body = Value, responses((status = 200, body = Value)))]
async fn update(
    State(app): State<App>,
    console: Console,
    headers: HeaderMap,
    Json(patch): Json<Value>,
) -> Result<Response> {
    let if_version = etag::if_match(&headers)?;
    let organization = change(&app, &console.by, patch, if_version).await?;
    Ok(etag::tagged(&organization, organization["version"].as_u64().unwrap_or_default()))
}

/// The secret with which the host page vouches for who a visitor is (`identify`).
#[utoipa::path(get, path = "/api/organization/identity-secret", tag = "accounts", responses((status = 200, body = Value)))]
async fn identity_secret(State(app): State<App>, console: Console) -> Result<Json<Value>> {
    console.need(Role::Admin, "see the identity secret")?;
    console.unbound("see the identity secret")?;
    Ok(Json(json!({ "secret": identity_secret_of(&app, console.tenant()) })))
}

/// The tenant's key for `identify`.
pub(crate) fn identity_secret_of(app: &AppState, tenant: &TenantId) -> String {
    app.tokens.derived_id(&["identity", tenant.as_str()])
}

/// The organization's members.
#[utoipa::path(get, path = "/api/team/members", tag = "team", responses((status = 200, body = Value)))]
async fn members(State(app): State<App>, console: Console) -> Result<Json<Value>> {
    console.unbound("see the members")?;
    match app.actors.tenant(&console.by, Command::Members).await? {
        Reply::Members { items } => Ok(listing::whole(items)),
        _ => Err(Problem::not_found("organization")),
    }
}

/// Give a member another role; `If-Match` with the member's `version` guards against overwriting.
#[utoipa::path(patch, path = "/api/team/members/{id}", tag = "team", params(("id" = String, Path)), request_body = wire::MemberPatch, responses((status = 200, body = Value)))]
async fn set_role(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<wire::MemberPatch>,
) -> Result<Response> {
    let if_version = etag::if_match(&headers)?;
    let command = Command::SetRole { user: UserId(id), role: role(&body.role)?, if_version };
    match app.actors.tenant(&console.by, command).await? {
        Reply::Member(member) => Ok(etag::tagged(&member, member.version)),
        _ => Err(Problem::not_found("member")),
    }
}

/// Remove a member; anyone may remove themselves.
#[utoipa::path(delete, path = "/api/team/members/{id}", tag = "team", params(("id" = String, Path)), responses((status = 204)))]
async fn remove_member(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<StatusCode> {
    app.actors.tenant(&console.by, Command::RemoveMember { user: UserId(id) }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Open invitations.
#[utoipa::path(get, path = "/api/team/invitations", tag = "team", responses((status = 200, body = Value)))]
async fn invitations(State(app): State<App>, console: Console) -> Result<Json<Value>> {
    console.unbound("see the invitations")?;
    match app.actors.tenant(&console.by, Command::Invitations).await? {
        Reply::Invitations { items } => Ok(listing::whole(items)),
        _ => Err(Problem::not_found("organization")),
    }
}

/// Invite somebody by mail, or make a code to hand out. The code is shown once.
#[utoipa::path(post, path = "/api/team/invitations", tag = "team", request_body = wire::NewInvitation, responses((status = 201, body = Value)))]
async fn invite(State(app): State<App>, console: Console, Json(body): Json<wire::NewInvitation>) -> Result<Response> {
    let secret = fresh_secret();
    let email = body.email.as_deref().map(check::normal_email);
    if email.as_deref().is_some_and(|email| !check::is_email(email)) {
        return Err(Problem::field("email", "must be an e-mail address"));
    }
    let command = Command::Invite { code_hash: hash_secret(&secret), email: email.clone(), role: role(&body.role)? };
    let Reply::Invitation(invitation) = app.actors.tenant(&console.by, command).await? else {
        return Err(Problem::not_found("organization"));
    };
    let code = format!("{}.{secret}", console.tenant());
    let link = format!("{}/signup?invitation={code}", app.settings.public_url);
    let mut mailed = false;
    if let Some(email) = &email {
        let inviter = match &console.by.actor {
            Actor::User { name, .. } => name.as_str(),
            Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::Platform { .. } | Actor::System => {
                invitation.organization_name.as_str()
            }
        };
        let mail = mails::invitation(email, &invitation.organization_name, inviter, &body.role, &link);
        if may_mail(&app, &console, email).await? {
            match app.actors.tools.mailer.send(&mail).await {
                Ok(_) => mailed = true,
                Err(error) => tracing::warn!(%error, "an invitation could not be mailed"),
            }
        }
    }
    let mut answer = json!(invitation);
    answer["code"] = json!(code);
    answer["link"] = json!(link);
    answer["mailed"] = json!(mailed);
    // It stands in the development mailbox, and nobody gets it.
    answer["recorded"] = json!(mailed && app.settings.mail_recorded);
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Whether an invitation may still be mailed; its link can be handed over all the same. Taking one back and inviting again sends no further letters.
async fn may_mail(app: &AppState, console: &Console, email: &str) -> Result<bool> {
    let proven = match &console.by.actor {
        Actor::User { id, .. } => account_of(app, id).await?.user.email_verified,
        // Nobody knows who made the key.
        Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::Platform { .. } | Actor::System => false,
    };
    let now_ms = app.now_ms();
    Ok(app.limits.invited.take(email, now_ms).is_ok()
        && app.limits.invites[usize::from(proven)].take(console.tenant().as_str(), now_ms).is_ok())
}

/// Take an invitation back.
#[utoipa::path(delete, path = "/api/team/invitations/{id}", tag = "team", params(("id" = String, Path)), responses((status = 204)))]
async fn revoke_invitation(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<StatusCode> {
    app.actors.tenant(&console.by, Command::RevokeInvitation { id: InvitationId(id) }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Accept an invitation with the signed-in account.
#[utoipa::path(post, path = "/api/team/invitations/accept", tag = "team", request_body = wire::InvitationCode, responses((status = 200, body = Value)))]
async fn accept(
    State(app): State<App>,
    console: Console,
    Json(body): Json<wire::InvitationCode>,
) -> Result<Json<Value>> {
    let (tenant, role) = accounts::accept(&app, console.user()?, &body.code).await?;
    Ok(Json(json!({ "organization_id": tenant, "role": role })))
}

/// Decline an invitation.
#[utoipa::path(post, path = "/api/team/invitations/decline", tag = "team", request_body = wire::InvitationCode, responses((status = 204)))]
async fn decline(State(app): State<App>, Json(body): Json<wire::InvitationCode>) -> Result<StatusCode> {
    accounts::decline(&app, &body.code).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// API keys, without their secrets.
#[utoipa::path(get, path = "/api/api-keys", tag = "team", responses((status = 200, body = Value)))]
async fn keys(State(app): State<App>, console: Console) -> Result<Json<Value>> {
    match app.actors.tenant(&console.by, Command::Keys).await? {
        Reply::Keys { items } => Ok(listing::whole(items)),
        _ => Err(Problem::not_found("organization")),
    }
}

/// Make an API key. Its secret is shown once.
#[utoipa::path(post, path = "/api/api-keys", tag = "team", request_body = wire::NewApiKey, responses((status = 201, body = Value)))]
async fn create_key(State(app): State<App>, console: Console, Json(body): Json<wire::NewApiKey>) -> Result<Response> {
    let (kind, prefix) = match body.kind.as_str() {
        "secret" => (KeyKind::Secret, SECRET_KEY_PREFIX),
        "publishable" => (KeyKind::Publishable, PUBLISHABLE_KEY_PREFIX),
        other => return Err(Problem::field("kind", format!("must be secret or publishable, not `{other}`"))),
    };
    let role = match (&body.role, kind) {
        (Some(given), _) => role(given)?,
        (None, _) => Role::Viewer,
    };
    let (id, secret) = (fresh_id(), fresh_secret());
    let key = format!("{prefix}{}_{id}_{secret}", console.tenant());
    let hash = match kind {
        KeyKind::Secret => hash_secret(&secret),
        KeyKind::Publishable => hash_secret(&key),
    };
    let hint = key[key.len() - 4..].to_owned();
    let command = Command::CreateKey {
        id: ApiKeyId(id),
        hash,
        hint,
        kind,
        role,
        agent: body.agent_id.map(Into::into),
        name: body.name,
    };
    let Reply::Key(view) = app.actors.tenant(&console.by, command).await? else {
        return Err(Problem::not_found("organization"));
    };
    let mut answer = json!(view);
    answer["key"] = json!(key);
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Void an API key.
#[utoipa::path(delete, path = "/api/api-keys/{id}", tag = "team", params(("id" = String, Path)), responses((status = 204)))]
async fn revoke_key(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<StatusCode> {
    app.actors.tenant(&console.by, Command::RevokeKey { id: ApiKeyId(id) }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All organizations, for platform administrators.
#[utoipa::path(get, path = "/api/admin/tenants", tag = "platform", responses((status = 200, body = Value)))]
async fn tenants(State(app): State<App>, _admin: PlatformAdmin, Query(query): Query<ListQuery>) -> Result<Json<Value>> {
    listing::list(&app, account::TENANT, colloquy_actors::tenant::LIST, &query, None, None, |_| true).await
}

/// Found an organization for somebody else, by a platform administrator: `{name, owner_email, …}`.
#[utoipa::path(post, path = "/api/admin/tenants", tag = "platform", request_body = Value, responses((status = 201, body = Value)))]
async fn create_tenant(State(app): State<App>, _admin: PlatformAdmin, Json(mut body): Json<Value>) -> Result<Response> {
    let email = body["owner_email"]
        .as_str()
        .map(check::normal_email)
        .ok_or_else(|| Problem::field("owner_email", "must be the address of an existing account"))?;
    if let Some(map) = body.as_object_mut() {
        map.remove("owner_email");
    }
    let user = signup::user_of(&app.actors.client, &email)
        .await?
        .ok_or_else(|| Problem::field("owner_email", "has no account: let them sign up first"))?;
    let account = account_of(&app, &user).await?;
    let owner = Person { user, name: account.user.name, email };
    let slug = body["slug"].as_str().map(str::to_owned);
    let organization = signup::found(
        &app.actors.client,
        TenantId(fresh_id()),
        owner,
        body,
        app.settings.plan.clone(),
        tenant::DeploymentMode::MultiTenant,
        slug.as_deref(),
    )
    .await?;
    Ok((StatusCode::CREATED, Json(organization)).into_response())
}

/// One organization, for platform administrators.
#[utoipa::path(get, path = "/api/admin/tenants/{id}", tag = "platform", params(("id" = String, Path)), responses((status = 200, body = Value)))]
async fn show_tenant(
    State(app): State<App>,
    PlatformAdmin(admin): PlatformAdmin,
    Path(id): Path<String>,
) -> Result<Response> {
    let by = Principal { tenant: TenantId(id), actor: Actor::Platform { id: admin } };
    let organization = organization_of(&app, &by).await?;
    Ok(etag::tagged(&organization, organization["version"].as_u64().unwrap_or_default()))
}

/// Change an organization, its `plan` or `suspended` reason, by a platform administrator.
#[utoipa::path(patch, path = "/api/admin/tenants/{id}", tag = "platform", params(("id" = String, Path)), request_body = Value, responses((status = 200, body = Value)))]
async fn update_tenant(
    State(app): State<App>,
    PlatformAdmin(admin): PlatformAdmin,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(mut patch): Json<Value>,
) -> Result<Response> {
    let by = Principal { tenant: TenantId(id), actor: Actor::Platform { id: admin.clone() } };
    let map = patch.as_object_mut().ok_or_else(|| Problem::bad_request("not_an_object", "Send a JSON object."))?;
    if let Some(plan) = map.remove("plan") {
        let plan = plan
            .as_str()
            .and_then(tenant::plan::Plan::named)
            .ok_or_else(|| Problem::field("plan", "must be unlimited or trial"))?;
        app.actors.tenant(&by, Command::SetPlan { plan }).await?;
    }
    if let Some(reason) = map.remove("suspended") {
        app.actors.tenant(&by, Command::SetSuspended { reason: reason.as_str().map(str::to_owned) }).await?;
    }
    tracing::info!(tenant = %by.tenant, admin = %admin, "a platform administrator changed an organization");
    let organization = if map.is_empty() {
        organization_of(&app, &by).await?
    } else {
        change(&app, &by, patch, etag::if_match(&headers)?).await?
    };
    Ok(etag::tagged(&organization, organization["version"].as_u64().unwrap_or_default()))
}

/// Changes the profile; a new slug is reserved before and confirmed after.
async fn change(app: &AppState, by: &Principal, patch: Value, if_version: Option<u64>) -> Result<Value> {
    let before = organization_of(app, by).await?;
    let old_slug = before["slug"].as_str().unwrap_or_default().to_owned();
    let new_slug = patch["slug"].as_str().filter(|slug| *slug != old_slug).map(str::to_owned);
    let client = &app.actors.client;
    if let Some(slug) = &new_slug {
        if !check::is_slug(slug) {
            return Err(Problem::field("slug", "must be lower-case letters, digits and hyphens"));
        }
        signup::reserve_slug(client, &by.tenant, slug).await?;
    }
    let outcome = app.actors.tenant(by, Command::Update { patch, if_version }).await;
    match (outcome, new_slug) {
        (Ok(Reply::Organization(view)), slug) => {
            if let Some(slug) = slug {
                signup::slug_taken(client, &by.tenant, &slug, &old_slug).await?;
            }
            Ok(json!(view))
        }
        (Ok(_), _) => Err(Problem::not_found("organization")),
        (Err(error), Some(slug)) => {
            signup::release_slug(client, &by.tenant, &slug).await?;
            Err(error.into())
        }
        (Err(error), None) => Err(error.into()),
    }
}

async fn organization_of(app: &AppState, by: &Principal) -> Result<Value> {
    match app.actors.tenant(by, Command::View).await? {
        Reply::Organization(view) => Ok(json!(view)),
        _ => Err(Problem::not_found("organization")),
    }
}

async fn preferences_of(app: &AppState, console: &Console, command: account::Command) -> Result<Json<Value>> {
    match app.actors.account(console.user()?, command).await? {
        account::Reply::Preferences { preferences } => {
            let role = console.by.role().unwrap_or(Role::Viewer);
            Ok(Json(Value::Object(notifications::with_defaults(preferences, role))))
        }
        _ => Err(Problem::not_found("account")),
    }
}

fn role(text: &str) -> Result<Role> {
    serde_json::from_value(json!(text))
        .map_err(|_| Problem::field("role", format!("must be owner, admin, manager, rep or viewer, not `{text}`")))
}
