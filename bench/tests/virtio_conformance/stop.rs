// SPDX-License-Identifier: GPL-2.0
//! STOPPED mode.

use crate::driver::{Driver, frame};
use crate::rig::Rig;
use crate::wire::*;

fn ready(rig: &Rig) -> (Driver<'_>, Driver<'_>) {
    let mut pf = Driver::up(rig, 0, 0);
    pf.linux_admin_setup();
    (pf, Driver::up(rig, 1, 0))
}

#[test]
fn the_mode_is_idempotent_both_ways() {
    let rig = Rig::plain(1);
    let (mut pf, _vf) = ready(&rig);
    for flags in [0, 0, STOPPED, STOPPED, 0, 0] {
        assert_eq!(pf.set_mode(1, flags), S_OK);
        assert_eq!(rig.state(1)["stopped"], flags == STOPPED);
    }
    assert_eq!(pf.set_mode(1, 2), (EINVAL, Q_INVALID_FIELD));
    assert_eq!(pf.set_mode(1, 3), (EINVAL, Q_INVALID_FIELD));
    assert_eq!(rig.state(1)["stopped"], false);
}

#[test]
fn a_stopped_function_is_silent_and_answers() {
    let rig = Rig::plain(1);
    let (mut pf, mut vf) = ready(&rig);
    let waiting = vf.offer(2048);
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    rig.dma_pages("vf1");
    vf.port.take_interrupts();
    let parts = rig.parts(1);
    // Traffic in both directions, and a command.
    let sent = frame(vf.mac(), pf.mac(), b"lost");
    pf.send(&sent);
    let out = frame(pf.mac(), vf.mac(), b"kept");
    let received = pf.offer(2048);
    let (head, _) = vf.add(1, &[&[0; NET_HEADER], &out], &[]);
    vf.kick(1);
    let (command, places) = vf.add(2, &[&[CTRL_RX, CTRL_RX_PROMISC, 1]], &[1]);
    vf.kick(2);
    assert_eq!((vf.used(0), vf.used(1), vf.used(2)), (None, None, None));
    assert!(rig.dma_pages("vf1").is_empty());
    assert!(vf.port.take_interrupts().is_empty());
    assert_eq!(pf.take(received), None);
    assert_eq!(rig.counter(1, "rx_dropped"), 1);
    assert_eq!(without_select(&rig), crate::parts::without_select(&parts));
    // Registers answer.
    assert_eq!(vf.status(), 0x0f);
    assert_ne!(vf.mac(), [0; 6]);
    // What the driver left is found on resume.
    assert_eq!(pf.set_mode(1, 0), S_OK);
    assert_eq!(vf.used(1), Some((head, 0)));
    assert_eq!(pf.take(received), Some(out));
    assert_eq!(vf.used(2), Some((command, 1)));
    assert_eq!(rig.read(places[1], 1), [NET_OK]);
    let raised = vf.port.take_interrupts();
    assert!(raised.contains(&2) && raised.contains(&3), "{raised:?}");
    let again = frame(vf.mac(), pf.mac(), b"arrives");
    pf.send(&again);
    assert_eq!(vf.take(waiting), Some(again));
}

/// Breaks the stopped VF, whose queue 1 is not in use yet. The queue is not enabled.
fn break_while_stopped(vf: &Driver) {
    vf.w16(QUEUE_SELECT, 1);
    vf.w64(QUEUE_DESC, 0x1008);
    vf.w16(QUEUE_ENABLE, 1);
    assert_ne!(vf.status() & NEEDS_RESET, 0);
    assert!(vf.port.take_interrupts().is_empty(), "stopped is silent");
}

/// A VF that is up, with its first queue only and vector 0 for the configuration.
fn with_one_queue<'a>(rig: &'a Rig, vector: u16) -> Driver<'a> {
    let mut vf = Driver::new(rig, 1);
    let features = vf.offered();
    assert!(vf.negotiate(features));
    vf.w16(CONFIG_MSIX_VECTOR, vector);
    vf.enable_queue(0, 16);
    vf.drive();
    vf
}

#[test]
fn a_need_of_reset_is_told_on_resume() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    pf.linux_admin_setup();
    let vf = with_one_queue(&rig, 0);
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    break_while_stopped(&vf);
    assert_eq!(pf.set_mode(1, 0), S_OK);
    assert_eq!(vf.port.take_interrupts(), [0]);
    // Once.
    assert_eq!(pf.set_mode(1, 0), S_OK);
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    assert_eq!(pf.set_mode(1, 0), S_OK);
    assert!(vf.port.take_interrupts().is_empty());
    // Without a vector for it, in the register.
    let vf = with_one_queue(&rig, NO_VECTOR);
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    break_while_stopped(&vf);
    assert_eq!(vf.read::<1>(vf.places.isr), [0]);
    assert_eq!(pf.set_mode(1, 0), S_OK);
    assert_eq!(vf.read::<1>(vf.places.isr), [2]);
}

