//! The crawler against real sites on loopback: what it reads, what it leaves alone, and what cannot hurt it.

mod hostile;
mod site;
mod walk;
