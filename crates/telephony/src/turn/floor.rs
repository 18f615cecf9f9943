//! Who has the floor. A machine without IO: inputs with the time in, outputs out.
//!
//! Rules: an answer that was only prepared leaves no trace when the caller goes on; small sounds do not stop us; a sound without words stops us
//! for a moment at most; what stands in the history is what was heard.

use std::collections::VecDeque;

use super::settings::Settings;
use super::words::{is_backchannel, is_unfinished, meaningful, same};
use crate::elevenlabs::alignment::Alignment;
use crate::speech::Heard;
use crate::twilio::playback::{self, Playback, Segment};

/// Sentences of one answer that are kept; longer answers are cut. On the phone nobody listens to more.
pub const SENTENCES_MAX: usize = 48;
/// How often a caller's finished words are looked at again while something is said that must be heard whole, ms.
const FIRM_AGAIN_MS: i64 = 50;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input<'a> {
    /// Speech-to-text told something.
    Heard(Heard),
    /// The caller's line became loud (`true`) or quiet.
    Sound(bool),
    /// The model said a sentence of the answer to this turn.
    Sentence {
        /// The turn.
        turn: u64,
        /// The sentence.
        text: String,
    },
    /// The model has finished the answer to this turn.
    AnswerDone {
        /// The turn.
        turn: u64,
    },
    /// The audio of a sentence was sent to the line, with a mark behind it.
    Voiced {
        /// The turn.
        turn: u64,
        /// The mark; each is used once.
        mark: String,
        /// The sentence, as it stood in [`Output::Speak`].
        text: String,
        /// Its length.
        duration_ms: u64,
        /// When which character is spoken, where the voice tells.
        alignment: Option<Alignment>,
    },
    /// A sentence could not be made into audio: it is left out.
    Unvoiced {
        /// The turn.
        turn: u64,
        /// The sentence, as it stood in [`Output::Speak`].
        text: String,
    },
    /// A mark came back from the line.
    Mark(&'a str),
    /// Time passed. At least every 50 ms, or at [`Floor::deadline_ms`].
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Begin an answer to these words; they may not be all. Nothing about it may be kept.
    Prepare {
        /// The turn.
        turn: u64,
        /// The words so far.
        words: String,
    },
    /// Forget the answer that was being prepared.
    Discard {
        /// The turn.
        turn: u64,
    },
    /// The caller said this. Answer it, unless the prepared answer stands.
    Answer {
        /// The turn.
        turn: u64,
        /// All words.
        words: String,
        /// Whether its answer was prepared and goes on.
        prepared: bool,
    },
    /// Stop answering this turn; nothing more of it is spoken.
    Withdraw {
        /// The turn.
        turn: u64,
    },
    /// Make this audible.
    Speak {
        /// The turn.
        turn: u64,
        /// A sentence, or the rest of one.
        text: String,
    },
    /// Throw away what the line has not played yet, and audio still being made.
    Clear,
    /// The caller has heard this of the answer to this turn: it belongs in the history, after what was heard before.
    Said {
        /// The turn.
        turn: u64,
        /// The words.
        text: String,
        /// Whether the sentence was heard to its end.
        whole: bool,
    },
    /// The caller has been silent for long.
    Silent {
        /// The how-manieth time in a row, from 1.
        count: u32,
    },
}

/// An answer that is being prepared.
#[derive(Clone, Debug)]
struct Prepared {
    turn: u64,
    words: String,
    sentences: Vec<String>,
    done: bool,
}

/// An answer that has the floor.
#[derive(Clone, Debug)]
struct Answer {
    turn: u64,
    /// Asked to be made audible, not on the line yet.
    waiting: VecDeque<String>,
    /// Kept back while a sound of the caller may be the beginning of words.
    held: VecDeque<String>,
    /// Since when it is held back.
    paused_ms: Option<i64>,
    sentences: usize,
    done: bool,
    /// It is heard to its end, whatever the caller says meanwhile.
    firm: bool,
}

