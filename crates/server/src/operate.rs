//! `colloquy ops …`: the operator's calls from a terminal, as readable tables or JSON.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// How often the progress of moves is asked for.
const POLL: Duration = Duration::from_millis(500);
/// No single call takes longer.
const REQUEST: Duration = Duration::from_secs(30);
/// Longer than moving every shard of a cluster takes; then something is stuck and waiting on helps nobody.
const GIVE_UP: Duration = Duration::from_secs(30 * 60);
/// After so many lines a table of shards or moves is only summed up, unless `--all`.
const LINES_SHOWN: usize = 40;

/// What `colloquy ops` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The operators' listener of any node
    #[arg(long, global = true, default_value = "http://127.0.0.1:9090", env = "COLLOQUY_OPS_URL")]
    ops: String,
    /// The operators' token (`ops.token`; a single node keeps a generated one in its data folder, file ops.token)
    #[arg(long, global = true, env = "COLLOQUY_OPS__TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the nodes
    Nodes,
    /// List shards
    Shards {
        /// Only of this owner
        #[arg(long)]
        owner: Option<String>,
        /// Only in this state: owned, draining or orphan
        #[arg(long)]
        state: Option<String>,
        /// Every line, however many
        #[arg(long)]
        all: bool,
    },
    /// List the moves of the last hours, or show one
    Moves {
        /// One move
        id: Option<String>,
        /// Every line, however many
        #[arg(long)]
        all: bool,
    },
    /// Say where an entity lives
    Entity {
        /// Its kind, such as conversation
        kind: String,
        /// Its id
        id: String,
        /// Its organization; looked for when left out
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Move a shard to a node
    Move {
        /// The shard
        shard: u32,
        /// The node
        #[arg(long)]
        to: String,
        /// Return at once instead of showing the progress
        #[arg(long)]
        no_wait: bool,
    },
    /// Leave a shard where it is
    Pin {
        /// The shard
        shard: u32,
    },
    /// Let a pinned shard be moved again
    Unpin {
        /// The shard
        shard: u32,
    },
    /// Move everything away from a node; it keeps its sockets until it is stopped
    Drain {
        /// The node
        node: String,
        /// Return at once instead of showing the progress
        #[arg(long)]
        no_wait: bool,
    },
    /// Give a node no further shards
    Cordon {
        /// The node
        node: String,
    },
    /// Take back a drain or a cordon
    Uncordon {
        /// The node
        node: String,
    },
    /// Spread the shards evenly over the nodes
    Rebalance {
        /// Only say what would move
        #[arg(long)]
        dry_run: bool,
        /// At most so many moves
        #[arg(long)]
        max_moves: Option<usize>,
        /// Return at once instead of showing the progress
        #[arg(long)]
        no_wait: bool,
    },
    /// Begin no further moves
    Pause,
    /// Begin moves again
    Resume,
    /// List the operators' calls of a month
    Audit {
        /// Such as 2026-01; this month by default
        #[arg(long)]
        month: Option<String>,
    },
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(operate(arguments))
}

async fn operate(arguments: &Arguments) -> Result<(), String> {
    let token = match &arguments.token {
        Some(token) if !token.trim().is_empty() => token.trim().to_owned(),
        Some(_) | None => {
            return Err("the operators' token is missing: --token, or COLLOQUY_OPS__TOKEN in the environment".into());
        }
    };
    let client = Client::builder().timeout(REQUEST).build().map_err(|e| e.to_string())?;
    let api = Api { client, base: arguments.ops.trim_end_matches('/').to_owned(), token };
    let json = arguments.json;
    match &arguments.verb {
        Verb::Nodes => api.list(&["nodes"], &[], json, NODES, usize::MAX).await,
        Verb::Shards { owner, state, all } => {
            let mut query = Vec::new();
            query.extend(owner.as_deref().map(|owner| ("owner", owner)));
            query.extend(state.as_deref().map(|state| ("state", state)));
            api.list(&["shards"], &query, json, SHARDS, lines(*all)).await
        }
        Verb::Moves { id: None, all } => api.list(&["moves"], &[], json, MOVES, lines(*all)).await,
        Verb::Moves { id: Some(id), all: _ } => api.one(&["moves", id], &[], json, MOVES).await,
        Verb::Entity { kind, id, tenant } => {
            let query: Vec<_> = tenant.as_deref().map(|tenant| ("tenant", tenant)).into_iter().collect();
            api.one(&["entities", kind, id], &query, json, ENTITY).await
        }
        Verb::Move { shard, to, no_wait } => {
            api.order(&["shards", &shard.to_string(), "move"], Some(json!({ "to": to })), json, !no_wait).await
        }
        Verb::Pin { shard } => api.order(&["shards", &shard.to_string(), "pin"], None, json, false).await,
        Verb::Unpin { shard } => api.order(&["shards", &shard.to_string(), "unpin"], None, json, false).await,
        Verb::Drain { node, no_wait } => {
            api.order(&["nodes", node, "drain"], None, json, !no_wait).await?;
            if *no_wait { Ok(()) } else { api.emptied(node, json).await }
        }
        Verb::Cordon { node } => api.order(&["nodes", node, "cordon"], None, json, false).await,
        Verb::Uncordon { node } => {
            api.order(&["nodes", node, "uncordon"], None, json, false).await?;
            // Nobody misses them: they are served elsewhere, and to bring them back is a decision about load.
            if json {
                Ok(())
            } else {
                print(&format!("{node} takes shards again; to bring back those that left: colloquy ops rebalance\n"))
            }
        }
        Verb::Rebalance { dry_run, max_moves, no_wait } => {
            let body = json!({ "dry_run": dry_run, "max_moves": max_moves });
            api.order(&["rebalance"], Some(body), json, !no_wait && !dry_run).await
        }
        Verb::Pause => api.order(&["pause"], None, json, false).await,
        Verb::Resume => api.order(&["resume"], None, json, false).await,
        Verb::Audit { month } => {
            let query: Vec<_> = month.as_deref().map(|month| ("month", month)).into_iter().collect();
            api.list(&["audit"], &query, json, AUDIT, usize::MAX).await
        }
    }
}

