//! Pings, answers, interfaces, and where a host is believed to be.

use super::*;

#[test]
fn m01_hosts_on_a_wire_know_each_other_within_a_second() {
    let mut wire = Wire::of(5);
    wire.run(Duration::from_secs(1));
    assert!(wire.all_know_all());
    // One that comes later is known as fast, and everybody told where it listens, once.
    let late = wire.add(9);
    wire.run(Duration::from_millis(500));
    assert!(wire.all_know_all());
    let told = |post: &Post, n| post.found.iter().filter(|f| **f == (id(n), tcp(n))).count();
    assert_eq!(told(&wire.posts[0], 9), 1);
    assert_eq!(told(&wire.posts[late], 1), 1);
    wire.run(Duration::from_secs(600));
    assert_eq!(told(&wire.posts[0], 9), 1);
    assert_eq!(wire.posts[0].found.len(), 5);
}

#[test]
fn m01_what_we_say_ourselves_is_ignored_and_several_processes_of_a_host_are_apart() {
    let mut wire = Wire::new();
    let one = wire.add(1);
    assert!(wire.counts(one).own > 0, "it hears itself");
    assert_eq!(wire.posts[one].hosts.known().count(), 0);
    // Another process of the same host, at another port of the same machine.
    let two = wire.add_with(settings(1, 2), 1);
    wire.posts[two].at.set_port(UDP + 1);
    let on = [interface("eth0", 2, ip(1))];
    let both = Ports { tcp: Some(TCP + 1), udp: Some(UDP + 1) };
    let listening = [([0, 0, 0, 0], TCP + 1).into()];
    wire.posts[two].hosts.set_places(START, &on, &listening, both, &[]);
    wire.run(Duration::from_secs(1));
    assert_eq!(wire.posts[one].found, [(id(1), (ip(1), TCP + 1).into())]);
    assert_eq!(wire.posts[two].found, [(id(1), tcp(1))]);
    let three = wire.add(3);
    wire.run(Duration::from_secs(1));
    assert_eq!(wire.places(three, id(1)).len(), 2);
    assert_eq!(wire.counts(one).impostors + wire.counts(two).impostors, 0);
}

#[test]
fn m01_interfaces_come_and_go_and_hops_are_one() {
    for v6 in [false, true] {
        assert_eq!((bind_group(v6).multicast_ttl, bind_own(v6).multicast_ttl), (1, 1));
        assert!(bind_group(v6).shared && !bind_own(v6).shared && bind_own(v6).at.port() == 0);
        assert_eq!(bind_group(v6).at.is_ipv6(), v6);
    }
    assert!(group(ip(1)).is_multicast() && group("fe80::1".parse().unwrap()).is_ipv6());
    let mut hosts = Hosts::new(Rng::from_seed(1), settings(1, 1));
    let four = interface("eth0", 2, ip(1));
    let six = interface("eth0", 2, "fe80::1".parse().unwrap());
    let wlan = interface("wlan0", 3, [10, 1, 0, 1].into());
    let outputs = |hosts: &mut Hosts, on: &[Interface]| -> Vec<String> {
        hosts.set_places(START, on, &listening(), ports(), &[]);
        let all = std::iter::from_fn(|| hosts.poll_output());
        all.map(|output| match output {
            Output::Join(on) => format!("join {} {}", on.name, on.address),
            Output::Leave(on) => format!("leave {} {}", on.name, on.address),
            Output::Send { to, via, .. } => format!("to {} via {}", to.ip(), via.unwrap().name),
            other => format!("{other:?}"),
        })
        .collect()
    };
    let (all4, all6) = ("239.255.71.78", "ff02::6761:6e6e:6574");
    assert_eq!(
        outputs(&mut hosts, &[four.clone(), six.clone()]),
        [
            "join eth0 10.0.0.1".into(),
            "join eth0 fe80::1".into(),
            format!("to {all4} via eth0"),
            format!("to {all6} via eth0")
        ]
    );
    assert!(outputs(&mut hosts, &[four.clone(), six.clone()]).is_empty(), "nothing is new");
    assert_eq!(
        outputs(&mut hosts, &[four, wlan.clone()]),
        [
            "leave eth0 fe80::1".into(),
            "join wlan0 10.1.0.1".into(),
            format!("to {all4} via eth0"),
            format!("to {all4} via wlan0")
        ]
    );
    assert!(outputs(&mut hosts, &[]).iter().all(|line| line.starts_with("leave ")));
    // Who listens at loopback alone is told of there alone.
    let lo = interface("lo", 1, [127, 0, 0, 1].into());
    let mut hosts = Hosts::new(Rng::from_seed(1), settings(1, 1));
    hosts.set_places(START, &[lo, wlan], &[([127, 0, 0, 1], TCP).into()], ports(), &[]);
    assert_eq!(hosts.interfaces().iter().map(|on| &on.name).collect::<Vec<_>>(), ["lo"]);
}

