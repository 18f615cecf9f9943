//! What holds for an agent's knowledge after any sequence of commands.

use proptest::prelude::*;

use super::{
    limits::DAY_MS,
    tests::{Base, done, failed, text_source, unchanged},
    *,
};
use crate::vocabulary::ScrapeStatus;

#[derive(Clone, Debug)]
enum Step {
    Ask(Command),
    Progress(Vec<PageOutcome>),
    Finish(RunOutcome),
    Build,
    FailBuild,
    RemoveFirst,
    RetrainFirst,
    Wait(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let url = || prop::sample::select(vec!["a", "b", "c", "d"]);
    let page = prop_oneof![
        (url(), prop::sample::select(vec!["1", "2"])).prop_map(|(url, hash)| done(url, hash)),
        (url(), any::<bool>()).prop_map(|(url, gone)| failed(url, gone)),
        url().prop_map(unchanged),
    ];
    let outcome = prop_oneof![
        Just(RunOutcome::Complete),
        Just(RunOutcome::Partial { reason: "p".into() }),
        Just(RunOutcome::Failed { reason: "f".into() }),
    ];
    prop_oneof![
        4 => prop::collection::vec(page, 0..4).prop_map(Step::Progress),
        3 => outcome.prop_map(Step::Finish),
        3 => Just(Step::Build),
        1 => Just(Step::FailBuild),
        1 => Just(Step::RemoveFirst),
        1 => Just(Step::RetrainFirst),
        2 => (0_i64..4 * DAY_MS).prop_map(Step::Wait),
        1 => Just(Step::Ask(text_source("t"))),
        1 => url().prop_map(|url| Step::Ask(Command::Scrape { url: format!("https://{url}.example"), limit: Some(3) })),
        1 => Just(Step::Ask(Command::Retrain { source: None })),
        1 => Just(Step::Ask(Command::Recovered)),
        1 => "[a-c]{1,2}".prop_map(|question| Step::Ask(Command::AddFaq { question, answer: "x".into(), category: String::new(), priority: 0 })),
        1 => "[a-c]{1,2}".prop_map(|question| Step::Ask(Command::NoteUnanswered { question, conversation: "c".into(), seq: 1 })),
        1 => Just(Step::Ask(Command::GenerateFaqs)),
        1 => Just(Step::Ask(Command::SetLimits { max_pages: Some(5) })),
    ]
}

proptest! {
    #[test]
    fn any_sequence_keeps_the_invariants(steps in prop::collection::vec(any_step(), 0..60)) {
        let mut base = Base::set_up(Some("https://joes.example"), Some(5));
        let mut served = base.state.index.clone();
        for step in steps {
            let crawling = pending(&base.state).iter().any(|(_, _, effect)| matches!(effect, Effect::Crawl { .. }));
            let first = base.state.sources.keys().next().cloned();
            let _ = match step {
                Step::Ask(command) => {
                    let text = serde_json::to_string(&command).unwrap();
                    prop_assert_eq!(&serde_json::from_str::<Command>(&text).unwrap(), &command);
                    base.system(command)
                }
                Step::Progress(pages) if crawling => base.progress(pages),
                Step::Finish(outcome) if crawling => { base.finish(outcome); Ok(Reply::Done) }
                Step::Build if base.build_effect().is_some() => { base.build(); Ok(Reply::Done) }
                Step::FailBuild if base.build_effect().is_some() => {
                    let (version, attempt) = base.build_effect().unwrap();
                    base.system(Command::IndexFailed { version, attempt, reason: "x".into() })
                }
                Step::RemoveFirst if first.is_some() => base.system(Command::RemoveSource { source: first.unwrap() }),
                Step::RetrainFirst if first.is_some() => base.system(Command::Retrain { source: first }),
                Step::Wait(wait_ms) => {
                    base.now_ms += wait_ms;
                    match on_timer(&base.state, base.now_ms) {
                        Some(tick) => {
                            let reply = base.system(tick);
                            prop_assert!(timer(&base.state).is_none_or(|due| due > base.now_ms), "a due timer moves");
                            reply
                        }
                        None => Ok(Reply::Done),
                    }
                }
                _ => Ok(Reply::Done),
            };
            let state = &base.state;
            // The index that answers never goes back, and never holds more than the content.
            if let (Some(old), Some(new)) = (&served, &state.index) {
                prop_assert!(new.version >= old.version && new.content_version >= old.content_version);
            }
            prop_assert!(served.is_none() || state.index.is_some());
            served.clone_from(&state.index);
            prop_assert!(state.index.as_ref().is_none_or(|index| index.content_version <= state.content_version));
            // Whatever the index lacks is being built, or waits for its retry.
            prop_assert_eq!(state.is_behind(), state.build.is_some() || state.build_retry_ms.is_some());
            for (id, source) in &state.sources {
                prop_assert!(source.status != ScrapeStatus::Completed || source.waits_for.is_none(), "completed means it answers");
                let waits = source.waits_for.is_some_and(|wanted| wanted > state.index.as_ref().map_or(0, |index| index.content_version));
                prop_assert_eq!(source.waits_for.is_some(), waits);
                prop_assert!(source.run.is_none() || source.status != ScrapeStatus::Completed);
                let moving = source.run.is_some() || source.waits_for.is_some() || state.queue.iter().any(|(waiting, _)| waiting == id);
                prop_assert!(moving || matches!(source.status, ScrapeStatus::Completed | ScrapeStatus::Failed), "nothing hangs: {:?}", source);
            }
            let mut queued: Vec<_> = state.queue.iter().map(|(id, _)| id).collect();
            queued.dedup();
            prop_assert_eq!(queued.len(), state.queue.len());
            prop_assert!(state.queue.iter().all(|(id, _)| state.sources.contains_key(id)));
        }
        let mut replayed = Knowledge::default();
        for (event, seq, at_ms) in &base.events {
            let event: Event = serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
            apply(&mut replayed, &event, *seq, *at_ms);
        }
        prop_assert_eq!(&replayed, &base.state);
        let text = serde_json::to_string(&base.state).unwrap();
        prop_assert_eq!(serde_json::from_str::<Knowledge>(&text).unwrap(), base.state);
    }
}
