//! A [`Sequencer`] as bytes, so that a verification can go on where an earlier one ended.
//!
//! Lossless: a sequencer that is saved, restored and fed the rest of a log ends with the verdict of one
//! that was fed all of it. The bytes are to be kept where only those who may decide what counts as
//! verified can write: whoever writes them decides it.

use std::collections::HashMap;

use crate::bytes::{Decoder, Encoder};
use crate::canonical::token_preserving;
use crate::history::{KeyEvent, KeyEventKind};
use crate::id::{Digest, EventId, KeyId};
use crate::json;
use crate::keys::PublicKey;
use crate::time::Timestamp;
use crate::tree::EventTree;
use crate::verify::sequence::events::{Author, Events};
use crate::verify::sequence::{FilesStatement, Genesis, Head, LinePlace, Sequencer};
use crate::verify::timeline::{KeyState, Revocation, Timeline};

impl Sequencer {
    /// The state after the lines so far; `None` where it holds more than whole, sound events: findings,
    /// redactions, a predecessor, or a last line without its end.
    #[must_use]
    pub fn save(&self) -> Option<Vec<u8>> {
        let plain = self.findings.is_empty()
            && self.dangling.is_empty()
            && self.tombstones.is_empty()
            && self.redactions.is_empty()
            && self.unreadable == 0
            && self
                .genesis
                .as_ref()
                .is_none_or(|it| it.predecessor.is_none())
            && !self.open_end;
        plain.then(|| {
            let mut out = Encoder(Vec::with_capacity(4096 + self.events.written_length()));
            self.write(&mut out);
            out.0
        })
    }

    fn write(&self, out: &mut Encoder) {
        for number in [
            self.lines,
            self.token_form,
            self.without_key_id,
            self.signatures,
        ] {
            out.u64(number);
        }
        out.option(self.sealed_by.as_ref(), |out, (id, number)| {
            out.raw(&id.0);
            out.u64(*number);
        });
        out.option(self.genesis.as_ref(), |out, genesis| {
            for text in [&genesis.uid, &genesis.root_key_id, &genesis.quorum_key_id] {
                out.option(text.as_ref(), |out, text| out.sized(text.as_bytes()));
            }
        });
        self.write_mark(out);
        out.u64(self.introduced.len() as u64);
        self.introduced.iter().for_each(|id| out.raw(&id.0));
        out.u64(self.unvouched_rotations.len() as u64);
        self.unvouched_rotations
            .iter()
            .for_each(|line| out.u64(*line));
        out.u64(self.keys.len() as u64);
        self.keys.iter().for_each(|id| out.raw(&id.0));
        out.u64(self.actors.len() as u64);
        for (name, number) in self.actors.iter().zip(0u32..) {
            out.sized(name.as_bytes());
            out.option(self.heads.get(&number), |out, head| {
                out.raw(&head.last.0);
                out.option(head.ts_logical.as_ref(), |out, it| {
                    out.raw(&it.to_le_bytes());
                });
                out.option(head.time.as_ref(), |out, it| {
                    out.raw(&it.unix_nanos().to_le_bytes());
                });
                out.u64(head.keys.len() as u64);
                head.keys.iter().for_each(|key| out.raw(&key.to_le_bytes()));
            });
        }
        out.u64(self.timeline.len() as u64);
        for (id, state) in self.timeline.states() {
            out.raw(&id.0);
            out.raw(state.public_key.as_bytes());
            out.option(state.awaits.as_ref(), |out, id| out.raw(&id.0));
            out.option(state.promoted.as_ref(), |out, id| out.raw(&id.0));
            out.option(state.added.as_ref(), |out, id| out.raw(&id.0));
            out.raw(&[u8::from(state.founding)]);
            out.option(state.replaces.as_ref(), |out, id| out.raw(&id.0));
            out.option(state.revoked.as_ref(), |out, revocation| {
                out.raw(&revocation.at.to_le_bytes());
                out.raw(&revocation.event.0);
                out.raw(&revocation.distrusted_from.to_le_bytes());
            });
        }
        self.events.write(out);
    }

