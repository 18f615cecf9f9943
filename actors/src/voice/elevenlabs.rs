//! ElevenLabs: a socket for each sentence, which brings the sound and when which character is spoken.

use std::time::Duration;

use async_trait::async_trait;
use colloquy_telephony::elevenlabs::alignment::Alignment;
use colloquy_telephony::elevenlabs::{self as codec, VoiceSettings, single};
use colloquy_telephony::rest::ANSWER_BYTES_MAX;
use colloquy_telephony::{audio::mulaw, elevenlabs::http};
use futures::StreamExt as _;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::socket::{self, Failed};
use super::{ELEVENLABS, Manner, Sound, Speech, SpeechError, VoiceInfo, speakable};

/// How long a sentence may take: the fast models need 300 ms.
const WITHIN: Duration = Duration::from_secs(10);
/// The most sound of one sentence, samples: two minutes at 24 kHz.
const SAMPLES_MAX: usize = 120 * 24_000;
/// What a page is given, Hz, and a telephone.
const PAGE: (u32, &str) = (24_000, "pcm_24000");
const TELEPHONE: (u32, &str) = (8_000, "pcm_8000");
/// Speeds that it takes.
const SPEEDS: (f64, f64) = (0.7, 1.2);
/// Voices that are listed.
const VOICES_MAX: usize = 500;

/// How to reach it.
pub struct ElevenLabs {
    key: SecretString,
    /// Where it is, `https://…` or `http://…`.
    url: String,
    model: String,
    voice: String,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    voices: Vec<ListedVoice>,
}

#[derive(Deserialize)]
struct ListedVoice {
    voice_id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    labels: Option<serde_json::Map<String, serde_json::Value>>,
}

impl ElevenLabs {
    /// With a key, its address, the model, and the voice of agents that name none.
    ///
    /// # Errors
    /// When no TLS can be set up on this machine.
    pub fn new(key: SecretString, url: &str, model: &str, voice: &str) -> Result<Self, String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(WITHIN)
            // A redirect would carry the key to somewhere the operator did not name.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { key, url: url.to_owned(), model: model.to_owned(), voice: voice.to_owned(), http })
    }

    async fn spoken(&self, manner: &Manner, text: &str) -> Result<Sound, SpeechError> {
        let (rate_hz, format) = if manner.telephone { TELEPHONE } else { PAGE };
        let voice = codec::Voice {
            voice_id: manner.voice_id.clone().unwrap_or_else(|| self.voice.clone()),
            model_id: self.model.clone(),
            output_format: format.to_owned(),
            settings: VoiceSettings {
                speed: Some(manner.speed.clamp(SPEEDS.0, SPEEDS.1)).filter(|speed| (speed - 1.0).abs() > 0.001),
                ..VoiceSettings::default()
            },
        };
        let address = single::url(&voice).map_err(failed)?;
        let address = address.replacen("wss://api.elevenlabs.io", &self.url.replacen("http", "ws", 1), 1);
        let (name, key) = codec::key_header(&self.key);
        let mut socket = socket::open(&address, (name, &key)).await.map_err(|error| match error {
            Failed::Key => SpeechError::Key(ELEVENLABS),
            Failed::Other(text) => failed(text),
        })?;
        for frame in [single::open(&voice), single::words(text, true), single::END.to_owned()] {
            if !socket::send(&mut socket, Message::text(frame)).await {
                return Err(failed("it took no words"));
            }
        }
        let (mut sound, mut alignment) = (Sound { rate_hz, ..Sound::default() }, Alignment::default());
        // Half of a sample at the end of a piece belongs to the next one.
        let mut odd = None;
        while let Some(frame) = socket.next().await {
            let text = match frame {
                Ok(Message::Text(text)) => text,
                Ok(Message::Close(_)) | Err(_) => break,
                Ok(_) => continue,
            };
            let piece = single::read(&text).map_err(failed)?;
            if let Some(timed) = &piece.alignment {
                alignment.extend(timed, sound.duration_ms());
            }
            let bytes: Vec<u8> = odd.take().into_iter().chain(piece.audio).collect();
            let (samples, rest) = mulaw::from_bytes(&bytes);
            odd = rest;
            sound.samples.extend(samples);
            if sound.samples.len() > SAMPLES_MAX {
                return Err(failed("it speaks for too long"));
            }
            if piece.last {
                break;
            }
        }
        if sound.samples.is_empty() {
            return Err(failed("it made no sound"));
        }
        sound.alignment = (!alignment.text().is_empty()).then_some(alignment);
        Ok(sound)
    }
}

#[async_trait]
impl Speech for ElevenLabs {
    fn name(&self) -> &'static str {
        ELEVENLABS
    }

    async fn voices(&self) -> Result<Vec<VoiceInfo>, SpeechError> {
        let request = http::voices(&self.key);
        let mut sending = self.http.get(format!("{}{}", self.url, request.path));
        for (name, value) in &request.headers {
            sending = sending.header(*name, value);
        }
        // The address is the operator's and says nothing; the error's own words would hold it.
        let answer = sending.send().await.map_err(|error| failed(error.without_url()))?;
        match answer.status().as_u16() {
            200 => {}
            401 | 403 => return Err(SpeechError::Key(ELEVENLABS)),
            status => return Err(failed(format!("it answers {status}"))),
        }
        let mut bytes = Vec::new();
        let mut pieces = answer.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| failed(error.without_url()))?;
            if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(failed("its list is too long"));
            }
            bytes.extend_from_slice(&piece);
        }
        let listed: Listed = serde_json::from_slice(&bytes).map_err(failed)?;
        let language = |voice: &ListedVoice| Some(voice.labels.as_ref()?.get("language")?.as_str()?.to_owned());
        let voices = listed.voices.into_iter().take(VOICES_MAX).map(|voice| VoiceInfo {
            language: language(&voice),
            name: voice.name.unwrap_or_else(|| voice.voice_id.clone()),
            id: voice.voice_id,
        });
        Ok(voices.collect())
    }

    async fn speak(&self, manner: &Manner, text: &str) -> Result<Sound, SpeechError> {
        let text = speakable(text)?;
        timeout(WITHIN, self.spoken(manner, &text)).await.unwrap_or(Err(SpeechError::Late(ELEVENLABS)))
    }
}

fn failed(error: impl ToString) -> SpeechError {
    SpeechError::Failed(format!("ElevenLabs: {}", error.to_string()))
}
