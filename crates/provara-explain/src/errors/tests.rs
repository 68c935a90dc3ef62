use super::host::python_lacks;
use super::*;

#[test]
fn what_the_system_refused_has_its_own_fix() {
    use io::ErrorKind as Kind;
    for (kind, fix) in [
        (Kind::NotFound, "Check that '/v a' exists."),
        (
            Kind::PermissionDenied,
            "Check who may read and write it: ls -ld '/v a'",
        ),
        (
            Kind::ReadOnlyFilesystem,
            "Work on a copy on a writable disk; 'provara verify' needs none.",
        ),
        (Kind::StorageFull, "Free some space: df -h '/v a'"),
        (Kind::QuotaExceeded, "Free some space: df -h '/v a'"),
        (Kind::IsADirectory, "Check the path: ls -ld '/v a'"),
        (Kind::Other, "Check the disk and the path: ls -ld '/v a'"),
    ] {
        assert_eq!(io_fix(&kind.into(), Path::new("/v a")), fix);
    }
    for number in [23, 24] {
        let fix = io_fix(&io::Error::from_raw_os_error(number), Path::new("/v a"));
        assert!(fix.contains("ulimit -n"), "{fix}");
    }
}

#[test]
fn what_an_interpreter_lacks_is_told_from_what_python_says() {
    let said = |reason: &str| {
        python_lacks(&format!(
            "python3: Error while finding module specification for 'provara.plugins._host' \
             (ModuleNotFoundError: {reason})"
        ))
    };
    assert_eq!(
        said("No module named 'provara'").unwrap(),
        "has no 'provara' module"
    );
    for reason in [
        "No module named 'provara.plugins'",
        "__path__ attribute not found on 'provara.plugins' while trying to find 'provara.plugins._host'",
        "__path__ attribute not found on 'provara' while trying to find 'provara.plugins'",
    ] {
        let lack = said(reason).unwrap();
        assert!(lack.starts_with("has another version"), "{lack}");
    }
    assert_eq!(said("No module named 'yaml'"), None);
}

#[test]
fn sentences_keep_names_as_they_are() {
    assert_eq!(sentence("there is no vault"), "There is no vault.");
    assert_eq!(sentence("manifest.json: torn"), "manifest.json: torn.");
    assert_eq!(
        sentence("evt_0123 is in the log."),
        "evt_0123 is in the log."
    );
    assert_eq!(sentence("'x' is locked"), "'x' is locked.");
    assert_eq!(sentence(""), ".");
}
