//! A turn from question to answer: what it is answered from, what its words mean, its answer, its failures and deadlines.

use super::{
    Decision, Event, Reply, State, attachment,
    command::{Answer, Outcome},
    delivery,
    dialogue::{self, AlertDraft, Brief, BriefChannel, Escalation, Facts, Plan, Understanding},
    event::AnswerGiven,
    leads, spoken,
    state::{
        ANSWER_CHARS_MAX, AlertStatus, CloseReason, HISTORY_LINES, HistoryLine, IDLE_AFTER_MS, OpenTurn,
        TURN_DEADLINE_MS, TURN_FAILURES_MAX, TURN_RECOVERIES_MAX, TurnOutcome,
    },
    trace::Trace,
};
use crate::{
    catalog::template::AlertChannel,
    context::Context,
    ids::TurnId,
    rejection::Rejection,
    text,
    vocabulary::{ConversationStatus, EscalationAction, MessageRole, Urgency},
};

/// What is said when a turn fails and the agent has no fallback message.
const LAST_RESORT: &str = "I'm sorry, I can't answer that right now. Please leave your name and how to reach you, and someone will get back to you.";

/// What to answer from.
pub(super) fn brief(state: &State, turn: &TurnId, attempt: u32) -> Result<Decision, Rejection> {
    let open = open(state, turn, attempt)?;
    Ok(Decision::reply(Reply::Brief(Box::new(brief_of(state, open)))))
}

fn brief_of(state: &State, open: &OpenTurn) -> Brief {
    let posts = |from: usize| -> Vec<String> {
        let ids = open.posts[from.min(open.posts.len())..].iter();
        let said = ids.filter_map(|id| state.message(id)).filter(|message| !attachment::is_without_words(message));
        said.map(|message| message.content.clone()).collect()
    };
    let new = &open.posts[open.understood_posts.min(open.posts.len())..];
    let only_files = new.iter().filter_map(|id| state.message(id)).any(attachment::is_without_words);
    let before = open
        .posts
        .first()
        .and_then(|first| state.messages.iter().position(|message| message.id == *first))
        .unwrap_or(state.messages.len());
    let spoken: Vec<HistoryLine> = state.messages[..before]
        .iter()
        .filter(|message| !message.whisper && message.role != MessageRole::System && !spoken::never_heard(message))
        .map(|message| HistoryLine { role: message.role, text: attachment::in_words(&message.content, &message.files) })
        .collect();
    let whispers: Vec<_> = state.messages.iter().filter(|message| message.whisper && !message.used).collect();
    Brief {
        conversation_id: state.id.clone(),
        agent_id: state.agent_id.clone(),
        turn: open.id.clone(),
        attempt: open.attempt,
        answer_id: open.answer_id.clone(),
        config_version: state.terms.config_version,
        channel: BriefChannel(state.messages.last().map_or(state.channel, |message| message.channel)),
        sandbox: state.sandbox,
        text: posts(open.understood_posts).join("\n"),
        question: posts(0).join("\n"),
        posts: posts(0),
        only_files,
        history: spoken[spoken.len().saturating_sub(HISTORY_LINES)..].to_vec(),
        dialogue: state.dialogue.clone(),
        visitor: state.visitor.clone(),
        whispers: whispers.iter().map(|message| message.content.clone()).collect(),
        whisper_ids: whispers.iter().map(|message| message.id.clone()).collect(),
        escalated: state.status == ConversationStatus::Escalated,
        first_answer: !state.messages.iter().any(|message| message.role == MessageRole::Assistant),
        prefers_form: state.terms.prefers_form,
        understood: open.understood.clone(),
        carried: open.carried.clone(),
        config_override: state.config_override.clone(),
    }
}

/// What the words mean, ahead of the answer.
pub(super) fn understood(
    state: &State,
    cx: &Context,
    turn: &TurnId,
    attempt: u32,
    understanding: Box<Understanding>,
) -> Result<Decision, Rejection> {
    let open = open(state, turn, attempt)?;
    if open.understood.is_some() {
        return Ok(Decision::reply(Reply::Done));
    }
    let facts = understanding.facts.clone();
    let mut events = vec![Event::Understood { turn: turn.clone(), attempt, understanding }];
    consequences(state, cx, &facts, &mut events);
    leads::follow(state, cx, &mut events);
    Ok(Decision::new(events, Reply::Done))
}

