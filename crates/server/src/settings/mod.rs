//! Settings: read from the defaults, a file and the environment; what is in force, with secrets masked.

mod check;
mod sections;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::{Deserialize, Serialize};

pub(crate) use self::sections::*;

/// The defaults, with a comment on every key.
pub(crate) const DEFAULTS: &str = include_str!("../../../../config/colloquy.toml");

/// The environment variables that are settings start with this.
const ENV_PREFIX: &str = "COLLOQUY_";

/// Everything an operator may set.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The public listener.
    pub(crate) http: Http,
    /// The operators' listener.
    pub(crate) ops: Ops,
    /// Where data lives.
    pub(crate) data: Data,
    /// Which store.
    pub(crate) store: StoreSettings,
    /// The installation's secret.
    pub(crate) secrets: Secrets,
    /// What nodes share.
    pub(crate) redis: RedisSettings,
    /// This node in its cluster.
    pub(crate) cluster: Cluster,
    /// Addresses the outside knows.
    pub(crate) public: Public,
    /// Language models.
    pub(crate) models: Models,
    /// Embedders.
    pub(crate) embeddings: Embeddings,
    /// The crawler.
    pub(crate) crawl: Crawl,
    /// Plans.
    pub(crate) plans: Plans,
    /// Tenants.
    pub(crate) tenancy: Tenancy,
    /// Platform administrators.
    pub(crate) platform: Platform,
    /// The live agent of the landing page.
    pub(crate) demo: Demo,
    /// Who runs this installation.
    pub(crate) legal: Legal,
    /// Providers of messages.
    pub(crate) messages: Messages,
    /// Calls: how fast, how many, what they cost.
    pub(crate) voice: Voice,
    /// Outgoing mail.
    pub(crate) mail: Mail,
    /// Manual triggers.
    pub(crate) cron: Cron,
    /// Logs.
    pub(crate) log: Log,
    /// Limits.
    pub(crate) limits: Limits,
}
/// Settings that cannot be used, named one by one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SettingsError(pub String);

impl Settings {
    /// Whether there is a demonstration: an installation for one organization has no place for a second one.
    pub(crate) fn has_demo(&self) -> bool {
        self.demo.enabled && self.tenancy.mode == TenancyMode::MultiTenant
    }

    /// Reads defaults, then `file`, then the environment; checks everything.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        let mut figment = Figment::from(Toml::string(DEFAULTS));
        if let Some(file) = file {
            if !file.is_file() {
                return Err(SettingsError(format!("settings file {} does not exist", file.display())));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        // Only names with a section are settings: COLLOQUY_BIN and the like belong to scripts.
        let environment = Env::prefixed(ENV_PREFIX).filter(|key| key.as_str().contains("__")).split("__");
        let mut settings: Self = figment.merge(environment).extract().map_err(|error| {
            let all: Vec<String> = error
                .into_iter()
                .map(|one| {
                    let key = one.path.join(".");
                    let place = one.metadata.as_ref().map(place).unwrap_or_default();
                    format!(
                        "settings: {}{}{}",
                        one.kind,
                        if key.is_empty() { String::new() } else { format!(" at `{key}`") },
                        if place.is_empty() { String::new() } else { format!(" in {place}") }
                    )
                })
                .collect();
            SettingsError(all.join("\n"))
        })?;
        if settings.public.url.is_empty() {
            settings.public.url = crate::program::reached_at(settings.http.listen);
        }
        settings.check()?;
        Ok(settings)
    }

    /// The address where embed codes point.
    pub(crate) fn widget_url(&self) -> &str {
        first_set(&self.public.widget_url, &self.public.url)
    }

    /// The address where API calls go.
    pub(crate) fn api_url(&self) -> &str {
        first_set(&self.public.api_url, &self.public.url)
    }

    /// The effective settings as TOML, secrets masked.
    pub(crate) fn masked(&self) -> String {
        let mut copy = self.clone();
        for secret in [
            &mut copy.ops.token,
            &mut copy.secrets.key,
            &mut copy.store.password,
            &mut copy.data.s3.secret_key,
            &mut copy.models.openai.api_key,
            &mut copy.voice.elevenlabs.api_key,
            &mut copy.voice.deepgram.api_key,
            &mut copy.voice.openai.api_key,
            &mut copy.mail.smtp.password,
            &mut copy.cron.secret,
        ] {
            if !secret.is_empty() {
                *secret = "********".into();
            }
        }
        copy.redis.url = without_password(&copy.redis.url);
        toml::to_string_pretty(&copy).unwrap_or_else(|error| error.to_string())
    }

    /// Where other nodes reach this one; `None` on a single node.
    pub(crate) fn cluster_listen(&self) -> Option<SocketAddr> {
        self.cluster.listen.parse().ok()
    }

    /// Where others are found whatever they say themselves: node and `host:port`.
    pub(crate) fn peers(&self) -> BTreeMap<String, String> {
        let pair =
            |text: &String| text.split_once('=').map(|(id, place)| (id.trim().to_owned(), place.trim().to_owned()));
        self.cluster.peers.iter().filter_map(pair).collect()
    }
}

/// A URL with `********` in the place of its password.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((login, place)) => {
            let user = login.split_once(':').map_or("", |(user, _)| user);
            format!("{scheme}://{user}:********@{place}")
        }
        None => url.to_owned(),
    }
}

