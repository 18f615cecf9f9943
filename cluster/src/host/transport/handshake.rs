//! Who is on the other side: both nodes say what they are and prove that they know the cluster's secret before anything else is said.
//!
//! The dialer says hello, the answerer says hello or refuses by name; then both prove, over everything that was said, that they know
//! the secret. It happens before `ractor_cluster` sees the connection, because that would refuse without a word, would wait for a
//! silent stranger for ever, and would keep state for strangers.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::wire::{Fields, number, text};

/// What the first bytes are, so that neither side mistakes another protocol for this one.
const MAGIC: &[u8; 8] = b"colloquy";

/// The longest node id and cluster name, bytes: they travel in the handshake, and a node id is a name in a certificate.
pub(super) const MAX_NAME: usize = 253;

/// The longest word of a refusal, characters: it is logged, and comes from who may be a stranger.
const MAX_WORD: usize = 300;

/// The longest message of the handshake, bytes: names and numbers.
const MAX_MESSAGE: usize = 4 * 1024;

/// The versions of the transport's protocol this node speaks. Two versions that follow each other must understand each other.
const OLDEST_PROTOCOL: u64 = 1;
const NEWEST_PROTOCOL: u64 = 1;

/// Separates this use of the secret from every other.
const KEY_CONTEXT: &str = "colloquy cluster transport 2026-11 handshake key";

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) node: String,
    pub(super) incarnation: u64,
    pub(super) cluster: String,
    pub(super) shards: u64,
    pub(super) schema: u64,
    /// Oldest and newest protocol it speaks.
    pub(super) protocol: (u64, u64),
    /// Whom it dials; empty from the answerer.
    pub(super) to: String,
    pub(super) nonce: [u8; 32],
}

/// Why two nodes do not belong together, in the words of who noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What differs; empty when nothing does and another connection between the two is preferred.
    pub(super) what: String,
    /// What the refusing node has.
    pub(super) here: String,
    /// What the refused node said.
    pub(super) there: String,
}

/// How a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// This node refused.
    #[error("{} of the other node is {}, here it is {}", .0.what, .0.there, .0.here)]
    Refused(Refusal),
    /// The other node refused.
    #[error("refused by the other node: {} of this node is {}, there it is {}", .0.what, .0.there, .0.here)]
    RefusedThere(Refusal),
    /// Nothing is wrong, but another connection between the two is preferred.
    #[error("another connection between the two nodes is preferred")]
    Preferred,
    /// The connection failed, or does not speak this protocol.
    #[error("{0}")]
    Connection(#[from] std::io::Error),
}

impl Refusal {
    pub(super) fn new(what: &str, here: impl ToString, there: impl ToString) -> Self {
        Self { what: printable(what), here: printable(&here.to_string()), there: printable(&there.to_string()) }
    }

    /// Nothing differs; another connection is preferred.
    pub(super) fn preferred() -> Self {
        Self::new("", "", "")
    }
}

impl Failure {
    fn here(refusal: Refusal) -> Self {
        if refusal.what.is_empty() { Self::Preferred } else { Self::Refused(refusal) }
    }

    fn there(refusal: Refusal) -> Self {
        if refusal.what.is_empty() { Self::Preferred } else { Self::RefusedThere(refusal) }
    }
}

/// The key of the handshake, from the cluster's secret.
pub(super) fn key_of(secret: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key(KEY_CONTEXT, secret)
}

/// What both agreed on.
#[derive(Debug)]
pub(super) struct Agreed {
    /// The other side.
    pub(super) peer: Hello,
    /// Both sides' name for the connection.
    pub(super) link: u64,
}

impl Hello {
    pub(super) fn with_protocols(mut self) -> Self {
        self.protocol = (OLDEST_PROTOCOL, NEWEST_PROTOCOL);
        self
    }

    /// What keeps the other from belonging to the same cluster.
    fn compare(&self, other: &Self) -> Result<(), Refusal> {
        if self.protocol.1 < other.protocol.0 || other.protocol.1 < self.protocol.0 {
            let range = |(oldest, newest): (u64, u64)| format!("{oldest} to {newest}");
            return Err(Refusal::new("the protocol version", range(self.protocol), range(other.protocol)));
        }
        if other.node.is_empty() || other.node.len() > MAX_NAME {
            return Err(Refusal::new("the node id", format!("1 to {MAX_NAME} bytes"), format!("{:?}", other.node)));
        }
        if self.cluster != other.cluster {
            return Err(Refusal::new(
                "the cluster name",
                format!("{:?}", self.cluster),
                format!("{:?}", other.cluster),
            ));
        }
        if self.shards != other.shards {
            return Err(Refusal::new("the number of shards", self.shards, other.shards));
        }
        if self.schema != other.schema {
            return Err(Refusal::new("the schema version", self.schema, other.schema));
        }
        Ok(())
    }
}

