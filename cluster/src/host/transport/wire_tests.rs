//! Tests of the bytes between gateways.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::config::MAX_ENVELOPE_BYTES;
use super::*;

const NOW_MS: i64 = 1_700_000_000_000;

fn frame() -> Frame {
    Frame {
        shard: 1_023,
        epoch: 7,
        key: EntityKey::new("acme", "ledger", "ä-1"),
        schema: 1,
        correlation: u64::MAX,
        idempotency_key: Some("again".to_owned()),
        deadline_ms: NOW_MS + 5_000,
        trace: Some("00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01".to_owned()),
        source: Some(Source { entity: EntityKey::new("acme", "ledger", "from"), pos: 1 << 40 }),
        after_rows: true,
        note: true,
        bytes: Bytes::from_static(b"{\"add\":1}"),
    }
}

fn answers() -> Vec<Answer> {
    vec![
        Answer::Ok(Bytes::from_static(b"1")),
        Answer::Rejected(Bytes::new()),
        Answer::NotOwner { owner: Some("n2".to_owned()), epoch: 300 },
        Answer::NotOwner { owner: None, epoch: 0 },
        Answer::Moving { retry_after_ms: 200 },
        Answer::Busy { retry_after_ms: u64::MAX },
        Answer::Unknown,
        Answer::Expired,
        Answer::HandlerFailed,
        Answer::Unavailable { detail: "storage full".to_owned() },
        Answer::Erased,
        Answer::Malformed { detail: "é".to_owned() },
    ]
}

fn batch(packets: &[Vec<u8>]) -> Bytes {
    let mut batch = BatchWriter::new(9, 77);
    for packet in packets {
        batch.push(packet);
    }
    batch.finish().into()
}

fn read(bytes: Bytes) -> Vec<Received> {
    BatchReader::new(bytes, NOW_MS).expect("a batch").collect()
}

#[test]
fn everything_that_is_sent_is_read_back() {
    let mut bare = frame();
    (bare.idempotency_key, bare.trace, bare.source, bare.after_rows, bare.note) = (None, None, None, false, false);
    let mut packets = vec![frame_packet(1, &frame(), 5_000), frame_packet(2, &bare, 5_000), beat_packet()];
    let mut expected = vec![
        Received::Packet { correlation: 1, packet: Packet::Frame(Box::new(frame())) },
        Received::Packet { correlation: 2, packet: Packet::Frame(Box::new(bare)) },
        Received::Packet { correlation: 0, packet: Packet::Beat },
    ];
    for (correlation, answer) in (3..).zip(answers()) {
        packets.extend(answer_packets(correlation, &answer));
        expected.push(Received::Packet { correlation, packet: Packet::Answer(answer) });
    }
    let reader = BatchReader::new(batch(&packets), NOW_MS).expect("a batch");
    assert_eq!((reader.link, reader.acknowledged), (9, 77));
    assert_eq!(reader.collect::<Vec<_>>(), expected);
}

