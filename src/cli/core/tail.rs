use clap::Args;

use crate::cli::{Global, Outcome};

#[derive(Args)]
pub struct Arguments {}

impl Arguments {
    pub fn run(self, _global: &Global) -> Outcome {
        todo!()
    }
}
