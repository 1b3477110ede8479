//! What is asked over the control socket about what is kept, and about who may come: bans are the node's
//! own to set; what is kept is its embedder's business, who takes such orders and answers them.

use std::path::Path;
use std::time::Duration;

use crate::conn::Reason;
use crate::ids::ConnId;
use crate::limits;
use crate::link::{Key, Link};
use crate::store::disk::{Dir, Disk};
use crate::store::{StoreError, read_small, write_small};
use crate::swarm::hello::Standing;
use crate::swarm::standing::{By, Lists, Who};
use crate::time::Instant;

use super::Node;
use super::control::{self, Request, What};
use super::event::Event;
use super::io::Output;
use super::status::{BanStatus, Unopened};
use super::topic::TopicId;

const FILE: &str = "gannet.bans";
const BESIDE: &str = "gannet.bans.new";

impl Node {
    /// The next order, and who gave it. To be answered with [`Node::answer_order`].
    pub fn take_order(&mut self) -> Option<(ConnId, Request)> {
        self.orders.pop_front()
    }

    pub fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    /// Answers an order; nothing happens if who gave it has left.
    pub fn answer_order(&mut self, conn: ConnId, answer: Vec<u8>) {
        if let Some(client) = self.clients.get_mut(&conn) {
            client.ordered = false;
            self.out.push_back(Output::Resume { conn });
            self.reply(conn, answer);
        }
    }

    /// Whether SIGHUP came since this was last asked.
    pub fn take_reload(&mut self) -> bool {
        std::mem::take(&mut self.reload_wanted)
    }

    /// Something that the user is to hear.
    pub fn warn(&mut self, text: String) {
        self.publish(&Event::Warning { text });
    }

    /// What is to be kept and cannot be opened, for the status.
    pub fn set_unopened(&mut self, unopened: Vec<Unopened>) {
        self.unopened = unopened;
    }

    /// What a link names, or what is kept in a folder and below it.
    pub fn topics_at(&self, at: &str) -> Vec<TopicId> {
        if let Ok(link) = at.parse::<Link>() {
            return self.topic_of(&link.key.0).into_iter().collect();
        }
        let below = self.topics.iter().filter(|(_, t)| Path::new(&t.folder).starts_with(at));
        below.map(|(id, _)| id).collect()
    }

    /// As people write it.
    pub fn link_of(&self, id: TopicId) -> Option<String> {
        Some(self.topics.get(&id)?.link.clone())
    }

    pub fn pid(&self) -> u32 {
        self.config.pid
    }

    /// The key that names a topic.
    pub fn key_of(&self, id: TopicId) -> Option<Key> {
        let open = self.feeds.get(self.topics.get(&id)?.first)?;
        Some(Key(*open.store.feed().key()))
    }

    /// What the operator says of all hosts from now on. Who is not welcome any more has to go.
    pub fn set_lists(&mut self, now: Instant, lists: Lists) {
        self.set_stoppers(lists.stop.clone());
        self.standings.set_lists(lists);
        self.part_from_unwelcome(now);
    }

    fn part_from_unwelcome(&mut self, now: Instant) {
        let unwelcome = self.peers.iter().filter_map(|(conn, peer)| {
            let barred = peer.address().is_some_and(|at| self.standings.is_barred(at.ip(), now));
            let standing = peer.kin.host().map(|host| self.standing(&host, now));
            match standing {
                _ if barred => Some((*conn, Reason::Banned)),
                Some(Standing::Banned) => Some((*conn, Reason::Banned)),
                Some(Standing::NotAllowed) => Some((*conn, Reason::NotAllowed)),
                Some(Standing::Paused) => Some((*conn, Reason::Paused)),
                Some(Standing::Allowed) | None => None,
            }
        });
        let unwelcome: Vec<(ConnId, Reason)> = unwelcome.collect();
        unwelcome.into_iter().for_each(|(conn, why)| self.close(now, conn, why));
    }

    /// Keeps bans in this directory from now on, and takes those in that are kept there. To be called
    /// again if the disk is not ready.
    pub fn keep_bans_in(
        &mut self,
        now: Instant,
        dir: Dir,
        disk: &mut dyn Disk,
    ) -> Result<(), StoreError> {
        if let Some(bytes) = read_small(disk, dir, Path::new(FILE), limits::KEPT_BANS_BYTES)?
            && let Err(error) = self.standings.restore(&bytes, now, self.wall)
        {
            log::warn!("{FILE}: {error}");
        }
        self.standings.take_changed();
        self.bans_dir = Some(dir);
        Ok(())
    }

