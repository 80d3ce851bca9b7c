//! A schema interpreted: which structs there are, which fields exist in which versions, of which types.
//!
//! Invariants: a struct's `context` is the range of versions in which it can occur; a field's `versions` lie
//! within it; fields that no valid version has are dropped; a struct never contains itself, so that decoding is
//! as deep as the schema. The rules are those of Kafka's `MessageSpec`, `FieldSpec` and `StructRegistry`.

use super::defaults::Default;
use super::names;
use super::schema::{FieldSchema, Schema};
use super::versions::{Presence, Versions};
use anyhow::{Context, bail, ensure};
use std::collections::BTreeMap;

/// One message or record schema.
pub struct Model {
    pub name: String,
    /// -1 where the schema has none.
    pub api_key: i16,
    /// `request`, `response`, `metadata`, `coordinator-key`, `coordinator-value` or `data`.
    pub kind: String,
    pub versions: Versions,
    pub flexible: Versions,
    /// The message itself first, then the structs inside in the order of their first use.
    pub structs: Vec<Struct>,
}

/// A struct: the message itself or one inside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Struct {
    pub name: String,
    pub about: String,
    pub context: Versions,
    pub fields: Vec<Field>,
    /// Defined for another message of the same file in the same shape: not printed again.
    pub shared: bool,
}

/// A field of a struct.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Kafka's name.
    pub name: String,
    pub ident: String,
    pub about: String,
    pub kind: Kind,
    pub array: bool,
    pub versions: Versions,
    /// Empty for a field that is never null.
    pub nullable: Versions,
    /// Tagged fields are tagged in all of their versions.
    pub tag: Option<u32>,
    pub ignorable: bool,
    /// The versions whose lengths are compact.
    pub flexible: Versions,
    pub default: Default,
}

/// The type of a field or of an array's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
}

impl Kind {
    fn parse(text: &str) -> Kind {
        match text {
            "bool" => Kind::Bool,
            "int8" => Kind::Int8,
            "int16" => Kind::Int16,
            "uint16" => Kind::Uint16,
            "int32" => Kind::Int32,
            "uint32" => Kind::Uint32,
            "int64" => Kind::Int64,
            "float64" => Kind::Float64,
            "uuid" => Kind::Uuid,
            "string" => Kind::String,
            "bytes" => Kind::Bytes,
            "records" => Kind::Records,
            other => Kind::Struct(other.to_owned()),
        }
    }

    pub fn is_integer(&self) -> bool {
        matches!(self, Kind::Int8 | Kind::Int16 | Kind::Uint16 | Kind::Int32 | Kind::Uint32 | Kind::Int64)
    }

    /// The method of `Reader` and `Writer` for a value without a length; `None` for all others.
    pub fn plain_method(&self) -> Option<&'static str> {
        match self {
            Kind::Bool => Some("bool"),
            Kind::Int8 => Some("i8"),
            Kind::Int16 => Some("i16"),
            Kind::Uint16 => Some("u16"),
            Kind::Int32 => Some("i32"),
            Kind::Uint32 => Some("u32"),
            Kind::Int64 => Some("i64"),
            Kind::Float64 => Some("f64"),
            Kind::Uuid => Some("uuid"),
            Kind::String | Kind::Bytes | Kind::Records | Kind::Struct(_) => None,
        }
    }
}

impl Field {
    /// Whether the Rust type is an `Option`.
    pub fn is_option(&self) -> bool {
        !self.nullable.is_empty() || self.kind == Kind::Records
    }

    /// In which versions of a struct's context the field exists.
    pub fn presence(&self, within: &Struct) -> Presence {
        self.versions.within(within.context)
    }

    /// The method of `Reader` and `Writer` for a struct that may be null: Kafka marks its presence by a signed
    /// byte, but by a varint where the field is tagged.
    pub fn nullable_struct_method(&self) -> &'static str {
        if self.tag.is_some() { "nullable_tagged_struct" } else { "nullable_struct" }
    }

    /// In which of the field's versions it may be null.
    pub fn nullability(&self) -> Presence {
        self.nullable.within(self.versions)
    }
}

