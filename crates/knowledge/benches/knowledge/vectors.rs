//! Vector search at 1,000 and 100,000 vectors: how long, how right, beside an exact search over the numbers as they are.

use std::hint::black_box;
use std::time::Instant;

use colloquy_knowledge::index::{Precision, SCAN_LIMIT, Vectors};
use pulp::{Arch, Simd, WithSimd};

use crate::rows::{Row, Rows, Samples};

/// Numbers in a vector: the local model's.
pub(crate) const DIMENSION: usize = 384;
/// What a business has, and what the largest agents have.
const BUSINESS: usize = 1_000;
const LIBRARY: usize = 100_000;
/// Hits wanted, and compared.
pub(crate) const WANTED: usize = 5;
/// Searches timed.
const SEARCHES: usize = 5_000;
const WARM_UP: usize = 500;
/// Exact searches: a hundred times slower at 100,000 vectors.
const EXACT_SEARCHES: usize = 200;
/// Themes of the generated texts; a theme's vectors lie around its centre as a site's chunks do.
const THEMES: usize = 1_000;
/// How far from it, as a part of the centre's own length.
const SPREAD: f32 = 0.6;

/// What was searched, for the peer to search the same.
pub(crate) struct Searched {
    pub(crate) rows: Vec<Vec<f32>>,
    pub(crate) queries: Vec<Vec<f32>>,
    /// Median microseconds of a search here.
    pub(crate) p50_us: f64,
    pub(crate) recall: f64,
    /// Questions by their number, each with the chunks an exact search finds.
    pub(crate) exact: Vec<(usize, Vec<usize>)>,
}

/// Measures both sizes.
pub(crate) fn measure(rows: &mut Rows, scale: f64) -> Result<Vec<Searched>, colloquy_knowledge::Error> {
    let mut searched = vec![one(rows, BUSINESS, 1)?];
    // A chunk of 500 tokens has two windows of the local model, so 1,000 chunks are 2,000 vectors.
    one(rows, BUSINESS, 2)?;
    let library = (LIBRARY as f64 * scale) as usize;
    if library > SCAN_LIMIT {
        searched.push(one(rows, library, 1)?);
    } else {
        rows.add(Row {
            figure: "vector search of 100,000 chunks, p50".into(),
            value: Err(format!("at scale {scale} there is no graph: it begins above {SCAN_LIMIT} vectors")),
            unit: "micros",
            goal: None,
            beside: String::new(),
            samples: None,
        });
    }
    rows.note(
        "Vectors of the search figures are generated: 384 numbers around one of 1,000 centres, as a site's chunks gather around its topics, because embedding 100,000 chunks takes hours. \
         A search is what an index does with a question's vector: the 8-bit scan, or above 16,000 vectors the graph, and the exact scoring of the best 40; the floor is an exact search over 32-bit numbers in the same instructions.",
    );
    Ok(searched)
}

