//! Templates, prices and scoring rules as data: the shapes of `config/catalog/` and their checks, with file and line.

pub mod check;
pub mod frameworks;
pub mod load;
pub mod models;
pub mod scoring;
pub mod template;