#[test]
fn m02_pings_come_at_the_start_and_then_every_half_to_whole_minute() {
    let mut wire = Wire::of(1);
    wire.run(Duration::from_secs(1200));
    let at: Vec<Instant> = wire.posts[0].sent.iter().map(|(at, ..)| *at).collect();
    let gaps: Vec<u64> = at.windows(2).map(|two| two[1].since(two[0]).as_millis() as u64).collect();
    assert_eq!((at[0], &gaps[..2]), (START, &[1000, 3000][..]));
    assert!(gaps[2..].iter().all(|gap| (30_000..=60_000).contains(gap)), "{gaps:?}");
    assert!(gaps[2..].windows(2).any(|two| two[0] != two[1]), "there is jitter");
    assert!(gaps.len() < 45, "an idle host is quiet");
}

#[test]
fn m02_two_hundred_hosts_do_not_answer_a_stranger_at_once() {
    let mut wire = Wire::new();
    wire.only = Some(200);
    for n in 1..=200 {
        wire.add(n);
    }
    wire.run(Duration::from_secs(20));
    let late = wire.add(201);
    let began = wire.now;
    wire.posts.iter_mut().for_each(|post| post.sent.clear());
    wire.run(Duration::from_millis(400));
    let mut answers: Vec<u64> = wire.posts[..200]
        .iter()
        .flat_map(|post| &post.sent)
        .filter(|(_, to, _)| *to == udp(201))
        .map(|(at, ..)| at.since(began).as_millis() as u64)
        .collect();
    answers.sort_unstable();
    assert!(answers.len() >= 200 && answers[199] <= limits::LAN_PONG_DELAY_MS);
    let most_at_once = (0..250)
        .step_by(10)
        .map(|from| answers.iter().filter(|at| (from..from + 10).contains(*at)).count());
    assert!(most_at_once.max().unwrap() < 40, "{answers:?}");
    // What was too much for the first moment comes with the next pings.
    wire.run(Duration::from_secs(4));
    let known = (1..=200).filter(|n| wire.knows(late, id(*n))).count();
    assert!(known >= 190, "{known}");
}

#[test]
fn m03_interfaces_of_containers_tunnels_and_guests_are_left_alone() {
    let excluded: Vec<String> =
        EXCLUDED.iter().copied().chain(["guest0"]).map(str::to_owned).collect();
    let on = ["eth0", "docker0", "br-1a2b", "veth7", "wg0", "tun0", "guest0", "guest1", "wlan0"];
    let all: Vec<Interface> =
        on.iter().enumerate().map(|(n, name)| interface(name, n as u32, ip(n as u8 + 1))).collect();
    let mut hosts = Hosts::new(Rng::from_seed(1), settings(1, 1));
    hosts.set_places(START, &all, &listening(), ports(), &excluded);
    let used: Vec<&str> = hosts.interfaces().iter().map(|on| on.name.as_str()).collect();
    assert_eq!(used, ["eth0", "guest1", "wlan0"]);
    let told = &hosts.record.as_ref().unwrap().0.record().addresses;
    assert_eq!(*told, [ip(1), ip(8), ip(9)], "nor are their addresses told");
}

#[test]
fn m03_hosts_find_each_other_where_half_of_the_multicast_is_lost() {
    for seed in 0..20 {
        let mut wire = Wire::new();
        (wire.loss, wire.rng) = (2, Rng::from_seed(seed));
        for n in 1..=3 {
            wire.add(n);
        }
        wire.run(Duration::from_secs(200));
        assert!(wire.all_know_all(), "seed {seed}");
    }
}

