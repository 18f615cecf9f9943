//! An account as `GET /api/me` shows it.

use serde::{Deserialize, Serialize};

use super::state::Account;
use crate::{ids::UserId, local_time::rfc3339, principal::Role};

/// The person and their organizations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// The person.
    pub user: UserView,
    /// Where a new session works.
    pub default_organization_id: Option<String>,
    /// All organizations.
    pub organizations: Vec<MembershipView>,
}

/// The person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserView {
    /// Who.
    pub id: UserId,
    /// The address.
    pub email: String,
    /// The name.
    pub name: String,
    /// Whether the address is proven.
    pub email_verified: bool,
    /// Whether a password is set.
    pub has_password: bool,
    /// Whether they administer the platform.
    pub platform_admin: bool,
    /// When they signed up, RFC 3339.
    pub created_at: String,
}

/// One organization of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipView {
    /// The organization.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its slug.
    pub slug: String,
    /// The person's role in it.
    pub role: Role,
}

/// The account as its owner sees it.
pub fn account(state: &Account) -> AccountView {
    AccountView {
        user: UserView {
            id: state.id.clone(),
            email: state.email.clone(),
            name: state.name.clone(),
            email_verified: state.verified_ms.is_some(),
            has_password: state.password_hash.is_some(),
            platform_admin: state.is_platform_admin(),
            created_at: rfc3339(state.created_ms),
        },
        default_organization_id: state.default_tenant.as_ref().map(|tenant| tenant.0.clone()),
        organizations: state
            .memberships
            .values()
            .map(|membership| MembershipView {
                id: membership.tenant.0.clone(),
                name: membership.name.clone(),
                slug: membership.slug.clone(),
                role: membership.role,
            })
            .collect(),
    }
}
