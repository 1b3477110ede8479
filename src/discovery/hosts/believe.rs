//! What is taken into the table: a process that has shown that it lives, and records that others tell
//! of.

use std::net::SocketAddr;

use super::heard::revived;
use super::table::{Group, Known, State, is_same_place};
use super::{Command, Hosts, Output, Via, Window};
use crate::host::HostId;
use crate::limits;
use crate::time::Instant;
use crate::wire::host::{Boot, Claim, SignedRecord};

impl Hosts {
    /// The sender of a command has said it just now. `direct`: it has answered at the place where it
    /// seems to be; otherwise it is there if its own record says so.
    pub(super) fn believe(
        &mut self,
        now: Instant,
        via: Via,
        command: &Command<'_>,
        record: Option<&[u8]>,
        direct: bool,
    ) {
        let (host, boot, counter) = (command.host, command.boot, command.counter);
        let signed = record.and_then(|bytes| self.record_of((host, boot), bytes));
        if self.table.get_mut(host, boot).is_none() {
            let Some(signed) = signed else { return };
            self.table.displace(signed.record());
            let state = State::Live { window: Window::new(counter) };
            self.table.insert(now, Known::new(now, signed, state));
        } else if let Some(signed) = signed {
            self.renew_record(host, boot, signed);
        }
        let Some(known) = self.table.get_mut(host, boot) else { return };
        known.set_state(revived(known.state(), counter));
        known.heard = now;
        known.tries = 0;
        known.expires = now + known.record.record().ttl;
        if let Via::Udp(from) = via {
            self.prove(now, (host, boot), from, direct);
        }
    }

    /// What a process says of itself. The signature of the datagram around it stands for its own: if
    /// that is wrong, it is its host whom nobody else will find.
    fn record_of(&mut self, (host, boot): (HostId, Boot), bytes: &[u8]) -> Option<SignedRecord> {
        let claim = Claim::decode(bytes).ok();
        let own = claim.filter(|claim| {
            let record = claim.claimed();
            record.host == host && record.boot == boot
        });
        self.counts.records += u64::from(own.is_none());
        own.map(Claim::assume_verified)
    }

    /// A newer record of a process takes the place of the one that is known; an older one never.
    fn renew_record(&mut self, host: HostId, boot: Boot, signed: SignedRecord) {
        let Some(known) = self.table.get_mut(host, boot) else { return };
        let (new, old) = (signed.record(), known.record.record());
        if new.sequence <= old.sequence {
            self.counts.records += u64::from(signed != known.record);
            return;
        }
        // It may be somewhere else now: what it does not name any more has to be proven anew.
        known.proven.retain(|addr| new.addresses.contains(&addr.ip()));
        known
            .offered
            .retain(|addr| new.addresses.contains(&addr.ip()) && new.tcp == Some(addr.port()));
        let new = new.clone();
        known.record = signed;
        self.table.displace(&new);
        self.table.touch();
    }

    /// A process has been heard from an address.
    pub(super) fn prove(
        &mut self,
        now: Instant,
        (host, boot): (HostId, Boot),
        from: SocketAddr,
        direct: bool,
    ) {
        let Some(known) = self.table.get_mut(host, boot) else { return };
        let listed = known.record.record().addresses.contains(&from.ip());
        if !direct && !listed && !known.proven.contains(&from) {
            return;
        }
        if !known.proven.contains(&from) {
            self.table.crowd(now, from.ip());
            self.table.touch();
        }
        let Some(known) = self.table.get_mut(host, boot) else { return };
        known.proven.retain(|addr| *addr != from);
        known.proven.insert(0, from);
        known.proven.truncate(limits::LAN_PROVEN);
        let Some(port) = known.record.record().tcp else { return };
        let mut addr = from;
        addr.set_port(port);
        if !known.offered.contains(&addr) {
            known.offered.insert(0, addr);
            known.offered.truncate(limits::LAN_PROVEN);
            self.outputs.push_back(Output::Found { host, addr });
        }
    }

    /// Somebody tells of a host: its own record, newer than what is known. It is asked itself before
    /// anybody is told to dial it. True if it was taken, or is what we have.
    pub(super) fn store(&mut self, now: Instant, bytes: &[u8], by: Group) -> bool {
        let taken = self.try_store(now, bytes, by).is_some();
        self.counts.records += u64::from(!taken);
        taken
    }

    fn try_store(&mut self, now: Instant, bytes: &[u8], by: Group) -> Option<()> {
        let claim = Claim::decode(bytes).ok()?;
        let new = claim.claimed().clone();
        if new.host == self.id || self.table.has_left(new.boot) {
            return None;
        }
        for known in self.table.iter_mut() {
            let old = known.record.record();
            if !is_same_place(old, &new) {
                continue;
            }
            if known.record.bytes() == bytes {
                known.expires = now + new.ttl;
                return Some(());
            }
            if new.sequence <= old.sequence || old.boot != new.boot && known.is_live() {
                return None;
            }
        }
        if !self.gate.admit_more(now) {
            return None;
        }
        let signed = claim.verify(&self.network)?;
        if self.table.get_mut(new.host, new.boot).is_some() {
            self.renew_record(new.host, new.boot, signed);
            let known = self.table.get_mut(new.host, new.boot)?;
            known.expires = now + new.ttl;
        } else {
            self.table.displace(&new);
            self.table.insert(now, Known::new(now, signed, State::Told { by }));
        }
        Some(())
    }
}
