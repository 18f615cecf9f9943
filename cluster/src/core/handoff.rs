//! Which shards this node owns, and how they come and go: taking, accepting, handing over, taking back.
//!
//! The one rule behind everything: a node owns a shard under an epoch if and only if its *own* swap to that epoch was acknowledged. What it
//! reads in the table is never enough, because a late swap of an incarnation before it may have written that. So a hand-over has three swaps:
//! the mark (`Draining(A, e, B)`, by whoever wants the move), the hand-over by A once nothing runs any more (`Owned(B, e+1)`), and the
//! acceptance by B (`Owned(B, e+2)`). A mark is called off by taking its target away; only A goes back (`Owned(A, e+1)`), so no epoch is served twice.

use std::collections::BTreeMap;

use colloquy_store::leases::{ShardRow, ShardState};

use super::router::Owner;
use super::view::View;
use crate::frame::Answer;

/// What senders are told to wait while a shard moves, milliseconds: about a hand-over.
pub const MOVING_RETRY_MS: u64 = 50;

/// How long a shard may be without an owner before others than its heir take it, milliseconds.
pub const HEIR_PATIENCE_MS: u64 = 5_000;

/// Shards handed over at once by a node that leaves: its own swaps are all that others notice.
pub const LEAVING_AT_ONCE: usize = 32;

/// What happens to a node's holdings.
#[derive(Clone, Debug)]
pub enum Input {
    /// The tables, just read.
    Seen(Box<View>),
    /// What became of a swap; `None` when nobody knows.
    Swapped {
        /// The shard.
        shard: u32,
        /// Whether the store did it.
        swapped: Option<bool>,
    },
    /// What the shard has to do is known: its wake list is read.
    Opened {
        /// The shard.
        shard: u32,
        /// For which epoch.
        epoch: u64,
    },
    /// Nothing of the shard runs any more.
    Stopped {
        /// The shard.
        shard: u32,
        /// Under which epoch.
        epoch: u64,
    },
    /// The node leaves: take nothing more, and hand everything to those who stay.
    Leave,
}

/// What the node must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Swap a shard's row.
    Swap {
        /// What it must still be.
        expected: Option<ShardRow>,
        /// What it becomes.
        new: ShardRow,
    },
    /// Read the shard's wake list, then say [`Input::Opened`].
    Open {
        /// The shard.
        shard: u32,
        /// For which epoch.
        epoch: u64,
    },
    /// Serve it: what was parked goes in, in order.
    Serve {
        /// The shard.
        shard: u32,
        /// Under which epoch.
        epoch: u64,
    },
    /// Take nothing new, finish what is in flight, stop its entities, then say [`Input::Stopped`]. Effects go on.
    Stop {
        /// The shard.
        shard: u32,
        /// Under which epoch.
        epoch: u64,
    },
    /// It is not ours any more although we did not give it away: drop its entities where they are.
    Abandon {
        /// The shard.
        shard: u32,
    },
    /// Our swap to take it was refused or not acknowledged: send away what came for it. The next look tries again where that is right.
    Missed {
        /// The shard.
        shard: u32,
    },
    /// We gave it away: tell the new owner to look.
    HandedOver {
        /// The shard.
        shard: u32,
        /// To whom.
        to: String,
        /// Whether it was a planned move: then the steward may begin the next one.
        planned: bool,
    },
    /// The router should know an owner.
    Route {
        /// The shard.
        shard: u32,
        /// Its owner.
        owner: Owner,
    },
    /// Read the tables again soon.
    Look,
}

/// What to do with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Take it.
    Serve,
    /// Keep it until the shard is served, or until it turns out that it is not ours.
    Park,
    /// Answer it so; nothing happened.
    Refuse {
        /// The answer.
        answer: Answer,
        /// Whether the sender knows something newer than we do.
        look: bool,
    },
}

/// Defects put in on purpose, so that the simulation can prove that it finds them. Production runs [`Defect::None`].
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Defect {
    /// The real thing.
    #[default]
    None,
    /// A shard that is taken over keeps its epoch.
    SameEpoch,
}

/// Where one shard stands with us.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Slot {
    Elsewhere,
    /// Our swap to `new` is under way.
    Taking {
        new: ShardRow,
    },
    /// It is ours; its wake list is being read.
    Opening {
        row: ShardRow,
    },
    Serving {
        row: ShardRow,
    },
    /// It takes nothing new; `stopped` once nothing runs any more.
    Stopping {
        row: ShardRow,
        stopped: bool,
    },
    /// Our swap away, or back to us, is under way.
    Deciding {
        row: ShardRow,
        new: ShardRow,
    },
}

