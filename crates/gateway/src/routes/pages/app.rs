//! `/app`: a small home of a signed-in person, with the organization's agents, newest conversations and newest leads.

use askama::Template;
use axum::Router;
use axum::extract::{FromRequestParts, OriginalUri, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use colloquy_actors::domain::agent::view::AgentRow;
use colloquy_actors::domain::conversation::view::ConversationRow;
use colloquy_actors::domain::ids::TenantId;
use colloquy_actors::domain::lead::LeadView;
use colloquy_actors::domain::local_time;
use colloquy_actors::domain::principal::Role;
use colloquy_actors::domain::vocabulary::{AgentStatus, ConversationStatus, LeadStatus, Urgency};
use colloquy_actors::{agent, conversation, feed, lead};
use colloquy_wire::agents as wire;
use colloquy_wire::common::ListQuery;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::account::{Page, renew, trades, trouble};
use super::forms::{Browser, Field, Form, Sent, encoded, next};
use super::{onward, private, status_of, with_status};
use crate::accounts::{self, account_of};
use crate::app::{App, AppState};
use crate::auth::{Console, SESSION_COOKIE, access_of_cookie, cookie, of_access, who};
use crate::body::Query;
use crate::listing;
use crate::problem::{Problem, Result};
use crate::routes::agents;
use crate::tokens::Access;

/// Conversations and leads on the home page: what fits without scrolling far.
const NEWEST: usize = 8;
/// Rows of a list's page.
const ROWS: usize = 50;
/// Agents shown: the most a list gives at once.
const AGENTS: usize = 200;

/// The routes of this file.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/app", get(home))
        .route("/app/", get(home))
        .route("/app/conversations", get(conversations))
        .route("/app/leads", get(leads))
        .route("/app/agents", post(make))
        .route("/app/switch", post(switch))
        // Whatever is not there is for nobody to see but people of the organization: others are asked to log in.
        .route("/app/{*rest}", get(nowhere))
}

/// Who looks at a page, by the access token of the cookie. One that has ended while the session goes on is renewed first.
pub(super) struct Seen(pub(super) Option<Access>);

impl FromRequestParts<App> for Seen {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, Response> {
        let access = access_of_cookie(app, &parts.headers);
        if access.is_none() && cookie(&parts.headers, SESSION_COOKIE).is_some() {
            return Err(renew(&parts.method, &asked_for(parts)));
        }
        Ok(Self(access))
    }
}

/// A member of an organization who looks at a page of it. Anybody else gets a page that says how to become one.
pub(super) struct Insider {
    /// Who asks, bound to a tenant.
    pub(super) console: Console,
    /// What every page of theirs shows.
    pub(super) chrome: Chrome,
    /// Their browser.
    pub(super) browser: Browser,
}

impl FromRequestParts<App> for Insider {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, Response> {
        let Seen(access) = Seen::from_request_parts(parts, app).await?;
        let browser = Browser::of(&parts.headers);
        let Some(access) = access else { return Err(signed_out(app, &browser, parts)) };
        let user = access.sub.clone();
        let console = match of_access(app, access).await {
            Ok(console) => console,
            Err(problem) if status_of(&problem) == StatusCode::UNAUTHORIZED => {
                return Err(belongs_nowhere(app, &browser, &user).await);
            }
            Err(problem) => return Err(trouble(app, &browser, &problem)),
        };
        let limit = app.limits.api.take(who(&console.by), app.now_ms()).map_err(Problem::too_many);
        let chrome = match limit {
            Ok(()) => Chrome::of(app, &console, &browser).await,
            Err(problem) => Err(problem),
        };
        match chrome {
            Ok(chrome) => Ok(Self { console, chrome, browser }),
            Err(problem) => Err(trouble(app, &browser, &problem)),
        }
    }
}

impl Insider {
    /// A page of theirs.
    pub(super) fn page<T: Template>(&self, app: &AppState, template: &T) -> Response {
        let mut response = private(StatusCode::OK, template);
        self.browser.remember(app, response.headers_mut());
        response
    }

    /// A page that says why there is nothing else to see.
    pub(super) fn problem(&self, app: &AppState, problem: &Problem) -> Response {
        let (title, words) = if status_of(problem) == StatusCode::NOT_FOUND {
            let words = "It does not exist, was erased, or belongs to another organization.";
            ("There is nothing here", words.to_owned())
        } else {
            ("This did not work", problem.body.detail.clone())
        };
        with_status(self.page(app, &Nothing { chrome: &self.chrome, title, words }), problem)
    }
}

