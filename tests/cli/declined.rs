//! Who does not want us, or cannot be a peer: said once, in words, in `peers`, and not tried in a loop.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use gannet::crypto::noise::Role;
use gannet::crypto::sign::KeyPair;
use gannet::host::HostId;
use gannet::wire::host::{BOOT_BYTES, Close, Code, Hello, Message, VERSIONS, Versions};
use gannet::wire::hyper::{Session, Setup, What};
use rustix::process::Signal;
use serde_json::Value;

use crate::daemon::{daemon, json, sharing, sharing_with, until, write_file};
use crate::support::{Home, Running};

/// Starts a clone of `link` that is told of `at`.
fn clone(home: &Home, link: &str, at: &str) -> Running {
    home.start(&["clone", link, "copy", "--peer", at])
}

/// The one warning that comes, and nothing of that kind after it until it is stopped.
fn only_warning(running: Running, meanwhile: impl FnOnce()) -> String {
    let warning = running.event("warning")["text"].as_str().expect("a text").to_owned();
    meanwhile();
    let (code, more) = running.stop_and_hear("warning");
    assert!(code == 0 && more.is_empty(), "{code}, said again: {more:?}");
    warning
}

/// What is said of the only address that is not connected.
fn candidate(home: &Home, at: &str) -> Value {
    let status = json(home, &["status", "copy"]);
    let all = status["candidates"].as_array().expect("candidates");
    all.iter().find(|one| one["addr"] == at).unwrap_or_else(|| panic!("{status}")).clone()
}

#[test]
fn l08_who_was_banned_hears_it_once_and_rests() {
    let (theirs, _sharing, link, at) = sharing();
    let home = Home::new();
    let id = home.run(&["id"]).ok().lines().last().expect("an id").to_owned();
    theirs.run(&["ban", &id]).ok();
    let warning = only_warning(clone(&home, &link, &at), || {
        let peers = home.run(&["peers", "copy"]);
        assert!(
            peers.ok().contains(&format!("{at}: not connected, it has banned us, tried again in"))
        );
        let candidate = candidate(&home, &at);
        assert_eq!(candidate["why"], "peer-banned");
        assert!(candidate["retry_in_s"].as_u64().is_some_and(|s| s > 2000), "{candidate}");
    });
    assert_eq!(warning, format!("{at} has banned this host; only its user can lift that"));
}

#[test]
fn h07_who_is_not_allowed_hears_it_once_and_rests() {
    let other = Home::new().run(&["id"]).ok().lines().last().expect("an id").to_owned();
    let (_theirs, _sharing, link, at) = sharing_with(&format!("[hosts]\nallow = [\"{other}\"]\n"));
    let home = Home::new();
    let warning = only_warning(clone(&home, &link, &at), || {
        let candidate = candidate(&home, &at);
        assert_eq!(candidate["why"], "peer-not-allowed");
        assert!(candidate["retry_in_s"].as_u64().is_some_and(|s| s > 2000), "{candidate}");
    });
    assert!(warning.starts_with(&format!("{at} does not have this host among")), "{warning}");
}

#[test]
fn n03_who_is_full_says_so_once() {
    let bounds = "[limits]\nmin_peers = 1\ntarget_peers = 1\nmax_peers = 1\n";
    let (_theirs, _sharing, link, at) = sharing_with(bounds);
    let (first, second) = (Home::new(), Home::new());
    let there = clone(&first, &link, &at);
    there.event("complete");
    let warning = only_warning(clone(&second, &link, &at), || {
        let candidate = candidate(&second, &at);
        assert_eq!(candidate["why"], "peer-full");
        assert!(candidate["retry_in_s"].as_u64().is_some_and(|s| s >= 2), "{candidate}");
    });
    assert_eq!(warning, format!("{at} has no room for more peers; it is tried again"));
    there.stop();
}

