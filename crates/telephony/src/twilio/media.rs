//! Media Streams: a call's audio over a socket, text frames with base64 inside.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Malformed;
use crate::json::{lenient, lenient_whole, list, object, or_default, typed};

/// The longest piece of audio in one frame, bytes: 20 ms are 160, and a frame with ten seconds would already be no stream.
pub const AUDIO_BYTES_MAX: usize = 80_000;
/// The most audio sent in one frame, bytes: one second. Twilio takes any size; smaller pieces keep a barge-in quick on our side of the wire.
pub const AUDIO_BYTES_SENT_MAX: usize = 8_000;
/// The longest name of a mark, bytes.
pub const MARK_NAME_BYTES_MAX: usize = 256;
/// µ-law for silence.
pub const SILENCE: u8 = 0xff;

/// How the audio is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MediaFormat {
    /// `audio/x-mulaw`
    #[serde(default, deserialize_with = "or_default")]
    pub encoding: String,
    /// 8000
    #[serde(default, deserialize_with = "lenient_whole")]
    pub sample_rate: Option<i64>,
    /// 1
    #[serde(default, deserialize_with = "lenient_whole")]
    pub channels: Option<i64>,
}

/// The stream begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// The account.
    #[serde(default, deserialize_with = "or_default")]
    pub account_sid: String,
    /// The stream.
    pub stream_sid: String,
    /// The call.
    pub call_sid: String,
    /// `inbound`, and `outbound` for a copy of both.
    #[serde(default, deserialize_with = "list")]
    pub tracks: Vec<String>,
    /// How the audio is written.
    #[serde(default, deserialize_with = "or_default")]
    pub media_format: MediaFormat,
    /// What our TwiML gave along.
    #[serde(default, deserialize_with = "or_default")]
    pub custom_parameters: Map<String, Value>,
}

impl Start {
    /// A text our TwiML gave along, such as the ticket.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.custom_parameters.get(name).and_then(Value::as_str)
    }

    /// Whether it is what we can decode: µ-law, 8 kHz, one channel. Absent is as documented.
    pub fn is_mulaw_8k(&self) -> bool {
        let format = &self.media_format;
        (format.encoding.is_empty() || format.encoding == "audio/x-mulaw")
            && format.sample_rate.unwrap_or(8000) == 8000
            && format.channels.unwrap_or(1) == 1
    }
}

/// A piece of audio.
#[derive(Clone, PartialEq, Eq)]
pub struct Media {
    /// `inbound` or `outbound`.
    pub track: String,
    /// Place among this track's pieces, from 1.
    pub chunk: Option<u64>,
    /// Ms since the stream began.
    pub timestamp_ms: Option<u64>,
    /// µ-law at 8 kHz.
    pub audio: Vec<u8>,
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Media").field("chunk", &self.chunk).field("bytes", &self.audio.len()).finish_non_exhaustive()
    }
}

/// A frame from Twilio.
#[derive(Clone, Debug, PartialEq)]
pub enum Inbound {
    /// The first frame.
    Connected,
    /// The stream begins.
    Start(Box<Start>),
    /// Audio.
    Media(Media),
    /// A key was pressed.
    Dtmf {
        /// `0` to `9`, `*`, `#`, `A` to `D`.
        digit: char,
    },
    /// All audio sent before this mark was played, or thrown away by a `clear`: the echo does not say which. See [`super::playback`].
    Mark {
        /// As we named it.
        name: String,
    },
    /// The stream is over.
    Stop,
    /// An event that is not documented.
    Unknown,
}

/// A frame with its place in the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbered {
    /// From 1; absent on `connected`.
    pub sequence: Option<u64>,
    /// The stream; absent on `connected`.
    pub stream_sid: Option<String>,
    /// The frame.
    pub frame: Inbound,
}

