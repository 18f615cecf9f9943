//! Tests of the handshake.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{DuplexStream, duplex};
use tokio::time::timeout;

use super::*;

fn hello(node: &str, to: &str) -> Hello {
    Hello {
        node: node.to_owned(),
        incarnation: 3,
        cluster: "tests".to_owned(),
        shards: 16,
        schema: 1,
        protocol: (0, 0),
        to: to.to_owned(),
        nonce: [7; 32],
    }
    .with_protocols()
}

async fn meet(
    (dialer, dialer_key): (Hello, [u8; 32]),
    (answerer, answerer_key): (Hello, [u8; 32]),
) -> (Result<Agreed, Failure>, Result<Agreed, Failure>) {
    let (mut near, mut far) = duplex(8 * 1024);
    let answering = async {
        let met = answer(&mut far, &answerer, &answerer_key, |_, _| Ok(()), |_| Ok(())).await;
        drop(far);
        met
    };
    let dialing = async {
        let met = dial(&mut near, &dialer, &dialer_key).await;
        drop(near);
        met
    };
    timeout(Duration::from_secs(5), async { tokio::join!(dialing, answering) }).await.expect("neither waits for ever")
}

#[tokio::test]
async fn nodes_of_one_cluster_agree_on_who_they_are_and_on_a_name_for_the_connection() {
    let key = key_of(&[1; 32]);
    let (dialed, answered) = meet((hello("n1", "n2"), key), (hello("n2", ""), key)).await;
    let (dialed, answered) = (dialed.expect("agrees"), answered.expect("agrees"));
    assert_eq!((dialed.peer.node.as_str(), answered.peer.node.as_str()), ("n2", "n1"));
    assert_eq!((dialed.peer.incarnation, dialed.link), (3, answered.link));
    // Another nonce, another name.
    let mut other = hello("n1", "n2");
    other.nonce = [8; 32];
    let (again, _) = meet((other, key), (hello("n2", ""), key)).await;
    assert_ne!(again.expect("agrees").link, dialed.link);
}

#[tokio::test]
async fn every_difference_is_named_on_both_sides() {
    let key = key_of(&[1; 32]);
    type Differ = fn(&mut Hello);
    let cases: [(&str, Differ); 5] = [
        ("the cluster name", |hello| hello.cluster = "other".to_owned()),
        ("the number of shards", |hello| hello.shards = 17),
        ("the schema version", |hello| hello.schema = 2),
        ("the protocol version", |hello| hello.protocol = (2, 3)),
        ("the node id", |hello| hello.node = "n3".to_owned()),
    ];
    for (what, differ) in cases {
        let mut other = hello("n2", "");
        differ(&mut other);
        let (dialed, answered) = meet((hello("n1", "n2"), key), (other, key)).await;
        for failure in [dialed.expect_err(what), answered.expect_err(what)] {
            assert!(failure.to_string().contains(what), "{what}: {failure}");
        }
    }
    let (dialed, answered) = meet((hello("n1", "n2"), key), (hello("n2", ""), key_of(&[2; 32]))).await;
    for failure in [dialed.expect_err("secret"), answered.expect_err("secret")] {
        assert!(failure.to_string().contains("the secret"), "{failure}");
    }
}

#[test]
fn a_strangers_words_are_short_and_on_one_line() {
    let words = Refusal { what: "a\nb\u{1b}[31m".repeat(500), here: "\r\n".to_owned(), there: String::new() };
    let Ok(Message::Refused(read)) = Message::decode(&Message::Refused(words).encode()) else {
        panic!("a refusal");
    };
    assert_eq!(read.what.chars().count(), MAX_WORD);
    assert!(!Failure::there(read).to_string().contains(char::is_control));
    let mut nameless = hello("n2", "");
    nameless.node = "n".repeat(MAX_NAME + 1);
    assert!(hello("n1", "").compare(&nameless).is_err_and(|refusal| refusal.what == "the node id"));
}

#[tokio::test]
async fn protocols_that_overlap_agree() {
    let key = key_of(&[1; 32]);
    let mut newer = hello("n2", "");
    newer.protocol = (1, 2);
    let (dialed, answered) = meet((hello("n1", "n2"), key), (newer, key)).await;
    assert!(dialed.is_ok() && answered.is_ok());
}

