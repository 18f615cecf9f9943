//! Bodies about numbers, provider accounts, the do-not-contact list and consents.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// `POST /api/integrations/:provider/connect`. Which fields are needed depends on the provider; a missing one is named.
#[derive(Clone, Default, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[ts(export, export_to = "api.ts", optional_fields)]
pub struct Connect {
    /// Twilio: `AC…`.
    pub account_sid: Option<String>,
    /// Twilio: the primary auth token; webhooks are checked with it.
    pub auth_token: Option<String>,
    /// WhatsApp: the access token.
    pub access_token: Option<String>,
    /// WhatsApp: the app secret; webhooks are checked with it.
    pub app_secret: Option<String>,
    /// Retell: an API key; Vapi: the private key.
    pub api_key: Option<String>,
    /// Retell: the API key with the webhook badge, which webhooks are checked with, if that is another one.
    pub webhook_key: Option<String>,
    /// Vapi: the secret of your own that it sends along with all it asks and posts (`X-Vapi-Secret`, a bearer token, or a code over the body).
    pub server_secret: Option<String>,
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect").field("account_sid", &self.account_sid).finish_non_exhaustive()
    }
}

/// A template that WhatsApp has approved, with one place to fill.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct WhatsappTemplate {
    /// Meta's name of it, or Twilio's `HX…`.
    pub name: String,
    /// Such as `en_US`.
    pub language: String,
}

/// `POST /api/voice/numbers`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts", optional_fields)]
pub struct NewNumber {
    /// E.164.
    pub number: String,
    /// `twilio`, `whatsapp`, `retell`, `vapi`, `simulated` or `simulated_retell`.
    pub provider: String,
    /// Who answers there.
    pub agent_id: String,
    /// WhatsApp: the number's id there.
    #[serde(default)]
    pub phone_number_id: Option<String>,
    /// What is sent over WhatsApp when 24 hours have passed since the person wrote.
    #[serde(default)]
    pub whatsapp_template: Option<WhatsappTemplate>,
}

/// `POST /api/voice/provision-number`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts", optional_fields)]
pub struct ProvisionNumber {
    /// Who answers there.
    pub agent_id: String,
    /// Where it is to be: the first digits behind the country's, in the USA and Canada three.
    #[serde(default)]
    pub area_code: Option<u32>,
    /// The country's two letters; `US` if left out.
    #[serde(default)]
    pub country: Option<String>,
    /// `twilio` or `simulated`; the one that is connected if left out.
    #[serde(default)]
    pub provider: Option<String>,
}

/// `PATCH /api/voice/numbers/:id`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts", optional_fields)]
pub struct NumberPatch {
    /// Who answers there; stays as it is if left out.
    #[serde(default)]
    pub agent_id: Option<String>,
    /// What is sent over WhatsApp when 24 hours have passed; stays as it is if left out.
    #[serde(default)]
    pub whatsapp_template: Option<WhatsappTemplate>,
}

/// `POST /api/voice/numbers/:id/test`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct TestMessage {
    /// Whom: an international number.
    pub to: String,
}

/// `POST /api/dnc`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts", optional_fields)]
pub struct NewDoNotContact {
    /// `phone` (calls, text messages and WhatsApp), `voice`, `sms`, `whatsapp` or `email`.
    pub channel: String,
    /// The number or e-mail address.
    pub address: String,
    /// Why.
    pub reason: String,
    /// `staff` (the default), `complaint` or `import`.
    #[serde(default)]
    pub source: Option<String>,
    /// When it ends by itself; never if left out.
    #[serde(default)]
    pub expires_at: Option<String>,
}

/// `POST /api/consents`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts", optional_fields)]
pub struct NewConsent {
    /// `calls`, `ai_calls`, `messages`, `email` or `recording`.
    pub kind: String,
    /// The number or e-mail address.
    pub address: String,
    /// False when it is withdrawn; true if left out.
    #[serde(default)]
    pub granted: Option<bool>,
    /// The words that were agreed to, as the person saw or heard them.
    #[serde(default)]
    pub text: Option<String>,
    /// Where: a form's address, `call`, `paper` …
    pub source: String,
    /// When; now if left out.
    #[serde(default)]
    pub captured_at: Option<String>,
}

/// `POST /api/conversations/:id/merge`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct Merge {
    /// The conversation in which the person goes on.
    pub into: String,
}

/// `POST /api/leads/:id/follow-up`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts", optional_fields)]
pub struct FollowUp {
    /// `sms`, `whatsapp` or `email`.
    pub channel: String,
    /// What it says.
    pub content: String,
    /// The subject of a mail.
    #[serde(default)]
    pub subject: Option<String>,
}

/// `POST /api/chat/:conversation_id/continue`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct Continue {
    /// `sms` or `whatsapp`.
    pub channel: String,
}
