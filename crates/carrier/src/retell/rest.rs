//! What may be asked of it: Retell's interface for agents, numbers and calls, for one account.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};
use colloquy_telephony::audio::wav;
use serde_json::{Map, Value, json};

use super::{Call, Full, Wish, life};
use crate::persona::Chance;
use crate::{World, lock, now_ms};

/// Where our own name of a dial stands in what is given along with a call.
const DIAL: &str = "colloquy_dial";
/// Samples of a telephone in a millisecond, how high the tone of a recording is, and the longest one, ms.
const SAMPLES_PER_MS: usize = 8;
const TONE_HZ: f64 = 440.0;
const SOUND_MS_MAX: usize = 3_600_000;
/// How many calls or agents a page of a list brings at most.
const PAGE_MAX: u64 = 1000;

/// All of it.
pub(crate) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/create-agent", post(make_agent))
        .route("/get-agent/{id}", get(agent))
        .route("/update-agent/{id}", patch(change_agent))
        .route("/delete-agent/{id}", delete(delete_agent))
        .route("/v2/list-agents", post(agents))
        .route("/v2/list-phone-numbers", get(numbers))
        .route("/get-phone-number/{number}", get(number))
        .route("/update-phone-number/{number}", patch(bind))
        .route("/v2/create-phone-call", post(create))
        .route("/v2/get-call/{id}", get(show))
        .route("/v3/list-calls", post(list))
        .route("/v2/stop-call/{id}", post(stop))
        .route("/v2/delete-call/{id}", delete(forget))
        .route("/get-concurrency", get(concurrency))
        .layer(middleware::from_fn_with_state(world.clone(), known))
        // Whoever was told the address may hear it, as at Retell.
        .route("/recordings/{file}", get(sound))
        .with_state(world)
}

/// Lets in who has the account's key.
async fn known(State(world): State<Arc<World>>, headers: HeaderMap, request: Request, next: Next) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if given.and_then(|given| given.strip_prefix("Bearer ")) == Some(world.config.retell_key.as_str()) {
        next.run(request).await
    } else {
        problem(401, "Invalid API Key")
    }
}

async fn make_agent(State(world): State<Arc<World>>, Json(mut body): Json<Map<String, Value>>) -> Response {
    let engine = body.get("response_engine").map(|engine| engine["llm_websocket_url"].is_string());
    if engine != Some(true) || !body.get("voice_id").is_some_and(Value::is_string) {
        return problem(422, "response_engine with llm_websocket_url and voice_id are required");
    }
    let mut state = lock(&world.retell);
    let id = state.fresh(&world, "agent");
    body.insert("agent_id".to_owned(), id.clone().into());
    state.agents.insert(id.clone(), body.clone());
    world.log.line(json!({ "event": "agent", "did": "created", "agent": id }));
    answer(201, &body.into())
}

async fn agent(State(world): State<Arc<World>>, Path(id): Path<String>) -> Response {
    let state = lock(&world.retell);
    state.agents.get(&id).map_or_else(missing, |agent| answer(200, &agent.clone().into()))
}

async fn change_agent(
    State(world): State<Arc<World>>,
    Path(id): Path<String>,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let mut state = lock(&world.retell);
    let Some(agent) = state.agents.get_mut(&id) else { return missing() };
    agent.extend(body);
    world.log.line(json!({ "event": "agent", "did": "changed", "agent": id }));
    answer(200, &agent.clone().into())
}

async fn delete_agent(State(world): State<Arc<World>>, Path(id): Path<String>) -> Response {
    if lock(&world.retell).agents.remove(&id).is_none() {
        return missing();
    }
    world.log.line(json!({ "event": "agent", "did": "deleted", "agent": id }));
    StatusCode::NO_CONTENT.into_response()
}

