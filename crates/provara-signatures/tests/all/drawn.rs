//! 200,000 drawn cases, in four tests that run beside each other.

use std::collections::BTreeMap;

use crate::cases::{Case, Cases};
use crate::support::{backends, by_dalek, compare, limits};

const COUNT: usize = 50_000;

fn drawn(seed: u64) {
    let mut cases = Cases::new(seed);
    let keys = cases.keys().to_vec();
    let drawn: Vec<Case> = (0..COUNT).map(|_| cases.draw()).collect();
    let expected = by_dalek(&keys, &drawn);
    let mut kinds: BTreeMap<_, [u32; 2]> = BTreeMap::new();
    for (case, good) in drawn.iter().zip(&expected) {
        kinds.entry(case.kind).or_default()[usize::from(*good)] += 1;
    }
    for ((key, signature), [bad, good]) in &kinds {
        println!("{key}: {signature}: {good} good, {bad} bad");
    }
    // Four kinds of keys, and twelve of signatures with all of them.
    assert_eq!(kinds.len(), 48);
    let good = expected.iter().filter(|good| **good).count();
    assert!((COUNT / 5..COUNT / 2).contains(&good), "{good}");

    for chosen in backends() {
        let [wide, narrow, own] = limits(chosen.backend());
        for (limits, at_a_time) in [(wide, 601), (narrow, 4096)] {
            let decided = compare(chosen, limits, &keys, &drawn, &expected, at_a_time);
            assert_eq!(decided.by_tables, COUNT, "tables decided all");
            assert!(decided.confirmed > COUNT - good, "rejections and a sample");
        }
        let few = COUNT / 5;
        let decided = compare(chosen, own, &keys, &drawn[..few], &expected[..few], 100);
        assert!(decided.by_tables > 0 && decided.by_dalek > 0, "{decided:?}");
    }
}

#[test]
fn first() {
    drawn(101);
}

#[test]
fn second() {
    drawn(102);
}

#[test]
fn third() {
    drawn(103);
}

#[test]
fn fourth() {
    drawn(104);
}