/// The answer of an attempt.
pub(super) fn answered(state: &State, cx: &Context, answer: Answer) -> Result<Decision, Rejection> {
    let open = open(state, &answer.turn, answer.attempt)?;
    let empty = answer.text.trim().is_empty();
    let fresh = answer.understanding.filter(|_| open.understood.is_none());
    let understanding = open.understood.as_deref().or(fresh.as_deref()).cloned().unwrap_or_default();
    let said = if empty { dialogue::wrap(&understanding, &last_resort(state)) } else { answer.text };
    let mut trace = answer.trace;
    trace.attempt = answer.attempt;
    if empty {
        trace.problems.push("the answer was empty".to_owned());
    }
    let fallback = answer.fallback || empty;
    let given = AnswerGiven {
        turn: answer.turn.clone(),
        attempt: answer.attempt,
        message_id: open.answer_id.clone(),
        text: text::shorten(said.trim(), ANSWER_CHARS_MAX),
        sources: if fallback { Vec::new() } else { answer.sources },
        confidence: answer.confidence,
        prompt: answer.prompt,
        fallback,
        whispers_used: answer.whispers_used,
        understanding: fresh,
        tool_facts: answer.tool_facts,
        trace,
        latency_ms: cx.now_ms.saturating_sub(open.asked_at_ms).max(0),
    };
    let unanswered = match (answer.question, fallback) {
        (true, _) if answer.missed.len() <= 1 => vec![question_of(state, open)],
        // Where others were answered, what was missed is noted by itself.
        (true, _) | (false, false) => answer.missed.iter().map(|question| bounded(question)).collect(),
        (false, true) => Vec::new(),
    };
    Ok(give(state, cx, given, unanswered))
}

/// An attempt failed: another one, or the fallback, so that no turn stays unanswered.
pub(super) fn failed(
    state: &State,
    cx: &Context,
    turn: &TurnId,
    attempt: u32,
    reason: &str,
) -> Result<Decision, Rejection> {
    let open = open(state, turn, attempt)?;
    let reason = text::shorten(&text::one_line(reason), 500);
    if open.failures + 1 < TURN_FAILURES_MAX {
        return Ok(Decision::event(retry(cx, open, false, reason), Reply::Done));
    }
    Ok(give_up(state, cx, open, reason))
}

/// What became of a turn, for whoever waits for its answer.
pub(super) fn outcome(state: &State, turn: &TurnId) -> Result<Decision, Rejection> {
    let mut record = state.turn(turn).ok_or_else(|| Rejection::not_found("turn"))?;
    let outcome = record.outcome.clone();
    // The answer of the turn that replaced it covers its words too. Each step leads to a younger turn, so this ends.
    while let TurnOutcome::Superseded { by } = &record.outcome {
        match state.turn(by) {
            Some(next) => record = next,
            None => break,
        }
    }
    let answer = match &record.outcome {
        TurnOutcome::Answered { message_id } => state.message(message_id).cloned(),
        TurnOutcome::Open | TurnOutcome::Superseded { .. } | TurnOutcome::Silenced => None,
    };
    let outcome = if answer.is_some() || matches!(outcome, TurnOutcome::Superseded { .. }) {
        record.outcome.clone()
    } else {
        outcome
    };
    Ok(Decision::reply(Reply::Outcome(Box::new(Outcome {
        outcome,
        answer,
        status: state.status,
        urgency: state.urgency,
    }))))
}

/// Whatever is due now: an attempt's deadline, alerts that wait, the end of silence.
pub(super) fn tick(state: &State, cx: &Context) -> Result<Decision, Rejection> {
    let mut events: Vec<Event> = state
        .alerts
        .values()
        .filter(|alert| matches!(alert.status, AlertStatus::Waiting { until_ms } if until_ms <= cx.now_ms))
        .map(|alert| Event::AlertRetried { id: alert.id.clone() })
        .chain(delivery::due(state, cx.now_ms))
        .collect();
    if let Some(open) = state.open.as_ref().filter(|open| open.deadline_ms <= cx.now_ms) {
        let turn = open.id.clone();
        events.extend(failed(state, cx, &turn, open.attempt, "no answer before the deadline")?.events);
    } else if state.goes_on() && state.open.is_none() && state.active_at_ms.saturating_add(IDLE_AFTER_MS) <= cx.now_ms {
        let status = if answered_last(state) && !escalated(state) {
            ConversationStatus::Resolved
        } else {
            ConversationStatus::Abandoned
        };
        events.push(Event::Idled { status, silenced: None });
    }
    Ok(Decision::new(events, Reply::Done))
}

