//! A node's right to act: renewed while it lasts, suspended when a renewal is late, lost for good when one is refused.
//!
//! All times are milliseconds on the node's own monotonic clock. A taker waits until it has seen our beat unchanged for `ttl + margin` on *its*
//! clock, and our lease runs `ttl` from *before* the renewal was sent, so ours always ends first.

/// How often a lease is renewed, milliseconds.
pub const BEAT_EVERY_MS: u64 = 2_000;

/// How long a renewal carries, milliseconds from before it was sent: three beats may be lost.
pub const LEASE_TTL_MS: u64 = 8_000;

/// What a taker waits on top, milliseconds: clocks that run at slightly different speeds, and answers already on their way.
pub const LEASE_MARGIN_MS: u64 = 2_000;

/// What a node whose lease is suspended tells its senders to wait, milliseconds. It says `Busy`, which is no bounce: it may go on under the same
/// epoch, and a bounced frame must never be overtaken by one that left under the same epoch.
pub const SUSPENDED_RETRY_MS: u64 = 100;

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The store renewed it: nobody has taken over.
    Renewed,
    /// The store says that this incarnation is dead. Final.
    Refused,
    /// No answer, or no store.
    Unanswered,
}

/// What happens to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time passed.
    Tick,
    /// The outcome of the renewal sent at `sent_ms`.
    Beat {
        /// When it was sent.
        sent_ms: u64,
        /// What became of it.
        beat: Beat,
    },
}

/// What the node must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a renewal now.
    SendBeat,
    /// The lease ran out: answer nothing until it is renewed. State may stay, because only death lets another node take over, and death is final.
    Suspend,
    /// Renewed after all: go on.
    Resume,
    /// Stop everything: another node may own our shards.
    StopAll,
    /// Tick again then.
    Alarm {
        /// When.
        at_ms: u64,
    },
}

/// Where the lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Held,
    Suspended,
    Lost,
}

/// The lease machine of one incarnation.
#[derive(Clone, Debug)]
pub struct Lease {
    standing: Standing,
    valid_until_ms: u64,
    next_beat_ms: u64,
    beating: bool,
}

impl Lease {
    /// A lease that was granted by joining at `joined_ms` (taken before the join was sent).
    pub fn new(joined_ms: u64) -> Self {
        Self {
            standing: Standing::Held,
            valid_until_ms: joined_ms + LEASE_TTL_MS,
            next_beat_ms: joined_ms + BEAT_EVERY_MS,
            beating: false,
        }
    }

    /// Whether the node may act at `now_ms`.
    pub fn is_valid(&self, now_ms: u64) -> bool {
        self.standing == Standing::Held && now_ms < self.valid_until_ms
    }

    /// Until when the node may act without another renewal.
    pub fn valid_until_ms(&self) -> u64 {
        match self.standing {
            Standing::Held => self.valid_until_ms,
            Standing::Suspended | Standing::Lost => 0,
        }
    }

