// SPDX-License-Identifier: GPL-2.0
//! The command line.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};
use vfio_bench_protocol::Choices;

use crate::assembly::MAX_VFS;
use crate::iommu::registers::{FEATURES, HOST_ACCESSED, HOST_DIRTY};
use crate::suitable;
use crate::virtio::blk::{self, disk};
use crate::virtio::link::Place;
use crate::virtio::machine;
use crate::virtio::variety::Variety;

/// Longest socket path that the kernel takes, without the final zero.
const MAX_SOCKET_PATH: usize = 107;

/// Bytes of the disk unless told otherwise.
const DISK_SIZE: u64 = 64 << 20;

/// Longest name of a socket in the directory.
const LONGEST_SOCKET: &str = "/control.sock";

/// Emulates a virtio-net or virtio-blk device with SR-IOV and an AMD-Vi IOMMU for QEMU over
/// vfio-user.
///
/// QEMU 10.1 or later attaches it, with what is in DIR/qemu.args and with memory that is a shared
/// memfd. "ready" is printed when all sockets listen. DIR/control.sock takes requests of the
/// control protocol. See Documentation/bench.rst.
#[derive(Clone, Debug, Parser)]
#[command(name = "vfio-bench", version)]
pub struct Options {
    /// Directory for sockets, qemu.args and ivrs.bin
    #[arg(long)]
    pub dir: PathBuf,

    /// Virtual functions of the device
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_VFS)))]
    pub vfs: u16,

    /// What all functions are
    #[arg(long, value_enum, default_value_t = DeviceType::Net)]
    pub device: DeviceType,

    /// Queue pairs of each network function [default: 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=8))]
    pub queue_pairs: Option<u16>,

    /// Request queues of each block function [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=8))]
    pub blk_queues: Option<u16>,

    /// Bytes of the disk, in memory, that the block functions share [default: 67108864]
    #[arg(long, value_name = "BYTES", conflicts_with = "disk_image")]
    pub disk_size: Option<u64>,

    /// File to take as the disk instead
    #[arg(long, value_name = "PATH")]
    pub disk_image: Option<PathBuf>,

    /// Do not offer an administration virtqueue
    #[arg(long)]
    pub no_admin_vq: bool,

    /// Descriptors of the administration virtqueue
    #[arg(long, value_name = "N", default_value_t = machine::ADMIN_QUEUE_SIZE, value_parser = queue_size, conflicts_with = "no_admin_vq")]
    pub admin_queue_size: u16,

    /// Take admin commands of more descriptors than the queue has, which Linux's own driver makes
    /// for large device contexts
    #[arg(long, conflicts_with = "no_admin_vq")]
    pub long_admin_chains: bool,

    /// Device parts objects of all virtual functions: so many to get with and to set with
    #[arg(long, value_name = "N", default_value_t = machine::OBJECTS, value_parser = clap::value_parser!(u8).range(1..=127), conflicts_with = "no_admin_vq")]
    pub objects: u8,

    /// Take device parts without those that must precede them in the same command
    #[arg(long, conflicts_with = "no_admin_vq")]
    pub lenient_parts: bool,

    /// Verify the common configuration in device parts, and do not apply it
    #[arg(long, conflicts_with = "no_admin_vq")]
    pub verify_common_cfg: bool,

    /// Give device parts that are selected together with those that must precede them
    #[arg(long, conflicts_with = "no_admin_vq")]
    pub get_predecessors: bool,

    /// Let rings keep their positions when device parts are set that leave the queues as they are
    #[arg(long, conflicts_with = "no_admin_vq")]
    pub private_ring_positions: bool,

    /// Repeat no interrupt when a device resumes with parts that were set
    #[arg(long, conflicts_with = "no_admin_vq")]
    pub quiet_resume: bool,

    /// Make the virtual functions transitional: offer the administration
    /// commands by which a legacy driver can use them
    #[arg(long, conflicts_with = "no_admin_vq")]
    pub transitional: bool,

    /// Do not offer mergeable receive buffers
    #[arg(long)]
    pub no_mrg_rxbuf: bool,

    /// Let the switch learn the address of a function from its frames only
    #[arg(long)]
    pub no_mac_learning: bool,

    /// An IOMMU without accessed and dirty bits in its page tables
    #[arg(long)]
    pub no_dirty_tracking: bool,

    /// Do not offer indirect descriptors
    #[arg(long)]
    pub no_indirect: bool,

    #[command(flatten)]
    pub variety: Variety,

    /// Number of the bus that the functions are on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub bus: u8,

    /// Bytes of ballast in each function's device parts
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    pub extra_parts: usize,

    /// Bytes of ballast in one part
    #[arg(long, default_value_t = machine::EXTRA_PART_SIZE, value_name = "BYTES")]
    pub extra_part_size: usize,

    /// Unix datagram socket for the host's port of the Ethernet switch
    #[arg(long, value_name = "PATH")]
    pub host_socket: Option<PathBuf>,

    /// Check first that this QEMU can use the bench
    #[arg(long, value_name = "PROGRAM")]
    pub qemu: Option<PathBuf>,

    /// Print the manual page, and do nothing else
    #[arg(long)]
    pub man: bool,
    /// Link the switch to that of another bench, over a Unix stream socket: listen:PATH, or
    /// connect:PATH for the other one
    #[arg(long, value_name = "WHERE")]
    pub link: Option<Place>,

    /// Fifth byte of the functions' Ethernet addresses; linked benches need different ones
    /// [default: 102]
    #[arg(long, value_name = "BYTE")]
    pub mac_block: Option<u8>,

    /// Slot of the root port on QEMU's root bus
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=29))]
    pub pci_slot: u8,
}

