//! Programs that ask over the control socket.

use crate::feed::Refusal;
use crate::host::HostId;
use crate::ids::{ConnId, FeedId};
use crate::store::disk::Disk;
use crate::store::{Moved, StoreError};
use crate::time::Instant;

use super::Node;
use super::control::{self, Request, What};
use super::io::{Consumed, Output};
use super::status::{Unopened, UnopenedStatus};
use super::topic;

/// A connection to the control socket.
#[derive(Default)]
pub struct Client {
    /// Not yet handed to the socket.
    pub answer: Vec<u8>,
    /// Its request waits for the disk; meanwhile it is not read.
    pub waiting: bool,
    /// Blocks of its request are appended and not durable yet: the feed's length with them.
    appended: Option<u64>,
    /// Its request takes blocks back: the length before.
    truncated: Option<u64>,
    /// It waits for the embedder's answer; meanwhile it is not read.
    pub ordered: bool,
    /// The ban that it wants lifted is, but that is not durable yet.
    pub lifted: bool,
    /// Its request waits for a search for this host; meanwhile it is not read.
    pub finding: Option<HostId>,
    /// The same for this host to stop.
    pub shutting: Option<HostId>,
}

impl Node {
    pub(super) fn client_bytes(
        &mut self,
        now: Instant,
        conn: ConnId,
        buf: &mut [u8],
        disk: &mut dyn Disk,
    ) -> Consumed {
        let mut done = Consumed::default();
        while let Some(client) = self.clients.get_mut(&conn) {
            // One answer at a time: a client that does not read its answers is not read either.
            if client.ordered || !client.answer.is_empty() {
                done.hold = client.ordered;
                break;
            }
            match control::decode(&buf[done.bytes..]) {
                Ok(None) => break,
                Ok(Some((request, len))) if self.config.orders && request.what.is_order() => {
                    client.ordered = true;
                    done.bytes += len;
                    done.frames += 1;
                    self.orders.push_back((conn, request));
                }
                Ok(Some((request, len))) => {
                    let Some(answer) = self.client_answer(now, conn, &request, disk) else {
                        done.hold = true;
                        break;
                    };
                    done.bytes += len;
                    done.frames += 1;
                    self.reply(conn, answer);
                    if request.what == What::Stop {
                        self.stop(now, 0);
                    }
                }
                Err(why) => {
                    done.bytes = buf.len();
                    self.reply(conn, control::refuse(&why));
                    self.out.push_back(Output::Close { conn, flush: true });
                    break;
                }
            }
        }
        done
    }

    /// `None`: the disk is fetching what is needed; the request is looked at again.
    fn client_answer(
        &mut self,
        now: Instant,
        conn: ConnId,
        request: &Request,
        disk: &mut dyn Disk,
    ) -> Option<Vec<u8>> {
        let result = match request.what {
            What::Append => self.client_append(now, conn, request, disk),
            What::Truncate => self.client_truncate(now, conn, request, disk),
            What::Hosts => return Some(self.answer_hosts(now, request.text)),
            What::Find => {
                let name = request.host.as_deref().unwrap_or_default();
                return self.answer_find(now, conn, (name, request.text));
            }
            What::Shutdown => {
                let name = request.host.as_deref().unwrap_or_default();
                return self.answer_shutdown(now, conn, name);
            }
            What::Status | What::Peers | What::Candidates | What::Stop => {
                let about = request.at.as_ref().map(|at| self.topics_at(at));
                let at = request.at.as_deref();
                let here = |of: &&Unopened| at.is_some_and(|at| of.is_at(at));
                let unopened: Vec<UnopenedStatus> =
                    self.unopened.iter().filter(here).map(|of| of.status(now)).collect();
                if about.as_ref().is_some_and(Vec::is_empty) && unopened.is_empty() {
                    return Some(control::refuse(&control::NOT_KEPT));
                }
                let mut status = self.status_of(now, about.as_deref(), disk);
                status.unopened.extend(unopened);
                return Some(control::answer(request, &status));
            }
            What::Ban | What::Unban | What::Bans => {
                return self.client_bans(now, conn, request, disk);
            }
            What::Add | What::Remove | What::Pause | What::Resume => {
                return Some(control::refuse(&"only gannet daemon can do that"));
            }
        };
        let client = self.clients.get_mut(&conn)?;
        client.waiting = matches!(result, Err(StoreError::NotYet));
        match result {
            Ok(length) => Some(control::appended(length)),
            Err(StoreError::NotYet) => {
                self.work_due = true;
                None
            }
            Err(error) => {
                (client.appended, client.truncated) = (None, None);
                Some(control::refuse(&error))
            }
        }
    }

