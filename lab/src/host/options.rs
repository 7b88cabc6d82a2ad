// SPDX-License-Identifier: GPL-2.0
//! What to migrate, and how.

use std::rc::Rc;

use super::common::Common;
use super::prepare::Driver;
use super::scenario::Scenario;
use super::tracking::{DirtyTracker, Tracking};
use super::vmm::Program;

#[derive(Clone)]
pub struct Options {
    pub common: Common,
    pub scenario: Scenario,
    /// What the tests of this run are called, if not by what it is.
    pub called: Option<String>,
    /// The driver that the virtual functions are bound to.
    pub driver: Driver,
    /// The VMM that has the guest.
    pub program: Rc<dyn Program>,
    /// How it reaches the device and learns of dirty pages.
    pub tracking: Tracking,
    /// Who is to report the device's dirty pages to it.
    pub expect_tracker: DirtyTracker,
}

impl Options {
    /// What the tests of this run are called.
    pub fn fixture(&self) -> String {
        if let Some(name) = &self.called {
            return name.clone();
        }
        match self.scenario.name.as_str() {
            "once" => self.tracking.fixture().to_string(),
            _ => self.scenario.fixture(),
        }
    }
}
