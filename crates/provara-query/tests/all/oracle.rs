//! The language held against the kept interpreter of CEL: what both understand comes to the same.
//!
//! The pairs are products of members, literals and operators. Left out, because they are what this language
//! does otherwise on purpose: integers beyond 64 bits and comparisons that binary64 would round.

use cel::{Context, Program, Value as Cel};
use provara_core::json::{self, Value};
use provara_core::query::Predicate;
use provara_query::Filter;

const EVENT: &str =
    r#"{"b":true,"f":1.5,"i":7,"l":[1,"x",null],"m":{"k":1},"n":null,"s":"seven","t":"7","z":[]}"#;

fn cel_value(value: &Value<'_>) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(token) => match token.parse::<i64>() {
            Ok(value) => Cel::Int(value),
            Err(_) => Cel::Float(token.parse().unwrap()),
        },
        Value::String(text) => Cel::from(text.as_ref()),
        Value::Array(items) => Cel::from(items.iter().map(cel_value).collect::<Vec<_>>()),
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(key, value)| (key.to_string(), cel_value(value)));
            Cel::from(members.collect::<std::collections::HashMap<_, _>>())
        }
    }
}

fn expressions() -> Vec<String> {
    let members = [
        "e.b",
        "e.f",
        "e.i",
        "e.l",
        "e.m",
        "e.n",
        "e.s",
        "e.t",
        "e.z",
        "e.missing",
        "e.m.k",
        "e.l[0]",
        "e.l[9]",
        "e[\"s\"]",
    ];
    let values = [
        "1",
        "7",
        "7.0",
        "1.5",
        "-1",
        "\"seven\"",
        "\"7\"",
        "true",
        "null",
        "[1, \"x\", null]",
        "[]",
    ];
    let mut all = Vec::new();
    for member in members {
        for value in values.iter().chain(&members) {
            for operator in ["==", "!=", "<", "<=", ">", ">=", "in"] {
                all.push(format!("{member} {operator} {value}"));
            }
        }
        for call in [
            "M.contains(\"ev\")",
            "M.startsWith(\"se\")",
            "M.endsWith(\"n\")",
            "M.matches(\"^s.v\")",
            "size(M) == 3",
            "M.size() > 0",
            "!M",
            "!!M",
            "M ? true : false",
            "M.exists(x, x == 1)",
            "M.all(x, x == 1)",
            "M.exists_one(x, x == 1)",
            "M.exists(x, x > 0)",
            "M.all(x, x > 0)",
            "M.exists_one(x, x > 0)",
            "double(M) == 7.0",
            "\"k\" in M",
        ] {
            all.push(call.replace('M', member));
        }
    }
    all.extend(["b", "missing", "m.k", "s", "missing.k"].map(|path| format!("has(e.{path})")));
    // What cannot be computed, beside what can.
    let parts = [
        "e.b",
        "!e.b",
        "e.missing",
        "e.s",
        "e.i > 3",
        "e.i > \"a\"",
        "e.n == null",
    ];
    for a in parts {
        for b in parts {
            all.push(format!("{a} && {b}"));
            all.push(format!("{a} || {b}"));
            all.push(format!("!({a} && {b}) || {a}"));
            all.push(format!("{a} ? {b} : {a}"));
        }
    }
    all
}

#[test]
fn both_say_the_same() {
    let line = format!("{{\"e\":{EVENT}}}");
    let event = json::parse(line.as_bytes()).unwrap();
    let mut context = Context::default();
    context.add_variable_from_value("e", cel_value(event.get("e").unwrap()));
    let (mut compared, mut met, mut differences) = (0, 0, Vec::new());
    for text in expressions() {
        let program = Program::compile(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let theirs = matches!(program.execute(&context), Ok(Cel::Bool(true)));
        let ours = text
            .parse::<Filter>()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        let ours = ours.holds(&event);
        compared += 1;
        met += usize::from(ours);
        if ours != theirs {
            differences.push(format!("{text}: here {ours}, there {theirs}"));
        }
    }
    assert!(compared > 2500 && met > 200, "{compared} {met}");
    assert!(
        differences.is_empty(),
        "{}:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
