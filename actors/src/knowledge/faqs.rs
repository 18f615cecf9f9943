//! Looks for questions that the stored pages answer themselves; they wait to be accepted.

use colloquy_cluster::effect::EffectHandle;
use colloquy_domain::knowledge::{Command, GeneratedFaq, Reply};
use colloquy_knowledge::faq;

use super::pages::StoredPage;
use super::{command, report};
use crate::{ActorError, Tools};

/// Questions of one generation: more than a person would read through.
const FAQS_MAX: usize = 100;

/// Runs one try of a generation until its result is told, or it is cancelled.
pub(super) async fn run(_tools: &Tools, handle: &EffectHandle, run: String, attempt: u32) {
    tokio::select! {
        outcome = generate(handle) => {
            let result = match outcome {
                Ok(Some(faqs)) => Command::FaqsGenerated { run, attempt, faqs },
                Ok(None) => return,
                Err(reason) => Command::GenerationFailed { run, attempt, reason },
            };
            report(handle, result).await;
        }
        () = handle.cancelled() => {}
    }
}

async fn generate(handle: &EffectHandle) -> Result<Option<Vec<GeneratedFaq>>, String> {
    let manifest = match command(handle, Command::Manifest).await {
        Ok(Reply::Manifest(manifest)) => *manifest,
        Ok(_) | Err(ActorError::Rejected(_)) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut known: Vec<String> = manifest.faqs.iter().map(|faq| faq.question.clone()).collect();
    let mut found = Vec::new();
    for page in &manifest.pages {
        let Some(bytes) =
            handle.client().get_blob(handle.key(), &page.blob).await.map_err(|error| error.to_string())?
        else {
            continue;
        };
        let stored =
            StoredPage::from_bytes(&bytes).map_err(|error| format!("{}: {error}: retrain this source.", page.url))?;
        for question in faq::candidates(&stored.head.document, known.iter().map(String::as_str)) {
            known.push(question.question.clone());
            found.push(GeneratedFaq {
                question: question.question,
                answer: question.answer,
                category: String::new(),
                source_url: Some(stored.head.url.clone()).filter(|url| !url.is_empty()),
            });
            if found.len() >= FAQS_MAX {
                return Ok(Some(found));
            }
        }
    }
    Ok(Some(found))
}
