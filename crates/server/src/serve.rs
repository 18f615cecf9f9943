//! `colloquy serve`: opens the store, starts the node, serves until told to stop, and drains.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use colloquy_actors::campaign::pacer::Pacing;
use colloquy_actors::knowledge::Library;
use colloquy_actors::messages::{CarrierSettings, Carriers};
use colloquy_actors::voice::{Ears, ElevenLabs, Espeak, OpenAi, OpenAiSettings, Voices};
use colloquy_actors::{Actors, Links, Tools, upkeep};
use colloquy_cluster::redis::Redis;
use colloquy_cluster::{Fate, Node, NodeConfig};
use colloquy_connectors::{Mailbox, Mailer, RecordedSms, Smtp, SmtpConfig};
use colloquy_domain::campaign::settings::Rate;
use colloquy_domain::catalog::load::Catalog;
use colloquy_domain::pacer;
use colloquy_gateway::app::{AppState, Limits, ModelServer, Settings as GatewaySettings};
use colloquy_gateway::limits::{AddressLimit, RateLimit, Shared, SharedName};
use colloquy_gateway::listen::Bounded;
use colloquy_gateway::operators;
use colloquy_gateway::proxies::Proxies;
use colloquy_gateway::routes::{self, health::Health};
use colloquy_gateway::tokens::Tokens;
use colloquy_knowledge::crawl::{CrawlConfig, Crawler, Limits as CrawlLimits};
use colloquy_knowledge::embed::{Embedder, LocalEmbedder, OpenAiConfig, OpenAiEmbedder};
use colloquy_models::{ChatModel, ModelConfig, PriceTable};
use metrics_exporter_prometheus::PrometheusHandle;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::ops::NodeOperations;
use crate::secrets::{OPS_TOKEN_FILE, Secrets};
use crate::settings::{EmbedderKind, MailKind, PlanName, Settings, SmtpSecurity, TenancyMode, VoiceLimits};
use crate::{catalog, cluster, program, telemetry};

/// How long a stop may take: appends in flight, snapshots, goodbyes.
const DRAIN_WITHIN: Duration = Duration::from_secs(20);
/// How often expired answers are swept.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// The operators' listener allows an address at least this many sockets: a scraper, balancers and people may share one.
const OPERATORS_SOCKETS_LEAST: u32 = 64;
/// Where the local weights are by default, below the user's cache folder.
const WEIGHTS: &str = "colloquy/all-minilm-l6-v2";

/// Runs a node until it is told to stop.
pub(crate) fn run(settings: Settings) -> Result<(), String> {
    telemetry::logs(&settings.log)?;
    let metrics = telemetry::metrics()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(serve(settings, metrics))
}

