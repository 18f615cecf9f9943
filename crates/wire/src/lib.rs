//! What crosses a socket: HTTP bodies and WebSocket messages.
//!
//! Each type is serde for the wire, `ts-rs` for the console and widget (`cargo test -p colloquy-wire` writes `web/generated/`),
//! `utoipa` for `/openapi.json`. Names are the public contract: additions are free, changes are not.

pub mod accounts;
pub mod agents;
pub mod analytics;
pub mod appointments;
pub mod audit;
pub mod campaigns;
pub mod chat;
pub mod common;
pub mod conversations;
pub mod inbox;
pub mod knowledge;
pub mod live;
pub mod messages;
pub mod ops;
pub mod sockets;
pub mod voice;
