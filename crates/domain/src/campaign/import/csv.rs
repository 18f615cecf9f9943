//! CSV, read in pieces: any common separator, quotes, line ends and byte order mark, one record in memory at a time. A quotation mark that is never
//! closed costs its own line and swallows none of those after it.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::{
    super::{
        limits::{COLUMNS_MAX, LINE_BYTES_MAX},
        number,
    },
    ImportProblem, NOT_UTF8, PHONE_NAMES, Rows, is_one_of, look_at_start, normal_key,
};

/// What fields are separated by.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Characters of the column names that are told when none is the number's.
const COLUMNS_TOLD_CHARS: usize = 200;
/// Lines that one quoted field may have: an address has five, a note that somebody typed twenty. Beyond that the quotation mark was forgotten, and
/// looking further would read a list of such lines over and over.
const QUOTED_LINES_MAX: usize = 50;

/// One file.
pub(super) struct Csv {
    /// What separates fields; unknown until the first line is whole.
    separator: Option<u8>,
    /// What was fed and is not read yet.
    waiting: Vec<u8>,
    /// The line that it begins on.
    line: u64,
    /// A line was longer than allowed; what is left of it is skipped.
    skipping: bool,
    reader: Reader,
    output: Vec<u8>,
    written: usize,
    ends: Vec<usize>,
    ended: usize,
    /// The record has more bytes or columns than allowed.
    overflow: bool,
    header: Option<Vec<String>>,
}

impl Default for Csv {
    fn default() -> Self {
        Self {
            separator: None,
            waiting: Vec::new(),
            line: 1,
            skipping: false,
            reader: Reader::new(),
            output: vec![0; LINE_BYTES_MAX],
            written: 0,
            ends: vec![0; COLUMNS_MAX],
            ended: 0,
            overflow: false,
            header: None,
        }
    }
}

/// Where the next record ends.
#[derive(Debug, PartialEq, Eq)]
enum Cut {
    /// Behind so many bytes.
    Record(usize),
    /// A quotation mark is not closed: so many bytes to the end of its line, which is so many lines further.
    Open(usize, u64),
    /// It is longer than a line may be.
    TooLong,
    /// It is not there yet.
    More,
}

impl Csv {
    pub(super) fn feed(&mut self, bytes: &[u8], rows: &mut Rows) -> Result<(), ImportProblem> {
        self.waiting.extend_from_slice(bytes);
        if self.separator.is_none() {
            let whole = self.waiting.contains(&b'\n') || self.waiting.contains(&b'\r');
            if !whole && self.waiting.len() <= LINE_BYTES_MAX {
                return Ok(());
            }
            self.begin()?;
        }
        self.read(false, rows)
    }

    pub(super) fn finish(&mut self, rows: &mut Rows) -> Result<(), ImportProblem> {
        if self.separator.is_none() {
            self.begin()?;
        }
        self.read(true, rows)?;
        if self.header.is_none() { Err(ImportProblem::Empty) } else { Ok(()) }
    }

    /// The first line is here: finds the separator.
    fn begin(&mut self) -> Result<(), ImportProblem> {
        let line = self.waiting.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
        look_at_start(line)?;
        let outside_quotes = |separator: u8| {
            let mut quoted = false;
            line.iter()
                .filter(|byte| {
                    quoted ^= **byte == b'"';
                    !quoted && **byte == separator
                })
                .count()
        };
        let best = SEPARATORS.into_iter().max_by_key(|separator| {
            // The first one wins where several are equally frequent.
            (outside_quotes(*separator), std::cmp::Reverse(SEPARATORS.iter().position(|known| known == separator)))
        });
        let best = best.unwrap_or(b',');
        self.reader = ReaderBuilder::new().delimiter(best).build();
        self.separator = Some(best);
        Ok(())
    }

