// SPDX-License-Identifier: GPL-2.0
//! `dirty-benchmark`: what a report of dirty pages costs by DMA logging, beside what
//! it costs by iommufd, on the same page table and in the same run, by turns.
//!
//! Then, what KVM's dirty ring costs with more and more memory, beside its bitmap.
//!
//! On an emulated machine the times mean nothing and the ratios something.
//!
//! The reports' times are printed as results, too, a series a line (see the crate `report`).

use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use vvp_harness::control::Control;
use vvp_harness::net::PageWriter;
use vvp_harness::pci::Address;
use vvp_harness::vfio::{Access, Device, DirtyTracking, DmaBuffer, PAGE, Space};
use vvp_harness::{bench, kmod, sriov};

use report::{Point, Series, Subject as Measured};

use vvp_selftests::kvm_ring::guest::{self, DATA_SLOT, ENTRIES, Guest, Stopped};

const PAGE_SIZE: u64 = PAGE as u64;
const GIB: u64 = 1 << 30;
/// Where memory is for the device.
const IOVA: u64 = 4 * GIB;
/// Length of a mapping. All are of the same memory.
const CHUNK: u64 = 32 << 20;

/// Measures reports of dirty pages, in the bench's machine.
#[derive(Parser)]
#[command(name = "dirty-benchmark", version)]
struct Arguments {
    /// The physical function.
    #[arg(long, value_name = "ADDRESS", default_value = "0000:01:00.0")]
    pf: Address,
    /// I/O addresses to report, in GiB.
    #[arg(long, value_name = "GIB", default_value_t = 4)]
    size: u64,
    /// Reports of each kind, for each number of dirty pages.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Numbers of dirty pages; the first must be 0.
    #[arg(long, value_delimiter = ',', default_value = "0,512,4096")]
    pages: Vec<u64>,
    /// Sizes of a guest's memory, in MiB, powers of two.
    #[arg(long, value_delimiter = ',', default_value = "16,64,256,1024")]
    guest: Vec<usize>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A device attached to a page table with dirty bits. Fields are dropped in order.
struct Subject {
    writer: PageWriter,
    device: Device,
    tracking: DirtyTracking,
    _memory: DmaBuffer,
    length: u64,
}

impl Subject {
    fn new(pf: &Address, length: u64) -> Result<Self> {
        let pf = bench::physical_function(pf)?;
        kmod::load_vfio_stack(true)?;
        kmod::load(kmod::OURS, "")?;
        pf.wait_netdev()?;
        let vf = sriov::bring_up_bench(&pf, 1)?
            .into_iter()
            .next()
            .context("no virtual function")?;
        vf.bind(kmod::OURS)?;
        vf.set_attribute("dma_logging", "iommu")?;
        Control::find()?
            .context("the bench's control port is missing")?
            .dirty_bits(true)?;
        let space = Arc::new(Space::new(Access::Cdev)?);
        let mut device = Device::bind(&vf, &space)?;
        let tracking = DirtyTracking::allocate(&device)?;
        device.attach(tracking.id()).context("attaching")?;
        let memory = DmaBuffer::new(IOVA, CHUNK as usize)?;
        for offset in (0..length).step_by(CHUNK as usize) {
            space.map_part(&memory, 0, CHUNK, IOVA + offset)?;
        }
        let writer = PageWriter::of(&device)?.context("the bench has no page writer")?;
        device
            .start_dma_log(PAGE_SIZE, &[(IOVA, length)])
            .context("starting the log")?;
        Ok(Self {
            writer,
            device,
            tracking,
            _memory: memory,
            length,
        })
    }

    /// Has the device write `count` pages, all over the place.
    fn write(&mut self, count: u64) -> Result<()> {
        let distance = self.length / PAGE_SIZE / count.max(1);
        for page in 0..count {
            self.writer.write(IOVA + page * distance * PAGE_SIZE)?;
        }
        Ok(())
    }

