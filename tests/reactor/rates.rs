//! Rates: what flows is what they say, for each its share, and everything arrives at last.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gannet::ids::ConnId;
use gannet::limits;
use gannet::node::io::{Consumed, Input, Output, Work};
use gannet::reactor::{Engine, Rates, Reactor, Tuning};
use gannet::rng::Rng;
use gannet::store::disk::Disk;
use gannet::sys::{Endpoint, Sys};
use gannet::time::Instant;

use super::fake::FakeSys;
use super::loopback::{anywhere, linux};
use super::mill::{Mill, Plan};

const LISTENER: u32 = 1;
/// A frame of the server.
const FRAME: usize = 16 * 1024;

/// A server that has frames without end for each of its clients, and the clients.
#[derive(Default)]
struct Pump {
    clients: usize,
    outputs: VecDeque<Output>,
    /// Bytes that came in at each client.
    got: BTreeMap<ConnId, usize>,
    /// It has nothing to send.
    dry: bool,
    deadline: Option<Instant>,
}

impl Engine for Pump {
    fn handle(&mut self, _: Instant, input: Input<'_>, _: &mut dyn Disk) {
        match input {
            Input::Listening { at, .. } => {
                let to = at.expect("a free port");
                let dials = (0..self.clients).map(|n| n as u32 + 10);
                self.outputs.extend(dials.map(|tag| Output::Dial { tag, to: to.clone() }));
            }
            Input::Accepted { conn, .. } => self.outputs.push_back(Output::Wake { conn }),
            Input::Dialed { conn, .. } => drop(self.got.insert(conn.expect("somebody listens"), 0)),
            Input::Closed { conn, why } => panic!("{conn:?} ended: {why:?}"),
            Input::Deadline => self.deadline = None,
            _ => {}
        }
    }
    fn bytes(&mut self, _: Instant, conn: ConnId, buf: &mut [u8], _: &mut dyn Disk) -> Consumed {
        *self.got.get_mut(&conn).expect("the server hears nothing") += buf.len();
        Consumed { bytes: buf.len(), frames: 1, ..Consumed::default() }
    }
    fn poll_frames(
        &mut self,
        _: Instant,
        conn: ConnId,
        out: &mut Vec<u8>,
        _: usize,
        _: &mut dyn Disk,
    ) {
        if !self.dry && !self.got.contains_key(&conn) {
            out.resize(out.len() + FRAME, 7);
        }
    }
    fn work(&mut self, _: Instant, _: usize, _: &mut dyn Disk) -> Work {
        Work::Idle
    }
    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
    fn next_deadline(&mut self) -> Option<Instant> {
        self.deadline
    }
}

/// Lets a pump run under rates for a while; what came in at each client, a second.
fn pump<S: Sys>(sys: S, clients: usize, rates: Rates, at: Endpoint, time: Duration) -> Vec<f64> {
    let outputs = VecDeque::from([Output::Listen { tag: LISTENER, at }]);
    let pump = Pump { clients, outputs, ..Pump::default() };
    let mut reactor = Reactor::new(sys, pump, Tuning { rates, ..Tuning::default() });
    while reactor.engine().got.len() < clients {
        reactor.turn().expect("the loop runs");
    }
    let begin = reactor.sys().now();
    reactor.with(|pump, now, _| {
        pump.got.values_mut().for_each(|got| *got = 0);
        pump.deadline = Some(now + time);
    });
    while reactor.engine().deadline.is_some() {
        reactor.turn().expect("the loop runs");
        reactor.check();
    }
    let seconds = reactor.sys().now().since(begin).as_secs_f64();
    reactor.engine().got.values().map(|got| *got as f64 / seconds).collect()
}

/// Each of the four rates, and how many bytes a second that makes for some clients together.
fn each_rate(rate: u64, clients: usize) -> [(Rates, f64); 4] {
    let (rate, all) = (Some(rate), (rate * clients as u64) as f64);
    [
        (Rates { upload_rate: rate, ..Rates::default() }, all / clients as f64),
        (Rates { download_rate: rate, ..Rates::default() }, all / clients as f64),
        (Rates { peer_upload_rate: rate, ..Rates::default() }, all),
        (Rates { peer_download_rate: rate, ..Rates::default() }, all),
    ]
}

fn total(got: &[f64]) -> f64 {
    got.iter().sum()
}

fn within(got: f64, wanted: f64, percent: f64) -> bool {
    (got - wanted).abs() <= wanted * percent / 100.0
}

