// SPDX-License-Identifier: GPL-2.0
//! The other end of the wire: a packet socket on a network interface of the host.

use std::fs;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

use super::frame::{ETHERTYPE, Frame, Mac, mac_from_text};

/// Sends and receives numbered frames on an interface.
pub struct Peer {
    socket: OwnedFd,
    mac: Mac,
}

impl Peer {
    /// Brings `interface` up and listens on it.
    pub fn on(interface: &str) -> Result<Self> {
        // The kernel's own IPv6 chatter would only use up receive buffers.
        let _ = fs::write(
            format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"),
            "1",
        );
        let status = Command::new("ip")
            .args(["link", "set", "dev", interface, "up"])
            .status()
            .context("running ip")?;
        ensure!(status.success(), "ip link set {interface} up: {status}");
        let address = format!("/sys/class/net/{interface}/address");
        let mac = mac_from_text(
            &fs::read_to_string(&address).with_context(|| format!("reading {address}"))?,
        )?;
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            // Nothing arrives before the socket is bound to an interface and a protocol.
            None::<SockProtocol>,
        )
        .context("packet socket")?;
        let index = if_nametoindex(interface).with_context(|| format!("interface {interface}"))?;
        bind(&socket, index).with_context(|| format!("binding to {interface}"))?;
        Ok(Self { socket, mac })
    }

    /// The interface's hardware address.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// Sends frame `number` to `to`.
    pub fn send(&self, to: Mac, number: u64) -> Result<()> {
        let frame = Frame {
            to,
            from: self.mac,
            number,
        };
        let bytes = frame.bytes();
        let sent = send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty()).context("sending")?;
        ensure!(sent == bytes.len(), "a frame was sent in part");
        Ok(())
    }

    /// The next numbered frame that came for us, waiting at most `limit`.
    pub fn receive(&self, limit: Duration) -> Result<Option<Frame>> {
        let mut bytes = vec![0; 2048];
        loop {
            match recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
                Ok(length) => {
                    if let Some(frame) =
                        Frame::parse(&bytes[..length])?.filter(|frame| frame.to == self.mac)
                    {
                        return Ok(Some(frame));
                    }
                }
                Err(Errno::EAGAIN) => {
                    let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
                    let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
                    if poll(&mut fds, timeout).context("poll")? == 0 {
                        return Ok(None);
                    }
                }
                Err(errno) => return Err(errno).context("receiving"),
            }
        }
    }
}

fn bind(socket: &OwnedFd, interface: u32) -> Result<(), Errno> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ETHERTYPE.to_be(),
        sll_ifindex: interface as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the address is a complete sockaddr_ll and outlives the call.
    Errno::result(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    })
    .map(drop)
}
