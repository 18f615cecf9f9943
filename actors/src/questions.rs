//! The most frequent questions, brought together by what they mean where there is an embedder, and by their words.
//!
//! The feed keeps what was asked. Here equal wordings become one, and the most frequent wordings are compared by meaning; how far apart two texts may
//! lie is measured per embedder ([`Calibration`]). Vectors are kept per node, so that only new wordings cost a model's time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use colloquy_cluster::Client;
use colloquy_domain::ids::TenantId;
use colloquy_domain::local_time::local_date;
use colloquy_domain::numbers::QuestionCount;
use colloquy_domain::text::Words;
use colloquy_knowledge::embed::Calibration;
use jiff::tz::TimeZone;

use crate::feed::{self, Asked, Span};
use crate::{ActorError, Tools};

/// Wordings compared by meaning: the most frequent ones. A minute's typing of rare ones would otherwise cost a model's minute.
const COMPARED_MAX: usize = 400;
/// Texts given to the embedder at once, so that a visitor's question does not wait behind all of them.
const EMBEDDED_AT_ONCE: usize = 16;
/// Vectors kept on a node: about six megabytes of the local model's.
const VECTORS_MAX: usize = 4_096;
/// Conversations named with a question.
const CONVERSATIONS_SHOWN: usize = 5;
/// Other wordings shown with a question.
const SIMILAR_SHOWN: usize = 5;

/// Vectors of wordings, by a digest of the text.
#[derive(Default)]
pub struct Vectors(Mutex<HashMap<[u8; 32], Arc<Vec<f32>>>>);

/// Questions that mean the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The most frequent wording, the newest of equally frequent ones.
    pub question: String,
    /// How often it was asked.
    pub count: u64,
    /// Whether the newest was answered with more than the fallback message.
    pub answered: bool,
    /// Where it stands, the newest first.
    pub conversations: Vec<String>,
    /// Other wordings, the most frequent first.
    pub similar: Vec<String>,
}

/// The most frequent questions of a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Top {
    /// The most frequent first.
    pub groups: Vec<Group>,
    /// Whether they were compared by meaning.
    pub by_meaning: bool,
    /// How many questions were looked at.
    pub questions: u64,
    /// Whether there were more.
    pub more: bool,
}

/// The most frequent questions of a span, at most `limit`.
pub async fn top(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    span: Span,
    limit: usize,
) -> Result<Top, ActorError> {
    let asked = feed::questions(client, tenant, span).await.map_err(ActorError::Unavailable)?;
    let (kinds, by_meaning) = kinds(tools, &asked.items).await;
    let mut groups = groups(&asked.items, &kinds);
    groups.truncate(limit);
    Ok(Top { groups, by_meaning, questions: asked.items.len() as u64, more: asked.more })
}

/// The most frequent questions of each local day of a span, at most `limit` a day.
pub async fn by_day(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    span: Span,
    zone: &TimeZone,
    limit: usize,
) -> Result<BTreeMap<String, Vec<QuestionCount>>, ActorError> {
    let asked = feed::questions(client, tenant, span).await.map_err(ActorError::Unavailable)?.items;
    let (kinds, _) = kinds(tools, &asked).await;
    let mut days: BTreeMap<String, (Vec<Asked>, Vec<usize>)> = BTreeMap::new();
    for (asked, kind) in asked.into_iter().zip(kinds) {
        let day = days.entry(local_date(zone, asked.question.at_ms)).or_default();
        day.0.push(asked);
        day.1.push(kind);
    }
    let counted = |group: Group| QuestionCount {
        question: group.question,
        count: i64::try_from(group.count).unwrap_or(i64::MAX),
        answered: Some(group.answered),
    };
    let counts = |(asked, kinds): (Vec<Asked>, Vec<usize>)| {
        groups(&asked, &kinds).into_iter().take(limit).map(counted).collect()
    };
    Ok(days.into_iter().map(|(day, given)| (day, counts(given))).collect())
}

