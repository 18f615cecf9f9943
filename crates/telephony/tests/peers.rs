//! The vendors' own packages as peers: they sign and we verify, we sign and they verify, they build calls and forms and documents that ours are
//! compared with, and OpenAI's client reads our stream. The packages are in `tests/peers`; `make test` fetches them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use colloquy_telephony::rest::{Body, Request};
use colloquy_telephony::retell::rest::Retell;
use colloquy_telephony::retell::settings::{
    AgentSettings, BatchCall, BatchTask, CallTimeWindow, MinuteWindow, NumberSettings, PhoneCall, RegisterCall,
    ResponseEngine, WebCall, WeightedAgent,
};
use colloquy_telephony::twilio::calls::{Amd, CreateCall, Instructions, MachineDetection, ModifyCall, Recording};
use colloquy_telephony::twilio::form::Form;
use colloquy_telephony::twilio::messages::Address;
use colloquy_telephony::twilio::outgoing::{Content, CreateMessage, Sender};
use colloquy_telephony::twilio::rest::Twilio;
use colloquy_telephony::twilio::signature::{self as twilio_signature, Covered};
use colloquy_telephony::twilio::twiml::{self, Response};
use colloquy_telephony::vapi::{chat, secret, stream};
use colloquy_telephony::{retell, twilio};
use quick_xml::Reader;
use quick_xml::events::Event;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

const KEY: &str = "key_test";

#[test]
fn retells_own_package_and_we_believe_each_others_signatures_and_build_the_same_calls() {
    let key: SecretString = KEY.into();
    let bodies = [r#"{"event":"call_ended","call":{"call_id":"c1","note":"é"}}"#, "", "{}\n", "ünïcödé 😀"];
    let header = |body: &str, at_ms| retell::signature::sign(&key, body.as_bytes(), at_ms);
    let now = now_ms();
    let ours: Vec<(Value, bool)> = vec![
        (json!({ "body": bodies[0], "header": header(bodies[0], now) }), true),
        (json!({ "body": bodies[3], "header": header(bodies[3], now) }), true),
        (json!({ "body": bodies[1], "header": header(bodies[1], now) }), true),
        (json!({ "body": bodies[2], "header": header(bodies[0], now) }), false),
        (json!({ "body": bodies[0], "header": header(bodies[0], now - 400_000) }), false),
        (json!({ "body": bodies[0], "header": header(bodies[0], now), "key": "other" }), false),
    ];
    let headers: Vec<&Value> = ours.iter().map(|(header, _)| header).collect();
    let answer = peer("retell", &json!({ "key": KEY, "bodies": bodies, "headers": headers }));
    let expected: Vec<bool> = ours.iter().map(|(_, expected)| *expected).collect();
    assert_eq!(answer["verified"], json!(expected), "what it makes of our headers");
    for (body, header) in bodies.iter().zip(answer["signed"].as_array().expect("a list")) {
        let verified = retell::signature::verify(&[&key], body.as_bytes(), header.as_str(), now_ms());
        assert_eq!(verified, Ok(()), "{body:?} {header}");
    }
    compare_with_retells_requests(answer["requests"].as_array().expect("a list"));
}

fn compare_with_retells_requests(theirs: &[Value]) {
    let ours = retell_requests();
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        let body = match &ours.body {
            Body::Json(text) => numbers_as_floats(serde_json::from_str(text).expect("JSON")),
            Body::Empty => Value::Null,
            Body::Form(_) | Body::Wav(_) => panic!("Retell takes JSON"),
        };
        let their_body = theirs["body"].as_str().filter(|body| !body.is_empty());
        let their_body =
            their_body.map_or(Value::Null, |body| numbers_as_floats(serde_json::from_str(body).expect("JSON")));
        let (method, path) = (theirs["method"].as_str().expect("a method"), theirs["path"].as_str().expect("a path"));
        assert_eq!((ours.method.as_str(), decoded(&ours.path), body), (method, decoded(path), their_body));
        assert_eq!(header(ours, "authorization"), theirs["authorization"].as_str(), "{path}");
    }
}

