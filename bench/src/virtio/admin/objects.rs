// SPDX-License-Identifier: GPL-2.0
//! Device parts objects, and the capability that says how many there may be.
//!
//! One range of identifiers serves all VFs and both kinds: 0 up to the sum of
//! the driver's two limits. An object belongs to the VF it was made for; to
//! other VFs it does not exist.

use std::collections::BTreeMap;

use super::status::Status;

/// What an object is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Get,
    Set,
}

impl Purpose {
    pub fn from_wire(value: u8) -> Result<Self, Status> {
        match value {
            0 => Ok(Self::Get),
            1 => Ok(Self::Set),
            _ => Err(Status::FIELD),
        }
    }

    pub fn wire(self) -> u8 {
        self as u8
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    pub member: u64,
    pub purpose: Purpose,
}

/// Number of objects: to get, to set.
pub type Limits = [u8; 2];

/// The objects that exist.
#[derive(Debug)]
pub struct Objects {
    /// What the device can do.
    offered: Limits,
    objects: BTreeMap<u32, Object>,
    /// What the driver said it would use; nothing before it did.
    limits: Limits,
}

impl Objects {
    /// No objects yet, and no more than `offered` of each kind ever.
    pub fn new(offered: Limits) -> Self {
        Self {
            offered,
            objects: BTreeMap::new(),
            limits: [0; 2],
        }
    }

    pub fn reset(&mut self) {
        *self = Self::new(self.offered);
    }

    /// What the device can do.
    pub fn offered(&self) -> Limits {
        self.offered
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, Object)> {
        self.objects.iter().map(|(&id, &object)| (id, object))
    }

    /// The driver sets its limits.
    pub fn limit(&mut self, limits: Limits) -> Result<(), Status> {
        if limits
            .iter()
            .zip(self.offered)
            .any(|(&wanted, offered)| wanted > offered)
        {
            return Err(Status::FIELD);
        }
        let kept = |purpose: Purpose| {
            self.count(purpose) <= usize::from(limits[usize::from(purpose.wire())])
        };
        let ids_kept = self.objects.keys().all(|&id| id < id_limit(limits));
        if !kept(Purpose::Get) || !kept(Purpose::Set) || !ids_kept {
            return Err(Status::BUSY);
        }
        self.limits = limits;
        Ok(())
    }

    pub fn create(&mut self, id: u32, object: Object) -> Result<(), Status> {
        if id >= id_limit(self.limits) {
            return Err(Status::FIELD);
        }
        if self.objects.contains_key(&id) {
            return Err(Status::EXISTS);
        }
        self.room(object.purpose)?;
        self.objects.insert(id, object);
        Ok(())
    }

    pub fn modify(&mut self, id: u32, member: u64, purpose: Purpose) -> Result<(), Status> {
        if self.find(id, member)?.purpose != purpose {
            self.room(purpose)?;
            self.objects.insert(id, Object { member, purpose });
        }
        Ok(())
    }

    pub fn destroy(&mut self, id: u32, member: u64) -> Result<(), Status> {
        self.find(id, member)?;
        self.objects.remove(&id);
        Ok(())
    }

    pub fn find(&self, id: u32, member: u64) -> Result<Object, Status> {
        self.objects
            .get(&id)
            .filter(|object| object.member == member)
            .copied()
            .ok_or(Status::ABSENT)
    }

    /// The VFs above `members` ceased to exist, and with them what was made for
    /// them.
    pub fn keep_members(&mut self, members: u64) {
        self.objects.retain(|_, object| object.member <= members);
    }

    fn room(&self, purpose: Purpose) -> Result<(), Status> {
        match self.count(purpose) < usize::from(self.limits[usize::from(purpose.wire())]) {
            true => Ok(()),
            false => Err(Status::FULL),
        }
    }

    fn count(&self, purpose: Purpose) -> usize {
        self.objects
            .values()
            .filter(|object| object.purpose == purpose)
            .count()
    }
}

fn id_limit([get, set]: Limits) -> u32 {
    u32::from(get) + u32::from(set)
}
