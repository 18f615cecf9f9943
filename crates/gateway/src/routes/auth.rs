//! `/api/auth/*`: signing up, in and out. Wrong passwords and unknown addresses are told apart by nothing, not even time.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use colloquy_actors::domain::account::{self, NewSession};
use colloquy_actors::domain::check;
use colloquy_actors::domain::ids::{TenantId, UserId};
use colloquy_actors::domain::tenant::{self, Person};
use colloquy_actors::domain::{Principal, Rejection};
use colloquy_actors::signup::{self, NewPerson};
use colloquy_wire::accounts as wire;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, AppState};
use crate::auth::{ACCESS_COOKIE, Address, Console, REFRESH_COOKIE, cookie};
use crate::body::{Json, OptionalJson};
use crate::mails;
use crate::passwords;
use crate::problem::{Problem, Result};
use crate::tokens::{ACCESS_TTL_S, Access, REFRESH_TTL_MS, fresh_secret, hash_secret};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(sign_up))
        .routes(routes!(log_in))
        .routes(routes!(refresh))
        .routes(routes!(log_out))
        .routes(routes!(forgot_password))
        .routes(routes!(reset_password))
        .routes(routes!(magic_link))
        .routes(routes!(follow_magic_link))
        .routes(routes!(switch))
}

/// Sign up: with a new organization, or into one by invitation.
#[utoipa::path(post, path = "/api/auth/signup", tag = "auth", request_body = wire::Signup, responses((status = 201, body = wire::Session)))]
async fn sign_up(
    State(app): State<App>,
    Address(from): Address,
    headers: HeaderMap,
    Json(body): Json<wire::Signup>,
) -> Result<Response> {
    app.limits.login_address.take(from, app.now_ms()).map_err(Problem::too_many)?;
    let mut wrong = Vec::new();
    if !check::is_email(&check::normal_email(&body.email)) {
        wrong.push(field("email", "must be an e-mail address"));
    }
    if let Err(message) = passwords::acceptable(&body.password) {
        wrong.push(field("password", message));
    }
    match (&body.organization, &body.invitation_code) {
        (Some(organization), None) if organization.name.trim().is_empty() => {
            wrong.push(field("organization.name", "must not be empty"))
        }
        (Some(organization), None) => {
            if let Some(zone) = &organization.timezone
                && colloquy_actors::domain::local_time::zone(zone).is_none()
            {
                wrong.push(field("organization.timezone", "must be an IANA time zone such as America/New_York"));
            }
        }
        (None, Some(_)) => {}
        (Some(_), Some(_)) | (None, None) => {
            wrong.push(field("organization", "give either an organization or an invitation_code"))
        }
    }
    if !wrong.is_empty() {
        return Err(Problem::fields(wrong));
    }
    if app.settings.single_tenant && body.organization.is_some() && app.actors.has_tenants().await? {
        return Err(Problem::conflict(
            "signup_closed",
            "This installation serves one organization: ask one of its admins for an invitation.",
        ));
    }
    let email = check::normal_email(&body.email);
    let invitation = match &body.invitation_code {
        None => None,
        Some(code) => Some(show_invitation(&app, code).await?),
    };
    let id = UserId(fresh_id());
    let name = if body.name.trim().is_empty() {
        email.split('@').next().unwrap_or_default().to_owned()
    } else {
        body.name.trim().to_owned()
    };
    let person = NewPerson {
        email: email.clone(),
        name: name.clone(),
        password_hash: Some(passwords::hash(&app, body.password).await?),
        platform_admin: app.settings.admin_emails.iter().any(|admin| check::normal_email(admin) == email),
        // Whoever holds a code that was mailed to this address has shown that the address is theirs.
        verified: invitation.as_ref().is_some_and(|(_, _, invited)| invited.as_deref() == Some(email.as_str())),
    };
    let client = &app.actors.client;
    signup::register(client, id.clone(), person).await?;
    let person = Person { user: id.clone(), name, email };
    let tenant = match (body.organization, invitation) {
        (Some(organization), _) => {
            let tenant = TenantId(fresh_id());
            let profile = profile_of(&organization);
            let (mode, slug) = if app.settings.single_tenant {
                (tenant::DeploymentMode::SingleTenant, Some(app.settings.default_slug.as_str()))
            } else {
                (tenant::DeploymentMode::MultiTenant, None)
            };
            signup::found(client, tenant.clone(), person, profile, app.settings.plan.clone(), mode, slug).await?;
            tenant
        }
        (None, Some((tenant, code_hash, _))) => {
            app.actors.join(&tenant, code_hash, person).await?;
            tenant
        }
        (None, None) => {
            return Err(Problem::field("organization", "give either an organization or an invitation_code"));
        }
    };
    let (session, secret) = new_session(Some(tenant), &headers);
    let reply = signup::start_session(client, &id, session).await?;
    signed_in(&app, StatusCode::CREATED, reply, &secret).await
}

