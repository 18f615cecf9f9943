//! Speech in words every provider shares: what was heard, and what is fit to be spoken.

pub mod answer;
pub mod plain;
pub mod sentences;

/// What a speech-to-text provider tells about a caller's turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The caller began to speak.
    Started,
    /// Words so far; they may still change.
    Partial(String),
    /// The caller has probably finished; an answer may be prepared.
    Eager(String),
    /// The caller went on after all: what was prepared is void.
    Resumed,
    /// The caller has finished.
    Ended(String),
}
