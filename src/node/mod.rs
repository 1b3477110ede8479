//! The node owns one of each behaviour and is the only place that sees them all.

pub mod control;
pub mod event;
pub mod io;
pub mod status;
