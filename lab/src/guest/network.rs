// SPDX-License-Identifier: GPL-2.0
//! Gives the interface its static address, as `ip addr add` and `ip link set up`
//! would. There is no other program in the guest that could do it.

use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use libc::{c_short, ifreq, sockaddr, sockaddr_in};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// Kernel parameters by which an interface answers for its own addresses only. All
/// functions are on one Ethernet, and none may carry the traffic of another.
const ARP: [(&str, &str); 2] = [
    ("/proc/sys/net/ipv4/conf/all/arp_ignore", "1"),
    ("/proc/sys/net/ipv4/conf/all/arp_announce", "2"),
];

/// Sets address and prefix of `interface` and brings it up.
pub fn configure(interface: &str, address: Ipv4Addr, prefix: u8) -> Result<()> {
    for (path, value) in ARP {
        fs::write(path, value).with_context(|| format!("writing {path}"))?;
    }
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .context("socket for interface requests")?;
    let mut request = named(interface)?;
    request.ifr_ifru.ifru_addr = to_sockaddr(address);
    call(&socket, libc::SIOCSIFADDR, &mut request).context("setting the address")?;
    request.ifr_ifru.ifru_netmask = to_sockaddr(netmask(prefix));
    call(&socket, libc::SIOCSIFNETMASK, &mut request).context("setting the netmask")?;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as c_short;
    call(&socket, libc::SIOCSIFFLAGS, &mut request).context("bringing the interface up")?;
    Ok(())
}

/// An empty request for `interface`.
fn named(interface: &str) -> Result<ifreq> {
    // SAFETY: all of ifreq's members are plain integers, for which zero is valid.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    ensure!(
        interface.len() < request.ifr_name.len(),
        "interface name '{interface}' is too long"
    );
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// One of the SIOCSIF requests.
fn call(socket: &OwnedFd, number: libc::c_ulong, request: &mut ifreq) -> Result<(), Errno> {
    // SAFETY: the SIOCSIF requests take a pointer to an ifreq, which is live and
    // exclusively borrowed for the duration of the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), number as _, request as *mut ifreq) };
    Errno::result(result).map(drop)
}

fn netmask(prefix: u8) -> Ipv4Addr {
    let host_bits = 32 - u32::from(prefix.min(32));
    Ipv4Addr::from(u32::MAX.checked_shl(host_bits).unwrap_or(0))
}

fn to_sockaddr(address: Ipv4Addr) -> sockaddr {
    let internet = sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(address.octets()),
        },
        sin_zero: [0; 8],
    };
    // SAFETY: sockaddr_in is made to be passed as sockaddr: both have 16 bytes
    // of plain integers.
    unsafe { std::mem::transmute::<sockaddr_in, sockaddr>(internet) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netmasks() {
        assert_eq!(netmask(24), Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(netmask(32), Ipv4Addr::new(255, 255, 255, 255));
        assert_eq!(netmask(0), Ipv4Addr::new(0, 0, 0, 0));
    }

    #[test]
    fn long_names_are_refused() {
        assert!(named("eth0").is_ok());
        assert!(named("a-name-of-sixteen").is_err());
    }
}
