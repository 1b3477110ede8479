//! What is said before there is a session: pings and pongs.

use gannet::host::HostId;
use gannet::wire::ping::{LOAD_FULL, PING_BYTES, Pong, ping, read_ping};
use gannet::wire::{Opening, opening};

/// What was read is within its bounds; written, it is read as the same. Who is taken for a pinger says a ping
/// or breaks the rules.
pub fn first(data: &[u8]) {
    let taken = opening(data) == Some(Opening::Ping);
    if let Ok(Some(nonce)) = read_ping(data) {
        assert!(taken && data.len() >= PING_BYTES);
        assert_eq!(read_ping(&ping(&nonce)), Ok(Some(nonce)));
    }
    let Ok(Some(pong)) = Pong::read(data) else { return };
    assert!(pong.load <= LOAD_FULL && pong.versions.first <= pong.versions.last);
    let mut again = Vec::new();
    pong.encode(&mut again);
    assert!(again.len() <= PING_BYTES);
    assert_eq!(Pong::read(&again), Ok(Some(pong)));
}

pub fn first_seeds() -> Vec<Vec<u8>> {
    let mut pong = Vec::new();
    Pong::new([3; 16], HostId([4; 32]), 50).encode(&mut pong);
    vec![ping(&[3; 16]).to_vec(), pong]
}
