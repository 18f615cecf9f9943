//! Keys that a caller presses: those that follow each other are one thing said.

use std::time::Duration;

use tokio::time::Instant;

/// Keys belong together that follow each other within this time.
const WITHIN: Duration = Duration::from_millis(2_500);
/// The most keys that are kept: a long number with its country.
const KEYS_MAX: usize = 32;
/// What the key 0 says by itself.
const OPERATOR: &str = "I would like to speak with a person.";

/// What was pressed so far.
#[derive(Debug, Default)]
pub(super) struct Keys {
    keys: String,
    until: Option<Instant>,
}

impl Keys {
    /// A key. The words it completes, if it is `#`.
    pub(super) fn press(&mut self, key: char) -> Option<String> {
        if key == '#' {
            return self.take();
        }
        if self.keys.len() < KEYS_MAX && (key.is_ascii_digit() || matches!(key, '*' | 'A'..='D')) {
            self.keys.push(key);
            self.until = Some(Instant::now() + WITHIN);
        }
        None
    }

    /// When they are complete unless another one is pressed.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// What they say; nothing if none was pressed.
    pub(super) fn take(&mut self) -> Option<String> {
        self.until = None;
        let keys = std::mem::take(&mut self.keys);
        match keys.as_str() {
            "" => None,
            "0" => Some(OPERATOR.to_owned()),
            _ => Some(keys),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keys_are_one_thing_said_until_a_pause_or_the_hash_key() {
        let mut keys = Keys::default();
        assert_eq!((keys.press('#'), keys.until()), (None, None));
        for key in "2175550133".chars() {
            assert_eq!(keys.press(key), None);
        }
        assert_eq!(keys.until(), Some(Instant::now() + WITHIN));
        assert_eq!(keys.press('#').as_deref(), Some("2175550133"));
        assert_eq!(keys.until(), None);
        keys.press('0');
        assert_eq!(keys.take().as_deref(), Some(OPERATOR), "the key that everybody knows");
        (0..100).for_each(|_| drop(keys.press('1')));
        assert_eq!(keys.take().map(|keys| keys.len()), Some(KEYS_MAX));
    }
}
