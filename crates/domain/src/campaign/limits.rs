//! The limits of campaigns, each with its reason.

/// Targets of one entity: an append, a snapshot and a move stay small, and 100,000 targets do not sit in one journal.
pub const SLICE_TARGETS: usize = 256;
/// Targets of one campaign.
pub const TARGETS_MAX: u32 = 100_000;
/// Settings as JSON, bytes: each slice has a copy.
pub const SETTINGS_BYTES_MAX: usize = 32 * 1024;
/// The longest id that is taken.
pub const ID_CHARS_MAX: usize = 128;
/// The longest objective: a paragraph of the prompt.
pub const OBJECTIVE_CHARS_MAX: usize = 2_000;
/// The longest opening: half a minute of speech; nobody listens longer to whom they did not call.
pub const OPENING_CHARS_MAX: usize = 600;
/// The longest script: some pages of the prompt.
pub const SCRIPT_CHARS_MAX: usize = 10_000;
/// Questions of one call: the seeds ask three; more than ten nobody answers on the phone.
pub const QUESTIONS_MAX: usize = 10;
/// The longest question.
pub const QUESTION_CHARS_MAX: usize = 300;
/// Numbers that calls come from.
pub const FROM_NUMBERS_MAX: usize = 50;
/// Calls at once that one campaign may ask for; the account's own limit holds besides.
pub const CONCURRENT_MAX: u32 = 10_000;
/// Calls per second that one campaign may ask for; the account's own limit holds besides.
pub const RATE_PER_SECOND_MAX: u32 = 1_000;
/// Further calls after one kind of outcome.
pub const RETRIES_MAX: u32 = 10;
/// The longest wait before a retry: two weeks.
pub const DELAY_MINUTES_MAX: u32 = 14 * 24 * 60;
/// The longest message for a machine: about a minute of speech.
pub const VOICEMAIL_CHARS_MAX: usize = 1_000;
/// Calls to one number a day unless set lower: the laws of several states of the USA allow three within 24 hours.
pub const DIALS_PER_DAY: u32 = 3;
/// The most that can be set.
pub const DIALS_PER_DAY_MAX: u32 = 10;
/// The longest ringing: then every network has given up.
pub const RING_SECONDS_MAX: u32 = 120;
/// The longest call.
pub const CALL_MINUTES_MAX: u32 = 120;

/// The age up to which a guard's permit is used, ms: what is counted by permits is then true of the calls but for this.
pub const PERMIT_FRESH_MS: i64 = 60_000;
/// Permits asked for one target altogether: nobody is called that often, so something answers wrongly.
pub const ASKS_MAX: u32 = 100;
/// Attempts kept of one target, for the audit: more than its retries and callbacks can be.
pub const PAST_MAX: usize = 60;
/// Times that a provider may refuse one target before it counts as failed.
pub const PROVIDER_REFUSALS_MAX: u32 = 10;
/// Wait after a provider refused, ms: the breaker of the account decides about more.
pub const PROVIDER_WAIT_MS: i64 = 30_000;
/// Wait for what calls that go on leave of the budget, ms: they last some minutes.
pub const BUDGET_WAIT_MS: i64 = 60_000;
/// Callbacks agreed with one target; then it ends as `callback`, for a person to do.
pub const CALLBACKS_MAX: u32 = 3;
/// The furthest a callback may be agreed, ms: a quarter of a year.
pub const CALLBACK_AHEAD_MAX_MS: i64 = 90 * 24 * 3_600_000;

/// A call nobody heard of for this long is looked up at the provider, ms.
pub const LOOK_UP_AFTER_MS: i64 = 60_000;
/// And for this long, given up as `failed(unconfirmed)`, ms.
pub const UNCONFIRMED_AFTER_MS: i64 = 120_000;
/// Until when a call that is not answered must have ended, ms after the dial, whatever a provider says: the longest ringing and its callbacks.
pub const UNANSWERED_MAX_MS: i64 = 10 * 60_000;
/// What a provider may need beyond a call's own time limit to say that it is over, ms.
pub const OVERTIME_MS: i64 = 5 * 60_000;
/// How long after a call its conversation may tell how it went, ms.
pub const SETTLE_MS: i64 = 60_000;
/// How often a slice renews the permits of its open calls, ms.
pub const RENEW_EVERY_MS: i64 = 60_000;

/// The longest name of a target.
pub const NAME_CHARS_MAX: usize = 200;
/// What one line comes to as JSON, bytes: 256 of them must fit into one event.
pub const LISTED_BYTES_MAX: usize = 3 * 1024;
/// Further values of a target, such as a first name or a company, that the script may use.
pub const FIELDS_MAX: usize = 30;
/// The longest such value.
pub const VALUE_CHARS_MAX: usize = 500;
/// The longest line of a file, bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Columns of a file.
pub const COLUMNS_MAX: usize = 100;
/// Refused lines that are told one by one; the rest is counted.
pub const REJECTED_TOLD_MAX: usize = 1_000;
/// Imports whose results are kept.
pub const IMPORTS_KEPT: usize = 20;

/// Calls connected before the abandonment rate is acted upon: of fewer, one alone is above every rate.
pub const ABANDONMENT_CALLS_MIN: u64 = 100;
/// Above this many abandoned of a thousand connected calls within thirty days a campaign is held (C25: 3 %).
pub const ABANDONED_PER_MILLE_MAX: u64 = 30;
/// Days over which the abandonment rate counts.
pub const ABANDONMENT_DAYS: i64 = 30;
