//! Every back end against `ed25519-dalek` on any number of drawn cases, on all cores: `make exact`.
//!
//! Usage: exact [how many] [seed]. With `--lines` it prints the cases and dalek's verdicts, one JSON object to a line,
//! for another implementation (scripts/second_oracle.py).

#[path = "../tests/support/cases.rs"]
mod cases;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cases::{Case, Cases};
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use provara_signatures::{Backend, Chosen, Item, Limits, Message, Secret, Verifier};

/// How many cases are drawn from one seed.
const PIECE: usize = 100_000;

/// What was found: for each kind of case how many dalek rejects and accepts, and where a back end differs.
#[derive(Default)]
struct Found {
    kinds: BTreeMap<(&'static str, &'static str), [usize; 2]>,
    differences: Vec<String>,
}

fn by_dalek(keys: &[VerifyingKey], case: &Case) -> bool {
    let signature = Signature::from_bytes(&case.signature);
    keys[case.key].verify(&case.message, &signature).is_ok()
}

/// A verifier with tables for every key, of one width.
fn verifier(chosen: Chosen, keys: &[VerifyingKey], wide: bool) -> Verifier {
    let limits = Limits {
        narrow_from: 1,
        wide_from: if wide { 1 } else { u64::MAX },
        most_bytes: usize::MAX,
    };
    let secret = Secret::of_run().expect("the operating system has random bytes");
    Verifier::with_limits(chosen, secret, keys, limits)
}

fn compare(seed: u64, count: usize, backends: &[Chosen], found: &Mutex<Found>) {
    let mut cases = Cases::new(seed);
    let keys = cases.keys().to_vec();
    let drawn: Vec<Case> = (0..count).map(|_| cases.draw()).collect();
    let expected: Vec<bool> = drawn.iter().map(|case| by_dalek(&keys, case)).collect();
    let mut differences = Vec::new();
    for chosen in backends {
        // By turns: both widths over all of the cases.
        let verifier = verifier(*chosen, &keys, seed.is_multiple_of(2));
        let mut verdicts = Vec::new();
        for (piece, expected) in drawn.chunks(4096).zip(expected.chunks(4096)) {
            let items: Vec<Item<'_>> = piece.iter().map(Case::item).collect();
            match verifier.verify(&items, &mut verdicts) {
                Err(it) => differences.push(format!("{it}: {:?}", piece[it.item])),
                Ok(decided) => {
                    assert_eq!(decided.by_tables, piece.len());
                    for ((verdict, expected), case) in verdicts.iter().zip(expected).zip(piece) {
                        if verdict != expected {
                            differences.push(format!("{}: {case:?}", chosen.backend()));
                        }
                    }
                }
            }
        }
    }
    let mut found = found.lock().expect("no thread panics");
    found.differences.append(&mut differences);
    for (case, good) in drawn.iter().zip(expected) {
        found.kinds.entry(case.kind).or_default()[usize::from(good)] += 1;
    }
}

/// Prints cases for another implementation.
fn print_lines(count: usize, seed: u64) -> std::io::Result<()> {
    let mut cases = Cases::new(seed);
    let keys = cases.keys().to_vec();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for _ in 0..count {
        let case = cases.draw();
        let line = serde_json::json!({
            "key": hex::encode(keys[case.key].as_bytes()),
            "message": hex::encode(&case.message),
            "signature": hex::encode(case.signature),
            "kind": [case.kind.0, case.kind.1],
            "good": by_dalek(&keys, &case),
        });
        writeln!(out, "{line}")?;
    }
    out.flush()
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let lines = arguments.iter().position(|it| it == "--lines");
    if let Some(at) = lines {
        arguments.remove(at);
    }
    let number = |at: usize, default: u64| {
        arguments
            .get(at)
            .map_or(default, |it| it.parse().expect("a number"))
    };
    let (count, seed) = (number(0, 1_000_000) as usize, number(1, 20_260_101));
    if lines.is_some() {
        return match print_lines(count, seed) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let mut backends = Vec::new();
    for backend in [Backend::Portable, Backend::Avx2, Backend::Avx512] {
        match Chosen::forced(backend) {
            Ok(chosen) => backends.push(chosen),
            Err(missing) => println!("NOT TESTED: {missing}"),
        }
    }
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Found::default()));
    let pieces = count.div_ceil(PIECE);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let piece = next.fetch_add(1, Ordering::Relaxed);
                    if piece >= pieces {
                        return;
                    }
                    let size = PIECE.min(count - piece * PIECE);
                    compare(seed + piece as u64, size, &backends, &found);
                    if piece % 10 == 9 {
                        println!("{} of {pieces} pieces begun", next.load(Ordering::Relaxed));
                    }
                }
            });
        }
    });
    let found = found.into_inner().expect("no thread panicked");
    for ((key, signature), [bad, good]) in &found.kinds {
        println!("{key}: {signature}: dalek accepts {good}, rejects {bad}");
    }
    for difference in found.differences.iter().take(20) {
        println!("DIFFERS: {difference}");
    }
    let names: Vec<&str> = backends.iter().map(|it| it.backend().name()).collect();
    println!(
        "{count} cases, {} differences from dalek: {}",
        found.differences.len(),
        names.join(", ")
    );
    ExitCode::from(u8::from(!found.differences.is_empty()))
}
