//! A drive as other programs may write it: any entries, chunks of any size, maps. And what a folder
//! that mirrors it has to be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gannet::crypto::sign::KeyPair;
use gannet::drive::hyper::blobs::BlobId;
use gannet::drive::hyper::entry::{self, Entry};
use gannet::drive::hyper::keys::{header, manifests};
use gannet::drive::hyper::{Batch, Block, Blocks, encode_map};
use gannet::feed::hyper::Manifest;
use gannet::rng::Rng;
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore, Flavor, Keys, StoreError};
use gannet::time::Instant;

use super::disk::{Device, Item, SimDisk};
use super::rig::{Origin, bytes, keys, retry};

pub struct Writer {
    disk: SimDisk,
    pub bee: FeedStore,
    pub blobs: FeedStore,
    batch: Batch,
    /// The folder as it should be as of what was appended.
    pub model: BTreeMap<PathBuf, Item>,
}

/// What of a chunk was stored before: its block and its bytes.
type Known = Vec<(u64, Vec<u8>)>;

fn create(disk: &mut SimDisk, prefix: &str, manifest: Manifest) -> FeedStore {
    let root = disk.open_root(Path::new("/"), false).unwrap();
    let pair: KeyPair = keys();
    let flavor = Flavor::Core(Some(manifest.clone()));
    let keys = Keys { public: manifest.key(), secret: Some(pair), keep_secret: false, flavor };
    FeedStore::create(disk, root, prefix, keys, Content::File).unwrap()
}

struct Bee<'a>(&'a mut SimDisk, &'a mut FeedStore);

impl Blocks for Bee<'_> {
    type Error = StoreError;
    fn block(&mut self, seq: u64) -> Result<Block, StoreError> {
        let mut bytes = Vec::new();
        self.1.read(self.0, seq, &mut bytes)?;
        Ok(Block::decode(seq, &bytes).unwrap())
    }
}

impl Writer {
    pub fn new() -> Writer {
        let mut disk = Device::new(77).process();
        let (bee, blobs) = manifests(keys().public());
        let mut bee = create(&mut disk, "bee.", bee);
        let blobs = create(&mut disk, "blobs.", blobs);
        bee.append(&mut disk, &[&header()]).unwrap();
        bee.commit(&mut disk, Instant(0)).unwrap();
        Writer { disk, bee, blobs, batch: Batch::new(1), model: BTreeMap::new() }
    }

    /// Appends chunks to the blobs.
    pub fn chunks(&mut self, chunks: &[&[u8]]) -> BlobId {
        let (length, offset) = (self.blobs.feed().length(), self.blobs.feed().byte_length());
        self.blobs.append(&mut self.disk, chunks).unwrap();
        self.blobs.commit(&mut self.disk, Instant(0)).unwrap();
        BlobId {
            block_offset: length,
            byte_offset: offset,
            block_length: chunks.len() as u64,
            byte_length: chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            block_map: false,
        }
    }

    /// The same, content that is known already by its block alone.
    pub fn mapped(&mut self, content: &[Vec<u8>], known: &mut Known) -> BlobId {
        let mut map = Vec::new();
        for chunk in content {
            let block = match known.iter().find(|(_, bytes)| bytes == chunk) {
                Some((block, _)) => *block,
                None => {
                    let block = self.chunks(&[chunk]).block_offset;
                    known.push((block, chunk.clone()));
                    block
                }
            };
            map.push((block, chunk.len() as u64));
        }
        let blocks = encode_map(&map);
        let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        BlobId { block_map: true, ..self.chunks(&blocks) }
    }

    /// What stands under a key, whatever it is.
    pub fn raw(&mut self, key: &[u8], value: Option<&[u8]>) {
        let mut bee = Bee(&mut self.disk, &mut self.bee);
        match value {
            Some(value) => self.batch.put(&mut bee, key, Some(value)).unwrap(),
            None => drop(self.batch.delete(&mut bee, key).unwrap()),
        }
    }

