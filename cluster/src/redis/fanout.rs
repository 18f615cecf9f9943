//! Watch items through Redis's publish and subscribe: one channel an entity, subscribed while somebody on this node watches it.
//!
//! Publish and subscribe loses what it cannot deliver at once, so every loss is noticed and made up for by a re-sync from the owner:
//! * the node hears its own **beat** over both connections; while it does not, its watchers ask the owners anew every few seconds, and once more when it does;
//! * what a node could not publish it tells all nodes once it can again (`missed`);
//! * a connection that was made anew is subscribed to everything before it is subscribed to the beat;
//! * messages that could not be taken in time are a loss too.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use colloquy_store::EntityKey;
use fred::interfaces::{ClientLike as _, EventInterface as _, PubsubInterface as _};
use fred::types::{Message, Value};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Redis, wire};
use crate::host::fanout::{Arrivals, Fanout, FanoutFactory};
use crate::host::watch::Watch;
use crate::telemetry;

/// Items waiting to be published; beyond it they are dropped and told as missed.
const WAITING_MAX: usize = 8_192;
/// Bytes waiting to be published.
const WAITING_BYTES: usize = 16 * 1024 * 1024;
/// Items published at once.
const BATCH: usize = 256;
/// Channels subscribed to at once.
const CHANNELS_AT_ONCE: usize = 512;
/// How often the node sends its beat.
const BEAT_EVERY: Duration = Duration::from_millis(500);
/// Without a beat for this long the way counts as broken.
const BROKEN_AFTER: Duration = Duration::from_secs(2);
/// While it is broken, how often each watcher asks its owner, in so many parts.
const CATCH_UP_EVERY: Duration = Duration::from_secs(2);
/// The parts of a catch-up, so that ten thousand watchers do not ask at once.
const PARTS: u64 = 20;

/// What the publisher is given.
struct Outgoing {
    channel: String,
    message: Bytes,
    /// Given back when it is sent or dropped.
    size: usize,
}

struct RedisFanout {
    prefix: String,
    origin: u64,
    outgoing: mpsc::Sender<Outgoing>,
    waiting_bytes: Arc<AtomicUsize>,
    lost: Arc<AtomicBool>,
    changes: mpsc::UnboundedSender<EntityKey>,
}

/// Names of channels.
#[derive(Clone)]
struct Channels {
    cluster: String,
    origin: u64,
}

impl Channels {
    fn watched(&self) -> String {
        format!("colloquy/{}/watch/", self.cluster)
    }

    fn beat(&self) -> String {
        format!("colloquy/{}/beat/{:016x}", self.cluster, self.origin)
    }

    fn missed(&self) -> String {
        format!("colloquy/{}/missed", self.cluster)
    }
}

pub(super) fn factory(redis: Redis) -> FanoutFactory {
    Arc::new(move |arrivals| {
        let origin = rand::random();
        let channels = Channels { cluster: redis.cluster.clone(), origin };
        let (outgoing, waiting) = mpsc::channel(WAITING_MAX);
        let (changes, changed) = mpsc::unbounded_channel(); // As many as watchers come and go.
        let fanout = RedisFanout {
            prefix: channels.watched(),
            origin,
            outgoing,
            waiting_bytes: Arc::default(),
            lost: Arc::default(),
            changes,
        };
        let publisher = Publisher {
            redis: redis.clone(),
            channels: channels.clone(),
            waiting,
            waiting_bytes: fanout.waiting_bytes.clone(),
            lost: fanout.lost.clone(),
        };
        let subscriber = Subscriber {
            redis: redis.clone(),
            prefix: channels.watched(),
            channels,
            arrivals,
            changed,
            subscribed: HashMap::new(),
            behind: true,
            heard: None,
            catch_up: None,
        };
        tokio::spawn(publisher.run());
        tokio::spawn(subscriber.run());
        Arc::new(fanout)
    })
}

fn channel_of(prefix: &str, key: &EntityKey) -> String {
    format!("{prefix}{key}")
}

