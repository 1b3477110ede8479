use super::*;

/// `fast` and `slow` peers hold everything; they deliver for `seconds` at blocks a second. A rate of
/// 0 never answers.
fn run(rig: &mut Rig, rates: &[(PeerId, u64)], seconds: u64) {
    let mut due: Vec<Vec<u64>> = vec![Vec::new(); rates.len()];
    let mut credit = vec![0; rates.len()];
    for _ in 0..seconds * 20 {
        rig.pass(Duration::from_millis(50));
        for (n, (id, rate)) in rates.iter().enumerate() {
            let asked = rig.asked(*id);
            due[n].extend(asked);
            credit[n] = (credit[n] + rate * 50).min(20_000);
            while credit[n] >= 1000 && !due[n].is_empty() {
                credit[n] -= 1000;
                let block = due[n].remove(0);
                rig.deliver(*id, block);
            }
        }
    }
}

fn swarm_of(rates: &[(PeerId, u64)]) -> Rig {
    let mut rig = Rig::new(feed(1_000_000, &[]), Wanted::All);
    for (id, _) in rates {
        rig.join(*id);
    }
    for (id, _) in rates {
        rig.have(*id, 0, 1_000_000);
    }
    rig
}

#[test]
fn p02_a_slow_peer_is_dropped_while_others_are_faster() {
    let rates = [(peer(1), 60), (peer(2), 50), (peer(3), 0)];
    let mut rig = swarm_of(&rates);
    run(&mut rig, &rates, 25);
    assert_eq!(rig.dropped(peer(3)), None, "it has half a minute");
    run(&mut rig, &rates, 65);
    assert_eq!(rig.dropped(peer(3)), Some(Why::Slow));
    assert_eq!((rig.dropped(peer(1)), rig.dropped(peer(2))), (None, None));
}

#[test]
fn p02_half_as_fast_is_not_slow() {
    let rates = [(peer(1), 60), (peer(2), 50), (peer(3), 20)];
    let mut rig = swarm_of(&rates);
    run(&mut rig, &rates, 120);
    assert_eq!(rig.dropped(peer(3)), None);
}

#[test]
fn p02_the_only_holder_is_kept_however_slow() {
    let rates = [(peer(1), 60), (peer(2), 50)];
    let mut rig = swarm_of(&rates);
    // Block 7 is at peer 3 alone, which never answers.
    for n in 1..=2 {
        rig.message(peer(n), Message::Unhave { start: 7, length: 1 });
    }
    rig.source(peer(3), 7, 1);
    assert_eq!(rig.asked(peer(3)), [7]);
    run(&mut rig, &rates, 100);
    assert_eq!(rig.dropped(peer(3)), None);
    rig.have(peer(1), 7, 1);
    run(&mut rig, &rates, 100);
    assert!(rig.shelf.0[&F].has(7));
    rig.have(peer(3), 0, 1_000_000);
    run(&mut rig, &rates, 100);
    assert_eq!(rig.dropped(peer(3)), Some(Why::Slow));
}

#[test]
fn p02_claims_beyond_the_end_do_not_protect() {
    let rates = [(peer(1), 60), (peer(2), 50)];
    let mut rig = swarm_of(&rates);
    rig.source(peer(3), 2_000_000, 50);
    assert!(!rig.asked(peer(3)).is_empty());
    run(&mut rig, &rates, 50);
    assert_eq!(rig.dropped(peer(3)), Some(Why::Slow));
}

#[test]
fn p02_a_slow_line_of_our_own_costs_no_peer() {
    let rates: Vec<(PeerId, u64)> = (1..=6).map(|n| (peer(n), 2)).collect();
    let mut rig = swarm_of(&rates);
    run(&mut rig, &rates, 200);
    let dropped = (1..=6).filter(|n| rig.dropped(peer(*n)).is_some()).count();
    assert_eq!(dropped, 0, "all are equally slow");
}

#[test]
fn p02_each_verdict_makes_the_next_one_slower() {
    let mut rates = vec![(peer(0), 80)];
    rates.extend((1..=5).map(|n| (peer(n), 0)));
    let mut rig = swarm_of(&rates);
    let mut times = Vec::new();
    for second in 0..400 {
        run(&mut rig, &rates, 1);
        if (1..=5).any(|n| rig.dropped(peer(n)).is_some()) {
            times.push(second);
        }
    }
    assert!((2..=5).contains(&times.len()), "{times:?}");
    assert!(times[1] - times[0] > 20, "{times:?}");
}

