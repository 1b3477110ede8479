//! Changes of directories, through inotify.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::limits;
use crate::sys::{Change, WatchEvent};

/// An inotify instance.
pub(super) struct Watcher {
    fd: OwnedFd,
    /// Directories that are watched. Late events of others are dropped.
    watches: BTreeSet<u32>,
    /// Fetched and not yet taken.
    events: VecDeque<WatchEvent>,
    buf: Vec<MaybeUninit<u8>>,
}

impl Watcher {
    pub fn new() -> io::Result<Watcher> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let buf = vec![MaybeUninit::uninit(); limits::WATCH_BUFFER_BYTES];
        Ok(Watcher { fd, watches: BTreeSet::new(), events: VecDeque::new(), buf })
    }

    pub fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Watches the directory that `place` is a handle of.
    pub fn add(&mut self, place: &OwnedFd) -> io::Result<u32> {
        // There is no call that takes a descriptor. This name leads to just that directory.
        let path = format!("/proc/self/fd/{}", place.as_raw_fd());
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR
            | WatchFlags::EXCL_UNLINK;
        let watch = inotify::add_watch(&self.fd, path, flags)? as u32;
        self.watches.insert(watch);
        Ok(watch)
    }

    pub fn remove(&mut self, watch: u32) {
        if self.watches.remove(&watch) {
            // It may just have ended by itself.
            let _ = inotify::remove_watch(&self.fd, watch as i32);
        }
    }

    pub fn next(&mut self) -> io::Result<WatchEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                match &event {
                    WatchEvent::Changed { watch, .. } if !self.watches.contains(watch) => {}
                    WatchEvent::Lost { watch } => {
                        let watch = *watch;
                        if self.watches.contains(&watch) {
                            // A directory that was moved away would go on being watched.
                            self.remove(watch);
                            return Ok(event);
                        }
                    }
                    _ => return Ok(event),
                }
                continue;
            }
            self.fetch()?;
        }
    }

    /// One read of the kernel's queue; at least one event, or an error.
    fn fetch(&mut self) -> io::Result<()> {
        let mut reader = inotify::Reader::new(&self.fd, &mut self.buf);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Err(ErrorKind::WouldBlock.into()),
                Err(e) => return Err(e.into()),
            };
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()).to_owned());
            if let Some(event) = understood(event.events(), event.wd() as u32, name) {
                self.events.push_back(event);
            }
            if reader.is_buffer_empty() {
                return Ok(());
            }
        }
    }
}

fn understood(
    flags: ReadFlags,
    watch: u32,
    name: Option<std::ffi::OsString>,
) -> Option<WatchEvent> {
    if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
        return Some(WatchEvent::Overflow);
    }
    let end =
        ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT | ReadFlags::IGNORED;
    if flags.intersects(end) {
        return Some(WatchEvent::Lost { watch });
    }
    let dir = flags.contains(ReadFlags::ISDIR);
    let what = if flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
        Change::Appeared { dir }
    } else if flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
        Change::Vanished { dir }
    } else if flags.contains(ReadFlags::CLOSE_WRITE) {
        Change::Closed
    } else if flags.contains(ReadFlags::MODIFY) {
        Change::Modified
    } else if flags.contains(ReadFlags::ATTRIB) {
        Change::Attributes
    } else {
        return None;
    };
    // Without a name it is about the directory itself, and its parent's watch tells of that.
    Some(WatchEvent::Changed { watch, name: name?, what })
}
