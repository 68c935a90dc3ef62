//! Verdicts of every back end that this processor can run, against those of `ed25519-dalek`.

#[path = "../support/cases.rs"]
mod cases;
mod drawn;
mod support;
mod vectors;

use provara_signatures::{Item, Message};
