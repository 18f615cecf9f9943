//! What a telephone needs beside answering it, through the real binary as Twilio sees it: colleagues who are told what a call is about before they take
//! it, calls that nobody answered, messages after the beep, sockets that never come, numbers that are bought and given back.

mod support;

use colloquy_actors::telephony::twilio::form::Form;
use colloquy_actors::telephony::twilio::signature::{Covered, sign};
use colloquy_carrier::{Carrier as Simulated, Config};
use serde_json::{Value, json};
use support::carrier::{ACCOUNT, Carrier, OURS, TOKEN, connect_twilio, post_form};
use support::client::Answer;
use support::people::{Member, SOON, mailbox, text};
use support::socket::Socket;
use support::voices::Voices;
use support::{Server, eventually};

/// Somebody's mobile.
const ANN: &str = "+447400123456";
/// Somebody else's.
const BEN: &str = "+447400123457";
/// A telephone that takes no text messages.
const DESK_PHONE: &str = "+442079460018";
/// Who takes calls.
const DESK: &str = "+12175550177";
/// Where Twilio believes the server to be.
const PUBLIC: &str = "https://calls.example";
/// What people who reached nobody are told.
const TEXT: &str = "Sorry that we missed your call. We will be in touch.";

async fn founded(server: &Server, more: Value) -> (Member, String) {
    let owner = Member::sign_up(server, "Oak Plumbing").await;
    let body = json!({ "vertical": "custom", "name": "Oak", "variables": { "business_name": "Oak Plumbing" } });
    let agent = text(&owner.agent(body).await, "id");
    let mut patch = json!({ "voice_enabled": true, "escalation_email": owner.email });
    for (name, value) in more.as_object().into_iter().flatten() {
        patch[name] = value.clone();
    }
    owner.api.patch(&format!("/api/agents/{agent}"), patch).await.expect(200);
    connect_twilio(&owner, &agent).await;
    (owner, agent)
}

/// A webhook of Twilio's, signed with a token.
async fn signed(server: &Server, path: &str, fields: &[(&str, &str)], token: &str) -> Answer {
    let form = Form::of(fields);
    let signed = sign(&token.to_owned().into(), &format!("{PUBLIC}{path}"), Covered::Form(&form));
    post_form(&server.api().header("x-twilio-signature", &signed), path, form.to_body()).await
}

/// What Twilio is told to do about a call, at an address of ours.
async fn asked(server: &Server, path: &str, call: &str, from: &str, more: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("CallSid", call),
        ("AccountSid", ACCOUNT),
        ("From", from),
        ("To", OURS),
        ("CallStatus", "in-progress"),
        ("Direction", "inbound"),
    ];
    fields.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    fields.extend(more);
    signed(server, path, &fields, "another token").await.refused(401);
    let answer = signed(server, path, &fields, TOKEN).await;
    assert!((200..300).contains(&answer.status), "{path}: {} {}", answer.status, answer.text);
    answer.text
}

async fn calls(server: &Server, call: &str, from: &str) -> String {
    asked(server, "/api/voice/twilio/voice", call, from, &[("CallStatus", "ringing")]).await
}

/// What stands behind a mark, up to the next quotation mark.
fn after(text: &str, mark: &str) -> String {
    let at = text.find(mark).unwrap_or_else(|| panic!("{mark} in {text}")) + mark.len();
    let value = &text[at..][..text[at..].find('"').expect("its end")];
    value.replace("&amp;", "&")
}

/// A path of ours that instructions name.
fn path(instructions: &str, mark: &str) -> String {
    let address = after(instructions, mark);
    address.strip_prefix(PUBLIC).unwrap_or_else(|| panic!("our own address: {address}")).to_owned()
}