/// One call's floor.
#[derive(Clone, Debug)]
pub struct Floor {
    settings: Settings,
    next_turn: u64,
    /// Words of the caller that will not change, and those that may.
    finals: String,
    partial: String,
    last_word_ms: i64,
    /// When the turn is over unless words come.
    ends_ms: Option<i64>,
    sound_since_ms: Option<i64>,
    prepared: Option<Prepared>,
    answer: Option<Answer>,
    playback: Playback,
    alignments: VecDeque<(String, Alignment)>,
    quiet_since_ms: i64,
    reminders: u32,
}

impl Floor {
    /// A call that was just connected.
    pub fn new(settings: Settings, now_ms: i64) -> Self {
        Self {
            settings,
            next_turn: 1,
            finals: String::new(),
            partial: String::new(),
            last_word_ms: now_ms,
            ends_ms: None,
            sound_since_ms: None,
            prepared: None,
            answer: None,
            playback: Playback::new(),
            alignments: VecDeque::new(),
            quiet_since_ms: now_ms,
            reminders: 0,
        }
    }

    /// Takes the floor for words nobody asked for: the greeting, a reminder, a colleague's words. Its sentences come as inputs under the turn
    /// that is returned.
    pub fn take(&mut self, now_ms: i64, out: &mut Vec<Output>) -> u64 {
        self.discard(out);
        self.withdraw(now_ms, out);
        let turn = self.fresh_turn();
        self.answer = Some(Answer::new(turn));
        turn
    }

    /// As [`Floor::take`], for words that must be heard whole, such as that the call is recorded: the caller's words wait until they are over.
    pub fn take_firmly(&mut self, now_ms: i64, out: &mut Vec<Output>) -> u64 {
        let turn = self.take(now_ms, out);
        if let Some(answer) = &mut self.answer {
            answer.firm = true;
        }
        turn
    }

    /// The call ends now: nothing more is spoken, and what was heard of it is told.
    pub fn leave(&mut self, now_ms: i64, out: &mut Vec<Output>) {
        self.discard(out);
        self.withdraw(now_ms, out);
    }

    /// The turn whose answer has the floor, until it was heard or withdrawn.
    pub fn answering(&self) -> Option<u64> {
        self.answer.as_ref().map(|answer| answer.turn)
    }

    /// Whether the caller hears us or soon will.
    pub fn is_speaking(&self) -> bool {
        self.playback.is_playing() || self.answer.as_ref().is_some_and(|answer| !answer.waiting.is_empty())
    }

    /// When time alone will change something.
    pub fn deadline_ms(&self) -> Option<i64> {
        let backstop = (!self.partial.is_empty()).then(|| self.last_word_ms.saturating_add(self.settings.silence_ms));
        let resume = self
            .answer
            .as_ref()
            .and_then(|answer| answer.paused_ms)
            .map(|at| at.saturating_add(self.settings.resume_ms));
        let barge_in =
            self.sound_since_ms.map(|at| at.saturating_add(self.settings.barge_in_ms)).filter(|_| self.is_speaking());
        let reminder = self.may_remind().then(|| self.quiet_since_ms.saturating_add(self.settings.reminder_ms));
        [self.ends_ms, backstop, resume, barge_in, reminder].into_iter().flatten().min()
    }

    /// Takes an input.
    pub fn on(&mut self, now_ms: i64, input: Input<'_>, out: &mut Vec<Output>) {
        let was_speaking = self.is_speaking();
        match input {
            Input::Heard(heard) => self.on_heard(now_ms, heard, out),
            Input::Sound(loud) => {
                self.sound_since_ms = loud.then(|| self.sound_since_ms.unwrap_or(now_ms));
            }
            Input::Sentence { turn, text } => self.on_sentence(turn, text, out),
            Input::AnswerDone { turn } => {
                if let Some(prepared) = self.prepared.as_mut().filter(|prepared| prepared.turn == turn) {
                    prepared.done = true;
                }
                if let Some(answer) = self.answer.as_mut().filter(|answer| answer.turn == turn) {
                    answer.done = true;
                }
            }
            Input::Voiced { turn, mark, text, duration_ms, alignment } => {
                self.on_voiced(now_ms, turn, Segment { mark, text, duration_ms }, alignment);
            }
            Input::Unvoiced { turn, text } => {
                if let Some(answer) = self.answer.as_mut().filter(|answer| answer.turn == turn)
                    && let Some(at) = answer.waiting.iter().position(|waiting| *waiting == text)
                {
                    answer.waiting.remove(at);
                }
            }
            Input::Mark(name) => {
                let heard = self.playback.on_mark(name, now_ms);
                self.said(heard, now_ms, out);
            }
            Input::Tick => {}
        }
        if !was_speaking && self.is_speaking() {
            self.forget_sound(now_ms);
        }
        self.on_time(now_ms, out);
    }

