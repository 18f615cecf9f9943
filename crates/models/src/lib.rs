//! Language model providers, and the built-in responder that needs none.
//!
//! Reading order: [`chat`] is what is asked and answered; [`openai`] asks a provider; [`responder`] answers from retrieved text alone;
//! [`config`] decides which of the two; [`price`] and [`tokens`] count; [`error`] says what went wrong, to the owner and to the visitor.

pub mod chat;
pub mod config;
pub mod error;
pub mod openai;
pub mod price;
pub mod responder;
pub mod tokens;

pub use chat::{ChatAnswer, ChatMessage, ChatModel, ChatRequest, Delta, Sink, Tool, ToolArguments, ToolCall, Usage};
pub use config::ModelConfig;
pub use error::{Error, ErrorKind, ModelFailure};
pub use openai::OpenAi;
pub use price::PriceTable;
pub use responder::Responder;