/// For each question a number that is the same for those that mean the same; and whether meaning was looked at.
async fn kinds(tools: &Tools, asked: &[Asked]) -> (Vec<usize>, bool) {
    let (wordings, of) = wordings(asked);
    let Some(vectors) = vectors(tools, &wordings).await else { return (of, false) };
    let near = Calibration::of(Some(tools.knowledge.embedder_id())).faq_cosine;
    let count = wordings.len();
    // Comparing is arithmetic over a few hundred vectors: it must not hold up a thread that serves requests.
    let merged = tokio::task::spawn_blocking(move || merged(&vectors, count, near)).await;
    match merged {
        Ok(merged) => (of.into_iter().map(|wording| merged[wording]).collect(), true),
        Err(_) => (of, false),
    }
}

/// Distinct wordings with how often they were used, the most frequent first, and for each question which it is.
fn wordings(asked: &[Asked]) -> (Vec<(String, u64)>, Vec<usize>) {
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut wordings: Vec<(String, u64)> = Vec::new();
    let mut of = Vec::with_capacity(asked.len());
    for one in asked {
        let words = Words::of(&one.question.text).joined();
        // Without any word, such as "???", the text is compared as it is.
        let words = if words.is_empty() { one.question.text.clone() } else { words };
        let at = *known.entry(words).or_insert_with(|| {
            wordings.push((one.question.text.clone(), 0));
            wordings.len() - 1
        });
        wordings[at].1 += 1;
        of.push(at);
    }
    let mut order: Vec<usize> = (0..wordings.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(wordings[*at].1));
    let mut place = vec![0; wordings.len()];
    order.iter().enumerate().for_each(|(to, from)| place[*from] = to);
    let sorted = order.iter().map(|from| wordings[*from].clone()).collect();
    (sorted, of.into_iter().map(|at| place[at]).collect())
}

/// The vectors of the most frequent wordings; none without an embedder, or while it fails.
async fn vectors(tools: &Tools, wordings: &[(String, u64)]) -> Option<Vec<Arc<Vec<f32>>>> {
    let embedder = tools.knowledge.embedder.as_ref()?;
    let texts: Vec<&String> = wordings.iter().take(COMPARED_MAX).map(|(text, _)| text).collect();
    let key = |text: &str| *blake3::hash(text.as_bytes()).as_bytes();
    let kept = |text: &str| tools.vectors.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key(text)).cloned();
    let mut found: Vec<Option<Arc<Vec<f32>>>> = texts.iter().map(|text| kept(text)).collect();
    let missing: Vec<usize> = (0..found.len()).filter(|at| found[*at].is_none()).collect();
    for some in missing.chunks(EMBEDDED_AT_ONCE) {
        let given: Vec<String> = some.iter().map(|at| texts[*at].clone()).collect();
        let embedded = match embedder.embed(&given).await {
            Ok(embedded) => embedded,
            Err(error) => {
                tracing::warn!(%error, "questions could not be compared by meaning: by words only");
                return None;
            }
        };
        let mut cache = tools.vectors.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() + some.len() > VECTORS_MAX {
            cache.clear();
        }
        for (at, windows) in some.iter().zip(embedded.vectors) {
            // A question is short: its first window is all of it.
            let vector = Arc::new(windows.into_iter().next().unwrap_or_default());
            cache.insert(key(texts[*at]), vector.clone());
            found[*at] = Some(vector);
        }
    }
    found.into_iter().collect()
}

/// For each of `count` wordings, the most frequent first, the wording that stands for it: the most frequent one that is near enough, or itself.
fn merged(vectors: &[Arc<Vec<f32>>], count: usize, near: f32) -> Vec<usize> {
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let mut stands: Vec<usize> = Vec::new();
    let mut merged = Vec::with_capacity(count);
    for (at, vector) in vectors.iter().enumerate() {
        let nearest = stands
            .iter()
            .map(|other| (*other, cosine(&vectors[*other], vector)))
            .filter(|(_, cosine)| *cosine >= near)
            .max_by(|a, b| a.1.total_cmp(&b.1));
        match nearest {
            Some((other, _)) => merged.push(other),
            None => {
                stands.push(at);
                merged.push(at);
            }
        }
    }
    merged.extend(vectors.len()..count);
    merged
}

