//! Under one origin nothing is ever published that contradicts what was.

use super::*;

/// Puts what is in `from` in the place of what is in `vault`.
fn put_back(vault: &Vault, from: &Vault) {
    fs::copy(from.log_path(), vault.log_path()).unwrap();
    for file in provara_vault::layout::SEAL {
        fs::copy(from.path().join(file), vault.path().join(file)).unwrap();
    }
}

fn named(copy: &str) -> TreeHeadOptions {
    TreeHeadOptions {
        copy: Some(copy.parse().unwrap()),
        ..options()
    }
}

#[test]
fn no_head_is_signed_that_contradicts_one_that_was() {
    let (fixture, vault) = home();
    let old = copy(&vault, &fixture.outside().join("old"));
    append(&fixture, &vault, "published");
    let head = publish(&vault, &fixture.keyfile, &options());
    // What was published goes, and the machine's memory of the rest with it: another state is put there.
    fs::copy(old.log_path(), vault.log_path()).unwrap();
    for file in provara_vault::layout::SEAL {
        fs::copy(old.path().join(file), vault.path().join(file)).unwrap();
    }
    let error = vault.tree_head(&fixture.keyfile, &options()).unwrap_err();
    assert!(
        matches!(error, VaultError::NotAsRemembered { .. }),
        "{error}"
    );
    // An owner who accepts it is told, and publishes under a new origin.
    let accepted = vault.accept().unwrap();
    let told = accepted.heads_given_up.unwrap();
    assert!(
        told.contains(&head.head.head().origin.to_string()),
        "{told}"
    );
    let next = publish(&vault, &fixture.keyfile, &options());
    assert_ne!(next.head.head().origin, head.head.head().origin);
}

#[test]
fn a_copy_goes_on_under_its_name_where_it_is_moved() {
    let (fixture, vault) = home();
    let named = TreeHeadOptions {
        copy: Some("ward-3".parse().unwrap()),
        ..options()
    };
    let head = publish(&vault, &fixture.keyfile, &named);
    assert_eq!(head.head.head().origin.copy.as_str(), "ward-3");
    let again = publish(&vault, &fixture.keyfile, &named);
    assert_eq!(again, head);
    let other_name = TreeHeadOptions {
        copy: Some("ward-4".parse().unwrap()),
        ..options()
    };
    let refused = refusal(vault.tree_head(&fixture.keyfile, &other_name));
    assert!(
        matches!(refused, HeadRefusal::OtherName { .. }),
        "{refused}"
    );
    let moved = copy(&vault, &fixture.outside().join("moved"));
    let moved = with_memory(&moved, &fixture.outside().join("new machine"));
    append(&fixture, &moved, "there");
    let going_on = TreeHeadOptions {
        continues: Some(head.clone()),
        ..options()
    };
    let next = publish(&moved, &fixture.keyfile, &going_on);
    assert_eq!(next.head.head().origin, head.head.head().origin);
    // Of a copy that went another way it is none.
    let stray = copy(&fixture.vault, &fixture.outside().join("stray"));
    let stray = with_memory(&stray, &fixture.outside().join("third machine"));
    append(&fixture, &stray, "otherwise");
    let going_on = TreeHeadOptions {
        continues: Some(next),
        ..options()
    };
    let refused = refusal(stray.tree_head(&fixture.keyfile, &going_on));
    assert!(matches!(refused, HeadRefusal::Broken(_)), "{refused}");
}

#[test]
fn a_memory_that_is_forgotten_begins_a_new_origin() {
    let (fixture, vault) = home();
    let head = publish(&vault, &fixture.keyfile, &options());
    let forgotten = forget(&fixture.state(), &Which::At(vault.path().to_owned())).unwrap();
    assert_eq!(forgotten.len(), 1);
    let next = publish(&vault, &fixture.keyfile, &options());
    assert_ne!(next.head.head().origin, head.head.head().origin);
    let begun = TreeHeadOptions {
        break_heads: true,
        ..options()
    };
    let third = publish(&vault, &fixture.keyfile, &begun);
    assert_ne!(third.head.head().origin, next.head.head().origin);
    assert!(hold(&vault, &[&head, &next, &third]).is_valid());
}

#[test]
fn an_append_gives_a_head_with_its_receipt_once_one_was_published() {
    let (fixture, vault) = home();
    let with_head = |text: &str| AppendRequest {
        with_head: true,
        ..note("a", text)
    };
    let before = fixture.log();
    let refused = vault
        .append(&with_head("none yet"), &fixture.keyfile)
        .unwrap_err();
    assert!(
        matches!(refused, VaultError::TreeHead(HeadRefusal::NoneYet)),
        "{refused}"
    );
    assert_eq!(fixture.log(), before, "nothing was appended");
    let first = publish(&vault, &fixture.keyfile, &options());
    append(&fixture, &vault, "between");
    let mut heads = vec![first];
    for number in 0..3 {
        let receipt = vault
            .append(&with_head(&format!("{number}")), &fixture.keyfile)
            .unwrap();
        let head = kept(&receipt.tree_head.unwrap());
        assert_eq!(head.head.head().size, receipt.line);
        heads.push(head);
    }
    append(&fixture, &vault, "after");
    let all: Vec<_> = heads.iter().collect();
    assert!(hold(&elsewhere(&vault), &all).is_valid());
    let origin = &heads[0].head.head().origin;
    assert!(heads.iter().all(|head| head.head.head().origin == *origin));
    // The next one goes on from those.
    let next = publish(&vault, &fixture.keyfile, &options());
    assert_eq!(next.head.head().origin, *origin);
    // Of a machine that remembers less than was published nothing is signed.
    let records = fixture.state().join("memory/vaults");
    fs::remove_dir_all(&records).unwrap();
    let before = fixture.log();
    let refused = vault
        .append(&with_head("blind"), &fixture.keyfile)
        .unwrap_err();
    assert!(matches!(refused, VaultError::Memory { .. }), "{refused}");
    assert_eq!(fixture.log(), before, "nothing was appended");
    let next = publish(&vault, &fixture.keyfile, &options());
    assert_eq!(next.head.head().origin, *origin);
    vault
        .append(&with_head("looked"), &fixture.keyfile)
        .unwrap();
}

