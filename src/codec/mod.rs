//! Byte formats that more than one module speaks. Pure: slices in, values and bytes out. Nothing
//! here knows what the numbers mean or how many of them a peer may send.

pub mod compact;
pub mod proto;
pub mod rle;
pub mod varint;
