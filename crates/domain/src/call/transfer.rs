//! Handing a call to a person. Cold: the caller is put through, and our part ends. Warm: the colleague is called first, hears what it is about and takes
//! the call by pressing a key; whatever else happens, the caller is taken back and somebody is told to call them.
//!
//! What the provider is asked to do is decided from this state alone, so that whichever node its next webhook reaches goes on with it.

use serde::{Deserialize, Serialize};

use super::{Call, CallStatus, Carrier, Decision, Event, Reply};
use crate::{
    campaign::number, context::Context, conversation, ids::ConversationId, ids::UserId, principal::Actor,
    rejection::Rejection,
};

/// How often a caller is handed on in one call: colleagues who did not answer twice will not the third time.
pub const TRANSFERS_MAX: u32 = 3;

/// How a call is handed to a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferKind {
    /// The caller is put through at once.
    #[default]
    Cold,
    /// What it is about is told first.
    Warm,
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The caller is being told.
    #[default]
    Asked,
    /// The colleague is being called; the caller waits.
    Calling,
    /// The colleague took the call.
    Taken,
    /// Nobody took it: the caller was taken back, or has hung up.
    Back,
}

/// Why nobody took a call that was handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Untaken {
    /// The colleague sent it back.
    Declined,
    /// Nobody answered, or what answered pressed no key: a machine.
    NoAnswer,
    /// The line was busy.
    Busy,
    /// The call to the colleague could not be made.
    Failed,
    /// The caller hung up before anybody took it.
    CallerLeft,
}

impl Untaken {
    /// In words that follow "nobody took the call".
    pub fn words(self) -> &'static str {
        match self {
            Self::Declined => "it was sent back",
            Self::NoAnswer => "there was no answer",
            Self::Busy => "the line was busy",
            Self::Failed => "that number could not be reached",
            Self::CallerLeft => "the caller hung up while waiting",
        }
    }
}

/// A call that is to be handed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// To whom, E.164.
    pub to: String,
    /// How.
    pub kind: TransferKind,
    /// Who wants it; the assistant itself if nobody.
    pub by: Option<UserId>,
    /// Since when, Unix milliseconds.
    pub at_ms: i64,
    /// How far it is.
    #[serde(default)]
    pub stage: Stage,
    /// Why nobody took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untaken: Option<Untaken>,
}

impl Transfer {
    /// Whether the caller is on the way to somebody.
    pub fn under_way(&self) -> bool {
        matches!(self.stage, Stage::Asked | Stage::Calling)
    }

    /// Whether an end of the call now is the person's having it.
    pub(super) fn reached(&self) -> bool {
        match self.kind {
            TransferKind::Cold => self.stage != Stage::Back,
            TransferKind::Warm => self.stage == Stage::Taken,
        }
    }

    /// Names what the caller is told when they are taken back.
    pub fn name_of_return(&self) -> String {
        format!("back/{}", self.at_ms)
    }
}

impl Call {
    /// Whether the caller may be handed on: not while they are, and not again and again.
    pub fn may_be_handed_on(&self) -> bool {
        self.transfers < TRANSFERS_MAX && self.transfer.as_ref().is_none_or(|known| known.stage == Stage::Back)
    }

    /// The transfer whose person is to be called now.
    pub fn handing_on(&self) -> Option<&Transfer> {
        self.transfer.as_ref().filter(|transfer| transfer.under_way())
    }
}

