//! Which events of a log are asked for: conditions that several commands take.

use std::path::Path;

use clap::Args;
use provara_core::query::Query;
use provara_core::time::Timestamp;
use provara_query::Asked;
use provara_report::Diagnostic;

/// Conditions on events, of which all that are given must hold.
#[derive(Args, Debug)]
pub(crate) struct ConditionArgs {
    /// Only events of exactly this type, or of another that is given (repeatable)
    #[arg(long = "type", value_name = "TYPE")]
    event_types: Vec<String>,

    /// Only events of exactly this actor, or of another that is given (repeatable)
    #[arg(long = "actor", value_name = "NAME")]
    actors: Vec<String>,

    /// Only events at this time or later: a date, a time in UTC, or an age such as 36h, 7d, 2w
    #[arg(long, value_name = "TIME")]
    after: Option<String>,

    /// Only events before this time, in the same forms
    #[arg(long, value_name = "TIME")]
    before: Option<String>,

    /// Only events that meet this condition: PATH=VALUE, where VALUE is JSON or else text, or an
    /// expression in CEL (repeatable: all must hold)
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<String>,
}

impl ConditionArgs {
    /// Whether none is given.
    pub(crate) fn is_empty(&self) -> bool {
        self.event_types.is_empty()
            && self.actors.is_empty()
            && self.conditions.is_empty()
            && self.after.is_none()
            && self.before.is_none()
    }

    /// The query, from what was typed; ages are counted from now. `vault` is what a failure names.
    pub(crate) fn asked(&self, vault: &Path) -> Result<Asked, Diagnostic> {
        let mut query = Query::default();
        query = self.event_types.iter().fold(query, Query::event_type);
        query = self.actors.iter().fold(query, Query::actor);
        let after = when("--after", self.after.as_ref(), vault)?;
        query = after.into_iter().fold(query, Query::after);
        let before = when("--before", self.before.as_ref(), vault)?;
        query = before.into_iter().fold(query, Query::before);
        let conditions = self.conditions.iter().map(|text| {
            text.parse()
                .map_err(|error| provara_explain::condition_failure(&error))
        });
        Ok(Asked::new(query, conditions.collect::<Result<_, _>>()?))
    }

    /// What is asked for in words, a condition a line.
    pub(crate) fn in_words(&self, vault: &Path) -> Result<Vec<String>, Diagnostic> {
        let mut lines = Vec::new();
        let mut one_of = |what: &str, names: &[String]| {
            if !names.is_empty() {
                lines.push(format!("{what} is {}", names.join(" or ")));
            }
        };
        one_of("the type", &self.event_types);
        one_of("the actor", &self.actors);
        let after = when("--after", self.after.as_ref(), vault)?;
        lines.extend(after.map(|time| format!("the time that it states is {time} or later")));
        let before = when("--before", self.before.as_ref(), vault)?;
        lines.extend(before.map(|time| format!("the time that it states is before {time}")));
        lines.extend(
            self.conditions
                .iter()
                .map(|text| format!("it meets: {text}")),
        );
        Ok(lines)
    }
}

fn when(name: &str, text: Option<&String>, vault: &Path) -> Result<Option<Timestamp>, Diagnostic> {
    let Some(text) = text else {
        return Ok(None);
    };
    let now = provara_vault::now().map_err(|error| provara_explain::vault_failure(error, vault))?;
    let time = provara_query::when(text, now);
    time.map(Some)
        .map_err(|error| provara_explain::when_failure(name, &error))
}
