//! The account entity: one person's login. It has no unfinished work of its own.

use std::sync::Arc;

use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::Entity;
use colloquy_domain::account;

use crate::core::{Core, pure_core};

/// The kind `account`.
pub struct AccountEntity;

impl Core for AccountEntity {
    type Plain = account::Command;
}

impl Entity for AccountEntity {
    pure_core!(account, Account, 1, 1, true);

    type Effect = std::convert::Infallible;

    async fn run(self: Arc<Self>, effect: Self::Effect, _handle: EffectHandle) {
        match effect {}
    }
}