/// What every page of a signed-in person shows, and how it shows times.
pub(super) struct Chrome {
    /// The organization's name.
    pub(super) organization: String,
    /// Its trade.
    pub(super) vertical: String,
    /// Its website.
    pub(super) website_url: String,
    /// The person's name.
    pub(super) person: String,
    /// The person's role.
    pub(super) role: String,
    /// The person's other organizations: id and name.
    pub(super) others: Vec<(String, String)>,
    /// The proof of the page's forms.
    pub(super) token: String,
    zone: TimeZone,
    zone_name: String,
}

impl Chrome {
    async fn of(app: &AppState, console: &Console, browser: &Browser) -> Result<Self> {
        let account = account_of(app, console.user()?).await?;
        let organization = app.actors.organization(console.tenant()).await?;
        let facts = &organization.facts;
        Ok(Self {
            organization: facts.name.clone(),
            vertical: word(&facts.vertical),
            website_url: facts.website_url.clone().unwrap_or_default(),
            person: account.user.name,
            role: console.by.role().map(|role| word(&role)).unwrap_or_default(),
            others: account
                .organizations
                .into_iter()
                .filter(|other| other.id != console.tenant().as_str())
                .map(|other| (other.id, other.name))
                .collect(),
            token: browser.token(app),
            zone: local_time::zone_or_utc(&facts.timezone),
            zone_name: facts.timezone.clone(),
        })
    }

    /// A time in the organization's zone.
    pub(super) fn when(&self, at: &str) -> String {
        match at.parse::<jiff::Timestamp>() {
            Ok(time) => time.to_zoned(self.zone.clone()).strftime("%b %-d, %Y, %H:%M").to_string(),
            Err(_) => at.to_owned(),
        }
    }

    /// The organization's zone.
    pub(super) fn zone(&self) -> &str {
        &self.zone_name
    }
}

#[derive(Template)]
#[template(path = "app/nothing.html")]
struct Nothing<'a> {
    chrome: &'a Chrome,
    title: &'a str,
    words: String,
}

#[derive(Template)]
#[template(path = "app/home.html")]
struct Home<'a> {
    chrome: &'a Chrome,
    agents: Vec<AgentCard>,
    talks: Vec<ConversationRow>,
    leads: Vec<LeadView>,
    make: Option<Form>,
}

#[derive(Template)]
#[template(path = "app/list.html")]
struct List<'a> {
    chrome: &'a Chrome,
    title: &'a str,
    talks: Vec<ConversationRow>,
    leads: Vec<LeadView>,
    older: String,
}

/// An agent on the home page.
struct AgentCard {
    id: String,
    name: String,
    trade: String,
    website: String,
    state: &'static str,
    tone: &'static str,
    reason: String,
    conversations: i64,
    live: bool,
    embed: String,
}

#[derive(Debug, Default, Deserialize)]
struct After {
    cursor: Option<String>,
}

async fn home(State(app): State<App>, insider: Insider) -> Response {
    let form = make_form(&app, &insider);
    show_home(&app, &insider, form).await
}

async fn show_home(app: &App, insider: &Insider, make: Option<Form>) -> Response {
    match home_of(app, insider, make).await {
        Ok(home) => insider.page(app, &home),
        Err(problem) => insider.problem(app, &problem),
    }
}

async fn home_of<'a>(app: &App, insider: &'a Insider, make: Option<Form>) -> Result<Home<'a>> {
    let tenant = insider.console.tenant();
    let (made, _) = rows::<AgentRow>(app, tenant, agent::LIST, AGENTS, None).await?;
    let totals = feed::totals(&app.actors.client, tenant)
        .await
        .map_err(|error| Problem::unavailable("unavailable", error, 1))?;
    let agents = made
        .into_iter()
        .map(|row| {
            let (state, tone) = standing(row.status);
            AgentCard {
                embed: format!("<script async src=\"{}/widget/{}.js\"></script>", app.settings.widget_url, row.id),
                conversations: totals.get(row.id.as_str()).map_or(0, |counted| counted.conversations),
                id: row.id.0,
                name: row.name,
                trade: word(&row.vertical),
                website: row.website_url.unwrap_or_default(),
                state,
                tone,
                reason: row.status_reason.unwrap_or_default(),
                live: row.status == AgentStatus::Active,
            }
        })
        .collect();
    let (talks, _) = rows(app, tenant, conversation::LIST, NEWEST, None).await?;
    let (leads, _) = rows(app, tenant, lead::LIST, NEWEST, None).await?;
    Ok(Home { chrome: &insider.chrome, agents, talks, leads, make })
}

