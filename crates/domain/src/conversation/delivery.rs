//! Messages that leave over a carrier: queued when they are said, sent once, in order, followed by receipts that may come in any.
//!
//! An attempt is in the journal before anything leaves. One whose outcome is not known is looked up at the provider and never repeated; what cannot
//! be confirmed ends as failed. What was said stands in the conversation in any case, with what became of it beside it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Decision, Effect, Event, Reply, State,
    attachment::{self, Attachment},
    state::MessageStatus,
};
use crate::{
    contact_guard::Purpose,
    context::Context,
    ids::{ConversationId, MessageId},
    lines::{Provider, Template},
    local_time::rfc3339,
    rejection::Rejection,
    text,
    thread::Proof,
    vocabulary::{Channel, MessageRole},
};

/// Attempts at one part that surely did not leave (the provider was down, or asked for a pause).
pub const SEND_ATTEMPTS_MAX: u32 = 6;
/// Wait before the second attempt, ms; each further one waits twice as long.
pub const SEND_RETRY_MS: i64 = 10_000;
/// How long an unknown outcome is looked up before it counts as failed, ms.
pub const UNCONFIRMED_AFTER_MS: i64 = 2 * 60 * 1000;
/// WhatsApp's day for free words, less a minute for the way, ms.
pub const WHATSAPP_WINDOW_MS: i64 = 24 * 3_600_000 - 60_000;
/// How long after the person wrote a word of ours still answers them, ms.
const ANSWERS_WITHIN_MS: i64 = 24 * 3_600_000;
/// Messages whose ids a look-up is told: those that a day's list could confuse with the one that is sought.
const KNOWN_MAX: usize = 50;
/// Parts of one message: what the codecs cut a long text into.
const PARTS_MAX: u32 = 10;
/// Characters of a failure's reason.
const REASON_CHARS_MAX: usize = 300;
/// Characters of a provider's id of a message.
const PROVIDER_ID_CHARS_MAX: usize = 200;

/// Where a person is reached over a carrier, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Who carries it.
    pub provider: Provider,
    /// Our number, E.164.
    pub from: String,
    /// The provider's own name of our number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The person's number, E.164.
    pub to: String,
    /// What WhatsApp allows after a day of silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// When the person wrote last over this line, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_ms: Option<i64>,
    /// Why the number is this person's; none while it is only what somebody typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// How a message came in over a carrier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The line.
    pub line: Line,
    /// Addresses of what was attached.
    #[serde(default)]
    pub attachments: Vec<String>,
    /// An order such as STOP: no turn of the assistant's; what is said to it, if anything.
    #[serde(default)]
    pub order: Option<Order>,
}

/// An order to the sender of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What is said to it; nothing where the carrier itself answers.
    pub reply: Option<String>,
}

/// Where the sending of a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Step {
    /// Its next part is to be sent.
    Queued,
    /// It waits for its next attempt.
    Waiting {
        /// When, Unix milliseconds.
        until_ms: i64,
    },
    /// A part is on its way; if its task is lost its outcome is looked up.
    Attempted {
        /// Since when, Unix milliseconds.
        at_ms: i64,
    },
    /// The provider has all of it.
    Done,
    /// Given up.
    Failed,
}

/// One part of a message at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The provider's id.
    pub id: String,
    /// Where it stands.
    pub status: MessageStatus,
    /// The provider's number for why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<i64>,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// How it goes.
    pub channel: Channel,
    /// What it is for.
    pub purpose: Purpose,
    /// Where its sending stands.
    pub step: Step,
    /// Which attempt at the next part.
    pub attempt: u32,
    /// Into how many parts it is cut; 0 before the first attempt.
    pub of: u32,
    /// The parts that the provider has.
    pub parts: Vec<Part>,
    /// Why it failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Delivery {
    /// Where the whole stands: as far as its slowest part.
    pub fn status(&self) -> MessageStatus {
        match self.step {
            Step::Failed => MessageStatus::Failed,
            Step::Queued | Step::Waiting { .. } => MessageStatus::Queued,
            Step::Attempted { .. } => MessageStatus::Sending,
            Step::Done if self.parts.iter().any(|part| part.status == MessageStatus::Failed) => MessageStatus::Failed,
            Step::Done => self.parts.iter().map(|part| part.status).min().unwrap_or(MessageStatus::Sent),
        }
    }
}

