//! The appointment entity: asks its calendar for the slot, writes to who comes, and gives the slot back when it is given up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Entity, Message};
use colloquy_cluster::store::rows::Row;
use colloquy_cluster::{Ask, Client, EntityKey};
use colloquy_connectors::{Mail, Sms};
use colloquy_domain::appointment::{
    self, Appointment, AppointmentView, Command, Effect, Event, Letter, LetterKind, Outcome, Reply, Request, Update,
    Wish, letter, view,
};
use colloquy_domain::bulletin::{About, Kind as NewsKind, News};
use colloquy_domain::contact_guard::{Address, Purpose, Verdict};
use colloquy_domain::ids::{AppointmentId, TenantId};
use colloquy_domain::vocabulary::Channel;
use colloquy_domain::{Principal, Rejection, calendar, thread};
use serde_json::json;

use crate::calendar::CalendarEntity;
use crate::core::{Asked, Core, ask, ask_after_rows, ask_with, message, pure_core, pure_work};
use crate::messages::trial;
use crate::{ActorError, Tools, bulletin, feed, guard};

/// The list of appointments by when they were asked for.
pub const LIST: &str = "appointments";
/// The list of appointments by when they begin: `<id>/<number of its time>`, so that one that moves leaves its old place.
pub const AGENDA: &str = "agenda";
/// The list of appointments that never got a slot: shown to nobody, found when a person is erased.
pub const REFUSED: &str = "refused_appointments";
const VIEW_VERSION: u16 = 1;

/// How long a wish for a slot is waited for. What takes longer goes on by itself.
const SETTLED_WITHIN: Duration = Duration::from_secs(8);

/// The kind `appointment`.
pub struct AppointmentEntity {
    tools: Arc<Tools>,
}

impl AppointmentEntity {
    /// With what its letters need.
    pub fn new(tools: Arc<Tools>) -> Self {
        Self { tools }
    }
}

impl Core for AppointmentEntity {
    type Plain = Command;
}

impl Entity for AppointmentEntity {
    pure_core!(appointment, Appointment, 1, 1, true);
    pure_work!(appointment, Effect, |state| state.tenant.clone());

    fn rows(&self, key: &EntityKey, state: &Appointment, seq: u64) -> Vec<Row> {
        if !state.exists() {
            return Vec::new();
        }
        let row = |list: &str, id: String, at_ms: i64, body: Option<Bytes>, numbers: Option<Bytes>| Row {
            tenant: key.tenant.to_string(),
            list: list.to_owned(),
            at_ms,
            id,
            seq,
            view_version: VIEW_VERSION,
            body,
            numbers,
        };
        let Some(shown) = view(state) else {
            let named = json!({
                "email": state.details.email, "phone": state.details.phone, "visitor_id": state.source.visitor_id,
                "conversation_id": state.source.conversation_id, "agent_id": state.source.agent_id, "calendar_id": state.calendar_id,
            });
            return vec![row(REFUSED, key.id.to_string(), state.created_at_ms, feed::encode(&named), None)];
        };
        let agent = state.source.agent_id.as_ref().map(ToString::to_string).unwrap_or_default();
        let numbers = feed::Contribution { agent, numbers: appointment::numbers(state) };
        let body = feed::encode(&shown);
        let mut rows = vec![
            row(LIST, key.id.to_string(), state.created_at_ms, body.clone(), feed::encode(&numbers)),
            row(REFUSED, key.id.to_string(), state.created_at_ms, None, None),
        ];
        let starts_ms = state.slot.as_ref().map_or(0, |slot| slot.span.starts_ms);
        // The places it has left.
        rows.extend((1..state.n).map(|n| row(AGENDA, format!("{}/{n}", key.id), state.created_at_ms, None, None)));
        rows.push(row(AGENDA, format!("{}/{}", key.id, state.n), starts_ms, body, None));
        rows
    }

    fn tell(&self, key: &EntityKey, rows: &[Row]) -> Vec<Message> {
        let counted: Vec<Row> = rows.iter().filter(|row| row.list == LIST).cloned().collect();
        feed::tell(key, &counted)
    }

