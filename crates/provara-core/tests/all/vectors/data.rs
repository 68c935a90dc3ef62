//! Reads the vector files.

use std::collections::BTreeMap;
use std::io::Read;

/// The bytes of a file of `tests/vectors`.
pub(crate) fn read(name: &str) -> Vec<u8> {
    let path = format!("{}/../../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A JSON file of `tests/vectors`.
pub(crate) fn read_json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&read(name)).expect(name)
}

/// The content of an xz-compressed file.
pub(crate) fn read_xz(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    lzma_rs::xz_decompress(&mut read(name).as_slice(), &mut out).expect(name);
    out
}

/// The files of a `.tar.xz`, by path.
pub(crate) fn read_tar_xz(name: &str) -> BTreeMap<String, Vec<u8>> {
    let archive = read_xz(name);
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive.as_slice()).entries().expect(name) {
        let mut entry = entry.expect(name);
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().expect(name).to_string_lossy().into_owned();
        let path = path.trim_start_matches("./").to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect(&path);
        files.insert(path, content);
    }
    files
}
