//! Puts an answer together from a provider's chunks. Lenient: unknown fields and events are passed over, wrong types are absent.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::report;
use crate::{
    chat::{Finish, Tool, ToolArguments, ToolCall, Usage},
    error::ErrorKind,
};

/// The longest answer. Models are asked for some hundred tokens; 64 KB is a provider that ignores the limit.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// The most tool calls of one answer: there are three tools, and nothing needs one of them twice.
const TOOL_CALLS_MAX: usize = 8;
/// The longest arguments of one tool call: a filled form is below 4 KB.
const ARGUMENTS_BYTES_MAX: usize = 32 * 1024;
/// How many unreadable events are passed over before the stream counts as broken.
const BROKEN_EVENTS_MAX: u32 = 20;

/// What a chunk brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Text to show.
    Text(String),
    /// Part of a tool call, or thinking that is not shown: the model is alive.
    Progress,
    /// Nothing of the answer itself.
    Nothing,
}

/// An answer in the making.
#[derive(Debug, Default)]
pub(super) struct Answer {
    text: String,
    calls: BTreeMap<u64, PartialCall>,
    finish: Option<Finish>,
    refused: bool,
    done: bool,
    broken: u32,
    usage: Option<Usage>,
    model: Option<String>,
}

#[derive(Debug, Default)]
struct PartialCall {
    id: String,
    name: String,
    arguments: String,
    overlong: bool,
}

/// An answer that is complete.
#[derive(Debug)]
pub(super) struct Complete {
    /// Trimmed.
    pub(super) text: String,
    pub(super) tool_calls: Vec<ToolCall>,
    pub(super) finish: Finish,
    /// The model as the provider names it, such as a dated version.
    pub(super) model: Option<String>,
}

impl Answer {
    /// The provider said `[DONE]`.
    pub(super) fn done(&mut self) {
        self.done = true;
    }

    /// Whether the model has finished; only its usage may still come.
    pub(super) fn finished(&self) -> bool {
        self.done || self.finish.is_some() || self.refused
    }

    /// Tokens as the provider counted them.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// What has been said so far.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The length of tool calls so far in bytes, for estimates.
    pub(super) fn arguments_text(&self) -> String {
        self.calls.values().map(|call| format!("{} {}", call.name, call.arguments)).collect()
    }

    /// An event that could not be read.
    pub(super) fn broken(&mut self) -> Result<Step, ErrorKind> {
        self.broken += 1;
        if self.broken > BROKEN_EVENTS_MAX { Err(ErrorKind::Malformed) } else { Ok(Step::Nothing) }
    }

