//! Finds questions that a text asks and answers itself, as candidates for FAQ entries. No model is involved.

use std::collections::HashSet;

use crate::extract::{Document, Question};
use crate::snippet::sentences;
use crate::words::{Analyzer, Language};

/// The most candidates of one document: more than this is a forum, not a list of questions.
pub const MAX_PER_DOCUMENT: usize = 100;
/// A shorter line is a label, not a question.
const MIN_QUESTION_CHARS: usize = 6;
/// A question is a line of at most this many characters.
const MAX_QUESTION_CHARS: usize = 200;
/// An answer is cut after this many characters, at a sentence.
const MAX_ANSWER_CHARS: usize = 1_200;
/// A shorter answer than this is a label.
const MIN_ANSWER_CHARS: usize = 2;
/// Two questions that share this part of their words are the same question.
const SAME_QUESTION: f64 = 0.8;

/// Words with which English questions begin, for headings without a question mark.
const OPENERS: [&str; 24] = [
    "are", "can", "could", "did", "do", "does", "has", "have", "how", "is", "may", "must", "should", "was", "what",
    "what's", "when", "where", "which", "who", "whose", "why", "will", "would",
];

/// Question and answer pairs of a document: marked up for machines, headings that ask, bold lines that ask, `Q:`/`A:` pairs.
/// Those that `existing` already asks, in other words or the same, are left out.
#[must_use]
pub fn candidates<'a>(document: &Document, existing: impl IntoIterator<Item = &'a str>) -> Vec<Question> {
    let language = Language::of_tag(document.language.as_deref());
    let analyzer = Analyzer::new(language);
    let mut known: Vec<HashSet<String>> = existing.into_iter().map(|question| words(&analyzer, question)).collect();
    let mut out = Vec::new();
    for found in document.faqs.iter().cloned().chain(in_markdown(&document.markdown)) {
        let Some(found) = tidy(found) else { continue };
        let asked = words(&analyzer, &found.question);
        if known.iter().any(|other| same(&asked, other)) {
            continue;
        }
        known.push(asked);
        out.push(found);
        if out.len() >= MAX_PER_DOCUMENT {
            break;
        }
    }
    out
}

/// A line and what it is for this purpose.
enum Line<'a> {
    Blank,
    Heading(u8, &'a str),
    /// `**…?**` alone on its line.
    Bold(&'a str),
    Asked(&'a str),
    Answered(&'a str),
    Text(&'a str),
}

fn in_markdown(markdown: &str) -> Vec<Question> {
    struct Open {
        question: String,
        /// The level of the heading that asks; `None` for lines inside a text.
        level: Option<u8>,
        answer: Vec<String>,
    }
    let mut out: Vec<Question> = Vec::new();
    let mut open: Option<Open> = None;
    let mut fenced = false;
    let mut close = |open: &mut Option<Open>| {
        if let Some(Open { question, answer, .. }) = open.take()
            && !answer.is_empty()
            && out.len() < MAX_PER_DOCUMENT * 4
        {
            out.push(Question { question, answer: answer.join("\n") });
        }
    };
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let kind = if fenced { Line::Text(line) } else { classify(line) };
        match kind {
            Line::Blank => {}
            Line::Heading(level, text) => {
                close(&mut open);
                if is_question(text) {
                    open = Some(Open { question: text.to_owned(), level: Some(level), answer: Vec::new() });
                }
            }
            Line::Bold(text) | Line::Asked(text) => {
                close(&mut open);
                open = Some(Open { question: text.to_owned(), level: None, answer: Vec::new() });
            }
            Line::Answered(text) => {
                if let Some(open) = &mut open {
                    open.answer.push(text.to_owned());
                }
            }
            Line::Text(text) => {
                if let Some(open) = &mut open {
                    // A paragraph that follows a question inside a text is its answer; a second one may be about something else.
                    let room = open.level.is_some() || open.answer.is_empty() || is_item(text);
                    if room {
                        open.answer.push(text.trim_end().to_owned());
                    }
                }
            }
        }
    }
    close(&mut open);
    out
}

fn classify(line: &str) -> Line<'_> {
    let trimmed = line.trim();
    if trimmed.is_empty() {
        return Line::Blank;
    }
    if let Some((level, text)) = crate::chunk::heading(trimmed) {
        return Line::Heading(level, text);
    }
    let bold = trimmed.strip_prefix("**").and_then(|rest| rest.strip_suffix("**"));
    if let Some(text) = bold
        && !text.contains("**")
        && text.trim_end().ends_with('?')
    {
        return Line::Bold(text.trim());
    }
    let bare = trimmed.trim_start_matches("**");
    for (mark, asked) in
        [("Q:", true), ("Q.", true), ("Question:", true), ("A:", false), ("A.", false), ("Answer:", false)]
    {
        if let Some(rest) = bare.strip_prefix(mark)
            && rest.starts_with([' ', '*'])
        {
            let rest = rest.trim_start_matches("**").trim().trim_end_matches("**").trim();
            if !rest.is_empty() {
                return if asked { Line::Asked(rest) } else { Line::Answered(rest) };
            }
        }
    }
    Line::Text(trimmed)
}

fn is_item(text: &str) -> bool {
    text.starts_with(['-', '*', '|']) || text.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
}

fn is_question(text: &str) -> bool {
    let text = text.trim().trim_matches('*');
    if text.ends_with(['?', '？']) {
        return true;
    }
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default().to_lowercase();
    // "How to reset it" is no question of a visitor, "How do I reset it" is; "What we do" is a title.
    let second = words.next().unwrap_or_default().to_lowercase();
    let asks = ["do", "does", "is", "are", "can", "much", "many", "long", "should", "will"].contains(&second.as_str());
    OPENERS.contains(&first.as_str()) && asks && words.count() >= 1
}

/// A pair fit to be shown, or nothing.
fn tidy(found: Question) -> Option<Question> {
    let question = sentences(&found.question).join(" ");
    let question =
        question.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ')' | ' ')).trim().to_owned();
    let length = question.chars().count();
    if !(MIN_QUESTION_CHARS..=MAX_QUESTION_CHARS).contains(&length) || !question.contains(' ') {
        return None;
    }
    let mut answer = String::new();
    for line in found.answer.lines() {
        for sentence in sentences(line) {
            if answer.chars().count() + sentence.chars().count() + 1 > MAX_ANSWER_CHARS {
                return finish(question, answer);
            }
            if !answer.is_empty() && !answer.ends_with('\n') {
                answer.push(' ');
            }
            answer.push_str(&sentence);
        }
        if !answer.is_empty() && !answer.ends_with('\n') {
            answer.push('\n');
        }
    }
    finish(question, answer)
}

