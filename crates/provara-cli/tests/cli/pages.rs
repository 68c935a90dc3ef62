//! What the executable says stands by itself: who installed the wheel has neither `docs/` nor `spec/`.

use std::fs;
use std::path::{Path, PathBuf};

/// The files below a directory whose names end so.
fn files(directory: &Path, ends: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, ends, found);
        } else if path.to_string_lossy().ends_with(ends) {
            found.push(path);
        }
    }
}

/// Whether a line of a source names a page.
fn names_a_page(line: &str) -> bool {
    ["docs/", "spec/", "VAULT_FORMAT", "PLUGIN_API"]
        .iter()
        .any(|page| line.contains(page))
}

#[test]
fn no_message_names_a_page_that_is_not_installed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut sources = Vec::new();
    for directory in fs::read_dir(root.join("crates")).unwrap().flatten() {
        files(&directory.path().join("src"), ".rs", &mut sources);
    }
    files(&root.join("bindings/python/src"), ".rs", &mut sources);
    files(&root.join("python/provara"), ".py", &mut sources);
    assert!(sources.len() > 100, "{}", sources.len());
    for path in sources {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.trim_start();
            let is_comment = code.starts_with("//") || code.starts_with('#');
            assert!(
                is_comment || !names_a_page(code),
                "{}:{}: {line}",
                path.display(),
                number + 1
            );
        }
    }
}

/// The help of every command, which is made of comments.
#[test]
fn no_help_names_a_page_that_is_not_installed() {
    let world = crate::world::World::new();
    assert_eq!(world.run(&["man", "."]).code, 0);
    let mut pages = Vec::new();
    files(&world.path("."), ".1", &mut pages);
    assert!(pages.len() > 20, "{pages:?}");
    for path in pages {
        let text = fs::read_to_string(&path).unwrap().replace('\\', "");
        let line = text.lines().find(|line| names_a_page(line));
        assert_eq!(line, None, "{}", path.display());
    }
}
