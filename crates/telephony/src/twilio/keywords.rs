//! Words that are orders to the sender of messages: stop, start again, help.

/// What a message orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyword {
    /// No more messages. It is obeyed at once, by us and, for most numbers, by the carrier too.
    Stop,
    /// Messages again.
    Start,
    /// Who are you?
    Help,
}

/// Over which channel it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// SMS and MMS.
    Sms,
    /// WhatsApp.
    Whatsapp,
}

/// Twilio's default words for SMS, which it obeys itself: what it blocks we must not think open. The French one is common in Canada.
const STOP_SMS: [&str; 9] = ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE", "ARRET"];
/// WhatsApp has no words that the carrier obeys, and there "cancel" or "end" is more likely an answer to us.
const STOP_WHATSAPP: [&str; 5] = ["STOP", "STOPALL", "UNSUBSCRIBE", "OPTOUT", "ARRET"];
const START: [&str; 2] = ["START", "UNSTOP"];
/// Only from somebody who had stopped; from all others it is an answer.
const START_IF_STOPPED: [&str; 1] = ["YES"];
const HELP: [&str; 2] = ["HELP", "INFO"];
/// The longest message that can be an order, bytes.
const ORDER_BYTES_MAX: usize = 40;

/// Whether a message is an order: the whole of it, whatever its case and the punctuation around it. "Please stop by at five" is none.
/// `stopped` says whether this person had stopped messages before.
pub fn keyword(text: &str, channel: Channel, stopped: bool) -> Option<Keyword> {
    let text = text.trim();
    if text.len() > ORDER_BYTES_MAX {
        return None;
    }
    let word: String = text
        .chars()
        // "STOP." and "opt-out" and "stop all" are the same orders without what is no letter.
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_uppercase)
        .map(|c| if c == 'Ê' { 'E' } else { c })
        .collect();
    let word = word.as_str();
    let stop = match channel {
        Channel::Sms => STOP_SMS.contains(&word),
        Channel::Whatsapp => STOP_WHATSAPP.contains(&word),
    };
    if stop {
        Some(Keyword::Stop)
    } else if START.contains(&word) || (stopped && START_IF_STOPPED.contains(&word)) {
        Some(Keyword::Start)
    } else if HELP.contains(&word) {
        Some(Keyword::Help)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn orders_are_told_from_conversation() {
        let cases = [
            ("STOP", Channel::Sms, false, Some(Keyword::Stop)),
            (" stop. ", Channel::Sms, false, Some(Keyword::Stop)),
            ("Stop!!", Channel::Whatsapp, false, Some(Keyword::Stop)),
            ("Opt-Out", Channel::Sms, false, Some(Keyword::Stop)),
            ("stop all", Channel::Sms, false, Some(Keyword::Stop)),
            ("arrêt", Channel::Sms, false, Some(Keyword::Stop)),
            ("cancel", Channel::Sms, false, Some(Keyword::Stop)),
            ("cancel", Channel::Whatsapp, false, None),
            ("Please stop by at five", Channel::Sms, false, None),
            ("stop the leak in my kitchen", Channel::Sms, false, None),
            ("nonstop", Channel::Sms, false, None),
            ("START", Channel::Sms, false, Some(Keyword::Start)),
            ("yes", Channel::Sms, true, Some(Keyword::Start)),
            ("yes", Channel::Sms, false, None),
            ("help", Channel::Sms, false, Some(Keyword::Help)),
            ("", Channel::Sms, true, None),
        ];
        for (text, channel, stopped, expected) in cases {
            assert_eq!(keyword(text, channel, stopped), expected, "{text:?} {channel:?} {stopped}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in any::<String>()) {
            let _ = keyword(&text, Channel::Sms, true);
        }
    }
}
