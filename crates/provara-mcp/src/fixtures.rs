//! What the public conformance suite asks for by name. Not part of a release build.