async fn serve(settings: Settings, metrics: PrometheusHandle) -> Result<(), String> {
    let catalog = Arc::new(catalog::load()?);
    let secrets =
        Secrets::load(&settings).map_err(|error| format!("the secrets in {}: {error}", settings.data.dir.display()))?;
    let store = cluster::open_store(&settings).await?;
    let redis = cluster::redis(&settings)?;

    let mailbox = Arc::new(Mailbox::new(now));
    let (tools, notices) = tools(&settings, catalog, &mailbox, &secrets.key)?;
    let mut config = NodeConfig::new(&settings.cluster.node_id, secrets.key);
    config.cluster = settings.cluster.name.clone();
    config.shards = settings.cluster.shards;
    config.limits.resident = settings.limits.resident_entities_max;
    cluster::join(&settings, &secrets.key, redis.as_ref(), &mut config).await?;
    let node = Node::start(config, store, colloquy_actors::registry(&tools)).await.map_err(|error| causes(&error))?;

    more_descriptors(settings.limits.sockets_max);
    let public = TcpListener::bind(settings.http.listen)
        .await
        .map_err(|e| format!("`http.listen` {}: {e}", settings.http.listen))?;
    let ops = TcpListener::bind(settings.ops.listen)
        .await
        .map_err(|e| format!("`ops.listen` {}: {e}", settings.ops.listen))?;
    let actors = Actors::new(node.client(), tools);
    let loopback = settings.http.listen.ip().is_loopback();
    let app = AppState::new(
        gateway(&settings),
        actors,
        Tokens::new(&secrets.key),
        limits(&settings, redis.as_ref(), &secrets.key),
        (loopback && settings.mail.kind == MailKind::Mailbox).then(|| mailbox.clone()),
    );
    let sockets = app.sockets.clone();
    let stop = sockets.stopping.clone();
    let node = Arc::new(node);
    let operations = Arc::new(NodeOperations::new(&settings.cluster.node_id, node.clone()));
    let operations = routes::ops::Ops::new(operations, node.client());
    let demonstrating = settings.has_demo().then(|| tokio::spawn(colloquy_gateway::demonstrate(app.clone())));
    let keeping = tokio::spawn(upkeep::establish(node.client(), app.actors.tools.clone()));
    let router = colloquy_gateway::router(app, operations.clone());
    let public = Bounded::new(public, settings.limits.sockets_per_address, proxies(&settings));
    let serving = tokio::spawn(public.serve(router, stop.clone()));
    let health = Arc::new(NodeHealth { node: node.clone(), metrics, stopping: stop.clone() });
    let calls = operators::router(operations, secrets.ops_token.clone(), health);
    let watchers = settings.limits.sockets_per_address.max(OPERATORS_SOCKETS_LEAST);
    // Until the very end: whoever stops a node wants to see it drain.
    let over = CancellationToken::new();
    let operating = tokio::spawn(Bounded::new(ops, watchers, Proxies::default()).serve(calls, over.clone()));

    let sweeping = tokio::spawn(sweep(node.client()));
    greet(&settings, &notices);
    let fate = tokio::select! {
        signal = stop_signal() => {
            signal?;
            tracing::info!("stopping: no new work is taken, what is under way is finished");
            Fate::Stopped
        }
        fate = node.fate() => fate,
    };
    stop.cancel();
    sockets.tasks.close();
    node.shutdown(DRAIN_WITHIN).await;
    let goodbyes = tokio::time::timeout(Duration::from_secs(2), sockets.tasks.wait()).await;
    if goodbyes.is_err() {
        tracing::warn!("some sockets did not say goodbye in time");
    }
    serving.abort();
    over.cancel();
    operating.abort();
    sweeping.abort();
    keeping.abort();
    if let Some(demonstrating) = demonstrating {
        demonstrating.abort();
    }
    if let Some(redis) = redis {
        redis.close().await;
    }
    match fate {
        Fate::Stopped => Ok(()),
        Fate::LeaseLost(reason) => Err(format!("this node lost its lease and stopped: {reason}")),
        Fate::TransportBroken(reason) => {
            Err(format!("this node could not hear the others any more and stopped: {reason}"))
        }
    }
}

/// Whether this node can answer, and its metrics.
struct NodeHealth {
    node: Arc<Node>,
    metrics: PrometheusHandle,
    stopping: CancellationToken,
}

impl Health for NodeHealth {
    fn ready(&self) -> Result<(), String> {
        if self.stopping.is_cancelled() {
            return Err("stopping".into());
        }
        let status = self.node.status();
        if !status.lease_valid {
            return Err("the node's lease is not valid".into());
        }
        if status.draining {
            return Err("an operator has this node's shards moved away: send visitors to another node".into());
        }
        if status.storage_full {
            return Err("the storage is full: reading works, messages are refused until there is space".into());
        }
        Ok(())
    }

    fn metrics(&self) -> String {
        self.metrics.render()
    }
}

