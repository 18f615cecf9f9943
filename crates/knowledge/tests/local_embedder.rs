//! The in-process model with its real weights. `scripts/fetch-weights` fetches them; `make test` does that and says where they are.

use std::path::PathBuf;

use colloquy_knowledge::chunk::tokens;
use colloquy_knowledge::embed::{Calibration, Embedder, LocalEmbedder};

fn load() -> LocalEmbedder {
    let folder = std::env::var_os("COLLOQUY_EMBEDDINGS__LOCAL_PATH").map(PathBuf::from).expect(
        "COLLOQUY_EMBEDDINGS__LOCAL_PATH is not set: this test needs the embedding weights. Run `make test`, or `scripts/fetch-weights` and set it to that folder.",
    );
    LocalEmbedder::load(&folder).expect("the weights load")
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

async fn one(embedder: &LocalEmbedder, text: &str) -> Vec<f32> {
    embedder.embed_query(text).await.expect("vector")
}

#[tokio::test]
async fn vectors_are_those_of_the_published_model() {
    let embedder = load();
    assert_eq!(embedder.dimension(), 384);
    assert!(embedder.id().starts_with("local/all-minilm-l6-v2/"));
    let sentences =
        ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"];
    let vectors = embedder.embed(&sentences.map(str::to_owned)).await.expect("vectors");
    assert_eq!(vectors.tokens, 7 + 7 + 8 + 7, "words and the two marks around them");
    let vectors: Vec<&Vec<f32>> = vectors.vectors.iter().map(|windows| &windows[0]).collect();
    for vector in &vectors {
        assert!((cosine(vector, vector) - 1.0).abs() < 1e-5, "length 1");
    }
    // The model card's widget example for this model answers 0.695, 0.943, 0.257.
    for (other, expected) in [(1, 0.695), (2, 0.943), (3, 0.257)] {
        let found = cosine(vectors[0], vectors[other]);
        assert!((found - expected).abs() < 0.01, "{}: {found} instead of {expected}", sentences[other]);
    }
}

#[tokio::test]
async fn a_batch_gives_what_single_texts_give() {
    let embedder = load();
    let texts: Vec<String> = (1..14)
        .map(|n| "Our opening hours are long. ".repeat(n % 13 + 1) + &n.to_string())
        .chain([String::new()])
        .collect();
    let batch = embedder.embed(&texts).await.expect("batch");
    for (text, windows) in texts.iter().zip(&batch.vectors) {
        let single = embedder.embed(std::slice::from_ref(text)).await.expect("single");
        assert_eq!(single.vectors[0].len(), windows.len());
        for (a, b) in single.vectors[0].iter().zip(windows) {
            assert!(cosine(a, b) > 0.9999, "padding changed a vector");
        }
    }
}

#[tokio::test]
async fn a_long_text_gets_one_vector_for_each_window() {
    let embedder = load();
    let word_count = |count: usize| "water ".repeat(count);
    let texts = [word_count(254), word_count(255), word_count(700), word_count(100_000)];
    let embedded = embedder.embed(&texts).await.expect("vectors");
    let counts: Vec<usize> = embedded.vectors.iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 2, 3, 32]);
}

#[tokio::test]
async fn a_question_is_answered_while_a_site_is_embedded() {
    let embedder = std::sync::Arc::new(load());
    let texts: Vec<String> =
        (0..24).map(|n| format!("{n} {}", "A page about boilers and pipes. ".repeat(40))).collect();
    let bulk = tokio::spawn({
        let embedder = std::sync::Arc::clone(&embedder);
        async move { embedder.embed(&texts).await.map(|embedded| embedded.vectors.len()) }
    });
    // The site's texts are handed over before the question is.
    tokio::task::yield_now().await;
    one(&embedder, "When are you open?").await;
    assert!(!bulk.is_finished(), "the question did not wait for the site");
    assert_eq!(bulk.await.expect("task").expect("vectors"), 24);
}

#[tokio::test]
async fn paraphrases_pass_the_faq_threshold_and_other_questions_do_not() {
    let embedder = load();
    let threshold = Calibration::LOCAL.faq_cosine;
    let alike = [
        ("What are your opening hours?", "When are you open?"),
        ("Do you offer free estimates?", "Are estimates free of charge?"),
        ("How much does a root canal cost?", "What is the price of a root canal?"),
        ("Where are you located?", "What is your address?"),
        ("Do you accept credit cards?", "Can I pay by credit card?"),
        ("How do I cancel my appointment?", "I need to cancel my booking"),
    ];
    let different = [
        ("What are your opening hours?", "What is your address?"),
        ("Do you offer free estimates?", "Do you offer emergency service?"),
        ("How much does a root canal cost?", "Does a root canal hurt?"),
        ("Where are you located?", "How long have you been in business?"),
        ("Do you accept credit cards?", "Do you accept my insurance?"),
        ("How do I cancel my appointment?", "How long does an appointment take?"),
        ("Is parking free?", "Is the consultation free?"),
    ];
    let mut passed = 0;
    for (a, b) in alike {
        let found = cosine(&one(&embedder, a).await, &one(&embedder, b).await);
        println!("alike {found:.3} {a} | {b}");
        passed += usize::from(found >= threshold);
    }
    for (a, b) in different {
        let found = cosine(&one(&embedder, a).await, &one(&embedder, b).await);
        println!("different {found:.3} {a} | {b}");
        assert!(found < threshold, "{found}: {a} | {b}");
    }
    assert!(passed >= 3, "only {passed} paraphrases pass {threshold}");
}

#[tokio::test]
async fn the_token_estimate_is_near_the_models_own_count() {
    let embedder = load();
    let prose = "Our licensed plumbers repair leaking pipes, install water heaters and clear blocked drains throughout the county. \
        Appointments are available Monday to Friday between 8 a.m. and 6 p.m.; emergency call-outs are charged at 120 dollars per hour. ";
    let text = prose.repeat(3);
    let counted = embedder.embed(std::slice::from_ref(&text)).await.expect("vectors").tokens as f64 - 2.0;
    let ratio = tokens(&text) as f64 / counted;
    assert!((0.85..1.15).contains(&ratio), "estimate / count = {ratio}");
}
