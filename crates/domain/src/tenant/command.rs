//! What may be asked of an organization, what can happen to it, and what it answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    plan::Plan,
    profile::Profile,
    state::{DeploymentMode, ErasureWho, KeyKind, Whom},
    view::{ErasureView, InvitationView, KeyView, MemberView, OrgFacts, OrganizationView},
};
use crate::{
    catalog::template::RouteTo,
    ids::{AgentId, ApiKeyId, InvitationId, TenantId, UserId},
    principal::Role,
    vocabulary::AgentStatus,
};

/// A person as their account knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Who.
    pub user: UserId,
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
}

/// What may be asked of an organization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Founds it; the id is the principal's tenant. Repeating it with the same owner succeeds.
    Create {
        /// A merge patch over the default profile, slug included.
        profile: Value,
        /// Who owns it.
        owner: Person,
        /// What it may use.
        plan: Plan,
        /// How it runs (TEN-2).
        #[serde(default)]
        deployment_mode: DeploymentMode,
    },
    /// Changes the profile by a merge patch. A changed slug is reserved by the caller.
    Update {
        /// The patch.
        patch: Value,
        /// The version it was made from; refused as stale if another is current.
        #[serde(default)]
        if_version: Option<u64>,
    },
    /// The organization as its members see it (query).
    View,
    /// What agents and feeds copy from it (query).
    Facts,
    /// Its members (query).
    Members,
    /// Gives a member another role.
    SetRole {
        /// Whom.
        user: UserId,
        /// Which.
        role: Role,
        /// The version it was made from; one that is not the newest is refused.
        #[serde(default)]
        if_version: Option<u64>,
    },
    /// Removes a member; anyone may remove themselves.
    RemoveMember {
        /// Whom.
        user: UserId,
    },
    /// A member's account tells a new name or address.
    PersonChanged(Person),
    /// Open invitations (query).
    Invitations,
    /// Invites somebody.
    Invite {
        /// Hash of the code.
        code_hash: String,
        /// Only this address may accept; anyone with the code without one.
        email: Option<String>,
        /// The role it gives.
        role: Role,
    },
    /// What an invitation offers, for the page that asks (query).
    ShowInvitation {
        /// Hash of the code.
        code_hash: String,
    },
    /// Accepts an invitation.
    AcceptInvitation {
        /// Hash of the code.
        code_hash: String,
        /// Who accepts.
        person: Person,
    },
    /// Declines an invitation.
    DeclineInvitation {
        /// Hash of the code.
        code_hash: String,
    },
    /// Takes an invitation back.
    RevokeInvitation {
        /// Which.
        id: InvitationId,
    },
    /// API keys (query).
    Keys,
    /// Makes an API key.
    CreateKey {
        /// Its id, part of the key's text.
        id: ApiKeyId,
        /// Hash of its secret; for a publishable key, of its whole text.
        hash: String,
        /// Its last characters, to recognise it by.
        hint: String,
        /// What it is.
        kind: KeyKind,
        /// What it may do.
        role: Role,
        /// The only agent it may reach.
        agent: Option<AgentId>,
        /// Its name.
        name: String,
    },
    /// Checks a key and notes its use.
    UseKey {
        /// Which.
        id: ApiKeyId,
        /// Hash of what was presented.
        hash: String,
    },
    /// Voids a key.
    RevokeKey {
        /// Which.
        id: ApiKeyId,
    },
    /// Asks for room for one more agent. Repeating it for the same agent succeeds.
    ReserveAgent {
        /// Which.
        agent: AgentId,
        /// Its name.
        name: String,
    },
    /// An agent tells that it exists and how it is.
    AgentChanged {
        /// Which.
        agent: AgentId,
        /// Its name.
        name: String,
        /// Its status.
        status: AgentStatus,
    },
    /// An agent was deleted, or never came to be.
    AgentGone {
        /// Which.
        agent: AgentId,
    },
    /// Chooses who gets a lead.
    Route {
        /// Where the rules send it, best first; nobody gets it if no route leads to a member who takes leads.
        routes: Vec<RouteTo>,
    },
    /// Asks to erase a person everywhere.
    RequestErasure {
        /// Its id.
        id: String,
        /// Whom. It is not journaled: the event keeps what [`super::Whom`] says.
        who: ErasureWho,
        /// The installation's key for recognising the person again.
        key: [u8; 32],
        /// The installation's key for finding the person's guards.
        guard_key: [u8; 32],
    },
    /// An erasure worked through a part.
    ErasureProgress {
        /// Which.
        id: String,
        /// Which try.
        attempt: u32,
        /// What was erased so far in this try, by kind.
        counts: BTreeMap<String, u64>,
        /// Whether that was all.
        done: bool,
    },
    /// An erasure could not go on.
    ErasureFailed {
        /// Which.
        id: String,
        /// Which try.
        attempt: u32,
        /// Why, without personal data.
        reason: String,
    },
    /// Erasures (query).
    Erasures,
    /// Changes the plan.
    SetPlan {
        /// To which.
        plan: Plan,
    },
    /// Changes how it runs.
    SetDeploymentMode {
        /// How.
        mode: DeploymentMode,
    },
    /// Stops everything of it, or lets it go on.
    SetSuspended {
        /// Why it is stopped; none to go on.
        reason: Option<String>,
    },
    /// A deadline came.
    Tick,
    /// Tasks were lost: those under way begin again.
    Recovered,
}

