//! Who lives: watches the other nodes' beats on the own monotonic clock, and declares dead whose beat stood still for too long.
//!
//! A holder's lease runs from before its beat was written, so it has ended once we saw that beat unchanged for `ttl + margin`. The store refuses
//! the burial if the beat moved meanwhile. Death is final: a node that comes back is another incarnation.

use std::collections::BTreeMap;

use colloquy_store::leases::{NodeRow, NodeState};

use super::lease::{BEAT_EVERY_MS, LEASE_MARGIN_MS, LEASE_TTL_MS};
use super::view::Incarnation;

/// How long a beat must stand still, milliseconds on the watcher's clock.
pub const PATIENCE_MS: u64 = LEASE_TTL_MS + LEASE_MARGIN_MS;

/// How often the tables are read, milliseconds: half a beat, so that no beat is seen much later than it was written.
pub const LOOK_EVERY_MS: u64 = 1_000;

/// After how long without a look that succeeded a beat that stood still says nothing, milliseconds: while the tables could not be read, they could
/// probably not be written either. Two beats, so that one failed look does not start the wait again.
pub const BLIND_MS: u64 = 2 * BEAT_EVERY_MS;

/// What happens to the watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// All nodes, just read.
    Seen(Vec<NodeRow>),
    /// The tables could not be read.
    Unseen,
    /// What became of a burial; `None` when nobody knows.
    Buried {
        /// Who was to be buried.
        of: Incarnation,
        /// Whether the store did it.
        buried: Option<bool>,
    },
}

/// What the node must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Declare dead, if the beat is still this one.
    Bury {
        /// Who.
        of: Incarnation,
        /// The beat that stood still.
        beat: u64,
    },
    /// A node lives that did not before.
    Joined(Incarnation),
    /// An incarnation is dead.
    Died(Incarnation),
    /// We are declared dead, or replaced: stop everything.
    StopAll,
}

#[derive(Clone, Debug)]
struct Watched {
    incarnation: u64,
    alive: bool,
    beat: u64,
    since_ms: u64,
    burying: bool,
}

/// The watch of one incarnation over all others.
#[derive(Clone, Debug)]
pub struct Membership {
    me: Incarnation,
    patience_ms: u64,
    watched: BTreeMap<String, Watched>,
    /// When the tables were last read, and whether they could not be read since.
    seen_ms: u64,
    unseen: bool,
    stopped: bool,
}

impl Membership {
    /// A watch that has seen nobody yet.
    pub fn new(me: Incarnation) -> Self {
        Self::with_patience(me, PATIENCE_MS)
    }

    /// The same with another patience, so that the simulation can prove that the margin is needed.
    #[doc(hidden)]
    pub fn with_patience(me: Incarnation, patience_ms: u64) -> Self {
        Self { me, patience_ms, watched: BTreeMap::new(), seen_ms: 0, unseen: false, stopped: false }
    }

    /// How long a living node's beat has been standing still.
    pub fn beat_ages_ms(&self, now_ms: u64) -> impl Iterator<Item = (&str, u64)> {
        let alive = self.watched.iter().filter(|(_, watched)| watched.alive);
        alive.map(move |(id, watched)| (id.as_str(), now_ms.saturating_sub(watched.since_ms)))
    }

    /// When the next beat will have stood still for long enough, if none moves until then (own monotonic clock): a look at that time saves the wait
    /// for the usual one, in which nobody serves what a dead node owned.
    pub fn next_verdict_ms(&self) -> Option<u64> {
        let waiting = self.watched.values().filter(|watched| watched.alive && !watched.burying);
        waiting.map(|watched| watched.since_ms.saturating_add(self.patience_ms)).min()
    }

