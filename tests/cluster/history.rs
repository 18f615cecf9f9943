//! The checker outside the system: what was invoked and how it ended, compared at the end with what the cluster has stored and shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::nodes::Cluster;
use crate::support::eventually;
use crate::support::people::{Member, number, text};
use crate::support::screen::{Recount, Screen, kind_of};

/// By the issue: no turn is left unanswered.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
/// Live boards are rebuilt after a take-over, and compared on every frontend.
const COUNTED_WITHIN: Duration = Duration::from_secs(30);

/// What a visitor was told about a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) conversation: String,
    /// The message's own sequence number, where the client is told.
    pub(crate) seq: Option<u64>,
    /// The answer's id and words.
    pub(crate) answer: Option<(String, String)>,
}

/// How an attempt ended.
enum Step {
    Invoke {
        frontend: usize,
    },
    Ok,
    /// The system promises that nothing happened.
    Fail(String),
    /// It may have happened.
    Unknown(String),
}

struct Message {
    words: String,
    begun: Instant,
    ended: Option<Instant>,
    steps: Vec<(Duration, Step)>,
    told: Option<Told>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invoke { frontend } => write!(f, "invoke at frontend {frontend}"),
            Self::Ok => write!(f, "ok"),
            Self::Fail(why) => write!(f, "fail: {why}"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, told {:?}", self.words, self.told)?;
        self.steps.iter().try_for_each(|(at, step)| write!(f, "\n    {:>9.3} s  {step}", at.as_secs_f64()))
    }
}

impl Message {
    fn answered(&self) -> bool {
        self.told.as_ref().is_some_and(|told| told.answer.is_some())
    }
}

/// Everything that visitors did, by client message id.
pub(crate) struct History {
    begun: Instant,
    messages: Mutex<BTreeMap<String, Message>>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), messages: Mutex::default() }
    }

    /// An attempt begins.
    pub(crate) fn invoke(&self, id: &str, words: &str, frontend: usize) {
        self.change(id, Step::Invoke { frontend }, words, |_| {});
    }

    /// The message is acknowledged, perhaps with its answer.
    pub(crate) fn ok(&self, id: &str, told: Told) {
        self.change(id, Step::Ok, "", |message| {
            message.ended.get_or_insert_with(Instant::now);
            let Some(known) = &mut message.told else {
                message.told = Some(told);
                return;
            };
            assert_eq!(known.conversation, told.conversation, "message {id} in two conversations");
            assert!(
                known.seq.is_none() || told.seq.is_none() || known.seq == told.seq,
                "message {id} was acknowledged as {:?} and as {:?}",
                known.seq,
                told.seq
            );
            known.seq = known.seq.or(told.seq);
            known.answer = known.answer.take().or(told.answer);
        });
    }

    /// The attempt was refused, and by the refusal nothing happened.
    pub(crate) fn fail(&self, id: &str, why: &str) {
        self.change(id, Step::Fail(why.to_owned()), "", |_| {});
    }

    /// The attempt ended without a word on what happened.
    pub(crate) fn unknown(&self, id: &str, why: &str) {
        self.change(id, Step::Unknown(why.to_owned()), "", |_| {});
    }

    /// Messages that are answered.
    pub(crate) fn answered(&self) -> usize {
        self.locked().values().filter(|message| message.answered()).count()
    }

    /// The longest time from a message's first attempt to its acknowledgement.
    pub(crate) fn slowest(&self) -> Duration {
        let messages = self.locked();
        messages.values().filter_map(|message| Some(message.ended? - message.begun)).max().unwrap_or_default()
    }

    /// Attempts that ended as unknown.
    pub(crate) fn unknowns(&self) -> usize {
        let messages = self.locked();
        messages
            .values()
            .flat_map(|message| &message.steps)
            .filter(|(_, step)| matches!(step, Step::Unknown(_)))
            .count()
    }

    /// Attempts that were refused.
    pub(crate) fn fails(&self) -> usize {
        let messages = self.locked();
        messages.values().flat_map(|message| &message.steps).filter(|(_, step)| matches!(step, Step::Fail(_))).count()
    }

    /// What happened to a message, for a test's last words.
    pub(crate) fn story(&self, id: &str) -> String {
        self.locked().get(id).map(|message| message.to_string()).unwrap_or_default()
    }

    fn change(&self, id: &str, step: Step, words: &str, change: impl FnOnce(&mut Message)) {
        let at = self.begun.elapsed();
        let mut messages = self.locked();
        let message = messages.entry(id.to_owned()).or_insert_with(|| Message {
            words: words.to_owned(),
            begun: Instant::now(),
            ended: None,
            steps: Vec::new(),
            told: None,
        });
        message.steps.push((at, step));
        change(message);
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares every message with what is stored; how many there are, and how many were answered.
    fn compare(&self, stored: &Stored) -> (usize, usize) {
        let messages = self.locked();
        let mut lost = 0;
        for (id, message) in messages.iter() {
            let wrong = stored.wrong(id, message);
            if let Some(wrong) = wrong {
                eprintln!("message {id}: {wrong}\n  {message}");
                lost += 1;
            }
        }
        assert_eq!(lost, 0, "of {} messages (see above)", messages.len());
        let answered = messages.values().filter(|message| message.answered()).count();
        let all = messages.len();
        let waited = |message: &&Message| message.ended.map(|ended| ended - message.begun);
        if let Some(slowest) = messages.values().max_by_key(waited) {
            eprintln!("the slowest: {slowest}");
        }
        (all, answered)
    }

    /// Compares everything with what is stored and shown, through the frontends of these nodes.
    pub(crate) async fn check(&self, cluster: &Cluster, owner: &Member, places: &[usize]) {
        let owner = owner.at(&cluster.nodes[places[0]]);
        let stored = Stored::read(&owner).await;
        let (all, answered) = self.compare(&stored);
        for &place in places {
            stored.shown_by(cluster, &owner, place).await;
        }
        eprintln!(
            "{all} messages, {answered} answered, {} attempts unknown, {} refused, the slowest after {:?}: {} conversations with {} messages stored, none lost, none doubled",
            self.unknowns(),
            self.fails(),
            self.slowest(),
            stored.conversations.len(),
            stored.recount.messages
        );
    }
}

