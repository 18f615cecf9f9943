//! A built index as a file, so that a node need not rebuild it after a restart. A checksum is looked at before anything else.
//!
//! Layout: 8 bytes magic, 4 bytes format version, 32 bytes blake3 of the rest, then the length of a JSON head, the head, and
//! the vectors. Numbers are little-endian.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::vectors::Vectors;
use super::{AgentIndex, EmbedderInfo, IndexedChunk, IndexedFaq};
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"CQINDEX\n";
/// Raised whenever the layout changes; other versions are rebuilt from the store.
const FORMAT: u32 = 1;
const HASH_BYTES: usize = 32;
const HEAD_START: usize = MAGIC.len() + 4 + HASH_BYTES;
/// A file larger than this is not read: 300,000 vectors of 1,536 numbers fit.
const MAX_FILE_BYTES: u64 = 4 << 30;

#[derive(Deserialize)]
struct Head {
    version: u64,
    embedder: Option<EmbedderInfo>,
    chunks: Vec<IndexedChunk>,
    faqs: Vec<IndexedFaq>,
}

#[derive(Serialize)]
struct HeadRef<'a> {
    version: u64,
    embedder: &'a Option<EmbedderInfo>,
    chunks: &'a [IndexedChunk],
    faqs: &'a [IndexedFaq],
}

fn bad(reason: impl Into<String>) -> Error {
    Error::IndexFile { reason: reason.into() }
}

impl AgentIndex {
    /// The index as bytes.
    ///
    /// # Errors
    /// [`Error::VectorIndex`] when a graph cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let head = HeadRef { version: self.version, embedder: &self.embedder, chunks: &self.chunks, faqs: &self.faqs };
        let head = serde_json::to_vec(&head).map_err(|error| bad(error.to_string()))?;
        let mut out = Vec::with_capacity(HEAD_START + head.len() + 1_024);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&[0; HASH_BYTES]);
        out.extend_from_slice(&(head.len() as u64).to_le_bytes());
        out.extend_from_slice(&head);
        for vectors in [&self.vectors, &self.faq_vectors].into_iter().flatten() {
            vectors.write(&mut out)?;
        }
        seal(&mut out);
        Ok(out)
    }

    /// Reads what [`AgentIndex::to_bytes`] gave.
    ///
    /// # Errors
    /// [`Error::IndexFile`] for anything else, and for a file of another format; then the index is to be built again.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| bad("it is not an index file"))?;
        let (format, rest) = rest.split_first_chunk::<4>().ok_or_else(|| bad("it is cut off"))?;
        let (hash, rest) = rest.split_first_chunk::<HASH_BYTES>().ok_or_else(|| bad("it is cut off"))?;
        if u32::from_le_bytes(*format) != FORMAT {
            return Err(bad(format!("it has format {}, this program reads {FORMAT}", u32::from_le_bytes(*format))));
        }
        if blake3::hash(rest) != *hash {
            return Err(bad("its checksum is wrong"));
        }
        let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(|| bad("it is cut off"))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| bad("its size is impossible"))?;
        let (head, mut rest) = rest.split_at_checked(length).ok_or_else(|| bad("it is cut off"))?;
        let Head { version, embedder, chunks, faqs } =
            serde_json::from_slice(head).map_err(|error| bad(error.to_string()))?;
        let mut part = |count: usize| -> Result<Option<Vectors>> {
            let Some(embedder) = &embedder else {
                return Ok(None);
            };
            let vectors = Vectors::read(&mut rest)?;
            if vectors.chunks() != count || vectors.dimension() != embedder.dimension {
                return Err(bad("its vectors do not fit its texts"));
            }
            Ok(Some(vectors))
        };
        let (vectors, faq_vectors) = (part(chunks.len())?, part(faqs.len())?);
        if !rest.is_empty() {
            return Err(bad("something follows its end"));
        }
        Ok(Self::assemble(version, embedder, chunks, vectors, faqs, faq_vectors))
    }

    /// Writes the index to a file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::VectorIndex`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes()?;
        let failed = |source| Error::Io { path: path.to_owned(), source };
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        let mut file = std::fs::File::create(&beside).map_err(failed)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        std::fs::rename(&beside, path).map_err(failed)
    }

    /// Reads an index from a file.
    ///
    /// # Errors
    /// [`Error::Io`] when there is none, [`Error::IndexFile`] when it is damaged, too large or of another format.
    pub fn load(path: &Path) -> Result<Self> {
        let failed = |source| Error::Io { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(failed)?.len() > MAX_FILE_BYTES {
            return Err(bad("it is too large"));
        }
        Self::from_bytes(&std::fs::read(path).map_err(failed)?)
    }
}

