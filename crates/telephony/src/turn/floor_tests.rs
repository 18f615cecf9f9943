//! Tests of the floor: dialogues with their times, and a random call that keeps every rule.

use proptest::prelude::*;

use super::*;

/// A call in which the model, the voice and the line answer at once: each sentence becomes audio of 100 ms per word, played in order.
struct Call {
    floor: Floor,
    now_ms: i64,
    out: Vec<Output>,
    marks: u64,
}

impl Call {
    fn new() -> Self {
        Self::with(Settings { hold_ms: 0, ..Settings::default() })
    }

    fn with(settings: Settings) -> Self {
        Self { floor: Floor::new(settings, 0), now_ms: 0, out: Vec::new(), marks: 0 }
    }

    /// Gives an input and returns what came of it.
    fn on(&mut self, input: Input<'_>) -> Vec<Output> {
        let mut out = Vec::new();
        self.floor.on(self.now_ms, input, &mut out);
        self.out.extend(out.iter().cloned());
        out
    }

    fn wait(&mut self, ms: i64) -> Vec<Output> {
        self.now_ms += ms;
        self.on(Input::Tick)
    }

    fn hears(&mut self, heard: Heard) -> Vec<Output> {
        self.on(Input::Heard(heard))
    }

    fn says(&mut self, words: &str) -> u64 {
        let out = self.hears(Heard::Ended(words.into()));
        out.iter()
            .find_map(|output| match output {
                Output::Answer { turn, words: said, .. } if said == words => Some(*turn),
                _ => None,
            })
            .unwrap_or_else(|| panic!("no answer: {out:?}"))
    }

    /// The model says a sentence and the voice puts it on the line; the mark.
    fn speaks(&mut self, turn: u64, text: &str) -> String {
        let out = self.on(Input::Sentence { turn, text: text.into() });
        assert_eq!(out, [Output::Speak { turn, text: text.into() }]);
        self.voices(turn, text)
    }

    fn voices(&mut self, turn: u64, text: &str) -> String {
        self.marks += 1;
        let mark = format!("m{}", self.marks);
        let duration_ms = 100 * text.split_whitespace().count() as u64;
        self.on(Input::Voiced { turn, mark: mark.clone(), text: text.into(), duration_ms, alignment: None });
        mark
    }
}