#[test]
fn h07_what_is_paused_there_is_said_once_and_comes_soon_after_it_goes_on() {
    let (theirs, _sharing, link, at) = sharing();
    let home = Home::new();
    let running = clone(&home, &link, &at);
    running.event("complete");
    theirs.run(&["pause", "photos"]).ok();
    let warning = only_warning(running, || {
        let candidate = candidate(&home, &at);
        assert_eq!(candidate["why"], "peer-paused");
        assert!(candidate["retry_in_s"].as_u64().is_some_and(|s| s > 30), "{candidate}");
        let peers = home.run(&["peers", "copy"]);
        let line =
            format!("{at}: not connected, it has paused what is wanted of it, tried again in");
        assert!(peers.ok().contains(&line), "{}", peers.text());
        std::fs::write(theirs.path("photos/b.txt"), "two").unwrap();
        theirs.run(&["resume", "photos"]).ok();
        // Long before it would have come again by itself.
        until("it is copied", || std::fs::read(home.path("copy/b.txt")).is_ok_and(|b| b == b"two"));
    });
    let text = "has paused what this host wants of it; it is tried again";
    assert_eq!(warning, format!("{at} {text}"));
}

#[test]
fn h05_our_own_address_is_said_once_to_be_ours_and_never_tried_again() {
    let home = Home::new();
    std::fs::create_dir(home.path("copy")).unwrap();
    let share = format!("[[share]]\ndir = \"{}\"\n", home.path("copy").display());
    let running = daemon(&home, &share);
    let at = running.event("ready")["listen"][0].as_str().expect("an address").to_owned();
    write_file(&home, &format!("peers = [\"{at}\"]\n{share}"));
    running.signal(Signal::HUP);
    let text = running.event("warning")["text"].as_str().expect("a text").to_owned();
    assert_eq!(text, format!("{at} is this very process: take the address off its list"));
    until("it is listed", || home.run(&["peers"]).ok().contains("it is this very process\n"));
    let status = json(&home, &["status"]);
    assert_eq!(status["candidates"][0]["retry_in_s"], Value::Null, "{status}");
    let (code, more) = running.stop_and_hear("warning");
    assert!(code == 0 && more.is_empty(), "{code}, said again: {more:?}");
}

#[test]
fn h06_who_keeps_nothing_of_a_link_is_said_once_to_keep_nothing() {
    let (_theirs, _sharing, _, at) = sharing();
    let home = Home::new();
    let link =
        format!("hyper://{}", "3d245602f5fe9864d5b8d3ef7ed39c7423892b8908846489bd0c1bfa870f6f9f");
    let warning = only_warning(clone(&home, &link, &at), || {
        assert!(home.run(&["peers", "copy"]).ok().contains(", has nothing of this\n"));
    });
    assert!(warning.starts_with(&format!("{at} does not keep hyper://")), "{warning}");
}

/// Versions that this program does not speak.
const LATER: Versions = Versions { first: 7, last: 9 };

/// Speaks as a gannet of later days does, up to the other side's last word. The connection ends with it.
fn meet_later(mut socket: TcpStream, role: Role) -> Close {
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let identity = KeyPair::from_seed([5; 32]);
    let hello = Hello {
        versions: LATER,
        host: HostId(identity.public()),
        boot: [5; BOOT_BYTES],
        number: 1,
        port: None,
        features: 0,
        seen: None,
        own: Vec::new(),
        holds: Vec::new(),
    };
    let [own, ephemeral] = [6, 7].map(|seed| KeyPair::from_seed([seed; 32]));
    let mut session = Session::new(Setup { role, own, ephemeral, header: [8; 24] });
    let (mut inbox, mut out, mut last) = (Vec::new(), Vec::new(), None);
    loop {
        session.poll(&mut out);
        // (Who has closed need not hear the rest.)
        let _ = socket.write_all(&std::mem::take(&mut out));
        let mut piece = [0; 4096];
        match (socket.read(&mut piece), last) {
            (Ok(0), Some(close)) => return close,
            (Err(e), Some(close)) if e.kind() == ErrorKind::ConnectionReset => return close,
            (Ok(0), None) => panic!("it ends without a word"),
            (read, before) => {
                inbox.extend(&piece[..read.expect("it goes on")]);
                last = before;
            }
        }
        loop {
            let received = session.receive(&mut inbox).expect("it speaks properly");
            let consumed = received.consumed;
            match received.what {
                What::Up { .. } => {
                    session.open_host(&mut out).unwrap();
                    let mut said = Vec::new();
                    hello.encode(&identity, session.channel(true), &mut said);
                    session.say_host(&mut out, |out| out.extend_from_slice(&said));
                }
                What::Host { message } => match Message::decode(message) {
                    Ok(Some(Message::Hello(_))) => assert!(last.is_none(), "its hello comes first"),
                    Ok(Some(Message::Close(close))) => last = Some(close),
                    other => panic!("nothing else is said: {other:?}"),
                },
                What::Incomplete if consumed == 0 => break,
                _ => {}
            }
            inbox.drain(..consumed);
        }
    }
}

