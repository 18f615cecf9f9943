//! An account's state and how events change it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    command::{Event, MembershipChange, NewSession},
    limits::{FAILURES_FORGOTTEN_MS, FROM_MAX, PROVEN_MAX},
};
use crate::{
    ids::{TenantId, UserId},
    principal::Role,
};

/// A person's login.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// Who; empty before sign-up.
    pub id: UserId,
    /// The address, lower case.
    pub email: String,
    /// The person's name.
    pub name: String,
    /// Argon2id hash of the password; none for people who only use links.
    pub password_hash: Option<String>,
    /// When they signed up.
    pub created_ms: i64,
    /// When the address was first proven to be theirs.
    pub verified_ms: Option<i64>,
    /// Whether they are named as a platform administrator; see [`Account::is_platform_admin`].
    pub platform_admin: bool,
    /// Whether they are locked out.
    pub suspended: bool,
    /// Organizations they belong to.
    pub memberships: BTreeMap<TenantId, Membership>,
    /// Where a new session works.
    pub default_tenant: Option<TenantId>,
    /// Their preferences (AUTH-13).
    pub preferences: Map<String, Value>,
    /// Magic links on their way.
    pub magics: Vec<OneTime>,
    /// Reset links on their way.
    pub resets: Vec<OneTime>,
    /// Sessions by refresh-token family.
    pub families: BTreeMap<String, Family>,
    /// Wrong passwords in a row, from anywhere.
    pub throttle: Throttle,
    /// Wrong passwords in a row by where they came from.
    pub throttles: BTreeMap<String, Throttle>,
    /// Where somebody signed in from, and when last.
    pub proven: BTreeMap<String, i64>,
}

/// One organization of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The organization.
    pub tenant: TenantId,
    /// The role.
    pub role: Role,
    /// The organization's name.
    pub name: String,
    /// The organization's slug.
    pub slug: String,
    /// The organization's version that told this.
    pub version: u64,
}

/// A link that works once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTime {
    /// Hash of its token.
    pub token_hash: String,
    /// When it becomes void.
    pub expires_ms: i64,
}

/// One session: a chain of refresh tokens, each replacing the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Family {
    /// Hashes of the tokens that are good now: one, or a few minted side by side in the grace time.
    pub current: Vec<String>,
    /// Hashes of the tokens these replaced; any older one is simply unknown, and an unknown one ends the session too.
    pub retired: Vec<String>,
    /// When they were replaced.
    pub retired_ms: i64,
    /// The organization it works in.
    pub tenant: Option<TenantId>,
    /// The device.
    pub device: String,
    /// When it began.
    pub started_ms: i64,
    /// When it was last used.
    pub used_ms: i64,
    /// When it becomes void unless used.
    pub expires_ms: i64,
}

/// Wrong passwords in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Throttle {
    /// How many.
    pub failures: u32,
    /// The last one.
    pub failed_ms: i64,
    /// Until when no password is looked at.
    pub locked_until_ms: Option<i64>,
}

impl Account {
    /// Whether anybody signed up here.
    pub fn exists(&self) -> bool {
        !self.id.0.is_empty()
    }

    /// Whether they administer the platform. Naming an address is not enough: anyone could sign up with it, so it must be proven.
    pub fn is_platform_admin(&self) -> bool {
        self.platform_admin && self.verified_ms.is_some() && !self.suspended
    }

    /// The organization a new session works in: the wish if it is theirs, else the default, else any.
    pub fn home(&self, wish: Option<&TenantId>) -> Option<TenantId> {
        let own = |tenant: &&TenantId| self.memberships.contains_key(*tenant);
        wish.filter(own)
            .or(self.default_tenant.as_ref().filter(own))
            .or_else(|| self.memberships.keys().next())
            .cloned()
    }

