//! Nearest vectors by cosine: an exact scan over 8-bit numbers for most agents, an approximate graph for very large ones.
//!
//! Measured on 100,000 × 384 vectors: 1,000 vectors are scanned faster than a graph is walked, and more exactly; the
//! lines cross at about 16,000.

mod graph;
mod scan;

use self::graph::Graph;
use crate::embed::{Windows, normalise};
use crate::{Error, Result};

/// Up to this many vectors are scanned.
pub const SCAN_LIMIT: usize = 16_000;
/// The best rows of the coarse search that are scored again with exact numbers.
const RERANKED: usize = 40;

/// Whether the exact numbers are kept beside the 8-bit ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Best hits are scored with the numbers as the model gave them: 5 bytes for each.
    #[default]
    Exact,
    /// Best hits are scored with the exact query against 8-bit rows: 1 byte for each, for nodes that serve very many agents.
    Compact,
}

/// The vectors of one index; each belongs to a chunk. Immutable.
#[derive(Debug)]
pub struct Vectors {
    dimension: usize,
    /// Rows one after the other, each value times `scale`.
    coarse: Vec<i8>,
    /// 127 / the largest absolute value of all rows: one for the whole corpus, so that rows compare as integers.
    scale: f32,
    exact: Option<Vec<f32>>,
    /// The chunk of each row; a chunk's rows are neighbours.
    owners: Vec<u32>,
    /// Where each chunk's rows begin, and the end.
    starts: Vec<u32>,
    graph: Option<Graph>,
}

/// A chunk and its cosine to the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// The chunk, by its number.
    pub chunk: u32,
    /// The cosine of its best row.
    pub cosine: f32,
}

impl Vectors {
    /// Builds from the vectors of each chunk in order. Above [`SCAN_LIMIT`] this takes minutes; call it off the async threads.
    ///
    /// # Errors
    /// [`Error::Dimension`], [`Error::NotFinite`], [`Error::VectorIndex`].
    pub fn build(dimension: usize, chunks: &[Windows], precision: Precision) -> Result<Self> {
        let rows: usize = chunks.iter().map(Vec::len).sum();
        let mut exact = Vec::with_capacity(rows * dimension);
        let (mut owners, mut starts) = (Vec::with_capacity(rows), Vec::with_capacity(chunks.len() + 1));
        for (chunk, windows) in chunks.iter().enumerate() {
            starts.push(owners.len() as u32);
            for vector in windows {
                if vector.len() != dimension {
                    return Err(Error::Dimension { expected: dimension, found: vector.len() });
                }
                let start = exact.len();
                exact.extend_from_slice(vector);
                normalise(&mut exact[start..])?;
                owners.push(chunk as u32);
            }
        }
        starts.push(owners.len() as u32);
        let scale = scale_of(&exact);
        let coarse = exact.iter().map(|value| (value * scale).round() as i8).collect();
        let graph = if owners.len() > SCAN_LIMIT { Some(Graph::build(dimension, &exact)?) } else { None };
        let exact = (precision == Precision::Exact).then_some(exact);
        Ok(Vectors { dimension, coarse, scale, exact, owners, starts, graph })
    }

