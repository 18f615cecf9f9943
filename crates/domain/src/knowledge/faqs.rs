//! Questions with prepared answers: written by people, or generated and then accepted by people.

use serde_json::Value;

use super::{
    Outcome,
    command::{GeneratedFaq, Reply},
    event::Event,
    limits::{
        ANSWER_CHARS_MAX, CATEGORY_CHARS_MAX, FAQS_MAX, GENERATE_ATTEMPTS_MAX, GENERATE_DEADLINE_MS,
        GENERATED_FAQS_MAX, PRIORITY_MAX, QUESTION_CHARS_MAX,
    },
    settled,
    sources::kept,
    state::{Faq, FaqStatus, Knowledge, Task},
    system, unanswered, view, writer,
};
use crate::{
    check::{Checks, is_bounded_json, is_web_address, merge_patch},
    context::Context,
    decision::Decision,
    ids::FaqId,
    rejection::Rejection,
    text::Words,
};

/// What people write.
pub(super) struct Text {
    pub(super) question: String,
    pub(super) answer: String,
    pub(super) category: String,
    pub(super) priority: i32,
}

/// What an owner may change of a question.
const CHANGEABLE: [&str; 5] = ["question", "answer", "category", "priority", "status"];

pub(super) fn add(state: &Knowledge, cx: &Context, text: Text) -> Outcome {
    writer(state, cx)?;
    let groups = unanswered::groups_of(state, &text.question);
    let event = new(state, cx, text)?;
    let mut events = vec![event];
    // Who writes the answer to what visitors asked has answered it.
    events.extend(groups.into_iter().map(|key| Event::UnansweredClosed { key }));
    Ok(put(state, cx, events))
}

/// A new accepted question, checked.
pub(super) fn new(state: &Knowledge, cx: &Context, text: Text) -> Result<Event, Rejection> {
    if state.faqs.len() >= FAQS_MAX {
        return Err(Rejection::LimitReached {
            limit: "faqs".to_owned(),
            detail: format!("An agent can have at most {FAQS_MAX} questions. Remove some first."),
        });
    }
    let text = checked(state, None, text)?;
    Ok(Event::FaqPut {
        faq: FaqId(cx.fresh_id(0)),
        question: text.question,
        answer: text.answer,
        category: text.category,
        priority: text.priority,
        is_auto: false,
        status: FaqStatus::Accepted,
        source_url: None,
    })
}

pub(super) fn update(state: &Knowledge, cx: &Context, id: FaqId, patch: &Value, if_version: Option<u64>) -> Outcome {
    writer(state, cx)?;
    let known = state.faqs.get(&id).ok_or_else(|| Rejection::not_found("question"))?;
    if if_version.is_some_and(|version| version != known.version) {
        return Err(Rejection::Stale { current: serde_json::to_value(view::faq(&id, known)).unwrap_or(Value::Null) });
    }
    let Value::Object(fields) = patch else { return Err(Rejection::invalid("body", "must be a JSON object")) };
    let mut checks = Checks::default();
    for field in fields.keys().filter(|field| !CHANGEABLE.contains(&field.as_str())) {
        checks.fail(field, format!("cannot be changed; what can are {}", CHANGEABLE.join(", ")));
    }
    checks.finish()?;
    if !is_bounded_json(patch, 8 * ANSWER_CHARS_MAX) {
        return Err(Rejection::invalid("body", "is too large"));
    }
    let mut merged = serde_json::to_value(known).unwrap_or(Value::Null);
    merge_patch(&mut merged, patch);
    let new: Faq = serde_json::from_value(merged)
        .map_err(|error| Rejection::invalid("body", format!("is not understood: {error}")))?;
    let text = Text { question: new.question, answer: new.answer, category: new.category, priority: new.priority };
    let text = checked(state, Some(&id), text)?;
    let event = Event::FaqPut {
        faq: id,
        question: text.question,
        answer: text.answer,
        category: text.category,
        priority: text.priority,
        is_auto: known.is_auto,
        status: new.status,
        source_url: known.source_url.clone(),
    };
    Ok(put(state, cx, vec![event]))
}

pub(super) fn remove(state: &Knowledge, cx: &Context, faq: FaqId) -> Outcome {
    writer(state, cx)?;
    if !state.faqs.contains_key(&faq) {
        return Err(Rejection::not_found("question"));
    }
    let (events, _) = settled(state, cx, vec![Event::FaqRemoved { faq }]);
    Ok(Decision::new(events, Reply::Done))
}

pub(super) fn generate(state: &Knowledge, cx: &Context) -> Outcome {
    writer(state, cx)?;
    if state.generation.is_some() {
        return Err(Rejection::conflict("already_running", "Questions are being looked for already."));
    }
    if state.sources.values().all(|source| source.pages.is_empty()) {
        return Err(Rejection::conflict(
            "nothing_to_read",
            "Add a website or a document first: questions are found in its pages.",
        ));
    }
    Ok(Decision::event(start(cx.fresh_id(0), 1, cx), Reply::Done))
}

