//! The knowledge entity: sources, crawls, questions with answers, and the version of the index that answers.
//!
//! One per agent, with the agent's id; the system-wide base is the entity `platform` of the tenant `platform`.
//! In reading order: [`limits`], the shapes, `sources`, `runs`, `index`, `faqs`, `unanswered`, [`view`].

mod command;
mod event;
mod faqs;
mod fold;
mod index;
#[cfg(test)]
mod invariants;
pub mod limits;
mod runs;
mod sources;
mod state;
#[cfg(test)]
mod tests;
mod unanswered;
pub mod view;

pub use command::{Command, Effect, GeneratedFaq, NewSource, PageOutcome, Reply, RunOutcome, RunPlan, Stored};
pub use event::Event;
pub use state::{
    Asked, Blob, Faq, FaqStatus, Index, Knowledge, Page, Run, RunKind, RunSummary, Source, Task, Unanswered,
};
pub use unanswered::same_question;

use crate::{
    agent,
    context::Context,
    decision::Decision,
    principal::{Actor, Role},
    rejection::Rejection,
};

/// The entity's kind in keys.
pub const KIND: &str = "knowledge";
/// Tenant and id of the system-wide base.
pub const PLATFORM: &str = "platform";

/// What a command leads to.
pub type Outcome = Result<Decision<Event, Reply>, Rejection>;

/// Decides a command.
///
/// # Errors
/// `NotFound` for foreign principals and unknown ids, `Forbidden` below the needed role, `Invalid` for wrong fields, `LimitReached`,
/// `Superseded` for results of an older try, `Conflict` with `already_running`.
pub fn decide(state: &Knowledge, cx: &Context, command: Command) -> Outcome {
    if let Command::Setup { agent, website_url, faqs, max_pages } = command {
        return sources::set_up(state, cx, agent, website_url, faqs, max_pages);
    }
    if !state.exists() {
        // What is gone has nothing left to delete or forget.
        match command {
            Command::Stored => return index::stored(state, cx),
            Command::Swept { mark } => return index::swept(state, cx, mark),
            _ => {}
        }
        let leftover =
            matches!(command, Command::Delete | Command::ForgetConversation { .. } | Command::NoteUnanswered { .. });
        let quiet = leftover && cx.principal.actor == Actor::System;
        return if quiet { Ok(Decision::reply(Reply::Done)) } else { Err(not_found()) };
    }
    cx.bound_to(&state.tenant, "agent")?;
    match command {
        Command::Setup { agent, website_url, faqs, max_pages } => {
            sources::set_up(state, cx, agent, website_url, faqs, max_pages)
        }
        Command::Delete => {
            system(cx)?;
            Ok(Decision::event(Event::Deleted, Reply::Done))
        }
        Command::SetLimits { max_pages } => {
            system(cx)?;
            let same = state.max_pages == max_pages;
            Ok(if same {
                Decision::reply(Reply::Done)
            } else {
                Decision::event(Event::LimitsSet { max_pages }, Reply::Done)
            })
        }
        Command::AddSource { new } => sources::add(state, cx, new),
        Command::Scrape { url, limit } => sources::scrape(state, cx, &url, limit),
        Command::UpdateSource { source, patch, content, if_version } => {
            sources::update(state, cx, source, &patch, content, if_version)
        }
        Command::RemoveSource { source } => sources::remove(state, cx, source),
        Command::Retrain { source } => runs::retrain(state, cx, source),
        Command::SyncDue => runs::sync_due(state, cx),
        Command::RunPlan { source, run } => runs::plan(state, cx, &source, &run),
        Command::RunBegan { source, run, attempt } => runs::began(state, cx, source, &run, attempt),
        Command::RunProgress { source, run, attempt, found, pages } => {
            runs::progress(state, cx, runs::Batch { source, run, attempt, found, pages })
        }
        Command::RunFinished { source, run, attempt, outcome } => {
            runs::finished(state, cx, source, &run, attempt, outcome)
        }
        Command::Index => {
            system(cx)?;
            Ok(Decision::reply(Reply::Index { index: state.index.clone() }))
        }
        Command::Manifest => index::manifest(state, cx),
        Command::IndexBuilt { attempt, index } => index::built(state, cx, attempt, index),
        Command::IndexFailed { version, attempt, reason } => index::failed(state, cx, version, attempt, &reason),
        Command::Stored => index::stored(state, cx),
        Command::Swept { mark } => index::swept(state, cx, mark),
        Command::AddFaq { question, answer, category, priority } => {
            faqs::add(state, cx, faqs::Text { question, answer, category, priority })
        }
        Command::UpdateFaq { faq, patch, if_version } => faqs::update(state, cx, faq, &patch, if_version),
        Command::RemoveFaq { faq } => faqs::remove(state, cx, faq),
        Command::GenerateFaqs => faqs::generate(state, cx),
        Command::FaqsGenerated { run, attempt, faqs } => faqs::generated(state, cx, &run, attempt, faqs),
        Command::GenerationFailed { run, attempt, reason } => {
            faqs::generation_failed(state, cx, &run, attempt, &reason)
        }
        Command::NoteUnanswered { question, conversation, seq } => {
            unanswered::note(state, cx, &question, conversation, seq)
        }
        Command::AnswerUnanswered { key, question, answer, category } => {
            unanswered::answer(state, cx, key, question, answer, category)
        }
        Command::DismissUnanswered { key } => unanswered::dismiss(state, cx, key),
        Command::ForgetConversation { conversation } => unanswered::forget(state, cx, conversation),
        Command::Sources => {
            reader(state, cx)?;
            Ok(Decision::reply(Reply::Sources { items: view::sources(state) }))
        }
        Command::Source { source } => {
            reader(state, cx)?;
            let found = view::source(state, &source).ok_or_else(no_source)?;
            Ok(Decision::reply(Reply::Source { source: Box::new(found) }))
        }
        Command::Pages { source } => {
            reader(state, cx)?;
            Ok(Decision::reply(Reply::Pages { items: view::pages(state, &source).ok_or_else(no_source)? }))
        }
        Command::ScrapeStatus { source } => {
            reader(state, cx)?;
            let found = view::scrape(state, source.as_ref()).ok_or_else(no_source)?;
            Ok(Decision::reply(Reply::Scrape(Box::new(found))))
        }
        Command::Faqs => {
            reader(state, cx)?;
            Ok(Decision::reply(Reply::Faqs { items: view::faqs(state) }))
        }
        Command::Unanswered => {
            reader(state, cx)?;
            Ok(Decision::reply(Reply::Unanswered { items: view::unanswered(state) }))
        }
        Command::View => {
            reader(state, cx)?;
            Ok(Decision::reply(Reply::View(Box::new(view::knowledge(state)))))
        }
        Command::Tick => tick(state, cx),
        Command::Recovered => recovered(state, cx),
    }
}

