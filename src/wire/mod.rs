//! What peers say to each other, in one vocabulary for all dialects, and one folder per dialect
//! that turns bytes into it and back.

pub mod dat;
mod message;

pub use message::{Data, Have, Message, Request};
