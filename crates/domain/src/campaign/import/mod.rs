//! Reads lists of people to call: CSV, JSON or leads become targets, and each line that cannot is named with its reason. Memory stays bounded however
//! long the list is: bytes are fed in pieces, targets are taken out in between.

mod csv;
mod json;
mod leads;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

pub use leads::LeadFilter;

use super::{
    callees::Listed,
    core::Imported,
    limits::{FIELDS_MAX, LISTED_BYTES_MAX, NAME_CHARS_MAX, REJECTED_TOLD_MAX, VALUE_CHARS_MAX},
    number::{self, is_country},
};

/// Names of the column with the number, in their normal form.
const PHONE_NAMES: [&str; 12] = [
    "phone",
    "phone_number",
    "phonenumber",
    "telephone",
    "telephone_number",
    "tel",
    "mobile",
    "mobile_phone",
    "mobile_number",
    "cell",
    "cell_phone",
    "number",
];
/// Names of the column with the name.
const NAME_NAMES: [&str; 4] = ["name", "full_name", "fullname", "contact_name"];
/// Names of the column with the number's country, two letters.
const COUNTRY_NAMES: [&str; 2] = ["country", "country_code"];

/// A line that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Counts from 1; of leads, their place.
    pub line: u64,
    /// In words.
    pub reason: String,
}

/// Why a list is not read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportProblem {
    /// Every second byte is empty.
    #[error("this file is UTF-16 (\"Unicode text\"); save it as CSV UTF-8")]
    Utf16,
    /// A spreadsheet or another archive.
    #[error("this is a spreadsheet or an archive and not a list; export it as CSV UTF-8")]
    Archive,
    /// No column holds numbers.
    #[error("no column is called phone; the columns are: {columns}")]
    NoPhoneColumn {
        /// The names that are there, shortened.
        columns: String,
    },
    /// The line with the names of the columns has a quotation mark too many.
    #[error("a quotation mark on line {line} is not closed; close it or leave it out")]
    OpenQuote {
        /// Which.
        line: u64,
    },
    /// The line with the names of the columns does not fit.
    #[error("line {line}, which names the columns, is {what}; leave out the columns that the calls do not need")]
    LongHeader {
        /// Which.
        line: u64,
        /// In words.
        what: String,
    },
    /// There is nothing.
    #[error("the list is empty")]
    Empty,
}

/// What kind of text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma, semicolon, tab or bar separated, with a header or of numbers alone.
    Csv,
    /// JSON lines, or a list of objects.
    Json,
}

/// Reads one list.
pub struct Importer {
    rows: Rows,
    text: Text,
}

enum Text {
    Csv(Box<csv::Csv>),
    Json(Box<json::Json>),
    Leads,
}

impl Importer {
    /// `known` are the numbers that the campaign has already, `room` how many more it may have, `default_country` what a number without its country means.
    pub fn new(format: Format, known: HashSet<String>, room: u32, default_country: Option<String>) -> Self {
        let text = match format {
            Format::Csv => Text::Csv(Box::default()),
            Format::Json => Text::Json(Box::default()),
        };
        Self { rows: Rows::new(known, room, default_country), text }
    }

    /// One that is given leads.
    pub fn of_leads(known: HashSet<String>, room: u32, default_country: Option<String>) -> Self {
        Self { rows: Rows::new(known, room, default_country), text: Text::Leads }
    }

    /// The next bytes, in pieces of any size.
    ///
    /// # Errors
    /// When nothing of the list can be read; lines that cannot are in the result.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), ImportProblem> {
        match &mut self.text {
            Text::Csv(csv) => csv.feed(bytes, &mut self.rows),
            Text::Json(json) => json.feed(bytes, &mut self.rows),
            Text::Leads => Ok(()),
        }
    }

    /// A lead that the filter has let through.
    pub fn lead(&mut self, lead: &crate::lead::State) {
        leads::row(lead, &mut self.rows);
    }

    /// The targets read since this was asked last.
    pub fn take(&mut self) -> Vec<Listed> {
        std::mem::take(&mut self.rows.targets)
    }

    /// The end of the list: the last targets and what it came to.
    ///
    /// # Errors
    /// When nothing of the list can be read.
    pub fn finish(mut self) -> Result<(Vec<Listed>, Imported), ImportProblem> {
        match &mut self.text {
            Text::Csv(csv) => csv.finish(&mut self.rows)?,
            Text::Json(json) => json.finish(&mut self.rows)?,
            Text::Leads => {}
        }
        let targets = self.take();
        Ok((targets, self.rows.result))
    }
}

