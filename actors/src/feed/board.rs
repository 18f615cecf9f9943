//! One board: entries by key, changed between ticks, told as one delta a tick with a number that rises by one.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Deltas kept for dashboards that come back after a short break: ten seconds' worth at one a tick.
const KEPT: usize = 200;
/// Private entries remembered as told; beyond it some are told twice, which changes nothing.
const TOLD_MAX: usize = 10_000;

/// What a tick tells of a board, or its head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// The contract's name of the board.
    pub topic: String,
    /// The number after it.
    pub seq: u64,
    /// `{op, key, value?}`, in order; empty for a head.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Value>,
    /// The same for one person's screens only, by user. Others get the number all the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub private: BTreeMap<String, Vec<Value>>,
}

impl Update {
    /// The number a board is at, told so that a lost last delta is noticed.
    pub(crate) fn head(topic: &str, seq: u64) -> Self {
        Self { topic: topic.to_owned(), seq, changes: Vec::new(), private: BTreeMap::new() }
    }
}

struct Entry {
    at_ms: i64,
    /// The entity's sequence number it reflects; 0 where the board computes it itself.
    seq: u64,
    value: Value,
}

/// A board.
pub(crate) struct Board {
    seq: u64,
    entries: BTreeMap<String, Entry>,
    changed: BTreeSet<String>,
    kept: VecDeque<Update>,
    /// What was told to one person's screens last, so that it is told once; by user and key.
    told: HashMap<(String, String), Value>,
    private: BTreeMap<String, Vec<Value>>,
}

impl Board {
    /// Empty, at a number.
    pub(crate) fn new(seq: u64) -> Self {
        Self {
            seq,
            entries: BTreeMap::new(),
            changed: BTreeSet::new(),
            kept: VecDeque::new(),
            told: HashMap::new(),
            private: BTreeMap::new(),
        }
    }

    /// The number of the last delta.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// Puts an entry unless a newer one of its entity is there; with more than `most` the oldest leaves.
    pub(crate) fn put(&mut self, key: String, at_ms: i64, seq: u64, value: Value, most: usize) {
        if let Some(entry) = self.entries.get(&key)
            && (entry.seq > seq || entry.value == value)
        {
            return;
        }
        self.changed.insert(key.clone());
        self.entries.insert(key, Entry { at_ms, seq, value });
        if self.entries.len() > most
            && let Some(oldest) = self.entries.iter().min_by_key(|(_, entry)| entry.at_ms).map(|(key, _)| key.clone())
        {
            self.remove(&oldest);
        }
    }

    /// Puts an entry for one person's screens. It is in no snapshot: whoever makes one for the person adds what is theirs.
    pub(crate) fn put_private(&mut self, user: &str, key: String, value: Value) {
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        let place = (user.to_owned(), key.clone());
        if self.told.insert(place, value.clone()).as_ref() != Some(&value) {
            let change = json!({ "op": "put", "key": key, "value": value });
            self.private.entry(user.to_owned()).or_default().push(change);
        }
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, key: &str) {
        if self.entries.remove(key).is_some() {
            self.changed.insert(key.to_owned());
        }
    }

    /// Forgets the deltas kept for those who come back: they get a snapshot.
    pub(crate) fn forget_deltas(&mut self) {
        self.kept.clear();
    }

    /// Takes what there is as known: nobody follows yet.
    pub(crate) fn settle(&mut self) {
        self.changed.clear();
        self.private.clear();
    }

    /// The delta since the last tick, if anything changed.
    pub(crate) fn flush(&mut self, topic: &str) -> Option<Update> {
        if self.changed.is_empty() && self.private.is_empty() {
            return None;
        }
        let changes = std::mem::take(&mut self.changed)
            .into_iter()
            .map(|key| match self.entries.get(&key) {
                Some(entry) => json!({ "op": "put", "key": key, "value": entry.value }),
                None => json!({ "op": "remove", "key": key }),
            })
            .collect();
        self.seq += 1;
        let private = std::mem::take(&mut self.private);
        let update = Update { topic: topic.to_owned(), seq: self.seq, changes, private };
        self.kept.push_back(update.clone());
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
        Some(update)
    }

