//! Full-text search over a tenant's conversations: what stands at rest of their words, and how a query finds them.
//!
//! A conversation has one row of keyed hashes of its words and of their beginnings. A query looks through the rows of its tenant, newest first;
//! that costs time with their number, up to a limit a page, and a message one more row: lists by word would answer faster and cost a message dozens of
//! rows. Hashes may collide: what they let through is read and compared word by word, which also says where the words stand.

mod query;
mod words;

pub use query::{Found, find};
pub(crate) use words::{LIST, Words};