/// Builds what effects use; also what the operator should know about it.
fn tools(
    settings: &Settings,
    catalog: Arc<Catalog>,
    mailbox: &Arc<Mailbox>,
    secret: &[u8; 32],
) -> Result<(Arc<Tools>, Vec<String>), String> {
    let mut notices = Vec::new();
    let model = model(settings, &catalog)?;
    match &model {
        Some(model) => notices.push(model.describe()),
        None => notices.push(colloquy_models::Responder::DESCRIPTION.to_owned()),
    }
    let embedder = embedder(settings, &mut notices)?;
    let exe = std::env::current_exe().map_err(|e| e.to_string())?;
    let crawler = Crawler::new(CrawlConfig {
        allow_private: settings.crawl.allow_private,
        about_url: settings.public.url.clone(),
        pdf_reader: Some(exe.clone()),
    })
    .map_err(|e| e.to_string())?;
    let crawl = &settings.crawl;
    let limits = CrawlLimits {
        max_pages: crawl.pages_max as usize,
        max_page_bytes: crawl.page_bytes_max,
        max_total_bytes: crawl.total_bytes_max as u64,
        max_depth: crawl.depth_max,
        max_time: Duration::from_secs(crawl.total_timeout_s),
        request_timeout: Duration::from_secs(crawl.request_timeout_s),
        concurrency: crawl.concurrency,
        ..CrawlLimits::default()
    };
    let library =
        Library::new(crawler, limits, embedder, exe, settings.limits.crawls_max, settings.limits.index_cache_mb << 20);
    let mailer: Arc<dyn Mailer> = match settings.mail.kind {
        MailKind::Mailbox => mailbox.clone(),
        MailKind::Smtp => Arc::new(smtp(settings)?),
    };
    notices.push(mailer.describe());
    let sms = Arc::new(RecordedSms::new(mailbox.clone()));
    let carriers = Carriers::new(CarrierSettings {
        twilio_url: settings.messages.twilio_url.clone(),
        whatsapp_url: settings.messages.whatsapp_url.clone(),
        retell_url: settings.messages.retell_url.clone(),
        vapi_url: settings.voice.vapi.url.clone(),
        simulated_url: Some(settings.messages.simulated_url.clone()).filter(|url| !url.is_empty()),
        api_url: settings.api_url().to_owned(),
        unconfirmed_after_ms: i64::from(settings.messages.unconfirmed_after_s) * 1000,
        pacing: Pacing {
            twilio: pace(&settings.voice.twilio),
            retell: pace(&settings.voice.retell),
            simulated: pace(&settings.voice.simulated),
        },
        minute_micros: (settings.voice.minute_usd * 1e6).round() as i64,
    })?;
    let links = Links { console: settings.public.url.clone(), api: settings.api_url().to_owned() };
    let voices = voices(settings)?;
    notices.extend(voices.missing().into_iter().map(|missing| format!("Test calls: {missing}")));
    let models_at_once = settings.limits.model_calls_max;
    let tools = Tools::new(catalog, links, model, models_at_once, mailer, sms, carriers, voices, library, secret);
    Ok((Arc::new(tools), notices))
}

/// Who speaks and who listens in calls whose sound is ours.
fn voices(settings: &Settings) -> Result<Voices, String> {
    let voice = &settings.voice;
    let elevenlabs = match voice.elevenlabs.api_key.trim() {
        "" => None,
        key => {
            let of = &voice.elevenlabs;
            Some(ElevenLabs::new(key.to_owned().into(), &of.url, &of.model, &of.voice)?)
        }
    };
    let deepgram = &voice.deepgram;
    let ears = Some(deepgram.api_key.trim()).filter(|key| !key.is_empty());
    let ears = ears.map(|key| Ears::new(key.to_owned().into(), &deepgram.url, &deepgram.model)).transpose()?;
    let openai = match voice.openai.api_key.trim() {
        "" => None,
        key => {
            let of = &voice.openai;
            let chosen = OpenAiSettings {
                url: of.url.clone(),
                speech_model: of.speech_model.clone(),
                voice: of.voice.clone(),
                realtime_model: of.realtime_model.clone(),
                transcription_model: of.transcription_model.clone(),
            };
            Some(OpenAi::new(key.to_owned().into(), chosen)?)
        }
    };
    Ok(Voices::new(elevenlabs, openai, Espeak::find(&voice.espeak.program), ears))
}

/// An account's limits as its pacer takes them. Their ranges were checked when the settings were read.
fn pace(limits: &VoiceLimits) -> pacer::Config {
    let rate = |per_second: f64| Rate { milli: (per_second * 1000.0).round() as u32 };
    let of = |concurrent, per_second| pacer::Limits { concurrent, rate: rate(per_second) };
    pacer::Config {
        account: of(limits.concurrent, limits.calls_per_second),
        inbound_reserved: limits.inbound_reserved,
        tenant: of(limits.concurrent_per_organization, limits.calls_per_second),
        number: of(limits.concurrent_per_number, limits.calls_per_second_per_number),
    }
}

fn model(settings: &Settings, catalog: &Catalog) -> Result<Option<Arc<dyn ChatModel>>, String> {
    let models = &catalog.models;
    let named = |id: &str| models.get(id).map_or_else(|| id.to_owned(), |model| model.provider_model.clone());
    let prices = PriceTable {
        models: models
            .models
            .iter()
            .map(|model| {
                let price = colloquy_models::price::Price {
                    input_micros: model.input_micros_per_million_tokens,
                    cached_input_micros: model.cached_input_micros_per_million_tokens,
                    output_micros: model.output_micros_per_million_tokens,
                };
                (model.provider_model.clone(), price)
            })
            .collect(),
    };
    let key = &settings.models.openai.api_key;
    let config = ModelConfig {
        base_url: settings.models.openai.base_url.clone(),
        api_key: (!key.is_empty()).then(|| key.clone().into()),
        default: named(&settings.models.default),
        fallback: (!settings.models.fallback.is_empty()).then(|| named(&settings.models.fallback)),
        ..ModelConfig::default()
    };
    let model = config.chat_model(prices).map_err(|error| format!("settings: {error}"))?;
    Ok(model.map(|model| Arc::new(model) as Arc<dyn ChatModel>))
}

