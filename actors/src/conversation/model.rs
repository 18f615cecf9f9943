//! Lets a language model speak: prompt, stream, check. What a model does wrong ends in a useful message and a trace, never in silence.

use std::sync::atomic::{AtomicBool, Ordering};

use colloquy_domain::conversation::command::Answer;
use colloquy_domain::conversation::guard::{self, ModelAnswer, ToolCall};
use colloquy_domain::conversation::prompt::{self, ModelPrompt, Speaker};
use colloquy_domain::conversation::{Stages, Tokens, Trace};
use colloquy_domain::vocabulary::Channel;
use colloquy_models::{
    ChatAnswer, ChatMessage, ChatModel, ChatRequest, Delta, ErrorKind, ModelFailure, Tool, ToolArguments,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::answer::{Attempt, Said, composed};
use super::stream::{self, Piece};

/// Asks the model and checks what it says. When it fails, the dialogue and the knowledge answer as they would without one.
pub(super) async fn answer(of: &Attempt<'_>, model: &dyn ChatModel) -> Said {
    let frameworks = &of.tools.catalog.frameworks;
    let for_ear_or_eye = match of.brief.channel.0 {
        Channel::Voice => prompt::voice_prompt,
        Channel::Chat | Channel::Sms | Channel::Whatsapp | Channel::Email | Channel::Linkedin | Channel::Messenger => {
            prompt::chat_prompt
        }
    };
    let prompt = for_ear_or_eye(&of.setting, of.brief, of.understanding, of.retrieved, frameworks);
    let left_out = prompt.left_out.clone();
    let model_name =
        of.tools.catalog.models.get(&of.setting.config.llm_model).map(|model| model.provider_model.clone());
    let request = request(of, prompt, model_name.unwrap_or_else(|| of.setting.config.llm_model.clone()));

    // The model's task ends with this one, whatever ends it.
    let cancel = CancellationToken::new();
    let _ends = cancel.clone().drop_guard();
    let Ok(_turn) = of.tools.model_calls.acquire().await else { return failed(of, &failure(ErrorKind::Unavailable)) };
    let (pieces, queue) = mpsc::unbounded_channel();
    let leaked = AtomicBool::new(false);
    let asking = async {
        let mut sink = |delta: Delta| {
            // The receiver lives as long as this call.
            let _ = pieces.send(Piece { attempt: delta.attempt, text: delta.text });
        };
        let outcome = model.answer(request, &cancel, &mut sink).await;
        drop(pieces);
        outcome
    };
    let mut eye = guard::Eye::on(&of.setting, of.brief, of.retrieved);
    let showing =
        stream::forward(&of.tools.streams, of.handle, &of.brief.answer_id, of.brief.attempt, queue, |attempt, text| {
            let fine = eye.may_show(attempt, text);
            if !fine {
                leaked.store(true, Ordering::Relaxed);
            }
            fine
        });
    let (outcome, ()) = tokio::join!(asking, showing);
    if leaked.load(Ordering::Relaxed) {
        stream::discard(of.handle, &of.brief.answer_id, "guarded");
    }
    match outcome {
        Ok(answer) => accepted(of, answer, left_out),
        Err(colloquy_models::Error::Model(failure)) => {
            if failure.shown {
                stream::discard(of.handle, &of.brief.answer_id, failure.kind.as_str());
            }
            failed(of, &failure)
        }
        Err(error @ colloquy_models::Error::Config { .. }) => {
            tracing::error!(%error, "the model's settings cannot be used");
            failed(of, &failure(ErrorKind::Invalid))
        }
    }
}

fn request(of: &Attempt<'_>, prompt: ModelPrompt, model: String) -> ChatRequest {
    let mut messages = vec![ChatMessage::System(prompt.system)];
    messages.extend(prompt.messages.into_iter().map(|line| match line.speaker {
        Speaker::User => ChatMessage::User(line.text),
        Speaker::Assistant => ChatMessage::Assistant { text: line.text, tool_calls: Vec::new() },
    }));
    let visitor = blake3::hash(of.brief.visitor.id.as_str().as_bytes()).to_hex()[..32].to_owned();
    ChatRequest {
        model,
        fallback_model: None,
        messages,
        tools: prompt
            .tools
            .into_iter()
            .map(|tool| Tool { name: tool.name, description: tool.description, parameters: tool.parameters })
            .collect(),
        temperature: prompt.temperature,
        max_tokens: prompt.max_tokens,
        user_hash: Some(visitor),
        // Watchers replace what was shown by a higher attempt, so a broken stream may begin again.
        replace_shown: true,
    }
}

fn accepted(of: &Attempt<'_>, answer: ChatAnswer, left_out: Vec<String>) -> Said {
    count(&answer.attempts);
    for (direction, tokens) in [
        ("input", answer.usage.input_tokens),
        ("cached", answer.usage.cached_tokens),
        ("output", answer.usage.output_tokens),
    ] {
        metrics::counter!(crate::telemetry::MODEL_TOKENS, "direction" => direction).increment(tokens);
    }
    let given = ModelAnswer {
        text: answer.text,
        tool_calls: answer
            .tool_calls
            .into_iter()
            .map(|call| ToolCall {
                name: call.name,
                arguments: match call.arguments {
                    ToolArguments::Valid { fields } => serde_json::Value::Object(fields).to_string(),
                    ToolArguments::Malformed { reason } => reason, // No JSON object: the guard names it and ignores it.
                },
            })
            .collect(),
    };
    let checked = guard::accept_model_answer(&of.setting, of.brief, of.understanding, of.retrieved, &given);
    let mut problems = checked.problems;
    problems.extend(
        left_out
            .into_iter()
            .map(|passage| format!("a passage was left out of the prompt because it gives orders: {passage}")),
    );
    problems.extend(
        answer
            .attempts
            .iter()
            .filter_map(|attempt| attempt.error.map(|error| format!("{}: {}", attempt.model, error.as_str()))),
    );
    Said {
        wish: checked.booking,
        answer: Answer {
            text: checked.text,
            sources: checked.sources,
            confidence: checked.confidence,
            prompt: checked.prompt,
            fallback: checked.fallback,
            question: checked.question,
            tool_facts: checked.tool_facts,
            trace: Trace {
                stages: Stages {
                    model_first_token_ms: answer.first_token_ms,
                    model_ms: answer.took_ms,
                    ..Stages::default()
                },
                model: answer.model,
                tokens: Tokens {
                    input: answer.usage.input_tokens,
                    cached: answer.usage.cached_tokens,
                    output: answer.usage.output_tokens,
                },
                cost_micros: answer.cost_micros.unwrap_or(0),
                tools: checked.tools,
                problems,
                ..Trace::default()
            },
            ..Answer::default()
        },
    }
}

/// The model gave nothing: the knowledge answers if it can; else the visitor is told so in words, with whatever the dialogue still has to say.
fn failed(of: &Attempt<'_>, failure: &ModelFailure) -> Said {
    count(&failure.attempts);
    let mut said = composed(of, of.found);
    let answer = &mut said.answer;
    if of.found.is_none() && of.understanding.plan.wants_knowledge && !failure.kind.visitor_sentence().is_empty() {
        answer.text = format!("{} {}", failure.kind.visitor_sentence(), answer.text).trim().to_owned();
    }
    answer.trace.model = "built-in".to_owned();
    answer.trace.tokens = failure.attempts.iter().fold(Tokens::default(), |sum, attempt| Tokens {
        input: sum.input + attempt.usage.input_tokens,
        cached: sum.cached + attempt.usage.cached_tokens,
        output: sum.output + attempt.usage.output_tokens,
    });
    answer.trace.problems.push(format!("the model failed ({}): {}", failure.kind.as_str(), failure.kind.owner_hint()));
    tracing::warn!(conversation = %of.handle.key().id, kind = failure.kind.as_str(), "a model gave no answer");
    said
}

fn failure(kind: ErrorKind) -> ModelFailure {
    ModelFailure { kind, attempts: Vec::new(), shown: false }
}

fn count(attempts: &[colloquy_models::chat::AttemptTrace]) {
    for attempt in attempts {
        let outcome = attempt.error.map_or("ok", ErrorKind::as_str);
        metrics::counter!(crate::telemetry::MODEL_CALLS, "outcome" => outcome).increment(1);
        metrics::histogram!(crate::telemetry::MODEL_CALL_SECONDS, "outcome" => outcome)
            .record(std::time::Duration::from_millis(attempt.took_ms));
    }
}
