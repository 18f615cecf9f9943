//! Counts that all nodes share, so that a client cannot multiply its allowance by the number of frontends.
//!
//! A spend is told, not asked: the node's own limit has let it pass already, and only a refusal comes back. So no request waits for Redis, and without
//! Redis each node's own limit holds. What passes too much is what arrives within one round trip.

use fred::clients::Client;
use fred::interfaces::{ClientLike as _, LuaInterface as _};
use fred::types::Value;
use futures::future::join_all;
use tokio::sync::mpsc;

use crate::telemetry;

/// Spends waiting to be told; more than that and Redis is slow or away: they are dropped, and the node's own limits hold.
const WAITING_MAX: usize = 4_096;
/// Spends told at once.
const BATCH: usize = 128;

/// The generic cell rate algorithm on the server's own clock: a key holds when its allowance will be full again.
/// Returns how many milliseconds too early the action came; 0 when it is allowed.
const SPEND: &str = "
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local burst = tonumber(ARGV[1])
local step = tonumber(ARGV[2]) * 1000 / burst
local full = tonumber(redis.call('GET', KEYS[1]) or now)
if full < now then full = now end
local early = full + step - burst * step - now
if early > 0 then return math.ceil(early / 1000) end
full = full + step
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1000)
return 0
";

/// What is done when an action was one too many in the whole cluster: gets how many milliseconds the client has to wait.
pub type Verdict = Box<dyn FnOnce(u64) + Send>;

struct Spend {
    key: String,
    burst: u32,
    within_ms: u64,
    refused: Verdict,
}

/// The counts. Cheap to clone.
#[derive(Clone)]
pub struct SharedCounts {
    prefix: String,
    spends: mpsc::Sender<Spend>,
}

impl SharedCounts {
    pub(super) fn start(client: Client, cluster: &str) -> Self {
        let (spends, told) = mpsc::channel(WAITING_MAX);
        tokio::spawn(run(client, told));
        Self { prefix: format!("colloquy/{cluster}/limit/"), spends }
    }

    /// Tells of one action under a limit of `burst` actions within so many milliseconds; `refused` is called if it was one too many. `key` names limit
    /// and client; it is stored for little longer than that time, and should be a keyed hash where it would be personal.
    pub fn spend(&self, key: &str, burst: u32, within_ms: u64, refused: Verdict) {
        let (burst, within_ms) = (burst.max(1), within_ms.max(1));
        let spend = Spend { key: format!("{}{key}", self.prefix), burst, within_ms, refused };
        if self.spends.try_send(spend).is_err() {
            metrics::counter!(telemetry::SHARED_SPENDS, "outcome" => "dropped").increment(1);
        }
    }
}

async fn run(client: Client, mut told: mpsc::Receiver<Spend>) {
    // The script's name on the server; unknown before it is loaded, and after a restart of the server.
    let mut script: Option<String> = None;
    let mut batch = Vec::with_capacity(BATCH);
    while told.recv_many(&mut batch, BATCH).await > 0 {
        if script.is_none() && client.is_connected() {
            script = client.script_load(SPEND).await.ok();
        }
        let Some(name) = script.clone().filter(|_| client.is_connected()) else {
            metrics::counter!(telemetry::SHARED_SPENDS, "outcome" => "dropped").increment(batch.len() as u64);
            batch.clear();
            continue;
        };
        // Written to the connection one behind the other, without waiting in between.
        let answers = join_all(batch.iter().map(|spend| {
            let limit = vec![spend.burst.to_string(), spend.within_ms.to_string()];
            client.evalsha::<Value, _, _, _>(name.as_str(), spend.key.as_str(), limit)
        }))
        .await;
        for (spend, answer) in batch.drain(..).zip(answers) {
            let outcome = match answer {
                Ok(Value::Integer(0)) => "allowed",
                Ok(Value::Integer(early_ms)) => {
                    (spend.refused)(u64::try_from(early_ms).unwrap_or(0));
                    "refused"
                }
                Ok(_) | Err(_) => {
                    script = None;
                    "failed"
                }
            };
            metrics::counter!(telemetry::SHARED_SPENDS, "outcome" => outcome).increment(1);
        }
    }
}