fn lines(all: bool) -> usize {
    if all { usize::MAX } else { LINES_SHOWN }
}

/// Columns of a table: heading and field.
type Columns = &'static [(&'static str, &'static str)];

const NODES: Columns = &[
    ("NODE", "id"),
    ("STATE", "state"),
    ("SHARDS", "shards"),
    ("ENTITIES", "entities"),
    ("QUEUED", "queued"),
    ("BEAT MS", "beat_age_ms"),
    ("CORDONED", "cordoned"),
    ("DRAINING", "draining"),
    ("STEWARD", "steward"),
    ("ADDRESS", "address"),
];
const SHARDS: Columns = &[
    ("SHARD", "id"),
    ("OWNER", "owner"),
    ("EPOCH", "epoch"),
    ("STATE", "state"),
    ("TARGET", "target"),
    ("PINNED", "pinned"),
    ("ENTITIES", "entities"),
];
const MOVES: Columns = &[
    ("MOVE", "id"),
    ("SHARD", "shard"),
    ("FROM", "from"),
    ("TO", "to"),
    ("STATE", "state"),
    ("CAUSE", "cause"),
    ("ASKED", "asked_at"),
    ("ENDED", "ended_at"),
    ("DETAIL", "detail"),
];
const ENTITY: Columns = &[
    ("TENANT", "tenant"),
    ("KIND", "kind"),
    ("ID", "id"),
    ("SHARD", "shard"),
    ("OWNER", "owner"),
    ("EPOCH", "epoch"),
    ("STATE", "state"),
];
const AUDIT: Columns = &[
    ("AT", "at"),
    ("ACTOR", "actor"),
    ("ACTION", "action"),
    ("RESOURCE", "resource"),
    ("DETAIL", "detail"),
    ("OUTCOME", "outcome"),
    ("NODE", "node"),
];

struct Api {
    client: Client,
    base: String,
    token: String,
}

impl Api {
    async fn list(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        json: bool,
        columns: Columns,
        most: usize,
    ) -> Result<(), String> {
        let answer = self.call(Method::GET, path, query, None).await?;
        if json {
            return print_json(&answer);
        }
        let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        print(&table(columns, &items[..items.len().min(most)]))?;
        if items.len() > most {
            print(&format!("… and {} more (--all shows every line)\n", items.len() - most))?;
        }
        Ok(())
    }

    async fn one(&self, path: &[&str], query: &[(&str, &str)], json: bool, columns: Columns) -> Result<(), String> {
        let answer = self.call(Method::GET, path, query, None).await?;
        if json { print_json(&answer) } else { print(&table(columns, &[answer])) }
    }

    async fn order(&self, path: &[&str], body: Option<Value>, json: bool, wait: bool) -> Result<(), String> {
        let answer = self.call(Method::POST, path, &[], body).await?;
        let moves = answer["moves"].as_array().cloned().unwrap_or_default();
        if !wait || moves.is_empty() {
            return match (json, moves.is_empty()) {
                (true, _) => print_json(&answer),
                (false, true) => print("done\n"),
                (false, false) => print(&table(MOVES, &moves)),
            };
        }
        let ids: Vec<String> = moves.iter().filter_map(|planned| planned["id"].as_str().map(str::to_owned)).collect();
        let ended = self.follow(&ids).await?;
        if json {
            print_json(&json!({ "moves": ended }))?;
        }
        let failed: Vec<Value> = ended.into_iter().filter(|ended| ended["state"] != "done").collect();
        if failed.is_empty() {
            return if json { Ok(()) } else { print(&format!("{} moved\n", count(ids.len(), "shard"))) };
        }
        if !json {
            print(&table(MOVES, &failed))?;
        }
        Err(format!("{} of {} did not move", failed.len(), count(ids.len(), "shard")))
    }

