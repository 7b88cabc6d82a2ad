// SPDX-License-Identifier: GPL-2.0
//! What the module's pre-copy rests on: a function that has another's parts, and
//! is given those that changed since, has the other's parts again.

use logic::delta::{Change, Span, compare};
use proptest::prelude::*;

use crate::driver::Driver;
use crate::rig::Rig;
use crate::wire::*;

/// What a guest does.
#[derive(Clone, Debug)]
enum Activity {
    Address(u8),
    Table(Vec<u8>),
    Mode(u8, bool),
    AddVlan(u8),
    RemoveVlan(u8),
    Send,
    /// The driver starts anew, without these features.
    Restart(u64),
}

fn activity() -> impl Strategy<Value = Activity> {
    let without = prop_oneof![Just(0), Just(F_EVENT_IDX), Just(F_CTRL_VLAN)];
    prop_oneof![
        any::<u8>().prop_map(Activity::Address),
        prop::collection::vec(any::<u8>(), 0..5).prop_map(Activity::Table),
        (0..2u8, any::<bool>()).prop_map(|(mode, on)| Activity::Mode(mode, on)),
        (1..9u8).prop_map(Activity::AddVlan),
        (1..9u8).prop_map(Activity::RemoveVlan),
        Just(Activity::Send),
        without.prop_map(Activity::Restart),
    ]
}

fn act<'a>(rig: &'a Rig, vf: &mut Driver<'a>, activity: &Activity) {
    // Refused where the feature was not negotiated, which is also something to happen.
    match activity {
        Activity::Address(last) => {
            vf.control(CTRL_MAC, CTRL_MAC_ADDR_SET, &[2, 0, 0, 0, 7, *last]);
        }
        Activity::Table(lasts) => {
            let mut table = (lasts.len() as u32).to_le_bytes().to_vec();
            table.extend(lasts.iter().flat_map(|last| [2, 0, 0, 0, 8, *last]));
            table.extend([0; 4]);
            vf.control(CTRL_MAC, CTRL_MAC_TABLE_SET, &table);
        }
        Activity::Mode(mode, on) => {
            vf.control(CTRL_RX, *mode, &[u8::from(*on)]);
        }
        Activity::AddVlan(id) => {
            vf.control(CTRL_VLAN, CTRL_VLAN_ADD, &[*id, 0]);
        }
        Activity::RemoveVlan(id) => {
            vf.control(CTRL_VLAN, CTRL_VLAN_DEL, &[*id, 0]);
        }
        Activity::Send => vf.send(&[0x5a; 60]),
        Activity::Restart(without) => {
            vf.w8(DEVICE_STATUS, 0);
            *vf = Driver::up(rig, 1, *without);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn deltas_make_the_target_equal(rounds in prop::collection::vec(
        prop::collection::vec(activity(), 0..4), 1..8,
    )) {
        let rig = Rig::plain(2);
        let mut pf = Driver::up(&rig, 0, 0);
        pf.linux_admin_setup();
        prop_assert_eq!(pf.create(2, 0, OBJ_SET), S_OK);
        prop_assert_eq!(pf.set_mode(2, STOPPED), S_OK);
        let mut vf = Driver::up(&rig, 1, 0);
        let mut sent = rig.parts(1);
        prop_assert_eq!(pf.set_parts(2, 0, &sent), S_OK);
        for round in rounds {
            for activity in &round {
                act(&rig, &mut vf, activity);
            }
            let now = rig.parts(1);
            let mut notes = [Span::default(); 64];
            match compare(&sent, &now, &mut notes).unwrap().change {
                Change::Nothing => prop_assert_eq!(&sent, &now),
                Change::Values(values) => {
                    let places = values.ranges(&sent, &now, &notes);
                    let delta: Vec<u8> = places.flat_map(|place| now[place].to_vec()).collect();
                    prop_assert!(delta.len() < now.len());
                    prop_assert_eq!(pf.set_parts(2, 0, &delta), S_OK);
                }
                Change::Shape => prop_assert_eq!(pf.set_parts(2, 0, &now), S_OK),
            }
            prop_assert_eq!(rig.parts(2), now.clone());
            sent = now;
        }
    }
}