#[test]
fn a_need_of_reset_is_not_told_after_one() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    pf.linux_admin_setup();
    let resets: [fn(&Rig, &Driver); 2] = [|_, vf| vf.w8(DEVICE_STATUS, 0), |rig, _| rig.flr(1)];
    for reset in resets {
        let vf = with_one_queue(&rig, 0);
        assert_eq!(pf.set_mode(1, STOPPED), S_OK);
        break_while_stopped(&vf);
        reset(&rig, &vf);
        vf.w16(CONFIG_MSIX_VECTOR, 0);
        assert_eq!(pf.set_mode(1, STOPPED), S_OK);
        assert_eq!(pf.set_mode(1, 0), S_OK);
        assert!(vf.port.take_interrupts().is_empty());
    }
    // Nor where no driver is at work.
    let vf = Driver::new(&rig, 1);
    vf.w16(CONFIG_MSIX_VECTOR, 0);
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    break_while_stopped(&vf);
    assert_eq!(pf.set_mode(1, 0), S_OK);
    assert!(vf.port.take_interrupts().is_empty());
}

fn without_select(rig: &Rig) -> Vec<crate::parts::Part> {
    crate::parts::without_select(&rig.parts(1))
}

#[test]
fn resume_without_parts_raises_nothing_by_itself() {
    let rig = Rig::plain(1);
    let (mut pf, mut vf) = ready(&rig);
    vf.send(&frame([2; 6], vf.mac(), b"x"));
    vf.port.take_interrupts();
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    assert_eq!(pf.set_mode(1, 0), S_OK);
    assert!(vf.port.take_interrupts().is_empty());
}

#[test]
fn resets_of_the_function_leave_the_mode() {
    let rig = Rig::plain(1);
    let (mut pf, vf) = ready(&rig);
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    vf.w8(DEVICE_STATUS, 0);
    assert_eq!(vf.status(), 0);
    assert_eq!(rig.state(1)["stopped"], true, "a driver's reset does not");
    rig.flr(1);
    assert_eq!(rig.state(1)["stopped"], false);
}

#[test]
fn a_driver_that_comes_up_while_stopped_works_after_resume() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    pf.linux_admin_setup();
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    rig.dma_pages("vf1");
    let mut vf = Driver::up(&rig, 1, 0);
    let sent = frame([2; 6], vf.mac(), b"x");
    let (head, _) = vf.add(1, &[&[0; NET_HEADER], &sent], &[]);
    vf.kick(1);
    assert_eq!(vf.used(1), None);
    assert!(rig.dma_pages("vf1").is_empty());
    assert_eq!(pf.set_mode(1, 0), S_OK);
    assert_eq!(vf.used(1), Some((head, 0)));
}

#[test]
fn each_function_has_its_own_mode() {
    let rig = Rig::plain(2);
    let (mut pf, mut one) = ready(&rig);
    let mut two = Driver::up(&rig, 2, 0);
    assert_eq!(pf.set_mode(2, STOPPED), S_OK);
    one.send(&frame([2; 6], one.mac(), b"works"));
    let (_, _) = two.add(
        1,
        &[&[0; NET_HEADER], &frame([2; 6], [4; 6], b"waits")],
        &[],
    );
    two.kick(1);
    assert_eq!(two.used(1), None);
}

#[test]
fn a_backlog_waits_while_stopped() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    pf.linux_admin_setup();
    let mut vf = Driver::new(&rig, 1);
    let features = vf.offered();
    assert!(vf.negotiate(features));
    vf.enable_queue(0, 16);
    vf.enable_queue(1, 256);
    vf.drive();
    let sent = frame([2; 6], vf.mac(), b"burst");
    let place = vf.alloc(0x1000);
    rig.write(place, &[vec![0; NET_HEADER], sent.clone()].concat());
    for slot in 0..256 {
        vf.write_desc(1, slot, (place, (NET_HEADER + sent.len()) as u32, 0, 0));
        vf.push(1, slot);
    }
    // The worker may still have something to do when the stop comes.
    vf.kick(1);
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    let seen = rig.read_u16(vf.queues[1].used + 2);
    rig.dma_pages("vf1");
    for slot in 0..256u16 {
        if slot < seen {
            vf.push(1, slot);
        }
    }
    vf.kick(1);
    assert_eq!(rig.read_u16(vf.queues[1].used + 2), seen);
    assert!(rig.dma_pages("vf1").is_empty());
    assert_eq!(pf.set_mode(1, 0), S_OK);
    while rig.read_u16(vf.queues[1].used + 2) != 256u16.wrapping_add(seen) {
        std::thread::yield_now();
    }
}