#[test]
fn a_long_answer_travels_in_parts_that_make_up_the_whole() {
    let whole: Vec<u8> = (0..PART_BYTES * 2 + 5).map(|at| u8::try_from(at % 251).unwrap_or(0)).collect();
    let packets = answer_packets(4, &Answer::Ok(whole.clone().into()));
    assert_eq!(packets.len(), 3);
    let mut together = Vec::new();
    for received in read(batch(&packets)) {
        match received {
            Received::Packet { correlation: 4, packet: Packet::Part(bytes) | Packet::Answer(Answer::Ok(bytes)) } => {
                together.extend_from_slice(&bytes);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(together, whole);
}

#[test]
fn a_deadline_is_told_as_the_time_that_is_left_and_bounded() {
    for (left_ms, expected) in [(0, 0), (5_000, 5_000), (u64::MAX, MAX_DEADLINE_MS)] {
        match read(batch(&[frame_packet(1, &frame(), left_ms)])).as_slice() {
            [Received::Packet { packet: Packet::Frame(read), .. }] => {
                assert_eq!(read.deadline_ms - NOW_MS, i64::try_from(expected).expect("fits"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_kind_of_a_newer_version_is_named_and_the_rest_is_read() {
    let newer = |kind| PacketWriter::new(kind, 5, 0).0;
    let received = read(batch(&[newer(77), newer(200), beat_packet()]));
    assert_eq!(received[0], Received::Unknown { kind: 77, correlation: 5 });
    assert_eq!(received[1], Received::Unknown { kind: 200, correlation: 5 });
    assert_eq!(received[2], Received::Packet { correlation: 0, packet: Packet::Beat });
    assert!(wants_answer(77) && !wants_answer(200));
}

#[test]
fn a_field_of_a_newer_version_is_skipped() {
    let mut packet = PacketWriter(frame_packet(1, &frame(), 5_000));
    packet.bytes(99, b"what a later version adds");
    packet.number(100, 12);
    assert_eq!(
        read(batch(&[packet.0])),
        [Received::Packet { correlation: 1, packet: Packet::Frame(Box::new(frame())) }]
    );
    let mut packet = PacketWriter(answer_packets(2, &Answer::Erased).remove(0));
    packet.bytes(99, b"why");
    assert_eq!(read(batch(&[packet.0])), [Received::Packet { correlation: 2, packet: Packet::Answer(Answer::Erased) }]);
}

#[test]
fn an_answer_of_a_newer_version_may_mean_anything() {
    let mut packet = PacketWriter::new(ANSWER, 3, 0);
    packet.number(answer_field::STATUS, 999);
    assert_eq!(
        read(batch(&[packet.0])),
        [Received::Packet { correlation: 3, packet: Packet::Answer(Answer::Unknown) }]
    );
}

#[test]
fn broken_packets_are_named_with_their_correlation_where_there_is_one() {
    let broken = |fields: &[(u8, &[u8])]| {
        let mut packet = PacketWriter::new(FRAME, 6, 0);
        for (number, value) in fields {
            packet.bytes(*number, value);
        }
        read(batch(&[packet.0])).remove(0)
    };
    let why = |why| Received::Broken { kind: FRAME, correlation: 6, why };
    assert_eq!(broken(&[]), why(Undecodable::Missing));
    assert_eq!(broken(&[(frame_field::SHARD, &[0; 9])]), why(Undecodable::Number));
    assert_eq!(broken(&[(frame_field::SHARD, &[0, 0, 0, 0, 1])]), why(Undecodable::Number));
    assert_eq!(broken(&[(frame_field::TRACE, &[0xff])]), why(Undecodable::Text));
    let mut cut = frame_packet(6, &frame(), 1);
    cut.pop();
    assert_eq!(read(batch(&[cut])), [why(Undecodable::Short)]);
    let mut truncated = batch(&[beat_packet(), beat_packet()]).to_vec();
    truncated.pop();
    assert_eq!(read(truncated.into())[1], Received::Lost(Undecodable::Short));
    assert_eq!(BatchReader::new(Bytes::new(), 0).expect_err("nothing"), Undecodable::Short);
    assert_eq!(BatchReader::new(Bytes::from_static(&[9; 64]), 0).expect_err("version"), Undecodable::Version);
}

/// Whatever comes, reading ends, and gives no more than what came.
#[test]
fn hostile_bytes_are_read_to_their_end_without_growing() {
    let mut packets = vec![frame_packet(1, &frame(), 5_000), beat_packet(), part_packet(2, b"part")];
    for answer in answers() {
        packets.extend(answer_packets(3, &answer));
    }
    let good = batch(&packets);
    let mut random = StdRng::seed_from_u64(1);
    for round in 0..20_000 {
        let mut bytes = if round % 4 == 0 {
            let mut bytes = vec![0; random.random_range(0..200)];
            random.fill(bytes.as_mut_slice());
            if let Some(version) = bytes.first_mut() {
                *version = BATCH_VERSION;
            }
            bytes
        } else {
            good.to_vec()
        };
        for _ in 0..random.random_range(0..6) {
            if bytes.is_empty() {
                break;
            }
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..4) {
                0 => bytes[at] = random.random(),
                1 => bytes.truncate(at),
                2 => bytes[at] = 0xff,
                _ => {
                    let end = (at + 4).min(bytes.len());
                    bytes[at..end].fill(0xff);
                }
            }
        }
        let length = bytes.len();
        let Ok(reader) = BatchReader::new(bytes.into(), NOW_MS) else {
            continue;
        };
        let mut given = 0;
        for received in reader {
            given += 1;
            assert!(given <= length, "more packets than bytes");
            if let Received::Packet { packet: Packet::Frame(frame), .. } = received {
                assert!(envelope_bytes(&frame) + frame.bytes.len() <= length + MAX_ENVELOPE_BYTES);
                assert!(frame.deadline_ms >= NOW_MS);
            }
        }
    }
}

#[test]
fn the_largest_legal_frame_fits_its_envelope() {
    let long = |bytes: usize| "x".repeat(bytes);
    let mut largest = frame();
    largest.key = EntityKey::new(long(256), long(256), long(256));
    largest.source = Some(Source { entity: largest.key.clone(), pos: u64::MAX });
    largest.idempotency_key = Some(long(crate::frame::MAX_IDEMPOTENCY_KEY));
    assert!(envelope_bytes(&largest) <= MAX_ENVELOPE_BYTES / 2, "{}", envelope_bytes(&largest));
    let packet = frame_packet(u64::MAX, &largest, u64::MAX);
    assert!(packet.len() <= envelope_bytes(&largest) + largest.bytes.len());
}
