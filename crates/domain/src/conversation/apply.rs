//! Folds what happened into what is remembered. Cannot fail.

use super::{
    Event, State,
    delivery::{self, Part},
    dialogue::{Facts, FormMove, Plan},
    event::{AnswerGiven, Opening, Said},
    merge, spoken,
    state::{
        Alert, AlertStatus, Author, Contact, EscalationRecord, FORMER_MAX, Floor, LeadLink, Message, MessageStatus,
        OpenTurn, Seen, Turn, TurnOutcome, Unanswered,
    },
    turn::calls_a_person,
};
use crate::{
    contact_guard::Purpose,
    contact_guard::said::Contacting,
    ids::{MessageId, TurnId},
    vocabulary::{Channel, ConversationStatus, EscalationAction, MessageRole},
};

/// Unanswered questions kept; the rows carry them on.
const UNANSWERED_MAX: usize = 200;

/// Folds one event.
pub fn apply(state: &mut State, event: &Event, seq: u64, at_ms: i64) {
    match event {
        Event::Started { id, tenant, agent_id, visitor, channel, sandbox } => {
            state.id = id.clone();
            state.tenant = tenant.clone();
            state.agent_id = agent_id.clone();
            state.visitor = (**visitor).clone();
            state.channel = *channel;
            state.sandbox = *sandbox;
            state.started_at_ms = at_ms;
            state.active_at_ms = at_ms;
        }
        Event::Posted { message_id, client_message_id, channel, text, opening, terms, attachments, spoken: words } => {
            spoken::note(state, message_id, words.as_deref());
            state.terms = (**terms).clone();
            let turn = opening.as_ref().map(|opening| opening.turn.clone());
            add(
                state,
                Message {
                    turn: turn.clone(),
                    attachments: attachments.clone(),
                    call: words.as_ref().map(|words| words.call.clone()),
                    typed: words.as_ref().is_some_and(|words| words.typed),
                    ..message(message_id, seq, at_ms, MessageRole::User, *channel, text)
                },
            );
            delivery::heard(state, *channel, at_ms);
            state.visitor_messages += 1;
            state.active_at_ms = at_ms;
            remember(state, client_message_id.as_ref(), seq, &message_id.0, turn);
            if let Some(opening) = opening {
                open(state, opening, vec![message_id.clone()], at_ms);
            }
        }
        Event::VoicemailLeft { message_id, call, terms, person, text } => {
            spoken::left_a_message(state, call, terms, person.as_ref(), at_ms);
            let said = message(message_id, seq, at_ms, MessageRole::User, Channel::Voice, text);
            add(state, Message { call: Some(call.clone()), voicemail: true, ..said });
            state.visitor_messages += 1;
        }
        Event::CallJoined { call, greeting, terms, person, errand } => {
            spoken::joined(state, call, terms, person.as_ref(), errand.as_deref(), at_ms);
            if let Some(Said { message_id, text }) = greeting {
                add(state, message(message_id, seq, at_ms, MessageRole::Assistant, Channel::Voice, text));
            }
        }
        Event::CallLeft { call, silenced } => {
            silence(state, silenced.as_ref());
            spoken::left(state, call, at_ms);
        }
        Event::Spoke { said, client_id, .. } => {
            add(state, message(&said.message_id, seq, at_ms, MessageRole::Assistant, Channel::Voice, &said.text));
            remember(state, Some(client_id), seq, &said.message_id.0, None);
            state.active_at_ms = at_ms;
        }
        Event::SaidInPart { said, .. } => {
            add(state, message(&said.message_id, seq, at_ms, MessageRole::Assistant, Channel::Voice, &said.text));
        }
        Event::HeardInPart { message_id, heard } => spoken::heard_in_part(state, message_id, heard),
        Event::Revised { message_id } => spoken::revised(state, message_id),
        Event::Reopened => {
            state.status = ConversationStatus::Active;
            state.ended_at_ms = None;
            state.resolution_s = None;
        }
        Event::Understood { understanding, .. } => {
            absorb(state, &understanding.facts);
            if let Some(open) = &mut state.open {
                open.understood = Some(understanding.clone());
            }
        }
        Event::Answered(given) => answered(state, given, seq, at_ms),
        Event::Unanswered { question } => {
            if state.unanswered.len() < UNANSWERED_MAX {
                state.unanswered.push(Unanswered { question: question.clone(), at_ms });
            }
        }
        Event::TurnRetried { attempt, deadline_ms, recovered, .. } => {
            if let Some(open) = &mut state.open {
                open.attempt = *attempt;
                open.deadline_ms = *deadline_ms;
                open.failures += u32::from(!*recovered);
                open.recoveries += u32::from(*recovered);
            }
        }
        Event::Escalated { escalation } => {
            state.dialogue.fired.insert(escalation.rule.clone());
            if calls_a_person(escalation.action) {
                state.status = ConversationStatus::Escalated;
                state.escalation_handled = false;
            }
            state.urgency = escalation.urgency.map_or(state.urgency, |urgency| urgency.max(state.urgency));
            state.escalations.push(EscalationRecord {
                rule: escalation.rule.clone(),
                action: escalation.action,
                reason: escalation.reason.clone(),
                to: escalation.to.clone(),
                at_ms,
            });
        }
        Event::AlertQueued { id, draft } => {
            let alert = Alert {
                id: id.clone(),
                channel: draft.channel,
                to: draft.to.clone(),
                subject: draft.subject.clone(),
                body: draft.body.clone(),
                about: draft.about.clone(),
                status: AlertStatus::Queued,
                attempt: 1,
                error: None,
                line: None,
                attempted_ms: None,
            };
            state.alerts.insert(id.clone(), alert);
        }
        Event::AlertAttempted { id, line, .. } => alert(state, id, |alert| {
            alert.status = AlertStatus::Attempted;
            alert.line.clone_from(line);
            // Nobody looks up what is only recorded, and what older journals say stays as it was.
            alert.attempted_ms = line.as_ref().map(|_| at_ms);
        }),
        Event::AlertSent { id } => alert(state, id, |alert| alert.status = AlertStatus::Sent),
        Event::AlertRecorded { id } => alert(state, id, |alert| alert.status = AlertStatus::Recorded),
        Event::AlertFailed { id, error, retry_at_ms } => alert(state, id, |alert| {
            alert.error = Some(error.clone());
            alert.status = match retry_at_ms {
                Some(until_ms) => AlertStatus::Waiting { until_ms: *until_ms },
                None => AlertStatus::Failed,
            };
        }),
        Event::AlertRetried { id } => alert(state, id, |alert| {
            alert.status = AlertStatus::Queued;
            alert.attempt += 1;
            // The next attempt chooses anew, and nothing of it has left.
            (alert.line, alert.attempted_ms) = (None, None);
        }),
        Event::LeadCaptured { lead_id, lead } => {
            state.lead = Some(LeadLink { id: lead_id.clone(), captured_at_ms: at_ms, told: (**lead).clone() });
        }
        Event::LeadUpdated { lead, .. } => {
            if let Some(link) = &mut state.lead {
                link.told = (**lead).clone();
            }
        }
        Event::FormSubmitted { client_id, lead_id, facts, said } => {
            absorb(state, facts);
            if let Some(Said { message_id, text }) = said {
                let channel = state.messages.last().map_or(state.channel, |last| last.channel);
                add(state, message(message_id, seq, at_ms, MessageRole::Assistant, channel, text));
            }
            state.active_at_ms = at_ms;
            remember(state, client_id.as_ref(), seq, &lead_id.0, None);
        }
        Event::TakenOver { by, silenced } => {
            state.floor = Floor::Person { user: by.id.clone(), name: by.name.clone() };
            silence(state, silenced.as_ref());
            state.escalation_handled = true;
            state.closed = None;
            go_on(state);
            state.assigned_to.get_or_insert_with(|| by.id.clone());
            state.active_at_ms = at_ms;
        }
        Event::HandedBack { opening, .. } => {
            state.floor = Floor::Assistant;
            // The person may have asked all that or agreed on something else: a form goes on only if the visitor wants it.
            state.dialogue.paused = state.dialogue.form.take().map(|form| form.form);
            (state.dialogue.offer, state.dialogue.booking, state.dialogue.invited) = (None, None, false);
            if state.status == ConversationStatus::Escalated {
                // The person it was escalated to has dealt with it.
                state.status = ConversationStatus::Active;
            }
            state.active_at_ms = at_ms;
            if let Some(opening) = opening {
                let waiting = state.visible().map(|message| (message.id.clone(), message.role)).collect::<Vec<_>>();
                let posts = waiting
                    .iter()
                    .rev()
                    .take_while(|(_, role)| *role == MessageRole::User)
                    .map(|(id, _)| id.clone())
                    .collect::<Vec<_>>();
                open(state, opening, posts.into_iter().rev().collect(), at_ms);
            }
        }
        Event::HumanSaid { message_id, client_message_id, author, channel, text, files } => {
            let said = Message {
                author: Some(author.clone()),
                files: files.clone(),
                ..message(message_id, seq, at_ms, MessageRole::HumanAgent, *channel, text)
            };
            add(state, said);
            state.escalation_handled = true;
            state.active_at_ms = at_ms;
            first_response(state, at_ms);
            remember(state, client_message_id.as_ref(), seq, &message_id.0, None);
        }
        Event::Whispered { message_id, author, text } => {
            let channel = state.channel;
            state.messages.push(Message {
                whisper: true,
                author: Some(author.clone()),
                ..message(message_id, seq, at_ms, MessageRole::System, channel, text)
            });
        }
        Event::StatusSet { status } => set_status(state, *status, at_ms),
        Event::UrgencySet { urgency } => state.urgency = *urgency,
        Event::Assigned { to } => state.assigned_to.clone_from(to),
        Event::Rated { rating, feedback } => {
            state.rating = Some(*rating);
            state.rated_at_ms = Some(at_ms);
            state.rating_feedback.clone_from(feedback);
        }
        Event::MessageRated { message_id, thumbs_up, feedback } => {
            if let Some(message) = state.messages.iter_mut().find(|message| message.id == *message_id) {
                message.thumbs_up = Some(*thumbs_up);
                message.feedback.clone_from(feedback);
            }
        }
        Event::Identified { external_id, name, email, phone } => {
            let visitor = &mut state.visitor;
            let before = Contact { name: None, email: visitor.email.clone(), phone: visitor.phone.clone() };
            let now = Contact { name: None, email: email.clone(), phone: phone.clone() };
            let corrected = before.corrected_by(&now);
            for (own, new) in [
                (&mut visitor.external_id, external_id),
                (&mut visitor.name, name),
                (&mut visitor.email, email),
                (&mut visitor.phone, phone),
            ] {
                if new.is_some() {
                    own.clone_from(new);
                }
            }
            remember_former(state, corrected);
        }
        Event::Claimed { person } => {
            let before = std::mem::replace(&mut state.visitor.id, person.clone());
            state.claimed_from.get_or_insert(before);
            // Whoever asked for it may not be this person.
            state.join = None;
        }
        Event::Read { user, seq } => {
            state.read.insert(user.clone(), *seq);
        }
        Event::Closed { reason, status, silenced } => {
            state.closed = Some(*reason);
            silence(state, silenced.as_ref());
            end(state, *status, at_ms);
        }
        Event::Idled { status, silenced } => {
            silence(state, silenced.as_ref());
            // Whoever held the floor has left it: the next message finds the assistant again.
            state.floor = Floor::Assistant;
            end(state, *status, at_ms);
        }
        Event::OrderAnswered { said, channel } => {
            add(state, message(&said.message_id, seq, at_ms, MessageRole::Assistant, *channel, &said.text));
            if let Some(delivery) = state.deliveries.get_mut(&said.message_id) {
                delivery.purpose = Purpose::Confirmation;
            }
        }
        Event::LineOpened { channel, line } => delivery::opened(state, *channel, line),
        Event::SendAttempted { message_id, of, .. } => delivery::attempted(state, message_id, *of, at_ms),
        Event::HandedOver { message_id, provider_id, .. } => {
            let part = Part { id: provider_id.clone(), status: MessageStatus::Sent, error: None };
            delivery::arrived(state, message_id, part);
        }
        Event::SendFailed { message_id, reason, retry_at_ms, .. } => {
            delivery::not_sent(state, message_id, reason, *retry_at_ms);
        }
        Event::SendRetried { message_id } => delivery::again(state, message_id),
        Event::Receipted { message_id, part, provider_id, status, error } => {
            let news = Part { id: provider_id.clone(), status: *status, error: *error };
            delivery::receipted(state, message_id, *part, news);
        }
        Event::Linked { with } => {
            let room = merge::LINKS_MAX.saturating_sub(state.links.len());
            state.links.extend(with.iter().take(room).cloned());
        }
        Event::JoinCodeMade { join } => state.join = Some(join.clone()),
        Event::MergedInto { into, .. } => {
            state.merged_into = Some(into.clone());
            state.links.insert(into.clone());
        }
        Event::Absorbed(absorbed) => {
            let corrected = merge::absorbed(state, absorbed);
            remember_former(state, Some(corrected).filter(Contact::reachable));
        }
        Event::Forked { from, state: forked, .. } => {
            let mut sandbox = (**forked).clone();
            // A fork of a fork is one of the same conversation.
            sandbox.forked_from.get_or_insert_with(|| from.clone());
            let open = sandbox.open.as_ref().map(|open| open.id.clone());
            silence(&mut sandbox, open.as_ref());
            sandbox.sandbox = true;
            sandbox.alerts.clear();
            sandbox.seen.clear();
            sandbox.lead = None;
            // A sandbox reaches nobody.
            sandbox.lines.clear();
            sandbox.deliveries.clear();
            sandbox.outgoing.clear();
            sandbox.join = None;
            sandbox.calls.clear();
            sandbox.dialogue.errand = None;
            sandbox.rewind = None;
            sandbox.closed = None;
            sandbox.floor = Floor::Assistant;
            sandbox.assigned_to = None;
            sandbox.active_at_ms = at_ms;
            go_on(&mut sandbox);
            *state = sandbox;
        }
    }
    state.updated_at_ms = at_ms;
    state.seq = seq;
}

