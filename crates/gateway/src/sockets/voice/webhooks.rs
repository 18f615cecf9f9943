//! Twilio's webhooks of a call: what is to be done with one that came in or was taken, and what follows when its socket has ended.
//!
//! Behind these addresses are entities that may live on a node that has just died. Twilio waits fifteen seconds and hangs up on whatever is no answer,
//! so that a webhook is tried for nine and then answered with a pause and an invitation to ask again: the caller waits. Everything a try does may be
//! done again. All that follows is decided from the call as it stands, not from the address that is asked, so that asking again goes on anywhere.

use std::time::Duration;

use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use colloquy_actors::ActorError;
use colloquy_actors::calls;
use colloquy_actors::campaign::errand;
use colloquy_actors::campaign::hear::{self, Dialled};
use colloquy_actors::domain::Principal;
use colloquy_actors::domain::call::{Call, Carrier, Direction, End, TransferKind};
use colloquy_actors::domain::campaign::slice::Report;
use colloquy_actors::domain::ids::AgentId;
use colloquy_actors::domain::lines::Provider;
use colloquy_actors::telephony::error::Unverified;
use colloquy_actors::telephony::twilio::callbacks::CallWebhook;
use colloquy_actors::telephony::twilio::form::Form;
use colloquy_actors::telephony::twilio::relay::SessionEnd;
use colloquy_actors::telephony::twilio::twiml;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::stream::{self, Ends};
use super::{handover, twilio, voicemail};
use crate::app::{App, AppState};
use crate::body::Query;
use crate::chat::Reached;
use crate::problem::{Problem, Result};
use crate::routes::messages::{Account, account_at, account_of, believe, form, malformed, unverified};

/// How long a webhook is tried for: Twilio gives up after fifteen seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(9);
/// The pause between two tries.
const AGAIN: Duration = Duration::from_millis(250);
/// How long a caller whose webhook could not be answered is asked to wait, seconds.
const PAUSE_S: u32 = 2;
/// How often in a row: some ninety seconds, in which a dead node has been replaced for long.
const WAITS_MAX: u32 = 8;
/// How often a call is answered anew whose socket never came.
const ANEW_MAX: u32 = 3;
/// Said when the agent does not answer the telephone.
const NOT_ANSWERING: &str = "Thank you for calling. Nobody can take your call right now. Please try again later.";
/// Why a call ends whose agent does not answer.
const AGENT_AWAY: &str = "agent_not_answering";
/// Why a call ends whose socket never came.
const NO_SOCKET: &str = "no_connection";

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(voice)).routes(routes!(voice_of)).routes(routes!(ended))
}

/// What an address of ours says beside its path; all of it under Twilio's signature.
#[derive(Debug, Default, Deserialize)]
pub(super) struct About {
    /// The dial that the call comes of.
    #[serde(default)]
    d: Option<String>,
    /// How often the call was answered anew.
    #[serde(default)]
    n: u32,
    /// How often the caller was asked to wait.
    #[serde(default)]
    pub(super) w: u32,
    /// Our name of the call.
    #[serde(default)]
    pub(super) c: Option<String>,
}

impl About {
    fn dialled(&self) -> Option<Dialled> {
        self.d.as_deref().and_then(Dialled::read)
    }

    /// Where Twilio asks for whatever follows a call's socket, when that cannot be said now; nothing once it has asked often enough.
    pub(super) fn to_voice(&self, app: &AppState, connection: &str) -> Option<String> {
        self.again(&format!("{}/api/voice/twilio/voice/{connection}", app.settings.api_url))
    }

    /// The same address once more.
    pub(super) fn again(&self, address: &str) -> Option<String> {
        let waits = (self.w + 1).to_string();
        let mut query = vec![("w", waits.as_str())];
        for (name, value) in [("d", &self.d), ("c", &self.c)] {
            query.extend(value.as_deref().map(|value| (name, value)));
        }
        (self.w < WAITS_MAX).then(|| format!("{address}?{}", Form::of(&query).to_body()))
    }
}

/// The address that is asked when a socket has ended: it says how often the call was answered anew, and which dial it comes of.
pub(super) fn followed(address: &str, tries: u32, dial: Option<&str>) -> String {
    match (tries, dial) {
        (0, None) => address.to_owned(),
        (tries, None) => format!("{address}?n={tries}"),
        (tries, Some(dial)) => format!("{address}?n={tries}&d={dial}"),
    }
}

