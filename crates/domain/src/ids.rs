//! Ids as types, so that one kind is never taken for another. All are opaque strings to everyone outside.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    )+};
}

ids! {
    /// An organization.
    TenantId,
    /// A person with a login.
    UserId,
    /// A receptionist.
    AgentId,
    /// One dialogue with one person, whatever the channels.
    ConversationId,
    /// One message of a conversation.
    MessageId,
    /// One question of a visitor and the answer it gets.
    TurnId,
    /// A captured lead.
    LeadId,
    /// A calendar.
    CalendarId,
    /// An appointment.
    AppointmentId,
    /// A contact, shared by leads and conversations of one person.
    ContactId,
    /// A campaign.
    CampaignId,
    /// A telephone call.
    CallId,
    /// A source of knowledge.
    SourceId,
    /// A question with its prepared answer.
    FaqId,
    /// An API key.
    ApiKeyId,
    /// An invitation to an organization.
    InvitationId,
    /// A visitor, as the visitor's own browser names itself.
    VisitorId,
}
