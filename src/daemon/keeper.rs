//! What a daemon keeps: the entries of its user's file and those that came with `gannet add`. They are
//! opened, paused and removed while the loop runs, and what is not in the file is remembered in another
//! one, which is replaced whole. Works between two turns and never waits.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::adding::{Added, Adding, Step};
use super::identity::place;
use super::open::Shelf;
use super::settings::{self, Base, Entry, Limits, Settings};
use crate::crypto::hyper::hash;
use crate::failure::{Failure, Kind};
use crate::ids::ConnId;
use crate::limits;
use crate::link::{Key, Link};
use crate::node::control::{self, NOT_KEPT, Request, What};
use crate::node::io::Work;
use crate::node::{Node, TopicId};
use crate::store::disk::{Dir, Disk};
use crate::store::{StoreError, write_small};
use crate::time::Instant;

/// What was added and what rests.
pub const STATE: &str = "daemon.state";
const BESIDE: &str = "daemon.state.new";

pub struct Keeper {
    shelf: Shelf,
    base: Base,
    file: PathBuf,
    settings: Settings,
    kept: Vec<Kept>,
    numbers: u32,
    /// What is being opened, with the numbers of what it is.
    adding: VecDeque<(Adding, Vec<u32>)>,
    /// Where what is kept is remembered.
    home: Dir,
    unsaved: bool,
    /// Answers that are true once that is saved.
    answers: Vec<(ConnId, Vec<u8>)>,
}

/// One thing that is kept.
struct Kept {
    number: u32,
    entry: Entry,
    /// The user's file names it.
    fixed: bool,
    paused: bool,
    /// The file does not name it any more: it is closed once it is open.
    gone: bool,
    state: State,
    /// Who waits for what comes of it, and wants to read it.
    order: Option<(ConnId, bool)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be opened.
    New,
    Opening,
    Here(TopicId),
    Leaving(TopicId),
    /// It cannot be opened: SIGHUP tries again.
    Failed,
}

/// What an earlier run remembered.
#[derive(Default)]
pub struct Memory {
    pub entries: Vec<Entry>,
    pub paused: Vec<String>,
}

impl Keeper {
    /// `home`: the directory in which it is remembered what is kept.
    pub fn new(
        (file, settings): (PathBuf, Settings),
        base: Base,
        secret_keys: Option<PathBuf>,
        (home, memory): (Dir, Memory),
    ) -> Keeper {
        let mut keeper = Keeper {
            shelf: Shelf::new(secret_keys),
            base,
            file,
            settings: Settings::default(),
            kept: Vec::new(),
            numbers: 0,
            adding: VecDeque::new(),
            home,
            unsaved: false,
            answers: Vec::new(),
        };
        for entry in &settings.entries {
            keeper.enter(entry.clone(), true);
        }
        keeper.settings = settings;
        for entry in memory.entries {
            // What the file names now is the file's.
            if !keeper.kept.iter().any(|kept| kept.entry.collides(&entry)) {
                keeper.enter(entry, false);
            }
        }
        for name in memory.paused {
            let at = keeper.find(&name);
            at.into_iter().for_each(|at| keeper.kept[at].paused = true);
        }
        keeper
    }

    /// Bounds, as the file has them now.
    pub fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    fn enter(&mut self, mut entry: Entry, fixed: bool) -> usize {
        entry.set_dir(place(entry.dir()));
        self.numbers += 1;
        let (number, state) = (self.numbers, State::New);
        let (paused, gone, order) = (false, false, None);
        self.kept.push(Kept { number, entry, fixed, paused, gone, state, order });
        self.kept.len() - 1
    }

    /// What a link, a folder or a seed's directory names.
    fn find(&self, at: &str) -> Option<usize> {
        let key = at.parse::<Link>().ok().map(|link| link.key);
        self.kept.iter().position(|kept| match key {
            Some(key) => kept.key() == Some(key),
            None => kept.folder() == Path::new(at),
        })
    }

    /// What a link names may be a share, whose key its store knows.
    fn find_in(&self, node: &Node, at: &str) -> Option<usize> {
        self.find(at).or_else(|| {
            let topic = node.topic_of(&at.parse::<Link>().ok()?.key.0)?;
            self.kept.iter().position(|kept| kept.state == State::Here(topic))
        })
    }

    /// Whether there is anything to do.
    pub fn is_due(&self, node: &Node) -> bool {
        let busy = |kept: &Kept| matches!(kept.state, State::New | State::Leaving(_));
        node.has_orders() || self.unsaved || !self.adding.is_empty() || self.kept.iter().any(busy)
    }