    pub(super) fn fold(&mut self, event: &Event, _seq: u64, at_ms: i64) {
        match event {
            Event::Registered(new) => {
                self.id = new.id.clone();
                self.email.clone_from(&new.email);
                self.name.clone_from(&new.name);
                self.password_hash.clone_from(&new.password_hash);
                self.platform_admin = new.platform_admin;
                self.verified_ms = new.verified.then_some(at_ms);
                self.created_ms = at_ms;
            }
            Event::LoginFailed { from, locked_until_ms, all_locked_until_ms } if from.is_empty() => {
                self.throttle.fail(at_ms, (*all_locked_until_ms).or(*locked_until_ms));
            }
            Event::LoginFailed { from, locked_until_ms, all_locked_until_ms } => {
                self.throttle.fail(at_ms, *all_locked_until_ms);
                self.throttles.entry(from.clone()).or_default().fail(at_ms, *locked_until_ms);
                forget_oldest(&mut self.throttles, FROM_MAX, |throttle| throttle.failed_ms);
            }
            Event::MagicRequested { token_hash, expires_ms } => {
                remember(&mut self.magics, token_hash, *expires_ms, at_ms);
            }
            Event::MagicUsed { token_hash } => {
                self.magics.retain(|link| link.token_hash != *token_hash && link.expires_ms > at_ms);
                self.verified_ms.get_or_insert(at_ms);
            }
            Event::ResetRequested { token_hash, expires_ms } => {
                remember(&mut self.resets, token_hash, *expires_ms, at_ms);
            }
            Event::ResetUsed { .. } => {
                self.resets.clear();
                self.magics.clear();
                self.verified_ms.get_or_insert(at_ms);
            }
            Event::PasswordSet { password_hash } => {
                self.password_hash = Some(password_hash.clone());
                self.throttle = Throttle::default();
                self.throttles.clear();
            }
            Event::PasswordDropped => self.password_hash = None,
            Event::SessionStarted { session, expires_ms } => self.start(session, *expires_ms, at_ms),
            Event::SessionRefreshed { family, next_hash, sibling, expires_ms } => {
                if let Some(family) = self.families.get_mut(family) {
                    family.refresh(next_hash, *sibling, *expires_ms, at_ms);
                }
            }
            Event::TenantSwitched { family, tenant } => {
                if let Some(family) = self.families.get_mut(family) {
                    family.tenant = Some(tenant.clone());
                }
                self.default_tenant = Some(tenant.clone());
            }
            Event::SessionEnded { family, .. } => {
                self.families.remove(family);
            }
            Event::MembershipSet(change) => self.set_membership(change),
            Event::NameSet { name } => self.name.clone_from(name),
            Event::PreferencesSet { preferences } => self.preferences.clone_from(preferences),
            Event::PlatformAdminSet { on } => self.platform_admin = *on,
            Event::SuspendedSet { on } => self.suspended = *on,
        }
    }

    fn start(&mut self, session: &NewSession, expires_ms: i64, at_ms: i64) {
        self.throttle = Throttle::default();
        self.throttles.remove(&session.from);
        if !session.from.is_empty() {
            self.proven.insert(session.from.clone(), at_ms);
            forget_oldest(&mut self.proven, PROVEN_MAX, |last_ms| *last_ms);
        }
        let family = Family {
            current: vec![session.token_hash.clone()],
            tenant: session.tenant.clone(),
            device: session.device.clone(),
            started_ms: at_ms,
            used_ms: at_ms,
            expires_ms,
            ..Family::default()
        };
        self.families.insert(session.family.clone(), family);
    }

    fn set_membership(&mut self, change: &MembershipChange) {
        let tenant = &change.tenant;
        match change.role {
            Some(role) => {
                let membership = Membership {
                    tenant: tenant.clone(),
                    role,
                    name: change.name.clone(),
                    slug: change.slug.clone(),
                    version: change.version,
                };
                self.memberships.insert(tenant.clone(), membership);
                self.default_tenant.get_or_insert_with(|| tenant.clone());
            }
            None => {
                self.memberships.remove(tenant);
                if self.default_tenant.as_ref() == Some(tenant) {
                    self.default_tenant = self.memberships.keys().next().cloned();
                }
            }
        }
        let home = self.home(None);
        for family in self.families.values_mut() {
            let lost = family.tenant.as_ref().is_none_or(|tenant| !self.memberships.contains_key(tenant));
            if lost {
                family.tenant.clone_from(&home);
            }
        }
    }
}

impl Throttle {
    fn fail(&mut self, at_ms: i64, locked_until_ms: Option<i64>) {
        let quiet = at_ms - self.failed_ms > FAILURES_FORGOTTEN_MS;
        let failures = if quiet { 1 } else { self.failures.saturating_add(1) };
        *self = Self { failures, failed_ms: at_ms, locked_until_ms };
    }
}

/// Keeps at most `max`: what is oldest goes.
fn forget_oldest<T>(kept: &mut BTreeMap<String, T>, max: usize, age: impl Fn(&T) -> i64) {
    while kept.len() > max {
        let Some(oldest) = kept.iter().min_by_key(|(_, value)| age(value)).map(|(key, _)| key.clone()) else { return };
        kept.remove(&oldest);
    }
}

impl Family {
    fn refresh(&mut self, next_hash: &str, sibling: bool, expires_ms: i64, at_ms: i64) {
        if sibling {
            self.current.push(next_hash.to_owned());
        } else {
            self.retired = std::mem::replace(&mut self.current, vec![next_hash.to_owned()]);
            self.retired_ms = at_ms;
        }
        self.used_ms = at_ms;
        self.expires_ms = expires_ms;
    }
}

fn remember(links: &mut Vec<OneTime>, token_hash: &str, expires_ms: i64, at_ms: i64) {
    links.retain(|link| link.expires_ms > at_ms);
    links.push(OneTime { token_hash: token_hash.to_owned(), expires_ms });
}
