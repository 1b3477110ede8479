//! Simulation: whole nodes on virtual time, links and disks, with every fault drawn from a seed.
//!
//! `cargo test --test sim` sweeps 300 seeds; `-- --seeds N` sweeps more, `-- --from N` elsewhere,
//! `-- --first` ends at the first that fails. `-- --seed N` runs one and says what happens
//! (`GANNET_SIM_TRACE=1`: each call), `-- --crowd N` measures a crowd (`GANNET_PLOT=FILE`: with a plot),
//! `-- NAME` only what has NAME in its name. Each run is made
//! twice and must be the same to the last call.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod actor;
mod alone;
mod bound;
mod cables;
mod copy;
mod crowd;
mod cycles;
mod disk;
mod drives;
mod feeds;
mod hostile;
mod lan;
mod lies;
mod listener;
mod memory;
mod mixed;
mod mutual;
mod names;
mod pings;
mod restored;
mod seen;
mod sleep;
mod stranger;
mod swarm;
mod sybil;
mod topics;
mod twins;
mod wild;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A world made from a seed; panics if something is wrong, else returns the hash of its trace.
struct Scenario {
    name: &'static str,
    run: fn(u64) -> u64,
    /// It takes part in one of so many seeds of the sweep.
    every: u64,
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "copy", run: copy::run, every: 1 },
    Scenario { name: "feeds", run: feeds::run, every: 1 },
    Scenario { name: "cores", run: feeds::run_cores, every: 1 },
    Scenario { name: "drives", run: drives::run, every: 1 },
    Scenario { name: "hyperdrives", run: drives::run_hyper, every: 1 },
    Scenario { name: "bound", run: bound::run, every: 1 },
    Scenario { name: "once", run: drives::run_once, every: 4 },
    Scenario { name: "lan", run: lan::run, every: 4 },
    Scenario { name: "cables", run: cables::run, every: 3 },
    Scenario { name: "cables-cores", run: cables::run_cores, every: 3 },
    Scenario { name: "cycles", run: cycles::run, every: 100 },
    Scenario { name: "cycles-cores", run: cycles::run_cores, every: 100 },
    Scenario { name: "alone", run: alone::run, every: 4 },
    Scenario { name: "mixed", run: mixed::run, every: 2 },
    Scenario { name: "mutual", run: mutual::run, every: 2 },
    Scenario { name: "pings", run: pings::run, every: 2 },
    Scenario { name: "topics", run: topics::run, every: 1 },
    Scenario { name: "crowd", run: crowd::run, every: 6 },
    Scenario { name: "names", run: names::run, every: 2 },
    Scenario { name: "twins", run: twins::run, every: 2 },
    Scenario { name: "twin-streams", run: twins::run_cores, every: 2 },
    Scenario { name: "seen", run: seen::run, every: 4 },
    Scenario { name: "restored", run: restored::run, every: 2 },
    Scenario { name: "restored-cores", run: restored::run_cores, every: 2 },
    Scenario { name: "mutual-cores", run: mutual::run_cores, every: 2 },
];

struct Arguments {
    from: u64,
    seeds: u64,
    /// Failures after which there is no point in going on.
    failures: u64,
    filter: Option<String>,
    /// A word was for us alone. A name without any is what `cargo test NAME` says to every program.
    ours: bool,
    /// A crowd of so many nodes is measured instead.
    crowd: Option<u64>,
}

fn arguments() -> Result<Option<Arguments>, String> {
    let mut parsed =
        Arguments { from: 0, seeds: 300, failures: 10, filter: None, ours: false, crowd: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = |what: &str| -> Result<u64, String> {
            let text = words.next().ok_or(format!("{what} needs a number"))?;
            text.parse().map_err(|_| format!("{what} needs a number, not {text}"))
        };
        parsed.ours |= ["--seeds", "--from", "--seed", "--first"].contains(&word.as_str());
        match word.as_str() {
            "--seeds" => parsed.seeds = number("--seeds")?,
            "--from" => parsed.from = number("--from")?,
            "--seed" => (parsed.from, parsed.seeds) = (number("--seed")?, 1),
            "--crowd" => parsed.crowd = Some(number("--crowd")?),
            "--first" => parsed.failures = 1,
            // What cargo and IDEs say to every test program.
            "--list" => return Ok(None),
            "--test-threads" | "--format" | "--color" => drop(words.next()),
            option if option.starts_with('-') => {}
            name => parsed.filter = Some(name.to_owned()),
        }
    }
    Ok(Some(parsed))
}

fn main() {
    let arguments = match arguments() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return,
        Err(text) => {
            eprintln!("{text}");
            std::process::exit(2);
        }
    };
    if let Some(count) = arguments.crowd {
        let (text, svg) = crowd::measure(count as usize, arguments.from);
        print!("{text}");
        if let Some(place) = std::env::var_os("GANNET_PLOT") {
            std::fs::write(place, svg).expect("the plot can be written");
        }
        return;
    }
    let start = Instant::now();
    let (mut runs, mut failures) = (0, 0);
    for seed in arguments.from..arguments.from + arguments.seeds {
        for scenario in SCENARIOS {
            let wanted = arguments.filter.as_ref().is_none_or(|name| scenario.name.contains(name));
            if !wanted || arguments.seeds > 1 && !seed.is_multiple_of(scenario.every) {
                continue;
            }
            runs += 1;
            let began = Instant::now();
            if let Err(text) = twice(scenario, seed) {
                failures += 1;
                println!("seed {seed} of {} failed: {text}", scenario.name);
                if failures == 1 {
                    println!("first: {} {seed}: {}", scenario.name, in_short(&text));
                }
                println!("replay: cargo test --test sim -- {} --seed {seed}", scenario.name);
            }
            if began.elapsed().as_secs() >= 5 {
                println!("seed {seed} of {} took {:.1?}", scenario.name, began.elapsed());
            }
            if failures >= arguments.failures && arguments.seeds > 1 {
                std::process::exit(1);
            }
        }
    }
    if let (0, true, Some(name)) = (runs, arguments.ours, &arguments.filter) {
        let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        eprintln!("nothing was run: {name} is in none of {}", names.join(", "));
        std::process::exit(2);
    }
    println!("sim: {runs} runs, each twice, {failures} failed, {:.1?}", start.elapsed());
    if failures > 0 {
        std::process::exit(1);
    }
}

/// What a panic says, without where it was said and what else is in it.
fn in_short(text: &str) -> String {
    let what = text.split_once('\n').map_or(text, |(_, what)| what);
    what.lines().next().unwrap_or_default().chars().take(100).collect()
}

fn twice(scenario: &Scenario, seed: u64) -> Result<(), String> {
    let first = once(scenario, seed)?;
    let second = once(scenario, seed)?;
    if first == second { Ok(()) } else { Err("the second run was another one".into()) }
}

fn once(scenario: &Scenario, seed: u64) -> Result<u64, String> {
    let said = Arc::new(Mutex::new(String::new()));
    let place = said.clone();
    std::panic::set_hook(Box::new(move |panic| {
        *place.lock().expect("there is one thread") = panic.to_string();
    }));
    let result = catch_unwind(AssertUnwindSafe(|| (scenario.run)(seed)));
    let _ = std::panic::take_hook();
    result.map_err(|_| said.lock().expect("there is one thread").clone())
}
