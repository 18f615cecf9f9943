//! Settings: one struct per section of `config/colloquy.toml`, each of which checks itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use colloquy_gateway::proxies::Proxies;
use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::{Deserialize, Serialize};

/// The defaults, with a comment on every key.
pub(crate) const DEFAULTS: &str = include_str!("../../../config/colloquy.toml");

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
    /// Outgoing mail.
    pub(crate) mail: Mail,
    /// Manual triggers.
    pub(crate) cron: Cron,
    /// Logs.
    pub(crate) log: Log,
    /// Limits.
    pub(crate) limits: Limits,
}

/// `[http]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    /// Address and port.
    pub(crate) listen: SocketAddr,
    /// Networks and addresses of proxies whose forwarding headers are believed.
    pub(crate) trusted_proxies: Vec<String>,
}

/// `[ops]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ops {
    /// Address and port.
    pub(crate) listen: SocketAddr,
    /// Bearer token; generated when empty.
    pub(crate) token: String,
}

/// `[data]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    /// The folder.
    pub(crate) dir: PathBuf,
    /// Uploads and indices; `blobs` in the folder when empty.
    pub(crate) blobs: String,
}

/// `[store]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreSettings {
    /// Which adapter.
    pub(crate) kind: StoreKind,
    /// CQL servers.
    pub(crate) nodes: Vec<String>,
    /// The keyspace.
    pub(crate) keyspace: String,
    /// The data centre that holds the copies.
    pub(crate) datacenter: String,
    /// Copies of a new keyspace.
    pub(crate) replication: u8,
    /// The role; none when empty.
    pub(crate) username: String,
    /// Its password.
    pub(crate) password: String,
    /// The authority of the servers' certificates; no TLS when empty.
    pub(crate) tls_authority: String,
    /// Open although the write-ahead log is damaged.
    pub(crate) accept_damaged_log: bool,
}

/// Which store adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StoreKind {
    /// One file in `data.dir`.
    Sqlite,
    /// ScyllaDB or Apache Cassandra.
    Scylla,
}

/// `[secrets]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secrets {
    /// 32 bytes as 64 hexadecimal digits; generated when empty.
    pub(crate) key: String,
}

/// `[redis]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedisSettings {
    /// The server; none when empty.
    pub(crate) url: String,
}

/// `[cluster]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cluster {
    /// This node's name.
    pub(crate) node_id: String,
    /// Where others reach it; a single node when empty.
    pub(crate) listen: String,
    /// What it tells the others instead.
    pub(crate) advertise: String,
    /// Other nodes' addresses, `id=host:port`.
    pub(crate) peers: Vec<String>,
    /// The authority of the nodes' certificates.
    pub(crate) tls_authority: String,
    /// This node's certificate.
    pub(crate) tls_certificate: String,
    /// Its key.
    pub(crate) tls_key: String,
    /// Whether to go without TLS on addresses that others can reach.
    pub(crate) plain_text: bool,
    /// The cluster's name.
    pub(crate) name: String,
    /// How many shards.
    pub(crate) shards: u32,
}

/// `[public]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Public {
    /// Console and links in mails.
    pub(crate) url: String,
    /// Embed codes; `url` when empty.
    pub(crate) widget_url: String,
    /// API and callbacks; `url` when empty.
    pub(crate) api_url: String,
}

/// `[models]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Models {
    /// Catalog id of the default model.
    pub(crate) default: String,
    /// Catalog id of the model asked when the first fails; empty for none.
    pub(crate) fallback: String,
    /// The provider.
    pub(crate) openai: OpenAi,
}

/// `[models.openai]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenAi {
    /// The endpoint up to and including `/v1`.
    pub(crate) base_url: String,
    /// Its key; empty for the built-in responder.
    pub(crate) api_key: String,
}

/// `[embeddings]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Embeddings {
    /// Which embedder.
    pub(crate) kind: EmbedderKind,
    /// Folder of the local weights; the user's cache folder when empty.
    pub(crate) local_path: String,
}

/// Which embedder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EmbedderKind {
    /// The best that is there.
    Auto,
    /// `text-embedding-3-small`.
    Openai,
    /// all-MiniLM-L6-v2 in process.
    Local,
    /// No vectors.
    Keyword,
}