/// The dialer's side.
pub(super) async fn dial<S>(stream: &mut S, me: &Hello, key: &[u8; 32]) -> Result<Agreed, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(MAGIC).await?;
    let mine = Message::Hello(me.clone()).encode();
    write(stream, &mine).await?;
    let theirs = read(stream).await?;
    let peer = match Message::decode(&theirs)? {
        Message::Hello(peer) => peer,
        Message::Refused(refusal) => return Err(Failure::there(refusal)),
        Message::Proof(_) => return Err(out_of_turn()),
    };
    let wrong_node = peer.node != me.to;
    if wrong_node {
        let refusal = Refusal::new("the node id", format!("expected as {:?}", me.to), format!("{:?}", peer.node));
        write(stream, &Message::Refused(refusal.clone()).encode()).await?;
        return Err(Failure::Refused(refusal));
    }
    if let Err(refusal) = me.compare(&peer) {
        write(stream, &Message::Refused(refusal.clone()).encode()).await?;
        return Err(Failure::Refused(refusal));
    }
    let said = Said::new(key, &mine, &theirs);
    write(stream, &Message::Proof(said.proof("dialer")).encode()).await?;
    match Message::decode(&read(stream).await?)? {
        Message::Proof(proof) if proof == said.proof("answerer") => Ok(Agreed { peer, link: said.link() }),
        Message::Proof(_) => Err(Failure::Refused(secret())),
        Message::Refused(refusal) => Err(Failure::there(refusal)),
        Message::Hello(_) => Err(out_of_turn()),
    }
}

/// The answerer's side. `check` may refuse what the dialer says of itself over this stream; `admit` decides at the end, when the dialer has proved to be
/// of the cluster, whether its connection is wanted.
pub(super) async fn answer<S>(
    stream: &mut S,
    me: &Hello,
    key: &[u8; 32],
    check: impl FnOnce(&S, &Hello) -> Result<(), Refusal>,
    admit: impl FnOnce(&Agreed) -> Result<(), Refusal>,
) -> Result<Agreed, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut magic = [0; MAGIC.len()];
    stream.read_exact(&mut magic).await?;
    if &magic != MAGIC {
        return Err(garbled("it is not this protocol"));
    }
    let theirs = read(stream).await?;
    let Message::Hello(peer) = Message::decode(&theirs)? else {
        return Err(out_of_turn());
    };
    let checked = me.compare(&peer).and_then(|()| {
        if peer.to != me.node {
            return Err(Refusal::new("the node id", format!("{:?}", me.node), format!("expected as {:?}", peer.to)));
        }
        check(stream, &peer)
    });
    if let Err(refusal) = checked {
        return refuse(stream, refusal).await;
    }
    let mine = Message::Hello(me.clone()).encode();
    write(stream, &mine).await?;
    let said = Said::new(key, &theirs, &mine);
    match Message::decode(&read(stream).await?)? {
        Message::Proof(proof) if proof == said.proof("dialer") => {}
        Message::Proof(_) => return refuse(stream, secret()).await,
        Message::Refused(refusal) => return Err(Failure::there(refusal)),
        Message::Hello(_) => return Err(out_of_turn()),
    }
    let agreed = Agreed { peer, link: said.link() };
    if let Err(refusal) = admit(&agreed) {
        return refuse(stream, refusal).await;
    }
    write(stream, &Message::Proof(said.proof("answerer")).encode()).await?;
    Ok(agreed)
}

async fn refuse<S: AsyncWrite + Unpin>(stream: &mut S, refusal: Refusal) -> Result<Agreed, Failure> {
    write(stream, &Message::Refused(refusal.clone()).encode()).await?;
    // Says that nothing follows, so that the other side reads the reason instead of a reset.
    stream.shutdown().await?;
    Err(Failure::here(refusal))
}

/// Words as they may stand in a line of a log.
fn printable(words: &str) -> String {
    words.chars().filter(|character| !character.is_control()).take(MAX_WORD).collect()
}

