//! Puts the built widget and console into the binary.

use std::path::Path;

/// What `web/` builds: its name here, its folder, and a file that is there once it is built.
const BUILT: [(&str, &str, &str); 2] =
    [("widget", "../../web/widget/dist", "loader.js"), ("console", "../../web/console/dist", "index.html")];

fn main() {
    for (name, dist, proof) in BUILT {
        if !Path::new(dist).join(proof).is_file() {
            println!("cargo:warning=the {name} is not built: run `make build`, or `npm ci && npm run build` in web/");
            panic!("web/{name}/dist is missing: run `make build`");
        }
    }
    // A debug build reads the files from disk.
    let embed = !cfg!(debug_assertions);
    memory_serve::load_names_directories(BUILT.map(|(name, dist, _)| (name, format!("{dist}/assets"))), embed);
}
