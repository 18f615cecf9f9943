//! What a node needs to learn and to search: crawler, embedder, and the indices it serves, kept by bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::conversation::{FaqHit, Passage, Retrieved};
use colloquy_domain::ids::{AgentId, TenantId};
use colloquy_domain::knowledge::{self, Command, Reply};
use colloquy_domain::{Principal, Rejection, account};
use colloquy_knowledge::crawl::{Crawler, Limits};
use colloquy_knowledge::embed::Embedder;
use colloquy_knowledge::index::{self, AgentIndex};
use tokio::sync::Semaphore;

use super::KnowledgeEntity;
use crate::ActorError;
use crate::copies::Copies;
use crate::core::ask;

/// The id of the system-wide base, in the platform's own tenant.
pub const PLATFORM: &str = "platform";

/// What a node needs to learn and to search.
pub struct Library {
    /// Walks sites.
    pub crawler: Crawler,
    /// The limits of one crawl.
    pub limits: Limits,
    /// Turns text into vectors; none: keyword search.
    pub embedder: Option<Arc<dyn Embedder>>,
    /// Reads PDF in a child process when started with `extract-pdf`.
    pub pdf_reader: std::path::PathBuf,
    /// Crawls at the same time.
    pub crawls: Semaphore,
    cache: Mutex<Cache>,
    current: Copies<Current>,
}

/// Which index of an agent answers.
struct Current {
    version: u64,
    blob: String,
}

struct Cache {
    bytes_max: usize,
    bytes: usize,
    clock: u64,
    kept: HashMap<EntityKey, Kept>,
}

struct Kept {
    index: Arc<AgentIndex>,
    bytes: usize,
    used: u64,
}

impl Library {
    /// With `cache_bytes_max` bytes of indices in memory.
    pub fn new(
        crawler: Crawler,
        limits: Limits,
        embedder: Option<Arc<dyn Embedder>>,
        pdf_reader: std::path::PathBuf,
        crawls_max: usize,
        cache_bytes_max: usize,
    ) -> Self {
        let cache = Cache { bytes_max: cache_bytes_max, bytes: 0, clock: 0, kept: HashMap::new() };
        Self {
            crawler,
            limits,
            embedder,
            pdf_reader,
            crawls: Semaphore::new(crawls_max),
            cache: Mutex::new(cache),
            current: Copies::default(),
        }
    }

    /// The embedder's name as an index records it.
    pub fn embedder_id(&self) -> &str {
        self.embedder.as_ref().map_or("keyword", |embedder| embedder.id())
    }

    /// The index that answers for an agent; an empty one before the first.
    pub async fn index(
        &self,
        client: &Client,
        tenant: &TenantId,
        agent: &AgentId,
    ) -> Result<Arc<AgentIndex>, ActorError> {
        let key = EntityKey::new(tenant.as_str(), knowledge::KIND, agent.as_str());
        let current = self
            .current
            .get(client, &key, async {
                let by = Principal::system(tenant.clone());
                match ask::<KnowledgeEntity>(client, &by, agent.as_str(), Command::Index).await {
                    Ok(Reply::Index { index }) => {
                        let index = index.unwrap_or_default();
                        Ok(Current { version: index.version, blob: index.blob })
                    }
                    Ok(_) => Err(ActorError::Failed),
                    // An agent whose knowledge has not begun yet knows nothing.
                    Err(ActorError::Rejected(Rejection::NotFound { .. })) => {
                        Ok(Current { version: 0, blob: String::new() })
                    }
                    Err(error) => Err(error),
                }
            })
            .await?;
        if current.blob.is_empty() {
            return Ok(Arc::new(AgentIndex::empty(0)));
        }
        if let Some(index) = self.cached(&key, current.version) {
            return Ok(index);
        }
        let index = load(client, &key, &current.blob).await?;
        self.keep(key, index.clone());
        Ok(index)
    }

    /// What chunks and answers to questions (`faq:<id>`) of an agent's knowledge or the system-wide base say, by id; without those that are gone.
    pub async fn texts(
        &self,
        client: &Client,
        tenant: &TenantId,
        agent: &AgentId,
        ids: &[&str],
    ) -> Result<BTreeMap<String, Passage>, ActorError> {
        let own = self.index(client, tenant, agent).await?;
        let platform = self.index(client, &TenantId::from(account::TENANT), &AgentId::from(PLATFORM)).await?;
        let mut found = BTreeMap::new();
        // The agent's own come last, so that they stand where both have one.
        for index in [platform, own] {
            let chunks = index.chunks().iter().filter(|chunk| ids.contains(&chunk.id.as_str()));
            found.extend(chunks.map(|chunk| {
                let passage = Passage {
                    chunk_id: chunk.id.clone(),
                    title: chunk.title.clone(),
                    url: Some(chunk.source_url.clone()).filter(|url| !url.is_empty()),
                    section: chunk.section.clone(),
                    text: chunk.text.clone(),
                    score: 0.0,
                };
                (chunk.id.clone(), passage)
            }));
            for faq in index.faqs() {
                let id = format!("faq:{}", faq.id);
                if ids.contains(&id.as_str()) {
                    let passage = Passage {
                        chunk_id: id.clone(),
                        title: faq.question.clone(),
                        url: None,
                        section: String::new(),
                        text: faq.answer.clone(),
                        score: 0.0,
                    };
                    found.insert(id, passage);
                }
            }
        }
        Ok(found)
    }