fn answered(state: &mut State, given: &AnswerGiven, seq: u64, at_ms: i64) {
    if let Some(understanding) = &given.understanding {
        absorb(state, &understanding.facts);
    }
    if let Some(facts) = &given.tool_facts {
        // A tool adds facts to the turn; what the words meant for forms and offers stays.
        let keep = state.dialogue.offer.clone();
        absorb(state, facts);
        if facts.offer.is_none() {
            state.dialogue.offer = keep;
        }
    }
    let channel = state.messages.last().map_or(state.channel, |last| last.channel);
    let tokens = given.trace.tokens.input + given.trace.tokens.output;
    add(
        state,
        Message {
            sources: given.sources.clone(),
            confidence: given.confidence,
            prompt: given.prompt.clone(),
            turn: Some(given.turn.clone()),
            tokens: (tokens > 0).then_some(tokens),
            latency_ms: Some(given.latency_ms),
            fallback: given.fallback,
            ..message(&given.message_id, seq, at_ms, MessageRole::Assistant, channel, &given.text)
        },
    );
    for whisper in state.messages.iter_mut().filter(|message| given.whispers_used.contains(&message.id)) {
        whisper.used = true;
    }
    first_response(state, at_ms);
    state.dialogue.invited = given.fallback;
    if let Some(turn) = state.turns.iter_mut().rev().find(|turn| turn.id == given.turn) {
        turn.outcome = TurnOutcome::Answered { message_id: given.message_id.clone() };
        turn.trace = Some(given.trace.clone());
    }
    state.open = None;
    // The visitor reads now: silence counts from the answer.
    state.active_at_ms = at_ms;
}

