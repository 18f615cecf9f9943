//! An organization as the API shows it, and the facts that agents and feeds copy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    ApiKey, DeploymentMode, Erasure, ErasureStatus, Invitation, KeyKind, Member, Tenant,
    plan::Limits,
    profile::{Address, Profile},
};
use crate::{
    agent::config::BusinessHours,
    ids::{AgentId, ApiKeyId, InvitationId, TenantId, UserId},
    local_time::rfc3339,
    principal::Role,
    vocabulary::Vertical,
};

/// `GET /api/organization`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrganizationView {
    /// Which.
    pub id: TenantId,
    /// What it says about itself.
    #[serde(flatten)]
    pub profile: Profile,
    /// Who has owned it longest.
    pub owner_id: Option<UserId>,
    /// How it runs.
    pub deployment_mode: DeploymentMode,
    /// The plan's name.
    pub subscription_plan: String,
    /// Answered chat messages a month; none without limit.
    pub monthly_chat_limit: Option<u64>,
    /// Minutes of calls a month; none without limit.
    pub monthly_voice_minutes: Option<u64>,
    /// Agents at once; none without limit.
    pub max_agents: Option<u32>,
    /// Pages of one agent; none without limit.
    pub max_pages: Option<u32>,
    /// Why it is stopped; none while it runs.
    pub suspended: Option<String>,
    /// Its entity tag.
    pub version: u64,
    /// When it was founded, RFC 3339.
    pub created_at: String,
    /// When its profile last changed, RFC 3339.
    pub updated_at: String,
}

/// What agents, turns and feeds need of their organization; copied to each node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrgFacts {
    /// Which.
    pub id: TenantId,
    /// The profile's version.
    pub version: u64,
    /// Its name.
    pub name: String,
    /// Its trade.
    pub vertical: Vertical,
    /// The trades its agents may have; empty: all.
    pub enabled_verticals: Vec<Vertical>,
    /// Its website.
    pub website_url: Option<String>,
    /// Its number.
    pub phone: Option<String>,
    /// Its address.
    pub email: Option<String>,
    /// Where it is.
    pub address: Option<Address>,
    /// When it is open.
    pub business_hours: BusinessHours,
    /// IANA zone.
    pub timezone: String,
    /// Its logo.
    pub logo_url: Option<String>,
    /// Its settings.
    pub settings: Map<String, Value>,
    /// What only this trade has.
    pub metadata: Map<String, Value>,
    /// The plan's limits.
    pub limits: Limits,
    /// Whether it is stopped.
    pub suspended: bool,
}

/// One of `GET /api/team/members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Who; also the id in addresses.
    pub id: UserId,
    /// Who.
    pub user_id: UserId,
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
    /// The role.
    pub role: Role,
    /// The address that was invited.
    pub invited_email: Option<String>,
    /// When they joined, RFC 3339.
    pub accepted_at: String,
    /// Rises with each change of the role: send it as `If-Match` with the next one.
    #[serde(default)]
    pub version: u64,
}

/// One of `GET /api/team/invitations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationView {
    /// Which.
    pub id: InvitationId,
    /// The organization it leads to.
    pub organization_id: TenantId,
    /// Its name.
    pub organization_name: String,
    /// The only address that may accept.
    pub email: Option<String>,
    /// The role it gives.
    pub role: Role,
    /// Who invited.
    pub invited_by: Option<UserId>,
    /// When, RFC 3339.
    pub created_at: String,
    /// When it becomes void, RFC 3339.
    pub expires_at: String,
}

/// One of `GET /api/api-keys`; never the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// Which.
    pub id: ApiKeyId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: KeyKind,
    /// What it may do.
    pub role: Role,
    /// The only agent it may reach.
    pub agent_id: Option<AgentId>,
    /// Its last characters.
    pub hint: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it was last seen used, to the hour, RFC 3339.
    pub last_used_at: Option<String>,
    /// When it was voided, RFC 3339.
    pub revoked_at: Option<String>,
}

/// `GET /api/privacy/erasures/:id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureView {
    /// Which.
    pub id: String,
    /// How far.
    pub status: ErasureStatus,
    /// Whom it is about, masked.
    pub about: BTreeMap<String, String>,
    /// What was erased, by kind.
    pub counts: BTreeMap<String, u64>,
    /// When it was asked for, RFC 3339.
    pub requested_at: String,
    /// When it ended, RFC 3339.
    pub finished_at: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// One of `GET /api/admin/tenants`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRow {
    /// Which.
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// Its slug.
    pub slug: String,
    /// Its trade.
    pub vertical: Vertical,
    /// How it runs.
    pub deployment_mode: DeploymentMode,
    /// The plan's name.
    pub subscription_plan: String,
    /// How many members.
    pub members: usize,
    /// How many agents.
    pub agents: usize,
    /// Why it is stopped.
    pub suspended: Option<String>,
    /// When it was founded, RFC 3339.
    pub created_at: String,
}

