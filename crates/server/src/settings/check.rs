//! Which settings cannot work, alone or together.

use colloquy_gateway::proxies::Proxies;
use colloquy_store::s3::{S3Config, SCHEME};

use super::{EmbedderKind, MailKind, Settings, SettingsError, StoreKind};

/// The slowest and the fastest pace: a call in a thousand seconds, and as many a second as one campaign may ask for.
const RATE_MIN: f64 = 0.001;
const RATE_MAX: f64 = 1_000.0;
/// The highest price of a minute: no country's is near it.
const MINUTE_USD_MAX: f64 = 100.0;

impl Settings {
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
            store.username.is_empty() == store.password.is_empty(),
            "`store.username` and `store.password` belong together: set both or none".into(),
        );
        need(
            store.tls_certificate.is_empty() == store.tls_key.is_empty(),
            "`store.tls_certificate` and `store.tls_key` belong together: set both or none".into(),
        );
        need(
            store.tls_key.is_empty() || !store.tls_authority.is_empty(),
            "`store.tls_key` needs `store.tls_authority`: without it there is no TLS to the CQL servers".into(),
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

    fn check_blobs(&self, need: &mut impl FnMut(bool, String)) {
        let (blobs, s3) = (&self.data.blobs, &self.data.s3);
        if blobs.starts_with(SCHEME) {
            let address = S3Config::at(blobs);
            need(
                address.is_ok(),
                format!("`data.blobs`: {}", address.err().map_or_else(String::new, |e| e.to_string())),
            );
            need(!s3.region.is_empty(), "`data.s3.region` must not be empty; most services take us-east-1".into());
        } else {
            need(!blobs.contains("://"), format!("`data.blobs` must be a folder or s3://bucket/prefix, not `{blobs}`"));
        }
        need(
            s3.endpoint.is_empty() || s3.endpoint.starts_with("http://") || s3.endpoint.starts_with("https://"),
            format!("`data.s3.endpoint` must start with http:// or https://, not `{}`", s3.endpoint),
        );
        need(
            s3.access_key.is_empty() == s3.secret_key.is_empty(),
            "`data.s3.access_key` and `data.s3.secret_key` belong together: set both or none".into(),
        );
    }

    fn check_voice(&self, need: &mut impl FnMut(bool, String)) {
        let voice = &self.voice;
        need(
            (0.0..=MINUTE_USD_MAX).contains(&voice.minute_usd),
            format!("`voice.minute_usd` must be 0 to {MINUTE_USD_MAX}, not {}", voice.minute_usd),
        );
        let elevenlabs = &voice.elevenlabs;
        for (key, value) in [
            ("elevenlabs.model", &elevenlabs.model),
            ("elevenlabs.voice", &elevenlabs.voice),
            ("deepgram.model", &voice.deepgram.model),
            ("openai.speech_model", &voice.openai.speech_model),
            ("openai.voice", &voice.openai.voice),
            ("openai.realtime_model", &voice.openai.realtime_model),
            ("openai.transcription_model", &voice.openai.transcription_model),
        ] {
            need(!value.trim().is_empty(), format!("`voice.{key}` must not be empty"));
        }
        for (section, limits) in [("twilio", &voice.twilio), ("retell", &voice.retell), ("simulated", &voice.simulated)]
        {
            for (key, count) in [
                ("concurrent", limits.concurrent),
                ("concurrent_per_organization", limits.concurrent_per_organization),
                ("concurrent_per_number", limits.concurrent_per_number),
            ] {
                need(count > 0, format!("`voice.{section}.{key}` must be at least 1"));
            }
            need(
                limits.inbound_reserved < limits.concurrent,
                format!(
                    "`voice.{section}.inbound_reserved` must be below `voice.{section}.concurrent`: else nobody can be called"
                ),
            );
            for (key, rate) in [
                ("calls_per_second", limits.calls_per_second),
                ("calls_per_second_per_number", limits.calls_per_second_per_number),
            ] {
                need(
                    (RATE_MIN..=RATE_MAX).contains(&rate),
                    format!("`voice.{section}.{key}` must be {RATE_MIN} to {RATE_MAX}, not {rate}"),
                );
            }
        }
    }

    /// Names everything that is wrong, not only the first of it.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
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
            ("messages.twilio_url", &self.messages.twilio_url),
            ("messages.whatsapp_url", &self.messages.whatsapp_url),
            ("messages.retell_url", &self.messages.retell_url),
            ("messages.simulated_url", &self.messages.simulated_url),
            ("voice.elevenlabs.url", &self.voice.elevenlabs.url),
            ("voice.deepgram.url", &self.voice.deepgram.url),
            ("voice.vapi.url", &self.voice.vapi.url),
            ("voice.openai.url", &self.voice.openai.url),
        ] {
            let absolute = url.starts_with("http://") || url.starts_with("https://");
            need(
                absolute
                    || (url.is_empty()
                        && (key.starts_with("public.") && key != "public.url" || key == "messages.simulated_url")),
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
        self.check_blobs(&mut need);
        self.check_voice(&mut need);
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