fn said(out: &[Output]) -> Vec<&str> {
    out.iter()
        .filter_map(|output| match output {
            Output::Said { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_turn_ends_is_answered_and_heard() {
    let mut call = Call::new();
    let turn = call.says("I need a plumber.");
    let mark = call.speaks(turn, "Sure, when?");
    call.on(Input::AnswerDone { turn });
    assert!(call.floor.is_speaking());
    call.now_ms = 200;
    assert_eq!(call.on(Input::Mark(&mark)), [Output::Said { turn, text: "Sure, when?".into(), whole: true }]);
    assert!(!call.floor.is_speaking());
}

#[test]
fn silence_is_tunable_and_longer_after_an_unfinished_sentence() {
    let answered_after = |settings, words: &str| {
        let mut call = Call::with(settings);
        call.hears(Heard::Ended(words.into()));
        while !call.out.iter().any(|output| matches!(output, Output::Answer { .. })) {
            call.wait(10);
        }
        call.now_ms
    };
    let patient = Settings { hold_ms: 400, unfinished_ms: 900, ..Settings::default() };
    assert_eq!(answered_after(patient, "I need a plumber."), 400);
    assert_eq!(answered_after(patient, "I need a plumber and"), 1300);
    assert_eq!(answered_after(Settings { hold_ms: 0, ..patient }, "Yes."), 0);
}

#[test]
fn words_after_a_pause_belong_to_the_same_turn() {
    let mut call = Call::with(Settings::default());
    call.hears(Heard::Ended("My number is".into()));
    call.wait(600);
    call.hears(Heard::Partial("five five five".into()));
    assert!(call.wait(1_000).is_empty(), "the caller speaks");
    call.hears(Heard::Ended("five five five.".into()));
    let out = call.wait(250);
    assert_eq!(out, [Output::Answer { turn: 1, words: "My number is five five five.".into(), prepared: false }]);
}

#[test]
fn a_lost_end_of_turn_is_made_up_for() {
    let mut call = Call::new();
    call.hears(Heard::Partial("Are you open".into()));
    assert!(call.wait(1_999).is_empty());
    assert_eq!(call.wait(1), [Output::Answer { turn: 1, words: "Are you open".into(), prepared: false }]);
}

#[test]
fn a_prepared_answer_stands_when_the_words_stand() {
    let mut call = Call::new();
    let out = call.hears(Heard::Eager("are you open".into()));
    assert_eq!(out, [Output::Prepare { turn: 1, words: "are you open".into() }]);
    assert!(call.on(Input::Sentence { turn: 1, text: "Yes.".into() }).is_empty(), "nothing is spoken yet");
    call.on(Input::AnswerDone { turn: 1 });
    let out = call.hears(Heard::Ended("Are you open?".into()));
    assert_eq!(
        out,
        [
            Output::Answer { turn: 1, words: "Are you open?".into(), prepared: true },
            Output::Speak { turn: 1, text: "Yes.".into() },
        ]
    );
}

#[test]
fn a_prepared_answer_vanishes_without_trace_when_the_caller_goes_on() {
    for goes_on in [Heard::Resumed, Heard::Partial("are you open on Sundays".into())] {
        let mut call = Call::new();
        call.hears(Heard::Eager("are you open".into()));
        call.on(Input::Sentence { turn: 1, text: "Yes.".into() });
        assert_eq!(call.hears(goes_on), [Output::Discard { turn: 1 }]);
        assert!(
            call.on(Input::Sentence { turn: 1, text: "From nine.".into() }).is_empty(),
            "its model has not noticed yet"
        );
        let turn = call.says("Are you open on Sundays?");
        assert_ne!(turn, 1);
        assert!(!call.out.iter().any(|output| matches!(output, Output::Speak { .. } | Output::Said { .. })));
    }
    let mut call = Call::with(Settings { eager: false, ..Settings::default() });
    assert!(call.hears(Heard::Eager("are you open".into())).is_empty());
}

#[test]
fn a_prepared_answer_to_other_words_than_the_last_is_not_given() {
    let mut call = Call::new();
    call.hears(Heard::Eager("are you open".into()));
    call.on(Input::Sentence { turn: 1, text: "Yes.".into() });
    let out = call.hears(Heard::Ended("Are you open on Sundays?".into()));
    let answer = Output::Answer { turn: 2, words: "Are you open on Sundays?".into(), prepared: false };
    assert_eq!(out, [Output::Discard { turn: 1 }, answer]);
}

#[test]
fn two_words_interrupt_and_what_was_heard_stands_in_the_history() {
    let mut call = Call::new();
    let turn = call.says("When are you open?");
    let first = call.speaks(turn, "We open at nine.");
    call.speaks(turn, "On Sundays we are closed all day.");
    call.now_ms = 400;
    call.on(Input::Mark(&first));
    call.now_ms = 750;
    let out = call.hears(Heard::Partial("wait what".into()));
    assert_eq!(
        out,
        [Output::Clear, Output::Said { turn, text: "On Sundays we".into(), whole: false }, Output::Withdraw { turn },]
    );
    assert!(call.on(Input::Sentence { turn, text: "Anything else?".into() }).is_empty());
    assert!(call.on(Input::Mark("m2")).is_empty(), "thrown away");
}

#[test]
fn what_must_be_heard_is_not_interrupted_and_words_said_over_it_are_answered_after_it() {
    let mut call = Call::new();
    let mut out = Vec::new();
    let turn = call.floor.take_firmly(0, &mut out);
    let mark = call.speaks(turn, "You are talking with an AI assistant, and the call is recorded.");
    call.on(Input::AnswerDone { turn });
    call.on(Input::Sound(true));
    call.now_ms = 400;
    assert!(call.hears(Heard::Partial("when are you open".into())).is_empty());
    assert!(call.hears(Heard::Ended("When are you open?".into())).is_empty());
    assert!(call.wait(900).is_empty(), "a long sound does not stop it either");
    assert_eq!(call.floor.answering(), Some(turn));
    let heard = call.on(Input::Mark(&mark));
    assert!(matches!(heard.first(), Some(Output::Said { whole: true, .. })), "{heard:?}");
    let answered = call.wait(100);
    assert!(
        call.out.iter().any(|output| matches!(output, Output::Answer { words, .. } if words == "When are you open?")),
        "{answered:?}"
    );
}

#[test]
fn a_sentence_that_cannot_be_spoken_is_left_out_and_the_call_goes_on() {
    let mut call = Call::new();
    let turn = call.says("When are you open?");
    call.on(Input::Sentence { turn, text: "We open at nine.".into() });
    call.on(Input::AnswerDone { turn });
    assert!(call.floor.is_speaking());
    call.on(Input::Unvoiced { turn, text: "We open at nine.".into() });
    assert!(!call.floor.is_speaking());
    assert_eq!(call.floor.answering(), None);
    assert!(said(&call.out).is_empty(), "and was not heard");
}

#[test]
fn who_leaves_in_the_middle_has_heard_what_was_played() {
    let mut call = Call::new();
    let turn = call.says("When are you open?");
    call.speaks(turn, "On Sundays we are closed all day.");
    call.now_ms += 350;
    let mut out = Vec::new();
    call.floor.leave(call.now_ms, &mut out);
    assert_eq!(said(&out), ["On Sundays we"]);
}

#[test]
fn small_sounds_do_not_stop_us_while_we_speak_and_are_answers_after() {
    let mut call = Call::new();
    let turn = call.says("When are you open?");
    call.speaks(turn, "We open at nine on all days of the week but Sundays.");
    call.now_ms = 300;
    for heard in [Heard::Started, Heard::Partial("mhm".into()), Heard::Ended("Mhm, okay.".into())] {
        assert!(call.hears(heard).is_empty());
    }
    assert!(call.floor.is_speaking());
    call.on(Input::AnswerDone { turn });
    call.now_ms = 1_200;
    call.on(Input::Mark("m1"));
    call.says("Okay.");
}

#[test]
fn a_cough_stops_us_for_a_moment_and_we_go_on_where_we_were() {
    let mut call = Call::new();
    let turn = call.says("When are you open?");
    call.speaks(turn, "We open at nine on all days.");
    call.now_ms = 100;
    call.on(Input::Sound(true));
    assert!(call.wait(500).is_empty(), "a short sound does nothing");
    let mut call = Call::new();
    let turn = call.says("When are you open?");
    call.speaks(turn, "We open at nine on all days of the week but Sundays.");
    call.on(Input::Sound(true));
    let out = call.wait(750);
    assert_eq!(
        out,
        [Output::Clear, Output::Said { turn, text: "We open at nine on all days of".into(), whole: false }]
    );
    call.on(Input::Sound(false));
    assert!(call.on(Input::Sentence { turn, text: "Anything else?".into() }).is_empty(), "held back");
    let out = call.wait(1_200);
    assert_eq!(
        out,
        [
            Output::Speak { turn, text: "the week but Sundays.".into() },
            Output::Speak { turn, text: "Anything else?".into() },
        ]
    );
}

#[test]
fn a_sound_that_becomes_words_is_an_interruption() {
    let mut call = Call::new();
    let turn = call.says("When are you open?");
    call.speaks(turn, "We open at nine on all days of the week but Sundays.");
    call.on(Input::Sound(true));
    call.wait(750);
    assert_eq!(call.hears(Heard::Partial("and on Mondays".into())), [Output::Withdraw { turn }]);
    let next = call.says("And on Mondays?");
    assert_ne!(next, turn);
    assert!(!call.wait(5_000).iter().any(|output| matches!(output, Output::Speak { .. })), "the rest is not spoken");
}

#[test]
fn what_a_voice_tells_about_its_words_is_better_than_the_clock() {
    let mut call = Call::new();
    let turn = call.says("Hello?");
    let text = "Hi there you";
    let chars: Vec<String> = text.chars().map(String::from).collect();
    // A voice that says the first word slowly.
    let starts: Vec<u64> = (0..12).map(|n| if n < 3 { 0 } else { 2_000 + n * 10 }).collect();
    let alignment =
        Alignment::read(&serde_json::json!({ "chars": chars, "charStartTimesMs": starts })).expect("an alignment");
    call.on(Input::Sentence { turn, text: text.into() });
    call.on(Input::Voiced {
        turn,
        mark: "m1".into(),
        text: text.into(),
        duration_ms: 2_400,
        alignment: Some(alignment),
    });
    call.now_ms = 1_800;
    assert_eq!(said(&call.hears(Heard::Partial("no no stop".into()))), ["Hi"]);
}

#[test]
fn a_silent_caller_is_asked_twice_and_then_left_alone() {
    let mut call = Call::new();
    let mut asked = Vec::new();
    for _ in 0..4_000 {
        for output in call.wait(10) {
            if let Output::Silent { count } = output {
                asked.push((call.now_ms, count));
            }
        }
    }
    assert_eq!(asked, [(10_000, 1), (20_000, 2)]);
    call.says("I am back.");
    assert_eq!(call.floor.reminders, 0);
}

#[test]
fn words_nobody_asked_for_take_the_floor() {
    let mut call = Call::new();
    let turn = call.says("Hello?");
    call.speaks(turn, "Let me tell you about all of our services.");
    let mut out = Vec::new();
    let taken = call.floor.take(200, &mut out);
    assert_eq!(
        out,
        [Output::Clear, Output::Said { turn, text: "Let me".into(), whole: false }, Output::Withdraw { turn }]
    );
    call.now_ms = 200;
    call.speaks(taken, "A colleague takes over.");
}

#[derive(Clone, Debug)]
enum Act {
    Partial(usize),
    Eager(usize),
    Resumed,
    Ended(usize),
    Sound(bool),
    Sentence(u64),
    Done(u64),
    Voice,
    Mark,
    Take,
    Wait(i64),
}

const WORDS: [&str; 6] = ["mhm", "yes", "are you", "are you open", "stop that now", "my number is"];

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (0..WORDS.len()).prop_map(Act::Partial),
        2 => (0..WORDS.len()).prop_map(Act::Eager),
        1 => Just(Act::Resumed),
        3 => (0..WORDS.len()).prop_map(Act::Ended),
        1 => any::<bool>().prop_map(Act::Sound),
        6 => (0_u64..3).prop_map(Act::Sentence),
        1 => (0_u64..3).prop_map(Act::Done),
        5 => Just(Act::Voice),
        4 => Just(Act::Mark),
        1 => Just(Act::Take),
        5 => (0_i64..1_500).prop_map(Act::Wait),
    ];
    proptest::collection::vec(act, 0..120)
}

proptest! {
    /// Nothing of a turn is spoken before it was answered or after it was withdrawn or discarded; what was heard of a turn is, in order, a part
    /// of what was spoken; the line is only cleared while there is something on it; and every turn ends once.
    #[test]
    fn a_random_call_keeps_the_rules(acts in acts()) {
        let mut floor = Floor::new(Settings::default(), 0);
        let (mut now, mut marks, mut sentences, mut newest) = (0_i64, 0_u64, 0_u64, 0_u64);
        let (mut prepared, mut current): (Option<u64>, Option<u64>) = (None, None);
        let mut over: Vec<u64> = Vec::new();
        let mut to_voice: VecDeque<(u64, String)> = VecDeque::new();
        let mut on_line: VecDeque<String> = VecDeque::new();
        let (mut spoken, mut heard) = (String::new(), String::new());
        for act in acts {
            let mut out = Vec::new();
            let was_speaking = floor.is_speaking();
            match &act {
                Act::Partial(n) => floor.on(now, Input::Heard(Heard::Partial(WORDS[*n].into())), &mut out),
                Act::Eager(n) => floor.on(now, Input::Heard(Heard::Eager(WORDS[*n].into())), &mut out),
                Act::Resumed => floor.on(now, Input::Heard(Heard::Resumed), &mut out),
                Act::Ended(n) => floor.on(now, Input::Heard(Heard::Ended(WORDS[*n].into())), &mut out),
                Act::Sound(loud) => floor.on(now, Input::Sound(*loud), &mut out),
                Act::Sentence(ago) => {
                    sentences += 1;
                    let text = format!("Sentence number {sentences} is here.");
                    floor.on(now, Input::Sentence { turn: newest.saturating_sub(*ago), text }, &mut out);
                }
                Act::Done(ago) => floor.on(now, Input::AnswerDone { turn: newest.saturating_sub(*ago) }, &mut out),
                Act::Voice => if let Some((turn, text)) = to_voice.pop_front() {
                    marks += 1;
                    on_line.push_back(marks.to_string());
                    floor.on(now, Input::Voiced { turn, mark: marks.to_string(), text, duration_ms: 900, alignment: None }, &mut out);
                },
                Act::Mark => if let Some(mark) = on_line.pop_front() {
                    floor.on(now, Input::Mark(&mark), &mut out);
                },
                Act::Take => {
                    let turn = floor.take(now, &mut out);
                    newest = newest.max(turn);
                    // Told after what is withdrawn for it.
                    for output in std::mem::take(&mut out) {
                        match output {
                            Output::Withdraw { turn } => { prop_assert_eq!(current.take(), Some(turn)); over.push(turn); }
                            Output::Discard { turn } => { prop_assert_eq!(prepared.take(), Some(turn)); over.push(turn); }
                            Output::Clear => to_voice.clear(),
                            Output::Said { .. } => {}
                            other => prop_assert!(false, "{other:?}"),
                        }
                    }
                    current = Some(turn);
                    spoken.clear();
                    heard.clear();
                }
                Act::Wait(ms) => { now += ms; floor.on(now, Input::Tick, &mut out); }
            }
            for output in out {
                match output {
                    Output::Prepare { turn, .. } => {
                        prop_assert!(prepared.is_none() && turn > newest);
                        newest = turn;
                        prepared = Some(turn);
                    }
                    Output::Discard { turn } => { prop_assert_eq!(prepared.take(), Some(turn)); over.push(turn); }
                    Output::Answer { turn, words, prepared: was_prepared } => {
                        prop_assert!(!words.is_empty());
                        prop_assert_eq!(was_prepared, prepared == Some(turn));
                        prop_assert!(was_prepared || turn > newest);
                        newest = newest.max(turn);
                        prepared = prepared.filter(|prepared| *prepared != turn);
                        current = Some(turn);
                        spoken.clear();
                        heard.clear();
                    }
                    Output::Withdraw { turn } => { prop_assert_eq!(current.take(), Some(turn)); over.push(turn); }
                    Output::Speak { turn, text } => {
                        prop_assert_eq!(current, Some(turn), "{:?}", act);
                        prop_assert!(!over.contains(&turn));
                        // What is spoken again after a pause stands in it already.
                        if !spoken.contains(&text) {
                            spoken.push_str(&text);
                            spoken.push(' ');
                        }
                        to_voice.push_back((turn, text));
                    }
                    Output::Clear => { prop_assert!(was_speaking); to_voice.clear(); }
                    Output::Said { turn, text, .. } => {
                        prop_assert!(current == Some(turn) || over.last() == Some(&turn));
                        heard.push_str(&text);
                        heard.push(' ');
                        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
                        prop_assert!(squeezed(&spoken).starts_with(&squeezed(&heard)), "heard {heard:?} of {spoken:?}");
                    }
                    Output::Silent { count } => prop_assert!(count <= Settings::default().reminders_max),
                }
            }
        }
    }
}
