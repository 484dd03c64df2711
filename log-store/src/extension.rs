//! What a rewritten batch must still know of each row: the epochs of merged rows, the offsets of those that compaction
//! left.
//!
//! ```text
//! extension = runs? offsets?                                  (which of them: the flags of the header)
//! runs      = count · (epoch − previous · zigzag(time − previous) · rows)*     the last epoch is the header's
//! offsets   = (offset − previous)* for each row, from the base offset
//! ```
//!
//! All numbers are LEB128 variable-length integers, so an epoch of a one-row append costs about five bytes.

use std::ops::Range;

use crate::{
    Epoch,
    batch::{BatchHeader, FLAG_RUNS, FLAG_SPARSE},
};

/// Rows of one epoch within a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochRun {
    /// The epoch.
    pub epoch: Epoch,
    /// Its wall-clock time in microseconds.
    pub time: i64,
    /// Its rows in the body. May be empty when compaction took them all.
    pub rows: Range<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extension {
    pub runs: Vec<EpochRun>,
    /// From the base offset; strictly increasing.
    pub offsets: Vec<u32>,
}

impl Extension {
    /// How many rows have an epoch of at most `epoch`.
    pub fn rows_up_to(&self, epoch: Epoch) -> u32 {
        let runs = self.runs.partition_point(|run| run.epoch <= epoch);
        match runs {
            0 => 0,
            n => self.runs[n - 1].rows.end,
        }
    }

    pub fn flags(&self) -> u8 {
        let runs = if self.runs.is_empty() { 0 } else { FLAG_RUNS };
        let sparse = if self.offsets.is_empty() {
            0
        } else {
            FLAG_SPARSE
        };
        runs | sparse
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !self.runs.is_empty() {
            put(&mut bytes, self.runs.len() as u64);
            let (mut epoch, mut time) = (0u64, 0i64);
            for run in &self.runs {
                put(&mut bytes, run.epoch.0 - epoch);
                put(&mut bytes, zigzag(run.time.wrapping_sub(time)));
                put(&mut bytes, u64::from(run.rows.end - run.rows.start));
                (epoch, time) = (run.epoch.0, run.time);
            }
        }
        let mut previous = 0;
        for &offset in &self.offsets {
            put(&mut bytes, u64::from(offset - previous));
            previous = offset;
        }
        bytes
    }

    pub fn decode(header: &BatchHeader, bytes: &[u8]) -> Result<Extension, String> {
        let mut input = bytes;
        let mut extension = Extension::default();
        let broken = || "the extension contradicts the header".to_string();
        if header.flags & FLAG_RUNS != 0 {
            let count = take(&mut input)?;
            // Each run takes at least three bytes: never allocate by announced length.
            if count == 0 || count > bytes.len() as u64 {
                return Err(broken());
            }
            let (mut epoch, mut time, mut row) = (0u64, 0i64, 0u32);
            for index in 0..count {
                let step = take(&mut input)?;
                if step == 0 && index > 0 {
                    return Err(broken());
                }
                epoch = epoch.checked_add(step).ok_or_else(broken)?;
                time = time.wrapping_add(unzigzag(take(&mut input)?));
                let rows = u32::try_from(take(&mut input)?).map_err(|_| broken())?;
                let end = row.checked_add(rows).ok_or_else(broken)?;
                extension.runs.push(EpochRun {
                    epoch: Epoch(epoch),
                    time,
                    rows: row..end,
                });
                row = end;
            }
            if row != header.rows || Epoch(epoch) != header.epoch {
                return Err(broken());
            }
        }
        if header.flags & FLAG_SPARSE != 0 {
            if u64::from(header.rows) > input.len() as u64 {
                return Err(broken());
            }
            let mut previous = 0u64;
            for row in 0..header.rows {
                let step = take(&mut input)?;
                previous = previous.checked_add(step).ok_or_else(broken)?;
                if (step == 0 && row > 0) || previous > u64::from(header.last_offset_delta) {
                    return Err(broken());
                }
                extension.offsets.push(previous as u32);
            }
        }
        if !input.is_empty() {
            return Err(broken());
        }
        Ok(extension)
    }
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take(input: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first().ok_or("the extension is cut off")?;
        *input = rest;
        if shift == 63 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number of the extension is too large".into())
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive() {
        for value in [
            0,
            1,
            127,
            128,
            300,
            u64::from(u32::MAX),
            u64::MAX - 1,
            u64::MAX,
        ] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!(take(&mut bytes.as_slice()), Ok(value));
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }
}
