//! Planned moves: who is steward, what to start next, how to spread shards, and which orders contradict each other.
//!
//! Everything here is a function of the tables, so a steward can die at any point and the next one goes on. Safety never depends on there being
//! one steward: a move begins with a compare-and-set of the shard's row, and only the owner ends it.

use std::collections::BTreeMap;

use colloquy_store::leases::{ShardRow, ShardState};

use super::view::{FactChange, Incarnation, Move, MoveCause, MoveState, View, least_loaded};

/// Moves that may run at once with the same node as giver or taker: its other shards must not notice.
pub const MOVES_PER_NODE: usize = 8;

/// Moves that may run at once.
pub const MOVES_IN_ALL: usize = 16;

/// Ended moves that are remembered, so that whoever asked can see how they went.
pub const MOVES_REMEMBERED: usize = 1_000;

/// How many moves may run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveLimits {
    /// With the same node as giver or taker.
    pub per_node: usize,
    /// In all.
    pub in_all: usize,
}

impl Default for MoveLimits {
    fn default() -> Self {
        Self { per_node: MOVES_PER_NODE, in_all: MOVES_IN_ALL }
    }
}

/// Why an order is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such node.
    #[error("there is no node {0:?}")]
    UnknownNode(String),
    /// There is no such shard.
    #[error("there is no shard {0}")]
    UnknownShard(u32),
    /// There is no such move.
    #[error("there is no move {0:?}")]
    UnknownMove(String),
    /// It contradicts how things are, or another order.
    #[error("{0}")]
    Contradiction(String),
}

/// What the steward does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write a fact.
    Fact(FactChange),
    /// Begin a move: swap the shard's row, and if that succeeds write the fact.
    Begin {
        /// The row as read.
        expected: ShardRow,
        /// The row that tells its owner.
        new: ShardRow,
        /// The fact to write after it.
        then: FactChange,
    },
}

/// The change that makes `me` steward, if there is no living one.
pub fn candidacy(view: &View, me: &Incarnation) -> Option<FactChange> {
    let lives = |steward: &Incarnation| {
        view.members.get(&steward.node).is_some_and(|member| member.alive && member.incarnation == steward.incarnation)
    };
    let vacant = !view.orders.steward.as_ref().is_some_and(lives);
    vacant.then(|| view.orders.make_steward(me))
}

/// What the steward does in one round.
pub fn steps(view: &View, limits: MoveLimits, now_ms: i64) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut running: BTreeMap<String, usize> = BTreeMap::new();
    let mut in_all = 0;
    let count = |running: &mut BTreeMap<String, usize>, from: &str, to: &str| {
        for node in [from, to] {
            *running.entry(node.to_owned()).or_default() += 1;
        }
    };
    for row in view.rows.values().filter(|row| row.state == ShardState::Draining) {
        count(&mut running, &row.owner, row.target.as_deref().unwrap_or_default());
        in_all += 1;
    }
    let mut waiting: Vec<&Move> = Vec::new();
    for planned in view.orders.moves.values().filter(|planned| planned.state.is_active()) {
        if let Some(epoch) = taken_in_meanwhile(view, planned) {
            steps.push(Step::Fact(view.orders.put_move(&Move { epoch, ..planned.clone() })));
            continue;
        }
        match outcome(view, planned) {
            Some((state, detail)) => {
                let ended_ms = if state.is_active() { 0 } else { now_ms };
                let started_ms = if planned.started_ms == 0 { now_ms } else { planned.started_ms };
                let changed = Move { state, detail, started_ms, ended_ms, ..planned.clone() };
                steps.push(Step::Fact(view.orders.put_move(&changed)));
            }
            None if planned.state == MoveState::Waiting => waiting.push(planned),
            None => {}
        }
    }
    waiting.sort_by_key(|planned| (planned.asked_ms, planned.shard));
    if !view.orders.paused {
        for planned in waiting {
            let busy = |node: &str| running.get(node).is_some_and(|moves| *moves >= limits.per_node);
            if in_all >= limits.in_all {
                break;
            }
            let Some(row) = view.rows.get(&planned.shard) else { continue };
            if busy(&planned.from) || busy(&planned.to) {
                continue;
            }
            count(&mut running, &planned.from, &planned.to);
            in_all += 1;
            let new = ShardRow { state: ShardState::Draining, target: Some(planned.to.clone()), ..row.clone() };
            let started = Move { state: MoveState::Running, started_ms: now_ms, ..planned.clone() };
            steps.push(Step::Begin { expected: row.clone(), new, then: view.orders.put_move(&started) });
        }
        let mut planned = Vec::new();
        for (node, member) in &view.members {
            if view.orders.draining.get(node) == Some(&member.incarnation) {
                planned.extend(plan_drain(view, node, now_ms));
            }
        }
        let spread: BTreeMap<String, u64> = view
            .members
            .iter()
            .filter(|(_, member)| member.usable)
            .map(|(id, member)| (id.clone(), member.incarnation))
            .collect();
        let newcomer = spread.iter().any(|(id, incarnation)| view.orders.spread.get(id) != Some(incarnation));
        let all_owned = (0..view.shards).all(|shard| !view.is_orphan(shard));
        if newcomer && all_owned {
            // Once per newcomer: what an operator moves by hand afterwards stays.
            planned.extend(plan_balance(view, usize::MAX, now_ms));
            steps.push(Step::Fact(view.orders.remember_spread(&spread)));
        }
        steps.extend(planned.iter().map(|planned| Step::Fact(view.orders.put_move(planned))));
    }
    steps.extend(forget_old(view));
    for (node, incarnation) in &view.orders.draining {
        if view.members.get(node).is_none_or(|member| member.incarnation != *incarnation) {
            steps.push(Step::Fact(view.orders.drain(node, None)));
        }
    }
    steps
}

