use super::*;

fn completes(rig: &mut Rig, heard: bool) -> bool {
    rig.said(|o| *o == Output::Complete { feed: F, heard })
}

fn deliver_all(rig: &mut Rig, from: PeerId) {
    for _ in 0..1000 {
        let asked = rig.asked(from);
        if asked.is_empty() {
            return;
        }
        asked.into_iter().for_each(|block| {
            rig.deliver(from, block);
        });
    }
}

#[test]
fn d01_fetch_once_ends_when_nothing_wanted_is_missing() {
    let mut rig = Rig::new(feed(0, &[]), Wanted::All);
    rig.put(Input::SetMode { feed: F, upload: false, follow: false });
    rig.source(peer(1), 0, 20);
    deliver_all(&mut rig, peer(1));
    assert!(completes(&mut rig, true) && !completes(&mut rig, true));
    // Growth is not fetched any more.
    rig.have(peer(1), 20, 5);
    rig.pass(Duration::from_secs(5));
    assert_eq!(rig.asked(peer(1)), NONE);
    assert!(rig.sync.is_complete(F));
    // Until the mode changes (D02).
    rig.put(Input::SetMode { feed: F, upload: false, follow: true });
    assert_eq!(rig.asked(peer(1)).len(), 5);
}

#[test]
fn d01_what_is_on_disk_already_is_complete_only_when_somebody_agrees() {
    let mut rig = Rig::new(feed(5, &[(0, 5)]), Wanted::All);
    assert!(completes(&mut rig, false), "by what we know ourselves");
    rig.source(peer(1), 0, 5);
    assert!(completes(&mut rig, true));
    // One that has more: not complete until that is here.
    rig.join(peer(2));
    rig.have(peer(2), 0, 6);
    assert!(!rig.sync.is_complete(F));
    deliver_all(&mut rig, peer(2));
    assert!(completes(&mut rig, true));
}

#[test]
fn d01_partial_sources_say_what_is_missing() {
    let mut rig = Rig::new(feed(10, &[]), Wanted::All);
    rig.source(peer(1), 0, 4);
    deliver_all(&mut rig, peer(1));
    rig.pass(Duration::from_secs(60));
    assert!(!completes(&mut rig, true) && !completes(&mut rig, false));
    let status = rig.sync.feed_status(F, &rig.shelf).unwrap();
    assert_eq!((status.wanted, status.missing, status.have, status.complete), (10, 6, 4, false));
    assert!(rig.said(|o| matches!(o, Output::NeedPeers { feed: F })));
}

#[test]
fn d01_a_liar_who_claims_more_than_there_is_delays_the_end_and_does_not_prevent_it() {
    let mut rig = Rig::new(feed(0, &[]), Wanted::All);
    rig.source(peer(1), 0, 5);
    deliver_all(&mut rig, peer(1));
    assert!(completes(&mut rig, true));
    rig.source(peer(2), 5, 2);
    assert!(!rig.sync.is_complete(F));
    rig.pass(Duration::from_secs(30));
    assert!(completes(&mut rig, true));
}

#[test]
fn d02_following_fetches_growth_and_serving_fetches_nothing() {
    let mut rig = Rig::new(feed(0, &[]), Wanted::All);
    rig.source(peer(1), 0, 3);
    deliver_all(&mut rig, peer(1));
    assert!(completes(&mut rig, true));
    for n in 3..40 {
        rig.have(peer(1), n, 1);
        assert_eq!(rig.asked(peer(1)), [n]);
        rig.deliver(peer(1), n);
        assert!(completes(&mut rig, true), "after every growth");
    }
    rig.put(Input::SetWanted { feed: F, wanted: Wanted::Nothing });
    rig.have(peer(1), 40, 5);
    assert_eq!(rig.asked(peer(1)), NONE);
    rig.request(peer(1), 0);
    assert!(rig.sync.has_upload(peer(1)));
    rig.put(Input::SetWanted { feed: F, wanted: Wanted::All });
    assert_eq!(rig.asked(peer(1)).len(), 5, "switched back at runtime");
}

