//! The approximate index for very large agents: usearch's HNSW graph (Malkov and Yashunin 2016) over bfloat16.
//!
//! Its writes must be exclusive and it is only written while it is built, before anybody can search it.

use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use crate::{Error, Result};

/// Neighbours of a node (requirement KB-8).
const CONNECTIVITY: usize = 16;
/// Candidates looked at while building (requirement KB-8 says 64; 96 measured better recall for little more time).
const EXPANSION_ADD: usize = 96;
/// Candidates looked at while searching.
const EXPANSION_SEARCH: usize = 96;
/// Searches that may run at once; more fall back to the scan.
const SEARCH_THREADS: usize = 32;
/// Threads that build at most; the rest of the machine goes on answering.
const BUILD_THREADS: usize = 8;

pub(super) struct Graph {
    index: Index,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("vectors", &self.index.size()).finish_non_exhaustive()
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::VectorIndex { reason: error.to_string() }
}

fn empty(dimension: usize) -> Result<Index> {
    let options = IndexOptions {
        dimensions: dimension,
        metric: MetricKind::Cos,
        quantization: ScalarKind::BF16,
        connectivity: CONNECTIVITY,
        expansion_add: EXPANSION_ADD,
        expansion_search: EXPANSION_SEARCH,
        multi: false,
    };
    Index::new(&options).map_err(failed)
}

impl Graph {
    /// Builds from rows one after the other, which must be finite.
    pub(super) fn build(dimension: usize, rows: &[f32]) -> Result<Self> {
        let count = rows.len() / dimension.max(1);
        let index = empty(dimension)?;
        index.reserve_capacity_and_threads(count, SEARCH_THREADS).map_err(failed)?;
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(BUILD_THREADS));
        let share = count.div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let workers: Vec<_> = rows
                .chunks(share * dimension)
                .enumerate()
                .map(|(part, rows)| {
                    let index = &index;
                    scope.spawn(move || {
                        let mut numbered = rows.chunks_exact(dimension).enumerate();
                        numbered.try_for_each(|(at, row)| index.add((part * share + at) as u64, row))
                    })
                })
                .collect();
            for worker in workers {
                worker.join().map_err(|_| failed("a building thread stopped"))?.map_err(failed)?;
            }
            Ok(())
        })?;
        Ok(Graph { index })
    }

    /// The nearest rows in no order; `None` when all its threads are busy.
    pub(super) fn search(&self, query: &[f32], count: usize) -> Option<Vec<u32>> {
        let found = self.index.search(query, count).ok()?;
        found.keys.into_iter().map(|key| u32::try_from(key).ok()).collect()
    }

    pub(super) fn save(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.index.serialized_length()];
        self.index.save_to_buffer(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// Reads a saved graph. The bytes must have passed a checksum: the library trusts them.
    pub(super) fn load(dimension: usize, rows: usize, bytes: &[u8]) -> Result<Self> {
        let index = empty(dimension)?;
        index.load_from_buffer(bytes).map_err(failed)?;
        if index.dimensions() != dimension || index.size() != rows {
            return Err(Error::IndexFile { reason: "its graph belongs to other vectors".to_owned() });
        }
        index.reserve_capacity_and_threads(rows, SEARCH_THREADS).map_err(failed)?;
        Ok(Graph { index })
    }

    pub(super) fn bytes_used(&self) -> usize {
        self.index.memory_usage()
    }
}