/// Everything that peers send comes down one line of ours, at `line` bytes a second, in the order in
/// which a seed lets them have it. Returns who was dropped, when.
struct SlowLine {
    rig: Rig,
    peers: Vec<PeerId>,
    rng: Rng,
    queues: Vec<Vec<u64>>,
    busy: Option<(usize, u64, u64)>,
    dropped: Vec<(u64, PeerId)>,
    millis: u64,
}

impl SlowLine {
    fn new(seed: u64, peers: u32, blocks: u64) -> SlowLine {
        let peers: Vec<PeerId> = (1..=peers).map(peer).collect();
        let mut rig = Rig::new(feed(blocks, &[]), Wanted::All);
        peers.iter().for_each(|id| rig.join(*id));
        peers.iter().for_each(|id| rig.have(*id, 0, blocks));
        SlowLine {
            rig,
            queues: vec![Vec::new(); peers.len()],
            peers,
            rng: Rng::from_seed(seed),
            busy: None,
            dropped: Vec::new(),
            millis: 0,
        }
    }

    fn run(&mut self, seconds: u64, bytes_per_second: u64) {
        for _ in 0..seconds * 10 {
            self.millis += 100;
            self.rig.pass(Duration::from_millis(100));
            for (n, id) in self.peers.iter().enumerate() {
                for message in self.rig.sent(*id) {
                    match message {
                        OwnedMessage::Request(r) => self.queues[n].push(r.index),
                        OwnedMessage::Cancel(r) => self.queues[n].retain(|b| *b != r.index),
                        _ => {}
                    }
                }
                if self.rig.dropped(*id).is_some() {
                    self.dropped.push((self.millis / 1000, *id));
                    self.rig.put(Input::Gone { peer: *id });
                    self.queues[n].clear();
                }
            }
            self.carry(bytes_per_second / 10);
        }
    }

    fn carry(&mut self, mut bytes: u64) {
        while bytes > 0 {
            let Some((n, block, left)) = self.busy.take() else {
                let ready: Vec<usize> =
                    (0..self.queues.len()).filter(|n| !self.queues[*n].is_empty()).collect();
                if ready.is_empty() {
                    return;
                }
                let n = ready[self.rng.below(ready.len() as u64) as usize];
                self.busy = Some((n, self.queues[n].remove(0), BLOCK));
                continue;
            };
            let part = left.min(bytes);
            bytes -= part;
            self.rig.sync.progress(self.rig.now, self.peers[n], part);
            if part < left {
                self.busy = Some((n, block, left - part));
            } else if !self.gone(n) {
                self.rig.deliver(self.peers[n], block);
            }
        }
    }

    fn gone(&self, n: usize) -> bool {
        self.dropped.iter().any(|(_, id)| *id == self.peers[n])
    }
}

#[test]
fn p02_a_line_of_ours_that_is_slow_for_all_in_turn_costs_few_peers_and_never_all() {
    for seed in 0..20 {
        // 20 KB/s for six: a block in half a second, and who waits is up to chance.
        let mut line = SlowLine::new(seed, 6, 600);
        line.run(400, 20_000);
        assert!(line.dropped.len() <= 2, "seed {seed}: {:?}", line.dropped);
        assert_eq!(line.rig.shelf.0[&F].have().count(), 600, "seed {seed}");
    }
}

#[test]
fn p02_a_line_of_ours_that_fails_for_minutes_costs_nobody() {
    let mut line = SlowLine::new(3, 4, 2000);
    line.run(20, 200_000);
    line.run(300, 0);
    assert_eq!(line.dropped, [], "nobody was faster");
    line.run(400, 200_000);
    assert!(line.dropped.len() <= 1, "{:?}", line.dropped);
    assert_eq!(line.rig.shelf.0[&F].have().count(), 2000);
}

