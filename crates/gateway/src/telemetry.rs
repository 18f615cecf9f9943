//! The gateway's metrics: names, what they mean, and bounded labels.

use metrics::{Unit, describe_gauge, describe_histogram};

/// Seconds of an HTTP request by method, route and status.
pub(crate) const HTTP_SECONDS: &str = "colloquy_http_seconds";
/// Open WebSockets of this node.
pub(crate) const SOCKETS: &str = "colloquy_sockets";

/// Registers the descriptions with whatever recorder is installed.
pub fn describe() {
    describe_histogram!(HTTP_SECONDS, Unit::Seconds, "How long an HTTP request took, by method, route and status");
    describe_gauge!(SOCKETS, "Open WebSockets");
}
