//! Small sounds and unfinished sentences, told by their words.

/// Sounds of a listener who does not want the floor.
const BACKCHANNEL: [&str; 25] = [
    "mhm", "mm", "mmhm", "mmhmm", "mmm", "hm", "hmm", "uh", "uhhuh", "uhuh", "huh", "um", "ah", "aha", "oh", "ok",
    "okay", "yeah", "yep", "yes", "right", "sure", "great", "good", "alright",
];
/// Words no sentence ends with.
const UNFINISHED: [&str; 31] = [
    "and", "but", "or", "so", "because", "um", "uh", "uhm", "er", "the", "a", "an", "my", "your", "our", "is", "are",
    "at", "in", "on", "to", "for", "with", "from", "of", "that", "if", "when", "like", "i", "it's",
];

/// Words that are more than a listener's sounds.
pub fn meaningful(text: &str) -> usize {
    words(text).filter(|word| !BACKCHANNEL.contains(&word.as_str())).count()
}

/// Whether there is nothing in it but a listener's sounds.
pub fn is_backchannel(text: &str) -> bool {
    meaningful(text) == 0
}

/// Whether the speaker has probably not finished.
pub fn is_unfinished(text: &str) -> bool {
    let text = text.trim();
    if text.ends_with(['.', '!', '?', '。', '！', '？']) {
        return false;
    }
    text.ends_with([',', '-', '–', ':']) || words(text).last().is_some_and(|word| UNFINISHED.contains(&word.as_str()))
}

/// Whether two texts say the same: speech-to-text changes case and punctuation to the last.
pub fn same(a: &str, b: &str) -> bool {
    words(a).eq(words(b))
}

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| c.is_whitespace() || c == '-')
        .map(|word| {
            word.chars().filter(|c| c.is_alphanumeric() || *c == '\'').flat_map(char::to_lowercase).collect::<String>()
        })
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_sounds_are_told_from_words() {
        for text in ["Mhm.", "uh-huh", "Yeah, okay!", "", "mm-hmm"] {
            assert!(is_backchannel(text), "{text}");
        }
        assert_eq!((meaningful("Yeah but wait"), meaningful("no"), meaningful("Okay, stop")), (2, 1, 1));
    }

    #[test]
    fn unfinished_sentences_are_told_from_finished_ones() {
        for (text, expected) in [
            ("I need a plumber and", true),
            ("my number is", true),
            ("well,", true),
            ("I need a plumber", false),
            ("What is it for?", false),
            ("", false),
        ] {
            assert_eq!(is_unfinished(text), expected, "{text}");
        }
        assert!(same("I need, a Plumber.", "i need a plumber") && !same("I need a plumber", "I need a plumber now"));
    }
}