#[test]
fn rates_hold_over_seconds_and_everybody_has_an_equal_share() {
    // (Slow ones need their time, fast ones many turns.)
    for (seed, (rate, seconds)) in
        [(3_000, 20), (20_000, 10), (300_000, 5), (5_000_000, 2)].into_iter().enumerate()
    {
        for clients in [1, 5] {
            for (rates, wanted) in each_rate(rate, clients) {
                let mut sys = FakeSys::new(seed as u64);
                let at = Endpoint::Tcp(([10, 0, 0, 1], 1).into());
                (sys.from, sys.capacity) = (at.clone(), 64 * 1024);
                let got = pump(sys, clients, rates, at, Duration::from_secs(seconds));
                let all = total(&got);
                assert!(within(all, wanted, 10.0), "{rates:?} for {clients}: {got:?}");
                let fair = |got: &f64| within(*got, wanted / clients as f64, 15.0);
                assert!(got.iter().all(fair), "{rates:?} for {clients}: {got:?}");
            }
        }
    }
}

#[test]
fn rates_below_the_least_of_many_connections_hold_over_time() {
    for (seed, rate) in [64, 100, 512].into_iter().enumerate() {
        for clients in [1, 6] {
            // What each of them begins with is paid for in the end.
            let seconds = 25 * limits::RATE_CREDIT * clients as u64 / rate;
            for (rates, wanted) in each_rate(rate, clients) {
                let mut sys = FakeSys::new(seed as u64);
                let at = Endpoint::Tcp(([10, 0, 0, 1], 1).into());
                (sys.from, sys.capacity) = (at.clone(), 64 * 1024);
                let got = pump(sys, clients, rates, at, Duration::from_secs(seconds));
                assert!(within(total(&got), wanted, 10.0), "{rates:?} for {clients}: {got:?}");
                let fair = |got: &f64| within(*got, wanted / clients as f64, 15.0);
                assert!(got.iter().all(fair), "{rates:?} for {clients}: {got:?}");
            }
        }
    }
}

#[test]
fn a_higher_rate_holds_at_once_whatever_was_owed_under_the_lower() {
    for at in 0..4 {
        let rates = |rate| each_rate(rate, 1)[at].0;
        let mut sys = FakeSys::new(3);
        let at = Endpoint::Tcp(([10, 0, 0, 1], 1).into());
        (sys.from, sys.capacity) = (at.clone(), 64 * 1024);
        let outputs = VecDeque::from([Output::Listen { tag: LISTENER, at }]);
        let pump = Pump { clients: 5, outputs, ..Pump::default() };
        let tuning = Tuning { rates: rates(64), ..Tuning::default() };
        let mut reactor = Reactor::new(sys, pump, tuning);
        let turn_for = |reactor: &mut Reactor<FakeSys, Pump>, seconds| {
            reactor.with(|pump, now, _| pump.deadline = Some(now + Duration::from_secs(seconds)));
            while reactor.engine().deadline.is_some() {
                reactor.turn().expect("the loop runs");
            }
            reactor.engine().got.values().sum::<usize>()
        };
        let before = turn_for(&mut reactor, 5);
        reactor.set_rates(rates(100_000));
        let fast = turn_for(&mut reactor, 5) - before;
        assert!(fast >= 400_000, "{fast} bytes in 5 s under {:?}", rates(100_000));
    }
}

#[test]
fn rates_hold_on_real_sockets() {
    for (rates, wanted) in each_rate(1_000_000, 3) {
        // A machine that is busy with others may be slower for once, never faster.
        let held = (0..5).any(|_| {
            let got = pump(linux(), 3, rates, anywhere(), Duration::from_millis(1500));
            assert!(total(&got) <= wanted * 1.1, "{rates:?}: {got:?}");
            total(&got) >= wanted * 0.9
        });
        assert!(held, "{rates:?} is never reached");
    }
}

#[test]
fn sockets_of_this_machine_are_not_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let rates = each_rate(limits::RATE_LEAST, 1).map(|(rates, _)| rates);
    for (n, rates) in rates.into_iter().enumerate() {
        let at = Endpoint::Unix(dir.path().join(n.to_string()));
        let got = pump(linux(), 1, rates, at, Duration::from_millis(100));
        assert!(total(&got) > 1_000_000.0, "{rates:?}: {got:?}");
    }
}

