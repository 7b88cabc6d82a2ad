// SPDX-License-Identifier: GPL-2.0
//! Several sockets at once: traffic, stop and resume, resets and questions.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::driver::{Driver, frame};
use crate::rig::Rig;
use crate::wire::*;

const ROUNDS: u8 = 200;

#[test]
fn all_at_once() {
    let rig = Rig::plain(3);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // VF 1 and VF 2 send to each other without pause.
        for (index, to) in [(1, 2), (2, 1)] {
            let (rig, done) = (&rig, &done);
            scope.spawn(move || {
                let mut driver = Driver::up(rig, index, 0);
                let to = Driver::new(rig, to).mac();
                let sent = frame(to, driver.mac(), &[index as u8; 200]);
                let place = driver.alloc(0x1000);
                rig.write(place, &[vec![0; NET_HEADER], sent.clone()].concat());
                let len = (NET_HEADER + sent.len()) as u32;
                let mut slot = 0;
                // At least once, however late this thread is.
                loop {
                    driver.write_desc(1, slot, (place, len, 0, 0));
                    driver.push(1, slot);
                    driver.kick(1);
                    // A stopped device answers later.
                    while driver.used(1).is_none() && !done.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    slot = (slot + 1) % 16;
                }
            });
        }
        // VF 3 comes and goes.
        let (third, stop) = (&rig, &done);
        scope.spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let mut driver = Driver::up(third, 3, 0);
                driver.offer(2048);
                third.flr(3);
            }
        });
        // The test's own thread is the PF's.
        let mut pf = Driver::up(&rig, 0, 0);
        pf.linux_admin_setup();
        for round in 0..ROUNDS {
            let vf = u64::from(round % 3) + 1;
            assert_eq!(pf.set_mode(vf, STOPPED), S_OK);
            let before = rig.parts(vf as usize);
            assert!(!before.is_empty());
            assert_eq!(pf.set_mode(vf, 0), S_OK);
        }
        done.store(true, Ordering::SeqCst);
    });
    for index in 0..3 {
        assert_eq!(rig.state(index)["status"], 0x0f, "function {index}");
    }
    assert!(rig.counter(1, "tx_frames") > 0 && rig.counter(2, "tx_frames") > 0);
}
