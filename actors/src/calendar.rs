//! The calendar entity, which calendars an organization has, and the keys that open its files to programs without a login.

use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Entity};
use colloquy_cluster::store::rows::{Range, Row};
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::appointment::Terms;
use colloquy_domain::calendar::view::{CalendarView, view};
use colloquy_domain::calendar::{self, Calendar, Command, Event, Organization, Reply};
use colloquy_domain::ids::{AgentId, AppointmentId, CalendarId, TenantId};
use colloquy_domain::{Principal, Rejection};

use crate::core::{Asked, Core, ask, pure_core};
use crate::{ActorError, Tools, feed};

/// The list of an organization's calendars.
pub const LIST: &str = "calendars";
/// Calendars of one organization: a chain of shops with one each.
pub const CALENDARS_MAX: usize = 200;
const VIEW_VERSION: u16 = 1;

/// The kind `calendar`. It holds nothing personal: appointments do.
pub struct CalendarEntity;

impl Core for CalendarEntity {
    type Plain = Command;
}

impl Entity for CalendarEntity {
    pure_core!(calendar, Calendar, 1, 1, false);

    type Effect = std::convert::Infallible;

    fn timer(state: &Calendar) -> Option<i64> {
        calendar::timer(state)
    }

    fn on_timer(state: &Calendar, now_ms: i64) -> Option<Self::Command> {
        let command = calendar::on_timer(state, now_ms)?;
        Some(Asked { by: Principal::system(state.tenant.clone()), command })
    }

    fn rows(&self, key: &EntityKey, state: &Calendar, seq: u64) -> Vec<Row> {
        if !state.exists() {
            return Vec::new();
        }
        vec![Row {
            tenant: key.tenant.to_string(),
            list: LIST.to_owned(),
            at_ms: state.created_at_ms,
            id: key.id.to_string(),
            seq,
            view_version: VIEW_VERSION,
            body: feed::encode(&view(state)),
            numbers: None,
        }]
    }

    fn watched(&self, _key: &EntityKey, _state: &Calendar, _event: &Event, _at: At) -> Option<Bytes> {
        Some(Bytes::from_static(b"{\"type\":\"changed\"}"))
    }

    async fn run(self: Arc<Self>, effect: Self::Effect, _handle: EffectHandle) {
        match effect {}
    }
}

/// An organization's calendars, the oldest first.
pub async fn all(client: &Client, tenant: &TenantId) -> Result<Vec<CalendarView>, ActorError> {
    let range = Range { limit: CALENDARS_MAX, ..Range::default() };
    let rows = client.list::<CalendarView>(tenant.as_str(), LIST, &range).await?;
    Ok(rows.into_iter().rev().map(|row| row.body).collect())
}

/// The calendar an agent books in: the oldest one that names it, else the oldest that takes any agent; the one that the organization began with last.
pub async fn serving(client: &Client, tenant: &TenantId, agent: &AgentId) -> Result<Option<CalendarView>, ActorError> {
    let all: Vec<CalendarView> =
        all(client, tenant).await?.into_iter().filter(|calendar| calendar.settings.serves(agent)).collect();
    let own = all.iter().find(|calendar| calendar.settings.agent_ids.contains(agent));
    let set_up = all.iter().find(|calendar| !calendar.starter);
    Ok(own.or(set_up).or(all.first()).cloned())
}

/// A calendar by id.
pub async fn of(client: &Client, by: &Principal, id: &CalendarId) -> Result<Calendar, ActorError> {
    match ask::<CalendarEntity>(client, by, id.as_str(), Command::View).await? {
        Reply::Calendar(calendar) => Ok(*calendar),
        Reply::Done | Reply::Slots { .. } | Reply::Hold { .. } | Reply::Booked { .. } => {
            Err(Rejection::not_found("calendar").into())
        }
    }
}

impl Tools {
    /// What calendars take from an organization.
    pub async fn opening(&self, client: &Client, tenant: &TenantId) -> Result<Organization, ActorError> {
        let copy = self.tenant_copy(client, tenant).await?;
        Ok(Organization { timezone: copy.facts.timezone.clone(), hours: copy.facts.business_hours.clone() })
    }

    /// What an appointment takes from its calendar and organization.
    pub async fn terms(
        &self,
        client: &Client,
        tenant: &TenantId,
        settings: &calendar::Settings,
    ) -> Result<Terms, ActorError> {
        let minutes = |minutes: u32| i64::from(minutes) * 60_000;
        Ok(Terms {
            business: self.tenant_copy(client, tenant).await?.facts.name.clone(),
            timezone: settings.timezone.clone(),
            remind_before_ms: minutes(settings.reminder_minutes),
            late_before_ms: minutes(settings.late_cancellation_minutes),
        })
    }

    /// What opens a calendar's feed: nobody can make it but this installation, and a new version makes the old one worthless.
    pub fn feed_key(&self, tenant: &TenantId, calendar: &CalendarId, version: u32) -> String {
        let mac = self.file_mac(&["feed", tenant.as_str(), calendar.as_str(), &version.to_string()]);
        format!("{}.{}", tenant, mac.to_hex())
    }

    /// What opens the file of one appointment.
    pub fn file_key(&self, tenant: &TenantId, appointment: &AppointmentId) -> String {
        let mac = self.file_mac(&["file", tenant.as_str(), appointment.as_str()]);
        format!("{}.{}", tenant, mac.to_hex())
    }

    /// Where the file of an appointment is.
    pub fn file_address(&self, tenant: &TenantId, appointment: &AppointmentId) -> String {
        format!(
            "{}/api/appointments/{appointment}/invite.ics?key={}",
            self.links.api,
            self.file_key(tenant, appointment)
        )
    }

    /// Where the feed of a calendar is.
    pub fn feed_address(&self, tenant: &TenantId, calendar: &CalendarId, version: u32) -> String {
        format!("{}/api/calendars/{calendar}/feed.ics?key={}", self.links.api, self.feed_key(tenant, calendar, version))
    }

    fn file_mac(&self, parts: &[&str]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.calendar_key);
        for part in parts {
            // With its length, so that no two lists of parts are the same bytes.
            hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
        }
        hasher.finalize()
    }
}

/// The tenant that a key names. Whether the key is good is decided by making it again: see [`same_key`].
pub fn tenant_of_key(key: &str) -> Option<TenantId> {
    let (tenant, mac) = key.rsplit_once('.')?;
    (!tenant.is_empty() && tenant.len() <= crate::core::ID_BYTES_MAX && mac.len() == 2 * blake3::OUT_LEN)
        .then(|| TenantId::from(tenant))
}

/// Whether two keys are the same, in a time that does not tell where they differ.
pub fn same_key(given: &str, right: &str) -> bool {
    let mac = |key: &str| key.rsplit_once('.').and_then(|(_, mac)| blake3::Hash::from_hex(mac).ok());
    let tenants = given.rsplit_once('.').map(|(tenant, _)| tenant) == right.rsplit_once('.').map(|(tenant, _)| tenant);
    // Hashes compare in constant time.
    mac(given).zip(mac(right)).is_some_and(|(given, right)| given == right) && tenants
}
