//! Reads the catalog's files: every mistake is named with its file and line, and all mistakes are told at once.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{check, frameworks::Frameworks, models::Models, scoring::Scoring, template::Template};
use crate::vocabulary::Vertical;

/// The largest catalog file, bytes: far above any template written by hand.
pub const FILE_BYTES_MAX: usize = 1_000_000;

/// Mistakes told of one load; more of them help nobody.
const ERRORS_MAX: usize = 100;

/// A file of the catalog, by its path below the catalog's folder, with its text.
#[derive(Clone, Copy, Debug)]
pub struct CatalogFile<'a> {
    /// Such as `scoring.toml` or `verticals/legal.toml`.
    pub path: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct CatalogError {
    /// The file's path as it was given.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Everything under `config/catalog/`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// Templates by id.
    pub templates: BTreeMap<String, Template>,
    /// How leads are scored.
    pub scoring: Scoring,
    /// Models and prices.
    pub models: Models,
    /// Qualification frameworks.
    pub frameworks: Frameworks,
}

impl Catalog {
    /// Reads and checks all files. `scoring.toml`, `models.toml` and `frameworks.toml` are required; every file below `verticals/` is a template.
    ///
    /// # Errors
    /// All mistakes found, ordered by file and line, at most 100.
    pub fn load(files: &[CatalogFile<'_>]) -> Result<Self, Vec<CatalogError>> {
        let mut errors = Vec::new();
        let mut catalog = Self::default();
        let one = |name: &str| files.iter().find(|file| file.path == name);
        for name in ["scoring.toml", "models.toml", "frameworks.toml"] {
            if one(name).is_none() {
                errors.push(CatalogError { file: name.to_owned(), line: 1, message: "the file is missing".to_owned() });
            }
        }
        if let Some((file, scoring, lines)) = one("scoring.toml").and_then(|file| parse::<Scoring>(file, &mut errors)) {
            check::scoring(&scoring, &mut Report { file, lines: &lines, errors: &mut errors });
            catalog.scoring = scoring;
        }
        if let Some((file, models, lines)) = one("models.toml").and_then(|file| parse::<Models>(file, &mut errors)) {
            check::models(&models, &mut Report { file, lines: &lines, errors: &mut errors });
            catalog.models = models;
        }
        if let Some((file, frameworks, lines)) =
            one("frameworks.toml").and_then(|file| parse::<Frameworks>(file, &mut errors))
        {
            check::frameworks(&frameworks, &mut Report { file, lines: &lines, errors: &mut errors });
            catalog.frameworks = frameworks;
        }
        for file in files.iter().filter(|file| file.path.starts_with("verticals/") && file.path.ends_with(".toml")) {
            let Some((path, template, lines)) = parse::<Template>(file, &mut errors) else { continue };
            let mut report = Report { file: path, lines: &lines, errors: &mut errors };
            check::template(&template, &catalog.frameworks, &mut report);
            if catalog.templates.contains_key(&template.id) {
                report.add("id", format!("the id `{}` is already used by another template", template.id));
            }
            if let Some(other) = catalog
                .templates
                .values()
                .find(|other| other.vertical == template.vertical && other.kind == template.kind)
            {
                report.add("vertical", format!("`{}` is already the template of this trade and kind", other.id));
            }
            catalog.templates.insert(template.id.clone(), template);
        }
        if errors.is_empty() {
            return Ok(catalog);
        }
        errors.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        errors.truncate(ERRORS_MAX);
        Err(errors)
    }

    /// The receptionist's template of a trade.
    pub fn receptionist(&self, vertical: Vertical) -> Option<&Template> {
        self.templates.values().find(|template| {
            template.vertical == vertical && template.kind == super::template::TemplateKind::Receptionist
        })
    }
}

/// Collects the mistakes of one file.
pub(super) struct Report<'a> {
    file: &'a str,
    lines: &'a Lines,
    errors: &'a mut Vec<CatalogError>,
}

impl Report<'_> {
    /// Notes a mistake at a path such as `intake_forms.1.fields.2`.
    pub(super) fn add(&mut self, path: &str, message: impl Into<String>) {
        self.errors.push(CatalogError {
            file: self.file.to_owned(),
            line: self.lines.of(path),
            message: message.into(),
        });
    }
}

fn parse<'a, T: DeserializeOwned>(
    file: &CatalogFile<'a>,
    errors: &mut Vec<CatalogError>,
) -> Option<(&'a str, T, Lines)> {
    let mut fail = |line: usize, message: &str| {
        errors.push(CatalogError { file: file.path.to_owned(), line, message: message.to_owned() });
    };
    if file.text.len() > FILE_BYTES_MAX {
        fail(1, "the file is larger than 1 MB");
        return None;
    }
    let line_at = |error: &toml::de::Error| error.span().map_or(1, |span| line_of(file.text, span.start));
    match toml::from_str::<T>(file.text) {
        Err(error) => {
            fail(line_at(&error), error.message());
            None
        }
        Ok(value) => match DeTable::parse(file.text) {
            Err(error) => {
                fail(line_at(&error), error.message());
                None
            }
            Ok(table) => {
                let mut lines = BTreeMap::new();
                let breaks: Vec<usize> = file.text.match_indices('\n').map(|(at, _)| at).collect();
                for (key, value) in table.get_ref() {
                    walk(&breaks, key.get_ref(), key.span().start, value, &mut lines);
                }
                Some((file.path, value, Lines(lines)))
            }
        },
    }
}

/// Line numbers by path, so that a mistake in meaning can be pointed at like one in syntax.
pub(super) struct Lines(BTreeMap<String, usize>);

impl Lines {
    /// The line of a path, or of the nearest part of it that exists.
    fn of(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(line) = self.0.get(path) {
                return *line;
            }
            match path.rfind('.') {
                Some(at) => path = &path[..at],
                None => return 1,
            }
        }
    }
}

/// Notes the line of a value and of everything in it; `breaks` are the places of the line breaks.
fn walk(
    breaks: &[usize],
    path: &str,
    key_start: usize,
    value: &Spanned<DeValue<'_>>,
    lines: &mut BTreeMap<String, usize>,
) {
    lines.insert(path.to_owned(), breaks.partition_point(|at| *at < key_start) + 1);
    match value.get_ref() {
        DeValue::Table(table) => {
            for (key, value) in table {
                walk(breaks, &format!("{path}.{}", key.get_ref()), key.span().start, value, lines);
            }
        }
        DeValue::Array(array) => {
            for (index, item) in array.iter().enumerate() {
                walk(breaks, &format!("{path}.{index}"), item.span().start, item, lines);
            }
        }
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}
