//! What a process uses, read from /proc; limits on open files; how fast the disk syncs.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Error, Result};
use crate::spread::{Percentiles, Spread};

/// Syncs timed for the disk's floor: enough for a p99, over in well under a second on a disk worth measuring on.
const SYNCS: usize = 200;
/// Bytes before each sync: one page.
const SYNC_BYTES: usize = 4096;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Processor time in user and kernel mode.
    pub(crate) cpu: Duration,
    /// Resident memory, bytes.
    pub(crate) resident: u64,
}

impl Usage {
    /// Reads /proc/<pid>/stat and /proc/<pid>/status (proc(5)).
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).map_err(|source| Error::io(format!("could not read {path}"), source))
        };
        let cpu =
            cpu_ticks(&read("stat")?).ok_or_else(|| Error::Setup(format!("/proc/{pid}/stat has an unknown shape")))?;
        let resident = resident_bytes(&read("status")?)
            .ok_or_else(|| Error::Setup(format!("/proc/{pid}/status names no VmRSS")))?;
        Ok(Self { cpu: Duration::from_secs_f64(cpu as f64 / rustix::param::clock_ticks_per_second() as f64), resident })
    }

    /// What this program itself has used.
    pub(crate) fn own() -> Result<Self> {
        Self::of(std::process::id())
    }

    /// Processor time since an earlier reading.
    pub(crate) fn cpu_since(&self, earlier: &Self) -> Duration {
        self.cpu.saturating_sub(earlier.cpu)
    }
}

/// Raises the limit on open files as far as it goes and makes sure that `needed` may be open.
pub(crate) fn allow_open_files(needed: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if enough(limit.current) {
        return Ok(());
    }
    // The hard limit may be raised only by root, so that is tried first and then what is there.
    let wanted = Rlimit { current: Some(needed), maximum: limit.maximum.map(|hard| hard.max(needed)) };
    if setrlimit(Resource::Nofile, wanted).is_ok() {
        return Ok(());
    }
    let hard = limit.maximum.map_or("no limit".to_owned(), |hard| hard.to_string());
    if enough(limit.maximum)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum }).is_ok()
    {
        return Ok(());
    }
    Err(Error::Setup(format!(
        "{needed} open files are needed and at most {hard} are allowed: raise `ulimit -Hn` or take a smaller --scale"
    )))
}

/// How long one page takes to reach the disk under a folder: the floor of anything durable.
pub(crate) fn sync_floor(folder: &Path) -> Result<Percentiles> {
    let failed = |source| Error::io(format!("could not time syncs in {}", folder.display()), source);
    let mut file = tempfile::tempfile_in(folder).map_err(failed)?;
    file.write_all(&vec![0; SYNC_BYTES * SYNCS]).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let mut spread = Spread::default();
    for page in 0..SYNCS {
        let begun = Instant::now();
        write_page(&file, page).map_err(failed)?;
        spread.add(begun.elapsed());
    }
    spread.percentiles().ok_or_else(|| Error::Setup("no sync was timed".into()))
}

fn write_page(file: &File, page: usize) -> std::io::Result<()> {
    file.write_all_at(&[page as u8; SYNC_BYTES], (page * SYNC_BYTES) as u64)?;
    file.sync_data()
}

/// Fields 14 and 15; the name in field 2 may hold spaces and brackets, so counting begins behind its last bracket.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let behind_name = stat.rsplit_once(')')?.1;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some(user + kernel)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_brackets_in_its_name_is_read_right() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194304 100 0 0 0 250 31 0 0 20 0 5 0 100 1000 200";
        assert_eq!(cpu_ticks(stat), Some(281));
        assert_eq!(cpu_ticks("42 (cut"), None);
    }

    #[test]
    fn resident_memory_is_given_in_bytes() {
        assert_eq!(resident_bytes("Name:\tx\nVmHWM:\t  9 kB\nVmRSS:\t    2048 kB\n"), Some(2_097_152));
        assert_eq!(resident_bytes("Name:\tzombie\n"), None);
    }

    #[test]
    fn this_process_has_used_memory() {
        let used = Usage::own().expect("own usage");
        assert!(used.resident > 100_000);
    }

    #[test]
    fn syncs_of_a_folder_are_timed() {
        let folder = tempfile::tempdir().expect("folder");
        let floor = sync_floor(folder.path()).expect("floor");
        assert_eq!(floor.count, SYNCS as u64);
    }
}
