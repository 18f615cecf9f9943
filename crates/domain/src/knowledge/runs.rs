//! Runs: a source is read, page by page, in batches; what was read becomes the source's once the run ends.

use std::collections::BTreeMap;

use super::{
    Outcome,
    command::{PageOutcome, Reply, RunOutcome, RunPlan},
    event::Event,
    limits::{BATCH_PAGES_MAX, RUN_ATTEMPTS_MAX, RUN_DEADLINE_MS, TEXT_CHARS_MAX},
    no_source, settled,
    sources::{kept, next_sync, room},
    state::{Knowledge, Run, RunKind, Source},
    system, writer,
};
use crate::{
    check::URL_CHARS_MAX,
    context::Context,
    decision::Decision,
    ids::SourceId,
    rejection::Rejection,
    text::{counted, shorten},
};

/// A report of a run's task.
pub(super) struct Batch {
    pub(super) source: SourceId,
    pub(super) run: String,
    pub(super) attempt: u32,
    pub(super) found: u32,
    pub(super) pages: Vec<PageOutcome>,
}

pub(super) fn retrain(state: &Knowledge, cx: &Context, source: Option<SourceId>) -> Outcome {
    writer(state, cx)?;
    let wanted: Vec<SourceId> = match source {
        Some(source) if state.sources.contains_key(&source) => vec![source],
        Some(_) => return Err(no_source()),
        None if state.sources.is_empty() && state.content_version > 0 => {
            // Nothing to read again, but questions can be embedded anew.
            let (events, _) = settled(state, cx, vec![Event::RebuildAsked]);
            return Ok(Decision::new(events, Reply::Queued { sources: Vec::new() }));
        }
        None => state.sources.keys().cloned().collect(),
    };
    Ok(queued(state, cx, wanted, RunKind::Retrain))
}

pub(super) fn sync_due(state: &Knowledge, cx: &Context) -> Outcome {
    writer(state, cx)?;
    let due = due_sources(state, cx.now_ms);
    Ok(queued(state, cx, due, RunKind::Sync))
}

pub(super) fn plan(state: &Knowledge, cx: &Context, id: &SourceId, run: &str) -> Outcome {
    system(cx)?;
    let source = state.sources.get(id).ok_or_else(no_source)?;
    let run = source.run.as_ref().filter(|current| current.id == run).ok_or(Rejection::Superseded)?;
    let plan = RunPlan {
        kind: source.spec.kind,
        name: source.spec.name.clone(),
        url: source.spec.url.clone(),
        content: source.spec.content.clone(),
        attempt: run.task.attempt,
        page_limit: state.page_limit(id),
        known: known(source, run),
    };
    Ok(Decision::reply(Reply::Plan { plan: Box::new(plan) }))
}

pub(super) fn began(state: &Knowledge, cx: &Context, source: SourceId, run: &str, attempt: u32) -> Outcome {
    current(state, cx, &source, run, attempt)?;
    Ok(Decision::event(Event::RunBegan { source, deadline_ms: cx.now_ms + RUN_DEADLINE_MS }, Reply::Done))
}

pub(super) fn progress(state: &Knowledge, cx: &Context, batch: Batch) -> Outcome {
    let (source, run) = current(state, cx, &batch.source, &batch.run, batch.attempt)?;
    if batch.pages.len() > BATCH_PAGES_MAX {
        return Err(Rejection::invalid("pages", format!("must be at most {BATCH_PAGES_MAX} at once")));
    }
    let limit = state.page_limit(&batch.source);
    let mut done = run.done();
    let mut pages = batch.pages;
    for page in &mut pages {
        check_page(source, run, page)?;
        if !matches!(page, PageOutcome::Failed { .. }) && !run.pages.contains_key(page.url()) {
            done = done.saturating_add(1);
        }
    }
    if done > limit {
        return Err(Rejection::LimitReached {
            limit: "max_pages".to_owned(),
            detail: format!("This source may have {}.", counted(limit, "page")),
        });
    }
    let event = Event::RunProgressed {
        source: batch.source,
        found: batch.found,
        pages,
        deadline_ms: cx.now_ms + RUN_DEADLINE_MS,
    };
    Ok(Decision::event(event, Reply::Done))
}

pub(super) fn finished(
    state: &Knowledge,
    cx: &Context,
    id: SourceId,
    run: &str,
    attempt: u32,
    outcome: RunOutcome,
) -> Outcome {
    let (source, _) = current(state, cx, &id, run, attempt)?;
    let outcome = match outcome {
        RunOutcome::Complete => RunOutcome::Complete,
        RunOutcome::Partial { reason } => RunOutcome::Partial { reason: kept(&reason) },
        RunOutcome::Failed { reason } => RunOutcome::Failed { reason: kept(&reason) },
    };
    let events = vec![end(&id, source, outcome, cx)];
    let (events, _) = settled(state, cx, events);
    Ok(Decision::new(events, Reply::Done))
}

