//! The runner against a host that behaves, and against every way not to.

mod common;

use std::fs::{self, File};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{TempDir, options};
use provara_core::json;
use provara_plugins::catalog::{Catalog, PluginName, ProblemKind};
use provara_plugins::host::{
    ExitReason, Exporting, Host, HostError, Listing, OutputFault, Reducing, Validating, Verdict,
};
use provara_plugins::protocol::{FailureKind, Violation};
use provara_plugins::sandbox::SandboxMode;

fn login() -> provara_core::event_type::CustomType {
    "com.acme.audit.login".parse().unwrap()
}

fn name(text: &str) -> PluginName {
    text.parse().unwrap()
}

fn validate(host: &mut Host<Validating>) -> Result<Verdict, HostError> {
    host.validate(&login(), &json::parse(br#"{"ok":true}"#).unwrap())
}

/// Starts a host in a mode that goes wrong in `validate`.
fn failing(mode: &str) -> HostError {
    let (options, _) = options(mode);
    let mut host = Host::start(Validating, options).unwrap();
    host.discover().unwrap();
    match validate(&mut host) {
        Err(error) => error,
        Ok(_) => host.finish().unwrap_err(),
    }
}

fn reducing(mode: &str) -> Result<Vec<u8>, HostError> {
    let purpose = Reducing {
        log: Arc::new(*b"one\ntwo\n").into(),
    };
    let mut host = Host::start(purpose, options(mode).0).unwrap();
    host.discover().unwrap();
    let result = host.reduce(&name("com.acme.sum"))?;
    host.finish()?;
    Ok(result)
}

#[test]
fn discovers_and_validates() {
    let (options, printed) = options("print");
    let mut host = Host::start(Validating, options).unwrap();
    assert_eq!(host.hello().version, env!("CARGO_PKG_VERSION"));
    let catalog = host.discover().unwrap();
    assert!(catalog.problems.is_empty(), "{:?}", catalog.problems);
    assert!(catalog.event_type("login").is_some());
    assert!(catalog.reducer("com.acme.sum").is_some());
    assert!(catalog.export("csv").is_some());
    assert_eq!(validate(&mut host).unwrap(), Verdict::Accepted);
    let refused = host
        .validate(&login(), &json::parse(b"{}").unwrap())
        .unwrap();
    assert_eq!(refused, Verdict::Refused("not\\tok".to_owned()));
    host.finish().unwrap();
    let printed = printed.text();
    assert!(printed.contains("[plugins] to stdout\n"), "{printed}");
    assert!(
        printed.contains("[com.acme.audit.login] \\u{1b}[31mto stderr\n"),
        "{printed}"
    );
}

#[test]
fn schemas_are_applied_by_a_process_of_their_own() {
    let mut host = Host::start(Validating, options("good").0).unwrap();
    let catalog = host.discover().unwrap();
    let plugin = catalog.event_type("login").unwrap();
    let data = ["{\"ok\":1.0}", "{\"ok\":\"\\n\"}", "{\"x\":1}", "[]"];
    let data = data.map(|text| json::parse(text.as_bytes()).unwrap());
    assert_eq!(host.check(plugin, &[&data[0], &data[1]]).unwrap(), None);
    assert_eq!(host.check(plugin, &[]).unwrap(), None);
    let (at, found) = host.check(plugin, &data.each_ref()).unwrap().unwrap();
    assert_eq!(at, 2);
    assert_eq!(found.violations[0].error, "Missing required field 'ok'");
    assert_eq!(validate(&mut host).unwrap(), Verdict::Accepted);
    // Killing is final, also for what is started when it is needed.
    host.kill_handle().kill();
    for _ in 0..2 {
        let failed = host.check(plugin, &[&data[0]]).unwrap_err();
        assert!(
            matches!(&failed, HostError::Schema { plugin, .. } if plugin == "com.acme.audit.login"),
            "{failed:?}"
        );
    }
}

#[test]
fn a_schema_that_takes_for_ever_is_ended() {
    let mut host = Host::start(Validating, options("explosive").0).unwrap();
    let catalog = host.discover().unwrap();
    let plugin = catalog.event_type("login").unwrap();
    let start = Instant::now();
    host.limit_next(Duration::from_millis(300));
    let data = json::parse(br#"{"ok":true}"#).unwrap();
    match host.check(plugin, &[&data]).unwrap_err() {
        HostError::TimedOut { plugin, limit } => {
            assert_eq!(plugin, "com.acme.audit.login");
            assert_eq!(limit, Duration::from_millis(300));
        }
        other => panic!("{other:?}"),
    }
    assert!(start.elapsed() < Duration::from_secs(10));
    // The plugin's own process is unharmed.
    host.limit_next(Duration::from_secs(20));
    assert_eq!(validate(&mut host).unwrap(), Verdict::Accepted);
}

#[test]
fn a_reducer_sees_the_snapshot_and_nothing_else() {
    // A variable and a descriptor that must not arrive.
    let open = File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).unwrap();
    let result = reducing("good").unwrap();
    let value = json::parse(&result).unwrap();
    assert_eq!(value.get("bytes").unwrap().as_i64(), Some(8));
    assert_eq!(value.get("lines").unwrap().as_i64(), Some(2));
    assert_eq!(value.get("cwd").unwrap().as_str(), Some("/"));
    assert_eq!(value.get("stdin").unwrap().as_str(), Some(""));
    // The socket and the log.
    assert_eq!(
        value.get("descriptors").unwrap().as_array().unwrap().len(),
        2
    );
    let environment = value.get("environment").unwrap().as_array().unwrap();
    let allowed = |name: &str| {
        name.starts_with("PYTHON")
            || name.starts_with("PROVARA_")
            || name.ends_with("_NUM_THREADS")
            || matches!(name, "PATH" | "LANG" | "LC_ALL" | "TZ")
            || matches!(
                name,
                "TMPDIR" | "TEMP" | "TMP" | "XDG_CACHE_HOME" | "MPLCONFIGDIR"
            )
            || name == "NUMBA_CACHE_DIR"
    };
    for variable in environment {
        assert!(allowed(variable.as_str().unwrap()), "{variable:?}");
    }
    // Canonical: sorted, and 1.0 written as 1.
    let text = String::from_utf8(result).unwrap();
    assert!(
        text.starts_with(r#"{"bytes":8,"cwd":"/","descriptors":["#),
        "{text}"
    );
    assert!(text.contains(r#","one":1,"#), "{text}");
}

#[test]
fn a_result_is_strict_and_canonical_json() {
    let fault = |mode: &str| match reducing(mode) {
        Err(HostError::Output { plugin, reason }) => {
            assert_eq!(plugin, "com.acme.sum");
            reason
        }
        other => panic!("{mode}: {other:?}"),
    };
    assert!(matches!(fault("nan"), OutputFault::NotJson(_)));
    assert!(matches!(fault("duplicate"), OutputFault::NotJson(_)));
    assert!(matches!(fault("huge"), OutputFault::NotCanonical(_)));
}

#[test]
fn integers_in_a_result_keep_their_digits() {
    let result = reducing("integers").unwrap();
    let expected = r#"{"a":[9007199254740993,-100000000000000000000,1,10000000000000000]}"#;
    assert_eq!(String::from_utf8(result).unwrap(), expected);
}

#[test]
fn an_export_writes_where_it_is_told() {
    let dir = TempDir::new();
    fs::create_dir(dir.path().join("vault")).unwrap();
    let purpose = Exporting {
        vault: dir.path().join("vault"),
        staging: dir.path().to_path_buf(),
    };
    let mut host = Host::start(purpose, options("good").0).unwrap();
    host.discover().unwrap();
    let output = dir.path().join("out.csv");
    host.export(&name("csv"), &output).unwrap();
    host.finish().unwrap();
    assert_eq!(
        fs::read_to_string(output).unwrap(),
        dir.path().join("vault").to_str().unwrap()
    );
}

#[test]
fn breaches_of_the_protocol_are_named() {
    for (mode, expected) in [
        (
            "wrong_id",
            Violation::WrongId {
                expected: 4,
                found: 5,
            },
        ),
        ("oversized", Violation::Oversized(u64::from(u32::MAX))),
        ("twice", Violation::Unsolicited),
    ] {
        match failing(mode) {
            HostError::Protocol { plugin, violation } => {
                assert_eq!(plugin, "com.acme.audit.login", "{mode}");
                assert_eq!(violation, expected, "{mode}");
            }
            other => panic!("{mode}: {other:?}"),
        }
    }
    assert!(matches!(
        failing("not_json"),
        HostError::Protocol {
            violation: Violation::Malformed(_),
            ..
        }
    ));
    for mode in ["early", "forged"] {
        let (options, _) = options(mode);
        let mut host = Host::start(Validating, options).unwrap();
        assert!(matches!(
            host.discover(),
            Err(HostError::Protocol {
                violation: Violation::WrongId { .. },
                ..
            })
        ));
    }
}

#[test]
fn deaths_are_told_apart() {
    for (mode, expected) in [
        ("exit", ExitReason::Code(3)),
        ("truncated", ExitReason::Code(0)),
        ("signal", ExitReason::Signal(11)),
        ("close", ExitReason::Unknown),
    ] {
        match failing(mode) {
            HostError::Died { plugin, ending, .. } => {
                assert_eq!(plugin, "com.acme.audit.login", "{mode}");
                assert_eq!(ending, expected, "{mode}");
            }
            other => panic!("{mode}: {other:?}"),
        }
    }
}

#[test]
fn a_failure_is_carried_over() {
    let HostError::Plugin(failure) = failing("raise") else {
        panic!()
    };
    assert_eq!(failure.kind, FailureKind::Raised);
    assert_eq!(failure.plugin, "p\\u{1b}");
    assert_eq!(failure.exception.as_deref(), Some("ValueError"));
    assert_eq!(failure.message.as_deref(), Some("no\nway"));
}

#[test]
fn another_version_is_no_host() {
    let start = |mode: &str| Host::start(Listing, options(mode).0).unwrap_err();
    match start("version") {
        HostError::Version {
            expected, found, ..
        } => {
            assert_eq!(
                (expected, found.as_str()),
                (env!("CARGO_PKG_VERSION"), "0.0.1")
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        start("protocol"),
        HostError::Protocol {
            violation: Violation::Version(1),
            ..
        }
    ));
    let (mut options, _) = options("good");
    options.environment.python_path.remove(0);
    match Host::start(Listing, options).unwrap_err() {
        HostError::NoHost { ending, output, .. } => {
            assert_eq!(ending, ExitReason::Code(1));
            assert!(output.contains("provara"), "{output}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plugin_that_never_answers_is_ended() {
    let (mut options, _) = options("never");
    options.timeout = Some(Duration::from_millis(1500));
    let start = Instant::now();
    let mut host = Host::start(Validating, options).unwrap();
    match validate(&mut host).unwrap_err() {
        HostError::TimedOut { plugin, limit } => {
            assert_eq!(plugin, "com.acme.audit.login");
            assert_eq!(limit, Duration::from_millis(1500));
        }
        other => panic!("{other:?}"),
    }
    assert!(start.elapsed() < Duration::from_secs(10));
}

/// Discovers in a mode, with some seconds for each attempt; gives also what was printed.
fn loading(mode: &str, seconds: u64) -> (Result<Catalog, HostError>, String, Vec<String>) {
    let (mut options, printed) = options(mode);
    options.timeout = Some(Duration::from_secs(seconds));
    let mut host = Host::start(Listing, options).unwrap();
    let found = host.discover();
    let skipped = host.skipped().iter().map(|one| one.plugin().to_owned());
    let skipped = skipped.collect();
    if found.is_ok() {
        host.finish().unwrap();
    }
    (found, printed.text(), skipped)
}

#[test]
fn a_plugin_that_ends_or_blocks_the_process_is_left_out() {
    let (found, printed, skipped) = loading("loading", 60);
    assert!(found.unwrap().problems.is_empty() && skipped.is_empty());
    assert_eq!(
        printed.matches("loads").count(),
        5,
        "one process: {printed}"
    );
    for (mode, what) in [
        ("loading dies", "ended (exit code 3)"),
        ("loading hangs", "was ended after 2 s"),
    ] {
        let (found, printed, skipped) = loading(mode, 2);
        let catalog = found.unwrap();
        assert!(catalog.event_type("login").is_some(), "{mode}");
        assert_eq!(skipped, ["two\\u{1b} (pkg)"], "{mode}");
        let [problem] = &catalog.problems[..] else {
            panic!("{mode}: {:?}", catalog.problems);
        };
        assert_eq!(problem.kind, ProblemKind::Load);
        assert_eq!(problem.plugin.as_deref(), Some("two\\u{1b} (pkg)"));
        let said = format!("The process that loads plugins {what}. It had said that");
        assert!(problem.text.contains(&said), "{}", problem.text);
        assert!(
            problem.text.contains("all that is in the module b;"),
            "{}",
            problem.text
        );
        // Once the one that fails, and never what else is in its module.
        // All under the name of the one that printed it, although it printed at once.
        let loads = |name: &str| {
            printed
                .matches(&format!("[{name}] loads {}", &name[..3]))
                .count()
        };
        assert_eq!(
            ["one", "two\\u{1b} (pkg)", "three", "four", "five"].map(loads),
            [2, 1, 0, 1, 1],
            "{printed}"
        );
    }
}

#[test]
fn what_was_left_out_stays_out_of_the_next_host() {
    let (options, _) = options("loading dies");
    let mut first = Host::start(Listing, options).unwrap();
    first.discover().unwrap();
    let (mut options, printed) = common::options("loading dies");
    options.skipped = first.skipped().to_vec();
    let mut second = Host::start(Listing, options).unwrap();
    let catalog = second.discover().unwrap();
    second.finish().unwrap();
    assert_eq!(catalog.problems.len(), 1);
    assert!(!printed.text().contains("loads two"), "{}", printed.text());
}

#[test]
fn leaving_out_has_an_end() {
    let (found, printed, skipped) = loading("loading many", 60);
    match found.unwrap_err() {
        HostError::Loading { error, skipped } => {
            let error = error.to_string();
            assert_eq!(error, "the plugin 'p8' ended its process (exit code 3)");
            assert_eq!(skipped.len(), 8);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((skipped.len(), printed.matches("loads").count()), (8, 9));
    // One that is loaded although it was to be left out.
    let (found, printed, _) = loading("loading deaf", 60);
    assert!(matches!(found, Err(HostError::Loading { .. })));
    assert_eq!(printed.matches("loads two").count(), 2);
}

#[test]
fn without_a_name_nobody_is_left_out() {
    for mode in ["dies", "loading ends"] {
        let (found, _, skipped) = loading(mode, 60);
        let error = found.unwrap_err().to_string();
        assert_eq!(
            error, "an installed plugin ended its process (exit code 3)",
            "{mode}"
        );
        assert!(skipped.is_empty());
    }
    let breach = |mode: &str| match loading(mode, 60).0.unwrap_err() {
        HostError::Protocol { violation, .. } => violation,
        other => panic!("{mode}: {other:?}"),
    };
    assert_eq!(breach("loading endless"), Violation::Endless);
    assert!(matches!(breach("loading breaks"), Violation::Malformed(_)));
}

#[test]
fn who_kills_a_host_kills_the_next_one_too() {
    let (options, printed) = options("loading hangs");
    let mut host = Host::start(Listing, options).unwrap();
    let kill_handle = host.kill_handle();
    let killing = std::thread::spawn(move || {
        while !printed.text().contains("loads two") {
            std::thread::sleep(Duration::from_millis(5));
        }
        kill_handle.kill();
    });
    assert!(matches!(host.discover(), Err(HostError::Died { .. })));
    assert!(host.skipped().is_empty());
    killing.join().unwrap();
}

#[test]
fn the_callers_limit_holds_from_the_first_moment() {
    let (mut options, _) = options("good");
    options.timeout = Some(Duration::from_micros(1));
    assert!(matches!(
        Host::start(Listing, options),
        Err(HostError::TimedOut { limit, .. }) if limit == Duration::from_micros(1)
    ));
    // One beyond all time is none.
    let (mut options, _) = common::options("good");
    options.timeout = Some(Duration::MAX);
    let mut host = Host::start(Validating, options).unwrap();
    host.limit_next(Duration::MAX);
    assert_eq!(validate(&mut host).unwrap(), Verdict::Accepted);
    host.finish().unwrap();
}

#[test]
fn what_the_sandbox_refused_is_explained() {
    let HostError::Plugin(failure) = failing("refused") else {
        panic!()
    };
    let violation = failure.violation.unwrap();
    assert_eq!(violation.tried, "open('/etc/passwd')");
    assert!(
        violation.to_string().contains("may read nothing but"),
        "{violation}"
    );
    assert!(violation.allow.unwrap().contains("--sandbox=off"));
    // Also where `validate` raised: the data was not judged.
    let judge = |sandbox: SandboxMode| {
        let (mut options, _) = options("good");
        options.sandbox = sandbox;
        let data = json::parse(br#"{"tried":"open('/x', 'w')"}"#).unwrap();
        Host::start(Validating, options)
            .unwrap()
            .validate(&login(), &data)
    };
    match judge(SandboxMode::Auto).unwrap_err() {
        HostError::Plugin(failure) => {
            let text = failure.violation.unwrap().to_string();
            assert!(
                text.contains("may write nothing but its temporary directory"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
    // Without a sandbox it was something else that refused.
    assert!(matches!(
        judge(SandboxMode::Off).unwrap(),
        Verdict::Refused(_)
    ));
}

#[test]
fn the_hidden_mode_is_not_for_people() {
    let output = std::process::Command::new(common::launcher())
        .arg("__plugin-launcher-1")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(126));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("started by provara itself only"), "{text}");
}
