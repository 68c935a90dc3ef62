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
        unknown
            .stderr
            .starts_with("ERROR: PROVARA_SIGNATURES is 'sse2', which is no way"),
        "{}",
        unknown.stderr
    );
    assert!(unknown.stderr.contains("\nFix: Set it to one of dalek,"));
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
