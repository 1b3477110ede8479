//! What is fuzzed: one function for each decoder, which takes any bytes and panics if something is
//! wrong. `cargo +nightly fuzz run NAME` drives them from `fuzz/targets`; the test `fuzz_smoke`
//! runs them all over seeded inputs, without nightly.
//!
//! To add one: a function here (in a module for its subject), a row in [`TARGETS`], a file in
//! `fuzz/targets` and its `[[bin]]` in `fuzz/Cargo.toml`. The smoke test says what was forgotten.

pub mod codec;
pub mod control;
pub mod dat;
pub mod discovery;
mod disk;
pub mod drive;
pub mod host;
pub mod hyper;
pub mod hyper_drive;
pub mod hyper_feed;
pub mod kept;
pub mod lan;
pub mod node;
pub mod ping;
mod segments;
pub mod settings;
pub mod store;
pub mod store_core;

pub struct Target {
    /// Also the name of its file in `fuzz/targets`.
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Inputs that reach deep, for the fuzzer to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

pub const TARGETS: &[Target] = &[
    Target { name: "varint", run: codec::varint, seeds: codec::varint_seeds },
    Target { name: "rle", run: codec::rle, seeds: codec::rle_seeds },
    Target { name: "proto", run: codec::proto, seeds: codec::proto_seeds },
    Target { name: "dat_first", run: dat::first, seeds: dat::first_seeds },
    Target { name: "dat_session", run: dat::session, seeds: dat::session_seeds },
    Target { name: "dat_message", run: dat::message, seeds: dat::message_seeds },
    Target { name: "multicast", run: discovery::multicast, seeds: discovery::multicast_seeds },
    Target { name: "resolve", run: discovery::resolve, seeds: discovery::resolve_seeds },
    Target { name: "drive_node", run: drive::node, seeds: drive::node_seeds },
    Target { name: "drive_walk", run: drive::walk, seeds: drive::walk_seeds },
    Target { name: "drive_ignore", run: drive::ignore, seeds: drive::ignore_seeds },
    Target { name: "control_line", run: control::line, seeds: control::line_seeds },
    Target { name: "node_loop", run: node::node_loop, seeds: node::node_loop_seeds },
    Target { name: "kept_peers", run: kept::peers, seeds: kept::peers_seeds },
    Target { name: "settings", run: settings::settings, seeds: settings::settings_seeds },
    Target { name: "kept_bans", run: kept::bans, seeds: kept::bans_seeds },
    Target { name: "link", run: kept::link, seeds: kept::link_seeds },
    Target { name: "store_feed", run: store::feed, seeds: store::feed_seeds },
    Target { name: "store_core", run: store_core::core, seeds: store_core::core_seeds },
    Target { name: "compact", run: codec::compact, seeds: codec::compact_seeds },
    Target { name: "hyper_first", run: hyper::first, seeds: hyper::first_seeds },
    Target { name: "hyper_session", run: hyper::session_texts, seeds: hyper::session_texts_seeds },
    Target { name: "hyper_message", run: hyper::message, seeds: hyper::message_seeds },
    Target { name: "hyper_manifest", run: hyper_feed::manifest, seeds: hyper_feed::manifest_seeds },
    Target {
        name: "hyper_signature",
        run: hyper_feed::signature,
        seeds: hyper_feed::signature_seeds,
    },
    Target { name: "hyper_proof", run: hyper_feed::proof, seeds: hyper_feed::proof_seeds },
    Target { name: "ping", run: ping::first, seeds: ping::first_seeds },
    Target { name: "host_message", run: host::message, seeds: host::message_seeds },
    Target { name: "host_datagram", run: lan::datagram, seeds: lan::datagram_seeds },
    Target { name: "hosts", run: lan::hosts, seeds: lan::hosts_seeds },
    Target { name: "kept_hosts", run: lan::kept, seeds: lan::kept_seeds },
    Target { name: "hyper_bee", run: hyper_drive::bee, seeds: hyper_drive::bee_seeds },
    Target { name: "hyper_entry", run: hyper_drive::entry, seeds: hyper_drive::entry_seeds },
];
