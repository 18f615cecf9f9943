//! The console's live socket: snapshots and deltas of boards, one subscription per topic, resumable by sequence number.

mod campaigns;
mod notices;
mod people;

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, close_code};
use axum::extract::{State, WebSocketUpgrade};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use colloquy_actors::cluster::EntityKey;
use colloquy_actors::cluster::client::{Watch, WatchStream};
use colloquy_actors::conversation::{ConversationEntity, Streamed};
use colloquy_actors::core::ask;
use colloquy_actors::domain::Actor;
use colloquy_actors::domain::conversation::{self, Command, Reply, delivery, view};
use colloquy_actors::domain::ids::TenantId;
use colloquy_actors::feed::{self, Topic, Update};
use colloquy_actors::inbox;
use colloquy_actors::presence::{self, Here};
use colloquy_wire::inbox::ReadAt;
use colloquy_wire::live::{Change, LiveClient, LiveServer};
use futures::StreamExt as _;
use futures::stream::{AbortHandle, SelectAll, abortable};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Place;
use crate::app::App;
use crate::auth::{self, ACCESS_COOKIE, Address, Console};
use crate::problem::Problem;
use crate::routes::agents::only_agent;
use crate::routes::calls::hide_reached;
use crate::routes::conversations::streaming;

/// A client without a cookie says who it is within this time.
const AUTH_WITHIN: Duration = Duration::from_secs(10);
/// A ping this often keeps proxies from closing a silent socket and finds dead peers.
const PING_EVERY: Duration = Duration::from_secs(25);
/// A peer that answers no ping for this long is gone.
const SILENT_MAX: Duration = Duration::from_secs(70);
/// A peer that does not take a frame within this time is gone.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// Topics of one socket: a console shows a handful at a time.
const TOPICS_MAX: usize = 32;
/// A session is checked again this often even if nothing is heard of its account, so that a removed member stops seeing numbers.
const RECHECK_EVERY: Duration = Duration::from_secs(30);
/// Followed campaigns are looked at this often: a person sees no difference to more.
const CAMPAIGNS_EVERY: Duration = Duration::from_secs(1);

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(open))
}

/// The live socket (WebSocket): see /schemas/sockets.json.
#[utoipa::path(get, path = "/api/live", tag = "live", responses((status = 101)))]
async fn open(
    State(app): State<App>,
    Address(address): Address,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let token = match auth::bearer(&headers) {
        Some(token) => Some(token.to_owned()),
        None => match auth::cookie(&headers, ACCESS_COOKIE) {
            // A browser sends its cookie with every upgrade, also for another site's page: only our own may use it.
            Some(token) if own_origin(&app, &headers) => Some(token.to_owned()),
            Some(_) | None => None,
        },
    };
    let place = app.sockets.place(address).map_err(|limit| {
        Problem::unavailable("too_many_sockets", format!("Too many open connections (`{limit}`)."), 10)
    })?;
    let tasks = app.sockets.tasks.clone();
    Ok(super::slim(upgrade).on_upgrade(move |socket| {
        tasks.track_future(async move {
            let mut session = Session {
                app,
                socket,
                _place: place,
                token: String::new(),
                console: None,
                screen: crate::accounts::fresh_id(),
                here: None,
                presence: None,
                notices: None,
                notices_changed: None,
                boards: HashMap::new(),
                talks: HashMap::new(),
                campaigns: HashMap::new(),
                feed: None,
                account: None,
                heard: SelectAll::new(),
            };
            if let Some(token) = token {
                // A bad token may still be followed by a good `auth` frame.
                let _ = session.sign_in(token).await;
            }
            let _ = session.run().await;
            session.leave().await;
        })
    }))
}

fn own_origin(app: &App, headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).and_then(|v| v.to_str().ok()).is_some_and(|origin| origin == app.settings.public_url)
}

struct Gone;

/// One watched conversation's news.
type Heard = std::pin::Pin<Box<dyn futures::Stream<Item = (String, Watch)> + Send>>;

/// What is followed by number.
#[derive(Clone)]
enum Board {
    /// A board of the tenant's feed.
    Feed(Topic),
    /// Who is here.
    Presence,
}

