//! Who is asking, bound to one tenant: every command carries it and the owning entity checks it.

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, ApiKeyId, TenantId, UserId, VisitorId};

/// A role within an organization, from most to least powerful (requirement C9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads what it is shown.
    Viewer,
    /// Works on conversations and leads.
    #[serde(alias = "member")]
    Rep,
    /// Runs agents, campaigns and the work of reps.
    Manager,
    /// Runs the organization.
    Admin,
    /// Owns the organization.
    Owner,
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// A signed-in member of the tenant.
    User {
        /// Who.
        id: UserId,
        /// With which role in this tenant.
        role: Role,
        /// The name that visitors see.
        name: String,
    },
    /// A program of the tenant.
    ApiKey {
        /// Which key.
        id: ApiKeyId,
        /// With which role.
        role: Role,
        /// Bound to one agent, if set.
        agent: Option<AgentId>,
    },
    /// A visitor of one agent.
    Visitor {
        /// The visitor.
        id: VisitorId,
        /// The agent being visited.
        agent: AgentId,
    },
    /// A platform administrator acting across tenants; audited.
    Platform {
        /// Who.
        id: UserId,
    },
    /// Colloquy itself: an effect's result, a timer, a message between entities.
    System,
}

/// An actor bound to a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The tenant that every read and write is bound to.
    pub tenant: TenantId,
    /// Who acts.
    pub actor: Actor,
}

impl Principal {
    /// Colloquy itself within a tenant.
    pub fn system(tenant: TenantId) -> Self {
        Self { tenant, actor: Actor::System }
    }

    /// The role this principal acts with: `None` for a visitor.
    pub fn role(&self) -> Option<Role> {
        match &self.actor {
            Actor::User { role, .. } | Actor::ApiKey { role, .. } => Some(*role),
            Actor::Platform { .. } | Actor::System => Some(Role::Owner),
            Actor::Visitor { .. } => None,
        }
    }

    /// Whether the principal has at least `role`.
    pub fn at_least(&self, role: Role) -> bool {
        self.role().is_some_and(|own| own >= role)
    }
}
