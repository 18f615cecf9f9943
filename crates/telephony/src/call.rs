//! What became of a call, in words that hold for every carrier.

use serde::{Deserialize, Serialize};

/// How a call ended. Carriers' own words are mapped here; which campaign outcome follows is decided above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallEnd {
    /// The two spoke, and one of them ended it.
    Completed,
    /// A machine took it.
    Voicemail,
    /// It rang and nobody answered.
    NoAnswer,
    /// The line was busy.
    Busy,
    /// The person refused it.
    Declined,
    /// It went to another person or line.
    Transferred,
    /// We took it back before it was answered.
    Canceled,
    /// There is no such line: another attempt is pointless.
    InvalidNumber,
    /// The carrier, a limit or an error stood in the way: another attempt may succeed.
    Failed,
}

impl CallEnd {
    /// Whether a person or a machine took the call.
    pub fn was_answered(self) -> bool {
        match self {
            Self::Completed | Self::Voicemail | Self::Transferred => true,
            Self::NoAnswer | Self::Busy | Self::Declined | Self::Canceled | Self::InvalidNumber | Self::Failed => false,
        }
    }
}
