//! What Vapi asks in a call: `POST {url}/chat/completions`, as an OpenAI client would.

use serde_json::{Map, Value};

use crate::error::Malformed;
use crate::json::{clip, object, whole};

/// The most messages that are read: a call of an hour has some hundreds. The newest are kept.
pub const MESSAGES_MAX: usize = 1000;
/// The longest text of one message, characters.
pub const MESSAGE_CHARS_MAX: usize = 16_000;
/// The most tools that are read.
const TOOLS_MAX: usize = 64;

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// The caller.
    User,
    /// We.
    Assistant,
    /// A tool.
    Tool,
}

/// One message of the dialogue so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who.
    pub role: Role,
    /// What; empty beside tool calls.
    pub text: String,
    /// Tools the assistant called: id, name, arguments as text.
    pub tool_calls: Vec<(String, String, String)>,
    /// The call this is the result of.
    pub tool_call_id: Option<String>,
}

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The model's name, as the customer wrote it there.
    pub model: String,
    /// Whether the answer is to be streamed. Vapi always asks for it.
    pub stream: bool,
    /// Whether the last chunk carries usage.
    pub include_usage: bool,
    /// The dialogue so far.
    pub messages: Vec<Message>,
    /// Names of the tools that may be called.
    pub tools: Vec<String>,
    /// The call, unless metadata is switched off there.
    pub call_id: Option<String>,
    /// The caller's number, where there is one.
    pub customer_number: Option<String>,
    /// Our number.
    pub phone_number: Option<String>,
    /// Whether we called them.
    pub outbound: bool,
    /// How often the caller has had the floor. Together with [`Ask::pending_words`] it names a turn, however often it is asked for.
    pub user_turns: usize,
    /// What we or the customer gave along, wherever Vapi put it.
    pub metadata: Map<String, Value>,
}

impl Ask {
    /// What the caller said last; `None` when there is nothing to answer, such as at the beginning.
    pub fn last_words(&self) -> Option<&str> {
        let last = self.messages.iter().rev().find(|message| message.role != Role::System)?;
        (last.role == Role::User && !last.text.trim().is_empty()).then_some(last.text.as_str())
    }

    /// What the caller said since we last spoke, joined; `None` when nothing is to be answered. Whoever goes on after a pause is written down twice.
    pub fn pending_words(&self) -> Option<String> {
        let said = self.messages.iter().rev().filter(|message| message.role != Role::System);
        let mut words: Vec<&str> = said
            .take_while(|message| message.role == Role::User)
            .map(|message| message.text.trim())
            .filter(|text| !text.is_empty())
            .collect();
        words.reverse();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// What the caller heard of us before the words that are pending: Vapi cuts what it was interrupted in.
    pub fn heard_before(&self) -> String {
        let said = self.messages.iter().rev().filter(|message| message.role != Role::System);
        let before = said.skip_while(|message| message.role == Role::User);
        let mut heard: Vec<&str> = before
            .take_while(|message| message.role != Role::User)
            .filter(|message| message.role == Role::Assistant)
            .map(|message| message.text.trim())
            .filter(|text| !text.is_empty())
            .collect();
        heard.reverse();
        heard.join(" ")
    }

    /// The tool with which an answer ends the call or hands it on, under the name that the assistant has it by.
    pub fn tool(&self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().copied().find(|name| self.tools.iter().any(|tool| tool == name))
    }
}

/// The names of Vapi's own tool for hanging up; which one is there depends on the assistant's age.
pub const END_CALL: [&str; 3] = ["endCall", "end_call_tool", "end_call"];
/// Those of its tool for handing a call on.
pub const TRANSFER_CALL: [&str; 3] = ["transferCall", "transfer_call_tool", "transfer_call"];

/// Names that are fields of the question itself and therefore no metadata when it is spread among them.
const OWN_FIELDS: [&str; 20] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "temperature",
    "max_tokens",
    "tools",
    "tool_choice",
    "call",
    "phoneNumber",
    "customer",
    "assistant",
    "timestamp",
    "metadata",
    "top_p",
    "stop",
    "user",
    "credentials",
    "artifact",
    "chat",
];