/// The next run whose turn has come: one site and one document of an agent are read at a time, to be polite and to leave room for others.
pub(super) fn next(state: &Knowledge, cx: &Context) -> Option<Event> {
    let busy = |site: bool| state.sources.values().any(|source| source.run.is_some() && source.is_site() == site);
    let (source, kind) = state
        .queue
        .iter()
        .find(|(id, _)| state.sources.get(id).is_some_and(|source| source.run.is_none() && !busy(source.is_site())))?;
    Some(Event::RunStarted {
        source: source.clone(),
        // Two runs can start with one decision; the source tells them apart.
        run: format!("{}{}", cx.fresh_id(0), u8::from(state.sources.get(source).is_some_and(Source::is_site))),
        kind: *kind,
        deadline_ms: cx.now_ms + RUN_DEADLINE_MS,
    })
}

/// Runs without news in time start again, or end with what they have.
pub(super) fn overdue(state: &Knowledge, cx: &Context) -> Vec<Event> {
    let runs = state.sources.iter().filter_map(|(id, source)| Some((id, source, source.run.as_ref()?)));
    runs.filter(|(_, _, run)| run.task.deadline_ms <= cx.now_ms)
        .map(|(id, source, run)| {
            if run.task.attempt < RUN_ATTEMPTS_MAX {
                again(id, run, cx)
            } else {
                let reason = "reading it made no progress for a long time and was stopped".to_owned();
                end(id, source, RunOutcome::Partial { reason }, cx)
            }
        })
        .collect()
}

/// Sources whose schedule came.
pub(super) fn due(state: &Knowledge, cx: &Context) -> Vec<Event> {
    due_sources(state, cx.now_ms).into_iter().map(|source| Event::RunQueued { source, kind: RunKind::Sync }).collect()
}

/// Lost tasks begin again; a restart is nobody's failure, so it does not end a run.
pub(super) fn restarted(state: &Knowledge, cx: &Context) -> Vec<Event> {
    state.sources.iter().filter_map(|(id, source)| Some(again(id, source.run.as_ref()?, cx))).collect()
}

fn queued(state: &Knowledge, cx: &Context, wanted: Vec<SourceId>, kind: RunKind) -> Decision<Event, Reply> {
    let waiting = |id: &SourceId| state.queue.iter().any(|(waiting, _)| waiting == id);
    let fits = |id: &&SourceId| !waiting(id) && room(state, id).is_ok();
    let events = wanted.iter().filter(fits).map(|source| Event::RunQueued { source: source.clone(), kind }).collect();
    let (events, _) = settled(state, cx, events);
    Decision::new(events, Reply::Queued { sources: wanted })
}

fn due_sources(state: &Knowledge, now_ms: i64) -> Vec<SourceId> {
    let due = |source: &Source| source.run.is_none() && source.next_sync_ms.is_some_and(|due| due <= now_ms);
    state.sources.iter().filter(|(_, source)| due(source)).map(|(id, _)| id.clone()).collect()
}

fn again(id: &SourceId, run: &Run, cx: &Context) -> Event {
    Event::RunRetried {
        source: id.clone(),
        attempt: run.task.attempt.saturating_add(1),
        deadline_ms: cx.now_ms + RUN_DEADLINE_MS,
    }
}

fn end(id: &SourceId, source: &Source, outcome: RunOutcome, cx: &Context) -> Event {
    Event::RunFinished { source: id.clone(), outcome, next_sync_ms: next_sync(&source.spec, cx.now_ms) }
}

fn current<'a>(
    state: &'a Knowledge,
    cx: &Context,
    source: &SourceId,
    run: &str,
    attempt: u32,
) -> Result<(&'a Source, &'a Run), Rejection> {
    system(cx)?;
    let source = state.sources.get(source).ok_or(Rejection::Superseded)?;
    match &source.run {
        Some(current) if current.id == run && current.task.attempt == attempt => Ok((source, current)),
        Some(_) | None => Err(Rejection::Superseded),
    }
}

/// Hashes by which a page is recognised as unchanged: those of this run's earlier tries, and the known ones unless everything is embedded anew.
fn known(source: &Source, run: &Run) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    if run.kind != RunKind::Retrain {
        known.extend(source.pages.iter().map(|(url, page)| (url.clone(), page.hash.clone())));
    }
    let read = run.pages.iter().filter_map(|(url, page)| Some((url.clone(), page.as_ref()?.hash.clone())));
    known.extend(read);
    known
}

fn check_page(source: &Source, run: &Run, page: &mut PageOutcome) -> Result<(), Rejection> {
    if page.url().is_empty() || page.url().len() > URL_CHARS_MAX {
        return Err(Rejection::invalid("pages", "must have an address of bounded length"));
    }
    match page {
        PageOutcome::Done { title, hash, blob, .. } => {
            if hash.is_empty() || hash.len() > 128 || blob.is_empty() || blob.len() > TEXT_CHARS_MAX {
                return Err(Rejection::invalid("pages", "must say where a page's text is stored and its hash"));
            }
            *title = shorten(title, TEXT_CHARS_MAX);
            Ok(())
        }
        PageOutcome::Unchanged { url } => {
            if source.pages.contains_key(url) || run.pages.contains_key(url) {
                Ok(())
            } else {
                Err(Rejection::invalid("pages", "cannot be unchanged if they were never read"))
            }
        }
        PageOutcome::Failed { reason, .. } => {
            *reason = kept(reason);
            Ok(())
        }
    }
}