/// Reads a frame from Twilio.
///
/// # Errors
/// When it is no object, or lacks what its event cannot do without. Such a frame is dropped; Twilio expects no answer to it.
pub fn read_inbound(text: &str) -> Result<Numbered, Malformed> {
    let mut object = object(text.as_bytes())?;
    let event = match object.remove("event") {
        Some(Value::String(event)) => event,
        _ => return Err(Malformed::Field("event")),
    };
    let count =
        |value: Option<&Value>| value.and_then(crate::json::whole).and_then(|number| u64::try_from(number).ok());
    let sequence = count(object.get("sequenceNumber"));
    let stream_sid = object.get("streamSid").and_then(Value::as_str).map(str::to_owned);
    let mut part = |name: &'static str| match object.remove(name) {
        Some(Value::Object(part)) => Ok(part),
        _ => Err(Malformed::Field(name)),
    };
    let frame = match event.as_str() {
        "connected" => Inbound::Connected,
        "start" => Inbound::Start(Box::new(typed(part("start")?, "start.streamSid or start.callSid")?)),
        "media" => {
            let media = part("media")?;
            let payload = media.get("payload").and_then(Value::as_str).ok_or(Malformed::Field("media.payload"))?;
            Inbound::Media(Media {
                track: media.get("track").and_then(Value::as_str).unwrap_or("inbound").to_owned(),
                chunk: count(media.get("chunk")),
                timestamp_ms: count(media.get("timestamp")),
                audio: read_audio(payload)?,
            })
        }
        "dtmf" => {
            let dtmf = part("dtmf")?;
            let digit = dtmf.get("digit").and_then(Value::as_str).unwrap_or_default();
            let mut chars = digit.chars();
            match (chars.next(), chars.next()) {
                (Some(digit), None) if is_key(digit) => Inbound::Dtmf { digit },
                _ => return Err(Malformed::Field("dtmf.digit")),
            }
        }
        "mark" => {
            let mark = part("mark")?;
            let name = mark.get("name").and_then(Value::as_str).ok_or(Malformed::Field("mark.name"))?;
            Inbound::Mark { name: name.to_owned() }
        }
        "stop" => Inbound::Stop,
        _ => Inbound::Unknown,
    };
    Ok(Numbered { sequence, stream_sid, frame })
}

fn is_key(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '*' | '#' | 'A'..='D')
}

fn read_audio(payload: &str) -> Result<Vec<u8>, Malformed> {
    // Checked before decoding: four characters are three bytes.
    if payload.len() / 4 * 3 > AUDIO_BYTES_MAX {
        return Err(Malformed::TooLong);
    }
    STANDARD.decode(payload).map_err(|_| Malformed::Audio)
}

/// A frame to Twilio. Only on streams that go both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// Audio, played behind what is already waiting.
    Media(Vec<u8>),
    /// A name to be echoed once everything before it was played.
    Mark(String),
    /// Throws away what is waiting; each pending mark is echoed at once.
    Clear,
}

impl Outbound {
    /// The frame as text.
    pub fn to_text(&self, stream_sid: &str) -> String {
        let value = match self {
            Self::Media(audio) => {
                serde_json::json!({ "event": "media", "streamSid": stream_sid, "media": { "payload": STANDARD.encode(audio) } })
            }
            Self::Mark(name) => {
                serde_json::json!({ "event": "mark", "streamSid": stream_sid, "mark": { "name": name } })
            }
            Self::Clear => serde_json::json!({ "event": "clear", "streamSid": stream_sid }),
        };
        value.to_string()
    }
}

/// Audio as frames of at most [`AUDIO_BYTES_SENT_MAX`].
pub fn in_frames(audio: &[u8]) -> impl Iterator<Item = Outbound> + '_ {
    audio.chunks(AUDIO_BYTES_SENT_MAX).map(|piece| Outbound::Media(piece.to_vec()))
}

/// Reads one of our frames as Twilio does. For simulated carriers and tests.
///
/// # Errors
/// When Twilio would warn and drop it.
pub fn read_outbound(text: &str) -> Result<(String, Outbound), Malformed> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Frame {
        event: String,
        stream_sid: String,
        #[serde(default, deserialize_with = "lenient")]
        media: Option<Map<String, Value>>,
        #[serde(default, deserialize_with = "lenient")]
        mark: Option<Map<String, Value>>,
    }
    let frame: Frame = typed(object(text.as_bytes())?, "event or streamSid")?;
    let text = |part: Option<Map<String, Value>>, name: &'static str| match part.and_then(|mut part| part.remove(name))
    {
        Some(Value::String(text)) => Ok(text),
        _ => Err(Malformed::Field(name)),
    };
    let outbound = match frame.event.as_str() {
        "media" => Outbound::Media(read_audio(&text(frame.media, "payload")?)?),
        "mark" => Outbound::Mark(text(frame.mark, "name")?),
        "clear" => Outbound::Clear,
        _ => return Err(Malformed::Field("event")),
    };
    Ok((frame.stream_sid, outbound))
}

