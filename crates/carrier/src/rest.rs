//! What may be asked of the carrier: Twilio's interface for accounts, numbers, calls and messages, for one account.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use colloquy_telephony::twilio::form::Form;
use colloquy_telephony::twilio::rest::Twilio;
use serde_json::{Value, json};

use crate::calls::{self, Wishes, is_over};
use crate::persona::Chance;
use crate::{World, lock, now_ms};

/// Twilio's number for "no such number".
const NO_SUCH_NUMBER: u32 = 21_211;
/// And for "this number is not yours".
const NOT_YOURS: u32 = 21_210;
/// And for "the call is not in a state for this".
const NOT_NOW: u32 = 21_220;

/// And for "no words and no media".
const NOTHING_TO_SAY: u32 = 21_619;
/// And for "more than ten media".
const TOO_MANY_MEDIA: u32 = 21_623;
/// And for media that cannot be fetched, are of no kind that passes, or are too large.
const NOT_FETCHED: u32 = 11_200;
const WRONG_KIND: u32 = 12_300;
const TOO_LARGE: u32 = 30_019;
/// Media of one message.
const MEDIA_MAX: usize = 10;
/// Bytes of one of them.
const MEDIA_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Kinds of media that pass.
const TAKEN: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "application/pdf"];

/// Where numbers are sold if nothing is said.
const DEFAULT_AREA: i64 = 415;

/// A text message.
pub(crate) struct Message {
    sid: String,
    to: String,
    from: String,
    body: String,
    /// How many media it has.
    media: usize,
}

/// All of it.
pub(crate) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/2010-04-01/Accounts/{account}", get(account))
        .route("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json", get(numbers).post(buy))
        .route("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers/{file}", delete(give_back))
        .route("/2010-04-01/Accounts/{account}/AvailablePhoneNumbers/{country}/Local.json", get(for_sale))
        .route("/2010-04-01/Accounts/{account}/Calls.json", get(list).post(create))
        .route("/2010-04-01/Accounts/{account}/Calls/{call}", get(show).post(modify))
        .route("/2010-04-01/Accounts/{account}/Messages.json", post(send).get(messages))
        .layer(middleware::from_fn_with_state(world.clone(), known))
        .with_state(world)
}

/// Lets in who knows the account and its token.
async fn known(State(world): State<Arc<World>>, headers: HeaderMap, request: Request, next: Next) -> Response {
    let wanted = Twilio::new(&world.config.account, &world.config.token.clone().into()).account();
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if wanted.headers.iter().any(|(name, value)| *name == "authorization" && given == Some(value)) {
        next.run(request).await
    } else {
        problem(401, 20_003, "Authenticate")
    }
}

async fn account(State(world): State<Arc<World>>) -> Response {
    answer(
        200,
        &json!({ "sid": world.config.account, "friendly_name": "simulated: reaches nobody", "status": "active" }),
    )
}

async fn numbers(State(world): State<Arc<World>>) -> Response {
    let numbers: Vec<Value> = world
        .config
        .numbers
        .iter()
        .enumerate()
        .map(|(n, number)| json!({ "sid": format!("PN{n:032}"), "phone_number": number }))
        .chain(lock(&world.bought).values().cloned())
        .collect();
    answer(200, &json!({ "incoming_phone_numbers": numbers }))
}

