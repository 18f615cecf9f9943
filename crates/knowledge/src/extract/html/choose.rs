//! Chooses the main text among the blocks of a page.

use crate::extract::blocks::{Block, BlockKind, join};

/// A `<main>` or `<article>` with less text than this, and less than [`MAIN_SHARE`] of the page, is a hull that scripts would fill.
const MAIN_LETTERS: usize = 200;
/// The share of the page's letters that makes a short `<main>` trustworthy.
const MAIN_SHARE: f64 = 0.4;
/// Lists of at least this many items that are nearly all links are menus.
const MENU_ITEMS: usize = 4;
/// The share of letters inside links from which a block counts as a menu.
const MENU_SHARE: f64 = 0.8;
/// Menu entries are short; a list of article teasers is not a menu.
const MENU_LETTERS: usize = 40;

/// The Markdown of the main text.
pub(super) fn main_text(blocks: &[Block]) -> String {
    let plain = without_menus(blocks);
    let all: usize = plain.iter().map(|block| block.letters).sum();
    let trusted = |chosen: &[&Block]| {
        let letters: usize = chosen.iter().map(|block| block.letters).sum();
        letters >= MAIN_LETTERS || (letters > 0 && letters as f64 >= all as f64 * MAIN_SHARE)
    };
    let main: Vec<&Block> = blocks.iter().filter(|block| block.place.main && !block.place.soft).collect();
    if trusted(&main) {
        return join(main.into_iter());
    }
    let article: Vec<&Block> = plain.iter().copied().filter(|block| block.place.article).collect();
    if trusted(&article) {
        // The heading of an article often stands before it.
        let first = plain.iter().position(|block| block.place.article).unwrap_or(0);
        let heading = plain[..first].iter().rfind(|block| block.kind == BlockKind::Heading).copied();
        return join(heading.into_iter().chain(article));
    }
    if all > 0 {
        return join(plain.into_iter());
    }
    // Some pages wrap everything in a form or in an oddly named container: then that is the text.
    join(blocks.iter())
}

/// The blocks that are not marked as beside the text and are not menus.
fn without_menus(blocks: &[Block]) -> Vec<&Block> {
    let mut kept = Vec::with_capacity(blocks.len());
    for run in blocks.chunk_by(|a, b| a.kind == BlockKind::Item && b.kind == BlockKind::Item) {
        if !is_menu(run) {
            kept.extend(run.iter().filter(|block| !block.place.soft));
        }
    }
    kept
}

fn is_menu(run: &[Block]) -> bool {
    let Some(first) = run.first() else {
        return false;
    };
    let letters: usize = run.iter().map(|block| block.letters).sum();
    let links: usize = run.iter().map(|block| block.link_letters).sum();
    let linked = links as f64 >= letters as f64 * MENU_SHARE;
    if first.place.main {
        return false;
    }
    match first.kind {
        BlockKind::Item => {
            linked && letters <= run.len() * MENU_LETTERS && (run.len() >= MENU_ITEMS || first.place.header)
        }
        BlockKind::Heading => false,
        BlockKind::Other => linked && letters > 0 && first.place.header,
    }
}
