//! What we send on a Realtime socket.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::Unfit;

/// Where sockets are opened; plain REST is below `https://api.openai.com/v1`.
pub const SOCKET_URL: &str = "wss://api.openai.com/v1/realtime";
/// The most audio of one frame, bytes: base64 makes 4/3 of it, and the limit is 15 MiB.
pub const AUDIO_BYTES_MAX: usize = 11 * 1024 * 1024;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A session of its own, with this model.
    Model(&'a str),
    /// Beside a call that a browser or a telephone has: we see and steer, the audio goes elsewhere.
    Call(&'a str),
}

/// The address to open, with the header `Authorization: Bearer <key>`.
pub fn socket_url(target: Target<'_>) -> String {
    let query = match target {
        Target::Model(model) => crate::rest::encode_form(&[("model", model)]),
        Target::Call(id) => crate::rest::encode_form(&[("call_id", id)]),
    };
    format!("{SOCKET_URL}?{query}")
}

/// The subprotocols a browser opens its socket with, when it has a short-lived token.
pub fn browser_subprotocols(token: &str) -> [String; 2] {
    ["realtime".to_owned(), format!("openai-insecure-api-key.{token}")]
}

/// How audio is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub enum AudioFormat {
    /// 16 bits, little-endian, one channel, 24 kHz: there is no other rate.
    #[serde(rename = "audio/pcm")]
    Pcm {
        /// 24000
        rate: u32,
    },
    /// G.711 µ-law at 8 kHz: Twilio's payloads pass through unchanged.
    #[serde(rename = "audio/pcmu")]
    Mulaw,
    /// G.711 A-law at 8 kHz.
    #[serde(rename = "audio/pcma")]
    Alaw,
}

impl AudioFormat {
    /// 24 kHz.
    pub const PCM_24K: Self = Self::Pcm { rate: 24_000 };
}

/// Who decides that the caller has finished.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TurnDetection {
    /// Silence does. All three numbers are always sent: some readers need them.
    ServerVad {
        /// 0 to 1.
        threshold: f64,
        /// How much before the speech is taken along.
        prefix_padding_ms: u32,
        /// How long the silence is.
        silence_duration_ms: u32,
        /// Whether an answer begins by itself.
        create_response: bool,
        /// Whether speech stops an answer.
        interrupt_response: bool,
    },
    /// The meaning does.
    SemanticVad {
        /// `low`, `medium`, `high` or `auto`.
        eagerness: &'static str,
    },
}

/// A tool the model may call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema.
    pub parameters: Value,
}

/// A session. What is `None` stays as OpenAI has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    /// Such as `gpt-realtime`.
    pub model: Option<String>,
    /// What it is and does.
    pub instructions: Option<String>,
    /// The voice.
    pub voice: Option<String>,
    /// 0.25 to 1.5.
    pub speed: Option<f64>,
    /// What comes in.
    pub input_format: Option<AudioFormat>,
    /// What goes out.
    pub output_format: Option<AudioFormat>,
    /// The model that writes down what the caller says.
    pub transcription_model: Option<String>,
    /// Such as `en`.
    pub language: Option<String>,
    /// `near_field` or `far_field`.
    pub noise_reduction: Option<&'static str>,
    /// Who decides that the caller has finished.
    pub turn_detection: Option<TurnDetection>,
    /// What it may call.
    pub tools: Vec<Tool>,
    /// The longest answer, tokens.
    pub max_output_tokens: Option<u32>,
    /// Text instead of audio.
    pub text_only: bool,
}

