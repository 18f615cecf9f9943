//! The pacer entity of a provider account. Its limits are this installation's settings: each wish is decided under the ones that hold now.

use std::sync::Arc;

use colloquy_cluster::EntityKey;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Cx, Decision, Entity, Message, Pending};
use colloquy_domain::campaign::slice;
use colloquy_domain::ids::TenantId;
use colloquy_domain::lines::Provider;
use colloquy_domain::pacer::{self, Command, Config, Effect, Event, Pacer, Reply};
use colloquy_domain::{Principal, Rejection};

use crate::Tools;
use crate::core::{Asked, Core, context, decided, message};

/// The limits of accounts, by provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pacing {
    /// Of an account at Twilio.
    pub twilio: Config,
    /// Of an account at Retell.
    pub retell: Config,
    /// Of one at the simulated carrier.
    pub simulated: Config,
}

impl Pacing {
    /// Of an account, as pacers are named: provider, colon, account.
    fn of(&self, account: &str) -> Config {
        match account.split_once(':').and_then(|(provider, _)| Provider::of(provider)) {
            Some(Provider::Simulated | Provider::SimulatedRetell) => self.simulated,
            Some(Provider::Retell) => self.retell,
            Some(Provider::Twilio | Provider::Whatsapp | Provider::Vapi) | None => self.twilio,
        }
    }
}

/// The kind `pacer`.
pub struct PacerEntity {
    tools: Arc<Tools>,
}

impl PacerEntity {
    /// With the limits of this installation.
    pub fn new(tools: Arc<Tools>) -> Self {
        Self { tools }
    }
}

impl Core for PacerEntity {
    type Plain = Command;
}

impl Entity for PacerEntity {
    const KIND: &'static str = pacer::KIND;
    const STATE_VERSION: u32 = 1;
    const EVENT_VERSION: u32 = 1;
    const PERSONAL: bool = false;

    type State = Pacer;
    type Command = Asked<Command>;
    type Event = Event;
    type Reply = Reply;
    type Rejection = Rejection;
    type Effect = Effect;

    fn decide(&self, state: &Pacer, cx: &Cx, asked: Asked<Command>) -> Result<Decision<Event, Reply>, Rejection> {
        let context = context(cx, asked.by)?;
        let config = self.tools.carriers.settings.pacing.of(&cx.key.id);
        if config == state.config || !matches!(asked.command, Command::Want(_)) {
            return pacer::decide(state, &context, asked.command).map(decided);
        }
        // The settings of this installation were changed since the last wish.
        let configured = Event::Configured { config };
        let mut ahead = state.clone();
        pacer::apply(&mut ahead, &configured, cx.seq + 1, cx.now_ms);
        let mut decision = pacer::decide(&ahead, &context, asked.command)?;
        decision.events.insert(0, configured);
        Ok(decided(decision))
    }

    fn apply(state: &mut Pacer, event: &Event, at: At) {
        pacer::apply(state, event, at.seq, at.at_ms);
    }

    fn pending(state: &Pacer) -> Vec<Pending<Effect>> {
        crate::core::pendings(pacer::pending(state))
    }

    fn timer(state: &Pacer) -> Option<i64> {
        pacer::timer(state)
    }

    fn on_timer(state: &Pacer, now_ms: i64) -> Option<Asked<Command>> {
        let by = Principal::system(TenantId::from(pacer::TENANT));
        pacer::on_timer(state, now_ms).map(|command| Asked { by, command })
    }

    fn outbox(&self, _key: &EntityKey, _state: &Pacer, event: &Event, _at: At) -> Vec<Message> {
        pacer::tells(event)
            .into_iter()
            .map(|(holder, command)| {
                message(holder.tenant.as_str(), slice::KIND, &slice::id(&holder.campaign, holder.slice), command)
            })
            .collect()
    }

    async fn run(self: Arc<Self>, effect: Effect, _handle: EffectHandle) {
        match effect {}
    }
}
