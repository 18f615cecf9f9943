//! From a website address to an index that answers: crawl, extract, chunk, embed, index, retrieve.
//!
//! A library without actors and without storage: its caller drives it and keeps the results. In reading order:
//!
//! * [`crawl`] walks a site politely and hands over pages as they arrive;
//! * [`extract`] turns HTML, PDF, DOCX and text into one [`extract::Document`] with Markdown;
//! * [`chunk`] cuts Markdown into overlapping chunks that know their headings;
//! * [`faq`] finds questions a text answers itself;
//! * [`embed`] turns chunks into vectors, in process or at a provider;
//! * [`index`] holds one agent's chunks and answers queries with scores and a confidence;
//! * [`snippet`] picks the sentences of a chunk that answer a query;
//! * [`rephrase`] asks again in other words.

pub mod chunk;
pub mod crawl;
pub mod embed;
mod error;
pub mod extract;
pub mod faq;
mod http;
pub mod index;
pub mod rephrase;
pub mod snippet;
pub mod words;

pub use error::Error;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;
