use super::*;
use proptest::prelude::{any, prop_assert, proptest};

/// Captured from `dat` 13.13.1 and 14.0.3 (dat/SPEC §11, vectors `discovery`).
const KEY: &str = "787cbadfb5c2a5ac24bcd3190c92e5cdfae71f2da3121d21740d6fac3702dd25";
const ASK_DAT: &str = "000000000001000000000000283738376362616466623563326135616332346263643331393063393265356364666165373166326403646174056c6f63616c0000100001";
const ANSWER_DAT: &str = "000084000001000100000000283738376362616466623563326135616332346263643331393063393265356364666165373166326403646174056c6f63616c0000100001283738376362616466623563326135616332346263643331393063393265356364666165373166326403646174056c6f63616c000010000100000000004232746f6b656e3d43566133514d4a593776363245436c5875565a742b6636757871504d6537705134564e53796261757671413d0e70656572733d4141414141417a53";
const ASK_SWARM: &str = "00000000000100000000000028373837636261646662356332613561633234626364333139306339326535636466616537316632640a6879706572737761726d056c6f63616c0000210001";
const ANNOUNCE: &str = "00008400000000020000000028373837636261646662356332613561633234626364333139306339326535636466616537316632640a6879706572737761726d056c6f63616c000021000100000000000f000000000cd201300130013001300028373837636261646662356332613561633234626364333139306339326535636466616537316632640a6879706572737761726d056c6f63616c00001000010000000000242369643de0cff37e0b0f153ecc3c32556810564fd87bf76e5171554eb325a9f27219f4a1";
const ANSWER_SWARM: &str = "00008400000000030000000028373837636261646662356332613561633234626364333139306339326535636466616537316632640a6879706572737761726d056c6f63616c000021000100000000000f000000000cd201300130013001300028373837636261646662356332613561633234626364333139306339326535636466616537316632640a6879706572737761726d056c6f63616c00001000010000000000242369643de0cff37e0b0f153ecc3c32556810564fd87bf76e5171554eb325a9f27219f4a10872656665727265720a6879706572737761726d056c6f63616c00000100010000000000047f000001";

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn key() -> [u8; 32] {
    bytes(KEY).try_into().unwrap()
}

fn at(seconds: f64) -> Instant {
    Instant((seconds * 1e6) as u64)
}

fn interface(index: u32, address: [u8; 4]) -> Interface {
    let loopback = address[0] == 127;
    let name = format!("net{index}");
    Interface { index, name, address: address.into(), loopback, multicast: true }
}

fn lan() -> Interface {
    interface(2, [192, 168, 1, 5])
}

fn stranger(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 168, 1, 9], port))
}

fn drain(m: &mut Multicast) -> Vec<Output> {
    std::iter::from_fn(|| m.poll_output()).collect()
}

fn sent(m: &mut Multicast) -> Vec<(SocketAddr, u32, Vec<u8>)> {
    let of = |output| match output {
        Output::Send { to, via, bytes } => Some((to, via.index, bytes)),
        _ => None,
    };
    drain(m).into_iter().filter_map(of).collect()
}

fn found(m: &mut Multicast) -> Vec<String> {
    let of = |output| match output {
        Output::Found { addr, .. } => Some(addr.to_string()),
        _ => None,
    };
    drain(m).into_iter().filter_map(of).collect()
}

/// Joined with `KEY` on one interface since 0 s, and silent again.
fn joined(seed: u64) -> Multicast {
    let mut m = Multicast::new(Rng::from_seed(seed));
    m.set_interfaces(at(0.0), &[lan()]);
    m.join(at(0.0), key(), 3282);
    while m.next_deadline().is_some_and(|due| due < at(10.0)) {
        let due = m.next_deadline().unwrap();
        m.tick(due);
    }
    drain(&mut m);
    m
}

