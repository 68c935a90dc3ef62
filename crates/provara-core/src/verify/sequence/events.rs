//! The events so far, in few bytes: a log has many.

use std::hash::BuildHasher as _;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use crate::bytes::{Decoder, Encoder};
use crate::hash_map::HashMap;
use crate::id::EventId;
use crate::verify::timeline::Position;

/// What is known of an event until the end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) id: EventId,
    pub(super) author: Author,
    /// Offset of its line in the log in bytes.
    pub(super) offset: u64,
    /// From 1.
    pub(super) line: u64,
}

/// Who an event is by: the numbers of its actor and of its key, where it has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Author {
    pub(super) actor: Option<u32>,
    pub(super) key: Option<u32>,
}

/// An event as it is kept: 20 bytes.
#[derive(Debug, Clone, Copy)]
struct Kept {
    id: EventId,
    /// Of [`Events::authors`].
    author: u32,
    /// The lower half of its offset.
    offset: u32,
}

/// The bytes of a [`Kept`] that is written: 12 of the id, 4 each of the author and the offset.
const KEPT: usize = 20;

/// How many lines may follow events that were read before these get an index.
const MOST_SEARCHED: usize = 16;

/// From which event on lines and offsets are further along than [`Kept`] says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Shift {
    from: Position,
    /// The line less the position.
    lines: u64,
    /// The upper half of the offset.
    offsets: u32,
}

/// The events of a log, in its order.
#[derive(Debug, Clone, Default)]
pub(super) struct Events {
    kept: Vec<Kept>,
    /// In order. Most logs have one: their lines are all events, and they end before 4 GiB.
    shifts: Vec<Shift>,
    authors: Vec<Author>,
    numbers: HashMap<Author, u32>,
    /// The positions at which ids stand first, found by the ids that stand there.
    index: HashTable<Position>,
    /// A secret of the process, as the log's author chooses the ids.
    secret: RandomState,
    /// How many events were read and are not in the index: the first ones, each with an id of its own.
    unindexed: usize,
    /// How many lines followed those.
    expected: usize,
}

impl Events {
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Adds the next event. Only one with an id that stands nowhere yet is found by it.
    pub(super) fn push(&mut self, seen: &Seen, is_found_by_id: bool) -> Position {
        let position = Position::try_from(self.kept.len()).expect("fewer than 2^32 events");
        let shift = Shift {
            from: position,
            lines: seen.line - u64::from(position),
            offsets: (seen.offset >> 32) as u32,
        };
        let differs = |last: &Shift| (last.lines, last.offsets) != (shift.lines, shift.offsets);
        if self.shifts.last().is_none_or(differs) {
            self.shifts.push(shift);
        }
        let author = self.number(seen.author);
        self.kept.push(Kept {
            id: seen.id,
            author,
            offset: seen.offset as u32,
        });
        if is_found_by_id {
            self.add_to_index(position);
        }
        position
    }

    fn number(&mut self, author: Author) -> u32 {
        // The author of the event before, more often than not.
        if let Some(last) = self.kept.last()
            && self.authors[last.author as usize] == author
        {
            return last.author;
        }
        let authors = &mut self.authors;
        *self.numbers.entry(author).or_insert_with(|| {
            authors.push(author);
            u32::try_from(authors.len() - 1).expect("fewer authors than events")
        })
    }

    fn add_to_index(&mut self, position: Position) {
        let Self {
            kept,
            index,
            secret,
            ..
        } = self;
        let hash = |at: &Position| secret.hash_one(kept[*at as usize].id.0);
        index.insert_unique(hash(&position), position, hash);
    }

    /// Makes ready for so many more lines. Events that were read are found by their ids one after the other while few
    /// lines follow; for more of them an index pays, which takes as long as some dozen of such searches.
    pub(super) fn expect(&mut self, lines: usize) {
        self.expected = self.expected.saturating_add(lines);
        if self.expected > MOST_SEARCHED {
            self.index_rest();
        }
    }

    /// Makes room for `next` events, or for `all` that are still to come, where there is none for the next. An index that
    /// grows by and by is moved each time, and then takes half as much memory again.
    pub(super) fn make_room(&mut self, next: usize, all: usize) {
        let Self {
            kept,
            index,
            secret,
            ..
        } = self;
        // Where events were read and have no index, they may never need one.
        if self.unindexed == 0 && index.len() + next > index.capacity() {
            let hash = |at: &Position| secret.hash_one(kept[*at as usize].id.0);
            index.reserve(next.max(all), hash);
        }
    }

    fn index_rest(&mut self) {
        let Self {
            kept,
            index,
            secret,
            unindexed,
            ..
        } = self;
        let hash = |at: &Position| secret.hash_one(kept[*at as usize].id.0);
        index.reserve(*unindexed, hash);
        for position in 0..*unindexed as Position {
            index.insert_unique(hash(&position), position, hash);
        }
        *unindexed = 0;
    }

