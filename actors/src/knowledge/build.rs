//! Builds the next index from stored pages and FAQs. It answers only once it is complete and stored.

use colloquy_cluster::effect::EffectHandle;
use colloquy_domain::knowledge::view::Manifest;
use colloquy_domain::knowledge::{Command, Index, Reply};
use colloquy_knowledge::embed::Windows;
use colloquy_knowledge::index::{AgentIndex, EmbedderInfo, IndexedChunk, IndexedFaq, Parts, Precision};
use colloquy_knowledge::words::Language;

use super::pages::StoredPage;
use super::{command, report};
use crate::{ActorError, Tools};

/// Runs one try of a build until its result is told, or it is cancelled.
pub(super) async fn run(tools: &Tools, handle: &EffectHandle, version: u64, attempt: u32) {
    tokio::select! {
        outcome = build(tools, handle) => {
            let result = match outcome {
                Ok(Some(index)) => Command::IndexBuilt { attempt, index },
                Ok(None) => return, // A newer try has the build.
                Err(reason) => {
                    tracing::warn!(agent = %handle.key().id, version, attempt, %reason, "an index could not be built");
                    Command::IndexFailed { version, attempt, reason }
                }
            };
            report(handle, result).await;
        }
        () = handle.cancelled() => {}
    }
}

async fn build(tools: &Tools, handle: &EffectHandle) -> Result<Option<Index>, String> {
    let manifest = match command(handle, Command::Manifest).await {
        Ok(Reply::Manifest(manifest)) => *manifest,
        Ok(_) | Err(ActorError::Rejected(_)) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let parts = collect(tools, handle, &manifest).await?;
    let (chunks, faqs) = (parts.chunks.len(), parts.faqs.len());
    let bytes = tokio::task::spawn_blocking(move || AgentIndex::build(parts).and_then(|index| index.to_bytes()))
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    let key = handle.key();
    let blob = format!("{}{}-{}", super::sweep::indices(key), manifest.version, manifest.content_version);
    handle
        .client()
        .put_blob(key, &blob, &bytes)
        .await
        .map_err(|error| format!("The index could not be stored: {error}"))?;
    Ok(Some(Index {
        version: manifest.version,
        content_version: manifest.content_version,
        blob,
        pages: u32::try_from(manifest.pages.len()).unwrap_or(u32::MAX),
        chunks: u32::try_from(chunks).unwrap_or(u32::MAX),
        faqs: u32::try_from(faqs).unwrap_or(u32::MAX),
        embedder: tools.knowledge.embedder_id().to_owned(),
        built_ms: 0, // The entity sets it.
    }))
}

async fn collect(tools: &Tools, handle: &EffectHandle, manifest: &Manifest) -> Result<Parts, String> {
    let embedder = tools.knowledge.embedder.as_deref();
    let mut chunks = Vec::new();
    let mut chunk_vectors: Vec<Windows> = Vec::new();
    for page in &manifest.pages {
        let bytes = handle
            .client()
            .get_blob(handle.key(), &page.blob)
            .await
            .map_err(|error| format!("A page could not be read back: {error}"))?
            .ok_or_else(|| format!("The stored text of {} is missing: retrain this source.", page.url))?;
        let stored =
            StoredPage::from_bytes(&bytes).map_err(|error| format!("{}: {error}: retrain this source.", page.url))?;
        let fits = stored.head.embedder.as_ref().map(|info| info.id.as_str()) == embedder.map(|embedder| embedder.id());
        // Pages embedded by another model are embedded anew: vectors of two models must never meet.
        let stored = if fits {
            stored
        } else {
            StoredPage::make(&stored.head.url, stored.head.document, embedder)
                .await
                .map_err(|error| error.to_string())?
        };
        chunks.extend(stored.head.chunks);
        chunk_vectors.extend(stored.vectors);
    }
    let questions: Vec<String> = manifest.faqs.iter().map(|faq| faq.question.clone()).collect();
    // Each prepared answer is a chunk too: a question worded too loosely for the FAQ's own threshold still finds it.
    let prepared: Vec<IndexedChunk> = manifest
        .faqs
        .iter()
        .map(|faq| IndexedChunk {
            id: format!("faq:{}", faq.id),
            text: faq.answer.clone(),
            title: faq.question.clone(),
            section: faq.category.clone(),
            source_url: String::new(),
            language: Language::of_tag(None),
        })
        .collect();
    let faq_vectors = match embedder {
        Some(embedder) if !questions.is_empty() => {
            let texts: Vec<String> = prepared.iter().map(IndexedChunk::searchable).collect();
            chunk_vectors.extend(embedder.embed(&texts).await.map_err(|error| error.to_string())?.vectors);
            embedder.embed(&questions).await.map_err(|error| error.to_string())?.vectors
        }
        Some(_) | None => Vec::new(),
    };
    chunks.extend(prepared);
    let faqs = manifest
        .faqs
        .iter()
        .map(|faq| IndexedFaq {
            id: faq.id.to_string(),
            question: faq.question.clone(),
            answer: faq.answer.clone(),
            priority: faq.priority,
            language: Language::of_tag(None),
        })
        .collect();
    Ok(Parts {
        version: manifest.version,
        embedder: embedder
            .map(|embedder| EmbedderInfo { id: embedder.id().to_owned(), dimension: embedder.dimension() }),
        chunks,
        chunk_vectors,
        faqs,
        faq_vectors,
        precision: Precision::default(),
    })
}
