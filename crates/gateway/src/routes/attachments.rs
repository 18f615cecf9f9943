//! `/api/conversations/{id}/attachments` and `/api/files`: files that people send with what they say, for the console, and for carriers and receivers by signed links.

use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use colloquy_actors::domain::conversation::attachment::{BYTES_MAX, FILES_MAX};
use colloquy_actors::domain::conversation::{Attachment, State as Talk};
use colloquy_actors::domain::ids::TenantId;
use colloquy_actors::domain::principal::Role;
use colloquy_actors::messages::files;
use colloquy_wire::conversations as wire;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::conversations::whole;
use super::range::{Part, outside, part};
use crate::app::{App, AppState};
use crate::auth::Console;
use crate::body::{Json, Query};
use crate::problem::{Problem, Result};

/// A page that a picture pretends to be may do nothing: no script, no form, no origin.
const PICTURE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";
/// Browsers show documents with programs of their own, which a sandbox would stop; nobody else's page may frame them.
const DOCUMENT_POLICY: &str = "frame-ancestors 'none'";

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(upload))
        .routes(routes!(show, remove))
        .routes(routes!(heard))
        .routes(routes!(fetch))
}

#[derive(Debug, Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

/// Keep a file with a conversation, to send it with a message: the body is the file itself, JPEG, PNG, GIF or PDF, up to 5 MB. What it is follows from its
/// bytes. The same file again is the same file.
#[utoipa::path(post, path = "/api/conversations/{id}/attachments", tag = "conversations", params(("id" = String, Path), ("name" = Option<String>, Query)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 201, body = wire::StoredFile), (status = 413), (status = 422)))]
async fn upload(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Query(named): Query<Named>,
    request: Request,
) -> Result<Response> {
    console.user()?;
    console.need(Role::Rep, "work on conversations")?;
    let state = whole(&app, &console, &id).await?;
    if state.sandbox || state.closed.is_some() {
        return Err(Problem::conflict("conversation_closed", "This conversation has ended or is a sandbox."));
    }
    let too_large = || {
        let detail = "The file is larger than 5 MB, which is what carriers take. Send a smaller one.";
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    };
    let body = Bytes::from_request(request, &()).await.map_err(|_| too_large())?;
    if body.len() as u64 > BYTES_MAX {
        return Err(too_large());
    }
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let file = files::keep(client, tools, console.tenant(), &id, &named.name, &body).await?;
    Ok((StatusCode::CREATED, Json(shown(&file))).into_response())
}

/// A file of a conversation.
#[utoipa::path(get, path = "/api/conversations/{id}/attachments/{file}", tag = "conversations", params(("id" = String, Path), ("file" = String, Path)), responses((status = 200, content_type = "image/*"), (status = 404)))]
async fn show(
    State(app): State<App>,
    console: Console,
    Path((id, file)): Path<(String, String)>,
    asked: HeaderMap,
) -> Result<Response> {
    let id = keeper(&app, &console, &id).await?.id;
    bytes(&app, console.tenant(), id.as_str(), &file, &asked).await
}

/// The conversation that keeps the files of this one: of a fork the one it was taken from.
async fn keeper(app: &AppState, console: &Console, id: &str) -> Result<Talk> {
    let state = whole(app, console, id).await?;
    match &state.forked_from {
        Some(from) => whole(app, console, from.as_str()).await,
        None => Ok(state),
    }
}

/// What a person attached to a message of theirs, from 0: a picture, a PDF, audio or a video, up to 16 MB. It is fetched from the carrier when it is asked for
/// first. `Range` is understood. 404: there is none, the carrier has it no more, or it is of another kind.
#[utoipa::path(get, path = "/api/conversations/{id}/messages/{message}/attachments/{at}", tag = "conversations", params(("id" = String, Path), ("message" = String, Path), ("at" = usize, Path)), responses((status = 200, content_type = "image/*"), (status = 206), (status = 404), (status = 416), (status = 503)))]
async fn heard(
    State(app): State<App>,
    console: Console,
    Path((id, message, at)): Path<(String, String, String)>,
    asked: HeaderMap,
) -> Result<Response> {
    let state = keeper(&app, &console, &id).await?;
    let at: usize = at.parse().map_err(|_| Problem::not_found("file"))?;
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let found = files::heard(client, tools, console.tenant(), &state, &message, at).await?;
    let (file, bytes) = found.ok_or_else(|| Problem::not_found("file"))?;
    Ok(answered(&file, bytes, &asked))
}

/// Take back a file that was not sent.
#[utoipa::path(delete, path = "/api/conversations/{id}/attachments/{file}", tag = "conversations", params(("id" = String, Path), ("file" = String, Path)), responses((status = 204), (status = 409)))]
async fn remove(
    State(app): State<App>,
    console: Console,
    Path((id, file)): Path<(String, String)>,
) -> Result<StatusCode> {
    console.user()?;
    console.need(Role::Rep, "work on conversations")?;
    let sent = || Problem::conflict("file_sent", "This file was sent already: it stands with its message.");
    if is_sent(&whole(&app, &console, &id).await?, &file) {
        return Err(sent());
    }
    let (client, tenant) = (&app.actors.client, console.tenant());
    let kept = files::read(client, tenant, &id, &file).await?;
    files::discard(client, tenant, &id, &file).await?;
    // It may have been sent in the meantime, and what stands with a message is there for good.
    if let Some((kept, bytes)) = kept
        && is_sent(&whole(&app, &console, &id).await?, &file)
    {
        files::put_back(client, tenant, &id, &kept, &bytes).await?;
        return Err(sent());
    }
    Ok(StatusCode::NO_CONTENT)
}

