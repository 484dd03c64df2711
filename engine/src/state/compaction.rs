//! Compaction: gathers what is left of small and half-dead chunks into larger ones.
//!
//! ```text
//!  live rows   1–7   8–63   64–511   512–4,095   4,096–32,767   32,768–65,536
//!  tier         0     1       2          3             4              settled
//!               └──8──►└──8───►└────8─────►└─────8──────►└────────8────────►
//! ```
//!
//! The upper tier waits until there are so many chunks that their number costs something.
//! Eight chunks of a tier become one of the next, so a row is moved at most five times on its way
//! up; a chunk is also gathered anew when more than half of its rows are dead, which those deaths
//! pay for. Either way the cost for each change is constant.

use arrow::buffer::ScalarBuffer;

use crate::operator::StepError;
use crate::state::arrangement::{Arrangement, Key, key_columns};
use crate::state::chunk::{CHUNK_ROWS_MAX, Chunk, Link, batch, own_views};
use crate::state::exchange::hash_columns;
use crate::state::snapshot::RowId;

const TIERS: usize = 5;
const TIER_CHUNKS: usize = 8;
/// A chunk with so many live rows is left alone while there are not many chunks.
const SETTLED_ROWS_FEW: usize = 4_096;
const CHUNKS_FEW: usize = 512;
/// A chunk with so many live rows is always left alone.
const SETTLED_ROWS: usize = CHUNK_ROWS_MAX / 2;

fn tier(live_rows: usize) -> usize {
    (live_rows.max(1).ilog2() as usize / 3).min(TIERS - 1)
}

impl Arrangement {
    /// Drops empty chunks and merges small ones, until every tier is short.
    pub(crate) fn compact(&mut self) -> Result<(), StepError> {
        let settled_rows = match self.contents.chunks.len() <= CHUNKS_FEW {
            true => SETTLED_ROWS_FEW,
            false => SETTLED_ROWS,
        };
        loop {
            let mut looked_at = std::mem::take(&mut self.unsettled);
            looked_at.sort_unstable();
            looked_at.dedup();
            let mut tiers: [Vec<usize>; TIERS] = Default::default();
            let mut half_dead = Vec::new();
            for number in looked_at {
                let Some(chunk) = &self.contents.chunks[number] else {
                    continue;
                };
                let (live, dead) = (chunk.weights.live_rows(), chunk.weights.dead_rows());
                if live == 0 {
                    self.drop_chunk(number);
                } else if dead > live {
                    half_dead.push(number);
                } else if live < settled_rows {
                    self.unsettled.push(number);
                    tiers[tier(live)].push(number);
                }
            }
            let full = tiers.iter().position(|tier| tier.len() >= TIER_CHUNKS);
            if full.is_none() && half_dead.is_empty() {
                return Ok(());
            }
            if let Some(full) = full {
                half_dead.append(&mut tiers[full]);
            }
            for numbers in self.portions(half_dead) {
                self.merge(&numbers)?;
            }
        }
    }

    /// Cuts a list of chunks so that each portion fits into one.
    fn portions(&self, numbers: Vec<usize>) -> Vec<Vec<usize>> {
        let mut portions: Vec<Vec<usize>> = Vec::new();
        let mut room = 0;
        for number in numbers {
            let live = self.contents.chunks[number]
                .as_ref()
                .map_or(0, |chunk| chunk.weights.live_rows());
            match portions.last_mut() {
                Some(last) if live <= room => last.push(number),
                _ => {
                    portions.push(vec![number]);
                    room = CHUNK_ROWS_MAX;
                }
            }
            room -= live;
        }
        portions
    }

    fn drop_chunk(&mut self, number: usize) {
        let chunk = self.contents.chunks[number].take();
        self.free.push(number);
        self.removed.extend(
            chunk
                .iter()
                .filter(|chunk| chunk.rows_saved)
                .map(|chunk| chunk.id),
        );
        if chunk.is_some_and(|chunk| chunk.data.is_none()) {
            self.contents.absent -= 1;
        }
    }

