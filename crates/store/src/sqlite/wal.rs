//! Reads the write-ahead log before SQLite does, because SQLite takes the first frame with a wrong checksum for the log's end:
//! after one flipped bit it would silently forget every transaction behind it.
//!
//! The format is <https://www.sqlite.org/fileformat2.html#walformat>: a header of 32 bytes, then frames of 24 bytes and one page.
//! The checksum of a frame continues that of the frame before it, and the frame that commits a transaction carries the database's
//! size in pages. A process that is killed leaves at most an incomplete last frame, since our log is only ever appended to.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use crate::StoreError;

use super::{beside, fault};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// The first four bytes of a log; the last bit says that checksums are over big-endian words.
const MAGIC: u32 = 0x377f_0682;

/// The only version of the log's format there is.
const VERSION: u32 = 3_007_000;

/// The first sixteen bytes of every SQLite file.
const DATABASE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The part of a database's header that is looked at.
const DATABASE_HEADER: usize = 100;

/// What a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Everything that was committed can be read; what follows, if anything, was never committed.
    Whole,
    /// The header is damaged: SQLite would ignore the whole log.
    BadHeader,
    /// This frame (from 0) is damaged and was committed itself or stands before something that was.
    BadFrame(u64),
}

/// The log of a database file.
pub(super) fn log_of(file: &Path) -> PathBuf {
    beside(file, "-wal")
}

/// Refuses a database whose log or header would make SQLite lose or misread committed data. `accept` opens nevertheless, after a copy of the log.
pub(super) fn check(file: &Path, accept: bool) -> Result<(), StoreError> {
    let log = log_of(file);
    let unavailable = |error: io::Error| StoreError::Unavailable(format!("{}: {error}", file.display()));
    let log_bytes = bytes_of(&log).map_err(unavailable)?;
    let pages = check_database(file, log_bytes)?;
    if log_bytes <= HEADER as u64 {
        return Ok(());
    }
    let reader = File::open(&log).map_err(unavailable)?;
    let what = match scan(BufReader::new(reader), log_bytes, pages).map_err(unavailable)? {
        Verdict::Whole => return Ok(()),
        Verdict::BadHeader => "its header is damaged".to_owned(),
        Verdict::BadFrame(frame) => {
            format!("frame {frame} is damaged and committed data stands in it or behind it")
        }
    };
    if !accept {
        return Err(fault::corrupt(
            log.display().to_string(),
            format!(
                "{what}. Opening it would lose what was committed from there on. To accept that loss set `store.accept_damaged_log = true` once; otherwise"
            ),
        ));
    }
    let copy = beside(&log, ".damaged");
    std::fs::copy(&log, &copy).map_err(unavailable)?;
    tracing::error!(log = %log.display(), copy = %copy.display(), what, "opening a damaged write-ahead log as configured: committed data is lost");
    Ok(())
}

/// Checks the database's own header and returns its size in pages as it claims, 0 for a new file.
fn check_database(file: &Path, log_bytes: u64) -> Result<u32, StoreError> {
    let unavailable = |error: io::Error| StoreError::Unavailable(format!("{}: {error}", file.display()));
    let bytes = bytes_of(file).map_err(unavailable)?;
    let place = || file.display().to_string();
    if bytes == 0 {
        // SQLite deletes the log of an empty database.
        return if log_bytes == 0 {
            Ok(0)
        } else {
            Err(fault::corrupt(place(), "it is empty or missing, but its log is not"))
        };
    }
    let mut header = [0; DATABASE_HEADER];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut header));
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(fault::corrupt(place(), "file is not a database: it is too short"));
        }
        Err(error) => return Err(unavailable(error)),
        Ok(()) if !header.starts_with(DATABASE_MAGIC) => {
            return Err(fault::corrupt(place(), "file is not a database"));
        }
        Ok(()) => {}
    }
    let pages = word(&header[28..]);
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    // Without a log the file is what the last checkpoint left, cut to the size in its header.
    if log_bytes == 0 && u64::from(pages) * page_size != bytes {
        return Err(fault::corrupt(
            place(),
            format!("its header says {pages} pages of {page_size} bytes, but it has {bytes} bytes"),
        ));
    }
    Ok(pages)
}

