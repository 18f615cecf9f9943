//! The business actors' metrics: names, what they mean, and bounded labels.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Seconds from a turn's attempt to its result, by what answered (`provider`, `built_in`).
pub(crate) const TURN_SECONDS: &str = "colloquy_turn_seconds";
/// Seconds of a turn's stage (`queue`, `retrieve`, `model`).
pub(crate) const STAGE_SECONDS: &str = "colloquy_turn_stage_seconds";
/// Calls of model providers by outcome.
pub(crate) const MODEL_CALLS: &str = "colloquy_model_calls_total";
/// Seconds of a call of a model provider by outcome.
pub(crate) const MODEL_CALL_SECONDS: &str = "colloquy_model_call_seconds";
/// Tokens of models by direction (`input`, `cached`, `output`).
pub(crate) const MODEL_TOKENS: &str = "colloquy_model_tokens_total";
/// Alerts by channel and outcome (`sent`, `recorded`: a text message that reached nobody, `failed`).
pub(crate) const ALERTS: &str = "colloquy_alerts_total";
/// Letters of notices by outcome (`sent`, `failed`, `refused`, `read`: nothing was left to tell), and alerts held for the next one (`held`).
pub(crate) const LETTERS: &str = "colloquy_letters_total";
/// Letters and text messages to people who have an appointment, by channel and outcome (`sent`, `recorded`: nobody got it, `failed`).
pub(crate) const APPOINTMENT_LETTERS: &str = "colloquy_appointment_letters_total";
/// Messages over carriers by channel and outcome (`sent`, `later`, `failed`).
pub(crate) const MESSAGES: &str = "colloquy_messages_total";
/// Calls that were asked of providers by what they said (`placed`, `refused`, `unknown`).
pub(crate) const DIALS: &str = "colloquy_dials_total";
/// Seconds from a permit's moment to the provider's answer.
pub(crate) const DIAL_SECONDS: &str = "colloquy_dial_seconds";
/// What webhooks said of such calls (`ringing`, `answered`, `machine`, `abandoned`, `ended`, `more`), news that nobody waited for too.
pub(crate) const CALL_REPORTS: &str = "colloquy_call_reports_total";
/// Seconds of a search, the question's embedding included.
pub(crate) const SEARCH_SECONDS: &str = "colloquy_search_seconds";
/// Questions that could not be embedded.
pub(crate) const EMBED_FAILURES: &str = "colloquy_embed_failures_total";
/// Seconds one page took to be embedded.
pub(crate) const EMBED_PAGE_SECONDS: &str = "colloquy_embed_page_seconds";
/// Bytes of indices in memory.
pub(crate) const INDEX_CACHE_BYTES: &str = "colloquy_index_cache_bytes";
/// Readings of sources by outcome (`complete`, `partial`, `failed`).
pub(crate) const CRAWLS: &str = "colloquy_crawls_total";

/// Registers the descriptions with whatever recorder is installed.
pub fn describe() {
    describe_histogram!(TURN_SECONDS, Unit::Seconds, "From a turn's attempt to its result, by what answered");
    describe_histogram!(STAGE_SECONDS, Unit::Seconds, "How long a stage of a turn took");
    describe_counter!(MODEL_CALLS, "Calls of model providers by outcome");
    describe_histogram!(MODEL_CALL_SECONDS, Unit::Seconds, "How long a call of a model provider took, by outcome");
    describe_counter!(MODEL_TOKENS, "Tokens of models by direction");
    describe_counter!(ALERTS, "Alerts to people of the business by channel and outcome");
    describe_counter!(LETTERS, "Letters of notices by outcome, and alerts held for the next one");
    describe_counter!(APPOINTMENT_LETTERS, "Letters and text messages about appointments by channel and outcome");
    describe_counter!(MESSAGES, "Messages over carriers by channel and outcome");
    describe_counter!(DIALS, "Calls that were asked of providers by what they said");
    describe_histogram!(DIAL_SECONDS, Unit::Seconds, "From a permit's moment to the provider's answer");
    describe_counter!(CALL_REPORTS, "What webhooks said of calls that were made");
    describe_histogram!(SEARCH_SECONDS, Unit::Seconds, "How long a search took, the question's embedding included");
    describe_counter!(EMBED_FAILURES, "Questions that could not be embedded and were searched by keywords only");
    describe_histogram!(EMBED_PAGE_SECONDS, Unit::Seconds, "How long one page took to be embedded");
    describe_gauge!(INDEX_CACHE_BYTES, Unit::Bytes, "Search indices in memory");
    describe_counter!(CRAWLS, "Readings of sources by outcome");
}
