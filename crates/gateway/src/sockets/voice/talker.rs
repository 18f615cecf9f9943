//! Who speaks when on a line whose sound is ours: the caller's sound becomes words, the words go to the conversation, and what it answers becomes sound.
//!
//! The rules are the floor's, which knows no sockets; here its outputs are carried out. An answer that is prepared early is asked for under the number
//! of the turn that the caller has not finished: if they go on, the longer words take the place of the shorter ones, and nothing of what those led to
//! is spoken or done by the call.

use std::collections::VecDeque;
use std::time::Duration;

use colloquy_actors::domain::call::script::{self, Next};
use colloquy_actors::domain::conversation::Spoken;
use colloquy_actors::telephony::audio::mulaw;
use colloquy_actors::telephony::audio::vad::{self, Change, Vad};
use colloquy_actors::telephony::speech::Heard;
use colloquy_actors::telephony::speech::sentences::Sentences;
use colloquy_actors::telephony::turn::floor::{Floor, Input, Output};
use colloquy_actors::telephony::turn::settings::Settings;
use colloquy_actors::voice::{Listening, Sound, SpeechError};
use tokio::time::{Instant, sleep_until};

use super::keys::Keys;
use super::mouth::{self, Mouth};
use super::{Line, Raw, Told};

/// Samples of one frame of a telephone, 20 ms at 8 kHz.
const FRAME_SAMPLES: usize = 160;
/// The floor looks at its clock at least this often, and not more often than the other.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const LOOK_REST: Duration = Duration::from_millis(20);
/// Sentences in a row that could not be spoken before the call looks for another way.
const FAILURES_MAX: u32 = 2;
/// Said when a call comes back and nobody knows what of our last words was heard.
pub(super) const RESUMED: &str = "I'm sorry, we were cut off for a moment. Could you say that again?";

/// What came in.
pub(super) enum Came {
    /// Of the conversation or the call.
    Line(Raw),
    /// Of the caller; none when nobody listens any more.
    Heard(Option<Heard>),
    /// A sentence is sound.
    Spoken(mouth::Spoken),
    /// Time passed.
    Due,
}

/// What the socket is to do.
#[derive(Debug, PartialEq)]
pub(super) enum Do {
    /// Play this behind what is playing, with this mark behind it.
    Play {
        /// Unique on this line.
        mark: String,
        /// The sound.
        sound: Sound,
    },
    /// Throw away what was not played yet.
    Clear,
    /// All was said: this follows.
    Follow(Next),
    /// Somebody of the business hangs up.
    HangUp,
    /// The call is over.
    Over,
    /// Another socket carries it.
    Replaced,
    /// Nobody hears or speaks here any more: the call must go another way.
    Lost,
}

/// A call whose sound is ours.
pub(super) struct Talker {
    line: Line,
    floor: Floor,
    mouth: Mouth,
    ears: Listening,
    vad: Vad,
    /// Samples that make no whole frame yet.
    frame: Vec<i16>,
    began: Instant,
    /// When the floor last looked at its clock.
    looked: Instant,
    /// How often the caller has had the floor.
    asked: u32,
    /// The floor's turn whose answer the line is making.
    answering: Option<u64>,
    /// It was asked for before the caller had surely finished: nothing of it is looked at yet.
    preparing: bool,
    /// The caller went on after that: their words take the place of those.
    revising: bool,
    /// What follows once this turn was heard.
    then: Option<(u64, Next)>,
    /// What was heard of us since the caller last had the floor.
    heard: Vec<String>,
    /// That of the turn before, given along with the caller's words.
    given: String,
    /// The floor's turn in which this socket greets; none if an earlier one did.
    greeting: Option<u64>,
    marks: u64,
    failures: u32,
    keys: Keys,
}

