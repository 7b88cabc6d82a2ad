// SPDX-License-Identifier: GPL-2.0
//! QEMU without a manager, on either host.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use vvp_harness::kmod;
use vvp_harness::pci::Function;

use super::domain;
use super::far::Far;
use super::ground::Role;
use crate::host::common::Common;
use crate::host::tracking::{Container, Migratable, Tracking};
use crate::host::transfer;
use crate::host::vmm::qemu::Qemu;
use crate::host::vmm::{Image, Program, RunState, Vmm};
use crate::host::way::{Route, Transfer};

/// TCP port of the migration.
const PORT: u16 = 7010;
/// How long, in milliseconds, the guest may stand still: all of its memory is sent
/// meanwhile, from one emulated host to another.
const DOWNTIME: u64 = 60_000;
/// The name of QEMU's sockets and logs.
const NAME: &str = "hosts";

/// Binds the function to our driver.
pub fn bind(vf: &Function) -> Result<()> {
    kmod::load(kmod::OURS, "")?;
    vf.bind(kmod::OURS)
}

/// A QEMU that has the guest, or waits for it.
pub struct Alone {
    vm: Box<dyn Vmm>,
}

impl Alone {
    /// Starts the guest.
    pub fn start(common: &Common, vf: &Function) -> Result<Self> {
        Self::launch(common, vf, false)
    }

    /// Has QEMU wait for the guest from the other host.
    pub fn expect(common: &Common, vf: &Function) -> Result<Self> {
        let mut alone = Self::launch(common, vf, true)?;
        alone.vm.expect(&to(Role::Target))?;
        Ok(alone)
    }

    fn launch(common: &Common, vf: &Function, incoming: bool) -> Result<Self> {
        let image = Image {
            kernel: common.kernel_image()?,
            initrd: common.initrd.clone(),
            append: String::new(),
            disguised: false,
            reboots: false,
            memory: common.memory,
            tracking: Tracking {
                container: Container::Type1,
                enable_migration: Migratable::Auto,
                downtime_limit: Some(DOWNTIME),
                dma_logging: None,
            },
            virtual_iommu: None,
            logs: common.logs.clone(),
            sockets: PathBuf::from("/tmp"),
        };
        let vm = Qemu::default().start(NAME, &image, std::slice::from_ref(vf), incoming)?;
        // Where the other manager has them.
        for (ours, place) in [
            (vm.control(), domain::CONTROL),
            (vm.console(), domain::CONSOLE),
        ] {
            let ours = std::path::absolute(ours).with_context(|| format!("{ours:?}"))?;
            let _ = std::fs::remove_file(place);
            std::os::unix::fs::symlink(&ours, place)
                .with_context(|| format!("linking {place} to {ours:?}"))?;
        }
        Ok(Self { vm })
    }

    /// Sends the guest to the other host. The figures, if it gets there, or why it did not.
    pub fn migrate(&mut self, far: &mut Far) -> Result<Result<String, String>> {
        far.expect()?;
        self.vm.limit_downtime(DOWNTIME)?;
        self.vm.send(&to(Role::Target))?;
        let migration =
            transfer::wait_until_ended(self.vm.as_mut()).with_context(|| self.vm.last_words())?;
        if !migration.completed() {
            let failure = migration.failure.unwrap_or_default();
            return Ok(Err(format!("{}: {failure}", migration.status)));
        }
        let figure = |value: Option<u64>| value.map_or("?".to_string(), |value| value.to_string());
        Ok(Ok(format!(
            "downtime {} ms, {} ms in all, {} bytes of memory; dirty pages reported by {}",
            figure(migration.downtime_ms),
            figure(migration.total_ms),
            figure(migration.ram_bytes),
            self.vm.dirty_tracker()?.name()
        )))
    }

    /// Fails if QEMU has ended.
    pub fn check(&mut self) -> Result<()> {
        self.vm.check()
    }

    /// Ends a QEMU that the guest has left.
    pub fn quit(mut self) -> Result<()> {
        let state = self.vm.run_state()?;
        if state != RunState::Left {
            bail!("the source is '{}' after the migration", state.name());
        }
        self.vm.quit()
    }

    /// Waits until QEMU has ended with its guest.
    pub fn ended(self) -> Result<()> {
        self.vm.ended()
    }
}

fn to(role: Role) -> Transfer {
    Transfer {
        route: Route::Tcp(role.place(PORT).to_string()),
        ..Transfer::live()
    }
}
