//! Prints the body of a struct's `decode`: one struct literal in the order of the wire, then the tagged fields.

use super::emit_encode::{flexible_binding, flexible_of};
use super::model::{Field, Kind, Model, Struct, least_plain_bytes};
use super::versions::Presence;
use std::fmt::Write;

/// Everything between the braces.
pub fn body(model: &Model, item: &Struct) -> String {
    let mut fields = String::new();
    for field in item.untagged() {
        let read = nullable_or_not(model, item, field);
        let value = match field.presence(item) {
            Presence::Always => read,
            Presence::Never => field.default_expression(),
            Presence::When { when, .. } => {
                format!("if {when} {{ {read} }} else {{ {} }}", field.default_expression())
            }
        };
        let _ = writeln!(fields, "{}: {value},", field.ident);
    }
    for (_, field) in item.tagged() {
        let _ = writeln!(fields, "{}: {},", field.ident, field.default_expression());
    }
    let tags = tags(model, item);
    let mutable = if item.tagged().is_empty() { "" } else { "mut " };
    let body = match tags.is_empty() {
        true => format!("Ok(Self {{ {fields} }})"),
        false => format!("let {mutable}value = Self {{ {fields} }};\n{tags}\nOk(value)"),
    };
    flexible_binding(model, item, &body) + &body
}

/// Reads the value in a version that has the field.
fn nullable_or_not(model: &Model, item: &Struct, field: &Field) -> String {
    if !field.is_option() {
        return read(model, item, field, false);
    }
    match field.nullability() {
        Presence::Always => read(model, item, field, true),
        Presence::Never => format!("Some({})", read(model, item, field, false)),
        Presence::When { when, .. } => format!(
            "if {when} {{ {} }} else {{ Some({}) }}",
            read(model, item, field, true),
            read(model, item, field, false),
        ),
    }
}

fn read(model: &Model, item: &Struct, field: &Field, nullable: bool) -> String {
    let flexible = flexible_of(field, item);
    let prefix = if nullable { "nullable_" } else { "" };
    if field.array {
        let (least, element) = match &field.kind {
            Kind::Struct(name) => (model.least_bytes(name), format!("|r| {name}::decode(r, version)")),
            Kind::String => (1, format!("|r| r.str({flexible})")),
            Kind::Bytes => (1, format!("|r| r.bytes({flexible})")),
            kind => (least_plain_bytes(kind), format!("Reader::{}", kind.plain_method().unwrap_or_default())),
        };
        return format!("r.{prefix}array({flexible}, {least}, {element})?");
    }
    match &field.kind {
        Kind::String => format!("r.{prefix}str({flexible})?"),
        Kind::Bytes => format!("r.{prefix}bytes({flexible})?"),
        Kind::Records => format!("r.{prefix}records({flexible})?"),
        Kind::Struct(name) if nullable => {
            format!("r.{}(|r| {name}::decode(r, version))?", field.nullable_struct_method())
        }
        Kind::Struct(name) => format!("{name}::decode(r, version)?"),
        kind => format!("r.{}()?", kind.plain_method().unwrap_or_default()),
    }
}

/// Reads or skips the tagged fields at the end of a flexible struct.
fn tags(model: &Model, item: &Struct) -> String {
    let mut arms = String::new();
    for (tag, field) in item.tagged() {
        let guard = match field.presence(item) {
            // A reader of tagged fields runs in flexible versions only.
            Presence::When { when, .. }
                if field.versions.intersect(item.context) != flexible_part(model, item) =>
            {
                format!(" if {when}")
            }
            _ => String::new(),
        };
        let read = nullable_or_not(model, item, field);
        let _ = writeln!(arms, "{tag}{guard} => value.{} = {read},", field.ident);
    }
    let skip = match arms.is_empty() {
        true => "r.skip_tags()?;".to_owned(),
        false => format!("r.tags(|tag, r| {{ match tag {{ {arms} _ => return Ok(false), }} Ok(true) }})?;"),
    };
    match model.flexible.within(item.context) {
        Presence::Never => String::new(),
        Presence::Always => skip,
        Presence::When { .. } => format!("if flexible {{ {skip} }}"),
    }
}

/// The versions of the struct that are flexible.
fn flexible_part(model: &Model, item: &Struct) -> super::versions::Versions {
    model.flexible.intersect(item.context)
}
