//! Cuts streamed words into sentences: a voice begins with the first whole one, and a mark stands behind each.

/// A sentence without any end is cut at a space after this many bytes: a voice must not wait for a model that writes no full stops.
const SENTENCE_BYTES_MAX: usize = 400;
/// Words whose full stop ends no sentence, lower case.
const ABBREVIATIONS: [&str; 22] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "no", "vs", "etc", "approx", "inc", "ltd", "co", "ave", "blvd", "rd", "apt",
    "jr", "sr", "e.g", "i.e", "dept",
];

/// Collects streamed words.
#[derive(Clone, Debug, Default)]
pub struct Sentences {
    text: String,
}

impl Sentences {
    /// Nothing was said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The sentences that are whole now. Joined with the rest they are the text, to the character.
    pub fn push(&mut self, words: &str) -> Vec<String> {
        let mut whole = Vec::new();
        for c in words.chars() {
            self.text.push(c);
            if self.ends_here(c) {
                whole.push(std::mem::take(&mut self.text));
            }
        }
        whole
    }

    /// The answer is over: what is left, if anything but spaces.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.text);
        (!rest.trim().is_empty()).then_some(rest)
    }

    /// A sentence ends with the space behind its mark: before that, "3." may become "3.50".
    fn ends_here(&self, last: char) -> bool {
        // Scripts without spaces have marks of their own.
        if matches!(last, '。' | '！' | '？') {
            return true;
        }
        if !last.is_whitespace() {
            return self.text.len() >= SENTENCE_BYTES_MAX * 2;
        }
        if self.text.len() >= SENTENCE_BYTES_MAX || last == '\n' {
            return !self.text.trim().is_empty();
        }
        let said = self.text.trim_end().trim_end_matches(['"', '\'', ')', '”', '’']);
        match said.chars().next_back() {
            Some('!' | '?' | '…') => true,
            Some('.') => {
                let word = said
                    .trim_end_matches('.')
                    .rsplit(|c: char| c.is_whitespace() || c == '(')
                    .next()
                    .unwrap_or_default();
                let initial = word.len() == 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
                // "1." begins an item; "at 9." ends a sentence.
                let item = said.trim_end_matches('.').trim().len() == word.len()
                    && word.bytes().all(|byte| byte.is_ascii_digit());
                !(initial || item || ABBREVIATIONS.contains(&word.to_lowercase().as_str()))
            }
            Some(_) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(text: &str) -> Vec<String> {
        let mut sentences = Sentences::new();
        let mut all = sentences.push(text);
        all.extend(sentences.finish());
        all.iter().map(|sentence| sentence.trim().to_owned()).collect()
    }

    #[test]
    fn sentences_end_where_people_pause() {
        let cases: [(&str, &[&str]); 8] = [
            ("Sure. We open at 9. Anything else?", &["Sure.", "We open at 9.", "Anything else?"]),
            ("Dr. Smith costs $3.50 today.", &["Dr. Smith costs $3.50 today."]),
            ("He said \"Stop!\" Then he left.", &["He said \"Stop!\"", "Then he left."]),
            ("Call J. Doe, e.g. tomorrow. Bye", &["Call J. Doe, e.g. tomorrow.", "Bye"]),
            ("1. Milk\n2. Bread", &["1. Milk", "2. Bread"]),
            ("Wait... there is more!", &["Wait...", "there is more!"]),
            ("はい。わかりました。", &["はい。", "わかりました。"]),
            ("   ", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(cut(text), expected, "{text:?}");
        }
    }

    #[test]
    fn words_without_an_end_are_cut_at_a_space() {
        let pieces = cut(&"word ".repeat(300));
        assert!(pieces.len() > 3 && pieces.iter().all(|piece| piece.len() <= SENTENCE_BYTES_MAX + 5));
        assert!(cut(&"x".repeat(5000)).iter().all(|piece| piece.len() <= SENTENCE_BYTES_MAX * 2 + 4));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_the_cut_of_the_stream_does_not_matter(text in "[a-cA-C .!?\n1]{0,80}", size in 1_usize..6) {
            let mut sentences = Sentences::new();
            let chars: Vec<char> = text.chars().collect();
            let mut all: Vec<String> = chars.chunks(size).flat_map(|piece| sentences.push(&piece.iter().collect::<String>())).collect();
            all.extend(sentences.finish());
            let joined = all.concat();
            prop_assert_eq!(joined.trim_end(), text.trim_end());
            let mut whole = Sentences::new();
            let mut at_once = whole.push(&text);
            at_once.extend(whole.finish());
            prop_assert_eq!(all, at_once);
        }
    }
}
