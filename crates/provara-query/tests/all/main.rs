//! The language of queries: what it means, what it refuses, and that it is CEL.

mod hostile;
mod language;
mod oracle;
