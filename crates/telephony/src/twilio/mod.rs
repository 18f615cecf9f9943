//! Twilio: signed requests, TwiML, calls, media and relay sockets, text messages.
//!
//! Reading order: [`form`] and [`signature`] are how it asks; [`twiml`] is how it is answered; [`callbacks`] and [`progress`] are what it tells
//! about calls, in whatever order; [`media`], [`playback`] and [`relay`] are its sockets; [`messages`], [`receipts`] and [`keywords`] are text
//! messages; [`rest`], [`calls`] and [`outgoing`] are what we ask of it.

pub mod callbacks;
pub mod calls;
pub mod form;
pub mod keywords;
pub mod media;
pub mod messages;
pub mod outgoing;
pub mod playback;
pub mod progress;
pub mod receipts;
pub mod relay;
pub mod rest;
pub mod signature;
pub mod twiml;
