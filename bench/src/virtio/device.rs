// SPDX-License-Identifier: GPL-2.0
//! One virtio function: registers, rings and device type behind a port.
//!
//! # STOPPED mode
//!
//! A stopped device makes no access to memory and raises no interrupt; that is
//! checked in two places only, [`Device::run`] and [`Device::raise`]. It answers
//! register accesses; notifications are accepted, and need not be remembered,
//! because resuming looks at every ring. Stopping first completes what the device
//! type has taken and held back; all other work under the machine's lock ends with
//! the buffers taken written back and signalled.
//!
//! After device parts were set, every ring that they say is in operation continues
//! from the used index in the driver's memory (see [`super::queue`]), and its queue
//! raises its interrupt once on resume, wanted or not: one that the device before
//! this one raised may have been lost on the way. None need do so: whatever was
//! published before the stop was signalled before it, too. If the rings cannot be reached then, because the
//! function is not a bus master or the IOMMU has no such pages, the device needs a
//! reset; the addresses are not checked before.
//!
//! A device that comes to need a reset while it is stopped, or is loaded with a
//! status that says so, owes the driver the notification of that, and sends it on
//! resume. Device parts do not tell whether the one before it has sent its own.
//!
//! FLR, bus reset and VF disable leave STOPPED mode. A reset by the driver
//! (device_status 0) does not: the mode belongs to the owner.

use std::time::{Duration, Instant};

use tracing::{debug, warn};
use vfio_bench_protocol::{Choices, Counters};

use super::bar::{self, Place};
use super::bytes::copy_window;
use super::chain::RingError;
use super::common::{Common, Effect, STATUS_DRIVER_OK, STATUS_NEEDS_RESET, Shape, offset};
use super::features;
use super::kind::{Frame, Kind, Session};
use super::page_writer::PageWriter;
use super::parts::extra::{self, Ballast, ExtraParts};
use super::parts::{self, PartWriter, Refusal};
use super::queue::{NO_VECTOR, Ring};
use crate::function::{Identity, PortRef};
use crate::iommu::DmaMemory;

mod legacy;

pub use legacy::Misplaced;

const VENDOR_VIRTIO: u16 = 0x1af4;
const DEVICE_BASE: u16 = 0x1040;
const SUBSYSTEM: u16 = 0x1100;
/// Modern devices have revision 1 or higher.
const REVISION: u8 = 1;

/// Descriptors that an admin command may have where it may have more than the
/// queue: this many cover 256 MiB in pages.
const LONG_ADMIN_CHAIN: u32 = 65536;

const ISR_QUEUE: u8 = 1;
const ISR_CONFIG: u8 = 2;

/// What the world has to do after an access.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Frames for the switch.
    pub sent: Vec<Frame>,
    /// The queue has more work, which others should not have to wait for.
    pub more: bool,
}

/// What a write to the device's registers asks of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Nothing,
    /// Buffers were made available.
    Notify(u16),
    /// The driver came up: look at all queues.
    Start,
    /// The driver reset the device.
    Reset,
}

/// What a function is like, beside what its device type says.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// Features of the transport that it offers. It has an administration
    /// virtqueue if ADMIN_VQ is among them.
    pub features: u64,
    /// Descriptors of that queue.
    pub admin_queue_size: u16,
    /// Admin commands may have more descriptors than that.
    pub long_admin_chains: bool,
    /// A legacy driver can use it.
    pub transitional: bool,
    /// Most descriptors of a queue of the device type.
    pub largest_queue: u16,
    /// MSI-X vectors, if not one for each queue and one more.
    pub vectors: Option<u16>,
    /// Features of the device type that it lacks.
    pub lacks: u64,
    /// The ballast in its device parts.
    pub ballast: Ballast,
    /// Parts can be set without those that must precede them.
    pub lenient_parts: bool,
    /// Where it does otherwise than by default.
    pub choices: Choices,
}

/// One function.
pub struct Device {
    name: String,
    port: PortRef,
    shape: Shape,
    traits: Traits,
    kind: Box<dyn Kind>,
    common: Common,
    rings: Vec<Option<Ring>>,
    /// Whether a ring that is to be brought up continues from memory, by queue.
    continuing: Vec<bool>,
    isr: u8,
    /// The driver has read the configuration, or its generation, since that went up.
    config_read: bool,
    stopped: bool,
    /// The driver is owed a configuration change notification, on resume.
    config_pending: bool,
    page_writer: PageWriter,
    extra: ExtraParts,
    pub counters: Counters,
}