/// What the cluster has.
struct Stored {
    /// By conversation, its messages as the console shows them.
    conversations: BTreeMap<String, Vec<Value>>,
    /// By client message id, where it stands.
    posted: BTreeMap<String, (String, u64)>,
    recount: Recount,
}

impl Stored {
    /// Reads everything and checks what holds for each conversation by itself.
    async fn read(owner: &Member) -> Self {
        let listed = owner.api.list("/api/conversations").await;
        let ids: BTreeSet<String> = listed.iter().map(|conversation| text(conversation, "id")).collect();
        assert_eq!(ids.len(), listed.len(), "a conversation is listed twice");
        let mut stored = Self { conversations: BTreeMap::new(), posted: BTreeMap::new(), recount: Recount::default() };
        let mut said: BTreeMap<String, String> = BTreeMap::new();
        let deadline = Instant::now() + ANSWERED_WITHIN;
        for id in ids {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
            let shown = owner.settled(&id, left).await;
            let all = shown["messages"].as_array().expect("messages").clone();
            let journal = owner.journal(&id).await;
            stored.whole(&id, &shown, &journal);
            let seq = number(&shown["conversation"], "seq");
            let replayed = owner.api.get(&format!("/api/conversations/{id}/replay?at={seq}")).await.expect(200);
            assert_eq!(replayed["state_hash"], shown["conversation"]["state_hash"], "conversation {id}");
            for message in all.iter().filter(|message| message["role"] == "user") {
                let before = said.insert(text(message, "content"), id.clone());
                assert!(before.is_none(), "said once, stored twice, in {before:?} and {id}: {message}");
            }
            stored.recount.add(&journal, u64::MAX);
            stored.conversations.insert(id, all);
        }
        stored
    }