/// Where a value comes from: the file by name, else the kind of source.
fn place(metadata: &figment::Metadata) -> String {
    match &metadata.source {
        Some(source) => source.to_string(),
        None => metadata.name.to_string(),
    }
}

fn first_set<'a>(first: &'a str, second: &'a str) -> &'a str {
    if first.is_empty() { second } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Settings, SettingsError> {
        let folder = std::env::temp_dir().join(format!("colloquy-settings-{}", uuid_like(text)));
        std::fs::write(&folder, text).unwrap();
        let loaded = Settings::load(Some(&folder));
        std::fs::remove_file(&folder).unwrap();
        loaded
    }

    fn uuid_like(text: &str) -> String {
        blake3::hash(text.as_bytes()).to_hex()[..16].to_owned() + &std::process::id().to_string()
    }

    #[test]
    fn the_shipped_file_is_complete_and_valid() {
        let settings = Settings::load(None).unwrap();
        assert_eq!(settings.http.listen.port(), 8080);
        assert_eq!(settings.cluster.shards, 1024);
    }

    #[test]
    fn every_key_of_the_shipped_file_has_a_comment() {
        let mut commented = false;
        let mut sections = 0;
        for line in DEFAULTS.lines() {
            let line = line.trim();
            if line.starts_with('[') {
                sections += 1;
            }
            if let Some((key, _)) = line.split_once(" = ")
                && !line.starts_with('#')
            {
                let plain = ["host", "username", "password", "port"].contains(&key);
                assert!(commented || plain, "`{key}` has no comment above it");
            }
            commented = line.starts_with('#');
        }
        assert!(sections > 10);
    }

    #[test]
    fn the_public_address_follows_the_listener_unless_it_is_set() {
        let url = |text: &str| load(text).unwrap().public.url;
        assert_eq!(Settings::load(None).unwrap().public.url, "http://127.0.0.1:8080");
        assert_eq!(url("[http]\nlisten = \"127.0.0.1:8090\"\n"), "http://127.0.0.1:8090");
        assert_eq!(url("[http]\nlisten = \"0.0.0.0:8091\"\n"), "http://127.0.0.1:8091");
        let set = "[http]\nlisten = \"127.0.0.1:8092\"\n[public]\nurl = \"https://chat.example.com\"\n";
        assert_eq!(url(set), "https://chat.example.com");
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = load("[http]\nlisten = \"127.0.0.1:1\"\nlissten = 1\n").unwrap_err().to_string();
        assert!(error.contains("lissten"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_key() {
        let error = load("[public]\nurl = \"example.com\"\n").unwrap_err().to_string();
        assert!(error.contains("public.url") && error.contains("example.com"), "{error}");
        let error = load("[http]\nlisten = \"nowhere\"\n").unwrap_err().to_string();
        assert!(error.contains("http.listen"), "{error}");
    }

    #[test]
    fn a_cluster_that_cannot_work_is_refused_with_every_reason() {
        let error =
            load("[cluster]\nlisten = \"10.0.0.1\"\npeers = [\"node-2\"]\ntls_key = \"key.pem\"\n").unwrap_err();
        let error = error.to_string();
        for reason in ["10.0.0.1:7400", "`store.kind`", "`secrets.key`", "not `node-2`", "belong together"] {
            assert!(error.contains(reason), "{reason}: {error}");
        }
        let good = format!(
            "[cluster]\nlisten = \"127.0.0.1:7400\"\npeers = [\"node-2 = b.internal:7400\"]\n[store]\nkind = \"scylla\"\n\
             nodes = [\"127.0.0.1:9042\"]\n[secrets]\nkey = \"{}\"\n[redis]\nurl = \"redis://:s3cret@127.0.0.1:6379\"\n",
            "ab".repeat(32)
        );
        let settings = load(&good).unwrap();
        assert_eq!(settings.peers()["node-2"], "b.internal:7400");
        let shown = settings.masked();
        assert!(!shown.contains("s3cret") && shown.contains("redis://:********@127.0.0.1:6379"), "{shown}");
    }

    #[test]
    fn blobs_in_a_bucket_need_an_address_and_whole_keys() {
        let s3 = "access_key = \"key\"\nsecret_key = \"hush\"\nendpoint = \"https://minio.internal:9000\"\n";
        let settings = load(&format!("[data]\nblobs = \"s3://blobs/one\"\n[data.s3]\n{s3}")).unwrap();
        assert!(!settings.masked().contains("hush"));
        for (text, reason) in [
            ("[data]\nblobs = \"s3://B/x\"\n", "`data.blobs`"),
            ("[data]\nblobs = \"gs://blobs\"\n", "not `gs://blobs`"),
            ("[data.s3]\nendpoint = \"minio:9000\"\n", "`data.s3.endpoint`"),
            ("[data.s3]\naccess_key = \"key\"\n", "belong together"),
            ("[store]\nusername = \"colloquy\"\n", "`store.password`"),
            ("[store]\ntls_certificate = \"node.pem\"\n", "`store.tls_key`"),
            ("[store]\ntls_certificate = \"node.pem\"\ntls_key = \"node.key\"\n", "`store.tls_authority`"),
        ] {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn secrets_are_masked() {
        let settings =
            load(&format!("[secrets]\nkey = \"{}\"\n[cron]\nsecret = \"tell-nobody\"\n", "ab".repeat(32))).unwrap();
        let shown = settings.masked();
        assert!(!shown.contains("tell-nobody") && !shown.contains("abab"), "{shown}");
    }
}