/// The new epoch of a shard whose move was planned between its hand-over to an owner and that owner's acceptance: what was planned holds.
fn taken_in_meanwhile(view: &View, planned: &Move) -> Option<u64> {
    let row = view.rows.get(&planned.shard)?;
    let same = planned.state == MoveState::Waiting && row.owner == planned.from && row.state == ShardState::Owned;
    (same && row.epoch > planned.epoch).then_some(row.epoch)
}

/// What became of an active move, if the tables already show it.
fn outcome(view: &View, planned: &Move) -> Option<(MoveState, Option<String>)> {
    let failed = |detail: String| Some((MoveState::Failed, Some(detail)));
    let Some(row) = view.rows.get(&planned.shard) else {
        return failed("the shard has no owner".to_owned());
    };
    if row.epoch == planned.epoch {
        return match (row.state, planned.state) {
            (ShardState::Draining, _) if row.target.as_ref() == Some(&planned.to) => {
                (planned.state != MoveState::Running).then_some((MoveState::Running, None))
            }
            // Its owner takes it back.
            (ShardState::Draining, _) => None,
            (ShardState::Owned, MoveState::Running) => None,
            (ShardState::Owned, _) if !view.is_alive(&planned.to) => failed(format!("{} is dead", planned.to)),
            (ShardState::Owned, _) => None,
        };
    }
    if row.owner == planned.to {
        return Some((MoveState::Done, None));
    }
    if row.owner == planned.from {
        return failed(format!("{} could not take it, {} keeps it", planned.to, planned.from));
    }
    failed(format!("{} owns the shard meanwhile", row.owner))
}

fn forget_old(view: &View) -> impl Iterator<Item = Step> {
    let mut ended: Vec<&Move> = view.orders.moves.values().filter(|planned| !planned.state.is_active()).collect();
    ended.sort_by_key(|planned| (planned.ended_ms, planned.shard));
    let too_many = ended.len().saturating_sub(MOVES_REMEMBERED);
    ended.into_iter().take(too_many).map(|planned| Step::Fact(view.orders.forget_move(&planned.id)))
}

fn new_move(row: &ShardRow, to: &str, cause: MoveCause, now_ms: i64) -> Move {
    Move {
        id: format!("{}-{}", row.shard, row.epoch),
        shard: row.shard,
        epoch: row.epoch,
        from: row.owner.clone(),
        to: to.to_owned(),
        state: MoveState::Waiting,
        cause,
        asked_ms: now_ms,
        started_ms: 0,
        ended_ms: 0,
        detail: None,
    }
}

