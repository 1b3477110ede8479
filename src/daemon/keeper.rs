//! What a daemon keeps: the entries of its user's file and those that came with `gannet add`. They are
//! opened, paused and removed while the loop runs, and what is not in the file is remembered in another
//! one, which is replaced whole. Works between two turns and never waits.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

mod memory;
mod orders;
mod reload;
mod trouble;

pub use memory::{Memory, STATE, recall};

use super::adding::{Added, Adding, Step};
use super::identity::place;
use super::open::Shelf;
use super::settings::{self, Base, Entry, Limits, Settings};
use crate::crypto::hyper::hash;
use crate::failure::Failure;
use crate::ids::ConnId;
use crate::limits;
use crate::link::{Key, Link};
use crate::node::control;
use crate::node::io::Work;
use crate::node::{Node, TopicId};
use crate::store::disk::{Dir, Disk};
use crate::time::Instant;
use trouble::Trouble;

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
    /// The node was told of something that cannot be opened.
    troubled: bool,
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
    /// Why it is not open.
    trouble: Option<Trouble>,
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
    /// It cannot be opened: it is tried again later, and at once by SIGHUP.
    Failed,
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
            troubled: false,
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
        let (paused, gone, trouble, order) = (false, false, None, None);
        self.kept.push(Kept { number, entry, fixed, paused, gone, state, trouble, order });
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
    pub fn is_due(&self, now: Instant, node: &Node) -> bool {
        let busy = |kept: &Kept| matches!(kept.state, State::New | State::Leaving(_));
        let again = self.next_try().is_some_and(|at| at <= now);
        again
            || node.has_orders()
            || self.unsaved
            || !self.adding.is_empty()
            || self.kept.iter().any(busy)
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
        self.try_again(now);
        self.begin(random);
        let opening = self.open(now, node, disk);
        self.tell_troubles(now, node);
        let saving = self.save(node, disk);
        match (opening, saving) {
            (Work::More, _) | (_, Work::More) => Work::More,
            (Work::Waiting, _) | (_, Work::Waiting) => Work::Waiting,
            (Work::Idle, Work::Idle) => Work::Idle,
        }
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
                    numbers.iter().for_each(|number| self.failed(now, node, *number, &failure));
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
            kept.trouble = None;
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
                self.failed(now, node, number, &failure);
            }
        }
    }

    /// It cannot be opened: who ordered it hears so, and else the user, who may mend it.
    fn failed(&mut self, now: Instant, node: &mut Node, number: u32, failure: &Failure) {
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
            None if self.kept[at].is_troubled(now, failure) => {
                node.warn(format!("left out: {failure}; it is tried again"));
            }
            None => {}
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
