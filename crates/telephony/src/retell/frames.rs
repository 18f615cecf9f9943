//! The frames of the custom-LLM socket, in both directions: text, one JSON object each.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::object::Call;
use crate::error::Malformed;
use crate::json::{lenient, lenient_whole, list, object, or_default, typed, vocabulary};

/// What Retell transcribes when it heard speech and understood no word.
pub const UNINTELLIGIBLE: &str = "(unintelligible audio)";

vocabulary! {
    /// Who spoke.
    Speaker {
        /// We.
        Agent = "agent",
        /// The caller.
        User = "user",
        /// The person the call was transferred to.
        TransferTarget = "transfer_target",
        /// Retell itself.
        System = "system",
    }
}

/// One word and when it was spoken, seconds from the start of the call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// The word.
    #[serde(default, deserialize_with = "or_default")]
    pub word: String,
    /// Its beginning.
    #[serde(default, deserialize_with = "or_default")]
    pub start: f64,
    /// Its end.
    #[serde(default, deserialize_with = "or_default")]
    pub end: f64,
}

/// What one of the two said without the other coming in between.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Utterance {
    /// Who.
    pub role: Speaker,
    /// What.
    #[serde(default, deserialize_with = "or_default")]
    pub content: String,
    /// Word by word, where Retell times them.
    #[serde(default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
}

/// Something that happened in a call besides speech, or speech; in the order of the call. Roles that are not known stay as they came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Happened {
    /// A tool was started.
    ToolCallInvocation {
        /// Its id.
        tool_call_id: String,
        /// Its name.
        #[serde(default, deserialize_with = "or_default")]
        name: String,
        /// Its arguments: JSON as text.
        #[serde(default, deserialize_with = "or_default")]
        arguments: String,
    },
    /// A tool came back.
    ToolCallResult {
        /// Its id.
        tool_call_id: String,
        /// What it said.
        #[serde(default, deserialize_with = "or_default")]
        content: String,
        /// Whether it succeeded; absent is not "no".
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        successful: Option<bool>,
    },
    /// A key was pressed.
    Dtmf {
        /// Which.
        digit: String,
    },
    /// Speech or something else.
    #[serde(untagged)]
    Spoken(Value),
}

/// Whose turn Retell thinks it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turntaking {
    /// The agent is about to speak.
    AgentTurn,
    /// The caller began to speak.
    UserTurn,
}

/// The transcript so far, always complete.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// Speech.
    #[serde(default, deserialize_with = "list")]
    pub transcript: Vec<Utterance>,
    /// Speech, tools and keys, if asked for in `config`.
    #[serde(default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub transcript_with_tool_calls: Vec<Happened>,
    /// How often the caller had the floor in what was left out by [`Self::newest`]; Retell does not send it.
    #[serde(skip)]
    pub earlier_turns: usize,
}

/// Utterances that are kept: what is answered stands at the end, and who lets a hundred follow each other has long been answered.
const KEPT_UTTERANCES: usize = 200;
/// Bytes of their words altogether: an hour of speech.
const KEPT_BYTES: usize = 64 * 1024;

impl Transcript {
    /// The newest of it without the times of words and without tools: a socket keeps it between frames, and whoever sends frames decides how long they are.
    /// Turns are counted as before.
    #[must_use]
    pub fn newest(mut self) -> Self {
        let turns = self.user_turns();
        let (mut kept, mut bytes) = (Vec::new(), 0_usize);
        for said in self.transcript.drain(..).rev().take(KEPT_UTTERANCES) {
            let room = KEPT_BYTES.saturating_sub(bytes);
            let end = said.content.floor_char_boundary(room.min(said.content.len()));
            let whole = end == said.content.len();
            bytes += end;
            // Copied, so that the room of what was left out goes with it.
            kept.push(Utterance { role: said.role, content: said.content[..end].to_owned(), words: Vec::new() });
            if !whole {
                break;
            }
        }
        kept.reverse();
        let mut newest = Self { transcript: kept, ..Self::default() };
        newest.earlier_turns = turns.saturating_sub(newest.user_turns());
        newest
    }

