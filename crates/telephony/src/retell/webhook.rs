//! What Retell posts about calls, and the question it asks when somebody calls in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::frames::Happened;
use super::object::Call;
use crate::error::Malformed;
use crate::json::{lenient, lenient_whole, list, object, or_default, typed, vocabulary};

vocabulary! {
    /// What happened.
    Event {
        /// The two are connected. Not sent when the dial failed.
        CallStarted = "call_started",
        /// Over; everything is known but the analysis.
        CallEnded = "call_ended",
        /// The analysis is there.
        CallAnalyzed = "call_analyzed",
        /// The transcript grew; sent many times for a call.
        TranscriptUpdated = "transcript_updated",
        /// A transfer begins.
        TransferStarted = "transfer_started",
        /// It stands.
        TransferBridged = "transfer_bridged",
        /// It was taken back.
        TransferCancelled = "transfer_cancelled",
        /// It is over.
        TransferEnded = "transfer_ended",
        /// Somebody calls: who answers?
        CallInbound = "call_inbound",
        /// Somebody writes: who answers?
        SmsInbound = "sms_inbound",
    }
}

/// One delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// Something happened to a call.
    Call(Box<CallEvent>),
    /// Somebody calls in; the answer is an [`InboundAnswer`].
    Inbound(InboundCall),
    /// Something that is not documented. It is answered like all others, 204.
    Other(Event),
}

/// Something happened to a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallEvent {
    /// What.
    pub event: Event,
    /// The call, as complete as Retell knows it.
    pub call: Call,
    /// With `transcript_updated`.
    pub transcript_with_tool_calls: Vec<Happened>,
    /// With `transfer_*`.
    pub transfer_destination: Option<Value>,
}

impl CallEvent {
    /// The same key is the same delivery again; `None` where each delivery counts.
    pub fn dedupe_key(&self) -> Option<String> {
        match self.event {
            Event::TranscriptUpdated => None,
            Event::CallStarted
            | Event::CallEnded
            | Event::CallAnalyzed
            | Event::TransferStarted
            | Event::TransferBridged
            | Event::TransferCancelled
            | Event::TransferEnded
            | Event::CallInbound
            | Event::SmsInbound
            | Event::Other(_) => Some(format!("{}:{}", self.event, self.call.call_id)),
        }
    }
}

/// Somebody calls in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InboundCall {
    /// The agent of the number, if it has one.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Who calls.
    pub from_number: String,
    /// What was dialled.
    pub to_number: String,
    /// Headers of a SIP call.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_sip_headers: BTreeMap<String, String>,
    /// When, Unix ms.
    #[serde(default, deserialize_with = "lenient_whole", skip_serializing_if = "Option::is_none")]
    pub event_timestamp: Option<i64>,
}

/// Who answers a call, within 10 s.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InboundAnswer {
    /// Another agent than the number's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_agent_id: Option<String>,
    /// What fills `{{variables}}`, in our socket's address too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dynamic_variables: BTreeMap<String, String>,
    /// Comes back in the call.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Do not take the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reject: Option<bool>,
}

impl InboundAnswer {
    /// The body of the answer.
    pub fn to_text(&self) -> String {
        serde_json::json!({ "call_inbound": self }).to_string()
    }
}

/// Reads a delivery whose signature was believed.
///
/// # Errors
/// When it has no event, or an event about a call has no call id.
pub fn read(body: &[u8]) -> Result<Delivery, Malformed> {
    let mut object = object(body)?;
    let word = object.get("event").and_then(Value::as_str).ok_or(Malformed::Field("event"))?;
    // Older descriptions write `call.started`.
    let event = Event::from(word.replace('.', "_").as_str());
    match event {
        Event::CallInbound => {
            let Some(Value::Object(inbound)) = object.remove("call_inbound") else {
                return Err(Malformed::Field("call_inbound"));
            };
            let mut inbound: InboundCall = typed(inbound, "from_number or to_number")?;
            if let Some(at) = object.get("event_timestamp").and_then(crate::json::whole) {
                inbound.event_timestamp = Some(at);
            }
            Ok(Delivery::Inbound(inbound))
        }
        Event::CallStarted
        | Event::CallEnded
        | Event::CallAnalyzed
        | Event::TranscriptUpdated
        | Event::TransferStarted
        | Event::TransferBridged
        | Event::TransferCancelled
        | Event::TransferEnded => {
            let rest: Rest = typed(object, "call.call_id")?;
            if rest.call.call_id.is_empty() {
                return Err(Malformed::Field("call.call_id"));
            }
            Ok(Delivery::Call(Box::new(CallEvent {
                event,
                call: rest.call,
                transcript_with_tool_calls: rest.transcript_with_tool_calls,
                transfer_destination: rest.transfer_destination,
            })))
        }
        Event::SmsInbound | Event::Other(_) => Ok(Delivery::Other(event)),
    }
}

