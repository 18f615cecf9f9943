//! What may be asked of an account, what can happen to it, and what it answers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{state::Membership, view::AccountView};
use crate::{
    ids::{TenantId, UserId},
    principal::Role,
};

/// A session about to begin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSession {
    /// The id of its refresh-token family.
    pub family: String,
    /// Hash of the first refresh token.
    pub token_hash: String,
    /// The organization to work in; the account's default without one.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// The device, for the list of sessions.
    #[serde(default)]
    pub device: String,
    /// Where it comes from: a keyed hash of the client's address. Empty where nobody counts by it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
}

/// Who signs up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The new account's id.
    pub id: UserId,
    /// The e-mail address, reserved by the caller.
    pub email: String,
    /// The person's name.
    pub name: String,
    /// Argon2id hash; none for people who only use links.
    pub password_hash: Option<String>,
    /// Whether the address is listed in `platform.admin_emails`; takes effect once the address is verified.
    #[serde(default)]
    pub platform_admin: bool,
    /// Whether the address is known to be the person's own.
    #[serde(default)]
    pub verified: bool,
}

/// What may be asked of an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Signs up. Repeating it with the same address succeeds.
    Register(Register),
    /// What the caller needs to check a password (query).
    Credentials {
        /// Where the password comes from, as in [`NewSession::from`].
        from: String,
    },
    /// Begins a session after the password was checked against `verified_hash`.
    LogIn {
        /// The hash the password was checked against; refused if it is no longer the account's.
        verified_hash: String,
        /// The session.
        session: NewSession,
    },
    /// Notes a wrong password.
    LoginFailed {
        /// Where it comes from, as in [`NewSession::from`].
        from: String,
    },
    /// Prepares a magic link.
    RequestMagic {
        /// Hash of the link's token.
        token_hash: String,
    },
    /// Follows a magic link: verifies the address and begins a session.
    UseMagic {
        /// Hash of the link's token.
        token_hash: String,
        /// The session.
        session: NewSession,
    },
    /// Prepares a link to set a new password.
    RequestReset {
        /// Hash of the link's token.
        token_hash: String,
    },
    /// Sets a new password by a link and ends all sessions.
    UseReset {
        /// Hash of the link's token.
        token_hash: String,
        /// The new password's hash.
        password_hash: String,
    },
    /// Changes the password.
    SetPassword {
        /// The hash the old password was checked against; none if there was none.
        verified_hash: Option<String>,
        /// The new password's hash.
        password_hash: String,
        /// The session that stays.
        #[serde(default)]
        keep_family: Option<String>,
    },
    /// Begins a session for someone whose identity the caller has established (sign-up, invitation).
    StartSession {
        /// The session.
        session: NewSession,
    },
    /// Exchanges a refresh token for the next.
    Refresh {
        /// The session.
        family: String,
        /// Hash of the presented token.
        token_hash: String,
        /// Hash of the next token.
        next_hash: String,
    },
    /// Lets a session work in another organization.
    SwitchTenant {
        /// The session.
        family: String,
        /// The organization.
        tenant: TenantId,
    },
    /// Ends a session.
    Logout {
        /// The session.
        family: String,
    },
    /// Ends all sessions.
    LogoutAll,
    /// A tenant tells that a membership began, changed or ended.
    SetMembership(MembershipChange),
    /// Changes the person's name.
    SetName {
        /// The name.
        name: String,
    },
    /// Changes preferences by a JSON merge patch.
    SetPreferences {
        /// The patch.
        patch: Value,
    },
    /// Makes somebody a platform administrator, or no longer.
    SetPlatformAdmin {
        /// Whether.
        on: bool,
    },
    /// Locks an account out, or lets it in again.
    SetSuspended {
        /// Whether.
        on: bool,
    },
    /// The account as its owner sees it (query).
    View,
    /// The sessions that go on (query).
    Sessions,
}

/// A membership as the tenant sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipChange {
    /// The organization.
    pub tenant: TenantId,
    /// The organization's version; an older one changes nothing.
    pub version: u64,
    /// The role; none once the membership ended.
    pub role: Option<Role>,
    /// The organization's name.
    pub name: String,
    /// The organization's slug.
    pub slug: String,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// The person signed out.
    Logout,
    /// A replaced token came back: somebody has a copy.
    Reused,
    /// Unused for too long.
    Expired,
    /// Too many sessions.
    Crowded,
    /// The password changed or the account was suspended.
    Revoked,
}

