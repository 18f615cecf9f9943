//! Retell's REST interface as requests and answers, below `https://api.retellai.com`.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::object::Call;
use super::settings::{
    AgentSettings, BatchCall, Concurrency, ImportNumber, Number, NumberSettings, PhoneCall, RegisterCall, WebCall,
    WebCallTicket,
};
use crate::error::{Fault, Unfit};
use crate::rest::{Answer, Method, Repeat, Request, encode_form, segment};

/// Where it is.
pub const BASE_URL: &str = "https://api.retellai.com";
/// How many calls a page of the list brings: Retell's own most.
pub const PAGE_CALLS_MAX: u32 = 1000;
/// The placeholder in paths below that stands for an id.
type Id<'a> = &'a str;

/// Makes requests with one account's key.
#[derive(Clone)]
pub struct Retell {
    key: SecretString,
}

impl fmt::Debug for Retell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Retell")
    }
}

impl Retell {
    /// With this API key.
    pub fn new(key: SecretString) -> Self {
        Self { key }
    }

    /// Makes an agent.
    ///
    /// # Errors
    /// When a setting is outside of what Retell takes.
    pub fn create_agent(&self, agent: &AgentSettings) -> Result<Request, Unfit> {
        agent.check(true)?;
        Ok(self.request(Method::Post, "/create-agent".into(), Repeat::OnceOnly).json(agent))
    }

    /// Reads an agent.
    pub fn agent(&self, id: Id<'_>) -> Request {
        self.request(Method::Get, format!("/get-agent/{}", segment(id)), Repeat::Safe)
    }

    /// Changes an agent.
    ///
    /// # Errors
    /// When a setting is outside of what Retell takes.
    pub fn update_agent(&self, id: Id<'_>, agent: &AgentSettings) -> Result<Request, Unfit> {
        agent.check(false)?;
        Ok(self.request(Method::Patch, format!("/update-agent/{}", segment(id)), Repeat::Safe).json(agent))
    }

    /// Lists agents; with any limit this also tells whether a key is good.
    pub fn list_agents(&self, limit: u32) -> Request {
        let query = encode_form(&[("limit", limit.to_string())]);
        self.request(Method::Post, format!("/v2/list-agents?{query}"), Repeat::Safe).json(&json!({}))
    }

    /// Lists agents whose name has this in it: how one is found whose creation nobody heard of.
    pub fn find_agents(&self, query: &str, limit: u32) -> Request {
        let page = encode_form(&[("limit", limit.to_string())]);
        let body = json!({ "filter_criteria": { "query": query } });
        self.request(Method::Post, format!("/v2/list-agents?{page}"), Repeat::Safe).json(&body)
    }

    /// Deletes an agent.
    pub fn delete_agent(&self, id: Id<'_>) -> Request {
        self.request(Method::Delete, format!("/delete-agent/{}", segment(id)), Repeat::Safe)
    }

    /// Buys a number.
    pub fn create_number(&self, number: &NumberSettings) -> Request {
        self.request(Method::Post, "/create-phone-number".into(), Repeat::OnceOnly).json(number)
    }

    /// Brings a number of the customer's own carrier.
    ///
    /// # Errors
    /// When the number is none.
    pub fn import_number(&self, number: &ImportNumber) -> Result<Request, Unfit> {
        if !colloquy_domain::check::is_e164(&number.phone_number) {
            return Err(Unfit::new("phone_number", "must be an international number such as +14155550100"));
        }
        Ok(self.request(Method::Post, "/import-phone-number".into(), Repeat::OnceOnly).json(number))
    }

    /// Reads a number.
    pub fn number(&self, number: Id<'_>) -> Request {
        self.request(Method::Get, format!("/get-phone-number/{}", segment(number)), Repeat::Safe)
    }

    /// Changes a number.
    pub fn update_number(&self, number: Id<'_>, settings: &NumberSettings) -> Request {
        self.request(Method::Patch, format!("/update-phone-number/{}", segment(number)), Repeat::Safe).json(settings)
    }

    /// Lists numbers, a page at a time.
    pub fn list_numbers(&self, limit: u32, after: Option<&str>) -> Request {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(after.map(|key| ("pagination_key", key.to_owned())));
        self.request(Method::Get, format!("/v2/list-phone-numbers?{}", encode_form(&query)), Repeat::Safe)
    }

    /// Gives a number back.
    pub fn delete_number(&self, number: Id<'_>) -> Request {
        self.request(Method::Delete, format!("/delete-phone-number/{}", segment(number)), Repeat::Safe)
    }

    /// Places a call. Once only: an unknown outcome is looked up with [`Self::find_calls`].
    ///
    /// # Errors
    /// When a number is none.
    pub fn create_phone_call(&self, call: &PhoneCall) -> Result<Request, Unfit> {
        call.check()?;
        Ok(self.request(Method::Post, "/v2/create-phone-call".into(), Repeat::OnceOnly).json(call))
    }

