//! What cosines mean, per embedder: models place unrelated texts at very different distances.

/// Thresholds and weights of one embedder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// A question this near to an FAQ's question means the same.
    pub faq_cosine: f32,
    /// A chunk farther away than this is only a hit for its words.
    pub document_cosine: f32,
    /// Confidence is `logistic(bias + cosine · w1 + coverage · w2)`: the constant.
    pub bias: f32,
    /// The weight of the best hits' cosine.
    pub cosine_weight: f32,
    /// The weight of the share of the question's words, by rarity, that the best hit holds.
    pub coverage_weight: f32,
}

impl Calibration {
    /// all-MiniLM-L6-v2, measured. FAQs: of 13 pairs of questions of small businesses the same ones lie at 0.62–0.96, different
    /// ones at up to 0.69 ("How much does X cost?", "Does X hurt?"); a wrong answer is worse than none. Confidence: 50
    /// facts about Git (2,460 chunks) and about a plumber (8 chunks) lie at 0.56 and above; 90 questions about other things lie at
    /// 0.48 and below, the 50 that any website may be asked at 0.30 and below.
    pub const LOCAL: Calibration =
        Calibration { faq_cosine: 0.7, document_cosine: 0.2, bias: -6.7, cosine_weight: 6.0, coverage_weight: 7.5 };

    /// text-embedding-3-small: the thresholds that requirements KB-9 and KB-10 name. Its confidence has not been measured, so the
    /// weights are those of the local model.
    pub const OPENAI: Calibration =
        Calibration { faq_cosine: 0.8, document_cosine: 0.7, bias: -6.7, cosine_weight: 6.0, coverage_weight: 7.5 };

    /// Words alone. Coverage counts half for the chunk and half for its best sentence, because two common words far apart prove
    /// nothing. Measured on the documentation of Git and of SQLite: 58 of 60 facts lie above 0.5, and none of 20 questions about
    /// other things, the highest of which reaches 0.43 ("What is the capital of Australia?", where capitals are letters).
    pub const KEYWORD: Calibration =
        Calibration { faq_cosine: 1.0, document_cosine: 1.0, bias: -5.8, cosine_weight: 0.0, coverage_weight: 9.0 };

    /// The calibration for an index built with this embedder, or with none.
    #[must_use]
    pub fn of(embedder: Option<&str>) -> Calibration {
        match embedder {
            None => Calibration::KEYWORD,
            Some(id) if id.starts_with("local/") => Calibration::LOCAL,
            Some(_) => Calibration::OPENAI,
        }
    }
}
