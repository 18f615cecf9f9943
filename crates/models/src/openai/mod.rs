//! Chat models behind any OpenAI-compatible endpoint: streaming, deadlines, retries, one fallback model, accounting.

mod attempt;
mod chunk;
mod report;
mod request;
mod sse;
mod transport;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_openai::Client;
use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::{
    attempt::{Attempt, Failed},
    request::Dialect,
    transport::{Endpoint, Guarded},
};
use crate::{
    chat::{AttemptTrace, ChatAnswer, ChatModel, ChatRequest, Sink, Usage},
    config::{ModelConfig, Retry, Timeouts},
    error::{Error, ErrorKind, ModelFailure},
    price::PriceTable,
};

/// An attempt that has less time left than this is not begun.
const ATTEMPT_TIME_MIN: Duration = Duration::from_millis(500);

/// Chat models of one provider and one key. Cheap to share; holds the connections.
#[derive(Debug)]
pub struct OpenAi {
    client: Client<Endpoint>,
    default_model: String,
    fallback_model: Option<String>,
    timeouts: Timeouts,
    retry: Retry,
    prices: PriceTable,
    /// Set once the endpoint has refused OpenAI's extensions and taken the same request without them.
    plain: AtomicBool,
}

impl OpenAi {
    /// Prepares the provider; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no key or the address cannot be used.
    pub fn new(config: &ModelConfig, prices: PriceTable) -> Result<Self, Error> {
        let endpoint = Endpoint::new(config)?;
        let transport = Guarded::new(&config.timeouts)?;
        Ok(Self {
            client: Client::with_config(endpoint).with_http_service(transport),
            default_model: config.default.clone(),
            fallback_model: config.fallback.clone().filter(|model| !model.is_empty()),
            timeouts: config.timeouts,
            retry: config.retry,
            prices,
            plain: AtomicBool::new(false),
        })
    }

    /// The models to ask, in order, each once.
    fn models(&self, request: &ChatRequest) -> Vec<String> {
        let first = if request.model.is_empty() { &self.default_model } else { &request.model };
        let second = request.fallback_model.as_ref().filter(|model| !model.is_empty()).or(self.fallback_model.as_ref());
        let mut models = vec![first.clone()];
        models.extend(second.filter(|second| *second != first).cloned());
        models
    }

    /// What all attempts used and cost; `None` when one that cost something has no price.
    fn account(&self, attempts: &[AttemptTrace]) -> (Usage, Option<u64>) {
        let usage = attempts.iter().fold(Usage::default(), |sum, attempt| sum.plus(attempt.usage));
        let cost =
            attempts.iter().filter(|attempt| attempt.usage != Usage::default()).try_fold(0_u64, |sum, attempt| {
                Some(sum.saturating_add(self.prices.cost_micros(&attempt.model, attempt.usage)?))
            });
        (usage, cost)
    }
}

/// What is done after a failed attempt.
enum Next {
    /// The same model again, after a wait.
    Again(Duration),
    /// The fallback model.
    Other,
    /// Nothing helps.
    Stop,
}

fn next_step(failed: &Failed, tries: u32, retry: &Retry) -> Next {
    match failed.kind {
        ErrorKind::Cancelled | ErrorKind::Refused => Next::Stop,
        // 401 is about the key and both models use it; 403 may be about the model.
        ErrorKind::Auth => {
            if failed.status == Some(403) {
                Next::Other
            } else {
                Next::Stop
            }
        }
        ErrorKind::Timeout | ErrorKind::Invalid => Next::Other,
        ErrorKind::RateLimited
        | ErrorKind::Unavailable
        | ErrorKind::CutStream
        | ErrorKind::Malformed
        | ErrorKind::Empty => {
            if failed.out_of_quota || tries >= retry.per_model {
                return Next::Other;
            }
            match failed.retry_after {
                Some(wait) if wait > retry.wait_max => Next::Other,
                // A little later than asked for, so that not everybody who was told the same comes back at once.
                Some(wait) => Next::Again(wait + retry.backoff.mul_f64(rand::random::<f64>())),
                None => {
                    let step = retry.backoff.saturating_mul(1 << tries.min(16)).min(retry.wait_max);
                    // Full jitter, but never at once: half of the step is certain.
                    Next::Again(step.mul_f64(0.5 + 0.5 * rand::random::<f64>()))
                }
            }
        }
    }
}

