//! Tests of bits.
