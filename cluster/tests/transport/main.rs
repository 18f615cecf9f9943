//! The transport between nodes: what two processes promise each other, also when one of them stalls, dies, lies or babbles.

mod faults;
mod peer;
mod proxy;
mod strangers;
mod traffic;
