//! A network of its own, with nothing but loopback: for programs that find each other by multicast.

use std::ffi::OsStr;
use std::process::Command;

use super::peer::Peer;

pub struct Network {
    /// Keeps the namespace alive.
    holder: Peer,
    /// Made inside a user namespace, because we are not root.
    user: bool,
}

impl Network {
    pub fn new() -> Network {
        let user = !rustix::process::geteuid().is_root();
        let mut unshare = Command::new("unshare");
        unshare.arg(if user { "-rn" } else { "-n" });
        unshare.args(["sh", "-c", "ip link set lo up && echo up && exec cat"]);
        let mut holder = Peer::start("unshare (a private network)", unshare);
        holder.expect_line("up");
        Network { holder, user }
    }

    /// A command that will run inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &self.holder.pid().to_string(), "--net"]);
        if self.user {
            nsenter.args(["--user", "--preserve-credentials"]);
        }
        nsenter.arg("--").arg(program);
        nsenter
    }
}
