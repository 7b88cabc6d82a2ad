// SPDX-License-Identifier: GPL-2.0
//! What must be true of the pages that only the device writes.

use super::outcome::{Outcome, ensure, reached};
use super::report::Work;

/// They arrived as the device on the source wrote them last.
pub fn fresh(work: &Work) -> Outcome {
    let pages = reached(&work.pages)?;
    if let Some(error) = &pages.error {
        return Err(error.clone().into());
    }
    ensure(pages.moved, || {
        "the guest has not noticed that it moved".to_string()
    })?;
    ensure(pages.writes > pages.pages as u64, || {
        format!("only {} page writes before the migration", pages.writes)
    })?;
    match pages.stale {
        None => Err("the pages were not looked at".to_string().into()),
        Some(0) => Ok(()),
        Some(stale) => Err(format!(
            "{stale} of {} pages are stale; {}",
            pages.pages,
            pages.example.as_deref().unwrap_or("no example")
        )
        .into()),
    }
}

/// The check notices lost dirty bits.
pub fn stale_found(work: &Work) -> Outcome {
    let pages = reached(&work.pages)?;
    ensure(pages.stale.is_some_and(|stale| stale > 0), || {
        "the IOMMU lost all dirty bits and the page check noticed nothing".to_string()
    })
}

/// A device has written pages all along, and none but those.
pub fn written(work: &Work) -> Outcome {
    let pages = reached(&work.pages)?;
    if let Some(error) = &pages.error {
        return Err(error.clone().into());
    }
    ensure(
        pages.stale == Some(0) && pages.writes > 0 && !pages.moved,
        || format!("pages: {pages:?}"),
    )?;
    rewritten(work)
}

/// The present device has written all of them.
pub fn rewritten(work: &Work) -> Outcome {
    let pages = reached(&work.pages_rewritten)?;
    ensure(pages.stale == Some(0), || {
        format!("{:?} of {} pages are wrong", pages.stale, pages.pages)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::PageStats;

    #[test]
    fn a_device_that_stays_writes_all_pages() {
        let pages = PageStats {
            pages: 64,
            writes: 100,
            stale: Some(0),
            ..PageStats::default()
        };
        let good = Work {
            pages: Some(pages.clone()),
            pages_rewritten: Some(pages),
            ..Work::default()
        };
        assert_eq!(written(&good), Ok(()));
        for spoil in [
            (|work| work.pages = None) as fn(&mut Work),
            |work| work.pages.as_mut().unwrap().writes = 0,
            |work| work.pages.as_mut().unwrap().moved = true,
            |work| work.pages.as_mut().unwrap().stale = Some(1),
            |work| work.pages.as_mut().unwrap().error = Some("undone".into()),
            |work| work.pages_rewritten.as_mut().unwrap().stale = Some(1),
        ] {
            let mut work = good.clone();
            spoil(&mut work);
            assert!(written(&work).is_err());
        }
    }
}
