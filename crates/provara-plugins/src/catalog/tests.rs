use super::*;
use crate::protocol::WireProblem;

fn plugin(kind: WireKind, name: &str, class: &str) -> WirePlugin {
    WirePlugin {
        kind,
        name: name.to_owned(),
        origin: WireOrigin {
            class: class.to_owned(),
            distribution: Some("acme-provara-plugins".to_owned()),
            version: Some("1.0.0".to_owned()),
            source: WireSource::EntryPoint,
            entry_point: None,
            item: None,
        },
        schema_json: (kind == WireKind::EventType).then(|| r#"{"type":"object"}"#.to_owned()),
        schemas_json: None,
        unread_schemas: None,
        schema_version: None,
        cli_command: None,
        description: None,
    }
}

fn compile(schema: Schema<'_>) -> Inspected {
    crate::schema::inspect(schema).0
}

fn catalog(plugins: Vec<WirePlugin>) -> Catalog {
    let found = Discovered {
        files: None,
        plugins,
        problems: Vec::new(),
    };
    Catalog::from_wire(found, Some(&mut compile))
}

#[test]
fn admits_and_sorts() {
    let mut login = plugin(WireKind::EventType, "com.acme.audit.login", "a.Login");
    login.cli_command = Some("login".to_owned());
    let found = catalog(vec![
        plugin(WireKind::Export, "siem-splunk", "a.S"),
        plugin(WireKind::Export, "csv", "a.C"),
        login,
        plugin(WireKind::Reducer, "com.acme.compliance.monitor", "a.R"),
    ]);
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    assert_eq!(found.exports[0].name.as_str(), "csv");
    assert_eq!(
        found.exports[0].origin.to_string(),
        "acme-provara-plugins v1.0.0"
    );
    for name in ["LOGIN", "com.acme.AUDIT.login"] {
        assert_eq!(
            found.event_type(name).unwrap().event_type.as_str(),
            "com.acme.audit.login"
        );
    }
    assert!(found.event_type("logi").is_none());
    assert!(found.reducer("COM.acme.compliance.monitor").is_some());
    assert!(found.export("csv2").is_none());
}

#[test]
fn a_collision_reads_as_specified_and_the_first_stays() {
    let found = catalog(vec![
        plugin(
            WireKind::Export,
            "csv",
            "provara.plugins.builtin.CSVExporter",
        ),
        plugin(WireKind::Export, "CSV", "x.Other"),
        plugin(
            WireKind::Export,
            "csv",
            "acme_provara_plugins.CSVExportPlugin",
        ),
        plugin(WireKind::Reducer, "csv", "x.Reducer"),
    ]);
    assert_eq!(found.exports.len(), 1);
    assert_eq!(found.reducers.len(), 1);
    assert_eq!(found.problems.len(), 2);
    assert_eq!(
        found.problems[1].text,
        "ERROR: Plugin name collision for 'csv'.\n  \
         Existing: provara.plugins.builtin.CSVExporter\n  \
         New: acme_provara_plugins.CSVExportPlugin\n\
         Fix: Use a unique name (reverse-domain notation recommended)."
    );
}

#[test]
fn a_bad_entry_breaks_no_other() {
    let mut no_schema = plugin(WireKind::EventType, "com.acme.a.b", "x.NoSchema");
    no_schema.schema_json = None;
    let mut bad_schema = plugin(WireKind::EventType, "com.acme.a.c", "x.BadSchema");
    bad_schema.schema_json = Some(r#"{"type":"objekt"}"#.to_owned());
    let mut bad_alias = plugin(WireKind::EventType, "com.acme.a.d", "x.BadAlias");
    bad_alias.cli_command = Some("a b\x1b[0m".to_owned());
    let found = catalog(vec![
        no_schema,
        bad_schema,
        bad_alias,
        plugin(WireKind::EventType, "Genesis", "x.Reserved"),
        plugin(WireKind::EventType, "login", "x.Short"),
        plugin(WireKind::Export, "a\x1b[31m", "x.Escape"),
        plugin(WireKind::Export, "", "x.Empty"),
        plugin(WireKind::Export, "good", "x.Good"),
    ]);
    assert_eq!(found.event_types.len(), 1);
    assert_eq!(found.exports.len(), 1);
    let kinds: Vec<_> = found.problems.iter().map(|problem| problem.kind).collect();
    use ProblemKind::{Name, Schema};
    assert_eq!(kinds, [Schema, Schema, Name, Name, Name, Name, Name]);
    assert!(found.problems[3].text.contains("reserved for core types"));
    assert!(
        found
            .problems
            .iter()
            .all(|problem| !problem.text.contains('\x1b'))
    );
    assert!(
        found
            .problems
            .iter()
            .all(|problem| problem.text.contains("\nFix: "))
    );
}

#[test]
fn an_alias_hides_no_type() {
    let with_alias = |name: &str, alias: &str| {
        let mut plugin = plugin(WireKind::EventType, name, &format!("x.{alias}"));
        plugin.cli_command = Some(alias.to_owned());
        plugin
    };
    let found = catalog(vec![
        with_alias("com.acme.a.a", "observation"),
        with_alias("com.acme.a.b", "com.acme.a.c"),
        with_alias("com.acme.a.c", "login"),
        with_alias("com.acme.a.d", "LOGIN"),
    ]);
    assert_eq!(found.problems.len(), 3);
    assert_eq!(
        found.event_type("login").unwrap().event_type.as_str(),
        "com.acme.a.c"
    );
    assert!(found.event_type("observation").is_none());
}

#[test]
fn problems_of_the_host_are_escaped() {
    let wire = Discovered {
        files: None,
        plugins: Vec::new(),
        problems: vec![WireProblem {
            kind: "load".to_owned(),
            plugin: Some("x\x07".to_owned()),
            distribution: None,
            origin: None,
            text: "ERROR: \x1b]0;title\x07\nFix: …\n".to_owned(),
        }],
    };
    let found = Catalog::from_wire(wire, Some(&mut compile));
    assert_eq!(found.problems[0].kind, ProblemKind::Load);
    assert_eq!(
        found.problems[0].text,
        "ERROR: \\u{1b}]0;title\\u{7}\nFix: …"
    );
}

#[test]
fn a_type_keeps_its_name_though_its_schema_cannot_be_used() {
    let mut broken = plugin(WireKind::EventType, "com.example.shop.broken", "s.B");
    broken.schema_json = Some(r#"{"type":"objekt"}"#.to_owned());
    let found = catalog(vec![
        broken,
        plugin(WireKind::EventType, "com.example.shop.order", "s.O"),
    ]);
    let problem = found.unusable("com.example.SHOP.broken").unwrap();
    assert!(problem.text.contains("'objekt'"), "{problem:?}");
    assert!(
        problem
            .text
            .ends_with("\nFix: Correct the plugin's JSON Schema.")
    );
    for name in ["com.example.shop.order", "com.example.shop.other"] {
        assert_eq!(found.unusable(name), None);
    }
}

#[test]
fn further_schemas_are_named_where_they_are_at_fault() {
    let mut lost = plugin(WireKind::EventType, "com.example.shop.lost", "s.L");
    lost.schema_json = Some(r#"{"$ref":"parts/a.json"}"#.to_owned());
    let mut listed = plugin(WireKind::EventType, "com.example.shop.listed", "s.L");
    listed.unread_schemas = Some("list".to_owned());
    let found = catalog(vec![lost, listed]);
    let problem = found.unusable("com.example.shop.lost").unwrap();
    assert!(
        problem
            .text
            .contains("\nFix: Correct the plugin's 'schemas': a dict"),
        "{problem:?}"
    );
    let [advice] = &found.advice[..] else {
        panic!("{:?}", found.advice);
    };
    assert_eq!(advice.plugin, "com.example.shop.listed");
    let [remark] = &advice.remarks.list[..] else {
        panic!("{advice:?}");
    };
    assert!(
        remark
            .to_string()
            .starts_with("in 'schemas': it is a list and is not read")
    );
}
