//! What Vapi posts about its calls, and the answers that matter to it. The status is always 200: Vapi takes anything else for an outage.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::chat::time_ms;
use crate::call::CallEnd;
use crate::error::Malformed;
use crate::json::{clip, object, vocabulary};

/// The most tool calls of one delivery.
const TOOL_CALLS_MAX: usize = 32;
/// The longest text that is kept, characters: a transcript of two hours.
const TEXT_CHARS_MAX: usize = 400_000;

vocabulary! {
    /// Where a call stands.
    CallStatus {
        /// For later.
        Scheduled = "scheduled",
        /// Waits for its turn.
        Queued = "queued",
        /// Rings.
        Ringing = "ringing",
        /// The two speak.
        InProgress = "in-progress",
        /// It is being given to somebody else.
        Forwarding = "forwarding",
        /// Over.
        Ended = "ended",
    }
}

/// A tool the model called and we carry out.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// Names it in the answer.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// Its arguments. Vapi writes them as an object or as text with JSON in it.
    pub arguments: Value,
}

/// A delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Who answers this call? See [`assistant`].
    AssistantRequest,
    /// Carry these out. See [`tool_results`].
    ToolCalls(Vec<ToolCall>),
    /// Where to transfer? See [`transfer`].
    TransferDestinationRequest,
    /// May this person be called? The answer is [`eligible`].
    CampaignPredial {
        /// The campaign as Vapi names it.
        campaign_id: Option<String>,
        /// Whom.
        number: Option<String>,
    },
    /// A call moved.
    StatusUpdate {
        /// Where it stands.
        status: CallStatus,
        /// Why it ended.
        ended_reason: Option<String>,
    },
    /// A call is over and this is what is known about it.
    EndOfCall(Box<Report>),
    /// The caller spoke over us.
    UserInterrupted,
    /// Words.
    Transcript {
        /// `user` or `assistant`.
        role: String,
        /// Whether they will not change any more.
        last: bool,
        /// The words.
        text: String,
    },
    /// Somebody began or stopped to speak.
    Speech {
        /// `user` or `assistant`.
        role: String,
        /// Whether it began.
        started: bool,
    },
    /// Everything else, also what is new. It is answered with 200 and nothing.
    Other(String),
}

/// A call that is over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// In Vapi's words; there are hundreds.
    pub ended_reason: Option<String>,
    /// Millionths of a US dollar.
    pub cost_micros: Option<i64>,
    /// Unix ms or RFC 3339 read as such.
    pub started_ms: Option<i64>,
    /// Unix ms.
    pub ended_ms: Option<i64>,
    /// Running text.
    pub transcript: Option<String>,
    /// In a few sentences.
    pub summary: Option<String>,
    /// Where the recording is.
    pub recording_url: Option<String>,
}

impl Report {
    /// What it came to. Vapi's reasons are told apart by their beginnings and ends, since the words between change.
    pub fn end(&self) -> CallEnd {
        match self.ended_reason.as_deref().unwrap_or_default() {
            "voicemail" => CallEnd::Voicemail,
            "customer-busy" => CallEnd::Busy,
            "customer-did-not-answer" => CallEnd::NoAnswer,
            "assistant-forwarded-call" => CallEnd::Transferred,
            "customer-ended-call"
            | "assistant-ended-call"
            | "assistant-said-end-call-phrase"
            | "assistant-ended-call-after-message-spoken"
            | "silence-timed-out"
            | "exceeded-max-duration"
            | "manually-canceled" => CallEnd::Completed,
            _ => CallEnd::Failed,
        }
    }
}

/// A delivery with the call it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// What.
    pub message: Message,
    /// The call.
    pub call_id: Option<String>,
    /// When, Unix ms.
    pub at_ms: Option<i64>,
    /// The caller's number.
    pub customer_number: Option<String>,
    /// Our number.
    pub phone_number: Option<String>,
}

