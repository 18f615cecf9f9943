//! A small HTTP/1.1 client on loopback that keeps its connections: cheap enough to share a machine with what it measures.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::error::{Error, Result};

/// Unused connections kept. More than a thousand requests a second with half a second each need at once.
const IDLE_MAX: usize = 4096;
/// The longest answer read as a whole: a page of 200 rows is far below.
const BODY_MAX: usize = 16 << 20;
/// How long a call of the console may take.
const CALL: Duration = Duration::from_secs(60);

type Sender = SendRequest<Full<Bytes>>;

/// Requests to one server.
#[derive(Debug)]
pub(crate) struct Client {
    server: SocketAddr,
    host: String,
    idle: Mutex<Vec<Sender>>,
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    body: Incoming,
    connection: Option<Sender>,
    client: Arc<Client>,
}

impl Client {
    /// A client without connections yet.
    pub(crate) fn new(server: SocketAddr) -> Arc<Self> {
        Arc::new(Self { server, host: server.to_string(), idle: Mutex::default() })
    }

    /// Where it sends to.
    pub(crate) fn server(&self) -> SocketAddr {
        self.server
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// [`Error::Io`] when nothing listens, [`Error::Http`] when the exchange breaks.
    pub(crate) async fn send(
        self: &Arc<Self>,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, &str)],
        body: Bytes,
    ) -> Result<Answer> {
        let what = || format!("{method} {path}");
        let mut request = Request::builder().method(method.clone()).uri(path).header(header::HOST, &self.host);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let mut request =
            request.body(Full::new(body)).map_err(|error| Error::Setup(format!("{}: {error}", what())))?;
        // A kept connection may have been closed by the server just now: then the request comes back unsent and goes over another.
        loop {
            let (mut connection, fresh) = match self.kept().await {
                Some(connection) => (connection, false),
                None => (self.connect().await?, true),
            };
            match connection.try_send_request(request).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    return Ok(Answer {
                        status: head.status,
                        headers: head.headers,
                        body,
                        connection: Some(connection),
                        client: Arc::clone(self),
                    });
                }
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    Some(_) | None => {
                        return Err(Error::Http { what: what(), source: refused.into_error() });
                    }
                },
            }
        }
    }

    /// A JSON call as the console makes it; an answer without a body is null.
    ///
    /// # Errors
    /// [`Error::Refused`] for any status but success, [`Error::NotInTime`] after a minute, and those of [`Client::send`].
    pub(crate) async fn call(
        self: &Arc<Self>,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Value> {
        let call = format!("{method} {path}");
        let bytes =
            body.map(serde_json::to_vec).transpose().map_err(|error| Error::Setup(format!("{call}: {error}")))?;
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![(header::ACCEPT, "application/json")];
        if bytes.is_some() {
            headers.push((header::CONTENT_TYPE, "application/json"));
        }
        if let Some(bearer) = &bearer {
            headers.push((header::AUTHORIZATION, bearer));
        }
        let exchange = async {
            let answer = self.send(method, path, &headers, bytes.unwrap_or_default().into()).await?;
            let status = answer.status;
            let text = answer.bytes().await?;
            if !status.is_success() {
                return Err(refused(&call, status, &text));
            }
            if text.is_empty() {
                return Ok(Value::Null);
            }
            serde_json::from_slice(&text).map_err(|error| Error::unexpected(&call, error.to_string()))
        };
        tokio::time::timeout(CALL, exchange)
            .await
            .unwrap_or_else(|_| Err(Error::NotInTime { what: call.clone(), after: CALL }))
    }

    async fn kept(&self) -> Option<Sender> {
        loop {
            let mut connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if connection.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<Sender> {
        let failed = |source| Error::io(format!("nothing answers at {}", self.server), source);
        let stream = TcpStream::connect(self.server).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|source| Error::Http { what: "a new connection".into(), source })?;
        tokio::spawn(async move {
            let _ = connection.await; // Whoever waits for the answer is told by the sender.
        });
        Ok(sender)
    }

    fn keep(&self, connection: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && !connection.is_closed() {
            idle.push(connection);
        }
    }
}

impl Answer {
    /// The next piece of the body; none at its end, after which the connection is free again.
    ///
    /// # Errors
    /// [`Error::Http`] when the body breaks off.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>> {
        loop {
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(source)) => {
                    self.connection = None;
                    return Err(Error::Http { what: "an answer broke off".into(), source });
                }
                None => {
                    if let Some(connection) = self.connection.take() {
                        self.client.keep(connection);
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`Error::Http`] when it breaks off, [`Error::Unexpected`] when it is larger than anything the contract has.
    pub(crate) async fn bytes(mut self) -> Result<Bytes> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if whole.len() + piece.len() > BODY_MAX {
                return Err(Error::unexpected("an answer", "it does not end"));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}

/// A problem as the contract describes it.
pub(crate) fn refused(call: &str, status: StatusCode, body: &[u8]) -> Error {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
    let fields: Vec<String> = problem["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|error| {
            format!(
                "{}: {}",
                error["field"].as_str().unwrap_or_default(),
                error["message"].as_str().unwrap_or_default()
            )
        })
        .collect();
    let detail = if fields.is_empty() { text("detail") } else { format!("{} ({})", text("detail"), fields.join("; ")) };
    Error::Refused { call: call.to_owned(), status: status.as_u16(), code: text("code"), detail }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::{get, post};
    use serde_json::json;

    use super::*;
    use crate::floor::listen;

    async fn server() -> Arc<Client> {
        let app = Router::new()
            .route("/echo", post(|body: String| async move { body }))
            .route(
                "/refused",
                get(|| async {
                    (
                        StatusCode::UNPROCESSABLE_ENTITY,
                        r#"{"code":"invalid","detail":"no","errors":[{"field":"name","message":"is missing"}]}"#,
                    )
                }),
            )
            .route("/nothing", get(|| async { StatusCode::NO_CONTENT }));
        let (listener, address) = listen().await.expect("listener");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Client::new(address)
    }

    #[tokio::test]
    async fn calls_give_json_and_one_connection_serves_them_all() {
        let client = server().await;
        for number in 0..5 {
            let body = json!({ "number": number });
            assert_eq!(client.call(Method::POST, "/echo", None, Some(&body)).await.expect("echo"), body);
        }
        assert_eq!(client.call(Method::GET, "/nothing", None, None::<&()>).await.expect("nothing"), Value::Null);
        assert_eq!(client.idle.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_refusal_names_call_status_code_and_fields() {
        let error =
            server().await.call(Method::GET, "/refused", None, None::<&()>).await.expect_err("refused").to_string();
        assert_eq!(error, "GET /refused was refused: 422 invalid: no (name: is missing)");
    }

    #[tokio::test]
    async fn a_server_that_is_gone_is_named() {
        let (listener, address) = listen().await.expect("listener");
        drop(listener);
        let error = Client::new(address).call(Method::GET, "/", None, None::<&()>).await.expect_err("gone").to_string();
        assert!(error.contains(&address.to_string()), "{error}");
    }
}
