//! HTTP calls, one file per resource.

pub mod agents;
pub mod analytics;
pub mod appointments;
pub mod audit;
pub mod auth;
pub mod calendars;
pub mod calls;
pub mod charts;
pub mod chat;
pub mod contacts;
pub mod conversations;
pub mod dev;
pub mod docs;
pub mod health;
pub mod knowledge;
pub mod leads;
pub mod messages;
pub mod models;
pub mod notifications;
pub mod numbers;
pub mod ops;
pub mod organization;
pub mod pages;
pub mod privacy;
pub mod widget;
