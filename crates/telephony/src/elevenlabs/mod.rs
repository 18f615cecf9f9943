//! ElevenLabs: text to speech over sockets and HTTP, and when which character is spoken.

pub mod alignment;
pub mod http;
pub mod multi;
pub mod signature;
pub mod single;

use serde::Serialize;

use crate::error::Unfit;

/// What every connection and request is opened with: the key.
pub fn key_header(key: &secrecy::SecretString) -> (&'static str, String) {
    use secrecy::ExposeSecret as _;
    ("xi-api-key", key.expose_secret().to_owned())
}

/// Formats ElevenLabs makes; telephones take `ulaw_8000` as it is.
const FORMATS: [&str; 9] = [
    "ulaw_8000",
    "alaw_8000",
    "pcm_8000",
    "pcm_16000",
    "pcm_22050",
    "pcm_24000",
    "pcm_32000",
    "pcm_44100",
    "pcm_48000",
];

/// How the voice sounds. What is `None` stays as the voice has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct VoiceSettings {
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stability: Option<f64>,
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similarity_boost: Option<f64>,
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style: Option<f64>,
    /// Closer to the speaker, and slower.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_speaker_boost: Option<bool>,
    /// 0.7 to 1.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
}

/// Which voice says it how.
#[derive(Clone, Debug, PartialEq)]
pub struct Voice {
    /// Its id.
    pub voice_id: String,
    /// Such as `eleven_flash_v2_5`.
    pub model_id: String,
    /// Such as `ulaw_8000`.
    pub output_format: String,
    /// How it sounds.
    pub settings: VoiceSettings,
}

impl Voice {
    /// Whether ElevenLabs takes it, as far as we use it. Compressed formats are for listening, not for lines, and are left to others.
    ///
    /// # Errors
    /// Names what it would refuse.
    pub fn check(&self) -> Result<(), Unfit> {
        if !FORMATS.contains(&self.output_format.as_str()) {
            return Err(Unfit::new("output_format", "must be ulaw_8000, alaw_8000 or a pcm format"));
        }
        let settings = &self.settings;
        for (field, value) in [
            ("stability", settings.stability),
            ("similarity_boost", settings.similarity_boost),
            ("style", settings.style),
        ] {
            if value.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
                return Err(Unfit::new(field, "must be between 0 and 1"));
            }
        }
        if settings.speed.is_some_and(|speed| !(0.7..=1.2).contains(&speed)) {
            return Err(Unfit::new("speed", "must be between 0.7 and 1.2"));
        }
        Ok(())
    }
}
