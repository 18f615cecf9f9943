//! Who is called: a persona that follows from a seed, a number, and how often that number was called before.

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persona {
    /// A person answers and talks for so many seconds; some hang up in mid-word.
    Person {
        /// Seconds.
        talk_s: u32,
    },
    /// Nobody picks up.
    Away,
    /// The line is busy.
    Busy,
    /// A voicemail box with a greeting and a beep.
    Machine,
    /// A fax.
    Fax,
    /// There is no such line.
    NoLine,
    /// The network fails.
    Broken,
}

/// How a person who answers takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Hears it out and answers.
    Answers,
    /// Does not want it.
    NotInterested,
    /// Wants never to be called again.
    NeverAgain,
    /// Wants to be called another time, and says when.
    Later,
    /// Says nothing.
    Silent,
}

impl Manner {
    /// Of the `nth` call to a number.
    pub fn of(seed: u64, to: &str, nth: usize) -> Self {
        match Chance::new(seed, &["manner", to, &nth.to_string()]).below(100) {
            0..50 => Self::Answers,
            50..68 => Self::NotInterested,
            68..74 => Self::NeverAgain,
            74..88 => Self::Later,
            _ => Self::Silent,
        }
    }

    /// In the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Answers => "answers",
            Self::NotInterested => "not_interested",
            Self::NeverAgain => "never_again",
            Self::Later => "later",
            Self::Silent => "silent",
        }
    }

    /// What they say when they have the floor for the `nth` time, from 0.
    pub fn line(self, nth: usize) -> Option<&'static str> {
        let lines: &[&str] = match self {
            Self::Answers => &[
                "Yes, speaking.",
                "It is about the boiler.",
                "Sometime next month.",
                "Two thousand dollars.",
                "Thank you, goodbye.",
            ],
            Self::NotInterested => &["I am not interested, thank you."],
            Self::NeverAgain => &["Please take me off your list."],
            Self::Later => &["Sorry, this is a bad time.", "Call me tomorrow at 3 pm."],
            Self::Silent => &[],
        };
        lines.get(nth).copied()
    }

    /// Whether what they want of the call was said and answered, once so many of their lines were.
    pub fn is_understood(self, answered: usize) -> bool {
        match self {
            Self::NotInterested | Self::NeverAgain => answered >= 1,
            Self::Later => answered >= 2,
            Self::Answers | Self::Silent => false,
        }
    }
}

/// Numbers that follow from a seed and a name, one after the other.
pub struct Chance {
    reader: blake3::OutputReader,
}

impl Chance {
    /// Of a seed and parts of a name.
    pub fn new(seed: u64, parts: &[&str]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_be_bytes());
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
        }
        Self { reader: hasher.finalize_xof() }
    }

    /// The next number below a bound.
    pub fn below(&mut self, bound: u32) -> u32 {
        let mut bytes = [0; 8];
        self.reader.fill(&mut bytes);
        // Of 64 bits, so that small bounds are even.
        u32::try_from(u64::from_be_bytes(bytes) % u64::from(bound.max(1))).unwrap_or(0)
    }

    /// Whether something happens that happens so often of a hundred times.
    pub fn happens(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }
}

impl Persona {
    /// Who answers the `nth` call to a number.
    pub fn of(seed: u64, to: &str, nth: usize) -> Self {
        let mut whose = Chance::new(seed, &["line", to]);
        // What a line is does not change from call to call.
        match whose.below(100) {
            0..3 => return Self::NoLine,
            3..5 => return Self::Fax,
            _ => {}
        }
        let mut chance = Chance::new(seed, &["call", to, &nth.to_string()]);
        match chance.below(100) {
            0..45 => Self::Person { talk_s: 5 + chance.below(90) },
            45..50 => Self::Person { talk_s: 1 },
            50..62 => Self::Busy,
            62..80 => Self::Away,
            80..97 => Self::Machine,
            _ => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_persona_follows_from_seed_number_and_count_and_all_kinds_occur() {
        let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
        for n in 0..2_000 {
            let to = format!("+1415555{n:04}");
            assert_eq!(Persona::of(7, &to, 1), Persona::of(7, &to, 1));
            let kind = format!("{:?}", Persona::of(7, &to, 1));
            *kinds.entry(kind.split([' ', '{']).next().unwrap_or_default().to_owned()).or_default() += 1;
        }
        assert_eq!(kinds.len(), 7, "{kinds:?}");
        assert!((800..1_150).contains(&kinds["Person"]), "{kinds:?}");
        let differs =
            (0..100).any(|nth| Persona::of(7, "+14155550123", nth) != Persona::of(7, "+14155550123", nth + 1));
        assert!(differs, "another call may find somebody else");
    }

    #[test]
    fn people_take_a_call_in_every_manner_and_have_an_end() {
        let mut words = std::collections::BTreeSet::new();
        for n in 0..500 {
            let manner = Manner::of(7, &format!("+1415555{n:04}"), 1);
            words.insert(manner.word());
            assert_eq!(manner.line(50), None);
        }
        assert_eq!(words.len(), 5, "{words:?}");
    }

    #[test]
    fn what_a_line_is_stays() {
        let fax = (0..5_000).map(|n| format!("+1415{n:07}")).find(|to| Persona::of(3, to, 0) == Persona::Fax);
        let fax = fax.expect("one of thousands is a fax");
        assert!((0..20).all(|nth| Persona::of(3, &fax, nth) == Persona::Fax));
    }
}
