//! Sources: added, changed, removed.

use serde_json::Value;

use super::{
    Outcome,
    command::{NewSource, Reply},
    event::Event,
    limits::{METADATA_BYTES_MAX, PAGES_MAX, SOURCES_MAX, TEXT_CHARS_MAX},
    no_source, not_found, settled,
    state::{Blob, FaqStatus, Knowledge, RunKind, is_site, sync_days},
    view, writer,
};
use crate::{
    catalog::template::SampleFaq,
    check::{Checks, NAME_CHARS_MAX, is_bounded_json, is_web_address, merge_patch},
    context::Context,
    decision::Decision,
    ids::{AgentId, FaqId, SourceId},
    principal::Actor,
    rejection::Rejection,
    text::{counted, shorten},
    vocabulary::{SourceType, SyncFrequency},
};

/// Questions a template may bring; each needs an id of one decision, of which there are 256.
const SETUP_FAQS_MAX: usize = 200;

/// What an owner may change of a source.
const CHANGEABLE: [&str; 6] = ["name", "url", "auto_sync", "sync_frequency", "limit", "metadata"];

pub(super) fn set_up(
    state: &Knowledge,
    cx: &Context,
    agent: AgentId,
    website_url: Option<String>,
    faqs: Vec<SampleFaq>,
    max_pages: Option<u32>,
) -> Outcome {
    match cx.principal.actor {
        Actor::System | Actor::Platform { .. } => {}
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Visitor { .. } => return Err(not_found()),
    }
    if state.exists() {
        cx.bound_to(&state.tenant, "agent")?;
        return Ok(Decision::reply(Reply::Done));
    }
    if state.deleted_ms.is_some() || agent.0.is_empty() || faqs.len() > SETUP_FAQS_MAX {
        return Err(Rejection::conflict("already_done", "This agent's knowledge was deleted or cannot begin."));
    }
    let mut events = vec![Event::SetUp { agent, tenant: cx.principal.tenant.clone(), max_pages }];
    for (n, faq) in (0_u8..).zip(faqs) {
        events.push(Event::FaqPut {
            faq: FaqId(cx.fresh_id(n)),
            question: faq.q,
            answer: faq.a,
            category: faq.category,
            priority: 0,
            is_auto: false,
            status: FaqStatus::Accepted,
            source_url: None,
        });
    }
    if let Some(url) = website_url {
        let site = NewSource {
            kind: SourceType::WebsiteScrape,
            name: String::new(),
            url: Some(url),
            content: None,
            auto_sync: false,
            sync_frequency: None,
            limit: None,
            metadata: serde_json::Map::new(),
        };
        let source = SourceId(cx.fresh_id(u8::MAX));
        events.push(Event::SourceAdded { source: source.clone(), new: checked(site)? });
        events.push(Event::RunQueued { source, kind: RunKind::Read });
    }
    let (events, _) = settled(state, cx, events);
    Ok(Decision::new(events, Reply::Done))
}

pub(super) fn add(state: &Knowledge, cx: &Context, new: NewSource) -> Outcome {
    writer(state, cx)?;
    let new = checked(new)?;
    if state.sources.len() >= SOURCES_MAX {
        return Err(Rejection::LimitReached {
            limit: "sources".to_owned(),
            detail: format!("An agent can have at most {SOURCES_MAX} sources. Remove one first."),
        });
    }
    let same = |url: &Option<String>| {
        state.sources.values().any(|known| known.spec.kind == new.kind && known.spec.url == *url)
    };
    if new.url.is_some() && same(&new.url) {
        return Err(Rejection::invalid("url", "is a source of this agent already; retrain it instead"));
    }
    let source = SourceId(cx.fresh_id(0));
    room(state, &source)?;
    let events = vec![
        Event::SourceAdded { source: source.clone(), new },
        Event::RunQueued { source: source.clone(), kind: RunKind::Read },
    ];
    Ok(seen(state, cx, events, &source))
}

pub(super) fn scrape(state: &Knowledge, cx: &Context, url: &str, limit: Option<u32>) -> Outcome {
    writer(state, cx)?;
    let url = web_address(url);
    let known = state.sources.iter().find(|(_, source)| {
        source.spec.kind == SourceType::WebsiteScrape && source.spec.url.as_deref() == Some(url.as_str())
    });
    let Some((id, source)) = known else {
        let site = NewSource {
            kind: SourceType::WebsiteScrape,
            name: String::new(),
            url: Some(url),
            content: None,
            auto_sync: false,
            sync_frequency: None,
            limit,
            metadata: serde_json::Map::new(),
        };
        return add(state, cx, site);
    };
    let mut events = Vec::new();
    if limit.is_some() && limit != source.spec.limit {
        let new = checked(NewSource { limit, ..source.spec.clone() })?;
        events.push(Event::SourceUpdated { source: id.clone(), new, next_sync_ms: source.next_sync_ms });
    }
    room(state, id)?;
    if !state.queue.iter().any(|(waiting, _)| waiting == id) {
        events.push(Event::RunQueued { source: id.clone(), kind: RunKind::Read });
    }
    Ok(seen(state, cx, events, id))
}

