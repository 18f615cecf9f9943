//! A campaign: who may order what when, and what happens by itself.

use serde_json::json;

use super::*;
use crate::{
    context::Context,
    principal::{Actor, Principal, Role},
    rejection::Rejection,
};

const DAY: i64 = 24 * 3_600_000;

struct Run {
    campaign: Campaign,
    now_ms: i64,
    told: Vec<(u32, slice::Command)>,
}

impl Run {
    fn new(patch: Value) -> Self {
        let mut run = Self { campaign: Campaign::default(), now_ms: 100 * DAY, told: Vec::new() };
        let mut settings = json!({"name": "n", "agent_id": "a", "from_numbers": ["+14155550100"]});
        crate::check::merge_patch(&mut settings, &patch);
        run.does(Command::Create { id: "c".into(), account: "acc".into(), settings }).expect("created");
        run
    }

    /// With one slice of ten targets.
    fn with_targets(patch: Value) -> Self {
        let mut run = Self::new(patch);
        run.brings(10);
        run
    }

    fn brings(&mut self, targets: u32) {
        let Ok(Reply::Import { n }) = self.does(Command::Import { source: file() }) else { panic!("it may") };
        let import = self.campaign.import.clone().expect("it is going on");
        let slices = BTreeMap::from([(import.first_slice.to_string(), import.in_first + targets)]);
        self.does(Command::Imported { n, attempt: import.attempt, slices, result: Box::default() }).expect("told");
    }

    fn does_as(&mut self, actor: Actor, tenant: &str, command: Command) -> Result<Reply, Rejection> {
        let principal = Principal { tenant: tenant.into(), actor };
        let cx = Context { now_ms: self.now_ms, seq: self.campaign.seq, seed: [0; 32], principal };
        let decision = decide(&self.campaign, &cx, command)?;
        for event in &decision.events {
            let seq = self.campaign.seq + 1;
            apply(&mut self.campaign, event, seq, self.now_ms);
            self.told.extend(tells(&self.campaign, event));
        }
        Ok(decision.reply)
    }

    fn does(&mut self, command: Command) -> Result<Reply, Rejection> {
        self.does_as(Actor::System, "t", command)
    }

    fn code(&mut self, command: Command) -> String {
        match self.does(command) {
            Err(Rejection::Conflict { code, .. }) => code,
            other => panic!("{other:?}"),
        }
    }

    fn hears(&mut self, seq: u64, progress: Progress) {
        self.does(Command::Progress { slice: 0, progress: Progress { seq, targets: 10, ..progress } }).expect("heard");
    }

    fn last_order(&self) -> (Run2, u64) {
        match self.told.last() {
            Some((_, slice::Command::Order { orders, .. })) => (orders.run, orders.settings_version),
            other => panic!("{other:?}"),
        }
    }
}

type Run2 = slice::Run;

fn file() -> Source {
    Source::File { path: "list".into(), csv: true }
}

#[test]
fn it_starts_when_it_can_call_and_says_what_is_missing() {
    let mut run = Run::new(json!({"from_numbers": []}));
    assert_eq!(run.code(Command::Start), "no_number");
    run.does(Command::Update {
        patch: json!({"from_numbers": ["+14155550100"]}),
        account: "acc".into(),
        if_version: Some(1),
    })
    .expect("set");
    assert_eq!(run.code(Command::Start), "no_targets");
    run.does(Command::Import { source: file() }).expect("it may");
    assert_eq!(run.code(Command::Start), "importing");
    assert_eq!(run.code(Command::Import { source: file() }), "importing");
    let late = Command::Imported { n: 1, attempt: 9, slices: BTreeMap::new(), result: Box::default() };
    assert_eq!(run.does(late), Err(Rejection::Superseded));
    let slices = BTreeMap::from([("0".to_owned(), 10)]);
    run.does(Command::Imported { n: 1, attempt: 1, slices, result: Box::default() }).expect("told");
    run.does(Command::Start).expect("now it can");
    assert_eq!((run.campaign.status, run.last_order()), (Status::Running, (Run2::Running, 2)));
    run.does(Command::Start).expect("it runs");
    assert_eq!(run.campaign.settings_version, 2);
}

#[test]
fn only_managers_of_the_tenant_give_orders_and_everybody_of_it_may_look() {
    let mut run = Run::with_targets(json!({}));
    let user = |role| Actor::User { id: "u".into(), role, name: String::new() };
    for command in [
        Command::Start,
        Command::Pause,
        Command::Resume,
        Command::Stop,
        Command::Delete,
        Command::Import { source: file() },
    ] {
        assert!(
            matches!(run.does_as(user(Role::Rep), "t", command.clone()), Err(Rejection::Forbidden { .. })),
            "{command:?}"
        );
        assert!(
            matches!(run.does_as(user(Role::Owner), "x", command.clone()), Err(Rejection::NotFound { .. })),
            "{command:?}"
        );
        assert!(run.does_as(Actor::Visitor { id: "v".into(), agent: "a".into() }, "t", command).is_err());
    }
    assert!(matches!(run.does_as(user(Role::Viewer), "t", Command::Get), Ok(Reply::State(_))));
    assert!(matches!(run.does_as(user(Role::Owner), "t", Command::Tick), Err(Rejection::Forbidden { .. })));
    run.does_as(user(Role::Manager), "t", Command::Start).expect("a manager may");
}

