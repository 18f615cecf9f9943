//! Twilio's REST interface as requests and answers, below `https://api.twilio.com`.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::callbacks::CallStatus;
use super::calls::{CreateCall, ModifyCall};
use super::outgoing::CreateMessage;
use super::receipts::MessageStatus;
use crate::error::{Fault, Unfit};
use crate::proof::base64;
use crate::rest::{Answer, Method, Repeat, Request, encode_form, segment};

/// Where it is.
pub const BASE_URL: &str = "https://api.twilio.com";
/// The version all paths are below.
const VERSION: &str = "/2010-04-01";
/// Twilio's number for "sent to somebody who said STOP".
pub const CODE_OPTED_OUT: i64 = 21610;
/// Twilio's numbers for "there is no such number": not valid, not reachable as a mobile, not a mobile.
pub const CODES_NO_SUCH_NUMBER: [i64; 3] = [21211, 21214, 21614];

/// Makes requests for one account.
#[derive(Clone)]
pub struct Twilio {
    account: String,
    authorization: SecretString,
}

impl fmt::Debug for Twilio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Twilio").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Twilio {
    /// With the account (`AC…`) and its auth token.
    pub fn new(account: &str, token: &SecretString) -> Self {
        Self::with_key(account, account, token)
    }

    /// With an API key (`SK…`) and its secret.
    pub fn with_key(account: &str, key: &str, secret: &SecretString) -> Self {
        let pair = format!("{key}:{}", secret.expose_secret());
        Self { account: account.to_owned(), authorization: format!("Basic {}", base64(pair.as_bytes())).into() }
    }

    /// Places a call. Once only: an unknown outcome is looked up with [`Self::find_calls`].
    ///
    /// # Errors
    /// When Twilio would refuse it.
    pub fn create_call(&self, call: &CreateCall) -> Result<Request, Unfit> {
        Ok(self.request(Method::Post, "/Calls.json", Repeat::OnceOnly).form(&call.fields()?))
    }

    /// Changes a running call.
    ///
    /// # Errors
    /// When Twilio would refuse it.
    pub fn modify_call(&self, sid: &str, change: &ModifyCall) -> Result<Request, Unfit> {
        Ok(self.request(Method::Post, &format!("/Calls/{}.json", segment(sid)), Repeat::Safe).form(&change.fields()?))
    }

    /// Reads a call.
    pub fn call(&self, sid: &str) -> Request {
        self.request(Method::Get, &format!("/Calls/{}.json", segment(sid)), Repeat::Safe)
    }

    /// Looks for calls to a number, newest first: how an unknown outcome is settled. `since` is a day in UTC such as `2026-11-21`; Twilio's
    /// filter knows no finer time.
    pub fn find_calls(&self, to: &str, since: &str, page_size: u32) -> Request {
        let query = encode_form(&[("To", to), ("StartTime>", since), ("PageSize", &page_size.min(1000).to_string())]);
        self.request(Method::Get, &format!("/Calls.json?{query}"), Repeat::Safe)
    }

    /// Sends a text message. Once only.
    ///
    /// # Errors
    /// When Twilio would refuse it.
    pub fn create_message(&self, message: &CreateMessage) -> Result<Request, Unfit> {
        Ok(self.request(Method::Post, "/Messages.json", Repeat::OnceOnly).form(&message.fields()?))
    }

    /// Reads a message.
    pub fn message(&self, sid: &str) -> Request {
        self.request(Method::Get, &format!("/Messages/{}.json", segment(sid)), Repeat::Safe)
    }

    /// Looks for messages to a number sent on a day (UTC): how an unknown outcome is settled.
    pub fn find_messages(&self, to: &str, day: &str, page_size: u32) -> Request {
        let query = encode_form(&[("To", to), ("DateSent", day), ("PageSize", &page_size.min(1000).to_string())]);
        self.request(Method::Get, &format!("/Messages.json?{query}"), Repeat::Safe)
    }

    /// Begins to record a running call.
    pub fn record_call(&self, sid: &str, callback: &str) -> Request {
        let fields = [
            ("RecordingStatusCallback", callback),
            ("RecordingStatusCallbackEvent", "completed absent"),
            ("RecordingChannels", "dual"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        // A second recording of the same call is not a second call.
        self.request(Method::Post, &format!("/Calls/{}/Recordings.json", segment(sid)), Repeat::Safe).form(&fields)
    }

    /// A medium of a message, by the address that its webhook named: Twilio answers with a redirect to where its bytes are. None for an address that is not of
    /// this account; whatever host it names, only Twilio is asked with the account's key.
    pub fn media(&self, url: &str) -> Option<Request> {
        let (_, rest) = url.split_once(&format!("/2010-04-01/Accounts/{}/Messages/", self.account))?;
        let (message, medium) = rest.split_once("/Media/")?;
        let plain = |sid: &str| (1..=64).contains(&sid.len()) && sid.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let named = plain(message) && plain(medium);
        named.then(|| self.request(Method::Get, &format!("/Messages/{message}/Media/{medium}"), Repeat::Safe))
    }

    /// The sound of a recording, a WAV file.
    pub fn recording(&self, sid: &str) -> Request {
        self.request(Method::Get, &format!("/Recordings/{}.wav", segment(sid)), Repeat::Safe)
    }

    /// Deletes a recording.
    pub fn delete_recording(&self, sid: &str) -> Request {
        self.request(Method::Delete, &format!("/Recordings/{}.json", segment(sid)), Repeat::Safe)
    }

    /// Numbers for sale in a country (ISO, such as `US`), by area code.
    pub fn available_numbers(&self, country: &str, area_code: Option<u32>, page_size: u32) -> Request {
        let mut query = vec![("VoiceEnabled", "true".to_owned()), ("PageSize", page_size.to_string())];
        query.extend(area_code.map(|code| ("AreaCode", code.to_string())));
        let path = format!("/AvailablePhoneNumbers/{}/Local.json?{}", segment(country), encode_form(&query));
        self.request(Method::Get, &path, Repeat::Safe)
    }

    /// Buys a number and says where its calls and messages go. Once only: it costs money each month.
    ///
    /// # Errors
    /// When the number is none.
    pub fn buy_number(&self, number: &str, at: &NumberAddresses) -> Result<Request, Unfit> {
        if !colloquy_domain::check::is_e164(number) {
            return Err(Unfit::new("PhoneNumber", "must be an international number such as +14155550100"));
        }
        let mut fields = vec![("PhoneNumber".to_owned(), number.to_owned())];
        fields.extend(at.fields());
        Ok(self.request(Method::Post, "/IncomingPhoneNumbers.json", Repeat::OnceOnly).form(&fields))
    }

    /// Says where the calls and messages of a number go.
    pub fn wire_number(&self, sid: &str, at: &NumberAddresses) -> Request {
        let path = format!("/IncomingPhoneNumbers/{}.json", segment(sid));
        self.request(Method::Post, &path, Repeat::Safe).form(&at.fields())
    }

    /// The account's number, if it has it: how an unknown outcome of buying is settled.
    pub fn find_number(&self, number: &str) -> Request {
        let query = encode_form(&[("PhoneNumber", number)]);
        self.request(Method::Get, &format!("/IncomingPhoneNumbers.json?{query}"), Repeat::Safe)
    }

    /// The account's numbers.
    pub fn numbers(&self, page_size: u32) -> Request {
        let query = encode_form(&[("PageSize", page_size.to_string())]);
        self.request(Method::Get, &format!("/IncomingPhoneNumbers.json?{query}"), Repeat::Safe)
    }

    /// Gives a number back.
    pub fn release_number(&self, sid: &str) -> Request {
        self.request(Method::Delete, &format!("/IncomingPhoneNumbers/{}.json", segment(sid)), Repeat::Safe)
    }

    /// Reads the account: tells whether the credentials are good.
    pub fn account(&self) -> Request {
        let path = format!("{VERSION}/Accounts/{}.json", segment(&self.account));
        self.whole(Method::Get, path, Repeat::Safe)
    }

    fn request(&self, method: Method, below: &str, repeat: Repeat) -> Request {
        self.whole(method, format!("{VERSION}/Accounts/{}{below}", segment(&self.account)), repeat)
    }

    fn whole(&self, method: Method, path: String, repeat: Repeat) -> Request {
        Request::new(method, path, ("authorization", self.authorization.expose_secret().to_owned()), repeat)
    }
}

/// Where the calls and messages of a number go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberAddresses {
    /// Asked what to do with a call.
    pub voice: String,
    /// Asked when the other one does not answer.
    pub voice_fallback: String,
    /// Told how a call ended.
    pub status: String,
    /// Told of messages.
    pub sms: String,
}