/// The holdings of one incarnation.
#[derive(Clone, Debug)]
pub struct Holdings {
    me: String,
    slots: Vec<Slot>,
    /// The newest row seen or made of each shard.
    latest: Vec<Option<ShardRow>>,
    orphan_since_ms: BTreeMap<u32, u64>,
    view: View,
    leaving: bool,
    defect: Defect,
}

impl Holdings {
    /// Holds nothing of `shards` shards.
    pub fn new(me: impl Into<String>, shards: u32) -> Self {
        Self {
            me: me.into(),
            slots: vec![Slot::Elsewhere; shards as usize],
            latest: vec![None; shards as usize],
            orphan_since_ms: BTreeMap::new(),
            view: View::default(),
            leaving: false,
            defect: Defect::None,
        }
    }

    /// The same with a defect.
    #[doc(hidden)]
    #[must_use]
    pub fn with_defect(mut self, defect: Defect) -> Self {
        self.defect = defect;
        self
    }

    /// Takes over rows that the store has just swapped to us in one step: a single node's boot.
    pub fn adopt(&mut self, rows: Vec<ShardRow>, out: &mut Vec<Output>) {
        for row in rows {
            if row.owner == self.me {
                self.take_in(row, out);
            }
        }
    }

    /// The epoch under which our entities of a shard run: from the acknowledged swap until they have stopped.
    pub fn epoch(&self, shard: u32) -> Option<u64> {
        match self.slots.get(shard as usize)? {
            Slot::Elsewhere | Slot::Taking { .. } => None,
            Slot::Opening { row } | Slot::Serving { row } | Slot::Stopping { row, .. } | Slot::Deciding { row, .. } => {
                Some(row.epoch)
            }
        }
    }

    /// How many shards are ours or about to be.
    pub fn held(&self) -> usize {
        self.slots.iter().filter(|slot| **slot != Slot::Elsewhere).count()
    }

    /// Whether some shard is on its way to us or from us, so that the tables are worth a look sooner than usual.
    pub fn is_moving(&self) -> bool {
        self.slots.iter().any(|slot| !matches!(slot, Slot::Elsewhere | Slot::Serving { .. }))
    }

    /// The newest row of a shard.
    pub fn row(&self, shard: u32) -> Option<&ShardRow> {
        self.latest.get(shard as usize).and_then(Option::as_ref)
    }

    /// What to do with a frame that a sender addressed to us under an epoch.
    pub fn admit(&self, shard: u32, epoch: u64) -> Admit {
        let refuse = |answer| Admit::Refuse { answer, look: false };
        let moving = Answer::Moving { retry_after_ms: MOVING_RETRY_MS };
        let mine = |epoch| refuse(Answer::NotOwner { owner: Some(self.me.clone()), epoch });
        match self.slots.get(shard as usize) {
            Some(Slot::Serving { row }) if row.epoch == epoch => Admit::Serve,
            Some(Slot::Opening { row }) if row.epoch == epoch => Admit::Park,
            // Whoever names this epoch read it in the table, so the swap has succeeded.
            Some(Slot::Taking { new } | Slot::Deciding { new, .. }) if new.epoch == epoch && new.owner == self.me => {
                Admit::Park
            }
            Some(Slot::Serving { row } | Slot::Opening { row }) => mine(row.epoch),
            Some(Slot::Taking { .. } | Slot::Stopping { .. } | Slot::Deciding { .. }) => refuse(moving),
            Some(Slot::Elsewhere) => match self.row(shard) {
                Some(row) if row.epoch < epoch || row.owner == self.me => Admit::Refuse { answer: moving, look: true },
                Some(row) => refuse(Answer::NotOwner { owner: Some(row.owner.clone()), epoch: row.epoch }),
                None => Admit::Refuse { answer: Answer::NotOwner { owner: None, epoch: 0 }, look: true },
            },
            None => refuse(Answer::NotOwner { owner: None, epoch: 0 }),
        }
    }

