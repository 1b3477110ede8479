//! Thousands of feeds.

use super::*;

/// Counts how often a feed is looked at.
struct Counting {
    feed: Feed,
    looks: std::cell::Cell<usize>,
}

impl Feeds for Counting {
    fn feed(&self, _: FeedId) -> Option<&Feed> {
        self.looks.set(self.looks.get() + 1);
        Some(&self.feed)
    }
}

#[test]
fn p01_a_tick_touches_what_goes_on_and_a_slice_of_what_waits() {
    const FEEDS: u32 = 10_000;
    let mut sync = Sync::new(crate::rng::Rng::from_seed(1), Tuning::default());
    let feeds = Counting { feed: feed(10, &[]), looks: std::cell::Cell::new(0) };
    let mut now = Instant(1_000_000);
    for id in 0..FEEDS {
        let (feed, wanted) = (FeedId(id), Wanted::All);
        sync.handle(now, Input::FeedAdded { feed, wanted, upload: true, follow: true }, &feeds);
    }
    // One of them is fetched.
    let (moving, joined) = (FeedId(77), peer(1));
    sync.handle(
        now,
        Input::Joined { peer: joined, feed: moving, live: true, ack: false, told: false },
        &feeds,
    );
    let have = Message::Have(Have { start: 0, length: 10, bits: None, ack: false });
    sync.handle(now, Input::Message { peer: joined, feed: moving, message: &have }, &feeds);
    while sync.poll_output().is_some() {}

    let mut called = std::collections::BTreeSet::new();
    let mut most = 0;
    for _ in 0..limits::NEED_PEERS_EVERY.as_secs() {
        now += limits::TICK;
        feeds.looks.set(0);
        sync.handle(now, Input::Tick, &feeds);
        let mut calls = 0;
        while let Some(output) = sync.poll_output() {
            if let Output::NeedPeers { feed } = output {
                calls += 1;
                called.insert(feed);
            }
        }
        most = most.max(calls);
        assert!(calls <= limits::CALLS_PER_TICK, "{calls} feeds in one tick");
        assert!(feeds.looks.get() <= 100, "{} looks at feeds in one tick", feeds.looks.get());
    }
    assert_eq!(most, limits::CALLS_PER_TICK);
    // All had their turn, but for the one that has somebody to ask.
    let alone = (0..FEEDS).map(FeedId).filter(|id| *id != moving);
    assert!(alone.eq(called.iter().copied().filter(|id| *id != moving)));
}
