//! The planner from outside: a statement's text in, a plan's text out.

mod batch;
mod bind;
mod catalog;
mod dml;
mod ksqldb;
mod lower;
mod scalar;
