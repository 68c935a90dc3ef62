#![forbid(unsafe_code)]
//! What must hold for any bytes whatever: one function for each thing that is read from outside.
//!
//! The fuzz targets in `fuzz/targets` feed them by coverage, the test beside this crate feeds
//! them seeded mutations of real inputs, so that every run of the tests fuzzes a little.

mod signatures;

use provara_core::canonical::{event_form, jcs, token_preserving};
use provara_core::json;
use provara_core::keys::{KeyRegistry, Keyfile, looks_like_keyfile};
use provara_core::manifest::{Manifest, RootSignature, safe_path};
use provara_core::scan::{Field, Form, scan_line};
use provara_core::verify::verify_log;
use provara_plugins::schema::CompiledSchema;

/// The line scanner: what it accepts is its own canonical form, its preimages are canonical too, and
/// a verification of any bytes ends with a verdict.
pub fn line(data: &[u8]) {
    if let Ok(line) = scan_line(data) {
        let value = json::parse(data).expect("a canonical line is strict JSON");
        let canonical = match line.form() {
            Form::Jcs => jcs(&value).ok(),
            Form::TokenPreserving => Some(token_preserving(&value)),
        };
        // An integer of more than 2^53 may stand in a line in ECMAScript form; it is not written.
        if let Some(canonical) = canonical {
            assert_eq!(
                canonical, data,
                "a canonical line is its own canonical form"
            );
        }
        let mut preimage = Vec::new();
        for write in [
            provara_core::scan::Line::id_preimage,
            provara_core::scan::Line::legacy_id_preimage,
            provara_core::scan::Line::signed_bytes,
        ] {
            write(&line, &mut preimage);
            let rest = scan_line(&preimage).expect("what is hashed is a canonical object");
            assert!(!rest.has(Field::Sig), "what is signed holds no signature");
        }
    }
    let verdict = verify_log(data, &KeyRegistry::default());
    assert!(
        !verdict.findings.is_empty(),
        "no key is known, so nothing is proven"
    );
}

/// The canonicaliser: idempotent in both forms, and what it writes is read as the same value.
pub fn canonical(data: &[u8]) {
    let Ok(value) = json::parse(data) else { return };
    event_numbers(&value);
    let tokens = token_preserving(&value);
    let again = json::parse(&tokens).expect("canonical JSON is JSON");
    assert_eq!(token_preserving(&again), tokens);
    if let Ok(strict) = jcs(&value) {
        let again = json::parse(&strict).expect("canonical JSON is JSON");
        // A float from 2^53 on is printed as an integer, which is refused when it is given as one.
        if let Ok(twice) = jcs(&again) {
            assert_eq!(twice, strict);
        }
        if value.as_object().is_some() {
            assert_eq!(scan_line(&strict).expect("canonical").form(), Form::Jcs);
        }
    }
}

/// The numbers of an event: what is taken is taken again and gives the same bytes, and as a document has no
/// other form.
fn event_numbers(value: &json::Value<'_>) {
    let Ok(form) = event_form(value) else { return };
    let again = json::parse(&form).expect("canonical JSON is JSON");
    assert_eq!(event_form(&again).expect("what was logged is taken"), form);
    if let Ok(document) = jcs(value) {
        assert_eq!(document, form);
    }
}

/// The seal: a manifest and a signature are read or refused, and a safe path stays inside.
pub fn manifest(data: &[u8]) {
    if let Ok(manifest) = Manifest::parse(data) {
        let _ = manifest.merkle_root();
        for file in manifest.files.iter().filter(|file| safe_path(&file.path)) {
            let path = std::path::Path::new(&file.path);
            assert!(path.is_relative());
            let plain = |part| matches!(part, std::path::Component::Normal(_));
            assert!(path.components().all(plain), "{path:?}");
        }
    }
    if let Ok(signature) = RootSignature::parse(data) {
        json::parse(&signature.signed).expect("what was signed is JSON");
    }
}

/// Keyfiles and `keys.json`: a keyfile that is read is written back the same, and is known as a
/// secret; no message holds a seed.
pub fn keyfile(data: &[u8]) {
    match Keyfile::parse(data) {
        Ok(keys) => {
            assert!(looks_like_keyfile(data));
            let again = Keyfile::parse(&keys.to_json()).expect("what is written is read");
            assert!(again.key_ids().eq(keys.key_ids()));
        }
        Err(error) => assert!(error.to_string().len() < 4096 + data.len()),
    }
    if let Ok(registry) = KeyRegistry::parse(data) {
        let again = KeyRegistry::parse(&registry.to_json()).expect("what is written is read");
        assert_eq!(again.keys.len(), registry.keys.len());
        assert!(again.problems.is_empty());
    }
}

/// A plugin's schema and an agent's data: the first line is the schema, the rest the data. Both are
/// refused or judged, and every complaint is in words.
pub fn schema(data: &[u8]) {
    let (schema, data) = match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &b"{}"[..]),
    };
    let Ok(schema) = std::str::from_utf8(schema) else {
        return;
    };
    let Ok(schema) = CompiledSchema::new("com.example.fuzz.case", "1.0", schema) else {
        return;
    };
    if let Ok(data) = json::parse(data)
        && let Err(violations) = schema.validate(&data)
    {
        let text = violations.to_string();
        assert!(text.starts_with("ERROR: Event validation failed") && text.contains("\nFix: "));
    }
}

/// Signatures: every back end gives the verdict of a single verification.
pub fn signatures(data: &[u8]) {
    signatures::check(data);
}
