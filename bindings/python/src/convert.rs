//! Between Python objects and the strict JSON tree of the core.
//!
//! Integer tokens become `int` (those beyond ±(2^53-1) as [`LargeIntegers`] says), other numbers `float`; in the other direction only what is JSON
//! passes, and the error names the place. Dicts are built directly, without a text in between.

use std::borrow::Cow;
use std::collections::HashMap;

use provara_core::canonical::{MAX_SAFE_INTEGER, check_integers};
use provara_core::json::{self, Build, MAX_DEPTH, Object, ParseError, Value, is_integer_token};
use provara_core::number::python_float;
use provara_core::number_rule::is_large_integer_token;
use provara_vault::VaultError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::errors;
use crate::integers::LargeIntegers;

/// How many different keys, and how long strings in bytes, are kept as ready-made Python strings.
const KEPT_KEYS: usize = 256;
const KEPT_LENGTH: usize = 64;

/// After how many other values in a row the value of a key is no longer expected to recur.
const MISSES: u8 = 16;

/// How many steps of a path a message shows.
const SHOWN_STEPS: usize = 16;

/// The strings that recur from event to event, made once: keys, and values that stood under the same
/// key in the event before (a type, an actor, a key id).
#[derive(Default)]
pub(crate) struct Strings {
    slots: Vec<Slot>,
    index: HashMap<Box<str>, usize>,
    /// The slot of the key that was asked for last.
    last: usize,
}

struct Slot {
    key: Box<str>,
    made: Py<PyString>,
    /// The slot of the key that came next the last time: canonical events have theirs in one order.
    next: usize,
    value: Option<Py<PyString>>,
    /// How often in a row the value was another one.
    misses: u8,
}

impl Strings {
    /// The string of a key.
    fn key<'py>(&mut self, py: Python<'py>, key: &str) -> Bound<'py, PyString> {
        let guess = self.slots.get(self.last).map_or(0, |slot| slot.next);
        let found = match self.slots.get(guess) {
            Some(slot) if *slot.key == *key => guess,
            _ => match self.index.get(key) {
                Some(found) => *found,
                None if key.len() > KEPT_LENGTH || self.slots.len() >= KEPT_KEYS => {
                    return PyString::new(py, key);
                }
                None => {
                    self.slots.push(Slot {
                        key: key.into(),
                        made: PyString::intern(py, key).unbind(),
                        next: 0,
                        value: None,
                        misses: 0,
                    });
                    self.index.insert(key.into(), self.slots.len() - 1);
                    self.slots.len() - 1
                }
            },
        };
        self.slots[self.last].next = found;
        self.last = found;
        self.slots[found].made.bind(py).clone()
    }

    /// The string of a value under the key that was asked for last.
    fn value<'py>(&mut self, py: Python<'py>, text: &str) -> Bound<'py, PyString> {
        let slot = self.slots.get_mut(self.last);
        let Some(slot) = slot.filter(|slot| slot.misses < MISSES && text.len() <= KEPT_LENGTH)
        else {
            return PyString::new(py, text);
        };
        if let Some(kept) = &slot.value
            && kept.bind(py).to_str().is_ok_and(|kept| kept == text)
        {
            slot.misses = 0;
            return kept.bind(py).clone();
        }
        slot.misses += 1;
        let made = PyString::new(py, text);
        slot.value = Some(made.clone().unbind());
        made
    }
}

/// Why a text did not become a Python object; small, because every value is returned beside it.
pub(crate) enum Unbuilt {
    /// It is not the JSON that is accepted; [`json::parse`] says why.
    Text,
    /// It has a large integer, and what becomes of those is undecided.
    Undecided,
    /// Python failed.
    Python(Box<PyErr>),
}

impl From<ParseError> for Unbuilt {
    fn from(_: ParseError) -> Self {
        Self::Text
    }
}

impl From<PyErr> for Unbuilt {
    fn from(error: PyErr) -> Self {
        Self::Python(Box::new(error))
    }
}

/// Builds the Python object of a JSON text, without a tree in between.
pub(crate) struct Builder<'s, 'py> {
    pub(crate) py: Python<'py>,
    pub(crate) strings: &'s mut Strings,
    pub(crate) large: LargeIntegers,
}