impl Delivery {
    /// The same key is the same delivery again; `None` where each one counts or must be answered anew.
    pub fn dedupe_key(&self) -> Option<String> {
        let call = self.call_id.as_deref()?;
        match &self.message {
            Message::StatusUpdate { status, .. } => Some(format!("{call}:status:{status}")),
            Message::EndOfCall(_) => Some(format!("{call}:end")),
            Message::AssistantRequest
            | Message::ToolCalls(_)
            | Message::TransferDestinationRequest
            | Message::CampaignPredial { .. }
            | Message::UserInterrupted
            | Message::Transcript { .. }
            | Message::Speech { .. }
            | Message::Other(_) => None,
        }
    }
}

/// Reads a delivery whose secret was believed.
///
/// # Errors
/// When it is no message.
pub fn read(body: &[u8]) -> Result<Delivery, Malformed> {
    let mut body = object(body)?;
    let Some(Value::Object(message)) = body.remove("message") else { return Err(Malformed::Field("message")) };
    let kind = text(&message, &["type"]).ok_or(Malformed::Field("message.type"))?;
    Ok(Delivery {
        call_id: text(&message, &["call", "id"]),
        at_ms: time_ms(message.get("timestamp")),
        customer_number: text(&message, &["customer", "number"]),
        phone_number: text(&message, &["phoneNumber", "number"]),
        message: read_message(&kind, &message),
    })
}

fn read_message(kind: &str, message: &Map<String, Value>) -> Message {
    let role = || text(message, &["role"]).unwrap_or_default();
    match kind {
        "assistant-request" => Message::AssistantRequest,
        "tool-calls" => Message::ToolCalls(tool_calls(message)),
        "transfer-destination-request" => Message::TransferDestinationRequest,
        "campaign.predial" => Message::CampaignPredial {
            campaign_id: text(message, &["campaignId"]),
            number: text(message, &["contact", "number"]).or_else(|| text(message, &["customer", "number"])),
        },
        "status-update" => match text(message, &["status"]) {
            Some(status) => Message::StatusUpdate {
                status: CallStatus::from(status.as_str()),
                ended_reason: text(message, &["endedReason"]),
            },
            None => Message::Other(kind.to_owned()),
        },
        "end-of-call-report" => Message::EndOfCall(Box::new(report(message))),
        "user-interrupted" => Message::UserInterrupted,
        "speech-update" => {
            Message::Speech { role: role(), started: text(message, &["status"]).as_deref() == Some("started") }
        }
        // A filter for final ones can stand in the type itself.
        _ if kind == "transcript" || kind.starts_with("transcript[") => Message::Transcript {
            role: role(),
            last: text(message, &["transcriptType"]).as_deref() == Some("final"),
            text: text(message, &["transcript"]).unwrap_or_default(),
        },
        _ => Message::Other(clip(kind, 64)),
    }
}

fn tool_calls(message: &Map<String, Value>) -> Vec<ToolCall> {
    let calls = message.get("toolCallList").and_then(Value::as_array).into_iter().flatten();
    calls
        .filter_map(|call| {
            // Older and newer deliveries: name and arguments below `function`, or beside the id.
            let function = call.get("function").unwrap_or(call);
            let arguments = match function.get("arguments").or_else(|| function.get("parameters")) {
                Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
                Some(value) => value.clone(),
                None => Value::Null,
            };
            let field = |value: &Value, name| value.get(name).and_then(Value::as_str).map(str::to_owned);
            Some(ToolCall { id: field(call, "id")?, name: field(function, "name")?, arguments })
        })
        .take(TOOL_CALLS_MAX)
        .collect()
}

fn report(message: &Map<String, Value>) -> Report {
    let time = |name| {
        let value = message.get(name)?;
        time_ms(Some(value)).or_else(|| value.as_str()?.parse::<jiff::Timestamp>().ok().map(|at| at.as_millisecond()))
    };
    let cost = message.get("cost").and_then(Value::as_f64).filter(|dollars| (0.0..1e9).contains(dollars));
    Report {
        ended_reason: text(message, &["endedReason"]),
        cost_micros: cost.map(|dollars| (dollars * 1e6).round() as i64),
        started_ms: time("startedAt"),
        ended_ms: time("endedAt"),
        transcript: text(message, &["artifact", "transcript"]).or_else(|| text(message, &["transcript"])),
        summary: text(message, &["analysis", "summary"]).or_else(|| text(message, &["summary"])),
        recording_url: text(message, &["artifact", "recordingUrl"]).or_else(|| text(message, &["recordingUrl"])),
    }
}