/// Questions, the newest first, by kind; the most frequent kind first, the newest of equally frequent ones.
fn groups(asked: &[Asked], kinds: &[usize]) -> Vec<Group> {
    let mut order: Vec<usize> = Vec::new();
    let mut members: HashMap<usize, Vec<&Asked>> = HashMap::new();
    for (one, kind) in asked.iter().zip(kinds) {
        let group = members.entry(*kind).or_default();
        if group.is_empty() {
            order.push(*kind);
        }
        group.push(one);
    }
    let mut groups: Vec<Group> = order.iter().filter_map(|kind| members.get(kind)).map(|given| group(given)).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

fn group(asked: &[&Asked]) -> Group {
    let mut wordings: Vec<(&str, u64)> = Vec::new();
    let mut conversations: Vec<String> = Vec::new();
    for one in asked {
        match wordings.iter_mut().find(|(text, _)| *text == one.question.text) {
            Some((_, count)) => *count += 1,
            None => wordings.push((&one.question.text, 1)),
        }
        if conversations.len() < CONVERSATIONS_SHOWN && !conversations.contains(&one.conversation) {
            conversations.push(one.conversation.clone());
        }
    }
    wordings.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut texts = wordings.into_iter().map(|(text, _)| text.to_owned());
    Group {
        question: texts.next().unwrap_or_default(),
        count: asked.len() as u64,
        answered: asked.first().is_some_and(|newest| newest.question.answered),
        conversations,
        similar: texts.take(SIMILAR_SHOWN).collect(),
    }
}

#[cfg(test)]
mod tests {
    use colloquy_domain::conversation::AskedQuestion;

    use super::*;

    fn asked(given: &[(&str, &str, bool)]) -> Vec<Asked> {
        let one = |(nth, (conversation, text, answered)): (usize, &(&str, &str, bool))| Asked {
            conversation: (*conversation).to_owned(),
            question: AskedQuestion { at_ms: 1_000 - nth as i64, text: (*text).to_owned(), answered: *answered },
        };
        given.iter().enumerate().map(one).collect()
    }

    #[test]
    fn the_same_words_are_one_question_however_they_are_typed() {
        let asked = asked(&[
            ("c3", "when are you OPEN??", false),
            ("c2", "Do you fix kites?", true),
            ("c1", "When are you open?", true),
            ("c1", "When are you open?", true),
        ]);
        let (wordings, kinds) = wordings(&asked);
        assert_eq!((wordings.len(), wordings[0].1), (2, 3));
        let groups = groups(&asked, &kinds);
        assert_eq!((groups[0].question.as_str(), groups[0].count), ("When are you open?", 3));
        assert!(!groups[0].answered, "the newest one was not");
        assert_eq!(groups[0].conversations, ["c3", "c1"]);
        assert_eq!(groups[0].similar, ["when are you OPEN??"]);
        assert_eq!((groups[1].question.as_str(), groups[1].count, groups[1].answered), ("Do you fix kites?", 1, true));
    }

    #[test]
    fn near_vectors_stand_under_the_more_frequent_wording_and_what_was_not_compared_stands_alone() {
        let vector = |x: f32, y: f32| Arc::new(vec![x, y]);
        let vectors = [vector(1.0, 0.0), vector(0.0, 1.0), vector(0.8, 0.6), vector(0.6, 0.8)];
        assert_eq!(merged(&vectors, 6, 0.75), [0, 1, 0, 1, 4, 5]);
        assert_eq!(merged(&vectors, 4, 0.99), [0, 1, 2, 3]);
    }

    #[test]
    fn nothing_asked_is_no_group() {
        let (wordings, kinds) = wordings(&[]);
        assert!(wordings.is_empty() && groups(&[], &kinds).is_empty());
    }
}
