//! Many signatures by few keys: every back end of `provara-signatures` against `ed25519-dalek`'s single verification,
//! in one run: the processor time of one thread. Messages of 250 to 500 bytes, as events have. Prints medians of several rounds, which are
//! interleaved so that a busy machine disturbs all alike, and the ratio to dalek.
//!
//! "Cold" makes a new verifier for all signatures, whose tables are made on the way; "warm" has the tables.

use std::hint::black_box;

use ed25519_dalek::{Signature, Signer, SigningKey, Verifier as _, VerifyingKey};
use provara_signatures::{Backend, Chosen, Item, Limits, Message, Secret, Verifier};
use rustix::time::{ClockId, clock_gettime};

const COUNT: usize = 8192;
const ROUNDS: usize = 11;

/// How many signatures a range of a log has.
const RANGES: [usize; 2] = [600, 4096];

struct Signed {
    key: usize,
    message: Vec<u8>,
    signature: [u8; 64],
}

/// Signatures by so many keys, one after another at random.
fn signed(keys: usize, count: usize) -> (Vec<VerifyingKey>, Vec<Signed>) {
    let mut state = 7u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let signing: Vec<SigningKey> = (0..keys)
        .map(|seed| SigningKey::from_bytes(&[seed as u8 + 1; 32]))
        .collect();
    let signed = (0..count)
        .map(|_| {
            let key = random() % keys;
            let message: Vec<u8> = (0..250 + random() % 251).map(|_| random() as u8).collect();
            let signature = signing[key].sign(&message).to_bytes();
            Signed {
                key,
                message,
                signature,
            }
        })
        .collect();
    (
        signing.iter().map(SigningKey::verifying_key).collect(),
        signed,
    )
}

fn item(signed: &Signed) -> Item<'_> {
    Item {
        key: signed.key,
        signature: &signed.signature,
        message: Message::from(&signed.message[..]),
    }
}

fn verify(verifier: &Verifier, items: &[Item<'_>], range: usize) {
    let mut verdicts = Vec::new();
    for items in items.chunks(range) {
        verifier
            .verify(items, &mut verdicts)
            .expect("no disagreement");
        assert!(black_box(&verdicts).iter().all(|good| *good));
    }
}

type Way<'a> = (String, Box<dyn FnMut() + 'a>);

/// Runs all ways by turns. Prints for each the median of a signature's time, and the ratio to the first way.
fn compare(mut ways: Vec<Way<'_>>, count: usize) {
    // Of this thread: the machine may have more to do.
    let processor_time = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
    };
    let mut times = vec![Vec::with_capacity(ROUNDS); ways.len()];
    for round in 0..=ROUNDS {
        for ((_, way), times) in ways.iter_mut().zip(&mut times) {
            let start = processor_time();
            way();
            if round > 0 {
                times.push((processor_time() - start) / count as f64);
            }
        }
    }
    let first = times[0].clone();
    for ((name, _), times) in ways.iter().zip(&mut times) {
        let mut ratios: Vec<f64> = first
            .iter()
            .zip(&*times)
            .map(|(first, time)| first / time)
            .collect();
        ratios.sort_by(f64::total_cmp);
        times.sort_by(f64::total_cmp);
        println!(
            "{name:44} {:8.2} µs, {:5.2} of dalek's rate ({:.2} to {:.2})",
            times[ROUNDS / 2],
            ratios[ROUNDS / 2],
            ratios[0],
            ratios[ROUNDS - 1]
        );
    }
}

fn by_dalek(keys: &[VerifyingKey], signed: &[Signed]) {
    for it in signed {
        let signature = Signature::from_bytes(&it.signature);
        keys[it.key]
            .verify(&it.message, &signature)
            .expect("a good signature");
    }
}

fn new(backend: Backend, keys: &[VerifyingKey]) -> Option<Verifier> {
    let chosen = Chosen::forced(backend).ok()?;
    Some(Verifier::new(
        chosen,
        Secret::of_run().expect("randomness"),
        keys,
    ))
}

fn main() {
    for count in [1, 20] {
        println!("{count} keys, {COUNT} signatures, warm");
        let (keys, signed) = signed(count, COUNT);
        let items: Vec<Item<'_>> = signed.iter().map(item).collect();
        let mut ways: Vec<Way<'_>> = vec![(
            "ed25519-dalek".to_owned(),
            Box::new(|| by_dalek(&keys, &signed)),
        )];
        for backend in [Backend::Portable, Backend::Avx2, Backend::Avx512] {
            let Some(verifier) = new(backend, &keys) else {
                println!("{backend}: NOT MEASURED, the processor lacks what it needs");
                continue;
            };
            // All tables, the wide ones.
            for _ in 0..10 {
                verify(&verifier, &items, COUNT);
            }
            let verifier = std::rc::Rc::new(verifier);
            for range in RANGES {
                let (verifier, items) = (std::rc::Rc::clone(&verifier), &items);
                ways.push((
                    format!("{backend}, {range} at a time"),
                    Box::new(move || verify(&verifier, items, range)),
                ));
            }
        }
        compare(ways, COUNT);
    }
    println!("one key, cold: with the tables that are made for so few");
    for count in [16, 64, 128, 256, 1000, 4000] {
        let (keys, signed) = signed(1, count);
        let items: Vec<Item<'_>> = signed.iter().map(item).collect();
        let mut ways: Vec<Way<'_>> = vec![(
            "ed25519-dalek".to_owned(),
            Box::new(|| by_dalek(&keys, &signed)),
        )];
        for backend in [Backend::Portable, Backend::Avx2, Backend::Avx512] {
            let Ok(chosen) = Chosen::forced(backend) else {
                continue;
            };
            let own = Limits::of(backend);
            let narrow = Limits {
                narrow_from: 1,
                wide_from: u64::MAX,
                ..own
            };
            let wide = Limits {
                narrow_from: 1,
                wide_from: 1,
                ..own
            };
            for (name, limits) in [("own limits", own), ("narrow", narrow), ("wide", wide)] {
                let (keys, items) = (&keys, &items);
                ways.push((
                    format!("{count} signatures, {backend}, {name}"),
                    Box::new(move || {
                        let secret = Secret::of_run().expect("randomness");
                        verify(
                            &Verifier::with_limits(chosen, secret, keys, limits),
                            items,
                            count,
                        );
                    }),
                ));
            }
        }
        compare(ways, count);
    }
}