/// Reads a question.
///
/// # Errors
/// When there are no messages; the answer is then an OpenAI error with 400.
pub fn read(body: &[u8]) -> Result<Ask, Malformed> {
    let mut question = object(body)?;
    let Some(Value::Array(messages)) = question.remove("messages") else { return Err(Malformed::Field("messages")) };
    let user_turns = turns(messages.iter());
    let skipped = messages.len().saturating_sub(MESSAGES_MAX);
    let messages = messages.iter().skip(skipped).filter_map(read_message).collect();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let tools = question.get("tools").and_then(Value::as_array).into_iter().flatten();
    let metadata = match question.get("metadata") {
        Some(Value::Object(metadata)) => metadata.clone(),
        // Spread among the question's own fields.
        Some(_) | None => question
            .iter()
            .filter(|(name, _)| !OWN_FIELDS.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    };
    let number = |name: &str| text(question.get(name).and_then(|part| part.get("number")));
    Ok(Ask {
        model: clip(question.get("model").and_then(Value::as_str).unwrap_or_default(), 128),
        stream: question.get("stream").and_then(Value::as_bool).unwrap_or(false),
        include_usage: question
            .get("stream_options")
            .and_then(|options| options.get("include_usage"))
            .and_then(Value::as_bool)
            .unwrap_or(false),
        messages,
        tools: tools.filter_map(|tool| text(tool.get("function")?.get("name"))).take(TOOLS_MAX).collect(),
        call_id: text(question.get("call").and_then(|call| call.get("id"))),
        customer_number: number("customer"),
        phone_number: number("phoneNumber"),
        outbound: question
            .get("call")
            .and_then(|call| call.get("type"))
            .is_some_and(|kind| kind == "outboundPhoneCall"),
        user_turns,
        metadata,
    })
}

/// How often the caller had the floor: whoever goes on has it still.
fn turns<'a>(messages: impl Iterator<Item = &'a Value>) -> usize {
    let (mut turns, mut theirs) = (0, false);
    for message in messages {
        match message.get("role").and_then(Value::as_str) {
            Some("user") => {
                turns += usize::from(!theirs);
                theirs = true;
            }
            Some("assistant") => theirs = false,
            Some(_) | None => {}
        }
    }
    turns
}

fn read_message(message: &Value) -> Option<Message> {
    let role = match message.get("role")?.as_str()? {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" | "function" => Role::Tool,
        _ => return None,
    };
    let text = match message.get("content") {
        Some(Value::String(text)) => clip(text, MESSAGE_CHARS_MAX),
        Some(Value::Array(parts)) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect();
            clip(&texts.join(" "), MESSAGE_CHARS_MAX)
        }
        Some(_) | None => String::new(),
    };
    let calls = message.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    let tool_calls = calls
        .filter_map(|call| {
            let function = call.get("function")?;
            let field = |value: &Value, name| value.get(name).and_then(Value::as_str).map(str::to_owned);
            Some((field(call, "id")?, field(function, "name")?, field(function, "arguments").unwrap_or_default()))
        })
        .take(TOOLS_MAX)
        .collect();
    let tool_call_id = message.get("tool_call_id").and_then(Value::as_str).map(str::to_owned);
    Some(Message { role, text, tool_calls, tool_call_id })
}