#[test]
fn packets_are_those_of_the_javascript_programs() {
    let drive = prefix(&key());
    assert_eq!(packet::ask(&drive, Kind::Dat), bytes(ASK_DAT));
    assert_eq!(packet::ask(&drive, Kind::Swarm), bytes(ASK_SWARM));
    let token = b"CVa3QMJY7v62EClXuVZt+f6uxqPMe7pQ4VNSybauvqA=";
    let mut marker = Marker { token: [0; 32], id: [0; 32] };
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(token).unwrap();
    marker.token.copy_from_slice(&decoded);
    marker.id.copy_from_slice(&bytes(ANNOUNCE)[bytes(ANNOUNCE).len() - 32..]);
    let here = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 3282);
    assert_eq!(packet::answer_txt(&drive, &marker, &[here]), bytes(ANSWER_DAT));
    assert_eq!(packet::announce_srv(&drive, &marker, 3282), bytes(ANNOUNCE));
}

#[test]
fn joining_asks_both_names_and_announces_then_repeats_less_and_less() {
    let mut m = Multicast::new(Rng::from_seed(1));
    m.set_interfaces(at(0.0), &[lan()]);
    assert_eq!(drain(&mut m), [Output::Join(lan())]);
    assert!(m.join(at(0.0), key(), 3282));
    let first = sent(&mut m);
    assert_eq!(first.len(), 3);
    assert!(first.iter().all(|(to, via, _)| to.to_string() == "224.0.0.251:5353" && *via == 2));
    let packets: Vec<&Vec<u8>> = first.iter().map(|(.., bytes)| bytes).collect();
    assert_eq!(packets[0].len(), bytes(ANNOUNCE).len());
    assert_eq!(packets[1..], [&bytes(ASK_DAT), &bytes(ASK_SWARM)]);
    let (mut asks_dat, mut asks_swarm, mut announced) = (Vec::new(), Vec::new(), 1);
    while let Some(due) = m.next_deadline().filter(|due| *due < at(600.0)) {
        m.tick(due);
        for (.., packet) in sent(&mut m) {
            match packet {
                packet if packet == bytes(ASK_DAT) => asks_dat.push(due),
                packet if packet == bytes(ASK_SWARM) => asks_swarm.push(due),
                _ => announced += 1,
            }
        }
    }
    assert_eq!(announced, 3);
    assert_eq!(asks_dat[..2], [at(1.0), at(4.0)]);
    for (asks, low, high) in [(asks_dat, 60, 70), (asks_swarm, 30, 60)] {
        for pair in asks[1..].windows(2) {
            let gap = pair[1].since(pair[0]);
            assert!(gap >= Duration::from_secs(low) && gap <= Duration::from_secs(high));
        }
    }
}

#[test]
fn both_names_are_answered_and_answers_coalesce() {
    let mut m = joined(2);
    m.receive(at(20.0), stranger(5353), &bytes(ASK_DAT));
    m.receive(at(20.0), stranger(5353), &bytes(ASK_SWARM));
    let answers = sent(&mut m);
    assert_eq!(answers.len(), 2);
    assert!(answers.iter().all(|(to, ..)| to.to_string() == "224.0.0.251:5353"));
    assert_eq!(answers[0].2.len(), bytes(ANSWER_DAT).len());
    assert_eq!(answers[1].2.len(), bytes(ANNOUNCE).len());
    for _ in 0..100 {
        m.receive(at(20.1), stranger(5353), &bytes(ASK_DAT));
    }
    assert!(sent(&mut m).is_empty());
    assert_eq!(m.next_deadline(), Some(at(20.25)));
    m.tick(at(20.25));
    assert_eq!(sent(&mut m).len(), 1);
}

#[test]
fn a_txt_question_from_another_port_is_answered_to_that_port() {
    let mut m = joined(3);
    m.receive(at(20.0), stranger(40001), &bytes(ASK_DAT));
    assert_eq!(sent(&mut m)[0].0.to_string(), "224.0.0.251:40001");
    m.receive(at(20.0), stranger(40001), &bytes(ASK_SWARM));
    assert_eq!(sent(&mut m)[0].0.to_string(), "224.0.0.251:5353");
}

#[test]
fn nobody_is_told_about_what_is_not_listening_or_not_joined() {
    let mut m = Multicast::new(Rng::from_seed(4));
    m.set_interfaces(at(0.0), &[lan()]);
    m.join(at(0.0), key(), 0);
    let first = sent(&mut m);
    assert_eq!(first.len(), 2, "asked, not announced");
    m.receive(at(9.0), stranger(5353), &bytes(ASK_DAT));
    assert!(!sent(&mut m).iter().any(|(.., packet)| packet.len() == bytes(ANSWER_DAT).len()));
    m.leave(&key());
    assert_eq!(m.next_deadline(), None);
    m.receive(at(10.0), stranger(5353), &bytes(ASK_SWARM));
    m.receive(at(10.0), stranger(5353), &bytes(ANNOUNCE));
    assert!(drain(&mut m).is_empty());
}