fn absorb(state: &mut State, facts: &Facts) {
    let dialogue = &mut state.dialogue;
    dialogue.values.extend(facts.values.iter().map(|(name, value)| (name.clone(), value.clone())));
    match &facts.form {
        FormMove::Same => {}
        FormMove::Going { progress } => {
            dialogue.cancelled.remove(&progress.form);
            dialogue.form = Some(progress.clone());
        }
        FormMove::Done { form, complete } => {
            if *complete {
                dialogue.completed.insert(form.clone());
            }
            if dialogue.form.as_ref().is_none_or(|going| going.form == *form || form == "lead") {
                dialogue.form = None;
            }
        }
        FormMove::Cancelled { form } => {
            dialogue.cancelled.insert(form.clone());
            dialogue.form = None;
        }
    }
    if let Some(contacting) = facts.contacting {
        dialogue.no_contact = contacting == Contacting::Never;
    }
    if let (Some(wish), Some(errand)) = (facts.wish, dialogue.errand.as_mut()) {
        errand.wish = Some(wish);
    }
    super::dialogue::booking::absorb(&mut dialogue.booking, &mut dialogue.agreed, &facts.booking);
    if facts.intent.is_some() {
        dialogue.intent = facts.intent;
    }
    if let Some(need) = &facts.need {
        super::dialogue::add_need(&mut dialogue.need, need);
    }
    dialogue.signals.extend(facts.signals.iter().cloned());
    dialogue.notices.extend(facts.notices.iter().cloned());
    if facts.offer.is_some() || facts.form != FormMove::Same {
        dialogue.paused = None;
    }
    dialogue.offer.clone_from(&facts.offer);
    dialogue.told_closed = facts.told_closed;
    let corrected = state.contact.corrected_by(&facts.contact);
    remember_former(state, corrected);
    state.contact.learn(&facts.contact);
    state.urgency = facts.urgency.map_or(state.urgency, |urgency| urgency.max(state.urgency));
}

