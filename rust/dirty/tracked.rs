// SPDX-License-Identifier: GPL-2.0

//! A log that is kept by the IOMMU, in the dirty bits of a domain.
//!
//! There is one dirty bit for each page of the page table, whoever asks for it:
//! us, our like for another device in the same domain, iommufd for userspace. So
//! the rule is that each bit is given to exactly one who asks, the first, and is
//! never dropped: neither START nor STOP clears any, and STOP lets the IOMMU go on
//! setting them, since iommufd may have asked for that, too, and it cannot be
//! known.
//!
//! Dirty bits are gone when their page is unmapped, but a log is not: userspace
//! may ask for what was written to an address after it unmapped it, and QEMU
//! does. So what is not mapped is dirty: it may have been, and been written.

use crate::{
    compat::EOPNOTSUPP,
    logic::{
        dma_log::reachable,
        leaf_edges::split,
        leftover::Leftover, //
    },
    vfio::{
        pause,
        Area,
        Attachment,
        Bitmap,
        Domain,
        Span, //
    }, //
};
use kernel::prelude::*;

/// Pages taken one at a time until others may run.
const BATCH: u32 = 1024;

/// The domain that keeps a log.
pub(super) struct Tracked {
    /// [`Domain::id`] of the domain that the device was attached to at the start.
    /// No other can come to have it: [`is_current`](Self::is_current) is asked each
    /// time the device is attached, and as long as it is not, the domain exists.
    domain: usize,
    /// Dirty addresses of pages that were asked for in part.
    leftover: Leftover<32>,
}

impl Tracked {
    /// Has the domain that the device is attached to set dirty bits. Gives it,
    /// and a bitmap of its page sizes; `None` if it has no dirty bits.
    ///
    /// # Errors
    ///
    /// What the IOMMU's driver gives.
    pub(super) fn start(at: &Attachment<'_>) -> Result<Option<(Self, u64)>> {
        let started = at.visit(|domain| {
            domain.track()?;
            let tracked = Self {
                domain: domain.id(),
                leftover: Leftover::new(),
            };
            Ok((tracked, domain.page_sizes()))
        });
        match started {
            Ok(Ok(started)) => Ok(Some(started)),
            Ok(Err(error)) if error != EOPNOTSUPP => Err(error),
            // No dirty bits, no domain of iommufd, or no way to look into it.
            Ok(Err(_)) | Err(_) => Ok(None),
        }
    }

    /// Is the device still attached to the domain?
    // Without iommufd nothing tells of attachments.
    #[cfg_attr(not(CONFIG_IOMMUFD), allow(dead_code))]
    pub(super) fn is_current(&self, at: &Attachment<'_>) -> bool {
        at.visit(|domain| domain.id() == self.domain)
            .unwrap_or(false)
    }

    /// Moves the dirty bits of what `ranges` have of `window` to `bitmap`, and sets
    /// what is not mapped. False if the device is not attached to the domain any more.
    ///
    /// # Errors
    ///
    /// EFAULT if userspace's bitmap cannot be written, EINTR if the process is being
    /// killed, or what the IOMMU's driver gives. What was moved by then is dirty for
    /// who asks next, too.
    pub(super) fn read(
        &mut self,
        at: &Attachment<'_>,
        ranges: &[Span],
        window: Span,
        bitmap: &mut Bitmap<'_>,
    ) -> Result<bool> {
        let read = at.visit(|domain| {
            if domain.id() != self.domain {
                return Ok(false);
            }
            // Userspace may have had iommufd end it.
            domain.track()?;
            // What the device cannot reach it has not written.
            let Some(window) = reachable(window, domain.aperture()) else {
                return Ok(true);
            };
            // Before the first bit is cleared, so that as a rule nothing is in doubt.
            bitmap.check(window)?;
            let mut begun = None;
            let read = self.read_windows(domain, ranges, window, bitmap, &mut begun);
            if let (Err(_), Some(begun)) = (&read, begun) {
                // Userspace took its bitmap away meanwhile, or is being killed.
                self.leftover.insert(begun);
            }
            read.map(|()| true)
        });
        match read {
            Ok(read) => read,
            Err(_) => Ok(false),
        }
    }

    /// Reads as much of `window` at a time as can be pinned of `bitmap`. `begun` is
    /// where bits were, or may have been, moved.
    fn read_windows(
        &mut self,
        domain: &Domain,
        ranges: &[Span],
        window: Span,
        bitmap: &mut Bitmap<'_>,
        begun: &mut Option<Span>,
    ) -> Result {
        let mut rest = Some(window);
        while let Some(window) = rest {
            let pinned = bitmap.pin(window.first())?;
            let part = window.intersection(pinned).ok_or(EFAULT)?;
            *begun = Some(begun.map_or(part, |begun| begun.hull(part)));
            for range in ranges {
                if let Some(part) = range.intersection(part) {
                    self.read_part(domain, part, bitmap)?;
                }
            }
            rest = window.above(part);
        }
        Ok(())
    }

    fn read_part(&mut self, domain: &Domain, part: Span, bitmap: &mut Bitmap<'_>) -> Result {
        self.leftover.take(part, |span| bitmap.set(span))?;
        let mut rest = Some(part);
        while let Some(window) = rest {
            let mapped = domain
                .area(window)
                .and_then(|area| Some((area.span().intersection(window)?, area)));
            let Some((inside, area)) = mapped else {
                bitmap.set(window)?;
                break;
            };
            if let Some(unmapped) = window.below(inside) {
                bitmap.set(unmapped)?;
            }
            let parts = split(inside, area.span(), domain.page_sizes());
            if let Some(head) = parts.head {
                self.take_pages(domain, &area, head, part, bitmap)?;
            }
            if let Some(body) = parts.body {
                area.read(body, bitmap)?;
            }
            if let Some(tail) = parts.tail {
                self.take_pages(domain, &area, tail, part, bitmap)?;
            }
            pause()?;
            rest = window.above(area.span());
        }
        Ok(())
    }

    /// Reads `zone` of `area` page by page. What dirty pages have outside of
    /// `part` is kept for when it is asked for.
    fn take_pages(
        &mut self,
        domain: &Domain,
        area: &Area<'_>,
        zone: Span,
        part: Span,
        bitmap: &mut Bitmap<'_>,
    ) -> Result {
        let smallest = domain.page_sizes().trailing_zeros();
        let mut rest = Some(zone);
        let mut count = 0_u32;
        while let Some(zone) = rest {
            let page = match area.take_page(zone.first())? {
                Some(page) => {
                    // First, so that it is not lost with what fails.
                    for outside in [page.below(part), page.above(part)].into_iter().flatten() {
                        self.leftover.insert(outside);
                    }
                    if let Some(inside) = page.intersection(part) {
                        bitmap.set(inside)?;
                    }
                    page
                }
                None => Span::block(zone.first(), smallest),
            };
            rest = zone.above(page);
            count += 1;
            if count == BATCH {
                pause()?;
                count = 0;
            }
        }
        Ok(())
    }
}