#[test]
fn peers_are_found_in_answers_of_both_kinds() {
    let mut m = joined(5);
    for packet in [ANSWER_DAT, ANNOUNCE, ANSWER_SWARM] {
        m.receive(at(20.0), stranger(5353), &bytes(packet));
        assert_eq!(found(&mut m), ["192.168.1.9:3282"]);
    }
    let others = Marker { token: [1; 32], id: [1; 32] };
    let list: Vec<SocketAddrV4> =
        (1..=40).map(|n| format!("10.0.0.{n}:70").parse().unwrap()).collect();
    m.receive(at(30.0), stranger(5353), &packet::answer_txt(&prefix(&key()), &others, &list));
    assert_eq!(found(&mut m).len(), 31);
}

#[test]
fn several_strings_of_peers_are_all_taken() {
    let mut m = joined(6);
    let others = Marker { token: [1; 32], id: [1; 32] };
    let one = packet::answer_txt(&prefix(&key()), &others, &["10.0.0.1:1".parse().unwrap()]);
    // Append the last string, `peers=…`, a second time; the record's length grows with it.
    let string = one[one.len() - 15..].to_vec();
    let mut two = [one.clone(), string].concat();
    let length_at = one.len() - 15 - 51 - 2;
    let length = u16::from_be_bytes([two[length_at], two[length_at + 1]]) + 15;
    two[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
    m.receive(at(20.0), stranger(5353), &two);
    assert_eq!(found(&mut m), ["10.0.0.1:1", "10.0.0.1:1"]);
}

#[test]
fn own_echo_is_told_by_token_by_id_and_by_address() {
    let mut m = joined(7);
    let marker = m.marker;
    let drive = prefix(&key());
    let elsewhere: SocketAddrV4 = "10.1.1.1:9".parse().unwrap();
    m.receive(at(20.0), stranger(5353), &packet::answer_txt(&drive, &marker, &[elsewhere]));
    m.receive(at(20.0), stranger(5353), &packet::announce_srv(&drive, &marker, 99));
    let own = SocketAddr::from(([192, 168, 1, 5], 5353));
    m.receive(at(20.0), own, &bytes(ANNOUNCE));
    assert!(found(&mut m).is_empty());
    let others = Marker { token: [1; 32], id: [1; 32] };
    m.receive(at(20.0), own, &packet::announce_srv(&drive, &others, 99));
    assert_eq!(found(&mut m), ["192.168.1.5:99"], "another process on this machine");
}

#[test]
fn answers_go_where_the_question_came_from() {
    let mut m = Multicast::new(Rng::from_seed(8));
    let (lo, wifi) = (interface(1, [127, 0, 0, 1]), interface(3, [10, 0, 0, 2]));
    m.set_interfaces(at(0.0), &[lo, lan(), wifi]);
    m.join(at(0.0), key(), 3282);
    assert_eq!(sent(&mut m).len(), 9);
    let mut via = |from: [u8; 4], now: f64| {
        m.receive(at(now), SocketAddr::from((from, 5353)), &bytes(ASK_DAT));
        let answers = sent(&mut m);
        let is = |packet: &Vec<u8>| packet.len() == bytes(ANSWER_DAT).len();
        answers.iter().filter(|(.., p)| is(p)).map(|(_, via, _)| *via).collect::<Vec<u32>>()
    };
    assert_eq!(via([127, 0, 0, 1], 10.0), [1]);
    assert_eq!(via([10, 0, 0, 2], 11.0), [3]);
    assert_eq!(via([10, 0, 0, 77], 12.0), [2, 3]);
}

#[test]
fn a_new_interface_or_address_is_asked_and_announced_on_again() {
    let mut m = joined(9);
    m.set_interfaces(at(20.0), &[lan()]);
    assert!(drain(&mut m).is_empty(), "nothing changed");
    let moved = interface(2, [192, 168, 7, 7]);
    m.set_interfaces(at(21.0), std::slice::from_ref(&moved));
    let outputs = drain(&mut m);
    assert_eq!(outputs[..2], [Output::Leave(lan()), Output::Join(moved)]);
    assert_eq!(outputs.len(), 5);
    m.set_interfaces(at(22.0), &[]);
    assert_eq!(drain(&mut m).len(), 1);
    m.tick(at(200.0));
    assert!(drain(&mut m).is_empty());
    m.set_interfaces(at(300.0), &[lan()]);
    assert_eq!(drain(&mut m).len(), 4);
}

#[test]
fn loopback_listeners_stay_on_loopback() {
    let lo = interface(1, [127, 0, 0, 1]);
    let all = [lo.clone(), lan(), Interface { multicast: false, ..interface(4, [10, 0, 0, 1]) }];
    assert_eq!(usable(&all, "127.0.0.1".parse().unwrap()), std::slice::from_ref(&lo));
    assert_eq!(usable(&all, "192.168.1.5".parse().unwrap()), [lan()]);
    assert_eq!(usable(&all, "0.0.0.0".parse().unwrap()), [lo, lan()]);
}

#[test]
fn refreshing_is_rate_limited() {
    let mut m = joined(10);
    m.refresh(at(20.0), &key());
    assert_eq!(sent(&mut m).len(), 3);
    m.refresh(at(21.0), &key());
    assert!(sent(&mut m).len() <= 3);
    m.refresh(at(31.0), &key());
    assert_eq!(sent(&mut m).len(), 3);
}

#[test]
fn floods_are_neither_amplified_nor_handed_on() {
    let mut m = joined(11);
    let (mut answers, mut peers) = (0, 0);
    for n in 0..100_000u32 {
        let now = at(20.0) + Duration::from_micros(u64::from(n) * 100);
        let from = SocketAddr::from(([192, 168, 1, 9], 1 + (n % 65000) as u16));
        m.receive(now, from, &bytes(ASK_DAT));
        m.receive(now, from, &bytes(ANNOUNCE));
        for output in drain(&mut m) {
            match output {
                Output::Send { .. } => answers += 1,
                Output::Found { .. } => peers += 1,
                _ => {}
            }
        }
    }
    assert!((200..=200 + 10 * 40 + 10).contains(&answers), "{answers}");
    assert!((500..=500 + 10 * 50 + 10).contains(&peers), "{peers}");
}

#[test]
fn a_thousand_drives_are_all_asked_for_in_turn() {
    let mut m = Multicast::new(Rng::from_seed(12));
    m.set_interfaces(at(0.0), &[lan()]);
    for n in 0..limits::MULTICAST_KEYS {
        let mut key = [7; 32];
        key[..8].copy_from_slice(&(n as u64).to_be_bytes());
        assert!(m.join(at(0.0), key, 3282));
    }
    assert!(!m.join(at(0.0), [9; 32], 3282));
    let mut asked = BTreeSet::new();
    let mut wakes = 0;
    while let Some(due) = m.next_deadline().filter(|due| *due < at(120.0)) {
        m.tick(due);
        wakes += 1;
        for (.., packet) in sent(&mut m) {
            asked.extend(
                packet::hear(&packet, &Marker { token: [0; 32], id: [0; 32] }).unwrap().asked,
            );
        }
    }
    assert_eq!(asked.len(), 2 * limits::MULTICAST_KEYS);
    assert!(wakes < 120 * 50, "{wakes}");
}

proptest! {
    #[test]
    fn hostile_datagrams_never_panic(packet in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut m = joined(13);
        m.receive(at(20.0), stranger(5353), &packet);
    }

    #[test]
    fn damaged_datagrams_never_panic(
        which in 0usize..5,
        damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..12),
        cut in any::<u16>(),
    ) {
        let texts = [ASK_DAT, ANSWER_DAT, ASK_SWARM, ANNOUNCE, ANSWER_SWARM];
        let mut packet = bytes(texts[which]);
        for (at, value) in damage {
            let at = usize::from(at) % packet.len();
            packet[at] = value;
        }
        packet.truncate(packet.len() - usize::from(cut) % 8 % packet.len());
        let mut m = joined(14);
        m.receive(at(20.0), stranger(5353), &packet);
        prop_assert!(drain(&mut m).len() <= limits::MULTICAST_PEERS + 2);
    }
}
