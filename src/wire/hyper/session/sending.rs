//! What a session says: small messages put together, large ones sealed where they are.

use super::{BATCH, CLOSE, LENGTH_BYTES, OPEN, PROTOCOL, REJECT, Session};
use crate::codec::compact;
use crate::crypto::noise::Role;
use crate::crypto::{hash, hyper, sealed};
use crate::limits::{HYPER_BATCH_BYTES, HYPER_BATCH_KEPT, HYPER_BLOCK_BYTES, HYPER_FRAME_BYTES};
use crate::wire::host;
use crate::wire::hyper::body::{self, DataHead};
use crate::wire::hyper::channels::{HOST, Said};
use crate::wire::hyper::{Message, Unsendable};

/// Small messages that wait to be sealed together.
#[derive(Default)]
pub(super) struct Batch {
    items: Vec<u8>,
    /// The channel of the last item.
    channel: u64,
}

impl Batch {
    /// When `said` bytes were taken from it: a connection that says little keeps little room, one that
    /// says much does not allocate it anew each time.
    fn keep_room(&mut self, said: usize) {
        if said < HYPER_BATCH_KEPT {
            self.items.shrink_to(HYPER_BATCH_KEPT);
        }
    }
}

impl Session {
    /// Something waits for [`Session::poll`].
    pub fn wants_to_send(&self) -> bool {
        !self.hello.is_empty() || !self.rejects.is_empty() || !self.batch.items.is_empty()
    }