/// A part that is to be sent, with all that sending needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The message.
    pub message: MessageId,
    /// How it goes.
    pub channel: Channel,
    /// Over which line.
    pub line: Line,
    /// What it is for.
    pub purpose: Purpose,
    /// The whole message.
    pub text: String,
    /// Files sent with it.
    pub files: Vec<Attachment>,
    /// When it was said, Unix milliseconds: links to its files open for a while from then.
    pub said_ms: i64,
    /// Which part of it, from 0.
    pub part: u32,
    /// Which attempt.
    pub attempt: u32,
    /// When the attempt was journaled, if it was: then its outcome is looked up.
    pub attempted_ms: Option<i64>,
    /// Ids of what the provider has of the same channel: a look-up must not take one of them for this.
    pub known: Vec<String>,
}

/// What became of a message, for the console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryView {
    /// The message.
    pub message_id: MessageId,
    /// How it goes.
    pub channel: Channel,
    /// Where it stands.
    pub status: MessageStatus,
    /// Why it failed.
    pub error: Option<String>,
    /// The provider's ids.
    pub provider_ids: Vec<String>,
    /// When the next attempt begins.
    pub retry_at: Option<String>,
}

/// What became of each message that left over a carrier, oldest first.
pub fn deliveries(state: &State) -> Vec<DeliveryView> {
    let of = |message: &super::Message| {
        let delivery = state.deliveries.get(&message.id)?;
        Some(DeliveryView {
            message_id: message.id.clone(),
            channel: delivery.channel,
            status: delivery.status(),
            error: delivery.error.clone(),
            provider_ids: delivery.parts.iter().map(|part| part.id.clone()).collect(),
            retry_at: match delivery.step {
                Step::Waiting { until_ms } => Some(rfc3339(until_ms)),
                Step::Queued | Step::Attempted { .. } | Step::Done | Step::Failed => None,
            },
        })
    };
    state.messages.iter().filter_map(of).collect()
}

/// How the person of a conversation can be reached over a carrier, for the console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachView {
    /// Over which channel.
    pub channel: Channel,
    /// Until when free words are taken, where that has an end.
    pub free_until: Option<String>,
    /// Whether no free words are taken any more.
    pub closed: bool,
    /// Whether words can go out inside a template then.
    pub template: bool,
    /// The largest file it carries by media type, bytes; 0: such a file goes as a link.
    #[serde(default)]
    pub carries: BTreeMap<String, u64>,
}

/// The lines of a conversation as people work with them.
pub fn reach(state: &State, now_ms: i64) -> Vec<ReachView> {
    let of = |(channel, line): (&Channel, &Line)| {
        let limited = *channel == Channel::Whatsapp;
        let open = !limited || in_window(line, now_ms);
        let until = line.heard_ms.map(|heard| heard.min(now_ms).saturating_add(WHATSAPP_WINDOW_MS));
        ReachView {
            channel: *channel,
            free_until: until.filter(|_| limited && open).map(rfc3339),
            closed: !open,
            template: line.template.is_some(),
            carries: attachment::carries(line, *channel),
        }
    };
    state.lines.iter().map(of).collect()
}

/// Opens a line for words of ours, or brings an open one up to date.
pub(super) fn open_line(state: &State, channel: Channel, line: Line) -> Decision {
    let mut events = Vec::new();
    line_events(state, channel, line, &mut events);
    Decision::new(events, Reply::Done)
}

/// The event that makes a line what it is now, if it is not yet. What was heard and proven of the same number stays.
pub(super) fn line_events(state: &State, channel: Channel, mut line: Line, events: &mut Vec<Event>) {
    let known = state.lines.get(&channel);
    if let Some(known) = known.filter(|known| known.to == line.to) {
        line.heard_ms = known.heard_ms;
        line.proof = line.proof.or(known.proof);
    }
    if known != Some(&line) {
        events.push(Event::LineOpened { channel, line: Box::new(line) });
    }
}