/// Sign in with a password.
#[utoipa::path(post, path = "/api/auth/login", tag = "auth", request_body = wire::Login, responses((status = 200, body = wire::Session)))]
async fn log_in(
    State(app): State<App>,
    Address(from): Address,
    headers: HeaderMap,
    Json(body): Json<wire::Login>,
) -> Result<Response> {
    let now = app.now_ms();
    let email = check::normal_email(&body.email);
    app.limits.login_address.take(from, now).map_err(Problem::too_many)?;
    app.limits.login_email.take(&email, now).map_err(Problem::too_many)?;
    let client = &app.actors.client;
    let wrong =
        || Problem::new(StatusCode::UNAUTHORIZED, "invalid_credentials", "E-mail address or password is wrong.");
    let user = signup::user_of(client, &email).await?;
    let credentials = match &user {
        None => None,
        Some(user) => match app.actors.account(user, account::Command::Credentials).await {
            Ok(account::Reply::Credentials { password_hash, wait_ms }) => {
                if let Some(wait) = wait_ms {
                    // The lock is the address's own; told to whoever tries, known or not, by the limit above.
                    return Err(Problem::too_many(u64::try_from(wait).unwrap_or(1).div_ceil(1000).max(1)));
                }
                password_hash
            }
            Ok(_) => None,
            Err(colloquy_actors::ActorError::Rejected(Rejection::NotFound { .. })) => None,
            Err(error) => return Err(error.into()),
        },
    };
    // An unknown address costs the same hash as a known one.
    let good = passwords::verify(&app, body.password, credentials.clone()).await?;
    let (Some(user), Some(verified_hash)) = (user, credentials) else { return Err(wrong()) };
    if !good {
        app.actors.account(&user, account::Command::LoginFailed).await?;
        return Err(wrong());
    }
    let (session, secret) = new_session(None, &headers);
    let reply = app.actors.account(&user, account::Command::LogIn { verified_hash, session }).await?;
    signed_in(&app, StatusCode::OK, reply, &secret).await
}

/// Exchange a refresh token for a new pair. Each works once.
#[utoipa::path(post, path = "/api/auth/refresh", tag = "auth", request_body = wire::RefreshRequest, responses((status = 200, body = wire::Session)))]
async fn refresh(
    State(app): State<App>,
    Address(from): Address,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<wire::RefreshRequest>,
) -> Result<Response> {
    app.limits.login_address.take(from, app.now_ms()).map_err(Problem::too_many)?;
    let token = refresh_token(&headers, body.refresh_token.as_deref())?;
    let next = fresh_secret();
    let command = account::Command::Refresh {
        family: token.family,
        token_hash: hash_secret(&token.secret),
        next_hash: hash_secret(&next),
    };
    match app.actors.account(&token.user, command).await {
        Ok(reply @ account::Reply::Session { .. }) => signed_in(&app, StatusCode::OK, reply, &next).await,
        Ok(_) | Err(colloquy_actors::ActorError::Rejected(_)) => {
            Err(Problem::unauthorized("The session has ended: sign in again."))
        }
        Err(error) => Err(error.into()),
    }
}

