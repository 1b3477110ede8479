//! Asking the process that runs on a folder. The only place with a blocking socket: short-lived
//! commands may wait, for a bounded time.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::daemon::control::Address;
use crate::failure::{Failure, Kind};
use crate::limits;
use crate::node::control::{Request, encode};

/// The answer of the process running on the stores in `inside`; `None` if nobody runs there.
pub fn ask(inside: &Path, request: &Request) -> Result<Option<Value>, Failure> {
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

/// Whether somebody runs on the stores in `inside`.
pub fn is_there(inside: &Path) -> Result<bool, Failure> {
    connect(inside)
        .map(|stream| stream.is_some())
        .map_err(|e| Failure::io(format!("the gannet running on {}", inside.display()), &e))
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
    stream.set_read_timeout(Some(limits::CONTROL_TIMEOUT))?;
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
    use crate::node::control::{What, answer, decode};
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
