//! Hyperblobs and hyperdrive entries.

use std::collections::BTreeMap;

use gannet::crypto::hyper;
use gannet::drive::hyper::entry::{self, BadEntry, Entry};
use gannet::drive::hyper::{
    BadBlob, Batch, BlobId, Change, Dedup, Header, History, Layout, encode_map, get,
};
use serde_json::Value;

use super::{Core, bytes, list, vectors};

fn core(v: &Value) -> Core {
    Core(list(v).iter().map(bytes).collect())
}

#[test]
fn a_drive_is_read() {
    let v = &vectors()["hyperdrive"];
    let mut db = core(&v["db_blocks"]);
    let version = db.0.len() as u64;
    let mut walk = entry::files(version, "");
    for expected in list(&v["list"]) {
        let found = walk.next(&mut db).unwrap().unwrap();
        assert_eq!(entry::name(&found.key), Ok(expected["key"].as_str().unwrap()));
        assert_eq!(found.seq, expected["seq"].as_u64().unwrap());
        let value = &expected["value"];
        let entry = Entry::decode(&found.value.unwrap()).unwrap();
        assert_eq!(entry.executable, value["executable"].as_bool().unwrap());
        assert_eq!(entry.link.as_deref(), value["linkname"].as_str());
        let blob: Option<BlobId> = serde_json::from_value(value["blob"].clone()).unwrap();
        assert_eq!(entry.blob, blob);
        let metadata = entry.metadata.map(|text| serde_json::from_str(&text).unwrap());
        assert_eq!(metadata.unwrap_or(Value::Null), value["metadata"]);
    }
    assert!(walk.next(&mut db).unwrap().is_none());
    let found = entry::files(version, "/sub/").next(&mut db).unwrap().unwrap();
    assert_eq!(entry::name(&found.key), Ok("/sub/run.sh"));
    assert!(entry::files(version, "su").next(&mut db).unwrap().is_none());
    // Before its deletion, and in a drive of Hypercore 10.
    let compat = &vectors()["hyperdrive_v10_compat"];
    for (db, version) in [(&mut db, 6), (&mut core(&compat["db_blocks"]), 2)] {
        let found = get(db, version, &entry::key("a.txt")).unwrap().unwrap();
        let blob = Entry::decode(&found.value.unwrap()).unwrap().blob.unwrap();
        assert_eq!((blob.block_length, blob.byte_length), (1, 6));
    }
    let blobs = core(&v["blobs_blocks"]);
    let found = get(&mut db, version, &entry::key("/sub/run.sh")).unwrap().unwrap();
    let blob = Entry::decode(&found.value.unwrap()).unwrap().blob.unwrap();
    assert_eq!(content(&blobs.0, &blob), b"#!/bin/sh\n");
}

#[test]
fn a_drive_is_written_again() {
    let v = &vectors()["hyperdrive"];
    let mut theirs = core(&v["db_blocks"]);
    let mut header = Vec::new();
    Header { metadata: true, ..Header::default() }.encode(&mut header);
    let mut ours = Core(vec![header]);
    let mut history = History::new(1, theirs.0.len() as u64);
    while let Some((_, change)) = history.next(&mut theirs).unwrap() {
        let mut batch = Batch::new(ours.0.len() as u64);
        match change {
            Change::Put { key, value } => {
                let read = Entry::decode(&value.unwrap()).unwrap();
                let mut value = Vec::new();
                read.encode(&mut value).unwrap();
                assert_eq!(key, entry::key(entry::name(&key).unwrap()));
                batch.put(&mut ours, &key, Some(&value)).unwrap();
            }
            Change::Delete { key } => assert!(batch.delete(&mut ours, &key).unwrap()),
        }
        ours.0.extend(batch.finish());
    }
    assert_eq!(ours.0, theirs.0);
}

fn content(blocks: &[Vec<u8>], id: &BlobId) -> Vec<u8> {
    let map = id.map_blocks().map(|block| &blocks[block as usize][..]);
    let layout = Layout::new(id, map).unwrap();
    let mut content = Vec::new();
    for n in 0..layout.len() {
        let chunk = layout.chunk(n).unwrap();
        let block = &blocks[chunk.block as usize];
        assert!(chunk.bytes.is_none_or(|bytes| bytes == block.len() as u64));
        content.extend_from_slice(block);
    }
    assert_eq!(content.len() as u64, layout.bytes());
    assert_eq!((layout.chunk(layout.len()), layout.is_empty()), (None, content.is_empty()));
    content
}

