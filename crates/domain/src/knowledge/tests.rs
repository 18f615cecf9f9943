//! Tests of the knowledge: each rule by scenario, then random command sequences.

use serde_json::json;

use super::{
    limits::{BUILD_ATTEMPTS_MAX, BUILD_RETRY_MS, DAY_MS, RUN_ATTEMPTS_MAX, RUN_DEADLINE_MS, UNANSWERED_MAX},
    view::{KnowledgeView, PageStatus, ScrapeView},
    *,
};
use crate::{
    catalog::template::SampleFaq,
    ids::{FaqId, SourceId},
    principal::Principal,
    vocabulary::{ScrapeStatus, SourceType, SyncFrequency},
};

pub(super) struct Base {
    pub(super) state: Knowledge,
    pub(super) events: Vec<(Event, u64, i64)>,
    pub(super) now_ms: i64,
}

fn manager() -> Actor {
    Actor::User { id: "m".into(), role: Role::Manager, name: "Max".into() }
}

impl Base {
    fn empty() -> Self {
        Self { state: Knowledge::default(), events: Vec::new(), now_ms: 1_700_000_000_000 }
    }

    pub(super) fn set_up(website: Option<&str>, max_pages: Option<u32>) -> Self {
        let mut base = Self::empty();
        let faqs =
            vec![SampleFaq { q: "Open?".into(), a: "{{business_hours_answer}}".into(), category: "Hours".into() }];
        let setup = Command::Setup { agent: "a1".into(), website_url: website.map(str::to_owned), faqs, max_pages };
        base.ask(Actor::System, setup).unwrap();
        base
    }

    fn ask(&mut self, actor: Actor, command: Command) -> Result<Reply, Rejection> {
        let seq = self.events.len() as u64;
        let mut seed = [0; 32];
        seed[6..14].copy_from_slice(&(seq * 1_000 + 1).to_be_bytes());
        let principal = Principal { tenant: "t1".into(), actor };
        let cx = Context { now_ms: self.now_ms, seq, seed, principal };
        let decision = decide(&self.state, &cx, command)?;
        for event in decision.events {
            let seq = self.events.len() as u64 + 1;
            apply(&mut self.state, &event, seq, self.now_ms);
            self.events.push((event, seq, self.now_ms));
        }
        let text = serde_json::to_string(&decision.reply).unwrap();
        assert_eq!(serde_json::from_str::<Reply>(&text).unwrap(), decision.reply, "replies travel as JSON");
        Ok(decision.reply)
    }

    pub(super) fn system(&mut self, command: Command) -> Result<Reply, Rejection> {
        self.ask(Actor::System, command)
    }

    pub(super) fn manager(&mut self, command: Command) -> Result<Reply, Rejection> {
        self.ask(manager(), command)
    }

    /// The crawl under way: source, run, attempt.
    pub(super) fn crawl(&self) -> (SourceId, String, u32) {
        let crawl = pending(&self.state).into_iter().find_map(|(_, _, effect)| match effect {
            Effect::Crawl { source, run, attempt } => Some((source, run, attempt)),
            Effect::BuildIndex { .. } | Effect::GenerateFaqs { .. } | Effect::Sweep { .. } => None,
        });
        crawl.expect("a crawl")
    }

    pub(super) fn progress(&mut self, pages: Vec<PageOutcome>) -> Result<Reply, Rejection> {
        let (source, run, attempt) = self.crawl();
        self.system(Command::RunProgress { source, run, attempt, found: 10, pages })
    }

    pub(super) fn finish(&mut self, outcome: RunOutcome) -> SourceId {
        let (source, run, attempt) = self.crawl();
        self.system(Command::RunFinished { source: source.clone(), run, attempt, outcome }).unwrap();
        source
    }

    pub(super) fn build_effect(&self) -> Option<(u64, u32)> {
        pending(&self.state).into_iter().find_map(|(_, _, effect)| match effect {
            Effect::BuildIndex { version, attempt } => Some((version, attempt)),
            Effect::Crawl { .. } | Effect::GenerateFaqs { .. } | Effect::Sweep { .. } => None,
        })
    }

    pub(super) fn build(&mut self) {
        let (version, attempt) = self.build_effect().expect("a build");
        let index = self.index(version);
        self.system(Command::IndexBuilt { attempt, index }).unwrap();
    }

