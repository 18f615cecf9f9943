//! Campaigns: calling everybody on a list, with exact numbers, and nobody who must not be called.
//!
//! Three entities do it. [`core`] is the campaign: what people set and order, and how far its slices are. [`slice`] has up to 256 targets and does the
//! calling; who its targets are stands apart in [`callees`], so that people can be erased. [`crate::pacer`], one for each provider account, says when a call may begin; [`crate::contact_guard`], one for each number, whether that
//! person may be called.
//!
//! Reading order: [`settings`], [`target`], [`counters`]; [`number`], [`zones`], [`window`]; [`import`]; then the entities; [`dialled`], how a call is named outside.

pub mod callees;
pub mod core;
pub mod counters;
pub mod dialled;
pub mod import;
pub mod limits;
pub mod number;
pub mod settings;
#[cfg(test)]
mod simulation;
pub mod slice;
pub mod target;
pub mod window;
pub mod zones;