fn is_sent(state: &Talk, file: &str) -> bool {
    state.messages.iter().any(|message| message.files.iter().any(|known| known.id == file))
}

/// A file by a link of ours, for whoever has it: the carrier that fetches it, the person it was sent to. Wrong or expired, it is nothing.
#[utoipa::path(get, path = "/api/files/{organization}/{conversation}/{file}/{until}/{signature}", tag = "messages", params(
    ("organization" = String, Path), ("conversation" = String, Path), ("file" = String, Path), ("until" = i64, Path), ("signature" = String, Path),
), responses((status = 200, content_type = "image/*"), (status = 404)))]
async fn fetch(
    State(app): State<App>,
    Path((tenant, conversation, file, until, signature)): Path<(String, String, String, String, String)>,
    asked: HeaderMap,
) -> Result<Response> {
    let tenant = TenantId::from(tenant.as_str());
    let until_s: i64 = until.parse().map_err(|_| Problem::not_found("file"))?;
    let now_ms = app.now_ms();
    if !files::opens(&app.actors.tools, &tenant, &conversation, &file, until_s, &signature, now_ms) {
        return Err(Problem::not_found("file"));
    }
    bytes(&app, &tenant, &conversation, &file, &asked).await
}

/// The files that a message names, which must be kept already.
pub(super) async fn named(
    app: &AppState,
    console: &Console,
    id: &str,
    ids: &[String],
) -> Result<Vec<(Attachment, Bytes)>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    if ids.len() > FILES_MAX {
        return Err(Problem::field("attachments", format!("at most {FILES_MAX} files in one message")));
    }
    console.need(Role::Rep, "work on conversations")?;
    whole(app, console, id).await?;
    let mut named: Vec<(Attachment, Bytes)> = Vec::new();
    for file in ids {
        let found = files::read(&app.actors.client, console.tenant(), id, file).await?;
        let found = found.ok_or_else(|| {
            Problem::field("attachments", format!("`{file}` is no file of this conversation: upload it first"))
        })?;
        if named.iter().any(|(known, _)| *known == found.0) {
            return Err(Problem::field("attachments", "names a file twice"));
        }
        named.push(found);
    }
    Ok(named)
}

/// Puts back what was taken away between being named and standing with a message. Who takes one away looks again afterwards, so that one of both sees the other.
pub(super) async fn stand(app: &AppState, console: &Console, id: &str, named: &[(Attachment, Bytes)]) -> Result<()> {
    let (client, tenant) = (&app.actors.client, console.tenant());
    for (file, bytes) in named {
        if files::read(client, tenant, id, &file.id).await?.is_none() {
            files::put_back(client, tenant, id, file, bytes).await?;
        }
    }
    Ok(())
}

fn shown(file: &Attachment) -> wire::StoredFile {
    wire::StoredFile {
        id: file.id.clone(),
        name: file.name.clone(),
        media_type: file.kind.media_type().to_owned(),
        bytes: file.bytes,
    }
}

async fn bytes(app: &AppState, tenant: &TenantId, conversation: &str, id: &str, asked: &HeaderMap) -> Result<Response> {
    let found = files::read(&app.actors.client, tenant, conversation, id).await?;
    let (file, bytes) = found.ok_or_else(|| Problem::not_found("file"))?;
    Ok(answered(&file, bytes, asked))
}

/// The file, or the part of it that a `Range` names.
fn answered(file: &Attachment, bytes: Bytes, asked: &HeaderMap) -> Response {
    let policy = if file.kind.is_image() { PICTURE_POLICY } else { DOCUMENT_POLICY };
    let whole = file.bytes;
    let wanted = asked.get(header::RANGE).and_then(|value| value.to_str().ok()).map(|value| part(value, whole));
    let mut headers = vec![
        (header::CONTENT_TYPE, file.kind.media_type().to_owned()),
        (header::CONTENT_DISPOSITION, disposition(&file.name)),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        // Personal, and deleted one day.
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy.to_owned()),
        (HeaderName::from_static("x-robots-tag"), "noindex".to_owned()),
    ];
    let mut answer = match wanted {
        None | Some(Part::All) => bytes.into_response(),
        Some(Part::Of { from, to }) => {
            headers.push((header::CONTENT_RANGE, format!("bytes {from}-{to}/{whole}")));
            let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
            (StatusCode::PARTIAL_CONTENT, bytes.slice(at(from)..at(to.saturating_add(1)))).into_response()
        }
        Some(Part::Outside) => return outside(whole, "the file"),
    };
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// Carriers show the plain name, which is ASCII without blanks; browsers the whole one.
fn disposition(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    let mut whole = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            whole.push(char::from(byte));
        } else {
            whole.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("inline; filename=\"{plain}\"; filename*=UTF-8''{whole}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leaves_its_header() {
        assert_eq!(disposition("offer.pdf"), "inline; filename=\"offer.pdf\"; filename*=UTF-8''offer.pdf");
        assert_eq!(disposition("Öl 1.png"), "inline; filename=\"_l_1.png\"; filename*=UTF-8''%C3%96l%201.png");
        assert!(!disposition("a\"; x=\"\r\n.png")["inline; filename=".len()..].contains("x=\""));
    }
}
