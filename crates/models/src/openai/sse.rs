//! Server-sent events as model providers send them: frames a byte stream into JSON values, whatever the bytes are.

use serde_json::Value;

/// The longest event: tokens are some bytes, a whole answer with tool calls some kilobytes.
const EVENT_BYTES_MAX: usize = 256 * 1024;

/// One event of a provider's stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// A JSON value.
    Json(Value),
    /// `[DONE]`.
    Done,
    /// Something that is no JSON, or is longer than any event.
    Broken,
}

/// Cuts a byte stream into events. Keeps at most one event in memory.
#[derive(Debug, Default)]
pub(super) struct Framer {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    overlong: bool,
    after_cr: bool,
}

impl Framer {
    /// Takes what arrived and appends the events that are complete.
    pub(super) fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        for &byte in bytes {
            match byte {
                // "\r\n" is one line end.
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    self.end_line(events);
                }
                _ => {
                    self.after_cr = false;
                    if self.line.len() + self.data.len() < EVENT_BYTES_MAX {
                        self.line.push(byte);
                    } else {
                        self.overlong = true;
                    }
                }
            }
        }
    }

    /// The stream is over. A last event without its blank line counts when it is whole; a torn one is no event.
    pub(super) fn finish(&mut self, events: &mut Vec<Event>) {
        if !self.line.is_empty() {
            self.end_line(events);
        }
        let mut last = Vec::new();
        self.end_event(&mut last);
        events.extend(last.into_iter().filter(|event| *event != Event::Broken));
    }

    fn end_line(&mut self, events: &mut Vec<Event>) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            self.end_event(events);
        } else if let Some(value) = line.strip_prefix(b"data:") {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            self.has_data = true;
        }
        // Comments (keep-alives), `event:`, `id:` and unknown fields say nothing we need.
    }

    fn end_event(&mut self, events: &mut Vec<Event>) {
        let data = std::mem::take(&mut self.data);
        let has_data = std::mem::take(&mut self.has_data);
        if std::mem::take(&mut self.overlong) {
            events.push(Event::Broken);
        } else if has_data && data.trim_ascii() == b"[DONE]" {
            events.push(Event::Done);
        } else if has_data && !data.trim_ascii().is_empty() {
            events.push(serde_json::from_slice(&data).map_or(Event::Broken, Event::Json));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn frame(parts: &[&[u8]]) -> Vec<Event> {
        let mut framer = Framer::default();
        let mut events = Vec::new();
        for part in parts {
            framer.push(part, &mut events);
        }
        framer.finish(&mut events);
        events
    }

    #[test]
    fn events_are_found_however_they_are_written() {
        let one = || vec![Event::Json(json!({"a": 1}))];
        let cases: Vec<(&str, Vec<Event>)> = vec![
            ("data: {\"a\":1}\n\n", one()),
            ("data:{\"a\":1}\n\n", one()),
            ("data: {\"a\":1}\r\n\r\n", one()),
            ("data: {\"a\":1}\r\r", one()),
            ("data: {\"a\":1}", one()),
            ("data: {\"a\":1}\n", one()),
            ("data: {\ndata: \"a\":1}\n\n", one()),
            (": keep-alive\n\nevent: chunk\nid: 7\ndata: {\"a\":1}\n\n", one()),
            ("data: [DONE]\n\n", vec![Event::Done]),
            ("data: {\"a\":\n\n", vec![Event::Broken]),
            ("data: {\"a\":", vec![]),
            ("<html>busy</html>\n\n", vec![]),
            ("data:\n\n", vec![]),
            ("", vec![]),
        ];
        for (text, expected) in cases {
            assert_eq!(frame(&[text.as_bytes()]), expected, "{text:?}");
        }
    }

    #[test]
    fn an_endless_event_is_broken_and_the_next_one_is_read() {
        let mut long = b"data: \"".to_vec();
        long.resize(EVENT_BYTES_MAX * 3, b'x');
        long.extend_from_slice(b"\"\n\ndata: [DONE]\n\n");
        assert_eq!(frame(&[&long]), vec![Event::Broken, Event::Done]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_framed_the_same_however_they_are_split(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just("data: ".as_bytes().to_vec()), Just(b"\n".to_vec()), Just(b"\r\n".to_vec()), Just(b"{\"a\":[1]}".to_vec()),
                    Just(b"[DONE]".to_vec()), proptest::collection::vec(any::<u8>(), 0..12),
                ], 0..40),
            size in 1_usize..9,
        ) {
            let bytes = pieces.concat();
            let split: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(frame(&split), frame(&[&bytes]));
        }
    }
}
