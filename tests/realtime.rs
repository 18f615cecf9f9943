//! Test calls that are heard and spoken in a session of OpenAI Realtime, and OpenAI as a voice, with a simulated OpenAI on loopback: the session answers
//! nothing by itself, and what is said in it is what stands in the conversation.

mod support;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use support::people::{Member, SOON, text};
use support::site::Site;
use support::socket::Socket;
use support::{Server, eventually};
use tokio::sync::mpsc;

const KEY: &str = "key-of-the-simulated-openai";
const HOURS: &str = "We are open from nine to six on weekdays. On Sundays we are closed.";
const GREETING: &str = "Oak Plumbing, this is the AI assistant. How can I help?";

#[derive(Default)]
struct Inner {
    /// To the newest socket.
    events: Mutex<Option<mpsc::UnboundedSender<Value>>>,
    /// What came over it.
    frames: Mutex<Vec<Value>>,
    /// The sessions that tokens were made for, and what else was asked.
    sessions: Mutex<Vec<Value>>,
    asked: Mutex<Vec<String>>,
}

/// OpenAI's side.
struct OpenAi {
    inner: Arc<Inner>,
    site: Site,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn known(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|key| key == format!("Bearer {KEY}").as_str())
}

async fn token(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: String) -> Response {
    if !known(&headers) {
        return (StatusCode::UNAUTHORIZED, r#"{"error":{"code":"invalid_api_key","message":"no"}}"#).into_response();
    }
    let asked: Value = serde_json::from_str(&body).expect("JSON");
    lock(&inner.sessions).push(asked["session"].clone());
    axum::Json(json!({ "value": "ek_1", "expires_at": 1_700_000_060, "session": asked["session"] })).into_response()
}

async fn hang_up(State(inner): State<Arc<Inner>>, Path(id): Path<String>, headers: HeaderMap) -> StatusCode {
    assert!(known(&headers));
    lock(&inner.asked).push(format!("hangup {id}"));
    StatusCode::OK
}

async fn speech(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: String) -> Response {
    if !known(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let asked: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(asked["response_format"], "pcm");
    lock(&inner.asked).push(format!("speech {} {}", asked["voice"], asked["input"]));
    // Half a second at 24 kHz.
    (StatusCode::OK, vec![7_u8; 24_000]).into_response()
}

async fn join(
    State(inner): State<Arc<Inner>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !known(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    assert_eq!(query.as_deref(), Some("call_id=rtc_1"), "beside a call, and nothing else");
    upgrade.on_upgrade(move |socket| carry(inner, socket))
}

async fn carry(inner: Arc<Inner>, mut socket: WebSocket) {
    let (send, mut says) = mpsc::unbounded_channel();
    *lock(&inner.events) = Some(send);
    loop {
        tokio::select! {
            event = says.recv() => match event {
                Some(event) if socket.send(Message::text(event.to_string())).await.is_ok() => {}
                Some(_) | None => return,
            },
            frame = socket.recv() => match frame {
                Some(Ok(Message::Text(text))) => lock(&inner.frames).push(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}

impl OpenAi {
    async fn start() -> Self {
        let inner = Arc::new(Inner::default());
        let router = Router::new()
            .route("/v1/realtime/client_secrets", post(token))
            .route("/v1/realtime", get(join))
            .route("/v1/realtime/calls/{id}/hangup", post(hang_up))
            .route("/v1/audio/speech", post(speech))
            .with_state(inner.clone());
        Self { inner, site: Site::router(router).await }
    }

    async fn server(&self, key: &str) -> Server {
        let url = self.site.url("");
        Server::start_with(&[("COLLOQUY_VOICE__OPENAI__API_KEY", key), ("COLLOQUY_VOICE__OPENAI__URL", &url)]).await
    }

    fn says(&self, event: Value) {
        lock(&self.inner.events).as_ref().expect("somebody listens").send(event).expect("it is there");
    }

    /// The caller said something.
    fn hears(&self, words: &str) {
        self.says(json!({ "type": "input_audio_buffer.speech_started", "audio_start_ms": 1, "item_id": "i" }));
        self.says(json!({ "type": "conversation.item.input_audio_transcription.completed", "item_id": "i", "transcript": words }));
    }

    /// What it was given to say, in order.
    fn given(&self) -> Vec<String> {
        let frames = lock(&self.inner.frames);
        let orders = frames.iter().filter(|frame| frame["type"] == "response.create");
        let words = orders.filter_map(|frame| frame["response"]["instructions"].as_str()?.split_once('\n'));
        words.map(|(_, words)| words.to_owned()).collect()
    }

    /// Plays what it is given until it has been given this.
    async fn speaks(&self, last: &str) {
        let mut done = 0;
        eventually("it is given what to say", SOON, async || {
            let given = self.given();
            for _ in done..given.len() {
                self.says(json!({ "type": "output_audio_buffer.started", "response_id": "r" }));
                self.says(json!({ "type": "response.done", "response": { "id": "r", "status": "completed" } }));
                self.says(json!({ "type": "output_audio_buffer.stopped", "response_id": "r" }));
            }
            done = given.len();
            given.iter().any(|words| words.contains(last)).then_some(())
        })
        .await;
    }
}

async fn founded(server: &Server, more: Value) -> (Member, String) {
    let owner = Member::sign_up(server, "Oak Plumbing").await;
    let mut body = json!({ "vertical": "home_services", "name": "Oak", "voice_enabled": true,
        "voice_scripts": { "greeting": GREETING, "after_hours": GREETING } });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let agent = text(&owner.agent(body).await, "id");
    let faq = json!({ "question": "When are you open?", "answer": HOURS });
    owner.api.post(&format!("/api/agents/{agent}/faqs"), faq).await.expect(201);
    eventually("the answer is found", SOON, || async {
        let body = json!({ "query": "When are you open?" });
        let found = owner.api.post(&format!("/api/agents/{agent}/search"), body).await.expect(200);
        found["faqs"].as_array().is_some_and(|faqs| !faqs.is_empty()).then_some(())
    })
    .await;
    (owner, agent)
}

/// A test call in a session of OpenAI's.
async fn session() -> (OpenAi, Server, Member, Socket) {
    let openai = OpenAi::start().await;
    let server = openai.server(KEY).await;
    let (owner, agent) = founded(&server, json!({})).await;
    let mut socket =
        Socket::open(server.http, &format!("/api/voice/browser?agent_id={agent}")).await.expect("it opens");
    socket.send(&json!({ "type": "start", "token": owner.token, "realtime_call_id": "rtc_1" })).await;
    (openai, server, owner, socket)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_needs_a_key_that_openai_takes_and_the_session_answers_nothing_by_itself() {
    let openai = OpenAi::start().await;
    let without = Server::start().await;
    let (owner, agent) = founded(&without, json!({})).await;
    let body = json!({ "agent_id": agent });
    let refused = owner.api.post("/api/ai/realtime-token", body.clone()).await.refused(409);
    assert!(text(&refused, "detail").contains("voice.openai.api_key"), "{refused}");
    let status = owner.api.get("/api/voice/status").await.expect(200);
    assert_eq!(status["openai_realtime"]["available"], false, "{status}");
    let provider = owner.api.patch(&format!("/api/agents/{agent}"), json!({ "voice_provider": "openai" })).await;
    assert!(provider.names("voice_provider").to_string().contains("voice.openai.api_key"), "{}", provider.text);

    let wrong = openai.server("wrong").await;
    let (owner, agent) = founded(&wrong, json!({})).await;
    let refused = owner.api.post("/api/ai/realtime-token", json!({ "agent_id": agent })).await.refused(409);
    assert!(text(&refused, "detail").contains("refuses the key"), "{refused}");

    let server = openai.server(KEY).await;
    let (owner, agent) = founded(&server, json!({ "voice_provider": "openai", "voice_id": "sage" })).await;
    let body = json!({ "agent_id": agent });
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    viewer.api.post("/api/ai/realtime-token", body.clone()).await.refused(403);
    let stranger = Member::sign_up(&server, "Elm").await;
    stranger.api.post("/api/ai/realtime-token", body.clone()).await.names("agent_id");
    let given = owner.api.post("/api/ai/realtime-token", body).await;
    assert_eq!(given.header("cache-control"), Some("no-store"));
    let token = given.expect(201);
    assert_eq!(
        (&token["value"], &token["model"], &token["voice"]),
        (&json!("ek_1"), &json!("gpt-realtime"), &json!("sage"))
    );
    assert_eq!(token["expires_at"], "2023-11-14T22:14:20.000Z", "{token}");
    assert!(text(&token, "calls_url").ends_with("/v1/realtime/calls"));
    let session = lock(&openai.inner.sessions).last().cloned().expect("a session");
    assert_eq!(session["audio"]["input"]["turn_detection"]["create_response"], false, "{session}");
    assert!(!given.text.contains(KEY) && !server.log().contains(KEY), "the key stays here");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_heard_in_a_session_is_answered_by_the_conversation_and_ends_with_the_call() {
    let (openai, _server, owner, mut socket) = session().await;
    let hello = socket.until("a hello", |frame| frame["type"] == "call").await;
    assert_eq!((&hello["listening"], &hello["speech"]), (&json!("openai"), &json!("openai")), "{hello}");
    openai.speaks("How can I help?").await;
    assert_eq!(openai.given().join(" "), GREETING, "what must be heard, to the word");

    openai.hears("When are you open?");
    let heard = socket.until("the turn", |frame| frame["type"] == "hearing" && frame["done"] == true).await;
    assert_eq!((&heard["text"], &heard["turn"]), (&json!("When are you open?"), &json!(1)));
    openai.speaks("we are closed").await;
    // A listener's sound while nothing is played is a turn like any other; goodbye ends the session too.
    openai.hears("Thank you, goodbye!");
    socket.until("the second turn", |frame| frame["turn"] == 2).await;
    let before = openai.given().len();
    eventually("goodbye is given", SOON, || async { (openai.given().len() > before).then_some(()) }).await;
    let last = openai.given().last().cloned().expect("words");
    openai.speaks(&last).await;
    eventually("the call is over", SOON, || async {
        owner.api.list("/api/voice/calls").await.first().filter(|call| call["status"] == "completed").map(|_| ())
    })
    .await;
    eventually("the session is ended", SOON, || async {
        lock(&openai.inner.asked).contains(&"hangup rtc_1".to_owned()).then_some(())
    })
    .await;
    let call = owner.api.list("/api/voice/calls").await[0].clone();
    let shown = owner.settled(&text(&call, "conversation_id"), SOON).await;
    let said: Vec<String> =
        shown["messages"].as_array().expect("messages").iter().map(|message| text(message, "content")).collect();
    assert_eq!(
        (said[0].as_str(), said[1].as_str(), said[3].as_str()),
        (GREETING, "When are you open?", "Thank you, goodbye!")
    );
    assert!(said[2].contains("nine to six"), "{said:?}");

    // A session without a key is refused by the setting's name.
    let plain = Server::start().await;
    let (owner, agent) = founded(&plain, json!({})).await;
    let mut socket = Socket::open(plain.http, &format!("/api/voice/browser?agent_id={agent}")).await.expect("it opens");
    socket.send(&json!({ "type": "start", "token": owner.token, "realtime_call_id": "rtc_1" })).await;
    let refused = socket.until("a refusal", |frame| frame["type"] == "error").await;
    assert!(text(&refused, "detail").contains("voice.openai.api_key"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_over_an_answer_is_heard_and_only_what_was_played_of_it_stands() {
    let (openai, _server, owner, mut socket) = session().await;
    openai.speaks("How can I help?").await;
    openai.hears("When are you open?");
    let given = async |words: &str| {
        eventually("it is given", SOON, || async {
            openai.given().iter().any(|given| given.contains(words)).then_some(())
        })
        .await;
    };
    given("nine to six").await;
    openai.says(json!({ "type": "output_audio_buffer.started", "response_id": "r" }));
    openai.hears("Do you sell marmalade fountains?");
    socket.until("the answer is cut", |frame| frame["type"] == "stop").await;
    socket.until("the second turn", |frame| frame["turn"] == 2).await;
    // The session has cut its own answer off, and goes on with what it is given next.
    openai.says(json!({ "type": "response.done", "response": { "id": "r", "status": "cancelled" } }));
    openai.says(json!({ "type": "output_audio_buffer.cleared", "response_id": "r" }));
    let conversation = text(&owner.api.list("/api/voice/calls").await[0], "conversation_id");
    let answered = eventually("the second answer", SOON, || async {
        let shown = owner.conversation(&conversation).await;
        let messages = shown["messages"].as_array().cloned().unwrap_or_default();
        let after = messages.iter().position(|message| message["content"] == "Do you sell marmalade fountains?")?;
        messages.get(after + 1).is_some_and(|message| message["role"] == "assistant").then_some(messages)
    })
    .await;
    let second = text(answered.last().expect("messages"), "content");
    given(second.split_inclusive(['.', '?']).next().unwrap_or_default().trim()).await;
    assert!(!openai.given().iter().any(|words| words.contains("On Sundays")), "{:?}", openai.given());
    let stands: Vec<String> = answered.iter().map(|message| text(message, "content")).collect();
    assert!(!stands.iter().any(|words| words.contains("On Sundays")), "nobody heard that: {stands:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_spoken_stops_when_something_else_is_said_instead() {
    let (openai, _server, _owner, mut socket) = session().await;
    openai.speaks("How can I help?").await;
    openai.hears("When are you open?");
    let given = || openai.given().len();
    eventually("it is given", SOON, || async {
        openai.given().iter().any(|given| given.contains("nine to six")).then_some(())
    })
    .await;
    let before = given();
    socket.send(&json!({ "type": "silent", "count": 1 })).await;
    eventually("the reminder is given", SOON, || async { (given() > before).then_some(()) }).await;
    let kinds: Vec<String> = lock(&openai.inner.frames).iter().map(|frame| text(frame, "type")).collect();
    let last = kinds.iter().rposition(|kind| kind == "response.create").expect("the reminder");
    assert_eq!(kinds[last - 2..last], ["response.cancel", "output_audio_buffer.clear"], "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_is_a_voice_of_test_calls() {
    let openai = OpenAi::start().await;
    let server = openai.server(KEY).await;
    let (owner, agent) = founded(&server, json!({ "voice_provider": "openai", "voice_id": "nova" })).await;
    let voices = owner.api.get("/api/voice/voices").await.expect(200);
    let of = |voice: &Value| (text(voice, "provider"), text(voice, "id"));
    let all: Vec<(String, String)> = voices["items"].as_array().expect("voices").iter().map(of).collect();
    assert!(all.contains(&("openai".to_owned(), "nova".to_owned())), "{voices}");
    let mut socket =
        Socket::open(server.http, &format!("/api/voice/browser?agent_id={agent}")).await.expect("it opens");
    socket.send(&json!({ "type": "start", "token": owner.token })).await;
    let hello = socket.until("a hello", |frame| frame["type"] == "call").await;
    assert_eq!(hello["speech"], "openai", "{hello}");
    let say = socket.until("a sentence", |frame| frame["type"] == "say").await;
    assert!(say["audio"].as_str().is_some_and(|audio| audio.len() > 24_000), "it is sound");
    let asked = lock(&openai.inner.asked).clone();
    assert!(asked[0].starts_with("speech \"nova\""), "{asked:?}");
}
