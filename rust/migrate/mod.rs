// SPDX-License-Identifier: GPL-2.0

//! Migration of a virtio virtual function: the arcs of VFIO's state machine in
//! terms of virtio's device parts commands.

mod context;
mod estimate;
mod loader;
mod outgoing;
mod params;
mod saver;

use crate::{
    dirty,
    observe::Observer,
    vfio::{
        self,
        ArcError, //
    },
    virtio, //
};
use kernel::{
    device::Core,
    pci,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};
use estimate::Estimate;
use loader::Loader;
use params::PrecopyInterval;
use saver::Saver;

/// Virtio device types that are tested.
const NETWORK: u16 = 1;
/// See [`NETWORK`].
const BLOCK: u16 = 2;

/// The driver.
pub(crate) struct VirtioVf;

#[vtable]
impl vfio::Driver for VirtioVf {
    type Migration = Migration;
    #[cfg(CONFIG_VIRTIO_PCI_ADMIN_LEGACY)]
    type Regions = crate::legacy_io::Transitional;
    #[cfg(not(CONFIG_VIRTIO_PCI_ADMIN_LEGACY))]
    type Regions = vfio::NoRegions;
    type DmaLog = dirty::Log;

    const NAME: &'static CStr = c"virtio-vfio-pci-rs";
    const SETTINGS: vfio::Settings<Self> = vfio::Settings::one::<PrecopyInterval>();

    fn probe(pdev: &pci::Device<Core<'_>>) -> Result<Option<Migration>> {
        // With `driver_override` set, PCI offers devices that the id table does not have.
        match virtio::device_type(pdev) {
            Some(NETWORK | BLOCK) => {}
            Some(_) if params::any_device_type() => {}
            Some(device_type) => {
                dev_err!(
                    pdev,
                    "not bound: virtio device type {} is untried; load the module with any_device_type=1 to try\n",
                    device_type
                );
                return Err(ENODEV);
            }
            None => {
                dev_err!(pdev, "not bound: no virtio device\n");
                return Err(ENODEV);
            }
        }
        if !virtio::Member::is_one(pdev) {
            dev_info!(
                pdev,
                "no live migration: no PF with an admin virtqueue and device parts commands\n"
            );
            return Ok(None);
        }
        let observer = Observer::new(pdev)?;
        let member = virtio::Member::new(pdev, observer)?;
        Ok(Some(Migration {
            slot: virtio::SharedSlot::new(&member)?,
            estimate: Estimate::new()?,
            member,
            may_be_stopped: Atomic::new(false),
            precopy_interval: PrecopyInterval::new()?,
        }))
    }

    #[cfg(CONFIG_VIRTIO_PCI_ADMIN_LEGACY)]
    fn regions(
        pdev: &pci::Device<Core<'_>>,
        migration: Option<&Migration>,
    ) -> Result<Option<Pin<KBox<Self::Regions>>>> {
        if !crate::legacy_io::Transitional::is_possible(pdev) {
            return Ok(None);
        }
        let observer = match migration {
            Some(migration) => migration.member.observer().clone(),
            None => Observer::new(pdev)?,
        };
        // Of its own: a guest's access is not to wait for a migration's command.
        let member = virtio::Member::new(pdev, observer)?;
        crate::legacy_io::Transitional::new(pdev, member).map(Some)
    }

    fn dma_log(pdev: &pci::Device<Core<'_>>) -> Result<Option<Pin<KBox<dirty::Log>>>> {
        dirty::Log::new(pdev)
    }
}

/// Migration of one virtual function.
pub(crate) struct Migration {
    member: Arc<virtio::Member>,
    slot: virtio::SharedSlot,
    estimate: Estimate,
    /// False only if we know the device to be out of stopped mode. Changes with
    /// the state lock held.
    may_be_stopped: Atomic<bool>,
    precopy_interval: Arc<PrecopyInterval>,
}

impl Migration {
    /// Sets or ends the stopped mode.
    fn set_stopped(&self, stopped: bool) -> Result {
        // Should setting it fail, the mode is in doubt; ending it twice is allowed.
        if stopped {
            self.may_be_stopped.store(true, Relaxed);
        }
        self.member.set_stopped(stopped)?;
        self.may_be_stopped.store(stopped, Relaxed);
        Ok(())
    }

    /// A reset need not end the stopped mode (virtio 1.4 does not say), and a
    /// device that stays stopped is of no use to its next user.
    fn leave_stopped_mode(&self) {
        if let Err(error) = self.set_stopped(false) {
            dev_warn!(
                self.member.device(),
                "device may be stuck in stopped mode: {:?}\n",
                error
            );
        }
    }
}

impl vfio::Migration for Migration {
    type Save = Saver;
    type Resume = Loader;

    const PRE_COPY: bool = true;

    fn opened(&self) {
        self.estimate.forget();
        // Whoever had the device before us may have been another driver.
        self.leave_stopped_mode();
    }

    fn disabled(&self) {
        // The next user may be a driver that knows of no stopped mode. Without bus mastering, the
        // device does no harm to the memory of the last.
        if self.may_be_stopped.load(Relaxed) {
            self.leave_stopped_mode();
        }
    }

    fn reset_done(&self) {
        self.estimate.forget();
        if self.may_be_stopped.load(Relaxed) {
            self.leave_stopped_mode();
        }
    }

    fn quiesce(&self) -> Result<(), ArcError> {
        Ok(self.set_stopped(true)?)
    }

    fn unquiesce(&self) -> Result<(), ArcError> {
        Ok(self.set_stopped(false)?)
    }

    // A device in stopped mode starts no DMA, and its state changes by accesses
    // only: RUNNING_P2P and STOP are one to it.
    fn stop(&self) -> Result<(), ArcError> {
        Ok(())
    }

    fn start(&self) -> Result<(), ArcError> {
        Ok(())
    }

    fn save(&self) -> Result<Saver, ArcError> {
        Ok(Saver::stopped(self.slot.session())?)
    }

    fn pre_copy(&self, reinit: bool) -> Result<Saver, ArcError> {
        Ok(Saver::running(
            self.slot.session(),
            &self.precopy_interval,
            reinit,
        )?)
    }

    fn pre_copy_done(&self, saver: &mut Saver) -> Result<(), ArcError> {
        Ok(saver.complete()?)
    }

    fn resume(&self) -> Result<Loader, ArcError> {
        Ok(Loader::new(self.slot.session())?)
    }

    fn data_size(&self, saving: Option<&mut Saver>) -> Result<u64> {
        match saving {
            Some(saver) => saver.stop_copy_size(),
            None => self.estimate.bytes(&self.slot, &self.precopy_interval),
        }
    }

    fn walked(&self, arc: &vfio::Walked) {
        self.member.observer().walked(arc);
    }

    fn entered(&self, state: vfio::State) {
        self.member.observer().entered(state);
    }
}
