//! Finds what the knowledge has on each question of a turn: in the visitor's words, else in others for the same thing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use colloquy_cluster::Client;
use colloquy_domain::agent::config::AgentConfig;
use colloquy_domain::conversation::retrieved::FaqHit;
use colloquy_domain::conversation::{KnowledgeAnswer, Retrieved};
use colloquy_domain::ids::{AgentId, FaqId, TenantId};
use colloquy_domain::text;
use colloquy_knowledge::rephrase::{alone, is_held, meant, rephrased, tells};
use colloquy_models::responder::AboutBusiness;

use crate::Tools;

/// Chunks given to an answer (CHAT-5).
const DOCUMENTS: usize = 5;
/// Chunks given to an answer to several questions.
const DOCUMENTS_OF_SEVERAL: usize = 8;
/// How the id of a prepared answer begins.
const PREPARED: &str = "faq:";
/// How often a question is put in other words on top of other words: "haircut" and "kids" are two.
const ROUNDS: usize = 2;
/// Searches in other words for one turn, all its questions together: one question may use them up, and each embeds a text while somebody waits.
pub(super) const OTHER_WORDS_MAX: usize = 24;

/// Whose knowledge is asked.
pub(super) struct Library<'a> {
    pub(super) tools: &'a Tools,
    pub(super) client: &'a Client,
    pub(super) tenant: &'a TenantId,
    pub(super) agent: &'a AgentId,
    pub(super) config: &'a AgentConfig,
    /// What stands for the names in prepared answers.
    pub(super) variables: &'a BTreeMap<String, String>,
    /// Searches in other words that are left for this turn; none where a language model reads what is found, because it knows other words itself.
    pub(super) left: AtomicUsize,
}

/// What was found on one question.
#[derive(Default)]
pub(super) struct Looked {
    /// As the visitor asked.
    pub(super) question: String,
    pub(super) retrieved: Retrieved,
    /// What the built-in responder says on it.
    pub(super) said: Option<KnowledgeAnswer>,
    /// Whether that is only what the trade's template says for any business.
    is_template: bool,
}

impl Looked {
    /// Whether the business itself has an answer.
    fn is_answered(&self) -> bool {
        self.said.is_some() && !self.is_template
    }

    /// Without what it says where that is not what the question asks for.
    fn held_to(mut self, question: &str) -> Self {
        self.said = self.said.filter(|said| is_told(question, said));
        self
    }

    /// For telling the better of two.
    fn rank(&self) -> (bool, f64) {
        (self.is_answered(), self.retrieved.confidence)
    }
}

/// Whether an answer says what a question asks for. A prepared one says it together with the question that it was prepared for.
fn is_told(question: &str, said: &KnowledgeAnswer) -> bool {
    let prepared = said.sources.iter().filter(|source| source.chunk_id.starts_with(PREPARED));
    let whole: Vec<&str> = prepared.map(|source| source.title.as_str()).chain([said.text.as_str()]).collect();
    tells(question, &whole.join(" "))
}

