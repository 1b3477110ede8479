use std::time::Duration;

use proptest::prelude::{any, proptest};
use simple_dns::ResourceRecord;
use simple_dns::rdata::{A, AAAA, CNAME};

use super::*;

const CONF: &str =
    "# made by hand\nnameserver 10.0.0.1\nnameserver 10.0.0.2 ; second\nsearch lan example.org\n";

fn at(ms: u64) -> Instant {
    Instant(ms * 1000)
}

fn resolver() -> Resolver {
    Resolver::new(Rng::from_seed(1), "10.1.1.1 nas NAS.lan # home\n::5 nas\nrubbish x\n", CONF)
}

fn questions(resolver: &mut Resolver) -> Vec<(SocketAddr, Vec<u8>)> {
    std::iter::from_fn(|| resolver.poll_datagram()).collect()
}

/// Name and type of a question.
fn asked(bytes: &[u8]) -> (String, TYPE) {
    let packet = Packet::parse(bytes).unwrap();
    let QTYPE::TYPE(kind) = packet.questions[0].qtype else { panic!() };
    (packet.questions[0].qname.to_string(), kind)
}

fn a(text: &str) -> RData<'static> {
    RData::A(A { address: text.parse::<Ipv4Addr>().unwrap().into() })
}

fn aaaa(text: &str) -> RData<'static> {
    RData::AAAA(AAAA { address: text.parse::<Ipv6Addr>().unwrap().into() })
}

fn cname(text: &'static str) -> RData<'static> {
    RData::CNAME(CNAME(Name::new_unchecked(text)))
}

/// An answer to `question`.
fn reply(question: &[u8], code: RCODE, records: &[(&'static str, RData<'static>)]) -> Vec<u8> {
    let mut packet = Packet::parse(question).unwrap().into_reply();
    *packet.rcode_mut() = code;
    for (name, data) in records {
        let name = Name::new_unchecked(name);
        packet.answers.push(ResourceRecord::new(name, CLASS::IN, 60, data.clone()));
    }
    packet.build_bytes_vec_compressed().unwrap()
}

fn done(resolver: &mut Resolver) -> Option<Result<Vec<String>, ResolveError>> {
    let (_, answer) = resolver.poll_done()?;
    Some(answer.map(|found| found.iter().map(SocketAddr::to_string).collect()))
}

#[test]
fn literals_hosts_and_localhost_need_no_question() {
    let mut r = resolver();
    for (name, expected) in [
        ("127.0.0.1", vec!["127.0.0.1:7"]),
        ("::1", vec!["[::1]:7"]),
        ("[fe80::1]", vec!["[fe80::1]:7"]),
        ("Nas", vec!["10.1.1.1:7", "[::5]:7"]),
        ("nas.lan.", vec!["10.1.1.1:7"]),
        ("localhost", vec!["127.0.0.1:7", "[::1]:7"]),
    ] {
        r.lookup(at(0), name, 7);
        assert_eq!(done(&mut r).unwrap().unwrap(), expected);
    }
    for name in ["", "a..b", "bad name", "ä.example", &"x".repeat(64), &"x.".repeat(130)] {
        r.lookup(at(0), name, 7);
        assert!(matches!(done(&mut r), Some(Err(ResolveError::BadName(_)))), "{name}");
    }
    assert!(questions(&mut r).is_empty());
    assert_eq!(r.next_deadline(), None);
}

#[test]
fn both_families_are_asked_at_once_and_take_turns() {
    let mut r = resolver();
    let id = r.lookup(at(0), "host.example", 3282);
    let sent = questions(&mut r);
    let server: SocketAddr = "10.0.0.1:53".parse().unwrap();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|(to, _)| *to == server));
    assert_eq!(asked(&sent[0].1), ("host.example".into(), TYPE::AAAA));
    assert_eq!(asked(&sent[1].1), ("host.example".into(), TYPE::A));
    let four = [("host.example", a("1.1.1.1")), ("HOST.example", a("2.2.2.2"))];
    r.receive(at(10), server, &reply(&sent[1].1, RCODE::NoError, &four));
    assert_eq!(done(&mut r), None, "the other family has a moment more");
    r.receive(at(20), server, &reply(&sent[0].1, RCODE::NoError, &[("host.example", aaaa("::9"))]));
    assert_eq!(r.poll_done().unwrap().0, id);
    assert_eq!(r.next_deadline(), None);
}

