//! Our side of one socket: what is open, what was superseded, what may still be said. A machine without IO; the conversation behind it is
//! keyed by the call's id and outlives the socket.
//!
//! Rules that come from Retell: only the latest requested id is heard, until it is complete; a newer request supersedes it, an `update_only`
//! does not; while a response is open nothing else is asked for; every response must be completed.

use super::frames::{Actions, AgentConfig, Config, Inbound, Outbound, Transcript, Turntaking, read_inbound};
use super::object::Call;
use super::target::{CLOSE_HANG_UP, CLOSE_NOT_TEXT};
use crate::error::{Malformed, Unfit};

/// The id of the greeting.
pub const GREETING: u64 = 0;
/// How long without any frame the socket still counts as alive, ms. Pings come every two seconds and Retell itself gives up after five;
/// three times that is no hiccup any more.
pub const SILENCE_MS_MAX: i64 = 15_000;
/// How many unreadable frames are passed over before the socket is given up: a peer that babbles is not Retell.
pub const MALFORMED_MAX: u32 = 50;

/// How the greeting begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The first socket of a call: the owner speaks the greeting, at once or after the details came.
    Greet,
    /// The socket came back in the middle of a call: nothing is said until something is asked.
    Resume,
}

/// What the owner of the call hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Who calls whom.
    Details(Box<Call>),
    /// The transcript grew.
    Update {
        /// So far.
        transcript: Transcript,
        /// Whose turn it is.
        turntaking: Option<Turntaking>,
    },
    /// An answer is wanted under this id.
    Asked {
        /// Under which.
        response_id: u64,
        /// Whether the caller was silent, instead of having said something.
        reminder: bool,
        /// So far.
        transcript: Transcript,
    },
    /// The answer under this id is not wanted any more; what was sent of it may have been heard in part. The greeting too can be superseded.
    Superseded {
        /// Under which.
        response_id: u64,
    },
    /// A frame that was passed over.
    Ignored(Malformed),
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this text frame.
    Send(String),
    /// Send a close frame with this code. Nothing may follow.
    Close(u16),
    /// End the connection without a close frame, so that Retell comes back.
    Drop,
    /// Tell the owner of the call.
    Tell(Event),
}

/// How an answer ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// The caller is listened to.
    #[default]
    Listen,
    /// Hang up once it has been spoken. An interruption takes this back.
    HangUp,
    /// Transfer once it has been spoken.
    Transfer {
        /// E.164.
        to: String,
        /// Whether the target sees the caller's number.
        show_caller: bool,
    },
    /// Press a key once it has been spoken.
    Press(char),
}

/// Why words were not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// That id is not open: it was superseded, completed, or never asked.
    #[error("the response is not open any more")]
    NotOpen,
    /// Retell could not carry it out.
    #[error("the ending cannot be carried out: {0}")]
    Unfit(#[from] Unfit),
}

/// One socket of a call.
#[derive(Clone, Debug)]
pub struct Session {
    open: Option<u64>,
    /// The highest id asked on this socket; ids do not fall.
    latest: Option<u64>,
    interrupts: u64,
    interrupting: bool,
    uninterruptible: bool,
    last_frame_ms: i64,
    malformed: u32,
    closed: bool,
}

impl Session {
    /// A socket that was just opened. `config` goes first: without it Retell sends neither pings nor details.
    pub fn open(opening: Opening, now_ms: i64, out: &mut Vec<Output>) -> Self {
        let mut session = Self {
            open: Some(GREETING),
            latest: None,
            interrupts: 0,
            interrupting: false,
            uninterruptible: false,
            last_frame_ms: now_ms,
            malformed: 0,
            closed: false,
        };
        let config = Config { auto_reconnect: true, call_details: true, transcript_with_tool_calls: true };
        out.push(Output::Send(Outbound::Config { config }.to_text()));
        match opening {
            Opening::Greet => {}
            // Whether Retell waits for a greeting on a second socket is not documented; an empty one releases it and says nothing.
            Opening::Resume => session.send(GREETING, "", true, Actions::default(), out),
        }
        session
    }

    /// The id under which an answer is open.
    pub fn open_id(&self) -> Option<u64> {
        self.open
    }