/// A move that an operator asks for. One that is already on its way to the same node is the answer, too.
pub fn plan_move(view: &View, shard: u32, to: &str, now_ms: i64) -> Result<Move, Refusal> {
    let contradiction = |text: String| Err(Refusal::Contradiction(text));
    if shard >= view.shards {
        return Err(Refusal::UnknownShard(shard));
    }
    let member = view.members.get(to).ok_or_else(|| Refusal::UnknownNode(to.to_owned()))?;
    if !member.alive {
        return contradiction(format!("node {to} is dead"));
    }
    let Some(row) = view.rows.get(&shard).filter(|row| view.is_alive(&row.owner)) else {
        return contradiction(format!("shard {shard} has no living owner; it is being taken over"));
    };
    if let Some(active) = view.orders.active_move(shard) {
        return if active.to == to {
            Ok(active.clone())
        } else {
            contradiction(format!("shard {shard} is already moving to {}", active.to))
        };
    }
    if row.owner == to {
        return contradiction(format!("{to} already owns shard {shard}"));
    }
    if row.state == ShardState::Draining {
        return contradiction(format!("shard {shard} is already moving"));
    }
    if !member.usable {
        return contradiction(format!("node {to} is cordoned or being emptied"));
    }
    if view.orders.pinned.contains(&shard) {
        return contradiction(format!("shard {shard} is pinned"));
    }
    Ok(new_move(row, to, MoveCause::Asked, now_ms))
}

/// The moves that empty a node.
pub fn plan_drain(view: &View, node: &str, now_ms: i64) -> Vec<Move> {
    let mut loads = view.loads();
    loads.remove(node);
    let moving = view.orders.moves_by_shard();
    let mut planned = Vec::new();
    for (row, owner) in view.eventual_owners() {
        if owner != node || row.owner != node || row.state != ShardState::Owned || moving.contains_key(&row.shard) {
            continue;
        }
        let Some(to) = least_loaded(&loads, None) else { break };
        if let Some(load) = loads.get_mut(&to) {
            *load += 1;
        }
        planned.push(new_move(row, &to, MoveCause::Drain, now_ms));
    }
    planned
}

/// Whether a node may be emptied: it lives, somebody else can take its shards, and none is pinned to it.
pub fn check_drain(view: &View, node: &str) -> Result<u64, Refusal> {
    let member = view.members.get(node).ok_or_else(|| Refusal::UnknownNode(node.to_owned()))?;
    if !member.alive {
        return Err(Refusal::Contradiction(format!("node {node} is dead")));
    }
    if !view.members.iter().any(|(id, member)| id != node && member.usable) {
        return Err(Refusal::Contradiction(format!("no other node could take the shards of {node}")));
    }
    let pinned = view.orders.pinned.iter().find(|shard| view.rows.get(shard).is_some_and(|row| row.owner == node));
    match pinned {
        Some(shard) => Err(Refusal::Contradiction(format!("shard {shard} is pinned to {node}"))),
        None => Ok(member.incarnation),
    }
}

/// The fewest moves that spread the shards evenly, at most `max`.
pub fn plan_balance(view: &View, max: usize, now_ms: i64) -> Vec<Move> {
    let mut loads = view.loads();
    let moving = view.orders.moves_by_shard();
    let mut movable: BTreeMap<&str, Vec<&ShardRow>> = BTreeMap::new();
    for (row, owner) in view.eventual_owners() {
        let stays = view.orders.pinned.contains(&row.shard) || moving.contains_key(&row.shard);
        if row.owner == owner && row.state == ShardState::Owned && !stays {
            movable.entry(owner).or_default().push(row);
        }
    }
    let mut planned = Vec::new();
    while planned.len() < max {
        let Some(to) = least_loaded(&loads, None) else { break };
        let least = loads.get(&to).copied().unwrap_or_default();
        let givers = loads
            .iter()
            .filter(|(id, load)| **load > least + 1 && movable.get(id.as_str()).is_some_and(|rows| !rows.is_empty()));
        let Some(from) = givers.max_by_key(|(id, load)| (**load, std::cmp::Reverse((*id).clone()))).map(|(id, _)| id)
        else {
            break;
        };
        let from = from.clone();
        let Some(row) = movable.get_mut(from.as_str()).and_then(Vec::pop) else { break };
        *loads.entry(from).or_default() -= 1;
        *loads.entry(to.clone()).or_default() += 1;
        planned.push(new_move(row, &to, MoveCause::Balance, now_ms));
    }
    planned
}

/// What calls a move off: the fact, and for one that runs the row that tells its owner to keep the shard.
pub fn plan_cancel(view: &View, id: &str, now_ms: i64) -> Result<(Move, Option<(ShardRow, ShardRow)>), Refusal> {
    let planned = view.orders.moves.get(id).ok_or_else(|| Refusal::UnknownMove(id.to_owned()))?;
    if !planned.state.is_active() {
        return Err(Refusal::Contradiction(format!("move {id} has already ended")));
    }
    let cancelled = Move {
        state: MoveState::Cancelled,
        ended_ms: now_ms,
        detail: Some("called off".to_owned()),
        ..planned.clone()
    };
    let running = view.rows.get(&planned.shard).filter(|row| {
        row.epoch == planned.epoch && row.state == ShardState::Draining && row.target.as_ref() == Some(&planned.to)
    });
    let swap = running.map(|row| (row.clone(), ShardRow { target: None, ..row.clone() }));
    Ok((cancelled, swap))
}