async fn agents(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let query = body["filter_criteria"]["query"].as_str().unwrap_or_default().to_lowercase();
    let state = lock(&world.retell);
    let fits = |agent: &&Map<String, Value>| {
        let name = agent.get("agent_name").and_then(Value::as_str).unwrap_or_default();
        name.to_lowercase().contains(&query)
    };
    // Names only, as Retell's own list has it.
    let items = state.agents.values().filter(fits).map(|agent| {
        json!({ "agent_id": agent.get("agent_id"), "agent_name": agent.get("agent_name"), "channel": "voice", "tags": {} })
    });
    answer(200, &json!({ "items": items.collect::<Vec<_>>(), "has_more": false }))
}

/// A number as the interface describes it.
fn shown(world: &World, number: &str) -> Option<Value> {
    if !world.config.numbers.iter().any(|own| own == number) {
        return None;
    }
    let bound = lock(&world.retell).numbers.get(number).cloned().unwrap_or_default();
    let list = |name: &str| bound.get(name).cloned().unwrap_or_else(|| json!([]));
    Some(json!({
        "phone_number": number, "phone_number_type": "retell-twilio", "nickname": "simulated: reaches nobody",
        "inbound_agents": list("inbound_agents"), "outbound_agents": list("outbound_agents"),
    }))
}

async fn numbers(State(world): State<Arc<World>>) -> Response {
    let items: Vec<Value> = world.config.numbers.iter().filter_map(|number| shown(&world, number)).collect();
    answer(200, &json!({ "items": items, "has_more": false }))
}

async fn number(State(world): State<Arc<World>>, Path(number): Path<String>) -> Response {
    shown(&world, &number).map_or_else(missing, |shown| answer(200, &shown))
}

async fn bind(
    State(world): State<Arc<World>>,
    Path(number): Path<String>,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    if shown(&world, &number).is_none() {
        return missing();
    }
    let named = ["inbound_agents", "outbound_agents"].into_iter().filter_map(|name| body.get(name)?.as_array());
    let wanted: Vec<&str> = named.flatten().filter_map(|bound| bound["agent_id"].as_str()).collect();
    {
        let mut state = lock(&world.retell);
        if let Some(unknown) = wanted.iter().find(|id| !state.agents.contains_key(**id)) {
            return problem(422, &format!("agent {unknown} does not exist"));
        }
        state.numbers.entry(number.clone()).or_default().extend(body.clone());
    }
    world.log.line(json!({ "event": "number", "number": number, "bound": body }));
    shown(&world, &number).map_or_else(missing, |shown| answer(200, &shown))
}

async fn create(State(world): State<Arc<World>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (to, from) = (text("to_number"), text("from_number"));
    let dial = body["metadata"][DIAL].as_str().map(str::to_owned);
    let log = |status: u16, id: Option<&str>| {
        world.log.line(json!({ "event": "create", "to": to, "from": from, "dial": dial, "status": status, "sid": id }));
    };
    let refused = |status: u16, why: &str| {
        log(status, None);
        problem(status, why)
    };
    let Some(number) = shown(&world, &from) else { return refused(404, "from_number is not a number of this account") };
    if !to.starts_with('+') {
        return refused(422, "to_number is not a number");
    }
    let bound = number["outbound_agents"][0]["agent_id"].as_str().map(str::to_owned);
    let Some(agent_id) = body["override_agent_id"].as_str().map(str::to_owned).or(bound) else {
        return refused(422, "no agent is bound to from_number");
    };
    let Some(mut agent) = lock(&world.retell).agents.get(&agent_id).cloned() else {
        return refused(404, "the agent does not exist");
    };
    agent.extend(body["agent_override"]["agent"].as_object().cloned().unwrap_or_default());
    let mut chance = Chance::new(world.config.seed, &["create", &to, &now_ms().to_string()]);
    let fault = chance.happens(world.config.troubles.faults);
    if fault && !chance.happens(50) {
        return refused(500, "internal error");
    }
    let (metadata, variables) = (body["metadata"].clone(), body["retell_llm_dynamic_variables"].clone());
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let base = format!("http://{host}");
    let wish = Wish { to: to.clone(), from: from.clone(), agent_id, agent, metadata, variables, base };
    let taken = lock(&world.retell).take(&world, wish);
    let call = match taken {
        Ok(call) => call,
        Err(Full::TooFast) => return refused(429, "concurrency or rate limit reached"),
    };
    log(if fault { 500 } else { 201 }, Some(&call.id));
    let shown = call.shown();
    tokio::spawn(life::live(world.clone(), call));
    // It was taken, and whoever asked does not hear of it.
    if fault { problem(500, "internal error") } else { answer(201, &shown) }
}