fn one(rows: &mut Rows, chunks: usize, windows: usize) -> Result<Searched, colloquy_knowledge::Error> {
    let count = chunks * windows;
    let flat: Vec<Vec<f32>> = (0..count).map(|at| near_theme(at as u64)).collect();
    let queries: Vec<Vec<f32>> = (0..SEARCHES + WARM_UP).map(|at| near_theme(1 << 40 | at as u64)).collect();
    let grouped: Vec<Vec<Vec<f32>>> = flat.chunks(windows).map(<[Vec<f32>]>::to_vec).collect();
    let begun = Instant::now();
    let vectors = Vectors::build(DIMENSION, &grouped, Precision::Exact)?;
    let built = begun.elapsed();
    drop(grouped);

    let mut failed = None;
    let ours = Samples::of(WARM_UP, SEARCHES, |at| match vectors.search(&queries[at], WANTED) {
        Ok(found) => drop(black_box(found)),
        Err(error) => failed = Some(error),
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let together = flat.concat();
    let mut right = 0;
    let mut exact_hits = Vec::with_capacity(EXACT_SEARCHES);
    let exact = Samples::of(EXACT_SEARCHES / 10, EXACT_SEARCHES, |at| {
        exact_hits.push((at, exact(&together, &queries[at], windows)))
    });
    for (at, expected) in &exact_hits {
        let found = vectors.search(&queries[*at], WANTED)?;
        right += found.iter().filter(|near| expected.contains(&(near.chunk as usize))).count();
    }
    let recall = right as f64 / (exact_hits.len() * WANTED) as f64 * 100.0;
    let (p50, floor) = (ours.at_us(0.5), exact.at_us(0.5));
    let name = if windows == 1 { format!("{chunks} chunks") } else { format!("{chunks} chunks of {windows} windows") };
    let how = if count > SCAN_LIMIT { "graph" } else { "scan" };
    rows.add(Row {
        figure: format!("vector search of {name} ({how}), p50"),
        value: Ok(p50),
        unit: "micros",
        goal: (chunks == BUSINESS && windows == 1).then_some(("at_most", 30.0)),
        beside: format!(
            "exact 32-bit search {floor:.0} µs (ratio {:.2}×); built in {:.1} s",
            p50 / floor,
            built.as_secs_f64()
        ),
        samples: Some(ours),
    });
    rows.add(Row {
        figure: format!("recall@{WANTED} of {name}"),
        value: Ok(recall),
        unit: "percent",
        goal: Some(("at_least", 99.0)),
        beside: format!("against the exact search, {} questions", exact_hits.len()),
        samples: None,
    });
    Ok(Searched { rows: flat, queries, p50_us: p50, recall, exact: exact_hits })
}

/// The chunks with the largest dot products, by looking at every number.
fn exact(rows: &[f32], query: &[f32], windows: usize) -> Vec<usize> {
    let scores = Arch::new().dispatch(Scores { rows, query });
    let mut best: Vec<(f32, usize)> = Vec::with_capacity(WANTED + 1);
    for (row, score) in scores.into_iter().enumerate() {
        let chunk = row / windows;
        if best.len() == WANTED && score <= best[WANTED - 1].0 {
            continue;
        }
        match best.iter_mut().find(|(_, known)| *known == chunk) {
            Some(known) => known.0 = known.0.max(score),
            None => best.push((score, chunk)),
        }
        best.sort_by(|a, b| b.0.total_cmp(&a.0));
        best.truncate(WANTED);
    }
    best.into_iter().map(|(_, chunk)| chunk).collect()
}

struct Scores<'a> {
    rows: &'a [f32],
    query: &'a [f32],
}

impl WithSimd for Scores<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Vec<f32> {
        let mut scores = Vec::with_capacity(self.rows.len() / self.query.len());
        for row in self.rows.chunks_exact(self.query.len()) {
            scores.push(dot(row, self.query));
        }
        scores
    }
}

/// In several sums, so that the processor can add them side by side.
#[inline(always)]
fn dot(row: &[f32], query: &[f32]) -> f32 {
    const LANES: usize = 64;
    let mut sums = [0.0_f32; LANES];
    for (a, b) in row.as_chunks::<LANES>().0.iter().zip(query.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

/// A vector of length 1 around one of the centres.
pub(crate) fn near_theme(number: u64) -> Vec<f32> {
    let theme = mixed(number) % THEMES as u64;
    let (centre, own) = (bells(theme ^ 0xc0ff_ee00), bells(number ^ 0x5eed_0000_0000));
    let mut vector: Vec<f32> = centre.zip(own).map(|(centre, own)| centre + SPREAD * own).collect();
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|value| *value /= length);
    vector
}

/// Bell-shaped numbers, the same for the same seed.
fn bells(seed: u64) -> impl Iterator<Item = f32> {
    (0..DIMENSION as u64).map(move |at| {
        let bits = mixed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(at));
        // The sum of four even ones.
        (0..4).map(|part| (bits >> (16 * part) & 0xffff) as f32 / 65_536.0 - 0.5).sum()
    })
}

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
