// SPDX-License-Identifier: GPL-2.0

//! How memory for device parts is divided into physically contiguous pieces.
//!
//! Each piece takes a descriptor of the PF's admin virtqueue. A driver must not
//! make a chain of more descriptors than the queue has (virtio 1.4, 2.7.5.2),
//! with indirect descriptors or without, and where it cannot be made at all
//! `virtio_pci` of Linux 7.3 waits for room for ever. So there are few pieces,
//! and large ones if need be.

/// Most descriptors of one command, however many the queue has: what a device can
/// make the kernel allocate has a bound.
const MAX_DESCRIPTORS: usize = 64;

/// Descriptors of a command beside those of the parts: its header, what else it
/// has to say, and its status.
const OTHER_DESCRIPTORS: usize = 3;

/// Pieces that one command should have, if more are possible: a device has less to do
/// with few.
const FEW_PIECES: usize = 16 - OTHER_DESCRIPTORS;

/// Size in bytes of the smallest piece, but for the last of a buffer, which is
/// as small as what is left.
const MIN_PIECE: usize = 4 << 10;

/// Size in bytes up to which a piece costs the kernel no effort.
const EASY_PIECE: usize = 32 << 10;

/// Size in bytes of the largest piece: the largest block that the kernel's page
/// allocator has with pages of 4 KiB.
const MAX_PIECE: usize = 4 << 20;

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

/// What one command of an admin virtqueue carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    max_pieces: usize,
}

impl Capacity {
    /// Of a queue of which nothing is known, and the most of any queue.
    pub const MOST: Self = Self::of_queue(MAX_DESCRIPTORS);

    /// Of a queue with so many descriptors.
    pub const fn of_queue(descriptors: usize) -> Self {
        let used = if descriptors < MAX_DESCRIPTORS {
            descriptors
        } else {
            MAX_DESCRIPTORS
        };
        Self {
            max_pieces: used.saturating_sub(OTHER_DESCRIPTORS),
        }
    }

    /// Largest buffer in bytes: device parts beyond it fit into no command.
    pub const fn bytes(self) -> usize {
        self.max_pieces * MAX_PIECE
    }

    /// The next piece of a buffer that has `pieces` pieces, of which all is known:
    /// `left` bytes, not zero, are to go into this one and others behind it.
    ///
    /// `None` if they do not fit into one command.
    pub fn next(self, pieces: usize, left: usize) -> Option<Choice> {
        let few = FEW_PIECES.min(self.max_pieces).saturating_sub(pieces);
        let few = least(left, few).unwrap_or(MAX_PIECE);
        self.choice(few.max(EASY_PIECE), pieces, left)
    }

    /// The next piece of a buffer that has `filled` bytes in `pieces` pieces and to
    /// which up to `left` bytes, not zero, may still come: what is allocated stays
    /// in proportion to what has come.
    ///
    /// `None` as with [`next`](Self::next).
    pub fn next_growing(self, pieces: usize, filled: usize, left: usize) -> Option<Choice> {
        let doubled = filled.clamp(MIN_PIECE, MAX_PIECE);
        self.choice(doubled.checked_next_power_of_two()?, pieces, left)
    }

    fn choice(self, wanted: usize, pieces: usize, left: usize) -> Option<Choice> {
        let least = least(left, self.max_pieces.saturating_sub(pieces))?;
        Some(Choice {
            wanted: wanted.clamp(least, MAX_PIECE).min(left),
            least: least.min(left),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes of the pieces for `len` bytes if the allocator gives what `size` makes of each choice.
    fn pieces(
        capacity: Capacity,
        len: usize,
        size: impl Fn(Choice) -> usize,
    ) -> Option<Vec<usize>> {
        let (mut sizes, mut left) = (Vec::new(), len);
        while left > 0 {
            let size = size(capacity.next(sizes.len(), left)?);
            sizes.push(size);
            left -= size;
        }
        Some(sizes)
    }

    /// Of queues as small as a command fits into with one piece, and as large as can be.
    const QUEUES: [usize; 7] = [4, 5, 8, 16, 63, 64, 1 << 15];

    /// Lengths of buffers that fit, the largest among them.
    fn lengths(capacity: Capacity) -> impl Iterator<Item = usize> {
        let lengths = [
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
            capacity.bytes() - 1,
            capacity.bytes(),
        ];
        lengths
            .into_iter()
            .filter(move |len| *len <= capacity.bytes())
    }

    #[test]
    fn a_small_context_is_one_piece() {
        for queue in QUEUES {
            let capacity = Capacity::of_queue(queue);
            assert_eq!(pieces(capacity, 1, |c| c.wanted), Some(vec![1]));
            assert_eq!(pieces(capacity, 32 << 10, |c| c.wanted), Some(vec![32 << 10]));
        }
    }

    #[test]
    fn there_are_few_pieces_up_to_their_share_of_the_largest() {
        for len in [1 << 20, FEW_PIECES * MAX_PIECE] {
            let few = pieces(Capacity::MOST, len, |c| c.wanted).unwrap();
            assert!(few.len() <= FEW_PIECES, "{len}");
        }
    }

    #[test]
    fn every_length_fits_however_little_the_allocator_gives() {
        for queue in QUEUES {
            let capacity = Capacity::of_queue(queue);
            for len in lengths(capacity) {
                for sizes in [
                    pieces(capacity, len, |c| c.wanted),
                    pieces(capacity, len, |c| c.least),
                ] {
                    let sizes = sizes.unwrap();
                    assert_eq!(sizes.iter().sum::<usize>(), len);
                    let descriptors = sizes.len() + OTHER_DESCRIPTORS;
                    assert!(descriptors <= queue, "{len}: {descriptors} of {queue}");
                    let (_, full) = sizes.split_last().unwrap();
                    assert!(full.iter().all(|size| size.is_power_of_two()), "{len}");
                }
            }
            assert_eq!(pieces(capacity, capacity.bytes() + 1, |c| c.wanted), None);
            assert_eq!(pieces(capacity, usize::MAX, |c| c.wanted), None);
        }
    }

    #[test]
    fn a_queue_without_room_carries_nothing() {
        for queue in 0..=OTHER_DESCRIPTORS {
            let capacity = Capacity::of_queue(queue);
            assert_eq!(capacity.bytes(), 0);
            assert_eq!(capacity.next(0, 1), None);
            assert_eq!(capacity.next_growing(0, 0, 1), None);
        }
    }

    #[test]
    fn growing_stays_in_proportion_and_still_fits() {
        for queue in QUEUES {
            let capacity = Capacity::of_queue(queue);
            for len in lengths(capacity) {
                let (mut sizes, mut filled) = (0, 0);
                while filled < len {
                    let choice = capacity.next_growing(sizes, filled, len - filled).unwrap();
                    assert!(choice.least <= choice.wanted && choice.wanted <= len - filled);
                    let share = len.div_ceil(capacity.max_pieces).next_power_of_two();
                    let proportionate = filled.max(MIN_PIECE).next_power_of_two();
                    assert!(choice.wanted <= proportionate.max(share), "{len} at {filled}");
                    filled += choice.wanted;
                    sizes += 1;
                }
                assert!(sizes + OTHER_DESCRIPTORS <= queue, "{len}: {sizes} pieces");
            }
            assert_eq!(capacity.next_growing(0, 0, capacity.bytes() + 1), None);
            assert_eq!(capacity.next_growing(capacity.max_pieces, 1, 1), None);
        }
    }
}
