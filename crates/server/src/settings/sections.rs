//! The sections of the settings, each key with what it means in a word; `config/colloquy.toml` says more.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[http]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    /// Address and port.
    pub(crate) listen: SocketAddr,
    /// Networks and addresses of proxies whose forwarding headers are believed.
    pub(crate) trusted_proxies: Vec<String>,
}

/// `[ops]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ops {
    /// Address and port.
    pub(crate) listen: SocketAddr,
    /// Bearer token; generated when empty.
    pub(crate) token: String,
}

/// `[data]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    /// The folder.
    pub(crate) dir: PathBuf,
    /// Uploads and indices: a folder or `s3://bucket/prefix`; `blobs` in the folder when empty.
    pub(crate) blobs: String,
    /// The service of `s3://`.
    pub(crate) s3: S3,
}

/// `[data.s3]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct S3 {
    /// The service; Amazon's own when empty.
    pub(crate) endpoint: String,
    /// The region that signatures name.
    pub(crate) region: String,
    /// The key; from the environment or the machine when empty.
    pub(crate) access_key: String,
    /// Its secret.
    pub(crate) secret_key: String,
}

/// `[store]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreSettings {
    /// Which adapter.
    pub(crate) kind: StoreKind,
    /// CQL servers.
    pub(crate) nodes: Vec<String>,
    /// The keyspace.
    pub(crate) keyspace: String,
    /// The data centre that holds the copies.
    pub(crate) datacenter: String,
    /// Copies of a new keyspace.
    pub(crate) replication: u8,
    /// The role; none when empty.
    pub(crate) username: String,
    /// Its password.
    pub(crate) password: String,
    /// The authority of the servers' certificates; no TLS when empty.
    pub(crate) tls_authority: String,
    /// This node's certificate, where the servers ask for one.
    pub(crate) tls_certificate: String,
    /// Its key.
    pub(crate) tls_key: String,
    /// Open although the write-ahead log is damaged.
    pub(crate) accept_damaged_log: bool,
}

/// Which store adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StoreKind {
    /// One file in `data.dir`.
    Sqlite,
    /// ScyllaDB or Apache Cassandra.
    Scylla,
}

/// `[secrets]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secrets {
    /// 32 bytes as 64 hexadecimal digits; generated when empty.
    pub(crate) key: String,
}

/// `[redis]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedisSettings {
    /// The server; none when empty.
    pub(crate) url: String,
}

/// `[cluster]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cluster {
    /// This node's name.
    pub(crate) node_id: String,
    /// Where others reach it; a single node when empty.
    pub(crate) listen: String,
    /// What it tells the others instead.
    pub(crate) advertise: String,
    /// Other nodes' addresses, `id=host:port`.
    pub(crate) peers: Vec<String>,
    /// The authority of the nodes' certificates.
    pub(crate) tls_authority: String,
    /// This node's certificate.
    pub(crate) tls_certificate: String,
    /// Its key.
    pub(crate) tls_key: String,
    /// Whether to go without TLS on addresses that others can reach.
    pub(crate) plain_text: bool,
    /// The cluster's name.
    pub(crate) name: String,
    /// How many shards.
    pub(crate) shards: u32,
}

/// `[public]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Public {
    /// Console and links in mails.
    pub(crate) url: String,
    /// Embed codes; `url` when empty.
    pub(crate) widget_url: String,
    /// API and callbacks; `url` when empty.
    pub(crate) api_url: String,
}

/// `[models]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Models {
    /// Catalog id of the default model.
    pub(crate) default: String,
    /// Catalog id of the model asked when the first fails; empty for none.
    pub(crate) fallback: String,
    /// The provider.
    pub(crate) openai: OpenAi,
}

/// `[models.openai]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenAi {
    /// The endpoint up to and including `/v1`.
    pub(crate) base_url: String,
    /// Its key; empty for the built-in responder.
    pub(crate) api_key: String,
}

/// `[embeddings]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Embeddings {
    /// Which embedder.
    pub(crate) kind: EmbedderKind,
    /// Folder of the local weights; the user's cache folder when empty.
    pub(crate) local_path: String,
}

/// Which embedder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EmbedderKind {
    /// The best that is there.
    Auto,
    /// `text-embedding-3-small`.
    Openai,
    /// all-MiniLM-L6-v2 in process.
    Local,
    /// No vectors.
    Keyword,
}

/// `[crawl]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Crawl {
    /// Whether private addresses may be fetched.
    pub(crate) allow_private: bool,
    /// Pages of one source.
    pub(crate) pages_max: u32,
    /// Bytes of one page.
    pub(crate) page_bytes_max: usize,
    /// Bytes of one crawl.
    pub(crate) total_bytes_max: usize,
    /// Links away from the start.
    pub(crate) depth_max: u32,
    /// Seconds of one request.
    pub(crate) request_timeout_s: u64,
    /// Seconds of one crawl.
    pub(crate) total_timeout_s: u64,
    /// Requests at a time.
    pub(crate) concurrency: usize,
}

/// `[plans]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plans {
    /// The plan of new organizations.
    pub(crate) default: PlanName,
}

/// The plans that exist before billing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PlanName {
    /// No limits.
    Unlimited,
    /// The limits of a trial.
    Trial,
}

/// `[tenancy]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tenancy {
    /// One or many.
    pub(crate) mode: TenancyMode,
    /// The slug of the only one.
    pub(crate) default_slug: String,
}

/// One organization or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TenancyMode {
    /// Sign-up closes with the first.
    SingleTenant,
    /// Anybody may sign up.
    MultiTenant,
}

