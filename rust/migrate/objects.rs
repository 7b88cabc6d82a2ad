// SPDX-License-Identifier: GPL-2.0

//! The resource object with which a device's parts are read.
//!
//! Creating and destroying one costs two admin commands, and VMMs ask for sizes
//! often. So the object is kept, from its first use until the device is reset or
//! closed. Devices have few objects, which a PF's functions share; a function that
//! is not migrated has none.

use crate::virtio::{
    GetParts,
    Member, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// Source of the object for one device.
pub(super) struct Objects {
    member: Arc<Member>,
    kept: Pin<KBox<Mutex<Option<Arc<GetParts>>>>>,
}

impl Objects {
    /// No object yet.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(super) fn new(member: &Arc<Member>) -> Result<Self> {
        Ok(Self {
            member: member.clone(),
            kept: KBox::pin_init(new_mutex!(None, "virtio_get_parts"), GFP_KERNEL)?,
        })
    }

    /// The function whose object it is.
    pub(super) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// The object, made if there is none.
    ///
    /// # Errors
    ///
    /// ENOMEM, or what the device answers.
    pub(super) fn get(&self) -> Result<Arc<GetParts>> {
        let mut kept = self.kept.lock();
        if let Some(device) = &*kept {
            return Ok(device.clone());
        }
        let device = Arc::new(self.member.get_parts()?, GFP_KERNEL)?;
        *kept = Some(device.clone());
        Ok(device)
    }

    /// Runs `f` with the object, which is not kept if that fails: it may be the
    /// object's fault.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), or what `f` gives.
    pub(super) fn with_get<R>(&self, f: impl FnOnce(&GetParts) -> Result<R>) -> Result<R> {
        let device = self.get()?;
        f(&device).inspect_err(|_| self.clear())
    }

    /// Destroys the object as soon as no session uses it.
    pub(super) fn clear(&self) {
        let kept = self.kept.lock().take();
        drop(kept);
    }
}
