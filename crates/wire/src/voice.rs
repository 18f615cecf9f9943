//! Calls over HTTP, and the socket of a test call from the console (`GET /api/voice/browser?agent_id=`): text frames, one JSON object each, tagged by
//! `type`.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// `POST /api/voice/calls/:id/transfer`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts", optional_fields)]
pub struct TransferCall {
    /// To whom, E.164.
    pub to: String,
    /// `cold` (the default): the caller is put through at once; `warm`: what it is about is told first, where the provider can do that.
    #[serde(default)]
    pub kind: Option<String>,
}

/// `POST /api/ai/realtime-token`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct NewRealtimeToken {
    /// Who is called.
    pub agent_id: String,
}

/// What a page opens a session of OpenAI Realtime with.
#[derive(Clone, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct RealtimeToken {
    /// `ek_…`; shown once.
    pub value: String,
    /// Until when it opens sessions.
    pub expires_at: String,
    /// The model of its session.
    pub model: String,
    /// The voice of its session.
    pub voice: String,
    /// Where the page posts its offer (SDP), with the token as bearer.
    pub calls_url: String,
}

/// A voice that an agent can have.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct Voice {
    /// Whose it is: for the agent's `voice_provider`.
    pub provider: String,
    /// For the agent's `voice_id`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it speaks, where that is known.
    pub language: Option<String>,
}

/// `GET /api/voice/voices`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct VoiceList {
    /// All of them.
    pub items: Vec<Voice>,
    /// How callers of our own sound are heard: `deepgram` or `typed`.
    pub listening: String,
    /// Who speaks unless the agent says otherwise: `elevenlabs`, `openai`, `espeak-ng` or `none`.
    pub speech: String,
    /// What is missing, in sentences that say what to set.
    pub missing: Vec<String>,
}

/// What the page of a test call sends.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export, export_to = "sockets.ts")]
pub enum VoiceClient {
    /// First frame. A page whose connection was lost names its call and goes on with it.
    Start {
        /// An access token, for a page that has no cookie.
        #[serde(default)]
        token: Option<String>,
        /// The call to go on with.
        #[serde(default)]
        call_id: Option<String>,
        /// The page will send what its microphone hears: binary frames of 16-bit little-endian sound, one channel, so many samples a second (8000 to
        /// 48000). Without speech-to-text here, or without this, the caller types.
        #[serde(default)]
        microphone_hz: Option<u32>,
        /// The page has a session of OpenAI Realtime, made with a token of `POST /api/ai/realtime-token`: its id there, as it stands at the end of the
        /// answer's `Location`. What is said is then heard and spoken in it.
        #[serde(default)]
        realtime_call_id: Option<String>,
    },
    /// The caller said something. Saying the same again under the same number asks for the same answer, not for another.
    Said {
        /// Counts from 1 what the caller says in this call. The same number with more words: the caller went on before anything was answered.
        turn: u32,
        /// The words.
        text: String,
        /// What the caller heard of the agent before, if he did not hear all of it and `played` does not say it.
        #[serde(default)]
        heard: Option<String>,
    },
    /// So much of an utterance's sound was played: told when it stops, at its end or because the caller spoke, and before what the caller said then. Only
    /// what was heard stands in the conversation; an utterance that is never told about counts as heard.
    Played {
        /// Which.
        utterance: u64,
        /// Milliseconds of all its sentences, one after the other.
        ms: u64,
    },
    /// The caller has said nothing for a while.
    Silent {
        /// Counts from 1 how often since the caller last said something.
        count: u32,
    },
    /// The caller hangs up.
    Hangup,
}

/// What the page of a test call gets.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export, export_to = "sockets.ts")]
pub enum VoiceServer {
    /// The call goes on.
    Call {
        /// The call.
        call_id: String,
        /// Where its words stand.
        conversation_id: String,
        /// The agent's name.
        agent: String,
        /// How the caller is heard: `deepgram`, `openai`, or `typed` where no speech-to-text is connected or the page sends no sound.
        listening: String,
        /// Who speaks: `elevenlabs`, `openai`, `espeak-ng`, or `none` where the words are only shown.
        speech: String,
        /// What kind of call this is, in words for the page.
        note: String,
    },
    /// A sentence to be spoken.
    Say {
        /// Sentences of one answer have the same number; a higher one takes the place of what is being spoken.
        utterance: u64,
        /// The words.
        text: String,
        /// The sound, WAV in base64, where a voice is installed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        audio: Option<String>,
    },
    /// Nothing more comes for an utterance.
    Done {
        /// Which.
        utterance: u64,
        /// What follows once it was spoken: `listen`, `hang_up` or `transfer`.
        then: String,
        /// To whom a real call would be put through.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        to: Option<String>,
    },
    /// The caller talks over it: nothing more of this utterance is to be heard.
    Stop {
        /// Which.
        utterance: u64,
    },
    /// What is being heard of the caller's microphone.
    Hearing {
        /// All words of the turn so far; none if it was nothing.
        text: String,
        /// Whether the caller has finished: then they stand as what was said, and are answered.
        done: bool,
        /// The number of the caller's turn, once it is done; the same number again takes the place of what was said before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        turn: Option<u32>,
    },
    /// A frame was refused.
    Error {
        /// A stable code.
        code: String,
        /// What is the matter and what to do.
        detail: String,
    },
    /// The call is over, or the connection ends and the call can be gone on with.
    Bye {
        /// `ended`, `restarting`, `replaced` or `unreachable`.
        reason: String,
    },
}
