//! `/signup?invitation=…`, where the mail of an invitation leads: join with an account, join as somebody new, or decline (AUTH-12).

use std::net::IpAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::routing::post;

use super::account::{Page, new_password, person, renew, trouble, welcome};
use super::app::{Seen, word};
use super::forms::{Browser, Field, Form, Sent, encoded};
use super::{onward, with_status, without_referrer};
use crate::accounts::{self, Invited, account_of};
use crate::app::App;
use crate::audit;
use crate::auth::{Address, SESSION_COOKIE, access_of_cookie, cookie};
use crate::problem::{Problem, Result};

/// The routes of this file; the page itself is `/signup`.
pub(super) fn routes() -> Router<App> {
    Router::new().route("/signup/accept", post(accept)).route("/signup/decline", post(decline))
}

/// The page of an invitation.
pub(super) async fn show(app: &App, from: IpAddr, headers: &HeaderMap, uri: &str, code: &str) -> Response {
    if access_of_cookie(app, headers).is_none() && cookie(headers, SESSION_COOKIE).is_some() {
        return without_referrer(renew(&Method::GET, uri));
    }
    let browser = Browser::of(headers);
    if let Err(wait) = app.limits.login_address.take(from, app.now_ms()) {
        return without_referrer(trouble(app, &browser, &Problem::too_many(wait)));
    }
    without_referrer(match page(app, headers, &browser, code).await {
        Ok(page) => page.to(app, &browser),
        Err(problem) => void(app, &browser, &problem),
    })
}

/// Signs up with the code of an invitation.
pub(super) async fn sign_up(app: &App, from: IpAddr, headers: &HeaderMap, sent: &Sent, code: String) -> Response {
    let browser = Browser::of(headers);
    let outcome = async {
        browser.check(app, headers, sent)?;
        accounts::sign_up(app, from, headers, person(sent, None, Some(code.clone()))).await
    };
    let problem = match outcome.await {
        Ok(session) => return welcome(app, &session, "/app"),
        Err(problem) => problem,
    };
    without_referrer(match accounts::show_invitation(app, &code).await {
        Ok(invited) => {
            let form = newcomer(app, &browser, &invited, &code).filled(sent).refused(&problem);
            let page = said(&invited).form(form).form(refusal(app, &browser, &code));
            with_status(page.to(app, &browser), &problem)
        }
        Err(gone) => void(app, &browser, &gone),
    })
}

async fn accept(
    State(app): State<App>,
    Address(from): Address,
    Seen(access): Seen,
    headers: HeaderMap,
    sent: Sent,
) -> Response {
    let browser = Browser::of(&headers);
    let code = sent.text("code");
    let Some(access) = access else { return onward(&format!("/signup?invitation={}", encoded(code))) };
    let outcome = async {
        browser.check(&app, &headers, &sent)?;
        app.limits.login_address.take(from, app.now_ms()).map_err(Problem::too_many)?;
        let (organization, _) = accounts::accept(&app, &access.sub, code).await?;
        audit::person(&app, from, &organization, &access.sub, "invitation.accept").await;
        accounts::switch(&app, &access.sub, access.sid, organization).await
    };
    match outcome.await {
        Ok(session) => {
            let mut response = onward("/app");
            accounts::set_access(&app, response.headers_mut(), &session);
            response
        }
        Err(problem) => without_referrer(void(&app, &browser, &problem)),
    }
}

async fn decline(State(app): State<App>, Address(from): Address, headers: HeaderMap, sent: Sent) -> Response {
    let browser = Browser::of(&headers);
    let outcome = async {
        browser.check(&app, &headers, &sent)?;
        app.limits.login_address.take(from, app.now_ms()).map_err(Problem::too_many)?;
        accounts::decline(&app, sent.text("code")).await
    };
    match outcome.await {
        Ok(()) => Page::new("Invitation declined")
            .words("You will hear no more of it.")
            .link("To the start", "/")
            .to(&app, &browser),
        Err(problem) => without_referrer(void(&app, &browser, &problem)),
    }
}

async fn page(app: &App, headers: &HeaderMap, browser: &Browser, code: &str) -> Result<Page> {
    let invited = accounts::show_invitation(app, code).await?;
    let page = said(&invited);
    let page = match access_of_cookie(app, headers) {
        Some(access) => {
            let own = account_of(app, &access.sub).await?.user.email;
            match invited.view.email.as_deref().filter(|wanted| *wanted != own) {
                Some(wanted) => page
                    .words(format!(
                        "It was sent to {wanted}, and you are logged in as {own}. Log out, then open the link again."
                    ))
                    .form(Form::new("/logout", "Log out", &browser.token(app))),
                None => page.words(format!("You are logged in as {own}.")).form(
                    Form::new("/signup/accept", "Accept the invitation", &browser.token(app)).hidden("code", code),
                ),
            }
        }
        None => {
            let after = encoded(&format!("/signup?invitation={code}"));
            page.form(newcomer(app, browser, &invited, code))
                .link("Already have an account? Log in to accept", format!("/login?next={after}"))
        }
    };
    Ok(page.form(refusal(app, browser, code)))
}

fn said(invited: &Invited) -> Page {
    let view = &invited.view;
    Page::new(format!("Join {}", view.organization_name)).words(format!(
        "You are invited to work with {} as {}.",
        view.organization_name,
        word(&view.role)
    ))
}

fn newcomer(app: &App, browser: &Browser, invited: &Invited, code: &str) -> Form {
    Form::new("/signup", "Sign up and join", &browser.token(app))
        .hidden("invitation_code", code)
        .field(Field::new("text", "name", "Your name", "name"))
        .field(Field::new("email", "email", "E-mail", "email").holding(invited.view.email.clone().unwrap_or_default()))
        .field(new_password("Password"))
}

fn refusal(app: &App, browser: &Browser, code: &str) -> Form {
    Form::new("/signup/decline", "Decline", &browser.token(app)).hidden("code", code).minor()
}

/// Said of an invitation that leads nowhere.
fn void(app: &App, browser: &Browser, problem: &Problem) -> Response {
    let words = if problem.body.errors.iter().any(|error| error.field == "invitation_code") {
        "This invitation has been used, taken back or is too old. Ask for a new one.".to_owned()
    } else {
        problem.body.detail.clone()
    };
    let page = Page::new("This invitation cannot be accepted").words(words).link("To your organizations", "/app");
    with_status(page.to(app, browser), problem)
}
