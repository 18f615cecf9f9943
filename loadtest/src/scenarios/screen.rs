//! A dashboard's screen: snapshot and deltas of the overview folded into what a manager sees, with the counters found in it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use colloquy_wire::live::LiveServer;
use serde_json::{Map, Value};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Parsed frames kept for the other screens: they all get the same bytes within a tick or two.
const FRAMES_KEPT: usize = 64;

/// What a screen shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Screen {
    data: Map<String, Value>,
    seq: Option<u64>,
    /// Frames that came out of their order.
    pub(crate) jumps: u64,
    /// Times the server said that something was missed.
    pub(crate) gaps: u64,
}

/// Frames parsed once for a thousand screens, or else the generator would be what is measured.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    kept: Mutex<VecDeque<(Utf8Bytes, Arc<LiveServer>)>>,
}

impl Frames {
    /// A frame's meaning; none for kinds that are not known.
    pub(crate) fn parse(&self, text: &Utf8Bytes) -> Option<Arc<LiveServer>> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, frame)) = kept().iter().rev().find(|(bytes, _)| bytes == text) {
            return Some(Arc::clone(frame));
        }
        let frame: Arc<LiveServer> = Arc::new(serde_json::from_str(text).ok()?);
        let mut kept = kept();
        if kept.len() >= FRAMES_KEPT {
            kept.pop_front();
        }
        kept.push_back((text.clone(), Arc::clone(&frame)));
        Some(frame)
    }
}

impl Screen {
    /// Shows a frame.
    pub(crate) fn show(&mut self, frame: &LiveServer) {
        match frame {
            LiveServer::Snapshot { seq, data, .. } => {
                self.data = data.as_object().cloned().unwrap_or_default();
                self.seq = Some(*seq);
            }
            LiveServer::Delta { seq, changes, .. } => {
                match self.seq {
                    // The head is repeated once a second, so that a lost last delta is noticed: it changes nothing.
                    Some(last) if *seq <= last => return,
                    Some(last) if *seq == last + 1 => {}
                    Some(_) | None => self.jumps += 1,
                }
                self.seq = Some(*seq);
                for change in changes {
                    match (change.op.as_str(), &change.value) {
                        ("put", Some(value)) => {
                            self.data.insert(change.key.clone(), value.clone());
                        }
                        ("remove", _) => {
                            self.data.remove(&change.key);
                        }
                        (_, _) => {}
                    }
                }
            }
            LiveServer::Gap { .. } => self.gaps += 1,
            LiveServer::Error { .. } => {}
        }
    }

    /// Whether anything has been shown yet.
    pub(crate) fn is_lit(&self) -> bool {
        self.seq.is_some()
    }

    /// A counter by its path, such as `messages` or `24h/messages`.
    pub(crate) fn counter(&self, path: &str) -> Option<i64> {
        let mut parts = path.split('/');
        let first = self.data.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))?.as_i64()
    }

    /// Every whole number on the screen by its path.
    pub(crate) fn counters(&self) -> BTreeMap<String, i64> {
        let mut found = BTreeMap::new();
        for (key, value) in &self.data {
            collect(key.clone(), value, &mut found);
        }
        found
    }
}

/// The counter that rose by one between two screens and names messages; several may have (by window), the first is as good as any.
pub(crate) fn rising_counter(before: &Screen, after: &Screen) -> Option<String> {
    let earlier = before.counters();
    let rose = after
        .counters()
        .into_iter()
        .filter(|(path, value)| earlier.get(path).copied().unwrap_or_default() + 1 == *value);
    let mut rose: Vec<String> = rose.map(|(path, _)| path).collect();
    rose.sort_by_key(|path| (!path.ends_with("messages"), !path.contains("message"), path.len()));
    rose.into_iter().next()
}

fn collect(path: String, value: &Value, found: &mut BTreeMap<String, i64>) {
    match value {
        Value::Number(number) => {
            if let Some(number) = number.as_i64() {
                found.insert(path, number);
            }
        }
        Value::Object(fields) => fields.iter().for_each(|(key, value)| collect(format!("{path}/{key}"), value, found)),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn frame(value: Value) -> LiveServer {
        serde_json::from_value(value).expect("frame")
    }

    fn put(seq: u64, key: &str, value: Value) -> LiveServer {
        frame(
            json!({ "type": "delta", "topic": "overview", "seq": seq, "changes": [{ "op": "put", "key": key, "value": value }] }),
        )
    }

    fn lit() -> Screen {
        let mut screen = Screen::default();
        screen.show(&frame(json!({ "type": "snapshot", "topic": "overview", "seq": 7, "data": { "messages": 3, "24h": { "turns": 2, "rate": 0.5 } } })));
        screen
    }

    #[test]
    fn deltas_change_what_the_snapshot_showed() {
        let mut screen = lit();
        assert!(screen.is_lit());
        screen.show(&put(8, "messages", json!(4)));
        screen.show(&put(9, "24h", json!({ "turns": 3 })));
        screen.show(&frame(json!({ "type": "delta", "topic": "overview", "seq": 10, "changes": [{ "op": "remove", "key": "messages" }] })));
        assert_eq!((screen.counter("messages"), screen.counter("24h/turns"), screen.jumps), (None, Some(3), 0));
    }

    #[test]
    fn a_repeated_head_changes_nothing_and_a_hole_is_counted() {
        let mut screen = lit();
        screen.show(&put(7, "messages", json!(1)));
        assert_eq!((screen.counter("messages"), screen.jumps), (Some(3), 0));
        screen.show(&put(9, "messages", json!(5)));
        assert_eq!((screen.counter("messages"), screen.jumps), (Some(5), 1));
        screen.show(&frame(json!({ "type": "gap", "topic": "overview" })));
        assert_eq!(screen.gaps, 1);
    }

    #[test]
    fn the_counter_of_messages_is_found_whatever_surrounds_it() {
        let before = lit();
        let mut after = lit();
        assert_eq!(rising_counter(&before, &after), None);
        after.show(&put(8, "24h", json!({ "turns": 3, "messages": 1 })));
        after.show(&put(9, "conversations", json!(1)));
        assert_eq!(rising_counter(&before, &after).as_deref(), Some("24h/messages"));
    }

    #[test]
    fn equal_frames_are_parsed_once_and_few_are_kept() {
        let frames = Frames::default();
        let text = |seq: usize| {
            Utf8Bytes::from(json!({ "type": "delta", "topic": "overview", "seq": seq, "changes": [] }).to_string())
        };
        let first = frames.parse(&text(0)).expect("frame");
        assert!(Arc::ptr_eq(&first, &frames.parse(&text(0)).expect("frame")));
        (0..FRAMES_KEPT * 3).for_each(|seq| drop(frames.parse(&text(seq))));
        assert!(frames.kept.lock().unwrap().len() <= FRAMES_KEPT);
        assert!(frames.parse(&Utf8Bytes::from_static("{\"type\":\"new\"}")).is_none());
    }
}