#[derive(Deserialize)]
struct Rest {
    call: Call,
    #[serde(default, deserialize_with = "list")]
    transcript_with_tool_calls: Vec<Happened>,
    #[serde(default, deserialize_with = "lenient")]
    transfer_destination: Option<Value>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{bent, mutated};

    const ENDED: &str = r#"{"event":"call_ended","call":{"call_id":"c1","call_status":"ended","disconnection_reason":"user_hangup","transcript_object":[{"role":"user","content":"hi"}]}}"#;
    const INBOUND: &str = r#"{"event":"call_inbound","event_timestamp":1700000000000,"call_inbound":{"agent_id":"a1","from_number":"+14155550100","to_number":"+14155550111","custom_sip_headers":{"X-A":"b"}}}"#;

    fn event(text: &str) -> CallEvent {
        match read(text.as_bytes()) {
            Ok(Delivery::Call(event)) => *event,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn deliveries_are_read_in_both_spellings() {
        assert_eq!(event(ENDED).event, Event::CallEnded);
        assert_eq!(event(&ENDED.replace("call_ended", "call.ended")).event, Event::CallEnded);
        assert_eq!(event(ENDED).dedupe_key().as_deref(), Some("call_ended:c1"));
        assert_eq!(event(&ENDED.replace("call_ended", "transcript_updated")).dedupe_key(), None, "each one counts");
        assert_eq!(read(br#"{"event":"call_dreamt","x":1}"#), Ok(Delivery::Other(Event::Other("call_dreamt".into()))));
    }

    #[test]
    fn the_question_who_answers_is_read_and_answered() {
        let Ok(Delivery::Inbound(call)) = read(INBOUND.as_bytes()) else { panic!("inbound") };
        assert_eq!((call.to_number.as_str(), call.event_timestamp), ("+14155550111", Some(1_700_000_000_000)));
        assert_eq!(InboundAnswer::default().to_text(), r#"{"call_inbound":{}}"#);
        let answer = InboundAnswer {
            override_agent_id: Some("a2".into()),
            dynamic_variables: [("tenant_id".to_owned(), "t1".to_owned())].into(),
            ..InboundAnswer::default()
        };
        assert_eq!(
            serde_json::from_str::<Value>(&answer.to_text()).expect("JSON"),
            serde_json::json!({"call_inbound": {"override_agent_id": "a2", "dynamic_variables": {"tenant_id": "t1"}}})
        );
    }

    #[test]
    fn a_delivery_that_names_no_call_is_refused() {
        for (text, expected) in [
            ("{}", Malformed::Field("event")),
            (r#"{"event":"call_ended"}"#, Malformed::Field("call.call_id")),
            (r#"{"event":"call_ended","call":{"call_id":""}}"#, Malformed::Field("call.call_id")),
            // The shape of older examples.
            (r#"{"event":"call_ended","data":{"call_id":"c1"}}"#, Malformed::Field("call.call_id")),
            (r#"{"event":"call_inbound"}"#, Malformed::Field("call_inbound")),
            (
                r#"{"event":"call_inbound","call_inbound":{"from_number":"+1"}}"#,
                Malformed::Field("from_number or to_number"),
            ),
        ] {
            assert_eq!(read(text.as_bytes()), Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_answered(text in prop_oneof![mutated(&[ENDED, INBOUND]), bent(&[ENDED, INBOUND]), "\\PC{0,80}"]) {
            if let Ok(Delivery::Call(event)) = read(text.as_bytes()) {
                let _ = (event.dedupe_key(), event.call.end());
            }
        }
    }
}