/// Remembers what was corrected; of more than anybody needs the oldest is forgotten.
fn remember_former(state: &mut State, corrected: Option<Contact>) {
    let Some(corrected) = corrected.filter(|corrected| !state.former.contains(corrected)) else { return };
    if state.former.len() >= FORMER_MAX {
        state.former.remove(0);
    }
    state.former.push(corrected);
}

/// Opens a turn; one that it replaces hands over its messages and what it still owes.
fn open(state: &mut State, opening: &Opening, posts: Vec<MessageId>, at_ms: i64) {
    let mut turn = OpenTurn {
        id: opening.turn.clone(),
        answer_id: opening.answer_id.clone(),
        attempt: 1,
        asked_at_ms: at_ms,
        deadline_ms: opening.deadline_ms,
        posts,
        ..OpenTurn::default()
    };
    if let Some(old) = state.open.take() {
        if let Some(record) = state.turns.iter_mut().rev().find(|record| record.id == old.id) {
            record.outcome = TurnOutcome::Superseded { by: opening.turn.clone() };
        }
        turn.asked_at_ms = old.asked_at_ms;
        turn.recoveries = old.recoveries;
        turn.understood_posts = if old.understood.is_some() { old.posts.len() } else { old.understood_posts };
        turn.carried = owed(old.understood.map(|understood| Box::new(understood.plan)), old.carried);
        turn.posts = old.posts.into_iter().chain(turn.posts).collect();
    }
    state.turns.push(Turn { id: opening.turn.clone(), outcome: TurnOutcome::Open, trace: None });
    state.open = Some(turn);
}

