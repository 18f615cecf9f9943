//! Carries out what a turn wants of a calendar: finds slots, holds one, books, moves, gives up. What it takes stands in the calendar whatever becomes of
//! the turn, and asking for it again gives the same answer.

use std::sync::Arc;

use colloquy_cluster::Client;
use colloquy_cluster::effect::EffectHandle;
use colloquy_domain::agent::config::AgentConfig;
use colloquy_domain::appointment::{Details, Request, Source, Update};
use colloquy_domain::calendar::view::{self, CalendarView};
use colloquy_domain::calendar::{self, Command, Query, Reply, Slot, Want};
use colloquy_domain::conversation::dialogue::booking::{
    self, Offered, Outcome, Settled, Step, concerns, details, prepared, spread, spread_over_days, steer, step,
};
use colloquy_domain::conversation::dialogue::{self, Brief, Setting, Understanding};
use colloquy_domain::conversation::{Answer, NEED};
use colloquy_domain::ids::{AppointmentId, TenantId};
use colloquy_domain::vocabulary::AppointmentStatus;
use colloquy_domain::{Principal, Rejection, demo};

use super::answer::Attempt;
use super::stream;
use crate::calendar::CalendarEntity;
use crate::core::ask;
use crate::{ActorError, Tools, appointment, calendar as calendars};

/// How far ahead other slots are looked for when nothing is free where it was asked, milliseconds.
const ELSEWHERE_MS: i64 = 28 * 24 * 3600 * 1000;

/// Who attends to a turn that may be about appointments.
struct Desk<'a> {
    tools: &'a Tools,
    client: &'a Client,
    by: Principal,
    calendar: &'a CalendarView,
    setting: &'a Setting<'a>,
    brief: &'a Brief,
    /// The demonstration: times are held as anywhere, and nothing is ever booked.
    demo: bool,
}

/// Which of the free slots are offered.
#[derive(Clone, Copy)]
struct Choice {
    /// They stand in for one that somebody else has by now.
    taken: bool,
    /// One of each day rather than several of one.
    over_days: bool,
}

/// Understands a turn that may be about appointments, with everything in the calendar done that it asks for. `None` if it is about something else, or
/// nobody can be booked with this agent.
pub(super) async fn attend(
    tools: &Tools,
    handle: &EffectHandle,
    setting: &Setting<'_>,
    brief: &Brief,
) -> Option<Understanding> {
    let demo = demo::is_sandboxed(&handle.key().tenant);
    // A sandbox takes nobody's time; the demonstration's is nobody's.
    let tried = demo.then(|| Brief { sandbox: false, ..brief.clone() });
    if !concerns(setting, tried.as_ref().unwrap_or(brief)) {
        return None;
    }
    let tenant = TenantId::from(&*handle.key().tenant);
    let client = handle.client();
    let calendar = match serving(client, &tenant, setting, brief).await {
        Ok(calendar) => calendar?,
        Err(error) => {
            // Without it the agent's own form takes a request.
            tracing::warn!(conversation = %handle.key().id, %error, "calendars could not be looked at");
            return None;
        }
    };
    let (config, brief) = prepared(setting, brief, &calendar.settings);
    let setting = Setting { config: &config, ..*setting };
    let mut understanding = dialogue::understand(&setting, &brief);
    let step = step(&setting, &brief, &understanding, &calendar.settings);
    if step == Step::Leave {
        return None;
    }
    let by = Principal::system(tenant);
    let desk = Desk { tools, client, by, calendar: &calendar, setting: &setting, brief: &brief, demo };
    let outcome = match desk.carry_out(&step, &understanding).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::warn!(conversation = %handle.key().id, %error, "a calendar could not be asked");
            Outcome::Unavailable
        }
    };
    steer(&setting, &brief, &mut understanding, (&calendar.id, &calendar.settings), &step, outcome);
    Some(understanding)
}

