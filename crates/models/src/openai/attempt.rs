//! One request to one model: sends it, reads the stream against its deadlines, counts what it used.

use std::time::Duration;

use async_openai::{Client, error::OpenAIError};
use futures::StreamExt;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    chunk::{Answer, Complete, Step},
    millis,
    request::{self, Dialect},
    transport::{DONE, Endpoint, Refusal},
};
use crate::{
    chat::{AttemptTrace, ChatRequest, Delta, Sink, Usage},
    config::Timeouts,
    error::ErrorKind,
    tokens,
};

/// How long the token counts may trail the model's last word before they are estimated.
const USAGE_WAIT: Duration = Duration::from_secs(1);

/// One request, ready to be sent.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) client: &'a Client<Endpoint>,
    pub(super) request: &'a ChatRequest,
    pub(super) model: &'a str,
    pub(super) dialect: Dialect,
    /// What the pieces of text carry.
    pub(super) number: u32,
    /// The end of the whole call.
    pub(super) deadline: Instant,
    pub(super) timeouts: &'a Timeouts,
    pub(super) cancel: &'a CancellationToken,
}

/// An attempt that brought an answer.
pub(super) struct Success {
    pub(super) complete: Complete,
    pub(super) first_token_ms: u64,
    took_ms: u64,
    usage: Usage,
}

impl Success {
    pub(super) fn trace(&self, model: &str) -> AttemptTrace {
        AttemptTrace {
            model: model.to_owned(),
            error: None,
            status: None,
            first_token_ms: Some(self.first_token_ms),
            took_ms: self.took_ms,
            usage: self.usage,
        }
    }
}

/// An attempt that did not.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) kind: ErrorKind,
    pub(super) status: Option<u16>,
    pub(super) retry_after: Option<Duration>,
    pub(super) out_of_quota: bool,
    /// Whether text had reached the sink.
    pub(super) shown: bool,
    first_token_ms: Option<u64>,
    took_ms: u64,
    usage: Usage,
}

impl Failed {
    pub(super) fn trace(&self, model: &str) -> AttemptTrace {
        AttemptTrace {
            model: model.to_owned(),
            error: Some(self.kind),
            status: self.status,
            first_token_ms: self.first_token_ms,
            took_ms: self.took_ms,
            usage: self.usage,
        }
    }
}

/// A failure before its circumstances are added.
struct Cause {
    kind: ErrorKind,
    refusal: Option<Refusal>,
}

impl From<ErrorKind> for Cause {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, refusal: None }
    }
}

impl Attempt<'_> {
    /// Carries it out.
    pub(super) async fn run(&self, sink: &mut Sink<'_>) -> Result<Success, Failed> {
        let begun = Instant::now();
        let mut answer = Answer::default();
        let mut first_token = None;
        let read = self.read(begun, &mut answer, &mut first_token, sink).await;

        let took_ms = millis(begun.elapsed());
        let first_token_ms = first_token.map(|first: Instant| millis(first.duration_since(begun)));
        let shown = !answer.text().is_empty();
        let started_to_answer = first_token.is_some() || answer.finished();
        let usage = answer.usage().unwrap_or_else(|| {
            // A provider that never began to answer charges nothing.
            if started_to_answer { self.estimate(&answer) } else { Usage::default() }
        });
        let result = match read {
            Ok(()) => answer.complete(&self.request.tools).map_err(Cause::from),
            Err(cause) => Err(cause),
        };
        match result {
            Ok(complete) => Ok(Success { complete, first_token_ms: first_token_ms.unwrap_or(took_ms), took_ms, usage }),
            Err(Cause { kind, refusal }) => Err(Failed {
                kind,
                status: refusal.as_ref().map(|refusal| refusal.status.as_u16()),
                retry_after: refusal.as_ref().and_then(|refusal| refusal.retry_after),
                out_of_quota: refusal.is_some_and(|refusal| refusal.out_of_quota),
                shown,
                first_token_ms,
                took_ms,
                usage,
            }),
        }
    }

    async fn read(
        &self,
        begun: Instant,
        answer: &mut Answer,
        first_token: &mut Option<Instant>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Cause> {
        let body = request::body(self.request, self.model, self.dialect);
        let mut until = (begun + self.timeouts.first_token).min(self.deadline);
        let chat = self.client.chat();
        let sending = chat.create_stream_byot::<Value, Value>(body);
        let mut stream = self.wait(until, sending).await?.map_err(|error| cause(&error))?;
        loop {
            let next = match self.wait(until, stream.next()).await {
                // The answer is whole, only its token counts are late.
                Err(ErrorKind::Timeout) if answer.finished() => return Ok(()),
                Err(kind) => return Err(kind.into()),
                Ok(next) => next,
            };
            let step = match next {
                None => return Ok(()),
                Some(Err(_)) if answer.finished() => return Ok(()),
                Some(Err(error)) => return Err(cause(&error)),
                Some(Ok(value)) if value == DONE => {
                    answer.done();
                    Step::Nothing
                }
                Some(Ok(Value::Null)) => answer.broken()?,
                Some(Ok(value)) => answer.take(&value)?,
            };
            let now = Instant::now();
            match step {
                Step::Nothing => {}
                Step::Text(text) => {
                    first_token.get_or_insert(now);
                    until = (now + self.timeouts.between_tokens).min(self.deadline);
                    sink(Delta { attempt: self.number, text });
                }
                Step::Progress => {
                    first_token.get_or_insert(now);
                    until = (now + self.timeouts.between_tokens).min(self.deadline);
                }
            }
            if answer.finished() {
                until = until.min(now + USAGE_WAIT);
            }
        }
    }

    /// Waits for a future, a deadline or the caller's change of mind; the last wins.
    async fn wait<T>(&self, until: Instant, future: impl Future<Output = T>) -> Result<T, ErrorKind> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(ErrorKind::Cancelled),
            result = future => Ok(result),
            () = tokio::time::sleep_until(until) => Err(ErrorKind::Timeout),
        }
    }

    fn estimate(&self, answer: &Answer) -> Usage {
        Usage {
            input_tokens: tokens::estimate_prompt(&self.request.messages, &self.request.tools),
            cached_tokens: 0,
            output_tokens: tokens::estimate(answer.text()) + tokens::estimate(&answer.arguments_text()),
            estimated: true,
        }
    }
}

/// What a library error means.
fn cause(error: &OpenAIError) -> Cause {
    match error {
        OpenAIError::Boxed(inner) => match inner.downcast_ref::<Refusal>() {
            Some(refusal) => Cause { kind: refusal.kind, refusal: Some(refusal.clone()) },
            None => ErrorKind::Unavailable.into(),
        },
        // Not reached, not resolved, not trusted, or hung up before the answer began.
        OpenAIError::Reqwest(_) => ErrorKind::Unavailable.into(),
        OpenAIError::StreamError(_) => ErrorKind::CutStream.into(),
        OpenAIError::ApiError(_)
        | OpenAIError::JSONDeserialize(..)
        | OpenAIError::FileSaveError(_)
        | OpenAIError::FileReadError(_)
        | OpenAIError::InvalidArgument(_) => ErrorKind::Malformed.into(),
    }
}
