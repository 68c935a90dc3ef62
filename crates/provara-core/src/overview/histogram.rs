//! How many events of whom lie when, in a bounded number of cells: there are only cells that hold an event, and all become
//! wider together once there are too many. So a time that is far off all others costs one cell and no detail.

use crate::hash_map::HashMap;

/// The width of a cell at first: 2^10 microseconds, about a millisecond.
const FIRST: u32 = 10;

/// The width beyond which no cell grows: 2^45 microseconds, a little more than a year.
const LAST: u32 = 45;

/// How many cells there are at most.
#[cfg(not(test))]
const MOST: usize = 1 << 17;
#[cfg(test)]
const MOST: usize = 1 << 10;

/// Counts by actor and time.
#[derive(Debug)]
pub(super) struct Histogram {
    shift: u32,
    cells: HashMap<(u32, i64), u64>,
    events: u64,
    left_out: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            shift: FIRST,
            cells: HashMap::default(),
            events: 0,
            left_out: 0,
        }
    }
}

impl Histogram {
    /// Counts an event.
    pub(super) fn add(&mut self, actor: u32, micros: i64) {
        loop {
            let cell = (actor, micros >> self.shift);
            if let Some(count) = self.cells.get_mut(&cell) {
                *count += 1;
            } else if self.cells.len() < MOST {
                self.cells.insert(cell, 1);
            } else if self.shift < LAST {
                self.widen();
                continue;
            } else {
                self.left_out += 1;
                return;
            }
            self.events += 1;
            return;
        }
    }

    /// Makes every cell twice as wide, until half of them would do or none may be wider.
    fn widen(&mut self) {
        while self.cells.len() > MOST / 2 && self.shift < LAST {
            self.shift += 1;
            let mut wider: HashMap<_, u64> = HashMap::default();
            for ((actor, cell), count) in self.cells.drain() {
                *wider.entry((actor, cell >> 1)).or_default() += count;
            }
            self.cells = wider;
        }
    }

    /// The width of a cell in microseconds.
    pub(super) fn width(&self) -> i64 {
        1 << self.shift
    }

    /// Every cell: whose, from which microsecond on, and how many events.
    pub(super) fn cells(&self) -> impl Iterator<Item = ((u32, i64), u64)> {
        let cells = self.cells.iter();
        cells.map(|((actor, cell), count)| ((*actor, cell << self.shift), *count))
    }

    /// The events that are in cells.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// The events that found no cell.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_times_cost_no_detail_and_no_event_is_lost() {
        let mut histogram = Histogram::default();
        let year = 365 * 86_400 * 1_000_000_i64;
        for at in 0..500 {
            histogram.add(0, 50 * year + at * 1_100);
        }
        histogram.add(0, -1_900 * year);
        histogram.add(1, 7_900 * year);
        assert_eq!(histogram.width(), 1 << FIRST);
        assert_eq!(histogram.cells().map(|(_, count)| count).sum::<u64>(), 502);
        let earliest = histogram.cells().map(|((_, start), _)| start).min();
        let earliest = earliest.unwrap();
        assert!((-1_900 * year - (1 << FIRST)..=-1_900 * year).contains(&earliest));
    }

    #[test]
    fn cells_widen_as_they_must_and_stay_bounded() {
        let mut histogram = Histogram::default();
        for at in 0..50_000_i64 {
            histogram.add(0, at * 1_000_000);
        }
        assert!(histogram.cells.len() <= MOST);
        assert_eq!((histogram.events(), histogram.left_out()), (50_000, 0));
        // More cells than there may be, however wide they are.
        for actor in 0..5_000 {
            histogram.add(actor, 0);
        }
        assert_eq!(histogram.cells.len(), MOST);
        assert_eq!(histogram.events() + histogram.left_out(), 55_000);
        assert!(histogram.left_out() > 0);
        let counted = histogram.cells().map(|(_, count)| count).sum::<u64>();
        assert_eq!(counted, histogram.events());
    }
}
