//! How a pure core of the domain becomes an entity of the runtime: who asks travels with the command, and is checked against the key's tenant.

use colloquy_cluster::entity::{Cx, Decision, Message, Pending};
use colloquy_cluster::{Ask, Client, EntityKey};
use colloquy_domain::{Context, Principal, Rejection};
use serde::{Deserialize, Serialize};

use crate::{ActorError, once};

/// The longest id that an entity may have, bytes: what the runtime takes.
pub const ID_BYTES_MAX: usize = 256;

/// A command with who asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked<C> {
    /// Who asks, bound to a tenant.
    pub by: Principal,
    /// What for.
    pub command: C,
}

/// An entity kind whose pure core lives in the domain.
pub trait Core: colloquy_cluster::entity::Entity<Command = Asked<Self::Plain>, Rejection = Rejection> {
    /// The domain's command.
    type Plain: Serialize + serde::de::DeserializeOwned + Send + 'static;
}

/// Asks an entity and waits for the answer.
pub async fn ask<E: Core>(
    client: &Client,
    by: &Principal,
    id: &str,
    command: E::Plain,
) -> Result<E::Reply, ActorError> {
    ask_with::<E>(client, by, id, command, Ask::default()).await
}

/// Asks an entity so that its list rows are written before the answer: a console command that is followed by a list.
pub async fn ask_after_rows<E: Core>(
    client: &Client,
    by: &Principal,
    id: &str,
    command: E::Plain,
) -> Result<E::Reply, ActorError> {
    ask_with::<E>(client, by, id, command, Ask::default().after_rows()).await
}

/// Asks an entity with the runtime's options. Within a request that may be repeated, what was done for it before is not done again.
pub async fn ask_with<E: Core>(
    client: &Client,
    by: &Principal,
    id: &str,
    command: E::Plain,
    mut options: Ask,
) -> Result<E::Reply, ActorError> {
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        // What no key can name does not exist.
        return Err(Rejection::not_found(E::KIND).into());
    }
    if options.idempotency_key.is_none() {
        options.idempotency_key = once::key(E::KIND, id, &command);
    }
    let tenant = by.tenant.as_str().to_owned();
    Ok(client.ask::<E>(&tenant, id, Asked { by: by.clone(), command }, options).await?)
}

/// The surroundings of a decision: a principal of another tenant finds nothing here.
pub(crate) fn context(cx: &Cx, by: Principal) -> Result<Context, Rejection> {
    if by.tenant.as_str() != &*cx.key.tenant {
        return Err(Rejection::not_found(&cx.key.kind));
    }
    Ok(Context { now_ms: cx.now_ms, seq: cx.seq, seed: cx.seed, principal: by })
}

/// A domain decision as the runtime takes it.
pub(crate) fn decided<E, R>(decision: colloquy_domain::decision::Decision<E, R>) -> Decision<E, R> {
    Decision { events: decision.events, reply: decision.reply }
}

/// Unfinished effects as the runtime takes them.
pub(crate) fn pendings<F>(pending: Vec<(String, u32, F)>) -> Vec<Pending<F>> {
    pending.into_iter().map(|(id, attempt, effect)| Pending { id, attempt, effect }).collect()
}

/// A message to another entity, sent by Colloquy itself within the receiver's tenant.
pub(crate) fn message<C: Serialize>(tenant: &str, kind: &str, id: &str, command: C) -> Message {
    let asked = Asked { by: Principal::system(tenant.into()), command };
    Message {
        to: EntityKey::new(tenant, kind, id),
        // A command is plain data: it always encodes.
        command: serde_json::to_vec(&asked).unwrap_or_default().into(),
    }
}

/// The part of an `Entity` that is the same for every core of the domain. Arguments: module, state, effect, state version, event version, personal.
macro_rules! pure_core {
    ($($module:ident)::+, $state:ident, $state_version:literal, $event_version:literal, $personal:literal) => {
        const KIND: &'static str = colloquy_domain::$($module)::+::KIND;
        const STATE_VERSION: u32 = $state_version;
        const EVENT_VERSION: u32 = $event_version;
        const PERSONAL: bool = $personal;

        type State = colloquy_domain::$($module)::+::$state;
        type Command = $crate::core::Asked<colloquy_domain::$($module)::+::Command>;
        type Event = colloquy_domain::$($module)::+::Event;
        type Reply = colloquy_domain::$($module)::+::Reply;
        type Rejection = colloquy_domain::Rejection;

        fn decide(
            &self,
            state: &Self::State,
            cx: &colloquy_cluster::entity::Cx,
            asked: Self::Command,
        ) -> Result<colloquy_cluster::entity::Decision<Self::Event, Self::Reply>, Self::Rejection> {
            let context = $crate::core::context(cx, asked.by)?;
            colloquy_domain::$($module)::+::decide(state, &context, asked.command).map($crate::core::decided)
        }

        fn apply(state: &mut Self::State, event: &Self::Event, at: colloquy_cluster::entity::At) {
            colloquy_domain::$($module)::+::apply(state, event, at.seq, at.at_ms);
        }
    };
}
pub(crate) use pure_core;

/// The rest for cores that have unfinished work and timers: their commands are Colloquy's own, asked in the state's tenant.
macro_rules! pure_work {
    ($($module:ident)::+, $effect:ident, $tenant:expr) => {
        type Effect = colloquy_domain::$($module)::+::$effect;

        fn pending(state: &Self::State) -> Vec<colloquy_cluster::entity::Pending<Self::Effect>> {
            $crate::core::pendings(colloquy_domain::$($module)::+::pending(state))
        }

        fn timer(state: &Self::State) -> Option<i64> {
            colloquy_domain::$($module)::+::timer(state)
        }

        fn on_timer(state: &Self::State, now_ms: i64) -> Option<Self::Command> {
            let tenant: fn(&Self::State) -> colloquy_domain::ids::TenantId = $tenant;
            colloquy_domain::$($module)::+::on_timer(state, now_ms)
                .map(|command| $crate::core::Asked { by: colloquy_domain::Principal::system(tenant(state)), command })
        }

        fn on_recovered(state: &Self::State) -> Option<Self::Command> {
            let tenant: fn(&Self::State) -> colloquy_domain::ids::TenantId = $tenant;
            colloquy_domain::$($module)::+::on_recovered(state)
                .map(|command| $crate::core::Asked { by: colloquy_domain::Principal::system(tenant(state)), command })
        }
    };
}
pub(crate) use pure_work;
