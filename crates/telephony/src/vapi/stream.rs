//! The answer to a question as an OpenAI stream: events of `data: {json}`, then `data: [DONE]`.

use serde_json::{Value, json};

/// The content type of the stream.
pub const CONTENT_TYPE: &str = "text/event-stream";
/// A comment that keeps the connection open while a model thinks; clients pass over it.
pub const KEEP_ALIVE: &str = ": keep-alive\n\n";

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It was complete.
    Stop,
    /// It was cut at the limit.
    Length,
    /// A tool is to be called.
    ToolCalls,
    /// A filter stopped it.
    ContentFilter,
}

impl Finish {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}

/// Writes the events of one answer.
#[derive(Clone, Debug)]
pub struct Stream {
    id: String,
    model: String,
    created_s: i64,
    begun: bool,
    tools: usize,
    finished: bool,
}

impl Stream {
    /// An answer with this id.
    pub fn new(id: &str, model: &str, now_ms: i64) -> Self {
        Self {
            id: format!("chatcmpl-{id}"),
            model: model.to_owned(),
            created_s: now_ms.div_euclid(1000),
            begun: false,
            tools: 0,
            finished: false,
        }
    }

    /// A piece of words. Nothing after the end.
    pub fn text(&mut self, words: &str) -> String {
        if words.is_empty() || self.finished {
            return String::new();
        }
        let begin = self.begin();
        begin + &self.chunk(json!({ "content": words }), None)
    }

    /// A tool call, whole: Vapi carries it out, or posts it to us. Nothing after the end.
    pub fn tool_call(&mut self, id: &str, name: &str, arguments: &Value) -> String {
        if self.finished {
            return String::new();
        }
        let begin = self.begin();
        let index = self.tools;
        self.tools += 1;
        let function = json!({ "name": name, "arguments": arguments.to_string() });
        begin
            + &self.chunk(
                json!({ "tool_calls": [{ "index": index, "id": id, "type": "function", "function": function }] }),
                None,
            )
    }

    /// The end. `usage` (prompt and completion tokens) only if it was asked for. Once only.
    pub fn finish(&mut self, finish: Finish, usage: Option<(u64, u64)>) -> String {
        if self.finished {
            return String::new();
        }
        // An answer without any words must still be one for the client: role first, then the end.
        let mut out = self.begin();
        self.finished = true;
        out += &self.chunk(json!({}), Some(finish));
        if let Some((prompt, completion)) = usage {
            let usage = json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt.saturating_add(completion) });
            out += &event(
                &json!({ "id": self.id, "object": "chat.completion.chunk", "created": self.created_s, "model": self.model,
                "choices": [], "usage": usage }),
            );
        }
        out + "data: [DONE]\n\n"
    }

    fn begin(&mut self) -> String {
        if std::mem::replace(&mut self.begun, true) {
            return String::new();
        }
        self.chunk(json!({ "role": "assistant", "content": "" }), None)
    }

    fn chunk(&self, delta: Value, finish: Option<Finish>) -> String {
        event(
            &json!({ "id": self.id, "object": "chat.completion.chunk", "created": self.created_s, "model": self.model,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish.map(Finish::as_str) }] }),
        )
    }
}

/// The whole answer at once, for a client that did not ask for a stream.
pub fn whole(id: &str, model: &str, now_ms: i64, words: &str, usage: (u64, u64)) -> String {
    json!({ "id": format!("chatcmpl-{id}"), "object": "chat.completion", "created": now_ms.div_euclid(1000), "model": model,
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": words }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": usage.0, "completion_tokens": usage.1, "total_tokens": usage.0.saturating_add(usage.1) } })
    .to_string()
}

/// The body of an error, in OpenAI's form.
pub fn error(message: &str, kind: &str, code: &str) -> String {
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } }).to_string()
}

fn event(value: &Value) -> String {
    // JSON text has no raw line ends, so that one event is one line.
    format!("data: {value}\n\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a client reads it.
    fn read(text: &str) -> Vec<Value> {
        text.split("\n\n")
            .filter(|event| !event.is_empty())
            .map(|event| {
                let data = event.strip_prefix("data: ").expect("an event");
                if data == "[DONE]" { Value::Null } else { serde_json::from_str(data).expect("JSON") }
            })
            .collect()
    }

    #[test]
    fn an_answer_is_role_words_end_usage_and_done() {
        let mut stream = Stream::new("x", "m", 1_700_000_000_000);
        let text =
            [stream.text("Hello "), stream.text(""), stream.text("there."), stream.finish(Finish::Stop, Some((7, 2)))]
                .concat();
        let events = read(&text);
        let first = json!({"id": "chatcmpl-x", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m",
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]});
        assert_eq!(events[0], first);
        assert_eq!(events[1]["choices"][0]["delta"], json!({"content": "Hello "}));
        assert_eq!(events[3]["choices"][0], json!({"index": 0, "delta": {}, "finish_reason": "stop"}));
        assert_eq!((&events[4]["choices"], &events[4]["usage"]["total_tokens"]), (&json!([]), &json!(9)));
        assert_eq!((events.len(), &events[5]), (6, &Value::Null));
        assert!(
            stream.text("late").is_empty() && stream.finish(Finish::Stop, None).is_empty(),
            "nothing follows the end"
        );
    }

    #[test]
    fn tool_calls_are_numbered_and_an_empty_answer_is_still_one() {
        let mut stream = Stream::new("x", "m", 0);
        let text = stream.tool_call("t1", "book", &json!({"day": 1})) + &stream.tool_call("t2", "hold", &json!({}));
        let events = read(&text);
        assert_eq!(
            events[1]["choices"][0]["delta"]["tool_calls"][0],
            json!({"index": 0, "id": "t1", "type": "function", "function": {"name": "book", "arguments": "{\"day\":1}"}})
        );
        assert_eq!(events[2]["choices"][0]["delta"]["tool_calls"][0]["index"], 1);
        assert_eq!(read(&stream.finish(Finish::ToolCalls, None))[0]["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!(read(&Stream::new("y", "m", 0).finish(Finish::Stop, None)).len(), 3);
    }

    proptest! {
        #[test]
        fn every_word_arrives_whatever_is_in_it(pieces in proptest::collection::vec(any::<String>(), 0..8)) {
            let mut stream = Stream::new("x", "m", 0);
            let mut text: String = pieces.iter().map(|piece| stream.text(piece)).collect();
            text += &stream.finish(Finish::Stop, None);
            let said: String = read(&text).iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect();
            prop_assert_eq!(said, pieces.concat());
        }
    }
}