impl<'a, 'py> Build<'a> for Builder<'_, 'py> {
    type Value = Bound<'py, PyAny>;
    type Array = Bound<'py, PyList>;
    /// The dict, and how many members it has.
    type Object = (Bound<'py, PyDict>, usize);
    type Key = Bound<'py, PyString>;
    type Error = Unbuilt;

    fn null(&mut self) -> Self::Value {
        self.py.None().into_bound(self.py)
    }

    fn boolean(&mut self, value: bool) -> Self::Value {
        PyBool::new(self.py, value).to_owned().into_any()
    }

    fn number(&mut self, token: &'a str) -> Result<Self::Value, Unbuilt> {
        let py = self.py;
        if !is_integer_token(token) {
            return Ok(float(py, token));
        }
        if let Ok(small) = token.parse::<i64>()
            && small.unsigned_abs() <= MAX_SAFE_INTEGER
        {
            return Ok(PyInt::new(py, small).into_any());
        }
        match self.large {
            LargeIntegers::Undecided => Err(Unbuilt::Undecided),
            LargeIntegers::Float => Ok(float(py, token)),
            LargeIntegers::Int => Ok(py.get_type::<PyInt>().call1((token,))?),
        }
    }

    fn string(&mut self, text: Cow<'a, str>) -> Self::Value {
        self.strings.value(self.py, &text).into_any()
    }

    fn array(&mut self) -> Self::Array {
        PyList::empty(self.py)
    }

    fn item(&mut self, array: &mut Self::Array, item: Self::Value) -> Result<(), Unbuilt> {
        Ok(array.append(item)?)
    }

    fn end_array(&mut self, array: Self::Array) -> Self::Value {
        array.into_any()
    }

    fn object(&mut self) -> Self::Object {
        (PyDict::new(self.py), 0)
    }

    fn key(&mut self, _: &mut Self::Object, key: Cow<'a, str>) -> Option<Self::Key> {
        Some(self.strings.key(self.py, &key))
    }

    fn member(
        &mut self,
        (dict, members): &mut Self::Object,
        key: Self::Key,
        value: Self::Value,
    ) -> Result<(), Unbuilt> {
        dict.set_item(&key, value)?;
        *members += 1;
        Ok(())
    }

    fn end_object(&mut self, (dict, members): Self::Object) -> Result<Self::Value, Unbuilt> {
        // Where two members had one key, the dict has fewer.
        if dict.len() < members {
            return Err(Unbuilt::Text);
        }
        Ok(dict.into_any())
    }
}

fn float<'py>(py: Python<'py>, token: &str) -> Bound<'py, PyAny> {
    // The token follows the grammar of JSON, which Rust reads to the nearest binary64.
    PyFloat::new(py, token.parse().unwrap_or(f64::NAN)).into_any()
}

/// Why a Python object is not JSON, and where: the steps from the inside outwards.
struct NotJson {
    steps: Vec<Step>,
    what: String,
}

enum Step {
    Key(String),
    Index(usize),
}

impl NotJson {
    fn new(what: impl Into<String>) -> Self {
        Self {
            steps: Vec::new(),
            what: what.into(),
        }
    }

