//! Seeded mutations of real inputs through every check. The same seed gives the same inputs.

use std::fs;
use std::path::Path;

const ROUNDS: usize = 40_000;

/// splitmix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("below a usize")
    }

    /// Changes, drops, doubles or inserts a few stretches of bytes.
    fn mutate(&mut self, seed: &[u8]) -> Vec<u8> {
        const PIECES: [&[u8]; 16] = [
            b"\"", b"\\", b"{", b"}", b",", b":", b"null", b"1e400", b"-0", b"\n", b"\0", b"\xff",
            b"\\ud800", b"[[[[", b" ", b"0.10",
        ];
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(12)).min(bytes.len());
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let twice = bytes[at..end].to_vec();
                    bytes.splice(at..at, twice);
                }
                3 => bytes.truncate(at),
                _ => {
                    let piece = PIECES[self.below(PIECES.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
            }
        }
        bytes
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort_unstable();
    assert!(paths.len() >= 3, "{} has too few seeds", folder.display());
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn run(target: &str, check: fn(&[u8])) {
    run_rounds(target, ROUNDS, check);
}

fn run_rounds(target: &str, rounds: usize, check: fn(&[u8])) {
    let seeds = seeds(target);
    let mut random = Random(0x5eed);
    seeds.iter().for_each(|seed| check(seed));
    for round in 0..rounds {
        let input = random.mutate(&seeds[round % seeds.len()]);
        let told = String::from_utf8_lossy(&input).into_owned();
        std::panic::catch_unwind(|| check(&input)).unwrap_or_else(|_| panic!("{target}: {told}"));
    }
}

#[test]
fn line() {
    run("line", provara_fuzz_checks::line);
}

#[test]
fn canonical() {
    run("canonical", provara_fuzz_checks::canonical);
}

#[test]
fn manifest() {
    run("manifest", provara_fuzz_checks::manifest);
}

#[test]
fn keyfile() {
    run("keyfile", provara_fuzz_checks::keyfile);
}

#[test]
fn schema() {
    run("schema", provara_fuzz_checks::schema);
}

/// Every key of an input gets tables of both widths, for each back end: some milliseconds.
#[test]
fn signatures() {
    run_rounds("signatures", ROUNDS / 40, provara_fuzz_checks::signatures);
}
