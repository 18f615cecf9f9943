//! The inbox entity: what one person has read in one organization, of conversations and of notices. It holds no words of anybody, only where they stand.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::decision::Decision;
use crate::ids::ConversationId;
use crate::principal::Actor;
use crate::rejection::Rejection;

/// The entity's kind in keys; its id is the person's.
pub const KIND: &str = "inbox";
/// Conversations with a mark of their own: months of work. With more the oldest count as read.
const MARKS_MAX: usize = 5_000;
/// Marks that are told to the person's other screens: more change at once only where nobody looks.
const RECENT_MAX: usize = 20;

/// Notices that are known as read one by one: as many as a bulletin keeps.
const SEEN_MAX: usize = crate::bulletin::KEPT_MAX;

/// Which notices were read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// All up to this one.
    pub upto: u64,
    /// When that was said last, Unix milliseconds.
    pub upto_ms: i64,
    /// Further ones, with when, Unix milliseconds. In pairs on the wire: integer keys cannot be read back from inside a tagged reply.
    #[serde(with = "pairs")]
    pub single: BTreeMap<u64, i64>,
}

/// A map as a list of pairs.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<u64, i64>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u64, i64>, D::Error> {
        Vec::<(u64, i64)>::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
    }
}

impl Seen {
    /// When a notice was read, Unix milliseconds.
    pub fn at(&self, seq: u64) -> Option<i64> {
        self.single.get(&seq).copied().or_else(|| (seq <= self.upto).then_some(self.upto_ms))
    }
}

/// How far one conversation was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Read up to this place; 0: marked unread.
    pub seq: u64,
    /// When the conversation began, Unix milliseconds.
    pub started_ms: i64,
}

/// What somebody has read: the answer of a conversation's unread count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Marks {
    /// By conversation.
    pub of: BTreeMap<ConversationId, Mark>,
    /// What began before this and has no mark counts as read, Unix milliseconds.
    pub read_before_ms: i64,
}

impl Marks {
    /// How far a conversation was read that began then.
    pub fn read(&self, conversation: &ConversationId, started_ms: i64) -> u64 {
        match self.of.get(conversation) {
            Some(mark) => mark.seq,
            None if started_ms < self.read_before_ms => u64::MAX,
            None => 0,
        }
    }

    fn put(&mut self, conversation: &ConversationId, mark: Mark) {
        self.of.insert(conversation.clone(), mark);
        while self.of.len() > MARKS_MAX {
            let oldest = self.of.iter().min_by_key(|(_, mark)| mark.started_ms);
            let Some((id, mark)) = oldest.map(|(id, mark)| (id.clone(), *mark)) else { return };
            self.of.remove(&id);
            self.read_before_ms = self.read_before_ms.max(mark.started_ms.saturating_add(1));
        }
    }
}

/// One person's inbox in one organization.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inbox {
    /// How far each conversation was read.
    pub marks: Marks,
    /// The marks that changed last, oldest first.
    pub recent: VecDeque<(ConversationId, u64)>,
    /// Which notices were read.
    pub seen: Seen,
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// A conversation was read up to a place; a mark never goes back.
    Read {
        /// Which.
        conversation: ConversationId,
        /// Up to where.
        seq: u64,
        /// When the conversation began, Unix milliseconds.
        started_ms: i64,
    },
    /// A conversation is to count as unread.
    Unread {
        /// Which.
        conversation: ConversationId,
        /// When it began, Unix milliseconds.
        started_ms: i64,
    },
    /// All marks.
    Marks,
    /// Notices were read: these, and all up to one.
    See {
        /// Which.
        seqs: Vec<u64>,
        /// Up to which; 0 for none.
        upto: u64,
    },
    /// Which notices were read.
    Seen,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A mark changed.
    Marked {
        /// Of which conversation.
        conversation: ConversationId,
        /// To what.
        mark: Mark,
    },
    /// Notices were read.
    Saw {
        /// Which.
        seqs: Vec<u64>,
        /// All up to this one, too.
        upto: u64,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
    /// All marks.
    Marks {
        /// Them.
        marks: Marks,
    },
    /// Which notices were read.
    Seen {
        /// Them.
        seen: Seen,
    },
}

/// Decides a command. Whose inbox it is stands in its key, which the entity compares with who asks.
///
/// # Errors
/// `NotFound` for anyone but a person or the service itself.
pub fn decide(state: &Inbox, cx: &Context, command: Command) -> Result<Decision<Event, Reply>, Rejection> {
    match &cx.principal.actor {
        Actor::User { .. } | Actor::System => {}
        Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::Platform { .. } => {
            return Err(Rejection::not_found(KIND));
        }
    }
    match command {
        Command::Read { conversation, seq, started_ms } => {
            if state.marks.read(&conversation, started_ms) >= seq {
                return Ok(Decision::reply(Reply::Done));
            }
            Ok(Decision::event(Event::Marked { conversation, mark: Mark { seq, started_ms } }, Reply::Done))
        }
        Command::Unread { conversation, started_ms } => {
            if state.marks.read(&conversation, started_ms) == 0 {
                return Ok(Decision::reply(Reply::Done));
            }
            Ok(Decision::event(Event::Marked { conversation, mark: Mark { seq: 0, started_ms } }, Reply::Done))
        }
        Command::Marks => Ok(Decision::reply(Reply::Marks { marks: state.marks.clone() })),
        Command::See { mut seqs, upto } => {
            seqs.retain(|seq| state.seen.at(*seq).is_none());
            seqs.truncate(SEEN_MAX);
            if seqs.is_empty() && upto <= state.seen.upto {
                return Ok(Decision::reply(Reply::Done));
            }
            Ok(Decision::event(Event::Saw { seqs, upto }, Reply::Done))
        }
        Command::Seen => Ok(Decision::reply(Reply::Seen { seen: state.seen.clone() })),
    }
}