/// The same calls as in `tests/peers/retell.mjs`, in the same order.
fn retell_requests() -> Vec<Request> {
    let retell = Retell::new(KEY.into());
    let (from, to) = ("+14155550100".to_owned(), "+14155550111".to_owned());
    let metadata = |name: &str, value: &str| [(name.to_owned(), Value::from(value))].into_iter().collect::<Map<_, _>>();
    let agent = AgentSettings {
        response_engine: Some(ResponseEngine::CustomLlm { llm_websocket_url: "wss://h/llm".into() }),
        voice_id: Some("11labs-Adrian".into()),
        agent_name: Some("Ace".into()),
        responsiveness: Some(0.5),
        webhook_url: Some("https://h/hook".into()),
        ..AgentSettings::default()
    };
    let renamed = AgentSettings { agent_name: Some("Bee".into()), ..AgentSettings::default() };
    let number = NumberSettings {
        area_code: Some(415),
        inbound_agents: Some(vec![WeightedAgent { agent_id: "a1".into(), weight: 1.0, agent_version: None }]),
        ..NumberSettings::default()
    };
    let call = PhoneCall {
        from_number: from.clone(),
        to_number: to.clone(),
        metadata: metadata("attempt", "t1"),
        retell_llm_dynamic_variables: BTreeMap::from([("name".to_owned(), "Jo".to_owned())]),
        ..PhoneCall::default()
    };
    let web_call = WebCall { agent_id: "a1".into(), metadata: metadata("tenant", "t1"), ..WebCall::default() };
    let register = RegisterCall {
        agent_id: "a1".into(),
        direction: Some("inbound".into()),
        from_number: Some(from.clone()),
        to_number: Some(to.clone()),
        ..RegisterCall::default()
    };
    let batch = BatchCall {
        from_number: from,
        tasks: vec![BatchTask { to_number: to, ..BatchTask::default() }],
        call_time_window: Some(CallTimeWindow {
            windows: vec![MinuteWindow { start: 540, end: 1020 }],
            day: vec![],
            timezone: "Europe/Berlin".into(),
        }),
        ..BatchCall::default()
    };
    vec![
        retell.create_agent(&agent).expect("fits"),
        retell.agent("a/1"),
        retell.update_agent("a1", &renamed).expect("fits"),
        retell.delete_agent("a1"),
        retell.create_number(&number),
        retell.number("+14155550100"),
        retell.delete_number("+14155550100"),
        retell.create_phone_call(&call).expect("fits"),
        retell.create_web_call(&web_call),
        retell.register_call(&register),
        retell.call("c1"),
        retell.find_calls("attempt", "t1", 50, None),
        retell.stop_call("c1"),
        retell.steer_call("c1", "x", true),
        retell.delete_call("c1"),
        retell.create_batch(&batch).expect("fits"),
        retell.concurrency(),
    ]
}

