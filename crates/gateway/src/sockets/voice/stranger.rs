//! Retell's custom-LLM socket where its address holds no key of ours: nothing is believed of what it says before Retell itself has said the same.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket};
use axum::extract::{Path, State, WebSocketUpgrade};
use axum::response::Response;
use colloquy_actors::retell::look;
use colloquy_actors::telephony::retell::object::Call as Details;
use colloquy_actors::telephony::retell::session::{Event, Opening, Output, Session};
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::retell::{DETAILS_WITHIN, Driver, Is, SEND_WITHIN, call_id, place, sized};
use crate::app::App;
use crate::chat::{self, Reached};
use crate::problem::Problem;

/// How long Retell may take to say whether a call is its own: shorter than it waits for the echo of a ping.
const LOOK_WITHIN: Duration = Duration::from_secs(4);
/// The place of sockets that nobody knows yet.
const STRANGERS: &str = "retell without a key";
/// The answer to a call that is none of ours (RFC 6455: a policy).
const CLOSE_STRANGER: u16 = 1008;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(open_bare)).routes(routes!(open_bare_alias))
}

/// Retell's custom-LLM socket without a key of ours (WebSocket): served once Retell itself has said that there is such a call at a number of an account
/// that is connected here.
#[utoipa::path(get, path = "/api/voice/retell/llm/{call_id}", tag = "calls", params(("call_id" = String, Path)), responses((status = 101), (status = 503)))]
async fn open_bare(
    State(app): State<App>,
    Path(call): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    bare(app, &call, upgrade)
}

/// The same at the place where Retell's own examples have it.
#[utoipa::path(get, path = "/llm-websocket/{call_id}", tag = "calls", params(("call_id" = String, Path)), responses((status = 101), (status = 503)))]
async fn open_bare_alias(
    State(app): State<App>,
    Path(call): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    bare(app, &call, upgrade)
}

fn bare(app: App, call: &str, upgrade: WebSocketUpgrade) -> Result<Response, Problem> {
    let call_id = call_id(call)?;
    // Strangers have places of their own: whatever they do, calls with a key are served.
    let stranger = place(&app, STRANGERS)?;
    let tasks = app.sockets.tasks.clone();
    Ok(sized(upgrade).on_upgrade(move |mut socket| {
        tasks.track_future(async move {
            let mut out = Vec::new();
            let mut session = Session::open(Opening::Greet, app.now_ms(), &mut out);
            let Some((agent, call)) = claimed(&app, &mut socket, &mut session, &mut out, &call_id).await else {
                return;
            };
            let Ok(place) = place(&app, agent.id.as_str()) else { return };
            drop(stranger);
            let is = Is::of(Some(&call));
            Driver::new(app, socket, place, agent, call_id, session, out).run(Some(is)).await;
        })
    }))
}

/// What a call without a key turns out to be: whose it is, and what Retell itself says of it. A call that is none of ours is sent away.
async fn claimed(
    app: &App,
    socket: &mut WebSocket,
    session: &mut Session,
    out: &mut Vec<Output>,
    call_id: &str,
) -> Option<(Reached, Box<Details>)> {
    let said = timeout(DETAILS_WITHIN, details(app, socket, session, out)).await.ok()??;
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let claimed = match timeout(LOOK_WITHIN, look::claim(client, tools, call_id, &said)).await {
        Ok(Ok(claimed)) => claimed,
        // Ended without a word, so that Retell comes back: it cannot be found out now.
        Ok(Err(_)) | Err(_) => return None,
    };
    let agent = match &claimed {
        Some(claimed) => chat::reach(app, claimed.agent.as_str()).await.ok(),
        None => None,
    };
    match (agent, claimed) {
        (Some(agent), Some(claimed)) if agent.tenant == claimed.tenant => Some((agent, claimed.call)),
        _ => {
            let close = CloseFrame { code: CLOSE_STRANGER, reason: "".into() };
            let _ = timeout(SEND_WITHIN, socket.send(Frame::Close(Some(close)))).await;
            None
        }
    }
}

/// What a socket says of its call, once it does.
async fn details(
    app: &App,
    socket: &mut WebSocket,
    session: &mut Session,
    out: &mut Vec<Output>,
) -> Option<Box<Details>> {
    loop {
        for output in std::mem::take(out) {
            match output {
                Output::Send(text) => socket.send(Frame::Text(text.into())).await.ok()?,
                Output::Tell(Event::Details(details)) => return Some(details),
                Output::Tell(_) => {}
                Output::Close(_) | Output::Drop => return None,
            }
        }
        match socket.recv().await {
            Some(Ok(Frame::Text(text))) => session.on_text(app.now_ms(), &text, out),
            Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
            Some(Ok(Frame::Binary(_) | Frame::Close(_)) | Err(_)) | None => return None,
        }
    }
}