/// The calendar that the agent books in. One that nobody has set up books what the agent's trade does.
async fn serving(
    client: &Client,
    tenant: &TenantId,
    setting: &Setting<'_>,
    brief: &Brief,
) -> Result<Option<CalendarView>, ActorError> {
    let Some(found) = calendars::serving(client, tenant, &brief.agent_id).await? else { return Ok(None) };
    let kind = booking::kind_to_begin_with(setting.config)
        .filter(|kind| found.starter && !found.settings.types.contains(kind) && !demo::is_sandboxed(tenant.as_str()));
    let Some(kind) = kind else { return Ok(Some(found)) };
    let by = Principal::system(tenant.clone());
    match ask::<CalendarEntity>(client, &by, found.id.as_str(), Command::Suit { kind }).await? {
        Reply::Calendar(calendar) => Ok(Some(view::view(&calendar))),
        Reply::Done | Reply::Slots { .. } | Reply::Hold { .. } | Reply::Booked { .. } => Err(ActorError::Failed),
    }
}

/// The configuration with the tool for appointments only where there is a calendar behind it: a model that is given it will use it.
pub(super) async fn offered(
    tools: &Tools,
    handle: &EffectHandle,
    config: Arc<AgentConfig>,
    brief: &Brief,
) -> Arc<AgentConfig> {
    if tools.model.is_none() || !config.tools.iter().any(|tool| tool == booking::TOOL) {
        return config;
    }
    let tenant = TenantId::from(&*handle.key().tenant);
    let takes = !brief.sandbox || demo::is_sandboxed(tenant.as_str());
    if takes && matches!(calendars::serving(handle.client(), &tenant, &brief.agent_id).await, Ok(Some(_))) {
        return config;
    }
    let mut without = (*config).clone();
    without.tools.retain(|tool| tool != booking::TOOL);
    Arc::new(without)
}

/// The tool of models: finds free times for a wish in their words, and answers with them. Choosing and booking go on as without a model.
pub(super) async fn find(of: &Attempt<'_>, wish: &str, answer: &mut Answer) {
    let asked = Brief { text: format!("book an appointment {wish}"), ..of.brief.clone() };
    let Some(understanding) = attend(of.tools, of.handle, &of.setting, &asked).await else { return };
    // What the model said beside its call is not what stands.
    stream::discard(of.handle, &of.brief.answer_id, "tool");
    let composed = dialogue::compose(&of.setting, of.brief, &understanding, None);
    answer.text = composed.text;
    answer.prompt = composed.prompt;
    answer.fallback = false;
    answer.question = false;
    answer.sources = Vec::new();
    answer.tool_facts = Some(Box::new(understanding.facts));
}

