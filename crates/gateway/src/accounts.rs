//! Signing up, in and out, once for `/api/auth/*` and for the pages: the same limits, the same time for every refusal, the same sessions and cookies.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use colloquy_actors::ActorError;
use colloquy_actors::connectors::Mail;
use colloquy_actors::domain::account::{self, NewSession};
use colloquy_actors::domain::check;
use colloquy_actors::domain::ids::{TenantId, UserId};
use colloquy_actors::domain::principal::Role;
use colloquy_actors::domain::tenant::profile::Profile;
use colloquy_actors::domain::tenant::view::InvitationView;
use colloquy_actors::domain::tenant::{self, Person};
use colloquy_actors::domain::{Principal, Rejection};

use colloquy_actors::once;
use colloquy_actors::signup::{self, NewPerson};
use colloquy_wire::accounts as wire;
use serde_json::{Value, json};

use crate::app::{App, AppState};
use crate::audit;
use crate::auth::{ACCESS_COOKIE, REFRESH_COOKIE, SESSION_COOKIE, cookie};
use crate::mails;
use crate::passwords;
use crate::problem::{Problem, Result};
use crate::proxies::group;
use crate::tokens::{ACCESS_TTL_S, Access, REFRESH_TTL_MS, fresh_secret, hash_secret};

/// Where the refresh token is sent back to, and nowhere else.
const REFRESH_PATH: &str = "/api/auth";

/// Said of every login that is refused.
const INVALID_CREDENTIALS: &str = "invalid_credentials";

/// An open invitation and the hash that accepts it.
pub(crate) struct Invited {
    /// What it says.
    pub(crate) view: InvitationView,
    /// The hash of its code.
    pub(crate) code_hash: String,
}

/// Makes an account with a new organization, or into one by invitation, and begins a session.
pub(crate) async fn sign_up(app: &App, from: IpAddr, headers: &HeaderMap, body: wire::Signup) -> Result<wire::Session> {
    app.limits.login_address.take(from, app.now_ms()).map_err(Problem::too_many)?;
    let mut wrong = Vec::new();
    if !check::is_email(&check::normal_email(&body.email)) {
        wrong.push(field("email", "must be an e-mail address"));
    }
    if let Err(message) = passwords::acceptable(&body.password) {
        wrong.push(field("password", message));
    }
    match (&body.organization, &body.invitation_code) {
        (Some(organization), None) => wrong.extend(wrong_in(organization)),
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
        Some(code) => Some(show_invitation(app, code).await?),
    };
    let invited = invitation.as_ref().and_then(|invitation| invitation.view.email.as_deref());
    if invited.is_some_and(|invited| invited != email) {
        // Said before there is an account that could not join.
        return Err(Problem::forbidden("This invitation was sent to another e-mail address."));
    }
    let id = UserId(fresh_id());
    let name = if body.name.trim().is_empty() {
        email.split('@').next().unwrap_or_default().to_owned()
    } else {
        body.name.trim().to_owned()
    };
    let person = NewPerson {
        email: email.clone(),
        name: name.clone(),
        password_hash: Some(passwords::hash(app, body.password).await?),
        platform_admin: app.settings.admin_emails.iter().any(|admin| check::normal_email(admin) == email),
        // An invitation's code proves nothing about the address: whoever invites sees it too.
        verified: false,
    };
    let client = &app.actors.client;
    let member = Person { user: id.clone(), name, email: email.clone() };
    let tenant = match (body.organization, invitation) {
        (Some(organization), _) => {
            signup::register(client, id.clone(), person).await?;
            let tenant = TenantId(fresh_id());
            let profile = profile_of(&organization);
            let (mode, slug) = if app.settings.single_tenant {
                (tenant::DeploymentMode::SingleTenant, Some(app.settings.default_slug.as_str()))
            } else {
                (tenant::DeploymentMode::MultiTenant, None)
            };
            signup::found(client, tenant.clone(), member, profile, app.settings.plan.clone(), mode, slug).await?;
            tenant
        }
        (None, Some(Invited { view, code_hash })) => {
            // Several may use one code at the same time, and only one of them may join: the others get no account either.
            signup::reserve_email(client, &id, &member.email).await?;
            let membership = match app.actors.accept(&view.organization_id, code_hash, member).await {
                Ok(membership) => membership,
                Err(error) => {
                    if matches!(error, ActorError::Rejected(_)) {
                        signup::release_email(client, &id, &email).await?;
                    }
                    return Err(error.into());
                }
            };
            signup::register(client, id.clone(), person).await?;
            app.actors.account(&id, account::Command::SetMembership(membership)).await?;
            view.organization_id
        }
        (None, None) => {
            return Err(Problem::field("organization", "give either an organization or an invitation_code"));
        }
    };
    let (session, secret) = new_session(app, from, Some(tenant), headers);
    let reply = signup::start_session(client, &id, session).await?;
    written(app, from, "account.created", signed_in(app, reply, &secret).await?).await
}