async fn show(State(world): State<Arc<World>>, Path(id): Path<String>) -> Response {
    world.log.line(json!({ "event": "asked", "sid": id }));
    lock(&world.retell).calls.get(&id).map_or_else(missing, |call| answer(200, &call.shown()))
}

/// A tone for every second that was spoken: nobody's voice.
async fn sound(State(world): State<Arc<World>>, Path(file): Path<String>) -> Response {
    let id = file.strip_suffix(".wav").unwrap_or_default();
    let spoke_ms = lock(&world.retell).calls.get(id).filter(|call| call.is_recorded()).and_then(|call| call.spoke_ms);
    let Some(spoke_ms) = spoke_ms else { return missing() };
    world.log.line(json!({ "event": "recording", "sid": id }));
    let samples = usize::try_from(spoke_ms).unwrap_or_default().min(SOUND_MS_MAX) * SAMPLES_PER_MS;
    let tone = |n: usize| {
        let second = n / (1000 * SAMPLES_PER_MS);
        let turn = std::f64::consts::TAU * TONE_HZ * n as f64 / (1000 * SAMPLES_PER_MS) as f64;
        if second.is_multiple_of(2) { (turn.sin() * 8_000.0) as i16 } else { 0 }
    };
    let samples: Vec<i16> = (0..samples).map(tone).collect();
    ([(header::CONTENT_TYPE, "audio/wav")], wav::write(&samples)).into_response()
}

async fn list(State(world): State<Arc<World>>, Json(body): Json<Value>) -> Response {
    let filters = body["filter_criteria"]["metadata"].as_array().cloned().unwrap_or_default();
    let limit = usize::try_from(body["limit"].as_u64().unwrap_or(50).min(PAGE_MAX)).unwrap_or(50);
    let fits = |call: &&Call| {
        filters.iter().all(|filter| call.metadata[filter["key"].as_str().unwrap_or_default()] == filter["value"])
    };
    let state = lock(&world.retell);
    let items: Vec<Value> = state.calls.values().filter(fits).take(limit).map(Call::shown).collect();
    answer(200, &json!({ "items": items, "has_more": false }))
}

async fn stop(State(world): State<Arc<World>>, Path(id): Path<String>) -> Response {
    let Some(call) = lock(&world.retell).calls.get(&id).cloned() else { return missing() };
    world.log.line(json!({ "event": "modify", "sid": id, "status": "stopped", "done": !call.is_over() }));
    if call.is_over() {
        return problem(422, "the call has ended");
    }
    call.end.send_replace(true);
    StatusCode::NO_CONTENT.into_response()
}

async fn forget(State(world): State<Arc<World>>, Path(id): Path<String>) -> Response {
    let mut state = lock(&world.retell);
    match state.calls.get(&id).map(Call::is_over) {
        None => missing(),
        Some(false) => problem(422, "the call goes on"),
        Some(true) => {
            state.calls.remove(&id);
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

async fn concurrency(State(world): State<Arc<World>>) -> Response {
    let now = lock(&world.retell).going_on;
    answer(200, &json!({ "current_concurrency": now, "concurrency_limit": world.config.concurrent }))
}

fn missing() -> Response {
    problem(404, "not found")
}

fn answer(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn problem(status: u16, message: &str) -> Response {
    answer(status, &json!({ "status": "error", "message": message }))
}