    /// Does what is to be done now. `More` and `Waiting`: again soon. `random`: fresh bytes, which the
    /// seeds of new keys are made of.
    pub fn work(
        &mut self,
        now: Instant,
        node: &mut Node,
        disk: &mut dyn Disk,
        random: [u8; 32],
    ) -> Work {
        while let Some((conn, request)) = node.take_order() {
            if let Some(answer) = self.order(now, node, disk, conn, &request) {
                node.answer_order(conn, answer);
            }
        }
        self.finish_leaving(node, disk);
        self.begin(random);
        let opening = self.open(now, node, disk);
        let saving = self.save(node, disk);
        match (opening, saving) {
            (Work::More, _) | (_, Work::More) => Work::More,
            (Work::Waiting, _) | (_, Work::Waiting) => Work::Waiting,
            (Work::Idle, Work::Idle) => Work::Idle,
        }
    }

    /// The answer, if there is one at once.
    fn order(
        &mut self,
        now: Instant,
        node: &mut Node,
        disk: &mut dyn Disk,
        conn: ConnId,
        request: &Request,
    ) -> Option<Vec<u8>> {
        if request.what == What::Add {
            let entry = request.entry.as_deref().unwrap_or_default();
            return match self.add(entry) {
                Ok(at) => {
                    self.kept[at].order = Some((conn, request.text));
                    None
                }
                Err(why) => Some(control::refuse(&why)),
            };
        }
        let name = request.at.as_deref().unwrap_or_default();
        let Some(at) = self.find_in(node, name) else {
            return Some(control::refuse(&NOT_KEPT));
        };
        let kept = &mut self.kept[at];
        if kept.order.is_some() || kept.state == State::Opening || kept.goes() {
            return Some(control::refuse(&"it is being opened or closed: try again"));
        }
        match request.what {
            What::Remove if kept.fixed => {
                let file = self.file.display();
                let why = format!(
                    "{file} names it: take it out there, then reload (kill -HUP {})",
                    node.pid()
                );
                return Some(control::refuse(&why));
            }
            What::Remove => match kept.state {
                State::Here(topic) => {
                    node.remove_topic(now, topic, disk);
                    kept.state = State::Leaving(topic);
                    kept.order = Some((conn, request.text));
                }
                _ => {
                    self.kept.remove(at);
                    self.unsaved = true;
                    self.answers.push((conn, control::done()));
                }
            },
            _ => {
                kept.paused = request.what == What::Pause;
                if let State::Here(topic) = kept.state {
                    match kept.paused {
                        true => node.pause_topic(now, topic, disk),
                        false => node.resume_topic(now, topic, disk),
                    };
                }
                self.unsaved = true;
                self.answers.push((conn, control::done()));
            }
        }
        None
    }

    /// What `gannet add` says is kept from now on.
    fn add(&mut self, text: &str) -> Result<usize, String> {
        let read = settings::read(Path::new("entry"), text, &self.base);
        let mut entries = read.map_err(|failure| failure.what)?.entries.into_iter();
        let (Some(mut entry), None) = (entries.next(), entries.next()) else {
            return Err("one thing is added at a time".into());
        };
        if entry.dir().to_str().is_none() {
            return Err(format!("{}: its name is not UTF-8", entry.dir().display()));
        }
        if self.kept.len() >= limits::KEPT_ENTRIES {
            return Err(format!("{} things are kept: remove one first", limits::KEPT_ENTRIES));
        }
        entry.set_dir(place(entry.dir()));
        if let Some(kept) = self.kept.iter().find(|kept| kept.entry.collides(&entry)) {
            return Err(format!("this is kept already, in {}", kept.folder().display()));
        }
        Ok(self.enter(entry, false))
    }

    /// Begins to open what nothing stands in the way of; new seeds of one directory together.
    fn begin(&mut self, random: [u8; 32]) {
        for at in 0..self.kept.len() {
            if self.kept[at].state != State::New || self.is_in_the_way(at) {
                continue;
            }
            let mut numbers = Vec::new();
            let mut run = self.kept[at].entry.run();
            if let super::config::Run::Seed { links, dir, .. } = &mut run {
                links.clear();
                for kept in self.kept[at..].iter_mut().filter(|kept| kept.state == State::New) {
                    let Entry::Seed { link, dir: of } = &kept.entry else { continue };
                    if of == dir {
                        links.push(link.clone());
                        numbers.push(kept.number);
                        kept.state = State::Opening;
                    }
                }
            } else {
                numbers.push(self.kept[at].number);
                self.kept[at].state = State::Opening;
            }
            let number = numbers.first().copied().unwrap_or(0);
            let seed = hash(&[&random, &number.to_le_bytes()]);
            self.adding.push_back((Adding::new(run, seed), numbers));
        }
    }

    /// Whether something that is not closed yet works on the same.
    fn is_in_the_way(&self, at: usize) -> bool {
        let mut going = self.kept.iter().filter(|kept| kept.goes());
        going.any(|kept| kept.entry.collides(&self.kept[at].entry))
    }