#[test]
fn twilios_own_package_and_we_believe_each_others_signatures_and_write_the_same_documents_and_forms() {
    let token: SecretString = KEY.into();
    let fields = [
        ("To", "+18005551212"),
        ("CallSid", "CA1"),
        ("Body", "é & ü"),
        ("Zip", ""),
        ("A", "2"),
        ("A", "1"),
        ("A", "2"),
    ];
    let form = Form::of(&fields);
    let params = json!({ "To": "+18005551212", "CallSid": "CA1", "Body": "é & ü", "Zip": "", "A": ["2", "1", "2"] });
    let (page, socket) = ("https://h.example/voice?x=1&y=%27a", "wss://h.example/stream");
    let with_port = page.replace("h.example", "h.example:443");
    let body = r#"{"a":"é"}"#;
    let hashed = twilio_signature::with_body_hash("https://h.example/json", body.as_bytes());
    let sign = |url: &str, covered| twilio_signature::sign(&token, url, covered);
    let over_form = sign(page, Covered::Form(&form));
    let over_body = sign(&hashed, Covered::Body(body.as_bytes()));
    let ours: Vec<(Value, bool)> = vec![
        (json!({ "url": page, "params": params, "header": over_form }), true),
        (json!({ "url": with_port, "params": params, "header": over_form }), true),
        (json!({ "url": socket, "params": {}, "header": sign(socket, Covered::Address) }), true),
        (json!({ "url": hashed, "body": body, "header": over_body }), true),
        (json!({ "url": hashed, "body": "{}", "header": over_body }), false),
        (json!({ "url": page, "params": {}, "header": over_form }), false),
    ];
    let signatures: Vec<&Value> = ours.iter().map(|(value, _)| value).collect();
    let requests = json!([
        { "url": page, "params": params },
        { "url": "https://h.example:443/voice", "params": params },
        { "url": socket, "params": {} },
        { "url": hashed, "params": null },
    ]);
    let answer = peer("twilio", &json!({ "token": KEY, "requests": requests, "signatures": signatures }));
    let expected: Vec<bool> = ours.iter().map(|(_, expected)| *expected).collect();
    assert_eq!(answer["verified"], json!(expected), "what it makes of our signatures");
    let signed = |n: usize| answer["signed"][n].as_str();
    let verify = |url: &str, covered, header| twilio_signature::verify(&[&token], url, covered, header);
    assert_eq!(verify(page, Covered::Form(&form), signed(0)), Ok(()));
    assert_eq!(verify("https://h.example/voice", Covered::Form(&form), signed(1)), Ok(()), "it had a port");
    assert_eq!(verify(socket, Covered::Address, signed(2)), Ok(()));
    assert_eq!(verify(&hashed, Covered::Body(body.as_bytes()), signed(3)), Ok(()));
    assert!(verify(page, Covered::Form(&Form::of(&fields[1..])), signed(0)).is_err());
    compare_with_twilios_documents(&answer);
    compare_with_twilios_forms(answer["forms"].as_array().expect("a list"));
}

fn compare_with_twilios_documents(answer: &Value) {
    let relay = twiml::Relay {
        url: "wss://h/relay",
        welcome_greeting: Some("Hi"),
        ignore_backchannel: Some(true),
        ..twiml::Relay::default()
    };
    let gather = twiml::gather("dtmf speech", "/x?a=1&b=2").set("numDigits", 1);
    let voice = Response::new()
        .then(twiml::say("Tom & \"Jerry's\" <shop>", Some("Polly.Joanna"), None))
        .then(gather.with(twiml::say("Press 1", None, Some("en-US"))))
        .then(twiml::connect_stream("wss://h/stream", &[("ticket", "a\"b")], Some("/done")).expect("fits"))
        .then(twiml::connect_relay(&relay, None).expect("fits"))
        .then(twiml::dial(Some("/after"), Some("+14155550100"), Some(20)).with(twiml::number("+14155550111")))
        .then(twiml::pause(2))
        .then(twiml::reject("busy"))
        .then(twiml::hang_up());
    assert_eq!(events(&voice.to_xml()), events(answer["voice"].as_str().expect("a document")));
    let messaging = Response::new().then(twiml::message("Yes & no", &[]));
    assert_eq!(events(&messaging.to_xml()), events(answer["messaging"].as_str().expect("a document")));
}

fn compare_with_twilios_forms(theirs: &[Value]) {
    let account = "AC00000000000000000000000000000000";
    let ours = twilio_requests(account);
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        let Body::Form(form) = &ours.body else { panic!("Twilio takes forms") };
        let mut fields = Form::read(form.as_bytes()).expect("bounded").fields().to_vec();
        fields.sort();
        let mut their_fields: Vec<(String, String)> = Vec::new();
        for (name, value) in theirs["data"].as_object().expect("fields") {
            match value {
                Value::Array(values) => their_fields.extend(values.iter().map(|value| (name.clone(), text_of(value)))),
                value => their_fields.push((name.clone(), text_of(value))),
            }
        }
        their_fields.sort();
        assert_eq!(fields, their_fields);
        let (url, method) = (format!("{}{}", twilio::rest::BASE_URL, ours.path), ours.method.as_str().to_lowercase());
        assert_eq!((Some(url.as_str()), Some(method.as_str())), (theirs["uri"].as_str(), theirs["method"].as_str()));
        assert_eq!((theirs["username"].as_str(), theirs["password"].as_str()), (Some(account), Some(KEY)));
        // Base64 of the two with a colon between them.
        let basic = "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDprZXlfdGVzdA==";
        assert_eq!(header(ours, "authorization"), Some(basic));
    }
}

