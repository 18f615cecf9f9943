//! What is said on the telephone by situation: the greeting with what the law or the owner wants to be heard, reminders, and what follows an answer.

use super::{
    Call, Direction, Stage,
    whisper::{phrases, who_calls},
};
use crate::{
    agent::config::AgentConfig,
    campaign::number,
    conversation::{State, Wish, dialogue::Mood, spoken},
    ids::CallId,
    text::{self, Words},
    vocabulary::{ConversationStatus, EscalationAction, MessageRole},
};

/// Said when the caller is silent, in this order; after the last one the call ends.
const REMINDERS: [&str; 2] =
    ["Are you still there?", "I can't hear you. If you need anything else, please call again. Goodbye."];
/// Said before a call is handed on, where the owner has no words of their own.
const TRANSFER: &str = "I'm connecting you with a member of our team. Please stay on the line.";
/// Said where nobody can be reached by telephone.
const NOBODY: &str = "Nobody can take your call right now, but I have noted that you would like to speak with someone.";
/// Said over an answer that takes long.
const ON_HOLD: &str = "One moment, please.";
/// Begins the names of texts that people of a country hear.
const DISCLOSURE: &str = "disclosure_";
/// The kind of the notice that no person speaks.
const AI_NOTICE: &str = "ai_disclosure";
/// Words by which a text says so itself, in the languages that calls are held in.
const SAYS_AI: [&str; 9] = [
    "ai",
    "ki",
    "ia",
    "automated",
    "robot",
    "virtual assistant",
    "virtueller assistent",
    "assistant virtuel",
    "asistente virtual",
];
/// Kinds of notices that a caller hears before anything else: that no person speaks, and that the call is recorded.
const TOLD_FIRST: [&str; 3] = [AI_NOTICE, "call_recording", "recording_consent"];

/// What follows once an answer was spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The caller is listened to.
    Listen,
    /// The call ends.
    HangUp,
    /// The call goes to a person.
    Transfer {
        /// To whom, E.164.
        to: String,
        /// What is said first.
        words: String,
    },
    /// A person is wanted and there is none to be put through to.
    Sorry {
        /// What is said.
        words: String,
    },
}

/// What is said first. Outside of opening hours that of the owner's for then; what must be heard is part of it, unless the owner's own words say so.
pub fn greeting(config: &AgentConfig, direction: Direction, open: bool) -> String {
    let script = |name: &str| config.voice_scripts.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let own = config.voice_welcome_message.trim();
    let words = match (open, direction) {
        (false, Direction::Inbound) => script("after_hours").or(config.after_hours_message.as_deref()),
        (true, Direction::Inbound) => script("greeting"),
        (_, Direction::Outbound) => {
            let words = script("outbound_greeting").map_or_else(|| who_calls(config), str::to_owned);
            return opening(config, direction, &words);
        }
    };
    opening(config, direction, words.unwrap_or(own))
}

/// These words first, with what must be heard unless they say so themselves. Who is called hears that no person speaks even where the agent has no such
/// notice: they did not choose to talk with it.
pub fn opening(config: &AgentConfig, direction: Direction, words: &str) -> String {
    let mut all: Vec<&str> = config
        .compliance_notices
        .iter()
        .filter(|notice| TOLD_FIRST.contains(&notice.kind.as_str()) && !says(words, &notice.kind))
        .map(|notice| notice.text.trim())
        .collect();
    let tells = config.compliance_notices.iter().any(|notice| notice.kind == AI_NOTICE);
    if direction == Direction::Outbound && !tells && !says(words, AI_NOTICE) {
        all.insert(0, phrases(&config.voice_language).automated);
    }
    // A greeting comes first, then what must be heard: "Hello, this is … . You're talking with an AI assistant. …"
    if !words.is_empty() {
        all.insert(0, words);
    }
    text::one_line(&all.join(" "))
}

/// What is said first to this person: what a campaign begins with or the greeting, and what the owner wants people of their country to hear
/// (`voice_scripts.disclosure_de`).
pub fn first_words(
    config: &AgentConfig,
    opening: Option<&str>,
    direction: Direction,
    open: bool,
    person: Option<&str>,
) -> String {
    let greeting = opening.map_or_else(|| greeting(config, direction, open), str::to_owned);
    match disclosure(config, person) {
        Some(disclosure) => text::one_line(&format!("{greeting} {disclosure}")),
        None => greeting,
    }
}

