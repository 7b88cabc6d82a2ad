// SPDX-License-Identifier: GPL-2.0

//! DMA logging: which memory the device has written.
//!
//! Virtio devices keep no log, so what is reported comes from the dirty bits of
//! the domain that iommufd has attached the device to, if it has any
//! ([`tracked`]), and otherwise is everything: a page that may have been written
//! and that nobody tracks is dirty, each time somebody asks
//! ([`Source::Everything`]). Documentation/dirty-tracking.rst says when it is
//! which, and whose the dirty bits are.

mod parameter;
mod tracked;

use crate::{
    logic::{
        dma_log::{
            page_size,
            Policy,
            Source, //
        },
        span::{
            merge,
            Span, //
        }, //
    },
    vfio::{
        self,
        Attachment,
        Bitmap,
        Ranges, //
    }, //
};
use kernel::{
    bindings,
    device::Core,
    new_mutex,
    pci,
    prelude::*,
    sync::Mutex, //
};
use tracked::Tracked;

/// The DMA log of one device.
///
/// The lock is taken with VFIO's `dev_set` lock held, or without; under it come
/// iommufd's locks, and user memory is accessed.
#[pin_data]
pub(crate) struct Log {
    policy: Policy,
    #[pin]
    session: Mutex<Option<Session>>,
}

/// A log from its start to its stop.
struct Session {
    /// What userspace wants logged: sorted, and no two touch.
    ranges: KVec<Span>,
    source: Source,
    /// Is `Some` if the source is the IOMMU.
    tracked: Option<Tracked>,
}

impl Session {
    fn lose_domain(&mut self, policy: Policy) {
        self.source = self.source.after_change(policy);
        self.tracked = None;
    }
}

impl Log {
    /// The log of a device, if it is to have one.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn new(pdev: &pci::Device<Core<'_>>) -> Result<Option<Pin<KBox<Self>>>> {
        // Without iommufd's bitmaps VFIO answers no question about a log.
        if cfg!(not(CONFIG_IOMMUFD_DRIVER)) {
            return Ok(None);
        }
        let policy = parameter::policy();
        if !policy.offers_logging(vfio::dirty_bits_readable(), vfio::iommu_tracks(pdev)) {
            return Ok(None);
        }
        let log = try_pin_init!(Self {
            policy,
            session <- new_mutex!(None, "dma_log_session"),
        });
        KBox::pin_init(log, GFP_KERNEL).map(Some)
    }
}

/// Bitmap of the page sizes for which "everything" can be reported.
const ANY_SIZE: u64 = !0 << bindings::PAGE_SHIFT;

impl vfio::DmaLog for Log {
    fn start(&self, at: &Attachment<'_>, ranges: Ranges<'_>, wanted: u64) -> Result<u64> {
        let mut session = self.session.lock();
        if session.is_some() || !wanted.is_power_of_two() {
            return Err(EINVAL);
        }
        // VMMs name the hull of what they may map, part of which the device may not reach now, but
        // in the address space that it is attached to next.
        let mut list = KVec::new();
        for range in ranges {
            list.push(range?, GFP_KERNEL_ACCOUNT)?;
        }

        let domain = match self.policy.source(true) {
            Some(Source::Iommu) => Tracked::start(at)?,
            _ => None,
        };
        let source = self.policy.source(domain.is_some()).ok_or(EOPNOTSUPP)?;
        let (tracked, able) = match domain {
            Some((tracked, sizes)) => (Some(tracked), sizes),
            None => (None, ANY_SIZE),
        };
        let size = page_size(wanted, able).ok_or(EINVAL)?;

        // A page of which a part is logged is logged.
        for range in list.iter_mut() {
            *range = range.whole_pages(able.trailing_zeros());
        }
        let count = merge(&mut list);
        list.truncate(count);
        *session = Some(Session {
            ranges: list,
            source,
            tracked,
        });
        Ok(size)
    }

    fn stop(&self) -> Result {
        self.session.lock().take().map(|_| ()).ok_or(EINVAL)
    }

    fn read_and_clear(&self, at: &Attachment<'_>, window: Span, bitmap: &mut Bitmap<'_>) -> Result {
        let mut session = self.session.lock();
        let session = (*session).as_mut().ok_or(EINVAL)?;
        if let Some(tracked) = &mut session.tracked {
            if tracked.read(at, &session.ranges, window, bitmap)? {
                return Ok(());
            }
            session.lose_domain(self.policy);
        }
        if session.source == Source::Lost {
            return Err(EIO);
        }
        for range in session.ranges.iter() {
            if let Some(part) = range.intersection(window) {
                bitmap.set(part)?;
            }
        }
        Ok(())
    }

    fn attached(&self, at: &Attachment<'_>) {
        if let Some(session) = &mut *self.session.lock() {
            if matches!(&session.tracked, Some(tracked) if !tracked.is_current(at)) {
                session.lose_domain(self.policy);
            }
        }
    }

    fn detached(&self) {
        if let Some(session) = &mut *self.session.lock() {
            session.lose_domain(self.policy);
        }
    }
}