#[test]
fn m03_known_hosts_are_asked_themselves_where_multicast_ends() {
    let mut wire = Wire::of(3);
    wire.run(Duration::from_secs(1));
    wire.no_multicast = true;
    wire.run(Duration::from_secs(1800));
    assert!(wire.all_know_all());
    // One that does not answer three times is not there.
    wire.posts[2].deaf = true;
    wire.run(Duration::from_secs(240));
    assert!(!wire.knows(0, id(3)) && wire.knows(0, id(2)));
    let asked = |wire: &Wire| {
        let to = wire.posts[0].sent.iter().filter(|(_, to, _)| *to == udp(3));
        to.filter(|(_, _, bytes)| matches!(heard(bytes).body, Body::Ping { .. })).count()
    };
    let before = asked(&wire);
    wire.run(Duration::from_secs(500));
    assert!(asked(&wire) - before <= 3, "it is left in peace for ten minutes");
    // And it is found anew when it is back.
    wire.posts[2].deaf = false;
    wire.posts[0].found.clear();
    wire.run(Duration::from_secs(700));
    assert!(wire.knows(0, id(3)));
    assert_eq!(wire.posts[0].found, [(id(3), tcp(3))]);
}

#[test]
fn m03_a_host_with_another_address_is_found_there_at_once() {
    let mut wire = Wire::of(4);
    wire.run(Duration::from_secs(10));
    wire.posts.iter_mut().for_each(|post| post.found.clear());
    wire.move_to(3, 77);
    for post in 0..3 {
        assert_eq!(wire.places(post, id(4)), [udp(77)]);
        assert_eq!(wire.posts[post].found, [(id(4), tcp(77))]);
    }
    // And back again.
    wire.move_to(3, 4);
    assert_eq!(wire.posts[0].found[1..], [(id(4), tcp(4))]);
}

#[test]
fn m03_a_process_in_the_place_of_one_that_was_killed_takes_it_over() {
    let mut wire = Wire::of(2);
    wire.run(Duration::from_secs(5));
    wire.posts.remove(1);
    wire.add_with(settings(2, 22), 2);
    wire.run(Duration::from_secs(1));
    assert!(wire.all_know_all());
    let boots: Vec<Boot> = wire.posts[0].hosts.known().map(Known::boot).collect();
    assert_eq!(boots, [boot(22)]);
    assert_eq!(wire.posts[0].found.len(), 2, "told anew: what was connected is not any more");
}

#[test]
fn m01_what_comes_over_both_families_shows_both_addresses_in_any_order() {
    let six: IpAddr = "fe80::2".parse().unwrap();
    let at = |ip| SocketAddr::new(ip, UDP);
    for six_first in [false, true] {
        let mut wire = Wire::of(2);
        wire.run(Duration::from_secs(5));
        let on = [interface("eth0", 2, ip(22)), interface("eth0", 2, six)];
        let now = wire.now;
        wire.posts[1].hosts.set_places(now, &on, &listening(), ports(), &[]);
        let outputs = std::iter::from_fn(|| wire.posts[1].hosts.poll_output());
        let mut casts: Vec<(IpAddr, Vec<u8>)> = outputs
            .filter_map(|output| match output {
                Output::Send { via: Some(via), bytes, .. } => Some((via.address, bytes)),
                _ => None,
            })
            .collect();
        assert_eq!(casts.len(), 2);
        if six_first {
            casts.reverse();
        }
        for (from, bytes) in &casts {
            wire.tell(0, at(*from), bytes);
            // From where it is not, it is still only said again.
            wire.tell(0, udp(66), bytes);
        }
        let mut places = wire.places(0, id(2));
        places.sort();
        assert_eq!(places, [at(ip(22)), at(six)]);
        let found: Vec<SocketAddr> =
            casts.iter().map(|(ip, _)| SocketAddr::new(*ip, TCP)).collect();
        wire.deliver();
        let told: Vec<SocketAddr> = wire.posts[0].found[1..].iter().map(|(_, at)| *at).collect();
        assert_eq!(told, found);
    }
}

#[test]
fn k08_where_others_see_a_host_stands_in_its_record_as_long_as_it_is_believed() {
    let mut wire = Wire::of(2);
    let at: IpAddr = [203, 0, 113, 9].into();
    let known = |wire: &Wire| {
        let mut all = wire.posts[1].hosts.known();
        let one = all.find(|known| known.host() == id(1)).expect("it was heard");
        one.record.record().addresses.clone()
    };
    wire.run(Duration::from_secs(5));
    assert_eq!(known(&wire), [ip(1)]);
    for seen in [&[at, ip(1)][..], &[]] {
        let (on, now) = ([interface("eth0", 2, ip(1))], wire.now);
        wire.posts[0].hosts.set_seen(seen.to_vec());
        wire.posts[0].hosts.set_places(now, &on, &listening(), ports(), &[]);
        wire.run(Duration::from_secs(5));
        let told: Vec<IpAddr> = [ip(1)].into_iter().chain(seen.first().copied()).collect();
        assert_eq!(known(&wire), told);
    }
}
