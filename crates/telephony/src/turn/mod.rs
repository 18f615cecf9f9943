//! Turn-taking where we own the audio: when the caller has finished, when an answer may begin, when the caller interrupts, and what was heard.
//!
//! Reading order: [`settings`] is what can be tuned; [`words`] tells small sounds from words and finished sentences from unfinished ones;
//! [`floor`] is the machine. It knows no provider: speech-to-text, model, voice and line bring inputs and carry out outputs.

pub mod floor;
pub mod settings;
pub mod words;
