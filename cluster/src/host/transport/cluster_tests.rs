//! Tests of what a gateway does with what a peer sends, with a peer that is made of bytes.

use ractor::ActorProcessingErr;
use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;

use super::super::handshake::Agreed;
use super::super::wire::BatchWriter;
use super::*;
use crate::frame::FRAME_SCHEMA;

const LINK: u64 = 42;

/// Longer than anything takes on a busy machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

struct Nowhere;

impl Peers for Nowhere {
    fn address(&self, _node: &str) -> Option<String> {
        None
    }
}

struct Echo;

impl Receive for Echo {
    fn receive(&self, frame: Frame, reply: ReplyTo) {
        assert!(&*frame.key.kind != "panic", "as asked");
        reply.send(Answer::Ok(frame.bytes));
    }
}

/// In place of the peer's gateway.
struct Catch;

impl Actor for Catch {
    type Msg = GatewayMsg;
    type State = mpsc::UnboundedSender<Vec<u8>>;
    type Arguments = Self::State;

    async fn pre_start(
        &self,
        _myself: ActorRef<GatewayMsg>,
        sender: Self::State,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(sender)
    }

    async fn handle(
        &self,
        _myself: ActorRef<GatewayMsg>,
        message: GatewayMsg,
        sender: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let GatewayMsg::Batch(bytes) = message {
            sender.send(bytes)?;
        }
        Ok(())
    }
}

struct Stage {
    transport: Arc<ClusterTransport>,
    sent: mpsc::UnboundedReceiver<Vec<u8>>,
    answers: VecDeque<(u64, Answer)>,
}

impl Stage {
    async fn new() -> Self {
        let mut config = TransportConfig::new("n1", ([127, 0, 0, 1], 0).into(), [1; 32]);
        // What is waited for in a test is waited for as long as it takes.
        config.limits.step_timeout = PATIENCE;
        let receiver: Arc<dyn Receive> = Arc::new(Echo);
        let bound = ClusterTransport::bind(config).await.expect("binds");
        let transport = bound.serve(1, Arc::new(Nowhere), receiver);
        let (sender, sent) = mpsc::unbounded_channel();
        let (gateway, _) = Actor::spawn(None, Catch, sender).await.expect("starts");
        let shared = &transport.shared;
        let mut hello = shared.hello("n1");
        hello.node = "n2".to_owned();
        let peer = shared.enter("n2");
        let handover = peer.admit("n1", &Agreed { peer: hello, link: LINK }, shared.now_ms()).expect("wanted");
        shared.attach(&peer, &handover);
        shared.session_ready(LINK, Some(gateway));
        Self { transport, sent, answers: VecDeque::new() }
    }

    fn take(&self, packets: &[Vec<u8>]) {
        let mut batch = BatchWriter::new(LINK, 0);
        for packet in packets {
            batch.push(packet);
        }
        self.transport.shared.take(batch.finish().into());
    }