    /// Takes one input at `now_ms` (the own monotonic clock).
    pub fn on(&mut self, now_ms: u64, input: Input, out: &mut Vec<Output>) {
        if self.stopped {
            return;
        }
        match input {
            Input::Unseen => self.unseen = true,
            Input::Seen(rows) => {
                if self.unseen && now_ms.saturating_sub(self.seen_ms) > BLIND_MS {
                    // Nobody is buried for what nobody could do: the wait starts again.
                    self.watched.values_mut().for_each(|watched| watched.since_ms = now_ms);
                }
                (self.seen_ms, self.unseen) = (now_ms, false);
                let mine = rows.iter().find(|row| row.id == self.me.node);
                let lives = |row: &NodeRow| row.incarnation == self.me.incarnation && row.state == NodeState::Alive;
                if !mine.is_some_and(lives) {
                    self.stopped = true;
                    out.push(Output::StopAll);
                    return;
                }
                for row in rows {
                    if row.id != self.me.node {
                        self.saw(now_ms, row, out);
                    }
                }
            }
            Input::Buried { of, buried } => {
                let Some(watched) = self.watched.get_mut(&of.node).filter(|known| known.incarnation == of.incarnation)
                else {
                    return;
                };
                watched.burying = false;
                match buried {
                    Some(true) if watched.alive => {
                        watched.alive = false;
                        out.push(Output::Died(of));
                    }
                    Some(true) => {}
                    // It moved on: the next look shows its new beat.
                    Some(false) => watched.since_ms = now_ms,
                    // The next look tells.
                    None => {}
                }
            }
        }
    }