    /// Reads all records that are whole.
    fn read(&mut self, last: bool, rows: &mut Rows) -> Result<(), ImportProblem> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = waiting.as_slice();
        let separator = self.separator.unwrap_or(b',');
        while !rest.is_empty() {
            let taken = if self.skipping {
                match rest.iter().position(|byte| *byte == b'\n') {
                    Some(end) => {
                        self.skipping = false;
                        end + 1
                    }
                    None => rest.len(),
                }
            } else {
                match cut(rest, separator, last) {
                    Cut::Record(end) => {
                        self.parse(&rest[..end]);
                        self.record(self.line, rows)?;
                        end
                    }
                    Cut::Open(end, lines) => {
                        let line = self.line + lines;
                        if self.header.is_none() {
                            return Err(ImportProblem::OpenQuote { line });
                        }
                        rows.reject(line, "a quotation mark on this line is not closed; close it or leave it out");
                        end
                    }
                    Cut::TooLong => {
                        self.has_header(self.line)?;
                        rows.reject(self.line, too_long());
                        self.skipping = true;
                        0
                    }
                    Cut::More => break,
                }
            };
            self.line += line_ends(&rest[..taken]);
            rest = &rest[taken..];
        }
        self.waiting = rest.to_vec();
        Ok(())
    }

    /// Takes one record apart.
    fn parse(&mut self, mut bytes: &[u8]) {
        self.reader.reset();
        (self.written, self.ended, self.overflow) = (0, 0, false);
        loop {
            let (result, _, written, ended) =
                self.reader.read_record(bytes, &mut self.output[self.written..], &mut self.ends[self.ended..]);
            self.written += written;
            self.ended += ended;
            match result {
                ReadRecordResult::InputEmpty => bytes = &[], // All of it is read: to the reader that is the end.
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    self.overflow = true;
                    return;
                }
                ReadRecordResult::Record | ReadRecordResult::End => return,
            }
        }
    }

    fn record(&mut self, line: u64, rows: &mut Rows) -> Result<(), ImportProblem> {
        if self.overflow {
            self.has_header(line)?;
            rows.reject(line, too_long());
            return Ok(());
        }
        let Some(cells) = self.cells() else {
            if self.header.is_none() {
                // Without its names nothing else can be understood.
                return Err(ImportProblem::NoPhoneColumn { columns: "not readable, the file is not UTF-8".to_owned() });
            }
            rows.reject(line, NOT_UTF8);
            return Ok(());
        };
        if cells.iter().all(|cell| cell.trim().is_empty()) {
            return Ok(());
        }
        match &self.header {
            // A comma within a value would put all that follows into other columns: nobody is to be called by the name of their company.
            Some(header) if cells.iter().skip(header.len()).any(|cell| !cell.trim().is_empty()) => {
                let (has, names) = (cells.len(), header.len());
                rows.reject(
                    line,
                    format!("has {has} values where the first line names {names} columns; put a value that has a separator in it into quotation marks"),
                );
            }
            Some(header) => {
                let cells = header.iter().cloned().zip(cells).collect();
                rows.row(line, cells);
            }
            None => {
                let names: Vec<String> = cells.iter().map(|cell| normal_key(cell)).collect();
                if names.iter().any(|name| is_one_of(name, &PHONE_NAMES)) {
                    self.header = Some(names);
                } else if cells.len() == 1 && number::normal(&cells[0], rows.default_country.as_deref()).is_ok() {
                    // A list of numbers alone.
                    self.header = Some(vec![PHONE_NAMES[0].to_owned()]);
                    rows.row(line, vec![(PHONE_NAMES[0].to_owned(), cells.into_iter().next().unwrap_or_default())]);
                } else {
                    let columns = crate::text::shorten(&cells.join(", "), COLUMNS_TOLD_CHARS);
                    return Err(ImportProblem::NoPhoneColumn { columns });
                }
            }
        }
        Ok(())
    }

    /// A line that is too long is one line less, but for the first: without its names nothing else can be understood.
    fn has_header(&self, line: u64) -> Result<(), ImportProblem> {
        match self.header {
            Some(_) => Ok(()),
            None => Err(ImportProblem::LongHeader { line, what: too_long() }),
        }
    }

    /// The record's fields; `None` if they are not UTF-8.
    fn cells(&self) -> Option<Vec<String>> {
        let mut from = 0;
        self.ends[..self.ended]
            .iter()
            .map(|end| {
                let cell = self.output.get(from..*end)?;
                from = *end;
                std::str::from_utf8(cell).ok().map(str::to_owned)
            })
            .collect()
    }
}

fn too_long() -> String {
    format!("longer than {LINE_BYTES_MAX} bytes or {COLUMNS_MAX} columns")
}

/// Line ends, however they are written.
fn line_ends(bytes: &[u8]) -> u64 {
    let ends = bytes.iter().enumerate().filter(|(at, byte)| match byte {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    });
    ends.map(|_| 1).sum()
}

/// Where the record at the begin of `bytes` ends. `last`: nothing follows them.
fn cut(bytes: &[u8], separator: u8, last: bool) -> Cut {
    let mut at = 0;
    // At the begin of a field a quotation mark opens it; elsewhere it is a character like any other.
    let mut fresh = true;
    // Within quotes: how many lines further they were opened, where that line ends once it has, and how many line ends they hold.
    let mut quoted: Option<(u64, Option<usize>, usize)> = None;
    let mut lines = 0;
    if bytes.starts_with(b"\xef\xbb\xbf") {
        at = 3;
    }
    while let Some(byte) = bytes.get(at).copied() {
        let next = bytes.get(at + 1).copied();
        if matches!(byte, b'\r' | b'"') && next.is_none() && !last {
            return Cut::More; // What follows decides what it is.
        }
        let end_of_line = match (byte, next) {
            (b'\r', Some(b'\n')) => 2,
            (b'\r' | b'\n', _) => 1,
            _ => 0,
        };
        match &mut quoted {
            Some((opened, line_end, inside)) => match byte {
                b'"' if next == Some(b'"') => at += 1,
                b'"' => {
                    let closes = next.is_none_or(|next| next == separator || matches!(next, b'\r' | b'\n'));
                    // Within its line what follows is forgiven; a mark that closes the quotes of another line does not belong to them.
                    if let (false, Some(end)) = (closes, *line_end) {
                        return Cut::Open(end, *opened);
                    }
                    quoted = None;
                }
                _ if end_of_line > 0 => {
                    lines += 1;
                    *inside += 1;
                    let end = *line_end.get_or_insert(at + end_of_line);
                    if *inside > QUOTED_LINES_MAX {
                        return Cut::Open(end, *opened);
                    }
                    at += end_of_line - 1;
                }
                _ => {}
            },
            None if end_of_line > 0 => return Cut::Record(at + end_of_line),
            None => {
                if byte == b'"' && fresh {
                    quoted = Some((lines, None, 0));
                }
                fresh = byte == separator;
            }
        }
        at += 1;
        if at > LINE_BYTES_MAX {
            return match quoted {
                Some((opened, Some(end), _)) => Cut::Open(end, opened),
                Some((_, None, _)) | None => Cut::TooLong,
            };
        }
    }
    match quoted {
        _ if !last => Cut::More,
        Some((opened, end, _)) => Cut::Open(end.unwrap_or(bytes.len()), opened),
        None => Cut::Record(bytes.len()),
    }
}
