//! Disclosures: what is in one, and what else is refused.

use provara_core::tree_head::SignedHead;
use provara_vault::{Anchor, Chosen, Disclosure, DisclosureError, VerifyOptions};

use super::{Home, SECONDS};

fn disclosed(home: &Home, head: &SignedHead, anchors: Vec<Anchor>) -> Disclosure {
    let log = home.vault.examine(&VerifyOptions::default()).unwrap();
    let log = log.verified().unwrap().into_source();
    let at = Chosen::At([2, 3].into());
    let proof = home.vault.prove(&log, head, &at).unwrap();
    Disclosure::new(proof, "lines 2 and 3 <of> \u{2028} it".to_owned(), anchors)
}

#[test]
fn a_disclosure_has_one_text_and_anchors_of_its_tree_alone() {
    let home = Home::new();
    // Without a witness's signature, which nobody checks who names no witness.
    let head = home.head();
    let (first, token) = (home.cosigned(1, SECONDS), b"no token".to_vec());
    let stamped = Anchor::TimeStamp {
        head: home.head(),
        token,
    };
    home.append("later");
    let later = home.cosigned(2, SECONDS);
    let all = || {
        let heads = [&later, &first, &first].map(|it| Anchor::Head(it.clone()));
        // One that nobody but the vault signed is none.
        let alone = Anchor::Head(home.head());
        heads.into_iter().chain([stamped.clone(), alone]).collect()
    };
    let one = disclosed(&home, &head, all());
    assert_eq!(one.anchors.len(), 2, "the later one is of another tree");
    let text = one.to_json();
    assert_eq!(Disclosure::parse(&text).unwrap(), one);
    let proven = one.check(Some(&head), &[]).unwrap();
    let lines: Vec<_> = proven.events.iter().map(|it| it.line).collect();
    assert_eq!(lines, [1, 2, 3]);
    assert!(one.check(Some(&later), &[]).is_err());
    // What somebody puts beside the events.
    let other = Disclosure {
        anchors: vec![Anchor::Head(later.clone())],
        ..one.clone()
    };
    let other = Disclosure::parse(&other.to_json()).unwrap();
    let refused = other.check(Some(&head), &[]).unwrap_err();
    assert!(
        matches!(refused, DisclosureError::OtherHead(_)),
        "{refused}"
    );
    for twice in [true, false] {
        let mut anchors = one.anchors.clone();
        match twice {
            true => anchors.push(anchors[1].clone()),
            false => anchors.reverse(),
        }
        let changed = Disclosure {
            anchors,
            ..one.clone()
        };
        let refused = Disclosure::parse(&changed.to_json()).unwrap_err();
        assert!(refused.to_string().contains("order"), "{refused}");
    }
    let text = String::from_utf8(text).unwrap();
    let asked = text.find("\"asked\":\"").unwrap() + 9..text.find("\",\"proof\":{").unwrap();
    for at in (0..text.len()).filter(|at| !asked.contains(at)).step_by(7) {
        let mut changed = text.clone().into_bytes();
        changed[at] ^= 1;
        let taken = Disclosure::parse(&changed);
        let taken = taken.is_ok_and(|it| it.check(Some(&head), &[]).is_ok());
        assert!(!taken, "byte {at}");
    }
    let longer = format!(" {text}");
    assert!(Disclosure::parse(longer.as_bytes()).is_err());
}