/// A followed conversation.
struct Talk {
    /// The number last sent.
    seq: u64,
    /// Ends the watch when it is followed no more.
    watch: AbortHandle,
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

struct Session {
    app: App,
    socket: WebSocket,
    _place: Place,
    token: String,
    console: Option<Console>,
    /// Followed boards and the number last sent.
    boards: HashMap<String, (Board, u64)>,
    /// Tells this screen from the person's others.
    screen: String,
    /// What the person does here, once this is known.
    here: Option<Here>,
    presence: Option<WatchStream>,
    notices: Option<notices::Notices>,
    notices_changed: Option<notices::Changed>,
    /// Followed conversations and the number last sent.
    talks: HashMap<String, Talk>,
    /// Followed campaigns.
    campaigns: HashMap<String, campaigns::Followed>,
    feed: Option<WatchStream>,
    /// Tells when the person's sessions or memberships change, or the organization whose key this is.
    account: Option<WatchStream>,
    heard: SelectAll<Heard>,
}

impl Session {
    async fn run(&mut self) -> Result<(), Gone> {
        let stopping = self.app.sockets.stopping.clone();
        let begun = Instant::now();
        let mut pings = interval_at(begun + PING_EVERY, PING_EVERY);
        let mut rechecks = interval_at(begun + RECHECK_EVERY, RECHECK_EVERY);
        let mut repeats = interval(Duration::from_millis(presence::REPEAT_MS));
        let mut looks = interval(CAMPAIGNS_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return Err(Gone),
                _ = pings.tick() => {
                    if heard_at.elapsed() > SILENT_MAX {
                        return Err(Gone);
                    }
                    self.frame(Frame::Ping(Vec::new().into())).await?;
                }
                _ = rechecks.tick() => self.recheck().await?,
                _ = looks.tick(), if !self.campaigns.is_empty() => self.campaigns_differ().await?,
                _ = repeats.tick(), if self.here.is_some() => self.repeat(false).await,
                changed = next(&mut self.account) => {
                    if changed.is_none() {
                        // The stream ended with its owner; whoever owns the account now is watched, and what was missed is in it.
                        self.follow_account();
                    }
                    self.recheck().await?;
                }
                () = tokio::time::sleep_until(begun + AUTH_WITHIN), if self.console.is_none() => {
                    return self.error("", "unauthorized").await.and(Err(Gone));
                }
                frame = self.socket.recv() => {
                    let frame = frame.ok_or(Gone)?.map_err(|_| Gone)?;
                    heard_at = Instant::now();
                    match frame {
                        Frame::Text(text) => self.take(&text).await?,
                        Frame::Binary(_) => self.error("", "not_text").await?,
                        Frame::Ping(_) | Frame::Pong(_) => {}
                        Frame::Close(_) => return Err(Gone),
                    }
                }
                changed = heard(&mut self.notices_changed) => match changed {
                    Some(()) => self.notices_differ().await?,
                    // Whoever owns them now is followed, and what was missed is in the snapshot.
                    None => self.follow_notices().await?,
                },
                event = next(&mut self.presence) => match event {
                    Some(Watch::Frame { bytes }) | Some(Watch::Event { bytes, .. }) => self.update(&bytes).await?,
                    Some(Watch::Lagged) => self.catch_up(presence::TOPIC, None).await?,
                    None => {
                        self.follow_presence().await;
                        self.repeat(true).await;
                        self.catch_up(presence::TOPIC, None).await?;
                    }
                },
                event = next(&mut self.feed) => match event {
                    Some(Watch::Frame { bytes }) | Some(Watch::Event { bytes, .. }) => self.update(&bytes).await?,
                    Some(Watch::Lagged) => self.catch_up_all().await?,
                    None => {
                        self.follow_feed().await;
                        self.catch_up_all().await?;
                    }
                },
                Some((id, watch)) = self.heard.next(), if !self.heard.is_empty() => self.talk(&id, watch).await?,
            }
        }
    }

    async fn take(&mut self, text: &str) -> Result<(), Gone> {
        match serde_json::from_str::<LiveClient>(text) {
            Ok(LiveClient::Auth { token }) => match self.sign_in(token).await {
                Ok(()) => Ok(()),
                Err(_) => self.error("", "unauthorized").await,
            },
            Ok(_) if self.console.is_none() => self.error("", "unauthorized").await,
            Ok(LiveClient::Subscribe { topic, since }) => self.subscribe(topic, since).await,
            Ok(LiveClient::Unsubscribe { topic }) => {
                self.boards.remove(&topic);
                if topic == notices::TOPIC {
                    (self.notices, self.notices_changed) = (None, None);
                }
                if let Some(id) = topic.strip_prefix("conversation:") {
                    self.talks.remove(id);
                }
                if let Some(id) = topic.strip_prefix(campaigns::PREFIX) {
                    self.campaigns.remove(id);
                }
                Ok(())
            }
            Ok(LiveClient::Presence { status, viewing, typing }) => {
                self.says(people::Said { status, viewing, typing }).await
            }
            // Frames of newer clients are ignored; what is no frame at all is answered.
            Err(_) if serde_json::from_str::<Value>(text).is_ok_and(|value| value["type"].is_string()) => Ok(()),
            Err(_) => self.error("", "bad_frame").await,
        }
    }

