// SPDX-License-Identifier: GPL-2.0

//! How memory for device parts is divided into physically contiguous pieces.
//!
//! Each piece takes a descriptor of the PF's admin virtqueue. A driver must not
//! make a chain of more descriptors than the queue has (virtio 1.4, 2.7.5.2),
//! with indirect descriptors or without, and where it cannot be made at all
//! `virtio_pci` of Linux 7.3 waits for room for ever. So there are few pieces,
//! and large ones if need be.

/// Descriptors that an admin virtqueue is taken to have. How many it really has
/// is known to the PF's driver alone.
const QUEUE_SIZE: usize = 64;

/// Descriptors of a command beside those of the parts: its header, what else it
/// has to say, and its status.
const OTHER_DESCRIPTORS: usize = 3;

/// Most pieces that one command may have.
pub const MAX_PIECES: usize = QUEUE_SIZE - OTHER_DESCRIPTORS;

/// Pieces that one command should have: smaller queues take them, too.
const FEW_PIECES: usize = 16 - OTHER_DESCRIPTORS;

/// Size in bytes of the smallest piece, but for the last of a buffer, which is
/// as small as what is left.
const MIN_PIECE: usize = 4 << 10;

/// Size in bytes up to which a piece costs the kernel no effort.
const EASY_PIECE: usize = 32 << 10;

/// Size in bytes of the largest piece: the largest block that the kernel's page
/// allocator has with pages of 4 KiB.
const MAX_PIECE: usize = 4 << 20;

/// Largest buffer in bytes: device parts beyond it fit into no command.
pub const MAX_LEN: usize = MAX_PIECES * MAX_PIECE;

/// Size of the smallest pieces of which at most `pieces` hold `len` bytes, a
/// power of two.
///
/// `None` if no pieces do.
fn least(len: usize, pieces: usize) -> Option<usize> {
    let share = len.div_ceil(pieces.max(1)).max(MIN_PIECE);
    let size = share.checked_next_power_of_two()?;
    (pieces > 0 && size <= MAX_PIECE).then_some(size)
}

/// Sizes in bytes that the next piece of a buffer may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The best size.
    pub wanted: usize,
    /// The smallest with which the rest still fits into one command.
    pub least: usize,
}

/// The next piece of a buffer that has `pieces` pieces, of which all is known:
/// `left` bytes, not zero, are to go into this one and others behind it.
///
/// `None` if they do not fit into one command.
pub fn next(pieces: usize, left: usize) -> Option<Choice> {
    let few = least(left, FEW_PIECES.saturating_sub(pieces)).unwrap_or(MAX_PIECE);
    choice(few.max(EASY_PIECE), pieces, left)
}

/// The next piece of a buffer that has `filled` bytes in `pieces` pieces and to
/// which up to `left` bytes, not zero, may still come: what is allocated stays
/// in proportion to what has come.
///
/// `None` as with [`next`].
pub fn next_growing(pieces: usize, filled: usize, left: usize) -> Option<Choice> {
    let doubled = filled.clamp(MIN_PIECE, MAX_PIECE);
    choice(doubled.checked_next_power_of_two()?, pieces, left)
}

fn choice(wanted: usize, pieces: usize, left: usize) -> Option<Choice> {
    let least = least(left, MAX_PIECES.saturating_sub(pieces))?;
    Some(Choice {
        wanted: wanted.clamp(least, MAX_PIECE).min(left),
        least: least.min(left),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes of the pieces for `len` bytes if the allocator gives what `size` makes of each choice.
    fn pieces(len: usize, size: impl Fn(Choice) -> usize) -> Option<Vec<usize>> {
        let (mut sizes, mut left) = (Vec::new(), len);
        while left > 0 {
            let size = size(next(sizes.len(), left)?);
            sizes.push(size);
            left -= size;
        }
        Some(sizes)
    }

    const LENGTHS: [usize; 12] = [
        1,
        4095,
        4096,
        32 << 10,
        (32 << 10) + 1,
        500_000,
        1 << 20,
        4 << 20,
        (15 << 20) + 7,
        64 << 20,
        MAX_LEN - 1,
        MAX_LEN,
    ];

    #[test]
    fn a_small_context_is_one_piece() {
        assert_eq!(pieces(1, |c| c.wanted), Some(vec![1]));
        assert_eq!(pieces(32 << 10, |c| c.wanted), Some(vec![32 << 10]));
    }

    #[test]
    fn small_queues_take_up_to_their_share_of_the_largest_pieces() {
        for len in [1 << 20, FEW_PIECES * MAX_PIECE] {
            assert!(pieces(len, |c| c.wanted).unwrap().len() <= FEW_PIECES, "{len}");
        }
    }

    #[test]
    fn every_length_fits_however_little_the_allocator_gives() {
        for len in LENGTHS {
            for sizes in [pieces(len, |c| c.wanted), pieces(len, |c| c.least)] {
                let sizes = sizes.unwrap();
                assert_eq!(sizes.iter().sum::<usize>(), len);
                assert!(sizes.len() <= MAX_PIECES, "{len}: {} pieces", sizes.len());
                let (_, full) = sizes.split_last().unwrap();
                assert!(full.iter().all(|size| size.is_power_of_two()), "{len}");
            }
        }
        assert_eq!(pieces(MAX_LEN + 1, |c| c.wanted), None);
        assert_eq!(pieces(usize::MAX, |c| c.wanted), None);
    }

    #[test]
    fn growing_stays_in_proportion_and_still_fits() {
        for len in LENGTHS {
            let (mut sizes, mut filled) = (0, 0);
            while filled < len {
                let choice = next_growing(sizes, filled, len - filled).unwrap();
                assert!(choice.least <= choice.wanted && choice.wanted <= len - filled);
                let share = len.div_ceil(MAX_PIECES).next_power_of_two();
                let proportionate = filled.max(MIN_PIECE).next_power_of_two();
                assert!(choice.wanted <= proportionate.max(share), "{len} at {filled}");
                filled += choice.wanted;
                sizes += 1;
            }
            assert!(sizes <= MAX_PIECES, "{len}: {sizes} pieces");
        }
        assert_eq!(next_growing(0, 0, MAX_LEN + 1), None);
        assert_eq!(next_growing(MAX_PIECES, 1, 1), None);
    }
}