/// Begins a session with a password.
pub(crate) async fn log_in(app: &App, from: IpAddr, headers: &HeaderMap, body: wire::Login) -> Result<wire::Session> {
    let now = app.now_ms();
    let email = check::normal_email(&body.email);
    app.limits.login_address.take(from, now).map_err(Problem::too_many)?;
    // By both: whoever guesses at somebody's address uses up their own tries, not the owner's.
    app.limits.login_email.take((&email, group(from)), now).map_err(Problem::too_many)?;
    let client = &app.actors.client;
    let wrong = || {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            INVALID_CREDENTIALS,
            "E-mail address or password is wrong. After several wrong tries, wait some minutes or use a link by mail.",
        )
    };
    let user = signup::user_of(client, &email).await?;
    let credentials = match &user {
        None => None,
        Some(user) => match app.actors.account(user, account::Command::Credentials { from: place(app, from) }).await {
            Ok(account::Reply::Credentials { password_hash, wait_ms }) => {
                // While locked no password is right, and nothing tells a locked account from an unknown one.
                password_hash.filter(|_| wait_ms.is_none())
            }
            Ok(_) => None,
            Err(ActorError::Rejected(Rejection::NotFound { .. })) => None,
            Err(error) => return Err(error.into()),
        },
    };
    // An unknown address costs the same hash as a known one.
    let good = passwords::verify(app, body.password, credentials.clone()).await?;
    let (user, verified_hash) = match (user, credentials) {
        (Some(user), Some(hash)) => (user, hash),
        (Some(user), None) => {
            // Locked, or without a password: whose it is learns that somebody tried.
            audit::refused(app, from, user, INVALID_CREDENTIALS);
            return Err(wrong());
        }
        (None, _) => return Err(wrong()),
    };
    if !good {
        app.actors.account(&user, account::Command::LoginFailed { from: place(app, from) }).await?;
        audit::refused(app, from, user, INVALID_CREDENTIALS);
        return Err(wrong());
    }
    let (session, secret) = new_session(app, from, None, headers);
    let reply = app.actors.account(&user, account::Command::LogIn { verified_hash, session }).await?;
    written(app, from, "session.started", signed_in(app, reply, &secret).await?).await
}

/// Exchanges a refresh token, given or of the cookie, for a new pair.
pub(crate) async fn refresh(
    app: &App,
    from: IpAddr,
    headers: &HeaderMap,
    given: Option<&str>,
) -> Result<wire::Session> {
    app.limits.login_address.take(from, app.now_ms()).map_err(Problem::too_many)?;
    let token = refresh_token(headers, given)?;
    let next = fresh_secret();
    let command = account::Command::Refresh {
        family: token.family,
        token_hash: hash_secret(&token.secret),
        next_hash: hash_secret(&next),
    };
    match app.actors.account(&token.user, command).await {
        Ok(reply @ account::Reply::Session { .. }) => signed_in(app, reply, &next).await,
        Err(ActorError::Rejected(Rejection::Conflict { ref code, ref detail })) if code == "renewed_elsewhere" => {
            Err(Problem::unavailable(code, detail.clone(), 1))
        }
        Ok(_) | Err(ActorError::Rejected(_)) => Err(Problem::unauthorized("The session has ended: sign in again.")),
        Err(error) => Err(error.into()),
    }
}

