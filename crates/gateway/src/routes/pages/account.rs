//! `/login`, `/signup`, `/forgot-password`, `/reset-password`, `/magic-link`, `/logout`: the forms of an account.

use std::net::IpAddr;

use askama::Template;
use axum::Router;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use colloquy_actors::domain::{check, local_time};
use colloquy_wire::accounts as wire;
use serde::Deserialize;

use super::app::Seen;
use super::forms::{Browser, Field, Form, Group, Sent, encoded, next};
use super::{invitation, onward, private, with_own_scripts, with_status, without_referrer, zone_href};
use crate::accounts;
use crate::app::{App, AppState};
use crate::auth::{Address, access_of_cookie};
use crate::body::Query;
use crate::problem::{Problem, Result};
use crate::routes::dev::reads_mailbox;

/// Where a session is renewed: below the path that the refresh token is sent to.
const RESUME: &str = "/api/auth/resume";
/// Regions of the zones a business can be in; the rest of the table are old names.
const REGIONS: [&str; 10] =
    ["Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"];

/// The routes of this file.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/login", get(login).post(log_in))
        .route("/signup", get(signup).post(sign_up))
        .route("/forgot-password", get(forgot).post(mail_reset))
        .route("/reset-password", get(reset).post(set_password))
        .route("/magic-link", get(magic).post(magic_asked))
        .route("/logout", get(logout).post(log_out))
        .route(RESUME, get(resume).post(resume_form))
}

/// A page with some words, forms and links.
#[derive(Template, Default)]
#[template(path = "account.html")]
pub(super) struct Page {
    /// Its title and heading.
    pub(super) title: String,
    /// Sentences below it.
    pub(super) words: Vec<String>,
    /// Good news.
    pub(super) notice: &'static str,
    /// Its forms.
    pub(super) forms: Vec<Form>,
    /// Where else to go: words and address.
    pub(super) links: Vec<(&'static str, String)>,
    /// The address of its script; empty for none.
    script: &'static str,
}

impl Page {
    /// A page with a title.
    pub(super) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// With a sentence.
    pub(super) fn words(mut self, words: impl Into<String>) -> Self {
        self.words.push(words.into());
        self
    }

    /// With good news.
    fn notice(mut self, notice: &'static str) -> Self {
        self.notice = notice;
        self
    }

    /// With the word that a mail was sent: to the development mailbox, where that is the sender and this browser may read it.
    fn mailed(self, app: &AppState, client: IpAddr, headers: &HeaderMap) -> Self {
        if reads_mailbox(app, client, headers) {
            self.notice(RECORDED).link("Open the development mailbox", "/dev/mailbox")
        } else if app.settings.mail_recorded {
            self.notice(RECORDED_ELSEWHERE)
        } else {
            self.notice(MAILED)
        }
    }

    /// With a form.
    pub(super) fn form(mut self, form: Form) -> Self {
        self.forms.push(form);
        self
    }

    /// With a link.
    pub(super) fn link(mut self, words: &'static str, to: impl Into<String>) -> Self {
        self.links.push((words, to.into()));
        self
    }

