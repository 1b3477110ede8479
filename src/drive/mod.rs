//! Hyperdrive 9 (dat/SPEC §9): a metadata feed whose blocks form an append-only tree of names, and
//! the records in it. Pure: it reads blocks through [`tree::NodeSource`] and knows no disk and no
//! feed.

pub mod dirs;
pub mod hyper;
pub mod ignore;
pub mod path;
pub mod stat;
pub mod tree;
pub mod walk;