impl Talker {
    /// A call that begins or is gone on with, and what is said first. `turn_model`: speech-to-text itself tells when a caller has finished.
    pub(super) async fn begin(mut line: Line, mouth: Mouth, ears: Listening, turn_model: bool) -> (Self, Vec<Do>) {
        let defaults = Settings::default();
        let hold_ms = if turn_model { 0 } else { defaults.hold_ms };
        let greeting = line.greeting().await.ok().flatten();
        let asked = line.take_up().await.unwrap_or(0);
        let heard = if greeting.is_none() { line.said_since().await.unwrap_or_default() } else { Vec::new() };
        let mut talker = Self {
            line,
            floor: Floor::new(Settings { hold_ms, ..defaults }, 0),
            mouth,
            ears,
            vad: Vad::new(vad::Settings::default()),
            frame: Vec::with_capacity(FRAME_SAMPLES),
            began: Instant::now(),
            looked: Instant::now(),
            asked,
            answering: None,
            preparing: false,
            revising: false,
            then: None,
            heard,
            given: String::new(),
            greeting: None,
            marks: 0,
            failures: 0,
            keys: Keys::default(),
        };
        let mut doing = Vec::new();
        if let Some(greeting) = greeting {
            let mut out = Vec::new();
            let turn = talker.floor.take_firmly(0, &mut out);
            talker.greeting = Some(turn);
            talker.say(turn, &greeting, &mut out);
            talker.act(out, &mut doing).await;
        } else if let Some(words) = talker.line.taken_back.take() {
            let mut out = Vec::new();
            let turn = talker.floor.take(0, &mut out);
            talker.say(turn, &words, &mut out);
            talker.act(out, &mut doing).await;
        } else if talker.line.is_answering() {
            let mut out = Vec::new();
            talker.answering = Some(talker.floor.take(0, &mut out));
            talker.act(out, &mut doing).await;
        } else {
            let mut out = Vec::new();
            talker.line.note(&format!("resumed/{}", talker.asked), RESUMED).await;
            let turn = talker.floor.take(0, &mut out);
            talker.say(turn, RESUMED, &mut out);
            talker.act(out, &mut doing).await;
        }
        (talker, doing)
    }

    /// Whether this socket greets the caller, with what must be heard.
    pub(super) fn greets(&self) -> bool {
        self.greeting.is_some()
    }

    /// Whether what must be heard first is over: nothing is recorded before.
    pub(super) fn has_greeted(&self) -> bool {
        self.greeting.is_none_or(|turn| self.floor.answering() != Some(turn))
    }

    /// The call.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// The next thing that may matter; to be handed to [`Talker::take`]. Nothing is lost when this is cancelled.
    pub(super) async fn listen(&mut self) -> Came {
        let due = self.due();
        let looks = !self.preparing;
        tokio::select! {
            raw = self.line.listen(), if looks => Came::Line(raw),
            spoken = self.mouth.next() => Came::Spoken(spoken),
            heard = self.ears.next() => Came::Heard(heard),
            () = sleep_until(due) => Came::Due,
        }
    }

    /// What it leads to.
    pub(super) async fn take(&mut self, came: Came) -> Vec<Do> {
        let (mut out, mut doing) = (Vec::new(), Vec::new());
        let now_ms = self.now_ms();
        match came {
            Came::Heard(None) => return vec![Do::Lost],
            Came::Heard(Some(heard)) => self.floor.on(now_ms, Input::Heard(heard), &mut out),
            Came::Due => {
                self.looked = Instant::now();
                let complete = self.keys.until().is_some_and(|until| until <= self.looked);
                match if complete { self.keys.take() } else { None } {
                    Some(words) => self.floor.on(now_ms, Input::Heard(Heard::Ended(words)), &mut out),
                    None => self.floor.on(now_ms, Input::Tick, &mut out),
                }
            }
            Came::Spoken(spoken) => self.spoken(spoken, &mut out, &mut doing),
            Came::Line(raw) => {
                if let Some(told) = self.line.take(raw).await {
                    self.told(told, &mut out, &mut doing).await;
                }
            }
        }
        self.act(out, &mut doing).await;
        doing
    }

