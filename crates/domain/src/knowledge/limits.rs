//! The limits of an agent's knowledge, each with its reason. What a plan sells (`max_pages`) comes with the commands.

/// Sources of one agent; each may have pages of its own.
pub const SOURCES_MAX: usize = 100;
/// Pages read of a site when nobody says how many (KB-2).
pub const PAGE_LIMIT_DEFAULT: u32 = 100;
/// Pages of one agent when its plan has no limit: the list of them is held in memory whole.
pub const PAGES_MAX: u32 = 10_000;
/// Pages reported at once, so that one event stays far below the runtime's frame limit.
pub const BATCH_PAGES_MAX: usize = 200;
/// Pages that failed and are listed with their reason; further ones are only counted.
pub const FAILED_PAGES_LISTED: usize = 500;
/// Questions with answers of one agent.
pub const FAQS_MAX: usize = 1_000;
/// Questions taken from one generation.
pub const GENERATED_FAQS_MAX: usize = 50;
/// The longest question.
pub const QUESTION_CHARS_MAX: usize = 300;
/// The longest answer.
pub const ANSWER_CHARS_MAX: usize = 4_000;
/// The longest heading questions are grouped by.
pub const CATEGORY_CHARS_MAX: usize = 80;
/// Priorities go from minus to plus this.
pub const PRIORITY_MAX: i32 = 100;
/// Different unanswered questions kept; the rarest and oldest makes room.
pub const UNANSWERED_MAX: usize = 500;
/// Conversations remembered for one unanswered question, so that an erased one takes its words along.
pub const UNANSWERED_CONVERSATIONS_MAX: usize = 50;
/// The longest reason or title kept.
pub const TEXT_CHARS_MAX: usize = 300;
/// A source's own notes as JSON, bytes.
pub const METADATA_BYTES_MAX: usize = 4 * 1024;
/// A crawl without news for this long is started again: a polite one waits at most minutes between pages.
pub const RUN_DEADLINE_MS: i64 = 15 * 60 * 1000;
/// Crawls started in vain this often end.
pub const RUN_ATTEMPTS_MAX: u32 = 3;
/// An index of 10,000 pages embeds in well under this on two cores.
pub const BUILD_DEADLINE_MS: i64 = 60 * 60 * 1000;
/// Builds tried in vain this often are shown as failed.
pub const BUILD_ATTEMPTS_MAX: u32 = 3;
/// A failed build is tried again after this long: its reason, such as a provider out of order, may have passed.
pub const BUILD_RETRY_MS: i64 = 10 * 60 * 1000;
/// Generating questions from all pages takes minutes at most.
pub const GENERATE_DEADLINE_MS: i64 = 10 * 60 * 1000;
/// Generations tried in vain this often end.
pub const GENERATE_ATTEMPTS_MAX: u32 = 2;
/// A day.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;