impl Session {
    /// As JSON, for `session.update` and for tokens.
    pub fn to_value(&self) -> Value {
        let mut session = Map::new();
        session.insert("type".into(), "realtime".into());
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                session.insert(name.into(), value);
            }
        };
        put("model", self.model.clone().map(Value::from));
        put("instructions", self.instructions.clone().map(Value::from));
        put("output_modalities", Some(if self.text_only { json!(["text"]) } else { json!(["audio"]) }));
        let mut input = Map::new();
        if let Some(format) = self.input_format {
            input.insert("format".into(), json!(format));
        }
        if let Some(kind) = self.noise_reduction {
            input.insert("noise_reduction".into(), json!({ "type": kind }));
        }
        if let Some(model) = &self.transcription_model {
            let mut transcription = json!({ "model": model });
            if let Some(language) = &self.language {
                transcription["language"] = language.as_str().into();
            }
            input.insert("transcription".into(), transcription);
        }
        if let Some(detection) = self.turn_detection {
            input.insert("turn_detection".into(), json!(detection));
        }
        let mut output = Map::new();
        if let Some(format) = self.output_format {
            output.insert("format".into(), json!(format));
        }
        if let Some(voice) = &self.voice {
            output.insert("voice".into(), voice.as_str().into());
        }
        if let Some(speed) = self.speed {
            output.insert("speed".into(), json!(speed));
        }
        let mut audio = Map::new();
        if !input.is_empty() {
            audio.insert("input".into(), Value::Object(input));
        }
        if !output.is_empty() {
            audio.insert("output".into(), Value::Object(output));
        }
        put("audio", (!audio.is_empty()).then_some(Value::Object(audio)));
        let tools: Vec<Value> = self
            .tools
            .iter()
            .map(|tool| json!({ "type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters }))
            .collect();
        put("tools", (!tools.is_empty()).then_some(Value::from(tools)));
        put("max_output_tokens", self.max_output_tokens.map(Value::from));
        Value::Object(session)
    }
}

/// A frame to OpenAI.
#[derive(Clone, Debug, PartialEq)]
pub enum Command<'a> {
    /// Changes the session.
    UpdateSession(&'a Session),
    /// Audio of the caller.
    AppendAudio(&'a [u8]),
    /// The caller has finished; only without turn detection.
    CommitAudio,
    /// Forgets audio that was not committed.
    ClearAudio,
    /// A message in words. `role` "user", "system" or "assistant".
    Say {
        /// Who.
        role: &'a str,
        /// What.
        text: &'a str,
    },
    /// What came of a tool. A [`Command::Respond`] follows.
    ToolResult {
        /// The call as the model named it.
        call_id: &'a str,
        /// What came of it.
        output: &'a str,
    },
    /// Takes away what the caller did not hear of an answer.
    Truncate {
        /// The answer's item.
        item_id: &'a str,
        /// What was heard of it. More than there is is an error.
        audio_end_ms: u64,
    },
    /// Asks for an answer, perhaps with instructions for this one.
    Respond(Option<&'a str>),
    /// Stops the answer under way.
    Cancel,
    /// Stops what a browser or telephone is playing.
    ClearOutput,
}

impl Command<'_> {
    /// The frame as text.
    ///
    /// # Errors
    /// When the audio is longer than one frame takes.
    pub fn to_text(&self) -> Result<String, Unfit> {
        let value = match self {
            Self::UpdateSession(session) => json!({ "type": "session.update", "session": session.to_value() }),
            Self::AppendAudio(audio) if audio.len() > AUDIO_BYTES_MAX => {
                return Err(Unfit::new("audio", "is longer than one frame takes"));
            }
            Self::AppendAudio(audio) => json!({ "type": "input_audio_buffer.append", "audio": STANDARD.encode(audio) }),
            Self::CommitAudio => json!({ "type": "input_audio_buffer.commit" }),
            Self::ClearAudio => json!({ "type": "input_audio_buffer.clear" }),
            Self::Say { role, text } => {
                let kind = if *role == "assistant" { "output_text" } else { "input_text" };
                json!({ "type": "conversation.item.create",
                    "item": { "type": "message", "role": role, "content": [{ "type": kind, "text": text }] } })
            }
            Self::ToolResult { call_id, output } => json!({ "type": "conversation.item.create",
                "item": { "type": "function_call_output", "call_id": call_id, "output": output } }),
            Self::Truncate { item_id, audio_end_ms } => json!({ "type": "conversation.item.truncate",
                "item_id": item_id, "content_index": 0, "audio_end_ms": audio_end_ms }),
            // No `response` at all instead of null, which is refused.
            Self::Respond(None) => json!({ "type": "response.create" }),
            Self::Respond(Some(instructions)) => {
                json!({ "type": "response.create", "response": { "instructions": instructions } })
            }
            Self::Cancel => json!({ "type": "response.cancel" }),
            Self::ClearOutput => json!({ "type": "output_audio_buffer.clear" }),
        };
        Ok(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(command: &Command<'_>) -> Value {
        serde_json::from_str(&command.to_text().expect("fits")).expect("JSON")
    }

    #[test]
    fn a_session_is_written_as_documented() {
        let session = Session {
            model: Some("gpt-realtime".into()),
            instructions: Some("Be brief".into()),
            voice: Some("marin".into()),
            input_format: Some(AudioFormat::Mulaw),
            output_format: Some(AudioFormat::PCM_24K),
            transcription_model: Some("gpt-4o-transcribe".into()),
            noise_reduction: Some("near_field"),
            turn_detection: Some(TurnDetection::ServerVad {
                threshold: 0.5,
                prefix_padding_ms: 300,
                silence_duration_ms: 500,
                create_response: true,
                interrupt_response: true,
            }),
            tools: vec![Tool {
                name: "book".into(),
                description: "Books".into(),
                parameters: json!({"type": "object"}),
            }],
            ..Session::default()
        };
        assert_eq!(
            value(&Command::UpdateSession(&session)),
            json!({"type": "session.update", "session": {"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief",
                "output_modalities": ["audio"],
                "audio": {
                    "input": {"format": {"type": "audio/pcmu"}, "noise_reduction": {"type": "near_field"}, "transcription": {"model": "gpt-4o-transcribe"},
                        "turn_detection": {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500, "create_response": true, "interrupt_response": true}},
                    "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"}},
                "tools": [{"type": "function", "name": "book", "description": "Books", "parameters": {"type": "object"}}]}})
        );
        assert_eq!(Session::default().to_value(), json!({"type": "realtime", "output_modalities": ["audio"]}));
    }

    #[test]
    fn commands_are_written_as_documented() {
        let cases = [
            (Command::AppendAudio(&[0xff, 0xfe]), json!({"type": "input_audio_buffer.append", "audio": "//4="})),
            (Command::CommitAudio, json!({"type": "input_audio_buffer.commit"})),
            (
                Command::ToolResult { call_id: "c1", output: "{}" },
                json!({"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "c1", "output": "{}"}}),
            ),
            (
                Command::Truncate { item_id: "i1", audio_end_ms: 460 },
                json!({"type": "conversation.item.truncate", "item_id": "i1", "content_index": 0, "audio_end_ms": 460}),
            ),
            (Command::Respond(None), json!({"type": "response.create"})),
            (
                Command::Respond(Some("Greet")),
                json!({"type": "response.create", "response": {"instructions": "Greet"}}),
            ),
            (Command::Cancel, json!({"type": "response.cancel"})),
        ];
        for (command, expected) in cases {
            assert_eq!(value(&command), expected);
        }
        assert!(Command::AppendAudio(&vec![0; AUDIO_BYTES_MAX + 1]).to_text().is_err());
    }

    #[test]
    fn a_socket_is_for_a_model_or_beside_a_call() {
        assert_eq!(socket_url(Target::Model("gpt-realtime")), "wss://api.openai.com/v1/realtime?model=gpt-realtime");
        assert_eq!(socket_url(Target::Call("rtc_1&x=2")), "wss://api.openai.com/v1/realtime?call_id=rtc_1%26x%3D2");
        assert_eq!(browser_subprotocols("ek_1")[1], "openai-insecure-api-key.ek_1");
    }
}