/// What one side says comes back to it: it must not take that for the other's proof.
#[tokio::test]
async fn an_echo_proves_nothing() {
    let key = key_of(&[1; 32]);
    let (mut near, mut far) = duplex(8 * 1024);
    let echo = tokio::spawn(async move {
        let mut magic = [0; 8];
        far.read_exact(&mut magic).await.expect("magic");
        // Its own words but for the name, so that the echo gets as far as it can.
        let said = read(&mut far).await.expect("hello");
        let Ok(Message::Hello(mut hello)) = Message::decode(&said) else {
            panic!("a hello");
        };
        hello.node = hello.to.clone();
        write(&mut far, &Message::Hello(hello).encode()).await.expect("writes");
        let proof = read(&mut far).await.expect("proof");
        write(&mut far, &proof).await.expect("writes");
    });
    let failure = dial(&mut near, &hello("n1", "n2"), &key).await.expect_err("refused");
    assert!(failure.to_string().contains("the secret"), "{failure}");
    echo.await.expect("ends");
}

/// It knows the secret, so only its name tells that it is not the one that was dialed.
#[tokio::test]
async fn a_node_that_answers_for_another_is_refused() {
    let key = key_of(&[1; 32]);
    let (mut near, mut far) = duplex(8 * 1024);
    let answering = tokio::spawn(async move {
        far.read_exact(&mut [0; MAGIC.len()]).await.expect("magic");
        read(&mut far).await.expect("hello");
        write(&mut far, &Message::Hello(hello("n3", "")).encode()).await.expect("writes");
        read(&mut far).await.expect("an answer")
    });
    let failure = dial(&mut near, &hello("n1", "n2"), &key).await.expect_err("refused");
    assert!(matches!(&failure, Failure::Refused(refusal) if refusal.what == "the node id"), "{failure}");
    assert!(matches!(Message::decode(&answering.await.expect("ends")), Ok(Message::Refused(_))));
}

#[tokio::test]
async fn who_does_not_know_the_secret_is_not_admitted() {
    let key = key_of(&[1; 32]);
    let (mut near, mut far) = duplex(8 * 1024);
    let admitted = std::sync::atomic::AtomicBool::new(false);
    let me = hello("n2", "");
    let answering = answer(
        &mut far,
        &me,
        &key,
        |_, _| Ok(()),
        |_| {
            admitted.store(true, std::sync::atomic::Ordering::SeqCst);
            Ok(())
        },
    );
    let guessing = async {
        near.write_all(MAGIC).await.expect("writes");
        write(&mut near, &Message::Hello(hello("n1", "n2")).encode()).await.expect("writes");
        read(&mut near).await.expect("hello");
        write(&mut near, &Message::Proof(blake3::hash(b"a guess")).encode()).await.expect("writes");
        read(&mut near).await.expect("an answer")
    };
    let (answered, told) = tokio::join!(answering, guessing);
    assert!(matches!(answered, Err(Failure::Refused(_))));
    assert!(matches!(Message::decode(&told), Ok(Message::Refused(_))));
    assert!(!admitted.load(std::sync::atomic::Ordering::SeqCst));
}

async fn babble(far: &mut DuplexStream, random: &mut StdRng) {
    let mut bytes = vec![0; random.random_range(0..300)];
    random.fill(bytes.as_mut_slice());
    if random.random() {
        far.write_all(MAGIC).await.expect("writes");
        let message = Message::Hello(hello("n1", "n2")).encode();
        let mut framed = u16::try_from(message.len()).expect("short").to_be_bytes().to_vec();
        framed.extend_from_slice(&message);
        if random.random() {
            let at = random.random_range(0..framed.len());
            framed[at] = random.random();
        }
        far.write_all(&framed).await.expect("writes");
    }
    far.write_all(&bytes).await.expect("writes");
    far.shutdown().await.expect("shuts");
}

#[tokio::test]
async fn babble_is_refused_and_never_waited_for() {
    let key = key_of(&[1; 32]);
    let mut random = StdRng::seed_from_u64(2);
    for _ in 0..2_000 {
        let (mut near, mut far) = duplex(16 * 1024);
        babble(&mut far, &mut random).await;
        let me = hello("n2", "");
        let answering = answer(&mut near, &me, &key, |_, _| Ok(()), |_| panic!("admitted babble"));
        let met = timeout(Duration::from_secs(5), answering).await.expect("ends");
        assert!(met.is_err());
    }
}
