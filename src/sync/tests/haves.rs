use super::*;
use crate::codec::rle;

fn have_bits(start: u64, length: u64, bits: &[u8]) -> OwnedMessage {
    OwnedMessage::Have { start, length, bits: Some(rle::encode(bits)), ack: false }
}

fn want(start: u64, length: Option<u64>) -> Message<'static> {
    Message::Want { start, length }
}

/// A peer's answer to a Want for the first range.
fn answer(rig: &mut Rig, from: PeerId, length: u64, bits: &[u8]) {
    let bits = rle::encode(bits);
    rig.message(
        from,
        Message::Have(Have { start: 0, length, bits: Some(Bits::Runs(&bits)), ack: false }),
    );
}

#[test]
fn b01_all_three_forms_of_have_lead_to_requests() {
    let mut rig = Rig::new(feed(0, &[]), Wanted::All);
    rig.join(peer(1));
    assert_eq!(rig.sent(peer(1)), [OwnedMessage::Want { start: 0, length: 1 << 20 }]);
    answer(&mut rig, peer(1), 1 << 20, &[0b0010_0000]);
    assert_eq!(rig.asked(peer(1)), [2]);
    rig.have(peer(1), 5, 0); // length 0 counts as 1
    rig.have(peer(1), 7, 2);
    assert_eq!(rig.asked(peer(1)), [5, 7, 8]);
}

#[test]
fn b02_an_unreadable_or_misplaced_bitfield_ends_the_connection() {
    for (start, bits) in
        [(0, &[0x08, 1][..]), (0, &[0xff, 0xff, 0xff, 0xff, 0xff, 0x1f]), (4, &[0x07])]
    {
        let mut rig = Rig::new(feed(0, &[]), Wanted::All);
        rig.join(peer(1));
        let have = Have { start, length: 1 << 20, bits: Some(Bits::Runs(bits)), ack: false };
        rig.message(peer(1), Message::Have(have));
        assert_eq!(rig.dropped(peer(1)), Some(Why::BadBitfield));
    }
}

#[test]
fn b02_memory_for_claims_is_bounded_over_feeds_and_peers() {
    let mut rig = Rig::new(feed(0, &[]), Wanted::All);
    for n in 1..30 {
        rig.shelf.0.insert(FeedId(n), feed(0, &[]));
        let wanted = Wanted::All;
        rig.put(Input::FeedAdded { feed: FeedId(n), wanted, upload: true, follow: true });
    }
    let mut rng = Rng::from_seed(4);
    for who in 0..20 {
        for n in 1..4 {
            let joined = Input::Joined {
                peer: peer(who),
                feed: FeedId(n),
                live: true,
                ack: false,
                told: false,
            };
            rig.sync.handle(rig.now, joined, &rig.shelf);
            for _ in 0..1500 {
                let start = rng.below(1 << 52);
                let have = Message::Have(Have { start, length: 1, bits: None, ack: false });
                let input = Input::Message { peer: peer(who), feed: FeedId(n), message: &have };
                rig.sync.handle(rig.now, input, &rig.shelf);
            }
        }
        let held = rig.sync.peers.get(&peer(who)).expect("it is there").held_bytes;
        assert!(held <= limits::PEER_HOLDINGS_BYTES, "{held}");
    }
    rig.drain();
    assert!(rig.sync.held_bytes <= limits::HOLDINGS_BYTES);
    for who in 0..20 {
        rig.put(Input::Gone { peer: peer(who) });
    }
    assert_eq!(rig.sync.held_bytes, 0);
}

#[test]
fn b04_have_before_want_and_request_before_have_do_no_harm() {
    let mut rig = Rig::new(feed(3, &[(0, 3)]), Wanted::All);
    rig.join(peer(1));
    rig.have(peer(1), 3, 1);
    rig.request(peer(1), 2);
    rig.request(peer(1), 99);
    let sent = rig.sent(peer(1));
    assert!(sent.contains(&OwnedMessage::Unhave { start: 99, length: 1 }), "{sent:?}");
    let upload = rig.sync.next_upload(rig.now, peer(1));
    assert_eq!(upload.map(|u| u.request.index), Some(2));
    // On feeds that were never joined or never heard of, too.
    let request = Message::Request(Request::default());
    rig.put(Input::Message { peer: peer(1), feed: FeedId(9), message: &request });
    rig.put(Input::Message { peer: peer(2), feed: F, message: &request });
    rig.put(Input::Joined { peer: peer(2), feed: FeedId(9), live: true, ack: false, told: false });
}

