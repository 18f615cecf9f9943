//! Rate limits: token buckets per visitor, address, login and key, bounded in number.

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
/// Entries a minute about the same refusal of the same caller, such as a wrong password: one tells it, more would fill the log at the speed of the asking.
const REFUSED_PER_MINUTE: u32 = 1;
/// An hour in milliseconds.
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// A minute in milliseconds.
const MINUTE_MS: u64 = 60_000;

/// Counts that several frontends share. Telling must not block; only a refusal comes back.
pub trait Shared: Send + Sync {
    /// Tells of one action of `key` under a limit of `burst` actions within a time; `refused` gets the milliseconds to wait if it was one too many.
    fn spend(&self, key: &str, burst: u32, within_ms: u64, refused: Box<dyn FnOnce(u64) + Send>);
}

/// A limit of so many actions in some time, with a burst of the same size. Shared, it holds for all frontends together, give or take what
/// arrives within one round trip to the shared counts; without them it holds on this frontend.
pub struct RateLimit {
    burst: u32,
    within_ms: u64,
    buckets: Arc<Buckets>,
    shared: Option<(Arc<dyn Shared>, SharedName)>,
}

/// Under which names a limit's clients are known to the shared counts: keyed, so that nobody who reads the counts learns an address.
#[derive(Clone)]
pub struct SharedName {
    limit: &'static str,
    secret: [u8; 32],
}

impl SharedName {
    /// The name of a limit, with the installation's secret.
    pub fn new(limit: &'static str, secret: [u8; 32]) -> Self {
        Self { limit, secret }
    }

    fn of(&self, key: impl Hash) -> String {
        let mut hasher = DefaultHasher::new();
        (self.secret, self.limit).hash(&mut hasher);
        key.hash(&mut hasher);
        format!("{}/{:016x}", self.limit, hasher.finish())
    }
}

struct Buckets {
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
        Self::new(per_minute, MINUTE_MS)
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

    /// How often the same refusal of the same caller is written into the audit log.
    pub fn refused() -> Self {
        Self::per_minute(REFUSED_PER_MINUTE)
    }

    fn new(burst: u32, within_ms: u64) -> Self {
        let buckets = Buckets {
            burst: f64::from(burst),
            refill: f64::from(burst) / within_ms as f64,
            hasher: RandomState::new(),
            stripes: (0..STRIPES).map(|_| Mutex::new(HashMap::new())).collect(),
        };
        Self { burst, within_ms, buckets: Arc::new(buckets), shared: None }
    }

    /// The same, counted together with other frontends.
    #[must_use]
    pub fn shared(mut self, counts: Arc<dyn Shared>, name: SharedName) -> Self {
        self.shared = Some((counts, name));
        self
    }

    /// Takes one action for `key`, or says after how many seconds the next is allowed.
    pub fn take(&self, key: impl Hash, now_ms: i64) -> Result<(), u64> {
        let hash = self.buckets.hasher.hash_one(&key);
        self.buckets.take(hash, now_ms)?;
        if let Some((counts, name)) = &self.shared {
            let buckets = self.buckets.clone();
            let refused = Box::new(move |wait_ms| buckets.refuse_for(hash, wait_ms, now_ms));
            counts.spend(&name.of(&key), self.burst, self.within_ms, refused);
        }
        Ok(())
    }
}

impl Buckets {
    fn take(&self, key: u64, now_ms: i64) -> Result<(), u64> {
        let mut buckets = self.stripe(key);
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
            let wait_ms = (1.0 - bucket.tokens) / self.refill.max(1.0 / HOUR_MS as f64);
            Err(((wait_ms / 1000.0).ceil() as u64).max(1))
        }
    }

    /// The next action is allowed so long after `at_ms`: other frontends have spent what this one thought it had.
    fn refuse_for(&self, key: u64, wait_ms: u64, at_ms: i64) {
        let mut buckets = self.stripe(key);
        let tokens = 1.0 - wait_ms as f64 * self.refill;
        let bucket = buckets.entry(key).or_insert(Bucket { tokens, at_ms });
        bucket.tokens = bucket.tokens.min(tokens);
    }

    fn stripe(&self, key: u64) -> MutexGuard<'_, HashMap<u64, Bucket>> {
        self.stripes[(key % STRIPES as u64) as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A limit for each client's address; IPv6 clients count by network, see [`group`].
pub struct AddressLimit(RateLimit);

impl AddressLimit {
    /// A limit of `per_minute` actions a minute for each client.
    pub fn per_minute(per_minute: u32) -> Self {
        Self(RateLimit::per_minute(per_minute))
    }

    /// A limit of `per_hour` actions an hour for each client.
    pub fn per_hour(per_hour: u32) -> Self {
        Self(RateLimit::per_hour(per_hour))
    }

    /// The same, counted together with other frontends.
    #[must_use]
    pub fn shared(self, counts: Arc<dyn Shared>, name: SharedName) -> Self {
        Self(self.0.shared(counts, name))
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

    /// Counts for all frontends that refuse from the third action on.
    #[derive(Default)]
    struct Third(Mutex<HashMap<String, u32>>);

    impl Shared for Third {
        fn spend(&self, key: &str, burst: u32, within_ms: u64, refused: Box<dyn FnOnce(u64) + Send>) {
            assert_eq!((burst, within_ms), (60, 60_000));
            let mut spent = self.0.lock().unwrap();
            let nth = spent.entry(key.to_owned()).or_insert(0);
            *nth += 1;
            if *nth > 2 {
                refused(2_500);
            }
        }
    }

    #[test]
    fn what_other_frontends_have_spent_is_refused_here_too() {
        let counts = Arc::new(Third::default());
        let frontend = || RateLimit::per_minute(60).shared(counts.clone(), SharedName::new("chat", [1; 32]));
        let (one, two) = (frontend(), frontend());
        assert_eq!(one.take("v", 0), Ok(()));
        assert_eq!(one.take("v", 0), Ok(()));
        assert_eq!(two.take("v", 0), Ok(()), "told, not asked: what is learnt holds from the next on");
        assert_eq!(two.take("v", 0), Err(3));
        assert_eq!(two.take("v", 2_000), Err(1));
        assert_eq!(two.take("w", 0), Ok(()), "others are not held");
        assert_eq!(counts.0.lock().unwrap().len(), 2, "the same client has the same name on every frontend");
    }

    #[test]
    fn a_flood_of_keys_does_not_grow_without_bound() {
        let limit = RateLimit::per_minute(60);
        for key in 0..(BUCKETS_MAX * 2) {
            let _ = limit.take(key, 0);
        }
        let kept: usize = limit.buckets.stripes.iter().map(|stripe| stripe.lock().unwrap().len()).sum();
        assert!(kept <= BUCKETS_MAX, "{kept} buckets");
    }
}