fn text(message: &Map<String, Value>, path: &[&str]) -> Option<String> {
    let (first, rest) = path.split_first()?;
    let value = rest.iter().try_fold(message.get(*first)?, |value, name| value.get(*name))?;
    value.as_str().filter(|text| !text.is_empty()).map(|text| clip(text, TEXT_CHARS_MAX))
}

/// An assistant for one call, whose words are ours.
#[derive(Clone, Copy, Debug)]
pub struct Assistant<'a> {
    /// Its name, for people.
    pub name: &'a str,
    /// What it says first; it waits for the caller if empty.
    pub greeting: &'a str,
    /// Where it asks for words, without `/chat/completions`.
    pub model_url: &'a str,
    /// Where it tells of the call.
    pub server_url: &'a str,
}

/// The longest name of an assistant, characters.
const NAME_CHARS_MAX: usize = 40;

/// This assistant, made for the call, answers it. `secret` is what it proves itself with. To whom a call is handed on is asked when it is.
pub fn transient(of: Assistant<'_>, secret: &SecretString) -> String {
    let mode = if of.greeting.is_empty() { "assistant-waits-for-user" } else { "assistant-speaks-first" };
    let mut assistant = json!({
        "name": clip(of.name, NAME_CHARS_MAX),
        "firstMessageMode": mode,
        // What must be heard is heard.
        "firstMessageInterruptionsEnabled": false,
        "model": { "provider": "custom-llm", "url": of.model_url, "model": "colloquy", "metadataSendMode": "variable",
            "tools": [{ "type": "endCall" }, { "type": "transferCall", "destinations": [] }] },
        "server": { "url": of.server_url, "headers": { "X-Vapi-Secret": secret.expose_secret() } },
        "serverMessages": ["status-update", "end-of-call-report", "transfer-destination-request", "tool-calls", "transcript", "hang"],
    });
    if !of.greeting.is_empty() {
        assistant["firstMessage"] = of.greeting.into();
    }
    json!({ "assistant": assistant }).to_string()
}

/// This assistant of the account answers the call.
pub fn assistant(assistant_id: &str) -> String {
    json!({ "assistantId": assistant_id }).to_string()
}

/// Nobody answers the call; the caller hears why.
pub fn no_assistant(spoken: &str) -> String {
    json!({ "error": spoken }).to_string()
}

/// What came of tools: by id and name, a result or what went wrong.
pub fn tool_results(results: &[(&ToolCall, Result<String, String>)]) -> String {
    let results: Vec<Value> = results
        .iter()
        .map(|(call, result)| match result {
            // One line: Vapi shows the model nothing behind a line end.
            Ok(text) => json!({ "toolCallId": call.id, "name": call.name, "result": text.replace(['\n', '\r'], " ") }),
            Err(problem) => {
                json!({ "toolCallId": call.id, "name": call.name, "error": problem.replace(['\n', '\r'], " ") })
            }
        })
        .collect();
    json!({ "results": results }).to_string()
}

/// The call goes to this number.
pub fn transfer(number: &str, spoken: Option<&str>) -> String {
    let mut answer = json!({ "destination": { "type": "number", "number": number } });
    if let Some(spoken) = spoken {
        answer["message"] = json!({ "type": "request-start", "content": spoken });
    }
    answer.to_string()
}