impl NumberAddresses {
    fn fields(&self) -> Vec<(String, String)> {
        [
            ("VoiceUrl", &self.voice),
            ("VoiceFallbackUrl", &self.voice_fallback),
            ("StatusCallback", &self.status),
            ("SmsUrl", &self.sms),
        ]
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .to_vec()
    }
}

/// A call as the REST interface describes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct CallResource {
    /// `CA…`
    pub sid: String,
    /// Where it stands.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub status: Option<CallStatus>,
    /// Who is called.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub to: Option<String>,
    /// Who calls.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub from: Option<String>,
    /// Seconds; Twilio writes it as text.
    #[serde(default, deserialize_with = "crate::json::lenient_whole")]
    pub duration: Option<i64>,
    /// How long it will wait at Twilio, ms, as estimated.
    #[serde(default, deserialize_with = "crate::json::lenient_whole")]
    pub queue_time: Option<i64>,
    /// When it was made, RFC 2822.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub date_created: Option<String>,
    /// What it cost so far, in `price_unit`, as text and negative.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub price: Option<String>,
}

/// A message as the REST interface describes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct MessageResource {
    /// `SM…` or `MM…`
    pub sid: String,
    /// Where it stands.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub status: Option<MessageStatus>,
    /// To whom.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub to: Option<String>,
    /// From which of our numbers.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub from: Option<String>,
    /// What it says.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub body: Option<String>,
    /// When it was made, RFC 2822.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub date_created: Option<String>,
    /// Into how many segments it was cut.
    #[serde(default, deserialize_with = "crate::json::lenient_whole")]
    pub num_segments: Option<i64>,
    /// How many media it has.
    #[serde(default, deserialize_with = "crate::json::lenient_whole")]
    pub num_media: Option<i64>,
    /// Why it failed.
    #[serde(default, deserialize_with = "crate::json::lenient_whole")]
    pub error_code: Option<i64>,
}

