//! What stands at a path of the shared folder. In a hyperdrive a symbolic link is an entry of its own;
//! for a Dat drive, which has none, links are followed to find out.
//!
//! A link that stays in the folder stands for what it leads to, file or directory; one that leaves
//! it, comes back to a directory that it is in, or leads to `.dat`, is refused.
//!
//! A directory behind a link is listed and watched where it really is. What happens there happens
//! under all names that it has.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::Import;
use crate::drive::format::Format;
use crate::drive::path::{self, DAT_DIR, Refusal};
use crate::job::Cx;
use crate::limits::{LINKS_FOLLOWED, LINKS_NESTED};
use crate::store::disk::{Kind, Meta};
use crate::sys::Change;

/// What stands at a path.
pub(super) enum Look {
    File(Meta),
    Dir(Meta),
    /// A link that is published as such, and where it leads.
    Link(String),
    Gone,
    /// Nothing that can be published, and why.
    Odd(&'static str),
    Unreadable(std::io::Error),
}

/// The links that are followed, and where they lead; all paths are relative to the folder.
#[derive(Debug, Default)]
pub(super) struct Links {
    leads: BTreeMap<PathBuf, PathBuf>,
}

enum Noted {
    New,
    Same,
    /// It led elsewhere before.
    Turned,
    Full,
}

impl Links {
    pub fn clear(&mut self) {
        self.leads.clear();
    }

    fn note(&mut self, link: &Path, leads: PathBuf) -> Noted {
        let full = self.leads.len() >= LINKS_FOLLOWED;
        match self.leads.get_mut(link) {
            Some(before) if *before == leads => Noted::Same,
            Some(before) => {
                *before = leads;
                Noted::Turned
            }
            None if full => Noted::Full,
            None => {
                self.leads.insert(link.to_owned(), leads);
                Noted::New
            }
        }
    }

    /// There is no followed link at a path any more, and what was below it was another directory's.
    /// `true`: there was one.
    fn forget(&mut self, path: &Path) -> bool {
        let from = (Bound::Included(path), Bound::Unbounded);
        let below = self.leads.range::<Path, _>(from).map(|(link, _)| link);
        let gone: Vec<PathBuf> = below.take_while(|link| link.starts_with(path)).cloned().collect();
        gone.iter().for_each(|link| drop(self.leads.remove(link)));
        gone.first().is_some_and(|first| first == path)
    }

    /// Where a path really is, if the links on its way are known.
    pub fn real(&self, path: &Path) -> PathBuf {
        let parents = path.ancestors().skip(1).filter(|_| !self.leads.is_empty());
        let mut behind = parents.filter_map(|dir| Some((dir, self.leads.get(dir)?)));
        match behind.next() {
            Some((link, leads)) => moved(path, link, leads).unwrap_or_else(|| path.to_owned()),
            None => path.to_owned(),
        }
    }

    /// As `real`, and if there is a link at the end of the path, where that leads.
    pub fn leads_to(&self, path: &Path) -> PathBuf {
        self.leads.get(path).cloned().unwrap_or_else(|| self.real(path))
    }

    /// Links passed on the way to a path.
    fn passed(&self, path: &Path) -> usize {
        path.ancestors().skip(1).filter(|dir| self.leads.contains_key(*dir)).count()
    }

    /// The other names under which something happened that happened at `path`.
    pub fn others(&self, path: &Path, what: Change) -> Vec<PathBuf> {
        let came_or_went = matches!(what, Change::Appeared { .. } | Change::Vanished { .. });
        // Links that lead through this one, if it is one, may lead elsewhere now.
        let turned = self.leads.get(path).filter(|_| came_or_went);
        let others =
            self.leads.iter().filter(|(link, _)| *link != path).filter_map(|(link, leads)| {
                let through = came_or_went && leads.starts_with(path)
                    || turned.is_some_and(|turned| leads.starts_with(turned));
                moved(path, leads, link).or_else(|| through.then(|| link.clone()))
            });
        others.collect()
    }
}

/// `path` with `to` in place of `from`, if it is there or below.
fn moved(path: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let rest = path.strip_prefix(from).ok()?;
    Some(if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) })
}