    /// Sent to this browser.
    pub(super) fn to(&self, app: &AppState, browser: &Browser) -> Response {
        let mut response = private(StatusCode::OK, self);
        browser.remember(app, response.headers_mut());
        response
    }
}

/// The path a person without a good access token is sent to, to come back with a new one.
pub(super) fn renew(method: &Method, uri: &str) -> Response {
    let to = format!("{RESUME}?next={}", encoded(next(uri)));
    let mut response = if matches!(*method, Method::GET | Method::HEAD) {
        onward(&to)
    } else {
        // What was typed goes along: 307 repeats the form with its fields.
        Redirect::temporary(&to).into_response()
    };
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    next: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    invitation: String,
    #[serde(default)]
    done: String,
}

async fn login(State(app): State<App>, headers: HeaderMap, Query(asked): Query<Asked>) -> Response {
    if access_of_cookie(&app, &headers).is_some() {
        return onward(next(&asked.next));
    }
    let browser = Browser::of(&headers);
    let page = login_page(login_form(&browser.token(&app), &asked.next), &asked.next);
    match asked.done.as_str() {
        "password" => page.notice("Your new password is set, and every session has ended. Log in with it."),
        "logout" => page.notice("You are logged out."),
        _ => page,
    }
    .to(&app, &browser)
}

fn login_page(form: Form, wanted: &str) -> Page {
    let after = if wanted.is_empty() { String::new() } else { format!("?next={}", encoded(next(wanted))) };
    // Whoever comes from an invitation signs up there, not with an organization of their own.
    let signup = if next(wanted).starts_with("/signup?") { next(wanted).to_owned() } else { "/signup".to_owned() };
    Page::new("Log in")
        .form(form)
        .link("Forgot your password?", "/forgot-password")
        .link("Log in by a link in a mail instead", format!("/magic-link{after}"))
        .link("New here? Sign up", signup)
}

fn login_form(token: &str, wanted: &str) -> Form {
    Form::new("/login", "Log in", token)
        .hidden("next", next(wanted))
        .field(Field::new("email", "email", "E-mail", "username"))
        .field(Field::new("password", "password", "Password", "current-password"))
}

async fn log_in(State(app): State<App>, Address(from): Address, headers: HeaderMap, sent: Sent) -> Response {
    let browser = Browser::of(&headers);
    let outcome = async {
        browser.check(&app, &headers, &sent)?;
        let body = wire::Login { email: sent.text("email").to_owned(), password: sent.exact("password") };
        accounts::log_in(&app, from, &headers, body).await
    };
    match outcome.await {
        Ok(session) => welcome(&app, &session, sent.text("next")),
        Err(problem) => {
            let form = login_form(&browser.token(&app), sent.text("next")).filled(&sent).refused(&problem);
            with_status(login_page(form, sent.text("next")).to(&app, &browser), &problem)
        }
    }
}

async fn signup(
    State(app): State<App>,
    Address(from): Address,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    if !asked.invitation.is_empty() {
        return invitation::show(&app, from, &headers, &uri.to_string(), &asked.invitation).await;
    }
    if access_of_cookie(&app, &headers).is_some() {
        return onward("/app");
    }
    let browser = Browser::of(&headers);
    match closed(&app).await {
        Ok(false) => {
            let mut page = signup_page(signup_form(&app, &browser));
            // Only before anything was chosen: a form that comes back keeps the zone it was sent with.
            page.script = zone_href();
            with_own_scripts(page.to(&app, &browser))
        }
        Ok(true) => Page::new("Sign-up is closed")
            .words("This installation serves one organization. Ask one of its admins for an invitation.")
            .link("Log in", "/login")
            .to(&app, &browser),
        Err(problem) => trouble(&app, &browser, &problem),
    }
}

/// Whether only invited people may sign up.
async fn closed(app: &AppState) -> Result<bool> {
    Ok(app.settings.single_tenant && app.actors.has_tenants().await?)
}

fn signup_page(form: Form) -> Page {
    Page::new("Sign up")
        .words("A receptionist for your website: it reads your site, answers visitors, takes down leads and calls you when a person is needed.")
        .form(form)
        .link("Already have an account? Log in", "/login")
}

fn signup_form(app: &AppState, browser: &Browser) -> Form {
    Form::new("/signup", "Create account", &browser.token(app))
        .field(Field::new("text", "organization_name", "Organization", "organization"))
        .field(Field::new("select", "organization_vertical", "Trade", "off").holding("custom").groups(trades(app)))
        .field(
            // Not an input of type `url`: a browser would refuse an address without its scheme before we could add it.
            Field::new("text", "organization_website_url", "Website", "url")
                .optional()
                .hint("Such as example.com. Your receptionist can learn from it."),
        )
        .field(
            Field::new("select", "organization_timezone", "Time zone", "off")
                .holding(local_time::DEFAULT_TIMEZONE)
                .groups(zones()),
        )
        .field(Field::new("text", "name", "Your name", "name"))
        .field(Field::new("email", "email", "E-mail", "email"))
        .field(new_password("Password"))
}

/// An input for a password that is chosen now.
pub(super) fn new_password(label: &'static str) -> Field {
    Field::new("password", "password", label, "new-password")
        .hint("At least 10 characters. A few unrelated words are easy to remember and hard to guess.")
}

/// The trades of the catalog that are offered.
pub(super) fn trades(app: &AppState) -> Vec<Group> {
    let templates = app.actors.tools.catalog.templates.values().filter(|template| {
        template.is_active
            && app.actors.tools.catalog.receptionist(template.vertical).is_some_and(|own| own.id == template.id)
    });
    let mut choices: Vec<(String, String)> =
        templates.map(|template| (super::app::word(&template.vertical), template.name.clone())).collect();
    // What fits everybody stands last.
    choices.sort_by_key(|(id, name)| (id == "custom", name.clone()));
    vec![Group { label: String::new(), choices }]
}

fn zones() -> Vec<Group> {
    let names = local_time::zone_names();
    let mut groups: Vec<Group> = REGIONS
        .iter()
        .map(|region| Group {
            label: (*region).to_owned(),
            choices: names
                .iter()
                .filter(|name| name.strip_prefix(region).is_some_and(|rest| rest.starts_with('/')))
                .map(|name| (name.clone(), name.replace('_', " ")))
                .collect(),
        })
        .collect();
    groups.push(Group { label: "Other".to_owned(), choices: vec![("UTC".to_owned(), "UTC".to_owned())] });
    groups
}

async fn sign_up(State(app): State<App>, Address(from): Address, headers: HeaderMap, sent: Sent) -> Response {
    if let Some(code) = sent.given("invitation_code") {
        return invitation::sign_up(&app, from, &headers, &sent, code).await;
    }
    let browser = Browser::of(&headers);
    let outcome = async {
        browser.check(&app, &headers, &sent)?;
        let organization = wire::NewOrganization {
            name: sent.text("organization_name").to_owned(),
            vertical: sent.given("organization_vertical"),
            website_url: sent.given("organization_website_url").map(with_scheme),
            timezone: sent.given("organization_timezone"),
        };
        let body = person(&sent, Some(organization), None);
        accounts::sign_up(&app, from, &headers, body).await
    };
    match outcome.await {
        Ok(session) => welcome(&app, &session, "/app"),
        Err(problem) => {
            let form = signup_form(&app, &browser).filled(&sent).refused(&problem);
            with_status(signup_page(form).to(&app, &browser), &problem)
        }
    }
}

/// A website's address as people write it, without a scheme, is one of today's web.
fn with_scheme(typed: String) -> String {
    if typed.contains("://") { typed } else { format!("https://{typed}") }
}

/// Who signs up, as typed.
pub(super) fn person(
    sent: &Sent,
    organization: Option<wire::NewOrganization>,
    invitation_code: Option<String>,
) -> wire::Signup {
    wire::Signup {
        email: sent.text("email").to_owned(),
        password: sent.exact("password"),
        name: sent.text("name").to_owned(),
        organization,
        invitation_code,
    }
}

async fn forgot(
    State(app): State<App>,
    Address(from): Address,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    let browser = Browser::of(&headers);
    let page = forgot_page(forgot_form(&browser.token(&app)));
    if asked.done.is_empty() { page } else { page.mailed(&app, from, &headers) }.to(&app, &browser)
}

/// Said whether or not the address is known.
const MAILED: &str = "If this address has an account, a mail with a link is on its way. Look into the spam folder too.";

/// The same where no mail leaves this machine.
const RECORDED: &str = "If this address has an account, a mail with a link was recorded. It is not sent: this server has no mail server yet. Read it in the development mailbox.";

/// The same to whoever does not sit at the server's machine.
const RECORDED_ELSEWHERE: &str = "If this address has an account, a mail with a link was recorded. It is not sent: this server has no mail server yet. Ask whoever runs it for the link, or to set one up (mail.kind = \"smtp\").";

fn forgot_page(form: Form) -> Page {
    Page::new("Forgot your password?")
        .words("We mail you a link to choose a new one.")
        .form(form)
        .link("Log in by a link in a mail instead", "/magic-link")
        .link("Back to log in", "/login")
}

fn forgot_form(token: &str) -> Form {
    Form::new("/forgot-password", "Mail me a link", token).field(Field::new("email", "email", "E-mail", "username"))
}

async fn mail_reset(State(app): State<App>, Address(from): Address, headers: HeaderMap, sent: Sent) -> Response {
    let browser = Browser::of(&headers);
    let outcome = browser
        .check(&app, &headers, &sent)
        .and_then(|()| address_of(&sent))
        .and_then(|email| accounts::mail_reset(&app, from, &email));
    match outcome {
        Ok(()) => onward("/forgot-password?done=1"),
        Err(problem) => {
            let form = forgot_form(&browser.token(&app)).filled(&sent).refused(&problem);
            with_status(forgot_page(form).to(&app, &browser), &problem)
        }
    }
}

fn address_of(sent: &Sent) -> Result<String> {
    let email = check::normal_email(sent.text("email"));
    if check::is_email(&email) { Ok(email) } else { Err(Problem::field("email", "must be an e-mail address")) }
}

async fn reset(State(app): State<App>, headers: HeaderMap, Query(asked): Query<Asked>) -> Response {
    let browser = Browser::of(&headers);
    let page = if asked.token.is_empty() {
        Page::new("Choose a new password")
            .words("This page is opened by the link in a mail. Ask for a new one if yours is incomplete or too old.")
            .link("Mail me a link", "/forgot-password")
    } else {
        reset_page(reset_form(&browser.token(&app), &asked.token))
    };
    without_referrer(page.to(&app, &browser))
}

fn reset_page(form: Form) -> Page {
    Page::new("Choose a new password")
        .words("All sessions end when you set it, on all your devices.")
        .form(form)
        .link("Mail me a new link", "/forgot-password")
        .link("Back to log in", "/login")
}

fn reset_form(token: &str, mailed: &str) -> Form {
    Form::new("/reset-password", "Set password", token).hidden("token", mailed).field(new_password("New password"))
}

async fn set_password(State(app): State<App>, Address(from): Address, headers: HeaderMap, sent: Sent) -> Response {
    let browser = Browser::of(&headers);
    let outcome = async {
        browser.check(&app, &headers, &sent)?;
        let body = wire::ResetPassword { token: sent.text("token").to_owned(), password: sent.exact("password") };
        accounts::reset_password(&app, from, body).await
    };
    match outcome.await {
        Ok(()) => {
            let mut response = onward("/login?done=password");
            // The session of this browser has ended with the others.
            accounts::clear_session(&app, response.headers_mut());
            response
        }
        Err(problem) => {
            let form = reset_form(&browser.token(&app), sent.text("token")).refused(&problem);
            without_referrer(with_status(reset_page(form).to(&app, &browser), &problem))
        }
    }
}

async fn magic(
    State(app): State<App>,
    Address(from): Address,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    let browser = Browser::of(&headers);
    let token = browser.token(&app);
    let page = if !asked.token.is_empty() {
        confirm_page(confirm_form(&token, &asked.token))
    } else if asked.done.is_empty() {
        magic_page(magic_form(&token))
    } else {
        magic_page(magic_form(&token)).mailed(&app, from, &headers)
    };
    without_referrer(page.to(&app, &browser))
}

fn magic_page(form: Form) -> Page {
    Page::new("Log in by mail")
        .words("We mail you a link that logs you in once, without a password.")
        .form(form)
        .link("Log in with your password", "/login")
}

fn magic_form(token: &str) -> Form {
    Form::new("/magic-link", "Mail me a link", token).field(Field::new("email", "email", "E-mail", "username"))
}

/// The page that the mail links to: a program that opens links in mails presses no button, so the link is still good afterwards.
fn confirm_page(form: Form) -> Page {
    Page::new("Log in to Colloquy")
        .words("You opened the link of our mail. Press the button to log in; the link works once.")
        .form(form)
        .link("Log in another way", "/login")
}

fn confirm_form(token: &str, mailed: &str) -> Form {
    Form::new("/magic-link", "Log in", token).hidden("token", mailed)
}

async fn magic_asked(State(app): State<App>, Address(from): Address, headers: HeaderMap, sent: Sent) -> Response {
    let browser = Browser::of(&headers);
    let token = browser.token(&app);
    let checked = browser.check(&app, &headers, &sent);
    let (problem, page) = if let Some(mailed) = sent.given("token") {
        let outcome = async {
            checked?;
            accounts::follow_magic(&app, from, &headers, &mailed).await
        };
        match outcome.await {
            Ok(session) => return welcome(&app, &session, "/app"),
            Err(problem) => {
                let form = confirm_form(&token, &mailed).refused(&problem);
                let page = confirm_page(form).link("Mail me a new link", "/magic-link");
                (problem, page)
            }
        }
    } else {
        match checked.and_then(|()| address_of(&sent)).and_then(|email| accounts::mail_magic(&app, from, &email)) {
            Ok(()) => return onward("/magic-link?done=1"),
            Err(problem) => {
                let page = magic_page(magic_form(&token).filled(&sent).refused(&problem));
                (problem, page)
            }
        }
    };
    without_referrer(with_status(page.to(&app, &browser), &problem))
}

async fn logout(State(app): State<App>, Seen(access): Seen, headers: HeaderMap) -> Response {
    if access.is_none() {
        return onward("/login");
    }
    let browser = Browser::of(&headers);
    Page::new("Log out?")
        .form(Form::new("/logout", "Log out", &browser.token(&app)))
        .link("Back", "/app")
        .to(&app, &browser)
}

async fn log_out(
    State(app): State<App>,
    Address(from): Address,
    Seen(access): Seen,
    headers: HeaderMap,
    sent: Sent,
) -> Response {
    let browser = Browser::of(&headers);
    let outcome = async {
        browser.check(&app, &headers, &sent)?;
        match access {
            Some(access) => accounts::end(&app, from, &access.sub, Some(&access.org), access.sid).await,
            None => Ok(()),
        }
    };
    match outcome.await {
        Ok(()) => {
            let mut response = onward("/login?done=logout");
            accounts::clear_session(&app, response.headers_mut());
            response
        }
        Err(problem) => trouble(&app, &browser, &problem),
    }
}

/// Renews a session and goes on. Below `/api/auth`, because only there the refresh token is sent. Another site that leads here renews the
/// session of whoever is signed in, and nothing else.
async fn resume(
    State(app): State<App>,
    Address(from): Address,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    renewed(&app, from, &headers, onward(next(&asked.next)), onward(next(&asked.next))).await
}

/// The same for a form, which is sent on with what was typed; the page it goes to checks where it came from.
async fn resume_form(
    State(app): State<App>,
    Address(from): Address,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
    _sent: Sent,
) -> Response {
    let to = next(&asked.next);
    renewed(&app, from, &headers, Redirect::temporary(to).into_response(), onward(to)).await
}

async fn renewed(
    app: &App,
    from: std::net::IpAddr,
    headers: &HeaderMap,
    mut onward: Response,
    mut ended: Response,
) -> Response {
    match accounts::refresh(app, from, headers, None).await {
        Ok(session) => {
            accounts::set_session(app, onward.headers_mut(), &session);
            onward
        }
        Err(problem) if problem.body.status == StatusCode::UNAUTHORIZED.as_u16() => {
            // Without the cookies the page says that nobody is signed in, instead of sending here again.
            accounts::clear_session(app, ended.headers_mut());
            ended
        }
        Err(problem) => trouble(app, &Browser::of(headers), &problem),
    }
}

/// Signed in: to the page that was wanted.
pub(super) fn welcome(app: &AppState, session: &wire::Session, wanted: &str) -> Response {
    let mut response = onward(next(wanted));
    accounts::set_session(app, response.headers_mut(), session);
    response
}

/// Where nothing is: a page to a browser, a problem to a program.
pub(crate) async fn nothing(State(app): State<App>, headers: HeaderMap) -> Response {
    let problem = Problem::not_found("page or call");
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    if !accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        return problem.into_response();
    }
    let page = Page::new("There is no such page")
        .words("It may have moved, or its address was not copied whole.")
        .link("Back to the start", "/");
    with_status(page.to(&app, &Browser::of(&headers)), &problem)
}

/// A page that only says what went wrong.
pub(super) fn trouble(app: &AppState, browser: &Browser, problem: &Problem) -> Response {
    let page = Page::new("This did not work").words(problem.body.detail.clone()).link("Back to the start", "/app");
    with_status(page.to(app, browser), problem)
}