impl Device {
    /// A function after power-on.
    pub fn new(name: String, port: PortRef, kind: Box<dyn Kind>, traits: Traits) -> Self {
        let largest = traits.largest_queue;
        let mut queue_sizes = kind.queue_sizes();
        queue_sizes
            .iter_mut()
            .for_each(|size| *size = largest.min(*size));
        let num_queues = queue_sizes.len() as u16;
        if traits.features & features::ADMIN_VQ != 0 {
            queue_sizes.push(traits.admin_queue_size);
        }
        let shape = Shape {
            offered: (kind.features() | traits.features) & !traits.lacks,
            // One for the configuration and one for each queue.
            vectors: traits.vectors.unwrap_or(queue_sizes.len() as u16 + 1),
            queue_sizes,
            num_queues,
            transitional: traits.transitional,
        };
        let mut device = Self {
            name,
            port,
            kind,
            common: Common::new(&shape),
            rings: Vec::new(),
            continuing: Vec::new(),
            isr: 0,
            config_read: false,
            stopped: false,
            config_pending: false,
            page_writer: PageWriter::default(),
            extra: ExtraParts::new(traits.ballast),
            counters: Counters::default(),
            shape,
            traits,
        };
        device.stop_rings();
        device
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn port(&self) -> &PortRef {
        &self.port
    }

    pub fn common(&self) -> &Common {
        &self.common
    }

    pub fn ring(&self, queue: usize) -> Option<&Ring> {
        self.rings.get(queue)?.as_ref()
    }

    pub fn stopped(&self) -> bool {
        self.stopped
    }

    pub fn mac(&self) -> Option<[u8; 6]> {
        self.kind.mac()
    }

    /// Where it does otherwise than by default.
    pub fn choices(&self) -> Choices {
        self.traits.choices
    }

    pub fn extra_mut(&mut self) -> &mut ExtraParts {
        &mut self.extra
    }

    pub fn admin_queue(&self) -> Option<u16> {
        self.shape
            .admin_queue()
            .filter(|_| self.accepted(features::ADMIN_VQ))
    }

    pub fn vectors(&self) -> u16 {
        self.shape.vectors
    }

    pub fn identity(&self) -> Identity {
        Identity {
            vendor: VENDOR_VIRTIO,
            device: DEVICE_BASE + self.kind.device_type(),
            subsystem_vendor: VENDOR_VIRTIO,
            subsystem: SUBSYSTEM,
            class: self.kind.pci_class(),
            revision: REVISION,
        }
    }

    pub fn capabilities(&self) -> Vec<Vec<u8>> {
        let config_len = (self.kind.config().len() as u32).next_multiple_of(4);
        bar::capabilities(self.bar(), self.shape.queue_sizes.len() as u16, config_len)
    }

    /// Number of the BAR with its registers.
    pub fn bar(&self) -> u8 {
        if self.shape.transitional {
            bar::TRANSITIONAL
        } else {
            0
        }
    }

    /// Whether the device works on its rings.
    pub fn running(&self) -> bool {
        self.common.live() && !self.stopped
    }

    fn accepted(&self, feature: u64) -> bool {
        self.common.driver_features & feature != 0
    }

    pub fn read_bar(&mut self, at: u64, data: &mut [u8]) {
        match bar::decode(at) {
            Place::Common(at) => {
                let end = at + data.len() as u64;
                self.config_read |= (at..end).contains(&offset::GENERATION);
                self.common.read(&self.shape, at, data);
            }
            Place::Isr => copy_window(&[std::mem::take(&mut self.isr)], 0, data),
            Place::Device(at) => {
                self.config_read = true;
                copy_window(&self.kind.config(), at, data);
            }
            Place::PageWriter(at) => self.page_writer.read(at, data),
            Place::Notify(_) | Place::LegacyNotify | Place::Nothing => data.fill(0),
        }
    }

    pub fn write_bar(&mut self, at: u64, data: &[u8]) -> Request {
        match bar::decode(at) {
            Place::Common(at) => return self.write_common(at, data),
            Place::Notify(queue) => return self.notified(queue, data),
            Place::LegacyNotify if self.shape.transitional => {
                if let Ok(queue) = data.try_into() {
                    return Request::Notify(u16::from_le_bytes(queue));
                }
            }
            Place::PageWriter(at) => {
                if self.page_writer.write(at, data, self.stopped) {
                    self.write_page();
                }
            }
            // The device configuration of the types here is read-only.
            Place::Isr | Place::Device(_) | Place::LegacyNotify | Place::Nothing => (),
        }
        Request::Nothing
    }

    /// A notification at the place of `queue`. With NOTIFICATION_DATA it has the queue's
    /// number in its low half, and is ignored if that is another one's.
    fn notified(&self, queue: u16, data: &[u8]) -> Request {
        let named = data
            .get(..2)
            .map(|low| u16::from_le_bytes([low[0], low[1]]));
        let with_data = self.accepted(features::NOTIFICATION_DATA);
        if with_data && (data.len() != 4 || named != Some(queue)) {
            warn!(
                device = self.name,
                queue,
                ?data,
                "notification with wrong data"
            );
            return Request::Nothing;
        }
        Request::Notify(queue)
    }

    fn write_common(&mut self, at: u64, data: &[u8]) -> Request {
        let kind = &self.kind;
        match self
            .common
            .write(&self.shape, at, data, |set| kind.acceptable(set))
        {
            Effect::None => Request::Nothing,
            Effect::Reset => {
                self.reset_virtio();
                Request::Reset
            }
            Effect::Status(new) if new & STATUS_DRIVER_OK != 0 => Request::Start,
            Effect::Status(_) => Request::Nothing,
            Effect::ResetQueue(queue) => {
                self.reset_queue(queue);
                Request::Nothing
            }
            // A queue that is late, for a device that is up already.
            Effect::Enabled if self.common.live() => Request::Start,
            Effect::Enabled => Request::Nothing,
            Effect::Broken(reason) => {
                self.break_down(&RingError::Malformed(reason));
                Request::Nothing
            }
        }
    }

    /// The driver has taken a queue out of operation.
    fn reset_queue(&mut self, queue: u16) {
        // What was taken is given back before.
        self.finish(None);
        let index = usize::from(queue);
        self.rings[index] = None;
        self.continuing[index] = false;
    }

    fn write_page(&mut self) {
        let port = self.port.clone();
        port.with_dma(&mut |mem| {
            if self.page_writer.execute(mem) {
                self.counters.page_writes += 1;
            }
        });
    }

    /// A reset by the driver.
    fn reset_virtio(&mut self) {
        self.common = Common::new(&self.shape);
        self.kind.reset();
        self.extra.reset();
        self.isr = 0;
        self.config_pending = false;
        self.stop_rings();
    }

    /// A reset of the function.
    pub fn reset_function(&mut self) {
        self.reset_virtio();
        self.stopped = false;
        self.page_writer = PageWriter::default();
    }

    fn stop_rings(&mut self) {
        self.kind.abandon();
        self.rings.clear();
        self.rings
            .resize_with(self.shape.queue_sizes.len(), || None);
        self.continuing = vec![false; self.shape.queue_sizes.len()];
    }

    /// Decides how the rings go on after parts were set on what was `before`.
    fn settle_rings(&mut self, before: &Common) {
        self.kind.abandon();
        let keep = self.traits.choices.private_ring_positions
            && self.common.live()
            && self.common.driver_features == before.driver_features;
        let queues = self.common.queues.iter().zip(&before.queues);
        for (index, (queue, old)) in queues.enumerate() {
            if !(keep && queue.same_ring(old)) {
                self.rings[index] = None;
            }
            // A driver that is not up has no ring in operation.
            self.continuing[index] =
                self.common.live() && queue.enabled && self.rings[index].is_none();
        }
    }

    /// Stops or resumes; true if that changed the mode.
    pub fn set_stopped(&mut self, stopped: bool) -> bool {
        if stopped {
            self.finish(None);
        }
        let changed = std::mem::replace(&mut self.stopped, stopped) != stopped;
        if !stopped && std::mem::take(&mut self.config_pending) {
            self.raise_config();
        }
        changed
    }

    /// Brings up the rings of enabled queues that do not run yet.
    pub fn start_rings(&mut self) {
        if !self.running() {
            return;
        }
        let continued = self.run(|device, mem| {
            let mut continued = Vec::new();
            for index in 0..device.rings.len() {
                if device.rings[index].is_none() && device.common.queues[index].enabled {
                    let mut ring = device.new_ring(index)?;
                    if std::mem::take(&mut device.continuing[index]) {
                        ring.continue_from_memory(mem)?;
                        continued.push(index as u16);
                    }
                    device.rings[index] = Some(ring);
                }
            }
            Ok(continued)
        });
        if !self.traits.choices.quiet_resume {
            for queue in continued.unwrap_or_default() {
                self.signal(queue);
            }
        }
    }

    fn new_ring(&self, index: usize) -> Result<Ring, RingError> {
        let max_size = self.shape.queue_sizes[index];
        let admin = self.shape.admin_queue().map(usize::from) == Some(index);
        let longest = if admin && self.traits.long_admin_chains {
            LONG_ADMIN_CHAIN
        } else {
            self.common.queues[index].size.into()
        };
        Ring::new(
            &self.common.queues[index],
            max_size,
            self.accepted(features::RING_EVENT_IDX),
            self.accepted(features::RING_INDIRECT_DESC),
            longest,
        )
    }

    /// Works on a queue of the device type.
    pub fn service(&mut self, queue: u16) -> Outcome {
        if self.ring(queue.into()).is_none() {
            return Outcome::default();
        }
        self.session(|kind, session| kind.service(queue, session))
    }

    pub fn accepts(&self, frame: &[u8]) -> bool {
        self.kind.accepts(self.common.driver_features, frame)
    }

    /// Hands frames that were accepted to the driver.
    pub fn receive(&mut self, frames: &[&[u8]]) {
        if self.running() {
            self.session(|kind, session| kind.receive(frames, session).map(|()| false));
        } else {
            self.counters.rx_dropped += frames.len() as u64;
        }
    }

    /// When a request that was taken is to be completed.
    pub fn due(&self) -> Option<Instant> {
        self.kind.due()
    }

    /// Completes the requests that are due, or gives back all buffers that were taken.
    pub fn finish(&mut self, until: Option<Instant>) {
        if self.kind.due().is_some() || until.is_none() && self.kind.holds() {
            self.session(|kind, session| kind.finish(until, session).map(|()| false));
        }
    }

    /// Makes requests take this long; false if the device type has none.
    pub fn set_delay(&mut self, delay: Duration) -> bool {
        self.kind.set_delay(delay)
    }

    /// Connects a network device to its switch, or not; false if there is nothing to connect.
    pub fn set_link(&mut self, up: bool) -> bool {
        match self.kind.set_link(up) {
            None => return false,
            Some(false) => (),
            Some(true) => self.config_changed(),
        }
        true
    }

    /// Asks the driver to announce itself; false if it knows no such thing.
    pub fn announce(&mut self) -> bool {
        let asked = self.running() && self.kind.announce(self.common.driver_features);
        if asked {
            self.config_changed();
        }
        asked
    }

    /// Comes to need a reset; false if there is no driver whose business that is.
    pub fn need_reset(&mut self) -> bool {
        let live = self.common.live();
        if live {
            self.break_down(&RingError::Malformed("somebody wants it to"));
        }
        live
    }

    /// The configuration is another one now. The driver hears of it when the device is not
    /// stopped.
    pub fn config_changed(&mut self) {
        // Not for a change that nobody can have seen: 256 of them would not show.
        if std::mem::take(&mut self.config_read) {
            self.common.generation = self.common.generation.wrapping_add(1);
        }
        if self.common.live() {
            self.raise_config();
        }
    }

    fn session(
        &mut self,
        mut work: impl FnMut(&mut dyn Kind, &mut Session) -> Result<bool, RingError>,
    ) -> Outcome {
        let done = self.run(|device, mem| {
            let mut session = Session {
                mem,
                features: device.common.driver_features,
                rings: &mut device.rings,
                counters: &mut device.counters,
                sent: Vec::new(),
                signal: Vec::new(),
                config_changed: false,
            };
            let result = work(device.kind.as_mut(), &mut session);
            let Session {
                sent,
                signal,
                config_changed,
                ..
            } = session;
            // What was done before a failure stays done.
            Ok((result, sent, signal, config_changed))
        });
        let Some((result, sent, signal, config_changed)) = done else {
            return Outcome::default();
        };
        for queue in signal {
            self.signal(queue);
        }
        // Not for a change that nobody can have seen: 256 of them would not show.
        if config_changed && std::mem::take(&mut self.config_read) {
            self.common.generation = self.common.generation.wrapping_add(1);
        }
        match result {
            Ok(more) => Outcome { sent, more },
            Err(error) => {
                self.break_down(&error);
                Outcome { sent, more: false }
            }
        }
    }

    /// Runs `work` with the device's memory, if the device may access it. An
    /// error breaks the device.
    pub fn run<T>(
        &mut self,
        mut work: impl FnMut(&mut Self, &DmaMemory) -> Result<T, RingError>,
    ) -> Option<T> {
        if !self.running() {
            return None;
        }
        let port = self.port.clone();
        let mut result = None;
        port.with_dma(&mut |mem| result = Some(work(self, mem)));
        match result? {
            Ok(value) => Some(value),
            Err(error) => {
                self.break_down(&error);
                None
            }
        }
    }

    /// The ring of a queue, for whoever works on it in [`Device::run`].
    pub fn ring_mut(&mut self, queue: u16) -> Option<&mut Ring> {
        self.rings.get_mut(usize::from(queue))?.as_mut()
    }

    /// Tells the driver of used buffers.
    pub fn signal(&mut self, queue: u16) {
        let vector = self
            .common
            .queues
            .get(usize::from(queue))
            .map(|config| config.vector);
        self.raise(vector, ISR_QUEUE);
    }

    fn raise(&mut self, vector: Option<u16>, cause: u8) {
        if self.stopped {
            // Queues are not worked on: only the configuration has something to say.
            self.config_pending |= cause == ISR_CONFIG;
            return;
        }
        match vector {
            Some(NO_VECTOR) | None => self.isr |= cause,
            Some(vector) => {
                self.counters.interrupts += 1;
                self.port.interrupt(vector);
            }
        }
    }

    /// Gives up on a ring that makes no sense: the driver has to reset.
    fn break_down(&mut self, error: &RingError) {
        warn!(device = self.name, %error, "device needs reset");
        self.stop_rings();
        self.common.status |= STATUS_NEEDS_RESET;
        if self.common.broken_under_driver() {
            self.raise_config();
        }
    }

    /// Tells the driver that the configuration, or the need of a reset, has changed.
    fn raise_config(&mut self) {
        self.raise(Some(self.common.config_vector), ISR_CONFIG);
    }

    /// Collects the device parts.
    pub fn save(&self, parts: &mut PartWriter) {
        parts::common::save(&self.common, &self.shape, parts);
        self.kind.save(parts);
        self.extra.save(parts);
    }

    /// Upper bound of the size of all parts.
    pub fn max_saved(&self) -> usize {
        parts::common::saved(&self.shape) + self.kind.max_saved() + self.extra.saved()
    }

    /// Takes over device parts: all of them or, if anything is wrong, none.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let parts = parts::parse(bytes)?;
        if !self.traits.lenient_parts {
            parts::check_preceding(&parts)?;
        }
        let mut common = self.common.clone();
        let mut kind = self.kind.duplicate();
        for part in &parts {
            match part.kind {
                parts::NET_CVQ_CFG => kind.load(part)?,
                extra::KIND => self.extra.check(part)?,
                _ => parts::common::load(
                    &mut common,
                    &self.shape,
                    self.traits.choices.verify_common_cfg,
                    part,
                )?,
            }
        }
        parts::common::check(&common, &self.shape, |set| kind.acceptable(set))?;
        // Nothing can fail from here on.
        let before = std::mem::replace(&mut self.common, common);
        self.kind = kind;
        for part in parts.iter().filter(|part| part.kind == extra::KIND) {
            self.extra.load(part);
        }
        self.settle_rings(&before);
        self.config_pending = self.common.broken_under_driver();
        debug!(device = self.name, parts = parts.len(), "device parts set");
        Ok(())
    }
}
