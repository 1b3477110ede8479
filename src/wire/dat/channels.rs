//! Which channel is which feed, in both directions, and what waits for a feed that we have not
//! opened. Each side numbers the feeds that it opens itself; equal discovery keys pair them.

use std::collections::VecDeque;

use super::{Fault, Unsendable, body};
use crate::limits::{DAT_CHANNELS, DAT_EARLY_BYTES, DAT_EARLY_MESSAGES};
use crate::wire::Message;

/// A feed that one side or both have opened.
#[derive(Debug)]
struct Feed {
    discovery_key: [u8; 32],
    /// Our channel number.
    ours: Option<usize>,
    theirs: bool,
    /// Messages waiting for us to open it.
    early: usize,
}

/// A message that came before we had opened its feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Early {
    kind: u8,
    body: Vec<u8>,
}

impl Early {
    /// The message, or `None` where `What::Ignored` would have been said.
    pub fn message(&self) -> Result<Option<Message<'_>>, Fault> {
        body::decode(self.kind, &self.body)
    }
}

#[derive(Debug, Default)]
pub(super) struct Channels {
    /// In the order in which they were first seen; at most `DAT_CHANNELS` from each side.
    feeds: Vec<Feed>,
    /// The peer's channel numbers: places in `feeds`.
    theirs: Vec<Option<usize>>,
    opened: usize,
    early: VecDeque<(usize, Early)>,
    early_bytes: usize,
}

impl Channels {
    fn find(&self, discovery_key: &[u8; 32]) -> Option<usize> {
        self.feeds.iter().position(|feed| &feed.discovery_key == discovery_key)
    }

    fn find_or_add(&mut self, discovery_key: &[u8; 32]) -> usize {
        self.find(discovery_key).unwrap_or_else(|| {
            let discovery_key = *discovery_key;
            self.feeds.push(Feed { discovery_key, ours: None, theirs: false, early: 0 });
            self.feeds.len() - 1
        })
    }

    /// Gives a feed our next channel number.
    pub fn open(&mut self, discovery_key: &[u8; 32]) -> Result<usize, Unsendable> {
        if self.opened == DAT_CHANNELS {
            return Err(Unsendable::TooManyChannels);
        }
        let at = self.find_or_add(discovery_key);
        let feed = &mut self.feeds[at];
        if feed.ours.is_some() {
            return Err(Unsendable::OpenAlready);
        }
        feed.ours = Some(self.opened);
        self.opened += 1;
        Ok(self.opened - 1)
    }

    /// The peer opened `channel`; whether that feed is new from its side. A JavaScript peer that
    /// closes a feed and opens it again says nothing of the first and takes a new channel for the
    /// second, so one feed may have several channels.
    pub fn opened_by_peer(
        &mut self,
        channel: u64,
        discovery_key: &[u8; 32],
    ) -> Result<bool, Fault> {
        let number = usize::try_from(channel).ok().filter(|&n| n < DAT_CHANNELS);
        let number = number.ok_or(Fault::TooManyChannels { channel })?;
        if self.theirs.len() <= number {
            self.theirs.resize(number + 1, None);
        }
        if self.theirs[number].is_some() {
            return Err(Fault::ChannelAgain);
        }
        let at = self.find_or_add(discovery_key);
        self.theirs[number] = Some(at);
        Ok(!std::mem::replace(&mut self.feeds[at].theirs, true))
    }

    /// The feed that the peer's `channel` is, and whether we have opened it too.
    pub fn feed(&self, channel: u64) -> Result<(usize, &[u8; 32], bool), Fault> {
        let number = usize::try_from(channel).map_err(|_| Fault::NoSuchChannel)?;
        let at = self.theirs.get(number).copied().flatten().ok_or(Fault::NoSuchChannel)?;
        let feed = &self.feeds[at];
        Ok((at, &feed.discovery_key, feed.ours.is_some()))
    }

    /// Our channel number for a feed that both sides have opened.
    pub fn ours(&self, discovery_key: &[u8; 32]) -> Option<usize> {
        let feed = &self.feeds[self.find(discovery_key)?];
        feed.ours.filter(|_| feed.theirs)
    }

    /// Keeps a message on a feed (its place in the table) that we have not opened.
    pub fn keep(&mut self, at: usize, kind: u8, body: &[u8]) -> Result<(), Fault> {
        let feed = &mut self.feeds[at];
        if feed.early == DAT_EARLY_MESSAGES || body.len() > DAT_EARLY_BYTES - self.early_bytes {
            return Err(Fault::TooManyEarly);
        }
        feed.early += 1;
        self.early_bytes += body.len();
        self.early.push_back((at, Early { kind, body: body.to_vec() }));
        Ok(())
    }

    /// The oldest kept message of a feed that both sides have opened by now.
    pub fn early(&mut self, discovery_key: &[u8; 32]) -> Option<Early> {
        let at = self.find(discovery_key)?;
        self.feeds[at].ours?;
        let place = self.early.iter().position(|(feed, _)| *feed == at)?;
        let (_, early) = self.early.remove(place)?;
        self.feeds[at].early -= 1;
        self.early_bytes -= early.body.len();
        Some(early)
    }
}
