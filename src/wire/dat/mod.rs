//! Dat 1: hypercore-protocol 6 (dat/SPEC §3–§5).