impl Struct {
    pub fn untagged(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.tag.is_none())
    }

    /// By ascending tag.
    pub fn tagged(&self) -> Vec<(u32, &Field)> {
        let mut tagged: Vec<_> = self.fields.iter().filter_map(|field| Some((field.tag?, field))).collect();
        tagged.sort_by_key(|(tag, _)| *tag);
        tagged
    }
}

impl Model {
    /// Interprets a schema.
    pub fn new(schema: &Schema) -> anyhow::Result<Model> {
        Model::build(schema).with_context(|| format!("in the schema {}", schema.name))
    }

    fn build(schema: &Schema) -> anyhow::Result<Model> {
        let versions = Versions::parse(&schema.valid_versions)?;
        ensure!(!versions.is_empty(), "it has no versions");
        let flexible = Versions::parse(&schema.flexible_versions)?;
        let mut builder = Builder { flexible, valid: versions, structs: Vec::new(), common: BTreeMap::new() };
        for common in &schema.common_structs {
            builder.common.insert(&common.name, (&common.about, &common.fields));
        }
        let header = String::new();
        builder.add_struct(&schema.name, &header, versions, &schema.fields, &mut Vec::new())?;
        builder.structs.reverse();
        Ok(Model {
            name: schema.name.clone(),
            api_key: schema.api_key.unwrap_or(-1),
            kind: schema.kind.clone(),
            versions,
            flexible,
            structs: builder.structs,
        })
    }

    /// The struct with this name.
    pub fn find(&self, name: &str) -> Option<&Struct> {
        self.structs.iter().find(|s| s.name == name)
    }

    /// Whether a struct holds borrowed data.
    pub fn borrows(&self, name: &str) -> bool {
        self.find(name).is_some_and(|s| {
            s.fields.iter().any(|field| match &field.kind {
                Kind::String | Kind::Bytes | Kind::Records => true,
                Kind::Struct(inner) => self.borrows(inner),
                _ => false,
            })
        })
    }

    /// Whether a struct holds a float, and so has no `Eq`.
    pub fn has_floats(&self, name: &str) -> bool {
        self.find(name).is_some_and(|s| {
            s.fields.iter().any(|field| match &field.kind {
                Kind::Float64 => true,
                Kind::Struct(inner) => self.has_floats(inner),
                _ => false,
            })
        })
    }

    /// The least that a struct takes on the wire, over all of its versions: bounds the length of arrays.
    pub fn least_bytes(&self, name: &str) -> usize {
        let least_of = |s: &Struct, version: i16| -> usize {
            let at = Versions { low: version, high: version };
            let fields = s.untagged().filter(|field| !field.versions.intersect(at).is_empty());
            let tags = usize::from(!self.flexible.intersect(at).is_empty());
            fields.map(|field| self.least_field_bytes(field)).sum::<usize>() + tags
        };
        self.find(name).map_or(1, |s| {
            (s.context.low..=s.context.high).map(|version| least_of(s, version)).min().unwrap_or(1)
        })
    }

    fn least_field_bytes(&self, field: &Field) -> usize {
        match &field.kind {
            _ if field.array || field.is_option() => 1,
            Kind::Struct(inner) => self.least_bytes(inner),
            kind => least_plain_bytes(kind),
        }
    }

    /// Renames this model's structs that another model of the same file has in another shape; those of the same
    /// shape are shared.
    pub fn avoid_names_of(&mut self, other: &Model) {
        for i in 0..self.structs.len() {
            let name = self.structs[i].name.clone();
            let Some(theirs) = other.find(&name) else { continue };
            if self.same_shape(&self.structs[i], other, theirs) {
                self.structs[i].shared = true;
                continue;
            }
            let renamed = format!("{name}Response");
            self.structs[i].name.clone_from(&renamed);
            for field in self.structs.iter_mut().flat_map(|s| &mut s.fields) {
                if field.kind == Kind::Struct(name.clone()) {
                    field.kind = Kind::Struct(renamed.clone());
                }
            }
        }
    }

    /// Same fields, same versions, same flexibility: one Rust struct serves both.
    fn same_shape(&self, ours: &Struct, other: &Model, theirs: &Struct) -> bool {
        let mut theirs = theirs.clone();
        theirs.about.clone_from(&ours.about);
        for (our, their) in ours.fields.iter().zip(&mut theirs.fields) {
            their.about.clone_from(&our.about);
        }
        let flexible = self.flexible.within(ours.context) == other.flexible.within(theirs.context);
        let plain = ours.fields.iter().all(|field| !matches!(field.kind, Kind::Struct(_)));
        flexible && plain && *ours == theirs
    }
}