/// Whether a person may say something over a channel now.
pub(super) fn sayable(state: &State, cx: &Context, channel: Channel) -> Result<(), Rejection> {
    match channel {
        Channel::Chat | Channel::Voice => Ok(()),
        Channel::Sms | Channel::Whatsapp => {
            let Some(line) = state.lines.get(&channel) else {
                return Err(Rejection::conflict(
                    "no_line",
                    "There is no number to reach this person at, or none of yours to write from.",
                ));
            };
            if channel == Channel::Whatsapp && line.template.is_none() && !in_window(line, cx.now_ms) {
                return Err(Rejection::conflict(
                    "whatsapp_window_closed",
                    "WhatsApp allows free words only within 24 hours after the person wrote. Set an approved template for your number, or use another channel.",
                ));
            }
            Ok(())
        }
        Channel::Email | Channel::Linkedin | Channel::Messenger => Err(Rejection::conflict(
            "channel_not_connected",
            "This channel is not connected: nothing can be sent over it.",
        )),
    }
}

/// Whether free words are allowed on WhatsApp.
pub fn in_window(line: &Line, now_ms: i64) -> bool {
    line.heard_ms.is_some_and(|heard| now_ms < heard.min(now_ms).saturating_add(WHATSAPP_WINDOW_MS))
}

/// A part is about to be sent.
pub(super) fn attempt(
    state: &State,
    message: &MessageId,
    part: u32,
    of: u32,
    attempt: u32,
) -> Result<Decision, Rejection> {
    let delivery = current(state, message, part, attempt)?;
    let planned = delivery.of == 0 || delivery.of == of;
    if !planned || !(1..=PARTS_MAX).contains(&of) || part >= of {
        return Err(Rejection::invalid("of", "must be the number of the message's parts"));
    }
    match delivery.step {
        Step::Queued => {
            Ok(Decision::event(Event::SendAttempted { message_id: message.clone(), part, of, attempt }, Reply::Done))
        }
        // The same attempt twice: whoever asks second must look up the outcome instead of sending.
        Step::Attempted { .. } | Step::Waiting { .. } | Step::Done | Step::Failed => Err(Rejection::Superseded),
    }
}

/// The provider has a part.
pub(super) fn handed_over(
    state: &State,
    message: &MessageId,
    part: u32,
    attempt: u32,
    provider_id: String,
) -> Result<Decision, Rejection> {
    if let Some(known) = state.deliveries.get(message).and_then(|delivery| delivery.parts.get(part as usize)) {
        // A receipt was faster than the answer.
        return if known.id == provider_id { Ok(Decision::reply(Reply::Done)) } else { Err(Rejection::Superseded) };
    }
    let delivery = current(state, message, part, attempt)?;
    match delivery.step {
        Step::Attempted { .. } => {
            let event = Event::HandedOver { message_id: message.clone(), part, provider_id: clipped(&provider_id) };
            Ok(Decision::event(event, Reply::Done))
        }
        Step::Queued | Step::Waiting { .. } | Step::Done | Step::Failed => Err(Rejection::Superseded),
    }
}

/// A part did not leave, or nobody can say that it did. `retry`: it surely did not leave, and may after this many ms.
pub(super) fn failed(
    state: &State,
    cx: &Context,
    message: &MessageId,
    part: u32,
    attempt: u32,
    reason: &str,
    retry_ms: Option<i64>,
) -> Result<Decision, Rejection> {
    let delivery = current(state, message, part, attempt)?;
    match delivery.step {
        Step::Queued | Step::Attempted { .. } => {}
        Step::Waiting { .. } | Step::Done | Step::Failed => return Err(Rejection::Superseded),
    }
    let backoff = SEND_RETRY_MS.saturating_mul(1 << attempt.saturating_sub(1).min(10));
    let retry_at_ms =
        retry_ms.filter(|_| attempt < SEND_ATTEMPTS_MAX).map(|asked| cx.now_ms.saturating_add(asked.max(backoff)));
    let reason = text::shorten(&text::one_line(reason), REASON_CHARS_MAX);
    Ok(Decision::event(Event::SendFailed { message_id: message.clone(), part, reason, retry_at_ms }, Reply::Done))
}

