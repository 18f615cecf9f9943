//! Who of an organization is here: a resident per tenant that folds what all of a person's screens say, on whichever node, into one entry.
//!
//! It has no journal. Screens repeat what they say every [`REPEAT_MS`], so one that starts anew, or elsewhere, knows all within that time.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::entity::Resident;
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::ids::{TenantId, UserId};
use colloquy_domain::local_time::rfc3339;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Tools;
use crate::feed::board::{Board, Update};
use crate::feed::encode;

/// The kind in keys; there is one per tenant.
pub const KIND: &str = "presence";
/// The contract's name of its topic.
pub const TOPIC: &str = "presence";
/// Its id.
const ID: &str = "main";
/// Screens say again that they are here this often, milliseconds.
pub const REPEAT_MS: u64 = 10_000;
/// A screen that has not been heard of for this long is gone, milliseconds: twice it may go unheard.
const GONE_AFTER_MS: i64 = 30_000;
/// Typing ends by itself, milliseconds: whoever types says so again.
const TYPING_MS: i64 = 6_000;
/// Screens of one person: tabs on several devices. With more the one heard of longest ago is forgotten.
const SCREENS_MAX: usize = 32;
/// People shown: an organization with more at once is not watched face by face.
const PEOPLE_MAX: usize = 1_000;
/// The longest id of a conversation that is taken, bytes.
const ID_BYTES_MAX: usize = 128;
/// The head is repeated this often, milliseconds, so that a lost last delta is noticed.
const HEAD_EVERY_MS: i64 = 1_000;

/// What a screen says of its person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Here {
    /// The console is open, nobody touches it.
    pub away: bool,
    /// The conversation in view.
    pub viewing: Option<String>,
    /// Whether something is being typed into it.
    pub typing: bool,
}

/// What may be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Ask {
    Here { user: UserId, screen: String, here: Here, fresh: bool },
    Left { user: UserId, screen: String },
    Snapshot,
    Since { seq: u64 },
}

/// Who is here, with the number that deltas go on from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The number.
    pub seq: u64,
    /// The people, as the contract shows them.
    pub people: Vec<Value>,
}

/// The key of a tenant's.
pub fn key(tenant: &TenantId) -> EntityKey {
    EntityKey::new(tenant.as_str(), KIND, ID)
}

/// Tells what a screen's person does. `fresh`: it has just changed, rather than being repeated.
pub async fn here(
    client: &Client,
    tenant: &TenantId,
    user: &UserId,
    screen: &str,
    here: &Here,
    fresh: bool,
) -> Result<(), String> {
    let ask = Ask::Here { user: user.clone(), screen: screen.to_owned(), here: here.clone(), fresh };
    asked(client, tenant, &ask).await
}

/// Tells that a screen was closed.
pub async fn left(client: &Client, tenant: &TenantId, user: &UserId, screen: &str) -> Result<(), String> {
    asked(client, tenant, &Ask::Left { user: user.clone(), screen: screen.to_owned() }).await
}

/// Who is here.
pub async fn snapshot(client: &Client, tenant: &TenantId) -> Result<Snapshot, String> {
    asked(client, tenant, &Ask::Snapshot).await
}

/// The deltas after a number, if they are still known.
pub async fn since(client: &Client, tenant: &TenantId, seq: u64) -> Result<Option<Vec<Update>>, String> {
    asked(client, tenant, &Ask::Since { seq }).await
}

async fn asked<T: serde::de::DeserializeOwned>(client: &Client, tenant: &TenantId, ask: &Ask) -> Result<T, String> {
    let answer = client.resident_ask(&key(tenant), encode(ask).unwrap_or_default()).await;
    serde_json::from_slice(&answer.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
}

/// One screen, as last heard of.
#[derive(Clone, Debug)]
struct Screen {
    here: Here,
    heard_ms: i64,
    changed_ms: i64,
}

/// The people of a tenant and their screens.
#[derive(Default)]
struct Room {
    people: BTreeMap<UserId, Person>,
}

struct Person {
    since_ms: i64,
    screens: BTreeMap<String, Screen>,
}

/// A person as all their screens together show them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    since_ms: i64,
    away: bool,
    viewing: Option<String>,
    typing: bool,
}

