//! A loopback server that answers chat completions as its script says, one request after the other.

pub(crate) mod call;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// One thing the server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Sends these bytes of the body as they are.
    Send(String),
    /// Says nothing until the client has hung up.
    Hang,
    /// Closes the connection without ending the body.
    Cut,
}

/// How one request is answered.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    status: u16,
    headers: Vec<(&'static str, String)>,
    acts: Vec<Act>,
}

/// A stream of these events, ended properly.
pub(crate) fn stream(events: &[Value]) -> Script {
    let mut text: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    text.push_str("data: [DONE]\n\n");
    acts(vec![Act::Send(text)])
}

/// A stream that does these things.
pub(crate) fn acts(acts: Vec<Act>) -> Script {
    Script { status: 200, headers: vec![("content-type", "text/event-stream".into())], acts }
}

/// A refusal.
pub(crate) fn status(status: u16, headers: Vec<(&'static str, String)>, body: &str) -> Script {
    Script { status, headers, acts: vec![Act::Send(body.to_owned())] }
}

/// A JSON answer to a request for a stream.
pub(crate) fn json_body(body: &str) -> Script {
    Script {
        status: 200,
        headers: vec![("content-type", "application/json".into())],
        acts: vec![Act::Send(body.to_owned())],
    }
}

/// A piece of text.
pub(crate) fn text(text: &str) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "model": "m-2026-01-01",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]})
}

/// The end of the answer.
pub(crate) fn finish(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

/// As [`text`], written out as an event.
pub(crate) fn event(value: &Value) -> Act {
    Act::Send(format!("data: {value}\n\n"))
}

/// The server and what it was asked.
pub(crate) struct Fake {
    pub(crate) base_url: String,
    requests: Arc<Mutex<Vec<Value>>>,
    hung_up: watch::Receiver<u32>,
}

impl Fake {
    /// Starts it; each request takes the next script, and a request beyond the last gets a 500.
    pub(crate) async fn start(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let base_url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (hang_ups, hung_up) = watch::channel(0);
        let scripts = Arc::new(Mutex::new(VecDeque::from(scripts)));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (scripts, seen, hang_ups) = (Arc::clone(&scripts), Arc::clone(&seen), hang_ups.clone());
                tokio::spawn(async move { serve(socket, &scripts, &seen, &hang_ups).await });
            }
        });
        Self { base_url, requests, hung_up }
    }

    /// The bodies of all requests so far.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.requests.lock().expect("requests").clone()
    }

    /// The models that were asked, in order.
    pub(crate) fn models(&self) -> Vec<String> {
        self.requests().iter().map(|body| body["model"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until a client has hung up on a hanging answer.
    pub(crate) async fn until_hung_up(&mut self) {
        let waiting = self.hung_up.wait_for(|count| *count > 0);
        tokio::time::timeout(Duration::from_secs(5), waiting)
            .await
            .expect("the client hangs up")
            .expect("the server runs");
    }
}

async fn serve(
    mut socket: TcpStream,
    scripts: &Mutex<VecDeque<Script>>,
    seen: &Mutex<Vec<Value>>,
    hang_ups: &watch::Sender<u32>,
) {
    let Some(body) = read_request(&mut socket).await else {
        return;
    };
    seen.lock().expect("requests").push(body);
    let next = scripts.lock().expect("scripts").pop_front();
    let script = next.unwrap_or_else(|| status(500, vec![], "the script is over"));
    let mut head =
        format!("HTTP/1.1 {} Scripted\r\nconnection: close\r\ntransfer-encoding: chunked\r\n", script.status);
    for (name, value) in &script.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    if socket.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    for act in script.acts {
        match act {
            Act::Send(text) => {
                if text.is_empty() {
                    continue;
                }
                let chunk = format!("{:x}\r\n{text}\r\n", text.len());
                if socket.write_all(chunk.as_bytes()).await.is_err() {
                    return;
                }
            }
            Act::Hang => {
                let mut rest = [0_u8; 64];
                while socket.read(&mut rest).await.is_ok_and(|read| read > 0) {}
                hang_ups.send_modify(|count| *count += 1);
                return;
            }
            Act::Cut => return,
        }
    }
    let _ = socket.write_all(b"0\r\n\r\n").await;
}

async fn read_request(socket: &mut TcpStream) -> Option<Value> {
    let mut bytes = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let read = socket.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        assert!(head.starts_with("post /v1/chat/completions "), "{head}");
        assert!(head.contains("authorization: bearer sk-test"), "the key is sent");
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse::<usize>().ok()?;
        if bytes.len() >= end + 4 + length {
            return serde_json::from_slice(&bytes[end + 4..end + 4 + length]).ok();
        }
    }
}
