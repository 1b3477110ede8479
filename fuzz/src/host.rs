//! Messages between hosts.

use std::net::SocketAddr;

use gannet::crypto::sign::KeyPair;
use gannet::host::HostId;
use gannet::limits::{HOST_HINTS, HOST_HOLDS, HOST_MESSAGE_BYTES, HOST_RETRY, LAN_DATAGRAM_BYTES};
use gannet::wire::host::{
    BOOT_BYTES, Channel, Close, Code, Continue, Hello, Message, VERSIONS, put_command, put_spare,
};

const CHANNEL: Channel<'_> = Channel { handshake: &[7; 64], initiator: true };

fn pair() -> KeyPair {
    KeyPair::from_seed([1; 32])
}

/// What was read is within its bounds; written, it is read as the same.
pub fn message(data: &[u8]) {
    let Ok(Some(message)) = Message::decode(data) else { return };
    let most = if data[0] == 6 { 1 + LAN_DATAGRAM_BYTES } else { HOST_MESSAGE_BYTES };
    assert!(data.len() <= most);
    let mut again = Vec::new();
    match message {
        Message::Hello(signed) => {
            let claimed = signed.claimed().clone();
            assert!(claimed.holds.len() <= HOST_HOLDS);
            assert!(claimed.versions.first <= claimed.versions.last);
            // The fuzzer cannot sign: what is believed was said by us.
            if let Some(verified) = signed.verify(CHANNEL) {
                assert_eq!(verified.hello().host, HostId(pair().public()));
            }
            let ours = Hello { host: HostId(pair().public()), ..claimed };
            ours.encode(&pair(), CHANNEL, &mut again);
            let Ok(Some(Message::Hello(signed))) = Message::decode(&again) else {
                panic!("what was written is not read")
            };
            assert_eq!(signed.verify(CHANNEL).map(|v| v.hello().clone()), Some(ours));
        }
        Message::Command(bytes) => {
            put_command(bytes, &mut again);
            assert_eq!(Message::decode(&again), Ok(Some(Message::Command(bytes))));
        }
        Message::Continue(said) => {
            said.encode(&mut again);
            assert_eq!(Message::decode(&again), Ok(Some(Message::Continue(said))));
        }
        Message::Spare(can) => {
            put_spare(can, &mut again);
            assert_eq!(Message::decode(&again), Ok(Some(Message::Spare(can))));
        }
        Message::Ask(ask) => {
            ask.encode(&mut again);
            assert_eq!(Message::decode(&again), Ok(Some(Message::Ask(ask))));
        }
        Message::Candidates(said) => {
            said.encode(&mut again);
            assert_eq!(Message::decode(&again), Ok(Some(Message::Candidates(said))));
        }
        Message::Close(close) => {
            assert!(close.hints.len() <= HOST_HINTS);
            assert!(close.retry.is_none_or(|retry| retry <= HOST_RETRY));
            close.encode(&mut again);
            assert_eq!(Message::decode(&again), Ok(Some(Message::Close(close))));
        }
    }
}

pub fn message_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Vec::new(), Vec::new(), Vec::new()];
    let hello = Hello {
        versions: VERSIONS,
        host: HostId(pair().public()),
        boot: [2; BOOT_BYTES],
        number: 300,
        port: Some(3282),
        features: 1,
        seen: Some([203, 0, 113, 5].into()),
        own: vec![
            [203, 0, 113, 5].into(),
            std::net::Ipv6Addr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7]).into(),
        ],
        holds: vec![3, 200],
    };
    hello.encode(&pair(), CHANNEL, &mut seeds[0]);
    Continue { version: 1 }.encode(&mut seeds[1]);
    let hint: SocketAddr = ([192, 168, 1, 2], 3282).into();
    let close = Close {
        winner: Some(9),
        versions: Some(VERSIONS),
        retry: Some(HOST_RETRY),
        hints: vec![hint],
        ..Close::new(Code::Full)
    };
    close.encode(&mut seeds[2]);
    seeds
}