#[test]
fn one_family_is_enough_after_the_grace() {
    let mut r = resolver();
    r.lookup(at(0), "host.example", 1);
    let sent = questions(&mut r);
    let (server, four) = &sent[1];
    r.receive(at(10), *server, &reply(four, RCODE::NoError, &[("host.example", a("1.1.1.1"))]));
    assert_eq!(r.next_deadline(), Some(at(260)));
    r.tick(at(260));
    assert_eq!(done(&mut r), Some(Ok(vec!["1.1.1.1:1".into()])));
}

/// As `reply`, cut off by the server.
fn truncated(question: &[u8], records: &[(&'static str, RData<'static>)]) -> Vec<u8> {
    let bytes = reply(question, RCODE::NoError, records);
    let mut packet = Packet::parse(&bytes).unwrap();
    packet.set_flags(PacketFlag::TRUNCATION);
    packet.build_bytes_vec_compressed().unwrap()
}

#[test]
fn of_a_truncated_answer_the_addresses_are_taken_and_an_empty_one_is_asked_for_elsewhere() {
    let mut r = resolver();
    r.lookup(at(0), "host.example", 1);
    let sent = questions(&mut r);
    r.receive(at(1), sent[0].0, &truncated(&sent[0].1, &[]));
    let again = questions(&mut r);
    assert!(again.len() == 1 && again[0].0 != sent[0].0);
    let here = [("host.example", a("1.1.1.1"))];
    r.receive(at(2), sent[1].0, &truncated(&sent[1].1, &here));
    r.receive(at(3), again[0].0, &reply(&again[0].1, RCODE::NoError, &[]));
    assert_eq!(done(&mut r), Some(Ok(vec!["1.1.1.1:1".into()])));
}

#[test]
fn a_host_of_which_no_answer_fits_is_one_clear_failure() {
    let mut r = resolver();
    r.lookup(at(0), "host.example", 1);
    let mut asked = 0;
    loop {
        let sent = questions(&mut r);
        if sent.is_empty() {
            break;
        }
        asked += sent.len();
        assert!(asked < 100);
        sent.iter().for_each(|(server, q)| r.receive(at(1), *server, &truncated(q, &[])));
    }
    let failure = done(&mut r).unwrap().unwrap_err().to_string();
    assert_eq!(failure, "no name server answered for host.example");
}

#[test]
fn aliases_are_followed_within_an_answer_and_by_asking_again() {
    let mut r = resolver();
    r.lookup(at(0), "www.example", 1);
    let sent = questions(&mut r);
    let (server, six) = &sent[0];
    r.receive(at(1), *server, &reply(six, RCODE::NoError, &[]));
    let chain = [
        ("www.example", cname("b.example")),
        ("b.example", cname("c.example")),
        ("c.example", a("3.3.3.3")),
    ];
    r.receive(at(2), *server, &reply(&sent[1].1, RCODE::NoError, &chain));
    assert_eq!(done(&mut r), Some(Ok(vec!["3.3.3.3:1".into()])));

    r.lookup(at(10), "www.example", 1);
    let sent = questions(&mut r);
    r.receive(at(11), *server, &reply(&sent[0].1, RCODE::NoError, &[]));
    r.receive(
        at(12),
        *server,
        &reply(&sent[1].1, RCODE::NoError, &[("www.example", cname("c.example"))]),
    );
    let again = questions(&mut r);
    assert_eq!(asked(&again[0].1), ("c.example".into(), TYPE::A));
    let last = reply(&again[0].1, RCODE::NoError, &[("c.example", a("4.4.4.4"))]);
    r.receive(at(13), *server, &last);
    assert_eq!(done(&mut r), Some(Ok(vec!["4.4.4.4:1".into()])));
}

#[test]
fn an_alias_of_itself_ends() {
    let mut r = resolver();
    r.lookup(at(0), "x.example", 1);
    let mut rounds = 0;
    loop {
        let sent = questions(&mut r);
        if sent.is_empty() {
            break;
        }
        for (server, question) in sent {
            let answer = reply(&question, RCODE::NoError, &[("x.example", cname("x.example"))]);
            r.receive(at(rounds), server, &answer);
        }
        rounds += 1;
        assert!(rounds < 20);
    }
    assert_eq!(done(&mut r), Some(Err(ResolveError::NotFound("x.example".into()))));
}