    fn index(&self, version: u64) -> Index {
        let manifest = view::manifest(&self.state);
        Index {
            version,
            content_version: manifest.content_version,
            blob: "b".into(),
            pages: u32::try_from(manifest.pages.len()).unwrap(),
            chunks: manifest.pages.iter().map(|page| page.chunks).sum(),
            faqs: u32::try_from(manifest.faqs.len()).unwrap(),
            embedder: "keyword".into(),
            built_ms: 0,
        }
    }

    fn scrape(&mut self, source: Option<&SourceId>) -> ScrapeView {
        match self.manager(Command::ScrapeStatus { source: source.cloned() }).unwrap() {
            Reply::Scrape(view) => *view,
            other => panic!("{other:?}"),
        }
    }

    fn view(&mut self) -> KnowledgeView {
        match self.manager(Command::View).unwrap() {
            Reply::View(view) => *view,
            other => panic!("{other:?}"),
        }
    }

    fn told(&self) -> Vec<crate::agent::Command> {
        let mut state = Knowledge::default();
        let mut told = Vec::new();
        for (event, seq, at_ms) in &self.events {
            apply(&mut state, event, *seq, *at_ms);
            told.extend(tells(&state, event));
        }
        told
    }
}

pub(super) fn done(url: &str, hash: &str) -> PageOutcome {
    PageOutcome::Done {
        url: format!("https://joes.example/{url}"),
        title: url.to_uppercase(),
        hash: hash.into(),
        chars: 1_000,
        chunks: 2,
        blob: format!("pages/{hash}"),
    }
}

pub(super) fn failed(url: &str, gone: bool) -> PageOutcome {
    PageOutcome::Failed { url: format!("https://joes.example/{url}"), reason: "timed out".into(), gone }
}

pub(super) fn unchanged(url: &str) -> PageOutcome {
    PageOutcome::Unchanged { url: format!("https://joes.example/{url}") }
}

pub(super) fn text_source(name: &str) -> Command {
    let content = Blob { path: format!("texts/{name}"), bytes: 10, hash: "h".into(), ..Blob::default() };
    Command::AddSource {
        new: NewSource {
            kind: SourceType::ManualText,
            name: name.into(),
            url: None,
            content: Some(content),
            auto_sync: false,
            sync_frequency: None,
            limit: None,
            metadata: serde_json::Map::new(),
        },
    }
}

fn code(result: Result<Reply, Rejection>) -> String {
    match result.unwrap_err() {
        Rejection::Conflict { code, .. } => code,
        Rejection::LimitReached { limit, .. } => limit,
        Rejection::Forbidden { .. } => "forbidden".to_owned(),
        Rejection::NotFound { .. } => "not_found".to_owned(),
        Rejection::Invalid { errors } => errors[0].field.clone(),
        Rejection::Stale { .. } => "stale".to_owned(),
        Rejection::Superseded => "superseded".to_owned(),
    }
}

#[test]
fn a_site_is_completed_only_once_its_index_answers() {
    let mut base = Base::set_up(Some("https://joes.example"), Some(100));
    let (source, run, attempt) = base.crawl();
    assert_eq!(base.scrape(None).status, ScrapeStatus::Pending);
    base.system(Command::RunBegan { source: source.clone(), run: run.clone(), attempt }).unwrap();
    assert_eq!(base.scrape(None).status, ScrapeStatus::InProgress);
    base.progress(vec![done("a", "1"), failed("b", false)]).unwrap();
    let seen = base.scrape(Some(&source));
    assert_eq!((seen.pages_found, seen.pages_done, seen.pages_failed, seen.chunks), (10, 1, 1, 2));
    assert_eq!(seen.pages[1].error.as_deref(), Some("timed out"));
    // The index of its first questions answers already, without the site.
    base.build();
    assert_eq!(view::manifest(&base.state).pages.len(), 0, "pages of a run under way are in no index");
    base.finish(RunOutcome::Complete);
    let seen = base.scrape(None);
    assert_eq!((seen.status, seen.finished_at, seen.index_version), (ScrapeStatus::InProgress, None, 1));
    base.build();
    let seen = base.scrape(None);
    assert_eq!((seen.status, seen.index_version, seen.pages_failed), (ScrapeStatus::Completed, 2, 1));
    assert!(seen.finished_at.is_some());
    assert_eq!(seen.pages.iter().filter(|page| page.status == PageStatus::Failed).count(), 1);
    let ready = |index_version, settled| crate::agent::Command::IndexReady { index_version, settled };
    assert_eq!(base.told(), [ready(1, false), ready(2, true)]);
}

