//! The index: the old one answers until the next is complete; versions only rise.

use super::{
    Outcome,
    command::{Reply, Stored},
    event::Event,
    limits::{BUILD_ATTEMPTS_MAX, BUILD_DEADLINE_MS, BUILD_RETRY_MS},
    settled,
    sources::kept,
    state::{Index, Knowledge, Task},
    system, view,
};
use crate::{context::Context, decision::Decision, rejection::Rejection};

pub(super) fn manifest(state: &Knowledge, cx: &Context) -> Outcome {
    system(cx)?;
    Ok(Decision::reply(Reply::Manifest(Box::new(view::manifest(state)))))
}

pub(super) fn built(state: &Knowledge, cx: &Context, attempt: u32, mut index: Index) -> Outcome {
    current(state, cx, index.version, attempt)?;
    let newer = index.content_version > state.index.as_ref().map_or(0, |index| index.content_version);
    if !newer || index.content_version > state.content_version {
        return Err(Rejection::invalid("content_version", "is not that of a manifest of this build"));
    }
    index.built_ms = cx.now_ms;
    let (events, _) = settled(state, cx, vec![Event::IndexBuilt { index }]);
    Ok(Decision::new(events, Reply::Done))
}

pub(super) fn failed(state: &Knowledge, cx: &Context, version: u64, attempt: u32, reason: &str) -> Outcome {
    let task = current(state, cx, version, attempt)?;
    Ok(Decision::event(again_or_fail(state, cx, task, kept(reason)), Reply::Done))
}

/// What stored things are named. A build under way may name others: then it waits for the next time.
pub(super) fn stored(state: &Knowledge, cx: &Context) -> Outcome {
    system(cx)?;
    if state.build.is_some() {
        return Err(Rejection::Superseded);
    }
    let runs = || state.sources.values().filter_map(|source| source.run.as_ref());
    let pages = state.sources.values().flat_map(|source| source.pages.values());
    let read = runs().flat_map(|run| run.pages.values().flatten());
    let uploads = state.sources.values().filter_map(|source| source.spec.content.as_ref());
    let index = state.index.iter().map(|index| &index.blob);
    let named = pages.chain(read).map(|page| &page.blob).chain(uploads.map(|upload| &upload.path)).chain(index);
    Ok(Decision::reply(Reply::Stored(Box::new(Stored {
        named: named.filter(|path| !path.is_empty()).cloned().collect(),
        runs: runs().map(|run| run.id.clone()).collect(),
        index_version: state.index_version(),
        dropped: state.dropped.clone(),
        deleted: !state.exists(),
    }))))
}

pub(super) fn swept(state: &Knowledge, cx: &Context, mark: u64) -> Outcome {
    system(cx)?;
    if state.unswept != Some(mark) {
        return Err(Rejection::Superseded);
    }
    Ok(Decision::event(Event::Swept { mark }, Reply::Done))
}

/// The next index, if the one that answers lacks something and none is being built. After a failure it waits for its retry, or for new content.
pub(super) fn next(state: &Knowledge, cx: &Context) -> Option<Event> {
    let due = state.is_behind() && state.build.is_none() && state.build_retry_ms.is_none_or(|retry| retry <= cx.now_ms);
    due.then(|| start(state, cx, 1))
}

/// Builds without news in time.
pub(super) fn overdue(state: &Knowledge, cx: &Context) -> Option<Event> {
    let task = state.build.filter(|task| task.deadline_ms <= cx.now_ms)?;
    Some(again_or_fail(state, cx, task, "building the index took too long".to_owned()))
}

/// A lost build begins again.
pub(super) fn restarted(state: &Knowledge, cx: &Context) -> Option<Event> {
    state.build.map(|task| start(state, cx, task.attempt.saturating_add(1)))
}

fn start(state: &Knowledge, cx: &Context, attempt: u32) -> Event {
    Event::BuildDue { version: state.index_version() + 1, attempt, deadline_ms: cx.now_ms + BUILD_DEADLINE_MS }
}

fn again_or_fail(state: &Knowledge, cx: &Context, task: Task, reason: String) -> Event {
    if task.attempt < BUILD_ATTEMPTS_MAX {
        start(state, cx, task.attempt + 1)
    } else {
        Event::BuildFailed { reason, retry_ms: cx.now_ms + BUILD_RETRY_MS }
    }
}

fn current(state: &Knowledge, cx: &Context, version: u64, attempt: u32) -> Result<Task, Rejection> {
    system(cx)?;
    let task = state.build.filter(|task| task.attempt == attempt && version == state.index_version() + 1);
    task.ok_or(Rejection::Superseded)
}