/// A feed that grows by a block each `every`; the first `mute` of the peers never answer, the others
/// do at once. When, in seconds, which peer was dropped.
fn follow(mute: u32, peers: u32, every: Duration, seconds: u64) -> Vec<(u64, u32)> {
    let mut rig = Rig::new(feed(0, &[]), Wanted::All);
    (1..=peers).for_each(|n| rig.join(peer(n)));
    let mut dropped: Vec<(u64, u32)> = Vec::new();
    let start = rig.now;
    for block in 0.. {
        if rig.now.since(start).as_secs() >= seconds {
            return dropped;
        }
        let left = |n: &u32| dropped.iter().all(|(_, gone)| gone != n);
        let here: Vec<u32> = (1..=peers).filter(left).collect();
        here.iter().for_each(|n| rig.have(peer(*n), block, 1));
        for _ in 0..every.as_millis() / 10 {
            rig.pass(Duration::from_millis(10));
            for n in &here {
                for asked in rig.asked(peer(*n)) {
                    if *n > mute {
                        rig.deliver(peer(*n), asked);
                    }
                }
            }
        }
        for n in here {
            if rig.dropped(peer(n)).is_some() {
                rig.put(Input::Gone { peer: peer(n) });
                dropped.push((rig.now.since(start).as_secs(), n));
            }
        }
    }
    unreachable!()
}

#[test]
fn p02_who_keeps_everybody_waiting_is_dropped_after_two_seconds_of_that() {
    let dropped = follow(1, 3, Duration::from_millis(500), 60);
    assert!(matches!(dropped[..], [(1..=30, 1)]), "{dropped:?}");
    assert_eq!(follow(0, 3, Duration::from_millis(500), 60), []);
}

#[test]
fn p02_the_limit_of_a_stall_doubles_with_each_peer_that_was_dropped() {
    let dropped = follow(5, 6, Duration::from_millis(200), 120);
    let times: Vec<u64> = dropped.iter().map(|(at, _)| *at).collect();
    assert!(times.len() >= 4 && times[0] >= 2, "{times:?}");
    assert!(
        times.windows(2).take(3).enumerate().all(|(n, t)| t[1] - t[0] + 1 >= 4 << n),
        "{times:?}"
    );
    assert!(dropped.iter().all(|(_, n)| *n <= 5), "the one that answers stays: {dropped:?}");
}

#[test]
fn p02_a_stall_of_the_only_holder_is_borne() {
    let mut rig = Rig::new(feed(2, &[]), Wanted::All);
    rig.source(peer(1), 0, 1);
    rig.source(peer(2), 1, 1);
    rig.asked(peer(1));
    for block in rig.asked(peer(2)) {
        rig.deliver(peer(2), block);
    }
    rig.pass(Duration::from_secs(200));
    assert_eq!((rig.dropped(peer(1)), rig.dropped(peer(2))), (None, None));
}

#[test]
fn p03_our_own_stall_is_not_the_peers_fault() {
    let mut rig = Rig::new(feed(10, &[]), Wanted::All);
    rig.source(peer(1), 0, 10);
    let asked = rig.asked(peer(1)).len();
    // The process stands still for a minute, is told so, and goes on.
    rig.now += Duration::from_secs(60);
    rig.put(Input::SelfStalled(Duration::from_secs(60)));
    rig.put(Input::Tick);
    assert_eq!(rig.in_flight() as usize, asked);
    rig.pass(Duration::from_secs(20));
    assert!((rig.in_flight() as usize) < asked);
}

#[test]
fn p03_judgement_is_frozen_for_the_span_of_a_stall() {
    let rates = [(peer(1), 60), (peer(2), 50), (peer(3), 0)];
    let mut rig = swarm_of(&rates);
    run(&mut rig, &rates, 3);
    for _ in 0..10 {
        rig.now += Duration::from_secs(20);
        rig.put(Input::SelfStalled(Duration::from_secs(20)));
        run(&mut rig, &rates, 1);
    }
    assert_eq!(rig.dropped(peer(3)), None);
}