/// Ends the session of a refresh token, given or of the cookie; without one there is nothing to end.
pub(crate) async fn log_out(app: &App, from: IpAddr, headers: &HeaderMap, given: Option<&str>) -> Result<()> {
    let Ok(token) = refresh_token(headers, given) else { return Ok(()) };
    // Only who holds the token may end its session: a refresh proves it, and the new token is thrown away with the session.
    let proof = account::Command::Refresh {
        family: token.family.clone(),
        token_hash: hash_secret(&token.secret),
        next_hash: hash_secret(&fresh_secret()),
    };
    if let Ok(account::Reply::Session { membership, .. }) = app.actors.account(&token.user, proof).await {
        let tenant = membership.map(|membership| membership.tenant);
        end(app, from, &token.user, tenant.as_ref(), token.family).await?;
    }
    Ok(())
}

/// Ends a session that the caller has shown to be theirs.
pub(crate) async fn end(
    app: &App,
    from: IpAddr,
    user: &UserId,
    tenant: Option<&TenantId>,
    family: String,
) -> Result<()> {
    app.actors.account(user, account::Command::Logout { family }).await?;
    if let Some(tenant) = tenant {
        audit::person(app, from, tenant, user, "session.ended").await;
    }
    Ok(())
}

/// Mails a link to set a new password, if the address is known; it takes as long if it is not.
pub(crate) fn mail_reset(app: &App, from: IpAddr, email: &str) -> Result<()> {
    mail_link(app, from, email, |token_hash| account::Command::RequestReset { token_hash }, mails::reset)
}

/// Mails a link that signs in, if the address is known; it takes as long if it is not.
pub(crate) fn mail_magic(app: &App, from: IpAddr, email: &str) -> Result<()> {
    mail_link(app, from, email, |token_hash| account::Command::RequestMagic { token_hash }, mails::magic)
}

/// Sets a new password with the token of a mail; all sessions end.
pub(crate) async fn reset_password(app: &App, from: IpAddr, body: wire::ResetPassword) -> Result<()> {
    app.limits.login_address.take(from, app.now_ms()).map_err(Problem::too_many)?;
    passwords::acceptable(&body.password).map_err(|message| Problem::field("password", message))?;
    let void = || Problem::field("token", "the link is void: ask for a new one");
    let (user, secret) = body.token.split_once('.').ok_or_else(void)?;
    let password_hash = passwords::hash(app, body.password.clone()).await?;
    let command = account::Command::UseReset { token_hash: hash_secret(secret), password_hash };
    let user = UserId::from(user);
    match app.actors.account(&user, command).await {
        Ok(_) => {
            // It is set, whether or not it can be told where.
            let organization = account_of(app, &user).await.ok().and_then(|account| account.default_organization_id);
            if let Some(tenant) = organization.map(TenantId) {
                audit::person(app, from, &tenant, &user, "password.reset").await;
            }
            Ok(())
        }
        Err(ActorError::Rejected(_)) => Err(void()),
        Err(error) => Err(error.into()),
    }
}

/// Begins a session with the token of a mail. It works once.
pub(crate) async fn follow_magic(app: &App, from: IpAddr, headers: &HeaderMap, token: &str) -> Result<wire::Session> {
    app.limits.login_address.take(from, app.now_ms()).map_err(Problem::too_many)?;
    let void = || Problem::unauthorized("The link is void: ask for a new one.");
    let (user, secret) = token.split_once('.').ok_or_else(void)?;
    let (session, refresh) = new_session(app, from, None, headers);
    let command = account::Command::UseMagic { token_hash: hash_secret(secret), session };
    match app.actors.account(&user.into(), command).await {
        Ok(reply) => written(app, from, "session.started", signed_in(app, reply, &refresh).await?).await,
        Err(ActorError::Rejected(_)) => Err(void()),
        Err(error) => Err(error.into()),
    }
}