/// Folds one event.
pub fn apply(state: &mut Knowledge, event: &Event, seq: u64, at_ms: i64) {
    state.fold(event, seq, at_ms);
}

/// Brings an event as the journal has it to today's shape.
///
/// # Errors
/// The version is not known, or the event is not of it.
pub fn upgrade(version: u32, event: serde_json::Value) -> Result<serde_json::Value, String> {
    match version {
        2 => Ok(event),
        1 => unanswered::without_words(event),
        other => Err(format!("no upgrade from event version {other}")),
    }
}

/// What is still to be done: a stable name, the attempt, the work.
pub fn pending(state: &Knowledge) -> Vec<(String, u32, Effect)> {
    let runs = state.sources.iter().filter_map(|(id, source)| {
        let run = source.run.as_ref()?;
        let effect = Effect::Crawl { source: id.clone(), run: run.id.clone(), attempt: run.task.attempt };
        Some((format!("crawl:{id}:{}", run.id), run.task.attempt, effect))
    });
    let build = state.build.map(|task| {
        let version = state.index_version() + 1;
        (format!("index:{version}"), task.attempt, Effect::BuildIndex { version, attempt: task.attempt })
    });
    let generation = state.generation.as_ref().map(|(run, task)| {
        (format!("faqs:{run}"), task.attempt, Effect::GenerateFaqs { run: run.clone(), attempt: task.attempt })
    });
    // Not beside a build: it reads pages that its manifest named before.
    let sweep = state.unswept.filter(|_| state.build.is_none());
    let sweep = sweep.map(|mark| (format!("sweep:{mark}"), 1, Effect::Sweep { mark }));
    runs.chain(build).chain(generation).chain(sweep).collect()
}

/// When the knowledge wants to be woken, Unix milliseconds.
pub fn timer(state: &Knowledge) -> Option<i64> {
    let sources = state.sources.values();
    let runs = sources.clone().filter_map(|source| source.run.as_ref().map(|run| run.task.deadline_ms));
    let tasks = [
        state.build.map(|task| task.deadline_ms),
        state.build_retry_ms,
        state.generation.as_ref().map(|(_, task)| task.deadline_ms),
    ];
    runs.chain(sources.filter_map(|source| source.next_sync_ms)).chain(tasks.into_iter().flatten()).min()
}

