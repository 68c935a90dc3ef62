//! What a name means: the type of a new event and who judges its data, a reducer, an export.
//!
//! The command line, the MCP server and the Python package all decide it here. Whether a type that no
//! plugin defines may be used is the caller's to say, since it is the user's: [`Resolution::Unregistered`].

use provara_core::event_type::{CoreType, CustomType, EventType, TypeNameError, reserved_name};

use crate::builtin::{Format, Reducer};
use crate::catalog::{Catalog, EventTypeInfo, PluginInfo, PluginName};

/// What a name stands for as the type of a new event. `P` tells which plugin it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution<P> {
    /// A core type. No plugin judges its data.
    Core(CoreType),
    /// The name of a core type in other letters. Nobody may use it.
    Reserved(CoreType),
    /// A custom type whose plugin judges the data.
    Plugin {
        /// The type, with the letters that were given; an alias stands for the plugin's own name.
        event_type: CustomType,
        /// The plugin.
        plugin: P,
    },
    /// A custom type that no plugin defines: nobody judges the data, if it may be used at all.
    Unregistered(CustomType),
    /// A name below `com.provara.` that neither this version nor a plugin defines. Nobody may use it.
    UnknownOwn(CustomType),
    /// No type's name. It could be a plugin's alias, and is none.
    UnknownAlias(TypeNameError),
    /// Neither a type's name nor one that an alias may have.
    NoName(TypeNameError),
}

impl<P> Resolution<P> {
    /// Resolves a name, given the plugin that has it for its type or its alias, with that plugin's own
    /// type.
    #[must_use]
    pub fn of(name: &str, plugin: Option<(P, &CustomType)>) -> Resolution<P> {
        let custom = match name.parse() {
            Ok(EventType::Core(core)) => return Resolution::Core(core),
            Ok(EventType::Custom(custom)) => Ok(custom),
            Err(error) => Err(error),
        };
        if let Some(core) = reserved_name(name) {
            return Resolution::Reserved(core);
        }
        match (plugin, custom) {
            (Some((plugin, own)), custom) => Resolution::Plugin {
                event_type: custom.unwrap_or_else(|_| own.clone()),
                plugin,
            },
            (None, Ok(custom)) if custom.is_unknown_own() => Resolution::UnknownOwn(custom),
            (None, Ok(custom)) => Resolution::Unregistered(custom),
            (None, Err(error)) if name.parse::<PluginName>().is_ok() => {
                Resolution::UnknownAlias(error)
            }
            (None, Err(error)) => Resolution::NoName(error),
        }
    }

    /// Resolves a name as far as that needs no plugin.
    #[must_use]
    pub fn without_plugins(name: &str) -> Resolution<P> {
        Resolution::of(name, None)
    }
}

/// Who does what a name asks for: a plugin, or else what is built in. A plugin of the same name goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider<'a, B> {
    /// A plugin.
    Plugin(&'a PluginInfo),
    /// The one that is built in.
    BuiltIn(B),
}

impl Catalog {
    /// What a name stands for as the type of a new event, among these plugins.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Resolution<&EventTypeInfo> {
        let plugin = self.event_type(name);
        Resolution::of(name, plugin.map(|plugin| (plugin, &plugin.event_type)))
    }

    /// The reducer of a name, in any letter case.
    #[must_use]
    pub fn resolve_reducer(&self, name: &str) -> Option<Provider<'_, Reducer>> {
        let plugin = self.reducer(name).map(Provider::Plugin);
        plugin.or_else(|| name.parse().ok().map(Provider::BuiltIn))
    }

    /// The export of a name, in any letter case.
    #[must_use]
    pub fn resolve_export(&self, name: &str) -> Option<Provider<'_, Format>> {
        let plugin = self.export(name).map(Provider::Plugin);
        plugin.or_else(|| name.parse().ok().map(Provider::BuiltIn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provara_core::event_type::CLOSING_TYPE;

    use crate::catalog::Origin;
    use crate::protocol::WireSource;

    fn origin() -> Origin {
        Origin {
            class: "m.C".to_owned(),
            distribution: None,
            version: None,
            source: WireSource::EntryPoint,
            entry_point: None,
            item: None,
        }
    }

    fn catalog() -> Catalog {
        let named = |name: &str| PluginInfo {
            name: name.parse().unwrap(),
            origin: origin(),
            description: None,
        };
        Catalog {
            event_types: vec![EventTypeInfo {
                event_type: "com.acme.audit.login".parse().unwrap(),
                origin: origin(),
                alias: Some("login".parse().unwrap()),
                schema_version: "1.0".to_owned(),
                schema_json: "{}".to_owned(),
                schemas_json: None,
                unusable: false,
            }],
            reducers: vec![named("summary")],
            exports: vec![named("CSV")],
            problems: Vec::new(),
            advice: Vec::new(),
        }
    }

    #[test]
    fn the_type_of_an_event() {
        let catalog = catalog();
        let typed = |name: &str| match catalog.resolve(name) {
            Resolution::Plugin { event_type, plugin } => {
                assert_eq!(plugin.event_type.as_str(), "com.acme.audit.login");
                event_type.to_string()
            }
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(typed("login"), "com.acme.audit.login");
        assert_eq!(typed("LOGIN"), "com.acme.audit.login");
        // A name keeps its letters.
        assert_eq!(typed("Com.Acme.audit.login"), "Com.Acme.audit.login");
        let core = |name| matches!(catalog.resolve(name), Resolution::Core(CoreType::Genesis));
        assert!(core("GENESIS"));
        let reserved = |name| matches!(catalog.resolve(name), Resolution::Reserved(_));
        assert!(reserved("genesis") && reserved("Observation"));
        let unregistered = |name| matches!(catalog.resolve(name), Resolution::Unregistered(_));
        assert!(unregistered("com.acme.audit.logout"));
        assert!(unregistered("com.provaras.audit.logout") && unregistered(CLOSING_TYPE));
        let own = |name| matches!(catalog.resolve(name), Resolution::UnknownOwn(_));
        assert!(own("com.provara.x") && own("Com.Provara.vault.seals"));
        // The verifier knows its own types by their very letters.
        assert!(own("com.provara.vault.Seal"));
        let alias = |name| matches!(catalog.resolve(name), Resolution::UnknownAlias(_));
        assert!(alias("logout") && alias("com.acme"));
        let nothing = |name| matches!(catalog.resolve(name), Resolution::NoName(_));
        assert!(nothing("") && nothing("two words"));
    }

    #[test]
    fn what_is_built_in_gives_way_to_plugins() {
        let catalog = catalog();
        let plugin =
            |provider: Option<Provider<'_, Reducer>>| matches!(provider, Some(Provider::Plugin(_)));
        assert!(plugin(catalog.resolve_reducer("Summary")));
        assert_eq!(
            catalog.resolve_reducer("BELIEFS"),
            Some(Provider::BuiltIn(Reducer::Beliefs))
        );
        assert_eq!(catalog.resolve_reducer("other"), None);
        assert!(matches!(
            catalog.resolve_export("csv"),
            Some(Provider::Plugin(_))
        ));
        assert_eq!(
            catalog.resolve_export("Json"),
            Some(Provider::BuiltIn(Format::Json))
        );
        assert_eq!(catalog.resolve_export("xml"), None);
    }
}
