//! The account entity: one person's login. It has no unfinished work of its own.

use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::EntityKey;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Entity};
use colloquy_domain::account;

use crate::core::{Core, pure_core};

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