/// The command a due timer turns into.
pub fn on_timer(state: &Knowledge, now_ms: i64) -> Option<Command> {
    timer(state).filter(|due| *due <= now_ms).map(|_| Command::Tick)
}

/// The command after tasks were lost.
pub fn on_recovered(state: &Knowledge) -> Option<Command> {
    (!pending(state).is_empty()).then_some(Command::Recovered)
}

/// What the agent must learn of an event; `state` is the state right after it. The system-wide base has no agent.
pub fn tells(state: &Knowledge, event: &Event) -> Vec<agent::Command> {
    if state.agent.as_str() == PLATFORM {
        return Vec::new();
    }
    match event {
        Event::IndexBuilt { index } => {
            vec![agent::Command::IndexReady { index_version: index.version, settled: state.is_settled() }]
        }
        Event::BuildFailed { reason, .. } => vec![agent::Command::IndexFailed { reason: reason.clone() }],
        Event::RunFinished { source, .. } => {
            let failed = state.sources.get(source).filter(|source| source.synced_ms.is_none());
            let reason = failed.and_then(|source| source.error.clone());
            reason.map(|reason| agent::Command::IndexFailed { reason }).into_iter().collect()
        }
        Event::SetUp { .. }
        | Event::Deleted
        | Event::LimitsSet { .. }
        | Event::SourceAdded { .. }
        | Event::SourceUpdated { .. }
        | Event::SourceRemoved { .. }
        | Event::RunQueued { .. }
        | Event::RunStarted { .. }
        | Event::RunBegan { .. }
        | Event::RunProgressed { .. }
        | Event::RunRetried { .. }
        | Event::RebuildAsked
        | Event::BuildDue { .. }
        | Event::FaqPut { .. }
        | Event::FaqRemoved { .. }
        | Event::GenerationStarted { .. }
        | Event::GenerationEnded { .. }
        | Event::Swept { .. }
        | Event::GroupingSet { .. }
        | Event::UnansweredNoted { .. }
        | Event::UnansweredClosed { .. }
        | Event::ConversationForgotten { .. } => Vec::new(),
    }
}

fn tick(state: &Knowledge, cx: &Context) -> Outcome {
    system(cx)?;
    let mut events = runs::overdue(state, cx);
    events.extend(runs::due(state, cx));
    events.extend(index::overdue(state, cx));
    events.extend(faqs::overdue(state, cx));
    let (events, _) = settled(state, cx, events);
    Ok(Decision::new(events, Reply::Done))
}

fn recovered(state: &Knowledge, cx: &Context) -> Outcome {
    system(cx)?;
    let mut events = runs::restarted(state, cx);
    events.extend(index::restarted(state, cx));
    events.extend(faqs::restarted(state, cx));
    Ok(Decision::new(events, Reply::Done))
}

/// Adds what events make necessary: runs whose turn has come, and the next index. Returns all events and the state after them.
fn settled(state: &Knowledge, cx: &Context, mut events: Vec<Event>) -> (Vec<Event>, Knowledge) {
    let mut after = state.clone();
    let mut folded = 0;
    loop {
        for event in &events[folded..] {
            folded += 1;
            apply(&mut after, event, cx.seq + folded as u64, cx.now_ms);
        }
        match runs::next(&after, cx).or_else(|| index::next(&after, cx)) {
            Some(event) => events.push(event),
            None => return (events, after),
        }
    }
}

/// Anyone of the organization; keys of another agent and visitors find nothing.
fn reader(state: &Knowledge, cx: &Context) -> Result<(), Rejection> {
    match &cx.principal.actor {
        Actor::ApiKey { agent: Some(only), .. } if *only != state.agent => Err(not_found()),
        Actor::Visitor { .. } => Err(not_found()),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Platform { .. } | Actor::System => Ok(()),
    }
}

/// Those who run agents.
fn writer(state: &Knowledge, cx: &Context) -> Result<(), Rejection> {
    reader(state, cx)?;
    if cx.principal.at_least(Role::Manager) {
        Ok(())
    } else {
        Err(Rejection::forbidden("Only managers and above may change what an agent knows."))
    }
}

/// Only Colloquy itself.
fn system(cx: &Context) -> Result<(), Rejection> {
    if cx.principal.actor == Actor::System { Ok(()) } else { Err(not_found()) }
}

fn not_found() -> Rejection {
    Rejection::not_found("agent")
}

fn no_source() -> Rejection {
    Rejection::not_found("source")
}
