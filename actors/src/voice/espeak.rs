//! `espeak-ng`, a speech synthesizer that needs no account: a process for each sentence, bounded in time, memory and what it writes.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use super::{ESPEAK, Manner, Sound, Speech, SpeechError, VoiceInfo, speakable};

/// How long it may take: a sentence takes some 30 ms.
const WITHIN: Duration = Duration::from_secs(10);
/// The most it may write, bytes: a minute at 22 kHz with 16 bits, longer than any sentence.
const OUTPUT_BYTES_MAX: u64 = 60 * 22_050 * 2;
/// Its address space, bytes: it uses 30 MB.
const MEMORY_BYTES_MAX: u64 = 512 << 20;
/// Seconds of processor time.
const CPU_SECONDS_MAX: u64 = 10;
/// Processes at the same time; more wait.
const AT_ONCE: usize = 4;
/// Words a minute at speed 1, its own default.
const WORDS_PER_MINUTE: f64 = 175.0;
/// The voice where the language is not known to it.
const VOICE: &str = "en-us";
/// Voices that are listed: it has some 130.
const VOICES_MAX: usize = 500;

/// The program.
pub struct Espeak {
    program: PathBuf,
    turns: Semaphore,
    voices: OnceCell<Vec<VoiceInfo>>,
}

impl Espeak {
    /// The program of this name or at this path, if it is there.
    pub fn find(program: &str) -> Option<Self> {
        if program.is_empty() {
            return None;
        }
        let program = if program.contains('/') {
            Some(PathBuf::from(program)).filter(|path| path.is_file())
        } else {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
        }?;
        Some(Self { program, turns: Semaphore::new(AT_ONCE), voices: OnceCell::new() })
    }

    async fn known(&self) -> Result<&Vec<VoiceInfo>, SpeechError> {
        let list = || async {
            let said = self.run(&["--voices"], "").await?;
            Ok(read_voices(&String::from_utf8_lossy(&said)))
        };
        self.voices.get_or_try_init(list).await
    }

    async fn run(&self, arguments: &[&str], text: &str) -> Result<Vec<u8>, SpeechError> {
        let failed = |what: &str| SpeechError::Failed(format!("espeak-ng {what}"));
        let _turn = self.turns.acquire().await.map_err(|_| failed("is being stopped"))?;
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&format!("could not be started: {error}")))?;
        bound(&child);
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(mut input), Some(output)) = (input, output) else { return Err(failed("has no pipes")) };
        let spoken = async {
            // Written and read at the same time: a pipe that is full would stop both.
            let write = async {
                let _ = input.write_all(text.as_bytes()).await; // Who does not read on says so with its status.
                drop(input);
            };
            let mut bytes = Vec::new();
            let mut output = output.take(OUTPUT_BYTES_MAX + 1);
            let ((), read) = tokio::join!(write, output.read_to_end(&mut bytes));
            read.map_err(|error| failed(&format!("could not be read: {error}")))?;
            if bytes.len() as u64 > OUTPUT_BYTES_MAX {
                return Err(failed("speaks for too long"));
            }
            let status = child.wait().await.map_err(|error| failed(&format!("could not be waited for: {error}")))?;
            if status.success() { Ok(bytes) } else { Err(failed(&format!("ended with {status}"))) }
        };
        timeout(WITHIN, spoken).await.unwrap_or(Err(SpeechError::Late(ESPEAK)))
    }
}

#[async_trait]
impl Speech for Espeak {
    fn name(&self) -> &'static str {
        ESPEAK
    }

    async fn voices(&self) -> Result<Vec<VoiceInfo>, SpeechError> {
        Ok(self.known().await?.clone())
    }

    async fn speak(&self, manner: &Manner, text: &str) -> Result<Sound, SpeechError> {
        let text = speakable(text)?;
        let voice = chosen(self.known().await?, manner);
        let speed = (WORDS_PER_MINUTE * manner.speed).round().clamp(80.0, 450.0).to_string();
        let wav = self.run(&["--stdin", "--stdout", "-b", "1", "-s", &speed, "-v", &voice], &text).await?;
        Sound::read_wav(&wav).ok_or_else(|| SpeechError::Failed("espeak-ng wrote no sound".to_owned()))
    }
}

/// Takes away what a sentence does not need, before the text arrives.
fn bound(child: &Child) {
    // Without an id it has ended; the call would then be about this process.
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
    for (resource, limit) in [(Resource::As, MEMORY_BYTES_MAX), (Resource::Cpu, CPU_SECONDS_MAX), (Resource::Core, 0)] {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        if let Err(error) = prlimit(Some(pid), resource, limit) {
            // It may have ended already.
            tracing::debug!(%error, "a limit of espeak-ng could not be set");
        }
    }
}