/// Folds one event.
pub fn apply(state: &mut Inbox, event: &Event, _seq: u64, at_ms: i64) {
    match event {
        Event::Marked { conversation, mark } => {
            state.marks.put(conversation, *mark);
            state.recent.retain(|(id, _)| id != conversation);
            state.recent.push_back((conversation.clone(), mark.seq));
            if state.recent.len() > RECENT_MAX {
                state.recent.pop_front();
            }
        }
        Event::Saw { seqs, upto } => {
            let seen = &mut state.seen;
            for seq in seqs {
                seen.single.insert(*seq, at_ms);
            }
            if *upto > seen.upto {
                (seen.upto, seen.upto_ms) = (*upto, at_ms);
                // Those have one time together from here on.
                seen.single.retain(|seq, _| seq > upto);
            }
            while seen.single.len() > SEEN_MAX {
                seen.single.pop_first();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::{Principal, Role};

    struct Person {
        state: Inbox,
        seq: u64,
    }

    impl Person {
        fn new() -> Self {
            Self { state: Inbox::default(), seq: 0 }
        }

        fn does(&mut self, command: Command) -> usize {
            let principal = Principal {
                tenant: "t".into(),
                actor: Actor::User { id: "u".into(), role: Role::Viewer, name: String::new() },
            };
            let cx = Context { now_ms: 1, seq: self.seq, seed: [0; 32], principal };
            let decision = decide(&self.state, &cx, command).expect("allowed");
            for event in &decision.events {
                self.seq += 1;
                apply(&mut self.state, event, self.seq, 1);
            }
            decision.events.len()
        }

        fn read(&mut self, id: &str, seq: u64, started_ms: i64) -> usize {
            self.does(Command::Read { conversation: ConversationId(id.into()), seq, started_ms })
        }

        fn has_read(&self, id: &str, started_ms: i64) -> u64 {
            self.state.marks.read(&ConversationId(id.into()), started_ms)
        }
    }

    #[test]
    fn a_mark_never_goes_back_but_a_conversation_can_be_marked_unread() {
        let mut person = Person::new();
        assert_eq!((person.read("c", 5, 1), person.read("c", 5, 1), person.read("c", 3, 1)), (1, 0, 0));
        assert_eq!(person.has_read("c", 1), 5);
        let unread = || Command::Unread { conversation: ConversationId("c".into()), started_ms: 1 };
        assert_eq!((person.does(unread()), person.does(unread())), (1, 0));
        assert_eq!(person.has_read("c", 1), 0);
        assert_eq!(person.read("c", 2, 1), 1, "and read again");
        assert_eq!(person.state.recent, [(ConversationId("c".into()), 2)]);
    }

    #[test]
    fn notices_are_read_one_by_one_or_all_at_once_and_only_once() {
        let mut person = Person::new();
        let see = |seqs: &[u64], upto| Command::See { seqs: seqs.to_vec(), upto };
        assert_eq!((person.does(see(&[3, 5], 0)), person.does(see(&[5], 0))), (1, 0));
        assert_eq!([3, 4, 5].map(|seq| person.state.seen.at(seq).is_some()), [true, false, true]);
        let reply = Reply::Seen { seen: person.state.seen.clone() };
        let told = serde_json::to_vec(&reply).expect("plain data");
        assert_eq!(serde_json::from_slice::<Reply>(&told).expect("it is read back"), reply);
        assert_eq!((person.does(see(&[], 9)), person.does(see(&[4], 8))), (1, 0));
        assert_eq!([4, 9, 10].map(|seq| person.state.seen.at(seq).is_some()), [true, true, false]);
        assert!(person.state.seen.single.is_empty());
    }

    #[test]
    fn with_too_many_marks_the_oldest_conversations_count_as_read() {
        let mut person = Person::new();
        for n in 0..MARKS_MAX as i64 + 3 {
            person.read(&format!("c{n}"), 7, n);
        }
        assert_eq!(person.state.marks.of.len(), MARKS_MAX);
        assert_eq!(person.has_read("c0", 0), u64::MAX);
        assert_eq!(person.has_read("c3", 3), 7);
        assert_eq!(person.has_read("new", 9_999_999), 0);
        assert_eq!(person.state.recent.len(), RECENT_MAX);
        let unread = Command::Unread { conversation: ConversationId("c0".into()), started_ms: 0 };
        assert_eq!(person.does(unread), 1, "an old one can still be marked unread");
    }
}
