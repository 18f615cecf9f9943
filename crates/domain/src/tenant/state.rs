//! An organization's state and how events change it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    command::{Event, Person},
    limits::{ERASURES_KEPT, REVOKED_KEYS_KEPT},
    plan::Plan,
    profile::Profile,
};
use crate::{
    ids::{AgentId, ApiKeyId, InvitationId, TenantId, UserId},
    principal::Role,
    vocabulary::AgentStatus,
};

/// An organization.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tenant {
    /// Which; empty before it is founded.
    pub id: TenantId,
    /// What it says about itself.
    pub profile: Profile,
    /// Rises with each change of the profile; its entity tag.
    pub version: u64,
    /// When it was founded.
    pub created_ms: i64,
    /// When the profile last changed.
    pub updated_ms: i64,
    /// How it runs.
    pub deployment_mode: DeploymentMode,
    /// What it may use.
    pub plan: Plan,
    /// Why it is stopped; none while it runs.
    pub suspended: Option<String>,
    /// Its people.
    pub members: BTreeMap<UserId, Member>,
    /// Open invitations.
    pub invitations: BTreeMap<InvitationId, Invitation>,
    /// Keys, revoked ones included.
    pub keys: BTreeMap<ApiKeyId, ApiKey>,
    /// Its agents.
    pub agents: BTreeMap<AgentId, AgentSlot>,
    /// Who got the last lead, by team; the empty name is all members.
    pub turns: BTreeMap<String, UserId>,
    /// Erasures by id; ids sort by time.
    pub erasures: BTreeMap<String, Erasure>,
}

/// How an organization runs (TEN-2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeploymentMode {
    /// Alone.
    SingleTenant,
    /// Beside others.
    #[default]
    MultiTenant,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The role.
    pub role: Role,
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
    /// The address that was invited.
    pub invited_email: Option<String>,
    /// When they joined.
    pub accepted_ms: i64,
    /// Rises with each change of the role; its entity tag.
    #[serde(default)]
    pub version: u64,
}

/// An open invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Hash of the code.
    pub code_hash: String,
    /// The only address that may accept.
    pub email: Option<String>,
    /// The role it gives.
    pub role: Role,
    /// Who invited.
    pub by: Option<UserId>,
    /// When.
    pub created_ms: i64,
    /// When it becomes void.
    pub expires_ms: i64,
}

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// For programs; never shown again.
    Secret,
    /// For web pages; may be seen by anyone.
    Publishable,
}

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Hash of its secret.
    pub hash: String,
    /// Its last characters.
    pub hint: String,
    /// What it is.
    pub kind: KeyKind,
    /// What it may do.
    pub role: Role,
    /// The only agent it may reach.
    pub agent: Option<AgentId>,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_ms: i64,
    /// When it was last seen used.
    pub used_ms: Option<i64>,
    /// When it was voided.
    pub revoked_ms: Option<i64>,
}

/// An agent in the organization's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSlot {
    /// Its name.
    pub name: String,
    /// Its status; none while it is only reserved.
    pub status: Option<AgentStatus>,
    /// When it is asked for, while it is only reserved.
    pub reserved_until_ms: Option<i64>,
    /// How often it was asked for.
    pub asked: u32,
}

/// Whom an erasure is about; at least one is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErasureWho {
    /// An e-mail address.
    pub email: Option<String>,
    /// A phone number.
    pub phone: Option<String>,
    /// A visitor.
    pub visitor_id: Option<String>,
}

/// Whom an erasure is about, as the journal keeps it: enough to recognise the person while it runs, and nothing that names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Whom {
    /// An e-mail address.
    pub email: Option<Hidden>,
    /// A phone number.
    pub phone: Option<Hidden>,
    /// A visitor.
    pub visitor_id: Option<Hidden>,
    /// Their guards: where the do-not-contact list and the consent ledger know them.
    pub guards: Vec<String>,
}

/// A value that can be recognised but not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden {
    /// What people are shown, such as `a***@e***.com`.
    pub masked: String,
    /// A keyed hash of it.
    pub hash: String,
}