    /// Takes one chunk, or a whole completion where an endpoint ignores `stream`.
    pub(super) fn take(&mut self, chunk: &Value) -> Result<Step, ErrorKind> {
        let Some(chunk) = chunk.as_object() else {
            return self.broken();
        };
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            return Err(report::error_kind(error));
        }
        if let Some(usage) = chunk.get("usage").and_then(report::read_usage) {
            self.usage = Some(usage);
        }
        if let Some(model) = chunk.get("model").and_then(Value::as_str).filter(|model| !model.is_empty()) {
            self.model.get_or_insert_with(|| model.chars().take(128).collect());
        }
        let choice = chunk.get("choices").and_then(Value::as_array).and_then(|choices| {
            // Only the first choice is ours; we never ask for more.
            choices.iter().find(|choice| choice.get("index").and_then(Value::as_u64).unwrap_or(0) == 0)
        });
        let Some(choice) = choice else {
            return Ok(Step::Nothing);
        };
        let mut step = Step::Nothing;
        if let Some(delta) = choice.get("delta").or_else(|| choice.get("message")).and_then(Value::as_object) {
            step = self.take_delta(delta)?;
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            match reason {
                "content_filter" => self.refused = true,
                "length" | "max_tokens" => self.finish = Some(Finish::Length),
                "tool_calls" | "function_call" => self.finish = Some(Finish::ToolCalls),
                _ => self.finish = Some(Finish::Stop),
            }
        }
        Ok(step)
    }

    fn take_delta(&mut self, delta: &Map<String, Value>) -> Result<Step, ErrorKind> {
        let mut step = Step::Nothing;
        for thinking in ["reasoning_content", "reasoning"] {
            if delta.get(thinking).is_some_and(|value| !value.is_null()) {
                step = Step::Progress;
            }
        }
        if delta.get("refusal").and_then(Value::as_str).is_some_and(|refusal| !refusal.is_empty()) {
            self.refused = true;
        }
        if let Some(calls) = delta.get("tool_calls").and_then(Value::as_array) {
            for (position, call) in calls.iter().enumerate() {
                self.take_call(position as u64, call)?;
                step = Step::Progress;
            }
        }
        let content = match delta.get("content") {
            Some(Value::String(text)) => text.clone(),
            // Some endpoints send a list of parts.
            Some(Value::Array(parts)) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
            _ => String::new(),
        };
        // Blanks before the first word are never shown.
        let content = if self.text.is_empty() { content.trim_start() } else { content.as_str() };
        if !content.is_empty() {
            if self.text.len() + content.len() > TEXT_BYTES_MAX {
                return Err(ErrorKind::Malformed);
            }
            self.text.push_str(content);
            step = Step::Text(content.to_owned());
        }
        Ok(step)
    }

    fn take_call(&mut self, position: u64, call: &Value) -> Result<(), ErrorKind> {
        let id = call.get("id").and_then(Value::as_str).unwrap_or_default();
        let index = call.get("index").and_then(Value::as_u64).unwrap_or_else(|| {
            // Without an index, an id that is new begins another call and anything else continues the last one.
            let last = self.calls.last_key_value();
            match last {
                Some((last, partial)) if id.is_empty() || partial.id == id => *last,
                Some((last, _)) => last + 1,
                None => position,
            }
        });
        if !self.calls.contains_key(&index) && self.calls.len() >= TOOL_CALLS_MAX {
            return Err(ErrorKind::Malformed);
        }
        let partial = self.calls.entry(index).or_default();
        if partial.id.is_empty() {
            partial.id = id.chars().take(128).collect();
        }
        let function = call.get("function");
        if let Some(name) = function.and_then(|function| function.get("name")?.as_str())
            && partial.name.len() + name.len() <= 128
        {
            partial.name.push_str(name);
        }
        let arguments = match function.and_then(|function| function.get("arguments")) {
            Some(Value::String(text)) => text.clone(),
            Some(object @ Value::Object(_)) => object.to_string(),
            _ => String::new(),
        };
        if partial.arguments.len() + arguments.len() > ARGUMENTS_BYTES_MAX {
            partial.overlong = true;
        } else {
            partial.arguments.push_str(&arguments);
        }
        Ok(())
    }

    /// The stream is over: what is it?
    pub(super) fn complete(self, tools: &[Tool]) -> Result<Complete, ErrorKind> {
        if self.refused {
            return Err(ErrorKind::Refused);
        }
        let text = self.text.trim_end().to_owned();
        let unfinished = !self.done && self.finish.is_none();
        let nothing = text.is_empty() && self.calls.is_empty();
        if nothing && self.broken > 0 {
            return Err(ErrorKind::Malformed);
        }
        if unfinished {
            return Err(ErrorKind::CutStream);
        }
        if nothing {
            return Err(ErrorKind::Empty);
        }
        let tool_calls: Vec<ToolCall> =
            self.calls.into_iter().map(|(index, partial)| finish_call(index, partial, tools)).collect();
        let any_valid = tool_calls.iter().any(|call| matches!(call.arguments, ToolArguments::Valid { .. }));
        if text.is_empty() && !any_valid {
            return Err(ErrorKind::Malformed);
        }
        Ok(Complete { text, tool_calls, finish: self.finish.unwrap_or(Finish::Stop), model: self.model })
    }
}

