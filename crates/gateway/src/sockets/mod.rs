//! WebSockets: how many, from whom, and their orderly end when the node stops.

pub mod chat;
pub mod live;
pub mod voice;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::ws::WebSocketUpgrade;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::proxies::group;

/// The largest frame a client may send, bytes: a message of the longest allowed text in JSON fits.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// What a socket reads at a time, bytes: nearly all frames are smaller, a larger one makes the buffer grow. The library's own 128 KiB
/// would be most of what an idle visitor costs.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// An upgrade with bounds for hostile clients and small buffers for many idle ones; each frame is written as it comes.
fn slim(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
}

/// Sockets opened under one agent's key at once: no receptionist has so many callers, and a key that got about must not take every place of a node.
pub const SOCKETS_PER_KEY_MAX: u32 = 200;

/// All open sockets of this node.
#[derive(Clone)]
pub struct Sockets {
    counts: Arc<Mutex<Counts>>,
    limits: Limits,
    /// Cancelled when the node stops: every socket says goodbye.
    pub stopping: CancellationToken,
    /// Socket tasks, to be waited for.
    pub tasks: TaskTracker,
}

/// How many sockets a node has at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all.
    pub all: u32,
    /// From one address.
    pub per_address: u32,
    /// Of one visitor.
    pub per_visitor: u32,
    /// Of calls.
    pub voice: u32,
}

#[derive(Default)]
struct Counts {
    all: u32,
    voice: u32,
    addresses: HashMap<IpAddr, u32>,
    visitors: HashMap<String, u32>,
    keys: HashMap<String, u32>,
}

/// A place among the open sockets; dropping it frees it.
pub struct Place {
    sockets: Sockets,
    /// None for providers, whose addresses are not counted.
    address: Option<IpAddr>,
    visitor: Option<String>,
    /// The agent whose key opened it.
    key: Option<String>,
    /// Whether it carries a call.
    voice: bool,
}

impl Sockets {
    /// With these limits.
    pub fn new(limits: Limits) -> Self {
        Self { counts: Arc::default(), limits, stopping: CancellationToken::new(), tasks: TaskTracker::new() }
    }

    /// Takes a place for a socket from `address`, or says which limit is reached.
    pub fn place(&self, address: IpAddr) -> Result<Place, &'static str> {
        let mut counts = self.lock();
        if counts.all >= self.limits.all {
            return Err("limits.sockets_max");
        }
        let address = group(address);
        let from = counts.addresses.entry(address).or_default();
        if *from >= self.limits.per_address {
            return Err("limits.sockets_per_address");
        }
        *from += 1;
        counts.all += 1;
        metrics::gauge!(crate::telemetry::SOCKETS).set(f64::from(counts.all));
        Ok(Place { sockets: self.clone(), address: Some(address), visitor: None, key: None, voice: false })
    }

    /// Takes a place for a socket of a voice provider, whose calls all come from a few addresses: only the number in all and of calls is limited.
    pub fn place_of_provider(&self) -> Result<Place, &'static str> {
        let mut counts = self.lock();
        if counts.all >= self.limits.all {
            return Err("limits.sockets_max");
        }
        if counts.voice >= self.limits.voice {
            return Err("limits.voice_sockets_max");
        }
        counts.all += 1;
        counts.voice += 1;
        metrics::gauge!(crate::telemetry::SOCKETS).set(f64::from(counts.all));
        Ok(Place { sockets: self.clone(), address: None, visitor: None, key: None, voice: true })
    }

    /// Takes a place for a socket that an agent's key opened: nothing but the key proves who opens it, so that it has a limit of its own.
    pub fn place_of_key(&self, agent: &str) -> Result<Place, &'static str> {
        let mut place = self.place_of_provider()?;
        let mut counts = self.lock();
        let open = counts.keys.entry(agent.to_owned()).or_default();
        if *open >= SOCKETS_PER_KEY_MAX {
            // The place gives itself back, which needs the lock.
            drop(counts);
            return Err("sockets of one agent's key");
        }
        *open += 1;
        drop(counts);
        place.key = Some(agent.to_owned());
        Ok(place)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Names the visitor behind the socket; `false` when the visitor has too many.
    pub fn of_visitor(&mut self, visitor: &str) -> bool {
        let mut counts = self.sockets.lock();
        let open = counts.visitors.entry(visitor.to_owned()).or_default();
        if *open >= self.sockets.limits.per_visitor {
            return false;
        }
        *open += 1;
        self.visitor = Some(visitor.to_owned());
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.sockets.lock();
        counts.all -= 1;
        counts.voice -= u32::from(self.voice);
        if let Some(address) = &self.address {
            less(&mut counts.addresses, address);
        }
        if let Some(visitor) = &self.visitor {
            less(&mut counts.visitors, visitor);
        }
        if let Some(key) = &self.key {
            less(&mut counts.keys, key);
        }
        metrics::gauge!(crate::telemetry::SOCKETS).set(f64::from(counts.all));
    }
}

fn less<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let sockets = Sockets::new(Limits { all: 3, per_address: 2, per_visitor: 1, voice: 3 });
        let (a, b): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let mut first = sockets.place(a).ok().unwrap();
        let mut second = sockets.place(a).ok().unwrap();
        assert_eq!(sockets.place(a).err(), Some("limits.sockets_per_address"));
        let _third = sockets.place(b).ok().unwrap();
        assert_eq!(sockets.place(b).err(), Some("limits.sockets_max"));
        assert!(first.of_visitor("v"));
        assert!(!second.of_visitor("v"));
        drop(first);
        assert!(second.of_visitor("v"));
        drop(second);
        assert!(sockets.lock().visitors.is_empty());
        assert!(sockets.place(a).is_ok());
    }

    #[test]
    fn calls_take_no_more_than_their_share_of_a_nodes_sockets() {
        let sockets = Sockets::new(Limits { all: 10, per_address: 9, per_visitor: 1, voice: 2 });
        let first = sockets.place_of_provider().ok().unwrap();
        let _second = sockets.place_of_key("a").ok().unwrap();
        assert_eq!(sockets.place_of_provider().err(), Some("limits.voice_sockets_max"));
        assert!(sockets.place([127, 0, 0, 1].into()).is_ok(), "visitors have room");
        drop(first);
        assert!(sockets.place_of_provider().is_ok());
    }

    #[test]
    fn one_agents_key_takes_no_more_than_its_share_of_a_nodes_sockets() {
        let all = SOCKETS_PER_KEY_MAX * 2;
        let sockets = Sockets::new(Limits { all, per_address: 1, per_visitor: 1, voice: all });
        let mut open: Vec<Place> = (0..SOCKETS_PER_KEY_MAX).map(|_| sockets.place_of_key("a").ok().unwrap()).collect();
        assert_eq!(sockets.place_of_key("a").err(), Some("sockets of one agent's key"));
        assert_eq!(sockets.lock().all, SOCKETS_PER_KEY_MAX, "one that was refused takes no place");
        let _other = sockets.place_of_key("b").ok().unwrap();
        open.pop();
        open.push(sockets.place_of_key("a").ok().unwrap());
        drop(open);
        assert_eq!(sockets.lock().keys.len(), 1);
    }
}
