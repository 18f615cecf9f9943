//! The JSON body of a chat completion.

use serde_json::{Map, Value, json};

use crate::chat::{ChatMessage, ChatRequest, ToolArguments};

/// How much of OpenAI's own extensions a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// With token usage at the end of the stream and the visitor's pseudonym.
    Full,
    /// Only what every compatible endpoint takes; some refuse any field they do not know.
    Plain,
}

/// Models that think before they answer take `max_completion_tokens` and no temperature (OpenAI API reference, chat completions).
const REASONING_PREFIXES: [&str; 4] = ["o1", "o3", "o4", "gpt-5"];

/// Builds the body of `POST /chat/completions`.
pub(super) fn body(request: &ChatRequest, model: &str, dialect: Dialect) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("messages".into(), request.messages.iter().map(message).collect());
    body.insert("stream".into(), true.into());
    // Routers put the vendor before the name, such as `openai/o4-mini`.
    let bare = model.rsplit('/').next().unwrap_or(model);
    if REASONING_PREFIXES.iter().any(|prefix| bare.starts_with(prefix)) {
        body.insert("max_completion_tokens".into(), request.max_tokens.into());
    } else {
        body.insert("max_tokens".into(), request.max_tokens.into());
        if request.temperature.is_finite() {
            body.insert("temperature".into(), request.temperature.clamp(0.0, 2.0).into());
        }
    }
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            json!({"type": "function", "function": {
                "name": tool.name, "description": tool.description, "parameters": tool.parameters,
            }})
        });
        body.insert("tools".into(), tools.collect());
    }
    match dialect {
        Dialect::Full => {
            body.insert("stream_options".into(), json!({"include_usage": true}));
            if let Some(user) = &request.user_hash {
                body.insert("user".into(), user.as_str().into());
            }
        }
        Dialect::Plain => {}
    }
    Value::Object(body)
}

fn message(message: &ChatMessage) -> Value {
    match message {
        ChatMessage::System(text) => json!({"role": "system", "content": text}),
        ChatMessage::User(text) => json!({"role": "user", "content": text}),
        ChatMessage::ToolResult { call_id, text } => {
            json!({"role": "tool", "tool_call_id": call_id, "content": text})
        }
        ChatMessage::Assistant { text, tool_calls } if tool_calls.is_empty() => {
            json!({"role": "assistant", "content": text})
        }
        ChatMessage::Assistant { text, tool_calls } => {
            let calls: Value = tool_calls
                .iter()
                .map(|call| {
                    let arguments = match &call.arguments {
                        ToolArguments::Valid { fields } => Value::Object(fields.clone()).to_string(),
                        ToolArguments::Malformed { .. } => "{}".to_owned(),
                    };
                    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
                })
                .collect();
            let content = if text.is_empty() { Value::Null } else { text.as_str().into() };
            json!({"role": "assistant", "content": content, "tool_calls": calls})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Tool, ToolCall};

    fn request() -> ChatRequest {
        ChatRequest {
            model: String::new(),
            fallback_model: None,
            messages: vec![
                ChatMessage::System("Be kind.".into()),
                ChatMessage::User("Hi".into()),
                ChatMessage::Assistant {
                    text: String::new(),
                    tool_calls: vec![ToolCall {
                        id: "c1".into(),
                        name: "escalate".into(),
                        arguments: ToolArguments::Valid {
                            fields: Map::from_iter([("reason".to_owned(), json!("flood"))]),
                        },
                    }],
                },
                ChatMessage::ToolResult { call_id: "c1".into(), text: "done".into() },
            ],
            tools: vec![Tool {
                name: "escalate".into(),
                description: "Call a person.".into(),
                parameters: json!({"type": "object"}),
            }],
            temperature: 0.3,
            max_tokens: 500,
            user_hash: Some("v-1".into()),
            replace_shown: false,
        }
    }

    #[test]
    fn a_request_is_written_as_the_api_reference_has_it() {
        let expected = json!({
            "model": "gpt-4o-mini", "stream": true, "stream_options": {"include_usage": true}, "user": "v-1",
            "max_tokens": 500, "temperature": 0.3,
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "escalate", "arguments": "{\"reason\":\"flood\"}"}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "done"},
            ],
            "tools": [{"type": "function", "function": {"name": "escalate", "description": "Call a person.", "parameters": {"type": "object"}}}],
        });
        assert_eq!(body(&request(), "gpt-4o-mini", Dialect::Full), expected);
    }

    #[test]
    fn reasoning_models_and_plain_endpoints_get_what_they_take() {
        for (model, dialect, present, absent) in [
            ("o4-mini", Dialect::Full, "max_completion_tokens", "temperature"),
            ("openai/gpt-5.1", Dialect::Full, "max_completion_tokens", "max_tokens"),
            ("gpt-4o", Dialect::Plain, "max_tokens", "stream_options"),
            ("gpt-4o", Dialect::Plain, "temperature", "user"),
        ] {
            let body = body(&request(), model, dialect);
            assert!(body.get(present).is_some() && body.get(absent).is_none(), "{model} {dialect:?}: {body}");
        }
    }
}
