//! Turns text into vectors: in process, or at a provider.

mod bert;
mod calibration;
mod local;
mod openai;

use async_trait::async_trait;

pub use self::calibration::Calibration;
pub use self::local::{LocalEmbedder, THREAD_VARIABLES};
pub use self::openai::{OpenAiConfig, OpenAiEmbedder};
use crate::{Error, Result};

/// The vectors of one text: one for each window the model could read at once, at least one.
pub type Windows = Vec<Vec<f32>>;

/// What an embedder gives back.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// One entry for each text, in order. Every vector has length 1.
    pub vectors: Vec<Windows>,
    /// Tokens the model read, for cost accounting.
    pub tokens: u64,
}

/// A model that places texts of similar meaning near each other.
#[async_trait]
pub trait Embedder: Send + Sync + std::fmt::Debug {
    /// The model's name, which an index records: vectors of two models must never meet.
    fn id(&self) -> &str;

    /// Numbers in a vector.
    fn dimension(&self) -> usize;

    /// Embeds texts. Batching is the embedder's business.
    ///
    /// # Errors
    /// [`Error::Model`], [`Error::Provider`], [`Error::Unreachable`], [`Error::BadAnswer`].
    async fn embed(&self, texts: &[String]) -> Result<Embedded>;

    /// Embeds a question: the mean of its windows where it is longer than one.
    ///
    /// # Errors
    /// As [`Embedder::embed`].
    async fn embed_query(&self, text: &str) -> Result<Vec<f32>> {
        let mut embedded = self.embed(&[text.to_owned()]).await?;
        let windows = embedded.vectors.pop().unwrap_or_default();
        let mut mean = vec![0.0; self.dimension()];
        for vector in &windows {
            for (sum, value) in mean.iter_mut().zip(vector) {
                *sum += value;
            }
        }
        normalise(&mut mean)?;
        Ok(mean)
    }
}

/// Scales a vector to length 1; a vector of zeros stays.
///
/// # Errors
/// [`Error::NotFinite`].
pub fn normalise(vector: &mut [f32]) -> Result<()> {
    // In f64, because squares of large numbers overflow f32.
    let square: f64 = vector.iter().map(|value| f64::from(*value).powi(2)).sum();
    if !square.is_finite() {
        return Err(Error::NotFinite);
    }
    if square > 0.0 {
        let scale = square.sqrt().recip();
        for value in vector {
            *value = (f64::from(*value) * scale) as f32;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn vectors_get_length_one_and_numbers_that_are_none_are_refused() {
        let mut vector = [3e30, 4e30];
        normalise(&mut vector).expect("finite");
        assert!((vector[0] - 0.6).abs() < 1e-6 && (vector[1] - 0.8).abs() < 1e-6);
        assert!(normalise(&mut [f32::NAN, 1.0]).is_err() && normalise(&mut [f32::INFINITY]).is_err());
        let mut zero = [0.0; 3];
        normalise(&mut zero).expect("zero");
        assert_eq!(zero, [0.0; 3]);
    }
}
