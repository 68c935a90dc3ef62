//! The catalogue of discovered plugins: what the host says, checked.
//!
//! The host runs third parties' code, so its list is evidence of nothing. Here every entry is
//! parsed into types that can only hold what the contract allows; an entry that does not fit
//! becomes a [`Problem`] and breaks no other entry.

mod problem;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use provara_core::event_type::{CustomType, TypeNameError, reserved_name};
use provara_report::{Class, Diagnostic};
use serde::Serialize;

pub use self::problem::{Advice, Problem, ProblemKind};
use crate::protocol::{Discovered, WireKind, WireOrigin, WirePlugin, WireSchema, WireSource};
use crate::schema::{Inspected, Remark, Remarks, Schema};
use crate::text::{block, inline};

/// The longest plugin name, in bytes.
const MAX_NAME: usize = 200;

/// The most characters of what a plugin says of itself.
const MAX_DESCRIPTION: usize = 300;

/// Compiles a schema, and says all there is to know of it.
pub(crate) type Compile<'a> = &'a mut dyn FnMut(Schema<'_>) -> Inspected;

/// The kinds of plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginKind {
    /// Defines a custom event type.
    EventType,
    /// Derives a state from events.
    Reducer,
    /// Writes a vault in another form.
    Export,
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PluginKind::EventType => "event type",
            PluginKind::Reducer => "reducer",
            PluginKind::Export => "export format",
        })
    }
}

impl From<WireKind> for PluginKind {
    fn from(kind: WireKind) -> PluginKind {
        match kind {
            WireKind::EventType => PluginKind::EventType,
            WireKind::Reducer => PluginKind::Reducer,
            WireKind::Export => PluginKind::Export,
        }
    }
}

/// The name of a reducer or an export format, or the alias of an event type: visible ASCII
/// without quotes, slashes and backslashes, so that it can stand in a message, on a command line
/// and in a file name as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PluginName(String);

/// Why a text is no [`PluginName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is not a plugin name: use letters, digits, '.', '_', '-' or '+'", inline(.0))]
pub struct PluginNameError(String);

impl PluginName {
    /// The name with its letters as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PluginName {
    type Err = PluginNameError;

    fn from_str(name: &str) -> Result<Self, PluginNameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+');
        let starts_well = name
            .as_bytes()
            .first()
            .is_some_and(u8::is_ascii_alphanumeric);
        if starts_well && name.len() <= MAX_NAME && name.bytes().all(allowed) {
            Ok(PluginName(name.to_owned()))
        } else {
            Err(PluginNameError(name.to_owned()))
        }
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a plugin comes from. All texts are safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Module and qualified name of the class, as `acme_provara_plugins.LoginEventPlugin`.
    pub class: String,
    /// The installed distribution, as `acme-provara-plugins`.
    pub distribution: Option<String>,
    /// The version of that distribution.
    pub version: Option<String>,
    /// How discovery found it.
    pub source: WireSource,
    /// The name of its entry point.
    pub entry_point: Option<String>,
    /// The item of `PROVARA_PLUGINS` that it was found by.
    #[serde(skip)]
    pub item: Option<String>,
}

impl From<WireOrigin> for Origin {
    fn from(origin: WireOrigin) -> Origin {
        Origin {
            class: safe(origin.class),
            distribution: origin.distribution.map(safe),
            version: origin.version.map(safe),
            source: origin.source,
            entry_point: origin.entry_point.map(safe),
            item: origin.item.map(safe),
        }
    }
}

impl fmt::Display for Origin {
    /// `acme-provara-plugins v1.0.0`, or the class where no distribution is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.distribution, &self.version) {
            (Some(distribution), Some(version)) => write!(f, "{distribution} v{version}"),
            (Some(distribution), None) => f.write_str(distribution),
            (None, _) => f.write_str(&self.class),
        }
    }
}

/// An event type that a plugin defines. Its schema was compiled once, so it can be, unless it is to be loaded on
/// demand (see [`crate::host::HostOptions::schemas_on_demand`]).
#[derive(Debug, Clone)]
pub struct EventTypeInfo {
    /// The type.
    pub event_type: CustomType,
    /// Where the plugin comes from.
    pub origin: Origin,
    /// The alias that `append --type` takes for the type.
    pub alias: Option<PluginName>,
    /// The version of the schema, `1.0` unless the plugin says otherwise.
    pub schema_version: String,
    /// The schema as JSON text, as the plugin gives it; empty until it is loaded.
    pub schema_json: String,
    /// The further schemas that it refers to, one JSON object by URI.
    pub schemas_json: Option<String>,
    /// Its schema cannot be used, which is known since it was loaded.
    pub(crate) unusable: bool,
}

