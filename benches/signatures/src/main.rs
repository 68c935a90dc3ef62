//! What the ways to decide an Ed25519 signature cost, one core, messages of 400 bytes. Prints the
//! median of several rounds for each, interleaved so that a busy machine disturbs all alike.

use std::hint::black_box;
use std::time::Instant;

use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey, verify_batch};

const MESSAGES: usize = 512;
const ROUNDS: usize = 15;

fn main() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = key.verifying_key();
    let messages: Vec<Vec<u8>> = (0..MESSAGES)
        .map(|n| format!("{n:08}").repeat(50).into_bytes())
        .collect();
    let signatures: Vec<Signature> = messages.iter().map(|message| key.sign(message)).collect();
    let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let keys: Vec<VerifyingKey> = vec![public; MESSAGES];

    type Way<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let each = |check: &dyn Fn(&[u8], &Signature)| {
        slices
            .iter()
            .zip(&signatures)
            .for_each(|(message, signature)| check(message, signature));
    };
    let ways: Vec<Way<'_>> = vec![
        (
            "ed25519-dalek verify (decides)",
            Box::new(|| each(&|m, s| public.verify(m, s).expect("valid"))),
        ),
        (
            "ed25519-dalek verify_strict",
            Box::new(|| each(&|m, s| public.verify_strict(m, s).expect("valid"))),
        ),
        (
            "ed25519-dalek verify_batch of 512",
            Box::new(|| verify_batch(&slices, &signatures, &keys).expect("valid")),
        ),
        (
            "ed25519-dalek sign (signs)",
            Box::new(|| {
                slices.iter().for_each(|m| {
                    black_box(key.sign(m));
                })
            }),
        ),
    ];
    let mut times = vec![Vec::with_capacity(ROUNDS); ways.len()];
    for _ in 0..ROUNDS {
        for (way, times) in ways.iter().zip(&mut times) {
            let start = Instant::now();
            way.1();
            times.push(start.elapsed().as_secs_f64() * 1e6 / MESSAGES as f64);
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    };
    let medians: Vec<f64> = times.iter_mut().map(median).collect();
    println!("{:36} {:>8} {:>8}", "", "µs", "ratio");
    for ((name, _), time) in ways.iter().zip(&medians) {
        println!("{name:36} {time:8.1} {:8.2}", time / medians[0]);
    }
}
