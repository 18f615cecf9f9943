//! The exact scan: dot products of 8-bit rows with an 8-bit query, in the widest instructions this processor has.

use pulp::{Arch, Simd, WithSimd};

/// The `count` rows with the largest dot products, in no order.
pub(super) fn best_rows(rows: &[i8], query: &[i8], count: usize) -> Vec<u32> {
    if query.is_empty() || count == 0 {
        return Vec::new();
    }
    let best = Arch::new().dispatch(Scan { rows, query, count });
    best.into_iter().map(|(_, row)| row).collect()
}

struct Scan<'a> {
    rows: &'a [i8],
    query: &'a [i8],
    count: usize,
}

impl WithSimd for Scan<'_> {
    type Output = Vec<(i32, u32)>;

    // The loops are plain Rust: inlined into a function compiled for this processor, the compiler vectorises them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Self::Output {
        let Scan { rows, query, count } = self;
        // Twice as many as wanted are collected and then halved, so that most rows cost one comparison.
        let mut best: Vec<(i32, u32)> = Vec::with_capacity(count * 2);
        let mut bar = i32::MIN;
        for (row, values) in rows.chunks_exact(query.len()).enumerate() {
            let score = dot(values, query);
            if score > bar || best.len() < count {
                best.push((score, row as u32));
                if best.len() == count * 2 {
                    halve(&mut best, count);
                    bar = best[count - 1].0;
                }
            }
        }
        if best.len() > count {
            halve(&mut best, count);
        }
        best
    }
}

/// Keeps the `count` best, the least of them last.
fn halve(best: &mut Vec<(i32, u32)>, count: usize) {
    best.select_nth_unstable_by(count - 1, |a, b| b.cmp(a));
    best.truncate(count);
}

/// 127² times any dimension in use fits an `i32` with room to spare.
#[inline(always)]
fn dot(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

/// The dot product of a row and a query, in several sums so that the processor can add them side by side.
#[inline]
pub(super) fn dot_f32<T: Copy>(row: &[T], query: &[f32], number: impl Fn(T) -> f32) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0_f32; LANES];
    let (rows, row_rest) = row.as_chunks::<LANES>();
    let (queries, query_rest) = query.as_chunks::<LANES>();
    for (a, b) in rows.iter().zip(queries) {
        for lane in 0..LANES {
            sums[lane] += number(a[lane]) * b[lane];
        }
    }
    let rest: f32 = row_rest.iter().zip(query_rest).map(|(a, b)| number(*a) * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::best_rows;

    proptest! {
        #[test]
        fn the_best_are_those_that_sorting_finds(rows in prop::collection::vec(any::<[i8; 3]>(), 0..300), query in any::<[i8; 3]>(), count in 0usize..50) {
            let flat: Vec<i8> = rows.concat();
            let score = |row: &[i8; 3]| -> i32 { row.iter().zip(&query).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum() };
            let mut expected: Vec<i32> = rows.iter().map(score).collect();
            expected.sort_unstable_by(|a, b| b.cmp(a));
            expected.truncate(count);
            let mut found: Vec<i32> = best_rows(&flat, &query, count).iter().map(|row| score(&rows[*row as usize])).collect();
            found.sort_unstable_by(|a, b| b.cmp(a));
            prop_assert_eq!(found, expected);
        }
    }
}
