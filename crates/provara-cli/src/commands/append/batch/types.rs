//! The types of a batch: their names resolved, their data judged by the plugins that define them.

use std::collections::HashMap;

use provara_core::canonical;
use provara_core::event_type::EventType;
use provara_core::json::Value;
use provara_core::number_policy::NumberPolicy;
use provara_plugins::catalog::EventTypeInfo;
use provara_plugins::host::Verdict;
use provara_plugins::resolve::Resolution;
use provara_report::{Class, Diagnostic};
use provara_vault::{Vault, parallel_map};

use super::super::{AppendArgs, core_type, job, not_looked_up, refuse_unknown};
use super::record::{Item, NO_PLUGINS, Parsed, Refusal};
use crate::plugins::{Session, Validating};
use crate::terminal;

/// What a name stands for.
enum Kind {
    /// A core type, or a custom one that nobody has to judge.
    Free(EventType),
    /// A plugin's; the number is that of the plugin in the catalog.
    Plugin(EventType, usize),
}

/// Resolves the names of types, and starts the plugin host when the first of them needs it.
pub(super) struct Types<'a> {
    args: &'a AppendArgs,
    vault: &'a Vault,
    session: Option<Session<Validating>>,
    /// There is no Python, and every custom type is allowed.
    alone: bool,
    known: HashMap<String, Kind>,
}

impl<'a> Types<'a> {
    pub(super) fn new(args: &'a AppendArgs, vault: &'a Vault) -> Self {
        Self {
            args,
            vault,
            session: None,
            alone: false,
            known: HashMap::new(),
        }
    }

