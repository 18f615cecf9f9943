//! A simulated carrier on loopback: speaks the REST sides of Twilio and Meta, writes down what it was asked to send, and signs webhooks as they do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use colloquy_actors::telephony::twilio::form::Form;
use colloquy_actors::telephony::twilio::signature::{self, Covered};
use colloquy_actors::telephony::whatsapp::verify;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::client::{Answer, Api};
use super::people::{Member, SOON, text};
use super::site::Site;
use super::{Server, eventually, random_id};

/// The account of the tests at Twilio.
pub(crate) const ACCOUNT: &str = "AC00000000000000000000000000000042";
/// Its auth token.
pub(crate) const TOKEN: &str = "auth-token-of-the-simulated-account";
/// WhatsApp's access token.
const ACCESS_TOKEN: &str = "access-token-of-the-simulated-account";
/// WhatsApp's app secret.
pub(crate) const APP_SECRET: &str = "app-secret-of-the-simulated-account";
/// Our number at Twilio.
pub(crate) const OURS: &str = "+14155550100";
/// Our number at WhatsApp, and Meta's id of it.
pub(crate) const OURS_WHATSAPP: (&str, &str) = ("+14155550101", "1060000000001");

/// What the carrier does with a message that it is to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Takes it.
    Kind,
    /// Takes it, and its answer is lost on the way.
    Forgetful,
    /// Takes it not, and does not answer clearly either.
    Vague,
    /// Asks for a pause.
    Busy,
    /// Knows that the person said STOP.
    OptedOut,
    /// Refuses it for good, and repeats the number in its words.
    Refusing,
    /// Takes it and answers nobody until it is let go.
    Holding,
}

/// A message that the carrier has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) to: String,
    pub(crate) from: String,
    pub(crate) text: String,
    /// Where receipts go, or what they carry.
    pub(crate) reference: String,
    /// Whether it is a template.
    pub(crate) template: bool,
    /// Addresses of what is attached.
    pub(crate) media: Vec<String>,
}

struct Inner {
    mood: Mutex<Mood>,
    sent: Mutex<Vec<Sent>>,
    asked: Mutex<usize>,
    go: Notify,
    site: Mutex<String>,
    /// Recordings that it has, by id.
    recordings: Mutex<BTreeMap<String, Vec<u8>>>,
    /// How often the bytes of a medium were fetched at Meta's side.
    fetched: Mutex<usize>,
}

/// The running carrier.
pub(crate) struct Carrier {
    inner: Arc<Inner>,
    site: Site,
}

impl Carrier {
    pub(crate) async fn start() -> Self {
        let inner = Arc::new(Inner {
            mood: Mutex::new(Mood::Kind),
            sent: Mutex::default(),
            asked: Mutex::default(),
            go: Notify::new(),
            site: Mutex::default(),
            recordings: Mutex::default(),
            fetched: Mutex::default(),
        });
        let router = Router::new()
            .route("/2010-04-01/Accounts/{account}", get(async || json_answer(200, &json!({ "sid": ACCOUNT }))))
            .route("/2010-04-01/Accounts/{sid}/IncomingPhoneNumbers.json", get(numbers))
            .route("/2010-04-01/Accounts/{sid}/Messages.json", get(list).post(create))
            .route("/2010-04-01/Accounts/{sid}/Messages/{message}/Media/{file}", get(medium))
            .route("/media/{file}", get(medium_bytes))
            .route("/2010-04-01/Accounts/{sid}/Recordings/{file}", get(recording).delete(recording_gone))
            .route("/v24.0/{id}", get(graph_object))
            .route("/graph-media/{file}", get(graph_bytes))
            .route("/v24.0/{number}/messages", post(graph))
            .with_state(inner.clone());
        let site = Site::router(router).await;
        *lock(&inner.site) = site.url("");
        Self { inner, site }
    }

