//! Which provider answers: an OpenAI-compatible endpoint while there is a key, else the built-in responder.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{error::Error, openai::OpenAi, price::PriceTable};

/// Where OpenAI itself listens.
pub const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";

/// Settings of the model provider. `Debug` never shows the key.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// `models.openai.base_url`: up to and including the version, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// `models.openai.api_key`; `None` or empty: no model, the built-in responder answers.
    pub api_key: Option<SecretString>,
    /// `models.default`: asked when a request names no model.
    pub default: String,
    /// Asked once when the first model cannot answer.
    pub fallback: Option<String>,
    /// How long each part may take.
    pub timeouts: Timeouts,
    /// How often it is tried again.
    pub retry: Retry,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            base_url: OPENAI_BASE_URL.to_owned(),
            api_key: None,
            default: "gpt-4o-mini".to_owned(),
            fallback: None,
            timeouts: Timeouts::default(),
            retry: Retry::default(),
        }
    }
}

/// How long each part of a call may take. A visitor waits for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands: three seconds are several lost packets to anywhere on earth.
    pub connect: Duration,
    /// Until the first token: people leave a chat that is silent for ten seconds.
    pub first_token: Duration,
    /// Between two tokens: a stream that pauses this long does not come back.
    pub between_tokens: Duration,
    /// For everything, retries and fallback included; below the 60 s after which a turn is given to a new attempt.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            first_token: Duration::from_secs(10),
            between_tokens: Duration::from_secs(10),
            total: Duration::from_secs(45),
        }
    }
}

/// How a failed attempt is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Further attempts with the same model: two ride out a blip, more would eat the turn's time.
    pub per_model: u32,
    /// The wait before the first repetition; doubles each time, with full jitter.
    pub backoff: Duration,
    /// The longest wait, also when the provider's `Retry-After` asks for more: then the fallback model is asked at once.
    pub wait_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { per_model: 2, backoff: Duration::from_millis(300), wait_max: Duration::from_secs(5) }
    }
}

impl ModelConfig {
    /// The model to ask; `None` while there is no key, so that the built-in responder answers.
    ///
    /// # Errors
    /// [`Error::Config`] for an address that is not http(s) or a key that no header can carry.
    pub fn chat_model(&self, prices: PriceTable) -> Result<Option<OpenAi>, Error> {
        match self.usable_key() {
            Some(_) => OpenAi::new(self, prices).map(Some),
            None => Ok(None),
        }
    }

    /// The key, unless it is missing or blank.
    pub(crate) fn usable_key(&self) -> Option<&SecretString> {
        self.api_key.as_ref().filter(|key| !key.expose_secret().trim().is_empty())
    }

    /// The address without a slash at its end.
    ///
    /// # Errors
    /// [`Error::Config`] when it is not an http(s) address, or carries credentials or a query.
    pub(crate) fn checked_base_url(&self) -> Result<String, Error> {
        let wrong = |problem: &str| Error::Config { key: "models.openai.base_url", problem: problem.to_owned() };
        let url = Url::parse(self.base_url.trim())
            .map_err(|_| wrong("is not an address such as https://api.openai.com/v1"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong("must begin with https:// or http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must not hold credentials; the key belongs in models.openai.api_key"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("must not have a query or a fragment"));
        }
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(base_url: &str, key: Option<&str>) -> ModelConfig {
        ModelConfig { base_url: base_url.into(), api_key: key.map(SecretString::from), ..ModelConfig::default() }
    }

    #[test]
    fn without_a_key_there_is_no_model() {
        for key in [None, Some(""), Some("  ")] {
            let model = config(OPENAI_BASE_URL, key).chat_model(PriceTable::default());
            assert!(matches!(model, Ok(None)), "{key:?}");
        }
        assert!(matches!(config(OPENAI_BASE_URL, Some("sk-1")).chat_model(PriceTable::default()), Ok(Some(_))));
    }

    #[test]
    fn wrong_settings_are_named() {
        let cases = [
            ("not an address", "k", "models.openai.base_url"),
            ("ftp://example.com", "k", "models.openai.base_url"),
            ("https://user:pw@example.com/v1", "k", "models.openai.base_url"),
            ("https://example.com/v1?key=1", "k", "models.openai.base_url"),
            ("https://example.com/v1", "line\nbreak", "models.openai.api_key"),
        ];
        for (url, key, expected) in cases {
            match config(url, Some(key)).chat_model(PriceTable::default()) {
                Err(Error::Config { key, .. }) => assert_eq!(key, expected, "{url}"),
                Err(other) => panic!("{url}: {other}"),
                Ok(_) => panic!("{url} was accepted"),
            }
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        let config = config(OPENAI_BASE_URL, Some("sk-secret-value"));
        assert!(!format!("{config:?}").contains("sk-secret-value"));
        let model = config.chat_model(PriceTable::default()).expect("settings").expect("a key");
        assert!(!format!("{model:?}").contains("sk-secret-value"));
    }
}
