//! `/app/conversations/:id`, where alerts lead, and `/app/leads/:id`: what was said with its sources, and a person's part in it.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use colloquy_actors::domain::conversation::view::{self, ConversationView, MessageView};
use colloquy_actors::domain::conversation::{Command, Floor};
use colloquy_actors::domain::lead::LeadView;
use colloquy_actors::domain::principal::Role;
use colloquy_actors::domain::vocabulary::MessageRole;
use serde::Deserialize;

use super::app::{Chrome, Insider, lead_state, plain, talk_state, website, word};
use super::forms::{Sent, encoded};
use super::{onward, with_status};
use crate::accounts::fresh_id;
use crate::app::App;
use crate::body::Query;
use crate::problem::{Problem, Result};
use crate::routes::{conversations, leads};

/// The routes of this file.
pub(super) fn routes() -> Router<App> {
    Router::new().route("/app/conversations/{id}", get(talk).post(act)).route("/app/leads/{id}", get(lead))
}

#[derive(Template)]
#[template(path = "app/conversation.html")]
struct Talk<'a> {
    chrome: &'a Chrome,
    talk: ConversationView,
    state: (&'static str, &'static str),
    lines: Vec<Line>,
    earlier: String,
    facts: Vec<(String, String)>,
    /// Whether the person may write, and in which words the floor is held.
    may_act: bool,
    floor: String,
    assistant: bool,
    draft: Draft,
}

/// What somebody was about to say.
#[derive(Default)]
struct Draft {
    text: String,
    error: String,
    /// Sent twice, it is said once.
    id: String,
}

/// A message.
struct Line {
    who: String,
    side: &'static str,
    when: String,
    iso: String,
    text: String,
    sources: Vec<Source>,
}

/// What an answer is from.
struct Source {
    title: String,
    url: Option<String>,
}

#[derive(Template)]
#[template(path = "app/lead.html")]
struct Lead<'a> {
    chrome: &'a Chrome,
    lead: LeadView,
    state: (&'static str, &'static str),
    facts: Vec<(String, String)>,
}

#[derive(Debug, Default, Deserialize)]
struct Before {
    before: Option<u64>,
}

async fn talk(
    State(app): State<App>,
    insider: Insider,
    Path(id): Path<String>,
    Query(asked): Query<Before>,
) -> Response {
    let draft = Draft { id: fresh_id(), ..Draft::default() };
    match talk_of(&app, &insider, &id, asked.before, draft).await {
        Ok(page) => insider.page(&app, &page),
        Err(problem) => insider.problem(&app, &problem),
    }
}

/// Take the floor, say something, or give the floor back.
async fn act(
    State(app): State<App>,
    insider: Insider,
    Path(id): Path<String>,
    headers: HeaderMap,
    sent: Sent,
) -> Response {
    let outcome = async {
        insider.browser.check(&app, &headers, &sent)?;
        let command = match sent.text("do") {
            "say" => Command::HumanMessage {
                client_message_id: sent.given("message_id"),
                text: sent.text("content").to_owned(),
                channel: None,
            },
            "takeover" => Command::Takeover,
            "handback" => Command::Handback,
            other => return Err(Problem::field("do", format!("must be say, takeover or handback, not `{other}`"))),
        };
        conversations::steer(&app, &insider.console, &id, command).await
    };
    let problem = match outcome.await {
        Ok(_) => return onward(&format!("/app/conversations/{}#end", encoded(&id))),
        Err(problem) => problem,
    };
    let draft = Draft {
        text: sent.text("content").to_owned(),
        error: problem
            .body
            .errors
            .first()
            .map_or_else(|| problem.body.detail.clone(), |error| format!("Your message {}.", error.message)),
        id: sent.given("message_id").unwrap_or_else(fresh_id),
    };
    match talk_of(&app, &insider, &id, None, draft).await {
        Ok(page) => with_status(insider.page(&app, &page), &problem),
        Err(gone) => insider.problem(&app, &gone),
    }
}

