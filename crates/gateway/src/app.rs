//! What every handler may use.

use std::sync::{Arc, OnceLock};

use colloquy_actors::Actors;
use colloquy_actors::connectors::mailbox::Mailbox;
use colloquy_actors::domain::ids::AgentId;
use tokio::sync::Semaphore;

use crate::limits::{AddressLimit, RateLimit};
use crate::proxies::Proxies;
use crate::sockets::{self, Sockets};
use crate::tokens::Tokens;

/// Password hashes at the same time: each takes 19 MiB and a core for some milliseconds.
const HASHES_MAX: usize = 2;

/// Settings of the gateway, filled from the operator's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What whoever started this program types to call it again.
    pub program: String,
    /// Where browsers reach the console; links in mails.
    pub public_url: String,
    /// Where embed codes point.
    pub widget_url: String,
    /// Where API calls go.
    pub api_url: String,
    /// Whether cookies are marked `Secure`: when `public_url` is https.
    pub secure_cookies: bool,
    /// Whether sign-up closes with the first organization.
    pub single_tenant: bool,
    /// The slug of that organization.
    pub default_slug: String,
    /// Whether mail is only recorded, and reaches nobody.
    pub mail_recorded: bool,
    /// Addresses that become platform administrators.
    pub admin_emails: Vec<String>,
    /// The plan of new organizations.
    pub plan: colloquy_actors::domain::tenant::plan::Plan,
    /// The secret of the manual triggers; empty: off.
    pub cron_secret: String,
    /// The model server; none while the built-in responder answers.
    pub models: Option<ModelServer>,
    /// Proxies whose word on a client's address is taken.
    pub proxies: Proxies,
    /// Largest JSON body, bytes.
    pub body_bytes_max: usize,
    /// Largest upload, bytes.
    pub upload_bytes_max: usize,
    /// Longest message, characters.
    pub message_chars_max: usize,
    /// Seconds a request may take.
    pub request_timeout_s: u64,
    /// Sockets from one visitor.
    pub sockets_per_visitor: u32,
    /// Sockets from one address.
    pub sockets_per_address: u32,
    /// Sockets of this node.
    pub sockets_max: u32,
    /// Sockets of calls on this node; one has sound to send every 20 ms and a conversation to speak for.
    pub voice_sockets_max: u32,
    /// Whether the landing page shows a live agent.
    pub demo: bool,
    /// Who runs this installation, for the legal pages.
    pub operator: String,
    /// How to reach them.
    pub contact: String,
}

/// The model server that the operator configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelServer {
    /// Where it is, up to and including `/v1`.
    pub base_url: String,
    /// The catalog id of the default model.
    pub default: String,
    /// The catalog id of the model asked when the first fails; empty for none.
    pub fallback: String,
}

/// The limits that hold for callers.
pub struct Limits {
    /// Chat, by visitor.
    pub chat_visitor: RateLimit,
    /// Chat, by address.
    pub chat_address: AddressLimit,
    /// Chat with the demonstration, by address.
    pub demo_address: AddressLimit,
    /// Sign-in, by address.
    pub login_address: AddressLimit,
    /// Sign-in, by e-mail address and client.
    pub login_email: RateLimit,
    /// Mails with links, by e-mail address.
    pub mail_email: RateLimit,
    /// Invitations by mail, by recipient, whoever invites.
    pub invited: RateLimit,
    /// Invitations by mail, by organization and by whether who invites has a proven address.
    pub invites: [RateLimit; 2],
    /// Console and programs, by principal.
    pub api: RateLimit,
    /// Entries in the audit log about what is refused before anybody looks at it, by who and what.
    pub refused: RateLimit,
}

/// Shared by all handlers.
pub struct AppState {
    /// Settings.
    pub settings: Settings,
    /// The actors.
    pub actors: Actors,
    /// Tokens.
    pub tokens: Tokens,
    /// Limits.
    pub limits: Limits,
    /// Open sockets.
    pub sockets: Sockets,
    /// The development mailbox, while the public listener is loopback.
    pub mailbox: Option<Arc<Mailbox>>,
    /// Bounds password hashing.
    pub hashes: Semaphore,
    /// The agent of the landing page, once it is there.
    pub demo: OnceLock<AgentId>,
}

/// How handlers hold it.
pub type App = Arc<AppState>;

impl AppState {
    /// Puts the parts together.
    pub fn new(
        settings: Settings,
        actors: Actors,
        tokens: Tokens,
        limits: Limits,
        mailbox: Option<Arc<Mailbox>>,
    ) -> App {
        let sockets = Sockets::new(sockets::Limits {
            all: settings.sockets_max,
            per_address: settings.sockets_per_address,
            per_visitor: settings.sockets_per_visitor,
            voice: settings.voice_sockets_max,
        });
        Arc::new(Self {
            settings,
            actors,
            tokens,
            limits,
            sockets,
            mailbox,
            hashes: Semaphore::new(HASHES_MAX),
            demo: OnceLock::new(),
        })
    }

    /// The wall clock, Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.actors.client.now_ms()
    }
}