#[test]
fn r11_a_flood_of_requests_closes_the_gate_and_loses_none() {
    let mut rig = Rig::new(feed(10_000, &[(0, 10_000)]), Wanted::Nothing);
    rig.join(peer(1));
    let mut sent = 0;
    let mut answered = Vec::new();
    while answered.len() < 10_000 {
        // The node reads on only while the gate is open.
        while sent < 10_000 && !rig.sync.uploads_full(peer(1)) {
            rig.request(peer(1), sent);
            sent += 1;
        }
        assert!(rig.sync.peer_status(rig.now, peer(1)).unwrap().queued_uploads <= 256);
        while let Some(upload) = rig.sync.next_upload(rig.now, peer(1)) {
            answered.push(upload.request.index);
        }
    }
    assert_eq!(answered, (0..10_000).collect::<Vec<u64>>(), "in order, all of them");
}

#[test]
fn r11_the_gate_stays_open_for_a_peer_that_owes_us_blocks() {
    // Two that hold each other's sockets would wait for ever.
    let mut rig = Rig::new(feed(100_000, &[(0, 1000)]), Wanted::All);
    rig.source(peer(1), 1000, 99_000);
    let mut asked = std::collections::VecDeque::from(rig.asked(peer(1)));
    assert!(!asked.is_empty());
    (0..limits::UPLOAD_REQUESTS as u64).for_each(|block| rig.request(peer(1), block));
    assert!(!rig.sync.uploads_full(peer(1)), "it owes us blocks");
    // Even if it did not answer in time: the answers may be on their way.
    rig.pass(Duration::from_secs(6));
    assert!(!rig.sync.uploads_full(peer(1)));
    let mut late = 0;
    // At full speed, with answers that never come, it asks for no more than the peer lets wait.
    for n in 0..5000 {
        rig.now += Duration::from_micros(20);
        let Some(block) = asked.pop_front() else {
            rig.pass(Duration::from_secs(1));
            asked.extend(rig.asked(peer(1)));
            continue;
        };
        if n % 7 == 0 {
            late = block; // not answered in time
            continue;
        }
        rig.sync.data(rig.now, peer(1), F, block, 100);
        rig.store(block);
        asked.extend(rig.asked(peer(1)));
        rig.pass(if n % 500 == 0 { Duration::from_secs(3) } else { Duration::ZERO });
        asked.extend(rig.asked(peer(1)));
    }
    assert!(asked.len() < limits::UPLOAD_REQUESTS_MUTUAL, "{} out", asked.len());
    rig.put(Input::SetWanted { feed: F, wanted: Wanted::Nothing });
    rig.sync.data(rig.now, peer(1), F, late, 100);
    assert!(rig.sync.uploads_full(peer(1)), "nothing is expected from it any more");
}

#[test]
fn r11_a_node_that_reads_on_all_the_same_ends_the_connection() {
    let mut rig = Rig::new(feed(10_000, &[(0, 10_000)]), Wanted::Nothing);
    rig.join(peer(1));
    (0..10_000).for_each(|block| rig.request(peer(1), block));
    assert_eq!(rig.dropped(peer(1)), Some(Why::Flood));
}

#[test]
fn r12_requests_for_what_we_lack_are_refused_but_not_endlessly() {
    let mut rig = Rig::new(feed(10, &[(0, 5)]), Wanted::Nothing);
    rig.join(peer(1));
    rig.request(peer(1), 7);
    assert_eq!(rig.sent(peer(1)), [OwnedMessage::Unhave { start: 7, length: 1 }]);
    for block in 100..100_000 {
        rig.request(peer(1), block);
    }
    rig.request(peer(1), u64::MAX);
    assert!(rig.sent(peer(1)).len() <= limits::REFUSALS_BURST as usize);
    assert!(!rig.sync.has_upload(peer(1)));
    rig.put(Input::Unavailable { peer: peer(1), feed: F, request: block(3) });
    rig.pass(Duration::from_secs(60));
    rig.put(Input::Unavailable { peer: peer(1), feed: F, request: block(3) });
    assert_eq!(rig.sent(peer(1)), [OwnedMessage::Unhave { start: 3, length: 1 }]);
}

#[test]
fn r12_hash_and_seek_requests_are_passed_on() {
    let mut rig = Rig::new(feed(10, &[(0, 10)]), Wanted::Nothing);
    rig.join(peer(1));
    let hash = Request { index: 3, hash: true, ..Request::default() };
    let seek = Request { index: 0, bytes: 77, ..Request::default() };
    for request in [hash, seek, Request { index: 3, ..Request::default() }] {
        rig.message(peer(1), Message::Request(request));
    }
    let uploads: Vec<Request> =
        std::iter::from_fn(|| rig.sync.next_upload(rig.now, peer(1))).map(|u| u.request).collect();
    assert_eq!(uploads.len(), 3);
    assert_eq!((uploads[0], uploads[1]), (hash, seek));
}

