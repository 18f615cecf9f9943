//! Calls a model of the scripted provider and keeps what came of it.

use std::{collections::BTreeMap, time::Duration};

use colloquy_models::{
    ChatAnswer, ChatMessage, ChatModel, ChatRequest, Delta, Error, ModelConfig, ModelFailure, OpenAi, PriceTable, Tool,
    config::{Retry, Timeouts},
    price::Price,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Fake, Script};

/// Short enough that no test waits, long enough for a loaded machine.
pub(crate) const SHORT: Duration = Duration::from_millis(250);

/// A model of this provider.
pub(crate) fn model(fake: &Fake, fallback: Option<&str>, timeouts: Timeouts) -> OpenAi {
    let config = ModelConfig {
        base_url: format!("{}/", fake.base_url),
        api_key: Some("sk-test".into()),
        default: "main".into(),
        fallback: fallback.map(str::to_owned),
        timeouts,
        retry: Retry { per_model: 2, backoff: Duration::from_millis(5), wait_max: Duration::from_millis(300) },
    };
    let price = Price { input_micros: 1_000_000, cached_input_micros: Some(500_000), output_micros: 2_000_000 };
    let prices = PriceTable { models: BTreeMap::from([("main".to_owned(), price), ("spare".to_owned(), price)]) };
    config.chat_model(prices).expect("settings").expect("a key")
}

/// A question with one tool.
pub(crate) fn request() -> ChatRequest {
    ChatRequest {
        model: String::new(),
        fallback_model: None,
        messages: vec![
            ChatMessage::System("You answer for a plumber.".into()),
            ChatMessage::User("Are you open?".into()),
        ],
        tools: vec![Tool {
            name: "capture_lead".into(),
            description: "Keep contact data.".into(),
            parameters: json!({"type": "object"}),
        }],
        temperature: 0.3,
        max_tokens: 100,
        user_hash: Some("v-7".into()),
        replace_shown: false,
    }
}

/// What became of a call.
pub(crate) struct Ran {
    pub(crate) fake: Fake,
    pub(crate) deltas: Vec<Delta>,
    pub(crate) result: Result<ChatAnswer, Error>,
}

impl Ran {
    pub(crate) fn failure(&self) -> &ModelFailure {
        match &self.result {
            Err(Error::Model(failure)) => failure,
            other => panic!("no failure: {other:?}"),
        }
    }

    pub(crate) fn answer(&self) -> &ChatAnswer {
        self.result.as_ref().unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// What the visitor sees in the end.
    pub(crate) fn shown(&self) -> String {
        let last = self.deltas.last().map_or(0, |delta| delta.attempt);
        self.deltas.iter().filter(|delta| delta.attempt == last).map(|delta| delta.text.as_str()).collect()
    }
}

/// Asks a provider that does these things.
pub(crate) async fn run_with(
    scripts: Vec<Script>,
    fallback: Option<&str>,
    timeouts: Timeouts,
    request: ChatRequest,
) -> Ran {
    let fake = Fake::start(scripts).await;
    let model = model(&fake, fallback, timeouts);
    let mut deltas = Vec::new();
    let result = model.answer(request, &CancellationToken::new(), &mut |delta| deltas.push(delta)).await;
    Ran { fake, deltas, result }
}

/// The same without a fallback, with the usual timeouts.
pub(crate) async fn run(scripts: Vec<Script>) -> Ran {
    run_with(scripts, None, Timeouts::default(), request()).await
}