    async fn sign_in(&mut self, token: String) -> Result<(), Problem> {
        let console = auth::of_token(&self.app, &token).await?;
        if self.console.as_ref().is_some_and(|before| before.tenant() != console.tenant()) {
            return Err(Problem::forbidden("One connection is for one organization."));
        }
        self.console = Some(console);
        self.token = token;
        self.follow_account();
        Ok(())
    }

    fn follow_account(&mut self) {
        self.account = match self.console.as_ref().map(|console| &console.by.actor) {
            Some(Actor::User { id, .. }) => Some(self.app.actors.watch_account(id)),
            // Keys are the organization's: it tells when one is revoked.
            Some(Actor::ApiKey { .. }) => {
                self.console.as_ref().map(|console| self.app.actors.watch_tenant(console.tenant()))
            }
            Some(_) | None => None,
        };
    }

    /// A session that has ended, or a member who was removed, hears no more. Access tokens are short: the console signs in anew on the same socket.
    async fn recheck(&mut self) -> Result<(), Gone> {
        let Some(console) = &self.console else { return Ok(()) };
        let ended = match console.by.actor {
            Actor::User { ref id, .. } => {
                let actors = &self.app.actors;
                matches!(actors.member(console.tenant(), id).await, Ok(None))
                    || matches!(
                        actors.session_lives(id, console.session.as_deref().unwrap_or_default()).await,
                        Ok(false)
                    )
            }
            _ => auth::of_token(&self.app, &self.token).await.is_err_and(|problem| problem.body.status == 401),
        };
        if !ended {
            return Ok(());
        }
        self.error("", "unauthorized").await?;
        let close = CloseFrame { code: close_code::POLICY, reason: "unauthorized".into() };
        self.frame(Frame::Close(Some(close))).await.and(Err(Gone))
    }

    async fn subscribe(&mut self, name: String, since: Option<u64>) -> Result<(), Gone> {
        let Some(console) = self.console.clone() else { return Ok(()) };
        if self.boards.len() + self.talks.len() + self.campaigns.len() >= TOPICS_MAX {
            return self.error(&name, "too_many_topics").await;
        }
        if let Some(id) = name.strip_prefix("conversation:") {
            return self.follow_talk(&console, id.to_owned()).await;
        }
        if let Some(id) = name.strip_prefix(campaigns::PREFIX) {
            return self.follow_campaign(&console, id.to_owned()).await;
        }
        if name == notices::TOPIC {
            return self.follow_notices().await;
        }
        if name == presence::TOPIC {
            if only_agent(&console).is_some() {
                return self.error(&name, "forbidden").await;
            }
            if self.presence.is_none() {
                self.follow_presence().await;
            }
            self.boards.insert(name.clone(), (Board::Presence, since.unwrap_or(0)));
            return self.catch_up(&name, since).await;
        }
        let Some(topic) = Topic::parse(&name) else { return self.error(&name, "unknown_topic").await };
        // A key that is bound to one agent sees that agent's board only.
        if let Some(only) = only_agent(&console)
            && topic != Topic::Agent(only.0)
        {
            return self.error(&name, "forbidden").await;
        }
        if let Topic::Agent(id) = &topic
            && self
                .app
                .actors
                .tools
                .agent(&self.app.actors.client, console.tenant(), &id.as_str().into())
                .await
                .is_err()
        {
            return self.error(&name, "not_found").await;
        }
        if self.feed.is_none() {
            self.follow_feed().await;
        }
        self.boards.insert(name.clone(), (Board::Feed(topic), since.unwrap_or(0)));
        self.catch_up(&name, since).await
    }

    async fn follow_feed(&mut self) {
        if let Some(console) = &self.console {
            self.feed = Some(self.app.actors.client.watch(&feed::key(console.tenant())).followed().await);
        }
    }

    async fn catch_up_all(&mut self) -> Result<(), Gone> {
        let names: Vec<(String, u64)> = self.boards.iter().map(|(name, (_, seq))| (name.clone(), *seq)).collect();
        for (name, seq) in names {
            self.catch_up(&name, Some(seq)).await?;
        }
        Ok(())
    }

