//! What a command leads to: the facts to journal and the answer.

/// What a command leads to. No event means nothing changes and nothing is journaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<E, R> {
    /// Facts to journal, in order.
    pub events: Vec<E>,
    /// The answer, given once the facts are durable.
    pub reply: R,
}

impl<E, R> Decision<E, R> {
    /// Several facts and the answer to them.
    pub fn new(events: Vec<E>, reply: R) -> Self {
        Self { events, reply }
    }

    /// An answer that changes nothing: a query, or a command that was already carried out.
    pub fn reply(reply: R) -> Self {
        Self { events: Vec::new(), reply }
    }

    /// One fact and the answer to it.
    pub fn event(event: E, reply: R) -> Self {
        Self { events: vec![event], reply }
    }
}