/// Somebody is to have the call.
pub(super) fn ask(state: &Call, cx: &Context, to: &str, kind: TransferKind) -> Result<Decision, Rejection> {
    let by = match cx.principal.actor {
        Actor::System => None,
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::Platform { .. } => {
            Some(super::decide::person(state, cx)?)
        }
    };
    super::decide::going(state)?;
    // The business pays for the second half of a transfer: no number that nobody may be called at, and none that costs extra.
    let to = number::normal(to, None).map_err(|problem| Rejection::invalid("to", problem.to_string()))?.e164;
    let carrier = state.is.as_ref().map(|call| call.carrier);
    let kind = match (carrier, kind) {
        (Some(Carrier::Twilio), _) | (Some(Carrier::Retell | Carrier::Vapi), TransferKind::Cold) => kind,
        // The agent's own wish gives way to what the provider can do.
        (Some(Carrier::Retell | Carrier::Vapi), TransferKind::Warm) if by.is_none() => TransferKind::Cold,
        (Some(Carrier::Retell | Carrier::Vapi), TransferKind::Warm) => {
            let detail = "this provider puts callers of such agents through at once and tells the colleague nothing: ask for a transfer of kind `cold`";
            return Err(Rejection::conflict("warm_not_possible", detail));
        }
        (Some(Carrier::Browser) | None, _) => {
            return Err(Rejection::conflict("test_call", "a test call from the console cannot be put through"));
        }
    };
    if state.answered_ms.is_none() {
        return Err(Rejection::conflict("not_answered", "this call is not taken yet"));
    }
    match state.transfer.as_ref().filter(|known| known.stage != Stage::Back) {
        Some(known) if known.to == to && known.kind == kind => Ok(super::decide::told(state)),
        Some(_) => Err(Rejection::conflict("transfer_under_way", "this call is being transferred already")),
        None if !state.may_be_handed_on() => {
            let detail = format!("nobody took this call {TRANSFERS_MAX} times; call the person back instead");
            Err(Rejection::conflict("transferred_too_often", detail))
        }
        None => {
            let transfer = Transfer { to, kind, by, at_ms: cx.now_ms, stage: Stage::Asked, untaken: None };
            Ok(Decision::event(Event::TransferAsked { transfer }, Reply::Done))
        }
    }
}

/// The provider was told to call the colleague.
pub(super) fn calling(state: &Call) -> Decision {
    match state.transfer.as_ref().map(|transfer| transfer.stage) {
        Some(Stage::Asked) if !state.status.over() => Decision::event(Event::TransferCalling, Reply::Done),
        Some(_) | None => Decision::reply(Reply::Done),
    }
}

/// The colleague takes the call: from here it is theirs.
pub(super) fn taken(state: &Call, cx: &Context) -> Result<Decision, Rejection> {
    let stage = state.transfer.as_ref().map(|transfer| transfer.stage);
    if stage == Some(Stage::Taken) {
        return Ok(Decision::reply(Reply::Done));
    }
    super::decide::going(state)?;
    match stage {
        Some(Stage::Asked | Stage::Calling) => {
            let end = super::End { status: Some(CallStatus::Transferred), ..super::End::default() };
            let mut decision = super::decide::ended(state, cx, &end);
            decision.events.insert(0, Event::TransferTaken);
            Ok(decision)
        }
        Some(Stage::Taken | Stage::Back) | None => {
            Err(Rejection::conflict("not_transferring", "the caller is not waiting for anybody any more"))
        }
    }
}

/// Nobody took the call.
pub(super) fn untaken(state: &Call, why: Untaken) -> Decision {
    if state.handing_on().is_some() && !state.status.over() {
        Decision::event(Event::TransferReturned { why }, Reply::Done)
    } else {
        Decision::reply(Reply::Done)
    }
}