#[test]
fn b05_a_want_is_echoed_with_its_bits_after_a_hint_of_the_length() {
    let mut rig = Rig::new(feed(12, &[(0, 3), (11, 1)]), Wanted::Nothing);
    rig.join(peer(1));
    assert_eq!(rig.sent(peer(1)), [], "who needs nothing asks nothing");
    rig.message(peer(1), want(0, Some(1 << 20)));
    let bits = [0b1110_0000, 0b0001_0000];
    assert_eq!(rig.sent(peer(1)), [OwnedMessage::have(11, 1), have_bits(0, 1 << 20, &bits)]);
    rig.message(peer(1), want(1 << 20, Some(1 << 20)));
    assert_eq!(rig.sent(peer(1)), [have_bits(1 << 20, 1 << 20, &[])]);
}

#[test]
fn b05_no_hint_without_the_last_block_and_nothing_for_those_who_do_not_upload() {
    let mut rig = Rig::new(feed(12, &[(0, 8)]), Wanted::Nothing);
    rig.join(peer(1));
    rig.message(peer(1), want(0, Some(1 << 20)));
    assert_eq!(rig.sent(peer(1)), [have_bits(0, 1 << 20, &[0xff])]);
    rig.put(Input::SetMode { feed: F, upload: false, follow: true });
    rig.join(peer(2));
    rig.message(peer(2), want(0, Some(1 << 20)));
    assert_eq!(rig.sent(peer(2)), [have_bits(0, 1 << 20, &[])], "an answer there must be");
    rig.request(peer(2), 0);
    assert_eq!(rig.sent(peer(2)), [OwnedMessage::Unhave { start: 0, length: 1 }]);
    assert!(!rig.sync.has_upload(peer(2)));
}

#[test]
fn b05_only_wanted_windows_hear_of_new_blocks() {
    let mut rig = Rig::new(feed(100_000, &[]), Wanted::All);
    for n in 1..=3 {
        rig.join(peer(n));
    }
    rig.message(peer(1), want(0, Some(8192)));
    rig.message(peer(2), want(8192, Some(8192)));
    (1..=3).for_each(|n| drop(rig.sent(peer(n))));
    let blocks = [5, 8191, 8192, 20_000];
    blocks.into_iter().for_each(|block| rig.store(block));
    assert_eq!(rig.sent(peer(1)), [], "announcements go together");
    rig.pass(limits::ANNOUNCE_AFTER);
    let heard = |rig: &mut Rig, n| -> Vec<OwnedMessage> {
        rig.sent(peer(n)).into_iter().filter(|m| matches!(m, OwnedMessage::Have { .. })).collect()
    };
    assert_eq!(heard(&mut rig, 1), [OwnedMessage::have(5, 1), OwnedMessage::have(8191, 1)]);
    assert_eq!(heard(&mut rig, 2), [OwnedMessage::have(8192, 1)]);
    assert_eq!(heard(&mut rig, 3), []);
    rig.message(peer(1), Message::Unwant { start: 0, length: Some(8192) });
    rig.store(6);
    rig.pass(limits::ANNOUNCE_AFTER);
    assert_eq!(heard(&mut rig, 1), []);
}

#[test]
fn b05_neighbours_are_announced_together_and_not_to_those_who_have_them() {
    let mut rig = Rig::new(feed(100, &[]), Wanted::All);
    rig.join(peer(1));
    rig.join(peer(2));
    for n in 1..=2 {
        rig.message(peer(n), want(0, Some(1 << 20)));
    }
    rig.have(peer(2), 3, 2);
    (1..=2).for_each(|n| drop(rig.sent(peer(n))));
    for block in [4, 2, 5, 3] {
        rig.store(block);
    }
    rig.pass(limits::ANNOUNCE_AFTER);
    assert_eq!(rig.sent(peer(1)), [OwnedMessage::have(2, 4)]);
    let haves: Vec<OwnedMessage> = rig.sent(peer(2));
    assert!(haves.contains(&OwnedMessage::have(2, 1)) && haves.contains(&OwnedMessage::have(5, 1)));
    assert!(!haves.iter().any(|m| matches!(m, OwnedMessage::Have { start: 3 | 4, .. })));
}

#[test]
fn b05_blocks_are_announced_to_those_who_hold_others_of_another_history() {
    for (fork, heard) in [(0, false), (1, true)] {
        let mut rig = Rig::new(feed(4, &[(0, 3)]), Wanted::All);
        let joined = Input::Joined { peer: peer(1), feed: F, live: true, ack: false, told: true };
        rig.put(joined);
        rig.message(peer(1), Message::Head(Head { fork, length: 4, ..Head::default() }));
        rig.have(peer(1), 0, 4);
        rig.source(peer(2), 3, 1);
        rig.sent(peer(1));
        assert_eq!(rig.deliver(peer(2), 3), Arrival::Expected);
        rig.pass(limits::ANNOUNCE_AFTER);
        assert_eq!(rig.sent(peer(1)).contains(&OwnedMessage::have(3, 1)), heard, "fork {fork}");
    }
}

