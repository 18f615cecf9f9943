//! Notifications on the live socket: the person's own, told as they come and as they are read.

use std::collections::BTreeMap;

use colloquy_actors::bulletin::NoticeView;
use colloquy_actors::domain::Actor;
use colloquy_actors::inbox;
use colloquy_wire::live::{Change, LiveServer};
use futures::StreamExt as _;
use futures::future::ready;
use futures::stream::{once, select};
use serde_json::{Value, json};

use super::{Gone, Session, put};
use crate::routes::notifications::own;

/// The topic.
pub(super) const TOPIC: &str = "notifications";
/// The newest ones, as many as a menu shows.
const SHOWN: usize = 20;

/// Followed notifications.
pub(super) struct Notices {
    seq: u64,
    unread: usize,
    items: BTreeMap<String, Value>,
}

/// Hears that something was told or read.
pub(super) type Changed = std::pin::Pin<Box<dyn futures::Stream<Item = ()> + Send>>;

impl Session {
    /// Follows the person's own notifications.
    pub(super) async fn follow_notices(&mut self) -> Result<(), Gone> {
        let Some(console) = self.console.clone() else { return Ok(()) };
        let Actor::User { id: user, .. } = &console.by.actor else { return self.error(TOPIC, "forbidden").await };
        let actors = &self.app.actors;
        // Watched before they are read, so that nothing in between is missed.
        let told = actors.watch_bulletin(console.tenant()).followed().await;
        let read = actors.client.watch(&inbox::key(console.tenant(), user)).followed().await;
        // When one of them ends with its owner, both are followed anew.
        let told = told.map(|_| Some(())).chain(once(ready(None)));
        let read = read.map(|_| Some(())).chain(once(ready(None)));
        let changed: Changed = Box::pin(select(told, read).take_while(|heard| ready(heard.is_some())).map(|_| ()));
        self.notices_changed = Some(changed);
        let Some((unread, items)) = self.read_notices().await? else { return Ok(()) };
        // The numbers of this topic are the socket's own.
        let seq = u64::try_from(self.app.now_ms()).unwrap_or(0);
        let data = json!({ "unread": unread, "items": items });
        let items = items.into_iter().map(|item| (item.id.clone(), json!(item))).collect();
        self.notices = Some(Notices { seq, unread, items });
        self.send(&LiveServer::Snapshot { topic: TOPIC.to_owned(), seq, data, sources: None }).await
    }

    /// Something was told or read: what is different now.
    pub(super) async fn notices_differ(&mut self) -> Result<(), Gone> {
        let Some((unread, items)) = self.read_notices().await? else { return Ok(()) };
        let Some(known) = &mut self.notices else { return Ok(()) };
        let items: BTreeMap<String, Value> = items.into_iter().map(|item| (item.id.clone(), json!(item))).collect();
        let mut changes: Vec<Change> = Vec::new();
        for gone in known.items.keys().filter(|id| !items.contains_key(*id)) {
            changes.push(Change { op: "remove".into(), key: gone.clone(), value: None });
        }
        for (id, item) in items.iter().filter(|(id, item)| known.items.get(*id) != Some(*item)) {
            changes.push(put(id, item.clone()));
        }
        if known.unread != unread {
            changes.push(put("unread", json!(unread)));
        }
        if changes.is_empty() {
            return Ok(());
        }
        let seq = known.seq + 1;
        *known = Notices { seq, unread, items };
        self.send(&LiveServer::Delta { topic: TOPIC.to_owned(), seq, changes }).await
    }

    async fn read_notices(&mut self) -> Result<Option<(usize, Vec<NoticeView>)>, Gone> {
        let Some(console) = self.console.clone() else { return Ok(None) };
        let Actor::User { id: user, .. } = &console.by.actor else { return Ok(None) };
        let app = self.app.clone();
        let read = async {
            let own = own(&app, &console.by, user).await?;
            let shown = app.actors.shown(console.tenant(), &own, own.below(None, false, SHOWN)).await?;
            Ok::<_, crate::problem::Problem>((own.unread(), shown))
        };
        match read.await {
            Ok(read) => Ok(Some(read)),
            Err(problem) => {
                tracing::warn!(code = problem.body.code, "notifications could not be read");
                self.error(TOPIC, "unavailable").await?;
                Ok(None)
            }
        }
    }
}