#[test]
fn blobs_with_and_without_maps() {
    let v: Value = serde_json::from_str(include_str!("../vectors/hyper_bee.json")).unwrap();
    let blocks = core(&v["blobs"]["blocks"]).0;
    let mut maps = 0;
    for file in list(&v["blobs"]["files"]) {
        let id: BlobId = serde_json::from_value(file["id"].clone()).unwrap();
        assert_eq!(serde_json::to_value(id).unwrap(), file["id"]);
        assert_eq!(content(&blocks, &id), file["text"].as_str().unwrap().as_bytes());
        if id.block_map {
            maps += 1;
            let map = &blocks[id.block_offset as usize];
            let Ok(Layout::Map(chunks)) = Layout::new(&id, [&map[..]]) else { panic!() };
            assert_eq!(encode_map(&chunks).concat(), *map);
        }
    }
    assert_eq!(maps, 2);
    // The one of 26 bytes that was written with equal chunks once, again.
    let file = &list(&v["blobs"]["files"])[1];
    let mut dedup = Dedup::new(3, 23);
    let mut appended = Vec::new();
    for chunk in file["text"].as_str().unwrap().as_bytes().chunks(8) {
        if dedup.chunk(&hyper::leaf(chunk), chunk.len() as u64).unwrap() {
            appended.push(chunk.to_vec());
        }
    }
    let (id, map) = dedup.finish();
    appended.extend(map);
    assert_eq!(appended, blocks[3..7]);
    assert_eq!(serde_json::to_value(id).unwrap(), file["id"]);
    let v = &vectors()["hyperblobs"];
    let (mut length, mut bytes_before) = (0, 0);
    for case in list(&v["ids"]) {
        let expected: BlobId = serde_json::from_value(case["id"].clone()).unwrap();
        let ours = BlobId::append(length, bytes_before, case["bytes"].as_u64().unwrap());
        assert_eq!(ours, expected);
        length += ours.block_length;
        bytes_before += ours.byte_length;
        assert_eq!(length, case["core_length_after"].as_u64().unwrap());
    }
    let dedup = &v["dedup_three_chunks_two_equal"];
    let id: BlobId = serde_json::from_value(dedup["id"].clone()).unwrap();
    let map = bytes(&dedup["map_block"]);
    let layout = Layout::new(&id, [&map[..]]).unwrap();
    assert_eq!(layout, Layout::Map(vec![(8, 30), (9, 30), (8, 30)]));
    assert_eq!((layout.bytes(), layout.len()), (90, 3));
}

#[test]
fn a_long_map_takes_several_blocks() {
    let chunks: Vec<(u64, u64)> = (0..20_000).map(|n| (n, n % 7)).collect();
    let map = encode_map(&chunks);
    assert_eq!(map.len(), 3);
    let id = BlobId { block_length: 3, byte_length: 1, block_map: true, ..BlobId::default() };
    let blocks = || map.iter().map(Vec::as_slice);
    assert_eq!(Layout::new(&id, blocks()), Ok(Layout::Map(chunks)));
    assert_eq!(Layout::new(&id, blocks().take(2)), Err(BadBlob::Bounds("map")));
}

#[test]
fn what_strangers_write() {
    let bad = |id: BlobId| Layout::new(&id, []).unwrap_err();
    let id = BlobId { block_length: 1, byte_length: 1, ..BlobId::default() };
    let map = BlobId { block_map: true, ..id };
    assert_eq!(bad(BlobId { block_offset: u64::MAX, ..id }), BadBlob::Bounds("blocks"));
    assert_eq!(bad(BlobId { byte_offset: 1 << 53, ..id }), BadBlob::Bounds("bytes"));
    assert_eq!(bad(BlobId { block_length: 0, ..id }), BadBlob::Bounds("length"));
    assert_eq!(bad(BlobId { block_length: 65, ..map }), BadBlob::Bounds("map"));
    assert_eq!(Layout::new(&map, [&[1, 0][..]]), Err(BadBlob::Version(1)));
    assert!(Layout::new(&map, [&[0, 9, 1][..]]).is_err());
    let long = [0xff, 255, 255, 255, 255, 255, 255, 0x1f, 0];
    let overflow = [&[0, 2, 1][..], &long, &[1], &long].concat();
    assert_eq!(Layout::new(&map, [&overflow[..]]), Err(BadBlob::Bounds("bytes")));

    for text in [
        "",
        "null",
        "[]",
        r#"{"blob":5}"#,
        r#"{"executable":"yes"}"#,
        r#"{"linkname":"a\u0000b"}"#,
        r#"{"blob":{"blockOffset":-1,"byteOffset":0,"blockLength":0,"byteLength":0}}"#,
        r#"{"blob":{"blockOffset":9007199254740991,"byteOffset":0,"blockLength":1,"byteLength":1}}"#,
    ] {
        assert!(Entry::decode(text.as_bytes()).is_err(), "{text}");
    }
    // What is missing is nothing, what is more is passed over, metadata stays as it is.
    let text = r#"{"metadata":{"b":[1e2, {}],"a":"ä"},"more":1}"#;
    let entry = Entry::decode(text.as_bytes()).unwrap();
    assert_eq!((entry.size(), entry.executable), (Some(0), false));
    let mut again = Vec::new();
    entry.encode(&mut again).unwrap();
    let expected =
        r#"{"executable":false,"linkname":null,"blob":null,"metadata":{"b":[1e2, {}],"a":"ä"}}"#;
    assert_eq!(String::from_utf8(again).unwrap(), expected);
    // Brackets upon brackets need no stack.
    let deep = format!(r#"{{"metadata":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(Entry::decode(deep.as_bytes()).unwrap().metadata.unwrap().len(), 40_000);
    assert_eq!(Entry::decode(&vec![b' '; 1 << 17]).unwrap_err(), BadEntry::TooLong);
    let no_json = Entry { metadata: Some("{".into()), ..Entry::default() };
    assert_eq!(no_json.encode(&mut Vec::new()), Err(BadEntry::Malformed));

    let names: BTreeMap<&[u8], Result<&str, BadEntry>> = [
        (&b"files\0/a"[..], Ok("/a")),
        (b"files\0/../a", Ok("/../a")),
        (b"files\0a", Err(BadEntry::Key)),
        (b"other\0/a", Err(BadEntry::Key)),
        (b"files\0/\xff", Err(BadEntry::Key)),
    ]
    .into();
    for (key, expected) in names {
        assert_eq!(entry::name(key), expected);
    }
    let long = entry::key(&"x".repeat(5000));
    assert_eq!(entry::name(&long), Err(BadEntry::TooLong));
}