    /// What the caller said since the agent last spoke, joined; `None` when the agent spoke last or nobody did.
    pub fn pending_words(&self) -> Option<String> {
        let said: Vec<&str> = self
            .transcript
            .iter()
            .rev()
            .take_while(|utterance| utterance.role == Speaker::User)
            .map(|utterance| utterance.content.trim())
            .filter(|content| !content.is_empty())
            .collect();
        (!said.is_empty()).then(|| said.into_iter().rev().collect::<Vec<_>>().join(" "))
    }

    /// How often the caller had the floor. Together with [`Self::pending_words`] it names a turn also after a reconnect, where response ids
    /// may begin anew.
    pub fn user_turns(&self) -> usize {
        let turns = self.transcript.chunk_by(|a, b| a.role == b.role);
        self.earlier_turns + turns.filter(|turn| turn[0].role == Speaker::User).count()
    }

    /// What the caller heard of the agent before the words that are pending, as Retell transcribed it: empty when they followed other words of
    /// the caller.
    pub fn heard_before(&self) -> String {
        let before = self.transcript.iter().rev().skip_while(|said| said.role == Speaker::User);
        let mut heard: Vec<&str> = before
            .take_while(|said| said.role != Speaker::User)
            .filter(|said| said.role == Speaker::Agent)
            .map(|said| said.content.trim())
            .collect();
        heard.reverse();
        heard.join(" ").trim().to_owned()
    }

    /// What of the agent's last words the caller got to hear, as Retell transcribed it.
    pub fn last_heard(&self) -> Option<&str> {
        self.transcript.iter().rev().find(|said| said.role == Speaker::Agent).map(|said| said.content.as_str())
    }
}

/// A frame from Retell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "interaction_type", rename_all = "snake_case")]
pub enum Inbound {
    /// Keep-alive, every two seconds.
    PingPong {
        /// Retell's clock, ms.
        #[serde(default, deserialize_with = "lenient_whole")]
        timestamp: Option<i64>,
    },
    /// Who calls whom.
    CallDetails {
        /// The call.
        call: Box<Call>,
    },
    /// The transcript grew. Nothing is asked.
    UpdateOnly {
        /// So far.
        #[serde(flatten)]
        transcript: Transcript,
        /// Whose turn it is.
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        turntaking: Option<Turntaking>,
    },
    /// The caller seems to have finished: answer under this id.
    ResponseRequired {
        /// Rises by one with each request.
        response_id: u64,
        /// So far.
        #[serde(flatten)]
        transcript: Transcript,
    },
    /// The caller has been silent: say something under this id.
    ReminderRequired {
        /// Rises by one with each request.
        response_id: u64,
        /// So far.
        #[serde(flatten)]
        transcript: Transcript,
    },
    /// A type that is not documented.
    #[serde(other)]
    Unknown,
}

/// Reads a frame from Retell.
///
/// # Errors
/// When it is no object, or lacks what its type cannot do without. Such a frame is dropped; Retell expects no answer to it.
pub fn read_inbound(text: &str) -> Result<Inbound, Malformed> {
    let object = object(text.as_bytes())?;
    if !object.get("interaction_type").is_some_and(Value::is_string) {
        return Err(Malformed::Field("interaction_type"));
    }
    typed(object, "response_id or call")
}

/// What Retell should send and do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Pings, and a new socket when they stop.
    #[serde(default, deserialize_with = "or_default")]
    pub auto_reconnect: bool,
    /// `call_details` once.
    #[serde(default, deserialize_with = "or_default")]
    pub call_details: bool,
    /// Tools and keys in the transcript.
    #[serde(default, deserialize_with = "or_default")]
    pub transcript_with_tool_calls: bool,
}

/// What happens once the words of a response have been spoken; at most one per response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actions {
    /// Hang up. Discarded when the caller interrupts.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub end_call: Option<bool>,
    /// Transfer to this number (E.164).
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub transfer_number: Option<String>,
    /// Whether the target sees the caller's number.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub show_transferee_as_caller: Option<bool>,
    /// Press this key.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub digit_to_press: Option<String>,
}

/// How the voice behaves from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentConfig {
    /// 0 to 1: how soon it answers.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub responsiveness: Option<f64>,
    /// 0 to 1: how easily it is interrupted; 0 never.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub interruption_sensitivity: Option<f64>,
    /// Silence before a reminder is asked for, ms.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub reminder_trigger_ms: Option<u64>,
    /// How many reminders; 0 none.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub reminder_max_count: Option<u32>,
}

