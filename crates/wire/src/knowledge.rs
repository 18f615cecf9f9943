//! Sources, FAQs and search.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// `POST /api/agents/:id/scrape`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct Scrape {
    /// The site's address.
    pub url: String,
    /// At most this many pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub limit: Option<u32>,
    /// Only with the alias `POST /api/scrape`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub agent_id: Option<String>,
}

/// `POST /api/agents/:id/sources`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct NewSource {
    /// `website_scrape`, `sitemap` or `manual_text`; files come as multipart.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name for people; the address or first line by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub name: Option<String>,
    /// For websites and sitemaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub url: Option<String>,
    /// For manual text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub content: Option<String>,
    /// Read again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub auto_sync: Option<bool>,
    /// `daily`, `weekly` or `monthly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub sync_frequency: Option<String>,
    /// At most this many pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub limit: Option<u32>,
}

/// `PATCH /api/agents/:id/sources/:sid`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct SourcePatch {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub name: Option<String>,
    /// New text of a manual source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub content: Option<String>,
    /// Read again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub auto_sync: Option<bool>,
    /// `daily`, `weekly` or `monthly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub sync_frequency: Option<String>,
}

/// `POST /api/agents/:id/retrain` and its alias `POST /api/embed`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct Retrain {
    /// One source; all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub source_id: Option<String>,
    /// Only with the alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub agent_id: Option<String>,
}

/// `POST /api/agents/:id/faqs`, and `PATCH` with any part of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct FaqBody {
    /// The question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub question: Option<String>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub answer: Option<String>,
    /// A heading to group by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub category: Option<String>,
    /// Higher goes first among equals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub priority: Option<i32>,
    /// `accepted` takes a generated one into service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub status: Option<String>,
}

/// `POST /api/agents/:id/search`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct SearchRequest {
    /// What to look for.
    pub query: String,
    /// At most this many chunks; 5 by default, 50 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub limit: Option<usize>,
}

/// `GET /api/agents/:id/business`: what the agent's websites say about the business. Nothing of it is stored before somebody confirms it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct BusinessFacts {
    /// When it is open.
    pub hours: Option<FoundHours>,
    /// Where it is.
    pub address: Option<FoundAddress>,
    /// Its telephone number.
    pub phone: Option<FoundPhone>,
}

/// The page that says it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct FoundOn {
    /// Its title.
    pub title: String,
    /// Its address.
    pub url: String,
}

/// Opening hours of a website.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct FoundHours {
    /// `mon` … `sun` with `{open, close}`, or null when closed: what `PATCH /api/organization` takes as `business_hours`.
    #[ts(type = "Record<string, { open: string; close: string } | null>")]
    pub business_hours: serde_json::Value,
    /// A day has breaks: it is given from its first opening to its last closing.
    pub breaks: bool,
    /// Where it stands.
    pub found_on: FoundOn,
}

/// A postal address of a website.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct FoundAddress {
    /// `street`, `city`, `state`, `zip` and `country`: what `PATCH /api/organization` takes as `address`.
    #[ts(type = "{ street: string; city: string; state: string; zip: string; country: string }")]
    pub address: serde_json::Value,
    /// Where it stands.
    pub found_on: FoundOn,
}

/// A telephone number of a website.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct FoundPhone {
    /// As it is written there.
    pub phone: String,
    /// Where it stands.
    pub found_on: FoundOn,
}