    /// Takes one input at `now_ms` (the own monotonic clock).
    pub fn on(&mut self, now_ms: u64, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Seen(view) => self.on_seen(now_ms, *view, out),
            Input::Swapped { shard, swapped } => self.on_swapped(shard, swapped, out),
            Input::Opened { shard, epoch } => {
                if let Some(Slot::Opening { row }) = self.slots.get(shard as usize)
                    && row.epoch == epoch
                {
                    let row = row.clone();
                    self.put(shard, Slot::Serving { row });
                    out.push(Output::Serve { shard, epoch });
                    self.heed_mark(shard, out);
                }
            }
            Input::Stopped { shard, epoch } => {
                if let Some(Slot::Stopping { row, stopped }) = self.slots.get_mut(shard as usize)
                    && row.epoch == epoch
                {
                    *stopped = true;
                    self.decide(shard, out);
                }
            }
            Input::Leave => {
                self.leaving = true;
            }
        }
        if self.leaving {
            self.leave(out);
        }
    }

    fn on_seen(&mut self, now_ms: u64, view: View, out: &mut Vec<Output>) {
        self.view = view;
        let rows: Vec<ShardRow> = self.view.rows.values().cloned().collect();
        for row in rows {
            let shard = row.shard;
            self.note(row, out);
            self.heed_mark(shard, out);
            self.decide(shard, out);
        }
        if self.leaving || !self.view.is_alive(&self.me) {
            return;
        }
        let heirs: BTreeMap<u32, String> = self.view.heirs().into_iter().collect();
        for shard in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            if !self.view.is_orphan(shard) {
                self.orphan_since_ms.remove(&shard);
            }
            if self.slots.get(shard as usize) != Some(&Slot::Elsewhere) {
                continue;
            }
            let row = self.row(shard).cloned();
            // Handed to us, or left by an incarnation of ours before.
            let ours = row.as_ref().is_some_and(|row| row.owner == self.me);
            // Only what was read before the nodes were: a row that is newer may belong to a newer incarnation of a dead node.
            let orphan = self.view.is_orphan(shard) && row.as_ref() == self.view.rows.get(&shard);
            if orphan && !ours {
                let since_ms = *self.orphan_since_ms.entry(shard).or_insert(now_ms);
                let heir = heirs.get(&shard).is_some_and(|heir| *heir == self.me);
                if !heir && now_ms.saturating_sub(since_ms) < HEIR_PATIENCE_MS {
                    continue;
                }
            }
            if ours || orphan {
                let raised = if self.defect == Defect::SameEpoch { 0 } else { 1 };
                let epoch = row.as_ref().map_or(1, |row| row.epoch + raised);
                self.swap_to_me(shard, row, epoch, out);
            }
        }
    }

    fn swap_to_me(&mut self, shard: u32, expected: Option<ShardRow>, epoch: u64, out: &mut Vec<Output>) {
        let new = ShardRow { shard, owner: self.me.clone(), epoch, state: ShardState::Owned, target: None };
        self.put(shard, Slot::Taking { new: new.clone() });
        out.push(Output::Swap { expected, new });
    }

    /// Remembers a row unless something newer is known. A row that shows another owner of what we hold ends our part.
    fn note(&mut self, row: ShardRow, out: &mut Vec<Output>) {
        let shard = row.shard;
        let Some(latest) = self.latest.get_mut(shard as usize) else { return };
        if latest.as_ref().is_some_and(|known| known.epoch > row.epoch) {
            return;
        }
        let news = latest.as_ref().is_none_or(|known| known.epoch < row.epoch || known.owner != row.owner);
        let owner = Owner { node: row.owner.clone(), epoch: row.epoch };
        let epoch = row.epoch;
        *latest = Some(row);
        if news && !owner.node.is_empty() {
            out.push(Output::Route { shard, owner });
        }
        match self.slots.get(shard as usize) {
            Some(Slot::Opening { row } | Slot::Serving { row } | Slot::Stopping { row, .. }) if row.epoch < epoch => {
                self.put(shard, Slot::Elsewhere);
                out.push(Output::Abandon { shard });
            }
            // The answer to our swap tells.
            Some(Slot::Taking { .. } | Slot::Deciding { .. }) => {}
            Some(Slot::Elsewhere | Slot::Opening { .. } | Slot::Serving { .. } | Slot::Stopping { .. }) | None => {}
        }
    }

    /// Begins to stop a shard that is marked to move.
    fn heed_mark(&mut self, shard: u32, out: &mut Vec<Output>) {
        let Some(latest) = self.row(shard).cloned() else { return };
        match self.slots.get_mut(shard as usize) {
            Some(Slot::Serving { row }) if row.epoch == latest.epoch && latest.state == ShardState::Draining => {
                let epoch = row.epoch;
                self.put(shard, Slot::Stopping { row: latest, stopped: false });
                out.push(Output::Stop { shard, epoch });
            }
            Some(Slot::Stopping { row, .. }) if row.epoch == latest.epoch => *row = latest,
            Some(_) | None => {}
        }
    }

    /// Nothing runs any more: over to the target if it lives, else back to us.
    fn decide(&mut self, shard: u32, out: &mut Vec<Output>) {
        let Some(Slot::Stopping { row, stopped: true }) = self.slots.get(shard as usize) else {
            return;
        };
        let row = row.clone();
        let target = match row.state {
            ShardState::Draining => row.target.clone(),
            // We leave: whoever has least.
            ShardState::Owned => self.successor(),
        };
        let target = target.filter(|target| *target != self.me && self.view.is_alive(target));
        let owner = target.unwrap_or_else(|| self.me.clone());
        let new = ShardRow { shard, owner, epoch: row.epoch + 1, state: ShardState::Owned, target: None };
        self.put(shard, Slot::Deciding { row: row.clone(), new: new.clone() });
        out.push(Output::Swap { expected: Some(row), new });
    }

    /// Somebody to hand a shard to when leaving.
    fn successor(&self) -> Option<String> {
        let mut loads = self.view.loads();
        loads.remove(&self.me);
        // What we handed over since the tables were read counts, too.
        for (shard, slot) in self.slots.iter().enumerate() {
            let given = match slot {
                Slot::Elsewhere => self.latest.get(shard).and_then(Option::as_ref),
                Slot::Deciding { new, .. } => Some(new),
                Slot::Taking { .. } | Slot::Opening { .. } | Slot::Serving { .. } | Slot::Stopping { .. } => None,
            };
            if let Some(given) = given
                && self.view.rows.get(&given.shard).is_none_or(|seen| seen.owner == self.me)
                && let Some(load) = loads.get_mut(&given.owner)
            {
                *load += 1;
            }
        }
        super::view::least_loaded(&loads, None)
    }

    fn on_swapped(&mut self, shard: u32, swapped: Option<bool>, out: &mut Vec<Output>) {
        match (self.slots.get(shard as usize).cloned(), swapped) {
            (Some(Slot::Taking { new }), Some(true)) => self.take_in(new, out),
            // Not ours, or nobody knows: then the next look shows our row, and it is swapped once more.
            (Some(Slot::Taking { .. }), Some(false) | None) => {
                self.put(shard, Slot::Elsewhere);
                out.push(Output::Missed { shard });
                out.push(Output::Look);
            }
            (Some(Slot::Deciding { new, .. }), Some(true)) if new.owner == self.me => self.take_in(new, out),
            (Some(Slot::Deciding { row, new }), Some(true)) => {
                self.put(shard, Slot::Elsewhere);
                let to = new.owner.clone();
                self.note(new, out);
                out.push(Output::HandedOver { shard, to, planned: row.state == ShardState::Draining });
            }
            (Some(Slot::Deciding { row, .. }), Some(false) | None) => {
                // It stays stopped until the next look shows what happened.
                let newer = self.row(shard).is_some_and(|latest| latest.epoch > row.epoch);
                if newer {
                    self.put(shard, Slot::Elsewhere);
                    out.push(Output::Abandon { shard });
                } else {
                    self.put(shard, Slot::Stopping { row, stopped: true });
                }
                out.push(Output::Look);
            }
            (
                Some(Slot::Elsewhere | Slot::Opening { .. } | Slot::Serving { .. } | Slot::Stopping { .. }) | None,
                Some(_) | None,
            ) => {}
        }
    }

    /// A swap of ours was acknowledged: the shard is ours under a fresh epoch.
    fn take_in(&mut self, row: ShardRow, out: &mut Vec<Output>) {
        let (shard, epoch) = (row.shard, row.epoch);
        self.orphan_since_ms.remove(&shard);
        if self.row(shard).is_some_and(|latest| latest.epoch > epoch) {
            // Somebody was allowed to take it from us meanwhile, so we are dead or about to learn it.
            self.put(shard, Slot::Elsewhere);
            out.extend([Output::Abandon { shard }, Output::Look]);
            return;
        }
        self.put(shard, Slot::Opening { row: row.clone() });
        self.note(row, out);
        out.push(Output::Open { shard, epoch });
    }

    /// Stops as many shards as may go at once.
    fn leave(&mut self, out: &mut Vec<Output>) {
        if !self.view.members.iter().any(|(id, member)| *id != self.me && member.usable) {
            return;
        }
        let going = |slot: &&Slot| matches!(slot, Slot::Stopping { .. } | Slot::Deciding { .. });
        let mut room = LEAVING_AT_ONCE.saturating_sub(self.slots.iter().filter(going).count());
        for shard in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            if room == 0 {
                return;
            }
            if let Some(Slot::Serving { row }) = self.slots.get(shard as usize) {
                let (row, epoch) = (row.clone(), row.epoch);
                self.put(shard, Slot::Stopping { row, stopped: false });
                out.push(Output::Stop { shard, epoch });
                room -= 1;
            }
        }
    }

    fn put(&mut self, shard: u32, slot: Slot) {
        if let Some(known) = self.slots.get_mut(shard as usize) {
            *known = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use colloquy_store::leases::{Fact, NodeRow, NodeState};

    use super::*;
    use crate::core::view::Orders;

    fn node(id: &str, state: NodeState) -> NodeRow {
        NodeRow { id: id.to_owned(), incarnation: 1, beat: 0, state, address: String::new() }
    }

    fn row(owner: &str, epoch: u64, target: Option<&str>) -> ShardRow {
        let state = if target.is_some() { ShardState::Draining } else { ShardState::Owned };
        ShardRow { shard: 0, owner: owner.to_owned(), epoch, state, target: target.map(str::to_owned) }
    }

    fn seen(row: Option<ShardRow>, dead: &[&str]) -> Input {
        let state = |id: &&str| if dead.contains(id) { NodeState::Dead } else { NodeState::Alive };
        let nodes: Vec<NodeRow> = ["a", "b", "c"].iter().map(|id| node(id, state(id))).collect();
        let facts: [Fact; 0] = [];
        Input::Seen(Box::new(View::new(1, row.into_iter().collect(), &nodes, Orders::read(&facts))))
    }

    fn step(holdings: &mut Holdings, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        holdings.on(0, input, &mut out);
        out.retain(|output| !matches!(output, Output::Route { .. }));
        out
    }

    fn swap(expected: ShardRow, new: ShardRow) -> Output {
        Output::Swap { expected: Some(expected), new }
    }

    const WON: Input = Input::Swapped { shard: 0, swapped: Some(true) };
    const UNKNOWN: Input = Input::Swapped { shard: 0, swapped: None };

    /// `a`, serving shard 0 under epoch 1.
    fn serving() -> Holdings {
        let mut holdings = Holdings::new("a", 1);
        let taken = [Output::Swap { expected: None, new: row("a", 1, None) }];
        assert_eq!(step(&mut holdings, seen(None, &[])), taken);
        assert_eq!(step(&mut holdings, WON), [Output::Open { shard: 0, epoch: 1 }]);
        assert_eq!(holdings.admit(0, 1), Admit::Park);
        let served = [Output::Serve { shard: 0, epoch: 1 }];
        assert_eq!(step(&mut holdings, Input::Opened { shard: 0, epoch: 1 }), served);
        assert_eq!(holdings.admit(0, 1), Admit::Serve);
        holdings
    }

    #[test]
    fn move_stops_hands_over_and_is_accepted_under_a_third_epoch() {
        let (mut a, mut b) = (serving(), Holdings::new("b", 1));
        let marked = row("a", 1, Some("b"));
        assert_eq!(step(&mut a, seen(Some(marked.clone()), &[])), [Output::Stop { shard: 0, epoch: 1 }]);
        assert!(matches!(a.admit(0, 1), Admit::Refuse { answer: Answer::Moving { .. }, .. }));
        assert!(step(&mut b, seen(Some(marked.clone()), &[])).is_empty(), "a mark is not a gift");
        let given = row("b", 2, None);
        let out = step(&mut a, Input::Stopped { shard: 0, epoch: 1 });
        assert_eq!(out, [swap(marked, given.clone())]);
        assert_eq!(step(&mut a, WON), [Output::HandedOver { shard: 0, to: "b".to_owned(), planned: true }]);
        let owner = Answer::NotOwner { owner: Some("b".to_owned()), epoch: 2 };
        assert_eq!(a.admit(0, 1), Admit::Refuse { answer: owner, look: false });
        assert!(matches!(b.admit(0, 2), Admit::Refuse { look: true, .. }), "the sender knows more");
        assert_eq!(step(&mut b, seen(Some(given.clone()), &[])), [swap(given, row("b", 3, None))]);
        assert_eq!(b.admit(0, 3), Admit::Park, "whoever names it has seen that the swap succeeded");
        assert_eq!(step(&mut b, WON), [Output::Open { shard: 0, epoch: 3 }]);
    }

    #[test]
    fn mark_without_a_living_target_leads_back_under_a_higher_epoch() {
        for (mark, dead) in [(row("a", 1, Some("b")), &["b"][..]), (row("a", 1, None), &[])] {
            let mark = ShardRow { state: ShardState::Draining, ..mark };
            let mut a = serving();
            assert_eq!(step(&mut a, seen(Some(mark.clone()), dead)), [Output::Stop { shard: 0, epoch: 1 }]);
            let out = step(&mut a, Input::Stopped { shard: 0, epoch: 1 });
            assert_eq!(out, [swap(mark, row("a", 2, None))]);
            assert_eq!(step(&mut a, WON), [Output::Open { shard: 0, epoch: 2 }]);
        }
    }

    #[test]
    fn hand_over_of_unknown_outcome_stays_stopped_and_is_tried_again_or_found_done() {
        let mut a = serving();
        let marked = row("a", 1, Some("b"));
        step(&mut a, seen(Some(marked.clone()), &[]));
        step(&mut a, Input::Stopped { shard: 0, epoch: 1 });
        assert_eq!(step(&mut a, UNKNOWN), [Output::Look]);
        assert!(matches!(a.admit(0, 1), Admit::Refuse { .. }));
        let mut done = a.clone();
        assert_eq!(step(&mut a, seen(Some(marked.clone()), &[])), [swap(marked, row("b", 2, None))]);
        assert_eq!(step(&mut done, seen(Some(row("b", 2, None)), &[])), [Output::Abandon { shard: 0 }]);
    }

    #[test]
    fn own_row_that_was_not_acknowledged_is_swapped_once_more() {
        let mut a = Holdings::new("a", 1);
        step(&mut a, seen(None, &[]));
        assert_eq!(step(&mut a, UNKNOWN), [Output::Missed { shard: 0 }, Output::Look]);
        let unheard = row("a", 1, None);
        assert_eq!(step(&mut a, seen(Some(unheard.clone()), &[])), [swap(unheard, row("a", 2, None))]);
    }

    #[test]
    fn shards_of_the_dead_go_to_their_heir_and_to_others_only_after_a_while() {
        let orphan = row("c", 7, None);
        let (mut a, mut b) = (Holdings::new("a", 1), Holdings::new("b", 1));
        assert_eq!(step(&mut a, seen(Some(orphan.clone()), &["c"])), [swap(orphan.clone(), row("a", 8, None))]);
        assert!(step(&mut b, seen(Some(orphan.clone()), &["c"])).is_empty());
        let mut out = Vec::new();
        b.on(HEIR_PATIENCE_MS, seen(Some(orphan.clone()), &["c"]), &mut out);
        assert!(out.contains(&swap(orphan, row("b", 8, None))), "the heir did not");
    }

    #[test]
    fn shard_that_somebody_took_is_dropped_and_stale_looks_change_nothing() {
        let mut a = serving();
        assert!(step(&mut a, seen(Some(row("c", 0, None)), &[])).is_empty(), "older than ours");
        assert_eq!(a.admit(0, 1), Admit::Serve);
        assert_eq!(step(&mut a, seen(Some(row("c", 2, None)), &[])), [Output::Abandon { shard: 0 }]);
        assert_eq!(a.epoch(0), None);
    }

    #[test]
    fn leaving_node_hands_over_without_a_mark_and_takes_nothing() {
        let mut a = serving();
        step(&mut a, seen(Some(row("a", 1, None)), &[]));
        assert_eq!(step(&mut a, Input::Leave), [Output::Stop { shard: 0, epoch: 1 }]);
        let out = step(&mut a, Input::Stopped { shard: 0, epoch: 1 });
        assert_eq!(out, [swap(row("a", 1, None), row("b", 2, None))]);
        assert_eq!(step(&mut a, WON), [Output::HandedOver { shard: 0, to: "b".to_owned(), planned: false }]);
        assert!(step(&mut a, seen(Some(row("b", 2, None)), &["b"])).is_empty());
        assert_eq!(a.held(), 0);
    }
}