/// `[crawl]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Crawl {
    /// Whether private addresses may be fetched.
    pub(crate) allow_private: bool,
    /// Pages of one source.
    pub(crate) pages_max: u32,
    /// Bytes of one page.
    pub(crate) page_bytes_max: usize,
    /// Bytes of one crawl.
    pub(crate) total_bytes_max: usize,
    /// Links away from the start.
    pub(crate) depth_max: u32,
    /// Seconds of one request.
    pub(crate) request_timeout_s: u64,
    /// Seconds of one crawl.
    pub(crate) total_timeout_s: u64,
    /// Requests at a time.
    pub(crate) concurrency: usize,
}

/// `[plans]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plans {
    /// The plan of new organizations.
    pub(crate) default: PlanName,
}

/// The plans that exist before billing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PlanName {
    /// No limits.
    Unlimited,
    /// The limits of a trial.
    Trial,
}

/// `[tenancy]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tenancy {
    /// One or many.
    pub(crate) mode: TenancyMode,
    /// The slug of the only one.
    pub(crate) default_slug: String,
}

/// One organization or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TenancyMode {
    /// Sign-up closes with the first.
    SingleTenant,
    /// Anybody may sign up.
    MultiTenant,
}

/// `[platform]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Platform {
    /// Addresses of administrators.
    pub(crate) admin_emails: Vec<String>,
}

/// `[mail]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mail {
    /// Which sender.
    pub(crate) kind: MailKind,
    /// From whom.
    pub(crate) from: String,
    /// The server of `smtp`.
    pub(crate) smtp: Smtp,
}

/// Which mail sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MailKind {
    /// Kept in memory, for development.
    Mailbox,
    /// A mail server.
    Smtp,
}

/// `[mail.smtp]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Smtp {
    /// Host name.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// User; none when empty.
    pub(crate) username: String,
    /// Password.
    pub(crate) password: String,
    /// How the connection is protected.
    pub(crate) security: SmtpSecurity,
}

/// How a mail connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SmtpSecurity {
    /// Upgraded after the greeting; required.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// In the clear: for a relay on the same machine.
    None,
}

/// `[demo]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Demo {
    /// Whether the landing page has one.
    pub(crate) enabled: bool,
    /// Messages and requests an hour from one address.
    pub(crate) per_address_per_hour: u32,
}

/// `[legal]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Legal {
    /// Name and address, on one line; left out of the pages when empty.
    pub(crate) operator: String,
    /// An e-mail address or a website.
    pub(crate) contact: String,
}

/// `[cron]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cron {
    /// The shared secret; off when empty.
    pub(crate) secret: String,
}