/// What happened to an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Somebody signed up.
    Registered(Register),
    /// A wrong password.
    LoginFailed {
        /// Where it came from; empty before that was told apart.
        #[serde(default)]
        from: String,
        /// Until when further passwords from there are refused unseen; none while tries are free.
        locked_until_ms: Option<i64>,
        /// Until when further passwords from anywhere unknown are; none while tries are free.
        #[serde(default)]
        all_locked_until_ms: Option<i64>,
    },
    /// A magic link was prepared.
    MagicRequested {
        /// Hash of its token.
        token_hash: String,
        /// When it becomes void.
        expires_ms: i64,
    },
    /// A magic link was followed; it works once. The address is verified.
    MagicUsed {
        /// Hash of its token.
        token_hash: String,
    },
    /// A reset link was prepared.
    ResetRequested {
        /// Hash of its token.
        token_hash: String,
        /// When it becomes void.
        expires_ms: i64,
    },
    /// A reset link was used; the address is verified, all other links are void.
    ResetUsed {
        /// Hash of its token.
        token_hash: String,
    },
    /// The password changed.
    PasswordSet {
        /// Its hash.
        password_hash: String,
    },
    /// The password was set before anybody had shown that the address is theirs, and no longer opens the account.
    PasswordDropped,
    /// A session began; wrong passwords are forgotten.
    SessionStarted {
        /// The session, its organization resolved.
        session: NewSession,
        /// When it becomes void unless used.
        expires_ms: i64,
    },
    /// A refresh token was exchanged.
    SessionRefreshed {
        /// The session.
        family: String,
        /// Hash of the new token.
        next_hash: String,
        /// Whether the presented token stays retired beside others minted in the grace time.
        sibling: bool,
        /// When it becomes void unless used.
        expires_ms: i64,
    },
    /// A session works in another organization.
    TenantSwitched {
        /// The session.
        family: String,
        /// The organization.
        tenant: TenantId,
    },
    /// A session ended.
    SessionEnded {
        /// The session.
        family: String,
        /// Why.
        why: SessionEnd,
    },
    /// A membership began, changed or ended.
    MembershipSet(MembershipChange),
    /// The name changed.
    NameSet {
        /// The name.
        name: String,
    },
    /// Preferences changed.
    PreferencesSet {
        /// All of them.
        preferences: Map<String, Value>,
    },
    /// Became a platform administrator, or no longer is.
    PlatformAdminSet {
        /// Whether.
        on: bool,
    },
    /// Was locked out or let in.
    SuspendedSet {
        /// Whether.
        on: bool,
    },
}

/// What an account answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
    /// Signed up; `fresh` is false if it had happened before.
    Registered {
        /// Whether this call did it.
        fresh: bool,
    },
    /// What is needed to check a password.
    Credentials {
        /// The password's hash; none if only links work.
        password_hash: Option<String>,
        /// Milliseconds to wait before a password is looked at; none while not locked.
        wait_ms: Option<i64>,
    },
    /// Whether a mail should be sent: false when enough are on their way.
    Requested {
        /// Whether.
        send: bool,
        /// Where to.
        email: String,
        /// The person's name.
        name: String,
    },
    /// A wrong password was noted.
    Failed {
        /// Milliseconds to wait before the next try; none while tries are free.
        wait_ms: Option<i64>,
    },
    /// A session stands.
    Session {
        /// The session.
        family: String,
        /// The organization it works in and the role there; none for a person without any.
        membership: Option<Membership>,
        /// The account.
        account: Box<AccountView>,
    },
    /// The session ended instead of going on; the caller answers 401.
    SessionEnded {
        /// Why.
        why: SessionEnd,
    },
    /// The account.
    Account(Box<AccountView>),
    /// The sessions that go on.
    Sessions {
        /// Their refresh-token families.
        families: BTreeSet<String>,
    },
    /// All preferences.
    Preferences {
        /// Them.
        preferences: Map<String, Value>,
    },
}