    /// The nearest chunks, best first, each once with its best row.
    ///
    /// # Errors
    /// [`Error::Dimension`] and [`Error::NotFinite`] for a query that does not fit.
    pub fn search(&self, query: &[f32], count: usize) -> Result<Vec<Near>> {
        let query = self.checked(query)?;
        let rows = match &self.graph {
            Some(graph) => graph.search(&query, RERANKED.max(count)),
            None => None,
        };
        // The graph refuses when more threads search than it has room for; the scan is slower and always there.
        let rows = rows.unwrap_or_else(|| self.scan(&query, RERANKED.max(count)));
        let mut near: Vec<Near> = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(chunk) = self.owners.get(row as usize).copied() else {
                continue;
            };
            let cosine = self.cosine_of_row(row as usize, &query);
            match near.iter_mut().find(|known| known.chunk == chunk) {
                Some(known) => known.cosine = known.cosine.max(cosine),
                None => near.push(Near { chunk, cosine }),
            }
        }
        near.sort_by(|a, b| b.cosine.total_cmp(&a.cosine).then(a.chunk.cmp(&b.chunk)));
        near.truncate(count);
        Ok(near)
    }

    /// The cosine of one chunk's best row.
    pub(super) fn cosine(&self, chunk: usize, query: &[f32]) -> Option<f32> {
        let rows = *self.starts.get(chunk)? as usize..*self.starts.get(chunk + 1)? as usize;
        rows.map(|row| self.cosine_of_row(row, query)).max_by(f32::total_cmp)
    }

    /// A query scaled to length 1.
    pub(super) fn checked(&self, query: &[f32]) -> Result<Vec<f32>> {
        if query.len() != self.dimension {
            return Err(Error::Dimension { expected: self.dimension, found: query.len() });
        }
        let mut query = query.to_vec();
        normalise(&mut query)?;
        Ok(query)
    }

    /// Memory they take.
    #[must_use]
    pub fn bytes_used(&self) -> usize {
        let exact = self.exact.as_ref().map_or(0, |exact| exact.len() * size_of::<f32>());
        self.coarse.len()
            + exact
            + (self.owners.len() + self.starts.len()) * size_of::<u32>()
            + self.graph.as_ref().map_or(0, Graph::bytes_used)
    }

    fn scan(&self, query: &[f32], count: usize) -> Vec<u32> {
        let scale = scale_of(query);
        let coarse: Vec<i8> = query.iter().map(|value| (value * scale).round() as i8).collect();
        scan::best_rows(&self.coarse, &coarse, count)
    }

    fn cosine_of_row(&self, row: usize, query: &[f32]) -> f32 {
        let range = row * self.dimension..(row + 1) * self.dimension;
        match &self.exact {
            Some(exact) => scan::dot_f32(&exact[range], query, |value| value),
            None => scan::dot_f32(&self.coarse[range], query, f32::from) / self.scale,
        }
    }

    /// Writes everything that is expensive to compute again.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let number = |out: &mut Vec<u8>, value: usize| out.extend_from_slice(&(value as u64).to_le_bytes());
        number(out, self.dimension);
        number(out, self.starts.len() - 1);
        number(out, self.owners.len());
        out.extend(self.starts.iter().flat_map(|start| start.to_le_bytes()));
        match &self.exact {
            Some(exact) => {
                out.push(1);
                out.extend(exact.iter().flat_map(|value| value.to_le_bytes()));
            }
            None => {
                out.push(0);
                out.extend_from_slice(&self.scale.to_le_bytes());
                out.extend(self.coarse.iter().map(|value| value.cast_unsigned()));
            }
        }
        let graph = self.graph.as_ref().map(Graph::save).transpose()?.unwrap_or_default();
        number(out, graph.len());
        out.extend_from_slice(&graph);
        Ok(())
    }

    /// Reads what [`Vectors::write`] wrote, after its checksum was found right.
    pub(super) fn read(bytes: &mut &[u8]) -> Result<Self> {
        let bad = |reason: &str| Error::IndexFile { reason: reason.to_owned() };
        let dimension = take_number(bytes)?;
        let chunks = take_number(bytes)?;
        let rows = take_number(bytes)?;
        let values = rows.checked_mul(dimension).ok_or_else(|| bad("its size is impossible"))?;
        let starts_bytes = chunks
            .checked_add(1)
            .and_then(|count| count.checked_mul(4))
            .ok_or_else(|| bad("its size is impossible"))?;
        let starts: Vec<u32> =
            take(bytes, starts_bytes)?.as_chunks::<4>().0.iter().map(|raw| u32::from_le_bytes(*raw)).collect();
        if !starts.is_sorted() || starts.first() != Some(&0) || starts.last().map(|end| *end as usize) != Some(rows) {
            return Err(bad("its rows are out of order"));
        }
        let owners: Vec<u32> = starts
            .windows(2)
            .enumerate()
            .flat_map(|(chunk, pair)| std::iter::repeat_n(chunk as u32, (pair[1] - pair[0]) as usize))
            .collect();
        let (exact, scale, coarse) = match take(bytes, 1)?[0] {
            1 => {
                let size = values.checked_mul(4).ok_or_else(|| bad("its size is impossible"))?;
                let exact: Vec<f32> =
                    take(bytes, size)?.as_chunks::<4>().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect();
                if exact.iter().any(|value| !value.is_finite()) {
                    return Err(Error::NotFinite);
                }
                let scale = scale_of(&exact);
                let coarse = exact.iter().map(|value| (value * scale).round() as i8).collect();
                (Some(exact), scale, coarse)
            }
            0 => {
                let scale = take(bytes, 4)?.as_chunks::<4>().0.first().map_or(f32::NAN, |raw| f32::from_le_bytes(*raw));
                if !scale.is_normal() || scale < 0.0 {
                    return Err(bad("its scale is impossible"));
                }
                (None, scale, take(bytes, values)?.iter().map(|value| value.cast_signed()).collect())
            }
            _ => return Err(bad("its precision is unknown")),
        };
        let graph_bytes = take_number(bytes)?;
        let graph = match take(bytes, graph_bytes)? {
            [] => None,
            _ if rows <= SCAN_LIMIT => return Err(bad("it has a graph for few vectors")),
            saved => Some(Graph::load(dimension, rows, saved)?),
        };
        Ok(Vectors { dimension, coarse, scale, exact, owners, starts, graph })
    }

    pub(super) fn chunks(&self) -> usize {
        self.starts.len() - 1
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }
}

