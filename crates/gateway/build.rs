//! Puts the built widget into the binary.

use std::path::Path;

fn main() {
    let dist = Path::new("../../web/widget/dist");
    if !dist.join("loader.js").is_file() {
        println!("cargo:warning=the widget is not built: run `make build`, or `npm ci && npm run build` in web/");
        panic!("web/widget/dist is missing: run `make build`");
    }
    memory_serve::load_directory("../../web/widget/dist/assets");
}