#[test]
fn pause_resume_stop_and_delete_reach_every_slice_at_once() {
    let mut run = Run::with_targets(json!({}));
    run.does(Command::Start).expect("started");
    run.does(Command::Pause).expect("paused");
    assert_eq!((run.last_order().0, run.campaign.paused_by), (Run2::Held, Some(PauseReason::Person)));
    assert_eq!(run.code(Command::Start), "campaign_paused");
    run.does(Command::Update { patch: json!({"max_concurrent": 3}), account: "acc".into(), if_version: None })
        .expect("changed");
    assert_eq!(run.last_order(), (Run2::Held, 2));
    let stale = Command::Update { patch: json!({}), account: "acc".into(), if_version: Some(1) };
    assert!(matches!(run.does(stale), Err(Rejection::Stale { .. })));
    run.does(Command::Resume).expect("resumed");
    run.hears(1, Progress { trying: 2, ..Progress::default() });
    let other = Command::Update { patch: json!({}), account: "other".into(), if_version: None };
    assert_eq!(run.code(other), "calls_open");
    run.does(Command::Stop).expect("stopped");
    assert_eq!(
        (run.campaign.status, run.last_order().0),
        (Status::Stopping, Run2::Ending { reason: SkipReason::Stopped })
    );
    run.hears(2, Progress { done: 10, ..Progress::default() });
    assert_eq!(run.campaign.status, Status::Stopped, "once the last call has ended");
    for command in [Command::Start, Command::Pause, Command::Resume, Command::Import { source: file() }] {
        assert_eq!(run.code(command), "campaign_ended");
    }
    run.does(Command::Delete).expect("deleted");
    assert_eq!(run.campaign.status, Status::Deleted);
    assert!(matches!(run.does(Command::Get), Err(Rejection::NotFound { .. })));
}

#[test]
fn it_begins_and_ends_at_its_times() {
    let at = |ms: i64| crate::local_time::rfc3339(ms);
    let mut run = Run::with_targets(json!({"starts_at": at(101 * DAY), "deadline": at(102 * DAY)}));
    run.does(Command::Start).expect("scheduled");
    assert_eq!((run.campaign.status, timer(&run.campaign)), (Status::Scheduled, Some(101 * DAY)));
    run.now_ms = 101 * DAY;
    run.does(on_timer(&run.campaign, run.now_ms).expect("due")).expect("it begins");
    assert_eq!((run.campaign.status, timer(&run.campaign)), (Status::Running, Some(102 * DAY)));
    run.now_ms = 102 * DAY;
    run.does(on_timer(&run.campaign, run.now_ms).expect("due")).expect("it ends");
    assert_eq!(run.last_order().0, Run2::Ending { reason: SkipReason::Deadline });
    run.hears(1, Progress { done: 10, ..Progress::default() });
    assert_eq!((run.campaign.status, run.campaign.paused_by), (Status::Completed, Some(PauseReason::Deadline)));
}

#[test]
fn it_is_done_when_everybody_is_and_one_for_web_leads_goes_on() {
    for (kind, status) in [("outbound", Status::Completed), ("inbound", Status::Running)] {
        let mut run = Run::with_targets(json!({"type": kind}));
        run.does(Command::Start).expect("started");
        run.hears(5, Progress { done: 10, ..Progress::default() });
        run.hears(4, Progress { done: 3, ..Progress::default() });
        assert_eq!((run.campaign.status, run.campaign.progress().done), (status, 10), "older progress comes too late");
    }
}

#[test]
fn it_is_paused_when_the_budget_is_used_up_and_goes_on_when_it_is_raised() {
    let mut run = Run::with_targets(json!({"budget": 1.0}));
    run.does(Command::Start).expect("started");
    run.hears(1, Progress { cost_micros: 600_000, costed: 3, trying: 2, owed_micros: 399_000, ..Progress::default() });
    assert_eq!(run.campaign.status, Status::Running, "what goes on may cost less");
    run.hears(2, Progress { cost_micros: 1_000_000, costed: 5, ..Progress::default() });
    assert_eq!((run.campaign.status, run.campaign.paused_by), (Status::Paused, Some(PauseReason::Budget)));
    assert_eq!(run.code(Command::Resume), "budget_used");
    run.does(Command::Update { patch: json!({"budget": 2}), account: "acc".into(), if_version: None }).expect("raised");
    run.does(Command::Resume).expect("resumed");
}

#[test]
fn it_is_paused_when_its_agent_does_not_work_and_only_then() {
    let mut run = Run::with_targets(json!({}));
    let agent_id = run.campaign.settings.agent_id.clone();
    let gone = |agent: &str| Command::Unmanned { agent_id: agent.into() };
    run.does(gone(agent_id.as_str())).expect("heard");
    assert_eq!(run.campaign.status, Status::Draft, "nobody is called yet");
    run.does(Command::Start).expect("started");
    run.does(gone("another")).expect("heard");
    assert_eq!(run.campaign.status, Status::Running, "that one was replaced");
    run.does(gone(agent_id.as_str())).expect("heard");
    assert_eq!((run.campaign.status, run.campaign.paused_by), (Status::Paused, Some(PauseReason::Agent)));
    run.does(Command::Resume).expect("resumed");
    assert_eq!((run.campaign.status, run.campaign.paused_by), (Status::Running, None));
}