    /// What each record is, or why it is refused, in their order. Ends behind the first that is refused,
    /// unless the batch goes on after what is a record's own fault.
    pub(super) fn check<'l>(
        &mut self,
        parsed: Vec<Result<Parsed<'l>, Refusal>>,
        policy: &NumberPolicy,
        threads: usize,
        going_on: bool,
    ) -> Vec<Result<Item<'l>, Refusal>> {
        let ends = |refusal: &Refusal| !(going_on && refusal.is_of_record());
        let mut known = Vec::with_capacity(parsed.len());
        for parsed in parsed {
            let resolved = parsed.and_then(|parsed| {
                self.resolve(&parsed.type_name)?;
                Ok(parsed)
            });
            let last = resolved.as_ref().is_err_and(ends);
            known.push(resolved);
            if last {
                break;
            }
        }
        let kinds = &self.known;
        let made = parallel_map(known, threads, |parsed| {
            parsed.and_then(|parsed| item(parsed, policy, kinds))
        });
        let mut unfit = self.unfit(&made, going_on);
        let mut items = Vec::with_capacity(made.len());
        for (at, made) in made.into_iter().enumerate() {
            let judged = made.and_then(|(item, plugin)| {
                if let Some(failure) = unfit.remove(&at) {
                    return Err(Refusal::new("schema", failure));
                }
                if let Some(plugin) = plugin {
                    let asked = self.ask(plugin, &item.data);
                    asked.map_err(|failure| Refusal::new("plugin", failure))?;
                }
                Ok(item)
            });
            let last = judged.as_ref().is_err_and(ends);
            items.push(judged);
            if last {
                break;
            }
        }
        items
    }

    /// Holds the data against the schemas of the plugins that define its types; gives those that do not fit,
    /// by their place: the first, or all of them where the batch goes on.
    fn unfit(
        &mut self,
        made: &[Result<Made<'_>, Refusal>],
        going_on: bool,
    ) -> HashMap<usize, Diagnostic> {
        let mut unfit = HashMap::new();
        if self.session.is_none() {
            return unfit;
        }
        let mut by_plugin: HashMap<usize, Vec<(usize, &Value<'_>)>> = HashMap::new();
        for (at, made) in made.iter().enumerate() {
            match made {
                Ok((item, Some(plugin))) => {
                    by_plugin.entry(*plugin).or_default().push((at, &item.data));
                }
                // What comes after a bad record is not appended.
                Err(_) if !going_on => break,
                _ => {}
            }
        }
        for (plugin, records) in by_plugin {
            let mut rest = &records[..];
            while let Some((index, failure)) = self.first_unfit(plugin, rest) {
                let more = going_on && failure.class() == Class::Usage;
                unfit.insert(rest[index].0, failure);
                rest = &rest[index + 1..];
                if !more {
                    break;
                }
            }
        }
        unfit
    }

    /// The first of the records whose data does not fit, and why.
    fn first_unfit(
        &mut self,
        plugin: usize,
        records: &[(usize, &Value<'_>)],
    ) -> Option<(usize, Diagnostic)> {
        if records.is_empty() {
            return None;
        }
        let limit = self.args.host.timeout;
        let session = self.session.as_mut().expect("a plugin was found in it");
        let kind = &session.catalog.event_types[plugin];
        let data: Vec<_> = records.iter().map(|(_, data)| *data).collect();
        let mut check = |data: &[&Value<'_>]| {
            // Not for the whole batch: a plugin is not late because the next record is.
            if let Some(limit) = limit {
                session.host.limit_next(limit);
            }
            session.host.check(kind, data)
        };
        let failed = match check(&data) {
            Ok(None) => return None,
            Ok(Some((index, violations))) => {
                return Some((index, provara_explain::unfit(&violations)));
            }
            Err(error) => provara_explain::host_failure(error),
        };
        if let Class::Interrupted(_) = failed.class() {
            return Some((0, failed));
        }
        // They were judged together, and which of them could not be is known of each alone.
        for (index, data) in data.iter().enumerate() {
            match check(&[*data]) {
                Ok(None) => {}
                Ok(Some((_, violations))) => {
                    return Some((index, provara_explain::unfit(&violations)));
                }
                Err(error) => return Some((index, provara_explain::host_failure(error))),
            }
        }
        // It was all of them together: each by itself fits.
        None
    }

    /// Makes sure that the name is known.
    fn resolve(&mut self, name: &str) -> Result<(), Refusal> {
        if self.known.contains_key(name) {
            return Ok(());
        }
        let refused = |failure| Refusal::new("type", failure);
        let kind = match core_type(name).map_err(refused)? {
            Some(core) => Kind::Free(EventType::Core(core)),
            None => self.custom(name)?,
        };
        self.known.insert(name.to_owned(), kind);
        Ok(())
    }

    fn custom(&mut self, name: &str) -> Result<Kind, Refusal> {
        let refused = |failure| Refusal::new("type", failure);
        let alone = Resolution::<&EventTypeInfo>::without_plugins(name);
        let allowed = self.args.allow_unregistered;
        if self.session.is_none() && !self.alone {
            match Session::start(&self.args.host, job(self.args, self.vault)) {
                Ok(session) => {
                    session.warn_of_problems();
                    self.session = Some(session);
                }
                Err(unusable) => match (unusable.no_python(), &alone) {
                    (Some(reason), Resolution::Unregistered(_)) if allowed => {
                        terminal::note(&format!("no plugin was asked about '{name}': {reason}"));
                        self.alone = true;
                    }
                    (Some(_), Resolution::UnknownOwn(custom)) => {
                        return Err(refused(provara_explain::unknown_own_type(custom)));
                    }
                    _ => return Err(Refusal::new(NO_PLUGINS, not_looked_up(unusable, name))),
                },
            }
        }
        let Some(session) = &mut self.session else {
            return match alone {
                Resolution::Unregistered(custom) => Ok(Kind::Free(EventType::Custom(custom))),
                Resolution::UnknownOwn(custom) => {
                    Err(refused(provara_explain::unknown_own_type(&custom)))
                }
                _ => Err(refused(not_a_type(name))),
            };
        };
        if let Some(limit) = self.args.host.timeout {
            session.host.limit_next(limit);
        }
        let loaded = session.load_schema(name);
        loaded.map_err(|failure| Refusal::new("plugin", failure))?;
        if let Some(problem) = session.catalog.unusable(name) {
            let failure = provara_explain::unusable_type(name, problem);
            return Err(Refusal::new("plugin", failure));
        }
        match session.catalog.resolve(name) {
            Resolution::Plugin { event_type, plugin } => {
                let mut all = session.catalog.event_types.iter();
                let at = all.position(|other| std::ptr::eq(other, plugin));
                let at = at.expect("a plugin of the catalog is in it");
                Ok(Kind::Plugin(EventType::Custom(event_type), at))
            }
            Resolution::Unregistered(custom) if allowed => {
                Ok(Kind::Free(EventType::Custom(custom)))
            }
            Resolution::UnknownOwn(custom) => {
                Err(refused(provara_explain::unknown_own_type(&custom)))
            }
            other => {
                let reverse_domain = matches!(other, Resolution::Unregistered(_));
                Err(refused(refuse_unknown(name, session, reverse_domain)))
            }
        }
    }

    /// Asks the plugin's own `validate`.
    fn ask(&mut self, plugin: usize, data: &Value<'_>) -> Result<(), Diagnostic> {
        let limit = self.args.host.timeout;
        let session = self.session.as_mut().expect("a plugin was found in it");
        if let Some(limit) = limit {
            session.host.limit_next(limit);
        }
        let plugin = &session.catalog.event_types[plugin];
        match session.host.validate(&plugin.event_type, data) {
            Ok(Verdict::Refused(reason)) => {
                Err(provara_explain::refused_by_plugin(plugin, &reason))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(provara_explain::host_failure(error)),
        }
    }

    pub(super) fn finish(&mut self) -> Result<(), Diagnostic> {
        let limit = self.args.host.timeout;
        self.session.take().map_or(Ok(()), |mut session| {
            if let Some(limit) = limit {
                session.host.limit_next(limit);
            }
            session.finish()
        })
    }
}

fn not_a_type(name: &str) -> Diagnostic {
    Diagnostic::new(Class::Usage, format!("'{name}' is no event type."))
        .fix("Use a core type, or a reverse-domain name such as com.example.audit.login.")
}

/// A record's event, and the plugin that has to judge its data.
type Made<'l> = (Item<'l>, Option<usize>);

fn item<'l>(
    parsed: Parsed<'l>,
    policy: &NumberPolicy,
    known: &HashMap<String, Kind>,
) -> Result<Made<'l>, Refusal> {
    let (event_type, plugin) = match &known[&*parsed.type_name] {
        Kind::Free(event_type) => (event_type.clone(), None),
        Kind::Plugin(event_type, plugin) => {
            canonical::event_form(&parsed.data).map_err(|error| {
                Refusal::new("number", provara_explain::canonical_failure(&error, policy))
            })?;
            (event_type.clone(), Some(*plugin))
        }
    };
    let item = Item {
        event_type,
        data: parsed.data,
        actor: parsed.actor,
        namespace: parsed.namespace,
        idempotency_key: parsed.idempotency_key,
        converted: parsed.converted,
    };
    Ok((item, plugin))
}
