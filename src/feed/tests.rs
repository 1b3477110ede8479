//! Tests of feeds.
