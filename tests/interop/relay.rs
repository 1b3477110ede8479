//! A relay of TCP connections that counts what passes and can cut them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Passes connections on to a server.
pub struct Relay {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    open: Mutex<Vec<TcpStream>>,
    /// What the server has said.
    bytes: AtomicU64,
}

impl Relay {
    /// In front of the server on a port of this machine.
    pub fn before(server: &str) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared: Arc<Shared> = Arc::default();
        let (server, ours) = (format!("127.0.0.1:{server}"), shared.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let _ = join(client, &server, &ours);
            }
        });
        Relay { port, shared }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Bytes that the server has said so far.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Ends every connection, in the middle of whatever it carries; how many.
    pub fn cut(&self) -> usize {
        let cut: Vec<TcpStream> = self.shared.open.lock().expect("no panic").drain(..).collect();
        cut.iter().for_each(|socket| drop(socket.shutdown(Shutdown::Both)));
        cut.len() / 2
    }
}

fn join(client: TcpStream, server: &str, shared: &Arc<Shared>) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    shared.open.lock().expect("no panic").extend([client.try_clone()?, server.try_clone()?]);
    let (from, to, counted) = (client.try_clone()?, server.try_clone()?, shared.clone());
    thread::spawn(move || pass(from, to, &AtomicU64::new(0)));
    thread::spawn(move || pass(server, client, &counted.bytes));
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        count.fetch_add(length as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