    /// A text frame came.
    pub fn on_text(&mut self, now_ms: i64, text: &str, out: &mut Vec<Output>) {
        if self.closed {
            return;
        }
        self.last_frame_ms = now_ms;
        match read_inbound(text) {
            Ok(frame) => self.on_frame(frame, out),
            Err(problem) => {
                out.push(Output::Tell(Event::Ignored(problem)));
                self.malformed += 1;
                if self.malformed >= MALFORMED_MAX {
                    self.end(Output::Close(CLOSE_NOT_TEXT), out);
                }
            }
        }
    }

    /// A binary frame came, which Retell never sends.
    pub fn on_binary(&mut self, out: &mut Vec<Output>) {
        self.end(Output::Close(CLOSE_NOT_TEXT), out);
    }

    /// Time passed. Call it at [`Self::deadline_ms`] or often.
    pub fn on_tick(&mut self, now_ms: i64, out: &mut Vec<Output>) {
        if now_ms >= self.deadline_ms() {
            self.end(Output::Drop, out);
        }
    }

    /// When the socket counts as lost unless a frame comes.
    pub fn deadline_ms(&self) -> i64 {
        self.last_frame_ms.saturating_add(SILENCE_MS_MAX)
    }

    /// From here to its end the open answer cannot be interrupted: for words the law wants heard, such as that a call is recorded.
    pub fn keep_floor(&mut self) {
        self.uninterruptible = self.open.is_some();
    }

    /// A piece of the answer under `response_id`. Spaces between pieces are part of them.
    ///
    /// # Errors
    /// [`Refusal::NotOpen`] when nobody waits for it any more.
    pub fn say(&mut self, response_id: u64, words: &str, out: &mut Vec<Output>) -> Result<(), Refusal> {
        self.wanted(response_id)?;
        if !words.is_empty() {
            self.send(response_id, words, false, Actions::default(), out);
        }
        Ok(())
    }

    /// The last piece, perhaps empty, and what follows once all of it was spoken. Also after an error: an answer that is never completed
    /// leaves the caller in silence.
    ///
    /// # Errors
    /// [`Refusal::NotOpen`] when nobody waits for it any more; [`Refusal::Unfit`] for a target or key that does not exist, and then the
    /// response stays open.
    pub fn complete(
        &mut self,
        response_id: u64,
        words: &str,
        then: &Then,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        self.wanted(response_id)?;
        let actions = actions(then)?;
        self.send(response_id, words, true, actions, out);
        Ok(())
    }

    /// A piece of words nobody asked for, which stop whatever is spoken: a person's whisper that cannot wait, a hand-over. The first piece takes back
    /// an open response; further pieces of the same interruption continue it until one is `last`.
    ///
    /// # Errors
    /// [`Refusal::Unfit`] as in [`Self::complete`].
    pub fn interrupt(&mut self, words: &str, last: bool, then: &Then, out: &mut Vec<Output>) -> Result<(), Refusal> {
        if self.closed {
            return Err(Refusal::NotOpen);
        }
        let actions = if last { actions(then)? } else { Actions::default() };
        if !self.interrupting {
            self.interrupts += 1;
            self.supersede(out);
        }
        self.interrupting = !last;
        let frame = Outbound::AgentInterrupt {
            interrupt_id: self.interrupts,
            content: words.to_owned(),
            content_complete: last,
            no_interruption_allowed: Some(true),
            actions,
        };
        out.push(Output::Send(frame.to_text()));
        Ok(())
    }

    /// A tool starts: it stands in Retell's transcript.
    pub fn tool_started(&self, id: &str, name: &str, arguments: &serde_json::Value, out: &mut Vec<Output>) {
        let arguments = arguments.to_string();
        self.send_frame(&Outbound::ToolCallInvocation { tool_call_id: id.into(), name: name.into(), arguments }, out);
    }

    /// A tool came back.
    pub fn tool_finished(&self, id: &str, content: &str, successful: bool, out: &mut Vec<Output>) {
        let frame =
            Outbound::ToolCallResult { tool_call_id: id.into(), content: content.into(), successful: Some(successful) };
        self.send_frame(&frame, out);
    }

    /// Changes how the voice behaves.
    ///
    /// # Errors
    /// When a value is outside of what Retell takes.
    pub fn update_agent(&self, agent_config: AgentConfig, out: &mut Vec<Output>) -> Result<(), Unfit> {
        let unit = |field, value: Option<f64>| match value {
            Some(value) if !(0.0..=1.0).contains(&value) => Err(Unfit::new(field, "must be between 0 and 1")),
            Some(_) | None => Ok(()),
        };
        unit("responsiveness", agent_config.responsiveness)?;
        unit("interruption_sensitivity", agent_config.interruption_sensitivity)?;
        if agent_config.reminder_trigger_ms == Some(0) {
            return Err(Unfit::new("reminder_trigger_ms", "must be above 0"));
        }
        self.send_frame(&Outbound::UpdateAgent { agent_config }, out);
        Ok(())
    }