    /// Begins a call in a browser. It rings nowhere, so a second one does no harm.
    pub fn create_web_call(&self, call: &WebCall) -> Request {
        self.request(Method::Post, "/v3/create-web-call".into(), Repeat::Safe).json(call)
    }

    /// Announces a call that comes over SIP. One that never comes ends by itself.
    pub fn register_call(&self, call: &RegisterCall) -> Request {
        self.request(Method::Post, "/v2/register-phone-call".into(), Repeat::Safe).json(call)
    }

    /// Reads a call.
    pub fn call(&self, id: Id<'_>) -> Request {
        self.request(Method::Get, format!("/v2/get-call/{}", segment(id)), Repeat::Safe)
    }

    /// Looks for calls we gave this metadata along: how an unknown outcome is settled.
    pub fn find_calls(&self, key: &str, value: &str, limit: u32, after: Option<&str>) -> Request {
        let mut body = json!({
            "filter_criteria": { "metadata": [{ "key": key, "type": "string", "op": "eq", "value": value }] },
            "limit": limit.min(PAGE_CALLS_MAX),
            "sort_order": "descending",
        });
        if let Some(after) = after {
            body["pagination_key"] = after.into();
        }
        self.request(Method::Post, "/v3/list-calls".into(), Repeat::Safe).json(&body)
    }

    /// Ends a call.
    pub fn stop_call(&self, id: Id<'_>) -> Request {
        self.request(Method::Post, format!("/v2/stop-call/{}", segment(id)), Repeat::Safe)
    }

    /// Deletes what Retell keeps of a call.
    pub fn delete_call(&self, id: Id<'_>) -> Request {
        self.request(Method::Delete, format!("/v2/delete-call/{}", segment(id)), Repeat::Safe)
    }

    /// Changes metadata or storage of a call that is over.
    pub fn update_call(&self, id: Id<'_>, changes: &Value) -> Request {
        self.request(Method::Patch, format!("/v2/update-call/{}", segment(id)), Repeat::Safe).json(changes)
    }

    /// Tells a running call something, and perhaps has it answer.
    pub fn steer_call(&self, id: Id<'_>, context: &str, respond: bool) -> Request {
        let body = json!({ "call_control": { "additional_context": context, "trigger_response": respond } });
        self.request(Method::Patch, format!("/v2/update-live-call/{}", segment(id)), Repeat::Safe).json(&body)
    }

    /// Has the analysis made again.
    pub fn analyze_again(&self, id: Id<'_>) -> Request {
        self.request(Method::Put, format!("/rerun-call-analysis/{}", segment(id)), Repeat::Safe)
    }

    /// Gives Retell many calls to pace itself. Campaigns here dial one by one under their own permits; this is for those who want Retell's pacing.
    ///
    /// # Errors
    /// When a number or window is wrong.
    pub fn create_batch(&self, batch: &BatchCall) -> Result<Request, Unfit> {
        batch.check()?;
        Ok(self.request(Method::Post, "/create-batch-call".into(), Repeat::OnceOnly).json(batch))
    }

    /// How many calls the account may have at once.
    pub fn concurrency(&self) -> Request {
        self.request(Method::Get, "/get-concurrency".into(), Repeat::Safe)
    }

    fn request(&self, method: Method, path: String, repeat: Repeat) -> Request {
        Request::new(method, path, ("authorization", format!("Bearer {}", self.key.expose_secret())), repeat)
    }
}

/// An agent as Retell knows it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Agent {
    /// Its id.
    pub agent_id: String,
    /// For people.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub agent_name: Option<String>,
    /// The voice.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub voice_id: Option<String>,
    /// Who answers.
    #[serde(default)]
    pub response_engine: Value,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Whether another follows.
    #[serde(default, deserialize_with = "crate::json::or_default")]
    pub has_more: bool,
    /// What asks for it.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub pagination_key: Option<String>,
}

/// A batch as Retell took it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Batch {
    /// Its id.
    pub batch_call_id: String,
    /// How many calls it has.
    #[serde(default, deserialize_with = "crate::json::lenient_whole")]
    pub total_task_count: Option<i64>,
}

/// An agent out of an answer.
///
/// # Errors
/// See [`Fault`].
pub fn read_agent(answer: &Answer<'_>, repeat: Repeat) -> Result<Agent, Fault> {
    answer.read(repeat)
}

/// A page of agents: ids and names.
///
/// # Errors
/// See [`Fault`].
pub fn read_agents(answer: &Answer<'_>) -> Result<Page<Agent>, Fault> {
    answer.read(Repeat::Safe)
}