impl EventTypeInfo {
    /// The schema, for whoever applies it.
    pub(crate) fn schema(&self) -> Schema<'_> {
        Schema {
            event_type: self.event_type.as_str(),
            version: &self.schema_version,
            json: &self.schema_json,
            further: self.schemas_json.as_deref(),
        }
    }

    /// Takes the schema that was loaded, or why there is none.
    pub(crate) fn take_schema(&mut self, schema: WireSchema) -> Result<(), String> {
        let missing = || schema.reason.unwrap_or_else(|| "it is missing".to_owned());
        self.schema_json = schema.schema_json.ok_or_else(missing)?;
        self.schemas_json = schema.schemas_json;
        if let Some(version) = schema.schema_version {
            self.schema_version = safe(version);
        }
        Ok(())
    }

    /// The schema cannot be used.
    pub(crate) fn refuse_schema(&mut self, reason: &str) -> Problem {
        self.unusable = true;
        schema_problem(self.event_type.as_str(), &self.origin, reason)
    }
}

/// A reducer or an export format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginInfo {
    /// The name.
    pub name: PluginName,
    /// Where the plugin comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// What the plugin says of itself, in a sentence or two, safe for a terminal.
    #[serde(skip)]
    pub description: Option<String>,
}

/// Every plugin that discovery found and the contract admits, sorted by name.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Custom event types.
    pub event_types: Vec<EventTypeInfo>,
    /// Reducers.
    pub reducers: Vec<PluginInfo>,
    /// Export formats.
    pub exports: Vec<PluginInfo>,
    /// What was left out.
    pub problems: Vec<Problem>,
    /// What authors should know of their schemas, where plugins are listed.
    pub advice: Vec<Advice>,
}

impl Catalog {
    /// Checks a discovery's result. Of two plugins of one kind with one name (in any letter
    /// case) the first stays. `compile` says why a schema cannot be used; without it schemas are
    /// loaded on demand.
    pub(crate) fn from_wire(found: Discovered, mut compile: Option<Compile<'_>>) -> Catalog {
        let mut catalog = Catalog::default();
        for problem in found.problems {
            catalog.problems.push(Problem {
                kind: match problem.kind.as_str() {
                    "collision" => ProblemKind::Collision,
                    "load" => ProblemKind::Load,
                    "name" => ProblemKind::Name,
                    "schema" => ProblemKind::Schema,
                    _ => ProblemKind::Invalid,
                },
                plugin: problem.plugin.map(safe),
                distribution: problem.distribution.map(safe),
                text: block(problem.text.trim_end()).into_owned(),
                of: problem.origin.as_ref().map(|_| PluginKind::EventType),
                origin: problem.origin.map(Origin::from),
                faults: Remarks::default(),
                advice: Remarks::default(),
            });
        }
        let mut taken: BTreeMap<(WireKind, String), String> = BTreeMap::new();
        for plugin in found.plugins {
            let key = (plugin.kind, plugin.name.to_lowercase());
            if let Some(existing) = taken.get(&key) {
                let problem = collision(&plugin.name, existing, &plugin.origin.class);
                let origin = plugin.origin.into();
                let problem = problem.of(plugin.kind.into(), &origin);
                catalog.problems.push(problem);
                continue;
            }
            let class = plugin.origin.class.clone();
            let compile = compile.as_mut().map(|compile| &mut **compile as _);
            match catalog.admit(plugin, compile) {
                Ok(()) => {
                    taken.insert(key, class);
                }
                Err(problem) => catalog.problems.push(*problem),
            }
        }
        catalog.settle_aliases();
        let by_name = |a: &PluginInfo, b: &PluginInfo| a.name.cmp(&b.name);
        catalog.reducers.sort_by(by_name);
        catalog.exports.sort_by(by_name);
        catalog
            .event_types
            .sort_by(|a, b| a.event_type.cmp(&b.event_type));
        catalog
    }

    /// The event type that `name` spells, in any letter case, or whose alias it is.
    #[must_use]
    pub fn event_type(&self, name: &str) -> Option<&EventTypeInfo> {
        self.event_type_index(name)
            .map(|index| &self.event_types[index])
    }

