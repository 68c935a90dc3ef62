use super::*;
use crate::testing::TempDir;

/// A site directory, and a home with projects of the user's.
struct World {
    dir: TempDir,
    site: PathBuf,
    home: PathBuf,
}

impl World {
    fn new() -> World {
        let dir = TempDir::new();
        let root = fs::canonicalize(dir.path()).unwrap();
        let (site, home) = (root.join("site-packages"), root.join("home"));
        fs::create_dir_all(&site).unwrap();
        fs::create_dir_all(&home).unwrap();
        World { dir, site, home }
    }

    /// A project of this name in a directory below the home.
    fn project(&self, directory: &str, name: &str) -> PathBuf {
        let path = self.home.join(directory);
        fs::create_dir_all(path.join("src")).unwrap();
        fs::write(
            path.join("pyproject.toml"),
            format!("[project]\nname = \"{name}\"\n"),
        )
        .unwrap();
        path
    }

    /// A record of an install, as pip writes it, in a metadata directory.
    fn record(&self, info: &str, editable: bool, path: &Path) {
        let info = self.site.join(format!("{info}.dist-info"));
        fs::create_dir_all(&info).unwrap();
        let url = path.to_str().unwrap().replace(' ', "%20");
        let text = format!("{{\"url\":\"file://{url}\",\"dir_info\":{{\"editable\":{editable}}}}}");
        fs::write(info.join("direct_url.json"), text).unwrap();
    }

    /// A package with this list of files.
    fn installed(&self, info: &str, files: &[&str]) {
        let info = self.site.join(format!("{info}.dist-info"));
        fs::create_dir_all(&info).unwrap();
        fs::write(info.join("RECORD"), files.join(",sha256=x,1\n")).unwrap();
    }

    fn linked(&self, allowed: &[PathBuf]) -> Vec<(String, PathBuf, Option<Doubt>)> {
        linked(&self.site, Some(&self.home), allowed)
            .into_iter()
            .map(|source| (source.package.unwrap(), source.directory, source.doubt))
            .collect()
    }
}

#[test]
fn ones_own_editable_installs_are_beyond_doubt() {
    let world = World::new();
    let by_url = world.project("two words", "Lab.Plugins");
    let by_link = world.project("older", "older_one");
    world.record("lab_plugins-1.0", true, &by_url);
    let own = "lab_plugins-1.0.dist-info/direct_url.json";
    world.installed(
        "lab_plugins-1.0",
        &[own, "lab_plugins-1.0.dist-info/RECORD"],
    );
    let egg = format!("{}\n../", by_link.join("src").display());
    fs::write(world.site.join("older-one.egg-link"), egg).unwrap();
    // Not editable; a record of nothing; the word of a `.pth` file, which is nobody's in particular.
    let other = world.project("other", "other");
    world.record("other-1", false, &other);
    world.record("absent-1", true, &world.home.join("absent"));
    fs::write(world.site.join("h.pth"), other.to_str().unwrap()).unwrap();
    assert_eq!(
        world.linked(&[]),
        [
            ("lab-plugins".to_owned(), by_url, None),
            ("older-one".to_owned(), by_link, None),
        ]
    );
}

#[test]
fn what_a_wheel_can_bring_opens_nothing() {
    let world = World::new();
    let project = world.project("project", "project");
    let doubts = || -> Vec<Option<Doubt>> {
        let found = world.linked(&[]).into_iter();
        found.map(|(_, _, doubt)| doubt).collect()
    };
    // Under its own name.
    world.record("wheel-1.0", true, &project);
    assert_eq!(
        doubts(),
        [Some(Doubt::OtherName(vec!["project".to_owned()]))]
    );
    fs::remove_dir_all(world.site.join("wheel-1.0.dist-info")).unwrap();
    // Under the project's: the installer's list of the wheel's files tells on it.
    for (record, name) in [
        ("project-9.dist-info/direct_url.json", "project-9.dist-info"),
        ("project.egg-link", "project.egg-link"),
    ] {
        if name.ends_with("dist-info") {
            world.record("project-9", true, &project);
        } else {
            let text = format!("{}\n.", project.display());
            fs::write(world.site.join(name), text).unwrap();
        }
        assert_eq!(doubts(), [None], "{name}");
        world.installed("Wheel_X-1.0", &["wheel.py", record, "wheel/__init__.py"]);
        assert_eq!(doubts(), [Some(Doubt::Foreign("wheel-x".to_owned()))]);
        fs::remove_dir_all(world.site.join("Wheel_X-1.0.dist-info")).unwrap();
        let path = world.site.join(name);
        fs::remove_dir_all(&path)
            .or_else(|_| fs::remove_file(&path))
            .unwrap();
    }
}

#[test]
fn a_list_that_is_too_long_vouches_for_nothing() {
    let world = World::new();
    let project = world.project("project", "project");
    world.record("project-1", true, &project);
    world.installed("other-1.0", &["other.py"]);
    assert_eq!(world.linked(&[])[0].2, None);
    let list = fs::File::create(world.site.join("other-1.0.dist-info/RECORD")).unwrap();
    list.set_len(MAX_LIST + 1).unwrap();
    let foreign = Doubt::Foreign("other".to_owned());
    assert_eq!(world.linked(&[])[0].2, Some(foreign));
}

#[test]
fn places_that_other_things_live_in_are_no_projects() {
    let world = World::new();
    let project = world.project("p", "p");
    for (path, expected) in [
        (world.project(".secret", "p"), Doubt::NoProject),
        (world.home.clone(), Doubt::NoProject),
        (world.dir.path().to_path_buf(), Doubt::NoProject),
        ("/etc".into(), Doubt::NoProject),
        (project.join("src"), Doubt::NoProject),
    ] {
        world.record("p-1", true, &path);
        let found = world.linked(&[]);
        assert_eq!(found[0].2, Some(expected), "{}", path.display());
    }
    fs::write(project.join("pyproject.toml"), "[tool.x]\n").unwrap();
    world.record("p-1", true, &project);
    assert_eq!(world.linked(&[])[0].2, Some(Doubt::NoName));
}

#[test]
fn the_users_word_is_kept_beside_the_doubt() {
    let world = World::new();
    let project = world.project("project", "project");
    world.record("wheel-1.0", true, &project);
    let found = linked(&world.site, None, std::slice::from_ref(&project));
    assert!(found[0].allowed && found[0].doubt.is_some());
    assert!(!linked(&world.site, None, &[world.home])[0].allowed);
}

#[test]
fn what_is_no_escape_stays_as_it_is() {
    let record = br#"{"url":"file:///a%20b%zz%+f%4","dir_info":{"editable":true}}"#;
    let path = editable_project(record);
    assert_eq!(path.as_deref(), Some(Path::new("/a b%zz%+f%4")));
}
