//! What a caller has heard of the audio we sent, told from the marks that come back.
//!
//! A mark stands behind each segment of speech. Its echo means "played" until we send `clear`; after that every pending mark is echoed too,
//! though its audio was thrown away, and the echo does not say which. So what was pending at that moment is kept, and of the segment that was
//! just being played the clock says how much was heard.

use std::collections::VecDeque;

/// How many segments may wait at once: at two seconds each, two minutes of speech, more than any turn.
pub const SEGMENTS_MAX: usize = 64;
/// Bytes of µ-law at 8 kHz per ms.
pub const BYTES_PER_MS: u64 = 8;
/// What was sent longer ago than this much beyond its length counts as played although no echo came, ms: an echo that is lost must not keep
/// a whole turn out of the history.
const ECHO_LATE_MS: i64 = 5_000;

/// A segment of speech that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The mark behind it.
    pub mark: String,
    /// Its words.
    pub text: String,
    /// Its length.
    pub duration_ms: u64,
}

/// What of a segment was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The segment.
    pub segment: Segment,
    /// How much of it; its whole length when it was played out.
    pub played_ms: u64,
}

impl Heard {
    /// Whether it was played out.
    pub fn whole(&self) -> bool {
        self.played_ms >= self.segment.duration_ms
    }

    /// The words heard, cut at a word's end in proportion to the time. Where the voice tells when it says which character, that is better:
    /// see the alignment of ElevenLabs.
    pub fn words(&self) -> &str {
        let text = self.segment.text.as_str();
        if self.whole() {
            return text;
        }
        let chars = text.chars().count() as u64;
        let heard = usize::try_from(chars * self.played_ms / self.segment.duration_ms.max(1)).unwrap_or(usize::MAX);
        let end = text.char_indices().nth(heard).map_or(text.len(), |(at, _)| at);
        // A word that was begun was not heard.
        let cut = text[..end].rfind(char::is_whitespace).unwrap_or(0);
        text[..cut].trim_end()
    }
}

/// The line of segments between us and the caller's ear.
#[derive(Clone, Debug, Default)]
pub struct Playback {
    pending: VecDeque<Segment>,
    /// Marks whose echo only says that they were thrown away.
    dropped: VecDeque<String>,
    /// When the first pending segment began to be played.
    began_ms: i64,
    /// When everything sent so far will have been played.
    idle_from_ms: i64,
}

impl Playback {
    /// Nothing was sent yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A segment and its mark were sent. `false` when too many wait: then it must not be sent.
    pub fn on_sent(&mut self, segment: Segment, now_ms: i64) -> bool {
        if self.pending.len() >= SEGMENTS_MAX {
            return false;
        }
        if self.pending.is_empty() {
            self.began_ms = now_ms;
        }
        self.idle_from_ms = self.idle_from_ms.max(now_ms).saturating_add_unsigned(segment.duration_ms);
        self.pending.push_back(segment);
        true
    }

    /// A mark came back. The segments that were thereby heard, in order; none for a mark that was thrown away or is not ours.
    pub fn on_mark(&mut self, name: &str, now_ms: i64) -> Vec<Heard> {
        if let Some(at) = self.dropped.iter().position(|mark| mark == name) {
            self.dropped.remove(at);
            return Vec::new();
        }
        let Some(at) = self.pending.iter().position(|segment| segment.mark == name) else { return Vec::new() };
        self.began_ms = now_ms;
        // Marks come back in order, so an earlier one whose echo is missing was played too.
        self.pending.drain(..=at).map(|segment| Heard { played_ms: segment.duration_ms, segment }).collect()
    }

    /// We send `clear` now. All that was pending, with how much of it was heard by the clock: whole segments first, then at most one in part,
    /// then those of which nothing was.
    pub fn on_clear(&mut self, now_ms: i64) -> Vec<Heard> {
        let mut elapsed = u64::try_from(now_ms.saturating_sub(self.began_ms)).unwrap_or(0);
        let mut heard = Vec::new();
        for segment in self.pending.drain(..) {
            if self.dropped.len() >= SEGMENTS_MAX {
                self.dropped.pop_front(); // Its echo never came; it would only be an unknown mark.
            }
            self.dropped.push_back(segment.mark.clone());
            let played_ms = elapsed.min(segment.duration_ms);
            elapsed -= played_ms;
            heard.push(Heard { segment, played_ms });
        }
        self.idle_from_ms = now_ms;
        heard
    }

    /// Segments whose echo is overdue, which therefore count as heard.
    pub fn on_tick(&mut self, now_ms: i64) -> Vec<Heard> {
        if self.pending.is_empty() || now_ms < self.idle_from_ms.saturating_add(ECHO_LATE_MS) {
            return Vec::new();
        }
        self.pending.drain(..).map(|segment| Heard { played_ms: segment.duration_ms, segment }).collect()
    }

    /// Whether the caller hears us now, as far as we know.
    pub fn is_playing(&self) -> bool {
        !self.pending.is_empty()
    }

