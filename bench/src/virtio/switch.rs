// SPDX-License-Identifier: GPL-2.0
//! A learning Ethernet switch.

use std::collections::HashMap;

use super::bytes::array;

type Mac = [u8; 6];

/// Addresses remembered at most. Beyond that nothing new is learned until a
/// port is forgotten, and frames to what is unknown go everywhere.
const TABLE_LIMIT: usize = 1024;

/// Shortest frame on a wire, without its checksum.
const MIN_ETHERNET: usize = 60;

/// A port of the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchPort {
    /// The device with this index.
    Device(usize),
    /// The host socket.
    Host,
    /// The switch of another bench.
    Link,
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    To(SwitchPort),
    /// To all ports but the one it came from.
    Flood,
    /// Nowhere: its addressee is where it came from.
    Nowhere,
}

/// The address table.
#[derive(Debug, Default)]
pub struct Switch {
    table: HashMap<Mac, SwitchPort>,
}

impl Switch {
    /// Learns the sender of a frame and looks up its addressee.
    pub fn route(&mut self, from: SwitchPort, frame: &[u8]) -> Route {
        self.learn(array(frame, 6), from);
        match self.table.get(&array::<6>(frame, 0)) {
            Some(&port) if port == from => Route::Nowhere,
            Some(&port) => Route::To(port),
            None => Route::Flood,
        }
    }

    /// Remembers where an address is. Group addresses are nowhere.
    pub fn learn(&mut self, mac: Mac, port: SwitchPort) {
        let known = self.table.contains_key(&mac);
        if mac[0] & 1 == 0 && (known || self.table.len() < TABLE_LIMIT) {
            self.table.insert(mac, port);
        }
    }

    /// Forgets all addresses at a port.
    pub fn forget(&mut self, port: SwitchPort) {
        self.table.retain(|_, &mut at| at != port);
    }
}

/// What tells other switches where an address is now: a RARP request for it, as QEMU sends
/// for the devices that it emulates. Nobody answers it.
pub fn announcement(mac: Mac) -> Vec<u8> {
    const RARP: [u8; 2] = [0x80, 0x35];
    // Ethernet, IPv4, lengths of their addresses, "request reverse".
    const REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 3];
    const NO_ADDRESS: [u8; 4] = [0; 4];
    let mut frame = [
        &[0xff; 6][..],
        &mac,
        &RARP,
        &REQUEST,
        &mac,
        &NO_ADDRESS,
        &mac,
        &NO_ADDRESS,
    ]
    .concat();
    frame.resize(MIN_ETHERNET, 0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SwitchPort = SwitchPort::Device(0);
    const B: SwitchPort = SwitchPort::Device(1);

    fn frame(to: u8, from: u8) -> Vec<u8> {
        [[2, 0, 0, 0, 0, to], [2, 0, 0, 0, 0, from]].concat()
    }

    #[test]
    fn learns_moves_and_forgets() {
        let mut switch = Switch::default();
        assert_eq!(switch.route(A, &frame(2, 1)), Route::Flood);
        assert_eq!(switch.route(B, &frame(1, 2)), Route::To(A));
        assert_eq!(switch.route(B, &frame(1, 1)), Route::Nowhere);
        switch.forget(B);
        assert_eq!(switch.route(A, &frame(2, 1)), Route::Flood);
    }

    #[test]
    fn groups_are_flooded_and_not_learned() {
        let mut switch = Switch::default();
        let all = [[0xff; 6], [0xff; 6]].concat();
        assert_eq!(switch.route(A, &all), Route::Flood);
        assert_eq!(switch.route(B, &all), Route::Flood);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut switch = Switch::default();
        for i in 0..2 * TABLE_LIMIT as u16 {
            let [high, low] = i.to_be_bytes();
            switch.learn([2, 0, 0, 0, high, low], A);
        }
        assert_eq!(switch.table.len(), TABLE_LIMIT);
        switch.learn([2, 0, 0, 0, 0, 0], B);
        assert_eq!(switch.table[&[2, 0, 0, 0, 0, 0]], B);
    }
}
