//! What can go wrong in the runtime, told apart by what the caller can do about it.

use colloquy_store::StoreError;

/// An error of the runtime outside of a command's own answer.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// Stored bytes of an entity cannot be read back.
    #[error("{place} cannot be read: {detail}")]
    Unreadable {
        /// Which entity and event.
        place: String,
        /// What is wrong.
        detail: String,
    },
    /// An event that a newer version of this program wrote. Nodes of that version can read it, so trying again is some use while an upgrade is under
    /// way.
    #[error("{place} was written by a newer version of this program: {detail}")]
    Newer {
        /// Which entity and event.
        place: String,
        /// What is not known here.
        detail: String,
    },
    /// A kind that was not registered.
    #[error("no entity kind {0:?} is registered")]
    UnknownKind(String),
    /// The cluster was created with other fixed facts than this node is configured with.
    #[error("the cluster was created with {what} {found}, this node is configured with {configured}")]
    Mismatch {
        /// Which fact.
        what: &'static str,
        /// What it was created with.
        found: String,
        /// What this node says.
        configured: String,
    },
    /// The transport cannot listen where it should.
    #[error("{address} cannot be listened on: {detail}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        detail: String,
    },
    /// Other nodes could reach this address without TLS.
    #[error(
        "{address} is not loopback: between machines nodes need certificates, or plain text must be allowed by name"
    )]
    PlainText {
        /// Where the node was to listen.
        address: std::net::SocketAddr,
    },
    /// A certificate or key cannot be used.
    #[error("{path} cannot be used: {detail}")]
    Certificate {
        /// The file.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// The node could not start or is stopping.
    #[error("the node cannot do this now: {0}")]
    Node(String),
}

/// Why [`crate::Client::ask`] has no reply. All but `Unknown` mean that nothing happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError<R> {
    /// The entity refused, in its own words.
    #[error("refused")]
    Rejected(R),
    /// Still overloaded or moving at the deadline.
    #[error("busy, try again in {retry_after_ms} ms")]
    Busy {
        /// When to try again, milliseconds from now.
        retry_after_ms: u64,
    },
    /// It may or may not have happened; ask again with the same idempotency key.
    #[error("the outcome is unknown")]
    Unknown,
    /// Not begun before the deadline.
    #[error("not answered before the deadline")]
    Expired,
    /// The entity's own code failed.
    #[error("the handler failed")]
    HandlerFailed,
    /// The store refuses or cannot be reached.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The entity's personal data was erased.
    #[error("erased")]
    Erased,
    /// The command or its answer does not have the expected shape.
    #[error("malformed: {0}")]
    Malformed(String),
}
