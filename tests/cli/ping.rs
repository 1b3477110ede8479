//! Asking whether somebody is there.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::support::Home;

fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap()
}

/// Where a started gannet listens.
fn listening(event: &serde_json::Value) -> String {
    event["listen"][0].as_str().expect("an address").to_owned()
}

#[test]
fn g01_a_gannet_answers_with_its_id() {
    let (home, other) = (Home::new(), Home::new());
    home.run(&["core", "create", "core"]).ok();
    let serving = home.start(&["core", "serve", "core"]);
    let at = listening(&serving.event("ready"));
    let id = json(home.run(&["id", "--json"]).ok());
    let shown = other.run(&["ping", &at]);
    let (short, text) = (id["short"].as_str().unwrap(), shown.ok());
    assert!(text.starts_with(&format!("{at}: {short}, version 1, ")), "{text}");
    assert!(text.ends_with(" ms\n") && text.lines().count() == 1, "{text}");
    // By name, several times, as figures.
    let port = at.rsplit_once(':').unwrap().1;
    let shown = other.run(&["ping", &format!("localhost:{port}"), "--count", "2", "--json"]);
    let lines: Vec<serde_json::Value> = shown.ok().lines().map(json).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert_eq!((&line["answer"], &line["id"]), (&"pong".into(), &id["id"]), "{line}");
        assert!(line["delay_ms"].as_f64().is_some_and(|ms| ms < 1000.0), "{line}");
    }
    // Whoever asks leaves no trace.
    let status = json(home.run(&["status", "core", "--json"]).ok());
    assert_eq!(status["peers"], serde_json::json!([]));
    assert!(!other.path(".local").exists(), "a ping needs no key");
    assert_eq!(serving.stop(), 0);
}

#[test]
fn g05_nobody_and_somebody_else() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1000]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    home.run(&["ping", &at]).failed(6, "does not answer as a gannet");
    other.join().unwrap();
    let shown = home.run(&["ping", &at, "--json"]);
    assert_eq!((shown.code, json(shown.text())["answer"].as_str()), (6, Some("unreachable")));
    home.run(&["ping", "no such host"]).failed(2, "");
    home.run(&["ping", "-q", "localhost:1"]).failed(6, "nobody listens at localhost, port 1");
}
