//! A call as Retell describes it: in webhooks, in `call_details` and in answers to REST calls. Everything but the id may be absent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::frames::{Happened, Utterance};
use crate::call::CallEnd;
use crate::json::{lenient, lenient_whole, list, or_default, vocabulary};

vocabulary! {
    /// Where a call stands.
    CallStatus {
        /// Made known, nothing dialled yet.
        Registered = "registered",
        /// It never came to a connection.
        NotConnected = "not_connected",
        /// The two speak.
        Ongoing = "ongoing",
        /// Over.
        Ended = "ended",
        /// Over because of an error.
        Error = "error",
    }
}

vocabulary! {
    /// Who called whom.
    Direction {
        /// They called us.
        Inbound = "inbound",
        /// We called them.
        Outbound = "outbound",
    }
}

vocabulary! {
    /// Why a call ended.
    DisconnectionReason {
        /// The caller hung up.
        UserHangup = "user_hangup",
        /// We hung up.
        AgentHangup = "agent_hangup",
        /// Given to somebody else.
        CallTransfer = "call_transfer",
        /// A voicemail box.
        VoicemailReached = "voicemail_reached",
        /// A voice menu.
        IvrReached = "ivr_reached",
        /// Nobody said anything.
        Inactivity = "inactivity",
        /// The longest allowed call.
        MaxDurationReached = "max_duration_reached",
        /// Too many calls at once.
        ConcurrencyLimitReached = "concurrency_limit_reached",
        /// Too many calls at once and nobody to fall back to.
        NoConcurrencyFallback = "no_concurrency_fallback",
        /// The account cannot pay.
        NoValidPayment = "no_valid_payment",
        /// Retell thinks it is a scam.
        ScamDetected = "scam_detected",
        /// Busy.
        DialBusy = "dial_busy",
        /// The dial failed.
        DialFailed = "dial_failed",
        /// Nobody answered.
        DialNoAnswer = "dial_no_answer",
        /// No such number.
        InvalidDestination = "invalid_destination",
        /// The carrier may not call there.
        TelephonyProviderPermissionDenied = "telephony_provider_permission_denied",
        /// The carrier is down.
        TelephonyProviderUnavailable = "telephony_provider_unavailable",
        /// SIP found no way.
        SipRoutingError = "sip_routing_error",
        /// The number is known for spam.
        MarkedAsSpam = "marked_as_spam",
        /// The person refused it.
        UserDeclined = "user_declined",
        /// Our socket could not be opened.
        ErrorLlmWebsocketOpen = "error_llm_websocket_open",
        /// Our socket was lost.
        ErrorLlmWebsocketLostConnection = "error_llm_websocket_lost_connection",
        /// Our socket was closed with an error.
        ErrorLlmWebsocketRuntime = "error_llm_websocket_runtime",
        /// We sent something else than text.
        ErrorLlmWebsocketCorruptPayload = "error_llm_websocket_corrupt_payload",
        /// No sound came.
        ErrorNoAudioReceived = "error_no_audio_received",
        /// Transcription failed.
        ErrorAsr = "error_asr",
        /// Retell failed.
        ErrorRetell = "error_retell",
        /// Retell does not know.
        ErrorUnknown = "error_unknown",
        /// Nobody joined the web call.
        ErrorUserNotJoined = "error_user_not_joined",
        /// A registered call was never dialled.
        RegisteredCallTimeout = "registered_call_timeout",
        /// A transfer stands.
        TransferBridged = "transfer_bridged",
        /// A transfer was taken back.
        TransferCancelled = "transfer_cancelled",
        /// Somebody stopped it by hand.
        ManualStopped = "manual_stopped",
        /// A person took it over.
        CallTakeOver = "call_take_over",
    }
}

