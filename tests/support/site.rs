//! Websites on loopback for the crawler to read: a folder of files, or any router.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running site; it ends when this is dropped.
pub(crate) struct Site {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Site {
    /// Serves the files of a folder; a path that ends with a slash is its `index.html`.
    pub(crate) async fn folder(folder: impl Into<PathBuf>) -> Self {
        let folder: PathBuf = folder.into();
        assert!(folder.join("index.html").is_file(), "{} has no index.html", folder.display());
        Self::router(Router::new().fallback(file).with_state(Arc::new(folder))).await
    }

    /// Serves a router.
    pub(crate) async fn router(router: Router) -> Self {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = asked.clone();
        let router = router.layer(middleware::from_fn(move |request: Request, next: Next| {
            log.lock().unwrap_or_else(PoisonError::into_inner).push(request.uri().to_string());
            next.run(request)
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("the site serves") });
        Self { address, asked, task }
    }

    /// The address of a page.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The paths that were asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn file(State(folder): State<Arc<PathBuf>>, uri: Uri) -> Response {
    let mut path = uri.path().trim_start_matches('/').to_owned();
    if path.is_empty() || path.ends_with('/') {
        path.push_str("index.html");
    }
    // Names in the folder are plain; anything else is not there.
    let plain = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
    match tokio::fs::read(folder.join(&path)).await {
        Ok(bytes) if plain => ([(header::CONTENT_TYPE, content_type(&path))], bytes).into_response(),
        Ok(_) | Err(_) => {
            (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/html")], "<h1>Not found</h1>").into_response()
        }
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("css") => "text/css",
        Some("js") => "text/javascript",
        Some("txt") => "text/plain; charset=utf-8",
        Some("xml") => "application/xml",
        Some("png") => "image/png",
        Some("gif") => "image/gif",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("svg") => "image/svg+xml",
        Some("pdf") => "application/pdf",
        Some(_) | None => "application/octet-stream",
    }
}
