//! How fast the store is on a disk that costs nothing. `cargo test --release --test store -- --ignored
//! --nocapture speed`

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant as Clock;

use gannet::rng::Rng;
use gannet::store::disk::{Dir, Disk, Entry, File, Kind, Meta, Open};

use super::help::*;

/// Files as plain vectors.
#[derive(Default)]
struct Memory {
    files: Vec<Vec<u8>>,
    names: BTreeMap<PathBuf, u32>,
    calls: u64,
}

impl Disk for Memory {
    fn open_root(&mut self, _: &Path, _: bool) -> io::Result<Dir> {
        Ok(Dir(0))
    }
    fn open_dir(&mut self, dir: Dir, _: &Path) -> io::Result<Dir> {
        Ok(dir)
    }
    fn close_dir(&mut self, _: Dir) {}
    fn open(&mut self, _: Dir, path: &Path, how: Open) -> io::Result<File> {
        match self.names.get(path) {
            Some(&file) => Ok(File(file)),
            None if matches!(how, Open::Create | Open::CreateNew) => {
                self.files.push(Vec::new());
                self.names.insert(path.to_owned(), self.files.len() as u32 - 1);
                Ok(File(self.files.len() as u32 - 1))
            }
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
    fn close(&mut self, _: File) {}
    fn read_at(&mut self, file: File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        let bytes = self.files[file.0 as usize].get(offset as usize..).unwrap_or(&[]);
        let len = buf.len().min(bytes.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        Ok(len)
    }
    fn write_at(&mut self, file: File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        let (file, offset) = (&mut self.files[file.0 as usize], offset as usize);
        if file.len() < offset + bytes.len() {
            file.resize(offset + bytes.len(), 0);
        }
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
    fn set_len(&mut self, file: File, len: u64) -> io::Result<()> {
        self.files[file.0 as usize].resize(len as usize, 0);
        Ok(())
    }
    fn sync_data(&mut self, _: File) -> io::Result<()> {
        self.calls += 1;
        Ok(())
    }
    fn set_meta(&mut self, _: File, _: Option<u32>, _: Option<i128>) -> io::Result<()> {
        Ok(())
    }
    fn set_dir_mode(&mut self, _: Dir, _: &Path, _: u32) -> io::Result<()> {
        Ok(())
    }
    fn resolve(&mut self, _: Dir, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }
    fn meta(&mut self, file: File) -> io::Result<Meta> {
        let size = self.files[file.0 as usize].len() as u64;
        let (kind, mode, inode, device, uid, gid) = (Kind::File, 0o644, 1, 1, 0, 0);
        Ok(Meta { kind, size, mode, mtime_ns: 0, ctime_ns: 0, inode, device, uid, gid })
    }
    fn lock(&mut self, _: File) -> io::Result<()> {
        Ok(())
    }
    fn stat(&mut self, _: Dir, path: &Path, _: bool) -> io::Result<Meta> {
        let file = *self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        self.meta(File(file))
    }
    fn list(
        &mut self,
        _: Dir,
        _: &Path,
        _: u64,
        _: usize,
        _: &mut Vec<Entry>,
    ) -> io::Result<Option<u64>> {
        Ok(None)
    }
    fn make_dir(&mut self, _: Dir, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn remove_dir(&mut self, _: Dir, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn remove(&mut self, _: Dir, path: &Path) -> io::Result<()> {
        self.names.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn rename(&mut self, _: Dir, from: &Path, to: &Path, _: bool) -> io::Result<()> {
        let file = self.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.names.insert(to.to_owned(), file);
        Ok(())
    }
    fn sync_dir(&mut self, _: Dir, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn sync_fs(&mut self, _: Dir) -> io::Result<()> {
        Ok(())
    }
    fn space(&mut self, _: Dir) -> io::Result<u64> {
        Ok(1 << 40)
    }
}

fn measure(what: &str, count: u64, bytes: u64, run: impl FnOnce() -> u64) {
    let start = Clock::now();
    let calls = run();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{what}: {:.0} blocks/s, {:.0} MB/s, {calls} system calls",
        count as f64 / seconds,
        (count * bytes) as f64 / seconds / 1e6
    );
}

fn run(count: u64, size: usize) {
    let value = vec![7u8; size];
    let mut far = Memory::default();
    let mut writer = create(&mut far, "", true).expect("a writer");
    measure(&format!("append {count} × {size}, 64 a batch"), count, size as u64, || {
        for _ in 0..count / 64 {
            writer.append(&mut far, &[value.as_slice(); 64]).expect("appended");
        }
        writer.commit(&mut far, NOW).expect("committed");
        far.calls
    });
    let count = writer.feed().length();
    for (name, window) in [("in order", 1), ("16 at random", 16), ("all at random", count)] {
        let mut order: Vec<u64> = (0..count).collect();
        let mut rng = Rng::from_seed(1);
        order.chunks_mut(window as usize).for_each(|part| rng.shuffle(part));
        let mut near = Memory::default();
        let mut reader = create(&mut near, "", false).expect("a reader");
        let (mut asked, mut stored) = (0.0, 0.0);
        let mut out = Vec::new();
        for (at, &index) in order.iter().enumerate() {
            let start = Clock::now();
            out.clear();
            let proof = proof(&mut far, &mut writer, index, reader.feed().digest(index));
            writer.read(&mut far, index, &mut out).expect("read");
            asked += start.elapsed().as_secs_f64();
            let start = Clock::now();
            take(&mut near, &mut reader, index, &out, &proof).expect("stored");
            if at % 4096 == 0 {
                reader.commit(&mut near, NOW).expect("committed");
            }
            stored += start.elapsed().as_secs_f64();
        }
        reader.close(&mut near, NOW).expect("closed");
        let rate =
            |seconds: f64| (count as f64 / seconds, count as f64 * size as f64 / seconds / 1e6);
        let (read, wrote) = (rate(asked), rate(stored));
        println!(
            "{count} × {size} {name}: prove and read {:.0}/s ({:.0} MB/s), check and store {:.0}/s ({:.0} MB/s), {} system calls",
            read.0, read.1, wrote.0, wrote.1, near.calls
        );
    }
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    run(100_000, 100);
    run(3_200, 64 * 1024);
}
