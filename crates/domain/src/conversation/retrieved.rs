//! What a search of the knowledge gave, as values that the answer, the trace and the sources shown are made from.

use serde::{Deserialize, Serialize};

use crate::{ids::FaqId, text};

/// Sources named with one answer; more than the best five (CHAT-5) are never retrieved.
pub const SOURCES_MAX: usize = 5;

/// Characters of a source shown beside an answer.
pub const SNIPPET_CHARS_MAX: usize = 240;

/// One stretch of a page that fits the question.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    /// The chunk's id.
    pub chunk_id: String,
    /// The page's title.
    pub title: String,
    /// Where it is, if it has an address.
    pub url: Option<String>,
    /// The headings above it, joined.
    pub section: String,
    /// What it says.
    pub text: String,
    /// 0 to 1.
    pub score: f64,
}

/// A prepared question that fits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FaqHit {
    /// Which one.
    pub faq_id: FaqId,
    /// The question as prepared.
    pub question: String,
    /// Its answer, variables filled.
    pub answer: String,
    /// 0 to 1.
    pub score: f64,
    /// It stands so in the trade's template, for any business of it: what the business itself says of its hours and areas is better.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_template: bool,
}

/// Everything one search gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Retrieved {
    /// Passages, best first.
    pub passages: Vec<Passage>,
    /// Prepared answers, best first.
    pub faqs: Vec<FaqHit>,
    /// How sure the search is that the question is about what the agent knows, 0 to 1.
    pub confidence: f64,
    /// Which version of the index answered.
    pub index_version: u64,
    /// How long it took, microseconds.
    pub took_us: u64,
}

/// A source as shown to visitors and kept with a message (contract: `sources`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceRef {
    /// The chunk's id, or `faq:<id>`.
    pub chunk_id: String,
    /// The page's title.
    pub title: String,
    /// Where it is, if it has an address.
    pub url: Option<String>,
    /// 0 to 1.
    pub score: f64,
    /// The beginning of what it says.
    pub snippet: String,
}

/// An answer found in the knowledge: only built when the search is confident enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KnowledgeAnswer {
    /// What to say.
    pub text: String,
    /// Where it comes from, best first.
    pub sources: Vec<SourceRef>,
    /// 0 to 1.
    pub confidence: f64,
}

impl Passage {
    /// The passage as a source.
    pub fn source(&self) -> SourceRef {
        SourceRef {
            chunk_id: self.chunk_id.clone(),
            title: self.title.clone(),
            url: self.url.clone(),
            score: self.score,
            snippet: text::shorten(&text::one_line(&self.text), SNIPPET_CHARS_MAX),
        }
    }
}

impl FaqHit {
    /// The prepared answer as a source.
    pub fn source(&self) -> SourceRef {
        SourceRef {
            chunk_id: format!("faq:{}", self.faq_id),
            title: self.question.clone(),
            url: None,
            score: self.score,
            snippet: text::shorten(&text::one_line(&self.answer), SNIPPET_CHARS_MAX),
        }
    }
}
