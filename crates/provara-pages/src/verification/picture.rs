//! The timeline: a lane for each actor, and in it how many events state which time. However many events there are and
//! whatever times they state, the picture has the same number of columns.

use std::fmt::Write as _;

use provara_core::time::Timestamp;

use crate::text::{counted, grouped, moment};

/// How many columns the picture has at most, and at least.
const MOST_COLUMNS: i64 = 96;
const LEAST_COLUMNS: i64 = 40;

/// How many marks are drawn in one lane.
const MOST_MARKS: usize = 200;

/// The highest bar, and where bars stand, in pixels.
const HIGHEST: f64 = 24.0;
const BASE: f64 = 28.0;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Events over the time that they state. Times are microseconds since 1970.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// How long the time of one cell is.
    pub width: i64,
    /// The lanes, from the top.
    pub lanes: Vec<Lane>,
    /// Events that state no time that can be read.
    pub without_time: u64,
    /// Events for which there was no room.
    pub left_out: u64,
    /// Findings in the log that have no mark.
    pub unmarked: u64,
}

/// Events of one actor, or of several.
#[derive(Debug, Clone, Default)]
pub struct Lane {
    /// The actor; `None` for all that have no lane of their own.
    pub actor: Option<String>,
    /// How many actors these are.
    pub actors: u64,
    /// How many events.
    pub events: u64,
    /// The lines of the first and the last.
    pub lines: (u64, u64),
    /// The earliest and the latest time.
    pub times: Option<(i64, i64)>,
    /// Whether the chain has a gap.
    pub has_gap: bool,
    /// How many events lie in each cell, by the time from which on it is, ascending.
    pub cells: Vec<(i64, u64)>,
    /// What is marked in it.
    pub marks: Vec<Mark>,
}

/// A mark in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub time: i64,
    /// What.
    pub kind: MarkKind,
}

/// What is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    /// An event that speaks of keys.
    Key,
    /// A warning.
    Warning,
    /// A fault.
    Error,
}

/// What is drawn.
pub(super) struct Picture<'a> {
    timeline: &'a Timeline,
    window: Option<Window>,
    /// The most events in one column of one lane.
    most: u64,
}

/// The part of time that is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    from: i64,
    to: i64,
    columns: i64,
}

impl Window {
    /// From the first event to the last, but for the few times that are so far from all others that they would leave no
    /// room for these. Times are counted and not events: many events at one moment make what came later no exception.
    fn of(timeline: &Timeline) -> Option<Self> {
        let cells = timeline.lanes.iter().flat_map(|it| &it.cells);
        let mut starts: Vec<i64> = cells.map(|(start, _)| *start).collect();
        starts.sort_unstable();
        starts.dedup();
        let last = starts.len().checked_sub(1)?;
        let spared = (starts.len() / 200).max((starts.len() / 10).min(2));
        let (low, high) = (starts[spared], starts[last - spared]);
        let width = timeline.width.max(1);
        let near = (high - low).max(width) / 2;
        let from = *starts.iter().find(|start| low - **start <= near)?;
        let to = *starts.iter().rfind(|start| **start - high <= near)? + width;
        let columns = ((to - from + width - 1) / width).clamp(LEAST_COLUMNS, MOST_COLUMNS);
        let wanting = (LEAST_COLUMNS * width - (to - from)).max(0) / 2;
        Some(Self {
            from: from - wanting,
            to: to + wanting,
            columns,
        })
    }

    fn holds(&self, time: i64) -> bool {
        (self.from..self.to).contains(&time)
    }

    fn column(&self, time: i64) -> i64 {
        let span = i128::from(self.to - self.from);
        (i128::from(time - self.from) * i128::from(self.columns) / span) as i64
    }

    /// Where a time lies, in percent of the width.
    fn percent(&self, time: i64) -> f64 {
        (time - self.from) as f64 * 100.0 / (self.to - self.from) as f64
    }

    /// A time, as exactly as the width of the picture asks for.
    fn label(&self, time: i64) -> String {
        let Some(time) = Timestamp::from_unix_micros(time) else {
            return "beyond the years 0 to 9999".to_owned();
        };
        let text = time.to_string();
        let (day, clock) = text.split_at(10);
        let clock = &clock[1..];
        match self.to - self.from {
            span if span > 4 * DAY => day.to_owned(),
            span if span > 300 * SECOND => format!("{day} {} UTC", &clock[..5]),
            span if span > 10 * SECOND => format!("{day} {} UTC", &clock[..8]),
            _ => format!("{day} {} UTC", &clock[..12]),
        }
    }
}