/// A frame to Retell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "response_type", rename_all = "snake_case")]
pub enum Outbound {
    /// The first frame of a socket.
    Config {
        /// What to send.
        config: Config,
    },
    /// The echo of a ping.
    PingPong {
        /// Retell's own timestamp.
        timestamp: i64,
    },
    /// A piece of an answer.
    Response {
        /// The id it was asked under; 0 is the greeting.
        response_id: u64,
        /// Words; Retell joins the pieces as they are.
        content: String,
        /// Whether this was the last piece.
        content_complete: bool,
        /// Whether the caller cannot interrupt it.
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        no_interruption_allowed: Option<bool>,
        /// What follows.
        #[serde(flatten)]
        actions: Actions,
    },
    /// Words nobody asked for, at once.
    AgentInterrupt {
        /// Ours; the same id goes on, a new one discards the old.
        interrupt_id: u64,
        /// Words.
        content: String,
        /// Whether this was the last piece.
        content_complete: bool,
        /// Whether the caller cannot interrupt it.
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        no_interruption_allowed: Option<bool>,
        /// What follows.
        #[serde(flatten)]
        actions: Actions,
    },
    /// Changes how the voice behaves.
    UpdateAgent {
        /// What changes.
        agent_config: AgentConfig,
    },
    /// A tool starts.
    ToolCallInvocation {
        /// Unique in the world.
        tool_call_id: String,
        /// Name.
        name: String,
        /// JSON as text.
        arguments: String,
    },
    /// A tool came back.
    ToolCallResult {
        /// As at its start.
        tool_call_id: String,
        /// What it said.
        content: String,
        /// Whether it succeeded.
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        successful: Option<bool>,
    },
    /// For the page of a web call.
    Metadata {
        /// Anything.
        metadata: Map<String, Value>,
    },
    /// A type that is not documented.
    #[serde(other)]
    Unknown,
}

impl Outbound {
    /// The frame as text.
    pub fn to_text(&self) -> String {
        // Text keys and our own finite numbers: always JSON.
        serde_json::to_string(self).expect("own frames are JSON")
    }
}