    /// Hangs up at once, in mid-word: the call ends as `agent_hangup`.
    pub fn hang_up(&mut self, out: &mut Vec<Output>) {
        self.end(Output::Close(CLOSE_HANG_UP), out);
    }

    /// Leaves the call to another node: the connection ends without a close frame, and Retell comes back with the same call id.
    pub fn let_go(&mut self, out: &mut Vec<Output>) {
        self.end(Output::Drop, out);
    }

    fn on_frame(&mut self, frame: Inbound, out: &mut Vec<Output>) {
        match frame {
            Inbound::PingPong { timestamp } => {
                // A ping without a time can only be answered with one of our own making; Retell looks at when it comes, not at what it says.
                let timestamp = timestamp.unwrap_or(self.last_frame_ms);
                out.push(Output::Send(Outbound::PingPong { timestamp }.to_text()));
            }
            Inbound::CallDetails { call } => out.push(Output::Tell(Event::Details(call))),
            Inbound::UpdateOnly { transcript, turntaking } => {
                out.push(Output::Tell(Event::Update { transcript: transcript.newest(), turntaking }));
            }
            Inbound::ResponseRequired { response_id, transcript } => {
                self.on_request(response_id, false, transcript, out)
            }
            Inbound::ReminderRequired { response_id, transcript } => {
                self.on_request(response_id, true, transcript, out)
            }
            Inbound::Unknown => {}
        }
    }

    fn on_request(&mut self, response_id: u64, reminder: bool, transcript: Transcript, out: &mut Vec<Output>) {
        // Asked twice under one id, or late: the newer one is under way or done, and a second answer would be spoken twice.
        if self.latest.is_some_and(|latest| response_id <= latest) {
            return;
        }
        self.supersede(out);
        self.interrupting = false;
        self.latest = Some(response_id);
        self.open = Some(response_id);
        out.push(Output::Tell(Event::Asked { response_id, reminder, transcript: transcript.newest() }));
    }

    fn supersede(&mut self, out: &mut Vec<Output>) {
        self.uninterruptible = false;
        if let Some(response_id) = self.open.take() {
            out.push(Output::Tell(Event::Superseded { response_id }));
        }
    }

    fn wanted(&self, response_id: u64) -> Result<(), Refusal> {
        if !self.closed && self.open == Some(response_id) { Ok(()) } else { Err(Refusal::NotOpen) }
    }

    fn send(
        &mut self,
        response_id: u64,
        content: &str,
        content_complete: bool,
        actions: Actions,
        out: &mut Vec<Output>,
    ) {
        let uninterruptible = self.uninterruptible;
        if content_complete {
            self.open = None;
            self.uninterruptible = false;
        }
        let frame = Outbound::Response {
            response_id,
            content: content.to_owned(),
            content_complete,
            no_interruption_allowed: uninterruptible.then_some(true),
            actions,
        };
        out.push(Output::Send(frame.to_text()));
    }

    fn send_frame(&self, frame: &Outbound, out: &mut Vec<Output>) {
        if !self.closed {
            out.push(Output::Send(frame.to_text()));
        }
    }

    fn end(&mut self, how: Output, out: &mut Vec<Output>) {
        if !std::mem::replace(&mut self.closed, true) {
            self.supersede(out);
            out.push(how);
        }
    }
}

fn actions(then: &Then) -> Result<Actions, Unfit> {
    match then {
        Then::Listen => Ok(Actions::default()),
        Then::HangUp => Ok(Actions { end_call: Some(true), ..Actions::default() }),
        Then::Transfer { to, show_caller } if colloquy_domain::check::is_e164(to) => Ok(Actions {
            transfer_number: Some(to.clone()),
            show_transferee_as_caller: show_caller.then_some(true),
            ..Actions::default()
        }),
        Then::Transfer { .. } => {
            Err(Unfit::new("transfer_number", "must be an international number such as +14155550100"))
        }
        Then::Press(key) if key.is_ascii_digit() || matches!(key, '*' | '#') => {
            Ok(Actions { digit_to_press: Some(key.to_string()), ..Actions::default() })
        }
        Then::Press(_) => Err(Unfit::new("digit_to_press", "must be 0 to 9, * or #")),
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
