//! How this program is called from where its user stands, for the commands it prints.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::quickstart::SERVER;

/// The name it has when it is installed.
const NAME: &str = "colloquy";

/// What to type to run this program again from this folder: its name where the shell finds it, else its path.
pub(crate) fn called() -> String {
    let Ok(exe) = std::env::current_exe() else { return NAME.to_owned() };
    let folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let here = std::env::current_dir().unwrap_or_default();
    quoted(&shortest(&exe, &folders, &here))
}

/// The `--server` that `colloquy quickstart` needs for a server at this address, with a space before it; empty where the default is right.
pub(crate) fn server_option(listen: SocketAddr) -> String {
    let server = reached_at(listen);
    if server == SERVER { String::new() } else { format!(" --server {server}") }
}

/// The address at which a listener is reached from its own machine.
pub(crate) fn reached_at(listen: SocketAddr) -> String {
    let port = listen.port();
    match listen {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("http://127.0.0.1:{port}"),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("http://[::1]:{port}"),
        SocketAddr::V4(_) | SocketAddr::V6(_) => format!("http://{listen}"),
    }
}

fn shortest(exe: &Path, folders: &[PathBuf], here: &Path) -> String {
    // The first one found is what the shell runs, also when it is another one than this.
    let found = folders.iter().map(|folder| folder.join(NAME)).find(|file| file.is_file());
    let same = |file: &PathBuf| matches!((file.canonicalize(), exe.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if found.as_ref().is_some_and(same) {
        return NAME.to_owned();
    }
    match exe.strip_prefix(here) {
        Ok(below) if below.components().count() > 1 => below.display().to_string(),
        Ok(below) => format!("./{}", below.display()),
        Err(_) => exe.display().to_string(),
    }
}

/// A path as one word of a shell.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '~' | '@' | ':');
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_enough_only_where_the_shell_finds_this_program() {
        let folder = tempfile::tempdir().unwrap();
        let (bin, other) = (folder.path().join("target/release"), folder.path().join("other"));
        for at in [&bin, &other] {
            std::fs::create_dir_all(at).unwrap();
            std::fs::write(at.join(NAME), "").unwrap();
        }
        let exe = bin.join(NAME);
        assert_eq!(shortest(&exe, std::slice::from_ref(&bin), folder.path()), "colloquy");
        assert_eq!(shortest(&exe, &[], folder.path()), "target/release/colloquy");
        assert_eq!(shortest(&exe, &[], &bin), "./colloquy");
        assert_eq!(shortest(&exe, &[], &other), exe.display().to_string());
        assert_eq!(
            shortest(&exe, &[other.clone(), bin.clone()], folder.path()),
            "target/release/colloquy",
            "the shell would run the other one"
        );
    }

    #[test]
    fn a_path_with_a_space_is_still_one_word() {
        assert_eq!(quoted("/opt/colloquy"), "/opt/colloquy");
        assert_eq!(quoted("/my files/colloquy"), "'/my files/colloquy'");
        assert_eq!(quoted("/it's/colloquy"), r"'/it'\''s/colloquy'");
    }

    #[test]
    fn another_port_is_named_and_the_usual_one_is_not() {
        assert_eq!(server_option("127.0.0.1:8080".parse().unwrap()), "");
        assert_eq!(server_option("0.0.0.0:8080".parse().unwrap()), "");
        assert_eq!(server_option("127.0.0.1:8090".parse().unwrap()), " --server http://127.0.0.1:8090");
        assert_eq!(server_option("[::]:8080".parse().unwrap()), " --server http://[::1]:8080");
        assert_eq!(server_option("192.0.2.7:80".parse().unwrap()), " --server http://192.0.2.7:80");
    }
}
