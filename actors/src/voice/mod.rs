//! The sound of calls where it is ours: who speaks and who listens, as they are set up on this node.
//!
//! A sentence becomes a [`Sound`] by [`Speech`]: `espeak-ng` where it is installed, ElevenLabs or OpenAI where there is a key. What a caller says becomes words by
//! [`Ears`]: Deepgram where there is a key; without one the caller types, and is told so.

mod deepgram;
mod elevenlabs;
mod espeak;
mod openai;
mod realtime;
mod socket;
mod sound;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use colloquy_domain::agent::config::AgentConfig;

pub use deepgram::{Ears, Listening};
pub use elevenlabs::ElevenLabs;
pub use espeak::Espeak;
pub use openai::{OpenAi, OpenAiSettings, Token};
pub use realtime::{Sideband, Told};
pub use sound::Sound;

/// What `voice_provider` calls the voices that are ours.
pub const ELEVENLABS: &str = "elevenlabs";
/// See [`ELEVENLABS`].
pub const OPENAI: &str = "openai";
/// See [`ELEVENLABS`].
pub const ESPEAK: &str = "espeak-ng";
/// The longest text that is spoken at once, characters: a sentence is below 400, and nobody listens to more without a pause.
pub const TEXT_CHARS_MAX: usize = 2_000;
/// How long calls do without our own sound after it failed, ms: long enough for a provider to come back, short enough for nobody to notice.
const REST_MS: i64 = 60_000;

/// How a sentence is to be spoken.
#[derive(Clone, Debug, PartialEq)]
pub struct Manner {
    /// The voice; the installation's own if none, or if there is none of that name.
    pub voice_id: Option<String>,
    /// BCP 47.
    pub language: String,
    /// 1 is as the voice has it.
    pub speed: f64,
    /// Whether it goes to a telephone, which carries 8 kHz.
    pub telephone: bool,
}

impl Manner {
    /// As an agent is set up.
    pub fn of(config: &AgentConfig, telephone: bool) -> Self {
        Self {
            voice_id: config.voice_id.clone(),
            language: config.voice_language.clone(),
            speed: config.voice_speed,
            telephone,
        }
    }
}

/// A voice one can choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoiceInfo {
    /// Its id, for `voice_id`.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// What it speaks, where that is known.
    pub language: Option<String>,
}

/// Why a sentence was not spoken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpeechError {
    /// Nothing in it can be spoken, or too much.
    #[error("the text must have 1 to {TEXT_CHARS_MAX} characters")]
    Text,
    /// It took too long.
    #[error("{0} did not speak in time")]
    Late(&'static str),
    /// The key is not good.
    #[error("{0} refuses the key")]
    Key(&'static str),
    /// Anything else; for the operator.
    #[error("{0}")]
    Failed(String),
}

/// Makes sound of words.
#[async_trait]
pub trait Speech: Send + Sync {
    /// As in `voice_provider`.
    fn name(&self) -> &'static str;

    /// The voices it has.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn voices(&self) -> Result<Vec<VoiceInfo>, SpeechError>;

    /// Speaks one sentence. Bounded in time and size.
    ///
    /// # Errors
    /// When it could not.
    async fn speak(&self, manner: &Manner, text: &str) -> Result<Sound, SpeechError>;
}

/// What is set up here.
#[derive(Default)]
pub struct Voices {
    elevenlabs: Option<Arc<dyn Speech>>,
    /// As a voice.
    openai_speech: Option<Arc<dyn Speech>>,
    /// For sessions of Realtime.
    openai: Option<OpenAi>,
    espeak: Option<Arc<dyn Speech>>,
    ears: Option<Ears>,
    /// Until when calls do without our own sound, Unix ms.
    rests_until_ms: AtomicI64,
}

impl Voices {
    /// With these.
    pub fn new(
        elevenlabs: Option<ElevenLabs>,
        openai: Option<OpenAi>,
        espeak: Option<Espeak>,
        ears: Option<Ears>,
    ) -> Self {
        Self {
            elevenlabs: elevenlabs.map(|speech| Arc::new(speech) as Arc<dyn Speech>),
            openai_speech: openai.clone().map(|speech| Arc::new(speech) as Arc<dyn Speech>),
            openai,
            espeak: espeak.map(|speech| Arc::new(speech) as Arc<dyn Speech>),
            ears,
            rests_until_ms: AtomicI64::new(0),
        }
    }

    /// All voices' owners.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn Speech>> {
        self.elevenlabs.iter().chain(&self.openai_speech).chain(&self.espeak)
    }

    /// Who speaks in a test call: whom the agent names, else the best that is there.
    pub fn of_page(&self, config: &AgentConfig) -> Option<Arc<dyn Speech>> {
        self.named(&config.voice_provider).or_else(|| self.all().next().cloned())
    }

    /// Who speaks and who listens on the telephone where the sound is ours: only where the agent says so and both are there.
    pub fn of_line(&self, config: &AgentConfig, now_ms: i64) -> Option<(Arc<dyn Speech>, Ears)> {
        if now_ms < self.rests_until_ms.load(Ordering::Relaxed) {
            return None;
        }
        Some((self.named(&config.voice_provider)?, self.ears.clone()?))
    }

    /// Who listens.
    pub fn ears(&self) -> Option<Ears> {
        self.ears.clone()
    }

    /// Where sessions of Realtime are made.
    pub fn openai(&self) -> Option<&OpenAi> {
        self.openai.as_ref()
    }

    /// Who speaks if the agent's own voice fails.
    pub fn instead_of(&self, failed: &str) -> Option<Arc<dyn Speech>> {
        self.all().find(|speech| speech.name() != failed).cloned()
    }

    /// Our own sound failed in a call: others do without it for a while.
    pub fn rest(&self, now_ms: i64) {
        self.rests_until_ms.store(now_ms.saturating_add(REST_MS), Ordering::Relaxed);
    }

    /// Whether a `voice_provider` whose sound is ours is not there: the sentence that says what to set.
    pub fn lacking(&self, provider: &str) -> Option<&'static str> {
        match provider {
            ELEVENLABS if self.elevenlabs.is_none() => {
                Some("needs a key of ElevenLabs: set `voice.elevenlabs.api_key` (COLLOQUY_VOICE__ELEVENLABS__API_KEY)")
            }
            OPENAI if self.openai_speech.is_none() => {
                Some("needs a key of OpenAI for speech: set `voice.openai.api_key` (COLLOQUY_VOICE__OPENAI__API_KEY)")
            }
            ESPEAK if self.espeak.is_none() => {
                Some("is not installed on this machine: install the package `espeak-ng`, then start again")
            }
            _ => None,
        }
    }

    /// What is missing for speaking and hearing in a test call, in sentences.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.all().next().is_none() {
            missing.push(
                "Nothing is spoken: install the package `espeak-ng`, or set `voice.elevenlabs.api_key` or `voice.openai.api_key`.".to_owned(),
            );
        }
        if self.ears.is_none() {
            missing.push(
                "You type what the caller says: no speech-to-text is connected (`voice.deepgram.api_key`).".to_owned(),
            );
        }
        missing
    }

    /// Who listens in test calls, as the contract says it.
    pub fn listening(&self) -> &'static str {
        if self.ears.is_some() { deepgram::NAME } else { "typed" }
    }

    fn named(&self, provider: &str) -> Option<Arc<dyn Speech>> {
        self.all().find(|speech| speech.name() == provider).cloned()
    }
}

