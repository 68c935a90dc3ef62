//! The plugins of a catalogue one by one, those that cannot be used among them, with what there is to say of each.

use provara_plugins::catalog::{
    Catalog, Origin, PluginInfo, PluginKind, PluginName, Problem, ProblemKind,
};
use provara_plugins::protocol::WireSource;
use provara_plugins::schema::{Remark, Remarks};
use provara_plugins::sources::normalized;
use provara_report::{Class, Diagnostic};
use serde::{Serialize, Serializer};

/// Whether a plugin can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usable {
    Yes,
    No,
}

impl Serialize for Usable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*self == Usable::Yes)
    }
}

/// A plugin, as far as it is known. All texts are safe for a terminal.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    /// Its name; where it has none because it cannot be loaded, that of its entry point or item.
    pub(super) name: String,
    kind: Option<PluginKind>,
    pub(super) usable: Usable,
    pub(super) class: Option<String>,
    distribution: Option<String>,
    version: Option<String>,
    source: Option<WireSource>,
    entry_point: Option<String>,
    pub(super) cli_command: Option<String>,
    pub(super) schema_version: Option<String>,
    pub(super) problems: Vec<Told>,
    /// All that is wrong with its schema.
    #[serde(serialize_with = "list")]
    pub(super) faults: Remarks,
    #[serde(serialize_with = "list")]
    pub(super) advice: Remarks,
    #[serde(skip)]
    item: Option<String>,
}

/// A problem of a plugin.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    kind: ProblemKind,
    text: String,
}

impl Told {
    /// The problem; one of a schema tells all its faults.
    pub(super) fn diagnostic(&self, faults: &Remarks) -> Diagnostic {
        let whole = Diagnostic::verbatim(Class::Plugin, vec![self.text.clone()]);
        if self.kind != ProblemKind::Schema || faults.list.is_empty() {
            return whole;
        }
        let parts = whole.parts();
        let told = Diagnostic::new(Class::Plugin, parts.headline);
        let more = faults.more.then(|| "… and more".to_owned());
        let faults = faults.list.iter().map(Remark::to_string).chain(more);
        let told = faults.fold(told, |told, fault| {
            told.detail(format!("The schema cannot be used: {fault}"))
        });
        match parts.fix {
            Some(fix) => told.fix(fix),
            None => told,
        }
    }
}

impl Found {
    fn of(name: &str, kind: PluginKind, origin: &Origin) -> Found {
        Found {
            name: name.to_owned(),
            kind: Some(kind),
            usable: Usable::Yes,
            class: Some(origin.class.clone()),
            distribution: origin.distribution.clone(),
            version: origin.version.clone(),
            source: Some(origin.source),
            entry_point: origin.entry_point.clone(),
            cli_command: None,
            schema_version: None,
            problems: Vec::new(),
            faults: Remarks::default(),
            advice: Remarks::default(),
            item: origin.item.clone(),
        }
    }

    /// A plugin of which no more is known than its problem.
    fn broken(problem: &Problem) -> Found {
        let origin = problem.origin.as_ref();
        Found {
            name: problem.plugin.clone().unwrap_or_else(|| "?".to_owned()),
            kind: problem.of,
            usable: Usable::No,
            class: origin.map(|it| it.class.clone()),
            distribution: problem.distribution.clone(),
            version: origin.and_then(|it| it.version.clone()),
            source: origin.map(|it| it.source),
            entry_point: origin.and_then(|it| it.entry_point.clone()),
            cli_command: None,
            schema_version: None,
            problems: Vec::new(),
            faults: problem.faults.clone(),
            advice: problem.advice.clone(),
            item: origin.and_then(|it| it.item.clone()),
        }
    }

    /// Whether nothing is wrong with it.
    pub(super) fn is_whole(&self) -> bool {
        self.usable == Usable::Yes && self.problems.is_empty()
    }

    pub(super) fn kind_in_words(&self) -> String {
        self.kind
            .map_or("plugin".to_owned(), |kind| kind.to_string())
    }

    /// The package that it is of, with its version.
    pub(super) fn package(&self) -> Option<String> {
        let distribution = self.distribution.as_ref()?;
        Some(match &self.version {
            Some(version) => format!("{distribution} v{version}"),
            None => distribution.clone(),
        })
    }

    /// What it can be called on the command line.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let others = [
            &self.class,
            &self.distribution,
            &self.entry_point,
            &self.cli_command,
            &self.item,
        ];
        let others = others.into_iter().filter_map(|name| name.as_deref());
        std::iter::once(self.name.as_str()).chain(others)
    }

    /// Whether a name on the command line means it.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let distribution = self.distribution.as_deref().map(normalized);
        let dotted = name.replace(':', ".");
        // One that ended the process is named with its package.
        let named = self.name.split_once(" (").map(|(label, _)| label);
        self.names().any(|known| known.eq_ignore_ascii_case(name))
            || named == Some(name)
            || distribution == Some(normalized(name))
            || self.class.as_deref() == Some(&*dotted)
    }

    /// Whether a problem is one of this plugin, which can be used all the same.
    fn has(&self, problem: &Problem) -> bool {
        let label = problem.plugin.as_deref();
        let called = |name: &Option<String>| name.is_some() && name.as_deref() == label;
        let is_it = match &problem.origin {
            Some(origin) => self.class.as_ref() == Some(&origin.class) && self.kind == problem.of,
            None => {
                // Of two plugins with one name the problem is that of the one which is not there.
                let named = Some(self.name.as_str()) == label;
                called(&self.entry_point) || called(&self.item) || named
            }
        };
        is_it && self.distribution == problem.distribution
    }
}

/// Everything that a discovery found, by name.
pub(super) fn all(catalog: &Catalog) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for plugin in &catalog.event_types {
        let name = plugin.event_type.as_str();
        let advice = catalog.advice.iter().find(|advice| advice.plugin == name);
        found.push(Found {
            cli_command: plugin.alias.as_ref().map(|alias| alias.as_str().to_owned()),
            schema_version: Some(plugin.schema_version.clone()),
            advice: advice.map(|it| it.remarks.clone()).unwrap_or_default(),
            ..Found::of(name, PluginKind::EventType, &plugin.origin)
        });
    }
    let mut add = |plugins: &[PluginInfo], kind| {
        let of =
            |plugin: &PluginInfo| Found::of(PluginName::as_str(&plugin.name), kind, &plugin.origin);
        found.extend(plugins.iter().map(of));
    };
    add(&catalog.reducers, PluginKind::Reducer);
    add(&catalog.exports, PluginKind::Export);
    for problem in &catalog.problems {
        let usable = found.iter_mut().find(|plugin| plugin.has(problem));
        let told = Told {
            kind: problem.kind,
            text: problem.text.clone(),
        };
        match usable {
            Some(plugin) => plugin.problems.push(told),
            None => {
                let mut broken = Found::broken(problem);
                broken.problems.push(told);
                let same = |other: &&Found| other.distribution == broken.distribution;
                let others = || found.iter().find(same).and_then(|it| it.version.clone());
                broken.version = broken.version.take().or_else(others);
                found.push(broken);
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Those that are told; there may be more.
fn list<S: Serializer>(remarks: &Remarks, serializer: S) -> Result<S::Ok, S::Error> {
    remarks.list.serialize(serializer)
}