#[test]
fn whoever_waits_for_a_rate_goes_on_when_there_is_none_any_more() {
    let rates = each_rate(limits::RATE_LEAST, 1).map(|(rates, _)| rates);
    for rates in rates {
        let outputs = VecDeque::from([Output::Listen { tag: LISTENER, at: anywhere() }]);
        let pump = Pump { clients: 4, outputs, ..Pump::default() };
        let tuning = Tuning { rates, ..Tuning::default() };
        let mut reactor = Reactor::new(linux(), pump, tuning);
        let turn_for = |reactor: &mut Reactor<_, Pump>, ms| {
            reactor.with(|pump, now, _| pump.deadline = Some(now + Duration::from_millis(ms)));
            while reactor.engine().deadline.is_some() {
                reactor.turn().expect("the loop runs");
                reactor.check();
            }
            reactor.engine().got.values().sum::<usize>()
        };
        let slow = turn_for(&mut reactor, 300);
        assert!(slow < 20_000, "{slow} bytes under {rates:?}");
        reactor.set_rates(Rates::default());
        assert!(turn_for(&mut reactor, 300) > 1_000_000, "{rates:?} holds on");
        // And the other way, once what is on its way has come.
        reactor.set_rates(rates);
        turn_for(&mut reactor, 500);
        reactor.with(|pump, _, _| pump.got.values_mut().for_each(|got| *got = 0));
        let slow = turn_for(&mut reactor, 300);
        assert!(slow < 20_000, "{slow} bytes under {rates:?}");
    }
}

#[test]
fn with_nothing_to_send_nobody_is_woken() {
    for (rates, _) in each_rate(50_000, 1) {
        let mut sys = FakeSys::new(7);
        let at = Endpoint::Tcp(([10, 0, 0, 1], 1).into());
        (sys.from, sys.capacity, sys.quiet) = (at.clone(), 64 * 1024, true);
        let outputs = VecDeque::from([Output::Listen { tag: LISTENER, at }]);
        let pump = Pump { clients: 3, outputs, ..Pump::default() };
        let mut reactor = Reactor::new(sys, pump, Tuning { rates, ..Tuning::default() });
        let until = |reactor: &mut Reactor<FakeSys, Pump>, seconds| {
            reactor.with(|pump, now, _| pump.deadline = Some(now + Duration::from_secs(seconds)));
            while reactor.engine().deadline.is_some() {
                reactor.turn().expect("the loop runs");
            }
            reactor.stats().wakeups
        };
        until(&mut reactor, 2);
        reactor.engine_mut().dry = true;
        let dry = until(&mut reactor, 10);
        // (An interrupted sleep is another one.)
        assert!(until(&mut reactor, 60) - dry < 5, "{rates:?} wakes an idle loop");
    }
}

#[test]
fn every_frame_comes_back_under_any_rates() {
    for seed in 0..30 {
        let mut rng = Rng::from_seed(seed);
        let plan = Plan {
            clients: 1 + rng.below(8) as usize,
            frames: 1 + rng.below(12) as usize,
            largest: [10, 500, 50_000][seed as usize % 3],
            server_closes: rng.one_in(3),
        };
        let mut rate = || rng.one_in(2).then(|| limits::RATE_LEAST << rng.below(14));
        let rates = Rates {
            upload_rate: rate(),
            download_rate: rate(),
            peer_upload_rate: rate(),
            peer_download_rate: rate(),
        };
        let mut sys = FakeSys::new(seed);
        let at = Endpoint::Tcp(([10, 0, 0, 1], 1).into());
        (sys.from, sys.capacity) = (at.clone(), sys.capacity.max(100) + plan.largest as usize / 20);
        let begin = sys.clock;
        let long = Duration::from_secs(1 << 30);
        let tuning = Tuning { rates, write_stall: long, linger: long, ..Tuning::default() };
        let clients = plan.clients as u64;
        let mut reactor = Reactor::new(sys, Mill::new(plan, at, seed), tuning);
        let mut turns = 0;
        while reactor.turn().expect("the loop runs").is_none() {
            reactor.check();
            turns += 1;
            assert!(turns < 20_000_000, "seed {seed} does not end: {:?}", reactor.stats());
        }
        let failed = &reactor.engine().failed;
        assert!(failed.is_empty(), "seed {seed}: {failed:?}");
        // Never more than the rates say, but for the least that flows on each of two ends, of which no more
        // than some seconds can be owed, and what may be ahead.
        let seconds = (reactor.sys().clock - begin) as f64 / 1e6;
        let stats = reactor.stats();
        let bytes =
            [(stats.bytes_written, rates.upload_rate), (stats.bytes_read, rates.download_rate)];
        for (bytes, rate) in bytes {
            let Some(rate) = rate else { continue };
            let trickle = limits::RATE_TRICKLE * (seconds as u64 + 20);
            let floors = 2 * clients * (trickle + limits::RATE_CREDIT);
            let most = rate as f64 * (seconds + 0.1) + 4096.0 + floors as f64;
            assert!(bytes as f64 <= most, "seed {seed}: {bytes} in {seconds} s under {rates:?}");
        }
    }
}