    /// Searches an agent's knowledge, and the system-wide base if it asks for it.
    pub async fn search(
        &self,
        client: &Client,
        tenant: &TenantId,
        agent: &AgentId,
        with_platform: bool,
        query: &str,
        count: usize,
    ) -> Result<Retrieved, ActorError> {
        let own = self.index(client, tenant, agent).await?;
        let mut indices = vec![own];
        if with_platform {
            indices.push(self.index(client, &TenantId::from(account::TENANT), &AgentId::from(PLATFORM)).await?);
        }
        let begun = Instant::now();
        let vector = self.embed(&indices, query).await;
        let own: Vec<&AgentIndex> = indices.iter().map(Arc::as_ref).collect();
        let hits = index::search_with(&own, query, vector.as_deref(), count)
            .map_err(|error| ActorError::Unavailable(error.to_string()))?;
        let took = begun.elapsed();
        metrics::histogram!(crate::telemetry::SEARCH_SECONDS).record(took);
        Ok(Retrieved {
            passages: hits
                .chunks
                .iter()
                .map(|hit| Passage {
                    chunk_id: hit.chunk.id.clone(),
                    title: hit.chunk.title.clone(),
                    url: Some(hit.chunk.source_url.clone()).filter(|url| !url.is_empty()),
                    section: hit.chunk.section.clone(),
                    text: hit.chunk.text.clone(),
                    score: f64::from(hit.score),
                })
                .collect(),
            faqs: hits
                .faqs
                .iter()
                .map(|hit| FaqHit {
                    faq_id: hit.faq.id.as_str().into(),
                    question: hit.faq.question.clone(),
                    answer: hit.faq.answer.clone(),
                    score: f64::from(hit.score),
                    is_template: false,
                })
                .collect(),
            confidence: f64::from(hits.confidence),
            index_version: indices[0].version(),
            took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        })
    }

    /// The query's vector, when an index holds vectors of this node's embedder. A provider that fails costs meaning, not the answer.
    async fn embed(&self, indices: &[Arc<AgentIndex>], query: &str) -> Option<Vec<f32>> {
        let embedder = self.embedder.as_ref()?;
        let fits = indices.iter().any(|index| index.embedder().is_some_and(|info| info.id == embedder.id()));
        if !fits {
            return None;
        }
        match embedder.embed_query(query).await {
            Ok(vector) => Some(vector),
            Err(error) => {
                tracing::warn!(%error, "a question could not be embedded: keywords only");
                metrics::counter!(crate::telemetry::EMBED_FAILURES).increment(1);
                None
            }
        }
    }

    fn cached(&self, key: &EntityKey, version: u64) -> Option<Arc<AgentIndex>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.clock += 1;
        let now = cache.clock;
        let kept = cache.kept.get_mut(key).filter(|kept| kept.index.version() == version)?;
        kept.used = now;
        Some(kept.index.clone())
    }

    fn keep(&self, key: EntityKey, index: Arc<AgentIndex>) {
        let bytes = index.bytes_used();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.clock += 1;
        let used = cache.clock;
        if let Some(old) = cache.kept.insert(key.clone(), Kept { index, bytes, used }) {
            cache.bytes -= old.bytes;
        }
        cache.bytes += bytes;
        while cache.bytes > cache.bytes_max && cache.kept.len() > 1 {
            let Some(oldest) = cache
                .kept
                .iter()
                .filter(|(other, _)| **other != key)
                .min_by_key(|(_, kept)| kept.used)
                .map(|(key, _)| key.clone())
            else {
                break;
            };
            if let Some(gone) = cache.kept.remove(&oldest) {
                cache.bytes -= gone.bytes;
            }
        }
        metrics::gauge!(crate::telemetry::INDEX_CACHE_BYTES).set(cache.bytes as f64);
    }
}

async fn load(client: &Client, agent: &EntityKey, blob: &str) -> Result<Arc<AgentIndex>, ActorError> {
    let bytes = client
        .get_blob(agent, blob)
        .await?
        .ok_or_else(|| ActorError::Unavailable(format!("the index {blob} is missing: retrain the agent")))?;
    tokio::task::spawn_blocking(move || AgentIndex::from_bytes(&bytes))
        .await
        .map_err(|error| ActorError::Unavailable(error.to_string()))?
        .map(Arc::new)
        .map_err(|error| {
            ActorError::Unavailable(format!("the index {blob} cannot be read ({error}): retrain the agent"))
        })
}
