//! The installation's secrets: from the settings, or generated once in the data folder with mode 600.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::settings::Settings;

/// The file of the operators' token, in `data.dir`.
pub(crate) const OPS_TOKEN_FILE: &str = "ops.token";

/// The secrets a node runs with.
pub(crate) struct Secrets {
    /// Signs tokens and wraps data keys.
    pub(crate) key: [u8; 32],
    /// The operators' bearer token.
    pub(crate) ops_token: String,
}

impl Secrets {
    /// Takes what the settings say and generates the rest in `data.dir`.
    pub(crate) fn load(settings: &Settings) -> io::Result<Self> {
        let dir = &settings.data.dir;
        fs::create_dir_all(dir)?;
        let file = dir.join("secret.key");
        if settings.secrets.key.is_empty() && !file.exists() && dir.join(colloquy_store::sqlite::FILE_NAME).exists() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!(
                    "{} is missing beside an existing database: put back the file you backed up, or set `secrets.key`. \
                     A new key would make every sealed conversation unreadable, so none is made.",
                    file.display()
                ),
            ));
        }
        let key = set_or_generated(&settings.secrets.key, &file)?;
        let ops_token = set_or_generated(&settings.ops.token, &dir.join(OPS_TOKEN_FILE))?;
        if ops_token.is_empty() {
            let file = dir.join(OPS_TOKEN_FILE);
            let text = format!("{} is empty: delete it, and the next start makes a new one", file.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let key = from_hex(&key).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} does not hold 64 hexadecimal digits: put back the file you backed up; without it sealed conversations cannot be read", dir.join("secret.key").display()),
            )
        })?;
        Ok(Self { key, ops_token })
    }
}

fn set_or_generated(set: &str, file: &Path) -> io::Result<String> {
    if !set.is_empty() {
        return Ok(set.to_owned());
    }
    match fs::read_to_string(file) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let fresh: String = rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
            let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
            writeln!(out, "{fresh}")?;
            out.sync_all()?;
            Ok(fresh)
        }
        Err(error) => Err(error),
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[i * 2..i * 2 + 2], 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_secret_outlives_restarts_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret.key");
        let first = set_or_generated("", &file).unwrap();
        assert!(from_hex(&first).is_some());
        assert_eq!(set_or_generated("", &file).unwrap(), first);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_secret_is_refused_not_replaced() {
        assert_eq!(from_hex("zz"), None);
        assert_eq!(from_hex(&"é".repeat(32)), None);
    }
}
