//! OpenAI Realtime: the tokens browsers get, the socket beside a call, and the events on it.

pub mod commands;
pub mod events;
pub mod rest;
