//! What is remembered, what makes it void, and what it lets a host do without.

use super::*;
use crate::catalog::{EventTypeInfo, Origin, PluginInfo};
use crate::protocol::WireSource;
use crate::testing::TempDir;

/// A directory of packages, and a memory beside it.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> World {
        let dir = TempDir::new();
        fs::create_dir(dir.path().join("site")).unwrap();
        World { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The memory, as a new command finds it.
    fn claims(&self) -> Claims {
        let fresh = Notes {
            version: VERSION,
            environment: "one".to_owned(),
            places: [(self.text("site"), Stamp::of(&self.path("site")))].into(),
            ..Notes::default()
        };
        Claims::read(self.path("claims/one.json"), fresh)
    }

    /// Lets distributions of these names be known, each with a file of its own.
    fn learn(&self, distributions: &[(&str, &[&str])]) {
        for (name, _) in distributions {
            fs::write(self.path(&format!("site/{name}.py")), "x").unwrap();
        }
        let mut claims = self.claims();
        for (name, types) in distributions {
            let names = types.iter().map(|name| event(name)).collect();
            let files = [self.text(&format!("site/{name}.py")), self.text("absent")];
            assert!(claims.note(name, Some(names), files, later()));
        }
        claims.write(true).unwrap();
    }

    fn left(&self, name: &str) -> Option<Vec<String>> {
        let choice = self.claims().choose(PluginKind::EventType, name);
        choice.map(|choice| choice.left)
    }
}

fn event(name: &str) -> Claim {
    Claim::new(PluginKind::EventType, name)
}

/// When what was just written has been as it is for a while.
fn later() -> SystemTime {
    SystemTime::now() + SETTLED * 2
}

const THREE: [(&str, &[&str]); 3] = [
    ("a", &["org.example.a.event", "login"]),
    ("b", &["org.example.b.event"]),
    ("c", &["org.example.c.event"]),
];

#[test]
fn who_has_another_name_is_left_out() {
    let world = World::new();
    assert!(world.claims().disturbed, "nothing was there");
    world.learn(&THREE);
    let claims = world.claims();
    assert!(claims.is_complete() && !claims.disturbed);
    let left = |name| world.left(name).unwrap();
    assert_eq!(left("org.example.b.event"), ["a", "c"]);
    assert_eq!(left("ORG.example.B.Event"), ["a", "c"]);
    assert_eq!(left("Login"), ["b", "c"]);
    // Nobody is known to have it: then all are asked.
    assert_eq!(world.left("org.example.d.event"), None);
    let reducer = claims.choose(PluginKind::Reducer, "org.example.b.event");
    assert_eq!(reducer, None);
}

#[test]
fn who_shares_a_name_stays() {
    let world = World::new();
    world.learn(&[
        ("a", &["org.example.a.event", "login"]),
        ("b", &["org.example.b.event", "Login"]),
        ("c", &["org.example.c.event"]),
        ("d", &["org.example.d.event"]),
    ]);
    let left = |name| world.left(name).unwrap();
    assert_eq!(left("org.example.a.event"), ["c", "d"]);
    assert_eq!(left("login"), ["c", "d"]);
    // The two collide whatever is asked for, and every command tells it.
    assert_eq!(left("org.example.c.event"), ["d"]);
}

#[test]
fn who_cannot_be_used_is_never_left_out() {
    let world = World::new();
    world.learn(&THREE);
    let mut claims = world.claims();
    assert!(claims.note("b", None, [], later()));
    claims.write(true).unwrap();
    assert_eq!(world.left("org.example.a.event").unwrap(), ["c"]);
    assert_eq!(world.left("org.example.b.event"), None);
    assert!(world.claims().knows("b"));
}

#[test]
fn a_file_that_changes_takes_its_distribution_along() {
    type Change = fn(&World);
    let changes: [Change; 5] = [
        |world| fs::write(world.path("site/b.py"), "y").unwrap(),
        |world| {
            // The same bytes and the same times, in another file.
            let (path, new) = (world.path("site/b.py"), world.path("new"));
            let times = fs::metadata(&path).unwrap().modified().unwrap();
            fs::write(&new, "x").unwrap();
            let file = fs::File::options().write(true).open(&new).unwrap();
            file.set_modified(times).unwrap();
            fs::copy(&new, &path).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(times).unwrap();
        },
        |world| fs::remove_file(world.path("site/b.py")).unwrap(),
        // A package is installed: what is found under a name may be another module now.
        |world| fs::write(world.path("site/new.py"), "x").unwrap(),
        |world| fs::write(world.path("absent"), "x").unwrap(),
    ];
    for (number, change) in changes.iter().enumerate() {
        let world = World::new();
        world.learn(&THREE);
        std::thread::sleep(Duration::from_millis(15));
        change(&world);
        let claims = world.claims();
        assert!(claims.disturbed && !claims.is_complete(), "{number}");
        assert!(!claims.knows("b"), "{number}");
        let left = claims.choose(PluginKind::EventType, "org.example.a.event");
        let left = left.map(|choice| choice.left);
        // The first two touch one file; the others the directory, or what all looked at.
        let expected = (number < 2).then(|| vec!["c".to_owned()]);
        assert_eq!(left, expected, "{number}");
    }
}