#[test]
fn d02_switching_takes_back_what_is_not_wanted_any_more() {
    let mut rig = Rig::new(feed(100, &[]), Wanted::All);
    rig.source(peer(1), 0, 100);
    assert_eq!(rig.asked(peer(1)), [0, 1, 2, 3]);
    let wanted = Wanted::Ranges([(2, 1), (50, 2)].into_iter().collect());
    rig.put(Input::SetWanted { feed: F, wanted });
    let sent = rig.sent(peer(1));
    let cancelled: Vec<u64> = sent
        .iter()
        .filter_map(|m| match m {
            OwnedMessage::Cancel(request) => Some(request.index),
            _ => None,
        })
        .collect();
    assert_eq!(cancelled, [0, 1, 3]);
    assert_eq!(rig.data(peer(1), 0), Arrival::Unneeded);
    let requested = |m: &&OwnedMessage| matches!(m, OwnedMessage::Request(_));
    assert_eq!(sent.iter().filter(requested).count(), 2);
    assert_eq!(rig.in_flight(), 3);
    for block in [2, 50, 51] {
        assert_eq!(rig.deliver(peer(1), block), Arrival::Expected);
    }
    assert!(completes(&mut rig, true));
}

#[test]
fn d03_ranges_grow_piece_by_piece() {
    let mut rig = Rig::new(feed(1000, &[]), Wanted::Nothing);
    rig.source(peer(1), 0, 1000);
    assert_eq!(rig.sent(peer(1)), [], "no Want without a wish");
    rig.put(Input::WantMore { feed: F, start: 10, length: 2 });
    let sent = rig.sent(peer(1));
    assert_eq!(sent[0], OwnedMessage::Want { start: 0, length: 1 << 20 });
    assert_eq!(sent.len(), 3);
    rig.put(Input::WantMore { feed: F, start: 500, length: 2 });
    assert_eq!(rig.asked(peer(1)), [500, 501]);
    for block in [10, 11, 500, 501] {
        rig.deliver(peer(1), block);
    }
    assert!(completes(&mut rig, true));
    rig.put(Input::WantMore { feed: F, start: 500, length: 3 });
    assert_eq!(rig.asked(peer(1)), [502]);
}

#[test]
fn d03_a_writer_can_have_lost_blocks_repaired() {
    let mut rig = Rig::new(feed(10, &[(0, 10)]), Wanted::Nothing);
    rig.source(peer(1), 0, 10);
    rig.shelf.0.get_mut(&F).unwrap().set_have(4, 2, false);
    rig.put(Input::Cleared { feed: F, start: 4, length: 2 });
    assert_eq!(rig.asked(peer(1)), NONE);
    let wanted = Wanted::Ranges([(0, 10)].into_iter().collect());
    rig.put(Input::SetWanted { feed: F, wanted });
    let sent = rig.asked(peer(1));
    assert_eq!(sent, [4, 5]);
}

#[test]
fn d02_removing_a_feed_forgets_all_of_it() {
    let mut rig = Rig::new(feed(10, &[]), Wanted::All);
    rig.source(peer(1), 0, 10);
    rig.request(peer(1), 0);
    rig.put(Input::FeedRemoved { feed: F });
    assert_eq!(rig.outstanding(peer(1)), 0);
    assert_eq!(rig.data(peer(1), 0), Arrival::Unasked);
    rig.join(peer(1));
    assert!(rig.sync.feed_status(F, &rig.shelf).is_none());
}

const DONE: OwnedMessage = OwnedMessage::Info { uploading: true, downloading: false };
const OVER: OwnedMessage = OwnedMessage::Info { uploading: false, downloading: false };

fn not_live(rig: &mut Rig, id: PeerId) {
    rig.put(Input::Joined { peer: id, feed: F, live: false, ack: false, told: false });
}

fn info(rig: &mut Rig, from: PeerId, uploading: bool) {
    rig.message(from, Message::Info { uploading, downloading: false });
}

