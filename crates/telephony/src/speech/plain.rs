//! Words fit to be spoken: what a model writes for the eye (marks of Markdown, emoji) is taken out as it streams by.

/// Takes marks out of streamed text. Keeps at most a few characters back, until it is known what they are.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    /// Marks at the beginning of a line that may be a heading or a list.
    held: String,
    mid_line: bool,
    /// Whether the last character let out was a space, so that a mark between two spaces leaves one.
    space: bool,
}

/// A line's marks are never longer: six `#`, or a few spaces and a dash.
const HELD_MAX: usize = 12;

impl Plain {
    /// At the beginning of an answer.
    pub fn new() -> Self {
        Self { space: true, ..Self::default() }
    }

    /// The part of `text` that can be spoken.
    pub fn push(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            self.take(c, &mut out);
        }
        out
    }

    /// The answer is over: what was still kept back.
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        let held = std::mem::take(&mut self.held);
        if !is_line_mark(held.trim()) {
            held.chars().for_each(|c| self.let_out(c, &mut out));
        }
        out
    }

    fn take(&mut self, c: char, out: &mut String) {
        if c == '\n' {
            let held = std::mem::take(&mut self.held);
            if !is_line_mark(held.trim()) {
                held.chars().for_each(|c| self.let_out(c, out));
            }
            self.mid_line = false;
            // A new line is a pause at most.
            self.let_out(' ', out);
        } else if self.mid_line {
            self.let_out(c, out);
        } else if matches!(c, '#' | '-' | '*' | '>' | '+' | ' ' | '\t') && self.held.len() < HELD_MAX {
            self.held.push(c);
        } else {
            self.mid_line = true;
            let held = std::mem::take(&mut self.held);
            // "- milk" is an item, "-5 degrees" and "#5" are not.
            if !(is_line_mark(held.trim()) && held.ends_with([' ', '\t'])) {
                held.chars().for_each(|c| self.let_out(c, out));
            }
            self.let_out(c, out);
        }
    }

    fn let_out(&mut self, c: char, out: &mut String) {
        if is_mark(c) || is_picture(c) {
            return;
        }
        if c.is_whitespace() {
            if !std::mem::replace(&mut self.space, true) {
                out.push(' ');
            }
        } else {
            self.space = false;
            out.push(c);
        }
    }
}

fn is_line_mark(text: &str) -> bool {
    matches!(text, "-" | "*" | "+" | ">")
        || (!text.is_empty() && text.len() <= 6 && text.bytes().all(|byte| byte == b'#'))
}

/// Marks that are never spoken, wherever they stand.
fn is_mark(c: char) -> bool {
    matches!(c, '*' | '`' | '~' | '|' | '•')
}

/// Emoji and what joins them.
fn is_picture(c: char) -> bool {
    matches!(u32::from(c), 0x200d | 0xfe0e | 0xfe0f | 0x20e3 | 0x2600..=0x27bf | 0x2b00..=0x2bff | 0x1f000..=0x1faff | 0xe0020..=0xe007f)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(pieces: &[&str]) -> String {
        let mut filter = Plain::new();
        let mut out: String = pieces.iter().map(|piece| filter.push(piece)).collect();
        out += &filter.finish();
        out
    }

    #[test]
    fn marks_for_the_eye_are_not_spoken() {
        let cases = [
            ("We are **open** until `9`.", "We are open until 9."),
            ("# Hours\n- Monday\n- Tuesday", "Hours Monday Tuesday"),
            ("Great! 😀👍🏽 See you ❤️", "Great! See you "),
            ("It is -5 degrees\n-5 again", "It is -5 degrees -5 again"),
            ("#5 is free", "#5 is free"),
            ("A - B", "A - B"),
            ("> quoted", "quoted"),
            ("snake_case stays", "snake_case stays"),
            ("  spaced   out  ", "spaced out "),
            ("-", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(plain(&[text]), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_text_was_cut(text in "[a-c #*\\-\n`5.😀]{0,40}", size in 1_usize..5) {
            let chars: Vec<char> = text.chars().collect();
            let pieces: Vec<String> = chars.chunks(size).map(|piece| piece.iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            prop_assert_eq!(plain(&pieces), plain(&[&text]));
        }

        #[test]
        fn little_is_kept_back(text in any::<String>()) {
            let mut filter = Plain::new();
            filter.push(&text);
            prop_assert!(filter.held.len() <= HELD_MAX);
        }
    }
}
