//! What a visitor may see of a conversation, as frames of the chat socket. Whispers, traces and names of alerts never pass here.

use colloquy_actors::conversation::Streamed;
use colloquy_actors::domain::conversation::{Attachment, Event, Floor, Message, Prompt, SourceRef, State};
use colloquy_actors::domain::local_time::rfc3339;
use colloquy_actors::domain::vocabulary::{ConversationStatus, MessageRole};
use colloquy_wire::chat::Source;
use colloquy_wire::sockets::ChatServer;
use serde::Serialize;
use serde_json::{Map, Value};

/// How a message reads with its files.
pub type Words<'a> = &'a dyn Fn(&str, &[Attachment]) -> String;

/// A snake_case word of the contract.
pub fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A source as visitors see it.
pub fn source(source: &SourceRef) -> Source {
    Source {
        chunk_id: source.chunk_id.clone(),
        title: source.title.clone(),
        url: source.url.clone().unwrap_or_default(),
        score: source.score,
        snippet: source.snippet.clone(),
    }
}

/// Whether a visitor may see a message.
pub fn visible(message: &Message) -> bool {
    !message.whisper
        && !matches!(message.role, MessageRole::System)
        // What was made for a caller who never heard it was not said.
        && (message.unheard.is_none() || !message.content.is_empty())
}

/// A journaled message.
pub fn message(message: &Message, client_message_id: Option<String>, words: Words<'_>) -> ChatServer {
    ChatServer::Message {
        id: message.id.to_string(),
        seq: message.seq,
        role: word(&message.role),
        author: message.author.as_ref().map(|author| author.name.clone()),
        content: words(&message.content, &message.files),
        sources: message.sources.iter().map(source).collect(),
        client_message_id,
        created_at: rfc3339(message.at_ms),
    }
}

/// Something to show beside an answer.
pub fn prompt(prompt: &Prompt) -> Option<ChatServer> {
    let Value::Object(mut body) = serde_json::to_value(prompt).ok()? else { return None };
    let kind = body.remove("kind")?.as_str()?.to_owned();
    Some(ChatServer::Prompt { kind, body: body as Map<String, Value> })
}

/// The status as it is, with who holds the floor.
pub fn status(state: &State) -> ChatServer {
    let assigned_to = match &state.floor {
        Floor::Person { name, .. } => Some(name.clone()),
        Floor::Assistant => None,
    };
    ChatServer::Status { status: word(&state.status), assigned_to }
}

/// The frames of an event that says something; none for other events. `at_ms`: when it was heard, which is when it was journaled but for the
/// blink of an eye; a client that reads the history later gets the journal's own time.
pub fn of_event(seq: u64, event: &Event, at_ms: i64, words: Words<'_>) -> Vec<ChatServer> {
    let created_at = rfc3339(at_ms);
    match event {
        Event::Posted { message_id, client_message_id, text, .. } => vec![ChatServer::Message {
            id: message_id.to_string(),
            seq,
            role: word(&MessageRole::User),
            author: None,
            content: text.clone(),
            sources: Vec::new(),
            client_message_id: client_message_id.clone(),
            created_at,
        }],
        Event::VoicemailLeft { message_id, text, .. } => vec![ChatServer::Message {
            id: message_id.to_string(),
            seq,
            role: word(&MessageRole::User),
            author: None,
            content: text.clone(),
            sources: Vec::new(),
            client_message_id: None,
            created_at,
        }],
        Event::Answered(answer) => {
            let message = ChatServer::Message {
                id: answer.message_id.to_string(),
                seq,
                role: word(&MessageRole::Assistant),
                author: None,
                content: answer.text.clone(),
                sources: answer.sources.iter().map(source).collect(),
                client_message_id: None,
                created_at,
            };
            std::iter::once(message).chain(answer.prompt.as_ref().and_then(prompt)).collect()
        }
        Event::HumanSaid { message_id, author, text, files, .. } => vec![ChatServer::Message {
            id: message_id.to_string(),
            seq,
            role: word(&MessageRole::HumanAgent),
            author: Some(author.name.clone()),
            content: words(text, files),
            sources: Vec::new(),
            client_message_id: None,
            created_at,
        }],
        Event::FormSubmitted { said: Some(said), .. }
        | Event::OrderAnswered { said, .. }
        | Event::CallJoined { greeting: Some(said), .. }
        | Event::Spoke { said, .. }
        | Event::SaidInPart { said, .. } => {
            vec![ChatServer::Message {
                id: said.message_id.to_string(),
                seq,
                role: word(&MessageRole::Assistant),
                author: None,
                content: said.text.clone(),
                sources: Vec::new(),
                client_message_id: None,
                created_at,
            }]
        }
        _ => Vec::new(),
    }
}

/// Whether an event changes what [`status`] says.
pub fn changes_status(event: &Event) -> bool {
    matches!(
        event,
        Event::TakenOver { .. }
            | Event::HandedBack { .. }
            | Event::Escalated { .. }
            | Event::Understood { .. }
            | Event::StatusSet { .. }
            | Event::Closed { .. }
            | Event::Idled { .. }
            | Event::Reopened
    )
}

/// A frame that was never journaled.
pub fn streamed(frame: Streamed) -> ChatServer {
    match frame {
        Streamed::Token { message_id, attempt, index, text } => {
            ChatServer::Token { message_id: message_id.0, attempt, index, text }
        }
        Streamed::Discard { message_id, reason } => ChatServer::Discard { message_id: message_id.0, reason },
        Streamed::Typing { role } => ChatServer::Typing { role: word(&role) },
    }
}

/// The client's own id of a visitor's message.
pub fn client_id_of(state: &State, message: &Message) -> Option<String> {
    state.seen.iter().find(|(_, seen)| seen.id == message.id.0).map(|(id, _)| id.clone())
}

/// Whether the conversation has come to an end that a visitor should know of.
pub fn ended(status: ConversationStatus) -> bool {
    match status {
        ConversationStatus::Resolved | ConversationStatus::Abandoned => true,
        ConversationStatus::Active | ConversationStatus::Escalated => false,
    }
}
