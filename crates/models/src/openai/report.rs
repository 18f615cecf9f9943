//! What a provider says about itself: the kind of its errors and the tokens it counted.

use serde_json::Value;

use crate::{chat::Usage, error::ErrorKind};

/// The kind of an error object, as OpenAI and its compatible endpoints name them.
pub(super) fn error_kind(error: &Value) -> ErrorKind {
    let field = |name: &str| match error.get(name) {
        Some(Value::String(text)) => text.to_ascii_lowercase(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let said = format!("{} {}", field("code"), field("type"));
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["rate_limit", "insufficient_quota", "429"]) {
        ErrorKind::RateLimited
    } else if says(&["content_filter", "content_policy"]) {
        ErrorKind::Refused
    } else if says(&["invalid_api_key", "authentication", "permission", "401", "403"]) {
        ErrorKind::Auth
    } else if says(&["invalid_request", "context_length", "model_not_found", "400", "404", "422"]) {
        ErrorKind::Invalid
    } else {
        ErrorKind::Unavailable
    }
}

/// Token counts, where they are given.
pub(super) fn read_usage(usage: &Value) -> Option<Usage> {
    let input_tokens = usage.get("prompt_tokens")?.as_u64()?;
    let output_tokens = usage.get("completion_tokens").and_then(Value::as_u64).unwrap_or(0);
    let cached = usage.get("prompt_tokens_details").and_then(|details| details.get("cached_tokens")?.as_u64());
    Some(Usage { input_tokens, cached_tokens: cached.unwrap_or(0).min(input_tokens), output_tokens, estimated: false })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_are_told_apart_by_code_and_type() {
        let cases = [
            (json!({"code": "rate_limit_exceeded"}), ErrorKind::RateLimited),
            (json!({"type": "insufficient_quota"}), ErrorKind::RateLimited),
            (json!({"code": 429, "message": "x"}), ErrorKind::RateLimited),
            (json!({"code": "content_filter"}), ErrorKind::Refused),
            (json!({"code": "invalid_api_key"}), ErrorKind::Auth),
            (json!({"type": "invalid_request_error", "code": "context_length_exceeded"}), ErrorKind::Invalid),
            (json!({"type": "server_error"}), ErrorKind::Unavailable),
            (json!("overloaded"), ErrorKind::Unavailable),
        ];
        for (error, expected) in cases {
            assert_eq!(error_kind(&error), expected, "{error}");
        }
    }

    #[test]
    fn token_counts_are_read_or_absent() {
        assert_eq!(read_usage(&json!({"completion_tokens": 1})), None);
        assert_eq!(read_usage(&json!({"prompt_tokens": -1})), None);
        let usage = read_usage(&json!({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}));
        assert_eq!(usage, Some(Usage { input_tokens: 5, cached_tokens: 5, output_tokens: 0, estimated: false }));
    }
}