pub(super) fn generated(state: &Knowledge, cx: &Context, run: &str, attempt: u32, found: Vec<GeneratedFaq>) -> Outcome {
    current(state, cx, run, attempt)?;
    let mut asked: Vec<String> = state.faqs.values().map(|faq| key_of(&faq.question)).collect();
    let mut events = Vec::new();
    let room = FAQS_MAX.saturating_sub(state.faqs.len()).min(GENERATED_FAQS_MAX);
    for faq in found {
        let text = Text { question: faq.question, answer: faq.answer, category: faq.category, priority: 0 };
        // What a model or a heuristic found may be anything; what does not fit is left out.
        let Some(text) = events.len().lt(&room).then(|| cleaned(text)).filter(|text| problems(text).finish().is_ok())
        else {
            continue;
        };
        let key = key_of(&text.question);
        if key.is_empty() || asked.contains(&key) {
            continue;
        }
        asked.push(key);
        let number = u8::try_from(events.len()).unwrap_or(u8::MAX);
        events.push(Event::FaqPut {
            faq: FaqId(cx.fresh_id(number)),
            question: text.question,
            answer: text.answer,
            category: text.category,
            priority: 0,
            is_auto: true,
            status: FaqStatus::Pending,
            source_url: faq.source_url.filter(|url| is_web_address(url)),
        });
    }
    events.push(Event::GenerationEnded { failure: None });
    Ok(Decision::new(events, Reply::Done))
}

pub(super) fn generation_failed(state: &Knowledge, cx: &Context, run: &str, attempt: u32, reason: &str) -> Outcome {
    let task = current(state, cx, run, attempt)?;
    Ok(Decision::event(again_or_end(run, task, cx, kept(reason)), Reply::Done))
}

/// A search without news in time.
pub(super) fn overdue(state: &Knowledge, cx: &Context) -> Option<Event> {
    let (run, task) = state.generation.as_ref().filter(|(_, task)| task.deadline_ms <= cx.now_ms)?;
    Some(again_or_end(run, *task, cx, "looking for questions took too long".to_owned()))
}

/// A lost search begins again.
pub(super) fn restarted(state: &Knowledge, cx: &Context) -> Option<Event> {
    state.generation.as_ref().map(|(run, task)| start(run.clone(), task.attempt.saturating_add(1), cx))
}

/// What two questions are compared by.
pub(super) fn key_of(question: &str) -> String {
    Words::of(question).joined().chars().take(QUESTION_CHARS_MAX).collect()
}

/// The events, and the question the first of them puts.
pub(super) fn put(state: &Knowledge, cx: &Context, events: Vec<Event>) -> Decision<Event, Reply> {
    let id =
        events.iter().find_map(|event| if let Event::FaqPut { faq, .. } = event { Some(faq.clone()) } else { None });
    let (events, after) = settled(state, cx, events);
    let shown = id.and_then(|id| Some((id.clone(), after.faqs.get(&id)?)));
    let reply = shown.map_or(Reply::Done, |(id, faq)| Reply::Faq(view::faq(&id, faq)));
    Decision::new(events, reply)
}

fn checked(state: &Knowledge, own: Option<&FaqId>, text: Text) -> Result<Text, Rejection> {
    let text = cleaned(text);
    let mut checks = problems(&text);
    let key = key_of(&text.question);
    let taken = state.faqs.iter().any(|(id, faq)| Some(id) != own && key_of(&faq.question) == key);
    checks.ensure(!taken, "question", "is there already");
    checks.finish()?;
    Ok(text)
}

fn cleaned(text: Text) -> Text {
    Text {
        question: crate::text::one_line(&text.question),
        answer: text.answer.trim().to_owned(),
        category: crate::text::one_line(&text.category),
        priority: text.priority,
    }
}

fn problems(text: &Text) -> Checks {
    let mut checks = Checks::default();
    checks.line("question", &text.question, 1, QUESTION_CHARS_MAX);
    checks.text("answer", &text.answer, 1, ANSWER_CHARS_MAX);
    checks.line("category", &text.category, 0, CATEGORY_CHARS_MAX);
    let priority = (-PRIORITY_MAX..=PRIORITY_MAX).contains(&text.priority);
    checks.ensure(priority, "priority", format!("must be from -{PRIORITY_MAX} to {PRIORITY_MAX}"));
    checks
}

fn start(run: String, attempt: u32, cx: &Context) -> Event {
    Event::GenerationStarted { run, attempt, deadline_ms: cx.now_ms + GENERATE_DEADLINE_MS }
}

fn again_or_end(run: &str, task: Task, cx: &Context, reason: String) -> Event {
    if task.attempt < GENERATE_ATTEMPTS_MAX {
        start(run.to_owned(), task.attempt + 1, cx)
    } else {
        Event::GenerationEnded { failure: Some(reason) }
    }
}

fn current(state: &Knowledge, cx: &Context, run: &str, attempt: u32) -> Result<Task, Rejection> {
    system(cx)?;
    match &state.generation {
        Some((id, task)) if id == run && task.attempt == attempt => Ok(*task),
        Some(_) | None => Err(Rejection::Superseded),
    }
}