fn finish(question: String, answer: String) -> Option<Question> {
    let answer = answer.trim().to_owned();
    (answer.chars().count() >= MIN_ANSWER_CHARS && !answer.ends_with('?')).then_some(Question { question, answer })
}

fn words(analyzer: &Analyzer, question: &str) -> HashSet<String> {
    analyzer.query(question).into_iter().collect()
}

fn same(a: &HashSet<String>, b: &HashSet<String>) -> bool {
    let all = a.union(b).count();
    all > 0 && a.intersection(b).count() as f64 >= all as f64 * SAME_QUESTION
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_PER_DOCUMENT, candidates};
    use crate::extract::{Document, Question};

    fn found(markdown: &str, existing: &[&str]) -> Vec<(String, String)> {
        let document = Document { markdown: markdown.to_owned(), ..Document::default() };
        candidates(&document, existing.iter().copied()).into_iter().map(|pair| (pair.question, pair.answer)).collect()
    }

    fn pair(question: &str, answer: &str) -> (String, String) {
        (question.to_owned(), answer.to_owned())
    }

    #[test]
    fn headings_bold_lines_and_letters_ask() {
        let markdown = "# Questions\n\nSome intro.\n\n## Do you ship abroad?\n\nYes, to **Europe**.\n\n- France\n- Spain\n\n## What we do\n\nPipes.\n\n\
            ## How much does it cost\n\nFrom $80.\n\n**Are you insured?**\n\nFully.\n\nUnrelated closing words.\n\nQ: Is parking free?\nA: Yes, behind the house.\n";
        assert_eq!(
            found(markdown, &[]),
            [
                pair("Do you ship abroad?", "Yes, to Europe.\nFrance\nSpain"),
                pair("How much does it cost", "From $80."),
                pair("Are you insured?", "Fully."),
                pair("Is parking free?", "Yes, behind the house."),
            ]
        );
    }

    #[test]
    fn questions_already_known_or_asked_twice_are_left_out() {
        let markdown =
            "## Do you ship abroad?\n\nYes.\n\n## Do you ship to abroad?\n\nIndeed.\n\n## Is parking free?\n\nYes.";
        assert_eq!(found(markdown, &["Is the parking free"]), [pair("Do you ship abroad?", "Yes.")]);
    }

    #[test]
    fn questions_without_answers_are_left_out() {
        assert!(found("## Ready to start?\n\n## Have questions?\n\nWhat is it?\n\n# Why?\n\nBecause.", &[]).is_empty());
    }

    #[test]
    fn marked_up_questions_come_first_and_everything_is_bounded() {
        let faqs = vec![Question { question: "Open on Sunday?".into(), answer: "No.".into() }];
        let markdown: String = (0..500).map(|n| format!("## Is number{n} item{n} good?\n\nYes.\n\n")).collect();
        let found = candidates(&Document { faqs, markdown, ..Document::default() }, []);
        assert_eq!(found.len(), MAX_PER_DOCUMENT);
        assert_eq!(found[0].question, "Open on Sunday?");
    }

    #[test]
    fn long_answers_end_at_a_sentence() {
        let markdown = format!("## Is it long?\n\n{}", "This is one sentence of many. ".repeat(200));
        let (_, answer) = &found(&markdown, &[])[0];
        assert!(answer.chars().count() <= 1_200 && answer.ends_with('.'));
    }

    proptest! {
        #[test]
        fn any_markdown_gives_bounded_candidates(markdown in "([#*?QA:. a-z\n-]|é|```){0,300}") {
            for (question, answer) in found(&markdown, &[]) {
                prop_assert!(question.chars().count() <= 200 && !answer.is_empty());
            }
        }
    }
}