/// Seconds or milliseconds of a Vapi time, as milliseconds: it writes both.
pub(super) fn time_ms(value: Option<&Value>) -> Option<i64> {
    whole(value?).map(|time| if time < 100_000_000_000 { time.saturating_mul(1000) } else { time })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::arbitrary::{bent, mutated};

    const ASK: &str = r#"{"model":"our-model","stream":true,"stream_options":{"include_usage":true},"temperature":0.5,"max_tokens":250,
        "messages":[{"role":"system","content":"You are Ace"},{"role":"assistant","content":null,"tool_calls":[{"id":"t1","type":"function","function":{"name":"book","arguments":"{}"}}]},
          {"role":"tool","tool_call_id":"t1","content":"ok"},{"role":"user","content":[{"type":"text","text":"I need"},{"type":"text","text":"a plumber"}]}],
        "tools":[{"type":"function","function":{"name":"book","parameters":{}}}],
        "call":{"id":"call_1"},"phoneNumber":{"number":"+14155550111"},"customer":{"number":"+14155550100"},"metadata":{"tenant":"t1"}}"#;

    #[test]
    fn a_question_is_read_with_call_and_metadata() {
        let ask = read(ASK.as_bytes()).expect("a question");
        assert_eq!((ask.stream, ask.include_usage, ask.last_words()), (true, true, Some("I need a plumber")));
        assert_eq!(ask.call_id.as_deref(), Some("call_1"));
        assert_eq!(
            (ask.customer_number.as_deref(), ask.phone_number.as_deref()),
            (Some("+14155550100"), Some("+14155550111"))
        );
        assert_eq!(ask.metadata, json!({"tenant": "t1"}).as_object().cloned().expect("an object"));
        assert_eq!(ask.messages[1].tool_calls, [("t1".to_owned(), "book".to_owned(), "{}".to_owned())]);
        assert_eq!((ask.messages[2].tool_call_id.as_deref(), ask.tools), (Some("t1"), vec!["book".to_owned()]));
    }

    #[test]
    fn metadata_may_be_spread_or_absent() {
        let ask =
            read(br#"{"messages":[{"role":"user","content":"hi"}],"stream":true,"tenant":"t1","call":{"id":"c"}}"#)
                .expect("a question");
        assert_eq!(ask.metadata, json!({"tenant": "t1"}).as_object().cloned().expect("an object"));
        let ask = read(br#"{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"Hello"}]}"#)
            .expect("a question");
        assert!(ask.metadata.is_empty() && ask.call_id.is_none() && !ask.stream);
        assert_eq!(ask.last_words(), None, "we spoke last");
        assert_eq!(read(br#"{"prompt":"hi"}"#).expect_err("refused"), Malformed::Field("messages"));
    }

    #[test]
    fn a_turn_is_named_by_its_number_and_its_words_and_what_was_heard_before() {
        let read = |messages: Value| read(json!({ "messages": messages }).to_string().as_bytes()).expect("a question");
        let said = |role: &str, text: &str| json!({ "role": role, "content": text });
        let first = read(json!([
            said("system", "x"),
            said("assistant", "Hello."),
            said("user", "I need"),
            said("user", "a plumber")
        ]));
        assert_eq!((first.user_turns, first.pending_words().as_deref()), (1, Some("I need a plumber")));
        assert_eq!(first.heard_before(), "Hello.");
        let second = read(json!([
            said("assistant", "Hello."),
            said("user", "I need a plumber"),
            said("assistant", "When"),
            said("user", "Now"),
        ]));
        assert_eq!((second.user_turns, second.heard_before().as_str()), (2, "When"), "only what was heard of it");
        let ours = read(json!([said("user", "Hi"), said("assistant", "Hello.")]));
        assert_eq!((ours.user_turns, ours.pending_words()), (1, None), "nothing is to be answered");
        assert!(read(json!([])).pending_words().is_none());
    }

    #[test]
    fn what_ends_a_call_goes_by_the_name_the_assistant_has_it_by() {
        let tools =
            json!({ "messages": [], "tools": [{ "type": "function", "function": { "name": "end_call_tool" } }] });
        let ask = read(tools.to_string().as_bytes()).expect("a question");
        assert_eq!((ask.tool(&END_CALL), ask.tool(&TRANSFER_CALL)), (Some("end_call_tool"), None));
    }

    #[test]
    fn the_newest_messages_are_kept() {
        let messages: Vec<Value> = (0..1500).map(|n| json!({"role": "user", "content": n.to_string()})).collect();
        let ask = read(json!({ "messages": messages }).to_string().as_bytes()).expect("a question");
        assert_eq!(
            (ask.messages.len(), ask.messages[0].text.as_str(), ask.last_words()),
            (MESSAGES_MAX, "500", Some("1499"))
        );
    }

    proptest! {
        #[test]
        fn any_body_is_answered(text in prop_oneof![mutated(&[ASK]), bent(&[ASK]), "\\PC{0,80}"]) {
            if let Ok(ask) = read(text.as_bytes()) {
                let _ = (ask.last_words(), ask.pending_words(), ask.heard_before());
                prop_assert!(ask.messages.len() <= MESSAGES_MAX);
            }
        }
    }
}
