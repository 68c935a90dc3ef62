//! What a log looks like from afar, for people: who wrote how much and when, of which types, with which keys. In memory
//! that is bounded, whatever the log says.
//!
//! Everything here is what the lines say of themselves. Whether that holds is for a verification to tell; the times are
//! what each writer stated, also in a log that verifies.

mod histogram;

use std::collections::BTreeMap;

use self::histogram::Histogram;
use crate::hash_map::HashMap;
use crate::history::KeyEventKind;
use crate::id::KeyId;
use crate::scan::{Field, Line, scan_line};
use crate::time::Timestamp;

/// How many names of one kind are kept apart.
const MOST_NAMES: usize = 100_000;

/// How many bytes these names have together, at most.
const MOST_BYTES: usize = 16 << 20;

/// How many events that speak of keys are kept.
const MOST_KEY_EVENTS: usize = 1_000;

/// How many actors have a lane of their own.
const MOST_LANES: usize = 12;

/// What a run of lines of a log says, to be taken into an [`Overview`] in the order of the log.
#[derive(Debug, Default)]
pub struct Part {
    lines: u64,
    unreadable: u64,
    actors: Vec<(String, Extent)>,
    types: HashMap<String, u64>,
    keys: HashMap<KeyId, u64>,
    /// By the actor's place in `actors`, for events whose time can be read.
    times: Vec<(u32, i64)>,
    key_events: Vec<KeyMoment>,
}

/// What is known of an actor's events. Lines are numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// How many there are.
    pub events: u64,
    /// The line of the first.
    pub first_line: u64,
    /// The line of the last.
    pub last_line: u64,
    /// The earliest time that one states, in microseconds since 1970.
    pub earliest: Option<i64>,
    /// The latest.
    pub latest: Option<i64>,
}

/// An event that speaks of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyMoment {
    /// Its line in the log, from 1.
    pub line: u64,
    /// What it does.
    pub kind: KeyEventKind,
    /// Who says it.
    pub actor: String,
    /// When, as it states, in microseconds since 1970.
    pub time: Option<i64>,
}

impl Extent {
    fn of(line: u64, time: Option<i64>) -> Self {
        Self {
            events: 1,
            first_line: line,
            last_line: line,
            earliest: time,
            latest: time,
        }
    }

    /// Takes the events of another actor, wherever they stand.
    fn join(&mut self, other: Self) {
        let first_line = self.first_line.min(other.first_line);
        let last_line = self.last_line.max(other.last_line);
        self.append(other);
        (self.first_line, self.last_line) = (first_line, last_line);
    }

    /// Takes what follows in the log.
    fn append(&mut self, later: Self) {
        self.events += later.events;
        self.last_line = later.last_line;
        let times = [self.earliest, later.earliest].into_iter().flatten();
        self.earliest = times.min();
        self.latest = self.latest.max(later.latest);
    }
}

impl Part {
    /// Reads lines of a log, each without its LF.
    #[must_use]
    pub fn from_lines<'l>(lines: impl IntoIterator<Item = &'l [u8]>) -> Self {
        let mut part = Self::default();
        let mut places = HashMap::default();
        for text in lines {
            part.lines += 1;
            match scan_line(text) {
                Ok(line) => part.add(&line, &mut places),
                Err(_) => part.unreadable += 1,
            }
        }
        part
    }

    fn add(&mut self, line: &Line<'_>, places: &mut HashMap<String, u32>) {
        let (Some(actor), Some(event_type)) = (line.text(Field::Actor), line.text(Field::Type))
        else {
            self.unreadable += 1;
            return;
        };
        let time = line.text(Field::TimestampUtc);
        let time: Option<Timestamp> = time.and_then(|it| it.parse().ok());
        let time = time.map(Timestamp::unix_micros);
        let extent = Extent::of(self.lines, time);
        let place = match places.get(&*actor) {
            Some(place) => {
                self.actors[*place as usize].1.append(extent);
                *place
            }
            None => {
                let place = self.actors.len() as u32;
                places.insert(actor.clone().into_owned(), place);
                self.actors.push((actor.clone().into_owned(), extent));
                place
            }
        };
        self.times.extend(time.map(|time| (place, time)));
        if let Some(kind) = KeyEventKind::of(&event_type)
            && self.key_events.len() < MOST_KEY_EVENTS
        {
            self.key_events.push(KeyMoment {
                line: self.lines,
                kind,
                actor: actor.into_owned(),
                time,
            });
        }
        match self.types.get_mut(&*event_type) {
            Some(count) => *count += 1,
            None => {
                self.types.insert(event_type.into_owned(), 1);
            }
        }
        let key = line.text(Field::ActorKeyId);
        if let Some(key) = key.and_then(|it| it.parse::<KeyId>().ok()) {
            *self.keys.entry(key).or_default() += 1;
        }
    }
}

