//! Sockets: TCP, Unix and UDP with multicast.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use mio::event::Source;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::sockopt;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::limits;
use crate::sys::{Bind, Endpoint, Interface};

use super::Thing;

/// A descriptor to give up when there is no other.
pub(super) fn spare() -> Option<OwnedFd> {
    OpenOptions::new().read(true).open("/dev/null").ok().map(OwnedFd::from)
}

pub(super) fn out_of_descriptors(e: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| e.raw_os_error() == Some(errno.raw_os_error()))
}

pub(super) fn listen_tcp(at: SocketAddr) -> io::Result<mio::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(at),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    // A port whose last connections still linger may be listened on again.
    socket.set_reuse_address(true)?;
    if at.is_ipv6() {
        // So that an IPv4 listener can have the same port.
        socket.set_only_v6(true)?;
    }
    socket.bind(&at.into())?;
    socket.listen(limits::BACKLOG)?;
    Ok(mio::net::TcpListener::from_std(socket.into()))
}

pub(super) fn accept_tcp(listener: &mio::net::TcpListener) -> io::Result<(Thing, Endpoint)> {
    let (stream, from) = listener.accept()?;
    stream.set_nodelay(true)?;
    Ok((Thing::Tcp(stream), Endpoint::Tcp(from)))
}

/// `SIOCOUTQ`.
const UNACKNOWLEDGED: rustix::ioctl::Opcode = if cfg!(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6"
)) {
    0x7472
} else if cfg!(any(target_arch = "powerpc", target_arch = "powerpc64", target_arch = "sparc64")) {
    0x4004_7473
} else {
    0x5411
};

pub(super) fn unacknowledged(stream: &mio::net::TcpStream) -> io::Result<usize> {
    // SAFETY: of a socket, this operation writes one `int`.
    let bytes = unsafe {
        let get = rustix::ioctl::Getter::<UNACKNOWLEDGED, std::ffi::c_int>::new();
        // SAFETY: the descriptor is that of `stream`, which is borrowed.
        rustix::ioctl::ioctl(BorrowedFd::borrow_raw(stream.as_raw_fd()), get)?
    };
    Ok(usize::try_from(bytes).unwrap_or_default())
}

pub(super) fn accept_unix(
    listener: &mio::net::UnixListener,
    path: &Path,
) -> io::Result<(Thing, Endpoint)> {
    let (stream, _) = listener.accept()?;
    Ok((Thing::Unix(stream), Endpoint::Unix(path.to_owned())))
}

/// Listens with mode 0600. A socket file that nobody listens on any more is replaced.
pub(super) fn listen_unix(path: &Path) -> io::Result<mio::net::UnixListener> {
    match bind_unix(path) {
        Err(e) if e.kind() == ErrorKind::AddrInUse && is_stale(path) => {
            std::fs::remove_file(path)?;
            bind_unix(path)
        }
        result => result,
    }
}

fn bind_unix(path: &Path) -> io::Result<mio::net::UnixListener> {
    let short = ShortPath::new(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    // The file takes the mode of the socket, less the umask: it is never open to others.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&socket2::SockAddr::unix(&short.path)?)?;
    socket.listen(limits::BACKLOG)?;
    Ok(mio::net::UnixListener::from_std(OwnedFd::from(socket).into()))
}

/// True if `path` is a socket that refuses connections.
fn is_stale(path: &Path) -> bool {
    let socket = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    socket && matches!(connect_unix(path), Err(e) if e.kind() == ErrorKind::ConnectionRefused)
}

pub(super) fn connect_unix(path: &Path) -> io::Result<mio::net::UnixStream> {
    let short = ShortPath::new(path)?;
    mio::net::UnixStream::connect(&short.path)
}

/// A path that fits into a socket address: the path itself, or one through a handle of its parent.
struct ShortPath {
    path: PathBuf,
    _parent: Option<OwnedFd>,
}

impl ShortPath {
    fn new(path: &Path) -> io::Result<ShortPath> {
        if path.as_os_str().as_bytes().len() < limits::UNIX_PATH_BYTES {
            return Ok(ShortPath { path: path.to_owned(), _parent: None });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = rustix::fs::open(parent, flags, Mode::empty())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd())).join(name);
        Ok(ShortPath { path, _parent: Some(parent) })
    }
}

/// A UDP socket.
pub(super) struct Datagrams {
    socket: mio::net::UdpSocket,
    v6: bool,
    /// The interface that multicast goes out of, as it was last set.
    via: Option<u32>,
}

impl Datagrams {
    pub fn bind(bind: &Bind) -> io::Result<Datagrams> {
        let v6 = bind.at.is_ipv6();
        let socket = Socket::new(
            Domain::for_address(bind.at),
            Type::DGRAM.nonblocking().cloexec(),
            Some(Protocol::UDP),
        )?;
        if bind.shared {
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
        }
        // Only groups that were joined on this very socket, not what others on this machine joined.
        // Old kernels cannot do it; then strangers' datagrams come in and are not understood.
        if v6 {
            socket.set_only_v6(true)?;
            socket.set_multicast_loop_v6(true)?;
            socket.set_multicast_hops_v6(bind.multicast_ttl)?;
            let _ = socket.set_multicast_all_v6(false);
        } else {
            socket.set_multicast_loop_v4(true)?;
            socket.set_multicast_ttl_v4(bind.multicast_ttl)?;
            let _ = socket.set_multicast_all_v4(false);
        }
        socket.bind(&bind.at.into())?;
        let socket = mio::net::UdpSocket::from_std(socket.into());
        Ok(Datagrams { socket, v6, via: None })
    }

    pub fn source(&mut self) -> &mut dyn Source {
        &mut self.socket
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub fn join(&self, group: IpAddr, on: &Interface) -> io::Result<()> {
        let joined = match group {
            IpAddr::V4(group) => sockopt::set_ip_add_membership_with_ifindex(
                &self.socket,
                &group,
                &Ipv4Addr::UNSPECIFIED,
                on.index,
            ),
            IpAddr::V6(group) => SockRef::from(&self.socket)
                .join_multicast_v6(&group, on.index)
                .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::INVAL)),
        };
        match joined {
            // An interface with two addresses is joined twice.
            Err(Errno::ADDRINUSE) => Ok(()),
            joined => Ok(joined?),
        }
    }

    pub fn leave(&self, group: IpAddr, on: &Interface) -> io::Result<()> {
        match group {
            IpAddr::V4(group) => Ok(sockopt::set_ip_drop_membership_with_ifindex(
                &self.socket,
                &group,
                &Ipv4Addr::UNSPECIFIED,
                on.index,
            )?),
            IpAddr::V6(group) => SockRef::from(&self.socket).leave_multicast_v6(&group, on.index),
        }
    }

    pub fn send_to(
        &mut self,
        to: SocketAddr,
        via: Option<&Interface>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        if let Some(interface) = via
            && to.ip().is_multicast()
            && self.via != Some(interface.index)
        {
            if self.v6 {
                SockRef::from(&self.socket).set_multicast_if_v6(interface.index)?;
            } else {
                // With its address, which then is the source as well.
                let address = match interface.address {
                    IpAddr::V4(address) => address,
                    IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
                };
                sockopt::set_ip_multicast_if_with_ifindex(
                    &self.socket,
                    &Ipv4Addr::UNSPECIFIED,
                    &address,
                    interface.index,
                )?;
            }
            self.via = Some(interface.index);
        }
        self.socket.send_to(bytes, to)
    }

    pub fn receive_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buf)
    }
}
