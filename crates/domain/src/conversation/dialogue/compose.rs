//! From a plan to words: what the built-in responder says, and how a model's words are wrapped in what must be said.

use serde::{Deserialize, Serialize};

use super::{Brief, Plan, Prompt, Setting, Understanding};
use crate::{
    conversation::retrieved::{KnowledgeAnswer, SOURCES_MAX, SourceRef},
    text,
};

/// An answer put together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Composed {
    /// What to say.
    pub text: String,
    /// Buttons or a form.
    pub prompt: Option<Prompt>,
    /// What it is from; empty for the fallback.
    pub sources: Vec<SourceRef>,
    /// How sure it is, 0 to 1; none where nothing was looked up.
    pub confidence: Option<f64>,
    /// Whether the knowledge had nothing on what was asked.
    pub fallback: bool,
    /// Whether the owner should see what was asked as unanswered.
    pub question: bool,
}

/// What the built-in responder says. `knowledge` is given only where the search was confident enough; it never invents anything beyond it.
pub fn compose(
    setting: &Setting<'_>,
    brief: &Brief,
    understanding: &Understanding,
    knowledge: Option<&KnowledgeAnswer>,
) -> Composed {
    let plan = &understanding.plan;
    let answer = knowledge.filter(|answer| plan.wants_knowledge && !answer.text.trim().is_empty());
    let mut paragraphs: Vec<String> = Vec::new();
    if let Some(closed) = &plan.closed {
        paragraphs.push(closed.clone());
    }
    if !plan.acknowledge.is_empty() {
        paragraphs.push(plan.acknowledge.join(" "));
    }
    paragraphs.extend(plan.direct.clone());
    if let Some(answer) = answer {
        paragraphs.push(answer.text.trim().to_owned());
    }
    if let Some(line) = &plan.small_talk {
        paragraphs.push(line.clone());
    }
    let missing = plan.wants_knowledge && answer.is_none();
    if answer.is_none() && !plan.soft.is_empty() {
        // A rule's own words stand in for an answer that is not there; they never replace one that is.
        // Where a form goes on or ends, its question is the one that counts.
        let busy = !plan.asks.is_empty() || plan.confirmation.is_some();
        let line = text::sentences(&plan.soft[0])
            .into_iter()
            .filter(|sentence| !busy || !sentence.ends_with('?'))
            .collect::<Vec<_>>()
            .join(" ");
        paragraphs.extend(Some(line).filter(|line| !line.is_empty()));
    } else if missing && (!continues(plan) || understanding.mood.question && !plan.handled) {
        paragraphs.push(fallback_line(setting));
    }
    rest(plan, &mut paragraphs);
    if paragraphs.is_empty() {
        paragraphs.push(fallback_line(setting));
    }
    Composed {
        text: paragraphs.join("\n\n"),
        prompt: plan.prompt.clone(),
        sources: answer.map(|answer| answer.sources.iter().take(SOURCES_MAX).cloned().collect()).unwrap_or_default(),
        confidence: answer.map(|answer| answer.confidence),
        fallback: missing,
        question: missing && worth_noting(brief, understanding),
    }
}

/// A model's words between what must be said besides them: acknowledgement and, in an emergency, advice before them; notices and a confirmation after. What the model says itself is not repeated.
pub fn wrap(understanding: &Understanding, words: &str) -> String {
    let plan = &understanding.plan;
    let said = |line: &str| contains_loosely(words, line);
    let mut paragraphs: Vec<String> = Vec::new();
    paragraphs.extend(plan.closed.iter().filter(|line| !said(line)).cloned());
    let acknowledge: Vec<&str> = plan.acknowledge.iter().map(String::as_str).filter(|line| !said(line)).collect();
    if !acknowledge.is_empty() {
        paragraphs.push(acknowledge.join(" "));
    }
    paragraphs.extend(plan.direct.iter().filter(|line| !said(line)).cloned());
    let advice: Vec<String> = plan.advice.iter().filter(|line| !said(line)).cloned().collect();
    let (before, after) = if plan.emergency { (advice, Vec::new()) } else { (Vec::new(), advice) };
    paragraphs.extend(before);
    paragraphs.push(words.trim().to_owned());
    paragraphs.extend(plan.alerted.iter().filter(|line| !said(line)).cloned());
    paragraphs.extend(after);
    paragraphs.extend(plan.confirmation.iter().filter(|line| !said(line)).cloned());
    paragraphs.extend(plan.notices.iter().filter(|line| !said(line)).cloned());
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs.join("\n\n")
}

/// The agent's fallback message, variables filled.
pub fn fallback_line(setting: &Setting<'_>) -> String {
    text::fill(&setting.config.fallback_message, &setting.config.variables)
}

/// Whether the dialogue itself goes on with something, so that a missing answer is no dead end.
fn continues(plan: &Plan) -> bool {
    !plan.acknowledge.is_empty()
        || plan.direct.is_some()
        || !plan.asks.is_empty()
        || !plan.remarks.is_empty()
        || plan.confirmation.is_some()
        || plan.offer.is_some()
        || plan.small_talk.is_some()
        || plan.closed.is_some()
        || plan.prompt.is_some()
}

/// Whether a missing answer is one the owner can do something about: a real question, not an attempt to give orders.
fn worth_noting(brief: &Brief, understanding: &Understanding) -> bool {
    let mood = &understanding.mood;
    !mood.injection && (mood.question || !brief.question.trim().is_empty() && !continues(&understanding.plan))
}

/// Everything after the answer.
fn rest(plan: &Plan, paragraphs: &mut Vec<String>) {
    let asks = plan.asks.iter().map(|ask| ask.text.as_str()).collect::<Vec<_>>().join(" ");
    let push = |paragraphs: &mut Vec<String>, line: String| {
        if !line.is_empty() {
            paragraphs.push(line);
        }
    };
    push(paragraphs, plan.remarks.join(" "));
    push(paragraphs, plan.confirmation.clone().unwrap_or_default());
    if plan.emergency {
        // VRT-14: acknowledge, ask how and where to reach the person, say that people were told, say what to do. What keeps somebody
        // safe is read before any question: whoever smells gas must not stay to type an address.
        push(paragraphs, plan.advice.join("\n"));
        push(paragraphs, asks);
        push(paragraphs, plan.alerted.clone().unwrap_or_default());
        paragraphs.extend(plan.notices.iter().cloned());
    } else {
        push(paragraphs, plan.alerted.clone().unwrap_or_default());
        push(paragraphs, plan.advice.join("\n"));
        push(paragraphs, plan.offer.clone().unwrap_or_default());
        // What must be known before details are given stands before the question for them.
        paragraphs.extend(plan.notices.iter().cloned());
        let begins: Vec<&str> =
            plan.intro.iter().map(String::as_str).chain([asks.as_str()]).filter(|line| !line.is_empty()).collect();
        push(paragraphs, begins.join(" "));
    }
}

/// Whether a text says a line, punctuation and case aside.
fn contains_loosely(words: &str, line: &str) -> bool {
    let line = text::Words::of(line).joined();
    !line.is_empty() && text::Words::of(words).joined().contains(&line)
}
