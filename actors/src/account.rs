//! The account entity: one person's login. It has no unfinished work of its own.

use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Entity};
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::account;
use colloquy_domain::ids::UserId;
use serde_json::{Map, Value, json};

use crate::core::{Core, ask, pure_core};
use crate::{ActorError, signup};

/// The kind `account`.
pub struct AccountEntity;

impl Core for AccountEntity {
    type Plain = account::Command;
}

impl Entity for AccountEntity {
    pure_core!(account, Account, 2, 1, true);

    type Effect = std::convert::Infallible;

    fn watched(&self, _key: &EntityKey, _state: &Self::State, event: &Self::Event, _at: At) -> Option<Bytes> {
        match event {
            account::Event::SessionStarted { .. }
            | account::Event::SessionEnded { .. }
            | account::Event::SuspendedSet { .. }
            | account::Event::MembershipSet(_) => Some(Bytes::from_static(b"{\"type\":\"changed\"}")),
            // What changes neither which sessions go on nor where is nobody else's business.
            account::Event::Registered(_)
            | account::Event::LoginFailed { .. }
            | account::Event::MagicRequested { .. }
            | account::Event::MagicUsed { .. }
            | account::Event::ResetRequested { .. }
            | account::Event::ResetUsed { .. }
            | account::Event::PasswordSet { .. }
            | account::Event::PasswordDropped
            | account::Event::SessionRefreshed { .. }
            | account::Event::TenantSwitched { .. }
            | account::Event::NameSet { .. }
            | account::Event::PreferencesSet { .. }
            | account::Event::PlatformAdminSet { .. } => None,
        }
    }

    async fn run(self: Arc<Self>, effect: Self::Effect, _handle: EffectHandle) {
        match effect {}
    }
}

/// What somebody said they want; none for an account that is gone or stopped.
pub(crate) async fn preferences(client: &Client, user: &UserId) -> Result<Option<Map<String, Value>>, ActorError> {
    // A patch that changes nothing.
    let command = account::Command::SetPreferences { patch: json!({}) };
    match ask::<AccountEntity>(client, &signup::platform(), user.as_str(), command).await {
        Ok(account::Reply::Preferences { preferences }) => Ok(Some(preferences)),
        Ok(_) | Err(ActorError::Rejected(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