    fn saw(&mut self, now_ms: u64, row: NodeRow, out: &mut Vec<Output>) {
        let alive = row.state == NodeState::Alive;
        let of = Incarnation { node: row.id, incarnation: row.incarnation };
        let fresh = Watched { incarnation: row.incarnation, alive, beat: row.beat, since_ms: now_ms, burying: false };
        match self.watched.get_mut(&of.node) {
            None => {
                if alive {
                    out.push(Output::Joined(of.clone()));
                }
                self.watched.insert(of.node, fresh);
            }
            // An older look that was answered late.
            Some(known) if known.incarnation > row.incarnation => {}
            Some(known) if known.incarnation < row.incarnation => {
                if known.alive {
                    let incarnation = known.incarnation;
                    out.push(Output::Died(Incarnation { node: of.node.clone(), incarnation }));
                }
                *known = fresh;
                if alive {
                    out.push(Output::Joined(of));
                }
            }
            // Death is final.
            Some(known) if !known.alive => {}
            Some(known) if !alive => {
                known.alive = false;
                out.push(Output::Died(of));
            }
            Some(known) if known.beat != row.beat => {
                known.beat = row.beat;
                known.since_ms = now_ms;
            }
            Some(known) => {
                if !known.burying && now_ms.saturating_sub(known.since_ms) >= self.patience_ms {
                    known.burying = true;
                    out.push(Output::Bury { of, beat: known.beat });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, incarnation: u64, beat: u64, state: NodeState) -> NodeRow {
        NodeRow { id: id.to_owned(), incarnation, beat, state, address: String::new() }
    }

    fn of(node: &str, incarnation: u64) -> Incarnation {
        Incarnation { node: node.to_owned(), incarnation }
    }

    fn see(watch: &mut Membership, now_ms: u64, rows: &[NodeRow]) -> Vec<Output> {
        let mut out = Vec::new();
        let me = row("me", 1, now_ms, NodeState::Alive);
        watch.on(now_ms, Input::Seen([&[me], rows].concat()), &mut out);
        out
    }

    #[test]
    fn beat_that_stands_still_for_ttl_and_margin_is_buried_and_death_is_final() {
        let mut watch = Membership::new(of("me", 1));
        let still = [row("a", 4, 7, NodeState::Alive)];
        assert_eq!(see(&mut watch, 0, &still), [Output::Joined(of("a", 4))]);
        assert!(see(&mut watch, PATIENCE_MS - 1, &still).is_empty());
        let bury = Output::Bury { of: of("a", 4), beat: 7 };
        assert_eq!(see(&mut watch, PATIENCE_MS, &still), [bury]);
        assert!(see(&mut watch, PATIENCE_MS + 1, &still).is_empty(), "one burial at a time");
        let mut out = Vec::new();
        watch.on(PATIENCE_MS + 2, Input::Buried { of: of("a", 4), buried: Some(true) }, &mut out);
        assert_eq!(out, [Output::Died(of("a", 4))]);
        assert!(see(&mut watch, PATIENCE_MS + 3, &[row("a", 4, 8, NodeState::Alive)]).is_empty());
        assert_eq!(see(&mut watch, PATIENCE_MS + 4, &[row("a", 5, 0, NodeState::Alive)]), [Output::Joined(of("a", 5))]);
    }

    #[test]
    fn the_next_verdict_is_over_the_beat_that_stood_still_longest_and_over_nobody_dead_or_dying() {
        let mut watch = Membership::new(of("me", 1));
        assert_eq!(watch.next_verdict_ms(), None);
        let alive = |id: &str, beat| row(id, 1, beat, NodeState::Alive);
        see(&mut watch, 5, &[alive("a", 1), alive("b", 1)]);
        see(&mut watch, 700, &[alive("a", 2), alive("b", 1)]);
        assert_eq!(watch.next_verdict_ms(), Some(5 + PATIENCE_MS));
        assert_eq!(see(&mut watch, 5 + PATIENCE_MS, &[alive("a", 2), alive("b", 1)]).len(), 1);
        assert_eq!(watch.next_verdict_ms(), Some(700 + PATIENCE_MS), "b is being buried");
        see(&mut watch, 6 + PATIENCE_MS, &[row("a", 1, 2, NodeState::Dead), row("b", 1, 1, NodeState::Dead)]);
        assert_eq!(watch.next_verdict_ms(), None);
    }

    #[test]
    fn moving_beat_starts_the_wait_again() {
        let mut watch = Membership::new(of("me", 1));
        see(&mut watch, 0, &[row("a", 1, 1, NodeState::Alive)]);
        assert!(see(&mut watch, PATIENCE_MS, &[row("a", 1, 2, NodeState::Alive)]).is_empty());
        assert!(see(&mut watch, 2 * PATIENCE_MS - 1, &[row("a", 1, 2, NodeState::Alive)]).is_empty());
        assert_eq!(see(&mut watch, 2 * PATIENCE_MS, &[row("a", 1, 2, NodeState::Alive)]).len(), 1);
        let mut out = Vec::new();
        watch.on(2 * PATIENCE_MS, Input::Buried { of: of("a", 1), buried: Some(false) }, &mut out);
        assert!(out.is_empty());
        assert!(see(&mut watch, 2 * PATIENCE_MS + 1, &[row("a", 1, 3, NodeState::Alive)]).is_empty());
    }

    #[test]
    fn nobody_is_buried_for_the_time_in_which_the_tables_could_not_be_read() {
        let mut watch = Membership::new(of("me", 1));
        let still = [row("a", 1, 1, NodeState::Alive)];
        see(&mut watch, 0, &still);
        watch.on(1_000, Input::Unseen, &mut Vec::new());
        assert!(see(&mut watch, PATIENCE_MS, &still).is_empty(), "it could not renew either");
        watch.on(PATIENCE_MS + 1_000, Input::Unseen, &mut Vec::new());
        assert!(see(&mut watch, PATIENCE_MS + 2_000, &still).is_empty());
        assert_eq!(
            see(&mut watch, 2 * PATIENCE_MS, &still).len(),
            1,
            "one look that fails does not start the wait again"
        );
    }

    #[test]
    fn replaced_or_buried_node_stops() {
        for mine in [row("me", 2, 0, NodeState::Alive), row("me", 1, 9, NodeState::Dead)] {
            let mut watch = Membership::new(of("me", 1));
            let mut out = Vec::new();
            watch.on(0, Input::Seen(vec![mine]), &mut out);
            assert_eq!(out, [Output::StopAll]);
        }
    }

    #[test]
    fn burial_of_unknown_outcome_is_tried_again() {
        let mut watch = Membership::new(of("me", 1));
        let still = [row("a", 1, 1, NodeState::Alive)];
        see(&mut watch, 0, &still);
        assert_eq!(see(&mut watch, PATIENCE_MS, &still).len(), 1);
        watch.on(PATIENCE_MS, Input::Buried { of: of("a", 1), buried: None }, &mut Vec::new());
        assert_eq!(see(&mut watch, PATIENCE_MS + 1, &still).len(), 1);
        assert_eq!(see(&mut watch, PATIENCE_MS + 2, &[row("a", 1, 1, NodeState::Dead)]), [Output::Died(of("a", 1))]);
    }
}
