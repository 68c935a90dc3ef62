//! Proofs over the event tree: that an event is in it, that several are (and, of a range, that nothing between them
//! was left out), that a larger tree begins with a smaller one (RFC 9162, sections 2.1.3 and 2.1.4).
//!
//! What a proof is made of are the roots of subtrees. Whoever makes one says what the root over a range of
//! leaves is; only ranges are asked for that are subtrees of the tree (RFC 9162, section 2.1.1).

use std::ops::Range;

use super::node;
use crate::id::Digest;

/// Gives the root of the subtree over the leaves `from..to`.
pub trait Subtrees {
    /// The root over these leaves, of which there is at least one.
    fn root(&self, leaves: Range<u64>) -> Digest;
}

impl Subtrees for [Digest] {
    fn root(&self, leaves: Range<u64>) -> Digest {
        root_over(&self[leaves.start as usize..leaves.end as usize])
    }
}

/// The root over these leaves; of none it is SHA-256 of nothing.
#[must_use]
pub fn root_over(leaves: &[Digest]) -> Digest {
    let mut tree = super::EventTree::new();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

/// Where a tree of `size` leaves, two or more, is split: the largest power of two below its size.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The proof that a leaf is in the tree of `size` leaves: the siblings on the way from it to the root, its own
/// first (RFC 9162, section 2.1.3.1). Its position counts from 0 and is below `size`.
#[must_use]
pub fn inclusion(subtrees: &(impl Subtrees + ?Sized), index: u64, size: u64) -> Vec<Digest> {
    let mut siblings = Vec::new();
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            siblings.push(subtrees.root(middle..to));
            to = middle;
        } else {
            siblings.push(subtrees.root(from..middle));
            from = middle;
        }
    }
    siblings.reverse();
    siblings
}

/// The root of the tree of `size` leaves that has `leaf` at `index`, as a proof of its inclusion has it (RFC 9162,
/// section 2.1.3.2); `None` where the proof is of another shape.
#[must_use]
pub fn root_of_inclusion(leaf: Digest, index: u64, size: u64, proof: &[Digest]) -> Option<Digest> {
    if index >= size {
        return None;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut root = leaf;
    for sibling in proof {
        if last == 0 {
            return None;
        }
        if at % 2 == 1 || at == last {
            root = node(*sibling, root);
            // The last node of a level may have no sibling there, on several levels.
            while at % 2 == 0 && at != 0 {
                at /= 2;
                last /= 2;
            }
        } else {
            root = node(root, *sibling);
        }
        at /= 2;
        last /= 2;
    }
    (last == 0).then_some(root)
}

/// The proof that the tree of `size` leaves begins with that of `old` leaves (RFC 9162, section 2.1.4.1), where
/// `old` is from 1 to `size`. Of a tree with itself it is empty.
#[must_use]
pub fn consistency(subtrees: &(impl Subtrees + ?Sized), old: u64, size: u64) -> Vec<Digest> {
    let mut proof = Vec::new();
    let (mut from, mut to) = (0, size);
    // Whether the old tree is a subtree of the new one so far, whose root the verifier knows.
    let mut whole = true;
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            proof.push(subtrees.root(middle..to));
            to = middle;
        } else {
            proof.push(subtrees.root(from..middle));
            from = middle;
            whole = false;
        }
    }
    if !whole {
        proof.push(subtrees.root(from..to));
    }
    proof.reverse();
    proof
}

/// Whether the tree of `size` leaves with the root `root` begins with that of `old` leaves with `old_root`, as the
/// proof shows (RFC 9162, section 2.1.4.2). Every tree begins with the empty one, of which the proof is empty.
#[must_use]
pub fn is_consistent(
    (old, old_root): (u64, Digest),
    (size, root): (u64, Digest),
    proof: &[Digest],
) -> bool {
    if old == 0 || old == size {
        let same = old == size && old_root == root;
        return proof.is_empty() && (same || (old == 0 && old_root == root_over(&[])));
    }
    if old > size {
        return false;
    }
    // A whole old tree is its own first step.
    let own = old.is_power_of_two().then_some(old_root);
    let mut steps = own.into_iter().chain(proof.iter().copied());
    let Some(first) = steps.next() else {
        return false;
    };
    let (mut at, mut last) = (old - 1, size - 1);
    while at % 2 == 1 {
        at /= 2;
        last /= 2;
    }
    let (mut of_old, mut of_new) = (first, first);
    for sibling in steps {
        if last == 0 {
            return false;
        }
        if at % 2 == 1 || at == last {
            of_old = node(sibling, of_old);
            of_new = node(sibling, of_new);
            while at % 2 == 0 && at != 0 {
                at /= 2;
                last /= 2;
            }
        } else {
            of_new = node(of_new, sibling);
        }
        at /= 2;
        last /= 2;
    }
    last == 0 && of_old == old_root && of_new == root
}