/// The same calls as in `tests/peers/twilio.mjs`, in the same order.
fn twilio_requests(account: &str) -> Vec<Request> {
    let client = Twilio::new(account, &KEY.into());
    let call = CreateCall {
        status_callback: Some("https://h/status?attempt=a1".into()),
        status_events: ["initiated", "answered", "completed"].map(str::to_owned).into(),
        timeout_s: Some(25),
        amd: Some(Amd {
            mode: MachineDetection::DetectMessageEnd,
            timeout_s: Some(20),
            speech_threshold_ms: None,
            speech_end_threshold_ms: None,
            silence_timeout_ms: None,
            async_callback: Some("https://h/amd".into()),
        }),
        recording: Some(Recording { dual: true, callback: None }),
        ..CreateCall::new("+14155550100", "+14155550111", Instructions::Url("https://h/voice?attempt=a1".into()))
    };
    let free = CreateMessage {
        to: Address::read("whatsapp:+14155550111"),
        from: Sender::Number("+14155550100".into()),
        content: Content::Free { text: "Hi".into(), media: vec!["https://h/a".into(), "https://h/b".into()] },
        status_callback: Some("https://h/receipt".into()),
        validity_s: None,
    };
    let template = CreateMessage {
        to: Address::read("+14155550111"),
        from: Sender::Service("MG1".into()),
        content: Content::Template {
            content_sid: "HX1".into(),
            variables: [("1".to_owned(), Value::from("Jo"))].into_iter().collect(),
        },
        status_callback: None,
        validity_s: Some(600),
    };
    vec![
        client.create_call(&call).expect("fits"),
        client.modify_call("CA1", &ModifyCall::HangUp).expect("fits"),
        client.modify_call("CA1", &ModifyCall::Redirect("https://h/next".into())).expect("fits"),
        client.create_message(&free).expect("fits"),
        client.create_message(&template).expect("fits"),
    ]
}

#[test]
fn openais_own_client_asks_as_vapi_does_and_reads_our_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    // Three requests: streamed, whole, refused.
    let server = std::thread::spawn(move || {
        (0..3).map(|_| serve(listener.accept().expect("a connection").0)).collect::<Vec<chat::Ask>>()
    });
    let answer = peer("openai", &json!({ "base_url": url, "key": KEY }));
    let asked = server.join().expect("served");
    assert_eq!(asked[0].last_words(), Some("I need a plumber"));
    assert_eq!((asked[0].stream, asked[0].include_usage, asked[1].stream), (true, true, false));
    assert_eq!((asked[0].call_id.as_deref(), &asked[0].metadata["tenant"]), (Some("call_1"), &json!("t1")));
    assert_eq!(asked[0].tools, ["book"]);
    let heard = &answer["heard"];
    assert_eq!(heard["text"], "Sure — \"one\"\nmoment 😀.");
    assert_eq!(heard["tools"], json!([[0, "t1", "book", "{\"day\":1}"]]));
    assert_eq!((&heard["finish"], &heard["usage"]["total_tokens"]), (&json!("tool_calls"), &json!(12)));
    assert_eq!(answer["whole"], "At once.");
    assert_eq!((&answer["refused"]["status"], &answer["refused"]["code"]), (&json!(404), &json!("model_not_found")));
}

