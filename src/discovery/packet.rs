//! The DNS datagrams of local discovery, to the byte as the JavaScript programs send them
//! (dat/SPEC §11.1, §11.2), and what of a received one concerns us. Knows no state.

use std::net::{Ipv4Addr, SocketAddrV4};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use simple_dns::rdata::{RData, SRV, TXT};
use simple_dns::{
    CLASS, CharacterString, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE,
};

use crate::limits;

/// The first 20 bytes of a discovery key: what the host name of a drive is made of.
pub type Prefix = [u8; 20];

/// The two generations of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// TXT records below `dat.local`.
    Dat,
    /// SRV records below `hyperswarm.local`.
    Swarm,
}

/// What tells our own datagrams when they come back to us.
#[derive(Clone, Copy, Debug)]
pub struct Marker {
    /// In TXT answers, as base64.
    pub token: [u8; 32],
    /// In SRV answers, as it is.
    pub id: [u8; 32],
}

/// What a datagram says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Drives it asks for.
    pub asked: Vec<(Prefix, Kind)>,
    /// Peers it names; the address 0.0.0.0 stands for the sender's own.
    pub peers: Vec<(Prefix, SocketAddrV4)>,
}

/// Parses any DNS datagram; `None` if it is none, or bigger than what is sent to us in good faith.
pub fn parse(bytes: &[u8]) -> Option<Packet<'_>> {
    // The counts of the header size allocations of the parser.
    let header = bytes.get(4..12)?;
    let counts = header.chunks(2).map(|n| usize::from(n[0]) << 8 | usize::from(n[1]));
    if bytes.len() > limits::DNS_PACKET_BYTES || counts.sum::<usize>() > limits::DNS_PACKET_RECORDS
    {
        return None;
    }
    Packet::parse(bytes).ok()
}

/// The host name of a drive.
fn host(prefix: &Prefix, kind: Kind) -> String {
    let domain = match kind {
        Kind::Dat => "dat.local",
        Kind::Swarm => "hyperswarm.local",
    };
    format!("{}.{domain}", hex::encode(prefix))
}

fn question(name: &str, kind: Kind) -> Question<'_> {
    let kind = match kind {
        Kind::Dat => TYPE::TXT,
        Kind::Swarm => TYPE::SRV,
    };
    Question::new(Name::new_unchecked(name), kind.into(), CLASS::IN.into(), false)
}

fn record<'a>(name: &'a str, data: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(Name::new_unchecked(name), CLASS::IN, 0, data)
}

fn reply<'a>() -> Packet<'a> {
    let mut packet = Packet::new_reply(0);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    packet
}

/// Asks for the peers of a drive.
pub fn ask(prefix: &Prefix, kind: Kind) -> Vec<u8> {
    let name = host(prefix, kind);
    let mut packet = Packet::new_query(0);
    packet.questions.push(question(&name, kind));
    packet.build_bytes_vec().unwrap_or_default()
}

/// Answers a TXT question: `peers` (at most `limits::MULTICAST_PEERS_PER_STRING` are told) have
/// the drive.
pub fn answer_txt(prefix: &Prefix, marker: &Marker, peers: &[SocketAddrV4]) -> Vec<u8> {
    let mut packed = Vec::new();
    for peer in peers.iter().take(limits::MULTICAST_PEERS_PER_STRING) {
        packed.extend_from_slice(&peer.ip().octets());
        packed.extend_from_slice(&peer.port().to_be_bytes());
    }
    let strings = [
        format!("token={}", BASE64.encode(marker.token)).into_bytes(),
        format!("peers={}", BASE64.encode(&packed)).into_bytes(),
    ];
    let name = host(prefix, Kind::Dat);
    let mut packet = reply();
    packet.questions.push(question(&name, Kind::Dat));
    packet.answers.push(record(&name, RData::TXT(txt(&strings))));
    packet.build_bytes_vec().unwrap_or_default()
}