impl Fanout for RedisFanout {
    fn publish(&self, key: &EntityKey, item: &Watch) {
        let message = wire::encode(self.origin, item);
        let size = message.len();
        let full = self.waiting_bytes.fetch_add(size, Ordering::AcqRel) + size > WAITING_BYTES;
        let outgoing = Outgoing { channel: channel_of(&self.prefix, key), message, size };
        if full || self.outgoing.try_send(outgoing).is_err() {
            self.waiting_bytes.fetch_sub(size, Ordering::AcqRel);
            self.lost.store(true, Ordering::Release);
            metrics::counter!(telemetry::FANOUT_PUBLISHED, "outcome" => "dropped").increment(1);
        }
    }

    fn changed(&self, key: &EntityKey) {
        // The subscriber has ended with the node.
        drop(self.changes.send(key.clone()));
    }
}

/// Publishes what waits, in order, in batches; and the beat.
struct Publisher {
    redis: Redis,
    channels: Channels,
    waiting: mpsc::Receiver<Outgoing>,
    waiting_bytes: Arc<AtomicUsize>,
    lost: Arc<AtomicBool>,
}

impl Publisher {
    async fn run(mut self) {
        let mut beats = interval(BEAT_EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let mut messages = Vec::new();
            tokio::select! {
                taken = self.waiting.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return; // The node is gone.
                    }
                }
                _ = beats.tick() => {
                    if self.lost.swap(false, Ordering::AcqRel) {
                        messages.push((self.channels.missed(), origin_bytes(self.channels.origin), true));
                    }
                    messages.push((self.channels.beat(), Bytes::new(), true));
                }
            }
            let items = batch.len() as u64;
            for outgoing in batch.drain(..) {
                self.waiting_bytes.fetch_sub(outgoing.size, Ordering::AcqRel);
                messages.push((outgoing.channel, outgoing.message, false));
            }
            let tells_of_losses = messages.len() > 1 && messages.first().is_some_and(|(_, _, control)| *control);
            let sent = self.send(messages).await;
            if !sent && (items > 0 || tells_of_losses) {
                self.lost.store(true, Ordering::Release);
            }
            if items > 0 {
                let outcome = if sent { "sent" } else { "dropped" };
                metrics::counter!(telemetry::FANOUT_PUBLISHED, "outcome" => outcome).increment(items);
            }
        }
    }

    async fn send(&self, messages: Vec<(String, Bytes, bool)>) -> bool {
        if !self.redis.commands.is_connected() {
            return false;
        }
        let pipeline = self.redis.commands.pipeline();
        for (channel, message, _) in messages {
            let queued: Result<(), _> = pipeline.publish(channel, Value::Bytes(message)).await;
            if queued.is_err() {
                return false;
            }
        }
        pipeline.all::<Vec<i64>>().await.is_ok()
    }
}

fn origin_bytes(origin: u64) -> Bytes {
    Bytes::copy_from_slice(&origin.to_le_bytes())
}

/// Follows what this node's watchers watch.
struct Subscriber {
    redis: Redis,
    channels: Channels,
    prefix: String,
    arrivals: Arrivals,
    changed: mpsc::UnboundedReceiver<EntityKey>,
    subscribed: HashMap<String, EntityKey>,
    /// The connection lacks subscriptions.
    behind: bool,
    /// When the own beat was heard last; `None` while the way is broken.
    heard: Option<Instant>,
    /// The next part of a catch-up: while the way is broken they follow each other, after it heals one round is made.
    catch_up: Option<u64>,
}