/// The least that one value takes on the wire.
pub fn least_plain_bytes(kind: &Kind) -> usize {
    match kind {
        Kind::Int16 | Kind::Uint16 => 2,
        Kind::Int32 | Kind::Uint32 => 4,
        Kind::Int64 | Kind::Float64 => 8,
        Kind::Uuid => 16,
        Kind::Bool | Kind::Int8 | Kind::String | Kind::Bytes | Kind::Records | Kind::Struct(_) => 1,
    }
}

struct Builder<'a> {
    valid: Versions,
    flexible: Versions,
    structs: Vec<Struct>,
    common: BTreeMap<&'a str, (&'a String, &'a Vec<FieldSchema>)>,
}

impl<'a> Builder<'a> {
    /// Adds a struct after the structs it contains (`build` turns the order around).
    fn add_struct(
        &mut self,
        name: &str,
        about: &str,
        context: Versions,
        fields: &'a [FieldSchema],
        inside: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        ensure!(!inside.iter().any(|outer| outer == name), "struct {name} contains itself");
        inside.push(name.to_owned());
        let mut built = Vec::new();
        for field in fields {
            built.extend(self.field(field, context).with_context(|| format!("in the field {}", field.name))?);
        }
        for (field, schema) in built.iter().rev() {
            let Kind::Struct(inner) = &field.kind else { continue };
            if !schema.fields.is_empty() {
                ensure!(!self.structs.iter().any(|s| s.name == *inner), "struct {inner} is defined twice");
                self.add_struct(inner, &schema.about, field.versions, &schema.fields, inside)?;
                continue;
            }
            let common = self.common.get(inner.as_str()).copied();
            let (about, fields) = common.with_context(|| format!("{inner} is defined nowhere"))?;
            if !self.structs.iter().any(|s| s.name == *inner) {
                self.add_struct(inner, about, self.valid, fields, inside)?;
            }
        }
        inside.pop();
        let fields = built.into_iter().map(|(field, _)| field).collect();
        self.structs.push(Struct {
            name: name.to_owned(),
            about: about.to_owned(),
            context,
            fields,
            shared: false,
        });
        Ok(())
    }

    /// `None` for a field that no version of the context has.
    fn field(
        &self,
        schema: &'a FieldSchema,
        context: Versions,
    ) -> anyhow::Result<Option<(Field, &'a FieldSchema)>> {
        let tagged = Versions::parse(&schema.tagged_versions)?;
        let versions = match &schema.versions {
            Some(versions) => Versions::parse(versions)?,
            None => tagged,
        };
        let versions = versions.intersect(context);
        if versions.is_empty() {
            return Ok(None);
        }
        let tag = self.tag(schema, versions, tagged)?;
        let (array, element) = match schema.kind.strip_prefix("[]") {
            Some(element) => (true, element),
            None => (false, schema.kind.as_str()),
        };
        let kind = Kind::parse(element);
        let nullable = Versions::parse(&schema.nullable_versions)?.intersect(versions);
        let flexible = match &schema.flexible_versions {
            Some(own) => Versions::parse(own)?,
            None => self.flexible,
        };
        let default = Default::parse(&schema.default, &kind, !nullable.is_empty())?;
        let field = Field {
            name: names::upper_first(&schema.name),
            ident: names::field(&schema.name),
            about: schema.about.clone(),
            kind,
            array,
            versions,
            nullable,
            tag,
            ignorable: schema.ignorable,
            flexible,
            default,
        };
        Ok(Some((field, schema)))
    }

    fn tag(&self, schema: &FieldSchema, versions: Versions, tagged: Versions) -> anyhow::Result<Option<u32>> {
        let tagged = tagged.intersect(versions);
        match schema.tag {
            None if tagged.is_empty() => Ok(None),
            None => bail!("it is tagged but has no tag"),
            Some(_) if tagged != versions => bail!("it is tagged in some of its versions only"),
            Some(_) if versions.intersect(self.flexible) != versions => {
                bail!("it is tagged in versions that are not flexible")
            }
            Some(tag) => Ok(Some(tag)),
        }
    }
}
