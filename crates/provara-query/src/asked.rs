//! A query, and what it reads of events.

use provara_core::query::Query;

use crate::filter::{Filter, Read};

/// A query with its conditions.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The query.
    pub query: Query,
    /// The same without the conditions.
    pub unconditional: Query,
    /// What the conditions read.
    pub reads: Vec<Read>,
}

impl Asked {
    /// What meets the query and every condition.
    #[must_use]
    pub fn new(unconditional: Query, conditions: Vec<Filter>) -> Self {
        let reads = conditions.iter().flat_map(Filter::reads).collect();
        let query = unconditional.clone();
        Self {
            query: conditions.into_iter().fold(query, Query::predicate),
            unconditional,
            reads,
        }
    }
}