/// The provider says what became of a part. Repeats and what is overtaken change nothing.
pub(super) fn receipt(
    state: &State,
    message: &MessageId,
    part: u32,
    provider_id: String,
    status: MessageStatus,
    error: Option<i64>,
) -> Result<Decision, Rejection> {
    let delivery = state.deliveries.get(message).ok_or_else(|| Rejection::not_found("message"))?;
    match delivery.parts.get(part as usize) {
        Some(known) if known.id != provider_id => Err(Rejection::not_found("message")),
        Some(known) if status <= known.status => Ok(Decision::reply(Reply::Done)),
        Some(_) => Ok(Decision::event(
            Event::Receipted { message_id: message.clone(), part, provider_id, status, error },
            Reply::Done,
        )),
        // The receipt came before the answer to the sending, or instead of it.
        None if part as usize == delivery.parts.len() && matches!(delivery.step, Step::Attempted { .. }) => {
            let provider_id = clipped(&provider_id);
            let status = status.max(MessageStatus::Sent);
            Ok(Decision::event(
                Event::Receipted { message_id: message.clone(), part, provider_id, status, error },
                Reply::Done,
            ))
        }
        None => Err(Rejection::not_found("message")),
    }
}

/// Waiting messages whose time has come.
pub(super) fn due(state: &State, now_ms: i64) -> Vec<Event> {
    let due = |delivery: &Delivery| matches!(delivery.step, Step::Waiting { until_ms } if until_ms <= now_ms);
    state
        .outgoing
        .iter()
        .filter(|id| state.deliveries.get(*id).is_some_and(due))
        .map(|id| Event::SendRetried { message_id: id.clone() })
        .collect()
}

/// When the next waiting message is due.
pub(super) fn timer(state: &State) -> Option<i64> {
    let until = |id: &MessageId| match state.deliveries.get(id)?.step {
        Step::Waiting { until_ms } => Some(until_ms),
        Step::Queued | Step::Attempted { .. } | Step::Done | Step::Failed => None,
    };
    state.outgoing.iter().filter_map(until).min()
}

/// The next part of the oldest unfinished message of each channel: what was said first arrives first.
pub(super) fn pending(state: &State) -> Vec<(String, u32, Effect)> {
    let mut channels = Vec::new();
    let mut pending = Vec::new();
    for id in &state.outgoing {
        let Some(delivery) = state.deliveries.get(id) else { continue };
        if channels.contains(&delivery.channel) {
            continue;
        }
        channels.push(delivery.channel);
        let attempted_ms = match delivery.step {
            Step::Queued => None,
            Step::Attempted { at_ms } => Some(at_ms),
            Step::Waiting { .. } | Step::Done | Step::Failed => continue,
        };
        let (Some(line), Some(message)) = (state.lines.get(&delivery.channel), state.message(id)) else { continue };
        let part = u32::try_from(delivery.parts.len()).unwrap_or(u32::MAX);
        let outgoing = Outgoing {
            message: id.clone(),
            channel: delivery.channel,
            line: line.clone(),
            purpose: delivery.purpose,
            text: message.content.clone(),
            files: message.files.clone(),
            said_ms: message.at_ms,
            part,
            attempt: delivery.attempt,
            attempted_ms,
            known: known(state, delivery.channel),
        };
        pending.push((format!("send:{id}:{part}"), delivery.attempt, Effect::Send { outgoing: Box::new(outgoing) }));
    }
    pending
}

/// The provider's ids of the newest messages of a channel.
fn known(state: &State, channel: Channel) -> Vec<String> {
    let newest = state.messages.iter().rev().filter_map(|message| state.deliveries.get(&message.id));
    let of_channel = newest.filter(|delivery| delivery.channel == channel).take(KNOWN_MAX);
    of_channel.flat_map(|delivery| delivery.parts.iter().map(|part| part.id.clone())).collect()
}

/// A line is what it is now. A code is good once.
pub(super) fn opened(state: &mut State, channel: Channel, line: &Line) {
    if line.proof == Some(Proof::Code) {
        state.join = None;
    }
    if line.proof.is_some() {
        state.visitor.phone.get_or_insert_with(|| line.to.clone());
    }
    state.lines.insert(channel, line.clone());
}

/// A part is on its way.
pub(super) fn attempted(state: &mut State, message: &MessageId, of: u32, at_ms: i64) {
    change(state, message, |delivery| {
        delivery.step = Step::Attempted { at_ms };
        delivery.of = of;
    });
}