/// How far an erasure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasureStatus {
    /// Not begun.
    Pending,
    /// Running.
    InProgress,
    /// Everything is gone.
    Completed,
    /// Given up; something may be left.
    Failed,
}

/// An erasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Whom.
    pub whom: Whom,
    /// How far.
    pub status: ErasureStatus,
    /// Which try.
    pub attempt: u32,
    /// What was erased, by kind.
    pub counts: BTreeMap<String, u64>,
    /// When it was asked for.
    pub requested_ms: i64,
    /// When it ended.
    pub finished_ms: Option<i64>,
    /// When it is started again without news.
    pub deadline_ms: Option<i64>,
    /// Why it failed.
    pub failure: Option<String>,
}

impl Tenant {
    /// Whether it was founded.
    pub fn exists(&self) -> bool {
        !self.id.0.is_empty()
    }

    /// How many members own it.
    pub fn owners(&self) -> usize {
        self.members.values().filter(|member| member.role == Role::Owner).count()
    }

    pub(super) fn fold(&mut self, event: &Event, seq: u64, at_ms: i64) {
        match event {
            Event::Created { id, profile, owner, plan, deployment_mode } => {
                self.id = id.clone();
                self.profile = (**profile).clone();
                self.version = 1;
                self.plan = plan.clone();
                self.deployment_mode = *deployment_mode;
                self.created_ms = at_ms;
                self.updated_ms = at_ms;
                self.join(owner, Role::Owner, None, (seq, at_ms));
            }
            Event::Updated { profile, .. } => {
                self.profile = (**profile).clone();
                self.version += 1;
                self.updated_ms = at_ms;
            }
            Event::MemberJoined { person, role, invitation, invited_email } => {
                self.invitations.remove(invitation);
                self.join(person, *role, invited_email.clone(), (seq, at_ms));
            }
            Event::RoleSet { user, role } => {
                if let Some(member) = self.members.get_mut(user) {
                    (member.role, member.version) = (*role, seq);
                }
            }
            Event::MemberLeft { user } => {
                self.members.remove(user);
            }
            Event::PersonChanged(person) => {
                if let Some(member) = self.members.get_mut(&person.user) {
                    member.name.clone_from(&person.name);
                    member.email.clone_from(&person.email);
                }
            }
            Event::Invited { id, code_hash, email, role, by, expires_ms } => {
                self.invitations.retain(|_, open| open.expires_ms > at_ms);
                let invitation = Invitation {
                    code_hash: code_hash.clone(),
                    email: email.clone(),
                    role: *role,
                    by: by.clone(),
                    created_ms: at_ms,
                    expires_ms: *expires_ms,
                };
                self.invitations.insert(id.clone(), invitation);
            }
            Event::InvitationEnded { id, .. } => {
                self.invitations.remove(id);
            }
            Event::KeyCreated { id, hash, hint, kind, role, agent, name } => {
                let key = ApiKey {
                    hash: hash.clone(),
                    hint: hint.clone(),
                    kind: *kind,
                    role: *role,
                    agent: agent.clone(),
                    name: name.clone(),
                    created_ms: at_ms,
                    used_ms: None,
                    revoked_ms: None,
                };
                self.keys.insert(id.clone(), key);
            }
            Event::KeyUsed { id } => {
                if let Some(key) = self.keys.get_mut(id) {
                    key.used_ms = Some(at_ms);
                }
            }
            Event::KeyRevoked { id } => self.revoke_key(id, at_ms),
            Event::AgentReserved { agent, name, until_ms } => {
                let slot = AgentSlot { name: name.clone(), status: None, reserved_until_ms: Some(*until_ms), asked: 0 };
                self.agents.insert(agent.clone(), slot);
            }
            Event::AgentChanged { agent, name, status } => {
                let slot = AgentSlot { name: name.clone(), status: Some(*status), reserved_until_ms: None, asked: 0 };
                self.agents.insert(agent.clone(), slot);
            }
            Event::AgentGone { agent } => {
                self.agents.remove(agent);
                // A key bound to an agent that is gone must not come alive again with another.
                let bound: Vec<ApiKeyId> = self
                    .keys
                    .iter()
                    .filter(|(_, key)| key.agent.as_ref() == Some(agent))
                    .map(|(id, _)| id.clone())
                    .collect();
                bound.iter().for_each(|id| self.revoke_key(id, at_ms));
            }
            Event::ReservationsExtended { until_ms } => {
                for slot in self.agents.values_mut() {
                    if slot.reserved_until_ms.is_some_and(|due| due <= at_ms) {
                        slot.reserved_until_ms = Some(*until_ms);
                        slot.asked += 1;
                    }
                }
            }
            Event::TurnTaken { team, user } => {
                self.turns.insert(team.clone(), user.clone());
            }
            Event::ErasureRequested { id, whom, deadline_ms } => {
                self.erasures.insert(id.clone(), Erasure::new(whom.clone(), at_ms, *deadline_ms));
            }
            Event::ErasureProgressed { id, counts, deadline_ms } => self.progress_erasure(id, counts, *deadline_ms),
            Event::ErasureRetried { id, attempt, deadline_ms } => {
                if let Some(erasure) = self.erasures.get_mut(id) {
                    erasure.attempt = *attempt;
                    erasure.deadline_ms = Some(*deadline_ms);
                }
            }
            Event::ErasureEnded { id, counts, failure } => self.end_erasure(id, counts, failure.as_ref(), at_ms),
            Event::PlanSet { plan } => self.plan = plan.clone(),
            Event::DeploymentModeSet { mode } => self.deployment_mode = *mode,
            Event::SuspendedSet { reason } => self.suspended.clone_from(reason),
        }
    }

