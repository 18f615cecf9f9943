//! Full-text search over a tenant's conversations: what stands at rest of their words, and how a query finds them.
//!
//! A conversation has one row in a list of the tenant for each beginning of three letters that its words have. The list is one of
//! [`BUCKETS`], named by a keyed hash of that beginning; the row holds keyed hashes of the words and of their longer beginnings. So a query reads
//! the few lists of its words side by side, newest first, and jumps over what the rarest leaves out. Hashes may collide: what they let
//! through is read and compared word by word, which also says where the words stand.

mod query;
mod words;

pub use query::{Found, find};
pub(crate) use words::{Words, is_words};