/// Numbers that anybody may buy here: they are nobody's, and reach nobody.
async fn for_sale(
    State(world): State<Arc<World>>,
    Path((_, country)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = Form::read(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let area = query.number("AreaCode").unwrap_or(DEFAULT_AREA);
    if country != "US" || !(200..=999).contains(&area) {
        return answer(200, &json!({ "available_phone_numbers": [] }));
    }
    let sold = lock(&world.bought);
    let offered = (100..200).map(|n| format!("+1{area}5550{n}"));
    let free = offered.filter(|number| !sold.contains_key(number) && !world.config.numbers.contains(number));
    let numbers: Vec<Value> = free.take(5).map(|number| json!({ "phone_number": number })).collect();
    answer(200, &json!({ "available_phone_numbers": numbers }))
}

async fn buy(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let Ok(form) = Form::read(&body) else { return problem(400, 20_001, "not a form") };
    let number = form.get("PhoneNumber").unwrap_or_default().to_owned();
    let mut sold = lock(&world.bought);
    if !number.starts_with("+1") || sold.contains_key(&number) || world.config.numbers.contains(&number) {
        return problem(400, NO_SUCH_NUMBER, "that number is not for sale");
    }
    let sid = format!("PN{}", &blake3::hash(number.as_bytes()).to_hex()[..32]);
    let url = form.get("VoiceUrl").unwrap_or_default().to_owned();
    world.log.line(json!({ "event": "bought", "number": number, "sid": sid, "voice_url": url, "fallback": form.get("VoiceFallbackUrl") }));
    let shown = json!({ "sid": sid, "phone_number": number, "voice_url": url });
    sold.insert(number, shown.clone());
    answer(201, &shown)
}

async fn give_back(State(world): State<Arc<World>>, Path((_, file)): Path<(String, String)>) -> Response {
    let sid = file.trim_end_matches(".json");
    let mut sold = lock(&world.bought);
    let before = sold.len();
    sold.retain(|_, number| number["sid"] != sid);
    world.log.line(json!({ "event": "given_back", "sid": sid }));
    if sold.len() < before { StatusCode::NO_CONTENT.into_response() } else { problem(404, 20_404, "no such number") }
}

async fn create(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let Ok(form) = Form::read(&body) else { return problem(400, 20_001, "not a form") };
    let text = |name: &str| form.get(name).unwrap_or_default().to_owned();
    let (to, from) = (text("To"), text("From"));
    let events = form.fields().iter().filter(|(name, _)| name == "StatusCallbackEvent").map(|(_, event)| event.clone());
    let wishes = Wishes {
        url: form.get("Url").map(str::to_owned),
        fallback: form.get("FallbackUrl").map(str::to_owned),
        status_callback: form.get("StatusCallback").map(str::to_owned),
        events: events.collect(),
        amd_callback: form.get("AsyncAmdStatusCallback").map(str::to_owned),
        timeout_s: form.number("Timeout").and_then(|seconds| u64::try_from(seconds).ok()),
        limit_s: form.number("TimeLimit").and_then(|seconds| u64::try_from(seconds).ok()),
    };
    let address = wishes.status_callback.clone().unwrap_or_default();
    let dial = address.split_once("?d=").map(|(_, dial)| dial.to_owned());
    let log = |status: u16, sid: Option<&str>| {
        world
            .log
            .line(json!({ "event": "create", "to": to, "from": from, "dial": dial, "status": status, "sid": sid }));
    };
    if !world.config.numbers.contains(&from) && !lock(&world.bought).contains_key(&from) {
        log(400, None);
        return problem(400, NOT_YOURS, "'From' is not a number of this account");
    }
    if !to.starts_with('+') {
        log(400, None);
        return problem(400, NO_SUCH_NUMBER, "'To' is not a number");
    }
    let mut chance = Chance::new(world.config.seed, &["create", &to, &now_ms().to_string()]);
    let fault = chance.happens(world.config.troubles.faults);
    let taken = !fault || chance.happens(50);
    if !taken {
        log(500, None);
        return problem(500, 20_500, "internal error");
    }
    let call = lock(&world.calls).take(&world, &to, &from, wishes);
    let Ok(call) = call else {
        log(429, None);
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]).into_response();
    };
    log(if fault { 500 } else { 201 }, Some(&call.sid));
    let shown = call.shown();
    tokio::spawn(calls::live(world.clone(), call));
    if fault { problem(500, 20_500, "internal error") } else { answer(201, &shown) }
}

