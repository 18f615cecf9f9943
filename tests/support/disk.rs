//! A small file system of a test's own: a tmpfs in a mount namespace that one process keeps open, so that only programs started in it see it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How a mount namespace is had: in a user namespace of one's own where the system allows that, else as root.
const WAYS: [&[&str]; 2] = [&["--user", "--map-root-user", "--mount"], &["--mount"]];
/// Mounts, says so, and stays until whoever holds its standard input ends.
const HOLD: &str = "mount -t tmpfs -o size=$1 tmpfs \"$0\" && echo mounted && exec cat";
/// What is written at once while the rest of the space is taken, bytes.
const CHUNK: usize = 4096;

/// A mounted file system of a fixed size.
pub(crate) struct SmallDisk {
    holder: Child,
    enter: Vec<String>,
    /// The mount point, as programs inside name it.
    folder: PathBuf,
    fillers: usize,
}

impl SmallDisk {
    /// Mounts `bytes` on a folder that exists.
    pub(crate) fn mount(folder: &Path, bytes: u64) -> Self {
        let mut refusals = Vec::new();
        for way in WAYS {
            let mut command = Command::new("unshare");
            command.args(way).args(["sh", "-c", HOLD]).arg(folder).arg(bytes.to_string());
            let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
            let mut holder = match started {
                Ok(holder) => holder,
                Err(error) => panic!("`unshare` of util-linux cannot be started: {error}"),
            };
            let mut said = String::new();
            let out = holder.stdout.take().expect("piped");
            BufReader::new(out).read_line(&mut said).expect("its output can be read");
            if said.trim() == "mounted" {
                let mut enter: Vec<String> =
                    vec!["nsenter".into(), "--target".into(), holder.id().to_string(), "--mount".into()];
                if way.contains(&"--user") {
                    enter.extend(["--user".into(), "--preserve-credentials".into()]);
                }
                enter.push("--".into());
                return Self { holder, enter, folder: folder.to_owned(), fillers: 0 };
            }
            let output = holder.wait_with_output().expect("our own child can be waited for");
            refusals.push(format!("unshare {}: {}", way.join(" "), String::from_utf8_lossy(&output.stderr).trim()));
        }
        panic!(
            "this test needs a small file system and may not mount one:\n{}\nRun it as root, or allow user namespaces, on Ubuntu with\n  \
             sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
            refusals.join("\n")
        );
    }

    /// What a command begins with that is run where the file system is seen. The process becomes the program itself: it can be killed as usual.
    pub(crate) fn inside(&self) -> Vec<String> {
        self.enter.clone()
    }

    /// A file of it, as this process reaches it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let inside = self.folder.strip_prefix("/").expect("an absolute folder");
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(inside).join(name)
    }

    /// Takes what space is left, all but `spare` bytes; says how many bytes that were.
    pub(crate) fn fill(&mut self, spare: u64) -> u64 {
        let name = format!("somebody-elses-{}", self.fillers);
        self.fillers += 1;
        let path = self.path(&name);
        let mut file = File::create(&path).expect("an empty file fits");
        let mut bytes = 0;
        loop {
            match file.write(&[b'x'; CHUNK]) {
                Ok(written) => bytes += written as u64,
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
        file.set_len(bytes.saturating_sub(spare)).expect("a file can be shortened");
        bytes.saturating_sub(spare)
    }

    /// Gives everything back that [`SmallDisk::fill`] took.
    pub(crate) fn free(&mut self) {
        for number in 0..std::mem::take(&mut self.fillers) {
            fs::remove_file(self.path(&format!("somebody-elses-{number}"))).expect("our own file");
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The mount ends with the last process in its namespace.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
