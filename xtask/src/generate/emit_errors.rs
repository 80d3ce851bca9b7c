//! Prints `for_each_error` of the structs that carry error codes, their own or those of structs inside.
//!
//! An error code is an int16 whose name ends in `ErrorCode`. A struct without any prints nothing: messages fall
//! back on the trait's empty method, inner structs are never asked.

use super::model::{Field, Kind, Model, Struct};
use std::fmt::Write;

/// The method, or nothing.
pub fn method(model: &Model, item: &Struct) -> String {
    let mut body = String::new();
    for field in &item.fields {
        let Field { ident, .. } = field;
        if is_code(field) {
            let _ = writeln!(body, "found(self.{ident});");
        } else if is_inside(model, field) {
            let call = match (field.array, field.is_option()) {
                (false, false) => format!("self.{ident}.for_each_error(found);"),
                (true, false) => format!("for inner in &self.{ident} {{ inner.for_each_error(found); }}"),
                (false, true) => {
                    format!("if let Some(inner) = &self.{ident} {{ inner.for_each_error(found); }}")
                }
                (true, true) => {
                    format!("for inner in self.{ident}.iter().flatten() {{ inner.for_each_error(found); }}")
                }
            };
            body.push_str(&call);
        }
    }
    match body.is_empty() {
        true => body,
        false => format!("fn for_each_error(&self, found: &mut dyn FnMut(i16)) {{ {body} }}"),
    }
}

fn is_code(field: &Field) -> bool {
    field.kind == Kind::Int16 && field.name.ends_with("ErrorCode") && !field.array
}

fn is_inside(model: &Model, field: &Field) -> bool {
    let Kind::Struct(name) = &field.kind else { return false };
    let inner = model.structs.iter().find(|inner| inner.name == *name);
    inner.is_some_and(|inner| inner.fields.iter().any(|field| is_code(field) || is_inside(model, field)))
}