    /// The settings of a server that uses it.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        ["TWILIO_URL", "WHATSAPP_URL", "SIMULATED_URL"]
            .into_iter()
            .map(|key| match key {
                "TWILIO_URL" => ("COLLOQUY_MESSAGES__TWILIO_URL", self.site.url("")),
                "WHATSAPP_URL" => ("COLLOQUY_MESSAGES__WHATSAPP_URL", self.site.url("")),
                _ => ("COLLOQUY_MESSAGES__SIMULATED_URL", self.site.url("")),
            })
            .collect()
    }

    pub(crate) async fn server(&self, more: &[(&str, &str)]) -> Server {
        let own = self.settings();
        let mut all: Vec<(&str, &str)> = own.iter().map(|(key, value)| (*key, value.as_str())).collect();
        all.extend(more);
        Server::start_with(&all).await
    }

    pub(crate) fn mood(&self, mood: Mood) {
        *lock(&self.inner.mood) = mood;
        self.inner.go.notify_waiters();
    }

    /// What it was asked to send to a number, oldest first.
    pub(crate) fn sent_to(&self, number: &str) -> Vec<Sent> {
        lock(&self.inner.sent).iter().filter(|sent| sent.to == number).cloned().collect()
    }

    /// Keeps the sound of a recording, until it is told to delete it, or the bytes of a medium.
    pub(crate) fn records(&self, id: &str, file: Vec<u8>) {
        lock(&self.inner.recordings).insert(id.to_owned(), file);
    }

    /// Whether it has a recording.
    pub(crate) fn has_recording(&self, id: &str) -> bool {
        lock(&self.inner.recordings).contains_key(id)
    }

    /// How often the bytes of a medium were fetched at Meta's side.
    pub(crate) fn fetched(&self) -> usize {
        *lock(&self.inner.fetched)
    }

    /// How often it was asked to send anything.
    pub(crate) fn asked(&self) -> usize {
        *lock(&self.inner.asked)
    }

    /// Waits until so many messages to a number are there.
    pub(crate) async fn has_sent(&self, number: &str, count: usize) -> Vec<Sent> {
        eventually(&format!("{count} messages to {number}"), SOON, || async {
            let sent = self.sent_to(number);
            (sent.len() >= count).then_some(sent)
        })
        .await
    }
}

/// Connects Twilio and registers our number for an agent.
pub(crate) async fn connect_twilio(owner: &Member, agent: &str) -> Value {
    let keys = json!({ "account_sid": ACCOUNT, "auth_token": TOKEN });
    owner.api.post("/api/integrations/twilio/connect", keys).await.expect(200);
    let number = json!({ "number": OURS, "provider": "twilio", "agent_id": agent });
    owner.api.post("/api/voice/numbers", number).await.expect(201)
}

/// Connects WhatsApp and registers our number for an agent.
pub(crate) async fn connect_whatsapp(owner: &Member, agent: &str, template: bool) -> Value {
    let keys = json!({ "access_token": ACCESS_TOKEN, "app_secret": APP_SECRET });
    let connected = owner.api.post("/api/integrations/whatsapp/connect", keys).await.expect(200);
    let mut number = json!({
        "number": OURS_WHATSAPP.0, "provider": "whatsapp", "agent_id": agent, "phone_number_id": OURS_WHATSAPP.1,
    });
    if template {
        number["whatsapp_template"] = json!({ "name": "we_are_here", "language": "en_US" });
    }
    owner.api.post("/api/voice/numbers", number).await.expect(201);
    connected
}

/// A text message from a number, signed as Twilio signs it.
pub(crate) async fn text_from(server: &Server, number: &str, words: &str) -> Answer {
    text_with(server, "/api/messages/twilio", &message(number, words), TOKEN).await
}