    fn join(&mut self, person: &Person, role: Role, invited_email: Option<String>, (version, accepted_ms): (u64, i64)) {
        let (name, email) = (person.name.clone(), person.email.clone());
        let member = Member { role, name, email, invited_email, accepted_ms, version };
        self.members.insert(person.user.clone(), member);
    }

    fn revoke_key(&mut self, id: &ApiKeyId, at_ms: i64) {
        if let Some(key) = self.keys.get_mut(id) {
            key.revoked_ms.get_or_insert(at_ms);
        }
        let mut revoked: Vec<(i64, ApiKeyId)> =
            self.keys.iter().filter_map(|(id, key)| key.revoked_ms.map(|at| (at, id.clone()))).collect();
        revoked.sort();
        let surplus = revoked.len().saturating_sub(REVOKED_KEYS_KEPT);
        for (_, id) in revoked.into_iter().take(surplus) {
            self.keys.remove(&id);
        }
    }

    fn progress_erasure(&mut self, id: &str, counts: &BTreeMap<String, u64>, deadline_ms: i64) {
        if let Some(erasure) = self.erasures.get_mut(id) {
            erasure.status = ErasureStatus::InProgress;
            erasure.counts.clone_from(counts);
            erasure.deadline_ms = Some(deadline_ms);
        }
    }

    fn end_erasure(&mut self, id: &str, counts: &BTreeMap<String, u64>, failure: Option<&String>, at_ms: i64) {
        if let Some(erasure) = self.erasures.get_mut(id) {
            erasure.status = if failure.is_none() { ErasureStatus::Completed } else { ErasureStatus::Failed };
            erasure.counts.clone_from(counts);
            erasure.failure = failure.cloned();
            erasure.finished_ms = Some(at_ms);
            erasure.deadline_ms = None;
        }
        let ended: Vec<String> =
            self.erasures.iter().filter(|(_, one)| one.finished_ms.is_some()).map(|(id, _)| id.clone()).collect();
        for id in ended.iter().take(ended.len().saturating_sub(ERASURES_KEPT)) {
            self.erasures.remove(id);
        }
    }
}

impl Erasure {
    fn new(whom: Whom, requested_ms: i64, deadline_ms: i64) -> Self {
        Self {
            whom,
            status: ErasureStatus::Pending,
            attempt: 1,
            counts: BTreeMap::new(),
            requested_ms,
            finished_ms: None,
            deadline_ms: Some(deadline_ms),
            failure: None,
        }
    }
}