#[test]
fn f08_two_feeds_share_a_peer_fairly() {
    let mut rig = Rig::new(feed(1000, &[]), Wanted::All);
    let g = FeedId(2);
    rig.shelf.0.insert(g, feed(1000, &[]));
    rig.put(Input::FeedAdded { feed: g, wanted: Wanted::All, upload: true, follow: true });
    rig.join(peer(1));
    rig.put(Input::Joined { peer: peer(1), feed: g, live: true, ack: false, told: false });
    rig.out.clear();
    // Both announce, then answers come one by one.
    rig.have(peer(1), 0, 1000);
    let have = Message::Have(Have { start: 0, length: 1000, bits: None, ack: false });
    rig.put(Input::Message { peer: peer(1), feed: g, message: &have });
    let mut counts = BTreeMap::new();
    for _ in 0..200 {
        let next = rig
            .out
            .iter()
            .position(|o| matches!(o, Output::Send { message: OwnedMessage::Request(_), .. }));
        let Output::Send { feed, message: OwnedMessage::Request(request), .. } =
            rig.out.remove(next.unwrap())
        else {
            unreachable!()
        };
        *counts.entry(feed).or_insert(0) += 1;
        rig.now += Duration::from_millis(1);
        assert_eq!(rig.sync.data(rig.now, peer(1), feed, request.index, BLOCK), Arrival::Expected);
        rig.shelf.0.get_mut(&feed).unwrap().set_have(request.index, 1, true);
        rig.put(Input::Stored { feed, index: request.index });
    }
    assert!(counts[&F] > 80 && counts[&g] > 80, "{counts:?}");
}

#[test]
fn d11_status_tells_the_figures() {
    let mut rig = Rig::new(feed(20, &[(0, 5)]), Wanted::All);
    rig.source(peer(1), 0, 20);
    let mut asked = rig.asked(peer(1));
    for _ in 0..8 {
        rig.now += Duration::from_millis(100);
        let block = asked.remove(0);
        rig.deliver(peer(1), block);
        asked.extend(rig.asked(peer(1)));
    }
    rig.request(peer(1), 1);
    let feed = rig.sync.feed_status(F, &rig.shelf).unwrap();
    assert_eq!((feed.length, feed.have, feed.wanted, feed.missing), (20, 13, 20, 7));
    assert_eq!((feed.in_flight, feed.peers), (asked.len() as u64, 1));
    let peer = rig.sync.peer_status(rig.now, peer(1)).unwrap();
    assert_eq!((peer.down_bytes, peer.outstanding), (8 * BLOCK, asked.len() as u64));
    assert!((50_000..150_000).contains(&peer.down_per_second), "{peer:?}");
    assert!(peer.delay >= Duration::from_millis(50) && peer.queued_uploads == 1);
}

#[test]
fn p08_uploads_to_a_peer_that_is_gone_end_with_it() {
    let mut rig = Rig::new(feed(20, &[(0, 20)]), Wanted::Nothing);
    rig.join(peer(1));
    rig.message(peer(1), Message::Want { start: 0, length: Some(8192) });
    for block in 0..10 {
        rig.request(peer(1), block);
    }
    let first = rig.sync.next_upload(rig.now, peer(1)).expect("the first request");
    assert_eq!(first.request.index, 0);
    rig.put(Input::Gone { peer: peer(1) });
    assert_eq!(rig.sync.next_upload(rig.now, peer(1)), None);
    // What was being read for it, and the growth of the feed, reach nobody either.
    rig.sent(peer(1));
    rig.put(Input::Uploaded { peer: peer(1), feed: F, index: 0, bytes: BLOCK });
    rig.put(Input::Unavailable { peer: peer(1), feed: F, request: block(1) });
    rig.store(20);
    rig.pass(Duration::from_secs(60));
    assert!(rig.sent(peer(1)).is_empty());
    assert_eq!(rig.sync.next_upload(rig.now, peer(1)), None);
}
