//! Exact sums of floating-point numbers.
//!
//! Adding `f64`s rounds, so the sum of a group would depend on the order of its rows, and on rows
//! that came and went: 1e16 + 1 − 1e16 is 0. An incremental sum must not. Each slot therefore holds
//! the exact sum as an unevaluated sum of `f64`s that do not overlap (Shewchuk, 1997), and the result
//! is that sum rounded once: the same whatever the order, and whatever was retracted.
//!
//! ```text
//!  sum = high + low              for nearly all slots: 106 bits and more, if they lie apart
//!      = spilled[n] + … + [0]    when two parts do not suffice
//! ```
//!
//! NaN and the infinities are counted, because they could not be taken back otherwise. Terms beyond
//! 2^900 are summed apart, scaled down, so that no intermediate sum overflows.

use std::collections::HashMap;

use super::codec::{Damaged, read_f64, read_i64, write_f64, write_i64};
use super::slots::{column_bytes, grow};

/// From here on terms are summed apart.
const HUGE: f64 = 8.452_712_498_170_644e270; // 2^900
/// What huge terms are divided by.
const SCALE: f64 = 1.340_780_792_994_259_7e154; // 2^512

/// One exact sum for each slot.
#[derive(Debug, Default)]
pub(super) struct ExactFloats {
    /// The sum rounded, and the rest.
    parts: Vec<(f64, f64)>,
    /// The sums that two parts cannot hold, and those with huge or non-finite terms. Their `parts`
    /// are zero.
    spilled: HashMap<u32, Box<Spilled>>,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Spilled {
    /// Parts that do not overlap, by increasing magnitude.
    parts: Vec<f64>,
    /// The same for the huge terms, scaled down.
    huge: Vec<f64>,
    not_a_number: i64,
    infinite: i64,
    negative_infinite: i64,
}

/// `a + b` as its rounded value and the exact error (Knuth, 1969).
#[inline(always)]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    let a_part = sum - b_part;
    (sum, (a - a_part) + (b - b_part))
}

/// `a × b` as its rounded value and the exact error.
#[inline(always)]
pub(super) fn two_product(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    (product, a.mul_add(b, -product))
}

impl ExactFloats {
    pub(super) fn resize(&mut self, slots: usize) {
        grow(&mut self.parts, slots, (0.0, 0.0));
    }

    /// Adds `value` `weight` times.
    #[inline(always)]
    pub(super) fn add(&mut self, slot: usize, value: f64, weight: i64) {
        if weight == 1 && value.abs() < HUGE {
            self.add_finite(slot, value);
        } else {
            self.add_many(slot, value, weight);
        }
    }

    #[inline(always)]
    fn add_finite(&mut self, slot: usize, value: f64) {
        let (high, low) = self.parts[slot];
        let (sum, error) = two_sum(high, value);
        let (middle, rest) = two_sum(error, low);
        if rest == 0.0 && (self.spilled.is_empty() || !self.spilled.contains_key(&(slot as u32))) {
            self.parts[slot] = two_sum(sum, middle);
        } else {
            self.spill(slot).add(value);
        }
    }

    #[cold]
    fn add_many(&mut self, slot: usize, value: f64, weight: i64) {
        if !value.is_finite() {
            let spilled = self.spill(slot);
            if value.is_nan() {
                spilled.not_a_number += weight;
            } else if value > 0.0 {
                spilled.infinite += weight;
            } else {
                spilled.negative_infinite += weight;
            }
            self.settle(slot as u32);
            return;
        }
        // A weight in two halves that an f64 holds exactly.
        let low = weight % (1 << 32);
        for part in [low, weight - low] {
            if part == 0 {
                continue;
            }
            if value.abs() >= HUGE {
                let (product, error) = two_product(value / SCALE, part as f64);
                let spilled = self.spill(slot);
                add_to(&mut spilled.huge, product);
                add_to(&mut spilled.huge, error);
            } else {
                let (product, error) = two_product(value, part as f64);
                for term in [product, error] {
                    if term != 0.0 {
                        self.add_finite(slot, term);
                    }
                }
            }
        }
        self.settle(slot as u32);
    }

