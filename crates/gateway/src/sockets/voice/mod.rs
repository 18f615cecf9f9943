//! A call on this frontend: the caller's words go to the conversation, and what it answers is spoken sentence by sentence. Each provider's socket drives
//! the same [`Line`].

pub mod browser;
pub mod handover;
mod keys;
mod mouth;
mod played;
mod recorder;
pub mod retell;
pub mod stranger;
pub mod stream;
mod talker;
mod told;
pub mod twilio;
mod vapi;
pub mod voicemail;
pub mod webhooks;

use std::time::Duration;

use colloquy_actors::ActorError;
use colloquy_actors::calls::{self, CallEntity, Live};
use colloquy_actors::cluster::EntityKey;
use colloquy_actors::cluster::client::{Watch, WatchStream};
use colloquy_actors::conversation::Streamed;
use colloquy_actors::core::ask;
use colloquy_actors::domain::call::script::{self, Next};
use colloquy_actors::domain::call::{self, Call, Command, Stage, whisper};
use colloquy_actors::domain::conversation::{self, Event, Message, Posted, Spoken, State, TurnOutcome};
use colloquy_actors::domain::ids::{MessageId, TurnId};
use colloquy_actors::domain::vocabulary::{Channel, MessageRole};
use colloquy_actors::domain::{Principal, Rejection};
use colloquy_actors::telephony::speech::answer::Answer;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use told::{Raw, Told};

use crate::app::App;
use crate::chat::Reached;
use crate::tokens::hex;

/// How long the conversation is tried for with a caller's words: a shard that moves is back in a blink, one whose node died within fifteen seconds.
const HEARD_WITHIN: Duration = Duration::from_secs(30);
/// How long words of ours wait to be noted before they are said all the same: milliseconds are usual.
const NOTED_WITHIN: Duration = Duration::from_millis(500);
/// The pause between two tries.
const AGAIN: Duration = Duration::from_millis(250);
/// Silence of ours after which the caller is told that it goes on.
const HOLD_AFTER: Duration = Duration::from_secs(4);
/// How often the call is told that it goes on here.
const BEAT_EVERY: Duration = Duration::from_millis(call::CARRIED_EVERY_MS.unsigned_abs());
/// Pieces of an answer that are kept until it is known which answer they are of; more than come within the blink that takes.
const EARLY_MAX: usize = 64;
/// What is said when the conversation cannot be reached at all.
const TROUBLE: &str = "I'm sorry, I'm having trouble right now. Could you say that again in a moment?";

/// The routes of this folder.
pub fn routes() -> utoipa_axum::router::OpenApiRouter<App> {
    utoipa_axum::router::OpenApiRouter::new()
        .merge(browser::routes())
        .merge(handover::routes())
        .merge(retell::routes())
        .merge(stranger::routes())
        .merge(stream::routes())
        .merge(twilio::routes())
        .merge(vapi::routes())
        .merge(voicemail::routes())
        .merge(webhooks::routes())
}

/// A turn whose answer is being spoken.
struct Open {
    turn: TurnId,
    answer_id: MessageId,
    answer: Answer,
}

/// A call that this socket carries.
pub(super) struct Line {
    app: App,
    pub(super) agent: Reached,
    pub(super) live: Live,
    by: Principal,
    /// Names the connection, as the call knows it.
    socket: String,
    /// Tells what is said over this connection from what is said over others of the same name.
    nonce: String,
    /// Whether the provider can hand the call on.
    pub(super) hands_on: bool,
    talk: WatchStream,
    news: WatchStream,
    /// The caller's words on their way to the conversation.
    hearing: Option<JoinHandle<Result<Posted, ActorError>>>,
    open: Option<Open>,
    /// What was streamed before the answer it belongs to was known here.
    early: Vec<Streamed>,
    /// Something happened before the answer was known here: how it stands is to be asked.
    missed: bool,
    /// The newest turn that was opened before that.
    latest: Option<TurnId>,
    /// The turn whose last words were given out, until it is known what follows them.
    closing: Option<TurnId>,
    /// When the caller is told that it takes a while.
    hold_at: Option<Instant>,
    transferred: bool,
    /// How often the caller was told that it takes a while.
    holds: u32,
    /// The caller talked over what they had just said: it stands, and its answer is not spoken.
    let_go: bool,
    /// When the call is told next that it goes on here.
    beat_at: Instant,
    /// What the caller is told first, when nobody took the call that they were put through with.
    pub(super) taken_back: Option<String>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(hearing) = self.hearing.take() {
            hearing.abort();
        }
    }
}

