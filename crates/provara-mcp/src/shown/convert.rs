//! A schema of any dialect as one of draft 2020-12 without references.

use rmcp::model::JsonObject;
use serde_json::{Value, json};

use super::dialect::Dialect;
use super::index::{Index, Place};
use super::pattern::is_javascript;

/// The deepest that is shown.
pub(super) const DEEPEST: usize = 32;

/// The most references that are followed to get to one place.
const HOPS: usize = 32;

/// How much is said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Detail {
    /// How many levels below the root.
    depth: usize,
    /// How many characters of a text.
    text: usize,
    /// How many bytes of a list of values, and of an example.
    values: usize,
}

impl Detail {
    pub(super) const fn new(depth: usize, text: usize, values: usize) -> Self {
        Self {
            depth,
            text,
            values,
        }
    }
}

/// What is made of a schema, and whether it takes more than that one.
struct Made {
    schema: JsonObject,
    weaker: bool,
}

impl Made {
    /// What takes everything.
    fn nothing() -> Self {
        Self {
            schema: JsonObject::new(),
            weaker: true,
        }
    }
}

pub(super) struct Converter<'i, 's> {
    index: &'i Index<'s>,
    root: &'s Value,
    detail: Detail,
    /// How many bytes may still be made.
    room: usize,
    /// Where references led that are not done with: what leads there again goes in circles.
    open: Vec<*const Value>,
}

impl<'i, 's> Converter<'i, 's> {
    pub(super) fn new(root: &'s Value, index: &'i Index<'s>, detail: Detail, room: usize) -> Self {
        Self {
            index,
            root,
            detail,
            // What is made here is counted roughly, and measured by the caller.
            room: room.saturating_mul(2),
            open: Vec::new(),
        }
    }

    /// The whole schema, and whether it takes more than the one that it is made of.
    pub(super) fn root(&mut self) -> (JsonObject, bool) {
        let place = Place::root(self.root);
        self.open.push(self.root);
        let made = self.make(&place, 0);
        (made.schema, made.weaker)
    }

    /// Whether the room did not suffice.
    pub(super) fn has_ended(&self) -> bool {
        self.room == 0
    }

    /// Takes bytes out of the room; false once there is none.
    fn spend(&mut self, bytes: usize) -> bool {
        self.room = self.room.saturating_sub(bytes);
        self.room > 0
    }

    fn make(&mut self, place: &Place<'s>, depth: usize) -> Made {
        if !self.spend(8) {
            return Made::nothing();
        }
        match place.schema {
            Value::Bool(true) => Made {
                weaker: false,
                ..Made::nothing()
            },
            Value::Bool(false) => Made {
                schema: JsonObject::from_iter([("not".to_owned(), json!({}))]),
                weaker: false,
            },
            Value::Object(members) => self.make_object(place, members, depth),
            _ => Made::nothing(),
        }
    }

    fn make_object(&mut self, place: &Place<'s>, members: &'s JsonObject, depth: usize) -> Made {
        let reference = members.get("$ref").and_then(Value::as_str);
        let target = reference.map(|reference| self.follow(reference, place, depth));
        // Until draft-07 what stands beside a reference is not there.
        if let Some(target) = &target
            && place.dialect <= Dialect::Draft7
        {
            return Made {
                schema: target.schema.clone(),
                weaker: target.weaker,
            };
        }
        let own = Keywords {
            converter: self,
            place,
            members,
            depth,
            made: Made {
                schema: JsonObject::new(),
                weaker: false,
            },
        }
        .all();
        match target {
            None => own,
            Some(target) => both(target, own),
        }
    }

    fn follow(&mut self, reference: &str, from: &Place<'s>, depth: usize) -> Made {
        let Some(target) = self.index.resolve(reference, from) else {
            return Made::nothing();
        };
        let address: *const Value = target.schema;
        if self.open.contains(&address) || self.open.len() > HOPS {
            return Made::nothing();
        }
        self.open.push(address);
        let made = self.make(&target, depth);
        self.open.pop();
        made
    }
}

