//! Whole circuits: drawings of what goes in and out, and what must hold whatever goes in.

mod aggregates;
mod drawings;
mod plans;
mod support;