/// A number out of an answer.
///
/// # Errors
/// See [`Fault`].
pub fn read_number(answer: &Answer<'_>, repeat: Repeat) -> Result<Number, Fault> {
    answer.read(repeat)
}

/// A page of numbers.
///
/// # Errors
/// See [`Fault`].
pub fn read_numbers(answer: &Answer<'_>) -> Result<Page<Number>, Fault> {
    answer.read(Repeat::Safe)
}

/// A call out of the answer to its creation.
///
/// # Errors
/// See [`Fault`]; without an id that can be read the outcome is unknown.
pub fn read_created_call(answer: &Answer<'_>) -> Result<Call, Fault> {
    answer.read(Repeat::OnceOnly)
}

/// A call out of the answer to a question.
///
/// # Errors
/// See [`Fault`].
pub fn read_call(answer: &Answer<'_>) -> Result<Call, Fault> {
    answer.read(Repeat::Safe)
}

/// A page of calls.
///
/// # Errors
/// See [`Fault`].
pub fn read_calls(answer: &Answer<'_>) -> Result<Page<Call>, Fault> {
    answer.read(Repeat::Safe)
}

/// What a browser needs to join a call.
///
/// # Errors
/// See [`Fault`].
pub fn read_web_call(answer: &Answer<'_>) -> Result<WebCallTicket, Fault> {
    answer.read(Repeat::Safe)
}

/// How many calls the account may have at once.
///
/// # Errors
/// See [`Fault`].
pub fn read_concurrency(answer: &Answer<'_>) -> Result<Concurrency, Fault> {
    answer.read(Repeat::Safe)
}

/// A batch.
///
/// # Errors
/// See [`Fault`].
pub fn read_batch(answer: &Answer<'_>) -> Result<Batch, Fault> {
    answer.read(Repeat::OnceOnly)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::Body;

    fn retell() -> Retell {
        Retell::new("key_1".into())
    }

    fn answer(status: u16, body: &'static str) -> Answer<'static> {
        Answer { status, retry_after: None, body: body.as_bytes(), now_ms: 0 }
    }

    #[test]
    fn a_call_is_placed_once_with_its_attempt_in_the_metadata_and_can_be_looked_up() {
        let call = PhoneCall {
            from_number: "+14155550100".into(),
            to_number: "+14155550111".into(),
            metadata: [("attempt".to_owned(), json!("a1"))].into_iter().collect(),
            ..PhoneCall::default()
        };
        let request = retell().create_phone_call(&call).expect("fits");
        assert_eq!(
            (request.method, request.path.as_str(), request.repeat),
            (Method::Post, "/v2/create-phone-call", Repeat::OnceOnly)
        );
        assert_eq!(request.headers[0], ("authorization", "Bearer key_1".to_owned()));
        let expected = r#"{"from_number":"+14155550100","to_number":"+14155550111","metadata":{"attempt":"a1"}}"#;
        assert!(request.body == Body::Json(expected.into()));
        assert!(retell().create_phone_call(&PhoneCall { to_number: "911".into(), ..call }).is_err());
        let find = retell().find_calls("attempt", "a1", 5000, None);
        let Body::Json(body) = &find.body else { panic!("JSON") };
        assert!(body.contains(r#""metadata":[{"key":"attempt","op":"eq","type":"string","value":"a1"}]"#), "{body}");
        assert!(body.contains(r#""limit":1000"#));
    }

    #[test]
    fn answers_are_read_and_faults_keep_their_meaning() {
        let call = read_created_call(&answer(201, r#"{"call_id":"c1","call_status":"registered","agent_id":"a"}"#));
        assert_eq!(call.expect("a call").call_id, "c1");
        assert_eq!(read_created_call(&answer(201, r#"{"id":"c1"}"#)), Err(Fault::OutcomeUnknown { status: Some(201) }));
        assert_eq!(read_created_call(&answer(502, "")), Err(Fault::OutcomeUnknown { status: Some(502) }));
        assert_eq!(read_created_call(&answer(402, "{}")), Err(Fault::Payment));
        assert_eq!(read_call(&answer(502, "")), Err(Fault::Unavailable { status: Some(502) }));
        let page = read_calls(&answer(200, r#"{"items":[{"call_id":"c1"}],"has_more":true,"pagination_key":"k"}"#))
            .expect("a page");
        assert_eq!((page.items.len(), page.has_more, page.pagination_key.as_deref()), (1, true, Some("k")));
    }

    #[test]
    fn numbers_in_paths_are_escaped() {
        assert_eq!(retell().number("+14155550100").path, "/get-phone-number/%2B14155550100");
        assert_eq!(retell().delete_call("../x").path, "/v2/delete-call/%2E%2E%2Fx");
    }
}
