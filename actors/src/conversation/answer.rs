//! Answers one turn: understand, retrieve, let a model or the built-in responder speak, bring the result back as a command.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use colloquy_cluster::effect::EffectHandle;
use colloquy_domain::conversation::confidential::Confidential;
use colloquy_domain::conversation::dialogue::{self, Brief, Setting, Understanding};
use colloquy_domain::conversation::{Answer, Command, KnowledgeAnswer, Reply, Retrieved, RetrievedRef, Stages, Trace};
use colloquy_domain::ids::{MessageId, TenantId, TurnId};
use colloquy_domain::{Principal, Rejection};
use tokio::sync::mpsc;

use super::lookup::{self, Library, OTHER_WORDS_MAX};
use super::stream::{self, Piece};
use super::{ConversationEntity, booking, model};
use crate::core::Asked;
use crate::{ActorError, Tools};

/// Told to colleagues whose whisper came to nothing.
const WHISPER_UNUSED: &str = "a whisper could not be followed: the built-in responder says only what stands in the knowledge, and it has nothing on that; take over to say it yourself";

/// What an attempt works with.
pub(super) struct Attempt<'a> {
    pub(super) tools: &'a Tools,
    pub(super) handle: &'a EffectHandle,
    pub(super) setting: Setting<'a>,
    pub(super) brief: &'a Brief,
    pub(super) understanding: &'a Understanding,
    pub(super) retrieved: &'a Retrieved,
    /// What the built-in responder says on what was asked.
    pub(super) found: Option<&'a KnowledgeAnswer>,
    /// The questions on which it has nothing to say.
    pub(super) missed: &'a [String],
    pub(super) library: &'a Library<'a>,
}

/// What was said, and how it came about.
pub(super) struct Said {
    pub(super) answer: Answer,
    /// When, what and with whom a model wants to find free times.
    pub(super) wish: Option<String>,
}

/// Ends what is kept of an answer in the making when its task ends, whatever ends it.
struct Shown<'a> {
    tools: &'a Tools,
    handle: &'a EffectHandle,
    answer_id: &'a MessageId,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.tools.streams.end(self.handle.key(), self.answer_id);
    }
}

/// Runs one attempt until its result stands, or it is cancelled.
pub(super) async fn turn(tools: &Tools, handle: &EffectHandle, turn: TurnId, attempt: u32, answer_id: MessageId) {
    let begun = Instant::now();
    let _shown = Shown { tools, handle, answer_id: &answer_id };
    let handed = AtomicBool::new(false);
    let mut running = pin!(attempt_turn(tools, handle, &turn, attempt, begun, &handed));
    tokio::select! {
        outcome = &mut running => {
            if let Err(reason) = outcome {
                tracing::warn!(conversation = %handle.key().id, turn = %turn, attempt, reason = %reason, "a turn's attempt failed");
                stream::discard(handle, &answer_id, "failed");
                send(handle, Command::TurnFailed { turn: turn.clone(), attempt, reason }).await;
            }
        }
        // A newer message, a person or the end of the conversation; or the answer itself, which ends its turn: only what the conversation replied tells.
        () = handle.cancelled() => {
            let stands = handed.load(Ordering::Relaxed) && matches!(running.await, Ok(true));
            if !stands {
                stream::discard(handle, &answer_id, "superseded");
            }
        }
    }
}

