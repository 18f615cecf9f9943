//! The machine and the commit a report comes from.

use std::fmt;
use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::options::Options;
use crate::report::{Unit, with_unit};
use crate::spread::Percentiles;
use crate::usage;

/// A processor that is busier before the run is shared with somebody else's work.
const QUIET: f64 = 0.1;
/// For how long that is watched.
const LOOK: Duration = Duration::from_secs(2);

/// Where and when a run was made.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    date: String,
    commit: String,
    cores: usize,
    processor: String,
    memory_bytes: Option<u64>,
    kernel: String,
    /// Part of the processor that others used just before anything was started here.
    busy: Option<f64>,
    sync: Option<Percentiles>,
}

impl Machine {
    /// Looks at this machine; what cannot be found out is called unknown.
    pub(crate) fn look(options: &Options) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            commit: options.checkout.as_deref().and_then(commit).unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".into()),
            memory_bytes: field(&read("/proc/meminfo"), "MemTotal")
                .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
                .map(|kb| kb * 1024),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            busy: busy_share(&read("/proc/stat"), || {
                std::thread::sleep(LOOK);
                read("/proc/stat")
            }),
            sync: usage::sync_floor(&options.scratch).ok(),
        }
    }

    /// A machine that is always the same.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self {
            date: "2026-01-02 03:04 UTC".into(),
            commit: "abc1234".into(),
            cores: 2,
            processor: "Example CPU".into(),
            memory_bytes: Some(24 << 30),
            kernel: "6.1.0".into(),
            busy: Some(0.25),
            sync: None,
        }
    }
}

/// Lines of a Markdown list.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self
            .memory_bytes
            .map_or("unknown memory".to_owned(), |bytes| format!("{:.1} GB memory", bytes as f64 / f64::from(1 << 30)));
        writeln!(f, "* {}, commit {}", self.date, self.commit)?;
        writeln!(f, "* {} cores ({}), {memory}, Linux {}", self.cores, self.processor, self.kernel)?;
        if let Some(busy) = self.busy {
            let percent = with_unit(busy * 100.0, Unit::Percent);
            if busy < QUIET {
                writeln!(f, "* quiet: {percent} of the processor was in use before the run")?;
            } else {
                writeln!(
                    f,
                    "* **not quiet: {percent} of the processor was in use before the run, so these figures are worse than the program's**"
                )?;
            }
        }
        match self.sync {
            Some(sync) => {
                let micros = |time: std::time::Duration| with_unit(time.as_secs_f64() * 1e6, Unit::Micros);
                writeln!(
                    f,
                    "* floor of anything durable: 4 KB and fdatasync on this disk take {} (p50), {} (p99)",
                    micros(sync.p50),
                    micros(sync.p99)
                )
            }
            None => writeln!(f, "* how long a sync takes on this disk could not be measured"),
        }
    }
}

/// The part of the processor's time between two readings of /proc/stat that was not idle; what the host took away counts as used.
fn busy_share(before: &str, after: impl FnOnce() -> String) -> Option<f64> {
    let ticks = |stat: &str| -> Option<(u64, u64)> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        // user nice system idle iowait irq softirq steal; guest time is in user already (proc(5)).
        let fields: Vec<u64> = line.split_whitespace().take(8).filter_map(|field| field.parse().ok()).collect();
        Some((fields.iter().sum(), fields.get(3)? + fields.get(4)?))
    };
    let ((all, idle), (all_after, idle_after)) = (ticks(before)?, ticks(&after())?);
    let time = all_after.checked_sub(all).filter(|time| *time > 0)?;
    Some(1.0 - idle_after.saturating_sub(idle) as f64 / time as f64)
}

/// The commit, marked when files differ from it.
fn commit(checkout: &std::path::Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(checkout).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let name = git(&["rev-parse", "--short", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|files| !files.is_empty());
    Some(if changed { format!("{name} with changes") } else { name })
}

/// A line `name : value` of a file in /proc.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_files_are_found_by_name() {
        assert_eq!(
            field("processor\t: 0\nmodel name\t: Some CPU @ 3GHz\n", "model name").as_deref(),
            Some("Some CPU @ 3GHz")
        );
        assert_eq!(field("MemTotal:       24000000 kB\n", "MemTotal").as_deref(), Some("24000000 kB"));
        assert_eq!(field("", "MemTotal"), None);
    }

    #[test]
    fn what_others_use_of_the_processor_is_told() {
        let share = busy_share("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1", || "cpu  120 0 55 865 55 0 0 5 0 0\n".into());
        assert!((share.expect("two readings") - 0.3).abs() < 1e-9, "{share:?}");
        assert_eq!(busy_share("", String::new), None);
    }

    #[test]
    fn the_machine_is_named_with_date_commit_cores_memory_and_kernel() {
        let text = Machine::for_tests().to_string();
        for part in ["2026-01-02", "abc1234", "2 cores", "Example CPU", "24.0 GB", "6.1.0", "**not quiet: 25 %"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}
