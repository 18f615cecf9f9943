//! One agent's knowledge, ready to be asked: immutable once built, so that an index is never served half built.

mod bm25;
mod file;
mod question;
mod search;
mod sentences;
mod vectors;

use serde::{Deserialize, Serialize};

use self::bm25::Bm25;
pub use self::search::{DOCUMENTS, FAQS, FaqHit, Hit, Hits, search_with};
use self::sentences::Sentences;
pub use self::vectors::{Near, Precision, SCAN_LIMIT, Vectors};
use crate::chunk::searchable;
use crate::embed::{Calibration, Windows};
use crate::words::Language;
use crate::{Error, Result};

/// A chunk as an index keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexedChunk {
    /// The caller's id.
    pub id: String,
    /// The Markdown.
    pub text: String,
    /// The title of its document.
    pub title: String,
    /// The headings above it.
    pub section: String,
    /// The page or file it comes from.
    pub source_url: String,
    /// The language it is written in.
    pub language: Language,
}

/// An FAQ as an index keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexedFaq {
    /// The caller's id.
    pub id: String,
    /// The question; it alone is embedded.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// Higher ones win between equally good matches.
    pub priority: i32,
    /// The language it is written in.
    pub language: Language,
}

/// The embedder whose vectors an index holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbedderInfo {
    /// [`crate::embed::Embedder::id`].
    pub id: String,
    /// [`crate::embed::Embedder::dimension`].
    pub dimension: usize,
}

/// What an index is built from.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The version under which the caller knows this state of the knowledge.
    pub version: u64,
    /// The embedder, or `None` for keyword search.
    pub embedder: Option<EmbedderInfo>,
    /// The chunks.
    pub chunks: Vec<IndexedChunk>,
    /// The vectors of each chunk ([`IndexedChunk::searchable`] embedded), in the same order; empty without an embedder.
    pub chunk_vectors: Vec<Windows>,
    /// The FAQs that may be used.
    pub faqs: Vec<IndexedFaq>,
    /// The vectors of each FAQ's question, in the same order; empty without an embedder.
    pub faq_vectors: Vec<Windows>,
    /// Whether exact vectors are kept.
    pub precision: Precision,
}

impl IndexedChunk {
    /// What is to be embedded for this chunk, and what its keywords are taken from.
    #[must_use]
    pub fn searchable(&self) -> String {
        searchable(&self.title, &self.section, &self.text)
    }
}

/// One agent's index.
#[derive(Debug)]
pub struct AgentIndex {
    version: u64,
    embedder: Option<EmbedderInfo>,
    chunks: Vec<IndexedChunk>,
    words: Bm25,
    sentences: Sentences,
    vectors: Option<Vectors>,
    faqs: Vec<IndexedFaq>,
    faq_words: Bm25,
    /// FAQs' words by question, for matching without vectors.
    faq_vectors: Option<Vectors>,
}

impl AgentIndex {
    /// Builds an index. This computes; call it off the async threads.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] when vectors are missing or too many, [`Error::Dimension`], [`Error::NotFinite`],
    /// [`Error::VectorIndex`].
    pub fn build(parts: Parts) -> Result<Self> {
        let Parts { version, embedder, chunks, chunk_vectors, faqs, faq_vectors, precision } = parts;
        let vectors_of = |what: &str, vectors: &[Windows], count: usize| -> Result<Option<Vectors>> {
            let expected = if embedder.is_some() { count } else { 0 };
            if vectors.len() != expected {
                return Err(Error::Inconsistent { reason: format!("{} vectors for {expected} {what}", vectors.len()) });
            }
            embedder.as_ref().map(|embedder| Vectors::build(embedder.dimension, vectors, precision)).transpose()
        };
        let vectors = vectors_of("chunks", &chunk_vectors, chunks.len())?;
        let faq_vectors = vectors_of("FAQs", &faq_vectors, faqs.len())?;
        Ok(Self::assemble(version, embedder, chunks, vectors, faqs, faq_vectors))
    }

