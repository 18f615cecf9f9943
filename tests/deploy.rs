//! Proves that what `cluster/deploy` offers operators is true of this code: its files parse, name only metrics, labels and settings that exist, give a
//! node the time that its stop takes, and every alert is explained in the guide.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use support::{root, run};
use yaml_rust2::{Yaml, YamlLoader};

/// Where the metrics' names are.
const TELEMETRY: [&str; 3] = ["cluster/src/telemetry.rs", "actors/src/telemetry.rs", "crates/gateway/src/telemetry.rs"];
/// What every metric begins with.
const PREFIX: &str = "colloquy_";
/// What Prometheus makes of a histogram.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];
/// Labels that Prometheus adds itself, and the one of buckets.
const ADDED: [&str; 3] = ["job", "instance", "le"];
/// What a stop takes after the drain: sockets' goodbyes and closing what is open.
const AFTER_DRAIN_S: i64 = 5;

#[test]
fn dashboard_and_alerts_name_only_metrics_that_exist() {
    let declared = declared();
    assert!(declared.len() > 50, "only {} metrics were found", declared.len());
    let mut wrong = Vec::new();
    for (place, expression) in expressions() {
        let named = metrics_in(&expression);
        if named.is_empty() && !expression.contains("up{") {
            wrong.push(format!("{place} names no metric: {expression}"));
        }
        wrong.extend(
            named
                .iter()
                .filter(|name| !is_declared(&declared, name))
                .map(|name| format!("{place}: there is no {name}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn dashboard_and_alerts_select_by_labels_and_values_that_the_operators_guide_names() {
    let guide = read("docs/guides/operate.md");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (place, expression) in expressions() {
        for (metric, label, value) in selectors(&expression) {
            if ADDED.contains(&&*label) {
                continue;
            }
            seen += 1;
            let row = guide.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{metric}`")));
            let labels = row.and_then(|row| row.split('|').nth(2)).unwrap_or_default();
            for word in [&*label].into_iter().chain(value.split('|')) {
                if !labels.split([' ', ',', '(', ')', '`']).any(|named| named == word)
                    && !labels.contains(&format!("`{word}`"))
                {
                    wrong.push(format!("{place}: {metric} has no {label}=\"{value}\""));
                }
            }
        }
    }
    assert!(seen > 3, "only {seen} selectors were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_cluster_is_watched_by_is_on_the_dashboard() {
    let text = read("cluster/deploy/grafana.json");
    for metric in [
        "colloquy_shard_owned",
        "colloquy_shard_epoch",
        "colloquy_resident_entities",
        "colloquy_queued_commands",
        "colloquy_handoff_seconds",
        "colloquy_stale_routes_total",
        "colloquy_fenced_total",
        "colloquy_beat_age_seconds",
        "colloquy_transport_sessions",
        "colloquy_fanout_up",
        "colloquy_append_seconds",
    ] {
        assert!(text.contains(metric), "{metric} is not on the dashboard");
    }
}

#[test]
fn each_alert_is_explained_in_the_guide_and_each_explanation_has_its_alert() {
    let guide = read("docs/guides/cluster.md");
    let explained: BTreeSet<String> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("### Colloquy"))
        .map(|rest| format!("Colloquy{}", rest.trim()))
        .collect();
    let alerts: BTreeSet<String> = rules().into_iter().map(|rule| string(&rule["alert"])).collect();
    assert!(!alerts.is_empty());
    assert_eq!(explained, alerts);
    for rule in rules() {
        let name = string(&rule["alert"]);
        assert!(["page", "ticket"].contains(&&*string(&rule["labels"]["severity"])), "{name}");
        assert!(!string(&rule["annotations"]["summary"]).is_empty(), "{name}");
        let anchor = format!("docs/guides/cluster.md#{}", name.to_lowercase());
        assert!(string(&rule["annotations"]["guide"]).ends_with(&anchor), "{name} leads to its own explanation");
    }
}

#[test]
fn each_metric_is_explained_in_the_operators_guide() {
    let guide = read("docs/guides/operate.md");
    let missing: Vec<String> = declared().into_iter().filter(|name| !guide.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/guides/operate.md does not explain {}", missing.join(", "));
}

#[test]
fn the_dashboards_panels_have_a_place_a_title_and_a_question_each() {
    let dashboard: Value = serde_json::from_str(&read("cluster/deploy/grafana.json")).expect("JSON");
    assert!(dashboard["schemaVersion"].is_u64() && dashboard["uid"].is_string() && dashboard["title"].is_string());
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    let mut taken = BTreeMap::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id is taken");
        let place = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a place"));
        let [x, y, w, h] = place;
        assert!(w > 0 && h > 0 && x + w <= 24, "{title}: {place:?}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            if let Some(other) = taken.insert(cell, title) {
                panic!("{title} lies on {other}");
            }
        }
        if panel["type"] != "row" {
            assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{title} asks nothing");
        }
    }
}

#[test]
fn the_example_of_a_nodes_settings_is_accepted() {
    let place = tempfile::tempdir().expect("a folder");
    let file = root().join("cluster/deploy/node.toml").display().to_string();
    // Secrets are not in the file.
    let output = run(&["config", "--config", &file], &[("COLLOQUY_SECRETS__KEY", &"5e".repeat(32))], place.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("scylla") && said.contains("node-1"), "{said}");
}

#[test]
fn manifests_set_only_settings_that_exist() {
    let defaults: toml::Table = read("config/colloquy.toml").parse().expect("TOML");
    let mut seen = 0;
    for file in ["compose.yaml", "kubernetes.yaml", "colloquy.service", "Dockerfile"] {
        let text = read(&format!("cluster/deploy/{file}"));
        for name in words(&text).filter_map(|word| word.strip_prefix("COLLOQUY_")).filter(|name| name.contains("__")) {
            seen += 1;
            let path = name.to_lowercase();
            let mut at = Some(&toml::Value::Table(defaults.clone())).cloned();
            for part in path.split("__") {
                at = at.and_then(|value| value.get(part).cloned());
            }
            assert!(at.is_some(), "{file}: COLLOQUY_{name} is no setting");
        }
    }
    assert!(seen > 10, "only {seen} settings were found");
}

#[test]
fn whoever_stops_a_node_leaves_it_the_time_that_takes() {
    let serve = read("crates/server/src/serve.rs");
    let drain = serve.split("DRAIN_WITHIN: Duration = Duration::from_secs(").nth(1).expect("the deadline of the drain");
    let least =
        drain.split(')').next().and_then(|seconds| seconds.parse::<i64>().ok()).expect("seconds") + AFTER_DRAIN_S;
    let unit = read("cluster/deploy/colloquy.service");
    let unit = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).expect("a time");
    assert!(unit.parse::<i64>().expect("seconds") >= least, "systemd kills after {unit} s, a stop takes {least}");
    let compose = yaml("compose.yaml");
    let grace = string(&compose[0]["x-node"]["stop_grace_period"]);
    assert!(grace.trim_end_matches('s').parse::<i64>().expect("seconds") >= least, "compose kills after {grace}");
    let set = yaml("kubernetes.yaml")
        .into_iter()
        .find(|object| object["kind"].as_str() == Some("StatefulSet"))
        .expect("a set");
    let pod = &set["spec"]["template"]["spec"];
    let grace = pod["terminationGracePeriodSeconds"].as_i64().expect("seconds");
    assert!(grace >= least, "Kubernetes kills after {grace} s");
}

#[test]
fn the_manifests_hang_together() {
    let objects = yaml("kubernetes.yaml");
    let of = |kind: &str| objects.iter().filter(|object| object["kind"].as_str() == Some(kind)).collect::<Vec<_>>();
    let set = of("StatefulSet")[0];
    let app = set["spec"]["selector"]["matchLabels"].clone();
    assert_eq!(set["spec"]["template"]["metadata"]["labels"], app);
    let headless = of("Service").into_iter().find(|service| service["metadata"]["name"] == set["spec"]["serviceName"]);
    let headless = headless.expect("the service that gives pods their names");
    assert_eq!(headless["spec"]["clusterIP"].as_str(), Some("None"));
    assert_eq!(headless["spec"]["publishNotReadyAddresses"].as_bool(), Some(true), "a drained node is still a peer");
    for service in of("Service") {
        assert_eq!(service["spec"]["selector"], app);
    }
    assert_eq!(of("PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"], app);
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    for (probe, path) in
        [("readinessProbe", "/health/readyz"), ("livenessProbe", "/health/livez"), ("startupProbe", "/health/livez")]
    {
        assert_eq!(container[probe]["httpGet"]["path"].as_str(), Some(path), "{probe}");
    }
    assert!(!container["lifecycle"]["preStop"]["exec"]["command"].is_badvalue());
}

#[test]
fn each_node_of_the_compose_file_has_settings_that_are_accepted_and_what_it_mounts_and_waits_for_is_there() {
    let compose = &yaml("compose.yaml")[0];
    let (services, volumes) = (compose["services"].as_hash().expect("services"), &compose["volumes"]);
    let nodes = services.iter().filter(|(name, _)| string(name).starts_with("node-"));
    let mut taken = BTreeSet::new();
    for (name, node) in nodes {
        let name = string(name);
        let mut settings = environment(&compose["x-settings"]);
        settings.extend(environment(&node["environment"]));
        assert_eq!(settings["COLLOQUY_CLUSTER__NODE_ID"], name);
        assert_eq!(settings["COLLOQUY_CLUSTER__ADVERTISE"], format!("{name}:7400"), "the others find it by its name");
        assert_eq!(node["hostname"].as_str(), Some(&*name));
        let place = tempfile::tempdir().expect("a folder");
        let set: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
        let output = run(&["config"], &set, place.path());
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let mounted: Vec<String> = node["volumes"].as_vec().expect("volumes").iter().map(string).collect();
        for volume in &mounted {
            let source = volume.split(':').next().unwrap_or_default();
            let certificate = source.strip_prefix("./certificates/").is_some();
            assert!(certificate || !volumes[source].is_badvalue(), "{name}: there is no volume {source}");
        }
        // Every file that is named in the settings is mounted, and every folder that is written is a volume.
        for (key, path) in settings.iter().filter(|(_, value)| value.starts_with('/')) {
            let inside = |volume: &String| volume.split(':').nth(1).is_some_and(|target| path.starts_with(target));
            assert!(mounted.iter().any(inside), "{name}: {key} is {path}, and nothing is mounted there");
        }
        for port in node["ports"].as_vec().expect("ports").iter().map(string) {
            let (outside, inside) = port.rsplit_once(':').expect("two ports");
            assert!(taken.insert(outside.to_owned()), "{name}: {outside} is taken");
            let listens = ["COLLOQUY_HTTP__LISTEN", "COLLOQUY_OPS__LISTEN"];
            assert!(listens.iter().any(|key| settings[*key].ends_with(&format!(":{inside}"))), "{name}: {port}");
        }
    }
    assert!(taken.len() >= 6, "three nodes with two listeners each: {taken:?}");
    let common = &compose["x-node"];
    for (name, service) in
        services.iter().map(|(name, service)| (string(name), service)).chain([("x-node".into(), common)])
    {
        for awaited in service["depends_on"].as_hash().into_iter().flatten().map(|(name, _)| name) {
            let service = services.get(awaited).unwrap_or_else(|| panic!("{name} waits for {awaited:?}"));
            // The servers' own health is in what they have in common.
            let checked = !service["healthcheck"].is_badvalue() || !compose["x-scylla"]["healthcheck"].is_badvalue();
            assert!(checked, "{name} waits for the health of {awaited:?}, which nobody asks");
        }
    }
}

#[test]
fn the_image_is_built_of_files_and_versions_that_the_project_has_and_starts_the_server() {
    let text = read("cluster/deploy/Dockerfile");
    let steps: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).collect();
    let mut stages = BTreeSet::new();
    for step in &steps {
        let words: Vec<&str> = step.split_whitespace().collect();
        match words[..] {
            ["FROM", _, "AS", stage] => assert!(stages.insert(stage), "two stages are called {stage}"),
            ["COPY", from, ..] if from.starts_with("--from=") => {
                assert!(stages.contains(from.trim_start_matches("--from=")), "no stage before it: {step}");
            }
            ["COPY", ref sources @ .., _] => {
                for source in sources {
                    assert!(root().join(source).exists(), "{step}: there is no {source}");
                }
            }
            _ => {}
        }
    }
    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let rust = manifest["workspace"]["package"]["rust-version"].as_str().expect("a version");
    assert!(text.contains(&format!("FROM rust:{rust}-")), "the project needs Rust {rust}");
    let least = read("scripts/lib.sh");
    let least = least.split("-ge ").nth(1).and_then(|rest| rest.split(' ').next()).expect("the least Node.js");
    let node = text.split("FROM node:").nth(1).and_then(|rest| rest.split('-').next()).expect("a version");
    assert!(node.parse::<u32>().expect("a number") >= least.parse().expect("a number"), "Node.js {node} < {least}");
    let server: toml::Table = read("crates/server/Cargo.toml").parse().expect("TOML");
    let package = server["package"]["name"].as_str().expect("a name");
    assert!(text.contains(&format!("cargo build --release --locked -p {package}")));
    let program = server["bin"][0]["name"].as_str().expect("a program");
    assert!(text.contains(&format!("target/release/{program} ")), "no {program} is copied");
    assert!(steps.contains(&&*format!("ENTRYPOINT [\"{program}\"]")) && steps.contains(&"CMD [\"serve\"]"));
    for script in words_with(&text, |c| c.is_ascii_alphanumeric() || "/-_.".contains(c))
        .filter(|word| word.starts_with("scripts/"))
    {
        assert!(root().join(script).is_file(), "there is no {script}");
    }
    // What is built on this machine, and what must stay secret, is not sent to the builder.
    let left_out = read("cluster/deploy/Dockerfile.dockerignore");
    for folder in ["target", "data", ".git", "**/node_modules", "cluster/deploy/certificates", "cluster/deploy/.env"] {
        assert!(left_out.lines().any(|line| line == folder), "{folder} goes into the image's context");
    }
}

