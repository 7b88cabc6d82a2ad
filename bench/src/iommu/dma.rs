// SPDX-License-Identifier: GPL-2.0
//! Memory as one requester sees it: addresses are IOVAs.

use std::ops::Deref;
use std::sync::Arc;

use vm_memory::iommu::{Error, Iommu, IotlbIterator, IovaRange};
use vm_memory::{GuestAddress, IommuMemory, Iotlb, Permissions};

use super::unit::Unit;
use crate::memory::{PhysicalMemory, WriteLog};

/// What a device model accesses. Each access is translated for the requester
/// it was made for; the [`WriteLog`] behind `bitmap()` records the IOVA pages
/// that were really written.
pub type DmaMemory = IommuMemory<PhysicalMemory, Requester>;

/// How the accesses of a requester reach memory.
#[derive(Clone, Debug)]
pub enum Route {
    /// Not at all: COMMAND.BusMaster is clear.
    Refused,
    /// Untranslated: IOVAs are guest physical addresses.
    Identity,
    /// Through an IOMMU, under a requester id, on this memory.
    Unit {
        /// The IOMMU.
        unit: Arc<Unit>,
        /// Whose accesses they are.
        requester: u16,
        /// Where the page tables are.
        memory: PhysicalMemory,
    },
}

/// The origin of DMA: answers translations for one function.
///
/// A mapping that was handed out stays as it is until the access is over, even
/// if the IOMMU is told to forget it in the meantime, as in hardware. Whoever
/// must know that no such access is left waits on [`GuestRam::quiesce`].
///
/// [`GuestRam::quiesce`]: crate::memory::GuestRam::quiesce
#[derive(Clone, Debug)]
pub struct Requester {
    route: Route,
}

impl Requester {
    /// Memory as this requester sees it, for one run of accesses.
    pub fn view(self, memory: PhysicalMemory, log: WriteLog) -> DmaMemory {
        IommuMemory::new(memory, self, true, log)
    }

    /// A requester that goes by `route`.
    pub fn new(route: Route) -> Self {
        Self { route }
    }
}

/// The mappings of one access, owned by it.
#[derive(Debug, Default)]
pub struct Mappings(Iotlb);

impl Deref for Mappings {
    type Target = Iotlb;

    fn deref(&self) -> &Iotlb {
        &self.0
    }
}

impl Iommu for Requester {
    type IotlbGuard<'a> = Mappings;

    fn translate(
        &self,
        iova: GuestAddress,
        length: usize,
        access: Permissions,
    ) -> Result<IotlbIterator<Mappings>, Error> {
        let refuse = |reason: &str| Error::CannotResolve {
            iova_range: IovaRange { base: iova, length },
            reason: reason.to_string(),
        };
        if iova.0.checked_add(length as u64).is_none() {
            return Err(refuse("address overflow"));
        }
        let mut mappings = Iotlb::new();
        if length != 0 {
            match &self.route {
                Route::Refused => return Err(refuse("not a bus master")),
                Route::Identity => mappings.set_mapping(iova, iova, length, access)?,
                Route::Unit {
                    unit,
                    requester,
                    memory,
                } => unit
                    .translate(memory, *requester, (iova.0, length), access, &mut mappings)
                    .map_err(|refusal| refuse(&refusal.to_string()))?,
            }
        }
        Iotlb::lookup(Mappings(mappings), iova, length, access).map_err(|_| refuse("not mapped"))
    }
}