/// What happened to an organization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It was founded.
    Created {
        /// Its id.
        id: TenantId,
        /// Its profile.
        profile: Box<Profile>,
        /// Its owner.
        owner: Person,
        /// Its plan.
        plan: Plan,
        /// How it runs.
        deployment_mode: DeploymentMode,
    },
    /// The profile changed.
    Updated {
        /// The whole new profile.
        profile: Box<Profile>,
        /// Whether name or slug are other ones, which members' accounts must learn.
        renamed: bool,
        /// Whether it says for the first time when it is open, so that appointments can be made.
        #[serde(default)]
        opened: bool,
    },
    /// Somebody joined.
    MemberJoined {
        /// Who.
        person: Person,
        /// With which role.
        role: Role,
        /// By which invitation.
        invitation: InvitationId,
        /// The address that was invited.
        invited_email: Option<String>,
    },
    /// A role changed.
    RoleSet {
        /// Whose.
        user: UserId,
        /// To which.
        role: Role,
    },
    /// Somebody left or was removed.
    MemberLeft {
        /// Who.
        user: UserId,
    },
    /// A member's name or address changed.
    PersonChanged(Person),
    /// Somebody was invited.
    Invited {
        /// Its id.
        id: InvitationId,
        /// Hash of the code.
        code_hash: String,
        /// The only address that may accept.
        email: Option<String>,
        /// The role it gives.
        role: Role,
        /// Who invited.
        by: Option<UserId>,
        /// When it becomes void.
        expires_ms: i64,
    },
    /// An invitation ended without anybody joining.
    InvitationEnded {
        /// Which.
        id: InvitationId,
        /// Whether the invited declined (else it was taken back).
        declined: bool,
    },
    /// A key was made.
    KeyCreated {
        /// Its id.
        id: ApiKeyId,
        /// Hash of its secret.
        hash: String,
        /// Its last characters.
        hint: String,
        /// What it is.
        kind: KeyKind,
        /// What it may do.
        role: Role,
        /// The only agent it may reach.
        agent: Option<AgentId>,
        /// Its name.
        name: String,
    },
    /// A key was used.
    KeyUsed {
        /// Which.
        id: ApiKeyId,
    },
    /// A key was voided.
    KeyRevoked {
        /// Which.
        id: ApiKeyId,
    },
    /// Room for an agent was taken.
    AgentReserved {
        /// Which.
        agent: AgentId,
        /// Its name.
        name: String,
        /// When it is asked for.
        until_ms: i64,
    },
    /// An agent told how it is.
    AgentChanged {
        /// Which.
        agent: AgentId,
        /// Its name.
        name: String,
        /// Its status.
        status: AgentStatus,
    },
    /// An agent is gone.
    AgentGone {
        /// Which.
        agent: AgentId,
    },
    /// Reserved agents that did not report are asked for again.
    ReservationsExtended {
        /// When they are asked for next.
        until_ms: i64,
    },
    /// A lead was routed in turn.
    TurnTaken {
        /// Whose list: a team's name, or empty for all.
        team: String,
        /// Who got it.
        user: UserId,
    },
    /// An erasure was asked for.
    ErasureRequested {
        /// Its id.
        id: String,
        /// Whom.
        whom: Whom,
        /// When it is started again without news.
        deadline_ms: i64,
    },
    /// An erasure worked through a part.
    ErasureProgressed {
        /// Which.
        id: String,
        /// What was erased so far in this try.
        counts: BTreeMap<String, u64>,
        /// When it is started again without news.
        deadline_ms: i64,
    },
    /// An erasure starts again.
    ErasureRetried {
        /// Which.
        id: String,
        /// Which try.
        attempt: u32,
        /// When it is started again without news.
        deadline_ms: i64,
    },
    /// An erasure ended.
    ErasureEnded {
        /// Which.
        id: String,
        /// What was erased, by kind.
        counts: BTreeMap<String, u64>,
        /// Why it failed; none if all was erased.
        failure: Option<String>,
    },
    /// The plan changed.
    PlanSet {
        /// To which.
        plan: Plan,
    },
    /// It runs another way.
    DeploymentModeSet {
        /// How.
        mode: DeploymentMode,
    },
    /// It was stopped, or goes on.
    SuspendedSet {
        /// Why it is stopped; none if it goes on.
        reason: Option<String>,
    },
}