/// `[platform]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Platform {
    /// Addresses of administrators.
    pub(crate) admin_emails: Vec<String>,
}

/// `[mail]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mail {
    /// Which sender.
    pub(crate) kind: MailKind,
    /// From whom.
    pub(crate) from: String,
    /// The server of `smtp`.
    pub(crate) smtp: Smtp,
}

/// Which mail sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MailKind {
    /// Kept in memory, for development.
    Mailbox,
    /// A mail server.
    Smtp,
}

/// `[mail.smtp]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Smtp {
    /// Host name.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// User; none when empty.
    pub(crate) username: String,
    /// Password.
    pub(crate) password: String,
    /// How the connection is protected.
    pub(crate) security: SmtpSecurity,
}

/// How a mail connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SmtpSecurity {
    /// Upgraded after the greeting; required.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// In the clear: for a relay on the same machine.
    None,
}

/// `[messages]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Messages {
    /// Twilio's interface.
    pub(crate) twilio_url: String,
    /// WhatsApp's interface, at Meta.
    pub(crate) whatsapp_url: String,
    /// Retell's interface.
    pub(crate) retell_url: String,
    /// A simulated carrier; none when empty.
    pub(crate) simulated_url: String,
    /// Seconds that an unknown outcome is looked up.
    pub(crate) unconfirmed_after_s: u32,
}

/// `[voice]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Voice {
    /// What a minute of a call costs, US dollars.
    pub(crate) minute_usd: f64,
    /// The limits of an account at Twilio.
    pub(crate) twilio: VoiceLimits,
    /// The limits of an account at Retell.
    pub(crate) retell: VoiceLimits,
    /// The limits of an account at the simulated carrier.
    pub(crate) simulated: VoiceLimits,
    /// A speech synthesizer on this machine.
    pub(crate) espeak: EspeakSettings,
    /// A voice.
    pub(crate) elevenlabs: ElevenLabsSettings,
    /// Speech to text.
    pub(crate) deepgram: DeepgramSettings,
    /// A voice, and sessions of Realtime.
    pub(crate) openai: OpenAiVoice,
    /// Vapi, which carries calls.
    pub(crate) vapi: VapiSettings,
}

/// `[voice.openai]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenAiVoice {
    /// The key; none when empty.
    pub(crate) api_key: String,
    /// Its interface.
    pub(crate) url: String,
    /// Which model speaks.
    pub(crate) speech_model: String,
    /// The voice of agents that name none.
    pub(crate) voice: String,
    /// Which model carries sessions of Realtime.
    pub(crate) realtime_model: String,
    /// Which model writes down what is said in them.
    pub(crate) transcription_model: String,
}

/// `[voice.vapi]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VapiSettings {
    /// Its interface.
    pub(crate) url: String,
}

/// `[voice.espeak]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EspeakSettings {
    /// The program; none when empty.
    pub(crate) program: String,
}

/// `[voice.elevenlabs]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ElevenLabsSettings {
    /// The key; none when empty.
    pub(crate) api_key: String,
    /// Its interface.
    pub(crate) url: String,
    /// Which model speaks.
    pub(crate) model: String,
    /// The voice of agents that name none.
    pub(crate) voice: String,
}

/// `[voice.deepgram]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeepgramSettings {
    /// The key; none when empty.
    pub(crate) api_key: String,
    /// Its interface.
    pub(crate) url: String,
    /// Which model listens.
    pub(crate) model: String,
}

/// `[voice.twilio]`, `[voice.retell]` and `[voice.simulated]`
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VoiceLimits {
    /// Calls at once.
    pub(crate) concurrent: u32,
    /// Calls begun per second.
    pub(crate) calls_per_second: f64,
    /// Calls at once that are kept free for calls that come in.
    pub(crate) inbound_reserved: u32,
    /// Calls at once of each organization.
    pub(crate) concurrent_per_organization: u32,
    /// Calls at once of each number.
    pub(crate) concurrent_per_number: u32,
    /// Calls per second of each number.
    pub(crate) calls_per_second_per_number: f64,
}

/// `[demo]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Demo {
    /// Whether the landing page has one.
    pub(crate) enabled: bool,
    /// Messages and requests an hour from one address.
    pub(crate) per_address_per_hour: u32,
}

/// `[legal]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Legal {
    /// Name and address, on one line; left out of the pages when empty.
    pub(crate) operator: String,
    /// An e-mail address or a website.
    pub(crate) contact: String,
}

/// `[cron]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cron {
    /// The shared secret; off when empty.
    pub(crate) secret: String,
}

/// `[log]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    /// A `tracing` filter.
    pub(crate) filter: String,
    /// Text or JSON lines.
    pub(crate) format: LogFormat,
}

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `[limits]`: see the comments in `config/colloquy.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) chat_per_visitor_per_minute: u32,
    pub(crate) chat_per_address_per_minute: u32,
    pub(crate) login_per_address_per_minute: u32,
    pub(crate) login_per_email_per_minute: u32,
    pub(crate) api_per_principal_per_minute: u32,
    pub(crate) body_bytes_max: usize,
    pub(crate) upload_bytes_max: usize,
    pub(crate) message_chars_max: usize,
    pub(crate) sockets_per_visitor: u32,
    pub(crate) sockets_per_address: u32,
    pub(crate) sockets_max: u32,
    pub(crate) voice_sockets_max: u32,
    pub(crate) request_timeout_s: u64,
    pub(crate) resident_entities_max: usize,
    pub(crate) index_cache_mb: usize,
    pub(crate) model_calls_max: usize,
    pub(crate) crawls_max: usize,
}
