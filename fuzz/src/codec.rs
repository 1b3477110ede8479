//! Numbers, run lengths, protobuf fields.

use gannet::codec::compact::{self, Reader};
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

/// Half of the input says what is read from the other half; what was read is written and read again.
pub fn compact(data: &[u8]) {
    let (script, bytes) = data.split_at(data.len() / 2);
    let mut reader = Reader::new(bytes);
    for kind in script {
        let before = reader.rest();
        let Ok(written) = rewritten(kind % 8, &mut reader) else {
            assert_eq!(reader.rest(), before);
            break;
        };
        // Ours is the shortest form.
        assert!(written.len() <= before.len() - reader.rest().len());
        let again = [&written, reader.rest()].concat();
        let mut second = Reader::new(&again);
        assert_eq!(rewritten(kind % 8, &mut second), Ok(written));
        assert_eq!(second.rest(), reader.rest());
    }
}

/// Reads one value and writes it.
fn rewritten(kind: u8, reader: &mut Reader<'_>) -> Result<Vec<u8>, compact::Error> {
    let mut out = Vec::new();
    match kind {
        0 => compact::put_uint(reader.uint()?, &mut out),
        1 => compact::put_int(reader.int()?, &mut out),
        2 => compact::put_buffer(reader.buffer()?, &mut out),
        3 => compact::put_buffer(reader.string()?.as_bytes(), &mut out),
        4 => compact::put_words(reader.words()?, &mut out),
        5 => out.extend_from_slice(reader.fixed::<32>()?),
        6 => compact::put_buffer(reader.optional_buffer()?.unwrap_or_default(), &mut out),
        _ => {
            let count = reader.count(40)?;
            assert!(count * 40 <= reader.rest().len());
            compact::put_uint(count as u64, &mut out);
        }
    }
    Ok(out)
}

pub fn compact_seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0, 1, 2, 3, 4, 0xfd, 0, 1, 7, 3, 1, 2, 3, 2, b'a', b'b', 1, 1, 2, 3, 4],
        [vec![5, 7, 6], vec![9; 32], vec![1], vec![8; 40], vec![0]].concat(),
        vec![0, 0, 0, 0xff, 255, 255, 255, 255, 255, 255, 0x1f, 0, 0xfe, 0, 0, 1, 0],
    ]
}