fn embedder(settings: &Settings, notices: &mut Vec<String>) -> Result<Option<Arc<dyn Embedder>>, String> {
    let folder = weights_folder(settings);
    let openai = || -> Result<Option<Arc<dyn Embedder>>, String> {
        let mut config = OpenAiConfig::small(settings.models.openai.api_key.clone());
        config.base_url = settings.models.openai.base_url.clone();
        let embedder = OpenAiEmbedder::new(config).map_err(|e| e.to_string())?;
        Ok(Some(Arc::new(embedder)))
    };
    let local = || -> Result<Option<Arc<dyn Embedder>>, String> {
        let embedder = LocalEmbedder::load(&folder).map_err(|e| e.to_string())?;
        Ok(Some(Arc::new(embedder)))
    };
    let there = LocalEmbedder::find(&folder).is_some();
    let chosen = match settings.embeddings.kind {
        EmbedderKind::Openai => openai()?,
        EmbedderKind::Local => local()?,
        EmbedderKind::Keyword => None,
        EmbedderKind::Auto if !settings.models.openai.api_key.is_empty() => openai()?,
        EmbedderKind::Auto if there => local()?,
        EmbedderKind::Auto => None,
    };
    notices.push(match &chosen {
        Some(embedder) => format!("Search by meaning and keywords ({})", embedder.id()),
        None if settings.embeddings.kind == EmbedderKind::Keyword => "Search by keywords only, as set".into(),
        None => format!(
            "Search by keywords only: there are no embedding weights in {} (make run fetches them)",
            folder.display()
        ),
    });
    Ok(chosen)
}

