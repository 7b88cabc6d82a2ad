// SPDX-License-Identifier: GPL-2.0
//! A device's state on its way: how it is read, and whether it has arrived.

use anyhow::{Context, Result};
use vvp_harness::control::Control;
use vvp_harness::pci::Function;
use vvp_harness::vfio::{Device, State};
use vvp_harness::{expect, expect_eq, note};

use crate::config::Config;
use crate::framing;
use crate::rig;

/// How the source is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All at once, from the stopped device.
    StopCopy,
    /// First while it runs, then the rest.
    PreCopy,
}

impl Mode {
    /// As it appears in the names of tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::StopCopy => "stop_copy",
            Self::PreCopy => "pre_copy",
        }
    }
}

/// Reads the whole state of `source`, which ends in STOP_COPY.
pub fn save(source: &Device, mode: Mode) -> Result<Vec<u8>> {
    match mode {
        Mode::StopCopy => rig::save(source),
        Mode::PreCopy => {
            let mut fd = source.begin(State::PreCopy)?;
            let info = fd.precopy().context("VFIO_MIG_GET_PRECOPY_INFO")?;
            expect!(info.initial_bytes > 0, "no initial data to pre-copy");
            let mut stream = fd.read_available()?;
            expect!(!stream.is_empty(), "pre-copy gave no data");
            note!("{} bytes while running", stream.len());
            source.go(State::StopCopy)?;
            stream.append(&mut fd.read_all()?);
            Ok(stream)
        }
    }
}

/// The device parts of both functions, as far as a migration makes them equal: a device
/// may verify those of the common configuration and keep its own.
pub fn moved_parts(control: &mut Control, from: &str, to: &str) -> Result<(Vec<u8>, Vec<u8>)> {
    let (sent, received) = (control.parts(from)?, control.parts(to)?);
    if control.state()?.choices.verify_common_cfg {
        return Ok((
            framing::without_common_cfg(&sent)?,
            framing::without_common_cfg(&received)?,
        ));
    }
    Ok((sent, received))
}

/// What the bench says of both functions must be the same.
pub fn compare_parts(config: &Config, source: &Function, target: &Function) -> Result<()> {
    let mut control: Control = config.control()?;
    let (from, to) = (config.bench_name(source)?, config.bench_name(target)?);
    let (sent, received) = moved_parts(&mut control, &from, &to)?;
    expect!(!sent.is_empty(), "the source has no device parts");
    if sent != received {
        let at = sent
            .iter()
            .zip(&received)
            .take_while(|(a, b)| a == b)
            .count();
        anyhow::bail!(
            "device parts differ from byte {at:#x} on: source ({} bytes) {:02x?}, target ({} bytes) {:02x?}",
            sent.len(),
            sent.get(at & !15..(at + 48).min(sent.len()))
                .unwrap_or_default(),
            received.len(),
            received
                .get(at & !15..(at + 48).min(received.len()))
                .unwrap_or_default(),
        );
    }
    note!("{} bytes of device parts are equal", sent.len());
    let state = control.state()?;
    let (sent, received) = (state.function(&from)?, state.function(&to)?);
    expect_eq!(received.status, sent.status, "device status");
    expect_eq!(received.features, sent.features, "negotiated features");
    expect_eq!(received.mac, sent.mac, "hardware address");
    let rings = |function: &vvp_harness::control::FunctionState| -> Vec<_> {
        let queues = function.queues.iter();
        queues
            .map(|q| {
                (
                    q.index, q.size, q.enabled, q.vector, q.desc, q.driver, q.device,
                )
            })
            .collect()
    };
    expect_eq!(rings(received), rings(sent), "queues");
    Ok(())
}