    /// Appends what waits to be sent: the handshake, answers that nobody has to think about, and
    /// the small messages put together so far. To be called when everything else was appended.
    pub fn poll(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.hello);
        self.flush(out);
    }

    /// Opens a core. `Some`: the peer had opened it and knows its key, so that it is live at once;
    /// whether it answers seeks.
    pub fn open(
        &mut self,
        discovery_key: &[u8; 32],
        key: &[u8; 32],
        out: &mut Vec<u8>,
    ) -> Result<Option<bool>, Unsendable> {
        if !self.is_up() {
            return Err(Unsendable::NotUp);
        }
        debug_assert_eq!(hash::discovery_key(key), *discovery_key);
        let initiator = self.role == Role::Initiator;
        let expected = hyper::capability(&self.hash, !initiator, key);
        let (number, live) = self.channels.open(discovery_key, &expected)?;
        let capability = hyper::capability(&self.hash, initiator, key);
        self.item(0, out, |out| {
            compact::put_uint(OPEN, out);
            compact::put_uint(number, out);
            compact::put_buffer(PROTOCOL.as_bytes(), out);
            compact::put_buffer(discovery_key, out);
            // We answer seeks.
            out.push(1);
            out.extend_from_slice(&capability);
        });
        Ok(live)
    }

    /// Whether the peer has opened a core and shown that it knows its key.
    pub fn has_shown(&self, discovery_key: &[u8; 32], key: &[u8; 32]) -> bool {
        let initiator = self.role == Role::Initiator;
        let expected = hyper::capability(&self.hash, !initiator, key);
        self.channels.has_shown(discovery_key, &expected)
    }

    /// Opens the channel between hosts. What is said on it may follow at once: who does not know it does
    /// not read it either.
    pub fn open_host(&mut self, out: &mut Vec<u8>) -> Result<(), Unsendable> {
        if !self.is_up() {
            return Err(Unsendable::NotUp);
        }
        let capability = Said::default().capability;
        let (number, _) = self.channels.open(&HOST, &capability)?;
        self.host = number;
        self.item(0, out, |out| {
            compact::put_uint(OPEN, out);
            compact::put_uint(number, out);
            compact::put_buffer(host::PROTOCOL.as_bytes(), out);
            compact::put_buffer(&[], out);
        });
        Ok(())
    }

    /// Says a message between hosts, which `body` appends, on the channel that we opened; nothing if the
    /// peer does not have it.
    pub fn say_host(&mut self, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
        if self.host > 0 {
            self.item(self.host, out, body);
        }
    }

    /// Refuses a core that only the peer opened.
    pub fn refuse(&mut self, discovery_key: &[u8; 32], out: &mut Vec<u8>) {
        if let Some(number) = self.channels.refuse(discovery_key) {
            self.control(REJECT, number, out);
        }
    }

    /// Closes a core that we opened. It can be opened again.
    pub fn close(&mut self, discovery_key: &[u8; 32], out: &mut Vec<u8>) {
        if let Some(number) = self.channels.close(discovery_key) {
            self.control(CLOSE, number, out);
        }
    }

    /// Sends a message on a core that both sides have opened. Small ones are kept to be sealed
    /// together, until [`Session::poll`] or until there are enough of them.
    pub fn send(
        &mut self,
        discovery_key: &[u8; 32],
        message: &Message<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsendable> {
        body::check(message)?;
        let channel = self.channels.ours(discovery_key).ok_or(Unsendable::NotOpen)?;
        let kind = body::kind(message);
        if matches!(
            message,
            Message::Data(_) | Message::Bitfield { .. } | Message::Extension { .. }
        ) {
            let from = self.begin(channel, kind, out);
            body::encode(message, out);
            return self.seal(from, out);
        }
        self.item(channel, out, |out| {
            compact::put_uint(kind, out);
            body::encode(message, out);
        });
        Ok(())
    }

    /// Appends a Data message up to its block, which the caller appends next, exactly `value_len`
    /// bytes, and then calls [`Session::data_end`] with the position returned here. Nothing else
    /// may be sent in between; to give up, truncate `out` to that position.
    pub fn data_begin(
        &mut self,
        discovery_key: &[u8; 32],
        data: &DataHead<'_>,
        value_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, Unsendable> {
        body::check_data(true, data.proof, data.manifest)?;
        let channel = self.channels.ours(discovery_key).ok_or(Unsendable::NotOpen)?;
        if value_len > HYPER_BLOCK_BYTES {
            return Err(Unsendable::TooLong);
        }
        let from = self.begin(channel, body::DATA, out);
        data.front(Some(value_len), out);
        out.reserve(value_len + sealed::BEHIND_BYTES);
        Ok(from)
    }

    /// Appends what follows the block and seals the whole where it is.
    pub fn data_end(
        &mut self,
        from: usize,
        data: &DataHead<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsendable> {
        data.tail(out);
        self.seal(from, out)
    }

    /// An empty message; nothing before the handshake is over.
    pub fn keepalive(&mut self, out: &mut Vec<u8>) {
        if self.is_up() {
            self.flush(out);
            self.batch.keep_room(0);
            let from = out.len();
            out.extend_from_slice(&[0; LENGTH_BYTES + sealed::FRONT_BYTES]);
            let sent = self.seal(from, out);
            debug_assert_eq!(sent, Ok(()));
        }
    }

    /// Begins a message of its own; where it begins.
    fn begin(&mut self, channel: u64, kind: u64, out: &mut Vec<u8>) -> usize {
        self.flush(out);
        let from = out.len();
        out.extend_from_slice(&[0; LENGTH_BYTES + sealed::FRONT_BYTES]);
        compact::put_uint(channel, out);
        compact::put_uint(kind, out);
        from
    }

    /// Seals what stands behind `from` and its room.
    fn seal(&mut self, from: usize, out: &mut Vec<u8>) -> Result<(), Unsendable> {
        let len = out.len() - from - LENGTH_BYTES + sealed::BEHIND_BYTES;
        let Some(sealer) = self.outbound.as_mut().filter(|_| len <= HYPER_FRAME_BYTES) else {
            out.truncate(from);
            return Err(Unsendable::TooLong);
        };
        out.extend_from_slice(&[0; sealed::BEHIND_BYTES]);
        let frame = &mut out[from..];
        frame[..LENGTH_BYTES].copy_from_slice(&(len as u32).to_le_bytes()[..LENGTH_BYTES]);
        sealer.seal(&mut frame[LENGTH_BYTES..]);
        Ok(())
    }

    fn control(&mut self, kind: u64, number: u64, out: &mut Vec<u8>) {
        self.item(0, out, |out| {
            compact::put_uint(kind, out);
            compact::put_uint(number, out);
        });
    }

    /// Adds an item to the batch, behind the refusals: an opening of ours must not be taken for the
    /// answer to one that was refused before it.
    fn item(&mut self, channel: u64, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
        for number in std::mem::take(&mut self.rejects) {
            self.control(REJECT, number, out);
        }
        if self.batch.items.len() >= HYPER_BATCH_BYTES {
            self.flush(out);
        }
        let Batch { items, channel: last } = &mut self.batch;
        if items.is_empty() {
            compact::put_uint(channel, items);
        } else if *last != channel {
            items.push(0);
            compact::put_uint(channel, items);
        }
        *last = channel;
        let from = items.len();
        body(items);
        let len = (items.len() - from) as u64;
        compact::put_uint(len, items);
        items[from..].rotate_right(compact::uint_len(len));
    }

    /// Seals the refusals and the batch, if there are any.
    fn flush(&mut self, out: &mut Vec<u8>) {
        if let Some(number) = self.rejects.pop() {
            self.control(REJECT, number, out);
        }
        if self.batch.items.is_empty() || !self.is_up() {
            return;
        }
        let from = out.len();
        out.extend_from_slice(&[0; LENGTH_BYTES + sealed::FRONT_BYTES]);
        out.extend_from_slice(&[0, BATCH as u8]);
        out.append(&mut self.batch.items);
        self.batch.keep_room(out.len() - from);
        let sent = self.seal(from, out);
        debug_assert_eq!(sent, Ok(()), "batches are far shorter than a frame may be");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_kept_by_what_is_said() {
        let mut batch = Batch::default();
        batch.items.reserve_exact(HYPER_BATCH_BYTES);
        batch.keep_room(HYPER_BATCH_BYTES);
        assert!(batch.items.capacity() >= HYPER_BATCH_BYTES);
        batch.keep_room(HYPER_BATCH_KEPT - 1);
        assert!(batch.items.capacity() <= HYPER_BATCH_KEPT);
    }
}