    /// Where an id stands first.
    pub(super) fn position(&self, id: &EventId) -> Option<Position> {
        let is_it = |at: &Position| self.kept[*at as usize].id == *id;
        let indexed = self.index.find(self.secret.hash_one(id.0), is_it);
        indexed.copied().or_else(|| {
            let mut searched = self.kept[..self.unindexed].iter();
            let found = searched.position(|kept| kept.id == *id)?;
            Position::try_from(found).ok()
        })
    }

    /// The event with an id.
    pub(super) fn find(&self, id: &EventId) -> Option<Seen> {
        self.position(id).map(|at| self.get(at))
    }

    pub(super) fn get(&self, position: Position) -> Seen {
        let kept = self.kept[position as usize];
        let shift = self.shifts.partition_point(|it| it.from <= position) - 1;
        let shift = self.shifts[shift];
        Seen {
            id: kept.id,
            author: self.authors[kept.author as usize],
            offset: u64::from(shift.offsets) << 32 | u64::from(kept.offset),
            line: u64::from(position) + shift.lines,
        }
    }

    pub(super) fn first(&self) -> Option<EventId> {
        self.kept.first().map(|it| it.id)
    }

    pub(super) fn last(&self) -> Option<EventId> {
        self.kept.last().map(|it| it.id)
    }

    /// How many bytes [`Events::write`] writes, but for some that hardly count.
    pub(super) fn written_length(&self) -> usize {
        KEPT * self.kept.len()
    }

    /// Writes events each of which is a line, and so says nothing of lines.
    pub(super) fn write(&self, out: &mut Encoder) {
        out.u64(self.authors.len() as u64);
        for author in &self.authors {
            for number in [author.actor, author.key] {
                out.option(number, |out, it| out.raw(&it.to_le_bytes()));
            }
        }
        out.u64(self.shifts.len() as u64);
        for shift in &self.shifts {
            out.raw(&shift.from.to_le_bytes());
            out.raw(&shift.offsets.to_le_bytes());
        }
        out.u64(self.kept.len() as u64);
        for kept in &self.kept {
            out.raw(&kept.id.0);
            out.raw(&kept.author.to_le_bytes());
            out.raw(&kept.offset.to_le_bytes());
        }
    }

    /// The events that were written, all with ids of their own; `None` for bytes that are none, or where not all
    /// authors are as `are_known` says.
    pub(super) fn read(
        from: &mut Decoder<'_>,
        are_known: impl Fn(&Author) -> bool,
    ) -> Option<Self> {
        let number = |from: &mut Decoder<'_>| from.array().map(u32::from_le_bytes);
        let authors: Vec<Author> = from.list(|from| {
            let author = Author {
                actor: from.option(number)?,
                key: from.option(number)?,
            };
            are_known(&author).then_some(author)
        })?;
        let shifts: Vec<Shift> = from.list(|from| {
            Some(Shift {
                from: number(from)?,
                lines: 1,
                offsets: number(from)?,
            })
        })?;
        let count = usize::try_from(from.u64()?).ok()?;
        let kept = from.raw(count.checked_mul(KEPT)?)?.as_chunks::<KEPT>().0;
        let kept: Vec<Kept> = kept
            .iter()
            .map(|bytes| {
                let mut from = Decoder(bytes);
                let kept = Kept {
                    id: EventId(from.array()?),
                    author: number(&mut from)?,
                    offset: number(&mut from)?,
                };
                ((kept.author as usize) < authors.len()).then_some(kept)
            })
            .collect::<Option<_>>()?;
        let begins = shifts.first().is_none_or(|it| it.from == 0);
        let is_sound = begins
            && shifts.is_sorted_by(|a, b| a.from < b.from)
            && shifts.is_empty() == kept.is_empty()
            && shifts.last().is_none_or(|it| (it.from as usize) < count)
            && u32::try_from(count).is_ok();
        is_sound.then(|| Self {
            unindexed: kept.len(),
            numbers: authors.iter().copied().zip(0..).collect(),
            kept,
            shifts,
            authors,
            ..Self::default()
        })
    }