fn finish_call(index: u64, partial: PartialCall, tools: &[Tool]) -> ToolCall {
    let id = if partial.id.is_empty() { format!("call_{index}") } else { partial.id };
    let malformed = |reason: &str| ToolArguments::Malformed { reason: reason.to_owned() };
    let arguments = if !tools.iter().any(|tool| tool.name == partial.name) {
        malformed("there is no tool of that name")
    } else if partial.overlong {
        malformed("the arguments are too long")
    } else if partial.arguments.trim().is_empty() {
        ToolArguments::Valid { fields: Map::new() }
    } else {
        match serde_json::from_str::<Value>(&partial.arguments) {
            Ok(Value::Object(fields)) => ToolArguments::Valid { fields },
            Ok(_) => malformed("the arguments are not an object"),
            Err(_) => malformed("the arguments are not JSON"),
        }
    };
    ToolCall { id, name: partial.name, arguments }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn tools() -> Vec<Tool> {
        vec![Tool { name: "capture_lead".into(), description: String::new(), parameters: json!({}) }]
    }

    fn take_all(chunks: &[Value]) -> Result<Complete, ErrorKind> {
        let mut answer = Answer::default();
        for chunk in chunks {
            answer.take(chunk)?;
        }
        answer.complete(&tools())
    }

    fn delta(delta: Value) -> Value {
        json!({"choices": [{"index": 0, "delta": delta}]})
    }

    fn finish(reason: &str) -> Value {
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    }

    #[test]
    fn tool_calls_are_joined_by_index_by_id_and_by_position() {
        let part = |index: Option<u64>, id: Option<&str>, name: Option<&str>, arguments: &str| json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}});
        let cases = [
            // As OpenAI streams two calls in turns.
            vec![
                delta(json!({"tool_calls": [part(Some(0), Some("a"), Some("capture_lead"), "{\"x\"")]})),
                delta(json!({"tool_calls": [part(Some(1), Some("b"), Some("capture_lead"), "{\"y\":")]})),
                delta(json!({"tool_calls": [part(Some(0), None, None, ":1}"), part(Some(1), None, None, "2}")]})),
                finish("tool_calls"),
            ],
            // Without indices.
            vec![
                delta(json!({"tool_calls": [part(None, Some("a"), Some("capture_lead"), "{\"x\"")]})),
                delta(json!({"tool_calls": [part(None, None, None, ":1}")]})),
                delta(json!({"tool_calls": [part(None, Some("b"), Some("capture_lead"), "{\"y\":2}")]})),
                finish("stop"),
            ],
        ];
        for chunks in cases {
            let complete = take_all(&chunks).expect("an answer");
            let calls: Vec<(String, Value)> = complete
                .tool_calls
                .into_iter()
                .map(|call| match call.arguments {
                    ToolArguments::Valid { fields } => (call.id, Value::Object(fields)),
                    ToolArguments::Malformed { reason } => (call.id, json!(reason)),
                })
                .collect();
            assert_eq!(calls, vec![("a".into(), json!({"x": 1})), ("b".into(), json!({"y": 2}))]);
        }
    }

    #[test]
    fn what_an_end_means() {
        let call = |name: &str, arguments: &str| {
            delta(json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": name, "arguments": arguments}}]}))
        };
        let text = |text: &str| delta(json!({"content": text}));
        let cases: Vec<(&str, Vec<Value>, Result<&str, ErrorKind>)> = vec![
            ("text and a reason", vec![text("Hi"), finish("stop")], Ok("Hi")),
            ("an unknown reason", vec![text("Hi"), finish("eos")], Ok("Hi")),
            ("text but no end", vec![text("Hi")], Err(ErrorKind::CutStream)),
            ("nothing at all", vec![], Err(ErrorKind::CutStream)),
            ("blanks only", vec![text(" \n"), finish("stop")], Err(ErrorKind::Empty)),
            ("a filter", vec![text("Hi"), finish("content_filter")], Err(ErrorKind::Refused)),
            ("a refusal", vec![delta(json!({"refusal": "No."})), finish("stop")], Err(ErrorKind::Refused)),
            (
                "arguments cut off",
                vec![call("capture_lead", "{\"a\":"), finish("tool_calls")],
                Err(ErrorKind::Malformed),
            ),
            ("arguments no object", vec![call("capture_lead", "[1]"), finish("tool_calls")], Err(ErrorKind::Malformed)),
            ("an unknown tool", vec![call("delete_all", "{}"), finish("tool_calls")], Err(ErrorKind::Malformed)),
            ("text beside broken arguments", vec![text("Hi"), call("capture_lead", "{"), finish("stop")], Ok("Hi")),
            ("no arguments", vec![call("capture_lead", ""), finish("tool_calls")], Ok("")),
            ("only unreadable events", vec![json!(null), json!(7), finish("stop")], Err(ErrorKind::Malformed)),
            (
                "an error in the stream",
                vec![text("Hi"), json!({"error": {"type": "server_error"}})],
                Err(ErrorKind::Unavailable),
            ),
            (
                "a limit in the stream",
                vec![json!({"error": {"code": "rate_limit_exceeded"}})],
                Err(ErrorKind::RateLimited),
            ),
            (
                "a whole completion",
                vec![json!({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})],
                Ok("Hi"),
            ),
            (
                "content in parts",
                vec![delta(json!({"content": [{"type": "text", "text": "Hi"}]})), finish("stop")],
                Ok("Hi"),
            ),
            (
                "another choice",
                vec![json!({"choices": [{"index": 1, "delta": {"content": "no"}}]}), text("Hi"), finish("stop")],
                Ok("Hi"),
            ),
            (
                "unknown fields",
                vec![json!({"x": [], "choices": [{"delta": {"content": "Hi", "y": {}}, "z": 1}]}), finish("stop")],
                Ok("Hi"),
            ),
        ];
        for (case, chunks, expected) in cases {
            let result = take_all(&chunks).map(|complete| complete.text);
            assert_eq!(result, expected.map(str::to_owned), "{case}");
        }
    }

    #[test]
    fn an_endless_answer_is_refused() {
        let mut answer = Answer::default();
        let chunk = delta(json!({"content": "x".repeat(1024)}));
        let end = (0..1000).find_map(|_| answer.take(&chunk).err());
        assert_eq!(end, Some(ErrorKind::Malformed));
        let mut answer = Answer::default();
        let end = (0..1000_u64).find_map(|index| {
            answer.take(&delta(json!({"tool_calls": [{"index": index, "function": {"arguments": "{}"}}]}))).err()
        });
        assert_eq!(end, Some(ErrorKind::Malformed));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            prop_oneof![Just("stop"), Just("length"), Just("capture_lead"), Just("{\"a\":"), Just("é ")]
                .prop_map(Value::from),
        ];
        let key = prop_oneof![
            Just("choices"),
            Just("delta"),
            Just("message"),
            Just("content"),
            Just("tool_calls"),
            Just("index"),
            Just("function"),
            Just("arguments"),
            Just("finish_reason"),
            Just("usage"),
            Just("prompt_tokens"),
            Just("error"),
            Just("id"),
            Just("text"),
        ];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((key.clone(), inner), 0..6).prop_map(|fields| {
                    Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_makes_it_panic_or_show_what_is_not_in_the_answer(chunks in proptest::collection::vec(any_json(), 0..12)) {
            let mut answer = Answer::default();
            let mut shown = String::new();
            for chunk in &chunks {
                if let Ok(Step::Text(text)) = answer.take(chunk) {
                    shown.push_str(&text);
                }
            }
            prop_assert_eq!(answer.text(), shown.as_str());
            let _ = answer.complete(&tools());
        }
    }
}