/// The device type of all functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceType {
    /// Network devices behind one switch
    Net,
    /// Block devices in front of one disk
    Blk,
}

/// Why the bench does not start. One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a refusal: help or version was asked for.
    Information(String),
    /// What is wrong.
    Impossible(String),
}

impl Options {
    /// Parses and checks the arguments, program name first.
    pub fn read(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Self, Refusal> {
        let arguments: Vec<_> = arguments.into_iter().collect();
        if arguments.iter().skip(1).eq(["--man"]) {
            return Err(man());
        }
        let options = Self::try_parse_from(arguments).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Refusal::Information(error.to_string())
            }
            _ => Refusal::Impossible(one_line(&error.to_string())),
        })?;
        options.check().map_err(Refusal::Impossible)?;
        if let Some(program) = &options.qemu {
            suitable::check(program).map_err(Refusal::Impossible)?;
        }
        Ok(options)
    }

    fn check(&self) -> Result<(), String> {
        if self.man {
            return Err("--man: not with other arguments".into());
        }
        if !self.dir.is_dir() {
            return Err(format!("--dir {}: not a directory", self.dir.display()));
        }
        if self.dir.as_os_str().len() + LONGEST_SOCKET.len() > MAX_SOCKET_PATH {
            return Err(format!(
                "--dir {}: too long for the path of a socket",
                self.dir.display()
            ));
        }
        self.check_device()?;
        let (bytes, part_size) = (self.extra_parts, self.extra_part_size);
        machine::Ballast::new(bytes, part_size).map_err(|error| {
            format!("--extra-parts {bytes}, --extra-part-size {part_size}: {error}")
        })?;
        if let Some(path) = &self.host_socket {
            check_socket("--host-socket", path)?;
        }
        if let Some(place) = &self.link {
            check_socket("--link", place.path())?;
        }
        match self.dir.to_str() {
            Some(dir) if !dir.contains([',', '\n']) => Ok(()),
            _ => Err(
                "--dir: QEMU takes neither commas, line breaks nor bytes that are not UTF-8".into(),
            ),
        }
    }

    /// Refuses options that are about another device type.
    fn check_device(&self) -> Result<(), String> {
        let (type_name, others) = match self.device {
            DeviceType::Net => (
                "net",
                vec![
                    ("--blk-queues", self.blk_queues.is_some()),
                    ("--disk-size", self.disk_size.is_some()),
                    ("--disk-image", self.disk_image.is_some()),
                    ("--read-only", self.variety.read_only),
                ],
            ),
            DeviceType::Blk => (
                "blk",
                vec![
                    ("--queue-pairs", self.queue_pairs.is_some()),
                    ("--transitional", self.transitional),
                    ("--no-mrg-rxbuf", self.no_mrg_rxbuf),
                    ("--no-mac-learning", self.no_mac_learning),
                    ("--mtu", self.variety.mtu.is_some()),
                    ("--guest-announce", self.variety.guest_announce),
                    ("--checksum", self.variety.checksum),
                    ("--receive-ahead", self.variety.receive_ahead),
                    ("--host-socket", self.host_socket.is_some()),
                    ("--link", self.link.is_some()),
                    ("--mac-block", self.mac_block.is_some()),
                ],
            ),
        };
        if let Some((option, _)) = others.iter().find(|(_, given)| *given) {
            return Err(format!("{option}: not with --device {type_name}"));
        }
        match self.disk_size {
            Some(size) if !disk::is_possible(size) => Err(format!(
                "--disk-size {size}: whole sectors of {} bytes, up to {}",
                disk::SECTOR,
                disk::MAX_SIZE
            )),
            _ => Ok(()),
        }
    }

    /// What the IOMMU offers.
    pub fn iommu_features(&self) -> u64 {
        if self.no_dirty_tracking {
            FEATURES & !(HOST_ACCESSED | HOST_DIRTY)
        } else {
            FEATURES
        }
    }

    /// What the device models are told.
    pub fn machine(&self) -> machine::Config {
        machine::Config {
            device: match self.device {
                DeviceType::Net => machine::DeviceType::Net,
                DeviceType::Blk => machine::DeviceType::Blk(self.blk()),
            },
            queue_pairs: self.queue_pairs.unwrap_or(1),
            admin_vq: !self.no_admin_vq,
            admin_queue_size: self.admin_queue_size,
            long_admin_chains: self.long_admin_chains,
            objects: self.objects,
            lenient_parts: self.lenient_parts,
            choices: self.choices(),
            variety: self.variety.clone(),
            transitional: self.transitional,
            mrg_rxbuf: !self.no_mrg_rxbuf,
            indirect: !self.no_indirect,
            extra_parts: self.extra_parts,
            extra_part_size: self.extra_part_size,
            host_socket: self.host_socket.clone(),
            mac_block: self.mac_block.unwrap_or(machine::MAC_BLOCK),
            link: self.link.clone(),
        }
    }

    fn choices(&self) -> Choices {
        Choices {
            verify_common_cfg: self.verify_common_cfg,
            get_predecessors: self.get_predecessors,
            private_ring_positions: self.private_ring_positions,
            quiet_resume: self.quiet_resume,
            no_mac_learning: self.no_mac_learning,
        }
    }

    fn blk(&self) -> blk::Config {
        let medium = match &self.disk_image {
            Some(path) => disk::Medium::Image(path.clone()),
            None => disk::Medium::Memory(self.disk_size.unwrap_or(DISK_SIZE)),
        };
        blk::Config {
            queues: self.blk_queues.unwrap_or(1),
            medium,
        }
    }
}

/// The manual page.
fn man() -> Refusal {
    let mut page = Vec::new();
    match clap_mangen::Man::new(Options::command()).render(&mut page) {
        Ok(()) => Refusal::Information(String::from_utf8_lossy(&page).into_owned()),
        Err(error) => Refusal::Impossible(format!("--man: {error}")),
    }
}

/// Refuses a path, given with `option`, that cannot become a socket's.
fn check_socket(option: &str, path: &Path) -> Result<(), String> {
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        return Err(format!("{option} {}: too long a path", path.display()));
    }
    match path.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() => Err(format!(
            "{option} {}: is in the way and not a socket",
            path.display()
        )),
        _ => Ok(()),
    }
}

/// A size that a split virtqueue can have and a command fits into.
fn queue_size(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(size) if size.is_power_of_two() && (4..=1024).contains(&size) => Ok(size),
        _ => Err("a power of two from 4 to 1024".to_string()),
    }
}

/// The first paragraph of clap's message, without its "error: ".
fn one_line(message: &str) -> String {
    let paragraph: Vec<&str> = message
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    let text = paragraph.join(" ");
    text.strip_prefix("error: ").unwrap_or(&text).to_string()
}
