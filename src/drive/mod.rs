//! What a drive's metadata means. Hyperdrive 9 (dat/SPEC §9): a feed whose blocks form an append-only
//! tree of names ([`tree`], [`walk`], [`dirs`]) and the records in it. Hyperdrive 11 to 13: [`hyper`].
//! Both behind one face: [`format`], [`diff`], [`names`]. Pure: it reads blocks through
//! [`tree::NodeSource`] and knows no disk and no feed.

pub mod diff;
pub mod dirs;
pub mod format;
pub mod hyper;
pub mod ignore;
pub mod names;
pub mod path;
pub mod stat;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod walk;