/// What must fit both.
fn both(target: Made, own: Made) -> Made {
    /// What speaks of the other keywords beside it.
    const RELATED: [&str; 9] = [
        "additionalProperties",
        "if",
        "then",
        "else",
        "contains",
        "minContains",
        "maxContains",
        "items",
        "prefixItems",
    ];
    const NOTES: [&str; 4] = ["title", "description", "default", "examples"];
    let weaker = target.weaker || own.weaker;
    let mut schema = target.schema;
    let clash = |key: &String| {
        !NOTES.contains(&key.as_str())
            && (schema.contains_key(key) || RELATED.contains(&key.as_str()))
    };
    let related = RELATED.iter().any(|key| schema.contains_key(*key));
    let adds = own.schema.keys().any(|key| !NOTES.contains(&key.as_str()));
    if own.schema.keys().any(clash) || (related && adds) {
        let parts = vec![Value::Object(schema), Value::Object(own.schema)];
        let schema = JsonObject::from_iter([("allOf".to_owned(), Value::Array(parts))]);
        return Made { schema, weaker };
    }
    schema.extend(own.schema);
    Made { schema, weaker }
}

/// The keywords of one subschema on the way.
struct Keywords<'c, 'i, 'p, 's> {
    converter: &'c mut Converter<'i, 's>,
    place: &'p Place<'s>,
    members: &'s JsonObject,
    depth: usize,
    made: Made,
}

