//! A chat model against a provider that behaves well, badly and not at all.

mod fake;

use std::time::{Duration, Instant};

use colloquy_models::{
    ChatAnswer, ChatModel, ChatRequest, Error, ErrorKind, ModelConfig, OpenAi, PriceTable, ToolArguments, Usage,
    chat::Finish,
    config::{Retry, Timeouts},
};
use fake::{
    Act, Fake, Script, acts,
    call::{SHORT, model, request, run, run_with},
    event, finish, json_body, status, stream, text,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// What the provider does, in order; what comes of it; how many requests it took.
type Case = (&'static str, Vec<Script>, Result<(), ErrorKind>, usize);

fn hello() -> Script {
    stream(&[text("Yes, "), text("until 6 pm."), finish("stop")])
}

#[tokio::test]
async fn a_normal_stream_is_shown_piece_by_piece_and_accounted() {
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 40}}});
    let ran = run(vec![stream(&[
        json!({"choices": [{"delta": {"role": "assistant", "content": ""}}]}),
        text("Yes, "),
        text("until 6 pm."),
        finish("stop"),
        usage,
    ])])
    .await;
    let answer = ran.answer();
    assert_eq!(answer.text, "Yes, until 6 pm.");
    assert_eq!(ran.deltas.iter().map(|delta| delta.text.as_str()).collect::<Vec<_>>(), ["Yes, ", "until 6 pm."]);
    assert_eq!(answer.usage, Usage { input_tokens: 100, cached_tokens: 40, output_tokens: 10, estimated: false });
    assert_eq!(answer.cost_micros, Some(60 + 20 + 20));
    assert_eq!((answer.finish, answer.attempt, answer.model.as_str()), (Finish::Stop, 0, "m-2026-01-01"));
    assert_eq!(answer.attempts.len(), 1);
    let body = &ran.fake.requests()[0];
    assert_eq!((&body["model"], &body["stream"], &body["user"]), (&json!("main"), &json!(true), &json!("v-7")));
    assert_eq!(body["messages"][1], json!({"role": "user", "content": "Are you open?"}));
}

#[tokio::test]
async fn without_usage_tokens_are_estimated() {
    let ran = run(vec![hello()]).await;
    let usage = ran.answer().usage;
    assert!(usage.estimated && usage.input_tokens > 10 && (4..=8).contains(&usage.output_tokens), "{usage:?}");
    assert!(ran.answer().cost_micros.is_some());
}

#[tokio::test]
async fn a_tool_call_split_over_chunks_is_joined() {
    let part = |id: Option<&str>, name: Option<&str>, arguments: &str| json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}]}}]});
    let ran = run(vec![stream(&[
        text("Let me note that."),
        part(Some("call_9"), Some("capture_lead"), ""),
        part(None, None, "{\"email\":\"jo"),
        part(None, None, "@example.com\"}"),
        finish("tool_calls"),
    ])])
    .await;
    let answer = ran.answer();
    assert_eq!((answer.finish, answer.tool_calls.len()), (Finish::ToolCalls, 1));
    let call = &answer.tool_calls[0];
    assert_eq!((call.id.as_str(), call.name.as_str()), ("call_9", "capture_lead"));
    let ToolArguments::Valid { fields } = &call.arguments else { panic!("{call:?}") };
    assert_eq!(Value::Object(fields.clone()), json!({"email": "jo@example.com"}));
}