impl Room {
    fn here(&mut self, user: UserId, screen: String, mut here: Here, fresh: bool, now_ms: i64) {
        here.viewing = here.viewing.filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX);
        if self.people.len() >= PEOPLE_MAX && !self.people.contains_key(&user) {
            return;
        }
        let person = self.people.entry(user).or_insert_with(|| Person { since_ms: now_ms, screens: BTreeMap::new() });
        let known = person.screens.get(&screen);
        // A repeated word does not come before what another screen has said since, unless it is the first that is heard of it.
        let changed_ms = known.filter(|_| !fresh).map_or(now_ms, |known| known.changed_ms);
        person.screens.insert(screen, Screen { here, heard_ms: now_ms, changed_ms });
        if person.screens.len() > SCREENS_MAX
            && let Some(oldest) =
                person.screens.iter().min_by_key(|(_, screen)| screen.heard_ms).map(|(id, _)| id.clone())
        {
            person.screens.remove(&oldest);
        }
    }

    /// A closed screen shows nothing any more; the last one's person is here a little longer, since pages are reloaded.
    fn left(&mut self, user: &UserId, screen: &str) {
        let Some(person) = self.people.get_mut(user) else { return };
        if person.screens.len() > 1 {
            person.screens.remove(screen);
        } else if let Some(last) = person.screens.get_mut(screen) {
            last.here = Here { away: last.here.away, ..Here::default() };
        }
    }

    fn forget(&mut self, now_ms: i64) {
        for person in self.people.values_mut() {
            person.screens.retain(|_, screen| screen.heard_ms > now_ms - GONE_AFTER_MS);
        }
        self.people.retain(|_, person| !person.screens.is_empty());
    }

    fn shown(&self, now_ms: i64) -> impl Iterator<Item = (&UserId, Shown)> {
        self.people.iter().filter_map(move |(user, person)| {
            let newest = person.screens.values().max_by_key(|screen| screen.changed_ms)?;
            let shown = Shown {
                since_ms: person.since_ms,
                away: person.screens.values().all(|screen| screen.here.away),
                viewing: newest.here.viewing.clone(),
                typing: newest.here.typing && newest.here.viewing.is_some() && newest.changed_ms > now_ms - TYPING_MS,
            };
            Some((user, shown))
        })
    }
}

/// A tenant's presence.
pub struct Presence {
    tools: Arc<Tools>,
    client: Client,
    tenant: TenantId,
    room: Room,
    board: Board,
    shown: BTreeMap<UserId, Shown>,
    head_at_ms: i64,
}

impl Resident for Presence {
    const KIND: &'static str = KIND;
    const IDLE_AFTER_MS: i64 = 60_000;
    const TICK_MS: u64 = 200;

    type Env = Tools;

    async fn start(env: Arc<Tools>, client: Client, key: EntityKey, _epoch: u64) -> Result<Self, String> {
        let now_ms = client.now_ms();
        Ok(Self {
            tools: env,
            tenant: TenantId::from(&*key.tenant),
            room: Room::default(),
            // As the feed's: a later start is above all of an earlier one.
            board: Board::new(u64::try_from(now_ms).unwrap_or(0) << 10),
            shown: BTreeMap::new(),
            head_at_ms: now_ms,
            client,
        })
    }

    async fn handle(&mut self, message: Bytes) -> Bytes {
        let now_ms = self.client.now_ms();
        let answer = match serde_json::from_slice::<Ask>(&message) {
            Ok(Ask::Here { user, screen, here, fresh }) => {
                self.room.here(user, screen, here, fresh, now_ms);
                encode(&())
            }
            Ok(Ask::Left { user, screen }) => {
                self.room.left(&user, &screen);
                encode(&())
            }
            Ok(Ask::Snapshot) => {
                self.refresh(now_ms).await;
                let people = self.board.data().as_object().map(|all| all.values().cloned().collect());
                encode(&Snapshot { seq: self.board.seq(), people: people.unwrap_or_default() })
            }
            Ok(Ask::Since { seq }) => encode(&self.board.since(seq)),
            Err(error) => {
                tracing::error!(tenant = %self.tenant, %error, "presence could not read a message");
                encode(&json!({ "error": error.to_string() }))
            }
        };
        answer.unwrap_or_default()
    }