impl Library<'_> {
    /// Whether one more search in other words may be made; it counts as made.
    fn may_reword(&self) -> bool {
        let take = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Looks each question up.
    pub(super) async fn all(&self, questions: Vec<String>) -> Vec<Looked> {
        let mut looked = Vec::with_capacity(questions.len());
        for question in questions {
            looked.push(self.of(question).await);
        }
        looked
    }

    /// Looks one question up. What has no answer of the business's own is asked in other words; the surest of those that have one is it, and what the
    /// trade's template says comes last.
    pub(super) async fn of(&self, question: String) -> Looked {
        let first = self.asked(&question, &question).await;
        let mut others = meant(&question);
        if first.is_answered() {
            // It has something on the thing, though perhaps not on what is asked of it.
            others.extend(alone(&question));
        }
        let mut first = first.held_to(&question);
        if first.is_answered() && is_held(&question) {
            // It says what was asked for: nothing else is meant.
            others.clear();
        }
        for variant in others {
            if !self.may_reword() {
                break;
            }
            let found = self.asked(&variant, &question).await.held_to(&question);
            if found.is_answered() && (found.rank() > first.rank() || !first.is_answered()) {
                first = Looked { question: question.clone(), ..found };
            }
        }
        let about_itself = self.tools.responder.asked_of_the_business(&question, &first.retrieved).is_some();
        if first.is_answered() || first.said.is_some() && about_itself {
            return first;
        }
        let mut tried = vec![question.clone()];
        let mut words = question.clone();
        for _ in 0..ROUNDS {
            let mut nearest: Option<Looked> = None;
            for variant in rephrased(&words) {
                if tried.contains(&variant) {
                    continue;
                }
                if !self.may_reword() {
                    break;
                }
                tried.push(variant.clone());
                let found = self.asked(&variant, &question).await.held_to(&question).held_to(&variant);
                if nearest.as_ref().is_none_or(|other| found.rank() > other.rank()) {
                    nearest = Some(found);
                }
            }
            match nearest {
                Some(found) if found.is_answered() => return Looked { question: first.question, ..found },
                Some(found) => words = found.question,
                None => break,
            }
        }
        first
    }

    /// Asks in these words. What the pages say goes before the trade's template only if it says what is `wanted`.
    async fn asked(&self, question: &str, wanted: &str) -> Looked {
        let (retrieved, templates) = self.search(question).await;
        let responder = &self.tools.responder;
        let said = responder.answer(question, &retrieved);
        let is_template =
            said.as_ref().is_some_and(|said| said.sources.iter().all(|source| templates.contains(&source.chunk_id)));
        // What the business says of itself comes before what the template says for any; of its hours the responder knows which is which.
        if !templates.is_empty()
            && (said.is_none() || is_template)
            && responder.asked_of_the_business(question, &retrieved).is_none()
        {
            let mut own = retrieved.clone();
            own.passages.retain(|passage| !templates.contains(&passage.chunk_id));
            own.faqs.retain(|faq| !faq.is_template);
            if let Some(said) = responder.answer(question, &own).filter(|said| is_told(wanted, said)) {
                return Looked { question: question.to_owned(), retrieved, said: Some(said), is_template: false };
            }
        }
        Looked { question: question.to_owned(), retrieved, said, is_template }
    }

    /// What a question finds, and the ids of what of it stands so in the trade's template.
    async fn search(&self, question: &str) -> (Retrieved, Vec<String>) {
        let (config, variables) = (self.config, self.variables);
        match self
            .tools
            .knowledge
            .search(self.client, self.tenant, self.agent, config.use_platform_knowledge, question, DOCUMENTS)
            .await
        {
            Ok(mut found) => {
                let template = self.tools.catalog.receptionist(config.vertical);
                let is_template = |question: &str, answer: &str| {
                    let as_prepared = template
                        .is_some_and(|template| template.faqs.iter().any(|one| one.q == question && one.a == answer));
                    as_prepared && !text::is_own_value(answer, variables, &config.variable_defaults)
                };
                let passages = found.passages.iter().filter(|one| one.chunk_id.starts_with(PREPARED));
                let mut templates: Vec<String> =
                    passages.filter(|one| is_template(&one.title, &one.text)).map(|one| one.chunk_id.clone()).collect();
                for faq in &mut found.faqs {
                    faq.is_template = is_template(&faq.question, &faq.answer);
                    if faq.is_template {
                        templates.push(format!("{PREPARED}{}", faq.faq_id));
                    }
                    faq.answer = text::fill(&faq.answer, variables);
                    faq.question = text::fill(&faq.question, variables);
                }
                // However the question is put: what the organization says of itself is known.
                if let Some(about) = self.tools.responder.asked_of_the_business(question, &found)
                    && let Some(said) = text::own_value(about.variable(), variables, &config.variable_defaults)
                {
                    found.faqs.insert(0, of_the_organization(about, &text::fill(said, variables)));
                }
                // Prepared answers stand among the passages too.
                for passage in found.passages.iter_mut().filter(|passage| passage.chunk_id.starts_with(PREPARED)) {
                    passage.text = text::fill(&passage.text, variables);
                    passage.title = text::fill(&passage.title, variables);
                }
                (found, templates)
            }
            Err(error) => {
                // An answer without knowledge is the fallback message: better than none, and the owner sees why.
                tracing::warn!(agent = %self.agent, %error, "the knowledge could not be searched");
                (Retrieved::default(), Vec::new())
            }
        }
    }
}

/// What was found on all questions, as a model is given it: the best of each first.
pub(super) fn merged(looked: &[Looked]) -> Retrieved {
    let [first, more @ ..] = looked else { return Retrieved::default() };
    if more.is_empty() {
        return first.retrieved.clone();
    }
    let mut all = Retrieved { passages: Vec::new(), faqs: Vec::new(), ..first.retrieved.clone() };
    let deepest = looked.iter().map(|one| one.retrieved.passages.len()).max().unwrap_or(0);
    for nth in 0..deepest {
        for passage in looked.iter().filter_map(|one| one.retrieved.passages.get(nth)) {
            let known = all.passages.iter().any(|other| other.chunk_id == passage.chunk_id);
            if !known && all.passages.len() < DOCUMENTS_OF_SEVERAL {
                all.passages.push(passage.clone());
            }
        }
    }
    for faq in looked.iter().flat_map(|one| &one.retrieved.faqs) {
        if !all.faqs.iter().any(|other| other.faq_id == faq.faq_id) {
            all.faqs.push(faq.clone());
        }
    }
    all.confidence = looked.iter().map(|one| one.retrieved.confidence).fold(0.0, f64::max);
    all.took_us = looked.iter().map(|one| one.retrieved.took_us).sum();
    all
}

/// What the organization's settings say, as a prepared answer.
fn of_the_organization(about: AboutBusiness, said: &str) -> FaqHit {
    FaqHit {
        faq_id: FaqId(format!("organization:{}", about.variable())),
        question: about.question().to_owned(),
        answer: said.to_owned(),
        score: 1.0,
        is_template: false,
    }
}

#[cfg(test)]
mod tests {
    use colloquy_domain::conversation::retrieved::Passage;

    use super::*;

    fn looked(passages: &[&str], confidence: f64) -> Looked {
        let passage = |id: &&str| Passage { chunk_id: (*id).to_owned(), ..Passage::default() };
        let retrieved =
            Retrieved { passages: passages.iter().map(passage).collect(), confidence, ..Retrieved::default() };
        Looked { retrieved, ..Looked::default() }
    }

    #[test]
    fn a_model_is_given_the_best_on_each_question_first_and_nothing_twice() {
        let all = merged(&[looked(&["a", "b", "c"], 0.4), looked(&["d", "a"], 0.9)]);
        let ids: Vec<&str> = all.passages.iter().map(|passage| passage.chunk_id.as_str()).collect();
        assert_eq!((ids, all.confidence), (vec!["a", "d", "b", "c"], 0.9));
        assert!(merged(&[]).passages.is_empty());
        assert_eq!(merged(&[looked(&["a"], 0.1)]).passages.len(), 1);
    }
}