/// Says, asked or unasked, that the sender listens for peers of a drive at `port`.
pub fn announce_srv(prefix: &Prefix, marker: &Marker, port: u16) -> Vec<u8> {
    let name = host(prefix, Kind::Swarm);
    let target = Name::new_unchecked("0.0.0.0");
    let mut id = b"id=".to_vec();
    id.extend_from_slice(&marker.id);
    let strings = [id];
    let mut packet = reply();
    let service = SRV { priority: 0, weight: 0, port, target };
    packet.answers.push(record(&name, RData::SRV(service)));
    packet.answers.push(record(&name, RData::TXT(txt(&strings))));
    packet.build_bytes_vec().unwrap_or_default()
}

fn txt(strings: &[Vec<u8>]) -> TXT<'_> {
    let mut txt = TXT::new();
    for string in strings {
        if let Ok(string) = CharacterString::new(string) {
            txt.add_char_string(string);
        }
    }
    txt
}

/// What a datagram says to us. `None`: nothing, or it is our own.
pub fn hear(bytes: &[u8], own: &Marker) -> Option<Heard> {
    let packet = parse(bytes)?;
    let mut heard = Heard::default();
    if !packet.has_flags(PacketFlag::RESPONSE) {
        heard.asked = packet.questions.iter().filter_map(asked).collect();
    }
    let own_token = BASE64.encode(own.token);
    for record in packet.answers.iter().chain(&packet.additional_records) {
        let Some(prefix) = drive(&record.name) else { continue };
        match &record.rdata {
            RData::SRV(service) => {
                if let Some(ip) = dotted(&service.target) {
                    heard.peers.push((prefix, SocketAddrV4::new(ip, service.port)));
                }
            }
            RData::TXT(txt) => {
                for (key, value) in txt.iter_raw() {
                    let value = value.unwrap_or_default();
                    match key {
                        b"token" if value == own_token.as_bytes() => return None,
                        b"id" if value == own.id => return None,
                        b"peers" => unpack(prefix, value, &mut heard.peers),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    heard.peers.truncate(limits::MULTICAST_PEERS);
    Some(heard).filter(|heard| *heard != Heard::default())
}

fn asked(question: &Question<'_>) -> Option<(Prefix, Kind)> {
    if !matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY) {
        return None;
    }
    let kind = match question.qtype {
        QTYPE::TYPE(TYPE::TXT) if below(&question.qname, b"dat") => Kind::Dat,
        QTYPE::TYPE(TYPE::SRV) if below(&question.qname, b"hyperswarm") => Kind::Swarm,
        _ => return None,
    };
    Some((drive(&question.qname)?, kind))
}

/// Whether a name is `<something>.domain.local`.
fn below(name: &Name<'_>, domain: &[u8]) -> bool {
    let mut labels = name.as_bytes().skip(1);
    labels.next().is_some_and(|label| label.eq_ignore_ascii_case(domain))
        && labels.next().is_some_and(|label| label.eq_ignore_ascii_case(b"local"))
        && labels.next().is_none()
}

/// The drive that a host name stands for, whatever its domain.
fn drive(name: &Name<'_>) -> Option<Prefix> {
    let mut prefix = Prefix::default();
    hex::decode_to_slice(name.as_bytes().next()?, &mut prefix).ok()?;
    Some(prefix)
}

/// A host name that is an IPv4 address in dotted form.
fn dotted(name: &Name<'_>) -> Option<Ipv4Addr> {
    let labels: Vec<&[u8]> = name.as_bytes().collect();
    std::str::from_utf8(&labels.join(&b'.')).ok()?.parse().ok()
}

fn unpack(prefix: Prefix, base64: &[u8], peers: &mut Vec<(Prefix, SocketAddrV4)>) {
    let Ok(packed) = BASE64.decode(base64) else { return };
    for record in packed.chunks_exact(6) {
        let ip = Ipv4Addr::new(record[0], record[1], record[2], record[3]);
        peers.push((prefix, SocketAddrV4::new(ip, u16::from_be_bytes([record[4], record[5]]))));
    }
}