/// The proof that the leaves at the ascending places `chosen`, one or more, are in the tree of `size` leaves: the roots
/// of the largest subtrees that hold none of them, from the left to the right. Of a range of leaves it also shows that
/// nothing between them was left out, as their places follow each other.
#[must_use]
pub fn subset(subtrees: &(impl Subtrees + ?Sized), chosen: &[u64], size: u64) -> Vec<Digest> {
    let mut proof = Vec::new();
    others(chosen, 0..size, &mut |leaves| {
        proof.push(subtrees.root(leaves));
    });
    proof
}

/// Tells the largest subtrees of `tree` that hold none of the places `chosen`, all of which are in it.
fn others(chosen: &[u64], tree: Range<u64>, told: &mut impl FnMut(Range<u64>)) {
    if chosen.is_empty() {
        told(tree);
    } else if (chosen.len() as u64) < tree.end - tree.start {
        let middle = tree.start + split(tree.end - tree.start);
        let (left, right) = chosen.split_at(chosen.partition_point(|at| *at < middle));
        others(left, tree.start..middle, told);
        others(right, middle..tree.end, told);
    }
}

/// The root of the tree of `size` leaves that has each of `leaves` at its place, as a proof of a [`subset`] has it;
/// `None` where the proof is of another shape, or the places do not ascend.
#[must_use]
pub fn root_of_subset(leaves: &[(u64, Digest)], size: u64, proof: &[Digest]) -> Option<Digest> {
    let ascend = leaves.is_sorted_by(|(one, _), (next, _)| one < next);
    let last = leaves.last()?.0;
    if !ascend || last >= size {
        return None;
    }
    let mut given = proof.iter();
    let root = join(leaves, 0..size, &mut given)?;
    given.as_slice().is_empty().then_some(root)
}

/// The proof that the leaf at `index`, one of `leaves`, is in the tree ([`inclusion`]), out of a proof of a [`subset`]:
/// whatever stands beside its way to the root is known from that. `None` as for [`root_of_subset`].
#[must_use]
pub fn inclusion_of_subset(
    leaves: &[(u64, Digest)],
    size: u64,
    proof: &[Digest],
    index: u64,
) -> Option<Vec<Digest>> {
    root_of_subset(leaves, size, proof)?;
    let (mut leaves, mut tree) = (leaves, 0..size);
    let mut given = proof.iter();
    // What stands at the right of the way comes after what is below the way, in the order in which digests are given.
    let mut later = Vec::new();
    let mut siblings = Vec::new();
    while tree.end - tree.start > 1 {
        let middle = tree.start + split(tree.end - tree.start);
        let (left, right) = leaves.split_at(leaves.partition_point(|(at, _)| *at < middle));
        if index < middle {
            later.push((siblings.len(), right, middle..tree.end));
            siblings.push(Digest([0; 32]));
            (leaves, tree) = (left, tree.start..middle);
        } else {
            siblings.push(join(left, tree.start..middle, &mut given)?);
            (leaves, tree) = (right, middle..tree.end);
        }
    }
    leaves.iter().find(|(at, _)| *at == index)?;
    while let Some((place, leaves, tree)) = later.pop() {
        siblings[place] = join(leaves, tree, &mut given)?;
    }
    siblings.reverse();
    Some(siblings)
}

