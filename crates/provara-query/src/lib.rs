#![forbid(unsafe_code)]
//! The conditions of a query on a log.
//!
//! A [`Filter`] is one condition: an expression in a part of CEL (the Common Expression Language), such as
//! `payload.value >= 900 && "vpn" in payload.tags`, or the short form `payload.success=false`. What the
//! language is and what it means for members that are missing stands in `docs/query.md`; why it is read here
//! and not by a library, in `docs/decisions/0026-the-language-of-queries.md`.
//!
//! ```
//! use provara_core::query::Query;
//! use provara_query::Filter;
//!
//! let large: Filter = "payload.value >= 900".parse()?;
//! let query = Query::default().predicate(large);
//! assert!(query.matches(br#"{"payload":{"value":9007199254740993}}"#));
//! assert!(!query.matches(br#"{"payload":{"value":"many"}}"#));
//! # Ok::<(), provara_query::ExpressionError>(())
//! ```
//!
//! An expression may come from anybody: its length and its nesting are bounded, and so are the steps that it
//! may take for one event. Regular expressions take linear time.

mod asked;
mod evaluate;
mod filter;
mod limits;
mod node;
mod number;
mod parse;
mod path;
mod token;
mod when;

pub use asked::Asked;
pub use filter::{Filter, Kind, Read};
pub use limits::{MAX_DEPTH, MAX_LENGTH, MAX_STEPS};
pub use parse::FUNCTIONS;
pub use path::{Path, PathError};
pub use token::{ExpressionError, Problem};
pub use when::{WhenError, when};
