//! A tenant's live feed: folds the rows of all entities into boards and exact numbers, and tells watchers what changed, one delta a tick.
//!
//! It has no journal. Each row carries its entity's whole contribution with its sequence number, so a row seen twice counts once and a missed one
//! is made up for by the next, or by the recount. See [`board`] for how entries become snapshots and deltas.

mod ask;
mod asked;
pub(crate) mod board;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::client::Listed;
use colloquy_cluster::entity::{Message, Resident};
use colloquy_cluster::store::rows::{After, Range, Row};
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::ids::TenantId;
use colloquy_domain::local_time;
use colloquy_domain::numbers::charts::{self, Width};
use colloquy_domain::numbers::{self, DailyRow, Numbers, Overview, Window};
use colloquy_domain::vocabulary::Channel;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) use self::ask::forget;
pub use self::ask::{Totals, daily, key, overview, points, questions, since, snapshot, sum, totals, week};
use self::asked::Memory;
pub use self::asked::{Asked, AskedList, QuestionsRow, Span};
use self::board::Board;
pub use self::board::Update;
use crate::{Tools, agent, appointment, calls, campaign, conversation, lead, traffic};

/// The kind in keys; there is one feed per tenant.
pub const KIND: &str = "feed";
/// Its id.
pub const ID: &str = "main";
/// Lists whose rows count.
const COUNTED: [&str; 5] = [conversation::LIST, lead::LIST, traffic::LIST, appointment::LIST, calls::LIST];
/// Lists whose newest rows boards show. Of inboxes only what changes is told: a snapshot takes the rest from the person's own.
const SHOWN: [&str; 8] = [
    agent::LIST,
    crate::knowledge::LIST,
    lead::LIST,
    appointment::LIST,
    calls::LIST,
    campaign::LIST,
    conversation::LIST,
    crate::inbox::LIST,
];
/// The boards that every tenant has.
const FIXED: [Topic; 6] =
    [Topic::Overview, Topic::Conversations, Topic::Leads, Topic::Appointments, Topic::Calls, Topic::Campaigns];
/// Entries of a board: what fits on a screen several times over. Older ones are read from the list.
const ENTRIES_MAX: usize = 200;
/// Rows read at once when the feed starts.
const BATCH: usize = 1_000;
/// Damaged rows that are named: enough to know that and where something is wrong.
const DAMAGED_MAX: usize = 100;
/// Rows whose numbers were told are compared with what is stored this often, milliseconds: notes are best effort.
const RECOUNT_EVERY_MS: i64 = 30_000;
/// The head of each board is repeated this often, milliseconds, so that a lost last delta is noticed.
const HEADS_EVERY_MS: i64 = 1_000;

/// A board that a dashboard may follow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The tenant's numbers.
    Overview,
    /// The newest conversations.
    Conversations,
    /// The newest leads.
    Leads,
    /// The appointments that were asked for last.
    Appointments,
    /// The newest calls.
    Calls,
    /// The newest campaigns.
    Campaigns,
    /// One agent: configuration, knowledge, numbers.
    Agent(String),
}

impl Topic {
    /// The contract's name of it.
    pub fn name(&self) -> String {
        match self {
            Self::Overview => "overview".into(),
            Self::Conversations => "conversations".into(),
            Self::Leads => "leads".into(),
            Self::Appointments => "appointments".into(),
            Self::Calls => "calls".into(),
            Self::Campaigns => "campaigns".into(),
            Self::Agent(id) => format!("agent:{id}"),
        }
    }

    /// From the contract's name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "overview" => Some(Self::Overview),
            "conversations" => Some(Self::Conversations),
            "leads" => Some(Self::Leads),
            "appointments" => Some(Self::Appointments),
            "calls" => Some(Self::Calls),
            "campaigns" => Some(Self::Campaigns),
            other => other.strip_prefix("agent:").filter(|id| !id.is_empty()).map(|id| Self::Agent(id.to_owned())),
        }
    }
}

/// A row as entities tell it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Told {
    list: String,
    id: String,
    at_ms: i64,
    seq: u64,
    body: Option<Value>,
    numbers: Option<Contribution>,
}

/// The numbers of a row, as entities store them beside its body: they outlive it when a person is erased.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Contribution {
    /// The agent it counts for.
    pub agent: String,
    /// The entity's whole contribution.
    pub numbers: Numbers,
}