impl<'a> Picture<'a> {
    pub(super) fn of(timeline: &'a Timeline) -> Self {
        let window = Window::of(timeline);
        let columns = window.into_iter().flat_map(|window| {
            let lanes = timeline.lanes.iter();
            lanes.flat_map(move |lane| columns(lane, &window))
        });
        Self {
            timeline,
            window,
            most: columns.map(|(_, count)| count).max().unwrap_or(0),
        }
    }

    /// Whether something of a kind is marked.
    pub(super) fn has(&self, kind: MarkKind) -> bool {
        let lanes = self.timeline.lanes.iter();
        let mut marks = lanes.flat_map(|lane| &lane.marks);
        let is_drawn = |time| self.window.is_some_and(|window| window.holds(time));
        marks.any(|it| it.kind == kind && is_drawn(it.time))
    }

    pub(super) fn lanes(&self) -> &[Lane] {
        &self.timeline.lanes
    }

    /// Whether there is anything to draw.
    pub(super) fn is_drawn(&self) -> bool {
        self.window.is_some()
    }

    /// Whether the lane has events, and none of them is drawn.
    pub(super) fn is_outside(&self, lane: &Lane) -> bool {
        let drawn = |window: Window| lane.cells.iter().any(|(start, _)| window.holds(*start));
        !lane.cells.is_empty() && !self.window.is_some_and(drawn)
    }

    /// The times below the picture.
    pub(super) fn axis(&self) -> Vec<String> {
        let Some(window) = self.window else {
            return Vec::new();
        };
        let middle = window.from + (window.to - window.from) / 2;
        [window.from, middle, window.to - 1]
            .map(|time| window.label(time))
            .into()
    }

    /// What the picture leaves out, as sentences.
    pub(super) fn left_out(&self) -> Vec<String> {
        let mut said = Vec::new();
        let cells = || self.timeline.lanes.iter().flat_map(|it| &it.cells);
        if let Some(window) = self.window {
            let sum = |out: &dyn Fn(i64) -> bool| -> u64 {
                let cells = cells().filter(|(start, _)| out(*start));
                cells.map(|(_, count)| count).sum()
            };
            let shown = |time: Option<i64>| {
                let time = time.and_then(Timestamp::from_unix_micros);
                time.map_or_else(String::new, |it| moment(&it.to_string()))
            };
            let extremes = || self.timeline.lanes.iter().filter_map(|it| it.times);
            let early = sum(&|start| start < window.from);
            if early > 0 {
                let first = shown(extremes().map(|(earliest, _)| earliest).min());
                said.push(format!(
                    "{} before the time that is drawn, the earliest {first}.",
                    states(early)
                ));
            }
            let late = sum(&|start| start >= window.to);
            if late > 0 {
                let last = shown(extremes().map(|(_, latest)| latest).max());
                said.push(format!(
                    "{} after the time that is drawn, the latest {last}.",
                    states(late)
                ));
            }
        }
        if self.timeline.without_time > 0 {
            let events = self.timeline.without_time;
            said.push(format!("{} no time that can be read.", verb(events)));
        }
        if self.timeline.left_out > 0 {
            let events = counted(self.timeline.left_out, "event");
            said.push(format!(
                "{events} found no room: too many actors state too many times."
            ));
        }
        if self.timeline.unmarked > 0 {
            let findings = counted(self.timeline.unmarked, "finding");
            said.push(format!("{findings} without a mark: their lines state no time that can be read, or there are too many."));
        }
        let marks = self.timeline.lanes.iter().map(|it| it.marks.len());
        if marks.max().unwrap_or(0) > MOST_MARKS {
            said.push(format!("No lane has more than {MOST_MARKS} marks."));
        }
        said
    }