/// Names and values, with what the shell is to fill in filled in.
fn environment(of: &Yaml) -> BTreeMap<String, String> {
    let pairs = of.as_hash().into_iter().flatten().filter(|(name, _)| name.as_str() != Some("<<"));
    let filled = |value: String| match value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        Some(variable) => match variable.split_once(":-") {
            Some((_, default)) => default.to_owned(),
            None => "5e".repeat(32),
        },
        None => value,
    };
    pairs.map(|(name, value)| (string(name), filled(string(value)))).collect()
}

/// Every rule of alerts.yaml.
fn rules() -> Vec<Yaml> {
    let file = yaml("alerts.yaml");
    let groups = file[0]["groups"].as_vec().expect("groups").clone();
    groups.iter().flat_map(|group| group["rules"].as_vec().expect("rules").clone()).collect()
}

/// Every question to Prometheus with where it stands.
fn expressions() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = rules()
        .iter()
        .map(|rule| (format!("alerts.yaml, {}", string(&rule["alert"])), string(&rule["expr"])))
        .collect();
    let dashboard: Value = serde_json::from_str(&read("cluster/deploy/grafana.json")).expect("JSON");
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let place = format!("grafana.json, {}", panel["title"]);
            all.push((place, target["expr"].as_str().expect("an expression").to_owned()));
        }
    }
    assert!(all.len() > 20, "only {} expressions were found", all.len());
    all
}