/// Whether this person may be called now.
pub fn eligible(yes: bool) -> String {
    json!({ "eligible": yes }).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{bent, mutated};

    const TOOLS: &str = r#"{"message":{"type":"tool-calls","timestamp":1700000000000,"call":{"id":"c1"},"customer":{"number":"+14155550100"},
        "toolCallList":[{"id":"t1","type":"function","function":{"name":"book","arguments":"{\"day\":1}"}},{"id":"t2","name":"hold","arguments":{"day":2}},{"name":"lost"}]}}"#;
    const REPORT: &str = r#"{"message":{"type":"end-of-call-report","call":{"id":"c1"},"endedReason":"customer-ended-call","cost":0.0725,
        "startedAt":"2023-11-14T22:13:20.000Z","endedAt":1700000060000,"artifact":{"transcript":"User: hi","recordingUrl":"https://h/r"},"analysis":{"summary":"Said hi"}}}"#;
    const STATUS: &str =
        r#"{"message":{"type":"status-update","status":"ended","endedReason":"voicemail","call":{"id":"c1"}}}"#;

    #[test]
    fn tools_are_read_in_both_shapes_and_answered() {
        let delivery = read(TOOLS.as_bytes()).expect("a delivery");
        let Message::ToolCalls(calls) = &delivery.message else { panic!("tools") };
        let read: Vec<(&str, &Value)> = calls.iter().map(|call| (call.name.as_str(), &call.arguments)).collect();
        assert_eq!(read, [("book", &json!({"day": 1})), ("hold", &json!({"day": 2}))]);
        assert_eq!(
            (delivery.call_id.as_deref(), delivery.at_ms, delivery.dedupe_key()),
            (Some("c1"), Some(1_700_000_000_000), None)
        );
        let answer = tool_results(&[(&calls[0], Ok("booked\nfor nine".into())), (&calls[1], Err("full".into()))]);
        assert_eq!(
            serde_json::from_str::<Value>(&answer).expect("JSON"),
            json!({"results": [{"toolCallId": "t1", "name": "book", "result": "booked for nine"}, {"toolCallId": "t2", "name": "hold", "error": "full"}]})
        );
    }

    #[test]
    fn the_end_of_a_call_is_read_with_cost_and_times() {
        let delivery = read(REPORT.as_bytes()).expect("a delivery");
        let Message::EndOfCall(report) = &delivery.message else { panic!("a report") };
        assert_eq!(
            (report.cost_micros, report.started_ms, report.ended_ms),
            (Some(72_500), Some(1_700_000_000_000), Some(1_700_000_060_000))
        );
        assert_eq!(
            (report.summary.as_deref(), report.recording_url.as_deref(), report.end()),
            (Some("Said hi"), Some("https://h/r"), CallEnd::Completed)
        );
        assert_eq!(delivery.dedupe_key().as_deref(), Some("c1:end"));
        let status = read(STATUS.as_bytes()).expect("a delivery");
        assert_eq!(status.dedupe_key().as_deref(), Some("c1:status:ended"));
        assert_eq!(
            Report { ended_reason: Some("pipeline-error-x".into()), ..Report::default() }.end(),
            CallEnd::Failed
        );
    }

    #[test]
    fn the_last_check_before_a_dial_and_new_types_are_answered() {
        let predial =
            read(br#"{"message":{"type":"campaign.predial","campaignId":"k1","contact":{"number":"+14155550100"}}}"#)
                .expect("a delivery");
        assert_eq!(
            predial.message,
            Message::CampaignPredial { campaign_id: Some("k1".into()), number: Some("+14155550100".into()) }
        );
        assert_eq!(eligible(false), r#"{"eligible":false}"#);
        let new = read(br#"{"message":{"type":"session.created"}}"#).expect("a delivery");
        assert_eq!(new.message, Message::Other("session.created".into()));
        assert_eq!(read(br#"{"message":{}}"#), Err(Malformed::Field("message.type")));
        assert_eq!(read(br#"{"type":"hang"}"#), Err(Malformed::Field("message")));
        assert_eq!(transfer("+14155550100", None), r#"{"destination":{"number":"+14155550100","type":"number"}}"#);
    }

    proptest! {
        #[test]
        fn any_body_is_answered(text in prop_oneof![mutated(&[TOOLS, REPORT, STATUS]), bent(&[TOOLS, REPORT, STATUS]), "\\PC{0,80}"]) {
            if let Ok(delivery) = read(text.as_bytes()) {
                let _ = delivery.dedupe_key();
                if let Message::EndOfCall(report) = delivery.message {
                    let _ = report.end();
                }
            }
        }
    }
}