async fn conversations(State(app): State<App>, insider: Insider, Query(after): Query<After>) -> Response {
    match rows(&app, insider.console.tenant(), conversation::LIST, ROWS, after.cursor).await {
        Ok((talks, cursor)) => {
            let older =
                cursor.map(|cursor| format!("/app/conversations?cursor={}", encoded(&cursor))).unwrap_or_default();
            let list = List { chrome: &insider.chrome, title: "Conversations", talks, leads: Vec::new(), older };
            insider.page(&app, &list)
        }
        Err(problem) => insider.problem(&app, &problem),
    }
}

async fn leads(State(app): State<App>, insider: Insider, Query(after): Query<After>) -> Response {
    match rows(&app, insider.console.tenant(), lead::LIST, ROWS, after.cursor).await {
        Ok((leads, cursor)) => {
            let older = cursor.map(|cursor| format!("/app/leads?cursor={}", encoded(&cursor))).unwrap_or_default();
            let list = List { chrome: &insider.chrome, title: "Leads", talks: Vec::new(), leads, older };
            insider.page(&app, &list)
        }
        Err(problem) => insider.problem(&app, &problem),
    }
}

/// The newest rows of a list, as the JSON calls give them; forks that somebody tries things out in are left out.
async fn rows<T: DeserializeOwned>(
    app: &AppState,
    tenant: &TenantId,
    list: &str,
    limit: usize,
    cursor: Option<String>,
) -> Result<(Vec<T>, Option<String>)> {
    let query = ListQuery { limit: Some(limit), cursor };
    let listing::Page { items: rows, next: cursor, .. } =
        listing::page(app, tenant.as_str(), list, &query, None, None, |row| row["sandbox"] != true).await?;
    let read = rows.into_iter().filter_map(|row| {
        serde_json::from_value(row).inspect_err(|error| tracing::warn!(list, %error, "a row could not be shown")).ok()
    });
    Ok((read.collect(), cursor))
}

fn make_form(app: &AppState, insider: &Insider) -> Option<Form> {
    let chrome = &insider.chrome;
    insider.console.by.at_least(Role::Manager).then(|| {
        Form::new("/app/agents", "Create receptionist", &chrome.token)
            .field(Field::new("text", "business_name", "Business name", "organization").holding(&chrome.organization))
            .field(Field::new("select", "vertical", "Trade", "off").holding(&chrome.vertical).groups(trades(app)))
            .field(
                Field::new("url", "website_url", "Website", "url")
                    .optional()
                    .holding(&chrome.website_url)
                    .hint("It reads the site and answers from it. Without one it takes messages and leads."),
            )
    })
}

async fn make(State(app): State<App>, insider: Insider, headers: HeaderMap, sent: Sent) -> Response {
    let outcome = async {
        insider.browser.check(&app, &headers, &sent)?;
        let name = sent.text("business_name");
        if name.is_empty() {
            return Err(Problem::field("business_name", "must not be empty"));
        }
        let body = wire::NewAgent {
            template_id: None,
            vertical: sent.given("vertical"),
            website_url: sent.given("website_url"),
            status: None,
            variables: Some([("business_name".to_owned(), name.to_owned())].into()),
            fields: serde_json::Map::new(),
        };
        agents::make(&app, &insider.console, body).await
    };
    match outcome.await {
        Ok(_) => onward("/app"),
        Err(problem) => {
            let form = make_form(&app, &insider).map(|form| form.filled(&sent).refused(&problem));
            if form.is_none() {
                return insider.problem(&app, &problem);
            }
            with_status(show_home(&app, &insider, form).await, &problem)
        }
    }
}

async fn switch(State(app): State<App>, Seen(access): Seen, headers: HeaderMap, sent: Sent) -> Response {
    let browser = Browser::of(&headers);
    let Some(access) = access else { return onward("/app") };
    let outcome = async {
        browser.check(&app, &headers, &sent)?;
        accounts::switch(&app, &access.sub, access.sid, sent.text("organization_id").into()).await
    };
    match outcome.await {
        Ok(session) => {
            let mut response = onward(next(sent.text("next")));
            accounts::set_access(&app, response.headers_mut(), &session);
            response
        }
        Err(problem) => trouble(&app, &browser, &problem),
    }
}

async fn nowhere(State(app): State<App>, insider: Insider) -> Response {
    insider.problem(&app, &Problem::not_found("page"))
}