impl<'s> Keywords<'_, '_, '_, 's> {
    fn all(mut self) -> Made {
        self.notes();
        self.values();
        self.numbers();
        self.texts();
        let deeper = self.depth < self.converter.detail.depth;
        let below = [
            "$dynamicRef",
            "$recursiveRef",
            "unevaluatedProperties",
            "unevaluatedItems",
            "contentSchema",
        ];
        self.made.weaker |= below.iter().any(|key| self.members.contains_key(*key));
        match deeper {
            true => {
                self.objects();
                self.arrays();
                self.logic();
            }
            false => self.made.weaker |= self.members.keys().any(|key| is_applicator(key)),
        }
        if !deeper && self.depth == 0 {
            // Of an object of whose members nothing is said, the names are not said either.
            self.made.schema.remove("required");
        }
        self.made
    }

    fn get(&self, keyword: &str) -> Option<&'s Value> {
        self.members.get(keyword)
    }

    /// A keyword that came with a dialect.
    fn since(&self, dialect: Dialect, keyword: &str) -> Option<&'s Value> {
        self.get(keyword).filter(|_| self.place.dialect >= dialect)
    }

    /// Puts a keyword there as it is, if there is room.
    fn put(&mut self, keyword: &str, value: Value) {
        let length = keyword.len() + value.to_string().len();
        match self.converter.spend(length) {
            true => drop(self.made.schema.insert(keyword.to_owned(), value)),
            false => self.made.weaker = true,
        }
    }

    fn part(&mut self, schema: &'s Value) -> Made {
        let place = self.place.clone().into_part(schema);
        self.converter.make(&place, self.depth + 1)
    }

    /// Puts a subschema there. What takes everything need not be said.
    fn put_part(&mut self, keyword: &str, schema: &'s Value) {
        let made = self.part(schema);
        self.made.weaker |= made.weaker;
        if !made.schema.is_empty() {
            self.made
                .schema
                .insert(keyword.to_owned(), Value::Object(made.schema));
        }
    }

    /// Texts and examples: a client may show them as they are.
    fn notes(&mut self) {
        let detail = self.converter.detail;
        for keyword in ["title", "description"] {
            let most = match keyword {
                "title" => detail.text.min(100),
                _ => detail.text,
            };
            if let Some(text) = self.get(keyword).and_then(Value::as_str)
                && most > 0
            {
                let safe = provara_plugins::text::inline(text);
                let text = provara_plugins::text::shorten(&safe, most).into_owned();
                self.put(keyword, text.into());
            }
        }
        for keyword in ["default", "examples"] {
            if let Some(value) = self.get(keyword)
                && value.to_string().len() <= detail.values
            {
                self.put(keyword, value.clone());
            }
        }
        if self.get("deprecated") == Some(&json!(true)) {
            self.put("deprecated", json!(true));
        }
    }

    fn values(&mut self) {
        if let Some(kind) = self.get("type") {
            self.put("type", kind.clone());
        }
        let most = self.converter.detail.values;
        for value in [self.get("enum"), self.since(Dialect::Draft6, "const")] {
            let Some(value) = value else { continue };
            let keyword = if self.get("enum") == Some(value) {
                "enum"
            } else {
                "const"
            };
            match value.to_string().len() <= most {
                true => self.put(keyword, value.clone()),
                false => self.made.weaker = true,
            }
        }
    }

    fn numbers(&mut self) {
        const AS_THEY_ARE: [&str; 8] = [
            "multipleOf",
            "minLength",
            "maxLength",
            "minItems",
            "maxItems",
            "uniqueItems",
            "minProperties",
            "maxProperties",
        ];
        for keyword in AS_THEY_ARE {
            if let Some(value) = self.get(keyword) {
                self.put(keyword, value.clone());
            }
        }
        for (keyword, exclusive) in [
            ("minimum", "exclusiveMinimum"),
            ("maximum", "exclusiveMaximum"),
        ] {
            // In draft-04 the second says how the first is meant.
            let is_exclusive = self.get(exclusive) == Some(&json!(true));
            if let Some(value) = self.get(keyword) {
                let keyword = if is_exclusive { exclusive } else { keyword };
                self.put(keyword, value.clone());
            }
            if let Some(value) = self.get(exclusive).filter(|value| value.is_number()) {
                self.put(exclusive, value.clone());
            }
        }
    }

    fn texts(&mut self) {
        for keyword in ["format", "contentEncoding", "contentMediaType"] {
            if let Some(value) = self.get(keyword) {
                self.put(keyword, value.clone());
            }
        }
        if let Some(pattern) = self.get("pattern").and_then(Value::as_str) {
            match is_javascript(pattern) {
                true => self.put("pattern", pattern.into()),
                false => self.made.weaker = true,
            }
        }
    }

    fn objects(&mut self) {
        if let Some(required) = self.get("required").filter(|value| value.is_array()) {
            self.put("required", required.clone());
        }
        let mut is_closed = true;
        for keyword in ["properties", "patternProperties"] {
            let Some(named) = self.get(keyword).and_then(Value::as_object) else {
                continue;
            };
            let mut parts = JsonObject::new();
            for (name, schema) in named {
                if keyword == "patternProperties" && !is_javascript(name) {
                    is_closed = false;
                    continue;
                }
                let made = self.part(schema);
                self.made.weaker |= made.weaker;
                if !self.converter.spend(name.len()) {
                    is_closed = false;
                    break;
                }
                parts.insert(name.clone(), Value::Object(made.schema));
            }
            self.made
                .schema
                .insert(keyword.to_owned(), Value::Object(parts));
        }
        match self.get("additionalProperties") {
            // They may have those names that could not be shown.
            Some(Value::Bool(true)) | None => {}
            Some(_) if !is_closed => self.made.weaker = true,
            Some(Value::Bool(false)) => self.put("additionalProperties", json!(false)),
            Some(schema) => self.put_part("additionalProperties", schema),
        }
        self.made.weaker |= !is_closed;
        if let Some(schema) = self.since(Dialect::Draft6, "propertyNames") {
            self.put_part("propertyNames", schema);
        }
        self.dependencies();
    }

    fn dependencies(&mut self) {
        let old = self
            .get("dependencies")
            .filter(|_| self.place.dialect <= Dialect::Draft7);
        let new = Dialect::Draft201909;
        let sources = [
            old,
            self.since(new, "dependentRequired"),
            self.since(new, "dependentSchemas"),
        ];
        let (mut names, mut schemas) = (JsonObject::new(), JsonObject::new());
        for (name, value) in sources
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
            .flatten()
        {
            if value.is_array() {
                names.insert(name.clone(), value.clone());
            } else {
                let made = self.part(value);
                self.made.weaker |= made.weaker;
                schemas.insert(name.clone(), Value::Object(made.schema));
            }
        }
        for (keyword, found) in [("dependentRequired", names), ("dependentSchemas", schemas)] {
            if !found.is_empty() {
                self.put(keyword, Value::Object(found));
            }
        }
    }

    fn arrays(&mut self) {
        let old = self.get("items").filter(|value| value.is_array());
        let (prefix, rest) = match old {
            Some(prefix) => (Some(prefix), self.get("additionalItems")),
            None => (
                self.since(Dialect::Draft202012, "prefixItems"),
                self.get("items"),
            ),
        };
        let prefix = prefix.and_then(Value::as_array);
        if let Some(prefix) = prefix {
            let mut parts = Vec::new();
            for schema in prefix {
                let made = self.part(schema);
                self.made.weaker |= made.weaker;
                parts.push(Value::Object(made.schema));
            }
            self.made
                .schema
                .insert("prefixItems".to_owned(), Value::Array(parts));
        }
        match (prefix, rest) {
            (_, None | Some(Value::Bool(true))) => {}
            // To a reader of draft-07 `items` would speak of all of them.
            (prefix, Some(Value::Bool(false))) => {
                let length = prefix.map_or(0, Vec::len);
                let most = self.get("maxItems").and_then(Value::as_u64);
                let most = most.map_or(length, |most| {
                    length.min(usize::try_from(most).unwrap_or(length))
                });
                self.put("maxItems", json!(most));
            }
            (Some(_), Some(_)) => self.made.weaker = true,
            (None, Some(schema)) => self.put_part("items", schema),
        }
        self.contains();
    }

    fn contains(&mut self) {
        let Some(schema) = self.since(Dialect::Draft6, "contains") else {
            return;
        };
        let least = self.since(Dialect::Draft201909, "minContains");
        let most = self.since(Dialect::Draft201909, "maxContains");
        if least == Some(&json!(0)) {
            // A reader of draft-07 would want one all the same.
            self.made.weaker |= most.is_some();
            return;
        }
        let made = self.part(schema);
        self.made.weaker |= made.weaker;
        let counts = !made.weaker;
        self.made
            .schema
            .insert("contains".to_owned(), Value::Object(made.schema));
        if let Some(least) = least {
            self.put("minContains", least.clone());
        }
        // More may seem to fit than do.
        if let Some(most) = most.filter(|_| counts) {
            self.put("maxContains", most.clone());
        }
    }

    fn logic(&mut self) {
        for keyword in ["allOf", "anyOf", "oneOf"] {
            let Some(schemas) = self.get(keyword).and_then(Value::as_array) else {
                continue;
            };
            let (mut parts, mut weaker) = (Vec::new(), false);
            for schema in schemas {
                let made = self.part(schema);
                weaker |= made.weaker;
                parts.push(Value::Object(made.schema));
            }
            self.made.weaker |= weaker;
            // Of what takes more, more than one may fit.
            let keyword = match keyword {
                "oneOf" if weaker && self.made.schema.contains_key("anyOf") => continue,
                "oneOf" if weaker => "anyOf",
                keyword => keyword,
            };
            self.made
                .schema
                .insert(keyword.to_owned(), Value::Array(parts));
        }
        if let Some(schema) = self.get("not") {
            let made = self.part(schema);
            self.made.weaker |= made.weaker;
            if !made.weaker {
                self.made
                    .schema
                    .insert("not".to_owned(), Value::Object(made.schema));
            }
        }
        if let Some(schema) = self.since(Dialect::Draft7, "if") {
            let made = self.part(schema);
            self.made.weaker |= made.weaker;
            if !made.weaker {
                self.made
                    .schema
                    .insert("if".to_owned(), Value::Object(made.schema));
                for keyword in ["then", "else"] {
                    if let Some(schema) = self.get(keyword) {
                        self.put_part(keyword, schema);
                    }
                }
            }
        }
    }
}

/// Whether a keyword holds subschemas.
fn is_applicator(keyword: &str) -> bool {
    const APPLICATORS: [&str; 18] = [
        "properties",
        "patternProperties",
        "additionalProperties",
        "propertyNames",
        "required",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "items",
        "prefixItems",
        "contains",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
    ];
    APPLICATORS.contains(&keyword)
}
