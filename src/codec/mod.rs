//! Byte formats that more than one module speaks. Pure: slices in, values and bytes out. Nothing
//! here knows what the numbers mean or how many of them a peer may send.

pub mod compact;
pub mod fnv;
pub mod proto;
pub mod rle;
pub mod varint;

/// Appends `count` zeros, to be written over. `Vec::resize` does it byte by byte where the program is
/// compiled for size, which cost a third of the time of serving a feed.
pub fn extend_zeros(out: &mut Vec<u8>, count: usize) {
    const ZEROS: [u8; 4096] = [0; 4096];
    out.reserve(count);
    let mut left = count;
    while left > 0 {
        let part = left.min(ZEROS.len());
        out.extend_from_slice(&ZEROS[..part]);
        left -= part;
    }
}