impl Line {
    /// Begins a call or goes on with it, and takes its place.
    pub(super) async fn open(app: &App, agent: Reached, heard: calls::Heard) -> Result<(Self, Call), ActorError> {
        Self::begin(app, agent, heard, &hex(&rand::random::<[u8; 16]>())).await
    }

    /// The same over a connection of this name.
    pub(super) async fn begin(
        app: &App,
        agent: Reached,
        heard: calls::Heard,
        socket: &str,
    ) -> Result<(Self, Call), ActorError> {
        let (client, tools) = (&app.actors.client, &app.actors.tools);
        let live = calls::begin(client, tools, &agent.tenant, &agent.now, heard).await?;
        Self::go_on(app, agent, live, socket).await
    }

    /// Goes on with a call that stands in its conversation.
    pub(super) async fn go_on(app: &App, agent: Reached, live: Live, socket: &str) -> Result<(Self, Call), ActorError> {
        let client = &app.actors.client;
        let by = Principal::system(agent.tenant.clone());
        let tenant = agent.tenant.as_str();
        // Watched before anything is said, so that nothing is missed.
        let key = EntityKey::new(tenant, conversation::KIND, live.conversation.as_str());
        let talk = client.watch(&key).followed().await;
        let news = client.watch(&EntityKey::new(tenant, call::KIND, live.call.as_str())).followed().await;
        let call = calls::attach(client, &by, &live.call, socket).await?;
        let transferred = call.handing_on().is_some();
        let mut line = Self {
            app: app.clone(),
            agent,
            live,
            by,
            socket: socket.to_owned(),
            nonce: hex(&rand::random::<[u8; 16]>()),
            hands_on: true,
            talk,
            news,
            hearing: None,
            open: None,
            early: Vec::new(),
            missed: false,
            latest: None,
            closing: None,
            hold_at: None,
            transferred,
            holds: 0,
            let_go: false,
            beat_at: Instant::now() + BEAT_EVERY,
            taken_back: None,
        };
        line.taken_back = line.returned(&call).await?;
        Ok((line, call))
    }

    /// What a caller is told whom nobody took: once for each time, whichever socket they come back over.
    async fn returned(&self, call: &Call) -> Result<Option<String>, ActorError> {
        let Some(transfer) = call.transfer.as_ref().filter(|transfer| transfer.stage == Stage::Back) else {
            return Ok(None);
        };
        let name = transfer.name_of_return();
        if self.state().await?.seen.contains_key(&calls::name_of_words(&self.live, &name)) {
            return Ok(None);
        }
        let words = whisper::nobody_took(&self.agent.now.config).to_owned();
        calls::speak(&self.app.actors.client, &self.by, &self.live, &name, &words).await?;
        Ok(Some(words))
    }

    /// What was said first in this call, if nothing else has been said since.
    pub(super) async fn greeting(&self) -> Result<Option<String>, ActorError> {
        let state = self.state().await?;
        let mut said = state.messages.iter().filter(|message| message.call.as_ref() == Some(&self.live.call));
        Ok(match (said.next(), said.next()) {
            (Some(first), None) if first.role == MessageRole::Assistant => Some(first.content.clone()),
            _ => None,
        })
    }

    /// What we said since the caller last did, oldest first.
    pub(super) async fn said_since(&self) -> Result<Vec<String>, ActorError> {
        let state = self.state().await?;
        let said = state.messages.iter().rev();
        let said = said.filter(|message| message.call.as_ref() == Some(&self.live.call) && !message.whisper);
        let ours = said.take_while(|message| matches!(message.role, MessageRole::Assistant | MessageRole::HumanAgent));
        let mut ours: Vec<String> = ours.map(|message| message.content.clone()).collect();
        ours.reverse();
        Ok(ours)
    }