/// Moves a session to another of the person's organizations: a new access token, no new refresh token.
pub(crate) async fn switch(app: &App, user: &UserId, family: String, tenant: TenantId) -> Result<wire::Session> {
    if app.actors.member(&tenant, user).await?.is_none() {
        return Err(Problem::not_found("organization"));
    }
    let command = account::Command::SwitchTenant { family: family.clone(), tenant: tenant.clone() };
    app.actors.account(user, command).await?;
    session_body(app, user, &tenant, &family, None).await
}

/// Reads an invitation by its code.
pub(crate) async fn show_invitation(app: &AppState, code: &str) -> Result<Invited> {
    let void = || Problem::field("invitation_code", "the invitation is void: ask for a new one");
    let (tenant, secret) = code.split_once('.').ok_or_else(void)?;
    let (tenant, code_hash) = (TenantId::from(tenant), hash_secret(secret));
    let command = tenant::Command::ShowInvitation { code_hash: code_hash.clone() };
    match app.actors.tenant(&Principal::system(tenant), command).await {
        Ok(tenant::Reply::Invitation(view)) => Ok(Invited { view, code_hash }),
        Ok(_) | Err(ActorError::Rejected(_)) => Err(void()),
        Err(error) => Err(error.into()),
    }
}

/// Lets somebody who has an account join by an invitation.
pub(crate) async fn accept(app: &AppState, user: &UserId, code: &str) -> Result<(TenantId, Role)> {
    let account = account_of(app, user).await?;
    let Invited { view, code_hash } = show_invitation(app, code).await?;
    let person = Person { user: account.user.id, name: account.user.name, email: account.user.email };
    let role = app.actors.join(&view.organization_id, code_hash, person).await?;
    Ok((view.organization_id, role))
}

/// Turns an invitation down, by whoever holds its code.
pub(crate) async fn decline(app: &AppState, code: &str) -> Result<()> {
    let Invited { view, code_hash } = show_invitation(app, code).await?;
    app.actors
        .tenant(&Principal::system(view.organization_id), tenant::Command::DeclineInvitation { code_hash })
        .await?;
    Ok(())
}

