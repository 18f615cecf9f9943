//! How events change an agent's knowledge.

use std::collections::BTreeMap;

use super::{
    command::{NewSource, PageOutcome, RunOutcome},
    event::Event,
    limits::{FAILED_PAGES_LISTED, UNANSWERED_CONVERSATIONS_MAX},
    state::{Asked, Faq, FaqStatus, Index, Knowledge, Page, Run, RunKind, RunSummary, Source, Task, Unanswered},
};
use crate::{ids::SourceId, vocabulary::ScrapeStatus};

impl Knowledge {
    pub(super) fn fold(&mut self, event: &Event, seq: u64, at_ms: i64) {
        self.mark(event, seq);
        match event {
            Event::SetUp { agent, tenant, max_pages } => {
                self.agent = agent.clone();
                self.tenant = tenant.clone();
                self.max_pages = *max_pages;
                self.created_ms = at_ms;
            }
            Event::Deleted => {
                let (agent, tenant) = (self.agent.clone(), self.tenant.clone());
                *self = Self { agent, tenant, deleted_ms: Some(at_ms), unswept: Some(seq), ..Self::default() };
            }
            Event::LimitsSet { max_pages } => self.max_pages = *max_pages,
            Event::SourceAdded { source, new } => {
                self.sources.insert(source.clone(), new_source(new, seq, at_ms));
            }
            Event::SourceUpdated { source, new, next_sync_ms } => {
                if let Some(source) = self.sources.get_mut(source) {
                    source.spec = new.clone();
                    source.version = seq;
                    source.next_sync_ms = *next_sync_ms;
                    source.updated_ms = at_ms;
                }
            }
            Event::SourceRemoved { source } => {
                self.queue.retain(|(waiting, _)| waiting != source);
                if self.sources.remove(source).is_some_and(|removed| !removed.pages.is_empty()) {
                    self.touch();
                }
            }
            Event::RunQueued { source, kind } => {
                self.queue.push((source.clone(), *kind));
                if let Some(source) = self.sources.get_mut(source)
                    && source.run.is_none()
                {
                    source.status = ScrapeStatus::Pending;
                    source.next_sync_ms = None;
                }
            }
            Event::RunStarted { source, run, kind, deadline_ms } => {
                self.queue.retain(|(waiting, _)| waiting != source);
                self.start_run(source, run, *kind, *deadline_ms, at_ms);
            }
            Event::RunBegan { source, deadline_ms } => self.with_run(source, |source_status, run| {
                *source_status = ScrapeStatus::InProgress;
                run.began = true;
                run.task.deadline_ms = *deadline_ms;
            }),
            Event::RunProgressed { source, found, pages, deadline_ms } => {
                self.with_run(source, |source_status, run| {
                    *source_status = ScrapeStatus::InProgress;
                    run.began = true;
                    run.task.deadline_ms = *deadline_ms;
                    run.found = run.found.max(*found);
                    pages.iter().for_each(|page| take_page(run, page, at_ms));
                })
            }
            Event::RunRetried { source, attempt, deadline_ms } => self.with_run(source, |_, run| {
                run.task = Task { attempt: *attempt, deadline_ms: *deadline_ms };
            }),
            Event::RunFinished { source, outcome, next_sync_ms } => {
                self.finish_run(source, outcome, *next_sync_ms, at_ms);
            }
            Event::BuildDue { attempt, deadline_ms, version: _ } => {
                self.build = Some(Task { attempt: *attempt, deadline_ms: *deadline_ms });
                self.build_retry_ms = None;
            }
            Event::IndexBuilt { index } => self.serve(index, at_ms),
            Event::BuildFailed { reason, retry_ms } => {
                self.build = None;
                self.build_error = Some(reason.clone());
                self.build_retry_ms = Some(*retry_ms);
                for source in
                    self.sources.values_mut().filter(|source| source.waits_for.is_some() && source.run.is_none())
                {
                    source.status = ScrapeStatus::Failed;
                    source.error = Some(reason.clone());
                }
            }
            Event::FaqPut { faq, question, answer, category, priority, is_auto, status, source_url } => {
                let before = self.faqs.get(faq);
                let answered = before.is_some_and(|before| before.status == FaqStatus::Accepted);
                let put = Faq {
                    question: question.clone(),
                    answer: answer.clone(),
                    category: category.clone(),
                    priority: *priority,
                    is_auto: *is_auto,
                    status: *status,
                    source_url: source_url.clone(),
                    created_ms: before.map_or(at_ms, |before| before.created_ms),
                    updated_ms: at_ms,
                    version: seq,
                };
                self.faqs.insert(faq.clone(), put);
                if answered || *status == FaqStatus::Accepted {
                    self.touch();
                }
            }
            Event::FaqRemoved { faq } => {
                if self.faqs.remove(faq).is_some_and(|faq| faq.status == FaqStatus::Accepted) {
                    self.touch();
                }
            }
            Event::RebuildAsked => self.touch(),
            Event::GenerationStarted { run, attempt, deadline_ms } => {
                self.generation = Some((run.clone(), Task { attempt: *attempt, deadline_ms: *deadline_ms }));
            }
            Event::GenerationEnded { failure } => {
                self.generation = None;
                self.generation_error.clone_from(failure);
            }
            Event::Swept { mark } => {
                if self.unswept == Some(*mark) {
                    self.unswept = None;
                    self.dropped.clear();
                }
            }
            Event::GroupingSet { key } => self.grouping = Some(*key),
            Event::UnansweredNoted { key, conversation, seq: noted_at, dropped } => {
                if let Some(dropped) = dropped {
                    self.unanswered.remove(dropped);
                }
                self.note(key, Asked { conversation: conversation.clone(), seq: *noted_at }, at_ms);
            }
            Event::UnansweredClosed { key } => {
                self.unanswered.remove(key);
            }
            Event::ConversationForgotten { conversation } => {
                self.unanswered.retain(|_, entry| {
                    entry.asked.retain(|asked| asked.conversation != *conversation);
                    !entry.asked.is_empty()
                });
            }
        }
    }