/// A log seen from afar.
#[derive(Debug, Default)]
pub struct Overview {
    lines: u64,
    unreadable: u64,
    actors: Names<(u32, Extent)>,
    /// The events of the actors for whose names there is no room.
    unnamed: Option<Extent>,
    types: Names<u64>,
    keys: HashMap<KeyId, u64>,
    key_events: Vec<KeyMoment>,
    histogram: Histogram,
}

/// Names that are kept apart as long as there is room, and how many events were of the others.
#[derive(Debug)]
struct Names<T> {
    known: HashMap<String, T>,
    bytes: usize,
    others: u64,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            known: HashMap::default(),
            bytes: 0,
            others: 0,
        }
    }
}

impl<T> Names<T> {
    /// Whether there is room for another name.
    fn takes(&self, name: &str) -> bool {
        self.known.len() < MOST_NAMES && self.bytes + name.len() <= MOST_BYTES
    }

    fn insert(&mut self, name: String, value: T) {
        self.bytes += name.len();
        self.known.insert(name, value);
    }
}

/// How often something occurs, the most frequent first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranking<T> {
    /// What was asked for of it.
    pub first: Vec<T>,
    /// How many more there are; at least so many where not all could be kept apart.
    pub more: u64,
    /// The events of those.
    pub more_events: u64,
}

/// Events of one actor, or of several, over the time that they state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The actor; `None` for all that have no lane of their own.
    pub actor: Option<String>,
    /// How many actors these are.
    pub actors: u64,
    /// Their events together.
    pub extent: Extent,
    /// How many events lie in each of the [`Timeline::width`] microseconds from a time on, in microseconds since 1970,
    /// ascending.
    pub cells: Vec<(i64, u64)>,
}

/// The events of a log over the time that they state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    /// How long the time of one cell is, in microseconds.
    pub width: i64,
    /// The actors with the most events, in the order in which they appear in the log, and last all others.
    pub lanes: Vec<Lane>,
    /// Events that state no time that can be read.
    pub without_time: u64,
    /// Events for which there was no room: the log states too many actors at too many times.
    pub left_out: u64,
}

impl Overview {
    /// Takes what follows in the log.
    pub fn append(&mut self, part: Part) {
        let before = self.lines;
        self.lines += part.lines;
        self.unreadable += part.unreadable;
        let mut places = Vec::with_capacity(part.actors.len());
        for (name, mut extent) in part.actors {
            extent.first_line += before;
            extent.last_line += before;
            places.push(self.actor(name, extent));
        }
        for (place, time) in part.times {
            self.histogram.add(places[place as usize], time);
        }
        for (name, count) in part.types {
            let is_room = self.types.takes(&name);
            match self.types.known.get_mut(&name) {
                Some(known) => *known += count,
                None if is_room => self.types.insert(name, count),
                None => self.types.others += count,
            }
        }
        for (key, count) in part.keys {
            if self.keys.len() < MOST_NAMES || self.keys.contains_key(&key) {
                *self.keys.entry(key).or_default() += count;
            }
        }
        let room = MOST_KEY_EVENTS - self.key_events.len();
        let moments = part.key_events.into_iter().take(room);
        self.key_events.extend(moments.map(|moment| KeyMoment {
            line: before + moment.line,
            ..moment
        }));
    }