/// Writes the checksum over everything behind it.
fn seal(bytes: &mut [u8]) {
    let hash = blake3::hash(&bytes[HEAD_START..]);
    bytes[HEAD_START - HASH_BYTES..HEAD_START].copy_from_slice(hash.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{HEAD_START, seal};
    use crate::Error;
    use crate::index::{AgentIndex, EmbedderInfo, IndexedChunk, IndexedFaq, Parts, Precision};
    use crate::words::Language;

    fn index(precision: Precision) -> AgentIndex {
        let text = |id: &str, text: &str| IndexedChunk {
            id: id.into(),
            text: text.into(),
            title: "T".into(),
            section: "S".into(),
            source_url: "u".into(),
            language: Language::German,
        };
        AgentIndex::build(Parts {
            version: 42,
            embedder: Some(EmbedderInfo { id: "local/x".into(), dimension: 3 }),
            chunks: vec![text("a", "Häuser und Gärten"), text("b", "Öffnungszeiten")],
            chunk_vectors: vec![vec![vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0]], vec![vec![0.0, 0.0, 1.0]]],
            faqs: vec![IndexedFaq {
                id: "f".into(),
                question: "Wann?".into(),
                answer: "Jetzt.".into(),
                priority: 1,
                language: Language::German,
            }],
            faq_vectors: vec![vec![vec![0.5, 0.5, 0.0]]],
            precision,
        })
        .expect("index")
    }

    #[test]
    fn an_index_survives_its_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("agent.index");
        for precision in [Precision::Exact, Precision::Compact] {
            let built = index(precision);
            built.save(&path).expect("save");
            let read = AgentIndex::load(&path).expect("load");
            assert_eq!(
                (read.version(), read.embedder(), read.chunks(), read.faqs()),
                (42, built.embedder(), built.chunks(), built.faqs())
            );
            assert_eq!(read.bytes_used(), built.bytes_used());
            let query = |index: &AgentIndex| {
                let hits = index.search("Haus", Some(&[0.2, 0.9, 0.1]), 5).expect("search");
                (hits.chunks.iter().map(|hit| (hit.chunk.id.clone(), hit.score)).collect::<Vec<_>>(), hits.confidence)
            };
            assert_eq!(query(&read), query(&built));
        }
        assert!(!folder.path().join("agent.index.part").exists());
        assert!(matches!(AgentIndex::load(&folder.path().join("none")), Err(Error::Io { .. })));
    }

    #[test]
    fn another_format_is_refused_by_number() {
        let mut bytes = index(Precision::Exact).to_bytes().expect("bytes");
        bytes[8] = 9;
        assert!(AgentIndex::from_bytes(&bytes).expect_err("format").to_string().contains("format 9"));
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_detected(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut bytes = index(Precision::Exact).to_bytes().expect("bytes");
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(AgentIndex::from_bytes(&bytes).is_err());
        }

        #[test]
        fn any_cut_is_detected(cut in any::<prop::sample::Index>()) {
            let bytes = index(Precision::Compact).to_bytes().expect("bytes");
            prop_assert!(AgentIndex::from_bytes(&bytes[..cut.index(bytes.len())]).is_err());
        }

        /// Behind a right checksum the reader meets every field's wrong values; it must refuse or read, never panic.
        #[test]
        fn damage_under_a_right_checksum_never_panics(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
            let mut bytes = index(Precision::Exact).to_bytes().expect("bytes");
            let body = bytes.len() - HEAD_START;
            for (at, value) in flips {
                bytes[HEAD_START + at.index(body)] = value;
            }
            seal(&mut bytes);
            if let Ok(read) = AgentIndex::from_bytes(&bytes) {
                let _ = read.search("Haus", Some(&[0.2, 0.9, 0.1]), 5);
            }
        }
    }
}
