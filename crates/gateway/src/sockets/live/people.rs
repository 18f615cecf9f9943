//! Presence on the live socket: what this screen's person does, repeated while the socket lives, and who else is here.

use colloquy_actors::domain::Actor;
use colloquy_actors::domain::ids::{TenantId, UserId};
use colloquy_actors::presence::{self, Here};
use colloquy_wire::inbox::PresenceStatus;
use colloquy_wire::live::LiveServer;
use serde_json::json;

use super::{Board, Gone, Session};

/// What a `presence` frame says; what it leaves out is as it was.
pub(super) struct Said {
    pub(super) status: Option<PresenceStatus>,
    pub(super) viewing: Option<Option<String>>,
    pub(super) typing: Option<bool>,
}

impl Session {
    /// The person at this screen; programs are nowhere.
    fn person(&self) -> Option<(TenantId, UserId)> {
        let console = self.console.as_ref()?;
        match &console.by.actor {
            Actor::User { id, .. } => Some((console.tenant().clone(), id.clone())),
            Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::Platform { .. } | Actor::System => None,
        }
    }

    /// Takes what this screen's person does.
    pub(super) async fn says(&mut self, said: Said) -> Result<(), Gone> {
        if self.person().is_none() {
            return self.error(presence::TOPIC, "forbidden").await;
        }
        let mut here = self.here.take().unwrap_or_default();
        if let Some(status) = said.status {
            here.away = status == PresenceStatus::Away;
        }
        if let Some(viewing) = said.viewing {
            // Whoever looks elsewhere types no more.
            here.typing &= viewing == here.viewing;
            here.viewing = viewing;
        }
        here.typing = said.typing.unwrap_or(here.typing);
        self.here = Some(here);
        self.repeat(true).await;
        Ok(())
    }

    /// Says again that this screen is here.
    pub(super) async fn repeat(&mut self, fresh: bool) {
        let (Some((tenant, user)), Some(here)) = (self.person(), &self.here) else { return };
        if let Err(error) = presence::here(&self.app.actors.client, &tenant, &user, &self.screen, here, fresh).await {
            // Said again soon.
            tracing::debug!(%tenant, error, "presence could not be told");
        }
    }

    /// The socket ends: the screen shows nothing any more.
    pub(super) async fn leave(&mut self) {
        if let (Some((tenant, user)), Some(_)) = (self.person(), self.here.take()) {
            // Whoever is not heard of is gone in half a minute anyway.
            let _ = presence::left(&self.app.actors.client, &tenant, &user, &self.screen).await;
        }
    }

    /// Follows who is here, and is here from now on.
    pub(super) async fn follow_presence(&mut self) {
        if let Some(console) = &self.console {
            self.presence = Some(self.app.actors.client.watch(&presence::key(console.tenant())).followed().await);
        }
        if self.here.is_none() && self.person().is_some() {
            self.here = Some(Here::default());
            self.repeat(true).await;
        }
    }

    /// Sends who came and went since a number, or who is here.
    pub(super) async fn catch_up_presence(&mut self, tenant: &TenantId, since: Option<u64>) -> Result<(), Gone> {
        let client = self.app.actors.client.clone();
        let name = presence::TOPIC;
        if let Some(seq) = since
            && let Ok(Some(missed)) = presence::since(&client, tenant, seq).await
        {
            self.boards.insert(name.to_owned(), (Board::Presence, seq));
            for update in missed {
                self.delta(&update).await?;
            }
            return Ok(());
        }
        match presence::snapshot(&client, tenant).await {
            Ok(snapshot) => {
                self.boards.insert(name.to_owned(), (Board::Presence, snapshot.seq));
                let data = json!({ "people": snapshot.people });
                let topic = name.to_owned();
                self.send(&LiveServer::Snapshot { topic, seq: snapshot.seq, data, sources: None }).await
            }
            Err(error) => {
                tracing::warn!(error, "presence could not be read");
                self.error(name, "unavailable").await
            }
        }
    }
}