/// End the session.
#[utoipa::path(post, path = "/api/auth/logout", tag = "auth", request_body = wire::RefreshRequest, responses((status = 204)))]
async fn log_out(
    State(app): State<App>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<wire::RefreshRequest>,
) -> Result<Response> {
    if let Ok(token) = refresh_token(&headers, body.refresh_token.as_deref()) {
        // Only who holds the token may end its session: a refresh proves it, and the new token is thrown away with the session.
        let thrown_away = hash_secret(&fresh_secret());
        let proof = account::Command::Refresh {
            family: token.family.clone(),
            token_hash: hash_secret(&token.secret),
            next_hash: thrown_away,
        };
        if matches!(app.actors.account(&token.user, proof).await, Ok(account::Reply::Session { .. })) {
            app.actors.account(&token.user, account::Command::Logout { family: token.family }).await?;
        }
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&app, response.headers_mut(), ACCESS_COOKIE, "", "/", 0);
    set_cookie(&app, response.headers_mut(), REFRESH_COOKIE, "", "/api/auth", 0);
    Ok(response)
}

/// Ask for a mail with a link to set a new password. The answer is the same whether or not the address is known.
#[utoipa::path(post, path = "/api/auth/forgot-password", tag = "auth", request_body = wire::EmailOnly, responses((status = 202)))]
async fn forgot_password(
    State(app): State<App>,
    Address(from): Address,
    Json(body): Json<wire::EmailOnly>,
) -> Result<StatusCode> {
    mail_link(&app, from, &body.email, |token_hash| account::Command::RequestReset { token_hash }, mails::reset).await
}

/// Ask for a mail with a link that signs in. The answer is the same whether or not the address is known.
#[utoipa::path(post, path = "/api/auth/magic-link", tag = "auth", request_body = wire::EmailOnly, responses((status = 202)))]
async fn magic_link(
    State(app): State<App>,
    Address(from): Address,
    Json(body): Json<wire::EmailOnly>,
) -> Result<StatusCode> {
    mail_link(&app, from, &body.email, |token_hash| account::Command::RequestMagic { token_hash }, mails::magic).await
}

/// Set a new password with the token of a mail; all sessions end.
#[utoipa::path(post, path = "/api/auth/reset-password", tag = "auth", request_body = wire::ResetPassword, responses((status = 204)))]
async fn reset_password(
    State(app): State<App>,
    Address(from): Address,
    Json(body): Json<wire::ResetPassword>,
) -> Result<StatusCode> {
    app.limits.login_address.take(from, app.now_ms()).map_err(Problem::too_many)?;
    passwords::acceptable(&body.password).map_err(|message| Problem::field("password", message))?;
    let void = || Problem::field("token", "the link is void: ask for a new one");
    let (user, secret) = body.token.split_once('.').ok_or_else(void)?;
    let password_hash = passwords::hash(&app, body.password.clone()).await?;
    let command = account::Command::UseReset { token_hash: hash_secret(secret), password_hash };
    match app.actors.account(&user.into(), command).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(colloquy_actors::ActorError::Rejected(_)) => Err(void()),
        Err(error) => Err(error.into()),
    }
}

/// Follow a sign-in link: sets the session's cookies and goes to the console. With `Accept: application/json` it answers the session instead.
#[utoipa::path(get, path = "/api/auth/magic/{token}", tag = "auth", params(("token" = String, Path)), responses((status = 303), (status = 200, body = wire::Session)))]
async fn follow_magic_link(
    State(app): State<App>,
    Address(from): Address,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    app.limits.login_address.take(from, app.now_ms()).map_err(Problem::too_many)?;
    let void = || Problem::unauthorized("The link is void: ask for a new one.");
    let (user, secret) = token.split_once('.').ok_or_else(void)?;
    let (session, refresh) = new_session(None, &headers);
    let command = account::Command::UseMagic { token_hash: hash_secret(secret), session };
    let reply = match app.actors.account(&user.into(), command).await {
        Ok(reply) => reply,
        Err(colloquy_actors::ActorError::Rejected(_)) => return Err(void()),
        Err(error) => return Err(error.into()),
    };
    let response = signed_in(&app, StatusCode::OK, reply, &refresh).await?;
    let wants_json =
        headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("application/json"));
    if wants_json {
        return Ok(response);
    }
    let mut redirect = Redirect::to("/app").into_response();
    for value in response.headers().get_all(header::SET_COOKIE) {
        redirect.headers_mut().append(header::SET_COOKIE, value.clone());
    }
    Ok(redirect)
}

