//! A simulated carrier: speaks Twilio's REST interface, its signed callbacks and its ConversationRelay, and Retell's interface, webhooks and custom-LLM
//! socket, over real HTTP and sockets, and reaches nobody.
//!
//! Whoever is called is a persona that follows from a seed and the number: answers, is busy, does not pick up, is a machine, a fax, or no number at all.
//! Callbacks get lost, doubled and late, answers of the interface fail, all as often as is set. Everything it was asked and did is in its own log, so
//! that what a caller says it did can be checked against it.
//!
//! Reading order: [`Config`], [`persona`], `calls` (the life of a call), `relay` (what is said in it), `rest` (what may be asked), `retell` (the same on
//! Retell's side), `log`.

mod calls;
mod log;
pub mod persona;
mod relay;
mod rest;
mod retell;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use colloquy_telephony::twilio::form::Form;
use colloquy_telephony::twilio::signature::{self, Covered};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long a callback may take, as at Twilio.
const CALLBACK_WITHIN: Duration = Duration::from_secs(15);

/// What it is to be.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens; port 0 for any.
    pub listen: SocketAddr,
    /// The only account.
    pub account: String,
    /// Its auth token: requests carry it, callbacks are signed with it.
    pub token: String,
    /// The API key of the same account on Retell's side: requests carry it, webhooks are signed with it.
    pub retell_key: String,
    /// The account's numbers, on both sides.
    pub numbers: Vec<String>,
    /// What personas follow from.
    pub seed: u64,
    /// How many times faster than life rings and talks pass.
    pub speed: f64,
    /// Calls created per second; more are refused with 429.
    pub calls_per_second: u32,
    /// Calls at once; more are refused with 429.
    pub concurrent: usize,
    /// What goes wrong.
    pub troubles: Troubles,
    /// Where its log is written, JSON lines.
    pub log: Option<PathBuf>,
}

/// What goes wrong, of a hundred times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Troubles {
    /// Callbacks that never come.
    pub lost: u32,
    /// Callbacks that come twice.
    pub doubled: u32,
    /// Callbacks that come seconds late, behind later ones.
    pub late: u32,
    /// Creations that are answered 500, half of them although the call was taken.
    pub faults: u32,
    /// Questions over Retell's socket behind which the connection is lost.
    pub dropped: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8099)),
            account: "AC00000000000000000000000000005151".to_owned(),
            token: "simulated-auth-token".to_owned(),
            retell_key: "simulated-retell-api-key".to_owned(),
            numbers: vec!["+14155550100".to_owned()],
            seed: 1,
            speed: 1.0,
            calls_per_second: 100,
            concurrent: 10_000,
            troubles: Troubles::default(),
            log: None,
        }
    }
}

/// A carrier that runs until it is dropped.
pub struct Carrier {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Carrier {
    /// Starts it.
    ///
    /// # Errors
    /// When the address is taken or the log cannot be written.
    pub async fn start(config: Config) -> Result<Self, String> {
        let listener = TcpListener::bind(config.listen).await.map_err(|error| format!("{}: {error}", config.listen))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let log = log::Log::open(config.log.as_deref()).map_err(|error| format!("the log: {error}"))?;
        // The first provider that is installed stays for the whole process; if there is one already, it does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(CALLBACK_WITHIN).build().map_err(|error| error.to_string())?;
        let world = Arc::new(World {
            config,
            log,
            http,
            calls: Mutex::default(),
            messages: Mutex::default(),
            retell: Mutex::default(),
            bought: Mutex::default(),
        });
        let router = rest::router(world.clone()).merge(retell::router(world));
        let serving = tokio::spawn(async move {
            // It ends with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, serving })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Runs until the process ends.
    pub async fn run(mut self) {
        let _ = (&mut self.serving).await;
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What all requests and calls share.
struct World {
    config: Config,
    log: log::Log,
    http: reqwest::Client,
    calls: Mutex<calls::Calls>,
    messages: Mutex<Vec<rest::Message>>,
    retell: Mutex<retell::State>,
    /// Numbers that were bought, as the interface describes them.
    bought: Mutex<BTreeMap<String, serde_json::Value>>,
}

impl World {
    /// Posts a signed form to a callback address. Whether it was taken.
    async fn post(&self, url: &str, fields: &[(&str, &str)]) -> Option<u16> {
        Some(self.signed(url, fields).await?.status().as_u16())
    }

    async fn signed(&self, url: &str, fields: &[(&str, &str)]) -> Option<reqwest::Response> {
        let form = Form::of(fields);
        let signed = signature::sign(&self.config.token.clone().into(), url, Covered::Form(&form));
        let sent = self
            .http
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header(signature::HEADER, signed)
            .body(form.to_body())
            .send()
            .await;
        sent.ok()
    }

    /// Asks for instructions: where it was told to, and where the call says to ask when nobody answers there.
    async fn instructions(&self, url: &str, fallback: Option<&str>, fields: &[(&str, &str)]) -> Option<(u16, String)> {
        let given = self.ask(url, fields).await;
        match (&given, fallback) {
            (Some((200..=299, _)), _) | (_, None) => given,
            (failed, Some(fallback)) => {
                self.log.line(
                    serde_json::json!({ "event": "fallback", "failed": failed.as_ref().map(|(status, _)| *status) }),
                );
                self.ask(fallback, fields).await
            }
        }
    }

    /// The same, with what was answered.
    async fn ask(&self, url: &str, fields: &[(&str, &str)]) -> Option<(u16, String)> {
        let answer = self.signed(url, fields).await?;
        let status = answer.status().as_u16();
        Some((status, answer.text().await.unwrap_or_default()))
    }

    /// A stretch of life at the speed of this simulation.
    fn stretch(&self, ms: u64) -> Duration {
        Duration::from_secs_f64(ms as f64 / 1000.0 / self.config.speed.max(0.001))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The wall clock, Unix milliseconds.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