    fn within(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// `user.emails[0]: a set is not JSON`; at the top only what is wrong. A very deep place shows
    /// its last steps.
    fn text(&self) -> String {
        let shown = self.steps.len().min(SHOWN_STEPS);
        let mut path = String::new();
        if shown < self.steps.len() {
            path.push('…');
        }
        for step in self.steps[..shown].iter().rev() {
            match step {
                Step::Key(key) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        if path.is_empty() {
            self.what.clone()
        } else {
            format!("{path}: {}", self.what)
        }
    }
}

/// Reads a Python object that must be JSON.
///
/// Raises `UsageError` for NaN and infinities, keys that are not strings, lone surrogates, other
/// types, and nesting beyond the core's limit (which also ends a cycle).
pub(crate) fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Value<'static>> {
    read(value, 0).map_err(|error| errors::usage(value.py(), error.text()))
}

/// Reads the data of an event that is to be appended: as [`from_python`], and refuses an `int` that no float
/// is equal to.
pub(crate) fn data_from_python(value: &Bound<'_, PyAny>) -> PyResult<Value<'static>> {
    let data = from_python(value)?;
    if has_large_integer(&data) {
        let refused = |error| errors::of_vault(value.py(), VaultError::Canonical(error));
        check_integers(&data).map_err(refused)?;
    }
    Ok(data)
}

/// Whether there is an `int` beyond ±(2^53-1).
fn has_large_integer(value: &Value<'_>) -> bool {
    match value {
        Value::Number(token) => is_large_integer_token(token),
        Value::Array(items) => items.iter().any(has_large_integer),
        Value::Object(members) => members.iter().any(|(_, value)| has_large_integer(value)),
        _ => false,
    }
}

fn read(value: &Bound<'_, PyAny>, depth: usize) -> Result<Value<'static>, NotJson> {
    if value.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Value::String(read_text(text)?.into()));
    }
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(Value::Bool(flag.is_true()));
    }
    if let Ok(integer) = value.cast::<PyInt>() {
        return read_integer(integer).map(|token| Value::Number(token.into()));
    }
    if let Ok(float) = value.cast::<PyFloat>() {
        let float = float.value();
        if !float.is_finite() {
            let name = if float.is_nan() { "NaN" } else { "Infinity" };
            return Err(NotJson::new(format!("{name} is not JSON")));
        }
        return Ok(Value::Number(python_float(float).into()));
    }
    if depth >= MAX_DEPTH {
        let what = format!("nested deeper than {MAX_DEPTH} levels (or within itself)");
        return Err(NotJson::new(what));
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        return read_dict(dict, depth);
    }
    if let Ok(list) = value.cast::<PyList>() {
        return read_items(list.iter(), depth);
    }
    if let Ok(tuple) = value.cast::<PyTuple>() {
        return read_items(tuple.iter(), depth);
    }
    let name = type_name(value);
    Err(NotJson::new(format!(
        "an object of type {name} is not JSON"
    )))
}

fn read_dict(dict: &Bound<'_, PyDict>, depth: usize) -> Result<Value<'static>, NotJson> {
    let mut members: Object<'static> = Vec::with_capacity(dict.len());
    for (key, value) in dict.iter() {
        let Ok(key) = key.cast::<PyString>() else {
            let name = type_name(&key);
            let shown = key
                .repr()
                .map_or_else(|_| String::new(), |text| format!(" {text}"));
            return Err(NotJson::new(format!(
                "the key{shown} is of type {name}, not a string"
            )));
        };
        let key = read_text(key)?;
        let value = read(&value, depth + 1).map_err(|e| e.within(Step::Key(key.clone())))?;
        members.push((Cow::Owned(key), value));
    }
    Ok(Value::Object(members))
}

fn read_items<'py>(
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    depth: usize,
) -> Result<Value<'static>, NotJson> {
    let read_one = |(index, item): (usize, Bound<'py, PyAny>)| {
        read(&item, depth + 1).map_err(|error| error.within(Step::Index(index)))
    };
    items
        .enumerate()
        .map(read_one)
        .collect::<Result<_, _>>()
        .map(Value::Array)
}

fn read_text(text: &Bound<'_, PyString>) -> Result<String, NotJson> {
    text.to_cow()
        .map(Cow::into_owned)
        .map_err(|_| NotJson::new("a string with a lone surrogate is not JSON"))
}

fn read_integer(integer: &Bound<'_, PyInt>) -> Result<String, NotJson> {
    if let Ok(small) = integer.extract::<i64>() {
        return Ok(small.to_string());
    }
    // `int.__repr__`, not the object's own: an enumeration's would name its member. Python refuses
    // to print more digits than `sys.set_int_max_str_digits` allows.
    integer
        .py()
        .get_type::<PyInt>()
        .call_method1("__repr__", (integer,))
        .and_then(|text| text.extract())
        .map_err(|_| NotJson::new("an integer with too many digits"))
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().qualname();
    name.map_or_else(
        |_| "?".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Builds the Python object of strict JSON text that this program wrote itself.
pub(crate) fn text_to_python<'py>(
    py: Python<'py>,
    text: &[u8],
    large: LargeIntegers,
) -> PyResult<Bound<'py, PyAny>> {
    text_decided(py, text, || large)
}

/// As [`text_to_python`]; what becomes of large integers is decided if there is one.
pub(crate) fn text_decided<'py>(
    py: Python<'py>,
    text: &[u8],
    decide: impl FnOnce() -> LargeIntegers,
) -> PyResult<Bound<'py, PyAny>> {
    let strings = &mut Strings::default();
    let mut build = |large| json::build(text, &mut Builder { py, strings, large });
    let mut built = build(LargeIntegers::Undecided);
    if let Err(Unbuilt::Undecided) = built {
        built = build(decide());
    }
    built.map_err(|error| match error {
        Unbuilt::Text | Unbuilt::Undecided => errors::usage(py, not_json(text)),
        Unbuilt::Python(error) => *error,
    })
}

/// What is wrong with a text that [`Builder`] refused.
pub(crate) fn not_json(text: &[u8]) -> String {
    json::parse(text).map_or_else(|error| error.to_string(), |_| "it is not JSON".to_owned())
}
