//! The enumerations of the product, in the words of the requirements (appendix B).

use serde::{Deserialize, Serialize};

macro_rules! vocabulary {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in the order of the requirements.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
        }
    )+};
}

vocabulary! {
    /// How a message reaches us (C7: "call" is voice).
    Channel { /** The widget or the chat API. */ Chat, /** A phone call. */ Voice, /** A text message. */ Sms, /** WhatsApp. */ Whatsapp, /** E-mail. */ Email, /** LinkedIn. */ Linkedin, /** Facebook Messenger. */ Messenger }
    /// Where a conversation stands.
    ConversationStatus { /** Going on. */ Active, /** Ended, answered. */ Resolved, /** A person is asked for. */ Escalated, /** Ended without an answer. */ Abandoned }
    /// How pressing it is.
    Urgency { /** Can wait. */ Low, /** The usual. */ Normal, /** Soon. */ High, /** Now. */ Emergency }
    /// Who wrote a message.
    MessageRole { /** The visitor or caller. */ User, /** The agent. */ Assistant, /** Colloquy. */ System, /** A person of the tenant. */ HumanAgent }
    /// The life of an agent.
    AgentStatus { /** Being written. */ Draft, /** Its first index is being built. */ Training, /** Answers. */ Active, /** Switched off. */ Paused, /** Cannot answer. */ Error }
    /// The trades with a template of their own.
    Vertical { /** Plumbing, heating, electrics, roofing. */ HomeServices, /** Dental and medical practices. */ DentalMedical, /** Law firms. */ Legal, /** Real estate. */ RealEstate, /** Salons and spas. */ SalonSpa, /** Shops. */ Ecommerce, /** Anything else. */ Custom }
    /// What a visitor wants.
    LeadIntent { /** An appointment. */ BookAppointment, /** A price. */ GetQuote, /** Something else. */ GeneralInquiry }
    /// The life of a lead.
    LeadStatus { /** Just captured. */ New, /** Somebody wrote or called. */ Contacted, /** Worth pursuing. */ Qualified, /** Became a customer. */ Converted, /** Did not. */ Lost }
    /// The life of an appointment.
    AppointmentStatus { /** Agreed. */ Scheduled, /** Said again by who comes. */ Confirmed, /** Given up. */ Canceled, /** It took place. */ Completed, /** Nobody came. */ NoShow }
    /// What a source of knowledge is.
    SourceType { /** Pages of a website. */ WebsiteScrape, /** A document. */ FileUpload, /** Typed text. */ ManualText, /** Questions and answers. */ Faq, /** A video. */ Youtube, /** Pages of a sitemap. */ Sitemap }
    /// How far a crawl is.
    ScrapeStatus { /** Waiting. */ Pending, /** Running. */ InProgress, /** Its index serves. */ Completed, /** Ended with an error. */ Failed }
    /// How often a source is read again.
    SyncFrequency { /** Every day. */ Daily, /** Every week. */ Weekly, /** Every 30 days. */ Monthly }
    /// What an escalation does.
    EscalationAction { /** Alerts people at once. */ ImmediateAlert, /** Notes that a person should look, and goes on answering. */ SoftEscalate, /** Offers a person, and goes on answering. */ OfferHuman, /** Hands over. */ Transfer }
    /// What a form field holds.
    FieldType { /** A line. */ Text, /** A phone number. */ Phone, /** An e-mail address. */ Email, /** One of the options. */ Select, /** Several lines. */ Textarea, /** A day or a time in words. */ Date }
}