    /// Replaces the file. `durable`: somebody was promised.
    fn write_bans(
        &mut self,
        now: Instant,
        disk: &mut dyn Disk,
        durable: bool,
    ) -> Result<(), StoreError> {
        let Some(dir) = self.bans_dir else { return Ok(()) };
        let bytes = self.standings.encode(now, self.wall);
        write_small(disk, (dir, Path::new(BESIDE)), Some(0o600), &bytes, durable)?;
        disk.rename(dir, Path::new(BESIDE), Path::new(FILE), false)?;
        if durable {
            disk.sync_dir(dir, Path::new(""))?;
        }
        self.standings.take_changed();
        Ok(())
    }

    /// At a tick: bans that nobody waits for.
    pub(super) fn tick_bans(&mut self, now: Instant, disk: &mut dyn Disk) {
        if self.standings.take_changed()
            && let Err(error) = self.write_bans(now, disk, false)
        {
            log::warn!("{FILE}: {error}");
        }
    }

    /// Bans, lifts a ban, or lists them. `None`: the disk is fetching what is needed; again.
    pub(super) fn client_bans(
        &mut self,
        now: Instant,
        conn: ConnId,
        request: &Request,
        disk: &mut dyn Disk,
    ) -> Option<Vec<u8>> {
        if request.what == What::Bans {
            return Some(control::bans(request, &self.ban_status(now)));
        }
        let at = request.at.as_deref().unwrap_or_default();
        let done = match (request.what, at.parse::<Who>()) {
            (What::Ban, Ok(who)) => {
                let span = request.seconds.map(Duration::from_secs);
                let done = self.standings.ban(now, who, span).map_err(|full| full.to_string());
                self.part_from_unwelcome(now);
                done
            }
            (What::Ban, Err(why)) => Err(why.to_string()),
            (_, who) => self.lift(now, conn, at, who.ok()),
        };
        if let Err(why) = done {
            return Some(control::refuse(&why));
        }
        match self.write_bans(now, disk, true) {
            Ok(()) => Some(control::done()),
            Err(StoreError::NotYet) => {
                let client = self.clients.get_mut(&conn)?;
                (client.waiting, client.lifted) = (true, true);
                self.work_due = true;
                None
            }
            Err(error) => Some(control::refuse(&format!("{FILE} cannot be written: {error}"))),
        }
    }

    fn lift(
        &mut self,
        now: Instant,
        conn: ConnId,
        at: &str,
        who: Option<Who>,
    ) -> Result<(), String> {
        let before = self.clients.get_mut(&conn).is_some_and(|client| {
            client.waiting = false;
            std::mem::take(&mut client.lifted)
        });
        let mut lifted = who.is_some_and(|who| self.standings.unban(now, who)) || before;
        let ids: Vec<TopicId> = self.topics.keys().collect();
        for id in ids {
            let Some(swarm) = self.swarms.get_mut(&id) else { continue };
            lifted |= match who {
                Some(Who::Addr(ip)) => swarm.unban_at(ip),
                Some(Who::Host(_)) => false,
                None => hex::decode(at).is_ok_and(|id| swarm.unban_id(&id)),
            };
        }
        if who.is_some_and(|who| self.standings.lists().bans.contains(&who)) {
            return Err(format!("{at} is banned by the configuration file: take it out there"));
        }
        if lifted {
            // Who was dialled and turned away meanwhile has not failed.
            self.swarms.forgive(now);
            Ok(())
        } else {
            Err(format!("{at} is not banned: see gannet bans"))
        }
    }

    fn ban_status(&self, now: Instant) -> Vec<BanStatus> {
        let own = self.standings.bans(now).map(|ban| BanStatus {
            who: ban.who.to_string(),
            ends_in_s: ban.until.map(|until| until.since(now).as_secs()),
            by: if ban.by == By::Operator { "operator" } else { "conduct" },
        });
        let listed = self.standings.lists().bans.iter();
        let listed =
            listed.map(|who| BanStatus { who: who.to_string(), ends_in_s: None, by: "file" });
        let mut all: Vec<BanStatus> = own.chain(listed).collect();
        for (who, until) in self.swarms.values().flat_map(|swarm| swarm.bans(now)) {
            if !all.iter().any(|ban| ban.who == who) {
                let ends_in_s = Some(until.since(now).as_secs());
                all.push(BanStatus { who, ends_in_s, by: "conduct" });
            }
        }
        all
    }
}
