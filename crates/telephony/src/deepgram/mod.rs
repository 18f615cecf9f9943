//! Deepgram: speech to text. Over a socket [`nova`] tells silence, [`flux`] tells turns; both become the same [`crate::speech::Heard`]. [`recorded`] is a
//! whole recording at once.

pub mod flux;
pub mod nova;
pub mod recorded;

/// The header both sockets are opened with: `Authorization: Token <key>`, or `Bearer` with a temporary token.
pub fn authorization(key: &secrecy::SecretString, temporary: bool) -> (&'static str, String) {
    use secrecy::ExposeSecret as _;
    ("authorization", format!("{} {}", if temporary { "Bearer" } else { "Token" }, key.expose_secret()))
}

/// How often `KeepAlive` is sent while there is no audio, ms. After ten seconds of silence Deepgram closes.
pub const KEEP_ALIVE_EVERY_MS: i64 = 4_000;
/// Keeps a Nova socket open; a text frame, never binary.
pub const KEEP_ALIVE: &str = r#"{"type":"KeepAlive"}"#;
/// Ends a socket after what was sent has been heard.
pub const CLOSE_STREAM: &str = r#"{"type":"CloseStream"}"#;
