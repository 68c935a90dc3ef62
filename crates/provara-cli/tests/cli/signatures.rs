//! `PROVARA_SIGNATURES`: the same report whatever decides, and words where it cannot.

use provara_vault::provara_signatures::{Backend, Chosen};

use crate::world::World;

/// Enough events for tables.
const EVENTS: usize = 2000;

fn events() -> String {
    (0..EVENTS)
        .map(|n| {
            format!(
                "{{\"type\":\"OBSERVATION\",\"data\":{{\"subject\":\"s{n}\",\"predicate\":\"p\",\"value\":{n}}}}}\n"
            )
        })
        .collect()
}

/// The report of a verification with this in the environment, and its exit code.
fn verified(world: &World, name: &str) -> (String, i32) {
    let answer = world.run_with(&["verify", "vault", "--no-cache", "--json"], |command| {
        command.env("PROVARA_SIGNATURES", name)
    });
    assert_eq!(answer.stderr, "", "{name}");
    (answer.stdout, answer.code)
}

#[test]
fn every_back_end_gives_the_same_report() {
    let world = World::with_vault();
    std::fs::write(world.path("batch"), events()).unwrap();
    let answer = world.run(&["append", "vault", "--batch", "batch"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let log = world.path("vault/events/events.ndjson");
    let honest = std::fs::read_to_string(&log).unwrap();

    // Good, and then with some signatures that are those of other lines.
    let mut lines: Vec<String> = honest.lines().map(|line| format!("{line}\n")).collect();
    let place = |line: &str| line.find("\"sig\":\"").unwrap() + 7;
    for n in [100, 101, 700, 1500] {
        let other = lines[n + 5][place(&lines[n + 5])..][..88].to_owned();
        let at = place(&lines[n]);
        lines[n].replace_range(at..at + 88, &other);
    }
    let mut reports = Vec::new();
    for (content, code) in [(honest, 0), (lines.concat(), 1)] {
        std::fs::write(&log, content).unwrap();
        let expected = verified(&world, "dalek");
        assert_eq!(expected.1, code, "{}", expected.0);
        for backend in Backend::ALL {
            match Chosen::forced(backend) {
                Ok(_) => assert_eq!(verified(&world, backend.name()), expected, "{backend}"),
                Err(missing) => eprintln!("NOT TESTED: {missing}"),
            }
        }
        assert_eq!(verified(&world, ""), expected, "what is chosen by itself");
        reports.push(expected.0);
    }
    assert!(!reports[0].contains("E003") && reports[1].matches("E003").count() >= 4);
}

#[test]
fn a_name_that_is_none_and_a_processor_that_lacks_it_are_told() {
    let world = World::with_vault();
    let run = |name: &str| {
        world.run_with(&["verify", "vault"], |command| {
            command.env("PROVARA_SIGNATURES", name)
        })
    };
    let unknown = run("sse2");
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.stderr.starts_with(
            "ERROR: PROVARA_SIGNATURES is 'sse2', which is none of dalek, portable, avx2, avx512."
        ),
        "{}",
        unknown.stderr
    );
    assert!(unknown.stderr.contains("\nFix: Set it to one of these,"));
    // Names are told apart by their case, and an empty one is none.
    assert_eq!((run("Dalek").code, run("").code), (2, 0));
    for backend in Backend::ALL {
        let answer = run(backend.name());
        if Chosen::forced(backend).is_ok() {
            assert_eq!(answer.code, 0, "{}", answer.stderr);
        } else {
            assert_eq!(answer.code, 3);
            let expected = format!("PROVARA_SIGNATURES is '{backend}', and this processor lacks");
            assert!(answer.stderr.contains(&expected), "{}", answer.stderr);
        }
    }
}

#[test]
fn doctor_tells_what_verifies_signatures() {
    let world = World::new();
    let answer = world.run_with(&["doctor", "--json"], |command| {
        command.env("PROVARA_SIGNATURES", "portable")
    });
    assert!(
        answer.stdout.contains("\"signatures\":\"portable\""),
        "{}",
        answer.stdout
    );
    let answer = world.run(&["doctor", "--json"]);
    let fastest = Chosen::fastest().backend();
    assert!(
        answer
            .stdout
            .contains(&format!("\"signatures\":\"{fastest}\""))
    );
}

/// Whoever has set it wrongly asks `doctor` what is wrong: it tells all that it tells otherwise, and ends as every
/// other command does.
#[test]
fn doctor_goes_on_where_the_name_is_wrong() {
    let world = World::new();
    let doctor = |name: &str, more: &[&str]| {
        world.run_with(&[&["doctor"], more].concat(), |command| {
            command.env("PROVARA_SIGNATURES", name)
        })
    };
    let good = doctor("", &[]);
    let fastest = Chosen::fastest().backend();
    let lacking = Backend::ALL
        .into_iter()
        .find(|it| Chosen::forced(*it).is_err());
    let names = [("AVX2", 2)]
        .into_iter()
        .chain(lacking.map(|it| (it.name(), 3)));
    for (name, code) in names {
        let answer = doctor(name, &[]);
        assert_eq!(answer.code, code, "{}", answer.stderr);
        let line = format!("signatures  PROVARA_SIGNATURES is '{name}', ");
        assert!(answer.stdout.contains(&line), "{}", answer.stdout);
        assert!(answer.stdout.contains(&format!("Without it: {fastest}\n")));
        assert!(answer.stderr.contains("\nFix: "), "{}", answer.stderr);
        // Every other line is there.
        for line in good.stdout.lines().filter(|it| it.contains("  ")) {
            let is_there = line.starts_with("signatures") || answer.stdout.contains(line);
            assert!(is_there, "{line}: {}", answer.stdout);
        }
        let json: serde_json::Value =
            serde_json::from_str(&doctor(name, &["--json"]).stdout).unwrap();
        assert_eq!(json["signatures"], fastest.name());
        assert_eq!(json["ok"], false);
        let told = json["signatures_failure"].as_str().unwrap();
        assert!(told.contains(name), "{told}");
    }
    assert!(
        !good.stdout.contains("PROVARA_SIGNATURES"),
        "{}",
        good.stdout
    );
}