    fn outbox(&self, key: &EntityKey, state: &Appointment, event: &Event, _at: At) -> Vec<Message> {
        let Event::Canceled { late, .. } = event else { return Vec::new() };
        let release = calendar::Command::Release { appointment: state.id.clone() };
        let mut messages = vec![message(&key.tenant, calendar::KIND, state.calendar_id.as_str(), release)];
        // With too little notice somebody is to look at it (APT-9).
        if let Some(conversation) = state.source.conversation_id.clone().filter(|_| *late && !state.source.trial) {
            let news = News { kind: NewsKind::Escalation, about: About::Conversation(conversation), to: None };
            messages.push(bulletin::tell(&key.tenant, news));
        }
        messages
    }

    fn watched(&self, _key: &EntityKey, _state: &Appointment, _event: &Event, _at: At) -> Option<Bytes> {
        Some(Bytes::from_static(b"{\"type\":\"changed\"}"))
    }

    async fn run(self: Arc<Self>, effect: Effect, handle: EffectHandle) {
        match effect {
            // Repeatable: the calendar gives the same wish the same answer.
            Effect::Settle { wish } => settle(&self.tools, &handle, wish).await,
            // Keyed: the same letter has the same key, however often it is sent.
            Effect::Write { letter } => write(&self.tools, &handle, letter).await,
        }
    }
}

/// Books: the appointment as it stands, or why it does not.
///
/// # Errors
/// The calendar's refusal, such as `slot_taken`; `Unavailable` when its calendar takes longer: then it goes on by itself.
pub async fn book(client: &Client, by: &Principal, request: Request) -> Result<AppointmentView, ActorError> {
    let id = request.id.clone();
    wished(client, by, &id, Command::Request(Box::new(request))).await
}

/// Changes an appointment; a new time is waited for.
///
/// # Errors
/// As [`book`].
pub async fn change(
    client: &Client,
    by: &Principal,
    id: &AppointmentId,
    update: Update,
) -> Result<AppointmentView, ActorError> {
    wished(client, by, id, Command::Update(Box::new(update))).await
}

/// An appointment that has a slot.
///
/// # Errors
/// `NotFound` also for one that never got a slot.
pub async fn of(client: &Client, by: &Principal, id: &str) -> Result<AppointmentView, ActorError> {
    let state = get(client, by, id).await?;
    Ok(view(&state).ok_or_else(|| Rejection::not_found("appointment"))?)
}

async fn get(client: &Client, by: &Principal, id: &str) -> Result<Appointment, ActorError> {
    match ask::<AppointmentEntity>(client, by, id, Command::Get).await? {
        Reply::State(state) => Ok(*state),
        Reply::Done => Err(ActorError::Failed),
    }
}

async fn wished(
    client: &Client,
    by: &Principal,
    id: &AppointmentId,
    command: Command,
) -> Result<AppointmentView, ActorError> {
    let key = EntityKey::new(by.tenant.as_str(), appointment::KIND, id.as_str());
    let mut changes = client.watch(&key).followed().await;
    let Reply::State(asked) = ask_after_rows::<AppointmentEntity>(client, by, id.as_str(), command).await? else {
        return Err(ActorError::Failed);
    };
    // An earlier refusal is none of this one.
    let n = asked.wish.as_ref().map_or(asked.n, |wish| wish.n);
    let deadline = tokio::time::Instant::now() + SETTLED_WITHIN;
    loop {
        // After its rows, so that a list that is asked for next has it.
        let asked = ask_after_rows::<AppointmentEntity>(client, by, id.as_str(), Command::Get).await?;
        let Reply::State(state) = asked else { return Err(ActorError::Failed) };
        if state.wish.as_ref().is_none_or(|wish| wish.n != n) {
            return match &state.refusal {
                Some(refusal) if refusal.n == n || state.slot.is_none() => {
                    Err(Rejection::conflict(&refusal.code, refusal.detail.clone()).into())
                }
                Some(_) | None => Ok(view(&state).ok_or(ActorError::Failed)?),
            };
        }
        if tokio::time::timeout_at(deadline, changes.next()).await.is_err() {
            return Err(ActorError::Unavailable("its calendar takes longer than usual; it goes on by itself".into()));
        }
    }
}