#[test]
fn d01_a_client_that_is_not_live_is_let_go_by_a_live_server() {
    let mut rig = Rig::new(feed(10, &[(0, 10)]), Wanted::Nothing);
    not_live(&mut rig, peer(1));
    rig.pass(Duration::from_secs(10));
    assert_eq!(rig.sent(peer(1)), []);
    info(&mut rig, peer(1), true);
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.sent(peer(1)), [OVER]);
    rig.pass(limits::FINISHED_GRACE);
    assert!(rig.said(|o| *o == Output::Finished { peer: peer(1) }));
    rig.pass(Duration::from_secs(5));
    assert!(!rig.said(|o| matches!(o, Output::Finished { .. })), "once");
}

#[test]
fn d01_not_before_we_have_what_it_can_give() {
    let mut rig = Rig::new(feed(0, &[]), Wanted::All);
    not_live(&mut rig, peer(1));
    rig.have(peer(1), 0, 3);
    assert_eq!(rig.asked(peer(1)).len(), 3);
    info(&mut rig, peer(1), true);
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.sent(peer(1)), []);
    (0..3).for_each(|block| {
        rig.deliver(peer(1), block);
    });
    rig.pass(Duration::from_secs(3));
    assert_eq!(rig.sent(peer(1)), [OVER]);
    assert!(rig.said(|o| *o == Output::Finished { peer: peer(1) }));
}

#[test]
fn d01_a_downloader_that_is_not_live_says_so_and_waits_for_the_answer() {
    let tuning = Tuning { live: false, ..Tuning::default() };
    let mut rig = Rig::tuned(feed(0, &[]), Wanted::All, tuning);
    not_live(&mut rig, peer(1));
    rig.have(peer(1), 0, 3);
    deliver_all(&mut rig, peer(1));
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.sent(peer(1)), [DONE]);
    assert!(!rig.said(|o| matches!(o, Output::Finished { .. })));
    info(&mut rig, peer(1), false);
    rig.pass(Duration::from_secs(2));
    assert!(rig.said(|o| *o == Output::Finished { peer: peer(1) }));
}

#[test]
fn d01_a_downloader_that_is_not_live_just_leaves_a_live_server() {
    let tuning = Tuning { live: false, ..Tuning::default() };
    let mut rig = Rig::tuned(feed(0, &[]), Wanted::All, tuning);
    rig.source(peer(1), 0, 3);
    deliver_all(&mut rig, peer(1));
    rig.pass(Duration::from_secs(3));
    assert_eq!(rig.sent(peer(1)), []);
    assert!(rig.said(|o| *o == Output::Finished { peer: peer(1) }));
}

#[test]
fn d01_live_with_live_never_ends() {
    let mut rig = Rig::new(feed(5, &[(0, 5)]), Wanted::All);
    rig.source(peer(1), 0, 5);
    rig.sent(peer(1));
    info(&mut rig, peer(1), true);
    rig.pass(Duration::from_secs(60));
    assert_eq!(rig.sent(peer(1)), []);
    assert!(!rig.said(|o| matches!(o, Output::Finished { .. })));
}

/// What was dropped for its space is not fetched again, what is new is.
#[test]
fn d02_all_but_some_is_complete_without_them() {
    let but = || Wanted::AllBut([(2, 3), (8, 2)].into_iter().collect());
    let mut rig = Rig::new(feed(10, &[(0, 2)]), but());
    rig.source(peer(1), 0, 10);
    let mut asked = rig.asked(peer(1));
    asked.sort_unstable();
    assert_eq!(asked, [5, 6, 7]);
    let status = rig.sync.feed_status(F, &rig.shelf).unwrap();
    assert_eq!((status.wanted, status.missing), (5, 3));
    for block in asked {
        rig.deliver(peer(1), block);
    }
    assert!(rig.sync.is_complete(F));
    rig.have(peer(1), 10, 2);
    let mut asked = rig.asked(peer(1));
    asked.sort_unstable();
    assert_eq!(asked, [10, 11]);
    rig.put(Input::WantMore { feed: F, start: 3, length: 1 });
    assert_eq!(rig.asked(peer(1)), [3]);
}