/// The root of a subtree, of the leaves of it that are known and of what was given for the rest.
fn join<'d>(
    leaves: &[(u64, Digest)],
    tree: Range<u64>,
    given: &mut impl Iterator<Item = &'d Digest>,
) -> Option<Digest> {
    if leaves.is_empty() {
        return given.next().copied();
    }
    if leaves.len() as u64 == tree.end - tree.start {
        let mut whole = super::EventTree::new();
        leaves.iter().for_each(|(_, leaf)| whole.push(*leaf));
        return Some(whole.root());
    }
    let middle = tree.start + split(tree.end - tree.start);
    let (left, right) = leaves.split_at(leaves.partition_point(|(at, _)| *at < middle));
    let left = join(left, tree.start..middle, given)?;
    let right = join(right, middle..tree.end, given)?;
    Some(node(left, right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u64) -> Vec<Digest> {
        let leaf = |number: u64| Digest::of(&number.to_le_bytes());
        (0..count).map(leaf).collect()
    }

    /// Each digest of a proof with one bit flipped, each left out, and one more.
    fn spoilt(proof: &[Digest]) -> Vec<Vec<Digest>> {
        let mut all = Vec::new();
        for at in 0..proof.len() {
            let mut flipped = proof.to_vec();
            flipped[at].0[at % 32] ^= 1 << (at % 8);
            let mut without = proof.to_vec();
            without.remove(at);
            all.extend([flipped, without]);
        }
        let mut longer = proof.to_vec();
        longer.push(Digest::of(b"one more"));
        all.push(longer);
        all
    }

    #[test]
    fn every_event_of_every_small_tree_is_proven_and_nothing_else_is() {
        for size in 1..=130 {
            let leaves = leaves(size);
            let root = root_over(&leaves);
            for index in 0..size {
                let proof = inclusion(&leaves[..], index, size);
                let leaf = leaves[index as usize];
                assert_eq!(root_of_inclusion(leaf, index, size, &proof), Some(root));
                for spoilt in spoilt(&proof) {
                    assert_ne!(root_of_inclusion(leaf, index, size, &spoilt), Some(root));
                }
                let other = Digest::of(b"another leaf");
                assert_ne!(root_of_inclusion(other, index, size, &proof), Some(root));
                let beside = (index + 1) % size;
                if beside != index {
                    assert_ne!(root_of_inclusion(leaf, beside, size, &proof), Some(root));
                }
                assert_eq!(root_of_inclusion(leaf, size, size, &proof), None);
            }
        }
    }

    #[test]
    fn every_small_tree_goes_on_from_every_smaller_one_and_from_no_other() {
        let all = leaves(70);
        for size in 0..=70 {
            let root = root_over(&all[..size as usize]);
            for old in 0..=size {
                let old_root = root_over(&all[..old as usize]);
                let proof = match old {
                    0 => Vec::new(),
                    _ => consistency(&all[..], old, size),
                };
                assert!(
                    is_consistent((old, old_root), (size, root), &proof),
                    "{old}, {size}"
                );
                let wrong = Digest::of(b"wrong");
                assert!(
                    !is_consistent((old, wrong), (size, root), &proof),
                    "{old}, {size}"
                );
                assert!(!is_consistent((size + 1, old_root), (size, root), &proof));
                if old > 0 {
                    assert!(!is_consistent((old, old_root), (size, wrong), &proof));
                }
                for spoilt in spoilt(&proof) {
                    assert!(!is_consistent((old, old_root), (size, root), &spoilt));
                }
            }
        }
    }

    /// The leaves at these places, with them.
    fn at(leaves: &[Digest], chosen: &[u64]) -> Vec<(u64, Digest)> {
        let at = |place: &u64| (*place, leaves[*place as usize]);
        chosen.iter().map(at).collect()
    }

    #[test]
    fn what_stands_beside_an_event_is_known_from_a_proof_of_several() {
        for size in 1..=70 {
            let leaves = leaves(size);
            for index in 0..size {
                // As a proof of an event has them: the first event, and others that speak of keys.
                for beside in [
                    vec![0],
                    vec![0, size / 2],
                    vec![0, size - 1],
                    (0..size).collect(),
                ] {
                    let mut chosen = beside;
                    chosen.push(index);
                    chosen.sort_unstable();
                    chosen.dedup();
                    let proof = subset(&leaves[..], &chosen, size);
                    let known = at(&leaves, &chosen);
                    let found = inclusion_of_subset(&known, size, &proof, index);
                    assert_eq!(found, Some(inclusion(&leaves[..], index, size)));
                    if let Some((_, cut)) = proof.split_last() {
                        assert_eq!(inclusion_of_subset(&known, size, cut, index), None);
                    }
                }
            }
            let known = at(&leaves, &[0]);
            let proof = subset(&leaves[..], &[0], size);
            assert_eq!(inclusion_of_subset(&known, size, &proof, size), None);
            if size > 1 {
                assert_eq!(inclusion_of_subset(&known, size, &proof, 1), None);
            }
        }
    }

    #[test]
    fn every_range_of_every_small_tree_is_proven_and_nothing_else_is() {
        for size in 1..=40 {
            let leaves = leaves(size);
            let root = Some(root_over(&leaves));
            for start in 0..size {
                for end in start + 1..=size {
                    let chosen: Vec<_> = (start..end).collect();
                    let proof = subset(&leaves[..], &chosen, size);
                    let within = at(&leaves, &chosen);
                    assert_eq!(root_of_subset(&within, size, &proof), root);
                    for spoilt in spoilt(&proof) {
                        assert_ne!(root_of_subset(&within, size, &spoilt), root);
                    }
                    if let [first, .., last] = &within[..] {
                        // One of them left out, two of them exchanged, all of them moved.
                        assert_ne!(root_of_subset(&within[1..], size, &proof), root);
                        let mut exchanged = within.clone();
                        exchanged[0].1 = last.1;
                        exchanged[within.len() - 1].1 = first.1;
                        assert_ne!(root_of_subset(&exchanged, size, &proof), root);
                    }
                    let moved: Vec<_> = within.iter().map(|(at, leaf)| (at + 1, *leaf)).collect();
                    assert_ne!(root_of_subset(&moved, size, &proof), root);
                }
            }
            let first = (0, leaves[0]);
            assert_eq!(root_of_subset(&[], size, &[root_over(&leaves)]), None);
            assert_eq!(root_of_subset(&[first, first], size, &[]), None);
            assert_eq!(root_of_subset(&[(size, leaves[0])], size, &[]), None);
        }
    }

    #[test]
    fn every_choice_of_every_very_small_tree_is_proven() {
        for size in 1..=10_u64 {
            let leaves = leaves(size);
            let root = Some(root_over(&leaves));
            for choice in 1_u64..1 << size {
                let chosen: Vec<_> = (0..size).filter(|at| choice >> at & 1 == 1).collect();
                let proof = subset(&leaves[..], &chosen, size);
                let known = at(&leaves, &chosen);
                assert_eq!(root_of_subset(&known, size, &proof), root, "{choice:b}");
                let mut changed = known.clone();
                changed[0].1.0[0] ^= 1;
                assert_ne!(root_of_subset(&changed, size, &proof), root);
            }
        }
    }

    #[test]
    fn a_choice_of_one_has_the_digests_of_its_inclusion() {
        let leaves = leaves(100);
        for index in 0..100 {
            let mut one = subset(&leaves[..], &[index], 100);
            let mut inclusion = inclusion(&leaves[..], index, 100);
            one.sort_unstable();
            inclusion.sort_unstable();
            assert_eq!(one, inclusion);
        }
    }

    /// The proofs of the certificate transparency reference implementation for its tree of eight entries
    /// (`merkle_tree_test.cc`).
    #[test]
    fn the_proofs_of_certificate_transparency() {
        let entries = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let bytes = |text: &str| -> Vec<u8> {
            let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
            (0..text.len()).step_by(2).map(digit).collect()
        };
        let leaf = |text: &&str| Digest::of(&[&[0][..], &bytes(text)].concat());
        let leaves: Vec<_> = entries.iter().map(leaf).collect();
        let texts =
            |proof: Vec<Digest>| -> Vec<String> { proof.iter().map(ToString::to_string).collect() };
        assert_eq!(
            texts(inclusion(&leaves[..], 5, 8)),
            [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
        assert_eq!(
            texts(consistency(&leaves[..], 6, 8)),
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
    }
}
