//! Logs and metrics of the process.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::settings::{Log, LogFormat};

/// Histogram bounds in seconds: from the 20 µs of a search to the minute of a slow model.
const SECONDS: [f64; 16] =
    [0.000_02, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Starts logging as the settings say.
pub(crate) fn logs(settings: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(&settings.filter).map_err(|error| format!("settings: `log.filter`: {error}"))?;
    // At its own debug level it writes what crosses between nodes, and that is what visitors say: whatever is asked for, never that.
    let quiet = "ractor_cluster=info".parse().map_err(|error| format!("the log filter: {error}"))?;
    let filter = filter.add_directive(quiet);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|error| error.to_string())
}

/// Starts collecting metrics; the handle renders them for `/metrics`.
pub(crate) fn metrics() -> Result<PrometheusHandle, String> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| error.to_string())?;
    colloquy_actors::telemetry::describe();
    colloquy_gateway::telemetry::describe();
    Ok(handle)
}