    /// The place of that event type among the event types.
    pub(crate) fn event_type_index(&self, name: &str) -> Option<usize> {
        let exact = |info: &EventTypeInfo| {
            !info.unusable && info.event_type.as_str().eq_ignore_ascii_case(name)
        };
        let alias = |info: &EventTypeInfo| {
            let alias = info.alias.as_ref().filter(|_| !info.unusable);
            alias.is_some_and(|alias| alias.0.eq_ignore_ascii_case(name))
        };
        let mut types = self.event_types.iter();
        types
            .position(exact)
            .or_else(|| self.event_types.iter().position(alias))
    }

    /// Why the plugin that defines the event type of this name or alias cannot be used, where its schema is at
    /// fault: the type keeps its name, and nobody may append to it.
    #[must_use]
    pub fn unusable(&self, name: &str) -> Option<&Problem> {
        if self.event_type_index(name).is_some() {
            return None;
        }
        let aliased = self.event_types.iter().find(|info| {
            let alias = info.alias.as_ref().filter(|_| info.unusable);
            alias.is_some_and(|alias| alias.0.eq_ignore_ascii_case(name))
        });
        let name = aliased.map_or(name, |info| info.event_type.as_str());
        self.problems.iter().find(|problem| {
            let plugin = problem.plugin.as_deref().unwrap_or_default();
            problem.kind == ProblemKind::Schema && plugin.eq_ignore_ascii_case(name)
        })
    }

    /// The types and aliases that can be used.
    pub fn usable_types(&self) -> impl Iterator<Item = &EventTypeInfo> {
        self.event_types.iter().filter(|info| !info.unusable)
    }

    /// The reducer that `name` spells, in any letter case.
    #[must_use]
    pub fn reducer(&self, name: &str) -> Option<&PluginInfo> {
        self.reducers
            .iter()
            .find(|info| info.name.0.eq_ignore_ascii_case(name))
    }

    /// The export format that `name` spells, in any letter case.
    #[must_use]
    pub fn export(&self, name: &str) -> Option<&PluginInfo> {
        self.exports
            .iter()
            .find(|info| info.name.0.eq_ignore_ascii_case(name))
    }

    fn admit(
        &mut self,
        plugin: WirePlugin,
        compile: Option<Compile<'_>>,
    ) -> Result<(), Box<Problem>> {
        let origin = Origin::from(plugin.origin);
        let kind = plugin.kind.into();
        let description = plugin
            .description
            .map(|text| crate::text::shorten(&safe(text), MAX_DESCRIPTION).into_owned());
        let named = |name: String, origin: Origin| match name.parse::<PluginName>() {
            Ok(name) => Ok(PluginInfo {
                name,
                origin,
                description,
            }),
            Err(error) => {
                let text = Diagnostic::new(Class::Plugin, format!("{error}."))
                    .detail(format!("Plugin class: {}", origin.class))
                    .detail(format!("Source: {origin}"))
                    .fix("Rename the plugin (reverse-domain notation recommended).");
                let problem = Problem::new(ProblemKind::Name, &name, &text);
                Err(Box::new(problem.of(kind, &origin)))
            }
        };
        match plugin.kind {
            WireKind::Reducer => self.reducers.push(named(plugin.name, origin)?),
            WireKind::Export => self.exports.push(named(plugin.name, origin)?),
            WireKind::EventType => {
                let version = plugin.schema_version.map_or_else(|| "1.0".to_owned(), safe);
                let unread = plugin.unread_schemas.filter(|_| compile.is_some());
                let (info, mut advice) = event_type(
                    &plugin.name,
                    origin,
                    (plugin.schema_json, plugin.schemas_json),
                    version,
                    plugin.cli_command,
                    &mut self.problems,
                    compile,
                )?;
                let plugin = info.event_type.as_str();
                advice.list.extend(unread.map(|kind| Remark {
                    schema: None,
                    at: None,
                    text: format!(
                        "in 'schemas': it is a {} and is not read; further schemas are a dict by URI, or the \
                         absolute path of their directory",
                        inline(&kind)
                    ),
                }));
                if !advice.list.is_empty() {
                    self.advice.push(Advice {
                        plugin: plugin.to_owned(),
                        remarks: advice,
                    });
                }
                self.event_types.push(info);
            }
        }
        Ok(())
    }

