//! Calls that go out over Retell: made once with the dial's name in their metadata, found again by it, ended.

use colloquy_domain::campaign::settings::Voicemail;
use colloquy_domain::campaign::slice::{Dial, DialAnswer, Refused};
use colloquy_domain::campaign::target::Act;
use colloquy_telephony::error::Fault;
use colloquy_telephony::rest::Repeat;
use colloquy_telephony::retell::object::Call;
use colloquy_telephony::retell::rest::{read_call, read_calls, read_created_call};
use colloquy_telephony::retell::settings::{AgentOverride, AgentSettings, PhoneCall, VoicemailAction, VoicemailOption};

use super::hear::{self, DIAL};
use super::{Account, Trouble};
use crate::ActorError;
use crate::campaign::hear::name_of;
use crate::campaign::line::{Found, answer_of};

/// Calls of one dial that are listed: there is one, ever.
const LISTED: u32 = 5;
/// The shortest and longest that Retell lets it ring, and lets a call last, ms.
const RING_MS: (u32, u32) = (5_000, 300_000);
const CALL_MS: (u32, u32) = (60_000, 7_200_000);

impl Account<'_> {
    /// Makes the call. Once: whoever calls this has journaled that it will, and never calls it again for the same dial.
    pub(crate) async fn place(&self, dial: &Dial, to: &str) -> DialAnswer {
        let agent = match self.speaker(dial).await {
            Ok(agent) => agent,
            // Nobody was called: the agent there is set up before.
            Err(Trouble::Fault(Fault::OutcomeUnknown { .. } | Fault::Unreadable)) => {
                return DialAnswer::Refused { why: Refused::Down };
            }
            Err(Trouble::Fault(fault)) => return answer_of(&fault),
            Err(Trouble::Actor(ActorError::Rejected(rejection))) => {
                tracing::warn!(dial = name_of(&dial.dial), %rejection, "a call was not made because nobody would speak");
                return DialAnswer::Refused { why: Refused::NotAllowed };
            }
            Err(Trouble::Unfit(unfit)) => {
                tracing::warn!(dial = name_of(&dial.dial), %unfit, "a call was not made because nobody would speak");
                return DialAnswer::Refused { why: Refused::NotAllowed };
            }
            Err(Trouble::Actor(_)) => return DialAnswer::Refused { why: Refused::Down },
        };
        let call = created(dial, to, agent);
        let request = match self.rest().create_phone_call(&call) {
            Ok(request) => request,
            Err(unfit) => {
                tracing::warn!(dial = name_of(&dial.dial), %unfit, "a call that its provider would refuse was not made");
                return DialAnswer::Refused { why: Refused::NotAllowed };
            }
        };
        match self.call(&request).await.and_then(|answer| read_created_call(&answer.as_answer())) {
            Ok(call) => DialAnswer::Placed { call: call.call_id },
            Err(fault) => answer_of(&fault),
        }
    }

    /// The agent there that speaks; set up now, if it was not before.
    async fn speaker(&self, dial: &Dial) -> Result<String, Trouble> {
        let lines = self.tools.lines(self.client, &self.tenant).await?;
        match lines.agents.get(&self.provider).and_then(|agents| agents.get(&dial.agent_id)) {
            Some(agent) => Ok(agent.clone()),
            None => self.ensure(&dial.agent_id).await,
        }
    }

    /// Looks for a call: by its name there, or by the dial's.
    pub(crate) async fn find(&self, call: Option<&str>, dial: &str) -> Result<Option<Found>, Fault> {
        if let Some(call) = call {
            return Ok(self.by_name(call).await?.map(|call| self.found(call)));
        }
        let answer = self.call(&self.rest().find_calls(DIAL, dial, LISTED, None)).await?;
        let calls = read_calls(&answer.as_answer())?.items;
        // The filter is Retell's; that it is this dial is ours to see.
        let ours = calls.into_iter().find(|call| call.metadata_text(DIAL) == Some(dial));
        Ok(ours.map(|call| self.found(call)))
    }

    /// A call by its name there; none if Retell knows no such call.
    pub(super) async fn by_name(&self, call: &str) -> Result<Option<Call>, Fault> {
        let answer = self.call(&self.rest().call(call)).await?;
        match read_call(&answer.as_answer()) {
            Ok(call) => Ok(Some(call)),
            Err(Fault::NotFound) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    fn found(&self, call: Call) -> Found {
        Found { machine: hear::machine(&call), report: hear::report(self.tools, &call), call: call.call_id }
    }

    /// Has Retell do something with a call. That it is over is as good as done; a message for a machine was given along when the call was made.
    pub(crate) async fn act(&self, call: &str, act: Act) -> Result<(), Fault> {
        match act {
            Act::LeaveMessage => return Ok(()),
            Act::HangUp => {}
        }
        match self.call(&self.rest().stop_call(call)).await?.as_answer().done(Repeat::Safe) {
            Ok(()) | Err(Fault::NotFound) => Ok(()),
            // It says so of calls that are over.
            Err(Fault::Refused { status, code, message }) => match self.by_name(call).await? {
                Some(found) if found.end().is_none() => Err(Fault::Refused { status, code, message }),
                Some(_) | None => Ok(()),
            },
            Err(fault) => Err(fault),
        }
    }
}

/// What is asked for. What of a campaign's settings Retell itself must know goes into this call only, so that the agent stays as it is for others.
fn created(dial: &Dial, to: &str, agent: String) -> PhoneCall {
    let name = name_of(&dial.dial);
    let ms = |value: u32, unit: u32, (least, most): (u32, u32)| Some(value.saturating_mul(unit).clamp(least, most));
    let action = match (dial.voicemail, dial.voicemail_message.as_deref().map(str::trim)) {
        (Voicemail::Message, Some(text)) if !text.is_empty() => VoicemailAction::StaticText { text: text.to_owned() },
        (Voicemail::Message | Voicemail::Hangup | Voicemail::Retry, _) => VoicemailAction::Hangup,
    };
    let otherwise = AgentSettings {
        voice_id: dial.voice_id.clone().filter(|voice| !voice.trim().is_empty()),
        ring_duration_ms: ms(dial.ring_seconds, 1_000, RING_MS),
        max_call_duration_ms: ms(dial.max_call_minutes, 60_000, CALL_MS),
        voicemail_option: Some(VoicemailOption { action }),
        ..AgentSettings::default()
    };
    PhoneCall {
        from_number: dial.from.clone(),
        to_number: to.to_owned(),
        override_agent_id: Some(agent),
        metadata: [(DIAL.to_owned(), name.clone().into())].into_iter().collect(),
        agent_override: Some(AgentOverride { agent: otherwise }),
        retell_llm_dynamic_variables: [(DIAL.to_owned(), name)].into(),
        ..PhoneCall::default()
    }
}

#[cfg(test)]
mod tests {
    use colloquy_domain::contact_guard::DialKey;
    use serde_json::json;

    use super::*;

    fn dial(voicemail: Voicemail, message: Option<&str>) -> Dial {
        Dial {
            dial: DialKey { campaign: "c".into(), target: "0.7".into(), attempt: 1 },
            guard: "g".into(),
            from: "+14155550100".into(),
            agent_id: "a".into(),
            voice_id: None,
            objective: String::new(),
            script: None,
            questions: Vec::new(),
            voicemail,
            voicemail_message: message.map(str::to_owned),
            ring_seconds: 2,
            max_call_minutes: 500,
            settings_version: 1,
        }
    }

    #[test]
    fn a_call_carries_its_dial_and_what_its_campaign_wants_of_voicemail_and_time() {
        let call = created(&dial(Voicemail::Message, Some(" We called. ")), "+14155550111", "agent_1".into());
        assert_eq!(call.check(), Ok(()), "inside of what Retell takes");
        let body = serde_json::to_value(&call).expect("JSON");
        assert_eq!(body["metadata"], json!({ "colloquy_dial": "c.0.7.1" }));
        assert_eq!(body["override_agent_id"], "agent_1");
        let otherwise = &body["agent_override"]["agent"];
        assert_eq!(
            (&otherwise["ring_duration_ms"], &otherwise["max_call_duration_ms"]),
            (&json!(5_000), &json!(7_200_000))
        );
        let action = &otherwise["voicemail_option"]["action"];
        assert_eq!(*action, json!({ "type": "static_text", "text": "We called." }));
        for voicemail in [Voicemail::Hangup, Voicemail::Retry] {
            let call = created(&dial(voicemail, Some("We called.")), "+14155550111", "agent_1".into());
            let body = serde_json::to_value(&call).expect("JSON");
            assert_eq!(body["agent_override"]["agent"]["voicemail_option"]["action"], json!({ "type": "hangup" }));
        }
    }
}