    /// Sends what was missed since a number, or the whole board.
    async fn catch_up(&mut self, name: &str, since: Option<u64>) -> Result<(), Gone> {
        let Some(tenant) = self.console.as_ref().map(|console| console.tenant().clone()) else { return Ok(()) };
        let topic = match self.boards.get(name) {
            Some((Board::Feed(topic), _)) => topic.clone(),
            Some((Board::Presence, _)) => return self.catch_up_presence(&tenant, since).await,
            None => return Ok(()),
        };
        let client = self.app.actors.client.clone();
        if let Some(seq) = since
            && let Ok(Some(missed)) = feed::since(&client, &tenant, &topic, seq).await
        {
            self.boards.insert(name.to_owned(), (Board::Feed(topic), seq));
            for update in missed {
                self.delta(&update).await?;
            }
            return Ok(());
        }
        match feed::snapshot(&client, &tenant, &topic).await {
            Ok(mut snapshot) => {
                if topic == Topic::Conversations {
                    self.add_marks(&tenant, &mut snapshot.data).await;
                }
                if topic == Topic::Calls
                    && let (Some(console), Some(rows)) = (&self.console, snapshot.data.as_object_mut())
                {
                    rows.values_mut().for_each(|row| hide_reached(console, row));
                }
                self.boards.insert(name.to_owned(), (Board::Feed(topic), snapshot.seq));
                let sources = snapshot.sources.map(|sources| json!(sources));
                self.send(&LiveServer::Snapshot {
                    topic: name.to_owned(),
                    seq: snapshot.seq,
                    data: snapshot.data,
                    sources,
                })
                .await
            }
            Err(error) => {
                tracing::warn!(topic = name, %error, "a board could not be read");
                self.error(name, "unavailable").await
            }
        }
    }

    /// Adds how far this person has read what is on the board of conversations.
    async fn add_marks(&mut self, tenant: &TenantId, data: &mut Value) {
        let Some(Actor::User { id: user, .. }) = self.console.as_ref().map(|console| &console.by.actor) else { return };
        let (Some(entries), Ok(marks)) =
            (data.as_object_mut(), inbox::marks(&self.app.actors.client, &self.app.actors.tools, tenant, user).await)
        else {
            return;
        };
        let marks = marks.of.iter().filter(|(id, _)| entries.contains_key(id.as_str()));
        let marks: Vec<(String, Value)> =
            marks.map(|(id, mark)| (format!("read:{id}"), json!(ReadAt { seq: mark.seq }))).collect();
        entries.extend(marks);
    }

    async fn update(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let Ok(update) = serde_json::from_slice::<Update>(bytes) else { return Ok(()) };
        let Some((_, seq)) = self.boards.get(&update.topic) else { return Ok(()) };
        let seq = *seq;
        if update.seq <= seq {
            return Ok(()); // Known from the snapshot, or a head that agrees.
        }
        if update.seq == seq + 1 && !(update.changes.is_empty() && update.private.is_empty()) {
            return self.delta(&update).await;
        }
        let name = update.topic;
        self.send(&LiveServer::Gap { topic: name.clone() }).await?;
        self.catch_up(&name, Some(seq)).await
    }

    async fn delta(&mut self, update: &Update) -> Result<(), Gone> {
        if let Some((_, seq)) = self.boards.get_mut(&update.topic) {
            *seq = update.seq;
        }
        let own = self.console.as_ref().and_then(|console| match &console.by.actor {
            Actor::User { id, .. } => update.private.get(id.as_str()),
            _ => None,
        });
        // What is somebody else's is an empty delta here: the number rises for all.
        let changes = update.changes.iter().chain(own.into_iter().flatten());
        let mut changes: Vec<Change> =
            changes.filter_map(|change| serde_json::from_value(change.clone()).ok()).collect();
        if matches!(self.boards.get(&update.topic), Some((Board::Feed(Topic::Calls), _)))
            && let Some(console) = &self.console
        {
            changes.iter_mut().filter_map(|change| change.value.as_mut()).for_each(|row| hide_reached(console, row));
        }
        self.send(&LiveServer::Delta { topic: update.topic.clone(), seq: update.seq, changes }).await
    }

    async fn follow_talk(&mut self, console: &Console, id: String) -> Result<(), Gone> {
        let key = EntityKey::new(console.tenant().as_str(), conversation::KIND, id.as_str());
        // Watched before it is read, so that nothing in between is missed; a second subscription replaces the first.
        let (watch, handle) = abortable(self.app.actors.client.watch(&key).followed().await);
        if let Some(seq) = self.talk_snapshot(console, &id).await? {
            let name = id.clone();
            self.heard.push(Box::pin(watch.map(move |watch| (name.clone(), watch))));
            self.talks.insert(id, Talk { seq, watch: handle });
        }
        Ok(())
    }

