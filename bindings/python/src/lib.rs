//! The extension module `provara._native`.