/// Finds an answer while there is time, and has the caller wait when there is none.
pub(super) async fn patiently<F>(again: Option<String>, ask: impl Fn() -> F) -> Result<Response>
where
    F: Future<Output = Result<twiml::Response>>,
{
    let until = Instant::now() + ANSWER_WITHIN;
    loop {
        match timeout_at(until, ask()).await {
            Ok(Ok(answer)) => return Ok(xml(&answer)),
            // Whatever else is wrong will be wrong again.
            Ok(Err(problem)) if problem.body.status != 503 => return Err(problem),
            Ok(Err(_)) if Instant::now() + AGAIN < until => tokio::time::sleep(AGAIN).await,
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(waits = again.is_some(), "a webhook of a call could not be answered in time");
                return Ok(xml(&match again {
                    Some(address) => twiml::Response::new().then(twiml::pause(PAUSE_S)).then(twiml::redirect(&address)),
                    None => not_answering(),
                }));
            }
        }
    }
}

/// Twilio: a call came in, or one that we made was taken. The number says whose it is.
#[utoipa::path(post, path = "/api/voice/twilio/voice", tag = "calls", responses((status = 200, content_type = "text/xml"), (status = 401)))]
async fn voice(
    State(app): State<App>,
    Query(about): Query<About>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let form = form(&body)?;
    let again = about.again(&format!("{}/api/voice/twilio/voice", app.settings.api_url));
    patiently(again, || async {
        for name in ["To", "From"] {
            let Some(number) = form.get(name) else { continue };
            match account_at(&app, number, form.get("AccountSid")).await {
                Ok(account) => {
                    believe(&app, &account, &uri, &headers, &form)?;
                    return answered(&app, &account, &form, &about, 0).await;
                }
                Err(problem) if problem.body.status == 503 => return Err(problem),
                Err(_) => {}
            }
        }
        Err(unverified(Unverified::NoKey))
    })
    .await
}

/// Twilio: the same, for this account.
#[utoipa::path(post, path = "/api/voice/twilio/voice/{connection_id}", tag = "calls", params(("connection_id" = String, Path), ("d" = Option<String>, Query), ("w" = Option<u32>, Query)), responses((status = 200, content_type = "text/xml"), (status = 401)))]
async fn voice_of(
    State(app): State<App>,
    Path(connection): Path<String>,
    Query(about): Query<About>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let form = form(&body)?;
    patiently(about.to_voice(&app, &connection), || async {
        let account = account_of(&app, &connection).await?;
        believe(&app, &account, &uri, &headers, &form)?;
        answered(&app, &account, &form, &about, 0).await
    })
    .await
}

/// Twilio: a session of a call is over. What follows: another one if the connection was lost, the person the caller is put through to, or the end.
#[utoipa::path(post, path = "/api/voice/twilio/relay/{connection_id}/ended", tag = "calls", params(("connection_id" = String, Path), ("n" = Option<u32>, Query), ("d" = Option<String>, Query)), responses((status = 200, content_type = "text/xml"), (status = 401)))]
async fn ended(
    State(app): State<App>,
    Path(connection): Path<String>,
    Query(about): Query<About>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let form = form(&body)?;
    patiently(about.to_voice(&app, &connection), || async {
        let account = account_of(&app, &connection).await?;
        believe(&app, &account, &uri, &headers, &form)?;
        let end = SessionEnd::read(&form).map_err(malformed)?;
        let told = CallWebhook::read(&form).map_err(malformed)?;
        let gone = told.status.as_ref().is_some_and(|status| status.is_terminal());
        let reason = end.status.clone().or_else(|| end.error_code.map(|code| code.to_string())).unwrap_or_default();
        // What we gave along comes back under Twilio's signature; the call itself says whom it goes to.
        let handed = end.handoff_data.as_deref().and_then(|data| serde_json::from_str::<Value>(data).ok());
        let handed = handed.is_some_and(|data| data["transfer"].is_string());
        let how = match (gone, end.is_to_be_resumed()) {
            (true, _) => Ending::Gone { reason },
            (false, true) => Ending::Lost,
            (false, false) => Ending::Ended { reason, handed },
        };
        follow_up(&app, &account, &form, &about, how).await
    })
    .await
}

/// How a socket of a call ended, as far as Twilio says.
pub(super) enum Ending {
    /// The caller has hung up.
    Gone {
        /// In Twilio's word.
        reason: String,
    },
    /// The caller is there, and the connection is not.
    Lost,
    /// It was ended, by us or by the caller.
    Ended {
        /// In Twilio's word.
        reason: String,
        /// By us, so that the caller is put through.
        handed: bool,
    },
}