    /// The deltas after `seq`; `None` when they are not all known any more.
    pub(crate) fn since(&self, seq: u64) -> Option<Vec<Update>> {
        if seq == self.seq {
            return Some(Vec::new());
        }
        let from = self.kept.iter().position(|update| update.seq == seq + 1)?;
        Some(self.kept.iter().skip(from).cloned().collect())
    }

    /// All entries by key. What changed since the last tick is among them and is told again: putting it twice changes nothing.
    pub(crate) fn data(&self) -> Value {
        let entries: Map<String, Value> =
            self.entries.iter().map(|(key, entry)| (key.clone(), entry.value.clone())).collect();
        Value::Object(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        Board::new(100)
    }

    #[test]
    fn changes_between_ticks_are_one_delta() {
        let mut board = board();
        board.put("a".into(), 1, 1, json!(1), 10);
        board.put("a".into(), 1, 2, json!(2), 10);
        board.put("b".into(), 2, 1, json!(1), 10);
        let update = board.flush("leads").unwrap();
        assert_eq!((update.seq, update.changes.len()), (101, 2));
        assert_eq!(update.changes[0], json!({ "op": "put", "key": "a", "value": 2 }));
        assert!(board.flush("leads").is_none());
    }

    #[test]
    fn the_same_value_again_is_no_change() {
        let mut board = board();
        board.put("a".into(), 1, 1, json!(1), 10);
        board.flush("leads");
        board.put("a".into(), 1, 1, json!(1), 10);
        assert!(board.flush("leads").is_none());
    }

    #[test]
    fn an_older_row_never_replaces_a_newer_one() {
        let mut board = board();
        board.put("a".into(), 1, 5, json!("new"), 10);
        board.put("a".into(), 1, 4, json!("old"), 10);
        assert_eq!(board.data(), json!({ "a": "new" }));
    }

    #[test]
    fn the_oldest_leaves_a_full_board() {
        let mut board = board();
        for n in 0..4 {
            board.put(format!("k{n}"), n, 1, json!(n), 3);
        }
        assert_eq!(board.data(), json!({ "k1": 1, "k2": 2, "k3": 3 }));
    }

    #[test]
    fn a_short_break_is_made_up_for_and_a_long_one_is_not() {
        let mut board = board();
        for n in 0..(KEPT as i64 + 10) {
            board.put("k".into(), 0, 0, json!(n), 3);
            board.flush("overview");
        }
        let head = board.seq();
        assert_eq!(board.since(head), Some(Vec::new()));
        let missed = board.since(head - 5).unwrap();
        assert_eq!(missed.iter().map(|update| update.seq).collect::<Vec<_>>(), (head - 4..=head).collect::<Vec<_>>());
        assert_eq!(board.since(101), None);
        assert_eq!(board.since(head + 1), None);
    }

    #[test]
    fn what_is_one_persons_is_told_once_and_is_in_no_snapshot() {
        let mut board = board();
        board.put_private("ann", "read:c".into(), json!({ "seq": 3 }));
        board.put_private("ann", "read:c".into(), json!({ "seq": 3 }));
        let told = board.flush("conversations").expect("a change");
        assert_eq!((told.seq, told.changes.len(), told.private["ann"].len()), (101, 0, 1));
        assert_eq!(board.data(), json!({}));
        board.put_private("ann", "read:c".into(), json!({ "seq": 3 }));
        assert_eq!(board.flush("conversations"), None, "nothing new");
        assert_eq!(board.since(100), Some(vec![told]), "who comes back is told too");
    }

    #[test]
    fn what_was_erased_is_in_no_delta_that_is_told_again() {
        let mut board = board();
        board.put("a".into(), 1, 1, json!({ "name": "Ann" }), 10);
        let told = board.flush("leads").expect("a change");
        board.remove("a");
        board.forget_deltas();
        assert_eq!(board.since(told.seq - 1), None, "who comes back gets a snapshot");
        let removed = board.flush("leads").expect("a change");
        assert_eq!(removed.changes, [json!({ "op": "remove", "key": "a" })]);
        assert_eq!(board.since(told.seq), Some(vec![removed]));
        assert_eq!(board.data(), json!({}));
    }
}