    /// Those from a position on.
    pub(super) fn from(&self, first: Position) -> impl Iterator<Item = (Position, Seen)> {
        (first..self.kept.len() as Position).map(|at| (at, self.get(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(n: u32, line: u64, offset: u64) -> Seen {
        let mut id = [0; 12];
        id[..4].copy_from_slice(&n.to_le_bytes());
        let author = Author {
            actor: Some(n % 5).filter(|it| *it > 0),
            key: Some(n % 3).filter(|it| *it > 0),
        };
        Seen {
            id: EventId(id),
            author,
            offset,
            line,
        }
    }

    /// Lines that are no events, and some so long that the next begins gibibytes later.
    fn log() -> Vec<Seen> {
        let (mut line, mut offset) = (0, 0);
        (0..10_000)
            .map(|n| {
                line += 1 + u64::from(n % 97 == 0);
                offset += 400 + u64::from(n % 1_000 == 7) * (3 << 31);
                seen(n, line, offset)
            })
            .collect()
    }

    #[test]
    fn events_are_as_they_were_added() {
        let (mut events, log) = (Events::default(), log());
        for seen in &log {
            assert_eq!(events.position(&seen.id), None);
            events.push(seen, true);
        }
        for (at, seen) in (0..).zip(&log) {
            assert_eq!(events.get(at), *seen);
            assert_eq!(events.position(&seen.id), Some(at));
        }
        let from: Vec<_> = events.from(9_990).collect();
        assert_eq!(from, Vec::from_iter((9_990..).zip(log[9_990..].to_vec())));
        assert_eq!(
            (events.first(), events.last()),
            (Some(log[0].id), log.last().map(|it| it.id))
        );
    }

    #[test]
    fn room_is_made_once_for_all_that_are_to_come() {
        let log = log();
        let mut events = Events::default();
        events.make_room(10, log.len());
        let capacity = events.index.capacity();
        assert!(capacity >= log.len());
        for seen in &log {
            events.push(seen, true);
            events.make_room(1, 1_000_000);
            assert_eq!(events.index.capacity(), capacity);
        }
        // What was expected does not bind: there is room for what comes.
        let more = capacity - log.len() + 1;
        events.make_room(more, 0);
        assert!(events.index.capacity() >= log.len() + more);
        for (at, seen) in (0..).zip(&log) {
            assert_eq!(events.position(&seen.id), Some(at));
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_nothing_else() {
        let (mut events, mut line) = (Events::default(), 0);
        for seen in log() {
            line += 1;
            events.push(&Seen { line, ..seen }, true);
        }
        let mut out = Encoder(Vec::new());
        events.write(&mut out);
        let mut from = Decoder(&out.0);
        let mut read = Events::read(&mut from, |_| true).unwrap();
        assert!(from.0.is_empty());
        assert!(read.from(0).eq(events.from(0)));
        // While few lines follow, and with an index.
        for (lines, has_index) in [(MOST_SEARCHED, false), (1, true)] {
            read.expect(lines);
            assert_eq!(!read.index.is_empty(), has_index);
            assert_eq!(read.position(&EventId([9; 12])), None);
            for (at, seen) in events.from(0).step_by(7) {
                assert_eq!(read.position(&seen.id), Some(at));
            }
        }
        let next = seen(20_000, line + 1, u64::MAX);
        assert_eq!(read.push(&next, true), events.push(&next, true));
        assert_eq!(read.get(10_000), next);
        assert_eq!(read.authors, events.authors);

        let read = |bytes: &[u8]| Events::read(&mut Decoder(bytes), |_| true).is_some();
        assert!(!read(&out.0[..out.0.len() - 1]));
        let unknown = |author: &Author| author.key != Some(2);
        assert!(Events::read(&mut Decoder(&out.0), unknown).is_none());
        // Authors, each two numbers of which one byte says whether they are there, then the shifts.
        let authors = events.authors.iter();
        let present = |it: &Author| 4 * (it.actor.iter().chain(&it.key).count());
        let shifts = 8 + authors.map(|it| 2 + present(it)).sum::<usize>();
        let changed = |at: usize, to: u32| {
            let mut bytes = out.0.clone();
            bytes[at..at + 4].copy_from_slice(&to.to_le_bytes());
            read(&bytes)
        };
        let first = shifts + 8;
        assert!(changed(first + 4, 77) && changed(first + 8, 8));
        assert!(!changed(first, 1) && !changed(first + 8, 0) && !changed(first + 16, 7));
        let last = shifts + 8 * (events.shifts.len() - 1);
        assert!(changed(last, 9_999) && !changed(last, 10_000));
        let author = out.0.len() - 8;
        assert!(changed(author, 1) && !changed(author, events.authors.len() as u32));
    }

    #[test]
    fn what_follows_events_that_were_read_is_found_before_and_after_they_have_an_index() {
        let mut events = Events::default();
        for n in 1..=3 {
            events.push(&seen(n, u64::from(n), 0), true);
        }
        let mut out = Encoder(Vec::new());
        events.write(&mut out);
        let mut read = Events::read(&mut Decoder(&out.0), |_| true).unwrap();
        read.expect(2);
        read.push(&seen(4, 4, 0), true);
        // The second event a second time.
        read.push(&seen(2, 5, 0), false);
        for more in [0, MOST_SEARCHED] {
            read.expect(more);
            for n in 1..=4 {
                assert_eq!(read.position(&seen(n, 0, 0).id), Some(n - 1));
            }
            assert_eq!(read.position(&seen(5, 0, 0).id), None);
        }
    }

    #[test]
    fn an_id_is_found_where_it_stood_first_and_an_event_without_one_never() {
        let mut events = Events::default();
        let none = Seen {
            id: EventId([0; 12]),
            ..seen(7, 1, 0)
        };
        events.push(&none, false);
        events.push(&seen(9, 2, 10), true);
        events.push(&seen(9, 3, 20), false);
        // So many more that the index grows, which looks at every id in it again.
        for n in 10..1_000 {
            events.push(&seen(n, u64::from(n) - 6, 30), true);
        }
        assert_eq!(events.position(&none.id), None);
        assert_eq!(events.position(&seen(9, 0, 0).id), Some(1));
        assert_eq!(events.find(&seen(9, 0, 0).id), Some(seen(9, 2, 10)));
    }
}