#[test]
fn a_build_that_ends_after_the_crawl_but_without_it_does_not_settle() {
    let mut base = Base::set_up(Some("https://joes.example"), None);
    let (version, attempt) = base.build_effect().unwrap();
    let old = base.index(version);
    base.progress(vec![done("a", "1")]).unwrap();
    base.finish(RunOutcome::Complete);
    base.system(Command::IndexBuilt { attempt, index: old }).unwrap();
    assert_eq!(base.told(), [crate::agent::Command::IndexReady { index_version: 1, settled: false }]);
    assert_eq!(base.scrape(None).status, ScrapeStatus::InProgress);
    assert_eq!(base.build_effect(), Some((2, 1)), "what came meanwhile gets the next index");
}

#[test]
fn a_site_nobody_can_read_fails_with_its_reason_and_the_agent_learns_it() {
    let mut base = Base::set_up(Some("https://joes.example"), None);
    base.progress(vec![failed("", false)]).unwrap();
    base.finish(RunOutcome::Complete);
    let seen = base.scrape(None);
    assert_eq!((seen.status, seen.error.as_deref()), (ScrapeStatus::Failed, Some("timed out")));
    assert_eq!(base.told(), [crate::agent::Command::IndexFailed { reason: "timed out".into() }]);
}

#[test]
fn reading_again_keeps_what_failed_and_drops_what_is_gone_or_unseen() {
    let mut base = Base::set_up(Some("https://joes.example"), None);
    base.progress(vec![done("a", "1"), done("b", "1"), done("c", "1"), done("d", "1")]).unwrap();
    let source = base.finish(RunOutcome::Complete);
    base.build();
    let again = |base: &mut Base, pages, outcome| {
        base.manager(Command::Scrape { url: "joes.example".into(), limit: None }).unwrap();
        base.progress(pages).unwrap();
        base.finish(outcome);
        base.state.sources[&source]
            .pages
            .keys()
            .map(|url| url.rsplit('/').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let content = base.state.content_version;
    let partial = RunOutcome::Partial { reason: "stopped at 1 page".into() };
    assert_eq!(again(&mut base, vec![unchanged("a")], partial), ["a", "b", "c", "d"]);
    assert_eq!(base.state.content_version, content, "nothing changed, nothing to index");
    let seen = base.scrape(None);
    assert_eq!((seen.status, seen.error.as_deref()), (ScrapeStatus::Completed, Some("stopped at 1 page")));
    let pages = vec![unchanged("a"), failed("b", false), failed("c", true)];
    assert_eq!(again(&mut base, pages, RunOutcome::Complete), ["a", "b"]);
    assert_eq!(base.scrape(None).status, ScrapeStatus::InProgress);
    let failed_run = RunOutcome::Failed { reason: "no such host".into() };
    assert_eq!(again(&mut base, Vec::new(), failed_run), ["a", "b"], "a failed reading takes nothing away");
}

#[test]
fn results_of_an_older_try_or_run_are_refused() {
    let mut base = Base::set_up(Some("https://joes.example"), None);
    let (source, run, _) = base.crawl();
    assert_eq!(on_recovered(&base.state), Some(Command::Recovered));
    base.system(Command::Recovered).unwrap();
    assert_eq!(base.crawl().2, 2);
    let late = Command::RunProgress {
        source: source.clone(),
        run: run.clone(),
        attempt: 1,
        found: 1,
        pages: vec![done("a", "1")],
    };
    assert_eq!(code(base.system(late)), "superseded");
    let index = base.index(1);
    assert_eq!(code(base.system(Command::IndexBuilt { attempt: 1, index: index.clone() })), "superseded");
    assert_eq!(
        code(base.system(Command::IndexBuilt { attempt: 2, index: Index { version: 2, ..index.clone() } })),
        "superseded"
    );
    let ahead = Index { content_version: index.content_version + 1, ..index };
    assert_eq!(code(base.system(Command::IndexBuilt { attempt: 2, index: ahead })), "content_version");
    assert_eq!(
        code(base.manager(Command::RunBegan { source: source.clone(), run: run.clone(), attempt: 2 })),
        "not_found"
    );
    base.manager(Command::RemoveSource { source: source.clone() }).unwrap();
    assert_eq!(code(base.system(Command::RunBegan { source, run, attempt: 2 })), "superseded");
}

#[test]
fn a_run_that_starts_again_knows_what_was_read() {
    let mut base = Base::set_up(Some("https://joes.example"), None);
    base.progress(vec![done("a", "1")]).unwrap();
    base.system(Command::Recovered).unwrap();
    let (source, run, _) = base.crawl();
    let Reply::Plan { plan } = base.system(Command::RunPlan { source, run }).unwrap() else { panic!("a plan") };
    assert_eq!((plan.attempt, plan.known["https://joes.example/a"].as_str()), (2, "1"));
    assert_eq!(code(base.progress(vec![unchanged("b")])), "pages");
    base.progress(vec![unchanged("a"), done("b", "1")]).unwrap();
    let source = base.finish(RunOutcome::Complete);
    assert_eq!(base.state.sources[&source].pages.len(), 2);
}

#[test]
fn a_silent_run_starts_again_and_ends_with_what_it_has() {
    let mut base = Base::set_up(Some("https://joes.example"), None);
    base.build();
    base.progress(vec![done("a", "1")]).unwrap();
    for attempt in 2..=RUN_ATTEMPTS_MAX {
        base.now_ms += RUN_DEADLINE_MS;
        let tick = on_timer(&base.state, base.now_ms).unwrap();
        base.system(tick).unwrap();
        assert_eq!(base.crawl().2, attempt);
    }
    base.now_ms += RUN_DEADLINE_MS;
    base.system(Command::Tick).unwrap();
    base.build();
    assert_eq!((base.view().pages, base.scrape(None).status), (1, ScrapeStatus::Completed));
}

#[test]
fn the_plan_limits_pages_over_all_sources() {
    let mut base = Base::set_up(Some("https://joes.example"), Some(3));
    base.progress(vec![done("a", "1"), done("b", "1")]).unwrap();
    base.finish(RunOutcome::Complete);
    base.manager(Command::Scrape { url: "https://two.example".into(), limit: Some(50) }).unwrap();
    let (source, run, _) = base.crawl();
    let Reply::Plan { plan } = base.system(Command::RunPlan { source, run }).unwrap() else { panic!("a plan") };
    assert_eq!(plan.page_limit, 1);
    base.progress(vec![done("x", "1")]).unwrap();
    base.progress(vec![done("x", "2"), failed("z", false)]).unwrap();
    assert_eq!(code(base.progress(vec![done("y", "1")])), "max_pages");
    base.finish(RunOutcome::Partial { reason: "stopped at 1 page".into() });
    assert_eq!(code(base.manager(text_source("t"))), "max_pages");
    base.system(Command::SetLimits { max_pages: None }).unwrap();
    base.manager(text_source("t")).unwrap();
}

#[test]
fn one_site_and_one_document_are_read_at_a_time() {
    let mut base = Base::set_up(Some("https://joes.example"), None);
    base.manager(Command::Scrape { url: "https://two.example".into(), limit: None }).unwrap();
    base.manager(text_source("t1")).unwrap();
    base.manager(text_source("t2")).unwrap();
    let running = |base: &Base| {
        base.state
            .sources
            .values()
            .filter(|source| source.run.is_some())
            .map(|source| source.spec.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(running(&base), ["joes.example", "t1"]);
    assert_eq!(base.view().reading, 4);
    // Reading again while it is read waits for the next turn, once.
    let (source, ..) = base.crawl();
    for _ in 0..3 {
        base.manager(Command::Retrain { source: Some(source.clone()) }).unwrap();
    }
    assert_eq!(base.state.queue.len(), 3);
    base.progress(vec![done("a", "1")]).unwrap();
    base.finish(RunOutcome::Complete);
    assert_eq!(running(&base), ["two.example", "t1"]);
}

#[test]
fn sources_are_checked() {
    let mut base = Base::set_up(Some("https://joes.example"), None);
    let site = |url: Option<&str>| NewSource {
        kind: SourceType::Sitemap,
        name: String::new(),
        url: url.map(str::to_owned),
        content: None,
        auto_sync: true,
        sync_frequency: Some(SyncFrequency::Daily),
        limit: Some(5),
        metadata: serde_json::Map::new(),
    };
    for (new, field) in [
        (site(None), "url"),
        (site(Some("file:///etc/passwd")), "url"),
        (NewSource { limit: Some(0), ..site(Some("a.example")) }, "limit"),
        (NewSource { kind: SourceType::Youtube, ..site(Some("a.example")) }, "type"),
        (NewSource { kind: SourceType::Faq, ..site(Some("a.example")) }, "type"),
        (NewSource { kind: SourceType::FileUpload, ..site(None) }, "content"),
        (NewSource { kind: SourceType::WebsiteScrape, ..site(Some("joes.example")) }, "url"),
        (
            NewSource {
                metadata: serde_json::from_value(json!({"x": "y".repeat(5_000)})).unwrap(),
                ..site(Some("a.example"))
            },
            "metadata",
        ),
    ] {
        assert_eq!(code(base.manager(Command::AddSource { new: new.clone() })), field, "{new:?}");
    }
    let rep = Actor::User { id: "r".into(), role: Role::Rep, name: "R".into() };
    assert_eq!(code(base.ask(rep.clone(), Command::AddSource { new: site(Some("a.example")) })), "forbidden");
    assert!(base.ask(rep, Command::Sources).is_ok());
    let key = Actor::ApiKey { id: "k".into(), role: Role::Admin, agent: Some("a2".into()) };
    assert_eq!(code(base.ask(key, Command::Sources)), "not_found");
    let Reply::Source { source } = base.manager(Command::AddSource { new: site(Some("a.example/map.xml")) }).unwrap()
    else {
        panic!()
    };
    assert_eq!((source.name.as_str(), source.url.as_deref()), ("a.example", Some("https://a.example/map.xml")));
    let update = |patch| Command::UpdateSource { source: source.id.clone(), patch, content: None, if_version: None };
    assert_eq!(code(base.manager(update(json!({"status": "completed"})))), "status");
    assert_eq!(code(base.manager(update(json!({"sync_frequency": "hourly"})))), "body");
    base.manager(update(json!({"name": "Map", "sync_frequency": "monthly"}))).unwrap();
    assert_eq!(base.state.sources[&source.id].spec.name, "Map");
    let late = |if_version| {
        let patch = json!({"auto_sync": false});
        Command::UpdateSource { source: source.id.clone(), patch, content: None, if_version }
    };
    let Err(Rejection::Stale { current }) = base.manager(late(Some(source.version))) else { panic!("saved first") };
    assert_eq!((&current["name"], &current["auto_sync"]), (&json!("Map"), &json!(true)));
    base.manager(late(current["version"].as_u64())).unwrap();
    assert!(!base.state.sources[&source.id].spec.auto_sync);
}

#[test]
fn due_sources_are_read_again_by_themselves() {
    let mut base = Base::set_up(Some("https://joes.example"), None);
    base.progress(vec![done("a", "1")]).unwrap();
    let source = base.finish(RunOutcome::Complete);
    base.build();
    assert_eq!(timer(&base.state), None, "not by itself unless asked to");
    base.manager(Command::UpdateSource {
        source: source.clone(),
        patch: json!({"auto_sync": true}),
        content: None,
        if_version: None,
    })
    .unwrap();
    assert_eq!(timer(&base.state), Some(base.now_ms + 7 * DAY_MS), "weekly, as VB §3.1 has it");
    base.manager(Command::UpdateSource {
        source: source.clone(),
        patch: json!({"sync_frequency": "daily"}),
        content: None,
        if_version: None,
    })
    .unwrap();
    base.now_ms += DAY_MS;
    let tick = on_timer(&base.state, base.now_ms).unwrap();
    base.system(tick).unwrap();
    assert_eq!(base.state.sources[&source].run.as_ref().unwrap().kind, RunKind::Sync);
    base.progress(vec![unchanged("a")]).unwrap();
    base.finish(RunOutcome::Complete);
    assert_eq!((base.build_effect(), base.scrape(None).status), (None, ScrapeStatus::Completed));
    base.manager(Command::Retrain { source: None }).unwrap();
    let (id, run, _) = base.crawl();
    let Reply::Plan { plan } = base.system(Command::RunPlan { source: id, run }).unwrap() else { panic!("a plan") };
    assert!(plan.known.is_empty(), "a retraining embeds everything anew");
    base.progress(vec![done("a", "1")]).unwrap();
    base.finish(RunOutcome::Complete);
    assert!(base.build_effect().is_some());
}

#[test]
fn a_build_is_retried_and_a_failed_one_leaves_the_old_index() {
    let mut base = Base::set_up(None, None);
    base.build();
    base.manager(Command::AddFaq {
        question: "Where?".into(),
        answer: "Here.".into(),
        category: String::new(),
        priority: 5,
    })
    .unwrap();
    for attempt in 1..=BUILD_ATTEMPTS_MAX {
        base.system(Command::IndexFailed { version: 2, attempt, reason: "provider is down".into() }).unwrap();
    }
    let seen = base.view();
    assert_eq!((seen.index_version, seen.index_error.as_deref(), seen.indexing), (1, Some("provider is down"), false));
    assert_eq!(timer(&base.state), Some(base.now_ms + BUILD_RETRY_MS));
    base.now_ms += BUILD_RETRY_MS;
    let tick = on_timer(&base.state, base.now_ms).unwrap();
    base.system(tick).unwrap();
    base.build();
    let seen = base.view();
    assert_eq!((seen.index_version, seen.index_error, seen.faqs), (2, None, 2));
    assert_eq!(view::manifest(&base.state).faqs[0].question, "Where?", "higher priority first");
}

#[test]
fn questions_are_written_changed_and_removed() {
    let mut base = Base::set_up(None, None);
    let add = |question: &str, answer: &str, priority| Command::AddFaq {
        question: question.into(),
        answer: answer.into(),
        category: String::new(),
        priority,
    };
    for (command, field) in [
        (add("", "x", 0), "question"),
        (add("x", " ", 0), "answer"),
        (add("x", &"y".repeat(4_001), 0), "answer"),
        (add("x", "y", 101), "priority"),
        (add("  OPEN?!", "x", 0), "question"),
    ] {
        assert_eq!(code(base.manager(command)), field);
    }
    let Reply::Faq(faq) = base.manager(add("Do you\n tow?", "Yes.", 1)).unwrap() else { panic!("a question") };
    assert_eq!(faq.question, "Do you tow?");
    let update = |patch| Command::UpdateFaq { faq: faq.id.clone(), patch, if_version: None };
    assert_eq!(code(base.manager(update(json!({"is_auto": true})))), "is_auto");
    base.manager(update(json!({"answer": "No."}))).unwrap();
    assert_eq!(base.state.faqs[&faq.id].answer, "No.");
    let late = |if_version| Command::UpdateFaq { faq: faq.id.clone(), patch: json!({"answer": "Maybe."}), if_version };
    let Err(Rejection::Stale { current }) = base.manager(late(Some(faq.version))) else {
        panic!("somebody saved first")
    };
    assert_eq!(
        (&current["answer"], current["version"].as_u64()),
        (&json!("No."), Some(base.state.faqs[&faq.id].version))
    );
    base.manager(late(current["version"].as_u64())).unwrap();
    base.manager(Command::RemoveFaq { faq: faq.id.clone() }).unwrap();
    assert_eq!(code(base.manager(Command::RemoveFaq { faq: faq.id })), "not_found");
    assert_eq!(
        code(base.manager(Command::UpdateFaq { faq: FaqId::from("x"), patch: json!({}), if_version: None })),
        "not_found"
    );
}

#[test]
fn generated_questions_wait_to_be_accepted() {
    let mut base = Base::set_up(Some("https://joes.example"), None);
    assert_eq!(code(base.manager(Command::GenerateFaqs)), "nothing_to_read");
    base.progress(vec![done("a", "1")]).unwrap();
    base.finish(RunOutcome::Complete);
    base.build();
    base.manager(Command::GenerateFaqs).unwrap();
    assert_eq!(code(base.manager(Command::GenerateFaqs)), "already_running");
    let (run, task) = base.state.generation.clone().unwrap();
    let faq = |question: &str, answer: &str| GeneratedFaq {
        question: question.into(),
        answer: answer.into(),
        category: String::new(),
        source_url: Some("https://joes.example/a".into()),
    };
    let faqs =
        vec![faq("Do you tow?", "Yes."), faq("do you TOW", "No."), faq("open", "x"), faq("", "x"), faq("Fees?", "")];
    let content = base.state.content_version;
    base.system(Command::FaqsGenerated { run: run.clone(), attempt: task.attempt, faqs }).unwrap();
    let seen = base.view();
    assert_eq!((seen.faqs, seen.faqs_pending, seen.generating_faqs), (1, 1, false));
    assert_eq!(base.state.content_version, content, "what waits does not answer");
    assert_eq!(code(base.system(Command::FaqsGenerated { run, attempt: 1, faqs: Vec::new() })), "superseded");
    let Reply::Faqs { items } = base.manager(Command::Faqs).unwrap() else { panic!("questions") };
    assert!(items[0].is_auto && items[0].status == FaqStatus::Pending);
    base.manager(Command::UpdateFaq {
        faq: items[0].id.clone(),
        patch: json!({"status": "accepted"}),
        if_version: None,
    })
    .unwrap();
    assert_eq!(base.state.content_version, content + 1);
}

#[test]
fn unanswered_questions_gather_and_become_answers() {
    let mut base = Base::set_up(None, None);
    let note = |question: &str, conversation: &str, seq: u64| Command::NoteUnanswered {
        question: question.into(),
        conversation: conversation.into(),
        seq,
    };
    for (question, conversation, seq) in
        [("Do you tow?", "c1", 4), ("do you tow", "c2", 5), ("Open?", "c3", 6), ("?!", "c3", 7), ("Price?", "c4", 8)]
    {
        base.system(note(question, conversation, seq)).unwrap();
    }
    let Reply::Unanswered { items } = base.manager(Command::Unanswered).unwrap() else { panic!("questions") };
    assert_eq!(items.iter().map(|item| item.count).collect::<Vec<_>>(), [2, 1]);
    let asked: Vec<(&str, u64)> = items[0].asked.iter().map(|one| (one.conversation.as_str(), one.seq)).collect();
    assert_eq!(asked, [("c1", 4), ("c2", 5)]);
    base.system(Command::ForgetConversation { conversation: "c4".into() }).unwrap();
    base.system(Command::ForgetConversation { conversation: "c1".into() }).unwrap();
    assert_eq!(base.state.unanswered.len(), 1, "a group goes with its last conversation");
    let answer = |key: &str| Command::AnswerUnanswered {
        key: key.into(),
        question: "Do you tow?".into(),
        answer: "Yes.".into(),
        category: String::new(),
    };
    let Reply::Faq(faq) = base.manager(answer(&items[0].key)).unwrap() else { panic!("a question") };
    assert_eq!((faq.question.as_str(), base.state.unanswered.len()), ("Do you tow?", 0));
    assert_eq!(code(base.manager(Command::DismissUnanswered { key: "x".into() })), "not_found");
    for question in ["Do you plough?", "Do you mow?"] {
        base.system(note(question, "c9", 9)).unwrap();
    }
    let written =
        Command::AddFaq { question: "do you MOW".into(), answer: "Yes.".into(), category: String::new(), priority: 0 };
    base.manager(written).unwrap();
    let Reply::Unanswered { items } = base.manager(Command::Unanswered).unwrap() else { panic!("questions") };
    assert_eq!(items.len(), 1, "the answer that was written closes its question and no other");
    base.manager(Command::DismissUnanswered { key: items[0].key.clone() }).unwrap();
    for n in 0..UNANSWERED_MAX + 3 {
        base.now_ms += 1;
        base.system(note(&format!("question number {n}"), &format!("c{n}"), 1)).unwrap();
    }
    assert_eq!(base.state.unanswered.len(), UNANSWERED_MAX);
    let first = "c0".into();
    assert!(!base.state.unanswered.values().any(|entry| entry.asked.iter().any(|one| one.conversation == first)));
}

#[test]
fn a_visitors_words_never_reach_the_journal_of_knowledge() {
    let mut base = Base::set_up(None, None);
    for question in ["Do you fix zanzibarine clocks?", "do you fix ZANZIBARINE clocks", "And what of quokkas?"] {
        let note = Command::NoteUnanswered { question: question.into(), conversation: "c".into(), seq: 1 };
        base.system(note).unwrap();
    }
    let kept = serde_json::to_string(&(base.events.iter().map(|(event, ..)| event).collect::<Vec<_>>(), &base.state));
    let kept = kept.unwrap().to_lowercase();
    assert!(!kept.contains("zanzibarine") && !kept.contains("quokkas"), "{kept}");
    let groups: Vec<u64> = base.state.unanswered.values().map(|entry| entry.count).collect();
    assert!(groups.contains(&2) && groups.contains(&1), "and they are grouped all the same: {groups:?}");
    let mut other = Base::set_up(None, None);
    other.system(Command::SetLimits { max_pages: Some(7) }).unwrap();
    other
        .system(Command::NoteUnanswered { question: "And what of quokkas?".into(), conversation: "c".into(), seq: 1 })
        .unwrap();
    let key = other.state.unanswered.keys().next().unwrap();
    assert!(!base.state.unanswered.contains_key(key), "each agent has a key of its own");
}

#[test]
fn a_journal_of_version_1_is_read_without_its_words_and_its_groups_go_on() {
    let mut base = Base::set_up(None, None);
    let old = json!({ "type": "unanswered_noted", "key": "do you tow", "question": "Do you tow?", "conversation": "c1", "dropped": null });
    for event in [old.clone(), old] {
        let event: Event = serde_json::from_value(upgrade(1, event).unwrap()).unwrap();
        apply(&mut base.state, &event, 9, 1_000);
    }
    assert!(!serde_json::to_string(&base.state).unwrap().contains("tow"));
    base.system(Command::NoteUnanswered { question: "Do you tow".into(), conversation: "c2".into(), seq: 3 }).unwrap();
    let (key, entry) = base.state.unanswered.iter().next().unwrap();
    assert_eq!((entry.count, base.state.unanswered.len()), (3, 1));
    assert!(super::same_question(key, "do you TOW?") && !super::same_question(key, "do you row?"));
    let closed = upgrade(1, json!({ "type": "unanswered_closed", "key": "do you tow" })).unwrap();
    apply(&mut base.state, &serde_json::from_value(closed).unwrap(), 10, 1_000);
    assert!(base.state.unanswered.is_empty());
    assert!(upgrade(3, json!({})).is_err());
}

#[test]
fn what_is_deleted_is_gone() {
    let mut base = Base::set_up(Some("https://joes.example"), None);
    base.system(Command::Delete).unwrap();
    let (name, _, Effect::Sweep { mark }) = pending(&base.state).remove(0) else { panic!("what was stored goes too") };
    let Reply::Stored(stored) = base.system(Command::Stored).unwrap() else { panic!("what is stored") };
    assert!(stored.deleted && stored.named.is_empty() && name == format!("sweep:{mark}"));
    assert_eq!(code(base.manager(Command::Stored)), "not_found");
    base.system(Command::Swept { mark }).unwrap();
    assert_eq!(code(base.system(Command::Swept { mark })), "superseded");
    assert!(pending(&base.state).is_empty() && timer(&base.state).is_none() && base.state.sources.is_empty());
    assert_eq!(code(base.manager(Command::Sources)), "not_found");
    base.system(Command::NoteUnanswered { question: "x".into(), conversation: "c".into(), seq: 1 }).unwrap();
    assert_eq!(base.events.len(), base.events.iter().position(|(event, ..)| *event == Event::Deleted).unwrap() + 2);
}

#[test]
fn the_system_wide_base_tells_no_agent() {
    let mut base = Base::empty();
    let setup = Command::Setup { agent: PLATFORM.into(), website_url: None, faqs: Vec::new(), max_pages: None };
    base.system(setup).unwrap();
    base.system(text_source("guide")).unwrap();
    base.progress(vec![done("guide", "1")]).unwrap();
    base.finish(RunOutcome::Complete);
    base.build();
    assert!(base.told().is_empty() && base.view().index_version == 1);
}

#[test]
fn what_nothing_names_any_more_is_swept_but_never_beside_a_build() {
    let mut base = Base::set_up(None, None);
    base.build();
    base.system(text_source("guide")).unwrap();
    base.progress(vec![done("guide", "1")]).unwrap();
    let stored = |base: &mut Base| match base.system(Command::Stored) {
        Ok(Reply::Stored(stored)) => *stored,
        other => panic!("what is stored, not {other:?}"),
    };
    let sweeps = |base: &Base| pending(&base.state).iter().any(|(_, _, effect)| matches!(effect, Effect::Sweep { .. }));
    let running = stored(&mut base);
    assert_eq!((running.runs.len(), running.named.len()), (1, 3), "page, upload and index: {running:?}");
    base.finish(RunOutcome::Complete);
    assert!(base.state.build.is_some() && base.state.unswept.is_some() && !sweeps(&base));
    assert_eq!(code(base.system(Command::Stored)), "superseded", "a build reads what it was told of before");
    base.build();
    assert!(sweeps(&base));
    let served = stored(&mut base);
    assert!(served.runs.is_empty() && served.dropped.is_empty() && served.named.len() == 3, "{served:?}");
    let mark = base.state.unswept.unwrap();
    base.system(Command::Swept { mark }).unwrap();
    assert!(!sweeps(&base));

    let source = base.state.sources.keys().next().unwrap().clone();
    base.system(Command::RemoveSource { source }).unwrap();
    assert!(!sweeps(&base), "the index that answers is being replaced");
    base.build();
    let gone = stored(&mut base);
    assert_eq!((gone.named.len(), gone.dropped.len()), (1, 1), "the index; the upload may go: {gone:?}");
    assert_eq!(code(base.system(Command::Swept { mark })), "superseded", "of an older look");
    let mark = base.state.unswept.unwrap();
    base.system(Command::Swept { mark }).unwrap();
    assert!(stored(&mut base).dropped.is_empty());
}
