//! Blobs as objects below a prefix of one bucket, in any service that speaks the protocol of S3.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore as _, ObjectStoreExt as _, PutPayload, RetryConfig,
};

use crate::blobs::{Blobs, check_path, folder_of};
use crate::{StoreError, limits};

/// What an address of a bucket begins with.
pub const SCHEME: &str = "s3://";

/// The slowest service that is waited for, bytes a second: with it a blob of a hundred megabytes may take minutes, and one that hangs may not.
const SLOWEST_BYTES_A_SECOND: u64 = 512 * 1024;

/// What is asked for to learn whether the bucket may be used. It is never put: that it is not there is the good answer, and unlike that to a list
/// tells bad ones apart.
const PROBE: &str = "probe";

/// Where a bucket is and who may use it.
#[derive(Clone)]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// The folder inside of it; empty for all of it.
    pub prefix: String,
    /// The service, `https://host[:port]`; Amazon's own when empty.
    pub endpoint: String,
    /// The region that signatures name.
    pub region: String,
    /// The key and its secret. Without them the environment is asked (`AWS_…`), then the identity that the machine was given.
    pub keys: Option<(String, String)>,
    /// How long things may take.
    pub timeouts: S3Timeouts,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct S3Timeouts {
    /// Making a connection.
    pub connect: Duration,
    /// Silence in the middle of an answer.
    pub silence: Duration,
    /// One operation with all its retries, on top of the time that its bytes take.
    pub whole: Duration,
}

impl Default for S3Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(10),
            // Somebody waits for an upload to be acknowledged, and gives up after a minute or so.
            whole: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, prefix, endpoint, region, keys, timeouts } = self;
        let key = keys.as_ref().map(|(key, _)| key); // Never the secret.
        f.debug_struct("S3Config")
            .field("bucket", bucket)
            .field("prefix", prefix)
            .field("endpoint", endpoint)
            .field("region", region)
            .field("key", &key)
            .field("timeouts", timeouts)
            .finish()
    }
}

impl S3Config {
    /// Reads `s3://bucket[/prefix]`; the rest is as Amazon has it.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for what is no such address.
    pub fn at(address: &str) -> Result<Self, StoreError> {
        let wrong =
            |why: &str| StoreError::Invalid(format!("{address:?} is not s3://bucket or s3://bucket/prefix: {why}"));
        let place = address.strip_prefix(SCHEME).ok_or_else(|| wrong("it begins otherwise"))?;
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(plain) {
            return Err(wrong("a bucket's name has 3 to 63 of a-z, 0-9, dot and hyphen"));
        }
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() && check_path(prefix).is_err() {
            return Err(wrong("a prefix is made of segments of [A-Za-z0-9._-]"));
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: String::new(),
            region: "us-east-1".to_owned(),
            keys: None,
            timeouts: S3Timeouts::default(),
        })
    }
}

/// Blobs below a prefix of a bucket. Several processes may use it at once: an object appears as a whole.
pub struct S3 {
    bucket: AmazonS3,
    name: String,
    prefix: String,
    whole: Duration,
}

impl S3 {
    /// Opens a bucket and looks whether it may be used. A service that does not answer now is no reason to fail: it may answer later.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when bucket, endpoint or keys are wrong.
    pub async fn open(config: &S3Config) -> Result<Self, StoreError> {
        let opened = Self::prepare(config)?;
        match opened.get(PROBE).await {
            Ok(_) => {}
            Err(StoreError::Unavailable(why)) => tracing::warn!("the blobs cannot be reached now: {why}"),
            Err(refused) => return Err(refused),
        }
        Ok(opened)
    }

