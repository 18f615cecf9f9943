//! What the transport between nodes is told at its start, and its limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::frame::MAX_COMMAND_BYTES;

/// The most a frame carries beside its command, bytes: key (3 × 256), source (3 × 256), idempotency key (128), trace (55), numbers, and ample room
/// for fields to come.
pub const MAX_ENVELOPE_BYTES: usize = 8 * 1024;

/// The largest packet, bytes. A legal command always fits.
pub(super) const MAX_PACKET_BYTES: usize = MAX_COMMAND_BYTES + MAX_ENVELOPE_BYTES;

/// Packets are put together up to this many bytes; a larger one travels alone. Larger batches gain nothing over the cost of a system call.
pub(super) const BATCH_BYTES: usize = 64 * 1024;

/// Answers above this many bytes travel in parts of it, so that other answers get between them.
pub(super) const PART_BYTES: usize = 256 * 1024;

/// The longest answer, bytes. More is a case for pages or blobs.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// The longest text in an answer (why something is unavailable), bytes.
pub(super) const MAX_DETAIL_BYTES: usize = 1024;

/// The longest a frame's deadline can lie ahead for its receiver, milliseconds: a number from the network must not become a wait for ever.
pub(super) const MAX_DEADLINE_MS: u64 = 10 * 60 * 1000;

/// The bounds of the transport. Times are tested against the lease: a stalled peer must be noticed before it expires (8 s).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportLimits {
    /// Frames to one peer that wait for their answer; more are answered `Busy`. A node's worth of traffic at a round trip of tens of milliseconds.
    pub window_frames: usize,
    /// Bytes of commands to one peer that wait for their answer: sixteen of the largest.
    pub window_bytes: usize,
    /// Bytes handed to the connection that the peer has not acknowledged: what a stalled peer costs beside the window. Enough to fill 10 Gbit/s at 1 ms.
    pub unacknowledged_bytes: usize,
    /// Bytes of answers one peer has not taken; beyond it answers become `Unknown`.
    pub answer_bytes: usize,
    /// How often a connection says that it lives.
    pub beat_every: Duration,
    /// How long a peer may be silent before its connection ends: several beats, well inside the lease.
    pub silence: Duration,
    /// How long dialing may take until the connection can be used, each of: connecting, the handshake, `ractor_cluster`'s own.
    pub step_timeout: Duration,
    /// The first wait before dialing again; doubles with each failure.
    pub redial_first: Duration,
    /// The longest wait before dialing again: a rebooted peer should be found within the lease time.
    pub redial_most: Duration,
    /// Connections in the handshake at once; further ones are closed. Strangers must not be able to hold many sockets.
    pub handshakes: usize,
}

impl Default for TransportLimits {
    fn default() -> Self {
        Self {
            window_frames: 4_096,
            window_bytes: 16 * 1024 * 1024,
            unacknowledged_bytes: 2 * 1024 * 1024,
            answer_bytes: 32 * 1024 * 1024,
            beat_every: Duration::from_secs(1),
            silence: Duration::from_secs(5),
            step_timeout: Duration::from_secs(5),
            redial_first: Duration::from_millis(100),
            redial_most: Duration::from_secs(3),
            handshakes: 64,
        }
    }
}

/// Where the certificates are (PEM), as `cluster/deploy/certificates.sh` makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the authority that signed every node's.
    pub authority: PathBuf,
    /// This node's certificate; its subject alternative names hold the node's id.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What the transport is started with.
#[derive(Clone)]
pub struct TransportConfig {
    /// This node's id.
    pub node: String,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The cluster's name: must be the same on both sides.
    pub cluster: String,
    /// The number of shards: must be the same on both sides.
    pub shards: u32,
    /// The version of the store's schema: must be the same on both sides.
    pub schema: u32,
    /// What only nodes of this cluster know. It never travels.
    pub secret: [u8; 32],
    /// Certificates for mutual TLS.
    pub tls: Option<TlsFiles>,
    /// Whether to go without TLS on an address others can reach.
    pub plain_text_allowed: bool,
    /// The wall clock that deadlines are told in.
    pub clock: Arc<dyn Clock>,
    /// The bounds.
    pub limits: TransportLimits,
}

impl TransportConfig {
    /// A node that listens without TLS, which only loopback allows.
    pub fn new(node: impl Into<String>, listen: SocketAddr, secret: [u8; 32]) -> Self {
        Self {
            node: node.into(),
            listen,
            cluster: "colloquy".to_owned(),
            shards: crate::host::config::DEFAULT_SHARDS,
            schema: 1,
            secret,
            tls: None,
            plain_text_allowed: false,
            clock: Arc::new(SystemClock),
            limits: TransportLimits::default(),
        }
    }
}