/// What may be asked of a feed. Not tagged inside: numbers have integer keys, which serde's internal tagging cannot read back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ask {
    Told { rows: Vec<Told> },
    Forget { list: String, ids: Vec<String> },
    Snapshot { topic: Topic },
    Since { topic: Topic, seq: u64 },
    Totals,
    Overview { window: Window },
    Daily { from: String, to: String, agent: Option<String> },
    Points { span: Chart, width: Width },
    Week { span: Chart, channel: Option<Channel> },
    Sum { span: Chart },
    Questions { span: Span },
}

/// What a chart is of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chart {
    /// From this instant on, Unix milliseconds.
    pub from_ms: i64,
    /// Up to before this one.
    pub to_ms: i64,
    /// The zone whose hours and days are shown.
    pub timezone: String,
    /// Of one agent.
    pub agent: Option<String>,
}

/// A board as a whole.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where deltas go on from.
    pub seq: u64,
    /// Entries by key.
    pub data: Value,
    /// For numbers: the sequence number counted to, by source entity.
    pub sources: Option<BTreeMap<String, u64>>,
}

/// The notes that entities send after their rows were written.
pub(crate) fn tell(key: &EntityKey, rows: &[Row]) -> Vec<Message> {
    let rows: Vec<Told> = rows
        .iter()
        .filter(|row| row.tenant == *key.tenant)
        .map(|row| Told {
            list: row.list.clone(),
            id: row.id.clone(),
            at_ms: row.at_ms,
            seq: row.seq,
            body: row.body.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok()),
            numbers: row.numbers.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok()),
        })
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    vec![Message {
        to: EntityKey::new(key.tenant.clone(), KIND, ID),
        command: encode(&Ask::Told { rows }).unwrap_or_default(),
    }]
}

/// Plain data as JSON bytes.
pub(crate) fn encode<T: Serialize>(value: &T) -> Option<Bytes> {
    serde_json::to_vec(value).ok().map(Bytes::from)
}

/// One entity's contribution, as counted.
struct Counted {
    seq: u64,
    given: Contribution,
}

/// A tenant's feed.
pub struct Feed {
    tools: Arc<Tools>,
    client: Client,
    tenant: TenantId,
    counted: HashMap<(String, String), Counted>,
    all: Numbers,
    by_agent: BTreeMap<String, Numbers>,
    boards: BTreeMap<Topic, Board>,
    /// Agents whose numbers changed since the last tick.
    dirty: BTreeSet<String>,
    overview_dirty: bool,
    /// Questions of the newest conversations; read when somebody first asks for them.
    questions: Option<Memory>,
    /// Rows that cannot be read: they are in no number and on no board until their entity changes.
    damaged: BTreeSet<String>,
    first_seq: u64,
    heads_at_ms: i64,
    recount_at_ms: i64,
}

impl Resident for Feed {
    const KIND: &'static str = KIND;
    const IDLE_AFTER_MS: i64 = 60_000;
    const TICK_MS: u64 = 50;

    type Env = Tools;

    async fn start(env: Arc<Tools>, client: Client, key: EntityKey, _epoch: u64) -> Result<Self, String> {
        let now_ms = client.now_ms();
        let mut feed = Self {
            tools: env,
            tenant: TenantId::from(&*key.tenant),
            counted: HashMap::new(),
            all: Numbers::default(),
            by_agent: BTreeMap::new(),
            boards: BTreeMap::new(),
            dirty: BTreeSet::new(),
            overview_dirty: true,
            questions: None,
            damaged: BTreeSet::new(),
            // A thousand deltas a millisecond never happen: numbers of a later start are above all of an earlier one, and fit JavaScript.
            first_seq: u64::try_from(now_ms).unwrap_or(0) << 10,
            heads_at_ms: now_ms,
            recount_at_ms: now_ms + RECOUNT_EVERY_MS,
            client,
        };
        feed.load().await?;
        feed.plan_summaries();
        Ok(feed)
    }