/// What the conversation is told of a transfer that came to nothing: somebody is to call back.
pub(super) fn conversation_message(state: &Call, event: &Event) -> Option<(ConversationId, conversation::Command)> {
    let Event::TransferReturned { why } = event else { return None };
    let transfer = state.transfer.as_ref()?;
    let told = conversation::Command::TransferFailed {
        call: state.id.clone(),
        at_ms: transfer.at_ms,
        to: transfer.to.clone(),
        why: *why,
        phone: state.is.as_ref().and_then(|call| call.person.clone()),
    };
    Some((state.conversation_id.clone()?, told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{
        Command,
        tests::{Run, end, rep},
    };

    const DESK: &str = "+12175550177";

    fn handed(carrier: Carrier, kind: TransferKind) -> Run {
        let mut run = Run::new();
        run.talk_over(carrier);
        run.ask(Command::Transfer { to: DESK.into(), kind }).expect("handed on");
        run
    }

    fn told(run: &Run) -> Vec<Untaken> {
        let told = run.events.iter().filter_map(|(event, ..)| super::super::conversation_message(&run.call, event));
        told.filter_map(|(_, command)| match command {
            conversation::Command::TransferFailed { why, .. } => Some(why),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn a_warm_transfer_is_the_colleagues_once_they_take_it_and_only_then() {
        let mut run = handed(Carrier::Twilio, TransferKind::Warm);
        run.ask(Command::TransferCalling).expect("called");
        let seq = run.call.seq;
        run.ask(Command::TransferCalling).expect("called again");
        assert_eq!((run.call.seq, run.call.status.over()), (seq, false));
        run.ask(Command::TransferTaken).expect("taken");
        assert_eq!(run.call.status, CallStatus::Transferred);
        let seq = run.call.seq;
        run.ask(Command::TransferTaken).expect("said again");
        run.ask(Command::TransferReturned { why: Untaken::NoAnswer }).expect("late");
        assert_eq!(run.call.seq, seq, "what was taken is taken");
        assert!(told(&run).is_empty());
    }

    #[test]
    fn nobody_takes_it_so_the_caller_is_taken_back_and_somebody_is_told_to_call() {
        let mut run = handed(Carrier::Twilio, TransferKind::Warm);
        run.ask(Command::TransferCalling).expect("called");
        run.ask(Command::TransferReturned { why: Untaken::Declined }).expect("sent back");
        run.ask(Command::TransferReturned { why: Untaken::NoAnswer }).expect("the line says so too");
        assert_eq!(told(&run), [Untaken::Declined]);
        assert!(run.ask(Command::TransferTaken).is_err(), "the caller talks with the agent again");
        assert!(!run.call.status.over() && run.call.may_be_handed_on());
        // Asked for again it begins anew, so often.
        for _ in 1..TRANSFERS_MAX {
            run.ask(Command::Transfer { to: DESK.into(), kind: TransferKind::Warm }).expect("again");
            run.ask(Command::TransferReturned { why: Untaken::Busy }).expect("busy");
        }
        let again = run.ask(Command::Transfer { to: DESK.into(), kind: TransferKind::Warm });
        assert!(matches!(again, Err(Rejection::Conflict { code, .. }) if code == "transferred_too_often"));
        run.ask(end(None, None, None)).expect("over");
        assert_eq!(run.call.status, CallStatus::Completed, "nobody else ever had it");
    }

    #[test]
    fn who_hangs_up_while_a_colleague_is_being_told_is_called_back() {
        let mut run = handed(Carrier::Twilio, TransferKind::Warm);
        run.ask(end(None, None, None)).expect("over");
        assert_eq!((run.call.status, told(&run)), (CallStatus::Completed, vec![Untaken::CallerLeft]));
        let mut cold = handed(Carrier::Twilio, TransferKind::Cold);
        cold.ask(end(None, None, None)).expect("over");
        assert_eq!((cold.call.status, told(&cold)), (CallStatus::Transferred, Vec::new()));
    }

    #[test]
    fn where_a_colleague_cannot_be_told_a_person_is_told_so_and_an_agent_puts_through_at_once() {
        let cold = handed(Carrier::Retell, TransferKind::Warm);
        assert_eq!(cold.call.transfer.as_ref().map(|transfer| transfer.kind), Some(TransferKind::Cold));
        let mut run = Run::new();
        run.talk_over(Carrier::Retell);
        let warm = Command::Transfer { to: DESK.into(), kind: TransferKind::Warm };
        let refused = run.by(rep(), warm);
        assert!(matches!(refused, Err(Rejection::Conflict { code, .. }) if code == "warm_not_possible"));
    }

    #[test]
    fn a_transfer_of_an_older_journal_is_one_that_was_asked_for() {
        let old = serde_json::json!({ "to": DESK, "kind": "cold", "by": null, "at_ms": 5 });
        let old: Transfer = serde_json::from_value(old).expect("as the journal has it");
        assert_eq!((old.stage, old.untaken), (Stage::Asked, None));
    }
}
