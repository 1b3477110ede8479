//! Numbers, run lengths, protobuf fields.

use gannet::codec::{proto, rle, varint};
use gannet::limits::RLE_DECODED_BYTES;

pub fn varint(data: &[u8]) {
    if let Ok((value, n)) = varint::decode(data) {
        assert!(n <= data.len() && n <= varint::MAX_BYTES);
        let mut out = Vec::new();
        varint::encode(value, &mut out);
        assert_eq!(out.len(), varint::len(value));
        assert_eq!(varint::decode(&out), Ok((value, out.len())));
    }
}

pub fn varint_seeds() -> Vec<Vec<u8>> {
    vec![vec![0], vec![0xac, 2], vec![255, 255, 255, 255, 255, 255, 255, 255, 255, 1]]
}

/// As an encoded bitfield and as a bitfield to encode.
pub fn rle(data: &[u8]) {
    if let Some(bits) = decode(data) {
        assert!(bits.len() <= RLE_DECODED_BYTES);
    }
    let end = data.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    assert_eq!(decode(&rle::encode(data)).as_deref(), Some(&data[..end]));
}

fn decode(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for run in rle::runs(encoded) {
        let run = run.ok()?;
        assert_eq!(run.start, out.len() as u64 * 8);
        match run.kind {
            rle::Kind::Fill(bit) => {
                out.resize(out.len() + run.len as usize / 8, if bit { 255 } else { 0 });
            }
            rle::Kind::Literal(bytes) => out.extend_from_slice(bytes),
        }
        assert_eq!(run.start + run.len, out.len() as u64 * 8);
    }
    Some(out)
}

pub fn rle_seeds() -> Vec<Vec<u8>> {
    vec![
        vec![4, 1, 2, 0x0f, 0x0d, 2, 3],
        vec![0x83, 0x20, 2, 0x80],
        [vec![255; 300], vec![1, 2, 3], vec![0; 70], vec![9]].concat(),
    ]
}

pub fn proto(data: &[u8]) {
    let mut bytes = 0;
    for field in proto::fields(data) {
        match field {
            Ok((_, proto::Value::Bytes(value))) => bytes += value.len(),
            Ok(_) => {}
            Err(proto::Malformed) => break,
        }
    }
    assert!(bytes <= data.len());
}

pub fn proto_seeds() -> Vec<Vec<u8>> {
    vec![vec![8, 1, 0x12, 2, 1, 2, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4]]
}