/// A number, for sale or bought.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct NumberResource {
    /// `PN…`, once it is bought.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub sid: Option<String>,
    /// E.164.
    pub phone_number: String,
    /// Where its calls go, once it is bought.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub voice_url: Option<String>,
    /// For people.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub friendly_name: Option<String>,
}

/// A call out of the answer to its creation.
///
/// # Errors
/// See [`Fault`]; without an id that can be read the outcome is unknown.
pub fn read_created_call(answer: &Answer<'_>) -> Result<CallResource, Fault> {
    answer.read(Repeat::OnceOnly)
}

/// A call out of the answer to a question or a change.
///
/// # Errors
/// See [`Fault`].
pub fn read_call(answer: &Answer<'_>) -> Result<CallResource, Fault> {
    answer.read(Repeat::Safe)
}

/// Calls out of a list.
///
/// # Errors
/// See [`Fault`].
pub fn read_calls(answer: &Answer<'_>) -> Result<Vec<CallResource>, Fault> {
    #[derive(Deserialize)]
    struct Page {
        calls: Vec<CallResource>,
    }
    answer.read::<Page>(Repeat::Safe).map(|page| page.calls)
}

/// A message out of the answer to its creation.
///
/// # Errors
/// See [`Fault`]; without an id that can be read the outcome is unknown.
pub fn read_created_message(answer: &Answer<'_>) -> Result<MessageResource, Fault> {
    answer.read(Repeat::OnceOnly)
}

/// Messages out of a list.
///
/// # Errors
/// See [`Fault`].
pub fn read_messages(answer: &Answer<'_>) -> Result<Vec<MessageResource>, Fault> {
    #[derive(Deserialize)]
    struct Page {
        messages: Vec<MessageResource>,
    }
    answer.read::<Page>(Repeat::Safe).map(|page| page.messages)
}

/// A number out of the answer to its purchase.
///
/// # Errors
/// See [`Fault`]; without a number that can be read the outcome is unknown.
pub fn read_bought_number(answer: &Answer<'_>) -> Result<NumberResource, Fault> {
    answer.read(Repeat::OnceOnly)
}

