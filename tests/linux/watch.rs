//! inotify.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use gannet::store::disk::{Dir, Disk};
use gannet::sys::linux::{LinuxSys, Signals};
use gannet::sys::{Change, Handle, Sys, WatchEvent};

struct Watched {
    sys: LinuxSys,
    dir: Dir,
    watcher: Handle,
    root: tempfile::TempDir,
}

impl Watched {
    fn new() -> Watched {
        let mut sys = LinuxSys::new(Signals::Leave).unwrap();
        let root = tempfile::tempdir().unwrap();
        let dir = sys.disk().open_root(root.path(), false).unwrap();
        let watcher = sys.watch_open().unwrap();
        Watched { sys, dir, watcher, root }
    }

    /// All events until there are none, the first one waited for.
    fn events(&mut self) -> Vec<WatchEvent> {
        let mut all = Vec::new();
        let end = Instant::now() + Duration::from_secs(2);
        while all.is_empty() && Instant::now() < end {
            self.sys.wait(Some(Duration::from_millis(100)), &mut Vec::new()).unwrap();
            loop {
                match self.sys.watch_next(self.watcher) {
                    Ok(event) => all.push(event),
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::WouldBlock);
                        break;
                    }
                }
            }
        }
        all
    }
}

fn changed(watch: u32, name: &str, what: Change) -> WatchEvent {
    WatchEvent::Changed { watch, name: name.into(), what }
}

#[test]
fn tells_what_happens_in_a_directory() {
    let mut w = Watched::new();
    let watch = w.sys.watch_add(w.watcher, w.dir, Path::new("")).unwrap();
    let root = w.root.path().to_owned();
    std::fs::write(root.join("a"), "hello").unwrap();
    assert_eq!(
        w.events(),
        [
            changed(watch, "a", Change::Appeared { dir: false }),
            changed(watch, "a", Change::Modified),
            changed(watch, "a", Change::Closed),
        ]
    );
    std::fs::create_dir(root.join("d")).unwrap();
    assert_eq!(w.events(), [changed(watch, "d", Change::Appeared { dir: true })]);
    let sub = w.sys.watch_add(w.watcher, w.dir, Path::new("d")).unwrap();
    std::fs::rename(root.join("a"), root.join("d/b")).unwrap();
    assert_eq!(
        w.events(),
        [
            changed(watch, "a", Change::Vanished { dir: false }),
            changed(sub, "b", Change::Appeared { dir: false }),
        ]
    );
    std::fs::remove_file(root.join("d/b")).unwrap();
    std::fs::remove_dir(root.join("d")).unwrap();
    let events = w.events();
    assert!(events.contains(&changed(sub, "b", Change::Vanished { dir: false })));
    assert_eq!(events.iter().filter(|e| **e == WatchEvent::Lost { watch: sub }).count(), 1);
    assert!(events.contains(&changed(watch, "d", Change::Vanished { dir: true })));
}

#[test]
fn a_directory_that_moves_away_is_lost_and_a_removed_watch_silent() {
    let mut w = Watched::new();
    let root = w.root.path().to_owned();
    std::fs::create_dir_all(root.join("a/b")).unwrap();
    let a = w.sys.watch_add(w.watcher, w.dir, Path::new("a")).unwrap();
    let b = w.sys.watch_add(w.watcher, w.dir, Path::new("a/b")).unwrap();
    std::fs::rename(root.join("a"), root.join("c")).unwrap();
    assert_eq!(w.events(), [WatchEvent::Lost { watch: a }]);
    std::fs::write(root.join("c/unseen"), "").unwrap();
    std::fs::write(root.join("c/b/seen"), "").unwrap();
    assert!(w.events().contains(&changed(b, "seen", Change::Appeared { dir: false })));
    std::fs::write(root.join("c/b/more"), "").unwrap();
    w.sys.watch_remove(w.watcher, b);
    assert_eq!(w.sys.watch_next(w.watcher).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn only_directories_below_can_be_watched() {
    let mut w = Watched::new();
    std::fs::write(w.root.path().join("file"), "").unwrap();
    std::os::unix::fs::symlink("/tmp", w.root.path().join("link")).unwrap();
    for path in ["file", "link", "..", "/tmp", "none"] {
        assert!(w.sys.watch_add(w.watcher, w.dir, Path::new(path)).is_err(), "{path}");
    }
}