    /// Notes that an event may leave stored things unnamed.
    fn mark(&mut self, event: &Event, seq: u64) {
        let dropped = match event {
            Event::SourceRemoved { source } => self.sources.get(source).map(|old| old.spec.content.clone()),
            Event::SourceUpdated { source, new, .. } => {
                let old = self.sources.get(source).map(|old| &old.spec.content);
                old.filter(|old| **old != new.content).cloned()
            }
            Event::RunFinished { .. } | Event::IndexBuilt { .. } => Some(None),
            _ => None,
        };
        if let Some(upload) = dropped {
            self.unswept = Some(seq);
            self.dropped.extend(upload.map(|blob| blob.path));
        }
    }

    /// An index would hold something else now, which is also a reason to try a failed build again.
    fn touch(&mut self) {
        self.content_version += 1;
        self.build_retry_ms = None;
    }

    fn with_run(&mut self, source: &SourceId, change: impl FnOnce(&mut ScrapeStatus, &mut Run)) {
        if let Some(source) = self.sources.get_mut(source)
            && let Some(run) = &mut source.run
        {
            change(&mut source.status, run);
        }
    }

    fn start_run(&mut self, source: &SourceId, run: &str, kind: RunKind, deadline_ms: i64, at_ms: i64) {
        if let Some(source) = self.sources.get_mut(source) {
            source.status = ScrapeStatus::Pending;
            source.error = None;
            source.note = None;
            source.next_sync_ms = None;
            source.run = Some(Run {
                id: run.to_owned(),
                kind,
                task: Task { attempt: 1, deadline_ms },
                started_ms: at_ms,
                began: false,
                found: 0,
                pages: BTreeMap::new(),
                failed: BTreeMap::new(),
                failed_more: 0,
            });
        }
    }

    fn finish_run(&mut self, id: &SourceId, outcome: &RunOutcome, next_sync_ms: Option<i64>, at_ms: i64) {
        let served = self.index.as_ref().map_or(0, |index| index.content_version);
        let Some(source) = self.sources.get_mut(id) else { return };
        let Some(run) = source.run.take() else { return };
        source.next_sync_ms = next_sync_ms;
        source.last = Some(summary(&run, at_ms));
        let reason = match outcome {
            RunOutcome::Complete => None,
            RunOutcome::Partial { reason } | RunOutcome::Failed { reason } => Some(reason.clone()),
        };
        let failed = matches!(outcome, RunOutcome::Failed { .. }) || run.pages.is_empty();
        if failed {
            let first = run.failed.values().next().map(|(reason, _)| reason.clone());
            source.status = ScrapeStatus::Failed;
            source.error = reason.or(first).or_else(|| Some("no page could be read".to_owned()));
            return;
        }
        source.note = reason;
        source.synced_ms = Some(at_ms);
        let anew = run.kind == RunKind::Retrain;
        let changed = commit(source, run, *outcome == RunOutcome::Complete);
        if changed || anew {
            source.waits_for = Some(self.content_version + 1);
        }
        // Without a change its pages are in the index that answers, or wait with an earlier reading.
        if source.waits_for.is_some_and(|wanted| wanted > served) {
            source.status = ScrapeStatus::InProgress;
            if let Some(last) = &mut source.last {
                last.finished_ms = None;
            }
        } else {
            source.status = ScrapeStatus::Completed;
            source.waits_for = None;
        }
        if changed || anew {
            self.touch();
        }
    }