/// The relay's socket, as Twilio opens it after these instructions.
async fn relayed(server: &Server, instructions: &str, call: &str, from: &str) -> Socket {
    let address = after(instructions, "ConversationRelay url=\"");
    let path = address.strip_prefix("wss://calls.example").expect("our own address").to_owned();
    let ticket = after(instructions, "name=\"ticket\" value=\"");
    let signed = sign(&TOKEN.to_owned().into(), &address, Covered::Address);
    let here = std::net::Ipv4Addr::LOCALHOST;
    let mut socket = Socket::open_with(here, server.http, &path, &[("x-twilio-signature", signed.as_str())])
        .await
        .expect("it opens");
    socket
        .send(&json!({
            "type": "setup", "sessionId": "VX1", "accountSid": ACCOUNT, "callSid": call, "from": from, "to": OURS, "direction": "inbound",
            "callType": "PSTN", "callStatus": "RINGING", "customParameters": { "ticket": ticket },
        }))
        .await;
    socket
}

/// Reads what is said to its end.
async fn hears(socket: &mut Socket) -> String {
    let before = socket.seen.len();
    socket.until("the words' end", |frame| frame["type"] == "text" && frame["last"] == true).await;
    socket.seen[before..].iter().filter_map(|frame| frame["token"].as_str()).collect()
}

async fn says(socket: &mut Socket, words: &str) -> String {
    socket.send(&json!({ "type": "prompt", "voicePrompt": words, "lang": "en-US", "last": true })).await;
    hears(socket).await
}

/// The call of a number, once it stands so.
async fn call_is(owner: &Member, from: &str, fits: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("the call of {from}"), SOON, || async {
        owner.api.list("/api/voice/calls").await.into_iter().find(|call| call["from"] == from && fits(call))
    })
    .await
}