/// What follows when a call's socket has ended, or never came.
pub(super) async fn follow_up(
    app: &AppState,
    account: &Account,
    form: &Form,
    about: &About,
    how: Ending,
) -> Result<twiml::Response> {
    let told = CallWebhook::read(form).map_err(malformed)?;
    let by = Principal::system(account.tenant.clone());
    let id = calls::id(&app.actors.tools, &account.tenant, Carrier::Twilio, &told.call_sid);
    let call = calls::find(&app.actors.client, &by, &id).await?;
    let began = call.as_ref().is_some_and(|call| call.sockets > 0);
    let over = call.as_ref().is_some_and(|call| call.status.over());
    let waits = !matches!(how, Ending::Gone { .. });
    if !began && !over && waits && about.n < ANEW_MAX && told.direction.is_some() {
        // Nobody has spoken with the caller yet: the socket never came.
        return answered(app, account, form, about, about.n + 1).await;
    }
    let Some(call) = call else { return Ok(hung_up()) };
    let puts_through = matches!(how, Ending::Lost | Ending::Ended { handed: true, .. });
    if over {
        // Twilio asks again.
        let cold = call.transfer.as_ref().filter(|transfer| transfer.kind == TransferKind::Cold && puts_through);
        return Ok(cold.map_or_else(hung_up, handover::put_through));
    }
    if puts_through && call.handing_on().is_some() {
        return handover::instructions(app, account, &call).await;
    }
    if let (Ending::Lost, true) = (&how, began)
        && let Some(again) = gone_on(app, account, &call, &told.call_sid).await?
    {
        return Ok(again);
    }
    let reason = match how {
        Ending::Gone { reason } | Ending::Ended { reason, .. } if began => Some(reason),
        Ending::Lost if began => None,
        Ending::Gone { .. } => None,
        Ending::Lost | Ending::Ended { .. } => Some(NO_SOCKET.to_owned()),
    };
    let reason = reason.filter(|reason| !reason.is_empty());
    end(app, account, &call, reason).await?;
    Ok(if began || !waits { hung_up() } else { not_answering() })
}

/// What Twilio is to do with a call: connect it with our socket. One that we made is answered by the agent that it was made for; one that is known goes
/// on where it was.
async fn answered(
    app: &AppState,
    account: &Account,
    form: &Form,
    about: &About,
    tries: u32,
) -> Result<twiml::Response> {
    let call = CallWebhook::read(form).map_err(malformed)?;
    let outbound = twilio::is_outbound(call.direction.as_deref());
    let ours = if outbound { &call.from } else { &call.to };
    let number =
        ours.as_deref().and_then(|number| account.called(number)).ok_or_else(|| Problem::not_found("number"))?;
    let (sid, direction) = (call.call_sid, call.direction);
    let dialled = about.dialled().filter(|_| outbound);
    let ends = Ends::of(direction.as_deref(), call.from, call.to, dialled.clone());
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let heard = ends.heard(&number.agent, &sid, account.pacer()?);
    let rung = if outbound { Ok(None) } else { calls::ring(client, tools, &account.tenant, heard).await };
    let known = match rung {
        // One that another agent has begun to answer, or that is asked about again because the caller was asked to wait.
        Ok(None) if about.w == 0 => None,
        Ok(None) | Err(ActorError::Rejected(_)) => {
            let id = calls::id(tools, &account.tenant, Carrier::Twilio, &sid);
            calls::find(client, &Principal::system(account.tenant.clone()), &id).await?
        }
        Ok(Some(known)) => Some(known),
        Err(error) => return Err(error.into()),
    };
    if let Some(known) = known.filter(|known| known.sockets > 0 || known.status.over()) {
        if known.status.over() {
            return Ok(hung_up());
        }
        if known.handing_on().is_some() {
            return handover::instructions(app, account, &known).await;
        }
        if let Some(again) = gone_on(app, account, &known, &sid).await? {
            return Ok(again);
        }
        end(app, account, &known, Some(AGENT_AWAY.to_owned())).await?;
        return Ok(not_answering());
    }
    let Some(dialled) = dialled else {
        let Some(agent) = twilio::reached(app, &number.agent, outbound).await? else {
            if !outbound {
                ended_at_once(app, account, &sid).await?;
            }
            return Ok(not_answering());
        };
        if !outbound && let Some(record) = voicemail::instructions(app, account, &agent).await? {
            return Ok(record);
        }
        return voiced(app, account, &agent, &sid, &ends, tries);
    };
    // Settled, or taken back: nobody has anything to say any more.
    let brief = errand::brief(&app.actors.client, &account.tenant, &dialled).await?;
    let Some(brief) = brief else { return Ok(hung_up()) };
    match twilio::reached(app, &brief.agent_id, true).await? {
        Some(agent) => voiced(app, account, &agent, &sid, &ends, tries),
        None => {
            // Somebody has picked up, and there is nobody to speak with them.
            hear::tell(&app.actors.client, &account.tenant, &dialled, Report::Abandoned).await?;
            Ok(hung_up())
        }
    }
}