    /// The picture of one lane, as the inside of an SVG whose height is 36.
    pub(super) fn drawing(&self, lane: &Lane) -> String {
        let mut out = String::new();
        let Some(window) = self.window else {
            return out;
        };
        if let Some((earliest, latest)) = lane.times {
            let percent = |time: i64| window.percent(time).clamp(0.0, 100.0);
            let class = if lane.has_gap { "chain gap" } else { "chain" };
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                "<line class=\"{class}\" x1=\"{:.2}%\" x2=\"{:.2}%\" y1=\"{BASE}\" y2=\"{BASE}\"/>",
                percent(earliest),
                percent(latest)
            );
        }
        out.push_str("<g class=\"bar\">");
        let share = 100.0 / window.columns as f64;
        for (column, count) in columns(lane, &window) {
            let height =
                3.0 + (HIGHEST - 3.0) * (count as f64).ln_1p() / (self.most as f64).ln_1p();
            let _ = write!(
                out,
                "<rect x=\"{:.2}%\" y=\"{:.1}\" width=\"{:.2}%\" height=\"{height:.1}\"/>",
                column as f64 * share,
                BASE - height,
                share * 0.85
            );
        }
        out.push_str("</g>");
        let marks = lane.marks.iter().filter(|it| window.holds(it.time));
        for mark in marks.take(MOST_MARKS) {
            let _ = write!(
                out,
                "<svg x=\"{:.2}%\" y=\"{BASE}\" overflow=\"visible\">{}</svg>",
                window.percent(mark.time),
                mark.kind.shape()
            );
        }
        out
    }

    /// The lane in words, for whoever does not see the picture.
    pub(super) fn described(&self, lane: &Lane) -> String {
        let events = counted(lane.events, "event");
        match (self.window, lane.times) {
            (Some(window), Some((earliest, latest))) => format!(
                "{events}, by the time that they state, from {} to {}",
                window.label(earliest),
                window.label(latest)
            ),
            _ => format!("{events} without a time that can be read"),
        }
    }
}

/// How many events lie in each column of a lane, ascending.
fn columns(lane: &Lane, window: &Window) -> Vec<(i64, u64)> {
    let mut columns: Vec<(i64, u64)> = Vec::new();
    for (start, count) in lane.cells.iter().filter(|(start, _)| window.holds(*start)) {
        let column = window.column(*start);
        match columns.last_mut() {
            Some((last, sum)) if *last == column => *sum += count,
            _ => columns.push((column, *count)),
        }
    }
    columns
}

fn verb(events: u64) -> String {
    let verb = if events == 1 { "states" } else { "state" };
    format!("{} {verb}", counted(events, "event"))
}

fn states(events: u64) -> String {
    format!("{} a time", verb(events))
}

impl MarkKind {
    /// Its shape around the point 0,0. No two kinds have one shape.
    pub(super) fn shape(self) -> &'static str {
        match self {
            Self::Key => "<path class=\"key\" d=\"M0-6L5 0L0 6L-5 0Z\"/>",
            Self::Warning => "<path class=\"warning\" d=\"M0-7L6 4H-6Z\"/>",
            Self::Error => "<path class=\"error\" d=\"M-5-5L5 5M-5 5L5-5\"/>",
        }
    }
}

impl Lane {
    /// Who it is of.
    pub(super) fn name(&self) -> String {
        match &self.actor {
            Some(actor) => actor.clone(),
            None if self.actors == 1 => "one more actor".to_owned(),
            None => format!("{} more actors", grouped(self.actors)),
        }
    }

    /// How much of the log it is.
    pub(super) fn extent(&self) -> String {
        let events = counted(self.events, "event");
        match self.lines {
            (first, last) if first == last => format!("{events}, line {}", grouped(first)),
            (first, last) => format!("{events}, lines {} to {}", grouped(first), grouped(last)),
        }
    }

    /// How often something of a kind is marked in it.
    pub(super) fn marked(&self, kind: MarkKind) -> usize {
        self.marks.iter().filter(|it| it.kind == kind).count()
    }

    pub(super) fn faults(&self) -> usize {
        self.marked(MarkKind::Error)
    }

