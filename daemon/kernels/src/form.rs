//! How a quantized matrix lies in memory.

/// Rows of a matrix that are multiplied side by side, one in each lane of 32 bits.
pub const PANEL: usize = 16;

/// Bytes of a line: a lane of 32 bits for each row of a panel.
pub(crate) const LINE: usize = PANEL * 4;

/// Bits of a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bits {
    /// Two.
    Two,
    /// Four.
    Four,
    /// Eight.
    Eight,
}

impl Bits {
    /// How many they are.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// By their count; none where there is no kernel for it.
    #[must_use]
    pub fn of(count: usize) -> Option<Self> {
        [Self::Two, Self::Four, Self::Eight].into_iter().find(|bits| bits.count() == count)
    }

    /// The number that means zero in a matrix without zero points of its own: the middle, as `MatMulNBits` has it.
    #[must_use]
    pub fn middle(self) -> u8 {
        1 << (self.count() - 1)
    }

    /// Weights of one row in a line.
    pub(crate) fn depth_of_line(self) -> usize {
        LINE * 8 / PANEL / self.count()
    }
}

/// How scales are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scales {
    /// In half precision.
    Half,
    /// In single precision.
    Single,
}

impl Scales {
    /// Bytes of one.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Half => 2,
            Self::Single => 4,
        }
    }
}

/// No matrix that there are kernels for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Nothing to multiply.
    #[error("a matrix of {rows} by {depth} weights")]
    Empty {
        /// Rows.
        rows: usize,
        /// Weights of a row.
        depth: usize,
    },
    /// A block ends within a line, or is too long.
    #[error("blocks of {0} weights")]
    Block(usize),
    /// More bytes than there can be.
    #[error("a matrix of {rows} by {depth} weights is larger than any memory")]
    Large {
        /// Rows.
        rows: usize,
        /// Weights of a row.
        depth: usize,
    },
}

/// How a quantized matrix of `rows` outputs and `depth` inputs lies in memory: one panel after the other, in each of them one
/// block after the other, with the 16 scales of the panel's rows, their zero points where there are any, and lines. So
/// a product reads it from the beginning to the end, which is what processors fetch ahead of.
///
/// A line has four bytes for each row of the panel. Its lowest `bits` of those are the weights of four inputs in a row, the
/// next `bits` those of the next four, and so on; so one mask and one product of four bytes gives 16 sums of four. Rows
/// that fill the last panel up and inputs that fill the last block up have scales and weights that count for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    rows: usize,
    depth: usize,
    block: usize,
    bits: Bits,
    scales: Scales,
    points: bool,
}

impl Form {
    /// The longest block, of which activations rounded to 8 bits have a sum of 16 bits: 256 × 127 < 2^15.
    pub const LONGEST_BLOCK: usize = 256;

    /// A matrix of `rows` outputs, each of `depth` weights, `block` of them to a scale, with zero points of its own or not.
    ///
    /// # Errors
    /// [`FormError`] where there is no kernel for it.
    pub fn new(
        rows: usize,
        depth: usize,
        block: usize,
        bits: Bits,
        scales: Scales,
        points: bool,
    ) -> Result<Self, FormError> {
        if rows == 0 || depth == 0 {
            return Err(FormError::Empty { rows, depth });
        }
        if block == 0 || block > Self::LONGEST_BLOCK || !block.is_multiple_of(bits.depth_of_line()) {
            return Err(FormError::Block(block));
        }
        let large = FormError::Large { rows, depth };
        let form = Self { rows, depth, block, bits, scales, points };
        // Every size that is reckoned below is smaller than eight bytes for each weight, filled up.
        let padded = |count: usize, to: usize| count.checked_next_multiple_of(to);
        let most = padded(rows, PANEL).and_then(|rows| padded(depth, block)?.checked_mul(rows)?.checked_mul(8));
        if most.is_some_and(|most| isize::try_from(most).is_ok()) { Ok(form) } else { Err(large) }
    }

    /// Outputs.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Inputs that share a scale.
    #[must_use]
    pub fn block(&self) -> usize {
        self.block
    }

    /// Bits of a weight.
    #[must_use]
    pub fn bits(&self) -> Bits {
        self.bits
    }

    /// How scales are kept.
    #[must_use]
    pub fn scales(&self) -> Scales {
        self.scales
    }

    /// Whether blocks have zero points of their own.
    #[must_use]
    pub fn points(&self) -> bool {
        self.points
    }

    /// Blocks of a row, the last one filled up.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.depth.div_ceil(self.block)
    }

    /// Panels, the last one filled up.
    #[must_use]
    pub fn panels(&self) -> usize {
        self.rows.div_ceil(PANEL)
    }

    /// Bytes of a panel.
    #[must_use]
    pub fn panel_bytes(&self) -> usize {
        self.blocks() * self.block_bytes()
    }

    /// Bytes of the matrix.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.panels() * self.panel_bytes()
    }

    /// Bytes of a panel's block.
    pub(crate) fn block_bytes(&self) -> usize {
        self.lines_at() + self.lines_of_block() * LINE
    }

    /// Where zero points begin in a block: behind the scales.
    pub(crate) fn points_at(&self) -> usize {
        PANEL * self.scales.bytes()
    }

    /// Where lines begin in a block.
    pub(crate) fn lines_at(&self) -> usize {
        self.points_at() + if self.points { PANEL } else { 0 }
    }

    pub(crate) fn lines_of_block(&self) -> usize {
        self.block / self.bits.depth_of_line()
    }
}
