//! OpenAI: sentences become sound over HTTP, and browsers get short-lived tokens for sessions of Realtime, in which only the conversation decides what
//! is said.

use std::time::Duration;

use async_trait::async_trait;
use colloquy_domain::agent::config::AgentConfig;
use colloquy_telephony::audio::mulaw;
use colloquy_telephony::openai_realtime::commands::{Session, TurnDetection};
use colloquy_telephony::openai_realtime::rest;
use colloquy_telephony::rest::{ANSWER_BYTES_MAX, Answer, Request};
use futures::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::realtime::Sideband;
use super::{Manner, OPENAI, Sound, Speech, SpeechError, VoiceInfo, speakable};

/// How long a sentence, or a question, may take.
const WITHIN: Duration = Duration::from_secs(10);
/// What it speaks in: 16 bits, one channel, this many a second. There is no other rate.
const RATE_HZ: u32 = 24_000;
/// The most sound of one sentence, bytes: two minutes.
const SOUND_BYTES_MAX: usize = 120 * 24_000 * 2;
/// Speeds that it takes.
const SPEEDS: (f64, f64) = (0.25, 4.0);
/// Those of Realtime.
const REALTIME_SPEEDS: (f64, f64) = (0.25, 1.5);
/// How long a token opens sessions, seconds: a page uses it at once, and it can be used more than once.
const TOKEN_S: u32 = 60;
/// The voices of its speech models; there is no list to ask for.
const VOICES: [&str; 11] =
    ["alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse"];
/// Silence that ends a caller's turn, ms, and what is taken along before it.
const SILENCE_MS: u32 = 500;
const PADDING_MS: u32 = 300;

/// What the operator chose.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// Where it is, `https://…` or `http://…`.
    pub url: String,
    /// Which model speaks.
    pub speech_model: String,
    /// The voice of agents that name none.
    pub voice: String,
    /// Which model carries sessions of Realtime.
    pub realtime_model: String,
    /// Which model writes down what is said in them.
    pub transcription_model: String,
}

/// How to reach it.
#[derive(Clone)]
pub struct OpenAi {
    key: SecretString,
    settings: OpenAiSettings,
    http: reqwest::Client,
}

/// A token for one page.
pub struct Token {
    /// `ek_…`
    pub value: String,
    /// Until when it opens sessions, Unix seconds.
    pub expires_s: i64,
    /// The model of its session.
    pub model: String,
    /// The voice of its session.
    pub voice: String,
    /// Where a page takes its offer.
    pub calls_url: String,
}

impl OpenAi {
    /// With a key.
    ///
    /// # Errors
    /// When no TLS can be set up on this machine.
    pub fn new(key: SecretString, settings: OpenAiSettings) -> Result<Self, String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(WITHIN)
            // A redirect would carry the key to somewhere the operator did not name.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { key, settings, http })
    }

    /// Its address without a path, as a page's policy names it.
    pub fn origin(&self) -> String {
        self.settings.url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
    }

    /// A token for a page that calls this agent.
    ///
    /// # Errors
    /// When there is none.
    pub async fn token(&self, config: &AgentConfig) -> Result<Token, SpeechError> {
        let session = self.session(config);
        let request = rest::create_token(&self.key, &session, TOKEN_S).map_err(failed)?;
        let (status, body) = self.ask(&request).await?;
        let answer = Answer { status, retry_after: None, body: &body, now_ms: 0 };
        let token = rest::read_token(&answer).map_err(|fault| match fault {
            colloquy_telephony::error::Fault::Credentials => SpeechError::Key(OPENAI),
            fault => failed(fault),
        })?;
        Ok(Token {
            value: token.value,
            expires_s: token.expires_at,
            model: self.settings.realtime_model.clone(),
            voice: session.voice.unwrap_or_default(),
            calls_url: format!("{}/v1/realtime/calls", self.settings.url),
        })
    }

    /// A socket beside a session that a page has: what is heard there comes back, and what is to be said goes there.
    pub fn beside(&self, call_id: &str) -> Sideband {
        let url = self.settings.url.replacen("http", "ws", 1);
        Sideband::open(&url, call_id, self.key.clone())
    }

    /// Ends a page's session. Nothing is lost when this fails: it ends with the page.
    pub async fn hang_up(&self, call_id: &str) {
        if let Err(error) = self.ask(&rest::hang_up_call(&self.key, call_id)).await {
            tracing::info!(%error, "a session of OpenAI Realtime could not be ended");
        }
    }

    /// The session: it listens, writes down and speaks, and answers nothing by itself.
    fn session(&self, config: &AgentConfig) -> Session {
        let own = config.voice_id.clone().filter(|_| config.voice_provider == OPENAI);
        let speed = config.voice_speed.clamp(REALTIME_SPEEDS.0, REALTIME_SPEEDS.1);
        Session {
            model: Some(self.settings.realtime_model.clone()),
            instructions: Some(format!(
                "You are the voice of {}. You are given what to say, and say exactly that, in the language it is written in. You never add a word, and never answer by yourself.",
                config.name
            )),
            voice: Some(own.unwrap_or_else(|| self.settings.voice.clone())),
            speed: Some(speed).filter(|speed| (speed - 1.0).abs() > 0.001),
            transcription_model: Some(self.settings.transcription_model.clone()),
            // It takes a language without its country.
            language: config.voice_language.split(['-', '_']).next().map(str::to_owned).filter(|code| code.len() == 2),
            noise_reduction: Some("near_field"),
            turn_detection: Some(TurnDetection::ServerVad {
                threshold: 0.5,
                prefix_padding_ms: PADDING_MS,
                silence_duration_ms: SILENCE_MS,
                // The conversation answers; it alone knows whether a person has the floor, what was booked, and what must not be said.
                create_response: false,
                interrupt_response: true,
            }),
            ..Session::default()
        }
    }

    async fn ask(&self, request: &Request) -> Result<(u16, Vec<u8>), SpeechError> {
        let method = reqwest::Method::from_bytes(request.method.as_str().as_bytes()).map_err(failed)?;
        let mut sending = self.http.request(method, format!("{}{}", self.settings.url, request.path));
        for (name, value) in &request.headers {
            sending = sending.header(*name, value);
        }
        self.taken(sending.body(request.body_bytes().to_vec()), ANSWER_BYTES_MAX).await
    }

    async fn taken(&self, sending: reqwest::RequestBuilder, max: usize) -> Result<(u16, Vec<u8>), SpeechError> {
        // The address is the operator's and says nothing; the error's own words would hold it.
        let answer = sending.send().await.map_err(|error| {
            if error.is_timeout() { SpeechError::Late(OPENAI) } else { failed(error.without_url()) }
        })?;
        let status = answer.status().as_u16();
        let mut bytes = Vec::new();
        let mut pieces = answer.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| failed(error.without_url()))?;
            if bytes.len() + piece.len() > max {
                return Err(failed("its answer is too long"));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok((status, bytes))
    }
}