    async fn tick(&mut self, now_ms: i64) -> Vec<Bytes> {
        self.refresh(now_ms).await;
        let mut updates: Vec<Update> = self.board.flush(TOPIC).into_iter().collect();
        if now_ms >= self.head_at_ms + HEAD_EVERY_MS {
            self.head_at_ms = now_ms;
            updates.push(Update::head(TOPIC, self.board.seq()));
        }
        updates.iter().filter_map(encode).collect()
    }
}

impl Presence {
    async fn refresh(&mut self, now_ms: i64) {
        self.room.forget(now_ms);
        let shown: BTreeMap<UserId, Shown> =
            self.room.shown(now_ms).map(|(user, shown)| (user.clone(), shown)).collect();
        if shown == self.shown {
            return;
        }
        let Ok(copy) = self.tools.tenant_copy(&self.client, &self.tenant).await else { return };
        for user in self.shown.keys().filter(|user| !shown.contains_key(*user)) {
            self.board.remove(user.as_str());
        }
        for (user, shown) in &shown {
            // Whoever is no member any more is shown to nobody.
            let Some(member) = copy.members.get(user) else { continue };
            let value = json!({
                "user_id": user,
                "name": member.name,
                "status": if shown.away { "away" } else { "online" },
                "viewing": shown.viewing,
                "typing": shown.typing,
                "since": rfc3339(shown.since_ms),
            });
            self.board.put(user.to_string(), shown.since_ms, 0, value, PEOPLE_MAX);
        }
        self.shown = shown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId(name.to_owned())
    }

    fn here(viewing: &str, typing: bool) -> Here {
        Here { away: false, viewing: Some(viewing.to_owned()), typing }
    }

    fn of(room: &Room, name: &str, now_ms: i64) -> Option<Shown> {
        room.shown(now_ms).find(|(user, _)| user.as_str() == name).map(|(_, shown)| shown)
    }

    #[test]
    fn all_screens_of_a_person_are_one_entry_and_the_one_that_spoke_last_counts() {
        let mut room = Room::default();
        room.here(user("ann"), "phone".into(), Here { away: true, ..Here::default() }, true, 1_000);
        room.here(user("ann"), "desk".into(), here("c1", true), true, 2_000);
        room.here(user("ann"), "phone".into(), Here { away: true, ..Here::default() }, false, 3_000);
        let shown = of(&room, "ann", 3_000).expect("here");
        assert_eq!(
            (shown.away, shown.viewing.as_deref(), shown.typing, shown.since_ms),
            (false, Some("c1"), true, 1_000)
        );
        assert!(!of(&room, "ann", 2_000 + TYPING_MS).expect("here").typing, "typing ends by itself");
        room.left(&user("ann"), "desk");
        let shown = of(&room, "ann", 3_000).expect("still on the phone");
        assert_eq!((shown.away, shown.viewing), (true, None));
    }

    #[test]
    fn a_person_is_gone_half_a_minute_after_the_last_screen() {
        let mut room = Room::default();
        room.here(user("ann"), "desk".into(), here("c1", false), true, 1_000);
        room.left(&user("ann"), "desk");
        room.forget(GONE_AFTER_MS);
        assert_eq!(of(&room, "ann", GONE_AFTER_MS).expect("a reload takes a moment").viewing, None);
        room.forget(1_000 + GONE_AFTER_MS);
        assert_eq!(of(&room, "ann", 1_000 + GONE_AFTER_MS), None);
    }

    #[test]
    fn screens_people_and_ids_are_bounded() {
        let mut room = Room::default();
        for n in 0..SCREENS_MAX as i64 + 5 {
            room.here(user("ann"), format!("s{n}"), here(&"x".repeat(500), true), true, n);
        }
        assert_eq!(room.people[&user("ann")].screens.len(), SCREENS_MAX);
        assert_eq!(of(&room, "ann", 10).expect("here").viewing, None);
        for n in 0..PEOPLE_MAX + 5 {
            room.here(user(&format!("u{n}")), "s".into(), Here::default(), true, 1);
        }
        assert_eq!(room.people.len(), PEOPLE_MAX);
    }
}
