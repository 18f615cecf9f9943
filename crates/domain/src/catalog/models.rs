//! The model registry: who serves a model, which plans may use it, and what its tokens cost.

use serde::{Deserialize, Serialize};

/// Prices are given per this many tokens.
const TOKENS_PER_PRICE: u128 = 1_000_000;

/// The file `models.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// The language model of agents that name none.
    pub default_model: String,
    /// The embedding model used with a provider's key.
    pub default_embedding_model: String,
    /// Who serves models.
    pub providers: Vec<Provider>,
    /// Language models.
    pub models: Vec<Model>,
    /// Embedding models.
    #[serde(default)]
    pub embedding_models: Vec<EmbeddingModel>,
}

/// Who serves models over the OpenAI chat protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its key.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Where its API is.
    pub base_url: String,
}

/// Which plans may use a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Every plan.
    All,
    /// Plans that include premium models.
    Premium,
}

/// A language model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Registry id, what an agent's `llm_model` names.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Who serves it.
    pub provider: String,
    /// What the provider calls it.
    pub provider_model: String,
    /// Which plans may use it.
    pub tier: Tier,
    /// Prompt and answer together, tokens.
    pub context_tokens: u64,
    /// Longest answer, tokens, where the provider names one.
    #[serde(default)]
    pub max_output_tokens: Option<u64>,
    /// Millionths of a US dollar per million prompt tokens.
    pub input_micros_per_million_tokens: u64,
    /// The same for repeated prompt tokens, where the provider has a lower rate.
    #[serde(default)]
    pub cached_input_micros_per_million_tokens: Option<u64>,
    /// Millionths of a US dollar per million answer tokens.
    pub output_micros_per_million_tokens: u64,
    /// Millionths of a US dollar per request on top of tokens.
    #[serde(default)]
    pub request_fee_micros: u64,
    /// When the price was looked up, `YYYY-MM-DD`.
    pub price_as_of: String,
    /// Other names it goes by.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// An embedding model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingModel {
    /// Registry id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Who serves it; `local` runs in this process.
    pub provider: String,
    /// What the provider calls it.
    pub provider_model: String,
    /// Length of its vectors.
    pub dimensions: u32,
    /// Longest text, tokens.
    pub max_input_tokens: u64,
    /// Millionths of a US dollar per million tokens.
    pub input_micros_per_million_tokens: u64,
    /// When the price was looked up, `YYYY-MM-DD`.
    pub price_as_of: String,
    /// Other names it goes by.
    #[serde(default)]
    pub aliases: Vec<String>,
}

impl Models {
    /// The model with this id or alias.
    pub fn get(&self, id: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.id == id || model.aliases.iter().any(|alias| alias == id))
    }

    /// The provider with this id.
    pub fn provider(&self, id: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.id == id)
    }

    /// The embedding model with this id or alias.
    pub fn embedding(&self, id: &str) -> Option<&EmbeddingModel> {
        self.embedding_models.iter().find(|model| model.id == id || model.aliases.iter().any(|alias| alias == id))
    }
}

impl Model {
    /// What one request costs in millionths of a US dollar, rounded up. `cached_tokens` are part of `input_tokens`.
    pub fn cost_micros(&self, input_tokens: u64, cached_tokens: u64, output_tokens: u64) -> u64 {
        let cached = cached_tokens.min(input_tokens);
        let cached_price = self.cached_input_micros_per_million_tokens.unwrap_or(self.input_micros_per_million_tokens);
        let total = u128::from(input_tokens - cached) * u128::from(self.input_micros_per_million_tokens)
            + u128::from(cached) * u128::from(cached_price)
            + u128::from(output_tokens) * u128::from(self.output_micros_per_million_tokens);
        u64::try_from(total.div_ceil(TOKENS_PER_PRICE)).unwrap_or(u64::MAX).saturating_add(self.request_fee_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        Model {
            id: "m".into(),
            name: "M".into(),
            provider: "p".into(),
            provider_model: "m".into(),
            tier: Tier::All,
            context_tokens: 1000,
            max_output_tokens: Some(100),
            input_micros_per_million_tokens: 150_000,
            cached_input_micros_per_million_tokens: Some(75_000),
            output_micros_per_million_tokens: 600_000,
            request_fee_micros: 5,
            price_as_of: "2026-01-01".into(),
            aliases: vec!["x/m".into()],
        }
    }

    #[test]
    fn cost_counts_cached_tokens_at_their_own_price_and_rounds_up() {
        // (8,000 × 0.15 + 2,000 × 0.075 + 500 × 0.6) micros + 5 = 1,200 + 150 + 300 + 5
        assert_eq!(model().cost_micros(10_000, 2_000, 500), 1_655);
        assert_eq!(model().cost_micros(1, 0, 0), 6);
        assert_eq!(model().cost_micros(1, 9, 0), 6, "more cached than sent is read as all cached");
    }

    #[test]
    fn models_are_found_by_alias() {
        let models = Models { models: vec![model()], ..Models::default() };
        assert!(models.get("x/m").is_some() && models.get("m").is_some() && models.get("y").is_none());
    }
}
