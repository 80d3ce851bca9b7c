//! Prints the body of a struct's `encode`: the fields in the order of the wire, then the tagged fields.
//!
//! A field that the version lacks must hold its default, unless the schema marks it ignorable (KIP-482).

use super::emit_struct::mentions;
use super::model::{Field, Kind, Model, Struct};
use super::versions::Presence;
use std::fmt::Write;

/// Everything between the braces.
pub fn body(model: &Model, item: &Struct) -> String {
    let mut code = String::new();
    for field in item.untagged() {
        let write = nullable_or_not(item, field);
        match field.presence(item) {
            Presence::Always => code.push_str(&write),
            Presence::Never => {}
            Presence::When { when, .. } if field.ignorable => {
                let _ = write!(code, "if {when} {{ {write} }}");
            }
            Presence::When { when, .. } => {
                let refuse = refuse_value(item, field);
                let differs = field.differs_from_default();
                let _ = write!(code, "if {when} {{ {write} }} else if {differs} {{ {refuse} }}");
            }
        }
        code.push('\n');
    }
    for (_, field) in item.tagged() {
        if let (Presence::When { unless, .. }, false) = (field.presence(item), field.ignorable) {
            let refuse = refuse_value(item, field);
            let _ = writeln!(code, "if {unless} && {} {{ {refuse} }}", field.differs_from_default());
        }
    }
    code.push_str(&tags(model, item));
    code.push_str("Ok(())");
    flexible_binding(model, item, &code) + &code
}

/// `let flexible = ..` where the body asks for it.
pub fn flexible_binding(model: &Model, item: &Struct, body: &str) -> String {
    match model.flexible.within(item.context) {
        Presence::When { when, .. } if mentions(body, "flexible") => format!("let flexible = {when};\n"),
        _ => String::new(),
    }
}

/// Whether a field's lengths are compact: an expression.
pub fn flexible_of(field: &Field, item: &Struct) -> &'static str {
    match field.flexible.within(item.context) {
        Presence::Always => "true",
        Presence::Never => "false",
        // Within the field's own versions it may be decided already.
        Presence::When { .. } => match field.flexible.within(field.versions) {
            Presence::Always => "true",
            Presence::Never => "false",
            Presence::When { .. } => "flexible",
        },
    }
}

fn refuse_value(item: &Struct, field: &Field) -> String {
    format!("return Err(EncodeError::unsupported(\"{}\", \"{}\", version));", item.name, field.name)
}

/// A statement that writes the value in a version that has the field.
fn nullable_or_not(item: &Struct, field: &Field) -> String {
    if !field.is_option() {
        return statement(write(item, field, Form::Value));
    }
    match field.nullability() {
        Presence::Always => statement(write(item, field, Form::Nullable)),
        Presence::Never => statement(write(item, field, Form::NotNull)),
        Presence::When { when, .. } => format!(
            "if {when} {{ {} }} else {{ {} }}",
            statement(write(item, field, Form::Nullable)),
            statement(write(item, field, Form::NotNull)),
        ),
    }
}

/// How the field is held and how it is to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Not an `Option`.
    Value,
    /// An `Option` in a version that allows null.
    Nullable,
    /// An `Option` in a version that does not allow null.
    NotNull,
}

/// A call, and whether it can fail.
struct Call {
    code: String,
    fails: bool,
}

fn statement(call: Call) -> String {
    format!("{}{};", call.code, if call.fails { "?" } else { "" })
}

fn write(item: &Struct, field: &Field, form: Form) -> Call {
    let flexible = flexible_of(field, item);
    let prefix = if form == Form::Nullable { "nullable_" } else { "" };
    let fallible = |code: String| Call { code, fails: true };
    if field.array {
        let array = reference(item, field, form, "as_deref");
        return fallible(match &field.kind {
            Kind::Struct(_) => {
                format!("w.{prefix}array({flexible}, {array}, |w, value| value.encode(w, version))")
            }
            Kind::String => {
                format!("w.{prefix}array({flexible}, {array}, |w, value| w.str({flexible}, value))")
            }
            Kind::Bytes => {
                format!("w.{prefix}array({flexible}, {array}, |w, value| w.bytes({flexible}, value))")
            }
            kind => {
                let method = kind.plain_method().unwrap_or_default();
                format!("w.{prefix}values({flexible}, {array}, Writer::{method})")
            }
        });
    }
    match &field.kind {
        Kind::String => {
            fallible(format!("w.{prefix}str({flexible}, {})", reference(item, field, form, "as_deref")))
        }
        Kind::Bytes => {
            fallible(format!("w.{prefix}bytes({flexible}, {})", reference(item, field, form, "as_deref")))
        }
        Kind::Records => {
            fallible(format!("w.{prefix}records({flexible}, {})", reference(item, field, form, "as_ref")))
        }
        Kind::Struct(_) => fallible(match form {
            Form::Value => format!("self.{}.encode(w, version)", field.ident),
            Form::Nullable => format!(
                "w.{}(self.{}.as_ref(), |w, value| value.encode(w, version))",
                field.nullable_struct_method(),
                field.ident
            ),
            Form::NotNull => format!("{}.encode(w, version)", reference(item, field, form, "as_ref")),
        }),
        kind => Call {
            code: format!("w.{}(self.{})", kind.plain_method().unwrap_or_default(), field.ident),
            fails: false,
        },
    }
}

/// The field as the writer's methods want it.
fn reference(item: &Struct, field: &Field, form: Form, borrow: &str) -> String {
    let ident = &field.ident;
    match form {
        Form::Value => format!("&self.{ident}"),
        Form::Nullable => format!("self.{ident}.{borrow}()"),
        Form::NotNull => format!(
            "self.{ident}.{borrow}().ok_or(EncodeError::null(\"{}\", \"{}\", version))?",
            item.name, field.name
        ),
    }
}

/// Writes the tagged fields that hold something else than their defaults.
fn tags(model: &Model, item: &Struct) -> String {
    let tagged = item.tagged();
    let mut code = String::new();
    for (_, field) in &tagged {
        let present = match field.presence(item) {
            Presence::When { when, .. }
                if field.versions.intersect(item.context) != model.flexible.intersect(item.context) =>
            {
                format!("{when} && {}", field.differs_from_default())
            }
            _ => field.differs_from_default(),
        };
        let _ = writeln!(code, "let {} = {present};", field.ident);
    }
    let idents: Vec<&str> = tagged.iter().map(|(_, field)| field.ident.as_str()).collect();
    let _ = writeln!(code, "w.tag_count(&[{}]);", idents.join(", "));
    for (tag, field) in &tagged {
        let content = match (field.is_option(), field.nullability()) {
            (true, Presence::When { .. }) => format!("{{ {} Ok(()) }}", nullable_or_not(item, field)),
            (is_option, nullability) => {
                let form = match (is_option, nullability) {
                    (false, _) => Form::Value,
                    (true, Presence::Always) => Form::Nullable,
                    (true, _) => Form::NotNull,
                };
                let call = write(item, field, form);
                if call.fails && form != Form::NotNull {
                    call.code
                } else {
                    format!("{{ {} Ok(()) }}", statement(call))
                }
            }
        };
        let _ = writeln!(code, "if {} {{ w.tagged({tag}, |w| {content})?; }}", field.ident);
    }
    match model.flexible.within(item.context) {
        Presence::Never => String::new(),
        Presence::Always => code,
        Presence::When { .. } => format!("if flexible {{ {code} }}\n"),
    }
}
