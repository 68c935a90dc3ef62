//! The JSON-Schema-Test-Suite, draft 2020-12, through the validator of custom event types.
//!
//! The validator is stricter than the draft on purpose: no `$ref` leaves the schemas that a plugin brings, the
//! dialect is one of the published ones, and formats are always assertions. What of the suite says otherwise
//! is listed below, case by case; everything else must agree.

use std::collections::BTreeMap;
use std::io::Read;

use provara_core::canonical::token_preserving;
use provara_core::json::{Value, object, parse};
use provara_plugins::schema::{CompiledSchema, SchemaError};

/// The files of `json-schema.tar.xz` below [`DIRECTORY`], by path.
fn suite() -> BTreeMap<String, Vec<u8>> {
    let mut files = archive();
    files.retain(|name, _| name.contains(DIRECTORY));
    let below = |(name, content): (String, _)| {
        let (_, name) = name.split_once(DIRECTORY).unwrap();
        (name.to_owned(), content)
    };
    files.into_iter().map(below).collect()
}

/// Where the cases are.
const DIRECTORY: &str = "tests/draft2020-12/";

/// The documents that the suite refers to, as a plugin brings them: an object by URI. Those in a dialect of the
/// suite's own are refused, and left out.
fn remotes() -> String {
    let mut schemas = Vec::new();
    for (name, content) in archive() {
        let Some((_, name)) = name.split_once("remotes/draft2020-12/") else {
            continue;
        };
        let text = String::from_utf8(content).unwrap();
        if !text.contains("\"$schema\": \"http://localhost") {
            schemas.push(format!("\"{REMOTE}{name}\":{text}"));
        }
    }
    format!("{{{}}}", schemas.join(","))
}

fn archive() -> BTreeMap<String, Vec<u8>> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/json-schema.tar.xz"
    );
    let packed = std::fs::read(path).expect(path);
    let mut archive = Vec::new();
    lzma_rs::xz_decompress(&mut packed.as_slice(), &mut archive).expect(path);
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive.as_slice()).entries().expect(path) {
        let mut entry = entry.expect(path);
        let name = entry.path().expect(path).to_string_lossy().into_owned();
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect(path);
            files.insert(name, content);
        }
    }
    files
}

/// What became of the cases of some files.
#[derive(Debug, Default)]
struct Tally {
    cases: usize,
    agree: usize,
    /// Cases whose schema refers to another document, which is refused.
    remote: usize,
    /// Cases whose schema names a dialect of the suite's own, which is refused.
    dialect: usize,
    /// Cases that say that a format decides nothing.
    annotation: usize,
    /// Cases with a verdict that nothing explains.
    wrong: Vec<String>,
}

fn run<'f>(files: impl Iterator<Item = (&'f String, &'f Vec<u8>)>, further: Option<&str>) -> Tally {
    let mut tally = Tally::default();
    for (file, text) in files {
        let groups = parse(text).expect(file);
        for group in groups.as_array().expect(file) {
            tally.group(file, group, further);
        }
    }
    tally
}

impl Tally {
    fn group(&mut self, file: &str, group: &Value<'_>, further: Option<&str>) {
        let cases = group.get("tests").and_then(Value::as_array).unwrap();
        self.cases += cases.len();
        let schema = match group.get("schema").unwrap() {
            // A plugin's schema is an object; a bare boolean is tried inside one.
            boolean @ Value::Bool(_) => object([("allOf", Value::Array(vec![boolean.clone()]))]),
            other => other.clone(),
        };
        let schema = String::from_utf8(token_preserving(&schema)).unwrap();
        let compiled = CompiledSchema::with_further("com.example.suite", "1.0", &schema, further);
        let schema = match compiled {
            Ok(schema) => schema,
            Err(error) => return self.refused(file, cases.len(), &error),
        };
        for case in cases {
            let text = |value: &Value<'_>| {
                let text = value.get("description").and_then(Value::as_str);
                text.unwrap().to_owned()
            };
            let expected = case.get("valid").and_then(Value::as_bool).unwrap();
            let found = schema.validate(case.get("data").unwrap()).is_ok();
            if found == expected {
                self.agree += 1;
            } else if text(case).ends_with("string is only an annotation by default") && !found {
                self.annotation += 1;
            } else {
                let name = format!("{file}: {}: {}: {found}", text(group), text(case));
                self.wrong.push(name);
            }
        }
    }

    fn refused(&mut self, file: &str, cases: usize, error: &SchemaError) {
        match error {
            SchemaError::UnknownDialect(uri) if uri.starts_with(REMOTE) => self.dialect += cases,
            SchemaError::Invalid { reason, .. } if reason.contains(REMOTE) => self.remote += cases,
            other => self.wrong.push(format!("{file}: {other}")),
        }
    }
}

/// Where the suite has its other documents. Nothing may listen there: a validator that fetched one
/// would find nobody, and one that ignored the reference would give a verdict.
const REMOTE: &str = "http://localhost:1234/draft2020-12/";

#[test]
fn draft_2020_12() {
    let files = suite();
    let tally = run(files.iter().filter(|(name, _)| !name.contains('/')), None);
    assert_eq!(tally.wrong, [""; 0]);
    println!(
        "JSON-Schema-Test-Suite, core: {} of {} cases agree; by design {} are refused for a \
         remote reference, {} for a dialect of their own, and {} take a format for an assertion",
        tally.agree, tally.cases, tally.remote, tally.dialect, tally.annotation
    );
    let counts = (tally.cases, tally.remote, tally.dialect, tally.annotation);
    assert_eq!(counts, (1299, 44, 5, 19));
    assert_eq!(tally.agree, 1299 - 44 - 5 - 19);
}

#[test]
fn formats() {
    let files = suite();
    let formats = |name: &String| name.starts_with("optional/format/");
    let tally = run(files.iter().filter(|(name, _)| formats(name)), None);
    assert_eq!(tally.wrong, [""; 0]);
    println!(
        "JSON-Schema-Test-Suite, formats: {} of {} cases agree",
        tally.agree, tally.cases
    );
    assert_eq!((tally.cases, tally.agree), (764, 764));
}

/// With the documents that the suite refers to all but what needs a dialect of its own is decided.
#[test]
fn further_schemas() {
    let files = suite();
    let core = files.iter().filter(|(name, _)| !name.contains('/'));
    let tally = run(core, Some(&remotes()));
    assert_eq!(tally.wrong, [""; 0]);
    let counts = (tally.cases, tally.remote, tally.dialect, tally.annotation);
    assert_eq!(counts, (1299, 0, 5, 19));
    assert_eq!(tally.agree, 1299 - 5 - 19);
}

/// Patterns are those of ECMA-262, with the flag `u`.
#[test]
fn patterns() {
    let files = suite();
    let tally = run(
        files
            .iter()
            .filter(|(name, _)| name.ends_with("-regex.json")),
        None,
    );
    assert_eq!(tally.wrong, [""; 0]);
    assert_eq!((tally.cases, tally.agree), (98, 98));
}