    /// Makes one chunk of the live rows of several.
    fn merge(&mut self, numbers: &[usize]) -> Result<(), StepError> {
        if let [only] = numbers
            && self.contents.chunks[*only]
                .as_ref()
                .is_none_or(|chunk| chunk.weights.dead_rows() <= chunk.weights.live_rows())
        {
            // Nothing to gain; it waits for company.
            self.unsettled.push(*only);
            return Ok(());
        }
        self.contents.fetch_chunks(numbers)?;
        let old: Vec<RowId> = numbers
            .iter()
            .flat_map(|number| {
                let chunk = self.contents.chunks[*number].as_ref();
                let live = chunk
                    .into_iter()
                    .flat_map(|chunk| chunk.weights.live_positions());
                live.map(|row| RowId::new(*number, row))
            })
            .collect();
        let all: Vec<usize> = (0..self.contents.schema.fields().len()).collect();
        let columns = self.contents.gather(&old, &all)?.into_iter().map(own_views);
        let rows = batch(self.contents.schema.clone(), columns.collect(), old.len())?;
        let rowtimes: ScalarBuffer<i64> =
            old.iter().map(|row| self.contents.rowtime(*row)).collect();
        let weights: Vec<i64> = old.iter().map(|row| self.contents.weight(*row)).collect();
        let counts = self.counted.then(|| {
            old.iter()
                .map(|row| {
                    self.contents
                        .chunk(*row)
                        .counts
                        .as_ref()
                        .map_or(0, |c| c[row.row()])
                })
                .collect()
        });

        let merged = self.push_chunk(rows, rowtimes, counts)?;
        let data = self.chunk_mut(RowId::new(merged, 0)).data.clone();
        let data = data.expect("a chunk is in memory when it is made");
        let key = key_columns(&data.columns, &self.contents.key);
        let hashes = hash_columns(&key, old.len());
        match self.key {
            Key::Primary(_) | Key::Row => {
                for (position, old) in old.iter().enumerate() {
                    let new = RowId::new(merged, position);
                    self.contents.index.replace(hashes[position], *old, new);
                }
            }
            Key::Secondary(_) => self.relink(merged, &old, &hashes),
        }
        if let Some(by_row) = &mut self.by_row {
            let hashes = hash_columns(&data.columns, old.len());
            for (position, old) in old.iter().enumerate() {
                by_row.replace(hashes[position], *old, RowId::new(merged, position));
            }
        }

        let rows_before = self.contents.rows;
        for (position, weight) in weights.iter().enumerate() {
            self.set_weight(RowId::new(merged, position), *weight);
        }
        self.contents.rows = rows_before;
        for number in numbers {
            self.drop_chunk(*number);
        }
        Ok(())
    }

    /// Puts moved rows in the places of their old selves in the chains.
    fn relink(&mut self, merged: usize, old: &[RowId], hashes: &[u64]) {
        // Where rows that move together go to, by chunk.
        let mut moved: Vec<(usize, Vec<u32>)> = Vec::new();
        for (position, row) in old.iter().enumerate() {
            if moved
                .last()
                .is_none_or(|(number, _)| *number != row.chunk())
            {
                let length = self.contents.chunk(*row).len();
                moved.push((row.chunk(), vec![u32::MAX; length]));
            }
            let (_, to) = moved.last_mut().expect("one was just pushed");
            to[row.row()] = position as u32;
        }
        let destination = |row: RowId| {
            moved
                .iter()
                .find(|(number, _)| row.is_some() && *number == row.chunk())
                .map(|(_, to)| RowId::new(merged, to[row.row()] as usize))
        };
        for (position, old) in old.iter().enumerate() {
            let new = RowId::new(merged, position);
            let chunk: &Chunk = self.contents.chunk(*old);
            let link = chunk
                .links
                .as_ref()
                .map_or(Link::ALONE, |links| links[old.row()]);
            let next = destination(link.next);
            let previous = destination(link.previous);
            if !link.previous.is_some() {
                self.contents.index.replace(hashes[position], *old, new);
            } else if previous.is_none() {
                self.link_mut(link.previous).next = new;
            }
            if link.next.is_some() && next.is_none() {
                self.link_mut(link.next).previous = new;
            }
            *self.link_mut(new) = Link {
                next: next.unwrap_or(link.next),
                previous: previous.unwrap_or(link.previous),
            };
        }
    }
}