    /// Goes on with what is being opened, a piece of each.
    fn open(&mut self, now: Instant, node: &mut Node, disk: &mut dyn Disk) -> Work {
        let mut work = Work::Idle;
        for _ in 0..self.adding.len().min(limits::OPENINGS) {
            let Some((mut adding, numbers)) = self.adding.pop_front() else { break };
            let step = adding.step(now, node, &mut self.shelf, disk, limits::WORK_BUSY_COST);
            match step {
                Ok(Step::Done(added)) => self.opened(now, node, disk, &numbers, added),
                Ok(step) => {
                    let more = matches!(step, Step::More);
                    work = if more || work == Work::More { Work::More } else { Work::Waiting };
                    self.adding.push_back((adding, numbers));
                }
                Err(failure) => {
                    numbers.iter().for_each(|number| self.failed(node, *number, &failure));
                    self.close_roots(disk);
                }
            }
        }
        if work == Work::Idle && !self.adding.is_empty() { Work::More } else { work }
    }

    fn opened(
        &mut self,
        now: Instant,
        node: &mut Node,
        disk: &mut dyn Disk,
        numbers: &[u32],
        added: Added,
    ) {
        for topic in added.topics {
            let key = node.key_of(topic);
            let ours = self.kept.iter_mut().find(|kept| {
                let seed = matches!(kept.entry, Entry::Seed { .. });
                numbers.contains(&kept.number) && (!seed || kept.key() == key)
            });
            let Some(kept) = ours else { continue };
            kept.state = State::Here(topic);
            if kept.gone {
                node.remove_topic(now, topic, disk);
                kept.state = State::Leaving(topic);
                continue;
            }
            for peer in &self.settings.peers {
                // They were looked at when the file was read.
                let _ = node.add_peer(now, topic, peer);
            }
            if kept.paused {
                node.pause_topic(now, topic, disk);
            }
            if let Some((conn, text)) = kept.order.take() {
                let link = node.link_of(topic).unwrap_or_default();
                let folder = kept.entry.dir();
                let answer = match text {
                    true => control::said(&format!("{link}\n")),
                    false => control::said(&serde_json::json!({"link": link, "folder": folder})),
                };
                self.answers.push((conn, answer));
                self.unsaved = true;
            }
        }
        for (key, failure) in added.left_out {
            let of = self
                .kept
                .iter()
                .find(|kept| numbers.contains(&kept.number) && kept.key() == Some(key));
            if let Some(number) = of.map(|kept| kept.number) {
                self.failed(node, number, &failure);
            }
        }
    }

    /// It cannot be opened: who ordered it hears so, and else the user, who may mend it.
    fn failed(&mut self, node: &mut Node, number: u32, failure: &Failure) {
        let Some(at) = self.kept.iter().position(|kept| kept.number == number) else { return };
        if self.kept[at].gone {
            self.kept.remove(at);
            return;
        }
        match self.kept[at].order.take() {
            Some((conn, _)) => {
                self.kept.remove(at);
                node.answer_order(conn, control::refuse(failure));
            }
            None => {
                self.kept[at].state = State::Failed;
                node.warn(format!("left out: {failure}"));
            }
        }
    }

    fn finish_leaving(&mut self, node: &mut Node, disk: &mut dyn Disk) {
        let before = self.kept.len();
        for at in (0..before).rev() {
            let State::Leaving(topic) = self.kept[at].state else { continue };
            if node.has_topic(topic) {
                continue;
            }
            if let Some((conn, _)) = self.kept.remove(at).order {
                self.answers.push((conn, control::done()));
                self.unsaved = true;
            }
        }
        if self.kept.len() < before {
            self.close_roots(disk);
        }
    }

    /// Directories in which no seed is kept any more are free for others.
    fn close_roots(&mut self, disk: &mut dyn Disk) {
        let kept = &self.kept;
        let used = |path: &Path| {
            let mut seeds = kept.iter().filter(|k| matches!(k.entry, Entry::Seed { .. }));
            seeds.any(|k| k.state != State::Failed && k.entry.dir() == path)
        };
        self.shelf.close_unused(disk, used);
    }

    /// Remembers what is kept, and then says that it is.
    fn save(&mut self, node: &mut Node, disk: &mut dyn Disk) -> Work {
        if !self.unsaved {
            return Work::Idle;
        }
        let written = write(disk, self.home, self.text().as_bytes());
        if matches!(written, Err(StoreError::NotYet)) {
            return Work::Waiting;
        }
        self.unsaved = false;
        for (conn, answer) in std::mem::take(&mut self.answers) {
            let answer = match &written {
                Ok(()) => answer,
                Err(error) => {
                    let why = format!("it is done, but not remembered: {STATE}: {error}");
                    control::refuse(&why)
                }
            };
            node.answer_order(conn, answer);
        }
        Work::Idle
    }