fn secret() -> Refusal {
    // It never travels, so it can be named but not shown.
    Refusal::new("the secret", "another", "not the cluster's")
}

fn garbled(what: &str) -> Failure {
    Failure::Connection(std::io::Error::new(std::io::ErrorKind::InvalidData, what))
}

fn out_of_turn() -> Failure {
    garbled("a message of the handshake came out of turn")
}

/// Everything that was said, under the key.
struct Said {
    key: [u8; 32],
    transcript: [u8; 32],
}

impl Said {
    fn new(key: &[u8; 32], dialer: &[u8], answerer: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(key);
        for message in [dialer, answerer] {
            hasher.update(&(message.len() as u64).to_le_bytes());
            hasher.update(message);
        }
        Self { key: *key, transcript: *hasher.finalize().as_bytes() }
    }

    fn derived(&self, what: &str) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(what.as_bytes());
        hasher.update(&self.transcript);
        hasher.finalize()
    }

    /// Comparing `blake3::Hash` takes the same time whatever differs.
    fn proof(&self, who: &str) -> blake3::Hash {
        self.derived(who)
    }

    fn link(&self) -> u64 {
        let hash = self.derived("link");
        hash.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }
}

#[derive(Debug)]
enum Message {
    Hello(Hello),
    Proof(blake3::Hash),
    Refused(Refusal),
}

const HELLO: u8 = 1;
const PROOF: u8 = 2;
const REFUSED: u8 = 3;

impl Message {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut field = |number: u8, value: &[u8]| {
            // Fields of the handshake are short: the names were checked against MAX_NAME at the start.
            out.push(number);
            out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend_from_slice(value);
        };
        let kind = match self {
            Self::Hello(hello) => {
                field(1, hello.node.as_bytes());
                field(2, &hello.incarnation.to_le_bytes());
                field(3, hello.cluster.as_bytes());
                field(4, &hello.shards.to_le_bytes());
                field(5, &hello.schema.to_le_bytes());
                field(6, &hello.protocol.0.to_le_bytes());
                field(7, &hello.protocol.1.to_le_bytes());
                field(8, hello.to.as_bytes());
                field(9, &hello.nonce);
                HELLO
            }
            Self::Proof(proof) => {
                field(1, proof.as_bytes());
                PROOF
            }
            Self::Refused(refusal) => {
                field(1, refusal.what.as_bytes());
                field(2, refusal.here.as_bytes());
                field(3, refusal.there.as_bytes());
                REFUSED
            }
        };
        out.insert(0, kind);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let Some((&kind, fields)) = bytes.split_first() else {
            return Err(garbled("a message of the handshake is empty"));
        };
        let mut values: [Bytes; 10] = Default::default();
        for field in Fields::new(Bytes::copy_from_slice(fields)) {
            let (number, value) = field.map_err(|why| garbled(&why.to_string()))?;
            // Later versions may say more.
            if let Some(slot) = values.get_mut(usize::from(number)) {
                *slot = value;
            }
        }
        let [_, first, second, third, fourth, fifth, sixth, seventh, eighth, ninth] = &values;
        let string = |bytes: &[u8]| text(bytes).map(str::to_owned).map_err(|why| garbled(&why.to_string()));
        let integer = |bytes: &[u8]| number(bytes).map_err(|why| garbled(&why.to_string()));
        let array = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map_err(|_| garbled("32 bytes were expected"));
        Ok(match kind {
            HELLO => Self::Hello(Hello {
                node: string(first)?,
                incarnation: integer(second)?,
                cluster: string(third)?,
                shards: integer(fourth)?,
                schema: integer(fifth)?,
                protocol: (integer(sixth)?, integer(seventh)?),
                to: string(eighth)?,
                nonce: array(ninth)?,
            }),
            PROOF => Self::Proof(blake3::Hash::from_bytes(array(first)?)),
            REFUSED => Self::Refused(Refusal::new(&string(first)?, string(second)?, string(third)?)),
            _ => return Err(garbled("a message of the handshake is of an unknown kind")),
        })
    }
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, message: &[u8]) -> std::io::Result<()> {
    let length =
        u16::try_from(message.len()).ok().filter(|length| usize::from(*length) <= MAX_MESSAGE).ok_or_else(|| {
            std::io::Error::new(std::io::ErrorKind::InvalidInput, "a message of the handshake is too long")
        })?;
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await?;
    stream.flush().await
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > MAX_MESSAGE {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "a message of the handshake is too long"));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