#[tokio::test]
async fn what_goes_wrong_before_any_text_is_repeated_and_named() {
    let malformed_call = || {
        stream(&[
            json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "capture_lead", "arguments": "{\"email\":"}}]}}]}),
            finish("tool_calls"),
        ])
    };
    let limited = |after: &str| {
        status(
            429,
            vec![("retry-after", after.to_owned())],
            r#"{"error":{"message":"slow down","type":"rate_limit_error","code":null}}"#,
        )
    };
    let cases: Vec<Case> = vec![
        ("a limit that ends soon", vec![limited("0.02"), hello()], Ok(()), 2),
        ("a limit without Retry-After", vec![status(429, vec![], ""), hello()], Ok(()), 2),
        ("a limit beyond our patience", vec![limited("30"), hello()], Err(ErrorKind::RateLimited), 1),
        ("limits without end", vec![limited("0"), limited("0"), limited("0"), hello()], Err(ErrorKind::RateLimited), 3),
        (
            "a used-up quota",
            vec![
                status(429, vec![], r#"{"error":{"type":"insufficient_quota","code":"insufficient_quota"}}"#),
                hello(),
            ],
            Err(ErrorKind::RateLimited),
            1,
        ),
        (
            "a server error",
            vec![status(500, vec![], "<html>oops</html>"), status(503, vec![], "{"), hello()],
            Ok(()),
            3,
        ),
        (
            "a wrong key",
            vec![status(401, vec![], r#"{"error":{"code":"invalid_api_key"}}"#), hello()],
            Err(ErrorKind::Auth),
            1,
        ),
        (
            "an unknown model",
            vec![status(404, vec![], r#"{"error":{"code":"model_not_found"}}"#), hello()],
            Err(ErrorKind::Invalid),
            1,
        ),
        ("a redirect", vec![status(307, vec![("location", "http://127.0.0.1:1/".into())], ""), hello()], Ok(()), 2),
        (
            "a content filter",
            vec![status(400, vec![], r#"{"error":{"code":"content_filter"}}"#), hello()],
            Err(ErrorKind::Refused),
            1,
        ),
        ("a filtered answer", vec![stream(&[finish("content_filter")]), hello()], Err(ErrorKind::Refused), 1),
        ("an empty answer", vec![stream(&[finish("stop")]), hello()], Ok(()), 2),
        (
            "empty answers only",
            vec![stream(&[finish("stop")]), stream(&[finish("stop")]), stream(&[])],
            Err(ErrorKind::Empty),
            3,
        ),
        (
            "malformed arguments",
            vec![malformed_call(), malformed_call(), malformed_call()],
            Err(ErrorKind::Malformed),
            3,
        ),
        (
            "garbage instead of events",
            vec![acts(vec![Act::Send("data: {\"choices\": [\n\ndata: }{\n\n".into())]), hello()],
            Ok(()),
            2,
        ),
        (
            "a stream cut before its first word",
            vec![acts(vec![Act::Send(": hi\n\n".into()), Act::Cut]), hello()],
            Ok(()),
            2,
        ),
        (
            "a stream that ends before its first word",
            vec![acts(vec![]), acts(vec![]), acts(vec![])],
            Err(ErrorKind::CutStream),
            3,
        ),
        (
            "an error inside the stream",
            vec![stream(&[json!({"error": {"type": "server_error", "message": "x"}})]), hello()],
            Ok(()),
            2,
        ),
        (
            "a page instead of an API",
            vec![status(200, vec![("content-type", "text/html".into())], "<html></html>"), hello()],
            Ok(()),
            2,
        ),
        (
            "an answer that is no stream",
            vec![json_body(
                "{\"choices\":\n[{\"message\":{\"content\":\"Yes, until 6 pm.\"},\"finish_reason\":\"stop\"}]}",
            )],
            Ok(()),
            1,
        ),
        ("no [DONE]", vec![acts(vec![event(&text("Yes, until 6 pm.")), event(&finish("stop"))])], Ok(()), 1),
        ("no finish reason", vec![stream(&[text("Yes, until 6 pm.")])], Ok(()), 1),
        (
            "a cut after the last word",
            vec![acts(vec![event(&text("Yes, until 6 pm.")), event(&finish("stop")), Act::Cut])],
            Ok(()),
            1,
        ),
        (
            "garbage between good events",
            vec![acts(vec![
                event(&text("Yes, until ")),
                Act::Send("data: {{{\n\nevent: ping\ndata: 7\n\n".into()),
                event(&text("6 pm.")),
                event(&finish("stop")),
            ])],
            Ok(()),
            1,
        ),
        (
            "unknown fields and events",
            vec![acts(vec![
                Act::Send(
                    "event: response.new\nid: 1\nretry: 5\ndata: {\"type\":\"new.event\",\"obfuscation\":\"x\"}\n\n"
                        .into(),
                ),
                event(
                    &json!({"choices": [{"index": 0, "delta": {"content": "Yes, until 6 pm.", "annotations": []}, "logprobs": {}}], "service_tier": "x"}),
                ),
                event(&finish("stop")),
            ])],
            Ok(()),
            1,
        ),
    ];
    for (case, scripts, expected, requests) in cases {
        let ran = run(scripts).await;
        let got = ran.result.as_ref().map(|_| ()).map_err(|error| error.kind().expect("a kind"));
        assert_eq!(got, expected, "{case}");
        assert_eq!(ran.fake.requests().len(), requests, "{case}");
        match &ran.result {
            Ok(answer) => {
                assert_eq!(answer.text, "Yes, until 6 pm.", "{case}");
                assert_eq!(ran.shown(), answer.text, "{case}");
                assert_eq!(answer.attempts.len(), requests, "{case}");
            }
            Err(_) => {
                assert!(ran.deltas.is_empty(), "{case}");
                assert!(!ran.failure().kind.visitor_sentence().is_empty(), "{case}");
                assert_eq!(ran.failure().attempts.len(), requests, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let began = Instant::now();
    let ran = run(vec![status(429, vec![("retry-after-ms", "200".into())], ""), hello()]).await;
    assert!(ran.result.is_ok() && began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_fallback_model_answers_when_the_first_cannot() {
    let broken = || status(500, vec![], "");
    let cases: Vec<(&str, Vec<Script>, Vec<&str>)> = vec![
        ("errors", vec![broken(), broken(), broken(), hello()], vec!["main", "main", "main", "spare"]),
        ("an unknown model", vec![status(404, vec![], ""), hello()], vec!["main", "spare"]),
        ("a forbidden model", vec![status(403, vec![], ""), hello()], vec!["main", "spare"]),
        ("silence", vec![acts(vec![Act::Hang]), hello()], vec!["main", "spare"]),
    ];
    for (case, scripts, models) in cases {
        let timeouts = Timeouts { first_token: SHORT, ..Timeouts::default() };
        let ran = run_with(scripts, Some("spare"), timeouts, request()).await;
        assert_eq!(ran.answer().text, "Yes, until 6 pm.", "{case}");
        assert_eq!(ran.fake.models(), models, "{case}");
    }
}

#[tokio::test]
async fn an_endpoint_that_knows_no_extensions_is_asked_plainly_from_then_on() {
    let refuse = status(422, vec![], r#"{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"]}]}"#);
    let fake = Fake::start(vec![refuse, hello(), hello()]).await;
    let model = model(&fake, None, Timeouts::default());
    for _ in 0..2 {
        let answer = model.answer(request(), &CancellationToken::new(), &mut |_| {}).await.expect("an answer");
        assert_eq!(answer.text, "Yes, until 6 pm.");
    }
    let extended: Vec<bool> = fake.requests().iter().map(|body| body.get("stream_options").is_some()).collect();
    assert_eq!(extended, [true, false, false]);
}

#[tokio::test]
async fn silence_before_the_first_token_is_a_timeout() {
    let timeouts = Timeouts { first_token: SHORT, ..Timeouts::default() };
    for script in [acts(vec![Act::Hang]), acts(vec![Act::Send(": keep-alive\n\n".into()), Act::Hang])] {
        let mut ran = run_with(vec![script], None, timeouts, request()).await;
        assert_eq!(ran.failure().kind, ErrorKind::Timeout);
        assert!(!ran.failure().shown);
        assert_eq!(ran.failure().attempts[0].usage, Usage::default());
        ran.fake.until_hung_up().await;
    }
}

#[tokio::test]
async fn a_stall_in_the_middle_is_a_timeout_and_what_was_used_is_kept() {
    let timeouts = Timeouts { between_tokens: SHORT, ..Timeouts::default() };
    let began = Instant::now();
    let mut ran =
        run_with(vec![acts(vec![event(&text("Yes, un")), Act::Hang])], Some("spare"), timeouts, request()).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let failure = ran.failure();
    assert_eq!((failure.kind, failure.shown, failure.attempts.len()), (ErrorKind::Timeout, true, 1));
    assert!(failure.attempts[0].usage.output_tokens > 0 && failure.attempts[0].usage.estimated);
    assert_eq!(ran.shown(), "Yes, un");
    ran.fake.until_hung_up().await;
}

#[tokio::test]
async fn a_call_never_outlives_its_total_time() {
    let timeouts = Timeouts { total: Duration::from_millis(700), ..Timeouts::default() };
    let began = Instant::now();
    let ran =
        run_with(vec![acts(vec![event(&text("Yes")), Act::Hang]), hello()], Some("spare"), timeouts, request()).await;
    assert_eq!(ran.failure().kind, ErrorKind::Timeout);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_stream_cut_after_some_words_is_repeated_only_when_the_caller_replaces_them() {
    let cut = || acts(vec![event(&text("Yes, un")), Act::Cut]);
    let ran = run(vec![cut(), hello()]).await;
    assert_eq!((ran.failure().kind, ran.failure().shown, ran.fake.requests().len()), (ErrorKind::CutStream, true, 1));

    let again = ChatRequest { replace_shown: true, ..request() };
    let ran = run_with(vec![cut(), cut(), hello()], None, Timeouts::default(), again).await;
    assert_eq!((ran.answer().attempt, ran.answer().text.as_str()), (2, "Yes, until 6 pm."));
    assert_eq!(ran.shown(), "Yes, until 6 pm.");
    let attempts: Vec<u32> = ran.deltas.iter().map(|delta| delta.attempt).collect();
    assert!(attempts.is_sorted() && attempts.first() == Some(&0), "{attempts:?}");
    let paid: u64 = ran.answer().attempts.iter().map(|attempt| attempt.usage.output_tokens).sum();
    assert_eq!(ran.answer().usage.output_tokens, paid);
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let config = ModelConfig {
        base_url: "http://127.0.0.1:9/v1".into(),
        api_key: Some("sk-test".into()),
        ..ModelConfig::default()
    };
    let config =
        ModelConfig { retry: Retry { per_model: 1, backoff: Duration::from_millis(2), ..Retry::default() }, ..config };
    let model = config.chat_model(PriceTable::default()).expect("settings").expect("a key");
    let error = model.answer(request(), &CancellationToken::new(), &mut |_| {}).await.expect_err("nobody listens");
    assert_eq!(error.kind(), Some(ErrorKind::Unavailable));
}

/// Cancels as soon as the provider has been asked, and returns what becomes of the call.
async fn cancelled_once_asked(fake: &Fake, model: &OpenAi) -> Result<ChatAnswer, Error> {
    let cancel = CancellationToken::new();
    let mut sink = |_| {};
    let (result, ()) = tokio::join!(model.answer(request(), &cancel, &mut sink), async {
        while fake.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    });
    result
}

#[tokio::test]
async fn a_call_cancelled_while_it_waits_ends_at_once_and_hangs_up() {
    let mut fake = Fake::start(vec![acts(vec![Act::Hang]), hello()]).await;
    let model = model(&fake, Some("spare"), Timeouts::default());
    let began = Instant::now();
    let result = cancelled_once_asked(&fake, &model).await;
    assert_eq!(result.expect_err("cancelled").kind(), Some(ErrorKind::Cancelled));
    fake.until_hung_up().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test]
async fn a_call_cancelled_while_it_waits_to_retry_asks_no_more() {
    let fake = Fake::start(vec![status(429, vec![("retry-after-ms", "290".into())], ""), hello()]).await;
    let model = model(&fake, Some("spare"), Timeouts::default());
    let result = cancelled_once_asked(&fake, &model).await;
    assert_eq!(result.expect_err("cancelled").kind(), Some(ErrorKind::Cancelled));
    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test]
async fn nothing_is_shown_after_a_cancel() {
    let mut fake = Fake::start(vec![acts(vec![event(&text("Yes, ")), event(&text("until 6 pm.")), Act::Hang])]).await;
    let model = model(&fake, None, Timeouts::default());
    let cancel = CancellationToken::new();
    let mut shown = Vec::new();
    let result = model
        .answer(request(), &cancel, &mut |delta| {
            cancel.cancel();
            shown.push(delta.text);
        })
        .await;
    assert_eq!(result.expect_err("cancelled").kind(), Some(ErrorKind::Cancelled));
    assert_eq!(shown, ["Yes, "]);
    fake.until_hung_up().await;
}

#[tokio::test]
async fn debug_output_shows_no_text() {
    let ran = run(vec![hello()]).await;
    let shown = format!("{:?} {:?}", ran.answer(), request());
    assert!(!shown.contains("6 pm") && !shown.contains("plumber"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_bytes_of_a_provider_end_in_an_answer_or_a_named_error(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("data: ".to_owned()), Just("\n\n".to_owned()), Just("[DONE]".to_owned()), Just(text("Hi").to_string()),
                Just(finish("stop").to_string()), Just("{\"choices\":[{\"delta\":null}]}".to_owned()), ".{0,8}",
            ], 0..16),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let ran = runtime.block_on(run(vec![acts(pieces.into_iter().map(Act::Send).collect()), hello()]));
        match &ran.result {
            Ok(answer) => {
                let shown = ran.shown();
                prop_assert_eq!(shown.trim_end(), answer.text.as_str());
            }
            Err(error) => prop_assert!(error.kind().is_some()),
        }
    }
}