#[test]
fn h04_who_speaks_other_versions_is_said_once_to_and_not_tried_in_a_loop() {
    let later = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = later.local_addr().unwrap().to_string();
    let home = Home::new();
    let key = "3d245602f5fe9864d5b8d3ef7ed39c7423892b8908846489bd0c1bfa870f6f9f";
    write_file(&home, &format!("peers = [\"{at}\"]\n[[seed]]\nlink = \"hyper://{key}\"\n"));
    let log = std::fs::File::create(home.path("log")).unwrap();
    let running = Running::start_logging(home.command(&["daemon", "--json", "-v"]), log);
    let ready = running.event("ready");
    let close = meet_later(later.accept().unwrap().0, Role::Responder);
    assert_eq!((close.code, close.versions), (Code::Version, Some(VERSIONS)));
    let (ours, theirs) = (format!("{} to {}", VERSIONS.first, VERSIONS.last), "7 to 9");
    let what = "speaks no version of the protocol that we speak";
    let said = format!("{at} {what} (its: {theirs}, ours: {ours}): update the older one");
    let warning = only_warning(running_with(&home, running, &ready, &said), || {});
    assert_eq!(warning, said);
    // Nobody has come again meanwhile.
    later.set_nonblocking(true).unwrap();
    assert_eq!(later.accept().expect_err("it has come again").kind(), ErrorKind::WouldBlock);
    let log = std::fs::read_to_string(home.path("log")).unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(what)).collect();
    let ends = |line: &&&str, end: &str| line.ends_with(end);
    assert_eq!(lines.iter().filter(|line| ends(line, &said)).count(), 1, "{log}");
    // Of the two that came in from one address it is said once, too.
    assert_eq!(lines.len(), 2, "{log}");
}

/// Looks at what the user is told, and has the same come in twice.
fn running_with(home: &Home, running: Running, ready: &Value, said: &str) -> Running {
    let at = said.split(' ').next().unwrap();
    until("it is told why", || {
        let line =
            format!("{at}: not connected, it speaks no version that we speak, tried again in");
        home.run(&["peers"]).ok().contains(&line)
    });
    let status = json(home, &["status"]);
    let candidate = &status["candidates"][0];
    assert_eq!(
        (&candidate["addr"], &candidate["why"]),
        (&Value::from(at), &Value::from("version"))
    );
    // A day, give or take a quarter.
    let wait = candidate["retry_in_s"].as_u64().unwrap_or_default();
    assert!((60_000..=110_000).contains(&wait), "{candidate}");
    let listens = ready["listen"][0].as_str().unwrap();
    for _ in 0..2 {
        let close = meet_later(TcpStream::connect(listens).unwrap(), Role::Initiator);
        assert_eq!((close.code, close.versions), (Code::Version, Some(VERSIONS)));
    }
    assert_eq!(json(home, &["peers"]), Value::from(Vec::<Value>::new()));
    running
}
