//! Campaigns on the live socket: cards, counts, status and the newest calls, looked at every second while somebody follows them.

use std::collections::BTreeMap;

use colloquy_actors::campaign::{self as actor, slice::calls_list};
use colloquy_actors::cluster::store::rows::Range;
use colloquy_wire::live::{Change, LiveServer};
use serde_json::{Value, json};

use super::{Gone, Session, put};
use crate::app::App;
use crate::auth::Console;
use crate::problem::Problem;
use crate::routes::agents::only_agent;

/// What stands before the id in the topic.
pub(super) const PREFIX: &str = "campaign:";
/// The newest calls, as many as a monitor shows.
const CALLS_SHOWN: usize = 20;

/// A followed campaign.
pub(super) struct Followed {
    /// The number last sent; the socket's own.
    seq: u64,
    /// What was sent last, by key.
    shown: BTreeMap<String, Value>,
}

impl Session {
    /// Follows a campaign: a snapshot first.
    pub(super) async fn follow_campaign(&mut self, console: &Console, id: String) -> Result<(), Gone> {
        let topic = format!("{PREFIX}{id}");
        let (shown, sources) = match read_campaign(&self.app.clone(), console, &id).await {
            Ok(read) => read,
            Err(problem) => return self.error(&topic, &problem.body.code.clone()).await,
        };
        let seq = u64::try_from(self.app.now_ms()).unwrap_or(0);
        let data = json!(shown);
        self.campaigns.insert(id, Followed { seq, shown });
        self.send(&LiveServer::Snapshot { topic, seq, data, sources: Some(sources) }).await
    }

    /// Tells what is different now of every followed campaign.
    pub(super) async fn campaigns_differ(&mut self) -> Result<(), Gone> {
        let Some(console) = self.console.clone() else { return Ok(()) };
        let ids: Vec<String> = self.campaigns.keys().cloned().collect();
        for id in ids {
            let topic = format!("{PREFIX}{id}");
            let shown = match read_campaign(&self.app.clone(), &console, &id).await {
                Ok((shown, _)) => shown,
                // Gone, or not for this person any more.
                Err(problem) if problem.body.status == 404 => {
                    self.campaigns.remove(&id);
                    self.error(&topic, "not_found").await?;
                    continue;
                }
                Err(problem) => {
                    tracing::info!(campaign = id, code = problem.body.code, "a campaign could not be looked at");
                    continue;
                }
            };
            let Some(known) = self.campaigns.get_mut(&id) else { continue };
            let gone = known.shown.keys().filter(|key| !shown.contains_key(*key));
            let mut changes: Vec<Change> =
                gone.map(|key| Change { op: "remove".into(), key: key.clone(), value: None }).collect();
            let differs = |(key, value): &(&String, &Value)| known.shown.get(*key) != Some(*value);
            changes.extend(shown.iter().filter(differs).map(|(key, value)| put(key, value.clone())));
            if changes.is_empty() {
                continue;
            }
            let seq = known.seq + 1;
            *known = Followed { seq, shown };
            self.send(&LiveServer::Delta { topic, seq, changes }).await?;
        }
        Ok(())
    }
}

/// What is shown of a campaign, by key, and what its numbers were counted to.
async fn read_campaign(app: &App, console: &Console, id: &str) -> Result<(BTreeMap<String, Value>, Value), Problem> {
    let client = &app.actors.client;
    let state = actor::state(client, &console.by, id).await?;
    if only_agent(console).is_some_and(|only| only != state.settings.agent_id) {
        return Err(Problem::not_found("campaign"));
    }
    let mut stats = actor::stats(client, console.tenant(), &state).await?;
    let sources = stats["sources"].take();
    let range = Range { limit: CALLS_SHOWN, ..Range::default() };
    let rows = client.list::<Value>(console.tenant().as_str(), &calls_list(&state.id), &range).await;
    let mut calls: Vec<Value> =
        rows.map_err(colloquy_actors::ActorError::from)?.into_iter().map(|row| row.body).collect();
    actor::with_names(client, console.tenant(), &state.id, &mut calls).await?;
    let mut shown = BTreeMap::new();
    for key in ["cards", "counts", "status", "paused_by", "settings_version", "cost_usd", "budget_usd"] {
        shown.insert(key.to_owned(), stats[key].take());
    }
    shown.insert("campaign".to_owned(), actor::view(&state));
    for call in calls {
        shown.insert(format!("call/{}", call["id"].as_str().unwrap_or_default()), call);
    }
    Ok((shown, sources))
}
