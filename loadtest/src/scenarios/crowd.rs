//! Visitors with conversations that are already under way, and the tally of what their turns came to.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use colloquy_wire::chat::{ChatRequest, ChatResponse};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::api::Owner;
use crate::error::{Error, Result};
use crate::http_client::Client;
use crate::spread::Spread;
use crate::turn::{ask, visitor_id};
use crate::wording::{Dice, question, text};

/// Calls under way at once while setting up: enough to keep the journal's group commits full.
const AT_ONCE: u64 = 64;
/// How often opening a conversation is tried, and how long it rests in between.
const OPENING_TRIES: u32 = 10;
const OPENING_PAUSE: Duration = Duration::from_millis(500);
/// How often the progress of a long preparation is told, seconds.
const TELL_EVERY_S: u64 = 15;
/// What an agent knows before it is asked: about twenty chunks.
const KNOWLEDGE_WORDS: usize = 7_000;

/// A visitor with an open conversation.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// The agent talked to.
    pub(crate) agent: String,
    /// The visitor's own id.
    pub(crate) id: String,
    /// The conversation.
    pub(crate) conversation: String,
    /// What opens it.
    pub(crate) token: String,
}

/// What turns came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Turns with a complete answer.
    pub(crate) answered: u64,
    /// When the first of them was due, and when the last was complete.
    pub(crate) between: Option<(Instant, Instant)>,
    /// Beyond the model's own time, from the intended start to the complete answer.
    pub(crate) added: Spread,
    /// Beyond the model's own time, from the intended start to the first words.
    pub(crate) first_added: Spread,
    /// How late the generator itself began.
    pub(crate) lag: Spread,
    /// Turns that failed, by kind.
    pub(crate) failures: BTreeMap<String, u64>,
}

impl Visitor {
    /// Someone who has not said anything yet, and so has no conversation.
    pub(crate) fn new(agent: &str) -> Self {
        Self { agent: agent.to_owned(), id: visitor_id(), conversation: String::new(), token: String::new() }
    }

    /// The visitor's next message.
    pub(crate) fn request(&self, message: String) -> ChatRequest {
        ChatRequest {
            agent_id: self.agent.clone(),
            conversation_id: (!self.conversation.is_empty()).then(|| self.conversation.clone()),
            message,
            visitor_id: self.id.clone(),
            client_message_id: Some(visitor_id()),
            metadata: None,
        }
    }

    /// The first message, which opens the conversation.
    pub(crate) async fn open(mut self, client: &Arc<Client>, number: u64) -> Result<Self> {
        let request = self.request(question(number));
        let mut tries = OPENING_TRIES;
        let turn = loop {
            match ask(client, &request, None).await {
                // Opened as fast as can be, a cluster may say that it is busy; with the same id nothing happens twice.
                Err(Error::Refused { status: 503, .. }) if tries > 1 => tries -= 1,
                outcome => break outcome?,
            }
            tokio::time::sleep(OPENING_PAUSE).await;
        };
        let answer = turn.answer.ok_or_else(|| Error::unexpected("POST /api/chat", "no message"))?;
        self.conversation = answer.conversation_id;
        self.token = answer.visitor_token;
        Ok(self)
    }
}

impl Tally {
    /// Counts an answered turn: when it was due, when it began, when first words and the whole came, and what the model itself took.
    pub(crate) fn answered(
        &mut self,
        intended: Instant,
        begun: Instant,
        first: Option<Instant>,
        done: Instant,
        model: (Duration, Duration),
    ) {
        let (model_first, model_whole) = model;
        self.answered += 1;
        let (due, end) = self.between.unwrap_or((intended, done));
        self.between = Some((due.min(intended), end.max(done)));
        self.lag.add(begun.duration_since(intended));
        self.added.add(done.duration_since(intended).saturating_sub(model_whole));
        if let Some(first) = first {
            self.first_added.add(first.duration_since(intended).saturating_sub(model_first));
        }
    }

    /// Answers a second: from the moment the first could have been complete until the last was.
    pub(crate) fn per_second(&self, model_whole: Duration) -> f64 {
        let time =
            self.between.map_or(Duration::ZERO, |(due, end)| end.duration_since(due).saturating_sub(model_whole));
        if time.is_zero() { 0.0 } else { self.answered as f64 / time.as_secs_f64() }
    }

    /// Counts a turn that failed.
    pub(crate) fn failed(&mut self, kind: String) {
        *self.failures.entry(kind).or_default() += 1;
    }

    /// Adds what another tally has counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.between = match (self.between, other.between) {
            (Some((due, end)), Some((other_due, other_end))) => Some((due.min(other_due), end.max(other_end))),
            (own, other) => own.or(other),
        };
        self.added.merge(&other.added);
        self.first_added.merge(&other.first_added);
        self.lag.merge(&other.lag);
        for (kind, count) in other.failures {
            *self.failures.entry(kind).or_default() += count;
        }
    }

    /// Failures in words; empty without any.
    pub(crate) fn failures_in_words(&self) -> String {
        self.failures.iter().map(|(kind, count)| format!("{count}× {kind}")).collect::<Vec<_>>().join(", ")
    }
}