/// The voice of this name, else one for the language, else English.
fn chosen(voices: &[VoiceInfo], manner: &Manner) -> String {
    let by_id = |id: &str| voices.iter().find(|voice| voice.id == id);
    let language = manner.language.to_lowercase();
    let main = language.split('-').next().unwrap_or_default();
    manner
        .voice_id
        .as_deref()
        .and_then(by_id)
        .or_else(|| by_id(&language))
        .or_else(|| by_id(main))
        .or_else(|| voices.iter().find(|voice| voice.id.split('-').next() == Some(main)))
        .map_or_else(|| VOICE.to_owned(), |voice| voice.id.clone())
}

/// Reads the list that it prints: a line of headings, then `priority language age/gender name file (others)`, names with `_` for spaces.
fn read_voices(list: &str) -> Vec<VoiceInfo> {
    let voice = |line: &str| {
        let mut words = line.split_whitespace();
        let (language, name) = (words.nth(1)?, words.nth(1)?);
        // It is handed over as an argument: nothing that could be taken for another one.
        let plain =
            language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && !language.starts_with('-');
        plain.then(|| VoiceInfo {
            id: language.to_owned(),
            name: name.replace('_', " "),
            language: Some(language.to_owned()),
        })
    };
    let mut voices: Vec<VoiceInfo> = list.lines().skip(1).filter_map(voice).take(VOICES_MAX).collect();
    voices.dedup_by(|a, b| a.id == b.id);
    voices
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "Pty Language       Age/Gender VoiceName          File                 Other Languages\n 5  de              --/M      German             gmw/de\n 2  en-us           --/M      English_(America)  gmw/en-US            (en 3)\n 5  pt-br           --/M      Portuguese_(Brazil) roa/pt-BR            (pt 6)\n 5  --pho           --/M      Bad                x\n";

    fn manner(voice_id: Option<&str>, language: &str) -> Manner {
        Manner { voice_id: voice_id.map(Into::into), language: language.into(), speed: 1.0, telephone: false }
    }

    #[test]
    fn the_voice_follows_the_name_then_the_language_then_english() {
        let voices = read_voices(LIST);
        assert_eq!(voices.len(), 3, "{voices:?}");
        assert_eq!(voices[1].name, "English (America)");
        for (id, language, expected) in [
            (None, "en-US", "en-us"),
            (None, "de-AT", "de"),
            (None, "pt-PT", "pt-br"),
            (None, "xx", "en-us"),
            (Some("de"), "en-US", "de"),
            (Some("--pho"), "de", "de"),
            (Some("a voice of somebody else's"), "de-DE", "de"),
        ] {
            assert_eq!(chosen(&voices, &manner(id, language)), expected, "{id:?} {language}");
        }
    }

    #[tokio::test]
    async fn a_program_that_fails_writes_nothing_or_without_end_is_an_error() {
        assert!(Espeak::find("").is_none() && Espeak::find("no-such-program-here").is_none());
        let fails = Espeak::find("false").expect("a program of every system");
        assert!(matches!(fails.speak(&manner(None, "en"), "Hello").await, Err(SpeechError::Failed(_))));
        let endless = Espeak::find("yes").expect("a program of every system");
        let spoken = endless.run(&[], "").await;
        assert_eq!(spoken, Err(SpeechError::Failed("espeak-ng speaks for too long".to_owned())));
    }

    #[tokio::test]
    async fn a_sentence_is_spoken_where_it_is_installed() {
        // The tests' set-up installs it; a developer's machine may lack it.
        let Some(espeak) = Espeak::find("espeak-ng") else { return };
        let slow = espeak.speak(&manner(None, "en-US"), "We are open from nine to six.").await.expect("spoken");
        assert!((800..6_000).contains(&slow.duration_ms()), "{}", slow.duration_ms());
        let fast = Manner { speed: 1.8, ..manner(None, "en-US") };
        let fast = espeak.speak(&fast, "We are open from nine to six.").await.expect("spoken");
        assert!(fast.duration_ms() < slow.duration_ms());
        assert!(slow.mulaw().is_some_and(|line| line.len() > 4_000));
        assert_eq!(espeak.speak(&manner(None, "en"), " … ").await, Err(SpeechError::Text));
    }
}