    /// Takes one input at `now_ms`.
    pub fn on(&mut self, now_ms: u64, input: Input, out: &mut Vec<Output>) {
        if self.standing == Standing::Lost {
            return;
        }
        match input {
            Input::Tick => {}
            Input::Beat { sent_ms, beat } => {
                self.beating = false;
                match beat {
                    Beat::Renewed => {
                        self.valid_until_ms = self.valid_until_ms.max(sent_ms + LEASE_TTL_MS);
                        self.next_beat_ms = sent_ms + BEAT_EVERY_MS;
                    }
                    Beat::Refused => {
                        self.standing = Standing::Lost;
                        out.push(Output::StopAll);
                        return;
                    }
                    // Soon again, but not in a busy loop against a store that is down.
                    Beat::Unanswered => self.next_beat_ms = now_ms + BEAT_EVERY_MS / 4,
                }
            }
        }
        let within = now_ms < self.valid_until_ms;
        match (self.standing, within) {
            (Standing::Held, false) => {
                self.standing = Standing::Suspended;
                out.push(Output::Suspend);
            }
            (Standing::Suspended, true) => {
                self.standing = Standing::Held;
                out.push(Output::Resume);
            }
            (Standing::Held, true) | (Standing::Suspended, false) | (Standing::Lost, _) => {}
        }
        if !self.beating && now_ms >= self.next_beat_ms {
            self.beating = true;
            out.push(Output::SendBeat);
        }
        let beat_at = if self.beating { u64::MAX } else { self.next_beat_ms };
        let end_at = if self.standing == Standing::Held { self.valid_until_ms } else { u64::MAX };
        let at_ms = beat_at.min(end_at);
        if at_ms != u64::MAX {
            out.push(Output::Alarm { at_ms });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(lease: &mut Lease, now_ms: u64, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        lease.on(now_ms, input, &mut out);
        out
    }

    #[test]
    fn renewals_keep_it_valid_from_before_they_were_sent() {
        let mut lease = Lease::new(0);
        assert_eq!(step(&mut lease, 2_000, Input::Tick), [Output::SendBeat, Output::Alarm { at_ms: 8_000 }]);
        let out = step(&mut lease, 3_500, Input::Beat { sent_ms: 2_000, beat: Beat::Renewed });
        assert_eq!(out, [Output::Alarm { at_ms: 4_000 }]);
        assert!(lease.is_valid(9_999));
        assert!(!lease.is_valid(10_000), "the lease runs from when the renewal was sent, not answered");
    }

    #[test]
    fn late_renewal_suspends_and_resumes_only_when_nobody_took_over() {
        let mut lease = Lease::new(0);
        step(&mut lease, 2_000, Input::Tick);
        let out = step(&mut lease, 8_000, Input::Tick);
        assert_eq!(out, [Output::Suspend]);
        assert!(!lease.is_valid(8_000));
        let out = step(&mut lease, 9_000, Input::Beat { sent_ms: 2_000, beat: Beat::Unanswered });
        assert_eq!(out, [Output::Alarm { at_ms: 9_500 }]);
        assert_eq!(step(&mut lease, 9_500, Input::Tick), [Output::SendBeat]);
        let out = step(&mut lease, 9_600, Input::Beat { sent_ms: 9_500, beat: Beat::Renewed });
        assert_eq!(out[0], Output::Resume);
        assert!(lease.is_valid(17_499));
    }

    #[test]
    fn answer_that_comes_after_its_own_lease_would_have_ended_does_not_resume() {
        let mut lease = Lease::new(0);
        step(&mut lease, 2_000, Input::Tick);
        step(&mut lease, 8_000, Input::Tick);
        let out = step(&mut lease, 30_000, Input::Beat { sent_ms: 2_000, beat: Beat::Renewed });
        assert_eq!(out, [Output::SendBeat]);
        assert!(!lease.is_valid(30_000));
    }

    #[test]
    fn refusal_is_final() {
        let mut lease = Lease::new(0);
        step(&mut lease, 2_000, Input::Tick);
        let out = step(&mut lease, 2_100, Input::Beat { sent_ms: 2_000, beat: Beat::Refused });
        assert_eq!(out, [Output::StopAll]);
        assert!(step(&mut lease, 2_200, Input::Beat { sent_ms: 2_000, beat: Beat::Renewed }).is_empty());
        assert!(!lease.is_valid(2_200));
    }

    #[test]
    fn ours_ends_before_a_taker_may_act() {
        // The taker sees the beat at the earliest when it was written, which is not before it was sent.
        let sent_ms = 5_000;
        let mut lease = Lease::new(0);
        step(&mut lease, sent_ms, Input::Tick);
        step(&mut lease, sent_ms + 10, Input::Beat { sent_ms, beat: Beat::Renewed });
        let taker_may_act_ms = sent_ms + LEASE_TTL_MS + LEASE_MARGIN_MS;
        assert!(!lease.is_valid(taker_may_act_ms - LEASE_MARGIN_MS));
    }
}