/// What can be spoken of a text.
fn speakable(text: &str) -> Result<String, SpeechError> {
    let text: String = text.chars().filter(|c| !c.is_control() || c.is_whitespace()).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let fits = text.chars().any(char::is_alphanumeric) && text.chars().count() <= TEXT_CHARS_MAX;
    if fits { Ok(text) } else { Err(SpeechError::Text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Mute(&'static str);

    #[async_trait]
    impl Speech for Mute {
        fn name(&self) -> &'static str {
            self.0
        }
        async fn voices(&self) -> Result<Vec<VoiceInfo>, SpeechError> {
            Ok(Vec::new())
        }
        async fn speak(&self, _: &Manner, _: &str) -> Result<Sound, SpeechError> {
            Err(SpeechError::Late(self.0))
        }
    }

    fn agent(provider: &str) -> AgentConfig {
        AgentConfig { voice_provider: provider.to_owned(), ..AgentConfig::default() }
    }

    fn both(ears: bool) -> Voices {
        Voices {
            elevenlabs: Some(Arc::new(Mute(ELEVENLABS))),
            espeak: Some(Arc::new(Mute(ESPEAK))),
            openai_speech: None,
            openai: None,
            ears: ears.then(|| Ears::new("k".to_owned().into(), "ws://127.0.0.1:9", "nova-3").expect("ears")),
            rests_until_ms: AtomicI64::new(0),
        }
    }

    #[test]
    fn the_agent_chooses_who_speaks_and_a_line_of_ours_needs_ears() {
        let voices = both(true);
        let page = |provider: &str| voices.of_page(&agent(provider)).map(|speech| speech.name());
        assert_eq!(
            (page(ESPEAK), page(ELEVENLABS), page("retell")),
            (Some(ESPEAK), Some(ELEVENLABS), Some(ELEVENLABS))
        );
        assert!(voices.of_line(&agent(ESPEAK), 0).is_some());
        assert!(voices.of_line(&agent("retell"), 0).is_none(), "the agent does not ask for our sound");
        assert!(both(false).of_line(&agent(ESPEAK), 0).is_none());
        assert_eq!(voices.instead_of(ELEVENLABS).map(|speech| speech.name()), Some(ESPEAK));
    }

    #[test]
    fn what_failed_rests_for_a_while_and_comes_back() {
        let voices = both(true);
        voices.rest(1_000);
        assert!(voices.of_line(&agent(ESPEAK), 60_999).is_none());
        assert!(voices.of_line(&agent(ESPEAK), 61_000).is_some());
    }

    #[test]
    fn what_is_missing_is_named_with_the_setting_that_brings_it() {
        let none = Voices::default();
        assert!(none.lacking(ELEVENLABS).is_some_and(|text| text.contains("voice.elevenlabs.api_key")));
        assert!(none.lacking(ESPEAK).is_some_and(|text| text.contains("espeak-ng")));
        assert!(none.lacking(OPENAI).is_some_and(|text| text.contains("voice.openai.api_key")));
        assert_eq!(none.lacking("retell"), None);
        assert_eq!((both(false).lacking(ESPEAK), both(false).lacking(ELEVENLABS)), (None, None));
        assert_eq!((none.missing().len(), both(false).missing().len(), both(true).missing().len()), (2, 1, 0));
    }

    #[test]
    fn only_what_has_words_is_spoken() {
        assert_eq!(speakable(" We are\u{7} open.\n").as_deref(), Ok("We are open."));
        for text in ["", " ", "…!", &"x".repeat(TEXT_CHARS_MAX + 1)] {
            assert_eq!(speakable(text), Err(SpeechError::Text));
        }
    }
}