/// The names of all metrics.
fn declared() -> BTreeSet<String> {
    let texts: String = TELEMETRY.iter().map(|file| read(file)).collect();
    texts
        .lines()
        .filter(|line| line.contains("const ") && line.contains(": &str = \""))
        .filter_map(|line| line.split('"').nth(1))
        .filter(|name| name.starts_with(PREFIX))
        .map(str::to_owned)
        .collect()
}

fn is_declared(declared: &BTreeSet<String>, name: &str) -> bool {
    declared.contains(name)
        || PARTS.iter().any(|part| {
            name.strip_suffix(part).is_some_and(|base| base.ends_with("_seconds") || base.ends_with("_commands"))
                && name.strip_suffix(part).is_some_and(|base| declared.contains(base))
        })
}

fn metrics_in(expression: &str) -> BTreeSet<String> {
    words(expression).filter(|word| word.starts_with(PREFIX)).map(str::to_owned).collect()
}

/// Runs of letters, digits and underscores.
fn words(text: &str) -> impl Iterator<Item = &str> {
    words_with(text, |c| c.is_ascii_alphanumeric() || c == '_')
}

/// Runs of characters that belong to a word.
fn words_with(text: &str, belongs: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |c: char| !belongs(c)).filter(|word| !word.is_empty())
}

/// Metric, label and value of each `metric{label="value"}` and `metric{label=~"value"}`.
fn selectors(expression: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for (before, inside) in expression.split('}').filter_map(|part| part.rsplit_once('{')) {
        let metric = words(before).last().unwrap_or_default();
        for pair in inside.split('"').collect::<Vec<_>>().chunks_exact(2) {
            let label = words(pair[0]).last().unwrap_or_default();
            found.push((metric.to_owned(), label.to_owned(), pair[1].to_owned()));
        }
    }
    found
}

fn yaml(file: &str) -> Vec<Yaml> {
    let path = format!("cluster/deploy/{file}");
    YamlLoader::load_from_str(&read(&path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn string(value: &Yaml) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value:?}")).to_owned()
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}