/// Said to whoever is not signed in; whoever asks for a page gets 200, a form that cannot be carried out does not.
fn signed_out(app: &AppState, browser: &Browser, parts: &Parts) -> Response {
    let to = asked_for(parts);
    let page = Page::new("You are not logged in")
        .words("Log in to see your agents, conversations and leads.")
        .link("Log in", format!("/login?next={}", encoded(next(&to))))
        .link("New here? Sign up", "/signup");
    let mut response = page.to(app, browser);
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
}

/// Said to a signed-in person who is no member of the organization the session is for.
async fn belongs_nowhere(app: &AppState, browser: &Browser, user: &colloquy_actors::domain::ids::UserId) -> Response {
    let account = match account_of(app, user).await {
        Ok(account) => account,
        Err(problem) => return trouble(app, browser, &problem),
    };
    let token = browser.token(app);
    let page = Page::new("No organization").words(format!(
        "You are logged in as {}, but do not belong to this organization any more. To join one, open the link of an invitation.",
        account.user.email
    ));
    account
        .organizations
        .into_iter()
        .fold(page, |page, other| {
            let form = Form::new("/app/switch", "Go to it", &token).hidden("organization_id", other.id).minor();
            page.words(format!("You belong to {}.", other.name)).form(form)
        })
        .form(Form::new("/logout", "Log out", &token).minor())
        .to(app, browser)
}

/// The path and query of a request.
fn asked_for(parts: &Parts) -> String {
    let uri: &Uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
    uri.path_and_query().map_or("/app", |path| path.as_str()).to_owned()
}

/// The words and the tone of an agent's state.
fn standing(status: AgentStatus) -> (&'static str, &'static str) {
    match status {
        AgentStatus::Draft => ("Draft", "quiet"),
        AgentStatus::Training => ("Reading the website", "warn"),
        AgentStatus::Active => ("Live", "ok"),
        AgentStatus::Paused => ("Paused", "quiet"),
        AgentStatus::Error => ("Cannot answer", "bad"),
    }
}

/// The words and the tone of where a conversation stands; `taken` says that a person has the floor.
pub(super) fn talk_state(status: &ConversationStatus, urgency: &Urgency, taken: bool) -> (&'static str, &'static str) {
    match (status, urgency, taken) {
        (ConversationStatus::Escalated, Urgency::Emergency, true) => ("Emergency, with a person", "warn"),
        (ConversationStatus::Escalated, Urgency::Emergency, false) => ("Emergency", "bad"),
        (ConversationStatus::Escalated | ConversationStatus::Active, _, true) => ("With a person", "ok"),
        (ConversationStatus::Escalated, Urgency::Low | Urgency::Normal | Urgency::High, false) => {
            ("Needs a person", "warn")
        }
        (ConversationStatus::Active, _, false) => ("Active", "ok"),
        (ConversationStatus::Resolved, _, _) => ("Resolved", "quiet"),
        (ConversationStatus::Abandoned, _, _) => ("Left", "quiet"),
    }
}

/// The words and the tone of where a lead stands.
pub(super) fn lead_state(status: &LeadStatus) -> (&'static str, &'static str) {
    match status {
        LeadStatus::New => ("New", "ok"),
        LeadStatus::Contacted => ("Contacted", "quiet"),
        LeadStatus::Qualified => ("Qualified", "ok"),
        LeadStatus::Converted => ("Converted", "ok"),
        LeadStatus::Lost => ("Lost", "quiet"),
    }
}

/// The word of an enumeration as JSON has it.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    json!(value).as_str().unwrap_or_default().to_owned()
}

/// `home_services` for people: `Home services`.
pub(super) fn plain(word: &str) -> String {
    let text = word.replace(['_', '.'], " ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A link from somebody else's text, if it is one to a website: `javascript:` and the like are none.
pub(super) fn website(url: &str) -> Option<&str> {
    let scheme = url.split_once("://")?.0;
    (scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_websites_are_linked() {
        assert_eq!(website("https://oak.example/a"), Some("https://oak.example/a"));
        for evil in
            ["javascript:alert(1)", "javascript://x%0aalert(1)", "data:text/html,x", "//evil.example", " http://x"]
        {
            assert_eq!(website(evil), None, "{evil}");
        }
    }

    #[test]
    fn words_of_the_contract_read_like_words() {
        assert_eq!(plain("home_services"), "Home services");
        assert_eq!(plain(""), "");
    }
}