/// Answers one request over a plain connection, as the gateway would.
fn serve(mut connection: TcpStream) -> chat::Ask {
    let mut reader = BufReader::new(connection.try_clone().expect("a handle"));
    let (mut length, mut authorization, mut line) = (0, None, String::new());
    loop {
        line.clear();
        reader.read_line(&mut line).expect("a header");
        let header = line.trim_end();
        match header.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().expect("a length")
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => authorization = Some(value.to_owned()),
            Some(_) => {}
            None if header.is_empty() => break,
            None => assert!(header.starts_with("POST /v1/chat/completions "), "{header}"),
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let given = secret::Given { authorization: authorization.as_deref(), ..secret::Given::default() };
    assert_eq!(secret::verify(&[&KEY.into()], given, &body), Ok(()));
    let ask = chat::read(&body).expect("a question");
    let (status, content_type, text) = if ask.model == "refuse" {
        let text = stream::error("No such agent.", "invalid_request_error", "model_not_found");
        ("404 Not Found", "application/json", text)
    } else if ask.stream {
        let mut answer = stream::Stream::new("x", &ask.model, now_ms());
        let pieces = [
            stream::KEEP_ALIVE.to_owned(),
            answer.text("Sure — \"one\"\n"),
            answer.text("moment 😀."),
            answer.tool_call("t1", "book", &json!({ "day": 1 })),
            answer.finish(stream::Finish::ToolCalls, ask.include_usage.then_some((7, 5))),
        ];
        ("200 OK", stream::CONTENT_TYPE, pieces.concat())
    } else {
        ("200 OK", "application/json", stream::whole("x", &ask.model, now_ms(), "At once.", (7, 5)))
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    connection.write_all((head + &text).as_bytes()).expect("written");
    ask
}

/// Runs one of the scripts with a task and reads its answer.
fn peer(name: &str, task: &Value) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers");
    assert!(
        folder.join("node_modules").is_dir(),
        "the vendors' packages are not there: `make test` fetches them, or `npm ci` in tests/peers"
    );
    let script: PathBuf = folder.join(format!("{name}.mjs"));
    let mut child =
        Command::new("node").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node runs");
    child.stdin.take().expect("piped").write_all(task.to_string().as_bytes()).expect("taken");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{name}.mjs failed: {}", output.status);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("within 64 bits")
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(header, _)| *header == name).map(|(_, value)| value.as_str())
}

/// A path with its escapes read, slashes inside of a segment kept apart: which other characters are escaped is a matter of taste.
fn decoded(path: &str) -> Vec<String> {
    let segments = path.split('/').map(|segment| {
        let form = Form::read(format!("x={}", segment.replace('+', "%2B")).as_bytes()).expect("bounded");
        form.fields()[0].1.clone()
    });
    segments.collect()
}

/// `1` and `1.0` are one number to JSON's readers.
fn numbers_as_floats(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_f64()),
        Value::Array(list) => list.into_iter().map(numbers_as_floats).collect(),
        Value::Object(map) => map.into_iter().map(|(name, value)| (name, numbers_as_floats(value))).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A document as what a parser makes of it: names, sorted attributes, texts.
fn events(xml: &str) -> Vec<String> {
    let mut events = Vec::new();
    let mut text = String::new();
    let mut reader = Reader::from_str(xml);
    loop {
        let event = reader.read_event().expect("well-formed");
        match &event {
            Event::Text(piece) => text.push_str(piece),
            Event::GeneralRef(name) => {
                text.push_str(&quick_xml::escape::unescape(&format!("&{};", &**name)).expect("known"));
            }
            _ if !text.is_empty() => events.push(std::mem::take(&mut text)),
            _ => {}
        }
        match event {
            Event::Start(start) | Event::Empty(start) => {
                let mut attributes: Vec<String> = start
                    .attributes()
                    .map(|attribute| attribute.expect("an attribute"))
                    .map(|attribute| {
                        let value = quick_xml::escape::unescape(&attribute.value).expect("escaped");
                        format!("{}={value}", attribute.key.as_ref())
                    })
                    .collect();
                attributes.sort();
                events.push(format!("<{} {}", start.name().as_ref(), attributes.join(" ")));
            }
            Event::Eof => break events,
            _ => {}
        }
    }
}
