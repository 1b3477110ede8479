//! Bitfield: a contiguous prefix and sparse pages of bit-set.