    fn prepare(config: &S3Config) -> Result<Self, StoreError> {
        // The client takes the process's provider, and ends the process without one. Whoever set one before keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let S3Timeouts { connect, silence, whole } = config.timeouts;
        let client = ClientOptions::new()
            .with_connect_timeout(connect)
            .with_read_timeout(silence)
            // Counted for each operation instead, because it depends on its size.
            .with_timeout_disabled()
            .with_allow_http(config.endpoint.starts_with("http://"));
        let backoff =
            BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(2), base: 2.0 };
        let retry = RetryConfig { backoff, max_retries: 6, retry_timeout: whole };
        let mut builder = match &config.keys {
            Some((key, secret)) => AmazonS3Builder::new().with_access_key_id(key).with_secret_access_key(secret),
            None => AmazonS3Builder::from_env(),
        };
        if !config.endpoint.is_empty() {
            builder = builder.with_endpoint(&config.endpoint);
        }
        let bucket = builder
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_client_options(client)
            .with_retry(retry)
            // Not every service knows how to delete many at once.
            .with_disable_bulk_delete(true)
            .build()
            .map_err(|error| StoreError::Invalid(format!("bucket {}: {}", config.bucket, causes(&error))))?;
        Ok(Self { bucket, name: config.bucket.clone(), prefix: config.prefix.clone(), whole })
    }

    fn object(&self, path: &str) -> Result<Path, StoreError> {
        check_path(path)?;
        let whole = if self.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) };
        Path::parse(&whole).map_err(|error| StoreError::Invalid(error.to_string()))
    }

    /// Ends what takes too long: retries of retries, or a service that sends a byte now and then.
    async fn within<T>(&self, bytes: u64, work: impl Future<Output = Result<T, Error>>) -> Result<T, Failed> {
        let limit = self.whole + Duration::from_secs(bytes / SLOWEST_BYTES_A_SECOND);
        match tokio::time::timeout(limit, work).await {
            Ok(outcome) => outcome.map_err(|error| self.failed(&error)),
            Err(_) => {
                Err(Failed::For(StoreError::Unavailable(format!("bucket {}: no answer within {limit:?}", self.name))))
            }
        }
    }

    fn failed(&self, error: &Error) -> Failed {
        let text = format!("bucket {}: {}", self.name, causes(error));
        match error {
            // Also said of a bucket that is not there, which must not be taken for a blob that is not there.
            Error::NotFound { .. } if !text.contains("NoSuchBucket") => Failed::Missing(text),
            Error::NotFound { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. } => Failed::For(StoreError::Invalid(text)),
            // All operations here may be repeated: what is put replaces what was there.
            _ => Failed::For(StoreError::Unavailable(text)),
        }
    }
}

/// Why an operation failed.
enum Failed {
    /// There is no such object.
    Missing(String),
    /// Something else.
    For(StoreError),
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Missing(text) => Self::Unavailable(text),
            Failed::For(error) => error,
        }
    }
}

#[async_trait]
impl Blobs for S3 {
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        let object = self.object(path)?;
        limits::size("a blob", bytes.len(), limits::BLOB_MAX_BYTES)?;
        let length = bytes.len() as u64;
        self.within(length, self.bucket.put(&object, PutPayload::from_bytes(bytes))).await?;
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        let object = self.object(path)?;
        let found = match self.within(0, self.bucket.get(&object)).await {
            Err(Failed::Missing(_)) => return Ok(None),
            found => found?,
        };
        let size = found.meta.size;
        if size > limits::BLOB_MAX_BYTES as u64 {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            return Err(StoreError::TooLarge { what: "a blob", size, limit: limits::BLOB_MAX_BYTES });
        }
        let bytes = self.within(size, found.bytes()).await?;
        if bytes.len() as u64 != size {
            let text = format!("bucket {}: {} of {size} bytes of {object} arrived", self.name, bytes.len());
            return Err(StoreError::Unavailable(text));
        }
        Ok(Some(bytes))
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        let object = self.object(path)?;
        match self.within(0, self.bucket.delete(&object)).await {
            Ok(()) | Err(Failed::Missing(_)) => Ok(()),
            Err(failed) => Err(failed.into()),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let below = format!(
            "{}{}",
            if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) },
            folder_of(prefix)?
        );
        let folder = (!below.is_empty()).then(|| Path::parse(&below)).transpose();
        let folder = folder.map_err(|error| StoreError::Invalid(error.to_string()))?;
        // A page of a thousand names at a time; the service says how many there are, so the time is for all of them.
        let objects: Vec<_> = self.within(0, self.bucket.list(folder.as_ref()).try_collect()).await?;
        let own = |object: object_store::ObjectMeta| {
            let name = object.location.as_ref();
            let name =
                if self.prefix.is_empty() { name } else { name.strip_prefix(&self.prefix)?.strip_prefix('/')? };
            // What somebody else put there is no blob of ours.
            check_path(name).is_ok().then(|| name.to_owned())
        };
        let mut found: Vec<String> = objects.into_iter().filter_map(own).collect();
        found.sort();
        Ok(found)
    }
}

/// An error with what led to it; the library's own text often leaves that out.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_bucket_and_prefix() {
        let config = S3Config::at("s3://blobs.example/colloquy/one/").unwrap();
        assert_eq!((config.bucket.as_str(), config.prefix.as_str()), ("blobs.example", "colloquy/one"));
        assert_eq!(S3Config::at("s3://abc").unwrap().prefix, "");
        for wrong in ["s3:/abc", "s3://", "s3://ab", "s3://Abc", "s3://abc/../x", "s3://abc/a b", "s3://abc//x"] {
            let error = S3Config::at(wrong).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn the_secret_is_not_shown() {
        let keys = Some(("key".to_owned(), "hush".to_owned()));
        let shown = format!("{:?}", S3Config { keys, ..S3Config::at("s3://abc").unwrap() });
        assert!(shown.contains("key") && !shown.contains("hush"), "{shown}");
    }
}