    /// Appends to the bare feed served here; announced once it is durable.
    fn client_append(
        &mut self,
        now: Instant,
        conn: ConnId,
        request: &Request,
        disk: &mut dyn Disk,
    ) -> Result<u64, StoreError> {
        let feed = self.served_core(request)?;
        let client = self.clients.get_mut(&conn).ok_or(StoreError::Absent)?;
        let open = self.feeds.get_mut(feed).ok_or(StoreError::Missing)?;
        let to = match client.appended {
            Some(to) => to,
            None => {
                let blocks: Vec<&[u8]> = request.blocks.iter().map(|b| b.0.as_slice()).collect();
                let from = open.store.feed().length();
                let to = open.store.append(disk, &blocks)?;
                // Whatever becomes of this client, the next commit announces the blocks.
                open.unannounced.get_or_insert(from);
                self.feeds.touch(feed, now);
                client.appended = Some(to);
                to
            }
        };
        self.commit(now, feed, disk)?;
        if let Some(client) = self.clients.get_mut(&conn) {
            client.appended = None;
        }
        Ok(to)
    }

    fn served_core(&self, request: &Request) -> Result<FeedId, StoreError> {
        let about = request.at.as_ref().map(|at| self.topics_at(at));
        let mut cores = self.topics.iter().filter(|(id, topic)| {
            let core = matches!(topic.what, topic::What::Core(_)) && !topic.is_leaving();
            core && about.as_ref().is_none_or(|about| about.contains(id))
        });
        cores.next().map(|(_, topic)| topic.first).ok_or(StoreError::Missing)
    }

    /// The core served here keeps the blocks before `length`, in a new history.
    fn client_truncate(
        &mut self,
        now: Instant,
        conn: ConnId,
        request: &Request,
        disk: &mut dyn Disk,
    ) -> Result<u64, StoreError> {
        let feed = self.served_core(request)?;
        let length = request.length.ok_or(Refusal::Index)?;
        let begun = self.clients.get(&conn).and_then(|client| client.truncated);
        let from = match begun {
            Some(from) => from,
            None => {
                // What was appended has to be said first.
                self.commit(now, feed, disk)?;
                let open = self.feeds.get(feed).ok_or(StoreError::Missing)?;
                open.store.feed().length()
            }
        };
        if let Some(client) = self.clients.get_mut(&conn) {
            client.truncated = Some(from);
        }
        let open = self.feeds.get_mut(feed).ok_or(StoreError::Missing)?;
        open.store.truncate(disk, length)?;
        self.commit(now, feed, disk)?;
        if let Some(client) = self.clients.get_mut(&conn) {
            client.truncated = None;
        }
        if from > length {
            self.reorganised(now, feed, Moved { common: length, old: from, new: length });
        }
        Ok(length)
    }

    /// Lets clients whose request waits for the disk be read again. `true`: there were some.
    pub(super) fn retry_clients(&mut self) -> bool {
        let mut any = false;
        for (conn, client) in self.clients.iter() {
            if client.waiting {
                any = true;
                self.out.push_back(Output::Resume { conn: *conn });
            }
        }
        any
    }

    pub(super) fn reply(&mut self, conn: ConnId, answer: Vec<u8>) {
        if let Some(client) = self.clients.get_mut(&conn) {
            client.answer = answer;
            self.out.push_back(Output::Wake { conn });
        }
    }
}