    pub fn entry(&mut self, name: &str, entry: &Entry) {
        let mut value = Vec::new();
        entry.encode(&mut value).unwrap();
        self.raw(&entry::key(name), Some(&value));
    }

    /// A file, and what is to be in the folder for it.
    pub fn file(&mut self, name: &str, blob: BlobId, content: &[u8], executable: bool) {
        let blob = Some(blob);
        self.entry(name, &Entry { blob, executable, ..Entry::default() });
        let (bytes, mode) = (content.to_vec(), u32::from(executable));
        self.model.insert(place(name), Item::File { bytes, mode, mtime_ns: 0 });
    }

    /// A file in chunks of random sizes.
    pub fn write(&mut self, name: &str, content: &[u8], rng: &mut Rng) {
        let mut chunks = Vec::new();
        let mut rest = content;
        while !rest.is_empty() {
            let n = (rng.between(1, 5000) as usize).min(rest.len());
            chunks.push(&rest[..n]);
            rest = &rest[n..];
        }
        let blob = if chunks.is_empty() { self.nowhere() } else { self.chunks(&chunks) };
        self.file(name, blob, content, rng.one_in(4));
    }

    /// The blob of an empty file, as JavaScript has it.
    pub fn nowhere(&self) -> BlobId {
        BlobId::append(self.blobs.feed().length(), self.blobs.feed().byte_length(), 0)
    }

    pub fn link(&mut self, name: &str, target: &str) {
        self.entry(name, &Entry { link: Some(target.to_owned()), ..Entry::default() });
        self.model.insert(place(name), Item::Symlink(PathBuf::from(target)));
    }

    pub fn delete(&mut self, name: &str) {
        self.raw(&entry::key(name), None);
        self.model.remove(&place(name));
    }

    /// One append for everything since the last.
    pub fn append(&mut self) {
        let length = self.bee.feed().length();
        let batch = std::mem::replace(&mut self.batch, Batch::new(length));
        let blocks = batch.finish();
        self.blocks(&blocks);
    }

    /// Blocks of the bee as they are.
    pub fn blocks(&mut self, blocks: &[Vec<u8>]) {
        let slices: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        self.bee.append(&mut self.disk, &slices).unwrap();
        self.bee.commit(&mut self.disk, Instant(0)).unwrap();
        self.batch = Batch::new(self.bee.feed().length());
    }

    pub fn version(&self) -> u64 {
        self.bee.feed().length()
    }

    /// Changes a few names, from those that there are or may be.
    pub fn edit(&mut self, rng: &mut Rng, known: &mut Known) {
        for _ in 0..rng.between(1, 8) {
            let name = format!("/{}/{}", rng.between(0, 2), rng.between(0, 5));
            match rng.between(0, 6) {
                0 => self.delete(&name),
                1 => self.link(&name, &format!("../{}/x", rng.between(0, 2))),
                2 => {
                    let mut content = Vec::new();
                    for _ in 0..rng.between(0, 9) {
                        content
                            .push(vec![rng.between(0, 20) as u8; rng.between(1, 3) as usize * 700]);
                    }
                    let blob = match content.is_empty() {
                        true => self.nowhere(),
                        false => self.mapped(&content, known),
                    };
                    self.file(&name, blob, &content.concat(), false);
                }
                _ => {
                    let len = rng.between(0, 3) as usize * 6000;
                    let content = bytes(rng, len);
                    self.write(&name, &content, rng);
                }
            }
        }
        self.append();
    }
}

fn place(name: &str) -> PathBuf {
    PathBuf::from(name.trim_start_matches('/'))
}

impl Origin for Writer {
    fn parts(&mut self) -> (&mut SimDisk, &mut FeedStore, &mut FeedStore) {
        (&mut self.disk, &mut self.bee, &mut self.blobs)
    }

    fn serve(&mut self, block: u64) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        retry(|| {
            out.clear();
            self.blobs.read(&mut self.disk, block, &mut out)
        });
        Some(out)
    }
}