    /// The caller said something: its answer is spoken from here, and whatever was being spoken is not.
    pub(super) fn hear(&mut self, spoken: Spoken, words: String) {
        if let Some(hearing) = self.hearing.take() {
            hearing.abort();
        }
        self.drop_answer();
        self.let_go = false;
        self.hold_at = Some(Instant::now() + HOLD_AFTER);
        let (app, by, live, agent) = (self.app.clone(), self.by.clone(), self.live.clone(), self.agent.clone());
        self.hearing = Some(tokio::spawn(async move {
            let deadline = Instant::now() + HEARD_WITHIN;
            loop {
                let client = &app.actors.client;
                match calls::hear(client, &by, &agent.now, &live, &agent.id, spoken.clone(), &words).await {
                    // The words have a name: bringing them again is safe.
                    Err(
                        ActorError::Busy { .. } | ActorError::Unavailable(_) | ActorError::Failed | ActorError::Unknown,
                    ) if Instant::now() < deadline => tokio::time::sleep(AGAIN).await,
                    outcome => return outcome,
                }
            }
        }));
    }

    /// Takes up a turn that was being answered when the call's last connection was lost. How often the caller has had the floor.
    pub(super) async fn take_up(&mut self) -> Result<u32, ActorError> {
        let state = self.state().await?;
        let theirs =
            |message: &&Message| message.call.as_ref() == Some(&self.live.call) && message.role == MessageRole::User;
        let turns = state.messages.iter().filter(theirs).count();
        let open = state
            .open
            .as_ref()
            .filter(|open| open.posts.last().and_then(|last| state.message(last)).is_some_and(|last| theirs(&last)));
        if let Some(open) = open {
            let (turn, answer_id) = (open.id.clone(), open.answer_id.clone());
            self.open = Some(Open { turn, answer_id, answer: Answer::new() });
        }
        Ok(u32::try_from(turns).unwrap_or(u32::MAX))
    }

    /// How often the caller has said something in this call.
    pub(super) async fn turns(&self) -> Result<u32, ActorError> {
        let state = self.state().await?;
        let theirs =
            |message: &&Message| message.call.as_ref() == Some(&self.live.call) && message.role == MessageRole::User;
        Ok(u32::try_from(state.messages.iter().filter(theirs).count()).unwrap_or(u32::MAX))
    }

    /// Whether an answer is on its way.
    pub(super) fn is_answering(&self) -> bool {
        self.open.is_some() || self.closing.is_some()
    }

    /// Words that were only the beginning of others: what they lead to is not wanted, and those to come take their place.
    pub(super) fn take_back(&mut self) {
        if let Some(hearing) = self.hearing.take() {
            hearing.abort();
        }
        self.drop_answer();
    }

    /// The caller goes on talking: what was said stands, and its answer is not spoken, also if it was not even asked for yet.
    pub(super) fn let_go(&mut self) {
        self.let_go = true;
        self.drop_answer();
    }

    /// What was asked for is not wanted any more.
    pub(super) fn drop_answer(&mut self) {
        self.open = None;
        self.early.clear();
        self.missed = false;
        self.latest = None;
        self.closing = None;
        self.hold_at = None;
    }