fn bytes_of(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// `pages` is the database's size before the log's first transaction.
fn scan(mut log: impl Read + Seek, bytes: u64, pages: u32) -> io::Result<Verdict> {
    let mut header = [0; HEADER];
    log.read_exact(&mut header)?;
    let big_endian = word(&header) & 1 == 1;
    let page_size = word(&header[8..]) as usize;
    let mut sum = checksum(big_endian, (0, 0), &header[..24]);
    let usable = word(&header) & !1 == MAGIC
        && word(&header[4..]) == VERSION
        && page_size.is_power_of_two()
        && (512..=65_536).contains(&page_size)
        && sum == (word(&header[24..]), word(&header[28..]));
    if !usable {
        // Nothing but zeros is a log whose first write never reached the disk.
        let mut rest = Vec::new();
        log.rewind()?;
        log.take(1 << 16).read_to_end(&mut rest)?;
        return Ok(if rest.iter().all(|byte| *byte == 0) { Verdict::Whole } else { Verdict::BadHeader });
    }
    let salts = (word(&header[16..]), word(&header[20..]));
    let frames = (bytes - HEADER as u64) / (FRAME_HEADER + page_size) as u64;
    let mut frame = vec![0; FRAME_HEADER + page_size];
    let mut bad = None;
    // The database's size after the last transaction, and how many frames the present one has.
    let (mut pages, mut open_frames) = (pages, 0);
    for number in 0..frames {
        log.read_exact(&mut frame)?;
        let (head, page) = frame.split_at(FRAME_HEADER);
        let size = word(&head[4..]);
        let found = (word(&head[8..]), word(&head[12..]));
        let stored = (word(&head[16..]), word(&head[20..]));
        if bad.is_none() {
            let before = sum;
            sum = checksum(big_endian, checksum(big_endian, before, &head[..8]), page);
            open_frames += 1;
            match (sum == stored, found == salts) {
                (true, true) => {
                    if size != 0 {
                        (pages, open_frames) = (size, 0);
                    }
                    continue;
                }
                // The checksum does not cover the salts: this frame belongs here, and only its salt was damaged.
                (true, false) => return Ok(Verdict::BadFrame(number)),
                (false, _) => bad = Some(number),
            }
            // The damage may have wiped the very mark of a commit. Each frame adds at most one page, so few sizes are possible.
            let mut restored = [head[0], head[1], head[2], head[3], 0, 0, 0, 0];
            for size in pages.max(1)..=pages.saturating_add(open_frames) {
                restored[4..].copy_from_slice(&size.to_be_bytes());
                if size_is_lost(head) && checksum(big_endian, checksum(big_endian, before, &restored), page) == stored {
                    return Ok(Verdict::BadFrame(number));
                }
            }
        }
        // A frame of an earlier run of the log has another first and another second salt. One that shares either is of this run.
        let of_this_run = found.0 == salts.0 || found.1 == salts.1;
        if let Some(bad) = bad
            && of_this_run
            && size != 0
        {
            return Ok(Verdict::BadFrame(bad));
        }
    }
    Ok(Verdict::Whole)
}

fn size_is_lost(head: &[u8]) -> bool {
    word(&head[4..]) == 0
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The log's checksum over whole pairs of words, continued from `sum`.
fn checksum(big_endian: bool, sum: (u32, u32), bytes: &[u8]) -> (u32, u32) {
    let read = |bytes: &[u8]| {
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    bytes.chunks_exact(8).fold(sum, |(first, second), pair| {
        let first = first.wrapping_add(read(pair)).wrapping_add(second);
        let second = second.wrapping_add(read(&pair[4..])).wrapping_add(first);
        (first, second)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use rusqlite::Connection;

    use super::*;

    /// A real log with three transactions, the last of which makes the file grow.
    fn real_log() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.db");
        let db = Connection::open(&file).unwrap();
        db.execute_batch(
            "PRAGMA page_size = 512; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x);",
        )
        .unwrap();
        for size in [10, 20, 1500] {
            db.execute("INSERT INTO t VALUES (zeroblob(?1))", [size]).unwrap();
        }
        std::fs::read(log_of(&file)).unwrap()
    }

    fn verdict(log: &[u8]) -> Verdict {
        scan(Cursor::new(log), log.len() as u64, 1).unwrap()
    }

    #[test]
    fn a_log_as_written_is_whole() {
        let log = real_log();
        assert!(log.len() > HEADER + 5 * (FRAME_HEADER + 512));
        assert_eq!(verdict(&log), Verdict::Whole);
    }

    #[test]
    fn every_flipped_bit_of_a_committed_log_is_refused() {
        let log = real_log();
        for bit in 0..log.len() * 8 {
            let mut damaged = log.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(verdict(&damaged), Verdict::Whole, "bit {} of byte {}", bit % 8, bit / 8);
        }
    }

    #[test]
    fn every_zeroed_byte_of_a_committed_log_is_refused() {
        let log = real_log();
        for byte in (0..log.len()).filter(|byte| log[*byte] != 0) {
            let mut damaged = log.clone();
            damaged[byte] = 0;
            assert_ne!(verdict(&damaged), Verdict::Whole, "byte {byte}");
        }
    }

    #[test]
    fn a_log_cut_anywhere_is_a_torn_tail() {
        let log = real_log();
        for length in HEADER + 1..log.len() {
            assert_eq!(verdict(&log[..length]), Verdict::Whole, "length {length}");
        }
    }

    #[test]
    fn frames_of_an_earlier_run_behind_the_end_are_no_damage() {
        let mut log = real_log();
        let stale = real_log();
        log.extend_from_slice(&stale[HEADER..]);
        assert_eq!(verdict(&log), Verdict::Whole);
        log.extend_from_slice(&[0; 4096]);
        assert_eq!(verdict(&log), Verdict::Whole);
    }

    #[test]
    fn a_log_of_zeros_never_reached_the_disk() {
        assert_eq!(verdict(&[0; 5000]), Verdict::Whole);
        let mut log = vec![0; 5000];
        log[4000] = 1;
        assert_eq!(verdict(&log), Verdict::BadHeader);
    }
}
