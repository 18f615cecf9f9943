//! The catalog: templates, prices, scoring, from `config/catalog` as it was when the binary was built.

use colloquy_domain::catalog::load::{Catalog, CatalogFile};

mod shipped {
    include!(concat!(env!("OUT_DIR"), "/catalog.rs"));
}

/// Loads and checks the catalog; every mistake is named with file and line.
pub(crate) fn load() -> Result<Catalog, String> {
    let files: Vec<CatalogFile> = shipped::FILES.iter().map(|(path, text)| CatalogFile { path, text }).collect();
    Catalog::load(&files).map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_shipped_catalog_is_valid() {
        let catalog = super::load().unwrap();
        assert!(catalog.templates.len() >= 7);
    }
}
