//! CSV, read in pieces: any common separator, quotes, line ends and byte order mark, one record in memory at a time.

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

/// One file.
pub(super) struct Csv {
    /// The file's begin, until its first line is whole: it says what separates the fields.
    start: Option<Vec<u8>>,
    reader: Reader,
    output: Vec<u8>,
    written: usize,
    ends: Vec<usize>,
    ended: usize,
    /// The record is longer than allowed; what is left of it is skipped.
    overflow: bool,
    /// Line ends read so far, and whether the last byte was one.
    line_ends: u64,
    at_line_end: bool,
    /// Line ends within what was skipped of the record.
    skipped_line_ends: u64,
    header: Option<Vec<String>>,
}

impl Default for Csv {
    fn default() -> Self {
        Self {
            start: Some(Vec::new()),
            reader: Reader::new(),
            output: vec![0; LINE_BYTES_MAX],
            written: 0,
            ends: vec![0; COLUMNS_MAX],
            ended: 0,
            overflow: false,
            line_ends: 0,
            at_line_end: false,
            skipped_line_ends: 0,
            header: None,
        }
    }
}

impl Csv {
    pub(super) fn feed(&mut self, bytes: &[u8], rows: &mut Rows) -> Result<(), ImportProblem> {
        if bytes.is_empty() {
            return Ok(()); // To the reader that would mean the end.
        }
        let Some(start) = &mut self.start else { return self.read(bytes, rows).map(|_| ()) };
        start.extend_from_slice(bytes);
        if start.contains(&b'\n') || start.contains(&b'\r') || start.len() > LINE_BYTES_MAX {
            self.begin(rows)
        } else {
            Ok(())
        }
    }

    pub(super) fn finish(&mut self, rows: &mut Rows) -> Result<(), ImportProblem> {
        self.begin(rows)?;
        while !self.read(&[], rows)? {}
        if self.header.is_none() { Err(ImportProblem::Empty) } else { Ok(()) }
    }

    /// The first line is here: finds the separator and reads what was kept.
    fn begin(&mut self, rows: &mut Rows) -> Result<(), ImportProblem> {
        let Some(start) = self.start.take() else { return Ok(()) };
        let line = start.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
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
        self.reader = ReaderBuilder::new().delimiter(best.unwrap_or(b',')).build();
        if start.is_empty() { Ok(()) } else { self.read(&start, rows).map(|_| ()) }
    }

    /// Reads all of `bytes`; whether the end of the file was reached.
    fn read(&mut self, mut bytes: &[u8], rows: &mut Rows) -> Result<bool, ImportProblem> {
        loop {
            let (result, read, written, ended) =
                self.reader.read_record(bytes, &mut self.output[self.written..], &mut self.ends[self.ended..]);
            let (consumed, rest) = bytes.split_at(read);
            bytes = rest;
            self.line_ends += line_ends(consumed);
            if let Some(last) = consumed.last() {
                self.at_line_end = *last == b'\n';
            }
            self.written += written;
            self.ended += ended;
            match result {
                ReadRecordResult::InputEmpty => return Ok(false),
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    self.overflow = true;
                    self.skipped_line_ends += line_ends(&self.output[..self.written]);
                    (self.written, self.ended) = (0, 0);
                }
                ReadRecordResult::Record => {
                    // The line it began on: where it ended, less the line ends in its quotes.
                    let inside = line_ends(&self.output[..self.written]) + self.skipped_line_ends;
                    let line = (1 + self.line_ends).saturating_sub(inside + u64::from(self.at_line_end));
                    self.record(line, rows)?;
                    (self.written, self.ended, self.overflow, self.skipped_line_ends) = (0, 0, false, 0);
                }
                ReadRecordResult::End => return Ok(true),
            }
        }
    }

    fn record(&mut self, line: u64, rows: &mut Rows) -> Result<(), ImportProblem> {
        if self.overflow {
            rows.reject(
                line,
                format!("longer than {LINE_BYTES_MAX} bytes or {COLUMNS_MAX} columns; perhaps a quotation mark was not closed"),
            );
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

fn line_ends(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}