/// Act in another of the person's organizations: a new access token for the same session.
#[utoipa::path(post, path = "/api/auth/switch", tag = "auth", request_body = wire::SwitchOrganization, responses((status = 200, body = wire::Session)))]
async fn switch(
    State(app): State<App>,
    console: Console,
    Json(body): Json<wire::SwitchOrganization>,
) -> Result<Response> {
    let user = console.user()?.clone();
    let family = console.session.clone().unwrap_or_default();
    let tenant = TenantId(body.organization_id);
    if app.actors.member(&tenant, &user).await?.is_none() {
        return Err(Problem::not_found("organization"));
    }
    let command = account::Command::SwitchTenant { family: family.clone(), tenant: tenant.clone() };
    app.actors.account(&user, command).await?;
    let session = session_body(&app, &user, &tenant, &family, None).await?;
    let mut response = Json(&session).into_response();
    set_cookie(&app, response.headers_mut(), ACCESS_COOKIE, &session.access_token, "/", ACCESS_TTL_S);
    Ok(response)
}

/// Reads an invitation code: the organization, the code's hash, the address it was mailed to.
pub(crate) async fn show_invitation(app: &AppState, code: &str) -> Result<(TenantId, String, Option<String>)> {
    let void = || Problem::field("invitation_code", "the invitation is void: ask for a new one");
    let (tenant, secret) = code.split_once('.').ok_or_else(void)?;
    let (tenant, code_hash) = (TenantId::from(tenant), hash_secret(secret));
    let command = tenant::Command::ShowInvitation { code_hash: code_hash.clone() };
    match app.actors.tenant(&Principal::system(tenant.clone()), command).await {
        Ok(tenant::Reply::Invitation(invitation)) => Ok((tenant, code_hash, invitation.email)),
        Ok(_) | Err(colloquy_actors::ActorError::Rejected(_)) => Err(void()),
        Err(error) => Err(error.into()),
    }
}

/// The profile of a new organization.
pub(crate) fn profile_of(organization: &wire::NewOrganization) -> Value {
    let mut profile = json!({ "name": organization.name.trim() });
    for (key, value) in [
        ("vertical", &organization.vertical),
        ("website_url", &organization.website_url),
        ("timezone", &organization.timezone),
    ] {
        if let Some(value) = value {
            profile[key] = json!(value);
        }
    }
    profile
}

/// A fresh opaque id that sorts by time.
pub(crate) fn fresh_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

