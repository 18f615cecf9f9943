//! What is asked of a chat model and what it answers, whichever provider serves it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind};

/// A language model that holds one side of a chat.
#[async_trait]
pub trait ChatModel: Send + Sync {
    /// Answers once. Text reaches `sink` as it arrives; the whole of it is in the answer again.
    ///
    /// # Errors
    /// [`Error::Model`] when there is no usable answer after retries and the fallback model. `cancel` ends it within milliseconds
    /// with [`ErrorKind::Cancelled`]; nothing reaches `sink` afterwards.
    async fn answer(
        &self,
        request: ChatRequest,
        cancel: &CancellationToken,
        sink: &mut Sink<'_>,
    ) -> Result<ChatAnswer, Error>;

    /// One sentence that says what answers here, for `/health` and the console.
    fn describe(&self) -> String;
}

/// Where text goes while it arrives. Called from the answering task; must not block.
pub type Sink<'a> = dyn FnMut(Delta) + Send + 'a;

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Counts from 0 within one call. A higher number replaces all text of the lower ones.
    pub attempt: u32,
    /// The next piece of text, never empty.
    pub text: String,
}

/// One question to a model. `Debug` shows sizes only, never text.
#[derive(Clone, PartialEq)]
pub struct ChatRequest {
    /// The provider's name of the model; empty: the configured default.
    pub model: String,
    /// Asked once when `model` cannot answer; `None`: the configured fallback.
    pub fallback_model: Option<String>,
    /// The prompt and the history, oldest first.
    pub messages: Vec<ChatMessage>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// 0 to 2.
    pub temperature: f64,
    /// Longest answer in tokens.
    pub max_tokens: u32,
    /// A pseudonym of the visitor for the provider's abuse detection; never an address or a name.
    pub user_hash: Option<String>,
    /// Whether an answer that breaks off after some text was shown may be started again, replacing that text.
    pub replace_shown: bool,
}

impl std::fmt::Debug for ChatRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatRequest")
            .field("model", &self.model)
            .field("fallback_model", &self.fallback_model)
            .field("messages", &self.messages.len())
            .field("tools", &self.tools.len())
            .field("max_tokens", &self.max_tokens)
            .finish_non_exhaustive()
    }
}

/// One line of the prompt.
#[derive(Clone, PartialEq)]
pub enum ChatMessage {
    /// Instructions.
    System(String),
    /// What the visitor wrote.
    User(String),
    /// What the model said and called before.
    Assistant {
        /// What it said; may be empty when it only called tools.
        text: String,
        /// What it called.
        tool_calls: Vec<ToolCall>,
    },
    /// What a tool answered.
    ToolResult {
        /// The [`ToolCall::id`] it belongs to.
        call_id: String,
        /// The result as text.
        text: String,
    },
}

impl ChatMessage {
    /// The text of this line.
    pub fn text(&self) -> &str {
        match self {
            Self::System(text) | Self::User(text) | Self::Assistant { text, .. } | Self::ToolResult { text, .. } => {
                text
            }
        }
    }
}

impl std::fmt::Debug for ChatMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let role = match self {
            Self::System(_) => "system",
            Self::User(_) => "user",
            Self::Assistant { .. } => "assistant",
            Self::ToolResult { .. } => "tool",
        };
        write!(f, "{role}({} bytes)", self.text().len())
    }
}

/// Something a model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Letters, digits and `_`.
    pub name: String,
    /// When to call it, for the model.
    pub description: String,
    /// A JSON schema of type `object`.
    pub parameters: Value,
}

/// A call the model made.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id of this call, or one made from its position.
    pub id: String,
    /// The tool's name as the model gave it.
    pub name: String,
    /// With what.
    pub arguments: ToolArguments,
}

impl std::fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let valid = matches!(self.arguments, ToolArguments::Valid { .. });
        f.debug_struct("ToolCall").field("name", &self.name).field("valid", &valid).finish_non_exhaustive()
    }
}

/// The arguments of a call. Whether they fit the tool's schema is for the caller's rules to decide.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToolArguments {
    /// A JSON object.
    Valid {
        /// Its fields.
        fields: Map<String, Value>,
    },
    /// Not to be carried out.
    Malformed {
        /// Why, without the text itself.
        reason: String,
    },
}

/// What a model answered. At least one of `text` and `tool_calls` is not empty.
#[derive(Clone, PartialEq)]
pub struct ChatAnswer {
    /// The whole text, trimmed.
    pub text: String,
    /// What the model wants done, in its order.
    pub tool_calls: Vec<ToolCall>,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// Why it ended.
    pub finish: Finish,
    /// The number that the last shown text carries.
    pub attempt: u32,
    /// Sum over all attempts, failed ones included.
    pub usage: Usage,
    /// What it cost in millionths of the price table's currency; `None` while the model has no price.
    pub cost_micros: Option<u64>,
    /// From the call to the first piece of text or tool call.
    pub first_token_ms: u64,
    /// From the call to the end.
    pub took_ms: u64,
    /// Every attempt, in order; the last one succeeded.
    pub attempts: Vec<AttemptTrace>,
}

impl std::fmt::Debug for ChatAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatAnswer")
            .field("text_bytes", &self.text.len())
            .field("tool_calls", &self.tool_calls)
            .field("model", &self.model)
            .field("finish", &self.finish)
            .field("usage", &self.usage)
            .field("cost_micros", &self.cost_micros)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model was done.
    Stop,
    /// The token limit was reached; the text may end in the middle of a sentence.
    Length,
    /// It wants tools called.
    ToolCalls,
}

/// Tokens of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: u64,
    /// Those of the prompt that the provider had in its cache.
    pub cached_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Whether any of it was estimated here because the provider did not say.
    pub estimated: bool,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cached_tokens: self.cached_tokens.saturating_add(other.cached_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            estimated: self.estimated || other.estimated,
        }
    }
}

/// One request to a provider, for the owner's trace and the metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptTrace {
    /// The model that was asked.
    pub model: String,
    /// Why it failed; `None`: it answered.
    pub error: Option<ErrorKind>,
    /// The HTTP status of a refusal.
    pub status: Option<u16>,
    /// From this attempt's start to the first piece of text or tool call.
    pub first_token_ms: Option<u64>,
    /// From this attempt's start to its end.
    pub took_ms: u64,
    /// What it used, as far as known; zero where the provider never began to answer.
    pub usage: Usage,
}
