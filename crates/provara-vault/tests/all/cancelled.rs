//! Work on a log that is not wanted any more: it ends where it is, and leaves nothing behind.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::{Fixture, note};
use provara_vault::{BatchOptions, VaultError, VerifyOptions};

/// A vault whose log is several times as long as what one thread takes at a time.
fn long() -> Fixture {
    let fixture = Fixture::new();
    let text = "x".repeat(4000);
    let requests = (0..400).map(|_| note("alice", &text)).collect();
    fixture
        .vault
        .append_many(requests, &fixture.keyfile, BatchOptions::default())
        .unwrap();
    fixture
}

/// Breaks at the first report beyond the start, and counts the bytes that were told of.
fn stop(told: &AtomicU64, done: u64) -> ControlFlow<()> {
    told.store(done, Ordering::Relaxed);
    match done {
        0 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    }
}

#[test]
fn a_cancelled_verification_ends_and_is_not_recorded() {
    let fixture = long();
    let cache = fixture.outside().join("cache");
    let vault = fixture
        .vault
        .clone()
        .with_cache_directory(Some(cache.clone()))
        .with_record_from(0);
    let told = Arc::new(AtomicU64::new(0));
    let ear = Arc::clone(&told);
    let cancelled = vault
        .clone()
        .with_progress(Arc::new(move |done, _| stop(&ear, done)));
    for threads in [1, 2, 5] {
        let options = VerifyOptions {
            threads: Some(threads),
            ..VerifyOptions::default()
        };
        let outcome = cancelled.verify(&options);
        assert!(matches!(outcome, Err(VaultError::Cancelled)), "{outcome:?}");
        assert!(told.load(Ordering::Relaxed) < fixture.log().len() as u64 / 2);
    }
    assert!(!cache.exists(), "what was not finished is not recorded");
    assert!(vault.verify(&VerifyOptions::default()).unwrap().is_valid());
    assert!(cache.exists());
}

#[test]
fn what_is_derived_can_be_cancelled() {
    let fixture = long();
    let log = fixture.source();
    let told = AtomicU64::new(0);
    let watch = &|done, total| {
        assert_eq!(total, log.len());
        stop(&told, done)
    };
    let beliefs = log.beliefs_watched(watch);
    assert!(matches!(beliefs, Err(VaultError::Cancelled)));
    assert!(told.swap(0, Ordering::Relaxed) < log.len() / 2);
    let summary = log.summary_watched(watch);
    assert!(matches!(summary, Err(VaultError::Cancelled)));
    assert!(told.load(Ordering::Relaxed) < log.len() / 2);
}
