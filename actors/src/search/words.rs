//! What stands at rest of a conversation's words: a row of keyed hashes, computed anew only for messages that are new.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use colloquy_cluster::store::rows::Row;
use colloquy_domain::conversation::State;
use colloquy_domain::ids::{ConversationId, MessageId, TenantId};
use colloquy_domain::text::search::{Sought, terms};

/// The shortest beginning that is found by its hash.
const BEGINNING_CHARS_MIN: usize = 3;
/// The shortest word with a hash: single letters and digits are in everything.
const WORD_CHARS_MIN: usize = 2;
/// The longest beginning with a hash of its own; of a longer one its first so many letters are looked up, the rest is compared.
const PREFIX_CHARS_MAX: usize = 12;
/// Different words of one message that can be found: the longest message that a visitor may send has about 700.
const PER_MESSAGE_MAX: usize = 512;
/// Hashes of one conversation, about five a word: more words than anybody uses in an hour of talk. Its row stays below 24 KB whatever is written,
/// and is written anew with every message.
const PER_CONVERSATION_MAX: usize = 8_000;
/// Conversations whose hashes are kept in memory, so that a message costs its own words only: those of late, and as many of before. One takes
/// about 1 KB.
const KEPT_OF_LATE_MAX: usize = 4_000;
/// The list of what stands at rest of words.
pub(crate) const LIST: &str = "words";

/// Three bytes of a keyed hash: what they let through by chance, one conversation of many thousand, is compared word by word anyway.
pub(super) type Mark = [u8; 3];

/// Names words where they stand at rest.
pub(crate) struct Words {
    secret: [u8; 32],
    kept: Mutex<KeptOnes>,
}

/// What was computed before; only time is lost with it.
#[derive(Default)]
struct KeptOnes {
    late: HashMap<Place, Kept>,
    before: HashMap<Place, Kept>,
}

type Place = (TenantId, ConversationId);

/// The hashes of a conversation's messages so far.
#[derive(Default)]
struct Kept {
    messages: usize,
    newest: Option<MessageId>,
    /// In order, each once.
    marks: Vec<Mark>,
}

/// A tenant's key: the same word has another name elsewhere.
struct Namer([u8; 32]);

impl Namer {
    fn name(&self, tag: &str, word: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(tag.as_bytes()).update(word.as_bytes());
        *hasher.finalize().as_bytes()
    }

    fn mark(&self, tag: &str, word: &str) -> Mark {
        let name = self.name(tag, word);
        [name[0], name[1], name[2]]
    }

    fn whole(&self, word: &str) -> Mark {
        self.mark("word:", word)
    }

    fn prefix(&self, word: &str) -> Mark {
        self.mark("from:", beginning(word, PREFIX_CHARS_MAX))
    }
}

/// The first characters of a word.
fn beginning(word: &str, chars: usize) -> &str {
    word.char_indices().nth(chars).map_or(word, |(at, _)| &word[..at])
}

impl Words {
    /// With the installation's secret.
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { secret, kept: Mutex::default() }
    }

    fn namer(&self, tenant: &TenantId) -> Namer {
        Namer(*blake3::keyed_hash(&self.secret, tenant.as_str().as_bytes()).as_bytes())
    }

    /// A conversation's row of hashes, beside its row in the list of conversations.
    pub(crate) fn row(&self, listed: &Row, state: &State) -> Row {
        Row { list: LIST.to_owned(), body: Some(Bytes::from(self.marks(state))), numbers: None, ..listed.clone() }
    }

    /// A function of the state alone; what was computed for it before only saves time.
    fn marks(&self, state: &State) -> Vec<u8> {
        let place = (state.tenant.clone(), state.id.clone());
        let of_this = |kept: &Kept| {
            let before = kept.messages.checked_sub(1).and_then(|at| state.messages.get(at));
            kept.newest == before.map(|message| message.id.clone())
        };
        let mut kept = self.lock().take(&place).filter(of_this).unwrap_or_default();
        if kept.messages < state.messages.len() {
            let namer = self.namer(&state.tenant);
            for message in &state.messages[kept.messages..] {
                kept.learn(&namer, &message.content);
            }
            kept.messages = state.messages.len();
            kept.newest = state.messages.last().map(|message| message.id.clone());
            kept.marks.shrink_to_fit();
        }
        let bytes = kept.marks.concat();
        self.lock().keep(place, kept);
        bytes
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, KeptOnes> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hashes that a row has of a conversation in which the words of a query occur. None for a query of words that are too short for that:
    /// conversations are read one by one then.
    pub(super) fn wanted(&self, tenant: &TenantId, sought: &Sought) -> Vec<Mark> {
        let namer = self.namer(tenant);
        let words = sought.words().iter().filter(|word| word.chars().count() >= WORD_CHARS_MIN);
        let mut wanted: Vec<Mark> = words.map(|word| namer.whole(word)).collect();
        if sought.last().chars().count() >= BEGINNING_CHARS_MIN {
            wanted.push(namer.prefix(sought.last()));
        }
        wanted
    }
}

impl KeptOnes {
    fn take(&mut self, place: &Place) -> Option<Kept> {
        self.late.remove(place).or_else(|| self.before.remove(place))
    }

    fn keep(&mut self, place: Place, kept: Kept) {
        if self.late.len() >= KEPT_OF_LATE_MAX {
            self.before = std::mem::take(&mut self.late);
        }
        self.late.insert(place, kept);
    }
}