#[test]
fn the_shares_of_its_slices_come_to_the_budget_and_what_one_leaves_another_may_spend() {
    let mut run = Run::with_targets(json!({"budget": 1.0}));
    run.does(Command::Start).expect("started");
    assert_eq!(run.campaign.share_micros(0), Some(1_000_000));
    // The first slice is full then, and the next ones begin another.
    run.brings(246);
    run.brings(246);
    assert_eq!(run.campaign.slices.len(), 2);
    let sum =
        |run: &Run| -> i64 { (0..run.campaign.slices.len()).filter_map(|at| run.campaign.share_micros(at)).sum() };
    let told = |run: &Run, slice: u32| {
        let orders = run.told.iter().rev().find_map(|(to, command)| match command {
            slice::Command::Order { orders, .. } if *to == slice => Some((orders.version, orders.spend_micros)),
            _ => None,
        });
        orders.expect("it has orders")
    };
    assert!((999_990..=1_000_000).contains(&sum(&run)), "{}", sum(&run));
    let before = told(&run, 0);
    assert_eq!(before.1, run.campaign.share_micros(0), "the slice that was there hears of its smaller share");
    // The first slice has spent half of what it may, and everybody in it is done.
    let whole = run.campaign.slices[0].targets;
    let progress = Progress { seq: 900, targets: whole, done: whole, cost_micros: 250_000, ..Progress::default() };
    run.does(Command::Progress { slice: 0, progress }).expect("heard");
    let short = Command::Short { slice: 1, need_micros: 140_000 };
    run.does(short.clone()).expect("heard");
    assert_eq!(run.campaign.status, Status::Running);
    assert_eq!(told(&run, 1).1, Some(750_000), "what is left is the other's");
    assert!(told(&run, 0).0 > before.0 && sum(&run) <= 1_000_000);
    let progress = Progress { seq: 900, targets: 246, cost_micros: 700_000, ..Progress::default() };
    run.does(Command::Progress { slice: 1, progress }).expect("heard");
    run.does(short).expect("heard");
    assert_eq!((run.campaign.status, run.campaign.paused_by), (Status::Paused, Some(PauseReason::Budget)));
}

#[test]
fn too_many_abandoned_calls_within_thirty_days_hold_it() {
    let mut run = Run::with_targets(json!({}));
    run.does(Command::Start).expect("started");
    run.hears(1, Progress { connected: 99, abandoned: 9, ..Progress::default() });
    assert_eq!(run.campaign.status, Status::Running, "of fewer than a hundred nothing is concluded");
    run.now_ms += 31 * DAY;
    run.hears(2, Progress { connected: 299, abandoned: 15, ..Progress::default() });
    assert_eq!(
        (run.campaign.abandonment(), run.campaign.status),
        ((200, 6), Status::Running),
        "three of a hundred are allowed"
    );
    run.hears(3, Progress { connected: 300, abandoned: 16, ..Progress::default() });
    assert_eq!((run.campaign.status, run.campaign.paused_by), (Status::Paused, Some(PauseReason::Abandonment)));
    run.does(Command::Resume).expect("resumed");
    run.hears(4, Progress { connected: 301, abandoned: 16, ..Progress::default() });
    assert_eq!(run.campaign.status, Status::Running, "for the same calls it is held once");
}

#[test]
fn imports_fill_slices_and_are_tried_again_after_a_crash() {
    let mut run = Run::with_targets(json!({}));
    run.does(Command::Import { source: file() }).expect("it may");
    let import = run.campaign.import.clone().expect("it is going on");
    assert_eq!((import.n, import.first_slice, import.in_first), (2, 0, 10), "the slice that is not full comes first");
    run.does(on_recovered(&run.campaign).expect("it is tried again")).expect("raised");
    let pending = pending(&run.campaign);
    assert!(matches!(&pending[..], [(name, 2, Effect::Import(_))] if name == "import:2"), "{pending:?}");
    let slices = BTreeMap::from([("0".to_owned(), 256), ("1".to_owned(), 40)]);
    let told = run.told.len();
    run.does(Command::Imported { n: 2, attempt: 2, slices, result: Box::default() }).expect("told");
    assert_eq!((run.campaign.progress().targets, run.told.len() - told), (296, 2), "both slices get their orders");
    run.does(Command::Import { source: file() }).expect("it may");
    assert_eq!(run.campaign.import.as_ref().map(|import| (import.first_slice, import.in_first)), Some((1, 40)));
    let told = serde_json::to_vec(&Reply::State(Box::new(run.campaign.clone()))).expect("plain data");
    assert!(matches!(serde_json::from_slice::<Reply>(&told), Ok(Reply::State(state)) if *state == run.campaign));
}
