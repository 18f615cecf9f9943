//! Sound between a telephone line and models: µ-law, sample rates, files, and telling speech from silence.

pub mod mulaw;
pub mod resample;
pub mod vad;
pub mod wav;