    /// The sound so far was the caller's own turn; only what lasts while we speak interrupts us.
    fn forget_sound(&mut self, now_ms: i64) {
        self.sound_since_ms = self.sound_since_ms.map(|_| now_ms);
    }

    fn on_heard(&mut self, now_ms: i64, heard: Heard, out: &mut Vec<Output>) {
        match heard {
            // A beginning without words may be a cough; words or the sound's length decide.
            Heard::Started => {}
            Heard::Partial(words) => {
                if words.trim().is_empty() {
                    return;
                }
                self.partial = words;
                self.last_word_ms = now_ms;
                self.ends_ms = None;
                let so_far = self.words();
                if self.prepared.as_ref().is_some_and(|prepared| !same(&prepared.words, &so_far)) {
                    self.discard(out);
                }
            }
            Heard::Eager(words) => {
                self.partial = words;
                self.last_word_ms = now_ms;
                let so_far = self.words();
                // While we speak over the caller it is not known yet whether this is an interruption at all.
                let known = self.prepared.as_ref().is_some_and(|prepared| same(&prepared.words, &so_far));
                if self.settings.eager && !known && !self.is_speaking() && !so_far.is_empty() {
                    self.discard(out);
                    let turn = self.fresh_turn();
                    self.prepared = Some(Prepared { turn, words: so_far.clone(), sentences: Vec::new(), done: false });
                    out.push(Output::Prepare { turn, words: so_far });
                }
            }
            Heard::Resumed => {
                self.ends_ms = None;
                self.last_word_ms = now_ms;
                self.discard(out);
            }
            Heard::Ended(words) => {
                self.partial.clear();
                join(&mut self.finals, words.trim());
                self.last_word_ms = now_ms;
                if !self.finals.is_empty() {
                    let more_ms = if is_unfinished(&self.finals) { self.settings.unfinished_ms } else { 0 };
                    self.ends_ms = Some(now_ms.saturating_add(self.settings.hold_ms).saturating_add(more_ms));
                }
            }
        }
        if meaningful(&self.words()) >= self.settings.barge_in_words {
            self.barge_in(now_ms, out);
        }
    }

    fn on_sentence(&mut self, turn: u64, text: String, out: &mut Vec<Output>) {
        if text.trim().is_empty() {
            return;
        }
        if let Some(prepared) = self.prepared.as_mut().filter(|prepared| prepared.turn == turn) {
            if prepared.sentences.len() < SENTENCES_MAX {
                prepared.sentences.push(text);
            }
        } else if let Some(answer) = self.answer.as_mut().filter(|answer| answer.turn == turn) {
            answer.say(text, out);
        }
        // Of any other turn: it was discarded or withdrawn, and its model has not noticed yet.
    }

    fn on_voiced(&mut self, now_ms: i64, turn: u64, segment: Segment, alignment: Option<Alignment>) {
        let Some(answer) = self.answer.as_mut().filter(|answer| answer.turn == turn) else { return };
        let Some(at) = answer.waiting.iter().position(|waiting| *waiting == segment.text) else { return };
        answer.waiting.remove(at);
        if let Some(alignment) = alignment {
            if self.alignments.len() >= playback::SEGMENTS_MAX {
                self.alignments.pop_front();
            }
            self.alignments.push_back((segment.mark.clone(), alignment));
        }
        self.playback.on_sent(segment, now_ms);
    }