#[test]
fn what_remains_keeps_its_files() {
    let world = World::new();
    world.learn(&THREE);
    fs::write(world.path("site/a.py"), "other").unwrap();
    let claims = world.claims();
    assert_eq!(claims.notes.files.len(), 3);
    claims.write(false).unwrap();
    assert!(world.claims().knows("b") && world.claims().knows("c"));
    fs::write(world.path("site/c.py"), "other").unwrap();
    assert!(world.claims().knows("b") && !world.claims().knows("c"));
}

#[test]
fn what_changed_just_now_is_not_noted() {
    let world = World::new();
    fs::write(world.path("site/a.py"), "x").unwrap();
    let mut claims = world.claims();
    assert!(!claims.is_settled(SystemTime::now()) && claims.is_settled(later()));
    let file = || [world.text("site/a.py")];
    assert!(!claims.note("a", None, file(), SystemTime::now()));
    assert!(claims.note("a", None, file(), later()));
    // Another process looked at another file of that name.
    fs::write(world.path("site/a.py"), "longer").unwrap();
    assert!(!claims.note("b", None, file(), later()));
    assert!(claims.knows("a") && !claims.knows("b"));
}

#[test]
fn what_never_settles_is_given_up() {
    let world = World::new();
    world.learn(&THREE);
    for count in 1..=MAX_IN_VAIN {
        let mut claims = world.claims();
        assert_eq!(claims.gives_up("d"), count == MAX_IN_VAIN, "{count}");
        claims.write(true).unwrap();
    }
    assert!(world.claims().knows("a") && !world.claims().knows("d"));
}

#[test]
fn what_is_no_memory_of_this_environment_counts_for_nothing() {
    let world = World::new();
    world.learn(&THREE);
    let file = world.path("claims/one.json");
    let good = fs::read_to_string(&file).unwrap();
    let all = [
        String::new(),
        "{".to_owned(),
        good.replace("\"one\"", "\"two\""),
        good.replace("\"version\":1", "\"version\":2"),
        good.replace("\"complete\"", "\"more\""),
        good.replace("\"inode\":", "\"inode\":1"),
    ];
    for text in all {
        assert_ne!(text, good);
        fs::write(&file, &text).unwrap();
        let claims = world.claims();
        assert!(claims.disturbed && !claims.is_complete(), "{text}");
        assert!(!claims.knows("a"), "{text}");
    }
}

#[test]
fn an_answer_counts_only_if_all_would_give_it() {
    let origin = || Origin {
        class: "m.C".to_owned(),
        distribution: None,
        version: None,
        source: WireSource::EntryPoint,
        entry_point: None,
        item: None,
    };
    let catalog = |types: &[&str], reducers: &[&str]| Catalog {
        event_types: types
            .iter()
            .map(|name| EventTypeInfo {
                event_type: name.parse().unwrap(),
                origin: origin(),
                alias: None,
                schema_version: "1.0".to_owned(),
                schema_json: String::new(),
                schemas_json: None,
                unusable: false,
            })
            .collect(),
        reducers: reducers
            .iter()
            .map(|name| PluginInfo {
                name: name.parse().unwrap(),
                origin: origin(),
                description: None,
            })
            .collect(),
        ..Catalog::default()
    };
    let world = World::new();
    world.learn(&THREE);
    let claims = world.claims();
    let choice = claims.choose(PluginKind::EventType, "org.example.a.event");
    let choice = choice.unwrap();
    assert!(choice.suffices(&catalog(&["org.example.a.event"], &[])));
    // Whoever had it has it no longer.
    assert!(!choice.suffices(&catalog(&["org.example.x.event"], &[])));
    // Somebody who was not known has a name of one that was left out.
    let both = ["org.example.a.event", "org.example.b.event"];
    assert!(!choice.suffices(&catalog(&both, &[])));
    // A reducer's name is another one.
    let apart = catalog(&["org.example.a.event"], &["org.example.b.event"]);
    assert!(choice.suffices(&apart));
}

#[test]
fn environments_are_forgotten_in_time() {
    let world = World::new();
    fs::create_dir(world.path("claims")).unwrap();
    for number in 0..MAX_ENVIRONMENTS + 3 {
        fs::write(world.path(&format!("claims/{number:03}.json")), "").unwrap();
    }
    world.claims().write(false).unwrap();
    let count = fs::read_dir(world.path("claims")).unwrap().count();
    assert_eq!(count, MAX_ENVIRONMENTS);
    assert!(world.path("claims/one.json").exists());
}