    /// An alias must not hide a core type, a custom type or an earlier alias.
    fn settle_aliases(&mut self) {
        let mut taken: BTreeMap<String, String> = self
            .event_types
            .iter()
            .map(|info| (info.event_type.folded(), info.origin.class.clone()))
            .collect();
        for info in &mut self.event_types {
            let Some(alias) = &info.alias else { continue };
            let folded = alias.0.to_ascii_lowercase();
            let existing = match reserved_name(&folded) {
                Some(core) => Some(format!("the core type {}", core.as_str())),
                None => taken.get(&folded).cloned(),
            };
            if let Some(existing) = existing {
                let problem = collision(&alias.0, &existing, &info.origin.class);
                self.problems
                    .push(problem.of(PluginKind::EventType, &info.origin));
                info.alias = None;
            } else {
                taken.insert(folded, info.origin.class.clone());
            }
        }
    }
}

fn event_type(
    name: &str,
    origin: Origin,
    (schema_json, schemas_json): (Option<String>, Option<String>),
    schema_version: String,
    alias: Option<String>,
    problems: &mut Vec<Problem>,
    compile: Option<Compile<'_>>,
) -> Result<(EventTypeInfo, Remarks), Box<Problem>> {
    let refuse = |kind: ProblemKind, what: &str, fix: &str| {
        let text = Diagnostic::new(Class::Plugin, format!("Plugin '{name}' is invalid."))
            .detail(what)
            .detail(format!("Plugin class: {}", origin.class))
            .detail(format!("Source: {origin}"))
            .fix(fix);
        let problem = Problem::new(kind, name, &text);
        Box::new(problem.of(PluginKind::EventType, &origin))
    };
    let event_type: CustomType = name.parse().map_err(|error: TypeNameError| {
        let what = format!("Event type name {}", inline(&error.to_string()));
        refuse(
            ProblemKind::Name,
            &what,
            "Use a reverse-domain name such as com.example.thing.",
        )
    })?;
    let mut info = EventTypeInfo {
        event_type,
        origin: origin.clone(),
        alias: None,
        schema_version,
        schema_json: String::new(),
        schemas_json,
        unusable: false,
    };
    let mut advice = Remarks::default();
    if let Some(compile) = compile {
        info.schema_json = schema_json.ok_or_else(|| {
            refuse(
                ProblemKind::Schema,
                "Missing required attribute: 'schema'",
                "Provide a JSON Schema for the event's payload.",
            )
        })?;
        let inspected = compile(info.schema());
        if let Some(fault) = inspected.fault {
            let (faults, advice) = (inspected.faults, inspected.advice);
            return Err(Box::new(Problem {
                faults,
                advice,
                ..info.refuse_schema(&fault)
            }));
        }
        advice = inspected.advice;
    }
    info.alias = match alias.as_deref().map(PluginName::from_str) {
        None => None,
        Some(Ok(alias)) => Some(alias),
        Some(Err(error)) => {
            problems.push(*refuse(
                ProblemKind::Name,
                &format!("cli_command(): {error}"),
                "Return a plain word from cli_command(), or None.",
            ));
            None
        }
    };
    Ok((info, advice))
}

/// The problem of a schema that cannot be used.
fn schema_problem(name: &str, origin: &Origin, reason: &str) -> Problem {
    let text = Diagnostic::new(Class::Plugin, format!("Plugin '{name}' is invalid."))
        .detail(format!("The schema cannot be used: {}", inline(reason)))
        .detail(format!("Plugin class: {}", origin.class))
        .detail(format!("Source: {origin}"))
        .fix(match reason.contains("'schemas'") {
            true => {
                "Correct the plugin's 'schemas': a dict of JSON Schemas by URI, or the absolute path of the \
                 directory that has them as *.json."
            }
            false => "Correct the plugin's JSON Schema.",
        });
    Problem::new(ProblemKind::Schema, name, &text).of(PluginKind::EventType, origin)
}

/// The text of the specification's section "Name Collision".
fn collision(name: &str, existing: &str, new: &str) -> Problem {
    let text = Diagnostic::new(
        Class::Plugin,
        format!("Plugin name collision for '{name}'."),
    )
    .detail(format!("Existing: {}", inline(existing)))
    .detail(format!("New: {}", inline(new)))
    .fix("Use a unique name (reverse-domain notation recommended).");
    Problem::new(ProblemKind::Collision, name, &text)
}

/// Escapes a text of one line. Takes and gives ownership because most texts need no change.
#[allow(clippy::needless_pass_by_value)]
fn safe(text: String) -> String {
    inline(&text).into_owned()
}

#[cfg(test)]
mod tests;