    fn on_time(&mut self, now_ms: i64, out: &mut Vec<Output>) {
        let late = self.playback.on_tick(now_ms);
        self.said(late, now_ms, out);
        let silent = !self.partial.is_empty() && now_ms >= self.last_word_ms.saturating_add(self.settings.silence_ms);
        if silent || self.ends_ms.is_some_and(|ends_ms| now_ms >= ends_ms) {
            self.end_turn(now_ms, out);
        }
        if self.sound_since_ms.is_some_and(|since| now_ms >= since.saturating_add(self.settings.barge_in_ms)) {
            self.pause(now_ms, out);
        }
        let resume = self.answer.as_ref().and_then(|answer| answer.paused_ms);
        if resume.is_some_and(|at| now_ms >= at.saturating_add(self.settings.resume_ms)) && self.words().is_empty() {
            self.resume(out);
        }
        if self.answer.as_ref().is_some_and(|answer| answer.is_over()) && !self.playback.is_playing() {
            self.answer = None;
            self.quiet_since_ms = now_ms;
        }
        if self.is_busy() {
            self.quiet_since_ms = now_ms;
        } else if self.may_remind() && now_ms >= self.quiet_since_ms.saturating_add(self.settings.reminder_ms) {
            self.reminders += 1;
            self.quiet_since_ms = now_ms;
            out.push(Output::Silent { count: self.reminders });
        }
    }

    /// The caller has finished.
    fn end_turn(&mut self, now_ms: i64, out: &mut Vec<Output>) {
        let words = self.words();
        self.finals.clear();
        self.partial.clear();
        self.ends_ms = None;
        if words.is_empty() {
            return;
        }
        if self.is_firm() {
            // They are an answer to what is being said once that is over.
            self.finals = words;
            self.ends_ms = Some(now_ms.saturating_add(self.settings.hold_ms.max(FIRM_AGAIN_MS)));
            return;
        }
        // "Mhm" while we speak is a listener's; after we finished it is an answer.
        let paused = self.answer.as_ref().is_some_and(|answer| answer.paused_ms.is_some());
        if (self.is_speaking() || paused) && is_backchannel(&words) {
            self.discard(out);
            self.resume(out);
            return;
        }
        self.reminders = 0;
        self.forget_sound(now_ms);
        self.withdraw(now_ms, out);
        match self.prepared.take() {
            Some(prepared) if same(&prepared.words, &words) => {
                let turn = prepared.turn;
                out.push(Output::Answer { turn, words, prepared: true });
                let mut answer = Answer::new(turn);
                answer.done = prepared.done;
                prepared.sentences.into_iter().for_each(|sentence| answer.say(sentence, out));
                self.answer = Some(answer);
            }
            other => {
                self.prepared = other;
                self.discard(out);
                let turn = self.fresh_turn();
                out.push(Output::Answer { turn, words, prepared: false });
                self.answer = Some(Answer::new(turn));
            }
        }
    }

    /// Words of the caller end what we are saying, or were about to say.
    fn barge_in(&mut self, now_ms: i64, out: &mut Vec<Output>) {
        if self.is_firm() {
            return;
        }
        if self.is_speaking()
            || self.answer.as_ref().is_some_and(|answer| answer.paused_ms.is_some() || !answer.is_over())
        {
            self.withdraw(now_ms, out);
        }
    }

    /// A long sound of the caller: we fall silent until it is known what it was.
    fn pause(&mut self, now_ms: i64, out: &mut Vec<Output>) {
        // Known small sounds are waited out.
        let small = !self.words().is_empty() && is_backchannel(&self.words());
        if self.is_firm()
            || !self.is_speaking()
            || small
            || self.answer.as_ref().is_none_or(|answer| answer.paused_ms.is_some())
        {
            return;
        }
        let cleared = self.playback.on_clear(now_ms);
        out.push(Output::Clear);
        let rest = self.rest_of(&cleared);
        self.said(cleared, now_ms, out);
        if let Some(answer) = &mut self.answer {
            answer.paused_ms = Some(now_ms);
            let waiting = std::mem::take(&mut answer.waiting);
            answer.held = rest.into_iter().chain(waiting).chain(std::mem::take(&mut answer.held)).collect();
        }
    }