    /// An index that knows nothing.
    #[must_use]
    pub fn empty(version: u64) -> Self {
        Self::assemble(version, None, Vec::new(), None, Vec::new(), None)
    }

    /// The version it was built as.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The embedder whose vectors it holds; `None` means keyword search only.
    #[must_use]
    pub fn embedder(&self) -> Option<&EmbedderInfo> {
        self.embedder.as_ref()
    }

    /// Its chunks.
    #[must_use]
    pub fn chunks(&self) -> &[IndexedChunk] {
        &self.chunks
    }

    /// Its FAQs.
    #[must_use]
    pub fn faqs(&self) -> &[IndexedFaq] {
        &self.faqs
    }

    /// How rare a stemmed term is in this index, for choosing sentences.
    #[must_use]
    pub fn rarity(&self, term: &str) -> f32 {
        self.words.rarity(term)
    }

    /// Memory it takes, for a cache limited by bytes.
    #[must_use]
    pub fn bytes_used(&self) -> usize {
        let chunk_text = |chunk: &IndexedChunk| {
            size_of::<IndexedChunk>()
                + chunk.id.len()
                + chunk.text.len()
                + chunk.title.len()
                + chunk.section.len()
                + chunk.source_url.len()
        };
        let faq_text =
            |faq: &IndexedFaq| size_of::<IndexedFaq>() + faq.id.len() + faq.question.len() + faq.answer.len();
        let vectors = |vectors: &Option<Vectors>| vectors.as_ref().map_or(0, Vectors::bytes_used);
        size_of::<Self>()
            + self.chunks.iter().map(chunk_text).sum::<usize>()
            + self.faqs.iter().map(faq_text).sum::<usize>()
            + self.words.bytes_used()
            + self.sentences.bytes_used()
            + self.faq_words.bytes_used()
            + vectors(&self.vectors)
            + vectors(&self.faq_vectors)
    }

    /// Answers a query. `query_vector` comes from the index's own embedder; without it only words count.
    ///
    /// # Errors
    /// [`Error::Dimension`] and [`Error::NotFinite`] for a vector that does not fit.
    pub fn search(&self, query: &str, query_vector: Option<&[f32]>, count: usize) -> Result<Hits<'_>> {
        search_with(&[self], query, query_vector, count)
    }

    /// How well each word of a question stands in a chunk's title and headings.
    fn around(&self, chunk: &IndexedChunk, question: &question::Question) -> Vec<f32> {
        let mut found = vec![0.0_f32; question.words()];
        let analyzer = crate::words::Analyzer::new(chunk.language);
        for text in [&chunk.title, &chunk.section] {
            analyzer.terms(text, |term| {
                for (word, likeness) in self.words.number(term).into_iter().flat_map(|term| question.matching(term)) {
                    found[word] = found[word].max(likeness);
                }
            });
        }
        found
    }

    fn calibration(&self) -> Calibration {
        Calibration::of(self.embedder.as_ref().map(|embedder| embedder.id.as_str()))
    }

    fn assemble(
        version: u64,
        embedder: Option<EmbedderInfo>,
        chunks: Vec<IndexedChunk>,
        vectors: Option<Vectors>,
        faqs: Vec<IndexedFaq>,
        faq_vectors: Option<Vectors>,
    ) -> Self {
        let texts: Vec<(String, Language)> = chunks.iter().map(|chunk| (chunk.searchable(), chunk.language)).collect();
        let words = Bm25::build(texts.iter().map(|(text, language)| (text.as_str(), *language)));
        let faq_words = Bm25::build(faqs.iter().map(|faq| (faq.question.as_str(), faq.language)));
        let sentences = Sentences::build(&chunks, &words);
        AgentIndex { version, embedder, chunks, words, sentences, vectors, faqs, faq_words, faq_vectors }
    }
}
