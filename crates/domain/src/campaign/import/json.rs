//! JSON, read in pieces: objects one after the other, on lines of their own or in a list.

use serde_json::Value;

use super::{super::limits::LINE_BYTES_MAX, ImportProblem, NOT_UTF8, Rows, look_at_start, normal_key};

/// Bytes that tell what a text is: a mark, or a letter and an empty byte.
const START_BYTES: usize = 8;

/// One text.
#[derive(Default)]
pub(super) struct Json {
    /// The text's begin, until there is enough of it to tell what it is; then nothing.
    start: Vec<u8>,
    started: bool,
    /// The object that is being read.
    object: Vec<u8>,
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The object is longer than allowed; what is left of it is skipped.
    overflow: bool,
    /// Something that is no object was told for this line.
    complained: u64,
    line: u64,
    began: u64,
    any: bool,
}

impl Json {
    pub(super) fn feed(&mut self, bytes: &[u8], rows: &mut Rows) -> Result<(), ImportProblem> {
        if self.started {
            bytes.iter().for_each(|byte| self.byte(*byte, rows));
            return Ok(());
        }
        self.start.extend_from_slice(bytes);
        if self.start.len() < START_BYTES { Ok(()) } else { self.begin(rows) }
    }

    pub(super) fn finish(&mut self, rows: &mut Rows) -> Result<(), ImportProblem> {
        self.begin(rows)?;
        if self.depth > 0 {
            rows.reject(self.began, "the object is not closed");
        }
        if self.any { Ok(()) } else { Err(ImportProblem::Empty) }
    }

    fn begin(&mut self, rows: &mut Rows) -> Result<(), ImportProblem> {
        if self.started {
            return Ok(());
        }
        (self.started, self.line) = (true, 1);
        let start = std::mem::take(&mut self.start);
        look_at_start(start.get(..START_BYTES).unwrap_or(&start))?;
        let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start);
        text.iter().for_each(|byte| self.byte(*byte, rows));
        Ok(())
    }

    fn byte(&mut self, byte: u8, rows: &mut Rows) {
        if byte == b'\n' {
            self.line += 1;
        }
        if self.depth == 0 {
            match byte {
                b'{' => {
                    self.any = true;
                    (self.depth, self.began, self.overflow) = (1, self.line, false);
                    self.object.clear();
                    self.object.push(byte);
                }
                b'[' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if self.complained == self.line => {}
                _ => {
                    self.any = true;
                    self.complained = self.line;
                    rows.reject(self.line, "not a JSON object such as {\"phone\":\"+15551234567\"}");
                }
            }
            return;
        }
        if self.object.len() < LINE_BYTES_MAX {
            self.object.push(byte);
        } else {
            self.overflow = true;
        }
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' => self.depth += 1,
            b'}' => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.whole(rows);
                }
            }
            _ => {}
        }
    }

    fn whole(&mut self, rows: &mut Rows) {
        let line = self.began;
        if self.overflow {
            return rows.reject(line, format!("the object is longer than {LINE_BYTES_MAX} bytes"));
        }
        if std::str::from_utf8(&self.object).is_err() {
            return rows.reject(line, NOT_UTF8);
        }
        match serde_json::from_slice::<Value>(&self.object) {
            Ok(Value::Object(fields)) => {
                let mut cells = Vec::new();
                for (key, value) in fields {
                    match value {
                        Value::Object(inner) => {
                            cells.extend(inner.iter().map(|(key, value)| (normal_key(key), plain(value))));
                        }
                        Value::Null => {}
                        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                            cells.push((normal_key(&key), plain(&value)));
                        }
                    }
                }
                rows.row(line, cells);
            }
            Ok(_) => rows.reject(line, "not a JSON object"),
            Err(error) => rows.reject(line, format!("not JSON: {error}")),
        }
    }
}

/// A value as text: strings as they are, anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
