//! What a node among others is made of: the store they share, the way between them, what they share through Redis.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use colloquy_cluster::NodeConfig;
use colloquy_cluster::host::config::CLUSTER_SCHEMA;
use colloquy_cluster::host::transport::{ClusterTransport, Peers, TlsFiles, TransportConfig, TransportKind, Wiring};
use colloquy_cluster::redis::{Redis, SharedCounts};
use colloquy_gateway::limits::Shared;
use colloquy_store::Store;
use colloquy_store::blobs::Blobs;
use colloquy_store::folder::Folder;
use colloquy_store::s3::{self, S3, S3Config};
use colloquy_store::scylla::{ScyllaConfig, ScyllaLogin, ScyllaTls};
use colloquy_store::sqlite::SqliteConfig;

use crate::settings::{Settings, StoreKind};

/// What the secret between nodes is derived for: another purpose than tokens and data keys has another secret.
const TRANSPORT_SECRET: &str = "colloquy 2026-11 secret between the nodes of a cluster";

/// Opens the store that the settings name.
pub(crate) async fn open_store(settings: &Settings) -> Result<Store, String> {
    match settings.store.kind {
        StoreKind::Sqlite => {
            let dir = settings.data.dir.clone();
            let accept_damaged_log = settings.store.accept_damaged_log;
            let sqlite = SqliteConfig { accept_damaged_log, ..SqliteConfig::default() };
            let opened = tokio::task::spawn_blocking(move || colloquy_store::sqlite::open(&dir, sqlite)).await;
            let mut store = opened
                .map_err(|e| e.to_string())?
                .map_err(|error| format!("the store in {}: {error}", settings.data.dir.display()))?;
            if !settings.data.blobs.is_empty() {
                store.blobs = blobs(settings).await?;
            }
            Ok(store)
        }
        StoreKind::Scylla => {
            let set = &settings.store;
            let mut config = ScyllaConfig::new(set.nodes.clone(), set.keyspace.clone());
            config.datacenter = set.datacenter.clone();
            config.replication = set.replication;
            config.login = (!set.username.is_empty())
                .then(|| ScyllaLogin { user: set.username.clone(), password: set.password.clone() });
            config.tls = (!set.tls_authority.is_empty()).then(|| ScyllaTls {
                ca: PathBuf::from(&set.tls_authority),
                identity: (!set.tls_key.is_empty())
                    .then(|| (PathBuf::from(&set.tls_certificate), PathBuf::from(&set.tls_key))),
            });
            let opened = colloquy_store::scylla::open(&config, blobs(settings).await?).await;
            opened.map_err(|error| format!("the store on {}: {error}", set.nodes.join(", ")))
        }
    }
}

/// Uploads and indices: a bucket, or a folder that the nodes share.
async fn blobs(settings: &Settings) -> Result<Arc<dyn Blobs>, String> {
    let set = &settings.data;
    if set.blobs.starts_with(s3::SCHEME) {
        let mut config = S3Config::at(&set.blobs).map_err(|error| format!("`data.blobs`: {error}"))?;
        config.endpoint.clone_from(&set.s3.endpoint);
        config.region.clone_from(&set.s3.region);
        config.keys = (!set.s3.access_key.is_empty()).then(|| (set.s3.access_key.clone(), set.s3.secret_key.clone()));
        let bucket = S3::open(&config).await.map_err(|error| format!("`data.blobs` {}: {error}", set.blobs))?;
        return Ok(Arc::new(bucket));
    }
    let dir = if set.blobs.is_empty() { set.dir.clone() } else { PathBuf::from(&set.blobs) };
    let folder = Folder::shared(&dir, &settings.cluster.node_id).map_err(|error| format!("`data.blobs`: {error}"))?;
    Ok(Arc::new(folder))
}

/// Adds to a node's configuration what it needs among others: the way between nodes and the fan-out. Listens already, so that a node that cannot be
/// reached never joins.
pub(crate) async fn join(
    settings: &Settings,
    master_key: &[u8; 32],
    redis: Option<&Redis>,
    config: &mut NodeConfig,
) -> Result<(), String> {
    config.fanout = redis.map(Redis::fanout);
    let Some(listen) = settings.cluster_listen() else { return Ok(()) };
    let set = &settings.cluster;
    let secret = blake3::derive_key(TRANSPORT_SECRET, master_key);
    let mut transport = TransportConfig::new(&set.node_id, listen, secret);
    transport.cluster = set.name.clone();
    transport.shards = set.shards;
    transport.schema = CLUSTER_SCHEMA;
    transport.plain_text_allowed = set.plain_text;
    transport.tls = (!set.tls_key.is_empty()).then(|| TlsFiles {
        authority: PathBuf::from(&set.tls_authority),
        certificate: PathBuf::from(&set.tls_certificate),
        key: PathBuf::from(&set.tls_key),
    });
    let bound = ClusterTransport::bind(transport).await.map_err(|error| format!("`cluster.listen`: {error}"))?;
    config.address = if set.advertise.is_empty() { bound.local_addr().to_string() } else { set.advertise.clone() };
    config.replace = false;
    let (make, known) = (bound.maker(), Arc::new(settings.peers()));
    config.transport = TransportKind::Custom(Arc::new(move |mut wiring: Wiring| {
        wiring.peers = Arc::new(Directory { known: known.clone(), told: wiring.peers });
        make(wiring)
    }));
    Ok(())
}

/// Where the others are: as the settings say, else as they say themselves.
struct Directory {
    known: Arc<BTreeMap<String, String>>,
    told: Arc<dyn Peers>,
}

impl Peers for Directory {
    fn address(&self, node: &str) -> Option<String> {
        // Only living nodes have an address at all.
        let told = self.told.address(node)?;
        Some(self.known.get(node).cloned().unwrap_or(told))
    }
}

/// Opens the connections to Redis, if there is one.
pub(crate) fn redis(settings: &Settings) -> Result<Option<Redis>, String> {
    if settings.redis.url.is_empty() {
        return Ok(None);
    }
    Redis::connect(&settings.redis.url, &settings.cluster.name).map(Some).map_err(|error| error.to_string())
}

/// Counts that all frontends share, as the gateway's limits tell them.
pub(crate) struct Counts(pub(crate) SharedCounts);

impl Shared for Counts {
    fn spend(&self, key: &str, burst: u32, within_ms: u64, refused: Box<dyn FnOnce(u64) + Send>) {
        self.0.spend(key, burst, within_ms, refused);
    }
}
