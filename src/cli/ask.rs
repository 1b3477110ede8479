//! Asking the process that runs on a folder. The only place with a blocking socket: short-lived
//! commands may wait, for a bounded time.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use super::place;
use crate::daemon::control::Address;
use crate::failure::{Failure, Kind};
use crate::limits;
use crate::link::Link;
use crate::node::control::{NOT_KEPT, Request, What, encode};

/// The answer of the process running on the stores in `inside`, or of the daemon if it keeps them; `None`
/// if nobody does.
pub fn ask(inside: &Path, request: &Request) -> Result<Option<Value>, Failure> {
    match ask_at(inside, request)? {
        None => keeper(&Request { at: Some(about(inside)), ..request.clone() }),
        answer => Ok(answer),
    }
}

/// The answer of who runs on the current folder, else the daemon's.
pub fn here(request: &Request) -> Result<Option<Value>, Failure> {
    for inside in [".dat", "."] {
        if let Some(answer) = ask_at(Path::new(inside), request)? {
            return Ok(Some(answer));
        }
    }
    keeper(request)
}

/// The daemon's answer; a failure if none runs.
pub fn daemon(request: &Request) -> Result<Value, Failure> {
    keeper(request)?.ok_or_else(|| match (&request.at, is_running()) {
        (Some(at), true) => {
            Failure::new(Kind::NotFound, format!("{at}: {NOT_KEPT}")).hint("see gannet status")
        }
        _ => Failure::new(Kind::NotFound, "no daemon runs").hint("start it with gannet daemon"),
    })
}

/// The daemon's answer about a folder, whatever is there; `None` if none runs, or it does not know it.
pub fn kept(dir: &Path, request: &Request) -> Result<Option<Value>, Failure> {
    keeper(&Request { at: Some(about(dir)), ..request.clone() })
}

/// What the daemon knows a folder or a link by.
pub fn name(at: &str) -> String {
    if at.parse::<Link>().is_ok() { at.to_owned() } else { about(Path::new(at)) }
}

/// The folder of the stores in `inside`, however it was called.
fn about(inside: &Path) -> String {
    let whole = std::fs::canonicalize(inside).or_else(|_| std::path::absolute(inside));
    let whole = whole.unwrap_or_else(|_| inside.to_owned());
    let folder = if whole.ends_with(".dat") { whole.parent().unwrap_or(&whole) } else { &whole };
    folder.display().to_string()
}

/// The daemon's answer; `None` if none runs, or it does not keep what is asked about.
fn keeper(request: &Request) -> Result<Option<Value>, Failure> {
    for socket in place::daemon_sockets() {
        match ask_at(&socket, request) {
            Ok(None) => {}
            Err(failure) if failure.what.ends_with(NOT_KEPT) => {}
            other => return other,
        }
    }
    Ok(None)
}

fn is_running() -> bool {
    place::daemon_sockets().any(|socket| connect(&socket).is_ok_and(|stream| stream.is_some()))
}

fn ask_at(inside: &Path, request: &Request) -> Result<Option<Value>, Failure> {
    let name = || format!("the gannet running on {}", inside.display());
    match converse(inside, request) {
        Ok(Some(answer)) => match understand(&answer) {
            Some(Ok(answer)) => Ok(Some(answer)),
            Some(Err(why)) => Err(Failure::new(Kind::General, format!("{}: {why}", name()))),
            None => {
                let what = format!("{} gave an answer that makes no sense", name());
                Err(Failure::new(Kind::General, what).hint("is it the same version?"))
            }
        },
        Ok(None) => Ok(None),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
        {
            Err(Failure::new(Kind::General, format!("{} does not answer", name())))
        }
        Err(error) => Err(Failure::io(name(), &error)),
    }
}

/// Whether somebody runs on the stores in `inside`, or keeps them.
pub fn is_there(inside: &Path) -> Result<bool, Failure> {
    let own = connect(inside)
        .map_err(|e| Failure::io(format!("the gannet running on {}", inside.display()), &e))?;
    let kept = Request { at: Some(about(inside)), ..Request::ask(What::Peers, false) };
    Ok(own.is_some() || keeper(&kept)?.is_some())
}

fn connect(inside: &Path) -> io::Result<Option<UnixStream>> {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    match Address::new(inside).and_then(|at| UnixStream::connect(at.path())) {
        // No socket, or one that a killed process left behind.
        Err(e) if matches!(e.kind(), NotFound | ConnectionRefused) => Ok(None),
        other => other.map(Some),
    }
}

fn converse(inside: &Path, request: &Request) -> io::Result<Option<Vec<u8>>> {
    let Some(mut stream) = connect(inside)? else { return Ok(None) };
    let patience = match request.what {
        // What is added may first have to be looked through.
        what if what.is_order() => limits::ORDER_TIMEOUT,
        What::Find => limits::LAN_SEARCH_WITHIN,
        _ => limits::CONTROL_TIMEOUT,
    };
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(limits::CONTROL_TIMEOUT))?;
    // Who refuses need not read the question: its answer tells more than that it could not be put.
    let asked = stream.write_all(&encode(request));
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while !answer.contains(&b'\n') && answer.len() < limits::CONTROL_ANSWER_BYTES {
        match stream.read(&mut piece)? {
            0 => break,
            n => answer.extend_from_slice(&piece[..n]),
        }
    }
    if answer.is_empty() {
        asked?;
    }
    Ok(Some(answer))
}

/// What stands in an answer beside `ok`, or why there is none; `None` if it is no answer at all.
fn understand(answer: &[u8]) -> Option<Result<Value, String>> {
    let mut answer: Value = serde_json::from_slice(answer).ok()?;
    let fields = answer.as_object_mut()?;
    if fields.remove("ok")? != Value::Bool(true) {
        return fields.get("error")?.as_str().map(|why| Err(why.to_owned()));
    }
    Some(Ok(fields.values_mut().next().map_or(Value::Null, Value::take)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::control::{answer, decode};
    use crate::node::status::Status;
    use std::os::unix::net::UnixListener;

    fn status() -> Request {
        Request::ask(What::Status, true)
    }

    #[test]
    fn nobody_there() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ask(dir.path(), &status()), Ok(None));
        // Left behind by a process that was killed.
        drop(UnixListener::bind(dir.path().join("gannet.sock")).unwrap());
        assert_eq!(ask(dir.path(), &status()), Ok(None));
        assert_eq!(ask(&dir.path().join("missing"), &status()), Ok(None));
    }

    #[test]
    fn question_and_answer() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("gannet.sock")).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut bytes = [0; 100];
                let n = stream.read(&mut bytes).unwrap();
                let (request, _) = decode(&bytes[..n]).unwrap().unwrap();
                let status = Status { pid: 9, ..Status::default() };
                stream.write_all(&answer(&request, &status)).unwrap();
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(b"{\"ok\":false,\"error\":\"no\"}\n").unwrap();
            });
            let text = ask(dir.path(), &status()).unwrap().unwrap();
            assert!(text.as_str().unwrap().contains("running as process 9"));
            let refused = ask(dir.path(), &status()).unwrap_err();
            assert!(refused.what.ends_with(": no"), "{refused}");
        });
    }
}