/// A crash or move ended the attempt that ran.
pub(super) fn recovered(state: &State, cx: &Context) -> Result<Decision, Rejection> {
    let Some(open) = &state.open else { return Ok(Decision::reply(Reply::Done)) };
    if open.recoveries >= TURN_RECOVERIES_MAX {
        return Ok(give_up(state, cx, open, "the service stopped too often while answering".to_owned()));
    }
    Ok(Decision::event(retry(cx, open, true, "the service restarted".to_owned()), Reply::Done))
}

/// Whether the last words were answered by somebody, other than with "I don't know".
pub(super) fn answered_last(state: &State) -> bool {
    state.visible().last().is_some_and(|last| match last.role {
        MessageRole::Assistant => !last.fallback,
        MessageRole::HumanAgent => true,
        MessageRole::User | MessageRole::System => false,
    })
}

/// Whether a person is asked for and none has come.
pub(super) fn escalated(state: &State) -> bool {
    state.status == ConversationStatus::Escalated && !state.escalation_handled
}

/// The open turn, if it is this one at this attempt.
fn open<'a>(state: &'a State, turn: &TurnId, attempt: u32) -> Result<&'a OpenTurn, Rejection> {
    state.open.as_ref().filter(|open| open.id == *turn && open.attempt == attempt).ok_or(Rejection::Superseded)
}

fn retry(cx: &Context, open: &OpenTurn, recovered: bool, reason: String) -> Event {
    Event::TurnRetried {
        turn: open.id.clone(),
        attempt: open.attempt + 1,
        deadline_ms: cx.now_ms.saturating_add(TURN_DEADLINE_MS),
        recovered,
        reason,
    }
}

fn give_up(state: &State, cx: &Context, open: &OpenTurn, reason: String) -> Decision {
    let owed = open.understood.as_deref().cloned().unwrap_or_else(|| Understanding {
        plan: open.carried.as_deref().cloned().unwrap_or_default(),
        ..Understanding::default()
    });
    let given = AnswerGiven {
        turn: open.id.clone(),
        attempt: open.attempt,
        message_id: open.answer_id.clone(),
        text: text::shorten(&dialogue::wrap(&owed, &with_asks(&owed.plan, last_resort(state))), ANSWER_CHARS_MAX),
        sources: Vec::new(),
        confidence: None,
        prompt: owed.plan.prompt.clone(),
        fallback: true,
        whispers_used: Vec::new(),
        understanding: None,
        tool_facts: None,
        trace: Trace {
            attempt: open.attempt,
            config_version: state.terms.config_version,
            problems: vec![reason],
            ..Trace::default()
        },
        latency_ms: cx.now_ms.saturating_sub(open.asked_at_ms).max(0),
    };
    give(state, cx, given, Vec::new())
}

/// The questions a form is at go on, also when nothing else could be said.
fn with_asks(plan: &Plan, line: String) -> String {
    let asks = plan.asks.iter().map(|ask| ask.text.as_str()).collect::<Vec<_>>().join(" ");
    if plan.acknowledge.is_empty() && plan.asks.is_empty() && plan.confirmation.is_none() { line } else { asks }
}

fn last_resort(state: &State) -> String {
    let own = state.terms.fallback_message.trim();
    if own.is_empty() { LAST_RESORT.to_owned() } else { own.to_owned() }
}

fn question_of(state: &State, open: &OpenTurn) -> String {
    let texts: Vec<&str> =
        open.posts.iter().filter_map(|id| state.message(id)).map(|message| message.content.as_str()).collect();
    bounded(&texts.join(" "))
}

/// A question as it is noted for the owner.
fn bounded(question: &str) -> String {
    text::shorten(&text::one_line(question), 500)
}

/// Whether what is being answered was said in a call that went out for something.
fn speaks_in_an_errand(state: &State) -> bool {
    let posts = state.open.iter().flat_map(|open| &open.posts).filter_map(|id| state.message(id));
    posts.filter_map(|message| message.call.as_ref()).any(|call| spoken::errand(state, call).is_some())
}

