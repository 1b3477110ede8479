//! Programs that ask over the control socket.

use crate::ids::ConnId;
use crate::store::disk::Disk;
use crate::time::Instant;

use super::Node;
use super::control::{self, What};
use super::io::{Consumed, Output};

/// A connection to the control socket.
#[derive(Default)]
pub struct Client {
    /// Not yet handed to the socket.
    pub answer: Vec<u8>,
}

impl Node {
    pub(super) fn client_bytes(
        &mut self,
        now: Instant,
        conn: ConnId,
        buf: &mut [u8],
        disk: &mut dyn Disk,
    ) -> Consumed {
        let mut done = Consumed::default();
        loop {
            // One answer at a time: a client that does not read its answers is not read either.
            if self.clients.get(&conn).is_none_or(|client| !client.answer.is_empty()) {
                break;
            }
            match control::decode(&buf[done.bytes..]) {
                Ok(None) => break,
                Ok(Some((request, len))) => {
                    done.bytes += len;
                    done.frames += 1;
                    let answer = control::answer(&request, &self.status(now, disk));
                    self.reply(conn, answer);
                    if request.what == What::Stop {
                        self.stop(now, 0);
                    }
                }
                Err(why) => {
                    done.bytes = buf.len();
                    self.reply(conn, control::refuse(&why));
                    self.out.push_back(Output::Close { conn, flush: true });
                    self.clients.remove(&conn);
                    break;
                }
            }
        }
        done
    }

    fn reply(&mut self, conn: ConnId, answer: Vec<u8>) {
        if let Some(client) = self.clients.get_mut(&conn) {
            client.answer = answer;
            self.out.push_back(Output::Wake { conn });
        }
    }
}