pub(super) fn update(
    state: &Knowledge,
    cx: &Context,
    id: SourceId,
    patch: &Value,
    content: Option<Blob>,
    if_version: Option<u64>,
) -> Outcome {
    writer(state, cx)?;
    let source = state.sources.get(&id).ok_or_else(no_source)?;
    if if_version.is_some_and(|version| version != source.version) {
        let current = serde_json::to_value(view::source(state, &id)).unwrap_or(Value::Null);
        return Err(Rejection::Stale { current });
    }
    let Value::Object(fields) = patch else { return Err(Rejection::invalid("body", "must be a JSON object")) };
    let mut checks = Checks::default();
    for field in fields.keys().filter(|field| !CHANGEABLE.contains(&field.as_str())) {
        checks.fail(field, format!("cannot be changed; what can are {}", CHANGEABLE.join(", ")));
    }
    checks.finish()?;
    let mut merged = serde_json::to_value(&source.spec).unwrap_or(Value::Null);
    if !is_bounded_json(patch, 4 * METADATA_BYTES_MAX) {
        return Err(Rejection::invalid("body", "is too large or too deeply nested"));
    }
    merge_patch(&mut merged, patch);
    let mut new: NewSource = serde_json::from_value(merged)
        .map_err(|error| Rejection::invalid("body", format!("is not understood: {error}")))?;
    if content.is_some() {
        new.content = content;
    }
    let new = checked(new)?;
    if new == source.spec {
        return Ok(seen(state, cx, Vec::new(), &id));
    }
    let elsewhere = new.url != source.spec.url || new.content != source.spec.content;
    let next_sync_ms = match source.synced_ms {
        Some(synced) if source.run.is_none() => next_sync(&new, synced),
        Some(_) | None => None,
    };
    let mut events = vec![Event::SourceUpdated { source: id.clone(), new, next_sync_ms }];
    if elsewhere && !state.queue.iter().any(|(waiting, _)| *waiting == id) {
        events.push(Event::RunQueued { source: id.clone(), kind: RunKind::Read });
    }
    Ok(seen(state, cx, events, &id))
}

pub(super) fn remove(state: &Knowledge, cx: &Context, source: SourceId) -> Outcome {
    writer(state, cx)?;
    if !state.sources.contains_key(&source) {
        return Err(no_source());
    }
    let (events, _) = settled(state, cx, vec![Event::SourceRemoved { source }]);
    Ok(Decision::new(events, Reply::Done))
}

/// When a source is read again by itself, counted from an instant.
pub(super) fn next_sync(spec: &NewSource, from_ms: i64) -> Option<i64> {
    let days = sync_days(spec.sync_frequency.unwrap_or(SyncFrequency::Weekly));
    (spec.auto_sync && is_site(spec.kind)).then_some(from_ms + days * super::limits::DAY_MS)
}

/// Refuses what the plan leaves no room for.
pub(super) fn room(state: &Knowledge, source: &SourceId) -> Result<(), Rejection> {
    if state.page_limit(source) > 0 {
        return Ok(());
    }
    let limit = state.max_pages.unwrap_or(PAGES_MAX).min(PAGES_MAX);
    Err(Rejection::LimitReached {
        limit: "max_pages".to_owned(),
        detail: format!(
            "The plan's {} {} used. Remove a source or choose a larger plan.",
            counted(limit, "page"),
            if limit == 1 { "is" } else { "are" }
        ),
    })
}

fn seen(state: &Knowledge, cx: &Context, events: Vec<Event>, source: &SourceId) -> Decision<Event, Reply> {
    let (events, after) = settled(state, cx, events);
    let reply = view::source(&after, source).map_or(Reply::Done, |view| Reply::Source { source: Box::new(view) });
    Decision::new(events, reply)
}

/// A source with its texts cleaned, its defaults filled in and its fields checked.
fn checked(mut new: NewSource) -> Result<NewSource, Rejection> {
    let mut checks = Checks::default();
    match new.kind {
        SourceType::WebsiteScrape | SourceType::Sitemap => {
            new.url = new.url.take().map(|url| web_address(&url));
            match &new.url {
                Some(url) => checks.web_address("url", url),
                None => checks.fail("url", "must be the address of the site or sitemap"),
            }
            checks.ensure(new.content.is_none(), "content", "belongs to texts and files, not to sites");
        }
        SourceType::FileUpload | SourceType::ManualText => {
            match &new.content {
                Some(content) => checks.ensure(content.bytes > 0, "content", "must not be empty"),
                None => checks.fail("content", "must be a text or a file"),
            }
            new.url = new.url.take().filter(|url| !url.trim().is_empty());
            if let Some(url) = &new.url {
                checks.web_address("url", url);
            }
        }
        SourceType::Faq => checks.fail("type", "cannot be faq here: add questions to the agent's FAQs"),
        SourceType::Youtube => checks.fail("type", "cannot be youtube yet: add the video's transcript as manual_text"),
    }
    new.name = shorten(new.name.trim(), NAME_CHARS_MAX);
    if new.name.is_empty() {
        let file = new.content.as_ref().map(|content| content.file_name.as_str()).filter(|name| !name.is_empty());
        let host = new.url.as_deref().map(host_of);
        new.name = shorten(file.or(host).unwrap_or("Text"), NAME_CHARS_MAX);
    }
    checks.line("name", &new.name, 1, NAME_CHARS_MAX);
    new.sync_frequency.get_or_insert(SyncFrequency::Weekly);
    if let Some(limit) = new.limit {
        checks.ensure((1..=PAGES_MAX).contains(&limit), "limit", format!("must be from 1 to {PAGES_MAX}"));
    }
    let small = is_bounded_json(&Value::Object(new.metadata.clone()), METADATA_BYTES_MAX);
    checks.ensure(small, "metadata", format!("must be at most {METADATA_BYTES_MAX} bytes"));
    checks.finish()?;
    Ok(new)
}

/// People type `example.com`; that means the site.
fn web_address(typed: &str) -> String {
    let typed = typed.trim();
    let whole = format!("https://{typed}");
    if !typed.contains("://") && is_web_address(&whole) { whole } else { typed.to_owned() }
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// A text of a task, cut to what is kept.
pub(super) fn kept(text: &str) -> String {
    shorten(text.trim(), TEXT_CHARS_MAX)
}
