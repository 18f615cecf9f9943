//! Who asks: bearer tokens, API keys, cookies with a CSRF token, visitor tokens. Nothing runs without a principal bound to a tenant.

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use colloquy_actors::domain::ids::{ApiKeyId, TenantId, UserId};
use colloquy_actors::domain::{Actor, Principal, Role};

use crate::app::{App, AppState};
use crate::listen::Peer;
use crate::problem::Problem;
use crate::tokens::{self, Access, Visitor};

/// The cookie with the access token.
pub const ACCESS_COOKIE: &str = "colloquy_access";
/// The cookie with the refresh token.
pub const REFRESH_COOKIE: &str = "colloquy_refresh";
/// The cookie that says there is a session to renew, on paths that the refresh token is not sent to. It proves nothing.
pub const SESSION_COOKIE: &str = "colloquy_session";
/// How secret API keys begin.
pub const SECRET_KEY_PREFIX: &str = "cq_sk_";
/// How publishable API keys begin.
pub const PUBLISHABLE_KEY_PREFIX: &str = "cq_pk_";

/// A signed-in member or a program of a tenant.
#[derive(Clone, Debug)]
pub struct Console {
    /// Who asks, bound to a tenant.
    pub by: Principal,
    /// The session, for people.
    pub session: Option<String>,
}

impl Console {
    /// Refuses a role that is too low.
    pub fn need(&self, role: Role, what: &str) -> Result<(), Problem> {
        if self.by.at_least(role) {
            Ok(())
        } else {
            let role = serde_json::to_value(role).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
            Err(Problem::forbidden(format!(
                "To {what} you need the role {role} or above: ask an admin of your organization."
            )))
        }
    }

    /// Refuses a key that speaks for one agent only: what is asked for belongs to the whole organization.
    pub fn unbound(&self, what: &str) -> Result<(), Problem> {
        match self.by.actor {
            Actor::ApiKey { agent: Some(_), .. } => {
                Err(Problem::forbidden(format!("This key is for one agent only and may not {what}.")))
            }
            _ => Ok(()),
        }
    }

    /// The signed-in person: programs have no account.
    pub fn user(&self) -> Result<&UserId, Problem> {
        match &self.by.actor {
            Actor::User { id, .. } => Ok(id),
            Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::Platform { .. } | Actor::System => {
                Err(Problem::forbidden("This call is for signed-in people, not for API keys."))
            }
        }
    }

    /// The tenant.
    pub fn tenant(&self) -> &TenantId {
        &self.by.tenant
    }
}

impl FromRequestParts<App> for Console {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let console = match bearer(&parts.headers) {
            Some(token) => of_token(app, token).await?,
            None => {
                let token = cookie(&parts.headers, ACCESS_COOKIE).ok_or_else(|| {
                    Problem::unauthorized("Sign in, or send `Authorization: Bearer` with an access token or API key.")
                })?;
                let console = of_token(app, token).await?;
                let safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
                if !safe {
                    let given = parts.headers.get("x-csrf-token").and_then(|v| v.to_str().ok()).unwrap_or_default();
                    let wanted = app.tokens.csrf(console.session.as_deref().unwrap_or_default());
                    if !tokens::same(given.as_bytes(), wanted.as_bytes()) {
                        return Err(Problem::forbidden(
                            "The `X-CSRF-Token` header is missing or wrong: send the csrf_token of your session.",
                        ));
                    }
                }
                console
            }
        };
        app.limits.api.take(who(&console.by), app.now_ms()).map_err(Problem::too_many)?;
        Ok(console)
    }
}

/// Who sends a request, as far as its credentials tell; for records of what was asked, not for deciding whether it may be done.
pub(crate) async fn known(app: &AppState, parts: &Parts) -> Option<Principal> {
    of_token(app, token(parts)?).await.ok().map(|console| console.by)
}

/// The token or key that a request carries, good or not.
pub(crate) fn token(parts: &Parts) -> Option<&str> {
    bearer(&parts.headers).or_else(|| cookie(&parts.headers, ACCESS_COOKIE))
}

/// Whose key a text says it is; nothing is proven by it.
pub(crate) fn key_of(token: &str) -> Option<(TenantId, ApiKeyId)> {
    let mut parts = token.strip_prefix(SECRET_KEY_PREFIX)?.splitn(3, '_');
    let (tenant, id, _secret) = (parts.next()?, parts.next()?, parts.next()?);
    (token.len() <= tokens::TOKEN_MAX).then(|| (TenantId::from(tenant), ApiKeyId::from(id)))
}

/// The address of the client a request comes from.
pub(crate) fn address(app: &AppState, parts: &Parts) -> IpAddr {
    let peer =
        parts.extensions.get::<ConnectInfo<Peer>>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.0.ip());
    app.settings.proxies.client(peer, &parts.headers)
}

