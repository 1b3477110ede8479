//! Sockets of the kinds that the loop's tests do not meet.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use gannet::sys::linux::{LinuxSys, Signals};
use gannet::sys::{Bind, Endpoint, Handle, Interface, Sys};

use crate::install::left_out;

fn linux() -> LinuxSys {
    LinuxSys::new(Signals::Leave).unwrap()
}

#[test]
fn unix_sockets_are_private_and_stale_ones_replaced() {
    let mut sys = linux();
    let dir = tempfile::tempdir().unwrap();
    // Longer than an address can be, and short.
    for name in ["s".to_owned(), format!("{}/s", "deep".repeat(30))] {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let at = Endpoint::Unix(path.clone());
        let (first, _) = sys.listen(&at).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(sys.listen(&at).unwrap_err().kind(), ErrorKind::AddrInUse);
        let stream = sys.connect(&at).unwrap();
        assert!(sys.connected(stream).unwrap());
        let (_, from) = sys.accept(first).unwrap();
        assert_eq!(from, at);
        sys.close(first);
        assert!(!path.exists());
        // What a killed process leaves behind.
        std::mem::forget(std::os::unix::net::UnixListener::bind(dir.path().join("t")));
        std::fs::remove_file(dir.path().join("t")).unwrap();
        if path.as_os_str().len() < 100 {
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
            let (again, _) = sys.listen(&at).unwrap();
            sys.close(again);
        }
        std::fs::write(&path, "a file of the user's").unwrap();
        assert_eq!(sys.listen(&at).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert!(path.exists());
    }
}

#[test]
fn both_families_on_one_port() {
    let mut sys = linux();
    let (_, at) = sys.listen(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
    let Endpoint::Tcp(v4) = at else { panic!() };
    match sys.listen(&Endpoint::Tcp(SocketAddr::new("::".parse().unwrap(), v4.port()))) {
        Ok((_, Endpoint::Tcp(v6))) => assert_eq!(v4.port(), v6.port()),
        Ok(other) => panic!("{other:?}"),
        Err(e) => assert_ne!(e.kind(), ErrorKind::AddrInUse, "the listener took IPv4 as well"),
    }
    let taken = sys.listen(&Endpoint::Tcp(v4)).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
}

fn bind(sys: &mut LinuxSys, at: SocketAddr, shared: bool) -> (Handle, SocketAddr) {
    sys.bind(&Bind { at, shared, multicast_ttl: 1 }).unwrap()
}

/// Waits until a datagram comes; `None`: it did not.
fn datagram(sys: &mut LinuxSys, socket: Handle) -> Option<Vec<u8>> {
    let mut buf = [0; 2000];
    for _ in 0..20 {
        match sys.receive_from(socket, &mut buf) {
            Ok((n, _)) => return Some(buf[..n].to_vec()),
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
        sys.wait(Some(Duration::from_millis(10)), &mut Vec::new()).unwrap();
    }
    None
}

#[test]
fn datagrams_go_to_and_fro() {
    let mut sys = linux();
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (a, at_a) = bind(&mut sys, here, false);
    let (b, _) = bind(&mut sys, here, false);
    sys.send_to(b, at_a, None, b"hello").unwrap();
    assert_eq!(datagram(&mut sys, a).as_deref(), Some(&b"hello"[..]));
    assert_eq!(datagram(&mut sys, b), None);
}

const CHILD: &str = "GANNET_TEST_CHILD";

const NO_NETWORK: &str = "multicast is tested in a private network, which needs unshare and ip \
                          (util-linux, iproute2), veth devices and, when not root, user \
                          namespaces; GANNET_NO_INTEROP=1 leaves it out";

/// Brings loopback up and, where there is IPv6, a wire to nowhere: Linux delivers no link-local
/// multicast over loopback.
const SET_UP: &str = "ip link set lo up multicast on || exit 1
ip link add lan type veth peer name wan && ip link set wan up && ip link set lan up multicast on &&
    ip addr add 10.8.0.1/24 dev lan || exit 1
if [ -e /proc/net/if_inet6 ]; then
    ip -6 addr add fe80::5/64 dev lan nodad || exit 1
fi";

/// Multicast needs a network of its own to play in.
#[test]
fn multicast_in_a_private_network() {
    if left_out() {
        return;
    }
    let private = |script: &str| {
        let mut unshare = Command::new("unshare");
        unshare.arg(if rustix::process::geteuid().is_root() { "-n" } else { "-rn" });
        unshare.args(["sh", "-c", script]).arg(std::env::current_exe().unwrap());
        unshare
    };
    let works = private(SET_UP).output().is_ok_and(|output| output.status.success());
    assert!(works, "{NO_NETWORK}");
    let output = private(&format!("{SET_UP}\nexec \"$0\" \"$@\""))
        .args(["--exact", "net::child_multicast", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let (told, errors) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    assert!(String::from_utf8_lossy(&told).contains("1 passed"), "the test has another name");
    for line in errors.lines().filter(|line| line.starts_with("LEFT OUT")) {
        // Past the capture of test output.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

#[test]
fn child_multicast() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut sys = linux();
    let all = sys.interfaces().unwrap();
    let lo = all.iter().find(|i| i.address == IpAddr::V4(Ipv4Addr::LOCALHOST));
    let lo = lo.expect("lo is up");
    assert!(lo.loopback);
    let changes = sys.watch_interfaces().unwrap();

    let group = Ipv4Addr::new(224, 0, 0, 251);
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5353));
    let (a, _) = bind(&mut sys, any, true);
    let (b, _) = bind(&mut sys, any, true);
    let (stranger, _) = bind(&mut sys, any, true);
    for socket in [a, b] {
        sys.join(socket, group.into(), lo).unwrap();
        sys.join(socket, group.into(), lo).unwrap();
    }
    sys.send_to(a, (group, 5353).into(), Some(lo), b"who is there").unwrap();
    assert_eq!(datagram(&mut sys, b).as_deref(), Some(&b"who is there"[..]));
    assert_eq!(datagram(&mut sys, a).as_deref(), Some(&b"who is there"[..]), "our own loops back");
    assert_eq!(datagram(&mut sys, stranger), None, "it joined nothing");
    sys.leave(b, group.into(), lo).unwrap();
    sys.send_to(a, (group, 5353).into(), Some(lo), b"again").unwrap();
    assert_eq!(datagram(&mut sys, b), None);

    multicast_v6(&mut sys, &all);
    interfaces_change(&mut sys, changes);
    cables_and_routes(&mut sys, changes);
}

fn multicast_v6(sys: &mut LinuxSys, all: &[Interface]) {
    let Some(lan) = all.iter().find(|i| i.name == "lan" && i.address.is_ipv6()) else {
        eprintln!("LEFT OUT (this machine has no IPv6): multicast to ff02::fb");
        return;
    };
    let group: std::net::Ipv6Addr = "ff02::fb".parse().unwrap();
    let any: SocketAddr = "[::]:5353".parse().unwrap();
    let (a, _) = bind(sys, any, true);
    let (b, _) = bind(sys, any, true);
    sys.join(b, group.into(), lan).unwrap();
    sys.send_to(a, (group, 5353).into(), Some(lan), b"six").unwrap();
    assert_eq!(datagram(sys, b).as_deref(), Some(&b"six"[..]));
}

fn ip(args: &str) -> bool {
    Command::new("ip").args(args.split(' ')).status().is_ok_and(|s| s.success())
}

/// Waits for news until something is so.
fn will_be(sys: &mut LinuxSys, changes: Handle, so: impl Fn(&mut LinuxSys) -> bool) {
    let until = Instant::now() + Duration::from_secs(5);
    let mut told = true;
    while !(told && so(sys)) {
        assert!(Instant::now() < until, "it was not told");
        let mut events = Vec::new();
        sys.wait(Some(Duration::from_millis(100)), &mut events).unwrap();
        told = events.iter().any(|e| e.handle == changes && e.readable);
    }
}

/// (CHECKLIST L04.)
fn cables_and_routes(sys: &mut LinuxSys, changes: Handle) {
    let lan = |sys: &mut LinuxSys| sys.interfaces().unwrap().iter().any(|i| i.name == "lan");
    assert!(lan(sys) && ip("link set wan down"));
    will_be(sys, changes, |sys| !lan(sys));
    assert!(ip("link set wan up"));
    will_be(sys, changes, lan);
    assert_eq!(sys.routes().unwrap(), []);
    for gateway in ["10.8.0.2", "10.8.0.3"] {
        assert!(ip(&format!("route replace default via {gateway}")));
        let far = Some(gateway.parse().unwrap());
        let own = Some("10.8.0.1".parse().unwrap());
        will_be(sys, changes, |sys| {
            sys.interfaces().unwrap();
            let routes = sys.routes().unwrap();
            routes.iter().any(|route| route.gateway == far && route.own == own)
        });
    }
    assert!(ip("route del default"));
    will_be(sys, changes, |sys| {
        sys.interfaces().unwrap();
        sys.routes().unwrap().is_empty()
    });
}

/// A machine cannot be put to sleep here; that the timer which counts its sleep stands beside a long wait
/// can be seen, and that it disturbs none.
#[test]
fn l05_a_long_wait_has_a_timer_of_the_clock_that_counts_sleep() {
    const BOOTTIME: &str = "clockid: 7";
    let timers = || {
        let all = std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
        let texts = all.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
        texts.filter(|text| text.contains(BOOTTIME)).count()
    };
    let mut sys = linux();
    let long = Duration::from_millis(1100);
    sys.wait(Some(long / 10), &mut Vec::new()).unwrap();
    assert_eq!(timers(), 0, "short waits need none");
    for _ in 0..2 {
        let (began, mut events) = (Instant::now(), Vec::new());
        sys.wait(Some(long), &mut events).unwrap();
        assert!(began.elapsed() >= long && events.is_empty(), "{:?}", began.elapsed());
        assert_eq!(timers(), 1);
    }
}

#[test]
fn l04_what_the_other_end_has_acknowledged_is_known_whether_anybody_reads_it_or_not() {
    let mut sys = linux();
    let (listener, at) = sys.listen(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
    let stream = sys.connect(&at).unwrap();
    while !sys.connected(stream).unwrap() {
        sys.wait(Some(Duration::from_millis(10)), &mut Vec::new()).unwrap();
    }
    let (other, _) = sys.accept(listener).unwrap();
    assert_eq!(sys.unacknowledged(stream).unwrap(), 0);
    // What nobody reads fills the other end's buffer, and what does not fit is not acknowledged.
    assert_eq!(sys.write(stream, b"hello").unwrap(), 5);
    let until = Instant::now() + Duration::from_secs(5);
    while sys.unacknowledged(stream).unwrap() > 0 {
        assert!(Instant::now() < until);
        sys.wait(Some(Duration::from_millis(1)), &mut Vec::new()).unwrap();
    }
    let piece = vec![0; 1 << 20];
    let mut written = 0;
    while let Ok(more) = sys.write(stream, &piece) {
        written += more;
    }
    let left = sys.unacknowledged(stream).unwrap();
    assert!(left > 0 && left < written, "{left} of {written}");
    let mut buf = vec![0; 1 << 20];
    let mut read = 0;
    while read < written {
        match sys.read(other, &mut buf) {
            Ok(more) => read += more,
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
        assert!(Instant::now() < until);
        sys.wait(Some(Duration::from_millis(1)), &mut Vec::new()).unwrap();
    }
    while sys.unacknowledged(stream).unwrap() > 0 {
        assert!(Instant::now() < until);
        sys.wait(Some(Duration::from_millis(1)), &mut Vec::new()).unwrap();
    }
    assert!(sys.unacknowledged(listener).is_err());
}

fn interfaces_change(sys: &mut LinuxSys, changes: Handle) {
    assert!(ip("addr add 127.0.0.9/8 dev lo"));
    let mut events = Vec::new();
    sys.wait(Some(Duration::from_secs(2)), &mut events).unwrap();
    assert!(events.iter().any(|e| e.handle == changes && e.readable));
    let has = |sys: &mut LinuxSys| {
        let nine = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
        sys.interfaces().unwrap().iter().any(|i| i.address == nine)
    };
    assert!(has(sys));
    assert!(ip("addr del 127.0.0.9/8 dev lo"));
    let mut events = Vec::new();
    sys.wait(Some(Duration::from_secs(2)), &mut events).unwrap();
    assert!(events.iter().any(|e| e.handle == changes), "the second change was not told");
    assert!(!has(sys));
}
