//! A witness and what it cosigns.

use std::path::Path;

use provara_core::id::Digest;
use provara_core::tree_head::TreeHead;
use provara_vault::{
    Chosen, CosignedHead, SignedHead, Submission, VaultError, WitnessKey, WitnessRefusal,
    WitnessState, Witnessing,
};

use super::{Home, SECONDS, cosigner, witness};
use crate::common::note;

fn first() -> Witnessing {
    Witnessing {
        first: true,
        ..Witnessing::default()
    }
}

fn ask(state: &Path, given: &[u8], how: &Witnessing) -> Result<CosignedHead, VaultError> {
    let submission = Submission::parse(given).map_err(VaultError::from)?;
    let state = WitnessState::open(state).unwrap();
    state.cosign(&submission, &cosigner(1), SECONDS, how)
}

#[track_caller]
fn refused(state: &Path, given: &[u8], how: &Witnessing) -> WitnessRefusal {
    match ask(state, given, how) {
        Err(VaultError::Witness(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn first_proof(home: &Home, head: &SignedHead) -> Vec<u8> {
    let log = home.vault.snapshot().unwrap().unverified();
    let proof = home.vault.prove(&log, head, &Chosen::Lines(1, 1));
    proof.unwrap().to_json()
}

fn next_proof(home: &Home, old: &SignedHead, new: &SignedHead) -> Vec<u8> {
    let log = home.vault.snapshot().unwrap().unverified();
    home.vault
        .prove_consistency(&log, old, new)
        .unwrap()
        .to_json()
}

fn add_checkpoint(home: &Home, old: u64, new: &SignedHead) -> Vec<u8> {
    let log = home.vault.snapshot().unwrap().unverified();
    let digests = home.vault.consistency(&log, old, new).unwrap();
    let lines: String = digests
        .iter()
        .map(|it| format!("{}\n", it.to_base64()))
        .collect();
    format!("old {old}\n{lines}\n{new}").into_bytes()
}

#[test]
fn a_witness_cosigns_what_goes_on_from_all_that_it_saw() {
    let (home, state) = (Home::new(), tempfile::tempdir().unwrap());
    let state = state.path();
    let one = home.head();
    let proof = first_proof(&home, &one);
    assert!(matches!(
        refused(state, &proof, &Witnessing::default()),
        WitnessRefusal::Unknown { .. }
    ));
    let named = Witnessing {
        root_keys: vec!["bp1_0123456789abcdef".parse().unwrap()],
        ..Witnessing::default()
    };
    assert!(matches!(
        refused(state, &proof, &named),
        WitnessRefusal::Proof(_)
    ));
    assert!(matches!(
        refused(state, one.to_string().as_bytes(), &first()),
        WitnessRefusal::FirstUnproven { .. }
    ));
    let own = Witnessing {
        root_keys: vec![home.fixture.keyfile.keys()[0].key_id()],
        ..Witnessing::default()
    };
    let cosigned = ask(state, &proof, &own).unwrap();
    assert_eq!(cosigned.seen_before, None);
    assert_eq!(
        cosigned.root_key,
        Some(home.fixture.keyfile.keys()[0].key_id())
    );
    let head = SignedHead::parse(cosigned.note.as_bytes()).unwrap();
    let seen = provara_vault::Anchor::Head(head).seen_by(&witness(1));
    assert!(matches!(seen, Ok(Some(_))));
    assert!(matches!(witness(1), WitnessKey::Cosigner(_)));

    // What was seen is cosigned once more, whoever asks and however.
    for again in [
        &proof[..],
        one.to_string().as_bytes(),
        &add_checkpoint(&home, 3, &one),
    ] {
        let cosigned = ask(state, again, &Witnessing::default()).unwrap();
        assert_eq!(cosigned.events, one.head().size);
    }

    home.append("second");
    let two = home.head();
    assert!(matches!(
        refused(state, two.to_string().as_bytes(), &first()),
        WitnessRefusal::NotShown { .. }
    ));
    let cosigned = ask(
        state,
        &next_proof(&home, &one, &two),
        &Witnessing::default(),
    )
    .unwrap();
    assert_eq!(cosigned.seen_before, Some(one.head().size));
    assert!(matches!(
        refused(state, &proof, &first()),
        WitnessRefusal::Earlier { .. }
    ));

    home.append("third");
    let three = home.head();
    let request = add_checkpoint(&home, two.head().size, &three);
    assert_eq!(
        ask(state, &request, &Witnessing::default()).unwrap().events,
        three.head().size
    );
    let state = WitnessState::open(state).unwrap();
    let last = state.last(&three.head().origin.to_string()).unwrap();
    assert_eq!(last.unwrap().head(), three.head());
    assert_eq!(state.last("provara/other/main").unwrap(), None);
}

#[test]
fn another_history_under_the_same_origin_is_evidence() {
    let (home, state) = (Home::new(), tempfile::tempdir().unwrap());
    let state = state.path();
    let one = home.head();
    ask(state, &first_proof(&home, &one), &first()).unwrap();
    // Whoever holds the key can sign another tree of the same size.
    let other = TreeHead {
        root: Digest::of(b"another history"),
        ..one.head().clone()
    };
    let other = other.sign(&home.fixture.keyfile.keys()[0]);
    let refusal = refused(state, other.to_string().as_bytes(), &first());
    let WitnessRefusal::Contradiction {
        kept: Some(kept), ..
    } = refusal
    else {
        panic!("{refusal:?}");
    };
    assert_eq!(std::fs::read_to_string(kept).unwrap(), other.to_string());
    // Anybody else cannot: nothing is kept of what no key of the vault signed.
    let foreign = TreeHead {
        root: Digest::of(b"a third history"),
        ..one.head().clone()
    };
    let foreign = foreign.sign(&provara_core::keys::SigningKey::from_seed(&[9; 32]));
    assert!(matches!(
        refused(state, foreign.to_string().as_bytes(), &first()),
        WitnessRefusal::Unsigned { .. }
    ));
    // What it saw stands.
    ask(state, one.to_string().as_bytes(), &first()).unwrap();
}

#[test]
fn of_a_fork_the_head_is_kept_that_contradicts() {
    let (home, state) = (Home::new(), tempfile::tempdir().unwrap());
    let state = state.path();
    let fork = crate::common::copy(&home.vault, &home.fixture.outside().join("fork"));
    let fork = fork
        .with_state_directory(home.fixture.outside().join("elsewhere"))
        .with_memory(true);
    let keyfile = &home.fixture.keyfile;
    let origin = home.head().head().origin.clone();
    let publish = |vault: &provara_vault::Vault| {
        let options = provara_vault::TreeHeadOptions {
            copy: Some(origin.copy.clone()),
            ..Default::default()
        };
        let note = vault.tree_head(keyfile, &options).unwrap().note;
        SignedHead::parse(note.as_bytes()).unwrap()
    };
    home.append("ours");
    let ours = home.head();
    ask(state, &first_proof(&home, &ours), &first()).unwrap();
    fork.append(&note("b", "theirs"), keyfile).unwrap();
    let theirs = publish(&fork);
    fork.append(&note("b", "and more"), keyfile).unwrap();
    let later = publish(&fork);
    assert_eq!(theirs.head().size, ours.head().size);
    let log = fork.snapshot().unwrap().unverified();
    let proof = fork.prove_consistency(&log, &theirs, &later).unwrap();
    let refusal = refused(state, &proof.to_json(), &Witnessing::default());
    let WitnessRefusal::Contradiction {
        kept: Some(kept), ..
    } = refusal
    else {
        panic!("{refusal:?}");
    };
    assert_eq!(std::fs::read_to_string(kept).unwrap(), theirs.to_string());
    // What it saw stands, and is gone on from.
    home.append("ours again");
    let next = next_proof(&home, &ours, &home.head());
    ask(state, &next, &Witnessing::default()).unwrap();
}

#[test]
fn a_request_with_a_wrong_proof_or_of_another_form_is_refused() {
    let (home, state) = (Home::new(), tempfile::tempdir().unwrap());
    let state = state.path();
    let one = home.head();
    ask(state, &first_proof(&home, &one), &first()).unwrap();
    home.append("second");
    home.append("third");
    let two = home.head();
    let good = String::from_utf8(add_checkpoint(&home, one.head().size, &two)).unwrap();
    let lines = good.lines().position(str::is_empty).unwrap() - 1;
    assert!(lines > 0);
    let without = good.split_once('\n').map(|(old, rest)| {
        let rest = rest.split_once('\n').unwrap().1;
        format!("{old}\n{rest}")
    });
    let changed = good.replacen(&good.lines().nth(1).unwrap()[..4], "AAAA", 1);
    for wrong in [without.unwrap(), changed] {
        assert!(matches!(
            refused(state, wrong.as_bytes(), &first()),
            WitnessRefusal::NotShown { .. }
        ));
    }
    let origin = one.head().origin.to_string();
    for malformed in [
        good.replacen("old 3", "old 03", 1),
        good.replacen("old 3", "old -3", 1),
        good.replacen("old 3", "old ", 1),
        good.replacen("old 3\n", &format!("old 3\n{}", "A\n".repeat(3)), 1),
        good.replacen(
            "old 3\n",
            &format!(
                "old 3\n{}",
                format!("{}\n", Digest::of(b"").to_base64()).repeat(64)
            ),
            1,
        ),
        "old 3\n".to_owned(),
    ] {
        assert_ne!(malformed, good);
        assert!(matches!(
            refused(state, malformed.as_bytes(), &first()),
            WitnessRefusal::Malformed(_)
        ));
    }
    assert!(matches!(
        refused(
            state,
            good.replacen(&origin, "example.com/log", 1).as_bytes(),
            &first()
        ),
        WitnessRefusal::Head(_)
    ));
    ask(state, good.as_bytes(), &Witnessing::default()).unwrap();
}

#[test]
fn what_a_witness_remembers_is_not_read_from_a_damaged_file() {
    let (home, state) = (Home::new(), tempfile::tempdir().unwrap());
    let state = state.path();
    let one = home.head();
    ask(state, &first_proof(&home, &one), &first()).unwrap();
    let file = std::fs::read_dir(state).unwrap();
    let file = file.map(|it| it.unwrap().path());
    let file = file
        .into_iter()
        .find(|it| it.extension().is_some_and(|it| it == "seen"))
        .unwrap();
    let text = std::fs::read(&file).unwrap();
    for length in [0, 1, text.len() / 2, text.len() - 1] {
        std::fs::write(&file, &text[..length]).unwrap();
        let failed = ask(state, one.to_string().as_bytes(), &first());
        assert!(
            matches!(failed, Err(VaultError::Io { .. })),
            "{length}: {failed:?}"
        );
    }
}