async fn list(State(world): State<Arc<World>>, RawQuery(query): RawQuery) -> Response {
    let query = Form::read(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let (to, from) = (query.get("To"), query.get("From"));
    let size = query.number("PageSize").and_then(|size| usize::try_from(size).ok()).unwrap_or(50);
    let calls = lock(&world.calls);
    let fits = |call: &&calls::Call| to.is_none_or(|to| call.to == to) && from.is_none_or(|from| call.from == from);
    let mut found: Vec<&calls::Call> = calls.by_sid.values().filter(fits).collect();
    found.sort_by_key(|call| std::cmp::Reverse(call.created_ms()));
    let page: Vec<Value> = found.into_iter().take(size).map(calls::Call::shown).collect();
    answer(200, &json!({ "calls": page }))
}

async fn show(State(world): State<Arc<World>>, Path((_, file)): Path<(String, String)>) -> Response {
    let sid = file.trim_end_matches(".json");
    let calls = lock(&world.calls);
    calls.by_sid.get(sid).map_or_else(|| problem(404, 20_404, "no such call"), |call| answer(200, &call.shown()))
}

async fn modify(State(world): State<Arc<World>>, Path((_, file)): Path<(String, String)>, body: Bytes) -> Response {
    let sid = file.trim_end_matches(".json");
    let form = Form::read(&body).unwrap_or_default();
    let status = form.get("Status").unwrap_or_default();
    let mut calls = lock(&world.calls);
    let Some(call) = calls.by_sid.get(sid).cloned() else { return problem(404, 20_404, "no such call") };
    let answered = call.status == "in-progress";
    let may = match status {
        "canceled" => !answered && !is_over(call.status),
        "completed" => !is_over(call.status),
        // Another document: a message for a machine, which then ends the call.
        _ => answered && (form.get("Twiml").is_some() || form.get("Url").is_some()),
    };
    world.log.line(
        json!({ "event": "modify", "sid": sid, "status": status, "twiml": form.get("Twiml").is_some(), "done": may }),
    );
    if !may {
        return problem(400, NOT_NOW, "the call is not in a state for this");
    }
    calls.end(sid);
    answer(200, &call.shown())
}

async fn send(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let Ok(form) = Form::read(&body) else { return problem(400, 20_001, "not a form") };
    let text = |name: &str| form.get(name).unwrap_or_default().to_owned();
    let media: Vec<String> =
        form.fields().iter().filter(|(name, _)| name == "MediaUrl").map(|(_, url)| url.clone()).collect();
    if media.len() > MEDIA_MAX {
        return problem(400, TOO_MANY_MEDIA, "too many media");
    }
    if text("Body").is_empty() && media.is_empty() {
        return problem(400, NOTHING_TO_SAY, "a text message body or media urls must be specified");
    }
    let mut messages = lock(&world.messages);
    let digest = blake3::hash(format!("{}/{}", now_ms(), messages.len()).as_bytes()).to_hex();
    let kind = if media.is_empty() { "SM" } else { "MM" };
    let sid = format!("{kind}{}", &digest[..32]);
    let message =
        Message { sid: sid.clone(), to: text("To"), from: text("From"), body: text("Body"), media: media.len() };
    world
        .log
        .line(json!({ "event": "message", "sid": sid, "to": message.to, "from": message.from, "media": media.len() }));
    let (to, from, callback) =
        (message.to.clone(), message.from.clone(), form.get("StatusCallback").map(str::to_owned));
    messages.push(message);
    tokio::spawn(deliver(world.clone(), sid.clone(), to, from, media, callback));
    answer(201, &json!({ "sid": sid, "status": "queued" }))
}

/// Fetches what is attached, as anybody could, and tells what became of the message.
async fn deliver(
    world: Arc<World>,
    sid: String,
    to: String,
    from: String,
    media: Vec<String>,
    callback: Option<String>,
) {
    let mut problem = None;
    for url in media {
        if let Err(code) = fetch(&world, &sid, &url).await {
            problem = Some(code.to_string());
        }
    }
    let Some(url) = callback else { return };
    let statuses: &[&str] = if problem.is_some() { &["failed"] } else { &["sent", "delivered"] };
    for status in statuses {
        let mut fields = vec![
            ("MessageSid", sid.as_str()),
            ("MessageStatus", *status),
            ("AccountSid", world.config.account.as_str()),
            ("From", from.as_str()),
            ("To", to.as_str()),
        ];
        fields.extend(problem.as_deref().map(|code| ("ErrorCode", code)));
        world.post(&url, &fields).await;
    }
}

/// Fetches one medium; Twilio's number for why not.
async fn fetch(world: &World, sid: &str, url: &str) -> Result<(), u32> {
    let got = match world.http.get(url).send().await {
        Ok(answer) => {
            let (status, kind) = (answer.status().as_u16(), answer.headers().get(header::CONTENT_TYPE).cloned());
            let kind = kind.and_then(|kind| kind.to_str().ok().map(str::to_owned)).unwrap_or_default();
            answer.bytes().await.ok().map(|bytes| (status, kind, bytes))
        }
        Err(_) => None,
    };
    let outcome = match &got {
        Some((200, kind, _)) if !TAKEN.contains(&kind.as_str()) => Err(WRONG_KIND),
        Some((200, _, bytes)) if bytes.len() > MEDIA_BYTES_MAX => Err(TOO_LARGE),
        Some((200, ..)) => Ok(()),
        Some(_) | None => Err(NOT_FETCHED),
    };
    world.log.line(json!({
        "event": "media",
        "message": sid,
        "url": url,
        "status": got.as_ref().map(|(status, ..)| *status),
        "content_type": got.as_ref().map(|(_, kind, _)| kind),
        "bytes": got.as_ref().map(|(.., bytes)| bytes.len()),
        "hash": got.as_ref().map(|(.., bytes)| blake3::hash(bytes).to_hex().to_string()),
        "error": outcome.err(),
    }));
    outcome
}

async fn messages(State(world): State<Arc<World>>, RawQuery(query): RawQuery) -> Response {
    let query = Form::read(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let to = query.get("To");
    let found: Vec<Value> = lock(&world.messages)
        .iter()
        .rev()
        .filter(|message| to.is_none_or(|to| message.to == to))
        .map(|message| json!({ "sid": message.sid, "to": message.to, "from": message.from, "body": message.body, "num_media": message.media.to_string(), "status": "delivered" }))
        .collect();
    answer(200, &json!({ "messages": found }))
}

fn answer(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn problem(status: u16, code: u32, message: &str) -> Response {
    answer(status, &json!({ "status": status, "code": code, "message": message }))
}