    pub(super) fn warnings(&self) -> usize {
        self.marked(MarkKind::Warning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: i64 = 365 * DAY;

    fn timeline(cells: Vec<(i64, u64)>, width: i64) -> Timeline {
        let times = cells.iter().map(|(start, _)| *start);
        Timeline {
            width,
            lanes: vec![Lane {
                actor: Some("ann".to_owned()),
                events: cells.iter().map(|(_, count)| count).sum(),
                times: times.clone().min().zip(times.max()),
                cells,
                ..Lane::default()
            }],
            ..Timeline::default()
        }
    }

    #[test]
    fn times_that_are_far_off_leave_room_for_the_others() {
        let mut cells: Vec<_> = (0..400).map(|day| (56 * YEAR + day * DAY, 3)).collect();
        cells.insert(0, (-1_900 * YEAR, 1));
        cells.push((7_900 * YEAR, 1));
        let timeline = timeline(cells, DAY);
        let picture = Picture::of(&timeline);
        let window = picture.window.unwrap();
        assert_eq!((window.from, window.to), (56 * YEAR, 56 * YEAR + 400 * DAY));
        assert_eq!(window.columns, MOST_COLUMNS);
        let out = picture.left_out();
        assert_eq!(out.len(), 2, "{out:?}");
        assert!(
            out[0].starts_with(
                "1 event states a time before the time that is drawn, the earliest 00"
            )
        );
        assert!(out[1].contains("the latest 98"), "{out:?}");
        let drawing = picture.drawing(&timeline.lanes[0]);
        assert_eq!(drawing.matches("<rect").count(), MOST_COLUMNS as usize);
        assert!(drawing.contains("x1=\"0.00%\" x2=\"100.00%\""), "{drawing}");
    }

    #[test]
    fn many_events_at_once_do_not_hide_what_came_later() {
        let mut cells = vec![(56 * YEAR, 1_000_000)];
        cells.extend((1..50).map(|day| (56 * YEAR + day * DAY, 1)));
        let timeline = timeline(cells, 1 << 10);
        let picture = Picture::of(&timeline);
        assert_eq!(picture.left_out(), Vec::<String>::new());
        let drawing = picture.drawing(&timeline.lanes[0]);
        assert_eq!(drawing.matches("<rect").count(), 50);
    }

    #[test]
    fn times_that_are_near_are_all_drawn() {
        let cells = (0..10).map(|hour| (hour * 3_600 * SECOND, 1)).collect();
        let timeline = timeline(cells, 1 << 10);
        let picture = Picture::of(&timeline);
        assert_eq!(picture.left_out(), Vec::<String>::new());
        assert_eq!(picture.axis().first().unwrap(), "1970-01-01 00:00 UTC");
        assert_eq!(picture.axis().last().unwrap(), "1970-01-01 09:00 UTC");
        let drawing = picture.drawing(&timeline.lanes[0]);
        assert_eq!(drawing.matches("<rect").count(), 10);
    }

    #[test]
    fn equal_times_are_one_bar_in_the_middle() {
        let timeline = timeline(vec![(1_000 * SECOND, 1_000_000)], 1 << 10);
        let picture = Picture::of(&timeline);
        let window = picture.window.unwrap();
        assert_eq!(window.columns, LEAST_COLUMNS);
        let drawing = picture.drawing(&timeline.lanes[0]);
        assert_eq!(drawing.matches("<rect").count(), 1);
        let middle = window.percent(1_000 * SECOND);
        assert!((40.0..60.0).contains(&middle), "{middle}");
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let first: Timestamp = "0000-01-01T00:00:00Z".parse().unwrap();
        let last: Timestamp = "9999-12-31T23:59:59.999999Z".parse().unwrap();
        let ends = [first, last].map(|it| (it.unix_micros() >> 45 << 45, 1));
        let timeline = timeline(ends.to_vec(), 1 << 45);
        let picture = Picture::of(&timeline);
        assert_eq!(picture.axis().len(), 3);
        let drawing = picture.drawing(&timeline.lanes[0]);
        assert_eq!(drawing.matches("<rect").count(), 2);
        assert!(
            picture
                .described(&timeline.lanes[0])
                .starts_with("2 events")
        );
    }

    #[test]
    fn nothing_to_draw_is_said() {
        let timeline = Timeline {
            without_time: 2,
            ..Timeline::default()
        };
        let picture = Picture::of(&timeline);
        assert!(!picture.is_drawn());
        assert_eq!(
            picture.left_out(),
            ["2 events state no time that can be read."]
        );
        assert_eq!(picture.axis(), Vec::<String>::new());
    }
}