/// Instructions to open our socket for a call: for its sound where the agent has a voice of ours, for its words otherwise.
fn voiced(
    app: &AppState,
    account: &Account,
    agent: &Reached,
    call_sid: &str,
    ends: &Ends,
    tries: u32,
) -> Result<twiml::Response> {
    // The simulated carrier has words and no sound.
    if account.provider != Provider::Simulated && stream::is_ours(app, agent) {
        stream::connected(app, account, agent, call_sid, ends, tries)
    } else {
        twilio::connected(app, account, agent, call_sid, ends.dial.as_ref(), tries)
    }
}

/// Instructions to go on with a call whose connection was lost, or whose caller comes back from somebody who did not take it: over sound of ours if it
/// is there, over Twilio's otherwise. None when its agent answers no more.
pub(super) async fn gone_on(
    app: &AppState,
    account: &Account,
    call: &Call,
    call_sid: &str,
) -> Result<Option<twiml::Response>> {
    let Some(is) = &call.is else { return Ok(None) };
    let agent: &AgentId = &is.agent_id;
    let Some(agent) = twilio::reached(app, agent, is.direction == Direction::Outbound).await? else { return Ok(None) };
    Ok(Some(voiced(app, account, &agent, call_sid, &Ends::of_call(is), 0)?))
}

/// Nobody carries the call any more.
pub(super) async fn end(app: &AppState, account: &Account, call: &Call, reason: Option<String>) -> Result<()> {
    let by = Principal::system(account.tenant.clone());
    match calls::end(&app.actors.client, &by, &call.id, End { reason, ..End::default() }).await {
        Ok(()) | Err(ActorError::Rejected(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A call came in whose agent does not answer: it is a missed one.
async fn ended_at_once(app: &AppState, account: &Account, sid: &str) -> Result<()> {
    let end = End { reason: Some(AGENT_AWAY.to_owned()), ..End::default() };
    let news = colloquy_actors::domain::call::Command::Ended(Box::new(end));
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    Ok(calls::told(client, tools, &account.tenant, Carrier::Twilio, sid, news).await?)
}

pub(super) fn hung_up() -> twiml::Response {
    twiml::Response::new().then(twiml::hang_up())
}

fn not_answering() -> twiml::Response {
    twiml::Response::new().then(twiml::say(NOT_ANSWERING, None, None)).then(twiml::hang_up())
}

pub(super) fn xml(response: &twiml::Response) -> Response {
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], response.to_xml()).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::body::to_bytes;

    use super::*;

    async fn text(answer: Result<Response>) -> String {
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200);
        String::from_utf8(to_bytes(answer.into_body(), 10_000).await.expect("a body").to_vec()).expect("text")
    }

    #[tokio::test(start_paused = true)]
    async fn a_webhook_is_tried_until_its_entity_is_back_and_then_the_caller_waits() {
        let away = || Problem::unavailable("moving", "The owner is away.", 1);
        let tried = AtomicU32::new(0);
        let back = patiently(Some("https://h/again".to_owned()), || async {
            if tried.fetch_add(1, Ordering::Relaxed) < 20 { Err(away()) } else { Ok(hung_up()) }
        });
        assert!(text(back.await).await.contains("<Hangup/>"), "after {tried:?} tries");
        let begun = Instant::now();
        let waits = text(patiently(Some("https://h/again?w=1".to_owned()), || async { Err(away()) }).await).await;
        assert!(
            waits.contains("<Pause length=\"2\"/><Redirect method=\"POST\">https://h/again?w=1</Redirect>"),
            "{waits}"
        );
        // One that hangs is given up as well.
        let hangs = patiently(Some("https://h/again".to_owned()), std::future::pending);
        assert!(text(hangs.await).await.contains("<Redirect"));
        assert!(begun.elapsed() <= 2 * ANSWER_WITHIN + AGAIN, "{:?}", begun.elapsed());
        let last = text(patiently(None, || async { Err(away()) }).await).await;
        assert!(last.contains("<Say>") && last.contains("<Hangup/>"), "nobody waits for ever: {last}");
        let refused = patiently(Some("https://h".to_owned()), || async { Err(unverified(Unverified::Wrong)) }).await;
        assert_eq!(refused.expect_err("refused").body.status, 401);
    }

    #[test]
    fn who_waits_is_asked_again_so_often_and_what_the_call_is_about_stays_in_the_address() {
        let about = About { d: Some("a.b".into()), n: 2, w: 3, c: None };
        assert_eq!(about.again("https://h/x").as_deref(), Some("https://h/x?w=4&d=a.b"));
        assert_eq!(About { w: WAITS_MAX, ..About::default() }.again("https://h/x"), None);
        assert_eq!(followed("https://h/e", 0, None), "https://h/e");
        assert_eq!(followed("https://h/e", 2, Some("a.b")), "https://h/e?n=2&d=a.b");
    }
}