    /// Notes what is about to be said and answers nothing: it stands in the conversation before it is heard, or as soon as that can be reached again.
    /// `name` tells it from others of the call.
    pub(super) async fn note(&self, name: &str, words: &str) {
        let (app, by, live) = (self.app.clone(), self.by.clone(), self.live.clone());
        let (name, words) = (name.to_owned(), words.to_owned());
        let noted = self.app.sockets.tasks.spawn(async move {
            let until = Instant::now() + HEARD_WITHIN;
            while let Err(error) = calls::speak(&app.actors.client, &by, &live, &name, &words).await {
                if matches!(error, ActorError::Rejected(_)) || Instant::now() >= until {
                    tracing::warn!(call = %live.call, %error, "words of a call could not be noted");
                    return;
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
        // It goes on by itself: nobody is left in silence for it.
        let _ = tokio::time::timeout(NOTED_WITHIN, noted).await;
    }

    /// Of the last words the caller heard only these.
    pub(super) async fn heard_only(&self, heard: &str) {
        if let Err(error) = calls::heard_only(&self.app.actors.client, &self.by, &self.live, heard).await {
            tracing::info!(call = %self.live.call, %error, "what was heard last could not be noted");
        }
    }

    /// The call is over.
    pub(super) async fn end(&self, end: call::End) {
        let deadline = Instant::now() + HEARD_WITHIN;
        loop {
            match calls::end(&self.app.actors.client, &self.by, &self.live.call, end.clone()).await {
                Ok(()) | Err(ActorError::Rejected(_)) => return,
                Err(error) if Instant::now() >= deadline => {
                    // The call's own clock ends it.
                    tracing::warn!(call = %self.live.call, %error, "the end of a call could not be noted");
                    return;
                }
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// The connection is lost; the call waits for another.
    pub(super) async fn lost(&self) {
        calls::detach(&self.app.actors.client, &self.by, &self.live.call, &self.socket).await;
    }

    /// The next thing that may matter. Nothing is lost when this is cancelled.
    pub(super) async fn listen(&mut self) -> Raw {
        if self.closing.is_some() {
            return Raw::Close;
        }
        let (hold_at, beat_at) = (self.hold_at, self.beat_at);
        let hearing = &mut self.hearing;
        tokio::select! {
            // What an answer is called comes before its words.
            biased;
            posted = async {
                match hearing.as_mut() {
                    Some(task) => task.await,
                    None => std::future::pending().await,
                }
            } => {
                *hearing = None;
                Raw::Posted(posted.unwrap_or(Err(ActorError::Failed)))
            }
            heard = self.talk.next() => Raw::Talk(heard),
            heard = self.news.next() => Raw::News(heard),
            () = async {
                match hold_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            } => Raw::Waits,
            () = tokio::time::sleep_until(beat_at) => Raw::Beat,
        }
    }

    /// What it means.
    pub(super) async fn take(&mut self, raw: Raw) -> Option<Told> {
        match raw {
            Raw::Talk(Some(Watch::Frame { bytes })) => self.streamed(serde_json::from_slice(&bytes).ok()?),
            Raw::Talk(Some(Watch::Event { bytes, .. })) => match serde_json::from_slice::<Event>(&bytes) {
                Ok(event) => self.happened(event).await,
                // Of a newer version: the state says what it did.
                Err(_) => self.look().await,
            },
            Raw::Talk(Some(Watch::Lagged)) => self.look().await,
            Raw::Talk(None) => {
                let key = EntityKey::new(self.by.tenant.as_str(), conversation::KIND, self.live.conversation.as_str());
                self.talk = self.app.actors.client.watch(&key).followed().await;
                self.look().await
            }
            Raw::News(Some(_)) => self.changed().await,
            Raw::News(None) => {
                let key = EntityKey::new(self.by.tenant.as_str(), call::KIND, self.live.call.as_str());
                self.news = self.app.actors.client.watch(&key).followed().await;
                self.changed().await
            }
            Raw::Posted(posted) => self.posted(posted).await,
            Raw::Close => {
                let turn = self.closing.take()?;
                self.close(&turn, Vec::new()).await
            }
            Raw::Beat => {
                self.beat_at = Instant::now() + BEAT_EVERY;
                let (app, by, call, socket) =
                    (self.app.clone(), self.by.clone(), self.live.call.clone(), self.socket.clone());
                // Beside the call, which waits for nothing.
                tokio::spawn(async move { calls::carried(&app.actors.client, &by, &call, &socket).await });
                None
            }
            Raw::Waits => {
                self.hold_at = None;
                let began = self.open.as_ref().is_some_and(|open| open.answer.began());
                if began {
                    return None;
                }
                // It stands like all that is heard: what a provider hears of us is compared with it.
                self.holds += 1;
                let words = script::on_hold(&self.agent.now.config).to_owned();
                self.note(&format!("hold/{}/{}", self.nonce, self.holds), &words).await;
                Some(Told::Say(vec![format!("{words} ")]))
            }
        }
    }

    async fn posted(&mut self, posted: Result<Posted, ActorError>) -> Option<Told> {
        if self.let_go && posted.is_ok() {
            return None;
        }
        match posted {
            Ok(Posted { turn: Some(turn), answer_id, repeated, .. }) => {
                let answer_id = answer_id.unwrap_or_default();
                let newer = self.latest.take().is_some_and(|latest| latest != turn);
                self.open = Some(Open { turn, answer_id, answer: Answer::new() });
                if repeated || newer || std::mem::take(&mut self.missed) {
                    // It may have been answered before it was watched, or on another frontend.
                    self.early.clear();
                    return self.look().await;
                }
                // Nothing of what is new can have been missed: it was watched before it was said.
                let early = std::mem::take(&mut self.early);
                let said: Vec<String> = early
                    .into_iter()
                    .filter_map(|frame| self.streamed(frame))
                    .flat_map(|told| match told {
                        Told::Say(sentences) => sentences,
                        _ => Vec::new(),
                    })
                    .collect();
                (!said.is_empty()).then_some(Told::Say(said))
            }
            Ok(Posted { turn: None, .. }) => {
                self.hold_at = None;
                Some(Told::Silent)
            }
            Err(ActorError::Rejected(Rejection::Conflict { code, .. })) if code == "call_ended" => Some(Told::Over),
            Err(ActorError::Rejected(Rejection::Superseded)) => {
                self.hold_at = None;
                Some(Told::Silent)
            }
            // Merged away or full: what there was to say was said.
            Err(ActorError::Rejected(Rejection::Conflict { .. } | Rejection::NotFound { .. })) => {
                self.hold_at = None;
                Some(Told::Done(Vec::new(), Next::HangUp))
            }
            Err(error) => {
                tracing::warn!(call = %self.live.call, %error, "a caller's words could not be brought to their conversation");
                self.hold_at = None;
                Some(Told::Done(vec![TROUBLE.to_owned()], Next::Listen))
            }
        }
    }

    fn streamed(&mut self, frame: Streamed) -> Option<Told> {
        let Some(open) = self.open.as_mut() else {
            if self.hearing.is_some() && self.early.len() < EARLY_MAX {
                self.early.push(frame);
            }
            return None;
        };
        match frame {
            Streamed::Token { message_id, attempt, index, text } if message_id == open.answer_id => {
                let sentences = open.answer.on_piece(attempt, index, &text);
                if sentences.is_empty() {
                    return None;
                }
                self.hold_at = None;
                Some(Told::Say(sentences))
            }
            Streamed::Discard { message_id, .. } if message_id == open.answer_id => {
                open.answer.on_discard();
                None
            }
            Streamed::Token { .. } | Streamed::Discard { .. } | Streamed::Typing { .. } => None,
        }
    }

    async fn happened(&mut self, event: Event) -> Option<Told> {
        if self.hearing.is_some() && self.open.is_none() {
            match &event {
                // That of the words on their way comes before they are answered for.
                Event::Posted { opening: Some(opening), .. } => self.latest = Some(opening.turn.clone()),
                Event::Answered(_) | Event::TakenOver { .. } | Event::Closed { .. } | Event::Idled { .. } => {
                    self.missed = true;
                }
                _ => {}
            }
        }
        let mine = |turn: &TurnId| self.open.as_ref().is_some_and(|open| open.turn == *turn);
        match event {
            Event::Answered(given) if mine(&given.turn) => self.finished(&given.text).await,
            Event::HumanSaid { channel: Channel::Voice, text, .. } => Some(Told::Person(text)),
            Event::TakenOver { silenced: Some(turn), .. }
            | Event::Closed { silenced: Some(turn), .. }
            | Event::Idled { silenced: Some(turn), .. }
                if mine(&turn) =>
            {
                self.drop_answer();
                Some(Told::Silent)
            }
            // What was written elsewhere meanwhile is answered together with what was said.
            Event::Posted { opening: Some(opening), .. } if opening.supersedes.as_ref().is_some_and(mine) => {
                if let Some(open) = &mut self.open {
                    (open.turn, open.answer_id) = (opening.turn, opening.answer_id);
                    open.answer.on_discard();
                }
                None
            }
            _ => None,
        }
    }

    /// How the open turn stands, from the conversation itself.
    async fn look(&mut self) -> Option<Told> {
        self.missed |= self.hearing.is_some() && self.open.is_none();
        let mut turn = self.open.as_ref()?.turn.clone();
        let state = match self.state().await {
            Ok(state) => state,
            Err(error) => {
                tracing::info!(call = %self.live.call, %error, "a call's conversation cannot be asked now");
                return None;
            }
        };
        loop {
            match state.turn(&turn).map(|record| &record.outcome) {
                Some(TurnOutcome::Open) => {
                    let (open, now) = (self.open.as_mut()?, state.open.as_ref()?);
                    (open.turn, open.answer_id) = (turn, now.answer_id.clone());
                    return None;
                }
                Some(TurnOutcome::Answered { message_id }) => {
                    let text = state.message(message_id).map(whole).unwrap_or_default();
                    return self.finished(&text).await;
                }
                Some(TurnOutcome::Superseded { by }) if *by != turn => turn = by.clone(),
                Some(TurnOutcome::Superseded { .. } | TurnOutcome::Silenced) | None => {
                    self.drop_answer();
                    return Some(Told::Silent);
                }
            }
        }
    }

    async fn finished(&mut self, text: &str) -> Option<Told> {
        let mut open = self.open.take()?;
        self.hold_at = None;
        let rest = open.answer.on_finished(text);
        if rest.is_empty() {
            return self.close(&open.turn, rest).await;
        }
        // The words first: what follows them is asked of two entities, and the caller waits for nothing but the words.
        self.closing = Some(open.turn);
        Some(Told::Say(rest))
    }

    /// What follows an answer whose words were given out.
    async fn close(&mut self, turn: &TurnId, mut rest: Vec<String>) -> Option<Told> {
        let next = self.next().await;
        if let Next::Transfer { words, .. } | Next::Sorry { words } = &next {
            // Said once: it is named after the turn it follows.
            self.note(&format!("after/{turn}"), words).await;
            rest.push(format!(" {words}"));
        }
        Some(Told::Done(rest, next))
    }

    /// What follows the newest answer.
    async fn next(&mut self) -> Next {
        let client = &self.app.actors.client;
        let Ok(state) = self.state().await else { return Next::Listen };
        let Ok(Some(call)) = calls::find(client, &self.by, &self.live.call).await else { return Next::Listen };
        let next = script::next(&state, &call, &self.agent.now.config);
        let Next::Transfer { to, .. } = &next else { return next };
        if !self.hands_on {
            return Next::Sorry { words: script::nobody().to_owned() };
        }
        self.transferred = true;
        let command = Command::Transfer { to: to.clone(), kind: self.agent.now.config.transfer_kind };
        match ask::<CallEntity>(client, &self.by, self.live.call.as_str(), command).await {
            // A test is not put through: its page says where it would go.
            Ok(_) | Err(ActorError::Rejected(Rejection::Conflict { .. })) => next,
            Err(error) => {
                tracing::warn!(call = %self.live.call, %error, "a transfer could not be noted");
                Next::Listen
            }
        }
    }

    /// What somebody wants of the call.
    async fn changed(&mut self) -> Option<Told> {
        let client = &self.app.actors.client;
        let call = match calls::find(client, &self.by, &self.live.call).await {
            Ok(Some(call)) => call,
            // Erased: there is nothing to go on with.
            Ok(None) => return Some(Told::Over),
            Err(_) => return None,
        };
        if call.status.over() {
            return Some(Told::Over);
        }
        if call.socket.as_deref().is_some_and(|socket| socket != self.socket) {
            return Some(Told::Replaced);
        }
        if call.hangup.is_some() {
            return Some(Told::HangUp);
        }
        if let Some(transfer) = call.handing_on().filter(|_| !std::mem::replace(&mut self.transferred, true)) {
            let to = transfer.to.clone();
            let words = script::transfer(&self.agent.now.config).to_owned();
            self.drop_answer();
            self.note(&format!("transfer/{}", transfer.at_ms), &words).await;
            return Some(Told::Transfer { to, words });
        }
        None
    }

    async fn state(&self) -> Result<Box<State>, ActorError> {
        calls::conversation_of(&self.app.actors.client, &self.by, &self.live).await
    }
}

/// A message as it was made, heard or not.
fn whole(message: &Message) -> String {
    match &message.unheard {
        Some(unheard) => format!("{} {unheard}", message.content).trim().to_owned(),
        None => message.content.clone(),
    }
}