    /// How much speech is still to be heard, ms.
    pub fn remaining_ms(&self, now_ms: i64) -> u64 {
        if self.is_playing() { u64::try_from(self.idle_from_ms.saturating_sub(now_ms)).unwrap_or(0) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(mark: &str, text: &str, duration_ms: u64) -> Segment {
        Segment { mark: mark.into(), text: text.into(), duration_ms }
    }

    fn sent(at_ms: i64) -> Playback {
        let mut playback = Playback::new();
        assert!(playback.on_sent(segment("a", "We are open", 1000), at_ms));
        assert!(playback.on_sent(segment("b", "from nine to five on weekdays", 2000), at_ms));
        assert!(playback.on_sent(segment("c", "and closed on Sundays", 1500), at_ms));
        playback
    }

    fn words(heard: &[Heard]) -> Vec<&str> {
        heard.iter().map(Heard::words).collect()
    }

    #[test]
    fn a_mark_that_comes_back_was_heard_and_one_after_clear_was_not() {
        let mut playback = sent(0);
        assert_eq!(words(&playback.on_mark("a", 1_020)), ["We are open"]);
        let heard = playback.on_clear(2_020);
        assert_eq!(words(&heard), ["from nine to", ""], "half of it, cut at a word, and nothing of the next");
        assert!(!heard[0].whole() && !playback.is_playing());
        assert!(playback.on_mark("b", 2_100).is_empty() && playback.on_mark("c", 2_100).is_empty());
    }

    #[test]
    fn an_echo_that_was_on_its_way_when_we_cleared_was_heard_by_the_clock() {
        let mut playback = sent(0);
        let heard = playback.on_clear(1_050);
        assert_eq!((words(&heard), heard[0].whole()), (vec!["We are open", "", ""], true));
        assert!(playback.on_mark("a", 1_060).is_empty(), "and is not heard again");
    }

    #[test]
    fn lost_echoes_do_not_keep_words_out() {
        let mut playback = sent(0);
        assert_eq!(words(&playback.on_mark("b", 3_000)), ["We are open", "from nine to five on weekdays"]);
        assert!(playback.on_tick(9_000).is_empty());
        assert_eq!(words(&playback.on_tick(9_500)), ["and closed on Sundays"]);
    }

    #[test]
    fn the_same_names_may_be_used_again_after_a_clear_was_answered() {
        let mut playback = sent(0);
        playback.on_clear(0);
        for mark in ["a", "b", "c"] {
            playback.on_mark(mark, 10);
        }
        playback.on_sent(segment("a", "Again", 500), 20);
        assert_eq!((playback.remaining_ms(120), words(&playback.on_mark("a", 520))), (400, vec!["Again"]));
        assert!(playback.on_mark("never sent", 600).is_empty());
    }

    #[test]
    fn the_late_echo_of_a_name_that_was_thrown_away_is_not_the_new_ones() {
        let mut playback = sent(0);
        playback.on_clear(0);
        playback.on_sent(segment("a", "Again", 500), 5);
        assert!(playback.on_mark("a", 10).is_empty(), "the one that was thrown away");
        assert_eq!(words(&playback.on_mark("a", 505)), ["Again"]);
    }

    #[test]
    fn the_line_has_an_end() {
        let mut playback = Playback::new();
        let taken = (0..1000).filter(|n| playback.on_sent(segment(&n.to_string(), "x", 10), 0)).count();
        assert_eq!(taken, SEGMENTS_MAX);
    }

    #[derive(Clone, Debug)]
    enum Act {
        Send(u16),
        Echo(usize),
        Clear,
        Wait(u16),
    }

    proptest! {
        /// Each segment is heard at most once, in the order it was sent, never for longer than it is or than time has passed.
        #[test]
        fn nothing_is_heard_twice_or_before_it_could_be(acts in proptest::collection::vec(prop_oneof![
            (0_u16..3000).prop_map(Act::Send), (0_usize..40).prop_map(Act::Echo), Just(Act::Clear), (0_u16..3000).prop_map(Act::Wait)], 0..60)) {
            let mut playback = Playback::new();
            let (mut now, mut sent, mut last) = (0_i64, 0_usize, None);
            for act in acts {
                let heard = match act {
                    Act::Send(duration) => {
                        playback.on_sent(segment(&sent.to_string(), "one two three", u64::from(duration)), now);
                        sent += 1;
                        Vec::new()
                    }
                    Act::Echo(mark) => playback.on_mark(&mark.to_string(), now),
                    Act::Clear => playback.on_clear(now),
                    Act::Wait(ms) => { now += i64::from(ms); playback.on_tick(now) }
                };
                for part in heard {
                    let number: usize = part.segment.mark.parse().expect("ours");
                    prop_assert!(last.is_none_or(|last| number > last), "{number} after {last:?}");
                    prop_assert!(part.played_ms <= part.segment.duration_ms);
                    prop_assert!(part.segment.text.starts_with(part.words()));
                    last = Some(number);
                }
            }
        }
    }
}
