//! Pages of `docs/reference` that are made from the code: each crate that makes some takes this file as a module of its
//! tests. `UPDATE_DOCS=1 cargo test -p CRATE reference` writes the pages; without it a page that is out of date fails.

use std::path::PathBuf;

/// The page has these bytes below its first line, which says how it is made; or it gets them.
#[track_caller]
pub(crate) fn check(name: &str, page: &str) {
    let command = format!(
        "UPDATE_DOCS=1 cargo test -p {} reference",
        env!("CARGO_PKG_NAME")
    );
    let page = format!("<!-- Made from the code: {command} -->\n{page}");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/reference")
        .join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/reference/{name} is not what the code says; {command}"
    );
}
