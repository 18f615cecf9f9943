//! Other people's services: mail and text messages.
//!
//! [`mail`] sends letters over SMTP or records them; [`sms`] records text messages until a carrier is connected;
//! [`mailbox`] is where recorded ones are kept for a developer to read; [`mail::templates`] are the letters Colloquy writes.

pub mod error;
pub mod mail;
pub mod mailbox;
pub mod sms;

pub use error::Error;
pub use mail::{Mail, Mailer, Receipt, smtp::Smtp, smtp::SmtpConfig};
pub use mailbox::Mailbox;
pub use sms::{RecordedSms, Sms, SmsSender};
