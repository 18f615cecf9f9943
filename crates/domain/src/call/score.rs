//! How a call went: the caller's mood and a score of 0 to 100 with the reasons that add up to it, by named rules that anybody can follow.

use serde::{Deserialize, Serialize};

use crate::{
    conversation::{self, Message, State, dialogue::Mood},
    ids::CallId,
    text::{self, Words},
    vocabulary::MessageRole,
};

/// Where every call begins.
const BASE: i64 = 50;
/// What each thing adds or takes away, and how often it counts at most.
const RULES: [Rule; 9] = [
    Rule { name: "appointment_booked", points: 25, most: 1 },
    Rule { name: "lead_captured", points: 15, most: 1 },
    Rule { name: "questions_answered", points: 10, most: 1 },
    Rule { name: "thanked", points: 5, most: 1 },
    Rule { name: "question_unanswered", points: -10, most: 3 },
    Rule { name: "caller_frustrated", points: -10, most: 2 },
    Rule { name: "person_wanted_and_not_reached", points: -10, most: 1 },
    Rule { name: "answer_interrupted", points: -2, most: 5 },
    Rule { name: "caller_said_nothing", points: -40, most: 1 },
];
/// Characters of a summary.
const SUMMARY_CHARS_MAX: usize = 600;
/// What the rules call themselves.
pub const BY_RULES: &str = "rules";

struct Rule {
    name: &'static str,
    points: i64,
    most: i64,
}

/// How the caller sounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sentiment {
    /// Pleased.
    Positive,
    /// Neither.
    #[default]
    Neutral,
    /// Displeased.
    Negative,
    /// The caller said nothing.
    Unknown,
}

/// One reason for a score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What counted, such as `appointment_booked`.
    pub signal: String,
    /// How much it added or took away.
    pub points: i64,
}

/// How a call went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Review {
    /// How the caller sounded.
    pub sentiment: Sentiment,
    /// 0 to 100; none where nothing could be said.
    pub score: Option<u8>,
    /// Why, adding up to the score.
    pub reasons: Vec<Reason>,
    /// What it was about, in a few words.
    pub summary: String,
    /// Who says so: `rules`, or a model.
    pub method: String,
    /// What a model took for saying so, millionths of a US dollar.
    pub cost_micros: i64,
}

impl Review {
    /// Nothing could be said.
    pub fn none() -> Self {
        Self { sentiment: Sentiment::Unknown, method: BY_RULES.to_owned(), ..Self::default() }
    }
}

/// How a call went, from its conversation alone.
pub fn review(state: &State, call: &CallId) -> Review {
    let Some(link) = state.calls.iter().find(|known| known.id == *call) else { return Review::none() };
    let until_ms = link.ended_ms.unwrap_or(i64::MAX);
    let during = |at_ms: i64| (link.began_ms..=until_ms).contains(&at_ms);
    let said: Vec<&Message> = state.messages.iter().filter(|message| message.call.as_ref() == Some(call)).collect();
    let callers: Vec<&str> = said
        .iter()
        .filter(|message| message.role == MessageRole::User)
        .map(|message| message.content.as_str())
        .collect();
    let moods: Vec<Mood> = callers.iter().map(|words| Mood::of(words, &Words::of(words))).collect();
    let unanswered = state.unanswered.iter().filter(|question| during(question.at_ms)).count();
    let questions = moods.iter().filter(|mood| mood.question).count();
    let wanted = state
        .escalations
        .iter()
        .any(|escalation| during(escalation.at_ms) && conversation::calls_a_person(escalation.action));
    let person = said.iter().any(|message| message.role == MessageRole::HumanAgent);
    let frustrated = moods.iter().filter(|mood| mood.frustrated).count();
    let thanked = moods.iter().any(|mood| mood.thanks);
    let booked = state.dialogue.agreed.iter().filter(|agreed| !agreed.canceled).count() > link.agreed_before;
    let counted = |name: &str| -> i64 {
        let count = match name {
            "appointment_booked" => usize::from(booked),
            "lead_captured" => usize::from(state.lead.as_ref().is_some_and(|lead| during(lead.captured_at_ms))),
            "questions_answered" => usize::from(questions > 0 && unanswered == 0),
            "thanked" => usize::from(thanked),
            "question_unanswered" => unanswered,
            "caller_frustrated" => frustrated,
            "person_wanted_and_not_reached" => usize::from(wanted && !person && !state.escalation_handled),
            "answer_interrupted" => interruptions(&said),
            _ => usize::from(callers.is_empty()),
        };
        i64::try_from(count).unwrap_or(i64::MAX)
    };
    let mut reasons = vec![Reason { signal: "every_call".to_owned(), points: BASE }];
    let mut score = BASE;
    for rule in &RULES {
        let mut points = counted(rule.name).min(rule.most) * rule.points;
        // What would lead out of the scale counts only as far as its end, so that the reasons add up.
        points = (score + points).clamp(0, 100) - score;
        if points != 0 {
            score += points;
            reasons.push(Reason { signal: rule.name.to_owned(), points });
        }
    }
    let sentiment = match (callers.is_empty(), frustrated > 0, thanked) {
        (true, _, _) => Sentiment::Unknown,
        (false, true, _) => Sentiment::Negative,
        (false, false, true) => Sentiment::Positive,
        (false, false, false) => Sentiment::Neutral,
    };
    let summary = summary(&callers, booked, wanted, unanswered);
    let score = u8::try_from(score).ok();
    Review { sentiment, score, reasons, summary, method: BY_RULES.to_owned(), cost_micros: 0 }
}

/// Answers that the caller spoke over, or hung up in. Whoever types reads, and interrupts nobody.
fn interruptions(said: &[&Message]) -> usize {
    let cut = said.iter().enumerate().filter(|(_, message)| message.unheard.is_some());
    let spoken_over = |at: usize| {
        let caller = |message: &&&Message| message.role == MessageRole::User;
        let next = said.iter().skip(at + 1).find(caller).or_else(|| said.iter().take(at).rev().find(caller));
        next.is_none_or(|next| !next.typed)
    };
    cut.filter(|(at, _)| spoken_over(*at)).count()
}

fn summary(callers: &[&str], booked: bool, wanted: bool, unanswered: usize) -> String {
    let Some(first) = callers.iter().find(|words| words.split_whitespace().count() > 2).or(callers.first()) else {
        return "The caller said nothing.".to_owned();
    };
    let mut parts = vec![format!("The caller said: \u{201c}{}\u{201d}", text::shorten(&text::one_line(first), 300))];
    if booked {
        parts.push("An appointment was booked.".to_owned());
    }
    if wanted {
        parts.push("A person was asked for.".to_owned());
    }
    if unanswered > 0 {
        parts.push(format!("{} could not be answered.", text::counted(unanswered, "question")));
    }
    text::shorten(&parts.join(" "), SUMMARY_CHARS_MAX)
}
