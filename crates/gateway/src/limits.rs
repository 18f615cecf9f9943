//! Rate limits: token buckets per visitor, address, login and key, bounded in number.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::Mutex;

use crate::proxies::group;

/// How many buckets one limit keeps: at 100 bytes each a flood of made-up visitors costs 20 MB and no more.
pub const BUCKETS_MAX: usize = 200_000;
/// Buckets are spread over this many locks so that two requests seldom meet.
const STRIPES: usize = 16;

/// Letters with an invitation that one address gets in an hour, from whomever: enough to be invited again after a mistake.
const INVITED_PER_HOUR: u32 = 5;
/// Invitations that an organization mails in an hour: a team is invited in one go.
const INVITES_PER_HOUR: u32 = 60;
/// The same for people whose own address nobody has proven: whoever just signed up, with any address, can ask colleagues and nobody else.
const UNPROVEN_INVITES_PER_HOUR: u32 = 10;
/// An hour in milliseconds.
const HOUR_MS: f64 = 3_600_000.0;

/// A limit of so many actions in some time, with a burst of the same size.
pub struct RateLimit {
    burst: f64,
    /// Actions that come back in a millisecond.
    refill: f64,
    hasher: RandomState,
    stripes: Vec<Mutex<HashMap<u64, Bucket>>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at_ms: i64,
}

impl RateLimit {
    /// A limit of `per_minute` actions a minute for each key.
    pub fn per_minute(per_minute: u32) -> Self {
        Self::new(per_minute, 60_000.0)
    }

    /// A limit of `per_hour` actions an hour for each key.
    pub fn per_hour(per_hour: u32) -> Self {
        Self::new(per_hour, HOUR_MS)
    }

    /// How many letters with an invitation one address gets.
    pub fn invited() -> Self {
        Self::per_hour(INVITED_PER_HOUR)
    }

    /// How many invitations an organization mails: by people with an unproven address, and by others.
    pub fn invites() -> [Self; 2] {
        [UNPROVEN_INVITES_PER_HOUR, INVITES_PER_HOUR].map(Self::per_hour)
    }

    fn new(burst: u32, within_ms: f64) -> Self {
        Self {
            burst: f64::from(burst),
            refill: f64::from(burst) / within_ms,
            hasher: RandomState::new(),
            stripes: (0..STRIPES).map(|_| Mutex::new(HashMap::new())).collect(),
        }
    }

    /// Takes one action for `key`, or says after how many seconds the next is allowed.
    pub fn take(&self, key: impl Hash, now_ms: i64) -> Result<(), u64> {
        let key = self.hasher.hash_one(key);
        let stripe = &self.stripes[(key % STRIPES as u64) as usize];
        let mut buckets = stripe.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX / STRIPES && !buckets.contains_key(&key) {
            // A full bucket is the same as none: forget those first, and all if a flood filled none of them up again.
            let (refill, full) = (self.refill, self.burst);
            buckets.retain(|_, b| b.tokens + (now_ms - b.at_ms).max(0) as f64 * refill < full);
            if buckets.len() >= BUCKETS_MAX / STRIPES {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: self.burst, at_ms: now_ms });
        let elapsed = (now_ms - bucket.at_ms).max(0) as f64;
        bucket.tokens = (bucket.tokens + elapsed * self.refill).min(self.burst);
        bucket.at_ms = now_ms.max(bucket.at_ms);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            Ok(())
        } else {
            let wait_ms = (1.0 - bucket.tokens) / self.refill.max(1.0 / HOUR_MS);
            Err(((wait_ms / 1000.0).ceil() as u64).max(1))
        }
    }
}

/// A limit for each client's address; IPv6 clients count by network, see [`group`].
pub struct AddressLimit(RateLimit);

impl AddressLimit {
    /// A limit of `per_minute` actions a minute for each client.
    pub fn per_minute(per_minute: u32) -> Self {
        Self(RateLimit::per_minute(per_minute))
    }

    /// Takes one action for a client, or says after how many seconds the next is allowed.
    pub fn take(&self, client: IpAddr, now_ms: i64) -> Result<(), u64> {
        self.0.take(group(client), now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_then_the_rate_holds() {
        let limit = RateLimit::per_minute(60);
        for _ in 0..60 {
            assert_eq!(limit.take("v", 0), Ok(()));
        }
        assert_eq!(limit.take("v", 0), Err(1));
        assert_eq!(limit.take("v", 1000), Ok(()));
        assert_eq!(limit.take("v", 1000), Err(1));
        assert_eq!(limit.take("w", 1000), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_gives_no_tokens() {
        let limit = RateLimit::per_minute(1);
        assert_eq!(limit.take("v", 100_000), Ok(()));
        assert!(limit.take("v", 0).is_err());
        assert!(limit.take("v", 100_001).is_err());
    }

    #[test]
    fn a_flood_of_keys_does_not_grow_without_bound() {
        let limit = RateLimit::per_minute(60);
        for key in 0..(BUCKETS_MAX * 2) {
            let _ = limit.take(key, 0);
        }
        let kept: usize = limit.stripes.iter().map(|stripe| stripe.lock().unwrap().len()).sum();
        assert!(kept <= BUCKETS_MAX, "{kept} buckets");
    }
}
