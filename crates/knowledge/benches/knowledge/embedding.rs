//! The local embedder's rate beside its floor: the bare matrix products of the same tokens.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use colloquy_knowledge::chunk::chunks;
use colloquy_knowledge::embed::{Embedder as _, LocalEmbedder};
use colloquy_knowledge::index::{Precision, Vectors};

use crate::rows::{Row, Rows, Samples};
use crate::vectors::{DIMENSION, WANTED, mixed};

/// What the goal is for.
const CHUNKS: usize = 100;
/// Words of a page that is cut into a chunk of about 500 tokens by its crate's own measure.
const WORDS: usize = 330;
/// Questions embedded one by one.
const QUESTIONS: usize = 200;
const WARM_UP: usize = 10;
/// Short texts for the recall with the model's own vectors.
const SHORT: usize = 1_000;
const SHORT_WORDS: usize = 30;
/// The model's layers, and its products' widths: four of the first kind, then there and back.
const LAYERS: usize = 6;
const WIDE: usize = 1_536;
/// Tokens of one pass, as the embedder's own.
const PASS: usize = 1_024;

/// Measures with the weights of `COLLOQUY_EMBEDDINGS__LOCAL_PATH`, if they are there.
pub(crate) fn measure(rows: &mut Rows, scale: f64) -> Result<(), Box<dyn std::error::Error>> {
    let figure = format!("{CHUNKS} chunks embedded, local embedder");
    let folder = std::env::var_os("COLLOQUY_EMBEDDINGS__LOCAL_PATH").map(PathBuf::from);
    let Some(folder) = folder.as_deref().and_then(LocalEmbedder::find) else {
        rows.add(Row {
            figure,
            value: Err("the weights are not on this machine (scripts/fetch-weights.sh gets them)".into()),
            unit: "seconds",
            goal: Some(("at_most", 5.0)),
            beside: String::new(),
            samples: None,
        });
        return Ok(());
    };
    let embedder = LocalEmbedder::load(&folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;

    let count = ((CHUNKS as f64 * scale) as usize).max(10);
    let texts: Vec<String> = (0..count as u64)
        .filter_map(|number| chunks(&text(number, WORDS), "", "Service").into_iter().next())
        .map(|chunk| chunk.searchable())
        .collect();
    runtime.block_on(embedder.embed(&texts[..texts.len().min(WARM_UP)]))?;
    let begun = Instant::now();
    let embedded = runtime.block_on(embedder.embed(&texts))?;
    let took = begun.elapsed();
    let floor = products(embedded.tokens as usize)?;
    let hundred = took.as_secs_f64() / texts.len() as f64 * CHUNKS as f64;
    rows.add(Row {
        figure,
        value: Ok(hundred),
        unit: "seconds",
        goal: Some(("at_most", 5.0)),
        beside: format!(
            "{} chunks, {} tokens, {:.0} tokens/s; floor: the bare matrix products of these tokens {:.2} s (ratio {:.2}×)",
            texts.len(),
            embedded.tokens,
            embedded.tokens as f64 / took.as_secs_f64(),
            floor.as_secs_f64(),
            took.as_secs_f64() / floor.as_secs_f64()
        ),
        samples: None,
    });

    let questions: Vec<String> =
        (0..(WARM_UP + QUESTIONS) as u64).map(|number| format!("Do you offer {}?", text(number + 7_000, 9))).collect();
    let mut failed = None;
    let asked = Samples::of(WARM_UP, QUESTIONS, |at| {
        if let Err(error) = runtime.block_on(embedder.embed_query(&questions[at])) {
            failed = Some(error);
        }
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    rows.add(Row {
        figure: "a question embedded, local embedder, p50".into(),
        value: Ok(asked.at_us(0.5) / 1e3),
        unit: "millis",
        goal: None,
        beside: format!("{QUESTIONS} questions, one after the other"),
        samples: Some(asked),
    });
    recall(rows, &runtime, &embedder, scale)
}

/// The scan's recall with vectors as the model gives them.
fn recall(
    rows: &mut Rows,
    runtime: &tokio::runtime::Runtime,
    embedder: &LocalEmbedder,
    scale: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let count = ((SHORT as f64 * scale) as usize).max(100);
    let texts: Vec<String> = (0..count as u64).map(|number| text(number + 50_000, SHORT_WORDS)).collect();
    let vectors = runtime.block_on(embedder.embed(&texts))?.vectors;
    let questions: Vec<String> = (0..QUESTIONS as u64).map(|number| text(number + 90_000, 9)).collect();
    let asked = runtime.block_on(embedder.embed(&questions))?.vectors;
    for (precision, name, goal) in
        [(Precision::Exact, "", Some(("at_least", 99.0))), (Precision::Compact, ", 8 bits only", None)]
    {
        let index = Vectors::build(DIMENSION, &vectors, precision)?;
        let mut right = 0;
        for question in asked.iter().filter_map(|windows| windows.first()) {
            let dot = |vector: &[f32]| vector.iter().zip(question).map(|(a, b)| a * b).sum::<f32>();
            let best = |windows: &Vec<Vec<f32>>| windows.iter().map(|window| dot(window)).fold(f32::MIN, f32::max);
            let mut exact: Vec<(f32, u32)> =
                vectors.iter().enumerate().map(|(at, windows)| (best(windows), at as u32)).collect();
            exact.sort_by(|a, b| b.0.total_cmp(&a.0));
            let expected: Vec<u32> = exact.iter().take(WANTED).map(|(_, at)| *at).collect();
            right += index.search(question, WANTED)?.iter().filter(|near| expected.contains(&near.chunk)).count();
        }
        rows.add(Row {
            figure: format!("recall@{WANTED} of {count} texts with the model's own vectors{name}"),
            value: Ok(right as f64 / (asked.len() * WANTED) as f64 * 100.0),
            unit: "percent",
            goal,
            beside: format!("against the exact search, {} questions", asked.len()),
            samples: None,
        });
    }
    Ok(())
}

/// How long the model's matrix products take for so many tokens, and nothing between them.
fn products(tokens: usize) -> Result<Duration, candle_core::Error> {
    let matrix = |rows: usize, columns: usize| Tensor::randn(0.0_f32, 1.0, (rows, columns), &Device::Cpu);
    let (state, wide) = (matrix(PASS, DIMENSION)?, matrix(PASS, WIDE)?);
    let (square, widen, narrow) = (matrix(DIMENSION, DIMENSION)?, matrix(DIMENSION, WIDE)?, matrix(WIDE, DIMENSION)?);
    let pass = || -> Result<(), candle_core::Error> {
        for _ in 0..LAYERS {
            for _ in 0..4 {
                state.matmul(&square)?;
            }
            state.matmul(&widen)?;
            wide.matmul(&narrow)?;
        }
        Ok(())
    };
    pass()?;
    let begun = Instant::now();
    let passes = tokens.div_ceil(PASS).max(1);
    for _ in 0..passes {
        pass()?;
    }
    Ok(begun.elapsed().mul_f64(tokens as f64 / (passes * PASS) as f64))
}

/// Sentences of plain words, the same for the same seed.
pub(crate) fn text(seed: u64, words: usize) -> String {
    const WORDS: [&str; 64] = [
        "boiler",
        "roof",
        "kitchen",
        "garden",
        "window",
        "carpet",
        "furnace",
        "drain",
        "gutter",
        "heater",
        "filter",
        "pump",
        "valve",
        "meter",
        "chimney",
        "fence",
        "inspected",
        "cleaned",
        "replaced",
        "measured",
        "painted",
        "sealed",
        "polished",
        "delivered",
        "installed",
        "adjusted",
        "repaired",
        "tested",
        "before",
        "winter",
        "within",
        "working",
        "days",
        "quiet",
        "morning",
        "yearly",
        "check",
        "short",
        "phone",
        "call",
        "without",
        "moving",
        "furniture",
        "parts",
        "store",
        "under",
        "guarantee",
        "team",
        "presence",
        "owner",
        "written",
        "report",
        "season",
        "power",
        "water",
        "based",
        "materials",
        "permit",
        "arrives",
        "price",
        "hour",
        "visit",
        "street",
        "house",
    ];
    let mut out = String::with_capacity(words * 8);
    for at in 0..words as u64 {
        let word = WORDS[(mixed(seed.wrapping_mul(0x1_0000_0001).wrapping_add(at)) % WORDS.len() as u64) as usize];
        out.push_str(word);
        out.push_str(if at % 12 == 11 { ". " } else { " " });
    }
    out
}