fn weights_folder(settings: &Settings) -> PathBuf {
    if !settings.embeddings.local_path.is_empty() {
        return PathBuf::from(&settings.embeddings.local_path);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    cache.or(home).unwrap_or_default().join(WEIGHTS)
}

fn smtp(settings: &Settings) -> Result<Smtp, String> {
    use colloquy_connectors::mail::smtp::Security;
    let mail = &settings.mail.smtp;
    let config = SmtpConfig {
        port: mail.port,
        security: match mail.security {
            SmtpSecurity::Starttls => Security::StartTls,
            SmtpSecurity::Tls => Security::Tls,
            SmtpSecurity::None => Security::None,
        },
        credentials: (!mail.username.is_empty()).then(|| (mail.username.clone(), mail.password.clone().into())),
        ..SmtpConfig::new(mail.host.clone(), settings.mail.from.clone())
    };
    Smtp::new(&config).map_err(|error| format!("settings: {error}"))
}

/// Whose word on addresses is taken. What is no network was refused when the settings were read.
fn proxies(settings: &Settings) -> Proxies {
    Proxies::parse(&settings.http.trusted_proxies).unwrap_or_default()
}

fn gateway(settings: &Settings) -> GatewaySettings {
    let limits = &settings.limits;
    GatewaySettings {
        program: program::called(),
        public_url: settings.public.url.clone(),
        widget_url: settings.widget_url().to_owned(),
        api_url: settings.api_url().to_owned(),
        secure_cookies: settings.public.url.starts_with("https://"),
        single_tenant: settings.tenancy.mode == TenancyMode::SingleTenant,
        default_slug: settings.tenancy.default_slug.clone(),
        mail_recorded: settings.mail.kind == MailKind::Mailbox,
        admin_emails: settings.platform.admin_emails.clone(),
        plan: match settings.plans.default {
            PlanName::Unlimited => colloquy_domain::tenant::plan::Plan::unlimited(),
            PlanName::Trial => colloquy_domain::tenant::plan::Plan::trial(),
        },
        cron_secret: settings.cron.secret.clone(),
        models: (!settings.models.openai.api_key.trim().is_empty()).then(|| ModelServer {
            base_url: settings.models.openai.base_url.clone(),
            default: settings.models.default.clone(),
            fallback: settings.models.fallback.clone(),
        }),
        proxies: proxies(settings),
        body_bytes_max: limits.body_bytes_max,
        upload_bytes_max: limits.upload_bytes_max,
        message_chars_max: limits.message_chars_max,
        request_timeout_s: limits.request_timeout_s,
        sockets_per_visitor: limits.sockets_per_visitor,
        sockets_per_address: limits.sockets_per_address,
        sockets_max: limits.sockets_max,
        voice_sockets_max: limits.voice_sockets_max,
        demo: settings.has_demo(),
        operator: settings.legal.operator.clone(),
        contact: settings.legal.contact.clone(),
    }
}

fn limits(settings: &Settings, redis: Option<&Redis>, secret: &[u8; 32]) -> Limits {
    let limits = &settings.limits;
    let each = Limits {
        chat_visitor: RateLimit::per_minute(limits.chat_per_visitor_per_minute),
        chat_address: AddressLimit::per_minute(limits.chat_per_address_per_minute),
        demo_address: AddressLimit::per_hour(settings.demo.per_address_per_hour),
        login_address: AddressLimit::per_minute(limits.login_per_address_per_minute),
        login_email: RateLimit::per_minute(limits.login_per_email_per_minute),
        mail_email: RateLimit::per_minute(limits.login_per_email_per_minute),
        invited: RateLimit::invited(),
        invites: RateLimit::invites(),
        api: RateLimit::per_minute(limits.api_per_principal_per_minute),
        refused: RateLimit::refused(),
    };
    let Some(redis) = redis else { return each };
    let counts: Arc<dyn Shared> = Arc::new(cluster::Counts(redis.counts()));
    let secret = blake3::derive_key("colloquy 2026-11 names of clients in shared counts", secret);
    let name = |limit| SharedName::new(limit, secret);
    let [unproven, proven] = each.invites;
    let shared_invites =
        [unproven.shared(counts.clone(), name("unproven_invites")), proven.shared(counts.clone(), name("invites"))];
    Limits {
        chat_visitor: each.chat_visitor.shared(counts.clone(), name("chat_visitor")),
        chat_address: each.chat_address.shared(counts.clone(), name("chat_address")),
        demo_address: each.demo_address.shared(counts.clone(), name("demo_address")),
        login_address: each.login_address.shared(counts.clone(), name("login_address")),
        login_email: each.login_email.shared(counts.clone(), name("login_email")),
        mail_email: each.mail_email.shared(counts.clone(), name("mail_email")),
        invited: each.invited.shared(counts.clone(), name("invited")),
        invites: shared_invites,
        api: each.api.shared(counts.clone(), name("api")),
        refused: each.refused.shared(counts.clone(), name("refused")),
    }
}

/// Allows as many open files as the system lets this process have: every connection is one, and the usual default is 1,024.
fn more_descriptors(sockets_max: u32) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!(%error, "the number of open files could not be raised");
    }
    let allowed = getrlimit(Resource::Nofile).current;
    if allowed.is_some_and(|allowed| allowed < u64::from(sockets_max)) {
        tracing::info!(allowed, sockets_max, "open files are limited below `limits.sockets_max`: see `ulimit -n`");
    }
}

/// Forgets answers to idempotency keys once their day is over.
async fn sweep(client: colloquy_cluster::Client) {
    let mut hours = tokio::time::interval(SWEEP_EVERY);
    loop {
        hours.tick().await;
        if let Err(error) = client.store().answers.sweep(client.now_ms()).await {
            tracing::warn!(%error, "expired answers could not be swept");
        }
    }
}

/// An error with what caused it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Says where to go next.
fn greet(settings: &Settings, notices: &[String]) {
    println!("Colloquy {} is ready.\n", env!("CARGO_PKG_VERSION"));
    println!("  open        {}", settings.public.url);
    println!(
        "  try it      {} quickstart --url https://your.site --vertical home_services{}",
        program::called(),
        program::server_option(settings.http.listen)
    );
    println!("              in a second terminal, in this folder");
    println!(
        "  health      http://{}/health/readyz   metrics  http://{}/metrics",
        settings.ops.listen, settings.ops.listen
    );
    println!("  data        {}", settings.data.dir.display());
    // Where it is, not what it is: a terminal and a log are read by more people than the file.
    if settings.ops.token.is_empty() {
        println!("  ops token   in {}", settings.data.dir.join(OPS_TOKEN_FILE).display());
    }
    for notice in notices {
        println!("  -           {notice}");
    }
    println!();
}

async fn stop_signal() -> Result<(), String> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(|e| e.to_string()),
    }
}

/// The wall clock of the mailbox.
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