    /// A piece of the caller's sound, as a telephone sends it: µ-law at 8 kHz.
    pub(super) async fn sound(&mut self, bytes: Vec<u8>) -> Vec<Do> {
        let (mut out, mut doing) = (Vec::new(), Vec::new());
        self.frame.extend(mulaw::decode_all(&bytes));
        self.ears.sound(bytes);
        let now_ms = self.now_ms();
        let whole = self.frame.len() - self.frame.len() % FRAME_SAMPLES;
        let frames: Vec<i16> = self.frame.drain(..whole).collect();
        for frame in frames.chunks(FRAME_SAMPLES) {
            match self.vad.push(frame) {
                Some(Change::Started { .. }) => self.floor.on(now_ms, Input::Sound(true), &mut out),
                Some(Change::Stopped { .. }) => self.floor.on(now_ms, Input::Sound(false), &mut out),
                None => {}
            }
        }
        self.act(out, &mut doing).await;
        doing
    }

    /// A mark came back: what stood before it was played, or thrown away.
    pub(super) async fn mark(&mut self, name: &str) -> Vec<Do> {
        let (mut out, mut doing) = (Vec::new(), Vec::new());
        self.floor.on(self.now_ms(), Input::Mark(name), &mut out);
        self.act(out, &mut doing).await;
        doing
    }

    /// A key was pressed.
    pub(super) async fn key(&mut self, key: char) -> Vec<Do> {
        let (mut out, mut doing) = (Vec::new(), Vec::new());
        if let Some(words) = self.keys.press(key) {
            self.floor.on(self.now_ms(), Input::Heard(Heard::Ended(words)), &mut out);
        }
        self.act(out, &mut doing).await;
        doing
    }

    /// The line is gone or is left: what was heard of our last words is all that stands of them.
    pub(super) async fn leave(&mut self) {
        let mut out = Vec::new();
        self.floor.leave(self.now_ms(), &mut out);
        self.heard.extend(out.into_iter().filter_map(|output| match output {
            Output::Said { text, .. } => Some(text),
            _ => None,
        }));
        self.mouth.stop();
        self.line.heard_only(&self.heard.join(" ")).await;
    }

    fn spoken(&mut self, spoken: mouth::Spoken, out: &mut Vec<Output>, doing: &mut Vec<Do>) {
        let now_ms = self.now_ms();
        let (turn, text) = (spoken.of, spoken.text);
        match spoken.sound {
            Ok(mut sound) => {
                self.failures = 0;
                self.marks += 1;
                let mark = format!("s{}", self.marks);
                let (duration_ms, alignment) = (sound.duration_ms(), sound.alignment.take());
                doing.push(Do::Play { mark: mark.clone(), sound });
                self.floor.on(now_ms, Input::Voiced { turn, mark, text, duration_ms, alignment }, out);
            }
            Err(error) => {
                if error != SpeechError::Text {
                    tracing::warn!(call = %self.line.live.call, %error, "a sentence of a call was not spoken");
                    self.failures += 1;
                    if self.failures >= FAILURES_MAX {
                        doing.push(Do::Lost);
                    }
                }
                self.floor.on(now_ms, Input::Unvoiced { turn, text }, out);
            }
        }
    }

    async fn told(&mut self, told: Told, out: &mut Vec<Output>, doing: &mut Vec<Do>) {
        let now_ms = self.now_ms();
        match told {
            Told::Say(sentences) => {
                if let Some(turn) = self.answering {
                    for text in sentences {
                        self.floor.on(now_ms, Input::Sentence { turn, text }, out);
                    }
                }
            }
            Told::Done(rest, next) => {
                let turn = match self.answering.take() {
                    Some(turn) => turn,
                    None => self.floor.take(now_ms, out),
                };
                for text in rest {
                    self.floor.on(now_ms, Input::Sentence { turn, text }, out);
                }
                match next {
                    Next::Listen | Next::Sorry { .. } => {}
                    Next::HangUp | Next::Transfer { .. } => self.then = Some((turn, next)),
                }
                self.floor.on(now_ms, Input::AnswerDone { turn }, out);
            }
            Told::Silent => {
                if let Some(turn) = self.answering.take() {
                    self.floor.on(now_ms, Input::AnswerDone { turn }, out);
                }
            }
            Told::Person(words) => {
                let turn = self.floor.take(now_ms, out);
                self.say(turn, &words, out);
            }
            Told::Transfer { to, words } => {
                let turn = self.floor.take(now_ms, out);
                self.then = Some((turn, Next::Transfer { to, words: words.clone() }));
                self.say(turn, &words, out);
            }
            Told::HangUp => doing.push(Do::HangUp),
            Told::Over => doing.push(Do::Over),
            Told::Replaced => doing.push(Do::Replaced),
        }
    }