    fn spill(&mut self, slot: usize) -> &mut Spilled {
        let (high, low) = std::mem::take(&mut self.parts[slot]);
        let spilled = self.spilled.entry(slot as u32).or_default();
        for part in [low, high] {
            if part != 0.0 {
                spilled.add(part);
            }
        }
        spilled
    }

    /// Goes back to two parts when they suffice.
    fn settle(&mut self, slot: u32) {
        if let Some(spilled) = self.spilled.get(&slot)
            && spilled.parts.len() <= 2
            && spilled.huge.is_empty()
            && spilled.not_a_number == 0
            && spilled.infinite == 0
            && spilled.negative_infinite == 0
        {
            let low = spilled.parts.first().copied().unwrap_or(0.0);
            let high = spilled.parts.get(1).copied().unwrap_or(0.0);
            self.parts[slot as usize] = two_sum(high, low);
            self.spilled.remove(&slot);
        }
    }

    /// The sum, rounded once.
    #[inline(always)]
    pub(super) fn get(&self, slot: u32) -> f64 {
        match self.spilled.is_empty() {
            true => self.parts[slot as usize].0,
            false => self.get_parts(slot).0,
        }
    }

    /// The sum rounded, and the rest rounded.
    pub(super) fn get_parts(&self, slot: u32) -> (f64, f64) {
        match self.spilled.get(&slot) {
            None => self.parts[slot as usize],
            Some(spilled) => spilled.get(),
        }
    }

    pub(super) fn reset(&mut self, slot: u32) {
        self.parts[slot as usize] = (0.0, 0.0);
        self.spilled.remove(&slot);
    }

    pub(super) fn encode(&self, slot: u32, out: &mut Vec<u8>) {
        match self.spilled.get(&slot) {
            None => {
                let (high, low) = self.parts[slot as usize];
                out.push(0);
                write_f64(high, out);
                write_f64(low, out);
            }
            Some(spilled) => {
                out.push(1);
                for parts in [&spilled.parts, &spilled.huge] {
                    write_i64(parts.len() as i64, out);
                    parts.iter().for_each(|part| write_f64(*part, out));
                }
                write_i64(spilled.not_a_number, out);
                write_i64(spilled.infinite, out);
                write_i64(spilled.negative_infinite, out);
            }
        }
    }

