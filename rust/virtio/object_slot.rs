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
    buffer::Buffer,
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
    bindings,
    impl_has_work,
    new_mutex,
    new_work,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        global_lock,
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    workqueue::{
        self,
        Work,
        WorkItem, //
    }, //
};

/// How many objects a function takes away from others before it gives up: what it
/// makes free, somebody else may be faster to have.
const MAX_RECLAIMED: u32 = 64;

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
    /// A session has ended, and has left something.
    left: Atomic<bool>,
    /// Memory that it has left.
    #[pin]
    left_memory: Mutex<Option<Buffer>>,
    #[pin]
    release_left: Work<ObjectSlot>,
    /// Held while an object is used.
    #[pin]
    objects: Mutex<Objects>,
}

impl_has_work! {
    impl HasWork<ObjectSlot> for ObjectSlot { self.release_left }
}

impl WorkItem for ObjectSlot {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        // Unless another session uses it by now.
        if this.left.load(Relaxed) {
            this.release();
        }
    }
}

/// What a function has of the PF's objects.
struct Objects {
    /// That of the session under way.
    kept: Option<Object>,
    /// One that the device would not destroy, to be used again or to be destroyed
    /// later: what is lost stays lost until the PF is reset.
    refused: Option<Object>,
}

impl Objects {
    const fn is_empty(&self) -> bool {
        self.kept.is_none() && self.refused.is_none()
    }

    /// Takes an object for `purpose`, if there is one; others go.
    fn take(&mut self, purpose: Purpose) -> Option<Object> {
        let mut found = None;
        for object in [self.kept.take(), self.refused.take()]
            .into_iter()
            .flatten()
        {
            if found.is_none() && object.purpose() == purpose {
                found = Some(object);
            } else {
                self.destroy(object);
            }
        }
        found
    }

    /// Destroys `object`, later if it cannot be now.
    fn destroy(&mut self, object: Object) -> bool {
        match object.destroy() {
            Ok(()) => true,
            Err(object) => {
                self.refused = Some(object);
                false
            }
        }
    }

    /// Destroys what there is. Says whether there is one object less.
    fn clear(&mut self) -> bool {
        let mut any = false;
        for object in [self.refused.take(), self.kept.take()]
            .into_iter()
            .flatten()
        {
            any |= self.destroy(object);
        }
        any
    }
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
        let mut objects = self.objects.lock();
        let object = match objects.take(purpose) {
            Some(object) => object,
            None => self.create(purpose, &mut objects)?,
        };
        let result = f(&object);
        match result {
            Ok(_) => objects.kept = Some(object),
            Err(_) => {
                objects.destroy(object);
            }
        }
        result
    }

    fn create(&self, purpose: Purpose, own: &mut Objects) -> Result<Object> {
        let (mut waits, mut reclaimed) = (0, 0);
        let error = loop {
            match Object::create(&self.member, purpose) {
                // One that was refused before may go now.
                Err(error) if error == ENOSPC && own.clear() => {}
                Err(error) if error == ENOSPC => match self.reclaim() {
                    Reclaimed::Yes if reclaimed < MAX_RECLAIMED => reclaimed += 1,
                    Reclaimed::NotNow if waits < WAITS => {
                        fsleep(Delta::from_millis(admin_status::delay_ms(waits)));
                        waits += 1;
                    }
                    _ => break error,
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
            .find(|slot| match slot.objects.try_lock() {
                Some(objects) => !objects.is_empty(),
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
        match self.objects.try_lock() {
            Some(mut objects) => objects.clear(),
            None => false,
        }
    }

    /// Frees the memory that a session has left.
    fn free_memory(&self) {
        let memory = self.left_memory.lock().take();
        // Without the lock: there may be much of it.
        drop(memory);
    }

    /// Destroys the object, once nobody uses it, and frees what was left.
    pub(crate) fn release(&self) {
        self.left.store(false, Relaxed);
        self.free_memory();
        // With the lock held: whoever was about to take it away has done so.
        self.objects.lock().clear();
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
                left: Atomic::new(false),
                left_memory <- new_mutex!(None, "virtio_left_memory"),
                release_left <- new_work!("virtio_release_object"),
                objects <- new_mutex!(
                    Objects {
                        kept: None,
                        refused: None,
                    },
                    "virtio_object_slot"
                ),
            }),
            GFP_KERNEL,
        )?;
        SLOTS.lock().push(slot.clone(), GFP_KERNEL)?;
        Ok(Self(slot))
    }

    /// Releases what a session that has ended has left: soon, and while the caller goes on.
    pub(crate) fn release_left(&self) {
        if self.0.left.load(Relaxed) {
            // If it is queued already, this will be gone, too.
            let _ = workqueue::system_unbound().enqueue(self.0.clone());
        }
    }

    /// A session uses the slot from now on, and what the last one left there.
    pub(crate) fn begin_use(&self) -> SlotUse {
        self.0.left.store(false, Relaxed);
        SlotUse {
            slot: self.0.clone(),
            left: None,
        }
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
        {
            let mut slots = SLOTS.lock();
            slots.retain(|slot| !Arc::ptr_eq(slot, &self.0));
            if slots.is_empty() {
                // What is static is not dropped: with the module its memory would be lost.
                *slots = KVec::new();
            }
        }
        // SAFETY: The work item is initialised and pinned with the slot.
        unsafe { bindings::flush_work(Work::raw_get(&self.0.release_left)) };
        // Somebody may have found it before, and be at it.
        let mut objects = self.0.objects.lock();
        objects.clear();
        // The last chance of what was refused, while the device is bound.
        objects.refused = None;
    }
}

/// Use of a slot by a session; the object goes when this is dropped, unless it is
/// [left](Self::leave).
pub(crate) struct SlotUse {
    slot: Arc<ObjectSlot>,
    left: Option<Buffer>,
}

impl SlotUse {
    /// The object is to stay when the session ends, and `memory` with it, until somebody
    /// [takes care](SharedSlot::release_left) of them or needs the object: a round trip to the
    /// device and the freeing of many pages come at a bad time.
    pub(crate) fn leave(&mut self, memory: Buffer) {
        self.left = Some(memory);
    }
}

impl Deref for SlotUse {
    type Target = ObjectSlot;

    fn deref(&self) -> &ObjectSlot {
        &self.slot
    }
}

impl Drop for SlotUse {
    fn drop(&mut self) {
        match self.left.take() {
            Some(memory) => {
                *self.slot.left_memory.lock() = Some(memory);
                self.slot.left.store(true, Relaxed);
            }
            None => self.slot.release(),
        }
    }
}
