//! Records that look like documents with the records that were meant in them.
//!
//! A file of CloudTrail is one object, `{"Records":[…]}`. Taken as a record it is one event, which may be meant
//! and more often is not, so that it is told and not refused.

use provara_core::canonical::compact;
use provara_core::json::Value;

use super::array::ArrayPath;
use crate::text::counted;

/// How many members lead to an array that is looked for: `.Records`, and `.hits.hits` as Elasticsearch answers.
const MAX_STEPS: usize = 2;

/// How many objects an array that is looked for has at least.
const MIN_OBJECTS: usize = 2;

/// An array of objects that makes up most of a record.
pub(super) struct Array {
    path: ArrayPath,
    objects: usize,
}

impl Array {
    /// The array in `data`: at least two objects and nothing else, and longer than all that stands beside it and
    /// around it. An event with a few items beside what it says has none.
    pub(super) fn of(data: &Value<'_>) -> Option<Self> {
        let mut names = Vec::new();
        let (objects, _) = find(data, &mut names)?;
        let path = ArrayPath::of(&names);
        Some(Self { path, objects })
    }

    /// What makes each of its objects a record.
    pub(super) fn option(&self) -> String {
        let path = self.path.to_string().replace('\'', "'\\''");
        format!("--records '{path}'")
    }

    /// What helps where a member of its objects is looked for in the record.
    pub(super) fn fix(&self) -> String {
        format!(
            "Add {}: each of the {} in {} is a record then.",
            self.option(),
            counted(self.objects as u64, "object"),
            self.path,
        )
    }
}

/// How many objects the array holds, and how many bytes it has. `names` become those that lead to it.
fn find<'v>(value: &'v Value<'_>, names: &mut Vec<&'v str>) -> Option<(usize, usize)> {
    let members = value.as_object()?;
    let length = |value: &Value<'_>| compact(value).len();
    for (name, member) in members {
        let before = names.len();
        names.push(name);
        let found = match member {
            Value::Array(items) => objects(items)
                .filter(|count| *count >= MIN_OBJECTS)
                .map(|count| (count, length(member))),
            Value::Object(_) if names.len() < MAX_STEPS => find(member, names),
            _ => None,
        };
        let others = members.iter().filter(|(other, _)| other != name);
        let found = found.filter(|(_, long)| {
            let others: usize = others.map(|(_, value)| length(value)).sum();
            others < *long
        });
        if found.is_some() {
            return found;
        }
        names.truncate(before);
    }
    None
}

/// How many objects they are, if they are nothing else.
fn objects(items: &[Value<'_>]) -> Option<usize> {
    let all = items.iter().all(|item| matches!(item, Value::Object(_)));
    all.then_some(items.len())
}

/// Whether a batch is one such document, or several that hold nothing but an array of the same name.
#[derive(Default)]
pub(super) struct Documents {
    records: u64,
    /// The first, while it is the only one.
    first: Option<Array>,
    /// The one member of all, and how many objects it holds in all of them.
    only: Option<(String, usize)>,
}

impl Documents {
    /// A record was read whose data is all that it says.
    pub(super) fn meet(&mut self, data: &Value<'_>) {
        self.records += 1;
        if self.records > 1 && self.only.is_none() {
            return;
        }
        let only = match data.as_object().map(Vec::as_slice) {
            Some([(name, Value::Array(items))]) => objects(items).map(|count| (&**name, count)),
            _ => None,
        };
        if self.records == 1 {
            self.first = Array::of(data);
            self.only = only.map(|(name, count)| (name.to_owned(), count));
            return;
        }
        self.only = match (self.only.take(), only) {
            (Some((name, before)), Some((same, count))) if name == same => {
                Some((name, before + count))
            }
            _ => None,
        };
    }

    /// What the user may have meant instead.
    pub(super) fn note(&self) -> Option<String> {
        let (array, what) = match (&self.first, &self.only) {
            (Some(first), _) if self.records == 1 => {
                let path = first.path.clone();
                let objects = first.objects;
                (
                    Array { path, objects },
                    "the batch is one record, a document".to_owned(),
                )
            }
            (_, Some((name, objects))) if self.records > 1 && *objects >= MIN_OBJECTS => {
                let path = ArrayPath::of(&[name]);
                let objects = *objects;
                let what = format!("the batch is {} records, documents", self.records);
                (Array { path, objects }, what)
            }
            _ => return None,
        };
        Some(format!(
            "{what} with {} in {}: {} makes a record of each of them instead.",
            counted(array.objects as u64, "object"),
            array.path,
            array.option(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provara_core::json::parse;

    fn note(records: &[&str]) -> Option<String> {
        let mut documents = Documents::default();
        for text in records {
            documents.meet(&parse(text.as_bytes()).unwrap());
        }
        documents.note()
    }

    #[test]
    fn a_document_around_records_is_told() {
        for (records, option) in [
            (
                &[r#"{"Records":[{"a":1},{"a":2}]}"#][..],
                "--records '.Records' ",
            ),
            (
                &[r#"{"Records":[{"a":1},{"a":2},{"a":3}],"next":null,"x":{}}"#],
                "3 objects in .Records: --records '.Records' ",
            ),
            (
                &[r#"{"took":1,"hits":{"total":2,"hits":[{"_id":"a"},{"_id":"b"}]}}"#],
                "--records '.hits.hits' ",
            ),
            (
                &[r#"{"a.b's":[{"a":1},{"a":2}]}"#],
                r#"--records '."a.b'\''s"' "#,
            ),
            (
                &[
                    r#"{"Records":[{"a":1}]}"#,
                    r#"{"Records":[{"a":2},{"a":3}]}"#,
                ],
                "2 records, documents with 3 objects in .Records: --records '.Records' ",
            ),
        ] {
            let told = note(records).expect(records[0]);
            assert!(told.contains(option), "{told}");
            let shown = told.split("--records '").nth(1).unwrap();
            let path = shown
                .rsplit_once("' makes")
                .unwrap()
                .0
                .replace("'\\''", "'");
            assert_eq!(path.parse::<ArrayPath>().unwrap().to_string(), path);
        }
    }

    #[test]
    fn an_event_is_none() {
        for records in [
            &[][..],
            &[r#"{"a":1}"#],
            &[r#"{"Records":[]}"#],
            &[r#"{"Records":[{"a":1}]}"#],
            &[r#"{"values":[1,2,3]}"#],
            &[r#"{"mixed":[{"a":1},{"a":2},3]}"#],
            // What it says is more than its items.
            &[r#"{"user":"alice","action":"deleted the buckets","items":[{"id":1},{"id":2}]}"#],
            // A Windows event.
            &[
                r#"{"Event":{"EventData":{"Data":[{"Name":"a","text":"b"},{"Name":"c","text":"d"}]}}}"#,
            ],
            &[r#"{"Records":[{"a":1},{"a":2}]}"#, r#"{"a":1}"#],
            &[r#"{"a":1}"#, r#"{"Records":[{"a":1},{"a":2}]}"#],
            &[
                r#"{"items":[{"a":1},{"a":2}],"id":1}"#,
                r#"{"items":[{"a":1},{"a":2}],"id":2}"#,
            ],
        ] {
            assert_eq!(note(records), None, "{records:?}");
        }
    }
}