impl DisconnectionReason {
    /// What it comes to.
    pub fn end(&self) -> CallEnd {
        match self {
            Self::UserHangup
            | Self::AgentHangup
            | Self::Inactivity
            | Self::MaxDurationReached
            | Self::TransferCancelled
            | Self::ManualStopped => CallEnd::Completed,
            Self::CallTransfer | Self::TransferBridged | Self::CallTakeOver => CallEnd::Transferred,
            Self::VoicemailReached | Self::IvrReached => CallEnd::Voicemail,
            Self::DialBusy => CallEnd::Busy,
            Self::DialNoAnswer | Self::ErrorUserNotJoined => CallEnd::NoAnswer,
            Self::UserDeclined => CallEnd::Declined,
            Self::InvalidDestination => CallEnd::InvalidNumber,
            Self::ConcurrencyLimitReached
            | Self::NoConcurrencyFallback
            | Self::NoValidPayment
            | Self::ScamDetected
            | Self::DialFailed
            | Self::TelephonyProviderPermissionDenied
            | Self::TelephonyProviderUnavailable
            | Self::SipRoutingError
            | Self::MarkedAsSpam
            | Self::ErrorLlmWebsocketOpen
            | Self::ErrorLlmWebsocketLostConnection
            | Self::ErrorLlmWebsocketRuntime
            | Self::ErrorLlmWebsocketCorruptPayload
            | Self::ErrorNoAudioReceived
            | Self::ErrorAsr
            | Self::ErrorRetell
            | Self::ErrorUnknown
            | Self::RegisteredCallTimeout
            | Self::Other(_) => CallEnd::Failed,
        }
    }

    /// Whether the account, not this number, is what stands in the way: every further dial will end the same way until somebody acts.
    pub fn stops_all_dialling(&self) -> bool {
        matches!(self, Self::NoValidPayment | Self::TelephonyProviderPermissionDenied | Self::ScamDetected)
    }
}

/// How long something took over the turns of a call, ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Median.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    /// 95th percentile.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
    /// Longest.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// How many turns.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub num: Option<f64>,
}

/// Latency by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// From the caller's last sound to the agent's first.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub e2e: Option<Percentiles>,
    /// Until our first sentence was there, the way over the network included.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub llm: Option<Percentiles>,
    /// The way over the network.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub llm_websocket_network_rtt: Option<Percentiles>,
}

impl Latency {
    /// The median of our own share, ms.
    pub fn own_p50_ms(&self) -> Option<f64> {
        let way = self.llm_websocket_network_rtt.and_then(|rtt| rtt.p50).unwrap_or(0.0);
        self.llm?.p50.map(|all| (all - way).max(0.0))
    }
}

/// What a call cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallCost {
    /// In US cents.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub combined_cost: Option<f64>,
    /// Seconds that were charged.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub total_duration_seconds: Option<f64>,
}

impl CallCost {
    /// Millionths of a US dollar.
    pub fn micros(&self) -> Option<i64> {
        let cents = self.combined_cost.filter(|cents| cents.is_finite() && (0.0..1e12).contains(cents))?;
        Some((cents * 10_000.0).round() as i64)
    }
}

vocabulary! {
    /// How the caller sounded.
    Sentiment {
        /// Displeased.
        Negative = "Negative",
        /// Pleased.
        Positive = "Positive",
        /// Neither.
        Neutral = "Neutral",
        /// Could not be told.
        Unknown = "Unknown",
    }
}

/// What Retell makes of a call afterwards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallAnalysis {
    /// In a few sentences.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub call_summary: Option<String>,
    /// How the caller sounded.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub user_sentiment: Option<Sentiment>,
    /// Whether it reached what the agent was for.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub call_successful: Option<bool>,
    /// Whether a machine had answered.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub in_voicemail: Option<bool>,
    /// What the agent's own questions brought.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Map::is_empty")]
    pub custom_analysis_data: Map<String, Value>,
}

/// The carrier's own name of the call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelephonyIdentifier {
    /// At Twilio.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub twilio_call_sid: Option<String>,
}