    /// Times a report by DMA logging, or by iommufd.
    fn report(&self, by_log: bool, expected: u64) -> Result<Duration> {
        let start = Instant::now();
        let bitmap = if by_log {
            self.device.read_dma_log(IOVA, self.length, PAGE_SIZE)
        } else {
            self.tracking.read(IOVA, self.length, PAGE_SIZE)
        }
        .context("a report")?;
        let took = start.elapsed();
        // At least: pages that lie together may have one dirty bit.
        let found = bitmap.pages().len() as u64;
        ensure!(
            found >= expected && (expected > 0 || found == 0),
            "{found} dirty pages of {expected}"
        );
        Ok(took)
    }
}

fn print_series(pages: u64, subject: Measured, times: &[Duration]) -> Result<()> {
    let series = Series {
        figure: "dirty-report".into(),
        unit: "us".into(),
        subject,
        point: Point {
            note: Some(format!("{pages} dirty pages")),
            ..Point::default()
        },
        values: times.iter().map(|time| time.as_secs_f64() * 1e6).collect(),
    };
    let line = serde_json::to_string(&series).context("a result as JSON")?;
    println!("{line}");
    Ok(())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        arguments.pages.first() == Some(&0) && arguments.rounds > 0 && arguments.size > 0,
        "nothing to measure"
    );
    let mut subject = Subject::new(&arguments.pf, arguments.size * GIB)?;
    println!(
        "reports of {} GiB of I/O addresses in pages of 4 KiB, {} of each kind by turns",
        arguments.size, arguments.rounds
    );
    println!("median times of an emulated machine, in microseconds:");
    println!("  dirty pages  DMA logging  iommufd  ratio");
    let mut lines = Vec::new();
    for count in &arguments.pages {
        let (mut log, mut iommufd) = (Vec::new(), Vec::new());
        // The first of each kind touches memory for the first time.
        for round in 0..=arguments.rounds {
            for (by_log, times) in [(true, &mut log), (false, &mut iommufd)] {
                subject.write(*count)?;
                let took = subject.report(by_log, *count)?;
                if round > 0 {
                    times.push(took);
                }
            }
        }
        print_series(*count, Measured::DmaLogging, &log)?;
        print_series(*count, Measured::Iommufd, &iommufd)?;
        let (log, iommufd) = (median(&mut log), median(&mut iommufd));
        let (log, iommufd) = (log.as_secs_f64() * 1e6, iommufd.as_secs_f64() * 1e6);
        println!(
            "  {count:11}  {log:11.0}  {iommufd:7.0}  {:5.2}",
            log / iommufd
        );
        lines.push((*count as f64, log, iommufd));
    }
    let (_, log, iommufd) = lines[0];
    let size = arguments.size as f64;
    println!(
        "per GiB: {:.0} by DMA logging, {:.0} by iommufd",
        log / size,
        iommufd / size
    );
    if let Some((count, most_log, most_iommufd)) = lines.last().filter(|(count, ..)| *count > 0.0) {
        println!(
            "per dirty page: {:.2} by DMA logging, {:.2} by iommufd",
            (most_log - log) / count,
            (most_iommufd - iommufd) / count
        );
    }
    subject.device.stop_dma_log().context("stopping the log")?;
    drop(subject);
    compare_ring_and_bitmap(arguments)
}

/// Writes of the guest between two looks, fewer than a ring holds.
const GUEST_WRITES: u32 = 100;
/// Pages that it writes to, so that only the size of memory differs.
const GUEST_PAGES: u64 = 4096;

fn compare_ring_and_bitmap(arguments: &Arguments) -> Result<()> {
    println!("\nKVM: finding and re-arming up to {GUEST_WRITES} dirty pages, in microseconds:");
    println!("  memory, MiB  ring  bitmap");
    for size in &arguments.guest {
        let memory = Rc::new(DmaBuffer::new(guest::DATA, size << 20)?);
        let ring = time_ring(&memory, arguments.rounds)?;
        let bitmap = time_bitmap(&memory, arguments.rounds)?;
        println!(
            "  {size:11}  {:4.0}  {:6.0}",
            ring.as_secs_f64() * 1e6,
            bitmap.as_secs_f64() * 1e6
        );
    }
    Ok(())
}

fn time_ring(memory: &Rc<DmaBuffer>, rounds: usize) -> Result<Duration> {
    let mut guest = Guest::new(Rc::clone(memory), Some(ENTRIES))?;
    guest.confine(GUEST_PAGES);
    let (mut ring, vm) = (guest.ring(ENTRIES)?, guest.vm());
    time(&mut guest, rounds, |expected| {
        let found = ring.harvest().len();
        let reset = kvm_ring::reset(&vm)?;
        ensure!(
            found == expected && reset == found,
            "{found} pages of {expected}"
        );
        Ok(())
    })
}

fn time_bitmap(memory: &Rc<DmaBuffer>, rounds: usize) -> Result<Duration> {
    let mut guest = Guest::new(Rc::clone(memory), None)?;
    guest.confine(GUEST_PAGES);
    let (vm, length) = (guest.vm(), memory.len());
    time(&mut guest, rounds, |expected| {
        let bitmap = vm.get_dirty_log(DATA_SLOT, length).context("the bitmap")?;
        let found: u32 = bitmap.iter().map(|word| word.count_ones()).sum();
        ensure!(found as usize == expected, "{found} pages of {expected}");
        Ok(())
    })
}

/// Median time that `look` takes after the guest has written.
fn time(
    guest: &mut Guest,
    rounds: usize,
    mut look: impl FnMut(usize) -> Result<()>,
) -> Result<Duration> {
    let mut times = Vec::new();
    for round in 0..=rounds {
        let written = guest.prepare(round as u32, GUEST_WRITES)?;
        ensure!(guest.run()? == Stopped::Done, "the ring is full");
        let start = Instant::now();
        look(written.len())?;
        if round > 0 {
            times.push(start.elapsed());
        }
    }
    Ok(median(&mut times))
}
