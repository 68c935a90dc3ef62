use super::*;
use crate::testing::TempDir;
use std::os::unix::fs::{PermissionsExt, symlink};

fn executable(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_order_is_variable_beside_environment_path() {
    let dir = TempDir::new();
    let place = |name: &str| dir.path().join(name).join("bin");
    for name in ["variable", "beside", "env", "path"] {
        executable(&place(name).join("python3"), "\x7fELF");
    }
    let mut search = Search {
        variable: Some(place("variable").join("python3")),
        executables: vec![place("beside").join("provara")],
        virtual_env: Some(dir.path().join("env")),
        path: vec![PathBuf::from("relative"), place("path")],
    };
    assert_eq!(search.find().unwrap().found_by, FoundBy::Variable);
    search.variable = Some(PathBuf::from("python3"));
    assert_eq!(
        search.find().unwrap().program,
        place("path").join("python3")
    );
    search.variable = None;
    assert_eq!(search.find().unwrap().found_by, FoundBy::BesideExecutable);
    search.executables.clear();
    assert_eq!(search.find().unwrap().found_by, FoundBy::VirtualEnv);
    search.virtual_env = None;
    assert_eq!(search.find().unwrap().found_by, FoundBy::Path);
    search.path.pop();
    assert!(matches!(
        search.find(),
        Err(InterpreterError::NotFound { .. })
    ));
}

#[test]
fn an_explicit_choice_is_not_replaced() {
    let dir = TempDir::new();
    executable(&dir.path().join("python3"), "\x7fELF");
    let search = Search {
        variable: Some(dir.path().join("absent")),
        path: vec![dir.path().to_path_buf()],
        ..Search::default()
    };
    let error = search.find().unwrap_err();
    assert!(matches!(error, InterpreterError::Unusable { .. }));
    assert!(error.to_string().contains("PROVARA_PYTHON"), "{error}");
}

#[test]
fn an_environment_keeps_its_link() {
    let dir = TempDir::new();
    let root = fs::canonicalize(dir.path()).unwrap();
    executable(&root.join("usr/bin/python3.11"), "\x7fELF");
    fs::create_dir_all(root.join("venv/bin")).unwrap();
    fs::write(root.join("venv/pyvenv.cfg"), "home = usr/bin\n").unwrap();
    symlink(
        root.join("usr/bin/python3.11"),
        root.join("venv/bin/python3"),
    )
    .unwrap();
    let search = Search {
        virtual_env: Some(root.join("venv")),
        ..Search::default()
    };
    let found = search.find().unwrap();
    assert_eq!(found.program, root.join("venv/bin/python3"));
    assert_eq!(found.binary, root.join("usr/bin/python3.11"));
    assert_eq!(found.prefix, root.join("venv"));
    assert_eq!(found.base_prefixes, [root.join("usr")]);
}

#[test]
fn a_shim_is_asked() {
    let dir = TempDir::new();
    let root = fs::canonicalize(dir.path()).unwrap();
    let real = root.join("versions/3.11/bin/python3");
    executable(&real, "\x7fELF");
    let shim = root.join("shims/python3");
    executable(
        &shim,
        &format!(
            "#!/bin/sh\n[ \"$1$2\" = -I-S ] && printf %s {}\n",
            real.display()
        ),
    );
    let search = Search {
        path: vec![root.join("shims")],
        ..Search::default()
    };
    let found = search.find().unwrap();
    assert_eq!(found.program, real);
    assert_eq!(found.base_prefixes, [root.join("versions/3.11")]);
    executable(&shim, "#!/bin/sh\nexit 3\n");
    assert!(matches!(
        search.find(),
        Err(InterpreterError::Unusable { .. })
    ));
}

#[test]
fn a_copy_has_the_library_of_its_installation() {
    let dir = TempDir::new();
    let root = fs::canonicalize(dir.path()).unwrap();
    for (name, library) in [("home", true), ("linked", true), ("bare", false)] {
        executable(&root.join(name).join("bin/python3"), "\x7fELF");
        if library {
            let library = root.join(name).join("lib/python3.12");
            fs::create_dir_all(&library).unwrap();
            fs::write(library.join("os.py"), "").unwrap();
        }
    }
    fs::create_dir_all(root.join("links")).unwrap();
    symlink(root.join("linked/bin/python3"), root.join("links/python3")).unwrap();
    let venv = root.join("venv");
    executable(&venv.join("bin/python3"), "\x7fELF");
    let search = Search {
        virtual_env: Some(venv.clone()),
        ..Search::default()
    };
    let found = |config: &str| {
        let config = config.replace("ROOT", root.to_str().unwrap());
        fs::write(venv.join("pyvenv.cfg"), config).unwrap();
        let found = search.find().unwrap();
        assert_eq!(found.binary, venv.join("bin/python3"));
        let named = found
            .base_prefixes
            .into_iter()
            .filter(|prefix| *prefix != venv);
        (named.collect::<Vec<_>>(), found.system_site_packages)
    };
    assert_eq!(
        found("home = ROOT/home/bin\n"),
        (vec![root.join("home")], false)
    );
    assert_eq!(
        found("HOME=ROOT/links\ninclude-system-site-packages = true\n"),
        (vec![root.join("linked")], true)
    );
    let both = "executable = ROOT/links/python3\nhome = ROOT/bare/bin\n";
    assert_eq!(found(both), (vec![root.join("linked")], false));
    // An environment that another one's interpreter made, which is a copy.
    executable(&root.join("first/bin/python3"), "\x7fELF");
    let first = format!("home = {}/home/bin\n", root.display());
    fs::write(root.join("first/pyvenv.cfg"), first).unwrap();
    assert_eq!(
        found("home = ROOT/first/bin\n"),
        (vec![root.join("home")], false)
    );
    // One that leads to itself ends.
    assert_eq!(found("home = ROOT/venv/bin\n"), (vec![], false));
    // Where no library lies, nothing is opened, whatever the file says.
    for config in ["home = ROOT/bare/bin\n", "home = bin\n", "home\n", ""] {
        assert_eq!(found(config), (vec![], false), "{config}");
    }
}

#[test]
fn each_link_on_the_way_to_the_executable_is_looked_beside() {
    let dir = TempDir::new();
    let root = fs::canonicalize(dir.path()).unwrap();
    executable(&root.join("store/bin/provara"), "\x7fELF");
    executable(&root.join("venv/bin/python3"), "\x7fELF");
    fs::create_dir(root.join("shown")).unwrap();
    symlink("../../store/bin/provara", root.join("venv/bin/provara")).unwrap();
    symlink(root.join("venv/bin/provara"), root.join("shown/provara")).unwrap();
    let search = Search {
        executables: link_chain(root.join("shown/provara")),
        ..Search::default()
    };
    assert_eq!(search.executables.len(), 3);
    let found = search.find().unwrap();
    assert_eq!(found.program, root.join("venv/bin/python3"));
    assert_eq!(found.found_by, FoundBy::BesideExecutable);
}

#[test]
fn a_link_that_leads_nowhere_is_named() {
    let dir = TempDir::new();
    let root = fs::canonicalize(dir.path()).unwrap();
    executable(&root.join("path/python3"), "\x7fELF");
    fs::create_dir_all(root.join("venv/bin")).unwrap();
    symlink("/absent/python3.9", root.join("venv/bin/python3")).unwrap();
    let path = vec![root.join("venv/bin"), root.join("path")];
    let beside = Search {
        executables: vec![root.join("venv/bin/provara")],
        path: path.clone(),
        ..Search::default()
    };
    let error = beside.find().unwrap_err().to_string();
    assert!(error.contains("beside the provara executable"), "{error}");
    assert!(
        error.contains("'/absent/python3.9', which is not there"),
        "{error}"
    );
    // On `PATH` it is passed over, as every program does.
    let on_path = Search {
        path,
        ..Search::default()
    };
    assert_eq!(on_path.find().unwrap().program, root.join("path/python3"));
}