/// The country that a situation among the `voice_scripts` is about, in capitals.
pub fn disclosed_country(situation: &str) -> Option<String> {
    situation.strip_prefix(DISCLOSURE).map(str::to_uppercase)
}

fn disclosure<'a>(config: &'a AgentConfig, person: Option<&str>) -> Option<&'a str> {
    // A hidden number, or one of no country, has no country's rules.
    let country = number::normal(person?, None).ok()?.country;
    let script = config.voice_scripts.iter().find(|(name, _)| disclosed_country(name).as_ref() == Some(&country));
    script.map(|(_, text)| text.trim()).filter(|text| !text.is_empty())
}

/// Whether a caller who is silent is reminded, and of what; `false` for the last time. `reminded`: how often already since the caller last spoke.
pub fn reminder(reminded: u32) -> (&'static str, bool) {
    let at = usize::try_from(reminded).unwrap_or(usize::MAX).min(REMINDERS.len() - 1);
    (REMINDERS[at], at + 1 < REMINDERS.len())
}

/// Said over an answer that takes long.
pub fn on_hold(config: &AgentConfig) -> &str {
    config.voice_scripts.get("on_hold").map(|text| text.trim()).filter(|text| !text.is_empty()).unwrap_or(ON_HOLD)
}

/// Said before a call is handed on.
pub fn transfer(config: &AgentConfig) -> &str {
    config.voice_scripts.get("transfer").map(|text| text.trim()).filter(|text| !text.is_empty()).unwrap_or(TRANSFER)
}

/// Said where a person is wanted and nobody can be put through to.
pub fn nobody() -> &'static str {
    NOBODY
}

/// What follows the newest answer of a call, from how the conversation stands after it.
pub fn next(state: &State, call: &Call, config: &AgentConfig) -> Next {
    let id: &CallId = &call.id;
    let asked_ms = state
        .messages
        .iter()
        .rev()
        .find(|message| message.call.as_ref() == Some(id) && message.role == MessageRole::User)
        .map_or(i64::MAX, |message| message.at_ms);
    // Only what the caller's newest words led to: an older wish was dealt with then.
    let wanted = state
        .escalations
        .iter()
        .rev()
        .find(|escalation| escalation.action == EscalationAction::Transfer && escalation.at_ms >= asked_ms);
    if let Some(wanted) = wanted.filter(|_| call.transfer.as_ref().is_none_or(|known| known.stage == Stage::Back)) {
        // What was saved before such numbers were refused is passed over.
        let number = |text: &String| number::normal(text, None).ok().map(|number| number.e164);
        let to = wanted.to.as_ref().and_then(number).or_else(|| config.escalation_phone.as_ref().and_then(number));
        return match to.filter(|_| call.may_be_handed_on()) {
            Some(to) => Next::Transfer { to, words: transfer(config).to_owned() },
            None => Next::Sorry { words: NOBODY.to_owned() },
        };
    }
    // Who does not want to be called, or wants to be called another time, has said all there is to say.
    let done = spoken::errand(state, id).and_then(|errand| errand.wish).is_some_and(Wish::ends_the_call);
    match state.status {
        _ if done => Next::HangUp,
        ConversationStatus::Resolved | ConversationStatus::Abandoned => Next::HangUp,
        ConversationStatus::Active | ConversationStatus::Escalated if state.closed.is_some() => Next::HangUp,
        ConversationStatus::Active | ConversationStatus::Escalated if said_goodbye(state, id) => Next::HangUp,
        ConversationStatus::Active | ConversationStatus::Escalated => Next::Listen,
    }
}

/// Whether the caller said goodbye, and nothing is being asked any more.
fn said_goodbye(state: &State, call: &CallId) -> bool {
    let said = |roles: [MessageRole; 2]| {
        let theirs = state.messages.iter().rev();
        theirs
            .filter(|message| message.call.as_ref() == Some(call) && !message.whisper)
            .find(|message| roles.contains(&message.role))
            .map(|message| message.content.as_str())
    };
    let bye = said([MessageRole::User; 2]).is_some_and(|words| Mood::of(words, &Words::of(words)).bye);
    bye && !said([MessageRole::Assistant, MessageRole::HumanAgent]).is_some_and(|words| words.trim_end().ends_with('?'))
}

fn says(words: &str, kind: &str) -> bool {
    let words = Words::of(words);
    match kind {
        AI_NOTICE => SAYS_AI.iter().any(|said| words.means(said)),
        _ => words.means("recorded"),
    }
}