/// Whether the attempt's answer stands now. `handed` is set when it is on its way there.
async fn attempt_turn(
    tools: &Tools,
    handle: &EffectHandle,
    turn: &TurnId,
    attempt: u32,
    begun: Instant,
    handed: &AtomicBool,
) -> Result<bool, String> {
    let brief = match command(handle, Command::Brief { turn: turn.clone(), attempt }).await {
        Ok(Reply::Brief(brief)) => *brief,
        Ok(_) | Err(ActorError::Rejected(_)) => return Ok(false), // Somebody else has the turn by now.
        Err(error) => return Err(error.to_string()),
    };
    stream::typing(handle);
    let queue_ms = millis(begun);
    let tenant = TenantId::from(&*handle.key().tenant);
    let agent = tools.agent(handle.client(), &tenant, &brief.agent_id).await.map_err(|error| error.to_string())?;
    let (config, confidential) = match &brief.config_override {
        Some(config) => (Arc::new((**config).clone()), Arc::new(Confidential::of(config))),
        None => (agent.config.clone(), agent.confidential.clone()),
    };
    let config = dialogue::errand::equipped(&config, &brief).map_or(config, Arc::new);
    let setting = Setting {
        config: &config,
        confidential: &confidential,
        scoring: &tools.catalog.scoring,
        hours: &agent.hours,
        timezone: &agent.timezone,
        now_ms: handle.client().now_ms(),
    };

    let (understanding, sent) = match &brief.understood {
        Some(understood) => ((**understood).clone(), true),
        None => {
            let booked = if dialogue::errand::hears_wish(&setting, &brief) {
                None
            } else {
                booking::attend(tools, handle, &setting, &brief).await
            };
            let understanding = booked.unwrap_or_else(|| dialogue::understand(&setting, &brief));
            let ahead = understanding.facts.must_not_wait();
            if ahead {
                let facts =
                    Command::Understood { turn: turn.clone(), attempt, understanding: Box::new(understanding.clone()) };
                match command(handle, facts).await {
                    Ok(_) => {}
                    Err(ActorError::Rejected(_)) => return Ok(false),
                    Err(error) => return Err(error.to_string()),
                }
            }
            (understanding, ahead)
        }
    };

    let retrieving = Instant::now();
    let wants = understanding.plan.wants_knowledge;
    // What the calendar says is said exactly: a model is only asked where something else is to be answered too.
    let asks_model = !dialogue::errand::is_all(&understanding) && (!understanding.facts.books() || wants);
    let library = Library {
        tools,
        client: handle.client(),
        tenant: &tenant,
        agent: &brief.agent_id,
        config: &config,
        variables: &agent.variables,
        left: AtomicUsize::new(if asks_model && tools.model.is_some() { 0 } else { OTHER_WORDS_MAX }),
    };
    let finding =
        async { if wants { library.all(dialogue::several::questions(&brief.messages())).await } else { Vec::new() } };
    // Whether there is a calendar matters to a model only, and is asked while the knowledge is searched: a caller waits for both.
    let offering = async {
        if asks_model { booking::offered(tools, handle, config.clone(), &brief).await } else { config.clone() }
    };
    let (looked, offered) = tokio::join!(finding, offering);
    let setting = Setting { config: &offered, ..setting };
    let retrieved = lookup::merged(&looked);
    let said = looked.into_iter().map(|one| (one.question, one.said)).collect();
    let (found, missed) = dialogue::several::together(said, &dialogue::fallback_line(&setting));
    let retrieve_ms = millis(retrieving);

    let attempt_of = Attempt {
        tools,
        handle,
        setting,
        brief: &brief,
        understanding: &understanding,
        retrieved: &retrieved,
        found: found.as_ref(),
        missed: &missed,
        library: &library,
    };
    let mut said = match &tools.model {
        Some(chat_model) if asks_model => model::answer(&attempt_of, chat_model.as_ref()).await,
        Some(_) | None => built_in(&attempt_of).await,
    };
    if let Some(wish) = said.wish.take() {
        booking::find(&attempt_of, &wish, &mut said.answer).await;
    }
    let answer = &mut said.answer;
    answer.turn = turn.clone();
    answer.attempt = attempt;
    answer.whispers_used = brief.whisper_ids.clone();
    answer.understanding = (!sent).then(|| Box::new(understanding.clone()));
    let trace = &mut answer.trace;
    trace.stages.queue_ms = queue_ms;
    trace.stages.retrieve_ms = retrieve_ms;
    trace.config_version = agent.config_version;
    trace.index_version = retrieved.index_version;
    trace.attempt = attempt;
    trace.confidence = retrieved.confidence;
    trace.retrieved = references(&retrieved, answer.sources.iter().map(|source| source.chunk_id.as_str()));
    metrics::histogram!(crate::telemetry::TURN_SECONDS, "model" => if tools.model.is_some() { "provider" } else { "built_in" }).record(begun.elapsed());
    for (stage, took_ms) in
        [("queue", queue_ms), ("retrieve", retrieve_ms), ("model", said.answer.trace.stages.model_ms)]
    {
        metrics::histogram!(crate::telemetry::STAGE_SECONDS, "stage" => stage).record(Duration::from_millis(took_ms));
    }
    handed.store(true, Ordering::Relaxed);
    Ok(send(handle, Command::Answered(Box::new(said.answer))).await)
}

