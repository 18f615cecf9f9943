//! Proves the rules of the code base that no compiler checks: who may depend on whom, how files begin, what never appears in them, that
//! `ARCHITECTURE.md` and the folders agree, that generated files are fresh, and that scripts can be run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Who may depend on whom, for normal and build dependencies. `colloquy-server` may depend on all.
const ARROWS: [(&str, &[&str]); 12] = [
    ("gateway", &["actors", "wire", "telephony"]),
    ("loadtest", &["wire", "telephony"]),
    ("actors", &["cluster", "domain", "knowledge", "models", "telephony", "connectors"]),
    ("cluster", &["store"]),
    ("knowledge", &["domain"]),
    ("models", &["domain"]),
    ("carrier", &["telephony"]),
    ("telephony", &["domain"]),
    ("connectors", &["domain"]),
    ("wire", &["domain"]),
    ("domain", &[]),
    ("store", &[]),
];
/// How our packages are called.
const PREFIX: &str = "colloquy-";
/// Above this nobody reads a file as a whole.
const LINES_MAX: usize = 800;
/// What no Rust file may contain; split here so that this file does not.
const BANNED: [&str; 5] = [
    concat!("#[", "allow("),
    concat!("#![", "allow("),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("db", "g!("),
];
/// Folders that tools fill and nobody writes.
const MADE: [&str; 4] = ["target", "node_modules", "dist", "data"];
/// Where the TypeScript of the contract is kept.
const GENERATED: &str = "web/generated";
/// Read by other scripts, never run.
const LIBRARY: &str = "lib.sh";

#[test]
fn dependencies_only_follow_the_arrows() {
    let output =
        cargo().args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    assert!(
        metadata["packages"].as_array().is_some_and(|packages| packages.len() > 5),
        "the workspace has its packages"
    );
    nothing_wrong(&wrong_arrows(&metadata));
}

#[test]
fn a_wrong_arrow_is_found() {
    let package = |name: &str, on: &str, kind: Value| serde_json::json!({ "name": name, "dependencies": [{ "name": on, "kind": kind }, { "name": "serde", "kind": null }] });
    let metadata = serde_json::json!({ "packages": [
        package("colloquy-domain", "colloquy-store", Value::Null),
        package("colloquy-cluster", "colloquy-domain", "build".into()),
        package("colloquy-unheard-of", "colloquy-domain", Value::Null),
        package("colloquy-store", "colloquy-cluster", "dev".into()),
        package("colloquy-gateway", "colloquy-actors", Value::Null),
        package("colloquy-server", "colloquy-store", Value::Null),
    ] });
    assert_eq!(wrong_arrows(&metadata).len(), 3, "{:?}", wrong_arrows(&metadata));
}

#[test]
fn rust_files_open_with_what_they_own_and_keep_to_the_rules() {
    let files = files_below(&root(), "rs");
    assert!(files.len() > 100, "only {} Rust files were found", files.len());
    let wrong: Vec<String> = files
        .iter()
        .flat_map(|file| wrong_in(&shown(file), &fs::read_to_string(file).expect("a Rust file is text")))
        .collect();
    nothing_wrong(&wrong);
}

#[test]
fn each_rule_for_rust_files_is_checked() {
    let good = "//! Owns nothing.\n\nfn main() {}\n";
    assert!(wrong_in("a.rs", good).is_empty());
    assert_eq!(wrong_in("a.rs", "fn main() {}\n").len(), 1);
    for banned in BANNED {
        assert_eq!(wrong_in("a.rs", &format!("{good}{banned}\n")).len(), 1, "{banned}");
    }
    assert_eq!(wrong_in("a.rs", &format!("{good}{}", "\n".repeat(LINES_MAX))).len(), 1);
}

#[test]
fn the_architecture_page_and_the_folders_agree() {
    let page = root().join("ARCHITECTURE.md");
    let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let named = folders_named(&text);
    let mut wrong: Vec<String> = named
        .iter()
        .filter(|folder| !root().join(folder).is_dir())
        .map(|folder| format!("ARCHITECTURE.md names {folder}/, which does not exist"))
        .collect();
    for folder in top_level_folders() {
        if !named.contains(&folder) {
            wrong.push(format!("ARCHITECTURE.md does not name {folder}/"));
        }
    }
    nothing_wrong(&wrong);
}

#[test]
fn folders_are_found_in_trees_and_in_running_text() {
    let text = "```\nactors/      one file per actor\ncluster/     a runtime\n  deploy/    manifests\n```\nSee `crates/domain/` and `docs/adr/0001-x.md`, not https://a.example/b/ or and/or.";
    let named: BTreeSet<String> = ["actors", "cluster", "cluster/deploy", "crates/domain"].map(str::to_owned).into();
    assert_eq!(folders_named(text), named);
}

