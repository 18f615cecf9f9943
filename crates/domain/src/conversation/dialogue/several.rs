//! Several messages that one turn answers: which distinct questions they ask, and one answer to each, told apart.

use super::Mood;
use crate::{
    conversation::retrieved::{KnowledgeAnswer, SOURCES_MAX},
    text::{self, Words},
};

/// Questions that are looked up apart; whoever sends more at once gets the newest ones answered.
pub const QUESTIONS_MAX: usize = 4;
/// Words up to which a question that begins with "and" or "what about" only goes on with the one before it.
const CONTINUES_WORDS_MAX: usize = 5;
/// Characters of a question as it stands before its answer.
const QUOTE_CHARS_MAX: usize = 90;
/// Asks whether anybody is there, and nothing about the business.
const PRESENCE: [&str; 10] = [
    "hello",
    "hi",
    "hey",
    "are you there",
    "are you still there",
    "anyone there",
    "anybody there",
    "is anyone there",
    "is anybody there",
    "still there",
];
/// Begins a question that needs the one before it.
const CONTINUES: [&str; 5] = ["and", "or", "what about", "how about", "what if"];

/// The questions that a turn's messages ask, each to be looked up by itself: those messages that are questions of their own, where there are
/// several; else everything that was said, because what surrounds a question explains it.
pub fn questions(posts: &[String]) -> Vec<String> {
    let mut asked: Vec<String> = Vec::new();
    let mut explained = false;
    for post in posts {
        let words = Words::of(post);
        let said = words.joined();
        let mood = Mood::of(post, &words);
        if PRESENCE.contains(&said.as_str()) || mood.greeting || mood.thanks || mood.bye || words.is_empty() {
            continue;
        }
        let continues = words.len() <= CONTINUES_WORDS_MAX
            && CONTINUES.iter().any(|start| words.find(start).is_some_and(|place| place.start == 0));
        match asked.last_mut() {
            Some(last) if mood.question && continues => *last = format!("{last}\n{post}"),
            _ if mood.question => {
                if !asked.iter().any(|other| Words::of(other).joined() == said) {
                    asked.push(post.clone());
                }
            }
            _ => explained = true,
        }
    }
    if asked.len() > QUESTIONS_MAX {
        asked.drain(..asked.len() - QUESTIONS_MAX);
    }
    match asked.len() {
        0 => vec![posts.join("\n")],
        1 if explained => vec![posts.join("\n")],
        _ => asked,
    }
}

/// What was found on several questions as one answer, each under its question; and those on which nothing was found.
/// `fallback` is what is said of those where others are answered.
pub fn together(
    found: Vec<(String, Option<KnowledgeAnswer>)>,
    fallback: &str,
) -> (Option<KnowledgeAnswer>, Vec<String>) {
    let missed: Vec<String> =
        found.iter().filter(|(_, answer)| answer.is_none()).map(|(question, _)| question.clone()).collect();
    if found.len() <= 1 {
        return (found.into_iter().next().and_then(|(_, answer)| answer), missed);
    }
    let mut told: Vec<(Vec<String>, KnowledgeAnswer)> = Vec::new();
    for (question, answer) in found {
        let Some(answer) = answer else { continue };
        match told.iter_mut().find(|(_, other)| other.text.trim() == answer.text.trim()) {
            // Two ways to ask the same thing get one answer.
            Some((questions, _)) => questions.push(question),
            None => told.push((vec![question], answer)),
        }
    }
    if told.is_empty() {
        return (None, missed);
    }
    let mut all = KnowledgeAnswer { confidence: 1.0, ..KnowledgeAnswer::default() };
    let apart = told.len() > 1 || !missed.is_empty();
    let mut paragraphs: Vec<String> = Vec::new();
    for (questions, answer) in told {
        let said = answer.text.trim();
        paragraphs.push(if apart { under(&questions[0], said) } else { said.to_owned() });
        // As sure as the least sure part of it.
        all.confidence = all.confidence.min(answer.confidence);
        for source in answer.sources {
            if all.sources.len() < SOURCES_MAX && !all.sources.iter().any(|known| known.chunk_id == source.chunk_id) {
                all.sources.push(source);
            }
        }
    }
    paragraphs.extend(missed.first().map(|question| under(question, fallback)));
    all.text = paragraphs.join("\n\n");
    (Some(all), missed)
}

fn under(question: &str, said: &str) -> String {
    format!("On \"{}\": {said}", text::shorten(&text::one_line(question), QUOTE_CHARS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::retrieved::SourceRef;

    fn posts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn answer(text: &str, source: &str) -> Option<KnowledgeAnswer> {
        let sources = vec![SourceRef { chunk_id: source.into(), ..SourceRef::default() }];
        Some(KnowledgeAnswer { text: text.into(), sources, confidence: 0.8 })
    }

    #[test]
    fn messages_that_are_questions_of_their_own_are_told_apart() {
        for (said, asked) in [
            (
                &["Do you offer financing?", "Do you work weekends?"][..],
                &["Do you offer financing?", "Do you work weekends?"][..],
            ),
            (&["Do you offer financing?", "hello?", "are you there?"], &["Do you offer financing?"]),
            (&["Do you offer financing?", "do you offer financing"], &["Do you offer financing?"]),
            (&["Are you open on Saturday?", "and on Sunday?"], &["Are you open on Saturday?\nand on Sunday?"]),
            (&["How much is it?", "for a kitchen sink"], &["How much is it?\nfor a kitchen sink"]),
            (&["My sink leaks.", "please hurry"], &["My sink leaks.\nplease hurry"]),
            (&["What do you charge?"], &["What do you charge?"]),
        ] {
            assert_eq!(questions(&posts(said)), posts(asked));
        }
        let many: Vec<String> = (0..9).map(|nth| format!("What is number {nth}?")).collect();
        assert_eq!(questions(&many), many[9 - QUESTIONS_MAX..]);
    }

    #[test]
    fn each_question_gets_its_answer_under_it_and_what_is_not_known_is_said_so() {
        let found = vec![
            ("Financing?".to_owned(), answer("In twelve installments.", "a")),
            ("Weekends?".to_owned(), answer("On Saturdays.", "b")),
            ("Kites?".to_owned(), None),
        ];
        let (said, missed) = together(found, "Let me ask.");
        let said = said.expect("an answer");
        assert_eq!(
            said.text,
            "On \"Financing?\": In twelve installments.\n\nOn \"Weekends?\": On Saturdays.\n\nOn \"Kites?\": Let me ask."
        );
        assert_eq!((said.sources.len(), missed), (2, vec!["Kites?".to_owned()]));
    }

    #[test]
    fn one_question_or_one_answer_stands_as_it_is() {
        let (said, missed) = together(vec![("Weekends?".into(), answer("On Saturdays.", "b"))], "Let me ask.");
        assert_eq!((said.expect("an answer").text.as_str(), missed.len()), ("On Saturdays.", 0));
        let twice = vec![
            ("Weekends?".into(), answer("On Saturdays.", "b")),
            ("Saturday?".into(), answer("On Saturdays.", "b")),
        ];
        assert_eq!(together(twice, "Let me ask.").0.expect("an answer").text, "On Saturdays.");
        let (said, missed) = together(vec![("A?".into(), None), ("B?".into(), None)], "Let me ask.");
        assert!(said.is_none() && missed == ["A?", "B?"]);
    }
}
