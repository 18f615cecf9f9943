//! Accounts, organizations, members, keys.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;
use utoipa::ToSchema;

/// `POST /api/auth/signup`: a new login with a new organization, or with an invitation to one.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct Signup {
    /// The login's e-mail address.
    pub email: String,
    /// At least 10 characters.
    pub password: String,
    /// The person's name.
    #[serde(default)]
    pub name: String,
    /// The organization to create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub organization: Option<NewOrganization>,
    /// The code of an invitation to join instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub invitation_code: Option<String>,
}

/// An organization to create.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct NewOrganization {
    /// Its name.
    pub name: String,
    /// Its trade, such as `home_services`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub vertical: Option<String>,
    /// Its website.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub website_url: Option<String>,
    /// Its time zone (IANA); `America/New_York` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub timezone: Option<String>,
}

/// `POST /api/auth/login`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct Login {
    /// The login's e-mail address.
    pub email: String,
    /// Its password.
    pub password: String,
}

/// What signing in gives.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct Session {
    /// The person.
    #[ts(type = "Record<string, unknown>")]
    pub user: Value,
    /// The organization this session acts in.
    #[ts(type = "Record<string, unknown>")]
    pub organization: Value,
    /// The role in it.
    pub role: String,
    /// Send as `Authorization: Bearer …`.
    pub access_token: String,
    /// Exchanges for a new pair, once.
    pub refresh_token: String,
    /// Seconds until the access token ends.
    pub expires_in: i64,
    /// For cookie sessions: send as `X-CSRF-Token` with unsafe methods.
    pub csrf_token: String,
}

/// `POST /api/auth/refresh` and `/logout`: the token, or the cookie.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct RefreshRequest {
    /// From the last session; the cookie is used when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub refresh_token: Option<String>,
}

/// A request that names an e-mail address.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct EmailOnly {
    /// The address.
    pub email: String,
}

/// `POST /api/auth/reset-password`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct ResetPassword {
    /// From the mail.
    pub token: String,
    /// The new password.
    pub password: String,
}

/// `POST /api/auth/switch`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct SwitchOrganization {
    /// Which of the person's organizations to act in.
    pub organization_id: String,
}

/// `POST /api/team/invitations`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct NewInvitation {
    /// Whom to mail; without it the code is for whoever has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub email: Option<String>,
    /// The role given.
    pub role: String,
}

/// `POST /api/team/invitations/accept` and `/decline`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct InvitationCode {
    /// From the mail or link.
    pub code: String,
}

/// `PATCH /api/team/members/:id`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct MemberPatch {
    /// The new role.
    pub role: String,
}

/// `POST /api/api-keys`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct NewApiKey {
    /// What it is for.
    pub name: String,
    /// `secret` or `publishable`.
    pub kind: String,
    /// The role it acts with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub role: Option<String>,
    /// Bound to one agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub agent_id: Option<String>,
}