impl Desk<'_> {
    async fn carry_out(&self, step: &Step, understanding: &Understanding) -> Result<Outcome, ActorError> {
        match step {
            Step::Offer { query, exact_ms, moving, over_days, .. } => {
                let mut query = (**query).clone();
                if let Some(appointment) = moving.as_ref().filter(|_| !self.demo) {
                    // It keeps its kind: a haircut that moves stays one.
                    query.kind = Some(appointment::of(self.client, &self.by, appointment.as_str()).await?.kind);
                }
                self.offer(query, *exact_ms, Choice { taken: false, over_days: *over_days }).await
            }
            Step::Hold { slot } => match self.hold(slot).await {
                Ok(()) => Ok(Outcome::Held),
                Err(ActorError::Rejected(Rejection::Conflict { .. })) => self.instead(slot).await,
                Err(error) => Err(error),
            },
            Step::Book { slot, moving } => {
                let result = match moving {
                    _ if self.demo => self.pretend(slot).await,
                    Some(appointment) => self.move_to(appointment, slot).await,
                    None => self.book(slot, understanding).await,
                };
                match result {
                    Ok(settled) => Ok(Outcome::Booked(settled)),
                    Err(ActorError::Rejected(Rejection::Conflict { code, .. }))
                        if [calendar::SLOT_TAKEN, calendar::SLOT_CLOSED].contains(&code.as_str()) =>
                    {
                        self.instead(slot).await
                    }
                    Err(error) => Err(error),
                }
            }
            Step::Cancel { appointment } if self.demo => {
                self.unhold().await?;
                let agreed = self.brief.dialogue.agreed.iter().find(|agreed| agreed.id == *appointment);
                let when = agreed.map(|agreed| agreed.when.clone()).unwrap_or_default();
                Ok(Outcome::Canceled { when, late: false })
            }
            Step::Cancel { appointment } => {
                let update = Update { status: Some(AppointmentStatus::Canceled), ..Update::default() };
                let before = appointment::of(self.client, &self.by, appointment.as_str()).await?;
                let after = match before.status {
                    AppointmentStatus::Canceled => before,
                    AppointmentStatus::Scheduled
                    | AppointmentStatus::Confirmed
                    | AppointmentStatus::Completed
                    | AppointmentStatus::NoShow => {
                        appointment::change(self.client, &self.by, appointment, update).await?
                    }
                };
                Ok(Outcome::Canceled { when: after.when, late: after.late_cancellation })
            }
            Step::Note { .. } if self.demo => Ok(Outcome::Noted),
            Step::Note { appointment, words, .. } => {
                let before = appointment::of(self.client, &self.by, appointment.as_str()).await?.description;
                // Said in an attempt that did not come to its end, it stands already.
                if !before.lines().any(|line| line == words) {
                    let description = if before.is_empty() { words.clone() } else { format!("{before}\n{words}") };
                    let update = Update { description: Some(description), ..Update::default() };
                    appointment::change(self.client, &self.by, appointment, update).await?;
                }
                Ok(Outcome::Noted)
            }
            Step::Drop => {
                self.unhold().await?;
                Ok(Outcome::None)
            }
            Step::Leave | Step::Ask | Step::Remind | Step::AskWhen | Step::AskCancel { .. } | Step::KeepIt => {
                Ok(Outcome::None)
            }
        }
    }

    /// Slots where they were asked for, else the next ones.
    async fn offer(&self, query: Query, exact_ms: Option<i64>, choice: Choice) -> Result<Outcome, ActorError> {
        let found = self.free(query.clone()).await?;
        let exactly = exact_ms.is_none_or(|at| found.first().is_some_and(|slot| slot.span.starts_ms == at));
        let narrow = query.hours.is_some() || query.to_ms - query.from_ms < ELSEWHERE_MS || query.provider.is_some();
        let (slots, others) = if found.is_empty() && narrow {
            let mut wide = Query { to_ms: query.from_ms + ELSEWHERE_MS, ..query.clone() };
            let mut next = self.free(wide.clone()).await?;
            if next.is_empty() {
                wide = Query { hours: None, provider: None, any_provider: true, ..wide };
                next = self.free(wide).await?;
            }
            (next, true)
        } else {
            (found, !exactly)
        };
        let slots = if exactly && exact_ms.is_some() && !others {
            slots.into_iter().take(1).collect()
        } else if choice.over_days {
            spread_over_days(slots, &self.calendar.settings.timezone)
        } else {
            spread(slots)
        };
        let offered = slots.iter().map(|slot| Offered::of(slot, &self.calendar.settings)).collect();
        Ok(Outcome::Slots { offered, others, taken: choice.taken })
    }

    /// Others in the place of one that somebody else has by now.
    async fn instead(&self, slot: &Offered) -> Result<Outcome, ActorError> {
        let from_ms = slot.starts_ms.max(self.setting.now_ms);
        let query = Query {
            kind: Some(slot.kind.clone()),
            any_provider: true,
            from_ms,
            to_ms: from_ms + ELSEWHERE_MS,
            holder: Some(self.holder()),
            limit: 60,
            ..Query::default()
        };
        self.offer(query, None, Choice { taken: true, over_days: false }).await
    }

    async fn free(&self, query: Query) -> Result<Vec<Slot>, ActorError> {
        let organization = self.tools.opening(self.client, &self.by.tenant).await?;
        let command = Command::Slots { query, organization };
        match ask::<CalendarEntity>(self.client, &self.by, self.calendar.id.as_str(), command).await? {
            Reply::Slots { items } => Ok(items),
            Reply::Done | Reply::Calendar(_) | Reply::Hold { .. } | Reply::Booked { .. } => Err(ActorError::Failed),
        }
    }

    async fn hold(&self, slot: &Offered) -> Result<(), ActorError> {
        let organization = self.tools.opening(self.client, &self.by.tenant).await?;
        let command = Command::Hold { holder: self.holder(), want: want(slot), organization };
        ask::<CalendarEntity>(self.client, &self.by, self.calendar.id.as_str(), command).await?;
        Ok(())
    }

    async fn unhold(&self) -> Result<(), ActorError> {
        let unhold = Command::Unhold { holder: self.holder() };
        ask::<CalendarEntity>(self.client, &self.by, self.calendar.id.as_str(), unhold).await?;
        Ok(())
    }

    /// As booking looks to who does it: the time is held, runs free by itself, and nobody's name is kept with it.
    async fn pretend(&self, slot: &Offered) -> Result<Settled, ActorError> {
        self.hold(slot).await?;
        let kind = self.calendar.settings.kind(Some(&slot.kind));
        Ok(Settled {
            id: AppointmentId(format!("{}-demo", self.brief.conversation_id)),
            what: kind.map_or_else(|| slot.kind.clone(), |kind| kind.name.clone()),
            when: view::label(&self.calendar.settings.timezone, slot.starts_ms),
            file: None,
            email: None,
        })
    }

    async fn book(&self, slot: &Offered, understanding: &Understanding) -> Result<Settled, ActorError> {
        let contact = details(self.setting, self.brief, understanding);
        let mut data = self.brief.dialogue.values.clone();
        data.extend(understanding.facts.values.clone());
        data.remove(booking::KIND_FIELD);
        if !self.brief.dialogue.need.is_empty() {
            data.entry(NEED.to_owned()).or_insert_with(|| self.brief.dialogue.need.clone());
        }
        let known = [&contact.name, &contact.email, &contact.phone];
        data.retain(|_, value| !known.iter().any(|known| known.as_ref() == Some(value)));
        let request = Request {
            // The same for every try of this booking, whichever turn makes it.
            id: AppointmentId(format!("{}-{}", self.brief.conversation_id, self.brief.dialogue.agreed.len() + 1)),
            calendar_id: self.calendar.id.clone(),
            want: want(slot),
            holder: Some(self.holder()),
            details: Details {
                name: contact.name,
                email: contact.email,
                phone: contact.phone,
                vertical_data: data.into_iter().map(|(name, value)| (name, value.into())).collect(),
                ..Details::default()
            },
            source: Source {
                agent_id: Some(self.brief.agent_id.clone()),
                conversation_id: Some(self.brief.conversation_id.clone()),
                visitor_id: Some(self.brief.visitor.id.clone()),
                channel: Some(self.brief.channel.0),
                trial: self.brief.visitor.trial,
            },
            terms: self.tools.terms(self.client, &self.by.tenant, &self.calendar.settings).await?,
        };
        let made = appointment::book(self.client, &self.by, request).await?;
        Ok(self.settled(made))
    }

    async fn move_to(&self, id: &AppointmentId, slot: &Offered) -> Result<Settled, ActorError> {
        let update = Update { want: Some(want(slot)), holder: Some(self.holder()), ..Update::default() };
        let made = appointment::change(self.client, &self.by, id, update).await?;
        Ok(self.settled(made))
    }

    fn settled(&self, made: colloquy_domain::appointment::AppointmentView) -> Settled {
        let with = made.provider_name.as_ref().map(|name| format!(" with {name}")).unwrap_or_default();
        Settled {
            what: format!("{}{with}", made.type_name),
            when: made.when,
            file: Some(self.tools.file_address(&self.by.tenant, &made.id)),
            email: made.email,
            id: made.id,
        }
    }

    /// A conversation holds at most one slot.
    fn holder(&self) -> String {
        self.brief.conversation_id.to_string()
    }
}

fn want(slot: &Offered) -> Want {
    Want {
        kind: Some(slot.kind.clone()).filter(|kind| !kind.is_empty()),
        provider: Some(slot.provider.clone()).filter(|provider| !provider.is_empty()),
        starts_ms: slot.starts_ms,
    }
}