impl Kept {
    /// Adds the words of a message.
    fn learn(&mut self, namer: &Namer, text: &str) {
        let mut here = HashSet::new();
        let mut new = Vec::new();
        for term in terms(text) {
            if here.len() >= PER_MESSAGE_MAX || self.marks.len() + new.len() >= PER_CONVERSATION_MAX {
                break;
            }
            let word = term.folded;
            let length = word.chars().count();
            if length < WORD_CHARS_MIN || here.contains(&word) {
                continue;
            }
            new.push(namer.whole(&word));
            new.extend(
                (BEGINNING_CHARS_MIN..=length.min(PREFIX_CHARS_MAX)).map(|chars| namer.prefix(beginning(&word, chars))),
            );
            here.insert(word);
        }
        self.marks.append(&mut new);
        self.marks.sort_unstable();
        self.marks.dedup();
    }
}

#[cfg(test)]
mod tests {
    use colloquy_domain::conversation::Message;
    use colloquy_domain::vocabulary::{Channel, MessageRole};

    use super::*;

    fn said(seq: u64, text: &str) -> Message {
        Message {
            id: MessageId(format!("m{seq}")),
            seq,
            role: MessageRole::User,
            whisper: false,
            author: None,
            channel: Channel::Chat,
            content: text.to_owned(),
            attachments: Vec::new(),
            files: Vec::new(),
            call: None,
            unheard: None,
            voicemail: false,
            typed: false,
            sources: Vec::new(),
            confidence: None,
            prompt: None,
            turn: None,
            at_ms: 0,
            thumbs_up: None,
            feedback: None,
            tokens: None,
            latency_ms: None,
            used: false,
            fallback: false,
        }
    }

    fn talk(texts: &[&str]) -> State {
        let messages = texts.iter().zip(1..).map(|(text, seq)| said(seq, text)).collect();
        State { id: ConversationId("c".into()), tenant: TenantId::from("t"), messages, ..State::default() }
    }

    fn words() -> Words {
        Words::new([7; 32])
    }

    fn has(words: &Words, state: &State, query: &str) -> bool {
        let marks = words.marks(state);
        let wanted = words.wanted(&state.tenant, &Sought::parse(query).unwrap());
        !wanted.is_empty() && wanted.iter().all(|mark| marks.chunks(3).any(|one| one == mark))
    }

    #[test]
    fn words_and_beginnings_are_found_by_their_hashes() {
        let (words, state) = (words(), talk(&["The Boiler leaks", "Extraordinarily wet"]));
        for query in ["boiler leaks", "leaks boi", "boil", "extraordinarily", "extraordinarilyxx wet", "the wet"] {
            assert_eq!(has(&words, &state, query), query != "extraordinarilyxx wet", "{query}");
        }
        assert!(!has(&words, &state, "boil leaks"), "only the last may be a beginning");
        assert!(!has(&words, &state, "dry"));
    }

    #[test]
    fn what_is_kept_of_earlier_messages_changes_nothing() {
        let texts = ["one two three", "four five", "six seven eight nine", "ten"];
        let kept = words();
        for upto in 0..=texts.len() {
            let state = talk(&texts[..upto]);
            assert_eq!(kept.marks(&state), words().marks(&state), "{upto} messages");
        }
        let other = talk(&["something else altogether"]);
        assert_eq!(kept.marks(&other), words().marks(&other), "another conversation under the same name");
    }

    #[test]
    fn what_is_kept_is_bounded_and_those_of_late_stay() {
        let words = words();
        let of = |n: usize| State { id: ConversationId(format!("c{n}")), ..talk(&["something said"]) };
        for n in 0..3 * KEPT_OF_LATE_MAX {
            words.marks(&of(n));
            words.marks(&of(0));
        }
        let kept = words.lock();
        assert!(kept.late.len() + kept.before.len() <= 2 * KEPT_OF_LATE_MAX);
        let place = (TenantId::from("t"), ConversationId("c0".into()));
        assert!(kept.late.contains_key(&place) || kept.before.contains_key(&place));
    }

    #[test]
    fn no_word_stands_in_a_row_and_each_tenant_has_its_own_names() {
        let (words, mut state) = (words(), talk(&["zanzibar marker"]));
        let listed = Row {
            tenant: "t".into(),
            list: "conversations".into(),
            at_ms: 1,
            id: "c".into(),
            seq: 1,
            view_version: 1,
            body: None,
            numbers: None,
        };
        let row = words.row(&listed, &state);
        assert!(!format!("{row:?}").contains("zan"));
        let own = words.marks(&state);
        state.tenant = TenantId::from("u");
        assert_ne!(words.marks(&state), own);
    }

    #[test]
    fn a_flood_of_words_is_cut_off() {
        let flood: String = (0..100_000).map(|n| format!("w{n:x} ")).collect();
        let marks = words().marks(&talk(&[&flood]));
        assert!(marks.len() / 3 <= PER_MESSAGE_MAX * PREFIX_CHARS_MAX, "{}", marks.len());
        let flood: Vec<String> = (0..100).map(|m| (0..500).map(|n| format!("w{m}x{n} ")).collect::<String>()).collect();
        let all = words().marks(&talk(&flood.iter().map(String::as_str).collect::<Vec<_>>()));
        assert!(all.len() / 3 < PER_CONVERSATION_MAX + PREFIX_CHARS_MAX, "{}", all.len());
    }
}