async fn mail_link(
    app: &App,
    from: std::net::IpAddr,
    email: &str,
    command: impl FnOnce(String) -> account::Command + Send + 'static,
    mail: fn(&AppState, &str, &str, &str) -> colloquy_actors::connectors::mail::Mail,
) -> Result<StatusCode> {
    let now = app.now_ms();
    let email = check::normal_email(email);
    app.limits.login_address.take(from, now).map_err(Problem::too_many)?;
    app.limits.login_email.take(&email, now).map_err(Problem::too_many)?;
    // In a task of its own: the answer's time does not tell whether the address is known.
    let app = app.clone();
    tokio::spawn(async move {
        let Ok(Some(user)) = signup::user_of(&app.actors.client, &email).await else { return };
        let secret = fresh_secret();
        match app.actors.account(&user, command(hash_secret(&secret))).await {
            Ok(account::Reply::Requested { send: true, email, name }) => {
                if let Err(error) =
                    app.actors.tools.mailer.send(&mail(&app, &email, &name, &format!("{user}.{secret}"))).await
                {
                    tracing::warn!(%error, "a sign-in mail could not be sent");
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "a sign-in link could not be made"),
        }
    });
    Ok(StatusCode::ACCEPTED)
}

struct RefreshToken {
    user: UserId,
    family: String,
    secret: String,
}

/// A refresh token reads `<user>.<session>.<secret>`.
fn refresh_token(headers: &HeaderMap, given: Option<&str>) -> Result<RefreshToken> {
    let ended = || Problem::unauthorized("The session has ended: sign in again.");
    let token = given.or_else(|| cookie(headers, REFRESH_COOKIE)).ok_or_else(ended)?;
    let mut parts = token.splitn(3, '.');
    let (Some(user), Some(family), Some(secret)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(ended());
    };
    Ok(RefreshToken { user: user.into(), family: family.to_owned(), secret: secret.to_owned() })
}

fn new_session(tenant: Option<TenantId>, headers: &HeaderMap) -> (NewSession, String) {
    let secret = fresh_secret();
    let device =
        headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default().chars().take(200).collect();
    (NewSession { family: fresh_id(), token_hash: hash_secret(&secret), tenant, device }, secret)
}

async fn signed_in(app: &App, status: StatusCode, reply: account::Reply, secret: &str) -> Result<Response> {
    let account::Reply::Session { family, membership, account } = reply else {
        return Err(Problem::unauthorized("The session has ended: sign in again."));
    };
    let user = account.user.id.clone();
    let refresh_token = format!("{user}.{family}.{secret}");
    let tenant = membership.map(|m| m.tenant).unwrap_or_default();
    let session = session_body(app, &user, &tenant, &family, Some(refresh_token)).await?;
    let mut response = (status, Json(&session)).into_response();
    set_cookie(app, response.headers_mut(), ACCESS_COOKIE, &session.access_token, "/", ACCESS_TTL_S);
    set_cookie(app, response.headers_mut(), REFRESH_COOKIE, &session.refresh_token, "/api/auth", REFRESH_TTL_MS / 1000);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn session_body(
    app: &AppState,
    user: &UserId,
    tenant: &TenantId,
    family: &str,
    refresh_token: Option<String>,
) -> Result<wire::Session> {
    let now_s = app.now_ms() / 1000;
    let access = Access {
        sub: user.clone(),
        org: tenant.clone(),
        sid: family.to_owned(),
        iat: now_s,
        exp: now_s + ACCESS_TTL_S,
    };
    let account = match app.actors.account(user, account::Command::View).await? {
        account::Reply::Account(account) => *account,
        _ => return Err(Problem::not_found("account")),
    };
    let (organization, role) = if tenant.as_str().is_empty() {
        (Value::Null, String::new())
    } else {
        let role = app.actors.member(tenant, user).await?.map(|m| json!(m.role)).unwrap_or_default();
        let organization = match app.actors.tenant(&Principal::system(tenant.clone()), tenant::Command::View).await? {
            tenant::Reply::Organization(view) => json!(view),
            _ => Value::Null,
        };
        (organization, role.as_str().unwrap_or_default().to_owned())
    };
    Ok(wire::Session {
        user: json!(account.user),
        organization,
        role,
        access_token: app.tokens.sign_access(&access),
        refresh_token: refresh_token.unwrap_or_default(),
        expires_in: ACCESS_TTL_S,
        csrf_token: app.tokens.csrf(family),
    })
}

fn set_cookie(app: &AppState, headers: &mut HeaderMap, name: &str, value: &str, path: &str, max_age_s: i64) {
    let secure = if app.settings.secure_cookies { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.append(header::SET_COOKIE, value);
    }
}

fn field(name: &str, message: impl Into<String>) -> colloquy_wire::common::FieldError {
    colloquy_wire::common::FieldError { field: name.to_owned(), message: message.into() }
}