#[async_trait]
impl Speech for OpenAi {
    fn name(&self) -> &'static str {
        OPENAI
    }

    async fn voices(&self) -> Result<Vec<VoiceInfo>, SpeechError> {
        let named = |id: &&str| {
            let mut name = (*id).to_owned();
            name[..1].make_ascii_uppercase();
            VoiceInfo { id: (*id).to_owned(), name, language: None }
        };
        Ok(VOICES.iter().map(named).collect())
    }

    async fn speak(&self, manner: &Manner, text: &str) -> Result<Sound, SpeechError> {
        let text = speakable(text)?;
        let voice = manner.voice_id.as_deref().filter(|voice| VOICES.contains(voice));
        let mut body = json!({ "model": self.settings.speech_model, "input": text, "response_format": "pcm",
            "voice": voice.unwrap_or(&self.settings.voice) });
        let speed = manner.speed.clamp(SPEEDS.0, SPEEDS.1);
        if (speed - 1.0).abs() > 0.001 {
            body["speed"] = speed.into();
        }
        let sending = self
            .http
            .post(format!("{}/v1/audio/speech", self.settings.url))
            .header("authorization", format!("Bearer {}", self.key.expose_secret()))
            .header("content-type", "application/json")
            .body(body.to_string());
        match self.taken(sending, SOUND_BYTES_MAX).await? {
            (200, bytes) => {
                let (samples, _) = mulaw::from_bytes(&bytes);
                if samples.is_empty() {
                    return Err(failed("it made no sound"));
                }
                Ok(Sound { samples, rate_hz: RATE_HZ, alignment: None })
            }
            (401 | 403, _) => Err(SpeechError::Key(OPENAI)),
            (status, _) => Err(failed(format!("it answers {status}"))),
        }
    }
}

fn failed(error: impl ToString) -> SpeechError {
    SpeechError::Failed(format!("OpenAI: {}", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn openai() -> OpenAi {
        let settings = OpenAiSettings {
            url: "http://127.0.0.1:9".into(),
            speech_model: "gpt-4o-mini-tts".into(),
            voice: "alloy".into(),
            realtime_model: "gpt-realtime".into(),
            transcription_model: "gpt-4o-transcribe".into(),
        };
        OpenAi::new("key".to_owned().into(), settings).expect("TLS")
    }

    #[test]
    fn a_session_writes_down_and_speaks_and_answers_nothing_by_itself() {
        let config = AgentConfig {
            name: "Oak".into(),
            voice_provider: OPENAI.into(),
            voice_id: Some("sage".into()),
            voice_language: "de-DE".into(),
            voice_speed: 9.0,
            ..AgentConfig::default()
        };
        let session = openai().session(&config).to_value();
        let input = &session["audio"]["input"];
        assert_eq!(input["turn_detection"]["create_response"], false, "{session}");
        assert_eq!(input["transcription"], json!({ "model": "gpt-4o-transcribe", "language": "de" }));
        assert_eq!(session["audio"]["output"], json!({ "voice": "sage", "speed": 1.5 }));
        assert!(session["instructions"].as_str().is_some_and(|text| text.contains("the voice of Oak")));
        let other = AgentConfig { voice_provider: "elevenlabs".into(), voice_id: Some("x".into()), ..config };
        assert_eq!(openai().session(&other).voice.as_deref(), Some("alloy"), "another provider's voice is none of its");
    }
}