    /// The number of an actor in the histogram: its own, or that of all for whom there is no room.
    fn actor(&mut self, name: String, extent: Extent) -> u32 {
        let next = self.actors.known.len() as u32;
        let is_room = self.actors.takes(&name);
        match self.actors.known.get_mut(&name) {
            Some((place, known)) => {
                known.append(extent);
                *place
            }
            None if is_room => {
                self.actors.insert(name, (next, extent));
                next
            }
            None => {
                self.actors.others += extent.events;
                match &mut self.unnamed {
                    Some(unnamed) => unnamed.append(extent),
                    None => self.unnamed = Some(extent),
                }
                u32::MAX
            }
        }
    }

    /// Lines that are no event with an actor and a type.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// The most frequent types of events.
    #[must_use]
    pub fn types(&self, most: usize) -> Ranking<(String, u64)> {
        let known = &self.types.known;
        let all = known.iter().map(|(name, count)| (name.clone(), *count));
        rank(all.collect(), self.types.others, most, |count| *count)
    }

    /// The actors with the most events.
    #[must_use]
    pub fn actors(&self, most: usize) -> Ranking<(String, Extent)> {
        let known = self.actors.known.iter();
        let all = known.map(|(name, (_, extent))| (name.clone(), *extent));
        rank(all.collect(), self.actors.others, most, |it| it.events)
    }

    /// How many events name a key as that of their signature.
    #[must_use]
    pub fn signed_by(&self, key: &KeyId) -> u64 {
        self.keys.get(key).copied().unwrap_or(0)
    }

    /// The first events that speak of keys, in the order of the log.
    #[must_use]
    pub fn key_events(&self) -> &[KeyMoment] {
        &self.key_events
    }

    /// The events over the time that they state.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        let mut first = self.actors(MOST_LANES).first;
        first.sort_by_key(|(_, extent)| extent.first_line);
        let places: HashMap<u32, usize> = first
            .iter()
            .enumerate()
            .map(|(lane, (name, _))| (self.actors.known[name].0, lane))
            .collect();
        let mut cells = vec![BTreeMap::new(); first.len() + 1];
        for ((actor, start), count) in self.histogram.cells() {
            let lane = places.get(&actor).copied().unwrap_or(first.len());
            *cells[lane].entry(start).or_insert(0) += count;
        }
        let mut cells = cells.into_iter().map(|it| it.into_iter().collect());
        let named: HashMap<&str, ()> = first.iter().map(|(name, _)| (&**name, ())).collect();
        let known = self.actors.known.iter();
        let rest = known.filter(|(name, _)| !named.contains_key(&***name));
        let mut together = self.unnamed.map(|extent| (1, extent));
        for (_, (_, extent)) in rest {
            match &mut together {
                Some((actors, all)) => {
                    *actors += 1;
                    all.join(*extent);
                }
                None => together = Some((1, *extent)),
            }
        }
        let mut lanes: Vec<Lane> = first
            .into_iter()
            .map(|(name, extent)| Lane {
                actor: Some(name),
                actors: 1,
                extent,
                cells: cells.next().unwrap_or_default(),
            })
            .collect();
        lanes.extend(together.map(|(actors, extent)| Lane {
            actor: None,
            actors,
            extent,
            cells: cells.next().unwrap_or_default(),
        }));
        let in_cells = self.histogram.events();
        Timeline {
            width: self.histogram.width(),
            lanes,
            without_time: self.lines - self.unreadable - in_cells - self.histogram.left_out(),
            left_out: self.histogram.left_out(),
        }
    }
}

/// The `most` most frequent of `all`; of the same number, by their names.
fn rank<V>(
    mut all: Vec<(String, V)>,
    others: u64,
    most: usize,
    count: impl Fn(&V) -> u64,
) -> Ranking<(String, V)> {
    all.sort_by(|(a, of_a), (b, of_b)| count(of_b).cmp(&count(of_a)).then_with(|| a.cmp(b)));
    let more = all.split_off(most.min(all.len()));
    Ranking {
        first: all,
        more: more.len() as u64 + u64::from(others > 0),
        more_events: more.iter().map(|(_, it)| count(it)).sum::<u64>() + others,
    }
}

#[cfg(test)]
mod tests;