/// A call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its id.
    pub call_id: String,
    /// `phone_call` or `web_call`.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub call_type: Option<String>,
    /// Retell's id of the agent.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Where it stands.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub call_status: Option<CallStatus>,
    /// Absent on web calls.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Absent on web calls.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub from_number: Option<String>,
    /// Absent on web calls.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub to_number: Option<String>,
    /// Unix ms.
    #[serde(default, deserialize_with = "lenient_whole", skip_serializing_if = "Option::is_none")]
    pub start_timestamp: Option<i64>,
    /// Unix ms.
    #[serde(default, deserialize_with = "lenient_whole", skip_serializing_if = "Option::is_none")]
    pub end_timestamp: Option<i64>,
    /// How long the two spoke, ms.
    #[serde(default, deserialize_with = "lenient_whole", skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// As running text.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub transcript: Option<String>,
    /// By turn.
    #[serde(default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub transcript_object: Vec<Utterance>,
    /// By turn, with tools and keys.
    #[serde(default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub transcript_with_tool_calls: Vec<Happened>,
    /// Where the recording can be fetched, for a while.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub recording_url: Option<String>,
    /// The same with a channel for each of the two.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub recording_multi_channel_url: Option<String>,
    /// Why it ended.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub disconnection_reason: Option<DisconnectionReason>,
    /// How fast we were.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// What it cost.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub call_cost: Option<CallCost>,
    /// What Retell makes of it; in `call_analyzed` and later.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub call_analysis: Option<CallAnalysis>,
    /// What we gave along when we made it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// What filled the agent's `{{variables}}`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub retell_llm_dynamic_variables: BTreeMap<String, Value>,
    /// The carrier's name of it.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub telephony_identifier: Option<TelephonyIdentifier>,
    /// Where it was transferred.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub transfer_destination: Option<String>,
}

impl Call {
    /// A text we gave along under this name.
    pub fn metadata_text(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).and_then(Value::as_str)
    }

    /// What it came to; `None` while it goes on. What Retell found out about voicemail counts above why the line was closed.
    pub fn end(&self) -> Option<CallEnd> {
        match self.call_status.as_ref()? {
            CallStatus::Registered | CallStatus::Ongoing | CallStatus::Other(_) => None,
            CallStatus::NotConnected | CallStatus::Ended | CallStatus::Error => {
                let by_reason = self.disconnection_reason.as_ref().map_or(CallEnd::Failed, DisconnectionReason::end);
                let machine = self.call_analysis.as_ref().and_then(|analysis| analysis.in_voicemail) == Some(true);
                Some(if machine && by_reason == CallEnd::Completed { CallEnd::Voicemail } else { by_reason })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(value: Value) -> Call {
        serde_json::from_value(value).expect("a call")
    }

    #[test]
    fn the_end_of_a_call_follows_from_status_reason_and_analysis() {
        let cases = [
            (json!({"call_id": "c", "call_status": "ongoing", "disconnection_reason": "user_hangup"}), None),
            (json!({"call_id": "c"}), None),
            (
                json!({"call_id": "c", "call_status": "ended", "disconnection_reason": "user_hangup"}),
                Some(CallEnd::Completed),
            ),
            (
                json!({"call_id": "c", "call_status": "ended", "disconnection_reason": "user_hangup", "call_analysis": {"in_voicemail": true}}),
                Some(CallEnd::Voicemail),
            ),
            (
                json!({"call_id": "c", "call_status": "ended", "disconnection_reason": "call_transfer", "call_analysis": {"in_voicemail": true}}),
                Some(CallEnd::Transferred),
            ),
            (
                json!({"call_id": "c", "call_status": "not_connected", "disconnection_reason": "dial_busy"}),
                Some(CallEnd::Busy),
            ),
            (
                json!({"call_id": "c", "call_status": "error", "disconnection_reason": "brand_new"}),
                Some(CallEnd::Failed),
            ),
            (json!({"call_id": "c", "call_status": "error"}), Some(CallEnd::Failed)),
        ];
        for (value, expected) in cases {
            assert_eq!(call(value.clone()).end(), expected, "{value}");
        }
    }

    #[test]
    fn our_share_of_the_latency_and_the_cost_are_computed() {
        let call = call(
            json!({"call_id": "c", "latency": {"llm": {"p50": 700.0, "values": [1]}, "llm_websocket_network_rtt": {"p50": 120}},
            "call_cost": {"combined_cost": 12.5, "product_costs": []}}),
        );
        assert_eq!(call.latency.and_then(|latency| latency.own_p50_ms()), Some(580.0));
        assert_eq!(call.call_cost.and_then(|cost| cost.micros()), Some(125_000));
    }

    #[test]
    fn wrong_types_in_a_call_leave_the_rest() {
        let call = call(
            json!({"call_id": "c", "call_status": 7, "metadata": [], "duration_ms": "61000", "transcript_object": [7, {"role": "user"}],
            "latency": "fast", "disconnection_reason": null}),
        );
        assert_eq!((call.duration_ms, call.transcript_object.len(), call.latency), (Some(61_000), 1, None));
    }
}
