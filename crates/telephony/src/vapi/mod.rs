//! Vapi: it calls us as if we were an OpenAI endpoint, and posts what happens.
//!
//! [`chat`] is what it asks, [`stream`] how it is answered, [`server`] what it posts, [`secret`] how we know that it is Vapi,
//! [`rest`] what we ask it.

pub mod chat;
pub mod rest;
pub mod secret;
pub mod server;
pub mod stream;