    /// A conversation's journal has no gap and no interleaved epochs, each message once, and question and answer in turn.
    fn whole(&mut self, id: &str, shown: &Value, journal: &[Value]) {
        let seqs: Vec<u64> = journal.iter().map(|entry| number(entry, "seq")).collect();
        assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "conversation {id}: a gap among {seqs:?}");
        let epochs: Vec<u64> = journal.iter().map(|entry| number(entry, "epoch")).collect();
        assert!(epochs.is_sorted(), "conversation {id}: interleaved epochs {epochs:?}");
        for entry in journal.iter().filter(|entry| kind_of(entry) == "posted") {
            let Some(client_message_id) = entry["event"]["client_message_id"].as_str() else {
                panic!("conversation {id}: a message without its client's id: {entry}");
            };
            let place = (id.to_owned(), number(entry, "seq"));
            let before = self.posted.insert(client_message_id.to_owned(), place);
            assert!(
                before.is_none(),
                "message {client_message_id} is stored twice: {before:?} and {id} at {}",
                entry["seq"]
            );
        }
        let all = shown["messages"].as_array().expect("messages");
        let roles: Vec<&str> = all.iter().map(|message| message["role"].as_str().unwrap_or_default()).collect();
        assert!(
            roles.chunks(2).all(|pair| pair == ["user", "assistant"]),
            "conversation {id} is not question and answer in turn: {roles:?}"
        );
        let ids: BTreeSet<&str> = all.iter().filter_map(|message| message["id"].as_str()).collect();
        assert_eq!(ids.len(), all.len(), "conversation {id} shows a message twice");
    }

    /// What is wrong with a message, if something is.
    fn wrong(&self, id: &str, message: &Message) -> Option<String> {
        let found = self.posted.get(id);
        let Some(told) = &message.told else {
            let refused = message.steps.iter().all(|(_, step)| !matches!(step, Step::Unknown(_)));
            // An attempt that was broken off has neither been refused nor ended as unknown.
            let ends = message.steps.iter().filter(|(_, step)| !matches!(step, Step::Invoke { .. })).count();
            let complete = ends * 2 == message.steps.len();
            return (refused && complete && found.is_some())
                .then(|| "every attempt was refused, yet it is stored".to_owned());
        };
        let Some((conversation, seq)) = found else { return Some("acknowledged and lost".to_owned()) };
        if *conversation != told.conversation {
            return Some(format!("acknowledged in {}, stored in {conversation}", told.conversation));
        }
        if told.seq.is_some_and(|told| told != *seq) {
            return Some(format!("acknowledged as {:?}, stored as {seq}", told.seq));
        }
        let all = &self.conversations[conversation];
        let own = |shown: &&Value| shown["seq"] == json!(seq) && shown["content"] == json!(message.words);
        if !all.iter().any(|shown| own(&shown)) {
            return Some(format!("not its own words at {seq}"));
        }
        let (answer, words) = told.answer.as_ref()?;
        let same: Vec<&Value> = all.iter().filter(|shown| shown["id"] == json!(answer)).collect();
        match *same {
            [shown] if shown["content"] != json!(words) => {
                Some(format!("its answer changed after it was given: {shown}"))
            }
            [shown] if number(shown, "seq") <= *seq => Some(format!("its answer came before it: {shown}")),
            [_] => None,
            _ => Some(format!("its answer is stored {} times", same.len())),
        }
    }

    /// The numbers on a frontend's screens are those of the journals.
    async fn shown_by(&self, cluster: &Cluster, owner: &Member, place: usize) {
        let server = &cluster.nodes[place];
        let owner = owner.at(server);
        let (conversations, messages) = (self.recount.conversations, self.recount.messages);
        eventually(
            &format!("frontend {place} counts {conversations} conversations, {messages} messages"),
            COUNTED_WITHIN,
            async || {
                let seen = owner.api.get("/api/analytics/overview?window=24h").await;
                (seen.status == 200
                    && seen.body["total_conversations"] == conversations
                    && seen.body["messages"] == messages)
                    .then_some(())
            },
        )
        .await;
        let screen = Screen::open(server, &owner, "overview").await;
        assert_eq!(
            (screen.count("total_conversations"), screen.count("messages")),
            (conversations, messages),
            "the live board of frontend {place}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A conversation of one question and its answer, and its journal under these epochs.
    fn checked(epochs: &[u64], ids: &[&str]) {
        let journal: Vec<Value> = (1..)
            .zip(epochs.iter().zip(ids))
            .map(|(seq, (epoch, id))| {
                json!({ "seq": seq, "epoch": epoch, "event": { "type": "posted", "client_message_id": id } })
            })
            .collect();
        let messages = json!([{ "id": "a", "role": "user" }, { "id": "b", "role": "assistant" }]);
        let mut stored =
            Stored { conversations: BTreeMap::new(), posted: BTreeMap::new(), recount: Recount::default() };
        stored.whole("c", &json!({ "messages": messages }), &journal);
    }

    #[test]
    fn the_checker_takes_a_journal_whose_owner_changed() {
        checked(&[1, 1, 3, 4], &["m1", "m2", "m3", "m4"]);
    }

    #[test]
    #[should_panic(expected = "interleaved epochs [1, 3, 1, 3]")]
    fn the_checker_finds_an_owner_that_wrote_after_its_successor() {
        checked(&[1, 3, 1, 3], &["m1", "m2", "m3", "m4"]);
    }

    #[test]
    #[should_panic(expected = "message m1 is stored twice")]
    fn the_checker_finds_a_message_that_is_stored_twice() {
        checked(&[1, 1], &["m1", "m1"]);
    }

    #[test]
    #[should_panic(expected = "1 messages (see above)")]
    fn the_checker_finds_an_acknowledged_message_that_is_lost() {
        let history = History::new();
        history.invoke("m1", "words", 0);
        history.ok("m1", Told { conversation: "c".to_owned(), ..Told::default() });
        history.compare(&Stored {
            conversations: BTreeMap::new(),
            posted: BTreeMap::new(),
            recount: Recount::default(),
        });
    }
}
