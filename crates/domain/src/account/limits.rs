//! The limits of an account, each with its reason.

/// Sessions at once; more devices than anyone uses, few enough to keep an account small. The one unused longest ends first.
pub const SESSIONS_MAX: usize = 20;
/// A refresh token unused for this long is void: a month lets a person return without signing in again.
pub const SESSION_IDLE_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// For this long the token just replaced is taken again: a second browser tab, or a lost answer, is not a theft.
pub const ROTATION_GRACE_MS: i64 = 10 * 1000;
/// Tokens that the grace may mint side by side: a browser that opens again with its tabs. Further ones are told to use what was given last.
pub const SIBLINGS_MAX: usize = 8;
/// A magic link is for the mail read now.
pub const MAGIC_TTL_MS: i64 = 15 * 60 * 1000;
/// A reset link may wait for the mail to be found.
pub const RESET_TTL_MS: i64 = 60 * 60 * 1000;
/// Unused links of one kind at once; further requests are answered but send nothing, so that nobody's mailbox is flooded.
pub const ONE_TIME_MAX: usize = 3;
/// Wrong passwords in a row that cost nothing: people mistype.
pub const FREE_FAILURES: u32 = 5;
/// Wrong passwords in a row from all addresses that cost nothing: a person forgets at one or two, guesses from many addresses add up here.
pub const ALL_FREE_FAILURES: u32 = 50;
/// Addresses whose wrong passwords are told apart; beyond, the one that was quiet longest is forgotten, and what comes from all of them still counts.
pub const FROM_MAX: usize = 64;
/// Addresses from which somebody signed in that are remembered: guesses from elsewhere do not lock these out.
pub const PROVEN_MAX: usize = 32;
/// An address proves nothing any more when nobody has signed in from it for so long: others have it by then.
pub const PROVEN_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// The first wait after too many wrong passwords; doubles with each further one.
pub const LOCK_FIRST_MS: i64 = 30 * 1000;
/// The longest wait: a guesser gets about 100 tries a day, a locked-out owner is back soon (and magic links still work).
pub const LOCK_MAX_MS: i64 = 15 * 60 * 1000;
/// Wrong passwords are forgotten after a quiet day.
pub const FAILURES_FORGOTTEN_MS: i64 = 24 * 60 * 60 * 1000;
/// Organizations one person may belong to.
pub const MEMBERSHIPS_MAX: usize = 200;
/// The size of all preferences as JSON, bytes: they are loaded with every sign-in.
pub const PREFERENCES_BYTES_MAX: usize = 16 * 1024;
/// The longest token or password hash taken; argon2id strings have about 100 characters.
pub const HASH_CHARS_MAX: usize = 512;
/// The longest description of a device kept with a session.
pub const DEVICE_CHARS_MAX: usize = 200;