    async fn handle(&mut self, message: Bytes) -> Bytes {
        let answer = match serde_json::from_slice::<Ask>(&message) {
            Ok(Ask::Told { rows }) => {
                for row in rows {
                    self.take(row);
                }
                None
            }
            Ok(Ask::Forget { list, ids }) => {
                self.forget(&list, &ids);
                encode(&())
            }
            Ok(Ask::Snapshot { topic }) => {
                self.refresh().await;
                encode(&self.shown(&topic))
            }
            Ok(Ask::Since { topic, seq }) => encode(&self.boards.get(&topic).and_then(|board| board.since(seq))),
            Ok(Ask::Totals) => encode(
                &self.by_agent.iter().map(|(agent, numbers)| (agent, Totals::of(numbers))).collect::<BTreeMap<_, _>>(),
            ),
            Ok(Ask::Overview { window }) => encode(&self.overview(window).await),
            Ok(Ask::Daily { from, to, agent }) => encode(&self.daily(&from, &to, agent.as_deref()).await),
            Ok(Ask::Points { span, width }) => {
                let zone = local_time::zone_or_utc(&span.timezone);
                encode(&charts::points(self.numbers_of(span.agent.as_deref()), &zone, span.from_ms, span.to_ms, width))
            }
            Ok(Ask::Week { span, channel }) => {
                let zone = local_time::zone_or_utc(&span.timezone);
                encode(&charts::week(self.numbers_of(span.agent.as_deref()), &zone, span.from_ms, span.to_ms, channel))
            }
            Ok(Ask::Sum { span }) => encode(&self.numbers_of(span.agent.as_deref()).between(span.from_ms, span.to_ms)),
            Ok(Ask::Questions { span }) => match self.remember().await {
                Ok(memory) => encode(&memory.of(&span)),
                Err(error) => encode(&json!({ "error": error })),
            },
            Err(error) => {
                tracing::error!(tenant = %self.tenant, %error, "a feed could not read a message");
                encode(&json!({ "error": error.to_string() }))
            }
        };
        answer.unwrap_or_default()
    }

    async fn tick(&mut self, now_ms: i64) -> Vec<Bytes> {
        if now_ms >= self.recount_at_ms {
            self.recount_at_ms = now_ms + RECOUNT_EVERY_MS;
            if let Err(error) = self.recount().await {
                tracing::warn!(tenant = %self.tenant, %error, "a feed could not recount");
            }
        }
        self.refresh().await;
        let mut updates: Vec<Update> = Vec::new();
        for (topic, board) in &mut self.boards {
            updates.extend(board.flush(&topic.name()));
        }
        if now_ms >= self.heads_at_ms + HEADS_EVERY_MS {
            self.heads_at_ms = now_ms;
            updates.extend(self.boards.iter().map(|(topic, board)| Update::head(&topic.name(), board.seq())));
        }
        updates.iter().filter_map(encode).collect()
    }
}

impl Feed {
    /// Organizations founded before there were daily summaries have them from the first look at a dashboard on.
    fn plan_summaries(&self) {
        let (tools, client, tenant) = (self.tools.clone(), self.client.clone(), self.tenant.clone());
        tokio::spawn(async move {
            let planned = async {
                let timezone = tools.tenant_copy(&client, &tenant).await?.facts.timezone.clone();
                crate::digest::plan(&client, &tenant, &timezone).await
            };
            if let Err(error) = planned.await {
                tracing::debug!(%tenant, %error, "daily summaries could not be planned now");
            }
        });
    }

    async fn load(&mut self) -> Result<(), String> {
        for topic in FIXED {
            self.board(topic);
        }
        self.recount().await?;
        self.refresh().await;
        for board in self.boards.values_mut() {
            board.settle();
        }
        Ok(())
    }

    /// Reads the newest rows of the lists that boards show.
    async fn enter(&mut self, damaged: &mut BTreeSet<String>) -> Result<(), String> {
        for list in SHOWN {
            let range = Range { limit: ENTRIES_MAX, ..Range::default() };
            let Listed { rows, damaged: unreadable } = self
                .client
                .list_sound::<Value>(self.tenant.as_str(), list, &range)
                .await
                .map_err(|error| error.to_string())?;
            damaged.extend(unreadable.into_iter().map(|id| format!("{list}/{id}")));
            for row in rows {
                self.entry(list, &row.id, row.at_ms, row.seq, Some(row.body));
            }
        }
        Ok(())
    }

    /// Reads the stored numbers of a list. Rows that are known at the same or a higher number change nothing.
    async fn count(&mut self, list: &str, damaged: &mut BTreeSet<String>) -> Result<(), String> {
        let mut after: Option<String> = None;
        loop {
            let rows = self
                .client
                .numbers::<Contribution>(self.tenant.as_str(), list, after.as_deref(), BATCH)
                .await
                .map_err(|error| error.to_string())?;
            let last = rows.len() < BATCH;
            for row in rows {
                after = Some(row.id.clone());
                if row.damaged {
                    damaged.insert(format!("{list}/{}", row.id));
                }
                if let Some(given) = row.numbers {
                    self.contribute(list, &row.id, row.seq, given);
                }
            }
            if last {
                return Ok(());
            }
        }
    }