/// A part is at the provider; the next one follows.
pub(super) fn arrived(state: &mut State, message: &MessageId, part: Part) {
    change(state, message, |delivery| {
        delivery.parts.push(part);
        delivery.attempt = 1;
        delivery.error = None;
        let all = delivery.parts.len() >= delivery.of as usize;
        delivery.step = if all { Step::Done } else { Step::Queued };
    });
    settle(state, message);
}

/// A part did not leave.
pub(super) fn not_sent(state: &mut State, message: &MessageId, reason: &str, retry_at_ms: Option<i64>) {
    change(state, message, |delivery| {
        delivery.error = Some(reason.to_owned());
        delivery.step = match retry_at_ms {
            Some(until_ms) => Step::Waiting { until_ms },
            None => Step::Failed,
        };
    });
    settle(state, message);
}

/// The wait is over.
pub(super) fn again(state: &mut State, message: &MessageId) {
    change(state, message, |delivery| {
        delivery.step = Step::Queued;
        delivery.attempt += 1;
    });
}

/// The provider said what became of a part.
pub(super) fn receipted(state: &mut State, message: &MessageId, at: u32, part: Part) {
    let (at, error) = (at as usize, part.error);
    if state.deliveries.get(message).is_some_and(|delivery| delivery.parts.len() > at) {
        change(state, message, |delivery| {
            if let Some(known) = delivery.parts.get_mut(at) {
                *known = part;
            }
        });
    } else {
        arrived(state, message, part);
    }
    change(state, message, |delivery| {
        let failed = delivery.status() == MessageStatus::Failed;
        let code = error.map(|code| format!(" (error {code})")).unwrap_or_default();
        let words = error.and_then(attachment::failure).unwrap_or("the carrier did not deliver it");
        delivery.error = failed.then(|| format!("{words}{code}"));
    });
}

/// Queues what was just said over a carrier. A sandbox has no lines.
pub(super) fn queue(state: &mut State, at_ms: i64) {
    let Some(message) = state.messages.last() else { return };
    let ours = matches!(message.role, MessageRole::Assistant | MessageRole::HumanAgent);
    let Some(line) = state.lines.get(&message.channel).filter(|_| ours && !state.sandbox) else { return };
    let answers = line.heard_ms.is_some_and(|heard| at_ms.saturating_sub(heard) <= ANSWERS_WITHIN_MS);
    let delivery = Delivery {
        channel: message.channel,
        purpose: if answers { Purpose::Answer } else { Purpose::Service },
        step: Step::Queued,
        attempt: 1,
        of: 0,
        parts: Vec::new(),
        error: None,
    };
    let id = message.id.clone();
    state.outgoing.push(id.clone());
    state.deliveries.insert(id, delivery);
}

/// The person wrote over a line.
pub(super) fn heard(state: &mut State, channel: Channel, at_ms: i64) {
    if let Some(line) = state.lines.get_mut(&channel) {
        line.heard_ms = Some(at_ms);
    }
}

/// Which conversations claim the same person.
pub(super) fn link(state: &State, with: Vec<ConversationId>) -> Decision {
    let new: Vec<ConversationId> =
        with.into_iter().filter(|other| *other != state.id && !state.links.contains(other)).collect();
    if new.is_empty() {
        return Decision::reply(Reply::Done);
    }
    Decision::event(Event::Linked { with: new }, Reply::Done)
}

/// What is done or given up no longer holds up what comes after it.
fn settle(state: &mut State, message: &MessageId) {
    let over = state.deliveries.get(message).is_none_or(|delivery| matches!(delivery.step, Step::Done | Step::Failed));
    if over {
        state.outgoing.retain(|id| id != message);
    }
}

fn change(state: &mut State, message: &MessageId, change: impl FnOnce(&mut Delivery)) {
    if let Some(delivery) = state.deliveries.get_mut(message) {
        change(delivery);
    }
}

fn current<'a>(state: &'a State, message: &MessageId, part: u32, attempt: u32) -> Result<&'a Delivery, Rejection> {
    let delivery = state.deliveries.get(message).ok_or_else(|| Rejection::not_found("message"))?;
    if delivery.parts.len() == part as usize && delivery.attempt == attempt {
        Ok(delivery)
    } else {
        Err(Rejection::Superseded)
    }
}

fn clipped(id: &str) -> String {
    id.chars().take(PROVIDER_ID_CHARS_MAX).collect()
}