#[async_trait]
impl ChatModel for OpenAi {
    async fn answer(
        &self,
        request: ChatRequest,
        cancel: &CancellationToken,
        sink: &mut Sink<'_>,
    ) -> Result<ChatAnswer, Error> {
        let started = Instant::now();
        let deadline = started + self.timeouts.total;
        let mut attempts: Vec<AttemptTrace> = Vec::new();
        let mut number = 0_u32;
        let mut shown = false;
        let mut last_kind = ErrorKind::Unavailable;

        'models: for model in self.models(&request) {
            let mut tries = 0_u32;
            loop {
                if deadline.saturating_duration_since(Instant::now()) < ATTEMPT_TIME_MIN {
                    break 'models;
                }
                if shown {
                    if !request.replace_shown {
                        break 'models;
                    }
                    number += 1;
                    shown = false;
                }
                let dialect = if self.plain.load(Ordering::Relaxed) { Dialect::Plain } else { Dialect::Full };
                let attempt = Attempt {
                    client: &self.client,
                    request: &request,
                    model: &model,
                    dialect,
                    number,
                    deadline,
                    timeouts: &self.timeouts,
                    cancel,
                };
                let begun = Instant::now();
                let mut outcome = attempt.run(sink).await;
                if let Err(failed) = &outcome
                    && dialect == Dialect::Full
                    && matches!(failed.status, Some(400 | 422))
                    && failed.kind == ErrorKind::Invalid
                {
                    attempts.push(failed.trace(&model));
                    outcome = Attempt { dialect: Dialect::Plain, ..attempt }.run(sink).await;
                    if outcome.is_ok() {
                        self.plain.store(true, Ordering::Relaxed);
                    }
                }
                match outcome {
                    Ok(success) => {
                        attempts.push(success.trace(&model));
                        let (usage, cost_micros) = self.account(&attempts);
                        let took_ms = millis(started.elapsed());
                        tracing::debug!(
                            model,
                            took_ms,
                            attempts = attempts.len(),
                            output_tokens = usage.output_tokens,
                            "model answered"
                        );
                        return Ok(ChatAnswer {
                            text: success.complete.text,
                            tool_calls: success.complete.tool_calls,
                            model: success.complete.model.unwrap_or(model),
                            finish: success.complete.finish,
                            attempt: number,
                            usage,
                            cost_micros,
                            first_token_ms: millis(begun.duration_since(started)) + success.first_token_ms,
                            took_ms,
                            attempts,
                        });
                    }
                    Err(failed) => {
                        attempts.push(failed.trace(&model));
                        shown |= failed.shown;
                        last_kind = failed.kind;
                        tracing::warn!(
                            model,
                            kind = failed.kind.as_str(),
                            status = failed.status,
                            shown,
                            "model attempt failed"
                        );
                        match next_step(&failed, tries, &self.retry) {
                            Next::Stop => break 'models,
                            Next::Other => continue 'models,
                            Next::Again(wait) => {
                                if Instant::now() + wait + ATTEMPT_TIME_MIN > deadline {
                                    continue 'models;
                                }
                                tries += 1;
                                tokio::select! {
                                    biased;
                                    () = cancel.cancelled() => {
                                        last_kind = ErrorKind::Cancelled;
                                        break 'models;
                                    }
                                    () = tokio::time::sleep(wait) => {}
                                }
                            }
                        }
                    }
                }
            }
        }
        Err(Error::Model(Box::new(ModelFailure { kind: last_kind, attempts, shown })))
    }

    fn describe(&self) -> String {
        match &self.fallback_model {
            Some(fallback) => format!("Language model {} (fallback {fallback})", self.default_model),
            None => format!("Language model {}", self.default_model),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