    /// It was nothing: we go on where we were.
    fn resume(&mut self, out: &mut Vec<Output>) {
        self.sound_since_ms = None;
        if let Some(answer) = self.answer.as_mut().filter(|answer| answer.paused_ms.is_some()) {
            answer.paused_ms = None;
            for text in std::mem::take(&mut answer.held) {
                answer.waiting.push_back(text.clone());
                out.push(Output::Speak { turn: answer.turn, text });
            }
        }
    }

    /// Nothing more of the current answer is spoken.
    fn withdraw(&mut self, now_ms: i64, out: &mut Vec<Output>) {
        if self.is_speaking() {
            out.push(Output::Clear);
        }
        let cleared = self.playback.on_clear(now_ms);
        self.said(cleared, now_ms, out);
        if let Some(answer) = self.answer.take() {
            out.push(Output::Withdraw { turn: answer.turn });
        }
    }

    fn discard(&mut self, out: &mut Vec<Output>) {
        if let Some(prepared) = self.prepared.take() {
            out.push(Output::Discard { turn: prepared.turn });
        }
    }

    /// What was not heard of segments that were thrown away, in order.
    fn rest_of(&self, cleared: &[playback::Heard]) -> Vec<String> {
        let rest = cleared.iter().map(|heard| {
            let (said, _) = self.words_of(heard);
            heard.segment.text.strip_prefix(said.as_str()).unwrap_or(&heard.segment.text).trim_start().to_owned()
        });
        rest.filter(|text| !text.is_empty()).collect()
    }

    /// The words heard of a segment, and whether it was heard to its end.
    fn words_of(&self, heard: &playback::Heard) -> (String, bool) {
        let alignment = self.alignments.iter().find(|(mark, _)| *mark == heard.segment.mark);
        let words = match alignment {
            // Only when it is about these very words: a voice may normalise what it was given.
            Some((_, alignment)) if !heard.whole() && heard.segment.text.starts_with(alignment.text().trim_end()) => {
                alignment.heard(heard.played_ms)
            }
            Some(_) | None => heard.words().to_owned(),
        };
        (words, heard.whole())
    }

    fn said(&mut self, heard: Vec<playback::Heard>, now_ms: i64, out: &mut Vec<Output>) {
        let Some(turn) = self.answer.as_ref().map(|answer| answer.turn) else { return };
        for heard in heard {
            let (text, whole) = self.words_of(&heard);
            self.alignments.retain(|(mark, _)| *mark != heard.segment.mark);
            self.quiet_since_ms = now_ms;
            if !text.is_empty() {
                out.push(Output::Said { turn, text, whole });
            }
        }
    }

    /// Whether something is being said that must be heard whole.
    fn is_firm(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.firm)
    }

    fn is_busy(&self) -> bool {
        let speaking = self.answer.is_some() || self.prepared.is_some() || self.sound_since_ms.is_some();
        speaking || !self.finals.is_empty() || !self.partial.is_empty()
    }

    fn may_remind(&self) -> bool {
        !self.is_busy() && self.reminders < self.settings.reminders_max
    }

    fn words(&self) -> String {
        let mut words = self.finals.clone();
        join(&mut words, self.partial.trim());
        words
    }

    fn fresh_turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn - 1
    }
}

impl Answer {
    fn new(turn: u64) -> Self {
        Self {
            turn,
            waiting: VecDeque::new(),
            held: VecDeque::new(),
            paused_ms: None,
            sentences: 0,
            done: false,
            firm: false,
        }
    }

    fn say(&mut self, text: String, out: &mut Vec<Output>) {
        if self.sentences >= SENTENCES_MAX {
            return;
        }
        self.sentences += 1;
        if self.paused_ms.is_some() {
            self.held.push_back(text);
        } else {
            self.waiting.push_back(text.clone());
            out.push(Output::Speak { turn: self.turn, text });
        }
    }

    /// Whether nothing more is to be put on the line.
    fn is_over(&self) -> bool {
        self.done && self.waiting.is_empty() && self.held.is_empty()
    }
}

fn join(text: &mut String, words: &str) {
    if !text.is_empty() && !words.is_empty() {
        text.push(' ');
    }
    text.push_str(words);
}

#[cfg(test)]
#[path = "floor_tests.rs"]
mod tests;