    /// Carries out what the floor decided.
    async fn act(&mut self, out: Vec<Output>, doing: &mut Vec<Do>) {
        let mut out = VecDeque::from(out);
        while let Some(output) = out.pop_front() {
            match output {
                Output::Prepare { turn, words } => {
                    self.hear(words);
                    (self.answering, self.preparing, self.revising) = (Some(turn), true, true);
                }
                Output::Discard { turn } => {
                    if self.answering == Some(turn) {
                        self.line.take_back();
                        (self.answering, self.preparing) = (None, false);
                    }
                }
                Output::Answer { turn, words, prepared } => {
                    if !prepared {
                        self.hear(words);
                    }
                    (self.answering, self.preparing, self.revising) = (Some(turn), false, false);
                }
                Output::Withdraw { turn } => {
                    self.mouth.stop();
                    if self.answering == Some(turn) {
                        self.line.let_go();
                        self.answering = None;
                    }
                    match self.then.take() {
                        // Noted already: whoever is to take the call is waiting for it.
                        Some((of, next @ Next::Transfer { .. })) if of == turn => doing.push(Do::Follow(next)),
                        // Who goes on talking is not hung up on.
                        Some((of, _)) if of == turn => {}
                        other => self.then = other,
                    }
                }
                Output::Speak { turn, text } => self.mouth.say(turn, text),
                Output::Clear => {
                    self.mouth.stop();
                    doing.push(Do::Clear);
                }
                Output::Said { text, .. } => self.heard.push(text.trim().to_owned()),
                Output::Silent { count } => {
                    let (words, goes_on) = script::reminder(count.saturating_sub(1));
                    self.line.note(&format!("reminder/{}/{count}", self.asked), words).await;
                    let mut more = Vec::new();
                    let turn = self.floor.take(self.now_ms(), &mut more);
                    self.then = (!goes_on).then_some((turn, Next::HangUp));
                    self.say(turn, words, &mut more);
                    out.extend(more);
                }
            }
        }
        if self.then.as_ref().is_some_and(|(turn, _)| self.floor.answering() != Some(*turn))
            && let Some((_, next)) = self.then.take()
        {
            doing.push(Do::Follow(next));
        }
    }

    /// Brings the caller's words to the conversation, with what they heard of us before.
    fn hear(&mut self, words: String) {
        if !self.revising {
            self.asked += 1;
            self.given = std::mem::take(&mut self.heard).join(" ");
        }
        let heard = Some(self.given.clone());
        let spoken = Spoken { call: self.line.live.call.clone(), turn: self.asked, heard, typed: false };
        self.line.hear(spoken, words);
    }

    /// All of an answer, sentence by sentence.
    fn say(&mut self, turn: u64, words: &str, out: &mut Vec<Output>) {
        let now_ms = self.now_ms();
        let mut sentences = Sentences::new();
        let mut whole = sentences.push(words);
        whole.extend(sentences.finish());
        for text in whole {
            self.floor.on(now_ms, Input::Sentence { turn, text }, out);
        }
        self.floor.on(now_ms, Input::AnswerDone { turn }, out);
    }

    fn due(&self) -> Instant {
        let floor = self.floor.deadline_ms().and_then(|at| u64::try_from(at).ok());
        let floor = floor.map(|at| self.began + Duration::from_millis(at));
        // Counted from the last look: sound comes in all the time, and each piece of it begins the wait anew.
        let first = [floor, self.keys.until()].into_iter().flatten().fold(self.looked + LOOK_EVERY, Instant::min);
        first.max(self.looked + LOOK_REST)
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}