/// An understood turn's plan already contains what it took over.
fn owed(understood: Option<Box<Plan>>, carried: Option<Box<Plan>>) -> Option<Box<Plan>> {
    understood.or(carried)
}

fn silence(state: &mut State, turn: Option<&TurnId>) {
    let Some(turn) = turn else { return };
    if let Some(record) = state.turns.iter_mut().rev().find(|record| record.id == *turn) {
        record.outcome = TurnOutcome::Silenced;
    }
    if state.open.as_ref().is_some_and(|open| open.id == *turn) {
        state.open = None;
    }
}

fn set_status(state: &mut State, status: ConversationStatus, at_ms: i64) {
    match status {
        ConversationStatus::Active => {
            state.closed = None;
            state.status = status;
            state.ended_at_ms = None;
            state.resolution_s = None;
        }
        ConversationStatus::Escalated => {
            state.status = status;
            state.escalation_handled = false;
            state.ended_at_ms = None;
            state.resolution_s = None;
            state.escalations.push(EscalationRecord {
                rule: "person".to_owned(),
                action: EscalationAction::Transfer,
                reason: "set by a person".to_owned(),
                to: None,
                at_ms,
            });
        }
        ConversationStatus::Resolved | ConversationStatus::Abandoned => end(state, status, at_ms),
    }
}

fn end(state: &mut State, status: ConversationStatus, at_ms: i64) {
    state.status = status;
    state.ended_at_ms = Some(at_ms);
    state.resolution_s = Some(at_ms.saturating_sub(state.started_at_ms).max(0) / 1000);
}

fn go_on(state: &mut State) {
    if !super::dialogue::goes_on(state.status) {
        state.status = ConversationStatus::Active;
    }
    state.ended_at_ms = None;
    state.resolution_s = None;
}

fn first_response(state: &mut State, at_ms: i64) {
    state.first_response_ms.get_or_insert(at_ms.saturating_sub(state.started_at_ms).max(0));
}

fn alert(state: &mut State, id: &str, change: impl FnOnce(&mut Alert)) {
    if let Some(alert) = state.alerts.get_mut(id) {
        change(alert);
    }
}

fn add(state: &mut State, mut message: Message) {
    let at_ms = message.at_ms;
    if message.channel == Channel::Voice && message.call.is_none() {
        message.call = spoken::going(state).map(|call| call.id.clone());
    }
    state.channels.insert(message.channel);
    state.message_count += 1;
    state.messages.push(message);
    delivery::queue(state, at_ms);
}

fn remember(state: &mut State, client_id: Option<&String>, seq: u64, id: &str, turn: Option<TurnId>) {
    if let Some(client_id) = client_id {
        state.seen.insert(client_id.clone(), Seen { seq, id: id.to_owned(), turn });
    }
}

fn message(id: &MessageId, seq: u64, at_ms: i64, role: MessageRole, channel: Channel, content: &str) -> Message {
    Message {
        id: id.clone(),
        seq,
        role,
        whisper: false,
        author: None::<Author>,
        channel,
        content: content.to_owned(),
        sources: Vec::new(),
        confidence: None,
        prompt: None,
        turn: None,
        at_ms,
        thumbs_up: None,
        feedback: None,
        tokens: None,
        latency_ms: None,
        used: false,
        fallback: false,
        attachments: Vec::new(),
        files: Vec::new(),
        call: None,
        unheard: None,
        voicemail: false,
        typed: false,
    }
}