    /// Makes up for notes that were lost, in numbers and in entries.
    async fn recount(&mut self) -> Result<(), String> {
        let mut damaged = BTreeSet::new();
        for list in COUNTED {
            self.count(list, &mut damaged).await?;
        }
        self.enter(&mut damaged).await?;
        if self.questions.is_some() {
            self.read_questions(ENTRIES_MAX).await?;
        }
        if damaged != self.damaged {
            for row in damaged.difference(&self.damaged) {
                tracing::error!(tenant = %self.tenant, row, "a damaged row is in no number until its entity changes");
            }
            self.damaged = damaged;
            self.overview_dirty = true;
        }
        Ok(())
    }

    /// The questions of the newest conversations, read at the first call.
    async fn remember(&mut self) -> Result<&Memory, String> {
        if self.questions.is_none() {
            self.questions = Some(Memory::default());
            if let Err(error) = self.read_questions(asked::CONVERSATIONS_MAX).await {
                self.questions = None;
                return Err(error);
            }
        }
        Ok(self.questions.get_or_insert_default())
    }

    async fn read_questions(&mut self, most: usize) -> Result<(), String> {
        let mut range = Range { limit: BATCH.min(most), ..Range::default() };
        let mut read = 0;
        loop {
            let listed = self
                .client
                .list_sound::<Value>(self.tenant.as_str(), conversation::QUESTIONS, &range)
                .await
                .map_err(|error| error.to_string())?;
            let Some(memory) = self.questions.as_mut() else { return Ok(()) };
            let ended = listed.rows.len() + listed.damaged.len() < range.limit;
            for row in listed.rows {
                range.after = Some(After { at_ms: row.at_ms, id: row.id.clone() });
                memory.take(&row.id, row.at_ms, row.seq, Some(&row.body));
                read += 1;
            }
            if ended || read >= most {
                memory.cut |= !ended;
                return Ok(());
            }
        }
    }

    fn take(&mut self, row: Told) {
        if row.list == conversation::QUESTIONS {
            if let Some(memory) = &mut self.questions {
                memory.take(&row.id, row.at_ms, row.seq, row.body.as_ref());
            }
            return;
        }
        self.damaged.remove(&format!("{}/{}", row.list, row.id));
        if COUNTED.contains(&row.list.as_str())
            && let Some(given) = row.numbers
        {
            self.contribute(&row.list, &row.id, row.seq, given);
        }
        self.entry(&row.list, &row.id, row.at_ms, row.seq, row.body);
    }

    /// Counts one entity: a higher number replaces what it gave before, others change nothing.
    fn contribute(&mut self, list: &str, id: &str, seq: u64, given: Contribution) {
        let key = (list.to_owned(), id.to_owned());
        if let Some(old) = self.counted.get(&key) {
            if old.seq >= seq {
                return;
            }
            self.all.remove(&old.given.numbers);
            self.by_agent.entry(old.given.agent.clone()).or_default().remove(&old.given.numbers);
        }
        self.all.fold(&given.numbers);
        self.by_agent.entry(given.agent.clone()).or_default().fold(&given.numbers);
        self.dirty.insert(given.agent.clone());
        self.overview_dirty = true;
        self.counted.insert(key, Counted { seq, given });
    }

    fn entry(&mut self, list: &str, id: &str, at_ms: i64, seq: u64, body: Option<Value>) {
        if list == crate::inbox::LIST {
            let read = body.and_then(|mut body| serde_json::from_value::<Vec<(String, u64)>>(body["read"].take()).ok());
            for (conversation, seq) in read.unwrap_or_default() {
                let key = format!("read:{conversation}");
                self.board(Topic::Conversations).put_private(id, key, json!({ "seq": seq }));
            }
            return;
        }
        let topic = match list {
            conversation::LIST => Topic::Conversations,
            lead::LIST => Topic::Leads,
            appointment::LIST => Topic::Appointments,
            calls::LIST => Topic::Calls,
            campaign::LIST => Topic::Campaigns,
            agent::LIST => Topic::Agent(id.to_owned()),
            crate::knowledge::LIST => Topic::Agent(id.to_owned()),
            _ => return,
        };
        let name = match list {
            agent::LIST => "agent".to_owned(),
            crate::knowledge::LIST => "knowledge".to_owned(),
            _ => id.to_owned(),
        };
        let body = match list {
            campaign::LIST => body.map(campaign::brief),
            _ => body,
        };
        let board = self.board(topic);
        match body {
            Some(body) => board.put(name, at_ms, seq, body, ENTRIES_MAX),
            None => board.remove(&name),
        }
    }