#[test]
fn b05_growth_is_announced_at_once_and_out_of_all_windows_by_one_hint() {
    const RANGE: u64 = limits::WANT_BLOCKS;
    let mut rig = Rig::new(feed(RANGE - 1, &[(0, RANGE - 1)]), Wanted::Nothing);
    rig.join(peer(1));
    rig.message(peer(1), want(0, Some(RANGE)));
    rig.sent(peer(1));
    let mut grow = |to: u64| {
        let feed = rig.shelf.0.get_mut(&F).unwrap();
        let from = feed.length();
        feed.set_have(from, to - from, true);
        feed.set_length(to);
        rig.put(Input::Grew { feed: F, from, to });
        rig.sent(peer(1))
    };
    assert_eq!(grow(RANGE), [OwnedMessage::have(RANGE - 1, 1)]);
    assert_eq!(grow(RANGE + 1), [OwnedMessage::have(RANGE, 1)], "so that it asks for the range");
    assert_eq!(grow(RANGE + 5), [], "until it did");
    assert_eq!(grow(2 * RANGE + 1), [OwnedMessage::have(2 * RANGE, 1)]);
}

#[test]
fn b05_cleared_blocks_are_told_and_not_uploaded() {
    let mut rig = Rig::new(feed(100, &[(0, 100)]), Wanted::Nothing);
    rig.join(peer(1));
    rig.message(peer(1), want(0, Some(1 << 20)));
    rig.sent(peer(1));
    for block in [9, 10, 30] {
        rig.request(peer(1), block);
    }
    rig.shelf.0.get_mut(&F).unwrap().set_have(10, 10, false);
    rig.put(Input::Cleared { feed: F, start: 10, length: 10 });
    assert_eq!(rig.sent(peer(1)), [OwnedMessage::Unhave { start: 10, length: 10 }]);
    let left: Vec<u64> = std::iter::from_fn(|| rig.sync.next_upload(rig.now, peer(1)))
        .map(|upload| upload.request.index)
        .collect();
    assert_eq!(left, [9, 30]);
}

#[test]
fn b05_a_want_of_2017_is_answered_with_everything_and_without_length() {
    let mut rig = Rig::new(feed(10, &[(0, 10)]), Wanted::Nothing);
    rig.join(peer(1));
    rig.message(peer(1), want(0, None));
    let all = have_bits(0, 1, &[0xff, 0b1100_0000]);
    assert_eq!(rig.sent(peer(1)), [OwnedMessage::have(9, 1), all]);
    const RANGE: u64 = limits::WANT_BLOCKS;
    let mut rig = Rig::new(feed(3 * RANGE, &[(0, 2 * RANGE), (3 * RANGE - 1, 1)]), Wanted::Nothing);
    rig.join(peer(1));
    rig.message(peer(1), want(0, None));
    assert_eq!(
        rig.sent(peer(1))[2..],
        [OwnedMessage::have(RANGE, RANGE), OwnedMessage::have(3 * RANGE - 1, 1)]
    );
}

#[test]
fn b04_a_peer_of_2017_gets_a_have_before_the_first_request() {
    let mut rig = Rig::new(feed(0, &[]), Wanted::All);
    rig.join(peer(1));
    rig.sent(peer(1));
    answer(&mut rig, peer(1), 1, &[0x80]);
    let sent = rig.sent(peer(1));
    assert_eq!(sent[0], have_bits(0, 1, &[]));
    assert!(matches!(sent[1], OwnedMessage::Request(Request { index: 0, .. })), "{sent:?}");
    // It wants without a length and gets its answer; no more Wants go to it however far it reaches.
    rig.message(peer(1), want(0, None));
    rig.have(peer(1), 5 << 20, 1);
    assert!(!rig.sent(peer(1)).iter().any(|m| matches!(m, OwnedMessage::Want { .. })));
}

#[test]
fn b05_further_ranges_are_wanted_as_far_as_the_peer_reaches_sixteen_at_a_time() {
    let mut rig = Rig::new(feed(0, &[]), Wanted::All);
    rig.join(peer(1));
    let wants = |rig: &mut Rig| -> Vec<u64> {
        let sent = rig.sent(peer(1)).into_iter();
        sent.filter_map(|m| match m {
            OwnedMessage::Want { start, length: limits::WANT_BLOCKS } => Some(start >> 20),
            OwnedMessage::Want { .. } => panic!("a Want of another length"),
            _ => None,
        })
        .collect()
    };
    assert_eq!(wants(&mut rig), [0]);
    rig.have(peer(1), (1 << 20) - 1, 1);
    assert_eq!(wants(&mut rig), [0; 0]);
    rig.have(peer(1), 1 << 20, 1);
    assert_eq!(wants(&mut rig), [1]);
    rig.have(peer(1), 1 << 50, 1);
    assert_eq!(wants(&mut rig), (2..16).collect::<Vec<u64>>());
    answer(&mut rig, peer(1), 1 << 20, &[]);
    assert_eq!(wants(&mut rig), [16]);
    for _ in 0..3 * limits::WANT_RANGES {
        answer(&mut rig, peer(1), 1 << 20, &[]);
    }
    assert_eq!(wants(&mut rig).last(), Some(&(limits::WANT_RANGES - 1)));
}