    /// The sequencer that was saved; `None` for bytes that are none.
    #[must_use]
    pub fn restore(bytes: &[u8]) -> Option<Self> {
        let mut from = Decoder(bytes);
        let mut restored = Self::empty(Timeline::default());
        restored.lines = from.u64()?;
        restored.token_form = from.u64()?;
        restored.without_key_id = from.u64()?;
        restored.signatures = from.u64()?;
        restored.sealed_by = from.option(|from| Some((EventId(from.array()?), from.u64()?)))?;
        restored.genesis = from.option(|from| {
            Some(Genesis {
                uid: from.option(Decoder::text)?,
                root_key_id: from.option(Decoder::text)?,
                quorum_key_id: from.option(Decoder::text)?,
                predecessor: None,
            })
        })?;
        restored.read_mark(&mut from)?;
        restored.introduced = from.list(|from| from.array().map(KeyId))?;
        restored.unvouched_rotations = from.list(Decoder::u64)?;
        for number in 0..from.u64()? {
            let (id, number) = (KeyId(from.array()?), u32::try_from(number).ok()?);
            restored.keys.push(id);
            restored.key_index.insert(id, number);
        }
        for number in 0..from.u64()? {
            let (name, number) = (from.text()?, u32::try_from(number).ok()?);
            restored.actor_index.insert(name.clone(), number);
            restored.actors.push(name);
            let head = from.option(|from| {
                Some(Head {
                    last: EventId(from.array()?),
                    ts_logical: from.option(|from| from.array().map(i64::from_le_bytes))?,
                    time: from.option(|from| {
                        Timestamp::from_unix_nanos(i128::from_le_bytes(from.array()?))
                    })?,
                    keys: from.list(|from| {
                        let key = u32::from_le_bytes(from.array()?);
                        ((key as usize) < restored.keys.len()).then_some(key)
                    })?,
                })
            })?;
            restored.heads.extend(head.map(|head| (number, head)));
        }
        let mut keys = HashMap::new();
        for _ in 0..from.u64()? {
            let (id, public_key) = (KeyId(from.array()?), from.array()?);
            let state = KeyState {
                public_key: PublicKey::from_bytes(&public_key).ok()?,
                awaits: from.option(|from| from.array().map(EventId))?,
                promoted: from.option(|from| from.array().map(EventId))?,
                added: from.option(|from| from.array().map(EventId))?,
                founding: from.array::<1>()? == [1],
                replaces: from.option(|from| from.array().map(KeyId))?,
                revoked: from.option(|from| {
                    Some(Revocation {
                        at: u32::from_le_bytes(from.array()?),
                        event: EventId(from.array()?),
                        distrusted_from: u32::from_le_bytes(from.array()?),
                    })
                })?,
            };
            keys.insert(id, state);
        }
        let known = |number: Option<u32>, of: usize| number.is_none_or(|it| (it as usize) < of);
        let are_known = |author: &Author| {
            known(author.actor, restored.actors.len()) && known(author.key, restored.keys.len())
        };
        restored.events = Events::read(&mut from, are_known)?;
        if !from.0.is_empty() {
            return None;
        }
        let count = restored.events.len();
        let in_order = |state: &KeyState| {
            state
                .revoked
                .is_none_or(|it| it.distrusted_from <= it.at && (it.at as usize) < count)
        };
        if !keys.values().all(in_order) {
            return None;
        }
        restored.timeline = Timeline::of(keys);
        Some(restored)
    }

    /// The mark, the key events, what is stated of files and seals, and the event tree.
    fn write_mark(&self, out: &mut Encoder) {
        out.raw(&[u8::from(self.is_marked)]);
        out.u64(self.key_events.len() as u64);
        for event in &self.key_events {
            out.u64(event.number);
            out.raw(&event.id.0);
            out.raw(&event.signer.0);
            out.raw(&[event.kind.number()]);
            let payload = token_preserving(&event.payload);
            out.sized(&payload);
        }
        out.u64(self.unredactable.len() as u64);
        self.unredactable.iter().for_each(|id| out.raw(&id.0));
        out.u64(self.files.len() as u64);
        for files in &self.files {
            out.u64(files.line);
            out.u64(files.count);
            out.raw(&files.root.0);
        }
        out.option(self.naming.as_ref(), |out, (place, count)| {
            out.u64(place.line);
            out.u64(place.offset);
            out.option(place.actor.as_ref(), |out, it| out.raw(&it.to_le_bytes()));
            out.option(place.id.as_ref(), |out, id| out.raw(&id.0));
            out.u64(*count);
        });
        out.sized(&self.tree.to_bytes());
    }

    fn read_mark(&mut self, from: &mut Decoder<'_>) -> Option<()> {
        self.is_marked = from.array::<1>()? == [1];
        self.key_events = from.list(|from| {
            Some(KeyEvent {
                number: from.u64()?,
                id: EventId(from.array()?),
                signer: KeyId(from.array()?),
                kind: KeyEventKind::of_number(from.array::<1>()?[0])?,
                payload: json::parse(from.sized()?).ok()?.into_owned(),
                proof: None,
            })
        })?;
        self.unredactable = from.list(|from| from.array().map(EventId))?;
        self.files = from.list(|from| {
            Some(FilesStatement {
                line: from.u64()?,
                count: from.u64()?,
                root: Digest(from.array()?),
            })
        })?;
        self.naming = from.option(|from| {
            let place = LinePlace {
                line: from.u64()?,
                offset: from.u64()?,
                actor: from.option(|from| from.array().map(u32::from_le_bytes))?,
                id: from.option(|from| from.array().map(EventId))?,
            };
            Some((place, from.u64()?))
        })?;
        self.tree = EventTree::from_bytes(from.sized()?)?;
        Some(())
    }
}