/// A person's account.
pub(crate) async fn account_of(app: &AppState, user: &UserId) -> Result<account::view::AccountView> {
    match app.actors.account(user, account::Command::View).await? {
        account::Reply::Account(account) => Ok(*account),
        _ => Err(Problem::not_found("account")),
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

/// A fresh opaque id that sorts by time; the same one when a request is run again.
pub(crate) fn fresh_id() -> String {
    let id = match once::bytes("id") {
        Some((bytes, since_ms)) => {
            let random = std::array::from_fn(|at| bytes[at]);
            uuid::Builder::from_unix_timestamp_millis(since_ms.unsigned_abs(), &random).into_uuid()
        }
        None => uuid::Uuid::now_v7(),
    };
    id.simple().to_string()
}

/// Sets the cookies of a session.
pub(crate) fn set_session(app: &AppState, headers: &mut HeaderMap, session: &wire::Session) {
    set_access(app, headers, session);
    set_cookie(app, headers, REFRESH_COOKIE, &session.refresh_token, REFRESH_PATH, REFRESH_TTL_MS / 1000);
    set_cookie(app, headers, SESSION_COOKIE, "1", "/", REFRESH_TTL_MS / 1000);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Sets the cookie of the access token alone.
pub(crate) fn set_access(app: &AppState, headers: &mut HeaderMap, session: &wire::Session) {
    set_cookie(app, headers, ACCESS_COOKIE, &session.access_token, "/", ACCESS_TTL_S);
}

/// Takes the cookies of a session away.
pub(crate) fn clear_session(app: &AppState, headers: &mut HeaderMap) {
    set_cookie(app, headers, ACCESS_COOKIE, "", "/", 0);
    set_cookie(app, headers, REFRESH_COOKIE, "", REFRESH_PATH, 0);
    set_cookie(app, headers, SESSION_COOKIE, "", "/", 0);
}

/// Sets a cookie that no script reads and no other site's form sends.
pub(crate) fn set_cookie(app: &AppState, headers: &mut HeaderMap, name: &str, value: &str, path: &str, max_age_s: i64) {
    let secure = if app.settings.secure_cookies { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.append(header::SET_COOKIE, value);
    }
}

/// What is wrong with an organization that somebody wants to found, checked before there is an account without one.
fn wrong_in(organization: &wire::NewOrganization) -> Vec<colloquy_wire::common::FieldError> {
    if organization.name.trim().is_empty() {
        return vec![field("organization.name", "must not be empty")];
    }
    let mut profile = profile_of(organization);
    // The real one is found and reserved later; any good one will do here.
    profile["slug"] = json!(check::slug_of(&organization.name));
    match Profile::default().patched(&profile) {
        Ok(_) => Vec::new(),
        Err(Rejection::Invalid { errors }) => {
            errors.into_iter().map(|error| field(&format!("organization.{}", error.field), error.message)).collect()
        }
        Err(other) => vec![field("organization", other.to_string())],
    }
}

fn mail_link(
    app: &App,
    from: IpAddr,
    email: &str,
    command: impl FnOnce(String) -> account::Command + Send + 'static,
    mail: fn(&AppState, &str, &str, &str) -> Mail,
) -> Result<()> {
    let now = app.now_ms();
    let email = check::normal_email(email);
    app.limits.login_address.take(from, now).map_err(Problem::too_many)?;
    // Apart from log-ins: whoever is locked out by somebody else's guesses still gets in by a link.
    app.limits.mail_email.take(&email, now).map_err(Problem::too_many)?;
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
    Ok(())
}

/// Writes who began a session into the log of the organization it is for.
async fn written(app: &App, from: IpAddr, action: &str, session: wire::Session) -> Result<wire::Session> {
    let text = |value: &Value| value["id"].as_str().map(str::to_owned);
    if let (Some(tenant), Some(user)) = (text(&session.organization), text(&session.user)) {
        audit::person(app, from, &TenantId(tenant), &UserId(user), action).await;
    }
    Ok(session)
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

/// Where a client is, as an account remembers it: recognised by this installation, and read by nobody.
fn place(app: &AppState, from: IpAddr) -> String {
    app.tokens.derived_id(&["place", &group(from).to_string()])
}

fn new_session(app: &AppState, from: IpAddr, tenant: Option<TenantId>, headers: &HeaderMap) -> (NewSession, String) {
    let secret = fresh_secret();
    let device =
        headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default().chars().take(200).collect();
    let session =
        NewSession { family: fresh_id(), token_hash: hash_secret(&secret), tenant, device, from: place(app, from) };
    (session, secret)
}

async fn signed_in(app: &App, reply: account::Reply, secret: &str) -> Result<wire::Session> {
    let account::Reply::Session { family, membership, account } = reply else {
        return Err(Problem::unauthorized("The session has ended: sign in again."));
    };
    let user = account.user.id.clone();
    let refresh_token = format!("{user}.{family}.{secret}");
    let tenant = membership.map(|m| m.tenant).unwrap_or_default();
    session_body(app, &user, &tenant, &family, Some(refresh_token)).await
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
    let account = account_of(app, user).await?;
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

fn field(name: &str, message: impl Into<String>) -> colloquy_wire::common::FieldError {
    colloquy_wire::common::FieldError { field: name.to_owned(), message: message.into() }
}