/// What an organization answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
    /// Founded; `fresh` is false if it had happened before.
    Created {
        /// Whether this call did it.
        fresh: bool,
        /// The organization.
        organization: Box<OrganizationView>,
    },
    /// The organization.
    Organization(Box<OrganizationView>),
    /// What agents and feeds copy.
    Facts(Box<OrgFacts>),
    /// Members.
    Members {
        /// Them.
        items: Vec<MemberView>,
    },
    /// One member.
    Member(MemberView),
    /// Invitations.
    Invitations {
        /// Them.
        items: Vec<InvitationView>,
    },
    /// One invitation.
    Invitation(InvitationView),
    /// Somebody joined.
    Joined {
        /// With which role.
        role: Role,
        /// The organization's name.
        name: String,
        /// The organization's slug.
        slug: String,
    },
    /// Keys.
    Keys {
        /// Them.
        items: Vec<KeyView>,
    },
    /// One key.
    Key(KeyView),
    /// A key is good.
    KeyGood {
        /// What it is.
        kind: KeyKind,
        /// What it may do.
        role: Role,
        /// The only agent it may reach.
        agent: Option<AgentId>,
    },
    /// Who gets a lead; none if nobody takes leads.
    Assignee {
        /// Who.
        person: Option<Person>,
    },
    /// Erasures.
    Erasures {
        /// Them.
        items: Vec<ErasureView>,
    },
    /// One erasure.
    Erasure(ErasureView),
}

/// Work outside the core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Effect {
    /// Ask an agent whether it exists; answer with [`Command::AgentChanged`] or [`Command::AgentGone`]. Repeatable.
    SettleAgent {
        /// Which.
        agent: AgentId,
    },
    /// Erase a person everywhere and report with [`Command::ErasureProgress`]. Repeatable: what is gone stays gone.
    Erase {
        /// Which.
        id: String,
        /// Which try.
        attempt: u32,
        /// Whom.
        whom: Whom,
    },
}
