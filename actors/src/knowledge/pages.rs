//! A page as it is stored: its text, its chunks and their vectors, with a checksum. Content-addressed, so an unchanged page is never embedded twice.
//!
//! Layout: `CQPG`, version (u16), length of the JSON head (u32), head, vectors (f32 little-endian, window by window), BLAKE3 of all before.

use bytes::{BufMut as _, Bytes, BytesMut};
use colloquy_cluster::EntityKey;
use colloquy_knowledge::chunk::{Chunk, chunks};
use colloquy_knowledge::embed::{Embedder, Windows};
use colloquy_knowledge::extract::Document;
use colloquy_knowledge::index::{EmbedderInfo, IndexedChunk};
use colloquy_knowledge::words::Language;
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 4] = b"CQPG";
const VERSION: u16 = 1;
const HEAD_AT: usize = 10;
const SUM: usize = 32;

/// A stored page.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StoredPage {
    pub(super) head: Head,
    /// Vectors of each chunk, in order; empty without an embedder.
    pub(super) vectors: Vec<Windows>,
}

/// Everything of a page but its vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) url: String,
    pub(super) document: Document,
    pub(super) chunks: Vec<IndexedChunk>,
    pub(super) embedder: Option<EmbedderInfo>,
    windows: Vec<u32>,
}

/// Why a stored page cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("a stored page is damaged: {0}")]
pub(super) struct Damaged(&'static str);

impl StoredPage {
    /// Cuts and embeds a document.
    pub(super) async fn make(
        url: &str,
        mut document: Document,
        embedder: Option<&dyn Embedder>,
    ) -> Result<Self, colloquy_knowledge::Error> {
        let language = Language::of_tag(document.language.as_deref());
        let cut: Vec<Chunk> = chunks(&document.markdown, url, &document.title);
        let chunks: Vec<IndexedChunk> = cut
            .into_iter()
            .map(|chunk| IndexedChunk {
                id: chunk_id(url, &chunk.text, chunk.chunk_index),
                text: chunk.text,
                title: chunk.metadata.title,
                section: chunk.metadata.section,
                source_url: chunk.metadata.source_url,
                language,
            })
            .collect();
        let (embedder, vectors) = match embedder {
            None => (None, Vec::new()),
            Some(embedder) => {
                let texts: Vec<String> = chunks.iter().map(IndexedChunk::searchable).collect();
                let vectors = if texts.is_empty() { Vec::new() } else { embedder.embed(&texts).await?.vectors };
                (Some(EmbedderInfo { id: embedder.id().to_owned(), dimension: embedder.dimension() }), vectors)
            }
        };
        // Links served the crawl; keeping them would double the page.
        document.links = Vec::new();
        let windows = vectors.iter().map(|windows| u32::try_from(windows.len()).unwrap_or(u32::MAX)).collect();
        Ok(Self { head: Head { url: url.to_owned(), document, chunks, embedder, windows }, vectors })
    }

    /// As bytes.
    pub(super) fn to_bytes(&self) -> Bytes {
        let head = serde_json::to_vec(&self.head).unwrap_or_default();
        let mut out = BytesMut::with_capacity(head.len() + HEAD_AT + SUM);
        out.put_slice(MAGIC);
        out.put_u16_le(VERSION);
        out.put_u32_le(u32::try_from(head.len()).unwrap_or(u32::MAX));
        out.put_slice(&head);
        for value in self.vectors.iter().flatten().flatten() {
            out.put_f32_le(*value);
        }
        let sum = blake3::hash(&out);
        out.put_slice(sum.as_bytes());
        out.freeze()
    }

    /// From bytes; anything that is not what was written is refused.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Damaged> {
        let (body, sum) = bytes.split_at_checked(bytes.len().wrapping_sub(SUM)).ok_or(Damaged("too short"))?;
        if blake3::hash(body).as_bytes() != sum {
            return Err(Damaged("its checksum is wrong"));
        }
        if body.len() < HEAD_AT || body[..4] != *MAGIC {
            return Err(Damaged("it is not a page"));
        }
        if u16::from_le_bytes([body[4], body[5]]) != VERSION {
            return Err(Damaged("its version is unknown"));
        }
        let length = u32::from_le_bytes([body[6], body[7], body[8], body[9]]) as usize;
        let (head, floats) = body[HEAD_AT..].split_at_checked(length).ok_or(Damaged("its head is cut"))?;
        let head: Head = serde_json::from_slice(head).map_err(|_| Damaged("its head cannot be read"))?;
        let vectors = match &head.embedder {
            None => Vec::new(),
            Some(embedder) => vectors(&head.windows, embedder.dimension, floats)?,
        };
        Ok(Self { head, vectors })
    }
}

fn vectors(windows: &[u32], dimension: usize, bytes: &[u8]) -> Result<Vec<Windows>, Damaged> {
    let count: u64 = windows.iter().map(|count| u64::from(*count)).sum();
    if count * dimension as u64 * 4 != bytes.len() as u64 {
        return Err(Damaged("its vectors are cut"));
    }
    let mut values = bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    Ok(windows.iter().map(|count| (0..*count).map(|_| values.by_ref().take(dimension).collect()).collect()).collect())
}

/// The same words on the same page keep their id, so that an old answer's source can be found again.
fn chunk_id(url: &str, text: &str, index: u32) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [url.as_bytes(), text.as_bytes(), &index.to_le_bytes()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex()[..24].to_owned()
}

/// Where a page of this content is stored by a run. No other run writes there: what nothing names any more once its run has ended can be deleted.
pub(super) fn path(agent: &EntityKey, run: &str, url: &str, content_hash: &str, embedder: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [url, content_hash, embedder] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    format!("{}{}-{run}", super::sweep::pages(agent), &hasher.finalize().to_hex()[..40])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page() -> StoredPage {
        StoredPage {
            head: Head {
                url: "https://a.example/".into(),
                document: Document { title: "A".into(), markdown: "Text.".into(), ..Document::default() },
                chunks: Vec::new(),
                embedder: Some(EmbedderInfo { id: "e".into(), dimension: 2 }),
                windows: vec![1, 2],
            },
            vectors: vec![vec![vec![1.0, 0.0]], vec![vec![0.0, 1.0], vec![0.5, 0.5]]],
        }
    }

    #[test]
    fn a_page_survives_storage() {
        assert_eq!(StoredPage::from_bytes(&page().to_bytes()).unwrap(), page());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = page().to_bytes();
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            assert!(StoredPage::from_bytes(&damaged).is_err(), "bit of byte {at}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = StoredPage::from_bytes(&bytes);
        }
    }
}
