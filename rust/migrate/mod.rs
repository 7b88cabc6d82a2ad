// SPDX-License-Identifier: GPL-2.0

//! Migration of a virtio virtual function: the transitions of VFIO's state machine in
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
    sysfs,
    vfio::{
        self,
        Capabilities,
        OpenDevice,
        TransitionError, //
    },
    virtio, //
};
use estimate::Estimate;
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
use loader::Loader;
use params::{
    PrecopyInterval,
    StreamChecksum, //
};
use saver::Saver;

/// Virtio device types that are tested.
const NETWORK: u16 = 1;
/// See [`NETWORK`].
const BLOCK: u16 = 2;

/// The driver.
pub(crate) struct VirtioVf;

impl vfio::Driver for VirtioVf {
    type Migration = Migration;
    #[cfg(CONFIG_VIRTIO_PCI_ADMIN_LEGACY)]
    type Regions = crate::legacy_io::Transitional;
    #[cfg(not(CONFIG_VIRTIO_PCI_ADMIN_LEGACY))]
    type Regions = vfio::NoRegions;
    type DmaLog = dirty::Log;

    const NAME: &'static CStr = c"virtio-vfio-pci-rs";
    const IDS: vfio::Ids = &crate::ID_TABLE;

    fn probe(pdev: &pci::Device<Core<'_>>) -> Result<Capabilities<Self>> {
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
        let migration = Migration::new(pdev)?;
        let dma_log = match &migration {
            Some(migration) => dirty::Log::new(pdev, migration.dma_logging.clone())?,
            None => None,
        };
        Ok(Capabilities {
            regions: regions(pdev, migration.as_ref())?,
            migration,
            dma_log,
        })
    }
}

#[cfg(CONFIG_VIRTIO_PCI_ADMIN_LEGACY)]
fn regions(
    pdev: &pci::Device<Core<'_>>,
    migration: Option<&Migration>,
) -> Result<Option<Pin<KBox<crate::legacy_io::Transitional>>>> {
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

#[cfg(not(CONFIG_VIRTIO_PCI_ADMIN_LEGACY))]
fn regions(
    _pdev: &pci::Device<Core<'_>>,
    _migration: Option<&Migration>,
) -> Result<Option<Pin<KBox<vfio::NoRegions>>>> {
    Ok(None)
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
    stream_checksum: Arc<StreamChecksum>,
    /// Shared with the device's log.
    dma_logging: Arc<dirty::DevicePolicy>,
}

impl Migration {
    /// The migration of a device that is being bound, `None` if it cannot be migrated.
    ///
    /// # Errors
    ///
    /// ENOMEM, or why sysfs does not take a file.
    fn new(pdev: &pci::Device<Core<'_>>) -> Result<Option<Self>> {
        if !virtio::Member::has_device_parts(pdev) {
            dev_info!(
                pdev,
                "no live migration: no PF with an admin virtqueue and device parts commands\n"
            );
            return Ok(None);
        }
        let member = virtio::Member::new(pdev, Observer::new(pdev)?)?;
        let precopy_interval = PrecopyInterval::new()?;
        let stream_checksum = StreamChecksum::new()?;
        let dma_logging = dirty::DevicePolicy::new()?;
        sysfs::create(pdev.as_ref(), precopy_interval.clone())?;
        sysfs::create(pdev.as_ref(), stream_checksum.clone())?;
        #[cfg(CONFIG_IOMMUFD_DRIVER)]
        sysfs::create(pdev.as_ref(), dma_logging.clone())?;
        Ok(Some(Self {
            slot: virtio::SharedSlot::new(&member)?,
            estimate: Estimate::new()?,
            member,
            may_be_stopped: Atomic::new(false),
            precopy_interval,
            stream_checksum,
            dma_logging,
        }))
    }

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
            self.member.observer().warn(format_args!(
                "device may be stuck in stopped mode: {error:?}"
            ));
        }
    }
}

#[vtable]
impl vfio::Migration for Migration {
    type Save = Saver;
    type Resume = Loader;

    fn opened(&self, _device: &OpenDevice) -> Result {
        self.estimate.forget();
        // Whoever had the device before us may have been another driver.
        self.leave_stopped_mode();
        Ok(())
    }

    fn closed(&self, _device: &OpenDevice) {
        self.estimate.forget();
        self.slot.release();
    }

    fn disabled(&self) {
        // The next user may be a driver that knows of no stopped mode. Without bus mastering, the
        // device does no harm to the memory of the last.
        if self.may_be_stopped.load(Relaxed) {
            self.leave_stopped_mode();
        }
    }

    fn reset_done(&self, _device: &OpenDevice) {
        self.estimate.forget();
        self.slot.release();
        if self.may_be_stopped.load(Relaxed) {
            self.leave_stopped_mode();
        }
    }

    fn quiesce(&self, _device: &OpenDevice) -> Result<(), TransitionError> {
        Ok(self.set_stopped(true)?)
    }

    fn unquiesce(&self, _device: &OpenDevice) -> Result<(), TransitionError> {
        self.set_stopped(false)?;
        // What a session has left, now that the guest runs.
        self.slot.release_left();
        Ok(())
    }

    // A device in stopped mode starts no DMA, and its state changes by accesses
    // only: RUNNING_P2P and STOP are one to it, without a transition between them.

    fn save(&self, _device: &OpenDevice) -> Result<Saver, TransitionError> {
        Ok(Saver::stopped(
            self.slot.begin_use(),
            self.estimate.prepared(),
            self.stream_checksum.wanted(),
        )?)
    }

    fn pre_copy(&self, _device: &OpenDevice) -> Result<Saver, TransitionError> {
        Ok(Saver::running(
            self.slot.begin_use(),
            self.estimate.prepared(),
            self.stream_checksum.wanted(),
            &self.precopy_interval,
        )?)
    }

    fn pre_copy_done(
        &self,
        _device: &OpenDevice,
        saver: &mut Saver,
    ) -> Result<(), TransitionError> {
        Ok(saver.complete()?)
    }

    fn resume(&self, _device: &OpenDevice) -> Result<Loader, TransitionError> {
        self.estimate.forget();
        Ok(Loader::new(self.slot.begin_use())?)
    }

    fn loaded(&self, _device: &OpenDevice, loader: &mut Loader) -> Result<(), TransitionError> {
        self.estimate.forget();
        loader.finish()
    }

    fn watcher(&self) -> Option<&dyn vfio::Watcher> {
        Some(&**self.member.observer())
    }

    fn data_size(&self, _device: &OpenDevice, saving: Option<&mut Saver>) -> Result<u64> {
        match saving {
            Some(saver) => Ok(saver.stop_copy_size()),
            None => self.estimate.bytes(&self.slot, &self.precopy_interval),
        }
    }
}