    pub(super) fn decode(&mut self, slot: u32, bytes: &mut &[u8]) -> Result<(), Damaged> {
        let (form, rest) = bytes.split_first().ok_or(Damaged)?;
        *bytes = rest;
        match form {
            0 => {
                let high = read_f64(bytes)?;
                self.parts[slot as usize] = (high, read_f64(bytes)?);
            }
            1 => {
                let mut read_parts = || -> Result<Vec<f64>, Damaged> {
                    (0..read_i64(bytes)?).map(|_| read_f64(bytes)).collect()
                };
                let spilled = Spilled {
                    parts: read_parts()?,
                    huge: read_parts()?,
                    not_a_number: read_i64(bytes)?,
                    infinite: read_i64(bytes)?,
                    negative_infinite: read_i64(bytes)?,
                };
                self.spilled.insert(slot, Box::new(spilled));
            }
            _ => return Err(Damaged),
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> usize {
        // A spilled sum has perhaps four parts.
        column_bytes(&self.parts)
            + self.spilled.capacity() * size_of::<(u32, Box<Spilled>)>()
            + self.spilled.len() * (size_of::<Spilled>() + 32)
    }
}

impl Spilled {
    fn add(&mut self, value: f64) {
        add_to(&mut self.parts, value);
    }

    fn get(&self) -> (f64, f64) {
        if self.not_a_number > 0 || (self.infinite > 0 && self.negative_infinite > 0) {
            return (f64::NAN, 0.0);
        }
        if self.infinite > 0 {
            return (f64::INFINITY, 0.0);
        }
        if self.negative_infinite > 0 {
            return (f64::NEG_INFINITY, 0.0);
        }
        let small = rounded(&self.parts);
        if self.huge.is_empty() {
            return small;
        }
        (rounded(&self.huge).0 * SCALE + small.0, 0.0)
    }
}

/// Adds a term to parts that do not overlap, exactly.
fn add_to(parts: &mut Vec<f64>, mut value: f64) {
    let mut kept = 0;
    for index in 0..parts.len() {
        let (sum, error) = two_sum(value, parts[index]);
        if error != 0.0 {
            parts[kept] = error;
            kept += 1;
        }
        value = sum;
    }
    parts.truncate(kept);
    if value != 0.0 {
        parts.push(value);
    }
}

/// The sum of parts that do not overlap, correctly rounded, and about what is left.
fn rounded(parts: &[f64]) -> (f64, f64) {
    let mut rest = parts.iter().rev().copied();
    let Some(mut high) = rest.next() else {
        return (0.0, 0.0);
    };
    let mut low = 0.0;
    for part in rest.by_ref() {
        (high, low) = two_sum(high, part);
        if low != 0.0 {
            break;
        }
    }
    // Half-way cases are decided by the sign of what follows.
    if let Some(next) = rest.next()
        && ((low < 0.0 && next < 0.0) || (low > 0.0 && next > 0.0))
    {
        let twice = low * 2.0;
        let candidate = high + twice;
        if candidate - high == twice {
            return (candidate, low - twice);
        }
    }
    (high, low)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(terms: &[(f64, i64)]) -> f64 {
        let mut sums = ExactFloats::default();
        sums.resize(1);
        for (value, weight) in terms {
            sums.add(0, *value, *weight);
        }
        sums.get(0)
    }

    #[test]
    fn nothing_is_lost_beside_something_large() {
        assert_eq!(sum(&[(1e16, 1), (1.0, 1), (-1e16, 1)]), 1.0);
        assert_eq!(sum(&[(1e300, 1), (1e-300, 1), (1e300, -1)]), 1e-300);
        assert_eq!(sum(&[(0.1, 10)]), 1.0);
    }

    #[test]
    fn infinities_and_nan_can_be_taken_back() {
        assert!(sum(&[(1.0, 1), (f64::NAN, 1)]).is_nan());
        assert!(sum(&[(f64::INFINITY, 1), (f64::NEG_INFINITY, 1)]).is_nan());
        assert_eq!(sum(&[(f64::INFINITY, 1), (2.5, 1)]), f64::INFINITY);
        let terms = [(f64::INFINITY, 1), (2.5, 1), (f64::NAN, 1), (f64::NAN, -1)];
        assert_eq!(sum(&[&terms[..], &[(f64::INFINITY, -1)]].concat()), 2.5);
    }

    #[test]
    fn a_sum_may_overflow_on_its_way() {
        let max = f64::MAX;
        assert_eq!(sum(&[(max, 1), (max, 1), (max, -1)]), max);
        assert_eq!(sum(&[(max, 2)]), f64::INFINITY);
    }

    proptest! {
        /// Any order gives the same bits, and what is retracted leaves no trace.
        #[test]
        fn order_and_retraction_do_not_matter(
            kept in prop::collection::vec((-1e12f64..1e12, -300i32..300), 0..20),
            gone in prop::collection::vec((-1e12f64..1e12, -300i32..280), 0..20),
            seed in any::<u64>(),
        ) {
            let scaled = |terms: &[(f64, i32)]| -> Vec<f64> {
                terms.iter().map(|(value, exponent)| value * 10f64.powi(*exponent / 2)).collect()
            };
            let (kept, gone) = (scaled(&kept), scaled(&gone));
            let plain: Vec<(f64, i64)> = kept.iter().map(|value| (*value, 1)).collect();
            let mut mixed: Vec<(f64, i64)> = plain.clone();
            mixed.extend(gone.iter().flat_map(|value| [(*value, 3), (*value, -3)]));
            // A cheap shuffle.
            let mut state = seed | 1;
            for index in (1..mixed.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                mixed.swap(index, (state >> 33) as usize % (index + 1));
            }
            prop_assert_eq!(sum(&plain).to_bits(), sum(&mixed).to_bits());
        }
    }
}