/// A platform administrator.
#[derive(Clone, Debug)]
pub struct PlatformAdmin(pub UserId);

impl FromRequestParts<App> for PlatformAdmin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let console = Console::from_request_parts(parts, app).await?;
        let user = console.user()?.clone();
        if app.actors.is_platform_admin(&user).await? {
            Ok(Self(user))
        } else {
            Err(Problem::forbidden("This call is for administrators of the platform."))
        }
    }
}

/// The visitor of `Authorization: Visitor <token>`, if there is one. A bad token is an error, not nobody.
#[derive(Clone, Debug)]
pub struct MaybeVisitor(pub Option<Visitor>);

impl FromRequestParts<App> for MaybeVisitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Some(token) = visitor_token(&parts.headers) else { return Ok(Self(None)) };
        let visitor = app
            .tokens
            .check_visitor(token, app.now_ms() / 1000)
            .ok_or_else(|| Problem::unauthorized("The visitor token is not valid: start again without it."))?;
        Ok(Self(Some(visitor)))
    }
}

/// The address of the client a request comes from.
#[derive(Clone, Copy, Debug)]
pub struct Address(pub IpAddr);

impl FromRequestParts<App> for Address {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Ok(Self(address(app, parts)))
    }
}

/// The principal behind an access token or a secret API key.
pub async fn of_token(app: &AppState, token: &str) -> Result<Console, Problem> {
    if token.starts_with(SECRET_KEY_PREFIX) || token.starts_with(PUBLISHABLE_KEY_PREFIX) {
        return of_key(app, token).await;
    }
    let access = app.tokens.check_access(token, app.now_ms() / 1000).ok_or_else(|| {
        Problem::unauthorized("The access token has ended or is not valid: refresh it or sign in again.")
    })?;
    of_access(app, access).await
}

/// The principal behind an access token that is good, as long as its session goes on and they are a member.
pub async fn of_access(app: &AppState, access: Access) -> Result<Console, Problem> {
    if !app.actors.session_lives(&access.sub, &access.sid).await? {
        return Err(Problem::unauthorized("The session has ended: sign in again."));
    }
    let member = app
        .actors
        .member(&access.org, &access.sub)
        .await?
        .ok_or_else(|| Problem::unauthorized("You are no longer a member of this organization: sign in again."))?;
    let actor = Actor::User { id: access.sub, role: member.role, name: member.name };
    Ok(Console { by: Principal { tenant: access.org, actor }, session: Some(access.sid) })
}

/// What the access token of the cookie says, while it is good. The person may have left the organization since.
pub fn access_of_cookie(app: &AppState, headers: &HeaderMap) -> Option<Access> {
    app.tokens.check_access(cookie(headers, ACCESS_COOKIE)?, app.now_ms() / 1000)
}

/// A key reads `cq_sk_<tenant>_<key id>_<secret>`.
async fn of_key(app: &AppState, token: &str) -> Result<Console, Problem> {
    let wrong = || Problem::unauthorized("The API key is not valid.");
    if token.len() > tokens::TOKEN_MAX || token.starts_with(PUBLISHABLE_KEY_PREFIX) {
        return Err(Problem::unauthorized(
            "A publishable key cannot be used here: it only identifies an agent to the widget.",
        ));
    }
    let mut parts = token[SECRET_KEY_PREFIX.len()..].splitn(3, '_');
    let (Some(tenant), Some(id), Some(secret)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(wrong());
    };
    let (tenant, id) = (TenantId::from(tenant), ApiKeyId::from(id));
    let good = app.actors.check_key(&tenant, &id, &tokens::hash_secret(secret)).await?.ok_or_else(wrong)?;
    let actor = Actor::ApiKey { id, role: good.role, agent: good.agent };
    Ok(Console { by: Principal { tenant, actor }, session: None })
}

/// The bearer token of a request.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    authorization(headers, "Bearer")
}

/// The visitor token of a request.
pub fn visitor_token(headers: &HeaderMap) -> Option<&str> {
    authorization(headers, "Visitor")
}

/// The value of a cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (given, token) = value.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then_some(token.trim())
}

/// One string per principal, for limits and idempotency scopes.
pub fn who(by: &Principal) -> String {
    match &by.actor {
        Actor::User { id, .. } => format!("{}/u/{id}", by.tenant),
        Actor::ApiKey { id, .. } => format!("{}/k/{id}", by.tenant),
        Actor::Visitor { id, agent } => format!("{}/v/{agent}/{id}", by.tenant),
        Actor::Platform { id } => format!("platform/{id}"),
        Actor::System => format!("{}/system", by.tenant),
    }
}
