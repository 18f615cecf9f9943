//! `colloquy backup`: a copy of the data folder, of one moment, of a running or stopped server.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use colloquy_domain::text::counted;
use colloquy_store::{folder, sqlite};

use crate::settings::{Settings, StoreKind};

/// Arguments of `colloquy backup`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The settings the server runs with, for its data folder (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A folder that does not exist yet; it becomes a data folder without secret.key
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
}

/// Makes the copy under another name first: a folder with the wanted name is always whole.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let settings = Settings::load(arguments.config.as_deref()).map_err(|error| error.to_string())?;
    // Without a slash at the end, which would put the unfinished copy inside.
    let (dir, to) = (&settings.data.dir, &arguments.to.components().collect::<PathBuf>());
    let at = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    if settings.store.kind == StoreKind::Scylla {
        return Err("the journal is in ScyllaDB (`store.kind`), which has snapshots of its own: docs/guides/operate.md says how to take and restore them".into());
    }
    if !dir.join(sqlite::FILE_NAME).is_file() {
        return Err(format!(
            "there is no data of a server in {} (`data.dir`): run this in the folder the server was started in, or name its settings with --config or COLLOQUY_DATA__DIR",
            std::path::absolute(dir).unwrap_or_else(|_| dir.clone()).display()
        ));
    }
    if to.exists() {
        return Err(format!("{} exists already: choose another name, nothing is overwritten", to.display()));
    }
    if is_inside(to, &dir.join(folder::NAME)) {
        return Err(format!(
            "{} is inside of what is copied ({}): choose a folder elsewhere",
            to.display(),
            dir.join(folder::NAME).display()
        ));
    }
    let mut name = to.clone().into_os_string();
    name.push(".unfinished");
    let unfinished = PathBuf::from(name);
    if unfinished.exists() {
        return Err(format!(
            "{} is there from a backup that did not finish, or another one is running: remove it first",
            unfinished.display()
        ));
    }
    DirBuilder::new().mode(0o700).create(&unfinished).map_err(|error| at(&unfinished, error))?;
    let copied = copy(dir, &unfinished);
    let blobs = match copied {
        Ok(blobs) => blobs,
        Err(error) => {
            // What was copied is of no use; a rest that cannot be removed is named by the next backup.
            let _ = fs::remove_dir_all(&unfinished);
            return Err(error);
        }
    };
    fs::rename(&unfinished, to).map_err(|error| at(to, error))?;
    if let Some(parent) = to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(|error| at(parent, error))?;
    }
    println!("{} holds the database and {} of {}.", to.display(), counted(blobs, "blob"), dir.display());
    if settings.secrets.key.is_empty() {
        println!(
            "{} is not in it: without it nobody can read the copy, with it everybody can. Keep a copy of it in another place.",
            dir.join("secret.key").display()
        );
    } else {
        println!("`secrets.key` is not in it: without it nobody can read the copy, with it everybody can.");
    }
    println!("To restore: docs/guides/operate.md, \"Backup and restore\".");
    Ok(())
}

/// Whether a new folder would be inside of one that exists, whatever either is called.
fn is_inside(new: &Path, folder: &Path) -> bool {
    let parent = new.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (fs::canonicalize(parent), fs::canonicalize(folder)) {
        (Ok(parent), Ok(folder)) => parent.starts_with(folder),
        // What does not exist holds nothing.
        (Err(_), _) | (_, Err(_)) => false,
    }
}

/// Blobs, database, and the blobs that were stored in between. What the copied database names was stored before it was named, and is deleted only
/// after nothing names it: it was there either before or after.
fn copy(dir: &Path, to: &Path) -> Result<u64, String> {
    let before = folder::copy(dir, to).map_err(|error| error.to_string())?;
    sqlite::backup(dir, &to.join(sqlite::FILE_NAME)).map_err(|error| error.to_string())?;
    let after = folder::copy(dir, to).map_err(|error| error.to_string())?;
    File::open(to).and_then(|folder| folder.sync_all()).map_err(|error| format!("{}: {error}", to.display()))?;
    Ok(before + after)
}