/// A frame as Twilio would send it. For simulated carriers and tests.
pub fn write_inbound(numbered: &Numbered) -> String {
    let mut value = match &numbered.frame {
        Inbound::Connected => serde_json::json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" }),
        Inbound::Start(start) => serde_json::json!({ "event": "start", "start": start }),
        Inbound::Media(media) => serde_json::json!({ "event": "media", "media": {
            "track": media.track, "chunk": media.chunk.map(|n| n.to_string()), "timestamp": media.timestamp_ms.map(|n| n.to_string()),
            "payload": STANDARD.encode(&media.audio) } }),
        Inbound::Dtmf { digit } => {
            serde_json::json!({ "event": "dtmf", "dtmf": { "track": "inbound_track", "digit": digit } })
        }
        Inbound::Mark { name } => serde_json::json!({ "event": "mark", "mark": { "name": name } }),
        Inbound::Stop => serde_json::json!({ "event": "stop", "stop": {} }),
        Inbound::Unknown => serde_json::json!({ "event": "unknown" }),
    };
    if let Some(sequence) = numbered.sequence {
        value["sequenceNumber"] = sequence.to_string().into();
    }
    if let Some(sid) = &numbered.stream_sid {
        value["streamSid"] = sid.as_str().into();
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{bent, mutated};

    const FRAMES: [&str; 6] = [
        r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#,
        r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"ticket":"t1"}}}"#,
        r#"{"event":"media","sequenceNumber":"4","streamSid":"MZ1","media":{"track":"inbound","chunk":"2","timestamp":"5","payload":"//79/A=="}}"#,
        r#"{"event":"dtmf","sequenceNumber":"5","streamSid":"MZ1","dtmf":{"track":"inbound_track","digit":"1"}}"#,
        r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"my label"}}"#,
        r#"{"event":"stop","sequenceNumber":"5","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#,
    ];

    #[test]
    fn documented_frames_are_read_though_their_numbers_are_texts() {
        let frames: Vec<Numbered> = FRAMES.iter().map(|text| read_inbound(text).expect("documented")).collect();
        assert_eq!(frames[0], Numbered { sequence: None, stream_sid: None, frame: Inbound::Connected });
        let Inbound::Start(start) = &frames[1].frame else { panic!("start") };
        assert_eq!(
            (start.call_sid.as_str(), start.parameter("ticket"), start.is_mulaw_8k()),
            ("CA1", Some("t1"), true)
        );
        let Inbound::Media(media) = &frames[2].frame else { panic!("media") };
        assert_eq!(
            (media.chunk, media.timestamp_ms, &media.audio[..]),
            (Some(2), Some(5), &[0xff, 0xfe, 0xfd, 0xfc][..])
        );
        assert_eq!((frames[3].sequence, &frames[3].frame), (Some(5), &Inbound::Dtmf { digit: '1' }));
        assert_eq!(frames[4].frame, Inbound::Mark { name: "my label".into() });
        assert_eq!((frames[5].stream_sid.as_deref(), &frames[5].frame), (Some("MZ1"), &Inbound::Stop));
        for frame in frames {
            assert_eq!(read_inbound(&write_inbound(&frame)), Ok(frame), "what we write as a carrier is what it writes");
        }
    }

    #[test]
    fn unknown_events_pass_and_unusable_frames_are_named() {
        assert_eq!(read_inbound(r#"{"event":"sing","sing":{}}"#).expect("tolerated").frame, Inbound::Unknown);
        let long = format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, "A".repeat(200_000));
        for (text, expected) in [
            ("nonsense", Malformed::NotJson),
            (r#"{"sequenceNumber":"1"}"#, Malformed::Field("event")),
            (r#"{"event":"start"}"#, Malformed::Field("start")),
            (r#"{"event":"start","start":{"streamSid":"MZ1"}}"#, Malformed::Field("start.streamSid or start.callSid")),
            (r#"{"event":"media","media":{"track":"inbound"}}"#, Malformed::Field("media.payload")),
            (r#"{"event":"media","media":{"payload":"%%%"}}"#, Malformed::Audio),
            (r#"{"event":"dtmf","dtmf":{"digit":"12"}}"#, Malformed::Field("dtmf.digit")),
            (r#"{"event":"mark","mark":{}}"#, Malformed::Field("mark.name")),
            (long.as_str(), Malformed::TooLong),
        ] {
            assert_eq!(read_inbound(text), Err(expected), "{text:.60}");
        }
    }

    #[test]
    fn our_frames_are_written_as_documented_and_long_audio_is_cut() {
        assert_eq!(
            Outbound::Media(vec![0xff, 0xfe]).to_text("MZ1"),
            r#"{"event":"media","media":{"payload":"//4="},"streamSid":"MZ1"}"#
        );
        assert_eq!(
            Outbound::Mark("turn7-seg3".into()).to_text("MZ1"),
            r#"{"event":"mark","mark":{"name":"turn7-seg3"},"streamSid":"MZ1"}"#
        );
        assert_eq!(Outbound::Clear.to_text("MZ1"), r#"{"event":"clear","streamSid":"MZ1"}"#);
        let sizes: Vec<usize> = in_frames(&[0; 20_000])
            .map(|frame| match read_outbound(&frame.to_text("MZ1")) {
                Ok((_, Outbound::Media(audio))) => audio.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(sizes, [8000, 8000, 4000]);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in prop_oneof![mutated(&FRAMES), bent(&FRAMES), "\\PC{0,80}"]) {
            if let Ok(Numbered { frame: Inbound::Media(media), .. }) = read_inbound(&text) {
                prop_assert!(media.audio.len() <= AUDIO_BYTES_MAX);
            }
            let _ = read_outbound(&text);
        }
    }
}
