//! The business rules of Colloquy as pure data and functions: no IO, no clock, no randomness.
//!
//! Reading order: [`ids`], [`principal`], [`rejection`], [`vocabulary`], [`context`]; then the data the rules read
//! ([`catalog`], [`agent`]), then the entities, each with `State`, `Command`, `Event`, `decide`, `apply`, `pending`:
//! [`account`], [`tenant`], [`agent`], [`knowledge`], [`conversation`], [`call`], [`lead`], [`calendar`], [`appointment`], [`contact_guard`], [`lines`], [`thread`]; [`numbers`], what a row contributes to live counts; and [`demo`].

pub mod account;
pub mod agent;
pub mod appointment;
pub mod audit;
pub mod bulletin;
pub mod calendar;
pub mod call;
pub mod campaign;
pub mod catalog;
pub mod check;
pub mod contact_guard;
pub mod context;
pub mod conversation;
pub mod decision;
pub mod demo;
pub mod digest;
pub mod ids;
pub mod inbox;
pub mod knowledge;
pub mod lead;
pub mod letters;
pub mod lines;
pub mod local_time;
pub mod numbers;
pub mod ops_log;
pub mod pacer;
pub mod principal;
pub mod rejection;
pub mod tenant;
pub mod text;
pub mod thread;
pub mod traffic;
pub mod upkeep;
pub mod vocabulary;

pub use context::Context;
pub use decision::Decision;
pub use principal::{Actor, Principal, Role};
pub use rejection::{FieldError, Rejection};
