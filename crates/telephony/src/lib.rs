//! Voice and message providers: their protocols as codecs and machines without IO, and their REST calls as plain data.
//!
//! Nothing here opens a socket, reads a clock or waits. A machine takes what came in and the time, and says what is to be sent and told; a
//! request is method, path, headers and body; an answer is status and bytes. Whoever owns the sockets drives it.
//!
//! Reading order: [`error`], [`proof`] and [`rest`] are shared; [`call`] is what became of a call for every carrier; [`audio`] and [`speech`]
//! are sound and words; [`turn`] decides who speaks where the audio is ours; then one folder per provider.

pub mod audio;
pub mod call;
pub mod deepgram;
pub mod elevenlabs;
pub mod error;
mod json;
pub mod openai_realtime;
pub mod proof;
pub mod rest;
pub mod retell;
pub mod speech;
pub mod turn;
pub mod twilio;
pub mod vapi;
pub mod whatsapp;

#[cfg(test)]
mod arbitrary;

pub use json::TEXT_BYTES_MAX;
