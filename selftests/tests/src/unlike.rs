// SPDX-License-Identifier: GPL-2.0
//! Fixture `unlike`: a target that is not what the source is. It refuses, says why, and is as it
//! was; and so is the source.
//!
//! The bench has seven functions for it, six of which differ from the first (`--differ`). A device
//! verifies what features the source's offered, whether they are used or not, so that those must
//! be the same, in either direction.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use vvp_harness::kmsg::Log;
use vvp_harness::ktap::Suite;
use vvp_harness::pci::Function;
use vvp_harness::vfio::{Space, State};
use vvp_harness::{expect, expect_eq, sriov};

use crate::config::{Config, Driver};
use crate::rig::{self, Talk};
use crate::transfer::{Mode, save};

const LIMIT: Duration = Duration::from_secs(120);

/// As it is without `--differ`.
const WHOLE: u32 = 1;
const NO_MRG_RXBUF: u32 = 2;
const SMALL_QUEUES: u32 = 3;
const FEW_VECTORS: u32 = 4;
const MORE_PARTS: u32 = 5;
const NO_CTRL_VLAN: u32 = 6;
const NO_EVENT_IDX: u32 = 7;

/// What a device that refuses its parts is reported with.
const REFUSED: &str = "admin command DEV_PARTS_SET failed";

/// From where to where, the error, and what the kernel log says.
const PAIRS: [(&str, [u32; 2], Errno, &str); 7] = [
    (
        "lacks_a_feature_in_use",
        [WHOLE, NO_MRG_RXBUF],
        Errno::EOPNOTSUPP,
        "feature 15, which this device does not offer",
    ),
    (
        "lacks_a_feature_not_in_use",
        [WHOLE, NO_CTRL_VLAN],
        Errno::EINVAL,
        REFUSED,
    ),
    (
        "offers_more_features",
        [NO_EVENT_IDX, WHOLE],
        Errno::EINVAL,
        REFUSED,
    ),
    (
        "offers_other_features",
        [NO_CTRL_VLAN, NO_EVENT_IDX],
        Errno::EINVAL,
        REFUSED,
    ),
    (
        "has_smaller_queues",
        [WHOLE, SMALL_QUEUES],
        Errno::EINVAL,
        REFUSED,
    ),
    (
        "has_fewer_vectors",
        [WHOLE, FEW_VECTORS],
        Errno::EINVAL,
        REFUSED,
    ),
    (
        "has_no_place_for_parts",
        [MORE_PARTS, WHOLE],
        Errno::EINVAL,
        REFUSED,
    ),
];

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    for mode in [Mode::StopCopy, Mode::PreCopy] {
        for (name, pair, error, words) in PAIRS {
            let config = Arc::clone(config);
            let name = format!("{name}.{}", mode.name());
            suite.add_slow("unlike", "rs", name, LIMIT, move || {
                refused(&config, pair, mode, error, words)
            });
        }
    }
}

/// The functions with these numbers.
fn functions(config: &Config, numbers: [u32; 2]) -> Result<[Function; 2]> {
    let pf = config.vf()?.physfn().context("no PF")?;
    let all = sriov::bring_up_bench(&pf, NO_EVENT_IDX)?;
    let [from, to] = numbers.map(|number| all.get(number as usize - 1).cloned());
    Ok([from.context("too few VFs")?, to.context("too few VFs")?])
}

/// The target refuses, and says why; its next user finds it as ever; and the source goes on as
/// if nothing had been.
fn refused(config: &Config, pair: [u32; 2], mode: Mode, error: Errno, words: &str) -> Result<()> {
    let [vf, vf2] = functions(config, pair)?;
    let space = Arc::new(Space::new(config.access)?);
    let source = rig::open_in(config, &vf, Driver::Rs, &space)?;
    let target = rig::open_in(config, &vf2, Driver::Rs, &space)?;
    let mut talk = Talk::start(config, &vf, &source)?;
    talk.exchange(5)?;
    let stream = save(&source, mode)?;

    let mut log = Log::follow()?;
    let mut fd = rig::resume(&target)?;
    let written = fd.write_all(&stream);
    let ended = target.set_state(State::Stop).map(drop);
    expect_eq!(ended, Err(error), "RESUMING -> STOP after {written:?}");
    let messages = log.messages()?;
    let told = messages.iter().any(|message| message.contains(words));
    expect!(told, "no message has {words:?}: {messages:#?}");
    drop(fd);
    rig::recover(&target)?;
    rig::prove_migration(&target).context("the target afterwards")?;
    drop(target);

    source.go(State::Stop)?;
    source.go(State::Running)?;
    talk.exchange(10).context("the source afterwards")?;
    talk.net.drain()?;
    talk.expect_silence()
}
