//! WhatsApp's Cloud API: the challenge, the signature, what comes in, the 24-hour rule, and what is sent.

pub mod incoming;
pub mod rest;
pub mod verify;
pub mod window;