impl Import {
    /// What stands at a path; links are followed as long as they stay in the folder.
    pub(super) fn look(&mut self, cx: &mut Cx<'_>, path: &Path) -> Look {
        let found = self.look_there(cx, path);
        if matches!(found, Look::Gone) {
            self.links.forget(path);
        }
        found
    }

    fn look_there(&mut self, cx: &mut Cx<'_>, path: &Path) -> Look {
        let real = self.links.real(path);
        let error = match cx.disk.stat(cx.dir, &real, false) {
            Ok(meta) => return self.understand(cx, path, &real, meta),
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::NotFound => return Look::Gone,
            ErrorKind::NotADirectory | ErrorKind::PermissionDenied => {}
            _ => return Look::Unreadable(error),
        }
        // There may be a link on the way that was not met yet, or leads elsewhere now.
        let mut ways: Vec<&Path> = path.ancestors().skip(1).collect();
        ways.reverse();
        for way in ways.into_iter().filter(|way| !way.as_os_str().is_empty()) {
            let real = self.links.real(way);
            let found = match cx.disk.stat(cx.dir, &real, false) {
                Ok(meta) if meta.kind == Kind::Symlink => self.understand(cx, way, &real, meta),
                Ok(meta) => {
                    self.no_link(cx, way);
                    if meta.kind == Kind::Dir {
                        continue;
                    }
                    return Look::Gone;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.links.forget(way);
                    return Look::Gone;
                }
                Err(error) => return Look::Unreadable(error),
            };
            match found {
                Look::Dir(_) => {}
                Look::Unreadable(error) => return Look::Unreadable(error),
                Look::File(_) | Look::Link(_) | Look::Gone | Look::Odd(_) => return Look::Gone,
            }
        }
        let real = self.links.real(path);
        match cx.disk.stat(cx.dir, &real, false) {
            Ok(meta) => self.understand(cx, path, &real, meta),
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => Look::Gone,
                _ => Look::Unreadable(error),
            },
        }
    }

    fn understand(&mut self, cx: &mut Cx<'_>, path: &Path, real: &Path, meta: Meta) -> Look {
        if meta.kind != Kind::Symlink {
            self.no_link(cx, path);
        }
        match meta.kind {
            Kind::File => Look::File(meta),
            Kind::Dir => Look::Dir(meta),
            Kind::Other => Look::Odd("it is neither a file nor a directory"),
            Kind::Symlink if cx.format() == Format::Hyper => read_link(cx, path),
            Kind::Symlink => self.follow(cx, path, real),
        }
    }

    /// No link stands at `path`. If one did, what is below its name is not what was seen there.
    fn no_link(&mut self, cx: &Cx<'_>, path: &Path) {
        if self.links.forget(path) {
            self.look_again(cx.now);
        }
    }

    /// What the link at `path` leads to, for drives that know no links. `real` is where the link
    /// itself is.
    fn follow(&mut self, cx: &mut Cx<'_>, path: &Path, real: &Path) -> Look {
        let found = self.follow_there(cx, path, real);
        if let Look::Odd(_) = found {
            // What it led to may have gone, and come again; or it leads elsewhere now.
            let before = self.links.leads.get(path);
            if before.is_some_and(|leads| cx.disk.stat(cx.dir, leads, false).is_ok()) {
                self.links.forget(path);
            }
        }
        found
    }

    fn follow_there(&mut self, cx: &mut Cx<'_>, path: &Path, real: &Path) -> Look {
        let found = cx.disk.resolve(cx.dir, real).and_then(|leads| {
            let meta = cx.disk.stat(cx.dir, &leads, false)?;
            Ok((leads, meta))
        });
        let (leads, meta) = match found {
            Ok(found) => found,
            Err(error) => {
                return match error.kind() {
                    ErrorKind::NotFound => Look::Odd("it is a link to nothing"),
                    ErrorKind::WouldBlock => Look::Unreadable(error),
                    _ => Look::Odd("it is a link that leads out of the folder"),
                };
            }
        };
        if leads.starts_with(DAT_DIR) {
            return Look::Odd("it is a link into .dat");
        }
        let found = match meta.kind {
            Kind::File => Look::File(meta),
            Kind::Dir if self.is_inside(path, &leads) => {
                return Look::Odd("it is a link to a directory that it is in");
            }
            Kind::Dir if self.links.passed(path) >= LINKS_NESTED => {
                return Look::Odd("it is a link behind too many others");
            }
            Kind::Dir => Look::Dir(meta),
            Kind::Symlink | Kind::Other => {
                return Look::Odd("it is a link to something that is no file");
            }
        };
        match self.links.note(path, leads) {
            Noted::New | Noted::Same => {}
            // What stands below its name is another directory's.
            Noted::Turned => self.look_again(cx.now),
            Noted::Full => return Look::Odd("there are more links than are followed"),
        }
        found
    }

    /// Whether the way to `path` passes a directory, or begins below it.
    fn is_inside(&self, path: &Path, dir: &Path) -> bool {
        path.ancestors().skip(1).any(|way| self.links.leads_to(way).starts_with(dir))
    }
}