#[test]
fn b05_odd_wants_are_ignored_and_floods_of_them_dampened() {
    let mut rig = Rig::new(feed(10, &[(0, 10)]), Wanted::Nothing);
    rig.join(peer(1));
    rig.message(peer(1), want(100, Some(1 << 20)));
    rig.message(peer(1), want(u64::MAX / 8192 * 8192, Some(8192)));
    assert_eq!(rig.sent(peer(1)), []);
    rig.message(peer(1), want(0, Some(u64::MAX)));
    let answer = have_bits(0, 1 << 20, &[0xff, 0xc0]);
    assert_eq!(rig.sent(peer(1))[1], answer, "cut to what fits into a bitfield");
    for n in 0..10_000 {
        rig.message(peer(1), want(n * 8192, Some(8192)));
    }
    assert!(rig.sent(peer(1)).len() < 2 * limits::WANT_ANSWERS_BURST as usize);
    // Nor does it help to open the feed anew each time.
    for _ in 0..1000 {
        rig.put(Input::Parted { peer: peer(1), feed: F });
        rig.join(peer(1));
        rig.sent(peer(1));
        rig.message(peer(1), want(0, Some(8192)));
        assert_eq!(rig.sent(peer(1)), []);
    }
}

#[test]
fn b05_the_first_want_of_each_feed_is_answered_however_many_they_are() {
    let mut rig = Rig::new(feed(10, &[(0, 10)]), Wanted::Nothing);
    let feeds = F.0 + 1..F.0 + 1000;
    for id in feeds.clone().map(FeedId) {
        rig.shelf.0.insert(id, feed(10, &[(0, 10)]));
        rig.put(Input::FeedAdded { feed: id, wanted: Wanted::Nothing, upload: true, follow: true });
        rig.put(Input::Joined { peer: peer(1), feed: id, live: true, ack: false, told: false });
    }
    rig.sent(peer(1));
    for id in feeds.map(FeedId) {
        let message = want(0, Some(8192));
        rig.put(Input::Message { peer: peer(1), feed: id, message: &message });
        assert!(!rig.sent(peer(1)).is_empty(), "{id:?}");
    }
}

#[test]
fn b05_stored_blocks_are_acknowledged_to_those_who_ask_for_that() {
    let mut rig = Rig::new(feed(2, &[]), Wanted::All);
    rig.put(Input::Joined { peer: peer(1), feed: F, live: true, ack: true, told: false });
    rig.have(peer(1), 0, 2);
    rig.sent(peer(1));
    rig.deliver(peer(1), 0);
    let ack = OwnedMessage::Have { start: 0, length: 1, bits: None, ack: true };
    assert!(rig.sent(peer(1)).contains(&ack));
}

#[test]
fn d02_beginning_to_upload_is_told_and_ending_it_drops_what_was_queued() {
    let mut rig = Rig::new(feed(12, &[(0, 3), (5, 2)]), Wanted::Nothing);
    rig.put(Input::SetMode { feed: F, upload: false, follow: true });
    rig.join(peer(1));
    rig.message(peer(1), want(0, Some(1 << 20)));
    assert_eq!(rig.sent(peer(1)), [have_bits(0, 1 << 20, &[])]);
    rig.put(Input::SetMode { feed: F, upload: true, follow: true });
    assert_eq!(rig.sent(peer(1)), [OwnedMessage::have(0, 3), OwnedMessage::have(5, 2)]);
    rig.request(peer(1), 1);
    rig.put(Input::SetMode { feed: F, upload: false, follow: true });
    assert!(!rig.sync.has_upload(peer(1)));
}

#[test]
fn b05_windows_stay_bounded_however_many_holes_are_punched() {
    let mut rig = Rig::new(feed(10, &[(0, 10)]), Wanted::Nothing);
    rig.join(peer(1));
    rig.message(peer(1), want(0, Some(1 << 40)));
    for n in 0..20_000 {
        rig.message(peer(1), Message::Unwant { start: 2 * n, length: Some(1) });
        rig.message(peer(1), want(n * 8192, Some(8192)));
    }
    let windows =
        rig.sync.peers.get(&peer(1)).expect("it is there").feeds[&F].windows.blocks.ranges();
    assert!(windows <= 2 * limits::WANT_WINDOWS, "{windows}");
}