#[cfg(test)]
mod tests {
    use colloquy_store::leases::{Fact, NodeRow, NodeState};

    use super::*;
    use crate::core::view::Orders;

    fn node(id: &str) -> NodeRow {
        NodeRow { id: id.to_owned(), incarnation: 1, beat: 0, state: NodeState::Alive, address: String::new() }
    }

    fn row(shard: u32, owner: &str) -> ShardRow {
        ShardRow { shard, owner: owner.to_owned(), epoch: 5, state: ShardState::Owned, target: None }
    }

    fn fact(name: &str, value: &str) -> Fact {
        Fact { name: name.to_owned(), value: value.to_owned() }
    }

    fn view(owners: &[&str], facts: &[Fact]) -> View {
        let rows = (0..).zip(owners).map(|(shard, owner)| row(shard, owner)).collect();
        let nodes = [node("a"), node("b"), node("c")];
        View::new(u32::try_from(owners.len()).expect("few"), rows, &nodes, Orders::read(facts))
    }

    fn moves(planned: &[Move]) -> Vec<(u32, &str)> {
        planned.iter().map(|planned| (planned.shard, planned.to.as_str())).collect()
    }

    /// Carries out what a step writes, as a store would.
    fn carry_out(steps: &[Step], rows: &mut [ShardRow], facts: &mut BTreeMap<String, String>) -> usize {
        let mut begun = 0;
        let mut write = |change: &FactChange| {
            assert_eq!(facts.get(&change.name), change.expected.as_ref());
            match &change.new {
                Some(value) => facts.insert(change.name.clone(), value.clone()),
                None => facts.remove(&change.name),
            };
        };
        for step in steps {
            match step {
                Step::Fact(change) => write(change),
                Step::Begin { expected, new, then } => {
                    let row = rows.iter_mut().find(|row| *row == expected).expect("as read");
                    *row = new.clone();
                    write(then);
                    begun += 1;
                }
            }
        }
        begun
    }

    #[test]
    fn newcomers_are_given_their_share_once_and_within_the_limits() {
        let nodes = [node("a"), node("b"), node("c")];
        let mut rows: Vec<ShardRow> = (0..24).map(|shard| row(shard, "a")).collect();
        let mut facts = BTreeMap::new();
        let limits = MoveLimits { per_node: 3, in_all: 4 };
        for round in 0..100 {
            let listed: Vec<Fact> = facts.iter().map(|(name, value): (&String, &String)| fact(name, value)).collect();
            let view = View::new(24, rows.clone(), &nodes, Orders::read(&listed));
            let begun = carry_out(&steps(&view, limits, round), &mut rows, &mut facts);
            assert!(begun <= 3, "{begun} at once with the same giver");
            // The owners do their part.
            for row in rows.iter_mut().filter(|row| row.state == ShardState::Draining) {
                let owner = row.target.take().expect("has one");
                *row = ShardRow { owner, epoch: row.epoch + 1, state: ShardState::Owned, ..row.clone() };
            }
        }
        let owned = |node: &str| rows.iter().filter(|row| row.owner == node).count();
        assert_eq!([owned("a"), owned("b"), owned("c")], [8, 8, 8]);
        let listed: Vec<Fact> = facts.iter().map(|(name, value)| fact(name, value)).collect();
        let orders = Orders::read(&listed);
        assert_eq!(orders.moves.values().filter(|planned| planned.state == MoveState::Done).count(), 16);
        // What is moved by hand afterwards stays.
        rows.iter_mut().for_each(|row| row.owner = "b".to_owned());
        assert!(steps(&View::new(24, rows, &nodes, orders), limits, 200).is_empty());
    }

    #[test]
    fn move_that_was_planned_before_its_owner_had_taken_the_shard_in_is_begun_all_the_same() {
        let nodes = [node("a"), node("b"), node("c")];
        let mut rows = vec![row(0, "a")];
        let handed = ShardRow { epoch: 4, ..row(0, "a") };
        let planned = new_move(&handed, "b", MoveCause::Asked, 0);
        let change = Orders::read(&[]).put_move(&planned);
        let mut facts = BTreeMap::from([(change.name, change.new.expect("a move"))]);
        let mut begun = 0;
        for round in 0..3 {
            let listed: Vec<Fact> = facts.iter().map(|(name, value): (&String, &String)| fact(name, value)).collect();
            let view = View::new(1, rows.clone(), &nodes, Orders::read(&listed));
            begun += carry_out(&steps(&view, MoveLimits::default(), round), &mut rows, &mut facts);
        }
        assert_eq!((begun, rows[0].state, rows[0].target.as_deref()), (1, ShardState::Draining, Some("b")));
        let listed: Vec<Fact> = facts.iter().map(|(name, value)| fact(name, value)).collect();
        let moves = Orders::read(&listed).moves;
        assert_eq!(moves[&planned.id].state, MoveState::Running, "{moves:?}");
    }