/// Agents of several organizations, each with some knowledge.
pub(crate) async fn make_agents(
    client: &Arc<Client>,
    organizations: u64,
    agents_each: u64,
) -> Result<Vec<(Arc<Owner>, String)>> {
    let mut agents = Vec::new();
    for organization in 0..organizations {
        let owner = Arc::new(Owner::sign_up(client).await?);
        for agent in 0..agents_each {
            let id = owner.new_agent(&format!("Front desk {agent}")).await?;
            let mut dice = Dice::new(organization * agents_each + agent);
            owner.teach(&id, "What we do", text(&mut dice, KNOWLEDGE_WORDS)).await?;
            agents.push((Arc::clone(&owner), id));
        }
    }
    Ok(agents)
}

/// Opens conversations spread evenly over agents; ends early, with those that are open, when the time is over.
pub(crate) async fn open_conversations(
    client: &Arc<Client>,
    agents: &[(Arc<Owner>, String)],
    count: u64,
    within: Duration,
) -> Result<Vec<Visitor>> {
    let begun = Instant::now();
    let told = Arc::new(AtomicU64::new(0));
    let client = Arc::clone(client);
    let names: Arc<Vec<String>> = Arc::new(agents.iter().map(|(_, agent)| agent.clone()).collect());
    many(count, move |number| {
        let (client, names, told) = (Arc::clone(&client), Arc::clone(&names), Arc::clone(&told));
        async move {
            tell(&told, number, count, begun);
            if begun.elapsed() > within {
                return Ok(None);
            }
            let agent = &names[(number % names.len() as u64) as usize];
            Visitor::new(agent).open(&client, number).await.map(Some)
        }
    })
    .await
    .map(|opened| opened.into_iter().flatten().collect())
}

/// Says now and then how far opening conversations has come: a run is watched.
fn tell(told: &AtomicU64, number: u64, count: u64, begun: Instant) {
    let due = begun.elapsed().as_secs() / TELL_EVERY_S;
    if due > told.fetch_max(due, Ordering::Relaxed) {
        eprintln!("    … {number} of {count} conversations are open");
    }
}

/// Does something `count` times, many at once, and gives the results in order; the first failure ends it.
pub(crate) async fn many<T, F, Fut>(count: u64, work: F) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Fn(u64) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T>> + Send,
{
    let next = Arc::new(AtomicU64::new(0));
    let done = Arc::new(Mutex::new(BTreeMap::new()));
    let work = Arc::new(work);
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE.min(count) {
        let (next, done, work) = (Arc::clone(&next), Arc::clone(&done), Arc::clone(&work));
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                let result = work(number).await?;
                done.lock().unwrap_or_else(PoisonError::into_inner).insert(number, result);
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.map_err(|error| Error::Setup(format!("a worker broke: {error}")))??;
    }
    let done = std::mem::take(&mut *done.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(done.into_values().collect())
}

/// Whether an answer is one: a fallback counts, silence does not.
pub(crate) fn is_answer(answer: &ChatResponse) -> bool {
    !answer.response.is_empty() && answer.message_id.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_gives_every_result_in_order_with_few_at_once() {
        let under_way = Arc::new(AtomicU64::new(0));
        let watched = Arc::clone(&under_way);
        let results = many(500, move |number| {
            let under_way = Arc::clone(&watched);
            async move {
                let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::task::yield_now().await;
                under_way.fetch_sub(1, Ordering::SeqCst);
                Ok((number, now))
            }
        })
        .await
        .expect("results");
        assert!(results.iter().enumerate().all(|(at, (number, _))| at as u64 == *number));
        assert!(results.iter().all(|(_, now)| *now <= AT_ONCE));
        assert!(results.iter().any(|(_, now)| *now > 1), "nothing ran side by side");
    }

    #[tokio::test]
    async fn the_first_failure_ends_the_rest() {
        let failed =
            many(10, |number| async move { if number == 3 { Err(Error::Setup("three".into())) } else { Ok(number) } })
                .await;
        assert_eq!(failed.expect_err("failure").to_string(), "three");
    }

    #[tokio::test]
    async fn the_models_own_time_is_taken_off_and_waiting_before_the_start_is_not() {
        let due = Instant::now();
        let at = |ms| due + Duration::from_millis(ms);
        let model = (Duration::from_millis(200), Duration::from_millis(390));
        let mut tally = Tally::default();
        tally.answered(due, at(7), Some(at(212)), at(400), model);
        tally.failed("503 busy".into());
        tally.failed("503 busy".into());
        let ms = |spread: &Spread| spread.percentiles().expect("sample").max.as_millis();
        assert_eq!((ms(&tally.lag), ms(&tally.first_added), ms(&tally.added)), (7, 12, 10));
        assert_eq!(tally.failures_in_words(), "2× 503 busy");
        assert!((tally.per_second(model.1) - 100.0).abs() < 1e-6, "one answer in the 10 ms that were added");
        assert!(Tally::default().per_second(model.1) < 1e-9);
    }
}