/// Numbers out of a list, for sale or bought.
///
/// # Errors
/// See [`Fault`].
pub fn read_numbers(answer: &Answer<'_>) -> Result<Vec<NumberResource>, Fault> {
    #[derive(Deserialize)]
    struct Page {
        #[serde(alias = "available_phone_numbers", alias = "incoming_phone_numbers")]
        numbers: Vec<NumberResource>,
    }
    answer.read::<Page>(Repeat::Safe).map(|page| page.numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::Body;
    use crate::twilio::calls::Instructions;

    fn twilio() -> Twilio {
        Twilio::new("AC1", &"tok".into())
    }

    fn answer(status: u16, body: &'static str) -> Answer<'static> {
        Answer { status, retry_after: None, body: body.as_bytes(), now_ms: 0 }
    }

    #[test]
    fn a_medium_is_asked_of_twilio_alone_and_of_this_account_alone() {
        let media = |url: &str| twilio().media(url).map(|request| request.path);
        let path = "/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1";
        assert_eq!(media(&format!("https://api.twilio.com{path}")).as_deref(), Some(path));
        assert_eq!(media(&format!("https://elsewhere.example{path}")).as_deref(), Some(path), "the host is not asked");
        for other in [
            "https://api.twilio.com/2010-04-01/Accounts/AC2/Messages/MM1/Media/ME1",
            "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages/MM1/Media/../../Calls",
            "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1?x=1",
            "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages/MM1",
            "file:///etc/passwd",
            "",
        ] {
            assert_eq!(media(other), None, "{other}");
        }
    }

    #[test]
    fn a_call_is_a_form_under_the_account_with_basic_credentials() {
        let call = CreateCall::new("+14155550100", "+14155550111", Instructions::Url("https://h/v".into()));
        let request = twilio().create_call(&call).expect("fits");
        assert_eq!((request.method, request.path.as_str()), (Method::Post, "/2010-04-01/Accounts/AC1/Calls.json"));
        assert_eq!(request.repeat, Repeat::OnceOnly);
        assert!(request.headers.contains(&("authorization", "Basic QUMxOnRvaw==".to_owned())));
        assert!(request.body == Body::Form("To=%2B14155550111&From=%2B14155550100&Url=https%3A%2F%2Fh%2Fv".into()));
        let hang_up = twilio().modify_call("CA/1", &ModifyCall::HangUp).expect("fits");
        assert_eq!(
            (hang_up.path.as_str(), hang_up.repeat),
            ("/2010-04-01/Accounts/AC1/Calls/CA%2F1.json", Repeat::Safe)
        );
        assert_eq!(
            twilio().find_calls("+14155550111", "2026-11-21", 9999).path,
            "/2010-04-01/Accounts/AC1/Calls.json?To=%2B14155550111&StartTime%3E=2026-11-21&PageSize=1000"
        );
        assert!(!format!("{:?}", twilio()).contains("QUMx"));
    }

    #[test]
    fn answers_keep_their_meaning() {
        let call = read_created_call(&answer(
            201,
            r#"{"sid":"CA1","status":"queued","queue_time":"1000","duration":null,"new":{}}"#,
        ));
        let call = call.expect("a call");
        assert_eq!((call.status, call.queue_time, call.duration), (Some(CallStatus::Queued), Some(1000), None));
        assert_eq!(read_call(&answer(404, r#"{"code":20404}"#)), Err(Fault::NotFound));
        assert_eq!(read_created_call(&answer(500, "")), Err(Fault::OutcomeUnknown { status: Some(500) }));
        let opted_out = read_created_message(&answer(400, r#"{"code":21610,"message":"unsubscribed recipient"}"#));
        assert!(matches!(opted_out, Err(Fault::Refused { code: Some(CODE_OPTED_OUT), .. })), "{opted_out:?}");
        let numbers = read_numbers(&answer(200, r#"{"available_phone_numbers":[{"phone_number":"+14155550100"}]}"#));
        assert_eq!(numbers.expect("a list")[0].phone_number, "+14155550100");
        assert_eq!(read_calls(&answer(200, r#"{"calls":[{"sid":"CA1"}]}"#)).expect("a list").len(), 1);
    }
}