    /// What is remembered, as a file for `recall`.
    fn text(&self) -> String {
        let mut out =
            "# Written by gannet daemon: what gannet add added, and what is paused.\n".to_owned();
        let paused = self.kept.iter().filter(|kept| kept.paused && !kept.goes());
        let paused: Vec<String> = paused.map(|kept| settings::quoted(&kept.name())).collect();
        out.push_str(&format!("paused = [{}]\n", paused.join(", ")));
        let stays = |kept: &&Kept| !kept.fixed && !kept.goes();
        self.kept.iter().filter(stays).for_each(|kept| out.push_str(&kept.entry.text()));
        out
    }

    /// SIGHUP: what the file names now is kept, what it named before and does not any more is removed, and
    /// nothing else changes. A file with a mistake changes nothing.
    pub fn reload(&mut self, now: Instant, node: &mut Node, disk: &mut dyn Disk) {
        let text =
            std::fs::read_to_string(&self.file).map_err(|e| Failure::io(self.file.display(), &e));
        let read = text.and_then(|text| settings::read(&self.file, &text, &self.base));
        match read {
            Ok(settings) => self.apply(now, node, disk, settings),
            Err(failure) => node.warn(format!("nothing is changed: {failure}")),
        }
    }

    fn apply(&mut self, now: Instant, node: &mut Node, disk: &mut dyn Disk, new: Settings) {
        let mut wanted = new.entries.clone();
        wanted.iter_mut().for_each(|entry| entry.set_dir(place(entry.dir())));
        for kept in self.kept.iter_mut().filter(|kept| !kept.goes()) {
            if let Some(at) = wanted.iter().position(|entry| *entry == kept.entry) {
                wanted.remove(at);
                self.unsaved |= !std::mem::replace(&mut kept.fixed, true);
                if kept.state == State::Failed {
                    kept.state = State::New;
                }
                continue;
            }
            kept.gone = kept.fixed;
            if let (true, State::Here(topic)) = (kept.gone, kept.state) {
                node.remove_topic(now, topic, disk);
                kept.state = State::Leaving(topic);
            }
        }
        self.kept.retain(|kept| !kept.gone || !matches!(kept.state, State::New | State::Failed));
        for entry in wanted {
            let mut others = self.kept.iter().filter(|kept| !kept.goes());
            let other = others.find(|kept| kept.entry.collides(&entry)).map(Kept::name);
            match other {
                Some(name) => {
                    let dir = entry.dir().display();
                    node.warn(format!("left out: {dir}: this is kept already, in {name}"));
                }
                None => {
                    self.enter(entry, true);
                }
            }
        }
        let old = &self.settings;
        let later = [
            ("listen", old.listen != new.listen),
            ("discovery", old.discovery != new.discovery),
            ("exec", old.exec != new.exec),
            ("max_storage", old.limits.max_storage != new.limits.max_storage),
        ];
        for (name, _) in later.iter().filter(|(_, changed)| *changed) {
            node.warn(format!("{name} takes effect at the next start"));
        }
        for peer in new.peers.iter().filter(|peer| !old.peers.contains(peer)) {
            // They were looked at when the file was read.
            let _ = node.add_peer_everywhere(now, peer);
        }
        node.set_lists(now, new.lists.clone());
        self.settings = new;
    }
}

impl Kept {
    /// Whether it is on its way out.
    fn goes(&self) -> bool {
        self.gone || matches!(self.state, State::Leaving(_))
    }

    fn key(&self) -> Option<Key> {
        self.entry.link().map(|link| link.key)
    }

    /// Where its files are.
    fn folder(&self) -> PathBuf {
        match &self.entry {
            Entry::Seed { link, dir } => dir.join(link.key.to_string()),
            other => other.dir().to_owned(),
        }
    }

    /// What finds it again.
    fn name(&self) -> String {
        self.folder().display().to_string()
    }
}

/// What an earlier run remembered, from the text of its file.
pub fn recall(name: &Path, text: &str, base: &Base) -> Result<Memory, Failure> {
    let (entries, paused) = settings::read_state(name, text, base).map_err(|failure| {
        Failure::new(Kind::Damaged, failure.what).hint("mend it, or remove it to begin anew")
    })?;
    Ok(Memory { entries, paused })
}

fn write(disk: &mut dyn Disk, home: Dir, bytes: &[u8]) -> Result<(), StoreError> {
    write_small(disk, (home, Path::new(BESIDE)), Some(0o600), bytes, true)?;
    disk.rename(home, Path::new(BESIDE), Path::new(STATE), false)?;
    Ok(disk.sync_dir(home, Path::new(""))?)
}