#[test]
fn generated_files_are_what_the_contract_generates() {
    let fresh = tempfile::tempdir().expect("a temporary folder");
    let output = cargo()
        .args(["test", "--quiet", "--locked", "--package", "colloquy-wire", "--lib", "export_bindings"])
        .env("TS_RS_EXPORT_DIR", fresh.path())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (kept, made) = (texts(&root().join(GENERATED)), texts(fresh.path()));
    assert!(!made.is_empty(), "the contract generates nothing");
    let names: BTreeSet<&String> = kept.keys().chain(made.keys()).collect();
    let stale: Vec<String> = names
        .into_iter()
        .filter(|name| kept.get(*name) != made.get(*name))
        .map(|name| format!("{GENERATED}/{name} is stale: run `cargo test -p colloquy-wire` and commit what it writes"))
        .collect();
    nothing_wrong(&stale);
}

#[test]
fn scripts_can_be_run() {
    let mut wrong = Vec::new();
    for file in files_below(&root().join("scripts"), "sh").into_iter().chain([root().join(".ci/run")]) {
        let runs =
            fs::metadata(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())).permissions().mode()
                & 0o111
                != 0;
        let library = file.file_name().is_some_and(|name| name == LIBRARY);
        if runs == library {
            wrong.push(format!(
                "{} {}",
                shown(&file),
                if library { "is only read by others and must not be executable" } else { "is not executable" }
            ));
        }
    }
    nothing_wrong(&wrong);
}

/// Every dependency between our packages that the arrows do not allow.
fn wrong_arrows(metadata: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let Some(from) = ours(package) else { continue };
        if from == "server" {
            continue;
        }
        let allowed = ARROWS.iter().find(|(name, _)| *name == from).map(|(_, allowed)| *allowed);
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(to) = ours(dependency) else { continue };
            let for_tests = dependency["kind"] == "dev";
            if !for_tests && !allowed.is_some_and(|allowed| allowed.contains(&to)) {
                wrong.push(format!("{from} may not depend on {to}"));
            }
        }
    }
    wrong
}

fn ours(named: &Value) -> Option<&str> {
    named["name"].as_str()?.strip_prefix(PREFIX)
}

/// What is wrong with one Rust file.
fn wrong_in(name: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !text.starts_with("//! ") {
        wrong.push(format!("{name}: does not open with a `//!` sentence that says what it owns"));
    }
    for (number, line) in text.lines().enumerate() {
        for banned in BANNED {
            if line.contains(banned) {
                wrong.push(format!("{name}:{}: contains `{banned}`", number + 1));
            }
        }
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        wrong.push(format!("{name}: has {lines} lines, more than {LINES_MAX}"));
    }
    wrong
}

/// The folders a page names: as a line of a tree (`name/  what it is`, indented below its parent), or in backticks.
fn folders_named(text: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut fenced = false;
    let mut parents: Vec<(usize, String)> = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
            parents.clear();
        } else if fenced {
            let indent = line.len() - line.trim_start().len();
            let Some(folder) = line.split_whitespace().next().and_then(folder) else {
                continue;
            };
            parents.retain(|(parent, _)| *parent < indent);
            let whole = parents.last().map_or_else(|| folder.clone(), |(_, parent)| format!("{parent}/{folder}"));
            parents.push((indent, whole.clone()));
            named.insert(whole);
        } else {
            named.extend(line.split('`').skip(1).step_by(2).filter_map(folder));
        }
    }
    named
}

/// `crates/domain/` → `crates/domain`; anything that is not just a relative folder is none.
fn folder(word: &str) -> Option<String> {
    let name = word.strip_suffix('/')?;
    let plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
    };
    name.split('/').all(plain).then(|| name.to_owned())
}

fn top_level_folders() -> BTreeSet<String> {
    let entries = fs::read_dir(root()).expect("the checkout");
    let folders = entries.map(|entry| entry.expect("readable")).filter(|entry| entry.path().is_dir());
    folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !MADE.contains(&name.as_str()))
        .collect()
}

/// Files with this ending that people write.
fn files_below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("readable").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && !MADE.contains(&name.as_str()) {
                files.extend(files_below(&path, ending));
            }
        } else if path.extension().is_some_and(|extension| extension == ending) {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The files of a folder by name.
fn texts(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("readable").path());
    let named =
        |path: PathBuf| Some((path.file_name()?.to_string_lossy().into_owned(), fs::read_to_string(path).ok()?));
    paths.filter_map(named).collect()
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

#[track_caller]
fn nothing_wrong(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout")
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}
