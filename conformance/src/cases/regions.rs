// SPDX-License-Identifier: GPL-2.0
//! Configuration space, interrupts and registers of a device that is stopped.

use crate::fsm::State;
use crate::rules;
use crate::skip;
use crate::trial::{Case, End, Trial, Verdict};
use crate::uapi::{self, PCI_BAR0_REGION, PCI_CONFIG_REGION, PCI_MSIX_IRQ, REGION_INFO_FLAG_READ};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for state in [State::Stop, State::StopCopy, State::Resuming] {
        cases.push(Case::new(
            format!("stopped.config_space_in.{state}"),
            &rules::FSM_STOPPED,
            move |trial| config_space(trial, state),
        ));
        cases.push(Case::new(
            format!("stopped.information_in.{state}"),
            &rules::FSM_STOPPED,
            move |trial| information(trial, state),
        ));
        cases.push(Case::new(
            format!("stopped.registers_in.{state}"),
            &rules::FSM_STOPPED,
            move |trial| registers(trial, state),
        ));
    }
    cases
}

fn require_pci(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    if trial.device()?.info_flags()? & uapi::DEVICE_FLAGS_PCI == 0 {
        skip!("it is no PCI device");
    }
    Ok(())
}

/// Vendor and device as the configuration space has them.
fn ids(trial: &Trial<'_>) -> Result<[u8; 4], End> {
    let device = trial.device()?;
    let (_, _, offset) = device.region(PCI_CONFIG_REGION).map_err(|errno| {
        End::Error(format!("information on the configuration space: {errno:?}"))
    })?;
    let mut ids = [0; 4];
    device
        .read_region(offset, &mut ids)
        .map_err(|errno| End::Error(format!("reading the configuration space: {errno:?}")))?;
    Ok(ids)
}

fn config_space(trial: &Trial<'_>, state: State) -> Verdict {
    require_pci(trial)?;
    let before = ids(trial)?;
    let _data = trial.enter(state)?;
    let now = ids(trial)?;
    trial.check(now == before, || {
        format!("vendor and device are {now:x?} in {state}, not {before:x?}")
    });
    Ok(())
}

fn information(trial: &Trial<'_>, state: State) -> Verdict {
    require_pci(trial)?;
    let device = trial.device()?;
    let ask = || {
        (
            device.info_flags().ok(),
            device.region(PCI_BAR0_REGION),
            device.interrupts(PCI_MSIX_IRQ),
        )
    };
    let before = ask();
    let _data = trial.enter(state)?;
    let now = ask();
    trial.check(now == before, || {
        format!("in {state} it says {now:?}, not {before:?}")
    });
    Ok(())
}

/// The user must not do so; the device may answer anything, and must be usable afterwards.
fn registers(trial: &Trial<'_>, state: State) -> Verdict {
    require_pci(trial)?;
    let device = trial.device()?;
    let Ok((flags, size, offset)) = device.region(PCI_BAR0_REGION) else {
        skip!("there is no BAR 0");
    };
    if size < 4 || flags & REGION_INFO_FLAG_READ == 0 {
        skip!("BAR 0 cannot be read");
    }
    {
        let _data = trial.enter(state)?;
        for at in (0..size.min(256)).step_by(4) {
            let _ = device.read_region(offset + at, &mut [0; 4]);
        }
        let now = device.state()?;
        trial.check(now == state, || {
            format!("reading registers leads from {state} to {now}")
        });
    }
    if state == State::Resuming {
        if device.reset().is_err() {
            skip!("the device cannot be reset");
        }
    } else {
        device.go(State::Running)?;
    }
    trial.prove_device(device)?;
    Ok(())
}