    /// Waits until a node that is drained has no shards left: moves that failed or were planned by others since are begun again without us.
    async fn emptied(&self, node: &str, json: bool) -> Result<(), String> {
        let begun = Instant::now();
        let mut shown = usize::MAX;
        loop {
            let answer = self.call(Method::GET, &["nodes"], &[], None).await?;
            let nodes = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            let row = nodes.iter().find(|known| known["id"] == node).cloned().unwrap_or_default();
            let left = row["shards"].as_u64().and_then(|left| usize::try_from(left).ok()).unwrap_or_default();
            if left == 0 {
                return if json { Ok(()) } else { print(&format!("{node} has no shards left and can be stopped\n")) };
            }
            if row["draining"] != true {
                return Err(format!("{node} is no longer drained; it has {}", count(left, "shard")));
            }
            if left != shown {
                shown = left;
                eprintln!("{node} has {} left", count(left, "shard"));
            }
            if begun.elapsed() > GIVE_UP {
                return Err(format!("{node} still has {}; it goes on: colloquy ops nodes", count(left, "shard")));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Shows how far the moves are until all have ended.
    async fn follow(&self, ids: &[String]) -> Result<Vec<Value>, String> {
        let begun = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        let mut shown = usize::MAX;
        loop {
            let answer = self.call(Method::GET, &["moves"], &[], None).await?;
            let known = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            let ours: Vec<&Value> =
                known.iter().filter(|known| ids.iter().any(|id| known["id"] == id.as_str())).collect();
            let (open, ended): (Vec<&Value>, Vec<&Value>) =
                ours.into_iter().partition(|known| matches!(known["state"].as_str(), Some("waiting" | "running")));
            // A move that is not remembered any more ended long ago.
            if open.is_empty() {
                if terminal && shown != usize::MAX {
                    eprintln!();
                }
                return Ok(ended.into_iter().cloned().collect());
            }
            let done = ids.len() - open.len();
            if done != shown {
                shown = done;
                let running = open.iter().filter(|known| known["state"] == "running").count();
                let line = format!("{done} of {} moved, {running} under way", count(ids.len(), "shard"));
                if terminal {
                    eprint!("\r{line}   ");
                } else {
                    eprintln!("{line}");
                }
            }
            if begun.elapsed() > GIVE_UP {
                return Err(format!("{} have not ended; they go on: colloquy ops moves", count(open.len(), "move")));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Value, String> {
        let wrong = |why: &dyn std::fmt::Display| format!("--ops {}: {why}", self.base);
        let mut url = reqwest::Url::parse(&self.base).map_err(|error| wrong(&error))?;
        // Each part is one segment, whatever is in it: an id is never a part of the path's form.
        let form = || wrong(&"must be like http://127.0.0.1:9090");
        url.path_segments_mut().map_err(|()| form())?.pop_if_empty().push("ops").extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request
            .send()
            .await
            .map_err(|error| format!("no answer from the operators' listener at {}: {}", self.base, root(&error)))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| root(&error))?;
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        let detail = value["detail"].as_str().unwrap_or("no further explanation");
        Err(format!("{detail} ({})", value["code"].as_str().map_or_else(|| status.to_string(), str::to_owned)))
    }
}

/// The last cause: what actually went wrong.
fn root(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn print_json(value: &Value) -> Result<(), String> {
    print(&format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default()))
}

/// Prints; a reader that went away (`| head`) is no error.
fn print(text: &str) -> Result<(), String> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.to_string()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Rows under headings, columns aligned; columns without any content are left out.
fn table(columns: Columns, rows: &[Value]) -> String {
    if rows.is_empty() {
        return "none\n".to_owned();
    }
    let cell = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "-" }.to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    let mut lines: Vec<String> = vec![String::new(); rows.len() + 1];
    for (heading, field) in columns {
        let cells: Vec<String> = rows.iter().map(|row| cell(&row[*field])).collect();
        if cells.iter().all(|cell| cell == "-") {
            continue;
        }
        let width = cells.iter().map(|cell| cell.chars().count()).chain([heading.len()]).max().unwrap_or(0);
        for (line, text) in lines.iter_mut().zip(std::iter::once(*heading).chain(cells.iter().map(String::as_str))) {
            line.push_str(text);
            line.extend(std::iter::repeat_n(' ', width - text.chars().count() + 2));
        }
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_leave_empty_columns_out() {
        let rows = [
            json!({ "id": "n1", "state": "alive", "shards": 342, "cordoned": false, "address": "" }),
            json!({ "id": "node-two", "state": "dead", "shards": 0, "cordoned": false, "address": "" }),
        ];
        assert_eq!(
            table(NODES, &rows),
            "NODE      STATE  SHARDS\n\
             n1        alive  342\n\
             node-two  dead   0\n"
        );
        assert_eq!(table(NODES, &[]), "none\n");
    }
}
