//! What can go wrong in this crate, in sentences a person can act on.

use std::path::PathBuf;

/// Every failure of this crate. What happens to single pages of a crawl is not here: it is reported per page as a [`crate::crawl::Reason`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text given as a website's address cannot be one.
    #[error("{address:?} is not a web address: {reason}")]
    BadAddress {
        /// What was given.
        address: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// A document exceeds a size limit.
    #[error("the {kind} document is larger than the {limit} bytes allowed")]
    TooLarge {
        /// The kind of document, such as `DOCX`.
        kind: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// A document is not what it claims to be, or damaged.
    #[error("this is not a readable {kind} document: {reason}")]
    Malformed {
        /// The kind of document.
        kind: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A document is readable but holds no text, for example a scan.
    #[error("the {kind} document holds no text")]
    NoText {
        /// The kind of document.
        kind: &'static str,
    },
    /// The child process that reads a PDF ran out of its time.
    #[error("reading the PDF took longer than {seconds} s and was stopped")]
    PdfTimeout {
        /// The limit in seconds.
        seconds: u64,
    },
    /// The child process that reads a PDF could not be started or died.
    #[error("the PDF reader ended early: {reason}")]
    PdfReader {
        /// What is known about its end.
        reason: String,
    },
    /// The local embedder's files are missing, damaged or of another model.
    #[error("no usable embedding weights in {folder}: {reason}")]
    Weights {
        /// Where they were looked for.
        folder: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// The in-process model refused its input or stopped.
    #[error("the local embedder failed: {reason}")]
    Model {
        /// What it said.
        reason: String,
    },
    /// An embeddings provider answered with an error, after retries where they made sense.
    #[error("the embeddings provider answered {status}: {message}")]
    Provider {
        /// The HTTP status.
        status: u16,
        /// The first part of its message.
        message: String,
    },
    /// An embeddings provider could not be reached in time.
    #[error("the embeddings provider could not be reached: {reason}")]
    Unreachable {
        /// What the transport said.
        reason: String,
    },
    /// An embeddings provider answered something that cannot be right.
    #[error("the embeddings provider sent an unusable answer: {reason}")]
    BadAnswer {
        /// What is wrong with it.
        reason: String,
    },
    /// Vectors of different lengths, or of another embedder, met.
    #[error("a vector of {found} numbers was given where {expected} are needed")]
    Dimension {
        /// The index's dimension.
        expected: usize,
        /// The vector's length.
        found: usize,
    },
    /// A vector holds NaN or infinity, which no distance can rank.
    #[error("a vector holds a number that is not finite")]
    NotFinite,
    /// The parts given to an index do not belong together.
    #[error("the parts of the index do not fit together: {reason}")]
    Inconsistent {
        /// What does not fit.
        reason: String,
    },
    /// The approximate index refused to build.
    #[error("the vector index could not be built: {reason}")]
    VectorIndex {
        /// What the library said.
        reason: String,
    },
    /// A cached index cannot be used and has to be built again from the store.
    #[error("the cached index cannot be used: {reason}")]
    IndexFile {
        /// What is wrong with the file.
        reason: String,
    },
    /// The HTTP client could not be set up.
    #[error("the HTTP client could not be set up: {reason}")]
    Client {
        /// What is wrong.
        reason: String,
    },
    /// Reading or writing a local file failed.
    #[error("reading or writing {path} failed")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}