#[test]
fn a_name_that_was_given_up_is_never_gone_on_under() {
    let (fixture, vault) = home();
    let old = copy(&vault, &fixture.outside().join("old"));
    append(&fixture, &vault, "published");
    let head = publish(&vault, &fixture.keyfile, &named("main"));
    put_back(&vault, &old);
    vault.accept().unwrap();
    append(&fixture, &vault, "otherwise");
    // By whatever way it is asked for.
    let refused = refusal(vault.tree_head(&fixture.keyfile, &named("main")));
    assert!(matches!(refused, HeadRefusal::Broken(_)), "{refused}");
    let anew = TreeHeadOptions {
        break_heads: true,
        ..named("main")
    };
    let refused = refusal(vault.tree_head(&fixture.keyfile, &anew));
    assert!(matches!(refused, HeadRefusal::NameTaken(_)), "{refused}");
    forget(&fixture.state(), &Which::At(vault.path().to_owned())).unwrap();
    let refused = refusal(vault.tree_head(&fixture.keyfile, &named("main")));
    assert!(matches!(refused, HeadRefusal::Broken(_)), "{refused}");
    let going_on = TreeHeadOptions {
        continues: Some(head.clone()),
        ..options()
    };
    let refused = refusal(vault.tree_head(&fixture.keyfile, &going_on));
    assert!(matches!(refused, HeadRefusal::Broken(_)), "{refused}");
    let next = publish(&vault, &fixture.keyfile, &options());
    assert_ne!(next.head.head().origin, head.head.head().origin);
}

#[test]
fn a_name_is_given_up_by_a_merge_that_breaks_heads() {
    let (fixture, vault) = home();
    let other = with_an_earlier_event(&fixture, &vault);
    publish(&vault, &fixture.keyfile, &named("main"));
    let breaking = MergeOptions {
        break_heads: true,
        ..MergeOptions::default()
    };
    vault.merge(&other, &fixture.keyfile, &breaking).unwrap();
    let refused = refusal(vault.tree_head(&fixture.keyfile, &named("main")));
    assert!(matches!(refused, HeadRefusal::Broken(_)), "{refused}");
    publish(&vault, &fixture.keyfile, &named("second"));
}

#[test]
fn two_copies_on_one_machine_never_part_under_one_origin() {
    let (fixture, vault) = home();
    let first = publish(&vault, &fixture.keyfile, &named("main"));
    let twin = copy(&vault, &fixture.outside().join("twin"));
    let twin = with_memory(&twin, &fixture.state());
    let going_on = TreeHeadOptions {
        continues: Some(first),
        ..options()
    };
    // The twin goes on as the copy; what that one then has of its own is published by nobody.
    append(&fixture, &twin, "of the twin");
    publish(&twin, &fixture.keyfile, &going_on);
    append(&fixture, &vault, "of its own");
    append(&fixture, &vault, "and more");
    let refused = refusal(vault.tree_head(&fixture.keyfile, &options()));
    assert!(matches!(refused, HeadRefusal::Broken(_)), "{refused}");
    let before = fixture.log();
    let with_head = AppendRequest {
        with_head: true,
        ..note("a", "x")
    };
    let refused = vault.append(&with_head, &fixture.keyfile).unwrap_err();
    assert!(matches!(refused, VaultError::Memory { .. }), "{refused}");
    assert_eq!(fixture.log(), before);
}

#[test]
fn a_record_that_was_damaged_vouches_for_nothing_that_was_published() {
    let (fixture, vault) = home();
    let old = copy(&vault, &fixture.outside().join("old"));
    append(&fixture, &vault, "published");
    publish(&vault, &fixture.keyfile, &named("main"));
    put_back(&vault, &old);
    let vaults = fixture.state().join("memory/vaults");
    for directory in fs::read_dir(&vaults).unwrap() {
        for file in fs::read_dir(directory.unwrap().path()).unwrap() {
            fs::write(file.unwrap().path(), [0; 100]).unwrap();
        }
    }
    for text in ["another", "and more"] {
        append(&fixture, &vault, text);
    }
    let with_head = AppendRequest {
        with_head: true,
        ..note("a", "x")
    };
    assert!(vault.append(&with_head, &fixture.keyfile).is_err());
    let refused = refusal(vault.tree_head(&fixture.keyfile, &named("main")));
    assert!(matches!(refused, HeadRefusal::Broken(_)), "{refused}");
}