    fn forget(&mut self, list: &str, ids: &[String]) {
        for id in ids {
            self.entry(list, id, 0, 0, None);
            if let Some(memory) = self.questions.as_mut().filter(|_| list == conversation::LIST) {
                memory.forget(id);
            }
        }
        for board in self.boards.values_mut() {
            board.forget_deltas();
        }
    }

    fn board(&mut self, topic: Topic) -> &mut Board {
        let first = self.first_seq;
        self.boards.entry(topic).or_insert_with(|| Board::new(first))
    }

    /// Recomputes what numbers say where they changed.
    async fn refresh(&mut self) {
        if std::mem::take(&mut self.overview_dirty) {
            for window in [Window::Day, Window::Week, Window::Month] {
                let figures = self.overview(window).await;
                let name = json!(window).as_str().unwrap_or_default().to_owned();
                let value = json!(figures);
                self.board(Topic::Overview).put(name, 0, 0, value, ENTRIES_MAX);
            }
        }
        for agent in std::mem::take(&mut self.dirty) {
            let value = match self.by_agent.get(&agent) {
                Some(numbers) => json!(self.figures(numbers, Window::Day).await),
                None => continue,
            };
            self.board(Topic::Agent(agent)).put("numbers".to_owned(), 0, 0, value, ENTRIES_MAX);
        }
    }

    fn shown(&mut self, topic: &Topic) -> Snapshot {
        let sources = matches!(topic, Topic::Overview)
            .then(|| self.counted.iter().map(|((list, id), counted)| (format!("{list}/{id}"), counted.seq)).collect());
        let board = self.board(topic.clone());
        // What waits for the tick is in the snapshot already: it goes out as a delta first, so that the numbers agree.
        Snapshot { seq: board.seq(), data: board.data(), sources }
    }

    async fn overview(&self, window: Window) -> Overview {
        self.figures(&self.all, window).await
    }

    async fn figures(&self, numbers: &Numbers, window: Window) -> Overview {
        let now_ms = self.client.now_ms();
        let mut figures = match self.tools.tenant_copy(&self.client, &self.tenant).await {
            Ok(copy) => {
                let zone = local_time::zone_or_utc(&copy.facts.timezone);
                numbers::overview(numbers, window, &zone, now_ms, &copy.facts.limits)
            }
            Err(_) => numbers::overview(numbers, window, &local_time::zone_or_utc("UTC"), now_ms, &Default::default()),
        };
        figures.damaged = self.damaged.iter().take(DAMAGED_MAX).cloned().collect();
        figures
    }

    /// All numbers, or one agent's.
    fn numbers_of(&self, agent: Option<&str>) -> &Numbers {
        static NONE: Numbers = Numbers::NONE;
        match agent {
            None => &self.all,
            Some(agent) => self.by_agent.get(agent).unwrap_or(&NONE),
        }
    }

    async fn daily(&self, from: &str, to: &str, agent: Option<&str>) -> Vec<DailyRow> {
        let zone = match self.tools.tenant_copy(&self.client, &self.tenant).await {
            Ok(copy) => local_time::zone_or_utc(&copy.facts.timezone),
            Err(_) => local_time::zone_or_utc("UTC"),
        };
        numbers::daily(self.numbers_of(agent), &zone, from, to, agent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_with_numbers_survive_the_way_to_the_feed() {
        let mut numbers = Numbers::default();
        numbers.at(1_000).all.leads = 1;
        let row = Row {
            tenant: "t".into(),
            list: lead::LIST.into(),
            at_ms: 1_000,
            id: "l".into(),
            seq: 3,
            view_version: 1,
            body: encode(&json!({ "id": "l" })),
            numbers: encode(&Contribution { agent: "a".into(), numbers: numbers.clone() }),
        };
        let told = tell(&EntityKey::new("t", "lead", "l"), &[row]);
        assert_eq!(told.len(), 1);
        match serde_json::from_slice::<Ask>(&told[0].command).unwrap() {
            Ask::Told { rows } => assert_eq!(rows[0].numbers.as_ref().unwrap().numbers, numbers),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn topics_are_told_by_their_names() {
        for topic in FIXED.into_iter().chain([Topic::Agent("x".into())]) {
            assert_eq!(Topic::parse(&topic.name()), Some(topic));
        }
        assert_eq!(Topic::parse("agent:"), None);
        assert_eq!(Topic::parse("everything"), None);
    }
}
