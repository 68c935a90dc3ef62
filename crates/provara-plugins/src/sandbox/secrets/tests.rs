use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use provara_core::keys::SigningKey;

use super::*;
use crate::sandbox::paths::tests::KEYFILE;
use crate::testing::TempDir;

fn told(text: impl AsRef<[u8]>) -> bool {
    let dir = TempDir::new();
    let path = dir.path().join("file");
    fs::write(&path, text).unwrap();
    Look::default().holds_keys(File::open(path).unwrap())
}

#[test]
fn a_keyfile_is_told_by_its_content() {
    assert!(told(KEYFILE));
    for blanks in [1, 63, 64, 65, 100_000] {
        assert!(told(" \t\r\n".repeat(blanks) + KEYFILE), "{blanks}");
    }
    for other in ["", " ", "{}", "{", "x = {}", "[1]", r#"{"keys":[]}"#] {
        assert!(!told(other), "{other}");
    }
    // No word of it is in plain sight.
    let hidden = KEYFILE.replace("private_key", r"private\u005fkey");
    assert!(told(&hidden));
    assert!(told(format!("{}{hidden}", " ".repeat(100_000))));
    assert!(told(format!("\u{feff}{hidden}")));
}

#[test]
fn a_key_is_told_in_whatever_it_lies() {
    let id = "bp1_0123456789abcdef";
    let half = STANDARD.encode([7; 32]);
    for text in [
        format!("\u{feff}{KEYFILE}"),
        format!("// mine\n{KEYFILE}"),
        format!("KEYS = {KEYFILE}"),
        format!("[{{\"old\":{KEYFILE}}}]"),
        format!(r#"{{"version":1,"{id}":"{half}"}}"#),
        format!("{{'{id}': '{half}'}}"),
        format!("private_key_b64={half}\n"),
        format!("private_key_b64: {half}\n"),
        serde_json::to_string(KEYFILE).unwrap(),
    ] {
        assert!(told(&text), "{text}");
        assert!(told("x".repeat(HEAD - text.len()) + &text), "{text}");
        assert!(!told("x".repeat(HEAD) + &text), "{text}");
    }
    let public = SigningKey::from_seed(&[7; 32]).public();
    for text in [
        format!("{}: {}", public.key_id(), public.to_base64()),
        format!(r#"{{"key_id":"{id}","public_key_b64":"{half}"}}"#),
        format!(r#"{{"actor_key_id":"{id}","sig":"{half}"}}"#),
        r#"entry["private_key_b64"]"#.to_owned(),
        format!("private_key_b64: {}", STANDARD.encode([7; 64])),
        format!("private_key_b64: {}", STANDARD.encode([7; 33])),
        id.to_owned(),
    ] {
        assert!(!told(&text), "{text}");
    }
    assert!(told(format!("{}: {half}", public.key_id())));
}

#[test]
fn a_key_in_source_is_told_in_each_form_of_a_literal() {
    let id = "bp1_0123456789abcdef";
    let half = STANDARD.encode([7; 32]);
    for name in ["private_key_b64", id] {
        for text in [
            format!("{{'{name}': b'{half}'}}"),
            format!("{{\"{name}\": rb\"{half}\"}}"),
            format!("K = {{r'{name}': f'{half}'}}"),
            format!("{{\"{name}\": \"\"\"{half}\"\"\"}}"),
            format!("dict([(\"{name}\", \"{half}\")])"),
            format!("{{\"{name}\" => \"{half}\"}}"),
            format!("KEYS[\"{name}\"] = (\n    \"{half}\"\n)"),
            format!("KEYS[\"{name}\"] = bytes(\"{half}\")"),
            format!("os.environ.get(\"{name}\", \"{half}\")"),
            format!("map.insert(\"{name}\", String::from(\"{half}\"));"),
        ] {
            assert!(told(&text), "{text}");
        }
    }
    for text in [
        format!("private_key_b64: str = \"{half}\""),
        format!("private_key_b64: typing.Final[bytes] = b\"{half}\""),
        format!("private_key_b64: Optional[str] = (\"{half}\")"),
        format!("let private_key_b64: &'static str = \"{half}\";"),
        format!("private_key_b64 = os.environ.get(\"SIGNING_KEY\", \"{half}\")"),
        format!("private_key_b64 = os.getenv(\"SIGNING_KEY\") or \"{half}\""),
        format!("const char *private_key_b64 = \"{half}\";"),
        format!("private_key_b64 := \"{half}\""),
        format!("'private_key_b64': {{'value': '{half}'}}"),
    ] {
        assert!(told(&text), "{text}");
    }
    for text in [
        format!("{{\"private_key_b64\": null, \"public_key_b64\": \"{half}\"}}"),
        format!("private_key_b64 = load()  # its public half is \"{half}\""),
        format!("\"{id}\", \"sha256\": \"{half}\""),
        format!("[\"{id}\"], event_hash=\"{half}\""),
        format!("{id}: the key that signed {half}"),
        format!("private_key_b64 {} \"{half}\"", "(".repeat(BETWEEN)),
    ] {
        assert!(!told(&text), "{text}");
    }
}

#[test]
fn a_large_file_is_told_by_its_members() {
    let filler = "x".repeat(2 << 20);
    let with = |member: &str| format!(r#"{{"filler":"{filler}",{member}}}"#);
    assert!(told(KEYFILE.to_owned() + &" ".repeat(2 << 20)));
    assert!(told(with(r#""keys":[]"#)));
    assert!(told(format!("\u{feff}{}", with(r#""keys":[]"#))));
    assert!(told(with(r#""\u006beys":[]"#)));
    assert!(told(with(r#""bp1_0123456789abcdef":"AAAA""#)));
    assert!(told(format!("{{{filler}")));
    assert!(!told(with(r#""files":[]"#)));
    // A log: its first line decides.
    assert!(!told(with(r#""type":"GENESIS""#) + "\n" + KEYFILE));
    assert!(!told(" ".repeat(2 << 20)));
}

/// An archive of empty directories and of files.
fn tar(directories: &[&str], files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for name in directories {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        archive.append_data(&mut header, name, io::empty()).unwrap();
    }
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, name, *text).unwrap();
    }
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn a_vaults_archive_is_told_by_its_names() {
    let large = vec![b'x'; 100_000];
    let backup = tar(
        &["v/", "v/events/", "v/identity/"],
        &[("v/manifest.json", &large)],
    );
    let by_hand = tar(
        &[],
        &[
            ("./events/events.ndjson", &large),
            ("./identity/keys.json", b"{}"),
        ],
    );
    let key_only = tar(&[], &[("notes.txt", &large), ("k", KEYFILE.as_bytes())]);
    for archive in [backup, by_hand, key_only] {
        assert!(told(&archive));
        assert!(told(gzip(&archive)));
        // One that is cut off.
        assert!(told(&gzip(&archive)[..gzip(&archive).len() - 9]));
    }
    let other = tar(
        &["package/", "package/events/"],
        &[("package/identity.py", &large)],
    );
    assert!(!told(&other) && !told(gzip(&other)));
    assert!(!told(gzip(KEYFILE.repeat(0).as_bytes())));
    let mut endless = other.clone();
    endless[124..136].fill(b'7');
    assert!(!told(&endless));
    assert!(!told(gzip(&large)));
}
