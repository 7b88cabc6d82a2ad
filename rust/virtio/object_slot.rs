// SPDX-License-Identifier: GPL-2.0

//! Where a function keeps its resource object, and how the functions of a PF
//! share the few that there are.
//!
//! Creating and destroying an object costs two admin commands, each a round trip
//! to the device, so a session keeps its own. But a PF may have a single object
//! for all its functions, and a guest that moves from one function to another
//! has a session on both. So an object is kept only as long as no other function
//! wants it: one that finds none left takes away one that is not in use, and its
//! former owner creates another when it has something to do.

use super::{
    object::{
        Object,
        Purpose, //
    },
    GetParts,
    Member,
    SetParts, //
};
use crate::logic::{
    admin_command,
    admin_status,
    cause::Cause, //
};
use core::ops::Deref;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        global_lock,
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// How often a function waits for an object that others are using. Waiting takes
/// twice as long each time, a second in all.
const WAITS: u32 = 9;

global_lock! {
    /// The slots of all functions that are bound. Nests inside a slot's lock; a
    /// slot's lock is only ever tried with it held.
    unsafe(uninit) static SLOTS: Mutex<KVec<Arc<ObjectSlot>>> = KVec::new();
}

/// Makes slots possible.
///
/// # Safety
///
/// To be called once, before the first [`SharedSlot::new`].
pub(crate) unsafe fn init() {
    // SAFETY: By the requirement of this function.
    unsafe { SLOTS.init() }
}

/// The object of one function, if it has one.
#[pin_data]
pub(crate) struct ObjectSlot {
    member: Arc<Member>,
    physfn: usize,
    /// Held while the object is used.
    #[pin]
    object: Mutex<Option<Object>>,
}

/// What became of the wish for another function's object.
enum Reclaimed {
    /// There is one more to be had.
    Yes,
    /// All are in use.
    NotNow,
    /// No other function has one.
    Nothing,
}

impl ObjectSlot {
    /// The function whose slot it is.
    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// Runs `f` on the parts of the device, to read them. The object is not kept
    /// if that fails: it may be the object's fault.
    ///
    /// # Errors
    ///
    /// ENOSPC if the PF's functions have no object to spare, what the device
    /// answers, or what `f` gives.
    pub(crate) fn get<R>(&self, f: impl FnOnce(GetParts<'_>) -> Result<R>) -> Result<R> {
        self.with(Purpose::Get, |object| f(GetParts(object)))
    }

    /// Runs `f` on the parts of the device, to write them; as [`get`](Self::get).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) fn set<R>(&self, f: impl FnOnce(SetParts<'_>) -> Result<R>) -> Result<R> {
        self.with(Purpose::Set, |object| f(SetParts(object)))
    }

    fn with<R>(&self, purpose: Purpose, f: impl FnOnce(&Object) -> Result<R>) -> Result<R> {
        let mut kept = self.object.lock();
        let object = match kept.take().filter(|object| object.purpose() == purpose) {
            Some(object) => object,
            None => self.create(purpose)?,
        };
        let result = f(&object);
        match result {
            Ok(_) => *kept = Some(object),
            // With the lock held: `release` waits for it, and after it there is no object.
            Err(_) => drop(object),
        }
        result
    }

    fn create(&self, purpose: Purpose) -> Result<Object> {
        let mut waits = 0;
        let error = loop {
            match Object::create(&self.member, purpose) {
                Err(error) if error == ENOSPC => match self.reclaim() {
                    Reclaimed::Yes => {}
                    Reclaimed::NotNow if waits < WAITS => {
                        fsleep(Delta::from_millis(admin_status::delay_ms(waits)));
                        waits += 1;
                    }
                    Reclaimed::NotNow | Reclaimed::Nothing => break error,
                },
                Err(error) => break error,
                Ok(object) => return Ok(object),
            }
        };
        let opcode = admin_command::RESOURCE_OBJ_CREATE;
        let observer = self.member.observer();
        Err(observer.refuse(Cause::Command { opcode }, error))
    }

    /// Takes an object away from another function of the same PF.
    fn reclaim(&self) -> Reclaimed {
        let mut busy = false;
        let idle = SLOTS
            .lock()
            .iter()
            .filter(|slot| slot.physfn == self.physfn && !core::ptr::eq(&***slot, self))
            .find(|slot| match slot.object.try_lock() {
                Some(object) => object.is_some(),
                None => {
                    busy = true;
                    false
                }
            })
            .cloned();
        match idle {
            // It may be in use again, or gone.
            Some(slot) if slot.try_release() => Reclaimed::Yes,
            Some(_) => Reclaimed::NotNow,
            None if busy => Reclaimed::NotNow,
            None => Reclaimed::Nothing,
        }
    }

    /// Destroys the object if there is one and nobody uses it.
    fn try_release(&self) -> bool {
        match self.object.try_lock() {
            Some(mut object) => object.take().is_some(),
            None => false,
        }
    }

    /// Destroys the object, once nobody uses it.
    pub(crate) fn release(&self) {
        // Dropped with the lock held: whoever was about to take it away has done so.
        let mut object = self.object.lock();
        *object = None;
    }
}

/// A slot that other functions' sessions may take the object from, until this is
/// dropped.
pub(crate) struct SharedSlot(Arc<ObjectSlot>);

impl SharedSlot {
    /// The slot of `member`, without an object.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn new(member: &Arc<Member>) -> Result<Self> {
        let slot = Arc::pin_init(
            pin_init!(ObjectSlot {
                physfn: member.physfn(),
                member: member.clone(),
                object <- new_mutex!(None, "virtio_object_slot"),
            }),
            GFP_KERNEL,
        )?;
        SLOTS.lock().push(slot.clone(), GFP_KERNEL)?;
        Ok(Self(slot))
    }

    /// A session that uses the slot.
    pub(crate) fn session(&self) -> Session {
        Session(self.0.clone())
    }
}

impl Deref for SharedSlot {
    type Target = ObjectSlot;

    fn deref(&self) -> &ObjectSlot {
        &self.0
    }
}

impl Drop for SharedSlot {
    fn drop(&mut self) {
        SLOTS.lock().retain(|slot| !Arc::ptr_eq(slot, &self.0));
        // Somebody may have found it before, and be at it.
        self.0.release();
    }
}

/// Use of a slot by a session; the object goes when this is dropped.
pub(crate) struct Session(Arc<ObjectSlot>);

impl Deref for Session {
    type Target = ObjectSlot;

    fn deref(&self) -> &ObjectSlot {
        &self.0
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.release();
    }
}