    /// The next answer that the node sends.
    async fn answer(&mut self) -> (u64, Answer) {
        let waiting = async {
            while self.answers.is_empty() {
                let batch = self.sent.recv().await.expect("the gateway lives");
                for received in BatchReader::new(batch.into(), 0).expect("a batch") {
                    match received {
                        Received::Packet { correlation, packet: Packet::Answer(answer) } => {
                            self.answers.push_back((correlation, answer));
                        }
                        Received::Packet { packet: Packet::Beat, .. } => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
            self.answers.pop_front().expect("one")
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await.expect("answers")
    }
}

fn frame(kind: &str, text: &'static str) -> Frame {
    Frame {
        shard: 1,
        epoch: 1,
        key: colloquy_store::EntityKey::new("t", kind, "i"),
        schema: FRAME_SCHEMA,
        correlation: 0,
        idempotency_key: None,
        deadline_ms: 0,
        trace: None,
        source: None,
        after_rows: false,
        note: false,
        bytes: Bytes::from_static(text.as_bytes()),
    }
}

#[tokio::test]
async fn what_a_newer_peer_asks_is_answered_and_never_dropped() {
    let mut stage = Stage::new().await;
    let newer = |kind: u8, correlation: u64| {
        let mut packet = vec![kind];
        packet.extend_from_slice(&correlation.to_le_bytes());
        packet
    };
    stage.take(&[newer(99, 5)]);
    let (correlation, answer) = stage.answer().await;
    assert_eq!(correlation, 5);
    assert!(matches!(&answer, Answer::Malformed { detail } if detail.contains("kind 99")), "{answer:?}");
    // A broken frame is answered too; a newer kind that wants no answer gets none.
    let mut broken = wire::frame_packet(6, &frame("echo", "x"), 1_000);
    broken.pop();
    stage.take(&[newer(222, 7), broken]);
    let (correlation, answer) = stage.answer().await;
    assert_eq!(correlation, 6);
    assert!(matches!(&answer, Answer::Malformed { detail } if detail.contains("cannot be read")), "{answer:?}");
    stage.take(&[wire::frame_packet(8, &frame("echo", "after"), 1_000)]);
    assert_eq!(stage.answer().await, (8, Answer::Ok(Bytes::from_static(b"after"))));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_unknown() {
    let mut stage = Stage::new().await;
    let (sender, answered) = tokio::sync::oneshot::channel();
    let mut asked = frame("echo", "x");
    asked.deadline_ms = stage.transport.shared.wall_ms() + 60_000;
    stage.transport.send("n2", asked, ReplyTo::new(move |answer| drop(sender.send(answer))));
    let correlation = loop {
        let batch = stage.sent.recv().await.expect("the gateway lives");
        let first = BatchReader::new(batch.into(), 0).expect("a batch").next();
        if let Some(Received::Packet { correlation, packet: Packet::Frame(_) }) = first {
            break correlation;
        }
    };
    let mut broken = wire::answer_packets(correlation, &Answer::Ok(Bytes::from_static(b"abc"))).remove(0);
    broken.pop();
    stage.take(&[broken]);
    assert_eq!(answered.await, Ok(Answer::Unknown));
}

#[tokio::test]
async fn a_receiver_that_panics_leaves_the_outcome_unknown_and_the_gateway_alive() {
    let mut stage = Stage::new().await;
    stage.take(&[
        wire::frame_packet(1, &frame("panic", ""), 1_000),
        wire::frame_packet(2, &frame("echo", "next"), 1_000),
    ]);
    assert_eq!(stage.answer().await, (1, Answer::Unknown));
    assert_eq!(stage.answer().await, (2, Answer::Ok(Bytes::from_static(b"next"))));
}

#[tokio::test]
async fn hostile_batches_leave_the_gateway_answering() {
    let mut stage = Stage::new().await;
    let good = wire::frame_packet(3, &frame("echo", "good"), 1_000);
    let mut random = StdRng::seed_from_u64(5);
    for _ in 0..5_000 {
        let mut batch = BatchWriter::new(if random.random() { LINK } else { random.random() }, random.random());
        batch.push(&good);
        let mut bytes = batch.finish();
        for _ in 0..random.random_range(1..20) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        bytes.truncate(random.random_range(0..=bytes.len()));
        stage.transport.shared.take(bytes.into());
    }
    stage.take(&[wire::frame_packet(u64::MAX, &frame("echo", "still here"), 1_000)]);
    loop {
        let (correlation, answer) = stage.answer().await;
        if correlation == u64::MAX && answer == Answer::Ok(Bytes::from_static(b"still here")) {
            return;
        }
    }
}

#[tokio::test]
async fn an_actor_of_the_transport_that_ends_breaks_it_by_name() {
    for part in ["the gateway", "ractor_cluster"] {
        let stage = Stage::new().await;
        let shared = &stage.transport.shared;
        while shared.gateway.get().is_none() {
            tokio::task::yield_now().await;
        }
        match part {
            "the gateway" => shared.gateway.get().expect("started").kill(),
            _ => shared.node_server.kill(),
        }
        let why = tokio::time::timeout(PATIENCE, stage.transport.broken()).await.expect("is told");
        assert!(why.starts_with(part), "{why}");
    }
}

#[tokio::test]
async fn a_task_of_the_transport_that_panics_breaks_it_by_name() {
    let stage = Stage::new().await;
    stage.transport.shared.breakage.spawn("keeping a peer", async { panic!("as asked") });
    let why = tokio::time::timeout(PATIENCE, stage.transport.broken()).await.expect("is told");
    assert_eq!(why, "keeping a peer panicked");
}

#[tokio::test]
async fn a_transport_that_is_stopped_is_not_broken() {
    let stage = Stage::new().await;
    let shared = stage.transport.shared.clone();
    while shared.gateway.get().is_none() {
        tokio::task::yield_now().await;
    }
    stage.transport.stop();
    for actor in
        [shared.gateway.get().expect("started").get_cell(), shared.node_server.get_cell(), shared.warden.get_cell()]
    {
        tokio::time::timeout(PATIENCE, actor.wait(None)).await.expect("ends").expect("ends");
    }
    assert!(futures::FutureExt::now_or_never(stage.transport.broken()).is_none());
}

#[tokio::test]
async fn a_connection_is_handed_over_once_the_previous_session_is_gone() {
    use tokio::io::AsyncReadExt as _;
    let stage = Stage::new().await;
    let shared = &stage.transport.shared;
    let previous = CancellationToken::new();
    let begin = |link: u64, previous: Option<CancellationToken>| {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let peer = shared.enter("n2");
        let handover = Handover { link, cut: CancellationToken::new(), gone: CancellationToken::new(), previous };
        let shared = shared.clone();
        tokio::spawn(async move { keeper::hand_over(&shared, &peer, handover, near, false).await });
        far
    };
    let mut waits = begin(100, Some(previous.clone()));
    let mut goes = begin(101, None);
    // Whoever dials speaks first: a session that has begun is heard.
    let first = tokio::time::timeout(PATIENCE, goes.read_u8()).await.expect("is handed over");
    first.expect("says something");
    let heard = futures::FutureExt::now_or_never(waits.read_u8());
    assert!(heard.is_none(), "two of its sessions with one peer make ractor_cluster drop either: {heard:?}");
    previous.cancel();
    let second = tokio::time::timeout(PATIENCE, waits.read_u8()).await.expect("is handed over");
    second.expect("says something");
}

#[tokio::test]
async fn messages_of_another_version_do_not_end_the_gateway() {
    use ractor::Message;
    use ractor::message::SerializedMessage;
    let foreign = SerializedMessage::Cast { variant: "other".to_owned(), args: vec![1], metadata: None };
    assert!(matches!(GatewayMsg::deserialize(foreign), Ok(GatewayMsg::Foreign)));
    let (sender, answer) = ractor::concurrency::oneshot();
    let call =
        SerializedMessage::Call { variant: "call".to_owned(), args: vec![], reply: sender.into(), metadata: None };
    assert!(matches!(GatewayMsg::deserialize(call), Ok(GatewayMsg::Foreign)));
    assert!(!answer.await.expect("answered").is_empty());
}