    fn serve(&mut self, index: &Index, at_ms: i64) {
        self.index = Some(index.clone());
        self.build = None;
        self.build_error = None;
        self.build_retry_ms = None;
        for source in self.sources.values_mut() {
            if source.waits_for.is_some_and(|wanted| wanted <= index.content_version) {
                source.waits_for = None;
                if source.run.is_none() {
                    source.status = ScrapeStatus::Completed;
                    source.error = None;
                }
                if let Some(last) = &mut source.last {
                    last.finished_ms = Some(at_ms);
                }
            }
        }
    }

    fn note(&mut self, key: &str, asked: Asked, at_ms: i64) {
        let entry = self
            .unanswered
            .entry(key.to_owned())
            .or_insert_with(|| Unanswered { first_ms: at_ms, ..Unanswered::default() });
        entry.count += 1;
        entry.last_ms = at_ms;
        entry.asked.retain(|known| known.conversation != asked.conversation);
        entry.asked.push(asked);
        if entry.asked.len() > UNANSWERED_CONVERSATIONS_MAX {
            entry.asked.remove(0);
        }
    }
}

fn new_source(new: &NewSource, version: u64, at_ms: i64) -> Source {
    Source {
        spec: new.clone(),
        version,
        status: ScrapeStatus::Pending,
        error: None,
        note: None,
        created_ms: at_ms,
        updated_ms: at_ms,
        synced_ms: None,
        next_sync_ms: None,
        pages: BTreeMap::new(),
        run: None,
        last: None,
        waits_for: None,
    }
}

fn take_page(run: &mut Run, outcome: &PageOutcome, at_ms: i64) {
    match outcome {
        PageOutcome::Done { url, title, hash, chars, chunks, blob } => {
            let page = Page {
                title: title.clone(),
                hash: hash.clone(),
                chars: *chars,
                chunks: *chunks,
                blob: blob.clone(),
                updated_ms: at_ms,
            };
            run.failed.remove(url);
            run.pages.insert(url.clone(), Some(page));
        }
        PageOutcome::Unchanged { url } => {
            run.failed.remove(url);
            // A page read by an earlier try of this run stands as it was read then.
            run.pages.entry(url.clone()).or_insert(None);
        }
        PageOutcome::Failed { url, reason, gone } => {
            if run.pages.contains_key(url) {
                return;
            }
            if run.failed.len() < FAILED_PAGES_LISTED || run.failed.contains_key(url) {
                run.failed.insert(url.clone(), (reason.clone(), *gone));
            } else {
                run.failed_more = run.failed_more.saturating_add(1);
            }
        }
    }
}

/// Makes a run's pages the source's. Returns whether anything an index holds changed.
fn commit(source: &mut Source, run: Run, complete: bool) -> bool {
    let known = std::mem::take(&mut source.pages);
    let mut pages = BTreeMap::new();
    for (url, page) in &known {
        let kept = match (run.pages.get(url), run.failed.get(url)) {
            (Some(_), _) => false,
            // A page that could not be read this time may be back next time; one that is gone is gone.
            (None, Some((_, gone))) => !gone,
            (None, None) => !complete,
        };
        if kept {
            pages.insert(url.clone(), page.clone());
        }
    }
    for (url, read) in run.pages {
        let page = match (read, known.get(&url)) {
            // The same text under the same title keeps its older vectors' time, so that nothing seems to have changed.
            (Some(read), Some(old)) if read.hash == old.hash && read.title == old.title && read.blob == old.blob => {
                old.clone()
            }
            (Some(read), _) => read,
            (None, Some(old)) => old.clone(),
            // "Unchanged" for a page nobody knows: the task was mistaken, there is nothing to keep.
            (None, None) => continue,
        };
        pages.insert(url, page);
    }
    let changed = pages != known;
    source.pages = pages;
    changed
}

fn summary(run: &Run, at_ms: i64) -> RunSummary {
    RunSummary {
        started_ms: run.started_ms,
        finished_ms: Some(at_ms),
        found: run.found.max(run.done().saturating_add(run.failures())),
        done: run.done(),
        failed: run.failures(),
        errors: run.failed.iter().map(|(url, (reason, _))| (url.clone(), reason.clone())).collect(),
    }
}
