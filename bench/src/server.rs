// SPDX-License-Identifier: GPL-2.0
//! vfio-user: one socket and one thread for each PCI function.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_INFO_NORESIZE, VFIO_IRQ_SET_ACTION_TRIGGER,
    VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE, VFIO_REGION_INFO_FLAG_READ,
    VFIO_REGION_INFO_FLAG_WRITE, vfio_region_info,
};
use vfio_user::{DmaMapFlags, DmaUnmapFlags, IrqInfo, Server, ServerBackend, ServerRegion};

use crate::memory::GuestRam;
use crate::pci::{PciFunction, config_space, index};

/// Bytes that one access may have, as `vfio_user` tells the client.
const MAX_ACCESS: usize = 1 << 20;

/// Why a connection ended, if the client did not close it.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It cannot be read or written, or there can be none.
    #[error(transparent)]
    Connection(#[from] vfio_user::Error),
    /// `vfio_user` panics where a message contradicts itself.
    #[error("a message that nobody can understand")]
    Message,
}

/// A function's socket.
pub struct Socket {
    server: Server,
    backend: Backend,
}

impl Socket {
    /// Binds the socket of `function` to `path`. Every function is told of the guest's
    /// memory: `ram` is for the one whose word counts.
    pub fn bind(
        path: &Path,
        name: &str,
        function: Arc<dyn PciFunction>,
        ram: Option<Arc<GuestRam>>,
    ) -> io::Result<Self> {
        let server = Server::new(path, true, interrupts(&*function), regions(&*function))
            .map_err(|error| io::Error::other(error.to_string()))?;
        let backend = Backend {
            name: name.to_string(),
            function,
            ram,
        };
        Ok(Self { server, backend })
    }

    /// Serves one connection to its end, and leaves the function as it is without any.
    pub fn serve(&mut self) -> Result<(), Broken> {
        let Self { server, backend } = self;
        // The models' locks outlast a panic, and the reset below makes good what it left.
        let served = catch_unwind(AssertUnwindSafe(|| server.run(backend)));
        self.backend.function.disconnected();
        if let Some(ram) = &self.backend.ram {
            ram.clear();
        }
        Ok(served.map_err(|_| Broken::Message)??)
    }

    /// Serves one connection after the other, on a thread of its own.
    pub fn spawn(mut self) -> io::Result<()> {
        let name = self.backend.name.clone();
        std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                loop {
                    match self.serve() {
                        Ok(()) => tracing::info!(name, "disconnected"),
                        Err(Broken::Connection(error @ vfio_user::Error::SocketAccept(_))) => {
                            tracing::error!(name, %error, "no more connections");
                            return;
                        }
                        Err(error) => tracing::warn!(name, %error, "connection broke"),
                    }
                }
            })?;
        Ok(())
    }
}

fn interrupts(function: &dyn PciFunction) -> Vec<IrqInfo> {
    (0..)
        .zip(function.interrupt_counts())
        .map(|(index, count)| IrqInfo {
            index,
            flags: VFIO_IRQ_INFO_EVENTFD | if count > 1 { VFIO_IRQ_INFO_NORESIZE } else { 0 },
            count,
        })
        .collect()
}

/// Region of the function's BAR.
fn bar(function: &dyn PciFunction) -> u32 {
    index::BAR0 + u32::from(function.bar())
}

fn regions(function: &dyn PciFunction) -> Vec<ServerRegion> {
    (0..index::REGIONS)
        .map(|region| {
            let size = match region {
                _ if region == bar(function) => function.bar_size(),
                index::CONFIG => config_space::SIZE as u64,
                _ => 0,
            };
            let access = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
            let region_info = vfio_region_info {
                argsz: size_of::<vfio_region_info>() as u32,
                flags: if size > 0 { access } else { 0 },
                index: region,
                size,
                ..Default::default()
            };
            ServerRegion {
                region_info,
                sparse_areas: Vec::new(),
                mmap_fd: None,
            }
        })
        .collect()
}

struct Backend {
    name: String,
    function: Arc<dyn PciFunction>,
    ram: Option<Arc<GuestRam>>,
}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

impl ServerBackend for Backend {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        if data.len() > MAX_ACCESS {
            return Err(invalid());
        }
        match region {
            index::CONFIG => self.function.read_config(offset, data),
            _ if region == bar(&*self.function) => self.function.read_bar(offset, data),
            _ => return Err(invalid()),
        }
        Ok(())
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        tracing::trace!(name = self.name, region, offset, ?data, "write");
        if data.len() > MAX_ACCESS {
            return Err(invalid());
        }
        match region {
            index::CONFIG => self.function.write_config(offset, data),
            _ if region == bar(&*self.function) => self.function.write_bar(offset, data),
            _ => return Err(invalid()),
        }
        Ok(())
    }

    fn dma_map(
        &mut self,
        flags: DmaMapFlags,
        offset: u64,
        address: u64,
        size: u64,
        file: Option<File>,
    ) -> io::Result<()> {
        let Some(ram) = &self.ram else { return Ok(()) };
        // Firmware's ROMs come without a file or read-only. They are not for DMA.
        let (Some(file), true) = (file, flags.contains(DmaMapFlags::READ_WRITE)) else {
            tracing::debug!(address, size, "ignoring what is not RAM");
            return Ok(());
        };
        match ram.map(address, size, file, offset) {
            Ok(()) => tracing::debug!(address, size, "mapped"),
            // QEMU would give up on the device; DMA there is dropped instead.
            Err(error) => tracing::warn!(address, size, %error, "cannot map guest memory"),
        }
        Ok(())
    }

    fn dma_unmap(&mut self, flags: DmaUnmapFlags, address: u64, size: u64) -> io::Result<()> {
        let Some(ram) = &self.ram else { return Ok(()) };
        if flags.contains(DmaUnmapFlags::UNMAP_ALL) {
            ram.clear();
        } else {
            let regions = ram.unmap(address, size);
            tracing::debug!(address, size, regions, "unmapped");
        }
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.function.bus_reset();
        Ok(())
    }

    fn set_irqs(
        &mut self,
        kind: u32,
        flags: u32,
        start: u32,
        count: u32,
        files: Vec<File>,
    ) -> io::Result<()> {
        // INTx, ERR and REQ never fire.
        if !matches!(kind, index::MSI | index::MSIX) || flags & VFIO_IRQ_SET_ACTION_TRIGGER == 0 {
            return Ok(());
        }
        let interrupts = self.function.interrupts();
        if flags & VFIO_IRQ_SET_DATA_EVENTFD != 0 {
            return interrupts
                .assign(start, count, files)
                .map_err(|_| invalid());
        }
        if flags & VFIO_IRQ_SET_DATA_NONE != 0 {
            if count == 0 {
                interrupts.clear();
            }
            for vector in start..start.saturating_add(count).min(u32::from(u16::MAX)) {
                interrupts.raise(vector as u16);
            }
        }
        Ok(())
    }
}
