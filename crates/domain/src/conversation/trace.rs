//! How an answer came about: what was found, how long each stage took, and what it cost.

use serde::{Deserialize, Serialize};

/// How an answer came about (contract: `trace`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trace {
    /// Milliseconds by stage.
    pub stages: Stages,
    /// What the search gave.
    pub retrieved: Vec<RetrievedRef>,
    /// The model, or `built-in`.
    pub model: String,
    /// Tokens.
    pub tokens: Tokens,
    /// Millionths of a US dollar.
    pub cost_micros: u64,
    /// The configuration it used.
    pub config_version: u64,
    /// The index it used.
    pub index_version: u64,
    /// Which attempt succeeded.
    pub attempt: u32,
    /// The search's confidence.
    pub confidence: f64,
    /// Tool calls that were carried out or ignored, with the reason.
    pub tools: Vec<String>,
    /// What was taken out of a model's text, and failures on the way.
    pub problems: Vec<String>,
}

/// Milliseconds by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stages {
    /// From the journal to the task.
    pub queue_ms: u64,
    /// The search.
    pub retrieve_ms: u64,
    /// Until the model's first token.
    pub model_first_token_ms: u64,
    /// Until its last.
    pub model_ms: u64,
    /// The append of the question.
    pub append_ms: u64,
}

/// One thing the search gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RetrievedRef {
    /// The chunk or `faq:<id>`.
    pub chunk_id: String,
    /// 0 to 1.
    pub score: f64,
    /// Whether the answer used it.
    pub used: bool,
}

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tokens {
    /// Of the prompt.
    pub input: u64,
    /// Of the prompt, at the provider's lower rate.
    pub cached: u64,
    /// Of the answer.
    pub output: u64,
}
