//! Questions about the business itself, which its owner answered once in the settings: when it is open, where it is, how it is reached.

use super::{
    hints::Wanted,
    score::Question,
    words::{Word, Words},
};

/// Longer ones are about something else as well.
const WORDS_MAX: usize = 12;
/// A question that begins with none of these has a question mark.
const BEGINNINGS: [&str; 14] =
    ["are", "at", "can", "could", "do", "how", "hows", "is", "on", "what", "whats", "when", "where", "wheres"];
/// About the person who asks, not about the business.
const ANOTHERS: [&str; 5] = ["me", "mine", "my", "our", "us"];
const OPEN: [&str; 8] = ["open", "opens", "opened", "opening", "close", "closes", "closed", "hours"];
const THERE: [&str; 11] =
    ["address", "based", "directions", "located", "location", "office", "place", "shop", "store", "you", "your"];

/// What is asked of the business itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AboutBusiness {
    /// When it is open.
    Hours,
    /// Where it is.
    Place,
    /// How it is reached.
    Contact,
}

impl AboutBusiness {
    /// The variable that holds the answer.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Hours => "business_hours_answer",
            Self::Place => "location_answer",
            Self::Contact => "contact_answer",
        }
    }

    /// The question as it is named among the sources.
    pub fn question(self) -> &'static str {
        match self {
            Self::Hours => "What are your hours?",
            Self::Place => "Where are you located?",
            Self::Contact => "How can I reach you?",
        }
    }
}

/// What a question asks of the business itself; nothing when it asks anything else too.
pub(super) fn asked(words: &Words, question: &str) -> Option<AboutBusiness> {
    let all = words.all(question);
    let any = |list: &[&str]| all.iter().any(|word| list.contains(&word.folded.as_str()));
    let asks = question.trim_end().ends_with('?')
        || all.first().is_some_and(|Word { folded, .. }| BEGINNINGS.contains(&folded.as_str()));
    if !asks || all.len() > WORDS_MAX || any(&ANOTHERS) {
        return None;
    }
    let question = Question::new(words, question);
    if !question.is_about_the_business() {
        return None;
    }
    match question.wanted {
        Wanted::Time => any(&OPEN).then_some(AboutBusiness::Hours),
        Wanted::Place => any(&THERE).then_some(AboutBusiness::Place),
        Wanted::Contact => Some(AboutBusiness::Contact),
        Wanted::Price | Wanted::Duration | Wanted::Person | Wanted::Number | Wanted::Statement => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{AboutBusiness, Words, asked};

    #[test]
    fn what_is_asked_of_the_business_itself_is_known_and_nothing_else_is() {
        let words = Words::new();
        for (question, expected) in [
            ("When are you open?", Some(AboutBusiness::Hours)),
            ("what are your hours", Some(AboutBusiness::Hours)),
            ("Are you open on Saturdays?", Some(AboutBusiness::Hours)),
            ("Are you closed today?", Some(AboutBusiness::Hours)),
            ("Where are you?", Some(AboutBusiness::Place)),
            ("What's your address?", Some(AboutBusiness::Place)),
            ("Where can I find your office?", Some(AboutBusiness::Place)),
            ("What is your phone number?", Some(AboutBusiness::Contact)),
            ("Can I call you?", Some(AboutBusiness::Contact)),
            ("How can I contact you?", Some(AboutBusiness::Contact)),
            ("You can reach me by phone at 415 555 0123", None),
            ("My phone number is 415 555 0123", None),
            ("Is that my address?", None),
            ("I am located in Springfield", None),
            ("Where is the filter in a furnace?", None),
            ("When can you come?", None),
            ("What time is it?", None),
            ("Where is my technician?", None),
            ("What does a call cost?", None),
            ("How do I open the main valve?", None),
            ("", None),
        ] {
            assert_eq!(asked(&words, question), expected, "{question}");
        }
    }
}