/// `[log]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    /// A `tracing` filter.
    pub(crate) filter: String,
    /// Text or JSON lines.
    pub(crate) format: LogFormat,
}

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `[limits]`: see the comments in `config/colloquy.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) chat_per_visitor_per_minute: u32,
    pub(crate) chat_per_address_per_minute: u32,
    pub(crate) login_per_address_per_minute: u32,
    pub(crate) login_per_email_per_minute: u32,
    pub(crate) api_per_principal_per_minute: u32,
    pub(crate) body_bytes_max: usize,
    pub(crate) upload_bytes_max: usize,
    pub(crate) message_chars_max: usize,
    pub(crate) sockets_per_visitor: u32,
    pub(crate) sockets_per_address: u32,
    pub(crate) sockets_max: u32,
    pub(crate) request_timeout_s: u64,
    pub(crate) resident_entities_max: usize,
    pub(crate) index_cache_mb: usize,
    pub(crate) model_calls_max: usize,
    pub(crate) crawls_max: usize,
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
            &mut copy.models.openai.api_key,
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

    fn check_cluster(&self, need: &mut impl FnMut(bool, String)) {
        let (store, cluster) = (&self.store, &self.cluster);
        let place = |text: &str| {
            text.rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
        };
        let example = "such as 10.0.0.1:7400";
        let (scylla, several) = (store.kind == StoreKind::Scylla, !cluster.listen.is_empty());
        need(
            !scylla || !store.nodes.is_empty(),
            "`store.nodes` must name a CQL server, such as [\"127.0.0.1:9042\"], when `store.kind` is scylla".into(),
        );
        for node in &store.nodes {
            need(place(node), format!("`store.nodes` must hold \"host:port\", not `{node}`"));
        }
        need(
            (1..=9).contains(&store.replication),
            format!("`store.replication` must be 1 to 9, not {}", store.replication),
        );
        need(
            !several || self.cluster_listen().is_some(),
            format!("`cluster.listen` must be an address and port {example}, not `{}`", cluster.listen),
        );
        need(
            !several || scylla,
            "`cluster.listen` needs `store.kind` = \"scylla\": nodes share one journal, and a SQLite file has one owner".into(),
        );
        need(
            !several || !self.secrets.key.is_empty(),
            "`secrets.key` must be set, the same on every node, when `cluster.listen` is: for example from `openssl rand -hex 32`".into(),
        );
        need(
            cluster.advertise.is_empty() || place(&cluster.advertise),
            format!("`cluster.advertise` must be \"host:port\" {example}, not `{}`", cluster.advertise),
        );
        for peer in &cluster.peers {
            let good = peer.split_once('=').is_some_and(|(id, at)| !id.trim().is_empty() && place(at.trim()));
            need(good, format!("`cluster.peers` must hold \"node=host:port\", not `{peer}`"));
        }
        let files = [&cluster.tls_authority, &cluster.tls_certificate, &cluster.tls_key];
        let set = files.iter().filter(|file| !file.is_empty()).count();
        need(
            set == 0 || set == files.len(),
            "`cluster.tls_authority`, `cluster.tls_certificate` and `cluster.tls_key` belong together: set all or none"
                .into(),
        );
        need(
            self.redis.url.is_empty()
                || self.redis.url.split_once("://").is_some_and(|(scheme, _)| scheme.starts_with("redis")),
            "`redis.url` must start with redis:// or rediss://".into(),
        );
    }

    fn check(&self) -> Result<(), SettingsError> {
        let mut wrong = Vec::new();
        let mut need = |ok: bool, message: String| {
            if !ok {
                wrong.push(message);
            }
        };
        for (key, url) in [
            ("public.url", &self.public.url),
            ("public.widget_url", &self.public.widget_url),
            ("public.api_url", &self.public.api_url),
            ("models.openai.base_url", &self.models.openai.base_url),
        ] {
            let absolute = url.starts_with("http://") || url.starts_with("https://");
            need(
                absolute || (url.is_empty() && key.starts_with("public.") && key != "public.url"),
                format!("`{key}` must start with http:// or https://, not `{url}`"),
            );
            need(!url.ends_with('/'), format!("`{key}` must not end with a slash: `{url}`"));
        }
        if let Err(text) = Proxies::parse(&self.http.trusted_proxies) {
            let example = "such as 10.0.0.0/8 or 192.168.1.5";
            need(false, format!("`http.trusted_proxies` must hold networks or addresses {example}, not `{text}`"));
        }
        need(
            self.secrets.key.is_empty()
                || (self.secrets.key.len() == 64 && self.secrets.key.bytes().all(|b| b.is_ascii_hexdigit())),
            "`secrets.key` must be 64 hexadecimal digits (32 bytes), for example from `openssl rand -hex 32`".into(),
        );
        need(
            (1..=65_536).contains(&self.cluster.shards),
            format!("`cluster.shards` must be 1 to 65536, not {}", self.cluster.shards),
        );
        need(!self.cluster.node_id.is_empty(), "`cluster.node_id` must not be empty".into());
        self.check_cluster(&mut need);
        need(
            self.mail.kind == MailKind::Mailbox || !self.mail.smtp.host.is_empty(),
            "`mail.smtp.host` must be set when `mail.kind` is smtp".into(),
        );
        need(
            self.embeddings.kind != EmbedderKind::Openai || !self.models.openai.api_key.is_empty(),
            "`embeddings.kind` is openai but `models.openai.api_key` is empty".into(),
        );
        for (key, value) in [
            ("limits.body_bytes_max", self.limits.body_bytes_max),
            ("limits.upload_bytes_max", self.limits.upload_bytes_max),
            ("limits.message_chars_max", self.limits.message_chars_max),
            ("limits.resident_entities_max", self.limits.resident_entities_max),
            ("limits.model_calls_max", self.limits.model_calls_max),
            ("limits.crawls_max", self.limits.crawls_max),
            ("crawl.concurrency", self.crawl.concurrency),
            ("crawl.page_bytes_max", self.crawl.page_bytes_max),
        ] {
            need(value > 0, format!("`{key}` must be above 0"));
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(SettingsError(wrong.iter().map(|w| format!("settings: {w}")).collect::<Vec<_>>().join("\n")))
        }
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
    fn secrets_are_masked() {
        let settings =
            load(&format!("[secrets]\nkey = \"{}\"\n[cron]\nsecret = \"tell-nobody\"\n", "ab".repeat(32))).unwrap();
        let shown = settings.masked();
        assert!(!shown.contains("tell-nobody") && !shown.contains("abab"), "{shown}");
    }
}
