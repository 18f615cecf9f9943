//! Retell's side of the simulation: agents, numbers and calls over its REST interface, signed webhooks, and the custom-LLM socket of whoever answers.
//!
//! Reading order: this file (what there is), `rest` (what may be asked), `life` (of a call, and what is told of it), `talk` (what is said in it).

mod life;
mod rest;
mod talk;

use std::collections::{BTreeMap, HashMap, VecDeque};

pub(crate) use rest::router;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::{World, now_ms};

/// The price of a minute that it tells, US cents.
const MINUTE_CENTS: f64 = 7.0;

/// All of it.
#[derive(Default)]
pub(crate) struct State {
    /// Agents by id, as they were written.
    agents: BTreeMap<String, Map<String, Value>>,
    /// What is bound to a number.
    numbers: BTreeMap<String, Map<String, Value>>,
    calls: BTreeMap<String, Call>,
    /// How often each number was called.
    called: HashMap<String, usize>,
    /// When the last calls were created, Unix milliseconds.
    recent: VecDeque<i64>,
    going_on: usize,
    /// Things made so far: names them.
    made: u64,
}

/// One call.
#[derive(Clone)]
struct Call {
    id: String,
    to: String,
    from: String,
    /// Its agent's settings, with what is otherwise in this call.
    agent_id: String,
    agent: Map<String, Value>,
    metadata: Value,
    variables: Value,
    /// Where this interface is, as whoever ordered the call reached it.
    base: String,
    status: &'static str,
    reason: Option<&'static str>,
    started_ms: Option<i64>,
    ended_ms: Option<i64>,
    /// How long the two spoke, ms of the life that is simulated.
    spoke_ms: Option<i64>,
    transcript: Vec<Value>,
    analysis: Option<Value>,
    nth: usize,
    end: watch::Sender<bool>,
}

impl Call {
    /// A setting of its agent, in this call.
    fn setting(&self, name: &str) -> &Value {
        self.agent.get(name).unwrap_or(&Value::Null)
    }

    fn is_over(&self) -> bool {
        matches!(self.status, "ended" | "not_connected" | "error")
    }

    /// Whether its sound is kept: unless its agent's settings say otherwise.
    fn is_recorded(&self) -> bool {
        let kept = self.setting("data_storage_setting").as_str().is_none_or(|kept| kept == "everything");
        kept && self.is_over() && self.spoke_ms.is_some_and(|ms| ms > 0)
    }

    /// As the interface describes it.
    fn shown(&self) -> Value {
        let mut shown = json!({
            "call_id": self.id, "call_type": "phone_call", "agent_id": self.agent_id, "agent_version": 0, "call_status": self.status,
            "direction": "outbound", "from_number": self.from, "to_number": self.to, "metadata": self.metadata,
            "retell_llm_dynamic_variables": self.variables, "opt_out_sensitive_data_storage": false, "simulated": true,
        });
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                shown[name] = value;
            }
        };
        put("start_timestamp", self.started_ms.map(Value::from));
        put("end_timestamp", self.ended_ms.map(Value::from));
        put("duration_ms", self.spoke_ms.map(Value::from));
        put("recording_url", self.is_recorded().then(|| format!("{}/recordings/{}.wav", self.base, self.id).into()));
        put("disconnection_reason", self.reason.map(Value::from));
        put("transcript_object", self.is_over().then(|| Value::from(self.transcript.clone())));
        let minutes = self.spoke_ms.map(|ms| (ms as f64 / 60_000.0).ceil());
        put(
            "call_cost",
            minutes.map(|minutes| json!({ "combined_cost": minutes * MINUTE_CENTS, "product_costs": [] })),
        );
        put("call_analysis", self.analysis.clone());
        shown
    }
}

/// Why a call is not taken.
enum Full {
    /// Too many at once or per second.
    TooFast,
}

/// What is asked for with a call.
struct Wish {
    to: String,
    from: String,
    agent_id: String,
    agent: Map<String, Value>,
    metadata: Value,
    variables: Value,
    base: String,
}

impl State {
    /// A name that nothing else has.
    fn fresh(&mut self, world: &World, kind: &str) -> String {
        self.made += 1;
        let digest =
            blake3::hash(format!("{}/{kind}/{}/{}", world.config.seed, self.made, now_ms()).as_bytes()).to_hex();
        format!("{kind}_{}", &digest[..28])
    }

    /// Takes a call, if there is room.
    fn take(&mut self, world: &World, wish: Wish) -> Result<Call, Full> {
        let now = now_ms();
        while self.recent.front().is_some_and(|at| *at <= now - 1_000) {
            self.recent.pop_front();
        }
        let fast = self.recent.len() >= usize::try_from(world.config.calls_per_second).unwrap_or(usize::MAX);
        if fast || self.going_on >= world.config.concurrent {
            return Err(Full::TooFast);
        }
        self.recent.push_back(now);
        self.going_on += 1;
        let nth = self.called.entry(wish.to.clone()).or_default();
        *nth += 1;
        let nth = *nth;
        let Wish { to, from, agent_id, agent, metadata, variables, base } = wish;
        let call = Call {
            id: self.fresh(world, "call"),
            to,
            from,
            agent_id,
            agent,
            metadata,
            variables,
            base,
            status: "registered",
            reason: None,
            started_ms: None,
            ended_ms: None,
            spoke_ms: None,
            transcript: Vec::new(),
            analysis: None,
            nth,
            end: watch::channel(false).0,
        };
        self.calls.insert(call.id.clone(), call.clone());
        Ok(call)
    }
}
