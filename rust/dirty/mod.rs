// SPDX-License-Identifier: GPL-2.0

//! DMA logging: which memory the device has written.
//!
//! Virtio devices keep no log, so what is reported comes from the dirty bits of
//! the domain that iommufd has attached the device to ([`tracked`]), if that is
//! wanted, and otherwise is everything: a page that may have been written and that
//! nobody tracks is dirty, each time somebody asks ([`LogSource::Everything`]).
//! Whether a device has a log at all is settled each time it is opened.
//! Documentation/dirty-tracking.rst says when it is which, and whose the dirty
//! bits are.

mod policy;
mod tracked;

use crate::{
    compat::{
        DIRTY_BITS_ARE_LOST,
        EOPNOTSUPP, //
    },
    logic::{
        dma_log::{
            page_size,
            LogSource,
            User, //
        }, //
    },
    vfio::{
        self,
        merge,
        Attachment,
        Bitmap,
        Container,
        Ranges,
        Span, //
    }, //
};
use kernel::{
    bindings,
    device::Core,
    new_mutex,
    pci,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};
pub(crate) use policy::DevicePolicy;
use tracked::Tracked;

/// Says in the kernel's log, when the module is loaded, if it cannot read dirty bits.
pub(crate) fn init() {
    if DIRTY_BITS_ARE_LOST {
        pr_info!("this kernel loses dirty bits of the IOMMU: they are not read\n");
    } else {
        vfio::dirty_bits_readable();
    }
}

/// The DMA log of one device.
///
/// The lock is taken with VFIO's `dev_set` lock held, or without; under it come
/// iommufd's locks, and user memory is accessed.
#[pin_data]
pub(crate) struct Log {
    policy: Arc<DevicePolicy>,
    iommu_tracks: bool,
    #[pin]
    opened: Mutex<Opened>,
}

/// The log of a device from its opening to its closing.
struct Opened {
    /// `None` if there is no logging for whom the device was opened.
    source: Option<LogSource>,
    started: Option<Started>,
}

/// A log from its start to its stop.
struct Started {
    /// What userspace wants logged: sorted, and no two touch.
    ranges: KVec<Span>,
    memory: Memory,
}

/// What is known of the memory that is logged.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one for each device, and it is the large one that matters"
)]
enum Memory {
    /// The dirty bits of a domain.
    Tracked(Tracked),
    /// Nothing: the device was attached to another domain, or none. Bits that
    /// nobody read are in the old one, and what was written until the new one
    /// could track is in none.
    Lost,
    /// All of it may have been written.
    Everything,
}

impl Started {
    fn lose_domain(&mut self) {
        if let Memory::Tracked(_) = self.memory {
            self.memory = Memory::Lost;
        }
    }
}

impl Log {
    /// The log of a device, if there can be one.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn new(
        pdev: &pci::Device<Core<'_>>,
        policy: Arc<DevicePolicy>,
    ) -> Result<Option<Pin<KBox<Self>>>> {
        // Without iommufd's bitmaps VFIO answers no question about a log.
        if cfg!(not(CONFIG_IOMMUFD_DRIVER)) {
            return Ok(None);
        }
        let log = try_pin_init!(Self {
            policy,
            iommu_tracks: vfio::iommu_tracks(pdev),
            opened <- new_mutex!(Opened { source: None, started: None }, "dma_log"),
        });
        KBox::pin_init(log, GFP_KERNEL).map(Some)
    }
}

/// Bitmap of the page sizes for which "everything" can be reported.
const ANY_SIZE: u64 = !0 << bindings::PAGE_SHIFT;

impl vfio::DmaLog for Log {
    fn opened(&self, container: Container) -> bool {
        let user = User {
            has_page_tables: container == Container::Iommufd,
            iommu_tracks: self.iommu_tracks,
        };
        let source = self
            .policy
            .policy()
            .source(user)
            .filter(|&source| match source {
                LogSource::Iommu => vfio::dirty_bits_readable(),
                LogSource::Everything => true,
            });
        self.opened.lock().source = source;
        source.is_some()
    }

    fn start(&self, at: &Attachment<'_>, ranges: Ranges<'_>, wanted: u64) -> Result<u64> {
        let mut opened = self.opened.lock();
        if opened.started.is_some() || !wanted.is_power_of_two() {
            return Err(EINVAL);
        }
        // VMMs name the hull of what they may map, part of which the device may not reach now, but
        // in the address space that it is attached to next.
        let mut list = KVec::new();
        for range in ranges {
            list.push(range?, GFP_KERNEL_ACCOUNT)?;
        }

        let (memory, able) = match opened.source.ok_or(ENOTTY)? {
            LogSource::Iommu => {
                let (tracked, sizes) = Tracked::start(at)?.ok_or(EOPNOTSUPP)?;
                (Memory::Tracked(tracked), sizes)
            }
            LogSource::Everything => (Memory::Everything, ANY_SIZE),
        };
        let size = page_size(wanted, able).ok_or(EINVAL)?;

        // A page of which a part is logged is logged.
        for range in list.iter_mut() {
            *range = range.whole_pages(able.trailing_zeros());
        }
        let count = merge(&mut list);
        list.truncate(count);
        opened.started = Some(Started {
            ranges: list,
            memory,
        });
        Ok(size)
    }

    fn stop(&self) -> Result {
        let mut opened = self.opened.lock();
        opened.started.take().map(|_| ()).ok_or(EINVAL)
    }

    fn read_and_clear(&self, at: &Attachment<'_>, window: Span, bitmap: &mut Bitmap<'_>) -> Result {
        let mut opened = self.opened.lock();
        let started = opened.started.as_mut().ok_or(EINVAL)?;
        match &mut started.memory {
            Memory::Tracked(tracked) => {
                if !tracked.read(at, &started.ranges, window, bitmap)? {
                    started.lose_domain();
                    return Err(EIO);
                }
            }
            Memory::Lost => return Err(EIO),
            Memory::Everything => {
                for range in started.ranges.iter() {
                    if let Some(part) = range.intersection(window) {
                        bitmap.set(part)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn attached(&self, at: &Attachment<'_>) {
        if let Some(started) = &mut self.opened.lock().started {
            if matches!(&started.memory, Memory::Tracked(tracked) if !tracked.is_current(at)) {
                started.lose_domain();
            }
        }
    }

    fn detached(&self) {
        if let Some(started) = &mut self.opened.lock().started {
            started.lose_domain();
        }
    }
}
