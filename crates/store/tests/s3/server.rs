//! A small service that speaks as much of S3's protocol as blobs need, keeps everything in memory, and fails as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use colloquy_store::s3::{S3, S3Config, S3Timeouts};
use tokio::task::JoinHandle;

/// The one bucket there is.
pub(crate) const BUCKET: &str = "blobs-of-tests";
/// Who may use it.
pub(crate) const KEY: &str = "key-of-tests";
/// Names on one page of a list: few, so that lists have pages.
const PAGE: usize = 3;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 503 Slow Down.
    SlowDown,
    /// Done, and answered with 500 all the same.
    DoneAndLost,
    /// Half of the body, then the connection breaks.
    Truncated,
    /// Half of the body, then nothing for ever.
    Stalled,
    /// No answer at all.
    Silent,
}

#[derive(Default)]
struct Kept {
    objects: BTreeMap<String, Bytes>,
    faults: VecDeque<Fault>,
    /// Of every request from now on, once there are no others.
    always: Option<Fault>,
    requests: usize,
}

/// A running service.
pub(crate) struct Server {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts an empty one.
    pub(crate) async fn start() -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = Router::new().fallback(serve).layer(DefaultBodyLimit::disable()).with_state(kept.clone());
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("serves until it is dropped");
        });
        Self { address, kept, task }
    }

    /// How its bucket is opened.
    pub(crate) fn config(&self) -> S3Config {
        S3Config {
            endpoint: format!("http://{}", self.address),
            keys: Some((KEY.to_owned(), "secret-of-tests".to_owned())),
            timeouts: S3Timeouts {
                connect: Duration::from_secs(5),
                silence: Duration::from_millis(300),
                whole: Duration::from_secs(3),
            },
            ..S3Config::at(&format!("s3://{BUCKET}/one/two")).expect("an address")
        }
    }

    /// The bucket, open.
    pub(crate) async fn bucket(&self) -> S3 {
        S3::open(&self.config()).await.expect("opens")
    }

    /// The next requests fail like this, one after the other.
    pub(crate) fn fail(&self, faults: &[Fault]) {
        lock(&self.kept).faults.extend(faults);
    }

    /// All requests fail like this.
    pub(crate) fn fail_always(&self, fault: Option<Fault>) {
        lock(&self.kept).always = fault;
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> usize {
        lock(&self.kept).requests
    }

    /// Everything that is stored.
    pub(crate) fn objects(&self) -> BTreeMap<String, Bytes> {
        lock(&self.kept).objects.clone()
    }

    /// Puts something there as somebody else would.
    pub(crate) fn put_aside(&self, name: &str) {
        lock(&self.kept).objects.insert(name.to_owned(), Bytes::new());
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    State(kept): State<Arc<Mutex<Kept>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Response {
    let fault = {
        let mut kept = lock(&kept);
        kept.requests += 1;
        kept.faults.pop_front().or(kept.always)
    };
    match fault {
        Some(Fault::SlowDown) => return refusal(StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
        Some(Fault::Silent) => std::future::pending().await,
        Some(Fault::DoneAndLost | Fault::Truncated | Fault::Stalled) | None => {}
    }
    let signed = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !signed.starts_with("AWS4-HMAC-SHA256 ") || !signed.contains(&format!("Credential={KEY}/")) {
        return refusal(StatusCode::FORBIDDEN, "InvalidAccessKeyId");
    }
    let path = uri.path().trim_start_matches('/');
    let (bucket, name) = path.split_once('/').unwrap_or((path, ""));
    if bucket != BUCKET {
        return refusal(StatusCode::NOT_FOUND, "NoSuchBucket");
    }
    let answer = match (method, name) {
        (Method::GET, "") => list(&lock(&kept).objects, &query),
        (Method::GET, name) => match lock(&kept).objects.get(name).cloned() {
            Some(object) => return object_of(object, fault),
            None => refusal(StatusCode::NOT_FOUND, "NoSuchKey"),
        },
        (Method::PUT, name) => {
            lock(&kept).objects.insert(name.to_owned(), body);
            (StatusCode::OK, [(header::ETAG, "\"one\"")]).into_response()
        }
        (Method::DELETE, name) => {
            lock(&kept).objects.remove(name);
            StatusCode::NO_CONTENT.into_response()
        }
        (method, name) => panic!("{method} {name} is not asked of a folder of blobs"),
    };
    match fault {
        Some(Fault::DoneAndLost) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        Some(Fault::SlowDown | Fault::Truncated | Fault::Stalled | Fault::Silent) | None => answer,
    }
}

/// A whole object, or half of one.
fn object_of(object: Bytes, fault: Option<Fault>) -> Response {
    let length = object.len();
    let half = object.slice(..length / 2);
    let body = match fault {
        Some(Fault::Truncated) => {
            Body::from_stream(futures::stream::iter([Ok(half), Err(std::io::Error::other("the connection breaks"))]))
        }
        Some(Fault::Stalled) => {
            use futures::StreamExt as _;
            Body::from_stream(futures::stream::iter([Ok::<_, std::io::Error>(half)]).chain(futures::stream::pending()))
        }
        Some(Fault::SlowDown | Fault::DoneAndLost | Fault::Silent) | None => Body::from(object),
    };
    let response = Response::builder()
        .header(header::CONTENT_LENGTH, length)
        .header(header::LAST_MODIFIED, "Sat, 21 Nov 2026 08:00:00 GMT");
    response.body(body).expect("a response")
}

fn refusal(status: StatusCode, code: &str) -> Response {
    (status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as asked</Message></Error>"))
        .into_response()
}

/// ListObjectsV2, by pages.
fn list(objects: &BTreeMap<String, Bytes>, query: &BTreeMap<String, String>) -> Response {
    let prefix = query.get("prefix").map_or("", String::as_str);
    let after = query.get("continuation-token").map_or("", String::as_str);
    let mut found = objects.iter().filter(|(name, _)| name.starts_with(prefix) && name.as_str() > after);
    let page: Vec<_> = found.by_ref().take(PAGE).collect();
    let more = found.next().is_some();
    let contents: String = page
        .iter()
        .map(|(name, object)| {
            format!(
                "<Contents><Key>{name}</Key><LastModified>2026-11-21T08:00:00.000Z</LastModified><ETag>\"one\"</ETag><Size>{}</Size></Contents>",
                object.len()
            )
        })
        .collect();
    let next =
        page.last().filter(|_| more).map(|(name, _)| format!("<NextContinuationToken>{name}</NextContinuationToken>"));
    let text = format!(
        "<?xml version=\"1.0\"?><ListBucketResult><Name>{BUCKET}</Name><Prefix>{prefix}</Prefix><KeyCount>{}</KeyCount><MaxKeys>{PAGE}</MaxKeys><IsTruncated>{more}</IsTruncated>{contents}{}</ListBucketResult>",
        page.len(),
        next.unwrap_or_default()
    );
    ([(header::CONTENT_TYPE, "application/xml")], text).into_response()
}