/// The answer stands, with everything that follows from it.
fn give(state: &State, cx: &Context, given: AnswerGiven, mut unanswered: Vec<String>) -> Decision {
    // Who is called answers questions of ours: what they say is asked of nobody.
    unanswered.retain(|question| !question.is_empty() && !speaks_in_an_errand(state));
    let open = state.open.as_ref();
    let understood = given.understanding.as_deref().or(open.and_then(|open| open.understood.as_deref()));
    let owed = understood.map(|understood| &understood.plan).or(open.and_then(|open| open.carried.as_deref()));
    // Only what stands in the knowledge, and all of it, is an answer that nobody needs to look at.
    let answered = !given.fallback && !given.sources.is_empty() && unanswered.is_empty();
    let mut for_people = owed.and_then(|plan| plan.unless_answered.clone()).filter(|_| !answered);
    if let Some(facts) = &mut for_people {
        // Once for each rule.
        facts.alerts.retain(|draft| !state.alerts.values().any(|told| told.about == draft.about));
    }
    let facts: Vec<Facts> = given
        .understanding
        .iter()
        .map(|understanding| understanding.facts.clone())
        .chain(given.tool_facts.iter().map(|facts| (**facts).clone()))
        .collect();
    let earlier = state
        .open
        .as_ref()
        .and_then(|open| open.understood.as_deref())
        .is_some_and(|understood| understood.facts.ended);
    let ended = earlier || facts.iter().any(|facts| facts.ended);
    let mut events = vec![Event::Answered(Box::new(given))];
    for facts in facts.iter().chain(for_people.as_deref()) {
        consequences(state, cx, facts, &mut events);
    }
    events.extend(unanswered.into_iter().map(|question| Event::Unanswered { question }));
    let terms = &state.terms;
    let capped = terms.max_messages > 0 && state.message_count + 1 >= terms.max_messages;
    let escalates = escalated(state)
        || facts.iter().flat_map(|facts| &facts.escalations).any(|escalation| calls_a_person(escalation.action));
    if capped {
        // The cap ends it; where somebody can be told, a person takes it from here (CHAT-8).
        let status =
            if terms.reachable || escalates { ConversationStatus::Escalated } else { ConversationStatus::Resolved };
        if status == ConversationStatus::Escalated && !escalates {
            let facts = cap_facts(state);
            consequences(state, cx, &facts, &mut events);
        }
        events.push(Event::Closed { reason: CloseReason::MessageCap, status, silenced: None });
    } else if ended && !escalates {
        events.push(Event::StatusSet { status: ConversationStatus::Resolved });
    }
    leads::follow(state, cx, &mut events);
    Decision::new(events, Reply::Done)
}

fn cap_facts(state: &State) -> Facts {
    let reason = "reached its message limit".to_owned();
    let to = state.terms.alert_email.clone();
    let alerts = to.iter().map(|to| AlertDraft {
        channel: AlertChannel::Email,
        to: to.clone(),
        subject: "A conversation reached its message limit".to_owned(),
        body: format!(
            "A visitor's conversation reached its message limit and waits for a person.\n\nConversation: {}",
            state.id
        ),
        about: "message_limit".to_owned(),
    });
    Facts {
        alerts: alerts.collect(),
        escalations: vec![Escalation {
            rule: "message_limit".to_owned(),
            action: EscalationAction::Transfer,
            urgency: Some(Urgency::Normal),
            reason,
            to,
        }],
        ..Facts::default()
    }
}

/// Whether an escalation asks for a person rather than only noting or offering.
pub(crate) fn calls_a_person(action: EscalationAction) -> bool {
    match action {
        EscalationAction::ImmediateAlert | EscalationAction::Transfer => true,
        EscalationAction::SoftEscalate | EscalationAction::OfferHuman => false,
    }
}

/// Escalations and alerts of a turn's facts.
pub(super) fn consequences(state: &State, cx: &Context, facts: &Facts, events: &mut Vec<Event>) {
    events.extend(facts.escalations.iter().map(|escalation| Event::Escalated { escalation: escalation.clone() }));
    super::alerts::queue(state, cx, &facts.alerts, events);
}