/// 127 over the largest absolute value; 1 for nothing but zeros.
fn scale_of(values: &[f32]) -> f32 {
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    if largest > 0.0 { 127.0 / largest } else { 1.0 }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    bytes.split_off(..count).ok_or_else(|| Error::IndexFile { reason: "it is cut off".to_owned() })
}

fn take_number(bytes: &mut &[u8]) -> Result<usize> {
    let raw = take(bytes, 8)?;
    let number = raw.first_chunk::<8>().map_or(u64::MAX, |raw| u64::from_le_bytes(*raw));
    usize::try_from(number).map_err(|_| Error::IndexFile { reason: "its size is impossible".to_owned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Near, Precision, SCAN_LIMIT, Vectors};

    /// Numbers that look random and are the same in every run (xorshift, Marsaglia 2003).
    pub(super) fn noise(seed: u64, count: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
        };
        // Sums of four are bell-shaped, like the numbers of real embeddings.
        (0..count).map(|_| next() + next() + next() + next()).collect()
    }

    fn brute_force(chunks: &[Vec<Vec<f32>>], query: &[f32], count: usize) -> Vec<u32> {
        let cosine = |a: &[f32], b: &[f32]| {
            let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
            dot / (length(a) * length(b))
        };
        let best =
            |windows: &Vec<Vec<f32>>| windows.iter().map(|window| cosine(window, query)).fold(f32::MIN, f32::max);
        let mut all: Vec<(f32, u32)> =
            chunks.iter().enumerate().map(|(at, windows)| (best(windows), at as u32)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all.into_iter().take(count).map(|(_, at)| at).collect()
    }

    fn recall(chunks: &[Vec<Vec<f32>>], vectors: &Vectors, queries: usize, dimension: usize) -> f64 {
        let mut hits = 0;
        for query in 0..queries {
            let query = noise(1_000_000 + query as u64, dimension);
            let expected = brute_force(chunks, &query, 5);
            hits +=
                vectors.search(&query, 5).expect("search").iter().filter(|near| expected.contains(&near.chunk)).count();
        }
        hits as f64 / (queries * 5) as f64
    }

    #[test]
    fn the_scan_finds_what_brute_force_finds() {
        let chunks: Vec<Vec<Vec<f32>>> =
            (0..1_000).map(|at| (0..1 + at % 2).map(|window| noise(at * 10 + window, 384)).collect()).collect();
        for (precision, least) in [(Precision::Exact, 0.999), (Precision::Compact, 0.97)] {
            let vectors = Vectors::build(384, &chunks, precision).expect("build");
            let recall = recall(&chunks, &vectors, 50, 384);
            assert!(recall >= least, "{precision:?}: {recall}");
        }
    }

    #[test]
    fn above_the_limit_a_graph_answers_and_survives_saving() {
        // Random vectors have no neighbourhoods for a graph to follow; real ones lie in clusters, as these do.
        let centres: Vec<Vec<f32>> = (0..400).map(|centre| noise(centre + 7, 48)).collect();
        let chunks: Vec<Vec<Vec<f32>>> = (0..SCAN_LIMIT as u64 + 200)
            .map(|at| {
                vec![noise(at + 5_000, 48).iter().zip(&centres[at as usize % 400]).map(|(a, b)| a * 0.4 + b).collect()]
            })
            .collect();
        let vectors = Vectors::build(48, &chunks, Precision::Exact).expect("build");
        assert!(vectors.graph.is_some());
        let mut bytes = Vec::new();
        vectors.write(&mut bytes).expect("write");
        let read = Vectors::read(&mut bytes.as_slice()).expect("read");
        assert!(read.graph.is_some());
        for vectors in [&vectors, &read] {
            let mut hits = 0;
            for query in 0..20_u64 {
                let query: Vec<f32> =
                    noise(query + 900_000, 48).iter().zip(&centres[query as usize]).map(|(a, b)| a * 0.4 + b).collect();
                let expected = brute_force(&chunks, &query, 5);
                hits += vectors
                    .search(&query, 5)
                    .expect("search")
                    .iter()
                    .filter(|near| expected.contains(&near.chunk))
                    .count();
            }
            assert!(hits >= 95, "recall {hits} of 100");
        }
    }

    #[test]
    fn a_chunk_is_found_once_by_its_best_window() {
        let chunks = vec![vec![vec![1.0, 0.0], vec![0.0, 1.0]], vec![vec![0.6, 0.8]], vec![]];
        let vectors = Vectors::build(2, &chunks, Precision::Exact).expect("build");
        let found = vectors.search(&[0.0, 2.0], 5).expect("search");
        assert_eq!(found.iter().map(|near| near.chunk).collect::<Vec<_>>(), [0, 1]);
        assert!((found[0].cosine - 1.0).abs() < 1e-6 && (found[1].cosine - 0.8).abs() < 1e-6);
        assert_eq!(vectors.cosine(2, &[0.0, 1.0]), None, "a chunk without vectors has no cosine");
        assert_eq!(vectors.cosine(9, &[0.0, 1.0]), None);
    }

    #[test]
    fn wrong_lengths_and_numbers_that_are_none_are_refused() {
        assert!(Vectors::build(2, &[vec![vec![1.0]]], Precision::Exact).is_err());
        assert!(Vectors::build(1, &[vec![vec![f32::NAN]]], Precision::Exact).is_err());
        let vectors = Vectors::build(2, &[vec![vec![0.0, 0.0]]], Precision::Exact).expect("zeros");
        assert!(vectors.search(&[1.0], 1).is_err() && vectors.search(&[f32::INFINITY, 0.0], 1).is_err());
        assert_eq!(vectors.search(&[1.0, 0.0], 1).expect("search"), [Near { chunk: 0, cosine: 0.0 }]);
        let empty = Vectors::build(2, &[], Precision::Exact).expect("empty");
        assert!(empty.search(&[1.0, 0.0], 3).expect("search").is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_vectors_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200), small in any::<bool>()) {
            if small {
                for at in [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23] {
                    if let Some(byte) = bytes.get_mut(at) { *byte = 0; } // Small numbers get further.
                }
            }
            let _ = Vectors::read(&mut bytes.as_slice());
        }

        #[test]
        fn what_is_written_is_read_again(seed in any::<u64>(), counts in prop::collection::vec(0usize..3, 0..12), compact in any::<bool>()) {
            let chunks: Vec<Vec<Vec<f32>>> = counts.iter().enumerate().map(|(at, count)| (0..*count).map(|w| noise(seed ^ (at * 9 + w) as u64, 5)).collect()).collect();
            let precision = if compact { Precision::Compact } else { Precision::Exact };
            let vectors = Vectors::build(5, &chunks, precision).expect("build");
            let mut bytes = Vec::new();
            vectors.write(&mut bytes).expect("write");
            let read = Vectors::read(&mut bytes.as_slice()).expect("read");
            let query = noise(seed, 5);
            prop_assert_eq!(read.search(&query, 5).expect("search"), vectors.search(&query, 5).expect("search"));
            for cut in 0..bytes.len() {
                prop_assert!(Vectors::read(&mut &bytes[..cut]).is_err());
            }
        }
    }
}