    async fn talk_snapshot(&mut self, console: &Console, id: &str) -> Result<Option<u64>, Gone> {
        let topic = format!("conversation:{id}");
        let state = match ask::<ConversationEntity>(&self.app.actors.client, &console.by, id, Command::Get).await {
            Ok(Reply::State(state)) => state,
            Ok(_) => return self.error(&topic, "not_found").await.map(|()| None),
            Err(error) => {
                let problem = Problem::from(error);
                return self.error(&topic, &problem.body.code.clone()).await.map(|()| None);
            }
        };
        let mut data = serde_json::Map::new();
        data.insert("conversation".into(), json!(view::conversation(&state)));
        for message in &state.messages {
            data.insert(format!("message/{}", message.id), json!(view::message(message)));
        }
        data.insert("carried".into(), carried(&state, self.app.now_ms()));
        let shown = streaming(&self.app, console.tenant(), id, &state).await;
        data.insert("streaming".into(), json!(shown));
        self.send(&LiveServer::Snapshot { topic, seq: state.seq, data: Value::Object(data), sources: None }).await?;
        Ok(Some(state.seq))
    }

    /// News of a followed conversation. The numbers of this topic are the socket's own: they begin at the snapshot's and rise by one.
    async fn talk(&mut self, id: &str, watch: Watch) -> Result<(), Gone> {
        let Some(console) = self.console.clone() else { return Ok(()) };
        let Some(seq) = self.talks.get(id).map(|talk| talk.seq) else { return Ok(()) };
        let changes =
            match watch {
                Watch::Event { .. } | Watch::Lagged => {
                    match ask::<ConversationEntity>(&self.app.actors.client, &console.by, id, Command::Get).await {
                        Ok(Reply::State(state)) => {
                            let mut changes = vec![put("conversation", json!(view::conversation(&state)))];
                            // The last few messages cover what one event can change; a longer gap is a new snapshot.
                            if matches!(watch, Watch::Lagged) {
                                // Deltas go on from the number that the snapshot said.
                                if let Some(seq) = self.talk_snapshot(&console, id).await?
                                    && let Some(talk) = self.talks.get_mut(id)
                                {
                                    talk.seq = seq;
                                }
                                return Ok(());
                            }
                            if !state.lines.is_empty() || !state.links.is_empty() || state.merged_into.is_some() {
                                changes.push(put("carried", carried(&state, self.app.now_ms())));
                            }
                            changes.extend(
                                state.messages.iter().rev().take(3).rev().map(|message| {
                                    put(&format!("message/{}", message.id), json!(view::message(message)))
                                }),
                            );
                            changes
                        }
                        Ok(_) | Err(_) => return Ok(()),
                    }
                }
                Watch::Frame { bytes } => match serde_json::from_slice::<Streamed>(&bytes) {
                    Ok(frame) => vec![put("stream", json!(frame))],
                    Err(_) => return Ok(()),
                },
            };
        if let Some(talk) = self.talks.get_mut(id) {
            talk.seq = seq + 1;
        }
        self.send(&LiveServer::Delta { topic: format!("conversation:{id}"), seq: seq + 1, changes }).await
    }

    async fn error(&mut self, topic: &str, code: &str) -> Result<(), Gone> {
        self.send(&LiveServer::Error { topic: topic.to_owned(), code: code.to_owned() }).await
    }

    async fn send(&mut self, frame: &LiveServer) -> Result<(), Gone> {
        let text = serde_json::to_string(frame).map_err(|_| Gone)?;
        self.frame(Frame::Text(text.into())).await
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), Gone> {
        match timeout(SEND_WITHIN, self.socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}

/// What is known of a conversation beyond the chat: over which carriers the person can be reached, what became of each message there, and whether it
/// may be somebody's who has other conversations.
fn carried(state: &conversation::State, now_ms: i64) -> Value {
    json!({
        "lines": delivery::reach(state, now_ms),
        "deliveries": delivery::deliveries(state),
        "links": state.links,
        "merged_into": state.merged_into,
    })
}

fn put(key: &str, value: Value) -> Change {
    Change { op: "put".into(), key: key.to_owned(), value: Some(value) }
}

async fn heard(changed: &mut Option<notices::Changed>) -> Option<()> {
    match changed {
        Some(changed) => changed.next().await,
        None => std::future::pending().await,
    }
}

async fn next(watch: &mut Option<WatchStream>) -> Option<Watch> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}