/// What has been read.
struct Rows {
    known: HashSet<String>,
    room: u32,
    default_country: Option<String>,
    targets: Vec<Listed>,
    result: Imported,
}

impl Rows {
    fn new(known: HashSet<String>, room: u32, default_country: Option<String>) -> Self {
        Self { known, room, default_country, targets: Vec::new(), result: Imported::default() }
    }

    fn reject(&mut self, line: u64, reason: impl Into<String>) {
        self.result.rejected += 1;
        if self.result.told.len() < REJECTED_TOLD_MAX {
            self.result.told.push(Rejected { line, reason: reason.into() });
        }
    }

    /// One line, as names (in normal form) with values.
    fn row(&mut self, line: u64, cells: Vec<(String, String)>) {
        let mut phone = None;
        let (mut name, mut country) = (None, self.default_country.clone());
        let mut fields = BTreeMap::new();
        for (key, value) in cells {
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            if is_one_of(&key, &PHONE_NAMES) {
                // The first of several columns that has one.
                phone = phone.or_else(|| Some(value.to_owned()));
                continue;
            }
            if value.chars().count() > VALUE_CHARS_MAX {
                return self.reject(line, format!("{key} has more than {VALUE_CHARS_MAX} characters"));
            }
            if is_one_of(&key, &NAME_NAMES) {
                name = Some(value.to_owned());
            } else if is_one_of(&key, &COUNTRY_NAMES) && is_country(&value.to_ascii_uppercase()) {
                country = Some(value.to_ascii_uppercase());
            } else if !key.is_empty() {
                fields.insert(key, value.to_owned());
            }
        }
        if fields.len() > FIELDS_MAX {
            return self.reject(line, format!("at most {FIELDS_MAX} columns besides phone and name"));
        }
        let name = name.or_else(|| full_name(&fields));
        let target = Listed { name, fields, ..Listed::default() };
        self.target(line, &phone.unwrap_or_default(), country.as_deref(), target);
    }

    /// One target, whose number is still as it was written.
    fn target(&mut self, line: u64, phone: &str, country: Option<&str>, mut target: Listed) {
        let number = match number::normal(phone, country) {
            Ok(number) => number,
            Err(problem) => return self.reject(line, problem.to_string()),
        };
        if target.name.as_ref().is_some_and(|name| name.chars().count() > NAME_CHARS_MAX) {
            return self.reject(line, format!("the name has more than {NAME_CHARS_MAX} characters"));
        }
        if serde_json::to_string(&(&target.name, &target.fields)).map_or(usize::MAX, |text| text.len())
            > LISTED_BYTES_MAX
        {
            return self.reject(line, format!("the line comes to more than {LISTED_BYTES_MAX} bytes"));
        }
        if self.known.contains(&number.e164) {
            self.result.duplicates += 1;
            return;
        }
        if self.room == 0 {
            return self.reject(line, "the campaign is full; begin another one for the rest");
        }
        self.room -= 1;
        self.result.accepted += 1;
        self.known.insert(number.e164.clone());
        (target.phone, target.zones) = (number.e164, number.zones);
        self.targets.push(target);
    }
}

fn full_name(fields: &BTreeMap<String, String>) -> Option<String> {
    let part = |key: &str| fields.get(key).map(String::as_str);
    match (part("first_name"), part("last_name")) {
        (Some(first), Some(last)) => Some(format!("{first} {last}")),
        (Some(one), None) | (None, Some(one)) => Some(one.to_owned()),
        (None, None) => None,
    }
}

fn is_one_of(key: &str, names: &[&str]) -> bool {
    names.contains(&key)
}

/// A column's name in normal form: lower case, words joined by underscores.
pub(crate) fn normal_key(name: &str) -> String {
    let mut key = String::new();
    for c in name.trim().chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            key.push(c);
        } else if !key.is_empty() && !key.ends_with('_') {
            key.push('_');
        }
        if key.chars().count() >= 64 {
            break;
        }
    }
    key.trim_end_matches('_').to_owned()
}

/// What the first bytes of a file give away.
fn look_at_start(bytes: &[u8]) -> Result<(), ImportProblem> {
    if bytes.starts_with(b"PK\x03\x04")
        || bytes.starts_with(&[0x1f, 0x8b])
        || bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0])
    {
        return Err(ImportProblem::Archive);
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || bytes.contains(&0) {
        return Err(ImportProblem::Utf16);
    }
    Ok(())
}

/// Told of a line that is not UTF-8.
const NOT_UTF8: &str = "this line is not UTF-8 (it looks like Windows-1252 or Latin-1); save the file as CSV UTF-8";
