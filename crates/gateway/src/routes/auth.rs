//! `/api/auth/*`: signing up, in and out. Wrong passwords and unknown addresses are told apart by nothing, not even time.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use colloquy_actors::domain::ids::TenantId;
use colloquy_wire::accounts as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts;
use crate::app::App;
use crate::auth::{Address, Console};
use crate::body::{Json, OptionalJson};
use crate::problem::Result;

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
    let session = accounts::sign_up(&app, from, &headers, body).await?;
    Ok(signed_in(&app, StatusCode::CREATED, &session))
}

/// Sign in with a password.
#[utoipa::path(post, path = "/api/auth/login", tag = "auth", request_body = wire::Login, responses((status = 200, body = wire::Session)))]
async fn log_in(
    State(app): State<App>,
    Address(from): Address,
    headers: HeaderMap,
    Json(body): Json<wire::Login>,
) -> Result<Response> {
    let session = accounts::log_in(&app, from, &headers, body).await?;
    Ok(signed_in(&app, StatusCode::OK, &session))
}

/// Exchange a refresh token for a new pair. Each works once.
#[utoipa::path(post, path = "/api/auth/refresh", tag = "auth", request_body = wire::RefreshRequest, responses((status = 200, body = wire::Session)))]
async fn refresh(
    State(app): State<App>,
    Address(from): Address,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<wire::RefreshRequest>,
) -> Result<Response> {
    let session = accounts::refresh(&app, from, &headers, body.refresh_token.as_deref()).await?;
    Ok(signed_in(&app, StatusCode::OK, &session))
}

/// End the session.
#[utoipa::path(post, path = "/api/auth/logout", tag = "auth", request_body = wire::RefreshRequest, responses((status = 204)))]
async fn log_out(
    State(app): State<App>,
    Address(from): Address,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<wire::RefreshRequest>,
) -> Result<Response> {
    accounts::log_out(&app, from, &headers, body.refresh_token.as_deref()).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    accounts::clear_session(&app, response.headers_mut());
    Ok(response)
}

/// Ask for a mail with a link to set a new password. The answer is the same whether or not the address is known.
#[utoipa::path(post, path = "/api/auth/forgot-password", tag = "auth", request_body = wire::EmailOnly, responses((status = 202)))]
async fn forgot_password(
    State(app): State<App>,
    Address(from): Address,
    Json(body): Json<wire::EmailOnly>,
) -> Result<StatusCode> {
    accounts::mail_reset(&app, from, &body.email)?;
    Ok(StatusCode::ACCEPTED)
}

/// Ask for a mail with a link that signs in. The answer is the same whether or not the address is known.
#[utoipa::path(post, path = "/api/auth/magic-link", tag = "auth", request_body = wire::EmailOnly, responses((status = 202)))]
async fn magic_link(
    State(app): State<App>,
    Address(from): Address,
    Json(body): Json<wire::EmailOnly>,
) -> Result<StatusCode> {
    accounts::mail_magic(&app, from, &body.email)?;
    Ok(StatusCode::ACCEPTED)
}

/// Set a new password with the token of a mail; all sessions end.
#[utoipa::path(post, path = "/api/auth/reset-password", tag = "auth", request_body = wire::ResetPassword, responses((status = 204)))]
async fn reset_password(
    State(app): State<App>,
    Address(from): Address,
    Json(body): Json<wire::ResetPassword>,
) -> Result<StatusCode> {
    accounts::reset_password(&app, from, body).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Follow a sign-in link: sets the session's cookies and goes to the console. With `Accept: application/json` it answers the session instead; a browser is asked first, on `/magic-link`.
#[utoipa::path(get, path = "/api/auth/magic/{token}", tag = "auth", params(("token" = String, Path)), responses((status = 303), (status = 200, body = wire::Session)))]
async fn follow_magic_link(
    State(app): State<App>,
    Address(from): Address,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let accepts =
        |kind: &str| headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains(kind));
    let wants_json = accepts("application/json");
    let plain = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
    // Every browser names its purpose; what a page loads by itself (an image, a frame) must not sign anybody in.
    let by_browser = headers.contains_key("sec-fetch-mode");
    let looks_like_one = !wants_json && (accepts("text/html") || accepts("image/"));
    if (by_browser || looks_like_one) && plain {
        // A browser, or a mail scanner that looks like one: the link is used up by a person's click only.
        return Ok(Redirect::to(&format!("/magic-link?token={token}")).into_response());
    }
    let session = accounts::follow_magic(&app, from, &headers, &token).await?;
    if wants_json {
        return Ok(signed_in(&app, StatusCode::OK, &session));
    }
    let mut redirect = Redirect::to("/app").into_response();
    accounts::set_session(&app, redirect.headers_mut(), &session);
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
    let session = accounts::switch(&app, &user, family, TenantId(body.organization_id)).await?;
    let mut response = Json(&session).into_response();
    accounts::set_access(&app, response.headers_mut(), &session);
    Ok(response)
}

fn signed_in(app: &App, status: StatusCode, session: &wire::Session) -> Response {
    let mut response = (status, Json(session)).into_response();
    accounts::set_session(app, response.headers_mut(), session);
    response
}
