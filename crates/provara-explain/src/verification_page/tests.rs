use provara_vault::{HeadFolder, InitOptions, KeptHead, SignedHead, TreeHeadOptions, Vault, init};

use super::*;

struct Made {
    directory: tempfile::TempDir,
    vault: Vault,
    head: KeptHead,
}

impl Made {
    /// A vault whose path wants quoting, and a head of it in a file.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("it's a vault");
        let made = init(&path, &InitOptions::default()).unwrap();
        let vault = Vault::open(&path).unwrap();
        let vault = vault
            .with_state_directory(directory.path().join("state"))
            .with_memory(true);
        let keyfile = provara_vault::read_keyfile(&made.keyfile).unwrap();
        let signed = vault
            .tree_head(&keyfile, &TreeHeadOptions::default())
            .unwrap();
        let file = directory.path().join("a.head");
        std::fs::write(&file, &signed.note).unwrap();
        let head = KeptHead {
            source: file.to_string_lossy().into_owned(),
            head: SignedHead::parse(signed.note.as_bytes()).unwrap(),
        };
        Self {
            directory,
            vault,
            head,
        }
    }

    fn page(&self, options: VerifyOptions) -> (Examination, String) {
        let options = VerifyOptions {
            describe: true,
            ..options
        };
        let examination = self.vault.examine(&options).unwrap();
        let now = Timestamp::from_unix_micros(0).unwrap();
        let page = verification_page(&examination, &options, self.vault.path(), "9.8.7", now);
        (examination, page.unwrap())
    }
}

#[test]
fn a_page_is_the_same_for_the_same_vault_at_the_same_time() {
    let made = Made::new();
    let (_, one) = made.page(VerifyOptions::default());
    let (_, other) = made.page(VerifyOptions::default());
    assert_eq!(one, other);
    assert!(one.contains("1970-01-01 00:00:00 UTC by the clock of the machine"));
    assert!(one.contains("provara 9.8.7"));
}

#[test]
fn the_commands_ask_for_what_was_asked_for() {
    let made = Made::new();
    let root = made.vault.examine(&VerifyOptions {
        describe: true,
        ..VerifyOptions::default()
    });
    let root: provara_vault::KeyId = root
        .unwrap()
        .subject()
        .unwrap()
        .root_key_id
        .as_ref()
        .unwrap()
        .parse()
        .unwrap();
    let mut options = VerifyOptions {
        strict: true,
        allowed: vec![Code::W007],
        ..VerifyOptions::default()
    };
    let elsewhere = KeptHead {
        source: "no file".to_owned(),
        ..made.head.clone()
    };
    options.held.heads = vec![made.head.clone(), elsewhere];
    options.held.root_keys = vec![root];
    options.held.folder = Some(HeadFolder::read(made.directory.path()).unwrap());
    let (examination, _) = made.page(options.clone());
    let (subject, account) = (
        examination.subject().unwrap(),
        examination.account().unwrap(),
    );
    let vault = made.vault.path();
    let commands = commands(&options, &name_of(vault), vault, subject, account);
    let folder = made.directory.path().display();
    assert_eq!(
        commands,
        [
            format!(
                r"PROVARA_HEADS={folder} provara verify 'it'\''s a vault' --no-cache --head {} --head FILE --root-key {root} --strict --allow PROVARA_W007",
                made.head.source
            ),
            r"provara verify 'it'\''s a vault' --no-cache --json".to_owned(),
            r"cd 'it'\''s a vault' && sha256sum events/events.ndjson identity/genesis.json manifest.json manifest.sig".to_owned(),
        ]
    );
    // One in the folder, one by its file, and one by a program.
    assert_eq!(heads(account).len(), 3);
}

#[test]
fn what_was_found_is_looked_for_in_its_line() {
    let line = br#"{"a":"evt_1","event_id":"evt_1"}"#;
    assert_eq!(value_at(line, Some("evt_1")), 5);
    assert_eq!(value_at(line, Some("evt_2")), 0);
    assert_eq!(value_at(line, Some("a")), 0);
    assert_eq!(value_at(line, None), 0);
    assert_eq!(value_at(b"", Some("evt_1")), 0);
}

#[test]
fn findings_of_one_rule_stand_together_and_the_rest_is_counted() {
    let made = Made::new();
    let log = made.vault.log_path();
    let mut text = std::fs::read(&log).unwrap();
    text.extend(b"{}\n".repeat(7));
    text.extend(b"no event\n");
    std::fs::write(&log, text).unwrap();
    let (examination, page) = made.page(VerifyOptions::default());
    let groups = groups(&examination, made.vault.path());
    let all: u64 = groups
        .iter()
        .map(|group| group.first.len() as u64 + group.more)
        .sum();
    assert_eq!(all, examination.report().findings().len() as u64);
    assert!(groups.iter().all(|group| group.first.len() <= SHOWN));
    let missing = groups
        .iter()
        .find(|group| group.code == Code::E300)
        .unwrap();
    assert!(missing.is_error && missing.first.len() == SHOWN && missing.more > 0);
    let codes: HashSet<_> = groups.iter().map(|group| group.code.as_str()).collect();
    assert_eq!(codes.len(), groups.len());
    assert!(groups.is_sorted_by_key(|group| !group.is_error));
    assert!(page.contains("more of this kind"));
}