/// Asks the calendar and brings its answer back.
async fn settle(tools: &Tools, handle: &EffectHandle, wish: Wish) {
    let tenant = TenantId::from(&*handle.key().tenant);
    let by = Principal::system(tenant.clone());
    let n = wish.n;
    let outcome = match wanted(tools, handle, &by, wish).await {
        Ok(slot) => Outcome::Given { slot },
        Err(ActorError::Rejected(Rejection::Superseded)) => return,
        Err(ActorError::Rejected(rejection)) => {
            let code = match &rejection {
                Rejection::Conflict { code, .. } => code.clone(),
                Rejection::NotFound { .. } => "calendar_gone".to_owned(),
                Rejection::Forbidden { .. }
                | Rejection::Invalid { .. }
                | Rejection::Stale { .. }
                | Rejection::LimitReached { .. }
                | Rejection::Superseded => calendar::SLOT_CLOSED.to_owned(),
            };
            Outcome::Refused { code, detail: in_words(&rejection) }
        }
        // It stays wanted: the clock asks again.
        Err(error) => {
            tracing::warn!(appointment = %handle.key().id, %error, "a calendar could not be asked yet");
            return;
        }
    };
    bring(handle, Command::Settled { n, outcome }).await;
}

fn in_words(rejection: &Rejection) -> String {
    match rejection {
        Rejection::Invalid { errors } => {
            errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}

async fn wanted(
    tools: &Tools,
    handle: &EffectHandle,
    by: &Principal,
    wish: Wish,
) -> Result<calendar::Slot, ActorError> {
    let client = handle.client();
    let state = get(client, by, &handle.key().id).await?;
    let organization = tools.opening(client, &by.tenant).await?;
    let key = format!("book:{}:{}", handle.key().id, wish.n);
    let command = calendar::Command::Book {
        appointment: state.id.clone(),
        n: wish.n,
        holder: wish.holder,
        want: wish.want,
        organization,
    };
    let calendar = state.calendar_id.clone();
    // With a key, so that an unknown outcome is asked for again.
    match ask_with::<CalendarEntity>(client, by, calendar.as_str(), command, Ask::keyed(&key)).await? {
        calendar::Reply::Booked { slot } => Ok(slot),
        _ => Err(ActorError::Failed),
    }
}

async fn write(tools: &Tools, handle: &EffectHandle, owed: Letter) {
    let tenant = TenantId::from(&*handle.key().tenant);
    let by = Principal::system(tenant.clone());
    let state = match get(handle.client(), &by, &handle.key().id).await {
        Ok(state) => state,
        Err(ActorError::Rejected(_)) => return,
        Err(error) => {
            tracing::warn!(appointment = %handle.key().id, %error, "a letter waits for its appointment");
            return;
        }
    };
    let key = format!("appointment:{}:{}", handle.key().id, owed.id);
    let file = tools.file_address(&tenant, &state.id);
    let texts = owed.kind != LetterKind::Confirmation && !state.source.trial;
    let to_phone = state.details.phone.clone().filter(|_| texts);
    let (channel, outcome) = match (&state.details.email, to_phone) {
        (Some(email), _) => {
            let Some(words) = letter::words(&state, owed.kind, &file) else { return };
            let mail =
                Mail { to: email.clone(), subject: words.subject, text: words.text, html: None, idempotency_key: key };
            (
                "email",
                tools
                    .mailer
                    .send(&mail)
                    .await
                    .map(|receipt| receipt.recorded)
                    .map_err(|error| Unsent { retry: error.retryable() }),
            )
        }
        (None, Some(phone)) => {
            let Some(text) = letter::text_message(&state, owed.kind) else { return };
            match text_to(tools, handle, &tenant, &state, &owed, Sms { to: phone, text, idempotency_key: key }).await {
                Some(outcome) => ("sms", outcome),
                None => return, // A newer attempt has it.
            }
        }
        // Nobody can be reached any more.
        (None, None) => {
            bring(handle, Command::LetterFailed { id: owed.id, attempt: owed.attempt, retry: false }).await;
            return;
        }
    };
    metrics::counter!(crate::telemetry::APPOINTMENT_LETTERS, "channel" => channel, "outcome" => match &outcome { Ok(false) => "sent", Ok(true) => "recorded", Err(_) => "failed" }).increment(1);
    let result = match outcome {
        Ok(recorded) => Command::LetterSent { id: owed.id, attempt: owed.attempt, recorded },
        Err(Unsent { retry }) => Command::LetterFailed { id: owed.id, attempt: owed.attempt, retry },
    };
    bring(handle, result).await;
}

/// A letter that is not on its way.
struct Unsent {
    /// Whether it surely did not leave and may another time.
    retry: bool,
}

/// Writes a text message to who comes: from a number of the organization, if the guard of theirs permits it, once; true when it was only recorded. `None`: another
/// attempt has it.
async fn text_to(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    state: &Appointment,
    owed: &Letter,
    sms: Sms,
) -> Option<Result<bool, Unsent>> {
    let client = handle.client();
    let to = Address::of_carrier(&sms.to);
    let lines = match tools.lines(client, tenant).await {
        Ok(lines) => lines,
        Err(_) => return Some(Err(Unsent { retry: true })),
    };
    let Some(number) = lines.for_texts(state.source.agent_id.as_ref()) else {
        // Without a number of its own an organization's messages are only recorded, for developers; the list holds for these too.
        let asked =
            guard::may_send(client, tools, tenant, &to, sms.idempotency_key.clone(), Channel::Sms, Purpose::Service);
        return Some(match asked.await {
            Ok(Verdict::Permitted(_)) => tools
                .sms
                .send(&sms)
                .await
                .map(|receipt| receipt.recorded)
                .map_err(|error| Unsent { retry: error.retryable() }),
            Ok(Verdict::Refused(_)) => Err(Unsent { retry: false }),
            Err(_) => Err(Unsent { retry: true }),
        });
    };
    let leaves = async || {
        // In the journal before it leaves: a crash in between sends it no second time.
        let by = Principal::system(tenant.clone());
        let leaves = Command::LetterLeaves { id: owed.id.clone(), attempt: owed.attempt };
        // Whatever hinders that: it has not left, and the clock takes it up again.
        let journaled = handle.command::<AppointmentEntity>(Asked { by, command: leaves }).await;
        journaled.map_err(|_| ActorError::Rejected(Rejection::Superseded))?;
        if let (Some(agent), Some(conversation)) = (&state.source.agent_id, &state.source.conversation_id) {
            // What they answer belongs to the conversation in which it was agreed.
            let thread = crate::thread::id(tools, agent, &sms.to);
            let wrote = thread::Command::Wrote { agent: agent.clone(), conversation: conversation.clone() };
            let by = Principal::system(tenant.clone());
            if let Err(error) = ask::<crate::thread::ThreadEntity>(client, &by, &thread, wrote).await {
                tracing::info!(appointment = %state.id, %error, "an answer to a text message may begin a new conversation");
            }
        }
        Ok(())
    };
    match trial::text(client, tools, tenant, &number.is, &to, sms.idempotency_key.clone(), sms.text.clone(), leaves)
        .await
    {
        Ok(_) => Some(Ok(false)),
        Err(ActorError::Rejected(Rejection::Superseded)) => None,
        Err(ActorError::Busy { .. } | ActorError::Unavailable(_)) => Some(Err(Unsent { retry: true })),
        Err(error) => {
            tracing::info!(appointment = %state.id, %error, "a text message about an appointment was not sent");
            Some(Err(Unsent { retry: false }))
        }
    }
}

/// Brings a result back. A refusal means that a newer attempt has it.
async fn bring(handle: &EffectHandle, command: Command) {
    let by = Principal::system(TenantId::from(&*handle.key().tenant));
    match handle.command::<AppointmentEntity>(Asked { by, command }).await.map_err(ActorError::from) {
        Ok(_) | Err(ActorError::Rejected(_)) => {}
        Err(error) => {
            tracing::warn!(appointment = %handle.key().id, %error, "what became of an appointment's work could not be brought back");
        }
    }
}
