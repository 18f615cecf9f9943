//! What became of a message we sent.

use serde::{Deserialize, Serialize};

use super::form::Form;
use crate::error::Malformed;
use crate::json::vocabulary;

vocabulary! {
    /// Where a message stands.
    MessageStatus {
        /// Twilio has it.
        Accepted = "accepted",
        /// It waits for its time.
        Scheduled = "scheduled",
        /// It waits for its turn.
        Queued = "queued",
        /// On its way to the carrier.
        Sending = "sending",
        /// The carrier has it.
        Sent = "sent",
        /// The telephone has it.
        Delivered = "delivered",
        /// The carrier could not bring it.
        Undelivered = "undelivered",
        /// It could not be sent.
        Failed = "failed",
        /// It was read (WhatsApp).
        Read = "read",
        /// Coming in.
        Receiving = "receiving",
        /// Came in.
        Received = "received",
        /// Some of several receivers have it.
        PartiallyDelivered = "partially_delivered",
        /// Taken back.
        Canceled = "canceled",
    }
}

impl MessageStatus {
    /// How far along it is; a receipt never takes a message back. A failure stands behind "sent": carriers report it later.
    fn order(&self) -> Option<u8> {
        match self {
            Self::Accepted | Self::Scheduled => Some(0),
            Self::Queued => Some(1),
            Self::Sending => Some(2),
            Self::Sent => Some(3),
            Self::PartiallyDelivered => Some(4),
            Self::Undelivered | Self::Failed | Self::Canceled => Some(5),
            // A telephone that has it has it, whatever a carrier said before.
            Self::Delivered => Some(6),
            Self::Read => Some(7),
            Self::Receiving | Self::Received | Self::Other(_) => None,
        }
    }

    /// Whether it did not arrive.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Undelivered | Self::Failed | Self::Canceled)
    }
}

/// A receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The message.
    pub message_sid: String,
    /// Where it stands.
    pub status: MessageStatus,
    /// Why it failed; 21610 is "they said STOP".
    pub error_code: Option<i64>,
}

impl Receipt {
    /// Reads it.
    ///
    /// # Errors
    /// When it names no message or no status.
    pub fn read(form: &Form) -> Result<Self, Malformed> {
        Ok(Self {
            message_sid: form.need("MessageSid")?.to_owned(),
            status: MessageStatus::from(form.need("MessageStatus")?),
            error_code: form.number("ErrorCode"),
        })
    }
}

/// Where a message stands, out of receipts in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    status: Option<MessageStatus>,
    /// Why it failed.
    pub error_code: Option<i64>,
}

impl Delivery {
    /// Takes a receipt; whether it said something new.
    pub fn on_receipt(&mut self, status: &MessageStatus, error_code: Option<i64>) -> bool {
        let Some(order) = status.order() else { return false };
        if self.status.as_ref().and_then(MessageStatus::order).is_some_and(|here| order <= here) {
            return false;
        }
        self.status = Some(status.clone());
        self.error_code = error_code.filter(|_| status.is_failure());
        true
    }

    /// Where it stands.
    pub fn status(&self) -> Option<&MessageStatus> {
        self.status.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn receipts_are_read_and_never_take_a_message_back() {
        let form = Form::read(b"MessageSid=SM1&MessageStatus=undelivered&ErrorCode=30003&To=%2B1&AccountSid=AC1")
            .expect("a form");
        let receipt = Receipt::read(&form).expect("a receipt");
        assert_eq!((receipt.status, receipt.error_code), (MessageStatus::Undelivered, Some(30_003)));
        let mut delivery = Delivery::default();
        let moved: Vec<bool> =
            ["queued", "sent", "queued", "sent", "failed", "delivered", "undelivered", "read", "invented"]
                .iter()
                .map(|word| delivery.on_receipt(&MessageStatus::from(*word), Some(30_003)))
                .collect();
        assert_eq!(moved, [true, true, false, false, true, true, false, true, false]);
        assert_eq!((delivery.status(), delivery.error_code), (Some(&MessageStatus::Read), None));
    }

    proptest! {
        #[test]
        fn the_order_of_receipts_does_not_matter(
            receipts in Just(vec!["accepted", "queued", "sending", "sent", "delivered", "read"]).prop_shuffle(),
        ) {
            let mut delivery = Delivery::default();
            for word in receipts {
                delivery.on_receipt(&word.into(), None);
            }
            prop_assert_eq!(delivery.status(), Some(&MessageStatus::Read));
        }
    }
}
