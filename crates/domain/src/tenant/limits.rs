//! The limits of an organization, each with its reason. What a plan sells is in [`super::plan`].

/// Members of one organization: well above any sales team; the entity holds them all in memory.
pub const MEMBERS_MAX: usize = 1_000;
/// Invitations open at once, so that nobody can send mail without end.
pub const INVITATIONS_MAX: usize = 200;
/// Invitations may wait over a weekend and a holiday.
pub const INVITATION_TTL_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Keys that work at once.
pub const KEYS_MAX: usize = 100;
/// Revoked keys still shown in the list.
pub const REVOKED_KEYS_KEPT: usize = 50;
/// A key's last use is journaled at most this often: it tells whether a key is still needed, not each call.
pub const KEY_USED_EVERY_MS: i64 = 60 * 60 * 1000;
/// Agents of one organization when its plan has no limit; the registry of all is kept in memory.
pub const AGENTS_MAX: usize = 1_000;
/// A reserved agent that does not report within this time is asked for.
pub const RESERVATION_MS: i64 = 60 * 1000;
/// Erasures running at once; each searches everything the tenant has.
pub const ERASURES_OPEN_MAX: usize = 20;
/// Finished erasures still shown.
pub const ERASURES_KEPT: usize = 200;
/// An erasure without news for this long is started again.
pub const ERASURE_DEADLINE_MS: i64 = 10 * 60 * 1000;
/// Erasures tried in vain this often are shown as failed.
pub const ERASURE_ATTEMPTS_MAX: u32 = 5;
/// Settings and metadata as JSON, bytes each: copies of them live on every node.
pub const SETTINGS_BYTES_MAX: usize = 32 * 1024;
/// Teams leads are routed to.
pub const TEAMS_MAX: usize = 50;
/// People of one team.
pub const TEAM_MEMBERS_MAX: usize = 200;
/// Longest retention, days: ten years, the longest commercial retention duty we know of.
pub const RETENTION_DAYS_MAX: u64 = 3_660;