/// Reads one of our frames, as Retell does: without a type it is a `response`. For simulated carriers and tests.
///
/// # Errors
/// When Retell would drop it.
pub fn read_outbound(text: &str) -> Result<Outbound, Malformed> {
    let mut object = object(text.as_bytes())?;
    object.entry("response_type").or_insert_with(|| "response".into());
    typed(object, "response_type")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn documented_frames_are_read_with_their_stray_fields() {
        let read = |value: Value| read_inbound(&value.to_string());
        assert_eq!(
            read(json!({"interaction_type": "ping_pong", "timestamp": 1_703_413_000_000_i64})),
            Ok(Inbound::PingPong { timestamp: Some(1_703_413_000_000) })
        );
        let Ok(Inbound::UpdateOnly { transcript, turntaking }) = read(json!({
            "interaction_type": "update_only", "timestamp": 5, "response_id": 3, "turntaking": "user_turn",
            "transcript": [{"role": "agent", "content": "Hi", "words": [{"word": "Hi", "start": 0.1, "end": 0.4}]},
                           {"role": "user", "content": "I need", "new": 1}, {"role": "user", "content": "a plumber"}]}))
        else {
            panic!("update_only")
        };
        assert_eq!(turntaking, Some(Turntaking::UserTurn));
        assert_eq!(transcript.pending_words().as_deref(), Some("I need a plumber"));
        assert_eq!((transcript.user_turns(), transcript.last_heard()), (1, Some("Hi")));
        assert_eq!(transcript.heard_before(), "Hi", "what stands before the pending words");
        let Ok(Inbound::ResponseRequired { response_id: 1, transcript }) =
            read(json!({"interaction_type": "response_required", "response_id": 1, "transcript": []}))
        else {
            panic!("response_required")
        };
        assert_eq!((transcript.pending_words(), transcript.user_turns()), (None, 0));
        let Ok(Inbound::CallDetails { call }) = read(json!({"interaction_type": "call_details", "call": {
            "call_type": "phone_call", "from_number": "+14155550100", "to_number": "+14155550111", "direction": "inbound",
            "call_id": "call_1", "agent_id": "a1", "call_status": "registered", "metadata": {"tenant": "t1"},
            "retell_llm_dynamic_variables": {"name": "Jo"}, "opt_out_sensitive_data_storage": true}}))
        else {
            panic!("call_details")
        };
        assert_eq!((call.call_id.as_str(), call.to_number.as_deref()), ("call_1", Some("+14155550111")));
    }

    #[test]
    fn tools_and_keys_in_the_transcript_are_told_from_speech() {
        let Ok(Inbound::ReminderRequired { transcript, .. }) = read_inbound(
            r#"{"interaction_type":"reminder_required","response_id":4,"transcript":[],"transcript_with_tool_calls":[
                {"role":"user","content":"book it"},
                {"role":"tool_call_invocation","tool_call_id":"t1","name":"book","arguments":"{\"day\":1}"},
                {"role":"tool_call_result","tool_call_id":"t1","content":"ok"},
                {"role":"dtmf","digit":"5"},{"role":"node_transition","former_node_id":"x"}]}"#,
        ) else {
            panic!("reminder_required")
        };
        let kinds: Vec<&str> = transcript
            .transcript_with_tool_calls
            .iter()
            .map(|happened| match happened {
                Happened::ToolCallInvocation { .. } => "tool",
                Happened::ToolCallResult { successful: None, .. } => "result",
                Happened::ToolCallResult { .. } => "result with success",
                Happened::Dtmf { digit } => digit,
                Happened::Spoken(_) => "other",
            })
            .collect();
        assert_eq!(kinds, ["other", "tool", "result", "5", "other"]);
    }

    #[test]
    fn what_a_simulated_carrier_writes_is_what_we_read() {
        let said = Utterance { role: Speaker::User, content: "hi".into(), words: vec![Word::default()] };
        let key = Happened::Dtmf { digit: "5".into() };
        let transcript =
            Transcript { transcript: vec![said], transcript_with_tool_calls: vec![key], ..Transcript::default() };
        let call = Call { call_id: "c1".into(), to_number: Some("+14155550111".into()), ..Call::default() };
        for frame in [
            Inbound::PingPong { timestamp: Some(1) },
            Inbound::CallDetails { call: Box::new(call) },
            Inbound::UpdateOnly { transcript: transcript.clone(), turntaking: Some(Turntaking::AgentTurn) },
            Inbound::ResponseRequired { response_id: 1, transcript: transcript.clone() },
            Inbound::ReminderRequired { response_id: 2, transcript },
        ] {
            assert_eq!(read_inbound(&serde_json::to_string(&frame).expect("JSON")), Ok(frame));
        }
    }

    #[test]
    fn unknown_types_are_tolerated_and_unusable_frames_are_named() {
        assert_eq!(read_inbound(r#"{"interaction_type":"brand_new","x":[1]}"#), Ok(Inbound::Unknown));
        for (text, expected) in [
            ("", Malformed::NotJson),
            ("[]", Malformed::NotJson),
            ("{}", Malformed::Field("interaction_type")),
            (r#"{"interaction_type":7}"#, Malformed::Field("interaction_type")),
            (r#"{"interaction_type":"response_required","transcript":[]}"#, Malformed::Field("response_id or call")),
            (r#"{"interaction_type":"response_required","response_id":"1"}"#, Malformed::Field("response_id or call")),
            (r#"{"interaction_type":"call_details"}"#, Malformed::Field("response_id or call")),
        ] {
            assert_eq!(read_inbound(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn our_frames_have_exactly_the_documented_fields() {
        let cases = [
            (
                Outbound::Config {
                    config: Config { auto_reconnect: true, call_details: true, transcript_with_tool_calls: true },
                },
                json!({"response_type": "config", "config": {"auto_reconnect": true, "call_details": true, "transcript_with_tool_calls": true}}),
            ),
            (Outbound::PingPong { timestamp: 7 }, json!({"response_type": "ping_pong", "timestamp": 7})),
            (
                Outbound::Response {
                    response_id: 0,
                    content: "Hi. ".into(),
                    content_complete: true,
                    no_interruption_allowed: None,
                    actions: Actions { transfer_number: Some("+14155550100".into()), ..Actions::default() },
                },
                json!({"response_type": "response", "response_id": 0, "content": "Hi. ", "content_complete": true, "transfer_number": "+14155550100"}),
            ),
            (
                Outbound::AgentInterrupt {
                    interrupt_id: 1,
                    content: "Sorry".into(),
                    content_complete: true,
                    no_interruption_allowed: Some(true),
                    actions: Actions { end_call: Some(true), ..Actions::default() },
                },
                json!({"response_type": "agent_interrupt", "interrupt_id": 1, "content": "Sorry", "content_complete": true,
                    "no_interruption_allowed": true, "end_call": true}),
            ),
            (
                Outbound::UpdateAgent {
                    agent_config: AgentConfig { reminder_max_count: Some(0), ..AgentConfig::default() },
                },
                json!({"response_type": "update_agent", "agent_config": {"reminder_max_count": 0}}),
            ),
            (
                Outbound::ToolCallInvocation { tool_call_id: "t".into(), name: "n".into(), arguments: "{}".into() },
                json!({"response_type": "tool_call_invocation", "tool_call_id": "t", "name": "n", "arguments": "{}"}),
            ),
            (
                Outbound::ToolCallResult { tool_call_id: "t".into(), content: "c".into(), successful: None },
                json!({"response_type": "tool_call_result", "tool_call_id": "t", "content": "c"}),
            ),
        ];
        for (frame, expected) in cases {
            let text = frame.to_text();
            assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), expected);
            assert_eq!(read_outbound(&text), Ok(frame));
        }
        let untyped = read_outbound(r#"{"response_id":1,"content":"x","content_complete":false}"#);
        assert!(matches!(untyped, Ok(Outbound::Response { response_id: 1, .. })), "{untyped:?}");
    }

    #[test]
    fn of_a_long_transcript_the_newest_is_kept_and_turns_are_counted_as_before() {
        let said = |n: usize| {
            let (role, word) = if n.is_multiple_of(2) { (Speaker::Agent, "a") } else { (Speaker::User, "u") };
            let words = vec![Word { word: word.into(), ..Word::default() }];
            Utterance { role, content: format!("{word}{n}"), words }
        };
        for count in [0, 1, 2, KEPT_UTTERANCES, KEPT_UTTERANCES + 1, 5_000, 5_001] {
            let whole = Transcript { transcript: (0..count).map(said).collect(), ..Transcript::default() };
            let newest = whole.clone().newest();
            assert!(newest.transcript.len() <= KEPT_UTTERANCES);
            assert!(newest.transcript.iter().all(|said| said.words.is_empty()));
            assert_eq!(newest.user_turns(), whole.user_turns(), "{count}");
            assert_eq!(newest.pending_words(), whole.pending_words(), "{count}");
            assert_eq!(newest.heard_before(), whole.heard_before(), "{count}");
            assert_eq!(newest.clone().newest(), newest, "{count}");
        }
        let endless = Utterance { role: Speaker::User, content: "ä".repeat(KEPT_BYTES), words: Vec::new() };
        let whole = Transcript { transcript: vec![said(0), said(1), said(2), endless], ..Transcript::default() };
        let newest = whole.newest();
        assert_eq!((newest.transcript.len(), newest.user_turns()), (1, 2));
        assert!(newest.transcript[0].content.len() <= KEPT_BYTES);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,200}") {
            let _ = (read_inbound(&text), read_outbound(&text));
        }

        #[test]
        fn a_frame_with_any_field_replaced_is_answered(field in 0_usize..6, value in crate::arbitrary::json()) {
            let mut frame = json!({"interaction_type": "response_required", "response_id": 1, "transcript": [{"role": "user", "content": "hi", "words": [{"word": "hi", "start": 0, "end": 1}]}],
                "transcript_with_tool_calls": [{"role": "dtmf", "digit": "1"}], "turntaking": "user_turn", "call": {"call_id": "c"}});
            let name = ["interaction_type", "response_id", "transcript", "transcript_with_tool_calls", "turntaking", "call"][field];
            frame[name] = value;
            if let Ok(Inbound::ResponseRequired { transcript, .. }) = read_inbound(&frame.to_string()) {
                let _ = (transcript.pending_words(), transcript.user_turns());
            }
        }
    }
}