/// The organization as its members see it.
pub fn organization(state: &Tenant) -> OrganizationView {
    let owners = state.members.iter().filter(|(_, member)| member.role == Role::Owner);
    let limits = &state.plan.limits;
    OrganizationView {
        id: state.id.clone(),
        profile: state.profile.clone(),
        owner_id: owners.min_by_key(|(_, member)| member.accepted_ms).map(|(user, _)| user.clone()),
        deployment_mode: state.deployment_mode,
        subscription_plan: state.plan.id.clone(),
        monthly_chat_limit: limits.monthly_chats,
        monthly_voice_minutes: limits.monthly_voice_minutes,
        max_agents: limits.max_agents,
        max_pages: limits.max_pages,
        suspended: state.suspended.clone(),
        version: state.version,
        created_at: rfc3339(state.created_ms),
        updated_at: rfc3339(state.updated_ms),
    }
}

/// What agents, turns and feeds copy.
pub fn facts(state: &Tenant) -> OrgFacts {
    let profile = &state.profile;
    OrgFacts {
        id: state.id.clone(),
        version: state.version,
        name: profile.name.clone(),
        vertical: profile.vertical,
        enabled_verticals: profile.enabled_verticals.clone(),
        website_url: profile.website_url.clone(),
        phone: profile.phone.clone(),
        email: profile.email.clone(),
        address: profile.address.clone(),
        business_hours: profile.business_hours.clone(),
        timezone: profile.timezone.clone(),
        logo_url: profile.logo_url.clone(),
        settings: profile.settings.clone(),
        metadata: profile.metadata.clone(),
        limits: state.plan.limits.clone(),
        suspended: state.suspended.is_some(),
    }
}

/// All members, the most powerful first.
pub fn members(state: &Tenant) -> Vec<MemberView> {
    let mut all: Vec<MemberView> = state.members.iter().map(|(user, one)| member(user, one)).collect();
    all.sort_by(|a, b| b.role.cmp(&a.role).then_with(|| a.name.cmp(&b.name)));
    all
}

/// One member.
pub fn member(user: &UserId, member: &Member) -> MemberView {
    MemberView {
        id: user.clone(),
        user_id: user.clone(),
        name: member.name.clone(),
        email: member.email.clone(),
        role: member.role,
        invited_email: member.invited_email.clone(),
        accepted_at: rfc3339(member.accepted_ms),
        version: member.version,
    }
}

/// One invitation.
pub fn invitation(state: &Tenant, id: &InvitationId, invitation: &Invitation) -> InvitationView {
    InvitationView {
        id: id.clone(),
        organization_id: state.id.clone(),
        organization_name: state.profile.name.clone(),
        email: invitation.email.clone(),
        role: invitation.role,
        invited_by: invitation.by.clone(),
        created_at: rfc3339(invitation.created_ms),
        expires_at: rfc3339(invitation.expires_ms),
    }
}

/// All keys, the newest first.
pub fn keys(state: &Tenant) -> Vec<KeyView> {
    let mut all: Vec<(i64, KeyView)> = state.keys.iter().map(|(id, one)| (one.created_ms, key(id, one))).collect();
    all.sort_by_key(|(created_ms, _)| std::cmp::Reverse(*created_ms));
    all.into_iter().map(|(_, view)| view).collect()
}

/// One key.
pub fn key(id: &ApiKeyId, key: &ApiKey) -> KeyView {
    KeyView {
        id: id.clone(),
        name: key.name.clone(),
        kind: key.kind,
        role: key.role,
        agent_id: key.agent.clone(),
        hint: key.hint.clone(),
        created_at: rfc3339(key.created_ms),
        last_used_at: key.used_ms.map(rfc3339),
        revoked_at: key.revoked_ms.map(rfc3339),
    }
}

/// One erasure.
pub fn erasure(id: &str, erasure: &Erasure) -> ErasureView {
    ErasureView {
        id: id.to_owned(),
        status: erasure.status,
        about: [
            ("email", &erasure.whom.email),
            ("phone", &erasure.whom.phone),
            ("visitor_id", &erasure.whom.visitor_id),
        ]
        .into_iter()
        .filter_map(|(name, hidden)| Some((name.to_owned(), hidden.as_ref()?.masked.clone())))
        .collect(),
        counts: erasure.counts.clone(),
        requested_at: rfc3339(erasure.requested_ms),
        finished_at: erasure.finished_ms.map(rfc3339),
        error: erasure.failure.clone(),
    }
}

/// What the platform's list shows; none before it is founded.
pub fn list_row(state: &Tenant) -> Option<TenantRow> {
    state.exists().then(|| TenantRow {
        id: state.id.clone(),
        name: state.profile.name.clone(),
        slug: state.profile.slug.clone(),
        vertical: state.profile.vertical,
        deployment_mode: state.deployment_mode,
        subscription_plan: state.plan.id.clone(),
        members: state.members.len(),
        agents: state.agents.len(),
        suspended: state.suspended.clone(),
        created_at: rfc3339(state.created_ms),
    })
}