    #[test]
    fn pinned_shards_stay_cordoned_nodes_get_nothing_and_the_plan_is_the_shortest() {
        let facts = [fact("pin/5", "true"), fact("cordon/c", "true")];
        let planned = plan_balance(&view(&["a", "a", "a", "a", "a", "a"], &facts), usize::MAX, 0);
        assert_eq!(moves(&planned), [(4, "b"), (3, "b"), (2, "b")]);
        let all_pinned: Vec<Fact> = (0..6).map(|shard| fact(&format!("pin/{shard}"), "true")).collect();
        assert!(plan_balance(&view(&["a", "a", "a", "a", "a", "a"], &all_pinned), usize::MAX, 0).is_empty());
        assert_eq!(plan_balance(&view(&["a", "a", "a", "a", "a", "a"], &[]), 1, 0).len(), 1);
        assert!(plan_balance(&view(&["a", "b", "c", "a"], &[]), usize::MAX, 0).is_empty());
    }

    #[test]
    fn drain_moves_everything_to_who_has_least() {
        let view = view(&["a", "a", "a", "b"], &[fact("drain/a", "1")]);
        assert_eq!(moves(&plan_drain(&view, "a", 0)), [(0, "c"), (1, "b"), (2, "c")]);
    }

    #[test]
    fn pause_starts_nothing() {
        let paused = view(&["a", "a", "a"], &[fact("paused", "true")]);
        assert!(steps(&paused, MoveLimits::default(), 0).is_empty());
    }

    #[test]
    fn contradictions_are_told_from_unknown_names() {
        let facts = [fact("pin/1", "true"), fact("cordon/c", "true")];
        let view = view(&["a", "a", "a"], &facts);
        assert_eq!(plan_move(&view, 9, "b", 0), Err(Refusal::UnknownShard(9)));
        assert_eq!(plan_move(&view, 0, "x", 0), Err(Refusal::UnknownNode("x".to_owned())));
        for (shard, to) in [(0, "a"), (0, "c"), (1, "b")] {
            assert!(matches!(plan_move(&view, shard, to, 0), Err(Refusal::Contradiction(_))), "{shard} to {to}");
        }
        assert_eq!(plan_move(&view, 0, "b", 7).map(|planned| planned.id), Ok("0-5".to_owned()));
        assert!(matches!(check_drain(&view, "a"), Err(Refusal::Contradiction(_))), "a pinned shard");
        assert_eq!(check_drain(&view, "b"), Ok(1));
        assert!(matches!(plan_cancel(&view, "0-5", 0), Err(Refusal::UnknownMove(_))));
    }

    #[test]
    fn steward_of_a_dead_incarnation_is_replaced() {
        let me = Incarnation { node: "b".to_owned(), incarnation: 1 };
        let steward = |incarnation: u64| fact("steward", &format!(r#"{{"node":"a","incarnation":{incarnation}}}"#));
        assert!(candidacy(&view(&["a"], &[]), &me).is_some());
        assert!(candidacy(&view(&["a"], &[steward(1)]), &me).is_none());
        assert!(candidacy(&view(&["a"], &[steward(0)]), &me).is_some(), "it was another incarnation");
    }

    #[test]
    fn outcomes_are_read_from_the_row() {
        let mut view = view(&["a", "a"], &[]);
        let planned = Move { state: MoveState::Running, ..plan_move(&view, 0, "b", 0).expect("fine") };
        assert_eq!(outcome(&view, &planned), None);
        let state = |view: &mut View, owner: &str, epoch| {
            view.rows.insert(0, ShardRow { epoch, ..row(0, owner) });
            outcome(view, &planned).map(|(state, _)| state)
        };
        assert_eq!(state(&mut view, "b", 6), Some(MoveState::Done));
        assert_eq!(state(&mut view, "a", 6), Some(MoveState::Failed));
        assert_eq!(state(&mut view, "c", 6), Some(MoveState::Failed));
    }
}
