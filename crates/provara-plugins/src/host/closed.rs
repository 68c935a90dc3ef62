//! Plugins that cannot be loaded because the source tree of their package is closed to them: one problem for the
//! package, in the place of what each of them says of it.

use provara_report::{Class, Diagnostic};

use crate::catalog::{Problem, ProblemKind};
use crate::protocol::WireProblem;
use crate::sources::{ClosedSource, normalized};
use crate::text::inline;

/// Takes out of what discovery found the failures to load that come of closed source trees, and tells each tree
/// once.
pub(super) fn take_problems(found: &mut Vec<WireProblem>, closed: &[ClosedSource]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in closed {
        let Some(package) = source.package.as_deref() else {
            continue;
        };
        let (of_it, others) = std::mem::take(found).into_iter().partition(|problem| {
            let distribution = problem.distribution.as_deref().map(normalized);
            problem.kind == "load" && distribution.as_deref() == Some(package)
        });
        *found = others;
        let of_it: Vec<WireProblem> = of_it;
        if !of_it.is_empty() {
            problems.push(problem(source, package, &of_it));
        }
    }
    problems
}

fn problem(source: &ClosedSource, package: &str, of_it: &[WireProblem]) -> Problem {
    let package = inline(package);
    let names = of_it
        .iter()
        .filter_map(|problem| problem.plugin.as_deref().map(inline));
    let names: Vec<_> = names.collect();
    let text = Diagnostic::new(
        Class::Plugin,
        format!("The plugins of the package '{package}' could not be loaded."),
    )
    .detail(format!("Plugins: '{}'", names.join("', '")))
    .detail(format!("Why: {source}."))
    .fix(source.help());
    let distribution = of_it
        .first()
        .and_then(|problem| problem.distribution.as_deref());
    Problem {
        distribution: distribution.map(|it| inline(it).into_owned()),
        ..Problem::new(ProblemKind::Load, &package, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::ClosedReason;

    fn failed(kind: &str, plugin: &str, distribution: Option<&str>) -> WireProblem {
        WireProblem {
            kind: kind.to_owned(),
            plugin: Some(plugin.to_owned()),
            distribution: distribution.map(str::to_owned),
            origin: None,
            text: "ERROR: no\nFix: pip install --upgrade it".to_owned(),
        }
    }

    #[test]
    fn a_closed_tree_is_told_once() {
        let closed = [ClosedSource {
            directory: "/srv/lab plugins".into(),
            package: Some("lab-plugins".to_owned()),
            reason: ClosedReason::Holds("/srv/lab plugins/vault".into()),
        }];
        let mut found = vec![
            failed("load", "a", Some("Lab_Plugins")),
            failed("load", "other", Some("other")),
            failed("load", "b", Some("lab-plugins")),
            failed("invalid", "c", Some("lab-plugins")),
            failed("load", "d", None),
        ];
        let problems = take_problems(&mut found, &closed);
        let left: Vec<_> = found.iter().map(|it| it.plugin.as_deref()).collect();
        assert_eq!(left, [Some("other"), Some("c"), Some("d")]);
        let [problem] = &problems[..] else {
            panic!("{problems:?}");
        };
        assert_eq!(
            problem.text,
            "ERROR: The plugins of the package 'lab-plugins' could not be loaded.\n  \
             Plugins: 'a', 'b'\n  \
             Why: the directory '/srv/lab plugins', the source of the installed package 'lab-plugins', stays \
             closed to plugins, because '/srv/lab plugins/vault' is, or holds, a vault or keys.\n\
             Fix: Move '/srv/lab plugins/vault' out of it; or, if plugins may read the rest, open it with: \
             provara plugins list --editable '/srv/lab plugins'"
        );
        assert_eq!(take_problems(&mut found, &closed), []);
    }
}