/// Hands the call on, and what Twilio is told to do then.
async fn handed_on(server: &Server, owner: &Member, id: &str, socket: &mut Socket, ended: &str) -> String {
    // What is still to be spoken is not waited for: the caller talks over it.
    socket
        .send(&json!({ "type": "interrupt", "utteranceUntilInterrupt": "", "durationUntilInterruptMs": "900" }))
        .await;
    let warm = json!({ "to": DESK, "kind": "warm" });
    owner.api.post(&format!("/api/voice/calls/{id}/transfer"), warm.clone()).await.expect(202);
    // Asked twice it is one transfer.
    owner.api.post(&format!("/api/voice/calls/{id}/transfer"), warm).await.expect(202);
    let handed = socket.until("the end of the session", |frame| frame["type"] == "end").await;
    let data = text(&handed, "handoffData");
    asked(server, ended, "CA1", ANN, &[("SessionStatus", "ended"), ("HandoffData", &data)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colleague_hears_who_calls_and_takes_it_or_the_caller_is_taken_back_whichever_node_dies() {
    let carrier = Carrier::start().await;
    let mut server = carrier.server(&[("COLLOQUY_PUBLIC__API_URL", PUBLIC)]).await;
    let (owner, _) = founded(&server, json!({ "transfer_kind": "warm" })).await;
    let instructions = calls(&server, "CA1", ANN).await;
    let ended = path(&instructions, "action=\"");
    let mut socket = relayed(&server, &instructions, "CA1", ANN).await;
    hears(&mut socket).await;
    says(&mut socket, "My name is Ann Lee").await;
    says(&mut socket, "The boiler in my cellar leaks and the floor is wet").await;
    let call = call_is(&owner, ANN, |call| call["status"] == "in_progress").await;
    let (id, conversation) = (text(&call, "id"), text(&call, "conversation_id"));

    let dial = handed_on(&server, &owner, &id, &mut socket, &ended).await;
    assert!(dial.contains(DESK) && after(&dial, "callerId=\"") == OURS, "{dial}");
    let (whisper, through) = (path(&dial, "<Number url=\""), path(&dial, "<Dial action=\""));
    // The node dies while the colleague's telephone rings.
    server.kill();
    server.boot().await;
    let owner = owner.at(&server);
    let leg =
        [("CallSid", "CA1b"), ("ParentCallSid", "CA1"), ("From", OURS), ("To", DESK), ("Direction", "outbound-dial")];
    let told = asked(&server, &whisper, "CA1b", OURS, &leg).await;
    assert!(told.contains("Ann Lee") && told.contains("boiler in my cellar"), "{told}");
    assert!(told.contains("This is Oak Plumbing") && told.contains("Press 1"), "{told}");
    assert!(told.ends_with("<Hangup/></Response>"), "a machine presses nothing: {told}");
    let pressed = path(&told, "<Gather input=\"dtmf\" action=\"");
    let key = |digits| [leg.as_slice(), &[("Digits", digits)]].concat();
    assert!(asked(&server, &pressed, "CA1b", OURS, &key("7")).await.contains("<Redirect"), "no key of ours");
    assert!(asked(&server, &pressed, "CA1b", OURS, &key("2")).await.contains("<Hangup"), "sent back");
    let back = asked(&server, &through, "CA1", ANN, &[("DialCallStatus", "completed")]).await;
    let mut socket = relayed(&server, &back, "CA1", ANN).await;
    assert!(hears(&mut socket).await.contains("nobody could take your call"), "{:?}", socket.seen);
    // Connected once more they are not told again.
    let again = asked(&server, &ended, "CA1", ANN, &[("SessionStatus", "failed")]).await;
    drop(socket);
    let mut socket = relayed(&server, &again, "CA1", ANN).await;
    assert!(!says(&mut socket, "Are you there?").await.contains("nobody could take"), "{:?}", socket.seen);
    let shown = owner.conversation(&conversation).await;
    assert_eq!(shown["conversation"]["status"], "escalated", "{shown}");
    assert!(text(&shown["conversation"], "escalation_reason").contains("it was sent back"), "{shown}");
    eventually("the owner is told to call back", SOON, || async {
        let mails = mailbox(&server, &owner.email).await;
        mails.iter().any(|mail| text(mail, "subject").contains("Call back: Ann Lee")).then_some(())
    })
    .await;

    // The next time nobody answers there, and only the end of the dial tells.
    let ended = path(&again, "action=\"");
    let dial = handed_on(&server, &owner, &id, &mut socket, &ended).await;
    let through = path(&dial, "<Dial action=\"");
    let back = asked(&server, &through, "CA1", ANN, &[("DialCallStatus", "no-answer")]).await;
    let mut socket = relayed(&server, &back, "CA1", ANN).await;
    assert!(hears(&mut socket).await.contains("nobody could take your call"), "{:?}", socket.seen);
    eventually("the owner is told why", SOON, || async {
        let mails = mailbox(&server, &owner.email).await;
        mails.iter().any(|mail| mail.to_string().contains("there was no answer")).then_some(())
    })
    .await;

    // Then they take it.
    let ended = path(&back, "action=\"");
    let dial = handed_on(&server, &owner, &id, &mut socket, &ended).await;
    let whisper = path(&dial, "<Number url=\"");
    let told = asked(&server, &whisper, "CA1c", OURS, &leg).await;
    let pressed = path(&told, "<Gather input=\"dtmf\" action=\"");
    let taken = asked(&server, &pressed, "CA1c", OURS, &key("1")).await;
    assert!(!taken.contains("<Hangup"), "the end of it connects the two: {taken}");
    assert!(!asked(&server, &pressed, "CA1c", OURS, &key("1")).await.contains("<Hangup"), "said twice");
    let call = call_is(&owner, ANN, |call| call["status"] == "transferred").await;
    assert_eq!(call["transfer"]["stage"], "taken", "{call}");
    let over = asked(&server, &through, "CA1", ANN, &[("DialCallStatus", "completed")]).await;
    assert!(over.contains("<Hangup"), "{over}");
    assert!(asked(&server, &whisper, "CA1d", OURS, &leg).await.contains("has hung up"), "nobody waits any more");
    let alerts = owner.conversation(&conversation).await;
    assert!(!text(&alerts["conversation"], "escalation_reason").contains("hung up while waiting"), "{alerts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_answered_is_listed_told_of_and_answered_by_text_once_where_that_is_allowed() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[("COLLOQUY_PUBLIC__API_URL", PUBLIC)]).await;
    let (owner, agent) = founded(&server, json!({ "missed_call_text": TEXT })).await;
    let hung_up = |call: &'static str, from| {
        let server = &server;
        async move {
            assert!(calls(server, call, from).await.contains("<Connect"), "it would be answered");
            let over = [("CallStatus", "completed"), ("CallDuration", "2")];
            asked(server, "/api/voice/twilio/status", call, from, &over).await;
        }
    };
    // Hung up before anybody answered.
    hung_up("CA1", ANN).await;
    let missed = call_is(&owner, ANN, |call| call["status"] == "missed").await;
    assert!(missed["answered_at"].is_null(), "{missed}");
    let sent = carrier.has_sent(ANN, 1).await;
    assert_eq!((sent[0].text.as_str(), sent[0].from.as_str()), (TEXT, OURS));
    let noticed = eventually("the owner is told", SOON, || async {
        owner.api.list("/api/notifications").await.into_iter().find(|item| item["kind"] == "missed_call")
    })
    .await;
    assert_eq!(noticed["title"], format!("Missed call from {ANN}"));
    call_is(&owner, ANN, |call| call["texted"]["is"] == "sent").await;
    // Again on the same day, from a telephone on a desk, and by somebody who wants no messages.
    hung_up("CA2", ANN).await;
    hung_up("CA3", DESK_PHONE).await;
    owner.api.post("/api/dnc", json!({ "channel": "phone", "address": BEN, "reason": "asked" })).await.expect(201);
    hung_up("CA4", BEN).await;
    for (from, why) in [(ANN, "already_texted"), (DESK_PHONE, "no_mobile"), (BEN, "do_not_contact")] {
        call_is(&owner, from, |call| call["texted"]["why"] == why).await;
    }
    assert_eq!((carrier.sent_to(ANN).len(), carrier.asked()), (1, 1), "nobody else was written to");
    // An agent that is switched off answers nobody; that is a missed call too.
    owner.api.patch(&format!("/api/agents/{agent}"), json!({ "voice_enabled": false })).await.expect(200);
    assert!(calls(&server, "CA5", "+447400123458").await.contains("<Hangup"), "it says so");
    call_is(&owner, "+447400123458", |call| call["status"] == "missed").await;
    owner.counted(json!({ "calls_missed": 5, "calls_answered": 0 })).await;
}

/// A WAV file of so many samples.
fn wav(samples: usize) -> Vec<u8> {
    let size = u32::try_from(samples * 2).expect("short");
    let mut file = [b"RIFF".as_slice(), &(size + 36).to_le_bytes(), b"WAVEfmt \x10\0\0\0\x01\0\x01\0"].concat();
    file.extend([8_000_u32.to_le_bytes(), 16_000_u32.to_le_bytes()].concat());
    file.extend([b"\x02\0\x10\0data".as_slice(), &size.to_le_bytes()].concat());
    file.extend((0..samples).flat_map(|n| i16::try_from(n % 2_000).expect("small").to_le_bytes()));
    file
}

/// An organization that is never open.
async fn closed(owner: &Member) {
    let week = json!({ "mon": null, "tue": null, "wed": null, "thu": null, "fri": null, "sat": null, "sun": null });
    owner.api.patch("/api/organization", json!({ "business_hours": week })).await.expect(200);
}

/// Somebody calls after hours and leaves a second of sound.
async fn leaves(server: &Server, carrier: &Carrier, call: &str, from: &str, recording: &str) {
    let record = eventually("the agent takes messages", SOON, || async {
        let told = calls(server, call, from).await;
        told.contains("<Record").then_some(told)
    })
    .await;
    carrier.records(recording, wav(8_000));
    let news = path(&record, "recordingStatusCallback=\"");
    let there = [
        ("RecordingSid", recording),
        ("RecordingStatus", "completed"),
        ("RecordingUrl", "https://elsewhere.example/RE"),
        ("RecordingDuration", "9"),
    ];
    for _ in 0..2 {
        asked(server, &news, call, from, &there).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_after_the_beep_is_written_down_once_and_stands_in_the_callers_conversation() {
    let (carrier, voices) = (Carrier::start().await, Voices::start().await);
    let mut settings = [carrier.settings(), voices.settings()].concat();
    settings.push(("COLLOQUY_PUBLIC__API_URL", PUBLIC.to_owned()));
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let mut server = Server::start_with(&settings).await;
    let (owner, _) = founded(&server, json!({ "voicemail": true })).await;
    closed(&owner).await;
    let said = "Hello, this is Ann Lee. My boiler leaks, please call me back.";
    // The node dies while nobody answers; then the service is out of order twice.
    voices.writes(&[None]);
    leaves(&server, &carrier, "CA1", ANN, "RE1").await;
    eventually("it is brought", SOON, || async { (voices.recordings().len() == 1).then_some(()) }).await;
    server.kill();
    voices.writes(&[Some((500, "")), Some((500, "")), Some((200, said))]);
    server.boot().await;
    let owner = owner.at(&server);
    let is = |status: &'static str| move |call: &Value| call["voicemail"]["transcript_status"] == status;
    let row = call_is(&owner, ANN, is("written")).await;
    assert!(!row.to_string().contains("boiler"), "the words stand in one place: {row}");
    let brought = voices.recordings();
    assert_eq!(brought.len(), 4, "{brought:?}");
    // Sixteen bits for each of the caller's samples alone, and a model that takes recordings.
    assert!(
        brought.iter().all(|(bytes, query)| *bytes == 44 + 16_000 && query.contains("model=nova-3")),
        "{brought:?}"
    );
    let call = format!("/api/voice/calls/{}", text(&row, "id"));
    let shown = owner.api.get(&call).await.expect(200);
    let left = &shown["voicemail"];
    assert_eq!((&left["transcript"], &left["confidence_percent"]), (&json!(said), &json!(98)), "{shown}");
    assert!(left["transcript_note"].is_null(), "{shown}");
    let conversation = text(&shown, "conversation_id");
    let one = |shown: &Value, key: &str| {
        let all = shown[key].as_array().expect("a list").clone();
        assert_eq!(all.len(), 1, "it stands once: {shown}");
        all[0].clone()
    };
    for message in [one(&shown, "transcript"), one(&owner.conversation(&conversation).await, "messages")] {
        let marked = (&message["role"], &message["content"], &message["voicemail"], &message["channel"]);
        assert_eq!(marked, (&json!("user"), &json!(said), &json!(true), &json!("voice")));
    }
    let noticed = owner.api.list("/api/notifications").await;
    let noticed = noticed.iter().find(|item| item["link"] == format!("/app/calls/{}", text(&row, "id")));
    assert!(noticed.is_some_and(|item| text(item, "body").contains(said)), "{noticed:?}");

    // The same person's next message goes on there; one without words adds none.
    voices.writes(&[Some((200, "It is Ann again."))]);
    leaves(&server, &carrier, "CA2", ANN, "RE2").await;
    eventually("both stand there", SOON, || async {
        let shown = owner.conversation(&conversation).await;
        (shown["messages"].as_array()?.len() == 2).then_some(())
    })
    .await;
    voices.writes(&[Some((200, ""))]);
    leaves(&server, &carrier, "CA3", BEN, "RE3").await;
    let silent = call_is(&owner, BEN, is("silent")).await;
    assert!(silent["conversation_id"].is_null() && silent["voicemail"]["transcript_note"].is_string(), "{silent}");
    // A key that is not taken is said, and not tried again.
    let before = voices.recordings().len();
    voices.writes(&[Some((401, ""))]);
    leaves(&server, &carrier, "CA4", DESK_PHONE, "RE4").await;
    let refused = call_is(&owner, DESK_PHONE, is("none")).await;
    assert!(text(&refused["voicemail"], "transcript_note").contains("refuses the key"), "{refused}");
    assert_eq!(voices.recordings().len(), before + 1);

    // Erased with who said it.
    let erasure = owner.api.post("/api/privacy/erasures", json!({ "phone": ANN })).await.expect(202);
    let erasure = format!("/api/privacy/erasures/{}", text(&erasure, "id"));
    eventually("the erasure has ended", SOON, || async {
        (owner.api.get(&erasure).await.expect(200)["status"] == "completed").then_some(())
    })
    .await;
    owner.api.get(&call).await.refused(404);
    owner.api.get(&format!("/api/conversations/{conversation}")).await.refused(404);
    let noticed = owner.api.list("/api/notifications").await;
    assert!(!json!(noticed).to_string().contains("boiler"), "{noticed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_hours_a_message_is_taken_fetched_kept_under_the_calls_key_and_erased_with_the_caller() {
    let carrier = Carrier::start().await;
    let mut server = carrier.server(&[("COLLOQUY_PUBLIC__API_URL", PUBLIC)]).await;
    let (owner, _) = founded(&server, json!({ "voicemail": true })).await;
    assert!(calls(&server, "CA0", BEN).await.contains("<Connect"), "without opening hours it is always open");
    closed(&owner).await;
    let record = eventually("the agent knows that it is closed", SOON, || async {
        let told = calls(&server, "CA1", ANN).await;
        told.contains("<Record").then_some(told)
    })
    .await;
    assert!(record.contains("leave your name") && record.contains("playBeep=\"true\""), "{record}");
    let (done, news) = (path(&record, "<Record action=\""), path(&record, "recordingStatusCallback=\""));
    assert!(asked(&server, &done, "CA1", ANN, &[]).await.contains("<Hangup"));
    call_is(&owner, ANN, |call| call["status"] == "missed").await;
    // The node dies while the provider does not have it yet.
    let there = [
        ("RecordingSid", "RE1"),
        ("RecordingStatus", "completed"),
        ("RecordingUrl", "https://elsewhere.example/RE1"),
        ("RecordingDuration", "9"),
    ];
    asked(&server, &news, "CA1", ANN, &there).await;
    call_is(&owner, ANN, |call| call["status"] == "voicemail").await;
    server.kill();
    carrier.records("RE1", wav(8_000));
    server.boot().await;
    let owner = owner.at(&server);
    asked(&server, &news, "CA1", ANN, &there).await;
    let call = call_is(&owner, ANN, |call| call["voicemail"]["sound"] == "here").await;
    assert!(!carrier.has_recording("RE1"), "no copy stays elsewhere");
    assert!(!call["recording"].is_null(), "{call}");
    let call = call_is(&owner, ANN, |call| call["voicemail"]["transcript_status"] == "none").await;
    let note = text(&call["voicemail"], "transcript_note");
    assert!(note.contains("no speech-to-text is connected"), "nothing is pretended: {note}");
    let heard = format!("/api/voice/calls/{}/recording", text(&call, "id"));
    let sound = owner.api.get(&heard).await;
    assert_eq!(sound.status, 200);
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    viewer.api.get(&heard).await.refused(403);
    let noticed = owner.api.list("/api/notifications").await;
    let missed: Vec<&Value> =
        noticed.iter().filter(|item| item["link"] == format!("/app/calls/{}", text(&call, "id"))).collect();
    assert_eq!(missed.len(), 1, "one notice: {noticed:?}");
    assert!(text(missed[0], "body").contains("message of 9 seconds"), "{missed:?}");
    let erasure = owner.api.post("/api/privacy/erasures", json!({ "phone": ANN })).await.expect(202);
    let erasure = format!("/api/privacy/erasures/{}", text(&erasure, "id"));
    eventually("the erasure has ended", SOON, || async {
        (owner.api.get(&erasure).await.expect(200)["status"] == "completed").then_some(())
    })
    .await;
    owner.api.get(&heard).await.refused(404);
    // An organization that keeps no recordings asks nobody for one.
    let retention = json!({ "settings": { "retention": { "recordings_days": 0 } } });
    owner.api.patch("/api/organization", retention).await.expect(200);
    eventually("nobody is asked for a message", SOON, || async {
        calls(&server, "CA2", BEN).await.contains("<Connect").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_socket_never_came_is_answered_anew_and_then_told_so() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[("COLLOQUY_PUBLIC__API_URL", PUBLIC)]).await;
    let (owner, _) = founded(&server, json!({})).await;
    let mut instructions = calls(&server, "CA1", ANN).await;
    for _ in 0..3 {
        let ended = path(&instructions, "action=\"");
        instructions = asked(&server, &ended, "CA1", ANN, &[("SessionStatus", "failed"), ("ErrorCode", "64101")]).await;
        assert!(instructions.contains("<ConversationRelay"), "{instructions}");
    }
    let ended = path(&instructions, "action=\"");
    let last = asked(&server, &ended, "CA1", ANN, &[("SessionStatus", "failed")]).await;
    assert!(last.contains("<Say") && last.contains("<Hangup"), "nobody waits for ever: {last}");
    let call = call_is(&owner, ANN, |call| call["status"] == "missed").await;
    assert_eq!(call["reason"], "no_connection");
    // One that comes the second time is answered, once.
    let instructions = calls(&server, "CA2", BEN).await;
    let ended = path(&instructions, "action=\"");
    let again = asked(&server, &ended, "CA2", BEN, &[("SessionStatus", "failed")]).await;
    let mut socket = relayed(&server, &again, "CA2", BEN).await;
    hears(&mut socket).await;
    call_is(&owner, BEN, |call| call["status"] == "in_progress").await;
    // A fallback address, or one that is asked again, finds the call as it is.
    let back = calls(&server, "CA2", BEN).await;
    assert!(back.contains("<ConversationRelay"), "{back}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_bought_wired_and_given_back_and_not_while_it_is_in_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("carrier.jsonl");
    let (account, token) = ("AC00000000000000000000000000000079", "auth-token-of-the-numbers");
    let config = Config {
        listen: "127.0.0.1:0".parse().expect("an address"),
        account: account.to_owned(),
        token: token.to_owned(),
        log: Some(log.clone()),
        ..Config::default()
    };
    let carrier = Simulated::start(config).await.expect("a carrier");
    let server = Server::start_with(&[("COLLOQUY_MESSAGES__SIMULATED_URL", &carrier.url())]).await;
    let owner = Member::sign_up(&server, "Oak Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "custom", "name": "Oak" })).await, "id");
    let wanted = json!({ "agent_id": agent, "area_code": 212 });
    let buy = "/api/voice/provision-number";
    assert_eq!(owner.api.post(buy, wanted.clone()).await.refused(409)["code"], "not_connected");
    let keys = json!({ "account_sid": account, "auth_token": token });
    owner.api.post("/api/integrations/simulated/connect", keys).await.expect(200);
    let rep = owner.invite(&server, "rep", "Rita").await;
    rep.api.post(buy, wanted.clone()).await.refused(403);
    owner.api.post(buy, json!({ "agent_id": "nobody" })).await.names("agent_id");
    owner.api.post(buy, json!({ "agent_id": agent, "country": "Atlantis" })).await.names("country");
    let none = owner.api.post(buy, json!({ "agent_id": agent, "country": "CH" })).await.refused(409);
    assert_eq!(none["code"], "no_number_available");

    let bought = owner.api.post(buy, wanted).await.expect(201);
    let number = text(&bought, "number");
    assert!(number.starts_with("+1212") && text(&bought, "external_id").starts_with("PN"), "{bought}");
    let wired = std::fs::read_to_string(&log).expect("a log");
    let wired: Value = wired
        .lines()
        .find(|line| line.contains("bought"))
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .expect("bought");
    assert!(text(&wired, "voice_url").contains("/api/voice/twilio/voice/"), "{wired}");
    assert_eq!(wired["voice_url"], wired["fallback"], "another node may answer: {wired}");

    // A campaign that calls from it keeps it, and the account.
    let campaign = json!({ "name": "Boilers", "agent_id": agent, "from_numbers": [number], "consent": "none" });
    let campaign = text(&owner.api.post("/api/calling/campaigns", campaign).await.expect(201), "id");
    let release = format!("/api/voice/release-number?number={}", number.trim_start_matches('+'));
    let refused = eventually("the campaign is listed", SOON, || async {
        let answer = owner.api.call("DELETE", "/api/integrations/simulated/disconnect", None).await;
        (answer.status == 409).then_some(answer.body)
    })
    .await;
    assert!(refused["code"] == "in_use" && text(&refused, "detail").contains("Boilers"), "{refused}");
    let refused = owner.api.delete(&release).await.refused(409);
    assert!(text(&refused, "detail").contains("Boilers"), "{refused}");
    owner.api.delete(&format!("/api/calling/campaigns/{campaign}")).await;
    eventually("it is given back", SOON, || async { (owner.api.delete(&release).await.status == 204).then_some(()) })
        .await;
    assert!(owner.api.list("/api/voice/numbers").await.is_empty());
    let given_back = std::fs::read_to_string(&log).expect("a log");
    assert!(given_back.contains("given_back"), "it costs nothing any more: {given_back}");
}