async fn talk_of<'a>(app: &App, insider: &'a Insider, id: &str, before: Option<u64>, draft: Draft) -> Result<Talk<'a>> {
    let chrome = &insider.chrome;
    let state = conversations::whole(app, &insider.console, id).await?;
    let (shown, cursor) = conversations::newest(&state, before);
    let talk = view::conversation(&state);
    let floor = match &talk.floor {
        Floor::Assistant => "The assistant answers.".to_owned(),
        Floor::Person { name, .. } => format!("{name} has taken over; the assistant is silent."),
    };
    let visitor = talk.visitor_name.clone().unwrap_or_else(|| "Visitor".to_owned());
    let facts = [
        ("E-mail", talk.visitor_email.clone()),
        ("Phone", talk.visitor_phone.clone()),
        ("Page", talk.visitor_metadata.page_url.clone()),
        ("Urgency", Some(plain(&word(&talk.urgency)))),
        ("Called a person because", talk.escalation_reason.clone()),
        ("Rating", talk.satisfaction_rating.map(|rating| format!("{rating} of 5"))),
        ("Comment", talk.satisfaction_feedback.clone()),
        ("Began", Some(chrome.when(&talk.started_at))),
    ];
    Ok(Talk {
        state: talk_state(&talk.status, &talk.urgency, matches!(talk.floor, Floor::Person { .. })),
        lines: shown.iter().map(|message| line(chrome, &visitor, view::message(message))).collect(),
        earlier: cursor.map(|seq| format!("/app/conversations/{}?before={seq}", encoded(id))).unwrap_or_default(),
        facts: facts.into_iter().filter_map(|(label, value)| Some((label.to_owned(), value?))).collect(),
        may_act: insider.console.by.at_least(Role::Rep) && !talk.closed && !talk.sandbox,
        assistant: matches!(talk.floor, Floor::Assistant),
        floor,
        chrome,
        talk,
        draft,
    })
}

fn line(chrome: &Chrome, visitor: &str, message: MessageView) -> Line {
    let whisper = message.internal.as_ref().is_some_and(|internal| internal.whisper);
    let author = message.author.map(|author| author.name);
    let (who, side) = match (message.role, whisper) {
        (_, true) => (format!("{} to the assistant, unseen by the visitor", author.unwrap_or_default()), "note"),
        (MessageRole::User, false) => (visitor.to_owned(), "visitor"),
        (MessageRole::Assistant, false) => ("Assistant".to_owned(), "us"),
        (MessageRole::HumanAgent, false) => (author.unwrap_or_else(|| "Your team".to_owned()), "us person"),
        (MessageRole::System, false) => ("Note".to_owned(), "note"),
    };
    let sources = message.sources.into_iter().map(|source| {
        let url = source.url.as_deref().and_then(website).map(str::to_owned);
        let title = if source.title.trim().is_empty() { url.clone().unwrap_or(source.chunk_id) } else { source.title };
        Source { title, url }
    });
    Line {
        who,
        side,
        when: chrome.when(&message.created_at),
        iso: message.created_at,
        text: message.content,
        sources: sources.collect(),
    }
}

async fn lead(State(app): State<App>, insider: Insider, Path(id): Path<String>) -> Response {
    match leads::of(&app, &insider.console, &id).await {
        Ok(lead) => {
            let chrome = &insider.chrome;
            let mut facts = vec![
                ("E-mail".to_owned(), lead.email.clone()),
                ("Phone".to_owned(), lead.phone.clone()),
                ("Wants".to_owned(), Some(plain(&word(&lead.intent)))),
                ("Urgency".to_owned(), Some(plain(&word(&lead.urgency)))),
            ];
            facts.extend(lead.vertical_data.iter().map(|(name, value)| (plain(name), Some(value.clone()))));
            facts.push(("Page".to_owned(), lead.source_page.clone()));
            facts.push(("Captured".to_owned(), Some(chrome.when(&lead.created_at))));
            facts.push(("Notes".to_owned(), Some(lead.notes.clone()).filter(|notes| !notes.is_empty())));
            let facts = facts.into_iter().filter_map(|(label, value)| Some((label, value?))).collect();
            insider.page(&app, &Lead { chrome, state: lead_state(&lead.status), lead, facts })
        }
        Err(problem) => insider.problem(&app, &problem),
    }
}