/// The link itself, for drives that know links. What leads out of the folder, or could, is refused
/// as clones refuse it.
fn read_link(cx: &mut Cx<'_>, path: &Path) -> Look {
    let target = match cx.disk.read_link(cx.dir, path) {
        Ok(target) => target,
        Err(error) if error.kind() == ErrorKind::NotFound => return Look::Gone,
        Err(error) => return Look::Unreadable(error),
    };
    let (Some(name), Some(target)) = (path.to_str(), target.to_str()) else {
        return Look::Odd("it is a link whose name or target is not UTF-8");
    };
    match path::check_link(name, target) {
        Ok(()) => Look::Link(target.to_owned()),
        Err(Refusal::LeavesFolder) => Look::Odd("it is a link that leads out of the folder"),
        Err(Refusal::DatDirectory) => Look::Odd("it is a link into .dat"),
        Err(_) => Look::Odd("it is a link that no drive can have"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(of: &[(&str, &str)]) -> Links {
        let leads = of.iter().map(|(link, leads)| (PathBuf::from(link), PathBuf::from(leads)));
        Links { leads: leads.collect() }
    }

    #[test]
    fn a_path_behind_links_is_found_where_it_is() {
        let links = links(&[("a", "x/y"), ("a/b", "z")]);
        for (path, real) in [("a", "a"), ("a/c", "x/y/c"), ("a/b", "x/y/b"), ("a/b/c/d", "z/c/d")] {
            assert_eq!(links.real(Path::new(path)), Path::new(real));
        }
        assert_eq!(links.passed(Path::new("a/b/c")), 2);
    }

    #[test]
    fn what_happens_behind_links_happens_under_every_name() {
        let links = links(&[("a", "x/y"), ("b", "x"), ("c", "x/y/f")]);
        let others = |path: &str, what| -> Vec<String> {
            let others = links.others(Path::new(path), what);
            others.iter().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(others("x/y/f", Change::Closed), ["a/f", "b/y/f", "c"]);
        assert_eq!(others("x/g", Change::Closed), ["b/g"]);
        assert_eq!(others("g", Change::Closed), Vec::<String>::new());
        assert_eq!(others("x", Change::Vanished { dir: true }), ["a", "b", "c"]);
        // Whoever leads through a link that was turned is looked at, too.
        assert_eq!(others("a", Change::Appeared { dir: false }), ["c"]);
    }
}
