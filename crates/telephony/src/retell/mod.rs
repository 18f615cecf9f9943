//! Retell AI: the custom-LLM socket it opens to us, its webhooks, and its REST interface.
//!
//! Reading order: [`frames`] is what crosses the socket; [`session`] is our side of it as a machine; [`target`] reads the call id out of the
//! address and the meaning of close codes; [`signature`] and [`webhook`] are what it posts; [`object`] is a call as it describes it;
//! [`rest`] and [`settings`] are what we ask of it.

pub mod frames;
pub mod object;
pub mod rest;
pub mod session;
pub mod settings;
pub mod signature;
pub mod target;
pub mod webhook;