#[test]
fn answers_must_match_server_id_and_question() {
    let mut r = resolver();
    r.lookup(at(0), "host.example", 1);
    let sent = questions(&mut r);
    let (server, four) = &sent[1];
    let good = reply(four, RCODE::NoError, &[("host.example", a("1.1.1.1"))]);
    let elsewhere = ["10.0.0.2:53", "10.0.0.1:54", "6.6.6.6:53"];
    for from in elsewhere {
        r.receive(at(1), from.parse().unwrap(), &good);
    }
    let mut other_id = good.clone();
    other_id[1] ^= 1;
    r.receive(at(1), *server, &other_id);
    let mut other_name = four.clone();
    other_name[13] = b'X' + 1;
    r.receive(
        at(1),
        *server,
        &reply(&other_name, RCODE::NoError, &[("yost.example", a("6.6.6.6"))]),
    );
    r.receive(at(1), *server, four);
    assert_eq!(r.next_deadline(), Some(at(2000)), "still waiting for both");
    let strange = reply(four, RCODE::NoError, &[("other.example", a("6.6.6.6"))]);
    r.receive(at(2), *server, &strange);
    r.receive(at(3), *server, &good);
    r.receive(at(3), *server, &reply(&sent[0].1, RCODE::NoError, &[]));
    assert_eq!(done(&mut r), Some(Err(ResolveError::NotFound("host.example".into()))));
}

#[test]
fn silence_and_failures_go_on_to_the_next_server_and_end() {
    let mut r = resolver();
    r.lookup(at(0), "host.example", 1);
    let first = questions(&mut r);
    let (server, six) = &first[0];
    r.receive(at(5), *server, &reply(six, RCODE::ServerFailure, &[]));
    let next = questions(&mut r);
    assert_eq!(next[0].0.to_string(), "10.0.0.2:53");
    assert_ne!(next[0].1[..2], six[..2], "a new id");
    let mut sent = 3;
    while let Some(due) = r.next_deadline() {
        assert!(due <= at(10_000));
        r.tick(due);
        sent += questions(&mut r).len();
    }
    assert_eq!(sent as u32, 2 * limits::RESOLVE_TRIES);
    assert_eq!(done(&mut r), Some(Err(ResolveError::TimedOut("host.example".into()))));
}

#[test]
fn short_names_are_tried_in_the_search_domains() {
    let mut r = resolver();
    r.lookup(at(0), "printer", 1);
    let mut names = Vec::new();
    for round in 0..3 {
        for (server, question) in questions(&mut r) {
            names.push(asked(&question).0);
            r.receive(at(round), server, &reply(&question, RCODE::NameError, &[]));
        }
    }
    names.dedup();
    assert_eq!(names, ["printer.lan", "printer.example.org", "printer"]);
    assert_eq!(done(&mut r), Some(Err(ResolveError::NotFound("printer".into()))));
}

#[test]
fn lookups_are_bounded_and_can_be_forgotten() {
    let mut r = resolver();
    let ids: Vec<LookupId> = (0..limits::RESOLVE_LOOKUPS)
        .map(|n| r.lookup(at(0), &format!("h{n}.example"), 1))
        .collect();
    r.lookup(at(0), "more.example", 1);
    assert_eq!(done(&mut r), Some(Err(ResolveError::TooMany)));
    for id in ids {
        r.cancel(id);
    }
    assert_eq!(r.next_deadline(), None);
    assert_eq!(done(&mut r), None);
    let mut alone = Resolver::new(Rng::from_seed(2), "", "");
    alone.lookup(at(0), "a.b", 1);
    assert_eq!(questions(&mut alone)[0].0.to_string(), "127.0.0.1:53");
}

proptest! {
    #[test]
    fn hostile_answers_never_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..12),
    ) {
        let mut r = resolver();
        r.lookup(at(0), "host.example", 1);
        let sent = questions(&mut r);
        let (server, question) = &sent[1];
        r.receive(at(1), *server, &noise);
        let records = [("host.example", cname("b.example")), ("b.example", a("3.3.3.3"))];
        let mut packet = reply(question, RCODE::NoError, &records);
        for (at, value) in damage {
            let at = 2 + usize::from(at) % (packet.len() - 2);
            packet[at] = value;
        }
        r.receive(at(2), *server, &packet);
        r.tick(at(1) + Duration::from_secs(60));
    }

    #[test]
    fn any_files_are_read(hosts in "\\PC{0,200}", conf in "\\PC{0,200}") {
        let mut r = Resolver::new(Rng::from_seed(3), &hosts, &conf);
        r.lookup(at(0), "a.example", 1);
    }
}
