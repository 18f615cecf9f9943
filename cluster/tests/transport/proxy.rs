//! A TCP proxy between two nodes that cuts, stops and spoils what passes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A proxy in front of one address.
pub(crate) struct Proxy {
    pub(crate) address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Connections are cut after so many more bytes towards the target; below zero never.
    cut_after: AtomicI64,
    /// Bytes to put into the stream towards the target.
    spoil: Mutex<Option<Vec<u8>>>,
    cuts: AtomicUsize,
    refusing: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub(crate) fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(State { cut_after: AtomicI64::new(-1), ..State::default() });
        let (shared, target) = (state.clone(), target.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.refusing.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&target) else {
                    continue;
                };
                let mut open = shared.open.lock().expect("whole");
                for stream in [&client, &server] {
                    open.push(stream.try_clone().expect("clones"));
                }
                drop(open);
                let (back_from, back_to) = (server.try_clone().expect("clones"), client.try_clone().expect("clones"));
                let towards = shared.clone();
                std::thread::spawn(move || pass(client, server, Some(&towards)));
                std::thread::spawn(move || pass(back_from, back_to, None));
            }
        });
        Self { address, state }
    }

    /// Cuts the connection in the middle of what is sent, after so many bytes.
    pub(crate) fn cut_after(&self, bytes: i64) {
        self.state.cut_after.store(bytes, Ordering::SeqCst);
    }

    pub(crate) fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::SeqCst)
    }

    /// Puts bytes into what is sent next.
    pub(crate) fn spoil(&self, bytes: Vec<u8>) {
        *self.state.spoil.lock().expect("whole") = Some(bytes);
    }

    /// Ends all connections and lets no new ones through, or lets them through again.
    pub(crate) fn refuse(&self, refusing: bool) {
        self.state.refusing.store(refusing, Ordering::SeqCst);
        if refusing {
            for stream in self.state.open.lock().expect("whole").drain(..) {
                drop(stream.shutdown(Shutdown::Both));
            }
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, state: Option<&State>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 {
            break;
        }
        let mut chunk = &buffer[..read];
        let mut cut = false;
        if let Some(state) = state {
            if let Some(bytes) = state.spoil.lock().expect("whole").take()
                && to.write_all(&bytes).is_err()
            {
                break;
            }
            let left = state.cut_after.load(Ordering::SeqCst);
            if left >= 0 {
                let passing = read.min(usize::try_from(left).unwrap_or(0));
                state.cut_after.store(left - passing as i64, Ordering::SeqCst);
                cut = passing < read;
                chunk = &buffer[..passing];
            }
        }
        if to.write_all(chunk).is_err() {
            break;
        }
        if cut {
            if let Some(state) = state {
                state.cuts.fetch_add(1, Ordering::SeqCst);
                state.cut_after.store(-1, Ordering::SeqCst);
            }
            break;
        }
    }
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}
