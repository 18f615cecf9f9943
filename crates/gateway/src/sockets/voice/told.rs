//! What a call's line hears, and what a provider's socket is told to do.

use colloquy_actors::ActorError;
use colloquy_actors::cluster::client::Watch;
use colloquy_actors::domain::call::script::Next;
use colloquy_actors::domain::conversation::Posted;

/// What came in of a watch; to be handed to [`super::Line::take`].
pub(in crate::sockets) enum Raw {
    /// Of the conversation.
    Talk(Option<Watch>),
    /// Of the call.
    News(Option<Watch>),
    /// The caller's words stand, or could not be brought there.
    Posted(Result<Posted, ActorError>),
    /// The caller has been waiting.
    Waits,
    /// It is time to say that the call goes on here.
    Beat,
    /// All words of an answer were given out: what follows is to be looked up.
    Close,
}

/// What a provider's socket is to do.
#[derive(Debug)]
pub(in crate::sockets) enum Told {
    /// Speak these sentences of the open answer.
    Say(Vec<String>),
    /// Speak these, with which the open answer is complete; then what follows.
    Done(Vec<String>, Next),
    /// The open answer will not come from us: a person has the floor.
    Silent,
    /// A person of the business says this, at once.
    Person(String),
    /// Somebody of the business has the call handed on.
    Transfer {
        /// To whom, E.164.
        to: String,
        /// What is said first.
        words: String,
    },
    /// Somebody of the business hangs up.
    HangUp,
    /// The call is over.
    Over,
    /// Another socket carries it.
    Replaced,
}