/// The built-in way: the knowledge answers, the dialogue puts it together.
pub(super) async fn built_in(of: &Attempt<'_>) -> Said {
    let begun = Instant::now();
    let mut said = composed(of, of.found);
    follow_whispers(of, &mut said.answer).await;
    said.answer.trace.model = "built-in".to_owned();
    show(of, &said.answer.text).await;
    said.answer.trace.stages.model_ms = millis(begun);
    said
}

/// Says what the knowledge has on what colleagues whispered, besides the answer. Their own words are for the assistant and never said; one about which
/// the knowledge has nothing is named in the trace, because without a model nothing else can be made of it.
async fn follow_whispers(of: &Attempt<'_>, answer: &mut Answer) {
    for whisper in &of.brief.whispers {
        match of.library.of(whisper.clone()).await.said {
            Some(hint) if !answer.text.contains(hint.text.trim()) => {
                answer.text = format!("{}\n\n{}", answer.text.trim_end(), hint.text.trim());
                answer.sources.extend(hint.sources);
            }
            Some(_) => {}
            None => answer.trace.problems.push(WHISPER_UNUSED.to_owned()),
        }
    }
}

/// What the dialogue makes of an answer found in the knowledge, or of none.
pub(super) fn composed(of: &Attempt<'_>, found: Option<&KnowledgeAnswer>) -> Said {
    let composed = dialogue::compose(&of.setting, of.brief, of.understanding, found);
    let answer = Answer {
        text: composed.text,
        sources: composed.sources,
        confidence: found.map(|found| found.confidence).or(of
            .understanding
            .plan
            .wants_knowledge
            .then_some(of.retrieved.confidence)),
        prompt: composed.prompt,
        fallback: composed.fallback,
        question: composed.question,
        missed: of.missed.to_vec(),
        trace: Trace { stages: Stages::default(), ..Trace::default() },
        ..Answer::default()
    };
    Said { answer, wish: None }
}

/// Shows a finished text to watchers word by word, as a model's would come.
async fn show(of: &Attempt<'_>, text: &str) {
    let (pieces, queue) = mpsc::unbounded_channel();
    for piece in text.split_inclusive(' ') {
        // The receiver lives until the channel is drained below.
        let _ = pieces.send(Piece { attempt: 0, text: piece.to_owned() });
    }
    drop(pieces);
    stream::forward(&of.tools.streams, of.handle, &of.brief.answer_id, of.brief.attempt, queue, |_, _| true).await;
}

/// Asks the conversation itself.
async fn command(handle: &EffectHandle, command: Command) -> Result<Reply, ActorError> {
    let by = Principal::system(TenantId::from(&*handle.key().tenant));
    Ok(handle.command::<ConversationEntity>(Asked { by, command }).await?)
}

/// Brings a result back; whether it was taken. A refusal means that a newer attempt or a person has the turn.
async fn send(handle: &EffectHandle, result: Command) -> bool {
    match command(handle, result).await {
        Ok(_) => true,
        Err(ActorError::Rejected(Rejection::Superseded)) => false,
        // The deadline in the conversation's state starts another attempt.
        Err(error) => {
            tracing::warn!(conversation = %handle.key().id, %error, "a turn's result could not be brought back");
            false
        }
    }
}

fn references<'a>(retrieved: &Retrieved, used: impl Iterator<Item = &'a str>) -> Vec<RetrievedRef> {
    let used: Vec<&str> = used.collect();
    let passages = retrieved.passages.iter().map(|passage| (passage.chunk_id.clone(), passage.score));
    let faqs = retrieved.faqs.iter().map(|faq| (format!("faq:{}", faq.faq_id), faq.score));
    passages
        .chain(faqs)
        .map(|(chunk_id, score)| RetrievedRef { used: used.contains(&chunk_id.as_str()), chunk_id, score })
        .collect()
}

pub(super) fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