impl Subscriber {
    async fn run(mut self) {
        let mut messages = self.redis.messages.message_rx();
        let mut reconnects = self.redis.messages.reconnect_rx();
        let mut looks = interval(CATCH_UP_EVERY / u32::try_from(PARTS).unwrap_or(1));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut keys = Vec::new();
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Ok(message) => self.take(&message),
                    Err(RecvError::Lagged(_)) => self.catch_up = Some(0),
                    Err(RecvError::Closed) => return,
                },
                reconnected = reconnects.recv() => match reconnected {
                    Ok(_) | Err(RecvError::Lagged(_)) => {
                        self.behind = true;
                        self.heard = None;
                    }
                    Err(RecvError::Closed) => return,
                },
                taken = self.changed.recv_many(&mut keys, CHANNELS_AT_ONCE) => {
                    if taken == 0 {
                        return; // The node is gone.
                    }
                    if !self.behind {
                        self.behind = !self.settle(&keys).await;
                    }
                    keys.clear();
                }
                _ = looks.tick() => {
                    if !self.arrivals.is_open() {
                        return;
                    }
                    self.look().await;
                }
            }
        }
    }

    fn take(&mut self, message: &Message) {
        let channel: &str = &message.channel;
        if let Some(key) = self.subscribed.get(channel) {
            let item = message.value.as_bytes().map(Bytes::copy_from_slice).and_then(|bytes| wire::decode(&bytes));
            match item {
                Some((origin, _)) if origin == self.channels.origin => {} // Our own watchers have it already.
                Some((_, item)) => {
                    metrics::counter!(telemetry::FANOUT_RECEIVED, "outcome" => "delivered").increment(1);
                    self.arrivals.deliver(key, &item);
                }
                None => metrics::counter!(telemetry::FANOUT_RECEIVED, "outcome" => "unreadable").increment(1),
            }
        } else if channel == self.channels.beat() {
            if self.heard.is_none() {
                // What was published while the way was broken is lost: one round of re-syncs.
                tracing::info!("the fan-out between nodes works");
                self.catch_up = Some(0);
            }
            self.heard = Some(Instant::now());
        } else if channel == self.channels.missed()
            && message.value.as_bytes() != Some(&origin_bytes(self.channels.origin)[..])
        {
            self.catch_up = Some(0);
        }
    }

    async fn look(&mut self) {
        if self.heard.is_some_and(|heard| heard.elapsed() > BROKEN_AFTER) {
            tracing::warn!(
                "the fan-out between nodes is broken; watchers ask the owners every few seconds until it heals"
            );
            self.heard = None;
            // A server that answers again may have forgotten us.
            self.behind = true;
        }
        metrics::gauge!(telemetry::FANOUT_UP).set(if self.heard.is_some() { 1.0 } else { 0.0 });
        if self.behind && self.redis.messages.is_connected() {
            self.behind = !self.subscribe_all().await;
        }
        let part = match (self.catch_up, self.heard) {
            (Some(part), _) => part,
            (None, None) => 0,
            (None, Some(_)) => return,
        };
        metrics::counter!(telemetry::FANOUT_CATCH_UPS).increment(1);
        self.arrivals.missed(part, PARTS, false);
        self.catch_up = (part + 1 < PARTS).then_some(part + 1);
    }

    /// Subscribes to everything watched, then to the beat; whether it worked.
    async fn subscribe_all(&mut self) -> bool {
        self.subscribed.clear();
        let watched = self.arrivals.watched();
        for keys in watched.chunks(CHANNELS_AT_ONCE) {
            if !self.settle(keys).await {
                return false;
            }
        }
        let own = vec![self.channels.missed(), self.channels.beat()];
        self.redis.messages.subscribe(own).await.is_ok()
    }

    /// Subscribes to what is watched of these and lets go of what is not.
    async fn settle(&mut self, keys: &[EntityKey]) -> bool {
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for key in keys {
            let channel = channel_of(&self.prefix, key);
            match (self.arrivals.is_watched(key), self.subscribed.contains_key(&channel)) {
                (true, false) => {
                    self.subscribed.insert(channel.clone(), key.clone());
                    wanted.push(channel);
                }
                (false, true) => {
                    self.subscribed.remove(&channel);
                    unwanted.push(channel);
                }
                (true, true) | (false, false) => {}
            }
        }
        let mut done = true;
        if !unwanted.is_empty() {
            done &= self.redis.messages.unsubscribe(unwanted).await.is_ok();
        }
        if !wanted.is_empty() {
            done &= self.redis.messages.subscribe(wanted).await.is_ok();
        }
        if done {
            for key in keys {
                self.arrivals.followed(key);
            }
        }
        done
    }
}