/// The fields of a text message from a number.
pub(crate) fn message(number: &str, words: &str) -> Vec<(String, String)> {
    let id = format!("SM{}", random_id());
    [
        ("MessageSid", id.as_str()),
        ("AccountSid", ACCOUNT),
        ("From", number),
        ("To", OURS),
        ("Body", words),
        ("NumMedia", "0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Posts a form of Twilio's, signed with a token.
pub(crate) async fn text_with(server: &Server, path: &str, fields: &[(String, String)], token: &str) -> Answer {
    let pairs: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let form = Form::of(&pairs);
    let signed = signature::sign(&token.to_owned().into(), &server.url(path), Covered::Form(&form));
    let api = server.api().header("x-twilio-signature", &signed);
    post_form(&api, path, form.to_body()).await
}

pub(crate) async fn post_form(api: &Api, path: &str, body: String) -> Answer {
    api.try_raw("POST", path, "application/x-www-form-urlencoded", Some(body.into_bytes())).await.expect("an answer")
}

/// A receipt of a message that was sent, to where it wants them.
pub(crate) async fn receipt(server: &Server, sent: &Sent, status: &str, error: Option<&str>) -> Answer {
    let path = sent.reference.strip_prefix(&server.url("")).unwrap_or_else(|| panic!("a callback of ours: {sent:?}"));
    let mut fields = vec![
        ("MessageSid".to_owned(), sent.id.clone()),
        ("MessageStatus".to_owned(), status.to_owned()),
        ("From".to_owned(), sent.from.clone()),
        ("To".to_owned(), sent.to.clone()),
        ("AccountSid".to_owned(), ACCOUNT.to_owned()),
    ];
    fields.extend(error.map(|code| ("ErrorCode".to_owned(), code.to_owned())));
    text_with(server, path, &fields, TOKEN).await
}

/// A delivery of WhatsApp's, signed as Meta signs it.
pub(crate) async fn whatsapp_posts(server: &Server, value: Value, secret: &str) -> Answer {
    let mut value = value;
    value["metadata"] = json!({ "phone_number_id": OURS_WHATSAPP.1 });
    let body = json!({
        "object": "whatsapp_business_account",
        "entry": [{ "id": "1", "changes": [{ "field": "messages", "value": value }] }],
    })
    .to_string();
    let signed = verify::sign(&secret.to_owned().into(), body.as_bytes());
    let api = server.api().header("x-hub-signature-256", &signed);
    api.try_raw("POST", "/api/messages/whatsapp", "application/json", Some(body.into_bytes())).await.expect("an answer")
}

/// The state of the deliveries of a conversation, oldest first.
pub(crate) async fn deliveries(owner: &Member, conversation: &str) -> Vec<Value> {
    let shown = owner.conversation(conversation).await;
    shown["deliveries"].as_array().cloned().unwrap_or_default()
}

/// Waits until the last delivery of a conversation stands so.
pub(crate) async fn delivered(owner: &Member, conversation: &str, status: &str) -> Value {
    eventually(&format!("the last message of {conversation} is {status}"), SOON, || async {
        deliveries(owner, conversation).await.last().filter(|last| last["status"] == status).cloned()
    })
    .await
}

/// The only conversation of an organization over a channel.
pub(crate) async fn only_conversation(owner: &Member, channel: &str) -> String {
    let items = eventually("a conversation", SOON, || async {
        let items = owner.api.list(&format!("/api/conversations?channel={channel}")).await;
        (!items.is_empty()).then_some(items)
    })
    .await;
    assert_eq!(items.len(), 1, "{items:?}");
    text(&items[0], "id")
}

async fn numbers() -> Response {
    let number = |number: &str| json!({ "sid": "PN1", "phone_number": number });
    json_answer(200, &json!({ "incoming_phone_numbers": [number(OURS)] }))
}

/// As Twilio: who knows the account is sent on to where the bytes are, which takes no key.
async fn medium(
    State(inner): State<Arc<Inner>>,
    Path((_, _, file)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    if !headers.contains_key(header::AUTHORIZATION) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let to = format!("{}/media/{file}", lock(&inner.site).trim_end_matches('/'));
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
}

async fn medium_bytes(State(inner): State<Arc<Inner>>, Path(file): Path<String>, headers: HeaderMap) -> Response {
    if headers.contains_key(header::AUTHORIZATION) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    match lock(&inner.recordings).get(&file).cloned() {
        Some(bytes) => bytes.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// As Meta's Graph: what is known by an id. A medium is told with where its bytes are, for a few minutes and for the same token.
async fn graph_object(State(inner): State<Arc<Inner>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if !knows_token(&headers) {
        return json_answer(401, &json!({ "error": { "code": 190, "message": "Invalid OAuth access token." } }));
    }
    if id == OURS_WHATSAPP.1 {
        return json_answer(200, &json!({ "id": id }));
    }
    if !lock(&inner.recordings).contains_key(&id) {
        return json_answer(404, &json!({ "error": { "code": 100, "message": "Unsupported get request." } }));
    }
    let url = format!("{}/graph-media/{id}?ext=1&hash=h", lock(&inner.site).trim_end_matches('/'));
    json_answer(200, &json!({ "messaging_product": "whatsapp", "url": url, "mime_type": "image/png", "id": id }))
}

/// The second step: the bytes, for who knows the token.
async fn graph_bytes(State(inner): State<Arc<Inner>>, Path(file): Path<String>, headers: HeaderMap) -> Response {
    if !knows_token(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    *lock(&inner.fetched) += 1;
    match lock(&inner.recordings).get(&file).cloned() {
        Some(bytes) => bytes.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn knows_token(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|given| given == format!("Bearer {ACCESS_TOKEN}").as_str())
}

async fn recording(State(inner): State<Arc<Inner>>, Path((_, file)): Path<(String, String)>) -> Response {
    match lock(&inner.recordings).get(file.trim_end_matches(".wav")).cloned() {
        Some(sound) => ([(header::CONTENT_TYPE, "audio/x-wav")], sound).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn recording_gone(State(inner): State<Arc<Inner>>, Path((_, file)): Path<(String, String)>) -> StatusCode {
    lock(&inner.recordings).remove(file.trim_end_matches(".json"));
    StatusCode::NO_CONTENT
}

async fn create(State(inner): State<Arc<Inner>>, Path(_account): Path<String>, body: Bytes) -> Response {
    let form = Form::read(&body).expect("a form");
    let field = |name: &str| form.get(name).unwrap_or_default().to_owned();
    let id = format!("SM{}", random_id());
    let sent = Sent {
        id: id.clone(),
        to: field("To"),
        from: field("From"),
        text: field("Body"),
        reference: field("StatusCallback"),
        template: form.get("ContentSid").is_some(),
        media: form.fields().iter().filter(|(name, _)| name == "MediaUrl").map(|(_, url)| url.clone()).collect(),
    };
    let refused = format!("Permission to send an SMS has not been enabled for {}", sent.to);
    let mood = taken(&inner, sent).await;
    match mood {
        Mood::Refusing => json_answer(400, &json!({ "code": 21408, "message": refused, "status": 400 })),
        Mood::Kind | Mood::Holding => json_answer(201, &json!({ "sid": id, "status": "queued" })),
        Mood::Forgetful | Mood::Vague => StatusCode::GATEWAY_TIMEOUT.into_response(),
        Mood::Busy => (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]).into_response(),
        Mood::OptedOut => {
            json_answer(400, &json!({ "code": 21610, "message": "unsubscribed recipient", "status": 400 }))
        }
    }
}

async fn graph(State(inner): State<Arc<Inner>>, Path(number): Path<String>, body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).expect("JSON");
    let id = format!("wamid.{}", random_id());
    let template = asked["type"] == "template";
    let words = if template {
        asked["template"]["components"][0]["parameters"][0]["text"].as_str()
    } else {
        asked["text"]["body"].as_str().or_else(|| asked["image"]["caption"].as_str())
    };
    let link = ["image", "document"].iter().find_map(|kind| asked[*kind]["link"].as_str());
    let sent = Sent {
        id: id.clone(),
        to: format!("+{}", asked["to"].as_str().expect("a receiver")),
        from: number,
        text: words.unwrap_or_default().to_owned(),
        reference: asked["biz_opaque_callback_data"].as_str().unwrap_or_default().to_owned(),
        template,
        media: link.into_iter().map(str::to_owned).collect(),
    };
    match taken(&inner, sent).await {
        Mood::Kind | Mood::Holding => json_answer(200, &json!({ "messages": [{ "id": id }] })),
        Mood::Forgetful | Mood::Vague => StatusCode::GATEWAY_TIMEOUT.into_response(),
        Mood::Busy => StatusCode::TOO_MANY_REQUESTS.into_response(),
        Mood::OptedOut => json_answer(400, &json!({ "error": { "code": 131_050, "message": "opted out" } })),
        Mood::Refusing => json_answer(400, &json!({ "error": { "code": 131_030, "message": "not in allowed list" } })),
    }
}

async fn taken(inner: &Inner, sent: Sent) -> Mood {
    let mood = *lock(&inner.mood);
    *lock(&inner.asked) += 1;
    if matches!(mood, Mood::Kind | Mood::Forgetful | Mood::Holding) {
        lock(&inner.sent).push(sent);
    }
    if mood == Mood::Holding {
        inner.go.notified().await;
    }
    mood
}

async fn list(State(inner): State<Arc<Inner>>, RawQuery(query): RawQuery) -> Response {
    let query = Form::read(query.unwrap_or_default().as_bytes()).expect("a query");
    let to = query.get("To").unwrap_or_default();
    let messages: Vec<Value> = lock(&inner.sent)
        .iter()
        .filter(|sent| sent.to == to)
        .map(|sent| json!({ "sid": sent.id, "to": sent.to, "from": sent.from, "body": sent.text, "num_media": sent.media.len().to_string(), "status": "sent" }))
        .collect();
    json_answer(200, &json!({ "messages": messages }))
}

fn json_answer(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
