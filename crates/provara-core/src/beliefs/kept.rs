//! A reducer of a log as bytes, to be kept and gone on from.
//!
//! The bytes hold keys, where lines begin, and what decides whether values are equal: nothing that a log does not
//! say. Numbers are in base 128, the low digit first; where lines begin is told by the distance from the one before.

use super::fold::{Archived, Belief, Canonical, Contested, Fold, Local, Reason};
use super::log::LogReducer;

impl LogReducer {
    /// All that the reducer knows.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.number(self.events);
        out.option(self.last.as_ref(), |out, at| out.number(*at));
        out.option(self.epoch.as_ref(), |out, at| out.number(*at));
        out.number(self.fold.iter().len() as u64);
        for (key, belief) in self.fold.iter() {
            out.sized(key);
            out.belief(belief);
        }
        out.0
    }

    /// The reducer that [`LogReducer::save`] was told, of the first `length` bytes of a log; `None` for what that
    /// never gives.
    #[must_use]
    pub fn restore(bytes: &[u8], length: u64) -> Option<Self> {
        let mut from = Reader {
            rest: bytes,
            length,
        };
        let mut reducer = Self {
            fold: Fold::default(),
            events: from.number()?,
            last: from.option(Reader::line)?,
            epoch: from.option(Reader::line)?,
        };
        let keys = usize::try_from(from.number()?).ok()?;
        // Each has a byte at least.
        (keys <= from.rest.len()).then(|| reducer.fold.reserve(keys))?;
        for _ in 0..keys {
            let key = from.sized()?;
            std::str::from_utf8(key).ok()?;
            *reducer.fold.belief(key) = from.belief()?;
        }
        (reducer.fold.iter().len() == keys && from.rest.is_empty()).then_some(reducer)
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn sized(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.0.push(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn belief(&mut self, belief: &Belief) {
        self.number(belief.evidence.len() as u64);
        let mut before = 0;
        for at in &belief.evidence {
            self.number(at - before);
            before = *at;
        }
        self.option(belief.canonical.as_ref(), |out, it| {
            out.number(it.event);
            out.sized(&it.value);
        });
        self.option(belief.local.as_ref(), |out, it| {
            out.number(it.event);
            out.0.extend_from_slice(&it.confidence.to_le_bytes());
            out.number(it.evidence_count);
            out.sized(&it.value);
        });
        self.option(belief.contested.as_deref(), |out, it| match it {
            Contested::Now {
                reason,
                canonical,
                evidence,
            } => {
                out.0.push(u8::from(*reason == Reason::Canonical));
                out.option(canonical.as_ref(), |out, at| out.number(*at));
                out.number(*evidence as u64);
            }
            Contested::Carried(_) => unreachable!("a log's reducer carries nothing"),
        });
        self.number(belief.archived.len() as u64);
        for entry in &belief.archived {
            match entry {
                Archived::Was {
                    event,
                    superseded_by,
                    retracted,
                } => {
                    self.number(*event);
                    self.number(*superseded_by);
                    self.0.push(u8::from(*retracted));
                }
                Archived::Carried(_) => unreachable!("a log's reducer carries nothing"),
            }
        }
    }
}

/// Reads what a [`Writer`] wrote; `None` where it is not that.
struct Reader<'a> {
    rest: &'a [u8],
    /// How long the log is.
    length: u64,
}

impl<'a> Reader<'a> {
    fn raw(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for digit in 0..10 {
            let byte = self.raw(1)?[0];
            let bits = u64::from(byte & 0x7F);
            number |= bits << (7 * digit);
            if byte < 0x80 {
                return (digit < 9 || bits < 2).then_some(number);
            }
        }
        None
    }

    fn flag(&mut self) -> Option<bool> {
        match self.raw(1)? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn sized(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.raw(length)
    }

    /// Where a line begins.
    fn line(&mut self) -> Option<u64> {
        let at = self.number()?;
        (at < self.length).then_some(at)
    }

    /// The outer `None` is an error, the inner one an absent value.
    #[expect(clippy::option_option, reason = "the two differ")]
    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.flag()? {
            false => Some(None),
            true => read(self).map(Some),
        }
    }

    /// How many things follow, of a byte each at least.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.rest.len()).then_some(count)
    }

    fn belief(&mut self) -> Option<Belief> {
        let count = self.count()?;
        let mut evidence = Vec::with_capacity(count);
        let mut at = 0;
        for _ in 0..count {
            at = self.number()?.checked_add(at)?;
            (at < self.length).then_some(())?;
            evidence.push(at);
        }
        let canonical = self.option(|from| {
            Some(Box::new(Canonical {
                event: from.line()?,
                value: from.sized()?.into(),
            }))
        })?;
        let local = self.option(|from| {
            Some(Local {
                event: from.line()?,
                confidence: f64::from_le_bytes(from.raw(8)?.try_into().ok()?),
                evidence_count: from.number()?,
                value: from.sized()?.into(),
            })
        })?;
        let contested = self.option(|from| {
            Some(Box::new(Contested::Now {
                reason: match from.flag()? {
                    true => Reason::Canonical,
                    false => Reason::Local,
                },
                canonical: from.option(Self::line)?,
                evidence: usize::try_from(from.number()?)
                    .ok()
                    .filter(|it| (1..=count).contains(it))?,
            }))
        })?;
        let archived = (0..self.count()?).map(|_| {
            Some(Archived::Was {
                event: self.line()?,
                superseded_by: self.line()?,
                retracted: self.flag()?,
            })
        });
        Some(Belief {
            evidence,
            canonical,
            local,
            contested,
            archived: archived.collect::<Option<_>>()?,
        })
    }
}
