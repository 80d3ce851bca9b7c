//! The default of a field: as a Rust value, and as the test "does the field hold something else?".
//!
//! Kafka's rules (`FieldSpec`): no default, an empty one and a bare JSON `null` all mean the type's zero value,
//! which of a nullable field is *empty*, not null; only the string `"null"` means null. Record data is null.

use super::model::{Field, Kind};
use anyhow::{Context, bail};

/// What a field holds when nobody set it.
#[derive(Debug, Clone, PartialEq)]
pub enum Default {
    /// Zero, false, empty, or a struct of defaults.
    Zero,
    /// `None`.
    Null,
    /// A Rust literal.
    Literal(String),
}

impl Default {
    /// Interprets the schema's default for a field of this kind.
    pub fn parse(json: &serde_json::Value, kind: &Kind, nullable: bool) -> anyhow::Result<Default> {
        let text = match json {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match (kind, text.as_str()) {
            (Kind::Records, "" | "null") => Ok(Default::Null),
            (_, "") => Ok(Default::Zero),
            (_, "null") if nullable => Ok(Default::Null),
            (_, "null") => bail!("null is the default of a field that cannot be null"),
            (Kind::Bool, "false") => Ok(Default::Zero),
            (Kind::Bool, "true") => Ok(Default::Literal(text)),
            (kind, number) if kind.is_integer() => {
                let value = integer(number).with_context(|| format!("{number:?} is no integer"))?;
                Ok(if value == 0 { Default::Zero } else { Default::Literal(value.to_string()) })
            }
            (Kind::String, text) => Ok(Default::Literal(format!("{text:?}"))),
            (kind, other) => bail!("a default of {other:?} for {kind:?}"),
        }
    }
}

/// Decimal, or hexadecimal behind `0x`.
fn integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

impl Field {
    /// Whether `#[derive(Default)]` gives this field the right value.
    pub fn default_is_derived(&self) -> bool {
        match self.default {
            Default::Zero => !self.is_option(),
            Default::Null => true,
            Default::Literal(_) => false,
        }
    }

    /// The default as an expression.
    pub fn default_expression(&self) -> String {
        let value = match &self.default {
            Default::Null => return "None".to_owned(),
            Default::Literal(literal) if self.kind == Kind::String => format!("Str::Borrowed({literal})"),
            Default::Literal(literal) => literal.clone(),
            Default::Zero => match &self.kind {
                _ if self.array => "Vec::new()".to_owned(),
                Kind::Bool => "false".to_owned(),
                Kind::Float64 => "0.0".to_owned(),
                Kind::Uuid => "TopicId::ZERO".to_owned(),
                Kind::String => "Str::Borrowed(\"\")".to_owned(),
                Kind::Bytes => "Bytes::Borrowed(&[])".to_owned(),
                Kind::Struct(name) => format!("{name}::default()"),
                Kind::Records => unreachable!("record data has the default null"),
                _ => "0".to_owned(),
            },
        };
        if self.is_option() { format!("Some({value})") } else { value }
    }

    /// An expression that is true when `self.field` holds something else than its default.
    pub fn differs_from_default(&self) -> String {
        let field = format!("self.{}", self.ident);
        match (&self.default, &self.kind) {
            (Default::Null, _) => format!("{field}.is_some()"),
            (Default::Zero, Kind::Struct(_)) if !self.array => {
                format!("{field} != {}", self.default_expression())
            }
            (Default::Zero, kind) if self.array || matches!(kind, Kind::String | Kind::Bytes) => {
                if self.is_option() {
                    format!("{field}.as_ref().is_none_or(|value| !value.is_empty())")
                } else {
                    format!("!{field}.is_empty()")
                }
            }
            (Default::Zero, Kind::Bool) => field,
            (Default::Literal(_), Kind::Bool) => format!("!{field}"),
            (Default::Zero, Kind::Uuid) => format!("!{field}.is_zero()"),
            _ => format!("{field} != {}", self.default_expression()),
        }
    }
}
