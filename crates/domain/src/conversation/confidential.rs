//! What an agent was told in confidence, as runs of words that an answer must not contain.
//!
//! Every piece of a streamed answer is checked before it is shown, so the runs are made once per configuration and a check looks at new words only.

use std::{
    collections::{BTreeMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use crate::{
    agent::config::AgentConfig,
    text::{self, Word, Words},
};

/// A run of this many words of the system prompt in an answer is a quotation, not chance.
const ORDERS_RUN_WORDS: usize = 10;
/// The same for a whisper, which is shorter.
const WHISPER_RUN_WORDS: usize = 6;
/// Below this many words a run is everyday speech, however short the text that it is from.
const RUN_WORDS_MIN: usize = 4;

/// Texts that may steer an answer and must not be quoted in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confidential {
    /// By length in words: the hashes of all runs. A hit is compared as text before anything follows from it.
    runs: BTreeMap<usize, HashSet<u64>>,
}

impl Confidential {
    /// The orders and rules of a configuration with its variables filled in.
    pub fn of(config: &AgentConfig) -> Self {
        let mut all = Self::default();
        all.add(&without_quotations(&text::fill(&config.system_prompt, &config.variables)), ORDERS_RUN_WORDS);
        for rule in &config.guardrails {
            all.add(rule, ORDERS_RUN_WORDS);
        }
        all
    }

    /// What colleagues have whispered.
    pub fn whispered(whispers: &[String]) -> Self {
        let mut all = Self::default();
        for whisper in whispers {
            all.add(whisper, WHISPER_RUN_WORDS);
        }
        all
    }

    fn add(&mut self, text: &str, run: usize) {
        let words = Words::of(text);
        let run = run.min(words.len()).max(RUN_WORDS_MIN);
        if words.len() >= run {
            self.runs.entry(run).or_default().extend(words.all().windows(run).map(hash));
        }
    }

    /// The runs of `said` that stand here, joined by single spaces.
    pub(super) fn quoted_by<'a>(&'a self, said: &'a [Word]) -> impl Iterator<Item = String> + 'a {
        self.runs.iter().flat_map(move |(run, known)| {
            said.windows(*run)
                .filter(|window| known.contains(&hash(window)))
                .map(|window| window.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" "))
        })
    }

    /// The longest run, in words: how far back a check of new words has to look.
    pub(super) fn longest_run(&self) -> usize {
        self.runs.last_key_value().map_or(0, |(run, _)| *run)
    }
}

fn hash(words: &[Word]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for word in words {
        word.text.as_str().hash(&mut hasher);
    }
    hasher.finish()
}

/// The orders without what they quote: a quotation is meant to be said.
fn without_quotations(text: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for c in text.chars() {
        match c {
            '"' | '“' | '”' => {
                inside = !inside;
                kept.push_str(" \u{2014} ");
            }
            // A quotation never spans lines; an odd quotation mark must not hide the rest of the orders.
            '\n' => {
                inside = false;
                kept.push(c);
            }
            _ if inside => {}
            _ => kept.push(c),
        }
    }
    kept
}
