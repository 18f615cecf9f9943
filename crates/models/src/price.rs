//! What tokens cost: a table the caller loads from its catalog.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::chat::Usage;

/// Prices are given per this many tokens.
const PRICE_UNIT_TOKENS: u128 = 1_000_000;

/// Prices of models by the provider's name of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PriceTable {
    /// By model, such as `gpt-4o-mini`; a dated name (`gpt-4o-mini-2024-07-18`) is found under its undated one.
    pub models: BTreeMap<String, Price>,
}

/// The price of one model, in millionths of the table's currency per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens of the prompt.
    pub input_micros: u64,
    /// Tokens of the prompt that were in the provider's cache; missing: as `input_micros`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_micros: Option<u64>,
    /// Tokens of the answer.
    pub output_micros: u64,
}

impl PriceTable {
    /// The price of a model, also under a dated name; `None` when the table does not have it.
    pub fn price(&self, model: &str) -> Option<Price> {
        if let Some(price) = self.models.get(model) {
            return Some(*price);
        }
        self.models
            .iter()
            .filter(|(name, _)| {
                let rest = model.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('-'));
                rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            })
            .max_by_key(|(name, _)| name.len())
            .map(|(_, price)| *price)
    }

    /// What these tokens cost in micros, rounded to the nearest; `None` when the model has no price.
    pub fn cost_micros(&self, model: &str, usage: Usage) -> Option<u64> {
        let price = self.price(model)?;
        let cached = usage.cached_tokens.min(usage.input_tokens);
        let parts = [
            (usage.input_tokens - cached, price.input_micros),
            (cached, price.cached_input_micros.unwrap_or(price.input_micros)),
            (usage.output_tokens, price.output_micros),
        ];
        let total = parts
            .iter()
            .fold(0_u128, |sum, (tokens, micros)| sum.saturating_add(u128::from(*tokens) * u128::from(*micros)));
        let rounded = total.saturating_add(PRICE_UNIT_TOKENS / 2) / PRICE_UNIT_TOKENS;
        Some(u64::try_from(rounded).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> PriceTable {
        let price =
            |input, cached, output| Price { input_micros: input, cached_input_micros: cached, output_micros: output };
        PriceTable {
            models: BTreeMap::from([
                ("gpt-4o".to_owned(), price(2_500_000, Some(1_250_000), 10_000_000)),
                ("gpt-4o-mini".to_owned(), price(150_000, Some(75_000), 600_000)),
                ("plain".to_owned(), price(1_000_000, None, 1_000_000)),
            ]),
        }
    }

    fn usage(input_tokens: u64, cached_tokens: u64, output_tokens: u64) -> Usage {
        Usage { input_tokens, cached_tokens, output_tokens, estimated: false }
    }

    #[test]
    fn tokens_are_priced_by_kind_and_model() {
        let cases = [
            ("gpt-4o-mini", usage(1_000_000, 0, 0), Some(150_000)),
            ("gpt-4o-mini", usage(1_000_000, 1_000_000, 0), Some(75_000)),
            ("gpt-4o-mini-2024-07-18", usage(0, 0, 1_000_000), Some(600_000)),
            ("gpt-4o-2024-11-20", usage(0, 0, 1_000_000), Some(10_000_000)),
            ("gpt-4o-audio", usage(0, 0, 1_000_000), None),
            ("plain", usage(10, 10, 0), Some(10)),
            ("plain", usage(0, 50, 0), Some(0)),
            ("unknown", usage(1, 0, 1), None),
            ("gpt-4o-mini", usage(3, 0, 0), Some(0)),
            ("gpt-4o-mini", usage(4, 0, 0), Some(1)),
            ("gpt-4o", usage(u64::MAX, 0, u64::MAX), Some(u64::MAX)),
        ];
        for (model, usage, expected) in cases {
            assert_eq!(table().cost_micros(model, usage), expected, "{model} {usage:?}");
        }
    }

    #[test]
    fn a_table_reads_from_the_catalog_and_refuses_unknown_fields() {
        let good = serde_json::json!({"m": {"input_micros": 1, "output_micros": 2}});
        let table: PriceTable = serde_json::from_value(good).expect("a table");
        assert_eq!(table.price("m").map(|price| price.output_micros), Some(2));
        let bad = serde_json::json!({"m": {"input_micros": 1, "output_micros": 2, "outptu": 3}});
        assert!(serde_json::from_value::<PriceTable>(bad).is_err());
    }
}
